//! What a part of the gateway asks for when it wants a PIN, and what it gets.

use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::base::time::WallClock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;

use super::{NewPin, PinKind, RegistryError};
use crate::config::typed::PinSettings;

/// Who asks for PINs. `mint` of a room's policy says who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issuer {
    /// `weebee pin add`.
    Cli,
    /// The REST interface.
    Rest,
    /// Jitsi Meet's dial-in page (`conferenceMapper`).
    Page,
    /// Rocket.Chat.
    Chat,
}

impl Issuer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cli, Self::Rest, Self::Page, Self::Chat];

    /// Name in the configuration and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Rest => "rest",
            Self::Page => "page",
            Self::Chat => "chat",
        }
    }
}

/// How long a PIN lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// As `[pin]` says for its kind.
    Usual,
    /// This long.
    For(Duration),
    /// For ever.
    Ever,
}

/// A wish for a PIN: [`Mint::new`], then what differs from the usual.
#[derive(Clone, Debug)]
pub struct Mint {
    /// Room it opens.
    pub room: RoomName,
    /// What it is for.
    pub kind: PinKind,
    /// Who asks.
    pub issuer: Issuer,
    /// Standing; `None`: that of the kind.
    pub role: Option<Role>,
    /// Name of the person it belongs to (personal PINs): shown in the room.
    pub owner: Option<Pii<String>>,
    /// Only calls from this number.
    pub caller: Option<Pii<String>>,
    /// Language of the words to its callers; `None`: the room's, number's or trunk's.
    pub language: Option<Language>,
    /// How long it lives.
    pub life: Life,
    /// How often it may be used.
    pub uses_max: Option<u32>,
    /// Digits; `None`: as `[pin]` says for its kind.
    pub digits: Option<u8>,
    /// It closes when [`super::handle::Pins::meeting_ended`] is told of its room.
    pub dies_with_meeting: bool,
    /// One PIN for all who ask: a live one of this room and kind is given again instead of a new one.
    pub recalled: bool,
}

impl Mint {
    /// The usual PIN of a kind. Guest PINs are one for all who ask, until their meeting ends; those of the command line
    /// are new each time and end with their time alone.
    pub fn new(room: RoomName, kind: PinKind, issuer: Issuer) -> Self {
        let of_meeting = issuer != Issuer::Cli && kind != PinKind::StaticRoom;
        Self {
            room,
            kind,
            issuer,
            role: None,
            owner: None,
            caller: None,
            language: None,
            life: Life::Usual,
            uses_max: None,
            digits: None,
            dies_with_meeting: of_meeting,
            recalled: issuer != Issuer::Cli && kind == PinKind::Guest,
        }
    }

    /// The PIN to be made at `wall`.
    pub fn resolve(&self, settings: &PinSettings, wall: WallClock) -> NewPin {
        let is_static = self.kind == PinKind::StaticRoom;
        let usual = match self.kind {
            PinKind::StaticRoom => None,
            PinKind::Personal => settings.personal_ttl,
            PinKind::Guest | PinKind::Host => settings.ttl,
        };
        let life = match self.life {
            Life::Usual => usual,
            Life::For(life) => Some(life),
            Life::Ever => None,
        };
        let digits = if is_static { settings.static_digits } else { settings.digits };
        let new = NewPin::new(self.room.clone(), self.kind, self.digits.unwrap_or(digits));
        NewPin {
            role: self.role.unwrap_or(new.role),
            owner: self.owner.clone(),
            caller: self.caller.clone(),
            language: self.language,
            expires: life.map(|life| WallClock { unix: wall.unix + life }),
            uses_max: self.uses_max,
            dies_with_meeting: self.dies_with_meeting,
            // A PIN for all must not be used up, nor be somebody's.
            recalled: self.recalled && self.uses_max.is_none() && self.owner.is_none(),
            issuer: self.issuer.name().to_owned(),
            ..new
        }
    }
}

/// Why there is no PIN, or no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The room's policy does not let this part mint.
    #[error("PINs of this room are not given out by {}; add it to `mint` of its policy", .0.name())]
    NotAllowed(Issuer),
    /// Too many questions wait.
    #[error("the PIN registry is too slow: too many questions wait")]
    Busy,
    /// The registry's thread has ended.
    #[error("the gateway stops")]
    Stopped,
    /// The registry cannot answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
