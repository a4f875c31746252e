//! From where RTP is taken (symmetric RTP, RFC 4961): the address of the SDP, or the real source of a phone behind
//! NAT, learned once in the first seconds after each signalled change and then kept.
//!
//! A stranger who sends to our port gets nothing: he may only win the race before the phone's first packet, loses it
//! again to the address of the SDP, and can never take a source that was learned.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::rtp::session::Latching;

/// The source rule of one leg.
#[derive(Clone, Copy, Debug)]
pub struct SourceLatch {
    rule: Latching,
    expected: SocketAddr,
    learn_until: Instant,
    pinned: Option<Pin>,
}

#[derive(Clone, Copy, Debug)]
struct Pin {
    from: SocketAddr,
    ssrc: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchVerdict {
    /// From the source we listen to.
    Accept,
    /// From now on the source we listen to.
    Learned,
    /// From somebody else: dropped and counted.
    Strange,
}

impl SourceLatch {
    /// Nothing is learned yet; `expected` is the SDP's address.
    pub fn new(now: Instant, rule: Latching, expected: SocketAddr) -> Self {
        Self { rule, expected, learn_until: now + LEARN_FOR, pinned: None }
    }

    /// Signalling changed: learning opens again. Another address in the SDP also ends what was learned.
    pub fn signalled(&mut self, now: Instant, rule: Latching, expected: SocketAddr) {
        let pinned = if expected == self.expected { self.pinned } else { None };
        *self = Self { pinned, ..Self::new(now, rule, expected) };
    }

    /// A valid RTP packet of a negotiated payload type came.
    pub fn judge(&mut self, now: Instant, from: SocketAddr, ssrc: u32) -> LatchVerdict {
        let from = canonical(from);
        let is_expected = from == canonical(self.expected);
        match self.pinned {
            Some(pin) if pin.from == from => {
                self.pinned = Some(Pin { from, ssrc });
                LatchVerdict::Accept
            }
            Some(pin) if (pin.ssrc == ssrc || is_expected) && self.may_learn(now) => {
                self.pin(from, ssrc)
            }
            None if is_expected || self.may_learn(now) => self.pin(from, ssrc),
            _ => LatchVerdict::Strange,
        }
    }

    /// Whether RTCP may come from here: the address of the source we listen to, or of the SDP before there is one.
    pub fn may_report(&self, from: SocketAddr) -> bool {
        self.source_address() == canonical(from).ip()
    }

    /// Where our packets go: back to the source, else to the SDP's address.
    pub fn destination(&self) -> SocketAddr {
        self.pinned.map_or(self.expected, |pin| pin.from)
    }

    /// Whether the source is not the SDP's address.
    pub fn is_elsewhere(&self) -> bool {
        self.pinned.is_some_and(|pin| pin.from != canonical(self.expected))
    }

    fn source_address(&self) -> IpAddr {
        canonical(self.destination()).ip()
    }

    fn pin(&mut self, from: SocketAddr, ssrc: u32) -> LatchVerdict {
        self.pinned = Some(Pin { from, ssrc });
        LatchVerdict::Learned
    }

    fn may_learn(&self, now: Instant) -> bool {
        self.rule == Latching::LearnOnce && now < self.learn_until
    }
}

/// `::ffff:192.0.2.1` is 192.0.2.1: a socket of both families names IPv4 peers so.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// How long after a signalled change a source may be learned: enough for an ACK that was lost twice and a phone that
/// waits for it.
const LEARN_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    const SDP: &str = "10.0.0.5:4000";
    const PHONE: &str = "198.51.100.7:31000";
    const STRANGER: &str = "203.0.113.66:4444";

    #[test]
    fn a_phone_behind_nat_is_learned_once_and_stays() {
        let now = Instant::now();
        let mut latch = SourceLatch::new(now, Latching::LearnOnce, at(SDP));
        assert_eq!(latch.destination(), at(SDP));
        assert_eq!(latch.judge(now, at(PHONE), 1), LatchVerdict::Learned);
        assert_eq!(latch.judge(now, at(PHONE), 1), LatchVerdict::Accept);
        assert_eq!(latch.destination(), at(PHONE));
        assert_eq!(latch.judge(now, at(STRANGER), 2), LatchVerdict::Strange);
        assert_eq!(latch.judge(seconds(now, 60), at(STRANGER), 2), LatchVerdict::Strange);
        assert_eq!(latch.judge(seconds(now, 60), at(PHONE), 9), LatchVerdict::Accept, "new SSRC");
    }

    #[test]
    fn who_was_first_loses_to_the_address_of_the_sdp() {
        let now = Instant::now();
        let mut latch = SourceLatch::new(now, Latching::LearnOnce, at(SDP));
        assert_eq!(latch.judge(now, at(STRANGER), 2), LatchVerdict::Learned);
        assert_eq!(latch.judge(now, at(SDP), 1), LatchVerdict::Learned);
        assert_eq!(latch.judge(now, at(STRANGER), 2), LatchVerdict::Strange);
    }

    #[test]
    fn after_the_first_seconds_nobody_is_learned() {
        let now = Instant::now();
        let mut latch = SourceLatch::new(now, Latching::LearnOnce, at(SDP));
        assert_eq!(latch.judge(seconds(now, 11), at(STRANGER), 2), LatchVerdict::Strange);
        assert_eq!(latch.judge(seconds(now, 11), at(SDP), 1), LatchVerdict::Learned);
    }

    #[test]
    fn after_a_reinvite_the_same_stream_may_move_and_another_may_not() {
        let now = Instant::now();
        let mut latch = SourceLatch::new(now, Latching::LearnOnce, at(SDP));
        latch.judge(now, at(PHONE), 1);
        latch.signalled(seconds(now, 60), Latching::LearnOnce, at(SDP));
        assert_eq!(latch.destination(), at(PHONE));
        assert_eq!(latch.judge(seconds(now, 61), at(STRANGER), 2), LatchVerdict::Strange);
        let moved = at("198.51.100.7:31002");
        assert_eq!(latch.judge(seconds(now, 61), moved, 1), LatchVerdict::Learned);
    }

    #[test]
    fn another_address_in_the_sdp_starts_anew() {
        let now = Instant::now();
        let mut latch = SourceLatch::new(now, Latching::LearnOnce, at(SDP));
        latch.judge(now, at(PHONE), 1);
        latch.signalled(now, Latching::LearnOnce, at("10.0.0.9:5000"));
        assert_eq!(latch.destination(), at("10.0.0.9:5000"));
        assert_eq!(latch.judge(now, at("198.51.100.7:40000"), 8), LatchVerdict::Learned);
    }

    #[test]
    fn strict_takes_the_sdp_at_its_word() {
        let now = Instant::now();
        let mut latch = SourceLatch::new(now, Latching::Strict, at(SDP));
        assert_eq!(latch.judge(now, at(PHONE), 1), LatchVerdict::Strange);
        assert_eq!(latch.judge(now, at("[::ffff:10.0.0.5]:4000"), 1), LatchVerdict::Learned);
    }

    #[test]
    fn reports_come_from_the_address_of_the_source() {
        let now = Instant::now();
        let mut latch = SourceLatch::new(now, Latching::LearnOnce, at(SDP));
        assert!(latch.may_report(at("10.0.0.5:4001")));
        latch.judge(now, at(PHONE), 1);
        assert!(latch.may_report(at("198.51.100.7:31999")));
        assert!(!latch.may_report(at("10.0.0.5:4001")));
    }
}
