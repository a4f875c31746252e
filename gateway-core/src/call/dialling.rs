//! A call of ours that joins the room first: its people see a telephone that is being called.
//!
//!   Entering -> Calling -> answered: Joining or Joined, like any other call
//!        \          \-> Lingering (why not, below its name) -> Closing
//!         \-> the room has no place for it, or nobody lets it in: over
//!
//! The INVITE goes out when the conference counts on us, or a moment after we are alone in it. Nobody can hear anything
//! before the answer: what happens in the room until then is kept and said afterwards. The trunk leg's media half is
//! on the shard from the beginning, so that the seat has its place; it is silent until there is a session.

use std::net::SocketAddr;

use crate::base::pii::Pii;
use crate::call::Moment;
use crate::call::event::RoomFirst;
use crate::call::machine::{Call, CallOutput, Stage, Timer};
use crate::call::story::Dialling;
use crate::leg::backend::{JoinStep, LegCommand, Moderation, RoomFacts};
use crate::leg::end_reason::EndReason;
use crate::leg::media::ToMedia;
use crate::leg::trunk::signal::TrunkSignal;
use crate::media::clip::prompt::PromptId;
use crate::rtp::session::{Direction, RtpSession};
use crate::sip::endpoint::OutgoingInvite;

/// A call that joined first and is not answered yet.
#[derive(Debug)]
pub(super) struct Dial {
    /// What to send; none: it was sent.
    invite: Option<Invite>,
    times: RoomFirst,
    /// In the room, and sound would flow.
    facts: Option<RoomFacts>,
    /// The conference side is lost just now.
    is_reconnecting: bool,
    /// The callee starts muted.
    is_muted: bool,
    /// The room hears what the network plays.
    is_heard: bool,
    /// The meeting is recorded; streamed.
    recorded: (bool, bool),
}

#[derive(Debug)]
struct Invite {
    /// Our RTP address.
    media: SocketAddr,
    target: String,
    from_user: Pii<String>,
    from_name: Pii<String>,
    headers: Vec<(String, Pii<String>)>,
}

impl Dial {
    fn new(dialling: Dialling, media: SocketAddr, times: RoomFirst) -> Self {
        let Dialling { target, from_user, from_name, headers, .. } = dialling;
        Self {
            invite: Some(Invite { media, target, from_user, from_name, headers }),
            times,
            facts: None,
            is_reconnecting: false,
            is_muted: false,
            is_heard: false,
            recorded: (false, false),
        }
    }
}

impl Call {
    /// The ports are open: into the room.
    pub(super) fn dial_into_room(
        &mut self,
        mut dialling: Dialling,
        media: SocketAddr,
        times: RoomFirst,
    ) {
        self.language = dialling.route.language;
        self.keys_to_send = dialling.keys.take();
        self.is_quiet = dialling.quiet;
        self.route = Some(dialling.route.clone());
        self.attach_trunk();
        self.tells_status = true;
        self.enter(Stage::Dialling(Box::new(Dial::new(dialling, media, times))), "ports open");
        self.ask_for_seat();
    }

    /// Tells the people in the room how far our call is.
    pub(super) fn tell_status(&mut self, status: &str) {
        if self.tells_status && self.seat.is_some() {
            self.outputs.push_back(CallOutput::Leg(LegCommand::Status(status.to_owned())));
        }
    }

    /// A step on the way into the room, before the phone answered.
    pub(super) fn dial_progress(&mut self, at: Moment, step: JoinStep) {
        let Stage::Dialling(dial) = &mut self.stage else { return };
        match step {
            JoinStep::Invited => self.ring_phone(at),
            JoinStep::Reconnecting => dial.is_reconnecting = true,
            // Nobody is there whom one could ask.
            JoinStep::PasswordNeeded { .. } => self.end(at, EndReason::PinRefused),
            _ => {}
        }
    }

    /// In the room, or back in it, before the phone answered.
    pub(super) fn dial_joined(&mut self, at: Moment, facts: RoomFacts) {
        let Stage::Dialling(dial) = &mut self.stage else { return };
        dial.facts = Some(facts);
        dial.is_reconnecting = false;
        self.members = facts.members;
        self.story.was_in_room = true;
        if dial.invite.is_none() {
            return;
        }
        if facts.members > 1 {
            return self.ring_phone(at);
        }
        let alone_wait = dial.times.alone_wait;
        self.timers.set(Timer::DialAlone, at.now + alone_wait);
    }

    /// What the network plays before the answer, its ringing or why nobody can be called, is heard in the room. Nothing goes
    /// the other way: who did not answer hears nothing of the room.
    pub(super) fn early_media(&mut self, session: RtpSession) {
        let Stage::Dialling(dial) = &mut self.stage else { return };
        dial.is_heard = true;
        let muted = dial.is_muted;
        let direction = match session.direction {
            Direction::SendRecv | Direction::RecvOnly => Direction::RecvOnly,
            Direction::SendOnly | Direction::Inactive => Direction::Inactive,
        };
        self.media(ToMedia::Mute { call: self.key, muted });
        self.configure_media(RtpSession { direction, ..session });
    }

    /// Our call to a phone that has not answered, or did not.
    pub(super) fn is_unanswered_dial(&self) -> bool {
        matches!(self.stage, Stage::Dialling(_) | Stage::Lingering(_))
    }

