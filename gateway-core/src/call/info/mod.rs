//! What a program behind the trunk (an IVR) and we tell each other while the call lasts: Jigasi's protocol.
//!
//!   the room's doings  -> [`InfoTalk`] -> JSON in SIP INFO           lobby, moderation, mute, host
//!   JSON in SIP INFO   -> [`InfoTalk`] -> wishes to the call         password, mute
//!   heartbeats: asked every while; two in a row without an answer: nobody is there
//!
//! A wish of the caller to be muted or heard is answered when the room has answered, in the order of the wishes.

pub mod wire;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::wire::{Lobby, Said, Told};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::leg::backend::{JoinStep, Moderation};

/// How it is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InfoManners {
    /// Ask so often whether somebody is there; `None`: never.
    pub heartbeat: Option<Duration>,
}

/// What the other side wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Try this password.
    Password(Pii<String>),
    /// Switch the caller's microphone off or on; answered by [`InfoTalk::microphone`], or [`InfoTalk::refuse_wishes`].
    Mute(bool),
}

/// The talk of one call.
#[derive(Debug)]
pub struct InfoTalk {
    manners: InfoManners,
    /// Number of the next message about the lobby.
    count: u64,
    is_in_lobby: bool,
    /// Heartbeats without an answer.
    unanswered: u8,
    beat_at: Option<Instant>,
    /// Wishes to be muted or heard that the room has yet to answer.
    wishes: VecDeque<(String, bool, Instant)>,
    rng: Rng,
    outputs: VecDeque<Said>,
}

