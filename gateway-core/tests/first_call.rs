//! Whole calls in virtual time: SIP and RTP bytes in, SIP and RTP bytes out, one record each, nothing left over.

mod world;

use gateway_core::call::{CallDirection, Route};
use gateway_core::gateway::{Command, Event};
use gateway_core::leg::backend::{BeforeHost, Role, RoomName, RoomPolicy};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::ClipLibrary;

use crate::world::phone::Line;
use crate::world::{Owner, PIN, World, millis, secs};

#[test]
fn two_callers_type_their_pin_hear_each_other_and_leave_nothing_behind() {
    let mut w = World::new();
    let (one, two) = (w.phone(500.0), w.phone(1_250.0));
    w.join(one);
    assert_eq!(w.states(), ["Joined"]);
    w.join(two);
    w.run_for(secs(3));
    assert_eq!(w.states(), ["Joined", "Joined"]);
    for (ear, theirs, own) in [(one, 1_250.0, 500.0), (two, 500.0, 1_250.0)] {
        let phone = &w.phones[ear];
        assert!(phone.share_of(theirs, secs(1)) > 0.9, "{ear} hears the other");
        assert!(phone.share_of(own, secs(1)) < 0.001, "{ear} does not hear himself");
    }
    w.hang_up(one);
    w.hang_up(two);
    w.run_for(secs(1));
    w.expect_end(0, EndReason::CallerHungUp);
    w.expect_end(1, EndReason::CallerHungUp);
    let record = &w.records[0];
    assert_eq!(record.direction, CallDirection::Inbound);
    assert_eq!(record.room.as_ref().map(|room| room.as_str()), Some("tea"));
    assert_eq!((record.status, record.note.as_deref()), (Some(200), Some("pin-1")));
    assert!(record.answered >= Some(record.started) && record.joined > record.answered);
    assert!(record.report.packets_received > 100, "{:?}", record.report);
    w.expect_empty();
}

#[test]
fn the_first_is_told_he_is_alone_and_hears_music_until_another_comes() {
    let mut w = World::new();
    let (one, two) = (w.phone(0.0), w.phone(1_250.0));
    w.join(one);
    w.run_for(secs(2));
    w.join(two);
    w.run_for(secs(3));
    assert!(w.phones[one].share_of(1_250.0, secs(1)) > 0.9, "no music under the voice");
}

#[test]
fn digits_typed_at_once_count_and_a_key_that_comes_twice_counts_once() {
    let mut w = World::new();
    let one = w.phone(0.0);
    w.phones[one].sends_info_too = true;
    w.call_in(one);
    w.type_keys(one, &format!("{PIN}#"));
    w.run_for(millis(500));
    assert_eq!(w.states(), ["Joined"]);
}

#[test]
fn a_pin_of_full_length_needs_no_hash_and_a_late_one_does_no_harm() {
    let mut w = World::new();
    let one = w.phone(0.0);
    w.call_in(one);
    w.type_keys(one, "111111111");
    w.run_for(secs(2));
    w.type_keys(one, "#");
    w.run_for(secs(1));
    assert_eq!(w.states(), ["Asking"], "the second question is open");
    w.type_keys(one, PIN);
    w.run_for(secs(2));
    assert_eq!(w.states(), ["Joined"]);
}

#[test]
fn three_wrong_pins_end_with_words_and_bye() {
    let mut w = World::new();
    let one = w.phone(0.0);
    w.call_in(one);
    for _ in 0..3 {
        w.type_keys(one, "123#");
        w.run_for(secs(1));
    }
    w.run_for(secs(10));
    w.expect_end(0, EndReason::PinRefused);
    assert_eq!(w.phones[one].line, Line::Over(200));
    let reason = w.phones[one].received.last().expect("a BYE").clone();
    assert!(reason.contains("cause=21"), "{reason}");
    w.expect_empty();
}

#[test]
fn an_owner_who_does_not_answer_ends_the_call_with_503() {
    let mut w = World::new();
    w.owner = None;
    let one = w.phone(0.0);
    w.call_in(one);
    assert_eq!(w.phones[one].line, Line::Calling);
    w.run_for(secs(11));
    assert_eq!(w.phones[one].line, Line::Over(503));
    w.expect_end(0, EndReason::ServiceUnavailable);
    w.expect_empty();
}

