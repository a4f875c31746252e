//! The codec-dependent part of a trunk leg, built by signalling for each negotiated session.

use crate::leg::trunk::media::inband::InbandGuard;
use crate::leg::trunk::media::shield::Shield;
use crate::media::codec::{self, CodecKind, Encoder, EncoderSettings, PAYLOAD_BYTES_MAX};
use crate::media::dtmf::event::EventSender;
use crate::media::dtmf::tones::ToneSender;
use crate::media::frame::{Frame, SampleRate};
use crate::rtp::session::RtpSession;

/// Encoders, frame buffer, sender of keys; and the listener for tones where no telephone-event was negotiated.
pub struct AudioPath {
    pub(super) codec: CodecKind,
    pub(super) rate: SampleRate,
    pub(super) clock_hz: u32,
    pub(super) packet_time_ms: usize,
    /// By rising rate. Opus has one for each rate a room may have, the others one.
    encoders: Vec<Box<dyn Encoder>>,
    /// The one in use: that of `rate`.
    active: usize,
    /// The 20 ms being made.
    pub(super) frame: Frame,
    /// Made and not yet sent: at most a packet less 10 ms, and 20 ms more.
    staging: Box<[i16]>,
    staged: usize,
    payload: Box<[u8]>,
    pub(super) keys: Option<EventSender>,
    pub(super) tones: ToneSender,
    pub(super) inband: Option<InbandGuard>,
    /// SRTP on its way to the media half, or home.
    pub(super) shield: Option<Box<Shield>>,
}

impl AudioPath {
    /// What `session` needs.
    pub fn new(session: &RtpSession) -> Box<Self> {
        Self::with_settings(session, EncoderSettings::default())
    }

    /// The same, with an encoder of other settings.
    pub fn with_settings(session: &RtpSession, settings: EncoderSettings) -> Box<Self> {
        let codec = session.send_codec;
        let row = codec.row();
        let rates = match codec {
            CodecKind::Opus => &SampleRate::ALL[..],
            _ => &[row.pcm_rate],
        };
        let encoders: Vec<Box<dyn Encoder>> =
            rates.iter().map(|rate| codec::new_encoder(codec, *rate, settings)).collect();
        let listens_for_tones = session.receive_events.is_empty();
        let shield = session.srtp.as_ref().map(Shield::new);
        Box::new(Self {
            codec,
            rate: row.pcm_rate,
            clock_hz: row.clock_hz,
            packet_time_ms: usable_packet_time(codec, session.packet_time_ms),
            frame: Frame::silence(row.pcm_rate),
            staging: vec![0; row.pcm_rate.samples(STAGING_MS)].into(),
            staged: 0,
            payload: vec![0; PAYLOAD_BYTES_MAX].into(),
            active: encoders.len() - 1,
            encoders,
            keys: session.send_events.map(|format| EventSender::new(format.clock_hz, 20)),
            tones: ToneSender::default(),
            inband: (listens_for_tones && !session.receive.is_empty())
                .then(|| InbandGuard::new(session.receive[0].1)),
            shield: shield
                .map(|shield| shield.expect("a master key has the lengths of its profile")),
        })
    }

    /// PCM rate: the rate of the ear.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// What is heard holds nothing above `wanted` (`None`: that is not known): the lowest rate that carries it is used
    /// from the next packet on. Gives the rate if it is another one now.
    pub(super) fn follow_rate(&mut self, wanted: Option<SampleRate>) -> Option<SampleRate> {
        let last = self.encoders.len() - 1;
        let place = wanted
            .and_then(|wanted| self.encoders.iter().position(|encoder| encoder.rate() >= wanted))
            .unwrap_or(last);
        // In the middle of a packet of 40 or 60 ms: the next one.
        if place == self.active || self.staged > 0 {
            return None;
        }
        self.active = place;
        let encoder = &mut self.encoders[place];
        encoder.reset();
        self.rate = encoder.rate();
        self.frame = Frame::silence(self.rate);
        Some(self.rate)
    }

    /// Appends the frame to what waits to be sent.
    pub(super) fn stage_frame(&mut self) {
        let end = self.staged + self.frame.samples().len();
        match self.staging.get_mut(self.staged..end) {
            Some(place) => {
                place.copy_from_slice(self.frame.samples());
                self.staged = end;
            }
            None => debug_assert!(false, "more staged than a packet and a frame"),
        }
    }

    /// Encodes one packet's worth, if it is there.
    pub(super) fn encode(&mut self) -> Option<&[u8]> {
        let samples = self.rate.samples(self.packet_time_ms);
        if self.staged < samples {
            return None;
        }
        let length = self.encoders[self.active].encode(&self.staging[..samples], &mut self.payload);
        self.staging.copy_within(samples..self.staged, 0);
        self.staged -= samples;
        Some(&self.payload[..length])
    }

    /// Forgets what waits; gives how much that was, in RTP clock units.
    pub(super) fn drop_staged(&mut self) -> u32 {
        let milliseconds = self.staged / self.rate.samples(1);
        self.staged = 0;
        self.units(milliseconds)
    }

    /// Milliseconds in RTP clock units.
    pub(super) fn units(&self, milliseconds: usize) -> u32 {
        self.clock_hz / 1_000 * milliseconds as u32
    }

    /// Loss the far side reports.
    pub(super) fn set_expected_loss(&mut self, percent: u8) {
        for encoder in &mut self.encoders {
            encoder.set_expected_loss(percent);
        }
    }
}

impl std::fmt::Debug for AudioPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "AudioPath({:?}, {} ms)", self.codec, self.packet_time_ms)
    }
}

/// 10, 20, 30, 40 or 60 ms; Opus has no frame of 30 (RFC 6716 §2.1.4).
fn usable_packet_time(codec: CodecKind, asked_ms: u8) -> usize {
    match (codec, asked_ms) {
        (_, 0..=14) => 10,
        (CodecKind::Opus, 25..=34) => 20,
        (_, 15..=24) => 20,
        (_, 25..=34) => 30,
        (_, 35..=49) => 40,
        _ => 60,
    }
}

/// A packet of 60 ms never waits with more than 60 ms made; 20 ms more come at once.
const STAGING_MS: usize = 80;
