//! What moderators do to callers, what callers do themselves, and what each of them hears and sees of it.

use gateway_sim::jitsi::RecordingMode;
use gateway_sim::plan::Action;
use gateway_sim::plan::meeting::Lie;

use super::*;

/// What the browser sees of the only phone: (muted, hand up).
fn seen(outcome: &Outcome, second: u32) -> (Option<bool>, bool) {
    let seen = outcome.meeting().webs[0].sees(SECOND * second);
    let [(_, (phone, _))] = seen.iter().collect::<Vec<_>>()[..] else { panic!("{seen:?}") };
    (phone.is_muted, phone.has_hand_raised)
}

#[test]
fn a_moderator_mutes_and_the_caller_speaks_again_by_keys() {
    let plan = two(30, &[(10_000, Happening::Mute(P0))]).doing(0, &[(14_000, Action::Type("*6"))]);
    let outcome = judged(plan);
    assert!(outcome.share_heard(W0, PHONE[0], 6.0, 10.0) > 0.9);
    assert_words(&outcome, 0, "muted-by-moderator", 10.0);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 10.6, 17.5), 0.0);
    assert_eq!((seen(&outcome, 9).0, seen(&outcome, 15).0), (Some(false), Some(true)));
    assert_words(&outcome, 0, "unmuted", 17.0);
    assert_eq!(seen(&outcome, 25).0, Some(false));
    assert_talked(&outcome, 21.0, 33.0);
}

#[test]
fn the_caller_mutes_himself_and_the_browser_sees_it() {
    let keys = [(6_000, Action::MuteKey), (14_000, Action::MuteKey)];
    let outcome = judged(two(25, &[]).doing(0, &keys));
    assert_words(&outcome, 0, "muted", 9.0);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 11.5, 17.5), 0.0);
    assert_eq!((seen(&outcome, 15).0, seen(&outcome, 26).0), (Some(true), Some(false)));
    assert_talked(&outcome, 21.0, 28.0);
}

/// Mute is the caller's: no other bridge, session or room opens his microphone, and browsers see it all along.
#[test]
fn a_muted_phone_stays_muted_whatever_is_lost() {
    for happening in [
        Happening::Move(P0),
        Happening::ReplaceTransport(P0),
        Happening::BridgeDies,
        Happening::StreamBreaks(0, SECOND * 3, false),
        Happening::ServerRestarts(SECOND * 3),
        Happening::EndSession(P0, "success"),
    ] {
        let keys = [(6_000, Action::MuteKey), (36_000, Action::MuteKey)];
        let outcome = judged(two(45, &[(14_000, happening)]).doing(0, &keys));
        assert_eq!(outcome.share_heard(W0, PHONE[0], 11.5, 39.5), 0.0, "{}", outcome.ladder);
        assert_eq!(seen(&outcome, 35).0, Some(true), "{}", outcome.ladder);
        assert_talked(&outcome, 43.0, 48.0);
    }
}

#[test]
fn microphones_kept_off_raise_the_hand_and_open_after_approval() {
    let happenings = [(8_000, Happening::AvModeration(true)), (20_000, Happening::Approve(P0))];
    let keys = [(9_000, Action::Type("*6")), (20_000, Action::Type("*6"))];
    let outcome = judged(two(40, &happenings).doing(0, &keys));
    assert_words(&outcome, 0, "muted-by-moderator", 8.0);
    assert_eq!(seen(&outcome, 11), (Some(true), false));
    assert_eq!(seen(&outcome, 18), (Some(true), true), "he asked");
    assert_words(&outcome, 0, "unmute-requested", 20.0);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 9.0, 23.5), 0.0);
    assert_eq!(seen(&outcome, 30), (Some(false), false));
    assert_talked(&outcome, 28.0, 43.0);
}

#[test]
fn who_comes_while_microphones_are_kept_off_is_muted_and_is_told() {
    let outcome = judged(two(15, &[(2_000, Happening::AvModeration(true))]));
    assert_words(&outcome, 0, "muted-by-moderator", 3.6);
    assert_eq!(seen(&outcome, 10).0, Some(true));
    assert!(outcome.heard(W0, PHONE[0]).len() < 3, "{:?}", outcome.heard(W0, PHONE[0]));
}

#[test]
fn everybody_who_starts_muted_is_told_and_speaks_by_keys() {
    let plan =
        two(25, &[(2_000, Happening::StartMuted(true))]).doing(0, &[(8_000, Action::Type("*6"))]);
    let outcome = judged(plan);
    assert_words(&outcome, 0, "muted-by-moderator", 3.6);
    assert_eq!(seen(&outcome, 10).0, Some(true));
    assert_talked(&outcome, 16.0, 28.0);
}

