//! A browser in a Jitsi room: asks for the conference, joins, answers the focus, speaks a tone, records what it is sent
//! and what it sees of the others.
//!
//!   Away -> Asking -> Joining -> Inside      whatever goes wrong on the way in is tried again a second later

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use gateway_core::base::limits::RTP_DATAGRAM_BYTES_MAX;
use gateway_core::base::pii::Pii;
use gateway_core::jitsi::stanza::build::element;
use gateway_core::jitsi::stanza::channel::BridgeMessage;
use gateway_core::jitsi::stanza::conference::ConferenceRequest;
use gateway_core::jitsi::stanza::jingle::{
    Action, BridgeSession, Content, Description, Jingle, Reason,
};
use gateway_core::jitsi::stanza::presence::{Occupant, PresenceKind, RoomPresence};
use gateway_core::jitsi::stanza::sources::{MediaKind, Source};
use gateway_core::jitsi::stanza::transport::{Credentials, Fingerprint, IceTransport, Setup};
use gateway_core::jitsi::stanza::{iq, ns};
use gateway_core::rtp::wire::ext::{AudioLevel, write_level};
use gateway_core::webrtc::PlainTransport;
use gateway_core::webrtc::transport::{Datagram, Media, Transport, TransportEvent};
use minidom::Element;

use super::FOCUS_PROXY;
use super::bridge::{LEVEL_EXTENSION, certificate, plain, remote_ice};
use super::ear::{Ear, voice};
use super::prosody::{DISCO_INFO, MUC, NICK};

/// A browser and its user.
pub struct Web {
    /// Place among the web participants: 0, 1, 2 ...
    pub index: usize,
    /// Its tone.
    pub hz: u32,
    /// What it heard.
    pub ear: Ear,
    /// What it saw of everybody (itself included), and when.
    pub seen: Vec<(Duration, Seen)>,
    /// What the bridge told it.
    pub told: Vec<(Duration, BridgeMessage)>,
    start: Instant,
    room: String,
    state: State,
    is_muted: bool,
    media: Option<WebMedia>,
    sessions: u16,
    ids: u64,
    outputs: VecDeque<WebOutput>,
}

/// Somebody in the room as a browser shows him.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// He is there, like this.
    Here {
        /// His nick.
        nick: String,
        /// The rest.
        occupant: Box<Occupant>,
        /// Label below his name.
        status: String,
    },
    /// He went.
    Gone(String),
    /// We are out ourselves: whoever was there must be seen anew.
    Out,
}

