//! The conference backend: the five verbs, spelled out, because a gateway holds backends it did not compile.

use std::time::Instant;

use crate::base::ids::{LegKey, RoomKey};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::leg::end_reason::EndReason;
use crate::leg::media::{ConferenceEvent, ToMedia};
use crate::media::codec::CodecKind;

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
    /// Something from outside: an event of a media half (stanzas and streams follow with the Jitsi leg).
    fn handle_input(&mut self, now: Instant, input: BackendInput);
    /// What a leg's call wants.
    fn command(&mut self, now: Instant, leg: LegKey, command: LegCommand);
    /// Due deadlines.
    fn handle_timeout(&mut self, now: Instant);
    /// The next output.
    fn poll_output(&mut self) -> Option<BackendOutput>;
    /// The next deadline.
    fn poll_timeout(&self) -> Option<(Instant, Why)>;
    /// Its rooms as they stand.
    fn snapshot(&self) -> Vec<RoomSnapshot>;
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
}

/// A conference room's name: 1 to 255 bytes, no control characters, trimmed. Letters of any language and spaces are
/// legal. Compared without case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(String);

impl RoomName {
    /// Checks and keeps a name.
    pub fn new(name: &str) -> Result<Self, BadRoomName> {
        let trimmed = name.trim();
        if trimmed.is_empty() || trimmed.len() > 255 || trimmed.chars().any(char::is_control) {
            return Err(BadRoomName);
        }
        Ok(Self(trimmed.to_lowercase()))
    }

    /// The name, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A room name that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room name has 1 to 255 bytes and no control characters")]
pub struct BadRoomName;

/// Standing of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May listen and speak.
    Guest,
    /// Starts the room.
    Host,
}

/// How a room treats its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomPolicy {
    /// Guests wait with music until a host is there.
    pub wait_for_host: bool,
    /// Callers at most.
    pub members_max: usize,
    /// How long a guest waits for the host before a spoken goodbye.
    pub host_wait_max: std::time::Duration,
}

impl Default for RoomPolicy {
    fn default() -> Self {
        Self {
            wait_for_host: false,
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
    /// The backend cannot take calls now.
    #[error("backend is not available")]
    Unavailable,
}

/// From outside to a backend.
pub enum BackendInput {
    /// A media half of this backend says something.
    FromMedia(LegKey, ConferenceEvent),
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
}

/// From a backend.
pub enum BackendOutput {
    /// On the way in.
    Progress(LegKey, JoinStep),
    /// In the room; media is attached.
    Joined(LegKey, RoomFacts),
    /// Others came or went. `RoomFacts` after the change.
    Members(LegKey, MemberChange, RoomFacts),
    /// The leg is out of the room, on its own wish or not.
    Left(LegKey, EndReason),
    /// To the shard that holds the leg.
    Media(LegKey, ToMedia),
}

/// A step on the way into a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinStep {
    /// Waiting for the host.
    WaitingForHost,
    /// The host is there.
    HostArrived,
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
