//! Floor 2 (and `wire`, `sdp` on floor 1): SIP machines. Knows no other family.

mod dialog;
pub mod endpoint;
mod gate;
pub mod offer_answer;
mod outbox;
pub mod sdp;
mod transaction;
pub mod trunk;
pub mod wire;
