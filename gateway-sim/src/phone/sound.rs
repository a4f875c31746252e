//! A phone's ear and voice: G.711 by its formula, a tone of its own, a recording that is judged later.

use std::time::Duration;

/// Peak of every phone's tone.
pub const TONE_PEAK: f64 = 6_000.0;

/// Companding law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// PCMU, payload type 0.
    Mu,
    /// PCMA, payload type 8.
    A,
}

impl Law {
    /// Its payload type.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// Its name in `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mu => "PCMU",
            Self::A => "PCMA",
        }
    }

    /// One sample to one byte.
    pub fn encode(self, sample: i16) -> u8 {
        let negative = sample < 0;
        let magnitude = i32::from(sample).abs().min(32_635);
        match self {
            Self::Mu => {
                let biased = magnitude + 132;
                let exponent = (biased.ilog2() as i32 - 7).max(0);
                let mantissa = (biased >> (exponent + 3)) & 15;
                !(u8::from(negative) << 7 | (exponent << 4 | mantissa) as u8)
            }
            Self::A => {
                let exponent = if magnitude < 256 { 0 } else { magnitude.ilog2() as i32 - 7 };
                let shift = if exponent == 0 { 4 } else { exponent + 3 };
                let mantissa = (magnitude >> shift) & 15;
                (u8::from(!negative) << 7 | (exponent << 4 | mantissa) as u8) ^ 0x55
            }
        }
    }

    /// One byte to one sample.
    pub fn decode(self, byte: u8) -> i16 {
        let bits = match self {
            Self::Mu => !byte,
            Self::A => byte ^ 0x55,
        };
        let (exponent, mantissa) = (i32::from(bits >> 4 & 7), i32::from(bits & 15));
        let magnitude = match self {
            Self::Mu => (((mantissa << 3) + 132) << exponent) - 132,
            Self::A if exponent == 0 => (mantissa << 4) + 8,
            Self::A => ((mantissa << 4) + 264) << (exponent - 1),
        };
        let negative = match self {
            Self::Mu => bits & 128 != 0,
            Self::A => bits & 128 == 0,
        };
        (if negative { -magnitude } else { magnitude }) as i16
    }
}

/// The tone of a phone from sample `start` on.
pub fn tone(hz: f64, start: u64, samples: usize) -> impl Iterator<Item = i16> {
    let turn = std::f64::consts::TAU * hz / 8_000.0;
    (start..start + samples as u64).map(move |at| ((at as f64 * turn).sin() * TONE_PEAK) as i16)
}

/// Peak amplitude of `hz` in `pcm` at 8 kHz (Goertzel under a Hann window, which keeps neighbouring notes out).
pub fn peak_at(pcm: &[i16], hz: f64) -> f64 {
    let turn = std::f64::consts::TAU * hz / 8_000.0;
    let window = std::f64::consts::TAU / pcm.len().max(1) as f64;
    let factor = 2.0 * turn.cos();
    let (mut older, mut old) = (0.0, 0.0);
    for (at, sample) in pcm.iter().enumerate() {
        let weight = 1.0 - (at as f64 * window).cos();
        let new = f64::from(*sample) * weight + factor * old - older;
        (older, old) = (old, new);
    }
    let power = old * old + older * older - factor * old * older;
    2.0 * power.max(0.0).sqrt() / pcm.len().max(1) as f64
}

/// What a phone heard, laid out by RTP timestamp.
#[derive(Debug, Default)]
pub struct Recording {
    /// Virtual time of the first sample, and its timestamp.
    anchor: Option<(Duration, u32)>,
    pcm: Vec<i16>,
}

impl Recording {
    /// One packet that came at `at`.
    pub fn put(&mut self, at: Duration, timestamp: u32, samples: impl Iterator<Item = i16>) {
        let (_, first) = *self.anchor.get_or_insert((at, timestamp));
        let place = timestamp.wrapping_sub(first) as usize;
        if place > LONGEST {
            return; // A jump or a packet before the first: the RTP checker judges it, not the ear.
        }
        for (offset, sample) in samples.enumerate() {
            let index = place + offset;
            if self.pcm.len() <= index {
                self.pcm.resize(index + 1, 0);
            }
            self.pcm[index] = sample;
        }
    }

    /// The best correlation of `sound` with what was heard from `from` on, within a second and a half: 0 to 1.
    pub fn correlation(&self, from: Duration, sound: &[i16]) -> f64 {
        let start = self.anchor.map_or(Duration::ZERO, |(at, _)| at);
        let sample = |time: Duration| (time.saturating_sub(start).as_micros() * 8 / 1_000) as usize;
        let first = sample(from);
        let last = (first + CLIP_WITHIN + sound.len()).min(self.pcm.len());
        let heard = self.pcm.get(first..last).unwrap_or_default();
        let energy = |pcm: &[i16]| pcm.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>();
        let own = energy(sound);
        let at = |place: usize| {
            let there = &heard[place..place + sound.len()];
            let product: f64 =
                there.iter().zip(sound).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            product / (own * energy(there)).sqrt().max(1.0)
        };
        let places = heard.len().checked_sub(sound.len()).map_or(0, |it| it + 1);
        (0..places).map(at).fold(0.0, f64::max)
    }

    /// Blocks of 200 ms with the virtual time of their beginning.
    pub fn blocks(&self) -> impl Iterator<Item = (Duration, &[i16])> {
        let start = self.anchor.map_or(Duration::ZERO, |(at, _)| at);
        self.pcm
            .chunks_exact(BLOCK)
            .enumerate()
            .map(move |(number, block)| (start + BLOCK_TIME * number as u32, block))
    }
}

/// Samples of a block.
const BLOCK: usize = 1_600;
/// Length of a block.
pub const BLOCK_TIME: Duration = Duration::from_millis(200);
/// Samples within which words begin after they were ordered.
const CLIP_WITHIN: usize = 12_000;
/// Ten minutes of sound.
const LONGEST: usize = 8_000 * 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_comes_back_within_its_own_error() {
        for law in [Law::Mu, Law::A] {
            for sample in (-32_000..32_000).step_by(37).map(|it| it as i16) {
                let back = law.decode(law.encode(sample));
                let error = (i32::from(back) - i32::from(sample)).abs();
                assert!(error <= 16 + i32::from(sample).abs() / 16, "{law:?} {sample} {back}");
            }
        }
        assert_eq!((Law::Mu.encode(0), Law::A.encode(0)), (0xff, 0xd5));
    }

    #[test]
    fn the_ear_tells_tones_apart() {
        let pcm: Vec<i16> =
            tone(960.0, 0, 1_600).zip(tone(1_357.0, 7, 1_600)).map(|(a, b)| a + b).collect();
        for (hz, there) in
            [(960.0, true), (1_357.0, true), (932.3, false), (987.8, false), (1_614.0, false)]
        {
            let peak = peak_at(&pcm, hz);
            assert_eq!(peak > TONE_PEAK / 2.0, there, "{hz}: {peak}");
            assert!(there || peak < TONE_PEAK / 50.0, "{hz}: {peak}");
        }
    }
}
