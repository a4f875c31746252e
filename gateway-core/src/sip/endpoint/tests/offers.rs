//! Offers inside the dialog: hold, late offers, UPDATE, glare.

use super::stage::*;
use crate::sip::endpoint::*;

const HOLD: &str = "v=0\r\no=- 1 2 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=sendonly\r\n";

#[track_caller]
fn offered(t: &mut Stage) -> Vec<u8> {
    match t.event() {
        UaEvent::Offered { sdp, .. } => sdp,
        other => panic!("expected an offer, got {other:?}"),
    }
}

#[track_caller]
fn offer_answered(t: &mut Stage) -> Result<Vec<u8>, u16> {
    match t.event() {
        UaEvent::OfferAnswered { result, .. } => result,
        other => panic!("expected the outcome of our offer, got {other:?}"),
    }
}

#[test]
fn hold_by_the_peer_is_answered_by_the_owner() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    assert_eq!(offered(&mut t), HOLD.as_bytes());
    t.expect_nothing();
    t.command(UaCommand::Answer { dialog, sdp: b"v=0 held".to_vec() });
    let answer = t.expect(200, "INVITE");
    assert_eq!(answer.body(), "v=0 held");
    assert_eq!(answer.must("Contact"), ok.must("Contact"));
    t.run_for(millis(500));
    assert_eq!(t.expect(200, "INVITE").text, answer.text);
    t.recv(t.within("ACK", &ok, 2));
    t.run_for(secs(60));
    t.expect_nothing(); // an ACK without news is not told
}

#[test]
fn a_re_invite_without_sdp_gets_our_offer_and_its_ack_the_answer() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2));
    assert!(matches!(t.event(), UaEvent::OfferWanted { .. }));
    t.command(UaCommand::Answer { dialog, sdp: OUR_SDP.into() });
    assert_eq!(t.expect(200, "INVITE").body(), OUR_SDP);
    t.recv(t.within("ACK", &ok, 2).sdp(SDP));
    match t.event() {
        UaEvent::Acknowledged { sdp, .. } => assert_eq!(sdp, Some(SDP.into())),
        other => panic!("{other:?}"),
    }
    t.expect_nothing();
}

#[test]
fn an_invite_without_sdp_gets_our_offer_in_the_200() {
    let mut t = Stage::new();
    t.recv(Said::new("INVITE"));
    let dialog = match t.event() {
        UaEvent::Invited { dialog, offer: None, .. } => dialog,
        other => panic!("{other:?}"),
    };
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.recv(t.within("ACK", &ok, 1).sdp(SDP));
    match t.event() {
        UaEvent::Acknowledged { sdp, .. } => assert_eq!(sdp, Some(SDP.into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_offer_leaves_the_call_alone() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.command(UaCommand::RefuseOffer { dialog, status: 488 });
    t.expect(488, "INVITE");
    t.recv(t.within("ACK", &ok, 2).branch("z9hG4bKINVITE2"));
    t.expect_nothing();
    assert_eq!(t.endpoint.len(), 1);
    t.end(dialog);
    t.expect_request("BYE");
}

#[test]
fn an_offer_that_the_owner_forgets_is_refused() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    t.recv(t.within("UPDATE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.run_for(secs(20));
    t.expect(500, "UPDATE");
    t.expect_nothing();
}

#[test]
fn update_with_an_offer_is_answered_by_the_owner() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("UPDATE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.command(UaCommand::Answer { dialog, sdp: OUR_SDP.into() });
    assert_eq!(t.expect(200, "UPDATE").body(), OUR_SDP);
    t.run_for(secs(40));
    t.expect_nothing();
}

#[test]
fn update_without_an_offer_moves_the_target() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("UPDATE", &ok, 2).contact("<sip:alice@198.51.100.8:5070>"));
    t.expect(200, "UPDATE");
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert_eq!(bye.request_uri(), "sip:alice@198.51.100.8:5070");
    assert_eq!(bye.to, Some("198.51.100.8:5070".parse().expect("an address")));
}

#[test]
fn our_hold_goes_out_as_a_re_invite() {
    let mut t = Stage::new();
    let (dialog, _) = t.talking();
    t.command(UaCommand::Offer { dialog, sdp: OUR_SDP.into() });
    let again = t.expect_request("INVITE");
    assert_eq!(again.must("CSeq"), "1 INVITE");
    assert_eq!(again.body(), OUR_SDP);
    let ok = t.answer(&again, 200, "").sdp(HOLD);
    t.recv(ok.clone());
    let ack = t.expect_request("ACK");
    assert_eq!(offer_answered(&mut t), Ok(HOLD.into()));
    t.recv(ok);
    assert_eq!(t.expect_request("ACK").text, ack.text);
    t.expect_nothing();
}

#[test]
fn a_refusal_of_our_offer_is_told() {
    let mut t = Stage::new();
    let (dialog, _) = t.talking();
    t.command(UaCommand::Offer { dialog, sdp: OUR_SDP.into() });
    let again = t.expect_request("INVITE");
    t.recv(t.answer(&again, 488, ""));
    t.expect_request("ACK");
    assert_eq!(offer_answered(&mut t), Err(488));
    assert_eq!(t.endpoint.len(), 1);
}

#[test]
fn offers_that_cross_are_answered_491_and_ours_is_tried_again() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.command(UaCommand::Offer { dialog, sdp: OUR_SDP.into() });
    let ours = t.expect_request("INVITE");
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    t.expect(491, "INVITE");
    t.recv(t.within("ACK", &ok, 2).branch("z9hG4bKINVITE2"));
    t.recv(t.answer(&ours, 491, ""));
    t.expect_request("ACK");
    t.expect_nothing();
    // §14.1: not the owner of the Call-ID: within 2 s.
    t.run_for(secs(2));
    let again = t.expect_request("INVITE");
    assert_eq!(again.must("CSeq"), "2 INVITE");
    assert!(t.sent.iter().all(|sent| sent.text == again.text));
    t.sent.clear();
    t.recv(t.answer(&again, 200, "").sdp(SDP));
    t.expect_request("ACK");
    assert_eq!(offer_answered(&mut t), Ok(SDP.into()));
    assert_eq!(t.endpoint.counters().sip_glare, 2);
}

#[test]
fn the_owner_of_the_call_id_waits_longer_after_491() {
    for seed in 0..40 {
        let mut t = Stage::seeded(seed);
        let (dialog, _, _) = t.talking_out();
        t.command(UaCommand::Offer { dialog, sdp: OUR_SDP.into() });
        let ours = t.expect_request("INVITE");
        t.recv(t.answer(&ours, 491, ""));
        t.expect_request("ACK");
        t.run_for(millis(2_099));
        t.expect_nothing();
        t.run_for(millis(1_901));
        t.expect_request("INVITE");
    }
}

#[test]
fn an_update_that_crosses_our_re_invite_is_answered_491() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.command(UaCommand::Offer { dialog, sdp: OUR_SDP.into() });
    t.expect_request("INVITE");
    t.recv(t.within("UPDATE", &ok, 2).sdp(HOLD));
    t.expect(491, "UPDATE");
    t.recv(t.within("UPDATE", &ok, 3));
    t.expect(200, "UPDATE"); // without an offer there is nothing to collide
}

