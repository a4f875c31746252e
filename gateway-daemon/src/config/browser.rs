//! `[browser]`: people who join a room from a web page instead of a phone.

use gateway_core::gateway::ConferenceAddresses;

use super::raw::Raw;
use super::schema::{Kind, SectionDecl, key, whole};
use super::typed::Judge;
use super::values::{conference_addresses, count};

/// Its keys.
pub(super) const BROWSER: SectionDecl = SectionDecl {
    name: "browser",
    many: false,
    commented: false,
    about: "A web page to join rooms of the gateway itself, beside the phones. `docs/browser.md` says how.",
    keys: &[
        key(
            "enabled",
            Kind::Flag,
            "false",
            "Serve the page on [http] listen. Who has a link of `weebee link` gets in, without a PIN, until it expires.",
        ),
        key(
            "media",
            Kind::Text,
            r#""""#,
            "IP address of the sound of browsers, `192.0.2.1` or behind NAT `0.0.0.0 as 203.0.113.7`. Empty: as the \
             first SIP listener.",
        ),
        key(
            "url",
            Kind::Text,
            r#""""#,
            "Where people reach the page: \"https://rooms.example.org\". Browsers give a microphone to https (or this \
             very host) only: put a proxy with a certificate before [http] listen. Empty: http:// and that address.",
        ),
        key(
            "browsers_max",
            whole(1, 10_000, "browsers"),
            "100",
            "Browsers at once. Each takes an Opus encoder and two ports of [rtp].",
        ),
        key(
            "dial_in",
            Kind::Text,
            r#""""#,
            "What the page tells people to dial instead: \"+62 21 555 0100\". Empty: nothing.",
        ),
    ],
};

/// `[browser]`, where it is enabled.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Where the sound is.
    pub addresses: ConferenceAddresses,
    /// Where people reach the page, without a slash at the end.
    pub url: String,
    /// At once.
    pub browsers_max: usize,
    /// What to dial instead; may be empty.
    pub dial_in: String,
}

impl Judge<'_> {
    /// `None` inside: not enabled.
    pub(super) fn browser(&mut self, raw: &Raw) -> Option<Option<Browser>> {
        let section = raw.one("browser");
        let addresses = conference_addresses(section.text("media"));
        let addresses = self.keep(section, "media", addresses)?;
        let given = section.text("url").trim_end_matches('/');
        let host = given.strip_prefix("https://").or_else(|| given.strip_prefix("http://"));
        if !given.is_empty() && host.is_none_or(|host| host.is_empty() || host.contains(['/', ' ']))
        {
            self.say(section, "url", "is no web address; write \"https://rooms.example.org\"");
        }
        let dial_in = self.header_text(section, "dial_in");
        let listen = raw.one("http").text("listen");
        let enabled = section.flag("enabled");
        if enabled && listen.is_empty() {
            self.say(section, "enabled", "needs [http] listen; write \"127.0.0.1:8788\" there");
        }
        let url = if given.is_empty() { format!("http://{listen}") } else { given.to_owned() };
        let browsers_max = count(section.whole("browsers_max"));
        Some(enabled.then_some(Browser { addresses, url, browsers_max, dial_in }))
    }
}
