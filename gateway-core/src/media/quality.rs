//! Figures about one leg's sound: reception, playout, and a MOS estimate (ITU-T G.107, reduced).

use std::time::Duration;

use super::codec::CodecKind;

/// What one trunk leg received and sent, so far. Copied out of a shard every few seconds and at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegReport {
    /// Codec in use.
    pub codec: Option<CodecKind>,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets received (audio and events), without duplicates.
    pub packets_received: u64,
    /// Packets lost by RFC 3550 A.3.
    pub packets_lost: u64,
    /// Packets that came too late to be played.
    pub packets_late: u64,
    /// Interarrival jitter (RFC 3550 A.8).
    pub jitter: Duration,
    /// Mean audio held back by our jitter buffer.
    pub playout_delay: Duration,
    /// Share of concealed audio, in 1/10,000.
    pub concealed_per_myriad: u16,
    /// Round trip by RTCP (RFC 3550 §6.4.1), if the peer sends reports.
    pub round_trip: Option<Duration>,
    /// Loss the peer reports of what we send, in %.
    pub far_loss_percent: Option<u8>,
    /// Estimated MOS of what we hear from the leg, in 1/100 (100 to 450).
    pub mos_centi: Option<u16>,
}
