//! The gate: who may speak to us at all, decided before a byte is parsed (RFC 3261 knows no such thing; scanners do).
//!
//! In this order: first look at the bytes, source address against the trunks' blocks, known scanners, a token bucket
//! for each source (IPv4 address, IPv6 /64) and one for all strangers together. Refuses to answer: unknown sources
//! get nothing and cost nothing but a counter, and with [`UnknownSource::Challenge`] one entry of a capped table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::endpoint::EndpointCounters;
use super::trunk::{Cidr, TrunkConfig, UnknownSource};
use crate::base::ids::TrunkId;

/// What may happen to a datagram, or to bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// From a source of this trunk.
    Trunk(TrunkId),
    /// From nobody we know: to be parsed, challenged, or matched with a dialog it made before.
    Stranger,
    /// A keep-alive (RFC 5626 §4.4.1): `true` asks for an answer.
    KeepAlive(bool),
    /// Nothing. Counted already.
    Drop,
}

/// Decides who may speak.
#[derive(Debug)]
pub struct Gate {
    blocks: Vec<(Cidr, TrunkId)>,
    /// Addresses that the names of peers have, and those they had before.
    learned: BTreeMap<TrunkId, [Vec<IpAddr>; 2]>,
    unknown: UnknownSource,
    sources: BTreeMap<IpAddr, Bucket>,
    /// Sources by the time they were last heard: the oldest makes room.
    heard: BTreeSet<(Instant, IpAddr)>,
    strangers: Bucket,
}

/// Tokens: one message each.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u32,
    /// Up to when tokens were given.
    filled: Instant,
    heard: Instant,
}

impl Gate {
    /// From the trunks, in their order. The peer of a trunk counts as a source of it.
    pub fn new(trunks: &[TrunkConfig], unknown: UnknownSource, now: Instant) -> Self {
        let mut blocks = Vec::new();
        for (id, trunk) in (0u16..).map(TrunkId).zip(trunks) {
            blocks.extend(trunk.sources.iter().map(|cidr| (*cidr, id)));
            let peer = trunk.peer.map(|peer| peer.ip().to_canonical());
            let whole = peer.and_then(|ip| Cidr::new(ip, if ip.is_ipv4() { 32 } else { 128 }));
            blocks.extend(whole.map(|cidr| (cidr, id)));
        }
        Self {
            blocks,
            learned: BTreeMap::new(),
            unknown,
            sources: BTreeMap::new(),
            heard: BTreeSet::new(),
            strangers: Bucket { tokens: STRANGERS.burst, filled: now, heard: now },
        }
    }

    /// The name of a trunk's peer has these addresses now: they are sources of it, and so are those it had before, so that
    /// calls go on when a name moves.
    pub fn learn(&mut self, trunk: TrunkId, addresses: &[SocketAddr]) {
        let mut now: Vec<IpAddr> = addresses.iter().map(|it| it.ip().to_canonical()).collect();
        now.sort_unstable();
        now.dedup();
        let [current, before] = self.learned.entry(trunk).or_default();
        if *current != now {
            *before = std::mem::replace(current, now);
        }
    }

    /// Whether `address` is a source of this trunk, perhaps beside others.
    pub fn is_source(&self, trunk: TrunkId, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        let mut learned = self.learned.get(&trunk).into_iter().flatten().flatten();
        self.blocks.iter().any(|(cidr, id)| *id == trunk && cidr.contains(address))
            || learned.any(|it| *it == plain)
    }

    /// The first trunk that `address` is a source of; by configuration before by name.
    pub fn trunk_of(&self, address: IpAddr) -> Option<TrunkId> {
        let configured = self.blocks.iter().find(|(cidr, _)| cidr.contains(address));
        configured.map(|(_, id)| *id).or_else(|| {
            let address = address.to_canonical();
            let has = |all: &[Vec<IpAddr>; 2]| all.iter().flatten().any(|it| *it == address);
            self.learned.iter().find(|(_, all)| has(all)).map(|(id, _)| *id)
        })
    }

    /// Judges a datagram by its source and its first bytes.
    pub fn datagram(
        &mut self,
        now: Instant,
        from: IpAddr,
        bytes: &[u8],
        counters: &mut EndpointCounters,
    ) -> Verdict {
        let trunk = self.trunk_of(from);
        if trunk.is_none() && self.unknown == UnknownSource::Drop {
            counters.sip_dropped_unknown_source += 1;
            return Verdict::Drop;
        }
        if let Some(is_ping) = keep_alive(bytes) {
            counters.sip_keepalives += 1;
            return Verdict::KeepAlive(is_ping && trunk.is_some());
        }
        if !looks_like_sip(bytes) {
            counters.sip_dropped_not_sip += 1;
            return Verdict::Drop;
        }
        if trunk.is_none() && is_scanner(bytes) {
            counters.sip_dropped_scanner += 1;
            return Verdict::Drop;
        }
        self.stream_message(now, from, counters)
    }

    /// Judges a whole message of a connection by its source alone.
    pub fn stream_message(
        &mut self,
        now: Instant,
        from: IpAddr,
        counters: &mut EndpointCounters,
    ) -> Verdict {
        let Some(trunk) = self.trunk_of(from) else { return self.stranger(now, from, counters) };
        if !self.source_has_token(now, from, TRUNK_SOURCE) {
            counters.sip_dropped_rate += 1;
            return Verdict::Drop;
        }
        Verdict::Trunk(trunk)
    }

