//! Trunk state by OPTIONS: sent every so often, any answer means up (RFC 3261 §11).
//!
//!   Unknown -> Up{round trip} <-> Down         told when it changes

use std::time::{Duration, Instant};

use super::transaction::TransactionId;
use crate::base::time::Why;

/// State of one trunk that is asked.
#[derive(Clone, Debug)]
pub struct Qualified {
    every: Duration,
    next: Instant,
    asked: Option<(TransactionId, Instant)>,
    state: TrunkState,
}

/// Whether a trunk answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrunkState {
    /// Not asked yet, or no answer yet.
    Unknown,
    /// It answered the last OPTIONS after this time.
    Up(Duration),
    /// It did not.
    Down,
}

impl Qualified {
    /// Asks first after `first`.
    pub fn new(now: Instant, every: Duration, first: Duration) -> Self {
        let every = every.max(EVERY_MIN);
        Self { every, next: now + first.min(every), asked: None, state: TrunkState::Unknown }
    }

    /// When to ask again.
    pub fn next(&self) -> (Instant, Why) {
        (self.next, Why("sip.qualify"))
    }

    /// Whether it is time to ask. Moves on to the next time; `false` too while a question is open.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if self.next > now {
            return false;
        }
        self.next = now + self.every;
        self.asked.is_none()
    }

    /// Asks again at `at`, if not sooner.
    pub fn hurry(&mut self, at: Instant) {
        self.next = self.next.min(at);
    }

    /// OPTIONS was sent.
    pub fn asked(&mut self, now: Instant, transaction: Option<TransactionId>) {
        self.asked = transaction.map(|id| (id, now));
    }

    /// The outcome of `id`. `Some`: the state changed, for the owner.
    pub fn outcome(
        &mut self,
        now: Instant,
        id: TransactionId,
        is_up: bool,
    ) -> Option<Option<Duration>> {
        let (_, at) = self.asked.filter(|(asked, _)| *asked == id)?;
        self.asked = None;
        let old = self.state;
        let round_trip = now.saturating_duration_since(at);
        self.state = if is_up { TrunkState::Up(round_trip) } else { TrunkState::Down };
        match (old, self.state) {
            (TrunkState::Up(_), TrunkState::Up(_)) | (TrunkState::Down, TrunkState::Down) => None,
            (_, TrunkState::Up(round_trip)) => Some(Some(round_trip)),
            _ => Some(None),
        }
    }

    /// The state now.
    pub fn state(&self) -> TrunkState {
        self.state
    }
}

/// More often is a flood.
const EVERY_MIN: Duration = Duration::from_secs(1);