#[test]
fn a_caller_who_gives_up_while_it_is_decided_is_gone_at_once() {
    let mut w = World::new();
    w.owner = None;
    let one = w.phone(0.0);
    w.call_in(one);
    w.phones[one].cancel();
    w.run_for(secs(1));
    assert_eq!(w.phones[one].line, Line::Over(487));
    w.expect_end(0, EndReason::CallerCancelled);
    w.expect_empty();
}

#[test]
fn a_rejection_before_the_answer_is_a_final_response() {
    let mut w = World::new();
    w.owner = None;
    let one = w.phone(0.0);
    w.call_in(one);
    let call = w.only_call();
    w.command(Command::End { call, reason: EndReason::NotFound });
    w.run_for(secs(1));
    assert_eq!(w.phones[one].line, Line::Over(404));
    w.expect_end(0, EndReason::NotFound);
    w.expect_empty();
}

#[test]
fn a_late_offer_is_answered_in_the_ack_and_the_question_waits_for_it() {
    let mut w = World::new();
    let one = w.phone(0.0);
    w.phones[one].offers_late = true;
    w.join(one);
    w.run_for(secs(1));
    assert_eq!(w.states(), ["Joined"]);
    w.hang_up(one);
    w.run_for(secs(1));
    w.expect_empty();
}

#[test]
fn without_an_ack_the_words_begin_anyway_and_the_call_ends_after_32_s() {
    let mut w = World::new();
    let one = w.phone(0.0);
    w.phones[one].forgets_ack = true;
    w.call_in(one);
    w.run_for(secs(3));
    assert!(!w.phones[one].heard.is_empty());
    w.type_keys(one, "*");
    w.run_for(secs(6));
    w.type_keys(one, "1*");
    w.run_for(secs(9));
    w.type_keys(one, "1*");
    w.run_for(secs(9));
    w.type_keys(one, "1*");
    w.run_for(secs(9));
    w.expect_end(0, EndReason::AckNeverCame);
    w.expect_empty();
}

#[test]
fn guests_wait_for_the_host_with_music_and_come_in_with_him() {
    let mut w = World::new();
    let policy = RoomPolicy { before_host: BeforeHost::Hold, ..RoomPolicy::default() };
    w.owner = Some(Owner { policy, ..Owner::default() });
    let (guest, host) = (w.phone(500.0), w.phone(1_250.0));
    w.join(guest);
    w.run_for(secs(5));
    assert_eq!(w.states(), ["Joining"]);
    w.owner = Some(Owner { policy, role: Role::Host, ..Owner::default() });
    w.join(host);
    w.run_for(secs(4));
    assert_eq!(w.states(), ["Joined", "Joined"]);
    assert!(w.phones[guest].share_of(1_250.0, secs(1)) > 0.9);
}

#[test]
fn a_host_who_never_comes_ends_the_wait_with_words() {
    let mut w = World::new();
    let policy = RoomPolicy {
        before_host: BeforeHost::Hold,
        host_wait_max: secs(60),
        ..RoomPolicy::default()
    };
    w.owner = Some(Owner { policy, ..Owner::default() });
    let guest = w.phone(500.0);
    w.join(guest);
    w.run_for(secs(70));
    w.expect_end(0, EndReason::HostNeverCame);
    assert_eq!(w.phones[guest].line, Line::Over(200));
    w.expect_empty();
}

#[test]
fn a_full_room_is_said_and_not_entered() {
    let mut w = World::new();
    let policy = RoomPolicy { members_max: 1, ..RoomPolicy::default() };
    w.owner = Some(Owner { policy, ..Owner::default() });
    let (one, two) = (w.phone(500.0), w.phone(1_250.0));
    w.join(one);
    w.join(two);
    w.run_for(secs(10));
    w.expect_end(0, EndReason::RoomFull);
    assert_eq!(w.records[0].room, None);
    assert_eq!(w.phones[two].line, Line::Over(200));
    assert_eq!(w.phones[one].line, Line::Talking);
}

