//! The transport of a conference leg, in the five verbs.
//!
//! After every `handle_datagram`, `command`, `handle_timeout` and `send`: drain `poll_transmit` and `poll_event`, then
//! ask `poll_timeout` once. Media packets cost no allocation once the keys are there.

use std::net::SocketAddr;
use std::time::Instant;

use super::facts::{Candidate, LocalIce, RemoteIce};
use crate::base::time::Why;

/// ICE, DTLS, SRTP and the bridge channel of one leg.
pub trait Transport: Send {
    /// A datagram came. RTP and RTCP are given back decrypted; everything else is taken, counted or dropped.
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) -> Option<Received<'_>>;
    /// What the leg wants.
    fn command(&mut self, now: Instant, command: TransportCommand);
    /// Due deadlines.
    fn handle_timeout(&mut self, now: Instant);
    /// Protects one RTP or RTCP packet of ours and puts it into the queue of [`Self::poll_transmit`]. False: there
    /// are no keys or no path yet, the queue is full, or the index was used; the packet is gone.
    fn send(&mut self, packet: Media, bytes: &[u8]) -> bool;
    /// Whether [`Self::poll_transmit`] has something.
    fn has_output(&self) -> bool;
    /// The next datagram to send, written into `buffer`.
    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Departure>;
    /// What happened.
    fn poll_event(&mut self) -> Option<TransportEvent>;
    /// The next deadline.
    fn poll_timeout(&self) -> Option<(Instant, Why)>;
    /// What it met.
    fn counters(&self) -> TransportCounters;
}

/// A datagram that came.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Which of the leg's conference sockets: 0 or 1 ([`LocalIce::socket`]).
    pub socket: u8,
    /// Its source.
    pub from: SocketAddr,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Which stream a media packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// RTP.
    Rtp,
    /// Compound RTCP.
    Rtcp,
}

/// A media packet of the peer, decrypted and authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// RTP or RTCP.
    pub media: Media,
    /// The whole packet, header included.
    pub bytes: &'a [u8],
}

/// A datagram that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// From which of the leg's conference sockets.
    pub socket: u8,
    /// Whither.
    pub to: SocketAddr,
    /// Bytes written into the caller's buffer.
    pub length: usize,
}

/// What the leg wants of its transport.
#[derive(Clone, Debug)]
pub enum TransportCommand {
    /// More of their candidates, of the newest generation.
    AddRemoteCandidates(Vec<Candidate>),
    /// ICE restart from a new socket, beside the old path: DTLS, keys and SSRCs stay. Their side may come later.
    Restart {
        /// Our new side; its socket is the one not in use.
        local: LocalIce,
        /// Their new side, if known.
        remote: Option<RemoteIce>,
    },
    /// Their side of the newest generation.
    SetRemoteIce(RemoteIce),
    /// A message on the bridge channel; dropped and counted where there is none.
    SendChannel(Vec<u8>),
    /// A source of theirs is gone for good: its replay window may go, too.
    ForgetSource(u32),
    /// Says goodbye (close_notify) and sends nothing more.
    Close,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// A path was found, or a better one.
    Nominated {
        /// Our socket.
        socket: u8,
        /// Their address.
        to: SocketAddr,
    },
    /// The keys are there: media flows.
    Secured {
        /// Name of the SRTP profile.
        profile: &'static str,
    },
    /// Nothing authentic has come over the path for 5 s, checks were not answered: a new path is worth looking for.
    /// `Nominated` again if it heals, `Disconnected` if it does not.
    Quiet,
    /// Consent was lost on the only path: ask for an ICE restart, then for a new session.
    Disconnected,
    /// The old path was given up after a restart: its socket may close.
    SocketUnused(u8),
    /// The bridge channel is open.
    ChannelOpen,
    /// A text message on the bridge channel.
    ChannelMessage(String),
    /// The bridge channel is gone; media goes on.
    ChannelClosed,
    /// It is over.
    Failed(TransportFailure),
}

/// Why a transport is over. It must be thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportFailure {
    /// No keys in time.
    #[error("no keys within {} s", crate::webrtc::transport::KEYS_DEADLINE_S)]
    TooLate,
    /// The peer's certificate has none of the fingerprints that signalling told.
    #[error("the peer's certificate is not the one that was announced")]
    WrongFingerprint,
    /// The handshake or the connection broke.
    #[error("DTLS failed")]
    Dtls,
    /// The peer said goodbye.
    #[error("the peer closed the connection")]
    ClosedByPeer,
}

/// From the first command to the keys: longer than 99 % of handshakes take with 10 % loss each way, shorter than the
/// patience of the person on the phone.
pub const KEYS_DEADLINE_S: u64 = 20;

crate::counters! {
    /// What transports met.
    pub struct TransportCounters {
        /// Datagrams of no known kind, too long, or STUN without cookie.
        webrtc_datagrams_malformed,
        /// DTLS or SRTP from an address that ICE has not authenticated.
        webrtc_datagrams_strange_source,
        /// STUN that no agent accepted.
        webrtc_stun_refused,
        /// SRTP or SRTCP that failed authentication.
        srtp_unauthentic,
        /// SRTP or SRTCP that came twice or too late for the window.
        srtp_replayed,
        /// SRTP before the keys, or from more sources than are kept.
        srtp_refused,
        /// DTLS records held until the path was known that found no place.
        webrtc_early_dropped,
        /// Datagrams or channel messages that found no place in a queue.
        webrtc_queue_dropped,
        /// Remote candidates that were not used (not UDP, not component 1, no unicast address, too many).
        webrtc_candidates_ignored,
        /// Transports that failed.
        webrtc_failed,
    }
}
