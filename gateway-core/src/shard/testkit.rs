//! One call of a shard: a phone on one side, a stand-in bridge with real DTLS-SRTP keys and voices on the other. For tests
//! and figures; compiled for tests and behind the feature `_testkit` only.
//!
//! All work of the shard goes through a judge who runs it and says what it cost: allocations, nanoseconds, whatever.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use super::{Shard, ShardConfig};
use crate::base::ids::{CallKey, RoomKey};
use crate::base::limits::RTP_DATAGRAM_BYTES_MAX;
use crate::base::rng::Rng;
use crate::leg::jitsi::media::remote_source;
use crate::leg::jitsi::testkit::{StandInBridge, leg_and_bridge};
use crate::leg::media::{ConferenceCommand, ConferenceEvent, FromMedia, SocketKind, ToMedia};
use crate::leg::trunk::media::{AudioPath, TrunkMedia, TrunkMediaConfig};
use crate::media::codec::{self, CodecKind, EncoderSettings, PAYLOAD_BYTES_MAX};
use crate::media::frame::SampleRate;
use crate::media::ingress::Ingress;
use crate::media::tone;
use crate::rtp::session::{Direction, Latching, RtpSession};

/// Runs the work and says what it cost.
pub type Judge = fn(&mut dyn FnMut()) -> u64;

/// A call between a phone and a stand-in bridge.
pub struct BridgedCall {
    now: Instant,
    /// Where it lives.
    pub shard: Shard,
    /// Its key.
    pub call: CallKey,
    judge: Judge,
    bridge: StandInBridge,
    /// The phone's RTP, one packet a frame.
    speech: Vec<Vec<u8>>,
    /// What the others say.
    voices: Vec<Vec<i16>>,
    /// Under way to the bridge.
    flying: Vec<Vec<u8>>,
    /// What the shard told signalling.
    pub home: Vec<FromMedia>,
    /// What it came to.
    pub tally: Tally,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// SRTP and SRTCP the bridge took.
    pub to_bridge: u32,
    /// RTP and RTCP to the phone.
    pub to_phone: u32,
    /// Cost of packets and frames.
    pub media_cost: u64,
    /// Cost of wakes that sent STUN or DTLS, and of taking those.
    pub control_cost: u64,
    /// How many of those wakes there were.
    pub control_wakes: u32,
}

