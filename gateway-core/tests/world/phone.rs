//! A phone that can do one call: SIP of the plainest kind, G.711 A-law, keys as telephone-events.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_core::media::codec::{self, CodecKind, Encoder, EncoderSettings};
use gateway_core::media::frame::SampleRate;

const FRAME: Duration = Duration::from_millis(20);
const EVENT_PAYLOAD_TYPE: u8 = 101;

/// Where its call stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Idle,
    /// INVITE sent.
    Calling,
    Talking,
    /// Ended: by BYE from the far side, or by this final status.
    Over(u16),
}

pub struct Phone {
    pub sip: SocketAddr,
    pub rtp: SocketAddr,
    number: usize,
    pub line: Line,
    /// Sends SDP in the ACK only.
    pub offers_late: bool,
    /// Never acknowledges a 200.
    pub forgets_ack: bool,
    /// Sends no RTP.
    pub is_silent: bool,
    /// Also sends each key as INFO.
    pub sends_info_too: bool,
    hz: f64,
    their_contact: String,
    their_tag: String,
    /// Of a call to this phone: the far side's From, Call-ID and our To.
    incoming: Option<(String, String)>,
    their_rtp: Option<SocketAddr>,
    cseq: u32,
    next_frame: Option<Instant>,
    frames: u64,
    sequence: u16,
    encoder: Box<dyn Encoder>,
    key: Option<(u8, u32, u16)>,
    /// Everything heard, 8 kHz.
    pub heard: Vec<i16>,
    /// Keys heard as events, in order.
    pub keys_heard: Vec<(u32, u8)>,
    /// First lines (and Reason headers) of everything received.
    pub received: Vec<String>,
    pub last_ok: String,
    outputs: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    gateway: SocketAddr,
}

impl Phone {
    pub fn new(number: usize, hz: f64) -> Self {
        let rate = SampleRate::Hz8000;
        let settings = EncoderSettings::default();
        Self {
            sip: format!("198.51.100.{}:5060", 7 + number).parse().expect("an address"),
            rtp: format!("198.51.100.{}:4000", 7 + number).parse().expect("an address"),
            number,
            line: Line::Idle,
            offers_late: false,
            forgets_ack: false,
            is_silent: false,
            sends_info_too: false,
            hz,
            their_contact: String::new(),
            their_tag: String::new(),
            incoming: None,
            their_rtp: None,
            cseq: 1,
            next_frame: None,
            frames: 0,
            sequence: 100,
            encoder: codec::new_encoder(CodecKind::Pcma, rate, settings),
            key: None,
            heard: Vec::new(),
            keys_heard: Vec::new(),
            received: Vec::new(),
            last_ok: String::new(),
            outputs: VecDeque::new(),
            gateway: super::OURS.parse().expect("an address"),
        }
    }

    pub fn call(&mut self, now: Instant, to: &str) {
        self.line = Line::Calling;
        let body = if self.offers_late { String::new() } else { self.sdp("sendrecv") };
        self.send("INVITE", &format!("sip:pin@{to}"), 1, &body);
        self.next_frame = Some(now + FRAME);
    }

    pub fn cancel(&mut self) {
        let uri = format!("sip:pin@{}", self.gateway);
        self.send("CANCEL", &uri, 1, "");
    }

    pub fn bye(&mut self, _now: Instant) {
        self.cseq += 1;
        let uri = self.their_contact.clone();
        self.send("BYE", &uri, self.cseq, "");
        self.next_frame = None;
    }

    pub fn reinvite(&mut self, direction: &str) {
        self.cseq += 1;
        let (uri, body) = (self.their_contact.clone(), self.sdp(direction));
        self.send("INVITE", &uri, self.cseq, &body);
    }

