//! Our seat in a brewery: the room in which the focus finds gateways, sees how busy they are, and asks one for a call.
//!
//!   Down -> Joining -> In -> Joining ...      kicked, destroyed, restarted, silent: back in, sooner or later
//!             \-> Waiting -> Joining           refused: again after a pause; what a person must mend, slowly
//!
//! Our nick is our resource: Prosody's plugins derive one from the other, so a taken nick is waited for and then replaced
//! by a new stream, never by another nick. What others ask us there is in [`dials`].

pub mod dials;
pub mod trouble;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use tracing::debug;

use self::dials::{DialRefused, Dials, Order};
use self::trouble::{Patience, Trouble};
use super::disco::Answers;
use super::stanza::build::element;
use super::stanza::disco::{Abilities, CAPS, DISCO_INFO};
use super::stanza::exchange::{Iq, same_address};
use super::stanza::iq::{self, Kind};
use super::stanza::load::Load;
use super::stanza::ns;
use super::stanza::presence::{Gone, JoinRefusal, MUC, MUC_USER, PresenceKind, RoomPresence};
use super::stanza::rayo::RAYO;
use crate::base::rng::Rng;
use crate::base::time::Why;

/// An answer to our join comes within this.
pub const JOINED_WITHIN: Duration = Duration::from_secs(15);
/// Our load is told at most this often; what came meanwhile is told together.
pub const LOAD_APART: Duration = Duration::from_secs(1);
/// We ask this often whether we are still there (XEP-0410): a component that restarted alone tells nobody.
pub const ASK_EVERY: Duration = Duration::from_secs(60);
/// The room answers that within this.
pub const ASK_PATIENCE: Duration = Duration::from_secs(15);
/// In the room this long: the next trouble is a new one.
pub const SETTLED: Duration = Duration::from_secs(30);
/// After so many joins with a taken nick, another stream (and with it another nick) is wanted.
const TAKEN_MAX: u32 = 3;

/// What the brewery's account can do.
const FEATURES: [&str; 5] =
    [CAPS, DISCO_INFO, "http://jitsi.org/protocol/jigasi", VERSION, "urn:xmpp:ping"];
/// Namespace of the question for our version (XEP-0092).
const VERSION: &str = "jabber:iq:version";
/// Namespace of a room's configuration by its owner.
const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// Namespace of forms.
const DATA: &str = "jabber:x:data";

const JOINED: Why = Why("brewery.joined");
const AGAIN: Why = Why("brewery.join_again");
const LOAD: Why = Why("brewery.load_apart");
const ASK: Why = Why("brewery.still_there");
const DIAL: Why = Why("brewery.dial_answer");

/// What does not change.
#[derive(Clone, Debug)]
pub struct BrewerySettings {
    /// Address of the room.
    pub room: String,
    /// Who may dial: bare addresses, of people or of rooms (then all in it).
    pub allowed: Vec<String>,
    /// Hosts of conferences that may be dialled from.
    pub hosts: Vec<String>,
    /// Dials that wait for their answer at once.
    pub dials_max: usize,
}

/// From the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum BreweryOutput {
    /// To the stream.
    Send(Element),
    /// To the owner.
    Event(BreweryEvent),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum BreweryEvent {
    /// We are in.
    Joined,
    /// We are not, or no longer; we try again by ourselves. Told once until we are in, or the trouble is another.
    Out(Trouble),
    /// Close the stream and open another: our nick, which is our resource, is somebody else's.
    NewStream,
    /// Somebody wants a call: answer with [`Brewery::answer`].
    Dial(u64, Box<Order>),
    /// Nobody waits for the answer any more, or nobody could hear it: end that call.
    TooLate(u64),
    /// End that call.
    HangUp(u64),
}

/// The machine. One per brewery.
pub struct Brewery {
    settings: BrewerySettings,
    dials: Dials,
    answers: Answers,
    load: Load,
    me: Option<FullJid>,
    /// Our nick: at first our resource; the server may give another.
    nick: String,
    state: State,
    trouble: Option<Trouble>,
    failures: u32,
    joined_at: Option<Instant>,
    focus_here: bool,
    load_sent: Option<Instant>,
    load_due: Option<Instant>,
    /// When we ask next, or until when we wait for the answer to the request of that id.
    ask_due: Option<Instant>,
    asked: Option<(String, Instant)>,
    config_asked: Option<String>,
    requests: u64,
    rng: Rng,
    outputs: VecDeque<BreweryOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Joining { until: Instant },
    Waiting { until: Instant },
    In,
}

