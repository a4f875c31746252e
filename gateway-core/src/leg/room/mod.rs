//! The embedded room: the conference backend that needs nothing outside.

pub mod media;
pub mod signal;
