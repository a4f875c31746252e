//! Offer/answer for one audio stream (RFC 3264, RFC 6337): pure values in, our SDP and an [`RtpSession`] out.
//!
//! Answers offers, makes offers (late offer, calls of ours, hold), reads answers. What was agreed stays in force until
//! the next exchange *succeeds*; a failed one changes nothing. Media lines keep their place for the whole dialog; all
//! but one audio line are refused with port 0 (video, T.38, a second audio).
//!
//! Refuses: DTLS, host names in `c=`, the other address family; without SRTP in the policy `RTP/SAVP`, too. `RTP/AVP` with
//! `a=crypto` is best-effort SRTP (RFC 8643), which falls back to plain RTP.
//!
//! Decided: an answer names one codec (and telephone-event), so that a phone never changes codec in mid-call.

mod choose;
mod describe;
mod secure;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use crate::base::rng::Rng;
use crate::media::codec::CodecKind;
use crate::rtp::session::{self, EventFormat, Latching, RtpSession};
use crate::sip::sdp::{Connection, Description, Direction, Media, Origin, SdpError};

pub use choose::CodecList;
use choose::{Choice, Format};
use secure::Keys;
pub use secure::Srtp;

/// What SDP of ours says and accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdpPolicy {
    /// Codecs, in order of preference.
    pub codecs: Vec<CodecKind>,
    /// Whose order decides when we answer.
    pub codec_order: CodecOrder,
    /// Packet time we prefer, in ms.
    pub packet_time_ms: u8,
    /// Learn the source of RTP once (NAT), or take the SDP's word.
    pub symmetric: bool,
    /// Calls of ours: SDP of a 183 sets the sound up at once. Off: it is only remembered, for a 200 without SDP.
    pub early_media: bool,
    /// Keys in SDP (RFC 4568).
    pub srtp: Srtp,
    /// How keys of ours reach the peer.
    pub dtmf: DtmfWay,
}

impl Default for SdpPolicy {
    fn default() -> Self {
        Self {
            codecs: vec![CodecKind::Opus, CodecKind::G722, CodecKind::Pcmu, CodecKind::Pcma],
            codec_order: CodecOrder::Ours,
            packet_time_ms: 20,
            symmetric: true,
            early_media: false,
            srtp: Srtp::Off,
            dtmf: DtmfWay::Auto,
        }
    }
}

/// How keys are sent to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtmfWay {
    /// Telephone-events where the peer agreed to them, else tones.
    #[default]
    Auto,
    /// Telephone-events (RFC 4733), or not at all.
    Rtp,
    /// Tones in the sound.
    Inband,
    /// SIP INFO (`application/dtmf-relay`).
    Info,
}

/// Whose preference decides among codecs in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CodecOrder {
    /// Ours: the best sound we can get.
    #[default]
    Ours,
    /// The offerer's: its first format that we speak (RFC 3264 §6.1). Spares a PBX a transcoding.
    Peers,
}

/// Why an offer or answer leads nowhere. The text goes into a Warning header: it names formats, never people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The description cannot be used at all.
    #[error(transparent)]
    Unusable(#[from] SdpError),
    /// No audio line with a port.
    #[error("no audio stream offered")]
    NoAudio,
    /// Only encrypted or unknown transports.
    #[error("transport {0} is not supported; offer RTP/AVP")]
    Transport(String),
    /// `c=` is a host name, missing or multicast.
    #[error("c= holds no unicast address")]
    NoAddress,
    /// IPv4 for us, IPv6 for them, or the other way round.
    #[error("media address is of the other address family")]
    AddressFamily,
    /// No codec in common.
    #[error("no codec in common; offered: {offered}")]
    NoCodec {
        /// Names of what was offered.
        offered: CodecList,
    },
    /// SRTP is needed, and there is no key that both can use.
    #[error("no SRTP key in common; offer RTP/SAVP with AES_CM_128_HMAC_SHA1_80")]
    NoKeys,
    /// An answer that does not fit our offer.
    #[error("answer refuses the audio stream or has another shape than the offer")]
    AnswerShape,
    /// An answer came without an offer of ours.
    #[error("answer without an offer")]
    NothingOffered,
}

