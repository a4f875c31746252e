//! Between 8, 16 and 48 kHz by a short polyphase FIR, mono, no allocation after construction.
//!
//! Only rooms whose phones have different rates need it. Delay: 12 samples of the lower rate (1.5 ms at 8 kHz).

use std::sync::LazyLock;

use super::frame::{FRAME_SAMPLES_MAX, SampleRate};

/// One direction of one stream.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    factor: usize,
    /// By phase when the rate rises, else the whole filter.
    taps: &'static [f32],
    /// Past input, then the present block.
    line: Box<[f32; LINE_MAX]>,
}

impl Resampler {
    /// From one rate to another. Equal rates copy.
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        let (factor, taps) = filter(from, to);
        Self { from, to, factor, taps, line: Box::new([0.0; LINE_MAX]) }
    }

    /// Computes the filters now, so that no later [`Self::retune`] has to.
    pub fn prepare() {
        LazyLock::force(&BY_2);
        LazyLock::force(&BY_3);
        LazyLock::force(&BY_6);
    }

    /// Converts between other rates from now on, and forgets the past.
    pub fn retune(&mut self, from: SampleRate, to: SampleRate) {
        (self.from, self.to) = (from, to);
        (self.factor, self.taps) = filter(from, to);
        self.reset();
    }

    /// Rate of the input.
    pub fn from(&self) -> SampleRate {
        self.from
    }

    /// Rate of the output.
    pub fn to(&self) -> SampleRate {
        self.to
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.line.fill(0.0);
    }

    /// Converts up to 20 ms; `input` is a whole number of samples of the lower rate. Gives the samples written.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        debug_assert!(input.len() <= FRAME_SAMPLES_MAX);
        if self.factor == 1 {
            out[..input.len()].copy_from_slice(input);
            return input.len();
        }
        let past = if self.to > self.from { TAPS_LOW } else { TAPS_LOW * self.factor };
        for (place, sample) in self.line[past..].iter_mut().zip(input) {
            *place = f32::from(*sample);
        }
        let written = if self.to > self.from {
            self.up(input.len(), out)
        } else {
            self.down(input.len(), out)
        };
        self.line.copy_within(input.len()..input.len() + past, 0);
        written
    }

    fn up(&self, inputs: usize, out: &mut [i16]) -> usize {
        for n in 0..inputs {
            let window = &self.line[n + 1..n + 1 + TAPS_LOW];
            for (phase, taps) in self.taps.chunks_exact(TAPS_LOW).enumerate() {
                out[n * self.factor + phase] = round(dot(window, taps));
            }
        }
        inputs * self.factor
    }

    fn down(&self, inputs: usize, out: &mut [i16]) -> usize {
        let length = TAPS_LOW * self.factor;
        for (n, out) in out.iter_mut().take(inputs / self.factor).enumerate() {
            let window = &self.line[(n + 1) * self.factor..][..length];
            *out = round(dot(window, self.taps));
        }
        inputs / self.factor
    }
}

/// A piece of a whole sound at another rate: `out` begins at its output sample `first`. Nothing is kept between
/// pieces, there is no delay, and around the sound there is silence. Costs 2 to 4 us per 20 ms.
pub fn convert_piece(
    sound: &[i16],
    from: SampleRate,
    to: SampleRate,
    first: usize,
    out: &mut [i16],
) {
    if from == to {
        for (n, out) in out.iter_mut().enumerate() {
            *out = sound.get(first + n).copied().unwrap_or(0);
        }
        return;
    }
    let (factor, taps) = filter(from, to);
    let mut line = [0.0; LINE_MAX];
    let mut begin = first;
    for out in out.chunks_mut(to.frame_samples()) {
        if to > from {
            // The window of output `m` reaches 11 inputs back and 12 ahead of input `m / factor`.
            let oldest = begin / factor;
            let inputs = (begin + out.len() - 1) / factor - oldest + TAPS_LOW;
            load(sound, oldest, TAPS_LOW / 2 - 1, &mut line[..inputs]);
            for (n, out) in out.iter_mut().enumerate() {
                let (window, phase) = ((begin + n) / factor - oldest, (begin + n) % factor);
                let taps = &taps[phase * TAPS_LOW..][..TAPS_LOW];
                *out = round(dot(&line[window..][..TAPS_LOW], taps));
            }
        } else {
            let length = TAPS_LOW * factor;
            let inputs = (out.len() + TAPS_LOW - 1) * factor;
            let back = TAPS_LOW / 2 * factor;
            load(sound, begin * factor, back, &mut line[..inputs]);
            for (n, out) in out.iter_mut().enumerate() {
                *out = round(dot(&line[n * factor..][..length], taps));
            }
        }
        begin += out.len();
    }
}

