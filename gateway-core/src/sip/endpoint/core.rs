//! What all dialogs share: settings, dice, transactions, the way out. Writes the parts of messages that are the same
//! for all: Via, Contact, User-Agent, Allow.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::{EndpointConfig, TransportOutput};
use crate::base::ids::{ListenerId, TrunkId};
use crate::base::rng::Rng;
use crate::sip::dialog::Hop;
use crate::sip::framing::Flows;
use crate::sip::outbox::{Outbox, Path};
use crate::sip::transaction::{Owner, TransactionId, Transactions};
use crate::sip::trunk::{SipTransport, TrunkConfig};
use crate::sip::wire::{Header, HeaderName, Headers, Method, Request, Response, Uri, build, text};

/// Shared by all dialogs of an endpoint.
#[derive(Debug)]
pub struct Core {
    /// Settings.
    pub config: EndpointConfig,
    /// What leaves.
    pub out: Outbox,
    /// Transactions.
    pub transactions: Transactions,
    /// Tags, branches, Call-IDs.
    pub rng: Rng,
    /// Connections.
    pub flows: Flows,
    /// Trunks whose large requests leave datagrams for a stream (RFC 3261 §18.1.1).
    pub large_over_streams: BTreeSet<TrunkId>,
    /// Where far sides see us, by listener and far side: what our Contact says there.
    pub seen_as: BTreeMap<(ListenerId, SocketAddr), SocketAddr>,
    sites: Vec<Site>,
}

/// What one listener writes into messages.
#[derive(Debug)]
struct Site {
    transport: SipTransport,
    advertised: SocketAddr,
    /// `SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK`
    via: String,
    /// `<sip:weebee@192.0.2.1:5060>`
    contact: String,
    /// `;transport=tcp`
    parameter: &'static str,
}

impl Core {
    /// From settings.
    pub fn new(config: EndpointConfig, rng: Rng) -> Self {
        let sites = config
            .listeners
            .iter()
            .map(|listener| {
                let advertised = listener.advertised.unwrap_or(listener.bind);
                let (token, parameter) = match listener.transport {
                    SipTransport::Udp => ("UDP", ""),
                    SipTransport::Tcp => ("TCP", ";transport=tcp"),
                    SipTransport::Tls => ("TLS", ";transport=tls"),
                };
                Site {
                    transport: listener.transport,
                    advertised,
                    via: format!("SIP/2.0/{token} {advertised};rport;branch=z9hG4bK"),
                    contact: format!("<sip:{CONTACT_USER}@{advertised}{parameter}>"),
                    parameter,
                }
            })
            .collect();
        let transactions = Transactions::new(config.t1);
        let out = Outbox::default();
        Self {
            config,
            out,
            transactions,
            rng,
            flows: Flows::default(),
            large_over_streams: BTreeSet::new(),
            seen_as: BTreeMap::new(),
            sites,
        }
    }

    /// A request with Via, Max-Forwards and User-Agent, to be sent by `path`.
    pub fn request(&mut self, method: Method, uri: Uri, path: Path) -> Request {
        let mut request = Request::new(method, uri);
        let via = self.via(path);
        build::push(&mut request.headers, HeaderName::Via, via);
        build::push(&mut request.headers, HeaderName::MaxForwards, "70");
        let agent = self.config.user_agent.clone();
        build::push(&mut request.headers, HeaderName::UserAgent, agent);
        request
    }

    /// Sends a request in a transaction of its own.
    pub fn send(
        &mut self,
        now: Instant,
        mut request: Request,
        path: Path,
        owner: Owner,
    ) -> Option<TransactionId> {
        if request.headers.get(&HeaderName::ContentLength).is_none() {
            build::set_request_body(&mut request, "", &[]);
        }
        self.transactions.send(now, request, path, owner, &mut self.out)
    }

    /// Sends a response by its transaction.
    pub fn respond(&mut self, now: Instant, transaction: TransactionId, response: Response) {
        self.transactions.respond(now, transaction, response, &mut self.out);
    }

