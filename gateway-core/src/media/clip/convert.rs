//! Sampling rate conversion of whole recordings: a windowed sinc, exact in its ratio, for loading and rendering only.
//!
//! It allocates and costs some milliseconds per second of sound, so it has no place on the media thread.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side at the lower of the two rates: with the window below, a transition band
/// of about an eighth of that rate and 80 dB of stop band.
const CROSSINGS: usize = 24;

/// Shape of the Kaiser window; 8 gives the 80 dB.
const KAISER_BETA: f64 = 8.0;

/// Pass band as a part of the lower Nyquist frequency, so that the transition band ends near it.
const PASS_BAND: f64 = 0.92;

/// The same sound at another rate. Its length is scaled and rounded up; there is no delay.
///
/// Rates are in Hz. A rate of 0, or equal rates, return the samples as they are.
pub fn convert_rate(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz || from_hz == 0 || to_hz == 0 {
        return samples.to_vec();
    }
    let divisor = greatest_common_divisor(from_hz, to_hz);
    let (up, down) = (u64::from(to_hz / divisor), u64::from(from_hz / divisor));
    let filter = PhaseFilter::new(from_hz, to_hz, up);
    let length = (samples.len() as u64 * up).div_ceil(down);
    (0..length)
        .map(|output| {
            // Position of the output sample on the input's time line: `whole + phase / up`.
            let (whole, phase) = (output * down / up, output * down % up);
            filter.at(samples, whole as usize, phase as usize)
        })
        .collect()
}

/// One row of taps per distance that an output sample can have from the input sample before it.
struct PhaseFilter {
    reach: usize,
    rows: Vec<Vec<f32>>,
}

impl PhaseFilter {
    fn new(from_hz: u32, to_hz: u32, phases: u64) -> Self {
        let (from, to) = (f64::from(from_hz), f64::from(to_hz));
        let cutoff = PASS_BAND * (to / from).min(1.0);
        let reach = (CROSSINGS as f64 / cutoff).ceil() as usize;
        let rows =
            (0..phases).map(|phase| row(reach, cutoff, phase as f64 / phases as f64)).collect();
        Self { reach, rows }
    }

    fn at(&self, samples: &[i16], whole: usize, phase: usize) -> i16 {
        let taps = &self.rows[phase];
        let sum: f32 = taps
            .iter()
            .enumerate()
            .filter_map(|(tap, weight)| {
                let index = (whole + tap + 1).checked_sub(self.reach)?;
                Some(f32::from(*samples.get(index)?) * weight)
            })
            .sum();
        sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
    }
}

/// Taps for an output sample that lies `fraction` of an input sample after the tap in the middle; their sum is 1.
fn row(reach: usize, cutoff: f64, fraction: f64) -> Vec<f32> {
    let taps: Vec<f64> = (0..2 * reach)
        .map(|tap| {
            let distance = tap as f64 + 1.0 - reach as f64 - fraction;
            sinc(distance * cutoff) * kaiser(distance / reach as f64)
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Kaiser window over -1..=1.
fn kaiser(x: f64) -> f64 {
    let inside = (1.0 - x * x).max(0.0);
    bessel_i0(KAISER_BETA * inside.sqrt()) / bessel_i0(KAISER_BETA)
}

/// Modified Bessel function of order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, seconds: f64) -> Vec<i16> {
        (0..(f64::from(rate) * seconds) as usize)
            .map(|n| ((2.0 * PI * hz * n as f64 / f64::from(rate)).sin() * 10_000.0) as i16)
            .collect()
    }

    /// Signal to error in dB against what the tone should be at the new rate, away from the ends.
    fn fidelity_db(hz: f64, from: u32, to: u32) -> f64 {
        let got = convert_rate(&tone(hz, from, 0.5), from, to);
        let want = tone(hz, to, 0.5);
        assert_eq!(got.len(), want.len());
        let inner = want.len() / 8..want.len() * 7 / 8;
        let mut signal = 0.0;
        let mut error = 0.0;
        for index in inner {
            signal += f64::from(want[index]).powi(2);
            error += (f64::from(want[index]) - f64::from(got[index])).powi(2);
        }
        10.0 * (signal / error.max(1e-9)).log10()
    }

    #[test]
    fn a_tone_in_the_pass_band_stays_itself_and_in_time() {
        for (from, to) in [
            (16_000, 8_000),
            (16_000, 48_000),
            (44_100, 48_000),
            (48_000, 8_000),
            (22_050, 16_000),
            (8_000, 48_000),
        ] {
            for hz in [300.0, 1_000.0, 3_000.0] {
                let db = fidelity_db(hz, from, to);
                assert!(db > 60.0, "{hz} Hz from {from} to {to}: {db:.1} dB");
            }
        }
    }

    #[test]
    fn a_tone_above_the_new_band_is_gone() {
        let got = convert_rate(&tone(5_000.0, 48_000, 0.5), 48_000, 8_000);
        let peak = got[400..got.len() - 400].iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(peak <= 5, "peak {peak}, 10000 went in");
    }

    #[test]
    fn odd_inputs_are_harmless() {
        assert!(convert_rate(&[], 44_100, 8_000).is_empty());
        assert_eq!(convert_rate(&[7], 48_000, 8_000).len(), 1);
        assert_eq!(convert_rate(&[1, 2, 3], 0, 8_000), [1, 2, 3]);
        let loud = convert_rate(&[i16::MAX, i16::MIN].repeat(500), 8_000, 48_000);
        assert_eq!(loud.len(), 6_000);
    }
}