    fn stranger(&mut self, now: Instant, from: IpAddr, counters: &mut EndpointCounters) -> Verdict {
        if !self.source_has_token(now, from, STRANGER) {
            counters.sip_dropped_rate += 1;
            return Verdict::Drop;
        }
        if !self.strangers.take(now, STRANGERS) {
            counters.sip_dropped_global_rate += 1;
            return Verdict::Drop;
        }
        Verdict::Stranger
    }

    fn source_has_token(&mut self, now: Instant, from: IpAddr, rate: Rate) -> bool {
        let source = block_of(from);
        let bucket = self.sources.entry(source).or_insert(Bucket {
            tokens: rate.burst,
            filled: now,
            heard: now,
        });
        self.heard.remove(&(bucket.heard, source));
        bucket.heard = now;
        self.heard.insert((now, source));
        let has = bucket.take(now, rate);
        if self.sources.len() > SOURCES_MAX
            && let Some((_, oldest)) = self.heard.pop_first()
        {
            self.sources.remove(&oldest);
        }
        has
    }
}

impl Bucket {
    fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let gained =
            now.saturating_duration_since(self.filled).as_micros() / rate.every.as_micros().max(1);
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(rate.burst);
            self.filled = match self.tokens {
                full if full == rate.burst => now,
                _ => self.filled + rate.every * gained,
            };
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        true
    }
}

/// One token each `every`, at most `burst` of them.
#[derive(Clone, Copy, Debug)]
struct Rate {
    every: Duration,
    burst: u32,
}

/// An IPv6 customer owns a /64: one bucket for all of it.
fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let bits = ip.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 => v4,
    }
}

/// CRLFCRLF is a ping (`true`), CRLF or a zero byte a sign of life.
fn keep_alive(bytes: &[u8]) -> Option<bool> {
    match bytes {
        b"\r\n\r\n" => Some(true),
        b"" | b"\r\n" | b"\0" | b"\0\0\0\0" => Some(false),
        _ => None,
    }
}

/// A first line with `SIP/2.0` at one of its ends, in a size that can be a message.
fn looks_like_sip(bytes: &[u8]) -> bool {
    let head = bytes.get(..FIRST_LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = head.iter().position(|byte| *byte == b'\r') else { return false };
    let line = head.get(..end).unwrap_or_default();
    let has = |bytes: Option<&[u8]>| bytes.is_some_and(|b| b.eq_ignore_ascii_case(b"SIP/"));
    let starts = has(line.get(..4));
    let version = line.iter().rposition(|byte| *byte == b' ').map(|space| space + 1);
    let ends = has(version.and_then(|at| line.get(at..at + 4)));
    starts || ends
}

/// Names that scanners give themselves in User-Agent, and nobody else does.
fn is_scanner(bytes: &[u8]) -> bool {
    let head = bytes.get(..SCANNER_BYTES_SEARCHED).unwrap_or(bytes);
    let lower = head.to_ascii_lowercase();
    SCANNERS.iter().any(|name| lower.windows(name.len()).any(|window| window == *name))
}

const SCANNERS: [&[u8]; 9] = [
    b"friendly-scanner",
    b"sipvicious",
    b"sipcli",
    b"sip-scan",
    b"sipsak",
    b"sundayddr",
    b"vaxsipuseragent",
    b"pplsip",
    b"iwar",
];

/// A trunk may send a whole PBX's traffic: 2,500 calls/s of five messages, and as much again.
const TRUNK_SOURCE: Rate = Rate { every: Duration::from_micros(40), burst: 25_000 };
/// One stranger: a phone that registers nowhere and calls now and then.
const STRANGER: Rate = Rate { every: Duration::from_millis(100), burst: 20 };
/// All strangers together: 500 challenges a second cost 2 % of a core.
const STRANGERS: Rate = Rate { every: Duration::from_millis(2), burst: 500 };
/// Sources remembered: 64 bytes each. Full: the one not heard for longest is forgotten.
const SOURCES_MAX: usize = 16_384;
const FIRST_LINE_BYTES_MAX: usize = 8_192;
const SCANNER_BYTES_SEARCHED: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let rate = Rate { every: Duration::from_millis(100), burst: 3 };
        let mut bucket = Bucket { tokens: 3, filled: start, heard: start };
        let given = (0..5).filter(|_| bucket.take(start, rate)).count();
        assert_eq!(given, 3);
        let later = start + Duration::from_millis(250);
        let given = (0..5).filter(|_| bucket.take(later, rate)).count();
        assert_eq!(given, 2);
        assert!(bucket.take(start + Duration::from_millis(300), rate), "the half token is kept");
    }

    #[test]
    fn a_first_line_tells_sip_from_noise() {
        assert!(looks_like_sip(b"OPTIONS sip:a SIP/2.0\r\n\r\n"));
        assert!(looks_like_sip(b"SIP/2.0 200 OK\r\n\r\n"));
        assert!(!looks_like_sip(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(!looks_like_sip(&[0x16, 3, 1, 0, 0x0d, 0x0a]));
        assert!(!looks_like_sip(b""));
    }

    #[test]
    fn neighbours_in_a_64_share_a_bucket() {
        let a: IpAddr = "2001:db8::1".parse().expect("an address");
        let b: IpAddr = "2001:db8::ffff:0:0:9".parse().expect("an address");
        let c: IpAddr = "2001:db8:0:1::1".parse().expect("an address");
        assert_eq!(block_of(a), block_of(b));
        assert_ne!(block_of(a), block_of(c));
    }
}
