//! Sequence numbers and timestamps that never wrap (RFC 3550 A.1): 16 and 32 bits on the wire, 64 inside.

/// RTP sequence number extended to 64 bits: ordered by `<`, wraps never seen outside this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedSeq(pub u64);

/// Where a packet belongs in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqVerdict {
    /// In the stream, new or late.
    Place(ExtendedSeq),
    /// Far from the stream: dropped. If the next one follows it, the peer has restarted.
    Suspicious,
    /// The second of two packets that follow each other far from the stream: the peer has restarted here.
    Restarted(ExtendedSeq),
}

/// Extends the sequence numbers of one stream.
#[derive(Clone, Copy, Debug)]
pub struct SeqExtender {
    highest: u64,
    /// The one that would prove a restart.
    restart_at: Option<u16>,
}

impl SeqExtender {
    /// A stream that begins with `first`.
    pub fn starting_at(first: u16) -> (Self, ExtendedSeq) {
        // One cycle of room below, so that packets that overtook the first one have a place.
        let highest = SEQUENCE_CYCLE + u64::from(first);
        (Self { highest, restart_at: None }, ExtendedSeq(highest))
    }

    /// Places the next packet that came.
    pub fn place(&mut self, sequence: u16) -> SeqVerdict {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < DROPOUT_MAX {
            self.highest += u64::from(ahead);
            self.restart_at = None;
            return SeqVerdict::Place(ExtendedSeq(self.highest));
        }
        let behind = ahead.wrapping_neg();
        if behind <= MISORDER_MAX {
            return SeqVerdict::Place(ExtendedSeq(self.highest.saturating_sub(u64::from(behind))));
        }
        if self.restart_at == Some(sequence) {
            let (fresh, placed) = Self::starting_at(sequence);
            *self = fresh;
            return SeqVerdict::Restarted(placed);
        }
        self.restart_at = Some(sequence.wrapping_add(1));
        SeqVerdict::Suspicious
    }

    /// The highest so far.
    pub fn highest(&self) -> ExtendedSeq {
        ExtendedSeq(self.highest)
    }
}

/// Extends the timestamps of one stream.
#[derive(Clone, Copy, Debug)]
pub struct TimestampExtender {
    latest: u64,
}

impl TimestampExtender {
    /// A stream that begins with `first`.
    pub fn starting_at(first: u32) -> (Self, u64) {
        let latest = TIMESTAMP_CYCLE + u64::from(first);
        (Self { latest }, latest)
    }

    /// Extends the next one: the nearest to the latest seen.
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let step = timestamp.wrapping_sub(self.latest as u32) as i32;
        let extended = self.latest.saturating_add_signed(i64::from(step));
        self.latest = self.latest.max(extended);
        extended
    }
}

const SEQUENCE_CYCLE: u64 = 1 << 16;
const TIMESTAMP_CYCLE: u64 = 1 << 32;
/// A jump ahead of this many is still the same stream (RFC 3550 A.1: one minute of 50 packets per second).
const DROPOUT_MAX: u16 = 3_000;
/// A packet this far behind is late, not new (RFC 3550 A.1).
const MISORDER_MAX: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_is_not_seen() {
        let (mut seq, first) = SeqExtender::starting_at(65_534);
        let placed: Vec<u64> = [65_535, 0, 1]
            .iter()
            .map(|wire| match seq.place(*wire) {
                SeqVerdict::Place(placed) => placed.0 - first.0,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(placed, [1, 2, 3]);
    }

    #[test]
    fn a_late_packet_over_the_wrap_keeps_its_place() {
        let (mut seq, first) = SeqExtender::starting_at(65_535);
        assert_eq!(seq.place(1), SeqVerdict::Place(ExtendedSeq(first.0 + 2)));
        assert_eq!(seq.place(65_534), SeqVerdict::Place(ExtendedSeq(first.0 - 1)));
        assert_eq!(seq.highest().0, first.0 + 2);
    }

    #[test]
    fn one_stray_packet_is_dropped_and_two_are_a_restart() {
        let (mut seq, _) = SeqExtender::starting_at(100);
        assert_eq!(seq.place(40_000), SeqVerdict::Suspicious);
        assert!(matches!(seq.place(101), SeqVerdict::Place(_)));
        assert_eq!(seq.place(40_001), SeqVerdict::Suspicious, "the stream went on in between");
        assert!(matches!(seq.place(40_002), SeqVerdict::Restarted(_)));
        assert!(matches!(seq.place(40_003), SeqVerdict::Place(_)));
    }

    #[test]
    fn timestamps_go_on_over_the_wrap_and_backwards() {
        let (mut timestamps, first) = TimestampExtender::starting_at(u32::MAX - 79);
        assert_eq!(timestamps.extend(80), first + 160);
        assert_eq!(timestamps.extend(u32::MAX - 79), first);
        assert_eq!(timestamps.extend(240), first + 320);
    }
}
