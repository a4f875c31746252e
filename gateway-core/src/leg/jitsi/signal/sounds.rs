//! The sound of each room on the shard, shared by all phones that are in it.
//!
//! One of them, the *listener*, feeds what he hears into it. His own voice comes by a *second* leg. The others feed
//! nothing and ask the bridge for nothing, so that the tenth phone of a room costs no decoding. Whoever listens stays
//! at it while he can; the next one is connected already.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::session::{Hearing, Whom};
use crate::base::ids::{LegKey, RoomKey};
use crate::media::ingress::EarKey;

/// All rooms with sound.
#[derive(Debug, Default)]
pub(super) struct Sounds {
    born: u64,
    /// By address.
    rooms: BTreeMap<String, Sound>,
    /// In which room's sound a leg sits. It may be in another room already.
    seats: BTreeMap<LegKey, String>,
}

#[derive(Debug)]
struct Sound {
    key: RoomKey,
    seats: BTreeSet<LegKey>,
    listener: Option<LegKey>,
    second: Option<LegKey>,
    /// What each leg was told last.
    told: BTreeMap<LegKey, Hearing>,
    /// The last keys that were pressed in it, by stream and time: another listener may hear the same.
    keys: VecDeque<(u32, u32)>,
}

/// Where a leg stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Address of the room it is in.
    pub(super) room: String,
    /// Its nick there.
    pub(super) nick: String,
    /// Its ear.
    pub(super) ear: EarKey,
    /// What its session carries.
    pub(super) sound: Carries,
}

/// Whether a leg's session carries sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carries {
    /// No.
    Nothing,
    /// It did when we last heard of it. Our stream is down: the server may have put us out, and the bridge, too.
    Perhaps,
    /// Yes.
    Sound,
}

/// A seat that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// In this sound.
    pub(super) room: RoomKey,
    /// Which must be opened first.
    pub(super) opens: bool,
    /// The one that was left, if nobody is in it any more.
    pub(super) closes: Option<RoomKey>,
}

impl Sounds {
    /// A leg takes its seat in the sound of the room at `address`.
    pub(super) fn take_seat(&mut self, leg: LegKey, address: &str) -> Seat {
        let is_there = self.seats.get(&leg).is_some_and(|seat| seat == address);
        let closes = if is_there { None } else { self.leave_seat(leg) };
        self.seats.insert(leg, address.to_owned());
        let opens = !self.rooms.contains_key(address);
        let born = &mut self.born;
        let sound = self.rooms.entry(address.to_owned()).or_insert_with(|| {
            *born += 1;
            Sound {
                key: RoomKey(*born),
                seats: BTreeSet::new(),
                listener: None,
                second: None,
                told: BTreeMap::new(),
                keys: VecDeque::new(),
            }
        });
        sound.seats.insert(leg);
        Seat { room: sound.key, opens, closes }
    }

    /// A leg has no seat any more: a sound that must be closed, if nobody is in it.
    pub(super) fn leave_seat(&mut self, leg: LegKey) -> Option<RoomKey> {
        let address = self.seats.remove(&leg)?;
        let sound = self.rooms.get_mut(&address)?;
        sound.seats.remove(&leg);
        sound.told.remove(&leg);
        let key = sound.key;
        sound.seats.is_empty().then(|| self.rooms.remove(&address))?;
        Some(key)
    }

    /// A key was pressed in the room whose sound a leg hears: for whom it is. Nobody, if it is known already.
    pub(super) fn pressed(&mut self, leg: LegKey, key: (u32, u32)) -> Vec<LegKey> {
        let sound = self.seats.get(&leg).and_then(|address| self.rooms.get_mut(address));
        let Some(sound) = sound.filter(|sound| !sound.keys.contains(&key)) else {
            return Vec::new();
        };
        if sound.keys.len() >= KEYS_REMEMBERED {
            sound.keys.pop_front();
        }
        sound.keys.push_back(key);
        sound.seats.iter().copied().collect()
    }

    /// Where a leg sits.
    pub(super) fn seat(&self, leg: LegKey) -> Option<(&str, RoomKey)> {
        let address = self.seats.get(&leg)?;
        Some((address, self.rooms.get(address)?.key))
    }

