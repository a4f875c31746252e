//! What signalling negotiated for one RTP session, as the media half needs it.

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::media::codec::CodecKind;

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
}

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
