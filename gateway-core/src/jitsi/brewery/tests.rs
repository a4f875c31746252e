//! The brewery's machine against what a real Jigasi and its focus said, and against everything that goes wrong.

use super::*;
use crate::base::pii::Pii;
use crate::jitsi::capture::{self, Capture, Seen, parse_stanzas};
use crate::jitsi::stanza::exchange::StanzaError;

mod dials;
mod mutations;

const ROOM: &str = "jigasibrewery@internal.auth.meet.test";
const FOCUS: &str = "jigasibrewery@internal.auth.meet.test/focus";
const ME: &str = "jigasi@auth.meet.test/jitsi-g64r4g";

fn load() -> Load {
    Load {
        calls: 0,
        participants: 0,
        is_draining: false,
        threshold: 100,
        region: None,
        version: "1.1.SNAPSHOT".to_owned(),
        has_trunk: true,
    }
}

fn settings() -> BrewerySettings {
    BrewerySettings {
        room: ROOM.to_owned(),
        allowed: vec![ROOM.to_owned()],
        hosts: vec!["muc.meet.test".to_owned()],
        dials_max: 3,
    }
}

/// A machine with its clock.
struct Bench {
    machine: Brewery,
    now: Instant,
}

impl Bench {
    fn down() -> Self {
        let machine = Brewery::new(settings(), load(), Rng::from_number(1));
        Self { machine, now: Instant::now() }
    }

    fn joining() -> Self {
        let mut bench = Self::down();
        bench.up(false);
        assert_eq!(bench.sent().len(), 1);
        bench
    }

    fn inside() -> Self {
        let mut bench = Self::joining();
        bench.here("jitsi-g64r4g", "<status code='110'/>");
        assert_eq!(bench.events(), [BreweryEvent::Joined]);
        bench
    }

    fn up(&mut self, resumed: bool) {
        self.machine.stream_up(self.now, ME.parse().expect("an address"), resumed);
    }

    fn hear(&mut self, xml: &str) {
        for stanza in parse_stanzas(xml).expect("XML") {
            self.machine.handle_stanza(self.now, &stanza);
        }
    }

    fn here(&mut self, nick: &str, more: &str) {
        self.hear(&format!(
            "<presence from='{ROOM}/{nick}' to='{ME}'><x xmlns='{MUC_USER}'>{more}</x></presence>"
        ));
    }

    fn gone(&mut self, more: &str) {
        self.hear(&format!(
            "<presence from='{ROOM}/jitsi-g64r4g' to='{ME}' type='unavailable'><x xmlns='{MUC_USER}'>\
             <status code='110'/>{more}</x></presence>"
        ));
    }

    fn refuse(&mut self, condition: &str) {
        self.hear(&format!(
            "<presence from='{ROOM}/jitsi-g64r4g' to='{ME}' type='error'><error type='cancel'>\
             <{condition} xmlns='{}'/></error></presence>",
            ns::STANZAS
        ));
    }

    fn drain(&mut self) -> (Vec<Element>, Vec<BreweryEvent>) {
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        while let Some(output) = self.machine.poll_output() {
            match output {
                BreweryOutput::Send(stanza) => sent.push(stanza),
                BreweryOutput::Event(event) => events.push(event),
            }
        }
        (sent, events)
    }

    fn sent(&mut self) -> Vec<Element> {
        let (sent, events) = self.drain();
        assert_eq!(events, []);
        sent
    }

    fn events(&mut self) -> Vec<BreweryEvent> {
        let (sent, events) = self.drain();
        assert_eq!(sent, []);
        events
    }

    /// Goes to the next deadline and gives how long that took.
    fn wake(&mut self) -> Duration {
        let (at, _) = self.machine.poll_timeout().expect("it waits for something");
        let waited = at.saturating_duration_since(self.now);
        self.now = self.now.max(at);
        self.machine.handle_timeout(self.now);
        waited
    }
}

fn is_join(stanza: &Element) -> bool {
    stanza.is("presence", ns::CLIENT) && stanza.has_child("x", MUC)
}

#[test]
fn it_joins_as_its_resource_and_tells_its_load_with_the_join() {
    let mut bench = Bench::down();
    bench.up(false);
    let sent = bench.sent();
    let [join] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(is_join(join));
    assert_eq!(join.attr("to"), Some("jigasibrewery@internal.auth.meet.test/jitsi-g64r4g"));
    assert_eq!(join.get_child("stats", ns::COLIBRI), Some(&load().write()));
    assert!(join.has_child("c", CAPS));
}

