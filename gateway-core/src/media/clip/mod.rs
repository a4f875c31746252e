//! Sound we play: prompts in four languages, chimes, music. PCM, so that it can lie over live audio.
//! (Stub of the interface: the `prompts` part replaces it.)

pub mod prompt;

use std::sync::Arc;

use super::frame::SampleRate;

/// A sound held as PCM at each rate. Shared; the library keeps one reference as long as the process lives, so
/// that a media thread never frees one.
#[derive(Debug)]
pub struct Clip {
    /// For snapshots, for example `en/enter-pin`.
    pub name: String,
    pcm: [Arc<[i16]>; 3],
}

impl Clip {
    /// A clip from PCM at 8, 16 and 48 kHz.
    pub fn new(name: String, pcm: [Arc<[i16]>; 3]) -> Self {
        Self { name, pcm }
    }

    /// Its samples at `rate`.
    pub fn samples(&self, rate: SampleRate) -> &[i16] {
        match rate {
            SampleRate::Hz8000 => &self.pcm[0],
            SampleRate::Hz16000 => &self.pcm[1],
            SampleRate::Hz48000 => &self.pcm[2],
        }
    }
}

/// A language of our prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Indonesian.
    Id,
    /// Brazilian Portuguese.
    PtBr,
    /// Russian.
    Ru,
}

/// A sound without words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SoundId {
    /// Somebody entered.
    Entry,
    /// Somebody left.
    Exit,
    /// Talk now.
    Beep,
    /// Music while waiting: a loop of 20 to 30 s.
    MusicOnHold,
}

/// All clips of the gateway.
#[derive(Debug, Default)]
pub struct ClipLibrary {}

impl ClipLibrary {
    /// The clip of a prompt in a language. Never fails: a missing one is silence of 100 ms and was reported at load.
    pub fn prompt(&self, _id: prompt::PromptId, _language: Language) -> Arc<Clip> {
        let silence = |samples: usize| -> Arc<[i16]> { vec![0; samples].into() };
        Arc::new(Clip::new("silence".into(), [silence(800), silence(1_600), silence(4_800)]))
    }

    /// The clip of a sound.
    pub fn sound(&self, _id: SoundId) -> Arc<Clip> {
        self.prompt(prompt::PromptId::Greeting, Language::En)
    }
}
