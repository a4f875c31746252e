//! One call of a shard: a phone on one side, a stand-in bridge with real DTLS-SRTP keys and voices on the other, and if
//! wished further phones in the same room. For tests and figures; compiled for tests and behind the feature `_testkit`
//! only.
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
use crate::leg::jitsi::testkit::{StandInBridge, leg_and_bridge_of};
use crate::leg::media::{ConferenceCommand, ConferenceEvent, FromMedia, SocketKind, ToMedia};
use crate::leg::trunk::media::{AudioPath, TrunkMedia, TrunkMediaConfig};
use crate::media::codec::{self, CodecKind, EncoderSettings, PAYLOAD_BYTES_MAX};
use crate::media::frame::SampleRate;
use crate::media::ingress::Ingress;
use crate::media::tone;
use crate::rtp::session::{Direction, EventFormat, Latching, RtpSession};
use crate::webrtc::transport::Media;

/// Runs the work and says what it cost.
pub type Judge = fn(&mut dyn FnMut()) -> u64;

/// A call between a phone and a stand-in bridge; others may stand in the same room.
pub struct BridgedCall {
    now: Instant,
    /// When the recording began.
    began: Instant,
    /// Where it lives.
    pub shard: Shard,
    /// Its key.
    pub call: CallKey,
    judge: Judge,
    /// The first listens for all of them, as one phone of a room does: voices come to it alone.
    phones: Vec<Phone>,
    /// The phone's RTP, one packet a frame.
    speech: Vec<Vec<u8>>,
    /// RTP that came to the bridge, and to the first phone, once somebody asks for it.
    recorded: Option<[Vec<Passed>; 2]>,
    /// What the others say.
    voices: Vec<Vec<i16>>,
    /// What the shard told signalling.
    pub home: Vec<FromMedia>,
    /// What it came to.
    pub tally: Tally,
}

/// An RTP packet and when it came, seconds of virtual time since [`BridgedCall::record`].
#[derive(Clone, Debug)]
pub struct Passed {
    /// When.
    pub at: Duration,
    /// The plain packet.
    pub packet: Vec<u8>,
}

