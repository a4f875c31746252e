//! The session with the bridge, with offers of the recordings: what the focus hears, and what the shard is told.

use super::*;
use crate::jitsi::capture::Capture;
use crate::jitsi::stanza::jingle::{Action, Jingle};
use crate::jitsi::stanza::ns;
use crate::jitsi::stanza::transport::Setup as Begins;
use crate::leg::jitsi::signal::bridge::{BridgeSessions, TransportKind};
use crate::webrtc::testkit::certificate;
use crate::webrtc::{Setup, TransportEvent, TransportFailure};

const JVB: &str = "192.0.2.9:20000";

impl Site {
    /// As [`Site::alone`], with sessions as they are in earnest.
    fn in_earnest() -> Self {
        let kind = TransportKind::Dtls { setup: Setup::Passive };
        let sessions = BridgeSessions::new(kind, Instant::now(), WALL);
        let mut site = Self::with_sessions(Box::new(sessions), Played::default(), |_| {});
        site.stream_up(false);
        site.focus_answers("true");
        site.room_lets_in();
        assert_eq!(site.take_heard(), [Heard::Joined(1)]);
        assert_eq!(site.take_done(), [], "alone, there is no bridge");
        site.sent.clear();
        site
    }

    /// With alice, sound flowing over socket 0.
    pub(super) fn connected() -> Self {
        let mut site = Self::in_earnest();
        site.comes("alice", "");
        site.offered("05-second-join", "B");
        site.port(0, true);
        site.media(ConferenceEvent::Transport(nominated(0)));
        site.media(ConferenceEvent::Connected);
        site.take_heard();
        site.take_done();
        site.sent.clear();
        site
    }

    /// The first offer a client of a recording got, for us.
    fn offered(&mut self, capture: &str, client: &str) {
        let capture = Capture::stanzas(capture);
        let is_offer = |it: &&Element| {
            let jingle = it.get_child("jingle", ns::JINGLE);
            jingle.is_some_and(|it| it.attr("action") == Some("session-initiate"))
        };
        let offer = capture.received(client).find(is_offer).expect("an offer");
        let room = offer.attr("from").and_then(|it| it.split('/').next()).expect("an address");
        self.hears(&String::from(offer).replace(room, ROOM));
    }

    pub(super) fn port(&mut self, socket: u8, is_there: bool) {
        let address = is_there.then(|| JVB.parse().expect("an address"));
        let leg = self.leg;
        let opened = BackendInput::PortOpened { leg, socket, address };
        self.backend.handle_input(self.now, opened);
        self.drain();
    }

    fn socket(&mut self, news: SocketNews) {
        let stream = StreamKey(self.leg);
        self.backend.handle_input(self.now, BackendInput::BridgeSocket(stream, news));
        self.drain();
    }

