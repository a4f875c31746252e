//! What the two ends of a transport tell each other through signalling: credentials, candidates, fingerprints, roles.
//!
//! Plain values. How they travel (Jingle, SDP, a test) is not known here.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::base::pii::Pii;
use crate::base::rng::Rng;

/// ICE credentials of one generation (RFC 8445 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCredentials {
    /// User name fragment.
    pub ufrag: String,
    /// Password: whoever knows it can take the media path over.
    pub password: Pii<String>,
}

impl IceCredentials {
    /// Credentials from our own dice: 8 and 24 characters of 36, so 124 unguessable bits in the password alone and
    /// 165 in both.
    pub fn random(rng: &mut Rng) -> Self {
        Self { ufrag: rng.token(8), password: Pii::new(rng.token(24)) }
    }
}

/// Kind of a candidate (RFC 8445 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// An address of the host itself.
    Host,
    /// Seen by a STUN server.
    ServerReflexive,
    /// Seen by the peer.
    PeerReflexive,
    /// Of a relay.
    Relayed,
}

/// One candidate, ours or theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is reached.
    pub address: SocketAddr,
    /// Its kind.
    pub kind: CandidateKind,
    /// Component: 1 is RTP, and the only one used.
    pub component: u8,
    /// Over UDP; candidates of another protocol are ignored.
    pub udp: bool,
    /// Priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// Foundation.
    pub foundation: String,
}

impl Candidate {
    /// A host candidate of ours, the `place`-th of its transport.
    pub fn host(address: SocketAddr, place: u16) -> Self {
        let local_preference = u32::from(u16::MAX - place);
        Self {
            address,
            kind: CandidateKind::Host,
            component: 1,
            udp: true,
            priority: (126 << 24) | (local_preference << 8) | 255,
            foundation: (place + 1).to_string(),
        }
    }
}

/// Who begins the DTLS handshake (RFC 4145, RFC 5763 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// An offer: the other side chooses.
    ActPass,
    /// DTLS client.
    Active,
    /// DTLS server.
    Passive,
}

/// Hash of a certificate, as signalling tells it (RFC 8122).
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Which hash.
    pub hash: FingerprintHash,
    /// Its bytes: 32, 48 or 64.
    pub bytes: Vec<u8>,
}

/// Hashes a fingerprint may use. Weaker ones are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintHash {
    /// `sha-256`.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl FingerprintHash {
    /// By its name in signalling, without case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Its name in signalling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(hash: FingerprintHash, der: &[u8]) -> Self {
        Self { hash, bytes: digest::digest(hash.algorithm(), der).as_ref().to_vec() }
    }

    /// From `AB:CD:...`, in either case. `None`: not hexadecimal, or not the length of the hash.
    pub fn parse(hash: FingerprintHash, text: &str) -> Option<Self> {
        let bytes: Option<Vec<u8>> = text
            .trim()
            .split(':')
            .map(|pair| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten())
            .collect();
        let bytes = bytes.filter(|bytes| bytes.len() == hash.algorithm().output_len())?;
        Some(Self { hash, bytes })
    }

    /// Whether the certificate has it.
    pub fn matches(&self, der: &[u8]) -> bool {
        Self::of(self.hash, der).bytes == self.bytes
    }
}

impl fmt::Display for Fingerprint {
    /// `AB:CD:...`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.bytes.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(formatter, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {self}", self.hash.name())
    }
}

/// Our DTLS certificate and its key: self-signed P-256, made outside (`io`), shared by all legs of a day.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Its private key, PKCS #8 DER.
    pub private_key: Pii<Vec<u8>>,
}

impl Certificate {
    /// What signalling tells of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(FingerprintHash::Sha256, &self.der)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificate({:?})", self.fingerprint())
    }
}

/// Our side of one ICE generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalIce {
    /// Our credentials.
    pub credentials: IceCredentials,
    /// What we advertise. The first is the socket's own address as our ICE agent sees it; others are only told.
    pub candidates: Vec<Candidate>,
    /// Which of the leg's conference sockets carries it: 0 or 1, in turn.
    pub socket: u8,
}

/// Their side of one ICE generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteIce {
    /// Their credentials.
    pub credentials: IceCredentials,
    /// Theirs so far; more may trickle in. None at all is fine: their checks tell.
    pub candidates: Vec<Candidate>,
}

/// Our side of a transport.
#[derive(Clone, Debug)]
pub struct LocalTransport {
    /// ICE.
    pub ice: LocalIce,
    /// Our certificate.
    pub certificate: Arc<Certificate>,
    /// What we answered: `Passive` (default) or `Active`. `ActPass` counts as `Passive`.
    pub setup: Setup,
}

/// Their side of a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTransport {
    /// ICE.
    pub ice: RemoteIce,
    /// Fingerprints of their certificate: one must match.
    pub fingerprints: Vec<Fingerprint>,
    /// What they offered.
    pub setup: Setup,
    /// Their SCTP port, where they offer a bridge channel over it.
    pub sctp_port: Option<u16>,
}
