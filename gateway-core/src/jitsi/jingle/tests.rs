use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use minidom::Element;

use super::*;
use crate::jitsi::capture::{self, Capture, Entry, Seen};
use crate::jitsi::stanza::sources::Source;

mod mutations;
mod replay;

/// A machine for the leg of a capture that is offered something by `focus`.
fn machine(focus: &str, me: &str, extensions: &[&str]) -> JingleSession {
    let jid = |text: &str| FullJid::new(text).expect("a full address");
    let extensions = extensions.iter().map(|uri| (*uri).to_owned()).collect();
    let config = JingleConfig { focus: jid(focus), me: jid(me), extensions };
    JingleSession::new(config, Rng::from_number(1))
}

fn parse(xml: &str) -> Element {
    capture::parse_stanzas(xml).expect("XML").remove(0)
}

/// What the machine sends and says.
fn drain(machine: &mut JingleSession) -> (Vec<Element>, Vec<JingleEvent>) {
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = machine.poll_output() {
        match output {
            JingleOutput::Send(stanza) => sent.push(stanza),
            JingleOutput::Event(event) => events.push(event),
        }
    }
    (sent, events)
}

/// An offer, from a capture, to B in room `rooma`.
fn offer() -> Element {
    let capture = Capture::stanzas("05-second-join");
    let mut offers = capture.received("B").filter(|it| it.has_child("jingle", ns::JINGLE));
    offers.next().expect("B is offered a session").clone()
}

const FOCUS: &str = "rooma@muc.meet.test/focus";
const ME: &str = "rooma@muc.meet.test/00e5e4b8";

fn session_id(offer: &Element) -> String {
    let jingle = offer.get_child("jingle", ns::JINGLE).expect("an offer");
    jingle.attr("sid").expect("with a session").to_owned()
}

fn answer(offer: &Offer) -> Box<Answer> {
    let transport = crate::jitsi::stanza::transport::IceTransport {
        web_sockets: Vec::new(),
        ..offer.transport.clone()
    };
    Box::new(Answer { session: offer.session, transport, source: Some(Source::audio(7)) })
}

/// Accepts the offer of the events and lets the focus agree.
fn accepted(machine: &mut JingleSession, now: Instant) -> SessionSerial {
    let (_, events) = drain(machine);
    let Some(JingleEvent::Offered(offer)) = events.into_iter().next() else { panic!("no offer") };
    machine.command(now, JingleCommand::Accept(answer(&offer)));
    reply(machine, now, "result", "");
    offer.session
}

/// The focus answers the last thing that was sent.
fn reply(machine: &mut JingleSession, now: Instant, kind: &str, inside: &str) -> Vec<JingleEvent> {
    let (sent, _) = drain(machine);
    let id = sent.last().and_then(|it| it.attr("id")).expect("something was sent").to_owned();
    let xml = format!("<iq type='{kind}' id='{id}' from='{FOCUS}'>{inside}</iq>");
    assert!(machine.handle_stanza(now, &parse(&xml)));
    drain(machine).1
}

fn jingle_of(stanza: &Element) -> Jingle {
    Jingle::read(stanza.get_child("jingle", ns::JINGLE).expect("jingle")).expect("readable")
}

#[test]
fn a_session_without_company_comes_again_with_company() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    let offer = offer();
    machine.handle_stanza(now, &offer);
    let session = accepted(&mut machine, now);
    let sid = session_id(&offer);
    let end = format!(
        "<iq type='set' id='1' from='{FOCUS}'><jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' \
         sid='{sid}'><reason><expired/><text>Idle session timeout</text></reason></jingle></iq>"
    );
    machine.handle_stanza(now, &parse(&end));
    let (sent, events) = drain(&mut machine);
    assert_eq!(sent.len(), 1);
    assert!(matches!(&events[..], [JingleEvent::Terminated { session: it, reason }]
        if *it == session && reason.text.as_deref() == Some("Idle session timeout")));
    assert_eq!(machine.poll_timeout(), None, "nobody is expected: no deadline");
}

