//! What the core tells and asks its owner (the daemon, the simulator), and what the owner answers. Core asks,
//! the owner answers with a command: there is no callback, and no type of the owner in the core.

use std::time::Duration;

use crate::base::ids::{CallKey, QuestionId, TrunkId};
use crate::base::pii::Pii;
use crate::call::{AnswerEnd, CallRecord, Digits, Question, Route};
use crate::leg::backend::RoomName;
use crate::leg::browser::offer::BrowserOffer;
use crate::leg::end_reason::EndReason;
use crate::media::clip::Language;
use crate::media::clip::prompt::PromptId;
use crate::sip::endpoint::InviteFacts;
use crate::sip::reach::NameState;
use crate::sip::registration::RegistrationState;

/// What the core tells or asks its owner.
#[derive(Debug)]
pub enum Event {
    /// A call came in: answer with [`Command::Route`], [`Command::Ask`], [`Command::SayAndEnd`] or [`Command::End`].
    /// Without an answer within 10 s the call ends with `ServiceUnavailable`.
    RouteNeeded {
        /// The call.
        call: CallKey,
        /// The trunk.
        trunk: TrunkId,
        /// Facts of the INVITE.
        facts: Box<InviteFacts>,
    },
    /// The caller answered a question. Answer as for `RouteNeeded`.
    Answered {
        /// The call.
        call: CallKey,
        /// Which question.
        question: QuestionId,
        /// The digits.
        digits: Pii<Digits>,
        /// How it ended.
        end: AnswerEnd,
    },
    /// A browser's offer was answered ([`Command::JoinFromBrowser`]), or there will be no call.
    BrowserAnswered {
        /// Of the command.
        ticket: u64,
        /// The call and our SDP answer, or why not.
        answer: Result<(CallKey, String), EndReason>,
    },
    /// The call was answered (200 sent, or received for calls of ours).
    CallAnswered(CallKey),
    /// The caller is an occupant of a conference under this address (`room@rooms.example.org/nick`): told before there is
    /// sound, and again when he had to join anew under another. Embedded rooms have no addresses and never say so.
    CallOccupant(CallKey, String),
    /// The caller is in this room.
    CallJoined(CallKey, RoomName),
    /// The caller is out of this room and on his way into another ([`Command::Move`]); his call goes on.
    CallLeft(CallKey, RoomName),
    /// The caller muted (or unmuted) himself.
    CallMuted(CallKey, bool),
    /// The caller raised or lowered his hand.
    HandRaised(CallKey, bool),
    /// A trunk went up (with its round trip) or down.
    TrunkState(TrunkId, Option<Duration>),
    /// Our registration at a trunk's peer stands otherwise than before.
    TrunkRegistered(TrunkId, RegistrationState),
    /// The name of a trunk's peer has an address again, or no longer.
    TrunkName(TrunkId, NameState),
    /// Calls can be expected to work on a trunk, or no longer. Trunks not heard of are usable.
    TrunkUsable(TrunkId, bool),
    /// The call is over: the only event of its end.
    CallEnded(Box<CallRecord>),
}

/// Who is there first in a call of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialOrder {
    /// The phone is called, and joins the room when it answers.
    #[default]
    PhoneFirst,
    /// The room is joined, so that its people see whom they called; then the phone rings.
    RoomFirst(RoomFirst),
}

/// A call of ours that joins first: how long it tries, and how long its failure is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomFirst {
    /// CANCEL after this long without an answer.
    pub ring_max: Duration,
    /// A call that failed stays in the room for so long, so that its people see why.
    pub linger: Duration,
    /// One whose trunk failed (408, 5xx) before the phone rang, so long: nothing where its owner tries another trunk at once.
    pub linger_of_trunk: Duration,
    /// Where nobody else is in the room: the phone rings after this all the same. Who dialled is on his way in.
    pub alone_wait: Duration,
}

impl Default for RoomFirst {
    fn default() -> Self {
        Self {
            ring_max: Duration::from_secs(60),
            linger: Duration::from_secs(5),
            linger_of_trunk: Duration::from_secs(5),
            alone_wait: Duration::from_secs(2),
        }
    }
}

/// What the owner wants.
#[derive(Debug)]
pub enum Command {
    /// Into a room. Answers the call if it is not answered yet.
    Route {
        /// The call.
        call: CallKey,
        /// Where to.
        route: Box<Route>,
    },
    /// Ask the caller. Answers the call if it is not answered yet.
    Ask {
        /// The call.
        call: CallKey,
        /// What.
        question: Box<Question>,
    },
    /// Say words, then end the call.
    SayAndEnd {
        /// The call.
        call: CallKey,
        /// Words.
        words: Vec<PromptId>,
        /// Their language.
        language: Language,
        /// Why it ends.
        reason: EndReason,
    },
    /// End the call now: final response before the answer, words of the reason and BYE after it.
    End {
        /// The call.
        call: CallKey,
        /// Why.
        reason: EndReason,
    },
    /// Call out and join a room when answered.
    Dial {
        /// Trunk.
        trunk: TrunkId,
        /// Request-URI.
        target: String,
        /// From user.
        from_user: Pii<String>,
        /// From display name; empty: none.
        from_name: Pii<String>,
        /// Extra headers.
        headers: Vec<(String, Pii<String>)>,
        /// Room to join on answer.
        route: Box<Route>,
        /// Keys to send after the answer, with the pause before them (the test phone's PIN). A comma among them is a pause
        /// of 2 s.
        keys: Option<(Duration, Digits)>,
        /// Nothing of ours plays to the far side: no words, chimes or music (the test phone).
        quiet: bool,
        /// Who is there first.
        order: DialOrder,
    },
    /// A browser wants into a room; answered by [`Event::BrowserAnswered`]. The call is over, and its record told, when
    /// the browser says goodbye, is silent for 15 s, or has no keys within 20 s.
    JoinFromBrowser {
        /// Comes back with the answer.
        ticket: u64,
        /// What it offered.
        offer: Box<BrowserOffer>,
        /// Room to join.
        route: Box<Route>,
    },
    /// Mute a caller, or let him speak again.
    Mute {
        /// The call.
        call: CallKey,
        /// True: nothing of his goes into the room.
        muted: bool,
    },
    /// Take a caller who is in a room, or on his way, into another one. He hears words; his phone's leg stays as it is.
    /// Refused there at once (full, no host), he goes back to where he was; refused later, the call ends with words.
    /// Note and longest call stay as they were where the new route does not say them.
    Move {
        /// The call.
        call: CallKey,
        /// Where to.
        route: Box<Route>,
    },
    /// Let in a caller who waits for the host of an embedded room. Elsewhere a lobby is its moderators'.
    Admit(CallKey),
    /// Type keys into a call that is answered: telephone events where the far side takes them, tones where it does not.
    SendKeys {
        /// The call.
        call: CallKey,
        /// Keys: `0` to `9`, `*`, `#`, `A` to `D`; other bytes are left out.
        keys: Digits,
    },
    /// Take no new calls, of others or of ours.
    Drain,
}
