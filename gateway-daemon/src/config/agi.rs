//! `[agi]`: PBXs that ask for the PIN themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
        let is_here = |block: &Cidr| [LOOPBACK_4, LOOPBACK_6].iter().any(|it| block.contains(*it));
        if !listen.ip().is_loopback() && !allow.is_empty() && allow.iter().all(is_here) {
            let what = format!(
                "{listen} is for PBXs elsewhere, yet allow has this host alone; add their addresses to \
                 allow, or write \"127.0.0.1:{}\"",
                listen.port(),
            );
            self.say(section, "listen", what);
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

const LOOPBACK_4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK_6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, parse};

    fn read(keys: &str) -> Result<Config, String> {
        let text = format!("[[trunk]]\nname = \"pbx\"\nsources = [\"192.0.2.1\"]\n[agi]\n{keys}");
        parse("t", &text, Path::new("")).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn it_is_off_by_default_and_on_where_it_listens() {
        assert!(read("").expect("good").agi.is_none());
        let agi = read("listen = \"127.0.0.1:4573\"\nplay_wrong = \"\"").expect("good").agi;
        let agi = agi.expect("listens");
        assert_eq!((agi.rules.tries, agi.rules.digits, agi.rules.patience_ms), (3, 9, 10_000));
        assert_eq!((agi.connections_max, agi.allow.len()), (100, 2));
        let far = "listen = \"192.0.2.2:4573\"\nallow = [\"192.0.2.0/24\"]";
        assert!(read(far).expect("good").agi.is_some());
    }

    #[test]
    fn each_mistake_has_its_remedy() {
        for (keys, remedy) in [
            ("listen = \"4573\"", "write \"127.0.0.1:4573\""),
            ("listen = \"192.0.2.2:4573\"", "add their addresses to allow"),
            ("listen = \"127.0.0.1:4573\"\nallow = []", "name your PBX"),
            ("listen = \"127.0.0.1:4573\"\nallow = [\"pbx\"]", "\"pbx\""),
            ("listen = \"127.0.0.1:4573\"\nplay_ask = \"\"", "write \"conf-getpin\""),
            ("play_wrong = \"a&b\"", "without an ending"),
            ("connections_max = 0", "1 to 10000"),
        ] {
            let mistakes = read(keys).expect_err(keys);
            assert!(mistakes.contains(remedy), "{keys}: {mistakes}");
        }
    }
}
