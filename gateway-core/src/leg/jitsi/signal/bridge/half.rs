//! The media half of a session: made for an offer, attached in the place of the old one, its path and its end.

use std::net::SocketAddr;
use std::time::Instant;

use tracing::warn;

use super::{BridgeSession, Half, TransportKind};
use crate::base::ids::RoomKey;
use crate::base::rng::Rng;
use crate::base::time::WallClock;
use crate::jitsi::jingle::{Answer, JingleCommand, Offer, SessionSerial};
use crate::jitsi::stanza::sources::Source;
use crate::jitsi::stanza::transport::IceTransport;
use crate::leg::jitsi::media::{JitsiMedia, JitsiMediaConfig};
use crate::leg::jitsi::signal::session::{Ending, SessionEvent, SessionOutput};
use crate::leg::jitsi::signal::translate;
use crate::leg::media::ToMedia;
use crate::media::codec::CodecKind;
use crate::webrtc::{
    Candidate, DtlsTransport, IceCredentials, LocalIce, LocalTransport, PlainTransport,
    RemoteTransport, Setup, Transport, TransportCommand, TransportEvent, TransportFailure,
    TransportSettings,
};

impl BridgeSession {
    pub(super) fn accept(
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
            return self.ended(now, Ending::Dropped);
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
            source: self.speaks.then(|| self.own_source(ssrc)),
        };
        let transport = self.new_transport(now, &local, &remote, rng.fork("transport"));
        let half = JitsiMedia::new(now, self.media_config(now, offer, ssrc), transport, rng);
        self.attach(half);
        self.open_socket(offer);
        self.counters.bridge_sessions += 1;
        if self.half.as_ref().is_some_and(|half| half.is_up) {
            self.counters.bridge_changes += 1;
            self.silent_since.get_or_insert(now);
        }
        let old_socket = self.half.as_ref().map(|half| half.socket);
        self.half = Some(Half {
            session: Some(offer.session),
            ssrc,
            socket,
            old_socket,
            is_secured: false,
            is_up: false,
            began: now,
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
            key_payload_type: offer.telephone_event,
            level_extension: offer.audio_level(),
            cname: self.nick.clone(),
            wall: WallClock { unix: wall.unix + now.saturating_duration_since(then) },
            listens_only: !self.speaks,
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
    pub(super) fn attach(&mut self, half: Box<JitsiMedia>) {
        self.close_channel();
        // Whose sound it is, the backend knows.
        let room = RoomKey::default();
        self.media(ToMedia::AttachConference { call: self.leg.call, room, half });
        self.fed.clear();
    }

    pub(super) fn detach(&mut self) {
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
    pub(super) fn restart_ice(
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
        self.counters.bridge_ice_restarts += 1;
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

    pub(super) fn transport_said(&mut self, now: Instant, event: TransportEvent) {
        match event {
            TransportEvent::Nominated { .. } => self.path_found(now),
            TransportEvent::Quiet | TransportEvent::Disconnected => {
                let Some(half) = self.half.as_mut().filter(|half| half.is_up) else { return };
                half.is_up = false;
                self.silent_since.get_or_insert(now);
                self.counters.bridge_paths_lost += 1;
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
                match failure {
                    TransportFailure::TooLate => self.counters.bridge_keys_too_late += 1,
                    TransportFailure::WrongFingerprint => {
                        self.counters.bridge_certificates_wrong += 1;
                    }
                    TransportFailure::Dtls => self.counters.bridge_dtls_failed += 1,
                    TransportFailure::ClosedByPeer => self.counters.bridge_closed_by_peer += 1,
                }
                self.broken(now);
            }
            // Told as `Connected`.
            TransportEvent::Secured { .. } => {}
        }
    }

    /// Keys, or a path after none.
    pub(super) fn path_found(&mut self, now: Instant) {
        let Some(half) = self.half.as_mut().filter(|half| half.is_secured && !half.is_up) else {
            return;
        };
        half.is_up = true;
        if let Some(since) = self.silent_since.take() {
            self.counters.note_gap(now.saturating_duration_since(since));
        }
        self.put(SessionOutput::Event(SessionEvent::Up));
    }

    /// No transport any more: only a new session helps.
    pub(super) fn broken(&mut self, now: Instant) {
        let Some(half) = &mut self.half else { return };
        if std::mem::take(&mut half.is_up) {
            self.silent_since.get_or_insert(now);
        }
        let had_session = half.session.take().is_some();
        if had_session {
            self.put(SessionOutput::Event(SessionEvent::Ended(Ending::Broken)));
            self.jingle(now, JingleCommand::RequestRestart);
        }
    }
}

fn local_ice(socket: u8, address: SocketAddr, rng: &mut Rng) -> LocalIce {
    let candidates = vec![Candidate::host(address, 0)];
    LocalIce { credentials: IceCredentials::random(rng), candidates, socket }
}

/// What a phone may send.
const CODECS: [CodecKind; 4] = [CodecKind::Opus, CodecKind::G722, CodecKind::Pcma, CodecKind::Pcmu];
