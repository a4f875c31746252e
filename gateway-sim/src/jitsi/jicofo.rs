//! The focus: conference requests, offers, sources, restarts, mutes, and how it fails.

use gateway_core::jitsi::stanza::build::element;
use gateway_core::jitsi::stanza::jingle::{Action, Content, Description, Jingle, Reason};
use gateway_core::jitsi::stanza::transport::Setup;
use gateway_core::jitsi::stanza::{iq, ns};

use self::offer::audio_offer;
use super::prosody::{DISCO_INFO, answered, focus_left, refused};
use super::visitors::{FORBIDDEN, conference_of, is_at_node};
use super::*;

mod offer;

pub use self::offer::BRIDGE_IP;

impl JitsiServer {
    /// The focus stops: it leaves its rooms, media flows on.
    pub fn stop_focus(&mut self) {
        self.focus_up = false;
        self.later.retain(|_, work| matches!(work, Work::Send(..)));
        let rooms: Vec<String> = self.rooms.keys().cloned().collect();
        for room in rooms {
            self.tell_focus(&room, true);
            if let Some(room) = self.rooms.get_mut(&room) {
                room.focus = false;
            }
        }
    }

    /// It is there again and remembers all: its own stream was cut, and it came back.
    pub fn resume_focus(&mut self) {
        self.focus_up = true;
        let rooms: Vec<String> = self.rooms.keys().cloned().collect();
        for room in rooms {
            if let Some(room) = self.rooms.get_mut(&room) {
                room.focus = true;
            }
            self.tell_focus(&room, false);
            self.after(OFFER_DELAY, Work::Invite(room));
        }
    }

    /// It is there again, knows nothing, and waits for conference requests.
    pub fn start_focus(&mut self) {
        self.focus_up = true;
        let occupants = self.rooms.values_mut().flat_map(|it| it.occupants.values_mut());
        for occupant in occupants {
            occupant.session = None;
            occupant.sources.clear();
            occupant.features = Features::Unknown;
        }
    }

    /// The bridge of somebody is dead, or he is moved to another: a terminate, then an offer.
    pub fn move_endpoint(&mut self, who: &Endpoint) {
        let reason = Reason { condition: "success".to_owned(), text: Some("moving".to_owned()) };
        self.end_session(who, Some(reason));
        self.after(MOVE_DELAY, Work::Invite(who.room.clone()));
    }

    /// Another transport for the same session: a transport-replace with everything in it.
    pub fn replace_transport(&mut self, who: &Endpoint) {
        if let Some(session) = self.session(who).filter(|it| it.accepted) {
            let sid = session.sid.clone();
            self.offer_as(who, Action::TransportReplace, sid);
        }
    }

    /// A session ends, and nothing follows until somebody asks.
    pub fn end(&mut self, who: &Endpoint, condition: &str) {
        self.end_session(who, Some(Reason { condition: condition.to_owned(), text: None }));
    }

    /// The bridge of everybody in all rooms died: after a while that is noticed, and all are invited to another.
    pub fn bridge_died(&mut self) {
        self.after(BRIDGE_NOTICED, Work::Reinvite);
    }

    pub(super) fn reinvite(&mut self) {
        let everybody = self.rooms.iter().flat_map(|(room, it)| {
            let here = |nick: &String| Endpoint { room: room.clone(), nick: nick.clone() };
            it.occupants.keys().map(here).collect::<Vec<_>>()
        });
        let everybody: Vec<Endpoint> = everybody.collect();
        for who in &everybody {
            if self.focus_up && self.session(who).is_some() {
                self.move_endpoint(who);
            }
        }
    }

    /// Somebody is muted by a moderator, or by the focus itself.
    pub fn mute(&mut self, who: &Endpoint, actor: Option<&str>, muted: bool) {
        let Some(client) = self.occupant(who).map(|it| it.client) else { return };
        let actor = actor.map(|nick| format!("{}/{nick}", who.room));
        let mute = element("mute", MUTE).maybe("actor", actor).text(&muted.to_string());
        self.focus_set(client, &who.room, mute.build());
    }

    /// Somebody is muted by whoever moderates the room.
    pub fn mute_by_moderator(&mut self, who: &Endpoint) {
        let room = self.rooms.get(&who.room);
        let moderator = room.and_then(|it| it.occupants.iter().find(|(_, it)| it.moderator));
        let moderator = moderator.map(|(nick, _)| nick.clone());
        self.mute(who, moderator.as_deref(), true);
    }

