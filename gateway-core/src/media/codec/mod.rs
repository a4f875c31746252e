//! Codecs behind two traits. A codec is a row in [`TABLE`], which offer/answer reads.

pub mod g711;
pub mod g722;
pub mod opus;
pub mod set;

use super::frame::SampleRate;

/// An audio codec we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodecKind {
    /// G.711 mu-law (ITU-T G.711).
    Pcmu,
    /// G.711 A-law (ITU-T G.711).
    Pcma,
    /// G.722 at 64 kbit/s (ITU-T G.722). Its RTP clock is 8000 though its audio is 16 kHz (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 6716, RTP payload RFC 7587).
    Opus,
}

/// What signalling must know of a codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecRow {
    /// Which codec.
    pub kind: CodecKind,
    /// Encoding name of `a=rtpmap`; compared without case.
    pub name: &'static str,
    /// RTP clock rate, in Hz.
    pub clock_hz: u32,
    /// Channels in `a=rtpmap` (Opus is always announced with 2).
    pub channels: u8,
    /// Static payload type (RFC 3551), else the dynamic one we propose.
    pub payload_type: u8,
    /// PCM rate of a call with this codec.
    pub pcm_rate: SampleRate,
}

/// Every codec, in our order of preference.
pub const TABLE: [CodecRow; 4] = [
    CodecRow {
        kind: CodecKind::Opus,
        name: "opus",
        clock_hz: 48_000,
        channels: 2,
        payload_type: 107,
        pcm_rate: SampleRate::Hz48000,
    },
    CodecRow {
        kind: CodecKind::G722,
        name: "G722",
        clock_hz: 8_000,
        channels: 1,
        payload_type: 9,
        pcm_rate: SampleRate::Hz16000,
    },
    CodecRow {
        kind: CodecKind::Pcmu,
        name: "PCMU",
        clock_hz: 8_000,
        channels: 1,
        payload_type: 0,
        pcm_rate: SampleRate::Hz8000,
    },
    CodecRow {
        kind: CodecKind::Pcma,
        name: "PCMA",
        clock_hz: 8_000,
        channels: 1,
        payload_type: 8,
        pcm_rate: SampleRate::Hz8000,
    },
];

impl CodecKind {
    /// Its row in [`TABLE`].
    pub fn row(self) -> &'static CodecRow {
        match self {
            Self::Opus => &TABLE[0],
            Self::G722 => &TABLE[1],
            Self::Pcmu => &TABLE[2],
            Self::Pcma => &TABLE[3],
        }
    }
}

/// Turns payloads into PCM at the rate it was built for. No allocation after construction.
pub trait Decoder: Send {
    /// Rate of the PCM it gives.
    fn rate(&self) -> SampleRate;

    /// Samples (at [`Self::rate`]) that `payload` holds, without decoding it. 0 for nonsense.
    fn payload_samples(&self, payload: &[u8]) -> usize;

    /// Decodes one payload (2.5 to 120 ms) into `out`, which holds 120 ms; gives the samples written.
    /// Never called with an empty payload. Nonsense gives an error and writes nothing.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, PayloadError>;

    /// Fills `out` with the codec's own concealment. False if the codec has none (G.711, G.722): the jitter
    /// buffer then repeats pitch periods itself.
    fn conceal(&mut self, out: &mut [i16]) -> bool;

    /// Recovers the frame before `next` from redundancy inside `next` (Opus LBRR). False if there is none.
    fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool;

    /// Whether [`Self::recover`] would find redundancy in `next`. Cheap: looks at a few bits.
    fn can_recover(&self, next: &[u8]) -> bool {
        let _ = next;
        false
    }

    /// Whether `payload` announces a pause (Opus discontinuous transmission): a gap after it is silence, not loss.
    fn is_pause(&self, payload: &[u8]) -> bool {
        let _ = payload;
        false
    }

    /// Forgets all history (new SSRC, new talkspurt after a long gap).
    fn reset(&mut self);
}