#[test]
fn the_accept_waits_for_no_media_and_is_acknowledged() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[crate::jitsi::stanza::jingle::AUDIO_LEVEL]);
    assert!(machine.handle_stanza(now, &offer()));
    let (sent, events) = drain(&mut machine);
    assert_eq!(sent.len(), 1, "the offer's own answer, at once");
    let [JingleEvent::Offered(offer)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (offer.opus.id, offer.telephone_event, offer.audio_level()),
        (111, Some(126), Some(1))
    );
    machine.command(now, JingleCommand::Accept(answer(offer)));
    assert_eq!(reply(&mut machine, now, "result", ""), [JingleEvent::Accepted(offer.session)]);
    assert_eq!(machine.snapshot().0, "Active");
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn a_refused_accept_ends_the_session() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    machine.handle_stanza(now, &offer());
    let (_, events) = drain(&mut machine);
    let [JingleEvent::Offered(offer)] = &events[..] else { panic!("{events:?}") };
    machine.command(now, JingleCommand::Accept(answer(offer)));
    let error = "<error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>SSRC is already used: 7.</text></error>";
    let events = reply(&mut machine, now, "error", error);
    let [JingleEvent::AcceptFailed { failure: Failure::Refused(error), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (&error.condition[..], error.text.as_deref()),
        ("bad-request", Some("SSRC is already used: 7."))
    );
    assert_eq!(machine.snapshot().0, "Idle");
}

#[test]
fn an_offer_replaces_the_session_and_its_late_accept_does_nothing() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    machine.handle_stanza(now, &offer());
    let (_, first) = drain(&mut machine);
    let mut again = offer();
    let jingle = again.get_child_mut("jingle", ns::JINGLE).expect("an offer");
    jingle.attrs_mut().insert(
        minidom::rxml::Namespace::NONE,
        "sid".try_into().expect("a name"),
        "new".to_owned(),
    );
    machine.handle_stanza(now, &again);
    let (_, second) = drain(&mut machine);
    let ([JingleEvent::Offered(old)], [JingleEvent::Offered(new)]) = (&first[..], &second[..])
    else {
        panic!("{second:?}")
    };
    assert!(new.session > old.session);
    machine.command(now, JingleCommand::Accept(answer(old)));
    assert_eq!(drain(&mut machine), (vec![], vec![]));
    machine.command(now, JingleCommand::Accept(answer(new)));
    assert_eq!(jingle_of(&drain(&mut machine).0[0]).sid, "new");
}

#[test]
fn only_the_focus_of_this_room_may_offer() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    let from = |from: &str| {
        let mut offer = offer();
        offer.attrs_mut().insert(
            minidom::rxml::Namespace::NONE,
            "from".try_into().expect("a name"),
            from.to_owned(),
        );
        offer
    };
    assert!(
        machine.handle_stanza(now, &from("rooma@muc.meet.test/fddac50f")),
        "a browser: refused"
    );
    let (sent, events) = drain(&mut machine);
    assert_eq!(iq::error(&sent[0]).expect("an error").condition, "service-unavailable");
    assert!(events.is_empty());
    assert!(
        !machine.handle_stanza(now, &from("roomb@muc.meet.test/focus")),
        "another room is not ours"
    );
    assert!(!machine.handle_stanza(now, &from("")));
    assert_eq!(drain(&mut machine), (vec![], vec![]));
    assert_eq!(machine.counters().jingle_from_strangers, 1);
}

#[test]
fn requests_about_unknown_sessions_are_refused() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    machine.handle_stanza(now, &offer());
    accepted(&mut machine, now);
    for action in
        ["session-terminate", "source-add", "transport-info", "transport-replace", "session-info"]
    {
        let xml = format!(
            "<iq type='set' id='x' from='{FOCUS}'><jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='other'/></iq>"
        );
        assert!(machine.handle_stanza(now, &parse(&xml)));
        let (sent, events) = drain(&mut machine);
        assert_eq!(iq::error(&sent[0]).expect("an error").condition, "item-not-found", "{action}");
        assert!(events.is_empty(), "{action}");
    }
    assert_eq!(machine.snapshot().0, "Active");
}