    /// AV moderation of sound: everybody but moderators is muted at once.
    pub fn set_av_moderation(&mut self, room: &str, on: bool) {
        if let Some(it) = self.rooms.get_mut(room) {
            it.av_moderation = on;
            it.approved.clear();
        }
        self.tell_av_moderation(room, on);
        for nick in self.nicks(room) {
            let who = Endpoint { room: room.to_owned(), nick };
            if self.occupant(&who).is_some_and(|it| !it.moderator) {
                self.order(BridgeOrder::ForceMute { endpoint: who.clone(), muted: on });
                if on {
                    self.mute(&who, None, true);
                }
            }
        }
    }

    /// Somebody may speak under AV moderation.
    pub fn approve(&mut self, who: &Endpoint) {
        if let Some(room) = self.rooms.get_mut(&who.room) {
            room.approved.push(who.nick.clone());
        }
        self.tell_approved(who);
    }

    pub(super) fn conference_request(&mut self, client: Client, stanza: &Element) {
        let asked = stanza.get_child("conference", ns::FOCUS);
        let room = asked.and_then(|it| it.attr("room")).unwrap_or_default().to_owned();
        // Without focus, or for a domain it does not know, nothing at all comes back.
        if !self.focus_up || !is_room(&room) {
            return;
        }
        if !self.has_host(client, &room) {
            return self.after(CONFERENCE_DELAY, Work::Send(client, not_yet(stanza, &room)));
        }
        let is_new = !self.rooms.get(&room).is_some_and(|it| it.focus);
        let bridge_session = self.rng.token(20);
        let it = self.rooms.entry(room.clone()).or_default();
        it.focus = true;
        if is_new {
            it.bridge_session = bridge_session;
            self.tell_focus(&room, false);
            for nick in self.nicks(&room) {
                let who = Endpoint { room: room.clone(), nick };
                self.after(ASK_DELAY, Work::AskFeatures(who));
            }
        }
        let node = self.redirects(stanza, &room);
        let property =
            |(name, value)| element("property", ns::FOCUS).attr("name", name).attr("value", value);
        let properties =
            [("authentication", false), ("sipGatewayEnabled", true), ("visitors-supported", false)];
        let conference = element("conference", ns::FOCUS)
            .attr("room", &room)
            .attr("ready", true)
            .attr("focusjid", "focus@auth.meet.test")
            .maybe("vnode", node)
            .children(properties.map(property));
        let mut result = answered(stanza);
        result.append_child(conference.build());
        self.after(CONFERENCE_DELAY, Work::Send(client, result));
    }

    /// Somebody came: his features are asked for; without owner he becomes it.
    pub(super) fn joined(&mut self, who: &Endpoint) {
        let trusted = |server: &Self, it: &Occupant| {
            server.clients.get(&it.client).is_some_and(|jid| jid.contains("@phones."))
        };
        let Some(room) = self.rooms.get(&who.room) else { return };
        let owned = room.occupants.values().any(|it| it.moderator);
        let may_own =
            !is_at_node(&who.room) && self.occupant(who).is_some_and(|it| !trusted(self, it));
        if !owned && may_own {
            if let Some(occupant) = self.occupant_mut(who) {
                occupant.moderator = true;
            }
            self.tell_presence(who, &[]);
        }
        self.after(ASK_DELAY, Work::AskFeatures(who.clone()));
    }

    /// Somebody left: the others are not told of his sources; who is alone loses his session after a while.
    pub(super) fn left(&mut self, who: &Endpoint, had_session: bool) {
        if had_session {
            self.order(BridgeOrder::Expire(who.clone()));
        }
        if self.nicks(&who.room).len() == 1 && !is_at_node(&who.room) {
            self.after(IDLE, Work::EndIdle(who.room.clone()));
        }
        if self.nicks(&who.room).is_empty() {
            self.rooms.remove(&who.room);
        }
    }

    pub(super) fn ask_features(&mut self, who: &Endpoint) {
        let id = self.iq_id();
        let Some(occupant) = self.occupant_mut(who) else { return };
        if !matches!(occupant.features, Features::Unknown) {
            return;
        }
        occupant.features = Features::Asked(id.clone());
        let client = occupant.client;
        let jid = self.clients.get(&client).cloned().unwrap_or_default();
        let question = element("iq", ns::CLIENT)
            .attr("type", "get")
            .attr("id", id)
            .attr("from", format!("{}/focus", who.room))
            .attr("to", jid)
            .child(element("query", DISCO_INFO));
        self.send(client, question.build());
    }

