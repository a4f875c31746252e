//! The bridge: one port for each offer, one transport for each answer, packets from one to the others.
//!
//! It forwards as the real one was seen to: sources that signalling announced and nobody muted, never digital silence,
//! the loudest three of a room, and to each endpoint what it subscribed to. On the channel it greets, names the
//! dominant speaker, carries endpoint messages and says whose media stopped. Its transport is the plain one.
//!
//! Left out: pictures, bandwidth estimation, reports of its own, relays between bridges.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::limits::RTP_DATAGRAM_BYTES_MAX;
use gateway_core::base::pii::Pii;
use gateway_core::jitsi::stanza::channel::{AudioSubscription, BridgeMessage, ClientMessage};
use gateway_core::jitsi::stanza::transport::IceTransport;
use gateway_core::rtp::wire::ext::read_level;
use gateway_core::webrtc::transport::{
    Datagram, Media, Transport, TransportCommand, TransportEvent,
};
use gateway_core::webrtc::{
    Candidate, Certificate, IceCredentials, LocalIce, LocalTransport, PlainTransport, RemoteIce,
    RemoteTransport, Setup,
};

use super::jicofo::BRIDGE_IP;
use super::visitors::conference_of;
use super::{BridgeOrder, Endpoint};

/// The bridge.
pub struct Bridge {
    start: Instant,
    now: Duration,
    /// By port: each offer has its own.
    legs: BTreeMap<u16, Leg>,
    /// Addresses whose datagrams are lost, both ways, and until when.
    cut: BTreeMap<SocketAddr, Duration>,
    /// Room, then who speaks most and who did before.
    dominant: BTreeMap<String, Vec<String>>,
    next_round: Duration,
    sent: BTreeMap<Pair, u64>,
    /// Sequence number, timestamp and time of each source's last packet.
    numbers: BTreeMap<u32, (u16, u32, Duration)>,
    jumps: Vec<String>,
    outputs: VecDeque<BridgeOutput>,
}

/// Who hears whom, by endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Receiver.
    pub to: Endpoint,
    /// Nick of the owner of the source.
    pub of: String,
}

/// A datagram of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeOutput {
    /// From its port.
    pub from: SocketAddr,
    /// To an endpoint.
    pub to: SocketAddr,
    /// Bytes.
    pub bytes: Vec<u8>,
}

struct Leg {
    endpoint: Endpoint,
    transport: Option<Box<PlainTransport>>,
    /// The endpoint's address, once a path was found.
    peer: Option<SocketAddr>,
    has_channel: bool,
    /// Name of each announced source.
    sources: BTreeMap<u32, String>,
    wants: AudioSubscription,
    is_force_muted: bool,
    /// Smoothed, in dB above silence.
    loudness: f32,
    spoke_at: Option<Duration>,
    heard_at: Option<Duration>,
    is_told_inactive: bool,
}

impl Bridge {
    /// Nobody there.
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            now: Duration::ZERO,
            legs: BTreeMap::new(),
            cut: BTreeMap::new(),
            dominant: BTreeMap::new(),
            next_round: Duration::ZERO,
            sent: BTreeMap::new(),
            numbers: BTreeMap::new(),
            jumps: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What Jicofo wants.
    pub fn handle_order(&mut self, now: Duration, order: BridgeOrder) {
        self.now = now;
        match order {
            BridgeOrder::Allocate { endpoint, port } => {
                self.legs.insert(port, Leg::new(endpoint));
            }
            BridgeOrder::Connect { endpoint, transport } => self.connect(&endpoint, &transport),
            BridgeOrder::Sources { endpoint, sources } => {
                let Some(leg) = self.newest_mut(&endpoint) else { return };
                let name = |nick: &str| format!("{nick}-a0");
                leg.sources = sources
                    .into_iter()
                    .map(|it| (it.ssrc, it.name.unwrap_or_else(|| name(&endpoint.nick))))
                    .collect();
            }
            BridgeOrder::ForceMute { endpoint, muted } => {
                let legs = self.legs.values_mut().filter(|leg| leg.endpoint == endpoint);
                legs.for_each(|leg| leg.is_force_muted = muted);
            }
            BridgeOrder::Expire(endpoint) => self.legs.retain(|_, leg| leg.endpoint != endpoint),
        }
    }

