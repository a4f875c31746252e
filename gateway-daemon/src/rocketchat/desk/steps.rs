//! From what is to what should be: the next request of each meeting, and what its answer changes.

use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use serde_json::Value;

use super::super::api::{self, Api, ApiFailure, CallRecord};
use super::super::ids::Id;
use super::super::words::{self, Invitation, Word};
use super::meeting::{Asker, Facts, Meeting, Shown, Step};
use super::{Desk, MeetingPin, OnEnd, Order, Waiting};

impl Desk {
    /// Brings each meeting a step nearer to what it should be.
    pub(super) fn steps(&mut self, now: Instant) {
        let calls: Vec<Id> = self.meetings.keys().cloned().collect();
        for call in calls {
            self.step(now, &call);
        }
    }

    fn step(&mut self, now: Instant, call: &Id) {
        let announce = self.settings.announce;
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        if meeting.over && !meeting.over_told {
            meeting.over_told = true;
            meeting.pin = None;
            if let Some(room) = meeting.room().cloned() {
                tracing::info!(call = %call, "meeting of Rocket.Chat is over");
                self.orders.push_back(Order::Over(room));
            }
        }
        self.tell_askers(call);
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        if meeting.over && meeting.has_expired(now) && meeting.step.is_none() {
            return self.forget(call);
        }
        if meeting.step.is_some() || meeting.retry_at.is_some_and(|at| at > now) {
            return;
        }
        meeting.retry_at = None;
        let has_hook = self.settings.hook.is_some();
        let Some(step) = wanted(meeting, announce, self.settings.on_end, has_hook) else { return };
        meeting.step = Some(step);
        self.ask(call, step);
    }

    /// Sends the request of a step.
    fn ask(&mut self, call: &Id, step: Step) {
        let reply = self.reply_id(call);
        let Some(meeting) = self.meetings.get(call) else { return };
        let room = meeting.chat_room.clone();
        let open = meeting.pin.as_ref().map(|pin| self.open_text(pin)).unwrap_or_default();
        let api = match step {
            Step::Mint => {
                let Some(room) = meeting.room().cloned() else { return };
                let ticket = self.ticket(Waiting::Step(call.clone()));
                return self.orders.push_back(Order::Mint { ticket, room });
            }
            Step::Read => Api::Call(call.clone()),
            Step::Reply => {
                let thread = meeting.message.clone().unwrap_or_else(|| reply.clone());
                Api::Reply { message: reply, room, thread, text: open }
            }
            Step::Reshow => Api::Edit { message: reply, room, text: open },
            Step::Close | Step::CloseOld => {
                let text = Pii::new(words::closed(self.settings.language));
                Api::Edit { message: reply, room, text }
            }
            Step::Remove => Api::Delete { message: reply, room },
            Step::HookReply | Step::HookClose => {
                let closed = || Pii::new(words::closed(self.settings.language));
                let text = if step == Step::HookReply { open } else { closed() };
                let thread = meeting.message.clone().unwrap_or_else(|| reply.clone());
                Api::HookReply {
                    hook: self.settings.hook.clone().unwrap_or_default(),
                    room,
                    thread,
                    text,
                }
            }
        };
        let ticket = self.ticket(Waiting::Step(call.clone()));
        self.orders.push_back(Order::Ask { ticket, api });
    }

    pub(super) fn step_answered(
        &mut self,
        now: Instant,
        call: &Id,
        answer: Result<Value, ApiFailure>,
    ) {
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        let Some(step) = meeting.step.take() else { return };
        match answer {
            Ok(answer) => {
                (meeting.failures, meeting.retry_at) = (0, None);
                self.step_done(now, call, step, &answer);
            }
            Err(ApiFailure::Refused(why)) => self.step_refused(call, step, &why),
            Err(failure) => {
                meeting.failures += 1;
                let wait = match failure {
                    ApiFailure::Limited(ms) => Duration::from_millis(ms),
                    _ => RETRY_FIRST.saturating_mul(1 << meeting.failures.min(6)),
                };
                meeting.retry_at = Some(now + wait);
                if meeting.failures >= FAILURES_TOLD {
                    self.give_up_askers(call, Word::Failed);
                }
            }
        }
    }

