//! `weebee setup rocketchat`: what a workspace lets the bot do, what is missing, and the webhook made for the admin.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::check::show;
use super::{failed, load};
use crate::check::rocketchat::{Wish, findings};
use crate::check::{Finding, Weight};
use crate::config::Config;

/// `weebee setup ...`.
#[derive(Debug, Subcommand)]
pub enum SetupCommand {
    /// Each `[[rocketchat]]` workspace: token, roles, access to a room, prefix of its meetings; makes the webhook if asked.
    Rocketchat(RocketChatArguments),
}

/// Arguments of `weebee setup rocketchat`.
#[derive(Debug, Args)]
pub struct RocketChatArguments {
    /// The configuration file.
    #[arg(long, short)]
    config: PathBuf,
    /// Only this workspace.
    #[arg(long)]
    workspace: Option<String>,
    /// A room (without #) that the bot should see; the last call there shows host and prefix of the Jitsi app.
    #[arg(long)]
    room: Option<String>,
    /// Make the outgoing webhook for the command word, to this address of ours: https://HOST/rocketchat/NAME.
    #[arg(long, value_name = "URL")]
    create_webhook: Option<String>,
}

/// Runs a command.
pub fn run(command: &SetupCommand) -> ExitCode {
    let SetupCommand::Rocketchat(arguments) = command;
    let config = match load(&arguments.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(look(&config, arguments)),
        Err(error) => failed(error),
    }
}

async fn look(config: &Config, arguments: &RocketChatArguments) -> ExitCode {
    let file = arguments.config.display().to_string();
    let wanted = |name: &str| arguments.workspace.as_deref().is_none_or(|wanted| wanted == name);
    let mut workspaces = config.rocketchat.iter().filter(|it| wanted(&it.name)).peekable();
    if workspaces.peek().is_none() {
        return failed(format!("{file} has no such [[rocketchat]]; docs/rocketchat.md shows one"));
    }
    let mut found: Vec<Finding> = Vec::new();
    for workspace in workspaces {
        let wish = Wish { room: arguments.room.clone(), webhook: arguments.create_webhook.clone() };
        let seen = findings(workspace, &wish).await;
        show(&file, &seen);
        found.extend(seen);
    }
    match found.iter().any(|finding| finding.weight == Weight::Wrong) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
