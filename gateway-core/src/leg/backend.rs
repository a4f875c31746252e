//! The conference backend: the five verbs, spelled out, because a gateway holds backends it did not compile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use jid::FullJid;
use minidom::Element;

use crate::base::ids::{LegKey, RoomKey, SiteId, StreamKey};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::leg::counters::BackendCounters;
use crate::leg::end_reason::EndReason;
use crate::leg::media::{ConferenceEvent, ToMedia};
use crate::media::codec::CodecKind;
use crate::media::dtmf::Press;
use crate::webrtc::Certificate;

/// A conference system a phone can join: the embedded rooms, one Jitsi deployment, your own.
pub trait Backend: Send {
    /// Asks for a seat. Everything else comes by `poll_output`.
    fn open_leg(
        &mut self,
        now: Instant,
        leg: LegKey,
        ask: JoinRequest,
        rng: Rng,
    ) -> Result<(), JoinRefused>;
    /// Something from outside: an event of a media half, a stanza, a stream that came up or went down.
    fn handle_input(&mut self, now: Instant, input: BackendInput);
    /// What a leg's call wants.
    fn command(&mut self, now: Instant, leg: LegKey, command: LegCommand);
    /// Due deadlines. A backend that never waits has none.
    fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }
    /// The next output.
    fn poll_output(&mut self) -> Option<BackendOutput>;
    /// The next deadline.
    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        None
    }
    /// What callers into its empty rooms are to hear.
    fn empty_room(&self) -> EmptyRoom {
        EmptyRoom::Join
    }
    /// What its legs met since it was made. The embedded room has nothing to tell here.
    fn counters(&self) -> BackendCounters {
        BackendCounters::default()
    }
    /// Its rooms as they stand. A backend without rooms that people share has none to show.
    fn snapshot(&self) -> Vec<RoomSnapshot> {
        Vec::new()
    }
}

/// What becomes of a call that came in while nobody else is in its room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyRoom {
    /// It is answered, and hears words and music.
    #[default]
    Join,
    /// It rings until somebody is there, for so long at most.
    Ring(std::time::Duration),
    /// As Jigasi does: it rings, is answered after 15 s and hung up after 30 s.
    Jigasi,
}

/// A room as it stands, for people who look from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSnapshot {
    /// Its name.
    pub name: RoomName,
    /// Its key on the shards.
    pub room: RoomKey,
    /// Its members, in the order they came.
    pub members: Vec<MemberSnapshot>,
}

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSnapshot {
    /// His leg.
    pub leg: LegKey,
    /// His standing.
    pub role: Role,
    /// Label others see.
    pub label: Pii<String>,
    /// Waiting for the host, not in the room yet.
    pub waiting: bool,
    /// He muted himself.
    pub muted: bool,
    /// He speaks now (an embedded room knows; others never say so).
    pub speaking: bool,
    /// His hand is up.
    pub hand_raised: bool,
}

/// What a call asks of a backend.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Name of the room, as the route gave it.
    pub room: RoomName,
    /// Guest or host.
    pub role: Role,
    /// Label others see.
    pub label: Pii<String>,
    /// Codec towards the phone: fixes the rate of the ear.
    pub codec: CodecKind,
    /// Codecs the phone may send.
    pub codecs: Vec<CodecKind>,
    /// Policy of the room, where the route knows one.
    pub policy: RoomPolicy,
    /// What he brings to the door.
    pub entry: Entry,
    /// Who called whom.
    pub way: CallWay,
}

/// Who called whom, as the people in the room see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallWay {
    /// The phone called us.
    #[default]
    Inbound,
    /// We called it, and it answered.
    Outbound,
    /// We are about to call it. How far that is comes by [`LegCommand::Status`]; nobody hears or says anything yet.
    Dialling,
}

/// What a caller brings to the door of a conference: Jigasi's headers, or what a dial from the room said. An embedded
/// room asks for none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The room's password, as if he had typed it.
    pub password: Option<Pii<String>>,
    /// JSON Web Token of his own, in place of the deployment's.
    pub token: Option<Pii<String>>,
    /// User id that goes with the token.
    pub user: Option<Pii<String>>,
    /// How he would like to be called among the occupants, where the deployment lets phones choose.
    pub nick: Option<Pii<String>>,
    /// He asks to be one of those who only listen. Where the deployment has none, he joins like anybody.
    pub visitor: bool,
    /// Tenant the room belongs to: `room@conference.tenant.example.org` on the wire, which the server knows as
    /// `[tenant]room@conference.example.org`.
    pub tenant: Option<String>,
    /// Headers that everybody in the room sees in his presence (`<initiator>`), in order.
    pub extra: Vec<(String, Pii<String>)>,
}

/// A conference room's name: 1 to 512 bytes, no control characters, trimmed. Letters of any language and spaces are
/// legal. Compared without case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(String);

impl RoomName {
    /// Checks and keeps a name.
    pub fn new(name: &str) -> Result<Self, BadRoomName> {
        let trimmed = name.trim();
        if trimmed.is_empty()
            || trimmed.len() > ROOM_NAME_BYTES_MAX
            || trimmed.chars().any(char::is_control)
        {
            return Err(BadRoomName);
        }
        Ok(Self(trimmed.to_lowercase()))
    }

