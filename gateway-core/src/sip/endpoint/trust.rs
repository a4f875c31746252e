//! Which trunk a new call belongs to: by its source, by a digest user, or by both (in that order).

use std::time::Instant;

use super::receive::stateless_tag;
use super::{Endpoint, Sender};
use crate::base::ids::TrunkId;
use crate::sip::auth::Judgement;
use crate::sip::outbox::Path;
use crate::sip::wire::{HeaderName, Incoming, build, text};

impl Endpoint {
    /// The trunk that may make this call. `None`: it was challenged, or dropped; without memory.
    pub(super) fn admitted(
        &mut self,
        now: Instant,
        sender: Sender,
        path: Path,
        incoming: &Incoming,
    ) -> Option<TrunkId> {
        let sender = match sender {
            Sender::Trunk(first) => Sender::Trunk(self.trunk_of_account(first, path, incoming)),
            Sender::Stranger => Sender::Stranger,
        };
        let trunk = match sender {
            Sender::Trunk(trunk) if self.trunk(trunk).is_some_and(|t| !t.require_both) => {
                return Some(trunk);
            }
            Sender::Trunk(trunk) => trunk,
            Sender::Stranger => self.trunk_by_user(incoming)?,
        };
        let config = self.core.config.trunks.get(usize::from(trunk.0))?;
        let judgement = self.doorkeeper.judge(
            now,
            path.peer.ip(),
            trunk,
            &config.realm,
            &config.users,
            "INVITE",
            &text::decode(&incoming.request.uri.to_bytes()),
            &credentials(incoming),
        );
        match judgement {
            Judgement::Proved => return Some(trunk),
            Judgement::Ask(is_stale) => {
                self.challenge(now, sender, path, incoming, trunk, is_stale)
            }
            Judgement::Wrong => {
                self.core.out.counters.sip_credentials_wrong += 1;
                self.challenge(now, sender, path, incoming, trunk, false);
            }
            Judgement::LockedOut => self.core.out.counters.sip_locked_out += 1,
        }
        None
    }

    /// Several accounts at one PBX: the trunk whose account is called, if this is a source of it, else `first`.
    fn trunk_of_account(&self, first: TrunkId, path: Path, incoming: &Incoming) -> TrunkId {
        let called = text::user_of(&incoming.request.uri);
        let is_called = |id: TrunkId| {
            let account = self.trunk(id).and_then(|trunk| trunk.account.as_ref());
            account.is_some_and(|account| account.user == called)
        };
        if called.is_empty() || is_called(first) {
            return first;
        }
        let mut others = (0u16..).map(TrunkId).take(self.core.config.trunks.len());
        let found = others.find(|id| is_called(*id) && self.gate.is_source(*id, path.peer.ip()));
        found.unwrap_or(first)
    }

    /// The trunk whose user a stranger names; the first that has users, if he names none we know.
    fn trunk_by_user(&self, incoming: &Incoming) -> Option<TrunkId> {
        let given = credentials(incoming);
        let open = || {
            (0u16..)
                .map(TrunkId)
                .zip(&self.core.config.trunks)
                .filter(|(_, trunk)| !trunk.users.is_empty() && !trunk.require_both)
        };
        let named = open().find(|(_, trunk)| {
            trunk.users.iter().any(|user| {
                let name = format!("username=\"{}\"", user.user);
                given.iter().any(|value| value.contains(&name))
            })
        });
        named.or_else(|| open().next()).map(|(id, _)| id)
    }

    /// 407 with two challenges (RFC 8760), without memory. To a stranger never more bytes than he sent.
    fn challenge(
        &mut self,
        now: Instant,
        sender: Sender,
        path: Path,
        incoming: &Incoming,
        trunk: TrunkId,
        is_stale: bool,
    ) {
        let Some(config) = self.core.trunk(trunk) else { return };
        let challenges = self.doorkeeper.challenges(now, trunk, &config.realm, is_stale);
        let tag = stateless_tag(&incoming.request);
        let mut response = self.core.reply(&incoming.request, 407, Some(&tag));
        for challenge in challenges {
            build::push(&mut response.headers, HeaderName::ProxyAuthenticate, challenge);
        }
        let mut bytes = build::encode_response(&response);
        if sender == Sender::Stranger {
            let mut asked = Vec::with_capacity(bytes.len());
            incoming.request.write_to(&mut asked);
            if bytes.len() > asked.len() {
                // The second one, MD5, is what small phones speak.
                response.headers.remove_first(&HeaderName::ProxyAuthenticate);
                bytes = build::encode_response(&response);
            }
            if bytes.len() > asked.len() {
                self.core.out.counters.sip_dropped_unknown_source += 1;
                return;
            }
        }
        self.core.out.counters.sip_challenged += 1;
        self.core.out.send(path, bytes);
    }
}

/// Credentials of a request, those for us as a proxy first.
fn credentials(incoming: &Incoming) -> Vec<String> {
    [HeaderName::ProxyAuthorization, HeaderName::Authorization]
        .iter()
        .flat_map(|name| incoming.request.headers.get_all(name))
        .take(CREDENTIALS_MAX)
        .map(|header| text::decode(&header.value()))
        .collect()
}

/// Credentials looked at. A request through two proxies and a registrar carries three.
const CREDENTIALS_MAX: usize = 8;
