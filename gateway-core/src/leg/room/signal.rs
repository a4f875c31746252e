//! The embedded rooms: a [`Backend`] that needs nothing outside. A room is born when somebody asks for it and dies
//! with its last member; guests may have to wait for a host.
//!
//!   asked -> Waiting (for the host) -> Member -> gone
//!
//! Keeps who is muted and whose hand is up; the sound itself is the shard's.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tracing::debug;

use crate::base::ids::{LegKey, RoomKey};
use crate::base::limits::ROOM_MEMBERS_MAX;
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::leg::backend::{
    Backend, BackendInput, BackendOutput, BeforeHost, JoinRefused, JoinRequest, JoinStep,
    LegCommand, MemberChange, MemberSnapshot, Moderation, Role, RoomFacts, RoomName, RoomPolicy,
    RoomSnapshot,
};
use crate::leg::end_reason::EndReason;
use crate::leg::media::{ConferenceEvent, ToMedia};
use crate::leg::room::media::RoomMedia;
use crate::media::codec::CodecKind;
use crate::media::ingress::Ingress;

const HOST_WAIT: Why = Why("room.host_wait");

/// All embedded rooms.
#[derive(Default)]
pub struct Rooms {
    rooms: BTreeMap<RoomName, Room>,
    /// Which room a leg is in.
    legs: BTreeMap<LegKey, RoomName>,
    rooms_born: u64,
    outputs: VecDeque<BackendOutput>,
}

struct Room {
    key: RoomKey,
    policy: RoomPolicy,
    /// Guests may enter: no host is needed, or one came.
    is_open: bool,
    /// A shard has its sound.
    has_sound: bool,
    seats_given: u64,
    /// In the order they came.
    members: Vec<Member>,
}

struct Member {
    leg: LegKey,
    role: Role,
    label: crate::base::pii::Pii<String>,
    codecs: Vec<CodecKind>,
    seat: u64,
    /// Waits for the host, until then.
    waits_until: Option<Instant>,
    is_muted: bool,
    is_speaking: bool,
    has_hand_raised: bool,
}

