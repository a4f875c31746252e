//! What a leg waits for, what happens when it does not come, and the steps of its recovery.

use std::time::{Duration, Instant};

use tracing::debug;

use super::Leg;
use crate::base::time::Why;
use crate::leg::backend::JoinStep;
use crate::leg::end_reason::EndReason;
use crate::leg::jitsi::signal::recovery::{Loss, MOVE_TAKES, Recovery, Step, jitter};
use crate::leg::jitsi::signal::session::SessionCommand;

/// A join that takes longer needs words.
pub(super) const WORDS_AFTER: Duration = Duration::from_secs(2);
/// Others are there and the focus did not open a session within this.
pub(super) const INVITED_WITHIN: Duration = Duration::from_secs(15);
/// The caller answered a question within this, or the line to him is broken; his own patience is shorter.
const PASSWORD_WITHIN: Duration = Duration::from_secs(120);
/// Passwords that may be tried.
pub(super) const PASSWORDS_MAX: u8 = 3;
/// Pause before a conference request that follows a refused join.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A focus that left is brought back by the phone that listens for its room within this, or the others ask, too.
const OTHERS_ASK_AFTER: Duration = Duration::from_secs(8);
/// Not all at once.
const OTHERS_ASK_WITHIN: Duration = Duration::from_secs(4);

/// What a leg waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The join needs words.
    Words,
    /// The join takes too long though nobody is waited for.
    Join,
    /// The host does not come.
    Host,
    /// The moderator does not decide.
    Lobby,
    /// The caller types no password.
    Password,
    /// The focus opens no session.
    Invitation,
    /// Ask the focus again.
    AskAgain,
    /// The focus is gone; whose task it is to ask has not brought it back.
    AskFocus,
    /// Only phones are left.
    OnlyPhones,
    /// A visitor node does not come back.
    Node,
}

pub(super) fn why(timer: Timer) -> Why {
    Why(match timer {
        Timer::Words => "jitsi.join_words",
        Timer::Join => "jitsi.join_max",
        Timer::Host => "jitsi.host_wait",
        Timer::Lobby => "jitsi.lobby_wait",
        Timer::Password => "jitsi.password",
        Timer::Invitation => "jitsi.invitation",
        Timer::AskAgain => "jitsi.ask_again",
        Timer::AskFocus => "jitsi.ask_focus",
        Timer::OnlyPhones => "jitsi.only_phones",
        Timer::Node => "jitsi.visitor_node",
    })
}

impl Leg {
    pub(super) fn timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Words if !self.was_settled => self.progress(JoinStep::Joining),
            Timer::Words => {}
            Timer::Join => self.leave(now, EndReason::ServiceUnavailable),
            Timer::Host | Timer::Lobby => self.leave(now, EndReason::HostNeverCame),
            Timer::Password => self.leave(now, EndReason::PinNotGiven),
            Timer::Invitation if self.was_settled => self.lost(now, Loss::Session),
            Timer::Invitation | Timer::AskAgain => self.request(now, "again"),
            Timer::AskFocus if self.muc.has_focus() => {}
            Timer::AskFocus => self.request(now, "focus still gone"),
            Timer::OnlyPhones => self.leave(now, EndReason::RoomEnded),
            Timer::Node => self.to_main(now, "visitor node lost"),
        }
    }

    pub(super) fn try_step(&mut self, now: Instant, step: Step) {
        debug!(leg = %self.key, ?step, "recovery");
        if !self.stream_is_up {
            return;
        }
        match step {
            Step::IceRestart => self.session.command(now, SessionCommand::IceRestart),
            Step::SessionRestart => self.session.command(now, SessionCommand::Restart),
            Step::Request => self.ask_focus(now),
            Step::Rejoin => {
                self.rejoins.note(now);
                self.counters.conferences_rejoined += 1;
                self.muc.leave();
                self.moderation.left();
                self.out_of_room(now);
                self.request(now, "rejoin");
            }
        }
    }

    /// Something of a settled leg was lost.
    pub(super) fn lost(&mut self, now: Instant, loss: Loss) {
        if !self.was_settled {
            return;
        }
        // Whom the focus forgot joins anew, but not while it is not there to invite him.
        let loss = match loss {
            Loss::Moved | Loss::Dropped if !self.muc.has_focus() => Loss::Session,
            loss => loss,
        };
        let pause = match loss {
            Loss::Moved => MOVE_TAKES + jitter(Duration::from_secs(1), &mut self.rng),
            _ => self.rejoins.pause(now, &mut self.rng),
        };
        match &mut self.recovery {
            Some(recovery) => recovery.worse(now, loss, pause),
            None => {
                self.counters.conferences_interrupted += 1;
                let limit = self.settings.rejoin_max;
                self.recovery = Some(Recovery::new(now, loss, pause, limit));
            }
        }
    }

    /// The focus left the room: its conferences are forgotten, and whoever asks it makes it invite everybody anew. One of
    /// our phones in a room is enough: the one that listens for all. The others ask if that has not helped.
    pub(super) fn focus_gone(&mut self, now: Instant) {
        if let Some(recovery) = &mut self.recovery {
            recovery.worse(now, Loss::Session, Duration::ZERO);
        }
        if self.listens_for_room || !self.has_sound {
            return self.request(now, "focus gone");
        }
        let later = OTHERS_ASK_AFTER + jitter(OTHERS_ASK_WITHIN, &mut self.rng);
        self.timers.set(Timer::AskFocus, now + later);
    }

    /// From now on it is the machines that take their time, not people.
    pub(super) fn nobody_waited_for(&mut self, now: Instant) {
        self.timers.clear(Timer::Host);
        self.timers.clear(Timer::Lobby);
        if !self.was_settled {
            self.timers.set(Timer::Join, now + self.settings.join_max);
        }
    }

    /// People take their time: their own deadline holds.
    pub(super) fn wait_for(&mut self, now: Instant, timer: Timer) {
        let patience = match timer {
            Timer::Host => self.ask.policy.host_wait_max,
            Timer::Lobby => self.settings.lobby_wait_max,
            _ => PASSWORD_WITHIN,
        };
        self.timers.clear(Timer::Join);
        self.timers.clear(Timer::Words);
        if !self.timers.is_set(timer) {
            self.timers.set(timer, now + patience);
        }
    }

    /// The focus says the room is not there although it said it would be: once more, not at once.
    pub(super) fn ask_again(&mut self, now: Instant) {
        self.timers.set(Timer::AskAgain, now + ASK_AGAIN);
    }
}