#[test]
fn an_offer_without_contents_is_ended_at_once() {
    let now = Instant::now();
    let capture = Capture::stanzas("18-offer-no-features");
    let offer = capture.received("A").next().expect("an offer");
    let mut machine =
        machine("offere982fe3b@muc.meet.test/focus", "offere982fe3b@muc.meet.test/me", &[]);
    assert!(machine.handle_stanza(now, offer));
    let (sent, events) = drain(&mut machine);
    assert_eq!(events, [JingleEvent::UselessOffer(OfferFault::NoAudio)]);
    assert_eq!(jingle_of(&sent[1]).reason.expect("a reason").condition, "unsupported-applications");
}

#[test]
fn restarts_keep_the_distance_that_the_focus_wants() {
    let mut now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    machine.handle_stanza(now, &offer());
    accepted(&mut machine, now);
    machine.command(now, JingleCommand::RequestRestart);
    assert!(reply(&mut machine, now, "result", "").is_empty());
    machine.handle_stanza(now, &offer());
    accepted(&mut machine, now);
    now += Duration::from_secs(1);
    machine.command(now, JingleCommand::RequestRestart);
    assert_eq!(drain(&mut machine), (vec![], vec![]), "too soon");
    let (at, why) = machine.poll_timeout().expect("it will be asked later");
    assert_eq!(why, Why("jitsi.restart_allowed"));
    assert!(at - now > Duration::from_secs(4));
    machine.handle_timeout(at);
    let (sent, _) = drain(&mut machine);
    let jingle = jingle_of(&sent[0]);
    assert!(jingle.bridge_session.expect("a bridge session").restart);
}

#[test]
fn a_restart_that_is_refused_leaves_no_session() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    machine.handle_stanza(now, &offer());
    accepted(&mut machine, now);
    machine.command(now, JingleCommand::RequestRestart);
    let error = "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let events = reply(&mut machine, now, "error", error);
    assert!(matches!(&events[..], [JingleEvent::RestartFailed(Failure::Refused(_))]), "{events:?}");
    machine.command(now, JingleCommand::RequestRestart);
    assert_eq!(drain(&mut machine).1, [JingleEvent::RestartFailed(Failure::NoSession)]);
}

#[test]
fn silence_of_the_focus_is_told_in_time() {
    let start = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    machine.command(start, JingleCommand::ExpectOffer);
    let (at, why) = machine.poll_timeout().expect("a deadline");
    assert_eq!((at - start, why), (OFFER_WAIT, Why("jitsi.offer_wait")));
    machine.handle_timeout(at);
    assert_eq!(drain(&mut machine).1, [JingleEvent::NoOffer]);
    machine.handle_stanza(at, &offer());
    let (_, events) = drain(&mut machine);
    let [JingleEvent::Offered(offer)] = &events[..] else { panic!("a late offer is taken") };
    machine.command(at, JingleCommand::Accept(answer(offer)));
    drain(&mut machine);
    let (late, why) = machine.poll_timeout().expect("a deadline");
    assert_eq!((late - at, why), (REPLY_WAIT, Why("jitsi.jingle_reply")));
    machine.handle_timeout(late);
    let session = offer.session;
    let failure = Failure::NoAnswer;
    assert_eq!(drain(&mut machine).1, [JingleEvent::AcceptFailed { session, failure }]);
}

#[test]
fn an_ice_restart_is_answered_with_its_generation() {
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    let offer = offer();
    machine.handle_stanza(now, &offer);
    let session = accepted(&mut machine, now);
    machine.command(now, JingleCommand::RequestIceRestart(session));
    reply(&mut machine, now, "result", "");
    assert_eq!(machine.poll_timeout().expect("a deadline").1, Why("jitsi.ice_restart_wait"));
    let sid = session_id(&offer);
    let info = format!(
        "<iq type='set' id='t' from='{FOCUS}'><jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='{sid}'>\
         <content name='audio'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ice-generation='1' ufrag='u' \
         pwd='p'/></content></jingle></iq>"
    );
    machine.handle_stanza(now, &parse(&info));
    let (_, events) = drain(&mut machine);
    let [JingleEvent::IceRestarted { transport, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(machine.poll_timeout(), None);
    let transport = transport.clone();
    machine.command(now, JingleCommand::AnswerIceRestart { session, transport });
    let told = jingle_of(&drain(&mut machine).0[0]);
    assert_eq!(told.action, Action::TransportInfo);
    assert_eq!(told.transport().and_then(|it| it.generation), Some(1));
}
