//! How guessing is slowed down: wrong PINs are counted per caller, per trunk and in all. The count per call is the
//! dialogue's.
//!
//! A number can be forged, so the caller's bucket is never the only one; callers without a number share one per trunk.
//! Time is monotonic: turning the wall clock unlocks nobody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;

/// Whose tries are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallerBucket {
    /// One number.
    Number(Pii<String>),
    /// All of a trunk who show no number.
    Anonymous(TrunkId),
}

/// Caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// Wrong PINs per caller and hour.
    pub per_caller_h: u32,
    /// Wrong PINs per hour of all callers of a trunk who show no number.
    pub per_anonymous_h: u32,
    /// Wrong PINs per trunk and hour.
    pub per_trunk_h: u32,
    /// Wrong PINs per hour in all.
    pub global_h: u32,
}

/// Which of the counts reached its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cap {
    /// One number.
    Caller,
    /// Those of a trunk who show no number.
    Anonymous,
    /// A trunk.
    Trunk,
    /// All of us.
    Global,
}

impl Cap {
    /// Label for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Anonymous => "anonymous",
            Self::Trunk => "trunk",
            Self::Global => "global",
        }
    }
}

/// The counts.
#[derive(Debug)]
pub struct Throttle {
    limits: ThrottleLimits,
    callers: BTreeMap<CallerBucket, CallerCount>,
    trunks: BTreeMap<TrunkId, Window>,
    global: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    wrong: u32,
}

#[derive(Clone, Copy, Debug)]
struct CallerCount {
    window: Window,
    /// How often this caller was locked out: doubles the next time.
    locked_times: u32,
    locked_until: Option<Instant>,
    seen: Instant,
}

impl Throttle {
    /// Nobody is locked out.
    pub fn new(limits: ThrottleLimits) -> Self {
        Self { limits, callers: BTreeMap::new(), trunks: BTreeMap::new(), global: None }
    }

    /// Whether PINs of this caller are refused unseen.
    pub fn is_locked(&self, now: Instant, trunk: TrunkId, caller: &CallerBucket) -> bool {
        let caller_locked = self
            .callers
            .get(caller)
            .and_then(|count| count.locked_until)
            .is_some_and(|until| now < until);
        let is_full = |window: &Window, cap| window.is_open(now) && window.wrong >= cap;
        let trunk = self.trunks.get(&trunk).is_some_and(|it| is_full(it, self.limits.per_trunk_h));
        let global = self.global.as_ref().is_some_and(|it| is_full(it, self.limits.global_h));
        caller_locked || trunk || global
    }

    /// Counts a wrong PIN. Gives the widest cap that was reached by it: the moment somebody is locked out.
    pub fn count_wrong(
        &mut self,
        now: Instant,
        trunk: TrunkId,
        caller: &CallerBucket,
    ) -> Option<Cap> {
        let fresh = Window { since: now, wrong: 0 };
        let of_all = self.global.get_or_insert(fresh).count(now);
        let of_trunk = self.trunks.entry(trunk).or_insert(fresh).count(now);
        let of_caller = self.count_caller(now, caller);
        if of_all == self.limits.global_h {
            return Some(Cap::Global);
        }
        if of_trunk == self.limits.per_trunk_h {
            return Some(Cap::Trunk);
        }
        of_caller.then_some(match caller {
            CallerBucket::Number(_) => Cap::Caller,
            CallerBucket::Anonymous(_) => Cap::Anonymous,
        })
    }

    /// Whether he is locked out by it.
    fn count_caller(&mut self, now: Instant, caller: &CallerBucket) -> bool {
        self.make_room(now, caller);
        let limit = match caller {
            CallerBucket::Number(_) => self.limits.per_caller_h,
            CallerBucket::Anonymous(_) => self.limits.per_anonymous_h,
        };
        let fresh = Window { since: now, wrong: 0 };
        let count = self.callers.entry(caller.clone()).or_insert(CallerCount {
            window: fresh,
            locked_times: 0,
            locked_until: None,
            seen: now,
        });
        if now.saturating_duration_since(count.seen) >= FORGET_AFTER {
            count.locked_times = 0;
        }
        count.seen = now;
        if count.window.count(now) < limit {
            return false;
        }
        let doubled = FIRST_LOCK.saturating_mul(1 << count.locked_times.min(7));
        count.locked_until = Some(now + doubled.min(LONGEST_LOCK));
        count.locked_times = count.locked_times.saturating_add(1);
        count.window = fresh;
        true
    }

    /// Callers that are remembered.
    pub fn callers(&self) -> usize {
        self.callers.len()
    }

    /// Full: the tenth seen longest ago is forgotten, many at once so that a flood costs little. A flood of forged numbers
    /// meets the trunk's cap.
    fn make_room(&mut self, now: Instant, caller: &CallerBucket) {
        if self.callers.len() < CALLERS_MAX || self.callers.contains_key(caller) {
            return;
        }
        self.callers.retain(|_, count| now.saturating_duration_since(count.seen) < FORGET_AFTER);
        if self.callers.len() >= CALLERS_MAX {
            let mut seen: Vec<Instant> = self.callers.values().map(|count| count.seen).collect();
            let (_, cut, _) = seen.select_nth_unstable(CALLERS_MAX / 10);
            let cut = *cut;
            self.callers.retain(|_, count| count.seen > cut);
        }
    }
}

impl Window {
    fn is_open(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < HOUR
    }

    /// One more; how many there are now.
    fn count(&mut self, now: Instant) -> u32 {
        if !self.is_open(now) {
            *self = Self { since: now, wrong: 0 };
        }
        self.wrong = self.wrong.saturating_add(1);
        self.wrong
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const FIRST_LOCK: Duration = Duration::from_secs(15 * 60);
const LONGEST_LOCK: Duration = Duration::from_secs(24 * 3_600);
const FORGET_AFTER: Duration = Duration::from_secs(48 * 3_600);
/// Callers remembered: at 120 wrong PINs an hour and trunk, two days of 17 trunks.
const CALLERS_MAX: usize = 100_000;
