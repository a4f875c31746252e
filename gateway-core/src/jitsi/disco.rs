//! Answers whatever is asked of us, at once: abilities (the focus waits 15 s for them, and blocks its room meanwhile),
//! pings, and a refusal for everything nobody else took.

use minidom::Element;

use super::stanza::disco::{Abilities, DISCO_INFO};
use super::stanza::exchange::Iq;
use super::stanza::iq::{Kind, SERVICE_UNAVAILABLE};

/// Namespace of pings (XEP-0199).
const PING: &str = "urn:xmpp:ping";

/// Answers questions about ourselves. Keeps nothing.
#[derive(Clone, Debug)]
pub struct Answers {
    abilities: Abilities,
}

impl Answers {
    /// With these abilities.
    pub fn new(abilities: Abilities) -> Self {
        Self { abilities }
    }

    /// What we can do.
    pub fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// The answer to a request that is about nothing else; `None` where it is no request.
    pub fn answer(&self, iq: &Iq<'_>) -> Option<Element> {
        if !iq.is_request() {
            return None;
        }
        let asked = iq.payload.filter(|_| iq.kind == Kind::Get);
        Some(match asked {
            Some(query) if query.is("query", DISCO_INFO) => {
                iq.result_with(self.abilities.answer(query.attr("node")))
            }
            Some(ping) if ping.is("ping", PING) => iq.result(),
            _ => iq.refuse(SERVICE_UNAVAILABLE),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{Capture, parse_stanzas};

    #[test]
    fn the_focus_gets_the_answer_the_capture_gave() {
        let capture = Capture::stanzas("61-start-muted");
        let is_query = |it: &&Element| it.has_child("query", DISCO_INFO);
        let query = capture.received("G").find(is_query).expect("the focus asked");
        let given = capture.sent("G").find(is_query).expect("G answered");
        let answers = Answers::new(Abilities::new(&[]));
        let ours = answers.answer(&Iq::read(query).expect("iq")).expect("an answer");
        let features = |it: &Element| -> Vec<String> {
            let query = it.get_child("query", DISCO_INFO).expect("a list");
            query.children().filter_map(|it| it.attr("var")).map(str::to_owned).collect()
        };
        assert_eq!(features(&ours), features(given));
        for name in ["type", "id", "to"] {
            assert_eq!(ours.attr(name), given.attr(name), "{name}");
        }
    }

    #[test]
    fn pings_are_answered_answers_are_not_and_the_rest_is_refused() {
        let answer = |xml: &str| {
            let stanza = parse_stanzas(xml).expect("XML").remove(0);
            Answers::new(Abilities::new(&[])).answer(&Iq::read(&stanza).expect("iq"))
        };
        let pong = answer("<iq type='get' id='1' from='a'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert_eq!(pong.expect("pong").attr("type"), Some("result"));
        let other = answer("<iq type='set' id='1' from='a'><query xmlns='jabber:iq:roster'/></iq>");
        assert_eq!(other.expect("a refusal").attr("type"), Some("error"));
        assert_eq!(answer("<iq type='error' id='1' from='a'/>"), None);
    }
}
