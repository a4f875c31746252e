//! The phone's speech on its way to the bridge: put in order, made Opus, stamped, levelled.
//!
//! A missing packet is waited for 20 ms. What never came of G.711 and G.722 is concealed here, where the pitch is known
//! exactly; of Opus it leaves a gap in our sequence numbers, so that the listeners conceal it. Silence that is not sent
//! leaves a gap in the timestamps alone. G.711 and G.722 are decoded and encoded
//! at their own rate; the packets of an Opus phone are passed on as they are, and decoded for their level only.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::{JitsiMediaConfig, JitsiMediaCounters};
use crate::base::rng::Rng;
use crate::base::time::WallClock;
use crate::leg::media::{Uplink, UplinkPlace};
use crate::media::codec::set::DecoderSet;
use crate::media::codec::{
    self, CodecKind, Encoder, EncoderSettings, OpusProfile, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX,
};
use crate::media::frame::SampleRate;
use crate::media::level;
use crate::media::plc::Concealer;
use crate::media::vad::VoiceGate;
use crate::rtp::reception::units;
use crate::rtp::wire::ext::{AudioLevel, LEVEL_EXTENSION_BYTES, write_level};
use crate::rtp::wire::header::{self, HEADER_BYTES, RtpHeader};
use crate::rtp::wire::rtcp::SenderFacts;

/// Our stream towards the bridge.
pub(super) struct UplinkStream {
    ssrc: u32,
    payload_type: u8,
    level_extension: Option<u8>,
    sequence: u16,
    packets: u32,
    octets: u32,
    /// Our timestamp and when it was sent.
    last_sent: Option<(u32, Instant)>,
    first_timestamp: u32,
    order: Reorder,
    /// How the phone's clock maps to ours.
    clock: Option<Clock>,
    decoders: DecoderSet,
    narrow: Option<Box<dyn Encoder>>,
    wide: Option<Box<dyn Encoder>>,
    gate: VoiceGate,
    /// The next packet begins a talkspurt.
    talkspurt: bool,
    pcm: Box<[i16; PAYLOAD_SAMPLES_MAX]>,
    staged: Staged,
    /// The latest sound of G.711 or G.722, and what goes on from it where packets are lost.
    past: Past,
    concealer: Concealer,
    payload: Box<[u8; PAYLOAD_BYTES_MAX]>,
    packet: Box<[u8; PACKET_BYTES_MAX]>,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    codec: CodecKind,
    theirs: u64,
    ours: u32,
}

/// PCM that waits for a frame to be full.
struct Staged {
    samples: Box<[i16]>,
    filled: usize,
    rate: SampleRate,
    /// Our timestamp of the first sample.
    timestamp: u32,
}

/// The latest sound.
struct Past {
    samples: Box<[i16]>,
    filled: usize,
}

/// Packets of the phone in order, those that overtook others held back.
struct Reorder {
    expected: Option<u64>,
    held: ArrayVec<Held, HELD_MAX>,
}

struct Held {
    until: Instant,
    codec: CodecKind,
    sequence: u64,
    timestamp: u64,
    payload: ArrayVec<u8, PAYLOAD_BYTES_MAX>,
}

impl UplinkStream {
    pub(super) fn new(config: &JitsiMediaConfig, rng: &mut Rng) -> Self {
        let settings = EncoderSettings {
            opus_bitrate: 24_000,
            opus_complexity: 1,
            opus_profile: OpusProfile::Voice,
            expected_loss_percent: 0,
        };
        let encoder = |kinds: &[CodecKind], rate| {
            let wanted = kinds.iter().any(|kind| config.codecs.contains(kind));
            wanted.then(|| codec::new_encoder(CodecKind::Opus, rate, settings))
        };
        let mut decoders = DecoderSet::new(&config.codecs);
        // For the level alone the lowest rate is enough.
        decoders.set_opus_rate(SampleRate::Hz8000);
        Self {
            ssrc: config.ssrc,
            payload_type: config.opus_payload_type,
            level_extension: config.level_extension,
            sequence: (rng.u32() & 0x7fff) as u16,
            packets: 0,
            octets: 0,
            last_sent: None,
            first_timestamp: rng.u32(),
            order: Reorder { expected: None, held: ArrayVec::new() },
            clock: None,
            decoders,
            narrow: encoder(&[CodecKind::Pcmu, CodecKind::Pcma], SampleRate::Hz8000),
            wide: encoder(&[CodecKind::G722], SampleRate::Hz16000),
            gate: VoiceGate::default(),
            talkspurt: true,
            pcm: Box::new([0; PAYLOAD_SAMPLES_MAX]),
            staged: Staged {
                samples: vec![0; STAGED_SAMPLES_MAX].into(),
                filled: 0,
                rate: SampleRate::Hz8000,
                timestamp: 0,
            },
            past: Past { samples: vec![0; PAST_SAMPLES].into(), filled: 0 },
            concealer: Concealer::new(SampleRate::Hz16000),
            payload: Box::new([0; PAYLOAD_BYTES_MAX]),
            packet: Box::new([0; PACKET_BYTES_MAX]),
        }
    }

