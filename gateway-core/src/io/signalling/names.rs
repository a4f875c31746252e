//! Host names of trunks' peers: looked up at the start, each minute, and soon after nobody answered there.
//!
//! Asks the operating system (hosts file, name servers, whatever `nsswitch.conf` says) on a thread of its own, so that a
//! dead name server stops nobody. Refuses to remember: what an answer means is the endpoint's business.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::base::ids::TrunkId;
use crate::sip::trunk::{PeerName, TrunkConfig};

/// The names of all trunks.
pub struct Names {
    /// Wakes the one that looks a trunk's name up.
    wake: BTreeMap<TrunkId, Arc<Notify>>,
}

/// What a look-up found; nothing: it failed.
pub type Found = (TrunkId, Vec<SocketAddr>);

impl Names {
    /// Begins to look up the names, and where the answers come out.
    pub fn watch(trunks: &[TrunkConfig]) -> (Self, mpsc::Receiver<Found>) {
        let (told, receiver) = mpsc::channel(ANSWERS_PENDING_MAX);
        let mut wake = BTreeMap::new();
        for (id, trunk) in (0u16..).map(TrunkId).zip(trunks) {
            let Some(name) = trunk.peer_name.clone() else { continue };
            let notify = Arc::new(Notify::new());
            wake.insert(id, Arc::clone(&notify));
            tokio::spawn(look_up_for_ever(id, name, notify, told.clone()));
        }
        (Self { wake }, receiver)
    }

    /// Looks the name of this trunk's peer up again, soon.
    pub fn again(&self, trunk: TrunkId) {
        if let Some(notify) = self.wake.get(&trunk) {
            notify.notify_one();
        }
    }
}

async fn look_up_for_ever(
    trunk: TrunkId,
    name: PeerName,
    wake: Arc<Notify>,
    told: mpsc::Sender<Found>,
) {
    let mut failures = 0_u32;
    loop {
        let lookup = tokio::net::lookup_host((name.host.as_str(), name.port));
        tokio::pin!(lookup);
        let found = match tokio::time::timeout(PATIENCE, &mut lookup).await {
            Ok(found) => addresses(found),
            Err(_) => {
                if told.send((trunk, Vec::new())).await.is_err() {
                    return;
                }
                // One question at a time: its thread cannot be stopped.
                addresses(lookup.await)
            }
        };
        failures = if found.is_empty() { failures.saturating_add(1) } else { 0 };
        if told.send((trunk, found)).await.is_err() {
            return;
        }
        let wait = match failures {
            0 => EVERY,
            some => AGAIN_FIRST.saturating_mul(1 << some.min(16)).min(EVERY),
        };
        tokio::time::sleep(AGAIN_FIRST).await;
        // Nobody wakes it: the time is over.
        let _ = tokio::time::timeout(wait, wake.notified()).await;
    }
}

fn addresses(found: std::io::Result<impl Iterator<Item = SocketAddr>>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.into_iter().flatten() {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// A name is looked up so often: the operating system does not tell how long an answer is good for, and most live for a
/// minute or longer.
const EVERY: Duration = Duration::from_secs(60);
/// After a failure so soon, and never oftener.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
/// A name server that needs longer counts as gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers that wait for the gateway.
const ANSWERS_PENDING_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(host: &str) -> TrunkConfig {
        let name = PeerName { host: host.to_owned(), port: 5070, is_usual_port: false };
        TrunkConfig { peer_name: Some(name), ..TrunkConfig::default() }
    }

    #[tokio::test]
    async fn names_are_told_with_their_trunk_and_port_and_what_has_none_is_told_too() {
        let trunks = [TrunkConfig::default(), trunk("localhost"), trunk("no such host")];
        let (_names, mut told) = Names::watch(&trunks);
        let mut found = BTreeMap::new();
        while found.len() < 2 {
            let (trunk, addresses) = told.recv().await.expect("goes on for ever");
            found.insert(trunk, addresses);
        }
        let local = &found[&TrunkId(1)];
        assert!(!local.is_empty(), "every machine knows localhost");
        assert!(local.iter().all(|it| it.ip().is_loopback() && it.port() == 5070), "{local:?}");
        assert_eq!(found[&TrunkId(2)], []);
    }
}
