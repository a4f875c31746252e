//! The reception desk of a workspace: which meetings go on, what their replies say, who was told what. No socket, no clock.
//!
//! Each meeting has a wish (what should be shown, who should be told) and a state (what is). After every input `steps`
//! finds the next request that brings the state nearer to the wish, one at a time per meeting, so that a lost answer, a
//! restart or an outage is made good by the same rule that does the first post.
//!
//!   heard -> record read -> ours? -> PIN -> reply shown -> room gone -> PIN dead, reply closed -> room back -> PIN ...

mod ask;
mod meeting;
mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::Why;
use gateway_core::leg::backend::RoomName;
use gateway_core::media::clip::Language;
use serde_json::Value;

use self::ask::Throttle;
use self::meeting::Meeting;
use super::api::{Api, ApiFailure, CallRecord};
use super::call_me::CallMe;
use super::heard::{self, Heard, Words};
use super::ids::Id;
use super::room::Origin;
use crate::pin::key::PinKey;

/// What a workspace's desk must know.
#[derive(Clone, Debug)]
pub struct DeskSettings {
    /// Name of the workspace in the configuration.
    pub name: String,
    /// Which rooms are ours.
    pub origin: Origin,
    /// Telephone numbers to show, the usual one first.
    pub numbers: Vec<String>,
    /// Language of what we write.
    pub language: Language,
    /// A reply under the message of each call; else only who asks is told.
    pub announce: bool,
    /// What becomes of the reply when the meeting is over.
    pub on_end: OnEnd,
    /// Words we listen to.
    pub words: Words,
    /// Who may be called, where calls out are allowed at all.
    pub call_me: Option<CallMe>,
    /// Path of the workspace's incoming webhook, for rooms where the bot may not write.
    pub hook: Option<Pii<String>>,
    /// Makes the ids of our replies, so that the same call has the same reply after a restart.
    pub key: PinKey,
}

/// What becomes of a reply when its meeting is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// It says so.
    Edit,
    /// It goes.
    Delete,
}

/// A PIN of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingPin {
    /// Digits.
    pub digits: Pii<String>,
}

/// What the owner must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Ask the workspace; the answer comes by [`Desk::answered`].
    Ask {
        /// Comes back.
        ticket: u64,
        /// What.
        api: Api,
    },
    /// Draw a PIN for this room; the answer comes by [`Desk::minted`].
    Mint {
        /// Comes back.
        ticket: u64,
        /// Room.
        room: RoomName,
    },
    /// Look from now on whether anybody is in the room.
    Watch(RoomName),
    /// No longer.
    Unwatch(RoomName),
    /// The meeting is over: its PINs end.
    Over(RoomName),
    /// Call a number into the room; the answer comes by [`Desk::dialled`].
    Dial {
        /// Comes back.
        ticket: u64,
        /// `+` and digits.
        number: Pii<String>,
        /// Room.
        room: RoomName,
    },
}

/// Whether a room exists on the Jitsi side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Somebody is there.
    Live,
    /// Nobody.
    Gone,
}

gateway_core::counters! {
    /// What a desk did.
    pub struct DeskCounters {
        /// Meetings heard of in Rocket.Chat, by stream, by question or after an outage.
        rocketchat_meetings,
        /// Calls of Rocket.Chat that are not ours: other provider, host or prefix.
        rocketchat_meetings_foreign,
        /// Replies with number and PIN that were shown.
        rocketchat_replies_shown,
        /// Replies that were closed at the end of their meeting.
        rocketchat_replies_closed,
        /// Meetings that went on after their reply was closed.
        rocketchat_meetings_reopened,
        /// Questions of users.
        rocketchat_questions,
        /// Questions left unanswered because one user asked too much.
        rocketchat_questions_throttled,
        /// Requests to Rocket.Chat that failed and were tried again.
        rocketchat_requests_failed,
        /// Requests that Rocket.Chat refused for good.
        rocketchat_requests_refused,
        /// Calls out that users asked for and got.
        rocketchat_calls_out,
    }
}