    /// How far the stream is.
    pub(super) fn place(&self) -> UplinkPlace {
        UplinkPlace {
            ssrc: self.ssrc,
            sequence: self.sequence,
            last_sent: self.last_sent,
            sent: (self.packets, self.octets),
        }
    }

    /// The same stream in another half goes on where it was: receivers take a jump for a replay, or for loss.
    pub(super) fn go_on_from(&mut self, place: UplinkPlace) {
        self.sequence = place.sequence;
        self.last_sent = place.last_sent;
        (self.packets, self.octets) = place.sent;
    }

    /// A packet of the phone. False: it came too late.
    pub(super) fn push(&mut self, now: Instant, speech: Uplink<'_>) -> bool {
        let expected = *self.order.expected.get_or_insert(speech.sequence);
        let far = speech.sequence.abs_diff(expected) > RESTART_DISTANCE;
        if far {
            // Another stream: its numbers have nothing to do with those before.
            self.forget();
            self.order.expected = Some(speech.sequence);
        } else if speech.sequence < expected {
            return false;
        }
        let held = &mut self.order.held;
        if held.iter().any(|held| held.sequence == speech.sequence) {
            return true;
        }
        let Ok(payload) = ArrayVec::try_from(speech.payload) else { return true };
        if held.is_full() {
            held.remove(0);
        }
        let Uplink { codec, sequence, timestamp, .. } = speech;
        let place = held.partition_point(|held| held.sequence < sequence);
        let until = now + REORDER_WAIT;
        held.insert(place, Held { until, codec, sequence, timestamp, payload });
        true
    }

    /// The next packet for the bridge, header and all.
    pub(super) fn next_packet(
        &mut self,
        now: Instant,
        counters: &mut JitsiMediaCounters,
    ) -> Option<&[u8]> {
        loop {
            if let Some(length) = self.encode_staged(now, counters) {
                return self.packet.get(..length);
            }
            let held = self.order.next(now)?;
            if let Some(length) = self.take(now, &held) {
                return self.packet.get(..length);
            }
        }
    }

    /// Missing packets of the phone are missing packets of ours, up to 60 ms of them.
    fn skip(&mut self, missing: u64) {
        if missing > 0 && missing <= MISSING_TOLD_MAX && !self.talkspurt {
            self.sequence = self.sequence.wrapping_add(missing as u16);
        }
    }

    /// Decodes one; a packet of an Opus phone is written at once.
    fn take(&mut self, now: Instant, in_turn: &InTurn) -> Option<usize> {
        let InTurn { packet: held, missing } = in_turn;
        let timestamp = self.map(now, held);
        if held.codec == CodecKind::Opus {
            self.skip(*missing);
        }
        let decoder = self.decoders.get(held.codec)?;
        let rate = decoder.rate();
        let samples = decoder.decode(&held.payload, &mut self.pcm[..]).ok()?;
        let pcm = self.pcm.get(..samples)?;
        if held.codec == CodecKind::Opus {
            let ms = (samples / rate.samples(1)) as u16;
            let voice = self.gate.is_voice(pcm, ms);
            let level = AudioLevel { level: level::level_dbov(pcm), voice };
            let length = held.payload.len().min(self.payload.len());
            self.payload.get_mut(..length)?.copy_from_slice(held.payload.get(..length)?);
            return self.write(now, timestamp, level, length);
        }
        let pcm = self.pcm.get_mut(..samples)?;
        if *missing > 0 {
            self.staged.conceal(rate, timestamp, &mut self.concealer, &self.past);
            self.concealer.merge(pcm);
        }
        self.past.push(pcm);
        self.staged.put(rate, timestamp, pcm);
        None
    }

