//! Personal and secret values that must not reach a log.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

/// A number, name, PIN, token or address of a person. `Debug` and `Display` print a keyed hash, so that
/// two log lines about the same value can be matched within one run but the value cannot be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for use, never for a log.
    pub fn reveal(&self) -> &T {
        &self.0
    }

    /// Unwraps the value, for use, never for a log.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsRef<[u8]>> fmt::Debug for Pii<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for Pii<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pii:{:08x}", keyed_hash(self.0.as_ref()) as u32)
    }
}

/// Sets the key of the hashes that logs show. The first call wins; `io` calls it with OS entropy.
/// Without it (tests, simulation) a constant key keeps runs equal.
pub fn set_log_key(key: u64) {
    let _ = LOG_KEY.set(key);
}

fn keyed_hash(bytes: &[u8]) -> u64 {
    // Keyed FNV is enough for a label in a log; stored identifiers use HMAC-SHA256 in the daemon.
    let mut hasher = Fnv.build_hasher();
    hasher.write_u64(*LOG_KEY.get_or_init(|| 0x5745_4542_4545_0001));
    hasher.write(bytes);
    hasher.finish()
}

static LOG_KEY: OnceLock<u64> = OnceLock::new();

struct Fnv;
struct FnvState(u64);

impl BuildHasher for Fnv {
    type Hasher = FnvState;
    fn build_hasher(&self) -> FnvState {
        FnvState(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for FnvState {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            self.0 ^= self.0 >> 29;
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
