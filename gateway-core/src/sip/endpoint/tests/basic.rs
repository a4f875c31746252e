//! Calls in and out, their ends, and what a quiet endpoint owes.

use super::stage::*;
use crate::sip::endpoint::*;

#[test]
fn a_call_comes_in_talks_and_is_hung_up_by_the_caller() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.expect_nothing();
    t.ring(dialog);
    let ringing = t.expect(180, "INVITE");
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    assert_eq!(ringing.to_tag(), ok.to_tag());
    assert_eq!(ok.body(), OUR_SDP);
    assert_eq!(ok.must("Contact"), "<sip:weebee@203.0.113.1:5060>");
    t.recv(t.within("ACK", &ok, 1));
    assert!(matches!(t.event(), UaEvent::Acknowledged { sdp: None, .. }));
    t.run_for(secs(10));
    t.expect_nothing(); // acknowledged: nothing is repeated
    t.recv(t.within("BYE", &ok, 2));
    t.expect(200, "BYE");
    t.expect_end(DialogEnd::ByeReceived);
    assert_eq!(t.endpoint.len(), 0);
    t.run_for(secs(64));
    t.expect_nothing();
    assert!(t.endpoint.is_empty(), "{:?}", t.endpoint.snapshot());
}

#[test]
fn an_invite_without_an_answer_gets_100_after_200_ms() {
    let mut t = Stage::new();
    t.recv(invite());
    t.invited();
    t.run_for(millis(199));
    t.expect_nothing();
    t.run_for(millis(1));
    t.expect(100, "INVITE");
    t.recv(invite());
    t.expect(100, "INVITE");
    t.expect_nothing();
}

#[test]
fn an_invite_that_nobody_answers_is_refused_after_three_minutes() {
    let mut t = Stage::new();
    t.recv(invite());
    t.invited();
    t.run_for(secs(180));
    t.expect(100, "INVITE");
    t.expect(480, "INVITE");
    t.expect_end(DialogEnd::TimedOut);
}

#[test]
fn the_200_is_repeated_until_the_ack() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    let waits: Vec<u64> = (0..6)
        .map(|_| {
            let wait = t.run_to_next().as_millis() as u64;
            assert_eq!(t.expect(200, "INVITE").text, ok.text);
            wait
        })
        .collect();
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    t.recv(t.within("ACK", &ok, 1));
    t.event();
    t.run_for(secs(100));
    t.expect_nothing();
}

#[test]
fn a_200_never_acknowledged_ends_with_bye_after_32_s() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.accept(dialog);
    t.run_for(millis(31_999));
    t.sent.clear();
    t.expect_nothing();
    t.run_for(millis(1));
    let bye = t.expect_request("BYE");
    t.expect_end(DialogEnd::AckTimeout);
    assert_eq!(bye.request_uri(), "sip:alice@198.51.100.7:5060");
    t.recv(t.answer(&bye, 200, ""));
    t.run_for(secs(40));
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
}

#[test]
fn hanging_up_sends_bye_with_a_reason() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert_eq!(bye.must("Reason"), "Q.850;cause=16");
    assert_eq!(bye.from_tag(), ok.to_tag());
    assert_eq!(bye.to_tag(), "theirs");
    t.expect_end(DialogEnd::ByUs);
    t.recv(t.answer(&bye, 200, ""));
    assert_eq!(t.try_command(UaCommand::End { dialog, cause: None }), Err(ApiMisuse::NoSuchDialog));
    t.expect_nothing();
}

#[test]
fn a_bye_without_an_answer_is_repeated_and_then_forgotten() {
    let mut t = Stage::new();
    let (dialog, _) = t.talking();
    t.end(dialog);
    t.expect_end(DialogEnd::ByUs);
    t.run_for(secs(40));
    assert_eq!(t.sent.len(), 11, "timer E: 0.5, 1, 2, then every 4 s up to 32 s");
    assert!(t.sent.iter().all(|sent| sent.method() == "BYE"));
    assert!(t.endpoint.is_empty());
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.end(dialog);
    t.expect_end(DialogEnd::ByUs);
    t.expect_nothing();
    t.recv(t.within("ACK", &ok, 1));
    t.expect_request("BYE");
    t.expect_nothing();
}

#[test]
fn a_refusal_is_repeated_until_its_ack_and_carries_its_reasons() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.command(UaCommand::Reject {
        dialog,
        status: 488,
        cause: Some(65),
        warning: Some("no \"codec\"".to_owned()),
        retry_after: Some(secs(3)),
    });
    let refusal = t.expect(488, "INVITE");
    assert_eq!(refusal.must("Reason"), "Q.850;cause=65");
    assert_eq!(refusal.must("Warning"), "399 203.0.113.1:5060 \"no \\\"codec\\\"\"");
    assert_eq!(refusal.must("Retry-After"), "3");
    t.expect_end(DialogEnd::ByUs);
    t.run_for(millis(500));
    t.expect(488, "INVITE");
    t.recv(t.within("ACK", &refusal, 1).branch("z9hG4bKINVITE1"));
    t.run_for(secs(60));
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
}

