//! Floor 0: time, dice, names and limits. Imports nothing of ours.

pub mod counters;
pub mod ids;
pub mod limits;
pub mod pii;
pub mod rng;
pub mod time;
pub mod timers;