/// From a browser.
#[derive(Clone, Debug)]
pub enum WebOutput {
    /// To its stream.
    Stanza(Element),
    /// To the bridge.
    Datagram {
        /// From this port of its own.
        from: SocketAddr,
        /// To.
        to: SocketAddr,
        /// Bytes.
        bytes: Vec<u8>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Away,
    /// Nothing yet; tries at that time.
    Waiting(Duration),
    Asking(String, Duration),
    Joining(Duration),
    Inside,
}

struct WebMedia {
    sid: String,
    address: SocketAddr,
    transport: Box<PlainTransport>,
    is_up: bool,
    ssrc: u32,
    sequence: u16,
    frames: u32,
    next: Duration,
    /// Keys to press, and of the one that is down: when it began, in frames.
    keys: VecDeque<usize>,
    pressed: Option<u32>,
    released: u32,
}

impl Web {
    /// A browser that is away.
    pub fn new(start: Instant, index: usize, hz: u32) -> Self {
        Self {
            index,
            hz,
            ear: Ear::default(),
            seen: Vec::new(),
            told: Vec::new(),
            start,
            room: String::new(),
            state: State::Away,
            is_muted: false,
            media: None,
            sessions: 0,
            ids: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Its nick.
    pub fn nick(&self) -> String {
        format!("web{:05}", self.index)
    }

    /// It has never been in a room.
    pub fn is_new(&self) -> bool {
        self.room.is_empty()
    }

    /// The user wants into a room; the stream is up.
    pub fn enter(&mut self, now: Duration, room: &str) {
        room.clone_into(&mut self.room);
        self.state = State::Waiting(now);
    }

    /// The user closes the page.
    pub fn leave(&mut self) {
        if self.state == State::Inside {
            let presence = element("presence", ns::CLIENT).attr("to", self.me());
            self.put(presence.attr("type", "unavailable").build());
        }
        self.state = State::Away;
        self.media = None;
    }

    /// The stream is gone; a new one is up: into the room again. The sound goes on until there is a new session.
    pub fn reconnected(&mut self, now: Duration) {
        self.seen.push((now, Seen::Out));
        if self.state != State::Away {
            self.state = State::Waiting(now);
        }
    }

    /// The user switches his microphone.
    pub fn mute(&mut self, muted: bool) {
        self.is_muted = muted;
        if self.state == State::Inside {
            let presence = self.presence(false);
            self.put(presence);
        }
    }

    /// The user presses keys on the dial pad: 200 ms each, 200 ms apart, as lib-jitsi-meet asks the browser.
    pub fn press(&mut self, keys: &str) {
        if let Some(media) = &mut self.media {
            media.keys.extend(keys.chars().filter_map(|key| "0123456789*#ABCD".find(key)));
        }
    }

    /// It is in its room.
    pub fn is_inside(&self) -> bool {
        self.state == State::Inside
    }

    /// What it says is heard, as far as it knows.
    pub fn speaks(&self) -> bool {
        self.is_inside() && !self.is_muted && self.media.as_ref().is_some_and(|it| it.is_up)
    }

    /// The next thing it wants outside.
    pub fn poll_output(&mut self) -> Option<WebOutput> {
        self.outputs.pop_front()
    }

    /// 5 ms went by.
    pub fn tick(&mut self, now: Duration) {
        match &self.state {
            State::Waiting(at) if *at <= now => self.ask(now),
            State::Asking(_, until) | State::Joining(until) if *until <= now => self.ask(now),
            _ => {}
        }
        let at = self.start + now;
        let Some(media) = &mut self.media else { return };
        if media.transport.poll_timeout().is_some_and(|(due, _)| due <= at) {
            media.transport.handle_timeout(at);
        }
        while media.is_up && media.next <= now {
            media.next += Duration::from_millis(20);
            match self.is_muted {
                _ if media.presses() => {}
                true => media.frames += 1,
                false => media.speak(self.hz),
            }
        }
        self.drain(now);
    }

    /// A datagram of the bridge.
    pub fn on_datagram(&mut self, now: Duration, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some(media) = self.media.as_mut().filter(|it| it.address == to) else { return };
        let datagram = Datagram { socket: 0, from, bytes };
        let received = media.transport.handle_datagram(self.start + now, datagram);
        if let Some(received) = received.filter(|it| it.media == Media::Rtp) {
            self.ear.hear(now, received.bytes);
        }
        self.drain(now);
    }

    /// A stanza of its stream.
    pub fn on_stanza(&mut self, now: Duration, stanza: &Element) {
        match stanza.name() {
            "presence" => self.on_presence(now, stanza),
            "iq" => self.on_iq(now, stanza),
            _ => {}
        }
    }

    fn drain(&mut self, now: Duration) {
        let Some(media) = &mut self.media else { return };
        let mut buffer = [0; RTP_DATAGRAM_BYTES_MAX];
        while let Some(departure) = media.transport.poll_transmit(&mut buffer) {
            let bytes = buffer[..departure.length].to_vec();
            let (from, to) = (media.address, departure.to);
            self.outputs.push_back(WebOutput::Datagram { from, to, bytes });
        }
        let mut is_lost = false;
        while let Some(event) = media.transport.poll_event() {
            match event {
                TransportEvent::Secured { .. } => (media.is_up, media.next) = (true, now),
                TransportEvent::Disconnected => is_lost = true,
                TransportEvent::ChannelMessage(text) => {
                    if let Ok(message) = BridgeMessage::read(&text) {
                        self.told.push((now, message));
                    }
                }
                _ => {}
            }
        }
        if is_lost {
            self.restart();
        }
    }

    /// ICE failed: another session, please.
    fn restart(&mut self) {
        let Some(media) = self.media.take() else { return };
        let wish = BridgeSession { restart: true, ..BridgeSession::default() };
        let reason = Reason { condition: "connectivity-error".to_owned(), text: None };
        let end = Jingle {
            bridge_session: Some(wish),
            reason: Some(reason),
            ..Jingle::new(Action::SessionTerminate, &media.sid)
        };
        let (id, to) = (self.id("restart"), format!("{}/focus", self.room));
        self.put(iq::set(&id, &to, end.write()));
    }

    fn ask(&mut self, now: Duration) {
        let id = self.id("conference");
        let machine_uid = format!("browser{}", self.index);
        let room = self.room.clone();
        let ask = ConferenceRequest {
            room: &room,
            machine_uid: &machine_uid,
            session_id: None,
            visitor: None,
        };
        self.put(ask.iq(&id, FOCUS_PROXY));
        self.state = State::Asking(id, now + PATIENCE);
    }

    fn on_iq(&mut self, now: Duration, stanza: &Element) {
        let Some(kind) = iq::kind(stanza) else { return };
        if kind.is_answer() {
            let State::Asking(id, _) = &self.state else { return };
            if stanza.attr("id") != Some(id.as_str()) {
                return;
            }
            let answer = stanza.get_child("conference", ns::FOCUS);
            if answer.and_then(|it| it.attr("ready")) == Some("true") {
                let join = self.presence(true);
                self.put(join);
                self.state = State::Joining(now + PATIENCE);
            } else {
                self.state = State::Waiting(now + AGAIN);
            }
            return;
        }
        let mut answer = iq::result(stanza);
        if stanza.get_child("query", DISCO_INFO).is_some() {
            let feature = |var: &&str| element("feature", DISCO_INFO).attr("var", var);
            let query = element("query", DISCO_INFO).children(FEATURES.iter().map(feature));
            answer.append_child(query.build());
        }
        self.put(answer);
        if let Some(mute) = stanza.get_child("mute", "http://jitsi.org/jitmeet/audio") {
            self.mute(mute.text() == "true");
        }
        let jingle = stanza.get_child("jingle", ns::JINGLE).and_then(|it| Jingle::read(it).ok());
        if let Some(jingle) = jingle {
            self.on_jingle(now, &jingle);
        }
    }

    fn on_jingle(&mut self, now: Duration, jingle: &Jingle) {
        match jingle.action {
            Action::SessionInitiate | Action::TransportReplace => self.accept(now, jingle),
            Action::SessionTerminate => {
                self.media.take_if(|it| it.sid == jingle.sid);
            }
            _ => {}
        }
    }

    fn accept(&mut self, now: Duration, offer: &Jingle) {
        let Some(theirs) = offer.transport() else { return };
        let Some(remote) = remote_ice(&theirs) else { return };
        let Some((_, audio)) = offer.media(MediaKind::Audio) else { return };
        self.sessions += 1;
        let ip = Ipv4Addr::new(203, 0, 113, 10 + self.index as u8);
        let address = SocketAddr::new(ip.into(), 50_000 + self.sessions);
        let new = 0x3eb0_0000 + (self.index as u32) * 0x1000 + u32::from(self.sessions);
        let (ssrc, sequence, frames) = match (offer.action, &self.media) {
            (Action::TransportReplace, Some(media)) => (media.ssrc, media.sequence, media.frames),
            _ => (new, 1_000, 0),
        };
        let own = format!("{}-a0", self.nick());
        let source = Source { name: Some(own), ..Source::audio(ssrc) };
        let description = Description { sources: vec![source], ..audio.clone() };
        let credentials =
            Credentials { ufrag: self.nick(), password: Pii::new("of no use here".to_owned()) };
        let fingerprint = Fingerprint {
            hash: "sha-256".to_owned(),
            value: certificate().fingerprint().to_string(),
            setup: Some(Setup::Active),
        };
        // As lib-jitsi-meet: no candidates, the bridge learns where we are.
        let transport = IceTransport {
            credentials: Some(credentials),
            fingerprints: vec![fingerprint],
            sctp_port: theirs.sctp_port,
            ..IceTransport::default()
        };
        let content = Content {
            name: "audio".to_owned(),
            creator: Some("responder".to_owned()),
            senders: Some("both".to_owned()),
            description: Some(description),
            transport: Some(transport),
        };
        let action = match offer.action {
            Action::TransportReplace => Action::TransportAccept,
            _ => Action::SessionAccept,
        };
        let accept = Jingle { contents: vec![content], ..Jingle::new(action, &offer.sid) };
        let (id, to) = (self.id("accept"), format!("{}/focus", self.room));
        self.put(iq::set(&id, &to, accept.write()));
        self.media = Some(WebMedia {
            sid: offer.sid.clone(),
            address,
            transport: plain(self.start + now, address, remote),
            is_up: false,
            ssrc,
            sequence,
            frames,
            next: now,
            keys: VecDeque::new(),
            pressed: None,
            released: 0,
        });
    }

    fn on_presence(&mut self, now: Duration, stanza: &Element) {
        let Some(presence) = RoomPresence::read(stanza).filter(|it| it.room == self.room) else {
            return;
        };
        let nick = presence.nick;
        let seen = match presence.kind {
            PresenceKind::Here(occupant) => {
                if occupant.is_self && matches!(self.state, State::Joining(_)) {
                    self.state = State::Inside;
                }
                let status = stanza.get_child("status", ns::CLIENT).map(Element::text);
                Seen::Here { nick, occupant, status: status.unwrap_or_default() }
            }
            PresenceKind::Gone(gone) if gone.is_self => {
                self.state = State::Away;
                self.media = None;
                Seen::Out
            }
            PresenceKind::Gone(_) => Seen::Gone(nick),
            PresenceKind::Refused(_) => {
                self.state = State::Waiting(now + AGAIN);
                return;
            }
        };
        self.seen.push((now, seen));
    }

    fn presence(&self, joins: bool) -> Element {
        let plain = |name: &str, text: &str| element(name, ns::CLIENT).text(text);
        let muted = if self.is_muted { "true" } else { "false" };
        let join = joins.then(|| element("x", MUC));
        element("presence", ns::CLIENT)
            .attr("to", self.me())
            .children(join)
            .child(element("nick", NICK).text("Somebody"))
            .child(plain("audiomuted", muted))
            .child(plain("videomuted", "true"))
            .build()
    }

    fn me(&self) -> String {
        format!("{}/{}", self.room, self.nick())
    }

    fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}{}", self.ids)
    }

