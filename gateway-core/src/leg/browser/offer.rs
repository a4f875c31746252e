//! What a browser offers in SDP (RFC 8829), read for the one thing we want of it: sound in Opus both ways over ICE and
//! DTLS-SRTP with RTCP on the same port; and our answer to it (RFC 9725 carries both over HTTP).
//!
//! Pictures, data and a second sound are refused section by section (port 0). What is not understood is not repeated,
//! and what is repeated (the names of sections) was checked: nothing of an offer reaches the answer as free text.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use crate::base::limits::{SDP_BYTES_MAX, SDP_FORMATS_MAX, SDP_MEDIA_MAX};
use crate::base::pii::Pii;
use crate::leg::browser::line;
use crate::media::codec::CodecKind;
use crate::rtp::session::{Direction, EventFormat, Latching, RtpSession};
use crate::webrtc::{
    Candidate, CandidateKind, Fingerprint, FingerprintHash, IceCredentials, LocalTransport,
    RemoteIce, RemoteTransport, Setup,
};

/// An offer that can be answered.
#[derive(Clone, Debug)]
pub struct BrowserOffer {
    sections: Vec<Section>,
    /// Which of them is the sound.
    audio: usize,
    opus: u8,
    events: ArrayVec<EventFormat, 2>,
    direction: Direction,
    remote: RemoteTransport,
}

/// A media section, as far as the answer must repeat it.
#[derive(Clone, Debug)]
struct Section {
    kind: String,
    protocol: String,
    /// Its first format, for a refusal.
    format: String,
    mid: Option<String>,
}

/// Why an offer cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBrowserOffer {
    /// More bytes, sections or lines than anybody needs.
    #[error("the offer is too long")]
    TooLong,
    /// Not SDP at all.
    #[error("this is no SDP offer: it begins with v=0 and has lines of text")]
    NotSdp,
    /// A media section that says nothing sensible.
    #[error("a media section cannot be read")]
    BadSection,
    /// No sound offered.
    #[error("the offer has no audio section")]
    NoAudio,
    /// Sound, but nothing we speak.
    #[error("the offer has no Opus at 48 kHz")]
    NoOpus,
    /// Sound that nobody sends and nobody hears.
    #[error("the audio section is inactive")]
    Inactive,
    /// Not over DTLS-SRTP.
    #[error("the audio section is not UDP/TLS/RTP/SAVPF")]
    NotSecure,
    /// RTCP would need a second port.
    #[error("the audio section has no rtcp-mux")]
    NotMuxed,
    /// No ICE user or password, or one that RFC 8839 does not allow.
    #[error("the offer has no ICE credentials")]
    NoIce,
    /// No fingerprint of a hash we accept.
    #[error("the offer has no SHA-256 fingerprint")]
    NoFingerprint,
}

impl BadBrowserOffer {
    /// The offer could be read and asks for what we cannot do; otherwise it could not be read.
    pub fn is_understood(self) -> bool {
        !matches!(self, Self::TooLong | Self::NotSdp | Self::BadSection)
    }
}

/// Attributes that count for the session or for one section.
#[derive(Clone, Debug, Default)]
struct Attributes {
    ufrag: Option<String>,
    password: Option<Pii<String>>,
    fingerprints: Vec<Fingerprint>,
    setup: Option<Setup>,
    direction: Option<Direction>,
    mid: Option<String>,
    muxed: bool,
    /// Payload type and name of each `rtpmap` we know.
    opus: Vec<u8>,
    events: Vec<EventFormat>,
    candidates: Vec<Candidate>,
}

