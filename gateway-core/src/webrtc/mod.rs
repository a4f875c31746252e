//! Floor 2: the transport of a conference leg: ICE, DTLS 1.2, SRTP and the bridge channel over SCTP, composed.
//!
//! [`transport`] holds the trait in the five verbs; [`facts`] the plain values both sides tell each other by whatever
//! signalling there is. Nothing here knows Jingle, Opus or rooms.

pub mod facts;
pub mod transport;

pub use facts::{
    Candidate, CandidateKind, Certificate, Fingerprint, IceCredentials, LocalIce, LocalTransport,
    RemoteIce, RemoteTransport, Setup,
};
pub use transport::{Transport, TransportCommand, TransportEvent, TransportFailure};
