//! Lobby, password, host, seats: how a caller gets in, or hears why not.

use gateway_sim::plan::Action;

use super::*;

/// A browser opens the room; what is set up happens at 2 s, before the phone asks at 3.6 s.
fn with_setup(setup: Happening, talk: u64, happenings: &[(u64, Happening)]) -> WorldPlan {
    two(talk, &[(2_000, setup)]).with(happenings)
}

#[test]
fn who_is_admitted_from_the_lobby_comes_in() {
    let plan = with_setup(Happening::Lobby(true), 30, &[(12_000, Happening::Admit(P0))]);
    let outcome = judged(plan);
    assert_words(&outcome, 0, "lobby-wait", 3.6);
    assert_words(&outcome, 0, "lobby-admitted", 12.0);
    assert!((12.0..13.0).contains(&joined(&outcome, 0)));
    assert!(outcome.heard(W0, PHONE[0])[0].as_secs_f64() > 12.0);
    assert_talked(&outcome, 16.0, 33.0);
}

#[test]
fn who_is_denied_in_the_lobby_hears_so_and_is_never_in() {
    let plan = with_setup(Happening::Lobby(true), 60, &[(12_000, Happening::Deny(P0))]);
    let outcome = judged(plan);
    let said = assert_words(&outcome, 0, "lobby-denied", 12.0);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "lobby_denied");
    assert!(at - said < 8.0);
    assert!(outcome.heard(W0, PHONE[0]).is_empty());
}

#[test]
fn a_password_is_asked_for_and_typed() {
    let plan = with_setup(Happening::Password(Some("2468")), 30, &[])
        .doing(0, &[(5_000, Action::Type("2468#"))]);
    let outcome = judged(plan);
    assert_words(&outcome, 0, "password-needed", 3.6);
    assert!((9.0..13.0).contains(&joined(&outcome, 0)));
    assert_talked(&outcome, 16.0, 33.0);
}

#[test]
fn a_wrong_password_is_said_and_may_be_typed_again() {
    let plan = with_setup(Happening::Password(Some("2468")), 40, &[])
        .doing(0, &[(5_000, Action::Type("1357#")), (13_000, Action::Type("2468#"))]);
    let outcome = judged(plan);
    assert_words(&outcome, 0, "password-wrong", 9.0);
    assert!((17.0..22.0).contains(&joined(&outcome, 0)));
    assert_talked(&outcome, 25.0, 43.0);
}

#[test]
fn three_wrong_passwords_end_the_call() {
    let wrong = Action::Type("1357#");
    let plan = with_setup(Happening::Password(Some("2468")), 90, &[])
        .doing(0, &[(5_000, wrong), (13_000, wrong), (21_000, wrong)]);
    let outcome = judged(plan);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "pin_refused");
    assert!(at < 40.0, "{at}");
    assert!(outcome.heard(W0, PHONE[0]).is_empty());
}

#[test]
fn who_types_no_password_does_not_wait_for_ever() {
    let outcome = judged(with_setup(Happening::Password(Some("2468")), 200, &[]));
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "pin_not_given");
    assert!(at < 90.0, "{at}");
}

#[test]
fn a_room_that_waits_for_its_host_opens_when_he_comes() {
    let plan = WorldPlan::calm_meeting(1, SECOND * 40, &[20]).with(&[(0, Happening::WantHost)]);
    let outcome = judged(plan);
    let said = assert_words(&outcome, 0, "waiting-for-host", 3.6);
    assert!(said < 5.0);
    assert_words(&outcome, 0, "host-arrived", 20.0);
    assert!(joined(&outcome, 0) > 20.0);
    assert_talked(&outcome, 36.0, 43.0);
}

#[test]
fn a_host_who_never_comes_is_not_waited_for_for_ever() {
    let plan = WorldPlan::calm_meeting(1, SECOND * 200, &[]).with(&[(0, Happening::WantHost)]);
    let outcome = judged(plan);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "host_never_came");
    assert!((23.0..40.0).contains(&at), "{at}");
}

#[test]
fn a_full_room_is_said_to_be_full() {
    let outcome = judged(with_setup(Happening::PeopleMax(Some(1)), 60, &[]));
    assert_words(&outcome, 0, "room-full", 3.6);
    assert_eq!(ended(&outcome, 0).1, "room_full");
}

#[test]
fn without_a_focus_the_caller_hears_it_and_is_not_kept() {
    let plan = WorldPlan::calm_meeting(1, SECOND * 200, &[]).with(&[(0, Happening::FocusStops)]);
    let outcome = judged(plan);
    assert_words(&outcome, 0, "joining", 3.6);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "service_unavailable");
    assert!((30.0..50.0).contains(&at), "{at}");
}

/// Each step of a join, hit by a server that closes the stream right there.
#[test]
fn a_stream_that_breaks_at_any_step_of_the_join_leads_into_the_room_all_the_same() {
    for cut in (3_600..3_900).step_by(15) {
        let lasts = Duration::from_millis(1_500);
        let outcome = judged(two(20, &[(cut, Happening::StreamBreaks(0, lasts, false))]));
        assert!(joined(&outcome, 0) < 8.0, "cut at {cut} ms\n{}", outcome.ladder);
        assert_talked(&outcome, 14.0, 23.0);
    }
}

/// A server that closes the stream while people are waited for: the caller waits on, and gets in.
#[test]
fn a_stream_that_breaks_at_the_door_is_no_end_of_waiting() {
    let cut = (8_000, Happening::StreamBreaks(0, SECOND * 2, false));
    let plan =
        with_setup(Happening::Lobby(true), 40, &[cut.clone(), (16_000, Happening::Admit(P0))]);
    let outcome = judged(plan);
    assert!((16.0..17.5).contains(&joined(&outcome, 0)), "{}", outcome.ladder);
    assert_talked(&outcome, 21.0, 43.0);

    let plan = with_setup(Happening::Password(Some("2468")), 40, std::slice::from_ref(&cut))
        .doing(0, &[(12_000, Action::Type("2468#"))]);
    let outcome = judged(plan);
    assert!((16.0..21.0).contains(&joined(&outcome, 0)), "{}", outcome.ladder);
    assert_talked(&outcome, 25.0, 43.0);

    let plan = WorldPlan::calm_meeting(1, SECOND * 50, &[12]);
    let outcome = judged(plan.with(&[(0, Happening::WantHost), cut]));
    assert!(joined(&outcome, 0) > 12.0);
    assert_talked(&outcome, 42.0, 53.0);
}

/// The same by a server that goes altogether.
#[test]
fn a_server_that_restarts_while_somebody_knocks_lets_him_knock_again() {
    let plan = with_setup(
        Happening::Lobby(true),
        50,
        &[(8_000, Happening::ServerRestarts(SECOND * 2)), (20_000, Happening::Lobby(true))],
    );
    let outcome = judged(plan);
    // The room is new, and has no lobby until somebody wants one again.
    assert!((10.0..16.0).contains(&joined(&outcome, 0)), "{}", outcome.ladder);
    assert_talked(&outcome, 22.0, 53.0);
}
