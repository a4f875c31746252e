//! Sound as the judge: speech to send, and the verdict on what arrived.

pub mod compare;
pub mod fourier;
pub mod speech;
pub mod wav;

pub use compare::{Heard, Searched, heard, leakage_db, level_dbfs};
pub use speech::Speech;
pub use wav::Wav;
