//! The sending side of a trunk leg: a frame each 20 ms, packets of the negotiated length, keys, keep-alives, reports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::TrunkMedia;
use crate::base::limits::RTP_DATAGRAM_BYTES_MAX;
use crate::base::time::WallClock;
use crate::leg::media::{FromMedia, MediaOutputs, SocketKind, Transmit};
use crate::media::frame::Frame;
use crate::rtp::session::RtpSession;

/// Where a leg's outgoing stream stands. Counts frames; knows no wall time.
#[derive(Debug)]
pub(super) struct SendClock {
    /// RTP timestamp of the next sample that leaves.
    position: u32,
    /// Of 10 ms each.
    slot: u64,
    next_packet: u64,
    talkspurt: bool,
    frames_to_report: u32,
    slots_to_keep_alive: u32,
    noise: Noise,
}

impl SendClock {
    pub(super) fn starting_at(position: u32) -> Self {
        Self {
            position,
            slot: 0,
            next_packet: 0,
            talkspurt: true,
            frames_to_report: REPORT_FRAMES,
            slots_to_keep_alive: 0,
            noise: Noise(position | 1),
        }
    }

    pub(super) fn position(&self) -> u32 {
        self.position
    }

    pub(super) fn advance(&mut self, units: u32) {
        self.position = self.position.wrapping_add(units);
    }

    /// The next packet carries the marker: something was not sent before it.
    pub(super) fn begin_talkspurt(&mut self) {
        self.talkspurt = true;
    }
}

impl TrunkMedia {
    /// 20 ms for the phone. `pull` gives the room's sound, or false where there is none.
    pub fn play_frame(
        &mut self,
        now: Instant,
        wall: WallClock,
        pull: &mut dyn FnMut(&mut Frame) -> bool,
        out: &mut MediaOutputs,
    ) {
        let Some(running) = &mut self.running else { return };
        self.clock.slot = (self.clock.slot | 1) + 1;
        let frame = &mut running.path.frame;
        if !pull(frame) {
            self.clock.noise.fill(frame);
        }
        self.player.overlay(frame, out);
        if running.sends() && is_reachable(running.latch.destination()) {
            self.send_frame();
        } else {
            self.pass_over_frame();
        }
        self.keep_house(now, wall, out);
    }

    /// Half a period after a frame: packets of 10 and 30 ms leave on their own time.
    pub fn play_half_frame(&mut self) {
        self.clock.slot |= 1;
        self.send_packet();
    }

    /// The shard stood still: the frames that were not made are silence, not delay.
    pub fn skip_frames(&mut self, frames: u32) {
        if let Some(running) = &self.running {
            self.clock.advance(running.path.units(20).wrapping_mul(frames));
            self.clock.begin_talkspurt();
        }
    }

    /// Whether a regular report is due; asked once per frame.
    pub fn report_due(&mut self) -> bool {
        self.clock.frames_to_report -= 1;
        if self.clock.frames_to_report > 0 {
            return false;
        }
        self.clock.frames_to_report = REPORT_FRAMES;
        true
    }

    /// Keys take the place of audio while they last.
    fn send_frame(&mut self) {
        let Some(running) = &mut self.running else { return };
        let path = &mut running.path;
        if path.keys.as_ref().is_some_and(|keys| keys.is_busy()) {
            self.clock.advance(path.drop_staged());
        }
        let position = self.clock.position;
        match path.keys.as_mut().and_then(|keys| keys.poll(position)) {
            Some(key) => {
                self.clock.advance(path.units(20));
                self.clock.begin_talkspurt();
                let Some(format) = running.session.send_events else { return };
                self.write_rtp(format.payload_type, key.marker, key.timestamp, &key.payload);
            }
            None => {
                path.tones.play(&mut path.frame);
                path.stage_frame();
                self.send_packet();
            }
        }
    }

    /// Sends a packet if its time has come and its sound is there.
    fn send_packet(&mut self) {
        let Some(running) = &mut self.running else { return };
        if self.clock.slot < self.clock.next_packet {
            return;
        }
        let packet_time_ms = running.path.packet_time_ms;
        let units = running.path.units(packet_time_ms);
        let payload_type = running.session.send_payload_type;
        let Some(payload) = running.path.encode() else { return };
        self.clock.next_packet = self.clock.slot + packet_time_ms as u64 / 10;
        if !payload.is_empty() {
            let marker = std::mem::take(&mut self.clock.talkspurt);
            let to = running.latch.destination();
            let datagram = &mut self.rtp_out;
            let position = self.clock.position;
            let length =
                self.sender.write(payload_type, marker, position, payload, &mut datagram.bytes);
            datagram.address(to, SocketKind::TrunkRtp, length);
            self.counters.rtp_sent += 1;
        }
        self.clock.advance(units);
        self.clock.slots_to_keep_alive = KEEP_ALIVE_FRAMES;
    }

