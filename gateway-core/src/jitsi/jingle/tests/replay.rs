//! Every capture through the machine: what it received goes in, what we send means what was sent then.

use super::*;

/// What one client of a capture did in one room, beside our machine.
struct Replay {
    machine: JingleSession,
    start: Instant,
    /// Ids of our requests by those of the capture.
    ids: BTreeMap<String, String>,
    /// Offers that wait for the accept of the capture.
    offers: BTreeMap<String, Box<Offer>>,
    /// Requests of the focus about sessions.
    asked: Vec<String>,
    answered: Vec<String>,
    answered_then: Vec<String>,
    accepts: usize,
    restarts: usize,
    name: String,
}

#[test]
fn every_capture_is_answered_as_it_was_then() {
    let (mut accepts, mut restarts, mut legs, mut answers) = (0, 0, 0, 0);
    for name in capture::names() {
        let capture = Capture::stanzas(&name);
        let mut rooms: Vec<(String, String)> = offers(&capture).collect();
        rooms.sort();
        rooms.dedup();
        for (client, focus) in rooms {
            let mut replay = Replay::new(&capture, &client, &focus);
            for entry in capture.of(&client) {
                replay.follow(entry);
            }
            // Some recordings leave the answers to requests out.
            if !replay.answered_then.is_empty() {
                assert_eq!(replay.answered, replay.answered_then, "{}", replay.name);
                answers += replay.answered.len();
            }
            legs += 1;
            accepts += replay.accepts;
            restarts += replay.restarts;
        }
    }
    // Not one fewer than the captures hold.
    assert_eq!((legs, accepts, restarts, answers), (45, 22, 2, 60));
}

/// Everybody who is told something of a session: client, and focus of the room.
fn offers(capture: &Capture<Element>) -> impl Iterator<Item = (String, String)> {
    let of = |entry: &Entry<Element>| match &entry.seen {
        Seen::Received(it)
            if it.attr("type") == Some("set") && it.has_child("jingle", ns::JINGLE) =>
        {
            Some((entry.client.clone(), it.attr("from")?.to_owned()))
        }
        _ => None,
    };
    capture.entries.iter().filter_map(of)
}

impl Replay {
    fn new(capture: &Capture<Element>, client: &str, focus: &str) -> Self {
        let sent = capture.sent(client).filter(|it| it.attr("to") == Some(focus));
        let accept = sent.filter_map(jingle).find(|it| it.action == Action::SessionAccept);
        let me = accept.as_ref().and_then(|it| it.responder.clone());
        let audio = accept
            .as_ref()
            .and_then(|it| it.media(crate::jitsi::stanza::sources::MediaKind::Audio));
        let extensions: Vec<&str> = audio
            .map(|(_, it)| it.extensions.iter().map(|it| &it.uri[..]).collect())
            .unwrap_or_default();
        let me =
            me.unwrap_or_else(|| format!("{}/me", focus.split('/').next().unwrap_or_default()));
        Self {
            machine: machine(focus, &me, &extensions),
            start: Instant::now(),
            ids: BTreeMap::new(),
            offers: BTreeMap::new(),
            asked: Vec::new(),
            answered: Vec::new(),
            answered_then: Vec::new(),
            accepts: 0,
            restarts: 0,
            name: format!("{} {client} {focus}", capture.name),
        }
    }

    fn follow(&mut self, entry: &Entry<Element>) {
        let now = self.start + entry.at;
        self.machine.handle_timeout(now);
        self.drain();
        match &entry.seen {
            Seen::Received(stanza) => self.receive(now, stanza),
            Seen::Sent(stanza) if stanza.attr("to") == Some(self.machine.config.focus.as_str()) => {
                self.sent_then(now, stanza);
            }
            _ => {}
        }
    }

    fn receive(&mut self, now: Instant, stanza: &Element) {
        let mut stanza = stanza.clone();
        if let Some(id) = stanza.attr("id").and_then(|id| self.ids.get(id)).cloned() {
            stanza.attrs_mut().insert(
                minidom::rxml::Namespace::NONE,
                "id".try_into().expect("a name"),
                id,
            );
        }
        if let Some(offer) = jingle(&stanza).filter(|it| it.action == Action::SessionInitiate) {
            self.offers.remove(&offer.sid);
        }
        if iq::kind(&stanza) == Some(iq::Kind::Set) && jingle(&stanza).is_some() {
            self.asked.push(stanza.attr("id").expect("an id").to_owned());
        }
        let from_focus = stanza.attr("from") == Some(self.machine.config.focus.as_str());
        if let Some(told) =
            jingle(&stanza).filter(|it| from_focus && it.action != Action::SessionInitiate)
        {
            self.adopt(now, &told);
        }
        self.machine.handle_stanza(now, &stanza);
        self.drain();
    }

