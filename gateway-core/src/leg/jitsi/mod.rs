//! A seat in a Jitsi conference: its two halves.

pub mod media;
pub mod signal;
#[cfg(any(test, feature = "_testkit"))]
pub mod testkit;
