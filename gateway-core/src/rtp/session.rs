//! What signalling negotiated for one RTP session, as the media half needs it.

use std::fmt;
use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::media::codec::CodecKind;
pub use crate::rtp::srtp::SrtpProfile;

/// One negotiated audio session (RFC 3264), seen from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSession {
    /// Where the peer's SDP wants RTP.
    pub remote_rtp: SocketAddr,
    /// Where the peer's SDP wants RTCP: port + 1, `a=rtcp` (RFC 3605) or the RTP port (`a=rtcp-mux`).
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Codec we send.
    pub send_codec: CodecKind,
    /// Its payload type, as the peer numbered it.
    pub send_payload_type: u8,
    /// Audio payload types we must accept.
    pub receive: ArrayVec<(u8, CodecKind), 8>,
    /// Payload type and clock of the telephone-events we send (RFC 4733).
    pub send_events: Option<EventFormat>,
    /// Telephone-events we accept; two when both clocks were negotiated. Empty: in-band keys are looked for.
    pub receive_events: ArrayVec<EventFormat, 2>,
    /// Comfort noise payload type (RFC 3389), if the peer may send it.
    pub receive_comfort_noise: Option<u8>,
    /// Packet time we send, in ms: 10, 20, 30, 40 or 60.
    pub packet_time_ms: u8,
    /// Who sends, from our side.
    pub direction: Direction,
    /// Source rule for incoming packets.
    pub latching: Latching,
    /// Keys of SRTP, both directions. `None`: plain RTP.
    pub srtp: Option<SrtpKeys>,
}

/// Keys that signalling exchanged (RFC 4568): each side chose that of what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpKeys {
    /// Ours.
    pub send: MasterKey,
    /// Theirs.
    pub receive: MasterKey,
}

/// A master key and its salt. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    profile: SrtpProfile,
    bytes: ArrayVec<u8, MASTER_BYTES_MAX>,
}

impl MasterKey {
    /// From key and salt in one piece. `None`: not as long as the profile wants.
    pub fn new(profile: SrtpProfile, bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len() == profile.key_bytes() + profile.salt_bytes();
        let bytes = ArrayVec::try_from(bytes).ok().filter(|_| fits)?;
        Some(Self { profile, bytes })
    }

    /// How packets are protected with it.
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Key and salt in one piece, as SDP carries them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Key and salt.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.profile.key_bytes().min(self.bytes.len()))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKey({}, ***)", self.profile.name())
    }
}

/// A key of 32 bytes and a salt of 14.
const MASTER_BYTES_MAX: usize = 46;

/// A telephone-event payload type with its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFormat {
    /// Payload type.
    pub payload_type: u8,
    /// Clock, in Hz: 8000 or 48000.
    pub clock_hz: u32,
}

/// Direction of an RTP session from our side (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both send.
    SendRecv,
    /// Only we send: the peer holds us, or we hear nothing from it. It should get music or the room.
    SendOnly,
    /// Only the peer sends.
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

/// How the source of RTP is learned (RFC 4961; rules in docs/sip.md, NAT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latching {
    /// Accept only the address of the SDP.
    Strict,
    /// Learn the real source once within the first seconds after each signalled change, then stay.
    LearnOnce,
}
