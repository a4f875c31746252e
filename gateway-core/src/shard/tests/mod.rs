//! Calls in virtual time, sound judged as sound. The gateway's legs live on one shard, the phones' on another; between
//! them lies a wire that may delay, lose and reorder.

mod calls;
mod faults;
mod room;
mod signal;
mod world;
