use super::*;
use crate::jitsi::capture::{Capture, parse_stanzas};
use crate::jitsi::stanza::disco::Abilities;

fn stanza(xml: &str) -> Element {
    parse_stanzas(xml).expect("XML").remove(0)
}

fn phone() -> OwnPresence {
    OwnPresence {
        name: Pii::new("+31201234567".into()),
        stats_id: "weebee".into(),
        is_inbound: true,
        headers: Vec::new(),
        is_muted: false,
        can_be_muted: true,
        hand_raised_ms: None,
        shows_lowered_hand: false,
        status: String::new(),
        caps: Abilities::new(&[]).caps(),
    }
}

/// Children by name, without those of which a capture has none.
fn meaning(presence: &Element) -> Vec<(String, String)> {
    let known = ["nick", "features", "initiator", "audiomuted", "videomuted", "SourceInfo"];
    let mut meaning: Vec<(String, String)> = presence
        .children()
        .filter(|it| known.contains(&it.name()))
        .map(|it| {
            let text = match serde_json::from_str::<Value>(&it.text()) {
                Ok(json) => json.to_string(),
                // Those phones were not the real ones, which write Rayo's headers.
                Err(_) => String::from(it).replace(" xmlns='urn:xmpp:rayo:1'", ""),
            };
            (it.name().to_owned(), text)
        })
        .collect();
    meaning.sort();
    meaning
}

#[test]
fn our_presence_means_what_a_phone_of_the_captures_said() {
    let capture = Capture::stanzas("07-later-join-xml-sources-jigasi");
    let is_join = |it: &&Element| it.name() == "presence" && it.has_child("x", MUC);
    let sent = capture.sent("D").find(is_join).expect("D joined");
    let to = sent.attr("to").expect("a room");
    let (room, nick) = to.split_once('/').expect("a nick");
    let name = sent.get_child("nick", NICK).expect("a name").text();
    let ours = OwnPresence { name: Pii::new(name), ..phone() }.join(room, nick, None);
    assert_eq!(meaning(&ours), meaning(sent));
    assert_eq!(ours.attr("to"), Some(to));
    assert!(ours.has_child("x", MUC));
}

#[test]
fn a_password_goes_into_the_join_only_and_changes_are_told() {
    let join = phone().join("r@muc.test", "ab", Some(&Pii::new("1234".into())));
    let password = join.get_child("x", MUC).and_then(|x| x.get_child("password", MUC));
    assert_eq!(password.map(Element::text).as_deref(), Some("1234"));
    let mut changed = phone();
    changed.is_muted = true;
    changed.hand_raised_ms = Some(1_700_000_000_000);
    changed.status = "Connected".into();
    let update = changed.update("r@muc.test", "ab");
    assert!(!update.has_child("x", MUC));
    let read = Occupant::read(&update);
    assert_eq!((read.is_muted, read.has_hand_raised, read.is_phone), (Some(true), true, true));
    assert_eq!(update.get_child("status", ns::CLIENT).expect("a label").text(), "Connected");
}

#[test]
fn the_focus_and_ourselves_are_known_in_a_join() {
    let capture = Capture::stanzas("04-first-join");
    let seen: Vec<RoomPresence> = capture.received("A").filter_map(RoomPresence::read).collect();
    let PresenceKind::Here(focus) = &seen[0].kind else { panic!("{:?}", seen[0]) };
    assert_eq!((seen[0].nick.as_str(), focus.affiliation.as_str()), ("focus", "owner"));
    let facts = focus.conference.as_ref().expect("facts of the focus");
    assert!(facts.can_restart && facts.recording.is_none() && !facts.is_audio_recorded);
    let PresenceKind::Here(me) = &seen[1].kind else { panic!("{:?}", seen[1]) };
    assert!(me.is_self && !me.is_moderator && me.is_muted == Some(false) && !me.is_phone);
    let PresenceKind::Here(owner) = &seen[2].kind else { panic!("{:?}", seen[2]) };
    assert!(owner.is_self && owner.is_moderator && owner.affiliation == "owner");
}

