//! Time as values. `now` is a [`std::time::Instant`] argument everywhere; this module adds the
//! reason of a deadline, wall time and the media clock.

use std::fmt;
use std::time::Duration;

/// Why a deadline exists, for example `sip.timer_g`. Declared beside the timer it explains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Why(pub &'static str);

impl fmt::Debug for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Wall time: the duration since 1970-01-01 00:00 UTC, refreshed from outside, never read by a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WallClock {
    /// Time since the Unix epoch.
    pub unix: Duration,
}

impl WallClock {
    /// The 64-bit NTP timestamp of RFC 3550 §4: seconds since 1900 in the upper half.
    pub fn ntp(self) -> u64 {
        let seconds = self.unix.as_secs().wrapping_add(SECONDS_1900_TO_1970);
        let fraction = (u64::from(self.unix.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }
}

/// Position on a leg's media clock: ticks of 5 ms since the shard started. Never a wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// Length of one tick: a quarter of a 20 ms period.
    pub const LENGTH: Duration = Duration::from_millis(5);
}

const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