    /// The name, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longer than any name that people read, shorter than any server's limit.
const ROOM_NAME_BYTES_MAX: usize = 512;

/// A room name that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room name has 1 to 512 bytes and no control characters")]
pub struct BadRoomName;

/// Standing of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May listen and speak.
    Guest,
    /// Starts the room.
    Host,
}

/// What guests do until a host is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BeforeHost {
    /// They enter alone. A server that makes them wait is obeyed.
    #[default]
    Join,
    /// They wait, with music.
    Hold,
    /// They are told to come later.
    Refuse,
}

/// How a room treats its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomPolicy {
    /// What guests do until a host is there.
    pub before_host: BeforeHost,
    /// At a door that opens by hand (a lobby): knock and wait, or leave.
    pub knocks: bool,
    /// Callers at most.
    pub members_max: usize,
    /// How long a guest waits for the host before a spoken goodbye.
    pub host_wait_max: std::time::Duration,
}

impl Default for RoomPolicy {
    fn default() -> Self {
        Self {
            before_host: BeforeHost::Join,
            knocks: true,
            members_max: crate::base::limits::ROOM_MEMBERS_MAX,
            host_wait_max: std::time::Duration::from_secs(600),
        }
    }
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// The room is full.
    #[error("room is full")]
    Full,
    /// No host is there, and the policy keeps nobody waiting.
    #[error("the meeting has not started")]
    NotLive,
    /// The backend cannot take calls now.
    #[error("backend is not available")]
    Unavailable,
}

/// From outside to a backend.
pub enum BackendInput {
    /// A media half of this backend says something.
    FromMedia(LegKey, ConferenceEvent),
    /// The DTLS certificate of legs that are opened from now on; told before the first leg.
    Certificate(Arc<Certificate>),
    /// A port asked for by [`BackendOutput::OpenPort`].
    PortOpened {
        /// Whose.
        leg: LegKey,
        /// Which of its conference sockets.
        socket: u8,
        /// What to advertise as host candidate; `None`: no port could be had.
        address: Option<SocketAddr>,
    },
    /// A top-level stanza (`iq`, `message`, `presence`) of a stream, as it came; over TCP its namespace is `jabber:client`.
    Stanza(StreamKey, Element),
    /// A stream is authenticated and bound: stanzas may be sent.
    StreamUp {
        /// Which.
        stream: StreamKey,
        /// Our address on it.
        jid: FullJid,
        /// XEP-0198: the same session goes on, nothing was lost and the server did not see us leave. Otherwise the
        /// address may be new and every room must be joined again.
        resumed: bool,
    },
    /// A stream is down. It is opened again, with back-off, until [`BackendOutput::CloseStream`]; told once per outage
    /// (and once if the very first attempt fails), not per attempt.
    StreamDown {
        /// Which.
        stream: StreamKey,
        /// Why.
        reason: StreamDownReason,
    },
    /// From the WebSocket of a bridge channel asked for by [`BackendOutput::BridgeSocket`].
    BridgeSocket(StreamKey, SocketNews),
}

/// What a leg wants of the WebSocket of its bridge channel. It lives beside the leg's stream, and no longer than that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOrder {
    /// Connect to this address, which holds a secret, in the place of an older one; keep it up until `Close`.
    Open(Pii<String>),
    /// Send this. Dropped while it is not up.
    Send(String),
    /// Close it.
    Close,
}

/// What the WebSocket of a bridge channel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketNews {
    /// It is up, for the first time or again.
    Up,
    /// A message.
    Text(String),
    /// It was up and is lost; it is connected again by itself.
    Down,
}

/// Why a stream is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamDownReason {
    /// No address, no route, connection refused or no answer in time.
    Unreachable,
    /// The server's certificate is not one we trust for its name.
    Certificate,
    /// The server refused user, password or token. Trying again does not help before somebody acts.
    NotAuthorized,
    /// The server closed it, with or without a stream error.
    ClosedByServer,
    /// The server no longer answers.
    Silent,
    /// The server said something that is no XMPP, or lacks what we need.
    Protocol,
}

/// Which connection is wanted, as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAccount {
    /// The deployment: host, transport, trust.
    pub site: SiteId,
    /// As whom.
    pub identity: StreamIdentity,
    /// Room part of the meeting's address: goes into `?room=` of a WebSocket, which some deployments route by.
    pub room: Option<String>,
    /// JSON Web Token of the meeting: goes into `?token=`.
    pub token: Option<Pii<String>>,
    /// Tenant of the room: comes before the path of a WebSocket or BOSH address, as in the web client.
    pub tenant: Option<String>,
    /// Not simply the main server as whoever we are.
    pub visit: Option<Visit>,
}

/// Steps of somebody who is, or was, a visitor of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// To the visitor node of that name.
    Node(String),
    /// To the main server, where an anonymous user is to be called so (`?customusername=`).
    As(Pii<String>),
}