    pub(super) fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done).into_iter().map(|(_, done)| done).collect()
    }

    /// What was done for one leg; the rest is forgotten.
    fn take_done_for(&mut self, leg: LegKey) -> Vec<Done> {
        let mine = std::mem::take(&mut self.done).into_iter().filter(|(it, _)| *it == leg);
        mine.map(|(_, done)| done).collect()
    }

    /// Another phone comes into the room, with a session but no sound yet; from now on the talk is of it.
    fn another(&mut self) -> LegKey {
        let mut calls: SlotMap<CallKey, ()> = SlotMap::with_key();
        calls.insert(());
        self.leg = LegKey::conference(calls.insert(()));
        self.backend
            .open_leg(self.now, self.leg, ask(usual()), Rng::from_number(6))
            .expect("always");
        self.drain();
        self.stream_up(false);
        self.focus_answers("true");
        self.comes("alice", "");
        self.room_lets_in();
        self.offered("05-second-join", "B");
        self.port(0, true);
        self.leg
    }

    /// The focus tells of another's voice.
    fn voice(&mut self, action: &str, owner: &str, ssrc: u32) {
        let content = format!(
            "<content name='audio'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>\
             <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='{ssrc}' name='{owner}-a0'>\
             <ssrc-info xmlns='http://jitsi.org/jitmeet' owner='{owner}'/></source></description></content>"
        );
        self.focus_tells(action, &content);
    }

    /// The Jingle that was sent last of that kind.
    fn jingle_sent(&mut self, action: Action) -> Option<Jingle> {
        let read = |it: &Element| Jingle::read(it.get_child("jingle", ns::JINGLE)?).ok();
        let is_it = |it: &Element| read(it).is_some_and(|it| it.action == action);
        let place = self.sent.iter().rposition(is_it)?;
        read(&self.sent.remove(place))
    }

    /// The bridge's new side of ICE, as recorded.
    fn bridge_begins_ice_anew(&mut self) {
        let told = Capture::stanzas("12-ice-restart");
        let info = |it: &&Element| {
            let jingle = it.get_child("jingle", ns::JINGLE);
            jingle.is_some_and(|it| it.attr("action") == Some("transport-info"))
        };
        let told = told.received("B").find(info).expect("credentials");
        let jingle = told.get_child("jingle", ns::JINGLE).expect("just seen");
        let content = String::from(jingle.children().next().expect("a content"));
        self.focus_tells("transport-info", &content);
    }

    /// Tells of the session that is offered in the recording of [`Site::connected`].
    fn focus_tells(&mut self, action: &str, content: &str) {
        let offer = Capture::stanzas("05-second-join");
        let jingle =
            |it: &Element| it.get_child("jingle", ns::JINGLE)?.attr("sid").map(str::to_owned);
        let sid = offer.received("B").find_map(jingle).expect("an offer");
        self.hears(&format!(
            "<iq type='set' id='f9' from='{ROOM}/focus'>\
             <jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='{sid}'>{content}</jingle></iq>"
        ));
    }
}

fn nominated(socket: u8) -> TransportEvent {
    TransportEvent::Nominated { socket, to: JVB.parse().expect("an address") }
}

fn terminate(reason: &str) -> String {
    format!("<reason><{reason}/></reason>")
}

#[test]
fn an_offer_is_accepted_when_its_port_is_there() {
    let mut site = Site::in_earnest();
    site.comes("alice", "");
    site.offered("06-later-join-json-sources", "C");
    assert_eq!(site.take_done(), [Done::OpenPort(0)]);
    assert!(site.jingle_sent(Action::SessionAccept).is_none());
    assert_eq!(site.sent.last().and_then(|it| it.attr("type")), Some("result"));
    site.port(0, true);
    let accept = site.jingle_sent(Action::SessionAccept).expect("an accept");
    assert_eq!(accept.responder, Some(format!("{ROOM}/{}", site.nick)));
    let (content, audio) =
        accept.media(crate::jitsi::stanza::sources::MediaKind::Audio).expect("sound");
    assert_eq!(content.name, "audio");
    let ids: Vec<_> = audio.payload_types.iter().map(|it| (it.id, it.name.as_str())).collect();
    assert_eq!(ids, [(111, "opus"), (126, "telephone-event")]);
    assert_eq!(audio.extensions.iter().map(|it| it.id).collect::<Vec<_>>(), [1]);
    let sources = accept.sources();
    let [source] = &sources[..] else { panic!("one source: {sources:?}") };
    assert_eq!(source.name, Some(format!("{}-a0", site.nick)));
    let transport = accept.transport().expect("ICE");
    assert_eq!(transport.candidates.len(), 1);
    assert_eq!(transport.candidates[0].ip.to_string(), "192.0.2.9");
    let print = &transport.fingerprints[0];
    assert_eq!((print.setup, print.hash.as_str()), (Some(Begins::Passive), "sha-256"));
    assert_eq!(print.value, certificate().fingerprint().to_string());
    let done = site.take_done();
    assert_eq!(done[..2], [Done::OpenRoom, Done::Attach]);
    let voices = [Done::AddSource(3742474869), Done::AddSource(4071254398)];
    assert_eq!(done[2..], voices, "and not the bridge's own");
    assert_eq!(site.take_heard(), [Heard::Members(MemberChange::Entered, 2)]);
    site.media(ConferenceEvent::Transport(nominated(0)));
    site.media(ConferenceEvent::Connected);
    site.run(600);
    assert_eq!((site.take_heard(), site.take_done()), (vec![], vec![]));
}

