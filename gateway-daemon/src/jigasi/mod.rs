//! In Jigasi's place: its `sip-communicator.properties`, Debian's options and docker-jitsi-meet's environment, read as they
//! are.
//!
//! Everything goes one way: [`properties`] reads a file as Java does, [`environment`] writes the file that a container would
//! and has it read, [`old`] gathers the keys, [`translate`] makes TOML of ours from them, and the one reader of our
//! configuration reads that. What becomes of each key stands in [`table`]; [`report`] says it for one installation. A gateway
//! that runs straight from the old configuration keeps its secrets in memory; `weebee migrate` writes them to files.

pub mod debian;
pub mod draft;
pub mod environment;
pub mod keys;
pub mod old;
pub mod properties;
pub mod report;
pub mod table;
pub mod translate;

use std::path::{Path, PathBuf};

use crate::config::{self, Config, Mistakes, Secrets};
use draft::SecretsAt;
use environment::Environment;
use keys::Origin;
use old::Old;
use translate::{Here, Translation};

/// First port of sound, as an option of Jigasi's command line. Its file has no key for it.
pub const PORT_MIN: &str = "--min-port";
/// Last port of sound.
pub const PORT_MAX: &str = "--max-port";

/// Where an old configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A properties file, and Debian's shell file (the one beside it if none is named).
    Properties(PathBuf, Option<PathBuf>),
    /// The environment of this process.
    Environment,
    /// A file of variables.
    EnvironmentFile(PathBuf),
}

impl Source {
    /// What is there.
    pub fn found(&self) -> Result<Old, Mistakes> {
        match self {
            Self::Properties(file, shell) => Old::of_properties(file, shell.as_deref()),
            Self::Environment => {
                let variables = Environment::of_process();
                let custom = old::custom_file(&variables, true);
                Old::of_environment("environment", &variables, custom.as_deref())
            }
            Self::EnvironmentFile(file) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(file).map_err(|error| {
                    let mut mistakes = Mistakes::new(&name);
                    mistakes.add(0, format!("cannot be read: {error}"));
                    mistakes
                })?;
                let variables = Environment::of_file(&text);
                let custom = old::custom_file(&variables, false);
                Old::of_environment(&old::short_name(file), &variables, custom.as_deref())
            }
        }
    }
}

/// Whether this is a properties file of Jigasi's: by its name, or by what its lines begin with.
pub fn is_properties(path: &Path) -> bool {
    if path.extension().is_some_and(|extension| extension == "properties") {
        return true;
    }
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let begins = ["net.java.sip.communicator.", "org.jitsi.jigasi."];
    text.lines().any(|line| begins.iter().any(|begin| line.trim_start().starts_with(begin)))
}

/// A configuration straight from an old one: no file is written, and secrets stay in memory. Its notes say what became of
/// the keys.
pub fn load(source: &Source, here: &Here) -> Result<Config, Mistakes> {
    let old = source.found()?;
    let translation = translate::translate(&old, here, SecretsAt::Memory)?;
    let mut config = judged(&old, &translation, &state_folder())?;
    config.notes = report::findings(&old, &translation);
    Ok(config)
}

/// Has our reader read a translation whose secrets are in memory. A mistake is said of the line it comes from.
pub fn judged(old: &Old, translation: &Translation, folder: &Path) -> Result<Config, Mistakes> {
    let mut secrets = Secrets::environment();
    for secret in &translation.secrets {
        secrets.bring(&format!("{}{}", draft::MEMORY, secret.name), secret.value.clone());
    }
    config::parse_with(&old.name, &translation.text, folder, &secrets).map_err(|mistakes| {
        let main = old::short_name(Path::new(&old.name));
        let mut said = Mistakes::new(&old.name);
        for mistake in mistakes.entries {
            let at = mistake.line.checked_sub(1).and_then(|at| translation.origins.get(at));
            match at.and_then(Option::as_ref) {
                Some(Origin::Line { file, line }) if *file == main => said.add(*line, mistake.text),
                Some(origin) => said.add(0, format!("{origin}: {}", mistake.text)),
                None => said.add(0, mistake.text),
            }
        }
        said.entries.sort();
        said
    })
}

/// Where a gateway that runs straight from an old configuration keeps its files: systemd's StateDirectory, else the folder
/// it was started in. Never beside the old configuration.
fn state_folder() -> PathBuf {
    let named = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    PathBuf::from(named.split(':').next().unwrap_or_default())
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
