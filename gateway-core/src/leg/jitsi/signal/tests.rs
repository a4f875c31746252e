//! A phone and a scripted Jitsi in virtual time. The server speaks as the captures do; what it hears is read from the
//! stanzas that were really sent.

mod bridge;
mod dialled;
mod inside;
mod losses;
mod replay;
mod visitors;
mod ways_in;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use slotmap::SlotMap;

use super::session::{Ending, SessionCommand, SessionEvent, SessionOutput};
use super::settings::PhoneIdentity;
use super::*;
use crate::base::ids::{CallKey, SiteId};
use crate::base::pii::Pii;
use crate::jitsi::capture::parse_stanzas;
use crate::jitsi::stanza::exchange::Iq;
use crate::leg::backend::{
    BeforeHost, CallWay, Entry, JoinRefused, JoinStep, MemberChange, Moderation, Role, RoomName,
    RoomPolicy, SocketNews, SocketOrder, StreamAccount, StreamDownReason,
};
use crate::leg::end_reason::EndReason;
use crate::leg::media::{ConferenceCommand, ConferenceEvent, ToMedia};
use crate::media::codec::CodecKind;
use crate::media::dtmf::{Key, Press};
use crate::webrtc::TransportCommand;
use crate::webrtc::testkit::certificate;

const WALL: WallClock = WallClock { unix: Duration::from_secs(1_700_000_000) };
const ROOM: &str = "rooma@muc.meet.test";
const FOCUS: &str = "focus.meet.test";

/// What the session of a test was told, and a way to make it speak.
#[derive(Clone, Default)]
struct Played(Arc<Mutex<Vec<SessionCommand>>>);

struct PlayedSession {
    told: Played,
    outputs: VecDeque<SessionOutput>,
}

impl Session for PlayedSession {
    fn handle_stanza(&mut self, _now: Instant, stanza: &Element) -> bool {
        let Some(iq) = Iq::read(stanza) else { return false };
        let Some(jingle) = iq.payload.filter(|it| it.name() == "jingle") else { return false };
        self.outputs.push_back(SessionOutput::Send(iq.result()));
        match jingle.attr("action") {
            Some("session-initiate") => {
                let event = SessionEvent::Invited { starts_muted: false };
                self.outputs.push_back(SessionOutput::Event(event));
            }
            Some("session-terminate") => {
                let reasons = jingle.children().flat_map(|reason| reason.children());
                let ending = match reasons.last().map(|condition| condition.name()) {
                    Some("general-error") => Ending::Dropped,
                    _ => Ending::Moved,
                };
                self.outputs.push_back(SessionOutput::Event(SessionEvent::Ended(ending)));
            }
            _ => {}
        }
        true
    }

    fn handle_media(&mut self, _now: Instant, event: ConferenceEvent) {
        let event = match event {
            ConferenceEvent::Connected => SessionEvent::Up,
            _ => SessionEvent::PathLost,
        };
        self.outputs.push_back(SessionOutput::Event(event));
    }

    fn port_opened(&mut self, _now: Instant, _socket: u8, _address: Option<SocketAddr>) {}

    fn handle_socket(&mut self, _now: Instant, _news: SocketNews) {}

    fn command(&mut self, _now: Instant, command: SessionCommand) {
        if !matches!(command, SessionCommand::Hear(_)) {
            self.told.0.lock().expect("no test panicked in it").push(command);
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        None
    }
}

impl SessionMaker for Played {
    fn abilities(&self) -> &'static [&'static str] {
        &[]
    }

    fn set_certificate(&mut self, _certificate: Arc<Certificate>) {}

    fn session(
        &mut self,
        _now: Instant,
        _leg: LegKey,
        _ear: EarKey,
        _ask: &JoinRequest,
        _rng: Rng,
    ) -> Box<dyn Session> {
        Box::new(PlayedSession { told: self.clone(), outputs: VecDeque::new() })
    }
}

/// One phone before one scripted deployment.
struct Site {
    backend: JitsiBackend,
    session: Played,
    now: Instant,
    start: Instant,
    leg: LegKey,
    /// Our nick in the room, as the last join said it.
    nick: String,
    /// Stanzas we sent and nobody looked at yet.
    sent: Vec<Element>,
    /// What the call was told, with the second.
    heard: Vec<(u64, Heard)>,
    /// Addresses in rooms that were told.
    occupants: Vec<String>,
    /// As whom streams were wanted.
    accounts: Vec<StreamAccount>,
    /// Keys for phones.
    keys: Vec<(LegKey, Press)>,
    /// What was asked of the shard and of the ports.
    done: Vec<(LegKey, Done)>,
    /// What was asked of the bridge's WebSocket, but for what was said on it.
    sockets: Vec<SocketOrder>,
}

