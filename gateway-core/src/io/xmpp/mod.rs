//! The XMPP edge: streams that legs ask for, opened, kept up and reopened for ever, each in a task of its own.
//!
//! [`connection`] is the machine without sockets, `link` carries it over TCP with StartTLS, WebSocket or BOSH,
//! `bridge_socket` carries a bridge channel beside a stream, and [`XmppStreams`] is what the signalling driver holds.
//! Stanzas go out in the order they were given. Passwords, tokens and addresses are never logged.

pub mod backoff;
mod bosh;
mod bridge_socket;
mod conference_http;
pub mod connection;
pub mod failure;
pub mod framing;
mod hosts;
mod http;
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

use self::bridge_socket::SocketTask;
use self::conference_http::ConferenceTask;
pub use self::failure::Failure;
use self::hosts::HostNames;
pub use self::site::{Encryption, Transport, Trust, VisitorWays, WebAddress, XmppSite};
use self::stream::StreamTask;
pub use self::stream::{Probe, Told, probe};
use crate::base::ids::{SiteId, StreamKey};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::leg::backend::{SocketNews, SocketOrder, StreamAccount, Visit};

/// Stanzas of one stream on their way to its task. Full: the stream is closed, its server does not read.
const STANZAS_PENDING_MAX: usize = 256;
/// Events of all streams that wait for the driver. Full: reading pauses.
const EVENTS_PENDING_MAX: usize = 512;
/// Messages of one leg to its bridge. Full: the bridge does not read, and what it was told last counts.
const TEXTS_PENDING_MAX: usize = 64;

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
    /// From the bridge channel's WebSocket beside the stream.
    BridgeSocket(SocketNews),
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
        /// WebSockets to bridges that came up.
        bridge_sockets_up,
        /// WebSockets to bridges that were lost.
        bridge_sockets_down,
        /// Messages to bridges dropped because their WebSocket does not exist or does not keep up.
        bridge_messages_dropped,
        /// XMPP stanzas dropped because their stream does not exist or does not keep up.
        xmpp_stanzas_dropped,
    }
}

/// A site with its TLS.
#[derive(Clone)]
struct ReadySite {
    site: Arc<XmppSite>,
    tls: Arc<ClientConfig>,
    /// Towards web servers that are not the XMPP server: authorities as for that, but no pin, which is of one server.
    web_tls: Arc<ClientConfig>,
}

impl ReadySite {
    /// A sentence if its TLS cannot be set up.
    fn new(site: XmppSite) -> Result<Self, String> {
        let of_web = Trust { pins: Vec::new(), ..site.trust.clone() };
        let made =
            tls::client_config(&site.trust).and_then(|tls| Ok((tls, tls::client_config(&of_web)?)));
        let (tls, web_tls) = made.map_err(|problem| format!("site {:?}: {problem}", site.name))?;
        if site.trust.insecure {
            warn!(
                site = site.name,
                "ANY CERTIFICATE IS BELIEVED: whoever is on the way to this XMPP server can listen and change; \
                 remove tls_insecure, set ca_file or tls_pins"
            );
        }
        Ok(Self { site: Arc::new(site), tls, web_tls })
    }
}

/// All streams.
pub struct XmppStreams {
    sites: Vec<ReadySite>,
    streams: BTreeMap<StreamKey, Stream>,
    sockets: BTreeMap<StreamKey, Socket>,
    hosts: HostNames,
    /// Tells a stream from an earlier one of the same key.
    generation: u64,
    events: mpsc::Sender<Told>,
    counters: XmppCounters,
    rng: Rng,
}

struct Stream {
    site: usize,
    token: Option<Pii<String>>,
    tenant: Option<String>,
    generation: u64,
    stanzas: mpsc::Sender<Element>,
}

struct Socket {
    generation: u64,
    texts: mpsc::Sender<String>,
}

/// What the tasks of [`XmppStreams`] tell; give it back to [`XmppStreams::told`].
pub type ToldReceiver = mpsc::Receiver<Told>;

