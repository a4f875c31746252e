//! The far side of a dialog: tags, CSeq numbers, route set, target, and the way to it (RFC 3261 §12).
//!
//! Builds the requests inside the dialog. Refuses to send them.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::base::limits::SIP_ROUTES_MAX;
use crate::sip::endpoint::core::Core;
use crate::sip::outbox::Path;
use crate::sip::trunk::SipTransport;
use crate::sip::wire::{
    Address, Contact, Header, HeaderName, Headers, Host, Incoming, Method, RecordRoute, Request,
    Response, Uri, build,
};

/// What a dialog knows of its far side.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `Call-ID`.
    pub call_id: Bytes,
    /// Our tag.
    pub local_tag: String,
    /// Their tag. Empty before they gave one, and for peers of RFC 2543 days.
    pub remote_tag: Vec<u8>,
    /// Our address as a header value, without the tag.
    local: Bytes,
    /// Their address as a header value, without the tag.
    remote: Bytes,
    cseq_local: u32,
    cseq_remote: Option<u32>,
    /// Where requests go at last: their Contact.
    target: Uri,
    /// Route header values, nearest first.
    routes: Vec<Bytes>,
    /// Where their last request or response really came from.
    pub source: Path,
    /// Their Via named another address than they sent from.
    translated: bool,
}

impl Peer {
    /// From an INVITE that came in. `None`: its Contact or Record-Route cannot be used.
    pub fn of_invite(incoming: &Incoming, path: Path, local_tag: String) -> Option<Self> {
        let headers = &incoming.request.headers;
        Some(Self {
            call_id: Bytes::copy_from_slice(&incoming.call_id),
            local_tag,
            remote_tag: incoming.from_tag().to_vec(),
            local: without_tag(headers, &HeaderName::To)?,
            remote: without_tag(headers, &HeaderName::From)?,
            cseq_local: 0,
            cseq_remote: Some(incoming.cseq),
            target: match headers.get(&HeaderName::Contact) {
                // RFC 2543 did not ask for a Contact: its From is where requests go.
                None if !incoming.via.has_rfc3261_branch() => incoming.from.uri.clone(),
                _ => contact(headers)?,
            },
            routes: record_routes(headers)?,
            source: path,
            translated: incoming.is_translated(path.peer),
        })
    }

    /// For an INVITE that goes out. `local` and `remote` are header values without tags.
    pub fn outgoing(
        call_id: String,
        local_tag: String,
        local: String,
        remote: String,
        target: Uri,
        path: Path,
    ) -> Self {
        Self {
            call_id: call_id.into(),
            local_tag,
            remote_tag: Vec::new(),
            local: local.into(),
            remote: remote.into(),
            cseq_local: 0,
            cseq_remote: None,
            target,
            routes: Vec::new(),
            source: path,
            translated: false,
        }
    }

    /// The far side of a request of ours whose dialog is gone.
    pub fn of_request(request: &Request, path: Path) -> Option<Self> {
        let headers = &request.headers;
        let tag = crate::sip::wire::incoming::from_tag(headers)?;
        let cseq = headers.typed::<sipx_sip::CSeq>()?.ok()?;
        Some(Self {
            call_id: Bytes::copy_from_slice(&headers.value(&HeaderName::CallId)?),
            local_tag: crate::sip::wire::text::decode(&tag),
            remote_tag: Vec::new(),
            local: without_tag(headers, &HeaderName::From)?,
            remote: without_tag(headers, &HeaderName::To)?,
            cseq_local: cseq.sequence,
            cseq_remote: None,
            target: request.uri.clone(),
            routes: Vec::new(),
            source: path,
            translated: false,
        })
    }

    /// Takes tag, route set and target from a response that makes a dialog (§12.1.2).
    pub fn adopt(&mut self, response: &Response) {
        let headers = &response.headers;
        if let Some(tag) = crate::sip::wire::incoming::to_tag(headers) {
            self.remote_tag = tag;
        }
        if let Some(remote) = without_tag(headers, &HeaderName::To) {
            self.remote = remote;
        }
        if let Some(mut routes) = record_routes(headers) {
            routes.reverse();
            self.routes = routes;
        }
        self.refresh_target(headers);
    }