    /// Our timestamp for one of theirs. A change of codec or a restart goes on by the time that passed.
    fn map(&mut self, now: Instant, held: &Held) -> u32 {
        let clock = match self.clock {
            Some(clock) if clock.codec.row().clock_hz == held.codec.row().clock_hz => clock,
            _ => {
                let ours = self.timestamp_at(now);
                let clock = Clock { codec: held.codec, theirs: held.timestamp, ours };
                *self.clock.insert(clock)
            }
        };
        let units = u64::from(OPUS_CLOCK_HZ / held.codec.row().clock_hz);
        let passed = held.timestamp.wrapping_sub(clock.theirs).wrapping_mul(units);
        clock.ours.wrapping_add(passed as u32)
    }

    fn timestamp_at(&self, now: Instant) -> u32 {
        match self.last_sent {
            None => self.first_timestamp,
            Some((timestamp, at)) => {
                let passed = units(now.saturating_duration_since(at), OPUS_CLOCK_HZ);
                timestamp.wrapping_add((passed as u32).max(FRAME_UNITS))
            }
        }
    }

    /// Encodes the next whole frame of what waits. Frames in which nobody speaks are passed over.
    fn encode_staged(&mut self, now: Instant, counters: &mut JitsiMediaCounters) -> Option<usize> {
        while self.staged.filled >= self.staged.rate.frame_samples() {
            let samples = self.staged.rate.frame_samples();
            let timestamp = self.staged.timestamp;
            let frame = self.staged.samples.get(..samples)?;
            let voice = self.gate.is_voice(frame, 20);
            let level = AudioLevel { level: level::level_dbov(frame), voice };
            let encoder = match self.staged.rate {
                SampleRate::Hz8000 => self.narrow.as_mut(),
                _ => self.wide.as_mut(),
            };
            let length = match encoder {
                Some(encoder) if voice => encoder.encode(frame, &mut self.payload[..]),
                _ => 0,
            };
            self.staged.drop_frame();
            if length > 0 {
                return self.write(now, timestamp, level, length);
            }
            counters.jitsi_silence_saved += 1;
            self.talkspurt = true;
        }
        None
    }

