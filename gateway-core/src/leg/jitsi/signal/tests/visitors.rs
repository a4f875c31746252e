//! Callers of very large meetings: at a visitor node, promoted, demoted, and where the node is lost.

use super::*;
use crate::leg::backend::{StreamIdentity, Visit};

const NODE_ROOM: &str = "rooma@muc.v1.meet.jitsi";
const USER: &str = "1d2c5dd2-0b1a-4b5e-8f5e-1b7f5f6e0a11";

fn visitors() -> Site {
    Site::with(|it| it.visitor_domain = Some("meet.jitsi".to_owned()))
}

impl Site {
    /// Properties of the conference request that was sent, which is answered with these attributes.
    fn focus_sends_to(&mut self, node: Option<&str>) -> Vec<(String, String)> {
        let is_request =
            |it: &&Element| it.has_child("conference", "http://jitsi.org/protocol/focus");
        let request = self.sent.iter().rfind(is_request).expect("a request").clone();
        let asked = request.children().next().expect("a conference");
        let text = |it: &Element, name| it.attr(name).unwrap_or_default().to_owned();
        let properties = asked.children().map(|it| (text(it, "name"), text(it, "value")));
        let properties = properties.collect();
        let id = self.conference_request().expect("just seen").1;
        let node = node.map(|node| format!("vnode='{node}'")).unwrap_or_default();
        self.hears(&format!(
            "<iq type='result' from='{FOCUS}' id='{id}'>\
             <conference xmlns='http://jitsi.org/protocol/focus' ready='true' {node}/></iq>"
        ));
        properties
    }

    /// At the node with one who speaks in the main room, whom he hears.
    fn listening() -> Self {
        let mut site = visitors();
        site.stream_up(false);
        site.focus_sends_to(Some("v1"));
        site.stream_up(false);
        site.hears(&here(NODE_ROOM, "alice", "none", "", ""));
        site.room_lets_in();
        site.media(ConferenceEvent::Connected);
        let reconnects = [Heard::CloseStream, Heard::OpenStream];
        let told = [Heard::Moderated(Moderation::Listening(true)), Heard::Joined(2)];
        assert_eq!(site.take_heard(), [reconnects, told].concat());
        site.run(1);
        site.sent.clear();
        site
    }

    /// What the presence sent last says of the hand; `None`: nothing.
    fn hand(&mut self) -> Option<String> {
        let presence = self.sent.iter().rfind(|it| it.name() == "presence")?;
        let hand = presence.get_child("jitsi_participant_raisedHand", "jabber:client")?;
        Some(hand.text())
    }

    fn hears_decision(&mut self, response: &str) {
        self.hears(&format!(
            "<iq type='set' id='p1' from='{NODE_ROOM}'><visitors xmlns='jitsi:visitors' room='{NODE_ROOM}'>\
             <promotion-response {response}/></visitors></iq>"
        ));
    }

    fn is_let_into_the_main_room(&mut self) {
        self.stream_up(false);
        assert_eq!(self.focus_sends_to(None), [], "nobody is to send him back");
        self.hears(&here(ROOM, "alice", "none", "", ""));
        self.room_lets_in();
        self.media(ConferenceEvent::Connected);
    }
}

fn answered(site: &Site, id: &str) -> bool {
    site.sent.iter().any(|it| it.attr("id") == Some(id) && it.attr("type") == Some("result"))
}

fn speaks(site: &Site) -> Vec<bool> {
    let told = site.session_told().into_iter();
    let rooms = told.filter_map(|it| match it {
        SessionCommand::InRoom { speaks, .. } => Some(speaks),
        _ => None,
    });
    rooms.collect()
}

