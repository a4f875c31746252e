//! The PIN dialogue as a conversation: who says what, when, and on what it stays silent.

use std::collections::BTreeMap;
use std::path::Path;

use gateway_core::base::time::WallClock;
use gateway_core::call::{CallDirection, CallRecord, Route};
use gateway_core::leg::backend::{BeforeHost, Entry, Role, RoomName};
use gateway_core::media::clip::Language;
use gateway_core::media::quality::LegReport;
use slotmap::SlotMap;

use super::*;
use crate::pin::PinKind;
use crate::pin::throttle::Throttle;

mod entry;

const CONFIG: &str = r#"
[[trunk]]
name = "pbx"
sources = ["127.0.0.1"]
trusted = true
language = "ru"
[[trunk]]
name = "carrier"
sources = ["192.0.2.1"]
[[did]]
number = "601"
room = "tea"
ask_pin = false
role = "host"
language = "id"
[[did]]
number = "602"
room = "board"
language = "pt-BR"
call_length_max_min = 30
[[did]]
number = "603"
trunk = "pbx"
room = "tea"
ask_pin = false
[[room_policy]]
name = "board"
wait_for_host = true
"#;

const PBX: TrunkId = TrunkId(0);
const CARRIER: TrunkId = TrunkId(1);
const GOOD: &str = "918273645";
const GOOD_HOST_ID: &str = "192837465";
const EXPIRED: &str = "121212121";
const WRONG: &str = "123456789";

/// A dialogue with a registry that answers after `lookup_takes`.
struct Talk {
    ivr: Ivr,
    now: Instant,
    calls: SlotMap<CallKey, ()>,
    lookup_takes: Duration,
    broken: bool,
    waiting: Vec<(Instant, u64, Asked)>,
    asked: BTreeMap<CallKey, Box<Question>>,
    said: Vec<(CallKey, Said)>,
    refused: Vec<Refusal>,
    admitted: Vec<AdmittedPin>,
}

/// What the registry is asked.
enum Asked {
    Pin(PinAsk),
    Ticket(TicketAsk),
}

/// What the core is told.
#[derive(Debug)]
enum Said {
    Ask(Vec<PromptId>, Language),
    Route(Box<Route>),
    SayAndEnd(Vec<PromptId>, Language, EndReason),
    End(EndReason),
}

impl Talk {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    fn with(config: &str) -> Self {
        let config = crate::config::parse("t", config, Path::new("")).expect("valid");
        Self {
            ivr: Ivr::new(
                Arc::new(Policy::new(&config)),
                SharedThrottle::new(Throttle::new(config.pin.limits)),
            ),
            now: Instant::now(),
            calls: SlotMap::with_key(),
            lookup_takes: Duration::from_millis(1),
            broken: false,
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            said: Vec::new(),
            refused: Vec::new(),
            admitted: Vec::new(),
        }
    }

    fn call(&mut self, trunk: TrunkId, number: &str) -> CallKey {
        self.call_with(trunk, number, |_| {})
    }

    fn call_with(
        &mut self,
        trunk: TrunkId,
        number: &str,
        change: impl FnOnce(&mut InviteFacts),
    ) -> CallKey {
        let call = self.calls.insert(());
        let mut facts = InviteFacts {
            request_user: Pii::new(number.to_owned()),
            caller: Pii::new("+622112345647".to_owned()),
            ..InviteFacts::default()
        };
        change(&mut facts);
        let event = Event::RouteNeeded { call, trunk, facts: Box::new(facts) };
        let actions = self.ivr.handle_event(self.now, &event);
        self.take(actions);
        call
    }

    fn types(&mut self, call: CallKey, digits: &str) {
        let end = if digits.is_empty() { AnswerEnd::Nothing } else { AnswerEnd::Complete };
        let question = self.asked.remove(&call).expect("a question is open").id;
        let digits = Pii::new(digits.bytes().collect::<Digits>());
        let event = Event::Answered { call, question, digits, end };
        let actions = self.ivr.handle_event(self.now, &event);
        self.take(actions);
    }

