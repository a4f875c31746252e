//! Stream management (XEP-0198): which stanzas the server has, which to say again when a broken stream is resumed.
//!
//! Without it on the server nothing is kept: what was on its way when the connection broke is lost, as always.

use std::collections::VecDeque;

use minidom::Element;

use super::failure::Failure;
use super::framing::element;

/// Namespace of XEP-0198.
pub const NS_SM: &str = "urn:xmpp:sm:3";
/// Stanzas kept until the server has them. A leg sends a few a second at most.
pub const UNACKNOWLEDGED_MAX: usize = 512;
/// After this many stanzas the server is asked what it has.
const ASK_EVERY: usize = 4;

/// Both sides' counts of one session, which may outlive a connection.
#[derive(Debug, Default)]
pub struct Management {
    /// Name of the session for resumption.
    id: Option<String>,
    enabled: bool,
    /// Stanzas we have had from the server, modulo 2^32.
    received: u32,
    /// Stanzas the server has had from us.
    acknowledged: u32,
    waiting: VecDeque<Element>,
    since_asked: usize,
}

impl Management {
    /// `<enable/>`.
    pub fn enable() -> Element {
        element("enable", NS_SM, &[("resume", "true"), ("max", "120")])
    }

    /// The server said `<enabled/>`.
    pub fn enabled(&mut self, answer: &Element) {
        let resumable = matches!(answer.attr("resume"), Some("true" | "1"));
        let id = answer.attr("id").filter(|id| resumable && id.len() <= 1_024);
        *self = Self { id: id.map(str::to_owned), enabled: true, ..Self::default() };
    }

    /// Session to resume, if there is one.
    pub fn resumable(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `<resume/>`.
    pub fn resume(&self) -> Option<Element> {
        let id = self.id.as_deref()?;
        let received = self.received.to_string();
        Some(element("resume", NS_SM, &[("h", &received), ("previd", id)]))
    }

    /// The server resumed: what it lacks is to be sent again, in order.
    pub fn resumed(&mut self, answer: &Element) -> Result<Vec<Element>, Failure> {
        self.acknowledge(answer)?;
        self.since_asked = 0;
        Ok(self.waiting.iter().cloned().collect())
    }

    /// Forgets the session; a new one begins.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// A stanza came.
    pub fn received(&mut self) {
        self.received = self.received.wrapping_add(1);
    }

    /// `<a/>`, the answer to `<r/>`.
    pub fn answer(&self) -> Element {
        element("a", NS_SM, &[("h", &self.received.to_string())])
    }

    /// The server said how many it has.
    pub fn acknowledge(&mut self, answer: &Element) -> Result<(), Failure> {
        const WRONG: Failure = Failure::NotXmpp("a wrong count of stanzas (XEP-0198)");
        let has: u32 = answer.attr("h").and_then(|text| text.parse().ok()).ok_or(WRONG)?;
        let more = usize::try_from(has.wrapping_sub(self.acknowledged)).map_err(|_| WRONG)?;
        if more > self.waiting.len() {
            return Err(WRONG);
        }
        self.waiting.drain(..more);
        self.acknowledged = has;
        Ok(())
    }

    /// A stanza goes out, or waits for a resumption. True: ask the server what it has.
    pub fn sent(&mut self, stanza: &Element) -> Result<bool, Failure> {
        if !self.enabled {
            return Ok(false);
        }
        if self.waiting.len() >= UNACKNOWLEDGED_MAX {
            return Err(Failure::QueueFull);
        }
        self.waiting.push_back(stanza.clone());
        self.since_asked += 1;
        if self.since_asked >= ASK_EVERY {
            self.since_asked = 0;
            return Ok(true);
        }
        Ok(false)
    }

    /// `<r/>`, if something waits.
    pub fn question(&self) -> Option<Element> {
        (self.enabled && !self.waiting.is_empty()).then(|| element("r", NS_SM, &[]))
    }

    /// Stanzas the server has not confirmed.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::framing::NS_CLIENT;
    use super::*;

    fn stanza(id: usize) -> Element {
        element("message", NS_CLIENT, &[("id", &id.to_string())])
    }

    fn enabled() -> Management {
        let mut management = Management::default();
        management.enabled(&element("enabled", NS_SM, &[("id", "s1"), ("resume", "true")]));
        management
    }

    fn count(h: u32) -> Element {
        element("a", NS_SM, &[("h", &h.to_string())])
    }

    #[test]
    fn only_what_the_server_lacks_is_said_again_in_order() {
        let mut management = enabled();
        for id in 0..5 {
            management.sent(&stanza(id)).expect("room");
        }
        management.acknowledge(&count(2)).expect("counts");
        let again = management.resumed(&count(3)).expect("counts");
        assert_eq!(again, [stanza(3), stanza(4)]);
        management.acknowledge(&count(5)).expect("counts");
        assert_eq!((management.waiting(), management.question()), (0, None));
    }

    #[test]
    fn a_server_that_has_more_than_was_sent_is_wrong() {
        let mut management = enabled();
        management.sent(&stanza(1)).expect("room");
        assert!(management.acknowledge(&count(2)).is_err());
        assert!(management.acknowledge(&count(u32::MAX)).is_err());
        assert!(management.acknowledge(&element("a", NS_SM, &[])).is_err());
    }

    #[test]
    fn counts_wrap() {
        let mut management = enabled();
        management.acknowledged = u32::MAX;
        management.sent(&stanza(1)).expect("room");
        management.acknowledge(&count(0)).expect("wraps");
        assert_eq!(management.waiting(), 0);
        management.received = u32::MAX;
        management.received();
        assert_eq!(management.answer().attr("h"), Some("0"));
    }

    #[test]
    fn the_queue_is_capped_and_empty_without_the_extension() {
        let mut management = enabled();
        let asked = (0..UNACKNOWLEDGED_MAX)
            .filter(|id| management.sent(&stanza(*id)).expect("room"))
            .count();
        assert_eq!(asked, UNACKNOWLEDGED_MAX / ASK_EVERY);
        assert_eq!(management.sent(&stanza(0)), Err(Failure::QueueFull));
        let mut without = Management::default();
        for id in 0..2 * UNACKNOWLEDGED_MAX {
            assert_eq!(without.sent(&stanza(id)), Ok(false));
        }
        assert_eq!((without.waiting(), without.resume()), (0, None));
    }

    #[test]
    fn a_session_that_cannot_be_resumed_has_no_name() {
        let mut management = Management::default();
        management.enabled(&element("enabled", NS_SM, &[("id", "s1")]));
        assert_eq!(management.resumable(), None);
    }
}
