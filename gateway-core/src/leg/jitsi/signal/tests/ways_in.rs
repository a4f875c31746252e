//! Every way into a room, and every way to be kept out.

use super::*;

const LOBBY: &str = "<lobbyroom xmlns='http://jitsi.org/jitmeet'>rooma@lobby.meet.test</lobbyroom>";

fn at_door(more: &str) -> Site {
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    site.room_refuses(&error("auth", "registration-required", &format!("{LOBBY}{more}")));
    let knock = site.join_sent().expect("a knock");
    let to = knock.attr("to").expect("an address").to_owned();
    assert!(to.starts_with("rooma@lobby.meet.test/"));
    site.hears(&here("rooma@lobby.meet.test", "NICK", "none", "<status code='110'/>", ""));
    site
}

#[test]
fn a_caller_who_is_alone_is_in_at_once_and_asks_in_the_right_order() {
    let mut site = Site::new();
    site.stream_up(false);
    let names: Vec<String> = site
        .sent
        .iter()
        .map(|it| it.children().next().map_or(it.name(), Element::name).to_owned())
        .collect();
    assert_eq!(names, ["presence", "query", "conference"]);
    site.focus_answers("true");
    site.room_lets_in();
    assert_eq!(site.take_heard(), [Heard::Joined(1)]);
    assert_eq!(site.backend.snapshot()[0].members.len(), 1);
    site.run(3_600);
    assert_eq!(site.take_heard(), [], "nobody is missed and nobody hurried");
}

#[test]
fn with_others_there_he_is_in_when_sound_flows_and_hears_why_it_takes_long() {
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    site.comes("alice", "");
    site.room_lets_in();
    assert_eq!(site.take_heard(), []);
    site.run(3);
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::Joining)]);
    site.focus_says("session-initiate");
    assert_eq!(site.take_heard(), []);
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_heard(), [Heard::Joined(2)]);
    let room = SessionCommand::InRoom { room: ROOM.into(), speaks: true, nick: site.nick.clone() };
    assert!(site.session_told().contains(&room));
}

#[test]
fn a_host_who_is_waited_for_comes_or_does_not() {
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("false");
    site.run(30);
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::WaitingForHost)]);
    site.sent.clear();
    while site.sent.is_empty() {
        site.run(1);
    }
    site.focus_answers("true");
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::HostArrived)]);
    site.room_lets_in();
    assert_eq!(site.take_heard(), [Heard::Joined(1)]);
    let mut site = Site::new();
    site.stream_up(false);
    for _ in 0..30 {
        if site.conference_request().is_some() {
            site.hears("<x/>");
        }
        site.run(5);
    }
    // Never an answer at all: the join has its deadline.
    let left = Heard::Left(EndReason::ServiceUnavailable);
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::Joining), Heard::CloseStream, left]);
}

#[test]
fn a_host_who_never_comes_ends_the_call_after_the_policy_of_the_room() {
    let mut site = Site::new();
    site.stream_up(false);
    while site.heard.last().is_none_or(|(_, it)| !matches!(it, Heard::Left(_))) {
        if site.sent.iter().any(|it| it.has_child("conference", "http://jitsi.org/protocol/focus"))
        {
            site.focus_answers("false");
        }
        site.run(1);
    }
    let (at, left) = site.heard.last().expect("just seen");
    assert_eq!((*at, left), (120, &Heard::Left(EndReason::HostNeverCame)));
}

#[test]
fn a_password_is_asked_for_three_times() {
    let wrong = error("auth", "not-authorized", "");
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    for tries in 0..3 {
        site.room_refuses(&wrong);
        let again = tries > 0;
        assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::PasswordNeeded { again })]);
        site.run(20);
        assert_eq!(site.take_heard(), [], "the caller takes his time");
        site.wants(LegCommand::Password(Pii::new(format!("{tries}{tries}"))));
        site.focus_answers("true");
        let join = site.sent.iter().rfind(|it| it.name() == "presence").expect("a join");
        let x = join.get_child("x", "http://jabber.org/protocol/muc").expect("a join");
        assert_eq!(x.children().next().expect("a password").text(), format!("{tries}{tries}"));
    }
    let mut other = site;
    other.room_refuses(&wrong);
    assert_eq!(other.take_heard().last(), Some(&Heard::Left(EndReason::PinRefused)));
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    site.room_refuses(&wrong);
    site.wants(LegCommand::Password(Pii::new("1234".into())));
    site.focus_answers("true");
    site.room_lets_in();
    assert_eq!(site.take_heard().last(), Some(&Heard::Joined(1)));
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    site.room_refuses(&wrong);
    site.wants(LegCommand::Password(Pii::new(String::new())));
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::PinNotGiven)));
}

#[test]
fn a_moderator_lets_him_out_of_the_lobby() {
    let mut site = at_door("");
    site.run(60);
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::InLobby)]);
    let nick = site.nick.clone();
    site.hears(&format!(
        "<message from='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>"
    ));
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::Admitted)]);
    site.focus_answers("true");
    site.room_lets_in();
    assert_eq!(site.take_heard(), [Heard::Joined(1)]);
    assert_eq!(site.nick, nick, "approval is of the address, and the name stays");
}

#[test]
fn a_moderator_denies_or_never_decides_or_opens_the_door() {
    let out = |more: &str| {
        format!(
            "<presence type='unavailable' from='rooma@lobby.meet.test/NICK'>\
             <x xmlns='http://jabber.org/protocol/muc#user'>{more}<status code='110'/></x></presence>"
        )
    };
    let mut site = at_door("");
    site.hears(&out("<status code='307'/>"));
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::LobbyDenied)));
    let mut site = at_door("");
    site.run(600);
    assert_eq!(site.heard.last(), Some(&(600, Heard::Left(EndReason::HostNeverCame))));
    let mut site = at_door("");
    site.hears(&out(&format!("<destroy jid='{ROOM}'/>")));
    site.focus_answers("true");
    site.room_lets_in();
    assert_eq!(site.take_heard().last(), Some(&Heard::Joined(1)));
    let mut site = at_door("");
    site.hears(&out("<destroy/>"));
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::RoomEnded)));
}