    /// Lets time go by; the registry and the dialogue's deadlines act at their moments.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let lookup = self.waiting.iter().map(|(at, ..)| *at).min();
            let timer = self.ivr.poll_timeout().map(|(at, _)| at);
            let Some(next) = lookup.into_iter().chain(timer).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if lookup == Some(next) {
                let at = self.waiting.iter().position(|(at, ..)| *at == next).expect("found");
                let (_, ticket, ask) = self.waiting.remove(at);
                let answer = match ask {
                    Asked::Pin(ask) => self.registry(&ask),
                    Asked::Ticket(ask) => self.tickets(&ask),
                };
                let actions = self.ivr.lookup_done(self.now, ticket, answer);
                self.take(actions);
            } else {
                let actions = self.ivr.handle_timeout(self.now);
                self.take(actions);
            }
        }
        self.now = end;
    }

    fn registry(&self, ask: &PinAsk) -> Lookup {
        if self.broken {
            return Err(LookupFailed);
        }
        let grant = |id: &str, room: &str, role, language| {
            let room = RoomName::new(room).expect("name");
            match ask.room.as_ref().is_none_or(|only| *only == room) {
                true => Verdict::Valid(Grant {
                    id: id.to_owned(),
                    room,
                    role,
                    kind: PinKind::Guest,
                    owner: None,
                    language,
                }),
                false => Verdict::Refused(Refusal::OtherRoom),
            }
        };
        Ok(match ask.digits.reveal().as_str() {
            GOOD => grant("g", "board", Role::Guest, None),
            GOOD_HOST_ID => grant("h", "tea", Role::Host, Some(Language::Id)),
            EXPIRED => Verdict::Refused(Refusal::Expired),
            _ => Verdict::Refused(Refusal::Unknown),
        })
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::LookUp { ticket, ask } => {
                    self.waiting.push((self.now + self.lookup_takes, ticket, Asked::Pin(ask)));
                }
                Action::Redeem { ticket, ask } => {
                    self.waiting.push((self.now + self.lookup_takes, ticket, Asked::Ticket(ask)));
                }
                Action::Refused(refused) => self.refused.push(refused.why),
                Action::Admitted(admitted) => self.admitted.push(admitted),
                Action::Command(command) => self.note(command),
            }
        }
    }

    fn note(&mut self, command: Command) {
        let (call, said) = match command {
            Command::Ask { call, question } => {
                let said = Said::Ask(question.words.clone(), question.language);
                self.asked.insert(call, question);
                (call, said)
            }
            Command::Route { call, route } => (call, Said::Route(route)),
            Command::SayAndEnd { call, words, language, reason } => {
                (call, Said::SayAndEnd(words, language, reason))
            }
            Command::End { call, reason } => (call, Said::End(reason)),
            other => panic!("the dialogue never says {other:?}"),
        };
        self.said.push((call, said));
    }

    /// The only thing said to `call` since the last look.
    fn heard(&mut self, call: CallKey) -> Said {
        let at = self.said.iter().position(|(who, _)| *who == call).expect("something was said");
        let (_, said) = self.said.remove(at);
        assert!(
            !self.said.iter().any(|(who, _)| *who == call),
            "one thing at a time: {:?}",
            self.said
        );
        said
    }

    fn expect_silence(&self, call: CallKey) {
        assert!(!self.said.iter().any(|(who, _)| *who == call), "{:?}", self.said);
    }

    fn expect_route(&mut self, call: CallKey) -> Box<Route> {
        match self.heard(call) {
            Said::Route(route) => route,
            other => panic!("expected a route, heard {other:?}"),
        }
    }

    fn expect_question(&mut self, call: CallKey, words: &[PromptId], language: Language) {
        match self.heard(call) {
            Said::Ask(heard, in_language) => {
                assert_eq!((&heard[..], in_language), (words, language))
            }
            other => panic!("expected a question, heard {other:?}"),
        }
    }

    fn expect_goodbye(&mut self, call: CallKey, words: PromptId, reason: EndReason) {
        match self.heard(call) {
            Said::SayAndEnd(heard, language, why) => {
                assert_eq!((heard, language, why), (vec![words], Language::En, reason));
            }
            other => panic!("expected goodbye, heard {other:?}"),
        }
    }

    /// How long after the digits something is said.
    fn answer_time(&mut self, call: CallKey, digits: &str) -> Duration {
        self.expect_silence(call);
        self.types(call, digits);
        let start = self.now;
        let step = Duration::from_millis(1);
        while !self.said.iter().any(|(who, _)| *who == call) {
            self.run_for(step);
            assert!(self.now < start + Duration::from_secs(60), "nothing was ever said");
        }
        self.now - start
    }
}

