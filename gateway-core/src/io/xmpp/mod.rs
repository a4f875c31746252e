//! The XMPP edge: streams that legs ask for, opened, kept up and reopened for ever, each in a task of its own.
//!
//! [`connection`] is the machine without sockets, `link` carries it over TCP with StartTLS, WebSocket or BOSH,
//! [`XmppStreams`] is what the signalling driver holds. Stanzas go out in the order they were given. Passwords, tokens and
//! addresses are never logged.

pub mod backoff;
mod bosh;
pub mod connection;
pub mod failure;
pub mod framing;
mod link;
pub mod management;
pub mod sasl;
pub mod site;
pub mod tls;

mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use jid::FullJid;
pub use minidom::Element;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tracing::warn;

pub use self::failure::Failure;
pub use self::site::{Encryption, Transport, Trust, WebAddress, XmppSite};
use self::stream::StreamTask;
pub use self::stream::{Probe, Told, probe};
use crate::base::ids::StreamKey;
use crate::base::rng::Rng;
use crate::leg::backend::StreamAccount;

/// Stanzas of one stream on their way to its task. Full: the stream is closed, its server does not read.
const STANZAS_PENDING_MAX: usize = 256;
/// Events of all streams that wait for the driver. Full: reading pauses.
const EVENTS_PENDING_MAX: usize = 512;

/// What a stream says.
#[derive(Clone, Debug, PartialEq)]
pub enum XmppEvent {
    /// Bound, or resumed.
    Up {
        /// Our address.
        jid: FullJid,
        /// The session goes on.
        resumed: bool,
    },
    /// A stanza came.
    Stanza(Element),
    /// Down; it is opened again by itself. Told once per outage.
    Down(Failure),
}

crate::counters! {
    /// What the XMPP streams saw.
    pub struct XmppCounters {
        /// XMPP streams asked for.
        xmpp_streams_opened,
        /// XMPP streams that came up, first or again.
        xmpp_streams_up,
        /// XMPP sessions that went on after their connection broke (XEP-0198).
        xmpp_streams_resumed,
        /// Outages of XMPP streams, first attempts that failed among them.
        xmpp_streams_down,
        /// XMPP stanzas received.
        xmpp_stanzas_received,
        /// XMPP stanzas given to streams.
        xmpp_stanzas_sent,
        /// XMPP stanzas dropped because their stream does not exist or does not keep up.
        xmpp_stanzas_dropped,
    }
}

/// A site with its TLS.
#[derive(Clone)]
struct ReadySite {
    site: Arc<XmppSite>,
    tls: Arc<ClientConfig>,
}

/// All streams.
pub struct XmppStreams {
    sites: Vec<ReadySite>,
    streams: BTreeMap<StreamKey, Stream>,
    /// Tells a stream from an earlier one of the same key.
    generation: u64,
    events: mpsc::Sender<Told>,
    counters: XmppCounters,
    rng: Rng,
}

struct Stream {
    generation: u64,
    stanzas: mpsc::Sender<Element>,
}

/// What the tasks of [`XmppStreams`] tell; give it back to [`XmppStreams::told`].
pub type ToldReceiver = mpsc::Receiver<Told>;

impl XmppStreams {
    /// No streams, and where their events come out. Sentences if a site's TLS cannot be set up.
    pub fn new(sites: Vec<XmppSite>, rng: Rng) -> Result<(Self, ToldReceiver), Vec<String>> {
        let (mut ready, mut problems) = (Vec::new(), Vec::new());
        for site in sites {
            match tls::client_config(&site.trust) {
                Ok(tls) => ready.push(ReadySite { site: Arc::new(site), tls }),
                Err(problem) => problems.push(format!("site {:?}: {problem}", site.name)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for ReadySite { site, .. } in ready.iter().filter(|ready| ready.site.trust.insecure) {
            warn!(
                site = site.name,
                "ANY CERTIFICATE IS BELIEVED: whoever is on the way to this XMPP server can listen and change; \
                 remove tls_insecure, set ca_file or tls_pins"
            );
        }
        let (events, receiver) = mpsc::channel(EVENTS_PENDING_MAX);
        let streams = Self {
            sites: ready,
            streams: BTreeMap::new(),
            generation: 0,
            events,
            counters: XmppCounters::default(),
            rng,
        };
        Ok((streams, receiver))
    }

    /// Opens a stream and keeps it up. One of the same key is closed first. False: there is no such site.
    pub fn open(&mut self, key: StreamKey, account: StreamAccount) -> bool {
        let Some(ready) = self.sites.get(usize::from(account.site.0)).cloned() else {
            warn!(stream = %key, site = account.site.0, "no such site");
            return false;
        };
        self.generation += 1;
        self.counters.xmpp_streams_opened += 1;
        let (stanzas, queue) = mpsc::channel(STANZAS_PENDING_MAX);
        let generation = self.generation;
        self.streams.insert(key, Stream { generation, stanzas });
        let task = StreamTask {
            key,
            generation,
            site: ready.site,
            tls: ready.tls,
            account,
            events: self.events.clone(),
            rng: self.rng.fork(&format!("stream/{generation}")),
        };
        tokio::spawn(task.run(queue));
        true
    }

    /// Sends on a stream.
    pub fn send(&mut self, key: StreamKey, stanza: Element) {
        let taken = self.streams.get(&key).is_some_and(|it| it.stanzas.try_send(stanza).is_ok());
        match taken {
            true => self.counters.xmpp_stanzas_sent += 1,
            false => self.counters.xmpp_stanzas_dropped += 1,
        }
    }

    /// Sends what is queued, then closes. Nothing of this stream is told afterwards.
    pub fn close(&mut self, key: StreamKey) {
        self.streams.remove(&key);
    }

    /// Judges what a task told. `None`: its stream was closed meanwhile.
    pub fn told(&mut self, told: Told) -> Option<(StreamKey, XmppEvent)> {
        let Told { key, generation, event } = told;
        let lives = self.streams.get(&key).is_some_and(|it| it.generation == generation);
        if !lives {
            return None;
        }
        match &event {
            XmppEvent::Up { resumed, .. } => {
                self.counters.xmpp_streams_up += 1;
                self.counters.xmpp_streams_resumed += u64::from(*resumed);
            }
            XmppEvent::Stanza(_) => self.counters.xmpp_stanzas_received += 1,
            XmppEvent::Down(_) => self.counters.xmpp_streams_down += 1,
        }
        Some((key, event))
    }

    /// Streams there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// No stream.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What was counted.
    pub fn counters(&self) -> &XmppCounters {
        &self.counters
    }
}
