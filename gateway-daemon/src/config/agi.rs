//! `[agi]`: PBXs that ask for the PIN themselves.

use std::net::SocketAddr;

use gateway_core::sip::trunk::Cidr;

use super::raw::{Raw, Section};
use super::schema::{Kind, SectionDecl, key, whole};
use super::typed::Judge;
use super::values::{count, socket_address};
use crate::agi::dialogue::{Rules, Words, is_file};

/// Its keys.
pub(super) const AGI: SectionDecl = SectionDecl {
    name: "agi",
    many: false,
    commented: false,
    about: "FastAGI: a PBX plays the words and collects the digits, we judge them. `docs/dialplans.md` says how.",
    keys: &[
        key(
            "listen",
            Kind::Text,
            r#""""#,
            "Address and port: \"127.0.0.1:4573\". Empty: none. The protocol has neither password nor encryption: other \
             than loopback only in a network of yours.",
        ),
        key(
            "allow",
            Kind::Texts,
            r#"["127.0.0.0/8", "::1"]"#,
            "Addresses of the PBXs that may connect. Others are closed at once.",
        ),
        key(
            "connections_max",
            whole(1, 10_000, "conversations"),
            "100",
            "Callers who are asked at once.",
        ),
        key(
            "play_ask",
            Kind::Text,
            r#""conf-getpin""#,
            "Sound of the PBX that asks for the PIN, without its ending. The defaults are of Asterisk's core sounds. One of your \
             own: \"custom/weebee-pin\".",
        ),
        key(
            "play_wrong",
            Kind::Text,
            r#""conf-invalidpin""#,
            "Sound for a PIN that opens nothing, before asking again. Empty: ask again at once.",
        ),
        key(
            "play_goodbye",
            Kind::Text,
            r#""vm-goodbye""#,
            "Sound after the last try. Empty: none; the dialplan goes on.",
        ),
        key(
            "play_unavailable",
            Kind::Text,
            r#""all-circuits-busy-now""#,
            "Sound when PINs cannot be looked up. Empty: none; the dialplan goes on.",
        ),
    ],
};

/// `[agi]`, where it listens.
#[derive(Clone, Debug)]
pub struct Agi {
    /// Address and port.
    pub listen: SocketAddr,
    /// Who may connect.
    pub allow: Vec<Cidr>,
    /// At once.
    pub connections_max: usize,
    /// Words, tries and patience.
    pub rules: Rules,
}

impl Judge<'_> {
    /// `None` inside: it does not listen.
    pub(super) fn agi(&mut self, raw: &Raw) -> Option<Option<Agi>> {
        let section = raw.one("agi");
        let mut allow = Vec::new();
        for text in section.texts("allow") {
            let block = text.parse::<Cidr>().map_err(|error| format!("{text:?}: {error}"));
            allow.extend(self.keep(section, "allow", block));
        }
        let words = Words {
            ask: self.sound(section, "play_ask"),
            wrong: self.sound(section, "play_wrong"),
            goodbye: self.sound(section, "play_goodbye"),
            unavailable: self.sound(section, "play_unavailable"),
        };
        if words.ask.is_empty() && section.given("play_ask") {
            self.say(section, "play_ask", "callers must be asked; write \"conf-getpin\"");
        }
        let listen = match section.text("listen") {
            "" => return Some(None),
            text => self.keep(section, "listen", socket_address(text, "127.0.0.1:4573"))?,
        };
        if allow.is_empty() && section.texts("allow").is_empty() {
            self.say(section, "allow", "nobody may connect; name your PBX, or write listen = \"\"");
        }
        let pin = raw.one("pin");
        let rules = Rules {
            words,
            tries: u8::try_from(pin.whole("tries_per_call")).unwrap_or(u8::MAX),
            digits: u8::try_from(pin.whole("digits")).unwrap_or(u8::MAX),
            patience_ms: pin.whole("first_digit_s") * 1_000,
        };
        let connections_max = count(section.whole("connections_max"));
        Some(Some(Agi { listen, allow, connections_max, rules }))
    }

    fn sound(&mut self, section: &Section, key: &str) -> String {
        let text = section.text(key);
        if !text.is_empty() && !is_file(text) {
            let what =
                "is no sound of a PBX; write letters, digits, `-`, `_`, `/`, without an ending";
            self.say(section, key, what);
        }
        text.to_owned()
    }
}
