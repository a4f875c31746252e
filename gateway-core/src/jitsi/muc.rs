//! Being in a room: the join with its refusals, who else is there, our own presence, and every way out.
//!
//!   Out -> Joining -> In -> Out        kicked, ended, moved, or by our own wish
//!
//! A taken nick is replaced and a join that came too fast repeated here; everything else that keeps us out is told.
//! The room may hold the answer to a join back for seconds until its focus is there.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use minidom::Element;
use tracing::debug;

use super::stanza::exchange::same_address;
use super::stanza::presence::{
    self, ConferenceFacts, Gone, JoinRefusal, Occupant, OwnPresence, PresenceKind, RoomPresence,
};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::base::time::Why;

/// An answer to our join comes within this, or the join is given up.
pub const JOINED_WITHIN: Duration = Duration::from_secs(15);
/// Changes of our presence are told at most this often: each goes to everybody in the room.
pub const PRESENCE_APART: Duration = Duration::from_millis(500);
/// Occupants that are kept; a room of the web client holds 500 at most.
pub const OCCUPANTS_MAX: usize = 1_000;
/// Nick of the focus.
pub const FOCUS_NICK: &str = "focus";
/// Joins that are repeated here, with another nick or after a pause.
const TRIES_MAX: u8 = 4;
/// Pause after "too fast": the server's limit is 3 joins a second for a room.
const SLOWER: Duration = Duration::from_secs(1);

const JOINED: Why = Why("jitsi.muc_joined");
const PRESENCE: Why = Why("jitsi.presence_apart");
const AGAIN: Why = Why("jitsi.muc_join_again");

/// From the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum MucOutput {
    /// To the stream.
    Send(Element),
    /// To the owner.
    Event(MucEvent),
}

/// What happened in the room.
#[derive(Clone, Debug, PartialEq)]
pub enum MucEvent {
    /// We are in.
    Joined,
    /// We may not come in.
    Refused(JoinRefusal),
    /// Our join was never answered.
    NoAnswer,
    /// Somebody came.
    Entered,
    /// Somebody went.
    Exited,
    /// The focus went, or came (back).
    FocusHere(bool),
    /// The focus told something of the conference.
    Facts(ConferenceFacts),
    /// We were given or lost the right to moderate.
    Moderator(bool),
    /// A member other than us went for good: its sources are gone with it.
    Gone(String),
    /// We are out, and did not ask for it.
    Out(Out),
}

/// How we were put out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// A moderator removed us.
    Kicked,
    /// The room ended; where to go instead, if anywhere.
    Ended {
        /// Another room.
        alternate: Option<String>,
    },
    /// The room forgot us: a restarted server, or an error in the way. Joining again may help.
    Lost,
}

/// Who is there, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// People, ourselves included; recorders and the focus are none.
    pub all: usize,
    /// Of them those on phones, ourselves included.
    pub phones: usize,
}

/// The machine. One per leg.
pub struct Muc {
    room: String,
    nick: String,
    password: Option<Pii<String>>,
    own: OwnPresence,
    state: State,
    tries: u8,
    occupants: BTreeMap<String, Member>,
    facts: Option<ConferenceFacts>,
    presence_sent: Option<Instant>,
    presence_due: Option<Instant>,
    rng: Rng,
    outputs: VecDeque<MucOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Out,
    Joining { until: Instant },
    Waiting { until: Instant },
    In,
}

/// What is kept of another occupant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    is_phone: bool,
    is_machine: bool,
    is_moderator: bool,
}