#[test]
fn an_offer_that_cannot_have_a_port_is_declined() {
    let mut site = Site::in_earnest();
    site.comes("alice", "");
    site.offered("05-second-join", "B");
    site.port(0, false);
    assert!(site.jingle_sent(Action::SessionTerminate).is_some());
    assert!(!site.take_done().contains(&Done::Attach));
    site.run(3);
    assert!(site.take_heard().contains(&Heard::Progress(JoinStep::Reconnecting)));
}

#[test]
fn sources_come_and_go_with_the_focus_and_with_their_owners() {
    let mut site = Site::connected();
    site.comes("bob", "");
    site.voice("source-add", "bob", 77);
    site.voice("source-add", "bob", 78);
    site.voice("source-remove", "bob", 77);
    site.goes("bob");
    use Done::{AddSource, RemoveSource};
    let news = [AddSource(77), AddSource(78), RemoveSource(77), RemoveSource(78)];
    assert_eq!(site.take_done(), news);
}

#[test]
fn a_bridge_that_moves_gets_another_ssrc_from_the_other_socket() {
    let mut site = Site::in_earnest();
    site.comes("alice", "");
    site.offered("05-second-join", "B");
    site.port(0, true);
    site.media(ConferenceEvent::Connected);
    let first = site.jingle_sent(Action::SessionAccept).expect("an accept").sources()[0].ssrc;
    site.take_done();
    site.take_heard();
    site.focus_tells("session-terminate", &terminate("success"));
    assert_eq!(site.take_done(), [], "the old bridge may still be heard");
    site.offered("07-later-join-xml-sources-jigasi", "D");
    assert_eq!(site.take_done(), [Done::OpenPort(1)]);
    site.port(1, true);
    let second = site.jingle_sent(Action::SessionAccept).expect("an accept").sources()[0].ssrc;
    assert_ne!(first, second);
    let done = site.take_done();
    assert_eq!(done[0], Done::Attach, "in the room that is");
    assert!(!done.contains(&Done::ClosePort(0)));
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_done(), [Done::ClosePort(0)]);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn alone_again_the_bridge_is_left_and_the_room_stays() {
    let mut site = Site::connected();
    site.goes("alice");
    site.focus_tells("session-terminate", &terminate("expired"));
    let done = site.take_done();
    assert!(done.ends_with(&[Done::Detach, Done::CloseRoom, Done::ClosePort(0)]), "{done:?}");
    site.take_heard();
    site.comes("bob", "");
    site.offered("05-second-join", "B");
    site.port(0, true);
    assert_eq!(site.take_done()[..3], [Done::OpenPort(0), Done::OpenRoom, Done::Attach]);
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_heard(), [Heard::Members(MemberChange::Entered, 2)]);
}

