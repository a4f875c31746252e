//! In the room: who comes and goes, microphones and hands, recordings, other rooms, the end.

use super::*;

const AV: &str = "avmoderation.meet.test";

fn mute(muted: &str) -> String {
    format!(
        "<iq type='set' id='m1' from='{ROOM}/focus'>\
         <mute xmlns='http://jitsi.org/jitmeet/audio' actor='{ROOM}/alice'>{muted}</mute></iq>"
    )
}

#[test]
fn people_come_and_go_and_machines_do_not_count() {
    let mut site = Site::talking();
    site.comes("bob", "");
    assert_eq!(site.take_heard(), [Heard::Members(MemberChange::Entered, 3)]);
    site.comes("rec", "<features><feature var='http://jitsi.org/protocol/jibri'/></features>");
    site.goes("rec");
    site.comes("bob", "<audiomuted>true</audiomuted>");
    assert_eq!(site.take_heard(), []);
    site.goes("bob");
    site.goes("alice");
    use MemberChange::Exited;
    assert_eq!(site.take_heard(), [Heard::Members(Exited, 2), Heard::Members(Exited, 1)]);
    assert!(site.session_told().contains(&SessionCommand::MemberGone("alice".into())));
}

#[test]
fn alone_again_the_focus_ends_the_session_and_a_newcomer_gets_another() {
    let mut site = Site::talking();
    site.goes("alice");
    site.take_heard();
    site.run(20);
    site.focus_says("session-terminate");
    site.run(600);
    assert_eq!(site.take_heard(), [], "music plays on");
    site.comes("bob", "");
    assert_eq!(site.take_heard(), [Heard::Members(MemberChange::Entered, 2)]);
    site.run(1);
    site.focus_says("session-initiate");
    site.media(ConferenceEvent::Connected);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_moderator_mutes_and_only_the_caller_unmutes() {
    let mut site = Site::talking();
    site.run(1);
    site.sent.clear();
    site.hears(&mute("true"));
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::Muted)]);
    assert_eq!(site.sent.iter().filter(|it| it.attr("type") == Some("result")).count(), 1);
    assert_eq!(site.shown(), Some((true, false)));
    site.run(1);
    site.hears(&mute("false"));
    assert_eq!((site.take_heard(), site.shown()), (vec![], None));
    site.wants(LegCommand::Mute(false));
    assert_eq!(site.shown(), Some((false, false)));
    site.run(1);
    site.wants(LegCommand::Mute(true));
    assert_eq!((site.take_heard(), site.shown()), (vec![], Some((true, false))));
}

#[test]
fn where_moderators_keep_microphones_off_a_hand_goes_up_instead() {
    let mut site = Site::talking();
    site.run(1);
    site.component_says(
        AV,
        "{\"type\":\"av_moderation\",\"mediaType\":\"audio\",\"enabled\":true}",
    );
    site.hears(&mute("true"));
    site.run(1);
    site.take_heard();
    site.shown();
    site.wants(LegCommand::Mute(false));
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::UnmuteRefused)]);
    assert_eq!(site.shown(), Some((true, true)));
    site.run(1);
    site.component_says(
        AV,
        "{\"type\":\"av_moderation\",\"mediaType\":\"audio\",\"approved\":true}",
    );
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::UnmuteAllowed)]);
    site.wants(LegCommand::Mute(false));
    let wish = site.sent.iter().find(|it| it.has_child("mute", "http://jitsi.org/jitmeet/audio"));
    let id = wish.expect("a wish").attr("id").expect("an id").to_owned();
    site.hears(&format!("<iq type='result' id='{id}' from='{ROOM}/focus'/>"));
    assert_eq!(site.shown(), Some((false, false)), "who speaks waits no more");
}

#[test]
fn a_hand_is_raised_and_lowered_and_dated() {
    let mut site = Site::talking();
    site.run(100);
    site.wants(LegCommand::RaiseHand(true));
    let hand = site.sent.last().and_then(|it| {
        it.get_child("jitsi_participant_raisedHand", "jabber:client").map(Element::text)
    });
    assert_eq!(hand.as_deref(), Some("1700000100000"));
    site.run(1);
    site.wants(LegCommand::RaiseHand(false));
    assert_eq!(site.shown(), Some((false, false)));
}

#[test]
fn who_starts_muted_hears_it_after_he_is_in() {
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    let muted = "{\"type\":\"room_metadata\",\"metadata\":{\"startMuted\":{\"audio\":true}}}";
    site.component_says("metadata.evil.test", muted);
    site.component_says("metadata.meet.test", muted);
    site.room_lets_in();
    assert_eq!(site.take_heard(), [Heard::Joined(1), Heard::Moderated(Moderation::Muted)]);
    assert!(site.backend.snapshot()[0].members[0].muted);
}

#[test]
fn nobody_but_the_components_of_our_server_speaks_for_the_room() {
    let mut site = Site::talking();
    let approved = "{\"type\":\"av_moderation\",\"mediaType\":\"audio\",\"enabled\":true}";
    let moved = "{\"type\":\"breakout_rooms\",\"event\":\"features/breakout-rooms/move-to-room\",\
                 \"roomJid\":\"x@breakout.meet.test\"}";
    for from in [&format!("{ROOM}/eve"), "avmoderation.evil.test", "eve@meet.test/x", ROOM] {
        site.component_says(from, approved);
        site.component_says(from, moved);
    }
    assert_eq!(site.conference_request(), None);
    site.wants(LegCommand::Mute(true));
    site.wants(LegCommand::Mute(false));
    assert_eq!(site.take_heard(), []);
}

