//! The media half of a leg in a Jitsi conference: the phone's speech to the bridge as Opus, everybody else's from the
//! bridge into the room's [`Ingress`].
//!
//! Upwards there is no jitter buffer (the listeners' browsers are): packets wait at most 20 ms for one that was
//! overtaken, and leave on arrival. Downwards the loudest three are chosen by the level in their packets, before they
//! are decoded. The transport underneath is a value that signalling built.

mod downlink;
mod keys;
mod uplink;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::leg::counters::ConferenceCounters;
use crate::leg::media::{
    ConferenceCommand, ConferenceEvent, ConferenceMedia, SocketKind, Transmit, Uplink, UplinkPlace,
    UplinkQuality,
};
use crate::media::codec::CodecKind;
use crate::media::frame::SampleRate;
use crate::media::ingress::{EarKey, Ingress, Source};
use crate::rtp::wire::rtcp::{self, Report, RtcpPacket};
use crate::webrtc::transport::{Datagram, Media, Transport, TransportCommand, TransportEvent};

use self::downlink::Downlink;
use self::keys::RoomKey;
use self::uplink::UplinkStream;

/// What signalling agreed on for one leg.
#[derive(Clone, Debug)]
pub struct JitsiMediaConfig {
    /// The ear of the phone, unique in its room.
    pub ear: EarKey,
    /// Rate the phone hears at.
    pub rate: SampleRate,
    /// Codecs the phone may send.
    pub codecs: Vec<CodecKind>,
    /// Our SSRC, as signalling told the others. A new session has a new one, so that nobody must explain a jump.
    pub ssrc: u32,
    /// Payload type of Opus in this conference.
    pub opus_payload_type: u8,
    /// Payload type of telephone-events at 8 kHz, where the conference has them.
    pub key_payload_type: Option<u8>,
    /// Id of the RFC 6464 extension; without it the bridge can neither name us as speaker nor mute us.
    pub level_extension: Option<u8>,
    /// Our canonical name in RTCP, at most 255 bytes.
    pub cname: String,
    /// Wall time of the start, for sender reports.
    pub wall: WallClock,
    /// Nothing that the phone says is sent: the others were told of no source.
    pub listens_only: bool,
}

/// The media half of one leg.
pub struct JitsiMedia {
    config: JitsiMediaConfig,
    transport: Box<dyn Transport>,
    uplink: UplinkStream,
    downlink: Downlink,
    began: Instant,
    /// The last time we were told.
    seen: Instant,
    report_at: Option<Instant>,
    muted: bool,
    attached: bool,
    event: Option<ConferenceEvent>,
    counters: JitsiMediaCounters,
}

crate::counters! {
    /// What the media halves of Jitsi legs met.
    pub struct JitsiMediaCounters {
        /// Packets of speech sent to the bridge.
        jitsi_speech_sent,
        /// Their bytes, with RTP headers.
        jitsi_speech_sent_bytes,
        /// Packets of announced sources received from the bridge.
        jitsi_speech_received,
        /// Their bytes, with RTP headers.
        jitsi_speech_received_bytes,
        /// Numbers left out by sources for less than a second: lost, or overtaken by others. Longer pauses are the bridge's
        /// choice of whom it sends.
        jitsi_speech_missing,
        /// Packets that came after later ones: less what was missing by mistake.
        jitsi_speech_overtaken,
        /// Milliseconds of speech from the bridge that were invented for lost or late packets.
        jitsi_speech_concealed_ms,
        /// Frames of speech not encoded because nobody spoke.
        jitsi_silence_saved,
        /// Packets of the phone that came too late for the reorder window.
        jitsi_uplink_late,
        /// Packets of sources that signalling did not announce.
        jitsi_unknown_source,
        /// Packets of sources that were not among the loudest three, dropped undecoded.
        jitsi_not_loudest,
        /// Packets of keys that people in the conference pressed.
        jitsi_key_packets,
    }
}

