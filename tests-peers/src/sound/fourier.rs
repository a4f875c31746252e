//! A plain radix-2 Fourier transform, and what the judge needs of it: band-limiting, resampling, cross-correlation.
//!
//! Test code of a few seconds' sound: clear before fast, no dependency.

use std::f64::consts::PI;

/// A complex number.
#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    fn times(self, other: Complex) -> Complex {
        Complex {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn conjugate(self) -> Complex {
        Complex { re: self.re, im: -self.im }
    }
}

/// In place; `data.len()` is a power of two. `inverse` leaves out the division by the length.
fn transform(data: &mut [Complex], inverse: bool) {
    let length = data.len();
    debug_assert!(length.is_power_of_two());
    let mut reversed = 0;
    for index in 1..length {
        let mut bit = length >> 1;
        while reversed & bit != 0 {
            reversed ^= bit;
            bit >>= 1;
        }
        reversed |= bit;
        if index < reversed {
            data.swap(index, reversed);
        }
    }
    let sign = if inverse { 1.0 } else { -1.0 };
    let mut span = 2;
    while span <= length {
        let half = span / 2;
        let turns: Vec<Complex> = (0..half)
            .map(|k| {
                let angle = sign * 2.0 * PI * k as f64 / span as f64;
                Complex { re: angle.cos(), im: angle.sin() }
            })
            .collect();
        for block in data.chunks_exact_mut(span) {
            let (low, high) = block.split_at_mut(half);
            for ((a, b), turn) in low.iter_mut().zip(high).zip(&turns) {
                let turned = b.times(*turn);
                *b = Complex { re: a.re - turned.re, im: a.im - turned.im };
                *a = Complex { re: a.re + turned.re, im: a.im + turned.im };
            }
        }
        span *= 2;
    }
}

fn padded(samples: &[f64], length: usize) -> Vec<Complex> {
    let mut data: Vec<Complex> = samples.iter().map(|&re| Complex { re, im: 0.0 }).collect();
    data.resize(length, Complex::default());
    data
}

/// The samples with everything outside `low_hz..high_hz` removed, without delay, at `rate_out`.
///
/// `rate_out` is a power-of-two multiple or fraction of `rate`.
pub fn band(samples: &[f64], rate: u32, low_hz: f64, high_hz: f64, rate_out: u32) -> Vec<f64> {
    let length = samples.len().max(2).next_power_of_two();
    let length_out = length * rate_out as usize / rate as usize;
    assert!(length_out.is_power_of_two(), "{rate} to {rate_out} is no power of two");
    let mut spectrum = padded(samples, length);
    transform(&mut spectrum, false);
    let hz_per_bin = f64::from(rate) / length as f64;
    let mut kept = vec![Complex::default(); length_out];
    for bin in 1..length.min(length_out) / 2 {
        let hz = bin as f64 * hz_per_bin;
        if hz >= low_hz && hz <= high_hz {
            kept[bin] = spectrum[bin];
            kept[length_out - bin] = spectrum[bin].conjugate();
        }
    }
    transform(&mut kept, true);
    let count = samples.len() * rate_out as usize / rate as usize;
    kept.iter().take(count).map(|value| value.re / length as f64).collect()
}

/// `sum(pattern[i] * signal[i + lag])` for each lag from 0 on, as long as the pattern fits into the signal.
pub fn correlate(signal: &[f64], pattern: &[f64]) -> Vec<f64> {
    if pattern.is_empty() || signal.len() < pattern.len() {
        return Vec::new();
    }
    let length = signal.len().next_power_of_two() * 2;
    let mut a = padded(signal, length);
    let mut b = padded(pattern, length);
    transform(&mut a, false);
    transform(&mut b, false);
    for (left, right) in a.iter_mut().zip(&b) {
        *left = left.times(right.conjugate());
    }
    transform(&mut a, true);
    let lags = signal.len() - pattern.len() + 1;
    a.iter().take(lags).map(|value| value.re / length as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, rate: u32, count: usize) -> Vec<f64> {
        (0..count).map(|i| (2.0 * PI * hz * i as f64 / f64::from(rate)).sin()).collect()
    }

    fn power(samples: &[f64]) -> f64 {
        samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64
    }

    #[test]
    fn the_band_keeps_what_is_in_it_and_nothing_else() {
        let inside = band(&sine(1_000.0, 16_000, 16_000), 16_000, 300.0, 3_400.0, 8_000);
        let outside = band(&sine(6_000.0, 16_000, 16_000), 16_000, 300.0, 3_400.0, 8_000);
        assert_eq!(inside.len(), 8_000);
        assert!((power(&inside) - 0.5).abs() < 0.01, "{}", power(&inside));
        assert!(power(&outside) < 1e-4, "{}", power(&outside));
    }

    #[test]
    fn the_correlation_peaks_at_the_shift() {
        let pattern = sine(440.0, 8_000, 300);
        let mut signal = vec![0.0; 123];
        signal.extend_from_slice(&pattern);
        signal.extend(vec![0.0; 400]);
        let lags = correlate(&signal, &pattern);
        let best = (0..lags.len()).max_by(|&a, &b| lags[a].total_cmp(&lags[b]));
        assert_eq!(best, Some(123));
    }
}
