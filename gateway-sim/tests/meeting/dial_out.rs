//! Calls that the room makes: the telephone is an occupant before it rings, and the room reads how far the call is.

use gateway_core::leg::trunk::signal::DtmfWay;
use gateway_sim::plan::{Callee, Reply};

use super::*;

const CALLED_AT: Duration = Duration::from_secs(3);

fn callee(reply: Reply) -> Callee {
    Callee { rings_after: Duration::from_millis(300), is_heard_early: false, reply, keys: "" }
}

/// A browser is there from the beginning; the phone is called at 3 s and talks for so long.
fn called(reply: Reply, talk: u64, happenings: &[(u64, Happening)]) -> WorldPlan {
    two(talk, happenings).calling(0, CALLED_AT, callee(reply))
}

fn answers(seconds: u64) -> Reply {
    Reply::Answers(Duration::from_secs(seconds))
}

/// Labels below the phone's name, in order.
fn labels(outcome: &Outcome) -> Vec<String> {
    outcome.labels(0).into_iter().map(|(_, label)| label).collect()
}

/// When something was told of the phone's call.
fn told(outcome: &Outcome, what: &Told) -> f64 {
    let all = outcome.told(0);
    let found = all.iter().find(|(_, told)| *told == what);
    found.unwrap_or_else(|| panic!("no {what:?} in {all:?}\n{}", outcome.ladder)).0.as_secs_f64()
}

#[test]
fn an_answered_call_has_speech_both_ways_at_once() {
    let callee = Callee { rings_after: Duration::from_millis(800), ..callee(answers(6)) };
    let outcome = judged(two(20, &[]).calling(0, CALLED_AT, callee));
    let occupant = told(&outcome, &Told::Occupant);
    assert!(occupant - 3.0 < 0.5, "an occupant at {occupant}\n{}", outcome.ladder);
    let labels = labels(&outcome);
    let shown = ["Initializing Call", "Connecting", "ringing", "Connected"];
    assert!(labels.starts_with(&shown.map(str::to_owned)), "{labels:?}");
    let answered = told(&outcome, &Told::Answered);
    assert!((8.9..10.5).contains(&answered), "{answered}");
    assert_eq!(told(&outcome, &Told::Joined), answered);
    // The first words: the phone speaks from its 200 on, and hears from ours.
    for (ear, hz) in [(W0, PHONE[0]), (P0, WEB[0])] {
        let first = outcome.heard(ear, hz)[0].as_secs_f64();
        assert!(first < answered + 0.3, "{ear:?}: answered {answered}, heard {first}");
    }
    assert_talked(&outcome, answered + 1.0, answered + 19.0);
    assert_eq!(ended(&outcome, 0).1, "caller_hung_up");
}

/// Jicofo waits 15 s for the occupant's name, a moderator may take longer.
#[test]
fn a_lobby_names_the_occupant_at_once_and_the_phone_rings_when_he_is_let_in() {
    let lobby = (2_000, Happening::Lobby(true));
    let happenings = [lobby.clone(), (25_000, Happening::Admit(P0))];
    let outcome = judged(called(answers(3), 20, &happenings));
    let occupant = told(&outcome, &Told::Occupant);
    assert!(occupant - 3.0 < 0.5, "an occupant at {occupant}\n{}", outcome.ladder);
    let ladder = outcome.ladder.to_string();
    let rings = ladder.lines().find(|line| line.contains("is called")).expect("it is");
    let rings: f64 =
        rings.split_whitespace().next().and_then(|at| at.parse().ok()).expect("a time");
    assert!((25.0..26.0).contains(&rings), "{rings}");
    let answered = told(&outcome, &Told::Answered);
    assert_talked(&outcome, answered + 1.0, answered + 19.0);

    let outcome = judged(called(answers(3), 20, &[lobby, (25_000, Happening::Deny(P0))]));
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "lobby_denied");
    assert!((25.0..25.5).contains(&at), "{at}");
    assert!(!outcome.ladder.to_string().contains("is called"), "{}", outcome.ladder);
}

#[test]
fn a_call_into_an_empty_room_rings_too_and_talks_when_somebody_comes() {
    let plan = WorldPlan::calm_meeting(1, SECOND * 40, &[15]);
    let outcome = judged(plan.calling(0, CALLED_AT, callee(answers(3))));
    let answered = told(&outcome, &Told::Answered);
    assert!((7.5..9.5).contains(&answered), "{answered}\n{}", outcome.ladder);
    assert_words(&outcome, 0, "alone", answered);
    assert_talked(&outcome, 20.0, 45.0);
}

/// The same with a network that plays from the ringing on.
fn announced(reply: Reply, happenings: &[(u64, Happening)]) -> WorldPlan {
    let callee = Callee { is_heard_early: true, ..callee(reply) };
    two(20, happenings).calling(0, CALLED_AT, callee)
}