impl JitsiMedia {
    /// A half around a transport that was built for it.
    pub fn new(
        now: Instant,
        config: JitsiMediaConfig,
        transport: Box<dyn Transport>,
        mut rng: Rng,
    ) -> Box<Self> {
        let uplink = UplinkStream::new(&config, &mut rng);
        Box::new(Self {
            uplink,
            downlink: Downlink::new(now, &config),
            config,
            transport,
            began: now,
            seen: now,
            report_at: None,
            muted: false,
            attached: false,
            event: None,
            counters: JitsiMediaCounters::default(),
        })
    }

    /// What it met.
    pub fn counters(&self) -> JitsiMediaCounters {
        self.counters
    }

    /// What its transport met.
    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Packets carry the kernel's stamps and ticks their own time: together they may step back, machines must not.
    fn see(&mut self, now: Instant) -> Instant {
        self.seen = self.seen.max(now);
        self.seen
    }

    fn send_speech(&mut self, now: Instant) {
        while let Some(packet) = self.uplink.next_packet(now, &mut self.counters) {
            if self.transport.send(Media::Rtp, packet) {
                self.counters.jitsi_speech_sent += 1;
                self.counters.jitsi_speech_sent_bytes += packet.len() as u64;
            }
        }
    }

    /// SR while we speak, RR while we do not; one block, of each source in turn.
    fn send_report(&mut self, now: Instant, goodbye: bool) {
        let mut bytes = [0; REPORT_BYTES_MAX];
        let wall = WallClock { unix: self.config.wall.unix + now.duration_since(self.began) };
        let report = Report {
            ssrc: self.config.ssrc,
            sender: self.uplink.sender_facts(now, wall),
            block: self.downlink.report_block(),
            cname: &self.config.cname,
            goodbye,
        };
        if let Some(report) =
            rtcp::write(&report, &mut bytes).and_then(|length| bytes.get(..length))
        {
            self.transport.send(Media::Rtcp, report);
        }
    }

    fn hear_report(uplink: &mut UplinkStream, ours: u32, bytes: &[u8]) {
        // A report that is cut short was understood up to there.
        let _ = rtcp::parse(bytes, &mut |packet| {
            if let RtcpPacket::Report { blocks, .. } = packet {
                for block in blocks.iter().filter(|block| block.ssrc == ours) {
                    uplink.set_far_loss(block.fraction_lost);
                }
            }
        });
    }
}

impl ConferenceMedia for JitsiMedia {
    fn attach(&mut self, now: Instant, ingress: &mut Ingress) {
        let now = self.see(now);
        self.attached = ingress.add_ear(self.config.ear, self.config.rate);
        if !self.attached {
            self.event = Some(ConferenceEvent::Lost);
        }
        self.downlink.attach(now, ingress);
        self.transport.handle_timeout(now);
    }

    fn detach(&mut self, ingress: &mut Ingress) {
        let now = self.seen;
        ingress.remove_ear(self.config.ear);
        self.downlink.detach(ingress);
        self.attached = false;
        self.send_report(now, true);
        self.transport.command(now, TransportCommand::Close);
    }

    fn ear(&self) -> EarKey {
        self.config.ear
    }

    fn set_rate(&mut self, rate: SampleRate, ingress: &mut Ingress) {
        if rate != self.config.rate {
            self.config.rate = rate;
            ingress.remove_ear(self.config.ear);
            ingress.add_ear(self.config.ear, rate);
        }
    }

    fn command(&mut self, now: Instant, command: ConferenceCommand, ingress: &mut Ingress) {
        let now = self.see(now);
        match command {
            ConferenceCommand::AddSource { ssrc, source } => {
                self.downlink.add(now, ssrc, source, self.attached.then_some(ingress));
            }
            ConferenceCommand::RemoveSource { ssrc } => {
                self.downlink.remove(ssrc, ingress, &mut self.counters);
                self.transport.command(now, TransportCommand::ForgetSource(ssrc));
            }
            ConferenceCommand::Transport(command) => self.transport.command(now, command),
        }
    }

