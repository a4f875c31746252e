//! The conference side of a test phone: joins at once, alone in a room of its own, and plays and records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use gateway_core::base::ids::{LegKey, RoomKey};
use gateway_core::base::rng::Rng;
use gateway_core::leg::backend::{
    Backend, BackendInput, BackendOutput, JoinRefused, JoinRequest, LegCommand, RoomFacts,
};
use gateway_core::leg::media::ToMedia;
use gateway_core::leg::phone_line::{PcmTap, PhoneLine, PhoneLineConfig};
use gateway_core::media::clip::Clip;
use gateway_core::media::codec::CodecKind;
use gateway_core::media::ingress::Ingress;

/// The backend of a test phone.
pub struct PhoneBackend {
    codecs: Vec<CodecKind>,
    play: Option<Arc<Clip>>,
    record: Option<Arc<PcmTap>>,
    rooms: BTreeMap<LegKey, RoomKey>,
    opened: u64,
    outputs: VecDeque<BackendOutput>,
}

impl PhoneBackend {
    /// Plays `play` over and over and records into `record`.
    pub fn new(
        codecs: Vec<CodecKind>,
        play: Option<Arc<Clip>>,
        record: Option<Arc<PcmTap>>,
    ) -> Self {
        let (rooms, outputs) = (BTreeMap::new(), VecDeque::new());
        Self { codecs, play, record, rooms, opened: 0, outputs }
    }
}

impl Backend for PhoneBackend {
    fn open_leg(
        &mut self,
        _now: Instant,
        leg: LegKey,
        ask: JoinRequest,
        _rng: Rng,
    ) -> Result<(), JoinRefused> {
        self.opened += 1;
        // Embedded rooms count from below; these count from above.
        let room = RoomKey(u64::MAX - self.opened);
        let half = PhoneLine::new(PhoneLineConfig {
            key: self.opened,
            codecs: self.codecs.clone(),
            rate: ask.codec.row().pcm_rate,
            play: self.play.clone(),
            repeat: true,
            record: self.record.clone(),
        });
        self.rooms.insert(leg, room);
        let open = ToMedia::OpenRoom { room, ingress: Ingress::new(MEMBERS_MAX) };
        let attach = ToMedia::AttachConference { call: leg.call, room, half };
        self.outputs.push_back(BackendOutput::Media(leg, open));
        self.outputs.push_back(BackendOutput::Media(leg, attach));
        self.outputs.push_back(BackendOutput::Joined(leg, RoomFacts { room, members: 1 }));
        Ok(())
    }

    fn handle_input(&mut self, _now: Instant, _input: BackendInput) {}

    fn command(&mut self, _now: Instant, leg: LegKey, command: LegCommand) {
        let LegCommand::Leave(reason) = command else { return };
        let Some(room) = self.rooms.remove(&leg) else { return };
        let detach = ToMedia::DetachConference(leg.call);
        self.outputs.push_back(BackendOutput::Media(leg, detach));
        self.outputs.push_back(BackendOutput::Media(leg, ToMedia::CloseRoom(room)));
        self.outputs.push_back(BackendOutput::Left(leg, reason));
    }

    fn poll_output(&mut self) -> Option<BackendOutput> {
        self.outputs.pop_front()
    }
}

/// The phone's ear and the far side's voice.
const MEMBERS_MAX: usize = 2;