impl Rooms {
    /// No rooms, so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a waiting or new member in: sound first, then the news.
    fn admit(&mut self, now: Instant, name: &RoomName, leg: LegKey) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(member) = room.members.iter_mut().find(|member| member.leg == leg) else { return };
        member.waits_until = None;
        let half = member.half();
        if !room.has_sound {
            room.has_sound = true;
            // One seat more than the cap: a room full of guests still lets in the host they wait for.
            let seats = room.policy.members_max.clamp(1, ROOM_MEMBERS_MAX).saturating_add(1);
            let ingress = Ingress::new(seats);
            let open = ToMedia::OpenRoom { room: room.key, ingress };
            self.outputs.push_back(BackendOutput::Media(leg, open));
        }
        let attach = ToMedia::AttachConference { call: leg.call, room: room.key, half };
        self.outputs.push_back(BackendOutput::Media(leg, attach));
        let facts = room.facts();
        debug!(leg = %leg, members = facts.members, at = ?now, "entered room");
        self.outputs.push_back(BackendOutput::Joined(leg, facts));
        self.tell_others(name, leg, MemberChange::Entered);
    }

    /// Somebody who may says that this one need not wait for the host.
    fn admit_by_hand(&mut self, now: Instant, leg: LegKey) {
        if self.member_mut(leg).is_some_and(|member| member.waits_until.is_some())
            && let Some(name) = self.legs.get(&leg).cloned()
        {
            self.outputs.push_back(BackendOutput::Progress(leg, JoinStep::Admitted));
            self.admit(now, &name, leg);
        }
    }

    /// The host is there: everybody who waits comes in.
    fn open(&mut self, now: Instant, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.is_open = true;
        let waiting: Vec<LegKey> =
            room.members.iter().filter(|it| it.waits_until.is_some()).map(|it| it.leg).collect();
        for leg in waiting {
            self.outputs.push_back(BackendOutput::Progress(leg, JoinStep::HostArrived));
            self.admit(now, name, leg);
        }
    }

    fn leave(&mut self, leg: LegKey, reason: EndReason) {
        let Some(name) = self.legs.remove(&leg) else { return };
        let Some(room) = self.rooms.get_mut(&name) else { return };
        let Some(place) = room.members.iter().position(|member| member.leg == leg) else { return };
        let member = room.members.remove(place);
        let was_inside = member.waits_until.is_none();
        let (key, is_last) = (room.key, room.members.is_empty());
        if was_inside {
            let detach = ToMedia::DetachConference(leg.call);
            self.outputs.push_back(BackendOutput::Media(leg, detach));
            self.tell_others(&name, leg, MemberChange::Exited);
        }
        if is_last {
            let had_sound = self.rooms.remove(&name).is_some_and(|room| room.has_sound);
            if had_sound {
                self.outputs.push_back(BackendOutput::Media(leg, ToMedia::CloseRoom(key)));
            }
        }
        self.outputs.push_back(BackendOutput::Left(leg, reason));
    }

    fn tell_others(&mut self, name: &RoomName, leg: LegKey, change: MemberChange) {
        let Some(room) = self.rooms.get(name) else { return };
        let facts = room.facts();
        for other in room.inside().filter(|other| other.leg != leg) {
            self.outputs.push_back(BackendOutput::Members(other.leg, change, facts));
        }
    }

    fn change_codecs(&mut self, leg: LegKey, codecs: Vec<CodecKind>) {
        let Some(room) = self.legs.get(&leg).and_then(|name| self.rooms.get_mut(name)) else {
            return;
        };
        let key = room.key;
        let Some(member) = room.members.iter_mut().find(|member| member.leg == leg) else { return };
        member.codecs = codecs;
        if member.waits_until.is_none() {
            let detach = ToMedia::DetachConference(leg.call);
            self.outputs.push_back(BackendOutput::Media(leg, detach));
            let half = member.half();
            let attach = ToMedia::AttachConference { call: leg.call, room: key, half };
            self.outputs.push_back(BackendOutput::Media(leg, attach));
        }
    }

    fn member_mut(&mut self, leg: LegKey) -> Option<&mut Member> {
        let room = self.rooms.get_mut(self.legs.get(&leg)?)?;
        room.members.iter_mut().find(|member| member.leg == leg)
    }
}

impl Backend for Rooms {
    fn open_leg(
        &mut self,
        now: Instant,
        leg: LegKey,
        ask: JoinRequest,
        _rng: Rng,
    ) -> Result<(), JoinRefused> {
        let name = ask.room.clone();
        let is_live = self.rooms.get(&name).is_some_and(|room| room.is_open);
        let refuses = ask.policy.before_host == BeforeHost::Refuse;
        if refuses && !is_live && ask.role == Role::Guest {
            return Err(JoinRefused::NotLive);
        }
        if !self.rooms.contains_key(&name) {
            self.rooms_born += 1;
            let key = RoomKey(self.rooms_born);
            self.rooms.insert(name.clone(), Room::new(key, ask.policy));
        }
        let Some(room) = self.rooms.get_mut(&name) else { return Err(JoinRefused::Unavailable) };
        // A host is let into a room full of waiting guests: without him nobody gets out of it.
        let waited_for = ask.role == Role::Host && !room.is_open;
        let members_max = room.policy.members_max.clamp(1, ROOM_MEMBERS_MAX);
        if room.members.len() >= members_max + usize::from(waited_for) {
            return Err(JoinRefused::Full);
        }
        let waits = !room.is_open && ask.role == Role::Guest;
        room.seats_given += 1;
        room.members.push(Member {
            leg,
            role: ask.role,
            label: ask.label,
            codecs: codecs_of(ask.codec, &ask.codecs),
            seat: room.seats_given,
            waits_until: waits.then(|| now + room.policy.host_wait_max),
            is_muted: false,
            is_speaking: false,
            has_hand_raised: false,
        });
        self.legs.insert(leg, name.clone());
        if waits {
            self.outputs.push_back(BackendOutput::Progress(leg, JoinStep::WaitingForHost));
            return Ok(());
        }
        self.admit(now, &name, leg);
        if waited_for {
            self.open(now, &name);
        }
        Ok(())
    }