/// One of the room's phones.
struct Phone {
    call: CallKey,
    bridge: StandInBridge,
    /// Under way to the bridge.
    flying: Vec<Vec<u8>>,
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
        Self::with_phones(1, codec, voices, frames, judge)
    }

    /// So many phones in one room, all of which speak; the tally is of all.
    pub fn with_phones(
        count: u16,
        codec: CodecKind,
        voices: u32,
        frames: usize,
        judge: Judge,
    ) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a beginning: only differences of it matter")]
        let now = Instant::now();
        let config = ShardConfig { calls_max: usize::from(count) + 3, rooms_max: 2 };
        let mut shard = Shard::new(config, now);
        let ingress = Ingress::new(15 + usize::from(count));
        shard.command(now, ToMedia::OpenRoom { room: ROOM, ingress });
        let mut keys = SlotMap::<CallKey, ()>::with_key();
        let mut phones: Vec<Phone> = (0..count)
            .map(|number| Phone::enter(&mut shard, now, codec, number, keys.insert(())))
            .collect();
        let (call, bridge) = (phones[0].call, &mut phones[0].bridge);
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
            phones,
            speech: speech(codec, frames),
            recorded: None,
            began: now,
            voices: (0..u64::from(voices)).map(|seed| voice(20 + seed)).collect(),
            home: Vec::with_capacity(4_096),
            tally: Tally::default(),
        }
    }

    /// The phone says this, at its codec's rate, and the network loses the packets for which `is_lost` says so.
    pub fn say(&mut self, codec: CodecKind, pcm: &[i16], mut is_lost: impl FnMut(usize) -> bool) {
        self.speech = packets(codec, pcm);
        for (frame, packet) in self.speech.iter_mut().enumerate() {
            if is_lost(frame) {
                packet.clear();
            }
        }
    }

    /// Two seconds without sound. False: there are no keys.
    pub fn connect(&mut self) -> bool {
        for _ in 0..400 {
            self.wake(None);
        }
        self.tally = Tally::default();
        let connected = self.home.iter().filter(|said| {
            matches!(said, FromMedia::Conference { event: ConferenceEvent::Connected, .. })
        });
        connected.count() == self.phones.len()
    }

    /// One frame of everybody, 20 ms. False: the bridge could not send.
    pub fn talk(&mut self, frame: usize) -> bool {
        let mut sent = true;
        for (ssrc, pcm) in (1..).zip(&self.voices) {
            sent &= self.phones[0]
                .bridge
                .say(ssrc, pcm.get(frame * 960..).map_or(&[][..], |it| &it[..960]));
        }
        self.wake(Some(frame));
        (0..3).for_each(|_| self.wake(None));
        sent
    }

    /// 5 ms in which nobody says anything new.
    pub fn rest(&mut self) {
        self.wake(None);
    }

    /// From now on every packet of sound is kept; [`Self::recorded`] gives them.
    pub fn record(&mut self) {
        self.began = self.now;
        self.recorded = Some(Default::default());
    }

    /// What came to the bridge, and what to the first phone.
    pub fn recorded(&mut self) -> [Vec<Passed>; 2] {
        self.recorded.take().unwrap_or_default()
    }

    /// What a phone of `codec` says in [`Self::talk`], at its codec's rate.
    pub fn phone_says(codec: CodecKind, frames: usize) -> Vec<i16> {
        let rate = codec.row().pcm_rate;
        let mut pcm = tone::speech(rate, 3, rate.frame_samples() * frames);
        let pause = rate.samples(2_000)..rate.samples(3_000).min(pcm.len());
        pcm.get_mut(pause).unwrap_or_default().fill(0);
        pcm
    }

    /// What the voices at the bridge say, at 48 kHz.
    pub fn voices(&self) -> &[Vec<i16>] {
        &self.voices
    }

    /// Something signalling wants.
    pub fn command(&mut self, command: ToMedia) {
        self.shard.command(self.now, command);
    }

    /// 5 ms: what the bridge sent, a packet of each phone, the tick, what leaves.
    fn wake(&mut self, frame: Option<usize>) {
        self.now += Duration::from_millis(5);
        let mut buffer = [0; RTP_DATAGRAM_BYTES_MAX];
        let (shard, now, tally) = (&mut self.shard, self.now, &mut self.tally);
        for phone in &mut self.phones {
            for bytes in std::mem::take(&mut phone.flying) {
                let Some(received) = phone.bridge.receive(now, &bytes) else { continue };
                tally.to_bridge += 1;
                // It left with the tick before.
                let at = (now - self.began).saturating_sub(Duration::from_millis(5));
                if let (Some([up, _]), Media::Rtp) = (&mut self.recorded, received.media) {
                    up.push(Passed { at, packet: received.bytes.to_vec() });
                }
            }
            phone.bridge.handle_timeout(now);
            while let Some(length) = phone.bridge.transmit(&mut buffer) {
                let (bytes, from) = (&buffer[..length], StandInBridge::address());
                let cost = (self.judge)(&mut || {
                    shard.handle_packet(now, phone.call, CONFERENCE, from, bytes);
                });
                match bytes[0] {
                    128.. => tally.media_cost += cost,
                    _ => tally.control_cost += cost,
                }
            }
            let packet = frame.and_then(|frame| self.speech.get(frame));
            if let Some(packet) = packet.filter(|packet| !packet.is_empty()) {
                let (from, socket) = (SocketAddr::from(PHONE), SocketKind::TrunkRtp);
                tally.media_cost += (self.judge)(&mut || {
                    shard.handle_packet(now, phone.call, socket, from, packet);
                });
            }
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
            let Some((call, transmit)) = sent else { break };
            let phone = self.phones.iter_mut().find(|phone| phone.call == call);
            if let (CONFERENCE, Some(phone)) = (transmit.socket, phone) {
                is_control |= buffer[0] < 128;
                phone.flying.push(buffer[..transmit.length].to_vec());
            } else {
                self.tally.to_phone += 1;
                if let (Some([_, down]), true) = (&mut self.recorded, call == self.call) {
                    let packet = buffer[..transmit.length].to_vec();
                    down.push(Passed { at: now - self.began, packet });
                }
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

impl Phone {
    fn enter(
        shard: &mut Shard,
        now: Instant,
        codec: CodecKind,
        number: u16,
        call: CallKey,
    ) -> Phone {
        let (half, bridge) = leg_and_bridge_of(now, codec, number);
        let config = TrunkMediaConfig { silence_timeout: Duration::from_secs(30) };
        let trunk = TrunkMedia::new(call, config, Rng::from_number(2));
        shard.command(now, ToMedia::AttachTrunk { call, half: trunk });
        let session = session(codec);
        let path = AudioPath::new(&session);
        shard.command(now, ToMedia::Configure { call, path, session });
        shard.command(now, ToMedia::AttachConference { call, room: ROOM, half });
        Phone { call, bridge, flying: Vec::with_capacity(64) }
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
        // As nearly every phone has: without them tones are looked for, which costs CPU and 20 ms.
        receive_events: [EventFormat { payload_type: 100, clock_hz: row.clock_hz }]
            .into_iter()
            .collect(),
        receive_comfort_noise: None,
        packet_time_ms: 20,
        direction: Direction::SendRecv,
        latching: Latching::LearnOnce,
        srtp: None,
    })
}

fn speech(codec: CodecKind, frames: usize) -> Vec<Vec<u8>> {
    packets(codec, &BridgedCall::phone_says(codec, frames))
}

fn packets(codec: CodecKind, pcm: &[i16]) -> Vec<Vec<u8>> {
    let row = codec.row();
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
