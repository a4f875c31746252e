//! Questions of users: `!dialin` in a room, anything said to the bot alone, `!callme`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use serde_json::Value;

use super::super::api::{self, Api, ApiFailure, CallRecord};
use super::super::heard::{Ask, Wish};
use super::super::ids::Id;
use super::super::words::Word;
use super::meeting::{Asker, Facts};
use super::{Desk, Order, Waiting};

/// A question that waits for something.
#[derive(Debug)]
pub(super) struct Question {
    ask: Ask,
    want: Want,
}

#[derive(Debug)]
enum Want {
    /// Calls of the room where it was asked.
    CallsOfRoom,
    /// Records of these many calls, to see in which the user is; and those found.
    Membership { waiting: usize, told: bool },
    /// His roles.
    Roles { number: Pii<String> },
    /// A call out.
    Dial,
}

impl Desk {
    /// Somebody asks.
    pub(super) fn asked(&mut self, now: Instant, ask: Ask) {
        if self.answered.contains(&ask.message) {
            return;
        }
        self.answered.push_back(ask.message.clone());
        if self.answered.len() > ANSWERED_KEPT {
            self.answered.pop_front();
        }
        self.counters.rocketchat_questions += 1;
        match self.throttle.ask(now, &ask.user) {
            Throttled::No => {}
            Throttled::TellHim => {
                self.counters.rocketchat_questions_throttled += 1;
                return self.say(back(&ask), Word::Busy);
            }
            Throttled::Silently => {
                self.counters.rocketchat_questions_throttled += 1;
                return;
            }
        }
        match ask.wish.clone() {
            Wish::DialIn if ask.direct => self.asked_alone(ask),
            Wish::DialIn => self.asked_in_room(ask),
            Wish::CallMe(number) => self.asked_for_call(&ask, &number),
        }
    }

    /// The newest meeting of the room, or the server's list of them.
    fn asked_in_room(&mut self, ask: Ask) {
        if let Some(call) = self.meeting_in(&ask.room) {
            return self.will_tell(&call, back(&ask));
        }
        let api = Api::CallsOf(ask.room.clone());
        self.question(ask, Want::CallsOfRoom, api);
    }

    /// The meetings in which the user is. Their records are read again: people come and go.
    fn asked_alone(&mut self, ask: Ask) {
        let mut calls: Vec<(Instant, Id)> = self
            .meetings
            .iter()
            .filter(|(_, it)| it.is_open() && it.room().is_some())
            .map(|(call, it)| (it.since, call.clone()))
            .collect();
        calls.sort_by(|a, b| b.cmp(a));
        calls.truncate(CALLS_LOOKED_AT);
        if calls.is_empty() {
            return self.say(back(&ask), Word::NoMeeting);
        }
        self.ticket += 1;
        let key = self.ticket;
        let want = Want::Membership { waiting: calls.len(), told: false };
        self.remember(key, Question { ask, want });
        for (_, call) in calls {
            let ticket = self.ticket(Waiting::Question(key));
            self.orders.push_back(Order::Ask { ticket, api: Api::Call(call) });
        }
    }

    fn asked_for_call(&mut self, ask: &Ask, number: &Pii<String>) {
        let Some(rules) = &self.settings.call_me else {
            return self.say(back(ask), Word::NoCallMe);
        };
        let Some(number) = rules.number(number.reveal()) else {
            return self.say(back(ask), Word::BadNumber);
        };
        let api = Api::User(ask.user.clone());
        self.question(ask.clone(), Want::Roles { number }, api);
    }

    /// The answer to a part of a question.
    pub(super) fn question_answered(
        &mut self,
        now: Instant,
        key: u64,
        answer: Result<Value, ApiFailure>,
    ) {
        let Some(mut question) = self.questions.remove(&key) else { return };
        match &mut question.want {
            Want::CallsOfRoom => self.calls_of_room(now, &question.ask, answer),
            Want::Membership { waiting, told } => {
                *waiting = waiting.saturating_sub(1);
                let record =
                    answer.ok().and_then(|it| api::call_record(it.get("data").unwrap_or(&it)));
                let record = record.filter(|record| record.users.contains(&question.ask.user));
                if let Some(CallRecord { call, .. }) = record {
                    *told = true;
                    self.will_tell(&call, back(&question.ask));
                }
                match (*waiting, *told) {
                    (0, true) => {}
                    (0, false) => self.say(back(&question.ask), Word::NoMeeting),
                    _ => self.remember(key, question),
                }
            }
            Want::Roles { number } => {
                let number = number.clone();
                let roles = answer.map(|answer| api::roles(&answer)).unwrap_or_default();
                self.call_out(now, question.ask, number, &roles);
            }
            Want::Dial => {}
        }
    }

