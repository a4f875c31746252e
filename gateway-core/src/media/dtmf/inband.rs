//! Keys as tones in the audio (ITU-T Q.23, Q.24), for phones that negotiated no telephone-event.
//!
//! Eight Goertzel filters look at blocks of 12.75 ms, every half block. A block is a hit when one row and one
//! column stand out, hold most of its energy, lie within the allowed twist and last through the whole block; a
//! key is four hits in a row (32 ms). Q.24: 40 ms are accepted, 20 ms are not. Speech must never be a key.

use super::Key;
use crate::media::frame::SampleRate;

/// Detector of one stream.
#[derive(Clone, Debug)]
pub struct InbandDetector {
    /// `2 cos(w)` of rows, columns and their second harmonics.
    coefficients: [f32; 16],
    block: [f32; BLOCK_MAX],
    length: usize,
    filled: usize,
    candidate: Option<Key>,
    hits: u8,
    misses: u8,
    held: Option<Key>,
}

/// What the detector thinks after some audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InbandVerdict {
    /// A key began; reported once.
    pub pressed: Option<Key>,
    /// The latest block looks like a key, or a key is held: this audio should not reach the room.
    pub suspected: bool,
}

impl InbandDetector {
    /// A detector for audio at `rate`.
    pub fn new(rate: SampleRate) -> Self {
        let mut coefficients = [0.0; 16];
        for (n, coefficient) in coefficients.iter_mut().enumerate() {
            let harmonic = if n < 8 { 1.0 } else { 2.0 };
            let turn = std::f32::consts::TAU * FREQUENCIES[n % 8] * harmonic / rate.hz() as f32;
            *coefficient = 2.0 * turn.cos();
        }
        Self {
            coefficients,
            block: [0.0; BLOCK_MAX],
            length: BLOCK_8K * rate.hz() as usize / 8_000,
            filled: 0,
            candidate: None,
            hits: 0,
            misses: 0,
            held: None,
        }
    }

    /// Takes audio of any length. At most one key is reported per call; 20 ms cannot hold two.
    pub fn feed(&mut self, pcm: &[i16]) -> InbandVerdict {
        let mut pressed = None;
        for sample in pcm {
            self.block[self.filled] = f32::from(*sample);
            self.filled += 1;
            if self.filled == self.length {
                pressed = self.take_block().or(pressed);
                let half = self.length / 2;
                self.block.copy_within(half..self.length, 0);
                self.filled = self.length - half;
            }
        }
        InbandVerdict { pressed, suspected: self.hits > 0 || self.held.is_some() }
    }

    fn take_block(&mut self) -> Option<Key> {
        let hit = self.judge(&self.block[..self.length]);
        if hit.is_some() && hit == self.candidate {
            self.hits = self.hits.saturating_add(1);
        } else {
            self.hits = u8::from(hit.is_some());
            self.candidate = hit;
        }
        if self.held.is_some() && hit != self.held {
            self.misses += 1;
            if self.misses >= MISSES_TO_RELEASE {
                self.held = None;
            }
        } else {
            self.misses = 0;
        }
        if self.hits >= HITS_TO_PRESS && self.held != hit {
            self.held = hit;
            self.misses = 0;
            return hit;
        }
        None
    }

    /// The key this block sounds like.
    fn judge(&self, block: &[f32]) -> Option<Key> {
        let energy = steady_energy(block)?;
        let power = |n: usize| goertzel(block, self.coefficients[n]);
        let (row, row_power) = standing_out(&std::array::from_fn(power))?;
        let (column, column_power) = standing_out(&std::array::from_fn(|n| power(n + 4)))?;
        let floor = TONE_AMPLITUDE_MIN * block.len() as f32 / 2.0;
        if row_power.min(column_power) < floor * floor {
            return None;
        }
        let twist = column_power / row_power;
        if !(TWIST_MIN..=TWIST_MAX).contains(&twist) {
            return None;
        }
        // A tone of amplitude A gives (A N / 2)^2 here and N A^2 / 2 there.
        let share = (row_power + column_power) * 2.0 / (energy * block.len() as f32);
        if share < SHARE_MIN {
            return None;
        }
        // A vowel brings its octave along; the octave of a row may lie beside the column and is not asked then.
        let octave = goertzel(block, self.coefficients[column + 12]);
        if octave > column_power * OCTAVE_MAX {
            return None;
        }
        Key::from_char(KEYPAD[row][column])
    }
}

/// The energy of a block that sounds from its beginning to its end.
fn steady_energy(block: &[f32]) -> Option<f32> {
    let quarter = block.len() / 4;
    let energies: [f32; 4] = std::array::from_fn(|n| {
        block[n * quarter..][..quarter].iter().map(|sample| sample * sample).sum()
    });
    let rest: f32 = block[4 * quarter..].iter().map(|sample| sample * sample).sum();
    let total: f32 = energies.iter().sum();
    let least = energies.iter().copied().fold(f32::INFINITY, f32::min);
    (least * 4.0 > total * QUARTER_MIN).then_some(total + rest)
}

/// The strongest of four, if all others are far below.
fn standing_out(powers: &[f32; 4]) -> Option<(usize, f32)> {
    let (place, best) =
        powers.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
    let alone = powers.iter().enumerate().all(|(n, p)| n == place || *p * PEAK_MIN < best);
    alone.then_some((place, best))
}

fn goertzel(block: &[f32], coefficient: f32) -> f32 {
    let (mut s1, mut s2) = (0.0_f32, 0.0_f32);
    for sample in block {
        let s0 = sample + coefficient * s1 - s2;
        s2 = s1;
        s1 = s0;
    }
    s1 * s1 + s2 * s2 - coefficient * s1 * s2
}

/// ITU-T Q.23, in Hz: four rows, four columns.
const FREQUENCIES: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEYPAD: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// 12.75 ms at 8 kHz: the rows are just apart enough.
const BLOCK_8K: usize = 102;
const BLOCK_MAX: usize = BLOCK_8K * 6;
/// Half blocks that must agree: 32 ms, so that 40 ms are found at any alignment and 27 ms are not.
const HITS_TO_PRESS: u8 = 4;
/// Half blocks without the key that end it: Q.24 bridges gaps of 10 ms and parts keys 40 ms apart.
const MISSES_TO_RELEASE: u8 = 3;
/// Each tone at least -39 dBov.
const TONE_AMPLITUDE_MIN: f32 = 520.0;
/// Column against row, as power: -8 dB (lines attenuate high tones) to +4 dB, with 1 dB of measuring slack.
const TWIST_MIN: f32 = 0.126;
const TWIST_MAX: f32 = 3.16;
/// Share of the two tones in the block's energy. A tone 1.5 % off its frequency still gives 0.8.
const SHARE_MIN: f32 = 0.72;
/// 8 dB between a tone and its neighbours.
const PEAK_MIN: f32 = 6.3;
/// Octave against column, as power: -12 dB.
const OCTAVE_MAX: f32 = 0.063;
/// Least quarter of a block against the mean: two beating tones give 0.63, a tone that ends inside less than 0.35.
const QUARTER_MIN: f32 = 0.35;

#[cfg(test)]
mod tests;