    /// A datagram came to one of its ports.
    pub fn handle_datagram(&mut self, now: Duration, from: SocketAddr, port: u16, bytes: &[u8]) {
        self.now = now;
        if self.is_cut(from) {
            return;
        }
        let at = self.start + now;
        let Some(leg) = self.legs.get_mut(&port) else { return };
        let Some(transport) = &mut leg.transport else { return };
        let received = transport.handle_datagram(at, Datagram { socket: 0, from, bytes });
        let packet = received.filter(|it| it.media == Media::Rtp).map(|it| it.bytes.to_vec());
        if let Some(packet) = packet {
            self.forward(port, &packet);
        }
        self.drain(port);
    }

    /// 5 ms went by.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        let at = self.start + now;
        let due = |leg: &Leg| {
            let timeout = leg.transport.as_ref().and_then(|it| it.poll_timeout());
            timeout.is_some_and(|(due, _)| due <= at)
        };
        let ports: Vec<u16> =
            self.legs.iter().filter(|(_, leg)| due(leg)).map(|(port, _)| *port).collect();
        for port in ports {
            if let Some(transport) = self.legs.get_mut(&port).and_then(|leg| leg.transport.as_mut())
            {
                transport.handle_timeout(at);
            }
            self.drain(port);
        }
        if now >= self.next_round {
            self.next_round = now + ROUND;
            self.name_speakers();
            self.tell_who_stopped();
        }
    }

    /// The next datagram.
    pub fn poll_output(&mut self) -> Option<BridgeOutput> {
        self.outputs.pop_front()
    }

    /// It dies: nobody is told, everything it knew is gone. What is allocated from now on is another's.
    pub fn die(&mut self) {
        self.legs.clear();
        self.dominant.clear();
        self.outputs.clear();
    }

    /// The path to an endpoint breaks, as its NAT forgot it. Another address of his still works.
    pub fn cut_path(&mut self, who: &Endpoint, until: Duration) {
        let peers =
            self.legs.values().filter(|leg| leg.endpoint == *who).filter_map(|leg| leg.peer);
        let peers: Vec<SocketAddr> = peers.collect();
        self.cut.extend(peers.into_iter().map(|peer| (peer, until)));
    }

    /// Whether packets of an endpoint come through now, and go back.
    pub fn has_path(&self, who: &Endpoint) -> bool {
        let newest = self.legs.values().rev().find(|leg| leg.endpoint == *who);
        newest.is_some_and(|leg| leg.peer.is_some_and(|peer| !self.is_cut(peer)))
    }

    /// Whether what an endpoint says is kept back.
    pub fn is_force_muted(&self, who: &Endpoint) -> bool {
        self.legs.values().any(|leg| leg.endpoint == *who && leg.is_force_muted)
    }

    /// Packets of speech sent so far, by receiver and speaker.
    pub fn sent(&self) -> &BTreeMap<Pair, u64> {
        &self.sent
    }

    /// Sources whose numbers jumped: the others' SRTP would take that for a replay.
    pub fn jumps(&self) -> &[String] {
        &self.jumps
    }

    /// Endpoints that are here.
    pub fn endpoints(&self) -> usize {
        self.legs.len()
    }

    fn is_cut(&self, address: SocketAddr) -> bool {
        self.cut.get(&address).is_some_and(|until| self.now < *until)
    }

    fn newest_mut(&mut self, who: &Endpoint) -> Option<&mut Leg> {
        self.legs.values_mut().rev().find(|leg| leg.endpoint == *who)
    }

    fn connect(&mut self, who: &Endpoint, theirs: &IceTransport) {
        let at = self.start + self.now;
        let Some(port) =
            self.legs.iter().rev().find(|(_, leg)| leg.endpoint == *who).map(|(port, _)| *port)
        else {
            return;
        };
        let Some(remote) = remote_ice(theirs) else { return };
        let Some(leg) = self.legs.get_mut(&port) else { return };
        match &mut leg.transport {
            Some(transport) => transport.command(at, TransportCommand::SetRemoteIce(remote)),
            None => leg.transport = Some(plain(at, address(port), remote)),
        }
        if let Some(transport) = &mut leg.transport {
            transport.handle_timeout(at);
        }
        self.drain(port);
    }

    /// What a transport has to say, until it is silent.
    fn drain(&mut self, port: u16) {
        let mut buffer = [0; RTP_DATAGRAM_BYTES_MAX];
        loop {
            let Some(leg) = self.legs.get_mut(&port) else { return };
            let Some(transport) = &mut leg.transport else { return };
            while let Some(departure) = transport.poll_transmit(&mut buffer) {
                let (to, until) = (departure.to, self.cut.get(&departure.to));
                if until.is_none_or(|until| self.now >= *until) {
                    let bytes = buffer[..departure.length].to_vec();
                    self.outputs.push_back(BridgeOutput { from: address(port), to, bytes });
                }
            }
            let Some(event) = transport.poll_event() else { return };
            self.transport_said(port, event);
        }
    }

    fn transport_said(&mut self, port: u16, event: TransportEvent) {
        let Some(leg) = self.legs.get_mut(&port) else { return };
        match event {
            TransportEvent::Nominated { to, .. } => {
                leg.peer = Some(to);
                // The session before this one is over as soon as this one carries sound.
                let endpoint = leg.endpoint.clone();
                self.legs.retain(|other, leg| *other >= port || leg.endpoint != endpoint);
            }
            TransportEvent::ChannelOpen => {
                leg.has_channel = true;
                let room = leg.endpoint.room.clone();
                self.say(port, &BridgeMessage::ServerHello);
                if let Some(speakers) = self.dominant.get(&room).cloned() {
                    self.say(port, &dominant(&speakers));
                }
            }
            TransportEvent::ChannelMessage(text) => self.heard(port, &text),
            TransportEvent::Failed(_) => {
                self.legs.remove(&port);
            }
            TransportEvent::Quiet
            | TransportEvent::Disconnected
            | TransportEvent::Secured { .. }
            | TransportEvent::SocketUnused(_)
            | TransportEvent::ChannelClosed => {}
        }
    }

    fn heard(&mut self, port: u16, text: &str) {
        let Some(leg) = self.legs.get_mut(&port) else { return };
        let endpoint = leg.endpoint.clone();
        match ClientMessage::read(text) {
            Some(ClientMessage::ClientHello) => self.say(port, &BridgeMessage::ServerHello),
            Some(ClientMessage::Subscribe(wanted)) => leg.wants = wanted,
            Some(ClientMessage::EndpointMessage { to, payload }) => {
                let message =
                    BridgeMessage::EndpointMessage { from: Some(endpoint.nick.clone()), payload };
                let is_meant = |leg: &Leg| {
                    leg.endpoint.room == endpoint.room
                        && leg.endpoint.nick != endpoint.nick
                        && (to.is_empty() || leg.endpoint.nick == to)
                };
                self.say_to_all(is_meant, &message);
            }
            // Logged by the real one, and ignored.
            None => {}
        }
    }

    /// One packet of speech to everybody else in the room who wants it.
    fn forward(&mut self, port: u16, packet: &[u8]) {
        let Some(leg) = self.legs.get_mut(&port) else { return };
        let Some(&[_, _, high, low, t1, t2, t3, t4, s1, s2, s3, s4]) = packet.first_chunk() else {
            return;
        };
        let ssrc = u32::from_be_bytes([s1, s2, s3, s4]);
        let Some(name) = leg.sources.get(&ssrc).cloned() else { return };
        let new = (u16::from_be_bytes([high, low]), u32::from_be_bytes([t1, t2, t3, t4]), self.now);
        if let Some(old) = self.numbers.insert(ssrc, new) {
            let step = i32::from(new.0.wrapping_sub(old.0) as i16);
            let passed = (new.2 - old.2).as_millis() as i32;
            let told = new.1.wrapping_sub(old.1) as i32 / 48;
            // 10 ms is the shortest packet.
            let is_far = step < -SEQUENCE_JUMP || step > passed / 10 + SEQUENCE_JUMP;
            if is_far || (told - passed).abs() > TIMESTAMP_JUMP_MS {
                self.jumps.push(format!(
                    "{:?}: source of {} jumped by {step} packets and {told} ms in {passed} ms",
                    self.now, leg.endpoint.nick
                ));
            }
        }
        leg.heard_at = Some(self.now);
        let level = read_level(packet, LEVEL_EXTENSION);
        // Without levels the real one cannot mute, and digital silence passes, too.
        if let Some(level) = level {
            if leg.is_force_muted || level.level >= 127 {
                return;
            }
            leg.loudness += (f32::from(127 - level.level) - leg.loudness) / 8.0;
            leg.spoke_at = Some(self.now);
        }
        let speaker = leg.endpoint.clone();
        if !self.is_among_the_loudest(port) {
            return;
        }
        let wants = |it: &Leg| {
            conference_of(&it.endpoint.room) == conference_of(&speaker.room)
                && it.endpoint.nick != speaker.nick
                && it.peer.is_some()
                && it.wants.wants(&name)
        };
        let to: Vec<u16> =
            self.legs.iter().filter(|(_, leg)| wants(leg)).map(|(port, _)| *port).collect();
        for port in to {
            let Some(leg) = self.legs.get_mut(&port) else { continue };
            let sent = leg.transport.as_mut().is_some_and(|it| it.send(Media::Rtp, packet));
            if sent {
                let pair = Pair { to: leg.endpoint.clone(), of: speaker.nick.clone() };
                *self.sent.entry(pair).or_default() += 1;
            }
            self.drain(port);
        }
    }

    fn is_among_the_loudest(&self, port: u16) -> bool {
        let Some(this) = self.legs.get(&port) else { return false };
        let speaks = |leg: &&Leg| {
            leg.endpoint.room == this.endpoint.room
                && leg.spoke_at.is_some_and(|at| self.now < at + STILL_SPEAKS)
        };
        let louder = |leg: &&Leg| leg.loudness > this.loudness + 0.01;
        self.legs.values().filter(speaks).filter(louder).count() < LOUDEST
    }

    /// The dominant speaker of each room, told when another is.
    fn name_speakers(&mut self) {
        let mut loudest: BTreeMap<String, (f32, String)> = BTreeMap::new();
        for leg in self.legs.values() {
            if leg.spoke_at.is_none_or(|at| self.now >= at + STILL_SPEAKS) {
                continue;
            }
            let Endpoint { room, nick } = leg.endpoint.clone();
            let is_current = self.dominant.get(&room).is_some_and(|it| it.first() == Some(&nick));
            // Who speaks already is not interrupted by somebody a little louder.
            let loudness = leg.loudness + if is_current { 3.0 } else { 0.0 };
            let best = loudest.entry(room).or_insert((0.0, String::new()));
            if loudness > best.0 {
                *best = (loudness, nick);
            }
        }
        for (room, (_, nick)) in loudest {
            let speakers = self.dominant.entry(room.clone()).or_default();
            if speakers.first() == Some(&nick) {
                continue;
            }
            speakers.retain(|it| *it != nick);
            speakers.insert(0, nick);
            speakers.truncate(PREVIOUS_SPEAKERS + 1);
            let message = dominant(speakers);
            self.say_to_all(|leg| leg.endpoint.room == room, &message);
        }
    }

    /// Media that stopped is told after about 8 s, and once more when it flows again.
    fn tell_who_stopped(&mut self) {
        let mut changed = Vec::new();
        for leg in self.legs.values_mut() {
            let Some(heard_at) = leg.heard_at else { continue };
            let is_inactive = self.now >= heard_at + INACTIVE_AFTER;
            if is_inactive != leg.is_told_inactive {
                leg.is_told_inactive = is_inactive;
                changed.push((leg.endpoint.clone(), !is_inactive));
            }
        }
        for (Endpoint { room, nick }, active) in changed {
            let message = BridgeMessage::Connectivity { endpoint: nick.clone(), active };
            self.say_to_all(|leg| leg.endpoint.room == room && leg.endpoint.nick != nick, &message);
        }
    }

    fn say_to_all(&mut self, whom: impl Fn(&Leg) -> bool, message: &BridgeMessage) {
        let ports: Vec<u16> = self
            .legs
            .iter()
            .filter(|(_, leg)| leg.has_channel && whom(leg))
            .map(|(port, _)| *port)
            .collect();
        for port in ports {
            self.say(port, message);
        }
    }

    fn say(&mut self, port: u16, message: &BridgeMessage) {
        let at = self.start + self.now;
        let text = message.write().into_bytes();
        if let Some(transport) = self.legs.get_mut(&port).and_then(|leg| leg.transport.as_mut()) {
            transport.command(at, TransportCommand::SendChannel(text));
        }
    }
}

