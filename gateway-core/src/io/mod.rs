//! Floor 6: sockets, runtime, OS clock, entropy: the only module with windows.
//!
//! [`signalling`] drives the gateway on a thread of its own; the media thread of each shard is `media`'s business, the
//! streams of XMPP are [`xmpp`]'s.

pub mod bridge_door;
pub mod certificate;
pub mod media;
pub mod signalling;
pub mod xmpp;

use std::fs::File;
use std::io::Read;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::base::pii;
use crate::base::rng::Rng;
use crate::base::time::WallClock;

/// Dice seeded from the operating system. Also sets the key of the hashes that logs show.
pub fn os_rng() -> Result<Rng, EntropyError> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let rng = Rng::from_seed(seed);
    pii::set_log_key(rng.fork("log-key").u64());
    Ok(rng)
}

/// The operating system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("/dev/urandom gives no random numbers: {0}")]
pub struct EntropyError(#[from] std::io::Error);

/// The clock of everything below.
pub fn now() -> Instant {
    Instant::now()
}

/// Wall time of the operating system; 1970 if its clock is before that.
pub fn wall_clock() -> WallClock {
    WallClock { unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
}
