//! Whatever can be lost is lost, and got back.

use super::*;

const RECONNECTING: Heard = Heard::Progress(JoinStep::Reconnecting);

#[test]
fn a_bridge_that_moves_is_not_heard_of() {
    let mut site = Site::talking();
    site.focus_says("session-terminate");
    site.run(1);
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_bridge_that_dies_is_heard_of_and_the_return_as_well() {
    let mut site = Site::talking();
    site.media(ConferenceEvent::Lost);
    site.run(0);
    assert_eq!(site.session_told().last(), Some(&SessionCommand::IceRestart));
    site.run(16);
    assert_eq!(site.session_told(), [SessionCommand::Restart]);
    site.focus_says("session-terminate");
    site.focus_says("session-initiate");
    site.run(2);
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_heard(), [RECONNECTING, RECONNECTING, Heard::Joined(2)]);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_conference_that_stays_lost_is_tried_for_as_long_as_the_setting_says_and_ends_aloud() {
    let mut site = Site::with(|settings| settings.rejoin_max = Duration::from_secs(100));
    site.stream_up(false);
    site.focus_answers("true");
    site.comes("alice", "");
    site.room_lets_in();
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    site.take_heard();
    let begin = (site.now - site.start).as_secs();
    site.media(ConferenceEvent::Lost);
    site.run(300);
    let words = site.heard.iter().filter(|(_, it)| *it == RECONNECTING).count();
    assert_eq!(words, 7, "at 2, 17, 32 ... 92");
    assert_eq!(site.heard.last(), Some(&(begin + 100, Heard::Left(EndReason::ConferenceLost))));
}

#[test]
fn what_changed_while_the_stream_was_down_is_told_when_it_goes_on() {
    let mut site = Site::talking();
    site.run(2);
    site.shown();
    site.stream_down();
    site.wants(LegCommand::Mute(true));
    site.run(1);
    assert_eq!(site.shown(), None, "nobody hears it now");
    site.stream_up(true);
    assert_eq!(site.shown(), Some((true, false)));
    site.stream_down();
    site.stream_up(true);
    assert_eq!(site.shown(), None, "nothing changed");
}

#[test]
fn a_focus_that_restarts_is_asked_again_and_nobody_hears_of_it() {
    let mut site = Site::talking();
    site.hears(&format!("<presence type='unavailable' from='{ROOM}/focus'/>"));
    let (room, _) = site.conference_request().expect("the focus is asked again");
    assert_eq!(room, ROOM);
    // It does not answer at first.
    site.run(12);
    site.focus_answers("true");
    assert!(site.join_sent().is_none(), "we are in the room already");
    site.hears(&here(ROOM, "focus", "owner", "", ""));
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_newcomer_without_a_session_makes_us_ask() {
    let mut site = Site::alone();
    site.comes("alice", "");
    site.take_heard();
    site.run(15);
    assert_eq!(site.take_heard(), []);
    site.run(5);
    assert!(site.conference_request().is_some());
    site.run(15);
    assert!(site.take_heard().contains(&RECONNECTING));
    assert!(site.conference_request().is_some(), "leaves and joins again");
}

#[test]
fn a_stream_that_resumes_changes_nothing_and_one_that_does_not_joins_anew() {
    let mut site = Site::talking();
    // What it wants to tell is told.
    site.run(2);
    site.sent.clear();
    site.stream_down();
    site.run(30);
    site.stream_up(true);
    assert_eq!((site.take_heard(), site.sent.len()), (vec![], 0), "sound flowed all along");
    let nick = site.nick.clone();
    site.stream_down();
    site.run(30);
    site.stream_up(false);
    site.focus_answers("true");
    site.comes("alice", "");
    site.room_lets_in();
    assert_ne!(site.nick, nick, "the old one haunts the room for a while");
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_heard(), []);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_room_joined_anew_without_a_session_is_not_taken_for_found_because_the_old_bridge_still_sounds()
{
    let mut site = Site::talking();
    site.run(2);
    site.stream_down();
    site.run(5);
    site.stream_up(false);
    site.focus_answers("true");
    site.comes("alice", "");
    site.room_lets_in();
    // The focus has no bridge to offer; nothing is told of the old one, whose keys still work.
    site.run(35);
    assert!(site.take_heard().contains(&RECONNECTING), "the caller is told");
    // And the room is tried again, or there would be no request to answer.
    site.focus_answers("true");
    site.comes("alice", "");
    site.room_lets_in();
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_heard().last(), Some(&Heard::Joined(2)));
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_server_that_restarts_takes_the_sound_with_it_and_all_comes_back() {
    let mut site = Site::talking();
    site.stream_down();
    site.media(ConferenceEvent::Lost);
    site.run(20);
    site.stream_up(false);
    site.focus_answers("false");
    site.run(2);
    site.focus_answers("true");
    site.comes("alice", "");
    site.room_lets_in();
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    let heard = site.take_heard();
    assert_eq!(heard.last(), Some(&Heard::Joined(2)));
    assert!(heard.iter().filter(|it| **it == RECONNECTING).count() >= 2);
    assert!(!heard.iter().any(|it| matches!(it, Heard::Left(_))));
}

#[test]
fn a_room_that_forgot_us_is_joined_again() {
    let mut site = Site::talking();
    site.put_out("");
    assert!(!site.take_heard().iter().any(|it| matches!(it, Heard::Left(_))));
    site.run(1);
    site.focus_answers("true");
    site.room_lets_in();
    site.run(1);
    assert_eq!(site.take_heard(), [Heard::Members(MemberChange::Exited, 1)]);
}

/// How often the room was left and the focus asked.
fn rejoins_within(site: &mut Site, seconds: u64) -> usize {
    let asks = |site: &mut Site| {
        site.run(1);
        usize::from(site.conference_request().is_some())
    };
    (0..seconds).map(|_| asks(site)).sum()
}

#[test]
fn whom_the_focus_forgot_joins_anew_at_once() {
    let mut site = Site::talking();
    site.focus_ends("general-error");
    site.run(2);
    site.focus_answers("true");
    site.comes("alice", "");
    site.room_lets_in();
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    assert!(site.take_heard().iter().all(|it| *it == RECONNECTING || *it == Heard::Joined(2)));
    let counters = site.backend.counters();
    assert_eq!((counters.conferences_interrupted, counters.conferences_recovered), (1, 1));
    assert_eq!(counters.conferences_rejoined, 1);
}

#[test]
fn a_move_that_leads_nowhere_is_waited_for_only_so_long() {
    let mut site = Site::talking();
    site.focus_ends("success");
    assert_eq!(rejoins_within(&mut site, 4), 0, "an invitation usually comes");
    assert_eq!(rejoins_within(&mut site, 2), 1);
}

#[test]
fn an_invitation_that_comes_in_time_is_accepted_without_leaving() {
    let mut site = Site::talking();
    site.focus_ends("general-error");
    site.focus_says("session-initiate");
    assert_eq!(rejoins_within(&mut site, 4), 0, "keys take their time");
    site.media(ConferenceEvent::Connected);
    site.run(60);
    assert!(site.conference_request().is_none());
}

/// A focus that cannot make a session with us ends each one: that is no reason to knock every second.
#[test]
fn a_focus_that_ends_session_after_session_is_tried_less_and_less() {
    let mut site = Site::talking();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        site.focus_ends("general-error");
        let begin = site.now;
        while site.conference_request().map(|it| site.hears_ready(&it.1)).is_none() {
            site.run(1);
        }
        pauses.push((site.now - begin).as_secs());
        site.comes("alice", "");
        site.room_lets_in();
        site.focus_says("session-initiate");
        site.media(ConferenceEvent::Connected);
    }
    // 1, 2, 4 ... s, each less or more by half.
    for (pause, seconds) in (0..).map(|doublings| 1_u64 << doublings).zip(&pauses) {
        assert!((pause / 2..=pause * 3 / 2 + 1).contains(seconds), "{pauses:?}");
    }
    assert!(pauses.iter().sum::<u64>() > 30, "{pauses:?}");
}

#[test]
fn nobody_leaves_a_room_that_has_no_focus() {
    let mut site = Site::talking();
    site.session_told();
    site.hears(&format!("<presence type='unavailable' from='{ROOM}/focus'/>"));
    site.focus_ends("general-error");
    site.run(4);
    assert!(site.session_told().iter().all(|it| *it != SessionCommand::OutOfRoom));
}