/// `line` begins `back` samples before `place` of the sound.
fn load(sound: &[i16], place: usize, back: usize, line: &mut [f32]) {
    let silent = back.saturating_sub(place).min(line.len());
    let rest = sound.get((place + silent).saturating_sub(back)..).unwrap_or_default();
    let (before, line) = line.split_at_mut(silent);
    before.fill(0.0);
    for (n, value) in line.iter_mut().enumerate() {
        *value = rest.get(n).map_or(0.0, |sample| f32::from(*sample));
    }
}

fn filter(from: SampleRate, to: SampleRate) -> (usize, &'static [f32]) {
    let factor = (from.max(to).hz() / from.min(to).hz()) as usize;
    let filters: &'static Filters = match factor {
        2 => &BY_2,
        3 => &BY_3,
        _ => &BY_6,
    };
    (factor, if to > from { &filters.phases } else { &filters.whole })
}

fn round(value: f32) -> i16 {
    value.round().clamp(-32_768.0, 32_767.0) as i16
}

/// Eight running sums, so that the compiler may use vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

struct Filters {
    /// For rising rates: `factor` rows of [`TAPS_LOW`] taps, each of gain 1, in input order.
    phases: Vec<f32>,
    /// For falling rates: all taps, gain 1.
    whole: Vec<f32>,
}

static BY_2: LazyLock<Filters> = LazyLock::new(|| Filters::new(2));
static BY_3: LazyLock<Filters> = LazyLock::new(|| Filters::new(3));
static BY_6: LazyLock<Filters> = LazyLock::new(|| Filters::new(6));

impl Filters {
    /// A Kaiser-windowed sinc that cuts at the middle between the pass-band edge and the lower Nyquist rate.
    fn new(factor: usize) -> Self {
        let length = TAPS_LOW * factor;
        let centre = (length - 1) as f64 / 2.0;
        let cut = CUT / factor as f64; // in half cycles per sample of the higher rate
        let mut whole: Vec<f64> = (0..length)
            .map(|n| {
                let x = n as f64 - centre;
                let sinc = if x == 0.0 {
                    1.0
                } else {
                    (std::f64::consts::PI * cut * x).sin() / (std::f64::consts::PI * cut * x)
                };
                let edge = x / (centre + 0.5);
                sinc * bessel(BETA * (1.0 - edge * edge).sqrt())
            })
            .collect();
        let sum: f64 = whole.iter().sum();
        whole.iter_mut().for_each(|tap| *tap /= sum);
        let mut phases = Vec::with_capacity(length);
        for phase in 0..factor {
            // The newest input meets the tap `phase`, older ones every `factor`-th after it.
            let row: Vec<f64> = (0..TAPS_LOW).rev().map(|k| whole[k * factor + phase]).collect();
            let gain: f64 = row.iter().sum();
            phases.extend(row.iter().map(|tap| (tap / gain) as f32));
        }
        Self { phases, whole: whole.iter().map(|tap| *tap as f32).collect() }
    }
}

/// Modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    (1..30).fold(1.0, |sum, k| {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum + term
    })
}