    fn step_done(&mut self, now: Instant, call: &Id, step: Step, answer: &Value) {
        match step {
            Step::Read => {
                let record = api::call_record(answer.get("data").unwrap_or(answer));
                match record {
                    Some(record) => self.learn(call, &record),
                    None => self.foreign(call, "its record cannot be read"),
                }
            }
            Step::Reply | Step::Reshow | Step::HookReply => {
                self.counters.rocketchat_replies_shown += 1;
                let Some(meeting) = self.meetings.get_mut(call) else { return };
                meeting.shown = if step == Step::HookReply { Shown::ByHook } else { Shown::Open };
                let ms = now.saturating_duration_since(meeting.since).as_millis();
                tracing::info!(%call, room = %meeting.chat_room, ms, "number and PIN shown in Rocket.Chat");
            }
            Step::Close | Step::Remove | Step::HookClose | Step::CloseOld => {
                self.counters.rocketchat_replies_closed += 1;
                let Some(meeting) = self.meetings.get_mut(call) else { return };
                meeting.shown = match step {
                    Step::Remove => Shown::Nothing,
                    Step::HookClose => Shown::Refused,
                    _ => Shown::Closed,
                };
                tracing::info!(%call, "reply in Rocket.Chat closed");
            }
            Step::Mint => {}
        }
    }

    fn step_refused(&mut self, call: &Id, step: Step, why: &str) {
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        let room = meeting.chat_room.clone();
        let (shown, trouble) = match step {
            // 400 `invalid-params`: no such call, or no access to its room.
            Step::Read => return self.foreign(call, why),
            // A reply with this id may be there from before a restart.
            Step::Reply if matches!(meeting.shown, Shown::Nothing | Shown::Unknown) => {
                (Shown::Perhaps, None)
            }
            // There was none.
            Step::CloseOld => (Shown::Nothing, None),
            Step::Close => (Shown::Stuck, None),
            Step::Remove => (
                Shown::NoWay,
                Some(format!(
                    "a closed reply in room {room} can be neither edited nor deleted ({why}); allow editing of messages"
                )),
            ),
            Step::Reply | Step::Reshow if self.settings.hook.is_some() => (Shown::Refused, None),
            Step::Reply | Step::Reshow | Step::HookReply | Step::HookClose => (
                Shown::NoWay,
                Some(format!(
                    "no reply in room {room} ({why}); invite the bot there, and allow threads"
                )),
            ),
            Step::Mint => return,
        };
        meeting.shown = shown;
        if let Some(trouble) = trouble {
            tracing::warn!(%call, %room, why, "Rocket.Chat refuses");
            self.trouble = Some(trouble);
        }
    }

    pub(super) fn step_minted(&mut self, now: Instant, call: &Id, pin: Result<MeetingPin, String>) {
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        meeting.step = None;
        match pin {
            Ok(pin) => (meeting.pin, meeting.failures) = (Some(pin), 0),
            Err(why) => {
                meeting.failures += 1;
                meeting.retry_at =
                    Some(now + RETRY_FIRST.saturating_mul(1 << meeting.failures.min(6)));
                tracing::warn!(%call, why, "no PIN for a meeting of Rocket.Chat");
                self.give_up_askers(call, Word::Failed);
            }
        }
    }

    /// Takes a call's record to heart.
    pub(super) fn learn(&mut self, call: &Id, record: &CallRecord) {
        if record.provider != PROVIDER {
            return self.foreign(call, "another provider");
        }
        let room = match self.settings.origin.room_of_url(record.url.reveal()) {
            Ok(room) => room,
            Err(why) => return self.foreign(call, &why.to_string()),
        };
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        if meeting.message.is_none() {
            meeting.message.clone_from(&record.message);
        }
        meeting.chat_room = record.room.clone();
        meeting.facts = Facts::Ours { room: room.clone() };
        // An older call of the same room gives way.
        let older =
            self.meetings.iter_mut().filter(|(id, it)| *id != call && it.room() == Some(&room));
        for (_, meeting) in older {
            meeting.give_way();
        }
        self.orders.push_back(Order::Watch(room));
    }

    fn foreign(&mut self, call: &Id, why: &str) {
        self.counters.rocketchat_meetings_foreign += 1;
        tracing::debug!(%call, why, "a call that is not ours");
        if let Some(meeting) = self.meetings.get_mut(call) {
            meeting.facts = Facts::Foreign;
        }
        self.give_up_askers(call, Word::Foreign);
    }

    /// Who asked is told as soon as there is a PIN.
    fn tell_askers(&mut self, call: &Id) {
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        if meeting.over {
            return self.give_up_askers(call, Word::NoMeeting);
        }
        let Some(pin) = meeting.pin.clone() else { return };
        let askers = std::mem::take(&mut meeting.askers);
        let text = self.open_text(&pin);
        for asker in askers {
            self.tell(asker, text.clone());
        }
    }

    pub(super) fn give_up_askers(&mut self, call: &Id, word: Word) {
        let Some(meeting) = self.meetings.get_mut(call) else { return };
        for asker in std::mem::take(&mut meeting.askers) {
            self.say(asker, word);
        }
    }

