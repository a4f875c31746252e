//! So many questions a minute, by one address and by all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Counts of the minute.
#[derive(Debug)]
pub(crate) struct Limit {
    per_minute: u32,
    since: Option<Instant>,
    by_client: BTreeMap<IpAddr, u32>,
    all: u32,
}

impl Limit {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, since: None, by_client: BTreeMap::new(), all: 0 }
    }

    /// Counts a question; false: one too many.
    pub(crate) fn take(&mut self, now: Instant, from: IpAddr) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= MINUTE) {
            self.since = Some(now);
            self.by_client.clear();
            self.all = 0;
        }
        if self.all >= self.per_minute.saturating_mul(ALL) {
            return false;
        }
        // Never more entries than questions that are let through.
        let count = self.by_client.entry(network(from)).or_default();
        if *count >= self.per_minute {
            return false;
        }
        *count += 1;
        self.all += 1;
        true
    }
}

/// Of IPv6 the /64: who has one address of it has all.
fn network(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// All together, in those of one.
const ALL: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_his_share_and_all_have_theirs_and_a_minute_later_again() {
        let (begin, mut limit) = (Instant::now(), Limit::new(2));
        let from = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!([0; 3].map(|_| limit.take(begin, from(1))), [true, true, false]);
        let others = (2..30).filter(|last| limit.take(begin, from(*last))).count();
        assert_eq!(others, 18, "twenty in all");
        assert!(!limit.take(begin + Duration::from_secs(59), from(40)));
        assert!(limit.take(begin + Duration::from_secs(60), from(1)));
    }

    #[test]
    fn an_ipv6_network_is_one() {
        let (begin, mut limit) = (Instant::now(), Limit::new(1));
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(limit.take(begin, address("2001:db8::1")));
        assert!(!limit.take(begin, address("2001:db8::2")));
        assert!(limit.take(begin, address("2001:db8:0:1::1")));
    }
}
