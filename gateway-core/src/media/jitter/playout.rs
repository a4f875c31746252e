//! The playing half of [`JitterBuffer`]: what the next 5 ms are made of.

use std::time::Instant;

use super::packets::Waiting;
use super::pcm::{Stretched, Where};
use super::{Epoch, JitterBuffer, Pulled, State};
use crate::media::codec::CodecKind;
use crate::media::codec::set::DecoderSet;

/// How a need for sound is met.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The oldest packet is next.
    Decode,
    /// The oldest packet's time has passed.
    DropLate,
    /// Nothing is here: go on with the last sound, the pointer stands still.
    Hold,
    /// The `units` before the oldest packet are missing: invent some of them.
    Conceal { units: u64 },
    /// The missing packet is inside the oldest one: its last `units`.
    Recover { units: u64 },
    /// Nobody speaks before `to`; `lost` if what was invented meanwhile replaced lost sound.
    Jump { to: u64, lost: bool },
    /// Nobody speaks now.
    Pause,
}

impl JitterBuffer {
    /// The next 5 ms at [`JitterBuffer::rate`] (40, 80 or 240 samples of `out`; the rate may change in this call).
    pub fn pull(&mut self, now: Instant, decoders: &mut DecoderSet, out: &mut [i16]) -> Pulled {
        self.loss_ticks_left = self.loss_ticks_left.saturating_sub(1);
        let epoch = self.epoch;
        let pulled = match epoch {
            Some(epoch) if self.has_begun(now, &epoch) => self.play(now, &epoch, decoders, out),
            _ => Pulled::Silence,
        };
        if pulled == Pulled::Silence {
            out[..self.pcm.rate().tick_samples()].fill(0);
        }
        pulled
    }

    fn has_begun(&mut self, now: Instant, epoch: &Epoch) -> bool {
        if self.play.state != State::Waiting {
            return true;
        }
        let Some(first) = self.packets.first().copied() else { return false };
        let begun = self.is_due(now, epoch, first.timestamp);
        if begun {
            self.play.state = State::Playing;
            self.play.next = first.timestamp;
            self.play.sequence = first.sequence.wrapping_sub(1);
        }
        begun
    }

    /// Whether sound sampled at `timestamp` has been held back long enough.
    fn is_due(&self, now: Instant, epoch: &Epoch, timestamp: u64) -> bool {
        let due = epoch.sent(timestamp) + self.estimator.fastest() + self.target_micros();
        epoch.micros(now) >= due
    }

    fn play(
        &mut self,
        now: Instant,
        epoch: &Epoch,
        decoders: &mut DecoderSet,
        out: &mut [i16],
    ) -> Pulled {
        if !self.provide(now, epoch, decoders) {
            return Pulled::Silence;
        }
        if self.play.state == State::Playing {
            self.stretch(now, epoch, decoders);
            let delay = self.delay_micros(now, epoch).max(0).unsigned_abs();
            self.statistics.delay_sum_us = self.statistics.delay_sum_us.saturating_add(delay);
            self.statistics.delay_ticks += 1;
            self.statistics.units_played += FIGURE_UNITS_PER_TICK;
        }
        let tick = self.pcm.rate().tick_samples();
        self.pcm.take(&mut out[..tick]);
        Pulled::Sound
    }

    /// Sees to it that 5 ms wait to be played. False: this tick is silent.
    fn provide(&mut self, now: Instant, epoch: &Epoch, decoders: &mut DecoderSet) -> bool {
        // Each turn decodes, drops or jumps once; only a store full of useless packets needs many.
        for _ in 0..STEPS_MAX {
            if self.pcm.len() >= self.pcm.rate().tick_samples() {
                return true;
            }
            match self.next_step(now, epoch, decoders) {
                Step::Decode => self.decode_first(epoch, decoders),
                Step::DropLate => {
                    self.statistics.packets_late += 1;
                    self.packets.drop_first();
                }
                Step::Jump { to, lost } => {
                    if lost {
                        self.settle_held();
                    }
                    self.play.held = 0;
                    self.play.next = to;
                }
                Step::Recover { units } => self.recover(units, epoch, decoders),
                Step::Conceal { units } => self.conceal_gap(units, epoch, decoders),
                Step::Hold => return self.hold(epoch, decoders),
                Step::Pause => return self.pause(),
            }
        }
        false
    }

