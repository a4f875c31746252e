//! Who may dial what, and when it is answered.

use super::*;
use crate::jitsi::brewery::dials::ANSWER_WITHIN;
use crate::jitsi::stanza::rayo;

/// A dial as the focus forwards it.
fn dial(id: &str, to: &str, more: &str) -> String {
    format!(
        "<iq type='set' id='{id}' from='{FOCUS}' to='{ME}'><dial xmlns='{RAYO}' to='{to}' from='fromnumber'>\
         {more}</dial></iq>"
    )
}

fn room(value: &str) -> String {
    format!("<header name='JvbRoomName' value='{value}'/>")
}

fn order(bench: &mut Bench) -> (u64, Order) {
    match bench.events().as_slice() {
        [BreweryEvent::Dial(ticket, order)] => (*ticket, (**order).clone()),
        events => panic!("{events:?}"),
    }
}

fn condition(sent: &[Element]) -> (String, String) {
    let [answer] = sent else { panic!("{sent:?}") };
    let error = StanzaError::read(answer).expect("a refusal");
    assert!(!error.text().unwrap_or_default().is_empty(), "it says why");
    (answer.attr("id").unwrap_or_default().to_owned(), error.condition.to_owned())
}

#[test]
fn a_dial_says_what_is_wanted() {
    let mut bench = Bench::inside();
    let headers =
        "<header name='JvbRoomPassword' value='secret'/><header name='X-Test' value='42'/>";
    let more = format!("{}{headers}", room("[acme]Tea%20time@MUC.meet.test"));
    bench.hear(&dial("1", "+31201234567", &more));
    let (_, order) = order(&mut bench);
    assert_eq!(order.to.reveal(), "+31201234567");
    assert_eq!(order.conference, "[acme]tea%20time@muc.meet.test");
    assert_eq!((order.room.as_str(), order.tenant.as_deref()), ("tea%20time", Some("acme")));
    assert_eq!(order.password, Some(Pii::new("secret".to_owned())));
    assert_eq!(order.headers, [("X-Test".to_owned(), Pii::new("42".to_owned()))]);
}

#[test]
fn what_cannot_be_is_refused_with_words() {
    let good = room("tea@muc.meet.test");
    let long = "9".repeat(300);
    for (to, more, expected) in [
        ("+1", String::new(), "bad-request"),
        ("+1", room(""), "bad-request"),
        ("+1", room("muc.meet.test"), "bad-request"),
        ("+1", room("tea@muc.meet.test@x"), "bad-request"),
        ("+1", room("[acme]@muc.meet.test"), "bad-request"),
        ("+1", room("tea@evil.test"), "forbidden"),
        ("", good.clone(), "bad-request"),
        (long.as_str(), good.clone(), "bad-request"),
        ("jitsi_meet_transcribe", good, "not-acceptable"),
    ] {
        let mut bench = Bench::inside();
        bench.hear(&dial("1", to, &more));
        assert_eq!(condition(&bench.sent()), ("1".to_owned(), expected.to_owned()), "{to} {more}");
    }
}

#[test]
fn only_those_who_may_dial() {
    let stranger = |from: &str| dial("1", "+1", &room("tea@muc.meet.test")).replace(FOCUS, from);
    for from in
        ["mallory@meet.test/x", "internal.auth.meet.test", "other@internal.auth.meet.test/focus"]
    {
        let mut bench = Bench::inside();
        bench.hear(&stranger(from));
        assert_eq!(condition(&bench.sent()).1, "forbidden", "{from}");
    }
    let settings = BrewerySettings { allowed: vec!["bot@auth.meet.test".to_owned()], ..settings() };
    let mut bench = Bench::inside();
    bench.machine.dials = Dials::new(&settings);
    bench.hear(&stranger("Bot@auth.meet.test/1"));
    order(&mut bench);
    bench.hear(&dial("2", "+1", &room("tea@muc.meet.test")));
    assert_eq!(condition(&bench.sent()).1, "forbidden", "a list takes the room's place");
}

#[test]
fn a_gateway_that_cannot_call_says_so() {
    for load in [Load { is_draining: true, ..load() }, Load { has_trunk: false, ..load() }] {
        let mut bench = Bench::inside();
        bench.machine.load(bench.now, load);
        bench.drain();
        bench.hear(&dial("1", "+1", &room("tea@muc.meet.test")));
        assert_eq!(condition(&bench.sent()).1, "service-unavailable");
    }
    let mut bench = Bench::inside();
    for id in ["1", "2", "3"] {
        bench.hear(&dial(id, "+1", &room("tea@muc.meet.test")));
        order(&mut bench);
    }
    assert_eq!(bench.machine.dials_waiting(), settings().dials_max);
    bench.hear(&dial("4", "+1", &room("tea@muc.meet.test")));
    assert_eq!(condition(&bench.sent()).1, "resource-constraint");
}

