//! Decoded sound: what was played lately, what is played next, and the stretching between the two.
//!
//! Stretching works where the two meet: a pitch period is cut out or repeated with a cross-fade of 5 ms, so that
//! the ear notices nothing. Silence may be cut by any amount.

use super::pitch;
use crate::media::frame::SampleRate;
use crate::media::level;

/// The sound of one stream around the present.
#[derive(Debug)]
pub struct PcmQueue {
    rate: SampleRate,
    samples: Box<[i16]>,
    /// Next sample to play; those before it are the past.
    head: usize,
    /// End of what is decoded.
    tail: usize,
}

/// Where sound may be cut or repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Where {
    /// Only where nothing sounds.
    Silence,
    /// There, and where both sides of the cut are alike: 0 to 1.
    Alike(f32),
}

/// What stretching did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretched {
    /// Samples cut out or repeated.
    pub samples: usize,
    /// Something sounded there.
    pub in_sound: bool,
}

impl Stretched {
    const NOT: Self = Self { samples: 0, in_sound: false };
}

impl PcmQueue {
    /// An empty queue for rates up to `rate_max`.
    pub fn new(rate_max: SampleRate) -> Self {
        let samples = vec![0; rate_max.samples(PAST_MS + AHEAD_MS)].into();
        Self { rate: rate_max, samples, head: 0, tail: 0 }
    }

    /// Rate of the sound in it.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Samples that wait to be played.
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Forgets everything; from now on sound is at `rate`.
    pub fn restart(&mut self, rate: SampleRate) {
        self.rate = rate;
        self.head = 0;
        self.tail = 0;
    }

    /// All sound up to the end of what is decoded, for concealment.
    pub fn known(&self) -> &[i16] {
        &self.samples[..self.tail]
    }

    /// Room for `count` samples after what is decoded; give back how many were written with [`Self::extend`].
    /// `count` is at most 120 ms.
    pub fn room(&mut self, count: usize) -> &mut [i16] {
        let capacity = self.rate.samples(PAST_MS + AHEAD_MS);
        if self.tail + count > capacity {
            let keep = self.head.min(self.rate.samples(PAST_MS));
            let from = self.head - keep;
            self.samples.copy_within(from..self.tail, 0);
            self.head -= from;
            self.tail -= from;
        }
        // A queue that was never read would not fit: the youngest sound is overwritten, never memory.
        self.tail = self.tail.min(capacity - count.min(capacity));
        self.head = self.head.min(self.tail);
        &mut self.samples[self.tail..][..count]
    }

    /// `count` samples of the room now count as decoded.
    pub fn extend(&mut self, count: usize) {
        self.tail = (self.tail + count).min(self.samples.len());
    }

    /// Plays: moves the next samples into `out`. There must be enough.
    pub fn take(&mut self, out: &mut [i16]) {
        debug_assert!(self.len() >= out.len());
        out.copy_from_slice(&self.samples[self.head..][..out.len()]);
        self.head += out.len();
    }

    /// Level of what waits, as a mean square.
    fn is_passive(&self, ahead: usize) -> bool {
        level::mean_square(&self.samples[self.head..][..ahead]) < PASSIVE_MEAN_SQUARE
    }

    /// Cuts out at most `most` samples.
    pub fn accelerate(&mut self, most: usize, place: Where) -> Stretched {
        let overlap = self.rate.samples(OVERLAP_MS);
        let Some(spare) = self.len().checked_sub(overlap) else { return Stretched::NOT };
        let most = most.min(spare);
        let in_sound = !self.is_passive(self.len());
        let cut = match place {
            _ if !in_sound => most,
            Where::Silence => 0,
            Where::Alike(likeness) => {
                self.similar(most, likeness, |place, lag| place + lag).unwrap_or(0)
            }
        };
        if cut == 0 {
            return Stretched::NOT;
        }
        for n in 0..overlap {
            let old = self.samples[self.head + n];
            let new = &mut self.samples[self.head + cut + n];
            *new = fade(old, *new, n, overlap);
        }
        self.head += cut;
        Stretched { samples: cut, in_sound }
    }

    /// Repeats at most `most` samples.
    pub fn expand(&mut self, most: usize, place: Where) -> Stretched {
        let overlap = self.rate.samples(OVERLAP_MS);
        let most = most.min(self.rate.samples(PERIOD_MS_MAX));
        if self.len() < overlap || self.head < most + overlap {
            return Stretched::NOT;
        }
        let in_sound = !self.is_passive(overlap);
        let repeat = match place {
            _ if !in_sound => most,
            Where::Silence => 0,
            Where::Alike(likeness) => {
                self.similar(most, likeness, |place, lag| place - lag).unwrap_or(0)
            }
        };
        if repeat == 0 {
            return Stretched::NOT;
        }
        // Where the fade would run over itself, it is as long as the repeat.
        let overlap = overlap.min(repeat);
        for n in 0..overlap {
            let old = self.samples[self.head + n];
            let new = &mut self.samples[self.head - repeat + n];
            *new = fade(old, *new, n, overlap);
        }
        self.head -= repeat;
        Stretched { samples: repeat, in_sound }
    }