impl XmppStreams {
    /// No streams, and where their events come out. Sentences if a site's TLS cannot be set up.
    pub fn new(sites: Vec<XmppSite>, rng: Rng) -> Result<(Self, ToldReceiver), Vec<String>> {
        let (mut ready, mut problems) = (Vec::new(), Vec::new());
        for site in sites {
            match ReadySite::new(site) {
                Ok(site) => ready.push(site),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (events, receiver) = mpsc::channel(EVENTS_PENDING_MAX);
        let streams = Self {
            sites: ready,
            streams: BTreeMap::new(),
            sockets: BTreeMap::new(),
            hosts: HostNames::default(),
            generation: 0,
            events,
            counters: XmppCounters::default(),
            rng,
        };
        Ok((streams, receiver))
    }

    /// A site more, or another in the place of an earlier one; streams that are open stay as they are. A sentence if its
    /// TLS cannot be set up, or places before it are empty.
    pub fn put_site(&mut self, at: SiteId, site: XmppSite) -> Result<(), String> {
        let (at, site) = (usize::from(at.0), ReadySite::new(site)?);
        let length = self.sites.len();
        match self.sites.get_mut(at) {
            Some(place) => *place = site,
            None if at == length => self.sites.push(site),
            None => return Err(format!("site {at}: places before it are empty")),
        }
        Ok(())
    }

    /// Opens a stream and keeps it up. One of the same key is closed first. False: there is no such site.
    pub fn open(&mut self, key: StreamKey, account: StreamAccount) -> bool {
        let site = usize::from(account.site.0);
        let Some(ready) = self.sites.get(site).cloned() else {
            warn!(stream = %key, site = account.site.0, "no such site");
            return false;
        };
        let reached = match &account.visit {
            Some(Visit::Node(name)) => ready.site.of_node(name).map(Arc::new),
            _ => Some(ready.site),
        };
        let Some(reached) = reached else {
            warn!(stream = %key, site = account.site.0, "it has no visitor nodes");
            return false;
        };
        self.generation += 1;
        self.counters.xmpp_streams_opened += 1;
        let (stanzas, queue) = mpsc::channel(STANZAS_PENDING_MAX);
        let (token, tenant) = (account.token.clone(), account.tenant.clone());
        let generation = self.generation;
        self.streams.insert(key, Stream { site, token, tenant, generation, stanzas });
        let task = StreamTask {
            key,
            generation,
            site: reached,
            tls: ready.tls,
            hosts: self.hosts.clone(),
            account,
            events: self.events.clone(),
            rng: self.rng.fork(&format!("stream/{generation}")),
        };
        tokio::spawn(task.run(queue));
        true
    }

    /// Sends on a stream.
    pub fn send(&mut self, key: StreamKey, stanza: Element) {
        if self.ask_by_http(key, &stanza) {
            return;
        }
        let taken = self.streams.get(&key).is_some_and(|it| it.stanzas.try_send(stanza).is_ok());
        match taken {
            true => self.counters.xmpp_stanzas_sent += 1,
            false => self.counters.xmpp_stanzas_dropped += 1,
        }
    }

    /// A conference request of a site that wants it by HTTP. Its stream must be up all the same: the room is joined on it.
    fn ask_by_http(&mut self, key: StreamKey, stanza: &Element) -> bool {
        let Some(stream) = self.streams.get(&key) else { return false };
        let Some(ready) = self.sites.get(stream.site) else { return false };
        let Some(address) = &ready.site.conference_request else { return false };
        if !conference_http::is_request(stanza) {
            return false;
        }
        let task = ConferenceTask {
            key,
            generation: stream.generation,
            address: match &stream.tenant {
                Some(tenant) => address.of_tenant(tenant),
                None => address.clone(),
            },
            tls: Arc::clone(&ready.web_tls),
            hosts: self.hosts.clone(),
            token: stream.token.clone(),
            events: self.events.clone(),
        };
        tokio::spawn(task.run(stanza.clone()));
        self.counters.xmpp_stanzas_sent += 1;
        true
    }

    /// Sends what is queued, then closes. Nothing of this stream is told afterwards.
    pub fn close(&mut self, key: StreamKey) {
        self.streams.remove(&key);
        self.sockets.remove(&key);
    }

    /// The WebSocket of the bridge channel beside a stream. Without the stream there is none.
    pub fn bridge_socket(&mut self, key: StreamKey, order: SocketOrder) {
        match order {
            SocketOrder::Open(url) => {
                let site = self.streams.get(&key).and_then(|it| self.sites.get(it.site));
                let Some(ReadySite { web_tls, .. }) = site else { return };
                self.generation += 1;
                let generation = self.generation;
                let (texts, queue) = mpsc::channel(TEXTS_PENDING_MAX);
                let task = SocketTask {
                    key,
                    generation,
                    tls: Arc::clone(web_tls),
                    hosts: self.hosts.clone(),
                    url,
                    events: self.events.clone(),
                    rng: self.rng.fork(&format!("socket/{generation}")),
                };
                self.sockets.insert(key, Socket { generation, texts });
                tokio::spawn(task.run(queue));
            }
            SocketOrder::Send(text) => {
                let socket = self.sockets.get(&key);
                if socket.is_none_or(|it| it.texts.try_send(text).is_err()) {
                    self.counters.bridge_messages_dropped += 1;
                }
            }
            SocketOrder::Close => _ = self.sockets.remove(&key),
        }
    }

    /// Judges what a task told. `None`: its stream was closed meanwhile.
    pub fn told(&mut self, told: Told) -> Option<(StreamKey, XmppEvent)> {
        let Told { key, generation, event } = told;
        let lives = match event {
            XmppEvent::BridgeSocket(_) => self.sockets.get(&key).map(|it| it.generation),
            _ => self.streams.get(&key).map(|it| it.generation),
        };
        let lives = lives == Some(generation);
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
            XmppEvent::BridgeSocket(SocketNews::Up) => self.counters.bridge_sockets_up += 1,
            XmppEvent::BridgeSocket(SocketNews::Down) => self.counters.bridge_sockets_down += 1,
            XmppEvent::BridgeSocket(SocketNews::Text(_)) => {}
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
