//! The machine alone, in virtual time: every step, every refusal, silence, resumption.

use super::super::framing::read_one;
use super::*;
use crate::base::pii::Pii;

const FEATURES: &str = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>";
const ANONYMOUS: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>ANONYMOUS</mechanism></mechanisms>";
const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BOUND: &str = "<iq xmlns='jabber:client' id='wbbind' type='result'>\
    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>u@meet.test/r</jid></bind></iq>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>";

struct Desk {
    connection: Connection,
    now: Instant,
}

impl Desk {
    fn with(must_secure: bool, session: (Management, Option<FullJid>)) -> Self {
        let now = Instant::now();
        let plan = Plan {
            domain: "meet.test",
            identity: &StreamIdentity::Anonymous,
            must_secure,
            ping_every: Duration::from_secs(30),
            open_within: Duration::from_secs(15),
        };
        let connection = Connection::new(now, &plan, session, Rng::from_number(1));
        let mut desk = Self { connection, now };
        assert_eq!(desk.said(), ["open"]);
        desk
    }

    fn new() -> Self {
        Self::with(false, (Management::default(), None))
    }

    /// At the point where the server has sent its features for the second time.
    fn authenticated(mut self, features: &str) -> Self {
        self.hear(&format!("{FEATURES}{ANONYMOUS}</stream:features>"));
        assert_eq!(self.said(), ["auth"]);
        self.hear(SUCCESS);
        assert_eq!(self.said(), ["open"]);
        self.hear(&format!("{FEATURES}{features}</stream:features>"));
        self
    }

    fn up() -> Self {
        let mut desk = Self::new().authenticated(&format!("{BIND}{SM}"));
        assert_eq!(desk.said(), ["iq"]);
        desk.hear(BOUND);
        assert_eq!(desk.said(), ["enable"]);
        desk.hear(ENABLED);
        assert_eq!(desk.said(), ["UP u@meet.test/r false"]);
        desk
    }

    fn hear(&mut self, text: &str) {
        let element = read_one(text.as_bytes()).expect("test stanzas are good");
        self.connection.heard(self.now, Heard::Element(element));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }

    /// Everything it wants, in short.
    fn said(&mut self) -> Vec<String> {
        let outputs = std::iter::from_fn(|| self.connection.poll_output());
        outputs
            .map(|output| match output {
                Output::Open => "open".to_owned(),
                Output::Secure => "secure".to_owned(),
                Output::Send(element) => match element.attr("id") {
                    Some(id) if !id.starts_with("wb") => format!("{} {id}", element.name()),
                    _ => element.name().to_owned(),
                },
                Output::Up { jid, resumed } => format!("UP {jid} {resumed}"),
                Output::Stanza(stanza) => format!("GOT {}", stanza.name()),
                Output::Down(failure) => format!("DOWN {}", failure.label()),
            })
            .collect()
    }
}

fn message(id: &str) -> Element {
    element("message", NS_CLIENT, &[("id", id)])
}