    fn next_step(&mut self, now: Instant, epoch: &Epoch, decoders: &mut DecoderSet) -> Step {
        let Some(first) = self.packets.first().copied() else {
            return if self.play.pause { Step::Pause } else { Step::Hold };
        };
        if first.end() <= self.play.next {
            return Step::DropLate;
        }
        let Some(gap) = first.timestamp.checked_sub(self.play.next).filter(|gap| *gap > 0) else {
            return Step::Decode;
        };
        let missing = first.sequence > self.play.sequence.wrapping_add(1);
        if !missing || self.play.pause || gap > u64::from(epoch.clock_hz) {
            return if self.is_due(now, epoch, first.timestamp) {
                Step::Jump { to: first.timestamp, lost: false }
            } else {
                Step::Pause
            };
        }
        let payload = self.packets.first_payload(&mut self.scratch);
        let redundant = decoders.get(first.codec).is_some_and(|d| d.can_recover(payload));
        if redundant {
            self.loss_ticks_left = LOSS_MEMORY_TICKS;
        }
        let Some(left) = gap.checked_sub(self.play.held).filter(|left| *left > 0) else {
            return Step::Jump { to: first.timestamp, lost: true };
        };
        if redundant && left <= u64::from(first.units) {
            return Step::Recover { units: left };
        }
        Step::Conceal { units: left }
    }

    fn decode_first(&mut self, epoch: &Epoch, decoders: &mut DecoderSet) {
        let Some(first) = self.packets.first().copied() else { return };
        let payload = self.packets.first_payload(&mut self.scratch);
        let Some(decoder) = decoders.get(first.codec) else { return self.packets.drop_first() };
        if decoder.rate() != self.pcm.rate() {
            self.pcm.restart(decoder.rate());
            self.concealer.stop();
        }
        let room = self.pcm.room(decoder.payload_samples(payload));
        match decoder.decode(payload, room) {
            Ok(samples) => {
                // A part of it may have been concealed already.
                let units = self.play.next.saturating_sub(first.timestamp);
                let done = to_samples(units, epoch, decoder.rate().hz()).min(samples);
                room.copy_within(done..samples, 0);
                let fresh = &mut room[..samples - done];
                self.concealer.merge(fresh);
                let count = fresh.len();
                self.pcm.extend(count);
                self.settle_held();
                self.advance_to(&first);
            }
            Err(_) => self.statistics.packets_invalid += 1,
        }
        self.packets.drop_first();
    }

    fn advance_to(&mut self, packet: &Waiting) {
        self.play.state = State::Playing;
        self.play.next = packet.end();
        self.play.sequence = packet.sequence;
        self.play.pause = packet.pause;
        self.play.codec = packet.codec;
        self.play.invented_ticks = 0;
    }

    /// What was invented while the pointer stood still is now known to have replaced sound.
    fn settle_held(&mut self) {
        let held = std::mem::take(&mut self.play.held);
        let clock = self.epoch.map_or(48_000, |epoch| epoch.clock_hz);
        let units = held * FIGURE_HZ / u64::from(clock);
        self.statistics.units_concealed += units;
        self.statistics.units_played += units;
    }

    fn recover(&mut self, units: u64, epoch: &Epoch, decoders: &mut DecoderSet) {
        let Some(first) = self.packets.first().copied() else { return };
        let payload = self.packets.first_payload(&mut self.scratch);
        let recovered = decoders.get(first.codec).and_then(|decoder| {
            let rate = decoder.rate();
            let whole = to_samples(u64::from(first.units), epoch, rate.hz());
            let frame = self.recovered.get_mut(..whole)?;
            (rate == self.pcm.rate() && decoder.recover(payload, frame)).then_some(whole)
        });
        let Some(whole) = recovered else {
            return self.conceal_gap(units, epoch, decoders);
        };
        let wanted = to_samples(units, epoch, self.pcm.rate().hz()).min(whole);
        let room = self.pcm.room(wanted);
        room.copy_from_slice(&self.recovered[whole - wanted..whole]);
        self.concealer.merge(room);
        self.pcm.extend(wanted);
        self.settle_held();
        self.statistics.packets_recovered += 1;
        self.play.state = State::Playing;
        self.play.next = first.timestamp;
        self.play.invented_ticks = 0;
    }

