//! Keys as pairs of tones (ITU-T Q.23) into a phone's sound, for networks that know no other way.

use std::f32::consts::TAU;

use arrayvec::ArrayVec;

use super::{Key, Press};
use crate::media::frame::Frame;

/// Plays keys one after the other, 20 ms at a time.
#[derive(Clone, Debug, Default)]
pub struct ToneSender {
    waiting: ArrayVec<Press, 32>,
    playing: Option<Playing>,
}

#[derive(Clone, Copy, Debug)]
struct Playing {
    key: Key,
    /// Frames of tone, then of pause, that are left.
    tone: u16,
    pause: u16,
    /// Where the two waves are, in turns.
    phases: [f32; 2],
}

impl ToneSender {
    /// Adds a key to play. False if 32 are waiting already.
    pub fn push(&mut self, press: Press) -> bool {
        self.waiting.try_push(press).is_ok()
    }

    /// Puts 20 ms of a key, or of the pause after it, in the place of what is in the frame, if there is one.
    pub fn play(&mut self, frame: &mut Frame) {
        if self.playing.is_none() {
            self.playing = self.waiting.pop_at(0).map(|press| Playing {
                key: press.key,
                tone: press.length_ms.div_ceil(FRAME_MS).max(1),
                pause: PAUSE_MS.div_ceil(FRAME_MS),
                phases: [0.0; 2],
            });
        }
        let Some(playing) = &mut self.playing else { return };
        if playing.tone == 0 {
            frame.samples_mut().fill(0);
            playing.pause -= 1;
            if playing.pause == 0 {
                self.playing = None;
            }
            return;
        }
        playing.tone -= 1;
        let hz = frame.rate().hz() as f32;
        let turns = frequencies(playing.key).map(|tone| tone / hz);
        for sample in frame.samples_mut() {
            let mut sum = 0.0;
            for (phase, turn) in playing.phases.iter_mut().zip(turns) {
                sum += (*phase * TAU).sin();
                *phase = (*phase + turn).fract();
            }
            *sample = (sum * AMPLITUDE) as i16;
        }
    }
}

/// Row and column frequency of a key, in Hz.
fn frequencies(key: Key) -> [f32; 2] {
    const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
    let (row, column) = match key {
        Key::Digit(0) => (3, 1),
        Key::Digit(digit) => ((digit.saturating_sub(1) / 3).min(2), (digit.saturating_sub(1)) % 3),
        Key::Star => (3, 0),
        Key::Hash => (3, 2),
        Key::Letter(letter) => (letter.min(3), 3),
    };
    [ROWS[usize::from(row)], COLUMNS[usize::from(column)]]
}

/// -8 dBm0 each: in the middle of what networks send (ITU-T Q.24).
const AMPLITUDE: f32 = 9_000.0;
const FRAME_MS: u16 = 20;
const PAUSE_MS: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::CodecKind;
    use crate::media::frame::SampleRate;
    use crate::media::tone;

    #[test]
    fn each_key_has_the_pair_of_tones_that_the_listener_of_the_tests_knows() {
        for sign in "0123456789*#ABCD".chars() {
            let key = Key::from_char(sign).expect("a key");
            let (row, column) = tone::key_frequencies(key);
            assert_eq!(frequencies(key).map(f64::from), [row, column], "{sign}");
        }
        let _ = CodecKind::Pcma;
    }

    #[test]
    fn keys_last_as_long_as_they_were_pressed_and_are_apart() {
        let mut sender = ToneSender::default();
        assert!(sender.push(Press::new(Key::Digit(5), 200)));
        assert!(sender.push(Press::new(Key::Hash, 40)));
        let mut frame = Frame::silence(SampleRate::Hz8000);
        let mut loud = String::new();
        for _ in 0..22 {
            frame.samples_mut().fill(77);
            sender.play(&mut frame);
            let peak = frame.samples().iter().map(|it| it.unsigned_abs()).max().unwrap_or(0);
            loud.push(match peak {
                0 => '_',
                77 => ' ',
                _ => 'X',
            });
        }
        assert_eq!(loud, "XXXXXXXXXX____XX____  ");
    }
}