impl BridgedCall {
    /// A phone that speaks `codec` (two seconds, one of silence, then on), and so many voices at the bridge.
    pub fn new(codec: CodecKind, voices: u32, frames: usize, judge: Judge) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a beginning: only differences of it matter")]
        let now = Instant::now();
        let mut shard = Shard::new(ShardConfig { calls_max: 4, rooms_max: 2 }, now);
        let call = SlotMap::<CallKey, ()>::with_key().insert(());
        let (half, mut bridge) = leg_and_bridge(now, codec);
        shard.command(now, ToMedia::OpenRoom { room: ROOM, ingress: Ingress::new(16) });
        let config = TrunkMediaConfig { silence_timeout: Duration::from_secs(30) };
        let trunk = TrunkMedia::new(call, config, Rng::from_number(2));
        shard.command(now, ToMedia::AttachTrunk { call, half: trunk });
        let session = session(codec);
        let path = AudioPath::new(&session);
        shard.command(now, ToMedia::Configure { call, path, session });
        shard.command(now, ToMedia::AttachConference { call, room: ROOM, half });
        for ssrc in 1..=voices {
            let source = remote_source(ssrc, None);
            let command = ConferenceCommand::AddSource { ssrc, source };
            shard.command(now, ToMedia::Conference { call, command });
            bridge.add_voice(ssrc);
        }
        let voice = |seed| tone::speech(SampleRate::Hz48000, seed, 960 * frames);
        Self {
            now,
            shard,
            call,
            judge,
            bridge,
            speech: speech(codec, frames),
            voices: (0..u64::from(voices)).map(|seed| voice(20 + seed)).collect(),
            flying: Vec::with_capacity(64),
            home: Vec::with_capacity(4_096),
            tally: Tally::default(),
        }
    }

    /// Two seconds without sound. False: there are no keys.
    pub fn connect(&mut self) -> bool {
        for _ in 0..400 {
            self.wake(None);
        }
        self.tally = Tally::default();
        self.home.iter().any(|said| {
            matches!(said, FromMedia::Conference { event: ConferenceEvent::Connected, .. })
        })
    }

    /// One frame of everybody, 20 ms. False: the bridge could not send.
    pub fn talk(&mut self, frame: usize) -> bool {
        let mut sent = true;
        for (ssrc, pcm) in (1..).zip(&self.voices) {
            sent &= self.bridge.say(ssrc, pcm.get(frame * 960..).map_or(&[][..], |it| &it[..960]));
        }
        self.wake(Some(frame));
        (0..3).for_each(|_| self.wake(None));
        sent
    }

    /// Something signalling wants.
    pub fn command(&mut self, command: ToMedia) {
        self.shard.command(self.now, command);
    }

    /// 5 ms: what the bridge sent, a packet of the phone, the tick, what leaves.
    fn wake(&mut self, frame: Option<usize>) {
        self.now += Duration::from_millis(5);
        let mut buffer = [0; RTP_DATAGRAM_BYTES_MAX];
        for bytes in std::mem::take(&mut self.flying) {
            self.tally.to_bridge += u32::from(self.bridge.receive(self.now, &bytes).is_some());
        }
        self.bridge.handle_timeout(self.now);
        let (shard, call, now) = (&mut self.shard, self.call, self.now);
        while let Some(length) = self.bridge.transmit(&mut buffer) {
            let (bytes, from) = (&buffer[..length], StandInBridge::address());
            let cost =
                (self.judge)(&mut || shard.handle_packet(now, call, CONFERENCE, from, bytes));
            match bytes[0] {
                128.. => self.tally.media_cost += cost,
                _ => self.tally.control_cost += cost,
            }
        }
        if let Some(packet) = frame.and_then(|frame| self.speech.get(frame)) {
            let from = SocketAddr::from(PHONE);
            let socket = SocketKind::TrunkRtp;
            self.tally.media_cost +=
                (self.judge)(&mut || shard.handle_packet(now, call, socket, from, packet));
        }
        self.tick(&mut buffer);
    }

    fn tick(&mut self, buffer: &mut [u8]) {
        let (shard, now) = (&mut self.shard, self.now);
        let mut cost = (self.judge)(&mut || shard.handle_timeout(now));
        let mut is_control = false;
        loop {
            let mut sent = None;
            cost += (self.judge)(&mut || sent = shard.poll_transmit(buffer));
            let Some((_, transmit)) = sent else { break };
            if transmit.socket == CONFERENCE {
                is_control |= buffer[0] < 128;
                self.flying.push(buffer[..transmit.length].to_vec());
            } else {
                self.tally.to_phone += 1;
            }
        }
        if is_control {
            self.tally.control_wakes += 1;
            self.tally.control_cost += cost;
        } else {
            self.tally.media_cost += cost;
        }
        while let Some(output) = shard.poll_output() {
            self.home.push(output);
        }
    }
}

fn session(codec: CodecKind) -> Box<RtpSession> {
    let row = codec.row();
    let remote = SocketAddr::from(PHONE);
    Box::new(RtpSession {
        remote_rtp: remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
        rtcp_mux: false,
        send_codec: row.kind,
        send_payload_type: row.payload_type,
        receive: [(row.payload_type, row.kind)].into_iter().collect(),
        send_events: None,
        receive_events: Default::default(),
        receive_comfort_noise: None,
        packet_time_ms: 20,
        direction: Direction::SendRecv,
        latching: Latching::LearnOnce,
    })
}

fn speech(codec: CodecKind, frames: usize) -> Vec<Vec<u8>> {
    let row = codec.row();
    let mut pcm = tone::speech(row.pcm_rate, 3, row.pcm_rate.frame_samples() * frames);
    let pause = row.pcm_rate.samples(2_000)..row.pcm_rate.samples(3_000).min(pcm.len());
    pcm.get_mut(pause).unwrap_or_default().fill(0);
    let mut encoder = codec::new_encoder(codec, row.pcm_rate, EncoderSettings::default());
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let frames = pcm.chunks_exact(row.pcm_rate.frame_samples()).zip(0_u32..);
    let packets = frames.map(|(pcm, number)| {
        let length = encoder.encode(pcm, &mut payload);
        let mut packet = vec![0x80, row.payload_type];
        packet.extend((number as u16).to_be_bytes());
        packet.extend((number * row.clock_hz / 50).to_be_bytes());
        packet.extend(0xabcd_u32.to_be_bytes());
        packet.extend(&payload[..length]);
        packet
    });
    packets.collect()
}

const CONFERENCE: SocketKind = SocketKind::Conference(0);
const PHONE: ([u8; 4], u16) = ([192, 0, 2, 9], 4_000);
const ROOM: RoomKey = RoomKey(1);
