//! The session of one leg with the bridge: Jingle with the focus, the media half on the shard, the sources it hears.
//!
//!   offer -> port -> accept, media half attached -> up        ICE restart: port -> new path beside the old one
//!
//! An offer replaces whatever session there was; its media half is attached in the place of the old one, under a new
//! SSRC and from the leg's other socket, whose predecessor closes when sound flows. A session that the focus ended
//! keeps its sound until then: the bridge may still be there.

mod half;
mod hearing;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use jid::FullJid;
use minidom::Element;
use tracing::{debug, warn};

use super::SessionMaker;
use super::session::{Ending, Hearing, Session, SessionCommand, SessionEvent, SessionOutput};
use super::translate;
use crate::base::ids::LegKey;
use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::base::timers::earliest;
use crate::jitsi::bridge_channel::BridgeChannel;
use crate::jitsi::jingle::{
    Failure, JingleCommand, JingleConfig, JingleEvent, JingleOutput, JingleSession, Offer,
    SessionSerial,
};
use crate::jitsi::muc::FOCUS_NICK;
use crate::jitsi::sources::{Voice, VoiceTable};
use crate::jitsi::stanza::jingle::AUDIO_LEVEL;
use crate::jitsi::stanza::transport::IceTransport;
use crate::leg::backend::{JoinRequest, SocketNews};
use crate::leg::counters::BackendCounters;
use crate::leg::media::{ConferenceCommand, ConferenceEvent, ToMedia};
use crate::media::frame::SampleRate;
use crate::media::ingress::EarKey;
use crate::webrtc::{Certificate, Setup, TransportCommand};

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
            speaks: true,
            voices: VoiceTable::new(""),
            channel: BridgeChannel::default(),
            has_socket: false,
            pending: None,
            half: None,
            hearing: Hearing::default(),
            fed: BTreeMap::new(),
            silent_since: None,
            counters: BackendCounters::default(),
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
    /// What the phone says may be sent there.
    speaks: bool,
    voices: VoiceTable,
    channel: BridgeChannel,
    /// The channel is a WebSocket of the bridge; else it is within the transport.
    has_socket: bool,
    pending: Option<Pending>,
    half: Option<Half>,
    hearing: Hearing,
    /// What the half feeds into the room's sound: voices, and the ears that must not hear them.
    fed: BTreeMap<u32, (Voice, Option<EarKey>)>,
    /// Sound flowed, and was interrupted then.
    silent_since: Option<Instant>,
    counters: BackendCounters,
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
    /// When it was made.
    began: Instant,
}

impl BridgeSession {
    fn jingle(&mut self, now: Instant, command: JingleCommand) {
        if let Some(jingle) = &mut self.jingle {
            jingle.command(now, command);
        }
        self.drain(now);
    }

    /// What our machines have to say.
    fn drain(&mut self, now: Instant) {
        loop {
            if self.voices.has_changed() {
                self.feed();
            } else if let Some(output) = self.jingle.as_mut().and_then(JingleSession::poll_output) {
                match output {
                    JingleOutput::Send(stanza) => self.put(SessionOutput::Send(stanza)),
                    JingleOutput::Event(event) => self.jingle_said(now, event),
                }
            } else if let Some(output) = self.channel.poll_output() {
                self.channel_said(output);
            } else {
                return;
            }
        }
    }

