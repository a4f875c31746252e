//! The deadlines of all calls, earliest first.

use std::collections::BTreeSet;
use std::time::Instant;

use slotmap::SecondaryMap;

use crate::base::ids::CallKey;
use crate::base::time::Why;

const A_CALL: Why = Why("gateway.call");

/// One deadline for each call that has one.
#[derive(Debug, Default)]
pub struct Deadlines {
    sorted: BTreeSet<(Instant, CallKey)>,
    of_call: SecondaryMap<CallKey, Instant>,
}

impl Deadlines {
    /// Sets, moves or forgets the deadline of a call.
    pub fn set(&mut self, call: CallKey, deadline: Option<Instant>) {
        if self.of_call.get(call).copied() == deadline {
            return;
        }
        if let Some(old) = self.of_call.remove(call) {
            self.sorted.remove(&(old, call));
        }
        if let Some(new) = deadline {
            self.of_call.insert(call, new);
            self.sorted.insert((new, call));
        }
    }

    /// Takes the next call that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<CallKey> {
        let (due, call) = self.sorted.first().copied()?;
        if due > now {
            return None;
        }
        self.set(call, None);
        Some(call)
    }

    /// The earliest.
    pub fn next(&self) -> Option<(Instant, Why)> {
        self.sorted.first().map(|(at, _)| (*at, A_CALL))
    }
}