    /// The lag at which the 10 ms around the present resemble those at `shift(present, lag)`, if alike enough.
    fn similar(
        &self,
        most: usize,
        likeness: f32,
        shift: impl Fn(usize, usize) -> usize,
    ) -> Option<usize> {
        let overlap = self.rate.samples(OVERLAP_MS);
        let longest = most.min(self.rate.samples(PERIOD_MS_MAX));
        let shortest = pitch::shortest(self.rate);
        // Window from a little before the present to the end of the cross-fade, as far as there is a past.
        let before = overlap.min(self.head.saturating_sub(longest));
        let place = self.head - before;
        let window = before + overlap;
        if longest < shortest {
            return None;
        }
        let sound = &self.samples;
        let then = |lag: usize| &sound[shift(place, lag)..][..window];
        let best = pitch::search(self.rate, then(0), then, shortest, longest)?;
        (best.correlation >= likeness).then_some(best.lag)
    }
}

fn fade(old: i16, new: i16, place: usize, length: usize) -> i16 {
    let weight = (place as i32 + 1) * 256 / (length as i32 + 1);
    ((i32::from(old) * (256 - weight) + i32::from(new) * weight) / 256) as i16
}

const OVERLAP_MS: usize = 5;
const PERIOD_MS_MAX: usize = 15;
/// Past kept for pitch search: two long periods and a window.
const PAST_MS: usize = 45;
/// A packet of 120 ms on top of what accelerating wants to see.
const AHEAD_MS: usize = 160;
/// -50 dBov: below it nobody hears a cut.
const PASSIVE_MEAN_SQUARE: u32 = 10_737;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone;

    fn filled(rate: SampleRate, sound: &[i16], played: usize) -> PcmQueue {
        let mut queue = PcmQueue::new(SampleRate::Hz48000);
        queue.restart(rate);
        for chunk in sound.chunks(rate.samples(20)) {
            queue.room(chunk.len()).copy_from_slice(chunk);
            queue.extend(chunk.len());
            let mut out = vec![0; chunk.len().min(played.saturating_sub(queue.head))];
            queue.take(&mut out);
        }
        queue
    }

    fn steepest(sound: &[i16]) -> i32 {
        sound.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
    }

    #[test]
    fn stretching_a_vowel_leaves_no_seam() {
        for rate in SampleRate::ALL {
            let tone = tone::sine(rate, 140.0, 8_000, rate.samples(80));
            let natural = steepest(&tone);
            for faster in [true, false] {
                let mut queue = filled(rate, &tone, rate.samples(45));
                let before = queue.len();
                let most = rate.samples(15);
                assert_eq!(queue.accelerate(most, Where::Silence).samples, 0);
                assert_eq!(queue.expand(most, Where::Silence).samples, 0);
                let alike = Where::Alike(0.8);
                let moved =
                    if faster { queue.accelerate(most, alike) } else { queue.expand(most, alike) };
                assert!(moved.in_sound);
                let moved = moved.samples;
                assert!(moved >= rate.samples(5) / 2 && moved <= most, "{rate:?} {moved}");
                let now = if faster { before - moved } else { before + moved };
                assert_eq!(queue.len(), now);
                let from = queue.head - 1;
                let seam = steepest(&queue.samples[from..queue.tail]);
                assert!(seam <= natural * 5 / 4 + 2, "{rate:?} {faster}: {seam} {natural}");
            }
        }
    }

    #[test]
    fn hiss_is_left_alone_and_silence_is_cut_at_will() {
        let (rate, alike) = (SampleRate::Hz8000, Where::Alike(0.8));
        let mut queue = filled(rate, &tone::noise(4, 5_000, 640), 360);
        assert_eq!(queue.accelerate(120, alike), Stretched::NOT);
        assert_eq!(queue.expand(120, alike), Stretched::NOT);
        for place in [alike, Where::Silence] {
            let mut queue = filled(rate, &[0; 640], 360);
            let before = queue.len();
            let all = Stretched { samples: before - 40, in_sound: false };
            assert_eq!(queue.accelerate(1_000, place), all);
            let mut queue = filled(rate, &[0; 640], 360);
            assert_eq!(queue.expand(120, place), Stretched { samples: 120, in_sound: false });
        }
    }

    #[test]
    fn too_little_sound_is_not_stretched() {
        let rate = SampleRate::Hz8000;
        let mut queue = filled(rate, &tone::sine(rate, 150.0, 5_000, 100), 40);
        assert_eq!(queue.expand(120, Where::Alike(0.8)), Stretched::NOT);
        assert_eq!(queue.accelerate(10, Where::Alike(0.8)), Stretched::NOT);
        let mut empty = PcmQueue::new(rate);
        assert_eq!(empty.accelerate(100, Where::Alike(0.5)), Stretched::NOT);
        assert_eq!(empty.expand(100, Where::Alike(0.5)), Stretched::NOT);
    }
}
