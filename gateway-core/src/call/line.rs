//! The telephone's side of a call: its ports, what its dialog tells, the answer, hold.

use std::net::SocketAddr;
use std::time::Instant;

use crate::call::dialling::RINGING;
use crate::call::event::{DialOrder, Event};
use crate::call::machine::{
    ACK_PATIENCE, ANSWER_WITHIN, Call, CallOutput, OWNER_ANSWERS_WITHIN, Stage, Timer, codecs_of,
};
use crate::call::story::{Birth, Dialling};
use crate::call::{CallDirection, Moment};
use crate::leg::backend::LegCommand;
use crate::leg::end_reason::EndReason;
use crate::leg::media::ToMedia;
use crate::leg::trunk::media::{AudioPath, TrunkMedia, TrunkMediaConfig};
use crate::leg::trunk::signal::{TrunkCommand, TrunkInput, TrunkOutput, TrunkSignal};
use crate::media::codec::CodecKind;
use crate::media::dtmf::KeySource;
use crate::rtp::session::RtpSession;
use crate::sip::endpoint::{OutgoingInvite, UaEvent};

impl Call {
    pub(super) fn media_opened(&mut self, at: Moment, address: SocketAddr) {
        self.is_media_open = true;
        let Stage::Opening(birth) = &mut self.stage else {
            // It ended while the ports were opened.
            self.outputs.push_back(CallOutput::CloseMedia);
            return;
        };
        let rng = self.rng.fork("trunk");
        match birth.take() {
            Some(Birth::Invited { dialog, facts, offer }) => {
                let policy = self.policy.clone();
                let busy = self.manners.busy_for_all;
                self.trunk = Some(TrunkSignal::incoming(dialog, offer, address, policy, rng, busy));
                self.enter(Stage::Routing, "ports open");
                self.drain_trunk(at);
                if self.reason.is_none() {
                    let event =
                        Event::RouteNeeded { call: self.key, trunk: self.story.trunk, facts };
                    self.outputs.push_back(CallOutput::Event(event));
                    self.timers.set(Timer::Owner, at.now + OWNER_ANSWERS_WITHIN);
                }
            }
            Some(Birth::Dialled(dialling)) => {
                if let DialOrder::RoomFirst(times) = dialling.order {
                    return self.dial_into_room(*dialling, address, times);
                }
                let (trunk, offer) = TrunkSignal::outgoing(address, self.policy.clone(), rng);
                self.trunk = Some(trunk);
                self.enter(Stage::Calling, "ports open");
                self.dial(*dialling, offer);
            }
            Some(Birth::Browser(birth)) => self.browser_opened(at, address, *birth),
            None => {}
        }
    }

    fn dial(&mut self, dialling: Dialling, offer: Vec<u8>) {
        self.language = dialling.route.language;
        self.route = Some(dialling.route);
        self.keys_to_send = dialling.keys;
        self.is_quiet = dialling.quiet;
        let invite = OutgoingInvite {
            trunk: self.story.trunk,
            target: dialling.target,
            from_user: dialling.from_user,
            from_name: dialling.from_name,
            headers: dialling.headers,
            offer,
            answer_within: ANSWER_WITHIN,
        };
        self.outputs.push_back(CallOutput::Invite(Box::new(invite)));
    }

    pub(super) fn ua_event(&mut self, at: Moment, event: UaEvent) {
        match &mut self.trunk {
            Some(trunk) => trunk.handle_input(at.now, TrunkInput::Ua(event)),
            // Not even its ports are open, and the caller gave up.
            None => {
                if let UaEvent::Ended { .. } = event {
                    self.trunk_over(at, EndReason::CallerCancelled, Some(487));
                }
            }
        }
    }

    pub(super) fn drain_trunk(&mut self, at: Moment) {
        while let Some(output) = self.trunk.as_mut().and_then(TrunkSignal::poll_output) {
            match output {
                TrunkOutput::Ua(command) => self.outputs.push_back(CallOutput::Ua(command)),
                TrunkOutput::Configure(session) => self.configure(*session),
                TrunkOutput::EarlyMedia(session) => self.early_media(*session),
                TrunkOutput::Ringing => {
                    self.story.rang = true;
                    self.tell_status(RINGING);
                }
                TrunkOutput::Established => self.established(at),
                TrunkOutput::HeldByPeer(held) => self.held_by_peer(at, held),
                TrunkOutput::Key(key) => self.key_arrived(at, key, KeySource::Info),
                TrunkOutput::Json(body) => self.info_received(at, &body),
                TrunkOutput::Ended { reason, status } => self.trunk_over(at, reason, status),
            }
        }
    }

