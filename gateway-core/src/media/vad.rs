//! Is somebody speaking? An energy gate over a tracked noise floor, with hangover. Needs no look-ahead.
//!
//! Refuses to be clever: it keeps an encoder from working for silence and names a speaker; nothing is cut by it
//! without a hangover. (The crate `webrtc-vad` cannot move between threads, so it serves as judge in tests.)

use super::level;

/// Gate of one stream.
#[derive(Clone, Copy, Debug)]
pub struct VoiceGate {
    /// Least power of the present and of the last whole window: whoever speaks, breathes.
    least_now: f32,
    least_before: f32,
    window_left_ms: u16,
    hangover_ms: u16,
}

impl Default for VoiceGate {
    fn default() -> Self {
        Self {
            least_now: f32::INFINITY,
            least_before: LEAST_START,
            window_left_ms: WINDOW_MS,
            hangover_ms: 0,
        }
    }
}

impl VoiceGate {
    /// Takes the next `ms` milliseconds; says whether they belong to speech.
    pub fn is_voice(&mut self, pcm: &[i16], ms: u16) -> bool {
        self.is_voice_at(level::mean_square(pcm), ms)
    }

    /// The same from a mean square.
    pub fn is_voice_at(&mut self, mean_square: u32, ms: u16) -> bool {
        let power = mean_square as f32;
        self.least_now = self.least_now.min(power);
        let floor = self.least_now.min(self.least_before).clamp(LEAST_MIN, LEAST_MAX);
        let speech = power > floor * OVER_LEAST && power > POWER_MIN;
        self.window_left_ms = self.window_left_ms.saturating_sub(ms);
        if self.window_left_ms == 0 {
            self.window_left_ms = WINDOW_MS;
            self.least_before = self.least_now;
            self.least_now = f32::INFINITY;
        }
        self.hangover_ms = if speech { HANGOVER_MS } else { self.hangover_ms.saturating_sub(ms) };
        speech || self.hangover_ms > 0
    }
}

/// 10 dB above the least is speech: noise swings by 3 dB from frame to frame.
const OVER_LEAST: f32 = 10.0;
/// Nothing below -55 dBov is speech.
const POWER_MIN: f32 = 3_400.0;
/// The least lives between -75 and -35 dBov and starts at -60.
const LEAST_MIN: f32 = 34.0;
const LEAST_MAX: f32 = 340_000.0;
const LEAST_START: f32 = 1_074.0;
/// A new, louder noise is learned within two windows.
const WINDOW_MS: u16 = 1_500;
/// Ends of words are weak: 240 ms after the last loud frame still count.
const HANGOVER_MS: u16 = 240;

#[cfg(test)]
mod tests;
