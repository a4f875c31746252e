//! Callers without a PIN whose room is empty: what they hear is the deployment's choice.

use gateway_core::leg::backend::EmptyRoom;

use super::*;

/// A phone calls the room's own number at 1 s; the browser comes at `web` seconds.
fn direct(empty_room: EmptyRoom, talk: u64, web: &[u64]) -> WorldPlan {
    let mut plan = WorldPlan::calm_meeting(1, SECOND * talk as u32, web);
    let meeting = plan.meeting.as_mut().expect("it is one");
    meeting.is_direct = true;
    meeting.empty_room = empty_room;
    plan.phones[0].0.typed.clear();
    plan.phones[0].0.starts = SECOND;
    plan
}

/// Provisional and final responses to the first INVITE, in order.
fn responses(outcome: &Outcome) -> Vec<String> {
    let ladder = outcome.ladder.to_string();
    let words = ladder.lines().filter(|line| line.contains("INVITE (1)") && !line.contains("lost"));
    let status = |line: &str| {
        let found =
            line.split_whitespace().find(|word| word.len() == 3 && word.parse::<u16>().is_ok());
        found.map(str::to_owned)
    };
    let mut all: Vec<String> = words.filter_map(status).collect();
    all.dedup();
    all
}

fn answered(outcome: &Outcome) -> Option<f64> {
    let told = outcome.told(0);
    told.iter().find(|(_, it)| **it == Told::Answered).map(|(at, _)| at.as_secs_f64())
}

#[test]
fn a_phone_rings_until_somebody_is_there() {
    let outcome = judged(direct(EmptyRoom::Ring(SECOND * 120), 30, &[20]));
    let at = answered(&outcome).expect("answered");
    assert!((20.0..21.5).contains(&at), "{at}\n{}", outcome.ladder);
    assert!(responses(&outcome).ends_with(&["180".to_owned(), "200".to_owned()]));
    assert_talked(&outcome, 23.0, 49.0);
    assert!(outcome.words(0).iter().all(|(_, name)| *name != "alone"));
}

#[test]
fn where_somebody_is_there_the_answer_comes_at_once() {
    for empty_room in [EmptyRoom::Ring(SECOND * 120), EmptyRoom::Jigasi] {
        let outcome = judged(direct(empty_room, 20, &[0]));
        let at = answered(&outcome).expect("answered");
        assert!(at < 1.6, "{at}\n{}", outcome.ladder);
        assert_talked(&outcome, 5.0, 20.0);
    }
}

#[test]
fn a_phone_does_not_ring_for_ever() {
    let outcome = judged(direct(EmptyRoom::Ring(SECOND * 40), 30, &[]));
    assert_eq!(answered(&outcome), None);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "nobody_came");
    assert!((41.0..41.5).contains(&at), "{at}");
    assert_eq!(responses(&outcome).last().map(String::as_str), Some("480"), "{}", outcome.ladder);
}

#[test]
fn as_jigasi_did_it_a_lonely_caller_is_answered_and_hung_up() {
    let outcome = judged(direct(EmptyRoom::Jigasi, 60, &[]));
    let at = answered(&outcome).expect("answered");
    assert!((16.0..16.3).contains(&at), "{at}");
    assert_words(&outcome, 0, "alone", at);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "nobody_came");
    assert!((31.0..31.3).contains(&at), "{at}");
    // Somebody who comes between answer and end keeps the call.
    let outcome = judged(direct(EmptyRoom::Jigasi, 40, &[20]));
    assert_talked(&outcome, 24.0, 55.0);
    assert_eq!(ended(&outcome, 0).1, "caller_hung_up");
}

#[test]
fn who_must_hear_words_is_answered_first() {
    let ring = EmptyRoom::Ring(SECOND * 120);
    // Somebody opened the room, locked its door, and left.
    for (lock, words) in [
        (Happening::Lobby(true), "lobby-wait"),
        (Happening::Password(Some("2468")), "password-needed"),
    ] {
        let mut plan = direct(ring, 12, &[0]).with(&[(2_000, lock)]);
        plan.phones[0].0.starts = SECOND * 4;
        let outcome = judged(plan);
        let at = answered(&outcome).expect("answered");
        assert!(at < 4.6, "{at}\n{}", outcome.ladder);
        assert_words(&outcome, 0, words, at);
    }
}

#[test]
fn who_gives_up_while_it_rings_leaves_nothing_behind() {
    let mut plan = direct(EmptyRoom::Ring(SECOND * 120), 30, &[40]);
    plan.phones[0].0.cancel_after = Some(SECOND * 10);
    let outcome = judged(plan);
    assert_eq!(ended(&outcome, 0).1, "caller_cancelled");
}

#[test]
fn who_rings_at_a_full_room_hears_so_or_is_refused_as_his_exchange_wants_it() {
    let full = (200, Happening::PeopleMax(Some(1)));
    let mut plan = direct(EmptyRoom::Ring(SECOND * 120), 30, &[0]).with(&[full]);
    let outcome = judged(plan.clone());
    assert_words(&outcome, 0, "room-full", 1.0);
    assert_eq!(ended(&outcome, 0).1, "room_full");
    plan.knobs.manners.full_is_refused = true;
    let outcome = judged(plan);
    assert_eq!(answered(&outcome), None);
    assert_eq!(ended(&outcome, 0).1, "room_full");
    assert_eq!(responses(&outcome).last().map(String::as_str), Some("486"), "{}", outcome.ladder);
}
