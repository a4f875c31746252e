//! The server half: streams, conference requests passed on, rooms with presence, lobby, kick and destroy.

use gateway_core::jitsi::stanza::build::{Building, element};
use gateway_core::jitsi::stanza::{iq, ns};

use super::visitors::{is_at_node, promotion_not_allowed, seen_at_node};
use super::*;

impl JitsiServer {
    /// A stream is bound; its full address. Without a user it is anonymous.
    pub fn connect(&mut self, client: Client, user: Option<&str>) -> String {
        let domain = if user.is_some() { "phones.meet.test" } else { MAIN_DOMAIN };
        let user = user.map_or_else(|| self.rng.token(20), str::to_owned);
        let jid = format!("{user}@{domain}/{}", self.rng.token(12));
        self.connect_as(client, &jid);
        jid
    }

    /// A stream with that full address.
    pub fn connect_as(&mut self, client: Client, jid: &str) {
        self.clients.insert(client, jid.to_owned());
    }

    /// A stream is cut: its owner leaves every room.
    pub fn disconnect(&mut self, client: Client) {
        for who in self.rooms_of(client) {
            self.leave(&who, &[]);
        }
        for room in self.rooms.values_mut() {
            room.knocking.retain(|_, it| *it != client);
        }
        self.clients.remove(&client);
    }

    /// The server is started anew: nobody is connected, no room exists. The bridge cannot be told, and goes on.
    pub fn restart(&mut self) {
        self.rooms.clear();
        self.clients.clear();
        self.later.clear();
    }

    /// Says something to a client that no honest party would: to see what he makes of it.
    pub fn inject(&mut self, client: Client, stanza: Element) {
        self.send(client, stanza);
    }

    /// A client sent a stanza.
    pub fn handle(&mut self, now: Duration, client: Client, stanza: &Element) {
        self.now = now;
        let to = stanza.attr("to").unwrap_or_default().to_owned();
        let (bare, resource) = to.split_once('/').unwrap_or((&to, ""));
        match (stanza.name(), bare) {
            ("iq", FOCUS_PROXY) => self.conference_request(client, stanza),
            ("presence", _) if is_room(bare) => {
                let who = Endpoint { room: bare.to_owned(), nick: resource.to_owned() };
                self.presence(client, &who, stanza);
            }
            ("presence", _) if bare.ends_with(LOBBY_DOMAIN) => {
                let room = bare.replace(LOBBY_DOMAIN, MUC_DOMAIN);
                let who = Endpoint { room, nick: resource.to_owned() };
                self.knock(client, &who, stanza);
            }
            ("iq", _) if is_room(bare) => self.room_iq(client, bare, resource, stanza),
            ("iq", MAIN_DOMAIN) if stanza.get_child("query", DISCO_INFO).is_some() => {
                self.tell_components(client, stanza);
            }
            ("iq", _) if stanza.get_child("ping", "urn:xmpp:ping").is_some() => {
                self.send(client, answered(stanza));
            }
            _ => {}
        }
    }

    /// A moderator throws somebody out.
    pub fn kick(&mut self, who: &Endpoint) {
        self.leave(who, &["307"]);
    }

    /// The meeting ends for all.
    pub fn destroy(&mut self, room: &str) {
        let destroy = element("destroy", MUC_USER);
        let reason = element("reason", MUC_USER).text("The meeting has been terminated");
        let destroy = destroy.child(reason).build();
        // Each is told of himself alone.
        let Some(gone) = self.rooms.remove(room) else { return };
        for client in gone.knocking.into_values() {
            let jid = self.clients.get(&client).cloned().unwrap_or_default();
            let lobby = room.replace(MUC_DOMAIN, LOBBY_DOMAIN);
            let x = user_x("none", "none", &["110"], Some(destroy.clone()));
            let stanza = presence(&format!("{lobby}/gone"), &jid).attr("type", "unavailable");
            self.send(client, stanza.child(x).build());
        }
        for (nick, occupant) in gone.occupants {
            let jid = self.clients.get(&occupant.client).cloned().unwrap_or_default();
            let x = user_x("none", "none", &["110"], Some(destroy.clone()));
            let stanza = presence(&format!("{room}/{nick}"), &jid).attr("type", "unavailable");
            self.send(occupant.client, stanza.child(x).build());
            if occupant.session.is_some() {
                let room = room.to_owned();
                self.order(BridgeOrder::Expire(Endpoint { room, nick }));
            }
        }
    }

