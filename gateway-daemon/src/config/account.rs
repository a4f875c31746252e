//! Keys of `[[trunk]]` about where its peer is, whom we believe to be it, our account there, and what keeps the way open.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gateway_core::io::signalling::TrunkTls;
use gateway_core::io::xmpp::Trust;
use gateway_core::io::xmpp::tls::certificates;
use gateway_core::sip::trunk::{Account, DigestUser, ListenerConfig, PeerName, SipTransport};

use super::raw::Section;
use super::trunk::Trunk;
use super::typed::Judge;

/// What `keep_alive` asks for: one of these, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keeping {
    pub(super) options_every: Option<Duration>,
    pub(super) lines_every: Option<Duration>,
    pub(super) refresh_every: Option<Duration>,
}

impl Keeping {
    pub(super) fn of(section: &Section) -> Self {
        let every = Some(Duration::from_secs(section.whole("keep_alive_s")));
        let (nothing, registers) = (Self::default(), section.flag("register"));
        match section.text("keep_alive") {
            "options" => Self { options_every: every, ..nothing },
            "auto" if registers => Self { options_every: every, ..nothing },
            "crlf" => Self { lines_every: every, ..nothing },
            "register" => Self { refresh_every: every, ..nothing },
            _ => nothing,
        }
    }
}

impl Judge<'_> {
    /// `peer`: an address, or a name.
    pub(super) fn peer(
        &mut self,
        section: &Section,
        transport: SipTransport,
    ) -> (Option<SocketAddr>, Option<PeerName>) {
        let text = section.text("peer");
        if text.is_empty() {
            let asks = ["options", "crlf"].contains(&section.text("keep_alive"));
            if asks && section.given("keep_alive") {
                self.say(section, "keep_alive", "there is no `peer` to send it to; add peer");
            }
            return (None, None);
        }
        match self.keep(section, "peer", peer(text, transport)) {
            None => (None, None),
            Some(Peer::Address(address)) => (Some(address), None),
            Some(Peer::Name(name)) => (None, Some(name)),
        }
    }

    /// `tls_ca_file` and `tls_insecure`. `None`: not by TLS.
    pub(super) fn trunk_tls(
        &mut self,
        section: &Section,
        transport: SipTransport,
    ) -> Option<TrunkTls> {
        let (ca_file, insecure) = (self.path(section, "tls_ca_file"), section.flag("tls_insecure"));
        if transport != SipTransport::Tls {
            let keys = [("tls_ca_file", ca_file.is_some()), ("tls_insecure", insecure)];
            for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
                self.say(section, key, "has no effect without transport = \"tls\"; add it");
            }
            return None;
        }
        if let Some(file) = &ca_file
            && let Err(problem) = certificates(file)
        {
            self.say(section, "tls_ca_file", problem);
        }
        if insecure && ca_file.is_some() {
            let what = "believes everybody, so tls_ca_file means nothing; remove tls_insecure";
            self.say(section, "tls_insecure", what);
        }
        // RFC 5922: the name that was asked for, not one that a name server gave.
        let name = match (peer(section.text("peer"), transport), section.text("register_server")) {
            (Ok(Peer::Address(_)), server) if is_host(server) => server.to_owned(),
            (Ok(Peer::Address(address)), _) => address.ip().to_string(),
            (Ok(Peer::Name(name)), _) => name.host,
            (Err(_), _) => return None,
        };
        Some(TrunkTls { name, trust: Trust { ca_file, insecure, ..Trust::default() } })
    }

    /// `register` and its neighbours.
    pub(super) fn trunk_account(
        &mut self,
        section: &Section,
        credentials: Option<&DigestUser>,
        refresh_every: Option<Duration>,
    ) -> Option<Account> {
        if !section.flag("register") {
            let others = ["register_user", "register_server"];
            for key in others.into_iter().filter(|key| !section.text(key).is_empty()) {
                self.say(section, key, "has no effect without register = true; add it");
            }
            if refresh_every.is_some() {
                self.say(section, "keep_alive", "\"register\" needs register = true; add it");
            }
            return None;
        }
        let peer = section.text("peer");
        if peer.is_empty() {
            self.say(section, "register", "there is no `peer` to register at; add peer");
        }
        let user = match self.header_text(section, "register_user") {
            user if !user.is_empty() => user,
            _ => credentials.map(|it| it.user.clone()).unwrap_or_default(),
        };
        if user.is_empty() {
            self.say(section, "register", "whom? add credentials = \"name:password\"");
        }
        let server = self.header_text(section, "register_server");
        let domain = if server.is_empty() { peer.to_owned() } else { server };
        if !is_domain(&domain) && section.given("register_server") {
            self.say(section, "register_server", "is no host; write \"example.org\"");
        }
        Some(Account {
            user,
            domain,
            expires: Duration::from_secs(section.whole("register_expires_s")),
            refresh_every,
            learned_contact: section.flag("register_learned"),
            only_asks: false,
        })
    }
}

