//! One meeting as the desk knows it: what is, what should be, and when it is looked at again.

use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_core::base::time::Why;
use gateway_core::leg::backend::RoomName;

use super::super::api::CallRecord;
use super::super::ids::Id;
use super::{MeetingPin, Presence};

/// A meeting.
#[derive(Debug)]
pub(super) struct Meeting {
    pub call: Id,
    /// Room of the chat.
    pub chat_room: Id,
    /// The message with the button.
    pub message: Option<Id>,
    pub facts: Facts,
    pub pin: Option<MeetingPin>,
    pub shown: Shown,
    /// The step under way.
    pub step: Option<Step>,
    pub failures: u32,
    pub retry_at: Option<Instant>,
    /// When we heard of it.
    pub since: Instant,
    /// It is known to go on: heard of at its start, or seen on the Jitsi side.
    pub confirmed: bool,
    pub over: bool,
    /// The end was told to the registry.
    pub over_told: bool,
    /// Who wants number and PIN.
    pub askers: Vec<Asker>,
    seen_live: bool,
    gone_since: Option<Instant>,
}

/// What its record said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Facts {
    /// Not read yet.
    Unknown,
    /// One of ours.
    Ours {
        /// Its Jitsi room.
        room: RoomName,
    },
    /// Not ours.
    Foreign,
}

/// What stands under its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing, as far as we know.
    Nothing,
    /// Perhaps something of before our start: writing was refused.
    Perhaps,
    /// Nothing of ours, or of an earlier run: the meeting was found, not heard.
    Unknown,
    /// Number and PIN.
    Open,
    /// That it is over.
    Closed,
    /// Editing was refused.
    Stuck,
    /// Writing was refused: the incoming webhook may.
    Refused,
    /// Number and PIN, written by the incoming webhook: it cannot be changed.
    ByHook,
    /// There is no way to write there.
    NoWay,
}

/// A request for a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Read,
    Mint,
    Reply,
    Reshow,
    Close,
    Remove,
    HookReply,
    HookClose,
    CloseOld,
}

/// Where a user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// By his name.
    User(Pii<String>),
    /// In the direct room with us.
    Room(Id),
}

impl Meeting {
    /// Heard at its start.
    pub fn heard(now: Instant, call: Id, chat_room: Id, message: Id) -> Self {
        Self { message: Some(message), confirmed: true, ..Self::new(now, call, chat_room) }
    }

    /// Found by asking; it may have ended long ago.
    pub fn found(now: Instant, record: &CallRecord) -> Self {
        let message = record.message.clone();
        let new = Self::new(now, record.call.clone(), record.room.clone());
        Self { message, shown: Shown::Unknown, ..new }
    }

    fn new(now: Instant, call: Id, chat_room: Id) -> Self {
        Self {
            call,
            chat_room,
            message: None,
            facts: Facts::Unknown,
            pin: None,
            shown: Shown::Nothing,
            step: None,
            failures: 0,
            retry_at: None,
            since: now,
            confirmed: false,
            over: false,
            over_told: false,
            askers: Vec::new(),
            seen_live: false,
            gone_since: None,
        }
    }

    /// Its Jitsi room, if it is ours.
    pub fn room(&self) -> Option<&RoomName> {
        match &self.facts {
            Facts::Ours { room } => Some(room),
            Facts::Unknown | Facts::Foreign => None,
        }
    }

    /// Whether it goes on as far as we know.
    pub fn is_open(&self) -> bool {
        !self.over && self.facts != Facts::Foreign
    }

    /// What the Jitsi side says; true if a meeting that was over goes on.
    pub fn presence(&mut self, now: Instant, presence: Presence) -> bool {
        match presence {
            Presence::Live => {
                (self.seen_live, self.confirmed, self.gone_since) = (true, true, None);
                self.over_told = false;
                std::mem::take(&mut self.over)
            }
            Presence::Gone => {
                let gone = now.saturating_duration_since(*self.gone_since.get_or_insert(now));
                // A call that was found may have ended while nobody looked.
                if (self.seen_live || !self.confirmed) && gone >= GONE_FOR {
                    self.end();
                }
                false
            }
        }
    }

    /// It is over.
    pub fn end(&mut self) {
        (self.over, self.failures, self.retry_at) = (true, 0, None);
    }

    /// A newer call has its room: its end is not told, for the PIN is the room's.
    pub fn give_way(&mut self) {
        self.end();
        self.over_told = true;
        self.pin = None;
    }

    /// Nobody came for long, or the call has expired in Rocket.Chat too.
    pub fn grown_old(&mut self, now: Instant) {
        if !self.over && self.ends_at().is_some_and(|at| at <= now) {
            self.end();
        }
    }

    /// When it is looked at again.
    pub fn wake(&self) -> Option<(Instant, Why)> {
        if self.facts == Facts::Foreign {
            return None;
        }
        let retry = self.retry_at.map(|at| (at, Why("rocketchat.retry")));
        let end =
            self.ends_at().filter(|_| !self.over).map(|at| (at, Why("rocketchat.nobody_came")));
        retry.into_iter().chain(end).min_by_key(|(at, _)| *at)
    }

    fn ends_at(&self) -> Option<Instant> {
        let patience = if self.seen_live { EXPIRES } else { NOBODY_CAME };
        self.since.checked_add(patience)
    }

    /// Nothing more will be asked for it.
    pub fn has_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= EXPIRES
    }
}

/// A room that is empty for so long is over: who reloads his page is back sooner.
const GONE_FOR: Duration = Duration::from_secs(20);
/// A call that nobody joins for so long is over. If somebody comes later, it opens again.
const NOBODY_CAME: Duration = Duration::from_secs(1_800);
/// Rocket.Chat itself lets calls expire after a day.
const EXPIRES: Duration = Duration::from_secs(86_400);
