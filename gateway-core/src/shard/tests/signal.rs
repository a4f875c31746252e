//! Sounds to send, and how to recognise them.

use crate::media::clip::prompt::PromptId;
use crate::media::clip::{ClipLibrary, Language};
use crate::media::frame::SampleRate;

/// A tone of `hz` with the given peak.
pub fn tone(hz: f64, peak: f64, ms: usize, rate: SampleRate) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate.hz());
    (0..rate.samples(ms)).map(|n| (peak * (n as f64 * step).sin()) as i16).collect()
}

/// Speech: our English prompts, another beginning for each `seed`, padded with silence to `ms`.
pub fn speech(seed: usize, ms: usize, rate: SampleRate) -> Vec<i16> {
    let library = ClipLibrary::embedded().expect("the prompts are part of the crate");
    let mut said = Vec::new();
    for id in PromptId::all().filter(|id| id.name().len() > 8).skip(seed * 3).take(8) {
        said.extend(library.prompt(id, Language::En).samples(rate));
    }
    said.resize(rate.samples(ms), 0);
    said
}

/// Amplitude of the partial at `hz`.
pub fn amplitude(samples: &[i16], hz: f64, rate: SampleRate) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate.hz());
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        real += f64::from(*sample) * (n as f64 * step).cos();
        imaginary += f64::from(*sample) * (n as f64 * step).sin();
    }
    2.0 * (real * real + imaginary * imaginary).sqrt() / samples.len().max(1) as f64
}

/// Root mean square.
pub fn level(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (sum / samples.len().max(1) as f64).sqrt()
}

/// Where `heard` follows `said` best: the delay in samples, the correlation there, and the gain in dB.
pub fn find(said: &[i16], heard: &[i16], delay_max: usize) -> Match {
    let window = said.len().min(heard.len().saturating_sub(delay_max));
    let coarse = (window / 6_000).max(1);
    let at = |delay: usize, step: usize| correlation(&said[..window], &heard[delay..], step);
    let best_of = |delays: &mut dyn Iterator<Item = usize>, step: usize| {
        let scored = delays.map(|delay| (delay, at(delay, step).0));
        scored.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(delay, _)| delay)
    };
    let best = best_of(&mut (0..delay_max).step_by(2), coarse);
    let fine = best_of(&mut (best.saturating_sub(3)..(best + 4).min(delay_max)), 1);
    let (correlation, gain) = at(fine, 1);
    Match { delay: fine, correlation, gain_db: 20.0 * gain.log10() }
}

/// What [`find`] found.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    pub delay: usize,
    pub correlation: f64,
    pub gain_db: f64,
}

fn correlation(said: &[i16], heard: &[i16], step: usize) -> (f64, f64) {
    let (mut product, mut said_energy, mut heard_energy) = (0.0, 1.0, 1.0);
    for (a, b) in said.iter().zip(heard).step_by(step) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        product += a * b;
        said_energy += a * a;
        heard_energy += b * b;
    }
    (product / (said_energy * heard_energy).sqrt(), (heard_energy / said_energy).sqrt())
}