#[test]
fn recordings_and_streams_are_announced_once_each_way_and_to_who_comes_later() {
    let focus = |status: &str, mode: &str| {
        let more = format!(
            "<jibri-recording-status xmlns='http://jitsi.org/protocol/jibri' status='{status}' recording_mode='{mode}'/>"
        );
        here(ROOM, "focus", "owner", "", &more)
    };
    let mut site = Site::talking();
    for status in ["pending", "on", "on", "off"] {
        site.hears(&focus(status, "file"));
    }
    site.hears(&focus("on", "stream"));
    use Moderation::{Recording, Streaming};
    let expected = [Recording(true), Recording(false), Streaming(true)].map(Heard::Moderated);
    assert_eq!(site.take_heard(), expected);
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    site.hears(&focus("on", "file"));
    let _ = site.take_heard();
    site.hears(&here(ROOM, "NICK", "none", "<status code='110'/>", ""));
    assert_eq!(site.take_heard(), [Heard::Joined(1), Heard::Moderated(Recording(true))]);
    // Written down is recorded, too: no news while it is both.
    let written = |is: bool| {
        format!(
            "{{\"type\":\"room_metadata\",\"metadata\":{{\"recording\":{{\"isTranscribingEnabled\":{is}}}}}}}"
        )
    };
    site.component_says("metadata.meet.test", &written(true));
    site.hears(&focus("off", "file"));
    assert_eq!(site.take_heard(), []);
    site.component_says("metadata.meet.test", &written(false));
    assert_eq!(site.take_heard(), [Heard::Moderated(Recording(false))]);
}

#[test]
fn he_follows_into_a_breakout_room_and_comes_back_when_it_closes() {
    let breakout = "b1@breakout.meet.test";
    let mut site = Site::talking();
    site.component_says(
        "breakout.meet.test",
        &format!(
            "{{\"type\":\"breakout_rooms\",\"event\":\"features/breakout-rooms/move-to-room\",\"roomJid\":\"{breakout}\"}}"
        ),
    );
    let (room, id) = site.conference_request().expect("a request");
    assert_eq!(room, breakout);
    site.hears(&format!(
        "<iq type='result' from='{FOCUS}' id='{id}'>\
         <conference xmlns='http://jitsi.org/protocol/focus' ready='true'/></iq>"
    ));
    let left = site.sent.iter().any(|it| it.attr("type") == Some("unavailable"));
    assert!(left, "the old room is left");
    site.room_lets_in();
    site.run(1);
    assert_eq!(site.take_heard(), [Heard::Members(MemberChange::Exited, 1)]);
    site.hears(&format!(
        "<presence type='unavailable' from='{breakout}/NICK'><x xmlns='http://jabber.org/protocol/muc#user'>\
         <destroy/><status code='110'/></x></presence>"
    ));
    let (room, _) = site.conference_request().expect("a request");
    assert_eq!(room, ROOM);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_kick_and_an_end_are_final_and_an_alternate_room_is_not() {
    let mut site = Site::talking();
    site.put_out("<status code='307'/>");
    assert_eq!(site.take_heard(), [Heard::CloseStream, Heard::Left(EndReason::Kicked)]);
    let mut site = Site::talking();
    site.put_out("<destroy><reason>The meeting has been terminated</reason></destroy>");
    assert_eq!(site.take_heard(), [Heard::CloseStream, Heard::Left(EndReason::RoomEnded)]);
    let mut site = Site::talking();
    site.put_out("<destroy jid='other@muc.meet.test'/>");
    assert_eq!(site.conference_request().expect("a request").0, "other@muc.meet.test");
    let mut site = Site::talking();
    site.put_out("<destroy jid='other@muc.evil.test'/>");
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::RoomEnded)));
}

#[test]
fn phones_alone_leave_a_room_with_a_lobby_that_nobody_can_moderate() {
    let lobby = "{\"type\":\"room_metadata\",\"metadata\":{\"lobbyEnabled\":true}}";
    let mut site = Site::talking();
    site.component_says("metadata.meet.test", lobby);
    site.comes("phone2", PHONE);
    site.goes("alice");
    site.take_heard();
    site.run(20);
    site.comes("alice", "");
    site.goes("alice");
    site.take_heard();
    site.run(29);
    assert_eq!(site.take_heard(), []);
    site.run(1);
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::RoomEnded)));
    let mut site = Site::talking();
    site.comes("phone2", PHONE);
    site.goes("alice");
    site.run(600);
    assert!(
        !site.take_heard().contains(&Heard::Left(EndReason::RoomEnded)),
        "without a lobby they stay"
    );
}

#[test]
fn leaving_says_goodbye_to_everybody_and_nothing_follows() {
    let mut site = Site::talking();
    site.wants(LegCommand::Leave(EndReason::CallerHungUp));
    assert_eq!(site.take_heard(), [Heard::CloseStream, Heard::Left(EndReason::CallerHungUp)]);
    assert!(site.session_told().contains(&SessionCommand::Close));
    assert_eq!(site.sent.last().and_then(|it| it.attr("type")), Some("unavailable"));
    site.sent.clear();
    site.put_out("<status code='307'/>");
    site.media(ConferenceEvent::Lost);
    site.run(600);
    assert_eq!((site.take_heard().len(), site.sent.len()), (0, 0));
}
