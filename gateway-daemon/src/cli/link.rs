//! `weebee link`: the address by which people join a room from a browser.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::{Role, RoomName};

use super::pin::{life, room, with_registry};
use super::print;
use crate::pin::mint::Life;
use crate::wall::rfc3339;
use crate::web::link;

/// Arguments of `weebee link`.
#[derive(Debug, Args)]
pub struct LinkArguments {
    /// The configuration file.
    #[arg(long, short)]
    config: PathBuf,
    /// The room it opens.
    #[arg(long, value_parser = room)]
    room: RoomName,
    /// Who comes by it is host: he starts rooms that wait for one.
    #[arg(long)]
    host: bool,
    /// Its life: `90m`, `24h`, `7d`, or `never`. Default: `[pin] ttl_h`. A link cannot be revoked; only a new key of the
    /// registry ends it earlier, with all PINs.
    #[arg(long, value_parser = life)]
    expires: Option<Life>,
    /// Print the link alone.
    #[arg(long, short)]
    quiet: bool,
}

/// Prints a link.
pub fn run(arguments: &LinkArguments) -> ExitCode {
    with_registry(&arguments.config, |registry, config| {
        let browser = config.browser.as_ref();
        let browser = browser.ok_or("[browser] is not enabled; write enabled = true there")?;
        let life = match arguments.expires {
            Some(Life::For(life)) => Some(life),
            Some(Life::Ever) => None,
            Some(Life::Usual) | None => config.pin.ttl,
        };
        let role = if arguments.host { Role::Host } else { Role::Guest };
        let end = life.map(|life| wall_clock().unix + life);
        let until = end.map_or(u64::MAX, |end| end.as_secs());
        let link = link::link(&browser.url, registry.key(), &arguments.room, role, until);
        Ok(print(&match (arguments.quiet, end) {
            (true, _) => format!("{link}\n"),
            (false, None) => format!("{link}   never ends\n"),
            (false, Some(unix)) => format!("{link}   until {}\n", rfc3339(WallClock { unix })),
        }))
    })
}
