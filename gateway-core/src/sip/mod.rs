//! Floor 2 (and `wire`, `sdp` on floor 1): SIP machines. Knows no other family.

mod dialog;
pub mod endpoint;
mod gate;
mod outbox;
mod transaction;
pub mod offer_answer;
pub mod sdp;
pub mod trunk;
pub mod wire;
