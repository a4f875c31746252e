//! The conference request: asks the focus until it is in the room, and again when it was lost.
//!
//!   Idle -> Asking -> Ready            the focus is in the room: join
//!            ^  \-> Waiting            it is not (yet), it failed, or it never answered: again, later and later
//!
//! Refuses to decide how long anybody waits: its owner has the deadline and the words.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use minidom::Element;
use tracing::debug;

use super::stanza::conference::{ConferenceAnswer, ConferenceRefused, ConferenceRequest};
use super::stanza::exchange::Iq;
use crate::base::rng::Rng;
use crate::base::time::Why;

/// The focus does not answer a request for a room it does not serve (nor one it lost): then it is asked again.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// First pause before the next request; doubles up to [`PAUSE_MAX`].
pub const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause: a host who comes late is noticed within it.
pub const PAUSE_MAX: Duration = Duration::from_secs(15);

const ANSWER: Why = Why("jitsi.conference_answer");
const AGAIN: Why = Why("jitsi.conference_again");

/// From the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum FocusOutput {
    /// To the stream.
    Send(Element),
    /// To the owner.
    Event(FocusEvent),
}

/// What the focus said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocusEvent {
    /// It is in the room: join now.
    Ready,
    /// It will not make this conference yet: somebody with the right to must come first. Told once per request.
    NotYet,
    /// It did not answer, or is not well. Told once per request.
    Unavailable,
    /// A reservation system said no: asking again does not help.
    Refused(ConferenceRefused),
    /// It sends us to a visitor node ([`Focus::node`]). Only where [`Focus::set_visitor`] said that we know such.
    SentToNode,
}

/// The machine. One per leg.
pub struct Focus {
    /// Address of the focus component.
    address: String,
    machine_uid: String,
    session_id: Option<String>,
    room: String,
    visitor: Option<bool>,
    node: String,
    state: State,
    pause: Duration,
    told: Option<FocusEvent>,
    rng: Rng,
    outputs: VecDeque<FocusOutput>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Asking { id: String, until: Instant },
    Waiting { until: Instant },
    Ready,
}

impl Focus {
    /// Nothing asked yet.
    pub fn new(address: &str, mut rng: Rng) -> Self {
        Self {
            address: address.to_owned(),
            machine_uid: rng.token(32),
            session_id: None,
            room: String::new(),
            visitor: None,
            node: String::new(),
            state: State::Idle,
            pause: PAUSE_FIRST,
            told: None,
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// Asks for that room; whatever was asked before is forgotten.
    pub fn ask(&mut self, now: Instant, room: &str) {
        room.clone_into(&mut self.room);
        self.pause = PAUSE_FIRST;
        self.told = None;
        self.send(now);
    }

    /// From the next request on: we can go to a visitor node, and wish to be a visitor (true) or not; `None`: we cannot.
    pub fn set_visitor(&mut self, visitor: Option<bool>) {
        self.visitor = visitor;
    }

    /// Name of the visitor node to which we were sent last: letters, digits and hyphens.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Asks no more.
    pub fn stop(&mut self) {
        self.state = State::Idle;
    }

    /// It is being asked, or will be again.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking { .. } | State::Waiting { .. })
    }

    /// True if this was the answer.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Element) -> bool {
        let State::Asking { id, .. } = &self.state else { return false };
        let Some(iq) = Iq::read(stanza).filter(|iq| iq.answers(id, &self.address)) else {
            return false;
        };
        match (iq.error(), iq.payload.and_then(ConferenceAnswer::read)) {
            (None, Some(answer)) => self.answered(now, answer),
            (Some(error), _) => self.refused(now, ConferenceRefused::read(&error)),
            (None, None) => self.again(now, FocusEvent::Unavailable),
        }
        true
    }

    fn answered(&mut self, now: Instant, answer: ConferenceAnswer) {
        self.session_id = answer.session_id.or(self.session_id.take());
        let node = answer.visitor_node.filter(|node| self.visitor.is_some() && is_node(node));
        if let Some(node) = node {
            debug!(from = "Asking", to = "Ready", cause = "sent to a visitor node");
            self.node = node;
            self.state = State::Ready;
            return self.outputs.push_back(FocusOutput::Event(FocusEvent::SentToNode));
        }
        if answer.is_ready && answer.is_live != Some(false) {
            debug!(from = "Asking", to = "Ready", cause = "focus is in the room");
            self.state = State::Ready;
            self.outputs.push_back(FocusOutput::Event(FocusEvent::Ready));
        } else {
            self.again(now, FocusEvent::NotYet);
        }
    }

