//! The call machine: glue between one trunk leg, one seat in a conference, the owner's decisions and the sound.
//!
//!   Opening -> Routing -> Asking <-> Deciding -> Joining -> Joined      a call that came in
//!   Opening -> Calling ------------------------> Joining -> Joined      a call of ours
//!   Opening -> Dialling ----------------------> (Joining) -> Joined      a call of ours that joins first
//!   any of them -> Ending (last words) -> Closing -> over
//!
//! A call that is to be asked, joined or told something is answered at once, never left ringing; what is to be heard
//! begins when the caller acknowledged our answer. Whatever happens first decides the one [`EndReason`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use tracing::debug;

use crate::base::ids::{CallKey, DialogKey, PlayToken, ShardId, TrunkId};
use crate::base::limits::DIGITS_BUFFERED_MAX;
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::base::timers::{Timers, earliest};
use crate::call::asking::Asking;
use crate::call::browser::BrowserSeat;
use crate::call::dialling::Dial;
use crate::call::event::Event;
use crate::call::info::InfoTalk;
use crate::call::keys::{KeyFilter, Menu};
use crate::call::ringing::Ringing;
use crate::call::snapshot::CallSnapshot;
use crate::call::sound::Sound;
use crate::call::story::{Birth, Story};
use crate::call::{Digits, Moment, Route, TrunkManners};
use crate::leg::backend::{JoinRequest, JoinStep, LegCommand, MemberChange, Moderation, RoomFacts};
use crate::leg::end_reason::EndReason;
use crate::leg::media::ToMedia;
use crate::leg::trunk::signal::{SdpPolicy, TrunkSignal};
use crate::media::clip::prompt::PromptId;
use crate::media::clip::{ClipLibrary, Language};
use crate::media::codec::CodecKind;
use crate::media::dtmf::{Key, KeySource, Press};
use crate::media::quality::LegReport;
use crate::rtp::session::RtpSession;
use crate::sip::endpoint::{OutgoingInvite, UaCommand, UaEvent};
use crate::webrtc::TransportEvent;

/// The owner answers a question within this, or the call ends.
pub const OWNER_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Words begin this long after our 200 if no ACK came.
pub const ACK_PATIENCE: Duration = Duration::from_secs(1);
/// Last words are cut after this.
pub const LAST_WORDS_MAX: Duration = Duration::from_secs(8);
/// Between the last words and the BYE, so that the far side's buffer plays them out.
pub const PAUSE_BEFORE_BYE: Duration = Duration::from_millis(300);
/// A shard that does not give a leg back within this is not waited for.
pub const DETACH_PATIENCE: Duration = Duration::from_secs(5);
/// CANCEL after this long without a final response to our INVITE.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What all calls share.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// No RTP for this long ends a call.
    pub media_timeout: Duration,
    /// Longest call.
    pub call_length_max: Duration,
    /// Clips.
    pub clips: Arc<ClipLibrary>,
}

/// Something happened.
#[derive(Debug)]
pub enum CallInput {
    /// The RTP ports are bound; this address goes into SDP.
    MediaOpened(SocketAddr),
    /// No port could be had.
    MediaFailed,
    /// The endpoint named the dialog of our INVITE, or could not send it.
    Invited(Option<DialogKey>),
    /// From the endpoint.
    Ua(UaEvent),
    /// From the shard: a key.
    Key(Key, KeySource),
    /// From the shard: a play ended.
    PlayDone(PlayToken),
    /// From the shard: no RTP for too long.
    Silent,
    /// From the shard: figures.
    Report(LegReport),
    /// From the shard: the trunk leg is off, with its last figures.
    TrunkDetached(LegReport),
    /// From the shard: what a browser's line met.
    Line(TransportEvent),
    /// From the shard: its work panicked.
    Failed,
    /// From the backend: a step on the way in.
    Progress(JoinStep),
    /// From the backend: an occupant of the room, under this address.
    Occupant(String),
    /// From the backend: in the room.
    Joined(RoomFacts),
    /// From the backend: others came or went.
    Members(MemberChange, RoomFacts),
    /// From the backend: somebody in the conference did something.
    Moderated(Moderation),
    /// From the backend: somebody in the room pressed a key for the phone.
    RoomKey(Press),
    /// From the backend: out of the room.
    Left(EndReason),
}