const ENTER: &[PromptId] = &[PromptId::Greeting, PromptId::EnterPin];
const AGAIN: &[PromptId] = &[PromptId::PinWrong, PromptId::EnterPin];

#[test]
fn a_valid_pin_enters_its_room_at_once() {
    let mut t = Talk::new();
    let call = t.call(CARRIER, "pin");
    t.expect_question(call, ENTER, Language::En);
    t.types(call, GOOD);
    t.run_for(Duration::from_millis(1));
    let route = t.expect_route(call);
    assert_eq!((route.room.as_str(), route.role), ("board", Role::Guest));
    assert_eq!(route.policy.before_host, BeforeHost::Hold, "the policy is the room's");
    assert_eq!(route.note.as_deref(), Some("pin:g"));
    assert_eq!(route.label.reveal(), "Phone caller (+62 *** 47)");
    assert_eq!(t.ivr.dialogues(), 0);
}

#[test]
fn language_is_the_pins_then_the_numbers_then_the_trunks() {
    let mut t = Talk::new();
    let call = t.call(PBX, "pin");
    t.expect_question(call, ENTER, Language::Ru);
    t.types(call, GOOD_HOST_ID);
    t.run_for(Duration::from_secs(1));
    let route = t.expect_route(call);
    assert_eq!((route.language, route.role), (Language::Id, Role::Host));

    let call = t.call(PBX, "602");
    t.expect_question(call, ENTER, Language::PtBr);
    t.types(call, GOOD);
    t.run_for(Duration::from_secs(1));
    let route = t.expect_route(call);
    assert_eq!(route.language, Language::PtBr);
    assert_eq!(route.length_max, Some(Duration::from_secs(1_800)));
}

#[test]
fn numbers_and_trusted_headers_lead_into_rooms_without_a_pin() {
    let mut t = Talk::new();
    let call = t.call(CARRIER, "601");
    let route = t.expect_route(call);
    assert_eq!(
        (route.room.as_str(), route.role, route.language),
        ("tea", Role::Host, Language::Id)
    );
    let header = |facts: &mut InviteFacts| {
        let value = Pii::new("Coffee@conference.example.org".to_owned());
        facts.headers.push(("jitsi-conference-room".to_owned(), value));
    };
    let call = t.call_with(PBX, "pin", header);
    assert_eq!(t.expect_route(call).room.as_str(), "coffee");
    let call = t.call_with(CARRIER, "pin", header);
    t.expect_question(call, ENTER, Language::En);
    let call = t.call(CARRIER, "603");
    t.expect_question(call, ENTER, Language::En);
}

#[test]
fn numbers_that_lead_nowhere_are_refused_where_the_owner_wants_it() {
    let mut t = Talk::with(&format!("[sip]\nunmatched = \"refuse\"\n{CONFIG}"));
    let call = t.call(CARRIER, "999");
    assert!(matches!(t.heard(call), Said::End(EndReason::NotFound)));
    let call = t.call_with(PBX, "pin", |facts| {
        facts.headers.push(("Jitsi-Conference-Room".to_owned(), Pii::new("@x".to_owned())));
    });
    assert!(
        matches!(t.heard(call), Said::End(EndReason::NotFound)),
        "a broken header opens nothing"
    );
}

#[test]
fn three_wrong_pins_end_the_call() {
    let mut t = Talk::new();
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    for _ in 0..2 {
        t.types(call, WRONG);
        t.run_for(Duration::from_secs(3));
        t.expect_question(call, AGAIN, Language::En);
    }
    t.types(call, WRONG);
    t.run_for(Duration::from_secs(3));
    t.expect_goodbye(call, PromptId::TooManyTries, EndReason::PinRefused);
    assert_eq!(t.refused, [Refusal::Unknown; 3]);
    assert_eq!((t.ivr.counters().pins_refused, t.ivr.dialogues()), (3, 0));
}