/// The offer/answer state of one dialog.
#[derive(Debug)]
pub struct OfferAnswer {
    policy: SdpPolicy,
    local: SocketAddr,
    wish: Direction,
    keys: Keys,
    origin: OriginState,
    agreed: Option<Agreed>,
    offered: Option<Offered>,
}

/// What is in force.
#[derive(Clone, Debug)]
struct Agreed {
    session: RtpSession,
    held_by_peer: bool,
    /// Our media lines as last sent.
    lines: Vec<Media>,
    /// Which of them is the audio.
    audio: usize,
    /// What we wished when it was agreed.
    wish: Direction,
}

/// Our last offer. It outlives its first answer, because a 200 may repeat or change what a 183 said.
#[derive(Clone, Debug)]
struct Offered {
    lines: Vec<Media>,
    audio: usize,
    pending: bool,
}

/// How much an offer of ours within a dialog puts up for choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferScope {
    /// The codec in use: only the direction changes.
    AsAgreed,
    /// All our codecs, the one in use first: the other side may be a new one (third-party call control).
    Everything,
}

impl OfferAnswer {
    /// Nothing agreed yet. `local` is our advertised RTP address; RTCP is the port above.
    pub fn new(local: SocketAddr, policy: SdpPolicy, mut rng: Rng) -> Self {
        Self {
            keys: Keys::new(policy.srtp, &rng),
            policy,
            local,
            wish: Direction::SendRecv,
            origin: OriginState::new(&mut rng),
            agreed: None,
            offered: None,
        }
    }

    /// Whether we hold the peer (we then send and do not listen). Takes effect with the next description of ours.
    pub fn set_hold(&mut self, held: bool) {
        self.wish = if held { Direction::SendOnly } else { Direction::SendRecv };
    }

    /// Whether our next description holds the peer.
    pub fn holds(&self) -> bool {
        self.wish == Direction::SendOnly
    }

    /// Answers an offer: our SDP. On success it is in force.
    pub fn answer(&mut self, offer: &[u8]) -> Result<Vec<u8>, OfferError> {
        let offer = Description::parse(offer)?;
        let (audio, choice) = self.find_audio(&offer)?;
        let peer = offer.media.get(audio).ok_or(OfferError::NoAudio)?;
        let direction = self.direction_towards(peer);
        let ours = describe::answer(self.local, &choice, peer, direction);
        let lines: Vec<Media> = offer
            .media
            .iter()
            .enumerate()
            .map(|(at, line)| if at == audio { ours.clone() } else { line.refused() })
            .collect();
        let sdp = self.origin.stamp(self.local.ip(), &lines);
        let session = self.session_with(peer, &choice);
        let held_by_peer = is_hold(peer);
        self.agreed = Some(Agreed { session, held_by_peer, lines, audio, wish: self.wish });
        self.offered = None;
        Ok(sdp)
    }

    /// An offer of ours. Replaces an unanswered one.
    pub fn offer(&mut self, scope: OfferScope) -> Vec<u8> {
        let formats = self.formats_to_offer(scope);
        let agreed = self.agreed.as_ref();
        let mut ours = describe::offer(self.local, &formats, &self.policy, self.wish);
        // What fell back to plain RTP stays so.
        if agreed.is_none_or(|agreed| agreed.session.srtp.is_some()) {
            let (crypto, protocol) = self.keys.offered();
            ours.crypto = crypto;
            ours.protocol = protocol.to_owned();
        }
        let audio = agreed.map_or(0, |agreed| agreed.audio);
        let mut lines = agreed.map_or_else(Vec::new, |agreed| agreed.lines.clone());
        match lines.get_mut(audio) {
            Some(line) => {
                ours.protocol.clone_from(&line.protocol);
                ours.rtcp_mux = line.rtcp_mux;
                *line = ours;
            }
            None => lines.push(ours),
        }
        let sdp = self.origin.stamp(self.local.ip(), &lines);
        self.offered = Some(Offered { lines, audio, pending: true });
        sdp
    }