#[test]
fn cancel_ends_a_call_that_rings() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.ring(dialog);
    let ringing = t.expect(180, "INVITE");
    t.recv(Said::new("CANCEL").branch("z9hG4bKINVITE1"));
    let cancelled = t.expect(200, "CANCEL");
    assert_eq!(cancelled.to_tag(), ringing.to_tag());
    t.expect(487, "INVITE");
    t.expect_end(DialogEnd::Cancelled);
    assert_eq!(
        t.try_command(UaCommand::Accept { dialog, sdp: vec![] }),
        Err(ApiMisuse::NoSuchDialog)
    );
}

#[test]
fn late_cancel_after_200_changes_nothing() {
    let mut t = Stage::new();
    let (dialog, _) = t.talking();
    t.recv(Said::new("CANCEL").branch("z9hG4bKINVITE1"));
    t.expect(200, "CANCEL"); // RFC 3261 §9.2: answered, without effect
    t.expect_nothing();
    t.end(dialog);
    t.expect_request("BYE");
}

#[test]
fn a_cancel_of_nothing_is_answered_481() {
    let mut t = Stage::new();
    t.recv(Said::new("CANCEL"));
    t.expect(481, "CANCEL");
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
}

#[test]
fn options_is_answered_without_memory_and_503_while_draining() {
    let mut t = Stage::new();
    t.recv(Said::new("OPTIONS"));
    let ok = t.expect(200, "OPTIONS");
    assert!(ok.must("Allow").contains("INVITE"));
    assert!(t.endpoint.is_empty());
    t.endpoint.drain(t.now);
    t.recv(Said::new("OPTIONS"));
    t.expect(503, "OPTIONS");
    t.recv(invite());
    let refused = t.expect(503, "INVITE");
    assert_eq!(refused.must("Retry-After"), "7");
    t.expect_nothing();
}

#[test]
fn strangers_get_nothing_and_cost_nothing() {
    let mut t = Stage::new();
    t.recv(invite().source("192.0.2.66:5060"));
    t.recv(Said::new("OPTIONS").source("192.0.2.66:5060"));
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
    assert_eq!(t.endpoint.counters().sip_dropped_unknown_source, 2);
}

#[test]
fn a_call_goes_out_and_is_hung_up_by_us() {
    let mut t = Stage::new();
    let (dialog, invite) = t.call_out();
    assert_eq!(invite.request_uri(), "sip:bob@198.51.100.7");
    assert!(
        invite.must("From").starts_with("\"Wee \\\"Bee\\\"\" <sip:weebee@203.0.113.1:5060>;tag=")
    );
    assert_eq!(invite.must("X-Room"), "tea");
    assert_eq!(invite.body(), OUR_SDP);
    t.recv(t.answer(&invite, 180, "bob"));
    assert!(matches!(t.event(), UaEvent::Progress { status: 180, sdp: None, .. }));
    let ok = t.answer(&invite, 200, "bob").sdp(SDP);
    t.recv(ok.clone());
    let ack = t.expect_request("ACK");
    assert_eq!(ack.must("CSeq"), "1 ACK");
    assert_eq!(ack.request_uri(), "sip:bob@198.51.100.7:5060");
    assert_ne!(ack.must("Via"), invite.must("Via"), "the ACK of a 2xx has a branch of its own");
    assert!(matches!(t.event(), UaEvent::Answered { sdp: Some(_), .. }));
    t.recv(ok);
    assert_eq!(t.expect_request("ACK").text, ack.text);
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert_eq!(bye.must("CSeq"), "2 BYE");
    t.expect_end(DialogEnd::ByUs);
    t.recv(t.answer(&bye, 200, ""));
    t.run_for(secs(64));
    t.expect_nothing();
    assert!(t.endpoint.is_empty(), "{:?}", t.endpoint.snapshot());
}

#[test]
fn a_call_of_ours_is_hung_up_by_the_far_side() {
    let mut t = Stage::new();
    let (_, invite, _) = t.talking_out();
    let mut bye = Said::new("BYE");
    bye.from = format!("{};tag=bob", invite.must("To"));
    bye.to = invite.must("From").to_owned();
    bye.call_id = invite.must("Call-ID").to_owned();
    t.recv(bye.cseq(77));
    t.expect(200, "BYE");
    t.expect_end(DialogEnd::ByeReceived);
}

#[test]
fn a_call_of_ours_is_refused() {
    let mut t = Stage::new();
    let (_, invite) = t.call_out();
    t.recv(t.answer(&invite, 486, "bob"));
    let ack = t.expect_request("ACK");
    assert_eq!(ack.must("Via"), invite.must("Via"), "the ACK of a refusal belongs to its INVITE");
    t.expect_end(DialogEnd::Rejected(486));
}

