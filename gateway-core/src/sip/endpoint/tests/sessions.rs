//! Session timers (RFC 4028), reliable provisional responses (RFC 3262), keys by INFO, trunk state.

use std::time::Duration;

use super::stage::*;
use crate::base::ids::TrunkId;
use crate::media::dtmf::Key;
use crate::sip::endpoint::*;

/// An INVITE with these headers, accepted and acknowledged. Gives our 200.
fn talking_with(t: &mut Stage, headers: &[&str]) -> Sent {
    let invite = headers.iter().fold(invite(), |invite, line| invite.header(line));
    t.recv(invite);
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.recv(t.within("ACK", &ok, 1));
    t.event();
    ok
}

#[test]
fn a_peer_that_refreshes_is_hung_up_when_it_stops() {
    let mut t = Stage::new();
    let ok = talking_with(&mut t, &["Supported: timer", "Session-Expires: 90;refresher=uac"]);
    assert_eq!(ok.must("Session-Expires"), "90;refresher=uac");
    assert_eq!(ok.must("Require"), "timer");
    t.run_for(secs(50));
    let refresh = t.within("UPDATE", &ok, 2).header("Supported: timer");
    t.recv(refresh.header("Session-Expires: 90;refresher=uac"));
    let refreshed = t.expect(200, "UPDATE");
    assert_eq!(refreshed.must("Session-Expires"), "90;refresher=uac");
    // 90 s less a third: the BYE comes before the interval is over.
    t.run_for(millis(59_999));
    t.expect_nothing();
    t.run_for(millis(1));
    t.expect_request("BYE");
    t.expect_end(DialogEnd::SessionExpired);
}

#[test]
fn with_refresher_uas_we_refresh_at_half_the_time() {
    let mut t = Stage::new();
    let headers =
        ["Supported: timer", "Session-Expires: 90;refresher=uas", "Allow: INVITE, UPDATE"];
    let ok = talking_with(&mut t, &headers);
    assert_eq!(ok.must("Session-Expires"), "90;refresher=uas");
    for _ in 0..3 {
        t.run_for(millis(44_999));
        t.expect_nothing();
        t.run_for(millis(1));
        let update = t.expect_request("UPDATE");
        assert_eq!(update.must("Session-Expires"), "90;refresher=uac", "in it we are the UAC");
        assert_eq!(update.body(), "");
        let ok = t.answer(&update, 200, "").header("Session-Expires: 90;refresher=uac");
        t.recv(ok.header("Require: timer"));
    }
    t.expect_nothing();
}

#[test]
fn a_peer_without_update_is_refreshed_by_re_invite() {
    let mut t = Stage::new();
    talking_with(
        &mut t,
        &["Supported: timer", "Session-Expires: 90;refresher=uas", "Allow: INVITE"],
    );
    t.run_for(secs(45));
    let again = t.expect_request("INVITE");
    assert_eq!(again.body(), OUR_SDP, "the last description, unchanged");
    t.recv(t.answer(&again, 200, "").sdp(SDP).header("Session-Expires: 90;refresher=uac"));
    t.expect_request("ACK");
    t.expect_nothing(); // a refresh is not told
}

#[test]
fn a_refresh_without_an_answer_ends_the_call() {
    let mut t = Stage::new();
    let headers = ["Supported: timer", "Session-Expires: 1800;refresher=uas", "Allow: UPDATE"];
    talking_with(&mut t, &headers);
    t.run_for(secs(900 + 33));
    t.expect_end(DialogEnd::PeerForgot);
    assert_eq!(t.sent.pop_back().expect("a BYE").method(), "BYE");
}

#[test]
fn an_interval_that_is_too_brief_is_answered_422() {
    let mut t = Stage::new();
    t.recv(invite().header("Supported: timer").header("Session-Expires: 60"));
    assert_eq!(t.expect(422, "INVITE").must("Min-SE"), "90");
    assert!(t.endpoint.is_empty());
    let ok = talking_with(&mut t, &[]);
    t.recv(t.within("UPDATE", &ok, 2).header("Session-Expires: 30"));
    assert_eq!(t.expect(422, "UPDATE").must("Min-SE"), "90");
}

#[test]
fn a_422_to_our_invite_asks_for_longer_and_does_not_loop() {
    let mut t = Stage::with_trunk(|trunk| trunk.session_expires = Some(secs(120)));
    let (_, mut invite) = t.call_out();
    assert_eq!(invite.must("Session-Expires"), "120");
    let mut tries = 0;
    loop {
        let least = 600 + tries;
        t.recv(t.answer(&invite, 422, "x").header(&format!("Min-SE: {least}")));
        t.expect_request("ACK");
        if t.sent.is_empty() {
            break;
        }
        invite = t.expect_request("INVITE");
        assert_eq!(invite.must("Session-Expires"), least.to_string());
        assert_eq!(invite.must("Min-SE"), least.to_string());
        tries += 1;
    }
    assert_eq!(tries, 3);
    t.expect_end(DialogEnd::Rejected(422));
}

