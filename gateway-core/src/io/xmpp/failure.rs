//! Why a stream could not be opened, or ended: what a person can act on, with the remedy, and what the backend is told.

use std::fmt;

use crate::leg::backend::StreamDownReason;

/// Why a stream is down. `Display` is a sentence without names, addresses or secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The host name has no address.
    NameNotFound,
    /// Nobody listens there.
    Refused,
    /// No way to the host, or the connection broke.
    Unreachable(std::io::ErrorKind),
    /// Not open within the time.
    TimedOut(Step),
    /// The server offers no StartTLS.
    TlsMissing,
    /// The certificate is not for this name.
    TlsName,
    /// The certificate is too old, or not valid yet: or one of the clocks is wrong.
    TlsExpired,
    /// Nobody we trust has signed the certificate.
    TlsUnknownIssuer,
    /// The certificate is not the pinned one.
    TlsPin,
    /// The TLS handshake failed otherwise.
    TlsOther(String),
    /// The server refuses user, password or token. Holds the condition and its text.
    AuthenticationFailed(String),
    /// The server offers no way to authenticate that suits our account.
    MechanismMissing {
        /// What it offers.
        offered: String,
        /// What our account can do.
        wanted: &'static str,
    },
    /// The server proved during SCRAM that it does not know the password.
    ServerUnproven,
    /// The server does not serve this domain.
    HostUnknown,
    /// A policy of the server: too many connections, rate limits.
    PolicyViolation,
    /// Another stream took our address.
    Replaced,
    /// The server shuts down.
    ShuttingDown,
    /// The server refused a resource.
    BindRefused(String),
    /// Another stream error.
    StreamError(String),
    /// The web server answered something else than a WebSocket or BOSH endpoint.
    HttpStatus(u16),
    /// What came is no XMPP.
    NotXmpp(&'static str),
    /// A stanza above the cap.
    Oversized,
    /// More stanzas wait for the server than we keep.
    QueueFull,
    /// The server ended the stream without a reason.
    Closed,
    /// The server does not answer pings.
    Silent,
}

/// How far the opening had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connecting.
    Connect,
    /// TLS.
    Tls,
    /// HTTP upgrade.
    Upgrade,
    /// Stream header and features.
    Features,
    /// SASL.
    Authentication,
    /// Resource binding, stream management.
    Binding,
    /// Writing to a server that does not read.
    Write,
}

impl Failure {
    /// What the backend is told.
    pub fn reason(&self) -> StreamDownReason {
        match self {
            Self::NameNotFound | Self::Refused | Self::Unreachable(_) | Self::TimedOut(_) => {
                StreamDownReason::Unreachable
            }
            Self::TlsName
            | Self::TlsExpired
            | Self::TlsUnknownIssuer
            | Self::TlsPin
            | Self::TlsOther(_) => StreamDownReason::Certificate,
            Self::AuthenticationFailed(_)
            | Self::MechanismMissing { .. }
            | Self::ServerUnproven => StreamDownReason::NotAuthorized,
            Self::PolicyViolation
            | Self::Replaced
            | Self::ShuttingDown
            | Self::StreamError(_)
            | Self::Closed => StreamDownReason::ClosedByServer,
            Self::Silent | Self::QueueFull => StreamDownReason::Silent,
            Self::TlsMissing
            | Self::HostUnknown
            | Self::BindRefused(_)
            | Self::HttpStatus(_)
            | Self::NotXmpp(_)
            | Self::Oversized => StreamDownReason::Protocol,
        }
    }

    /// Trying again soon does not help: somebody must act first.
    pub fn needs_somebody(&self) -> bool {
        match self {
            Self::TlsMissing
            | Self::TlsName
            | Self::TlsExpired
            | Self::TlsUnknownIssuer
            | Self::TlsPin
            | Self::TlsOther(_)
            | Self::AuthenticationFailed(_)
            | Self::MechanismMissing { .. }
            | Self::ServerUnproven
            | Self::HostUnknown
            | Self::PolicyViolation => true,
            Self::HttpStatus(status) => *status < 500,
            _ => false,
        }
    }

