//! Browsers in the embedded room, in virtual time: offer in, answer out, sound both ways, and every way to leave.

mod world;

use gateway_core::base::ids::TrunkId;
use gateway_core::gateway::Command;
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::codec::CodecKind;

use crate::world::{World, millis, secs};

/// Who is in the room: whether he speaks, whether he is muted.
fn members(w: &World) -> Vec<(bool, bool)> {
    let snapshot = w.gateway.snapshot(w.now);
    let room = snapshot.rooms.first().map(|(_, room)| room.members.clone()).unwrap_or_default();
    room.iter().map(|member| (member.speaking, member.muted)).collect()
}

#[test]
fn a_browser_and_a_phone_hear_each_other_and_leave_nothing_behind() {
    let mut w = World::new();
    let phone = w.phone(500.0);
    w.join(phone);
    let browser = w.browser(1_250.0);
    w.run_for(secs(4));
    assert_eq!(w.states(), ["Joined", "Joined"]);
    assert!(w.phones[phone].share_of(1_250.0, secs(1)) > 0.9, "the phone hears the browser");
    assert!(w.phones[phone].share_of(500.0, secs(1)) < 0.001, "and not itself");
    assert!(w.browsers[browser].share_of(500.0, secs(1)) > 0.9, "the browser hears the phone");
    assert!(w.browsers[browser].share_of(1_250.0, secs(1)) < 0.001, "and not itself");
    assert_eq!(members(&w), [(true, false), (true, false)], "both speak");
    let call = w.browsers[browser].answer.expect("answered").expect("welcome");
    w.command(Command::End { call, reason: EndReason::CallerHungUp });
    w.run_for(secs(2));
    assert!(w.browsers[browser].is_over, "the browser is told");
    w.expect_end(0, EndReason::CallerHungUp);
    let record = &w.records[0];
    assert_eq!((record.trunk, record.status), (TrunkId::BROWSERS, None));
    assert_eq!(record.codec, Some(CodecKind::Opus));
    assert_eq!(record.room.as_ref().map(|room| room.as_str()), Some("tea"));
    assert!(record.answered >= Some(record.started) && record.joined >= record.answered);
    assert!(record.report.packets_received > 150, "{:?}", record.report);
    assert!(w.phones[phone].share_of(1_250.0, secs(1)) < 0.1, "the phone is alone");
    w.hang_up(phone);
    w.run_for(secs(1));
    w.expect_empty();
}

#[test]
fn mute_keeps_a_browser_out_of_the_room_and_shows() {
    let mut w = World::new();
    let phone = w.phone(500.0);
    w.join(phone);
    let browser = w.browser(1_250.0);
    w.run_for(secs(3));
    let call = w.browsers[browser].answer.expect("answered").expect("welcome");
    w.command(Command::Mute { call, muted: true });
    w.run_for(secs(2));
    assert_eq!(members(&w), [(true, false), (false, true)]);
    assert!(w.phones[phone].share_of(1_250.0, secs(1)) < 0.001, "nothing comes through");
    assert!(w.browsers[browser].share_of(500.0, secs(1)) > 0.9, "he still hears");
    w.command(Command::Mute { call, muted: false });
    w.run_for(secs(2));
    assert_eq!(members(&w), [(true, false), (true, false)]);
    assert!(w.phones[phone].share_of(1_250.0, secs(1)) > 0.9, "heard again");
}

#[test]
fn a_page_that_is_closed_leaves_the_room() {
    let mut w = World::new();
    let (one, two) = (w.browser(500.0), w.browser(1_250.0));
    w.run_for(secs(3));
    assert_eq!(members(&w).len(), 2);
    let now = w.now;
    w.browsers[one].close(now);
    w.run_for(millis(500));
    w.expect_end(0, EndReason::CallerHungUp);
    assert_eq!(members(&w).len(), 1);
    // The other loses its network and says nothing.
    w.browsers[two].is_dead = true;
    w.run_for(secs(31));
    w.expect_end(1, EndReason::PeerGone);
    w.expect_empty();
}

#[test]
fn a_browser_that_never_connects_is_given_up_after_twenty_seconds() {
    let mut w = World::new();
    w.browser_with(500.0, |browser| browser.is_dead = true);
    w.run_for(secs(19));
    assert_eq!(w.states(), ["Joining"]);
    assert!(members(&w).is_empty(), "it was never in the room");
    w.run_for(secs(2));
    w.expect_end(0, EndReason::MediaTimeout);
    w.expect_empty();
}

#[test]
fn one_too_many_and_one_while_draining_are_refused_at_once() {
    let mut w = World::new();
    let phone = w.phone(500.0);
    w.join(phone);
    let browsers = [w.browser(500.0), w.browser(600.0), w.browser(700.0)];
    let answer = |w: &World, number: usize| w.browsers[number].answer.expect("answered");
    assert!(answer(&w, browsers[1]).is_ok());
    assert_eq!(answer(&w, browsers[2]), Err(EndReason::Overloaded));
    w.command(Command::Drain);
    let late = w.browser(800.0);
    assert_eq!(answer(&w, late), Err(EndReason::Draining));
    assert_eq!(w.calls().len(), 3, "two browsers and the phone");
}

#[test]
fn without_a_port_there_is_no_call() {
    let mut w = World::with(|config| config.rtp_ports = (20_000, 20_001));
    w.taken_ports = vec![20_000];
    let browser = w.browser(500.0);
    assert_eq!(w.browsers[browser].answer, Some(Err(EndReason::NoResources)));
    w.run_for(secs(1));
    w.expect_end(0, EndReason::NoResources);
}

#[test]
fn who_has_no_microphone_listens_as_long_as_he_likes() {
    let mut w = World::new();
    let phone = w.phone(500.0);
    w.join(phone);
    let browser = w.browser_with(1_250.0, |browser| browser.listens_only = true);
    // Twice the time after which a phone without sound is given up.
    w.run_for(secs(60));
    assert_eq!(w.states(), ["Joined", "Joined"]);
    assert_eq!(members(&w), [(true, false), (false, false)], "he never speaks");
    assert!(w.browsers[browser].share_of(500.0, secs(1)) > 0.9, "he hears");
}

#[test]
fn a_full_room_is_said_and_the_browser_is_let_go() {
    let mut w = World::new();
    let mut owner = w.owner.clone().expect("an owner");
    owner.policy.members_max = 1;
    w.owner = Some(owner);
    let phone = w.phone(500.0);
    w.join(phone);
    w.browser(1_250.0);
    w.run_for(secs(10));
    w.expect_end(0, EndReason::RoomFull);
    assert_eq!(w.states(), ["Joined"], "the phone stays");
}
