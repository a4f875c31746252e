//! A phone that we call: what the room sees of it, and who may hang it up.

use super::*;

fn site() -> Site {
    let mut site = Site::new();
    site.wants(LegCommand::Leave(EndReason::CallerHungUp));
    let long = "x".repeat(300);
    let extra = [("X-Test", "42"), ("X-Long", long.as_str()), ("X-Bell", "\u{7}")]
        .map(|(name, value)| (name.to_owned(), Pii::new(value.to_owned())));
    let entry = Entry { extra: extra.to_vec(), ..Entry::default() };
    let ask = JoinRequest { entry, way: CallWay::Dialling, ..ask(usual()) };
    site.backend.open_leg(site.now, site.leg, ask, Rng::from_number(6)).expect("always");
    site.drain();
    site.take_heard();
    site.sent.clear();
    site.stream_up(false);
    site.focus_answers("true");
    site
}

/// Labels that the room was told, one after the other; empty: a presence without.
fn statuses(site: &mut Site) -> Vec<String> {
    let sent = std::mem::take(&mut site.sent).into_iter();
    let told = sent.filter(|it| it.has_child("audiomuted", "jabber:client"));
    let status = |it: &Element| it.get_child("status", "jabber:client").map(Element::text);
    told.map(|it| status(&it).unwrap_or_default()).collect()
}

#[test]
fn the_room_reads_how_far_the_call_is_and_what_its_headers_say() {
    let mut site = site();
    let join = site.join_sent().expect("a join");
    let initiator = join.get_child("initiator", "http://jitsi.org/protocol/jigasi").expect("one");
    // As the real one said it, but for the headers that are too long or cannot be written.
    let wanted = "<initiator xmlns='http://jitsi.org/protocol/jigasi'>\
        <header name='X-Test' value='42' xmlns='urn:xmpp:rayo:1'/>\
        <header name='JigasiCallDirection' value='out' xmlns='urn:xmpp:rayo:1'/></initiator>";
    assert_eq!(*initiator, parse_stanzas(wanted).expect("XML")[0]);
    site.sent.push(join);
    assert_eq!(statuses(&mut site).pop().as_deref(), Some("Initializing Call"));
    let to = format!("{ROOM}/{}", site.nick);
    site.hears(&here(ROOM, "focus", "owner", "", ""));
    site.hears(&here(ROOM, "alice", "none", "", ""));
    site.hears(&here(ROOM, "NICK", "none", "<status code='110'/>", ""));
    assert_eq!(std::mem::take(&mut site.occupants), [to]);
    assert_eq!(site.take_heard(), []);
    site.focus_says("session-initiate");
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::Invited)]);
    site.sent.clear();
    site.run(1);
    for status in ["Connecting", "ringing"] {
        site.wants(LegCommand::Status(status.into()));
        site.run(1);
    }
    site.take_heard();
    // Sound is no news to those who wait for an answer.
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_heard(), [Heard::Joined(2)]);
    site.wants(LegCommand::Status("Connected".into()));
    site.run(1);
    assert_eq!(statuses(&mut site), ["Connecting", "ringing", "Connected"]);
    // The last word is heard before the leave, however soon it follows.
    site.wants(LegCommand::Mute(true));
    site.wants(LegCommand::Status("Disconnected".into()));
    site.wants(LegCommand::Leave(EndReason::CallerHungUp));
    assert_eq!(statuses(&mut site).last().map(String::as_str), Some("Disconnected"));
}

#[test]
fn who_waits_in_the_lobby_is_named_as_the_occupant_he_will_be() {
    let mut site = site();
    let lobby = "<lobbyroom xmlns='http://jitsi.org/jitmeet'>rooma@lobby.meet.test</lobbyroom>";
    site.room_refuses(&error("auth", "registration-required", lobby));
    assert_eq!(site.occupants, Vec::<String>::new(), "nobody has seen him yet");
    site.hears(&here("rooma@lobby.meet.test", "NICK", "none", "<status code='110'/>", ""));
    assert_eq!(std::mem::take(&mut site.occupants), [format!("{ROOM}/{}", site.nick)]);
    site.hears(&format!(
        "<message from='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>"
    ));
    site.focus_answers("true");
    site.room_lets_in();
    assert_eq!(site.occupants, [format!("{ROOM}/{}", site.nick)]);
}

#[test]
fn who_joins_anew_says_where_he_is_now() {
    let mut site = Site::talking();
    site.occupants.clear();
    site.stream_down();
    site.run(1);
    site.stream_up(false);
    site.focus_answers("true");
    site.room_lets_in();
    assert_eq!(site.occupants, [format!("{ROOM}/{}", site.nick)]);
}

/// Asked by that address: the answer's type and the end it made, if it made one.
fn hang_up(from: &str) -> (String, Vec<Heard>) {
    let mut site = Site::talking();
    let moderator = here(ROOM, "mod", "owner", "", "").replace("participant", "moderator");
    site.hears(&moderator);
    site.take_heard();
    site.sent.clear();
    site.hears(&format!(
        "<iq type='set' id='h1' from='{from}'><hangup xmlns='urn:xmpp:rayo:1'/></iq>"
    ));
    let answer = site.sent.iter().find(|it| it.attr("id") == Some("h1")).expect("an answer");
    assert_eq!(answer.attr("to"), Some(from));
    let forbidden =
        answer.children().flat_map(|it| it.children()).any(|it| it.name() == "forbidden");
    let kind = if forbidden { "forbidden" } else { answer.attr("type").unwrap_or_default() };
    (kind.to_owned(), site.take_heard())
}

#[test]
fn the_focus_and_moderators_hang_up_and_nobody_else_does() {
    for from in [format!("{ROOM}/focus"), format!("{ROOM}/mod")] {
        let (answer, heard) = hang_up(&from);
        assert_eq!(answer, "result", "{from}");
        assert_eq!(heard, [Heard::CloseStream, Heard::Left(EndReason::MeetingHungUp)]);
    }
    for from in [
        format!("{ROOM}/alice"),
        format!("{ROOM}/nobody"),
        "roomb@muc.meet.test/mod".to_owned(),
        "roomb@muc.meet.test/focus".to_owned(),
        "focus@auth.meet.test/focus".to_owned(),
        ROOM.to_owned(),
    ] {
        assert_eq!(hang_up(&from), ("forbidden".to_owned(), vec![]), "{from}");
    }
}

#[test]
fn a_key_of_somebody_in_the_room_is_for_the_phone() {
    let mut site = Site::new();
    let seat = site.backend.sounds.take_seat(site.leg, ROOM);
    assert!(seat.opens);
    let press = Press::new(Key::Star, 200);
    for timestamp in [5, 5, 9] {
        site.media(ConferenceEvent::RoomKey { ssrc: 1, timestamp, press });
    }
    assert_eq!(site.keys, [(site.leg, press); 2]);
}
