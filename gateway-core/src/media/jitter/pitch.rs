//! Pitch by normalised correlation: what repeats every 2.5 to 15 ms.

use crate::media::frame::SampleRate;

/// A distance at which a sound resembles itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// In samples.
    pub lag: usize,
    /// Normalised correlation, -1 to 1.
    pub correlation: f32,
}

/// The period of the end of `past`; `None` if it is shorter than 29 ms. Hiss gives some period, as good as any.
pub fn period_of(rate: SampleRate, past: &[i16]) -> Option<usize> {
    let window = rate.samples(10);
    let longest = rate.samples(15);
    // A quarter of the longest period before it is needed for the overlap.
    let needed = window.max(longest / 4) + longest;
    let past = past.get(past.len().checked_sub(needed)?..)?;
    let template = past.len() - window;
    let now = &past[template..];
    let then = |lag: usize| &past[template - lag..][..window];
    search(rate, now, then, shortest(rate), longest).map(|best| best.lag)
}

/// Looks for the lag in `shortest..=longest` at which `then(lag)` resembles `now` best.
pub fn search<'a>(
    rate: SampleRate,
    now: &[i16],
    then: impl Fn(usize) -> &'a [i16],
    shortest: usize,
    longest: usize,
) -> Option<Likeness> {
    // Coarse steps of an eighth of a millisecond on every n-th sample; then the neighbours on every second.
    let coarse = (rate.samples(1) / 8).max(1);
    let rough = best_of(now, &then, (shortest..=longest).step_by(coarse), coarse)?;
    if coarse == 1 {
        return Some(rough);
    }
    let from = rough.lag.saturating_sub(coarse).max(shortest);
    best_of(now, &then, from..=(rough.lag + coarse).min(longest), 2)
}

/// The shortest period: 2.5 ms.
pub fn shortest(rate: SampleRate) -> usize {
    rate.samples(5) / 2
}

fn best_of<'a>(
    now: &[i16],
    then: &impl Fn(usize) -> &'a [i16],
    lags: impl Iterator<Item = usize>,
    stride: usize,
) -> Option<Likeness> {
    let energy = dot(now, now, stride);
    let one = |lag: usize| {
        let then = then(lag);
        let scale = (energy * dot(then, then, stride)).sqrt();
        let correlation = if scale > 0.0 { dot(now, then, stride) / scale } else { 0.0 };
        Likeness { lag, correlation }
    };
    lags.map(one).reduce(|best, next| if next.correlation > best.correlation { next } else { best })
}

fn dot(a: &[i16], b: &[i16], stride: usize) -> f32 {
    let pairs = a.iter().step_by(stride).zip(b.iter().step_by(stride));
    // 10 ms at 8 kHz: 80 products of at most 2^30 fit in 64 bits.
    pairs.map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b))).sum::<i64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone;

    #[test]
    fn the_period_of_a_tone_is_a_multiple_of_its_own() {
        for rate in SampleRate::ALL {
            for hz in [80.0, 125.0, 200.0, 310.0] {
                let past = tone::sine(rate, hz, 5_000, rate.samples(40));
                let period = period_of(rate, &past).expect("enough past") as f64;
                let cycles = period * hz / f64::from(rate.hz());
                assert!((cycles - cycles.round()).abs() < 0.06, "{rate:?} {hz}: {cycles}");
            }
            assert_eq!(period_of(rate, &[0; 10]), None);
        }
    }
}