#[test]
fn what_the_network_plays_before_the_answer_is_heard_in_the_room() {
    let outcome = judged(announced(answers(12), &[]));
    let answered = told(&outcome, &Told::Answered);
    let share = outcome.share_heard(W0, PHONE[0], 4.5, answered);
    assert!(share > 0.95, "{share}\n{}", outcome.ladder);
    // Nothing goes the other way before the answer, and everything after it.
    let first = outcome.recordings[0].blocks().map(|(at, _)| at.as_secs_f64()).next();
    assert!(first.is_some_and(|at| at > answered - 0.3), "{first:?} {answered}");
    assert!(outcome.longest_gap(W0, PHONE[0], 4.5, answered + 19.0) <= 0.4);
    assert_talked(&outcome, answered + 1.0, answered + 19.0);
    assert!(labels(&outcome).contains(&"ringing".to_owned()));
}

#[test]
fn why_nobody_can_be_called_is_heard_and_stops_with_the_call() {
    let outcome = judged(announced(Reply::Refuses(Duration::from_secs(25), 404), &[]));
    let share = outcome.share_heard(W0, PHONE[0], 4.5, 28.0);
    assert!(share > 0.95, "20 s without a session are no silence: {share}\n{}", outcome.ladder);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 28.6, 33.0), 0.0);
    assert_eq!(labels(&outcome).last().map(String::as_str), Some("Not Found"));
    assert!(outcome.recordings[0].blocks().next().is_none());
}

#[test]
fn who_starts_muted_is_not_heard_before_his_answer_either() {
    let outcome = judged(announced(answers(8), &[(2_000, Happening::StartMuted(true))]));
    assert!(outcome.heard(W0, PHONE[0]).is_empty(), "{}", outcome.ladder);
    let outcome = judged(announced(answers(12), &[(9_000, Happening::Mute(P0))]));
    assert!(outcome.share_heard(W0, PHONE[0], 4.5, 9.0) > 0.95);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 9.6, 30.0), 0.0);
}

#[test]
fn why_a_call_failed_is_seen_for_five_seconds() {
    let after = Duration::from_secs(4);
    for (reply, label, end) in [
        (Reply::Refuses(after, 486), "busy", "refused"),
        (Reply::Refuses(after, 603), "rejected", "refused"),
        (Reply::Refuses(after, 404), "Not Found", "refused"),
        (Reply::Nothing, "expired", "no_answer"),
    ] {
        let outcome = judged(called(reply, 5, &[]));
        let (shown, last) = outcome.labels(0).pop().expect("labels");
        assert_eq!(last, label, "{}", outcome.ladder);
        let shown = shown.as_secs_f64();
        let (left, why) = ended(&outcome, 0);
        assert!((4.9..5.1).contains(&(left - shown)), "{label} {shown} {left}");
        assert_eq!(why, end);
        assert!(outcome.heard(W0, PHONE[0]).is_empty());
    }
}

#[test]
fn a_kick_the_end_of_the_meeting_or_a_hang_up_stops_the_ringing() {
    for (happening, end) in [
        (Happening::Kick(P0), "kicked"),
        (Happening::EndForAll, "room_ended"),
        (Happening::HangUp(0, 0), "meeting_hung_up"),
    ] {
        let outcome = judged(called(answers(20), 5, &[(8_000, happening)]));
        let (at, label) = ended(&outcome, 0);
        assert_eq!(label, end, "{}", outcome.ladder);
        assert!((8.0..8.5).contains(&at), "{label} at {at}");
        assert!(outcome.ladder.to_string().contains("CANCEL"), "{}", outcome.ladder);
        assert!(outcome.told(0).iter().all(|(_, told)| **told != Told::Answered));
    }
}

/// The phone picks up while our CANCEL is on its way: it is acknowledged and hung up.
#[test]
fn an_answer_that_crosses_the_cancel_leaves_no_call_behind() {
    let mut ends = 0;
    for at in (8_900..9_100).step_by(10) {
        let outcome = judged(called(answers(6), 5, &[(at, Happening::Kick(P0))]));
        ends += usize::from(ended(&outcome, 0).1 == "kicked");
        assert!(ended(&outcome, 0).0 < 15.0);
    }
    assert_eq!(ends, 20);
}

#[test]
fn a_moderator_ends_the_call_by_request_and_others_do_not() {
    let plan = WorldPlan::calm_meeting(1, SECOND * 25, &[0, 1]);
    let outcome = judged(
        plan.calling(0, CALLED_AT, callee(answers(2)))
            .with(&[(12_000, Happening::HangUp(1, 0)), (20_000, Happening::HangUp(0, 0))]),
    );
    assert_talked(&outcome, 13.0, 19.5);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "meeting_hung_up");
    assert!(at > 20.0);
}

