//! Jigasi's face towards those who watch and stop it: `/about/*`, `/debug`, `/configure/*` and metrics under its names.
//!
//! Paths, statuses and keys are recorded in `testdata/jigasi`; scripts that know those need no change. Where Jigasi's answer
//! is wrong (health of a gateway that works, web users counted as callers), ours is right.

pub mod figures;
pub mod health_call;
mod rest;

pub use figures::{Figures, Tally};
pub use rest::{Configure, Face, Openness};

#[cfg(test)]
mod fuzz;
