//! Keys that people in the conference press on their dial pads: telephone-events (RFC 4733) beside somebody's speech.
//!
//! A key is told when it is let go, with how long it was down, so that the phone's network gets it as it was pressed. The
//! end may be lost: a key of which nothing more is heard is over, too.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::media::dtmf::{Key, Press};

/// All keys that are down, and those told last, which are repeated on the wire.
#[derive(Debug, Default)]
pub(super) struct RoomKeys {
    /// At most one of each source; the oldest makes room.
    down: ArrayVec<Down, SOURCES_MAX>,
    told: ArrayVec<RoomKey, TOLD_MAX>,
}

/// A key that was pressed in the conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomKey {
    /// Who.
    pub(super) ssrc: u32,
    /// Its RTP timestamp: with the source it names the key.
    pub(super) timestamp: u32,
    /// Which, how long.
    pub(super) press: Press,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    ssrc: u32,
    timestamp: u32,
    key: Key,
    /// In 1/8000 s.
    length: u16,
    heard_at: Instant,
    told: bool,
}

impl RoomKeys {
    /// A packet of a key.
    pub(super) fn packet(&mut self, now: Instant, ssrc: u32, timestamp: u32, payload: &[u8]) {
        let &[code, flags, high, low, ..] = payload else { return };
        let Some(key) = Key::from_event(code) else { return };
        let length = u16::from_be_bytes([high, low]);
        let is_end = flags & END_BIT != 0;
        let place = self.down.iter().position(|down| down.ssrc == ssrc);
        if let Some(down) = place.and_then(|place| self.down.get_mut(place)) {
            let ahead = timestamp.wrapping_sub(down.timestamp).cast_signed();
            if ahead < 0 {
                return;
            }
            if ahead == 0 {
                down.heard_at = now;
                down.length = down.length.max(length);
                if is_end {
                    let down = *down;
                    self.tell(&down);
                }
                return;
            }
            // The end of the one before was lost.
            let before = *down;
            self.tell(&before);
        }
        let down = Down { ssrc, timestamp, key, length, heard_at: now, told: false };
        match place.and_then(|place| self.down.get_mut(place)) {
            Some(place) => *place = down,
            None => {
                if self.down.is_full() {
                    let oldest = self.down.remove(0);
                    self.tell(&oldest);
                }
                self.down.push(down);
            }
        }
        if is_end {
            self.tell(&down);
        }
    }

    /// Keys of which nothing was heard for long are over.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(down) = self.down.iter().find(|down| down.is_lost(now)).copied() {
            self.tell(&down);
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.down.iter().filter(|down| !down.told);
        open.map(|down| down.heard_at + LOST_AFTER).min()
    }

    /// The next key that is over.
    pub(super) fn poll(&mut self) -> Option<RoomKey> {
        self.told.pop_at(0)
    }

    /// Once of each.
    fn tell(&mut self, down: &Down) {
        let same = |it: &&mut Down| it.ssrc == down.ssrc && it.timestamp == down.timestamp;
        match self.down.iter_mut().find(same) {
            Some(known) if known.told => return,
            Some(known) => known.told = true,
            None if down.told => return,
            None => {}
        }
        let press = Press::new(down.key, down.length / UNITS_PER_MS);
        // Full: nobody has looked for a second; the newest is dropped.
        let _ = self.told.try_push(RoomKey { ssrc: down.ssrc, timestamp: down.timestamp, press });
    }
}

impl Down {
    fn is_lost(&self, now: Instant) -> bool {
        !self.told && now.saturating_duration_since(self.heard_at) >= LOST_AFTER
    }
}

const END_BIT: u8 = 0x80;
/// Of the 8 kHz at which keys are offered.
const UNITS_PER_MS: u16 = 8;
/// People who press keys at the same time.
const SOURCES_MAX: usize = 8;
const TOLD_MAX: usize = 16;
/// Browsers repeat a key that is down every 20 to 60 ms.
const LOST_AFTER: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(keys: &mut RoomKeys) -> Vec<(char, u16)> {
        std::iter::from_fn(|| keys.poll())
            .map(|it| (it.press.key.to_char(), it.press.length_ms))
            .collect()
    }

    fn payload(code: u8, end: bool, ms: u16) -> [u8; 4] {
        let [high, low] = (ms * 8).to_be_bytes();
        [code, if end { 0x8a } else { 10 }, high, low]
    }

    #[test]
    fn a_key_is_told_once_when_it_is_let_go_with_its_length() {
        let (mut keys, now) = (RoomKeys::default(), Instant::now());
        for step in 1..10 {
            keys.packet(now, 7, 1_000, &payload(5, false, step * 20));
        }
        assert_eq!(taken(&mut keys), []);
        for _ in 0..3 {
            keys.packet(now, 7, 1_000, &payload(5, true, 200));
        }
        assert_eq!(taken(&mut keys), [('5', 200)]);
        // The same key again is another; one that was overtaken is none.
        keys.packet(now, 7, 20_200, &payload(5, true, 120));
        keys.packet(now, 7, 1_000, &payload(5, true, 200));
        assert_eq!(taken(&mut keys), [('5', 120)]);
        keys.handle_timeout(now + LOST_AFTER);
        assert_eq!((taken(&mut keys), keys.deadline()), (vec![], None));
    }

    #[test]
    fn a_key_without_an_end_is_over_when_the_next_begins_or_nothing_more_comes() {
        let (mut keys, now) = (RoomKeys::default(), Instant::now());
        keys.packet(now, 7, 1_000, &payload(1, false, 180));
        keys.packet(now, 7, 20_200, &payload(2, false, 100));
        assert_eq!(taken(&mut keys), [('1', 180)]);
        assert_eq!(keys.deadline(), Some(now + LOST_AFTER));
        keys.handle_timeout(now + LOST_AFTER - Duration::from_millis(1));
        assert_eq!(taken(&mut keys), []);
        keys.handle_timeout(now + LOST_AFTER);
        assert_eq!(taken(&mut keys), [('2', 100)]);
        // Its end comes after all.
        keys.packet(now, 7, 20_200, &payload(2, true, 200));
        assert_eq!(taken(&mut keys), []);
    }

    #[test]
    fn two_people_press_beside_each_other_and_a_crowd_is_bounded() {
        let (mut keys, now) = (RoomKeys::default(), Instant::now());
        keys.packet(now, 1, 5, &payload(10, false, 60));
        keys.packet(now, 2, 5, &payload(11, true, 80));
        keys.packet(now, 1, 5, &payload(10, true, 100));
        assert_eq!(taken(&mut keys), [('#', 80), ('*', 100)]);
        for ssrc in 0..100 {
            keys.packet(now, ssrc, 9, &payload(3, false, 60));
        }
        assert!(taken(&mut keys).len() <= TOLD_MAX);
        assert!(keys.down.len() <= SOURCES_MAX);
        for nonsense in [&[][..], &[5, 0x80], &[16, 0x80, 0, 8]] {
            keys.packet(now, 9, 1, nonsense);
        }
        assert_eq!(taken(&mut keys), []);
    }
}