#[test]
fn a_repeated_request_is_one_call_and_one_answer() {
    let mut bench = Bench::inside();
    let asked = dial("same", "+1", &room("tea@muc.meet.test"));
    bench.hear(&asked);
    let (ticket, _) = order(&mut bench);
    bench.hear(&asked);
    assert_eq!(bench.drain(), (vec![], vec![]), "it waits already");
    assert!(bench.machine.answer(ticket, Ok("tea@muc.meet.test/1".to_owned())));
    let answer = bench.sent();
    assert_eq!(answer.len(), 1);
    bench.hear(&asked);
    assert_eq!(bench.sent(), answer, "the same answer again, and no second call");
    assert!(!bench.machine.answer(ticket, Ok("tea@muc.meet.test/2".to_owned())));
    assert_eq!(bench.sent(), []);
    bench.hear(&asked.replace("same", "other"));
    order(&mut bench);
    // Much later an id means nothing any more.
    bench.now += Duration::from_secs(61);
    bench.hear(&asked);
    order(&mut bench);
}

#[test]
fn a_call_that_takes_too_long_is_refused_in_time_and_ended() {
    let mut bench = Bench::inside();
    bench.hear(&dial("slow", "+1", &room("tea@muc.meet.test")));
    let (ticket, _) = order(&mut bench);
    assert_eq!(bench.wake(), ANSWER_WITHIN);
    assert!(ANSWER_WITHIN < Duration::from_secs(15), "the focus asks another gateway then");
    let (sent, events) = bench.drain();
    assert_eq!(condition(&sent), ("slow".to_owned(), "remote-server-timeout".to_owned()));
    assert_eq!(events, [BreweryEvent::TooLate(ticket)]);
    assert!(!bench.machine.answer(ticket, Ok("tea@muc.meet.test/1".to_owned())));
    assert_eq!(bench.sent(), []);
}

#[test]
fn who_cannot_hear_the_answer_gets_no_call() {
    let mut bench = Bench::inside();
    bench.hear(&dial("1", "+1", &room("tea@muc.meet.test")));
    let (ticket, _) = order(&mut bench);
    bench.machine.stream_down();
    assert_eq!(bench.drain(), (vec![], vec![]), "the same session may go on");
    bench.up(true);
    bench.sent();
    assert!(bench.machine.answer(ticket, Ok("tea@muc.meet.test/1".to_owned())));
    assert_eq!(bench.sent().len(), 1);
    bench.hear(&dial("2", "+1", &room("tea@muc.meet.test")));
    let (ticket, _) = order(&mut bench);
    bench.machine.stream_down();
    bench.up(false);
    let (_, events) = bench.drain();
    assert_eq!(events, [BreweryEvent::TooLate(ticket)]);
}

#[test]
fn a_hangup_ends_the_call_it_names() {
    let mut bench = Bench::inside();
    bench.hear(&dial("1", "+1", &room("tea@muc.meet.test")));
    let (ticket, _) = order(&mut bench);
    bench.machine.answer(ticket, Ok("tea@muc.meet.test/1".to_owned()));
    bench.machine.occupant(ticket, "tea@muc.meet.test/2");
    bench.drain();
    let mut ids = 0;
    let mut hang_up = |bench: &mut Bench, from: &str, attribute: &str| {
        ids += 1;
        bench.hear(&format!(
            "<iq type='set' id='h{ids}' from='{from}' to='{ME}'><hangup xmlns='{RAYO}'{attribute}/></iq>"
        ));
        bench.drain()
    };
    for address in ["tea@muc.meet.test/1", "tea@muc.meet.test/2"] {
        let (sent, events) = hang_up(&mut bench, FOCUS, &format!(" uri='xmpp:{address}'"));
        assert_eq!(sent[0].attr("type"), Some("result"));
        assert_eq!(events, [BreweryEvent::HangUp(ticket)]);
    }
    let named = " uri='xmpp:tea@muc.meet.test/1'";
    let (sent, events) = hang_up(&mut bench, "mallory@meet.test/x", named);
    assert_eq!((condition(&sent).1.as_str(), events.len()), ("forbidden", 0));
    let (sent, events) = hang_up(&mut bench, FOCUS, "");
    assert_eq!((condition(&sent).1.as_str(), events.len()), ("bad-request", 0));
    bench.machine.ended(ticket);
    let (sent, events) = hang_up(&mut bench, FOCUS, named);
    assert_eq!((condition(&sent).1.as_str(), events.len()), ("item-not-found", 0));
}

#[test]
fn refusals_of_the_owner_are_told_as_they_are() {
    let mut bench = Bench::inside();
    bench.hear(&dial("1", "+1", &room("tea@muc.meet.test")));
    let (ticket, _) = order(&mut bench);
    let refused = DialRefused::new(iq::FORBIDDEN, "that number may not be called");
    assert!(bench.machine.answer(ticket, Err(refused)));
    assert_eq!(condition(&bench.sent()).1, "forbidden");
    assert_eq!(rayo::Hangup::read(&Element::bare("dial", RAYO)), None);
}