#[test]
fn a_trunk_may_wish_for_a_timer() {
    let mut t = Stage::with_trunk(|trunk| trunk.session_expires = Some(secs(600)));
    let ok = talking_with(&mut t, &["Supported: timer"]);
    assert_eq!(ok.must("Session-Expires"), "600;refresher=uas");
    let mut t = Stage::with_trunk(|trunk| trunk.session_expires = Some(secs(600)));
    let ok = talking_with(&mut t, &[]);
    assert_eq!(ok.header("Session-Expires"), None, "a peer that knows no timer gets none");
}

#[test]
fn ringing_is_repeated_until_its_prack() {
    let mut t = Stage::with_trunk(|trunk| trunk.reliable_provisional = true);
    t.recv(invite().header("Supported: 100rel"));
    let dialog = t.invited();
    t.ring(dialog);
    let ringing = t.expect(180, "INVITE");
    assert_eq!(ringing.must("Require"), "100rel");
    t.run_for(millis(1_500));
    assert_eq!(t.expect(180, "INVITE").text, ringing.text);
    assert_eq!(t.expect(180, "INVITE").text, ringing.text);
    let ack = format!("RAck: {} 1 INVITE", ringing.must("RSeq"));
    t.recv(t.within("PRACK", &ringing, 2).header(&ack));
    t.expect(200, "PRACK");
    assert!(matches!(t.event(), UaEvent::ProvisionalAcknowledged { sdp: None, .. }));
    t.recv(t.within("PRACK", &ringing, 3).header(&ack));
    t.expect(481, "PRACK"); // acknowledged already
    t.run_for(secs(60));
    t.expect_nothing();
}

#[test]
fn a_second_reliable_response_waits_for_the_first() {
    let mut t = Stage::with_trunk(|trunk| trunk.reliable_provisional = true);
    t.recv(invite().header("Supported: 100rel"));
    let dialog = t.invited();
    t.command(UaCommand::Ring { dialog, status: 183, sdp: Some(OUR_SDP.into()) });
    t.ring(dialog);
    t.accept(dialog);
    let early = t.expect(183, "INVITE");
    t.expect_nothing();
    let ack = format!("RAck: {} 1 INVITE", early.must("RSeq"));
    t.recv(t.within("PRACK", &early, 2).header(&ack));
    t.expect(200, "PRACK");
    // RFC 3262 §3: the 200 had to wait; the description was told already.
    assert_eq!(t.expect(200, "INVITE").body(), "");
    t.event();
    t.expect_nothing();
}

#[test]
fn a_reliable_response_never_acknowledged_refuses_the_call() {
    let mut t = Stage::new();
    t.recv(invite().header("Require: 100rel"));
    let dialog = t.invited();
    t.ring(dialog);
    t.run_for(secs(32));
    assert_eq!(t.sent.pop_back().and_then(|sent| sent.status()), Some(504));
    t.expect_end(DialogEnd::TimedOut);
}

#[test]
fn require_100rel_without_sdp_keeps_quiet_until_the_200() {
    let mut t = Stage::new();
    t.recv(Said::new("INVITE").header("Require: 100rel"));
    let dialog = t.invited();
    t.ring(dialog);
    t.expect_nothing(); // a reliable 180 would have to carry an offer
    t.accept(dialog);
    assert_eq!(t.expect(200, "INVITE").body(), OUR_SDP);
}

