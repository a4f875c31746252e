//! `weebee migrate`: from an old installation of Jigasi to our configuration, with a report of every key; and the same,
//! unwritten, for `run` and `check`.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::check::show;
use super::{failed, print, refused};
use crate::check::{Weight, doubts};
use crate::config::{Config, Mistakes};
use crate::jigasi::draft::SecretsAt;
use crate::jigasi::report::{self, Report};
use crate::jigasi::translate::{Here, Translation, translate};
use crate::jigasi::{self, Source, table};

/// Arguments of `weebee migrate`.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// Jigasi's sip-communicator.properties.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["env", "env_file"])]
    from: Option<PathBuf>,
    /// The shell file of Debian's package. Without: `config` beside the properties, if it is there.
    #[arg(long, value_name = "FILE", requires = "from")]
    debian_config: Option<PathBuf>,
    /// The .env file of docker-jitsi-meet.
    #[arg(long, value_name = "FILE", conflicts_with = "env")]
    env_file: Option<PathBuf>,
    /// The environment of this process, as in docker-jitsi-meet's container.
    #[arg(long)]
    env: bool,
    /// Where our configuration goes; passwords go to files in a folder beside it. Without: only the report.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Write over files that are there.
    #[arg(long, requires = "to")]
    force: bool,
    /// The address at which telephones and exchanges reach this machine.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Print docs/jigasi-keys.md: what becomes of every key.
    #[arg(long, conflicts_with_all = ["from", "env", "env_file", "to"])]
    keys: bool,
    /// Say what becomes of one key.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["from", "env", "env_file", "to"])]
    explain: Option<String>,
}

/// Where `run` and `check` find their configuration.
#[derive(Debug, Args)]
pub struct SourceArguments {
    /// The configuration file: ours, or Jigasi's sip-communicator.properties.
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Take the environment of docker-jitsi-meet's Jigasi container instead of a file.
    #[arg(long, conflicts_with = "config")]
    jigasi_env: bool,
    /// Take it from this .env file.
    #[arg(long, value_name = "FILE", requires = "jigasi_env")]
    env_file: Option<PathBuf>,
    /// With a configuration of Jigasi's: the address at which telephones and exchanges reach this machine.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
}

impl SourceArguments {
    /// The configuration, or its mistakes on standard error.
    pub fn load(&self) -> Result<Config, ExitCode> {
        let source = match (&self.config, &self.env_file) {
            (Some(file), _) if jigasi::is_properties(file) => {
                Source::Properties(file.clone(), None)
            }
            (Some(file), _) if self.address.is_some() => {
                let mut mistakes = Mistakes::new(&file.display().to_string());
                mistakes.add(0, "--address is for configurations of Jigasi's; write [sip] listen");
                return Err(refused(&mistakes));
            }
            (Some(file), _) => return super::load(file),
            (None, Some(file)) => Source::EnvironmentFile(file.clone()),
            (None, None) if self.jigasi_env => Source::Environment,
            (None, None) => return super::load(Path::new("")),
        };
        jigasi::load(&source, &Here::new(self.address)).map_err(|mistakes| refused(&mistakes))
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        let file = self.config.as_ref().or(self.env_file.as_ref());
        file.map_or("environment".to_owned(), |file| file.display().to_string())
    }
}

/// Runs the command. Exit code 64: the old configuration cannot be used.
pub fn run(arguments: &MigrateArguments) -> ExitCode {
    if arguments.keys {
        return print(&table::reference_page());
    }
    if let Some(key) = &arguments.explain {
        return print(&table::explain(key));
    }
    let source = match (&arguments.from, &arguments.env_file, arguments.env) {
        (Some(file), _, _) => Source::Properties(file.clone(), arguments.debian_config.clone()),
        (_, Some(file), _) => Source::EnvironmentFile(file.clone()),
        (_, _, true) => Source::Environment,
        _ => return failed("say what to migrate: --from FILE, --env-file FILE or --env"),
    };
    match migrate(&source, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Mistakes(mistakes)) => refused(&mistakes),
        Err(Trouble::Other(text)) => failed(text),
    }
}

enum Trouble {
    Mistakes(Mistakes),
    Other(String),
}

impl From<Mistakes> for Trouble {
    fn from(mistakes: Mistakes) -> Self {
        Self::Mistakes(mistakes)
    }
}

fn migrate(source: &Source, arguments: &MigrateArguments) -> Result<(), Trouble> {
    let old = source.found()?;
    let here = Here::new(arguments.address);
    // Our reader must take it, before anything is written.
    let unwritten = translate(&old, &here, SecretsAt::Memory)?;
    let config = jigasi::judged(&old, &unwritten, Path::new(""))?;
    print(&format!("{}: {}", old.name, Report::new(&old).text()));
    let mut found = report::findings(&old, &unwritten);
    found.retain(|finding| finding.weight != Weight::Good);
    let now = gateway_core::io::wall_clock().unix;
    let doubts = doubts::doubts(&config, now).into_iter().filter(|finding| finding.line == 0);
    if !found.is_empty() {
        eprintln!("\nto do, or to know:");
    }
    show(&old.name, &found);
    let Some(to) = &arguments.to else {
        println!("\nnothing was written; --to weebee.toml writes it");
        return Ok(());
    };
    let folder = secrets_folder(to);
    let written = translate(&old, &here, SecretsAt::Folder(folder.clone()))?;
    write(to, &folder, &written, arguments.force).map_err(Trouble::Other)?;
    show(&to.display().to_string(), &doubts.collect::<Vec<_>>());
    let file = to.display();
    println!("\nwrote {file}, and {} secrets below {folder}/", written.secrets.len());
    println!(
        "next: weebee check --config {file} --live; then stop Jigasi, and: weebee run --config {file}"
    );
    Ok(())
}

/// `weebee.toml` has its secrets in `weebee.secrets`.
fn secrets_folder(to: &Path) -> String {
    let stem = to.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    format!("{}.secrets", stem.unwrap_or_else(|| "weebee".to_owned()))
}

/// Writes secrets, then the configuration that names them. Without `force` nothing that exists is touched.
fn write(to: &Path, folder: &str, written: &Translation, force: bool) -> Result<(), String> {
    let place = to.parent().unwrap_or(Path::new("")).join(folder);
    let files: Vec<PathBuf> =
        written.secrets.iter().map(|secret| place.join(&secret.name)).collect();
    if let Some(there) = files.iter().chain([&to.to_path_buf()]).find(|file| file.exists())
        && !force
    {
        return Err(format!("{} exists; --force writes over it", there.display()));
    }
    let problem = |file: &Path, error: std::io::Error| format!("{}: {error}", file.display());
    if !files.is_empty() {
        fs::create_dir_all(&place).map_err(|error| problem(&place, error))?;
        let only_us = Permissions::from_mode(0o700);
        fs::set_permissions(&place, only_us).map_err(|error| problem(&place, error))?;
    }
    for (file, secret) in files.iter().zip(&written.secrets) {
        let text = format!("{}\n", secret.value.reveal());
        put(file, &text, 0o600).map_err(|error| problem(file, error))?;
    }
    put(to, &written.text, 0o640).map_err(|error| problem(to, error))
}

/// Writes a file whose mode is right before anything stands in it.
fn put(file: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut open = options.write(true).create(true).truncate(true).mode(mode).open(file)?;
    open.set_permissions(Permissions::from_mode(mode))?;
    open.write_all(text.as_bytes())?;
    open.sync_all()
}
