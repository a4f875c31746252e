//! The verdict: is what was heard the speech that was spoken, how loud, how late?
//!
//! Both are cut to the telephone band (300 to 3400 Hz), so that a wide codec and a narrow one are asked the same. The
//! coarse place of the speech is found by cross-correlation over the whole search window; then each 400 ms piece is
//! placed again within a few milliseconds, to a 32nd of a millisecond. A jitter buffer may therefore shift by a pitch
//! period in the middle of a sentence (people do not hear that), which [`Heard::drift_ms`] reports; a missing, doubled
//! or distorted syllable lowers the correlation as it should.

use super::fourier::{band, correlate};
use super::wav::Wav;

const LOW_HZ: f64 = 300.0;
const HIGH_HZ: f64 = 3_400.0;
/// For the coarse search.
const COARSE_RATE: u32 = 8_000;
/// For the fine search: a quarter of a sample at 8 kHz.
const FINE_RATE: u32 = 32_000;
const PIECE_SECONDS: f64 = 0.4;
/// How far a piece may stand from the coarse place.
const PIECE_SEARCH_MS: f64 = 40.0;
/// Pieces this much quieter than the loudest one say nothing and are left out.
const QUIET_DB: f64 = 25.0;

/// How one piece of speech came through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// Normalised correlation over all pieces, -1 to 1. The wish is 0.95 and more.
    pub correlation: f64,
    /// Level against what was spoken, in dB: 0 is equally loud.
    pub level_db: f64,
    /// Where the speech begins in the recording that was searched, in seconds from its start.
    pub starts_at: f64,
    /// How far the pieces moved against each other, in ms: what the jitter buffers did meanwhile.
    pub drift_ms: f64,
}

/// A part of a recording, in seconds from its start.
#[derive(Clone, Copy, Debug)]
pub struct Searched {
    /// First moment.
    pub from: f64,
    /// Last moment.
    pub to: f64,
}

/// Looks for `spoken` in the searched part of `recording`. `None` when the part is shorter than the speech.
pub fn heard(recording: &Wav, searched: Searched, spoken: &Wav) -> Option<Heard> {
    let from = searched.from.max(0.0);
    let part = recording.part(from, searched.to);
    let coarse_signal = limited(&part, COARSE_RATE);
    let coarse_pattern = limited(spoken, COARSE_RATE);
    let coarse = best_lag(&coarse_signal, &coarse_pattern)? as f64 / f64::from(COARSE_RATE);

    let margin = PIECE_SEARCH_MS / 1000.0 + 0.01;
    let window_from = (coarse - margin).max(0.0);
    let window = part.part(window_from, coarse + spoken.seconds() + margin);
    let pieces = placed_pieces(
        &limited(&window, FINE_RATE),
        &limited(spoken, FINE_RATE),
        coarse - window_from,
    );
    summed(&pieces, from + window_from)
}

/// How loud `own` speech is in the searched part of what its speaker heard, in dB against what he said. -60 and less
/// is nothing at all.
///
/// The projection of the recording on the speech at the best lag, so it finds an echo below other sound too.
pub fn leakage_db(recording: &Wav, searched: Searched, own: &Wav) -> f64 {
    let signal = limited(&recording.part(searched.from, searched.to), COARSE_RATE);
    let pattern = limited(own, COARSE_RATE);
    let energy: f64 = pattern.iter().map(|s| s * s).sum();
    let peak =
        correlate(&signal, &pattern).into_iter().fold(0.0_f64, |best, value| best.max(value.abs()));
    20.0 * (peak / energy.max(1.0)).max(1e-6).log10()
}

/// Level of the searched part in the telephone band, in dB below full scale (a full-scale square is 0).
pub fn level_dbfs(recording: &Wav, searched: Searched) -> f64 {
    let signal = limited(&recording.part(searched.from, searched.to), COARSE_RATE);
    let power = signal.iter().map(|s| s * s).sum::<f64>() / signal.len().max(1) as f64;
    10.0 * (power / 32_768.0_f64.powi(2)).max(1e-12).log10()
}

