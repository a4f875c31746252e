//! Concealment of a lost piece of G.711 or G.722: the last pitch period is repeated and fades (after G.711
//! Appendix I, without its delay line: the jitter buffer knows of the loss before the samples are due).
//!
//! Full level for 10 ms, then linearly to nothing at 60 ms.

use super::frame::SampleRate;
use super::jitter::pitch;

/// What continues a sound that broke off.
#[derive(Clone, Debug)]
pub struct Concealer {
    rate: SampleRate,
    cycle: Box<[i16]>,
    period: usize,
    place: usize,
    played: usize,
    /// Difference at the seam, faded out over a quarter of a period.
    seam: i32,
    active: bool,
}

impl Concealer {
    /// A concealer for rates up to `rate_max`.
    pub fn new(rate_max: SampleRate) -> Self {
        Self {
            rate: rate_max,
            cycle: vec![0; rate_max.samples(PERIOD_MS_MAX)].into(),
            period: 1,
            place: 0,
            played: 0,
            seam: 0,
            active: false,
        }
    }

    /// Whether a sound is being continued.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Learns from `past`, the sound up to the loss (at least 30 ms are looked at).
    pub fn start(&mut self, rate: SampleRate, past: &[i16]) {
        self.rate = rate;
        self.place = 0;
        self.played = 0;
        self.active = true;
        let Some(period) = pitch::period_of(rate, past) else {
            self.period = 1;
            self.cycle[0] = 0;
            self.seam = past.last().map_or(0, |sample| i32::from(*sample));
            return;
        };
        self.period = period;
        let overlap = period / 4;
        let end = past.len();
        let last = &past[end - period..];
        self.cycle[..period].copy_from_slice(last);
        // The end of the cycle leans towards what came before its beginning, so that it closes on itself.
        let before = &past[end - period - overlap..end - period];
        for (n, before) in before.iter().enumerate() {
            let place = period - overlap + n;
            let weight = (n as i32 + 1) * 256 / (overlap as i32 + 1);
            let mixed = i32::from(self.cycle[place]) * (256 - weight) + i32::from(*before) * weight;
            self.cycle[place] = (mixed / 256) as i16;
        }
        self.seam = i32::from(past[end - 1]) - i32::from(past[end - period - 1]);
    }

    /// Goes on for `out.len()` samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        let full = self.rate.samples(FULL_MS);
        let fade = self.rate.samples(SILENT_MS) - full;
        let seam_length = (self.period / 4).max(self.rate.samples(1));
        for sample in out {
            let seam = match seam_length.checked_sub(self.played) {
                Some(left) => self.seam * left as i32 / seam_length as i32,
                None => 0,
            };
            let faded = self.played.saturating_sub(full).min(fade);
            let value =
                (i32::from(self.cycle[self.place]) + seam) * ((fade - faded) as i32) / fade as i32;
            *sample = value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            self.place += 1;
            if self.place >= self.period {
                self.place = 0;
            }
            self.played = self.played.saturating_add(1);
        }
    }

    /// The real sound is back: `fresh` begins with a cross-fade from the continued one.
    pub fn merge(&mut self, fresh: &mut [i16]) {
        if !self.active {
            return;
        }
        let length = self.rate.samples(MERGE_MS).min(fresh.len());
        let mut old = [0; 48 * MERGE_MS];
        self.fill(&mut old[..length]);
        for (n, (fresh, old)) in fresh.iter_mut().zip(&old[..length]).enumerate() {
            let weight = (n as i32 + 1) * 256 / (length as i32 + 1);
            *fresh = ((i32::from(*old) * (256 - weight) + i32::from(*fresh) * weight) / 256) as i16;
        }
        self.active = false;
    }

    /// Forgets the sound.
    pub fn stop(&mut self) {
        self.active = false;
    }
}

const PERIOD_MS_MAX: usize = 15;
const FULL_MS: usize = 10;
const SILENT_MS: usize = 60;
const MERGE_MS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone;

    #[test]
    fn a_vowel_goes_on_at_its_pitch_and_level_and_then_fades() {
        for rate in SampleRate::ALL {
            let past = tone::sine(rate, 150.0, 8_000, rate.samples(60));
            let mut concealer = Concealer::new(rate);
            concealer.start(rate, &past);
            let mut out = vec![0; rate.samples(80)];
            concealer.fill(&mut out);
            let first = &out[..rate.samples(10)];
            assert!((tone::rms(first) / tone::rms(&past) - 1.0).abs() < 0.15, "{rate:?}");
            let truth = tone::sine_from(rate, 150.0, 8_000, past.len() as u64, first.len());
            assert!(tone::correlation_at(first, &truth) > 0.97, "{rate:?}");
            assert!(out[rate.samples(60)..].iter().all(|sample| *sample == 0));
            let jump = (i32::from(out[0]) - i32::from(past[past.len() - 1])).abs();
            assert!(jump < 1_500, "{rate:?}: {jump}");
        }
    }

    #[test]
    fn hiss_and_silence_and_too_little_past_do_no_harm() {
        let rate = SampleRate::Hz8000;
        let mut concealer = Concealer::new(rate);
        for past in [tone::noise(1, 3_000, 400), vec![0; 400], vec![1_000; 20], Vec::new()] {
            concealer.start(rate, &past);
            let mut out = [0; 800];
            concealer.fill(&mut out);
            assert!(out.iter().all(|sample| sample.unsigned_abs() <= 6_100));
            assert_eq!(out[799], 0);
        }
    }

    #[test]
    fn the_return_is_a_cross_fade() {
        let rate = SampleRate::Hz8000;
        let sound = tone::sine(rate, 150.0, 8_000, 1_600);
        let mut concealer = Concealer::new(rate);
        concealer.start(rate, &sound[..800]);
        let mut gap = [0; 80];
        concealer.fill(&mut gap);
        let mut fresh: Vec<i16> = sound[880..960].to_vec();
        concealer.merge(&mut fresh);
        let steps = gap[40..].iter().chain(&fresh).copied().collect::<Vec<i16>>();
        let jump = steps.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
        assert!(jump < Some(2_000), "{jump:?}");
        assert!(!concealer.is_active());
    }
}