#[test]
fn every_refusal_of_the_captures_is_understood() {
    let refusals = |name: &str, client: &str| -> Vec<JoinRefusal> {
        let capture = Capture::stanzas(name);
        let seen = capture.received(client).filter_map(RoomPresence::read);
        seen.filter_map(|it| match it.kind {
            PresenceKind::Refused(refusal) => Some(refusal),
            _ => None,
        })
        .collect()
    };
    assert_eq!(refusals("02-join-without-focus", "A"), [JoinRefusal::NoRoom, JoinRefusal::NoRoom]);
    assert_eq!(refusals("50-password", "C"), [JoinRefusal::Password, JoinRefusal::Password]);
    let lobby = Some("lobby1@lobby.meet.test".to_owned());
    let knock = JoinRefusal::Lobby { lobby, waits_for_host: false };
    assert_eq!(refusals("51-lobby-refusal", "C"), [JoinRefusal::NameRequired, knock]);
    assert_eq!(refusals("71-max-occupants", MAX_CLIENT), [JoinRefusal::Full]);
    let nicks = all_refusals("70-nick-errors");
    assert!(nicks.contains(&JoinRefusal::NickRefused) && nicks.contains(&JoinRefusal::NickTaken));
    assert!(nicks.iter().all(|it| !matches!(it, JoinRefusal::Other(_))), "{nicks:?}");
}

/// The client of that capture who finds the room full.
const MAX_CLIENT: &str = "L12";

fn all_refusals(name: &str) -> Vec<JoinRefusal> {
    let capture = Capture::stanzas(name);
    let values = capture.entries.iter().filter_map(|entry| entry.value());
    values
        .filter_map(RoomPresence::read)
        .filter_map(|it| match it.kind {
            PresenceKind::Refused(refusal) => Some(refusal),
            _ => None,
        })
        .collect()
}

#[test]
fn kicks_ends_and_closed_lobbies_are_told_apart() {
    let gone = |name: &str, client: &str| -> Vec<Gone> {
        let capture = Capture::stanzas(name);
        let seen = capture.received(client).filter_map(RoomPresence::read);
        seen.filter_map(|it| match it.kind {
            PresenceKind::Gone(gone) if gone.is_self => Some(gone),
            _ => None,
        })
        .collect()
    };
    let kick = gone("10-kick", "C");
    assert!(kick[0].was_kicked && kick[0].destroyed.is_none());
    assert_eq!(kick[0].reason.as_deref(), Some("bye"));
    let ended = all_gone("62-end-conference");
    let reasons: Vec<Option<String>> =
        ended.into_iter().filter_map(|it| it.destroyed).map(|it| it.reason).collect();
    assert!(reasons.contains(&Some("The meeting has been terminated".into())), "{reasons:?}");
    let lobby = gone("53-lobby-deny-and-close", "D");
    assert!(lobby[0].was_kicked);
    let closed = lobby[1].destroyed.as_ref().expect("closed");
    assert_eq!(closed.alternate.as_deref(), Some("lobby1@muc.meet.test"));
}

fn all_gone(name: &str) -> Vec<Gone> {
    let capture = Capture::stanzas(name);
    let values = capture.entries.iter().filter_map(|entry| entry.value());
    values
        .filter_map(RoomPresence::read)
        .filter_map(|it| match it.kind {
            PresenceKind::Gone(gone) => Some(gone),
            _ => None,
        })
        .collect()
}

#[test]
fn a_recording_is_read_from_the_focus() {
    let focus = stanza(
        "<presence from='r@muc.test/focus'><jibri-recording-status xmlns='http://jitsi.org/protocol/jibri' \
         status='on' recording_mode='file'/><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' \
         role='moderator'/></x></presence>",
    );
    let facts = Occupant::read(&focus).conference.expect("facts");
    assert_eq!(facts.recording, Some(RecordingState { is_on: true, is_stream: false }));
}

#[test]
fn long_names_are_cut_and_strange_presence_is_none() {
    let name = "n".repeat(100_000);
    let presence =
        stanza(&format!("<presence from='r@x/n'><nick xmlns='{NICK}'>{name}</nick></presence>"));
    assert_eq!(Occupant::read(&presence).name.reveal().len(), TEXT_MAX);
    for xml in
        ["<message from='r@x/n'/>", "<presence/>", "<presence from='r@x/n' type='subscribe'/>"]
    {
        assert_eq!(RoomPresence::read(&stanza(xml)), None, "{xml}");
    }
    let deep =
        format!("<presence from='r@x/n'><SourceInfo>{}</SourceInfo></presence>", "[".repeat(9_000));
    assert_eq!(Occupant::read(&stanza(&deep)).is_muted, None);
}