/// What was asked of the shard and of the ports.
#[derive(Clone, Debug, PartialEq)]
enum Done {
    OpenPort(u8),
    ClosePort(u8),
    OpenRoom,
    CloseRoom,
    Attach,
    Detach,
    AddSource(u32),
    RemoveSource(u32),
    Candidates(usize),
    /// On this socket; they told their side.
    Restart(u8, bool),
    Channel(String),
    Other,
}

impl From<ToMedia> for Done {
    fn from(media: ToMedia) -> Self {
        use TransportCommand as T;
        match media {
            ToMedia::OpenRoom { .. } => Self::OpenRoom,
            ToMedia::CloseRoom(_) => Self::CloseRoom,
            ToMedia::AttachConference { .. } => Self::Attach,
            ToMedia::DetachConference(_) => Self::Detach,
            ToMedia::Conference { command, .. } => match command {
                ConferenceCommand::AddSource { ssrc, .. } => Self::AddSource(ssrc),
                ConferenceCommand::RemoveSource { ssrc } => Self::RemoveSource(ssrc),
                ConferenceCommand::Transport(T::AddRemoteCandidates(them)) => {
                    Self::Candidates(them.len())
                }
                ConferenceCommand::Transport(T::Restart { local, remote }) => {
                    Self::Restart(local.socket, remote.is_some())
                }
                ConferenceCommand::Transport(T::SendChannel(text)) => {
                    Self::Channel(String::from_utf8(text).expect("JSON"))
                }
                ConferenceCommand::Transport(_) => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// What a call hears of its leg.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Progress(JoinStep),
    Joined(usize),
    Members(MemberChange, usize),
    Moderated(Moderation),
    Left(EndReason),
    OpenStream,
    CloseStream,
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut JitsiSettings)) -> Self {
        let session = Played::default();
        Self::with_sessions(Box::new(session.clone()), session, change)
    }

    fn with_sessions(
        sessions: Box<dyn SessionMaker>,
        session: Played,
        change: impl FnOnce(&mut JitsiSettings),
    ) -> Self {
        Self::build(sessions, session, change, usual())
    }

    fn with_policy(policy: RoomPolicy) -> Self {
        let session = Played::default();
        Self::build(Box::new(session.clone()), session, |_| {}, policy)
    }

    fn build(
        sessions: Box<dyn SessionMaker>,
        session: Played,
        change: impl FnOnce(&mut JitsiSettings),
        policy: RoomPolicy,
    ) -> Self {
        let mut settings = JitsiSettings::usual(SiteId(0), "meet.test", "muc.meet.test");
        settings.identity = PhoneIdentity::SharedSecret(Pii::new("phonesecret".into()));
        change(&mut settings);
        let now = Instant::now();
        let mut backend = JitsiBackend::new(settings, sessions, now, WALL);
        backend.handle_input(now, BackendInput::Certificate(certificate()));
        let mut calls: SlotMap<CallKey, ()> = SlotMap::with_key();
        let leg = LegKey::conference(calls.insert(()));
        let mut site = Self {
            backend,
            session,
            now,
            start: now,
            leg,
            nick: String::new(),
            sent: Vec::new(),
            heard: Vec::new(),
            occupants: Vec::new(),
            accounts: Vec::new(),
            keys: Vec::new(),
            done: Vec::new(),
            sockets: Vec::new(),
        };
        site.backend.open_leg(now, leg, ask(policy), Rng::from_number(5)).expect("always");
        site.drain();
        assert_eq!(site.take_heard(), [Heard::OpenStream]);
        site
    }

    /// In the room alone.
    fn alone() -> Self {
        let mut site = Self::new();
        site.stream_up(false);
        site.focus_answers("true");
        site.room_lets_in();
        assert_eq!(site.take_heard(), [Heard::Joined(1)]);
        site
    }

    /// In the room with one web participant, sound flowing.
    fn talking() -> Self {
        let mut site = Self::alone();
        site.comes("alice", "");
        site.focus_says("session-initiate");
        site.media(ConferenceEvent::Connected);
        assert_eq!(site.take_heard(), [Heard::Members(MemberChange::Entered, 2)]);
        site.sent.clear();
        site
    }

    fn drain(&mut self) {
        let second = (self.now - self.start).as_secs();
        while let Some(output) = self.backend.poll_output() {
            let heard = match output {
                BackendOutput::Progress(_, step) => Heard::Progress(step),
                BackendOutput::Occupant(_, address) => {
                    self.occupants.push(address);
                    continue;
                }
                BackendOutput::Joined(_, facts) => Heard::Joined(facts.members),
                BackendOutput::Members(_, change, facts) => Heard::Members(change, facts.members),
                // For an IVR; whole calls with one are in the simulator's tests.
                BackendOutput::Moderated(
                    _,
                    Moderation::Shown(_)
                    | Moderation::SpeechModerated(_)
                    | Moderation::SpeechApproved(_),
                ) => continue,
                BackendOutput::Moderated(_, what) => Heard::Moderated(what),
                BackendOutput::RoomKey(leg, press) => {
                    self.keys.push((leg, press));
                    continue;
                }
                BackendOutput::Left(_, reason) => Heard::Left(reason),
                BackendOutput::OpenStream { account, .. } => {
                    self.accounts.push(account);
                    Heard::OpenStream
                }
                BackendOutput::CloseStream(_) => Heard::CloseStream,
                BackendOutput::BridgeSocket(stream, order) => {
                    match order {
                        SocketOrder::Send(text) => self.done.push((stream.0, Done::Channel(text))),
                        order => self.sockets.push(order),
                    }
                    continue;
                }
                BackendOutput::Media(leg, media) => {
                    self.done.push((leg, media.into()));
                    continue;
                }
                BackendOutput::OpenPort { leg, socket } => {
                    self.done.push((leg, Done::OpenPort(socket)));
                    continue;
                }
                BackendOutput::ClosePort { leg, socket } => {
                    self.done.push((leg, Done::ClosePort(socket)));
                    continue;
                }
                BackendOutput::Stanza(_, stanza) => {
                    let joins = stanza.has_child("x", "http://jabber.org/protocol/muc");
                    if let (true, Some((_, nick))) =
                        (joins, stanza.attr("to").and_then(|to| to.split_once('/')))
                    {
                        nick.clone_into(&mut self.nick);
                    }
                    self.sent.push(stanza);
                    continue;
                }
            };
            self.heard.push((second, heard));
        }
    }

    fn stream_up(&mut self, resumed: bool) {
        let jid = FullJid::new("phone-1@phones.meet.test/r1").expect("an address");
        let stream = StreamKey(self.leg);
        self.backend.handle_input(self.now, BackendInput::StreamUp { stream, jid, resumed });
        self.drain();
    }

    fn stream_down(&mut self) {
        let (stream, reason) = (StreamKey(self.leg), StreamDownReason::ClosedByServer);
        self.backend.handle_input(self.now, BackendInput::StreamDown { stream, reason });
        self.drain();
    }

    /// The phone hears stanzas; `NICK` stands for our nick.
    fn hears(&mut self, xml: &str) {
        let xml = xml.replace("NICK", &self.nick);
        for stanza in parse_stanzas(&xml).expect("XML") {
            let input = BackendInput::Stanza(StreamKey(self.leg), stanza);
            self.backend.handle_input(self.now, input);
            self.drain();
        }
    }

    /// Takes the conference request that was sent, and answers it.
    fn focus_answers(&mut self, ready: &str) {
        let id = self.conference_request().expect("a conference request").1;
        self.hears(&format!(
            "<iq type='result' from='{FOCUS}' id='{id}'>\
             <conference xmlns='http://jitsi.org/protocol/focus' ready='{ready}'/></iq>"
        ));
    }

    /// The focus is in the room, as an answer to that request.
    fn hears_ready(&mut self, id: &str) {
        self.hears(&format!(
            "<iq type='result' from='{FOCUS}' id='{id}'>\
             <conference xmlns='http://jitsi.org/protocol/focus' ready='true'/></iq>"
        ));
    }

    /// The last conference request that was sent and not looked at: its room and its id.
    fn conference_request(&mut self) -> Option<(String, String)> {
        let is_request =
            |it: &Element| it.has_child("conference", "http://jitsi.org/protocol/focus");
        let place = self.sent.iter().rposition(is_request)?;
        let request = self.sent.remove(place);
        let conference = request.children().next().expect("just seen");
        Some((conference.attr("room")?.to_owned(), request.attr("id")?.to_owned()))
    }

    /// The join that was sent last, if any was since.
    fn join_sent(&mut self) -> Option<Element> {
        let is_join = |it: &Element| it.has_child("x", "http://jabber.org/protocol/muc");
        let place = self.sent.iter().rposition(is_join)?;
        Some(self.sent.remove(place))
    }

    /// Presence of the focus, then our own.
    fn room_lets_in(&mut self) {
        let to = self.join_sent().expect("a join").attr("to").expect("an address").to_owned();
        let room = to.split('/').next().expect("a room");
        self.hears(&here(room, "focus", "owner", "", ""));
        self.hears(&here(room, "NICK", "none", "<status code='110'/>", ""));
    }

    fn room_refuses(&mut self, error: &str) {
        let to = self.join_sent().expect("a join").attr("to").expect("an address").to_owned();
        self.hears(&format!("<presence type='error' from='{to}'>{error}</presence>"));
    }

    /// Somebody comes into the room.
    fn comes(&mut self, nick: &str, more: &str) {
        self.hears(&here(ROOM, nick, "none", "", more));
    }

    fn goes(&mut self, nick: &str) {
        self.hears(&format!("<presence type='unavailable' from='{ROOM}/{nick}'/>"));
    }

    /// We are put out of the room.
    fn put_out(&mut self, more: &str) {
        self.hears(&format!(
            "<presence type='unavailable' from='{ROOM}/NICK'><x xmlns='http://jabber.org/protocol/muc#user'>\
             {more}<status code='110'/></x></presence>"
        ));
    }

    fn focus_says(&mut self, action: &str) {
        self.hears(&format!(
            "<iq type='set' id='f1' from='{ROOM}/focus'>\
             <jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='s'/></iq>"
        ));
    }

    /// The focus ends our session, for a reason of Jingle.
    fn focus_ends(&mut self, reason: &str) {
        self.hears(&format!(
            "<iq type='set' id='f2' from='{ROOM}/focus'>\
             <jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s'>\
             <reason><{reason}/></reason></jingle></iq>"
        ));
    }

    fn component_says(&mut self, from: &str, json: &str) {
        self.hears(&format!(
            "<message from='{from}'><json-message xmlns='http://jitsi.org/jitmeet'>{json}</json-message></message>"
        ));
    }

    fn media(&mut self, event: ConferenceEvent) {
        self.backend.handle_input(self.now, BackendInput::FromMedia(self.leg, event));
        self.drain();
    }

    fn wants(&mut self, command: LegCommand) {
        self.backend.command(self.now, self.leg, command);
        self.drain();
    }

    /// Lets time pass, deadline by deadline.
    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        for _ in 0..10_000 {
            match self.backend.poll_timeout() {
                Some((at, _)) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            self.backend.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.backend.handle_timeout(end);
        self.drain();
    }

    fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard).into_iter().map(|(_, heard)| heard).collect()
    }

