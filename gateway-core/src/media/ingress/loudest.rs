//! Which sources are heard: the loudest three, with hysteresis, so that no voice flutters.
//!
//! Loudness is in dB above silence, smoothed by the source (rises at once, falls over 100 ms). A challenger takes
//! the place of the quietest one at once when it is 12 dB louder, so that first syllables are heard; otherwise
//! only after having been louder for 200 ms.

use arrayvec::ArrayVec;

use super::SourceKey;
use crate::base::limits::LOUDEST_STREAMS_MAX;

/// The choice of one room.
#[derive(Debug, Default)]
pub struct Loudest {
    chosen: [Option<Chosen>; LOUDEST_STREAMS_MAX],
    /// The loudest of this tick, loudest first.
    top: ArrayVec<(SourceKey, u8), LOUDEST_STREAMS_MAX>,
}

#[derive(Clone, Copy, Debug)]
struct Chosen {
    key: SourceKey,
    loudness: u8,
    /// Ticks since it was last among the top.
    below_ticks: u8,
}

impl Loudest {
    /// Tells the loudness of one source in this tick; 0 is silent. Called once for each.
    pub fn consider(&mut self, key: SourceKey, loudness: u8) {
        if let Some(chosen) = self.chosen.iter_mut().flatten().find(|chosen| chosen.key == key) {
            chosen.loudness = loudness;
        }
        if loudness == 0 {
            return;
        }
        let place = self.top.iter().position(|(_, other)| *other < loudness);
        let place = place.unwrap_or(self.top.len());
        if place < LOUDEST_STREAMS_MAX {
            if self.top.is_full() {
                self.top.pop();
            }
            self.top.insert(place, (key, loudness));
        }
    }

    /// All were considered: who is heard in this tick.
    pub fn choose(&mut self) -> [Option<SourceKey>; LOUDEST_STREAMS_MAX] {
        for place in &mut self.chosen {
            let Some(chosen) = place else { continue };
            let on_top = self.top.iter().any(|(key, _)| *key == chosen.key);
            chosen.below_ticks = if on_top { 0 } else { chosen.below_ticks.saturating_add(1) };
            if chosen.loudness == 0 {
                *place = None;
            }
        }
        for (key, loudness) in self.top.take() {
            if self.chosen.iter().flatten().any(|chosen| chosen.key == key) {
                continue;
            }
            if let Some(place) = self.place_for(loudness) {
                self.chosen[place] = Some(Chosen { key, loudness, below_ticks: 0 });
            }
        }
        self.chosen.map(|chosen| chosen.map(|chosen| chosen.key))
    }

    /// A free place, or that of the quietest if it may be taken.
    fn place_for(&self, loudness: u8) -> Option<usize> {
        if let Some(free) = self.chosen.iter().position(Option::is_none) {
            return Some(free);
        }
        let (place, quietest) = self
            .chosen
            .iter()
            .enumerate()
            .filter_map(|(place, chosen)| chosen.map(|chosen| (place, chosen)))
            .min_by_key(|(_, chosen)| chosen.loudness)?;
        let at_once = loudness >= quietest.loudness.saturating_add(AT_ONCE_DB);
        (at_once || quietest.below_ticks >= HOLD_TICKS).then_some(place)
    }

    /// The source is gone.
    pub fn forget(&mut self, key: SourceKey) {
        for place in &mut self.chosen {
            if place.is_some_and(|chosen| chosen.key == key) {
                *place = None;
            }
        }
        self.top.retain(|(other, _)| *other != key);
    }
}

/// 200 ms.
const HOLD_TICKS: u8 = 40;
const AT_ONCE_DB: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn round(loudest: &mut Loudest, levels: &[u8]) -> Vec<u64> {
        for (n, level) in levels.iter().enumerate() {
            loudest.consider(SourceKey(n as u64), *level);
        }
        let mut chosen: Vec<u64> = loudest.choose().iter().flatten().map(|key| key.0).collect();
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn three_loudest_of_five_are_chosen() {
        let mut loudest = Loudest::default();
        assert_eq!(round(&mut loudest, &[10, 50, 40, 0, 60]), [1, 2, 4]);
        assert_eq!(round(&mut loudest, &[0, 0, 0, 0, 0]), Vec::<u64>::new());
    }

    #[test]
    fn a_slightly_louder_one_waits_200_ms_and_a_much_louder_one_does_not() {
        let mut loudest = Loudest::default();
        assert_eq!(round(&mut loudest, &[50, 50, 50, 0, 0]), [0, 1, 2]);
        for tick in 0..HOLD_TICKS - 1 {
            assert_eq!(round(&mut loudest, &[50, 50, 48, 52, 0]), [0, 1, 2], "tick {tick}");
        }
        assert_eq!(round(&mut loudest, &[50, 50, 48, 52, 0]), [0, 1, 3]);
        assert_eq!(round(&mut loudest, &[50, 50, 48, 52, 62]), [1, 3, 4]);
    }

    #[test]
    fn two_that_take_turns_do_not_flutter() {
        let mut loudest = Loudest::default();
        round(&mut loudest, &[60, 60, 50, 49, 0]);
        for turn in 0..200_u32 {
            let levels = if turn % 2 == 0 { [60, 60, 50, 55, 0] } else { [60, 60, 55, 50, 0] };
            assert_eq!(round(&mut loudest, &levels), [0, 1, 2]);
        }
    }
}