#[test]
fn silence_is_asked_again_and_ends_after_three() {
    let mut t = Talk::new();
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    for _ in 0..2 {
        t.types(call, "");
        t.expect_question(call, &[PromptId::PinNotHeard, PromptId::EnterPin], Language::En);
    }
    t.types(call, "");
    t.expect_goodbye(call, PromptId::Goodbye, EndReason::PinNotGiven);
    assert!(t.refused.is_empty(), "silence is no guess");
}

#[test]
fn wrong_expired_foreign_and_locked_sound_the_same_and_take_the_same_time() {
    for lookup_takes in [1, 300, 1_999] {
        let mut t = Talk::new();
        t.lookup_takes = Duration::from_millis(lookup_takes);
        for (number, pin) in [("pin", WRONG), ("pin", EXPIRED), ("602", GOOD_HOST_ID)] {
            let call = t.call(CARRIER, number);
            t.heard(call);
            assert_eq!(t.answer_time(call, pin), ANSWER_AFTER);
            assert!(matches!(t.heard(call), Said::Ask(words, _) if words == AGAIN));
        }
        // Seven more make ten: from now on this number is locked out, and a good PIN sounds like a wrong one.
        for _ in 0..7 {
            let call = t.call(CARRIER, "pin");
            t.heard(call);
            t.answer_time(call, WRONG);
            t.heard(call);
        }
        let call = t.call(CARRIER, "pin");
        t.heard(call);
        assert_eq!(t.answer_time(call, GOOD), ANSWER_AFTER);
        t.expect_question(call, AGAIN, Language::En);
        assert_eq!(t.refused.last(), Some(&Refusal::Locked));
        t.run_for(Duration::from_secs(15 * 60 + 1));
        t.types(call, GOOD);
        t.run_for(t.lookup_takes);
        t.expect_route(call);
    }
}

#[test]
fn a_slow_registry_answers_at_the_next_full_step() {
    let mut t = Talk::new();
    t.lookup_takes = Duration::from_millis(2_001);
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    assert_eq!(t.answer_time(call, WRONG), ANSWER_AFTER * 2);
}

#[test]
fn a_locked_out_caller_never_spends_a_use() {
    let mut t = Talk::new();
    for _ in 0..10 {
        let call = t.call(CARRIER, "pin");
        t.heard(call);
        t.answer_time(call, WRONG);
        t.heard(call);
    }
    let call = t.call(CARRIER, "pin");
    t.types(call, GOOD);
    assert!(matches!(&t.waiting[0].2, Asked::Pin(ask) if !ask.spend));
}

#[test]
fn callers_without_a_number_share_a_bucket_per_trunk() {
    let mut t = Talk::new();
    let hide = |facts: &mut InviteFacts| facts.anonymous = true;
    for _ in 0..10 {
        let call = t.call_with(CARRIER, "pin", hide);
        t.heard(call);
        t.answer_time(call, WRONG);
        t.heard(call);
    }
    let call = t.call_with(CARRIER, "pin", hide);
    t.heard(call);
    t.answer_time(call, GOOD);
    assert_eq!(t.refused.last(), Some(&Refusal::Locked));
    t.heard(call);
    let elsewhere = t.call_with(PBX, "pin", hide);
    t.heard(elsewhere);
    t.types(elsewhere, GOOD);
    t.run_for(Duration::from_secs(1));
    t.expect_route(elsewhere);
    let with_number = t.call(CARRIER, "pin");
    t.heard(with_number);
    t.types(with_number, GOOD);
    t.run_for(Duration::from_secs(1));
    t.expect_route(with_number);
}

#[test]
fn a_trunk_has_a_cap_that_forged_numbers_do_not_avoid() {
    let mut t = Talk::new();
    for number in 0..120 {
        let call = t.call_with(CARRIER, "pin", |facts| {
            facts.caller = Pii::new(format!("+49{number}"));
        });
        t.heard(call);
        t.types(call, WRONG);
        t.run_for(ANSWER_AFTER);
    }
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    t.answer_time(call, GOOD);
    assert_eq!(t.refused.last(), Some(&Refusal::Locked));
    t.heard(call);
    t.run_for(Duration::from_secs(3_600));
    t.types(call, GOOD);
    t.run_for(Duration::from_secs(1));
    t.expect_route(call);
}

