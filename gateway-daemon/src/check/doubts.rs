//! What a legal configuration of a Jitsi deployment lets one expect trouble from, without asking anybody.

use std::time::Duration;

use gateway_core::io::xmpp::{Encryption, Transport};
use gateway_core::leg::jitsi::signal::settings::PhoneIdentity;

use super::{Finding, brewery, rocketchat};
use crate::config::Config;
use crate::config::browser::Browser;
use crate::config::dial_in::DialIn;
use crate::config::jitsi::Jitsi;
use crate::config::rooms::Label;
use crate::config::typed::RoomRules;
use crate::pin::mint::Issuer;

/// All doubts, in the order of the file. `now` is Unix time.
pub fn doubts(config: &Config, now: Duration) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        config.jitsi.iter().flat_map(|jitsi| of_jitsi(jitsi, now)).collect();
    found.extend(config.jitsi.first().and_then(|_| of_media(config)));
    found.extend(brewery::doubts(config));
    found.extend(of_pins(config));
    found.extend(config.dial_in.iter().flat_map(|dial_in| of_dial_in(config, dial_in)));
    found.extend(config.rocketchat.iter().flat_map(|it| rocketchat::doubts(config, it)));
    found.extend(config.browser.iter().flat_map(|browser| of_browser(config, browser)));
    found
}

/// What is legal for PINs, and yet makes them guessable or readable.
fn of_pins(config: &Config) -> Vec<Finding> {
    let pin = &config.pin;
    let mut found = Vec::new();
    let mut doubt = |text: String| found.push(Finding::warning(0, format!("pin: {text}")));
    if let Some(host) = pin.database.as_ref().and_then(|database| database.is_open()) {
        doubt(format!(
            "database: sslmode=disable: room names and hashes travel openly to {host}; remove it, so that TLS is used, unless \
             a private network is between"
        ));
    }
    if pin.digits < 8 && pin.limits.per_trunk_h > 120 {
        doubt(format!(
            "digits: {} digits with {} guesses an hour are found within weeks; write digits = 9, or \
             wrong_per_trunk_h = 120",
            pin.digits, pin.limits.per_trunk_h
        ));
    }
    if pin.ttl.is_none() {
        doubt("ttl_h: PINs live for ever, so that guessing has time; write ttl_h = 24".to_owned());
    }
    let shows = |rules: &RoomRules| rules.label == Label::Full;
    if shows(&config.rooms.usual) || config.rooms.named.iter().any(|(_, rules)| shows(rules)) {
        found.push(Finding::warning(
            0,
            "room: label: \"full\" shows callers' numbers to everybody in the room; write \"masked\" unless all agreed",
        ));
    }
    found
}

/// Jitsi Meet's invitation shows a PIN to few, or one that leads elsewhere.
fn of_dial_in(config: &Config, dial_in: &DialIn) -> Vec<Finding> {
    let usual = &config.rooms.usual;
    let mut found = Vec::new();
    let on_jitsi = |rules: &RoomRules| config.jitsi.iter().any(|it| it.name == rules.backend);
    // Each workspace of Rocket.Chat brings a policy for its own rooms.
    let policies = config.rooms.named.iter().filter(|(_, rules)| on_jitsi(rules)).count();
    if !on_jitsi(usual) && policies <= config.rocketchat.len() {
        found.push(Finding::wrong(
            0,
            "dial_in: enabled: callers with a PIN of Jitsi Meet's page would be alone, for rooms are embedded ones; write \
             backend = \"NAME\" of a [[conference.jitsi]] under [room]",
        ));
    }
    if !usual.mint.contains(&Issuer::Page) {
        found.push(Finding::wrong(
            0,
            "dial_in: enabled: [room] mint gives no PINs to \"page\", so that the invitation shows none; add it there",
        ));
    }
    if dial_in.room_size.is_none() && dial_in.rooms.is_empty() {
        found.push(Finding::warning(
            0,
            "dial_in: room_size: only rooms in which a telephone is already get a PIN; write \
             \"http://127.0.0.1:5280/room-size\" (Prosody's muc_size), or names of rooms as `rooms`",
        ));
    }
    found
}