    fn calls_of_room(&mut self, now: Instant, ask: &Ask, answer: Result<Value, ApiFailure>) {
        let records = match answer {
            Ok(answer) => api::call_records(&answer),
            Err(ApiFailure::Refused(_)) => Vec::new(),
            Err(_) => return self.say(back(ask), Word::Failed),
        };
        let newest = records.into_iter().find(|record| !record.is_over && record.room == ask.room);
        match newest.and_then(|record| self.found(now, record)) {
            Some(call) => self.will_tell(&call, back(ask)),
            None => self.say(back(ask), Word::NoMeeting),
        }
    }

    /// Role, caps, meeting: then the phone is called.
    fn call_out(&mut self, now: Instant, ask: Ask, number: Pii<String>, roles: &[String]) {
        let meeting = self.meeting_in(&ask.room);
        let room = meeting.and_then(|call| self.meetings.get(&call)?.room().cloned());
        let Some(rules) = &mut self.settings.call_me else { return };
        if !rules.allows(roles) {
            return self.say(back(&ask), Word::MayNot);
        }
        let Some(room) = room else { return self.say(back(&ask), Word::NoMeeting) };
        if !rules.count(now, &ask.user, &room) {
            return self.say(back(&ask), Word::Busy);
        }
        self.ticket += 1;
        let key = self.ticket;
        self.remember(key, Question { ask, want: Want::Dial });
        let ticket = self.ticket(Waiting::Question(key));
        self.orders.push_back(Order::Dial { ticket, number, room });
    }

    /// What became of a call out.
    pub(super) fn question_dialled(&mut self, key: u64, done: Result<(), String>) {
        let Some(question) = self.questions.remove(&key) else { return };
        let word = match done {
            Ok(()) => Word::Calling,
            Err(why) => {
                tracing::warn!(why, "no call out for a user of Rocket.Chat");
                Word::NoCallMe
            }
        };
        self.counters.rocketchat_calls_out += u64::from(word == Word::Calling);
        self.say(back(&question.ask), word);
    }

    /// The newest meeting of a room of the chat that goes on.
    fn meeting_in(&self, room: &Id) -> Option<Id> {
        let open = self.meetings.iter().filter(|(_, it)| it.chat_room == *room && it.is_open());
        open.max_by_key(|(_, it)| it.since).map(|(call, _)| call.clone())
    }

    fn will_tell(&mut self, call: &Id, asker: Asker) {
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        if meeting.facts == Facts::Foreign {
            return self.say(asker, Word::Foreign);
        }
        if meeting.askers.len() < ASKERS_MAX && !meeting.askers.contains(&asker) {
            meeting.askers.push(asker);
        }
    }

    fn question(&mut self, ask: Ask, want: Want, api: Api) {
        self.ticket += 1;
        let key = self.ticket;
        self.remember(key, Question { ask, want });
        let ticket = self.ticket(Waiting::Question(key));
        self.orders.push_back(Order::Ask { ticket, api });
    }

    fn remember(&mut self, key: u64, question: Question) {
        if self.questions.len() >= QUESTIONS_MAX {
            self.questions.pop_first();
        }
        self.questions.insert(key, question);
    }
}

/// The way back to who asked: never into the room where others read.
fn back(ask: &Ask) -> Asker {
    match ask.direct {
        true => Asker::Room(ask.room.clone()),
        false => Asker::User(ask.username.clone()),
    }
}

/// Questions of each user in the last minute.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    users: BTreeMap<Id, (Instant, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Throttled {
    No,
    /// The first one too many.
    TellHim,
    Silently,
}

impl Throttle {
    fn ask(&mut self, now: Instant, user: &Id) -> Throttled {
        self.users.retain(|_, (since, _)| now.saturating_duration_since(*since) < MINUTE);
        if self.users.len() >= USERS_MAX {
            return Throttled::Silently;
        }
        let (_, asked) = self.users.entry(user.clone()).or_insert((now, 0));
        *asked += 1;
        match *asked {
            ..=ASKS_PER_MINUTE => Throttled::No,
            count if count == ASKS_PER_MINUTE + 1 => Throttled::TellHim,
            _ => Throttled::Silently,
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Questions of one user in a minute.
const ASKS_PER_MINUTE: u32 = 5;
/// Users who asked within a minute.
const USERS_MAX: usize = 2_000;
/// Messages remembered as answered: streams and webhooks tell some twice.
const ANSWERED_KEPT: usize = 1_000;
/// Users who wait for one PIN.
const ASKERS_MAX: usize = 100;
/// Questions that wait for the server.
const QUESTIONS_MAX: usize = 500;
/// Newest meetings in which a user who asks alone is looked for.
const CALLS_LOOKED_AT: usize = 5;
