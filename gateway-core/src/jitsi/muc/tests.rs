use super::*;
use crate::jitsi::capture::{Capture, parse_stanzas};
use crate::jitsi::stanza::disco::Abilities;
use crate::jitsi::stanza::presence::MUC;

struct Bench {
    muc: Muc,
    now: Instant,
}

const ROOM: &str = "rooma@muc.meet.test";

impl Bench {
    fn new() -> Self {
        let own = OwnPresence {
            name: Pii::new("+31201234567".into()),
            stats_id: "weebee".into(),
            is_inbound: true,
            headers: Vec::new(),
            is_muted: false,
            can_be_muted: true,
            hand_raised_ms: None,
            shows_lowered_hand: false,
            status: String::new(),
            caps: Abilities::new(&[]).caps(),
        };
        Self { muc: Muc::new(own, None, Rng::from_number(7)), now: Instant::now() }
    }

    /// Joining, with the nick that a client of a capture had.
    fn joining_as(nick: &str, room: &str) -> Self {
        let mut t = Self::new();
        nick.clone_into(&mut t.muc.nick);
        t.muc.join(t.now, room, None);
        t.outputs();
        t
    }

    fn inside() -> Self {
        let mut t = Self::joining_as("0badcafe", ROOM);
        t.hears(&here("focus", "owner", ""));
        t.hears(&here("0badcafe", "none", "<status code='110'/>"));
        t.outputs();
        t
    }

    fn hears(&mut self, xml: &str) -> Vec<MucEvent> {
        for stanza in parse_stanzas(xml).expect("XML") {
            assert!(self.muc.handle_stanza(self.now, &stanza), "{xml}");
        }
        self.events()
    }

    fn outputs(&mut self) -> Vec<MucOutput> {
        std::iter::from_fn(|| self.muc.poll_output()).collect()
    }

    fn events(&mut self) -> Vec<MucEvent> {
        let event = |output| match output {
            MucOutput::Event(event) => Some(event),
            MucOutput::Send(_) => None,
        };
        self.outputs().into_iter().filter_map(event).collect()
    }

    fn sent(&mut self) -> Vec<Element> {
        let sent = |output| match output {
            MucOutput::Send(element) => Some(element),
            MucOutput::Event(_) => None,
        };
        self.outputs().into_iter().filter_map(sent).collect()
    }

    fn wait(&mut self) {
        let (at, _) = self.muc.poll_timeout().expect("a deadline");
        self.now = at;
        self.muc.handle_timeout(at);
    }
}

fn here(nick: &str, affiliation: &str, more: &str) -> String {
    format!(
        "<presence from='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc#user'>\
         <item affiliation='{affiliation}' role='participant'/>{more}</x></presence>"
    )
}

fn gone(nick: &str, more: &str) -> String {
    format!(
        "<presence type='unavailable' from='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc#user'>\
         {more}</x></presence>"
    )
}