/// Listeners that accept nothing, for trunks that are reached by a stream where nothing listens. What such a trunk calls us
/// by is the connection itself: its address is what we register.
pub(super) fn add_ways(listeners: &mut Vec<ListenerConfig>, trunks: &mut [Trunk]) {
    let Some(first) = listeners.first().cloned() else { return };
    for trunk in trunks {
        let transport = trunk.sip.transport;
        if transport == SipTransport::Udp || !trunk.sip.has_peer() {
            continue;
        }
        let listens = listeners.iter().find(|it| it.transport == transport).map(|it| it.accepts);
        if listens.is_none() {
            let port = if transport == SipTransport::Tls { 5061 } else { 5060 };
            let at = |address: SocketAddr| SocketAddr::new(address.ip(), port);
            listeners.push(ListenerConfig {
                bind: at(first.bind),
                transport,
                accepts: false,
                advertised: first.advertised.map(at),
                advertised_media: first.advertised_media,
            });
        }
        if listens != Some(true)
            && let Some(account) = &mut trunk.sip.account
        {
            account.learned_contact = true;
        }
    }
}

/// What `peer` may be.
#[derive(Debug, PartialEq, Eq)]
enum Peer {
    Address(SocketAddr),
    Name(PeerName),
}

fn peer(text: &str, transport: SipTransport) -> Result<Peer, String> {
    let usual = if transport == SipTransport::Tls { 5061 } else { 5060 };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Peer::Address(address));
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(Peer::Address(SocketAddr::new(ip, usual)));
    }
    let help = "write \"192.0.2.10:5060\" or \"pbx.example.org\"";
    let (host, port) = match text.split_once(':') {
        None => (text, usual),
        Some((host, port)) => {
            (host, port.parse().map_err(|_| format!("{text:?}: {port:?} is no port; {help}"))?)
        }
    };
    let is_name = is_host(host) && port != 0;
    let is_usual_port = port == usual;
    let name = PeerName { host: host.to_ascii_lowercase(), port, is_usual_port };
    is_name.then_some(Peer::Name(name)).ok_or(format!("{text:?} is no address and no name; {help}"))
}

/// Letters, digits and dashes between dots; not only digits, which is a mistyped address.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let legal = |sign: char| sign.is_ascii_alphanumeric() || sign == '-' || sign == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(legal)
    };
    let is_numeric = text.chars().all(|sign| sign.is_ascii_digit() || sign == '.');
    text.len() <= 253 && !is_numeric && text.trim_end_matches('.').split('.').all(is_label)
}

