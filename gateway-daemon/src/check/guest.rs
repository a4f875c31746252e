//! One guest of `weebee check --live`: asks, enters a room and waits for the focus, and answers what a member must answer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use gateway_core::io::bridge_door::Door;
use gateway_core::io::xmpp::framing::{NS_CLIENT, element};
use gateway_core::io::xmpp::{Element, Failure, Probe};
use tokio::time::Instant;

const NS_INFO: &str = "http://jabber.org/protocol/disco#info";
const NS_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const NS_FOCUS: &str = "http://jitsi.org/protocol/focus";
const NS_MUC: &str = "http://jabber.org/protocol/muc";
const NS_MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const NS_TIME: &str = "urn:xmpp:time";
const NS_JINGLE: &str = "urn:xmpp:jingle:1";
const NS_ICE: &str = "urn:xmpp:jingle:transports:ice-udp:1";
/// What a member must be able to do to be invited. An unanswered question blocks the room for 15 s in Jicofo.
const FEATURES: [&str; 6] = [
    NS_JINGLE,
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    NS_ICE,
    "urn:xmpp:jingle:apps:dtls:0",
    "http://jitsi.org/protocol/jigasi",
];
/// A server on the way answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Jicofo makes the first of a room its moderator within this; 40 ms were seen.
const PROMOTED_WITHIN: Duration = Duration::from_secs(2);
/// Jicofo invites the first two within this; a bridge has to be asked first.
const INVITED_WITHIN: Duration = Duration::from_secs(10);
/// Occupants looked at; a brewery has a few dozen.
const OCCUPANTS_MAX: usize = 1_000;
/// Stanzas kept while another was waited for.
const KEPT_MAX: usize = 64;

/// What came of a question.
pub enum Asked<T> {
    /// An answer.
    Answer(T),
    /// An error, by its condition.
    Error(String),
    /// Nothing.
    Silence,
}

/// What Jicofo says of a conference.
pub struct Conference {
    /// The room may be entered.
    pub is_ready: bool,
    /// It knows a brewery of phone gateways.
    pub has_phone_gateways: bool,
}

/// Not let in; holds the condition, empty if nothing was said.
pub struct JoinRefused(pub String);

/// Where the bridge of an offer is.
pub struct Offer {
    /// Its UDP candidates.
    pub doors: Vec<Door>,
}

/// One stream and its room.
pub struct Guest {
    probe: Probe,
    room: String,
    nick: String,
    is_moderator: bool,
    asked: u32,
    kept: VecDeque<Element>,
}

impl Guest {
    /// Not in the room yet.
    pub fn new(probe: Probe, room: &str, nick: &str) -> Self {
        let (room, nick) = (room.to_owned(), nick.to_owned());
        Self { probe, room, nick, is_moderator: false, asked: 0, kept: VecDeque::new() }
    }

    /// Our address.
    pub fn jid(&self) -> &gateway_core::io::xmpp::FullJid {
        self.probe.jid()
    }

    /// Categories of what a host says it is.
    pub async fn identities(&mut self, host: &str) -> Result<Asked<Vec<String>>, Failure> {
        let answer = self.ask("get", host, element("query", NS_INFO, &[])).await?;
        Ok(answer.map(|answer| {
            let query = answer.get_child("query", NS_INFO);
            let kinds = query.into_iter().flat_map(Element::children);
            let kinds = kinds.filter(|it| it.name() == "identity");
            kinds.filter_map(|it| it.attr("category").map(str::to_owned)).collect()
        }))
    }

    /// Hosts of rooms near a domain. Empty also when nothing was answered.
    pub async fn hosts_of_rooms(&mut self, domain: &str) -> Vec<String> {
        let answer = self.ask("get", domain, element("query", NS_ITEMS, &[])).await;
        let Ok(Asked::Answer(answer)) = answer else { return Vec::new() };
        let query = answer.get_child("query", NS_ITEMS);
        let items = query.into_iter().flat_map(Element::children);
        let hosts: Vec<String> = items.filter_map(|it| it.attr("jid").map(str::to_owned)).collect();
        let mut found = Vec::new();
        for host in hosts.into_iter().take(32) {
            let kinds = self.identities(&host).await;
            if matches!(kinds, Ok(Asked::Answer(kinds)) if kinds.iter().any(|it| it == "conference"))
            {
                found.push(host);
            }
        }
        found
    }

