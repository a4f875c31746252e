//! SIP messages as values: a thin cover over the parser crate, so that the crate can be swapped behind it.
//!
//! Holds what the machines read from messages ([`Incoming`], [`text`], [`body`]) and how they write them
//! ([`build`]). Refuses to keep state or to know the time. Every byte here may come from an enemy: nothing panics.

pub mod body;
pub mod build;
pub mod incoming;
pub mod text;

pub use sipx_sip::headers::{Address, Contact, RecordRoute, Via};
pub use sipx_sip::{
    Header, HeaderName, Headers, Host, Limits, Message, Method, Request, Response, StatusCode, Uri,
    parse_datagram,
};

pub use incoming::{Incoming, IncomingResponse, Malformed};

use crate::base::limits;

/// Bounds of one message, on datagrams and streams alike.
pub fn message_limits() -> Limits {
    Limits {
        max_message_bytes: limits::SIP_MESSAGE_BYTES_MAX,
        max_body_bytes: limits::SIP_MESSAGE_BYTES_MAX,
        ..Limits::datagram()
    }
}
