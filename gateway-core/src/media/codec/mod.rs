//! Codecs behind two traits. A codec is a row in [`TABLE`], which offer/answer reads.

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
}

/// A payload that is not of its codec. Counted and treated as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload is not valid for its codec")]
pub struct PayloadError;
