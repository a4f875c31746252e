//! Calls that somebody in a conference asks for (Rayo, `urn:xmpp:rayo:1`, the part of it that Jitsi uses): `dial`, the
//! `ref` that answers it, and `hangup`. Caps on everything; what is above them is refused, not cut.

use minidom::Element;

use super::build::element;
use super::word;
use crate::base::pii::Pii;

/// Namespace.
pub const RAYO: &str = "urn:xmpp:rayo:1";
/// Header that names the conference; without it a dial cannot be carried out.
pub const ROOM_HEADER: &str = "JvbRoomName";
/// Header with the password of the conference.
pub const PASSWORD_HEADER: &str = "JvbRoomPassword";
/// `to` of a dial that wants a transcriber, not a telephone.
pub const TRANSCRIBER: &str = "jitsi_meet_transcribe";
/// Headers of one dial; those of today's plugins are five.
pub const HEADERS_MAX: usize = 32;
/// Bytes of a header's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a header's value; a JSON Web Token has about 1,000.
pub const VALUE_BYTES_MAX: usize = 2_048;
/// Bytes of what is dialled: a number has 15 digits, a SIP URI seldom 100.
pub const TARGET_BYTES_MAX: usize = 256;
/// What the web client writes where it knows no number of its own.
const NO_NUMBER: &str = "fromnumber";

/// A wish for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Number or SIP URI.
    pub to: Pii<String>,
    /// Number to show; `None`: the web client's placeholder, or none at all.
    pub from: Option<Pii<String>>,
    /// Headers, in order; a name may appear twice.
    pub headers: Vec<(String, Pii<String>)>,
}

/// Why a dial cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDial {
    /// Nobody to call.
    #[error("no number")]
    NoTarget,
    /// Above [`TARGET_BYTES_MAX`], or with control characters in it.
    #[error("not a number")]
    Target,
    /// Above one of the caps, or with control characters in it.
    #[error("a header is too long, or there are too many")]
    Headers,
}

impl Dial {
    /// Reads a `<dial>`.
    pub fn read(dial: &Element) -> Result<Self, BadDial> {
        let to = dial.attr("to").map(str::trim).unwrap_or_default();
        if to.is_empty() {
            return Err(BadDial::NoTarget);
        }
        if to.len() > TARGET_BYTES_MAX || to.chars().any(char::is_control) {
            return Err(BadDial::Target);
        }
        let from = dial.attr("from").map(str::trim).unwrap_or_default();
        let is_number = !from.is_empty() && from != NO_NUMBER && from.len() <= TARGET_BYTES_MAX;
        let is_number = is_number && !from.chars().any(char::is_control);
        let named = dial.children().filter(|it| it.is("header", RAYO));
        let mut headers = Vec::new();
        for header in named {
            let name = header.attr("name").unwrap_or_default();
            let value = header.attr("value").unwrap_or_default();
            let legal = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
            let legal = legal && value.len() <= VALUE_BYTES_MAX && headers.len() < HEADERS_MAX;
            if !legal || name.chars().chain(value.chars()).any(char::is_control) {
                return Err(BadDial::Headers);
            }
            headers.push((name.to_owned(), Pii::new(value.to_owned())));
        }
        Ok(Self {
            to: Pii::new(to.to_owned()),
            from: is_number.then(|| Pii::new(from.to_owned())),
            headers,
        })
    }

    /// The first header of that name, compared without case.
    pub fn header(&self, name: &str) -> Option<&Pii<String>> {
        self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The element.
    pub fn write(&self) -> Element {
        let header = |(name, value): &(String, Pii<String>)| {
            element("header", RAYO).attr("name", name).attr("value", value.reveal())
        };
        element("dial", RAYO)
            .attr("to", self.to.reveal())
            .attr("from", self.from.as_ref().map_or(NO_NUMBER, |from| from.reveal()))
            .children(self.headers.iter().map(header))
            .build()
    }
}

/// The answer to a dial: which occupant (`room@rooms.example.org/nick`) the call is.
pub fn reference(occupant: &str) -> Element {
    element("ref", RAYO).attr("uri", format!("xmpp:{occupant}")).build()
}

/// The occupant a `<ref>` names.
pub fn read_reference(reference: &Element) -> Option<String> {
    let uri = reference.is("ref", RAYO).then(|| word(reference, "uri")).flatten()?;
    uri.strip_prefix("xmpp:").map(str::to_owned)
}

/// A wish to end a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hangup {
    /// The occupant that is meant, where the request says it: attribute `uri` or `jid`, or a header of that name.
    pub occupant: Option<String>,
}

