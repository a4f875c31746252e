//! Keys as RTP telephone-events (RFC 4733): a receiver that reports each key once, and a sender.
//!
//! The receiver accepts a key on its first packet, not on its end (a PIN should not wait for a finger), drops
//! repeats by timestamp, and bridges the segments of very long events. It knows neither payload types nor SSRCs.

use arrayvec::ArrayVec;

use super::{Key, Press};

/// Finds new keys in the event packets of one stream.
#[derive(Clone, Debug, Default)]
pub struct EventReceiver {
    current: Option<Current>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    key: Key,
    timestamp: u32,
    duration: u16,
    ended: bool,
}

impl EventReceiver {
    /// Takes the RTP timestamp and payload of one event packet; gives the key if this is its first packet.
    /// Short payloads and events that are no keys (RFC 4733 §3.2: above 15) give nothing.
    pub fn accept(&mut self, timestamp: u32, payload: &[u8]) -> Option<Key> {
        let &[code, flags, high, low, ..] = payload else { return None };
        let key = Key::from_event(code)?;
        let duration = u16::from_be_bytes([high, low]);
        let ended = flags & END_BIT != 0;
        let fresh = match &mut self.current {
            Some(current) => !current.absorbs(key, timestamp, duration, ended),
            None => true,
        };
        if fresh {
            self.current = Some(Current { key, timestamp, duration, ended });
        }
        fresh.then_some(key)
    }

    /// The key whose end was not seen yet.
    pub fn held(&self) -> Option<Key> {
        self.current.filter(|current| !current.ended).map(|current| current.key)
    }

    /// Forgets the past: the SSRC changed.
    pub fn reset(&mut self) {
        self.current = None;
    }
}

impl Current {
    /// Whether a packet belongs to this event or to one before it, and is no news.
    fn absorbs(&mut self, key: Key, timestamp: u32, duration: u16, ended: bool) -> bool {
        let ahead = timestamp.wrapping_sub(self.timestamp).cast_signed();
        if ahead < 0 {
            return true; // overtaken by a later event
        }
        if ahead == 0 {
            // Some gateways never move the timestamp: another key after an end is news.
            let repeat = key == self.key || !self.ended;
            if repeat && key == self.key {
                self.ended |= ended;
                self.duration = self.duration.max(duration);
            }
            return repeat;
        }
        if key != self.key || self.ended {
            return false;
        }
        // RFC 4733 §2.5.1.3: an event longer than the duration field goes on in a new segment with a new timestamp.
        let next_segment = self.duration >= SEGMENT_DURATION_MIN;
        // Some phones move the timestamp with every packet while the duration keeps growing.
        let creeping = duration > self.duration && ahead <= i32::from(duration);
        if next_segment || creeping {
            *self = Self { key, timestamp, duration, ended };
        }
        next_segment || creeping
    }
}

/// Plays keys as events, one packet per call: start, updates, three ends, a pause, the next key.
#[derive(Clone, Debug)]
pub struct EventSender {
    step: u16,
    packet_time_ms: u16,
    packets_per_pause: u16,
    waiting: ArrayVec<Press, 32>,
    playing: Option<Playing>,
    pause: u16,
}

#[derive(Clone, Copy, Debug)]
struct Playing {
    key: Key,
    timestamp: u32,
    packets: u16,
    sent: u16,
}

/// One event packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// RTP timestamp: the start of the event, the same in all its packets.
    pub timestamp: u32,
    /// RTP marker: first packet of the event.
    pub marker: bool,
    /// RTP payload.
    pub payload: [u8; 4],
}

impl EventSender {
    /// A sender for an event clock of `clock_hz` and a packet every `packet_time_ms` (10 to 60).
    pub fn new(clock_hz: u32, packet_time_ms: u8) -> Self {
        let milliseconds = u32::from(packet_time_ms.clamp(5, 60));
        let step = u16::try_from(clock_hz / 1_000 * milliseconds).unwrap_or(u16::MAX);
        Self {
            step,
            packet_time_ms: milliseconds as u16,
            packets_per_pause: PAUSE_MS.div_ceil(milliseconds) as u16,
            waiting: ArrayVec::new(),
            playing: None,
            pause: 0,
        }
    }

    /// Adds a key to play. False if 32 are waiting already.
    pub fn push(&mut self, key: impl Into<Press>) -> bool {
        self.waiting.try_push(key.into()).is_ok()
    }

    /// Whether a key is playing or waiting.
    pub fn is_busy(&self) -> bool {
        self.playing.is_some() || !self.waiting.is_empty()
    }

    /// Called once per packet time with the present RTP timestamp. A packet takes the place of audio; `None`
    /// means that audio may be sent.
    pub fn poll(&mut self, timestamp: u32) -> Option<EventPacket> {
        if self.playing.is_none() {
            if self.pause > 0 {
                self.pause -= 1;
                return None;
            }
            let Press { key, length_ms } = self.waiting.pop_at(0)?;
            // No longer than its duration can be told in one segment (§2.5.1.3).
            let packets = length_ms.div_ceil(self.packet_time_ms).min(u16::MAX / self.step.max(1));
            self.playing = Some(Playing { key, timestamp, packets, sent: 0 });
        }
        let playing = self.playing.as_mut()?;
        playing.sent += 1;
        let sent = playing.sent;
        let timestamp = playing.timestamp;
        let end = sent > playing.packets;
        let duration = self.step.saturating_mul(sent.min(playing.packets));
        let [high, low] = duration.to_be_bytes();
        let flags = if end { END_BIT | VOLUME } else { VOLUME };
        let payload = [playing.key.event(), flags, high, low];
        if sent == playing.packets + ENDS {
            self.playing = None;
            self.pause = self.packets_per_pause;
        }
        Some(EventPacket { timestamp, marker: sent == 1, payload })
    }
}