/// What a call asks of those around it.
pub enum CallOutput {
    /// To the endpoint.
    Ua(UaCommand),
    /// To the endpoint: call out; answered by [`CallInput::Invited`].
    Invite(Box<OutgoingInvite>),
    /// To the shard.
    Media(ToMedia),
    /// The ports are not needed any more.
    CloseMedia,
    /// To a backend: a seat.
    OpenLeg(Box<SeatWish>),
    /// To the backend that holds our seat.
    Leg(LegCommand),
    /// To be counted: an INFO said nothing that we know.
    InfoNotKnown,
    /// To the owner. `CallEnded` is the last output of a call.
    Event(Event),
}

/// A seat in a conference is wanted.
pub struct SeatWish {
    /// Name of the backend.
    pub backend: String,
    /// What for.
    pub request: JoinRequest,
    /// Dice of the leg.
    pub rng: Rng,
}

/// Where a call stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for its ports.
    Opening(Option<Birth>),
    /// The owner decides where it goes.
    Routing,
    /// Our INVITE is out.
    Calling,
    /// In the room or on the way there; the phone rings, or will.
    Dialling(Box<Dial>),
    /// The phone did not answer, for that reason; the people in the room read it.
    Lingering(EndReason),
    /// A question is put, or will be as soon as the caller can hear it.
    Asking(Box<Asking>),
    /// The owner decides about an answer.
    Deciding,
    /// A seat was asked for, or will be as soon as the sound is there.
    Joining,
    /// In the room.
    Joined,
    /// Last words.
    Ending(Vec<PromptId>),
    /// The trunk leg is over; its media half is on its way back.
    Closing,
    /// `CallEnded` was said.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The owner's answer.
    Owner,
    /// Begin to speak though no ACK came.
    AckPatience,
    /// The question's patience.
    Question,
    /// The last words, then the pause before BYE.
    LastWords,
    /// The call's length.
    Length,
    /// Keys of a call of ours.
    SendKeys,
    /// Alone in the room: the phone rings all the same.
    DialAlone,
    /// A failed call was seen long enough.
    Linger,
    /// Nobody else came into the room.
    Company,
    /// Nobody did so far, and the phone has rung long enough.
    AnswerAlone,
    /// Another 180.
    RingAgain,
    /// The media half does not come back.
    Detach,
}

fn why(timer: Timer) -> Why {
    Why(match timer {
        Timer::Owner => "call.owner_answers",
        Timer::AckPatience => "call.ack_patience",
        Timer::Question => "call.question",
        Timer::LastWords => "call.last_words",
        Timer::Length => "call.length_max",
        Timer::SendKeys => "call.send_keys",
        Timer::DialAlone => "call.dial_alone",
        Timer::Linger => "call.linger",
        Timer::Company => "call.company",
        Timer::AnswerAlone => "call.answer_alone",
        Timer::RingAgain => "call.ring_again",
        Timer::Detach => "call.detach_patience",
    })
}

