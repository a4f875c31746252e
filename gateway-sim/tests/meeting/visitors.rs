//! Very large meetings: who comes late listens at a visitor node, asks to speak, and is let in or not.

use gateway_core::call::TrunkManners;
use gateway_core::call::info::InfoManners;
use gateway_sim::plan::Action;

use super::*;

/// The room takes one person: the phone, which comes after the browser, is sent to the node.
fn crowded(talk: u64, happenings: &[(u64, Happening)]) -> WorldPlan {
    let mut plan = two(talk, happenings);
    plan.meeting.as_mut().expect("a meeting").visitors_above = Some(1);
    plan
}

fn is_listening(outcome: &Outcome, from: f64, to: f64) {
    let hears = outcome.share_heard(P0, WEB[0], from, to);
    assert!(hears > 0.9, "{from} to {to}: {hears}\n{}", outcome.ladder);
    assert_eq!(outcome.share_heard(W0, PHONE[0], from, to), 0.0, "{}", outcome.ladder);
}

#[test]
fn a_visitor_hears_the_meeting_and_is_not_heard() {
    let outcome = judged(crowded(25, &[]));
    assert!(joined(&outcome, 0) < 6.0);
    assert_words(&outcome, 0, "listening-only", 3.0);
    is_listening(&outcome, 12.0, 27.0);
    assert!(outcome.meeting().webs[0].sees(SECOND * 20).is_empty(), "nobody sees visitors");
}

#[test]
fn a_visitor_who_raises_his_hand_is_let_in_and_heard() {
    let happenings =
        [(22_000, Happening::Promote(P0, false)), (34_000, Happening::Promote(P0, true))];
    let keys = [(13_000, Action::Type("*9")), (25_000, Action::Type("*6"))];
    let outcome = judged(crowded(55, &happenings).doing(0, &keys));
    assert_words(&outcome, 0, "hand-raised", 16.0);
    assert_words(&outcome, 0, "promotion-refused", 22.0);
    assert_words(&outcome, 0, "hand-raised", 28.0);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 4.0, 34.0), 0.0, "{}", outcome.ladder);
    let at = assert_words(&outcome, 0, "unmuted", 34.0);
    assert!(at < 38.0, "{at}\n{}", outcome.ladder);
    assert_talked(&outcome, 44.0, 57.0);
    assert_eq!(outcome.meeting().webs[0].sees(SECOND * 50).len(), 1);
}

#[test]
fn a_moderator_makes_somebody_a_visitor_while_the_call_stays() {
    let mut plan = two(40, &[(15_000, Happening::Demote(P0))]);
    plan.meeting.as_mut().expect("a meeting").visitors_above = Some(5);
    let outcome = judged(plan);
    assert_talked(&outcome, 8.0, 14.0);
    assert_words(&outcome, 0, "listening-only", 15.0);
    is_listening(&outcome, 25.0, 42.0);
    let (at, label) = ended(&outcome, 0);
    assert!(at > 42.0 && label == "caller_hung_up", "{at} {label}");
}

/// A node's Prosody that is gone for good, and one that comes back.
#[test]
fn a_visitor_whose_stream_breaks_hears_on_and_comes_back() {
    for lasts in [2, 25] {
        let breaks = Happening::StreamBreaks(0, SECOND * lasts, false);
        let outcome = judged(crowded(60, &[(15_000, breaks)]));
        is_listening(&outcome, 50.0, 62.0);
    }
}

#[test]
fn an_ivr_is_told_who_is_a_visitor_and_who_no_longer() {
    let mut plan = crowded(40, &[(20_000, Happening::Promote(P0, true))]).doing(
        0,
        &[(12_000, Action::Tell(r#"{"type":"muteRequest","id":"s","data":{"audio":false}}"#))],
    );
    let info = Some(InfoManners { heartbeat: None });
    plan.knobs.manners = TrunkManners { info, ..TrunkManners::default() };
    let outcome = judged(plan);
    let told: Vec<&str> = outcome.json[0].iter().map(|(_, body)| body.as_str()).collect();
    let [visitor, mute, refused, promoted] = told[..] else { panic!("{told:#?}") };
    assert_eq!((visitor, promoted), (r#"{"t":12,"d":true}"#, r#"{"t":12,"d":false}"#));
    assert!(mute.contains("muteRequest") && mute.contains(r#""audio":true"#), "{mute}");
    assert!(refused.contains(r#""status":"FAILED""#), "his hand is up instead: {refused}");
    assert_talked(&outcome, 32.0, 42.0);
}