/// The desk.
#[derive(Debug)]
pub struct Desk {
    settings: DeskSettings,
    meetings: BTreeMap<Id, Meeting>,
    /// What each ticket waits for.
    tickets: BTreeMap<u64, Waiting>,
    ticket: u64,
    /// Questions that wait for something.
    questions: BTreeMap<u64, ask::Question>,
    answered: VecDeque<Id>,
    throttle: Throttle,
    /// Rooms still to be looked at after an outage, and when the next.
    missed: VecDeque<Id>,
    missed_at: Option<Instant>,
    /// What users could not be told yet, and when it is tried again.
    untold: Vec<(Instant, Api, u32)>,
    orders: VecDeque<Order>,
    rng: Rng,
    counters: DeskCounters,
    trouble: Option<String>,
}

/// What an answer is for.
#[derive(Clone, Debug)]
enum Waiting {
    /// The step of a meeting.
    Step(Id),
    /// A part of a question.
    Question(u64),
    /// Rooms that saw something during an outage.
    Missed,
    /// Calls of one of them.
    MissedCalls,
    /// Somebody was told something: what, and how often it was tried.
    Told(Api, u32),
}

impl Desk {
    /// An empty desk.
    pub fn new(settings: DeskSettings, rng: &Rng) -> Self {
        Self {
            settings,
            meetings: BTreeMap::new(),
            tickets: BTreeMap::new(),
            ticket: 0,
            questions: BTreeMap::new(),
            answered: VecDeque::new(),
            throttle: Throttle::default(),
            missed: VecDeque::new(),
            missed_at: None,
            untold: Vec::new(),
            orders: VecDeque::new(),
            rng: rng.fork("rocketchat/desk"),
            counters: DeskCounters::default(),
            trouble: None,
        }
    }

    /// Something was heard on the line or came by webhook.
    pub fn heard(&mut self, now: Instant, heard: Heard) {
        match heard {
            Heard::Meeting(heard::Meeting { call, room, message }) => {
                // The message comes again with each reply below it: a call is heard once.
                if !self.meetings.contains_key(&call) {
                    self.counters.rocketchat_meetings += 1;
                    self.keep(now, Meeting::heard(now, call, room, message));
                }
            }
            Heard::Ask(ask) => self.asked(now, ask),
        }
        self.steps(now);
    }

    /// The line is up. What was started while it was away is looked for; `since` is RFC 3339.
    pub fn line_up(&mut self, since: String) {
        let ticket = self.ticket(Waiting::Missed);
        self.orders.push_back(Order::Ask { ticket, api: Api::RoomsSince(since) });
    }

    /// An answer of the workspace.
    pub fn answered(&mut self, now: Instant, ticket: u64, answer: Result<Value, ApiFailure>) {
        self.note(&answer);
        match self.tickets.remove(&ticket) {
            Some(Waiting::Step(call)) => self.step_answered(now, &call, answer),
            Some(Waiting::Question(question)) => self.question_answered(now, question, answer),
            Some(Waiting::Missed) => {
                let rooms = answer.map(|answer| super::api::rooms(&answer)).unwrap_or_default();
                self.missed = rooms.into();
                self.missed_at = (!self.missed.is_empty()).then_some(now);
            }
            Some(Waiting::MissedCalls) => {
                let records = answer.map(|answer| super::api::call_records(&answer));
                for record in records.unwrap_or_default() {
                    self.found(now, record);
                }
            }
            Some(Waiting::Told(api, tries)) => self.was_told(now, api, tries, answer),
            None => {}
        }
        self.steps(now);
    }

    /// The registry's answer.
    pub fn minted(&mut self, now: Instant, ticket: u64, pin: Result<MeetingPin, String>) {
        if let Some(Waiting::Step(call)) = self.tickets.remove(&ticket) {
            self.step_minted(now, &call, pin);
        }
        self.steps(now);
    }

    /// What became of a call out.
    pub fn dialled(&mut self, now: Instant, ticket: u64, done: Result<(), String>) {
        if let Some(Waiting::Question(question)) = self.tickets.remove(&ticket) {
            self.question_dialled(question, done);
        }
        self.steps(now);
    }

    /// What the Jitsi side says of a room that is watched.
    pub fn presence(&mut self, now: Instant, room: &RoomName, presence: Presence) {
        // Several calls may share a room that people named: the newest one stands for it.
        let of_room = self.meetings.values_mut().filter(|it| it.room() == Some(room));
        if let Some(meeting) = of_room.max_by_key(|it| it.since)
            && meeting.presence(now, presence)
        {
            self.counters.rocketchat_meetings_reopened += 1;
        }
        self.steps(now);
    }

