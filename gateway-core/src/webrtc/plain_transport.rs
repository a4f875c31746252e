//! A transport without cryptography and without checks, for simulations that want speed: the same verbs and events,
//! none of the protection. It never leaves a simulated world.
//!
//! The two ends say hello until they heard each other, and each second from then on: a path on which nothing comes is
//! quiet, then lost, after the same times as a real one. Media goes as it is; channel messages go once, unprotected
//! against loss.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dtls_transport::DATAGRAM_BYTES_MAX;
use super::facts::{LocalTransport, RemoteIce, RemoteTransport};
use super::outbox::Outbox;
use super::pulse::QUIET_MAX;
use super::transport::{
    Datagram, Departure, KEYS_DEADLINE_S, Media, Received, Transport, TransportCommand,
    TransportCounters, TransportEvent, TransportFailure,
};
use crate::base::time::Why;

/// A stand-in for [`super::DtlsTransport`].
pub struct PlainTransport {
    socket: u8,
    /// Where they are, from their candidates or from their first hello.
    peer: Option<SocketAddr>,
    /// They heard us.
    up: bool,
    /// Something of theirs came last.
    heard_at: Instant,
    /// How bad the path is.
    path: Path,
    has_channel: bool,
    hello_at: Option<Instant>,
    deadline: Option<Instant>,
    over: bool,
    outbox: Outbox,
    events: VecDeque<TransportEvent>,
    scratch: Box<[u8; DATAGRAM_BYTES_MAX]>,
    counters: TransportCounters,
}

impl PlainTransport {
    /// Between these two.
    pub fn new(now: Instant, local: &LocalTransport, remote: &RemoteTransport) -> Box<Self> {
        Box::new(Self {
            socket: local.ice.socket,
            peer: remote.ice.candidates.first().map(|candidate| candidate.address),
            up: false,
            heard_at: now,
            path: Path::Sought,
            has_channel: remote.sctp_port.is_some(),
            hello_at: Some(now),
            deadline: Some(now + Duration::from_secs(KEYS_DEADLINE_S)),
            over: false,
            outbox: Outbox::new(),
            events: VecDeque::with_capacity(8),
            scratch: Box::new([0; DATAGRAM_BYTES_MAX]),
            counters: TransportCounters::default(),
        })
    }

    fn say(&mut self, kind: u8, bytes: &[u8]) -> bool {
        let Some(peer) = self.peer else { return false };
        let Some(room) = self.scratch.get_mut(..bytes.len() + 1) else { return false };
        room[0] = kind;
        room[1..].copy_from_slice(bytes);
        self.outbox.push((self.socket, peer), room)
    }

    fn set_remote(&mut self, remote: &RemoteIce) {
        self.peer = remote.candidates.first().map(|it| it.address).or(self.peer);
    }

    fn hear_hello(&mut self, now: Instant, datagram: Datagram<'_>, kind: u8) {
        if datagram.socket != self.socket {
            // An answer to what the old socket said.
            return;
        }
        let from = datagram.from;
        self.peer = Some(from);
        if kind == HELLO {
            self.say(WELCOME, &[]);
        }
        self.hello_at = Some(now + CONSENT_EVERY);
        self.heard(now, from);
        if !std::mem::replace(&mut self.up, true) {
            self.deadline = None;
            self.events.push_back(TransportEvent::Secured { profile: "none" });
            if self.has_channel {
                self.events.push_back(TransportEvent::ChannelOpen);
            }
        }
    }

    /// Something came over the path.
    fn heard(&mut self, now: Instant, from: SocketAddr) {
        self.heard_at = now;
        if std::mem::replace(&mut self.path, Path::Good) != Path::Good {
            self.events.push_back(TransportEvent::Nominated { socket: self.socket, to: from });
        }
    }

    /// Says hello, and how bad the path has become.
    fn check_path(&mut self, now: Instant) {
        self.say(HELLO, &[]);
        let silent = now.saturating_duration_since(self.heard_at);
        if self.up && self.path == Path::Good && silent >= QUIET_MAX {
            self.path = Path::Quiet;
            self.events.push_back(TransportEvent::Quiet);
        }
        if self.up && self.path == Path::Quiet && silent >= CONSENT_LASTS {
            self.path = Path::Sought;
            self.events.push_back(TransportEvent::Disconnected);
        }
        let each = if self.up { CONSENT_EVERY } else { HELLO_EVERY };
        self.hello_at = Some(now + each);
    }
}

