//! The values that cross between signalling and a media shard, and the media half of a conference leg.
//!
//! Halves are built by signalling, sent in boxes, and come back in boxes to be dropped: a shard neither
//! allocates nor frees.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arrayvec::ArrayVec;

use crate::base::ids::{CallKey, PlayToken, RoomKey};
use crate::base::time::Why;
use crate::leg::browser::line::BrowserLine;
use crate::leg::counters::ConferenceCounters;
use crate::leg::trunk::media::TrunkMedia;
use crate::media::clip::Clip;
use crate::media::codec::CodecKind;
use crate::media::dtmf::{Key, KeySource, Press};
use crate::media::frame::{Frame, SampleRate};
use crate::media::ingress::{EarKey, Heard, Ingress, Source, SourceKey, SourcePacket};
use crate::media::quality::LegReport;
use crate::rtp::session::RtpSession;
use crate::webrtc::transport::{TransportCommand, TransportEvent};

/// Signalling to shard.
pub enum ToMedia {
    /// A room is born on this shard.
    OpenRoom {
        /// Its key.
        room: RoomKey,
        /// Its sound, empty.
        ingress: Box<Ingress>,
    },
    /// The room is over; answered by [`FromMedia::RoomClosed`]. All its legs were detached before.
    CloseRoom(RoomKey),
    /// The trunk leg of a call; its ports are bound.
    AttachTrunk {
        /// The call.
        call: CallKey,
        /// The media half.
        half: Box<TrunkMedia>,
    },
    /// The line of a browser: the call's packets come and go through it from now on. Between `AttachTrunk` and the first
    /// `Configure`, so that nothing leaves unprotected; goes home with the trunk leg.
    AttachLine {
        /// The call.
        call: CallKey,
        /// The line.
        line: Box<BrowserLine>,
    },
    /// The conference leg of a call whose trunk leg is attached: sound flows from now on.
    AttachConference {
        /// The call.
        call: CallKey,
        /// The room whose ingress it shares.
        room: RoomKey,
        /// The media half.
        half: Box<dyn ConferenceMedia>,
    },
    /// Something for the conference half; dropped where there is none.
    Conference {
        /// The call.
        call: CallKey,
        /// What.
        command: ConferenceCommand,
    },
    /// Takes the conference leg off; answered by [`FromMedia::ConferenceDetached`].
    DetachConference(CallKey),
    /// Takes the trunk leg off; answered by [`FromMedia::TrunkDetached`].
    DetachTrunk(CallKey),
    /// A negotiated session: the first, or after a re-INVITE.
    Configure {
        /// The call.
        call: CallKey,
        /// Codecs and the audio path for them, built by signalling so that the shard need not allocate.
        path: Box<crate::leg::trunk::media::AudioPath>,
        /// What was negotiated.
        session: Box<RtpSession>,
    },
    /// Whether the phone's voice goes into the conference.
    Mute {
        /// The call.
        call: CallKey,
        /// True: nothing goes in.
        muted: bool,
    },
    /// Plays clips one after the other to the phone.
    Play {
        /// The call.
        call: CallKey,
        /// Comes back in [`FromMedia::PlayDone`].
        token: PlayToken,
        /// What to play.
        playlist: Box<Playlist>,
    },
    /// Stops that play (or whatever plays, if `None`); answered by `PlayDone`.
    StopPlay {
        /// The call.
        call: CallKey,
        /// Which.
        token: Option<PlayToken>,
    },
    /// Sends keys to the phone's network.
    SendKeys {
        /// The call.
        call: CallKey,
        /// Keys in order.
        keys: ArrayVec<Press, 32>,
        /// How.
        way: KeyWay,
    },
}

