//! The session of one leg with the bridge: Jingle with the focus, the media half on the shard, the sources it hears.
//!
//!   offer -> port -> accept, media half attached -> up        ICE restart: port -> new path beside the old one
//!
//! An offer replaces whatever session there was; its media half is attached in the place of the old one, under a new
//! SSRC and from the leg's other socket, whose predecessor closes when sound flows. A session that the focus ended
//! keeps its sound until then: the bridge may still be there.

mod hearing;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use jid::FullJid;
use minidom::Element;
use tracing::{debug, warn};

use super::SessionMaker;
use super::session::{Hearing, Session, SessionCommand, SessionEvent, SessionOutput};
use super::translate;
use crate::base::ids::{LegKey, RoomKey};
use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::base::timers::earliest;
use crate::jitsi::bridge_channel::BridgeChannel;
use crate::jitsi::jingle::{
    Answer, JingleCommand, JingleConfig, JingleEvent, JingleOutput, JingleSession, Offer,
    SessionSerial,
};
use crate::jitsi::muc::FOCUS_NICK;
use crate::jitsi::sources::{Voice, VoiceTable};
use crate::jitsi::stanza::jingle::AUDIO_LEVEL;
use crate::jitsi::stanza::sources::Source;
use crate::jitsi::stanza::transport::IceTransport;
use crate::leg::backend::{JoinRequest, SocketNews};
use crate::leg::jitsi::media::{JitsiMedia, JitsiMediaConfig};
use crate::leg::media::{ConferenceCommand, ConferenceEvent, ToMedia};
use crate::media::codec::CodecKind;
use crate::media::frame::SampleRate;
use crate::media::ingress::EarKey;
use crate::webrtc::{
    Candidate, Certificate, DtlsTransport, IceCredentials, LocalIce, LocalTransport,
    PlainTransport, RemoteTransport, Setup, Transport, TransportCommand, TransportEvent,
    TransportSettings,
};

/// How legs and bridges talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// ICE and DTLS-SRTP, as the real one wants it.
    Dtls {
        /// Who begins the handshake: `Passive` (the default) or `Active`.
        setup: Setup,
    },
    /// Without protection, against a stand-in, in simulation.
    Plain,
}

/// Makes the sessions of a deployment.
pub struct BridgeSessions {
    kind: TransportKind,
    certificate: Option<Arc<Certificate>>,
    clock: (Instant, WallClock),
}

impl BridgeSessions {
    /// Sessions of that kind. `wall` is for sender reports.
    pub fn new(kind: TransportKind, now: Instant, wall: WallClock) -> Self {
        Self { kind, certificate: None, clock: (now, wall) }
    }
}

impl SessionMaker for BridgeSessions {
    fn abilities(&self) -> &'static [&'static str] {
        &[BRIDGE_CHANNEL]
    }

    fn set_certificate(&mut self, certificate: Arc<Certificate>) {
        self.certificate = Some(certificate);
    }

    fn session(
        &mut self,
        _now: Instant,
        leg: LegKey,
        ear: EarKey,
        ask: &JoinRequest,
        rng: Rng,
    ) -> Box<dyn Session> {
        Box::new(BridgeSession {
            leg,
            kind: self.kind,
            certificate: self.certificate.clone(),
            clock: self.clock,
            ear,
            rate: ask.codec.row().pcm_rate,
            rng,
            sessions: 0,
            jingle: None,
            nick: String::new(),
            voices: VoiceTable::new(""),
            channel: BridgeChannel::default(),
            has_socket: false,
            pending: None,
            half: None,
            hearing: Hearing::default(),
            fed: BTreeMap::new(),
            outputs: VecDeque::new(),
        })
    }
}

/// The session of one leg.
pub struct BridgeSession {
    leg: LegKey,
    kind: TransportKind,
    certificate: Option<Arc<Certificate>>,
    clock: (Instant, WallClock),
    ear: EarKey,
    /// What the phone hears.
    rate: SampleRate,
    rng: Rng,
    /// Media halves made so far.
    sessions: u64,
    /// While we are in a room.
    jingle: Option<JingleSession>,
    nick: String,
    voices: VoiceTable,
    channel: BridgeChannel,
    /// The channel is a WebSocket of the bridge; else it is within the transport.
    has_socket: bool,
    pending: Option<Pending>,
    half: Option<Half>,
    hearing: Hearing,
    /// What the half feeds into the room's sound: voices, and the ears that must not hear them.
    fed: BTreeMap<u32, (Voice, Option<EarKey>)>,
    outputs: VecDeque<SessionOutput>,
}

