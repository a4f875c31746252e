//! Floor 2 (and `wire`, `sdp` on floor 1): SIP machines. Knows no other family.

mod auth;
mod dialog;
pub mod endpoint;
mod framing;
mod gate;
pub mod offer_answer;
mod outbox;
mod qualify;
pub mod reach;
pub mod registration;
mod reliable;
pub mod sdp;
mod session_timer;
mod transaction;
pub mod trunk;
pub mod wire;
