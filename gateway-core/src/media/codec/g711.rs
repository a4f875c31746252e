//! G.711 (ITU-T G.711, payload formats of RFC 3551 §4.5.14): mu-law and A-law by tables made at compile time.
//!
//! Encoding looks at the upper 14 bits of a sample, decoding at the byte: no arithmetic, no state, no delay.

use super::{Decoder, Encoder, PayloadError};
use crate::media::frame::SampleRate;

/// Which of the two companding laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// North America and Japan.
    Mu,
    /// The rest of the world.
    A,
}

/// Both directions of G.711 at 8 kHz.
#[derive(Clone, Copy, Debug)]
pub struct G711 {
    encode: &'static [u8; 16_384],
    decode: &'static [i16; 256],
}

impl G711 {
    /// Encoder and decoder of `law`.
    pub const fn new(law: Law) -> Self {
        match law {
            Law::Mu => Self { encode: &MU_ENCODE, decode: &MU_DECODE },
            Law::A => Self { encode: &A_ENCODE, decode: &A_DECODE },
        }
    }
}

impl Decoder for G711 {
    fn rate(&self) -> SampleRate {
        SampleRate::Hz8000
    }

    fn payload_samples(&self, payload: &[u8]) -> usize {
        if payload.len() > super::PAYLOAD_SAMPLES_MAX_8K { 0 } else { payload.len() }
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, PayloadError> {
        if self.payload_samples(payload) == 0 {
            return Err(PayloadError);
        }
        let out = out.get_mut(..payload.len()).ok_or(PayloadError)?;
        for (sample, byte) in out.iter_mut().zip(payload) {
            *sample = self.decode[usize::from(*byte)];
        }
        Ok(payload.len())
    }

    fn conceal(&mut self, _out: &mut [i16]) -> bool {
        false
    }

    fn recover(&mut self, _next: &[u8], _out: &mut [i16]) -> bool {
        false
    }

    fn reset(&mut self) {}
}

impl Encoder for G711 {
    fn rate(&self) -> SampleRate {
        SampleRate::Hz8000
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let count = pcm.len().min(out.len());
        for (byte, sample) in out.iter_mut().zip(pcm) {
            *byte = self.encode[usize::from(*sample as u16 >> 2)];
        }
        count
    }

    fn set_expected_loss(&mut self, _percent: u8) {}
}

static MU_ENCODE: [u8; 16_384] = encode_table(Law::Mu);
static A_ENCODE: [u8; 16_384] = encode_table(Law::A);
static MU_DECODE: [i16; 256] = decode_table(Law::Mu);
static A_DECODE: [i16; 256] = decode_table(Law::A);

/// Indexed by the upper 14 bits of a two's complement sample.
const fn encode_table(law: Law) -> [u8; 16_384] {
    let mut table = [0; 16_384];
    let mut index = 0;
    while index < table.len() {
        let sample = ((index << 2) as u16).cast_signed();
        table[index] = match law {
            Law::Mu => mu_byte(sample),
            Law::A => a_byte(sample),
        };
        index += 1;
    }
    table
}

const fn decode_table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = match law {
            Law::Mu => mu_sample(byte as u8),
            Law::A => a_sample(byte as u8),
        };
        byte += 1;
    }
    table
}

/// Magnitude without the sign bit: one's complement for negatives, so that both halves mirror exactly.
const fn magnitude(sample: i16) -> i32 {
    (if sample < 0 { !sample } else { sample }) as i32
}

/// G.711 table 2a: sign, segment, step; all bits inverted on the line.
const fn mu_byte(sample: i16) -> u8 {
    let biased = (magnitude(sample) >> 2) + MU_BIAS;
    let biased = if biased > 0x1FFF { 0x1FFF } else { biased };
    let segment = 26 - biased.leading_zeros() as i32; // 33..=63 is segment 0
    let step = (biased >> (segment + 1)) & 0x0F;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (segment << 4) | step) as u8
}

