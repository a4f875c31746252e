//! The media half of a trunk leg: RTP in, RTP out, keys, clips. No clock, no socket, no allocation after set-up.
//!
//! In: source rule, sequence, payload type -> key, or the phone's speech for the conference. Out: every 20 ms a frame
//! of the room, clips over it, encoded and sent by frame counter; RTCP beside it.
//!
//!   no session --Configure--> running --Configure--> running (another codec, hold, another address)

mod inband;
mod latch;
mod path;
mod player;
mod receive;
mod send;
mod shield;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

pub use self::path::AudioPath;
pub use self::shield::Plain;

use self::latch::SourceLatch;
use self::player::Player;
use self::receive::Receiver;
use self::send::{Datagram, SendClock};
use self::shield::Shield;
use crate::base::ids::{CallKey, PlayToken};
use crate::base::rng::Rng;
use crate::base::time::WallClock;
use crate::leg::media::{
    FromMedia, KeyWay, MediaOutputs, Playlist, SocketKind, Transmit, UplinkQuality,
};
use crate::media::dtmf::Press;
use crate::media::frame::SampleRate;
use crate::media::quality::LegReport;
use crate::rtp::rtcp::{ReportFacts, RtcpMachine};
use crate::rtp::sender::RtpSender;
use crate::rtp::session::{Direction, RtpSession};
use crate::rtp::srtp::SrtpError;

/// The media half of one trunk leg.
#[derive(Debug)]
pub struct TrunkMedia {
    call: CallKey,
    config: TrunkMediaConfig,
    running: Option<Running>,
    /// SRTP. `None`: plain RTP.
    shield: Option<Box<Shield>>,
    muted: bool,
    player: Player,
    receiver: Receiver,
    sender: RtpSender,
    clock: SendClock,
    rtcp: RtcpMachine,
    /// Ready to leave: at most one of each at any time.
    rtp_out: Datagram,
    rtcp_out: Datagram,
    counters: MediaCounters,
}

/// What a negotiated session adds.
#[derive(Debug)]
struct Running {
    session: Box<RtpSession>,
    path: Box<AudioPath>,
    latch: SourceLatch,
    /// Where the peer's RTCP really comes from.
    rtcp_source: Option<SocketAddr>,
}

/// Settings of a trunk leg's media half that do not change with negotiation.
#[derive(Clone, Copy, Debug)]
pub struct TrunkMediaConfig {
    /// No RTP and no RTCP for this long: [`FromMedia::Silent`]. Not counted while held.
    pub silence_timeout: Duration,
}

crate::counters! {
    /// What trunk legs received and could not use.
    pub struct MediaCounters {
        /// RTP packets received, of any kind, before any check.
        rtp_received,
        /// RTP packets sent.
        rtp_sent,
        /// Datagrams that are neither RTP nor RTCP, or malformed.
        rtp_malformed,
        /// RTP or RTCP packets dropped because they came from a source that is not the phone's.
        rtp_strange_source,
        /// RTP packets dropped because their payload type was not negotiated.
        rtp_unknown_payload_type,
        /// RTP packets dropped because they had come before.
        rtp_duplicate,
        /// RTP packets dropped because their sequence number was far from the stream's.
        rtp_suspicious,
        /// SRTP or SRTCP packets of a trunk dropped because their key is wrong, or they are not encrypted.
        rtp_unauthentic,
        /// SRTP or SRTCP packets of a trunk dropped because they had come before.
        rtp_replayed,
        /// Comfort noise packets received.
        rtp_comfort_noise,
        /// Keys received as telephone-events.
        keys_by_event,
        /// Keys found as tones in the audio.
        keys_by_tone,
        /// RTCP packets received.
        rtcp_received,
        /// RTCP packets sent.
        rtcp_sent,
    }
}

