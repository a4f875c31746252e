//! Encoded packets in order of their sequence number, payloads copied into fixed storage.

use arrayvec::ArrayVec;

use crate::base::limits::JITTER_PACKETS_MAX;
use crate::media::codec::{CodecKind, PAYLOAD_BYTES_MAX};

/// One packet that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Extended sequence number.
    pub sequence: u64,
    /// Extended RTP timestamp.
    pub timestamp: u64,
    /// Length in units of the RTP clock.
    pub units: u32,
    /// Codec of the payload.
    pub codec: CodecKind,
    /// Announces a pause: what follows is silence, not loss.
    pub pause: bool,
    length: u16,
    blocks: [u8; BLOCKS_PER_PACKET],
}

impl Waiting {
    /// Timestamp of the first unit after it.
    pub fn end(&self) -> u64 {
        self.timestamp.saturating_add(u64::from(self.units))
    }
}

/// At most 64 packets and 32 kB of payload.
#[derive(Debug)]
pub struct PacketStore {
    waiting: ArrayVec<Waiting, JITTER_PACKETS_MAX>,
    bytes: Box<[[u8; BLOCK_BYTES]; BLOCKS]>,
    /// Bit n set: block n is free.
    free: u128,
}

impl Default for PacketStore {
    fn default() -> Self {
        Self {
            waiting: ArrayVec::new(),
            bytes: Box::new([[0; BLOCK_BYTES]; BLOCKS]),
            free: u128::MAX,
        }
    }
}

impl PacketStore {
    /// Puts a packet in its place; gives the number of oldest packets that had to go. The sequence number must
    /// not be present. `payload` is at most [`PAYLOAD_BYTES_MAX`] long, or nothing is kept.
    pub fn insert(
        &mut self,
        sequence: u64,
        timestamp: u64,
        units: u32,
        codec: CodecKind,
        pause: bool,
        payload: &[u8],
    ) -> usize {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return 0;
        }
        let wanted = payload.len().div_ceil(BLOCK_BYTES);
        let mut dropped = 0;
        while self.waiting.is_full() || (self.free.count_ones() as usize) < wanted {
            self.drop_first();
            dropped += 1;
        }
        let mut blocks = [0; BLOCKS_PER_PACKET];
        for (block, part) in blocks.iter_mut().zip(payload.chunks(BLOCK_BYTES)) {
            *block = self.free.trailing_zeros() as u8;
            self.free &= !(1 << *block);
            self.bytes[usize::from(*block)][..part.len()].copy_from_slice(part);
        }
        let length = payload.len() as u16;
        let packet = Waiting { sequence, timestamp, units, codec, pause, length, blocks };
        let place = self.waiting.iter().rposition(|other| other.sequence < sequence);
        self.waiting.insert(place.map_or(0, |place| place + 1), packet);
        dropped
    }

    /// The oldest packet.
    pub fn first(&self) -> Option<&Waiting> {
        self.waiting.first()
    }

    /// The youngest packet.
    pub fn last(&self) -> Option<&Waiting> {
        self.waiting.last()
    }

    /// Copies the payload of the oldest packet into `out`; gives its bytes.
    pub fn first_payload<'a>(&self, out: &'a mut [u8; PAYLOAD_BYTES_MAX]) -> &'a [u8] {
        let Some(packet) = self.waiting.first() else { return &[] };
        let length = usize::from(packet.length);
        for (part, block) in out[..length].chunks_mut(BLOCK_BYTES).zip(packet.blocks) {
            part.copy_from_slice(&self.bytes[usize::from(block)][..part.len()]);
        }
        &out[..length]
    }

    /// Drops the oldest packet.
    pub fn drop_first(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let packet = self.waiting.remove(0);
        let used = usize::from(packet.length).div_ceil(BLOCK_BYTES);
        for block in &packet.blocks[..used] {
            self.free |= 1 << block;
        }
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.free = u128::MAX;
    }

    /// How many wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

const BLOCK_BYTES: usize = 256;
const BLOCKS: usize = 128;
const BLOCKS_PER_PACKET: usize = PAYLOAD_BYTES_MAX.div_ceil(BLOCK_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(store: &mut PacketStore, sequence: u64, payload: &[u8]) -> usize {
        store.insert(sequence, sequence * 160, 160, CodecKind::Pcmu, false, payload)
    }

    #[test]
    fn packets_come_out_in_order_with_their_bytes() {
        let mut store = PacketStore::default();
        for sequence in [5_u64, 3, 9, 4, 7] {
            insert(&mut store, sequence, &vec![sequence as u8; 100 * sequence as usize]);
        }
        let mut seen = Vec::new();
        while let Some(first) = store.first() {
            seen.push(first.sequence);
            let mut bytes = [0; PAYLOAD_BYTES_MAX];
            let sequence = first.sequence;
            let payload = store.first_payload(&mut bytes);
            assert_eq!(payload, vec![sequence as u8; 100 * sequence as usize]);
            store.drop_first();
        }
        assert_eq!(seen, [3, 4, 5, 7, 9]);
        assert_eq!(store.free, u128::MAX, "no block leaks");
    }

    #[test]
    fn a_full_store_lets_the_oldest_go() {
        let mut store = PacketStore::default();
        let dropped: usize = (0..200).map(|n| insert(&mut store, n, &[1; 160])).sum();
        assert_eq!((store.len(), dropped), (JITTER_PACKETS_MAX, 200 - JITTER_PACKETS_MAX));
        let dropped: usize = (200..300).map(|n| insert(&mut store, n, &[1; 1_460])).sum();
        assert!(dropped > 100 && store.len() >= 20, "{dropped} {}", store.len());
        store.clear();
        assert_eq!((store.len(), store.free), (0, u128::MAX));
    }
}
