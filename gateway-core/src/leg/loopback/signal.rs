//! The signal half of the loopback: every leg joins at once, alone, and counts as two (himself and his echo), so that
//! he hears himself and no music.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::base::ids::{LegKey, RoomKey};
use crate::base::rng::Rng;
use crate::leg::backend::{
    Backend, BackendInput, BackendOutput, JoinRefused, JoinRequest, LegCommand, RoomFacts,
};
use crate::leg::end_reason::EndReason;
use crate::leg::loopback::media::LoopbackMedia;
use crate::leg::media::{ConferenceEvent, ToMedia};
use crate::media::codec::CodecKind;
use crate::media::ingress::Ingress;

/// All echoes.
#[derive(Default)]
pub struct Loopback {
    legs: BTreeMap<LegKey, RoomKey>,
    rooms_born: u64,
    outputs: VecDeque<BackendOutput>,
}

impl Loopback {
    /// No echo, so far.
    pub fn new() -> Self {
        Self::default()
    }

    fn attach(&mut self, leg: LegKey, room: RoomKey, codecs: &[CodecKind]) {
        let rate = codecs.first().copied().unwrap_or(CodecKind::Pcma).row().pcm_rate;
        let half = LoopbackMedia::new(codecs, rate);
        let attach = ToMedia::AttachConference { call: leg.call, room, half };
        self.outputs.push_back(BackendOutput::Media(leg, attach));
    }

    fn leave(&mut self, leg: LegKey, reason: EndReason) {
        let Some(room) = self.legs.remove(&leg) else { return };
        for media in [ToMedia::DetachConference(leg.call), ToMedia::CloseRoom(room)] {
            self.outputs.push_back(BackendOutput::Media(leg, media));
        }
        self.outputs.push_back(BackendOutput::Left(leg, reason));
    }
}

impl Backend for Loopback {
    fn open_leg(
        &mut self,
        _now: Instant,
        leg: LegKey,
        ask: JoinRequest,
        _rng: Rng,
    ) -> Result<(), JoinRefused> {
        self.rooms_born += 1;
        let room = RoomKey(self.rooms_born);
        self.legs.insert(leg, room);
        let open = ToMedia::OpenRoom { room, ingress: Ingress::new(1) };
        self.outputs.push_back(BackendOutput::Media(leg, open));
        let mut codecs = vec![ask.codec];
        codecs.extend(ask.codecs.into_iter().filter(|codec| *codec != ask.codec));
        self.attach(leg, room, &codecs);
        self.outputs.push_back(BackendOutput::Joined(leg, RoomFacts { room, members: 2 }));
        Ok(())
    }

    fn handle_input(&mut self, _now: Instant, input: BackendInput) {
        // It has no streams, and a connection is no news.
        if let BackendInput::FromMedia(leg, ConferenceEvent::Lost) = input {
            self.leave(leg, EndReason::NoResources);
        }
    }

    fn command(&mut self, _now: Instant, leg: LegKey, command: LegCommand) {
        match command {
            LegCommand::Leave(reason) => self.leave(leg, reason),
            LegCommand::Codecs(codecs) => {
                let Some(room) = self.legs.get(&leg).copied() else { return };
                let detach = ToMedia::DetachConference(leg.call);
                self.outputs.push_back(BackendOutput::Media(leg, detach));
                self.attach(leg, room, &codecs);
            }
            LegCommand::Mute(_)
            | LegCommand::RaiseHand(_)
            | LegCommand::Admit
            | LegCommand::Password(_)
            | LegCommand::Status(_) => {}
        }
    }

    fn poll_output(&mut self) -> Option<BackendOutput> {
        self.outputs.pop_front()
    }
}
