//! The loopback: a conference of one, who hears himself. Keeps the backend trait honest, and is an echo test.

pub mod media;
pub mod signal;
