//! What is lost is got back while the call stays: bridge, path, session, Jicofo, stream, Prosody.

use super::*;

/// The second of a line of a ladder.
fn at(line: &str) -> f64 {
    let number = line.split_whitespace().next().unwrap_or_default();
    number.trim_end_matches('s').parse().unwrap_or(0.0)
}

/// A run in which something is lost at 12 s: the gaps of phone and browser between 8 s and `to`.
fn gaps(talk: u64, happenings: &[(u64, Happening)]) -> (Outcome, f64, f64) {
    let outcome = judged(two(talk, happenings));
    let to = talk as f64;
    let gaps =
        [(P0, WEB[0]), (W0, PHONE[0])].map(|(ear, hz)| outcome.longest_gap(ear, hz, 8.0, to));
    println!("{:?}: gaps {:.1} s and {:.1} s", happenings[0].1, gaps[0], gaps[1]);
    assert_eq!(ended(&outcome, 0).1, "caller_hung_up", "the call stays");
    let [phone, web] = gaps;
    (outcome, phone, web)
}

#[test]
fn another_bridge_that_is_announced_is_not_heard_of() {
    for happening in [Happening::Move(P0), Happening::ReplaceTransport(P0)] {
        let (outcome, phone, web) = gaps(25, &[(12_000, happening)]);
        assert!(phone <= 0.4 && web <= 0.4, "{phone} {web}\n{}", outcome.ladder);
        assert!(!outcome.words(0).iter().any(|(_, words)| *words == "reconnecting"));
    }
}

#[test]
fn a_dead_bridge_is_replaced_as_soon_as_it_is_noticed() {
    let (outcome, phone, web) = gaps(50, &[(12_000, Happening::BridgeDies)]);
    assert!(phone < 17.5 && web < 17.5, "{phone} {web}\n{}", outcome.ladder);
    assert_talked(&outcome, 33.0, 50.0);
}

/// Noticed after 5 s, ICE restarted in vain for 5 s, then a new session is asked for.
#[test]
fn a_dead_bridge_that_nobody_notices_is_left_for_another() {
    let (outcome, phone, web) = gaps(60, &[(12_000, Happening::BridgeDiesUnnoticed)]);
    assert!(phone < 20.0 && web < 20.0, "{phone} {web}\n{}", outcome.ladder);
    assert_words(&outcome, 0, "reconnecting", 12.0);
    assert_words(&outcome, 0, "reconnected", 18.0);
    assert!(outcome.ladder.to_string().contains("session-terminate"));
    assert_talked(&outcome, 40.0, 60.0);
}

#[test]
fn a_path_that_breaks_is_found_anew_from_another_port() {
    let minute = SECOND * 60;
    let (outcome, phone, web) = gaps(60, &[(12_000, Happening::PathBreaks(P0, minute))]);
    // Nothing for 5 s, looked at each second.
    assert!(phone < 7.0 && web < 7.0, "{phone} {web}\n{}", outcome.ladder);
    assert_talked(&outcome, 35.0, 60.0);
    let ladder = outcome.ladder.to_string();
    assert!(ladder.contains("session-info"), "{ladder}");
    assert_eq!(ladder.matches("session-initiate").count(), 1, "kept its session\n{ladder}");
}

/// A focus that is there and does not invite anew has forgotten us: asking it does not help, only joining anew does.
#[test]
fn a_session_that_the_focus_ends_is_got_back_by_joining_anew() {
    for (reason, limit) in [("success", 8.0), ("connectivity-error", 4.0), ("general-error", 4.0)] {
        let (outcome, phone, web) = gaps(40, &[(12_000, Happening::EndSession(P0, reason))]);
        assert!(phone < limit && web < limit, "{reason}: {phone} {web}\n{}", outcome.ladder);
        assert_talked(&outcome, 22.0, 40.0);
        let counters = outcome.meeting().legs;
        assert_eq!((counters.conferences_interrupted, counters.conferences_recovered), (1, 1));
        assert_eq!(counters.conferences_rejoined, 1);
        if limit > 5.0 {
            assert!(assert_words(&outcome, 0, "reconnecting", 12.0) < 15.5);
        }
    }
}

/// Three phones, one focus that lost its memory: one of them asks, and all are invited.
#[test]
fn one_phone_of_a_room_asks_for_all() {
    let happenings = [(14_000, Happening::FocusStops), (17_000, Happening::FocusForgets)];
    let outcome = judged(WorldPlan::calm_meeting(3, SECOND * 40, &[0]).with(&happenings));
    let ladder = outcome.ladder.to_string();
    let asks = |from: f64, to: f64| {
        let asked = |line: &&str| line.contains("-> jitsi    iq set conference");
        let lines = ladder.lines().filter(asked).filter(|line| (from..to).contains(&at(line)));
        lines.count()
    };
    // The one that listens asks at once; it is in vain, so after a while another does.
    assert_eq!((asks(13.9, 21.9), asks(21.9, 24.9)), (1, 1), "{ladder}");
    for (ear, hz) in [(P0, WEB[0]), (P1, WEB[0]), (Who::Phone(2), WEB[0])] {
        let gap = outcome.longest_gap(ear, hz, 10.0, 38.0);
        assert!(gap <= 1.0, "{ear:?}: {gap}\n{ladder}");
    }
}

