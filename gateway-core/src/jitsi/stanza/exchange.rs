//! Requests and answers as they came: whom they are from, whose answer they are, what an error says. How ours are
//! written is in [`iq`].

use jid::Jid;
use minidom::Element;

use super::iq::{self, Kind, Refusal};
use super::ns;

/// An `<iq>` as it came.
#[derive(Clone, Copy, Debug)]
pub struct Iq<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its id: echoed byte by byte, never understood.
    pub id: &'a str,
    /// Its sender as written; the server's own answers may have none.
    pub from: Option<&'a str>,
    /// Its first child that is no `<error>`.
    pub payload: Option<&'a Element>,
    /// The stanza itself.
    pub stanza: &'a Element,
}

impl<'a> Iq<'a> {
    /// Reads an `<iq>`; `None` where it is something else or lacks what RFC 6120 demands.
    pub fn read(stanza: &'a Element) -> Option<Self> {
        let kind = iq::kind(stanza)?;
        let id = stanza.attr("id").filter(|id| id.len() <= ID_MAX)?;
        let payload = stanza.children().find(|child| child.name() != "error");
        Some(Self { kind, id, from: stanza.attr("from"), payload, stanza })
    }

    /// It asks for an answer.
    pub fn is_request(&self) -> bool {
        !self.kind.is_answer()
    }

    /// It answers a request of ours with that id, from whom we asked. A server may leave `from` out of an answer in
    /// its own name, but nobody may answer for somebody else.
    pub fn answers(&self, id: &str, asked: &str) -> bool {
        let from_asked = self.from.is_none_or(|from| same_address(from, asked));
        !self.is_request() && self.id == id && from_asked
    }

    /// The positive answer, empty.
    pub fn result(&self) -> Element {
        iq::result(self.stanza)
    }

    /// The positive answer with something in it.
    pub fn result_with(&self, payload: Element) -> Element {
        let mut result = iq::result(self.stanza);
        result.append_child(payload);
        result
    }

    /// A refusal.
    pub fn refuse(&self, refusal: Refusal) -> Element {
        iq::refusal(self.stanza, refusal)
    }

    /// What an error says.
    pub fn error(&self) -> Option<StanzaError<'a>> {
        StanzaError::read(self.stanza)
    }
}

/// Addresses compare without case but for the resource (after nodeprep there is none left; a server may not do it).
pub fn same_address(one: &str, other: &str) -> bool {
    match (Jid::new(one), Jid::new(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// The `<error>` of a stanza.
#[derive(Clone, Copy, Debug)]
pub struct StanzaError<'a> {
    /// `cancel`, `auth`, `wait`, `modify`, `continue`.
    pub kind: &'a str,
    /// Name of the defined condition; empty where there is none.
    pub condition: &'a str,
    /// The error itself, for what applications add.
    pub element: &'a Element,
}

impl<'a> StanzaError<'a> {
    /// Reads the `<error>` child of a stanza.
    pub fn read(stanza: &'a Element) -> Option<Self> {
        let element = stanza.get_child("error", ns::CLIENT)?;
        let is_condition = |child: &&Element| child.has_ns(ns::STANZAS) && child.name() != "text";
        let condition = element.children().find(is_condition).map_or("", Element::name);
        Some(Self { kind: element.attr("type").unwrap_or("cancel"), condition, element })
    }

    /// The human readable text.
    pub fn text(&self) -> Option<String> {
        self.element.get_child("text", ns::STANZAS).map(Element::text)
    }

    /// Jitsi adds something of its own, inside the error or (an older plugin) beside it.
    pub fn has_jitsi(&self, name: &str) -> bool {
        self.element.has_child(name, ns::JITMEET)
    }
}

/// Ids of today's focus are base64 of 60 to 150 characters.
const ID_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::parse_stanzas;

    fn stanza(xml: &str) -> Element {
        parse_stanzas(xml).expect("XML").remove(0)
    }

    #[test]
    fn an_id_of_the_focus_comes_back_byte_by_byte() {
        let ask =
            stanza("<iq type='get' id='NmQ5/+==' from='r@muc.test/focus'><q xmlns='x'/></iq>");
        let asked = Iq::read(&ask).expect("a request");
        assert!(asked.is_request());
        let expected = stanza("<iq type='result' id='NmQ5/+==' to='r@muc.test/focus'/>");
        assert_eq!(asked.result(), expected);
        let refusal = asked.refuse(iq::SERVICE_UNAVAILABLE);
        let read = StanzaError::read(&refusal).expect("an error");
        assert_eq!((read.kind, read.condition), ("cancel", "service-unavailable"));
    }

    #[test]
    fn an_answer_counts_only_from_whom_was_asked() {
        let answer = |from: &str| stanza(&format!("<iq type='result' id='a' from='{from}'/>"));
        let says =
            |from: &str| Iq::read(&answer(from)).expect("iq").answers("a", "Focus.meet.test");
        assert!(says("focus.meet.test"));
        assert!(!says("evil.meet.test"));
        let bare = stanza("<iq type='error' id='a'/>");
        assert!(Iq::read(&bare).expect("iq").answers("a", "focus.meet.test"));
        let request = stanza("<iq type='set' id='a' from='focus.meet.test'/>");
        assert!(!Iq::read(&request).expect("iq").answers("a", "focus.meet.test"));
    }

    #[test]
    fn what_is_no_iq_is_none() {
        for xml in [
            "<message/>",
            "<iq/>",
            "<iq type='get'/>",
            "<iq type='x' id='1'/>",
            "<iq xmlns='y' type='get' id='1'/>",
        ] {
            assert!(Iq::read(&stanza(xml)).is_none(), "{xml}");
        }
    }
}