    /// Who hears whom now, as far as it changed; in the order in which it must be told, so that no voice is fed twice.
    /// `standings` are all legs that are in the room.
    pub(super) fn hearings(
        &mut self,
        address: &str,
        standings: &BTreeMap<LegKey, Standing>,
    ) -> Vec<(LegKey, Hearing)> {
        let Some(sound) = self.rooms.get_mut(address) else { return Vec::new() };
        sound.choose(standings);
        let Some((_, listener)) = sound.listener.and_then(|it| standings.get_key_value(&it)) else {
            // Nobody is in the room just now: what sounds may go on.
            return Vec::new();
        };
        let own: BTreeMap<String, EarKey> =
            standings.values().map(|it| (it.nick.clone(), it.ear)).collect();
        let mut changes = Vec::new();
        for leg in &sound.seats {
            let whom = if sound.listener == Some(*leg) {
                Whom::All
            } else if sound.second == Some(*leg) {
                Whom::Only(listener.nick.clone())
            } else {
                Whom::Nobody
            };
            let own = if whom == Whom::Nobody { BTreeMap::new() } else { own.clone() };
            let hearing = Hearing { whom, own };
            if sound.told.get(leg) != Some(&hearing) {
                sound.told.insert(*leg, hearing.clone());
                changes.push((*leg, hearing));
            }
        }
        changes.sort_by(|(_, one), (_, other)| one.whom.cmp(&other.whom));
        changes
    }
}

impl Sound {
    /// Listener and second: those who can best, and of them those who were.
    fn choose(&mut self, standings: &BTreeMap<LegKey, Standing>) {
        let carries = |leg: &LegKey| standings.get(leg).map(|it| it.sound);
        let here = || self.seats.iter().copied().filter(|leg| standings.contains_key(leg));
        let best_of = |legs: &dyn Fn() -> Vec<LegKey>, was: Option<LegKey>| {
            let legs = legs();
            let best = legs.iter().filter_map(carries).max()?;
            let mut can = legs.into_iter().filter(|leg| carries(leg) == Some(best));
            let first = can.clone().next();
            can.find(|leg| Some(*leg) == was).or(first)
        };
        let listener = best_of(&|| here().collect(), self.listener);
        let is_second = |leg: &LegKey| {
            Some(*leg) != listener && carries(leg).is_some_and(|it| it > Carries::Nothing)
        };
        let second = best_of(&|| here().filter(is_second).collect(), self.second);
        (self.listener, self.second) = (listener, second);
    }
}

