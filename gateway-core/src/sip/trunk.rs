//! Trunks and listeners as configuration: who may call, from where, with which secrets.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SipTransport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// Streams under TLS: the seam is here, the driver follows.
    Tls,
}

/// One SIP listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Address bound.
    pub bind: SocketAddr,
    /// Transport.
    pub transport: SipTransport,
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
    /// Where we send our own INVITE and OPTIONS, if we call it.
    pub peer: Option<SocketAddr>,
    /// Transport towards `peer`.
    pub transport: SipTransport,
    /// Credentials for the peer's challenges (outbound).
    pub credentials: Option<DigestUser>,
    /// Send OPTIONS this often and keep an up/down state; none: do not.
    pub qualify_every: Option<Duration>,
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
