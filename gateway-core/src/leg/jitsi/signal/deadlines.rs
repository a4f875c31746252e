//! The next deadline of each leg, earliest first: a thousand legs are not asked one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::base::ids::LegKey;
use crate::base::time::Why;

/// One deadline for each leg that has one.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    sorted: BTreeSet<(Instant, LegKey)>,
    of_leg: BTreeMap<LegKey, (Instant, Why)>,
}

impl Deadlines {
    /// Sets, moves or forgets the deadline of a leg.
    pub(super) fn set(&mut self, leg: LegKey, deadline: Option<(Instant, Why)>) {
        if self.of_leg.get(&leg).copied() == deadline {
            return;
        }
        if let Some((old, _)) = self.of_leg.remove(&leg) {
            self.sorted.remove(&(old, leg));
        }
        if let Some(new) = deadline {
            self.of_leg.insert(leg, new);
            self.sorted.insert((new.0, leg));
        }
    }

    /// Legs that are due, in the order of their deadlines.
    pub(super) fn due(&self, now: Instant) -> Vec<LegKey> {
        self.sorted.iter().take_while(|(at, _)| *at <= now).map(|(_, leg)| *leg).collect()
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<(Instant, Why)> {
        self.of_leg.get(&self.sorted.first()?.1).copied()
    }
}