#[test]
fn tls_comes_before_everything_else() {
    let mut desk = Desk::with(true, (Management::default(), None));
    desk.hear(&format!(
        "{FEATURES}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{ANONYMOUS}</stream:features>"
    ));
    assert_eq!(desk.said(), ["starttls"]);
    desk.hear("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(desk.said(), ["secure"]);
    desk.connection.secured();
    assert_eq!(desk.said(), ["open"]);
    desk.hear(&format!("{FEATURES}{ANONYMOUS}</stream:features>"));
    assert_eq!(desk.said(), ["auth"]);
}

#[test]
fn a_server_without_starttls_hears_no_password() {
    let mut desk = Desk::with(true, (Management::default(), None));
    desk.hear(&format!("{FEATURES}{ANONYMOUS}</stream:features>"));
    assert_eq!(desk.said(), ["DOWN tls_missing"]);
}

#[test]
fn without_stream_management_it_is_up_after_binding() {
    let mut desk = Desk::new().authenticated(BIND);
    assert_eq!(desk.said(), ["iq"]);
    desk.hear(BOUND);
    assert_eq!(desk.said(), ["UP u@meet.test/r false"]);
    desk.connection.send(message("1"));
    assert_eq!(desk.said(), ["message 1"]);
    assert_eq!(desk.connection.into_session().0.resumable(), None);
}

#[test]
fn a_refused_enable_is_no_reason_to_stay_away() {
    let mut desk = Desk::new().authenticated(&format!("{BIND}{SM}"));
    desk.hear(BOUND);
    desk.said();
    desk.hear("<failed xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(desk.said(), ["UP u@meet.test/r false"]);
}

#[test]
fn refusals_name_their_reason() {
    let cases = [
        (
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
            "auth_failed",
        ),
        (
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>",
            "stream_error",
        ),
        ("<message xmlns='jabber:client'/>", "not_xmpp"),
        ("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AAAA</challenge>", "not_xmpp"),
    ];
    for (answer, label) in cases {
        let mut desk = Desk::new();
        desk.hear(&format!("{FEATURES}{ANONYMOUS}</stream:features>"));
        desk.said();
        desk.hear(answer);
        assert_eq!(desk.said(), [format!("DOWN {label}")], "{answer}");
    }
    for (condition, label) in [
        ("host-unknown", "host_unknown"),
        ("policy-violation", "policy"),
        ("conflict", "replaced"),
        ("system-shutdown", "shutdown"),
        ("not-well-formed", "stream_error"),
    ] {
        let error = format!(
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        );
        for mut desk in [Desk::new(), Desk::up()] {
            desk.hear(&error);
            assert_eq!(desk.said(), [format!("DOWN {label}")], "{condition}");
            // Told once, whatever follows.
            desk.hear(&error);
            desk.connection.heard(desk.now, Heard::Footer);
            desk.wait(Duration::from_secs(3_600));
            assert_eq!(desk.said(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_refused_or_silly_address_is_told() {
    for (answer, label) in [
        (
            "<iq xmlns='jabber:client' id='wbbind' type='error'><error type='cancel'>\
             <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            "bind_refused",
        ),
        ("<iq xmlns='jabber:client' id='wbbind' type='result'/>", "not_xmpp"),
    ] {
        let mut desk = Desk::new().authenticated(BIND);
        desk.said();
        desk.hear("<iq xmlns='jabber:client' id='other' type='result'/>");
        assert_eq!(desk.said(), Vec::<String>::new());
        desk.hear(answer);
        assert_eq!(desk.said(), [format!("DOWN {label}")]);
    }
}

#[test]
fn silence_ends_every_step() {
    let opened = Desk::new();
    let mut authenticating = Desk::new();
    authenticating.hear(&format!("{FEATURES}{ANONYMOUS}</stream:features>"));
    let binding = Desk::new().authenticated(BIND);
    for mut desk in [opened, authenticating, binding] {
        desk.said();
        desk.wait(Duration::from_millis(14_999));
        assert_eq!(desk.said(), Vec::<String>::new());
        desk.wait(Duration::from_millis(1));
        assert_eq!(desk.said(), ["DOWN timeout"]);
    }
}

#[test]
fn a_quiet_server_is_pinged_and_a_silent_one_given_up() {
    let mut desk = Desk::up();
    desk.wait(Duration::from_secs(29));
    assert_eq!(desk.said(), Vec::<String>::new());
    desk.wait(Duration::from_secs(1));
    assert_eq!(desk.said(), ["iq", "r"]);
    desk.hear("<iq xmlns='jabber:client' id='wbping1' type='result'/>");
    desk.hear("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(desk.said(), Vec::<String>::new(), "answers to our pings stay here");
    desk.wait(Duration::from_secs(30));
    assert_eq!(desk.said(), ["iq", "r"]);
    desk.wait(PING_PATIENCE);
    assert_eq!(desk.said(), ["DOWN silent"]);
}

#[test]
fn any_word_is_a_sign_of_life() {
    let mut desk = Desk::up();
    for _ in 0..10 {
        desk.wait(Duration::from_secs(29));
        desk.hear("<presence xmlns='jabber:client'/>");
        assert_eq!(desk.said(), ["GOT presence"]);
    }
}

#[test]
fn pings_of_others_are_answered_with_their_id() {
    let mut desk = Desk::up();
    desk.hear(
        "<iq xmlns='jabber:client' from='meet.test' id='a/+&apos;=' type='get'>\
         <ping xmlns='urn:xmpp:ping'/></iq>",
    );
    let Some(Output::Send(answer)) = desk.connection.poll_output() else { panic!("an answer") };
    assert_eq!(answer.attr("id"), Some("a/+'="));
    assert_eq!((answer.attr("to"), answer.attr("type")), (Some("meet.test"), Some("result")));
}

#[test]
fn stanzas_are_counted_and_confirmed() {
    let mut desk = Desk::up();
    desk.hear("<message xmlns='jabber:client'/>");
    desk.hear("<iq xmlns='jabber:client' type='set' id='1'/>");
    desk.hear("<other xmlns='a:b'/>");
    desk.hear("<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(
        desk.connection.outputs.pop_back(),
        Some(Output::Send(element("a", NS_SM, &[("h", "2")])))
    );
    assert_eq!(desk.said(), ["GOT message", "GOT iq"]);
    desk.hear("<a xmlns='urn:xmpp:sm:3' h='7'/>");
    assert_eq!(desk.said(), ["DOWN not_xmpp"]);
}

#[test]
fn a_broken_session_goes_on_and_loses_nothing() {
    let mut desk = Desk::up();
    for id in ["1", "2", "3"] {
        desk.connection.send(message(id));
    }
    desk.hear("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    desk.connection.failed(Failure::Closed);
    desk.connection.send(message("4"));
    assert_eq!(desk.said(), ["message 1", "message 2", "message 3", "DOWN closed"]);
    let session = desk.connection.into_session();
    let mut desk = Desk::with(false, session).authenticated(&format!("{BIND}{SM}"));
    assert_eq!(desk.said(), ["resume"]);
    desk.hear("<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='2'/>");
    assert_eq!(desk.said(), ["UP u@meet.test/r true", "message 3", "message 4", "r"]);
}

#[test]
fn a_forgotten_session_begins_anew_without_its_stanzas() {
    let mut desk = Desk::up();
    desk.connection.send(message("1"));
    desk.connection.failed(Failure::Closed);
    let mut desk =
        Desk::with(false, desk.connection.into_session()).authenticated(&format!("{BIND}{SM}"));
    assert_eq!(desk.said(), ["resume"]);
    desk.hear("<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='x'/></failed>");
    assert_eq!(desk.said(), ["iq"]);
    desk.hear(BOUND);
    desk.hear(ENABLED);
    assert_eq!(desk.said(), ["enable", "UP u@meet.test/r false"]);
    assert_eq!(desk.connection.into_session().0.waiting(), 0);
}

#[test]
fn a_lie_about_resumption_ends_the_connection() {
    let mut desk = Desk::up();
    desk.connection.failed(Failure::Closed);
    let mut desk =
        Desk::with(false, desk.connection.into_session()).authenticated(&format!("{BIND}{SM}"));
    desk.said();
    desk.hear("<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='900'/>");
    assert_eq!(desk.said(), ["DOWN not_xmpp"]);
}

#[test]
fn nothing_is_sent_or_kept_before_there_is_a_session() {
    let mut desk = Desk::new();
    desk.connection.send(message("1"));
    assert_eq!(desk.said(), Vec::<String>::new());
}

#[test]
fn a_secret_is_in_no_debug_text() {
    let identity = StreamIdentity::Password {
        user: Pii::new("carol".to_owned()),
        password: Pii::new("tulip-9".to_owned()),
    };
    let text = format!("{identity:?}");
    assert!(!text.contains("carol") && !text.contains("tulip"), "{text}");
}
