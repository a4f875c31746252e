//! Dials from the order to the end: caps, trunks that fail, rooms that refuse, and nobody left waiting.

use std::path::Path;

use gateway_core::base::rng::Rng;
use gateway_core::call::CallRecord;

use super::*;

const CONFIG: &str = "[[trunk]]\nname = \"a\"\npeer = \"192.0.2.1:5060\"\ncredentials = \"4930:secret\"\n\
    [[trunk]]\nname = \"b\"\npeer = \"192.0.2.2:5060\"\nlanguage = \"id\"\n\
    [[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.test\"\n\
    [dial_out]\nenabled = true\ncalls_max = 3\nper_minute = 5\ndenied = [\"+62900*\"]\n\
    [[dial_out_rule]]\nmatch = \"+62*\"\ntrunk = \"a\"\nstrip = 3\nprepend = \"0\"\n\
    [[dial_out_rule]]\nmatch = \"+6*\"\ntrunk = \"b\"\nfrom = \"777\"\n";

fn config(more: &str) -> Config {
    crate::config::parse("weebee.toml", &format!("{CONFIG}{more}"), Path::new("")).expect("good")
}

fn order(to: &str) -> Order {
    let pii = |text: &str| Pii::new(text.to_owned());
    Order {
        to: pii(to),
        from: None,
        conference: "[acme]tea@muc.meet.test".to_owned(),
        room: "tea".to_owned(),
        tenant: Some("acme".to_owned()),
        password: Some(pii("opensesame")),
        headers: vec![("X-Test".to_owned(), pii("42")), ("Route".to_owned(), pii("evil"))],
    }
}

/// A desk with its gateway's keys.
struct Bench {
    desk: Desk,
    now: Instant,
    keys: slotmap::SlotMap<CallKey, ()>,
    tickets: u64,
}

impl Bench {
    fn new() -> Self {
        let desk = Desk::new(&config(""));
        Self { desk, now: Instant::now(), keys: slotmap::SlotMap::with_key(), tickets: 0 }
    }

    fn dial(&mut self, to: &str) -> Slip {
        self.tickets += 1;
        let slip = (0, self.tickets);
        self.desk.order(self.now, slip, "jitsi", order(to));
        slip
    }

    fn act(&mut self) -> Act {
        self.desk.poll_act().expect("something to do")
    }

    fn nothing(&mut self) {
        if let Some(act) = self.desk.poll_act() {
            panic!("{act:?}");
        }
    }

    /// The gateway takes the call that is to begin.
    fn taken(&mut self) -> (CallKey, Command) {
        let Act::Dial(id, command) = self.act() else { panic!("a call begins") };
        let call = self.keys.insert(());
        self.desk.dialled(id, Ok(call));
        (call, *command)
    }

    fn refusal(&mut self) -> (Slip, String) {
        match self.act() {
            Act::Answer(slip, Err(refused)) => (slip, refused.text),
            act => panic!("{act:?}"),
        }
    }

    fn in_room(&mut self, call: CallKey) {
        self.desk.heard(Heard::Occupant(call, "tea@muc.meet.test/1".to_owned()));
    }

    fn ended(&mut self, call: CallKey, reason: EndReason, status: Option<u16>) {
        self.desk.heard(Heard::Ended(call, reason, status, false));
    }
}

/// Target, From, and the route of a call that begins.
fn parts(command: Command) -> (u16, String, String, Vec<String>, Route) {
    let Command::Dial { trunk, target, from_user, headers, route, order, .. } = command else {
        panic!("a call out")
    };
    assert!(matches!(order, DialOrder::RoomFirst(_)), "the answer names an occupant");
    let names = headers.into_iter().map(|(name, _)| name).collect();
    (trunk.0, target, from_user.into_inner(), names, *route)
}

/// Seconds that a failure is shown, and one of the trunk.
fn lingers(command: &Command) -> (u64, u64) {
    let Command::Dial { order: DialOrder::RoomFirst(times), .. } = command else {
        panic!("a call out")
    };
    (times.linger.as_secs(), times.linger_of_trunk.as_secs())
}