#[test]
fn a_bridge_that_dies_while_it_rings_is_replaced_before_or_after_the_answer() {
    for answer in [20, 7] {
        let happenings = [(8_000, Happening::BridgeDies)];
        let outcome = judged(called(answers(answer), 40, &happenings));
        let answered = told(&outcome, &Told::Answered);
        assert_talked(&outcome, answered.max(30.0) + 2.0, answered + 39.0);
    }
}

#[test]
fn a_stream_that_breaks_while_it_rings_is_no_end_of_the_call() {
    for resumes in [true, false] {
        let breaks = Happening::StreamBreaks(0, SECOND * 2, resumes);
        let outcome = judged(called(answers(15), 30, &[(8_000, breaks)]));
        let answered = told(&outcome, &Told::Answered);
        assert_talked(&outcome, answered + 2.0, answered + 29.0);
        assert!(labels(&outcome).iter().any(|label| label == "Connected"));
    }
}

#[test]
fn who_starts_muted_hears_so_when_he_answers() {
    let outcome = judged(called(answers(5), 20, &[(2_000, Happening::StartMuted(true))]));
    let answered = told(&outcome, &Told::Answered);
    assert_words(&outcome, 0, "muted-by-moderator", answered);
    assert!(outcome.heard(W0, PHONE[0]).is_empty());
    let share = outcome.share_heard(P0, WEB[0], answered + 6.0, answered + 19.0);
    assert!(share > 0.9, "{share}");
}

#[test]
fn keys_behind_the_number_reach_the_phone_with_their_pauses() {
    let callee = Callee { keys: "12,,3#", ..callee(answers(2)) };
    let outcome = judged(two(20, &[]).calling(0, CALLED_AT, callee));
    let keys = &outcome.keys[0];
    let typed: String = keys.iter().map(|(_, key, _)| *key).collect();
    assert_eq!(typed, "123#", "{}", outcome.ladder);
    let answered = told(&outcome, &Told::Answered);
    let at = |place: usize| keys[place].0.as_secs_f64();
    assert!((1.9..2.3).contains(&(at(0) - answered)), "{keys:?}");
    assert!((4.0..5.0).contains(&(at(2) - at(1))), "{keys:?}");
}

#[test]
fn where_a_trunk_wants_keys_by_info_they_come_so_each_once_and_in_order() {
    let callee = Callee { keys: "12,,3#", ..callee(answers(2)) };
    let mut plan = two(20, &[(14_000, Happening::Press(0, "9*"))]);
    plan.knobs.dtmf = DtmfWay::Info;
    let outcome = judged(plan.calling(0, CALLED_AT, callee));
    let keys = &outcome.keys[0];
    let typed: String = keys.iter().map(|(_, key, _)| *key).collect();
    assert_eq!(typed, "123#9*", "{}", outcome.ladder);
    let infos =
        outcome.ladder.to_string().lines().filter(|line| line.contains("-> phone0   INFO")).count();
    assert_eq!(infos, 6, "{}", outcome.ladder);
    let at = |place: usize| keys[place].0.as_secs_f64();
    let answered = told(&outcome, &Told::Answered);
    assert!((1.9..2.3).contains(&(at(0) - answered)), "{keys:?}");
    assert!((4.0..5.0).contains(&(at(2) - at(1))), "{keys:?}");
    assert!(keys[4..].iter().all(|(_, _, ms)| (180..=220).contains(ms)), "{keys:?}");
}

/// Keys on the dial pad of a browser, while it goes on speaking.
#[test]
fn keys_of_the_room_reach_every_phone_once_and_are_no_noise() {
    let callee = callee(answers(2));
    let mut plan = WorldPlan::calm_meeting(2, SECOND * 30, &[0]).with(&[
        (12_000, Happening::Press(0, "1*")),
        (16_000, Happening::Press(0, "#9")),
        (20_000, Happening::Press(0, "55")),
    ]);
    plan = plan.calling(0, CALLED_AT, callee).calling(1, CALLED_AT + SECOND, callee);
    let outcome = judged(plan);
    for keys in &outcome.keys {
        let typed: String = keys.iter().map(|(_, key, _)| *key).collect();
        assert_eq!(typed, "1*#955", "{}", outcome.ladder);
        assert!(keys.iter().all(|(_, _, ms)| (180..=220).contains(ms)), "{keys:?}");
        // Told when it is let go: a key's length behind, and the way.
        let first = keys[0].0.as_secs_f64();
        assert!((12.2..12.5).contains(&first), "{first}");
    }
    // What is not heard is the key: the tone goes on behind it, and nothing is invented for what was no sound.
    assert!(outcome.longest_gap(P1, WEB[0], 8.0, 30.0) < 2.5);
    assert!(outcome.meeting().halves.media.jitsi_key_packets >= 6 * 10);
    assert_eq!(outcome.meeting().halves.media.jitsi_speech_concealed_ms, 0);
}
