//! Sound we play: phrases in four languages, chimes, music; built in, or an operator's own recordings.
//!
//! Clips are PCM, not codec frames, because a clip may lie *over* the voices of a room and is mixed before the
//! phone's encoder (`docs/decisions/003-clips-as-pcm.md`). On disk and in the program they are Opus, in a [`pack`]
//! per language; the [`ClipLibrary`] decodes a clip the first time it is asked for, on the signalling thread.

pub mod convert;
mod language;
mod library;
pub mod loudness;
pub mod pack;
pub mod prompt;
pub mod wav;

use super::frame::SampleRate;
use super::resample::{self, Resampler};

pub use language::{Language, UnknownLanguage};
pub use library::{ClipLibrary, OverrideProblem, OverrideReason};
pub use prompt::SoundId;

/// A sound held as PCM at one rate. Shared; the library keeps one reference as long as the process lives, so
/// that a media thread never frees one.
#[derive(Debug)]
pub struct Clip {
    /// For snapshots, for example `en/enter-pin` or `sounds/entry`.
    pub name: String,
    rate: SampleRate,
    pcm: Box<[i16]>,
}

impl Clip {
    /// A clip from PCM at `rate`.
    pub fn new(name: String, rate: SampleRate, pcm: Vec<i16>) -> Self {
        Resampler::prepare();
        Self { name, rate, pcm: pcm.into() }
    }

    /// How many samples it has at `rate`.
    pub fn length(&self, rate: SampleRate) -> usize {
        self.pcm.len() * rate.samples(1) / self.rate.samples(1)
    }

    /// Writes its samples at `rate` from sample `first` on, as many as there are and `out` holds; gives their number.
    /// At its own rate a copy, else 2 to 4 us per 20 ms.
    pub fn read(&self, rate: SampleRate, first: usize, out: &mut [i16]) -> usize {
        let count = self.length(rate).saturating_sub(first).min(out.len());
        resample::convert_piece(&self.pcm, self.rate, rate, first, &mut out[..count]);
        count
    }

    /// All its samples at `rate`, mono. Allocates.
    pub fn samples(&self, rate: SampleRate) -> Vec<i16> {
        let mut samples = vec![0; self.length(rate)];
        self.read(rate, 0, &mut samples);
        samples
    }

    /// What it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.pcm.len() * size_of::<i16>()
    }
}