    /// The meeting is over, as somebody who must know says.
    pub fn meeting_over(&mut self, now: Instant, room: &RoomName) {
        for meeting in self.meetings.values_mut().filter(|it| it.room() == Some(room)) {
            meeting.end();
        }
        self.steps(now);
    }

    /// A deadline may have come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.missed_at.is_some_and(|at| at <= now) {
            self.missed_at = None;
            if let Some(room) = self.missed.pop_front() {
                let ticket = self.ticket(Waiting::MissedCalls);
                self.orders.push_back(Order::Ask { ticket, api: Api::CallsOf(room) });
                self.missed_at = (!self.missed.is_empty()).then_some(now + MISSED_PACE);
            }
        }
        let (due, later) = std::mem::take(&mut self.untold).into_iter().partition(|it| it.0 <= now);
        self.untold = later;
        let due: Vec<(Instant, Api, u32)> = due;
        for (_, api, tries) in due {
            self.try_to_tell(api, tries);
        }
        for meeting in self.meetings.values_mut() {
            meeting.grown_old(now);
        }
        self.steps(now);
    }

    /// What the owner must do next.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let meetings = self.meetings.values().filter_map(Meeting::wake);
        let missed = self.missed_at.map(|at| (at, Why("rocketchat.missed")));
        let untold = self.untold.iter().map(|(at, ..)| (*at, Why("rocketchat.tell_again")));
        meetings.chain(missed).chain(untold).min_by_key(|(at, _)| *at)
    }

    /// What was counted.
    pub fn counters(&self) -> &DeskCounters {
        &self.counters
    }

    /// What somebody should mend: a sentence.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Meetings with a reply that is open, or that somebody may still ask for.
    pub fn open(&self) -> usize {
        self.meetings.values().filter(|it| it.is_open()).count()
    }

    /// The room in which a user is told of a call that was found by asking, not heard.
    fn found(&mut self, now: Instant, record: CallRecord) -> Option<Id> {
        let call = record.call.clone();
        if !self.meetings.contains_key(&call) {
            if record.is_over {
                return None;
            }
            self.counters.rocketchat_meetings += 1;
            self.keep(now, Meeting::found(now, &record));
            self.learn(&call, &record);
        }
        Some(call)
    }

    fn keep(&mut self, now: Instant, meeting: Meeting) {
        if self.meetings.len() >= MEETINGS_MAX {
            let oldest = |open: bool| {
                let kept = self.meetings.iter().filter(|(_, it)| open || !it.is_open());
                kept.min_by_key(|(_, it)| it.since).map(|(call, _)| call.clone())
            };
            if let Some(call) = oldest(false).or_else(|| oldest(true)) {
                self.forget(&call);
            }
        }
        debug_assert!(self.meetings.len() < MEETINGS_MAX && meeting.since <= now);
        self.meetings.insert(meeting.call.clone(), meeting);
    }

    fn forget(&mut self, call: &Id) {
        let Some(meeting) = self.meetings.remove(call) else { return };
        let shared = |room| self.meetings.values().any(|other| other.room() == Some(room));
        if let Some(room) = meeting.room().filter(|room| !shared(room)) {
            self.orders.push_back(Order::Unwatch(room.clone()));
        }
    }

    fn ticket(&mut self, waiting: Waiting) -> u64 {
        self.ticket += 1;
        self.tickets.insert(self.ticket, waiting);
        self.ticket
    }

    /// Refusals that only a person can mend are kept until something works again.
    fn note(&mut self, answer: &Result<Value, ApiFailure>) {
        match answer {
            Ok(_) => self.trouble = None,
            Err(
                failure @ (ApiFailure::TokenRefused
                | ApiFailure::SecondFactor
                | ApiFailure::Limited(_)),
            ) => {
                self.trouble = Some(failure.to_string());
            }
            Err(ApiFailure::Refused(_)) => self.counters.rocketchat_requests_refused += 1,
            Err(ApiFailure::Later(_)) => self.counters.rocketchat_requests_failed += 1,
        }
    }
}

/// Meetings that are remembered. A workspace of thousands has a few dozen at once; older ones are over.
const MEETINGS_MAX: usize = 1_000;
/// After an outage one room is asked for its calls in this time: the server allows 3 a second.
const MISSED_PACE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
