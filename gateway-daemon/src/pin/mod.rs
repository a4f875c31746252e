//! The PIN registry: which digits open which room, for how long and for whom.
//!
//! On disk stands only a keyed hash of each PIN (HMAC-SHA256 with a server key): nine digits are tried out in seconds
//! by whoever holds a plain hash. The registry is asked with wall time as an argument and never guesses: what cannot be
//! read is an error, not a "no" and never a "yes".
//!
//! [`handle::Pins`] is what other parts hold: mint, check, list, revoke, and a meeting's begin and end. Below it
//! [`PinRegistry`] is one set of statements ([`sql`]) on two databases ([`sqlite`], [`postgres`]).

pub mod draw;
pub mod events;
pub mod handle;
pub mod key;
pub mod mint;
pub mod postgres;
pub mod sql;
pub mod sqlite;
pub mod throttle;
pub mod ticket;

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;

use crate::config::typed::PinSettings;
use key::PinKey;

/// Shortest PIN.
pub const DIGITS_MIN: u8 = 6;
/// Longest PIN.
pub const DIGITS_MAX: u8 = 12;

/// Where PINs are kept. Calls may block on a disk: they belong on a thread of their own.
pub trait PinRegistry: Send {
    /// The server's key.
    fn key(&self) -> &PinKey;
    /// What these digits open. Counts a use if `ask.spend` and the PIN has a maximum of uses.
    fn look_up(&mut self, ask: &PinAsk, wall: WallClock) -> Result<Verdict, RegistryError>;
    /// Draws and keeps a new PIN. With `new.recalled`, gives the room's live one of this kind if there is one.
    fn add(&mut self, new: &NewPin, wall: WallClock, rng: &mut Rng) -> Result<Pin, RegistryError>;
    /// The PIN with this id.
    fn find(&mut self, id: &str) -> Result<Option<PinEntry>, RegistryError>;
    /// All PINs that are kept, newest first. The digits are not known any more.
    fn list(&mut self) -> Result<Vec<PinEntry>, RegistryError>;
    /// Ends a PIN; false if there is no such one.
    fn revoke(&mut self, id: &str, wall: WallClock) -> Result<bool, RegistryError>;
    /// The meeting in `room` goes on: PINs that were about to close with it stay. How many did.
    fn meeting_started(&mut self, room: &RoomName, wall: WallClock) -> Result<u64, RegistryError>;
    /// The meeting in `room` is over: PINs that end with it close at `closes`. How many do.
    fn meeting_ended(
        &mut self,
        room: &RoomName,
        wall: WallClock,
        closes: WallClock,
    ) -> Result<u64, RegistryError>;
    /// Forgets PINs whose quarantine is over. How many were forgotten.
    fn purge(&mut self, wall: WallClock) -> Result<u64, RegistryError>;
    /// Keeps a ticket for [`ticket::LIFE`].
    fn add_ticket(&mut self, new: &ticket::NewTicket, wall: WallClock)
    -> Result<(), RegistryError>;
    /// What a ticket opens; spends it.
    fn redeem(
        &mut self,
        ask: &ticket::TicketAsk,
        wall: WallClock,
    ) -> Result<Verdict, RegistryError>;
    /// Whether the database answers.
    fn ping(&mut self) -> Result<(), RegistryError>;
}

/// Opens the registry that a configuration names, and makes file and key at first use. May be called within a runtime.
pub fn open(settings: &PinSettings) -> Result<Box<dyn PinRegistry>, RegistryError> {
    let Some(database) = &settings.database else {
        let registry = sqlite::SqliteRegistry::open(&settings.file, &settings.key_file)?;
        return Ok(Box::new(registry));
    };
    // The driver brings a runtime, which must not begin or end within another.
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| postgres::PostgresRegistry::open(database, &settings.key_file));
        let registry = opened.join().expect("the driver gives errors and does not panic")?;
        Ok(Box::new(registry) as Box<dyn PinRegistry>)
    })
}

/// What a PIN is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinKind {
    /// Everybody of one meeting.
    Guest,
    /// Who starts the meeting.
    Host,
    /// One person; bound to a telephone number and good for one call, if wanted.
    Personal,
    /// A room that stays: a longer PIN without an end.
    StaticRoom,
}

