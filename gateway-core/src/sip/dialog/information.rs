//! INFO that comes in (RFC 6086): keys as `application/dtmf-relay` and `application/dtmf`, JSON where a trunk speaks it.

use std::time::Instant;

use sipx_sip::headers::ContentType;

use super::Dialog;
use crate::base::limits::SIP_INFO_BODY_MAX;
use crate::media::dtmf::Key;
use crate::sip::endpoint::UaEvent;
use crate::sip::endpoint::core::Core;
use crate::sip::transaction::TransactionId;
use crate::sip::wire::{HeaderName, Incoming, build};

impl Dialog {
    /// An INFO: a key, a sign of life (no body), JSON of a trunk that speaks it, or something that we cannot read (415).
    pub(super) fn informed(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
    ) {
        let body = incoming.request.body();
        if body.is_empty() {
            let response = core.reply(&incoming.request, 200, Some(&self.peer.local_tag));
            return core.respond(now, id, response);
        }
        let kind = incoming.request.headers.typed::<ContentType>().and_then(Result::ok);
        let is_json = kind.as_ref().is_some_and(|kind| kind.is("application", "json"));
        let key = kind.and_then(|kind| match () {
            () if kind.is("application", "dtmf-relay") => key_of_relay(body),
            () if kind.is("application", "dtmf") => key_of_text(body),
            () => None,
        });
        let takes_json = core.trunk(self.trunk).is_some_and(|trunk| trunk.takes_json);
        if key.is_none() && !takes_json {
            return self.refuse_request(now, core, incoming, id, 415, |response| {
                build::push(&mut response.headers, HeaderName::Accept, ACCEPT);
            });
        }
        let response = core.reply(&incoming.request, 200, Some(&self.peer.local_tag));
        core.respond(now, id, response);
        match key {
            Some(key) => core.out.event(UaEvent::Key { dialog: self.key, key }),
            None => self.told(core, is_json, body),
        }
    }

    /// Something of a program behind the trunk; already answered.
    fn told(&self, core: &mut Core, is_json: bool, body: &[u8]) {
        if !is_json || body.len() > SIP_INFO_BODY_MAX {
            core.out.counters.sip_infos_ignored += 1;
            return;
        }
        let (content_type, body) = (JSON.to_owned(), body.to_vec());
        core.out.event(UaEvent::Info { dialog: self.key, content_type, body });
    }
}

/// `Signal=5`, on one of the lines.
fn key_of_relay(body: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(body).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let is_signal = name.trim().eq_ignore_ascii_case("signal");
        is_signal.then(|| key_of_text(value.as_bytes())).flatten()
    })
}

/// One character, or the number of an event (`10`: star, `11`: hash).
fn key_of_text(text: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Key::from_char(letter),
        _ => text.parse().ok().and_then(Key::from_event),
    }
}

const JSON: &str = "application/json";
const ACCEPT: &str = "application/dtmf-relay, application/dtmf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_all_their_spellings() {
        assert_eq!(key_of_relay(b"Signal=5\r\nDuration=160\r\n"), Some(Key::Digit(5)));
        assert_eq!(key_of_relay(b"Duration=160\nsignal= *\n"), Some(Key::Star));
        assert_eq!(key_of_relay(b"Signal=11\r\n"), Some(Key::Hash));
        assert_eq!(key_of_text(b"#\r\n"), Some(Key::Hash));
        assert_eq!(key_of_text(b"a"), Some(Key::Letter(0)));
        assert_eq!(key_of_text(b"16"), None);
        assert_eq!(key_of_relay(b"Signal=\xff"), None);
        assert_eq!(key_of_relay(b""), None);
    }
}