impl BrowserOffer {
    /// Reads an offer. Candidates with a host name (`.local`), over TCP or cut short are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadBrowserOffer> {
        if bytes.len() > SDP_BYTES_MAX {
            return Err(BadBrowserOffer::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BadBrowserOffer::NotSdp)?;
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some("v=0") {
            return Err(BadBrowserOffer::NotSdp);
        }
        let mut session = Attributes::default();
        let mut media: Vec<(Section, Vec<String>, Attributes)> = Vec::new();
        for line in lines {
            let Some((kind, value)) = line.trim_end().split_once('=') else { continue };
            match kind {
                "m" if media.len() >= SDP_MEDIA_MAX => return Err(BadBrowserOffer::TooLong),
                "m" => {
                    let (section, formats) = section(value).ok_or(BadBrowserOffer::BadSection)?;
                    media.push((section, formats, Attributes::default()));
                }
                "a" => match media.last_mut() {
                    Some((_, _, attributes)) => attributes.read(value),
                    None => session.read(value),
                },
                _ => {}
            }
        }
        let sound = media.iter().position(|(section, _, _)| section.kind == "audio");
        let audio = sound.ok_or(BadBrowserOffer::NoAudio)?;
        let (section, formats, attributes) = &media[audio];
        if !section.protocol.eq_ignore_ascii_case("UDP/TLS/RTP/SAVPF") {
            return Err(BadBrowserOffer::NotSecure);
        }
        let offered = |number: u8| formats.iter().any(|format| *format == number.to_string());
        let opus = attributes.opus.iter().copied().find(|number| offered(*number));
        let opus = opus.ok_or(BadBrowserOffer::NoOpus)?;
        let events = attributes.events.iter().copied();
        let events = events.filter(|event| offered(event.payload_type)).take(2).collect();
        let direction = reversed(attributes.direction.or(session.direction))?;
        if !attributes.muxed {
            return Err(BadBrowserOffer::NotMuxed);
        }
        let remote = remote(attributes, &session)?;
        let sections = media
            .into_iter()
            .map(|(section, _, attributes)| Section { mid: attributes.mid, ..section })
            .collect();
        Ok(Self { sections, audio, opus, events, direction, remote })
    }

    /// Their side of the transport.
    pub fn remote(&self) -> &RemoteTransport {
        &self.remote
    }

    /// Who begins the handshake: they, as a rule; we, where they insist on waiting.
    pub fn our_setup(&self) -> Setup {
        match self.remote.setup {
            Setup::Passive => Setup::Active,
            Setup::Active | Setup::ActPass => Setup::Passive,
        }
    }

    /// What was agreed with our answer, for the media half behind the line.
    pub fn session(&self) -> RtpSession {
        let opus = (self.opus, CodecKind::Opus);
        RtpSession {
            remote_rtp: line::PEER,
            remote_rtcp: line::PEER,
            rtcp_mux: true,
            send_codec: CodecKind::Opus,
            send_payload_type: self.opus,
            receive: std::iter::once(opus).collect(),
            // Browsers do not understand ours.
            send_events: None,
            receive_events: self.events.clone(),
            receive_comfort_noise: None,
            packet_time_ms: 20,
            direction: self.direction,
            latching: Latching::Strict,
            srtp: None,
        }
    }