    pub fn press(&mut self, _now: Instant, key: char) {
        let code = match key {
            '*' => 10,
            '#' => 11,
            digit => digit.to_digit(10).expect("a key") as u8,
        };
        self.key = Some((code, (self.frames * 160) as u32, 0));
        if self.sends_info_too {
            self.cseq += 1;
            let uri = self.their_contact.clone();
            let body = format!("Signal={key}\r\nDuration=100\r\n");
            self.send("INFO", &uri, self.cseq, &body);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_frame
    }

    pub fn poll_output(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.outputs.pop_front()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(at) = self.next_frame.filter(|at| *at <= now) {
            self.next_frame = Some(at + FRAME);
            self.frames += 1;
            let Some(to) = self.their_rtp.filter(|_| !self.is_silent) else { continue };
            let packet = match self.key {
                Some(key) => self.event_packet(key),
                None => self.audio_packet(),
            };
            self.outputs.push_back((self.rtp, to, packet));
        }
    }

    fn audio_packet(&mut self) -> Vec<u8> {
        let rate = SampleRate::Hz8000;
        let start = self.frames as usize * 160;
        let pcm: Vec<i16> = (start..start + 160)
            .map(|at| {
                let angle = std::f64::consts::TAU * self.hz * at as f64 / f64::from(rate.hz());
                (angle.sin() * 8_000.0) as i16
            })
            .collect();
        let mut packet = self.header(8, self.frames == 1, (self.frames * 160) as u32);
        let mut payload = [0; 160];
        let length = self.encoder.encode(&pcm, &mut payload);
        packet.extend_from_slice(&payload[..length]);
        packet
    }

    /// Five packets of 20 ms, the last three with the end bit.
    fn event_packet(&mut self, (code, timestamp, sent): (u8, u32, u16)) -> Vec<u8> {
        let mut packet = self.header(EVENT_PAYLOAD_TYPE, sent == 0, timestamp);
        let end = if sent >= 2 { 0x80 } else { 0 };
        let duration = (sent.min(2) + 1) * 160;
        packet.extend_from_slice(&[code, end | 10]);
        packet.extend_from_slice(&duration.to_be_bytes());
        self.key = (sent < 4).then_some((code, timestamp, sent + 1));
        packet
    }

    fn header(&mut self, payload_type: u8, marker: bool, timestamp: u32) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&(0x1000_0000 + self.number as u32).to_be_bytes());
        packet
    }

    pub fn rtp_arrived(&mut self, _from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to != self.rtp || bytes.len() < 12 {
            return;
        }
        let payload = &bytes[12..];
        match bytes[1] & 0x7f {
            8 => {
                let mut pcm = [0; 960];
                let mut decoder = codec::new_decoder(CodecKind::Pcma, SampleRate::Hz8000);
                let count = decoder.decode(payload, &mut pcm).expect("good A-law");
                self.heard.extend_from_slice(&pcm[..count]);
            }
            EVENT_PAYLOAD_TYPE => {
                let timestamp = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
                if self.keys_heard.last().is_none_or(|(last, _)| *last != timestamp) {
                    self.keys_heard.push((timestamp, payload[0]));
                }
            }
            // RFC 6263 §4.6: a payload type nobody negotiated keeps the path open while we are held.
            127 => {}
            other => panic!("payload type {other} was not negotiated"),
        }
    }

    pub fn sip_arrived(&mut self, now: Instant, text: &str) {
        let first = text.lines().next().expect("a first line").to_owned();
        self.received.push(first.clone());
        match first.strip_prefix("SIP/2.0 ") {
            Some(status) => {
                let status = status[..3].parse().expect("a status");
                self.response(status, text);
            }
            None => self.request(now, &first, text),
        }
    }

    fn response(&mut self, status: u16, text: &str) {
        let cseq = header(text, "CSeq");
        if status < 200 || !cseq.ends_with("INVITE") {
            if cseq.ends_with("BYE") {
                self.line = Line::Over(200);
            }
            return;
        }
        self.their_tag = header(text, "To").split(";tag=").nth(1).unwrap_or_default().to_owned();
        if status >= 300 {
            let uri = format!("sip:pin@{}", self.gateway);
            self.send("ACK", &uri, self.cseq, "");
            self.line = Line::Over(status);
            self.next_frame = None;
            return;
        }
        self.last_ok = text.to_owned();
        let contact = header(text, "Contact");
        self.their_contact = contact.trim_matches(['<', '>']).to_owned();
        self.learn(text);
        self.line = Line::Talking;
        if !self.forgets_ack {
            let uri = self.their_contact.clone();
            let late = if self.offers_late { self.sdp("sendrecv") } else { String::new() };
            let cseq: u32 = cseq.split(' ').next().expect("a number").parse().expect("a number");
            self.send("ACK", &uri, cseq, &late);
        }
    }

    fn request(&mut self, now: Instant, first: &str, text: &str) {
        match first.split(' ').next().expect("a method") {
            "BYE" => {
                self.reply(200, text, "");
                self.received.push(format!("Reason: {}", header(text, "Reason")));
                self.line = Line::Over(200);
                self.next_frame = None;
            }
            "INVITE" => {
                self.learn(text);
                self.incoming = Some((header(text, "From"), header(text, "Call-ID")));
                self.their_contact = header(text, "Contact").trim_matches(['<', '>']).to_owned();
                self.line = Line::Talking;
                self.next_frame = Some(now + FRAME);
                let sdp = self.sdp("sendrecv");
                self.reply(200, text, &sdp);
            }
            "ACK" => {}
            "CANCEL" => self.reply(200, text, ""),
            other => panic!("unexpected {other}"),
        }
    }

    fn learn(&mut self, text: &str) {
        let Some((_, body)) = text.split_once("\r\n\r\n") else { return };
        let ip = body.lines().find_map(|line| line.strip_prefix("c=IN IP4 "));
        let port = body.lines().find_map(|line| line.strip_prefix("m=audio "));
        if let (Some(ip), Some(port)) = (ip, port) {
            let port = port.split(' ').next().expect("a port");
            self.their_rtp = Some(format!("{ip}:{port}").parse().expect("an address"));
        }
    }

    fn send(&mut self, method: &str, uri: &str, cseq: u32, body: &str) {
        let (me, number) = (self.sip, self.number);
        let tag = if self.their_tag.is_empty() || method == "CANCEL" {
            String::new()
        } else {
            format!(";tag={}", self.their_tag)
        };
        let branch = match method {
            "ACK" if matches!(self.line, Line::Talking) => format!("z9hG4bKack{number}x{cseq}"),
            "CANCEL" | "ACK" => format!("z9hG4bK{number}INVITE{cseq}"),
            _ => format!("z9hG4bK{number}{method}{cseq}"),
        };
        let (from, to, call_id) = match &self.incoming {
            Some((theirs, call_id)) => {
                (format!("<sip:bob@{me}>;tag=p{number}"), theirs.clone(), call_id.clone())
            }
            None => (
                format!("<sip:+6221{number}@{me}>;tag=p{number}"),
                format!("<sip:pin@{}>{tag}", self.gateway),
                format!("call-{number}"),
            ),
        };
        let kind = match (method, body.is_empty()) {
            (_, true) => "",
            ("INFO", _) => "Content-Type: application/dtmf-relay\r\n",
            _ => "Content-Type: application/sdp\r\n",
        };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:+6221{number}@{me}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.outputs.push_back((me, self.gateway, text.into_bytes()));
    }

    fn reply(&mut self, status: u16, request: &str, body: &str) {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let to = header(request, "To");
        let tag =
            if to.contains(";tag=") { String::new() } else { format!(";tag=p{}", self.number) };
        let text = format!(
            "SIP/2.0 {status} OK\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:bob@{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            header(request, "Via"),
            header(request, "From"),
            header(request, "Call-ID"),
            header(request, "CSeq"),
            self.sip,
            body.len()
        );
        self.outputs.push_back((self.sip, self.gateway, text.into_bytes()));
    }

    fn sdp(&self, direction: &str) -> String {
        let (ip, port) = (self.rtp.ip(), self.rtp.port());
        let version = self.cseq;
        format!(
            "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na={direction}\r\n"
        )
    }

    /// Forgets what it heard.
    pub fn listen_anew(&mut self) {
        self.heard.clear();
    }

    /// Share of a tone in the last `length` of what was heard: 1 is nothing else.
    pub fn share_of(&self, hz: f64, length: Duration) -> f64 {
        let count = length.as_millis() as usize * 8;
        let tail = &self.heard[self.heard.len().saturating_sub(count)..];
        power_share(tail, hz)
    }

    /// RMS of the last `length`.
    pub fn loudness(&self, length: Duration) -> f64 {
        let count = length.as_millis() as usize * 8;
        let tail = &self.heard[self.heard.len().saturating_sub(count)..];
        let sum: f64 = tail.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (sum / tail.len().max(1) as f64).sqrt()
    }
}

/// Value of the first header of this name.
pub fn header(text: &str, name: &str) -> String {
    text.lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// Share of the power of 8 kHz PCM that lies in the sine of `hz`, by projection on sine and cosine.
pub fn power_share(pcm: &[i16], hz: f64) -> f64 {
    let turn = std::f64::consts::TAU * hz / 8_000.0;
    let (mut cosine, mut sine, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (sin, cos) = (n as f64 * turn).sin_cos();
        let sample = f64::from(*sample);
        cosine += sample * cos;
        sine += sample * sin;
        power += sample * sample;
    }
    if power == 0.0 {
        0.0
    } else {
        (cosine * cosine + sine * sine) * 2.0 / pcm.len() as f64 / power
    }
}
