//! The recordings, played to a real leg: it must say what the client of the recording said, in meaning.

use super::*;
use crate::jitsi::capture::{Capture, Seen, message_names, mutate, names};
use crate::webrtc::TransportEvent;

/// What a stanza means here: name, type, whom it is to, and the name of its first child.
type Meaning = (String, String, String, String);

fn meaning(stanza: &Element) -> Meaning {
    let word = |name: &'static str| stanza.attr(name).unwrap_or_default().to_owned();
    let child = stanza.children().find(|it| it.name() != "c").map_or("", Element::name);
    (stanza.name().to_owned(), word("type"), word("to"), child.to_owned())
}

/// A leg in the place of a client of a recording.
struct Replay {
    site: Site,
    /// Nick of the recording, and ids of its requests with ours.
    nick: String,
    ids: Vec<(String, String)>,
    matched: usize,
}

impl Replay {
    fn recorded_sent(&mut self, stanza: &Element) {
        let join = stanza.has_child("x", "http://jabber.org/protocol/muc");
        if let (true, Some((_, nick))) = (join, stanza.attr("to").and_then(|to| to.split_once('/')))
        {
            nick.clone_into(&mut self.nick);
        }
        let mut wanted = meaning(stanza);
        if !self.nick.is_empty() {
            wanted.2 = wanted.2.replace(&self.nick, &self.site.nick);
        }
        let found = self.site.sent.iter().position(|it| meaning(it) == wanted);
        let found = found.unwrap_or_else(|| panic!("{wanted:?} is missing: {:#?}", self.site.sent));
        let ours = self.site.sent.remove(found);
        if let (Some(theirs), Some(ours)) = (stanza.attr("id"), ours.attr("id")) {
            self.ids.push((theirs.to_owned(), ours.to_owned()));
        }
        self.matched += 1;
    }

    fn recorded_received(&mut self, stanza: &Element) {
        let mut xml = String::from(stanza);
        if !self.nick.is_empty() {
            xml = xml.replace(&self.nick, &self.site.nick);
        }
        for (theirs, ours) in &self.ids {
            xml = xml.replace(&format!("\"{theirs}\""), &format!("\"{ours}\""));
            xml = xml.replace(&format!("'{theirs}'"), &format!("'{ours}'"));
        }
        self.site.hears(&xml);
    }

    /// Plays what concerns the room; login and Jingle are others' matter.
    fn play(&mut self, capture: &str, client: &str) {
        let skipped = ["bind", "jingle"];
        for entry in Capture::stanzas(capture).of(client) {
            let Some(stanza) = entry.value() else { continue };
            let child = stanza.children().next().map_or("", Element::name);
            let is_room = !skipped.contains(&child) && stanza.name() != "features";
            match &entry.seen {
                Seen::Sent(stanza) if is_room && is_ours(stanza) => self.recorded_sent(stanza),
                Seen::Received(stanza) if is_room => self.recorded_received(stanza),
                _ => {}
            }
        }
    }
}

/// The client of the recordings also answered Jingle (by result or error) and asked things for its notes.
fn is_ours(stanza: &Element) -> bool {
    let asks_for_notes = matches!(stanza.attr("id"), Some("ri" | "fi"));
    let answers = matches!(stanza.attr("type"), Some("result" | "error"));
    let answers_disco = stanza.children().any(|it| it.name() == "query");
    !asks_for_notes && (!answers || answers_disco)
}

/// A leg that goes where the recording went.
fn leg_for(room: &str) -> Site {
    let mut site = Site::in_room(room);
    site.stream_up(false);
    site.sent.retain(|it| !it.has_child("query", "http://jabber.org/protocol/disco#info"));
    site
}

impl Site {
    /// As [`Site::new`], for another room.
    fn in_room(room: &str) -> Self {
        let mut site = Self::new();
        let ask = JoinRequest {
            room: RoomName::new(room).expect("a name"),
            role: Role::Guest,
            label: Pii::new("+31".into()),
            codec: CodecKind::Pcma,
            codecs: vec![CodecKind::Pcma],
            policy: RoomPolicy::default(),
            entry: Entry::default(),
            way: CallWay::Inbound,
        };
        site.wants(LegCommand::Leave(EndReason::CallerHungUp));
        site.backend.open_leg(site.now, site.leg, ask, Rng::from_number(6)).expect("always");
        site.drain();
        site.take_heard();
        site
    }
}

fn replay_at(site: Site) -> Replay {
    Replay { site, nick: String::new(), ids: Vec::new(), matched: 0 }
}

#[test]
fn a_trusted_phone_that_is_first_joins_and_stays_a_participant() {
    let mut replay = replay_at(leg_for("ownbf13ed15"));
    replay.play("30-owner-trusted-jigasi-first", "J");
    assert!(replay.matched >= 2);
    let heard = replay.site.take_heard();
    assert_eq!(heard[..2], [Heard::Joined(1), Heard::Members(MemberChange::Entered, 2)]);
}

