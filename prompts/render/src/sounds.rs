//! The sounds, synthesised from nothing but arithmetic: chimes, a beep, and music to wait by.
//!
//! All is made of struck notes (a few sine partials that decay), most of them between 200 and 900 Hz, so that a G.711
//! phone hears nearly what an Opus phone hears. No note is as high as a DTMF column (1,209 Hz), and the partials that
//! are stay far below their note: no listener takes the music for keys.

use std::f64::consts::PI;

use gateway_core::media::clip::SoundId;
use gateway_core::media::clip::loudness::active_level_dbov;

const RATE_HZ: f64 = 48_000.0;

/// Level of chimes and beep while they sound: below speech, so that they may lie over it.
const CHIME_DBOV: f64 = -24.0;

/// Level of the music: ten decibels below a prompt, which is spoken over it.
const MUSIC_DBOV: f64 = -30.0;

/// A sound at 48 kHz.
pub fn synthesise(id: SoundId) -> Vec<i16> {
    match id {
        SoundId::Entry => chime(&[E5, A5]),
        SoundId::Exit => chime(&[A5, E5]),
        SoundId::Beep => beep(),
        SoundId::MusicOnHold => music(),
    }
}

const E5: f64 = 659.26;
const A5: f64 = 880.0;

/// Sound under construction. Notes may ring past its end; in a loop they come round to the beginning.
struct Canvas {
    samples: Vec<f64>,
    looped: bool,
}

/// How a note is struck.
#[derive(Clone, Copy)]
struct Touch {
    /// Height of the first partial.
    strength: f64,
    /// Time in which it becomes silent, in seconds, -60 dB.
    ring: f64,
    /// Time in which it rises, in seconds.
    rise: f64,
    /// Heights of the partials 1, 2, 3 ...; higher ones decay faster.
    partials: &'static [f64],
}

impl Canvas {
    fn new(seconds: f64, looped: bool) -> Self {
        Self { samples: vec![0.0; (seconds * RATE_HZ) as usize], looped }
    }

    fn strike(&mut self, at_seconds: f64, hz: f64, touch: Touch) {
        let start = (at_seconds * RATE_HZ) as usize;
        let length = self.samples.len();
        for offset in 0..(touch.ring * RATE_HZ) as usize {
            let place = start + offset;
            if place >= length && !self.looped {
                break;
            }
            self.samples[place % length] += touch.at(offset as f64 / RATE_HZ, hz);
        }
    }

    fn at_level(&self, dbov: f64) -> Vec<i16> {
        let peak = self.samples.iter().fold(1e-9, |peak: f64, s| peak.max(s.abs()));
        let scaled = |scale: f64| -> Vec<i16> {
            self.samples.iter().map(|s| (s * scale).round() as i16).collect()
        };
        let level =
            active_level_dbov(&scaled(16_000.0 / peak), RATE_HZ as u32).expect("notes were struck");
        scaled(16_000.0 / peak * 10f64.powf((dbov - level) / 20.0))
    }
}

impl Touch {
    fn at(&self, seconds: f64, hz: f64) -> f64 {
        let rise = (seconds / self.rise).min(1.0);
        // The last fifth of the ring goes to true silence, so that nothing is cut off audibly.
        let release = ((self.ring - seconds) / (0.2 * self.ring)).clamp(0.0, 1.0);
        let partial = |(index, height): (usize, &f64)| {
            let number = (index + 1) as f64;
            let decay = 10f64.powf(-3.0 * seconds * number.sqrt() / self.ring);
            height * decay * (2.0 * PI * hz * number * seconds).sin()
        };
        let sum: f64 = self.partials.iter().enumerate().map(partial).sum();
        self.strength * rise * rise * release * sum
    }
}

/// Notes that follow each other quickly and ring out.
fn chime(notes: &[f64]) -> Vec<i16> {
    let bell = Touch { strength: 1.0, ring: 0.45, rise: 0.006, partials: &[1.0, 0.2, 0.05] };
    let mut canvas = Canvas::new(0.13 * notes.len() as f64 + 0.32, false);
    for (index, hz) in notes.iter().enumerate() {
        canvas.strike(0.13 * index as f64, *hz, bell);
    }
    canvas.at_level(CHIME_DBOV)
}