/// Taps per sample of the lower rate: 3 ms at 8 kHz.
const TAPS_LOW: usize = 24;
/// Cut-off (-6 dB) as a share of the lower Nyquist frequency.
const CUT: f64 = 0.90;
/// Kaiser window for about 60 dB of attenuation.
const BETA: f64 = 5.6;
const LINE_MAX: usize = TAPS_LOW * 6 + FRAME_SAMPLES_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone;

    fn convert(from: SampleRate, to: SampleRate, input: &[i16], block_ms: usize) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut heard = Vec::new();
        for block in input.chunks_exact(from.samples(block_ms)) {
            let mut out = [0; FRAME_SAMPLES_MAX];
            let written = resampler.process(block, &mut out);
            assert_eq!(written, to.samples(block_ms));
            heard.extend(&out[..written]);
        }
        heard
    }

    #[test]
    fn a_tone_keeps_its_level_and_brings_no_image() {
        for from in SampleRate::ALL {
            for to in SampleRate::ALL {
                for (hz, loss_db) in [(300.0, 0.2), (1_000.0, 0.2), (3_000.0, 1.0)] {
                    let heard = convert(from, to, &tone::sine(from, hz, 10_000, 4_000), 5);
                    let settled = &heard[to.samples(20)..];
                    let gain = tone::rms(settled) / (10_000.0 / 2.0_f64.sqrt());
                    assert!(20.0 * gain.log10() > -loss_db, "{from:?} {to:?} {hz}: {gain}");
                    assert!(gain < 1.03, "{from:?} {to:?} {hz}: {gain}");
                    let share = tone::power_share(to, settled, hz);
                    assert!(share > 0.9999, "{from:?} {to:?} {hz}: {share}");
                }
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        for hz in [4_800.0, 5_000.0, 7_000.0, 12_000.0] {
            let input = tone::sine(SampleRate::Hz48000, hz, 10_000, 9_600);
            let heard = convert(SampleRate::Hz48000, SampleRate::Hz8000, &input, 5);
            let alias = tone::rms(&heard[160..]) / tone::rms(&input);
            assert!(20.0 * alias.log10() < -50.0, "{hz}: {alias}");
        }
    }

    #[test]
    fn block_size_changes_nothing() {
        let input = tone::speech(SampleRate::Hz8000, 3, 8_000);
        let short = convert(SampleRate::Hz8000, SampleRate::Hz48000, &input, 5);
        let long = convert(SampleRate::Hz8000, SampleRate::Hz48000, &input, 20);
        assert_eq!(short, long);
    }

    #[test]
    fn delay_is_below_two_milliseconds() {
        let mut pulse = vec![0; 800];
        pulse[100] = 20_000;
        let heard = convert(SampleRate::Hz8000, SampleRate::Hz48000, &pulse, 5);
        let peak = heard.iter().enumerate().max_by_key(|(_, s)| **s).map_or(0, |(n, _)| n);
        assert!((600..600 + 96).contains(&peak), "{}", peak as i64 - 600);
    }

    /// In pieces as at once, without delay, at the level it had.
    #[test]
    fn a_whole_sound_is_converted_piece_by_piece() {
        for from in SampleRate::ALL {
            let sound = tone::sine(from, 440.0, 8_000, from.samples(200));
            for to in SampleRate::ALL {
                let truth = tone::sine(to, 440.0, 8_000, to.samples(200));
                let mut whole = vec![0; truth.len()];
                convert_piece(&sound, from, to, 0, &mut whole);
                let mut pieces = vec![0; truth.len()];
                let mut first = 0;
                for piece in pieces.chunks_mut(77) {
                    convert_piece(&sound, from, to, first, piece);
                    first += piece.len();
                }
                assert_eq!(pieces, whole, "{from:?} to {to:?}");
                let inner = to.samples(5)..to.samples(195);
                // Half a sample of the higher rate is the filter's own offset.
                let slope = 8_000.0 * std::f64::consts::TAU * 440.0;
                let bound = (slope / f64::from(from.max(to).hz()) * 0.55) as i32 + 60;
                for (got, want) in whole[inner.clone()].iter().zip(&truth[inner]) {
                    let error = i32::from(*got) - i32::from(*want);
                    assert!(error.abs() < bound, "{from:?} to {to:?}: {error}");
                }
                let mut beyond = [7; 50];
                convert_piece(&sound, from, to, to.samples(300), &mut beyond);
                assert_eq!(beyond, [0; 50]);
            }
        }
    }
}