const END_BIT: u8 = 0x80;
/// Power level in -dBm0 (RFC 4733 §2.3.5).
const VOLUME: u8 = 10;
/// RFC 4733 §2.5.1.4: the end is sent three times.
const ENDS: u16 = 3;
/// Pause between keys we send.
const PAUSE_MS: u32 = 80;
/// A duration so close to the end of its field that the next packet may open a new segment.
const SEGMENT_DURATION_MIN: u16 = u16::MAX - 6_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn send(clock_hz: u32, packet_ms: u8, keys: &str) -> Vec<EventPacket> {
        let mut sender = EventSender::new(clock_hz, packet_ms);
        assert!(keys.chars().filter_map(Key::from_char).all(|key| sender.push(key)));
        let step = clock_hz / 1_000 * u32::from(packet_ms);
        let mut timestamp = u32::MAX - 2_000; // wraps on the way
        let mut packets = Vec::new();
        while sender.is_busy() {
            packets.extend(sender.poll(timestamp));
            timestamp = timestamp.wrapping_add(step);
        }
        packets
    }

    fn receive(packets: &[EventPacket]) -> String {
        let mut receiver = EventReceiver::default();
        let keys = packets.iter().filter_map(|p| receiver.accept(p.timestamp, &p.payload));
        keys.map(Key::to_char).collect()
    }

    #[test]
    fn one_key_is_start_updates_and_three_ends() {
        let packets = send(8_000, 20, "5");
        let durations: Vec<_> =
            packets.iter().map(|p| u16::from_be_bytes([p.payload[2], p.payload[3]])).collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800, 800]);
        assert_eq!(packets.iter().filter(|p| p.marker).count(), 1);
        assert!(packets[0].marker);
        assert!(packets.iter().all(|p| p.timestamp == packets[0].timestamp && p.payload[0] == 5));
        let ends: Vec<_> = packets.iter().map(|p| p.payload[1] & 0x80 != 0).collect();
        assert_eq!(ends, [false, false, false, false, false, true, true, true]);
    }

    #[test]
    fn each_key_is_heard_once_at_both_clocks_and_any_packet_time() {
        for clock in [8_000, 48_000] {
            for packet_ms in [10, 20, 30, 40, 60] {
                let packets = send(clock, packet_ms, "0123456789*#AAD11");
                assert_eq!(receive(&packets), "0123456789*#AAD11", "{clock} {packet_ms}");
            }
        }
    }

    #[test]
    fn a_key_is_heard_from_any_single_packet_of_it() {
        let packets = send(8_000, 20, "77");
        for survivor in 0..8 {
            assert_eq!(receive(&[packets[survivor], packets[8 + survivor]]), "77");
        }
    }

    #[test]
    fn duplicates_and_overtaken_packets_are_no_keys() {
        let packets = send(8_000, 20, "12");
        let mut shuffled = packets.clone();
        shuffled.extend_from_slice(&packets[..8]); // the whole first event again, too late
        shuffled.insert(3, packets[2]);
        assert_eq!(receive(&shuffled), "12");
    }

    #[test]
    fn a_key_held_for_a_minute_is_one_key() {
        let mut receiver = EventReceiver::default();
        let mut keys = 0;
        let mut segment = 0_u32;
        for packet in 0..3_000_u32 {
            let position = packet * 160;
            if position - segment > 65_535 {
                segment = position - 160;
            }
            let [high, low] = ((position - segment + 160).min(65_535) as u16).to_be_bytes();
            keys += usize::from(receiver.accept(segment, &[9, 10, high, low]).is_some());
        }
        assert_eq!(keys, 1);
        assert_eq!(receiver.held(), Key::from_char('9'));
    }

    #[test]
    fn a_phone_whose_timestamp_creeps_presses_once() {
        let mut receiver = EventReceiver::default();
        let press = |receiver: &mut EventReceiver, base: u32| {
            (0..6_u16)
                .filter(|n| {
                    let [high, low] = (160 * (n + 1)).to_be_bytes();
                    receiver.accept(base + 160 * u32::from(*n), &[3, 10, high, low]).is_some()
                })
                .count()
        };
        assert_eq!(press(&mut receiver, 1_000), 1);
        assert_eq!(press(&mut receiver, 9_000), 1, "the same key again");
    }

    #[test]
    fn nonsense_gives_nothing() {
        let mut receiver = EventReceiver::default();
        for payload in [&[][..], &[5], &[5, 0, 0], &[16, 0, 0, 80], &[255, 255, 255, 255]] {
            assert_eq!(receiver.accept(1, payload), None);
        }
        assert_eq!(receiver.held(), None);
    }
}
