//! A visitor node: a room beside the main one, in whose sound and presence its occupants share, and of which nobody but
//! the focus sees anything. Prosody's mod_visitors and mod_fmuc in a few lines, with what Jicofo does about it.
//!
//! Who is in the main room is told there under the node's address; a raised hand asks for promotion; once there are
//! visitors, nobody enters the main room but under a name that a promotion gave him.

use gateway_core::jitsi::stanza::build::element;
use gateway_core::jitsi::stanza::conference::ConferenceRequest;
use gateway_core::jitsi::stanza::visitors::VISITORS;
use gateway_core::jitsi::stanza::{iq, ns};

use super::prosody::MUC;
use super::*;

/// What the deployment knows of visitors.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    /// People in a main room from which on others are sent to the node. `None`: there is no node.
    people_max: Option<usize>,
    /// Main rooms that have had visitors.
    split: BTreeSet<String>,
    /// Names under which people may enter main rooms.
    promoted: Vec<String>,
}

/// The name of the only node.
pub const NODE: &str = "v1";
/// Its host, and that of its rooms. The first part is always the node's name, the rest is fixed in Jitsi's plugins.
pub(super) const NODE_DOMAIN: &str = "v1.meet.jitsi";
pub(super) const NODE_MUC: &str = "muc.v1.meet.jitsi";
const COMPONENT: &str = "visitors.meet.test";

/// The meeting that a room is part of: the address of its main room.
pub fn conference_of(room: &str) -> String {
    room.replace(NODE_MUC, MUC_DOMAIN)
}

pub(super) fn is_at_node(room: &str) -> bool {
    room.ends_with(NODE_MUC)
}

fn at_node(room: &str) -> String {
    room.replace(MUC_DOMAIN, NODE_MUC)
}

impl JitsiServer {
    /// There is a node, for those who come when so many are in their room.
    pub fn set_visitors(&mut self, people_max: Option<usize>) {
        self.visitors.people_max = people_max;
    }

    /// A stream at the node is bound; its full address.
    pub fn connect_at_node(&mut self, client: Client) -> String {
        let jid = format!("{}@{NODE_DOMAIN}/{}", self.rng.token(20), self.rng.token(12));
        self.connect_as(client, &jid);
        jid
    }

    /// A moderator answers the raised hand of a visitor. False: no hand is up there.
    pub fn answer_hand(&mut self, who: &Endpoint, allow: bool) -> bool {
        let raised = |it: &Element| it.name() == RAISED_HAND && !it.text().is_empty();
        let Some(occupant) = self.occupant(who).filter(|it| it.told.iter().any(raised)) else {
            return false;
        };
        let client = occupant.client;
        let jid = self.clients.get(&client).cloned().unwrap_or_default();
        let name = self.rng.token(32);
        let response = element("promotion-response", VISITORS)
            .attr("jid", &jid)
            .attr("username", &name)
            .attr("allow", allow);
        if allow {
            self.visitors.promoted.push(name);
        }
        let visitors = element("visitors", VISITORS)
            .attr("room", &who.room)
            .attr("focusjid", "focus@auth.meet.test")
            .child(response);
        let id = self.iq_id();
        let iq = element("iq", ns::CLIENT)
            .attr("type", "set")
            .attr("id", id)
            .attr("from", &who.room)
            .attr("to", jid)
            .child(visitors);
        self.send(client, iq.build());
        true
    }

    /// A moderator makes somebody a visitor.
    pub fn demote(&mut self, who: &Endpoint, actor: &str) {
        let Some(client) = self.occupant(who).map(|it| it.client) else { return };
        let json = format!(
            r#"{{"type":"visitors","action":"demote-request","id":"{}","actor":"{actor}"}}"#,
            who.nick
        );
        self.tell_json(client, COMPONENT, None, &json);
    }

    /// The node's room for whom is not let into the main one; it is there from now on.
    pub(super) fn redirects(&mut self, stanza: &Element, room: &str) -> Option<&'static str> {
        let people_max = self.visitors.people_max?;
        let asked = stanza.get_child("conference", ns::FOCUS).and_then(ConferenceRequest::read)?;
        let wishes = asked.visitor?;
        let is_split = self.visitors.split.contains(room);
        if !wishes && !is_split && self.nicks(room).len() < people_max {
            return None;
        }
        let bridge_session = self.rooms.get(room)?.bridge_session.clone();
        let node = self.rooms.entry(at_node(room)).or_default();
        node.focus = true;
        node.bridge_session = bridge_session;
        self.visitors.split.insert(room.to_owned());
        Some(NODE)
    }

    /// A main room that has visitors takes those alone who were promoted.
    pub(super) fn is_closed_to(&self, jid: &str, room: &str) -> bool {
        let user = jid.split('@').next().unwrap_or_default();
        self.visitors.split.contains(room) && !self.visitors.promoted.iter().any(|it| it == user)
    }

    /// Whom of the main room's people the occupants of a node see.
    pub(super) fn main_people(&self, node: &str) -> Vec<Endpoint> {
        let room = conference_of(node);
        self.nicks(&room).into_iter().map(|nick| Endpoint { room: room.clone(), nick }).collect()
    }

    /// The visitors of a main room.
    pub(super) fn visitors_of(&self, room: &str) -> Vec<Endpoint> {
        let node = at_node(room);
        if node == room {
            return Vec::new();
        }
        self.nicks(&node).into_iter().map(|nick| Endpoint { room: node.clone(), nick }).collect()
    }

    /// What was told in the main room is told at the node as well.
    pub(super) fn tell_visitors(&mut self, room: &str, stanza: &Element) {
        for who in self.visitors_of(room) {
            let Some(client) = self.occupant(&who).map(|it| it.client) else { continue };
            let to = self.clients.get(&client).cloned().unwrap_or_default();
            let told = seen_at_node(stanza, &to);
            self.send(client, told);
        }
    }
}

/// Presence of the main room as the node shows it.
pub(super) fn seen_at_node(stanza: &Element, to: &str) -> Element {
    element("presence", ns::CLIENT)
        .maybe("from", stanza.attr("from").map(at_node))
        .attr("to", to)
        .maybe("type", stanza.attr("type"))
        .children(stanza.children().cloned())
        .build()
}

/// The refusal of a room for promoted visitors.
pub(super) fn promotion_not_allowed(from: &str, to: &str) -> Element {
    let error = element("error", ns::CLIENT)
        .attr("type", "cancel")
        .child(element("not-allowed", ns::STANZAS))
        .child(element("text", ns::STANZAS).text("Visitor needs to be allowed by a moderator"))
        .child(element("promotion-not-allowed", VISITORS));
    element("presence", ns::CLIENT)
        .attr("from", from)
        .attr("to", to)
        .attr("type", "error")
        .child(element("x", MUC))
        .child(error)
        .build()
}

/// A visitor who says that he sends something.
pub(super) const FORBIDDEN: iq::Refusal = iq::FORBIDDEN;
const RAISED_HAND: &str = "jitsi_participant_raisedHand";
