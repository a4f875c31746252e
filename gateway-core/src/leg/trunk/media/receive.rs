//! The receiving side of a trunk leg: who may speak to us, what it is, and in which order it belongs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::latch::LatchVerdict;
use super::{Running, TrunkMedia};
use crate::leg::media::{FromMedia, MediaOutputs, SocketKind, Uplink};
use crate::media::codec::CodecKind;
use crate::media::dtmf::KeySource;
use crate::media::dtmf::event::EventReceiver;
use crate::rtp::reception::{Arrival, Placed, Reception, units};
use crate::rtp::session::RtpSession;
use crate::rtp::wire::header::{self, RtpHeader};
use crate::rtp::wire::{DatagramKind, datagram_kind};

/// What a trunk leg knows of the phone's stream.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) reception: Reception,
    events: EventReceiver,
    continuity: Continuity,
    /// When the phone was heard last, or should have begun.
    last_heard: Option<Instant>,
    silence_told: bool,
}

/// What a payload type means in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Audio(CodecKind),
    Event,
    ComfortNoise,
    Unknown,
}

impl TrunkMedia {
    /// A datagram came to one of the leg's sockets. Gives the phone's speech, if it held some for the conference.
    pub fn handle_packet<'a>(
        &'a mut self,
        now: Instant,
        socket: SocketKind,
        from: SocketAddr,
        bytes: &'a [u8],
        out: &mut MediaOutputs,
    ) -> Option<Uplink<'a>> {
        match datagram_kind(bytes) {
            DatagramKind::Rtp if socket == SocketKind::TrunkRtp => {
                self.handle_rtp(now, from, bytes, out)
            }
            DatagramKind::Rtcp => {
                self.handle_rtcp(now, socket, from, bytes);
                None
            }
            _ => {
                self.counters.rtp_malformed += 1;
                None
            }
        }
    }

    fn handle_rtp<'a>(
        &'a mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &'a [u8],
        out: &mut MediaOutputs,
    ) -> Option<Uplink<'a>> {
        self.counters.rtp_received += 1;
        let Ok((header, payload)) = header::parse(bytes) else {
            self.counters.rtp_malformed += 1;
            return None;
        };
        let running = self.running.as_mut()?;
        let role = role_of(&running.session, header.payload_type);
        if role == Role::Unknown {
            // An empty packet of an unknown type is a keep-alive (RFC 6263 §4.6), not a mistake.
            self.counters.rtp_unknown_payload_type += u64::from(!payload.is_empty());
            return None;
        }
        match running.latch.judge(now, from, header.ssrc) {
            LatchVerdict::Accept => (),
            LatchVerdict::Learned => out.offer(FromMedia::Latched { call: self.call, from }),
            LatchVerdict::Strange => {
                self.counters.rtp_strange_source += 1;
                return None;
            }
        }
        self.receiver.hear(now);
        let placed = match self.receiver.reception.receive(&header) {
            Arrival::Fresh(placed) => placed,
            Arrival::Duplicate => {
                self.counters.rtp_duplicate += 1;
                return None;
            }
            Arrival::Suspicious => {
                self.counters.rtp_suspicious += 1;
                return None;
            }
        };
        if placed.new_stream {
            self.receiver.events.reset();
        }
        match role {
            Role::Audio(codec) => self.take_audio(now, codec, &header, placed, payload, out),
            Role::Event => {
                self.take_event(&header, placed, payload, out);
                None
            }
            _ => {
                self.counters.rtp_comfort_noise += 1;
                self.receiver.continuity.skip(placed);
                None
            }
        }
    }

    fn take_audio<'a>(
        &'a mut self,
        now: Instant,
        codec: CodecKind,
        header: &RtpHeader,
        placed: Placed,
        payload: &'a [u8],
        out: &mut MediaOutputs,
    ) -> Option<Uplink<'a>> {
        let clock_hz = codec.row().clock_hz;
        self.receiver.reception.note_audio(now, placed.timestamp, clock_hz);
        let (sequence, timestamp, restarted) =
            self.receiver.continuity.place(now, codec, clock_hz, placed)?;
        let running = self.running.as_mut()?;
        if payload.is_empty() || !running.hears() {
            return None;
        }
        let marker = header.marker || restarted;
        let speech = Uplink { codec, sequence, timestamp, marker, payload };
        let speech = match &mut running.path.inband {
            None => Some(speech),
            Some(guard) => {
                let (key, speech) = guard.push(speech);
                if let Some(key) = key {
                    self.counters.keys_by_tone += 1;
                    let source = KeySource::Inband;
                    out.offer(FromMedia::Key { call: self.call, key, source });
                }
                speech
            }
        };
        speech.filter(|_| !self.muted)
    }

    fn take_event(
        &mut self,
        header: &RtpHeader,
        placed: Placed,
        payload: &[u8],
        out: &mut MediaOutputs,
    ) {
        self.receiver.continuity.skip(placed);
        if let Some(key) = self.receiver.events.accept(header.timestamp, payload) {
            self.counters.keys_by_event += 1;
            out.offer(FromMedia::Key { call: self.call, key, source: KeySource::Event });
        }
    }

    fn handle_rtcp(&mut self, now: Instant, socket: SocketKind, from: SocketAddr, bytes: &[u8]) {
        self.counters.rtcp_received += 1;
        let Some(running) = &mut self.running else { return };
        if !running.latch.may_report(from) {
            self.counters.rtp_strange_source += 1;
            return;
        }
        if self.rtcp.handle(now, bytes, self.sender.ssrc()).is_err() {
            self.counters.rtp_malformed += 1;
            return;
        }
        self.receiver.hear(now);
        if socket == SocketKind::TrunkRtcp {
            running.rtcp_source = Some(from);
        }
        if let Some(percent) = self.rtcp.far_loss_percent() {
            running.path.set_expected_loss(percent);
        }
    }
}

