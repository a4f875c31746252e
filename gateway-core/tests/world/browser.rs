//! A browser that can do one call: Opus at 48 kHz over the transport without cryptography.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_core::base::ids::CallKey;
use gateway_core::base::pii::Pii;
use gateway_core::leg::browser::offer::BrowserOffer;
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::codec::{self, CodecKind, Decoder, Encoder, EncoderSettings};
use gateway_core::media::frame::SampleRate;
use gateway_core::webrtc::transport::{Datagram, Media};
use gateway_core::webrtc::{
    Candidate, Certificate, IceCredentials, LocalIce, LocalTransport, PlainTransport, Setup,
    Transport, TransportCommand, TransportEvent,
};

const FRAME: Duration = Duration::from_millis(20);
const OPUS: u8 = 111;

/// Bytes that nobody looks at: the transport has no cryptography.
pub fn certificate() -> Certificate {
    Certificate { der: vec![1, 2, 3], private_key: Pii::new(Vec::new()) }
}

pub struct Browser {
    pub at: SocketAddr,
    /// What its offer came to.
    pub answer: Option<Result<CallKey, EndReason>>,
    /// The line is up.
    pub is_up: bool,
    /// The gateway said goodbye.
    pub is_over: bool,
    /// Never says anything: its network is dead.
    pub is_dead: bool,
    /// Has no microphone.
    pub listens_only: bool,
    number: usize,
    hz: f64,
    transport: Option<Box<PlainTransport>>,
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    next_frame: Option<Instant>,
    frames: u64,
    /// Everything heard, 8 kHz.
    pub heard: Vec<i16>,
    outputs: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
}

impl Browser {
    pub fn new(number: usize, hz: f64) -> Self {
        let settings = EncoderSettings::default();
        Self {
            at: format!("198.51.100.{}:6000", 100 + number).parse().expect("an address"),
            answer: None,
            is_up: false,
            is_over: false,
            is_dead: false,
            listens_only: false,
            number,
            hz,
            transport: None,
            encoder: codec::new_encoder(CodecKind::Opus, SampleRate::Hz48000, settings),
            decoder: codec::new_decoder(CodecKind::Opus, SampleRate::Hz8000),
            next_frame: None,
            frames: 0,
            heard: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    pub fn offer(&self) -> BrowserOffer {
        let (ip, port) = (self.at.ip(), self.at.port());
        let chromium = include_str!("../../../testdata/browser/chromium-156.sdp");
        let text = chromium.replace("127.0.0.1 44852", &format!("{ip} {port}"));
        let direction = if self.listens_only { "a=recvonly" } else { "a=sendrecv" };
        let text = text.replace("a=sendrecv", direction);
        BrowserOffer::parse(text.as_bytes()).expect("an offer")
    }

    pub fn answered(&mut self, now: Instant, answer: &Result<(CallKey, String), EndReason>) {
        assert!(self.answer.is_none(), "answered twice");
        self.answer = Some(answer.as_ref().map(|(call, _)| *call).map_err(|reason| *reason));
        let Ok((_, text)) = answer else { return };
        // An answer has the shape of an offer.
        let theirs = BrowserOffer::parse(text.as_bytes()).expect("an answer");
        let credentials = IceCredentials { ufrag: "Cenj".to_owned(), password: Pii::default() };
        let local = LocalTransport {
            ice: LocalIce { credentials, candidates: vec![Candidate::host(self.at, 0)], socket: 0 },
            certificate: certificate().into(),
            setup: Setup::Active,
        };
        self.transport = Some(PlainTransport::new(now, &local, theirs.remote()));
    }

    /// The page is closed, and the browser finds time to say so.
    pub fn close(&mut self, now: Instant) {
        if let Some(transport) = &mut self.transport {
            transport.command(now, TransportCommand::Close);
        }
        self.next_frame = None;
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let transport = self.transport.as_ref().and_then(|it| it.poll_timeout());
        let transport = transport.map(|(at, _)| at).filter(|_| !self.is_dead);
        transport.into_iter().chain(self.next_frame).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(transport) = &mut self.transport {
            transport.handle_timeout(now);
        }
        while let Some(at) = self.next_frame.filter(|at| *at <= now) {
            self.next_frame = Some(at + FRAME);
            self.speak();
        }
    }

    fn speak(&mut self) {
        let turn = std::f64::consts::TAU * self.hz / 48_000.0;
        let start = self.frames * 960;
        let pcm: Vec<i16> =
            (start..start + 960).map(|n| ((n as f64 * turn).sin() * 8_000.0) as i16).collect();
        let mut packet = vec![0x80, OPUS];
        packet.extend_from_slice(&(self.frames as u16).to_be_bytes());
        packet.extend_from_slice(&(start as u32).to_be_bytes());
        packet.extend_from_slice(&(self.number as u32 + 1).to_be_bytes());
        let mut payload = [0; 1_000];
        let length = self.encoder.encode(&pcm, &mut payload);
        packet.extend_from_slice(&payload[..length]);
        self.frames += 1;
        if let Some(transport) = &mut self.transport {
            transport.send(Media::Rtp, &packet);
        }
    }

    pub fn arrived(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to != self.at || self.is_dead {
            return;
        }
        let transport = self.transport.as_mut().expect("answered before anything came");
        if let Some(received) = transport.handle_datagram(now, Datagram { socket: 0, from, bytes })
            && received.media == Media::Rtp
        {
            assert_eq!(received.bytes[1] & 0x7f, OPUS);
            let mut pcm = [0; 960];
            let count = self.decoder.decode(&received.bytes[12..], &mut pcm).expect("good Opus");
            self.heard.extend_from_slice(&pcm[..count]);
        }
        while let Some(event) = transport.poll_event() {
            match event {
                TransportEvent::Secured { .. } => {
                    self.is_up = true;
                    self.next_frame = (!self.listens_only).then_some(now + FRAME);
                }
                TransportEvent::Failed(_) => {
                    self.is_over = true;
                    self.next_frame = None;
                }
                _ => {}
            }
        }
    }

    pub fn poll_output(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let transport = self.transport.as_mut().filter(|_| !self.is_dead)?;
        let mut buffer = [0; 1_500];
        let departure = transport.poll_transmit(&mut buffer)?;
        Some((self.at, departure.to, buffer[..departure.length].to_vec()))
    }

    /// Share of a tone in the last `length` of what was heard: 1 is nothing else.
    pub fn share_of(&self, hz: f64, length: Duration) -> f64 {
        let count = length.as_millis() as usize * 8;
        let tail = &self.heard[self.heard.len().saturating_sub(count)..];
        super::phone::power_share(tail, hz)
    }
}
