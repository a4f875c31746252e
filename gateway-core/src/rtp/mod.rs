//! Floor 1 and 2 of RTP: packets, sequence numbers, reception statistics, sending.

pub mod reception;
pub mod rtcp;
pub mod sender;
pub mod seq;
pub mod session;
pub mod srtp;
pub mod wire;
