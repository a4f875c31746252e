//! `weebee pin add | list | revoke`: works on the registry file, beside a running gateway too.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;

use super::{failed, load, print};
use crate::config::Config;
use crate::config::schema::LANGUAGES;
use crate::config::values::language;
use crate::pin::events::{PinEvent, PinJournal};
use crate::pin::mint::{Issuer, Life, Mint, PinError};
use crate::pin::{self, DIGITS_MAX, DIGITS_MIN, PinEntry, PinKind, PinRegistry, key};
use crate::wall::rfc3339;

/// `weebee pin ...`.
#[derive(Debug, Subcommand)]
pub enum PinCommand {
    /// Draw a PIN for a room and print it. It cannot be shown again.
    Add(AddArguments),
    /// List the PINs that are kept: ids, rooms, ends. The digits are not known any more.
    List {
        /// The configuration file.
        #[arg(long, short)]
        config: PathBuf,
    },
    /// End a PIN.
    Revoke {
        /// The configuration file.
        #[arg(long, short)]
        config: PathBuf,
        /// Its id, as `add` and `list` show it.
        id: String,
    },
}

/// Arguments of `weebee pin add`.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// The configuration file.
    #[arg(long, short)]
    config: PathBuf,
    /// The room it opens.
    #[arg(long, value_parser = room)]
    room: RoomName,
    /// What it is for: guests of a meeting, its host, one person, or a room that stays (longer, without an end).
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(KINDS), default_value = "guest")]
    kind: String,
    /// Its callers are hosts: they start rooms that wait for one.
    #[arg(long)]
    host: bool,
    /// Name of the person it belongs to, shown in the room. For `--kind personal`.
    #[arg(long)]
    owner: Option<String>,
    /// Only calls from this number: its last nine digits count. For `--kind personal`.
    #[arg(long, value_parser = number)]
    caller: Option<String>,
    /// Its life: `90m`, `24h`, `7d`, or `never`. Default: `[pin] ttl_h`, `personal_ttl_min`, or never for static ones.
    #[arg(long, value_parser = life)]
    expires: Option<Life>,
    /// How often it may be used. Default: any number of times.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
    /// It ends with its meeting, `[pin] grace_min` later.
    #[arg(long)]
    with_meeting: bool,
    /// Language of the words to its callers. Default: the room's, number's or trunk's.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(LANGUAGES))]
    language: Option<String>,
    /// Digits. Default: `[pin] digits`, or `static_digits`.
    #[arg(long, value_parser = clap::value_parser!(u8).range(i64::from(DIGITS_MIN)..=i64::from(DIGITS_MAX)))]
    digits: Option<u8>,
    /// Print the digits alone.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs a command.
pub fn run(command: PinCommand) -> ExitCode {
    match command {
        PinCommand::Add(arguments) => add(&arguments),
        PinCommand::List { config } => with_registry(&config, |registry, _| {
            let entries = registry.list().map_err(|error| error.to_string())?;
            Ok(print(&listing(&entries, wall_clock())))
        }),
        PinCommand::Revoke { config, id } => with_registry(&config, |registry, config| {
            if !registry.revoke(&id, wall_clock()).map_err(|error| error.to_string())? {
                return Err(format!("there is no live PIN {id:?}; see `weebee pin list`"));
            }
            let journal = journal(registry, config)?;
            journal.note(PinEvent::Revoked { id: id.clone(), issuer: Issuer::Cli });
            journal.close();
            Ok(print(&format!("PIN {id} is revoked\n")))
        }),
    }
}

fn add(arguments: &AddArguments) -> ExitCode {
    with_registry(&arguments.config, |registry, config| {
        let wall = wall_clock();
        let mint = wish(arguments)?;
        if !config.rooms.rules(&mint.room).mint.contains(&Issuer::Cli) {
            return Err(PinError::NotAllowed(Issuer::Cli).to_string());
        }
        let new = mint.resolve(&config.pin, wall);
        let seed = key::entropy().map_err(|error| format!("/dev/urandom: {error}"))?;
        let pin = registry
            .add(&new, wall, &mut Rng::from_seed(seed))
            .map_err(|error| error.to_string())?;
        let journal = journal(registry, config)?;
        journal.note(PinEvent::Minted {
            id: pin.id.clone(),
            kind: new.kind,
            room: new.room.clone(),
            issuer: Issuer::Cli,
            owner: new.owner.clone(),
            expires: pin.expires,
            is_recalled: pin.is_recalled,
        });
        journal.close();
        let digits = pin.digits.reveal();
        Ok(print(&match arguments.quiet {
            true => format!("{digits}\n"),
            false => format!(
                "PIN {digits}   id {}   room {:?}   {}   {}\n",
                pin.id,
                new.room.as_str(),
                standing(new.kind, new.role),
                new.expires
                    .map_or("never ends".to_owned(), |end| format!("until {}", rfc3339(end))),
            ),
        }))
    })
}

