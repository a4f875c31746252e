//! Keys by INFO (RFC 6086): `application/dtmf-relay` and `application/dtmf`.

use std::time::Instant;

use sipx_sip::headers::ContentType;

use super::Dialog;
use crate::media::dtmf::Key;
use crate::sip::endpoint::UaEvent;
use crate::sip::endpoint::core::Core;
use crate::sip::transaction::TransactionId;
use crate::sip::wire::{HeaderName, Incoming, build};

impl Dialog {
    /// An INFO: a key, a sign of life (no body), or something that we cannot read (415).
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
        let key = kind.and_then(|kind| match () {
            () if kind.is("application", "dtmf-relay") => key_of_relay(body),
            () if kind.is("application", "dtmf") => key_of_text(body),
            () => None,
        });
        let Some(key) = key else {
            return self.refuse_request(now, core, incoming, id, 415, |response| {
                build::push(&mut response.headers, HeaderName::Accept, ACCEPT);
            });
        };
        let response = core.reply(&incoming.request, 200, Some(&self.peer.local_tag));
        core.respond(now, id, response);
        core.out.event(UaEvent::Key { dialog: self.key, key });
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
