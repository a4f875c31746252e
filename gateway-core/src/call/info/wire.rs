//! Jigasi's messages in SIP INFO, between JSON and values. Two dialects live side by side: numbers (`t`), and texts
//! (`type`). What goes out is written byte for byte as Jigasi writes it; what comes in may be any JSON.

use serde_json::Value;

use crate::base::pii::Pii;

/// Something that we say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// About the lobby; these alone are counted (`i`).
    Lobby(Lobby, u64),
    /// Moderators keep microphones off, or no longer.
    Moderated(bool),
    /// The caller may speak all the same, or no longer.
    Approved(bool),
    /// Are you there?
    Heartbeat,
    /// The caller is among those who only listen, or not.
    Visitor(bool),
    /// The meeting runs (the host is there), or is waited for.
    Live(bool),
    /// The caller's microphone was switched off.
    MuteRequest {
        /// Names the answer.
        id: String,
    },
    /// The answer to a wish.
    MuteResponse {
        /// Of the wish.
        id: String,
        /// What was wished.
        muted: bool,
        /// It was done.
        ok: bool,
    },
}

/// What happens at the lobby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lobby {
    /// The caller waits in it.
    Joined,
    /// He is out of it.
    Left,
    /// He was let in.
    Allowed,
    /// He was not.
    Rejected,
}

/// Something that we are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The password of the room: out of the lobby, and try it.
    Password(Pii<String>),
    /// I am here.
    Heartbeat,
    /// The caller wants his microphone off or on.
    MuteRequest {
        /// Names the answer.
        id: String,
        /// Off.
        muted: bool,
    },
    /// The answer to ours.
    MuteResponse {
        /// Of ours.
        id: String,
        /// It was told to the caller.
        ok: bool,
    },
}

impl Said {
    /// As it goes into the INFO.
    pub fn write(&self) -> Vec<u8> {
        let text = match self {
            Self::Lobby(what, count) => format!(r#"{{"t":{},"i":{count}}}"#, what.number()),
            Self::Moderated(on) => format!(r#"{{"t":8,"d":{on}}}"#),
            Self::Approved(true) => r#"{"t":9}"#.to_owned(),
            Self::Approved(false) => r#"{"t":10}"#.to_owned(),
            Self::Heartbeat => r#"{"t":11}"#.to_owned(),
            Self::Visitor(is_visitor) => format!(r#"{{"t":12,"d":{is_visitor}}}"#),
            Self::Live(live) => format!(r#"{{"t":15,"d":{live}}}"#),
            Self::MuteRequest { id } => {
                let id = Value::from(id.as_str());
                format!(r#"{{"data":{{"audio":true}},"id":{id},"type":"muteRequest"}}"#)
            }
            Self::MuteResponse { id, muted, ok } => {
                let id = Value::from(id.as_str());
                let status = if *ok { "OK" } else { "FAILED" };
                format!(
                    r#"{{"data":{{"audio":{muted}}},"id":{id},"type":"muteResponse","status":"{status}"}}"#
                )
            }
        };
        text.into_bytes()
    }
}

impl Lobby {
    fn number(self) -> u8 {
        match self {
            Self::Joined => 3,
            Self::Left => 5,
            Self::Allowed => 6,
            Self::Rejected => 7,
        }
    }
}

impl Told {
    /// Reads a body. `None`: nothing that we know.
    pub fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        match value.get("t").and_then(Value::as_u64) {
            Some(PASSWORD) => {
                let password = value.get("d")?.get("pwd")?.as_str()?;
                return Some(Self::Password(Pii::new(password.to_owned())));
            }
            Some(HEARTBEAT) => return Some(Self::Heartbeat),
            _ => {}
        }
        let id = value.get("id")?.as_str().filter(|id| id.len() <= ID_BYTES_MAX)?.to_owned();
        let kind = value.get("type")?.as_str()?;
        if kind.eq_ignore_ascii_case("muteRequest") {
            let muted = value.get("data")?.get("audio")?.as_bool()?;
            Some(Self::MuteRequest { id, muted })
        } else if kind.eq_ignore_ascii_case("muteResponse") {
            let ok = value.get("status")?.as_str()?.eq_ignore_ascii_case("OK");
            Some(Self::MuteResponse { id, ok })
        } else {
            None
        }
    }
}

const PASSWORD: u64 = 4;
const HEARTBEAT: u64 = 11;
/// Ids are echoed: a UUID has 36 bytes. Longer: not read.
const ID_BYTES_MAX: usize = 256;
