//! All clips of a gateway: the built-in packs, and in their place what an operator recorded.
//!
//! Opening the library reads indexes only. A clip is decoded (or an operator's recording converted) to one rate, its
//! own, the first time somebody asks for it, and then stays: figures in `docs/decisions/003-clips-as-pcm.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::pack::{Pack, PackError, PackedClip};
use super::prompt::PromptId;
use super::wav::{Recording, WavError, read_wav};
use super::{Clip, Language, SoundId, convert};
use crate::media::frame::SampleRate;

/// Every clip by id. Made once, then shared by all threads that prepare calls.
pub struct ClipLibrary {
    entries: BTreeMap<ClipId, Entry>,
}

/// What a clip is looked up by; the order is that of the folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClipId {
    Prompt(Language, PromptId),
    Sound(SoundId),
}

struct Entry {
    source: Source,
    clip: OnceLock<Arc<Clip>>,
}

enum Source {
    Packed(PackedClip<'static>),
    Recorded(Recording),
}

impl ClipLibrary {
    /// The clips that are compiled into the program: every prompt in every language, and the sounds.
    ///
    /// An error means that the program was built from damaged or outdated packs; a test stands before that.
    pub fn embedded() -> Result<Self, PackError> {
        let mut entries = BTreeMap::new();
        for language in Language::ALL {
            let pack = Pack::open(language_pack(language))?;
            for id in PromptId::all() {
                let source = Source::Packed(find(&pack, id.name())?);
                entries.insert(ClipId::Prompt(language, id), Entry::new(source));
            }
        }
        let sounds = Pack::open(SOUNDS)?;
        for id in SoundId::all() {
            entries
                .insert(ClipId::Sound(id), Entry::new(Source::Packed(find(&sounds, id.name())?)));
        }
        Ok(Self { entries })
    }

    /// Puts an operator's recordings in place of built-in clips, and says what could not be used.
    ///
    /// `directory` holds a folder per language (`en`, `id`, `pt-BR`, `ru`) and one named `sounds`; in them files named
    /// `<clip>.wav`, 16-bit PCM, mono or stereo. A file that cannot be used leaves the built-in clip in place. Other
    /// kinds of files are ignored without a word, so that notes and originals may lie beside. For start-up.
    pub fn with_overrides(mut self, directory: &Path) -> (Self, Vec<OverrideProblem>) {
        let mut problems = Vec::new();
        for folder in list(directory, &mut problems) {
            let name = file_name(&folder);
            let language = Language::ALL.into_iter().find(|language| language.tag() == name);
            let known = language.is_some() || name == SOUNDS_FOLDER;
            if !folder.is_dir() {
                continue;
            }
            if !known {
                problems
                    .push(OverrideProblem { path: folder, reason: OverrideReason::UnknownFolder });
                continue;
            }
            for path in list(&folder, &mut problems) {
                if let Err(reason) = self.take_override(language, &path) {
                    problems.push(OverrideProblem { path, reason });
                }
            }
        }
        (self, problems)
    }

    /// The clip of a prompt in a language. The first call for a clip decodes it, some milliseconds: see the module.
    pub fn prompt(&self, id: PromptId, language: Language) -> Arc<Clip> {
        // `Count` has more values than names; the name decides.
        let id = if let PromptId::Count(people) = id {
            PromptId::count(usize::from(people))
        } else {
            id
        };
        self.clip(ClipId::Prompt(language, id))
    }

    /// The clip of a sound.
    pub fn sound(&self, id: SoundId) -> Arc<Clip> {
        self.clip(ClipId::Sound(id))
    }

    /// Decodes the sounds and all prompts of these languages, for a thread of the daemon's that runs beside the first
    /// calls: about 0.15 s of CPU and 6 MB for each language, so that no call waits for its first words.
    pub fn warm(&self, languages: &[Language]) {
        for id in SoundId::all() {
            self.sound(id);
        }
        for language in languages {
            for id in PromptId::all() {
                self.prompt(id, *language);
            }
        }
    }