    /// A response of ours.
    pub fn reply(&self, request: &Request, status: u16, tag: Option<&str>) -> Response {
        let mut response = build::reply(request, status, tag);
        let agent = self.config.user_agent.clone();
        build::push(&mut response.headers, HeaderName::Server, agent);
        response
    }

    /// 405, 489 or 501 for a method that we do not serve here.
    pub fn not_allowed(&mut self, request: &Request, tag: &str) -> Response {
        self.out.counters.sip_requests_refused += 1;
        let status = match &request.method {
            Method::Subscribe | Method::Notify | Method::Publish => 489,
            Method::Refer => 603,
            Method::Other(_) => 501,
            _ => 405,
        };
        let mut response = self.reply(request, status, Some(tag));
        build::push(&mut response.headers, HeaderName::Allow, ALLOW);
        response
    }

    /// Adds our Contact for this way.
    pub fn add_contact(&self, headers: &mut Headers, path: Path) {
        let contact = match self.seen_as.get(&(path.listener, path.peer)) {
            Some(address) => self.contact_of(path, CONTACT_USER, Some(*address)),
            None => self.site(path.listener).map(|site| site.contact.clone()).unwrap_or_default(),
        };
        if !contact.is_empty() {
            build::push(headers, HeaderName::Contact, contact);
        }
    }

    /// A Contact for this way with a user part of its own; `address` in place of the listener's.
    pub fn contact_of(&self, path: Path, user: &str, address: Option<SocketAddr>) -> String {
        let Some(site) = self.site(path.listener) else { return String::new() };
        let address = address.unwrap_or(site.advertised);
        format!("<sip:{}@{address}{}>", text::escaped_user(user), site.parameter)
    }

    /// Adds Allow and Supported.
    pub fn add_abilities(&self, headers: &mut Headers) {
        build::push(headers, HeaderName::Allow, ALLOW);
        build::push(headers, HeaderName::Supported, SUPPORTED);
    }

    /// Our own host as others see it on this way.
    pub fn host_of(&self, path: Path) -> String {
        self.site(path.listener).map(|site| site.advertised.to_string()).unwrap_or_default()
    }

    /// The way to the next hop of a dialog whose far side was last seen at `source`.
    ///
    /// A stream stays with its connection. Datagrams go where the hop says, unless the far side sits behind an
    /// address translator, or the hop is a name or a private address that is not the source's: then to the source.
    ///
    /// A stream that is gone is opened anew, towards the hop, or the source's host at the port of SIP.
    pub fn way(&mut self, now: Instant, hop: Hop, source: Path, is_translated: bool) -> Path {
        let believed = hop.address.filter(|address| is_reachable(*address, source.peer));
        if let Some(flow) = source.flow {
            if self.flows.ends(flow).is_some() {
                return source;
            }
            let is_tls =
                self.site(source.listener).is_some_and(|site| site.transport == SipTransport::Tls);
            let port = if is_tls { SIPS_PORT } else { SIP_PORT };
            let peer = believed.unwrap_or(SocketAddr::new(source.peer.ip(), port));
            return self.connect(now, source.listener, peer);
        }
        match believed {
            Some(address) if !is_translated => match self.stream_listener(hop, address) {
                Some(listener) => self.connect(now, listener, address),
                None => Path { peer: address, ..source },
            },
            _ => source,
        }
    }

    fn stream_listener(&self, hop: Hop, address: SocketAddr) -> Option<ListenerId> {
        self.listener_for(hop.stream?, address)
    }

    /// The way to `peer`: for streams a connection, opened if there is none.
    pub fn connect(&mut self, now: Instant, listener: ListenerId, peer: SocketAddr) -> Path {
        if self.site(listener).is_none_or(|site| site.transport == SipTransport::Udp) {
            return Path { listener, peer, flow: None };
        }
        let (flow, is_new) = self.flows.towards(now, listener, peer);
        if is_new {
            self.out.transport(TransportOutput::Connect { flow, to: peer, listener });
        }
        Path { listener, peer, flow: Some(flow) }
    }

