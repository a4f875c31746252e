//! A received message after its one reading: the fields every machine needs, parsed and checked once at the edge.

use std::net::{IpAddr, SocketAddr};

use sipx_sip::headers::{CSeq, From, MaxForwards, To};

use super::{Address, Header, HeaderName, Headers, Host, Method, Request, Response, Via, text};

/// A request whose mandatory headers are there, once, and readable (RFC 3261 §8.1.1).
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The request. Its top Via carries `received` and `rport` already.
    pub request: Request,
    /// The top Via as it came.
    pub via: Via,
    /// From.
    pub from: Address,
    /// To.
    pub to: Address,
    /// `Call-ID`.
    pub call_id: Vec<u8>,
    /// Number in `CSeq`.
    pub cseq: u32,
    /// `Max-Forwards`; none: the sender left it out (RFC 2543), which is taken as 70.
    pub max_forwards: Option<u8>,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No usable Via: it cannot be answered.
    Unanswerable,
    /// It can be answered with this status (400, 505).
    Answer(u16, &'static str),
}

impl Incoming {
    /// Reads a request that came from `source`, and stamps `received` and `rport` into its top Via.
    pub fn read(
        mut request: Request,
        source: SocketAddr,
    ) -> Result<Self, Box<(Request, Malformed)>> {
        match Self::fields(&mut request, source) {
            Ok((via, from, to, call_id, cseq, max_forwards)) => {
                Ok(Self { request, via, from, to, call_id, cseq, max_forwards })
            }
            Err(fault) => Err(Box::new((request, fault))),
        }
    }

    #[expect(clippy::type_complexity, reason = "the fields of one struct, on their way into it")]
    fn fields(
        request: &mut Request,
        source: SocketAddr,
    ) -> Result<(Via, Address, Address, Vec<u8>, u32, Option<u8>), Malformed> {
        let bad = |what| Malformed::Answer(400, what);
        let headers = &request.headers;
        let via = headers.typed::<Via>().and_then(Result::ok).ok_or(Malformed::Unanswerable)?;
        for name in [&HeaderName::From, &HeaderName::To, &HeaderName::CallId, &HeaderName::CSeq] {
            if headers.count(name) != 1 {
                return Err(bad("Missing or Repeated Header"));
            }
        }
        if headers.count(&HeaderName::MaxForwards) > 1 {
            return Err(bad("Repeated Max-Forwards"));
        }
        let from = address(headers, &HeaderName::From).ok_or(bad("Bad From"))?;
        let to = address(headers, &HeaderName::To).ok_or(bad("Bad To"))?;
        let call_id = call_id(headers).ok_or(bad("Bad Call-ID"))?;
        let cseq = headers.typed::<CSeq>().and_then(Result::ok).ok_or(bad("Bad CSeq"))?;
        if cseq.method != request.method {
            return Err(bad("CSeq Names Another Method"));
        }
        let max_forwards = match headers.typed::<MaxForwards>() {
            None => None,
            Some(Ok(hops)) => Some(hops.0),
            Some(Err(_)) => return Err(bad("Bad Max-Forwards")),
        };
        if !request.version.is_supported() {
            return Err(Malformed::Answer(505, "Version Not Supported"));
        }
        if request.uri.has_headers() {
            return Err(bad("Headers in Request-URI"));
        }
        stamp(request, &via, source);
        Ok((via, from, to, call_id, cseq.sequence, max_forwards))
    }

    /// The tag of From. Empty for peers of RFC 2543 days.
    pub fn from_tag(&self) -> &[u8] {
        self.from.tag().unwrap_or_default()
    }

    /// The tag of To: there is one in a dialog only.
    pub fn to_tag(&self) -> Option<&[u8]> {
        self.to.tag()
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.request.method
    }

    /// The name of its server transaction (RFC 3261 §17.2.3). `method` is INVITE for ACK and CANCEL's target.
    pub fn transaction_name(&self, method: &Method) -> Box<[u8]> {
        let mut name = Vec::with_capacity(96);
        if self.via.has_rfc3261_branch() {
            name.extend_from_slice(self.via.branch().unwrap_or_default());
        } else {
            // RFC 2543 peers: the branch means nothing, so everything that stays the same is the name.
            name.extend_from_slice(b"old ");
            name.extend_from_slice(&self.call_id);
            name.push(0);
            name.extend_from_slice(self.from_tag());
            name.push(0);
            name.extend_from_slice(self.cseq.to_string().as_bytes());
            name.push(0);
            name.extend_from_slice(self.via.branch().unwrap_or_default());
        }
        name.push(0);
        name.extend_from_slice(self.via.host.to_bytes().to_ascii_lowercase().as_ref());
        name.extend_from_slice(&self.via.port.unwrap_or(5060).to_be_bytes());
        name.extend_from_slice(method.as_bytes());
        name.into_boxed_slice()
    }

