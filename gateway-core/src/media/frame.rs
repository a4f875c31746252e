//! PCM as values: sample rates and 20 ms frames. PCM is `i16`, sums are `i32`.

/// PCM rate of a call: the phone codec's rate. No resampler stands on the hot path of a single call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// G.711.
    Hz8000,
    /// G.722.
    Hz16000,
    /// Opus phones.
    Hz48000,
}

impl SampleRate {
    /// All rates, ascending.
    pub const ALL: [Self; 3] = [Self::Hz8000, Self::Hz16000, Self::Hz48000];

    /// Samples per second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz48000 => 48_000,
        }
    }

    /// Samples in `ms` milliseconds.
    pub const fn samples(self, ms: usize) -> usize {
        self.hz() as usize / 1_000 * ms
    }

    /// Samples of a 20 ms frame: 160, 320 or 960.
    pub const fn frame_samples(self) -> usize {
        self.samples(20)
    }

    /// Samples of a 5 ms tick: 40, 80 or 240.
    pub const fn tick_samples(self) -> usize {
        self.samples(5)
    }
}

/// Samples of the largest frame: 20 ms at 48 kHz.
pub const FRAME_SAMPLES_MAX: usize = 960;

/// 20 ms of mono PCM at one rate.
#[derive(Clone)]
pub struct Frame {
    rate: SampleRate,
    samples: [i16; FRAME_SAMPLES_MAX],
}

impl Frame {
    /// Silence.
    pub fn silence(rate: SampleRate) -> Self {
        Self { rate, samples: [0; FRAME_SAMPLES_MAX] }
    }

    /// Its rate.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Its samples, 20 ms of them.
    pub fn samples(&self) -> &[i16] {
        &self.samples[..self.rate.frame_samples()]
    }

    /// Its samples, to be written.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..self.rate.frame_samples()]
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Frame({} Hz)", self.rate.hz())
    }
}