    fn sent_then(&mut self, now: Instant, stanza: &Element) {
        let id = stanza.attr("id").unwrap_or_default().to_owned();
        if stanza.attr("type") == Some("result") && stanza.children().next().is_none() {
            if self.asked.contains(&id) {
                self.answered_then.push(id);
            }
            return;
        }
        let Some(then) = jingle(stanza) else { return };
        if then.bridge_session.is_some() {
            self.adopt(now, &then);
        }
        let command = match (&then.action, &then.bridge_session) {
            (Action::SessionAccept, _) => {
                let Some(offer) = self.offers.remove(&then.sid) else { return };
                let transport = then.transport().expect("an accept has a transport");
                let source = then.sources().remove(0);
                self.accepts += 1;
                JingleCommand::Accept(Box::new(Answer {
                    session: offer.session,
                    transport,
                    source: Some(source),
                }))
            }
            (Action::SessionInfo, Some(bridge)) if bridge.ice_restart => {
                JingleCommand::RequestIceRestart(self.machine.serial)
            }
            (Action::SessionTerminate, Some(bridge)) if bridge.restart => {
                self.restarts += 1;
                JingleCommand::RequestRestart
            }
            _ => return,
        };
        self.machine.command(now, command);
        let Some(ours) = self.drain().pop() else {
            let waits = self.machine.poll_timeout().map(|(_, why)| why.0);
            let limited = [Some("jitsi.restart_allowed"), Some("jitsi.ice_restart_allowed")];
            assert!(limited.contains(&waits), "{}: nothing said, {waits:?}", self.name);
            return;
        };
        let mine = jingle(&ours).expect("jingle");
        assert_eq!(mine, then, "{}", self.name);
        self.ids.insert(id, ours.attr("id").expect("an id").to_owned());
    }

    /// A session that began before the recording: offered and accepted now.
    fn adopt(&mut self, now: Instant, told: &Jingle) {
        if self.machine.serial != SessionSerial(0) {
            return;
        }
        let mut offer = jingle(&super::offer()).expect("an offer");
        offer.sid.clone_from(&told.sid);
        offer.bridge_session =
            told.bridge_session.clone().map(|it| BridgeSession { id: it.id, ..Default::default() });
        let mut stanza = iq::set("before", "me", offer.write());
        let focus = self.machine.config.focus.to_string();
        stanza.attrs_mut().insert(
            minidom::rxml::Namespace::NONE,
            "from".try_into().expect("a name"),
            focus,
        );
        self.machine.handle_stanza(now, &stanza);
        let (_, events) = drain(&mut self.machine);
        let [JingleEvent::Offered(offer)] = &events[..] else {
            panic!("{}: {events:?}", self.name)
        };
        self.machine.command(now, JingleCommand::Accept(answer(offer)));
        drain(&mut self.machine);
    }

    /// Keeps offers and ids of what was answered; gives back what else was sent.
    fn drain(&mut self) -> Vec<Element> {
        let (sent, events) = drain(&mut self.machine);
        for event in events {
            if let JingleEvent::Offered(offer) | JingleEvent::TransportReplaced(offer) = event {
                let known = self.machine.known().expect("offered");
                self.offers.insert(known.sid.clone(), offer);
            }
        }
        let mut others = Vec::new();
        for stanza in sent {
            match stanza.attr("type") {
                Some("result") => self.answered.push(stanza.attr("id").expect("an id").to_owned()),
                Some("error") => panic!("{}: refused {stanza:?}", self.name),
                _ => others.push(stanza),
            }
        }
        others
    }
}

fn jingle(stanza: &Element) -> Option<Jingle> {
    Jingle::read(stanza.get_child("jingle", ns::JINGLE)?).ok()
}

#[test]
fn every_jingle_of_the_captures_survives_reading_and_writing() {
    let mut seen = 0;
    for name in capture::names() {
        for stanza in Capture::stanzas(&name).entries.iter().filter_map(Entry::value) {
            let Some(read) = jingle(stanza) else { continue };
            assert_eq!(Jingle::read(&read.write()), Ok(read.clone()), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