    pub(super) fn configure(&mut self, session: RtpSession) {
        if matches!(self.stage, Stage::Closing | Stage::Over) {
            return;
        }
        self.attach_trunk();
        self.configure_media(session.clone());
        let codecs = codecs_of(&session);
        self.session = Some(session);
        let is_new = |seat: &Vec<CodecKind>| codecs.iter().any(|codec| !seat.contains(codec));
        if self.seat.as_ref().is_some_and(is_new) {
            self.seat = Some(codecs.clone());
            self.outputs.push_back(CallOutput::Leg(LegCommand::Codecs(codecs)));
        }
    }

    pub(super) fn configure_media(&mut self, session: RtpSession) {
        let path = AudioPath::new(&session);
        self.media(ToMedia::Configure { call: self.key, path, session: Box::new(session) });
    }

    /// The phone's place on the shard: its seat may be taken beside it, before there is a session.
    pub(super) fn attach_trunk(&mut self) {
        if self.is_attached {
            return;
        }
        self.is_attached = true;
        let config = TrunkMediaConfig { silence_timeout: self.settings.media_timeout };
        let half = TrunkMedia::new(self.key, config, self.rng.fork("media"));
        self.media(ToMedia::AttachTrunk { call: self.key, half });
        if let Some(line) = self.browser.take_line() {
            self.media(ToMedia::AttachLine { call: self.key, line });
        }
    }

    fn established(&mut self, at: Moment) {
        if matches!(self.stage, Stage::Dialling(_)) {
            return self.dial_answered(at);
        }
        if self.story.direction == CallDirection::Outbound && self.story.answered.is_none() {
            self.mark_answered(at);
            self.enter(Stage::Joining, "answered");
            self.begin_keys(at);
        }
        self.become_audible(at);
    }

    /// Answers a call that came in, if that was not done yet.
    pub(super) fn answer(&mut self, at: Moment) {
        if self.story.answered.is_some() || self.story.direction == CallDirection::Outbound {
            return;
        }
        let Some(trunk) = &mut self.trunk else { return };
        trunk.command(at.now, TrunkCommand::Answer);
        self.mark_answered(at);
        self.timers.set(Timer::AckPatience, at.now + ACK_PATIENCE);
        self.drain_trunk(at);
    }

    pub(super) fn mark_answered(&mut self, at: Moment) {
        self.story.answered = Some(at);
        if let Some(info) = &mut self.info {
            info.answered(at.now);
        }
        self.story.status = Some(200);
        self.outputs.push_back(CallOutput::Event(Event::CallAnswered(self.key)));
        self.limit_length(at.now);
    }

    /// The length counts from the answer; a route may shorten it.
    pub(super) fn limit_length(&mut self, now: Instant) {
        let Some(answered) = self.story.answered else { return };
        let gateway = self.settings.call_length_max;
        let wanted = self.route.as_ref().and_then(|route| route.length_max).unwrap_or(gateway);
        let until = answered.now + wanted.min(gateway);
        self.timers.set(Timer::Length, until.max(now));
    }

    pub(super) fn become_audible(&mut self, at: Moment) {
        if self.is_audible || self.session.is_none() {
            return;
        }
        self.is_audible = true;
        self.timers.clear(Timer::AckPatience);
        match &self.stage {
            Stage::Asking(_) => self.begin_question(at),
            Stage::Joining if self.seat.is_none() => self.ask_for_seat(),
            Stage::Ending(_) => self.begin_last_words(at),
            _ => {}
        }
    }

    /// Hold: the peer's hold music stays out of the room, and nobody is hurried who cannot type.
    fn held_by_peer(&mut self, at: Moment, held: bool) {
        self.is_held = held;
        self.media(ToMedia::Mute { call: self.key, muted: held || self.is_muted });
        match (&mut self.stage, held) {
            (Stage::Asking(asking), true) => asking.suspend(at.now),
            (Stage::Asking(asking), false) if asking.is_untouched() => {
                asking.restart();
                if self.is_audible {
                    self.begin_question(at);
                }
            }
            (Stage::Asking(asking), false) => asking.resume(at.now),
            (Stage::Ending(_), true) => self.hang_up(at),
            _ => {}
        }
    }
}
