//! Datagrams on their way out: one buffer that is filled and drained, never freed.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::transport::Departure;

/// The queue between a machine and `poll_transmit`.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    socket: u8,
    to: SocketAddr,
    start: usize,
    length: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(BYTES_USUAL),
            entries: VecDeque::with_capacity(ENTRIES_MAX),
            dropped: 0,
        }
    }

    /// Adds a datagram; false, and counted, if there is no room.
    pub(super) fn push(&mut self, (socket, to): (u8, SocketAddr), bytes: &[u8]) -> bool {
        self.push_with((socket, to), bytes, 0, |_, length| Some(length))
    }

    /// Adds a datagram of `bytes` and `spare` more that `finish` may use: it gets the buffer and the length of
    /// `bytes`, and gives the whole length, or nothing to take it back.
    pub(super) fn push_with(
        &mut self,
        (socket, to): (u8, SocketAddr),
        bytes: &[u8],
        spare: usize,
        finish: impl FnOnce(&mut [u8], usize) -> Option<usize>,
    ) -> bool {
        let start = self.bytes.len();
        if self.entries.len() >= ENTRIES_MAX || start + bytes.len() + spare > BYTES_MAX {
            self.dropped += 1;
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(start + bytes.len() + spare, 0);
        let Some(length) = self.bytes.get_mut(start..).and_then(|room| finish(room, bytes.len()))
        else {
            self.bytes.truncate(start);
            return false;
        };
        self.bytes.truncate(start + length);
        self.entries.push_back(Entry { socket, to, start, length });
        true
    }

    /// The oldest, written into `buffer`; one that does not fit is dropped and counted.
    pub(super) fn pop(&mut self, buffer: &mut [u8]) -> Option<Departure> {
        loop {
            let Some(entry) = self.entries.pop_front() else {
                self.bytes.clear();
                return None;
            };
            let bytes = self.bytes.get(entry.start..entry.start + entry.length);
            if let (Some(bytes), Some(room)) = (bytes, buffer.get_mut(..entry.length)) {
                room.copy_from_slice(bytes);
                let Entry { socket, to, length, .. } = entry;
                return Some(Departure { socket, to, length });
            }
            self.dropped += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A few RTP packets, or the largest DTLS flight.
const BYTES_USUAL: usize = 4 * 1_024;
/// A message of 64 KiB on the bridge channel does not leave at once: SCTP sends ten packets and waits.
const BYTES_MAX: usize = 64 * 1_024;
const ENTRIES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_leave_in_order_and_a_full_box_counts() {
        let to: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let (mut outbox, mut buffer) = (Outbox::new(), [0; 1_500]);
        for number in 0..ENTRIES_MAX as u8 {
            assert!(outbox.push((number % 2, to), &[number; 9]));
        }
        assert!(!outbox.push((0, to), b"one too many"));
        for number in 0..ENTRIES_MAX as u8 {
            let departure = outbox.pop(&mut buffer).unwrap();
            assert_eq!((departure.socket, departure.length), (number % 2, 9));
            assert_eq!(buffer[..9], [number; 9]);
        }
        assert_eq!(outbox.pop(&mut buffer), None);
        assert!(!outbox.push_with((0, to), b"taken back", 4, |_, _| None));
        assert_eq!((outbox.pop(&mut buffer), outbox.dropped()), (None, 1));
    }
}
