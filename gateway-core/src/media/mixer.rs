//! Sums of voices for one ear: `i32` in, `i16` out through a limiter, noise when nobody speaks.
//!
//! No division by the number of speakers: a limiter lowers the gain within 1 ms when the sum is too loud and
//! lets it rise again over 100 ms. Refuses to know who speaks.

use super::frame::SampleRate;

/// Gain control of one ear.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    gain: f32,
    /// Milliseconds until the gain may rise.
    hold_ms: u8,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0, hold_ms: 0 }
    }
}

impl Limiter {
    /// Writes `sum` to `out` (same length, a whole number of milliseconds at `rate`) without overflow.
    pub fn apply(&mut self, rate: SampleRate, sum: &[i32], out: &mut [i16]) {
        debug_assert_eq!(sum.len(), out.len());
        let millisecond = rate.samples(1);
        let mut chunks = sum.chunks(millisecond).peekable();
        let mut outs = out.chunks_mut(millisecond);
        let mut limit = chunks.peek().map_or(1.0, |first| allowed(first));
        while let (Some(sums), Some(outs)) = (chunks.next(), outs.next()) {
            let next_limit = chunks.peek().map_or(1.0, |next| allowed(next));
            let target = self.next_gain(limit.min(next_limit));
            limit = next_limit;
            if self.gain >= 1.0 && target >= 1.0 {
                for (out, sum) in outs.iter_mut().zip(sums) {
                    *out = saturate(*sum);
                }
                self.gain = 1.0;
                continue;
            }
            let step = (target - self.gain) / sums.len() as f32;
            for (out, sum) in outs.iter_mut().zip(sums) {
                self.gain += step;
                let lowered = (*sum as f32 * self.gain) as i32;
                *out = lowered.clamp(-(CEILING as i32), CEILING as i32) as i16;
            }
            self.gain = target;
        }
    }

    /// Down at once to what is allowed; up by a hundredth per millisecond, but not between two periods of a voice.
    fn next_gain(&mut self, allowed: f32) -> f32 {
        if allowed < (self.gain * 1.02).min(1.0) {
            self.hold_ms = HOLD_MS;
            return allowed.min(self.gain);
        }
        if self.hold_ms > 0 {
            self.hold_ms -= 1;
            return self.gain.min(allowed);
        }
        allowed.min(self.gain + RELEASE_PER_MS)
    }

    /// Present gain, 0 to 1.
    pub fn gain(&self) -> f32 {
        self.gain
    }
}

/// Largest gain at which `sums` stay below the ceiling.
fn allowed(sums: &[i32]) -> f32 {
    let peak = sums.iter().fold(0, |peak: u32, sum| peak.max(sum.unsigned_abs()));
    if peak <= CEILING { 1.0 } else { CEILING as f32 / peak as f32 }
}

/// To 16 bits, clipping.
pub fn saturate(sum: i32) -> i16 {
    sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Adds `pcm` to `sum`, sample by sample.
pub fn add(sum: &mut [i32], pcm: &[i16]) {
    for (sum, sample) in sum.iter_mut().zip(pcm) {
        *sum += i32::from(*sample);
    }
}

/// White noise at -62 dBov, so that a caller does not think the line is dead.
#[derive(Clone, Copy, Debug)]
pub struct ComfortNoise {
    state: u32,
}

impl ComfortNoise {
    /// Noise that differs from one seed to another.
    pub fn new(seed: u32) -> Self {
        Self { state: seed | 1 }
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            // A linear congruence (Numerical Recipes) is noise enough for an ear.
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = ((self.state >> 16) % (2 * NOISE_PEAK + 1)) as i16 - NOISE_PEAK as i16;
        }
    }
}

const CEILING: u32 = 32_000;
/// One period of the lowest voice, and a frame.
const HOLD_MS: u8 = 20;
const RELEASE_PER_MS: f32 = 0.01;
/// Uniform noise of this peak has an effective value of 26, which is -62 dBov.
const NOISE_PEAK: u32 = 45;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{level, tone};

    const RATE: SampleRate = SampleRate::Hz8000;

    fn limited(limiter: &mut Limiter, sum: &[i32]) -> Vec<i16> {
        let mut out = vec![0; sum.len()];
        for (sum, out) in sum.chunks(160).zip(out.chunks_mut(160)) {
            limiter.apply(RATE, sum, out);
        }
        out
    }

    #[test]
    fn quiet_sums_pass_untouched() {
        let sum: Vec<i32> = (-800..800).map(|n| n * 40).collect();
        let out = limited(&mut Limiter::default(), &sum);
        assert!(out.iter().zip(&sum).all(|(out, sum)| i32::from(*out) == *sum));
    }

    #[test]
    fn three_loud_voices_do_not_clip_and_the_gain_comes_back() {
        let mut limiter = Limiter::default();
        let voice: Vec<i32> =
            tone::sine(RATE, 500.0, 20_000, 8_000).iter().map(|s| i32::from(*s) * 3).collect();
        let out = limited(&mut limiter, &voice);
        // After the first two milliseconds nothing is at the rails.
        assert!(out[16..].iter().all(|s| s.unsigned_abs() <= 32_100));
        assert!(tone::power_share(RATE, &out[800..], 500.0) > 0.97, "still a clean tone");
        let quiet = vec![10_000; 1_600];
        let out = limited(&mut limiter, &quiet);
        assert!(out[40] < 9_000, "not at once");
        assert_eq!(out[1_200..].iter().min(), Some(&10_000), "all back within 150 ms");
    }

    #[test]
    fn gain_never_jumps_by_more_than_a_step_per_sample() {
        let mut limiter = Limiter::default();
        let sum: Vec<i32> =
            (0..3_200).map(|n| if (800..1_600).contains(&n) { 90_000 } else { 9_000 }).collect();
        let out = limited(&mut limiter, &sum);
        let steps = out[..790].windows(2).map(|w| (w[1] - w[0]).abs()).max();
        assert!(steps <= Some(0), "calm before the storm");
        let release = out[1_610..].windows(2).map(|w| (w[1] - w[0]).abs()).max();
        assert!(release < Some(200), "{release:?}");
    }

    #[test]
    fn noise_is_at_minus_62() {
        let mut noise = vec![0; 8_000];
        ComfortNoise::new(7).fill(&mut noise);
        assert!((61..=63).contains(&level::level_dbov(&noise)));
    }
}
