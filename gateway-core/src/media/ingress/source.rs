//! One who speaks: packets in, 5 ms of sound per tick, the last 20 ms at each rate somebody listens at.

use std::time::Instant;

use super::{EarKey, SourceKey, SourcePacket, add_faded};
use crate::media::codec::CodecKind;
use crate::media::codec::set::DecoderSet;
use crate::media::frame::SampleRate;
use crate::media::jitter::{JitterBuffer, JitterLimits, JitterStatistics, Pulled};
use crate::media::level;
use crate::media::resample::Resampler;

/// Everything about one source, built outside the shard: jitter buffer, decoders, resamplers, histories.
#[derive(Debug)]
pub struct Source {
    key: SourceKey,
    owner: Option<EarKey>,
    decoders: DecoderSet,
    buffer: JitterBuffer,
    /// Rate of the codec of its last packet.
    spoken_rate: Option<SampleRate>,
    muted: bool,
    /// Tick of the room at which it was last muted: ears that pulled before it get a fade and no more.
    muted_at: Option<u64>,
    /// The next tick is the last one, and fades.
    fades_out: bool,
    /// This tick's sound, at `rate`.
    fresh: [i16; TICK_SAMPLES_MAX],
    rate: SampleRate,
    sounds: bool,
    /// Mean square, rising at once and falling slowly.
    loudness: u32,
    /// It was heard in the last tick: enters and leaves by fades.
    heard: bool,
    rates: [PerRate; 3],
    /// Silent ticks kept since it last sounded.
    quiet_ticks: u8,
}

/// The last 20 ms at one rate.
#[derive(Debug)]
struct PerRate {
    wanted: bool,
    /// From the source's own rate, if it is another one.
    resampler: Resampler,
    ticks: [[i16; TICK_SAMPLES_MAX]; TICKS_PER_FRAME],
}

impl Source {
    /// A source that may send any of `codecs`; `owner` is the ear that must not hear it.
    pub fn new(key: SourceKey, owner: Option<EarKey>, codecs: &[CodecKind]) -> Box<Self> {
        let decoders = DecoderSet::new(codecs);
        let rate_max = decoders.rate_max();
        Resampler::prepare();
        Box::new(Self {
            key,
            owner,
            buffer: JitterBuffer::new(JitterLimits::default(), rate_max),
            decoders,
            spoken_rate: None,
            muted: false,
            muted_at: None,
            fades_out: false,
            fresh: [0; TICK_SAMPLES_MAX],
            rate: rate_max,
            sounds: false,
            loudness: 0,
            heard: false,
            rates: SampleRate::ALL.map(|rate| PerRate {
                wanted: false,
                resampler: Resampler::new(rate_max, rate),
                ticks: [[0; TICK_SAMPLES_MAX]; TICKS_PER_FRAME],
            }),
            quiet_ticks: TICKS_PER_FRAME as u8,
        })
    }

    /// Its key.
    pub fn key(&self) -> SourceKey {
        self.key
    }

    /// The ear that does not hear it.
    pub fn owner(&self) -> Option<EarKey> {
        self.owner
    }

    /// Whether it is silenced.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// The rate its codec carries, once a packet came.
    pub fn spoken_rate(&self) -> Option<SampleRate> {
        self.spoken_rate
    }

    /// Figures of its jitter buffer since it was built.
    pub fn statistics(&self) -> &JitterStatistics {
        self.buffer.statistics()
    }

    /// Present level as RFC 6464 counts it: 0 is loudest, 127 is silence.
    pub fn level_dbov(&self) -> u8 {
        level::dbov_of(self.loudness)
    }

    /// Forgets all sound; figures stay.
    pub(super) fn restart(&mut self) {
        self.buffer.restart(&mut self.decoders);
        self.sounds = false;
        self.loudness = 0;
        self.heard = false;
        self.muted_at = None;
        self.fades_out = false;
        self.quiet_ticks = TICKS_PER_FRAME as u8;
        for per_rate in &mut self.rates {
            per_rate.ticks = [[0; TICK_SAMPLES_MAX]; TICKS_PER_FRAME];
            per_rate.resampler.reset();
        }
    }

    /// At which rates others listen. Opus is decoded at the highest of them. A rate that is new begins with the last
    /// 20 ms at the source's own rate, if they were kept.
    pub(super) fn set_rates(&mut self, wanted: [bool; 3], tick: u64) {
        let native = &self.rates[self.rate as usize];
        let past = native.wanted.then_some(native.ticks);
        for (per_rate, wanted) in self.rates.iter_mut().zip(wanted) {
            if wanted && !per_rate.wanted {
                per_rate.resampler.reset();
                per_rate.ticks = [[0; TICK_SAMPLES_MAX]; TICKS_PER_FRAME];
                for n in 0..TICKS_PER_FRAME {
                    let place = place_of(tick, n);
                    let Some(past) = &past else { break };
                    let past = &past[place][..self.rate.tick_samples()];
                    per_rate.resampler.process(past, &mut per_rate.ticks[place]);
                }
            }
            per_rate.wanted = wanted;
        }
        let highest = SampleRate::ALL.into_iter().rev().find(|rate| wanted[*rate as usize]);
        self.decoders.set_opus_rate(highest.unwrap_or(SampleRate::Hz8000));
    }