    /// Target refresh (§12.2.1.2): the Contact of a target refresh request or its 2xx.
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = contact(headers) {
            self.target = target;
        }
    }

    /// Whether a request with this CSeq comes after all before it; notes it. Gaps are legal (§12.2.2).
    pub fn cseq_is_new(&mut self, cseq: u32) -> bool {
        if self.cseq_remote.is_some_and(|last| cseq <= last) {
            return false;
        }
        self.cseq_remote = Some(cseq);
        true
    }

    /// A request of theirs came this way.
    pub fn seen(&mut self, incoming: &Incoming, path: Path) {
        self.source = path;
        self.translated = incoming.is_translated(path.peer);
    }

    /// The next request inside the dialog, and its way. An ACK takes the number of the INVITE it is for.
    pub fn request(
        &mut self,
        now: Instant,
        core: &mut Core,
        method: Method,
        cseq: Option<u32>,
    ) -> (Request, Path) {
        let cseq = cseq.unwrap_or_else(|| self.next_cseq());
        let (uri, routes) = self.routed();
        let next_hop = match self.routes.first() {
            Some(route) => Address::parse(route, "Route").map(|route| route.uri).ok(),
            None => None,
        };
        let hop = hop_of(next_hop.as_ref().unwrap_or(&self.target));
        let path = core.way(now, hop, self.source, self.translated);
        let mut request = core.request(method, uri, path);
        for route in routes {
            build::push(&mut request.headers, HeaderName::Route, route);
        }
        self.identify(&mut request, cseq);
        (request, path)
    }

    /// The request that opens a dialog, or stands outside of any: by the given way, whatever its target says.
    pub fn first_request(&mut self, core: &mut Core, method: Method, path: Path) -> Request {
        let cseq = self.next_cseq();
        let mut request = core.request(method, self.target.clone(), path);
        self.identify(&mut request, cseq);
        request
    }

    /// From, To, Call-ID and CSeq.
    fn identify(&self, request: &mut Request, cseq: u32) {
        let from = [&self.local[..], b";tag=", self.local_tag.as_bytes()].concat();
        build::push(&mut request.headers, HeaderName::From, from);
        let to = match self.remote_tag.is_empty() {
            true => self.remote.to_vec(),
            false => [&self.remote[..], b";tag=", &self.remote_tag[..]].concat(),
        };
        build::push(&mut request.headers, HeaderName::To, to);
        build::push(&mut request.headers, HeaderName::CallId, self.call_id.clone());
        let number = [cseq.to_string().as_bytes(), b" ", request.method.as_bytes()].concat();
        build::push(&mut request.headers, HeaderName::CSeq, number);
    }

    /// Takes the next number for a request of ours.
    pub fn next_cseq(&mut self) -> u32 {
        self.cseq_local = self.cseq_local.wrapping_add(1) & 0x7fff_ffff;
        self.cseq_local
    }

    /// Request-URI and Route headers: loose (`lr`) or strict routing (§12.2.1.1).
    fn routed(&self) -> (Uri, Vec<Bytes>) {
        let Some(first) = self.routes.first() else {
            return (self.target.clone(), Vec::new());
        };
        match Address::parse(first, "Route") {
            Ok(route) if !route.uri.params().is_some_and(|params| params.contains("lr")) => {
                let target = [b"<", &self.target.to_bytes()[..], b">"].concat();
                let mut routes = self.routes.get(1..).unwrap_or_default().to_vec();
                routes.push(target.into());
                (route.uri, routes)
            }
            _ => (self.target.clone(), self.routes.clone()),
        }
    }
}

/// Where a URI points, if it says so without a name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its address. `None`: a host name.
    pub address: Option<SocketAddr>,
    /// The stream it asks for, TCP or TLS.
    pub stream: Option<SipTransport>,
}

/// Where a URI points.
pub fn hop_of(uri: &Uri) -> Hop {
    let asks = |name: &[u8]| uri.transport().is_some_and(|it| it.eq_ignore_ascii_case(name));
    let is_sips = uri.to_bytes().get(..5).is_some_and(|it| it.eq_ignore_ascii_case(b"sips:"));
    let stream = if is_sips || asks(b"tls") {
        Some(SipTransport::Tls)
    } else {
        asks(b"tcp").then_some(SipTransport::Tcp)
    };
    let usual = if stream == Some(SipTransport::Tls) { 5061 } else { 5060 };
    let address = match uri.host() {
        Some(Host::Ip(ip)) => Some(SocketAddr::new(ip.to_canonical(), uri.port().unwrap_or(usual))),
        _ => None,
    };
    Hop { address, stream }
}

/// An address header as received, without its tag parameter.
fn without_tag(headers: &Headers, name: &HeaderName) -> Option<Bytes> {
    let address = crate::sip::wire::incoming::address(headers, name)?;
    let mut value = Vec::with_capacity(96);
    if let Some(name) = &address.display_name {
        value.push(b'"');
        for byte in name {
            if matches!(byte, b'"' | b'\\') {
                value.push(b'\\');
            }
            value.push(*byte);
        }
        value.extend_from_slice(b"\" ");
    }
    value.push(b'<');
    value.extend_from_slice(&address.uri.to_bytes());
    value.push(b'>');
    // Parameters other than the tag need not be echoed (§12.2.1.1 compares URI and tag only).
    Header::build(HeaderName::From, value.clone()).ok()?;
    Some(value.into())
}

/// The URI of the one Contact.
pub fn contact(headers: &Headers) -> Option<Uri> {
    let contact = headers.typed::<Contact>()?.ok()?;
    Some(contact.0.uri)
}

/// Record-Route values in the order of the message. `None`: unreadable, or too many.
fn record_routes(headers: &Headers) -> Option<Vec<Bytes>> {
    let mut routes = Vec::new();
    for route in headers.typed_all::<RecordRoute>() {
        let route = route.ok()?;
        if routes.len() == SIP_ROUTES_MAX {
            return None;
        }
        routes.push([b"<", &route.0.uri.to_bytes()[..], b">"].concat().into());
    }
    Some(routes)
}