    fn refused(&mut self, now: Instant, why: ConferenceRefused) {
        match why {
            ConferenceRefused::SessionInvalid if self.session_id.take().is_some() => self.send(now),
            ConferenceRefused::SessionInvalid | ConferenceRefused::Unavailable => {
                self.again(now, FocusEvent::Unavailable);
            }
            // Only who has a login may begin this conference: until one of them did, everybody else waits.
            ConferenceRefused::NotAuthorized => self.again(now, FocusEvent::NotYet),
            ConferenceRefused::Reservation => {
                self.state = State::Idle;
                self.outputs.push_back(FocusOutput::Event(FocusEvent::Refused(why)));
            }
        }
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Asking { until, .. } if until <= now => self.again(now, FocusEvent::Unavailable),
            State::Waiting { until } if until <= now => self.send(now),
            _ => {}
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<FocusOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        match self.state {
            State::Asking { until, .. } => Some((until, ANSWER)),
            State::Waiting { until } => Some((until, AGAIN)),
            State::Idle | State::Ready => None,
        }
    }

    fn send(&mut self, now: Instant) {
        let id = self.rng.token(12);
        let request = ConferenceRequest {
            room: &self.room,
            machine_uid: &self.machine_uid,
            session_id: self.session_id.as_deref(),
            visitor: self.visitor,
        };
        self.outputs.push_back(FocusOutput::Send(request.iq(&id, &self.address)));
        self.state = State::Asking { id, until: now + ANSWER_WITHIN };
    }

    /// Later: with up to a quarter more, so that the phones of a gateway do not ask in step.
    fn again(&mut self, now: Instant, event: FocusEvent) {
        let jitter = self.rng.below(self.pause.as_millis() as u32 / 4 + 1);
        let until = now + self.pause + Duration::from_millis(u64::from(jitter));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.state = State::Waiting { until };
        if self.told != Some(event) {
            self.told = Some(event);
            self.outputs.push_back(FocusOutput::Event(event));
        }
    }
}

/// A node's name becomes part of host names.
fn is_node(name: &str) -> bool {
    let is_legal = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
    !name.is_empty() && name.len() <= NODE_NAME_MAX && name.chars().all(is_legal)
}