#[test]
fn a_lost_path_is_found_again_on_another_socket() {
    let mut site = Site::connected();
    site.media(ConferenceEvent::Transport(TransportEvent::Disconnected));
    site.run(0);
    let asked = site.jingle_sent(Action::SessionInfo).expect("a wish");
    assert!(asked.bridge_session.expect("a bridge").ice_restart);
    site.bridge_begins_ice_anew();
    assert_eq!(site.take_done(), [Done::OpenPort(1)]);
    site.port(1, true);
    assert_eq!(site.take_done(), [Done::Restart(1, true)]);
    let ours = site.jingle_sent(Action::TransportInfo).expect("our side");
    let transport = ours.transport().expect("ICE");
    assert_eq!(transport.generation, Some(1));
    assert!(transport.credentials.is_some() && transport.fingerprints.is_empty());
    site.media(ConferenceEvent::Transport(nominated(1)));
    site.media(ConferenceEvent::Transport(TransportEvent::SocketUnused(0)));
    assert_eq!(site.take_done(), [Done::ClosePort(0)]);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_path_that_heals_while_another_is_made_is_told_once_and_sounds() {
    let mut site = Site::connected();
    site.voice("source-add", "alice", 77);
    site.media(ConferenceEvent::Transport(TransportEvent::Quiet));
    site.run(3);
    assert_eq!(site.take_heard(), [Heard::Progress(JoinStep::Reconnecting)]);
    site.media(ConferenceEvent::Transport(nominated(0)));
    assert_eq!(site.take_heard(), [Heard::Joined(2)], "it healed");
    site.bridge_begins_ice_anew();
    site.port(1, true);
    site.media(ConferenceEvent::Transport(nominated(1)));
    site.media(ConferenceEvent::Transport(TransportEvent::SocketUnused(0)));
    let done = site.take_done();
    let removed = done.iter().any(|it| matches!(it, Done::RemoveSource(_)));
    let expected =
        [Done::AddSource(77), Done::OpenPort(1), Done::Restart(1, true), Done::ClosePort(0)];
    assert_eq!((removed, &done[..]), (false, &expected[..]));
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_transport_that_failed_makes_us_ask_for_another_session() {
    let mut site = Site::connected();
    let failed = TransportEvent::Failed(TransportFailure::ClosedByPeer);
    site.media(ConferenceEvent::Transport(failed.clone()));
    let end = site.jingle_sent(Action::SessionTerminate).expect("an end");
    assert!(end.bridge_session.expect("a bridge").restart);
    site.media(ConferenceEvent::Transport(failed));
    assert!(site.jingle_sent(Action::SessionTerminate).is_none(), "told once");
    site.run(1);
    site.offered("07-later-join-xml-sources-jigasi", "D");
    site.port(1, true);
    site.media(ConferenceEvent::Connected);
    site.run(600);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn the_channel_says_hello_and_ports_that_come_late_are_closed() {
    let mut site = Site::connected();
    site.media(ConferenceEvent::Transport(TransportEvent::ChannelOpen));
    let done = site.take_done();
    let [Done::Channel(text)] = &done[..] else { panic!("{done:?}") };
    assert!(text.contains("ClientHello"));
    site.port(1, true);
    assert_eq!(site.take_done(), [Done::ClosePort(1)]);
}

#[test]
fn a_bridge_without_sctp_is_spoken_to_by_its_web_socket() {
    let mut site = Site::connected();
    let opened = std::mem::take(&mut site.sockets);
    let [SocketOrder::Open(url)] = &opened[..] else { panic!("{opened:?}") };
    assert!(url.reveal().starts_with("ws://127.0.0.1:9090/colibri-ws/jvb1/"), "as offered");
    site.socket(SocketNews::Up);
    let done = site.take_done();
    let [Done::Channel(text)] = &done[..] else { panic!("{done:?}") };
    assert!(text.contains("ClientHello"));
    site.socket(SocketNews::Text(r#"{"colibriClass":"ServerHello"}"#.to_owned()));
    // Lost, and there again: what is wanted is told again.
    site.socket(SocketNews::Down);
    site.socket(SocketNews::Up);
    assert!(matches!(&site.take_done()[..], [Done::Channel(_)]));
    // The next bridge has another address; the last goes with the session.
    site.focus_tells("session-terminate", &terminate("success"));
    site.offered("07-later-join-xml-sources-jigasi", "D");
    site.port(1, true);
    let moved = std::mem::take(&mut site.sockets);
    assert!(matches!(&moved[..], [SocketOrder::Close, SocketOrder::Open(next)] if next != url));
    site.wants(LegCommand::Leave(EndReason::CallerHungUp));
    assert_eq!(site.sockets, [SocketOrder::Close]);
}

#[test]
fn who_leaves_ends_the_session_the_seat_and_the_room() {
    let mut site = Site::connected();
    site.wants(LegCommand::Leave(EndReason::CallerHungUp));
    let end = site.jingle_sent(Action::SessionTerminate).expect("an end");
    assert!(end.bridge_session.is_none_or(|it| !it.restart));
    assert_eq!(site.take_done(), [Done::Detach, Done::CloseRoom, Done::ClosePort(0)]);
    let left = Heard::Left(EndReason::CallerHungUp);
    assert_eq!(site.take_heard(), [Heard::CloseStream, left]);
}

#[test]
fn two_phones_of_a_room_share_its_sound_and_each_voice_is_decoded_once() {
    let mut site = Site::connected();
    let (first, first_nick) = (site.leg, site.nick.clone());
    site.voice("source-add", "alice", 77);
    assert_eq!(site.take_done(), [Done::AddSource(77)]);
    let second = site.another();
    assert!(!site.done.contains(&(second, Done::OpenRoom)), "the room is there");
    assert!(site.done.contains(&(second, Done::Attach)));
    site.comes(&first_nick, PHONE);
    site.voice("source-add", "alice", 77);
    site.voice("source-add", &first_nick, 88);
    site.media(ConferenceEvent::Connected);
    assert_eq!(site.take_done_for(second).last(), Some(&Done::AddSource(88)), "the listener alone");
    // The bridge is asked for no more than that.
    site.media(ConferenceEvent::Transport(TransportEvent::ChannelOpen));
    let done = site.take_done();
    let [Done::Channel(_), Done::Channel(wanted)] = &done[..] else { panic!("{done:?}") };
    assert!(wanted.contains(&format!("{first_nick}-a0")) && wanted.contains("\"all\":false"));
    // The listener goes: the other hears all, at once.
    site.leg = first;
    site.wants(LegCommand::Leave(EndReason::CallerHungUp));
    assert!(!site.done.contains(&(first, Done::CloseRoom)));
    let taken_over = site.take_done_for(second);
    assert!(taken_over.contains(&Done::AddSource(77)), "{taken_over:?}");
    site.leg = second;
    site.goes(&first_nick);
    assert_eq!(site.take_done(), [Done::RemoveSource(88)]);
    site.wants(LegCommand::Leave(EndReason::CallerHungUp));
    assert!(site.take_done().contains(&Done::CloseRoom));
}

#[test]
fn keys_changes_and_gaps_are_counted() {
    let mut site = Site::connected();
    let counters = site.backend.counters();
    assert_eq!((counters.bridge_sessions, counters.bridge_keys, counters.bridge_gaps), (1, 1, 0));
    // Nothing comes for three seconds, then it heals.
    site.media(ConferenceEvent::Transport(TransportEvent::Quiet));
    site.run(3);
    site.media(ConferenceEvent::Transport(nominated(0)));
    let counters = site.backend.counters();
    assert_eq!((counters.bridge_paths_lost, counters.bridge_gaps), (1, 1));
    assert_eq!((counters.bridge_gaps_ms, counters.bridge_gaps_over_1s), (3_000, 1));
    // The bridge moves: another session in the place of one that sounds, keys two seconds later.
    site.focus_tells("session-terminate", "<reason><success/></reason>");
    site.offered("05-second-join", "B");
    site.port(1, true);
    site.run(2);
    site.media(ConferenceEvent::Transport(nominated(1)));
    site.media(ConferenceEvent::Connected);
    let counters = site.backend.counters();
    assert_eq!((counters.bridge_sessions, counters.bridge_changes), (2, 1));
    assert_eq!((counters.bridge_keys, counters.bridge_keys_ms), (2, 2_000));
    assert_eq!((counters.bridge_gaps, counters.bridge_gaps_ms), (2, 5_000));
    let failed = TransportEvent::Failed(TransportFailure::WrongFingerprint);
    site.media(ConferenceEvent::Transport(failed));
    let counters = site.backend.counters();
    assert_eq!((counters.bridge_certificates_wrong, counters.conferences_interrupted), (1, 3));
}
