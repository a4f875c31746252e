//! Host names of XMPP servers, focuses and bridges: asked of the operating system each time, with the last answer kept
//! for the time when name servers are gone: who calls then still comes in.
//!
//! An old answer leads nobody astray: behind it stands a certificate for the name, or it is no use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tracing::{info, warn};

use super::failure::Failure;

/// Name servers that need longer count as gone where an earlier answer is known. Half of what a stream has to open.
const PATIENCE: Duration = Duration::from_secs(4);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Names that are remembered; bridges name themselves, and nobody shall fill the memory with names.
const NAMES_MAX: usize = 256;

/// What is known of host names. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct HostNames {
    known: Arc<Mutex<BTreeMap<(String, u16), Known>>>,
}

/// One name.
#[derive(Clone, Debug, Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    /// It could not be resolved when it was last asked for.
    is_old: bool,
}

impl HostNames {
    /// Connects to a host, trying its addresses in order. The caller watches the time.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let mut last = Failure::NameNotFound;
        for address in self.addresses(host, port).await {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Failure::of_io(&error),
            }
        }
        Err(last)
    }

    /// Today's addresses of a host, else those of before.
    async fn addresses(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let known = self.known(host, port);
        let asking = tokio::net::lookup_host((host, port));
        let found = match known.addresses.is_empty() {
            true => asking.await.ok(),
            false => tokio::time::timeout(PATIENCE, asking).await.ok().and_then(Result::ok),
        };
        let found: Vec<_> = found.into_iter().flatten().take(ADDRESSES_MAX).collect();
        if found.is_empty() && known.addresses.is_empty() {
            return found;
        }
        let is_old = found.is_empty();
        match (known.is_old, is_old) {
            (false, true) => warn!(
                "the name of an XMPP server or bridge cannot be resolved; its last address stays in use; \
                 check the name servers"
            ),
            (true, false) => info!("the name of an XMPP server or bridge is resolved again"),
            _ => {}
        }
        let addresses = if is_old { known.addresses } else { found };
        self.keep(host, port, Known { addresses: addresses.clone(), is_old });
        addresses
    }

    fn known(&self, host: &str, port: u16) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(host.to_owned(), port)).cloned().unwrap_or_default()
    }

    fn keep(&self, host: &str, port: u16, now: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX && !known.contains_key(&(host.to_owned(), port)) {
            known.clear();
        }
        known.insert((host.to_owned(), port), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(address: SocketAddr) -> Known {
        Known { addresses: vec![address], is_old: false }
    }

    #[tokio::test]
    async fn a_name_nobody_knows_any_more_leads_where_it_led_last() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = server.local_addr().expect("bound");
        let (hosts, name) = (HostNames::default(), "no such host");
        let unknown = hosts.connect(name, there.port()).await.map(drop);
        assert_eq!(unknown, Err(Failure::NameNotFound), "never heard of");
        hosts.keep(name, there.port(), known(there));
        let stream = hosts.clone().connect(name, there.port()).await.expect("its last address");
        assert_eq!(stream.peer_addr().expect("connected"), there);
    }

    #[tokio::test]
    async fn what_a_name_means_today_counts_and_memory_has_an_end() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = server.local_addr().expect("bound");
        let hosts = HostNames::default();
        hosts.keep("localhost", there.port(), known("127.0.0.2:9".parse().expect("an address")));
        hosts.connect("localhost", there.port()).await.expect("where it is now");
        assert!(hosts.known("localhost", there.port()).addresses.contains(&there));
        for port in 0..2_000 {
            hosts.keep("bridge.test", port, known(there));
        }
        assert!(hosts.known.lock().expect("nobody panicked").len() <= NAMES_MAX);
    }
}
