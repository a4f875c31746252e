//! Floor 4: one call, from INVITE to CDR: one trunk leg and at most one conference leg. Start reading in [`machine`].

pub mod asking;
pub mod browser;
mod dialling;
mod ending;
pub mod event;
pub mod info;
pub mod keys;
mod line;
pub mod machine;
mod moving;
mod outside;
mod ringing;
pub mod snapshot;
pub mod sound;
pub mod story;
mod talk;
mod typing;
mod visitor;

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::base::ids::{CallKey, QuestionId, TrunkId};
use crate::base::limits::DIGITS_BUFFERED_MAX;
use crate::base::pii::Pii;
use crate::base::time::WallClock;
use crate::leg::backend::{Entry, Role, RoomName, RoomPolicy};
use crate::leg::end_reason::EndReason;
use crate::media::clip::Language;
use crate::media::clip::prompt::PromptId;
use crate::media::codec::CodecKind;
use crate::media::quality::LegReport;

/// One moment on both clocks: deadlines follow `now`, records are dated by `wall`.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For deadlines.
    pub now: Instant,
    /// For records.
    pub wall: WallClock,
}

/// A question put to a caller: words, then digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Comes back with the answer.
    pub id: QuestionId,
    /// Words first; the first key stops them (barge-in). Digits typed before count.
    pub words: Vec<PromptId>,
    /// Language of the words.
    pub language: Language,
    /// Complete at this many digits, after 1.5 s of quiet.
    pub digits_max: u8,
    /// Patience for the first digit, from the end of the words.
    pub first_digit: Duration,
    /// Patience between digits.
    pub between_digits: Duration,
}

/// Digits of an answer in ASCII (`b'0'` to `b'9'`), without `#` and what `*` cleared. As keys to be dialled (see
/// [`event::Command::Dial`]) also `*` and `#`, and commas for pauses.
pub type Digits = ArrayVec<u8, DIGITS_BUFFERED_MAX>;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEnd {
    /// `#`, or full length and quiet.
    Complete,
    /// Patience ran out between digits: what was typed so far.
    Paused,
    /// Nothing was typed.
    Nothing,
}

/// Where a call goes.
#[derive(Clone, Debug)]
pub struct Route {
    /// Name of the backend; the embedded rooms are `room`.
    pub backend: String,
    /// Room.
    pub room: RoomName,
    /// Standing.
    pub role: Role,
    /// Label others see.
    pub label: Pii<String>,
    /// Language of words to this caller.
    pub language: Language,
    /// Policy of the room.
    pub policy: RoomPolicy,
    /// Ends the call, spoken, after this long in all; `None`: the gateway's maximum.
    pub length_max: Option<Duration>,
    /// Free text for the CDR, for example the PIN's id. Never the PIN.
    pub note: Option<String>,
    /// What he brings to the door.
    pub entry: Entry,
}

/// How the calls of a trunk are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrunkManners {
    /// A program behind it (an IVR) is told and tells in JSON by SIP INFO what happens; `None`: there is none.
    pub info: Option<info::InfoManners>,
    /// Once a caller is sent into a room the program has the words: nothing of ours is played to him.
    pub is_silent: bool,
    /// Whatever keeps a caller out of his room before the answer is 486, as such programs expect of Jigasi.
    pub busy_for_all: bool,
    /// Whoever rings at a full room is refused with 486, and not answered for the words that say so.
    pub full_is_refused: bool,
}

/// Direction of a call, seen from the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallDirection {
    /// A phone called us.
    Inbound,
    /// We called.
    Outbound,
}

/// Everything about a call that ended, for the CDR and metrics.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The call.
    pub call: CallKey,
    /// Direction.
    pub direction: CallDirection,
    /// Trunk.
    pub trunk: TrunkId,
    /// `Call-ID`.
    pub call_id: String,
    /// Caller's number.
    pub caller: Pii<String>,
    /// What was dialled.
    pub dialled: Pii<String>,
    /// Room, if one was entered.
    pub room: Option<RoomName>,
    /// Note of the route.
    pub note: Option<String>,
    /// When the INVITE came or went.
    pub started: WallClock,
    /// When the 200 was sent or came.
    pub answered: Option<WallClock>,
    /// The phone that we called rang, or so its network said (180 to 183).
    pub rang: bool,
    /// When the room was joined.
    pub joined: Option<WallClock>,
    /// When it ended.
    pub ended: WallClock,
    /// Why.
    pub reason: EndReason,
    /// Final SIP status.
    pub status: Option<u16>,
    /// Codec of the phone.
    pub codec: Option<CodecKind>,
    /// Last figures of the trunk leg.
    pub report: LegReport,
}
