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

use std::sync::Arc;

use super::frame::SampleRate;

pub use language::{Language, UnknownLanguage};
pub use library::{ClipLibrary, OverrideProblem, OverrideReason};
pub use prompt::SoundId;

/// A sound held as PCM at each rate. Shared; the library keeps one reference as long as the process lives, so
/// that a media thread never frees one.
#[derive(Debug)]
pub struct Clip {
    /// For snapshots, for example `en/enter-pin` or `sounds/entry`.
    pub name: String,
    pcm: [Arc<[i16]>; 3],
}

impl Clip {
    /// A clip from PCM at 8, 16 and 48 kHz.
    pub fn new(name: String, pcm: [Arc<[i16]>; 3]) -> Self {
        Self { name, pcm }
    }

    /// Its samples at `rate`, mono.
    pub fn samples(&self, rate: SampleRate) -> &[i16] {
        match rate {
            SampleRate::Hz8000 => &self.pcm[0],
            SampleRate::Hz16000 => &self.pcm[1],
            SampleRate::Hz48000 => &self.pcm[2],
        }
    }
}