#[test]
fn a_dial_becomes_an_occupant_and_ends_with_its_call() {
    let mut bench = Bench::new();
    let slip = bench.dial("+62 21 555,,4711#");
    let (call, command) = bench.taken();
    let Command::Dial { keys, .. } = &command else { panic!("a call out") };
    let (pause, typed) = keys.as_ref().expect("keys after the answer");
    assert_eq!((*pause, typed.as_slice()), (Duration::from_secs(4), b"4711#".as_slice()));
    let (trunk, target, from, headers, route) = parts(command);
    assert_eq!((trunk, target.as_str()), (0, "sip:021555@192.0.2.1:5060"));
    assert_eq!(from, "4930", "the trunk's user, where nobody says otherwise");
    assert_eq!(headers, ["Jitsi-Conference-Room", "X-Test", "JigasiCallDirection"]);
    assert_eq!((route.backend.as_str(), route.room.as_str()), ("jitsi", "tea"));
    assert_eq!(route.entry.password, Some(Pii::new("opensesame".to_owned())));
    assert_eq!(route.entry.tenant.as_deref(), Some("acme"));
    let seen: Vec<&str> = route.entry.extra.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(seen, ["X-Test", "Route"], "the room sees all of them");
    bench.nothing();
    bench.in_room(call);
    assert!(
        matches!(bench.act(), Act::Answer(it, Ok(at)) if it == slip && at == "tea@muc.meet.test/1")
    );
    bench.desk.heard(Heard::Occupant(call, "tea@muc.meet.test/2".to_owned()));
    assert!(matches!(bench.act(), Act::Occupant(it, _) if it == slip));
    bench.ended(call, EndReason::Refused, Some(486));
    assert!(matches!(bench.act(), Act::Over(it) if it == slip), "busy is shown in the room");
    bench.nothing();
    assert!(bench.desk.is_empty());
    assert_eq!(bench.desk.counters().dials_accepted, 1);
}

#[test]
fn who_is_shown_as_caller() {
    let from = |order: Order, number: &str| {
        let mut bench = Bench::new();
        let order = Order { to: Pii::new(number.to_owned()), ..order };
        bench.desk.order(bench.now, (0, 1), "jitsi", order);
        parts(bench.taken().1).2
    };
    let pii = |text: &str| Pii::new(text.to_owned());
    let named = |text: &str| Order { from: Some(pii(text)), ..order("") };
    assert_eq!(from(named("+49301"), "+6221"), "+49301");
    assert_eq!(from(named("eve\" <sip:"), "+6221"), "4930", "what is no number is nobody");
    assert_eq!(from(named("+49301"), "+6521"), "777", "the rule's word is the last");
    let header = Order { headers: vec![("from".to_owned(), pii("+49302"))], ..order("") };
    assert_eq!(from(header, "+6221"), "+49302");
}

#[test]
fn a_trunk_that_fails_is_followed_by_the_next_before_anybody_is_told() {
    for status in [408, 500, 503] {
        let mut bench = Bench::new();
        let slip = bench.dial("+6221");
        let (first, command) = bench.taken();
        assert_eq!(lingers(&command), (5, 0), "nobody needs to see what is mended at once");
        bench.ended(first, EndReason::Refused, Some(status));
        let (second, command) = bench.taken();
        assert_eq!(lingers(&command), (5, 5));
        assert_eq!(parts(command).1, "sip:+6221@192.0.2.2:5060");
        bench.in_room(second);
        assert!(matches!(bench.act(), Act::Answer(it, Ok(_)) if it == slip));
        // The last one failed, too: it was answered already.
        bench.ended(second, EndReason::Refused, Some(status));
        assert!(matches!(bench.act(), Act::Over(it) if it == slip));
        bench.nothing();
    }
    for status in [404, 486, 603] {
        let mut bench = Bench::new();
        bench.dial("+6221");
        let (call, _) = bench.taken();
        bench.ended(call, EndReason::Refused, Some(status));
        assert_eq!(bench.refusal().1, "the room could not be joined");
        assert!(matches!(bench.act(), Act::Over(_)));
        bench.nothing();
    }
}

