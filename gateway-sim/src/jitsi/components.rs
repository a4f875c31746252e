//! What moderators switch, and how Prosody's components tell it: AV moderation, the room's metadata, breakout rooms;
//! passwords, seats, hosts; recordings in the presence of the focus.

use gateway_core::jitsi::stanza::build::element;
use gateway_core::jitsi::stanza::ns;

use super::prosody::{DISCO_INFO, MUC_USER, answered, focus_presence, presence, user_x};
use super::*;

impl JitsiServer {
    /// The room has this password from now on, or none.
    pub fn set_password(&mut self, room: &str, password: Option<&str>) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.password = password.map(str::to_owned);
        }
    }

    /// So many people at most.
    pub fn set_people_max(&mut self, room: &str, most: Option<usize>) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.people_max = most;
        }
    }

    /// Who joins from now on starts muted.
    pub fn set_starts_muted(&mut self, room: &str, on: bool) {
        if let Some(it) = self.rooms.get_mut(room) {
            it.starts_muted = on;
            self.tell_metadata(
                room,
                &format!(r#"{{"startMuted":{{"audio":{on}}},"services":{{}}}}"#),
            );
        }
    }

    /// The room waits for a host.
    pub fn want_host(&mut self, room: &str) {
        self.hosted.insert(room.to_owned());
    }

    /// The lobby is there until the host comes; then all may come in.
    pub fn set_lobby_of_host(&mut self, room: &str, waits: bool) {
        self.set_lobby(room, waits);
        let Some(it) = self.rooms.get_mut(room) else { return };
        it.lobby_of_host = waits;
        if waits {
            return;
        }
        let lobby = room.replace(MUC_DOMAIN, LOBBY_DOMAIN);
        for (nick, client) in std::mem::take(&mut it.knocking) {
            let Some(jid) = self.clients.get(&client).cloned() else { continue };
            let destroy = element("destroy", MUC_USER).attr("jid", room).build();
            let x = user_x("none", "none", &["110"], Some(destroy));
            let gone = presence(&format!("{lobby}/{nick}"), &jid).attr("type", "unavailable");
            self.send(client, gone.child(x).build());
        }
    }

    /// A recording or a stream begins or ends: the focus tells it in its presence.
    pub fn set_recording(&mut self, room: &str, mode: RecordingMode, on: bool) {
        if let Some(it) = self.rooms.get_mut(room) {
            it.recording = Some((mode, on));
            self.tell_focus(room, false);
        }
    }

    /// A moderator takes somebody into another room.
    pub fn move_to(&mut self, who: &Endpoint, room: &str) {
        let Some(client) = self.occupant(who).map(|it| it.client) else { return };
        let event = r#""event":"features\/breakout-rooms\/move-to-room""#;
        let json = format!(r#"{{"roomJid":"{room}","type":"breakout_rooms",{event}}}"#);
        self.tell_json(client, BREAKOUT_DOMAIN, None, &json);
    }

    /// The address of a breakout room of that number.
    pub fn breakout_room(number: u32) -> String {
        format!("60a9dd89-4199-4e1a-b70a-{number:012}@{BREAKOUT_DOMAIN}")
    }

    /// A host is there, or none is needed.
    pub(super) fn has_host(&mut self, client: Client, room: &str) -> bool {
        let is_phone = self.clients.get(&client).is_some_and(|jid| jid.contains("@phones."));
        if !is_phone {
            self.hosted.remove(room);
        }
        !self.hosted.contains(room)
    }

    pub(super) fn tell_components(&mut self, client: Client, stanza: &Element) {
        let named = [
            (BREAKOUT_DOMAIN, "breakout_rooms"),
            (LOBBY_DOMAIN, "lobbyrooms"),
            (AV_MODERATION, "av_moderation"),
            (METADATA, "room_metadata"),
        ];
        let identity = |(name, kind)| {
            let it = element("identity", DISCO_INFO).attr("name", name);
            it.attr("category", "component").attr("type", kind)
        };
        let mut result = answered(stanza);
        let query = element("query", DISCO_INFO).children(named.map(identity));
        result.append_child(query.build());
        self.send(client, result);
    }

    /// The focus as it is in a room now.
    pub(super) fn focus_presence_in(&self, room: &str, to: &str) -> Element {
        let mut presence = focus_presence(room, to);
        if let Some((mode, on)) = self.rooms.get(room).and_then(|it| it.recording) {
            let mode = match mode {
                RecordingMode::File => "file",
                RecordingMode::Stream => "stream",
            };
            let status = element("jibri-recording-status", "http://jitsi.org/protocol/jibri")
                .attr("status", if on { "on" } else { "off" })
                .attr("recording_mode", mode);
            presence.append_child(status.build());
        }
        presence
    }

    /// What the components tell somebody who joins, before he is told that he is in.
    pub(super) fn tell_state(&mut self, client: Client, who: &Endpoint) {
        let Some(room) = self.rooms.get(&who.room) else { return };
        let (av_moderation, lobby) = (room.av_moderation, room.lobby);
        let muted = room.starts_muted || av_moderation;
        let mut facts = Vec::new();
        if muted {
            facts.push(r#""startMuted":{"audio":true}"#);
        }
        if lobby {
            facts.push(r#""lobbyEnabled":true"#);
        }
        facts.push(r#""services":{}"#);
        let json = metadata(&format!("{{{}}}", facts.join(",")));
        self.tell_json(client, METADATA, Some(&who.room), &json);
        if av_moderation {
            let json = av_moderation_of(&who.room, r#""enabled":true"#);
            self.tell_json(client, AV_MODERATION, None, &json);
        }
    }

    pub(super) fn tell_metadata(&mut self, room: &str, facts: &str) {
        for (client, _) in self.watchers(room) {
            self.tell_json(client, METADATA, Some(room), &metadata(facts));
        }
    }

    pub(super) fn tell_av_moderation(&mut self, room: &str, on: bool) {
        let json = av_moderation_of(room, &format!(r#""enabled":{on}"#));
        for (client, _) in self.watchers(room) {
            self.tell_json(client, AV_MODERATION, None, &json);
        }
    }

    pub(super) fn tell_approved(&mut self, who: &Endpoint) {
        let Some(client) = self.occupant(who).map(|it| it.client) else { return };
        let json = av_moderation_of(&who.room, r#""approved":true"#);
        self.tell_json(client, AV_MODERATION, None, &json);
    }

    pub(super) fn tell_json(&mut self, client: Client, from: &str, room: Option<&str>, json: &str) {
        let to = self.clients.get(&client).cloned().unwrap_or_default();
        let body = element("json-message", ns::JITMEET).maybe("room", room).text(json);
        let message = element("message", ns::CLIENT).attr("from", from).attr("to", to);
        self.send(client, message.child(body).build());
    }
}

fn metadata(facts: &str) -> String {
    format!(r#"{{"type":"room_metadata","metadata":{facts}}}"#)
}

fn av_moderation_of(room: &str, fact: &str) -> String {
    format!(r#"{{"mediaType":"audio","type":"av_moderation","room":"{room}",{fact}}}"#)
}

const AV_MODERATION: &str = "avmoderation.meet.test";
const METADATA: &str = "metadata.meet.test";
