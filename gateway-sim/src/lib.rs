//! The gateway's world in virtual time: phones, lossy links and rooms, all drawn from one seed.
//!
//! The real [`gateway_core::gateway::Gateway`], the real shard and the daemon's real PIN dialogue run in one thread
//! against phones written here, which share no code with the endpoint. A seed and a commit replay byte for byte.
//!
//!   plan -> world -> ladder + transcript hash + faults found by the checkers (`watch`)
//!
//! How to use it: `docs/simulation.md`.
#![deny(missing_docs)]

pub mod brute_force;
pub mod jitsi;
pub mod ladder;
pub mod link;
pub mod logs;
pub mod phone;
pub mod plan;
pub mod seeds;
pub mod watch;
pub mod world;

pub use plan::WorldPlan;
pub use world::{MeetingOutcome, Outcome, Told, Words, run};
