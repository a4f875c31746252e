//! Sound for tests and simulation: tones, something like speech, and judges of what was heard.
//!
//! Compiled for tests and behind the feature `_testkit` only. Everything replays from its arguments.

use super::frame::SampleRate;
use crate::base::rng::Rng;

/// A sine of `hz` with peak `amplitude`.
pub fn sine(rate: SampleRate, hz: f64, amplitude: i16, samples: usize) -> Vec<i16> {
    sine_from(rate, hz, amplitude, 0, samples)
}

/// The same from sample `start` on, for streams made piece by piece.
pub fn sine_from(
    rate: SampleRate,
    hz: f64,
    amplitude: i16,
    start: u64,
    samples: usize,
) -> Vec<i16> {
    let turn = std::f64::consts::TAU * hz / f64::from(rate.hz());
    (start..start + samples as u64)
        .map(|n| ((n as f64 * turn).sin() * f64::from(amplitude)).round() as i16)
        .collect()
}

/// Uniform noise of peak `amplitude`.
pub fn noise(seed: u64, amplitude: i16, samples: usize) -> Vec<i16> {
    let mut rng = Rng::from_number(seed);
    let span = u32::from(amplitude.unsigned_abs()) * 2 + 1;
    (0..samples).map(|_| (rng.below(span) as i32 - i32::from(amplitude)) as i16).collect()
}

/// A key's pair of tones (ITU-T Q.23), each of peak `amplitude`.
pub fn key(rate: SampleRate, key: super::dtmf::Key, amplitude: i16, samples: usize) -> Vec<i16> {
    let (row, column) = key_frequencies(key);
    let row = sine(rate, row, amplitude, samples);
    let column = sine(rate, column, amplitude, samples);
    row.iter().zip(&column).map(|(a, b)| a.saturating_add(*b)).collect()
}

/// Row and column frequency of a key.
pub fn key_frequencies(key: super::dtmf::Key) -> (f64, f64) {
    let place = "123A456B789C*0#D".find(key.to_char()).unwrap_or(0);
    ([697.0, 770.0, 852.0, 941.0][place / 4], [1_209.0, 1_336.0, 1_477.0, 1_633.0][place % 4])
}

/// Something like speech: syllables of voiced formants and hisses with pauses, about -22 dBov while it sounds.
/// Tones and silence flatter every buffer; this has pitch, onsets and endings.
pub fn speech(rate: SampleRate, seed: u64, samples: usize) -> Vec<i16> {
    let mut voice = Voice { rng: Rng::from_number(seed).fork("speech"), hz: f64::from(rate.hz()) };
    let mut out = Vec::with_capacity(samples + rate.hz() as usize);
    while out.len() < samples {
        for _ in 0..2 + voice.rng.below(4) {
            voice.syllable(&mut out);
        }
        let pause = voice.between(0.08, 0.35) * voice.hz;
        out.resize(out.len() + pause as usize, 0);
    }
    out.truncate(samples);
    out
}

struct Voice {
    rng: Rng,
    hz: f64,
}

impl Voice {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * f64::from(self.rng.u32()) / f64::from(u32::MAX)
    }

    /// A hiss, then a vowel whose pitch glides.
    fn syllable(&mut self, out: &mut Vec<i16>) {
        let hiss = (self.between(0.02, 0.07) * self.hz) as usize;
        let mut last = 0.0;
        for _ in 0..hiss {
            let white = self.between(-1.0, 1.0);
            out.push(((white - last) * 900.0) as i16);
            last = white;
        }
        let length = (self.between(0.10, 0.26) * self.hz) as usize;
        let mut pitch = self.between(85.0, 230.0);
        let glide = self.between(-0.25, 0.25) * pitch / length as f64;
        let formants = [
            (self.between(300.0, 800.0), 80.0, 1.0),
            (self.between(900.0, 2_100.0), 110.0, 0.5),
            (self.between(2_300.0, 3_000.0), 160.0, 0.25),
        ];
        let mut filters =
            formants.map(|(hz, width, gain)| Resonator::new(hz, width, gain, self.hz));
        let mut vowel = Vec::with_capacity(length);
        let mut phase = 0.0;
        for _ in 0..length {
            phase += pitch / self.hz;
            pitch += glide;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase -= pulse;
            vowel.push(filters.iter_mut().map(|filter| filter.next(pulse)).sum::<f64>());
        }
        let effective = (vowel.iter().map(|s| s * s).sum::<f64>() / length as f64).sqrt();
        for (n, sample) in vowel.iter().enumerate() {
            let place = n as f64 / length as f64;
            let envelope = (place * 8.0).min((1.0 - place) * 4.0).min(1.0);
            out.push((sample / effective.max(1e-9) * 2_900.0 * envelope).clamp(-32e3, 32e3) as i16);
        }
    }
}

