//! Reception statistics of one incoming RTP stream (RFC 3550 A.1, A.3, A.8), across restarts and SSRC changes.

use std::time::{Duration, Instant};

use super::seq::{ExtendedSeq, SeqExtender, SeqVerdict, TimestampExtender};
use super::wire::header::RtpHeader;
use super::wire::rtcp::ReportBlock;

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Extended sequence number within the stream.
    pub sequence: ExtendedSeq,
    /// Extended timestamp within the stream, in units of its clock.
    pub timestamp: u64,
    /// The first packet of a stream (SSRC change, restart): numbers before it mean nothing any more.
    pub new_stream: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// To be used.
    Fresh(Placed),
    /// Seen before.
    Duplicate,
    /// Far from the stream; dropped until a second one confirms it.
    Suspicious,
}

/// Counts of everything one phone sent.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    stream: Option<Stream>,
    /// Of streams that were replaced.
    past_received: u64,
    past_lost: u64,
}

/// One SSRC without a restart.
#[derive(Clone, Debug)]
struct Stream {
    ssrc: u32,
    sequences: SeqExtender,
    timestamps: TimestampExtender,
    first: ExtendedSeq,
    received: u64,
    /// Of the 64 sequence numbers up to the highest: which came. Bit 0 is the highest.
    recent: u64,
    recent_highest: u64,
    expected_at_report: u64,
    received_at_report: u64,
    jitter: Jitter,
}

/// Interarrival jitter (RFC 3550 A.8).
#[derive(Clone, Copy, Debug, Default)]
struct Jitter {
    last: Option<(Instant, u64)>,
    /// In 1/16 timestamp units.
    scaled: u64,
    clock_hz: u32,
}

impl Reception {
    /// A packet of the accepted source arrived.
    pub fn receive(&mut self, header: &RtpHeader) -> Arrival {
        match &mut self.stream {
            Some(stream) if stream.ssrc == header.ssrc => {
                let before = stream.sequences;
                match stream.sequences.place(header.sequence) {
                    SeqVerdict::Place(sequence) => stream.note(sequence, header.timestamp),
                    SeqVerdict::Suspicious => Arrival::Suspicious,
                    SeqVerdict::Restarted(_) => {
                        // What was lost until now is counted by the numbers until now.
                        stream.sequences = before;
                        self.begin(header)
                    }
                }
            }
            _ => self.begin(header),
        }
    }

    /// An audio packet's time, for the jitter: events are left out, because all packets of one key carry one timestamp.
    pub fn note_audio(&mut self, arrival: Instant, timestamp: u64, clock_hz: u32) {
        if let Some(stream) = &mut self.stream {
            stream.jitter.note(arrival, timestamp, clock_hz);
        }
    }

    /// SSRC of the present stream.
    pub fn ssrc(&self) -> Option<u32> {
        self.stream.as_ref().map(|stream| stream.ssrc)
    }

    /// Packets received, without duplicates.
    pub fn received(&self) -> u64 {
        self.past_received + self.stream.as_ref().map_or(0, |stream| stream.received)
    }

    /// Packets lost (RFC 3550 A.3).
    pub fn lost(&self) -> u64 {
        self.past_lost + self.stream.as_ref().map_or(0, |stream| stream.lost())
    }

    /// Interarrival jitter.
    pub fn jitter(&self) -> Duration {
        self.stream.as_ref().map_or(Duration::ZERO, |stream| stream.jitter.duration())
    }

    /// The block for our next report; loss is counted since the last call. The caller adds the sender report's times.
    pub fn report_block(&mut self) -> Option<ReportBlock> {
        self.stream.as_mut().map(Stream::report_block)
    }

    fn begin(&mut self, header: &RtpHeader) -> Arrival {
        if let Some(old) = &self.stream {
            self.past_received += old.received;
            self.past_lost += old.lost();
        }
        let (sequences, first) = SeqExtender::starting_at(header.sequence);
        let (timestamps, timestamp) = TimestampExtender::starting_at(header.timestamp);
        self.stream = Some(Stream {
            ssrc: header.ssrc,
            sequences,
            timestamps,
            first,
            received: 1,
            recent: 1,
            recent_highest: first.0,
            expected_at_report: 0,
            received_at_report: 0,
            jitter: Jitter::default(),
        });
        Arrival::Fresh(Placed { sequence: first, timestamp, new_stream: true })
    }
}

impl Stream {
    fn note(&mut self, sequence: ExtendedSeq, timestamp: u32) -> Arrival {
        if !self.mark(sequence.0) {
            return Arrival::Duplicate;
        }
        self.received += 1;
        self.first = self.first.min(sequence);
        let timestamp = self.timestamps.extend(timestamp);
        Arrival::Fresh(Placed { sequence, timestamp, new_stream: false })
    }

    /// Marks a sequence number as seen; false if it was. One older than the window counts as new: it is late anyway.
    fn mark(&mut self, sequence: u64) -> bool {
        if sequence > self.recent_highest {
            let step = sequence - self.recent_highest;
            self.recent = if step < 64 { self.recent << step } else { 0 };
            self.recent |= 1;
            self.recent_highest = sequence;
            return true;
        }
        let age = self.recent_highest - sequence;
        if age >= 64 {
            return true;
        }
        let fresh = self.recent & (1 << age) == 0;
        self.recent |= 1 << age;
        fresh
    }

    fn expected(&self) -> u64 {
        self.sequences.highest().0 - self.first.0 + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    fn report_block(&mut self) -> ReportBlock {
        let expected = self.expected() - self.expected_at_report;
        let received = self.received - self.received_at_report;
        self.expected_at_report = self.expected();
        self.received_at_report = self.received;
        let lost = expected.saturating_sub(received);
        let fraction = (lost << 8).checked_div(expected).unwrap_or(0);
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: (self.expected() as i64 - self.received as i64)
                .clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.sequences.highest().0.wrapping_sub(1 << 16) as u32,
            jitter: (self.jitter.scaled >> 4) as u32,
            last_sender_report: 0,
            delay_since: 0,
        }
    }
}

impl Jitter {
    fn note(&mut self, arrival: Instant, timestamp: u64, clock_hz: u32) {
        if self.clock_hz != clock_hz {
            *self = Self { clock_hz, ..Self::default() };
        }
        if let Some((last_arrival, last_timestamp)) = self.last {
            let passed = units(arrival.saturating_duration_since(last_arrival), clock_hz) as i64
                - units(last_arrival.saturating_duration_since(arrival), clock_hz) as i64;
            let difference = passed - timestamp.wrapping_sub(last_timestamp) as i64;
            // A pause or a jump is not jitter: one second is beyond any network's.
            if difference.unsigned_abs() < u64::from(clock_hz) {
                self.scaled = self.scaled + difference.unsigned_abs() - ((self.scaled + 8) >> 4);
            }
        }
        self.last = Some((arrival, timestamp));
    }

    fn duration(&self) -> Duration {
        match self.clock_hz {
            0 => Duration::ZERO,
            hz => Duration::from_micros((self.scaled >> 4) * 1_000_000 / u64::from(hz)),
        }
    }
}

/// A duration in units of a clock.
pub fn units(duration: Duration, clock_hz: u32) -> u64 {
    (duration.as_nanos() * u128::from(clock_hz) / 1_000_000_000) as u64
}

#[cfg(test)]
mod tests;