    /// The first listener of this transport whose address family reaches `peer`.
    pub fn listener_for(&self, transport: SipTransport, peer: SocketAddr) -> Option<ListenerId> {
        let at = self.sites.iter().zip(&self.config.listeners).position(|(site, listener)| {
            site.transport == transport && listener.bind.is_ipv4() == peer.is_ipv4()
        })?;
        u16::try_from(at).ok().map(ListenerId)
    }

    /// The stream to take instead of datagrams for a request over [`DATAGRAM_REQUEST_BYTES_MAX`], with the request
    /// that says so in its Via. `None`: it stays as it is.
    pub fn stream_instead(
        &mut self,
        now: Instant,
        trunk: TrunkId,
        request: &Request,
        path: Path,
    ) -> Option<(Request, Path)> {
        if path.flow.is_some() || !self.large_over_streams.contains(&trunk) {
            return None;
        }
        if build::encode_request(request).len() <= DATAGRAM_REQUEST_BYTES_MAX {
            return None;
        }
        let listener = self.listener_for(SipTransport::Tcp, path.peer)?;
        let stream = self.connect(now, listener, path.peer);
        let mut request = request.clone();
        self.renew_via(&mut request, stream);
        Some((request, stream))
    }

    /// Settings of a trunk.
    pub fn trunk(&self, id: TrunkId) -> Option<&TrunkConfig> {
        self.config.trunks.get(usize::from(id.0))
    }

    /// Option tags of Require that we do not know, for Unsupported. Empty: none.
    pub fn unknown_extensions(&self, request: &Request) -> String {
        let mut unknown = text::tokens(&request.headers, &HeaderName::Require);
        unknown.retain(|tag| !KNOWN_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(tag)));
        unknown.join(", ")
    }

    /// Gives a request that is sent again a top Via of its own.
    pub fn renew_via(&mut self, request: &mut Request, path: Path) {
        let via = self.via(path);
        request.headers.remove_first(&HeaderName::Via);
        if let Ok(header) = Header::build(HeaderName::Via, via) {
            request.headers.push_front(header);
        }
    }

    fn via(&mut self, path: Path) -> String {
        let branch = self.rng.token(BRANCH_LENGTH);
        match self.site(path.listener) {
            Some(site) => [site.via.as_str(), &branch].concat(),
            None => format!("SIP/2.0/UDP {};rport;branch=z9hG4bK{branch}", path.peer),
        }
    }

    fn site(&self, listener: ListenerId) -> Option<&Site> {
        self.sites.get(usize::from(listener.0))
    }
}

/// Whether a Contact can be believed: an address of a private network means something only to a source that is in
/// one too, and one that never leaves its host only to a source on it.
fn is_reachable(contact: SocketAddr, source: SocketAddr) -> bool {
    let (to, from) = (contact.ip(), source.ip().to_canonical());
    if to.is_ipv4() != from.is_ipv4() || contact.port() == 0 {
        return false;
    }
    let same_host = to.is_loopback() && from.is_loopback();
    to == from || same_host || !is_private(to) || (is_private(from) && !is_host_only(to))
}

/// Addresses that mean nothing outside their own network.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && (64..128).contains(&b)) || is_host_only(ip)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || is_host_only(ip),
    }
}

/// Addresses that mean nothing outside their own host or wire, or nothing at all.
fn is_host_only(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
        }
    }
}

/// Methods we serve.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK";
/// Extensions we speak.
pub const SUPPORTED: &str = "100rel, timer";
const KNOWN_EXTENSIONS: [&str; 2] = ["100rel", "timer"];
const SIP_PORT: u16 = 5060;
const SIPS_PORT: u16 = 5061;
/// RFC 3261 §18.1.1: what fits any path without fragments, when the path is not known.
const DATAGRAM_REQUEST_BYTES_MAX: usize = 1_300;
/// User part of our Contact.
const CONTACT_USER: &str = "weebee";
/// 36^16 branches: enough that none repeats in the life of the universe's calls.
const BRANCH_LENGTH: usize = 16;
