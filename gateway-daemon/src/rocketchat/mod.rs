//! Rocket.Chat: a meeting that starts in the chat gets a number and a PIN, and loses them when it is over.
//!
//! A bot user with a token is all a workspace needs. [`mod@line`] (DDP) and [`desk`] (what should be, and what is) are machines
//! without sockets or clocks; [`task`] carries them over `socket` and [`http`]. [`heard`] is the filter that lets nothing but
//! calls and our command word through. Tokens, addresses of meetings, names and numbers are never logged.

pub mod api;
pub mod call_me;
pub mod desk;
pub mod heard;
pub mod http;
mod ids;
pub mod line;
mod room;
pub mod service;
mod socket;
pub mod task;
mod watch;
pub mod webhook;
mod words;

pub use call_me::CallMe;
pub use desk::{MeetingPin, OnEnd, Presence};
pub use heard::Words;
pub use ids::Id;
pub use room::{NotOurs, Origin};
pub use words::dialled;

#[cfg(test)]
mod tests;
