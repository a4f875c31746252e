//! What a jitter buffer counted since it was built.

use std::time::{Duration, Instant};

/// Figures of one jitter buffer. Sound is counted in units of 1/48000 s, whatever its rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JitterStatistics {
    /// Packets taken in: not late, not twice.
    pub packets_received: u64,
    /// Packets that came after their time had passed.
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicate: u64,
    /// Packets that were overtaken by a later one.
    pub packets_reordered: u64,
    /// Payloads that were nonsense, or of a codec the stream has no decoder for.
    pub packets_invalid: u64,
    /// Packets dropped because the buffer was full.
    pub packets_overflowed: u64,
    /// Packets recovered from redundancy in their successor.
    pub packets_recovered: u64,
    /// Another stream began, or a second passed without packets.
    pub restarts: u64,
    /// All sound played, real or concealed; silence is not counted.
    pub units_played: u64,
    /// Sound that was invented for lost or late packets.
    pub units_concealed: u64,
    /// Sound cut out to play faster.
    pub units_removed: u64,
    /// Sound repeated to play slower.
    pub units_inserted: u64,
    /// Of both, what was cut or repeated while something sounded: the ear may notice.
    pub units_stretched_in_sound: u64,
    pub(super) delay_sum_us: u64,
    pub(super) delay_ticks: u64,
    pub(super) last_arrival: Option<Instant>,
}

impl JitterStatistics {
    /// Mean delay of the sound that was played, above the fastest path of its time.
    pub fn delay_mean(&self) -> Duration {
        Duration::from_micros(self.delay_sum_us.checked_div(self.delay_ticks).unwrap_or(0))
    }

    /// Concealed sound in 1/10,000 of all sound.
    pub fn concealed_per_myriad(&self) -> u16 {
        let share = self.units_concealed.saturating_mul(10_000).checked_div(self.units_played);
        u16::try_from(share.unwrap_or(0)).unwrap_or(u16::MAX)
    }
}