/// A steady tone of 1,000 Hz with soft edges.
fn beep() -> Vec<i16> {
    let seconds = 0.2;
    let mut canvas = Canvas::new(seconds, false);
    let total = canvas.samples.len();
    for (index, sample) in canvas.samples.iter_mut().enumerate() {
        let edge = index.min(total - index) as f64 / RATE_HZ / 0.015;
        *sample = edge.min(1.0) * (2.0 * PI * 1_000.0 * index as f64 / RATE_HZ).sin();
    }
    canvas.at_level(CHIME_DBOV)
}

/// Eight bars of three seconds: a broken chord over a soft bass, now and then a note of a tune. It ends in the chord
/// that leads to the first, and all that still rings then is heard at its beginning.
fn music() -> Vec<i16> {
    let bar = 3.0;
    let eighth = bar / 8.0;
    let mut canvas = Canvas::new(bar * CHORDS.len() as f64, true);
    let pluck = Touch { strength: 0.5, ring: 2.2, rise: 0.008, partials: &[1.0, 0.3, 0.12, 0.05] };
    let bass = Touch { strength: 0.55, ring: 4.0, rise: 0.06, partials: &[1.0, 0.35, 0.1] };
    let tune = Touch { strength: 0.55, ring: 2.8, rise: 0.02, partials: &[1.0, 0.18, 0.04] };
    for (index, (chord, melody)) in CHORDS.iter().zip(TUNE).enumerate() {
        let start = index as f64 * bar;
        canvas.strike(start, semitones(chord[0] - 12), bass);
        for (step, voice) in PATTERN.iter().enumerate() {
            // Slightly uneven strength: a machine-even pattern tires the ear.
            let strength = pluck.strength * [1.0, 0.7, 0.85, 0.65][step % 4];
            canvas.strike(
                start + step as f64 * eighth,
                semitones(chord[*voice]),
                Touch { strength, ..pluck },
            );
        }
        for (step, note) in melody {
            canvas.strike(start + f64::from(*step) * eighth, semitones(*note), tune);
        }
    }
    canvas.at_level(MUSIC_DBOV)
}

/// Equal temperament; 0 is middle C.
fn semitones(note: i32) -> f64 {
    261.625_565 * 2f64.powf(f64::from(note) / 12.0)
}

/// Which voice of the chord each eighth plays.
const PATTERN: [usize; 8] = [0, 2, 1, 3, 2, 1, 3, 2];

/// C major 7, A minor 7, F major 7, G 6, E minor 7, A minor 7, D minor 7, G suspended; semitones from middle C.
const CHORDS: [[i32; 4]; 8] = [
    [0, 4, 7, 11],
    [-3, 0, 4, 7],
    [-7, -3, 0, 4],
    [-5, -1, 2, 4],
    [-8, -1, 2, 7],
    [-3, 0, 4, 7],
    [-10, -3, 0, 5],
    [-5, 0, 2, 5],
];

/// The tune: (eighth, semitone) in each bar.
const TUNE: [&[(u8, i32)]; 8] = [
    &[(0, 16), (5, 14)],
    &[(0, 12)],
    &[(2, 9), (5, 12)],
    &[(0, 14)],
    &[(0, 11), (5, 14)],
    &[(0, 12), (6, 11)],
    &[(0, 9), (4, 12)],
    &[(0, 14), (6, 12)],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sound_has_its_level_and_does_not_clip() {
        for id in SoundId::all() {
            let samples = synthesise(id);
            let level = active_level_dbov(&samples, 48_000).unwrap();
            let wanted = if id == SoundId::MusicOnHold { MUSIC_DBOV } else { CHIME_DBOV };
            assert!((level - wanted).abs() < 0.5, "{id}: {level}");
            assert!(samples.iter().all(|s| s.unsigned_abs() < 26_000), "{id}");
        }
    }

    #[test]
    fn the_music_has_no_step_where_it_comes_round() {
        let music = synthesise(SoundId::MusicOnHold);
        let steps = |pair: &[i16]| i32::from(pair[0]).abs_diff(i32::from(pair[1]));
        let largest = music.windows(2).map(steps).max().unwrap();
        let seam = steps(&[music[music.len() - 1], music[0]]);
        assert!(seam <= largest / 2, "{seam} at the seam, {largest} elsewhere");
    }

    #[test]
    fn rising_and_falling_chimes_differ() {
        assert_ne!(synthesise(SoundId::Entry), synthesise(SoundId::Exit));
    }
}
