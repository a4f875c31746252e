//! Where an XMPP server is reached and what is believed about it. [`XmppSite`] is the typed form of a deployment's
//! connection settings; who a stream is opened as comes with each stream (`leg::backend::StreamAccount`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One deployment's XMPP server.
#[derive(Clone, Debug)]
pub struct XmppSite {
    /// Its name in logs and counters.
    pub name: String,
    /// The XMPP domain our accounts live in: `to` of the stream, and the name its certificate must carry on TCP.
    pub domain: String,
    /// The way in.
    pub transport: Transport,
    /// Whom to believe.
    pub trust: Trust,
    /// A stream without any traffic is pinged (XEP-0199) this often. Short finds a dead server sooner, and costs a
    /// packet per stream each time. An answer must come within [`super::connection::PING_PATIENCE`].
    pub ping_every: Duration,
    /// Patience for the way from the first packet to a bound stream.
    pub open_within: Duration,
    /// Where the focus is asked by HTTP instead of IQ.
    pub conference_request: Option<WebAddress>,
    /// Visitor nodes of very large meetings, where phones may be sent to such.
    pub visitors: Option<VisitorWays>,
}

/// How visitor nodes are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorWays {
    /// A node's host is its name and this: `v1.meet.jitsi`.
    pub domain: String,
    /// Ways in of nodes by their names. Others are reached as the main server: on the web by the same address with `?vnode=`,
    /// by TCP at the node's host and the main server's port.
    pub nodes: BTreeMap<String, Transport>,
}

impl XmppSite {
    /// The same for a tenant. By TCP all tenants share one way in.
    pub fn of_tenant(&self, tenant: &str) -> Self {
        let transport = match &self.transport {
            Transport::Tcp { .. } => self.transport.clone(),
            Transport::WebSocket(address) => Transport::WebSocket(address.of_tenant(tenant)),
            Transport::Bosh(address) => Transport::Bosh(address.of_tenant(tenant)),
        };
        Self { transport, ..self.clone() }
    }

    /// The visitor node of that name. `None`: there are no nodes.
    pub fn of_node(&self, name: &str) -> Option<Self> {
        let ways = self.visitors.as_ref()?;
        let domain = format!("{name}.{}", ways.domain);
        let transport = match (ways.nodes.get(name), &self.transport) {
            (Some(way), _) => way.clone(),
            (None, Transport::Tcp { port, encryption, .. }) => {
                Transport::Tcp { host: domain.clone(), port: *port, encryption: *encryption }
            }
            (None, web) => web.clone(),
        };
        // A certificate with the main server's name is the web server's alone.
        let has_own = matches!(transport, Transport::Tcp { .. });
        let trust =
            Trust { name: self.trust.name.clone().filter(|_| !has_own), ..self.trust.clone() };
        Some(Self { domain, transport, trust, ..self.clone() })
    }
}

/// The way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, with StartTLS as `encryption` says.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port, usually 5222.
        port: u16,
        /// What is asked of StartTLS.
        encryption: Encryption,
    },
    /// WebSocket (RFC 7395), for sites that look at `?room=` and `?token=`.
    WebSocket(WebAddress),
    /// BOSH (XEP-0124, XEP-0206), for sites that have nothing else.
    Bosh(WebAddress),
}

/// What is asked of StartTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// A server that does not offer it is not talked to.
    Required,
    /// Never: for a server on this very machine.
    Off,
}

/// Address of a WebSocket or BOSH endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress {
    /// `wss` or `https`.
    pub secure: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path, beginning with a slash; no query.
    pub path: String,
}

impl WebAddress {
    /// The same for a tenant: its name comes first in the path, as in the web client's configuration.
    pub fn of_tenant(&self, tenant: &str) -> Self {
        Self { path: format!("/{tenant}{}", self.path), ..self.clone() }
    }