impl TrunkMedia {
    /// A half without a session: it plays nothing and hears nothing until configured.
    pub fn new(call: CallKey, config: TrunkMediaConfig, rng: Rng) -> Box<Self> {
        let (sender, first_timestamp) = RtpSender::new(&mut rng.fork("rtp"));
        Box::new(Self {
            call,
            config,
            running: None,
            shield: None,
            muted: false,
            player: Player::new(call),
            receiver: Receiver::default(),
            sender,
            clock: SendClock::starting_at(first_timestamp),
            rtcp: RtcpMachine::new(rng.fork("rtcp")),
            rtp_out: Datagram::empty(),
            rtcp_out: Datagram::empty(),
            counters: MediaCounters::default(),
        })
    }

    /// A negotiated session: the first, or after a re-INVITE. What it replaces goes home to be dropped.
    pub fn configure(
        &mut self,
        now: Instant,
        mut path: Box<AudioPath>,
        session: Box<RtpSession>,
        out: &mut MediaOutputs,
    ) {
        self.change_keys(&mut path);
        let (rule, expected) = (session.latching, session.remote_rtp);
        let running = match self.running.take() {
            None => Running {
                latch: SourceLatch::new(now, rule, expected),
                rtcp_source: None,
                session,
                path,
            },
            Some(mut old) => {
                self.clock.advance(old.path.drop_staged());
                old.latch.signalled(now, rule, expected);
                let (path_before, session_before) = (old.path, old.session);
                let rtcp_stays = session_before.remote_rtcp == session.remote_rtcp;
                out.push(FromMedia::Replaced {
                    path: Some(path_before),
                    session: Some(session_before),
                });
                let rtcp_source = old.rtcp_source.filter(|_| rtcp_stays);
                Running { latch: old.latch, rtcp_source, session, path }
            }
        };
        self.running = Some(running);
        self.clock.begin_talkspurt();
        self.receiver.expect_from(now);
        self.rtcp.start(now);
    }

    /// Takes the keys that came with `path`; the old ones go home with the path that they came with.
    fn change_keys(&mut self, path: &mut AudioPath) {
        let mut old = std::mem::replace(&mut self.shield, path.shield.take());
        if let (Some(new), Some(old)) = (&mut self.shield, &mut old) {
            new.succeed(old);
        }
        if let Some(running) = &mut self.running {
            running.path.shield = old;
        }
    }

    /// What a datagram holds: itself, or with SRTP the packet in it, decrypted into `room`. `None`: not for us.
    pub fn open<'a>(&mut self, bytes: &'a [u8], room: &'a mut Plain) -> Option<&'a [u8]> {
        let Some(shield) = &mut self.shield else { return Some(bytes) };
        match shield.open(bytes, room) {
            Ok(length) => room.get(..length),
            Err(SrtpError::Replayed) => {
                self.counters.rtp_replayed += 1;
                None
            }
            Err(_) => {
                self.counters.rtp_unauthentic += 1;
                None
            }
        }
    }

    /// Whether the phone's voice goes into the conference.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// PCM rate of the phone, once there is a session: the rate its ear needs.
    pub fn rate(&self) -> Option<SampleRate> {
        self.running.as_ref().map(|running| running.path.rate)
    }

    /// The room holds nothing above `wanted` (`None`: not known). Gives the rate its ear needs, if it is another one now.
    pub fn follow_rate(&mut self, wanted: Option<SampleRate>) -> Option<SampleRate> {
        let wanted = wanted.filter(|_| self.player.lets_room_be_heard());
        self.running.as_mut()?.path.follow_rate(wanted)
    }

    /// Plays clips; what plays now ends.
    pub fn play(&mut self, token: PlayToken, playlist: Box<Playlist>, out: &mut MediaOutputs) {
        self.player.play(token, playlist, out);
    }

    /// Stops a play, or whatever plays.
    pub fn stop_play(&mut self, token: Option<PlayToken>, out: &mut MediaOutputs) {
        self.player.stop(token, out);
    }