#[test]
fn an_early_offer_of_ours_is_answered_in_the_prack() {
    let mut t = Stage::new();
    t.recv(Said::new("INVITE").header("Require: 100rel"));
    let dialog = t.invited();
    t.command(UaCommand::Ring { dialog, status: 183, sdp: Some(OUR_SDP.into()) });
    let early = t.expect(183, "INVITE");
    let ack = format!("RAck: {} 1 INVITE", early.must("RSeq"));
    t.recv(t.within("PRACK", &early, 2).header(&ack).sdp(SDP));
    t.expect(200, "PRACK");
    match t.event() {
        UaEvent::ProvisionalAcknowledged { sdp, .. } => assert_eq!(sdp, Some(SDP.into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut t = Stage::new();
    t.recv(invite().header("Require: 100rel"));
    let dialog = t.invited();
    t.command(UaCommand::Ring { dialog, status: 183, sdp: Some(OUR_SDP.into()) });
    let early = t.expect(183, "INVITE");
    let ack = format!("RAck: {} 1 INVITE", early.must("RSeq"));
    t.recv(t.within("PRACK", &early, 2).header(&ack).sdp("v=0 new"));
    assert!(matches!(t.event(), UaEvent::ProvisionalAcknowledged { sdp: None, .. }));
    assert!(matches!(t.event(), UaEvent::Offered { .. }));
    t.command(UaCommand::Answer { dialog, sdp: b"v=0 answer".to_vec() });
    assert_eq!(t.expect(200, "PRACK").body(), "v=0 answer");
}

#[test]
fn reliable_progress_of_a_call_of_ours_is_acknowledged_in_order() {
    let mut t = Stage::new();
    let (_, invite) = t.call_out();
    assert!(invite.must("Supported").contains("100rel"));
    let reliable = |t: &Stage, status: u16, number: u32| {
        t.answer(&invite, status, "bob")
            .header("Require: 100rel")
            .header(&format!("RSeq: {number}"))
    };
    t.recv(reliable(&t, 183, 7).sdp(SDP));
    let prack = t.expect_request("PRACK");
    assert_eq!(prack.must("RAck"), "7 1 INVITE");
    assert_eq!(prack.must("CSeq"), "2 PRACK");
    assert_eq!(prack.to_tag(), "bob");
    assert!(matches!(t.event(), UaEvent::Progress { status: 183, sdp: Some(_), .. }));
    t.recv(t.answer(&prack, 200, "bob"));
    t.recv(reliable(&t, 183, 7).sdp(SDP));
    t.recv(reliable(&t, 180, 9));
    t.expect_nothing(); // a repeat, and one that came before its turn
    t.recv(reliable(&t, 180, 8));
    assert_eq!(t.expect_request("PRACK").must("RAck"), "8 1 INVITE");
    assert!(matches!(t.event(), UaEvent::Progress { status: 180, sdp: None, .. }));
    t.sent.clear();
    t.recv(t.answer(&invite, 200, "bob"));
    let ack = t.expect_request("ACK");
    assert_eq!(ack.must("CSeq"), "1 ACK", "the number of the INVITE, not of the last PRACK");
    assert!(matches!(t.event(), UaEvent::Answered { sdp: None, .. }));
}

#[test]
fn keys_come_by_info() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    let relay = "Signal=5\r\nDuration=160\r\n";
    t.recv(t.within("INFO", &ok, 2).body("application/dtmf-relay", relay));
    t.expect(200, "INFO");
    assert!(matches!(t.event(), UaEvent::Key { key: Key::Digit(5), .. }));
    t.recv(t.within("INFO", &ok, 3).body("application/dtmf", "#"));
    t.expect(200, "INFO");
    assert!(matches!(t.event(), UaEvent::Key { key: Key::Hash, .. }));
    t.recv(t.within("INFO", &ok, 3).body("application/dtmf", "#"));
    t.expect(200, "INFO"); // a repeat is no second key
    t.recv(t.within("INFO", &ok, 4));
    t.expect(200, "INFO");
    t.recv(t.within("INFO", &ok, 5).body("application/media_control+xml", "<x/>"));
    t.expect(415, "INFO");
    t.expect_nothing();
}

#[test]
fn a_trunk_is_asked_and_its_state_told_when_it_changes() {
    let mut t = Stage::with_trunk(|trunk| trunk.qualify_every = Some(secs(60)));
    t.run_for(secs(1));
    let options = t.expect_request("OPTIONS");
    assert_eq!(options.to, Some(THEIRS.parse().expect("an address")));
    t.sent.clear();
    t.now += millis(30);
    t.recv(t.answer(&options, 404, "x"));
    let told = match t.event() {
        UaEvent::TrunkState { trunk: TrunkId(0), up: Some(told) } => told,
        other => panic!("{other:?}"),
    };
    assert!(told >= millis(30));
    assert_eq!(t.endpoint.snapshot().round_trips, [(TrunkId(0), Some(told))]);
    t.run_for(secs(60));
    let options = t.expect_request("OPTIONS");
    t.recv(t.answer(&options, 200, "x"));
    t.sent.clear();
    t.expect_nothing(); // still up: nothing to tell
    t.run_for(secs(120));
    assert!(matches!(t.event(), UaEvent::TrunkState { up: None, .. }));
    t.expect_usable(false);
    t.run_for(Duration::from_secs(120));
    t.sent.clear();
    t.expect_nothing(); // still down
}