/// A label of a host name (RFC 1035 §2.3.4).
const NODE_NAME_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{Capture, parse_stanzas};
    use crate::jitsi::stanza::ns;

    struct Bench {
        focus: Focus,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let mut focus = Focus::new("focus.meet.test", Rng::from_number(1));
            let now = Instant::now();
            focus.ask(now, "rooma@muc.meet.test");
            Self { focus, now }
        }

        fn sent(&mut self) -> Element {
            match self.focus.poll_output() {
                Some(FocusOutput::Send(it)) => it,
                other => panic!("expected a request, not {other:?}"),
            }
        }

        fn hears(&mut self, id: &str, rest: &str) -> Vec<FocusOutput> {
            let kind = if rest.contains("<error") { "error" } else { "result" };
            let xml = format!("<iq type='{kind}' from='focus.meet.test' id='{id}'>{rest}</iq>");
            let stanza = parse_stanzas(&xml).expect("XML").remove(0);
            assert!(self.focus.handle_stanza(self.now, &stanza));
            self.rest()
        }

        fn rest(&mut self) -> Vec<FocusOutput> {
            std::iter::from_fn(|| self.focus.poll_output()).collect()
        }

        /// To the next deadline; gives how long that was.
        fn wait(&mut self) -> Duration {
            let (at, _) = self.focus.poll_timeout().expect("a deadline");
            let waited = at - self.now;
            self.now = at;
            self.focus.handle_timeout(at);
            waited
        }
    }

    fn answer(ready: &str) -> String {
        format!("<conference xmlns='http://jitsi.org/protocol/focus' ready='{ready}'/>")
    }

    #[test]
    fn the_answer_of_the_capture_is_ready() {
        let capture = Capture::stanzas("04-first-join");
        let mut t = Bench::new();
        let sent = t.sent();
        let theirs = capture.sent("A").next().expect("a request");
        let room =
            |it: &Element| it.get_child("conference", ns::FOCUS)?.attr("room").map(str::to_owned);
        assert_eq!(room(&sent), room(theirs));
        assert_eq!(sent.attr("to"), theirs.attr("to"));
        let heard = capture.received("A").next().expect("the answer");
        assert!(!t.focus.handle_stanza(t.now, heard), "that id was not ours");
        let id = sent.attr("id").expect("an id").to_owned();
        assert_eq!(t.hears(&id, &answer("true")), [FocusOutput::Event(FocusEvent::Ready)]);
        assert_eq!(t.focus.poll_timeout(), None);
    }

    #[test]
    fn a_node_is_followed_by_who_knows_such_and_by_a_name_that_can_be_one() {
        let to = |node: &str| {
            format!(
                "<conference xmlns='http://jitsi.org/protocol/focus' ready='true' vnode='{node}'/>"
            )
        };
        for (visitor, node, event) in [
            (None, "v1", FocusEvent::Ready),
            (Some(false), "v1", FocusEvent::SentToNode),
            (Some(true), "v1.evil/?x=", FocusEvent::Ready),
        ] {
            let mut t = Bench::new();
            t.sent();
            t.focus.set_visitor(visitor);
            t.focus.ask(t.now, "rooma@muc.meet.test");
            let id = t.sent().attr("id").expect("an id").to_owned();
            assert_eq!(t.hears(&id, &to(node)), [FocusOutput::Event(event)]);
            assert_eq!(t.focus.node() == "v1", event == FocusEvent::SentToNode);
        }
    }

    /// Who is to wait until the meeting is live is told so once, and asks again.
    #[test]
    fn a_meeting_that_is_not_live_is_asked_for_again() {
        let mut t = Bench::new();
        let live = |live: &str| {
            format!(
                "<conference xmlns='http://jitsi.org/protocol/focus' ready='{live}'>\
                 <property name='live' value='{live}'/></conference>"
            )
        };
        let id = t.sent().attr("id").expect("an id").to_owned();
        assert_eq!(t.hears(&id, &live("false")), [FocusOutput::Event(FocusEvent::NotYet)]);
        t.wait();
        let id = t.sent().attr("id").expect("an id").to_owned();
        assert_eq!(t.hears(&id, &live("true")), [FocusOutput::Event(FocusEvent::Ready)]);
    }

    #[test]
    fn not_ready_is_told_once_and_asked_later_and_later() {
        let mut t = Bench::new();
        let mut told = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let id = t.sent().attr("id").expect("an id").to_owned();
            told += t.hears(&id, &answer("false")).len();
            pauses.push(t.wait());
        }
        assert_eq!(told, 1);
        assert!(pauses[0] >= PAUSE_FIRST && pauses[0] <= PAUSE_FIRST * 5 / 4);
        assert!(pauses.iter().all(|it| *it <= PAUSE_MAX * 5 / 4));
        assert!(pauses[7] >= PAUSE_MAX);
    }

    #[test]
    fn no_answer_at_all_is_asked_again_with_another_id() {
        let mut t = Bench::new();
        let first = t.sent();
        assert_eq!(t.wait(), ANSWER_WITHIN);
        assert_eq!(t.rest(), [FocusOutput::Event(FocusEvent::Unavailable)]);
        t.wait();
        let second = t.sent();
        assert_ne!(first.attr("id"), second.attr("id"));
    }

    #[test]
    fn a_login_that_we_lack_is_waited_for_a_stale_session_dropped_and_a_reservation_ends_it() {
        let mut t = Bench::new();
        let id = t.sent().attr("id").expect("an id").to_owned();
        let with =
            "<conference xmlns='http://jitsi.org/protocol/focus' ready='false' session-id='s1'/>";
        assert_eq!(t.hears(&id, with).len(), 1);
        t.wait();
        let sent = t.sent();
        let session = sent.get_child("conference", ns::FOCUS).and_then(|it| it.attr("session-id"));
        assert_eq!(session, Some("s1"));
        let id = sent.attr("id").expect("an id").to_owned();
        let stale = "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                     <session-invalid xmlns='http://jitsi.org/protocol/focus'/></error>";
        let outputs = t.hears(&id, stale);
        let [FocusOutput::Send(again)] = &outputs[..] else { panic!("{outputs:?}") };
        let conference = again.get_child("conference", ns::FOCUS).expect("a request");
        assert_eq!(conference.attr("session-id"), None);
        let id = again.attr("id").expect("an id").to_owned();
        let login = "<error type='auth'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        // It was told already that somebody must come first.
        assert_eq!(t.hears(&id, login), []);
        t.wait();
        let id = t.sent().attr("id").expect("an id").to_owned();
        let full = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                    <reservation-error xmlns='http://jitsi.org/protocol/focus' error-code='5'/></error>";
        let refused = FocusEvent::Refused(ConferenceRefused::Reservation);
        assert_eq!(t.hears(&id, full), [FocusOutput::Event(refused)]);
        assert_eq!(t.focus.poll_timeout(), None);
    }
}
