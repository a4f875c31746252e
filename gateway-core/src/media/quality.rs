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

impl LegReport {
    /// Estimates the MOS of what we hear from the leg, in 1/100; `None` before a second of sound.
    pub fn estimate_mos(&self) -> Option<u16> {
        let codec = self.codec?;
        let expected = self.packets_received.saturating_add(self.packets_lost);
        if expected < PACKETS_MIN {
            return None;
        }
        let gone = self.packets_lost.saturating_add(self.packets_late);
        let network = self.round_trip.map_or(ONE_WAY_UNKNOWN, |round_trip| round_trip / 2);
        let conditions = Conditions {
            codec,
            loss_percent: gone as f32 * 100.0 / expected as f32,
            burst_ratio: 1.0,
            mouth_to_ear: network + self.playout_delay + CODEC_DELAY,
        };
        Some((conditions.mos() * 100.0).round() as u16)
    }
}

/// What the E-model needs to know of one direction of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Codec of the phone leg.
    pub codec: CodecKind,
    /// Packets lost or too late, 0 to 100.
    pub loss_percent: f32,
    /// Mean burst of losses over that of independent ones (ITU-T G.107 §3.5): 1 if unknown.
    pub burst_ratio: f32,
    /// Network one way, jitter buffer and codec together.
    pub mouth_to_ear: Duration,
}

impl Conditions {
    /// Transmission rating of the reduced E-model (ITU-T G.107 with default values), 0 to 93.2.
    pub fn rating(&self) -> f32 {
        let delay = self.mouth_to_ear.as_secs_f32() * 1_000.0;
        let by_delay = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
        (93.2 - by_delay - self.equipment_impairment()).clamp(0.0, 93.2)
    }

    /// Mean opinion score, 1 to 4.5. An estimate, not a measurement.
    pub fn mos(&self) -> f32 {
        let r = self.rating();
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
    }

    fn equipment_impairment(&self) -> f32 {
        let (alone, robustness) = match self.codec {
            // ITU-T G.113 appendix I, with packet loss concealment.
            CodecKind::Pcmu | CodecKind::Pcma => (0.0, 25.1),
            // Not in the tables: from PESQ of our own chain (docs/media.md), on the narrow-band scale.
            CodecKind::G722 => (2.0, 20.0),
            CodecKind::Opus => (3.0, 22.0),
        };
        let loss = self.loss_percent.clamp(0.0, 100.0);
        let burst = self.burst_ratio.max(1.0);
        alone + (95.0 - alone) * loss / (loss / burst + robustness)
    }
}

/// Look-ahead, packet and ticks of a 20 ms call: 20 to 26 ms.
const CODEC_DELAY: Duration = Duration::from_millis(25);
/// One way through a network of which no RTCP told anything.
const ONE_WAY_UNKNOWN: Duration = Duration::from_millis(20);
/// One second of 20 ms packets.
const PACKETS_MIN: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn mos(codec: CodecKind, loss_percent: f32, delay_ms: u64) -> f32 {
        let mouth_to_ear = Duration::from_millis(delay_ms);
        Conditions { codec, loss_percent, burst_ratio: 1.0, mouth_to_ear }.mos()
    }

    #[test]
    fn known_points_of_the_model() {
        // R 93.2 is MOS 4.41; R 70 is 3.6, R 50 is 2.58 (ITU-T G.107 annex B).
        assert!((mos(CodecKind::Pcmu, 0.0, 0) - 4.41).abs() < 0.01);
        // 5 % of loss: Ie 95 * 5 / 30.1 = 15.8, R 77.4.
        assert!((mos(CodecKind::Pcmu, 5.0, 0) - 3.93).abs() < 0.03);
        // 400 ms: Id 9.6 + 24.5, R 59.1.
        assert!((mos(CodecKind::Pcma, 0.0, 400) - 3.05).abs() < 0.05);
        assert_eq!(mos(CodecKind::Opus, 100.0, 2_000), 1.0);
    }

    #[test]
    fn more_loss_and_more_delay_are_never_better() {
        for codec in [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus] {
            for step in 0..60 {
                let (loss, delay) = (step as f32, step * 20);
                assert!(mos(codec, loss + 1.0, delay) <= mos(codec, loss, delay));
                assert!(mos(codec, loss, delay + 20) <= mos(codec, loss, delay));
            }
        }
    }

    #[test]
    fn a_report_needs_a_second_of_packets() {
        let report = LegReport {
            codec: Some(CodecKind::Pcma),
            packets_received: 49,
            ..LegReport::default()
        };
        assert_eq!(report.estimate_mos(), None);
        let mos = LegReport { packets_received: 5_000, ..report }.estimate_mos();
        assert!((430..=440).contains(&mos.unwrap_or(0)), "{mos:?}");
        let mos = LegReport { packets_received: 950, packets_lost: 50, ..report }.estimate_mos();
        assert!((380..=395).contains(&mos.unwrap_or(0)), "{mos:?}");
    }
}