impl Receiver {
    /// The phone should be heard from now on.
    pub(super) fn expect_from(&mut self, now: Instant) {
        self.hear(now);
    }

    fn hear(&mut self, now: Instant) {
        self.last_heard = Some(now);
        self.silence_told = false;
    }

    /// Whether the phone has been silent for `timeout`; said once for each silence.
    pub(super) fn fell_silent(
        &mut self,
        now: Instant,
        running: &Running,
        timeout: Duration,
    ) -> bool {
        if !running.hears() {
            self.last_heard = Some(now);
        }
        let silent =
            self.last_heard.is_some_and(|heard| now.saturating_duration_since(heard) >= timeout);
        let tell = silent && !self.silence_told;
        self.silence_told |= tell;
        tell
    }
}

fn role_of(session: &RtpSession, payload_type: u8) -> Role {
    if let Some((_, codec)) = session.receive.iter().find(|(number, _)| *number == payload_type) {
        Role::Audio(*codec)
    } else if session.receive_events.iter().any(|event| event.payload_type == payload_type) {
        Role::Event
    } else if session.receive_comfort_noise == Some(payload_type) {
        Role::ComfortNoise
    } else {
        Role::Unknown
    }
}

/// One stream for the conference out of all the phone's streams: numbers go on over SSRC changes, restarts and codec
/// changes, and packets that carried no audio leave no gap, because a gap means loss and would be concealed.
#[derive(Debug, Default)]
struct Continuity {
    base: Option<Base>,
    /// Highest so far, and when it came.
    last: Option<(u64, u64, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Base {
    codec: CodecKind,
    /// What the stream counts from, and where that stands for the conference.
    sequence: (u64, u64),
    timestamp: (u64, u64),
}

impl Continuity {
    /// Sequence and timestamp for the conference, and whether a new stream begins. `None`: older than its stream.
    fn place(
        &mut self,
        now: Instant,
        codec: CodecKind,
        clock_hz: u32,
        placed: Placed,
    ) -> Option<(u64, u64, bool)> {
        let known = self.base.filter(|base| base.codec == codec && !placed.new_stream);
        let base = match known {
            Some(base) => base,
            None => self.begin(now, codec, clock_hz, placed),
        };
        let sequence = base
            .sequence
            .1
            .checked_add_signed(placed.sequence.0.wrapping_sub(base.sequence.0) as i64)?;
        let timestamp = base
            .timestamp
            .1
            .checked_add_signed(placed.timestamp.wrapping_sub(base.timestamp.0) as i64)?;
        let overtaken_by_restart = known.is_some() && sequence < base.sequence.1 && self.is_later();
        if overtaken_by_restart {
            return None;
        }
        if self.last.is_none_or(|(last, _, _)| sequence > last) {
            self.last = Some((sequence, timestamp, now));
        }
        Some((sequence, timestamp, known.is_none()))
    }

    /// A packet without audio took a sequence number.
    fn skip(&mut self, placed: Placed) {
        if let Some(base) = self.base.as_mut().filter(|_| !placed.new_stream) {
            base.sequence.0 += 1;
        } else {
            self.base = None;
        }
    }

    fn begin(&mut self, now: Instant, codec: CodecKind, clock_hz: u32, placed: Placed) -> Base {
        let (sequence, timestamp) = match self.last {
            None => (FIRST_SEQUENCE, FIRST_TIMESTAMP),
            Some((sequence, timestamp, at)) => {
                let passed = units(now.saturating_duration_since(at), clock_hz);
                (sequence + 1, timestamp + passed.max(u64::from(clock_hz / 50)))
            }
        };
        let base = Base {
            codec,
            sequence: (placed.sequence.0, sequence),
            timestamp: (placed.timestamp, timestamp),
        };
        self.base = Some(base);
        base
    }

    /// Whether this is not the first stream: numbers below the base belong to one before.
    fn is_later(&self) -> bool {
        self.base.is_some_and(|base| base.sequence.1 > FIRST_SEQUENCE)
    }
}

/// Room below for packets that overtook the first one.
const FIRST_SEQUENCE: u64 = 1 << 16;
const FIRST_TIMESTAMP: u64 = 1 << 32;