    /// Nicks in our room, asked from outside.
    pub async fn occupants(&mut self) -> Result<Asked<Vec<String>>, Failure> {
        let room = self.room.clone();
        let answer = self.ask("get", &room, element("query", NS_ITEMS, &[])).await?;
        Ok(answer.map(|answer| {
            let query = answer.get_child("query", NS_ITEMS);
            let items = query.into_iter().flat_map(Element::children).take(OCCUPANTS_MAX);
            let nick = |it: &Element| {
                let (_, nick) = it.attr("jid")?.split_once('/')?;
                Some(nick.to_owned())
            };
            items.filter_map(nick).collect()
        }))
    }

    /// Closes the stream of one who entered no room.
    pub async fn close(self) {
        self.probe.close().await;
    }

    /// The UTC text of XEP-0202.
    pub async fn time(&mut self, whose: &str) -> Result<Asked<String>, Failure> {
        let answer = self.ask("get", whose, element("time", NS_TIME, &[])).await?;
        Ok(answer.map(|answer| {
            let utc = answer.get_child("time", NS_TIME).and_then(|it| it.get_child("utc", NS_TIME));
            utc.map(Element::text).unwrap_or_default()
        }))
    }

    /// The conference request of our room.
    pub async fn conference(
        &mut self,
        focus: &str,
        uid: &str,
    ) -> Result<Asked<Conference>, Failure> {
        let attributes = [("room", self.room.as_str()), ("machine-uid", uid)];
        let request = element("conference", NS_FOCUS, &attributes);
        let answer = self.ask("set", focus, request).await?;
        Ok(answer.map(|answer| {
            let conference = answer.get_child("conference", NS_FOCUS);
            let is_true = |name: &str| {
                let mut properties = conference.into_iter().flat_map(Element::children);
                properties
                    .any(|it| it.attr("name") == Some(name) && it.attr("value") == Some("true"))
            };
            Conference {
                is_ready: conference.and_then(|it| it.attr("ready")) == Some("true"),
                has_phone_gateways: is_true("sipGatewayEnabled"),
            }
        }))
    }

    /// Enters the room.
    pub async fn enter(&mut self) -> Result<Result<(), JoinRefused>, Failure> {
        let to = format!("{}/{}", self.room, self.nick);
        let mut presence = element("presence", NS_CLIENT, &[("to", &to)]);
        presence.append_child(element("x", NS_MUC, &[]));
        let mut nick = element("nick", "http://jabber.org/protocol/nick", &[]);
        nick.append_text_node("weebee check");
        presence.append_child(nick);
        let mut features = element("features", NS_CLIENT, &[]);
        for feature in [FEATURES[5], "http://jitsi.org/protocol/audio-mute"] {
            features.append_child(element("feature", NS_CLIENT, &[("var", feature)]));
        }
        presence.append_child(features);
        self.probe.send(presence);
        let own =
            |it: &Element| it.is("presence", NS_CLIENT) && it.attr("from") == Some(to.as_str());
        let Some(answer) = self.next(ANSWER_WITHIN, own).await? else {
            return Ok(Err(JoinRefused(String::new())));
        };
        if answer.attr("type") == Some("error") {
            return Ok(Err(JoinRefused(condition(&answer))));
        }
        self.is_moderator = is_moderator(&answer);
        Ok(Ok(()))
    }

    /// Whether Jicofo makes us moderator.
    pub async fn becomes_moderator(&mut self) -> Result<bool, Failure> {
        let to = format!("{}/{}", self.room, self.nick);
        let promoted = |it: &Element| {
            it.is("presence", NS_CLIENT) && it.attr("from") == Some(to.as_str()) && is_moderator(it)
        };
        Ok(self.is_moderator || self.next(PROMOTED_WITHIN, promoted).await?.is_some())
    }

    /// Waits for the focus's invitation and acknowledges it.
    pub async fn offer(&mut self) -> Result<Option<Offer>, Failure> {
        let focus = format!("{}/focus", self.room);
        let invitation = |it: &Element| {
            it.attr("from") == Some(focus.as_str())
                && it
                    .get_child("jingle", NS_JINGLE)
                    .is_some_and(|jingle| jingle.attr("action") == Some("session-initiate"))
        };
        let Some(offer) = self.next(INVITED_WITHIN, invitation).await? else { return Ok(None) };
        self.reply(&offer, None);
        Ok(Some(Offer { doors: doors(&offer) }))
    }

    /// Leaves the room and closes the stream.
    pub async fn leave(mut self) {
        let to = format!("{}/{}", self.room, self.nick);
        let attributes = [("to", to.as_str()), ("type", "unavailable")];
        self.probe.send(element("presence", NS_CLIENT, &attributes));
        self.probe.close().await;
    }

