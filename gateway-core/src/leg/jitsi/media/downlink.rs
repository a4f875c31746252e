//! What the bridge sends: each packet to its source, the loudest three only.
//!
//! A source that is not chosen is not decoded; its packets are left out of the numbers the room's buffer sees, so that
//! its return is the end of a silence, not of a loss.

use std::time::{Duration, Instant};

use crate::base::limits::JITSI_SOURCES_MAX;
use crate::media::codec::CodecKind;
use crate::media::ingress::loudest::Loudest;
use crate::media::ingress::{Ingress, Source, SourceKey, SourcePacket};
use crate::media::level;
use crate::rtp::reception::{Arrival, Placed, Reception};
use crate::rtp::wire::ext::read_level;
use crate::rtp::wire::header;
use crate::rtp::wire::rtcp::ReportBlock;

use super::keys::RoomKeys;
use super::{JitsiMediaConfig, JitsiMediaCounters};

/// All streams from the bridge.
pub(super) struct Downlink {
    level_extension: Option<u8>,
    payload_type: u8,
    key_payload_type: Option<u8>,
    pub(super) keys: RoomKeys,
    /// Sorted by SSRC.
    streams: Vec<Stream>,
    loudest: Loudest,
    /// Keys of the loudest, as of the last round.
    chosen: [Option<SourceKey>; crate::base::limits::LOUDEST_STREAMS_MAX],
    next_round: Instant,
    next_report: usize,
    /// Sources that are gone: signalling frees them with the half.
    pub(super) attic: Vec<Box<Source>>,
}

struct Stream {
    ssrc: u32,
    /// Here while the leg is not attached.
    source: Option<Box<Source>>,
    reception: Reception,
    /// In dB above silence, of its last packet.
    loudness: u8,
    heard_at: Option<Instant>,
    /// Packets left out so far.
    left_out: u64,
    /// Number of the latest packet.
    latest: Option<u64>,
}

/// The room's name for a source of the bridge.
pub(super) fn key_of(ssrc: u32) -> SourceKey {
    SourceKey(u64::from(ssrc))
}

impl Downlink {
    pub(super) fn new(now: Instant, config: &JitsiMediaConfig) -> Self {
        Self {
            level_extension: config.level_extension,
            payload_type: config.opus_payload_type,
            key_payload_type: config.key_payload_type,
            keys: RoomKeys::default(),
            streams: Vec::with_capacity(JITSI_SOURCES_MAX),
            loudest: Loudest::default(),
            chosen: [None; crate::base::limits::LOUDEST_STREAMS_MAX],
            next_round: now,
            next_report: 0,
            attic: Vec::with_capacity(JITSI_SOURCES_MAX),
        }
    }

    pub(super) fn attach(&mut self, now: Instant, ingress: &mut Ingress) {
        for stream in &mut self.streams {
            stream.enter(now, ingress);
        }
    }

    pub(super) fn detach(&mut self, ingress: &mut Ingress) {
        for stream in &mut self.streams {
            stream.source = ingress.remove_source(key_of(stream.ssrc)).or(stream.source.take());
        }
    }

    /// A source was announced. Over the cap, or twice, it goes to the attic.
    pub(super) fn add(
        &mut self,
        now: Instant,
        ssrc: u32,
        source: Box<Source>,
        ingress: Option<&mut Ingress>,
    ) {
        let place = self.streams.binary_search_by_key(&ssrc, |stream| stream.ssrc);
        let (Err(place), false) = (place, self.streams.len() >= JITSI_SOURCES_MAX) else {
            return self.keep(source);
        };
        let mut stream = Stream {
            ssrc,
            source: Some(source),
            reception: Reception::default(),
            loudness: 0,
            heard_at: None,
            left_out: 0,
            latest: None,
        };
        if let Some(ingress) = ingress {
            stream.enter(now, ingress);
        }
        self.streams.insert(place, stream);
    }

    pub(super) fn remove(
        &mut self,
        ssrc: u32,
        ingress: &mut Ingress,
        counters: &mut JitsiMediaCounters,
    ) {
        if let Ok(place) = self.streams.binary_search_by_key(&ssrc, |stream| stream.ssrc) {
            let stream = self.streams.remove(place);
            self.loudest.forget(key_of(ssrc));
            if let Some(source) = ingress.remove_source(key_of(ssrc)).or(stream.source) {
                counters.jitsi_speech_concealed_ms += concealed_ms(&source);
                self.keep(source);
            }
        }
    }

    /// Keeps a source for the thread that frees the half. One too many, of a focus that announces and takes back
    /// without end, is freed here: late for once, rather than memory without end.
    fn keep(&mut self, source: Box<Source>) {
        if self.attic.len() < JITSI_SOURCES_MAX {
            self.attic.push(source);
        }
    }