#[test]
fn an_unknown_backend_is_an_apology_not_a_silence() {
    let mut w = World::new();
    w.owner = Some(Owner { backend: "jitsi".into(), ..Owner::default() });
    let one = w.phone(500.0);
    w.join(one);
    w.run_for(secs(10));
    w.expect_end(0, EndReason::ServiceUnavailable);
    w.expect_empty();
}

#[test]
fn star_six_mutes_and_nothing_of_him_is_heard() {
    let mut w = World::new();
    let (one, two) = (w.phone(500.0), w.phone(0.0));
    w.join(one);
    w.join(two);
    w.run_for(secs(3));
    assert!(w.phones[two].share_of(500.0, secs(1)) > 0.9);
    w.type_keys(one, "*6");
    w.run_for(secs(3));
    assert!(w.events.iter().any(|event| matches!(event, Event::CallMuted(_, true))));
    assert!(w.phones[two].share_of(500.0, secs(1)) < 0.001, "muted");
    w.type_keys(one, "*6");
    w.run_for(secs(3));
    assert!(w.phones[two].share_of(500.0, secs(1)) > 0.9, "heard again");
}

#[test]
fn star_nine_raises_and_lowers_a_hand_and_star_star_leaves_with_a_goodbye() {
    let mut w = World::new();
    let one = w.phone(500.0);
    w.join(one);
    w.type_keys(one, "*9");
    assert!(w.events.iter().any(|event| matches!(event, Event::HandRaised(_, true))));
    assert!(w.gateway.snapshot(w.now).rooms[0].1.members[0].hand_raised);
    w.type_keys(one, "*9");
    assert!(w.events.iter().any(|event| matches!(event, Event::HandRaised(_, false))));
    w.type_keys(one, "*#*0");
    assert_eq!(w.states(), ["Joined"]);
    w.type_keys(one, "**");
    w.run_for(secs(9));
    w.expect_end(0, EndReason::CallerLeft);
    w.expect_empty();
}

#[test]
fn hold_keeps_hold_music_out_of_the_room_and_silence_does_not_end_the_call() {
    let mut w = World::new();
    let (one, two) = (w.phone(500.0), w.phone(1_250.0));
    w.join(one);
    w.join(two);
    w.run_for(secs(2));
    w.phones[one].reinvite("sendonly");
    w.run_for(secs(2));
    assert!(w.gateway.snapshot(w.now).calls[0].held_by_peer);
    assert!(w.phones[two].share_of(500.0, secs(1)) < 0.001, "his hold music is not heard");
    w.phones[one].is_silent = true;
    w.run_for(secs(120));
    assert_eq!(w.states(), ["Joined", "Joined"]);
    w.phones[one].is_silent = false;
    w.phones[one].reinvite("sendrecv");
    w.run_for(secs(3));
    assert!(w.phones[two].share_of(500.0, secs(1)) > 0.9, "he is back");
    assert!(w.phones[one].share_of(1_250.0, secs(1)) > 0.9, "and hears again");
}

#[test]
fn a_phone_that_falls_silent_ends_its_call() {
    let mut w = World::new();
    let one = w.phone(500.0);
    w.join(one);
    w.phones[one].is_silent = true;
    w.run_for(secs(40));
    w.expect_end(0, EndReason::MediaTimeout);
    assert_eq!(w.phones[one].line, Line::Over(200));
    w.expect_empty();
}

#[test]
fn a_call_has_its_longest_length_and_the_route_may_shorten_it() {
    let mut w = World::new();
    w.owner = Some(Owner { length_max: Some(secs(60)), ..Owner::default() });
    let one = w.phone(500.0);
    w.join(one);
    w.run_for(secs(70));
    w.expect_end(0, EndReason::TooLong);
    w.expect_empty();
}

#[test]
fn who_hangs_up_during_the_last_words_does_not_change_the_reason() {
    let mut w = World::new();
    let one = w.phone(500.0);
    w.join(one);
    let call = w.only_call();
    w.command(Command::End { call, reason: EndReason::Operator });
    assert_eq!(w.states(), ["Ending"]);
    w.hang_up(one);
    w.run_for(secs(1));
    w.expect_end(0, EndReason::Operator);
    w.expect_empty();
}