/// What waits for its port.
enum Pending {
    /// An offer to be accepted.
    Offer {
        socket: u8,
        offer: Box<Offer>,
        /// The SSRC that the others know already: kept when a transport is replaced within the session.
        ssrc: Option<u32>,
    },
    /// The bridge's new side of ICE.
    IceRestart { socket: u8, session: SessionSerial, theirs: IceTransport },
}

/// The media half on the shard.
struct Half {
    /// Its Jingle session, while the focus holds to it.
    session: Option<SessionSerial>,
    ssrc: u32,
    /// Its newest socket.
    socket: u8,
    /// Another of our sockets is open and no longer needed when sound flows.
    old_socket: Option<u8>,
    /// There are keys.
    is_secured: bool,
    /// Sound flows.
    is_up: bool,
}

impl BridgeSession {
    fn jingle(&mut self, now: Instant, command: JingleCommand) {
        if let Some(jingle) = &mut self.jingle {
            jingle.command(now, command);
        }
        self.drain();
    }

    /// What our machines have to say.
    fn drain(&mut self) {
        loop {
            if self.voices.has_changed() {
                self.feed();
            } else if let Some(output) = self.jingle.as_mut().and_then(JingleSession::poll_output) {
                match output {
                    JingleOutput::Send(stanza) => self.put(SessionOutput::Send(stanza)),
                    JingleOutput::Event(event) => self.jingle_said(event),
                }
            } else if let Some(output) = self.channel.poll_output() {
                self.channel_said(output);
            } else {
                return;
            }
        }
    }

    fn jingle_said(&mut self, event: JingleEvent) {
        match event {
            JingleEvent::Offered(offer) => self.offered(offer, None),
            JingleEvent::TransportReplaced(offer) => {
                let ssrc = self.half.as_ref().map(|half| half.ssrc);
                self.offered(offer, ssrc);
            }
            JingleEvent::Accepted(session) => debug!(leg = %self.leg, %session, "accepted"),
            JingleEvent::Candidates { session, candidates } => {
                if self.is_current(session) {
                    let candidates = translate::candidates(&candidates);
                    self.transport(TransportCommand::AddRemoteCandidates(candidates));
                }
            }
            JingleEvent::IceRestarted { session, transport } => {
                if let Some(half) = self.half.as_ref().filter(|it| it.session == Some(session)) {
                    let socket = 1 - half.socket;
                    self.pending = Some(Pending::IceRestart { socket, session, theirs: transport });
                    self.put(SessionOutput::OpenPort(socket));
                }
            }
            JingleEvent::SourcesAdded { sources, .. } => self.voices.add(&sources),
            JingleEvent::SourcesRemoved { sources, .. } => self.voices.remove(&sources),
            JingleEvent::Terminated { reason, .. } => self.ended(reason.condition == ALONE),
            JingleEvent::UselessOffer(fault) => {
                warn!(leg = %self.leg, %fault, "the focus offered a session that cannot carry sound");
                self.ended(false);
            }
            JingleEvent::AcceptFailed { failure, .. } => {
                debug!(leg = %self.leg, ?failure, "accept failed");
                if failure != crate::jitsi::jingle::Failure::NoAnswer {
                    self.ended(false);
                }
            }
            JingleEvent::RestartFailed(_) | JingleEvent::NoOffer => self.ended(false),
            // Whoever asked has a deadline, and asks for more then.
            JingleEvent::IceRestartFailed(_) | JingleEvent::SourceRefused { .. } => {}
        }
    }

    /// An offer is accepted as soon as its port is there.
    fn offered(&mut self, offer: Box<Offer>, ssrc: Option<u32>) {
        let event = SessionEvent::Invited { starts_muted: offer.start_muted };
        self.voices.replace(&offer.sources);
        let socket = self.half.as_ref().map_or(0, |half| 1 - half.socket);
        self.pending = Some(Pending::Offer { socket, offer, ssrc });
        self.put(SessionOutput::OpenPort(socket));
        self.put(SessionOutput::Event(event));
    }