#[test]
fn a_real_brewery_is_answered_as_a_real_jigasi_answered() {
    let capture = capture::jigasi::stanzas("brewery");
    let given: Vec<&Element> = capture.sent("0").filter(|it| it.has_child("ref", RAYO)).collect();
    assert_eq!(given.len(), 6);
    let mut bench = Bench::joining();
    let (mut answers, mut joined) = (Vec::new(), false);
    for entry in capture.of("0") {
        let Seen::Received(stanza) = &entry.seen else { continue };
        bench.machine.handle_stanza(bench.now, stanza);
        let (sent, events) = bench.drain();
        assert_eq!(sent, [], "nothing is said unasked");
        for event in events {
            match event {
                BreweryEvent::Joined => joined = true,
                BreweryEvent::Dial(ticket, order) => {
                    assert!(order.conference.ends_with("@muc.meet.test"));
                    assert_eq!(order.from, None);
                    let asked = given[answers.len()].get_child("ref", RAYO).expect("found above");
                    let occupant = crate::jitsi::stanza::rayo::read_reference(asked);
                    assert!(bench.machine.answer(ticket, Ok(occupant.expect("an occupant"))));
                    answers.extend(bench.sent());
                }
                event => panic!("{event:?}"),
            }
        }
    }
    assert!(joined && bench.machine.is_in() && bench.machine.has_focus());
    assert_eq!(answers.iter().collect::<Vec<_>>(), given);
}

#[test]
fn a_room_that_is_new_is_unlocked_for_the_focus() {
    let mut bench = Bench::joining();
    bench.here("jitsi-g64r4g", "<status code='110'/><status code='201'/>");
    let (sent, events) = bench.drain();
    assert_eq!(events, [BreweryEvent::Joined]);
    let [config] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((config.attr("to"), config.attr("type")), (Some(ROOM), Some("set")));
    let form = config.get_child("query", MUC_OWNER).and_then(|it| it.get_child("x", DATA));
    assert_eq!(form.and_then(|it| it.attr("type")), Some("submit"));
    assert!(!bench.machine.has_focus());
    // The focus comes later, and goes.
    bench.here("focus", "");
    assert!(bench.machine.has_focus());
    bench.hear(&format!("<presence from='{FOCUS}' to='{ME}' type='unavailable'/>"));
    assert!(!bench.machine.has_focus() && bench.machine.is_in());
    // We may not: the room is left, so that somebody else can make it.
    let id = config.attr("id").expect("an id").to_owned();
    bench.hear(&format!("<iq type='error' id='{id}' from='{ROOM}' to='{ME}'/>"));
    let (sent, events) = bench.drain();
    assert_eq!(sent[0].attr("type"), Some("unavailable"));
    assert_eq!(events, [BreweryEvent::Out(Trouble::Locked)]);
}

#[test]
fn whatever_refuses_us_is_tried_again_for_ever_and_told_once() {
    for (condition, trouble) in [
        ("item-not-found", Trouble::NoRoom),
        ("not-allowed", Trouble::Forbidden),
        ("registration-required", Trouble::MembersOnly),
        ("not-authorized", Trouble::Password),
        ("forbidden", Trouble::Forbidden),
        ("resource-constraint", Trouble::Busy),
        ("remote-server-timeout", Trouble::Other("remote-server-timeout".to_owned())),
    ] {
        let mut bench = Bench::joining();
        let patience = trouble.patience();
        let mut last = Duration::ZERO;
        for attempt in 0..30 {
            bench.refuse(condition);
            let told = bench.events();
            let first =
                if attempt == 0 { vec![BreweryEvent::Out(trouble.clone())] } else { vec![] };
            assert_eq!(told, first, "{condition} {attempt}");
            last = bench.wake();
            assert!(last >= patience.first / 2 && last <= patience.longest, "{condition} {last:?}");
            let sent = bench.sent();
            assert!(sent.len() == 1 && is_join(&sent[0]), "{condition} {sent:?}");
        }
        assert!(last >= patience.longest / 2, "{condition}: it slows down");
        assert_eq!(bench.machine.trouble(), Some(&trouble));
        bench.here("jitsi-g64r4g", "<status code='110'/>");
        assert_eq!(bench.events(), [BreweryEvent::Joined]);
        assert_eq!(bench.machine.trouble(), None);
    }
}

#[test]
fn a_name_that_stays_taken_wants_another_stream() {
    let mut bench = Bench::joining();
    for attempt in 1..=TAKEN_MAX {
        bench.refuse("conflict");
        let events = bench.events();
        assert_eq!(events.contains(&BreweryEvent::NewStream), attempt == TAKEN_MAX, "{events:?}");
        bench.wake();
        bench.sent();
    }
    // Its owner does so, and the nick follows the resource.
    bench.machine.stream_down();
    bench.machine.stream_up(bench.now, "jigasi@auth.meet.test/new".parse().expect("JID"), false);
    let sent = bench.sent();
    assert_eq!(sent[0].attr("to"), Some("jigasibrewery@internal.auth.meet.test/new"));
}

#[test]
fn thrown_out_destroyed_or_forgotten_it_comes_back() {
    for (more, trouble) in [
        ("<status code='307'/>", Trouble::Kicked),
        ("<status code='301'/>", Trouble::Forbidden),
        ("<destroy/>", Trouble::Destroyed),
        ("<status code='332'/>", Trouble::Lost),
        ("", Trouble::Lost),
    ] {
        let mut bench = Bench::inside();
        bench.now += SETTLED;
        bench.gone(more);
        assert!(!bench.machine.is_in());
        assert_eq!(bench.events(), [BreweryEvent::Out(trouble.clone())], "{more}");
        let waited = bench.wake();
        assert!(waited >= trouble.patience().first / 2 && waited <= trouble.patience().first);
        let sent = bench.sent();
        assert!(is_join(&sent[0]), "{sent:?}");
    }
}