    /// Offers to all who have none, as soon as two members are known.
    pub(super) fn invite(&mut self, room: &str) {
        let mut everybody = self.main_people(room);
        everybody.extend(self.visitors_of(&conference_of(room)));
        let known = |server: &Self, who: &Endpoint| {
            matches!(server.occupant(who).map(|it| &it.features), Some(Features::Known(_)))
        };
        // One who never answers keeps the others waiting.
        if !self.focus_up || everybody.len() < 2 || !everybody.iter().all(|who| known(self, who)) {
            return;
        }
        for who in everybody {
            if self.occupant(&who).is_some_and(|it| it.session.is_none()) {
                self.offer(&who);
            }
        }
    }

    pub(super) fn end_idle(&mut self, room: &str) {
        let [nick] = &self.nicks(room)[..] else { return };
        if !self.visitors_of(room).is_empty() {
            return;
        }
        let who = Endpoint { room: room.to_owned(), nick: nick.clone() };
        let text = Some("Idle session timeout".to_owned());
        self.end_session(&who, Some(Reason { condition: "expired".to_owned(), text }));
    }

    /// An IQ of a client to `room/focus`.
    pub(super) fn focus_iq(&mut self, client: Client, room: &str, stanza: &Element) {
        let Some(nick) = self.nick_of(client, room) else { return };
        let who = Endpoint { room: room.to_owned(), nick };
        if !self.rooms.get(room).is_some_and(|it| it.focus) {
            return self.send(client, refused(stanza, iq::SERVICE_UNAVAILABLE));
        }
        if let Some(query) = stanza.get_child("query", DISCO_INFO) {
            if stanza.attr("type") == Some("result") {
                self.learn_features(&who, stanza.attr("id").unwrap_or_default(), query);
            } else {
                let feature = element("feature", DISCO_INFO);
                let feature =
                    feature.attr("var", "https://jitsi.org/meet/jicofo/terminate-restart");
                let mut result = answered(stanza);
                result.append_child(element("query", DISCO_INFO).child(feature).build());
                self.send(client, result);
            }
        } else if let Some(jingle) =
            stanza.get_child("jingle", ns::JINGLE).filter(|_| stanza.attr("type") == Some("set"))
        {
            let jingle = Jingle::read(jingle).ok();
            let known =
                |it: &Jingle| self.session(&who).is_some_and(|session| session.sid == it.sid);
            match jingle.filter(known) {
                Some(jingle) => self.on_jingle(client, &who, stanza, jingle),
                None => self.send(client, refused(stanza, iq::BAD_REQUEST)),
            }
        } else if let Some(mute) = stanza.get_child("mute", MUTE) {
            self.on_mute(client, &who, stanza, mute);
        }
    }

    fn on_jingle(&mut self, client: Client, who: &Endpoint, stanza: &Element, jingle: Jingle) {
        match jingle.action {
            Action::SessionAccept | Action::TransportAccept => {
                self.on_accept(client, who, stanza, &jingle)
            }
            Action::SessionTerminate => self.on_terminate(client, who, stanza, &jingle),
            Action::SessionInfo => self.on_info(client, who, stanza, &jingle),
            Action::SourceAdd => {
                let mut sources = self.owned(who, &jingle);
                if let Some(used) = self.used(who, &sources) {
                    return self.send(client, ssrc_used(stanza, used));
                }
                if let Some(occupant) = self.occupant_mut(who) {
                    occupant.sources.append(&mut sources.clone());
                    sources = occupant.sources.clone();
                }
                self.send(client, answered(stanza));
                self.order(BridgeOrder::Sources { endpoint: who.clone(), sources });
                self.tell_sources(who, Action::SourceAdd, &self.owned(who, &jingle));
            }
            Action::SourceRemove => {
                let gone = self.owned(who, &jingle);
                if let Some(occupant) = self.occupant_mut(who) {
                    occupant.sources.retain(|it| gone.iter().all(|gone| gone.ssrc != it.ssrc));
                }
                self.tell_sources(who, Action::SourceRemove, &gone);
                let sources = self.occupant(who).map(|it| it.sources.clone()).unwrap_or_default();
                self.order(BridgeOrder::Sources { endpoint: who.clone(), sources });
                self.send(client, answered(stanza));
            }
            Action::TransportInfo => {
                let transport = jingle.transport().unwrap_or_default();
                self.send(client, answered(stanza));
                self.order(BridgeOrder::Connect { endpoint: who.clone(), transport });
            }
            Action::SessionInitiate | Action::TransportReplace | Action::TransportReject => {
                self.send(client, refused(stanza, iq::BAD_REQUEST));
            }
        }
    }