#[test]
fn a_lobby_that_waits_for_the_host_has_the_words_for_that() {
    let mut site = at_door("<waiting-for-host xmlns='http://jitsi.org/jitmeet'/>");
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::InLobbyUntilHost)]);
    site.hears(&format!(
        "<message from='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>"
    ));
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::AdmittedByHost)]);
}

#[test]
fn refusals_that_are_final_have_their_reason() {
    let cases = [
        (error("cancel", "service-unavailable", ""), EndReason::RoomFull),
        (error("auth", "forbidden", ""), EndReason::Forbidden),
        (error("auth", "registration-required", ""), EndReason::Forbidden),
        (error("modify", "undefined-condition", ""), EndReason::Forbidden),
    ];
    for (error, reason) in cases {
        let mut site = Site::new();
        site.stream_up(false);
        site.focus_answers("true");
        site.room_refuses(&error);
        assert_eq!(site.take_heard(), [Heard::CloseStream, Heard::Left(reason)], "{error}");
        assert_eq!(site.backend.poll_timeout(), None);
        assert!(site.backend.snapshot().is_empty());
    }
}

#[test]
fn a_room_that_is_not_there_yet_is_asked_for_again() {
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    let text =
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Room creation is restricted</text>";
    site.room_refuses(&error("cancel", "not-allowed", text));
    assert_eq!(site.conference_request(), None);
    site.run(1);
    site.focus_answers("true");
    site.room_lets_in();
    assert_eq!(site.take_heard(), [Heard::Joined(1)]);
}

#[test]
fn a_stream_that_does_not_come_up_or_refuses_us_is_spoken_of() {
    let mut site = Site::new();
    site.run(60);
    let left = (30, Heard::Left(EndReason::ServiceUnavailable));
    assert_eq!(site.heard.last(), Some(&left));
    let mut site = Site::new();
    let (stream, reason) = (StreamKey(site.leg), StreamDownReason::NotAuthorized);
    site.backend.handle_input(site.now, BackendInput::StreamDown { stream, reason });
    site.drain();
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::ServiceUnavailable)));
}

#[test]
fn a_server_that_falls_silent_anywhere_never_keeps_a_caller_for_ever() {
    // Each step of the way in, then nothing more.
    let steps: [fn(&mut Site); 4] = [
        |site| site.stream_up(false),
        |site| site.focus_answers("true"),
        |site| site.comes("alice", ""),
        Site::room_lets_in,
    ];
    for last in 0..=steps.len() {
        let mut site = Site::new();
        for step in &steps[..last] {
            step(&mut site);
        }
        site.run(600);
        let is_over = matches!(site.heard.last(), Some((_, Heard::Left(_))));
        assert!(is_over, "after {last} steps: {:?}", site.heard);
    }
}

#[test]
fn a_policy_that_keeps_nobody_waiting_says_goodbye_instead() {
    let mut site = Site::with_policy(RoomPolicy { before_host: BeforeHost::Refuse, ..usual() });
    site.stream_up(false);
    site.focus_answers("false");
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::HostNeverCame)));
    let mut site = Site::with_policy(RoomPolicy { knocks: false, ..usual() });
    site.stream_up(false);
    site.focus_answers("true");
    site.room_refuses(&error("auth", "registration-required", LOBBY));
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::LobbyDenied)));
    let knock = site.sent.iter().rfind(|it| it.name() == "presence").and_then(|it| it.attr("to"));
    assert!(!knock.is_some_and(|to| to.contains("lobby")), "nobody is disturbed: {knock:?}");
}

#[test]
fn a_room_takes_no_more_phones_than_its_policy_says() {
    let policy = RoomPolicy { members_max: 2, ..usual() };
    let mut site = Site::with_policy(policy);
    let mut calls: SlotMap<CallKey, ()> = SlotMap::with_key();
    calls.insert(());
    let mut join = |room: &str| {
        let leg = LegKey::conference(calls.insert(()));
        let ask = JoinRequest { room: RoomName::new(room).expect("a name"), ..ask(policy) };
        site.backend.open_leg(site.now, leg, ask, Rng::from_number(6))
    };
    assert_eq!(join("Room A"), Ok(()));
    assert_eq!(join("Room A"), Err(JoinRefused::Full));
    assert_eq!(join("Room B"), Ok(()), "rooms are counted apart");
}

#[test]
fn a_password_that_is_told_in_the_lobby_leads_out_of_it() {
    let mut site = at_door("");
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::InLobby)]);
    site.sent.clear();
    site.wants(LegCommand::Password(Pii::new(String::new())));
    assert!(site.sent.is_empty(), "an empty one is no password");
    site.wants(LegCommand::Password(Pii::new("1234".into())));
    let goodbye = site.sent.iter().find(|it| it.attr("type") == Some("unavailable"));
    let to = goodbye.and_then(|it| it.attr("to")).expect("he leaves the lobby");
    assert!(to.starts_with("rooma@lobby.meet.test/"), "{to}");
    site.focus_answers("true");
    let join = site.sent.iter().rfind(|it| it.name() == "presence").expect("a join");
    let x = join.get_child("x", "http://jabber.org/protocol/muc").expect("a join");
    assert_eq!(x.children().next().expect("a password").text(), "1234");
    site.room_lets_in();
    assert_eq!(site.take_heard(), [Heard::Joined(1)]);
}