    /// A piece for packets that are known to be missing, at most `units` of them: the pointer moves.
    fn conceal_gap(&mut self, units: u64, epoch: &Epoch, decoders: &mut DecoderSet) {
        let held = self.play.held;
        self.settle_held();
        let missing = u32::try_from(units / units_per_tick(epoch)).unwrap_or(u32::MAX);
        let ticks = self.invent(missing.clamp(1, GAP_PIECE_TICKS), decoders);
        self.play.next += held + units_per_tick(epoch) * u64::from(ticks);
        self.statistics.units_concealed += FIGURE_UNITS_PER_TICK * u64::from(ticks);
        self.play.state = State::Playing;
    }

    /// A piece while nothing is here: the pointer stands still. False once the sound has faded.
    fn hold(&mut self, epoch: &Epoch, decoders: &mut DecoderSet) -> bool {
        self.play.state = State::Holding;
        if self.play.invented_ticks >= INVENTED_TICKS_MAX {
            self.play.held += units_per_tick(epoch);
            self.concealer.stop();
            return false;
        }
        let ticks = self.invent(HOLD_PIECE_TICKS, decoders);
        self.play.held += units_per_tick(epoch) * u64::from(ticks);
        true
    }

    /// 5 ms of a pause: the first ones fade what sounded last. False once all is silent.
    fn pause(&mut self) -> bool {
        self.play.state = State::Holding;
        if self.play.invented_ticks >= INVENTED_TICKS_MAX {
            self.concealer.stop();
            return false;
        }
        if !self.concealer.is_active() {
            self.concealer.start(self.pcm.rate(), self.pcm.known());
        }
        let tick = self.pcm.rate().tick_samples();
        let room = self.pcm.room(tick);
        self.concealer.fill(room);
        fade(room, 1.0, 0.0);
        self.pcm.extend(tick);
        self.concealer.stop();
        self.play.invented_ticks = INVENTED_TICKS_MAX;
        true
    }

    /// Appends sound that continues the last: by the codec where it can (at most `ticks` at once), else 5 ms by pitch;
    /// gone after 80 ms. Gives the ticks appended.
    fn invent(&mut self, ticks: u32, decoders: &mut DecoderSet) -> u32 {
        let rate = self.pcm.rate();
        let tick = rate.tick_samples();
        let run = self.play.invented_ticks;
        if !self.concealer.is_active() {
            let decoder = decoders.get(self.play.codec).filter(|decoder| decoder.rate() == rate);
            if run >= INVENTED_TICKS_MAX {
                self.pcm.room(tick).fill(0);
                self.pcm.extend(tick);
                return 1;
            }
            let ticks = ticks.min(INVENTED_TICKS_MAX - run);
            let room = self.pcm.room(tick * ticks as usize);
            if decoder.is_some_and(|decoder| decoder.conceal(room)) {
                // The codec fades by itself, but not to nothing.
                let level = |run: u32| {
                    (INVENTED_TICKS_MAX - run).min(FADE_TICKS) as f32 / FADE_TICKS as f32
                };
                fade(room, level(run), level(run + ticks));
                self.pcm.extend(tick * ticks as usize);
                self.play.invented_ticks = run + ticks;
                return ticks;
            }
            self.concealer.start(rate, self.pcm.known());
        }
        self.concealer.fill(self.pcm.room(tick));
        self.pcm.extend(tick);
        self.play.invented_ticks = run.saturating_add(1);
        1
    }

    /// Age of the sound that is played now, above the fastest path, in us.
    fn delay_micros(&self, now: Instant, epoch: &Epoch) -> i64 {
        let waiting = self.pcm.len() as i64 * 1_000_000 / i64::from(self.pcm.rate().hz());
        let position = epoch.sent(self.play.next) - waiting;
        epoch.micros(now) - position - self.estimator.fastest()
    }