    fn handle_packet(
        &mut self,
        now: Instant,
        socket: SocketKind,
        from: SocketAddr,
        bytes: &[u8],
        ingress: &mut Ingress,
    ) {
        let SocketKind::Conference(socket) = socket else { return };
        let now = self.see(now);
        let datagram = Datagram { socket, from, bytes };
        let Some(received) = self.transport.handle_datagram(now, datagram) else { return };
        match received.media {
            Media::Rtp => self.downlink.packet(now, received.bytes, ingress, &mut self.counters),
            Media::Rtcp => {
                Self::hear_report(&mut self.uplink, self.config.ssrc, received.bytes);
            }
        }
    }

    fn push_uplink(&mut self, now: Instant, speech: Uplink<'_>, _: &mut Ingress) {
        if self.muted || self.config.listens_only {
            return;
        }
        let now = self.see(now);
        if !self.uplink.push(now, speech) {
            self.counters.jitsi_uplink_late += 1;
        }
        self.send_speech(now);
    }

    fn set_muted(&mut self, muted: bool, _: &mut Ingress) {
        self.muted = muted;
        if muted {
            self.uplink.forget();
        }
    }

    fn handle_timeout(&mut self, now: Instant, _: &mut Ingress) {
        let now = self.see(now);
        if self.transport.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.transport.handle_timeout(now);
        }
        self.send_speech(now);
        self.downlink.keys.handle_timeout(now);
        if self.report_at.is_some_and(|at| at <= now) {
            self.report_at = Some(now + REPORT_EVERY);
            self.send_report(now, false);
        }
    }

    fn has_output(&self) -> bool {
        self.transport.has_output()
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        let departure = self.transport.poll_transmit(buffer)?;
        let socket = SocketKind::Conference(departure.socket);
        Some(Transmit { to: departure.to, socket, length: departure.length })
    }

    fn poll_event(&mut self) -> Option<ConferenceEvent> {
        if let Some(event) = self.event.take() {
            return Some(event);
        }
        if let Some(RoomKey { ssrc, timestamp, press }) = self.downlink.keys.poll() {
            return Some(ConferenceEvent::RoomKey { ssrc, timestamp, press });
        }
        match self.transport.poll_event()? {
            TransportEvent::Secured { .. } => {
                // The bridge must hear of a silent phone, too: idle legs are cut off.
                self.report_at.get_or_insert(self.began);
                Some(ConferenceEvent::Connected)
            }
            event => Some(ConferenceEvent::Transport(event)),
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let reorder = self.uplink.deadline().map(|at| (at, REORDER));
        let report = self.report_at.map(|at| (at, REPORT));
        let keys = self.downlink.keys.deadline().map(|at| (at, KEYS));
        [self.transport.poll_timeout(), reorder, report, keys].into_iter().flatten().min()
    }

    fn uplink_place(&self) -> Option<UplinkPlace> {
        Some(self.uplink.place())
    }

    fn go_on_from(&mut self, place: UplinkPlace) {
        if place.ssrc == self.config.ssrc {
            self.uplink.go_on_from(place);
        }
    }

    fn count(&self, ingress: Option<&Ingress>, sum: &mut ConferenceCounters) {
        sum.media.add(&self.counters);
        sum.media.jitsi_speech_concealed_ms += self.downlink.concealed_ms(ingress);
        sum.transport.add(&self.transport.counters());
    }

    fn uplink_quality(&self, _: &Ingress) -> Option<UplinkQuality> {
        None
    }
}

/// One source of the conference as signalling builds it for [`ConferenceCommand::AddSource`]: Opus, and `own` to the ear
/// of another phone of ours, which does not hear itself by way of the bridge.
pub fn remote_source(ssrc: u32, own: Option<EarKey>) -> Box<Source> {
    Source::new(downlink::key_of(ssrc), own, &[CodecKind::Opus])
}

/// The bridge ends a leg of which it hears nothing.
const REPORT_EVERY: Duration = Duration::from_secs(2);
const REPORT_BYTES_MAX: usize = 512;
const REORDER: Why = Why("jitsi.uplink_reorder");
const REPORT: Why = Why("jitsi.rtcp_report");
const KEYS: Why = Why("jitsi.room_key_lost");

#[cfg(test)]
mod tests;
