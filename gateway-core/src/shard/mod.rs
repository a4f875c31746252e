//! Floor 4: the media plane: legs in four phases of 5 ms, one ingress per room, one clock.
//!
//! Sans-IO: packets and commands in, packets and reports out. After every call: `poll_transmit` until `None`, then
//! `poll_output` until `None`, then `poll_timeout` once. Every allocation is made at the start or by signalling; what
//! a shard is done with goes home in a box.
//!
//! The work of one leg runs under a panic guard: its panic is `FromMedia::Failed`, and the others go on.

mod commands;
mod leg;
#[cfg(any(test, feature = "_testkit"))]
pub mod testkit;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use slotmap::SecondaryMap;

use self::leg::Leg;
use crate::base::ids::{CallKey, RoomKey};
use crate::base::limits::RTP_DATAGRAM_BYTES_MAX;
use crate::base::time::{Tick, WallClock, Why};
use crate::leg::browser::line::BrowserLine;
use crate::leg::counters::ConferenceCounters;
use crate::leg::media::{ConferenceMedia, FromMedia, MediaOutputs, SocketKind, Transmit};
use crate::leg::trunk::media::{MediaCounters, Plain, TrunkMedia};
use crate::media::ingress::Ingress;

/// Size of a shard: everything is allocated for it at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// Calls at once. Beyond it the shard allocates.
    pub calls_max: usize,
    /// Rooms at once. Beyond it the shard allocates.
    pub rooms_max: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self { calls_max: 1_000, rooms_max: 1_000 }
    }
}

crate::counters! {
    /// What the clock of a shard met.
    pub struct ShardCounters {
        /// Ticks of 5 ms done while there were calls.
        media_ticks,
        /// Times the media clock stood still for more than 60 ms and went on from where it was.
        media_clock_rebased,
        /// Legs that were stopped because of a fault of ours.
        media_legs_failed,
        /// Figures and keys that signalling did not take in time.
        media_outputs_dropped,
    }
}

/// The media plane of some calls.
pub struct Shard {
    legs: SecondaryMap<CallKey, Leg>,
    /// Sorted by key.
    rooms: Vec<Room>,
    /// Detached halves with a last datagram to send.
    leaving: VecDeque<Leaving>,
    /// The same of conference halves.
    leaving_seats: VecDeque<(CallKey, Box<dyn ConferenceMedia>)>,
    /// Calls with datagrams to send, each once.
    ready: VecDeque<CallKey>,
    outputs: MediaOutputs,
    tick: Tick,
    next_tick: Instant,
    wall: (Instant, WallClock),
    counters: ShardCounters,
    /// Of legs that are gone.
    /// Where packets of SRTP trunks are decrypted.
    decrypted: Box<Plain>,
    past: MediaCounters,
    past_conferences: ConferenceCounters,
}

/// A trunk half on its way home, with its line if it has one.
struct Leaving {
    call: CallKey,
    half: Box<TrunkMedia>,
    line: Option<Box<BrowserLine>>,
}

/// A room on this shard.
struct Room {
    key: RoomKey,
    ingress: Box<Ingress>,
    /// Its sound panicked: it is not touched again, except to give it back.
    failed: bool,
}

impl Shard {
    /// A shard without calls.
    pub fn new(config: ShardConfig, now: Instant) -> Self {
        let outputs = config.calls_max * OUTPUTS_PER_CALL;
        Self {
            legs: SecondaryMap::with_capacity(config.calls_max + 1),
            rooms: Vec::with_capacity(config.rooms_max),
            leaving: VecDeque::with_capacity(config.calls_max),
            leaving_seats: VecDeque::with_capacity(config.calls_max),
            ready: VecDeque::with_capacity(config.calls_max),
            outputs: MediaOutputs::new(outputs),
            tick: Tick::default(),
            next_tick: now,
            wall: (now, WallClock::default()),
            counters: ShardCounters::default(),
            decrypted: Box::new([0; RTP_DATAGRAM_BYTES_MAX]),
            past: MediaCounters::default(),
            past_conferences: ConferenceCounters::default(),
        }
    }