struct Resonator {
    a1: f64,
    a2: f64,
    gain: f64,
    y1: f64,
    y2: f64,
}

impl Resonator {
    fn new(hz: f64, width: f64, gain: f64, rate: f64) -> Self {
        let radius = (-std::f64::consts::PI * width / rate).exp();
        let a1 = 2.0 * radius * (std::f64::consts::TAU * hz / rate).cos();
        Self { a1, a2: -radius * radius, gain, y1: 0.0, y2: 0.0 }
    }

    fn next(&mut self, input: f64) -> f64 {
        let y = input * self.gain + self.a1 * self.y1 + self.a2 * self.y2;
        self.y2 = self.y1;
        self.y1 = y;
        y
    }
}

/// Effective value.
pub fn rms(pcm: &[i16]) -> f64 {
    let sum: f64 = pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
    (sum / pcm.len().max(1) as f64).sqrt()
}

/// Level in dBov, 0 for a full-scale square wave; -127 for silence.
pub fn dbov(pcm: &[i16]) -> f64 {
    (20.0 * (rms(pcm) / 32_768.0).log10()).max(-127.0)
}

/// Peak amplitude of the sine of `hz` inside `pcm`, by a Hann-windowed Goertzel filter.
pub fn amplitude(rate: SampleRate, pcm: &[i16], hz: f64) -> f64 {
    let count = pcm.len().max(1) as f64;
    let turn = std::f64::consts::TAU * hz / f64::from(rate.hz());
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let window = 1.0 - (std::f64::consts::TAU * (n as f64 + 0.5) / count).cos();
        let angle = n as f64 * turn;
        re += f64::from(*sample) * window * angle.cos();
        im += f64::from(*sample) * window * angle.sin();
    }
    2.0 * (re * re + im * im).sqrt() / count
}

/// Share of the power of `pcm` that a least-squares sine of `hz` explains, 0 to 1.
pub fn power_share(rate: SampleRate, pcm: &[i16], hz: f64) -> f64 {
    let turn = std::f64::consts::TAU * hz / f64::from(rate.hz());
    let (mut cc, mut ss, mut cs, mut xc, mut xs, mut xx) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (sin, cos) = (n as f64 * turn).sin_cos();
        let x = f64::from(*sample);
        cc += cos * cos;
        ss += sin * sin;
        cs += cos * sin;
        xc += x * cos;
        xs += x * sin;
        xx += x * x;
    }
    let determinant = cc * ss - cs * cs;
    if xx == 0.0 || determinant == 0.0 {
        return 0.0;
    }
    let a = (xc * ss - xs * cs) / determinant;
    let b = (xs * cc - xc * cs) / determinant;
    (a * xc + b * xs) / xx
}

/// Best normalised correlation of `heard` with `sent` delayed by 0 to `lag_max` samples, and that delay.
pub fn correlation(sent: &[i16], heard: &[i16], lag_max: usize) -> (f64, usize) {
    (0..=lag_max.min(heard.len()))
        .map(|lag| (correlation_at(sent, &heard[lag..]), lag))
        .fold((-1.0, 0), |best, one| if one.0 > best.0 { one } else { best })
}

/// Normalised correlation without shift; 0 if one side is silent.
pub fn correlation_at(a: &[i16], b: &[i16]) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    if aa == 0.0 || bb == 0.0 { 0.0 } else { ab / (aa * bb).sqrt() }
}
