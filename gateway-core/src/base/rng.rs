//! Dice. One 32-byte seed feeds everything; a fork by name moves no other draw.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of random numbers that replays from its seed. Strong enough for tags, SSRCs, nonces and PINs
/// (ChaCha); not `Clone`, so that nobody draws the same number twice.
#[derive(Debug)]
pub struct Rng {
    seed: [u8; 32],
    stream: ChaCha8Rng,
}

impl Rng {
    /// From OS entropy (in `io`) or a test.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, stream: ChaCha8Rng::from_seed(seed) }
    }

    /// From a number, for simulation.
    pub fn from_number(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self::from_seed(bytes)
    }

    /// A stream of its own for `name`, for example `call/17/trunk`. Depends on the seed and the name alone,
    /// never on how many numbers were drawn before.
    pub fn fork(&self, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(name.as_bytes());
        Self::from_seed(hash.finalize().into())
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.stream.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A number in `0..bound`, without bias. `bound` 0 gives 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        let zone = u32::MAX - (u32::MAX % bound + 1) % bound;
        loop {
            let draw = self.u32();
            if draw <= zone {
                return draw % bound;
            }
        }
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.stream.fill_bytes(bytes);
    }

    /// `length` characters of `[a-z0-9]`, for tags, branches and Call-IDs.
    pub fn token(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(TOKEN_ALPHABET[self.below(36) as usize])).collect()
    }
}

const TOKEN_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_does_not_depend_on_earlier_draws() {
        let fresh = Rng::from_number(7);
        let mut used = Rng::from_number(7);
        used.u64();
        assert_eq!(fresh.fork("call/1").u64(), used.fork("call/1").u64());
        assert_ne!(fresh.fork("call/1").u64(), fresh.fork("call/2").u64());
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::from_number(1);
        assert!((0..1000).all(|_| rng.below(9) < 9));
        assert_eq!(rng.below(0), 0);
    }
}
