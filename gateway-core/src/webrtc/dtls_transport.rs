//! The real transport: datagrams sorted by their first byte (RFC 7983), ICE, DTLS, SRTP and the bridge channel.
//!
//!   Finding{20 s} -> Secured -> Over          ICE restarts, path changes and lost consent happen within Secured
//!
//! What it refuses: DTLS and SRTP from an address that ICE has not authenticated; anything longer than
//! [`DATAGRAM_BYTES_MAX`]; STUN without its cookie. DTLS that comes before there is a path waits, four datagrams of it.
//! An attacker who can forge the bridge's address can break a handshake (it is plain DTLS), not an established leg.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::channel::{Channel, ChannelSaid};
use super::dtls::{DtlsEnd, MediaKeys, Said};
use super::facts::{LocalTransport, RemoteTransport, Setup};
use super::ice::{Ice, IceEvent};
use super::outbox::Outbox;
use super::pulse::Pulse;
use super::transport::{
    Datagram, Departure, KEYS_DEADLINE_S, Media, Received, Transport, TransportCommand,
    TransportCounters, TransportEvent, TransportFailure,
};
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::rtp::srtp::{SrtpError, TRAILER_BYTES_MAX};

/// What differs between a leg and its counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    /// ICE role: the bridge controls, we are controlled.
    pub controlling: bool,
    /// We connect and open the bridge channel; else we wait for that.
    pub opens_channel: bool,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self { controlling: false, opens_channel: true }
    }
}

/// ICE, DTLS-SRTP and SCTP of one leg.
pub struct DtlsTransport {
    settings: TransportSettings,
    rng: Rng,
    ice: Ice,
    dtls: DtlsEnd,
    keys: Option<Box<MediaKeys>>,
    channel: Option<Channel>,
    sctp_port: Option<u16>,
    outbox: Outbox,
    events: VecDeque<TransportEvent>,
    /// DTLS that came before there was a path.
    early: ArrayVec<(u8, SocketAddr, Vec<u8>), EARLY_MAX>,
    /// A media packet is decrypted here.
    scratch: Box<[u8; DATAGRAM_BYTES_MAX]>,
    pulse: Pulse,
    /// Until the keys are there.
    deadline: Option<Instant>,
    over: bool,
    counters: TransportCounters,
}

/// What DTLS and the channel said to each other in one turn, kept until the borrow ends.
#[derive(Default)]
struct Heard {
    keys: Option<Box<MediaKeys>>,
    data: Vec<Vec<u8>>,
    over: Option<TransportFailure>,
}

impl DtlsTransport {
    /// A transport whose two sides are known. Nothing is sent before the first `handle_timeout`.
    pub fn new(
        now: Instant,
        local: &LocalTransport,
        remote: &RemoteTransport,
        settings: TransportSettings,
        mut rng: Rng,
    ) -> Box<Self> {
        let ice = Ice::new(now, &local.ice, Some(&remote.ice), settings.controlling, &mut rng);
        let client = local.setup == Setup::Active;
        let dtls = DtlsEnd::new(now, &local.certificate, client, remote.fingerprints.clone());
        Box::new(Self {
            settings,
            rng,
            ice,
            dtls,
            keys: None,
            channel: None,
            sctp_port: remote.sctp_port,
            outbox: Outbox::new(),
            events: VecDeque::with_capacity(EVENTS_USUAL),
            early: ArrayVec::new(),
            scratch: Box::new([0; DATAGRAM_BYTES_MAX]),
            pulse: Pulse::None,
            deadline: Some(now + Duration::from_secs(KEYS_DEADLINE_S)),
            over: false,
            counters: TransportCounters::default(),
        })
    }

    fn stun(&mut self, now: Instant, datagram: Datagram<'_>) {
        if datagram.bytes.get(4..8) != Some(&STUN_COOKIE) {
            self.counters.webrtc_datagrams_malformed += 1;
            return;
        }
        let Datagram { socket, from, bytes } = datagram;
        if self.ice.handle_stun(now, socket, from, bytes) {
            self.heard(now, socket);
            self.ice.handle_timeout(now);
            self.drain_ice(now);
        } else {
            self.counters.webrtc_stun_refused += 1;
        }
    }

    /// Something authentic came on that socket.
    fn heard(&mut self, now: Instant, socket: u8) {
        let Some(path) = self.ice.path().filter(|path| path.socket == socket) else { return };
        if self.pulse.heard(now) {
            self.tell(TransportEvent::Nominated { socket, to: path.to });
        }
    }

    fn dtls(&mut self, now: Instant, datagram: Datagram<'_>) {
        let Datagram { socket, from, bytes } = datagram;
        if self.keys.is_none() && self.ice.path().is_none() {
            // Who it is from is known when there is a path.
            if self.early.try_push((socket, from, bytes.to_vec())).is_err() {
                self.counters.webrtc_early_dropped += 1;
            }
        } else if self.ice.is_authenticated(socket, from) {
            self.turn(now, |dtls, say| dtls.handle(now, bytes, say));
        } else {
            self.counters.webrtc_datagrams_strange_source += 1;
        }
    }

