use gateway_core::base::pii::Pii;
use serde_json::json;

use super::super::heard::{Ask, Meeting as HeardMeeting, Wish};
use super::*;

const CALL: &str = "6657aabbcc0011223344556f";
const PIN: &str = "482913075";

/// A desk, the workspace that answers it, and a clock.
struct Bench {
    desk: Desk,
    now: Instant,
    /// Requests that were sent, as `METHOD-like path body`.
    sent: Vec<Api>,
    orders: Vec<Order>,
    /// What the workspace answers to a request, by the name of its endpoint.
    refuse: Vec<(&'static str, ApiFailure)>,
    url: String,
}

fn id(text: &str) -> Id {
    Id::new(text).expect("an id")
}

fn settings() -> DeskSettings {
    DeskSettings {
        name: "chat".to_owned(),
        origin: Origin {
            hosts: vec!["meet.test".to_owned()],
            prefix: "rocketchat".to_owned(),
            suffix: String::new(),
        },
        numbers: vec!["+62 21 1234 5678".to_owned()],
        language: Language::En,
        announce: true,
        on_end: OnEnd::Edit,
        words: Words { dial_in: "!dialin".to_owned(), call_me: "!callme".to_owned() },
        call_me: None,
        hook: None,
        key: PinKey::from_bytes([7; 32]),
    }
}

impl Bench {
    fn new(settings: DeskSettings) -> Self {
        let desk = Desk::new(settings, &Rng::from_number(1));
        let url = format!("https://meet.test/RocketChat{CALL}");
        Self {
            desk,
            now: Instant::now(),
            sent: Vec::new(),
            orders: Vec::new(),
            refuse: Vec::new(),
            url,
        }
    }

    fn record(&self) -> Value {
        json!({
            "_id": CALL, "rid": "room1", "type": "videoconference", "status": 1, "providerName": "jitsi", "url": self.url,
            "messages": { "started": "message1" }, "createdBy": { "_id": "ana", "username": "ana" }, "users": [],
        })
    }

    fn answer(&self, api: &Api) -> Result<Value, ApiFailure> {
        let path = api.request().path;
        if let Some((_, failure)) = self.refuse.iter().find(|(part, _)| path.contains(part)) {
            return Err(failure.clone());
        }
        Ok(match api {
            Api::Call(_) => {
                let mut answer = self.record();
                answer["success"] = json!(true);
                answer
            }
            Api::CallsOf(_) => json!({ "data": [self.record()], "success": true }),
            Api::RoomsSince(_) => {
                json!({ "update": [{ "_id": "room1" }], "remove": [], "success": true })
            }
            Api::User(_) => json!({ "user": { "roles": ["user", "moderator"] }, "success": true }),
            _ => json!({ "message": {}, "success": true }),
        })
    }

    /// Lets desk and workspace talk until nobody has anything to say.
    fn settle(&mut self) -> &mut Self {
        while let Some(order) = self.desk.poll_order() {
            self.orders.push(order.clone());
            match order {
                Order::Ask { ticket, api } => {
                    let answer = self.answer(&api);
                    self.sent.push(api);
                    self.desk.answered(self.now, ticket, answer);
                }
                Order::Mint { ticket, .. } => {
                    let pin = MeetingPin { digits: Pii::new(PIN.to_owned()) };
                    self.desk.minted(self.now, ticket, Ok(pin));
                }
                Order::Dial { ticket, .. } => self.desk.dialled(self.now, ticket, Ok(())),
                Order::Watch(_) | Order::Unwatch(_) | Order::Over(_) => {}
            }
        }
        self
    }

    fn starts(&mut self) -> &mut Self {
        let (call, room, message) = (id(CALL), id("room1"), id("message1"));
        self.desk.heard(self.now, Heard::Meeting(HeardMeeting { call, room, message }));
        self.settle()
    }

    fn asks(&mut self, message: &str, direct: bool, wish: Wish) -> &mut Self {
        let ask = Ask {
            message: id(message),
            room: id(if direct { "anabot" } else { "room1" }),
            direct,
            user: id("ana"),
            username: Pii::new("ana".to_owned()),
            wish,
        };
        self.desk.heard(self.now, Heard::Ask(ask));
        self.settle()
    }

    fn passes(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some((at, _)) = self.desk.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.desk.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
        self
    }

