//! Floor 2: the transport of a conference leg: ICE, DTLS 1.2, SRTP and the bridge channel over SCTP, composed.
//!
//! [`transport`] holds the trait in the five verbs; [`facts`] the plain values both sides tell each other by whatever
//! signalling there is. Nothing here knows Jingle, Opus or rooms.

mod channel;
mod dtls;
pub mod dtls_transport;
pub mod facts;
mod ice;
mod outbox;
pub mod plain_transport;
mod pulse;
#[cfg(any(test, feature = "_testkit"))]
pub mod testkit;
pub mod transport;

pub use dtls_transport::{DtlsTransport, TransportSettings};
pub use facts::{
    Candidate, CandidateKind, Certificate, Fingerprint, FingerprintHash, IceCredentials, LocalIce,
    LocalTransport, RemoteIce, RemoteTransport, Setup,
};
pub use plain_transport::PlainTransport;
pub use transport::{Transport, TransportCommand, TransportEvent, TransportFailure};
