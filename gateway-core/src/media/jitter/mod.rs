//! The jitter buffer of one stream: packets in at any time, 5 ms of sound out at every tick.
//!
//! No clock inside, no allocation after construction. A packet is never played after its successor. What is
//! missing when it is due is recovered from the next packet, concealed by the codec, or by repeating pitch periods.
//! Sound is held back as long as [`delay::DelayEstimator`] thinks it must, and stretched by pitch periods to get
//! there. When nothing is left to play, the play pointer stands still: an underrun turns into delay, not into loss.
//!
//!   Waiting (for the first packet's time, or a talkspurt's) -> Playing <-> Holding (nothing to play)
//!
//! A timestamp jump without a sequence gap, and a gap after a discontinuous-transmission frame, are silence.

pub mod delay;
mod packets;
mod pcm;
pub mod pitch;
mod playout;
mod statistics;
#[cfg(any(test, feature = "_testkit"))]
pub mod traces;

use std::time::{Duration, Instant};

use self::delay::DelayEstimator;
use self::packets::PacketStore;
use self::pcm::PcmQueue;
pub use self::statistics::JitterStatistics;
use super::codec::set::DecoderSet;
use super::codec::{CodecKind, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX};
use super::frame::SampleRate;
use super::ingress::SourcePacket;
use super::plc::Concealer;

/// Bounds of the delay a jitter buffer may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterLimits {
    /// Least delay above the fastest path, in ms. Below 10 the 5 ms tick itself causes underruns.
    pub delay_ms_min: u16,
    /// Largest delay, in ms. Above 150 ms people begin to talk over each other; bursts later than this are cut.
    pub delay_ms_max: u16,
}

impl Default for JitterLimits {
    fn default() -> Self {
        Self { delay_ms_min: 10, delay_ms_max: 400 }
    }
}

/// What 5 ms of sound are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// Nobody spoke: silence was written.
    Silence,
    /// Sound of the stream, real or concealed.
    Sound,
}

/// The jitter buffer of one stream.
#[derive(Debug)]
pub struct JitterBuffer {
    limits: JitterLimits,
    /// Times are counted from the first packet.
    epoch: Option<Epoch>,
    packets: PacketStore,
    seen: SeenSequences,
    estimator: DelayEstimator,
    pcm: PcmQueue,
    concealer: Concealer,
    play: Play,
    /// When loss was last noticed, in ticks: in-band redundancy needs the next packet, so delay rises for a while.
    loss_ticks_left: u32,
    ticks_since_stretch: u32,
    /// Ticks for which the delay has been too large.
    ticks_above_target: u32,
    statistics: JitterStatistics,
    scratch: Box<[u8; PAYLOAD_BYTES_MAX]>,
    recovered: Box<[i16]>,
}

/// Origin of arrival times and timestamps.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    arrival: Instant,
    timestamp: u64,
    clock_hz: u32,
}

impl Epoch {
    fn micros(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.arrival).as_micros()).unwrap_or(i64::MAX)
    }

    /// When `timestamp` was sampled, on the sender's clock.
    fn sent(&self, timestamp: u64) -> i64 {
        let units = timestamp.wrapping_sub(self.timestamp).cast_signed();
        units.saturating_mul(1_000_000) / i64::from(self.clock_hz)
    }
}

/// Where the play pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Play {
    state: State,
    /// Timestamp of the first unit that is not decoded yet.
    next: u64,
    /// Sequence number of the last packet that was decoded.
    sequence: u64,
    /// The last packet announced a pause.
    pause: bool,
    /// Units invented while the pointer stood still.
    held: u64,
    /// Invented ticks since the last real sound.
    invented_ticks: u32,
    /// Codec of the last packet that was decoded.
    codec: CodecKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Silence until the first packet's time has come.
    Waiting,
    /// Decoding packet after packet.
    Playing,
    /// Nothing to decode: the last sound is continued and fades.
    Holding,
}

/// Which of the last 128 sequence numbers came.
#[derive(Clone, Copy, Debug, Default)]
struct SeenSequences {
    highest: u64,
    bits: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Next,
    Overtaken,
    Duplicate,
    Ancient,
}

impl SeenSequences {
    fn mark(&mut self, sequence: u64) -> Order {
        if self.bits == 0 {
            *self = Self { highest: sequence, bits: 1 };
            return Order::Next;
        }
        if sequence > self.highest {
            let step = u32::try_from(sequence - self.highest).unwrap_or(u32::MAX);
            self.bits = self.bits.checked_shl(step).unwrap_or(0) | 1;
            self.highest = sequence;
            return Order::Next;
        }
        let Some(bit) =
            u32::try_from(self.highest - sequence).ok().and_then(|n| 1_u128.checked_shl(n))
        else {
            return Order::Ancient;
        };
        if self.bits & bit != 0 {
            return Order::Duplicate;
        }
        self.bits |= bit;
        Order::Overtaken
    }
}

impl JitterBuffer {
    /// A buffer for a stream whose decoders give at most `rate_max`.
    pub fn new(limits: JitterLimits, rate_max: SampleRate) -> Self {
        Self {
            limits,
            epoch: None,
            packets: PacketStore::default(),
            seen: SeenSequences::default(),
            estimator: DelayEstimator::new(),
            pcm: PcmQueue::new(rate_max),
            concealer: Concealer::new(rate_max),
            play: Play::waiting(),
            loss_ticks_left: 0,
            ticks_since_stretch: 0,
            ticks_above_target: 0,
            statistics: JitterStatistics::default(),
            scratch: Box::new([0; PAYLOAD_BYTES_MAX]),
            recovered: vec![0; PAYLOAD_SAMPLES_MAX * rate_max.hz() as usize / 48_000].into(),
        }
    }