impl Leg {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            transport: None,
            peer: None,
            has_channel: false,
            sources: BTreeMap::new(),
            wants: AudioSubscription::all(),
            is_force_muted: false,
            loudness: 0.0,
            spoke_at: None,
            heard_at: None,
            is_told_inactive: false,
        }
    }
}

fn dominant(speakers: &[String]) -> BridgeMessage {
    let mut speakers = speakers.iter().cloned();
    let endpoint = speakers.next().unwrap_or_default();
    BridgeMessage::DominantSpeaker { endpoint, previous: speakers.collect(), silence: false }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::new(BRIDGE_IP.into(), port)
}

/// A plain transport of a stand-in at `own`, towards them.
pub(super) fn plain(now: Instant, own: SocketAddr, remote: RemoteIce) -> Box<PlainTransport> {
    let credentials =
        IceCredentials { ufrag: "standin".to_owned(), password: Pii::new(String::new()) };
    let ice = LocalIce { credentials, candidates: vec![Candidate::host(own, 0)], socket: 0 };
    let local = LocalTransport { ice, certificate: certificate(), setup: Setup::Passive };
    let remote = RemoteTransport {
        ice: remote,
        fingerprints: Vec::new(),
        setup: Setup::Active,
        sctp_port: Some(SCTP_PORT),
    };
    PlainTransport::new(now, &local, &remote)
}