    fn on_accept(&mut self, client: Client, who: &Endpoint, stanza: &Element, jingle: &Jingle) {
        let sources = self.owned(who, jingle);
        let transport = jingle.transport().unwrap_or_default();
        if transport.credentials.is_none() || transport.fingerprints.is_empty() {
            return self.send(client, refused(stanza, iq::BAD_REQUEST));
        }
        if is_at_node(&who.room) && !sources.is_empty() {
            return self.send(client, refused(stanza, FORBIDDEN));
        }
        if let Some(used) = self.used(who, &sources) {
            return self.send(client, ssrc_used(stanza, used));
        }
        if let Some(occupant) = self.occupant_mut(who) {
            occupant.sources.clone_from(&sources);
            if let Some(session) = &mut occupant.session {
                session.accepted = true;
            }
        }
        self.send(client, answered(stanza));
        let endpoint = who.clone();
        self.order(BridgeOrder::Connect { endpoint: endpoint.clone(), transport });
        self.order(BridgeOrder::Sources { endpoint: endpoint.clone(), sources: sources.clone() });
        if self.is_kept_silent(who) {
            self.order(BridgeOrder::ForceMute { endpoint, muted: true });
        }
        self.tell_sources(who, Action::SourceAdd, &sources);
    }

    fn on_terminate(&mut self, client: Client, who: &Endpoint, stanza: &Element, jingle: &Jingle) {
        let restart = jingle.bridge_session.as_ref().is_some_and(|it| it.restart);
        let now = self.now;
        let last = self.occupant(who).and_then(|it| it.last_restart);
        let too_soon = restart && last.is_some_and(|at| now < at + RESTART_INTERVAL);
        self.end_session(who, None);
        if too_soon {
            // The session is gone nevertheless.
            return self.send(client, refused(stanza, iq::RESOURCE_CONSTRAINT));
        }
        self.send(client, answered(stanza));
        if restart {
            if let Some(occupant) = self.occupant_mut(who) {
                occupant.last_restart = Some(now);
            }
            self.after(RESTART_DELAY, Work::Invite(who.room.clone()));
        }
    }

    /// An ICE restart in place: new credentials, same port, same fingerprint.
    fn on_info(&mut self, client: Client, who: &Endpoint, stanza: &Element, jingle: &Jingle) {
        self.send(client, answered(stanza));
        if !jingle.bridge_session.as_ref().is_some_and(|it| it.ice_restart) {
            return;
        }
        let Some(session) = self.session_mut(who) else { return };
        session.generation += 1;
        let (port, generation, sid) = (session.port, session.generation, session.sid.clone());
        let transport = IceTransport {
            generation: Some(generation),
            ..self.bridge_transport(port, Setup::Passive)
        };
        let content = Content {
            name: "audio".to_owned(),
            creator: Some("initiator".to_owned()),
            transport: Some(transport),
            ..Content::default()
        };
        let jingle = Jingle { contents: vec![content], ..Jingle::new(Action::TransportInfo, &sid) };
        self.focus_set(client, &who.room, jingle.write());
    }

    /// Moderators keep microphones off, and his is not one of those that may be on.
    fn is_kept_silent(&self, who: &Endpoint) -> bool {
        let is_moderator = self.occupant(who).is_some_and(|it| it.moderator);
        let room = self.rooms.get(&who.room);
        !is_moderator && room.is_some_and(|it| it.av_moderation && !it.approved.contains(&who.nick))
    }

    fn on_mute(&mut self, client: Client, who: &Endpoint, stanza: &Element, mute: &Element) {
        if stanza.attr("type") != Some("set") {
            return;
        }
        let muted = mute.text() == "true";
        let target =
            mute.attr("jid").and_then(|jid| jid.split_once('/')).map(|(_, nick)| nick.to_owned());
        let target =
            Endpoint { room: who.room.clone(), nick: target.unwrap_or_else(|| who.nick.clone()) };
        let moderator = self.occupant(who).is_some_and(|it| it.moderator);
        let free = !self.is_kept_silent(who);
        let own = target == *who;
        let allowed = if own { muted || free } else { muted && moderator };
        if !allowed {
            return self.send(client, refused(stanza, iq::NOT_ALLOWED));
        }
        self.send(client, answered(stanza));
        if own {
            self.order(BridgeOrder::ForceMute { endpoint: target, muted: muted && !free });
        } else {
            self.mute(&target, Some(&who.nick), true);
        }
    }

