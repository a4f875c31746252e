//! What one RTP stream of ours looks like: one SSRC, sequence numbers, timestamps by frame counter.

use super::wire::header::{self, RtpHeader};
use crate::base::rng::Rng;

/// One outgoing stream.
#[derive(Clone, Copy, Debug)]
pub struct RtpSender {
    ssrc: u32,
    sequence: u16,
    packets: u32,
    octets: u32,
}

impl RtpSender {
    /// A stream with a random SSRC and a first sequence number in 0..2^15, so that a reordered start can never look
    /// like a wrap (RFC 3711 §3.3.1). The second value is the first timestamp.
    pub fn new(rng: &mut Rng) -> (Self, u32) {
        let sender =
            Self { ssrc: rng.u32(), sequence: (rng.u32() & 0x7fff) as u16, packets: 0, octets: 0 };
        (sender, rng.u32())
    }

    /// Writes the next packet; gives its length. 0 where `out` is too short: the packet is lost, the stream goes on.
    pub fn write(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        out: &mut [u8],
    ) -> usize {
        let sequence = self.sequence;
        let header = RtpHeader { payload_type, marker, sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        header::write(header, payload, out).unwrap_or(0)
    }

    /// Our SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets and payload bytes sent, as RTCP counts them.
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_start_low_and_count_up_over_the_wrap() {
        for seed in 0..50 {
            let (mut sender, _) = RtpSender::new(&mut Rng::from_number(seed));
            assert!(sender.sequence < 1 << 15);
            sender.sequence = u16::MAX;
            let mut out = [0; 64];
            let length = sender.write(0, false, 160, &[1; 8], &mut out);
            assert_eq!(header::parse(&out[..length]).unwrap().0.sequence, u16::MAX);
            let length = sender.write(0, false, 320, &[1; 8], &mut out);
            assert_eq!(header::parse(&out[..length]).unwrap().0.sequence, 0);
            assert_eq!(sender.sent(), (2, 16));
        }
    }
}