    /// Our answer. `session` tells descriptions apart; the sound is at the first candidate.
    pub fn answer(&self, ours: &LocalTransport, session: u32) -> String {
        let unspecified = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 9);
        let at = ours.ice.candidates.first().map_or(unspecified, |candidate| candidate.address);
        let family = if at.is_ipv6() { "IP6" } else { "IP4" };
        let mut out = format!(
            "v=0\r\no=- {session} 1 IN {family} {}\r\ns=-\r\nt=0 0\r\n",
            at.ip().to_canonical()
        );
        let bundled = self.sections.get(self.audio).and_then(|section| section.mid.as_deref());
        if let Some(mid) = bundled {
            let _ = write!(out, "a=group:BUNDLE {mid}\r\n");
        }
        out.push_str("a=msid-semantic: WMS room\r\n");
        for (place, section) in self.sections.iter().enumerate() {
            if place == self.audio {
                self.write_audio(&mut out, section, ours, (family, at));
            } else {
                write_refusal(&mut out, section);
            }
        }
        out
    }

    fn write_audio(
        &self,
        out: &mut String,
        section: &Section,
        ours: &LocalTransport,
        (family, at): (&str, SocketAddr),
    ) {
        let (opus, ice) = (self.opus, &ours.ice);
        let _ = write!(out, "m=audio {} UDP/TLS/RTP/SAVPF {opus}", at.port());
        for event in &self.events {
            let _ = write!(out, " {}", event.payload_type);
        }
        let _ = write!(out, "\r\nc=IN {family} {}\r\n", at.ip().to_canonical());
        if let Some(mid) = &section.mid {
            let _ = write!(out, "a=mid:{mid}\r\n");
        }
        let setup = if ours.setup == Setup::Active { "active" } else { "passive" };
        let fingerprint = ours.certificate.fingerprint();
        let direction = match self.direction {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        };
        let _ = write!(
            out,
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:{} {fingerprint}\r\na=setup:{setup}\r\n\
             a={direction}\r\na=msid:room sound\r\na=rtcp-mux\r\na=rtpmap:{opus} opus/48000/2\r\n\
             a=fmtp:{opus} minptime=10;useinbandfec=1;stereo=0\r\n",
            ice.credentials.ufrag,
            ice.credentials.password.reveal(),
            fingerprint.hash.name(),
        );
        for EventFormat { payload_type, clock_hz } in &self.events {
            let _ = write!(
                out,
                "a=rtpmap:{payload_type} telephone-event/{clock_hz}\r\na=fmtp:{payload_type} 0-15\r\n"
            );
        }
        let _ = write!(out, "a=ptime:20\r\n");
        for Candidate { address, component, priority, foundation, .. } in &ice.candidates {
            let (ip, port) = (address.ip().to_canonical(), address.port());
            let _ = write!(
                out,
                "a=candidate:{foundation} {component} udp {priority} {ip} {port} typ host\r\n"
            );
        }
        out.push_str("a=end-of-candidates\r\n");
    }
}

/// A section that is not wanted keeps its place (RFC 3264 §6) and has no port.
fn write_refusal(out: &mut String, section: &Section) {
    let Section { kind, protocol, format, mid } = section;
    let _ = write!(out, "m={kind} 0 {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n");
    if let Some(mid) = mid {
        let _ = write!(out, "a=mid:{mid}\r\n");
    }
}

/// `audio 9 UDP/TLS/RTP/SAVPF 111 63 9`, with its formats.
fn section(value: &str) -> Option<(Section, Vec<String>)> {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let kind = words.next().filter(|word| is_token(word))?.to_owned();
    let _port = words.next()?;
    let protocol = words.next()?;
    let is_protocol = protocol.split('/').all(is_token);
    let formats: Vec<String> = words.take(SDP_FORMATS_MAX).map(str::to_owned).collect();
    let format = formats.first().filter(|format| is_token(format))?.clone();
    let protocol = Some(protocol).filter(|_| is_protocol)?.to_owned();
    Some((Section { kind, protocol, format, mid: None }, formats))
}

impl Attributes {
    /// One `a=` line. What is not known or not right says nothing.
    fn read(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name {
            "ice-ufrag" if is_ice(value, 4) => self.ufrag = Some(value.to_owned()),
            "ice-pwd" if is_ice(value, 22) => self.password = Some(Pii::new(value.to_owned())),
            "fingerprint" if self.fingerprints.len() < FINGERPRINTS_MAX => {
                self.fingerprints.extend(fingerprint(value));
            }
            "setup" => self.setup = setup(value),
            "mid" if is_token(value) => self.mid = Some(value.to_owned()),
            "rtcp-mux" => self.muxed = true,
            "sendrecv" => self.direction = Some(Direction::SendRecv),
            "sendonly" => self.direction = Some(Direction::SendOnly),
            "recvonly" => self.direction = Some(Direction::RecvOnly),
            "inactive" => self.direction = Some(Direction::Inactive),
            "rtpmap" => self.read_format(value),
            "candidate" if self.candidates.len() < CANDIDATES_MAX => {
                self.candidates.extend(candidate(value));
            }
            _ => {}
        }
    }

