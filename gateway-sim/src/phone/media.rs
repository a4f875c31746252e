//! The phone's RTP: a tone, keys by RFC 4733, and an ear that writes down what comes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::PhoneOutput;
use super::sound::{Law, Recording, tone};
use crate::plan::PhonePlan;

/// A stretch of time in which a phone was in some state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spell {
    /// From the 200 to the end of its talk.
    Talking,
    /// It wants to hold the gateway.
    Held,
    /// The gateway agreed to be held.
    HoldAgreed,
    /// It muted itself with `*6`.
    Muted,
    /// A re-INVITE is under way: sound may stutter.
    Disturbed,
}

#[derive(Debug)]
pub(super) struct Media {
    pub(super) port: u16,
    pub(super) may_send: bool,
    remote: Option<SocketAddr>,
    law: Law,
    hz: f64,
    packet_time: Duration,
    next: Option<Duration>,
    sequence: u16,
    timestamp: u32,
    position: u64,
    ssrc: u32,
    keys: VecDeque<(Duration, u8)>,
    event: Option<Event>,
    /// Payload type of keys.
    events: u8,
    /// Of the key that is being heard.
    heard_timestamp: Option<u32>,
    keys_heard: Vec<(Duration, char, u32)>,
}

/// A key being pressed.
#[derive(Clone, Copy, Debug)]
struct Event {
    code: u8,
    timestamp: u32,
    began: Duration,
    ends_sent: u8,
}

impl Media {
    pub(super) fn new(plan: &PhonePlan) -> Self {
        Self {
            port: 40_000,
            may_send: true,
            remote: None,
            law: plan.law,
            hz: plan.tone_hz,
            packet_time: Duration::from_millis(plan.packet_time_ms.into()),
            next: None,
            // Near the wrap for odd phones: the first second then crosses it.
            sequence: if plan.index % 2 == 1 { 65_500 } else { 10 },
            timestamp: if plan.index % 2 == 1 { u32::MAX - 8_000 } else { 1_000 },
            position: 0,
            ssrc: 0x5eed_0000 + plan.index as u32,
            keys: VecDeque::new(),
            event: None,
            events: 101,
            heard_timestamp: None,
            keys_heard: Vec::new(),
        }
    }

    pub(super) fn events(&self) -> u8 {
        self.events
    }

    pub(super) fn keys_heard(&self) -> &[(Duration, char, u32)] {
        &self.keys_heard
    }

    /// An answer gives keys the number that the offer gave them.
    pub(super) fn use_events_of(&mut self, offer: &str) {
        let number = offer.lines().find_map(|line| {
            let (number, format) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            (format.trim() == "telephone-event/8000").then(|| number.parse().ok())?
        });
        self.events = number.unwrap_or(self.events);
    }

    /// A key by INFO.
    pub(super) fn hear_info(&mut self, now: Duration, body: &str) {
        let value = |key: &str| body.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        if let Some(key) = value("Signal=").and_then(|it| it.chars().next()) {
            let length = value("Duration=").and_then(|it| it.parse().ok()).unwrap_or(0);
            self.keys_heard.push((now, key, length));
        }
    }

    /// A packet of a key: its first begins it, all make it longer.
    fn hear_event(&mut self, now: Duration, timestamp: u32, payload: &[u8]) {
        let [code, _, high, low] = *payload else { return };
        let length = u32::from(u16::from_be_bytes([high, low])) / 8;
        if self.heard_timestamp.replace(timestamp) != Some(timestamp) {
            let key = "0123456789*#ABCD".chars().nth(code.into()).unwrap_or('?');
            self.keys_heard.push((now, key, 0));
        }
        if let Some((_, _, so_far)) = self.keys_heard.last_mut() {
            *so_far = (*so_far).max(length);
        }
    }

    /// The gateway's SDP: where to send.
    pub(super) fn configure(&mut self, now: Duration, sdp: &str) {
        let line = |key: &str| sdp.lines().find_map(|line| line.strip_prefix(key));
        let address = line("c=IN IP4 ").and_then(|text| text.trim().parse().ok());
        let port = line("m=audio ").and_then(|text| text.split(' ').next()?.parse().ok());
        if let (Some(address), Some(port)) = (address, port) {
            self.remote = Some(SocketAddr::new(address, port));
            self.next.get_or_insert(now);
        }
    }

    /// Presses keys one after the other; gives the time when the last one is up.
    pub(super) fn press(&mut self, now: Duration, keys: &str) -> Duration {
        let mut at = now;
        for key in keys.chars() {
            let code = "0123456789*#".find(key).unwrap_or(0) as u8;
            self.keys.push_back((at, code));
            at += KEY_LENGTH + KEY_PAUSE;
        }
        at
    }

    pub(super) fn tick(&mut self, now: Duration, outputs: &mut VecDeque<PhoneOutput>) {
        let (Some(remote), Some(next)) = (self.remote, self.next) else { return };
        if now < next {
            return;
        }
        let samples = self.packet_time.as_millis() as usize * 8;
        if self.event.is_none() && self.keys.front().is_some_and(|(at, _)| now >= *at) {
            let code = self.keys.pop_front().map_or(0, |(_, code)| code);
            self.event = Some(Event { code, timestamp: self.timestamp, began: now, ends_sent: 0 });
        }
        let packet = match self.event {
            Some(event) => Some(self.event_packet(now, event)),
            None if self.may_send => Some(self.audio_packet(samples)),
            None => None,
        };
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
        self.position += samples as u64;
        self.next = Some(next + self.packet_time);
        if let Some(bytes) = packet {
            outputs.push_back(PhoneOutput::Rtp { from_port: self.port, to: remote, bytes });
        }
    }

    fn audio_packet(&mut self, samples: usize) -> Vec<u8> {
        let mut packet = self.header(self.law.payload_type(), self.timestamp, self.position == 0);
        let law = self.law;
        packet.extend(tone(self.hz, self.position, samples).map(|sample| law.encode(sample)));
        packet
    }

    fn event_packet(&mut self, now: Duration, event: Event) -> Vec<u8> {
        let over = now >= event.began + KEY_LENGTH;
        let first = event.began == now;
        let mut packet = self.header(self.events, event.timestamp, first);
        let duration = ((now - event.began + self.packet_time).as_millis() as u16).min(KEY_MS) * 8;
        let end = if over { 0x80 } else { 0 };
        packet.extend([event.code, end | 10]);
        packet.extend(duration.to_be_bytes());
        let ends_sent = event.ends_sent + u8::from(over);
        self.event = (ends_sent < 3).then_some(Event { ends_sent, ..event });
        packet
    }

    fn header(&mut self, payload_type: u8, timestamp: u32, marker: bool) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type | u8::from(marker) << 7];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    pub(super) fn receive(&mut self, now: Duration, bytes: &[u8], recording: &mut Recording) {
        let Some((header, payload)) = bytes.split_at_checked(12) else { return };
        let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if header[1] & 0x7f == self.events {
            return self.hear_event(now, timestamp, payload);
        }
        if header[1] & 0x7f != self.law.payload_type() || header[0] != 0x80 {
            return;
        }
        let law = self.law;
        recording.put(now, timestamp, payload.iter().map(|byte| law.decode(*byte)));
    }
}

const KEY_MS: u16 = 100;
const KEY_LENGTH: Duration = Duration::from_millis(KEY_MS as u64);
/// Long enough for the three end packets at 60 ms each, and a little more.
const KEY_PAUSE: Duration = Duration::from_millis(260);
