//! INFO with JSON: in and out, one at a time, and nothing that happens to one ends the call.

use super::stage::*;
use crate::base::ids::DialogKey;
use crate::base::limits::{SIP_INFO_BODY_MAX, SIP_INFOS_WAITING_MAX};
use crate::sip::endpoint::*;

fn stage() -> Stage {
    Stage::with_trunk(|trunk| trunk.takes_json = true)
}

fn tell(t: &mut Stage, dialog: DialogKey, body: &str) {
    let (content_type, body) = ("application/json".to_owned(), body.as_bytes().to_vec());
    t.try_command(UaCommand::Info { dialog, content_type, body }).expect("a living dialog");
}

fn is_answered(t: &mut Stage) -> bool {
    match t.event() {
        UaEvent::InfoAnswered { ok, .. } => ok,
        other => panic!("{other:?}"),
    }
}

#[test]
fn json_comes_in_and_everything_is_answered_200() {
    let mut t = stage();
    let (_, ok) = t.talking();
    let body = r#"{"t":4,"i":1,"d":{"pwd":"1234"}}"#;
    t.recv(t.within("INFO", &ok, 2).body("application/json; charset=utf-8", body));
    t.expect(200, "INFO");
    match t.event() {
        UaEvent::Info { content_type, body: told, .. } => {
            assert_eq!(content_type, "application/json");
            assert_eq!(told, body.as_bytes());
        }
        other => panic!("{other:?}"),
    }
    let long = "x".repeat(SIP_INFO_BODY_MAX + 1);
    t.recv(t.within("INFO", &ok, 3).body("application/json", &long));
    t.expect(200, "INFO");
    t.recv(t.within("INFO", &ok, 4).body("application/media_control+xml", "<x/>"));
    t.expect(200, "INFO");
    t.recv(t.within("INFO", &ok, 5).body("application/dtmf", "7"));
    t.expect(200, "INFO");
    assert!(matches!(t.event(), UaEvent::Key { .. }));
    t.expect_nothing();
    assert_eq!(t.endpoint.counters().sip_infos_ignored, 2);
}

#[test]
fn on_other_trunks_json_is_refused_as_ever() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    t.recv(t.within("INFO", &ok, 2).body("application/json", "{}"));
    assert_eq!(t.expect(415, "INFO").must("Accept"), "application/dtmf-relay, application/dtmf");
    t.expect_nothing();
}

#[test]
fn ours_wait_for_the_ack_and_for_each_other() {
    let mut t = stage();
    t.recv(invite());
    let dialog = t.invited();
    tell(&mut t, dialog, r#"{"t":3,"i":0}"#);
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    tell(&mut t, dialog, r#"{"t":6,"i":1}"#);
    t.expect_nothing();
    t.recv(t.within("ACK", &ok, 1));
    assert!(matches!(t.event(), UaEvent::Acknowledged { .. }));
    let first = t.expect_request("INFO");
    assert_eq!(first.must("Content-Type"), "application/json");
    assert_eq!(first.must("CSeq"), "1 INFO");
    assert_eq!(first.body(), r#"{"t":3,"i":0}"#);
    t.expect_nothing();
    t.recv(t.answer(&first, 200, ""));
    assert!(is_answered(&mut t));
    let second = t.expect_request("INFO");
    assert_eq!((second.must("CSeq"), second.body()), ("2 INFO", r#"{"t":6,"i":1}"#));
}

#[test]
fn a_refused_and_an_unanswered_one_are_counted_and_the_call_goes_on() {
    let mut t = stage();
    let (dialog, _) = t.talking();
    for body in ["1", "2", "3"] {
        tell(&mut t, dialog, body);
    }
    for status in [481, 408] {
        let info = t.expect_request("INFO");
        t.recv(t.answer(&info, status, ""));
        assert!(!is_answered(&mut t));
    }
    t.expect_request("INFO");
    t.run_for(secs(40));
    assert!(!is_answered(&mut t));
    t.sent.clear(); // its repeats
    assert_eq!(t.endpoint.counters().sip_infos_failed, 3);
    t.end(dialog);
    t.expect_request("BYE");
    t.expect_end(DialogEnd::ByUs);
}

#[test]
fn what_waits_is_said_before_the_bye_and_too_much_is_given_up() {
    let mut t = stage();
    let (dialog, _) = t.talking();
    // One is on its way, so many wait, one is too much.
    for number in 0..SIP_INFOS_WAITING_MAX + 2 {
        tell(&mut t, dialog, &number.to_string());
    }
    assert!(!is_answered(&mut t));
    t.end(dialog);
    for number in 0..=SIP_INFOS_WAITING_MAX {
        assert_eq!(t.expect_request("INFO").body(), number.to_string());
    }
    t.expect_request("BYE");
    t.expect_end(DialogEnd::ByUs);
}

#[test]
fn routing_gets_the_headers_it_asks_for_of_trunks_that_are_believed() {
    for (trusted, expected) in [(true, vec!["My-Room", "Jitsi-Visitor"]), (false, vec![])] {
        let mut t = Stage::with_trunk(|trunk| {
            trunk.trusted = trusted;
            trunk.headers = vec!["my-room".to_owned()];
        });
        t.recv(invite().header("My-Room: tea").header("Other: x").header("Jitsi-Visitor: true"));
        let facts = match t.event() {
            UaEvent::Invited { facts, .. } => facts,
            other => panic!("{other:?}"),
        };
        let names: Vec<&str> = facts.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected);
    }
}