impl ToMedia {
    /// The call it is about; none for rooms.
    pub fn call(&self) -> Option<CallKey> {
        match self {
            Self::OpenRoom { .. } | Self::CloseRoom(_) => None,
            Self::DetachConference(call) | Self::DetachTrunk(call) => Some(*call),
            Self::AttachTrunk { call, .. }
            | Self::AttachLine { call, .. }
            | Self::AttachConference { call, .. }
            | Self::Conference { call, .. }
            | Self::Configure { call, .. }
            | Self::Mute { call, .. }
            | Self::Play { call, .. }
            | Self::StopPlay { call, .. }
            | Self::SendKeys { call, .. } => Some(*call),
        }
    }
}

/// How keys travel in a phone's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWay {
    /// RFC 4733 telephone-events; lost where the far side did not agree to them.
    Events,
    /// Tones in the sound.
    Tones,
}

/// Clips to play, and how they lie with the room's sound.
#[derive(Clone, Debug)]
pub struct Playlist {
    /// One after the other.
    pub clips: Vec<Arc<Clip>>,
    /// Start again at the end, for ever (music).
    pub repeat: bool,
    /// How the room sounds meanwhile.
    pub room: RoomDuring,
}

/// What becomes of the room's sound while a clip plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomDuring {
    /// Heard at full level beside the clip (chimes).
    Full,
    /// Lowered by 12 dB (words in a meeting).
    Ducked,
    /// Not heard (before the join, music while waiting).
    Silent,
}

/// Shard to signalling.
pub enum FromMedia {
    /// A key was pressed; reported once, on its first packet.
    Key {
        /// The call.
        call: CallKey,
        /// The key.
        key: Key,
        /// How it came.
        source: KeySource,
    },
    /// A playlist ended (`finished`), was stopped or replaced.
    PlayDone {
        /// The call.
        call: CallKey,
        /// Which.
        token: PlayToken,
        /// It was heard to its end.
        finished: bool,
        /// Given back to be dropped.
        playlist: Box<Playlist>,
    },
    /// The first valid audio packet of the phone came, from here.
    Latched {
        /// The call.
        call: CallKey,
        /// Its real source.
        from: SocketAddr,
    },
    /// No RTP and no RTCP from the phone for the configured time.
    Silent(CallKey),
    /// Regular figures of a leg (every 5 s).
    Report {
        /// The call.
        call: CallKey,
        /// Figures since the start of the call.
        report: LegReport,
    },
    /// The trunk half, with its last figures, to be dropped.
    TrunkDetached {
        /// The call.
        call: CallKey,
        /// The half.
        half: Box<TrunkMedia>,
        /// Last figures.
        report: LegReport,
    },
    /// What a browser's line met.
    Line {
        /// The call.
        call: CallKey,
        /// What.
        event: TransportEvent,
    },
    /// The line of a browser, to be dropped.
    LineDetached {
        /// The call.
        call: CallKey,
        /// The line.
        line: Box<BrowserLine>,
    },
    /// The conference half, to be dropped.
    ConferenceDetached {
        /// The call.
        call: CallKey,
        /// The half.
        half: Box<dyn ConferenceMedia>,
    },
    /// A configuration that was replaced, to be dropped.
    Replaced {
        /// Old path.
        path: Option<Box<crate::leg::trunk::media::AudioPath>>,
        /// Old session.
        session: Option<Box<RtpSession>>,
    },
    /// The room's sound, to be dropped.
    RoomClosed {
        /// The room.
        room: RoomKey,
        /// Its ingress.
        ingress: Box<Ingress>,
    },
    /// Something of the conference half worth knowing (bridge events later).
    Conference {
        /// The call.
        call: CallKey,
        /// What.
        event: ConferenceEvent,
    },
    /// The work of this leg panicked or broke a rule: the call must end with `EndReason::Bug`.
    Failed(CallKey),
}

/// What the halves of a shard tell signalling, until it is taken: bounded, allocated once.
///
/// Figures and keys are dropped (and counted) when it is nearly full; boxes on their way home always find a place,
/// because a shard takes no command while fewer than [`Self::RESERVED`] are free.
pub struct MediaOutputs {
    queue: VecDeque<FromMedia>,
    dropped: u64,
}