impl Muc {
    /// In no room. `nick`: the first that is tried; a taken one gives way to a drawn one.
    pub fn new(own: OwnPresence, nick: Option<String>, mut rng: Rng) -> Self {
        let drawn = draw_nick(&mut rng);
        let nick = nick.unwrap_or(drawn);
        Self {
            room: String::new(),
            nick,
            password: None,
            own,
            state: State::Out,
            tries: 0,
            occupants: BTreeMap::new(),
            facts: None,
            presence_sent: None,
            presence_due: None,
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// Joins a room; another is left first.
    pub fn join(&mut self, now: Instant, room: &str, password: Option<Pii<String>>) {
        if self.state != State::Out && self.room != room {
            self.leave();
        }
        room.clone_into(&mut self.room);
        self.password = password;
        self.tries = 0;
        self.send_join(now);
    }

    /// Leaves; nothing is told of it.
    pub fn leave(&mut self) {
        if self.state == State::In && self.presence_due.take().is_some() {
            // The last words are not kept back.
            let update = self.own.update(&self.room, &self.nick);
            self.outputs.push_back(MucOutput::Send(update));
        }
        if matches!(self.state, State::In | State::Joining { .. }) {
            let leave = presence::leave(&self.room, &self.nick);
            self.outputs.push_back(MucOutput::Send(leave));
        }
        self.forget();
    }

    /// The stream was lost with all it held: we are nowhere, and the old nick may haunt the room for a minute.
    pub fn stream_lost(&mut self) {
        self.forget();
        self.nick = draw_nick(&mut self.rng);
    }

    /// Changes our presence; told to the room if anything changed.
    pub fn change(&mut self, now: Instant, change: impl FnOnce(&mut OwnPresence)) {
        let before = self.own.clone();
        change(&mut self.own);
        if self.own == before || self.state != State::In {
            return;
        }
        match self.presence_sent.map(|at| at + PRESENCE_APART) {
            Some(due) if due > now => self.presence_due = Some(due),
            _ => self.send_presence(now),
        }
    }

    /// Tells our presence although nothing changed: what was told last may not have arrived.
    pub fn tell_again(&mut self, now: Instant) {
        if self.state == State::In {
            self.send_presence(now);
        }
    }

    /// Address of the room, empty before the first join.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// Our nick, which is our endpoint id as well.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// Our address in the room.
    pub fn own_address(&self) -> String {
        format!("{}/{}", self.room, self.nick)
    }

    /// Address of the focus in the room.
    pub fn focus_address(&self) -> String {
        format!("{}/{FOCUS_NICK}", self.room)
    }

    /// In the room.
    pub fn is_in(&self) -> bool {
        self.state == State::In
    }

    /// The focus is in the room.
    pub fn has_focus(&self) -> bool {
        self.occupants.contains_key(FOCUS_NICK)
    }

    /// The room says that this other member may moderate it.
    pub fn is_moderator(&self, nick: &str) -> bool {
        self.occupants.get(nick).is_some_and(|member| member.is_moderator)
    }

    /// Our presence as it is told.
    pub fn own(&self) -> &OwnPresence {
        &self.own
    }

    /// Who is there.
    pub fn people(&self) -> People {
        let others = self
            .occupants
            .iter()
            .filter(|(nick, it)| nick.as_str() != FOCUS_NICK && !it.is_machine);
        let mut people = People { all: 1, phones: 1 };
        for (_, member) in others {
            people.all += 1;
            people.phones += usize::from(member.is_phone);
        }
        people
    }

    /// True if this was presence of our room.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Element) -> bool {
        let Some(seen) = RoomPresence::read(stanza) else { return false };
        if self.state == State::Out || !same_address(&seen.room, &self.room) {
            return false;
        }
        match seen.kind {
            PresenceKind::Here(occupant) => self.here(now, seen.nick, *occupant),
            PresenceKind::Gone(gone) => self.gone(&seen.nick, gone),
            PresenceKind::Refused(refusal) => self.refused(now, refusal),
        }
        true
    }

    fn here(&mut self, now: Instant, nick: String, occupant: Occupant) {
        if occupant.is_self || nick == self.nick {
            return self.self_here(now, nick, &occupant);
        }
        let member = Member {
            is_phone: occupant.is_phone,
            is_machine: occupant.is_machine,
            is_moderator: occupant.is_moderator,
        };
        let is_new = !self.occupants.contains_key(&nick);
        if is_new && self.occupants.len() >= OCCUPANTS_MAX {
            return;
        }
        if nick == FOCUS_NICK {
            // Anybody may call himself so; the one who owns the room is it.
            if occupant.affiliation != "owner" {
                return;
            }
            self.occupants.insert(nick, member);
            self.focus_here(is_new, occupant.conference);
            return;
        }
        self.occupants.insert(nick, member);
        if is_new && !member.is_machine && self.is_in() {
            self.event(MucEvent::Entered);
        }
    }

    fn focus_here(&mut self, is_new: bool, facts: Option<ConferenceFacts>) {
        if is_new && self.is_in() {
            self.event(MucEvent::FocusHere(true));
        }
        if facts.is_some() && facts != self.facts {
            self.facts.clone_from(&facts);
            if let (Some(facts), true) = (facts, self.is_in()) {
                self.event(MucEvent::Facts(facts));
            }
        }
    }

    fn self_here(&mut self, now: Instant, nick: String, occupant: &Occupant) {
        if !self.is_in() {
            debug!(from = "Joining", to = "In", cause = "our own presence came back");
            self.state = State::In;
            // The server may have given us another.
            self.nick = nick;
            self.presence_sent = Some(now);
            self.event(MucEvent::Joined);
            if let Some(facts) = self.facts.clone() {
                self.event(MucEvent::Facts(facts));
            }
        }
        if occupant.is_moderator {
            self.event(MucEvent::Moderator(true));
        }
    }

    fn gone(&mut self, nick: &str, gone: Gone) {
        if gone.is_self || nick == self.nick {
            return self.self_gone(gone);
        }
        let Some(member) = self.occupants.remove(nick) else { return };
        if nick == FOCUS_NICK {
            self.facts = None;
            return self.event(MucEvent::FocusHere(false));
        }
        self.event(MucEvent::Gone(nick.to_owned()));
        if !member.is_machine && self.is_in() {
            self.event(MucEvent::Exited);
        }
    }

    fn self_gone(&mut self, gone: Gone) {
        let out = if let Some(destroyed) = gone.destroyed {
            Out::Ended { alternate: destroyed.alternate }
        } else if gone.was_kicked || gone.was_banned {
            Out::Kicked
        } else {
            Out::Lost
        };
        debug!(from = "In", to = "Out", cause = ?out);
        self.forget();
        self.event(MucEvent::Out(out));
    }

    fn refused(&mut self, now: Instant, refusal: JoinRefusal) {
        if self.is_in() {
            // Our presence was refused, we are still there; or the room lost us (RFC 6121 §4.5.2: type error).
            let lost = matches!(refusal, JoinRefusal::NoRoom | JoinRefusal::NameRequired);
            if lost {
                self.forget();
                self.event(MucEvent::Out(Out::Lost));
            }
            return;
        }
        let again = self.tries < TRIES_MAX;
        match refusal {
            JoinRefusal::NickTaken | JoinRefusal::NickRefused if again => {
                self.nick = draw_nick(&mut self.rng);
                self.send_join(now);
            }
            JoinRefusal::TooFast if again => self.state = State::Waiting { until: now + SLOWER },
            refusal => {
                self.forget();
                self.event(MucEvent::Refused(refusal));
            }
        }
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Joining { until } if until <= now => {
                self.leave();
                self.event(MucEvent::NoAnswer);
            }
            State::Waiting { until } if until <= now => self.send_join(now),
            _ => {}
        }
        if self.presence_due.is_some_and(|due| due <= now) {
            self.send_presence(now);
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<MucOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        match self.state {
            State::Joining { until } => Some((until, JOINED)),
            State::Waiting { until } => Some((until, AGAIN)),
            State::In => self.presence_due.map(|due| (due, PRESENCE)),
            State::Out => None,
        }
    }

    fn send_join(&mut self, now: Instant) {
        self.tries += 1;
        self.occupants.clear();
        self.state = State::Joining { until: now + JOINED_WITHIN };
        let join = self.own.join(&self.room, &self.nick, self.password.as_ref());
        self.outputs.push_back(MucOutput::Send(join));
    }

    fn send_presence(&mut self, now: Instant) {
        self.presence_due = None;
        if self.is_in() {
            self.presence_sent = Some(now);
            let update = self.own.update(&self.room, &self.nick);
            self.outputs.push_back(MucOutput::Send(update));
        }
    }

    fn forget(&mut self) {
        self.state = State::Out;
        self.occupants.clear();
        self.facts = None;
        self.presence_due = None;
    }

    fn event(&mut self, event: MucEvent) {
        self.outputs.push_back(MucOutput::Event(event));
    }
}

/// Eight hexadecimal digits, as the web client has them: the server's plugin refuses many other characters.
fn draw_nick(rng: &mut Rng) -> String {
    format!("{:08x}", rng.u32())
}

#[cfg(test)]
mod tests;
