//! How often the focus lets itself be asked for restarts: every 5 s, and five times a minute. Asking sooner ends the
//! session without a new one, so we wait ourselves.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

/// When we asked.
#[derive(Debug, Default)]
pub struct RestartLimiter {
    asked: ArrayVec<Instant, PER_MINUTE>,
}

impl RestartLimiter {
    /// When we may ask: `now`, or later.
    pub fn allowed_at(&self, now: Instant) -> Instant {
        let after_last = self.asked.last().map(|at| *at + INTERVAL);
        let oldest = self.asked.first().filter(|_| self.asked.is_full());
        let minute = oldest.map(|at| *at + MINUTE);
        [after_last, minute].into_iter().flatten().fold(now, Instant::max)
    }

    /// We ask.
    pub fn note(&mut self, now: Instant) {
        if self.asked.is_full() {
            self.asked.remove(0);
        }
        self.asked.push(now);
    }
}

const PER_MINUTE: usize = 5;
/// 5 s, and a little more for clocks that differ.
const INTERVAL: Duration = Duration::from_millis(5_200);
const MINUTE: Duration = Duration::from_millis(60_200);