/// A host or an address, with a port or without.
fn is_domain(text: &str) -> bool {
    peer(text, SipTransport::Udp).is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn read(keys: &str) -> Result<Config, String> {
        let text = format!("[[trunk]]\nname = \"pbx\"\n{keys}[rtp]\nports = \"20000-23999\"\n");
        crate::config::parse("weebee.toml", &text, Path::new(".")).map_err(|it| it.to_string())
    }

    #[test]
    fn a_peer_is_an_address_or_a_name_with_a_port_or_without() {
        let name = |text: &str| match peer(text, SipTransport::Udp) {
            Ok(Peer::Name(name)) => (name.to_string(), name.port),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(name("PBX.example.org"), ("pbx.example.org".to_owned(), 5060));
        assert_eq!(name("pbx:5070"), ("pbx:5070".to_owned(), 5070));
        for (text, address) in [
            ("192.0.2.10:5080", "192.0.2.10:5080"),
            ("192.0.2.10", "192.0.2.10:5060"),
            ("[2001:db8::1]:5080", "[2001:db8::1]:5080"),
            ("2001:db8::1", "[2001:db8::1]:5060"),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(peer(text, SipTransport::Udp), Ok(Peer::Address(address)), "{text}");
        }
        for text in ["192.0.2", "a b", "a..b", ":5060", "pbx:", "pbx:99999", "pbx:0", "sip:pbx"] {
            assert!(peer(text, SipTransport::Udp).is_err(), "{text}");
        }
    }

    #[test]
    fn an_account_comes_from_its_credentials_and_its_peer() {
        let config =
            read("peer = \"pbx.example.org\"\nregister = true\ncredentials = \"6001:secret\"\n");
        let trunk = config.expect("legal").trunks.remove(0).sip;
        let account = trunk.account.clone().expect("registers");
        assert_eq!(account.address(), "<sip:6001@pbx.example.org>");
        assert_eq!(account.expires, Duration::from_secs(600));
        assert_eq!(trunk.qualify_every, Some(Duration::from_secs(25)), "as Jigasi does");
        assert_eq!(trunk.host().as_deref(), Some("pbx.example.org"));
        let config = read(
            "peer = \"192.0.2.1:5070\"\nregister = true\nregister_user = \"600\"\nkeep_alive = \"crlf\"\n\
             register_server = \"example.org\"\ncredentials = \"auth:secret\"\nkeep_alive_s = 40\n",
        );
        let trunk = config.expect("legal").trunks.remove(0).sip;
        let account = trunk.account.clone().expect("registers");
        assert_eq!(account.address(), "<sip:600@example.org>");
        assert_eq!(trunk.keep_alive_every, Some(Duration::from_secs(40)));
        assert_eq!((trunk.qualify_every, account.refresh_every), (None, None));
    }

    #[test]
    fn a_trunk_by_tls_needs_no_listener_and_believes_its_peers_name() {
        let config = read(
            "peer = \"pbx.example.org\"\ntransport = \"tls\"\nregister = true\ncredentials = \"a:b\"\n",
        );
        let config = config.expect("legal");
        let trunk = &config.trunks[0];
        let name = trunk.sip.peer_name.as_ref().expect("a name");
        assert_eq!((name.port, name.to_string()), (5061, "pbx.example.org".to_owned()));
        let tls = trunk.tls.as_ref().expect("by TLS");
        assert_eq!(tls.name, "pbx.example.org");
        assert!(!tls.trust.insecure && tls.trust.ca_file.is_none());
        let way = config.sip.listeners.last().expect("listeners");
        assert_eq!((way.transport, way.accepts, way.bind.port()), (SipTransport::Tls, false, 5061));
        assert!(trunk.sip.account.as_ref().is_some_and(|account| account.learned_contact));
        let config = read(
            "peer = \"192.0.2.1\"\ntransport = \"tls\"\nregister = true\ncredentials = \"a:b\"\n\
             register_server = \"example.org\"\ntls_insecure = true\n",
        );
        let tls = config.expect("legal").trunks.remove(0).tls.expect("by TLS");
        assert_eq!((tls.name.as_str(), tls.trust.insecure), ("example.org", true));
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_remedy() {
        for (keys, wanted) in [
            ("sources = [\"192.0.2.1\"]\nregister = true\ncredentials = \"a:b\"\n", "add peer"),
            ("peer = \"pbx\"\nregister = true\n", "add credentials"),
            ("peer = \"pbx\"\nregister_user = \"a\"\n", "add it"),
            ("peer = \"pbx\"\nkeep_alive = \"register\"\n", "needs register = true"),
            ("peer = \"192.0.2\"\n", "is no address and no name"),
            ("peer = \"pbx\"\ntls_insecure = true\n", "without transport = \"tls\""),
            ("peer = \"pbx\"\ntransport = \"tls\"\ntls_ca_file = \"nothing.pem\"\n", "nothing.pem"),
            (
                "peer = \"pbx\"\nregister = true\ncredentials = \"a:b\"\nregister_server = \"x y\"\n",
                "is no host",
            ),
        ] {
            let said = read(keys).expect_err(keys);
            assert!(said.contains(wanted), "{keys}: {said}");
        }
    }
}
