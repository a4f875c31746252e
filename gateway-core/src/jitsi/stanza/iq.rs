//! Requests and answers (`<iq>`, RFC 6120 §8.2.3): kinds, results, errors. Ids are copied to the letter.

use minidom::Element;

use super::build::element;
use super::{ns, short};

/// What an `<iq>` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for something.
    Get,
    /// Wants something done.
    Set,
    /// Yes.
    Result,
    /// No.
    Error,
}

impl Kind {
    /// It answers a request.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Result | Self::Error)
    }
}

/// The kind of an `<iq>`. `None`: it is none.
pub fn kind(stanza: &Element) -> Option<Kind> {
    if !stanza.is("iq", ns::CLIENT) {
        return None;
    }
    Some(match stanza.attr("type")? {
        "get" => Kind::Get,
        "set" => Kind::Set,
        "result" => Kind::Result,
        "error" => Kind::Error,
        _ => return None,
    })
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Condition of RFC 6120 §8.3.3, for example `bad-request`.
    pub condition: String,
    /// Words.
    pub text: Option<String>,
}

/// The refusal in a stanza of type `error`.
pub fn error(stanza: &Element) -> Option<Error> {
    (stanza.attr("type") == Some("error")).then_some(())?;
    let error = stanza.get_child("error", ns::CLIENT);
    let mut children = error.into_iter().flat_map(Element::children);
    let condition = children.find(|it| it.has_ns(ns::STANZAS) && it.name() != "text");
    let text = error.and_then(|it| it.get_child("text", ns::STANZAS));
    Some(Error {
        condition: condition.map_or("undefined-condition", Element::name).to_owned(),
        text: text.and_then(|it| short(&it.text())),
    })
}

/// A request that wants something done.
pub fn set(id: &str, to: &str, payload: Element) -> Element {
    let iq = element("iq", ns::CLIENT).attr("type", "set").attr("id", id).attr("to", to);
    iq.child(payload).build()
}

/// A question.
pub fn get(id: &str, to: &str, payload: Element) -> Element {
    let iq = element("iq", ns::CLIENT).attr("type", "get").attr("id", id).attr("to", to);
    iq.child(payload).build()
}

/// Yes to a request.
pub fn result(request: &Element) -> Element {
    answer(request, "result").build()
}

/// A condition with the type of error that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(&'static str, &'static str);

/// What was sent cannot be understood.
pub const BAD_REQUEST: Refusal = Refusal("modify", "bad-request");
/// We do not do that.
pub const FEATURE_NOT_IMPLEMENTED: Refusal = Refusal("cancel", "feature-not-implemented");
/// There is nothing of that name.
pub const ITEM_NOT_FOUND: Refusal = Refusal("cancel", "item-not-found");
/// Nobody here for that.
pub const SERVICE_UNAVAILABLE: Refusal = Refusal("cancel", "service-unavailable");
/// Not now, or too often.
pub const RESOURCE_CONSTRAINT: Refusal = Refusal("wait", "resource-constraint");
/// He may not ask for that.
pub const FORBIDDEN: Refusal = Refusal("auth", "forbidden");

/// What is asked for is nothing we do.
pub const NOT_ACCEPTABLE: Refusal = Refusal("modify", "not-acceptable");
/// It took too long.
pub const REMOTE_SERVER_TIMEOUT: Refusal = Refusal("wait", "remote-server-timeout");

/// Nobody may do that.
pub const NOT_ALLOWED: Refusal = Refusal("cancel", "not-allowed");

/// No to a request.
pub fn refusal(request: &Element, refusal: Refusal) -> Element {
    let Refusal(kind, condition) = refusal;
    let error = element("error", ns::CLIENT).attr("type", kind);
    answer(request, "error").child(error.child(element(condition, ns::STANZAS))).build()
}

/// No to a request, in words, too.
pub fn refusal_in_words(request: &Element, refusal: Refusal, words: &str) -> Element {
    refusal_with(request, refusal, element("text", ns::STANZAS).text(words).build())
}

/// No to a request, with a condition of the application beside.
pub fn refusal_with(request: &Element, refusal: Refusal, application: Element) -> Element {
    let Refusal(kind, condition) = refusal;
    let error = element("error", ns::CLIENT).attr("type", kind);
    let error = error.child(element(condition, ns::STANZAS)).child(application);
    answer(request, "error").child(error).build()
}

fn answer(request: &Element, kind: &'static str) -> super::build::Building {
    element("iq", ns::CLIENT)
        .attr("type", kind)
        .maybe("id", request.attr("id"))
        .maybe("to", request.attr("from"))
}
