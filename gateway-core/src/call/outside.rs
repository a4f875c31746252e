//! A call and the program behind its trunk: what it is told of the room, and what it may want ([`info`](super::info)).

use std::time::Instant;

use crate::base::pii::Pii;
use crate::base::time::Why;
use crate::call::Moment;
use crate::call::info::Wish;
use crate::call::machine::{Call, CallOutput, Stage};
use crate::call::talk::PASSWORD_QUESTION;
use crate::leg::backend::{LegCommand, Moderation};
use crate::leg::end_reason::EndReason;
use crate::leg::trunk::signal::TrunkCommand;

impl Call {
    /// Nothing of ours is played to the far side: a call that is quiet altogether, or a program that has the words.
    pub(super) fn is_silent(&self) -> bool {
        self.is_quiet || (self.manners.is_silent && self.route.is_some())
    }

    pub(super) fn info_received(&mut self, at: Moment, body: &[u8]) {
        let Some(info) = &mut self.info else { return };
        match info.received(at.now, body) {
            Ok(Some(Wish::Password(password))) => self.password_told(password),
            Ok(Some(Wish::Mute(muted))) => self.mute_wished(muted),
            Ok(None) => {}
            Err(_) => self.outputs.push_back(CallOutput::InfoNotKnown),
        }
    }

    /// Before the seat is asked for it is brought along; in the lobby and where it is asked for it is tried at once.
    fn password_told(&mut self, password: Pii<String>) {
        match &self.stage {
            Stage::Asking(asking) if asking.id() == PASSWORD_QUESTION => {
                self.sound.stop_words();
                self.enter(Stage::Joining, "password told");
            }
            Stage::Joining => {}
            _ => return,
        }
        if self.seat.is_none() {
            if let Some(route) = &mut self.route {
                route.entry.password = Some(password);
            }
            return;
        }
        if let Some(info) = &mut self.info {
            info.leaves_lobby();
        }
        self.sound.set_music(false);
        self.outputs.push_back(CallOutput::Leg(LegCommand::Password(password)));
    }

    /// Off at once; on when the room says so.
    fn mute_wished(&mut self, muted: bool) {
        let is_seated = self.seat.is_some() && matches!(self.stage, Stage::Joining | Stage::Joined);
        if !is_seated {
            if let Some(info) = &mut self.info {
                info.refuse_wishes();
            }
            return;
        }
        if muted && !self.is_muted {
            self.mute(true);
        }
        self.outputs.push_back(CallOutput::Leg(LegCommand::Mute(muted)));
    }

    /// Tells it of what somebody in the room did. True if that was the answer to its own wish: it has the words then.
    pub(super) fn was_wished_outside(&mut self, what: Moderation) -> bool {
        let Some(info) = &mut self.info else { return false };
        info.moderated(what);
        match what {
            Moderation::Shown(muted) => {
                if info.microphone(muted) && self.is_muted != muted {
                    self.mute(muted);
                }
                true
            }
            Moderation::UnmuteRefused if info.speech_refused() => {
                if !self.is_muted {
                    self.mute(true);
                }
                self.hand_raised_by_room();
                true
            }
            _ => false,
        }
    }

    pub(super) fn tell_joined(&mut self) {
        let wants_visitor = self.route.as_ref().is_some_and(|route| route.entry.visitor);
        if let Some(info) = &mut self.info {
            let is_visitor = self.listens_only;
            info.joined((is_visitor || wants_visitor).then_some(is_visitor));
        }
    }

    /// Before the trunk leg is told to end, or it would come too late.
    pub(super) fn tell_left(&mut self, at: Moment, reason: EndReason) {
        if let Some(info) = &mut self.info {
            info.refuse_wishes();
            if reason == EndReason::LobbyDenied {
                info.rejected();
            }
            self.drain_info(at);
        }
    }

    pub(super) fn info_timeout(&mut self, at: Moment) {
        if self.reason.is_some() {
            return;
        }
        if self.info.as_mut().is_some_and(|info| !info.handle_timeout(at.now)) {
            self.end(at, EndReason::HeartbeatLost);
        }
    }

    pub(super) fn info_deadline(&self) -> Option<(Instant, Why)> {
        let info = self.info.as_ref().filter(|_| self.reason.is_none())?;
        info.deadline().map(|at| (at, Why("call.info")))
    }

    pub(super) fn drain_info(&mut self, at: Moment) {
        let (Some(info), Some(trunk)) = (&mut self.info, &mut self.trunk) else { return };
        while let Some(said) = info.poll_output() {
            trunk.command(at.now, TrunkCommand::Json(said.write()));
        }
    }
}
