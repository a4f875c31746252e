//! The PIN dialogue: which callers enter which room. A sans-IO machine between the core's questions and its commands.
//!
//!   RouteNeeded -> (header, number) Routed
//!               -> (ticket) Redeeming -> Routed
//!                               | not good: as a wrong PIN, yet nobody waited for it
//!               -> Asking <-----+
//!                    | -> Checking -> Routed
//!                    ^          | wrong, expired, locked: same words, same moment
//!                    +----------+ third time: goodbye
//!
//! A refusal comes [`ANSWER_AFTER`] after the digits were complete, whatever the lookup took: nobody learns from words
//! or time whether a PIN was wrong, expired, or not even looked at. Wrong PINs are counted per call, caller and trunk.
//! No room is named before a valid PIN, for nothing but prompts without names is said. Lookups are values: the owner
//! asks the registry and brings the answer.

pub mod door;
pub mod policy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, QuestionId, TrunkId};
use gateway_core::base::pii::Pii;
use gateway_core::base::time::Why;
use gateway_core::call::{AnswerEnd, Digits, Question};
use gateway_core::gateway::{Command, Event};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::prompt::PromptId;
use gateway_core::sip::endpoint::InviteFacts;

use crate::hooks::route::Decision;
use crate::pin::events::Typist;
use crate::pin::handle::SharedThrottle;
use crate::pin::throttle::{CallerBucket, Cap};
use crate::pin::ticket::TicketAsk;
use crate::pin::{Grant, PinAsk, Refusal, Verdict};
use policy::{Asking, Policy, Way};

/// Refusals are spoken this long after the last digit.
pub const ANSWER_AFTER: Duration = Duration::from_secs(2);
/// A registry that takes longer than this is out of order.
pub const LOOKUP_PATIENCE: Duration = Duration::from_secs(6);

/// What the dialogue wants.
#[derive(Debug)]
pub enum Action {
    /// Ask the registry; answer with [`Ivr::lookup_done`].
    LookUp {
        /// Comes back.
        ticket: u64,
        /// The question.
        ask: PinAsk,
    },
    /// Ask the registry what a ticket opens; answer with [`Ivr::lookup_done`].
    Redeem {
        /// Comes back.
        ticket: u64,
        /// The question.
        ask: TicketAsk,
    },
    /// Tell the core.
    Command(Command),
    /// A PIN was refused: for the log that intrusion blockers read, and for metrics.
    Refused(RefusedPin),
    /// A PIN let a call in: for the audit log.
    Admitted(AdmittedPin),
}

/// A PIN that let a call in.
#[derive(Clone, Debug)]
pub struct AdmittedPin {
    /// What it opened.
    pub grant: Grant,
    /// Who typed it.
    pub typist: Typist,
}

/// A refused PIN.
#[derive(Clone, Debug)]
pub struct RefusedPin {
    /// Who typed it.
    pub typist: Typist,
    /// Why.
    pub why: Refusal,
    /// The cap that this one reached: somebody is locked out from now on.
    pub reached: Option<Cap>,
}

/// Answer of the registry: a verdict, or it could not be asked.
pub type Lookup = Result<Verdict, LookupFailed>;

/// The registry could not be asked. What went wrong was logged where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupFailed;

gateway_core::counters! {
    /// What the PIN dialogue did.
    pub struct IvrCounters {
        /// Calls let in by a header or number, without a PIN.
        routes_without_pin,
        /// PINs that opened a room.
        pins_valid,
        /// PINs refused: wrong, expired, revoked, used up or of another room.
        pins_refused,
        /// PINs refused because caller or trunk had too many wrong ones.
        pins_locked,
        /// Tickets that opened a room.
        tickets_valid,
        /// Tickets refused: unknown, older than 30 s, used, or another trunk's. Their callers were asked for the PIN.
        tickets_refused,
        /// Questions that nobody answered.
        pins_not_given,
        /// PINs that could not be looked up.
        pin_lookups_failed,
        /// Calls to numbers that lead nowhere.
        numbers_unknown,
    }
}

/// The dialogue of all calls.
#[derive(Debug)]
pub struct Ivr {
    policy: Arc<Policy>,
    throttle: SharedThrottle,
    dialogues: BTreeMap<CallKey, Dialogue>,
    tickets: BTreeMap<u64, CallKey>,
    last_ticket: u64,
    last_question: u32,
    counters: IvrCounters,
}

#[derive(Debug)]
struct Dialogue {
    trunk: TrunkId,
    bucket: CallerBucket,
    source: Option<std::net::SocketAddr>,
    asking: Asking,
    wrong: u8,
    silences: u8,
    step: Step,
}

