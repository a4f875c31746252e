//! When a lost stream is tried again: for ever, at once at first, then ever slower, never all streams together.
//!
//! A call waits behind each stream, so the first attempts are quick: a restarted Prosody is back within seconds. What
//! only a person can mend (password, certificate) is tried slowly from the start.
//!
//!   failed -> wait -> failed -> longer wait ... up for `SETTLED` -> forgotten

use std::time::Duration;

use crate::base::rng::Rng;

/// First wait. Half of it is drawn, so that the streams of one lost server do not come back as one.
pub const FIRST: Duration = Duration::from_millis(500);
/// First wait where a person must act.
pub const FIRST_SLOW: Duration = Duration::from_secs(15);
/// Longest wait: a server that comes back is found within this.
pub const LONGEST: Duration = Duration::from_secs(60);
/// A stream that was up this long starts afresh.
pub const SETTLED: Duration = Duration::from_secs(30);

/// Waits of one stream.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    rng: Rng,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(rng: Rng) -> Self {
        Self { failures: 0, rng }
    }

    /// It failed after it had been up for `up` (zero: it never was). How long to wait now.
    pub fn failed(&mut self, up: Duration, needs_somebody: bool) -> Duration {
        if up >= SETTLED {
            self.failures = 0;
        }
        let first = if needs_somebody { FIRST_SLOW } else { FIRST };
        let doubled = first.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half_ms = u32::try_from(doubled.as_millis() / 2).unwrap_or(u32::MAX);
        doubled / 2 + Duration::from_millis(u64::from(self.rng.below(half_ms.saturating_add(1))))
    }

    /// Attempts that failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(seed: u64, count: usize, needs_somebody: bool) -> Vec<Duration> {
        let mut backoff = Backoff::new(Rng::from_number(seed));
        (0..count).map(|_| backoff.failed(Duration::ZERO, needs_somebody)).collect()
    }

    #[test]
    fn waits_double_up_to_the_longest_and_go_on_for_ever() {
        let waits = waits(1, 2_000, false);
        for (attempt, wait) in waits.iter().enumerate() {
            let full = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
            assert!(*wait >= full / 2 && *wait <= full, "attempt {attempt}: {wait:?}");
        }
        assert!(waits[1_999] >= LONGEST / 2);
    }

    #[test]
    fn what_a_person_must_mend_is_tried_slowly() {
        assert!(waits(1, 5, true).iter().all(|wait| *wait >= FIRST_SLOW / 2));
    }

    #[test]
    fn streams_do_not_come_back_together() {
        let fifth: std::collections::BTreeSet<_> =
            (0..100).map(|seed| waits(seed, 5, false)[4]).collect();
        assert!(fifth.len() > 90, "only {} different waits of 100", fifth.len());
    }

    #[test]
    fn a_settled_stream_starts_afresh_and_a_flapping_one_does_not() {
        let mut backoff = Backoff::new(Rng::from_number(3));
        for _ in 0..6 {
            backoff.failed(Duration::ZERO, false);
        }
        assert!(backoff.failed(Duration::from_secs(1), false) >= LONGEST / 4);
        assert!(backoff.failed(SETTLED, false) <= FIRST);
        assert_eq!(backoff.failures(), 1);
    }
}