    fn handle_input(&mut self, _now: Instant, input: BackendInput) {
        match input {
            BackendInput::FromMedia(leg, ConferenceEvent::Lost) => {
                self.leave(leg, EndReason::NoResources);
            }
            BackendInput::FromMedia(leg, ConferenceEvent::Speaking(speaks)) => {
                if let Some(member) = self.member_mut(leg) {
                    member.is_speaking = speaks;
                }
            }
            // It has no streams, and a connection is no news.
            _ => {}
        }
    }

    fn command(&mut self, now: Instant, leg: LegKey, command: LegCommand) {
        match command {
            LegCommand::Leave(reason) => self.leave(leg, reason),
            LegCommand::Mute(muted) => {
                if let Some(member) = self.member_mut(leg) {
                    member.is_muted = muted;
                    let shown = BackendOutput::Moderated(leg, Moderation::Shown(muted));
                    self.outputs.push_back(shown);
                }
            }
            LegCommand::RaiseHand(raised) => {
                if let Some(member) = self.member_mut(leg) {
                    member.has_hand_raised = raised;
                }
            }
            LegCommand::Codecs(codecs) => self.change_codecs(leg, codecs),
            LegCommand::Admit => self.admit_by_hand(now, leg),
            // It never asks for one.
            LegCommand::Password(_) => {}
            // Its members are phones: nobody sees it.
            LegCommand::Status(_) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let late = |member: &&Member| member.waits_until.is_some_and(|until| until <= now);
        let tired: Vec<LegKey> = self
            .rooms
            .values()
            .flat_map(|room| room.members.iter().filter(late).map(|member| member.leg))
            .collect();
        for leg in tired {
            self.leave(leg, EndReason::HostNeverCame);
        }
    }

    fn poll_output(&mut self) -> Option<BackendOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let waits = |room: &Room| room.members.iter().filter_map(|it| it.waits_until).min();
        let shut = self.rooms.values().filter(|room| !room.is_open);
        shut.filter_map(waits).min().map(|at| (at, HOST_WAIT))
    }

    fn snapshot(&self) -> Vec<RoomSnapshot> {
        self.rooms
            .iter()
            .map(|(name, room)| RoomSnapshot {
                name: name.clone(),
                room: room.key,
                members: room.members.iter().map(Member::snapshot).collect(),
            })
            .collect()
    }
}

impl Room {
    fn new(key: RoomKey, policy: RoomPolicy) -> Self {
        let is_open = policy.before_host == BeforeHost::Join;
        Self { key, policy, is_open, has_sound: false, seats_given: 0, members: Vec::new() }
    }

    fn inside(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.waits_until.is_none())
    }

    fn facts(&self) -> RoomFacts {
        RoomFacts { room: self.key, members: self.inside().count() }
    }
}

impl Member {
    fn half(&self) -> Box<RoomMedia> {
        let rate = self.codecs.first().copied().unwrap_or(CodecKind::Pcma).row().pcm_rate;
        RoomMedia::new(self.seat, &self.codecs, rate)
    }

    fn snapshot(&self) -> MemberSnapshot {
        MemberSnapshot {
            leg: self.leg,
            role: self.role,
            label: self.label.clone(),
            waiting: self.waits_until.is_some(),
            muted: self.is_muted,
            speaking: self.is_speaking && !self.is_muted,
            hand_raised: self.has_hand_raised,
        }
    }
}

/// The codec of the ear first, then the others the phone may send.
fn codecs_of(ear: CodecKind, others: &[CodecKind]) -> Vec<CodecKind> {
    let mut codecs = vec![ear];
    for codec in others {
        if !codecs.contains(codec) {
            codecs.push(*codec);
        }
    }
    codecs
}

#[cfg(test)]
mod tests;