    /// Writes the payload as the next packet.
    fn write(
        &mut self,
        now: Instant,
        timestamp: u32,
        level: AudioLevel,
        payload_bytes: usize,
    ) -> Option<usize> {
        let marker = std::mem::replace(&mut self.talkspurt, false);
        let header = RtpHeader {
            payload_type: self.payload_type,
            marker,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let payload = self.payload.get(..payload_bytes)?;
        header::write(header, &[], &mut self.packet[..])?;
        let mut end = HEADER_BYTES;
        if let Some(id) = self.level_extension {
            // The X bit.
            self.packet[0] |= 0x10;
            end += LEVEL_EXTENSION_BYTES;
            self.packet[HEADER_BYTES..end].copy_from_slice(&write_level(id, level));
        }
        self.packet.get_mut(end..end + payload_bytes)?.copy_from_slice(payload);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
        self.last_sent = Some((timestamp, now));
        Some(end + payload_bytes)
    }

    /// Forgets what waits (mute, another stream); the next packet begins a talkspurt.
    pub(super) fn forget(&mut self) {
        self.order = Reorder { expected: None, held: ArrayVec::new() };
        self.staged.filled = 0;
        self.past.filled = 0;
        self.concealer.stop();
        self.clock = None;
        self.talkspurt = true;
    }

    /// Loss the bridge reports, in 1/256: redundancy pays from 1 % on.
    pub(super) fn set_far_loss(&mut self, fraction: u8) {
        let percent = (u32::from(fraction) * 100).div_ceil(256) as u8;
        for encoder in [&mut self.narrow, &mut self.wide].into_iter().flatten() {
            encoder.set_expected_loss(percent);
        }
    }

    /// For a sender report; none before the first packet.
    pub(super) fn sender_facts(&self, now: Instant, wall: WallClock) -> Option<SenderFacts> {
        let (timestamp, at) = self.last_sent?;
        let passed = units(now.saturating_duration_since(at), OPUS_CLOCK_HZ) as u32;
        Some(SenderFacts {
            ntp: wall.ntp(),
            rtp_timestamp: timestamp.wrapping_add(passed),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// When something that waits for a missing packet goes without it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.order.held.first().map(|held| held.until)
    }
}

/// A packet whose turn it is.
struct InTurn {
    packet: Held,
    /// Packets before it that never came.
    missing: u64,
}

impl Reorder {
    fn next(&mut self, now: Instant) -> Option<InTurn> {
        let first = self.held.first()?;
        let expected = self.expected.unwrap_or(first.sequence);
        if first.sequence > expected && first.until > now {
            return None;
        }
        let packet = self.held.remove(0);
        self.expected = Some(packet.sequence + 1);
        Some(InTurn { missing: packet.sequence.saturating_sub(expected), packet })
    }
}

impl Staged {
    /// Appends; what does not follow on what waits begins anew.
    fn put(&mut self, rate: SampleRate, timestamp: u32, pcm: &[i16]) {
        let units = OPUS_CLOCK_HZ / rate.hz();
        let follows = self.timestamp.wrapping_add(self.filled as u32 * units);
        if self.filled == 0 || self.rate != rate || follows != timestamp {
            (self.filled, self.rate, self.timestamp) = (0, rate, timestamp);
        }
        let room = self.samples.get_mut(self.filled..).unwrap_or_default();
        let length = pcm.len().min(room.len());
        for (place, sample) in room.iter_mut().zip(pcm) {
            *place = *sample;
        }
        self.filled += length;
    }

    /// Goes on with what was heard last, up to the sound at `timestamp`; up to 60 ms, a longer gap is a pause.
    fn conceal(
        &mut self,
        rate: SampleRate,
        timestamp: u32,
        concealer: &mut Concealer,
        past: &Past,
    ) {
        let units = OPUS_CLOCK_HZ / rate.hz();
        let end = self.timestamp.wrapping_add(self.filled as u32 * units);
        let missing = timestamp.wrapping_sub(end) / units;
        let known = past.known();
        if self.rate != rate
            || missing as usize > rate.samples(CONCEALED_MS_MAX)
            || known.is_empty()
        {
            return;
        }
        concealer.start(rate, known);
        let Some(room) = self.samples.get_mut(self.filled..self.filled + missing as usize) else {
            return concealer.stop();
        };
        concealer.fill(room);
        self.filled += missing as usize;
    }

    fn drop_frame(&mut self) {
        let samples = self.rate.frame_samples();
        self.samples.copy_within(samples..self.filled, 0);
        self.filled -= samples;
        self.timestamp = self.timestamp.wrapping_add(FRAME_UNITS);
    }
}

impl Past {
    fn push(&mut self, pcm: &[i16]) {
        let pcm = pcm.get(pcm.len().saturating_sub(PAST_SAMPLES)..).unwrap_or_default();
        let over = (self.filled + pcm.len()).saturating_sub(PAST_SAMPLES);
        self.samples.copy_within(over.min(self.filled)..self.filled, 0);
        self.filled -= over.min(self.filled);
        if let Some(room) = self.samples.get_mut(self.filled..self.filled + pcm.len()) {
            room.copy_from_slice(pcm);
            self.filled += pcm.len();
        }
    }

    /// Nothing, before there is enough of it to find a pitch in.
    fn known(&self) -> &[i16] {
        let known = self.samples.get(..self.filled).unwrap_or_default();
        if known.len() < PAST_NEEDED { &[] } else { known }
    }
}

/// RFC 7587 §4.1.
const OPUS_CLOCK_HZ: u32 = 48_000;
const FRAME_UNITS: u32 = 960;
const REORDER_WAIT: Duration = Duration::from_millis(20);
/// Three packets of 10 ms can wait; more is nonsense, and the oldest goes.
const HELD_MAX: usize = 6;
/// Beyond a second of packets it is another stream.
const RESTART_DISTANCE: u64 = 100;
/// 80 ms at 8 kHz, 40 ms at 16 kHz.
const PAST_SAMPLES: usize = 640;
/// 30 ms at 16 kHz: two periods of a low voice.
const PAST_NEEDED: usize = 480;
const CONCEALED_MS_MAX: usize = 60;
/// 60 ms; a longer gap is silence to the listeners.
const MISSING_TOLD_MAX: u64 = 3;
/// 120 ms at 16 kHz and a frame.
const STAGED_SAMPLES_MAX: usize = 16 * 140;
const PACKET_BYTES_MAX: usize = HEADER_BYTES + LEVEL_EXTENSION_BYTES + PAYLOAD_BYTES_MAX;