    /// Whether the sender sits behind an address translator: its Via names another address than it sends from.
    pub fn is_translated(&self, source: SocketAddr) -> bool {
        match &self.via.host {
            Host::Ip(ip) => {
                ip.to_canonical() != source.ip().to_canonical()
                    || self.via.port.unwrap_or(5060) != source.port()
            }
            Host::Name(_) => false,
        }
    }
}

/// A response with the fields that find its transaction and dialog.
#[derive(Clone, Debug)]
pub struct IncomingResponse {
    /// The response.
    pub response: Response,
    /// Name of the client transaction.
    pub transaction_name: Box<[u8]>,
}

impl IncomingResponse {
    /// Reads a response. `None`: not one that any transaction of ours could own.
    pub fn read(response: Response) -> Option<Self> {
        if !response.version.is_supported() {
            return None;
        }
        let headers = &response.headers;
        let via = headers.typed::<Via>()?.ok()?;
        let cseq = headers.typed::<CSeq>()?.ok()?;
        for name in [&HeaderName::From, &HeaderName::To, &HeaderName::CallId, &HeaderName::CSeq] {
            if headers.count(name) != 1 {
                return None;
            }
        }
        let name = client_transaction_name(via.branch()?, &cseq.method);
        Some(Self { response, transaction_name: name })
    }
}

/// The name of a client transaction: branch and method (RFC 3261 §17.1.3).
pub fn client_transaction_name(branch: &[u8], method: &Method) -> Box<[u8]> {
    [branch, b"\0", method.as_bytes()].concat().into_boxed_slice()
}

/// An address header, also with an unquoted Latin-1 display name.
pub fn address(headers: &Headers, name: &HeaderName) -> Option<Address> {
    let value = headers.value(name)?;
    Address::parse(&value, "address")
        .or_else(|_| Address::parse(&text::repair_display_name(&value), "address"))
        .ok()
}

/// Tag of a response's To.
pub fn to_tag(headers: &Headers) -> Option<Vec<u8>> {
    headers.typed::<To>()?.ok()?.tag().map(<[u8]>::to_vec)
}

/// Number in CSeq.
pub fn cseq_of(headers: &Headers) -> Option<u32> {
    Some(headers.typed::<CSeq>()?.ok()?.sequence)
}

/// Tag of a message's From.
pub fn from_tag(headers: &Headers) -> Option<Vec<u8>> {
    headers.typed::<From>()?.ok()?.tag().map(<[u8]>::to_vec)
}

fn call_id(headers: &Headers) -> Option<Vec<u8>> {
    let value = headers.value(&HeaderName::CallId)?;
    (!value.is_empty() && value.len() <= CALL_ID_BYTES_MAX).then(|| value.into_owned())
}

/// Writes `received` and `rport` into the top Via (RFC 3261 §18.2.1, RFC 3581 §4).
fn stamp(request: &mut Request, via: &Via, source: SocketAddr) {
    let ip = source.ip().to_canonical();
    let wants_port = matches!(via.rport(), Some(None));
    let same_host = matches!(&via.host, Host::Ip(host) if host.to_canonical() == ip);
    if same_host && !wants_port {
        return;
    }
    let Some(old) = request.headers.value(&HeaderName::Via).map(|value| value.into_owned()) else {
        return;
    };
    let hop_end = sipx_sip::headers::first_hop_end(&old);
    let (hop, others) = old.split_at(hop_end.min(old.len()));
    let mut hop = hop.trim_ascii_end().to_vec();
    if wants_port {
        insert_rport(&mut hop, source.port());
    }
    if via.received().is_none() {
        let host = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => ip.to_string(),
        };
        hop.extend_from_slice(format!(";received={host}").as_bytes());
    }
    hop.extend_from_slice(others);
    if let Ok(header) = Header::build(HeaderName::Via, hop) {
        request.headers.remove_first(&HeaderName::Via);
        request.headers.push_front(header);
    }
}

/// Gives a valueless `rport` its value.
fn insert_rport(hop: &mut Vec<u8>, port: u16) {
    let lower = hop.to_ascii_lowercase();
    let Some(at) = lower.windows(5).enumerate().position(|(at, window)| {
        window == b"rport"
            && matches!(lower.get(at.wrapping_sub(1)), Some(b';' | b' ' | b'\t'))
            && matches!(lower.get(at + 5), None | Some(b';' | b' ' | b'\t'))
    }) else {
        return;
    };
    hop.splice(at + 5..at + 5, format!("={port}").into_bytes());
}

/// Longest `Call-ID` read. Those of real systems have under 100 bytes.
const CALL_ID_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests;