    /// Reads the answer to our last offer. May be called again with a later answer to the same offer (183, then 200).
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<(), OfferError> {
        let offered = self.offered.as_ref().ok_or(OfferError::NothingOffered)?;
        let answer = Description::parse(answer)?;
        let ours = offered.lines.get(offered.audio).ok_or(OfferError::AnswerShape)?;
        let peer = answer.media.get(offered.audio).ok_or(OfferError::AnswerShape)?;
        if peer.kind != "audio" || peer.port == 0 {
            return Err(OfferError::AnswerShape);
        }
        self.check_transport(peer)?;
        let mut choice = choose::from_answer(peer, ours, &self.policy)?;
        choice.srtp = self.keys.accept(ours, peer)?;
        let session = self.session_with(peer, &choice);
        let (mut lines, audio) = (offered.lines.clone(), offered.audio);
        if let Some(line) = lines.get_mut(audio) {
            line.rtcp_mux &= peer.rtcp_mux;
        }
        self.agreed =
            Some(Agreed { session, held_by_peer: is_hold(peer), lines, audio, wish: self.wish });
        if let Some(offered) = self.offered.as_mut() {
            offered.pending = false;
        }
        Ok(())
    }

    /// Our last offer was refused or its answer was unusable: what was agreed before stays in force.
    pub fn forget_offer(&mut self) {
        self.offered = None;
        self.wish = self.agreed.as_ref().map_or(Direction::SendRecv, |agreed| agreed.wish);
    }

    /// An offer of ours waits for its answer.
    pub fn is_pending(&self) -> bool {
        self.offered.as_ref().is_some_and(|offered| offered.pending)
    }

    /// What is in force.
    pub fn session(&self) -> Option<&RtpSession> {
        self.agreed.as_ref().map(|agreed| &agreed.session)
    }