impl Brewery {
    /// Without a stream.
    pub fn new(settings: BrewerySettings, load: Load, rng: Rng) -> Self {
        Self {
            dials: Dials::new(&settings),
            settings,
            answers: Answers::new(Abilities::of(&FEATURES)),
            load,
            me: None,
            nick: String::new(),
            state: State::Down,
            trouble: None,
            failures: 0,
            joined_at: None,
            focus_here: false,
            load_sent: None,
            load_due: None,
            ask_due: None,
            asked: None,
            config_asked: None,
            requests: 0,
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// The stream is up. `resumed`: the same session goes on, the room did not see us leave.
    pub fn stream_up(&mut self, now: Instant, me: FullJid, resumed: bool) {
        if resumed && self.me.as_ref() == Some(&me) && self.joined_at.is_some() {
            self.state = State::In;
            self.send_load(now, false);
            self.ask_due = Some(now + LOAD_APART);
            return;
        }
        self.forget();
        self.drop_dials();
        self.nick = me.resource().to_string();
        self.me = Some(me);
        self.join(now);
    }

    /// The stream is down; it is opened again by others. Dials wait: the same session may go on.
    pub fn stream_down(&mut self) {
        self.state = State::Down;
        self.asked = None;
        self.ask_due = None;
        self.load_due = None;
    }

    /// How busy we are; told if it changed, and not too often.
    pub fn load(&mut self, now: Instant, load: Load) {
        if load == self.load {
            return;
        }
        self.load = load;
        if self.state != State::In {
            return;
        }
        match self.load_sent.map(|at| at + LOAD_APART) {
            Some(due) if due > now => self.load_due = Some(due),
            _ => self.send_load(now, false),
        }
    }

    /// The answer to a dial: the occupant the call is, or why there is none. True if somebody was told.
    pub fn answer(&mut self, ticket: u64, answer: Result<String, DialRefused>) -> bool {
        let is_up = self.state != State::Down;
        let stanza = self.dials.answer(ticket, answer).filter(|_| is_up);
        let is_told = stanza.is_some();
        self.outputs.extend(stanza.map(BreweryOutput::Send));
        is_told
    }

    /// The call of a dial is an occupant under (another) address.
    pub fn occupant(&mut self, ticket: u64, address: &str) {
        self.dials.occupant(ticket, address);
    }

    /// The call of a dial is over.
    pub fn ended(&mut self, ticket: u64) {
        self.dials.ended(ticket);
    }

    /// Leaves the room, for good: the owner closes the stream.
    pub fn leave(&mut self) {
        if matches!(self.state, State::In | State::Joining { .. }) {
            let presence = element("presence", ns::CLIENT).attr("to", self.own_address());
            let presence = presence.attr("type", "unavailable").build();
            self.outputs.push_back(BreweryOutput::Send(presence));
        }
        self.stream_down();
        self.forget();
        self.drop_dials();
    }

    /// In the room.
    pub fn is_in(&self) -> bool {
        self.state == State::In
    }

    /// A focus is in the room: without one nobody will ask for a call.
    pub fn has_focus(&self) -> bool {
        self.is_in() && self.focus_here
    }

    /// Why we are not in.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Dials that wait for their answer.
    pub fn dials_waiting(&self) -> usize {
        self.dials.waiting()
    }

    /// Address of the room.
    pub fn room(&self) -> &str {
        &self.settings.room
    }

    fn own_address(&self) -> String {
        format!("{}/{}", self.settings.room, self.nick)
    }

    /// What came on the stream. Everything on it is ours.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Element) {
        if self.state == State::Down {
            return;
        }
        if let Some(seen) = RoomPresence::read(stanza) {
            if same_address(&seen.room, &self.settings.room) {
                self.presence(now, seen, stanza);
            }
        } else if let Some(iq) = Iq::read(stanza) {
            self.iq(now, &iq);
        }
    }

    fn iq(&mut self, now: Instant, iq: &Iq<'_>) {
        if !iq.is_request() {
            return self.answered(now, iq);
        }
        if let Some(payload) = iq.payload.filter(|it| iq.kind == Kind::Set && it.has_ns(RAYO)) {
            let me = self.load.clone();
            self.dials.request(now, iq, payload, &me, &mut self.outputs);
            return;
        }
        let is_version = iq.payload.is_some_and(|it| it.is("query", VERSION));
        let answer = match is_version && iq.kind == Kind::Get {
            true => Some(iq.result_with(self.version())),
            false => self.answers.answer(iq),
        };
        self.outputs.extend(answer.map(BreweryOutput::Send));
    }

    fn version(&self) -> Element {
        let text = |name: &str, text: &str| element(name, VERSION).text(text);
        element("query", VERSION)
            .child(text("name", "WeeBee"))
            .child(text("version", &self.load.version))
            .build()
    }

    /// An answer to a request of ours.
    fn answered(&mut self, now: Instant, iq: &Iq<'_>) {
        let own = self.own_address();
        if self.asked.as_ref().is_some_and(|(id, _)| iq.answers(id, &own)) {
            self.asked = None;
            self.ask_due = Some(now + ASK_EVERY);
            // XEP-0410 §3: these say that we are not there; any other error comes from a room that does not know the ping.
            let condition = iq.error().map(|error| error.condition);
            if matches!(condition, Some("not-acceptable" | "item-not-found")) {
                self.out(now, Trouble::Lost);
            }
            return;
        }
        let is_config = self.config_asked.as_ref();
        if is_config.is_some_and(|id| iq.answers(id, &self.settings.room)) {
            self.config_asked = None;
            if iq.kind == Kind::Error {
                // The room stays locked for everybody else. Empty, it goes; the next one may be made by the focus.
                let leave = element("presence", ns::CLIENT).attr("to", own);
                let leave = leave.attr("type", "unavailable").build();
                self.outputs.push_back(BreweryOutput::Send(leave));
                self.out(now, Trouble::Locked);
            }
        }
    }

    fn presence(&mut self, now: Instant, seen: RoomPresence, stanza: &Element) {
        match seen.kind {
            PresenceKind::Here(occupant) if occupant.is_self || seen.nick == self.nick => {
                self.self_here(now, seen.nick, stanza);
            }
            PresenceKind::Here(_) => self.focus_here |= seen.nick == super::muc::FOCUS_NICK,
            PresenceKind::Gone(gone) if gone.is_self || seen.nick == self.nick => {
                self.self_gone(now, &gone);
            }
            PresenceKind::Gone(_) => self.focus_here &= seen.nick != super::muc::FOCUS_NICK,
            PresenceKind::Refused(_) if !seen.nick.is_empty() && seen.nick != self.nick => {}
            PresenceKind::Refused(refusal) => self.refused(now, refusal),
        }
    }

    fn refused(&mut self, now: Instant, refusal: JoinRefusal) {
        match (self.state, refusal) {
            (State::Joining { .. }, refusal) => self.out(now, Trouble::refused(refusal)),
            (State::In, JoinRefusal::NoRoom | JoinRefusal::NameRequired) => {
                self.out(now, Trouble::Lost);
            }
            // What we told was refused; are we still there?
            (State::In, _) => self.ask_due = Some(now + LOAD_APART),
            (State::Down | State::Waiting { .. }, _) => {}
        }
    }

    fn self_here(&mut self, now: Instant, nick: String, stanza: &Element) {
        if !matches!(self.state, State::Joining { .. }) {
            return;
        }
        debug!(from = "Joining", to = "In", cause = "our own presence came back");
        self.state = State::In;
        self.nick = nick;
        self.joined_at = Some(now);
        self.trouble = None;
        self.load_sent = Some(now);
        self.ask_due = Some(now + ASK_EVERY);
        if is_new_room(stanza) {
            self.accept_room();
        }
        self.outputs.push_back(BreweryOutput::Event(BreweryEvent::Joined));
        if self.load_due.is_some() {
            self.load_due = Some(now + LOAD_APART);
        }
    }

    /// A room that is new is locked until its owner accepts how it is (XEP-0045 §10.1.2): the focus waits outside.
    fn accept_room(&mut self) {
        let form = element("x", DATA).attr("type", "submit");
        let id = self.next_id("room");
        let set =
            iq::set(&id, &self.settings.room, element("query", MUC_OWNER).child(form).build());
        self.outputs.push_back(BreweryOutput::Send(set));
        self.config_asked = Some(id);
    }

    fn self_gone(&mut self, now: Instant, gone: &Gone) {
        if !matches!(self.state, State::In | State::Joining { .. }) {
            return;
        }
        self.out(now, Trouble::gone(gone));
    }

    /// We are out: back in after a pause.
    fn out(&mut self, now: Instant, trouble: Trouble) {
        let settled = self.joined_at.is_some_and(|at| now.duration_since(at) >= SETTLED);
        if settled {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.forget();
        let is_taken = trouble == Trouble::NickTaken && self.failures >= TAKEN_MAX;
        let wait = self.pause(trouble.patience());
        debug!(to = "Waiting", cause = %trouble, ms = wait.as_millis());
        self.state = State::Waiting { until: now + wait };
        self.tell(trouble);
        if is_taken {
            self.failures = 0;
            self.outputs.push_back(BreweryOutput::Event(BreweryEvent::NewStream));
        }
    }

    /// Doubles with each failure; half of it is drawn, so that the gateways of one server do not come back as one.
    fn pause(&mut self, Patience { first, longest }: Patience) -> Duration {
        let doubled = first.saturating_mul(1 << (self.failures.saturating_sub(1)).min(16));
        let full = doubled.min(longest);
        let half_ms = u32::try_from(full.as_millis() / 2).unwrap_or(u32::MAX);
        full / 2 + Duration::from_millis(u64::from(self.rng.below(half_ms.saturating_add(1))))
    }

    fn tell(&mut self, trouble: Trouble) {
        if self.trouble.as_ref() == Some(&trouble) {
            return;
        }
        self.trouble = Some(trouble.clone());
        self.outputs.push_back(BreweryOutput::Event(BreweryEvent::Out(trouble)));
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Joining { until } if until <= now => self.out(now, Trouble::Silent),
            State::Waiting { until } if until <= now => self.join(now),
            _ => {}
        }
        if self.load_due.is_some_and(|due| due <= now) {
            self.send_load(now, false);
        }
        if self.asked.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.asked = None;
            self.out(now, Trouble::Silent);
        }
        if self.ask_due.is_some_and(|due| due <= now) {
            self.ask(now);
        }
        let is_up = self.state != State::Down;
        self.dials.handle_timeout(now, is_up, &mut self.outputs);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<BreweryOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let state = match self.state {
            State::Joining { until } => Some((until, JOINED)),
            State::Waiting { until } => Some((until, AGAIN)),
            State::In | State::Down => None,
        };
        let asked = self.asked.as_ref().map(|(_, until)| (*until, ASK));
        let all = [
            state,
            asked,
            self.load_due.map(|due| (due, LOAD)),
            self.ask_due.map(|due| (due, ASK)),
            self.dials.poll_timeout().map(|due| (due, DIAL)),
        ];
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn join(&mut self, now: Instant) {
        self.state = State::Joining { until: now + JOINED_WITHIN };
        // A new room tells anew who is there.
        self.focus_here = false;
        self.send_load(now, true);
    }

    fn send_load(&mut self, now: Instant, joins: bool) {
        self.load_due = None;
        self.load_sent = Some(now);
        let presence = element("presence", ns::CLIENT)
            .attr("to", self.own_address())
            .children(joins.then(|| element("x", MUC)))
            .child(self.load.write())
            .child(self.answers.abilities().caps());
        self.outputs.push_back(BreweryOutput::Send(presence.build()));
    }

    fn ask(&mut self, now: Instant) {
        self.ask_due = None;
        if self.state != State::In {
            return;
        }
        let id = self.next_id("here");
        let ping = element("ping", "urn:xmpp:ping").build();
        self.outputs.push_back(BreweryOutput::Send(iq::get(&id, &self.own_address(), ping)));
        self.asked = Some((id, now + ASK_PATIENCE));
    }

    fn next_id(&mut self, name: &str) -> String {
        self.requests += 1;
        format!("{name}-{}-{}", self.rng.token(8), self.requests)
    }

    /// Nothing of the room is known any more.
    fn forget(&mut self) {
        self.joined_at = None;
        self.focus_here = false;
        self.load_due = None;
        self.ask_due = None;
        self.asked = None;
        self.config_asked = None;
    }

    /// Who asked has lost our answer with the old session.
    fn drop_dials(&mut self) {
        self.dials.drop_all(&mut self.outputs);
    }
}

/// Status 201: nobody was there before us.
fn is_new_room(stanza: &Element) -> bool {
    let user = stanza.get_child("x", MUC_USER);
    let mut children = user.into_iter().flat_map(Element::children);
    children.any(|it| it.name() == "status" && it.attr("code") == Some("201"))
}

#[cfg(test)]
mod tests;
