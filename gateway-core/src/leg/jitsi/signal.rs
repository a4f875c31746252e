//! The Jitsi backend: each phone is an occupant of a real Jitsi room, with a stream and an address of its own.
//!
//! Keeps the legs apart and carries what they say; what a leg does is in `leg`, what its media side looks like from
//! here in [`session`], what it is in [`bridge`], and where a deployment's services are in [`settings`].

pub mod bridge;
mod deadlines;
mod leg;
mod recovery;
pub mod session;
pub mod settings;
mod sounds;
mod translate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use self::deadlines::Deadlines;
use self::leg::{Birth, Leg};
use self::session::Session;
use self::settings::JitsiSettings;
use self::sounds::Sounds;
use crate::base::ids::{LegKey, RoomKey, StreamKey};
use crate::base::limits::JITSI_SOURCES_MAX;
use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::jitsi::disco::Answers;
use crate::jitsi::stanza::disco::{AUDIO_MUTE, Abilities};
use crate::leg::backend::{
    Backend, BackendInput, BackendOutput, EmptyRoom, JoinRefused, JoinRequest, LegCommand,
    RoomSnapshot,
};
use crate::leg::counters::BackendCounters;
use crate::leg::media::{ConferenceEvent, ToMedia};
use crate::media::ingress::{EarKey, Ingress};
use crate::webrtc::Certificate;

/// Makes the media side of a leg.
pub trait SessionMaker: Send {
    /// What sessions of this kind can do beyond the plain (bridge channel and such): goes into disco.
    fn abilities(&self) -> &'static [&'static str];
    /// The DTLS certificate of sessions from now on.
    fn set_certificate(&mut self, certificate: Arc<Certificate>);
    /// The session of one leg, which listens with this ear. What it attaches goes into the sound of the leg's room.
    fn session(
        &mut self,
        now: Instant,
        leg: LegKey,
        ear: EarKey,
        ask: &JoinRequest,
        rng: Rng,
    ) -> Box<dyn Session>;
}

/// All phones in the rooms of one deployment.
pub struct JitsiBackend {
    settings: Arc<JitsiSettings>,
    answers: Answers,
    sessions: Box<dyn SessionMaker>,
    /// Milliseconds of Unix time at that instant.
    clock: (Instant, u64),
    legs: BTreeMap<LegKey, Leg>,
    legs_born: u64,
    sounds: Sounds,
    deadlines: Deadlines,
    counters: BackendCounters,
    outputs: VecDeque<BackendOutput>,
}

impl JitsiBackend {
    /// No phone, so far. `wall` dates raised hands.
    pub fn new(
        settings: JitsiSettings,
        sessions: Box<dyn SessionMaker>,
        now: Instant,
        wall: WallClock,
    ) -> Self {
        let all = Abilities::new(sessions.abilities());
        let abilities = if settings.can_be_muted { all } else { all.without(AUDIO_MUTE) };
        Self {
            settings: Arc::new(settings),
            answers: Answers::new(abilities),
            sessions,
            clock: (now, wall.unix.as_millis() as u64),
            legs: BTreeMap::new(),
            legs_born: 0,
            sounds: Sounds::default(),
            deadlines: Deadlines::default(),
            counters: BackendCounters::default(),
            outputs: VecDeque::new(),
        }
    }

    fn with_leg(&mut self, now: Instant, key: LegKey, act: impl FnOnce(&mut Leg)) {
        let Some(leg) = self.legs.get_mut(&key) else { return };
        let before = leg.standing();
        act(leg);
        let after = leg.standing();
        self.counters.add(&leg.take_counters());
        let (outputs, is_gone) = (std::mem::take(&mut leg.outputs), leg.is_gone());
        self.deadlines.set(key, leg.poll_timeout().filter(|_| !is_gone));
        let mut has_moved = before != after;
        for output in outputs {
            has_moved |= self.say(key, output);
        }
        if is_gone {
            self.legs.remove(&key);
        }
        if has_moved {
            let rooms = [before, after].map(|it| it.map(|it| it.room));
            self.share(now, rooms.into_iter().flatten().collect());
        }
    }

    /// Puts a leg's media half into the sound of its room, which is opened for the first and closed after the last. True
    /// if a seat was taken or left.
    fn say(&mut self, key: LegKey, output: BackendOutput) -> bool {
        let (output, closes) = match output {
            BackendOutput::Media(_, ToMedia::AttachConference { call, half, .. }) => {
                let address = self.legs.get(&key).map(|leg| leg.muc.room().to_owned());
                let seat = self.sounds.take_seat(key, &address.unwrap_or_default());
                if seat.opens {
                    let ingress = Ingress::new(JITSI_SOURCES_MAX);
                    let open = ToMedia::OpenRoom { room: seat.room, ingress };
                    self.outputs.push_back(BackendOutput::Media(key, open));
                }
                let attach = ToMedia::AttachConference { call, room: seat.room, half };
                (BackendOutput::Media(key, attach), seat.closes)
            }
            BackendOutput::Media(_, ToMedia::DetachConference(_)) => {
                (output, self.sounds.leave_seat(key))
            }
            output => {
                self.outputs.push_back(output);
                return false;
            }
        };
        self.outputs.push_back(output);
        if let Some(room) = closes {
            let close = ToMedia::CloseRoom(room);
            self.outputs.push_back(BackendOutput::Media(key, close));
        }
        true
    }