/// One call.
pub struct Call {
    pub(super) key: CallKey,
    pub(super) shard: ShardId,
    pub(super) settings: Arc<CallSettings>,
    pub(super) policy: SdpPolicy,
    pub(super) manners: TrunkManners,
    /// What we and a program behind the trunk tell each other.
    pub(super) info: Option<InfoTalk>,
    pub(super) rng: Rng,
    pub(super) story: Story,
    pub(super) stage: Stage,
    pub(super) reason: Option<EndReason>,
    /// The front leg of a phone; of a browser it is in `browser`.
    pub(super) trunk: Option<TrunkSignal>,
    pub(super) browser: BrowserSeat,
    pub(super) session: Option<RtpSession>,
    pub(super) timers: Timers<Timer>,
    pub(super) sound: Sound,
    pub(super) key_filter: KeyFilter,
    pub(super) menu: Menu,
    /// Keys before their question.
    pub(super) typed: ArrayVec<Key, DIGITS_BUFFERED_MAX>,
    /// An answer was complete without `#`: one that comes late belongs to it.
    pub(super) swallow_hash: bool,
    pub(super) language: Language,
    pub(super) route: Option<Box<Route>>,
    /// Where he was before he was moved, until he is where he should be.
    pub(super) came_from: Option<Box<Route>>,
    /// It rings until somebody else is in the room.
    pub(super) ringing: Option<Ringing>,
    /// The old seat is being left for a new one.
    pub(super) is_moving: bool,
    pub(super) keys_to_send: Option<(Duration, Digits)>,
    pub(super) is_quiet: bool,
    /// The room is told how far our call is: it joined first, and has not moved since.
    pub(super) tells_status: bool,
    /// The caller can hear us.
    pub(super) is_audible: bool,
    pub(super) is_attached: bool,
    pub(super) is_media_open: bool,
    /// The backend holds a seat for us, with media that knows these codecs.
    pub(super) seat: Option<Vec<CodecKind>>,
    pub(super) members: usize,
    pub(super) is_held: bool,
    pub(super) is_muted: bool,
    pub(super) has_hand_raised: bool,
    /// A visitor of his meeting.
    pub(super) listens_only: bool,
    pub(super) outputs: VecDeque<CallOutput>,
}

