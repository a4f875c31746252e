//! The endpoint from outside: bytes in, bytes and events out, in virtual time. One file per subject.

mod basic;
mod digest;
mod informs;
mod offers;
mod peers;
mod registration;
mod sessions;
mod stage;
mod streams;
mod torture;
mod traps;