/// A page that others open needs https, and sound that reaches them.
fn of_browser(config: &Config, browser: &Browser) -> Vec<Finding> {
    let host = browser.url.split_once("://").map_or("", |(_, host)| host);
    let is_here = ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here));
    let mut found = Vec::new();
    if !is_here && browser.url.starts_with("http://") {
        found.push(Finding::warning(
            0,
            format!(
                "browser: url: {} gets no microphone, because it is not https; put a proxy with a certificate \
                 before it",
                browser.url
            ),
        ));
    }
    let listener = config.sip.listeners.first().map(|listener| {
        let advertised = listener.advertised.map(|address| address.ip());
        listener.advertised_media.or(advertised).unwrap_or(listener.bind.ip())
    });
    let told = browser.addresses.advertised.or(browser.addresses.bind).or(listener);
    if let Some(loopback) = told.filter(|ip| !is_here && ip.is_loopback()) {
        found.push(Finding::warning(
            0,
            format!(
                "browser: media: browsers are told to send their sound to {loopback}, which is their own machine; \
                 write an address that they reach"
            ),
        ));
    }
    found
}

/// A bridge answers no loopback address, even on the same machine.
fn of_media(config: &Config) -> Option<Finding> {
    let bound = match config.rtp.conference.bind {
        Some(ip) => vec![ip],
        None => config.sip.listeners.iter().map(|listener| listener.bind.ip()).collect(),
    };
    let loopback = bound.iter().find(|ip| ip.is_loopback())?;
    Some(Finding::warning(
        0,
        format!(
            "rtp: conference: media towards the bridge would go by {loopback}, which every bridge ignores; write an \
             address of `ip -brief address`"
        ),
    ))
}

fn of_jitsi(jitsi: &Jitsi, now: Duration) -> Vec<Finding> {
    let mut found = Vec::new();
    let title = format!("conference.jitsi {:?}", jitsi.name);
    if let PhoneIdentity::Account { .. } = jitsi.settings.identity {
        found.push(Finding::warning(
            jitsi.line,
            format!(
                "{title}: account: all calls share one address, so that whoever is kicked, let in by the lobby or \
                 made moderator is all of them; use \"shared-secret\" with mod_auth_jitsi-shared-secret"
            ),
        ));
    }
    if jitsi.site.domain == jitsi.settings.domain {
        found.push(Finding::warning(
            jitsi.line,
            format!(
                "{title}: account_domain: phones log in where browsers do; Jicofo cannot trust that host, so a phone \
                 that comes first becomes moderator; give phones a host of their own and add it to \
                 jicofo.xmpp.trusted-domains"
            ),
        ));
    }
    if jitsi.site.trust.insecure {
        found.push(Finding::warning(
            jitsi.line,
            format!("{title}: tls_insecure: any certificate is believed; set ca_file or tls_pins instead"),
        ));
    }
    if let Some(host) = open_way(&jitsi.site.transport) {
        found.push(Finding::warning(
            jitsi.line,
            format!(
                "{title}: xmpp: passwords and meetings travel openly to {host}; use StartTLS, wss: or https: unless \
                 it is this machine"
            ),
        ));
    }
    found.extend(
        jitsi
            .settings
            .token
            .as_ref()
            .and_then(|token| of_token(jitsi, &title, token.reveal(), now)),
    );
    found
}

/// The host of a way without TLS that leaves this machine.
pub(super) fn open_way(transport: &Transport) -> Option<&str> {
    let host = match transport {
        Transport::Tcp { host, encryption: Encryption::Off, .. } => host,
        Transport::WebSocket(address) | Transport::Bosh(address) if !address.secure => {
            &address.host
        }
        _ => return None,
    };
    let address = host.parse::<std::net::IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    (!is_here).then_some(host)
}

