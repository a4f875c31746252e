//! Opus (RFC 6716, RTP payload RFC 7587): libopus 1.6 behind our traits, mono.
//!
//! libopus takes and gives 8, 16 and 48 kHz itself, so no resampler is needed. An empty slice means "lost" to
//! libopus; our callers never pass one. A mono decoder accepts stereo packets.

use opus::{Application, Bitrate, Channels};

use super::{Decoder, Encoder, EncoderSettings, OpusProfile, PayloadError};
use crate::media::frame::SampleRate;

/// Decoder of one stream.
#[derive(Debug)]
pub struct OpusDecode {
    rate: SampleRate,
    inner: opus::Decoder,
}

/// Encoder of one stream.
#[derive(Debug)]
pub struct OpusEncode {
    rate: SampleRate,
    inner: opus::Encoder,
    expected_loss_percent: u8,
}

impl OpusDecode {
    /// A decoder that gives mono PCM at `rate`.
    pub fn new(rate: SampleRate) -> Self {
        let inner = opus::Decoder::new(rate.hz(), Channels::Mono)
            .expect("libopus knows 8, 16 and 48 kHz mono; only memory can be missing");
        Self { rate, inner }
    }
}

impl Decoder for OpusDecode {
    fn rate(&self) -> SampleRate {
        self.rate
    }

    fn payload_samples(&self, payload: &[u8]) -> usize {
        if payload.is_empty() || payload.len() > super::PAYLOAD_BYTES_MAX {
            return 0;
        }
        opus::packet::get_nb_samples(payload, self.rate.hz()).unwrap_or(0)
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, PayloadError> {
        let samples = self.payload_samples(payload);
        if samples == 0 || samples > out.len() {
            return Err(PayloadError);
        }
        self.inner.decode(payload, out, false).map_err(|_| PayloadError)
    }

    fn conceal(&mut self, out: &mut [i16]) -> bool {
        // libopus conceals multiples of 2.5 ms, at most 120 ms at once.
        let unit = self.rate.samples(5) / 2;
        !out.is_empty()
            && out.len().is_multiple_of(unit)
            && self.inner.decode(&[], out, false).is_ok_and(|samples| samples == out.len())
    }

    fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        carries_lbrr(next)
            && self.inner.decode(next, out, true).is_ok_and(|samples| samples == out.len())
    }

    fn can_recover(&self, next: &[u8]) -> bool {
        carries_lbrr(next)
    }

    fn is_pause(&self, payload: &[u8]) -> bool {
        payload.len() <= DTX_BYTES_MAX
    }

    fn reset(&mut self) {
        // Cannot fail on a live decoder; if it did, the old history would do no harm.
        let _ = self.inner.reset_state();
    }
}

impl OpusEncode {
    /// An encoder that takes mono PCM at `rate`.
    pub fn new(rate: SampleRate, settings: EncoderSettings) -> Self {
        let application = match settings.opus_profile {
            OpusProfile::Voice => Application::Voip,
            OpusProfile::LowDelay => Application::LowDelay,
        };
        let mut inner = opus::Encoder::new(rate.hz(), Channels::Mono, application)
            .expect("libopus knows 8, 16 and 48 kHz mono; only memory can be missing");
        let bitrate = settings.opus_bitrate.clamp(6_000, 128_000).min(bitrate_max(rate));
        inner
            .set_bitrate(Bitrate::Bits(bitrate.cast_signed()))
            .expect("6 to 128 kbit/s are legal for mono");
        inner
            .set_complexity(i32::from(settings.opus_complexity.min(10)))
            .expect("0 to 10 are legal complexities");
        let mut encoder = Self { rate, inner, expected_loss_percent: 0 };
        encoder.set_expected_loss(settings.expected_loss_percent);
        encoder
    }
}

impl Encoder for OpusEncode {
    fn rate(&self) -> SampleRate {
        self.rate
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        self.inner.encode(pcm, out).unwrap_or(0)
    }

    fn set_expected_loss(&mut self, percent: u8) {
        let percent = percent.min(100);
        if percent == self.expected_loss_percent {
            return;
        }
        self.expected_loss_percent = percent;
        // Both are plain settings of a live encoder; a refusal would leave the old, valid ones.
        let _ = self.inner.set_inband_fec(percent >= 1);
        let _ = self.inner.set_packet_loss_perc(i32::from(percent));
    }

    fn reset(&mut self) {
        // Cannot fail on a live encoder; if it did, the old history would do no harm.
        let _ = self.inner.reset_state();
    }
}

/// Bits per second above which sound at `rate` gains nothing (docs/decisions/004-opus-at-the-rooms-rate.md).
pub fn bitrate_max(rate: SampleRate) -> u32 {
    match rate {
        SampleRate::Hz8000 => 32_000,
        SampleRate::Hz16000 => 40_000,
        SampleRate::Hz48000 => 128_000,
    }
}

/// Whether the first frame of `packet` carries redundancy for the frame before it (RFC 6716 §4.2.4, LBRR flag).
pub fn carries_lbrr(packet: &[u8]) -> bool {
    let Some((toc, first)) = first_frame(packet) else { return false };
    let configuration = toc >> 3;
    if configuration >= 16 {
        return false; // CELT only
    }
    let Some(flags) = first.first() else { return false };
    // VAD flag per 20 ms SILK frame, then the LBRR flag; the side channel of stereo follows in the same way.
    let silk_frames = match configuration & 3 {
        2 if configuration < 12 => 2,
        3 if configuration < 12 => 3,
        _ => 1,
    };
    let mid = flags >> (7 - silk_frames) & 1 == 1;
    let stereo = toc & 0x04 != 0;
    mid || (stereo && flags >> (6 - 2 * silk_frames) & 1 == 1)
}

/// TOC byte and what follows the framing header (RFC 6716 §3.2): the first frame and perhaps more.
fn first_frame(packet: &[u8]) -> Option<(u8, &[u8])> {
    let (toc, rest) = packet.split_first()?;
    let frames = match toc & 3 {
        0 | 1 => rest,
        2 => rest.get(length_field(rest)?..)?,
        _ => after_code_3_header(rest)?,
    };
    Some((*toc, frames))
}

fn after_code_3_header(rest: &[u8]) -> Option<&[u8]> {
    let (count, mut rest) = rest.split_first()?;
    if count & 0x40 != 0 {
        loop {
            let (padding, after) = rest.split_first()?;
            rest = after;
            if *padding != 255 {
                break;
            }
        }
    }
    if count & 0x80 != 0 {
        for _ in 1..(count & 0x3F) {
            rest = rest.get(length_field(rest)?..)?;
        }
    }
    Some(rest)
}

/// Bytes a frame length takes (RFC 6716 §3.2.1).
fn length_field(rest: &[u8]) -> Option<usize> {
    Some(if *rest.first()? < 252 { 1 } else { 2 })
}

/// RFC 6716 §2.1.9 and libopus: discontinuous transmission sends packets of a TOC byte and at most one more.
const DTX_BYTES_MAX: usize = 2;
