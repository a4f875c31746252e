//! Session descriptions (RFC 8866) as values: what a peer's SDP means for one RTP session, and our own as text.
//!
//! `sanitise` mends what real devices break, `sdp-types` reads the result, `read` turns it into [`Description`]
//! and `write` turns ours back into text. Payload types are mapped by the numbers *in the SDP*, never by habit.
//! Refuses: descriptions above the limits, without any media line, or with an unreadable `m=`. Keeps no state.

mod read;
mod sanitise;
mod write;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::base::limits::{SDP_BYTES_MAX, SDP_MEDIA_MAX};
use crate::base::pii::Pii;

/// A session description, reduced to what a gateway acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `o=`.
    pub origin: Origin,
    /// Media descriptions, in order; the order is law in every later offer and answer (RFC 3264 §8).
    pub media: Vec<Media>,
}

/// Identity and version of a description (`o=`), without its user name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Session id, as text: peers use numbers of any length.
    pub session_id: String,
    /// Version; grows by one with each changed description of a dialog (RFC 3264 §8). The last 18 digits of
    /// longer numbers.
    pub version: u64,
    /// Address. Of a peer it means nothing (RFC 8866 §5.2); in ours it is also the `c=` of the session.
    pub address: IpAddr,
}

/// One media description (`m=`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image`, `application`, lower case.
    pub kind: String,
    /// RTP port; 0: refused or off.
    pub port: u16,
    /// Transport protocol, for example `RTP/AVP`.
    pub protocol: String,
    /// Formats as written, in the sender's order of preference. Never empty.
    pub formats: Vec<String>,
    /// Formats that are RTP payload types and have a known meaning, in the same order.
    pub maps: Vec<FormatMap>,
    /// Where the sender wants packets: its own `c=`, else the session's.
    pub connection: Connection,
    /// Who sends, seen from the writer. `c=0.0.0.0` is kept apart: [`Connection::is_null`].
    pub direction: Direction,
    /// `a=ptime`: milliseconds of sound per packet the writer wants to get.
    pub packet_time_ms: Option<u16>,
    /// `a=maxptime`: the most it can take.
    pub packet_time_ms_max: Option<u16>,
    /// `a=rtcp` (RFC 3605): port, and address if it has one.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// `a=crypto` lines that say no more than a key (RFC 4568), in order. Under `RTP/AVP` an offer of best-effort SRTP
    /// (RFC 8643).
    pub crypto: Vec<Crypto>,
}

/// One `a=crypto`: a suite and the key of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Number by which an answer names what it takes.
    pub tag: u32,
    /// Crypto suite, upper case.
    pub suite: String,
    /// Master key and salt.
    pub key: Pii<Vec<u8>>,
}

/// What one payload type number stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatMap {
    /// 0 to 127.
    pub payload_type: u8,
    /// Encoding name as written; compare without case.
    pub name: String,
    /// RTP clock, in Hz.
    pub clock_hz: u32,
    /// Channels; 1 if not given.
    pub channels: u8,
    /// Value of `a=fmtp` without the number; empty if none.
    pub parameters: String,
}

/// Address of `c=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// A numeric address.
    Address(IpAddr),
    /// A host name, which a pure machine cannot look up, or no address at all.
    Unusable,
}

/// Who sends, seen from whoever wrote the description (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `a=sendrecv`, also when nothing is said.
    SendRecv,
    /// `a=sendonly`.
    SendOnly,
    /// `a=recvonly`.
    RecvOnly,
    /// `a=inactive`.
    Inactive,
}

/// Why a description cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Above [`SDP_BYTES_MAX`] or [`SDP_MEDIA_MAX`].
    #[error("SDP is larger than {SDP_BYTES_MAX} bytes or {SDP_MEDIA_MAX} media lines")]
    TooLarge,
    /// No `m=` line.
    #[error("SDP has no media line")]
    NoMedia,
    /// A line that nobody can read; the number counts mended lines.
    #[error("SDP line {0} cannot be read")]
    Unreadable(usize),
}

impl Description {
    /// Reads a peer's description, mending what can be mended.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        if bytes.len() > SDP_BYTES_MAX {
            return Err(SdpError::TooLarge);
        }
        read::description(&sanitise::sanitise(bytes))
    }

    /// Our description as it goes on the wire, with CRLF line ends.
    pub fn to_bytes(&self) -> Vec<u8> {
        write::description(self)
    }
}

impl Media {
    /// The meaning of a payload type number in this media line.
    pub fn map(&self, payload_type: u8) -> Option<&FormatMap> {
        self.maps.iter().find(|map| map.payload_type == payload_type)
    }

    /// A media line that refuses `self` and keeps its place: port 0, same protocol and formats (RFC 3264 §6).
    pub fn refused(&self) -> Self {
        Self {
            kind: self.kind.clone(),
            port: 0,
            protocol: self.protocol.clone(),
            formats: self.formats.clone(),
            maps: Vec::new(),
            connection: Connection::Unusable,
            direction: Direction::SendRecv,
            packet_time_ms: None,
            packet_time_ms_max: None,
            rtcp: None,
            rtcp_mux: false,
            crypto: Vec::new(),
        }
    }
}

impl FormatMap {
    /// Whether this is `name` (without case) at `clock_hz`.
    pub fn is(&self, name: &str, clock_hz: u32) -> bool {
        self.clock_hz == clock_hz && self.name.eq_ignore_ascii_case(name)
    }

    /// The value of `key` in the format parameters, trimmed. Keys are compared without case.
    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
        })
    }
}

impl Connection {
    /// `0.0.0.0` or `::`: the hold of RFC 2543.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Address(address) if address.is_unspecified())
    }
}

impl Direction {
    /// The same stream seen from the other side.
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both => both,
        }
    }

    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer wants to get something.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// From the two facts.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Its attribute name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}
