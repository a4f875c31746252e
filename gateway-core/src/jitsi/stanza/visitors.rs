//! What moderators decide of a visitor who raised his hand: an IQ that his node's room passes on.

use minidom::Element;

use super::exchange::Iq;
use super::iq::Kind;
use crate::base::pii::Pii;

/// Answer to a raised hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromotionResponse {
    /// He may come into the main room: as this user, for no other is let in. `None`: he may not.
    pub user: Option<Pii<String>>,
}

impl PromotionResponse {
    /// Reads a request; `None` where it is none, or promises without a name.
    pub fn read(iq: &Iq<'_>) -> Option<Self> {
        let visitors =
            iq.payload.filter(|it| iq.kind == Kind::Set && it.is("visitors", VISITORS))?;
        let response = visitors.get_child("promotion-response", VISITORS)?;
        let user =
            |it: &Element| it.attr("username").filter(|name| is_user(name)).map(str::to_owned);
        match response.attr("allow") {
            Some("true") => user(response).map(|name| Self { user: Some(Pii::new(name)) }),
            _ => Some(Self { user: None }),
        }
    }
}

/// A UUID today.
fn is_user(name: &str) -> bool {
    let is_legal = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.');
    !name.is_empty() && name.len() <= USER_MAX && name.chars().all(is_legal)
}

/// Four times as long as a UUID.
const USER_MAX: usize = 144;

/// Namespace of what visitor nodes and the main server tell each other.
pub const VISITORS: &str = "jitsi:visitors";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::parse_stanzas;

    fn read(kind: &str, response: &str) -> Option<Option<String>> {
        let xml = format!(
            "<iq type='{kind}' id='1' from='tea@muc.v1.meet.jitsi'>\
             <visitors xmlns='jitsi:visitors' room='tea@muc.v1.meet.jitsi'>{response}</visitors></iq>"
        );
        let stanza = parse_stanzas(&xml).expect("XML").remove(0);
        let response = PromotionResponse::read(&Iq::read(&stanza).expect("an iq"))?;
        Some(response.user.map(|user| user.reveal().clone()))
    }

    #[test]
    fn a_promise_has_a_name_and_everything_else_is_a_refusal_or_nothing() {
        let user = "1d2c5dd2-0b1a-4b5e-8f5e-1b7f5f6e0a11";
        let allowed = format!("<promotion-response allow='true' jid='a@b/c' username='{user}'/>");
        assert_eq!(read("set", &allowed), Some(Some(user.to_owned())));
        assert_eq!(read("get", &allowed), None);
        assert_eq!(read("set", "<promotion-response allow='false'/>"), Some(None));
        assert_eq!(read("set", "<promotion-response/>"), Some(None));
        for name in ["", "a&amp;b=c", "a b", "a@b", &"x".repeat(145)] {
            let odd = format!("<promotion-response allow='true' username='{name}'/>");
            assert_eq!(read("set", &odd), None, "{name}");
        }
        assert_eq!(read("set", ""), None);
    }
}
