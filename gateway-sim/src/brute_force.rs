//! Guessing PINs against the real dialogue, its caps and its delays, in virtual time.
//!
//! An attacker with many lines calls, types as fast as is allowed (or at a given pace), is refused, calls again. What
//! counts is how many of his guesses are judged at all: a caller who is locked out is refused whatever he types. Hits
//! are drawn among real PINs; for PINs so long that none would ever be hit the expectation is guesses judged times live
//! PINs by all PINs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, QuestionId, TrunkId};
use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::call::{AnswerEnd, Digits};
use gateway_core::gateway::{Command, Event};
use gateway_core::leg::backend::{RoomName, RoomPolicy};
use gateway_core::media::clip::Language;
use gateway_core::sip::endpoint::InviteFacts;
use gateway_daemon::config::door::Door;
use gateway_daemon::config::rooms::Label;
use gateway_daemon::config::typed::{RoomRules, Rooms};
use gateway_daemon::ivr::policy::{PinRules, Policy, TrunkRules};
use gateway_daemon::ivr::{Action, Ivr};
use gateway_daemon::pin::draw::draw;
use gateway_daemon::pin::handle::SharedThrottle;
use gateway_daemon::pin::throttle::{Throttle, ThrottleLimits};
use gateway_daemon::pin::{Grant, PinKind, Refusal, Verdict};
use slotmap::SlotMap;

/// What callers of an attack show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// One number.
    One,
    /// None.
    Withheld,
    /// Another in each call.
    Forged,
}

/// An attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// What the table calls it.
    pub name: &'static str,
    /// Lines at once.
    pub lines: u16,
    /// A call starts no earlier than this after the one before on its line.
    pub pace: Duration,
    /// What they show.
    pub numbers: Numbers,
    /// Trunks they come by, line after line.
    pub trunks: u16,
    /// Caps they meet.
    pub limits: ThrottleLimits,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spoils {
    /// Guesses typed.
    pub typed: u64,
    /// Guesses that were judged: the others were refused unseen.
    pub judged: u64,
    /// Guesses that opened a room.
    pub hits: u64,
}

impl Spoils {
    /// Hits per hour to be expected of PINs of a length, with `live` of them.
    pub fn expected_hits_h(self, hours: u32, live: u32, digits: i32) -> f64 {
        self.judged as f64 / f64::from(hours) * f64::from(live) / 9_f64.powi(digits)
    }
}

/// No caps but that of the call.
pub const UNCAPPED: ThrottleLimits = ThrottleLimits {
    per_caller_h: u32::MAX,
    per_anonymous_h: u32::MAX,
    per_trunk_h: u32::MAX,
    global_h: u32::MAX,
};

/// The defaults of `[pin]`, held to them by a test.
pub const USUAL: ThrottleLimits =
    ThrottleLimits { per_caller_h: 10, per_anonymous_h: 10, per_trunk_h: 120, global_h: 600 };

const REFERENCE: Attack = Attack {
    name: "no caps, 3 tries per call of 30 s",
    lines: 30,
    pace: Duration::from_secs(30),
    numbers: Numbers::Forged,
    trunks: 1,
    limits: UNCAPPED,
};

/// The attacks of the table in `docs/pins.md`.
pub const ATTACKS: [Attack; 6] = [
    REFERENCE,
    Attack { name: "no caps, as fast as the dialogue lets", pace: Duration::ZERO, ..REFERENCE },
    Attack { name: "caps, one number", numbers: Numbers::One, ..FAST },
    Attack { name: "caps, number withheld", numbers: Numbers::Withheld, ..FAST },
    Attack { name: "caps, another number in each call", ..FAST },
    Attack { name: "the same by 10 trunks", trunks: 10, ..FAST },
];

const FAST: Attack = Attack { pace: Duration::ZERO, limits: USUAL, ..REFERENCE };

/// Live PINs of the table.
pub const LIVE: u32 = 50;

/// Runs an attack on `live` PINs of `digits` digits.
pub fn run(attack: &Attack, hours: u32, live: u32, digits: u8, seed: u64) -> Spoils {
    let mut siege = Siege::new(attack, live, digits, seed);
    let start = siege.now;
    let end = start + Duration::from_secs(3_600) * hours;
    for line in 0..attack.lines {
        // Lines do not call in step.
        let at = start + attack.pace.mul_f64(f64::from(line) / f64::from(attack.lines));
        siege.plans.insert((at, line), Plan::Call);
    }
    while siege.step(end) {}
    siege.spoils
}

/// The table of `docs/pins.md`: expected hits per hour of 50 live PINs, from four hours of each attack.
pub fn table() -> String {
    const HOURS: u32 = 4;
    let mut out = String::from(
        "| attack with 30 lines | typed/h | judged/h | 6 digits | 8 | 9 | 10 | 12 |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for attack in &ATTACKS {
        let spoils = run(attack, HOURS, 0, 9, 1);
        let hour = |count: u64| (count as f64 / f64::from(HOURS)).round();
        let _ =
            write!(out, "| {} | {} | {} |", attack.name, hour(spoils.typed), hour(spoils.judged));
        for digits in [6, 8, 9, 10, 12] {
            let _ = write!(out, " {} |", short(spoils.expected_hits_h(HOURS, LIVE, digits)));
        }
        out.push('\n');
    }
    out
}

