//! RTP port pairs: which are free, which are in use, which rest.
//!
//! A freed pair rests, so that late packets of the old call do not reach the new one. Ports are drawn in a random
//! order, so that a stranger cannot guess the next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::base::rng::Rng;

/// The pool. Even ports carry RTP, the odd ones above RTCP.
#[derive(Debug)]
pub struct PortPool {
    free: VecDeque<u16>,
    /// Oldest first.
    resting: VecDeque<(Instant, u16)>,
    used: usize,
    rest: Duration,
}

impl PortPool {
    /// All pairs within `first..=last`.
    pub fn new((first, last): (u16, u16), rest: Duration, rng: &mut Rng) -> Self {
        let mut free: Vec<u16> = (first..last).filter(|port| port % 2 == 0).collect();
        for place in (1..free.len()).rev() {
            let other = rng.below(place as u32 + 1) as usize;
            free.swap(place, other);
        }
        Self { free: free.into(), resting: VecDeque::new(), used: 0, rest }
    }

    /// A pair, if one is free: rested pairs come last.
    pub fn take(&mut self, now: Instant) -> Option<u16> {
        while self.resting.front().is_some_and(|(until, _)| *until <= now) {
            self.free.extend(self.resting.pop_front().map(|(_, port)| port));
        }
        let port = self.free.pop_front()?;
        self.used += 1;
        Some(port)
    }

    /// A pair is free again, or could not be had: it rests first.
    pub fn give_back(&mut self, now: Instant, port: u16) {
        self.used = self.used.saturating_sub(1);
        self.resting.push_back((now + self.rest, port));
    }

    /// Pairs in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Pairs that rest, as of `now`.
    pub fn resting(&self, now: Instant) -> usize {
        self.resting.iter().filter(|(until, _)| *until > now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_port_rests_before_it_is_used_again() {
        let (mut rng, now) = (Rng::from_number(1), Instant::now());
        let rest = Duration::from_secs(30);
        let mut pool = PortPool::new((20_000, 20_003), rest, &mut rng);
        let (one, two) = (pool.take(now).expect("free"), pool.take(now).expect("free"));
        assert_eq!(one.min(two), 20_000);
        assert_eq!(one.max(two), 20_002);
        assert_eq!(pool.take(now), None);
        pool.give_back(now, one);
        assert_eq!((pool.used(), pool.resting(now)), (1, 1));
        assert_eq!(pool.take(now + rest - Duration::from_millis(1)), None);
        assert_eq!(pool.take(now + rest), Some(one));
    }

    #[test]
    fn a_pair_never_ends_outside_the_range() {
        let (mut rng, now) = (Rng::from_number(1), Instant::now());
        let mut pool = PortPool::new((20_001, 20_004), Duration::ZERO, &mut rng);
        assert_eq!(pool.take(now), Some(20_002));
        assert_eq!(pool.take(now), None);
    }
}
