//! Two transports that know each other: a leg's and a stand-in bridge's. Compiled for tests and behind the feature
//! `_testkit` only.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::facts::{
    Candidate, Certificate, IceCredentials, LocalIce, LocalTransport, RemoteIce, RemoteTransport,
    Setup,
};
use super::{DtlsTransport, TransportSettings};
use crate::base::pii::Pii;
use crate::base::rng::Rng;

/// Where the leg is.
pub const LEG: ([u8; 4], u16) = ([192, 0, 2, 1], 20_000);
/// Where its bridge is.
pub const BRIDGE: ([u8; 4], u16) = ([192, 0, 2, 2], 10_000);

/// One certificate for everybody, made once.
pub fn certificate() -> Arc<Certificate> {
    static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
    Arc::clone(CERTIFICATE.get_or_init(|| {
        let made = dimpl::certificate::generate_self_signed_certificate().expect("a key pair");
        let private_key = Pii::new(made.private_key);
        Arc::new(Certificate { der: made.certificate, private_key })
    }))
}

/// The leg's (controlled, passive, opens the channel where `sctp_port` is told) and its bridge's.
pub fn pair(now: Instant, seed: u64, sctp_port: Option<u16>) -> [Box<DtlsTransport>; 2] {
    pair_at(now, seed, sctp_port, [LEG, BRIDGE].map(SocketAddr::from))
}

/// As [`pair`], at these addresses.
pub fn pair_at(
    now: Instant,
    seed: u64,
    sctp_port: Option<u16>,
    [leg, bridge]: [SocketAddr; 2],
) -> [Box<DtlsTransport>; 2] {
    let rng = Rng::from_number(seed);
    let ices = [("leg", leg), ("bridge", bridge)].map(|(name, address)| LocalIce {
        credentials: IceCredentials::random(&mut rng.fork(name)),
        candidates: vec![Candidate::host(address, 0)],
        socket: 0,
    });
    [0, 1].map(|end: usize| {
        let (ours, theirs) = (ices[end].clone(), ices[1 - end].clone());
        let setup = if end == 0 { Setup::Passive } else { Setup::Active };
        let local = LocalTransport { ice: ours, certificate: certificate(), setup };
        let remote = RemoteTransport {
            ice: RemoteIce { credentials: theirs.credentials, candidates: theirs.candidates },
            fingerprints: vec![certificate().fingerprint()],
            setup: Setup::ActPass,
            sctp_port,
        };
        let settings = TransportSettings { controlling: end == 1, opens_channel: end == 0 };
        DtlsTransport::new(now, &local, &remote, settings, rng.fork(&format!("end/{end}")))
    })
}