    fn put(&mut self, stanza: Element) {
        self.outputs.push_back(WebOutput::Stanza(stanza));
    }

    /// What it last saw of each of the others, by nick.
    pub fn sees(&self, until: Duration) -> BTreeMap<&str, (&Occupant, &str)> {
        let mut there = BTreeMap::new();
        for (_, seen) in self.seen.iter().take_while(|(at, _)| *at <= until) {
            match seen {
                Seen::Here { nick, occupant, status } => {
                    there.insert(nick.as_str(), (&**occupant, status.as_str()));
                }
                Seen::Gone(nick) => {
                    there.remove(nick.as_str());
                }
                Seen::Out => there.clear(),
            }
        }
        there.retain(|nick, _| *nick != "focus" && *nick != self.nick());
        there
    }
}

impl WebMedia {
    /// 20 ms of a key, in the place of sound. False: none is down.
    fn presses(&mut self) -> bool {
        if self.keys.is_empty() || self.frames < self.released {
            return false;
        }
        let Some(code) = self.keys.front().copied() else { return false };
        let began = *self.pressed.get_or_insert(self.frames);
        let frame = self.frames - began + 1;
        let is_over = frame >= KEY_FRAMES;
        let duration = (frame.min(KEY_FRAMES) * 160) as u16;
        // The end is sent three times.
        for _ in 0..if is_over { 3 } else { 1 } {
            let mut packet = vec![0x80, 126 | u8::from(frame == 1) << 7];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend((began * 960).to_be_bytes());
            packet.extend(self.ssrc.to_be_bytes());
            packet.extend([code as u8, if is_over { 0x8a } else { 10 }]);
            packet.extend(duration.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(1);
            self.transport.send(Media::Rtp, &packet);
        }
        self.frames += 1;
        if is_over {
            self.keys.pop_front();
            self.pressed = None;
            self.released = self.frames + KEY_FRAMES;
        }
        true
    }

    /// 20 ms of the tone, with an honest level.
    fn speak(&mut self, hz: u32) {
        let voice = voice(hz);
        let mut packet = vec![0x90, 111];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((self.frames * 960).to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(write_level(LEVEL_EXTENSION, AudioLevel { level: 18, voice: true }));
        packet.extend(&voice[self.frames as usize % voice.len()]);
        self.sequence = self.sequence.wrapping_add(1);
        self.frames += 1;
        self.transport.send(Media::Rtp, &packet);
    }
}

/// What today's web client answers to the question for its features, as far as it concerns sound.
const FEATURES: [&str; 10] = [
    "http://jabber.org/protocol/disco#info",
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:jingle:apps:dtls:0",
    ns::JINGLE_SCTP,
    "urn:ietf:rfc:5761",
    "urn:ietf:rfc:5888",
    "http://jitsi.org/json-encoded-sources",
];
/// 200 ms.
const KEY_FRAMES: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(1);