#[test]
fn a_focus_that_comes_back_as_it_was_is_not_heard_of() {
    let happenings = [(12_000, Happening::FocusStops), (15_000, Happening::FocusResumes)];
    let (outcome, phone, web) = gaps(40, &happenings);
    assert!(phone <= 0.4 && web <= 0.4, "{phone} {web}\n{}", outcome.ladder);
}

#[test]
fn a_focus_that_forgot_everything_is_made_to_invite_everybody() {
    let happenings = [(12_000, Happening::FocusStops), (20_000, Happening::FocusForgets)];
    let (outcome, phone, web) = gaps(50, &happenings);
    assert!(phone <= 1.0 && web <= 1.0, "{phone} {web}\n{}", outcome.ladder);
    let ladder = outcome.ladder.to_string();
    assert_eq!(ladder.matches("session-initiate").count(), 2, "{ladder}");
}

#[test]
fn a_stream_that_goes_on_is_not_heard_of() {
    let (outcome, phone, web) = gaps(30, &[(12_000, Happening::StreamBreaks(0, SECOND, true))]);
    assert!(phone <= 0.4 && web <= 0.4, "{phone} {web}\n{}", outcome.ladder);
    assert!(!outcome.words(0).iter().any(|(_, words)| *words == "reconnecting"));
}

/// Nobody tells us that the bridge has forgotten us while there is no stream: its silence does, after 5 s.
#[test]
fn a_stream_that_begins_anew_joins_again() {
    for lasts in [1, 10, 30] {
        let cut = Happening::StreamBreaks(0, SECOND * lasts, false);
        let (outcome, ..) = gaps(65, &[(12_000, cut)]);
        assert_talked(&outcome, 12.0 + f64::from(lasts) + 6.0, 65.0);
        if lasts > 20 {
            assert!(assert_words(&outcome, 0, "reconnecting", 12.0) < 30.0);
            assert_words(&outcome, 0, "reconnected", 42.0);
        }
    }
}

/// The bridge goes on meanwhile, and so does the talk.
#[test]
fn a_server_that_restarts_finds_everybody_back_and_is_hardly_heard_of() {
    let plan = WorldPlan::calm_meeting(2, SECOND * 50, &[0])
        .with(&[(14_000, Happening::ServerRestarts(SECOND * 5))]);
    let outcome = judged(plan);
    for (ear, hz) in [(P0, WEB[0]), (P1, WEB[0]), (P0, PHONE[1]), (P1, PHONE[0]), (W0, PHONE[0])] {
        let gap = outcome.longest_gap(ear, hz, 10.0, 50.0);
        println!("{ear:?} without {hz}: {gap:.1} s");
        assert!(gap <= 4.0, "{ear:?} {hz}: {gap}\n{}", outcome.ladder);
        let gap = outcome.longest_gap(ear, hz, 27.0, 50.0);
        assert!(gap <= 0.4, "{ear:?} {hz}: {gap}\n{}", outcome.ladder);
    }
}

#[test]
fn a_conference_that_never_comes_back_is_given_up_with_words() {
    let mut plan = two(
        300,
        &[(12_000, Happening::ServerRestarts(SECOND * 400)), (13_000, Happening::BridgeDies)],
    );
    plan.meeting.as_mut().expect("a meeting").rejoin_max = Some(SECOND * 60);
    let outcome = judged(plan);
    assert_words(&outcome, 0, "reconnecting", 12.0);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "conference_lost");
    assert!((75.0..100.0).contains(&at), "{at}");
}

/// One loss after the other, each before the last one is healed.
#[test]
fn losses_upon_losses_heal() {
    let happenings = [
        (12_000, Happening::BridgeDies),
        (15_000, Happening::StreamBreaks(0, SECOND * 3, false)),
        (20_000, Happening::FocusStops),
        (24_000, Happening::FocusForgets),
        (25_000, Happening::PathBreaks(P0, SECOND * 10)),
        (26_000, Happening::Move(P0)),
        (40_000, Happening::ServerRestarts(SECOND * 2)),
        (41_000, Happening::BridgeDies),
    ];
    let outcome = judged(two(110, &happenings));
    assert_talked(&outcome, 90.0, 110.0);
}
