//! What all dialogs share: settings, dice, transactions, the way out. Writes the parts of messages that are the same
//! for all: Via, Contact, User-Agent, Allow.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::EndpointConfig;
use crate::base::ids::ListenerId;
use crate::base::rng::Rng;
use crate::base::time::WallClock;
use crate::sip::dialog::Hop;
use crate::sip::outbox::{Outbox, Path};
use crate::sip::transaction::{Owner, TransactionId, Transactions};
use crate::sip::trunk::SipTransport;
use crate::sip::wire::{HeaderName, Headers, Method, Request, Response, Uri, build};

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
    /// Wall time, for nonces.
    pub wall: WallClock,
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
                }
            })
            .collect();
        let transactions = Transactions::new(config.t1);
        let out = Outbox::default();
        Self { config, out, transactions, rng, wall: WallClock::default(), sites }
    }

    /// A request with Via, Max-Forwards and User-Agent, to be sent by `path`.
    pub fn request(&mut self, method: Method, uri: Uri, path: Path) -> Request {
        let mut request = Request::new(method, uri);
        let branch = self.rng.token(BRANCH_LENGTH);
        let via = match self.site(path.listener) {
            Some(site) => [site.via.as_str(), &branch].concat(),
            None => format!("SIP/2.0/UDP {};rport;branch=z9hG4bK{branch}", path.peer),
        };
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
        if let Some(site) = self.site(path.listener) {
            build::push(headers, HeaderName::Contact, site.contact.clone());
        }
    }

    /// Adds Allow.
    pub fn add_abilities(&self, headers: &mut Headers) {
        build::push(headers, HeaderName::Allow, ALLOW);
    }

    /// Our own host as others see it on this way.
    pub fn host_of(&self, path: Path) -> String {
        self.site(path.listener).map(|site| site.advertised.to_string()).unwrap_or_default()
    }

    /// The way to the next hop of a dialog whose far side was last seen at `source`.
    ///
    /// A stream stays with its connection. Datagrams go where the hop says, unless the far side sits behind an
    /// address translator, or the hop is a name or a private address that is not the source's: then to the source.
    pub fn way(&mut self, hop: Hop, source: Path, is_translated: bool) -> Path {
        if source.flow.is_some() {
            return source;
        }
        match hop.address {
            Some(address) if !is_translated && is_reachable(address, source.peer) => {
                Path { peer: address, ..source }
            }
            _ => source,
        }
    }

    /// The first listener of this transport whose address family reaches `peer`.
    pub fn listener_for(&self, transport: SipTransport, peer: SocketAddr) -> Option<ListenerId> {
        let at = self.sites.iter().zip(&self.config.listeners).position(|(site, listener)| {
            site.transport == transport && listener.bind.is_ipv4() == peer.is_ipv4()
        })?;
        u16::try_from(at).ok().map(ListenerId)
    }

    /// Transport of a listener.
    pub fn transport_of(&self, listener: ListenerId) -> Option<SipTransport> {
        self.site(listener).map(|site| site.transport)
    }

    fn site(&self, listener: ListenerId) -> Option<&Site> {
        self.sites.get(usize::from(listener.0))
    }
}

/// Whether a Contact can be believed: a private address other than the source's belongs to another network.
fn is_reachable(contact: SocketAddr, source: SocketAddr) -> bool {
    if contact.is_ipv4() != source.ip().to_canonical().is_ipv4() {
        return false;
    }
    contact.ip() == source.ip().to_canonical() || !is_private(contact.ip())
}

/// Addresses that mean nothing outside their own network.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

/// Methods we serve.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS";
/// User part of our Contact.
const CONTACT_USER: &str = "weebee";
/// 36^16 branches: enough that none repeats in the life of the universe's calls.
const BRANCH_LENGTH: usize = 16;
