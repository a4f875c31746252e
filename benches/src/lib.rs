//! What the benches share: a fleet of phones of its own making, the gateway as a child process whose cost is read from the
//! kernel, and the verdict on sound.
//!
//! The phones speak SIP and RTP by themselves and share nothing with the gateway but its codecs, so that the gateway's
//! cost is read from another process and never includes theirs.

pub mod child;
pub mod fleet;
pub mod sip_text;
pub mod sipp;
pub mod sound;
