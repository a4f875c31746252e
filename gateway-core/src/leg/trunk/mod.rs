//! The trunk leg: SIP and SDP on the signal side, RTP on the media side.

pub mod media;
pub mod signal;