#[test]
fn a_password_of_the_recording_is_typed_until_it_fits() {
    let mut replay = replay_at(leg_for("pw1"));
    let capture = Capture::stanzas("50-password");
    let mut typed = ["9999", "1234"].into_iter();
    for entry in capture.of("C") {
        match &entry.seen {
            Seen::Sent(stanza)
                if stanza.has_child("conference", "http://jitsi.org/protocol/focus") =>
            {
                replay.recorded_sent(stanza);
            }
            Seen::Sent(stanza) if stanza.name() == "presence" => {
                // Ours asks the focus before each join; theirs did so once.
                if replay.site.sent.iter().any(|it| it.name() == "iq") {
                    replay.site.focus_answers("true");
                }
                replay.recorded_sent(stanza);
            }
            Seen::Received(stanza) if stanza.name() != "features" => {
                replay.recorded_received(stanza);
                let asked = replay.site.heard.last().map(|(_, it)| it.clone());
                if let Some(Heard::Progress(JoinStep::PasswordNeeded { .. })) = asked {
                    replay.site.heard.clear();
                    let password = typed.next().expect("asked twice").to_owned();
                    replay.site.wants(LegCommand::Password(Pii::new(password)));
                }
            }
            _ => {}
        }
    }
    assert_eq!(replay.matched, 4);
    // The owner is there, so the caller is in when sound flows.
    replay.site.media(ConferenceEvent::Connected);
    assert_eq!(replay.site.take_heard(), [Heard::Joined(2)]);
}

#[test]
fn the_lobby_of_the_recordings_admits_us() {
    let mut replay = replay_at(leg_for("lobby1"));
    // The first try of the recording was without a name, which ours never is.
    let refusal = Capture::stanzas("51-lobby-refusal");
    for entry in refusal.of("C") {
        match &entry.seen {
            Seen::Sent(stanza)
                if stanza.name() == "presence"
                    && stanza.has_child("nick", "http://jabber.org/protocol/nick") =>
            {
                replay.recorded_sent(stanza);
            }
            Seen::Sent(stanza)
                if stanza.has_child("conference", "http://jitsi.org/protocol/focus") =>
            {
                replay.recorded_sent(stanza);
            }
            Seen::Received(stanza) if stanza.name() == "iq" => replay.recorded_received(stanza),
            Seen::Received(stanza) if String::from(stanza).contains("registration-required") => {
                replay.recorded_received(stanza);
            }
            _ => {}
        }
    }
    replay.play("52-lobby-admit", "C");
    replay.site.media(ConferenceEvent::Connected);
    let heard = replay.site.take_heard();
    let steps = [JoinStep::InLobby, JoinStep::Admitted].map(Heard::Progress);
    assert_eq!(heard[..2], steps);
    assert_eq!(heard.last(), Some(&Heard::Joined(2)));
}

#[test]
fn we_follow_into_the_breakout_room_of_the_recording() {
    let mut site = leg_for("brk1");
    site.focus_answers("true");
    site.room_lets_in();
    site.take_heard();
    let mut replay = replay_at(site);
    "70418bdf".clone_into(&mut replay.nick);
    replay.play("63-breakout-move", "D");
    assert_eq!(replay.matched, 3);
    assert_eq!(replay.site.backend.snapshot()[0].members.len(), 1);
}

#[test]
fn every_stanza_of_every_recording_does_no_harm_in_any_state() {
    let stanzas: Vec<Element> = names()
        .iter()
        .flat_map(|name| Capture::stanzas(name).entries)
        .filter_map(|entry| entry.value().cloned())
        .collect();
    let mut rng = Rng::from_number(11);
    let starts: [fn() -> Site; 4] = [Site::new, Site::alone, Site::talking, || {
        let mut site = Site::new();
        site.stream_up(false);
        site
    }];
    for start in starts {
        let mut site = start();
        for _ in 0..400 {
            let which = rng.below(stanzas.len() as u32) as usize;
            let stanza = stanzas.get(which).expect("below its length").clone();
            let input = BackendInput::Stanza(StreamKey(site.leg), stanza);
            site.backend.handle_input(site.now, input);
            site.drain();
            assert!(site.sent.len() < 50, "one stanza makes few");
            site.sent.clear();
        }
        site.run(1_200);
        let requests = site.sent.len();
        assert!(requests < 600, "{requests} stanzas in twenty minutes");
    }
}