#[test]
fn ports_that_are_taken_are_passed_over_and_no_port_at_all_is_503() {
    let mut w = World::with(|config| config.rtp_ports = (20_000, 20_005));
    w.taken_ports = vec![20_000, 20_002];
    let (one, two) = (w.phone(0.0), w.phone(0.0));
    w.call_in(one);
    assert_eq!(w.phones[one].line, Line::Talking);
    w.call_in(two);
    assert_eq!(w.phones[two].line, Line::Over(503));
    w.expect_end(0, EndReason::NoResources);
    w.hang_up(one);
    w.run_for(secs(1));
    w.expect_empty();
}

#[test]
fn a_draining_gateway_refuses_new_calls_and_lets_old_ones_talk() {
    let mut w = World::new();
    let (one, two) = (w.phone(500.0), w.phone(0.0));
    w.join(one);
    w.command(Command::Drain);
    w.call_in(two);
    assert_eq!(w.phones[two].line, Line::Over(503));
    let ours = w.dialling(two, None, false);
    assert!(w.gateway.command(w.now, ours).is_err(), "nor does it call");
    assert_eq!(w.states(), ["Joined"]);
    assert!(!w.gateway.is_idle());
    w.hang_up(one);
    w.run_for(secs(1));
    assert!(w.gateway.is_idle());
}

#[test]
fn a_call_of_ours_types_its_keys_and_joins_its_room() {
    let mut w = World::new();
    w.owner = Some(Owner { backend: "echo".into(), ..Owner::default() });
    let one = w.phone(500.0);
    w.call_out(one, Some((millis(500), "12#")), true);
    w.run_for(secs(3));
    assert_eq!(w.phones[one].line, Line::Talking);
    assert_eq!(w.states(), ["Joined"]);
    let keys: Vec<u8> = w.phones[one].keys_heard.iter().map(|(_, key)| *key).collect();
    assert_eq!(keys, [1, 2, 11]);
    assert!(w.phones[one].share_of(500.0, secs(1)) > 0.9, "the echo");
    let call = w.only_call();
    w.command(Command::End { call, reason: EndReason::CallerLeft });
    w.run_for(secs(1));
    assert_eq!(w.phones[one].line, Line::Over(200));
    w.expect_end(0, EndReason::CallerLeft);
    assert_eq!(w.records[0].direction, CallDirection::Outbound);
    w.expect_empty();
}

/// With the real clips: what is heard matters.
fn world_with_voice() -> World {
    World::with(|config| {
        config.clips = std::sync::Arc::new(ClipLibrary::embedded().expect("built in"));
    })
}

#[test]
fn the_greeting_the_loneliness_and_the_music_are_heard() {
    let mut w = world_with_voice();
    let one = w.phone(0.0);
    w.call_in(one);
    w.run_for(secs(2));
    assert!(w.phones[one].loudness(secs(1)) > 300.0, "the greeting");
    w.type_keys(one, PIN);
    assert!(w.phones[one].loudness(millis(500)) < 60.0, "the first key stops the words");
    w.run_for(secs(3));
    assert!(w.phones[one].loudness(secs(1)) > 300.0, "alone");
    w.run_for(secs(30));
    assert!(w.phones[one].loudness(secs(5)) > 100.0, "music");
}

#[test]
fn every_end_after_the_answer_is_spoken_or_has_nobody_to_hear_it() {
    for reason in EndReason::ALL {
        let mut w = world_with_voice();
        let (one, two) = (w.phone(0.0), w.phone(0.0));
        w.join(one);
        w.join(two);
        w.run_for(secs(3));
        let call = w.calls()[0];
        w.phones[one].listen_anew();
        w.command(Command::End { call, reason });
        w.run_for(secs(9));
        w.expect_end(0, reason);
        assert_eq!(w.phones[one].line, Line::Over(200), "{reason:?}: BYE");
        let spoken = w.phones[one].loudness(secs(9)) > 100.0;
        assert_eq!(spoken, reason.row().words.is_some(), "{reason:?}");
        assert_eq!(w.states(), ["Joined"], "the other stays");
    }
}

