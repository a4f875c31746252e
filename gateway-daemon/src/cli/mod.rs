//! The command line: `weebee run | check | config | pin | link | calls | call | setup`. Texts for people go to standard output,
//! complaints to standard error. Exit codes: 64 the configuration or command line cannot be used, 1 it did not work.

mod call;
mod calls;
mod check;
mod demo;
mod link;
mod migrate;
mod pin;
mod run;
mod setup;
mod stop;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, EXIT_BAD_CONFIG, Mistakes, docgen};
use crate::metrics::docgen as docgen_metrics;

/// A telephone call becomes a member of a conference room.
#[derive(Debug, Parser)]
#[command(name = "weebee", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C.
    Run(run::RunArguments),
    /// Judge a configuration: every mistake at once, with line and remedy. Opens no socket, unless with `--live`.
    Check(check::CheckArguments),
    /// Print the full default configuration with comments.
    Config {
        /// Print docs/config.md instead.
        #[arg(long)]
        reference: bool,
        /// Print docs/metrics.md instead.
        #[arg(long, conflicts_with = "reference")]
        metrics: bool,
    },
    /// Add, list or revoke PINs.
    #[command(subcommand)]
    Pin(pin::PinCommand),
    /// Print a link by which browsers join a room, without a PIN, until it expires.
    Link(link::LinkArguments),
    /// List the live calls of a running gateway.
    Calls(calls::CallsArguments),
    /// Take over the configuration of a Jigasi: write ours, and say what becomes of each key.
    Migrate(migrate::MigrateArguments),
    /// Look at what the gateway works with, say what is missing, and make what can be made.
    #[command(subcommand)]
    Setup(setup::SetupCommand),
    /// Call a SIP URI with a test phone and tell how it sounds.
    Call(Box<call::CallArguments>),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(EXIT_BAD_CONFIG)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Config { metrics: true, .. } => metrics_page(),
        Command::Config { reference: true, .. } => print(&docgen::reference_page()),
        Command::Config { .. } => print(&docgen::commented_default()),
        Command::Pin(command) => pin::run(command),
        Command::Link(arguments) => link::run(&arguments),
        Command::Calls(arguments) => calls::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Setup(command) => setup::run(&command),
        Command::Call(arguments) => call::run(&arguments),
    }
}

/// Reads a configuration, or says all its mistakes.
fn load(path: &Path) -> Result<Config, ExitCode> {
    config::load(path).map_err(|mistakes| refused(&mistakes))
}

/// Says all mistakes.
fn refused(mistakes: &Mistakes) -> ExitCode {
    eprint!("{mistakes}");
    ExitCode::from(EXIT_BAD_CONFIG)
}

fn metrics_page() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let page = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let core = runtime.block_on(docgen_metrics::core_counters())?;
        Ok(docgen_metrics::reference_page(&core))
    });
    page.map_or_else(failed, |page| print(&page))
}

/// Prints, and does not mind a reader that went away (`weebee config | head`).
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Says what did not work.
fn failed(text: impl std::fmt::Display) -> ExitCode {
    eprintln!("weebee: {text}");
    ExitCode::FAILURE
}