fn limited(wav: &Wav, rate_out: u32) -> Vec<f64> {
    let samples: Vec<f64> = wav.samples.iter().map(|&s| f64::from(s)).collect();
    // Rates that are no power of two apart (48 kHz files) come down by averaging threes first: 48 -> 16.
    if wav.rate.is_multiple_of(3) {
        let third: Vec<f64> = band_48_to_16(&samples, wav.rate);
        return band(&third, wav.rate / 3, LOW_HZ, HIGH_HZ, rate_out);
    }
    band(&samples, wav.rate, LOW_HZ, HIGH_HZ, rate_out)
}

/// Every third sample, after everything that could fold back has been removed.
fn band_48_to_16(samples: &[f64], rate: u32) -> Vec<f64> {
    band(samples, rate, LOW_HZ, HIGH_HZ, rate).into_iter().step_by(3).collect()
}

/// The lag where the pattern fits best, each lag judged against the energy it covers.
fn best_lag(signal: &[f64], pattern: &[f64]) -> Option<usize> {
    let products = correlate(signal, pattern);
    let mut energy: f64 = signal.get(..pattern.len())?.iter().map(|s| s * s).sum();
    // Near silence any shape fits: such places must not win by division.
    let floor = pattern.iter().map(|s| s * s).sum::<f64>() * 1e-4;
    let mut best = (0, f64::MIN);
    for (lag, product) in products.iter().enumerate() {
        let fit = product / (energy + floor + 1.0).sqrt();
        if fit > best.1 {
            best = (lag, fit);
        }
        if let Some(next) = signal.get(lag + pattern.len()) {
            energy += next * next - signal[lag] * signal[lag];
        }
    }
    products.first().map(|_| best.0)
}

struct Piece {
    product: f64,
    energy_spoken: f64,
    energy_heard: f64,
    /// Where the whole speech would begin if this piece is right, in seconds of the window.
    starts_at: f64,
}

fn placed_pieces(signal: &[f64], spoken: &[f64], expected: f64) -> Vec<Piece> {
    let rate = f64::from(FINE_RATE);
    let length = (PIECE_SECONDS * rate) as usize;
    let reach = (PIECE_SEARCH_MS / 1000.0 * rate) as usize;
    let energies: Vec<f64> =
        spoken.chunks_exact(length).map(|piece| piece.iter().map(|s| s * s).sum()).collect();
    let loudest = energies.iter().copied().fold(0.0, f64::max);
    let threshold = loudest * 10.0_f64.powf(-QUIET_DB / 10.0);
    let mut pieces = Vec::new();
    for (index, piece) in spoken.chunks_exact(length).enumerate() {
        if energies[index] < threshold {
            continue;
        }
        let expected_at = (expected * rate) as usize + index * length;
        let low = expected_at.saturating_sub(reach);
        let high = (expected_at + reach + length).min(signal.len());
        let near = signal.get(low..high).unwrap_or_default();
        let Some(lag) = best_lag(near, piece) else { continue };
        let heard = &near[lag..lag + length];
        pieces.push(Piece {
            product: piece.iter().zip(heard).map(|(a, b)| a * b).sum(),
            energy_spoken: energies[index],
            energy_heard: heard.iter().map(|s| s * s).sum(),
            starts_at: (low + lag) as f64 / rate - (index * length) as f64 / rate,
        });
    }
    pieces
}

fn summed(pieces: &[Piece], window_starts_at: f64) -> Option<Heard> {
    let product: f64 = pieces.iter().map(|piece| piece.product).sum();
    let spoken: f64 = pieces.iter().map(|piece| piece.energy_spoken).sum();
    let heard: f64 = pieces.iter().map(|piece| piece.energy_heard).sum();
    let mut places: Vec<f64> = pieces.iter().map(|piece| piece.starts_at).collect();
    places.sort_by(f64::total_cmp);
    let middle = *places.get(places.len() / 2)?;
    Some(Heard {
        correlation: product / (spoken * heard).sqrt().max(1.0),
        level_db: 10.0 * (heard.max(1e-9) / spoken.max(1.0)).log10(),
        starts_at: window_starts_at + middle,
        drift_ms: (places[places.len() - 1] - places[0]) * 1000.0,
    })
}

#[cfg(test)]
mod tests;