#[test]
fn others_hear_who_comes_and_goes_and_never_his_last_words() {
    let mut w = world_with_voice();
    let (one, two) = (w.phone(0.0), w.phone(0.0));
    w.join(one);
    w.join(two);
    w.run_for(secs(5));
    assert!(w.phones[one].loudness(secs(2)) < 100.0, "quiet, no music for two");
    let three = w.phone(0.0);
    w.join(three);
    assert!(w.phones[one].loudness(millis(1_500)) > 200.0, "the entry chime");
    w.run_for(secs(3));
    w.phones[one].listen_anew();
    w.type_keys(three, "**");
    w.run_for(secs(4));
    let heard = w.phones[one].heard.clone();
    let loud = heard.chunks(160).filter(|frame| frame.iter().any(|it| it.abs() > 500)).count();
    assert!((5..100).contains(&loud), "a chime of {loud} frames, not words");
}

#[test]
fn held_while_asked_the_question_is_put_again() {
    let mut w = world_with_voice();
    let one = w.phone(0.0);
    w.call_in(one);
    w.phones[one].reinvite("sendonly");
    w.run_for(secs(60));
    assert_eq!(w.states(), ["Asking"], "nobody is hurried who cannot type");
    w.phones[one].reinvite("sendrecv");
    w.run_for(secs(2));
    assert!(w.phones[one].loudness(secs(1)) > 300.0, "the words again");
    w.type_keys(one, &format!("{PIN}#"));
    w.run_for(millis(500));
    assert_eq!(w.states(), ["Joined"]);
}

#[test]
fn the_same_world_twice_sends_the_same_bytes() {
    let run = || {
        let mut w = World::new();
        let (one, two) = (w.phone(500.0), w.phone(1_250.0));
        w.join(one);
        w.join(two);
        w.type_keys(one, "*6*9");
        w.hang_up(two);
        w.run_for(secs(2));
        w.hang_up(one);
        w.run_for(secs(2));
        w.expect_empty();
        w.transcript
    };
    assert_eq!(run(), run());
}

/// A phone calls in and is sent into a room by name.
fn call_into(w: &mut World, phone: usize, room: &str, policy: RoomPolicy) {
    let owner = w.owner.take();
    w.call_in(phone);
    let call = *w.calls().last().expect("a call");
    let route = route_into(w, room, policy);
    w.command(Command::Route { call, route });
    w.owner = owner;
}

fn route_into(w: &World, room: &str, policy: RoomPolicy) -> Box<Route> {
    let room = RoomName::new(room).expect("a name");
    Box::new(Route { room, policy, ..*w.route_of(&Owner::default()) })
}

#[test]
fn a_caller_is_moved_with_words_and_his_phone_notices_nothing_but_other_voices() {
    let mut w = world_with_voice();
    let (one, two, three) = (w.phone(500.0), w.phone(1_250.0), w.phone(800.0));
    call_into(&mut w, one, "tea", RoomPolicy::default());
    call_into(&mut w, two, "tea", RoomPolicy::default());
    call_into(&mut w, three, "coffee", RoomPolicy::default());
    w.run_for(secs(6));
    assert!(w.phones[one].share_of(1_250.0, secs(1)) > 0.9, "one and two talk");
    let (call, said) = (w.calls()[1], w.phones[two].received.len());
    w.type_keys(two, "*9");
    let route = route_into(&w, "coffee", RoomPolicy::default());
    w.phones[two].listen_anew();
    w.command(Command::Move { call, route });
    w.run_for(secs(1));
    assert!(w.phones[two].loudness(secs(1)) > 300.0, "words");
    assert!(w.phones[two].share_of(800.0, secs(1)) < 0.9, "words, not only voices");
    w.run_for(secs(6));
    for (ear, theirs, gone) in [(two, 800.0, 500.0), (three, 1_250.0, 500.0)] {
        assert!(w.phones[ear].share_of(theirs, secs(1)) > 0.9, "{ear} hears the new room");
        assert!(w.phones[ear].share_of(gone, secs(1)) < 0.001, "{ear} hears nobody else");
    }
    assert!(w.phones[one].share_of(1_250.0, secs(1)) < 0.01, "he is out of the old room");
    assert_eq!((w.states(), w.phones[two].received.len()), (vec!["Joined"; 3], said));
    let snapshot = w.gateway.snapshot(w.now);
    let hands = snapshot.calls.iter().filter(|call| call.hand_raised).count();
    assert_eq!((snapshot.rooms.len(), hands), (2, 0));
    let of_two = |event: &Event| match event {
        Event::CallJoined(key, room) if *key == call => Some(("in", room.as_str().to_owned())),
        Event::CallLeft(key, room) if *key == call => Some(("out", room.as_str().to_owned())),
        _ => None,
    };
    let told: Vec<_> = w.events.iter().filter_map(of_two).collect();
    let told: Vec<_> = told.iter().map(|(what, room)| (*what, room.as_str())).collect();
    assert_eq!(told, [("in", "tea"), ("out", "tea"), ("in", "coffee")]);
    for phone in [one, two, three] {
        w.hang_up(phone);
    }
    w.run_for(secs(1));
    let record = w.records.iter().find(|record| record.call == call).expect("a record");
    assert_eq!(record.room.as_ref().map(|room| room.as_str()), Some("coffee"));
    w.expect_empty();
}

