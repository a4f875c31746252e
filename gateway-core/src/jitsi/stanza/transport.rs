//! Jingle's ICE-UDP transport (XEP-0176) with what hangs in it: fingerprints (XEP-0320), candidates, the bridge channel.
//!
//! Candidates that cannot be used here (host names, TCP, another component) are kept if they parse and left out if not.

use std::net::IpAddr;

use minidom::Element;

use super::build::{Building, element};
use super::{ns, number, word};
use crate::base::limits::{JINGLE_CANDIDATES_MAX, JINGLE_FINGERPRINTS_MAX};
use crate::base::pii::Pii;

/// A `<transport>` of ICE over UDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceTransport {
    /// User fragment and password of ICE.
    pub credentials: Option<Credentials>,
    /// Generation of an ICE restart, counted from 1; absent on the first offer.
    pub generation: Option<u32>,
    /// Fingerprints of the DTLS certificate: one is usual.
    pub fingerprints: Vec<Fingerprint>,
    /// Candidates, at most [`JINGLE_CANDIDATES_MAX`].
    pub candidates: Vec<Candidate>,
    /// Addresses of the bridge's WebSocket, each with its secret.
    pub web_sockets: Vec<Pii<String>>,
    /// Port of the bridge channel over SCTP.
    pub sctp_port: Option<u16>,
}

/// ICE credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User fragment, 1 to 256 characters.
    pub ufrag: String,
    /// Password.
    pub password: Pii<String>,
}

/// A fingerprint as it is written (RFC 8122).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Name of the hash, for example `sha-256`.
    pub hash: String,
    /// `AB:CD:...`.
    pub value: String,
    /// Who begins DTLS.
    pub setup: Option<Setup>,
}

/// Who begins DTLS (RFC 4145).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Either: offers say so.
    ActPass,
    /// The writer begins.
    Active,
    /// The reader begins.
    Passive,
}

/// An ICE candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// Kind.
    pub kind: CandidateKind,
    /// 1 is RTP, and with rtcp-mux the only one.
    pub component: u8,
    /// Transport protocol, lower case: `udp`, `tcp`, `ssltcp`.
    pub protocol: String,
    /// Priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// Foundation.
    pub foundation: String,
    /// Generation; grows when ICE is restarted.
    pub generation: u32,
    /// Its name in the list.
    pub id: String,
    /// Number of the network.
    pub network: u32,
    /// Base or mapped address of what is no host candidate.
    pub related: Option<(IpAddr, u16)>,
}

/// Kind of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandidateKind {
    /// An address of the machine itself.
    Host,
    /// Seen by a STUN server.
    ServerReflexive,
    /// Seen by the peer.
    PeerReflexive,
    /// A relay.
    Relayed,
}

impl IceTransport {
    /// Reads a `<transport>`; what is not understood is left out.
    pub fn read(transport: &Element) -> Self {
        let children =
            |name, namespace| transport.children().filter(move |it| it.is(name, namespace));
        let candidates = children("candidate", ns::JINGLE_ICE_UDP).filter_map(Candidate::read);
        let fingerprints = children("fingerprint", ns::JINGLE_DTLS).filter_map(Fingerprint::read);
        let web_sockets = children("web-socket", ns::COLIBRI);
        let web_sockets = web_sockets.filter_map(|it| word(it, "url").map(Pii::new));
        let sctp = transport.get_child("sctpmap", ns::JINGLE_SCTP);
        Self {
            credentials: Credentials::read(transport),
            generation: number(transport, "ice-generation"),
            fingerprints: fingerprints.take(JINGLE_FINGERPRINTS_MAX).collect(),
            candidates: candidates.take(JINGLE_CANDIDATES_MAX).collect(),
            web_sockets: web_sockets.take(1).collect(),
            sctp_port: sctp.and_then(|it| number(it, "number").or_else(|| number(it, "port"))),
        }
    }

    /// The element.
    pub fn write(&self) -> Element {
        let sctp = self.sctp_port.map(|port| {
            let map = element("sctpmap", ns::JINGLE_SCTP).attr("number", port);
            map.attr("protocol", "webrtc-datachannel").attr("streams", 1024)
        });
        let sockets = self.web_sockets.iter();
        let sockets =
            sockets.map(|url| element("web-socket", ns::COLIBRI).attr("url", url.reveal()));
        let transport = element("transport", ns::JINGLE_ICE_UDP)
            .maybe("ice-generation", self.generation)
            .maybe("ufrag", self.credentials.as_ref().map(|it| &it.ufrag))
            .maybe("pwd", self.credentials.as_ref().map(|it| it.password.reveal()));
        transport
            .children(sockets)
            .children(self.fingerprints.iter().map(Fingerprint::write))
            .children(self.candidates.iter().map(Candidate::write))
            .children(sctp)
            .build()
    }
}

impl Credentials {
    fn read(transport: &Element) -> Option<Self> {
        let (ufrag, password) = (word(transport, "ufrag")?, word(transport, "pwd")?);
        Some(Self { ufrag, password: Pii::new(password) })
    }
}

impl Fingerprint {
    fn read(fingerprint: &Element) -> Option<Self> {
        let value = fingerprint.text();
        // SHA-512 is 191 characters.
        (!value.is_empty() && value.len() <= 256).then_some(())?;
        let setup = fingerprint.attr("setup").and_then(Setup::from_name);
        Some(Self { hash: word(fingerprint, "hash")?, value: value.trim().to_owned(), setup })
    }

    fn write(&self) -> Building {
        let print = element("fingerprint", ns::JINGLE_DTLS).attr("hash", &self.hash);
        print.maybe("setup", self.setup.map(Setup::name)).text(&self.value)
    }
}

impl Setup {
    const ALL: [Self; 3] = [Self::ActPass, Self::Active, Self::Passive];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setup| setup.name() == name)
    }
}

impl Candidate {
    fn read(candidate: &Element) -> Option<Self> {
        let ip = |name| candidate.attr(name)?.parse().ok();
        let kind = candidate.attr("type").and_then(CandidateKind::from_name)?;
        Some(Self {
            ip: ip("ip")?,
            port: number(candidate, "port")?,
            kind,
            component: number(candidate, "component").unwrap_or(1),
            protocol: word(candidate, "protocol")?.to_ascii_lowercase(),
            priority: number(candidate, "priority")?,
            foundation: word(candidate, "foundation").unwrap_or_default(),
            generation: number(candidate, "generation").unwrap_or(0),
            id: word(candidate, "id").unwrap_or_default(),
            network: number(candidate, "network").unwrap_or(0),
            related: ip("rel-addr").zip(number(candidate, "rel-port")),
        })
    }

    fn write(&self) -> Building {
        element("candidate", ns::JINGLE_ICE_UDP)
            .attr("component", self.component)
            .attr("foundation", &self.foundation)
            .attr("generation", self.generation)
            .attr("id", &self.id)
            .attr("ip", self.ip)
            .attr("network", self.network)
            .attr("port", self.port)
            .attr("priority", self.priority)
            .attr("protocol", &self.protocol)
            .attr("type", self.kind.name())
            .maybe("rel-addr", self.related.map(|(ip, _)| ip))
            .maybe("rel-port", self.related.map(|(_, port)| port))
    }
}

impl CandidateKind {
    const ALL: [Self; 4] = [Self::Host, Self::ServerReflexive, Self::PeerReflexive, Self::Relayed];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