#[test]
fn a_call_of_ours_that_nobody_answers_times_out() {
    let mut t = Stage::new();
    t.call_out();
    t.run_for(secs(33));
    assert_eq!(t.sent.len(), 6, "timer A: 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s");
    t.expect_end(DialogEnd::TimedOut);
    assert!(t.endpoint.is_empty());
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut t = Stage::new();
    let (dialog, invite) = t.call_out();
    t.end(dialog);
    t.expect_end(DialogEnd::ByUs);
    t.expect_nothing();
    t.recv(t.answer(&invite, 100, ""));
    let cancel = t.expect_request("CANCEL");
    assert_eq!(cancel.must("Via"), invite.must("Via"));
    assert_eq!(cancel.must("CSeq"), "1 CANCEL");
    assert_eq!(cancel.must("Reason"), "Q.850;cause=16");
    t.recv(t.answer(&cancel, 200, "bob"));
    t.recv(t.answer(&invite, 487, "bob"));
    t.expect_request("ACK");
    t.run_for(secs(64));
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
}

#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let mut t = Stage::new();
    let (dialog, invite) = t.call_out();
    t.recv(t.answer(&invite, 180, "bob"));
    t.event();
    t.end(dialog);
    t.expect_request("CANCEL");
    t.expect_end(DialogEnd::ByUs);
    t.recv(t.answer(&invite, 200, "bob").sdp(SDP));
    t.expect_request("ACK");
    let bye = t.expect_request("BYE");
    assert_eq!(bye.to_tag(), "bob");
    t.expect_nothing();
}

#[test]
fn a_forked_200_is_acknowledged_and_hung_up() {
    let mut t = Stage::new();
    let (dialog, invite, _) = t.talking_out();
    t.recv(t.answer(&invite, 200, "carol").sdp(SDP).contact("<sip:carol@198.51.100.9>"));
    let ack = t.expect_request("ACK");
    assert_eq!((ack.to_tag().as_str(), ack.request_uri()), ("carol", "sip:carol@198.51.100.9"));
    let bye = t.expect_request("BYE");
    assert_eq!(bye.to_tag(), "carol");
    assert_eq!(bye.to, Some("198.51.100.9:5060".parse().expect("an address")));
    t.expect_nothing();
    t.end(dialog);
    assert_eq!(t.expect_request("BYE").to_tag(), "bob");
}

#[test]
fn a_fork_that_answers_after_the_end_is_hung_up_too() {
    let mut t = Stage::new();
    let (dialog, invite, _) = t.talking_out();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    t.expect_end(DialogEnd::ByUs);
    t.recv(t.answer(&bye, 200, ""));
    t.recv(t.answer(&invite, 200, "late").sdp(SDP));
    assert_eq!(t.expect_request("ACK").to_tag(), "late");
    assert_eq!(t.expect_request("BYE").to_tag(), "late");
}

#[test]
fn a_call_not_answered_in_time_is_cancelled() {
    let mut t = Stage::new();
    let (_, invite) = t.call_out();
    t.recv(t.answer(&invite, 180, "bob"));
    t.event();
    t.run_for(secs(60));
    t.expect_request("CANCEL");
    t.expect_end(DialogEnd::TimedOut);
}

#[test]
fn two_calls_do_not_meet() {
    let mut t = Stage::new();
    t.recv(invite());
    let first = t.invited();
    t.recv(invite().call("call-2").branch("z9hG4bKother"));
    let second = t.invited();
    assert_ne!(first, second);
    t.accept(second);
    let ok = t.expect(200, "INVITE");
    assert_eq!(ok.must("Call-ID"), "call-2");
    t.recv(Said::new("CANCEL").branch("z9hG4bKINVITE1"));
    t.expect(200, "CANCEL");
    t.expect(487, "INVITE");
    t.expect_end(DialogEnd::Cancelled);
    assert_eq!(t.endpoint.len(), 1);
}

/// A day of mixed traffic as text.
fn transcript(seed: u64) -> String {
    let mut t = Stage::seeded(seed);
    let mut said = String::new();
    let mut note = |t: &mut Stage| said.extend(t.sent.drain(..).map(|sent| sent.text));
    for number in 0..30 {
        let call = format!("call-{number}");
        t.recv(invite().call(&call).branch(&format!("z9hG4bK{number}")).header("Supported: timer"));
        let dialog = t.invited();
        match number % 3 {
            0 => t.accept(dialog),
            1 => t.ring(dialog),
            _ => t.end(dialog),
        }
        note(&mut t);
        let invite = t.call_out().1;
        t.sent.push_back(invite);
        t.run_for(millis(700));
        note(&mut t);
        t.events.clear();
    }
    t.run_for(secs(100));
    note(&mut t);
    said
}

#[test]
fn the_same_seed_says_the_same_bytes() {
    assert_eq!(transcript(5), transcript(5));
    assert_ne!(transcript(5), transcript(6));
}