#[test]
fn who_is_muted_stays_muted_in_the_next_room() {
    let mut w = World::new();
    let (one, two) = (w.phone(500.0), w.phone(1_250.0));
    call_into(&mut w, one, "tea", RoomPolicy::default());
    call_into(&mut w, two, "coffee", RoomPolicy::default());
    let call = w.calls()[0];
    w.command(Command::Mute { call, muted: true });
    let route = route_into(&w, "coffee", RoomPolicy::default());
    w.command(Command::Move { call, route });
    w.run_for(secs(3));
    assert!(w.phones[one].share_of(1_250.0, secs(1)) > 0.9);
    assert!(w.phones[two].share_of(500.0, secs(1)) < 0.001);
    let room = w.gateway.snapshot(w.now).rooms.remove(0).1;
    assert_eq!(room.members.iter().map(|it| it.muted).collect::<Vec<_>>(), [false, true]);
    w.command(Command::Mute { call, muted: false });
    w.run_for(secs(2));
    assert!(w.phones[two].share_of(500.0, secs(1)) > 0.9);
}

#[test]
fn a_room_that_is_full_sends_him_back_to_where_he_was() {
    let mut w = World::new();
    let (one, two, three) = (w.phone(500.0), w.phone(1_250.0), w.phone(800.0));
    let small = RoomPolicy { members_max: 1, ..RoomPolicy::default() };
    call_into(&mut w, one, "tea", RoomPolicy::default());
    call_into(&mut w, two, "tea", RoomPolicy::default());
    call_into(&mut w, three, "coffee", small);
    let (call, route) = (w.calls()[1], route_into(&w, "coffee", small));
    w.command(Command::Move { call, route });
    w.run_for(secs(3));
    assert_eq!(w.states(), ["Joined"; 3]);
    assert!(w.phones[one].share_of(1_250.0, secs(1)) > 0.9, "back in the old room");
    assert!(w.phones[three].share_of(1_250.0, secs(1)) < 0.001);
}

#[test]
fn who_is_in_no_room_is_not_moved_and_who_waits_is_let_in_by_hand() {
    let mut w = World::new();
    let (one, two) = (w.phone(500.0), w.phone(0.0));
    w.call_in(two);
    let (asked, route) = (w.only_call(), route_into(&w, "tea", RoomPolicy::default()));
    let refused = w.gateway.command(w.now, Command::Move { call: asked, route });
    assert!(refused.is_err(), "he is being asked for his PIN");
    assert!(w.gateway.command(w.now, Command::Admit(asked)).is_err());
    let hold = RoomPolicy { before_host: BeforeHost::Hold, ..RoomPolicy::default() };
    call_into(&mut w, one, "board", hold);
    w.run_for(secs(2));
    assert_eq!(w.states(), ["Asking", "Joining"]);
    let call = w.calls()[1];
    w.command(Command::Admit(call));
    w.run_for(secs(1));
    assert_eq!(w.states(), ["Asking", "Joined"]);
    w.command(Command::Admit(call));
    assert_eq!(w.states(), ["Asking", "Joined"], "once is enough");
}
