//! Between the words of Jingle and those of the transport: credentials, candidates, fingerprints, roles.

use std::net::SocketAddr;

use crate::jitsi::stanza::transport as jingle;
use crate::webrtc::facts::FingerprintHash;
use crate::webrtc::{
    Candidate, CandidateKind, Fingerprint, IceCredentials, LocalIce, LocalTransport, RemoteIce,
    RemoteTransport, Setup,
};

/// Their side of an offer. `None`: no credentials, or no fingerprint of a hash we accept.
pub(super) fn remote_transport(offer: &jingle::IceTransport) -> Option<RemoteTransport> {
    let ice = remote_ice(offer)?;
    let fingerprints: Vec<Fingerprint> =
        offer.fingerprints.iter().filter_map(fingerprint).collect();
    let setup = offer.fingerprints.iter().find_map(|it| it.setup).map_or(Setup::ActPass, theirs);
    let sctp_port = offer.sctp_port;
    (!fingerprints.is_empty()).then_some(RemoteTransport { ice, fingerprints, setup, sctp_port })
}

/// Their credentials and candidates; `None`: no credentials.
pub(super) fn remote_ice(offer: &jingle::IceTransport) -> Option<RemoteIce> {
    let credentials = offer.credentials.as_ref()?;
    let credentials =
        IceCredentials { ufrag: credentials.ufrag.clone(), password: credentials.password.clone() };
    Some(RemoteIce { credentials, candidates: candidates(&offer.candidates) })
}

/// Their candidates; which of them are of use is the transport's matter.
pub(super) fn candidates(theirs: &[jingle::Candidate]) -> Vec<Candidate> {
    let candidate = |it: &jingle::Candidate| Candidate {
        address: SocketAddr::new(it.ip, it.port),
        kind: match it.kind {
            jingle::CandidateKind::Host => CandidateKind::Host,
            jingle::CandidateKind::ServerReflexive => CandidateKind::ServerReflexive,
            jingle::CandidateKind::PeerReflexive => CandidateKind::PeerReflexive,
            jingle::CandidateKind::Relayed => CandidateKind::Relayed,
        },
        component: it.component,
        udp: it.protocol == "udp",
        priority: it.priority,
        foundation: it.foundation.clone(),
    };
    theirs.iter().map(candidate).collect()
}

fn fingerprint(theirs: &jingle::Fingerprint) -> Option<Fingerprint> {
    Fingerprint::parse(FingerprintHash::from_name(&theirs.hash)?, &theirs.value)
}

fn theirs(setup: jingle::Setup) -> Setup {
    match setup {
        jingle::Setup::ActPass => Setup::ActPass,
        jingle::Setup::Active => Setup::Active,
        jingle::Setup::Passive => Setup::Passive,
    }
}

/// Our side, for an answer.
pub(super) fn local_transport(
    ours: &LocalTransport,
    sctp_port: Option<u16>,
) -> jingle::IceTransport {
    let own = ours.certificate.fingerprint();
    let setup = match ours.setup {
        Setup::Active => jingle::Setup::Active,
        Setup::Passive | Setup::ActPass => jingle::Setup::Passive,
    };
    let fingerprint = jingle::Fingerprint {
        hash: own.hash.name().to_owned(),
        value: own.to_string(),
        setup: Some(setup),
    };
    jingle::IceTransport { fingerprints: vec![fingerprint], sctp_port, ..local_ice(&ours.ice, 0) }
}

/// Our credentials and candidates, as those of a generation.
pub(super) fn local_ice(ours: &LocalIce, generation: u32) -> jingle::IceTransport {
    let candidate = |(place, it): (usize, &Candidate)| jingle::Candidate {
        ip: it.address.ip(),
        port: it.address.port(),
        kind: jingle::CandidateKind::Host,
        component: it.component,
        protocol: "udp".to_owned(),
        priority: it.priority,
        foundation: it.foundation.clone(),
        generation,
        id: format!("{}-{generation}-{place}", ours.credentials.ufrag),
        network: 0,
        related: None,
    };
    let IceCredentials { ufrag, password } = ours.credentials.clone();
    jingle::IceTransport {
        credentials: Some(jingle::Credentials { ufrag, password }),
        candidates: ours.candidates.iter().enumerate().map(candidate).collect(),
        ..jingle::IceTransport::default()
    }
}