    /// What a prompt says, for logs of a simulation and for the test phone; `None` if an operator recorded it.
    pub fn words(&self, id: PromptId, language: Language) -> Option<&str> {
        match &self.entries.get(&ClipId::Prompt(language, id))?.source {
            Source::Packed(packed) => Some(packed.words),
            Source::Recorded(_) => None,
        }
    }

    fn clip(&self, id: ClipId) -> Arc<Clip> {
        let entry = self
            .entries
            .get(&id)
            .expect("embedded() puts every id of every language here, nothing takes one out");
        entry.clip.get_or_init(|| Arc::new(entry.source.decode(id.to_string()))).clone()
    }

    fn take_override(
        &mut self,
        language: Option<Language>,
        path: &Path,
    ) -> Result<(), OverrideReason> {
        let is_wav =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav"));
        if !is_wav {
            return Ok(());
        }
        let stem =
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let id = match language {
            Some(language) => PromptId::from_name(&stem).map(|id| ClipId::Prompt(language, id)),
            None => SoundId::from_name(&stem).map(ClipId::Sound),
        };
        let id = id.ok_or_else(|| OverrideReason::UnknownName {
            nearest: nearest_name(&stem, language.is_some()),
        })?;
        let bytes =
            std::fs::metadata(path).map_err(|error| OverrideReason::unreadable(&error))?.len();
        if bytes > OVERRIDE_BYTES_MAX {
            return Err(OverrideReason::TooLarge { bytes });
        }
        let file = std::fs::read(path).map_err(|error| OverrideReason::unreadable(&error))?;
        let recording = read_wav(&file)?;
        let seconds = recording.samples.len() as u64 / u64::from(recording.rate_hz);
        let seconds_max = if id == ClipId::Sound(SoundId::MusicOnHold) {
            MUSIC_SECONDS_MAX
        } else {
            CLIP_SECONDS_MAX
        };
        if seconds > seconds_max {
            return Err(OverrideReason::TooLong { seconds, seconds_max });
        }
        self.entries.insert(id, Entry::new(Source::Recorded(recording)));
        Ok(())
    }
}

impl Default for ClipLibrary {
    /// The built-in clips.
    fn default() -> Self {
        Self::embedded().expect("the packs are compiled in, and a test opens them")
    }
}

impl fmt::Debug for ClipLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decoded = self.entries.values().filter(|entry| entry.clip.get().is_some()).count();
        write!(f, "ClipLibrary({decoded} of {} decoded)", self.entries.len())
    }
}

impl fmt::Display for ClipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(language, id) => write!(f, "{language}/{id}"),
            Self::Sound(id) => write!(f, "{SOUNDS_FOLDER}/{id}"),
        }
    }
}

impl Entry {
    fn new(source: Source) -> Self {
        Self { source, clip: OnceLock::new() }
    }
}

impl Source {
    fn decode(&self, name: String) -> Clip {
        Clip::new(name, self.rate(), self.pcm(self.rate()))
    }

    /// The lowest of our rates that holds all of it: that of its Opus packets, or above the recording's own.
    fn rate(&self) -> SampleRate {
        match self {
            Self::Packed(packed) => packed.rate(),
            Self::Recorded(recording) => SampleRate::ALL
                .into_iter()
                .find(|rate| rate.hz() >= recording.rate_hz)
                .unwrap_or(SampleRate::Hz48000),
        }
    }

    fn pcm(&self, rate: SampleRate) -> Vec<i16> {
        match self {
            // The pack was judged when it was opened. Should libopus still refuse a packet, the caller gets silence of
            // the right length: a missing phrase is better than a missing call.
            Self::Packed(packed) => packed.decode(rate).unwrap_or_else(|error| {
                tracing::warn!(clip = packed.name, %error, "built-in clip cannot be decoded");
                vec![0; packed.length(rate)]
            }),
            Self::Recorded(recording) => {
                convert::convert_rate(&recording.samples, recording.rate_hz, rate.hz())
            }
        }
    }
}