    /// From `wss://host[:port]/path` (also `ws`, `https`, `http`). A query or fragment is refused: room and token are
    /// added per stream.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let (scheme, rest) = text.split_once("://").ok_or(BadAddress)?;
        let secure = match scheme {
            "wss" | "https" => true,
            "ws" | "http" => false,
            _ => return Err(BadAddress),
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let legal = |sign: char| sign.is_ascii_graphic() && !matches!(sign, '?' | '#' | '"' | '\\');
        if !path.chars().all(legal) || authority.contains('@') {
            return Err(BadAddress);
        }
        let default_port = if secure { 443 } else { 80 };
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or(BadAddress)?;
                (host, rest.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| BadAddress))?;
        let is_host = |sign: char| sign.is_alphanumeric() || matches!(sign, '.' | '-' | ':' | '_');
        if host.is_empty() || port == 0 || !host.chars().all(is_host) {
            return Err(BadAddress);
        }
        Ok(Self { secure, host: host.to_owned(), port, path: path.to_owned() })
    }

    /// `host` or `host:port` as a Host header says it.
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Path with room, token and other parameters as a query.
    pub fn target(&self, parameters: &[(&str, &str)]) -> String {
        let mut target = self.path.clone();
        for (index, (name, value)) in parameters.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            percent_encode(value, &mut target);
        }
        target
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let safety = if self.secure { "(TLS) " } else { "" };
        write!(formatter, "{safety}{}{}", self.authority(), self.path)
    }
}

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as wss://meet.example.org/xmpp-websocket, without ? and #")]
pub struct BadAddress;

/// RFC 3986 §2.3: everything but unreserved characters is encoded.
fn percent_encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Whom to believe. By default the certificates the operating system trusts, for the right name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificates (PEM) believed beside those of the operating system: an authority, or the server's own.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the server's certificate (DER). Given: the certificate must be this one, and nothing else about it
    /// matters, neither its name nor its age.
    pub pins: Vec<[u8; 32]>,
    /// The name its certificate must carry where that is not the usual one (the domain on TCP, the host on the web).
    pub name: Option<String>,
    /// Believe any certificate: anybody on the way can listen and change. Warned about at every start.
    pub insecure: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_port() {
        let address = WebAddress::parse("wss://meet.example.org/xmpp-websocket").expect("good");
        assert_eq!((address.secure, address.port), (true, 443));
        assert_eq!(address.authority(), "meet.example.org");
        let address = WebAddress::parse("http://[::1]:5280/http-bind").expect("good");
        assert_eq!((address.secure, address.port, address.host.as_str()), (false, 5280, "::1"));
        assert_eq!(address.authority(), "[::1]:5280");
        assert_eq!(WebAddress::parse("ws://10.0.0.5").expect("good").path, "/");
    }

    #[test]
    fn a_node_is_reached_by_its_own_way_or_as_the_main_server() {
        let tcp = |host: &str, port| Transport::Tcp {
            host: host.to_owned(),
            port,
            encryption: Encryption::Required,
        };
        let web = Transport::WebSocket(WebAddress::parse("wss://meet.test/ws").expect("good"));
        let site = |transport: &Transport| XmppSite {
            name: "jitsi".to_owned(),
            domain: "phones.meet.test".to_owned(),
            transport: transport.clone(),
            trust: Trust { name: Some("meet.test".to_owned()), ..Trust::default() },
            ping_every: Duration::from_secs(30),
            open_within: Duration::from_secs(15),
            conference_request: None,
            visitors: Some(VisitorWays {
                domain: "meet.jitsi".to_owned(),
                nodes: BTreeMap::from([("v2".to_owned(), tcp("10.0.0.2", 52_222))]),
            }),
        };
        let reached = |transport: &Transport, name: &str| {
            let node = site(transport).of_node(name).expect("a node");
            (node.domain, node.transport, node.trust.name)
        };
        let v1 = "v1.meet.jitsi".to_owned();
        let main = Some("meet.test".to_owned());
        assert_eq!(reached(&web, "v1"), (v1.clone(), web.clone(), main));
        assert_eq!(reached(&tcp("main", 5_222), "v1"), (v1.clone(), tcp(&v1, 5_222), None));
        assert_eq!(
            reached(&web, "v2"),
            ("v2.meet.jitsi".to_owned(), tcp("10.0.0.2", 52_222), None)
        );
        assert_eq!(XmppSite { visitors: None, ..site(&web) }.of_node("v1").map(|it| it.name), None);
    }

    #[test]
    fn nonsense_is_no_address() {
        for text in [
            "meet.example.org",
            "ftp://a/b",
            "wss:///x",
            "wss://a:0/",
            "wss://a:99999/",
            "wss://u@a/",
            "wss://a/b?room=x",
            "wss://a/b c",
            "wss://a b/",
            "wss://[::1/",
        ] {
            assert_eq!(WebAddress::parse(text), Err(BadAddress), "{text}");
        }
    }

    #[test]
    fn parameters_cannot_escape_their_place() {
        let address = WebAddress::parse("wss://a/x").expect("good");
        let target = address.target(&[("room", "чай & co/#1"), ("token", "a.b-c_d")]);
        assert_eq!(target, "/x?room=%D1%87%D0%B0%D0%B9%20%26%20co%2F%231&token=a.b-c_d");
    }
}