impl Hangup {
    /// Reads a `<hangup>`.
    pub fn read(hangup: &Element) -> Option<Self> {
        if !hangup.is("hangup", RAYO) {
            return None;
        }
        let named = |it: &&Element| matches!(it.attr("name"), Some("uri" | "jid"));
        let header = hangup.children().take(HEADERS_MAX).find(named);
        let said = word(hangup, "uri").or_else(|| word(hangup, "jid"));
        let said = said.or_else(|| header.and_then(|header| word(header, "value")));
        let plain = |text: String| text.strip_prefix("xmpp:").map(str::to_owned).unwrap_or(text);
        Some(Self { occupant: said.map(plain) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{Capture, parse_stanzas};

    fn dials(name: &str, client: &str) -> Vec<Dial> {
        let capture = Capture::stanzas(name);
        let dials = capture.received(client).filter_map(|it| it.get_child("dial", RAYO));
        dials.map(|dial| Dial::read(dial).expect("a dial of the focus")).collect()
    }

    fn read(xml: &str) -> Result<Dial, BadDial> {
        let dial = parse_stanzas(xml).expect("XML").remove(0);
        Dial::read(&dial)
    }

    #[test]
    fn dials_of_the_captures_are_read_and_written() {
        let dial = dials("42-rayo-dial", "jigasi1").remove(0);
        assert_eq!(dial.to.reveal(), "+31201234567");
        assert_eq!(dial.from, None, "the web client's placeholder is no number");
        assert_eq!(
            dial.header("jvbroomname").expect("it is there").reveal(),
            "dial1@muc.meet.test"
        );
        let names: Vec<&str> = dial.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["JvbRoomName", "X-Test"]);
        assert_eq!(Dial::read(&dial.write()), Ok(dial));
    }

    #[test]
    fn the_answer_is_what_the_capture_gave() {
        let capture = Capture::stanzas("42-rayo-dial");
        let given = capture.sent("jigasi1").find_map(|it| it.get_child("ref", RAYO));
        let given = given.expect("jigasi1 answered");
        let occupant = read_reference(given).expect("an occupant");
        assert_eq!(&reference(&occupant), given);
    }

    #[test]
    fn caps_hold_and_nothing_is_cut() {
        let long = |bytes: usize| "9".repeat(bytes);
        let dial = |to: &str| read(&format!("<dial xmlns='{RAYO}' to='{to}'/>"));
        assert!(dial(&long(TARGET_BYTES_MAX)).is_ok());
        assert_eq!(dial(&long(TARGET_BYTES_MAX + 1)), Err(BadDial::Target));
        assert_eq!(dial("+49&#10;30"), Err(BadDial::Target));
        assert_eq!(dial("  "), Err(BadDial::NoTarget));
        assert_eq!(read(&format!("<dial xmlns='{RAYO}'/>")), Err(BadDial::NoTarget));
        let headers = |count: usize, name: &str, value: &str| {
            let header = format!("<header name='{name}' value='{value}'/>");
            read(&format!("<dial xmlns='{RAYO}' to='1'>{}</dial>", header.repeat(count)))
        };
        assert_eq!(headers(HEADERS_MAX, "a", "b").expect("good").headers.len(), HEADERS_MAX);
        assert_eq!(headers(HEADERS_MAX + 1, "a", "b"), Err(BadDial::Headers));
        assert_eq!(headers(1, &long(NAME_BYTES_MAX + 1), "b"), Err(BadDial::Headers));
        assert_eq!(headers(1, "a", &long(VALUE_BYTES_MAX + 1)), Err(BadDial::Headers));
        assert_eq!(headers(1, "a", "b&#13;&#10;c"), Err(BadDial::Headers));
        assert_eq!(headers(1, "", "b"), Err(BadDial::Headers));
    }

    #[test]
    fn a_hangup_may_say_whom_it_means() {
        let hangup = |xml: &str| Hangup::read(&parse_stanzas(xml).expect("XML").remove(0));
        let said = |xml: &str| hangup(xml).expect("a hangup").occupant;
        assert_eq!(said(&format!("<hangup xmlns='{RAYO}'/>")), None);
        let expected = Some("a@muc.test/1".to_owned());
        assert_eq!(said(&format!("<hangup xmlns='{RAYO}' uri='xmpp:a@muc.test/1'/>")), expected);
        assert_eq!(said(&format!("<hangup xmlns='{RAYO}' jid='a@muc.test/1'/>")), expected);
        let header = "<header name='uri' value='xmpp:a@muc.test/1'/>";
        assert_eq!(said(&format!("<hangup xmlns='{RAYO}'>{header}</hangup>")), expected);
        assert_eq!(hangup("<hangup/>"), None);
    }
}
