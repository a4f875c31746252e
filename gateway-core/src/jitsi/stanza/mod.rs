//! Floor 1: XML elements of Jitsi <-> values. No time, no states; unknown elements and attributes are ignored.

use std::str::FromStr;

use minidom::Element;

use crate::base::limits::JITSI_WORD_BYTES_MAX;

pub mod build;
pub mod channel;
pub mod conference;
pub mod disco;
pub mod exchange;
pub mod iq;
pub mod jingle;
pub mod load;
pub mod mute;
pub mod ns;
pub mod presence;
pub mod rayo;
pub mod room_message;
pub mod sources;
pub mod transport;
pub mod visitors;

/// An attribute's text, if it is there and no longer than [`JITSI_WORD_BYTES_MAX`].
pub fn word(element: &Element, name: &str) -> Option<String> {
    element.attr(name).and_then(short)
}

/// An attribute's number, if it is there and one.
pub fn number<T: FromStr>(element: &Element, name: &str) -> Option<T> {
    element.attr(name)?.trim().parse().ok()
}

/// Whether an attribute says yes (`true` or `1`).
pub fn flag(element: &Element, name: &str) -> bool {
    matches!(element.attr(name), Some("true" | "1"))
}

/// A text that is not empty and no longer than [`JITSI_WORD_BYTES_MAX`].
pub fn short(text: &str) -> Option<String> {
    (!text.is_empty() && text.len() <= JITSI_WORD_BYTES_MAX).then(|| text.to_owned())
}
