//! A small table of named deadlines for one machine.

use std::time::Instant;

use super::time::Why;

/// Deadlines of one machine, one per timer name `T`. A handful of entries: a sorted list is fastest.
#[derive(Clone, Debug)]
pub struct Timers<T> {
    entries: Vec<(Instant, T)>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T: Copy + PartialEq> Timers<T> {
    /// Sets or moves `timer`.
    pub fn set(&mut self, timer: T, at: Instant) {
        self.clear(timer);
        let place = self.entries.partition_point(|(due, _)| *due <= at);
        self.entries.insert(place, (at, timer));
    }

    /// Forgets `timer`.
    pub fn clear(&mut self, timer: T) {
        self.entries.retain(|(_, name)| *name != timer);
    }

    /// Forgets all.
    pub fn clear_all(&mut self) {
        self.entries.clear();
    }

    /// Whether `timer` is set.
    pub fn is_set(&self, timer: T) -> bool {
        self.entries.iter().any(|(_, name)| *name == timer)
    }

    /// Takes the next timer that is due at `now`, earliest first.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        (self.entries.first()?.0 <= now).then(|| self.entries.remove(0).1)
    }

    /// The earliest deadline and its reason.
    pub fn next(&self, why: impl Fn(T) -> Why) -> Option<(Instant, Why)> {
        self.entries.first().map(|(at, timer)| (*at, why(*timer)))
    }
}

/// The earlier of two deadlines.
pub fn earliest(a: Option<(Instant, Why)>, b: Option<(Instant, Why)>) -> Option<(Instant, Why)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}
