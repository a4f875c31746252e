//! What signalling wants of a shard. A command for a call or room that is gone gives its boxes back and does nothing.

use std::time::Instant;

use super::leg::{Leg, Seat, protect};
use super::{Leaving, PHASES, Room, Shard, guarded, room_of, wall_at};
use crate::base::ids::{CallKey, PlayToken, RoomKey};
use crate::leg::browser::line::BrowserLine;
use crate::leg::media::{
    ConferenceCommand, ConferenceMedia, FromMedia, MediaOutputs, Playlist, ToMedia,
};
use crate::leg::trunk::media::{AudioPath, TrunkMedia};
use crate::media::ingress::Ingress;
use crate::rtp::session::RtpSession;

impl Shard {
    /// From signalling.
    pub fn command(&mut self, now: Instant, command: ToMedia) {
        match command {
            ToMedia::OpenRoom { room, ingress } => self.open_room(room, ingress),
            ToMedia::CloseRoom(room) => self.close_room(room),
            ToMedia::AttachTrunk { call, half } => self.attach_trunk(now, call, half),
            ToMedia::AttachLine { call, line } => self.attach_line(now, call, line),
            ToMedia::AttachConference { call, room, half } => {
                self.attach_conference(now, call, room, half);
            }
            ToMedia::Conference { call, command } => self.command_conference(now, call, command),
            ToMedia::DetachConference(call) => self.detach_conference(call),
            ToMedia::DetachTrunk(call) => self.detach_trunk(now, call),
            ToMedia::Configure { call, path, session } => self.configure(now, call, path, session),
            ToMedia::Mute { call, muted } => self.mute(call, muted),
            ToMedia::Play { call, token, playlist } => self.play(call, token, playlist),
            ToMedia::StopPlay { call, token } => {
                self.with_trunk(call, |trunk, outputs| trunk.stop_play(token, outputs));
            }
            ToMedia::SendKeys { call, keys, way } => {
                self.with_trunk(call, |trunk, _| trunk.send_keys(&keys, way));
            }
        }
    }

    fn open_room(&mut self, key: RoomKey, ingress: Box<Ingress>) {
        let room = Room { key, ingress, failed: false };
        match self.rooms.binary_search_by_key(&key, |room| room.key) {
            Ok(_) => {
                debug_assert!(false, "a room key is never used twice");
                self.outputs.push(FromMedia::RoomClosed { room: key, ingress: room.ingress });
            }
            Err(place) => self.rooms.insert(place, room),
        }
    }

    /// Legs that are still in it lose their seat first.
    fn close_room(&mut self, key: RoomKey) {
        while let Some(call) =
            self.legs.iter().find(|(_, leg)| leg.room() == Some(key)).map(|(call, _)| call)
        {
            self.detach_conference(call);
        }
        if let Ok(place) = self.rooms.binary_search_by_key(&key, |room| room.key) {
            let ingress = self.rooms.remove(place).ingress;
            self.outputs.push(FromMedia::RoomClosed { room: key, ingress });
        }
    }

    fn attach_trunk(&mut self, now: Instant, call: CallKey, half: Box<TrunkMedia>) {
        if self.is_idle() {
            // The clock stood still while nobody listened.
            self.next_tick = now;
        }
        let phase = self.least_busy_phase();
        let leg =
            Leg { trunk: Some(half), line: None, seat: None, phase, failed: false, queued: false };
        if let Some(old) = self.legs.insert(call, leg) {
            debug_assert!(false, "a call has one trunk leg");
            self.send_home(call, old);
        }
    }

    fn attach_line(&mut self, now: Instant, call: CallKey, line: Box<BrowserLine>) {
        let Some(leg) = self.legs.get_mut(call).filter(|leg| !leg.failed) else {
            return self.outputs.push(FromMedia::LineDetached { call, line });
        };
        debug_assert!(leg.line.is_none(), "a call has one line");
        let line = leg.line.insert(line);
        let done = guarded(|| line.handle_timeout(now));
        self.after(call, done);
    }

    fn attach_conference(
        &mut self,
        now: Instant,
        call: CallKey,
        room: RoomKey,
        mut half: Box<dyn ConferenceMedia>,
    ) {
        let before = self.legs.get(call).and_then(|leg| leg.seat.as_ref());
        if let Some(place) = before.and_then(|seat| seat.half.uplink_place()) {
            half.go_on_from(place);
        }
        self.detach_conference(call);
        let ingress = room_of(&mut self.rooms, Some(room));
        let leg = self.legs.get_mut(call).filter(|leg| !leg.failed);
        let (Some(leg), Some(ingress)) = (leg, ingress) else {
            self.outputs.push(FromMedia::ConferenceDetached { call, half });
            self.outputs.push(FromMedia::Failed(call));
            return;
        };
        leg.seat = Some(Seat { room, half });
        let done = guarded(|| leg.take_seat(now, ingress));
        self.after(call, done);
    }

