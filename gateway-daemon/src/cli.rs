//! The command line: `weebee run | check | config | ...`. Texts for people go to standard output, complaints to
//! standard error; exit code 64 says that the configuration cannot be used.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, EXIT_BAD_CONFIG, docgen};

/// A telephone call becomes a member of a conference room.
#[derive(Debug, Parser)]
#[command(name = "weebee", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge a configuration: every mistake at once, with line and remedy. Opens no socket.
    Check {
        /// The configuration file.
        #[arg(long, short)]
        config: PathBuf,
    },
    /// Print the full default configuration with comments.
    Config {
        /// Print docs/config.md instead.
        #[arg(long)]
        reference: bool,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check { config } => check(&config),
        Command::Config { reference: true } => print(&docgen::reference_page()),
        Command::Config { reference: false } => print(&docgen::commented_default()),
    }
}

fn check(path: &std::path::Path) -> ExitCode {
    match config::load(path) {
        Ok(config) => {
            let (trunks, listeners) = (config.trunks.len(), config.sip.listeners.len());
            println!("{}: good ({trunks} trunks, {listeners} listeners)", path.display());
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            eprint!("{mistakes}");
            ExitCode::from(EXIT_BAD_CONFIG)
        }
    }
}

/// Prints, and does not mind a reader that went away (`weebee config | head`).
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