    /// Nothing goes to the phone now: time passes, and the path through its NAT is kept open.
    fn pass_over_frame(&mut self) {
        let Some(running) = &mut self.running else { return };
        let passed = running.path.drop_staged().wrapping_add(running.path.units(20));
        self.clock.advance(passed);
        self.clock.begin_talkspurt();
        if self.clock.slots_to_keep_alive > 0 {
            self.clock.slots_to_keep_alive -= 1;
            return;
        }
        self.clock.slots_to_keep_alive = KEEP_ALIVE_FRAMES;
        if is_reachable(running.latch.destination()) {
            let payload_type = unknown_payload_type(&running.session);
            self.write_rtp(payload_type, false, self.clock.position, &[]);
        }
    }

    fn write_rtp(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let Some(running) = &self.running else { return };
        let datagram = &mut self.rtp_out;
        let length =
            self.sender.write(payload_type, marker, timestamp, payload, &mut datagram.bytes);
        datagram.address(running.latch.destination(), SocketKind::TrunkRtp, length);
        self.counters.rtp_sent += 1;
    }

    /// What is looked after once per frame.
    fn keep_house(&mut self, now: Instant, wall: WallClock, out: &mut MediaOutputs) {
        let Some(running) = &self.running else { return };
        if self.receiver.fell_silent(now, running, self.config.silence_timeout) {
            out.push(FromMedia::Silent(self.call));
        }
        if self.rtcp.is_due(now) && is_reachable(running.rtcp_destination()) {
            self.write_rtcp(now, wall, false);
        }
    }
}

/// One datagram that waits to be taken.
pub(super) struct Datagram {
    to: SocketAddr,
    socket: SocketKind,
    /// 0: none waits.
    length: usize,
    pub(super) bytes: [u8; RTP_DATAGRAM_BYTES_MAX],
}

impl Datagram {
    pub(super) fn empty() -> Self {
        Self {
            to: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            socket: SocketKind::TrunkRtp,
            length: 0,
            bytes: [0; RTP_DATAGRAM_BYTES_MAX],
        }
    }

    /// Makes the bytes a datagram.
    pub(super) fn address(&mut self, to: SocketAddr, socket: SocketKind, length: usize) {
        self.to = to;
        self.socket = socket;
        self.length = length;
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.length > 0
    }

    pub(super) fn take(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        let length = std::mem::take(&mut self.length);
        if length == 0 {
            return None;
        }
        buffer.get_mut(..length)?.copy_from_slice(&self.bytes[..length]);
        Some(Transmit { to: self.to, socket: self.socket, length })
    }
}

impl std::fmt::Debug for Datagram {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Datagram({} bytes)", self.length)
    }
}

/// Comfort noise for a leg without a room: a silent line sounds dead.
#[derive(Debug)]
struct Noise(u32);

impl Noise {
    fn fill(&mut self, frame: &mut Frame) {
        for sample in frame.samples_mut() {
            // Xorshift (Marsaglia 2003): good enough to hiss.
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            *sample = ((self.0 >> 16) % (2 * NOISE_PEAK + 1)) as i16 - NOISE_PEAK as i16;
        }
    }
}

/// Not after c=0.0.0.0 or port 0.
fn is_reachable(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}

/// A payload type the peer does not know, for keep-alives (RFC 6263 §4.6).
fn unknown_payload_type(session: &RtpSession) -> u8 {
    let known = |number: u8| {
        session.receive.iter().any(|(receive, _)| *receive == number)
            || session.receive_events.iter().any(|event| event.payload_type == number)
            || session.receive_comfort_noise == Some(number)
            || session.send_payload_type == number
            || session.send_events.is_some_and(|event| event.payload_type == number)
    };
    (0..UNUSED_PAYLOAD_TYPE_MAX)
        .rev()
        .find(|offset| !known(UNUSED_PAYLOAD_TYPE_MIN + offset))
        .map_or(UNUSED_PAYLOAD_TYPE_MIN, |offset| UNUSED_PAYLOAD_TYPE_MIN + offset)
}

/// Uniform noise of this peak has -62 dBov.
const NOISE_PEAK: u32 = 45;
/// Reports go to signalling every 5 s.
const REPORT_FRAMES: u32 = 250;
/// RFC 6263 §5: no longer than 15 s without a packet.
const KEEP_ALIVE_FRAMES: u32 = 750;
const UNUSED_PAYLOAD_TYPE_MIN: u8 = 96;
const UNUSED_PAYLOAD_TYPE_MAX: u8 = 32;