impl InfoTalk {
    /// A talk that has not begun.
    pub fn new(manners: InfoManners, rng: Rng) -> Self {
        Self {
            manners,
            count: 0,
            is_in_lobby: false,
            unanswered: 0,
            beat_at: None,
            wishes: VecDeque::new(),
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// The call is answered: heartbeats begin.
    pub fn answered(&mut self, now: Instant) {
        self.beat_at = self.manners.heartbeat.map(|every| now + every);
    }

    /// A body came. `Err`: it says nothing that we know.
    pub fn received(&mut self, now: Instant, body: &[u8]) -> Result<Option<Wish>, NotKnown> {
        match Told::read(body).ok_or(NotKnown)? {
            Told::Password(password) => Ok(Some(Wish::Password(password))),
            Told::Heartbeat => {
                self.unanswered = 0;
                Ok(None)
            }
            Told::MuteRequest { id, muted } if self.wishes.len() < WISHES_MAX => {
                self.wishes.push_back((id, muted, now + WISH_ANSWERED_WITHIN));
                Ok(Some(Wish::Mute(muted)))
            }
            Told::MuteRequest { id, muted } => {
                self.say(Said::MuteResponse { id, muted, ok: false });
                Ok(None)
            }
            // The microphone was off before we asked.
            Told::MuteResponse { .. } => Ok(None),
        }
    }

    /// A step on the way into the room.
    pub fn step(&mut self, step: JoinStep) {
        match step {
            JoinStep::InLobby | JoinStep::InLobbyUntilHost if !self.is_in_lobby => {
                self.is_in_lobby = true;
                self.lobby(Lobby::Joined);
            }
            JoinStep::Admitted | JoinStep::AdmittedByHost if self.is_in_lobby => {
                self.is_in_lobby = false;
                self.lobby(Lobby::Allowed);
                self.lobby(Lobby::Left);
            }
            JoinStep::WaitingForHost => self.say(Said::Live(false)),
            JoinStep::HostArrived => self.say(Said::Live(true)),
            _ => {}
        }
    }

    /// The caller leaves the lobby with a password.
    pub fn leaves_lobby(&mut self) {
        if std::mem::take(&mut self.is_in_lobby) {
            self.lobby(Lobby::Left);
        }
    }

    /// A moderator did not let him in.
    pub fn rejected(&mut self) {
        self.is_in_lobby = false;
        self.lobby(Lobby::Rejected);
    }

    /// He is in the room. `as_visitor`: what came of his wish to be one, or of another's. A visitor's microphone is off.
    pub fn joined(&mut self, as_visitor: Option<bool>) {
        if let Some(is_visitor) = as_visitor {
            self.say(Said::Visitor(is_visitor));
            if is_visitor {
                self.mute_request();
            }
        }
    }

    /// Somebody in the room did something.
    pub fn moderated(&mut self, what: Moderation) {
        match what {
            Moderation::Muted => self.mute_request(),
            Moderation::SpeechModerated(on) => self.say(Said::Moderated(on)),
            Moderation::SpeechApproved(approved) => self.say(Said::Approved(approved)),
            _ => {}
        }
    }

    /// The caller's microphone was switched off, not by a wish of his.
    pub fn mute_request(&mut self) {
        let id = uuid(&mut self.rng);
        self.say(Said::MuteRequest { id });
    }

    /// The room shows the microphone as off or on: answers the wishes up to the one that wanted it so. True if one did.
    pub fn microphone(&mut self, muted: bool) -> bool {
        let wanted = self.wishes.iter().position(|(_, wish, _)| *wish == muted);
        let until = wanted.map_or(self.wishes.len(), |at| at + 1);
        for (at, (id, wish, _)) in self.wishes.drain(..until).enumerate().collect::<Vec<_>>() {
            self.say(Said::MuteResponse { id, muted: wish, ok: Some(at) == wanted });
        }
        wanted.is_some()
    }

    /// The room lets nobody speak: answers the wishes up to the first one to be heard. True if there was one.
    pub fn speech_refused(&mut self) -> bool {
        let Some(at) = self.wishes.iter().position(|(_, muted, _)| !muted) else { return false };
        for (id, muted, _) in self.wishes.drain(..=at).collect::<Vec<_>>() {
            self.say(Said::MuteResponse { id, muted, ok: false });
        }
        true
    }

    /// There is no room that could answer.
    pub fn refuse_wishes(&mut self) {
        while let Some((id, muted, _)) = self.wishes.pop_front() {
            self.say(Said::MuteResponse { id, muted, ok: false });
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        let wish = self.wishes.front().map(|(_, _, until)| *until);
        [self.beat_at, wish].into_iter().flatten().min()
    }

    /// Due deadlines. False: two heartbeats in a row had no answer.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        while self.wishes.front().is_some_and(|(_, _, until)| *until <= now) {
            let Some((id, muted, _)) = self.wishes.pop_front() else { break };
            self.say(Said::MuteResponse { id, muted, ok: false });
        }
        if self.beat_at.is_none_or(|at| now < at) {
            return true;
        }
        if self.unanswered >= HEARTBEATS_MISSED_MAX {
            self.beat_at = None;
            return false;
        }
        self.unanswered += 1;
        self.beat_at = self.manners.heartbeat.map(|every| now + every);
        self.say(Said::Heartbeat);
        true
    }

    /// What is to be said next.
    pub fn poll_output(&mut self) -> Option<Said> {
        self.outputs.pop_front()
    }

    fn lobby(&mut self, what: Lobby) {
        self.say(Said::Lobby(what, self.count));
        self.count += 1;
    }

    fn say(&mut self, said: Said) {
        self.outputs.push_back(said);
    }
}

/// A body that says nothing that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKnown;

/// A random UUID (RFC 9562 §5.4).
fn uuid(rng: &mut Rng) -> String {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    let number =
        u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let digits = format!("{number:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Heartbeats in a row that may go without an answer.
const HEARTBEATS_MISSED_MAX: u8 = 2;
/// Wishes of one caller that the room has yet to answer. More: refused at once.
const WISHES_MAX: usize = 8;
/// The room answers within this: it asks its focus for 5 s at most.
const WISH_ANSWERED_WITHIN: Duration = Duration::from_secs(8);