    /// Moves the delay towards its target: a little too much is cut where nothing sounds, if that comes soon; else by
    /// pitch periods.
    fn stretch(&mut self, now: Instant, epoch: &Epoch, decoders: &mut DecoderSet) {
        self.ticks_since_stretch = self.ticks_since_stretch.saturating_add(1);
        let target = self.target_micros();
        let excess = self.delay_micros(now, epoch) - target;
        let urgent = excess > URGENT_US;
        let spike = self.estimator.ceiling(epoch.micros(now)) - target;
        let faster = excess > FASTER_ABOVE_US + spike.max(0);
        self.ticks_above_target =
            if faster { self.ticks_above_target.saturating_add(1) } else { 0 };
        if self.ticks_since_stretch < if urgent { URGENT_TICKS } else { CALM_TICKS } {
            return;
        }
        let rate = self.pcm.rate();
        let samples =
            |micros: i64| usize::try_from(micros * i64::from(rate.hz()) / 1_000_000).unwrap_or(0);
        let patient = self.ticks_above_target < PATIENCE_TICKS;
        if faster {
            // Cutting needs 5 ms to play, 15 to cut and 5 to fade.
            while self.pcm.len() < rate.samples(25) && self.decode_ahead(epoch, decoders) {}
            let place = match excess {
                _ if urgent => Where::Alike(URGENT_LIKENESS),
                _ if patient && excess < PATIENT_BELOW_US => Where::Silence,
                _ => Where::Alike(CALM_LIKENESS),
            };
            let cut = self.pcm.accelerate(samples(excess), place);
            self.statistics.units_removed += self.note_stretch(cut);
        } else if excess < -SLOWER_BELOW_US.max(target / 8) {
            // Waiting would turn the next late packet into a gap.
            let repeat = self.pcm.expand(samples(-excess), Where::Alike(CALM_LIKENESS));
            self.statistics.units_inserted += self.note_stretch(repeat);
        }
    }

    /// Counts a stretch; gives its length in units of the figures.
    fn note_stretch(&mut self, stretched: Stretched) -> u64 {
        if stretched.samples > 0 {
            self.ticks_since_stretch = 0;
        }
        let units = stretched.samples as u64 * FIGURE_HZ / u64::from(self.pcm.rate().hz());
        if stretched.in_sound {
            self.statistics.units_stretched_in_sound += units;
        }
        units
    }

    /// Decodes the next packet if it follows at once. False if there is none.
    fn decode_ahead(&mut self, epoch: &Epoch, decoders: &mut DecoderSet) -> bool {
        let rate = self.pcm.rate();
        let follows = self.packets.first().is_some_and(|first| {
            first.timestamp == self.play.next
                && decoders.get(first.codec).is_some_and(|decoder| decoder.rate() == rate)
        });
        if follows {
            self.decode_first(epoch, decoders);
        }
        follows
    }
}

fn to_samples(units: u64, epoch: &Epoch, hz: u32) -> usize {
    usize::try_from(units * u64::from(hz) / u64::from(epoch.clock_hz)).unwrap_or(usize::MAX)
}

fn units_per_tick(epoch: &Epoch) -> u64 {
    u64::from(epoch.clock_hz) / 200
}

fn fade(pcm: &mut [i16], from: f32, to: f32) {
    let step = (to - from) / pcm.len().max(1) as f32;
    let mut gain = from;
    for sample in pcm {
        gain += step;
        *sample = (f32::from(*sample) * gain) as i16;
    }
}

/// Codec of a stream that has not begun.
pub(super) const FIRST_CODEC: CodecKind = CodecKind::Pcmu;

const FIGURE_HZ: u64 = 48_000;
const FIGURE_UNITS_PER_TICK: u64 = FIGURE_HZ / 200;
const STEPS_MAX: usize = 160;
/// Invented sound lasts 80 ms; a codec's own is faded out in the last 20.
const INVENTED_TICKS_MAX: u32 = 16;
const FADE_TICKS: u32 = 4;
/// A codec continues what is known to be missing by 20 ms at a time: libopus fades with every call, and of less than
/// 10 ms of SILK it throws half away.
const GAP_PIECE_TICKS: u32 = 4;
/// What may still come is waited for in pieces of 10 ms: each adds up to 5 ms of delay.
const HOLD_PIECE_TICKS: u32 = 2;
/// Loss raises the floor of the delay for 10 s.
const LOSS_MEMORY_TICKS: u32 = 2_000;
/// Above the target by this much: play faster. One tick, so that a tick's rounding does not count.
const FASTER_ABOVE_US: i64 = 4_900;
const SLOWER_BELOW_US: i64 = 5_000;
/// So far above the target that sound may suffer a little: one cut per 10 ms instead of 20.
const URGENT_US: i64 = 60_000;
const URGENT_TICKS: u32 = 2;
/// A delay this little above its target is cut where nothing sounds, for as long as that may be waited for ...
const PATIENT_BELOW_US: i64 = 30_000;
/// ... 2 s: people pause for breath more often.
const PATIENCE_TICKS: u32 = 400;
const CALM_TICKS: u32 = 4;
const URGENT_LIKENESS: f32 = 0.4;
const CALM_LIKENESS: f32 = 0.7;