const fn mu_sample(byte: u8) -> i16 {
    let code = !byte;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0F) as i32;
    let magnitude = (((step << 1) + MU_BIAS) << segment) - MU_BIAS;
    let sample = (magnitude << 2) as i16;
    if code & 0x80 == 0 { sample } else { -sample }
}

/// G.711 table 1a: sign, segment, step; even bits inverted on the line.
const fn a_byte(sample: i16) -> u8 {
    let magnitude = magnitude(sample) >> 4; // 0..=2047
    let (segment, step) = if magnitude < 32 {
        (magnitude >> 4, magnitude & 0x0F)
    } else {
        let segment = 28 - magnitude.leading_zeros() as i32; // 32..=63 is segment 2
        (segment, (magnitude >> (segment - 1)) & 0x0F)
    };
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | (segment << 4) | step) as u8 ^ 0x55
}

const fn a_sample(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = (code >> 4) & 7;
    let half_step = (((code & 0x0F) as i32) << 1) + 1;
    let magnitude = if segment == 0 { half_step } else { (half_step + 32) << (segment - 1) };
    let sample = (magnitude << 3) as i16;
    if code & 0x80 == 0 { -sample } else { sample }
}

/// G.711: 33 is added before the segment is taken, so that segments are powers of two.
const MU_BIAS: i32 = 33;

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(law: Law, sample: i16) -> u8 {
        let mut byte = [0];
        assert_eq!(Encoder::encode(&mut G711::new(law), &[sample], &mut byte), 1);
        byte[0]
    }

    fn decode(law: Law, byte: u8) -> i16 {
        let mut sample = [0];
        assert_eq!(Decoder::decode(&mut G711::new(law), &[byte], &mut sample), Ok(1));
        sample[0]
    }

    #[test]
    fn known_points_of_the_recommendation() {
        // Table 2a/2b: the ends and the decision at zero; values scaled from 14 to 16 bits.
        assert_eq!((decode(Law::Mu, 0x80), decode(Law::Mu, 0x00)), (32_124, -32_124));
        assert_eq!((decode(Law::Mu, 0xFF), decode(Law::Mu, 0x7F)), (0, 0));
        assert_eq!((encode(Law::Mu, 0), encode(Law::Mu, i16::MAX)), (0xFF, 0x80));
        assert_eq!((encode(Law::Mu, i16::MIN), encode(Law::Mu, -1)), (0x00, 0x7F));
        // Table 1a/1b.
        assert_eq!((decode(Law::A, 0xAA), decode(Law::A, 0x2A)), (32_256, -32_256));
        assert_eq!((decode(Law::A, 0xD5), decode(Law::A, 0x55)), (8, -8));
        assert_eq!((encode(Law::A, 0), encode(Law::A, i16::MAX)), (0xD5, 0xAA));
        assert_eq!((encode(Law::A, i16::MIN), encode(Law::A, -1)), (0x2A, 0x55));
    }

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for law in [Law::Mu, Law::A] {
            for byte in 0..=255 {
                let again = encode(law, decode(law, byte));
                // mu-law has two zeros; the negative one comes back as the positive one.
                assert!(again == byte || (law == Law::Mu && byte == 0x7F), "{law:?} {byte:02x}");
            }
        }
    }

    #[test]
    fn error_stays_below_half_a_step() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let error = i32::from(decode(law, encode(law, sample))) - i32::from(sample);
                // A step is at most 1/16 of the segment's base; clipping adds at the very top.
                let bound = 16 + i32::from(sample).abs() / 31 + 3;
                let clipped = i32::from(sample).abs() > 32_124;
                assert!(error.abs() <= bound || clipped, "{law:?} {sample}: {error}");
            }
        }
    }

    #[test]
    fn oversized_and_empty_payloads_are_refused() {
        let mut decoder = G711::new(Law::A);
        let mut out = [0; 960];
        assert_eq!(decoder.decode(&[0; 961], &mut out), Err(PayloadError));
        assert_eq!(decoder.decode(&[], &mut out), Err(PayloadError));
        assert_eq!(decoder.decode(&[0; 960], &mut out[..100]), Err(PayloadError));
    }
}
