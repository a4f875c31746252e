//! SRTP and SRTCP (RFC 3711, RFC 7714), in place, for both sides of a call.
//!
//! One [`SrtpSender`] and one [`SrtpReceiver`] per direction of a session; each knows all SSRCs of its direction. The
//! rules: the header's length is what the wire says; a packet's index is the nearest of 48 bits; a receiver checks its
//! window of 128, then authenticates, then decrypts, and only then remembers anything; a sender never uses an index
//! twice. Encryption is never off: SRTCP with the E bit clear is refused. No allocation per packet.
//!
//! Keys are overwritten when they are dropped, as far as a safe language can promise.

mod cipher;
mod derive;
mod receiver;
mod sender;
mod window;

pub use self::receiver::SrtpReceiver;
pub use self::sender::SrtpSender;

/// How packets are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpProfile {
    /// `AES_CM_128_HMAC_SHA1_80`.
    AesCm128Sha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: the short tag is of RTP only.
    AesCm128Sha1_32,
    /// `AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM`.
    AeadAes256Gcm,
}

impl SrtpProfile {
    /// Its name, as SDES (RFC 4568, RFC 7714 §14.2) writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Bytes of its master key.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Bytes of its master salt.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Bytes of its tag on an RTP packet.
    const fn rtp_tag_bytes(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 => 10,
            Self::AesCm128Sha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }
}

/// Bytes a protected packet is longer at most: a tag of 16 and the SRTCP index.
pub const TRAILER_BYTES_MAX: usize = 20;

/// Why a packet was not protected or not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Not RTP or RTCP, or a header longer than the packet.
    #[error("malformed packet")]
    Malformed,
    /// Came before, or is older than the window.
    #[error("replayed or too late")]
    Replayed,
    /// The tag is wrong.
    #[error("not authentic")]
    Unauthentic,
    /// More SSRCs than are kept.
    #[error("too many sources")]
    TooManySources,
    /// The sender used this index or a later one before, or there is no index left.
    #[error("packet index already used")]
    IndexUsed,
    /// The buffer has no room for the tag.
    #[error("no room for the tag")]
    NoRoom,
    /// Key or salt are not as long as the profile wants.
    #[error("wrong length of key or salt")]
    BadKey,
}

/// Sources a receiver keeps windows for. More than a conference has; a full table refuses the next.
pub const SOURCES_MAX: usize = 1_024;

/// Fixed header, CSRCs and extension, as the wire says (RFC 3550 §5.1, §5.3.1); SSRC and sequence number beside it.
fn rtp_header(packet: &[u8]) -> Result<RtpHead, SrtpError> {
    let [first, _, high, low, _, _, _, _, a, b, c, d, rest @ ..] = packet else {
        return Err(SrtpError::Malformed);
    };
    if first >> 6 != 2 {
        return Err(SrtpError::Malformed);
    }
    let mut length = FIXED_HEADER_BYTES + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let extension = rest.get(length - FIXED_HEADER_BYTES..).unwrap_or_default();
        let [_, _, high, low, ..] = extension else { return Err(SrtpError::Malformed) };
        length += 4 + 4 * usize::from(u16::from_be_bytes([*high, *low]));
    }
    if length > packet.len() {
        return Err(SrtpError::Malformed);
    }
    let (ssrc, sequence) =
        (u32::from_be_bytes([*a, *b, *c, *d]), u16::from_be_bytes([*high, *low]));
    Ok(RtpHead { ssrc, sequence, length })
}

/// What SRTP needs of an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RtpHead {
    ssrc: u32,
    sequence: u16,
    length: usize,
}

/// The SSRC of the first packet of a compound.
fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    match packet {
        [first, _, _, _, a, b, c, d, ..] if first >> 6 == 2 => {
            Ok(u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => Err(SrtpError::Malformed),
    }
}

const FIXED_HEADER_BYTES: usize = 12;
/// Of an SRTCP packet: stays in the clear.
const RTCP_CLEAR_BYTES: usize = 8;
/// E bit and index at the end of an SRTCP packet.
const RTCP_INDEX_BYTES: usize = 4;
const E_BIT: u32 = 1 << 31;

#[cfg(test)]
mod tests;
