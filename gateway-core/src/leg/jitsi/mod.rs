//! A seat in a Jitsi conference: its media half.

pub mod media;
#[cfg(any(test, feature = "_testkit"))]
pub mod testkit;