impl PinKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Guest, Self::Host, Self::Personal, Self::StaticRoom];

    /// Name in files, commands and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Host => "host",
            Self::Personal => "personal",
            Self::StaticRoom => "static",
        }
    }

    /// The kind of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A question to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinAsk {
    /// What was typed: ASCII digits.
    pub digits: Pii<String>,
    /// Only PINs of this room are valid.
    pub room: Option<RoomName>,
    /// Number of the caller; `None`: withheld. PINs bound to a number want it.
    pub caller: Option<Pii<String>>,
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
    /// What it is for.
    pub kind: PinKind,
    /// The person it belongs to.
    pub owner: Option<Pii<String>>,
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
    /// It is bound to another number than the caller's.
    OtherCaller,
    /// Caller or trunk are locked out after too many wrong ones.
    Locked,
    /// A ticket in its place that is unknown, old, used or another trunk's.
    Ticket,
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
            Self::OtherCaller => "other_caller",
            Self::Locked => "locked",
            Self::Ticket => "ticket",
        }
    }
}

/// A PIN to be made.
#[derive(Clone, Debug)]
pub struct NewPin {
    /// Room it opens.
    pub room: RoomName,
    /// What it is for.
    pub kind: PinKind,
    /// Standing.
    pub role: Role,
    /// The person it belongs to.
    pub owner: Option<Pii<String>>,
    /// Only calls from this number; its last nine digits count.
    pub caller: Option<Pii<String>>,
    /// Language of the words to its callers.
    pub language: Option<Language>,
    /// When it ends.
    pub expires: Option<WallClock>,
    /// How often it may be used.
    pub uses_max: Option<u32>,
    /// Digits, 6 to 12.
    pub digits: u8,
    /// It closes when its meeting is over.
    pub dies_with_meeting: bool,
    /// One for all of the room who ask: its digits can be told again, by whoever has the server's key.
    pub recalled: bool,
    /// Who asked for it: for listings.
    pub issuer: String,
}

impl NewPin {
    /// A PIN without an end, without conditions.
    pub fn new(room: RoomName, kind: PinKind, digits: u8) -> Self {
        Self {
            room,
            kind,
            role: if kind == PinKind::Host { Role::Host } else { Role::Guest },
            owner: None,
            caller: None,
            language: None,
            expires: None,
            uses_max: None,
            digits,
            dies_with_meeting: false,
            recalled: false,
            issuer: String::new(),
        }
    }
}

/// A PIN with its digits: known when it is made, and later only if it may be recalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Id, for `revoke` and records.
    pub id: String,
    /// Digits.
    pub digits: Pii<String>,
    /// When it ends.
    pub expires: Option<WallClock>,
    /// It was there already.
    pub is_recalled: bool,
}

/// A PIN as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinEntry {
    /// Id.
    pub id: String,
    /// Room.
    pub room: RoomName,
    /// What it is for.
    pub kind: PinKind,
    /// Standing.
    pub role: Role,
    /// The person it belongs to.
    pub owner: Option<Pii<String>>,
    /// Keyed hash of the only number that may use it.
    pub caller: Option<Vec<u8>>,
    /// Language.
    pub language: Option<Language>,
    /// When it was made.
    pub created: WallClock,
    /// When it ends.
    pub expires: Option<WallClock>,
    /// When it was revoked.
    pub revoked: Option<WallClock>,
    /// When it closes, because its meeting is over.
    pub closes: Option<WallClock>,
    /// It closes when its meeting is over.
    pub dies_with_meeting: bool,
    /// Who asked for it.
    pub issuer: String,
    /// How often it may be used.
    pub uses_max: Option<u32>,
    /// How often it was used; counted only where there is a maximum.
    pub uses: u32,
}

impl PinEntry {
    /// `live`, or why it opens nothing at `wall`.
    pub fn state(&self, wall: WallClock) -> &'static str {
        let is_over = |end: Option<WallClock>| end.is_some_and(|end| end <= wall);
        match self {
            Self { revoked: Some(_), .. } => "revoked",
            _ if is_over(self.expires) => "expired",
            _ if is_over(self.closes) => "over",
            Self { uses_max: Some(most), uses, .. } if uses >= most => "used up",
            _ => "live",
        }
    }
}

/// Why the registry cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The database.
    #[error("PIN registry {place}: {what}; {remedy}")]
    Registry {
        /// The file or server.
        place: String,
        /// What the disk or the database says.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The key file.
    #[error("PIN key {}: {what}; {remedy}", file.display())]
    Key {
        /// The file.
        file: std::path::PathBuf,
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
    /// Too many tickets wait for their calls.
    #[error(
        "{} tickets wait for their calls; does the PBX call after it asked?",
        ticket::TICKETS_MAX
    )]
    TooManyTickets,
}

impl RegistryError {
    /// The database works, yet has no room for what is asked.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Exhausted { .. } | Self::TooManyTickets)
    }
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