#[test]
fn silence_is_not_believed() {
    // The join is never answered.
    let mut bench = Bench::joining();
    assert_eq!(bench.wake(), JOINED_WITHIN);
    assert_eq!(bench.events(), [BreweryEvent::Out(Trouble::Silent)]);
    // The room forgot us without a word: asked, it says so.
    for answer in ["not-acceptable", "item-not-found"] {
        let mut bench = Bench::inside();
        assert_eq!(bench.wake(), ASK_EVERY);
        let sent = bench.sent();
        assert!(sent[0].has_child("ping", "urn:xmpp:ping"));
        assert_eq!(sent[0].attr("to"), Some("jigasibrewery@internal.auth.meet.test/jitsi-g64r4g"));
        let id = sent[0].attr("id").expect("an id");
        bench.hear(&format!(
            "<iq type='error' id='{id}' from='{ROOM}/jitsi-g64r4g'><error type='cancel'>\
             <{answer} xmlns='{}'/></error></iq>",
            ns::STANZAS
        ));
        assert_eq!(bench.events(), [BreweryEvent::Out(Trouble::Lost)]);
    }
    // Nor does it answer at all.
    let mut bench = Bench::inside();
    bench.wake();
    bench.sent();
    assert_eq!(bench.wake(), ASK_PATIENCE);
    assert_eq!(bench.events(), [BreweryEvent::Out(Trouble::Silent)]);
    // One that is there is asked again a minute later; one that cannot be asked counts as there.
    let mut bench = Bench::inside();
    for answer in ["<iq type='result'", "<iq type='error'"] {
        bench.wake();
        let id = bench.sent()[0].attr("id").expect("an id").to_owned();
        bench.hear(&format!("{answer} id='{id}' from='{ROOM}/jitsi-g64r4g'/>"));
        assert!(bench.machine.is_in() && bench.events().is_empty());
    }
}

#[test]
fn load_is_told_when_it_changes_and_not_too_often() {
    let mut bench = Bench::inside();
    bench.machine.load(bench.now, load());
    assert_eq!(bench.sent(), [], "nothing changed");
    for calls in 1..=50 {
        bench.machine.load(bench.now, Load { calls, participants: calls, ..load() });
    }
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.wake(), LOAD_APART);
    let sent = bench.sent();
    let [told] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(!is_join(told));
    let last = Load { calls: 50, participants: 50, ..load() };
    assert_eq!(told.get_child("stats", ns::COLIBRI), Some(&last.write()));
    bench.now += LOAD_APART;
    bench.machine.load(bench.now, Load { is_draining: true, ..last });
    assert_eq!(bench.sent().len(), 1, "at once after a quiet second");
}

#[test]
fn a_stream_that_goes_on_keeps_its_seat_and_a_new_one_joins() {
    let mut bench = Bench::inside();
    bench.machine.stream_down();
    bench.machine.load(bench.now, Load { calls: 3, ..load() });
    bench.up(true);
    let sent = bench.sent();
    assert!(bench.machine.is_in() && sent.len() == 1 && !is_join(&sent[0]));
    bench.machine.stream_down();
    assert!(!bench.machine.is_in());
    bench.up(false);
    assert!(is_join(&bench.sent()[0]));
}

#[test]
fn questions_are_answered() {
    let mut bench = Bench::inside();
    let ask = |bench: &mut Bench, payload: &str| {
        bench.hear(&format!("<iq type='get' id='q' from='{FOCUS}' to='{ME}'>{payload}</iq>"));
        bench.sent().remove(0)
    };
    let info = ask(&mut bench, &format!("<query xmlns='{DISCO_INFO}'/>"));
    let query = info.get_child("query", DISCO_INFO).expect("a list");
    let has = |var: &str| query.children().any(|it| it.attr("var") == Some(var));
    assert!(has("http://jitsi.org/protocol/jigasi") && has("urn:xmpp:ping"));
    assert!(!has("urn:xmpp:jingle:1"), "nobody is offered sound here");
    let version = ask(&mut bench, &format!("<query xmlns='{VERSION}'/>"));
    let query = version.get_child("query", VERSION).expect("a version");
    assert_eq!(query.get_child("version", VERSION).expect("it is there").text(), "1.1.SNAPSHOT");
    assert_eq!(ask(&mut bench, "<ping xmlns='urn:xmpp:ping'/>").attr("type"), Some("result"));
    let other = ask(&mut bench, "<query xmlns='jabber:iq:last'/>");
    let error = StanzaError::read(&other).expect("a refusal");
    assert_eq!(error.condition, "service-unavailable");
}

#[test]
fn it_says_goodbye() {
    let mut bench = Bench::inside();
    bench.machine.leave();
    let sent = bench.sent();
    assert_eq!(sent[0].attr("type"), Some("unavailable"));
    assert!(!bench.machine.is_in() && bench.machine.poll_timeout().is_none());
}