    fn session_told(&self) -> Vec<SessionCommand> {
        std::mem::take(&mut *self.session.0.lock().expect("no test panicked in it"))
    }

    /// Our last presence update, as `(muted, hand up)`.
    fn shown(&mut self) -> Option<(bool, bool)> {
        let is_update =
            |it: &Element| it.name() == "presence" && it.has_child("audiomuted", "jabber:client");
        let place = self.sent.iter().rposition(is_update)?;
        let presence = self.sent.remove(place);
        let muted = presence.get_child("audiomuted", "jabber:client")?.text() == "true";
        Some((muted, presence.has_child("jitsi_participant_raisedHand", "jabber:client")))
    }
}

fn usual() -> RoomPolicy {
    RoomPolicy { host_wait_max: Duration::from_secs(120), ..RoomPolicy::default() }
}

fn ask(policy: RoomPolicy) -> JoinRequest {
    JoinRequest {
        room: RoomName::new("Room A").expect("a name"),
        role: Role::Guest,
        label: Pii::new("+31201234567".into()),
        codec: CodecKind::Pcma,
        codecs: vec![CodecKind::Pcma],
        policy,
        entry: Entry::default(),
        way: CallWay::Inbound,
    }
}

fn here(room: &str, nick: &str, affiliation: &str, status: &str, more: &str) -> String {
    format!(
        "<presence from='{room}/{nick}'>{more}<x xmlns='http://jabber.org/protocol/muc#user'>\
         <item affiliation='{affiliation}' role='participant'/>{status}</x></presence>"
    )
}

/// An error of a join, as the captures have them.
fn error(kind: &str, condition: &str, more: &str) -> String {
    format!(
        "<error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{more}</error>"
    )
}

const PHONE: &str = "<features><feature var='http://jitsi.org/protocol/jigasi'/></features>";
