//! Floor 3: legs. One side of a call, in two halves with one key: signal (in `call`) and media (in `shard`).

pub mod backend;
pub mod browser;
pub mod counters;
pub mod end_reason;
pub mod jitsi;
pub mod loopback;
pub mod media;
pub mod member_sound;
pub mod phone_line;
pub mod room;
pub mod trunk;
