//! Who hears whom, and what of it the bridge sends.

use std::collections::BTreeMap;

use gateway_sim::plan::Action;

use super::*;

#[test]
fn a_phone_alone_is_answered_at_once_and_found_by_who_comes_later() {
    let outcome = judged(WorldPlan::calm_meeting(1, SECOND * 30, &[15]));
    assert!(joined(&outcome, 0) < 4.0);
    let said = assert_words(&outcome, 0, "alone", 3.0);
    assert!(said < 4.0);
    // Music until somebody comes, and not beside him.
    let music = |from: f64, to: f64| {
        let blocks = outcome.recordings[0].blocks();
        let loud = blocks.filter(|(at, block)| {
            (from..to).contains(&at.as_secs_f64()) && block.iter().any(|it| it.unsigned_abs() > 500)
        });
        loud.count()
    };
    assert!(music(8.0, 15.0) > 30, "{}", music(8.0, 15.0));
    let meeting = outcome.meeting();
    let seen = meeting.webs[0].sees(SECOND * 20);
    let [(_, (phone, status))] = seen.iter().collect::<Vec<_>>()[..] else { panic!("{seen:?}") };
    assert!(phone.is_phone && !phone.is_moderator && phone.is_muted == Some(false));
    assert_eq!(*status, "Connected");
    assert_talked(&outcome, 17.5, 33.0);
    let (legs, sound) = (meeting.legs, meeting.halves.media);
    assert_eq!((legs.bridge_sessions, legs.bridge_keys, legs.bridge_gaps), (1, 1, 0));
    assert!(legs.bridge_keys_ms < 1_000, "{legs:?}");
    // 15 s and a bit of both voices, 50 packets each second.
    assert!((700..1_000).contains(&sound.jitsi_speech_received), "{sound:?}");
    assert!(sound.jitsi_speech_received_bytes > 12 * sound.jitsi_speech_received, "{sound:?}");
    assert!(sound.jitsi_speech_sent > 700 && sound.jitsi_speech_sent_bytes > 0, "{sound:?}");
    assert_eq!((sound.jitsi_speech_missing, sound.jitsi_speech_concealed_ms), (0, 0), "{sound:?}");
    let first = outcome.heard(W0, PHONE[0])[0].as_secs_f64();
    assert!((15.0..15.7).contains(&first), "the web hears the phone from {first} on");
    assert_eq!(ended(&outcome, 0).1, "caller_hung_up");
    assert!(meeting.webs[0].sees(SECOND * 40).is_empty(), "he left");
}

/// A bridge forwards the loudest three, so one of the four is silent at a time: the third phone is not there yet, then
/// the browser is muted, then the first phone is.
#[test]
fn three_phones_and_a_browser_hear_each_other_and_the_bridge_sends_speech_once() {
    let mutes = [(16_000, true), (28_000, false)];
    let mutes = mutes.map(|(at, muted)| (at, Happening::MuteOneself(0, muted)));
    let mut plan = WorldPlan::calm_meeting(3, SECOND * 36, &[0])
        .with(&mutes)
        .doing(0, &[(22_000, Action::MuteKey)]);
    // They go together at about 40 s, so that nobody must take over.
    plan.phones[1].0.talk = SECOND * 35;
    plan.phones[2].0.starts = SECOND * 14;
    plan.phones[2].0.talk = SECOND * 22;
    let outcome = judged(plan);
    let p2 = Who::Phone(2);
    let web = (W0, WEB[0]);
    let phones = [(P0, PHONE[0]), (P1, PHONE[1]), (p2, PHONE[2])];
    for (from, to, speakers, ears) in [
        (7.0, 15.5, vec![web, phones[0], phones[1]], vec![W0, P0, P1]),
        (19.5, 25.5, phones.to_vec(), vec![W0, P0, P1, p2]),
        (30.0, 39.0, vec![web, phones[1], phones[2]], vec![W0, P0, P1, p2]),
    ] {
        for ear in ears {
            for (who, hz) in &speakers {
                let gap = outcome.longest_gap(ear, *hz, from, to);
                match who == &ear {
                    true => {
                        assert_eq!(outcome.share_heard(ear, *hz, from, to), 0.0, "{ear:?} himself")
                    }
                    false => {
                        assert!(gap <= 0.4, "{ear:?} {who:?} {from}: {gap}\n{}", outcome.ladder)
                    }
                }
            }
        }
    }
    // Each voice goes once to the phones, whoever of them listens; at a join some more, until that is settled.
    let meeting = outcome.meeting();
    let nick = meeting.webs[0].nick();
    let mut to_phones: BTreeMap<&str, u64> = BTreeMap::new();
    for (pair, count) in meeting.sent.iter().filter(|(pair, _)| pair.to.nick != nick) {
        *to_phones.entry(&pair.of).or_default() += count;
    }
    println!("packets to all phones together, by speaker: {to_phones:?}");
    let to_web = |of: &str| {
        let sent = meeting.sent.iter().find(|(pair, _)| pair.to.nick == nick && pair.of == of);
        sent.map(|(_, count)| *count)
    };
    for (of, count) in to_phones {
        // The browser speaks for 24 s while phones are there.
        let once = to_web(of).unwrap_or(50 * 24);
        assert!(count < once + 50, "{of}: {count} packets to phones, {once} once");
        assert!(count > once * 9 / 10, "{of}: {count} packets to phones, {once} once");
    }
}

#[test]
fn two_phones_and_a_browser_hear_each_other_without_a_gap_also_when_the_listener_leaves() {
    let mut plan = WorldPlan::calm_meeting(3, SECOND * 40, &[0]);
    // The listener is the first; he hangs up at 15 s. The third comes at 20 s.
    plan.phones[0].0.talk = SECOND * 11;
    plan.phones[2].0.starts = SECOND * 20;
    let outcome = judged(plan);
    for (ear, hz) in [(P1, WEB[0]), (W0, PHONE[1])] {
        let gap = outcome.longest_gap(ear, hz, 8.0, 20.0);
        assert!(gap <= 0.4, "{ear:?} heard nothing for {gap} s");
    }
    for (ear, hz) in [(P1, PHONE[2]), (Who::Phone(2), PHONE[1]), (Who::Phone(2), WEB[0])] {
        let gap = outcome.longest_gap(ear, hz, 27.0, 40.0);
        assert!(gap <= 0.4, "{ear:?} did not hear {hz} for {gap} s");
    }
}

#[test]
fn two_browsers_and_a_phone_all_hear_all() {
    let outcome = judged(WorldPlan::calm_meeting(1, SECOND * 15, &[0, 8]));
    let all = [(P0, WEB[0]), (P0, WEB[1]), (W0, PHONE[0]), (Who::Web(1), PHONE[0])];
    for (ear, hz) in all {
        assert!(outcome.longest_gap(ear, hz, 11.0, 18.0) <= 0.4, "{ear:?} {hz}");
    }
}