    /// Strangers must knock from now on, or need not.
    pub fn set_lobby(&mut self, room: &str, lobby: bool) {
        if let Some(it) = self.rooms.get_mut(room) {
            it.lobby = lobby;
            self.tell_metadata(room, &format!(r#"{{"lobbyEnabled":{lobby},"services":{{}}}}"#));
        }
    }

    /// A moderator lets somebody in who knocks: a mediated invitation.
    pub fn admit(&mut self, who: &Endpoint) {
        let Some(room) = self.rooms.get_mut(&who.room) else { return };
        let Some(client) = room.knocking.get(&who.nick).copied() else { return };
        let Some(jid) = self.clients.get(&client).cloned() else { return };
        room.admitted.push(bare(&jid).to_owned());
        let invite = element("invite", MUC_USER).attr("from", format!("{}/focus", who.room));
        let x = element("x", MUC_USER).child(invite.child(element("reason", MUC_USER)));
        let direct = element("x", "jabber:x:conference").attr("jid", &who.room);
        let body = element("body", ns::CLIENT).text("You are invited.");
        let message = element("message", ns::CLIENT).attr("from", &who.room).attr("to", &jid);
        self.send(client, message.child(x).child(direct).child(body).build());
    }

    /// A moderator refuses somebody who knocks.
    pub fn deny(&mut self, who: &Endpoint) {
        let Some(room) = self.rooms.get_mut(&who.room) else { return };
        let Some(client) = room.knocking.remove(&who.nick) else { return };
        let lobby = who.room.replace(MUC_DOMAIN, LOBBY_DOMAIN);
        let x = user_x("none", "none", &["307", "110"], None);
        let gone = presence(&format!("{lobby}/{}", who.nick), "").attr("type", "unavailable");
        self.send(client, gone.child(x).build());
    }

    pub(super) fn nicks(&self, room: &str) -> Vec<String> {
        let room = self.rooms.get(room);
        room.into_iter().flat_map(|it| it.occupants.keys()).cloned().collect()
    }

    pub(super) fn rooms_of(&self, client: Client) -> Vec<Endpoint> {
        let all = self.rooms.iter().flat_map(|(room, it)| {
            it.occupants.iter().map(move |(nick, who)| (room, nick, who.client))
        });
        all.filter(|(_, _, owner)| *owner == client)
            .map(|(room, nick, _)| Endpoint { room: room.clone(), nick: nick.clone() })
            .collect()
    }

    fn presence(&mut self, client: Client, who: &Endpoint, stanza: &Element) {
        if stanza.attr("type") == Some("unavailable") {
            return self.leave(who, &[]);
        }
        let told: Vec<Element> = stanza.children().filter(|it| !it.is("x", MUC)).cloned().collect();
        if let Some(occupant) = self.occupant_mut(who).filter(|it| it.client == client) {
            occupant.told = told;
            return self.tell_presence(who, &[]);
        }
        if let Some(refusal) = self.refusal(client, who, stanza) {
            return self.send(client, refusal);
        }
        self.join(client, who, told);
    }

    /// Why somebody may not enter, as an error presence.
    fn refusal(&self, client: Client, who: &Endpoint, stanza: &Element) -> Option<Element> {
        let jid = self.clients.get(&client)?;
        let refuse = |kind: &str, condition: &str, more: Vec<Element>| {
            // The lobby's refusals carry the wish to enter along, the others do not.
            let wish = (!more.is_empty()).then(|| element("x", MUC));
            let error = element("error", ns::CLIENT).attr("type", kind);
            let error = error.child(element(condition, ns::STANZAS)).children(more);
            let from = format!("{}/{}", who.room, who.nick);
            let refusal = presence(&from, jid).attr("type", "error").child(error);
            Some(refusal.children(wish).build())
        };
        let Some(room) = self.rooms.get(&who.room).filter(|room| room.focus) else {
            return refuse("cancel", "not-allowed", vec![]);
        };
        if self.is_closed_to(jid, &who.room) {
            return Some(promotion_not_allowed(&format!("{}/{}", who.room, who.nick), jid));
        }
        if room.occupants.contains_key(&who.nick) {
            return refuse("cancel", "conflict", vec![]);
        }
        if room.people_max.is_some_and(|most| room.occupants.len() >= most) {
            return refuse("cancel", "service-unavailable", vec![]);
        }
        // Whoever was admitted needs no password, and whoever knows it need not be.
        let password = stanza.get_child("x", MUC).and_then(|it| it.get_child("password", MUC));
        let knows = password.is_some_and(|it| room.password.as_ref() == Some(&it.text()));
        let is_admitted = room.lobby && room.admitted.iter().any(|it| it == bare(jid));
        if room.lobby && !knows && !is_admitted {
            if !stanza.has_child("nick", NICK) {
                let name = element("displayname-required", ns::JITMEET).attr("lobby", true);
                return refuse("modify", "not-acceptable", vec![name.build()]);
            }
            let lobby = who.room.replace(MUC_DOMAIN, LOBBY_DOMAIN);
            let lobby = element("lobbyroom", ns::JITMEET).text(&lobby).build();
            let host = element("waiting-for-host", ns::JITMEET).build();
            let more = [lobby].into_iter().chain(room.lobby_of_host.then_some(host)).collect();
            return refuse("auth", "registration-required", more);
        }
        if room.password.is_some() && !knows && !is_admitted {
            return refuse("auth", "not-authorized", vec![]);
        }
        None
    }

    fn join(&mut self, client: Client, who: &Endpoint, told: Vec<Element>) {
        let Some(jid) = self.clients.get(&client).cloned() else { return };
        let others = match is_at_node(&who.room) {
            true => self.main_people(&who.room),
            false => {
                let here = |nick| Endpoint { room: who.room.clone(), nick };
                self.nicks(&who.room).into_iter().map(here).collect()
            }
        };
        let Some(room) = self.rooms.get_mut(&who.room) else { return };
        room.knocking.retain(|_, it| *it != client);
        room.occupants.insert(
            who.nick.clone(),
            Occupant {
                client,
                moderator: false,
                told,
                features: Features::Unknown,
                session: None,
                last_restart: None,
                sources: Vec::new(),
            },
        );
        for other in others {
            let seen = self.presence_of(&other, client, &[]);
            let seen = if is_at_node(&who.room) { seen_at_node(&seen, &jid) } else { seen };
            self.send(client, seen);
        }
        let focus = self.focus_presence_in(&who.room, &jid);
        self.send(client, focus);
        self.tell_state(client, who);
        self.tell_presence(who, &["100"]);
        let subject = element("message", ns::CLIENT).attr("type", "groupchat");
        let subject = subject.attr("from", &who.room).attr("to", &jid);
        self.send(client, subject.child(element("subject", ns::CLIENT)).build());
        self.joined(who);
    }

    /// Somebody is out of the room: `codes` say why, unless it was his own wish.
    pub(super) fn leave(&mut self, who: &Endpoint, codes: &[&str]) {
        let watchers = self.watchers(&who.room);
        let Some(room) = self.rooms.get_mut(&who.room) else { return };
        let Some(gone) = room.occupants.remove(&who.nick) else { return };
        // Nobody sees a visitor but himself.
        let is_visitor = is_at_node(&who.room);
        for (client, jid) in watchers.into_iter().filter(|it| !is_visitor || it.0 == gone.client) {
            let own: &[&str] = if client == gone.client { &["110"] } else { &[] };
            let codes: Vec<&str> = codes.iter().chain(own).copied().collect();
            let x = user_x("none", "none", &codes, None);
            let from = format!("{}/{}", who.room, who.nick);
            let stanza = presence(&from, &jid).attr("type", "unavailable").child(x);
            self.send(client, stanza.build());
        }
        let x = user_x("none", "none", codes, None);
        let from = format!("{}/{}", who.room, who.nick);
        let stanza = presence(&from, "").attr("type", "unavailable").child(x).build();
        self.tell_visitors(&who.room, &stanza);
        self.left(who, gone.session.is_some());
    }

    /// Everybody in a room: stream and address.
    pub(super) fn watchers(&self, room: &str) -> Vec<(Client, String)> {
        let room = self.rooms.get(room);
        let clients = room.into_iter().flat_map(|it| it.occupants.values()).map(|it| it.client);
        clients.filter_map(|it| Some((it, self.clients.get(&it)?.clone()))).collect()
    }

    pub(super) fn tell_presence(&mut self, who: &Endpoint, codes: &[&str]) {
        let own = self.occupant(who).map(|it| it.client);
        let is_visitor = is_at_node(&who.room);
        for (client, _) in self.watchers(&who.room) {
            if is_visitor && Some(client) != own {
                continue;
            }
            let stanza = self.presence_of(who, client, codes);
            self.send(client, stanza);
        }
        let stanza = self.presence_of(who, Client(u64::MAX), &[]);
        self.tell_visitors(&who.room, &stanza);
    }

    fn presence_of(&self, who: &Endpoint, to: Client, codes: &[&str]) -> Element {
        let jid = self.clients.get(&to).map(String::as_str).unwrap_or_default();
        let stanza = presence(&format!("{}/{}", who.room, who.nick), jid);
        let Some(occupant) = self.occupant(who) else { return stanza.build() };
        let (affiliation, role) = match occupant.moderator {
            true => ("owner", "moderator"),
            false if is_at_node(&who.room) => ("none", "visitor"),
            false => ("none", "participant"),
        };
        let own = occupant.client == to;
        let codes: Vec<&str> = match own {
            true => codes.iter().copied().chain(["110"]).collect(),
            false => Vec::new(),
        };
        let x = user_x(affiliation, role, &codes, None);
        stanza.children(occupant.told.iter().cloned()).child(x).build()
    }

    fn knock(&mut self, client: Client, who: &Endpoint, stanza: &Element) {
        let Some(jid) = self.clients.get(&client).cloned() else { return };
        let Some(room) = self.rooms.get_mut(&who.room) else { return };
        let lobby = who.room.replace(MUC_DOMAIN, LOBBY_DOMAIN);
        let from = format!("{lobby}/{}", who.nick);
        if stanza.attr("type") == Some("unavailable") {
            room.knocking.remove(&who.nick);
            let x = user_x("none", "none", &["110"], None);
            let gone = presence(&from, &jid).attr("type", "unavailable").child(x);
            return self.send(client, gone.build());
        }
        room.knocking.insert(who.nick.clone(), client);
        let x = user_x("none", "participant", &["100", "110"], None);
        self.send(client, presence(&from, &jid).child(x).build());
    }

    fn room_iq(&mut self, client: Client, room: &str, nick: &str, stanza: &Element) {
        if nick == "focus" {
            return self.focus_iq(client, room, stanza);
        }
        if stanza.get_child("query", DISCO_INFO).is_some() {
            let query = element("query", DISCO_INFO);
            let feature = |var| element("feature", DISCO_INFO).attr("var", var);
            let features = ["http://jabber.org/protocol/muc", "muc_nonanonymous"].map(feature);
            let mut result = answered(stanza);
            result.append_child(query.children(features).build());
            self.send(client, result);
        }
    }
}

/// The result of a request, as it comes from whom it went to.
pub(super) fn answered(request: &Element) -> Element {
    from_asked(request, iq::result(request))
}

/// The refusal of a request, as it comes from whom it went to: Jicofo sends what was asked along.
pub(super) fn refused(request: &Element, refusal: iq::Refusal) -> Element {
    let mut answer = from_asked(request, iq::refusal(request, refusal));
    for child in request.children() {
        let mut echo = child.clone();
        // Jicofo writes anew what it read, and this it does not keep.
        while echo.remove_child("bridge-session", "http://jitsi.org/protocol/focus").is_some() {}
        answer.append_child(echo);
    }
    answer
}

fn from_asked(request: &Element, answer: Element) -> Element {
    let (id, to) = (request.attr("id"), request.attr("to"));
    element("iq", ns::CLIENT)
        .maybe("type", answer.attr("type"))
        .maybe("id", id)
        .maybe("from", to)
        .children(answer.children().cloned())
        .build()
}

pub(super) fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}

pub(super) fn presence(from: &str, to: &str) -> Building {
    element("presence", ns::CLIENT).attr("from", from).attr("to", to)
}

pub(super) fn user_x(
    affiliation: &str,
    role: &str,
    codes: &[&str],
    more: Option<Element>,
) -> Element {
    let item = element("item", MUC_USER).attr("affiliation", affiliation).attr("role", role);
    let codes = codes.iter().map(|code| element("status", MUC_USER).attr("code", code));
    element("x", MUC_USER).children(more).child(item).children(codes).build()
}

/// The focus is gone from a room.
pub(super) fn focus_left(room: &str, to: &str) -> Element {
    let x = user_x("owner", "none", &[], None);
    let from = format!("{room}/focus");
    presence(&from, to).attr("type", "unavailable").child(x).build()
}

pub(super) fn focus_presence(room: &str, to: &str) -> Element {
    let property = element("property", ns::FOCUS).attr("key", "support-terminate-restart");
    let properties =
        element("conference-properties", ns::FOCUS).child(property.attr("value", true));
    let x = element("x", MUC_USER).child(
        element("item", MUC_USER)
            .attr("affiliation", "owner")
            .attr("role", "moderator")
            .attr("jid", FOCUS_JID),
    );
    presence(&format!("{room}/focus"), to).child(properties).child(x).build()
}

pub(super) const MUC: &str = "http://jabber.org/protocol/muc";
pub(super) const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
pub(super) const NICK: &str = "http://jabber.org/protocol/nick";
pub(super) const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