    /// Who listens for whom in these rooms, now that somebody came, went, or lost his sound.
    fn share(&mut self, now: Instant, rooms: BTreeSet<String>) {
        for room in rooms {
            let standing = |(key, leg): (&LegKey, &Leg)| {
                let standing = leg.standing().filter(|it| it.room == room)?;
                Some((*key, standing))
            };
            let standings = self.legs.iter().filter_map(standing).collect();
            for (key, hearing) in self.sounds.hearings(&room, &standings) {
                let Some(leg) = self.legs.get_mut(&key) else { continue };
                leg.hear(now, hearing);
                self.deadlines.set(key, leg.poll_timeout());
                self.outputs.append(&mut leg.outputs);
            }
        }
    }
}

impl Backend for JitsiBackend {
    fn open_leg(
        &mut self,
        now: Instant,
        leg: LegKey,
        ask: JoinRequest,
        rng: Rng,
    ) -> Result<(), JoinRefused> {
        let in_room = self.legs.values().filter(|leg| leg.is_for(&ask.room)).count();
        if in_room >= ask.policy.members_max {
            return Err(JoinRefused::Full);
        }
        self.legs_born += 1;
        let ear = EarKey(self.legs_born);
        let session = self.sessions.session(now, leg, ear, &ask, rng.fork("session"));
        let birth = Birth {
            key: leg,
            ear,
            settings: self.settings.clone(),
            ask,
            clock: self.clock,
            answers: self.answers.clone(),
            session,
            rng,
        };
        self.legs.insert(leg, Leg::new(now, birth));
        self.with_leg(now, leg, |leg| leg.drain(now));
        Ok(())
    }

    fn handle_input(&mut self, now: Instant, input: BackendInput) {
        match input {
            BackendInput::FromMedia(leg, ConferenceEvent::RoomKey { ssrc, timestamp, press }) => {
                // Who listens for all hears it for all.
                for leg in self.sounds.pressed(leg, (ssrc, timestamp)) {
                    self.outputs.push_back(BackendOutput::RoomKey(leg, press));
                }
            }
            BackendInput::FromMedia(leg, event) => {
                self.with_leg(now, leg, |leg| leg.handle_media(now, event));
            }
            BackendInput::Certificate(certificate) => self.sessions.set_certificate(certificate),
            BackendInput::PortOpened { leg, socket, address } => {
                self.with_leg(now, leg, |leg| leg.port_opened(now, socket, address));
            }
            BackendInput::Stanza(StreamKey(leg), stanza) => {
                self.with_leg(now, leg, |leg| leg.handle_stanza(now, &stanza));
            }
            BackendInput::StreamUp { stream: StreamKey(leg), jid, resumed } => {
                self.with_leg(now, leg, |leg| {
                    leg.stream_up(now, jid, resumed);
                    leg.drain(now);
                });
            }
            BackendInput::BridgeSocket(StreamKey(leg), news) => {
                self.with_leg(now, leg, |leg| leg.bridge_socket(now, news));
            }
            BackendInput::StreamDown { stream: StreamKey(leg), reason } => {
                self.with_leg(now, leg, |leg| {
                    leg.stream_down(now, reason);
                    leg.drain(now);
                });
            }
        }
    }

    fn command(&mut self, now: Instant, leg: LegKey, command: LegCommand) {
        self.with_leg(now, leg, |leg| leg.command(now, command));
    }

    fn handle_timeout(&mut self, now: Instant) {
        for key in self.deadlines.due(now) {
            self.with_leg(now, key, |leg| leg.handle_timeout(now));
        }
    }

    fn poll_output(&mut self) -> Option<BackendOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        self.deadlines.next()
    }

    fn empty_room(&self) -> EmptyRoom {
        self.settings.empty_room
    }

    fn counters(&self) -> BackendCounters {
        self.counters
    }

    fn snapshot(&self) -> Vec<RoomSnapshot> {
        let mut rooms: BTreeMap<_, RoomSnapshot> = BTreeMap::new();
        for leg in self.legs.values() {
            let room = rooms.entry(leg.ask.room.clone()).or_insert_with(|| RoomSnapshot {
                name: leg.ask.room.clone(),
                room: self.sounds.seat(leg.key).map_or(RoomKey::default(), |(_, key)| key),
                members: Vec::new(),
            });
            room.members.push(leg.snapshot());
        }
        rooms.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