    async fn ask(
        &mut self,
        kind: &'static str,
        to: &str,
        what: Element,
    ) -> Result<Asked<Element>, Failure> {
        self.asked += 1;
        let id = format!("check{}", self.asked);
        let attributes = [("type", kind), ("id", id.as_str()), ("to", to)];
        let mut iq = element("iq", NS_CLIENT, &attributes);
        iq.append_child(what);
        self.probe.send(iq);
        let is_answer = |it: &Element| {
            it.is("iq", NS_CLIENT)
                && it.attr("id") == Some(id.as_str())
                && matches!(it.attr("type"), Some("result" | "error"))
        };
        Ok(match self.next(ANSWER_WITHIN, is_answer).await? {
            None => Asked::Silence,
            Some(answer) if answer.attr("type") == Some("error") => {
                Asked::Error(condition(&answer))
            }
            Some(answer) => Asked::Answer(answer),
        })
    }

    /// The next stanza that is `wanted`; what else comes is answered where a member must, and kept.
    async fn next(
        &mut self,
        within: Duration,
        wanted: impl Fn(&Element) -> bool,
    ) -> Result<Option<Element>, Failure> {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return Ok(self.kept.remove(at));
        }
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(stanza) = self.probe.answer(left, |_| true).await? else { return Ok(None) };
            if wanted(&stanza) {
                return Ok(Some(stanza));
            }
            match stanza.get_child("query", NS_INFO) {
                Some(query) if stanza.attr("type") == Some("get") => {
                    let about = about_us(query.attr("node"));
                    self.reply(&stanza, Some(about));
                }
                _ if self.kept.len() < KEPT_MAX => self.kept.push_back(stanza),
                _ => {}
            }
        }
    }

    fn reply(&mut self, request: &Element, payload: Option<Element>) {
        let (Some(id), Some(from)) = (request.attr("id"), request.attr("from")) else { return };
        let attributes = [("type", "result"), ("id", id), ("to", from)];
        let mut result = element("iq", NS_CLIENT, &attributes);
        if let Some(payload) = payload {
            result.append_child(payload);
        }
        self.probe.send(result);
    }
}

impl<T> Asked<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Asked<U> {
        match self {
            Self::Answer(answer) => Asked::Answer(change(answer)),
            Self::Error(condition) => Asked::Error(condition),
            Self::Silence => Asked::Silence,
        }
    }
}

fn about_us(node: Option<&str>) -> Element {
    let mut query = match node {
        Some(node) => element("query", NS_INFO, &[("node", node)]),
        None => element("query", NS_INFO, &[]),
    };
    query.append_child(element("identity", NS_INFO, &[("category", "client"), ("type", "phone")]));
    for feature in FEATURES {
        query.append_child(element("feature", NS_INFO, &[("var", feature)]));
    }
    query
}

fn is_moderator(presence: &Element) -> bool {
    let items = presence.get_child("x", NS_MUC_USER).into_iter().flat_map(Element::children);
    items.filter(|it| it.name() == "item").any(|it| it.attr("role") == Some("moderator"))
}

fn condition(stanza: &Element) -> String {
    let error = stanza.children().find(|it| it.name() == "error");
    let condition = error.into_iter().flat_map(Element::children).find(|it| it.name() != "text");
    condition.map_or("no reason given", Element::name).to_owned()
}

/// UDP candidates of the offer's first transport; all contents share one.
fn doors(offer: &Element) -> Vec<Door> {
    let contents = offer.get_child("jingle", NS_JINGLE).into_iter().flat_map(Element::children);
    let mut transports = contents.filter_map(|content| content.get_child("transport", NS_ICE));
    let Some(transport) = transports.next() else { return Vec::new() };
    let text = |name: &str| transport.attr(name).unwrap_or_default().to_owned();
    let (ufrag, password) = (text("ufrag"), text("pwd"));
    let candidates = transport.children().filter(|it| it.name() == "candidate");
    let udp = candidates
        .filter(|it| it.attr("protocol").is_some_and(|it| it.eq_ignore_ascii_case("udp")));
    let address = |it: &Element| {
        let ip = it.attr("ip")?.parse().ok()?;
        Some(SocketAddr::new(ip, it.attr("port")?.parse().ok()?))
    };
    let door = |address| Door { address, ufrag: ufrag.clone(), password: password.clone() };
    udp.filter_map(address).take(DOORS_MAX).map(door).collect()
}

/// Candidates tried, two seconds each.
const DOORS_MAX: usize = 6;