#[test]
fn a_registry_that_fails_is_said_and_is_never_a_yes() {
    let mut t = Talk::new();
    t.broken = true;
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    t.types(call, GOOD);
    t.run_for(Duration::from_millis(5));
    t.expect_goodbye(call, PromptId::ServiceUnavailable, EndReason::ServiceUnavailable);
    assert!(t.refused.is_empty(), "no guess is counted");
    t.broken = false;
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    t.types(call, GOOD);
    t.run_for(Duration::from_millis(5));
    t.expect_route(call);
}

#[test]
fn a_registry_that_never_answers_is_out_of_order_and_its_late_answer_is_nothing() {
    let mut t = Talk::new();
    t.lookup_takes = Duration::from_secs(30);
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    assert_eq!(t.answer_time(call, GOOD), LOOKUP_PATIENCE);
    t.expect_goodbye(call, PromptId::ServiceUnavailable, EndReason::ServiceUnavailable);
    t.run_for(Duration::from_secs(60));
    t.expect_silence(call);
    assert_eq!(t.ivr.poll_timeout(), None);
}

#[test]
fn answers_of_calls_that_are_gone_are_nothing() {
    let mut t = Talk::new();
    t.lookup_takes = Duration::from_secs(1);
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    let question = t.asked[&call].id;
    t.types(call, GOOD);
    let actions = t.ivr.handle_event(t.now, &Event::CallEnded(Box::new(record(call))));
    assert!(actions.is_empty());
    t.run_for(Duration::from_secs(10));
    t.expect_silence(call);
    let digits = Pii::new(GOOD.bytes().collect::<Digits>());
    let late = Event::Answered { call, question, digits, end: AnswerEnd::Complete };
    assert!(t.ivr.handle_event(t.now, &late).is_empty());
    assert_eq!((t.ivr.dialogues(), t.ivr.tickets.len()), (0, 0));
}

fn record(call: CallKey) -> CallRecord {
    CallRecord {
        call,
        direction: CallDirection::Inbound,
        trunk: CARRIER,
        call_id: String::new(),
        caller: Pii::default(),
        dialled: Pii::default(),
        room: None,
        note: None,
        started: WallClock::default(),
        answered: None,
        rang: false,
        joined: None,
        ended: WallClock::default(),
        reason: EndReason::CallerHungUp,
        status: None,
        codec: None,
        report: LegReport::default(),
    }
}

#[test]
fn others_see_of_a_caller_what_the_room_allows_and_words_are_in_its_language() {
    let more = "[[room_policy]]\nname = \"open\"\nlabel = \"full\"\n[[room_policy]]\nname = \"closed\"\n\
                label = \"none\"\nlanguage = \"ru\"\n";
    let text = format!("{CONFIG}{more}");
    let config = crate::config::parse("t", &text, Path::new("")).expect("valid");
    let policy = Policy::new(&config);
    let enter = |room: &str, owner: Option<&str>, language, caller: Option<&str>| {
        let asking = Asking {
            language: Language::En,
            room: None,
            length_max: None,
            caller: caller.map(|caller| Pii::new(caller.to_owned())),
            name: None,
            backend: None,
            entry: Entry::default(),
            ticket: None,
        };
        let grant = Grant {
            id: "p".to_owned(),
            room: RoomName::new(room).expect("name"),
            role: Role::Guest,
            kind: PinKind::Personal,
            owner: owner.map(|owner| Pii::new(owner.to_owned())),
            language,
        };
        let route = policy.granted(&asking, grant, "pin");
        (route.label.into_inner(), route.language)
    };
    let number = Some("+622112345647");
    let said = |label: &str, language| (label.to_owned(), language);
    assert_eq!(enter("tea", None, None, number), said("Phone caller (+62 *** 47)", Language::En));
    assert_eq!(enter("tea", None, None, None), said("Phone caller", Language::En));
    assert_eq!(
        enter("open", None, None, number),
        said("Phone caller (+622112345647)", Language::En)
    );
    assert_eq!(enter("closed", None, None, number), said("Phone caller", Language::Ru));
    let id = Some(Language::Id);
    assert_eq!(enter("closed", Some("Ratna"), id, number), said("Ratna", Language::Id), "the PIN");
}