    /// Ends a session while its owner stays in the room: then the others hear of his sources.
    fn end_session(&mut self, who: &Endpoint, reason: Option<Reason>) {
        let Some(occupant) = self.occupant_mut(who) else { return };
        let (client, session) = (occupant.client, occupant.session.take());
        let sources = std::mem::take(&mut occupant.sources);
        let Some(session) = session else { return };
        self.order(BridgeOrder::Expire(who.clone()));
        if !sources.is_empty() {
            self.tell_sources(who, Action::SourceRemove, &sources);
        }
        if let Some(reason) = reason {
            let jingle = Jingle {
                reason: Some(reason),
                ..Jingle::new(Action::SessionTerminate, &session.sid)
            };
            self.focus_set(client, &who.room, jingle.write());
        }
    }

    fn learn_features(&mut self, who: &Endpoint, id: &str, query: &Element) {
        let Some(occupant) = self.occupant_mut(who) else { return };
        if !matches!(&occupant.features, Features::Asked(asked) if asked == id) {
            return;
        }
        let vars = query.children().filter_map(|it| it.attr("var")).map(str::to_owned);
        occupant.features = Features::Known(vars.collect());
        self.after(OFFER_DELAY, Work::Invite(who.room.clone()));
    }

    /// The others are told, if they are in session.
    fn tell_sources(&mut self, of: &Endpoint, action: Action, sources: &[Source]) {
        let here = |nick| Endpoint { room: of.room.clone(), nick };
        let mut others: Vec<Endpoint> = self.nicks(&of.room).into_iter().map(here).collect();
        others.extend(self.visitors_of(&of.room));
        for who in others {
            if who == *of || is_at_node(&of.room) {
                continue;
            }
            let json = self.wants_json(&who);
            let Some(client) = self.occupant(&who).map(|it| it.client) else { continue };
            let Some(sid) = self.session(&who).map(|it| it.sid.clone()) else { continue };
            let mut jingle = Jingle::new(action, &sid);
            if json {
                jingle.json_sources = Some(sources.to_vec());
            } else {
                let description = Description {
                    payload_types: Vec::new(),
                    extensions: Vec::new(),
                    maxptime: None,
                    rtcp_mux: false,
                    ..audio_offer(sources.to_vec())
                };
                let content = Content {
                    name: "audio".to_owned(),
                    description: Some(description),
                    ..Content::default()
                };
                jingle.contents.push(content);
            }
            self.focus_set(client, &who.room, jingle.write());
        }
    }

    pub(super) fn focus_set(&mut self, client: Client, room: &str, payload: Element) {
        let (id, jid) = (self.iq_id(), self.clients.get(&client).cloned().unwrap_or_default());
        let iq = element("iq", ns::CLIENT)
            .attr("type", "set")
            .attr("id", id)
            .attr("from", format!("{room}/focus"))
            .attr("to", jid)
            .child(payload);
        self.send(client, iq.build());
    }

    pub(super) fn tell_focus(&mut self, room: &str, gone: bool) {
        for (client, jid) in self.watchers(room) {
            let stanza =
                if gone { focus_left(room, &jid) } else { self.focus_presence_in(room, &jid) };
            self.send(client, stanza);
        }
    }

    pub(super) fn nick_of(&self, client: Client, room: &str) -> Option<String> {
        let occupants = &self.rooms.get(room)?.occupants;
        occupants.iter().find(|(_, it)| it.client == client).map(|(nick, _)| nick.clone())
    }

    fn session(&self, who: &Endpoint) -> Option<&Session> {
        self.occupant(who)?.session.as_ref()
    }

    fn session_mut(&mut self, who: &Endpoint) -> Option<&mut Session> {
        self.occupant_mut(who)?.session.as_mut()
    }
}

/// The conference waits for a host.
fn not_yet(stanza: &Element, room: &str) -> Element {
    let conference = element("conference", ns::FOCUS).attr("room", room).attr("ready", false);
    let mut result = answered(stanza);
    result.append_child(conference.build());
    result
}

fn ssrc_used(stanza: &Element, ssrc: u32) -> Element {
    let mut answer = refused(stanza, iq::BAD_REQUEST);
    let text = element("text", ns::STANZAS).text(&format!("SSRC is already used: {ssrc}."));
    if let Some(error) = answer.get_child_mut("error", ns::CLIENT) {
        error.append_child(text.build());
    }
    answer
}

const MUTE: &str = "http://jitsi.org/jitmeet/audio";
// As observed, in the order of what happens after a join.
const CONFERENCE_DELAY: Duration = Duration::from_millis(40);
const ASK_DELAY: Duration = Duration::from_millis(5);
const OFFER_DELAY: Duration = Duration::from_millis(50);
const RESTART_DELAY: Duration = Duration::from_millis(100);
const RESTART_INTERVAL: Duration = Duration::from_secs(5);
const MOVE_DELAY: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_secs(20);
const BRIDGE_NOTICED: Duration = Duration::from_secs(16);