    /// Tells one user something of the word list.
    pub(super) fn say(&mut self, asker: Asker, word: Word) {
        let text = words::told(word, self.settings.language);
        let text = text.replace("!dialin", &self.settings.words.dial_in);
        self.tell(asker, Pii::new(text.replace("!callme", &self.settings.words.call_me)));
    }

    fn tell(&mut self, asker: Asker, text: Pii<String>) {
        let api = match asker {
            Asker::User(username) => Api::Tell { username, text },
            Asker::Room(room) => {
                let message =
                    Id::new(&self.rng.token(MESSAGE_ID_CHARS)).expect("letters and digits");
                Api::TellIn { message, room, text }
            }
        };
        self.try_to_tell(api, 1);
    }

    pub(super) fn try_to_tell(&mut self, api: Api, tries: u32) {
        let ticket = self.ticket(Waiting::Told(api.clone(), tries));
        self.orders.push_back(Order::Ask { ticket, api });
    }

    /// What became of it: tried again where that helps.
    pub(super) fn was_told(
        &mut self,
        now: Instant,
        api: Api,
        tries: u32,
        answer: Result<Value, ApiFailure>,
    ) {
        let wait = match answer {
            Ok(_) => return,
            Err(ApiFailure::Refused(why)) => {
                if let (Some(hook), Api::Tell { username, text }) =
                    (self.settings.hook.clone(), &api)
                {
                    let (username, text) = (username.clone(), text.clone());
                    return self.try_to_tell(Api::HookTell { hook, username, text }, 1);
                }
                let what = format!(
                    "a user cannot be answered in private ({why}); give the bot the permission create-d"
                );
                tracing::warn!(why, "Rocket.Chat: a user cannot be answered in private");
                self.trouble = Some(what);
                return;
            }
            Err(ApiFailure::Limited(ms)) => Duration::from_millis(ms),
            Err(_) => RETRY_FIRST.saturating_mul(1 << tries.min(6)),
        };
        if tries < TELLS_MAX && self.untold.len() < UNTOLD_MAX {
            self.untold.push((now + wait, api, tries + 1));
        }
    }

    fn open_text(&self, pin: &MeetingPin) -> Pii<String> {
        Pii::new(words::open(&Invitation {
            numbers: &self.settings.numbers,
            pin: pin.digits.reveal(),
            language: self.settings.language,
        }))
    }

    /// The id of the reply to a call: the same after a restart, and nobody else can take it beforehand.
    fn reply_id(&self, call: &Id) -> Id {
        const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTWXYZab";
        let tag =
            self.settings.key.tag("rocketchat reply", &format!("{} {call}", self.settings.name));
        let signs = tag.0.iter().take(MESSAGE_ID_CHARS);
        let text: String = signs.map(|byte| char::from(SIGNS[usize::from(byte % 32)])).collect();
        Id::new(&text).expect("letters and digits")
    }
}

/// The next request of a meeting, if it needs one.
fn wanted(meeting: &Meeting, announce: bool, on_end: OnEnd, has_hook: bool) -> Option<Step> {
    match &meeting.facts {
        Facts::Unknown => return Some(Step::Read),
        Facts::Foreign => return None,
        Facts::Ours { .. } => {}
    }
    if meeting.over {
        return match meeting.shown {
            Shown::Open => Some(match on_end {
                OnEnd::Edit => Step::Close,
                OnEnd::Delete => Step::Remove,
            }),
            Shown::Stuck => Some(Step::Remove),
            Shown::ByHook => Some(Step::HookClose),
            Shown::Unknown if announce => Some(Step::CloseOld),
            _ => None,
        };
    }
    let may_write = match meeting.shown {
        Shown::NoWay => false,
        Shown::Refused => has_hook,
        _ => true,
    };
    let show = announce && meeting.confirmed && meeting.message.is_some() && may_write;
    if meeting.pin.is_none() {
        return (show || !meeting.askers.is_empty()).then_some(Step::Mint);
    }
    match meeting.shown {
        Shown::Nothing | Shown::Unknown if show => Some(Step::Reply),
        Shown::Refused if show => Some(Step::HookReply),
        Shown::Perhaps | Shown::Closed | Shown::Stuck if show => Some(Step::Reshow),
        _ => None,
    }
}

/// As Rocket.Chat calls Jitsi, lower case.
const PROVIDER: &str = "jitsi";
/// Ids of messages have 17 characters.
const MESSAGE_ID_CHARS: usize = 17;
/// First wait after a failure; doubled up to a minute.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// A user is told at most so often; later he has asked again.
const TELLS_MAX: u32 = 4;
/// Answers that wait.
const UNTOLD_MAX: usize = 500;
/// After so many failures in a row those who asked are told that it did not work.
const FAILURES_TOLD: u32 = 3;