    /// What the callee is to hear when he answers.
    pub(super) fn dial_moderated(&mut self, what: Moderation) {
        let Stage::Dialling(dial) = &mut self.stage else { return };
        if let (Moderation::Muted | Moderation::Unmuted, true) = (what, dial.is_heard) {
            let muted = what == Moderation::Muted;
            let mute = ToMedia::Mute { call: self.key, muted };
            self.outputs.push_back(CallOutput::Media(mute));
        }
        match what {
            Moderation::Muted => dial.is_muted = true,
            Moderation::Unmuted => dial.is_muted = false,
            Moderation::Recording(on) => dial.recorded.0 = on,
            Moderation::Streaming(on) => dial.recorded.1 = on,
            Moderation::UnmuteAllowed
            | Moderation::UnmuteRefused
            | Moderation::HandLowered
            | Moderation::Listening(_)
            | Moderation::PromotionRefused
            | Moderation::Shown(_)
            | Moderation::SpeechModerated(_)
            | Moderation::SpeechApproved(_) => {}
        }
    }

    /// The room is ready: the phone rings. Once.
    pub(super) fn ring_phone(&mut self, _at: Moment) {
        let Stage::Dialling(dial) = &mut self.stage else { return };
        let Some(invite) = dial.invite.take() else { return };
        let answer_within = dial.times.ring_max;
        self.timers.clear(Timer::DialAlone);
        let rng = self.rng.fork("trunk");
        let (trunk, offer) = TrunkSignal::outgoing(invite.media, self.policy.clone(), rng);
        self.trunk = Some(trunk);
        self.tell_status(CONNECTING);
        let invite = OutgoingInvite {
            trunk: self.story.trunk,
            target: invite.target,
            from_user: invite.from_user,
            from_name: invite.from_name,
            headers: invite.headers,
            offer,
            answer_within,
        };
        self.outputs.push_back(CallOutput::Invite(Box::new(invite)));
    }

    /// Hang-up in the moment between our decision to call and the endpoint's name for the dialog.
    pub(super) fn forget_unsent_invite(&mut self) {
        self.outputs.retain(|output| !matches!(output, CallOutput::Invite(_)));
    }

    /// The phone answered: from here on it is a call like any other.
    pub(super) fn dial_answered(&mut self, at: Moment) {
        let joining = std::mem::replace(&mut self.stage, Stage::Joining);
        let Stage::Dialling(dial) = joining else { return self.stage = joining };
        tracing::debug!(call = %self.key, from = "Dialling", to = "Joining", cause = "answered");
        self.mark_answered(at);
        self.is_audible = true;
        self.begin_keys(at);
        self.tell_status(CONNECTED);
        if let Some(facts) = dial.facts {
            self.joined(at, RoomFacts { members: self.members, ..facts });
        }
        if dial.is_reconnecting {
            self.wait_with(PromptId::Reconnecting);
        }
        let (is_recorded, is_streamed) = dial.recorded;
        let kept = [
            (dial.is_muted, Moderation::Muted),
            (is_recorded, Moderation::Recording(true)),
            (is_streamed, Moderation::Streaming(true)),
        ];
        for (_, what) in kept.into_iter().filter(|(is_so, _)| *is_so) {
            self.moderated(what);
        }
    }

    /// The call did not come about: its people see why for a while. False: they need not, it is over.
    pub(super) fn dial_failed(
        &mut self,
        at: Moment,
        reason: EndReason,
        status: Option<u16>,
    ) -> bool {
        let Stage::Dialling(dial) = &self.stage else { return false };
        let linger = match status {
            Some(408 | 500..=599) if !self.story.rang => dial.times.linger_of_trunk,
            _ => dial.times.linger,
        };
        if self.seat.is_none() || linger.is_zero() || self.reason.is_some() {
            return false;
        }
        if dial.is_heard {
            self.media(ToMedia::Mute { call: self.key, muted: true });
        }
        self.trunk = None;
        self.story.status = status;
        self.tell_status(&failure(reason, status));
        self.timers.clear_all();
        self.timers.set(Timer::Linger, at.now + linger);
        self.enter(Stage::Lingering(reason), reason.row().label);
        true
    }
}

/// What people see below the name of a phone that was called in vain: words that the web client translates where it has
/// some, else the SIP reason phrase (RFC 3261 §21).
fn failure(reason: EndReason, status: Option<u16>) -> String {
    let words = match (reason, status) {
        (EndReason::NoAnswer, _) | (_, Some(408 | 487)) => "expired",
        (_, Some(486 | 600)) => "busy",
        (_, Some(603 | 607 | 608)) => "rejected",
        // Numbers that lead nowhere look the same to who dialled them.
        (_, Some(404 | 410 | 484 | 485 | 604)) => "Not Found",
        (_, Some(401 | 402 | 403 | 405 | 407)) => "Forbidden",
        (_, Some(480)) => "Temporarily Unavailable",
        // It answered, in a way of which nothing can be made.
        (_, Some(200..=299 | 488 | 606)) => "Not Acceptable Here",
        (_, Some(500..=599)) => "Service Unavailable",
        (_, Some(status)) => return format!("Failed ({status})"),
        (_, None) => "Service Unavailable",
    };
    words.to_owned()
}

/// Our INVITE is on its way.
const CONNECTING: &str = "Connecting";
/// The phone rings.
pub(super) const RINGING: &str = "ringing";
const CONNECTED: &str = "Connected";
/// The phone hung up.
pub(super) const DISCONNECTED: &str = "Disconnected";

#[cfg(test)]
mod tests;
