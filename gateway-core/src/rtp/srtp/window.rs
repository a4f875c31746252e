//! Which packet indices of one source came (RFC 3711 §3.3.2), and which index a sequence number stands for (§3.3.1).

/// The last [`WINDOW`] indices up to the highest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    highest: u64,
    /// Bit 0 is the highest.
    seen: u128,
}

impl Window {
    /// A window whose first packet was authentic.
    pub(super) fn starting_at(index: u64) -> Self {
        Self { highest: index, seen: 1 }
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Neither seen nor too old.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < WINDOW && self.seen & (1 << age) == 0,
        }
    }

    /// It was authentic.
    pub(super) fn accept(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            Some(age) => self.seen |= 1_u128.checked_shl(age as u32).unwrap_or(0),
            None => {
                let step = index - self.highest;
                self.seen = u32::try_from(step)
                    .ok()
                    .and_then(|step| self.seen.checked_shl(step))
                    .unwrap_or(0)
                    | 1;
                self.highest = index;
            }
        }
    }
}

/// The 48-bit index nearest to `highest` whose low 16 bits are `sequence`. `None`: there is none left.
pub(super) fn nearest_index(highest: u64, sequence: u16) -> Option<u64> {
    let same_cycle = (highest & !0xffff) | u64::from(sequence);
    let distance = same_cycle as i64 - highest as i64;
    let index = if distance > HALF_CYCLE {
        // Before the first cycle there is none.
        same_cycle.checked_sub(CYCLE).unwrap_or(same_cycle)
    } else if distance < -HALF_CYCLE {
        same_cycle + CYCLE
    } else {
        same_cycle
    };
    (index < INDEX_END).then_some(index)
}

/// Packets a receiver can have out of order: 2.5 s of 50 per second.
const WINDOW: u64 = 128;
const CYCLE: u64 = 1 << 16;
const HALF_CYCLE: i64 = 1 << 15;
const INDEX_END: u64 = 1 << 48;
