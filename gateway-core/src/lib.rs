//! The core of the WeeBee gateway: a telephone call becomes a member of a conference room.
//!
//! Everything here but [`io`] is sans-IO: machines take `now`, bytes and randomness as arguments and
//! hand back what should be sent. A whole call replays from a seed.
//!
//! # Map (imports go strictly down)
//! `6 io -> 5 gateway -> 4 call, shard -> 3 leg -> 2 sip, media, rtp, jitsi ->`
//! `1 sip::wire, sip::sdp, rtp::wire, jitsi::stanza -> 0 base`
//!
//! # The drain contract
//! After every `handle_input`, `command` or `handle_timeout`: call `poll_output` until `None`, then
//! `poll_timeout` once. A deadline in the past is legal and means "now".
//!
//! # Clocks
//! `now` is a [`std::time::Instant`] of which only differences matter. Wall time is a
//! [`base::time::WallClock`] value that the outside refreshes. RTP timestamps follow a frame counter.
#![deny(missing_docs)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
// Tests begin somewhere in time; everything else is told the time (clippy.toml beside this crate).
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod base;
pub mod call;
pub mod gateway;
#[cfg(feature = "io")]
#[expect(
    clippy::disallowed_methods,
    reason = "io is the only module with windows: clocks, threads, the runtime"
)]
pub mod io;
pub mod jitsi;
pub mod leg;
pub mod media;
pub mod rtp;
pub mod shard;
pub mod sip;
pub mod webrtc;