/// A JSON Web Token says itself when it is good. Its signature is the server's business.
fn of_token(jitsi: &Jitsi, title: &str, token: &str, now: Duration) -> Option<Finding> {
    let Some(claims) = claims(token) else {
        let what = "holds no JSON Web Token (three parts with dots between); put the token there, nothing else";
        return Some(Finding::wrong(jitsi.line, format!("{title}: token: {what}")));
    };
    let at = |name: &str| claims.get(name).and_then(serde_json::Value::as_u64);
    if at("exp").is_some_and(|exp| exp <= now.as_secs()) {
        let what = "has expired; make a new one, or set this machine's clock if it is early";
        return Some(Finding::wrong(jitsi.line, format!("{title}: token: {what}")));
    }
    if at("nbf").is_some_and(|nbf| nbf > now.as_secs() + CLOCKS_DIFFER_MAX) {
        let what = "is not valid yet; set the clock of this machine or of the one that made it";
        return Some(Finding::wrong(jitsi.line, format!("{title}: token: {what}")));
    }
    let room = claims.get("room").and_then(serde_json::Value::as_str);
    if room.is_some_and(|room| room != "*") {
        let what = "opens one room only; for all rooms make it with \"room\": \"*\"";
        return Some(Finding::warning(jitsi.line, format!("{title}: token: {what}")));
    }
    None
}

fn claims(token: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&base64url(claims)?).ok()
}

/// RFC 4648 §5 without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0_u32);
    for sign in text.bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xFF).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// Seconds two honest clocks may be apart.
