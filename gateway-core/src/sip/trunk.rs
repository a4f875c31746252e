//! Trunks and listeners as configuration: who may call, from where, with which secrets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::wire::text::escaped_user;
use crate::base::pii::Pii;

/// An address block, for example `192.0.2.0/24` or `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// A block. `None` if `prefix` is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// Whether `address` lies inside. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                (net.to_bits() ^ host.to_bits()) & mask == 0
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                (net.to_bits() ^ host.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| BadCidr)?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| BadCidr)?;
        let full = if address.is_ipv4() { 32 } else { 128 };
        Self::new(address, prefix.unwrap_or(full)).ok_or(BadCidr)
    }
}

/// Text that is no address block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a block such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct BadCidr;

/// Transport of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SipTransport {
    /// Datagrams.
    #[default]
    Udp,
    /// Streams.
    Tcp,
    /// Streams under TLS.
    Tls,
}

/// One SIP listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Address bound.
    pub bind: SocketAddr,
    /// Transport.
    pub transport: SipTransport,
    /// Connections are accepted. False: only ours use it, for trunks reached by a stream where nothing listens; `bind` names
    /// the address family and what Via says.
    pub accepts: bool,
    /// Address written into Via, Contact (behind NAT); `bind` if none.
    pub advertised: Option<SocketAddr>,
    /// Address written into SDP; the IP of `advertised` or `bind` if none.
    pub advertised_media: Option<IpAddr>,
}

/// One trunk: a peer that may call us, or that we call.
#[derive(Clone, Debug)]
pub struct TrunkConfig {
    /// Its name in configuration, logs, metrics and CDR.
    pub name: String,
    /// Sources its requests come from.
    pub sources: Vec<Cidr>,
    /// Digest users it may authenticate as (inbound).
    pub users: Vec<DigestUser>,
    /// Both an address of `sources` and a user of `users` are required.
    pub require_both: bool,
    /// Digest realm.
    pub realm: String,
    /// Where we send our own requests, if we call it and this is an address.
    pub peer: Option<SocketAddr>,
    /// Where we send our own requests, if that is a host name: io tells its addresses.
    pub peer_name: Option<PeerName>,
    /// Transport towards `peer`.
    pub transport: SipTransport,
    /// Credentials for the peer's challenges (outbound).
    pub credentials: Option<DigestUser>,
    /// Our account at its registrar (RFC 3261 §10); none: it knows us without. `credentials` prove it.
    pub account: Option<Account>,
    /// Send OPTIONS this often and keep an up/down state; none: do not.
    pub qualify_every: Option<Duration>,
    /// Send an empty line this often, so that address translators keep the way open; none: do not. (Connections get one
    /// each minute anyway.)
    pub keep_alive_every: Option<Duration>,
    /// Session timer we ask for (RFC 4028), at least 90 s; none: only what the peer asks.
    pub session_expires: Option<Duration>,
    /// Send 18x reliably when the peer supports 100rel (RFC 3262).
    pub reliable_provisional: bool,
    /// Calls at once.
    pub calls_max: usize,
    /// Headers such as `Jitsi-Conference-Room` and P-Asserted-Identity are believed.
    pub trusted: bool,
    /// Its INFO may carry JSON (`application/json`), and every INFO is answered 200; otherwise what is no key gets 415.
    pub takes_json: bool,
    /// Names of headers that routing wants beside those it always gets.
    pub headers: Vec<String>,
}

impl Default for TrunkConfig {
    /// A trunk that nobody can use: no sources, users or peer.
    fn default() -> Self {
        Self {
            name: String::new(),
            sources: Vec::new(),
            users: Vec::new(),
            require_both: false,
            realm: "weebee".to_owned(),
            peer: None,
            peer_name: None,
            transport: SipTransport::Udp,
            credentials: None,
            account: None,
            qualify_every: None,
            keep_alive_every: None,
            session_expires: None,
            reliable_provisional: false,
            calls_max: 1_000,
            trusted: false,
            takes_json: false,
            headers: Vec::new(),
        }
    }
}

impl TrunkConfig {
    /// Whether we can send requests there: it has a peer, by address or by name.
    pub fn has_peer(&self) -> bool {
        self.peer.is_some() || self.peer_name.is_some()
    }

    /// The host that stands behind numbers on this trunk (`sip:NUMBER@host`): the account's domain, the peer's name or its
    /// address. Requests go to the peer whatever stands there.
    pub fn host(&self) -> Option<String> {
        let account = self.account.as_ref().map(|account| account.domain.clone());
        let name = || self.peer_name.as_ref().map(ToString::to_string);
        let address = || self.peer.as_ref().map(ToString::to_string);
        account.or_else(name).or_else(address)
    }
}

/// A host name with the port of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The port is the usual one of its transport and need not be shown.
    pub is_usual_port: bool,
}

impl fmt::Display for PeerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_usual_port {
            true => formatter.write_str(&self.host),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

/// An account at a registrar: one registration for the whole trunk.
#[derive(Clone, Debug)]
pub struct Account {
    /// User part of our address there.
    pub user: String,
    /// Domain of our address there, with `:port` if it needs one; the Request-URI of REGISTER.
    pub domain: String,
    /// How long a registration should last; the registrar decides.
    pub expires: Duration,
    /// Register again this often though it lasts longer (keep-alive); none: as late as is safe.
    pub refresh_every: Option<Duration>,
    /// Write the address that the registrar sees us at into Contact (NAT, or connections without a listener).
    pub learned_contact: bool,
    /// Ask for what is registered and change nothing (`weebee check --live`).
    pub only_asks: bool,
}

impl Account {
    /// Our address there, as From and To carry it.
    pub fn address(&self) -> String {
        format!("<sip:{}@{}>", escaped_user(&self.user), self.domain)
    }
}

/// A digest user (RFC 7616, RFC 8760).
#[derive(Clone, Debug)]
pub struct DigestUser {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Pii<String>,
}

/// Policy towards sources that are no trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UnknownSource {
    /// Nothing at all (default).
    #[default]
    Drop,
    /// A stateless digest challenge, at most as long as the request: trunks by digest from any address.
    Challenge,
}