    /// The focus ended the session, or it never was one.
    fn ended(&mut self, is_alone: bool) {
        self.pending = None;
        if let Some(half) = &mut self.half {
            half.session = None;
        }
        if is_alone {
            self.detach();
        }
        self.put(SessionOutput::Event(SessionEvent::Ended));
    }

    fn is_current(&self, session: SessionSerial) -> bool {
        self.half.as_ref().is_some_and(|half| half.session == Some(session))
    }

    fn accept(
        &mut self,
        now: Instant,
        (socket, address): (u8, SocketAddr),
        offer: &Offer,
        ssrc: Option<u32>,
    ) {
        let remote = translate::remote_transport(&offer.transport);
        let (Some(remote), Some(certificate)) = (remote, self.certificate.clone()) else {
            warn!(leg = %self.leg, "no common DTLS fingerprint, or no certificate of ours");
            self.jingle(now, JingleCommand::Terminate("unsupported-transports"));
            return self.ended(false);
        };
        self.sessions += 1;
        let mut rng = self.rng.fork(&format!("media/{}", self.sessions));
        let ssrc = ssrc.unwrap_or_else(|| rng.u32().max(1));
        let setup = match self.kind {
            TransportKind::Dtls { setup } => setup,
            TransportKind::Plain => Setup::Passive,
        };
        let local =
            LocalTransport { ice: local_ice(socket, address, &mut rng), certificate, setup };
        let answer = Answer {
            session: offer.session,
            transport: translate::local_transport(&local, remote.sctp_port),
            source: self.own_source(ssrc),
        };
        let transport = self.new_transport(now, &local, &remote, rng.fork("transport"));
        let half = JitsiMedia::new(now, self.media_config(now, offer, ssrc), transport, rng);
        self.attach(half);
        self.open_socket(offer);
        let old_socket = self.half.as_ref().map(|half| half.socket);
        self.half = Some(Half {
            session: Some(offer.session),
            ssrc,
            socket,
            old_socket,
            is_secured: false,
            is_up: false,
        });
        self.feed();
        self.jingle(now, JingleCommand::Accept(Box::new(answer)));
    }

    fn new_transport(
        &self,
        now: Instant,
        local: &LocalTransport,
        remote: &RemoteTransport,
        rng: Rng,
    ) -> Box<dyn Transport> {
        match self.kind {
            TransportKind::Dtls { .. } => {
                DtlsTransport::new(now, local, remote, TransportSettings::default(), rng)
            }
            TransportKind::Plain => PlainTransport::new(now, local, remote),
        }
    }

    fn media_config(&self, now: Instant, offer: &Offer, ssrc: u32) -> JitsiMediaConfig {
        let (then, wall) = self.clock;
        JitsiMediaConfig {
            ear: self.ear,
            rate: self.rate,
            // All: the phone may change its codec, and a bridge session does not end for that.
            codecs: CODECS.to_vec(),
            ssrc,
            opus_payload_type: offer.opus.id,
            level_extension: offer.audio_level(),
            cname: self.nick.clone(),
            wall: WallClock { unix: wall.unix + now.saturating_duration_since(then) },
        }
    }

    /// What we send, as browsers tell theirs.
    fn own_source(&self, ssrc: u32) -> Source {
        let nick = &self.nick;
        Source {
            name: Some(format!("{nick}-a0")),
            msid: Some(format!("{nick}-audio-0 {nick}-a0-track")),
            ..Source::audio(ssrc)
        }
    }

    /// Puts a media half in the place of the old one. It feeds nothing yet.
    fn attach(&mut self, half: Box<JitsiMedia>) {
        self.close_channel();
        // Whose sound it is, the backend knows.
        let room = RoomKey::default();
        self.media(ToMedia::AttachConference { call: self.leg.call, room, half });
        self.fed.clear();
    }

    fn detach(&mut self) {
        let Some(half) = self.half.take() else { return };
        self.close_channel();
        self.fed.clear();
        self.media(ToMedia::DetachConference(self.leg.call));
        self.put(SessionOutput::ClosePort(half.socket));
        if let Some(old) = half.old_socket {
            self.put(SessionOutput::ClosePort(old));
        }
    }