pub const CLOCKS_DIFFER_MAX: u64 = 60;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Weight;
    use super::*;

    #[test]
    fn media_over_loopback_is_doubted() {
        let beside = "[rtp]\nconference = \"127.0.0.1\"\n";
        let said = judge(beside, 0);
        assert!(said.iter().any(|it| it.text.contains("every bridge ignores")), "{said:?}");
        let said = judge("[rtp]\nconference = \"192.0.2.1\"\n", 0);
        assert!(!said.iter().any(|it| it.text.contains("every bridge ignores")), "{said:?}");
    }

    #[test]
    fn a_page_for_others_without_https_or_with_loopback_sound_is_doubted() {
        let said = |browser: &str| -> Vec<String> {
            let text = format!(
                "[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n[rtp]\nports = \"20000-23999\"\n\
                 [browser]\nenabled = true\n{browser}"
            );
            let config = crate::config::parse("weebee.toml", &text, Path::new(".")).expect("legal");
            doubts(&config, Duration::ZERO).into_iter().map(|it| it.text).collect()
        };
        assert_eq!(said(""), [""; 0], "on this host alone");
        let good = "url = \"https://rooms.test\"\nmedia = \"0.0.0.0 as 192.0.2.1\"\n";
        assert_eq!(said(good), [""; 0]);
        let bad = said("url = \"http://rooms.test\"\n");
        assert!(
            bad[0].contains("gets no microphone") && bad[1].contains("their own machine"),
            "{bad:?}"
        );
    }

    #[test]
    fn pins_that_can_be_read_or_guessed_are_doubted() {
        let said = |keys: &str| -> Vec<String> {
            let text = format!("[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n{keys}");
            let config = crate::config::parse("weebee.toml", &text, Path::new(".")).expect("legal");
            doubts(&config, Duration::ZERO).into_iter().map(|it| it.text).collect()
        };
        for good in [
            "",
            "[pin]\ndatabase = \"postgresql://weebee@127.0.0.1/weebee\"\n",
            "[pin]\ndatabase = \"postgresql:///weebee?host=/run/postgresql\"\n",
            "[pin]\ndatabase = \"postgresql://weebee@db.test/weebee\"\n",
        ] {
            assert_eq!(said(good), [""; 0], "{good}");
        }
        for (keys, wanted) in [
            (
                "[pin]\ndatabase = \"postgresql://weebee@db.test/weebee?sslmode=disable\"\n",
                "openly to db.test",
            ),
            ("[pin]\ndigits = 6\nwrong_per_trunk_h = 500\n", "write digits = 9"),
            ("[pin]\nttl_h = 0\n", "write ttl_h = 24"),
            ("[[room_policy]]\nname = \"a\"\nlabel = \"full\"\n", "write \"masked\""),
        ] {
            let all = said(keys);
            assert!(all.len() == 1 && all[0].contains(wanted), "{keys}: {all:?}");
        }
    }

    fn configured(keys: &str) -> Config {
        const TRUNK: &str = "[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n";
        let jitsi = format!("[[conference.jitsi]]\nname = \"j\"\ndomain = \"meet.test\"\n{keys}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let rtp = if keys.contains("[rtp]") { "" } else { "[rtp]\nconference = \"192.0.2.1\"\n" };
        crate::config::parse("weebee.toml", &format!("{jitsi}{rtp}{TRUNK}"), folder).expect("legal")
    }

    fn judge(keys: &str, now: u64) -> Vec<Finding> {
        doubts(&configured(keys), Duration::from_secs(now))
    }

    #[test]
    fn a_host_for_phones_alone_is_beyond_doubt() {
        let keys = "account_domain = \"phones.meet.test\"\naccount = \"shared-secret\"\npassword_file = \"Cargo.toml\"\n";
        assert_eq!(judge(keys, 0), []);
    }

    #[test]
    fn each_doubt_has_its_remedy() {
        for (keys, wanted) in [
            ("", "jicofo.xmpp.trusted-domains"),
            (
                "account = \"one-account\"\nuser = \"u\"\npassword_file = \"Cargo.toml\"\n",
                "use \"shared-secret\"",
            ),
            ("tls_insecure = true\n", "set ca_file or tls_pins"),
            ("xmpp = \"tcp:10.0.0.1:5222\"\ntls = \"off\"\n", "travel openly to 10.0.0.1"),
            ("xmpp = \"ws://meet.test/xmpp-websocket\"\n", "travel openly to meet.test"),
        ] {
            let found = judge(keys, 0);
            assert!(found.iter().any(|it| it.text.contains(wanted)), "{keys}: {found:?}");
            assert!(
                found.iter().all(|it| it.weight == Weight::Warning && it.line == 1),
                "{found:?}"
            );
        }
        let here = judge("xmpp = \"tcp:127.0.0.1:5222\"\ntls = \"off\"\n", 0);
        assert!(!here.iter().any(|it| it.text.contains("openly")), "{here:?}");
    }

    fn token(claims: &str) -> String {
        const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut out = String::from("eyJhbGciOiJIUzI1NiJ9.");
        for three in claims.as_bytes().chunks(3) {
            let mut bits = 0_u32;
            for at in 0..3 {
                bits = (bits << 8) | u32::from(three.get(at).copied().unwrap_or(0));
            }
            for place in 0..=three.len() {
                out.push(char::from(SIGNS[(bits >> (18 - 6 * place)) as usize & 63]));
            }
        }
        out + ".c2lnbmF0dXJl"
    }

    #[test]
    fn a_token_says_itself_when_it_is_good() {
        let said = |claims: &str, now: u64| {
            let token = token(claims);
            let config = configured("");
            of_token(&config.jitsi[0], "t", &token, Duration::from_secs(now)).map(|it| it.text)
        };
        let good = r#"{"exp":2000,"nbf":1000,"room":"*","name":"ü?>"}"#;
        assert_eq!(said(good, 1_500), None);
        assert!(said(good, 2_000).is_some_and(|text| text.contains("expired")));
        assert!(said(good, 900).is_some_and(|text| text.contains("not valid yet")));
        assert_eq!(said(good, 960), None, "clocks differ a little");
        assert!(said(r#"{"room":"tea"}"#, 0).is_some_and(|text| text.contains("one room only")));
    }

    #[test]
    fn what_is_no_token_is_said_so() {
        for text in ["", "a.b", "a.b.c", "a.!!.c", "a.b.c.d", "Bearer a.b.c"] {
            assert_eq!(claims(text), None, "{text:?}");
        }
    }
}