#[test]
fn whom_the_focus_sends_to_a_node_listens_there() {
    let mut site = visitors();
    site.stream_up(false);
    let asked = site.focus_sends_to(Some("v1"));
    assert_eq!(asked, [("visitors-version".to_owned(), "1".to_owned())]);
    assert_eq!(site.take_heard(), [Heard::CloseStream, Heard::OpenStream]);
    let account = site.accounts.last().expect("two streams");
    assert_eq!(account.visit, Some(Visit::Node("v1".to_owned())));
    assert_eq!(account.identity, StreamIdentity::Anonymous);
    site.stream_up(false);
    assert_eq!(site.conference_request(), None, "the focus is not asked there");
    let join = site.sent.iter().find(|it| it.has_child("x", "http://jabber.org/protocol/muc"));
    let muted = join.and_then(|it| it.get_child("audiomuted", "jabber:client")).map(Element::text);
    assert_eq!(muted.as_deref(), Some("true"));
    site.hears(&here(NODE_ROOM, "alice", "none", "", ""));
    site.room_lets_in();
    assert_eq!(speaks(&site), [false]);
    assert_eq!(site.occupants, [format!("{NODE_ROOM}/{}", site.nick)]);
    site.media(ConferenceEvent::Connected);
    let told = [Heard::Moderated(Moderation::Listening(true)), Heard::Joined(2)];
    assert_eq!(site.take_heard(), told);
}

#[test]
fn a_visitor_asks_to_speak_and_is_promoted() {
    let mut site = Site::listening();
    site.session_told();
    site.wants(LegCommand::RaiseHand(true));
    assert!(site.hand().is_some_and(|hand| !hand.is_empty()));
    site.run(1);
    site.wants(LegCommand::RaiseHand(false));
    assert_eq!(
        site.hand().as_deref(),
        Some(""),
        "the node tells what it sees, not what is missing"
    );
    site.run(1);
    site.wants(LegCommand::Mute(false));
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::UnmuteRefused)]);
    assert!(site.hand().is_some_and(|hand| !hand.is_empty()), "his keys ask for the same");
    site.hears(&format!(
        "<iq type='set' id='p0' from='other@muc.v1.meet.jitsi'><visitors xmlns='jitsi:visitors'>\
         <promotion-response allow='true' username='{USER}'/></visitors></iq>"
    ));
    assert_eq!(site.take_heard(), [], "another room decides nothing");
    site.hears_decision(&format!("allow='true' username='{USER}'"));
    assert!(answered(&site, "p1"));
    assert_eq!(site.take_heard(), [Heard::CloseStream, Heard::OpenStream]);
    let account = site.accounts.last().expect("three streams").clone();
    let StreamIdentity::Password { user, .. } = account.identity else { panic!("a password") };
    assert_eq!((user.reveal().as_str(), account.visit), (USER, None));
    site.sent.clear();
    site.is_let_into_the_main_room();
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::Listening(false))]);
    assert_eq!(speaks(&site), [true]);
    site.wants(LegCommand::Mute(false));
    site.run(1);
    assert_eq!(site.shown(), Some((false, false)));
}

#[test]
fn who_has_no_name_of_his_own_takes_the_one_he_was_given_along() {
    let mut site = Site::with(|it| {
        it.visitor_domain = Some("meet.jitsi".to_owned());
        it.identity = PhoneIdentity::Anonymous;
    });
    site.stream_up(false);
    site.focus_sends_to(Some("v1"));
    site.stream_up(false);
    site.room_lets_in();
    site.hears_decision(&format!("allow='true' username='{USER}'"));
    let account = site.accounts.last().expect("three streams");
    assert_eq!(account.visit, Some(Visit::As(Pii::new(USER.to_owned()))));
}

#[test]
fn a_promotion_may_be_denied_at_once_or_at_the_main_rooms_door() {
    let mut site = Site::listening();
    site.wants(LegCommand::RaiseHand(true));
    site.run(1);
    site.hears_decision("allow='false'");
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::PromotionRefused)]);
    assert_eq!(site.hand().as_deref(), Some(""));
    site.hears_decision(&format!("allow='true' username='{USER}'"));
    site.take_heard();
    site.stream_up(false);
    site.focus_sends_to(None);
    site.room_refuses(&error("cancel", "not-allowed", PROMOTION_NOT_ALLOWED));
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::PromotionRefused)]);
    site.run(1);
    let asked = site.focus_sends_to(Some("v1"));
    assert_eq!(asked.last(), Some(&("visitor".to_owned(), "true".to_owned())));
    site.stream_up(false);
    site.room_lets_in();
    site.media(ConferenceEvent::Connected);
    let told = site.take_heard();
    assert!(!told.contains(&Heard::Moderated(Moderation::Listening(false))), "{told:?}");
}

