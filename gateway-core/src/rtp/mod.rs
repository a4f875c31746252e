//! Floor 1 and 2 of RTP: packets, sequence numbers, reception statistics, sending.

pub mod session;