    /// Sends keys as telephone-events, or as tones. Without a session or events in it, they are lost.
    pub fn send_keys(&mut self, keys: &ArrayVec<Press, 32>, way: KeyWay) {
        let Some(path) = self.running.as_mut().map(|running| &mut running.path) else { return };
        for press in keys {
            match (way, &mut path.keys) {
                (KeyWay::Tones, _) => _ = path.tones.push(*press),
                (KeyWay::Events, Some(sender)) => _ = sender.push(*press),
                (KeyWay::Events, None) => {}
            }
        }
    }

    /// Says goodbye (RTCP BYE) and gives every playlist back. One last [`Self::poll_transmit`] follows.
    pub fn close(&mut self, now: Instant, wall: WallClock, out: &mut MediaOutputs) {
        self.player.clear(out);
        self.write_rtcp(now, wall, true);
    }

    /// The next datagram to send, written into `buffer`.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        let transmit = self.rtp_out.take(buffer).or_else(|| self.rtcp_out.take(buffer))?;
        match &mut self.shield {
            None => Some(transmit),
            // What cannot be protected is not sent.
            Some(shield) => {
                let length = shield.seal(buffer, transmit.length).ok()?;
                Some(Transmit { length, ..transmit })
            }
        }
    }

    /// Whether [`Self::poll_transmit`] has something.
    pub fn has_output(&self) -> bool {
        self.rtp_out.is_waiting() || self.rtcp_out.is_waiting()
    }

    /// Whether the phone's voice is kept out of the conference.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Figures since the start. `uplink` is what the jitter buffer that plays the phone knows.
    pub fn report(&self, uplink: Option<UplinkQuality>) -> LegReport {
        let reception = &self.receiver.reception;
        let uplink = uplink.unwrap_or_default();
        let report = LegReport {
            codec: self.running.as_ref().map(|running| running.session.send_codec),
            packets_sent: u64::from(self.sender.sent().0),
            packets_received: reception.received(),
            packets_lost: reception.lost(),
            packets_late: uplink.packets_late,
            jitter: reception.jitter(),
            playout_delay: Duration::from_micros(u64::from(uplink.playout_delay_us)),
            concealed_per_myriad: uplink.concealed_per_myriad,
            round_trip: self.rtcp.round_trip(),
            far_loss_percent: self.rtcp.far_loss_percent(),
            mos_centi: None,
        };
        LegReport { mos_centi: report.estimate_mos(), ..report }
    }

    /// What could not be used.
    pub fn counters(&self) -> &MediaCounters {
        &self.counters
    }

    fn write_rtcp(&mut self, now: Instant, wall: WallClock, goodbye: bool) {
        let Some(running) = &self.running else { return };
        let facts = ReportFacts {
            sender: &self.sender,
            rtp_timestamp: self.clock.position(),
            wall,
            goodbye,
        };
        let reception = &mut self.receiver.reception;
        let length = self.rtcp.write_report(now, facts, reception, &mut self.rtcp_out.bytes);
        self.rtcp_out.address(running.rtcp_destination(), running.rtcp_socket(), length);
        self.counters.rtcp_sent += 1;
    }
}

impl Running {
    fn rtcp_destination(&self) -> SocketAddr {
        let rtp = self.latch.destination();
        match self.rtcp_source {
            _ if self.session.rtcp_mux => rtp,
            Some(source) => source,
            None if self.latch.is_elsewhere() => {
                SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1))
            }
            None => self.session.remote_rtcp,
        }
    }

    fn rtcp_socket(&self) -> SocketKind {
        if self.session.rtcp_mux { SocketKind::TrunkRtp } else { SocketKind::TrunkRtcp }
    }

    /// Whether the phone should hear us now.
    fn sends(&self) -> bool {
        matches!(self.session.direction, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether we should hear the phone now.
    fn hears(&self) -> bool {
        matches!(self.session.direction, Direction::SendRecv | Direction::RecvOnly)
    }
}