/// Turns PCM at the rate it was built for into payloads. No allocation after construction.
pub trait Encoder: Send {
    /// Rate of the PCM it takes.
    fn rate(&self) -> SampleRate;

    /// Encodes `pcm` (10, 20, 40 or 60 ms) into `out`; gives the bytes written.
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize;

    /// Loss the far side reports (RTCP RR), 0 to 100 %. Opus turns in-band FEC on from 1 %.
    fn set_expected_loss(&mut self, percent: u8);

    /// Forgets all history: what comes next does not follow what it encoded last.
    fn reset(&mut self) {}
}

/// A payload that is not of its codec. Counted and treated as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload is not valid for its codec")]
pub struct PayloadError;

/// How an encoder works. G.711 and G.722 have nothing to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Opus: bits per second at 48 kHz, 6,000 to 128,000. Above 32,000 a voice gains little. At 8 and 16 kHz no more
    /// than [`opus::bitrate_max`] of it is used.
    pub opus_bitrate: u32,
    /// Opus: 0 to 10. At 48 kHz and 32 kb/s 0 costs 60 us per frame, 1 costs 69, 5 costs 130.
    pub opus_complexity: u8,
    /// Opus: what the encoder favours.
    pub opus_profile: OpusProfile,
    /// Loss to expect at the start, in %; later [`Encoder::set_expected_loss`].
    pub expected_loss_percent: u8,
}

/// What the Opus encoder favours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpusProfile {
    /// SILK or hybrid: best voice per bit, 6.5 ms look-ahead, can carry redundancy (FEC).
    Voice,
    /// CELT only: 2.5 ms look-ahead, half the CPU, twice the bits, no redundancy.
    LowDelay,
}

impl Default for EncoderSettings {
    /// The phone leg at 48 kHz: voice, 48 kb/s, complexity 1. At 32 kb/s speech from one Opus phone to another came out
    /// at a correlation of 0.948 with what was said, under our own limit (Asterisk 16 to 22, 2026-11).
    fn default() -> Self {
        Self {
            opus_bitrate: 48_000,
            opus_complexity: 1,
            opus_profile: OpusProfile::Voice,
            expected_loss_percent: 0,
        }
    }
}

/// A decoder of `kind`. Opus decodes to `rate`; the others have one rate and ignore it: ask [`Decoder::rate`].
pub fn new_decoder(kind: CodecKind, rate: SampleRate) -> Box<dyn Decoder> {
    match kind {
        CodecKind::Pcmu => Box::new(g711::G711::new(g711::Law::Mu)),
        CodecKind::Pcma => Box::new(g711::G711::new(g711::Law::A)),
        CodecKind::G722 => Box::new(g722::G722Decode::new()),
        CodecKind::Opus => Box::new(opus::OpusDecode::new(rate)),
    }
}

/// An encoder of `kind`. Opus takes `rate`; the others have one rate and ignore it: ask [`Encoder::rate`].
pub fn new_encoder(
    kind: CodecKind,
    rate: SampleRate,
    settings: EncoderSettings,
) -> Box<dyn Encoder> {
    match kind {
        CodecKind::Pcmu => Box::new(g711::G711::new(g711::Law::Mu)),
        CodecKind::Pcma => Box::new(g711::G711::new(g711::Law::A)),
        CodecKind::G722 => Box::new(g722::G722Encode::new()),
        CodecKind::Opus => Box::new(opus::OpusEncode::new(rate, settings)),
    }
}

/// Largest encoded payload we make or take, in bytes: what an RTP datagram of 1,500 bytes can hold.
pub const PAYLOAD_BYTES_MAX: usize = 1_460;

/// Longest payload, in samples at 48 kHz: 120 ms (RFC 6716 §2.1.4). Output buffers hold this many.
pub const PAYLOAD_SAMPLES_MAX: usize = 5_760;

/// The same in units of an 8000 Hz RTP clock.
const PAYLOAD_SAMPLES_MAX_8K: usize = 960;

#[cfg(test)]
mod tests;