/// Something in the operator's prompt directory that is not used. Prints as one sentence with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct OverrideProblem {
    /// The file or folder.
    pub path: PathBuf,
    /// Why, and what to do.
    pub reason: OverrideReason,
}

/// Why a recording is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideReason {
    /// The operating system refuses.
    #[error(
        "cannot be read ({error}); check that it exists and that the gateway's user may read it"
    )]
    Unreadable {
        /// Its words.
        error: String,
    },
    /// A folder that names no language.
    #[error("no such language; folders are named en, id, pt-BR, ru or sounds")]
    UnknownFolder,
    /// No clip has that name.
    #[error(
        "no clip has this name{}; the names are listed in docs/media.md",
        did_you_mean(nearest)
    )]
    UnknownName {
        /// A name that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// Not a WAV file we read.
    #[error(
        "{0}; the built-in clip is used. To convert: sox INPUT -b 16 -e signed -c 1 -r 48000 OUTPUT.wav"
    )]
    Wav(#[from] WavError),
    /// More bytes than a recording of the longest duration can have.
    #[error(
        "{bytes} bytes are too large, at most {OVERRIDE_BYTES_MAX} are read; the built-in clip is used"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Plays longer than a caller should wait.
    #[error(
        "{seconds} s are too long, at most {seconds_max} s are used; the built-in clip is used. Shorten it"
    )]
    TooLong {
        /// Its duration.
        seconds: u64,
        /// Longest for this clip.
        seconds_max: u64,
    },
}

impl OverrideReason {
    fn unreadable(error: &std::io::Error) -> Self {
        Self::Unreadable { error: error.to_string() }
    }
}

/// Longest recording of a prompt or chime: the longest of ours, the help, takes 15 s.
const CLIP_SECONDS_MAX: u64 = 60;

/// Longest music. At 48 kHz it takes 96 kB a second: 29 MB.
const MUSIC_SECONDS_MAX: u64 = 300;

/// [`MUSIC_SECONDS_MAX`] at 48 kHz in stereo, and room for headers and pictures.
const OVERRIDE_BYTES_MAX: u64 = MUSIC_SECONDS_MAX * 48_000 * 4 + 4_000_000;

/// Folder of the clips without words.
const SOUNDS_FOLDER: &str = "sounds";

/// Files in a directory, by name, so that two starts report the same; a directory that cannot be read is a problem.
fn list(directory: &Path, problems: &mut Vec<OverrideProblem>) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()
    });
    match paths {
        Ok(mut paths) => {
            paths.sort();
            paths
        }
        Err(error) => {
            let reason = OverrideReason::unreadable(&error);
            problems.push(OverrideProblem { path: directory.to_owned(), reason });
            Vec::new()
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The name that differs from `wrong` in its separators or case only.
fn nearest_name(wrong: &str, prompt: bool) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let same = |name: &&'static str| plain(name) == plain(wrong);
    if prompt {
        PromptId::all().map(PromptId::name).find(same)
    } else {
        SoundId::all().map(SoundId::name).find(same)
    }
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(", perhaps \"{name}\" is meant")).unwrap_or_default()
}

fn find(pack: &Pack<'static>, name: &str) -> Result<PackedClip<'static>, PackError> {
    let found = pack.clips.iter().find(|clip| clip.name == name);
    found.copied().ok_or_else(|| PackError::Missing {
        language: pack.language.to_owned(),
        name: name.to_owned(),
    })
}

const fn language_pack(language: Language) -> &'static [u8] {
    match language {
        Language::En => include_bytes!("../../../../prompts/packs/en.wbp"),
        Language::Id => include_bytes!("../../../../prompts/packs/id.wbp"),
        Language::PtBr => include_bytes!("../../../../prompts/packs/pt-BR.wbp"),
        Language::Ru => include_bytes!("../../../../prompts/packs/ru.wbp"),
    }
}

const SOUNDS: &[u8] = include_bytes!("../../../../prompts/packs/sounds.wbp");

#[cfg(test)]
mod tests;