    fn room_is(&mut self, presence: Presence) -> &mut Self {
        let room = RoomName::new(&format!("rocketchat{CALL}")).expect("a name");
        self.desk.presence(self.now, &room, presence);
        self.settle()
    }

    /// Requests since the last look, by endpoint.
    fn seen(&mut self) -> Vec<String> {
        let name = |api: Api| {
            let path = api.request().path;
            path.rsplit('/')
                .next()
                .unwrap_or_default()
                .split('?')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        self.orders.clear();
        std::mem::take(&mut self.sent).into_iter().map(name).collect()
    }

    fn texts(&self) -> Vec<String> {
        let texts = self.sent.iter().filter_map(|api| match api {
            Api::Reply { text, .. }
            | Api::Tell { text, .. }
            | Api::TellIn { text, .. }
            | Api::Edit { text, .. } => Some(text.reveal().clone()),
            _ => None,
        });
        texts.collect()
    }
}

#[test]
fn a_meeting_gets_one_reply_with_number_and_pin() {
    let mut bench = Bench::new(settings());
    bench.starts();
    let Some(Api::Reply { room, thread, text, .. }) = bench.sent.last() else {
        panic!("{:?}", bench.sent)
    };
    assert_eq!((room.as_str(), thread.as_str()), ("room1", "message1"));
    assert!(
        text.reveal().contains("482 913 075")
            && text.reveal().contains("tel:+622112345678,482913075%23")
    );
    assert_eq!(bench.seen(), ["video-conference.info", "chat.sendMessage"]);
    // Our own reply makes the server send the call's message again.
    bench.starts().starts();
    assert_eq!(bench.seen(), [""; 0]);
    assert_eq!(bench.desk.counters().rocketchat_replies_shown, 1);
}

#[test]
fn the_reply_says_when_the_meeting_is_over_and_opens_again_with_it() {
    let mut bench = Bench::new(settings());
    bench.starts().room_is(Presence::Gone).passes(Duration::from_secs(60)).room_is(Presence::Gone);
    assert_eq!(bench.desk.open(), 1, "nobody has come yet");
    bench.room_is(Presence::Live).seen();
    bench.room_is(Presence::Gone).passes(Duration::from_secs(19)).room_is(Presence::Gone);
    bench.room_is(Presence::Live).room_is(Presence::Gone);
    assert_eq!(bench.seen(), [""; 0], "a page that is loaded again is no end");
    bench.passes(Duration::from_secs(20)).room_is(Presence::Gone);
    assert!(bench.orders.iter().any(|order| matches!(order, Order::Over(_))), "the PIN ends");
    assert!(bench.texts()[0].contains("over") && !bench.texts()[0].contains("482"));
    assert_eq!(bench.seen(), ["chat.update"]);
    bench.room_is(Presence::Gone).passes(Duration::from_secs(600));
    assert_eq!(bench.seen(), [""; 0]);
    bench.room_is(Presence::Live);
    assert!(bench.orders.iter().any(|order| matches!(order, Order::Mint { .. })), "a PIN again");
    assert!(bench.texts()[0].contains("482 913 075"));
    assert_eq!(bench.seen(), ["chat.update"]);
}

#[test]
fn a_reply_that_may_not_be_edited_is_deleted() {
    let mut bench = Bench::new(settings());
    bench.starts().room_is(Presence::Live).seen();
    bench.refuse =
        vec![("chat.update", ApiFailure::Refused("error-action-not-allowed".to_owned()))];
    bench
        .desk
        .meeting_over(bench.now, &RoomName::new(&format!("rocketchat{CALL}")).expect("a name"));
    bench.settle();
    assert_eq!(bench.seen(), ["chat.update", "chat.delete"]);
}

#[test]
fn a_meeting_nobody_joins_closes_after_a_while() {
    let mut bench = Bench::new(settings());
    bench.starts().seen();
    bench.passes(Duration::from_secs(1_700));
    assert_eq!(bench.seen(), [""; 0]);
    bench.passes(Duration::from_secs(200));
    assert_eq!(bench.seen(), ["chat.update"]);
}

#[test]
fn calls_of_others_stay_plain() {
    for url in
        ["https://other.test/RocketChatx", "https://meet.test/tea", "", "https://meet.test/acme-1"]
    {
        let mut bench = Bench::new(settings());
        bench.url = url.to_owned();
        bench.starts().passes(Duration::from_secs(3_600));
        assert_eq!(bench.seen(), ["video-conference.info"], "{url}");
        assert_eq!(bench.desk.counters().rocketchat_meetings_foreign, 1);
        bench.asks("a1", false, Wish::DialIn);
        assert!(!bench.texts().iter().any(|text| text.contains("482")), "{url}");
    }
}

#[test]
fn two_workspaces_of_one_jitsi_take_only_their_own() {
    let other = Origin { prefix: "beta".to_owned(), ..settings().origin };
    let mut bench = Bench::new(DeskSettings { origin: other, ..settings() });
    bench.starts();
    assert_eq!(bench.seen(), ["video-conference.info"]);
    bench = Bench::new(settings());
    bench.starts();
    assert_eq!(bench.seen(), ["video-conference.info", "chat.sendMessage"]);
}

#[test]
fn a_server_in_trouble_gets_its_reply_later_and_only_once() {
    let mut bench = Bench::new(settings());
    bench.refuse = vec![("chat.sendMessage", ApiFailure::Later("502".to_owned()))];
    bench.starts().passes(Duration::from_secs(20));
    let ids: Vec<Id> = bench
        .sent
        .iter()
        .filter_map(|api| match api {
            Api::Reply { message, .. } => Some(message.clone()),
            _ => None,
        })
        .collect();
    assert!(ids.len() >= 3 && ids.iter().all(|other| *other == ids[0]), "one id: {ids:?}");
    bench.seen();
    // It had been written after all: the second attempt is refused, and the reply is brought up to date.
    bench.refuse = vec![("chat.sendMessage", ApiFailure::Refused("exists".to_owned()))];
    bench.passes(Duration::from_secs(120));
    assert_eq!(bench.seen(), ["chat.sendMessage", "chat.update"]);
    bench.passes(Duration::from_secs(300));
    assert_eq!(bench.seen(), [""; 0]);
}

#[test]
fn a_room_the_bot_may_not_write_in_is_told_to_the_owner_and_left() {
    let mut bench = Bench::new(settings());
    let refused = || ApiFailure::Refused("error-not-allowed".to_owned());
    bench.refuse = vec![("chat.sendMessage", refused()), ("chat.update", refused())];
    bench.starts();
    assert!(bench.desk.trouble().is_some_and(|text| text.contains("invite the bot")));
    assert_eq!(bench.seen(), ["video-conference.info", "chat.sendMessage", "chat.update"]);
    bench.passes(Duration::from_secs(1_000)).room_is(Presence::Live);
    assert_eq!(bench.seen(), [""; 0], "no storm");
}

#[test]
fn where_the_bot_may_not_write_the_incoming_webhook_does() {
    let hook = Some(Pii::new("/hooks/id/secret-of-the-hook".to_owned()));
    let mut bench = Bench::new(DeskSettings { hook, ..settings() });
    let refused = || ApiFailure::Refused("error-not-allowed".to_owned());
    bench.refuse =
        ["chat.sendMessage", "chat.update", "chat.postMessage"].map(|it| (it, refused())).into();
    bench.starts();
    let Some(Api::HookReply { thread, text, .. }) = bench.sent.last() else {
        panic!("{:?}", bench.sent)
    };
    assert!(thread.as_str() == "message1" && text.reveal().contains("482 913 075"));
    assert!(!format!("{:?}", bench.sent).contains("secret-of-the-hook"));
    assert_eq!(bench.desk.trouble(), None, "it works");
    bench.seen();
    bench.asks("a1", false, Wish::DialIn);
    assert!(matches!(bench.sent.last(), Some(Api::HookTell { .. })), "{:?}", bench.sent);
    bench.room_is(Presence::Live).seen();
    // What was written by a webhook cannot be changed: a second message says the end.
    bench
        .desk
        .meeting_over(bench.now, &RoomName::new(&format!("rocketchat{CALL}")).expect("a name"));
    bench.settle();
    let Some(Api::HookReply { text, .. }) = bench.sent.last() else { panic!("{:?}", bench.sent) };
    assert!(text.reveal().contains("over"));
    bench.seen();
    bench.passes(Duration::from_secs(600));
    assert_eq!(bench.seen(), [""; 0], "once");
    bench.room_is(Presence::Live);
    assert!(
        matches!(bench.sent.last(), Some(Api::HookReply { .. })),
        "open again: {:?}",
        bench.sent
    );
    bench.refuse.push(("hooks", refused()));
    let mut closed =
        Bench::new(DeskSettings { hook: bench.desk.settings.hook.clone(), ..settings() });
    closed.refuse.clone_from(&bench.refuse);
    closed.starts().passes(Duration::from_secs(600));
    assert!(closed.desk.trouble().is_some_and(|text| text.contains("invite the bot")));
    assert!(closed.sent.len() < 6, "no storm: {:?}", closed.sent);
}

#[test]
fn limits_are_waited_for() {
    let mut bench = Bench::new(settings());
    bench.refuse = vec![("video-conference.info", ApiFailure::Limited(30_000))];
    bench.starts().seen();
    bench.passes(Duration::from_secs(29));
    assert_eq!(bench.seen(), [""; 0]);
    bench.refuse.clear();
    bench.passes(Duration::from_secs(2));
    assert_eq!(bench.seen(), ["video-conference.info", "chat.sendMessage"]);
}

#[test]
fn who_asks_in_a_room_is_told_alone() {
    let mut bench = Bench::new(DeskSettings { announce: false, ..settings() });
    bench.starts();
    assert_eq!(bench.seen(), ["video-conference.info"], "nothing is posted by itself");
    bench.asks("a1", false, Wish::DialIn);
    let [Api::Tell { username, text }] = &bench.sent[..] else { panic!("{:?}", bench.sent) };
    assert_eq!(username.reveal(), "ana");
    assert!(text.reveal().contains("482 913 075"));
    bench.seen();
    bench.asks("a1", false, Wish::DialIn);
    assert_eq!(bench.seen(), [""; 0], "the same message, told by stream and webhook");
}

#[test]
fn a_meeting_of_before_our_start_is_found_by_asking() {
    let mut bench = Bench::new(settings());
    bench.asks("a1", false, Wish::DialIn);
    assert!(bench.texts().iter().any(|text| text.contains("482 913 075")));
    assert_eq!(bench.seen(), ["video-conference.list", "chat.postMessage"]);
    // Now it is known that it goes on, everybody may see it.
    bench.room_is(Presence::Live);
    assert_eq!(bench.seen(), ["chat.sendMessage"]);
}

#[test]
fn who_asks_alone_is_told_of_meetings_he_is_in() {
    let mut bench = Bench::new(settings());
    bench.asks("a1", true, Wish::DialIn);
    let [Api::TellIn { room, text, .. }] = &bench.sent[..] else { panic!("{:?}", bench.sent) };
    assert_eq!(room.as_str(), "anabot");
    assert!(text.reveal().contains("No meeting"));
    bench.starts().seen();
    bench.asks("a2", true, Wish::DialIn);
    assert!(bench.texts()[0].contains("482 913 075"));
    assert_eq!(bench.seen(), ["video-conference.info", "chat.sendMessage"]);
}

#[test]
fn a_stranger_who_asks_alone_learns_no_pin() {
    let mut bench = Bench::new(settings());
    bench.starts().seen();
    let ask = Ask {
        message: id("a1"),
        room: id("evebot"),
        direct: true,
        user: id("eve"),
        username: Pii::new("eve".to_owned()),
        wish: Wish::DialIn,
    };
    bench.desk.heard(bench.now, Heard::Ask(ask));
    bench.settle();
    assert!(bench.texts().iter().all(|text| !text.contains("482")), "{:?}", bench.texts());
}

#[test]
fn too_many_questions_are_answered_once_and_then_not() {
    let mut bench = Bench::new(settings());
    bench.starts().seen();
    for number in 0..50 {
        bench.asks(&format!("a{number}"), false, Wish::DialIn);
    }
    assert_eq!(bench.seen().len(), 6, "five answers and one word about it");
    bench.passes(Duration::from_secs(61)).asks("later", false, Wish::DialIn);
    assert_eq!(bench.seen(), ["chat.postMessage"]);
}

#[test]
fn an_answer_in_private_that_fails_is_tried_again() {
    let mut bench = Bench::new(settings());
    bench.starts().seen();
    bench.refuse = vec![("chat.postMessage", ApiFailure::Limited(1_000))];
    bench.asks("a1", false, Wish::DialIn).passes(Duration::from_millis(1_500));
    assert_eq!(bench.seen(), ["chat.postMessage", "chat.postMessage"]);
    bench.refuse.clear();
    bench.passes(Duration::from_secs(60));
    assert_eq!(bench.seen(), ["chat.postMessage"]);
}

fn calls_out() -> DeskSettings {
    let rules = CallMe::new(vec!["moderator".to_owned()], vec!["+62".to_owned()], 2, 10);
    DeskSettings { call_me: Some(rules), ..settings() }
}

fn call_me(number: &str) -> Wish {
    Wish::CallMe(Pii::new(number.to_owned()))
}

#[test]
fn calls_out_are_off_unless_the_owner_wants_them() {
    let mut bench = Bench::new(settings());
    bench.starts().seen();
    bench.asks("a1", false, call_me("+62 21 5550100"));
    assert!(bench.texts()[0].contains("cannot call you"), "{:?}", bench.texts());
    assert!(!bench.orders.iter().any(|order| matches!(order, Order::Dial { .. })));
}

#[test]
fn a_call_out_needs_role_number_meeting_and_room_below_the_cap() {
    let mut bench = Bench::new(calls_out());
    bench.asks("a0", false, call_me("+62215550100"));
    assert!(bench.texts()[0].contains("No meeting"), "{:?}", bench.texts());
    bench.starts().seen();
    for (message, number, said, dialled) in [
        ("a1", "+1 900 555 0100", "may not call that number", 0),
        ("a2", "+62 21 5550100", "will ring", 1),
        ("a3", "+62 21 5550100", "will ring", 1),
        ("a4", "+62 21 5550100", "wait a minute", 0),
    ] {
        bench.asks(message, false, call_me(number));
        assert!(
            bench.texts().last().is_some_and(|text| text.contains(said)),
            "{number}: {:?}",
            bench.texts()
        );
        let dials = bench.orders.iter().filter(|order| matches!(order, Order::Dial { .. })).count();
        assert_eq!(dials, dialled, "{number}");
        bench.seen();
    }
    let mut rules = calls_out();
    rules.call_me = Some(CallMe::new(vec!["admin".to_owned()], vec!["+62".to_owned()], 2, 10));
    let mut bench = Bench::new(rules);
    bench.starts().seen();
    bench.asks("a1", false, call_me("+62 21 5550100"));
    assert!(bench.texts()[0].contains("may not have it call"), "{:?}", bench.texts());
}

#[test]
fn what_started_during_an_outage_is_found_and_shown_when_it_goes_on() {
    let mut bench = Bench::new(settings());
    bench.desk.line_up("2026-11-21T00:00:00Z".to_owned());
    bench.settle().passes(Duration::from_secs(1));
    assert_eq!(bench.seen(), ["rooms.get", "video-conference.list"], "not shown: it may be over");
    bench.room_is(Presence::Live);
    assert_eq!(bench.seen(), ["chat.sendMessage"]);
}

#[test]
fn a_reply_of_an_earlier_run_is_closed_when_its_meeting_ended_meanwhile() {
    for refused in [false, true] {
        let mut bench = Bench::new(settings());
        if refused {
            // There was no reply.
            bench.refuse = vec![("chat.update", ApiFailure::Refused("no such message".to_owned()))];
        }
        bench.desk.line_up("2026-11-21T00:00:00Z".to_owned());
        bench.settle().passes(Duration::from_secs(1)).seen();
        bench.room_is(Presence::Gone).passes(Duration::from_secs(21)).room_is(Presence::Gone);
        assert!(bench.texts()[0].contains("over"), "{:?}", bench.texts());
        assert_eq!(bench.seen(), ["chat.update"], "refused: {refused}");
        bench.passes(Duration::from_secs(600)).room_is(Presence::Gone);
        assert_eq!((bench.seen(), bench.desk.trouble()), (Vec::new(), None));
    }
}

#[test]
fn nothing_secret_is_in_what_logs_could_print() {
    let mut bench = Bench::new(settings());
    bench.starts().asks("a1", false, Wish::DialIn);
    let all = format!("{:?} {:?} {:?}", bench.desk, bench.sent, bench.orders);
    for secret in ["482913075", "482 913", "https://meet.test", "\"ana\""] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[test]
fn a_thousand_meetings_are_the_most_that_is_kept() {
    let mut bench = Bench::new(settings());
    for number in 0..1_200 {
        let (call, room, message) = (id(&format!("call{number}")), id("room1"), id("message1"));
        bench.desk.heard(bench.now, Heard::Meeting(HeardMeeting { call, room, message }));
        bench.now += Duration::from_millis(1);
    }
    assert!(bench.desk.meetings.len() <= MEETINGS_MAX);
}
