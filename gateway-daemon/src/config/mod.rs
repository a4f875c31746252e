//! Configuration: one TOML file. Keys are declared once in [`schema`]; [`raw`] reads the file against the
//! declarations, [`typed`] turns values into types that cannot be wrong, [`docgen`] writes the commented default and
//! `docs/config.md`.
//!
//! A file is judged as a whole: every mistake is reported at once, with its line, what is wrong and what to write
//! instead, before any socket opens. Relative paths in the file are relative to the file's folder.

mod account;
pub mod agi;
pub mod api;
pub mod audit;
pub mod brewery;
pub mod browser;
pub mod compat;
pub mod dial_in;
pub mod dial_out;
pub mod docgen;
pub mod door;
pub mod hooks;
pub mod jitsi;
pub mod number;
pub mod pins;
pub mod raw;
pub mod rocketchat;
pub mod rooms;
pub mod schema;
pub mod secrets;
pub mod trunk;
pub mod typed;
pub mod values;

use std::fmt;
use std::path::Path;

use crate::jigasi;

pub use secrets::Secrets;
pub use typed::Config;

/// Exit code for a configuration that cannot be used (`EX_USAGE` of sysexits.h).
pub const EXIT_BAD_CONFIG: u8 = 64;

/// Something wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Line, from 1; 0: the file as a whole.
    pub line: usize,
    /// What is wrong, and the remedy.
    pub text: String,
}

/// All mistakes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// The file, as the user named it.
    pub file: String,
    /// In the order of lines.
    pub entries: Vec<Mistake>,
}

impl Mistakes {
    /// None yet.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), entries: Vec::new() }
    }

    /// One more.
    pub fn add(&mut self, line: usize, text: impl Into<String>) {
        self.entries.push(Mistake { line, text: text.into() });
    }

    fn into_result<T>(mut self, value: Option<T>) -> Result<T, Self> {
        self.entries.sort();
        self.entries.dedup();
        match value {
            Some(value) if self.entries.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.entries {
            match mistake.line {
                0 => writeln!(formatter, "{}: {}", self.file, mistake.text)?,
                line => writeln!(formatter, "{}:{line}: {}", self.file, mistake.text)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Reads and judges a configuration file: ours, or Jigasi's.
pub fn load(path: &Path) -> Result<Config, Mistakes> {
    if jigasi::is_properties(path) {
        let source = jigasi::Source::Properties(path.to_path_buf(), None);
        return jigasi::load(&source, &jigasi::translate::Here::new(None));
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let mut mistakes = Mistakes::new(&name);
        mistakes.add(
            0,
            format!("cannot be read: {error}; `weebee config > {name}` writes a commented default"),
        );
        mistakes
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&name, &text, folder)
}

/// Judges the text of a configuration. Relative paths are taken from `folder`.
pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Config, Mistakes> {
    parse_with(file, text, folder, &Secrets::environment())
}

/// As [`parse`], with secrets beside those of the environment.
pub fn parse_with(
    file: &str,
    text: &str,
    folder: &Path,
    secrets: &Secrets,
) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::new(file);
    let raw = raw::read(text, &mut mistakes);
    let config = typed::build(&raw, folder, secrets, &mut mistakes);
    mistakes.into_result(config)
}

#[cfg(test)]
mod dial_out_tests;
#[cfg(test)]
mod jitsi_tests;
#[cfg(test)]
mod rocketchat_tests;
#[cfg(test)]
mod tests;
