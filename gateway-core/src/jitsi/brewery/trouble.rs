//! Why we are not in a brewery, and how patiently each is tried again.

use std::fmt;
use std::time::Duration;

use crate::jitsi::stanza::presence::{Gone, JoinRefusal};

/// Why we are not in. `Display` is a sentence with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The room does not answer.
    Silent,
    /// Our nick is somebody else's: an old session of ours, as a rule.
    NickTaken,
    /// There is no room and we may not make one, or it is locked until who made it has set it up.
    NoRoom,
    /// We made the room and may not unlock it.
    Locked,
    /// The room wants a password.
    Password,
    /// Members only.
    MembersOnly,
    /// We may not come in, or were banned.
    Forbidden,
    /// Somebody threw us out.
    Kicked,
    /// The room was destroyed.
    Destroyed,
    /// The room forgot us: its server restarted.
    Lost,
    /// Joins came too fast, or the room is full.
    Busy,
    /// Something else: the condition.
    Other(String),
}

/// Pauses: the first, which doubles, and the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// First pause.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Trouble {
    /// From a refused join.
    pub fn refused(refusal: JoinRefusal) -> Self {
        match refusal {
            JoinRefusal::Password => Self::Password,
            JoinRefusal::Lobby { .. } => Self::MembersOnly,
            JoinRefusal::NickTaken | JoinRefusal::NickRefused => Self::NickTaken,
            JoinRefusal::NoRoom => Self::NoRoom,
            JoinRefusal::Forbidden | JoinRefusal::VisitorsOnly => Self::Forbidden,
            JoinRefusal::TooFast | JoinRefusal::Full => Self::Busy,
            JoinRefusal::NameRequired => Self::Other("not-acceptable".to_owned()),
            JoinRefusal::Other(condition) => Self::Other(condition),
        }
    }

    /// From the way we went.
    pub fn gone(gone: &Gone) -> Self {
        match gone {
            _ if gone.destroyed.is_some() => Self::Destroyed,
            _ if gone.was_banned => Self::Forbidden,
            _ if gone.was_kicked => Self::Kicked,
            _ => Self::Lost,
        }
    }

    /// What comes right by itself is tried soon; what a person must mend, slowly.
    pub fn patience(&self) -> Patience {
        let (first_ms, longest_s) = match self {
            // Whoever makes the room needs a while after a restart; we want to be there at once.
            Self::Lost | Self::Destroyed | Self::NoRoom => (1_000, 5),
            Self::Locked => (1_000, 30),
            Self::Silent | Self::NickTaken | Self::Busy => (2_000, 60),
            Self::Kicked | Self::Other(_) => (5_000, 60),
            Self::Password | Self::MembersOnly | Self::Forbidden => (15_000, 60),
        };
        let (first, longest) = (Duration::from_millis(first_ms), Duration::from_secs(longest_s));
        Patience { first, longest }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Silent => "the room does not answer; check that its Component runs in Prosody",
            Self::NickTaken => {
                "our name there is taken, by an old session of ours as a rule; a new one is tried"
            }
            Self::NoRoom => {
                "the room is not there, or locked by who made it; check its address, and that Jicofo runs"
            }
            Self::Locked => {
                "we made the room and may not set it up; add our account to `admins` of its Component, or start Jicofo \
                 first"
            }
            Self::Password => "the room wants a password; a brewery has none: remove it",
            Self::MembersOnly => "the room is for members only; make our account a member, or open it",
            Self::Forbidden => {
                "our account may not come in; check `admins` and who may make rooms on that Component"
            }
            Self::Kicked => "somebody threw us out; we come back",
            Self::Destroyed => "the room was destroyed; we come back",
            Self::Lost => "the room forgot us, as after a restart; we come back",
            Self::Busy => "the room is full, or joins came too fast",
            Self::Other(condition) => return write!(formatter, "the room says {condition}"),
        })
    }
}