    /// A packet arrived at `now`.
    pub fn put(&mut self, now: Instant, packet: SourcePacket<'_>, decoders: &mut DecoderSet) {
        let clock_hz = packet.codec.row().clock_hz;
        let Some((units, pause)) = measure(&packet, clock_hz, decoders) else {
            self.statistics.packets_invalid += 1;
            return;
        };
        if self.is_another_stream(now, &packet, clock_hz) {
            self.restart(decoders);
        }
        let epoch = *self.epoch.get_or_insert(Epoch {
            arrival: now,
            timestamp: packet.timestamp,
            clock_hz,
        });
        let order = self.seen.mark(packet.sequence);
        match order {
            Order::Duplicate => return self.statistics.packets_duplicate += 1,
            Order::Ancient => return self.statistics.packets_late += 1,
            Order::Overtaken => self.statistics.packets_reordered += 1,
            Order::Next => {}
        }
        let (arrival, sent) = (epoch.micros(now), epoch.sent(packet.timestamp));
        self.estimator.packet(arrival, sent, order == Order::Overtaken);
        self.statistics.last_arrival = Some(now);
        let end = packet.timestamp.saturating_add(u64::from(units));
        if self.play.state != State::Waiting && end <= self.play.next {
            self.statistics.packets_late += 1;
            return;
        }
        self.statistics.packets_received += 1;
        let dropped = self.packets.insert(
            packet.sequence,
            packet.timestamp,
            units,
            packet.codec,
            pause,
            packet.payload,
        );
        self.statistics.packets_overflowed += dropped as u64;
        if dropped > 0 {
            self.follow_overflow();
        }
    }

    /// What the store had to let go is passed over: concealing it at the pace at which more of it goes would never end.
    fn follow_overflow(&mut self) {
        let Some(first) = self.packets.first() else { return };
        if self.play.state != State::Waiting && self.play.next < first.timestamp {
            self.play.next = first.timestamp;
            self.play.sequence = first.sequence.wrapping_sub(1);
            self.play.pause = false;
            self.play.held = 0;
        }
    }

    /// Forgets the stream but not what was learned about the network: another SSRC, or the speaker was muted.
    pub fn restart(&mut self, decoders: &mut DecoderSet) {
        self.epoch = None;
        self.packets.clear();
        self.seen = SeenSequences::default();
        self.estimator.restart();
        self.pcm.restart(self.pcm.rate());
        self.concealer.stop();
        self.play = Play::waiting();
        decoders.reset();
        self.statistics.restarts += 1;
    }

    /// Figures since construction.
    pub fn statistics(&self) -> &JitterStatistics {
        &self.statistics
    }

    /// Audio to hold back above the fastest path, as the buffer aims for now.
    pub fn target(&self) -> Duration {
        Duration::from_micros(self.target_micros().unsigned_abs())
    }

    /// Rate of the sound it gives at present.
    pub fn rate(&self) -> SampleRate {
        self.pcm.rate()
    }

    /// Whether nothing waits and nothing sounds.
    pub fn is_idle(&self) -> bool {
        self.play.state == State::Waiting && self.packets.is_empty()
    }

    fn target_micros(&self) -> i64 {
        let least = i64::from(self.limits.delay_ms_min) * 1_000;
        let most = i64::from(self.limits.delay_ms_max) * 1_000;
        let for_redundancy = if self.loss_ticks_left > 0 { REDUNDANCY_US } else { 0 };
        self.estimator.target().max(for_redundancy).max(least).min(most.max(least))
    }

    /// A clock, a timestamp or a sequence number from nowhere, or the first packet after a second of nothing.
    fn is_another_stream(&self, now: Instant, packet: &SourcePacket<'_>, clock_hz: u32) -> bool {
        let Some(epoch) = self.epoch else { return false };
        if epoch.clock_hz != clock_hz {
            return true;
        }
        let silent_since = self.statistics.last_arrival.unwrap_or(now);
        if now.saturating_duration_since(silent_since) > GAP_MAX {
            return true;
        }
        let reference = self.packets.last().map_or(self.play.next, packets::Waiting::end);
        packet.timestamp.abs_diff(reference) > u64::from(clock_hz) * JUMP_SECONDS_MAX
            || packet.sequence.abs_diff(self.seen.highest) > SEQUENCE_JUMP_MAX
    }
}

impl Play {
    fn waiting() -> Self {
        Self {
            state: State::Waiting,
            next: 0,
            sequence: 0,
            pause: false,
            held: 0,
            invented_ticks: 0,
            codec: playout::FIRST_CODEC,
        }
    }
}

/// Length in RTP units and whether a pause follows; `None` for nonsense.
fn measure(
    packet: &SourcePacket<'_>,
    clock_hz: u32,
    decoders: &mut DecoderSet,
) -> Option<(u32, bool)> {
    let decoder = decoders.get(packet.codec)?;
    let samples = decoder.payload_samples(packet.payload);
    let units = samples as u64 * u64::from(clock_hz) / u64::from(decoder.rate().hz());
    let units = u32::try_from(units).ok().filter(|units| *units > 0)?;
    Some((units, decoder.is_pause(packet.payload)))
}

/// After a second without packets everything but the learned jitter starts afresh.
const GAP_MAX: Duration = Duration::from_secs(1);
/// A timestamp this far away belongs to another stream.
const JUMP_SECONDS_MAX: u64 = 5;
/// 64 s of 20 ms packets.
const SEQUENCE_JUMP_MAX: u64 = 3_200;
/// While packets are lost and carry redundancy, the next one must be here when one is missed.
const REDUNDANCY_US: i64 = 30_000;

#[cfg(test)]
mod tests;