#[test]
fn a_phone_that_rang_is_not_called_again_by_another_trunk() {
    for (status, rang, answered) in
        [(408, true, false), (503, true, false), (503, false, true), (503, false, false)]
    {
        let mut bench = Bench::new();
        let slip = bench.dial("+6221");
        let (call, _) = bench.taken();
        bench.in_room(call);
        assert!(matches!(bench.act(), Act::Answer(it, Ok(_)) if it == slip));
        let record = crate::cdr::tests::record();
        let record = CallRecord {
            call,
            direction: CallDirection::Outbound,
            answered: record.answered.filter(|_| answered),
            rang,
            reason: EndReason::Refused,
            status: Some(status),
            ..record
        };
        let ended = Heard::of(&Event::CallEnded(Box::new(record))).expect("of concern");
        bench.desk.heard(ended);
        match rang || answered {
            true => assert!(matches!(bench.act(), Act::Over(it) if it == slip)),
            false => assert_eq!(parts(bench.taken().1).0, 1, "the next trunk"),
        }
        bench.nothing();
    }
}

#[test]
fn trunks_that_are_down_are_not_tried_and_the_brewery_hears_of_it() {
    let mut bench = Bench::new();
    assert!(bench.desk.has_trunk());
    bench.desk.heard(Heard::Trunk(TrunkId(0), false));
    bench.dial("+6221");
    assert_eq!(parts(bench.taken().1).0, 1);
    bench.desk.heard(Heard::Trunk(TrunkId(1), false));
    assert!(!bench.desk.has_trunk());
    let slip = bench.dial("+6221");
    assert_eq!(bench.refusal(), (slip, "no trunk can be used".to_owned()));
    bench.desk.heard(Heard::Trunk(TrunkId(0), true));
    assert!(bench.desk.has_trunk());
    assert_eq!(bench.desk.counters().dials_no_trunk, 1);
    let mut off = config("");
    off.dial_out.enabled = false;
    assert!(!Desk::new(&off).has_trunk());
}

#[test]
fn thieves_are_stopped_at_the_caps() {
    let mut bench = Bench::new();
    for (to, why) in [
        ("+62900123", "that number may not be called"),
        ("+4930", "that number may not be called"),
        ("sip:bob@192.0.2.9", "that number may not be called"),
        ("no number!", "that is no number"),
    ] {
        let slip = bench.dial(to);
        assert_eq!(bench.refusal(), (slip, why.to_owned()));
    }
    let calls: Vec<CallKey> = (0..3)
        .map(|_| {
            bench.dial("+6221");
            bench.taken().0
        })
        .collect();
    bench.dial("+6221");
    assert_eq!(bench.refusal().1, "too many calls out");
    for call in calls {
        bench.in_room(call);
        bench.act();
        bench.ended(call, EndReason::CallerHungUp, None);
        bench.act();
    }
    for _ in 0..2 {
        bench.dial("+6221");
        bench.taken();
    }
    bench.dial("+6221");
    assert_eq!(bench.refusal().1, "too many calls out in a minute");
    bench.now += MINUTE;
    bench.dial("+6221");
    bench.taken();
    let counters = bench.desk.counters();
    assert_eq!((counters.dials_bad_number, counters.dials_not_allowed), (1, 3));
    assert_eq!(counters.dials_too_many, 2);
}

#[test]
fn what_nobody_waits_for_is_ended() {
    // In the room too late.
    let mut bench = Bench::new();
    let slip = bench.dial("+6221");
    let (call, _) = bench.taken();
    bench.desk.too_late(slip);
    assert!(matches!(bench.act(), Act::End(it, EndReason::ServiceUnavailable) if it == call));
    bench.ended(call, EndReason::ServiceUnavailable, Some(503));
    assert!(matches!(bench.act(), Act::Over(_)), "no other trunk is tried for it");
    bench.nothing();
    // Before the gateway even took it.
    let slip = bench.dial("+6221");
    let Act::Dial(id, _) = bench.act() else { panic!("a call begins") };
    bench.desk.too_late(slip);
    bench.nothing();
    let call = bench.keys.insert(());
    bench.desk.dialled(id, Ok(call));
    assert!(matches!(bench.act(), Act::End(it, _) if it == call));
    assert!(matches!(bench.act(), Act::Over(_)));
    // Somebody hangs up.
    let slip = bench.dial("+6221");
    let (call, _) = bench.taken();
    bench.in_room(call);
    bench.act();
    bench.desk.hang_up(slip);
    assert!(matches!(bench.act(), Act::End(it, EndReason::Operator) if it == call));
    // Its brewery is removed: the call goes on.
    bench.desk.seat_gone(slip.0);
    bench.desk.hang_up(slip);
    bench.nothing();
    assert_eq!(bench.desk.len(), 1);
}

