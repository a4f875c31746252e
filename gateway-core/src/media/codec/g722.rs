//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): crate `audio-codec` behind our traits.
//!
//! Audio is 16 kHz, the RTP clock 8000 (RFC 3551 §4.5.2): one byte is one RTP unit and two samples.

use audio_codec::g722::{Bitrate, G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

use super::{Decoder, Encoder, PayloadError};
use crate::media::frame::SampleRate;

/// Decoder of one stream.
pub struct G722Decode(G722Decoder);

/// Encoder of one stream.
pub struct G722Encode(G722Encoder);

impl G722Decode {
    /// A decoder without history.
    pub fn new() -> Self {
        Self(G722Decoder::with_options(Bitrate::Mode1_64000, false, false))
    }
}

impl G722Encode {
    /// An encoder without history.
    pub fn new() -> Self {
        Self(G722Encoder::with_options(Bitrate::Mode1_64000, false, false))
    }
}

impl Default for G722Decode {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for G722Encode {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for G722Decode {
    fn rate(&self) -> SampleRate {
        SampleRate::Hz16000
    }

    fn payload_samples(&self, payload: &[u8]) -> usize {
        if payload.len() > super::PAYLOAD_SAMPLES_MAX_8K { 0 } else { payload.len() * 2 }
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, PayloadError> {
        let samples = self.payload_samples(payload);
        if samples == 0 || samples > out.len() {
            return Err(PayloadError);
        }
        self.0.decode_into(payload, out).map_err(|_| PayloadError)
    }

    fn conceal(&mut self, _out: &mut [i16]) -> bool {
        false
    }

    fn recover(&mut self, _next: &[u8], _out: &mut [i16]) -> bool {
        false
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Encoder for G722Encode {
    fn rate(&self) -> SampleRate {
        SampleRate::Hz16000
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        self.0.encode_into(pcm, out).unwrap_or(0)
    }

    fn set_expected_loss(&mut self, _percent: u8) {}
}