/// The audit log knows what is done by hand, too.
fn journal(registry: &dyn PinRegistry, config: &Config) -> Result<PinJournal, String> {
    PinJournal::start(&config.audit, registry.key().clone(), Vec::new())
        .map_err(|error| format!("no thread: {error}; raise the limit of processes"))
}

/// What the arguments ask for, or why they do not go together.
fn wish(arguments: &AddArguments) -> Result<Mint, String> {
    let kind = PinKind::of(&arguments.kind).unwrap_or(PinKind::Guest);
    let is_personal = kind == PinKind::Personal;
    if !is_personal && (arguments.owner.is_some() || arguments.caller.is_some()) {
        return Err("--owner and --caller make a PIN somebody's; add --kind personal".to_owned());
    }
    let mint = Mint::new(arguments.room.clone(), kind, Issuer::Cli);
    Ok(Mint {
        role: arguments.host.then_some(Role::Host),
        owner: arguments.owner.clone().map(Pii::new),
        caller: arguments.caller.clone().map(Pii::new),
        language: arguments.language.as_deref().and_then(language),
        life: arguments.expires.unwrap_or(Life::Usual),
        uses_max: arguments.uses,
        digits: arguments.digits,
        dies_with_meeting: arguments.with_meeting,
        ..mint
    })
}

/// Kind, and standing where the kind does not say it.
fn standing(kind: PinKind, role: Role) -> String {
    match (kind, role) {
        (PinKind::Guest, Role::Host) => "host".to_owned(),
        (PinKind::Personal | PinKind::StaticRoom, Role::Host) => format!("{} host", kind.name()),
        _ => kind.name().to_owned(),
    }
}

/// Opens what the configuration names and works on it.
pub(super) fn with_registry(
    config: &Path,
    work: impl FnOnce(&mut dyn PinRegistry, &Config) -> Result<ExitCode, String>,
) -> ExitCode {
    let config = match load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let done = pin::open(&config.pin)
        .map_err(|error| error.to_string())
        .and_then(|mut registry| work(registry.as_mut(), &config));
    done.unwrap_or_else(failed)
}

fn listing(entries: &[PinEntry], wall: WallClock) -> String {
    let mut out = format!(
        "{:<10} {:<14} {:<9} {:<26} {:<9} {:<9} {:<6} room\n",
        "id", "kind", "state", "ends", "uses", "language", "by"
    );
    for entry in entries {
        let state = entry.state(wall);
        let uses = entry.uses_max.map_or("any".to_owned(), |most| format!("{}/{most}", entry.uses));
        let end = entry.closes.into_iter().chain(entry.expires).min();
        out.push_str(&format!(
            "{:<10} {:<14} {state:<9} {:<26} {uses:<9} {:<9} {:<6} {}\n",
            entry.id,
            standing(entry.kind, entry.role),
            end.map_or("never".to_owned(), rfc3339),
            entry.language.map_or("-", Language::tag),
            if entry.issuer.is_empty() { "-" } else { &entry.issuer },
            entry.room.as_str(),
        ));
    }
    out
}

/// A room's name as an argument.
pub(super) fn room(text: &str) -> Result<RoomName, String> {
    RoomName::new(text).map_err(|error| error.to_string())
}

/// A telephone number as an argument: enough digits to tell callers apart.
fn number(text: &str) -> Result<String, String> {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    match digits {
        3..=15 => Ok(text.to_owned()),
        _ => Err("write the number with 3 to 15 digits, such as +622112345647".to_owned()),
    }
}

/// `90m`, `24h`, `7d` or `never`.
pub(super) fn life(text: &str) -> Result<Life, String> {
    if text == "never" {
        return Ok(Life::Ever);
    }
    let help = || "write 90m, 24h, 7d or never".to_owned();
    let unit = text.chars().next_back().ok_or_else(help)?;
    let number: u64 =
        text.strip_suffix(unit).and_then(|digits| digits.parse().ok()).ok_or_else(help)?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(help()),
    };
    let life = number.checked_mul(seconds).filter(|life| (1..=LIFE_MAX_S).contains(life));
    life.map(|life| Life::For(Duration::from_secs(life))).ok_or_else(help)
}

const KINDS: [&str; 4] = ["guest", "host", "personal", "static"];
/// 100 years.
const LIFE_MAX_S: u64 = 3_155_760_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives() {
        assert_eq!(life("90m"), Ok(Life::For(Duration::from_secs(5_400))));
        assert_eq!(life("7d"), Ok(Life::For(Duration::from_secs(604_800))));
        assert_eq!(life("never"), Ok(Life::Ever));
        for bad in ["", "h", "0h", "5", "5y", "-5h", "99999999999999999999d", "9999999999d"] {
            assert!(life(bad).is_err(), "{bad}");
        }
    }
}