/// What a transport of Jingle says of ICE.
pub(super) fn remote_ice(theirs: &IceTransport) -> Option<RemoteIce> {
    let credentials = theirs.credentials.as_ref()?;
    let credentials =
        IceCredentials { ufrag: credentials.ufrag.clone(), password: credentials.password.clone() };
    let candidate = |it: &gateway_core::jitsi::stanza::transport::Candidate| {
        Candidate::host(SocketAddr::new(it.ip, it.port), 0)
    };
    let candidates = theirs.candidates.iter().map(candidate).collect();
    Some(RemoteIce { credentials, candidates })
}

/// Nobody looks at it: the plain transport has no handshake. Always the same, so that a seed replays.
pub fn certificate() -> Arc<Certificate> {
    let der = b"a certificate of no use outside this world".to_vec();
    Arc::new(Certificate { der, private_key: Pii::new(Vec::new()) })
}

/// SCTP port that offers tell.
pub(super) const SCTP_PORT: u16 = 5_000;
/// Number of the audio level in offers.
pub(super) const LEVEL_EXTENSION: u8 = 1;
/// Speakers of a room whose packets are forwarded.
const LOUDEST: usize = 3;
/// A burst of loss is shorter.
const SEQUENCE_JUMP: i32 = 200;
/// Packets wait no longer on their way.
const TIMESTAMP_JUMP_MS: i32 = 1_000;
const PREVIOUS_SPEAKERS: usize = 10;
const ROUND: Duration = Duration::from_millis(200);
const STILL_SPEAKS: Duration = Duration::from_millis(500);
const INACTIVE_AFTER: Duration = Duration::from_secs(8);