impl Dialogue {
    fn typist(&self, call: CallKey) -> Typist {
        Typist {
            call: Some(call.to_string()),
            trunk: self.trunk,
            caller: self.asking.caller.clone(),
            source: self.source.map(|source| source.ip()),
        }
    }
}

#[derive(Debug)]
enum Step {
    /// The registry is asked what his ticket opens.
    Redeeming { ticket: u64, since: Instant },
    /// The core asks the caller.
    Asking(QuestionId),
    /// The registry is asked.
    Checking { ticket: u64, completed: Instant, locked: bool, refused: Option<Refused> },
}

/// A refusal that waits for its moment.
#[derive(Clone, Copy, Debug)]
struct Refused {
    why: Refusal,
    speak_at: Instant,
}

impl Ivr {
    /// A dialogue without calls. Wrong PINs are counted together with those of other doors.
    pub fn new(policy: Arc<Policy>, throttle: SharedThrottle) -> Self {
        Self {
            policy,
            throttle,
            dialogues: BTreeMap::new(),
            tickets: BTreeMap::new(),
            last_ticket: 0,
            last_question: 0,
            counters: IvrCounters::default(),
        }
    }

    /// The core asks or tells.
    pub fn handle_event(&mut self, now: Instant, event: &Event) -> Vec<Action> {
        match event {
            Event::RouteNeeded { call, trunk, facts } => {
                self.on_new_call(now, *call, *trunk, facts)
            }
            Event::Answered { call, question, digits, end } => {
                self.on_answer(now, *call, *question, digits, *end)
            }
            Event::CallEnded(record) => {
                self.forget(record.call);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The registry answered. Answers of calls that are gone, and late ones, are nothing.
    pub fn lookup_done(&mut self, now: Instant, ticket: u64, lookup: Lookup) -> Vec<Action> {
        let Some(call) = self.tickets.remove(&ticket) else { return Vec::new() };
        let Some(dialogue) = self.dialogues.get_mut(&call) else { return Vec::new() };
        let (locked, completed, refused) = match &mut dialogue.step {
            Step::Redeeming { .. } => return self.redeemed(now, call, lookup),
            Step::Asking(_) => return Vec::new(),
            Step::Checking { locked, completed, refused, .. } => (*locked, *completed, refused),
        };
        let why = match (lookup, locked) {
            (Ok(Verdict::Valid(grant)), false) => {
                self.counters.pins_valid += 1;
                return self.let_in(call, grant);
            }
            (Err(LookupFailed), _) => return self.out_of_order(call),
            (Ok(_), true) => Refusal::Locked,
            (Ok(Verdict::Refused(why)), false) => why,
        };
        *refused = Some(Refused { why, speak_at: speak_at(now, completed) });
        self.refuse_if_due(now, call)
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Action> {
        let calls: Vec<CallKey> = self.dialogues.keys().copied().collect();
        let mut actions = Vec::new();
        for call in calls {
            match self.dialogues.get(&call).map(|dialogue| &dialogue.step) {
                Some(Step::Checking { refused: Some(_), .. }) => {
                    actions.extend(self.refuse_if_due(now, call));
                }
                Some(
                    Step::Checking { completed: since, refused: None, .. }
                    | Step::Redeeming { since, .. },
                ) if now >= *since + LOOKUP_PATIENCE => {
                    actions.extend(self.out_of_order(call));
                }
                _ => {}
            }
        }
        actions
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let deadlines = self.dialogues.values().filter_map(|dialogue| match &dialogue.step {
            Step::Checking { refused: Some(refused), .. } => {
                Some((refused.speak_at, Why("ivr.refuse")))
            }
            Step::Checking { completed: since, refused: None, .. }
            | Step::Redeeming { since, .. } => {
                Some((*since + LOOKUP_PATIENCE, Why("ivr.lookup_patience")))
            }
            _ => None,
        });
        deadlines.min_by_key(|(at, _)| *at)
    }

    /// What was counted.
    pub fn counters(&self) -> &IvrCounters {
        &self.counters
    }

    /// Calls that are being asked.
    pub fn dialogues(&self) -> usize {
        self.dialogues.len()
    }

    fn on_new_call(
        &mut self,
        now: Instant,
        call: CallKey,
        trunk: TrunkId,
        facts: &InviteFacts,
    ) -> Vec<Action> {
        let way = self.policy.way(trunk, facts);
        self.send(now, (call, trunk), facts, way)
    }

    /// A program has decided about a call, in the place of the dialplan.
    pub fn decided(
        &mut self,
        now: Instant,
        (call, trunk): (CallKey, TrunkId),
        facts: &InviteFacts,
        decision: Decision,
    ) -> Vec<Action> {
        let way = self.policy.decided(trunk, facts, &decision);
        match (way, decision) {
            (Ok(way), _) => self.send(now, (call, trunk), facts, way),
            (Err(language), Decision::Refuse { reason, words, .. }) if !words.is_empty() => {
                vec![Action::Command(Command::SayAndEnd { call, words, language, reason })]
            }
            (Err(_), Decision::Refuse { reason, .. }) => {
                vec![Action::Command(Command::End { call, reason })]
            }
            (Err(_), _) => Vec::new(),
        }
    }

    fn send(
        &mut self,
        now: Instant,
        (call, trunk): (CallKey, TrunkId),
        facts: &InviteFacts,
        way: Way,
    ) -> Vec<Action> {
        match way {
            Way::Room(route) => {
                self.counters.routes_without_pin += 1;
                vec![Action::Command(Command::Route { call, route })]
            }
            Way::Nowhere => {
                self.counters.numbers_unknown += 1;
                vec![Action::Command(Command::End { call, reason: EndReason::NotFound })]
            }
            Way::Ask(mut asking) => {
                let shown = asking.ticket.take();
                let bucket = match &asking.caller {
                    Some(number) => CallerBucket::Number(number.clone()),
                    None => CallerBucket::Anonymous(trunk),
                };
                let dialogue = Dialogue {
                    trunk,
                    bucket,
                    source: facts.source,
                    asking,
                    wrong: 0,
                    silences: 0,
                    step: Step::Asking(QuestionId::default()),
                };
                self.dialogues.insert(call, dialogue);
                match shown {
                    Some(shown) => self.redeem(now, call, shown),
                    None => self.ask(call, &[PromptId::Greeting, PromptId::EnterPin]),
                }
            }
        }
    }

    fn redeem(&mut self, now: Instant, call: CallKey, ask: TicketAsk) -> Vec<Action> {
        let ticket = self.next_ticket(call);
        let Some(dialogue) = self.dialogues.get_mut(&call) else { return Vec::new() };
        dialogue.step = Step::Redeeming { ticket, since: now };
        vec![Action::Redeem { ticket, ask }]
    }

    /// A bad ticket is counted as a wrong PIN. The caller, who knows of none, is greeted and asked.
    fn redeemed(&mut self, now: Instant, call: CallKey, lookup: Lookup) -> Vec<Action> {
        let why = match lookup {
            Ok(Verdict::Valid(grant)) => return self.let_in_by(call, grant),
            Ok(Verdict::Refused(why)) => why,
            Err(LookupFailed) => return self.out_of_order(call),
        };
        self.counters.tickets_refused += 1;
        self.count_wrong(now, call, why, &[PromptId::Greeting, PromptId::EnterPin])
    }

    fn let_in_by(&mut self, call: CallKey, grant: Grant) -> Vec<Action> {
        let Some(dialogue) = self.dialogues.remove(&call) else { return Vec::new() };
        self.counters.tickets_valid += 1;
        // Who typed the PIN was noted when it was judged.
        let route = self.policy.granted(&dialogue.asking, grant, "ticket");
        vec![Action::Command(Command::Route { call, route })]
    }

    fn on_answer(
        &mut self,
        now: Instant,
        call: CallKey,
        question: QuestionId,
        digits: &Pii<Digits>,
        end: AnswerEnd,
    ) -> Vec<Action> {
        let Some(dialogue) = self.dialogues.get_mut(&call) else { return Vec::new() };
        if !matches!(dialogue.step, Step::Asking(asked) if asked == question) {
            return Vec::new();
        }
        let typed = typed(digits.reveal());
        if end == AnswerEnd::Nothing || typed.reveal().is_empty() {
            return self.on_silence(call);
        }
        let locked = self.throttle.lock().is_locked(now, dialogue.trunk, &dialogue.bucket);
        let caller = dialogue.asking.caller.clone();
        let room = dialogue.asking.room.clone();
        let ticket = self.next_ticket(call);
        let Some(dialogue) = self.dialogues.get_mut(&call) else { return Vec::new() };
        dialogue.step = Step::Checking { ticket, completed: now, locked, refused: None };
        let ask = PinAsk { digits: typed, room, caller, spend: !locked };
        vec![Action::LookUp { ticket, ask }]
    }

    fn on_silence(&mut self, call: CallKey) -> Vec<Action> {
        self.counters.pins_not_given += 1;
        let Some(dialogue) = self.dialogues.get_mut(&call) else { return Vec::new() };
        dialogue.silences += 1;
        if dialogue.silences >= SILENCES_MAX {
            return self.goodbye(call, &[PromptId::Goodbye], EndReason::PinNotGiven);
        }
        self.ask(call, &[PromptId::PinNotHeard, PromptId::EnterPin])
    }

    fn let_in(&mut self, call: CallKey, grant: Grant) -> Vec<Action> {
        let Some(dialogue) = self.dialogues.remove(&call) else { return Vec::new() };
        let admitted = AdmittedPin { grant: grant.clone(), typist: dialogue.typist(call) };
        let route = self.policy.granted(&dialogue.asking, grant, "pin");
        vec![Action::Admitted(admitted), Action::Command(Command::Route { call, route })]
    }

    /// Speaks a refusal when its moment has come; until then the timer calls again.
    fn refuse_if_due(&mut self, now: Instant, call: CallKey) -> Vec<Action> {
        let Some(dialogue) = self.dialogues.get(&call) else { return Vec::new() };
        let why = match dialogue.step {
            Step::Checking { refused: Some(refused), .. } if now >= refused.speak_at => refused.why,
            _ => return Vec::new(),
        };
        match why {
            Refusal::Locked => self.counters.pins_locked += 1,
            _ => self.counters.pins_refused += 1,
        }
        self.count_wrong(now, call, why, &[PromptId::PinWrong, PromptId::EnterPin])
    }

    /// Counts a refusal and asks again with `words`, or says goodbye.
    fn count_wrong(
        &mut self,
        now: Instant,
        call: CallKey,
        why: Refusal,
        words: &[PromptId],
    ) -> Vec<Action> {
        let Some(dialogue) = self.dialogues.get_mut(&call) else { return Vec::new() };
        dialogue.wrong += 1;
        let reached = self.throttle.lock().count_wrong(now, dialogue.trunk, &dialogue.bucket);
        let typist = dialogue.typist(call);
        let mut actions = vec![Action::Refused(RefusedPin { typist, why, reached })];
        actions.extend(match dialogue.wrong >= self.policy.pin.tries {
            true => self.goodbye(call, &[PromptId::TooManyTries], EndReason::PinRefused),
            false => self.ask(call, words),
        });
        actions
    }

    fn out_of_order(&mut self, call: CallKey) -> Vec<Action> {
        self.counters.pin_lookups_failed += 1;
        self.goodbye(call, &[PromptId::ServiceUnavailable], EndReason::ServiceUnavailable)
    }

    fn ask(&mut self, call: CallKey, words: &[PromptId]) -> Vec<Action> {
        self.last_question = self.last_question.wrapping_add(1);
        let id = QuestionId(self.last_question);
        let Some(dialogue) = self.dialogues.get_mut(&call) else { return Vec::new() };
        dialogue.step = Step::Asking(id);
        let pin = self.policy.pin;
        let question = Box::new(Question {
            id,
            words: words.to_vec(),
            language: dialogue.asking.language,
            digits_max: pin.digits,
            first_digit: pin.first_digit,
            between_digits: pin.between_digits,
        });
        vec![Action::Command(Command::Ask { call, question })]
    }

    fn goodbye(&mut self, call: CallKey, words: &[PromptId], reason: EndReason) -> Vec<Action> {
        let Some(dialogue) = self.forget(call) else { return Vec::new() };
        let language = dialogue.asking.language;
        let words = words.to_vec();
        vec![Action::Command(Command::SayAndEnd { call, words, language, reason })]
    }

    /// A number for a question to the registry.
    fn next_ticket(&mut self, call: CallKey) -> u64 {
        self.last_ticket += 1;
        self.tickets.insert(self.last_ticket, call);
        self.last_ticket
    }

    /// The dialogue is over: the rest of the call is the core's.
    fn forget(&mut self, call: CallKey) -> Option<Dialogue> {
        let gone = self.dialogues.remove(&call)?;
        if let Step::Checking { ticket, .. } | Step::Redeeming { ticket, .. } = gone.step {
            self.tickets.remove(&ticket);
        }
        Some(gone)
    }
}

/// When a refusal known at `now` is spoken: [`ANSWER_AFTER`] after the digits, or, should the lookup have taken longer,
/// at the next full multiple of it, so that the time says little even then.
fn speak_at(now: Instant, completed: Instant) -> Instant {
    let mut at = completed + ANSWER_AFTER;
    while at < now {
        at += ANSWER_AFTER;
    }
    at
}

/// Digits as the registry wants them. Other signs (there should be none) are dropped.
fn typed(digits: &Digits) -> Pii<String> {
    Pii::new(digits.iter().map(|sign| char::from(*sign)).filter(char::is_ascii_digit).collect())
}

/// Questions without an answer before goodbye.
const SILENCES_MAX: u8 = 3;

#[cfg(test)]
mod tests;