    fn read_format(&mut self, value: &str) {
        let Some((number, name)) = value.split_once(' ') else { return };
        let Some(number) = number.parse::<u8>().ok().filter(|number| *number < 128) else { return };
        let name = name.trim().to_ascii_lowercase();
        let event = match name.as_str() {
            "opus/48000/2" if self.opus.len() < FORMATS_MAX => return self.opus.push(number),
            "telephone-event/48000" => EventFormat { payload_type: number, clock_hz: 48_000 },
            "telephone-event/8000" => EventFormat { payload_type: number, clock_hz: 8_000 },
            _ => return,
        };
        if self.events.len() < FORMATS_MAX {
            self.events.push(event);
        }
    }
}

/// Their side: what the section says, else what the session says.
fn remote(section: &Attributes, session: &Attributes) -> Result<RemoteTransport, BadBrowserOffer> {
    let from = |own: &Attributes| {
        let (ufrag, password) = (own.ufrag.clone()?, own.password.clone()?);
        Some(IceCredentials { ufrag, password })
    };
    let credentials = from(section).or_else(|| from(session)).ok_or(BadBrowserOffer::NoIce)?;
    let fingerprints = match section.fingerprints.is_empty() {
        true => session.fingerprints.clone(),
        false => section.fingerprints.clone(),
    };
    if fingerprints.is_empty() {
        return Err(BadBrowserOffer::NoFingerprint);
    }
    Ok(RemoteTransport {
        ice: RemoteIce { credentials, candidates: section.candidates.clone() },
        fingerprints,
        setup: section.setup.or(session.setup).unwrap_or(Setup::ActPass),
        sctp_port: None,
    })
}

/// Their direction, from our side.
fn reversed(theirs: Option<Direction>) -> Result<Direction, BadBrowserOffer> {
    match theirs.unwrap_or(Direction::SendRecv) {
        Direction::SendRecv => Ok(Direction::SendRecv),
        Direction::SendOnly => Ok(Direction::RecvOnly),
        Direction::RecvOnly => Ok(Direction::SendOnly),
        Direction::Inactive => Err(BadBrowserOffer::Inactive),
    }
}

fn fingerprint(value: &str) -> Option<Fingerprint> {
    let (hash, bytes) = value.trim().split_once(' ')?;
    Fingerprint::parse(FingerprintHash::from_name(hash)?, bytes)
}

fn setup(value: &str) -> Option<Setup> {
    match value.trim() {
        "actpass" => Some(Setup::ActPass),
        "active" => Some(Setup::Active),
        "passive" => Some(Setup::Passive),
        _ => None,
    }
}

/// `1 1 udp 2122260223 192.0.2.7 54321 typ host ...` (RFC 8839 §5.1).
fn candidate(value: &str) -> Option<Candidate> {
    let words: Vec<&str> = value.split_ascii_whitespace().take(8).collect();
    let [foundation, component, protocol, priority, ip, port, typ, kind] = words[..] else {
        return None;
    };
    let kind = match (typ, kind) {
        ("typ", "host") => CandidateKind::Host,
        ("typ", "srflx") => CandidateKind::ServerReflexive,
        ("typ", "prflx") => CandidateKind::PeerReflexive,
        ("typ", "relay") => CandidateKind::Relayed,
        _ => return None,
    };
    Some(Candidate {
        address: SocketAddr::new(ip.parse().ok()?, port.parse().ok()?),
        kind,
        component: component.parse().ok()?,
        udp: protocol.eq_ignore_ascii_case("udp"),
        priority: priority.parse().ok()?,
        foundation: Some(foundation).filter(|it| is_ice(it, 1))?.to_owned(),
    })
}

/// RFC 8866 §9: `token`. Section names, protocols and formats are short.
fn is_token(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte);
    (1..=TOKEN_BYTES_MAX).contains(&word.len()) && word.bytes().all(allowed)
}

/// RFC 8839 §5.4: `ice-char`, from `least` to 256 of them.
fn is_ice(word: &str, least: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    (least..=256).contains(&word.len()) && word.bytes().all(allowed)
}

const TOKEN_BYTES_MAX: usize = 64;
const FINGERPRINTS_MAX: usize = 4;
const CANDIDATES_MAX: usize = 20;
/// Opus under several numbers is legal; telephone-events have two clocks.
const FORMATS_MAX: usize = 8;

#[cfg(test)]
mod tests;
