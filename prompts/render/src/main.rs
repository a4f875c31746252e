//! Renders everything the gateway can say or play: `prompts/catalogue/*.toml` through espeak-ng, and the sounds by
//! their own recipe, into `prompts/packs/*.wbp`.
//!
//! ```text
//! cargo run -p prompts-render                 write the packs
//! cargo run -p prompts-render -- --check      write nothing, fail if a pack would change
//! cargo run -p prompts-render -- --listen D   also write what a caller will hear, as WAV files, below D
//! ```
//!
//! The same espeak-ng and the same libopus give the same bytes. libopus chooses its arithmetic by the CPU, so another
//! CPU family may differ in a few packets; the sound does not.

mod catalogue;
mod level;
mod pack_writer;
mod sounds;
mod speech;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gateway_core::media::clip::pack::Pack;
use gateway_core::media::clip::prompt::{PromptId, SoundId};
use gateway_core::media::clip::{Language, wav};
use gateway_core::media::frame::SampleRate;

use catalogue::Catalogue;
use pack_writer::{ClipKind, PackWriter};

/// Why nothing, or not everything, was rendered.
#[derive(Debug, thiserror::Error)]
enum RenderError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    Catalogue { path: PathBuf, error: catalogue::CatalogueError },
    #[error("espeak-ng: {0}; on Debian: apt-get install espeak-ng")]
    Speech(String),
    #[error("libopus: {0}")]
    Opus(#[from] opus::Error),
    #[error("clip \"{0}\" is silent")]
    Silent(String),
    #[error("{}: does not match its catalogue; run `cargo run -p prompts-render`", .0.display())]
    Outdated(PathBuf),
    #[error("usage: prompts-render [--check] [--listen DIRECTORY]")]
    Usage,
}

/// What the command line asks for.
#[derive(Default)]
struct Wishes {
    check: bool,
    listen: Option<PathBuf>,
}

fn main() -> ExitCode {
    match wishes().and_then(|wishes| render_all(&wishes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn wishes() -> Result<Wishes, RenderError> {
    let mut wishes = Wishes::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => wishes.check = true,
            "--listen" => wishes.listen = Some(arguments.next().ok_or(RenderError::Usage)?.into()),
            _ => return Err(RenderError::Usage),
        }
    }
    Ok(wishes)
}

fn render_all(wishes: &Wishes) -> Result<(), RenderError> {
    let prompts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let made_with = format!("{}; {}", speech::version()?, opus::version());
    for language in Language::ALL {
        let path = prompts.join(format!("catalogue/{language}.toml"));
        let text = std::fs::read_to_string(&path)
            .map_err(|error| RenderError::File { path: path.clone(), error })?;
        let catalogue =
            Catalogue::parse(&text).map_err(|error| RenderError::Catalogue { path, error })?;
        let pack = render_language(language, &catalogue, &made_with)?;
        deliver(&prompts.join(format!("packs/{language}.wbp")), &pack, wishes)?;
    }
    let sounds = render_sounds(opus::version())?;
    deliver(&prompts.join("packs/sounds.wbp"), &sounds, wishes)
}

fn render_language(
    language: Language,
    catalogue: &Catalogue,
    made_with: &str,
) -> Result<Vec<u8>, RenderError> {
    let mut pack = PackWriter::new(language.tag(), made_with);
    for id in PromptId::all() {
        let words = catalogue.words(id);
        let spoken = speech::speak(&catalogue.voice, &catalogue.pronounced(&words))?;
        let samples = level::trimmed(&spoken, speech::MASTER_HZ);
        let samples = level::levelled(&samples, speech::MASTER_HZ, level::SPEECH_DBOV)
            .ok_or_else(|| RenderError::Silent(format!("{language}/{id}")))?;
        pack.add(ClipKind::Speech, id.name(), &words, &samples)?;
    }
    Ok(pack.finish())
}

fn render_sounds(made_with: &str) -> Result<Vec<u8>, RenderError> {
    let mut pack = PackWriter::new("sounds", made_with);
    for id in SoundId::all() {
        let kind = if id == SoundId::MusicOnHold { ClipKind::Loop } else { ClipKind::Sound };
        pack.add(kind, id.name(), "", &sounds::synthesise(id))?;
    }
    Ok(pack.finish())
}

fn deliver(path: &Path, bytes: &[u8], wishes: &Wishes) -> Result<(), RenderError> {
    let file_error = |error| RenderError::File { path: path.to_owned(), error };
    if wishes.check {
        let old = std::fs::read(path).map_err(file_error)?;
        return if old == bytes { Ok(()) } else { Err(RenderError::Outdated(path.to_owned())) };
    }
    std::fs::write(path, bytes).map_err(file_error)?;
    let pack = Pack::open(bytes)
        .expect("what PackWriter wrote is what Pack reads; a test holds them together");
    let seconds: f64 =
        pack.clips.iter().map(|clip| clip.length(SampleRate::Hz48000) as f64 / 48_000.0).sum();
    println!(
        "{}: {} clips, {seconds:.0} s, {} bytes",
        pack.language,
        pack.clips.len(),
        bytes.len()
    );
    match &wishes.listen {
        Some(directory) => write_wavs(&pack, directory),
        None => Ok(()),
    }
}

fn write_wavs(pack: &Pack<'_>, directory: &Path) -> Result<(), RenderError> {
    let folder = directory.join(pack.language);
    let file_error = |error| RenderError::File { path: folder.clone(), error };
    std::fs::create_dir_all(&folder).map_err(file_error)?;
    for clip in &pack.clips {
        let file = wav::write_wav(48_000, &clip.decode(SampleRate::Hz48000)?);
        std::fs::write(folder.join(format!("{}.wav", clip.name)), file).map_err(file_error)?;
    }
    Ok(())
}
