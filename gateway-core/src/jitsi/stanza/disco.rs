//! What we can do, as the focus asks it (XEP-0030) and as presence tells it in short (XEP-0115).
//!
//! The focus makes its offer from this list: no video, no SCTP and no transport-cc here means none in the offer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minidom::Element;
use sha1::{Digest, Sha1};

use super::build::element;

/// Namespace of the question.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Namespace of the short form.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Who we say we are: a name, not a place that is fetched.
pub const NODE: &str = "urn:x-weebee:gateway";

/// Says that a moderator may mute us.
pub const AUDIO_MUTE: &str = "http://jitsi.org/protocol/audio-mute";

/// Features of a phone, sorted. `audio-mute` lets a moderator mute us; `json-encoded-sources` makes the focus send
/// sources short; `jigasi` and `jingle:dtmf` make browsers show a phone with a dial pad.
pub const FEATURES: [&str; 14] = [
    DISCO_INFO,
    "http://jitsi.org/json-encoded-sources",
    AUDIO_MUTE,
    "http://jitsi.org/protocol/jigasi",
    "http://jitsi.org/source-name",
    "http://jitsi.org/start-muted-room-metadata",
    "urn:ietf:rfc:5761",
    "urn:ietf:rfc:5888",
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:dtmf:0",
    "urn:xmpp:jingle:transports:ice-udp:1",
];

/// What a client can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    features: Vec<&'static str>,
    hash: String,
}

impl Abilities {
    /// Those of a phone, and more (a bridge channel, ssrc rewriting) where the media half can do it.
    pub fn new(more: &[&'static str]) -> Self {
        Self::of(&[&FEATURES, more].concat())
    }

    /// These and no others.
    pub fn of(features: &[&'static str]) -> Self {
        let mut features = features.to_vec();
        features.sort_unstable();
        features.dedup();
        let hash = verification(("client", "bot", "WeeBee"), &features);
        Self { features, hash }
    }

    /// The same without one of them.
    pub fn without(mut self, feature: &str) -> Self {
        self.features.retain(|it| *it != feature);
        self.hash = verification(("client", "bot", "WeeBee"), &self.features);
        self
    }

    /// The short form, for presence.
    pub fn caps(&self) -> Element {
        let caps = element("c", CAPS).attr("hash", "sha-1").attr("node", NODE);
        caps.attr("ver", &self.hash).build()
    }

    /// The answer to a question; `node` is echoed as it was asked.
    pub fn answer(&self, node: Option<&str>) -> Element {
        let identity = element("identity", DISCO_INFO)
            .attr("category", "client")
            .attr("type", "bot")
            .attr("name", "WeeBee");
        let feature = |var: &&str| element("feature", DISCO_INFO).attr("var", var);
        element("query", DISCO_INFO)
            .maybe("node", node)
            .child(identity)
            .children(self.features.iter().map(feature))
            .build()
    }
}

/// XEP-0115 §5.1: SHA-1 over the identity (without a language) and the sorted features, each ended by `<`, as base64.
fn verification((category, kind, name): (&str, &str, &str), features: &[&str]) -> String {
    let mut sorted = features.to_vec();
    sorted.sort_unstable();
    let mut sum = Sha1::new();
    sum.update(format!("{category}/{kind}//{name}<"));
    for feature in sorted {
        sum.update(feature);
        sum.update("<");
    }
    STANDARD.encode(sum.finalize())
}

/// Identities and features of a server's answer: `(category, type, name)` and feature names, the first hundred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAbilities {
    /// `component` identities of Jitsi's Prosody name its services: `(type, address)`.
    pub components: Vec<(String, String)>,
    /// Features.
    pub features: Vec<String>,
}

impl ServerAbilities {
    /// Reads the answer.
    pub fn read(query: &Element) -> Option<Self> {
        if !query.is("query", DISCO_INFO) {
            return None;
        }
        let named = |name: &'static str| query.children().filter(move |it| it.name() == name);
        let component = |it: &Element| {
            let is_component = it.attr("category") == Some("component");
            let (kind, name) = (it.attr("type")?, it.attr("name")?);
            is_component.then(|| (kind.to_owned(), name.to_owned()))
        };
        let feature = |it: &Element| it.attr("var").map(str::to_owned);
        Some(Self {
            components: named("identity").filter_map(component).take(LISTED_MAX).collect(),
            features: named("feature").filter_map(feature).take(LISTED_MAX).collect(),
        })
    }

    /// Address of the component of that type, for example `av_moderation`.
    pub fn component(&self, kind: &str) -> Option<&str> {
        self.components.iter().find(|(it, _)| it == kind).map(|(_, address)| address.as_str())
    }
}

/// A Jitsi server names 8 components and about 15 features.
const LISTED_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::Capture;

    #[test]
    fn the_short_form_is_the_one_another_client_computed() {
        // The client of the captures told its list and its hash; both were accepted by the focus.
        let capture = Capture::stanzas("61-start-muted");
        let answers = capture.sent("G").filter_map(|it| it.get_child("query", DISCO_INFO));
        let answer = answers.last().expect("G answered the focus");
        let features: Vec<&str> = answer.children().filter_map(|it| it.attr("var")).collect();
        let presence = capture.sent("G").find(|it| it.name() == "presence").expect("G joined");
        let told = presence.get_child("c", CAPS).and_then(|caps| caps.attr("ver"));
        assert_eq!(told, Some(verification(("client", "bot", "testclient"), &features).as_str()));
        // And the list is ours, too.
        assert_eq!(features, FEATURES);
    }

    #[test]
    fn more_abilities_are_told_in_order_and_change_the_hash() {
        let plain = Abilities::new(&[]);
        let more = Abilities::new(&["http://jitsi.org/tcc", "urn:ietf:rfc:5761"]);
        assert_ne!(plain.caps().attr("ver"), more.caps().attr("ver"));
        let answer = more.answer(Some("urn:x-weebee:gateway#x"));
        assert_eq!(answer.attr("node"), Some("urn:x-weebee:gateway#x"));
        let vars: Vec<&str> = answer.children().filter_map(|it| it.attr("var")).collect();
        assert_eq!(vars.len(), FEATURES.len() + 1);
        assert!(vars.is_sorted());
    }

    #[test]
    fn a_server_names_its_components() {
        let capture = Capture::stanzas("01-disco");
        let query = capture.received("A").find_map(|it| {
            (it.attr("id") == Some("d0")).then(|| it.get_child("query", DISCO_INFO)).flatten()
        });
        let server = ServerAbilities::read(query.expect("the answer")).expect("a list");
        assert_eq!(server.component("av_moderation"), Some("avmoderation.meet.test"));
        assert_eq!(server.component("breakout_rooms"), Some("breakout.meet.test"));
        assert_eq!(server.component("nothing"), None);
    }
}