#[test]
fn a_second_offer_of_theirs_comes_too_early() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.recv(t.within("UPDATE", &ok, 3).sdp(SDP));
    let early = t.expect(500, "UPDATE");
    assert!((1..=10).contains(&early.must("Retry-After").parse::<u32>().expect("seconds")));
    t.recv(t.within("INVITE", &ok, 4).sdp(SDP));
    t.expect(500, "INVITE");
    t.command(UaCommand::Answer { dialog, sdp: OUR_SDP.into() });
    t.expect(200, "INVITE");
}

#[test]
fn our_offer_waits_for_its_turn() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.command(UaCommand::Offer { dialog, sdp: b"v=0 ours".to_vec() });
    t.expect_nothing();
    t.command(UaCommand::Answer { dialog, sdp: OUR_SDP.into() });
    t.expect(200, "INVITE");
    t.expect_nothing();
    t.recv(t.within("ACK", &ok, 2));
    assert_eq!(t.expect_request("INVITE").body(), "v=0 ours");
}

#[test]
fn a_re_invite_that_is_cancelled_ends_with_487_and_the_call_goes_on() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.recv(t.within("CANCEL", &ok, 2).branch("z9hG4bKINVITE2"));
    t.expect(200, "CANCEL");
    t.expect(487, "INVITE");
    t.expect_nothing();
    let late = UaCommand::Answer { dialog, sdp: OUR_SDP.into() };
    assert!(matches!(t.try_command(late), Err(ApiMisuse::WrongState(_))));
    assert_eq!(t.endpoint.len(), 1);
}

#[test]
fn a_re_invite_open_at_the_end_is_answered_487() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.end(dialog);
    t.expect(487, "INVITE");
    t.expect_request("BYE");
    t.expect_end(DialogEnd::ByUs);
}

#[test]
fn a_re_invite_never_acknowledged_ends_the_call() {
    let mut t = Stage::new();
    let (dialog, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).sdp(HOLD));
    offered(&mut t);
    t.command(UaCommand::Answer { dialog, sdp: OUR_SDP.into() });
    t.run_for(secs(32));
    assert_eq!(t.sent.pop_back().expect("a BYE").method(), "BYE");
    t.expect_end(DialogEnd::AckTimeout);
}

#[test]
fn a_peer_that_forgot_the_dialog_ends_it() {
    for status in [481, 408] {
        let mut t = Stage::new();
        let (dialog, _) = t.talking();
        t.command(UaCommand::Offer { dialog, sdp: OUR_SDP.into() });
        let ours = t.expect_request("INVITE");
        t.recv(t.answer(&ours, status, ""));
        t.expect_request("ACK");
        t.expect_request("BYE");
        t.expect_end(DialogEnd::PeerForgot);
    }
}

#[test]
fn a_call_of_ours_without_an_offer_answers_theirs_in_the_ack() {
    let mut t = Stage::new();
    let (dialog, invite) = t.call_out_with(Vec::new());
    assert_eq!(invite.header("Content-Type"), None);
    t.recv(t.answer(&invite, 200, "bob").sdp(SDP));
    assert_eq!(offered(&mut t), SDP.as_bytes());
    t.expect_nothing();
    t.command(UaCommand::Answer { dialog, sdp: OUR_SDP.into() });
    assert_eq!(t.expect_request("ACK").body(), OUR_SDP);
    assert!(matches!(t.event(), UaEvent::Answered { sdp: None, .. }));
}

#[test]
fn a_body_that_is_no_description_is_refused() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    t.recv(t.within("INVITE", &ok, 2).body("text/plain", "hello"));
    assert_eq!(t.expect(415, "INVITE").must("Accept"), "application/sdp");
    t.recv(Said::new("INVITE").call("other").branch("z9hG4bKx").body("text/plain", "hello"));
    t.expect(415, "INVITE");
    t.expect_nothing();
}