    /// The peer holds us: it sends at most music, and does not want to hear us.
    pub fn is_held_by_peer(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.held_by_peer)
    }

    /// The first audio line that can be used; the line in use before all others.
    fn find_audio(&self, offer: &Description) -> Result<(usize, Choice), OfferError> {
        let current = self.agreed.as_ref().map(|agreed| agreed.audio);
        let others = (0..offer.media.len()).filter(|at| Some(*at) != current);
        let mut first_error = None;
        for at in current.into_iter().chain(others) {
            let Some(line) = offer.media.get(at) else { continue };
            if line.kind != "audio" || line.port == 0 {
                continue;
            }
            let usable = self.check_transport(line);
            let choice = usable.and_then(|()| choose::from_offer(line, &self.policy));
            let choice =
                choice.and_then(|choice| Ok(Choice { srtp: self.keys.answer(line)?, ..choice }));
            match choice {
                Ok(choice) => return Ok((at, choice)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(OfferError::NoAudio))
    }

    fn check_transport(&self, line: &Media) -> Result<(), OfferError> {
        if !self.keys.takes(line) {
            return Err(OfferError::Transport(choose::printable(&line.protocol)));
        }
        let Connection::Address(address) = line.connection else {
            return Err(OfferError::NoAddress);
        };
        if address.is_ipv4() != self.local.ip().to_canonical().is_ipv4()
            && !line.connection.is_null()
        {
            return Err(OfferError::AddressFamily);
        }
        Ok(())
    }

    /// Who sends, from our side: what we wish, as far as the peer goes along.
    fn direction_towards(&self, peer: &Media) -> Direction {
        let theirs = effective_direction(peer).reversed();
        Direction::new(
            self.wish.sends() && theirs.sends(),
            self.wish.receives() && theirs.receives(),
        )
    }

    fn session_with(&self, peer: &Media, choice: &Choice) -> RtpSession {
        let (remote_rtp, remote_rtcp) = self.remote(peer, choice.rtcp_mux);
        RtpSession {
            remote_rtp,
            remote_rtcp,
            rtcp_mux: choice.rtcp_mux,
            send_codec: choice.codec,
            send_payload_type: choice.send_payload_type,
            receive: choice.receive.clone(),
            send_events: choice.send_events,
            receive_events: choice.receive_events.clone(),
            receive_comfort_noise: choice.comfort_noise,
            packet_time_ms: choice.packet_time_ms,
            direction: media_direction(self.direction_towards(peer)),
            latching: if self.policy.symmetric { Latching::LearnOnce } else { Latching::Strict },
            srtp: choice.srtp.as_ref().map(|agreed| agreed.keys.clone()),
        }
    }

    /// Addresses of RTP and RTCP. A hold by `c=0.0.0.0` keeps the last real ones.
    fn remote(&self, peer: &Media, rtcp_mux: bool) -> (SocketAddr, SocketAddr) {
        let address = match peer.connection {
            Connection::Address(address) if !address.is_unspecified() => address,
            _ => match self.session() {
                Some(session) => return (session.remote_rtp, session.remote_rtcp),
                None => unspecified_like(self.local.ip()),
            },
        };
        let rtp = SocketAddr::new(address, peer.port);
        let rtcp = match peer.rtcp {
            _ if rtcp_mux => rtp,
            Some((port, other)) if port != 0 => SocketAddr::new(other.unwrap_or(address), port),
            _ => SocketAddr::new(address, peer.port.saturating_add(1)),
        };
        (rtp, rtcp)
    }

    /// Formats with their numbers for an offer of ours. Numbers once agreed are never given another meaning.
    fn formats_to_offer(&self, scope: OfferScope) -> Vec<(u8, Format)> {
        let agreed = self.session();
        let mut formats: Vec<(u8, Format)> = Vec::new();
        if let Some(session) = agreed {
            let number = session
                .receive
                .iter()
                .find(|(_, kind)| *kind == session.send_codec)
                .map_or(session.send_payload_type, |(number, _)| *number);
            formats.push((number, Format::Codec(session.send_codec)));
        }
        if agreed.is_none() || scope == OfferScope::Everything {
            for kind in &self.policy.codecs {
                choose::add_format(&mut formats, Format::Codec(*kind), agreed);
            }
        }
        match agreed {
            Some(session) if scope == OfferScope::AsAgreed => {
                let events = session.receive_events.iter();
                formats.extend(events.map(|it| (it.payload_type, Format::Events(it.clock_hz))));
            }
            _ => choose::add_events(&mut formats, agreed),
        }
        formats
    }
}

/// `c=0.0.0.0` counts as "do not send to me", whatever the direction says (RFC 3264 §8.4).
fn effective_direction(peer: &Media) -> Direction {
    Direction::new(peer.direction.sends(), peer.direction.receives() && !peer.connection.is_null())
}

fn is_hold(peer: &Media) -> bool {
    matches!(effective_direction(peer), Direction::SendOnly | Direction::Inactive)
}

fn media_direction(direction: Direction) -> session::Direction {
    match direction {
        Direction::SendRecv => session::Direction::SendRecv,
        Direction::SendOnly => session::Direction::SendOnly,
        Direction::RecvOnly => session::Direction::RecvOnly,
        Direction::Inactive => session::Direction::Inactive,
    }
}

fn unspecified_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

/// `o=` discipline (RFC 3264 §8): one session id for the dialog; the version grows by one exactly when the rest of
/// the description changed. Numbers stay small: some peers keep them in 32 bits.
#[derive(Debug)]
struct OriginState {
    session_id: String,
    version: u64,
    last: Option<Vec<Media>>,
}

impl OriginState {
    fn new(rng: &mut Rng) -> Self {
        Self { session_id: (rng.u32() >> 1).to_string(), version: 0, last: None }
    }

    fn stamp(&mut self, address: IpAddr, lines: &[Media]) -> Vec<u8> {
        if self.last.as_deref() != Some(lines) {
            self.version = self.version.saturating_add(1);
            self.last = Some(lines.to_vec());
        }
        let origin = Origin { session_id: self.session_id.clone(), version: self.version, address };
        Description { origin, media: lines.to_vec() }.to_bytes()
    }
}

/// Telephone-events of a session: what may be received and what is sent.
type Events = (Option<EventFormat>, ArrayVec<EventFormat, 2>);
