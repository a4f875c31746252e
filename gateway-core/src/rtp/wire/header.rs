//! One RTP packet (RFC 3550 §5.1), a thin cover over `rtp-rs`.

use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};

use super::WireError;

/// Bytes of the header we send: no CSRC, no extension.
pub const HEADER_BYTES: usize = 12;

/// The fields of an RTP header that anybody here looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// 0 to 127.
    pub payload_type: u8,
    /// First packet of a talkspurt.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
}

/// Header and payload (padding, CSRCs and extensions taken off). The payload may be empty.
pub fn parse(bytes: &[u8]) -> Result<(RtpHeader, &[u8]), WireError> {
    let packet = RtpReader::new(bytes).map_err(|_| WireError::MalformedRtp)?;
    let header = RtpHeader {
        payload_type: packet.payload_type(),
        marker: packet.mark(),
        sequence: packet.sequence_number().into(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
    };
    Ok((header, packet.payload()))
}

/// Writes a packet; gives its length, or `None` where `out` is too short.
pub fn write(header: RtpHeader, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    RtpPacketBuilder::new()
        .payload_type(header.payload_type & 0x7f)
        .marked(header.marker)
        .sequence(Seq::from(header.sequence))
        .timestamp(header.timestamp)
        .ssrc(header.ssrc)
        .payload(payload)
        .build_into(out)
        .ok()
}