impl MediaOutputs {
    /// Places kept for answers to commands and for failures.
    pub const RESERVED: usize = 64;

    /// Room for `capacity` values and the reserve.
    pub fn new(capacity: usize) -> Self {
        Self { queue: VecDeque::with_capacity(capacity + Self::RESERVED), dropped: 0 }
    }

    /// Adds an answer or a box on its way home.
    pub fn push(&mut self, output: FromMedia) {
        self.queue.push_back(output);
    }

    /// Adds a figure or an event; the newest is dropped when only the reserve is left.
    pub fn offer(&mut self, output: FromMedia) {
        if self.has_room() {
            self.queue.push_back(output);
        } else {
            self.dropped += 1;
        }
    }

    /// Whether more than the reserve is free.
    pub fn has_room(&self) -> bool {
        self.queue.len() + Self::RESERVED < self.queue.capacity()
    }

    /// The oldest.
    pub fn pop(&mut self) -> Option<FromMedia> {
        self.queue.pop_front()
    }

    /// Values dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// What a conference media half tells its signal half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConferenceEvent {
    /// Its transport is up (the embedded room: at once).
    Connected,
    /// Its transport is lost.
    Lost,
    /// The member began or ceased to speak, where this half knows.
    Speaking(bool),
    /// Somebody in the conference pressed a key on his dial pad, and let it go.
    RoomKey {
        /// His stream.
        ssrc: u32,
        /// Its RTP timestamp: with the stream it names the key, whoever heard it.
        timestamp: u32,
        /// The key.
        press: Press,
    },
    /// Anything else of a bridge leg's transport.
    Transport(TransportEvent),
}

/// What signalling tells a conference media half.
pub enum ConferenceCommand {
    /// Another speaks in the conference.
    AddSource {
        /// The stream's SSRC.
        ssrc: u32,
        /// Its place in the room, built by signalling.
        source: Box<Source>,
    },
    /// That stream is over.
    RemoveSource {
        /// The stream's SSRC.
        ssrc: u32,
    },
    /// To a bridge leg's transport: candidates, ICE restart, a message on the bridge channel.
    Transport(TransportCommand),
}

/// One packet of the phone's speech on its way into the conference, still encoded, in arrival order.
#[derive(Clone, Copy, Debug)]
pub struct Uplink<'a> {
    /// Codec of the payload.
    pub codec: CodecKind,
    /// Extended sequence number (RFC 3550 A.1).
    pub sequence: u64,
    /// Extended RTP timestamp, in units of the codec's RTP clock.
    pub timestamp: u64,
    /// Marker bit: first packet of a talkspurt.
    pub marker: bool,
    /// Never empty.
    pub payload: &'a [u8],
}

impl<'a> From<Uplink<'a>> for SourcePacket<'a> {
    fn from(speech: Uplink<'a>) -> Self {
        Self {
            codec: speech.codec,
            sequence: speech.sequence,
            timestamp: speech.timestamp,
            marker: speech.marker,
            payload: speech.payload,
        }
    }
}

/// A datagram that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Whither.
    pub to: SocketAddr,
    /// Which of the leg's sockets.
    pub socket: SocketKind,
    /// Bytes written into the caller's buffer.
    pub length: usize,
}

/// The sockets of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketKind {
    /// RTP of the trunk leg.
    TrunkRtp,
    /// RTCP of the trunk leg.
    TrunkRtcp,
    /// A port of the conference leg: 0 or 1. An ICE restart goes from one to the other.
    Conference(u8),
}