fn refusal(condition: &str) -> String {
    format!(
        "<presence type='error' from='{ROOM}/x'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    )
}

/// Everything one client received, as the machine tells it.
fn replay(capture: &str, client: &str, nick: &str, room: &str) -> (Muc, Vec<MucEvent>) {
    let mut t = Bench::joining_as(nick, room);
    for stanza in Capture::stanzas(capture).received(client) {
        t.muc.handle_stanza(t.now, stanza);
    }
    let events = t.events();
    (t.muc, events)
}

#[test]
fn the_first_join_of_the_captures_ends_inside_as_moderator() {
    let (muc, events) = replay("04-first-join", "A", "fddac50f", ROOM);
    assert_eq!(events[0], MucEvent::Joined);
    assert!(matches!(events[1], MucEvent::Facts(_)));
    assert_eq!(events[2], MucEvent::Moderator(true));
    assert!(muc.is_in() && muc.has_focus());
    assert_eq!(muc.people(), People { all: 1, phones: 1 });
}

#[test]
fn a_phone_that_comes_late_sees_who_is_there_but_hears_no_chimes_for_them() {
    let capture = Capture::stanzas("60-av-moderation");
    let join = capture.sent("E").find(|it| it.has_child("x", MUC)).expect("E joined");
    let to = join.attr("to").expect("a room").to_owned();
    let (room, nick) = to.split_once('/').expect("a nick");
    let mut t = Bench::joining_as(nick, room);
    let before: Vec<&Element> = capture
        .received("E")
        .take_while(|it| it.name() != "presence" || it.attr("from") != Some(&to))
        .collect();
    for stanza in before {
        t.muc.handle_stanza(t.now, stanza);
    }
    assert_eq!(t.events(), []);
    let own = capture.received("E").find(|it| it.attr("from") == Some(&to)).expect("E is in");
    t.muc.handle_stanza(t.now, own);
    assert_eq!(t.events()[0], MucEvent::Joined);
    // The moderator, the phone D, ourselves.
    assert_eq!(t.muc.people(), People { all: 3, phones: 2 });
}

#[test]
fn a_kick_an_end_and_leaving_members_are_told_apart() {
    let (_, events) = replay("10-kick", "C", "39d3bde7", ROOM);
    assert_eq!(events, [MucEvent::Out(Out::Kicked)]);
    let mut t = Bench::inside();
    t.hears(&here("aa", "none", ""));
    assert_eq!(t.hears(&gone("aa", "")), [MucEvent::Gone("aa".into()), MucEvent::Exited]);
    let ended =
        "<destroy><reason>The meeting has been terminated</reason></destroy><status code='110'/>";
    let out = MucEvent::Out(Out::Ended { alternate: None });
    assert_eq!(t.hears(&gone("0badcafe", ended)), [out]);
    assert!(!t.muc.is_in());
}

#[test]
fn nicks_that_are_taken_or_refused_are_replaced_a_few_times() {
    let mut t = Bench::joining_as("0badcafe", ROOM);
    let mut nicks = vec!["0badcafe".to_owned()];
    for _ in 1..TRIES_MAX {
        let refused = parse_stanzas(&refusal("conflict")).expect("XML");
        t.muc.handle_stanza(t.now, &refused[0]);
        let sent = t.sent();
        let to = sent[0].attr("to").expect("an address").to_owned();
        nicks.push(to.rsplit('/').next().expect("a nick").to_owned());
    }
    nicks.sort();
    nicks.dedup();
    assert_eq!(nicks.len(), usize::from(TRIES_MAX));
    assert!(nicks.iter().all(|it| it.len() == 8 && it.bytes().all(|b| b.is_ascii_hexdigit())));
    assert_eq!(t.hears(&refusal("conflict")), [MucEvent::Refused(JoinRefusal::NickTaken)]);
}

#[test]
fn a_join_without_answer_and_one_too_fast_have_their_deadlines() {
    let mut t = Bench::joining_as("0badcafe", ROOM);
    assert_eq!(t.hears(&refusal("resource-constraint")), []);
    t.wait();
    assert!(t.sent()[0].has_child("x", MUC));
    t.wait();
    let outputs = t.outputs();
    assert!(matches!(&outputs[0], MucOutput::Send(it) if it.attr("type") == Some("unavailable")));
    assert_eq!(outputs[1], MucOutput::Event(MucEvent::NoAnswer));
    assert_eq!(t.muc.poll_timeout(), None);
}

#[test]
fn the_focus_goes_and_comes_back_and_nobody_else_can_be_it() {
    let mut t = Bench::inside();
    assert!(t.muc.has_focus());
    assert_eq!(t.hears(&gone("focus", "")), [MucEvent::FocusHere(false)]);
    assert_eq!(t.hears(&here("focus", "none", "")), []);
    assert!(!t.muc.has_focus());
    assert_eq!(t.hears(&here("focus", "owner", "")), [MucEvent::FocusHere(true)]);
    assert_eq!(t.muc.people().all, 1);
}

#[test]
fn a_storm_of_changes_is_few_presences_and_the_last_one_is_true() {
    let mut t = Bench::inside();
    t.now += Duration::from_secs(5);
    for step in 0..101 {
        t.muc.change(t.now, |own| own.is_muted = step % 2 == 0);
    }
    assert_eq!(t.sent().len(), 1);
    t.wait();
    let last = t.sent();
    assert_eq!(last.len(), 1);
    assert!(last[0].get_child("audiomuted", "jabber:client").expect("told").text() == "true");
    t.muc.change(t.now, |own| own.is_muted = true);
    assert_eq!(t.muc.poll_timeout(), None, "nothing changed");
}

#[test]
fn other_rooms_and_a_flood_of_occupants_do_no_harm() {
    let mut t = Bench::inside();
    let other = parse_stanzas("<presence from='other@muc.meet.test/a'/>").expect("XML");
    assert!(!t.muc.handle_stanza(t.now, &other[0]));
    for number in 0..OCCUPANTS_MAX + 100 {
        t.hears(&here(&format!("n{number}"), "none", ""));
    }
    assert_eq!(t.muc.occupants.len(), OCCUPANTS_MAX);
}

#[test]
fn a_lost_stream_means_another_nick() {
    let mut t = Bench::inside();
    let before = t.muc.nick().to_owned();
    t.muc.stream_lost();
    assert!(!t.muc.is_in());
    t.muc.join(t.now, ROOM, None);
    assert_ne!(t.muc.nick(), before);
}