    /// Whether a media packet was decrypted into `scratch`, and how long it is.
    fn media(&mut self, now: Instant, datagram: Datagram<'_>) -> Option<(Media, usize)> {
        let Datagram { socket, from, bytes } = datagram;
        if !self.ice.is_authenticated(socket, from) {
            self.counters.webrtc_datagrams_strange_source += 1;
            return None;
        }
        let Some(keys) = &mut self.keys else {
            self.counters.srtp_refused += 1;
            return None;
        };
        let packet = self.scratch.get_mut(..bytes.len())?;
        packet.copy_from_slice(bytes);
        let (media, result) = match bytes.get(1) {
            Some(192..=223) => (Media::Rtcp, keys.receiver.unprotect_rtcp(packet)),
            _ => (Media::Rtp, keys.receiver.unprotect_rtp(packet)),
        };
        match result {
            Ok(length) => {
                self.heard(now, socket);
                return Some((media, length));
            }
            Err(SrtpError::Replayed) => self.counters.srtp_replayed += 1,
            Err(SrtpError::TooManySources) => self.counters.srtp_refused += 1,
            Err(SrtpError::Malformed) => self.counters.webrtc_datagrams_malformed += 1,
            Err(_) => self.counters.srtp_unauthentic += 1,
        }
        None
    }

    fn drain_ice(&mut self, now: Instant) {
        while let Some(event) = self.ice.poll(now, &mut self.outbox) {
            match event {
                IceEvent::Nominated(path) => {
                    let (socket, to) = (path.socket, path.to);
                    self.pulse = Pulse::Heard(now);
                    self.tell(TransportEvent::Nominated { socket, to });
                    self.turn(now, |dtls, say| dtls.start(now, say));
                    self.take_early(now);
                }
                IceEvent::Disconnected => {
                    self.pulse = Pulse::None;
                    self.tell(TransportEvent::Disconnected);
                }
                IceEvent::SocketUnused(socket) => self.tell(TransportEvent::SocketUnused(socket)),
            }
        }
        self.counters.webrtc_candidates_ignored = self.ice.ignored_candidates;
    }

    fn take_early(&mut self, now: Instant) {
        for (socket, from, bytes) in std::mem::take(&mut self.early) {
            self.dtls(now, Datagram { socket, from, bytes: &bytes });
        }
    }