#[test]
fn a_moderator_makes_him_a_visitor() {
    let mut site = visitors();
    site.stream_up(false);
    site.focus_sends_to(None);
    site.hears(&here(ROOM, "alice", "none", "", ""));
    site.room_lets_in();
    site.media(ConferenceEvent::Connected);
    site.take_heard();
    let demote = |nick: &str| {
        format!("{{\"type\":\"visitors\",\"action\":\"demote-request\",\"id\":\"{nick}\"}}")
    };
    let nick = site.nick.clone();
    site.component_says("visitors.meet.test", &demote("alice"));
    site.component_says(&format!("{ROOM}/alice"), &demote(&nick));
    assert_eq!(site.take_heard(), []);
    site.component_says("visitors.meet.test", &demote(&nick));
    assert_eq!(site.take_heard(), [Heard::Moderated(Moderation::Listening(true))]);
    let asked = site.focus_sends_to(Some("v1"));
    assert_eq!(asked.last(), Some(&("visitor".to_owned(), "true".to_owned())));
    site.session_told();
    site.stream_up(false);
    site.hears(&here(NODE_ROOM, "alice", "none", "", ""));
    site.room_lets_in();
    site.media(ConferenceEvent::Connected);
    assert_eq!(speaks(&site), [false]);
    assert_eq!(site.take_heard(), [Heard::CloseStream, Heard::OpenStream], "he knows");
}

#[test]
fn a_node_that_does_not_come_back_is_replaced_by_what_the_focus_says() {
    let mut site = Site::listening();
    site.stream_down();
    site.run(5);
    assert!(site.accounts.last().expect("some").visit.is_some(), "it may come back");
    site.run(6);
    assert_eq!(site.accounts.last().expect("some").visit, None);
    site.take_heard();
    site.stream_up(false);
    site.focus_sends_to(Some("v2"));
    assert_eq!(site.accounts.last().expect("some").visit, Some(Visit::Node("v2".to_owned())));
    site.stream_up(false);
    site.hears(&here("rooma@muc.v2.meet.jitsi", "alice", "none", "", ""));
    site.room_lets_in();
    site.media(ConferenceEvent::Connected);
    let reconnects = [Heard::CloseStream, Heard::OpenStream];
    assert_eq!(site.take_heard(), reconnects, "there as before");
    site.run(60);
    assert_eq!(site.take_heard(), []);
}

#[test]
fn a_deployment_without_visitors_knows_nothing_of_them() {
    let mut site = Site::new();
    site.stream_up(false);
    assert_eq!(site.focus_sends_to(Some("v1")), []);
    site.room_lets_in();
    assert_eq!(site.take_heard(), [Heard::Joined(1)]);
    assert_eq!(speaks(&site), [true]);
    let nick = site.nick.clone();
    let demote =
        format!("{{\"type\":\"visitors\",\"action\":\"demote-request\",\"id\":\"{nick}\"}}");
    site.component_says("visitors.meet.test", &demote);
    site.hears_decision(&format!("allow='true' username='{USER}'"));
    assert_eq!((site.take_heard(), site.conference_request()), (vec![], None));
    let mut site = Site::new();
    site.stream_up(false);
    site.focus_answers("true");
    site.room_refuses(&error("cancel", "not-allowed", PROMOTION_NOT_ALLOWED));
    assert_eq!(site.take_heard().last(), Some(&Heard::Left(EndReason::Forbidden)));
}

const PROMOTION_NOT_ALLOWED: &str = "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Visitor needs to be allowed by a moderator</text>\
     <promotion-not-allowed xmlns='jitsi:visitors'/>";