#[test]
fn a_gateway_that_makes_no_call_is_answered_for() {
    let mut bench = Bench::new();
    let slip = bench.dial("+6221");
    for _ in 0..2 {
        let Act::Dial(id, _) = bench.act() else { panic!("a call begins") };
        bench.desk.dialled(id, Err("no listener of that transport".to_owned()));
    }
    assert_eq!(bench.refusal(), (slip, "no trunk can be used".to_owned()));
    assert!(matches!(bench.act(), Act::Over(_)));
    assert!(bench.desk.is_empty());
}

#[test]
fn an_end_that_was_not_heard_is_noticed() {
    let mut bench = Bench::new();
    let slip = bench.dial("+6221");
    let (call, _) = bench.taken();
    let there: BTreeSet<CallKey> = [call].into();
    for _ in 0..10 {
        bench.desk.alive(&there);
    }
    bench.nothing();
    for _ in 0..MISSING_MAX {
        bench.desk.alive(&BTreeSet::new());
    }
    assert_eq!(bench.refusal().0, slip);
    assert!(matches!(bench.act(), Act::Over(it) if it == slip));
    assert!(bench.desk.is_empty());
}

/// Whatever comes in whatever order: each dial is answered at most once, all ends are told, nothing is left.
#[test]
fn any_order_of_events_leaves_nothing_behind() {
    for seed in 0..200 {
        let mut rng = Rng::from_number(seed);
        let mut bench = Bench::new();
        let (mut answers, mut over): (BTreeMap<Slip, u32>, BTreeMap<Slip, u32>) =
            Default::default();
        let mut calls: Vec<CallKey> = Vec::new();
        let mut slips: Vec<Slip> = Vec::new();
        for step in 0..400 {
            bench.now += Duration::from_secs(u64::from(rng.below(30)));
            let some = |rng: &mut Rng, length: usize| rng.below(length.max(1) as u32) as usize;
            let call = calls.get(some(&mut rng, calls.len())).copied();
            let slip = slips.get(some(&mut rng, slips.len())).copied();
            match (rng.below(7), call, slip) {
                (0 | 1, ..) if step < 300 => slips.push(bench.dial("+6221")),
                (2, Some(call), _) => bench.in_room(call),
                (3 | 4, Some(call), _) => {
                    let status = [None, Some(486), Some(503)][some(&mut rng, 3)];
                    bench.ended(call, EndReason::Refused, status);
                    calls.retain(|it| *it != call);
                }
                (5, _, Some(slip)) => bench.desk.too_late(slip),
                (6, _, Some(slip)) => bench.desk.hang_up(slip),
                _ => {}
            }
            while let Some(act) = bench.desk.poll_act() {
                match act {
                    Act::Dial(id, _) if rng.below(5) == 0 => {
                        bench.desk.dialled(id, Err(String::new()))
                    }
                    Act::Dial(id, _) => {
                        let call = bench.keys.insert(());
                        calls.push(call);
                        bench.desk.dialled(id, Ok(call));
                    }
                    Act::Answer(slip, _) => *answers.entry(slip).or_default() += 1,
                    Act::Over(slip) => *over.entry(slip).or_default() += 1,
                    Act::Occupant(..) | Act::End(..) => {}
                }
            }
        }
        for call in calls {
            bench.ended(call, EndReason::CallerHungUp, None);
        }
        while let Some(act) = bench.desk.poll_act() {
            match act {
                Act::Answer(slip, _) => *answers.entry(slip).or_default() += 1,
                Act::Over(slip) => *over.entry(slip).or_default() += 1,
                Act::Dial(id, _) => bench.desk.dialled(id, Err(String::new())),
                Act::Occupant(..) | Act::End(..) => {}
            }
        }
        assert!(
            bench.desk.is_empty() && bench.desk.by_call.is_empty() && bench.desk.by_slip.is_empty()
        );
        assert!(answers.values().chain(over.values()).all(|count| *count == 1), "seed {seed}");
        assert!(over.len() > 5, "seed {seed}: calls were made");
    }
}