/// As whom a stream is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamIdentity {
    /// SASL ANONYMOUS (or what a token says).
    Anonymous,
    /// User part and password. With a shared-secret domain the user is unique per call.
    Password {
        /// Localpart.
        user: Pii<String>,
        /// Password.
        password: Pii<String>,
    },
}

/// From a call to its conference leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegCommand {
    /// Leaves; answered by [`BackendOutput::Left`].
    Leave(EndReason),
    /// The caller muted or unmuted himself.
    Mute(bool),
    /// The caller raised or lowered a hand.
    RaiseHand(bool),
    /// The phone may send these codecs from now on, and hears the first: a new media half is wanted.
    Codecs(Vec<CodecKind>),
    /// Let in a caller who waits for the host. Nothing where others decide about that.
    Admit,
    /// The caller's answer to [`JoinStep::PasswordNeeded`]. Empty: none was typed.
    Password(Pii<String>),
    /// How far our call to him is ([`CallWay::Dialling`]), in words for the people in the room.
    Status(String),
}

/// From a backend.
pub enum BackendOutput {
    /// On the way in.
    Progress(LegKey, JoinStep),
    /// An occupant of the room under this address (`room@rooms.example.org/nick`): told before there is sound, and again
    /// after a join under another. Of a call of ours that waits in a lobby: the one it will have. A backend without
    /// addresses never says so.
    Occupant(LegKey, String),
    /// In the room; media is attached.
    Joined(LegKey, RoomFacts),
    /// Others came or went. `RoomFacts` after the change.
    Members(LegKey, MemberChange, RoomFacts),
    /// The leg is out of the room, on its own wish or not.
    Left(LegKey, EndReason),
    /// Somebody in the conference did something to this caller, or to all.
    Moderated(LegKey, Moderation),
    /// Somebody in the conference pressed a key on his dial pad: it is for the phone.
    RoomKey(LegKey, Press),
    /// To the shard that holds the leg.
    Media(LegKey, ToMedia),
    /// Open a UDP port towards the conference and hand it to the leg's shard; answered by [`BackendInput::PortOpened`].
    OpenPort {
        /// Whose.
        leg: LegKey,
        /// Which of its conference sockets: 0 or 1.
        socket: u8,
    },
    /// Close it. At the end of the call all are closed without it.
    ClosePort {
        /// Whose.
        leg: LegKey,
        /// Which.
        socket: u8,
    },
    /// Open a stream, in the place of an older one, and keep it up (see [`BackendInput::StreamDown`]) until `CloseStream`.
    OpenStream {
        /// Which.
        stream: StreamKey,
        /// Where and as whom.
        account: StreamAccount,
    },
    /// Send this on a stream that is up. On one that is down it is dropped.
    Stanza(StreamKey, Element),
    /// Send what is queued, then close for good. Not answered; nothing of this stream is said afterwards.
    CloseStream(StreamKey),
    /// For the WebSocket of the bridge channel; answered by [`BackendInput::BridgeSocket`].
    BridgeSocket(StreamKey, SocketOrder),
}

/// A step on the way into a room, or back into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinStep {
    /// Waiting for the host.
    WaitingForHost,
    /// The host is there.
    HostArrived,
    /// The join takes long enough to need words.
    Joining,
    /// A moderator decides in the lobby.
    InLobby,
    /// The moderator let us in.
    Admitted,
    /// In the lobby of a meeting whose host is not there yet.
    InLobbyUntilHost,
    /// The host came, and we are let in.
    AdmittedByHost,
    /// The conference counts on him: sound follows in a moment. Told where somebody waits for it: of a call of ours, or
    /// of a phone that rings until there is company.
    Invited,
    /// Answer with [`LegCommand::Password`].
    PasswordNeeded {
        /// The last one was wrong.
        again: bool,
    },
    /// The conference side is lost and is being joined again; repeated while that lasts. `Joined` ends it.
    Reconnecting,
}

/// What somebody in the conference did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moderation {
    /// The caller's microphone was switched off: by a moderator, or because everybody starts muted.
    Muted,
    /// What the room shows: the microphone is off (true) or on. Answers each [`LegCommand::Mute`], and tells of moderators.
    Shown(bool),
    /// Moderators keep microphones off, or no longer.
    SpeechModerated(bool),
    /// The caller may speak all the same, or no longer.
    SpeechApproved(bool),
    /// The caller's microphone is on again by the moderator's doing.
    Unmuted,
    /// The caller may switch his microphone on, which a moderator had forbidden.
    UnmuteAllowed,
    /// The caller wanted to switch his microphone on and may not: his hand is raised instead.
    UnmuteRefused,
    /// The caller's hand was lowered.
    HandLowered,
    /// The caller only listens from now on (true): he is a visitor of the meeting. Or he takes part again.
    Listening(bool),
    /// The caller, a visitor, raised his hand and may not take part.
    PromotionRefused,
    /// The meeting is being recorded, or no longer.
    Recording(bool),
    /// The meeting is being streamed live, or no longer.
    Streaming(bool),
}

/// What changed among the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Another entered.
    Entered,
    /// Another left.
    Exited,
}

/// A room as one of its legs sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomFacts {
    /// Its key on the shards.
    pub room: RoomKey,
    /// People in it, this leg included.
    pub members: usize,
}
