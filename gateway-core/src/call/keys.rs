//! Keys: each counted once however many ways it comes, and the menu of a caller in a room.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::media::dtmf::{Key, KeySource};

/// How far apart the same key may arrive by two ways: some phones send INFO when the key is let go, and a long
/// press lasts a second.
const SAME_KEY_WITHIN: Duration = Duration::from_millis(1_500);
/// Keys remembered for that: 1.5 s at 10 keys a second.
const REMEMBERED_MAX: usize = 16;
/// How long `*` waits for its partner.
pub const STAR_WAITS: Duration = Duration::from_secs(3);

/// Lets each key through once. Some peers send every key as telephone-event and as INFO, and some leave the tone in
/// the audio as well; the same key twice from one source is two keys.
#[derive(Debug, Default)]
pub struct KeyFilter {
    seen: ArrayVec<Seen, REMEMBERED_MAX>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    key: Key,
    /// By which ways it came: first, and those that repeated it.
    first: KeySource,
    repeats: [Option<KeySource>; 2],
}

impl KeyFilter {
    /// True if this is a new key, false if it is one already counted.
    pub fn is_new(&mut self, now: Instant, key: Key, source: KeySource) -> bool {
        self.seen.retain(|seen| now.saturating_duration_since(seen.at) < SAME_KEY_WITHIN);
        for seen in self.seen.iter_mut().filter(|seen| seen.key == key && seen.first != source) {
            if seen.repeats.contains(&Some(source)) {
                continue;
            }
            if let Some(place) = seen.repeats.iter_mut().find(|place| place.is_none()) {
                *place = Some(source);
                return false;
            }
        }
        if self.seen.is_full() {
            self.seen.remove(0);
        }
        self.seen.push(Seen { at: now, key, first: source, repeats: [None; 2] });
        true
    }
}

/// What a caller in a room asks for by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MenuChoice {
    /// `*6`.
    Mute,
    /// `*9`.
    RaiseHand,
    /// `*#`.
    Count,
    /// `*0`.
    Help,
    /// `**`.
    Leave,
}

/// The menu: a `*` and its partner.
#[derive(Debug, Default)]
pub struct Menu {
    star_until: Option<Instant>,
}

impl Menu {
    /// A key. Keys without a `*` before them mean nothing in a room.
    pub fn key(&mut self, now: Instant, key: Key) -> Option<MenuChoice> {
        if self.star_until.take().is_none_or(|until| until < now) {
            if key == Key::Star {
                self.star_until = Some(now + STAR_WAITS);
            }
            return None;
        }
        match key {
            Key::Digit(6) => Some(MenuChoice::Mute),
            Key::Digit(9) => Some(MenuChoice::RaiseHand),
            Key::Hash => Some(MenuChoice::Count),
            Key::Digit(0) => Some(MenuChoice::Help),
            Key::Star => Some(MenuChoice::Leave),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_key_by_event_and_info_and_tone_counts_once() {
        let (mut filter, start) = (KeyFilter::default(), Instant::now());
        assert!(filter.is_new(start, Key::Digit(5), KeySource::Event));
        assert!(!filter.is_new(at(start, 20), Key::Digit(5), KeySource::Info));
        assert!(!filter.is_new(at(start, 40), Key::Digit(5), KeySource::Inband));
    }

    #[test]
    fn a_key_pressed_twice_counts_twice_by_each_way() {
        let (mut filter, start) = (KeyFilter::default(), Instant::now());
        let mut counted = 0;
        for (ms, source) in [
            (0, KeySource::Event),
            (10, KeySource::Info),
            (200, KeySource::Info), // this time INFO is the faster way
            (210, KeySource::Event),
        ] {
            counted += usize::from(filter.is_new(at(start, ms), Key::Digit(5), source));
        }
        assert_eq!(counted, 2);
        assert!(filter.is_new(at(start, 5_000), Key::Digit(5), KeySource::Info));
    }

    #[test]
    fn each_choice_needs_its_star() {
        let (mut menu, start) = (Menu::default(), Instant::now());
        assert_eq!(menu.key(start, Key::Digit(6)), None);
        for (key, choice) in [
            (Key::Digit(6), MenuChoice::Mute),
            (Key::Digit(9), MenuChoice::RaiseHand),
            (Key::Hash, MenuChoice::Count),
            (Key::Digit(0), MenuChoice::Help),
            (Key::Star, MenuChoice::Leave),
        ] {
            assert_eq!(menu.key(start, Key::Star), None);
            assert_eq!(menu.key(at(start, 2_999), key), Some(choice));
            assert_eq!(menu.key(at(start, 2_999), Key::Digit(6)), None);
        }
    }

    #[test]
    fn a_star_waits_three_seconds() {
        let (mut menu, start) = (Menu::default(), Instant::now());
        menu.key(start, Key::Star);
        assert_eq!(menu.key(at(start, 3_001), Key::Digit(6)), None);
        menu.key(start, Key::Star);
        assert_eq!(menu.key(at(start, 3_001), Key::Star), None);
        assert_eq!(menu.key(at(start, 3_500), Key::Star), Some(MenuChoice::Leave));
    }
}