    /// A datagram that came to one of a call's sockets at `now` (the kernel's stamp, where there is one).
    pub fn handle_packet(
        &mut self,
        now: Instant,
        call: CallKey,
        socket: SocketKind,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(leg) = self.legs.get_mut(call).filter(|leg| !leg.failed) else { return };
        let ingress = room_of(&mut self.rooms, leg.room());
        let (outputs, decrypted) = (&mut self.outputs, &mut self.decrypted);
        let done = guarded(|| {
            leg.handle_packet(now, socket, from, (bytes, decrypted), ingress, outputs);
        });
        self.after(call, done);
    }

    /// One tick of 5 ms, if it is due. Call again while [`Self::poll_timeout`] is not in the future.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_idle() || now < self.next_tick {
            return;
        }
        self.catch_up(now);
        let at = self.next_tick;
        self.next_tick += Tick::LENGTH;
        self.counters.media_ticks += 1;
        self.tick_rooms(at);
        self.tick_legs(at);
        self.tick.0 += 1;
    }

    /// What time it is, for RTCP; about once a second.
    pub fn set_wall_clock(&mut self, now: Instant, wall: WallClock) {
        self.wall = (now, wall);
    }

    /// The next datagram to send, written into `buffer` ([`crate::base::limits::RTP_DATAGRAM_BYTES_MAX`]).
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<(CallKey, Transmit)> {
        while let Some(call) = self.ready.front().copied() {
            let leg = self.legs.get_mut(call).filter(|leg| !leg.failed);
            if let Some(transmit) = leg.and_then(|leg| leg.poll_transmit(buffer)) {
                return Some((call, transmit));
            }
            self.ready.pop_front();
            if let Some(leg) = self.legs.get_mut(call) {
                leg.queued = false;
            }
        }
        while let Some((call, half)) = self.leaving_seats.front_mut() {
            let call = *call;
            if let Some(Some(transmit)) = guarded(|| half.poll_transmit(buffer)) {
                return Some((call, transmit));
            }
            if let Some((call, half)) = self.leaving_seats.pop_front() {
                self.outputs.push(FromMedia::ConferenceDetached { call, half });
            }
        }
        while let Some(Leaving { call, half, line }) = self.leaving.front_mut() {
            let transmit = match line {
                None => half.poll_transmit(buffer),
                Some(line) => line.poll_transmit(buffer),
            };
            if let Some(transmit) = transmit {
                return Some((*call, transmit));
            }
            if let Some(leaving) = self.leaving.pop_front() {
                self.gone_home(leaving);
            }
        }
        None
    }

    /// What to tell signalling.
    pub fn poll_output(&mut self) -> Option<FromMedia> {
        self.outputs.pop()
    }

    /// The next tick; `None` while there is no call.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        (!self.is_idle()).then_some((self.next_tick, TICK))
    }

    /// Whether a command may be given: its answer has a place. Else drain [`Self::poll_output`] first.
    pub fn takes_commands(&self) -> bool {
        self.outputs.has_room()
    }

    /// What the clock met.
    pub fn counters(&self) -> ShardCounters {
        ShardCounters { media_outputs_dropped: self.outputs.dropped(), ..self.counters }
    }

    /// What the legs received, present and past.
    pub fn media_counters(&self) -> MediaCounters {
        let mut sum = self.past;
        for trunk in self.legs.values().filter_map(|leg| leg.trunk.as_ref()) {
            sum.add(trunk.counters());
        }
        sum
    }

    /// What conference legs and their transports met, present and past.
    pub fn conference_counters(&self) -> ConferenceCounters {
        let mut sum = self.past_conferences;
        for leg in self.legs.values() {
            if let Some(seat) = &leg.seat {
                let room = self.rooms.binary_search_by_key(&seat.room, |room| room.key).ok();
                let ingress = room.and_then(|place| self.rooms.get(place)).map(|it| &*it.ingress);
                seat.half.count(ingress, &mut sum);
            }
            if let Some(line) = &leg.line {
                sum.transport.add(&line.counters());
            }
        }
        sum
    }

    /// Calls with a trunk leg here.
    pub fn calls(&self) -> usize {
        self.legs.len()
    }

    fn is_idle(&self) -> bool {
        self.legs.is_empty() && self.leaving.is_empty() && self.leaving_seats.is_empty()
    }

    /// Late by more than three periods: those frames are gone. They become silence, never delay.
    fn catch_up(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.next_tick);
        if late <= PERIOD * PERIODS_CAUGHT_UP {
            return;
        }
        let periods = (late.as_micros() / PERIOD.as_micros()).min(u128::from(u32::MAX)) as u32;
        self.next_tick += PERIOD * periods;
        self.counters.media_clock_rebased += 1;
        for leg in self.legs.values_mut().filter(|leg| !leg.failed) {
            leg.skip_frames(periods);
        }
    }

    fn tick_rooms(&mut self, now: Instant) {
        let mut broken = false;
        for room in self.rooms.iter_mut().filter(|room| !room.failed) {
            room.failed = guarded(|| room.ingress.tick(now)).is_none();
            broken |= room.failed;
        }
        if broken {
            self.fail_legs_of_failed_rooms();
        }
    }

    fn tick_legs(&mut self, now: Instant) {
        let phase = (self.tick.0 % PHASES) as u8;
        let wall = wall_at(self.wall, now);
        for (call, leg) in self.legs.iter_mut().filter(|(_, leg)| !leg.failed) {
            let ingress = room_of(&mut self.rooms, leg.room());
            let outputs = &mut self.outputs;
            let done = guarded(|| {
                leg.tick(now, wall, phase, call, ingress, outputs);
            });
            if done.is_none() {
                fail(call, leg, outputs, &mut self.counters);
            } else if !leg.queued && leg.has_output() {
                leg.queued = true;
                self.ready.push_back(call);
            }
        }
    }

    fn after(&mut self, call: CallKey, done: Option<()>) {
        let Some(leg) = self.legs.get_mut(call) else { return };
        if done.is_none() {
            fail(call, leg, &mut self.outputs, &mut self.counters);
        } else if !leg.queued && leg.has_output() {
            leg.queued = true;
            self.ready.push_back(call);
        }
    }

    /// A room whose sound panicked takes all its legs along: nobody knows what state it is in.
    fn fail_legs_of_failed_rooms(&mut self) {
        for (call, leg) in self.legs.iter_mut().filter(|(_, leg)| !leg.failed) {
            let Some(key) = leg.room() else { continue };
            if self.rooms.iter().any(|room| room.key == key && room.failed) {
                fail(call, leg, &mut self.outputs, &mut self.counters);
            }
        }
    }
}

