//! Whom a test phone calls: a SIP URI with a host that this machine can resolve.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use gateway_core::sip::trunk::SipTransport;

/// A SIP URI with the address it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Request-URI.
    pub uri: String,
    /// Where it leads.
    pub address: SocketAddr,
    /// By which transport.
    pub transport: SipTransport,
}

impl Target {
    /// Reads `sip:user@host[:port][;transport=udp|tcp]`. The host may be a name; its first address counts.
    pub fn parse(text: &str) -> Result<Self, String> {
        let help = "write sip:pin@127.0.0.1:5060 or sip:pin@host;transport=tcp";
        let rest = text.strip_prefix("sip:").ok_or_else(|| match text.starts_with("sips:") {
            true => format!("TLS is not there yet; {help}"),
            false => format!("{text:?} is no SIP URI; {help}"),
        })?;
        if text
            .chars()
            .any(|sign| sign.is_control() || sign.is_whitespace() || "<>\"".contains(sign))
        {
            return Err(format!("a SIP URI has no spaces, quotes or angle brackets; {help}"));
        }
        let (place, parameters) = rest.split_once(';').unwrap_or((rest, ""));
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        let transport = parameters.split(';').find_map(|part| part.strip_prefix("transport="));
        let transport = match transport.map(str::to_ascii_lowercase).as_deref() {
            None | Some("udp") => SipTransport::Udp,
            Some("tcp") => SipTransport::Tcp,
            Some(other) => return Err(format!("transport {other:?} is not known; {help}")),
        };
        let address = address(host).map_err(|what| format!("{what}; {help}"))?;
        Ok(Self { uri: text.to_owned(), address, transport })
    }
}

fn address(host: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, SIP_PORT));
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().map_err(|_| format!("{port:?} is no port"))?),
        None => (host, SIP_PORT),
    };
    let mut found = (name, port).to_socket_addrs().map_err(|error| format!("{name:?}: {error}"))?;
    found.next().ok_or_else(|| format!("{name:?} has no address"))
}

const SIP_PORT: u16 = 5060;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_lead_to_addresses() {
        let cases = [
            ("sip:pin@127.0.0.1", "127.0.0.1:5060", SipTransport::Udp),
            ("sip:pin@127.0.0.1:5070;transport=tcp", "127.0.0.1:5070", SipTransport::Tcp),
            ("sip:[::1]:5070", "[::1]:5070", SipTransport::Udp),
            ("sip:600@[::1];transport=UDP;x=y", "[::1]:5060", SipTransport::Udp),
        ];
        for (text, address, transport) in cases {
            let target = Target::parse(text).expect(text);
            assert_eq!(
                (target.address.to_string().as_str(), target.transport),
                (address, transport)
            );
            assert_eq!(target.uri, text);
        }
        for bad in [
            "pin",
            "sips:a@b",
            "sip:a@127.0.0.1:x",
            "sip:a b@127.0.0.1",
            "sip:a@127.0.0.1;transport=tls",
        ] {
            let error = Target::parse(bad).expect_err(bad);
            assert!(error.contains("write sip:"), "{error}");
        }
    }
}