/// The media half of a conference leg, owned by a shard.
pub trait ConferenceMedia: Send {
    /// Joins the room's sound: adds its ear and, where it feeds the room itself, its source. Nothing is heard before.
    fn attach(&mut self, now: Instant, ingress: &mut Ingress);
    /// Leaves the room's sound.
    fn detach(&mut self, ingress: &mut Ingress);
    /// Whose sum this leg pulls.
    fn ear(&self) -> EarKey;
    /// The phone's codec was changed to one of another rate: the ear pulls at `rate` from now on.
    fn set_rate(&mut self, rate: SampleRate, ingress: &mut Ingress);
    /// The highest rate at which anybody speaks to this ear; `None` if that is not known. An Opus phone is served at it:
    /// its encoder at 8 kHz costs a third of that at 48.
    fn heard_rate(&self, ingress: &Ingress) -> Option<SampleRate> {
        let _ = ingress;
        None
    }
    /// The next 20 ms for the phone, at the frame's rate: the ear's sum, unless this half knows better.
    fn pull(&mut self, now: Instant, ingress: &mut Ingress, out: &mut Frame) -> Heard {
        let _ = now;
        ingress.pull(self.ear(), out)
    }
    /// Something signalling wants.
    fn command(&mut self, now: Instant, command: ConferenceCommand, ingress: &mut Ingress) {
        let _ = (now, command, ingress);
    }
    /// A datagram from the conference. A half without sockets gets none.
    fn handle_packet(
        &mut self,
        now: Instant,
        socket: SocketKind,
        from: SocketAddr,
        bytes: &[u8],
        ingress: &mut Ingress,
    ) {
        let _ = (now, socket, from, bytes, ingress);
    }
    /// The phone's speech.
    fn push_uplink(&mut self, now: Instant, speech: Uplink<'_>, ingress: &mut Ingress);
    /// The phone was muted or unmuted: what was already taken is not heard either.
    fn set_muted(&mut self, muted: bool, ingress: &mut Ingress);
    /// Due deadlines.
    fn handle_timeout(&mut self, now: Instant, ingress: &mut Ingress) {
        let _ = (now, ingress);
    }
    /// Whether [`Self::poll_transmit`] has something.
    fn has_output(&self) -> bool {
        false
    }
    /// The next datagram to send, written into `buffer`.
    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        let _ = buffer;
        None
    }
    /// What to tell signalling.
    fn poll_event(&mut self) -> Option<ConferenceEvent> {
        None
    }
    /// The next deadline.
    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        None
    }
    /// How far the phone's stream into the conference is. A half without a stream of its own has none.
    fn uplink_place(&self) -> Option<UplinkPlace> {
        None
    }
    /// It takes the place of a half whose stream was so far: a stream under the same SSRC goes on there.
    fn go_on_from(&mut self, place: UplinkPlace) {
        let _ = place;
    }
    /// Adds what it met so far. A half without a conference outside has nothing to add.
    fn count(&self, ingress: Option<&Ingress>, sum: &mut ConferenceCounters) {
        let _ = (ingress, sum);
    }
    /// Figures of what the phone sent, where this half holds the jitter buffer that plays it.
    fn uplink_quality(&self, ingress: &Ingress) -> Option<UplinkQuality> {
        let _ = ingress;
        None
    }
}

/// How far a stream into the conference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkPlace {
    /// Which.
    pub ssrc: u32,
    /// Its next sequence number.
    pub sequence: u16,
    /// Its last timestamp and when it was sent; none before the first packet.
    pub last_sent: Option<(u32, Instant)>,
    /// Packets and bytes of payload sent so far.
    pub sent: (u32, u32),
}

/// What the jitter buffer that plays the phone's speech knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UplinkQuality {
    /// Mean audio held back, in microseconds.
    pub playout_delay_us: u32,
    /// Packets that came too late.
    pub packets_late: u64,
    /// Concealed samples, in 1/10,000 of all.
    pub concealed_per_myriad: u16,
}

impl UplinkQuality {
    /// Figures of a source of a room, while it is there.
    pub fn of(ingress: &Ingress, source: SourceKey) -> Option<Self> {
        let statistics = ingress.source(source)?.statistics();
        Some(Self {
            playout_delay_us: u32::try_from(statistics.delay_mean().as_micros())
                .unwrap_or(u32::MAX),
            packets_late: statistics.packets_late,
            concealed_per_myriad: statistics.concealed_per_myriad(),
        })
    }
}
