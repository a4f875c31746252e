//! The WeeBee gateway's daemon: policy around `gateway-core`.
//!
//! A library with a thin `main`, so that simulation and tests load the real IVR and PIN policy. The core asks
//! ([`gateway_core::gateway::Event`]), the daemon answers ([`gateway_core::gateway::Command`]).
#![deny(missing_docs)]

pub mod agi;
pub mod api;
pub mod app;
pub mod brewery;
pub mod cdr;
pub mod check;
pub mod cli;
mod client;
pub mod compat;
pub mod config;
pub mod dial_in;
pub mod health;
pub mod hooks;
pub mod ivr;
pub mod jigasi;
pub mod journal;
pub mod log;
pub mod meetings;
pub mod metrics;
pub mod phone;
pub mod pin;
pub mod privacy;
pub mod rest;
pub mod rocketchat;
pub mod seen;
pub mod trunks;
pub mod wall;
pub mod web;

#[cfg(test)]
mod testing;