    pub(super) fn put(&mut self, now: Instant, packet: SourcePacket<'_>) {
        if !self.muted {
            self.spoken_rate = Some(packet.codec.row().pcm_rate);
            self.buffer.put(now, packet, &mut self.decoders);
        }
    }

    pub(super) fn set_muted(&mut self, muted: bool, tick: u64) {
        if muted && !self.muted {
            self.fades_out = true;
            self.muted_at = Some(tick);
        }
        self.muted = muted;
    }

    /// Takes the next 5 ms out of the jitter buffer.
    pub(super) fn take(&mut self, now: Instant) {
        let pulled = self.buffer.pull(now, &mut self.decoders, &mut self.fresh);
        self.sounds = pulled == Pulled::Sound;
        if std::mem::take(&mut self.fades_out) {
            fade(&mut self.fresh[..self.buffer.rate().tick_samples()], 1.0, 0.0);
            self.buffer.restart(&mut self.decoders);
        }
        if self.buffer.rate() != self.rate {
            self.rate = self.buffer.rate();
            for (per_rate, to) in self.rates.iter_mut().zip(SampleRate::ALL) {
                per_rate.resampler.retune(self.rate, to);
            }
        }
        let now = if self.sounds {
            level::mean_square(&self.fresh[..self.rate.tick_samples()])
        } else {
            0
        };
        // A factor of 0.8 per 5 ms: 20 dB in 100 ms.
        self.loudness = now.max(self.loudness - self.loudness.div_ceil(5));
    }

    /// In dB above silence; 0 only for a source that sends nothing.
    pub(super) fn loudness(&self) -> u8 {
        if self.sounds { (level::SILENCE - level::dbov_of(self.loudness)).max(1) } else { 0 }
    }

    /// Puts the tick's sound into the histories of those who listen; nothing, if it is not among the loudest.
    pub(super) fn keep(&mut self, tick: u64, chosen: bool) {
        let from = if self.heard { 1.0 } else { 0.0 };
        let to = if chosen { 1.0 } else { 0.0 };
        let was_heard = std::mem::replace(&mut self.heard, chosen);
        let sounds = self.sounds && (chosen || was_heard);
        let native = self.rate.tick_samples();
        if !sounds {
            self.fresh[..native].fill(0);
        } else if from != to {
            fade(&mut self.fresh[..native], from, to);
        }
        self.quiet_ticks = if sounds { 0 } else { self.quiet_ticks.saturating_add(1) };
        // Four silent ticks empty the histories and the resamplers; after that there is nothing to do.
        if self.quiet_ticks > TICKS_PER_FRAME as u8 {
            return;
        }
        let place = (tick % TICKS_PER_FRAME as u64) as usize;
        for per_rate in self.rates.iter_mut().filter(|per_rate| per_rate.wanted) {
            per_rate.resampler.process(&self.fresh[..native], &mut per_rate.ticks[place]);
        }
    }

    /// Adds its last 20 ms to the sum of an ear that pulled last at tick `pulled_at`. False if it was silent.
    pub(super) fn add_to(
        &self,
        sum: &mut [i32],
        rate: SampleRate,
        tick: u64,
        pulled_at: u64,
    ) -> bool {
        let per_rate = &self.rates[rate as usize];
        if self.quiet_ticks >= TICKS_PER_FRAME as u8 || !per_rate.wanted {
            return false;
        }
        let cut = self.muted_at.is_some_and(|muted_at| muted_at > pulled_at);
        let samples = rate.tick_samples();
        for (n, sum) in sum.chunks_exact_mut(samples).enumerate() {
            let place = place_of(tick, n);
            let pcm = &per_rate.ticks[place][..samples];
            match (cut, n) {
                (false, _) => add_faded(sum, pcm, 1.0, 1.0),
                (true, 0) => add_faded(sum, pcm, 1.0, 0.0),
                (true, _) => {}
            }
        }
        true
    }
}

/// Where the `n`-th of the last four ticks lies: the oldest where the next one will be written.
fn place_of(tick: u64, n: usize) -> usize {
    (tick as usize + 1 + n) % TICKS_PER_FRAME
}

fn fade(pcm: &mut [i16], from: f32, to: f32) {
    let step = (to - from) / pcm.len().max(1) as f32;
    let mut gain = from;
    for sample in pcm {
        gain += step;
        *sample = (f32::from(*sample) * gain) as i16;
    }
}

const TICK_SAMPLES_MAX: usize = SampleRate::Hz48000.tick_samples();
const TICKS_PER_FRAME: usize = 4;
