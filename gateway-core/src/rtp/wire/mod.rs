//! Floor 1: RTP and RTCP bytes to values and back (RFC 3550 §5.1, §6). No time, no state, no allocation.

pub mod ext;
pub mod header;
pub mod rtcp;

/// What a datagram on a media port is, by its first bytes (RFC 7983 §7, RFC 5761 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramKind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
    /// STUN, DTLS, or nonsense: nothing a plain RTP leg understands.
    Other,
}

/// Looks at the first two bytes.
pub fn datagram_kind(bytes: &[u8]) -> DatagramKind {
    match bytes {
        [128..=191, 192..=223, ..] => DatagramKind::Rtcp,
        [128..=191, _, ..] => DatagramKind::Rtp,
        _ => DatagramKind::Other,
    }
}

/// Bytes that are not what they should be. Counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not RTP version 2, or a length that contradicts the datagram.
    #[error("malformed RTP packet")]
    MalformedRtp,
    /// Not RTCP version 2, or a length that contradicts the datagram.
    #[error("malformed RTCP packet")]
    MalformedRtcp,
}

#[cfg(test)]
mod tests;