    /// A word for counters and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NameNotFound => "dns",
            Self::Refused => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timeout",
            Self::TlsMissing => "tls_missing",
            Self::TlsName => "tls_name",
            Self::TlsExpired => "tls_expired",
            Self::TlsUnknownIssuer => "tls_unknown_issuer",
            Self::TlsPin => "tls_pin",
            Self::TlsOther(_) => "tls",
            Self::AuthenticationFailed(_) => "auth_failed",
            Self::MechanismMissing { .. } => "mechanism_missing",
            Self::ServerUnproven => "server_unproven",
            Self::HostUnknown => "host_unknown",
            Self::PolicyViolation => "policy",
            Self::Replaced => "replaced",
            Self::ShuttingDown => "shutdown",
            Self::BindRefused(_) => "bind_refused",
            Self::StreamError(_) => "stream_error",
            Self::HttpStatus(_) => "http_status",
            Self::NotXmpp(_) => "not_xmpp",
            Self::Oversized => "oversized",
            Self::QueueFull => "queue_full",
            Self::Closed => "closed",
            Self::Silent => "silent",
        }
    }

    /// From a `<stream:error>`'s condition (RFC 6120 §4.9.3).
    pub fn of_stream_error(condition: &str) -> Self {
        match condition {
            "host-unknown" | "host-gone" | "improper-addressing" => Self::HostUnknown,
            "policy-violation" => Self::PolicyViolation,
            "conflict" => Self::Replaced,
            "system-shutdown" | "reset" => Self::ShuttingDown,
            "not-authorized" => Self::AuthenticationFailed(condition.to_owned()),
            "connection-timeout" => Self::Silent,
            other => Self::StreamError(short(other)),
        }
    }

    /// From an error of a socket.
    pub fn of_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Self::Refused,
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe => Self::Closed,
            kind => Self::Unreachable(kind),
        }
    }
}

/// A peer's word, short enough for a log, without control characters.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).take(120).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NameNotFound => {
                "its host name has no address; check the name and this machine's DNS"
            }
            Self::Refused => "nobody listens there; check host and port, and that Prosody runs",
            Self::Unreachable(kind) => {
                return write!(formatter, "no way there ({kind}); check routes and firewalls");
            }
            Self::TimedOut(step) => {
                return write!(formatter, "no answer in time ({step:?}); check firewalls and load");
            }
            Self::TlsMissing => {
                "the server offers no StartTLS; give its host a certificate, or write tls = \"off\" if it runs on \
                 this machine"
            }
            Self::TlsName => {
                "the server's certificate is for another name; get one for this name, or set tls_name or tls_pins"
            }
            Self::TlsExpired => {
                "the server's certificate has expired or is not valid yet; renew it, and compare both clocks"
            }
            Self::TlsUnknownIssuer => {
                "nobody trusted has signed the server's certificate; add its issuer to the system's store, or set \
                 ca_file or tls_pins"
            }
            Self::TlsPin => {
                "the server's certificate is not the pinned one; if it was renewed, change tls_pins, else somebody \
                 is in between"
            }
            Self::TlsOther(what) => return write!(formatter, "TLS failed: {what}"),
            Self::AuthenticationFailed(what) => {
                return write!(
                    formatter,
                    "the server refuses us ({what}); check user, password or token"
                );
            }
            Self::MechanismMissing { offered, wanted } => {
                return write!(
                    formatter,
                    "the server offers {offered:?} to log in, this account needs {wanted}; check `authentication` \
                     of the domain and `account` here"
                );
            }
            Self::ServerUnproven => {
                "the server does not know the password it accepted; somebody is in between"
            }
            Self::HostUnknown => "the server does not serve this domain; check `account_domain`",
            Self::PolicyViolation => {
                "the server limits us; exempt this gateway (unlimited_jids, limits_exception, rate_limit whitelist)"
            }
            Self::Replaced => {
                "another connection took our address; accounts must be unique per call"
            }
            Self::ShuttingDown => "the server shuts down",
            Self::BindRefused(what) => return write!(formatter, "no resource given ({what})"),
            Self::StreamError(what) => {
                return write!(formatter, "the server ended the stream: {what}");
            }
            Self::HttpStatus(status) => {
                return write!(
                    formatter,
                    "the web server answers {status}; check the URL's path and that Prosody's module is loaded"
                );
            }
            Self::NotXmpp(what) => {
                return write!(formatter, "what answers there is no XMPP server: {what}");
            }
            Self::Oversized => "a stanza above the size we accept",
            Self::QueueFull => "the server does not take what we send",
            Self::Closed => "the server closed the connection",
            Self::Silent => "the server does not answer any more",
        };
        formatter.write_str(text)
    }
}

impl std::error::Error for Failure {}