/// Two significant digits.
fn short(value: f64) -> String {
    match value {
        value if value >= 1.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value if value >= 0.01 => format!("{value:.3}"),
        value if value >= 0.001 => format!("{value:.4}"),
        value => format!("{value:.1e}"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Call,
    Type(CallKey, QuestionId),
}

struct Siege<'a> {
    attack: &'a Attack,
    ivr: Ivr,
    now: Instant,
    calls: SlotMap<CallKey, u16>,
    called: BTreeMap<u16, Instant>,
    plans: BTreeMap<(Instant, u16), Plan>,
    live: BTreeSet<String>,
    digits: u8,
    rng: Rng,
    forged: u64,
    spoils: Spoils,
}

impl<'a> Siege<'a> {
    fn new(attack: &'a Attack, live: u32, digits: u8, seed: u64) -> Self {
        let mut rng = Rng::from_number(seed);
        let mut pins = BTreeSet::new();
        while pins.len() < live as usize {
            pins.insert(draw(digits, &mut rng).into_inner());
        }
        let throttle = SharedThrottle::new(Throttle::new(attack.limits));
        Self {
            attack,
            ivr: Ivr::new(Arc::new(policy(attack.trunks, digits)), throttle),
            now: Instant::now(),
            calls: SlotMap::with_key(),
            called: BTreeMap::new(),
            plans: BTreeMap::new(),
            live: pins,
            digits,
            rng,
            forged: 0,
            spoils: Spoils::default(),
        }
    }

    /// What comes next; false when the time is over.
    fn step(&mut self, end: Instant) -> bool {
        let plan = self.plans.first_key_value().map(|(key, plan)| (*key, *plan));
        let timer = self.ivr.poll_timeout().map(|(at, _)| at);
        let next = plan.map(|((at, _), _)| at).into_iter().chain(timer).min();
        let Some(next) = next.filter(|at| *at < end) else { return false };
        self.now = self.now.max(next);
        match plan.filter(|((at, _), _)| *at == next) {
            Some((key, plan)) => {
                self.plans.remove(&key);
                self.carry_out(key.1, plan);
            }
            None => {
                let actions = self.ivr.handle_timeout(self.now);
                self.take(actions);
            }
        }
        true
    }

    fn carry_out(&mut self, line: u16, plan: Plan) {
        let event = match plan {
            Plan::Call => {
                let call = self.calls.insert(line);
                self.called.insert(line, self.now);
                let trunk = TrunkId(line % self.attack.trunks);
                Event::RouteNeeded { call, trunk, facts: Box::new(self.facts()) }
            }
            Plan::Type(call, question) => {
                self.spoils.typed += 1;
                let guess = draw(self.digits, &mut self.rng);
                let digits = Pii::new(guess.reveal().bytes().collect::<Digits>());
                Event::Answered { call, question, digits, end: AnswerEnd::Complete }
            }
        };
        let actions = self.ivr.handle_event(self.now, &event);
        self.take(actions);
    }

    fn facts(&mut self) -> InviteFacts {
        self.forged += 1;
        let caller = match self.attack.numbers {
            Numbers::One => "+4930123456".to_owned(),
            Numbers::Withheld => String::new(),
            Numbers::Forged => format!("+49{}", 1_000_000 + self.forged),
        };
        InviteFacts {
            request_user: Pii::new("pin".to_owned()),
            caller: Pii::new(caller),
            ..InviteFacts::default()
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::LookUp { ticket, ask } => {
                    self.spoils.judged += u64::from(ask.spend);
                    let verdict = match self.live.contains(ask.digits.reveal()) {
                        true => opened(),
                        false => Verdict::Refused(Refusal::Unknown),
                    };
                    let more = self.ivr.lookup_done(self.now, ticket, Ok(verdict));
                    self.take(more);
                }
                Action::Command(Command::Ask { call, question }) => {
                    let Some(line) = self.calls.get(call).copied() else { continue };
                    // Ten keys a second, typed into the greeting.
                    let typed = self.now + Duration::from_millis(100) * u32::from(self.digits + 1);
                    self.plans.insert((typed, line), Plan::Type(call, question.id));
                }
                Action::Command(Command::Route { call, .. }) => {
                    self.spoils.hits += 1;
                    self.call_again(call);
                }
                Action::Command(Command::SayAndEnd { call, .. }) => self.call_again(call),
                _ => {}
            }
        }
    }

    fn call_again(&mut self, call: CallKey) {
        let Some(line) = self.calls.remove(call) else { return };
        let called = self.called.get(&line).copied().unwrap_or(self.now);
        let at = (called + self.attack.pace).max(self.now + SETUP);
        self.plans.insert((at, line), Plan::Call);
    }
}

fn opened() -> Verdict {
    let room = RoomName::new("tea").expect("three letters");
    Verdict::Valid(Grant {
        id: "p".to_owned(),
        room,
        role: gateway_core::leg::backend::Role::Guest,
        kind: PinKind::Guest,
        owner: None,
        language: None,
    })
}

fn policy(trunks: u16, digits: u8) -> Policy {
    let trunk = |number: u16| TrunkRules {
        name: format!("trunk-{number}"),
        trusted: false,
        language: Language::default(),
        tickets: false,
        door: Door::default(),
    };
    let usual = RoomRules {
        policy: RoomPolicy::default(),
        backend: "room".to_owned(),
        mint: Vec::new(),
        label: Label::Masked,
        language: None,
    };
    Policy {
        trunks: (0..trunks).map(trunk).collect(),
        sites: Vec::new(),
        visitors: false,
        dids: Vec::new(),
        ask_unmatched: true,
        rooms: Rooms { usual, named: Vec::new() },
        pin: PinRules {
            digits,
            tries: 3,
            first_digit: Duration::from_secs(10),
            between_digits: Duration::from_secs(5),
        },
    }
}

/// From INVITE to answer, at best.
const SETUP: Duration = Duration::from_millis(300);
