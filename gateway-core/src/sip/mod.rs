//! Floor 2 (and `wire`, `sdp` on floor 1): SIP machines. Knows no other family.

pub mod endpoint;
pub mod trunk;