#[test]
fn a_hand_goes_up_and_down_by_keys() {
    let keys = [(6_000, Action::Type("*9")), (14_000, Action::Type("*9"))];
    let outcome = judged(two(25, &[]).doing(0, &keys));
    assert_words(&outcome, 0, "hand-raised", 9.0);
    assert_words(&outcome, 0, "hand-lowered", 17.0);
    assert_eq!((seen(&outcome, 15).1, seen(&outcome, 25).1), (true, false));
}

#[test]
fn who_is_kicked_hears_it_and_is_out() {
    let outcome = judged(two(60, &[(10_000, Happening::Kick(P0))]));
    assert_words(&outcome, 0, "kicked", 10.0);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "kicked");
    assert!(at < 18.0);
    assert!(outcome.meeting().webs[0].sees(SECOND * 12).is_empty());
}

#[test]
fn a_meeting_ended_for_all_ends_with_words() {
    let plan =
        WorldPlan::calm_meeting(2, SECOND * 60, &[0]).with(&[(12_000, Happening::EndForAll)]);
    let outcome = judged(plan);
    for phone in [0, 1] {
        assert_words(&outcome, phone, "room-ended-by-host", 12.0);
        assert!(ended(&outcome, phone).0 < 20.0);
    }
}

#[test]
fn recordings_and_streams_are_said_when_they_begin_and_end_and_to_who_comes_later() {
    for (mode, begins, ends) in [
        (RecordingMode::File, "recording-on", "recording-off"),
        (RecordingMode::Stream, "streaming-on", "streaming-off"),
    ] {
        let mut plan = WorldPlan::calm_meeting(2, SECOND * 40, &[0]).with(&[
            (10_000, Happening::Recording(mode, true)),
            (30_000, Happening::Recording(mode, false)),
        ]);
        plan.phones[1].0.starts = SECOND * 15;
        let outcome = judged(plan);
        assert!(assert_words(&outcome, 0, begins, 10.0) < 10.5);
        assert!(assert_words(&outcome, 1, begins, 18.0) < 21.0);
        for phone in [0, 1] {
            assert!(assert_words(&outcome, phone, ends, 30.0) < 30.5);
        }
    }
}

#[test]
fn a_caller_is_taken_into_a_breakout_room_and_comes_back() {
    let happenings = [(10_000, Happening::Breakout(P0)), (30_000, Happening::CloseBreakout)];
    let plan = WorldPlan::calm_meeting(2, SECOND * 50, &[0]).with(&happenings);
    let outcome = judged(plan);
    assert!(outcome.share_heard(W0, PHONE[0], 7.0, 10.0) > 0.9);
    for (ear, hz) in [(W0, PHONE[0]), (P1, PHONE[0]), (P0, PHONE[1]), (P0, WEB[0])] {
        assert_eq!(outcome.share_heard(ear, hz, 11.0, 29.0), 0.0, "{ear:?} hears {hz} elsewhere");
    }
    assert!(outcome.longest_gap(W0, PHONE[1], 8.0, 50.0) <= 0.4, "the others go on");
    for (ear, hz) in [(W0, PHONE[0]), (P1, PHONE[0]), (P0, PHONE[1]), (P0, WEB[0])] {
        assert!(outcome.longest_gap(ear, hz, 36.0, 50.0) <= 0.4, "{ear:?} hears {hz} again");
    }
}

#[test]
fn a_storm_of_mutes_ends_as_the_last_word_says() {
    let storm: Vec<(u64, Happening)> =
        (0..200).map(|it| (8_000 + it * 20, Happening::Mute(P0))).collect();
    let plan =
        two(40, &storm).doing(0, &[(5_000, Action::Type("*6*6*6")), (14_000, Action::Type("*6"))]);
    let outcome = judged(plan);
    assert_talked(&outcome, 24.0, 42.0);
}

#[test]
fn lies_change_nothing() {
    let lies: Vec<(u64, Happening)> = Lie::ALL
        .into_iter()
        .enumerate()
        .map(|(place, lie)| (8_000 + 1_000 * place as u64, Happening::Lie(0, lie)))
        .collect();
    let outcome = judged(two(25, &lies));
    assert_talked(&outcome, 7.0, 27.0);
    assert!(outcome.longest_gap(W0, PHONE[0], 7.0, 27.0) <= 0.4);
    assert_eq!(outcome.words(0).iter().filter(|(at, _)| at.as_secs() > 6).count(), 0);
}
