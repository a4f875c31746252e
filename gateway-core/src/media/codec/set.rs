//! The decoders of one stream: one per codec it may use, Opus at whichever rate its listeners want.

use super::{CodecKind, Decoder, g711::G711, g711::Law, g722::G722Decode, opus::OpusDecode};
use crate::media::frame::SampleRate;

/// Decoders of one stream, all built at the start so that a change of codec or rate allocates nothing.
pub struct DecoderSet {
    mu: G711,
    a: G711,
    g722: Option<Box<G722Decode>>,
    /// One per rate: 18 kB each. Empty if the stream cannot be Opus.
    opus: Option<Box<[OpusDecode; 3]>>,
    opus_rate: SampleRate,
}

impl DecoderSet {
    /// Decoders for any of `codecs`; Opus begins at 48 kHz.
    pub fn new(codecs: &[CodecKind]) -> Self {
        Self {
            mu: G711::new(Law::Mu),
            a: G711::new(Law::A),
            g722: codecs.contains(&CodecKind::G722).then(|| Box::new(G722Decode::new())),
            opus: codecs
                .contains(&CodecKind::Opus)
                .then(|| Box::new(SampleRate::ALL.map(OpusDecode::new))),
            opus_rate: SampleRate::Hz48000,
        }
    }

    /// The decoder for `kind`, if the set was built for it.
    pub fn get(&mut self, kind: CodecKind) -> Option<&mut dyn Decoder> {
        Some(match kind {
            CodecKind::Pcmu => &mut self.mu,
            CodecKind::Pcma => &mut self.a,
            CodecKind::G722 => self.g722.as_deref_mut()?,
            CodecKind::Opus => &mut self.opus.as_deref_mut()?[self.opus_rate as usize],
        })
    }

    /// Highest rate any of its decoders can give.
    pub fn rate_max(&self) -> SampleRate {
        match (&self.opus, &self.g722) {
            (Some(_), _) => SampleRate::Hz48000,
            (None, Some(_)) => SampleRate::Hz16000,
            (None, None) => SampleRate::Hz8000,
        }
    }

    /// Rate of Opus from the next packet on. The decoder of that rate starts without history.
    pub fn set_opus_rate(&mut self, rate: SampleRate) {
        if rate == self.opus_rate {
            return;
        }
        self.opus_rate = rate;
        if let Some(decoders) = &mut self.opus {
            decoders[rate as usize].reset();
        }
    }

    /// Forgets all history.
    pub fn reset(&mut self) {
        if let Some(decoder) = &mut self.g722 {
            decoder.reset();
        }
        if let Some(decoders) = &mut self.opus {
            decoders[self.opus_rate as usize].reset();
        }
    }
}

impl std::fmt::Debug for DecoderSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "DecoderSet(to {} Hz)", self.rate_max().hz())
    }
}
