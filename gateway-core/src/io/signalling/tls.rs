//! TLS of SIP connections: our certificate towards those who connect, and what we believe of those we connect to.
//!
//! Which settings hold for a connection of ours follows from its address: that of a trunk's peer, or one its name had. Any other
//! address (a Contact inside a dialog) must show a certificate for itself that the operating system's authorities signed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::warn;

use crate::base::ids::{ListenerId, TrunkId};
use crate::io::xmpp::tls::{certificates, client_config, failure_of};
use crate::io::xmpp::{Failure, Trust};
use crate::sip::endpoint::EndpointConfig;
use crate::sip::trunk::SipTransport;

/// Settings of SIP under TLS.
#[derive(Clone, Debug, Default)]
pub struct SipTls {
    /// Our certificate (chain, PEM) and its key, for listeners.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Of trunks reached by TLS.
    pub trunks: Vec<(TrunkId, TrunkTls)>,
}

/// Whom we believe to be a trunk's peer.
#[derive(Clone, Debug)]
pub struct TrunkTls {
    /// The name or address its certificate must carry.
    pub name: String,
    /// Who may have signed it.
    pub trust: Trust,
}

/// TLS as connections need it.
pub struct TlsSides {
    /// Listeners whose connections are under TLS.
    listeners: Vec<ListenerId>,
    server: Option<TlsAcceptor>,
    trunks: BTreeMap<TrunkId, Client>,
    by_address: BTreeMap<SocketAddr, TrunkId>,
    /// For addresses of no trunk.
    others: Option<Arc<ClientConfig>>,
    complaints: Arc<Complaints>,
}

/// What a handshake needs.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    to: Option<SocketAddr>,
    complaints: Arc<Complaints>,
}

/// The last complaint about each address: the same one is logged once.
#[derive(Default)]
struct Complaints(Mutex<BTreeMap<SocketAddr, String>>);

impl TlsSides {
    /// Reads certificates and keys; what cannot be used is added to `problems`.
    pub fn new(settings: &SipTls, endpoint: &EndpointConfig, problems: &mut Vec<String>) -> Self {
        let complaints = Arc::new(Complaints::default());
        let is_tls = |transport: SipTransport| transport == SipTransport::Tls;
        let listeners: Vec<ListenerId> = (0u16..)
            .map(ListenerId)
            .zip(&endpoint.listeners)
            .filter_map(|(id, listener)| is_tls(listener.transport).then_some(id))
            .collect();
        let mut sides = Self {
            listeners,
            server: None,
            trunks: BTreeMap::new(),
            by_address: BTreeMap::new(),
            others: None,
            complaints,
        };
        if sides.listeners.is_empty() {
            return sides;
        }
        let accepts = endpoint.listeners.iter().any(|it| is_tls(it.transport) && it.accepts);
        match (&settings.certificate, accepts) {
            (Some(files), true) => match acceptor(files) {
                Ok(server) => sides.server = Some(server),
                Err(problem) => problems.push(problem),
            },
            (None, true) => problems.push(
                "a TLS listener needs a certificate: set tls_certificate_file and tls_key_file"
                    .to_owned(),
            ),
            (_, false) => {}
        }
        // Without any authority on this machine, addresses of no trunk cannot be believed; trunks have their own.
        sides.others = client_config(&Trust::default()).ok();
        for (trunk, tls) in &settings.trunks {
            match sides.client_of(tls) {
                Ok(client) => drop(sides.trunks.insert(*trunk, client)),
                Err(problem) => problems.push(problem),
            }
        }
        for (id, trunk) in (0u16..).map(TrunkId).zip(&endpoint.trunks) {
            if let Some(address) = trunk.peer.filter(|_| is_tls(trunk.transport)) {
                sides.by_address.insert(address, id);
            }
        }
        sides
    }

    fn client_of(&self, tls: &TrunkTls) -> Result<Client, String> {
        let config = client_config(&tls.trust)?;
        let name = ServerName::try_from(tls.name.clone())
            .map_err(|_| format!("{:?} is no name for a certificate", tls.name))?;
        Ok(Client { config, name, to: None, complaints: Arc::clone(&self.complaints) })
    }

    /// The name of a trunk's peer has these addresses now.
    pub fn resolved(&mut self, trunk: TrunkId, addresses: &[SocketAddr]) {
        if self.trunks.contains_key(&trunk) && !addresses.is_empty() {
            self.by_address.retain(|_, id| *id != trunk);
            self.by_address.extend(addresses.iter().map(|address| (*address, trunk)));
        }
    }

    /// How to greet who connects to this listener. `None`: in the clear.
    pub fn server(&self, listener: ListenerId) -> Option<TlsAcceptor> {
        self.server.clone().filter(|_| self.listeners.contains(&listener))
    }

    /// How to greet `to` on a connection of ours. `None`: in the clear.
    pub fn client(&self, listener: ListenerId, to: SocketAddr) -> Option<Client> {
        if !self.listeners.contains(&listener) {
            return None;
        }
        let of_trunk = self.by_address.get(&to).and_then(|id| self.trunks.get(id)).cloned();
        let client = of_trunk.or_else(|| {
            let config = Arc::clone(self.others.as_ref()?);
            let name = ServerName::IpAddress(to.ip().into());
            Some(Client { config, name, to: None, complaints: Arc::clone(&self.complaints) })
        });
        // Never in the clear by mistake: without settings nobody is believed.
        let client = client.unwrap_or_else(|| Client {
            config: nobody(),
            name: ServerName::IpAddress(to.ip().into()),
            to: None,
            complaints: Arc::clone(&self.complaints),
        });
        Some(Client { to: Some(to), ..client })
    }
}

impl Client {
    /// The handshake. `None`: it failed, and the log says why.
    pub async fn greet(self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.config);
        let greeted = connector.connect(self.name, stream).await;
        let to = self.to?;
        match greeted {
            Ok(stream) => {
                self.complaints.forget(to);
                Some(stream)
            }
            Err(error) => {
                self.complaints.say(to, in_words(&failure_of(&error)));
                None
            }
        }
    }
}

impl Complaints {
    fn say(&self, to: SocketAddr, text: String) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&to) != Some(&text) {
            warn!(%to, "SIP over TLS: {text}");
            last.insert(to, text);
        }
    }

    fn forget(&self, to: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&to);
    }
}

/// Why nobody is believed there, and what to do.
fn in_words(failure: &Failure) -> String {
    let words = match failure {
        Failure::TlsName => {
            "the certificate is for another name; write that name as peer, or as register_server"
        }
        Failure::TlsUnknownIssuer => {
            "nobody trusted has signed the certificate; set tls_ca_file to its authority or to itself"
        }
        Failure::TlsExpired => "the certificate has expired, or a clock is wrong; renew it",
        other => return other.to_string(),
    };
    words.to_owned()
}

fn acceptor((certificate, key): &(PathBuf, PathBuf)) -> Result<TlsAcceptor, String> {
    let chain = certificates(certificate)?;
    let name = key.display();
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("{name}: {error}; it must be a PEM file with a private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            format!("{} and {name} do not belong together: {error}", certificate.display())
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Believes nobody.
fn nobody() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.expect("the usual versions are among those of the provider");
    let config = builder.with_root_certificates(rustls::RootCertStore::empty());
    Arc::new(config.with_no_client_auth())
}
