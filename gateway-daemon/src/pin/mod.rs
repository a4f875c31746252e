//! The PIN registry: which digits open which room, for how long and for whom.
//!
//! On disk stands only a keyed hash of each PIN (HMAC-SHA256 with a server key): nine digits are tried out in seconds
//! by whoever holds a plain hash. The registry is asked with wall time as an argument and never guesses: what cannot be
//! read is an error, not a "no" and never a "yes".

pub mod draw;
pub mod key;
pub mod sqlite;
pub mod throttle;
pub mod worker;

use std::path::PathBuf;

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;

/// Shortest PIN.
pub const DIGITS_MIN: u8 = 6;
/// Longest PIN.
pub const DIGITS_MAX: u8 = 12;

/// Where PINs are kept. Calls may block on a disk: they belong on a thread of their own.
pub trait PinRegistry: Send {
    /// What these digits open. Counts a use if `ask.spend` and the PIN has a maximum of uses.
    fn look_up(&mut self, ask: &PinAsk, wall: WallClock) -> Result<Verdict, RegistryError>;
    /// Draws and keeps a new PIN.
    fn add(&mut self, new: &NewPin, wall: WallClock, rng: &mut Rng) -> Result<Pin, RegistryError>;
    /// All PINs that are kept, newest first. The digits are not known any more.
    fn list(&mut self) -> Result<Vec<PinEntry>, RegistryError>;
    /// Ends a PIN; false if there is no such one.
    fn revoke(&mut self, id: &str, wall: WallClock) -> Result<bool, RegistryError>;
}

/// A question to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinAsk {
    /// What was typed: ASCII digits.
    pub digits: Pii<String>,
    /// Only PINs of this room are valid.
    pub room: Option<RoomName>,
    /// The caller will be let in by a yes: count the use. False for callers who are locked out, whose lookup only
    /// takes the same time.
    pub spend: bool,
}

/// What the registry answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It opens a room.
    Valid(Grant),
    /// It does not; why is for the log of the owner, never for the caller.
    Refused(Refusal),
}

/// What a PIN opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Id of the PIN, for records.
    pub id: String,
    /// Room.
    pub room: RoomName,
    /// Standing.
    pub role: Role,
    /// Language of the words to this caller.
    pub language: Option<Language>,
}

/// Why a PIN opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No such PIN.
    Unknown,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// It was used as often as it may be.
    UsedUp,
    /// It belongs to another room than the dialled number.
    OtherRoom,
    /// Caller or trunk are locked out after too many wrong ones.
    Locked,
}

impl Refusal {
    /// Label for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::UsedUp => "used_up",
            Self::OtherRoom => "other_room",
            Self::Locked => "locked",
        }
    }
}

/// A PIN to be made.
#[derive(Clone, Debug)]
pub struct NewPin {
    /// Room it opens.
    pub room: RoomName,
    /// Standing.
    pub role: Role,
    /// Language of the words to its callers.
    pub language: Option<Language>,
    /// When it ends.
    pub expires: Option<WallClock>,
    /// How often it may be used.
    pub uses_max: Option<u32>,
    /// Digits, 6 to 12.
    pub digits: u8,
}

/// A PIN that was made: the only moment its digits are known.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Id, for `revoke` and records.
    pub id: String,
    /// Digits.
    pub digits: Pii<String>,
}

/// A PIN as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinEntry {
    /// Id.
    pub id: String,
    /// Room.
    pub room: RoomName,
    /// Standing.
    pub role: Role,
    /// Language.
    pub language: Option<Language>,
    /// When it was made.
    pub created: WallClock,
    /// When it ends.
    pub expires: Option<WallClock>,
    /// When it was revoked.
    pub revoked: Option<WallClock>,
    /// How often it may be used.
    pub uses_max: Option<u32>,
    /// How often it was used; counted only where there is a maximum.
    pub uses: u32,
}

/// Why the registry cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry file.
    #[error("PIN registry {}: {what}; {remedy}", file.display())]
    Registry {
        /// The file.
        file: PathBuf,
        /// What the disk or SQLite says.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The key file.
    #[error("PIN key {}: {what}; {remedy}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// No free PIN was found in many draws.
    #[error("nearly all PINs of {digits} digits are taken; raise [pin] digits")]
    Exhausted {
        /// Their length.
        digits: u8,
    },
}

/// The name of a standing.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Guest => "guest",
        Role::Host => "host",
    }
}

#[cfg(test)]
mod tests;
