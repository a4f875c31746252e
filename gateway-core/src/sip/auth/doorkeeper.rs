//! The side that challenges: SHA-256 and MD5 (RFC 8760), nonces that prove themselves, replay, lock-out.
//!
//! A nonce is a time, a serial number, and an HMAC over both and the trunk; nothing is stored for it until somebody
//! proved a password with it. Unknown users cost the same time as wrong passwords. After [`FAILURES_MAX`] wrong proofs
//! a source is ignored for [`LOCKED_FOR`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Given, equal, expected};
use crate::base::ids::TrunkId;
use crate::base::rng::Rng;
use crate::sip::trunk::DigestUser;

/// Challenges and verifies.
#[derive(Debug)]
pub struct Doorkeeper {
    key: [u8; 32],
    start: Instant,
    /// Challenges so far: no two share a nonce, or one caller's count would be another's replay.
    serial: u64,
    /// Counts seen with nonces that proved themselves.
    used: BTreeMap<String, Window>,
    used_until: BTreeSet<(Instant, String)>,
    failures: BTreeMap<IpAddr, Failures>,
    failures_until: BTreeSet<(Instant, IpAddr)>,
}

/// What a credential is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Proved.
    Proved,
    /// Ask, or ask again: there is none for this realm, or it answers an old nonce rightly (`true`: stale).
    Ask(bool),
    /// Wrong.
    Wrong,
    /// This source guessed too often: nothing is answered.
    LockedOut,
}

/// Nonce counts seen: the highest, and the 32 below it.
#[derive(Clone, Copy, Debug)]
struct Window {
    highest: u32,
    below: u32,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    until: Instant,
}

impl Doorkeeper {
    /// With a key of its own.
    pub fn new(now: Instant, mut rng: Rng) -> Self {
        let mut key = [0; 32];
        rng.fill(&mut key);
        Self {
            key,
            start: now,
            serial: 0,
            used: BTreeMap::new(),
            used_until: BTreeSet::new(),
            failures: BTreeMap::new(),
            failures_until: BTreeSet::new(),
        }
    }

    /// The values of the two challenges of a realm, strongest first.
    pub fn challenges(
        &mut self,
        now: Instant,
        trunk: TrunkId,
        realm: &str,
        is_stale: bool,
    ) -> [String; 2] {
        self.serial += 1;
        let nonce = self.nonce(self.second(now), self.serial, trunk);
        let realm = realm.replace(['"', '\\'], "");
        let stale = if is_stale { ", stale=true" } else { "" };
        ["SHA-256", "MD5"].map(|algorithm| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}"
            )
        })
    }

    /// Judges the credentials among `headers` (values of Proxy-Authorization and Authorization) for one trunk.
    #[expect(clippy::too_many_arguments, reason = "a credential is bound to all of these")]
    pub fn judge(
        &mut self,
        now: Instant,
        source: IpAddr,
        trunk: TrunkId,
        realm: &str,
        users: &[DigestUser],
        method: &str,
        request_uri: &str,
        headers: &[String],
    ) -> Judgement {
        self.forget_old(now);
        if self.is_locked(now, source) {
            return Judgement::LockedOut;
        }
        let given =
            headers.iter().filter_map(|value| Given::parse(value)).find(|g| g.realm == realm);
        let Some(given) = given else { return Judgement::Ask(false) };
        let known = users.iter().find(|user| user.user == given.username);
        // An unknown user is checked against a password nobody has: the same work, the same answer.
        let password = known.map_or("\0", |user| user.password.reveal());
        let wanted = expected(&given, password, method).unwrap_or_default();
        let is_right = equal(&wanted, &given.response) & known.is_some();
        let Some(age) = self.age(now, trunk, &given.nonce) else {
            // Not a nonce of ours (or of an earlier run): ask anew, as it proves and disproves nothing.
            return Judgement::Ask(false);
        };
        if !is_right || !same_target(&given.uri, request_uri) {
            self.note_failure(now, source);
            return Judgement::Wrong;
        }
        if age > NONCE_LIFE {
            return Judgement::Ask(true);
        }
        match self.is_first_use(now, &given) {
            true => Judgement::Proved,
            false => Judgement::Ask(true),
        }
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }

    fn nonce(&self, second: u64, serial: u64, trunk: TrunkId) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(&second.to_be_bytes());
        mac.update(&serial.to_be_bytes());
        mac.update(&trunk.0.to_be_bytes());
        let proof = mac.finalize().into_bytes();
        let proof: String = proof.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{second:x}.{serial:x}.{proof}")
    }

    /// Age of a nonce of ours; `None` for others.
    fn age(&self, now: Instant, trunk: TrunkId, nonce: &str) -> Option<Duration> {
        let mut parts = nonce.splitn(3, '.');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (second, serial) = (number()?, number()?);
        let age = self.second(now).checked_sub(second)?;
        equal(&self.nonce(second, serial, trunk), nonce).then(|| Duration::from_secs(age))
    }

    /// Whether this nonce count was not seen yet. Without `qop` a nonce serves until it is old (RFC 2069).
    fn is_first_use(&mut self, now: Instant, given: &Given) -> bool {
        let (Some(_), Some(count)) = (&given.qop, given.count()) else { return true };
        let until = now + NONCE_LIFE * 2;
        let Some(window) = self.used.get_mut(&given.nonce) else {
            let window = Window { highest: count, below: 0, until };
            self.used.insert(given.nonce.clone(), window);
            self.used_until.insert((until, given.nonce.clone()));
            if self.used.len() > NONCES_MAX
                && let Some((_, oldest)) = self.used_until.pop_first()
            {
                self.used.remove(&oldest);
            }
            return true;
        };
        window.accept(count)
    }

    fn is_locked(&self, now: Instant, source: IpAddr) -> bool {
        self.failures
            .get(&source)
            .is_some_and(|failures| failures.count >= FAILURES_MAX && failures.until > now)
    }

    fn note_failure(&mut self, now: Instant, source: IpAddr) {
        let count = self.failures.get(&source).map_or(0, |failures| failures.count) + 1;
        let until = now + if count >= FAILURES_MAX { LOCKED_FOR } else { FAILURES_WITHIN };
        if let Some(old) = self.failures.insert(source, Failures { count, until }) {
            self.failures_until.remove(&(old.until, source));
        }
        self.failures_until.insert((until, source));
        if self.failures.len() > SOURCES_MAX
            && let Some((_, oldest)) = self.failures_until.pop_first()
        {
            self.failures.remove(&oldest);
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((until, source)) = self.failures_until.first().copied()
            && until <= now
        {
            self.failures_until.pop_first();
            self.failures.remove(&source);
        }
        while let Some((until, nonce)) = self.used_until.first().cloned()
            && until <= now
        {
            self.used_until.pop_first();
            if self.used.get(&nonce).is_some_and(|window| window.until <= now) {
                self.used.remove(&nonce);
            }
        }
    }
}