    /// Lets DTLS work, and takes what comes of it as far as it goes.
    fn turn(&mut self, now: Instant, work: impl FnOnce(&mut DtlsEnd, &mut dyn FnMut(Said<'_>))) {
        if self.over {
            return;
        }
        let path = self.ice.path().map(|path| (path.socket, path.to));
        let (outbox, mut heard) = (&mut self.outbox, Heard::default());
        work(&mut self.dtls, &mut |said| match said {
            Said::Packet(bytes) => {
                if let Some(path) = path {
                    outbox.push(path, bytes);
                }
            }
            Said::Keys(keys) => heard.keys = Some(keys),
            Said::Data(bytes) => heard.data.push(bytes.to_vec()),
            Said::Over(failure) => heard.over = Some(failure),
        });
        if let Some(keys) = heard.keys {
            self.secured(now, keys);
        }
        for bytes in heard.data {
            self.channel_data(now, &bytes);
        }
        if let Some(failure) = heard.over {
            self.fail(failure);
        }
    }

    fn secured(&mut self, now: Instant, keys: Box<MediaKeys>) {
        self.deadline = None;
        self.tell(TransportEvent::Secured { profile: keys.profile.name() });
        self.keys = Some(keys);
        if let Some(port) = self.sctp_port {
            let opens = self.settings.opens_channel;
            self.channel = Some(Channel::new(now, self.dtls.is_client(), opens, port));
            self.channel_turn(now, |channel, say| channel.handle_timeout(now, say));
        }
    }

    /// Lets the channel work; its packets leave through DTLS.
    fn channel_turn(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut Channel, &mut dyn FnMut(ChannelSaid)),
    ) {
        let Some(mut channel) = self.channel.take() else { return };
        let mut said = Vec::new();
        work(&mut channel, &mut |saying| said.push(saying));
        self.channel = Some(channel);
        for saying in said {
            match saying {
                ChannelSaid::Packet(bytes) => self.channel_packet(now, &bytes),
                ChannelSaid::Open => self.tell(TransportEvent::ChannelOpen),
                ChannelSaid::Text(text) => self.tell(TransportEvent::ChannelMessage(text)),
                ChannelSaid::Closed => self.tell(TransportEvent::ChannelClosed),
            }
        }
    }

    fn channel_packet(&mut self, now: Instant, bytes: &[u8]) {
        self.turn(now, |dtls, say| dtls.send(bytes, say));
    }

    fn channel_data(&mut self, now: Instant, bytes: &[u8]) {
        self.channel_turn(now, |channel, say| channel.handle(now, bytes, say));
    }

    fn fail(&mut self, failure: TransportFailure) {
        if !std::mem::replace(&mut self.over, true) {
            self.counters.webrtc_failed += 1;
            self.deadline = None;
            self.channel = None;
            self.tell(TransportEvent::Failed(failure));
        }
    }

    /// Messages of a channel are dropped when nobody takes them; everything else is rare.
    fn tell(&mut self, event: TransportEvent) {
        let message = matches!(event, TransportEvent::ChannelMessage(_));
        if message && self.events.len() >= EVENTS_MAX {
            self.counters.webrtc_queue_dropped += 1;
        } else {
            self.events.push_back(event);
        }
    }
}

impl Transport for DtlsTransport {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) -> Option<Received<'_>> {
        if self.over {
            return None;
        }
        let kind = datagram.bytes.first().filter(|_| datagram.bytes.len() <= DATAGRAM_BYTES_MAX);
        match kind {
            Some(0..=3) => self.stun(now, datagram),
            Some(20..=63) => self.dtls(now, datagram),
            Some(128..=191) => {
                let (media, length) = self.media(now, datagram)?;
                return Some(Received { media, bytes: self.scratch.get(..length)? });
            }
            _ => self.counters.webrtc_datagrams_malformed += 1,
        }
        None
    }

    fn command(&mut self, now: Instant, command: TransportCommand) {
        if self.over {
            return;
        }
        match command {
            TransportCommand::AddRemoteCandidates(candidates) => {
                self.ice.add_remote_candidates(now, &candidates);
            }
            TransportCommand::Restart { local, remote } => {
                let event = self.ice.restart(now, &local, remote.as_ref(), &mut self.rng);
                if let Some(IceEvent::SocketUnused(socket)) = event {
                    self.tell(TransportEvent::SocketUnused(socket));
                }
            }
            TransportCommand::SetRemoteIce(remote) => self.ice.set_remote(now, &remote),
            TransportCommand::SendChannel(text) => {
                let mut sent = false;
                self.channel_turn(now, |channel, say| sent = channel.send(now, text, say));
                self.counters.webrtc_queue_dropped += u64::from(!sent);
            }
            TransportCommand::ForgetSource(ssrc) => {
                if let Some(keys) = &mut self.keys {
                    keys.receiver.forget(ssrc);
                }
            }
            TransportCommand::Close => {
                self.turn(now, |dtls, say| dtls.close(say));
                self.channel = None;
                self.deadline = None;
                self.over = true;
            }
        }
        self.ice.handle_timeout(now);
        self.drain_ice(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.over {
            return;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return self.fail(TransportFailure::TooLate);
        }
        self.ice.handle_timeout(now);
        self.drain_ice(now);
        if self.pulse.is_lost(now) {
            self.tell(TransportEvent::Quiet);
        }
        if self.dtls.next().is_some_and(|next| next <= now) {
            self.turn(now, |dtls, say| dtls.handle_timeout(now, say));
        }
        if self.channel.as_ref().and_then(Channel::next).is_some_and(|next| next <= now) {
            self.channel_turn(now, |channel, say| channel.handle_timeout(now, say));
        }
    }

    fn send(&mut self, packet: Media, bytes: &[u8]) -> bool {
        let (Some(keys), Some(path), false) = (&mut self.keys, self.ice.path(), self.over) else {
            return false;
        };
        let sender = &mut keys.sender;
        self.outbox.push_with((path.socket, path.to), bytes, TRAILER_BYTES_MAX, |room, length| {
            match packet {
                Media::Rtp => sender.protect_rtp(room, length).ok(),
                Media::Rtcp => sender.protect_rtcp(room, length).ok(),
            }
        })
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
        if self.over {
            return None;
        }
        [
            (self.ice.next(), ICE),
            (self.dtls.next(), DTLS),
            (self.channel.as_ref().and_then(Channel::next), CHANNEL),
            (self.pulse.next(), PULSE),
            (self.deadline, DEADLINE),
        ]
        .into_iter()
        .filter_map(|(at, why)| Some((at?, why)))
        .min()
    }

    fn counters(&self) -> TransportCounters {
        let mut counters = self.counters;
        counters.webrtc_queue_dropped += self.outbox.dropped();
        counters
    }
}

/// Longest datagram looked at.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;
/// A flight of a handshake.
const EARLY_MAX: usize = 4;
const EVENTS_USUAL: usize = 8;
const EVENTS_MAX: usize = 64;
/// RFC 8489 §5.
const STUN_COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const ICE: Why = Why("webrtc.ice");
const DTLS: Why = Why("webrtc.dtls_flight");
const CHANNEL: Why = Why("webrtc.channel");
const PULSE: Why = Why("webrtc.path_quiet");
const DEADLINE: Why = Why("webrtc.keys_deadline");

#[cfg(test)]
mod tests;
