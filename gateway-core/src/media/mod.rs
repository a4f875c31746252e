//! Floor 2: sound. Frames, codecs, jitter buffers, mixing, clips, keys. Knows PCM and RTP values only.

pub mod clip;
pub mod codec;
pub mod dtmf;
pub mod frame;
pub mod ingress;
pub mod jitter;
pub mod level;
pub mod mixer;
pub mod plc;
pub mod quality;
pub mod resample;
#[cfg(any(test, feature = "_testkit"))]
pub mod tone;
pub mod vad;