    fn command_conference(&mut self, now: Instant, call: CallKey, command: ConferenceCommand) {
        let Some(leg) = self.legs.get_mut(call).filter(|leg| !leg.failed) else { return };
        let ingress = room_of(&mut self.rooms, leg.room());
        let done = guarded(|| leg.command_conference(now, command, ingress));
        self.after(call, done);
    }

    fn detach_conference(&mut self, call: CallKey) {
        let Some(leg) = self.legs.get_mut(call) else { return };
        let Some(mut seat) = leg.seat.take() else { return };
        if let Some(ingress) = room_of(&mut self.rooms, Some(seat.room)) {
            let done = guarded(|| seat.half.detach(ingress));
            seat.half.count(Some(ingress), &mut self.past_conferences);
            if done.is_some() && seat.half.has_output() {
                // After its goodbye.
                self.leaving_seats.push_back((call, seat.half));
            } else {
                self.outputs.push(FromMedia::ConferenceDetached { call, half: seat.half });
            }
            self.after(call, done);
        } else {
            seat.half.count(None, &mut self.past_conferences);
            self.outputs.push(FromMedia::ConferenceDetached { call, half: seat.half });
        }
    }

    fn detach_trunk(&mut self, now: Instant, call: CallKey) {
        self.detach_conference(call);
        let Some(mut leg) = self.legs.remove(call) else { return };
        if let Some(trunk) = leg.trunk.as_mut().filter(|_| !leg.failed) {
            let (wall, outputs) = (wall_at(self.wall, now), &mut self.outputs);
            let line = &mut leg.line;
            let close = || {
                trunk.close(now, wall, outputs);
                if let Some(line) = line {
                    protect(trunk, line);
                    line.close(now);
                }
            };
            leg.failed = guarded(close).is_none();
        }
        self.send_home(call, leg);
    }

    /// At once, or after its last datagram.
    fn send_home(&mut self, call: CallKey, leg: Leg) {
        let Some(half) = leg.trunk else { return };
        let line = leg.line;
        let has_output = line.as_ref().map_or(half.has_output(), |line| line.has_output());
        let leaving = Leaving { call, half, line };
        if has_output && !leg.failed {
            self.leaving.push_back(leaving);
        } else {
            self.gone_home(leaving);
        }
    }

    pub(super) fn gone_home(&mut self, Leaving { call, half, line }: Leaving) {
        if let Some(line) = line {
            self.past_conferences.transport.add(&line.counters());
            self.outputs.push(FromMedia::LineDetached { call, line });
        }
        let report = half.report(None);
        self.past.add(half.counters());
        self.outputs.push(FromMedia::TrunkDetached { call, half, report });
    }

    fn configure(
        &mut self,
        now: Instant,
        call: CallKey,
        path: Box<AudioPath>,
        session: Box<RtpSession>,
    ) {
        let Some(leg) = self.legs.get_mut(call).filter(|leg| !leg.failed) else {
            let (path, session) = (Some(path), Some(session));
            self.outputs.push(FromMedia::Replaced { path, session });
            return;
        };
        let ingress = room_of(&mut self.rooms, leg.room());
        let outputs = &mut self.outputs;
        let done = guarded(|| leg.configure(now, path, session, ingress, outputs));
        self.after(call, done);
    }

    fn mute(&mut self, call: CallKey, muted: bool) {
        let Some(leg) = self.legs.get_mut(call).filter(|leg| !leg.failed) else { return };
        let ingress = room_of(&mut self.rooms, leg.room());
        let done = guarded(|| leg.set_muted(muted, ingress));
        self.after(call, done);
    }

    fn play(&mut self, call: CallKey, token: PlayToken, playlist: Box<Playlist>) {
        if self.legs.get(call).is_some_and(|leg| !leg.failed) {
            self.with_trunk(call, |trunk, outputs| trunk.play(token, playlist, outputs));
        } else {
            self.outputs.push(FromMedia::PlayDone { call, token, finished: false, playlist });
        }
    }

    fn with_trunk(&mut self, call: CallKey, work: impl FnOnce(&mut TrunkMedia, &mut MediaOutputs)) {
        let Some(leg) = self.legs.get_mut(call).filter(|leg| !leg.failed) else { return };
        let Some(trunk) = &mut leg.trunk else { return };
        let outputs = &mut self.outputs;
        let done = guarded(|| work(trunk, outputs));
        self.after(call, done);
    }

    fn least_busy_phase(&self) -> u8 {
        let mut load = [0_usize; PHASES as usize];
        for leg in self.legs.values() {
            load[usize::from(leg.phase) % load.len()] += 1;
        }
        (0..PHASES as u8).min_by_key(|phase| load[usize::from(*phase)]).unwrap_or_default()
    }
}