fn fail(call: CallKey, leg: &mut Leg, outputs: &mut MediaOutputs, counters: &mut ShardCounters) {
    leg.failed = true;
    counters.media_legs_failed += 1;
    outputs.push(FromMedia::Failed(call));
}

/// The sound of a leg's room, unless it failed.
fn room_of(rooms: &mut [Room], key: Option<RoomKey>) -> Option<&mut Ingress> {
    let key = key?;
    let place = rooms.binary_search_by_key(&key, |room| room.key).ok()?;
    rooms.get_mut(place).filter(|room| !room.failed).map(|room| &mut *room.ingress)
}

/// Runs the work of one leg. `None`: it panicked; what it worked on is not used again.
fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn wall_at((then, wall): (Instant, WallClock), now: Instant) -> WallClock {
    WallClock { unix: wall.unix + now.saturating_duration_since(then) }
}

const TICK: Why = Why("shard.tick");
const PERIOD: Duration = Duration::from_millis(20);
const PHASES: u64 = 4;
/// Late by no more than this, the missed frames are still made; a phone's buffer holds them.
const PERIODS_CAUGHT_UP: u32 = 3;
/// Keys, a report, a play that ended, and a detachment between two drains.
const OUTPUTS_PER_CALL: usize = 4;

#[cfg(test)]
mod tests;
