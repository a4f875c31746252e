//! `[[brewery]]`, `[dial_out]` and `[[dial_out_rule]]`: what their keys become, and each mistake with its remedy.

use std::path::Path;

use gateway_core::base::ids::TrunkId;

use super::{Config, Mistakes, parse};

const BASE: &str = "[[trunk]]\nname = \"local\"\nsources = [\"127.0.0.0/8\"]\n\
    [[trunk]]\nname = \"carrier\"\npeer = \"192.0.2.10:5060\"\n\
    [[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.example.org\"\n\
    [[conference.jitsi]]\nname = \"other\"\ndomain = \"other.example.org\"\n";
const BREWERY: &str = "[[brewery]]\nname = \"main\"\ndomain = \"auth.meet.example.org\"\nuser = \"jigasi\"\n\
    password_file = \"Cargo.toml\"\nroom = \"JigasiBrewery@internal.auth.meet.example.org\"\n";
const RULE: &str = "[[dial_out_rule]]\nmatch = \"+62*\"\ntrunk = \"carrier\"\n";

fn judge(more: &str) -> Result<Config, Mistakes> {
    parse("weebee.toml", &format!("{BASE}{more}"), Path::new(env!("CARGO_MANIFEST_DIR")))
}

#[test]
fn nothing_is_called_unless_somebody_says_so() {
    let config = judge("").expect("good");
    assert!(!config.dial_out.enabled && config.dial_out.rules.is_empty());
    assert!(config.breweries.is_empty());
}

#[test]
fn a_brewery_has_what_jigasi_had() {
    let config = judge(BREWERY).expect("good");
    let brewery = &config.breweries[0];
    assert_eq!(brewery.room, "jigasibrewery@internal.auth.meet.example.org");
    assert_eq!(brewery.allowed, ["jigasibrewery@internal.auth.meet.example.org"]);
    assert_eq!(
        (brewery.conference.as_str(), brewery.site.domain.as_str()),
        ("jitsi", "auth.meet.example.org")
    );
    assert!(!format!("{config:?}").contains("[package]"), "the password is never shown");
    let more =
        "conference = \"other\"\nallowed = [\"bot@auth.meet.example.org\"]\nregion = \"eu\"\n";
    let config = judge(&format!("{BREWERY}{more}")).expect("good");
    let brewery = &config.breweries[0];
    assert_eq!((brewery.conference.as_str(), brewery.region.as_deref()), ("other", Some("eu")));
    assert_eq!(brewery.allowed, ["bot@auth.meet.example.org"]);
}

#[test]
fn a_rule_names_a_trunk_that_can_be_called_by() {
    let more = "[dial_out]\nenabled = true\nallowed = [\"+62*\"]\ndenied = [\"+62900*\"]\n";
    let config = judge(&format!("{more}{RULE}strip = 3\nprepend = \"0\"\n")).expect("good");
    let rule = &config.dial_out.rules[0];
    assert_eq!((rule.trunk, rule.strip, rule.prepend.as_str()), (TrunkId(1), 3, "0"));
    assert_eq!(rule.target.as_deref(), Some("sip:{number}@192.0.2.10:5060"));
    assert_eq!(rule.from, None);
    let uri = RULE.replace("+62*", "sip:*@example.org");
    let config = judge(&uri).expect("good");
    assert!(config.dial_out.rules[0].is_uri && config.dial_out.rules[0].target.is_none());
}

/// Text, what the message must contain.
const MISTAKES: &[(&str, &str)] = &[
    ("[dial_out]\nenabled = true\n", "no number may be called; add [[dial_out_rule]]"),
    ("[dial_out]\ndenied = [\"\"]\n", "an empty pattern matches nothing"),
    ("[[dial_out_rule]]\nmatch = \"\"\ntrunk = \"carrier\"\n", "write the number, or \"?*\""),
    (
        "[[dial_out_rule]]\nmatch = \"1\"\ntrunk = \"none\"\n",
        "there is no [[trunk]] named \"none\"",
    ),
    (
        "[dial_out]\nenabled = true\n[[dial_out_rule]]\nmatch = \"1\"\ntrunk = \"local\"\n",
        "has no `peer` to send calls to",
    ),
    ("RULE target = \"sip:{peer}\"\n", "write \"sip:{number}@{peer}\""),
    ("RULE target = \"{number}\"\n", "write \"sip:{number}@{peer}\""),
    ("RULE prepend = \"0 0\"\n", "does not belong into a number"),
    ("RULE from = \"a@b\"\n", "is no number"),
    ("BREWERY conference = \"none\"\n", "no [[conference.jitsi]] named \"none\""),
    ("BREWERY allowed = [\"a@b/c\"]\n", "is no address without resource"),
    ("BREWERY xmpp = \"prosody\"\n", "write \"tcp:HOST:5222\""),
    ("BREWERY BREWERY", "another [[brewery]] has this name"),
    ("BREWERY BREWERY", "another [[brewery]] sits there already"),
];

#[test]
fn mistakes_say_where_and_what_to_write() {
    for (text, expected) in MISTAKES {
        let text =
            text.replace("RULE ", RULE).replace("BREWERY ", BREWERY).replace("BREWERY", BREWERY);
        let mistakes = judge(&text).expect_err(&text);
        let said = mistakes.to_string();
        assert!(said.contains(expected), "{text}: {said}");
        assert!(mistakes.entries.iter().all(|it| it.line > 0), "{said}");
    }
}

#[test]
fn all_mistakes_of_a_brewery_come_at_once() {
    let text =
        "[[brewery]]\nname = \"a b\"\ndomain = \"x@y\"\nuser = \"a@b\"\nroom = \"internal\"\n";
    let said = judge(text).expect_err("all of it").to_string();
    for part in
        ["use 1 to 64 letters", "is no host", "without the host", "brewery-jid", "has no password"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}