    /// The bridge's new side of ICE and ours meet on a new socket; keys and SSRC stay.
    fn restart_ice(
        &mut self,
        now: Instant,
        (socket, address): (u8, SocketAddr),
        session: SessionSerial,
        theirs: &IceTransport,
    ) {
        let Some(half) = self.half.as_mut().filter(|half| half.session == Some(session)) else {
            return self.put(SessionOutput::ClosePort(socket));
        };
        half.old_socket = Some(half.socket);
        half.socket = socket;
        let local = local_ice(socket, address, &mut self.rng);
        let generation = theirs.generation.unwrap_or(1);
        let answer = IceTransport {
            generation: Some(generation),
            ..translate::local_ice(&local, generation)
        };
        let remote = translate::remote_ice(theirs);
        self.transport(TransportCommand::Restart { local, remote });
        self.jingle(now, JingleCommand::AnswerIceRestart { session, transport: answer });
    }

    fn transport_said(&mut self, now: Instant, event: TransportEvent) {
        match event {
            TransportEvent::Nominated { .. } => self.path_found(),
            TransportEvent::Quiet | TransportEvent::Disconnected => {
                let Some(half) = self.half.as_mut().filter(|half| half.is_up) else { return };
                half.is_up = false;
                self.put(SessionOutput::Event(SessionEvent::PathLost));
            }
            TransportEvent::SocketUnused(socket) => {
                let Some(half) = &mut self.half else { return };
                if half.old_socket.take_if(|old| *old == socket).is_some() {
                    self.put(SessionOutput::ClosePort(socket));
                }
            }
            TransportEvent::ChannelOpen => self.channel.opened(now),
            TransportEvent::ChannelMessage(text) => self.channel.handle_message(&text),
            TransportEvent::ChannelClosed => self.channel.closed(),
            TransportEvent::Failed(failure) => {
                warn!(leg = %self.leg, %failure, "the transport to the bridge failed");
                self.broken(now);
            }
            // Told as `Connected`.
            TransportEvent::Secured { .. } => {}
        }
    }

    /// Keys, or a path after none.
    fn path_found(&mut self) {
        let Some(half) = self.half.as_mut().filter(|half| half.is_secured && !half.is_up) else {
            return;
        };
        half.is_up = true;
        self.put(SessionOutput::Event(SessionEvent::Up));
    }

    /// No transport any more: only a new session helps.
    fn broken(&mut self, now: Instant) {
        let Some(half) = &mut self.half else { return };
        half.is_up = false;
        let had_session = half.session.take().is_some();
        if had_session {
            self.put(SessionOutput::Event(SessionEvent::Ended));
            self.jingle(now, JingleCommand::RequestRestart);
        }
    }

    fn close(&mut self, now: Instant) {
        self.pending = None;
        self.jingle(now, JingleCommand::Terminate("success"));
        self.jingle = None;
        self.detach();
    }

    fn enter_room(&mut self, room: &str, nick: &str) {
        nick.clone_into(&mut self.nick);
        self.voices = VoiceTable::new(nick);
        let occupant = |nick: &str| FullJid::new(&format!("{room}/{nick}"));
        let (Ok(focus), Ok(me)) = (occupant(FOCUS_NICK), occupant(nick)) else {
            return debug_assert!(false, "a room we are in has an address");
        };
        let config = JingleConfig { focus, me, extensions: vec![AUDIO_LEVEL.to_owned()] };
        self.sessions += 1;
        let rng = self.rng.fork(&format!("jingle/{}", self.sessions));
        self.jingle = Some(JingleSession::new(config, rng));
    }

    fn transport(&mut self, command: TransportCommand) {
        self.conference(ConferenceCommand::Transport(command));
    }

    fn conference(&mut self, command: ConferenceCommand) {
        self.media(ToMedia::Conference { call: self.leg.call, command });
    }

    fn media(&mut self, media: ToMedia) {
        self.put(SessionOutput::Media(media));
    }

    fn put(&mut self, output: SessionOutput) {
        self.outputs.push_back(output);
    }
}

impl Session for BridgeSession {
    fn handle_stanza(&mut self, now: Instant, stanza: &Element) -> bool {
        let Some(jingle) = &mut self.jingle else { return false };
        let taken = jingle.handle_stanza(now, stanza);
        self.drain();
        taken
    }