impl Call {
    /// A call that waits for its ports.
    pub fn new(
        at: Moment,
        key: CallKey,
        (trunk, policy, manners): (TrunkId, SdpPolicy, TrunkManners),
        shard: ShardId,
        birth: Birth,
        settings: Arc<CallSettings>,
        rng: Rng,
    ) -> Self {
        let sound = Sound::new(key, settings.clips.clone());
        let browser = BrowserSeat::new(&birth);
        let info = manners.info.map(|manners| InfoTalk::new(manners, rng.fork("info")));
        Self {
            key,
            shard,
            policy,
            manners,
            info,
            rng,
            story: Story::new(at, trunk, &birth),
            stage: Stage::Opening(Some(birth)),
            reason: None,
            trunk: None,
            browser,
            session: None,
            timers: Timers::default(),
            sound,
            settings,
            key_filter: KeyFilter::default(),
            menu: Menu::default(),
            typed: ArrayVec::new(),
            swallow_hash: false,
            language: Language::default(),
            route: None,
            came_from: None,
            ringing: None,
            is_moving: false,
            keys_to_send: None,
            is_quiet: false,
            tells_status: false,
            is_audible: false,
            is_attached: false,
            is_media_open: false,
            seat: None,
            members: 0,
            is_held: false,
            is_muted: false,
            has_hand_raised: false,
            listens_only: false,
            outputs: VecDeque::new(),
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, at: Moment, input: CallInput) {
        match input {
            CallInput::MediaOpened(address) => self.media_opened(at, address),
            CallInput::MediaFailed => self.end(at, EndReason::NoResources),
            CallInput::Invited(Some(dialog)) => {
                if let Some(trunk) = &mut self.trunk {
                    trunk.set_dialog(dialog);
                }
            }
            CallInput::Invited(None) => self.trunk_over(at, EndReason::NoResources, None),
            CallInput::Ua(event) => self.ua_event(at, event),
            CallInput::Key(key, source) => self.key_arrived(at, key, source),
            CallInput::PlayDone(token) => self.play_done(at, token),
            // Before the answer nobody needs to say anything.
            CallInput::Silent if self.is_held || self.is_unanswered_dial() => {}
            CallInput::Silent => self.end(at, EndReason::MediaTimeout),
            CallInput::Report(report) => self.story.report = report,
            CallInput::TrunkDetached(report) => self.trunk_detached(at, report),
            CallInput::Line(event) => self.line_event(event),
            CallInput::Failed => self.end(at, EndReason::Bug),
            CallInput::Progress(step) => self.join_progress(at, step),
            CallInput::Occupant(address) => {
                self.occupant(address);
                self.let_in(at);
            }
            CallInput::Joined(facts) => self.joined(at, facts),
            CallInput::Members(change, facts) => self.members_changed(at, change, facts),
            CallInput::Moderated(what) => self.moderated(what),
            CallInput::RoomKey(press) => self.room_key(at, press),
            CallInput::Left(reason) => self.left_room(at, reason),
        }
        self.drain(at);
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, at: Moment) {
        while let Some(timer) = self.timers.pop_due(at.now) {
            match timer {
                Timer::Owner => self.end(at, EndReason::ServiceUnavailable),
                Timer::AckPatience => self.become_audible(at),
                Timer::Question => self.question_timeout(at),
                Timer::LastWords => self.hang_up(at),
                Timer::Length => self.end(at, EndReason::TooLong),
                Timer::SendKeys => self.send_keys(at),
                Timer::DialAlone => self.ring_phone(at),
                Timer::Linger => self.lingered(at),
                Timer::Company => self.nobody_came(at),
                Timer::AnswerAlone => self.answer_alone(at),
                Timer::RingAgain => self.ring(at),
                Timer::Detach => self.finish(at),
            }
        }
        self.info_timeout(at);
        self.drain(at);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<CallOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        earliest(self.timers.next(why), self.info_deadline())
    }

    /// The call as it stands.
    pub fn snapshot(&self, now: Instant) -> CallSnapshot {
        let ago = |moment: Moment| now.saturating_duration_since(moment.now);
        CallSnapshot {
            call: self.key,
            direction: self.story.direction,
            trunk: self.story.trunk,
            shard: self.shard,
            call_id: self.story.call_id.clone(),
            caller: self.story.caller.clone(),
            dialled: self.story.dialled.clone(),
            state: self.stage.name(),
            room: self.route.as_ref().map(|route| route.room.clone()),
            note: self.route.as_ref().and_then(|route| route.note.clone()),
            language: self.language,
            started: self.story.started,
            answered_for: self.story.answered.map(ago),
            joined_for: self.story.joined.map(ago),
            muted: self.is_muted,
            hand_raised: self.has_hand_raised,
            held_by_peer: self.is_held,
            codec: self.session.as_ref().map(|session| session.send_codec),
            report: self.story.report,
            ending: self.reason,
        }
    }

    /// `CallEnded` was said.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Its trunk.
    pub fn trunk_id(&self) -> TrunkId {
        self.story.trunk
    }

    /// Its shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The one place where a call moves on.
    pub(super) fn enter(&mut self, stage: Stage, cause: &'static str) {
        let (from, to) = (self.stage.name(), stage.name());
        debug!(call = %self.key, from, to, cause);
        self.stage = stage;
    }

    /// Everything our children have to say.
    pub(super) fn drain(&mut self, at: Moment) {
        self.drain_info(at);
        self.drain_trunk(at);
        self.drain_browser(at);
        while let Some(output) = self.sound.poll_output() {
            let is_heard = !self.is_silent() || matches!(output, ToMedia::StopPlay { .. });
            if self.is_attached && is_heard {
                self.outputs.push_back(CallOutput::Media(output));
            }
        }
        match &self.stage {
            Stage::Asking(asking) => match asking.deadline() {
                Some(deadline) => self.timers.set(Timer::Question, deadline),
                None => self.timers.clear(Timer::Question),
            },
            _ => self.timers.clear(Timer::Question),
        }
    }

    /// To the shard, once it has our leg.
    pub(super) fn media(&mut self, command: ToMedia) {
        if self.is_attached {
            self.outputs.push_back(CallOutput::Media(command));
        }
    }
}

impl Stage {
    /// For logs and snapshots.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Opening(_) => "Opening",
            Self::Routing => "Routing",
            Self::Calling => "Calling",
            Self::Dialling(_) => "Dialling",
            Self::Lingering(_) => "Lingering",
            Self::Asking(_) => "Asking",
            Self::Deciding => "Deciding",
            Self::Joining => "Joining",
            Self::Joined => "Joined",
            Self::Ending(_) => "Ending",
            Self::Closing => "Closing",
            Self::Over => "Over",
        }
    }
}

/// The codec towards the phone first, then the others it may send.
pub(super) fn codecs_of(session: &RtpSession) -> Vec<CodecKind> {
    let mut codecs = vec![session.send_codec];
    for (_, codec) in &session.receive {
        if !codecs.contains(codec) {
            codecs.push(*codec);
        }
    }
    codecs
}