    fn jingle_said(&mut self, now: Instant, event: JingleEvent) {
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
            JingleEvent::Terminated { reason, .. } => match reason.condition.as_str() {
                ALONE => self.ended_alone(),
                MOVED => self.ended(now, Ending::Moved),
                // The focus could not make a session of it, and forgot us.
                _ => self.ended(now, Ending::Dropped),
            },
            JingleEvent::UselessOffer(fault) => {
                warn!(leg = %self.leg, %fault, "the focus offered a session that cannot carry sound");
                self.ended(now, Ending::Dropped);
            }
            JingleEvent::AcceptFailed { failure, .. } => {
                debug!(leg = %self.leg, ?failure, "accept failed");
                if failure != Failure::NoAnswer {
                    self.ended(now, Ending::Dropped);
                }
            }
            // Refused or limited: the session is gone nevertheless.
            JingleEvent::RestartFailed(Failure::Refused(_)) | JingleEvent::NoOffer => {
                self.ended(now, Ending::Dropped);
            }
            JingleEvent::RestartFailed(_) => self.ended(now, Ending::Broken),
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
    fn ended(&mut self, now: Instant, ending: Ending) {
        self.pending = None;
        if let Some(half) = &mut self.half {
            half.session = None;
            if half.is_up {
                self.silent_since.get_or_insert(now);
            }
        }
        self.counters.bridge_sessions_dropped += u64::from(ending == Ending::Dropped);
        self.put(SessionOutput::Event(SessionEvent::Ended(ending)));
    }

    /// Nobody else was there for a while: there is nothing to hear and nobody to talk to.
    fn ended_alone(&mut self) {
        self.pending = None;
        self.silent_since = None;
        self.detach();
        self.put(SessionOutput::Event(SessionEvent::Ended(Ending::Moved)));
    }

    fn is_current(&self, session: SessionSerial) -> bool {
        self.half.as_ref().is_some_and(|half| half.session == Some(session))
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
        self.drain(now);
        taken
    }

    fn handle_media(&mut self, now: Instant, event: ConferenceEvent) {
        match event {
            ConferenceEvent::Connected => {
                if let Some(half) = &mut self.half {
                    half.is_secured = true;
                    let old = half.old_socket.take();
                    let taken = now.saturating_duration_since(half.began).as_millis();
                    self.counters.bridge_keys += 1;
                    self.counters.bridge_keys_ms += u64::try_from(taken).unwrap_or(u64::MAX);
                    self.path_found(now);
                    if let Some(old) = old {
                        self.put(SessionOutput::ClosePort(old));
                    }
                }
            }
            ConferenceEvent::Lost => self.broken(now),
            // Keys are the room's, not the leg's: the backend took them.
            ConferenceEvent::Speaking(_) | ConferenceEvent::RoomKey { .. } => {}
            ConferenceEvent::Transport(event) => self.transport_said(now, event),
        }
        self.drain(now);
    }

    fn handle_socket(&mut self, now: Instant, news: SocketNews) {
        match news {
            _ if !self.has_socket => {}
            SocketNews::Up => self.channel.opened(now),
            SocketNews::Text(text) => self.channel.handle_message(&text),
            SocketNews::Down => self.channel.closed(),
        }
        self.drain(now);
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
                self.ended(now, Ending::Broken);
            }
            (Some(Pending::IceRestart { session, theirs, .. }), Some(address)) => {
                self.restart_ice(now, (socket, address), session, &theirs);
            }
            (None, Some(_)) => self.put(SessionOutput::ClosePort(socket)),
            // The recovery asks for a new session when its time comes.
            (Some(Pending::IceRestart { .. }) | None, None) => {}
        }
        self.drain(now);
    }

    fn command(&mut self, now: Instant, command: SessionCommand) {
        match command {
            SessionCommand::InRoom { room, nick, speaks } => {
                self.speaks = speaks;
                self.enter_room(&room, &nick);
            }
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
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(jingle) = &mut self.jingle {
            jingle.handle_timeout(now);
        }
        self.channel.handle_timeout(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outputs.pop_front()
    }

    fn take_counters(&mut self) -> BackendCounters {
        std::mem::take(&mut self.counters)
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let jingle = self.jingle.as_ref().and_then(JingleSession::poll_timeout);
        earliest(jingle, self.channel.poll_timeout())
    }
}

/// The feature that makes the focus offer a bridge channel over SCTP.
const BRIDGE_CHANNEL: &str = "urn:xmpp:jingle:transports:dtls-sctp:1";
/// The reason for ending the session of somebody who has been alone for 20 s.
const ALONE: &str = "expired";
/// The reason for a session that is ended to be made anew elsewhere.
const MOVED: &str = "success";
