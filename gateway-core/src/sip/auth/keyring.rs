//! The side that answers challenges (401 and 407, several realms, the strongest algorithm of each).
//!
//! Remembers what was asked, so that later requests of the same dialog carry their proof at once, with the next
//! nonce count.

use sipx_sip::auth::{Challenge, Credentials, respond, strongest};

use crate::base::rng::Rng;
use crate::sip::trunk::DigestUser;
use crate::sip::wire::{HeaderName, Request, Response, build, text};

/// Challenges of one dialog and how often their nonces were used.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    challenge: Challenge,
    count: u32,
}

impl Keyring {
    /// Takes the challenges of a 401 or 407. `false`: nothing new in it, another try is of no use.
    pub fn take(&mut self, response: &Response) -> bool {
        let mut is_new = false;
        for (name, from_proxy) in
            [(HeaderName::WwwAuthenticate, false), (HeaderName::ProxyAuthenticate, true)]
        {
            let all: Vec<Challenge> = response
                .headers
                .get_all(&name)
                .flat_map(|header| split(&text::decode(&header.value())))
                .filter_map(|value| Challenge::parse(value.as_bytes(), from_proxy))
                .collect();
            let mut realms: Vec<String> = all.iter().map(|one| one.realm.clone()).collect();
            realms.dedup();
            for realm in realms {
                let of_realm = all.iter().filter(|one| one.realm == realm).cloned().collect();
                let Some(challenge) = strongest(of_realm) else { continue };
                is_new |= self.put(challenge);
            }
        }
        is_new
    }

    /// `false`: the proof we gave for this realm was refused.
    fn put(&mut self, challenge: Challenge) -> bool {
        let has_room = self.keys.len() < KEYS_MAX;
        let old = self.keys.iter_mut().find(|key| {
            key.challenge.realm == challenge.realm
                && key.challenge.from_proxy == challenge.from_proxy
        });
        match old {
            Some(key)
                if key.count > 0 && !challenge.stale && key.challenge.nonce == challenge.nonce =>
            {
                false
            }
            Some(key) => {
                *key = Key { challenge, count: 0 };
                true
            }
            None if has_room => {
                self.keys.push(Key { challenge, count: 0 });
                true
            }
            None => false,
        }
    }

    /// Adds a proof for each challenge.
    pub fn sign(&mut self, rng: &mut Rng, user: &DigestUser, request: &mut Request) {
        request.headers.remove_all(&HeaderName::Authorization);
        request.headers.remove_all(&HeaderName::ProxyAuthorization);
        let method = text::decode(request.method.as_bytes());
        let uri = text::decode(&request.uri.to_bytes());
        for key in &mut self.keys {
            key.count += 1;
            let credentials = Credentials::new(user.user.clone(), user.password.reveal().clone());
            let cnonce = rng.token(CNONCE_LENGTH);
            let value = respond(&key.challenge, &credentials, &method, &uri, key.count, &cnonce);
            build::push(&mut request.headers, key.challenge.response_header(), value);
        }
    }

    /// Whether there is nothing to prove.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Several challenges in one header row: `Digest a=b, Digest c=d`. Some proxies write them so.
fn split(value: &str) -> Vec<String> {
    let lower = value.to_ascii_lowercase();
    let mut starts: Vec<usize> = lower
        .match_indices("digest ")
        .map(|(at, _)| at)
        .filter(|at| {
            let before = lower.get(..*at).unwrap_or_default();
            let is_first = before.trim().is_empty() || before.trim_end().ends_with(',');
            is_first && before.matches('"').count() % 2 == 0
        })
        .collect();
    starts.push(value.len());
    starts
        .windows(2)
        .filter_map(|pair| match pair {
            [from, to] => value.get(*from..*to),
            _ => None,
        })
        .map(|one| one.trim_end_matches([',', ' ', '\t']).to_owned())
        .collect()
}

/// Realms one dialog answers: a proxy and a registrar, and room for two more.
const KEYS_MAX: usize = 4;
const CNONCE_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_in_one_row_are_told_apart() {
        let both = "Digest realm=\"a, digest b\", nonce=\"1\", qop=\"auth,auth-int\", Digest realm=\"c\", nonce=\"2\"";
        let parts = split(both);
        assert_eq!(parts.len(), 2);
        let first = Challenge::parse(parts[0].as_bytes(), false).expect("a challenge");
        assert!(first.qop_auth);
        assert_eq!(first.realm, "a, digest b");
    }
}