/// Two people who press keys as fast as they can, for as long as two listeners may both hear them.
const KEYS_REMEMBERED: usize = 16;

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::base::ids::CallKey;

    const TEA: &str = "tea@muc.meet.test";

    struct Bench {
        sounds: Sounds,
        legs: Vec<LegKey>,
        standings: BTreeMap<LegKey, Standing>,
    }

    impl Bench {
        /// Phones in one room, seated and up, one after the other.
        fn phones(count: usize) -> Self {
            let mut calls: SlotMap<CallKey, ()> = SlotMap::with_key();
            let legs: Vec<LegKey> =
                (0..count).map(|_| LegKey::conference(calls.insert(()))).collect();
            let mut bench = Self { sounds: Sounds::default(), legs, standings: BTreeMap::new() };
            for number in 0..count {
                bench.enter(number);
            }
            bench
        }

        fn enter(&mut self, number: usize) {
            let standing = Standing {
                room: TEA.to_owned(),
                nick: format!("n{number}"),
                ear: EarKey(number as u64),
                sound: Carries::Sound,
            };
            self.standings.insert(self.legs[number], standing);
            self.sounds.take_seat(self.legs[number], TEA);
        }

        /// Who was told what, as numbers.
        fn told(&mut self) -> Vec<(usize, Whom)> {
            let told = self.sounds.hearings(TEA, &self.standings);
            let number = |leg| self.legs.iter().position(|it| *it == leg).expect("one of ours");
            told.into_iter().map(|(leg, hearing)| (number(leg), hearing.whom)).collect()
        }
    }

    #[test]
    fn one_listens_a_second_hears_him_and_the_others_nothing() {
        let mut bench = Bench::phones(4);
        let only = Whom::Only("n0".to_owned());
        let all = [(2, Whom::Nobody), (3, Whom::Nobody), (1, only), (0, Whom::All)];
        assert_eq!(bench.told(), all);
        assert_eq!(bench.told(), [], "what holds is not told again");
    }

    #[test]
    fn when_the_listener_goes_the_second_takes_over_and_a_third_hears_him() {
        let mut bench = Bench::phones(4);
        bench.told();
        let first = bench.legs[0];
        assert_eq!(bench.sounds.leave_seat(first), None);
        bench.standings.remove(&first);
        let only = Whom::Only("n2".to_owned());
        // The first who can: the second goes on at what he did only while there is a listener to be heard.
        let told = bench.told();
        assert_eq!(told.last(), Some(&(1, Whom::All)), "{told:?} {only:?}");
        assert!(told.contains(&(2, Whom::Only("n1".to_owned()))));
    }

    #[test]
    fn a_listener_without_sound_is_relieved_and_told_first() {
        let mut bench = Bench::phones(2);
        bench.told();
        let first = bench.legs[0];
        bench.standings.get_mut(&first).expect("in the room").sound = Carries::Nothing;
        assert_eq!(bench.told(), [(0, Whom::Nobody), (1, Whom::All)]);
        bench.standings.get_mut(&first).expect("in the room").sound = Carries::Sound;
        assert_eq!(bench.told(), [(0, Whom::Only("n1".to_owned()))], "he who listens stays at it");
    }

    /// Nobody knows what became of a leg whose stream is down: whoever can for certain takes its part.
    #[test]
    fn a_leg_without_stream_hears_for_nobody_while_another_can() {
        let mut bench = Bench::phones(3);
        bench.told();
        let [first, second, third] = bench.legs[..] else { panic!("three") };
        let carries = |bench: &mut Bench, leg: LegKey, sound| {
            bench.standings.get_mut(&leg).expect("in the room").sound = sound;
        };
        carries(&mut bench, second, Carries::Perhaps);
        let only = Whom::Only("n0".to_owned());
        assert_eq!(bench.told(), [(1, Whom::Nobody), (2, only)]);
        carries(&mut bench, first, Carries::Perhaps);
        let told = bench.told();
        assert_eq!(told.last(), Some(&(2, Whom::All)), "{told:?}");
        // All the same: who listens stays at it.
        carries(&mut bench, third, Carries::Perhaps);
        assert_eq!(bench.told(), []);
    }

    #[test]
    fn a_sound_is_opened_by_the_first_and_closed_after_the_last() {
        let mut bench = Bench::phones(2);
        let (one, two) = (bench.legs[0], bench.legs[1]);
        assert_eq!(bench.sounds.leave_seat(one), None);
        let moved = bench.sounds.take_seat(two, "breakout@muc.meet.test");
        assert_eq!(moved, Seat { room: RoomKey(2), opens: true, closes: Some(RoomKey(1)) });
        let again = bench.sounds.take_seat(two, "breakout@muc.meet.test");
        assert_eq!(again, Seat { room: RoomKey(2), opens: false, closes: None });
        assert_eq!(bench.sounds.leave_seat(two), Some(RoomKey(2)));
        assert!(bench.sounds.rooms.is_empty() && bench.sounds.seats.is_empty());
    }

    #[test]
    fn while_nobody_is_in_the_room_what_sounds_goes_on() {
        let mut bench = Bench::phones(1);
        bench.told();
        let standing = bench.standings.remove(&bench.legs[0]).expect("in the room");
        assert_eq!(bench.told(), []);
        bench.standings.insert(bench.legs[0], Standing { nick: "other".into(), ..standing });
        assert_eq!(bench.told(), [(0, Whom::All)], "his new nick is told");
    }

    #[test]
    fn a_key_that_two_listeners_heard_is_for_everybody_once() {
        let mut calls: SlotMap<CallKey, ()> = SlotMap::with_key();
        let [one, two, other] = [(); 3].map(|()| LegKey::conference(calls.insert(())));
        let mut sounds = Sounds::default();
        sounds.take_seat(one, TEA);
        sounds.take_seat(two, TEA);
        sounds.take_seat(other, "tree@muc.meet.test");
        assert_eq!(sounds.pressed(one, (7, 1_000)), [one, two]);
        assert_eq!(sounds.pressed(two, (7, 1_000)), []);
        assert_eq!(sounds.pressed(two, (7, 2_000)), [one, two]);
        sounds.leave_seat(one);
        assert_eq!(sounds.pressed(one, (7, 3_000)), []);
        assert_eq!(sounds.pressed(two, (7, 3_000)), [two]);
    }
}
