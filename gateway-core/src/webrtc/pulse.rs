//! Is the peer still heard on the path that media takes?
//!
//! ICE itself takes 15 s to give a path up (it also trusts requests of the peer that came shortly before), and a caller
//! would sit in silence all that time. A peer that lives answers our checks every 2 s: nothing at all for
//! [`QUIET_MAX`] means that the path is worth replacing. It may heal, which is told as well.

use std::time::{Duration, Instant};

/// Two checks were not answered, and the repeats of the first neither.
pub(super) const QUIET_MAX: Duration = Duration::from_secs(5);

/// The watch over one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pulse {
    /// There is no path.
    #[default]
    None,
    /// Last heard then.
    Heard(Instant),
    /// Not heard for too long, which was told.
    Quiet,
}

impl Pulse {
    /// Something authentic came over the path. True: it had been quiet.
    pub(super) fn heard(&mut self, now: Instant) -> bool {
        match std::mem::replace(self, Self::Heard(now)) {
            Self::Quiet => true,
            Self::None => {
                *self = Self::None;
                false
            }
            Self::Heard(_) => false,
        }
    }

    /// When it becomes quiet.
    pub(super) fn next(self) -> Option<Instant> {
        match self {
            Self::Heard(at) => Some(at + QUIET_MAX),
            Self::None | Self::Quiet => None,
        }
    }

    /// True, once, when it has been quiet for too long.
    pub(super) fn is_lost(&mut self, now: Instant) -> bool {
        let lost = self.next().is_some_and(|at| at <= now);
        if lost {
            *self = Self::Quiet;
        }
        lost
    }
}