/// Each file of the folder, each client of it, in order: a leg in the place of that client answers every request of the
/// focus exactly once, and whatever becomes of it, it leaves nothing behind.
#[test]
fn every_recording_is_lived_through_in_its_order() {
    let (mut clients, mut requests, mut left) = (0, 0, 0);
    for name in names() {
        let capture = Capture::stanzas(&name);
        let mut here: Vec<&str> = capture.entries.iter().map(|it| it.client.as_str()).collect();
        here.sort_unstable();
        here.dedup();
        for client in here {
            let mut site = Site::connected();
            clients += 1;
            for stanza in capture.received(client) {
                let stanza: Element = for_our_room(&String::from(stanza)).parse().expect("XML");
                let asked = matches!(stanza.attr("type"), Some("set" | "get"))
                    && stanza.attr("from") == Some(&format!("{ROOM}/focus"));
                let id = stanza.attr("id").unwrap_or_default().to_owned();
                site.sent.clear();
                let input = BackendInput::Stanza(StreamKey(site.leg), stanza);
                site.backend.handle_input(site.now, input);
                site.drain();
                for done in site.take_done() {
                    if let Done::OpenPort(socket) = done {
                        site.port(socket, true);
                    }
                }
                if site.backend.poll_timeout().is_none() {
                    // Kicked, or the meeting is over.
                    left += 1;
                    break;
                }
                let is_answer = |it: &&Element| {
                    matches!(it.attr("type"), Some("result" | "error"))
                        && it.attr("id") == Some(id.as_str())
                };
                let answers = site.sent.iter().filter(is_answer).count();
                assert!(answers <= 1 && answers >= usize::from(asked), "{name}, {client}: {id}");
                requests += answers;
            }
            site.run(1);
            site.wants(LegCommand::Leave(EndReason::CallerHungUp));
            assert_eq!(site.backend.poll_timeout(), None, "{name}, {client}");
        }
    }
    println!("{clients} clients, {requests} requests, {left} were put out");
    assert!(clients > 60 && requests > 80 && left >= 2, "{clients} {requests} {left}");
}

#[test]
fn every_recorded_channel_is_heard_to_its_end() {
    let mut heard = 0;
    for name in message_names() {
        let mut site = Site::connected();
        site.media(ConferenceEvent::Transport(TransportEvent::ChannelOpen));
        for entry in Capture::messages(&name).entries {
            let Seen::Received(text) = entry.seen else { continue };
            let message = TransportEvent::ChannelMessage(text);
            site.media(ConferenceEvent::Transport(message));
            heard += 1;
        }
        site.run(60);
        assert!(!site.take_heard().iter().any(|it| matches!(it, Heard::Left(_))), "{name}");
    }
    assert!(heard > 60, "{heard}");
}

/// Stanzas of this run; `WEEBEE_JITSI_MUTATIONS=1000000` for the long one.
fn rounds() -> u32 {
    let asked = std::env::var("WEEBEE_JITSI_MUTATIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

/// Every room is ours.
fn for_our_room(text: &str) -> String {
    let mut parts = text.split("@muc.meet.test");
    let mut ours = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_end = |sign: char| !sign.is_ascii_alphanumeric() && sign != '-';
        let end = ours.rfind(is_end).map_or(0, |at| at + 1);
        ours.truncate(end);
        ours.push_str(ROOM);
        ours.push_str(part);
    }
    ours
}

#[test]
fn mutated_stanzas_do_no_harm_to_a_leg_in_earnest() {
    let stanzas = names().into_iter().flat_map(|name| Capture::stanzas(&name).entries);
    let texts: Vec<String> = stanzas
        .filter_map(|entry| match &entry.seen {
            Seen::Received(stanza) => Some(for_our_room(&String::from(stanza))),
            _ => None,
        })
        .collect();
    let mut rng = Rng::from_number(12);
    let (mut site, mut parsed, mut legs) = (Site::connected(), 0_u32, 1_u32);
    for round in 0..rounds() {
        let text = texts.get(rng.below(texts.len() as u32) as usize).expect("below its length");
        let text = mutate(text, &mut rng);
        let Ok(stanza) = text.parse::<Element>() else { continue };
        parsed += 1;
        let input = BackendInput::Stanza(StreamKey(site.leg), stanza);
        site.backend.handle_input(site.now, input);
        site.drain();
        for done in site.take_done() {
            if let Done::OpenPort(socket) = done {
                site.port(socket, round % 8 != 0);
            }
        }
        assert!(site.sent.len() < 50, "{text}");
        site.sent.clear();
        if round % 16 == 0 {
            site.run(u64::from(rng.below(20)));
        }
        if site.take_heard().iter().any(|it| matches!(it, Heard::Left(_))) {
            assert_eq!(site.backend.poll_timeout(), None, "nothing is left of it");
            legs += 1;
            site = Site::connected();
        }
    }
    assert!(parsed > rounds() / 20, "only {parsed} were XML");
    assert!(legs > 1, "kicks and ends are among them");
}