impl Window {
    fn accept(&mut self, count: u32) -> bool {
        if count > self.highest {
            let step = count - self.highest;
            self.below =
                self.below.checked_shl(step).unwrap_or(0) | 1u32.checked_shl(step - 1).unwrap_or(0);
            self.highest = count;
            return true;
        }
        let back = self.highest - count;
        if back == 0 || back > 32 {
            return false;
        }
        let bit = 1u32 << (back - 1);
        let is_new = self.below & bit == 0;
        self.below |= bit;
        is_new
    }
}

/// Whether the `uri` of a credential names the request it came with. Proxies rewrite the host; the user part stays.
fn same_target(uri: &str, request_uri: &str) -> bool {
    let user = |text: &str| {
        let rest = text.split_once(':').map_or("", |(_, rest)| rest);
        rest.split(['@', ';', '?']).next().unwrap_or_default().to_owned()
    };
    uri == request_uri || user(uri) == user(request_uri)
}

/// Life of a nonce.
const NONCE_LIFE: Duration = Duration::from_secs(60);
/// Nonces whose counts are remembered. Full: the oldest is forgotten.
const NONCES_MAX: usize = 10_000;
/// Wrong proofs of one source before it is ignored.
const FAILURES_MAX: u32 = 5;
/// Wrong proofs are remembered this long.
const FAILURES_WITHIN: Duration = Duration::from_secs(60);
/// A source that guessed too often is ignored this long.
const LOCKED_FOR: Duration = Duration::from_secs(300);
/// Sources with wrong proofs remembered. Full: the one that ends first is forgotten.
const SOURCES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_each_count_once_also_past_ten() {
        let mut window = Window { highest: 1, below: 0, until: Instant::now() };
        assert!(!window.accept(1));
        assert!(window.accept(9));
        assert!(window.accept(0x0a));
        assert!(window.accept(0x0b));
        assert!(!window.accept(0x0a));
        assert!(window.accept(5), "late, but new");
        assert!(!window.accept(5));
        assert!(window.accept(0x100));
        assert!(!window.accept(0x0c), "too late to know");
    }

    #[test]
    fn a_nonce_is_bound_to_its_trunk_and_time() {
        let start = Instant::now();
        let keeper = Doorkeeper::new(start, Rng::from_number(3));
        let nonce = keeper.nonce(5, 7, TrunkId(1));
        let later = start + Duration::from_secs(9);
        assert_eq!(keeper.age(later, TrunkId(1), &nonce), Some(Duration::from_secs(4)));
        assert_eq!(keeper.age(later, TrunkId(2), &nonce), None);
        assert_eq!(keeper.age(start, TrunkId(1), &nonce), None, "from the future");
        assert_eq!(keeper.age(later, TrunkId(1), &nonce.replacen("5.", "6.", 1)), None);
        assert_eq!(keeper.age(later, TrunkId(1), &nonce.replacen(".7.", ".8.", 1)), None);
    }
}