    fn handle_media(&mut self, now: Instant, event: ConferenceEvent) {
        match event {
            ConferenceEvent::Connected => {
                if let Some(half) = &mut self.half {
                    half.is_secured = true;
                    let old = half.old_socket.take();
                    self.path_found();
                    if let Some(old) = old {
                        self.put(SessionOutput::ClosePort(old));
                    }
                }
            }
            ConferenceEvent::Lost => self.broken(now),
            ConferenceEvent::Speaking(_) => {}
            ConferenceEvent::Transport(event) => self.transport_said(now, event),
        }
        self.drain();
    }

    fn handle_socket(&mut self, now: Instant, news: SocketNews) {
        match news {
            _ if !self.has_socket => {}
            SocketNews::Up => self.channel.opened(now),
            SocketNews::Text(text) => self.channel.handle_message(&text),
            SocketNews::Down => self.channel.closed(),
        }
        self.drain();
    }

    fn port_opened(&mut self, now: Instant, socket: u8, address: Option<SocketAddr>) {
        let is_for = |it: &mut Pending| match it {
            Pending::Offer { socket: wanted, .. } | Pending::IceRestart { socket: wanted, .. } => {
                *wanted == socket
            }
        };
        let pending = self.pending.take_if(is_for);
        match (pending, address) {
            (Some(Pending::Offer { offer, ssrc, .. }), Some(address)) => {
                self.accept(now, (socket, address), &offer, ssrc);
            }
            (Some(Pending::Offer { .. }), None) => {
                self.jingle(now, JingleCommand::Terminate("general-error"));
                self.ended(false);
            }
            (Some(Pending::IceRestart { session, theirs, .. }), Some(address)) => {
                self.restart_ice(now, (socket, address), session, &theirs);
            }
            (None, Some(_)) => self.put(SessionOutput::ClosePort(socket)),
            // The recovery asks for a new session when its time comes.
            (Some(Pending::IceRestart { .. }) | None, None) => {}
        }
        self.drain();
    }

    fn command(&mut self, now: Instant, command: SessionCommand) {
        match command {
            SessionCommand::InRoom { room, nick } => self.enter_room(&room, &nick),
            SessionCommand::OutOfRoom => {
                self.jingle = None;
                self.pending = None;
                if let Some(half) = &mut self.half {
                    half.session = None;
                }
            }
            SessionCommand::MemberGone(nick) => self.voices.owner_left(&nick),
            SessionCommand::IceRestart => {
                if let Some(session) = self.half.as_ref().and_then(|half| half.session) {
                    self.jingle(now, JingleCommand::RequestIceRestart(session));
                }
            }
            SessionCommand::Restart => self.jingle(now, JingleCommand::RequestRestart),
            SessionCommand::Codecs(codecs) => {
                // The half that is attached knows all codecs, and the shard tells it the rate.
                self.rate = codecs.first().map_or(self.rate, |codec| codec.row().pcm_rate);
            }
            SessionCommand::Hear(hearing) => {
                self.hearing = hearing;
                self.feed();
            }
            SessionCommand::Close => self.close(now),
        }
        self.drain();
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(jingle) = &mut self.jingle {
            jingle.handle_timeout(now);
        }
        self.channel.handle_timeout(now);
        self.drain();
    }

    fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let jingle = self.jingle.as_ref().and_then(JingleSession::poll_timeout);
        earliest(jingle, self.channel.poll_timeout())
    }
}

fn local_ice(socket: u8, address: SocketAddr, rng: &mut Rng) -> LocalIce {
    let candidates = vec![Candidate::host(address, 0)];
    LocalIce { credentials: IceCredentials::random(rng), candidates, socket }
}

/// What a phone may send.
const CODECS: [CodecKind; 4] = [CodecKind::Opus, CodecKind::G722, CodecKind::Pcma, CodecKind::Pcmu];
/// The feature that makes the focus offer a bridge channel over SCTP.
const BRIDGE_CHANNEL: &str = "urn:xmpp:jingle:transports:dtls-sctp:1";
/// The reason for ending the session of somebody who has been alone for 20 s.
const ALONE: &str = "expired";