/// How bad a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// There is none: the first one is looked for, or another.
    Sought,
    /// Something came lately.
    Good,
    /// Nothing came for a while, which was told.
    Quiet,
}

impl Transport for PlainTransport {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) -> Option<Received<'_>> {
        let Datagram { from, bytes, .. } = datagram;
        match bytes {
            _ if self.over || bytes.len() > DATAGRAM_BYTES_MAX => {}
            [128..=191, second, ..] if self.up && self.peer == Some(from) => {
                let room = self.scratch.get_mut(..bytes.len())?;
                room.copy_from_slice(bytes);
                self.heard_at = now;
                if self.path == Path::Quiet {
                    self.path = Path::Good;
                    let socket = self.socket;
                    self.events.push_back(TransportEvent::Nominated { socket, to: from });
                }
                let media = if (192..=223).contains(second) { Media::Rtcp } else { Media::Rtp };
                return Some(Received { media, bytes: room });
            }
            [kind @ (HELLO | WELCOME)] => self.hear_hello(now, datagram, *kind),
            [TEXT, text @ ..] if self.up => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.events.push_back(TransportEvent::ChannelMessage(text));
            }
            [GOODBYE] if self.up => {
                self.over = true;
                let failure = TransportFailure::ClosedByPeer;
                self.events.push_back(TransportEvent::Failed(failure));
            }
            _ => self.counters.webrtc_datagrams_malformed += 1,
        }
        None
    }

    fn command(&mut self, now: Instant, command: TransportCommand) {
        match command {
            TransportCommand::AddRemoteCandidates(candidates) => {
                self.peer = self.peer.or(candidates.first().map(|candidate| candidate.address));
            }
            TransportCommand::SetRemoteIce(remote) => self.set_remote(&remote),
            TransportCommand::Restart { local, remote } => {
                let unused = std::mem::replace(&mut self.socket, local.socket);
                self.events.push_back(TransportEvent::SocketUnused(unused));
                if let Some(remote) = remote {
                    self.set_remote(&remote);
                }
                // The peer learns our new address from it.
                self.path = Path::Sought;
                self.say(HELLO, &[]);
                self.hello_at = Some(now + HELLO_EVERY);
            }
            TransportCommand::SendChannel(text) => {
                let sent = self.up && self.has_channel && self.say(TEXT, &text);
                self.counters.webrtc_queue_dropped += u64::from(!sent);
            }
            TransportCommand::ForgetSource(_) => {}
            TransportCommand::Close => {
                self.say(GOODBYE, &[]);
                self.over = true;
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.over {
            return;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.over = true;
            self.counters.webrtc_failed += 1;
            self.events.push_back(TransportEvent::Failed(TransportFailure::TooLate));
        } else if self.hello_at.is_some_and(|at| at <= now) {
            self.check_path(now);
        }
    }

    fn send(&mut self, _: Media, bytes: &[u8]) -> bool {
        match self.peer {
            Some(peer) if self.up && !self.over => self.outbox.push((self.socket, peer), bytes),
            _ => false,
        }
    }

    fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Departure> {
        self.outbox.pop(buffer)
    }

    fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let next = self.hello_at.into_iter().chain(self.deadline).min();
        next.filter(|_| !self.over).map(|at| (at, Why("webrtc.plain_hello")))
    }

    fn counters(&self) -> TransportCounters {
        self.counters
    }
}

/// First bytes that no protocol on a media port uses (RFC 7983 leaves 64 to 79 to TURN channels).
const HELLO: u8 = 0x40;
const WELCOME: u8 = 0x41;
const TEXT: u8 = 0x42;
const GOODBYE: u8 = 0x43;
const HELLO_EVERY: Duration = Duration::from_millis(100);
/// Hellos on a path that works.
const CONSENT_EVERY: Duration = Duration::from_secs(1);
/// Nothing for so long: the path is lost.
const CONSENT_LASTS: Duration = Duration::from_secs(15);
