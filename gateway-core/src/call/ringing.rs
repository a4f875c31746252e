//! A phone that rings until there is somebody to talk to: what a deployment may want of calls into empty rooms.
//!
//!   routed -> 180, the seat is taken -> company: 200      nobody in time: 480, or as Jigasi did: 200, then BYE
//!
//! Whoever must hear words (a lobby, a password) is answered first.
//!
//! Exchanges that expect Jigasi's refusals ring until the room has let the caller in: a missing or wrong password is 486
//! there, and costs nothing. A full room is answered, and says so, unless its exchange would rather have 486.

use std::time::Duration;

use crate::call::Moment;
use crate::call::machine::{Call, Stage, Timer};
use crate::leg::backend::{EmptyRoom, JoinStep, RoomFacts};
use crate::leg::end_reason::EndReason;
use crate::leg::trunk::signal::TrunkCommand;

/// A call that is not answered because nobody else is in its room.
#[derive(Debug)]
pub(super) struct Ringing {
    /// In the room, alone.
    facts: Option<RoomFacts>,
    /// Until the room has let him in, no longer.
    until_inside: bool,
}

impl Call {
    /// A call that came in is on its way into a room of such a deployment. False: it is to be answered now.
    pub(super) fn rings_for_company(&mut self, at: Moment, empty_room: EmptyRoom) -> bool {
        let is_open = self.story.answered.is_none() && self.trunk.is_some();
        let (answer, limit) = match empty_room {
            EmptyRoom::Ring(limit) if is_open => (None, Some(limit)),
            EmptyRoom::Jigasi if is_open => (Some(JIGASI_ANSWERS), Some(JIGASI_GIVES_UP)),
            EmptyRoom::Join if is_open && self.manners.busy_for_all => (None, None),
            _ => return false,
        };
        self.ringing = Some(Ringing { facts: None, until_inside: limit.is_none() });
        for (timer, wait) in [(Timer::Company, limit), (Timer::AnswerAlone, answer)] {
            if let Some(wait) = wait {
                self.timers.set(timer, at.now + wait);
            }
        }
        self.ring(at);
        // Its seat is beside it on the shard, before there is a session.
        self.attach_trunk();
        self.ask_for_seat();
        true
    }

    /// 180, and again: one may be lost, and proxies forget calls that say nothing for three minutes (RFC 3261 §13.3.1.1).
    pub(super) fn ring(&mut self, at: Moment) {
        let Some(trunk) = self.trunk.as_mut().filter(|_| self.ringing.is_some()) else { return };
        trunk.command(at.now, TrunkCommand::Ring);
        let is_first = self.story.status.is_none();
        self.story.status = Some(180);
        self.timers.set(Timer::RingAgain, at.now + if is_first { RING_SOON } else { RING_AGAIN });
    }

    /// A step on the way in of a phone that rings. It is answered when somebody is there, or words are to be heard. True:
    /// it rings on, and hears nothing of it.
    pub(super) fn rings_on(&mut self, at: Moment, step: JoinStep) -> bool {
        let Some(ringing) = &self.ringing else { return false };
        let answers = match step {
            JoinStep::PasswordNeeded { .. } if self.manners.busy_for_all => {
                self.end(at, EndReason::PinRefused);
                return true;
            }
            JoinStep::Invited | JoinStep::InLobby | JoinStep::PasswordNeeded { .. } => true,
            // It takes long enough to need words.
            JoinStep::Joining | JoinStep::WaitingForHost | JoinStep::InLobbyUntilHost => {
                ringing.until_inside
            }
            _ => false,
        };
        if answers {
            self.stop_ringing(at);
        }
        !answers
    }

    /// An occupant of the room: no door is left that could refuse him.
    pub(super) fn let_in(&mut self, at: Moment) {
        if self.ringing.as_ref().is_some_and(|ringing| ringing.until_inside) {
            self.stop_ringing(at);
        }
    }

    /// Out of the room before the answer: a full one is said to be, where that is wanted.
    pub(super) fn answers_for_last_words(&mut self, at: Moment, reason: EndReason) {
        let is_said = reason == EndReason::RoomFull && !self.manners.full_is_refused;
        if self.ringing.is_some() && is_said {
            self.has_company();
            self.ringing = None;
            self.answer(at);
        }
    }

    /// In the room. True: alone, and the phone goes on ringing.
    pub(super) fn rings_on_alone(&mut self, at: Moment, facts: RoomFacts) -> bool {
        let Some(ringing) = &mut self.ringing else { return false };
        if facts.members > 1 || ringing.until_inside {
            self.stop_ringing(at);
            return false;
        }
        ringing.facts = Some(facts);
        self.members = facts.members;
        true
    }

    /// Long enough alone: he is answered, and hears that he is.
    pub(super) fn answer_alone(&mut self, at: Moment) {
        let facts = self.ringing.take().and_then(|ringing| ringing.facts);
        self.answer(at);
        if let Some(facts) = facts.filter(|_| matches!(self.stage, Stage::Joining)) {
            self.joined(at, RoomFacts { members: self.members, ..facts });
        }
    }

    /// Nobody came.
    pub(super) fn nobody_came(&mut self, at: Moment) {
        self.end(at, EndReason::NobodyCame);
    }

    /// There is company, or will be: the limit of the wait does not count any more.
    pub(super) fn has_company(&mut self) {
        for timer in [Timer::Company, Timer::AnswerAlone, Timer::RingAgain] {
            self.timers.clear(timer);
        }
    }

    fn stop_ringing(&mut self, at: Moment) {
        self.has_company();
        self.answer_alone(at);
    }
}

/// Soon once, should the first be lost.
const RING_SOON: Duration = Duration::from_secs(2);
const RING_AGAIN: Duration = Duration::from_secs(50);
/// As measured of Jigasi: a caller alone in a room is answered, and hung up.
const JIGASI_ANSWERS: Duration = Duration::from_secs(15);
const JIGASI_GIVES_UP: Duration = Duration::from_secs(30);
