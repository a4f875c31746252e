//! `weebee check`: mistakes and doubts of a configuration; with `--live` what its Jitsi deployments say.

use std::process::ExitCode;

use clap::Args;

use super::failed;
use super::migrate::SourceArguments;
use crate::check::{Finding, Weight, doubts, live, programs, trunks};

/// Arguments of `weebee check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Log in to each Jitsi deployment and enter a room nobody knows, as a phone would: account, trust, rooms, Jicofo,
    /// clock, bridge. Asks registrars for our accounts, sends a signed `ping` to each hook. Takes some seconds; nobody hears
    /// anything.
    #[arg(long)]
    live: bool,
}

/// Judges a configuration. Exit code 64: it cannot be used; 1: it can, but something must be
/// mended before phones get in.
pub fn run(arguments: &CheckArguments) -> ExitCode {
    let config = match arguments.source.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let file = arguments.source.name();
    let (count, listeners) = (config.trunks.len(), config.sip.listeners.len());
    let deployments = match config.jitsi.len() {
        0 => String::new(),
        count => format!(", {count} Jitsi"),
    };
    println!("{file}: good ({count} trunks, {listeners} listeners{deployments})");
    let mut found = doubts::doubts(&config, gateway_core::io::wall_clock().unix);
    found.extend(programs::doubts(&config));
    found.extend(trunks::doubts(&config));
    if !config.notes.is_empty() {
        // Their lines are of a file that nobody has seen.
        found.iter_mut().for_each(|finding| finding.line = 0);
        found.extend(config.notes.iter().cloned());
    }
    show(&file, &found);
    if arguments.live {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let seen = match runtime {
            Ok(runtime) => runtime.block_on(async {
                let mut seen = trunks::findings(&config).await;
                seen.extend(live::findings(&config).await);
                seen.extend(programs::findings(&config).await);
                seen
            }),
            Err(error) => return failed(error),
        };
        show(&file, &seen);
        found.extend(seen);
    }
    match found.iter().any(|finding| finding.weight == Weight::Wrong) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// What is good goes to standard output, complaints to standard error.
pub(super) fn show(file: &str, found: &[Finding]) {
    for finding in found {
        match finding.weight {
            Weight::Good => println!("{}", finding.shown(file)),
            Weight::Warning | Weight::Wrong => eprintln!("{}", finding.shown(file)),
        }
    }
}
