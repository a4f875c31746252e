//! A leg and a stand-in bridge with voices behind it, for tests and figures. Compiled for tests and behind the feature
//! `_testkit` only.
//!
//! The bridge is our own transport on the other side: it proves how a leg behaves, not that others understand it.

use std::net::SocketAddr;
use std::time::Instant;

use super::media::{JitsiMedia, JitsiMediaConfig};
use crate::base::rng::Rng;
use crate::base::time::WallClock;
use crate::media::codec::{self, CodecKind, Encoder, EncoderSettings, PAYLOAD_BYTES_MAX};
use crate::media::frame::SampleRate;
use crate::media::ingress::EarKey;
use crate::media::level;
use crate::rtp::wire::ext::{AudioLevel, LEVEL_EXTENSION_BYTES, write_level};
use crate::rtp::wire::header::HEADER_BYTES;
use crate::webrtc::testkit::{self, BRIDGE, LEG};
use crate::webrtc::transport::{Datagram, Departure, Media, Transport};
use crate::webrtc::{DtlsTransport, transport::Received};

/// SSRC of the leg.
pub const LEG_SSRC: u32 = 0x1111;
/// Id of the level extension.
pub const LEVEL: u8 = 1;
/// Payload type of Opus.
pub const OPUS: u8 = 111;
/// The phone's ear.
pub const EAR: EarKey = EarKey(1);

/// The other side of a leg.
pub struct StandInBridge {
    /// Its transport.
    pub transport: Box<DtlsTransport>,
    voices: Vec<Voice>,
}

/// One who speaks at the bridge.
struct Voice {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    encoder: Box<dyn Encoder>,
}

/// A leg of a phone that speaks `codec`, and its bridge. Nothing has been sent yet.
pub fn leg_and_bridge(now: Instant, codec: CodecKind) -> (Box<JitsiMedia>, StandInBridge) {
    leg_and_bridge_at(now, codec, [LEG, BRIDGE].map(SocketAddr::from))
}

/// As [`leg_and_bridge`], of one of several phones in a room: its SSRC and its ear are its own.
pub fn leg_and_bridge_of(
    now: Instant,
    codec: CodecKind,
    phone: u16,
) -> (Box<JitsiMedia>, StandInBridge) {
    numbered(now, codec, [LEG, BRIDGE].map(SocketAddr::from), phone)
}

/// As [`leg_and_bridge`], at these addresses.
pub fn leg_and_bridge_at(
    now: Instant,
    codec: CodecKind,
    addresses: [SocketAddr; 2],
) -> (Box<JitsiMedia>, StandInBridge) {
    numbered(now, codec, addresses, 0)
}

fn numbered(
    now: Instant,
    codec: CodecKind,
    addresses: [SocketAddr; 2],
    phone: u16,
) -> (Box<JitsiMedia>, StandInBridge) {
    let [ours, theirs] = testkit::pair_at(now, 1, None, addresses);
    let config = JitsiMediaConfig {
        ear: EarKey(EAR.0 + u64::from(phone)),
        rate: codec.row().pcm_rate,
        codecs: vec![codec],
        ssrc: LEG_SSRC + u32::from(phone),
        opus_payload_type: OPUS,
        key_payload_type: Some(126),
        level_extension: Some(LEVEL),
        listens_only: false,
        cname: "phone".to_owned(),
        wall: WallClock::default(),
    };
    let leg = JitsiMedia::new(now, config, ours, Rng::from_number(7));
    (leg, StandInBridge { transport: theirs, voices: Vec::new() })
}

impl StandInBridge {
    /// Where it is.
    pub fn address() -> SocketAddr {
        SocketAddr::from(BRIDGE)
    }

    /// Somebody joins. His numbers wrap soon.
    pub fn add_voice(&mut self, ssrc: u32) {
        let settings = EncoderSettings::default();
        let encoder = codec::new_encoder(CodecKind::Opus, SampleRate::Hz48000, settings);
        let voice = Voice { ssrc, sequence: 65_500, timestamp: u32::MAX - 5_000, encoder };
        self.voices.push(voice);
    }

    /// 20 ms of somebody, at 48 kHz, with an honest level. False: nobody of that SSRC, or it could not be sent.
    pub fn say(&mut self, ssrc: u32, pcm: &[i16]) -> bool {
        let Some(voice) = self.voices.iter_mut().find(|voice| voice.ssrc == ssrc) else {
            return false;
        };
        let mut packet = [0; HEADER_BYTES + LEVEL_EXTENSION_BYTES + PAYLOAD_BYTES_MAX];
        let length = voice.write(pcm, &mut packet);
        self.transport.send(Media::Rtp, &packet[..length])
    }

    /// A datagram of the leg.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) -> Option<Received<'_>> {
        let from = SocketAddr::from(LEG);
        self.transport.handle_datagram(now, Datagram { socket: 0, from, bytes })
    }

    /// A datagram for the leg.
    pub fn transmit(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.transport.poll_transmit(buffer).map(|Departure { length, .. }| length)
    }

    /// Due deadlines. Nobody asks it what happened.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.transport.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.transport.handle_timeout(now);
        }
        while self.transport.poll_event().is_some() {}
    }
}

impl Voice {
    fn write(&mut self, pcm: &[i16], packet: &mut [u8]) -> usize {
        let start = HEADER_BYTES + LEVEL_EXTENSION_BYTES;
        let (head, payload) = packet.split_at_mut(start);
        let length = self.encoder.encode(pcm, payload);
        let level = AudioLevel { level: level::level_dbov(pcm), voice: true };
        head[0] = 0x90;
        head[1] = OPUS;
        head[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        head[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        head[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        head[12..].copy_from_slice(&write_level(LEVEL, level));
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(960);
        start + length
    }
}