    /// A decrypted RTP packet.
    pub(super) fn packet(
        &mut self,
        now: Instant,
        bytes: &[u8],
        ingress: &mut Ingress,
        counters: &mut JitsiMediaCounters,
    ) {
        let Ok((header, payload)) = header::parse(bytes) else { return };
        let place = self.streams.binary_search_by_key(&header.ssrc, |stream| stream.ssrc);
        let Some(stream) = place.ok().and_then(|place| self.streams.get_mut(place)) else {
            counters.jitsi_unknown_source += 1;
            return;
        };
        let Arrival::Fresh(placed) = stream.reception.receive(&header) else { return };
        stream.note(placed, bytes.len(), counters);
        if Some(header.payload_type) == self.key_payload_type {
            // It took a number, and is no sound: what follows it is no loss.
            stream.left_out += 1;
            counters.jitsi_key_packets += 1;
            return self.keys.packet(now, header.ssrc, header.timestamp, payload);
        }
        if header.payload_type != self.payload_type || payload.is_empty() {
            return;
        }
        stream.reception.note_audio(now, placed.timestamp, OPUS_CLOCK_HZ);
        let level = self.level_extension.and_then(|id| read_level(bytes, id));
        stream.loudness = level.map_or(LOUDNESS_UNTOLD, |told| level::SILENCE - told.level);
        stream.heard_at = Some(now);
        self.choose(now);
        let Some(stream) = place.ok().and_then(|place| self.streams.get_mut(place)) else { return };
        if !self.chosen.contains(&Some(key_of(header.ssrc))) {
            stream.left_out += 1;
            counters.jitsi_not_loudest += 1;
            return;
        }
        let packet = SourcePacket {
            codec: CodecKind::Opus,
            sequence: placed.sequence.0.saturating_sub(stream.left_out),
            timestamp: placed.timestamp,
            marker: header.marker,
            payload,
        };
        ingress.put(now, key_of(header.ssrc), packet);
    }

    /// A round of the choice for each 5 ms that passed, 200 ms of them at most.
    fn choose(&mut self, now: Instant) {
        let mut rounds = 0;
        while self.next_round <= now {
            self.next_round += ROUND;
            rounds += 1;
            if rounds > ROUNDS_MAX {
                self.next_round = now + ROUND;
                break;
            }
            self.round(now);
        }
        // A free place is taken at once: nobody waits for the next round to be heard.
        if rounds == 0 && self.chosen.iter().any(Option::is_none) {
            self.round(now);
        }
    }

    fn round(&mut self, now: Instant) {
        for stream in &self.streams {
            let fresh =
                stream.heard_at.is_some_and(|at| now.saturating_duration_since(at) < QUIET_AFTER);
            let loudness = if fresh { stream.loudness } else { 0 };
            self.loudest.consider(key_of(stream.ssrc), loudness);
        }
        self.chosen = self.loudest.choose();
    }

    /// Sound invented for the sources that are here, as long as they are.
    pub(super) fn concealed_ms(&self, ingress: Option<&Ingress>) -> u64 {
        let of = |stream: &Stream| {
            let here = stream.source.as_deref();
            let source = here.or_else(|| ingress.and_then(|it| it.source(key_of(stream.ssrc))));
            source.map_or(0, concealed_ms)
        };
        self.streams.iter().map(of).sum()
    }

    /// Of each source in turn.
    pub(super) fn report_block(&mut self) -> Option<ReportBlock> {
        for _ in 0..self.streams.len() {
            let place = self.next_report % self.streams.len();
            self.next_report = place + 1;
            let block = self.streams.get_mut(place).and_then(|it| it.reception.report_block());
            if block.is_some() {
                return block;
            }
        }
        None
    }
}

impl Stream {
    /// Counts a packet, and the numbers that were left out before it.
    fn note(&mut self, placed: Placed, bytes: usize, counters: &mut JitsiMediaCounters) {
        counters.jitsi_speech_received += 1;
        counters.jitsi_speech_received_bytes += bytes as u64;
        let number = placed.sequence.0;
        let latest = self.latest.filter(|_| !placed.new_stream).unwrap_or(number);
        match number.saturating_sub(latest.saturating_add(1)) {
            0 => {}
            left_out if left_out < LOSS_PACKETS_MAX => counters.jitsi_speech_missing += left_out,
            _ => {}
        }
        counters.jitsi_speech_overtaken += u64::from(number < latest);
        self.latest = Some(latest.max(number));
    }

    fn enter(&mut self, now: Instant, ingress: &mut Ingress) {
        if let Some(source) = self.source.take() {
            self.source = ingress.add_source(now, source).err();
        }
    }
}

/// Sound of a source that was invented.
fn concealed_ms(source: &Source) -> u64 {
    source.statistics().units_concealed / FIGURE_UNITS_PER_MS
}

const OPUS_CLOCK_HZ: u32 = 48_000;
/// Figures of a jitter buffer are in 1/48000 s.
const FIGURE_UNITS_PER_MS: u64 = 48;
/// A second: what is left out longer was not sent to us.
const LOSS_PACKETS_MAX: u64 = 50;
/// A source that tells no level counts as a voice.
const LOUDNESS_UNTOLD: u8 = 97;
const ROUND: Duration = Duration::from_millis(5);
const ROUNDS_MAX: u32 = 40;
/// Three packets of 20 ms and jitter.
const QUIET_AFTER: Duration = Duration::from_millis(150);
