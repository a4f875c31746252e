//! The table of mistakes: each is found with its line and says the remedy; and all of a file at once.

use std::path::Path;
use std::time::Duration;

use gateway_core::leg::backend::{BeforeHost, RoomName};
use gateway_core::media::clip::Language;
use gateway_core::media::codec::CodecKind;

use super::schema::{Kind, SECTIONS};
use super::{Config, Mistakes, docgen, parse};

const TRUNK: &str = "[[trunk]]\nname = \"local\"\nsources = [\"127.0.0.0/8\"]\n";

fn judge(text: &str) -> Result<Config, Mistakes> {
    parse("weebee.toml", text, Path::new("/nowhere"))
}

fn complaints(text: &str) -> String {
    match judge(text) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn the_commented_default_is_valid_and_says_the_defaults() {
    let config = judge(&docgen::commented_default()).expect("the default is valid");
    assert_eq!(config.sip.listeners.len(), 2);
    assert_eq!(config.sip.calls_max, 1_000);
    assert_eq!(config.trunks[0].sip.name, "local");
    assert_eq!(config.trunks[0].sdp.codecs[0], CodecKind::Opus);
    assert_eq!(config.trunks[0].sdp.packet_time_ms, 20);
    assert_eq!(config.pin.ttl, Some(Duration::from_secs(86_400)));
    assert_eq!(config.rtp.ports, (20_000, 21_999));
    assert!(config.dids.is_empty(), "examples of [[did]] are comments");
    let bare = judge(TRUNK).expect("a trunk is enough");
    assert_eq!(format!("{:?}", bare.sip), format!("{:?}", config.sip));
    assert_eq!(format!("{:?}", bare.pin), format!("{:?}", config.pin));
    assert_eq!(format!("{:?}", bare.rooms), format!("{:?}", config.rooms));
}

#[test]
fn commented_examples_are_valid_too() {
    let all: String = docgen::commented_default()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let folder = crate::testing::Folder::new("examples");
    std::fs::write(folder.path().join("rocketchat.token"), "the token of a bot").expect("a token");
    std::fs::write(folder.path().join("jigasi.secret"), "a password").expect("a password");
    let config = parse("weebee.toml", &all, folder.path()).expect("the examples are valid");
    // A workspace brings a rule for the rooms of its calls.
    assert_eq!((config.dids.len(), config.rooms.named.len(), config.rocketchat.len()), (1, 2, 1));
}

#[test]
fn declarations_are_sound() {
    for section in SECTIONS {
        assert_eq!(SECTIONS.iter().filter(|other| other.name == section.name).count(), 1);
        for key in section.keys {
            let same = section.keys.iter().filter(|other| other.name == key.name).count();
            assert_eq!(same, 1, "{}.{} declared twice", section.name, key.name);
            assert!(key.default.is_some() || key.example.is_some(), "{}", key.name);
            assert!(key.why.ends_with('.'), "{}.{} explains itself", section.name, key.name);
            if let Kind::Whole { min, max, .. } = key.kind {
                assert!(0 <= min && min < max, "{}.{}", section.name, key.name);
            }
        }
    }
}

/// Configuration, line, what the message must contain: what is wrong, and the remedy.
const MISTAKES: &[(&str, usize, &[&str])] = &[
    (
        "[pin]\ndatabase = \"db.example.org\"\n",
        2,
        &["pin: database", "no address of a PostgreSQL database", "postgresql://weebee@"],
    ),
    ("[pin]\ndatabase = \"postgresql:///weebee\"\n", 2, &["names no server", "/run/postgresql"]),
    (
        "[pin]\ndatabase = \"postgresql://weebee:secret@db/weebee\"\n",
        2,
        &["holds a password", "database_password_file"],
    ),
    (
        "[pin]\nfile = \"a\"\ndatabase = \"postgresql://weebee@db/weebee\"\n",
        2,
        &["is not used with `database`", "remove one"],
    ),
    (
        "[pin]\ndatabase = \"postgresql://weebee@db/weebee\"\ndatabase_password_file = \"gone\"\n",
        3,
        &["gone", "put the password there"],
    ),
    ("[pin]\ndatabase_password_file = \"x\"\n", 2, &["there is no `database`", "remove this"]),
    ("[pin]\nstatic_digits = 8\n", 2, &["is below `digits`", "write 9"]),
    ("[pin]\nwrong_global_h = 100\n", 2, &["is below wrong_per_trunk_h", "write 120 or more"]),
    ("[room]\nmint = [\"chat\", \"fax\"]\n", 2, &["\"fax\" is none of", "page"]),
    ("[room]\nlabel = \"mask\"\n", 2, &["did you mean masked?"]),
    ("[room]\nbefore_host = \"wait\"\n", 2, &["none of: join, hold, refuse"]),
    ("[room]\nlobby = \"knock\"\n", 2, &["none of: wait, refuse"]),
    (
        "[room]\nwait_for_host = true\nbefore_host = \"join\"\n",
        2,
        &["contradicts before_host", "remove wait_for_host"],
    ),
    ("[audit]\nfile = \"no/such/folder/a.jsonl\"\n", 2, &["is no folder", "create it"]),
    ("[audit]\nkeep_day = 3\n", 2, &["did you mean keep_days?"]),
    ("[sip\n", 1, &["not TOML"]),
    ("[sipp]\n", 1, &["unknown section [sipp]", "did you mean sip?"]),
    ("[sip]\nlissten = []\n", 2, &["sip: unknown key lissten", "did you mean listen?"]),
    ("[sip]\nzzzzzz = 1\n", 2, &["unknown key zzzzzz", "see `weebee config`"]),
    ("[sip]\nlisten = \"udp:127.0.0.1:5060\"\n", 2, &["expected a list of texts, found string"]),
    ("[sip]\nlisten = []\n", 2, &["the list is empty", "write [\"udp:127.0.0.1:5060\"]"]),
    ("[sip]\nlisten = [5060]\n", 2, &["expected texts in quotes"]),
    ("[sip]\nlisten = [\"127.0.0.1\"]\n", 2, &["write \"udp:192.0.2.1:5060\""]),
    ("[sip]\nlisten = [\"tls:127.0.0.1:5061\"]\n", 2, &["tls_certificate_file and tls_key_file"]),
    ("[sip]\nlisten = [\"sctp:127.0.0.1:5061\"]\n", 2, &["unknown transport \"sctp\""]),
    ("[sip]\nlisten = [\"udp:0.0.0.0:5060\"]\n", 2, &["as 203.0.113.7"]),
    ("[sip]\nlisten = [\"udp:10.0.0.1:5060 as me\"]\n", 2, &["\"me\" after \"as\" is no address"]),
    (
        "[sip]\nlisten = [\"udp:10.0.0.1:5060\", \"udp:10.0.0.1:5060\"]\n",
        2,
        &["appears twice", "remove one"],
    ),
    ("[sip]\nunknown = \"dropp\"\n", 2, &["\"dropp\" is none of", "did you mean drop?"]),
    ("[sip]\ncalls_max = 0\n", 2, &["0 is out of range", "write 1 to 20000 calls"]),
    ("[sip]\ncalls_max = \"many\"\n", 2, &["expected a number, 1 to 20000 calls, found string"]),
    ("[sip]\nuser_agent = \"a\\r\\nVia: b\"\n", 2, &["control character", "remove it"]),
    ("[[sip]]\n", 1, &["sip is a section: write [sip]"]),
    ("[trunk]\nname = \"a\"\n", 1, &["write [[trunk]]"]),
    ("[[trunk]]\nsources = [\"10.0.0.1\"]\n", 1, &["name is missing", "write name = \"local\""]),
    ("[[trunk]]\nname = \"a b\"\nsources = [\"::1\"]\n", 2, &["use 1 to 64 letters"]),
    ("[[trunk]]\nname = \"a\"\n", 1, &["nobody can use this trunk", "add sources"]),
    (
        "[[trunk]]\nname = \"a\"\nsources = [\"10.0.0.0/33\"]\n",
        3,
        &["trunk \"a\": sources: \"10.0.0.0/33\"", "such as 192.0.2.0/24"],
    ),
    ("[[trunk]]\nname = \"a\"\nusers = [\"secret\"]\n", 3, &["expected \"name:password\""]),
    ("[[trunk]]\nname = \"a\"\nusers = [\"u:p\"]\n", 3, &["need [sip] unknown = \"challenge\""]),
    (
        "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\nrequire_both = true\n",
        4,
        &["needs sources and users"],
    ),
    (
        "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n",
        5,
        &["another [[trunk]] has this name"],
    ),
    (
        "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\ncodecs = [\"g729\"]\n",
        4,
        &["\"g729\" is none of: opus, g722, pcmu, pcma", "did you mean g722?"],
    ),
    ("[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\ncodecs = []\n", 4, &["the list is empty"]),
    ("[[trunk]]\nname = \"a\"\npeer = \"pbx:\"\n", 3, &["write \"192.0.2.10:5060\""]),
    ("[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\nqualify_s = 30\n", 4, &["add peer or write 0"]),
    (
        "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\nsession_expires_s = 60\n",
        4,
        &["no less than 90"],
    ),
    (
        "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\nlanguage = \"pt\"\n",
        4,
        &["\"pt\" is none of: en, id, pt-BR, ru"],
    ),
    (
        "[rtp]\nports = \"20000-19000\"\n",
        2,
        &["\"20000-19000\": last port is not above the first", "write \"20000-20999\""],
    ),
    ("[rtp]\nports = \"1000-9000\"\n", 2, &["below 1024"]),
    ("[rtp]\nports = \"many\"\n", 2, &["write \"20000-20999\""]),
    (
        "[rtp]\nports = \"20000-20099\"\n",
        2,
        &["has room for 50 calls, [sip] calls_max is 1000", "write \"20000-21999\""],
    ),
    ("[rtp]\nadvertised = \"0.0.0.0\"\n", 2, &["cannot be reached", "203.0.113.7"]),
    ("[rtp]\nconference = \"bridge\"\n", 2, &["no IP address", "192.0.2.1"]),
    ("[rtp]\nconference = \"0.0.0.0\"\n", 2, &["write \"0.0.0.0 as 203.0.113.7\""]),
    ("[[did]]\nnumber = \"\"\n", 2, &["is empty", "\"*\" for any"]),
    ("[[did]]\nnumber = \"6*\"\ntrunk = \"b\"\n", 3, &["there is no [[trunk]] named \"b\""]),
    ("[[did]]\nnumber = \"6*\"\nask_pin = false\n", 3, &["false needs a room"]),
    ("[[did]]\nnumber = \"6*\"\nroom = \"a\\tb\"\n", 3, &["no control characters"]),
    ("[pin]\ndigits = 4\n", 2, &["4 is out of range", "6 to 12 digits"]),
    ("[pin]\nfile = \"\"\n", 2, &["write a file name"]),
    ("[pin]\nfile = \"x\"\nkey_file = \"x\"\n", 3, &["same file", "another name"]),
    ("[prompts]\ndir = \"gone\"\n", 2, &["/nowhere/gone is no folder", "create it"]),
    ("[http]\nlisten = \"8788\"\n", 2, &["write \"127.0.0.1:8788\""]),
    (
        "[http]\nlisten = \"0.0.0.0:8788\"\n",
        2,
        &["can be reached from outside", "add token_file", "127.0.0.1:8788"],
    ),
    ("[http]\ntoken_file = \"gone\"\n", 2, &["/nowhere/gone", "16 characters"]),
    ("[cdr]\nnumbers = \"plain\"\n", 2, &["none of: hash, masked, full"]),
    ("[cdr]\nsync = true\n", 2, &["expected one of \"each\", \"none\", found boolean"]),
    ("[cdr]\nfile = \"a\"\nfile = \"b\"\n", 3, &["not TOML"]),
];

#[test]
fn each_mistake_has_its_line_and_its_remedy() {
    for (text, line, expected) in MISTAKES {
        // The trunk that every configuration needs stands below, so that lines stay as written.
        let text =
            if text.contains("trunk]") { (*text).to_owned() } else { format!("{text}{TRUNK}") };
        let found = complaints(&text);
        let at = format!("weebee.toml:{line}: ");
        let hit = found.lines().any(|found| {
            found.starts_with(&at) && expected.iter().all(|part| found.contains(part))
        });
        assert!(hit, "\n{text}\nexpected {at}{expected:?}, found\n{found}");
    }
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_lines() {
    let text = "[sip]\ncalls_max = 0\nlissten = []\n[rtp]\nports = \"9-8\"\n[pin]\ndigits = 99\n";
    let found = complaints(text);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 5, "{found}");
    for (line, at) in lines.iter().zip(["weebee.toml: no [[trunk]]", ":2:", ":3:", ":5:", ":7:"]) {
        assert!(line.contains(at), "{at} in {found}");
    }
}

#[test]
fn a_password_is_never_repeated() {
    let text =
        "[[trunk]]\nname = \"a\"\nusers = [\"hunter2secret\"]\ncredentials = \"hunter2secret\"\n";
    assert!(!complaints(text).contains("hunter2secret"));
    let text =
        "[sip]\nunknown = \"challenge\"\n[[trunk]]\nname = \"a\"\nusers = [\"u:hunter2secret\"]\n";
    let config = judge(text).expect("valid");
    assert!(!format!("{config:?}").contains("hunter2secret"));
}

#[test]
fn nat_listeners_name_what_others_use() {
    let text = format!(
        "[sip]\nlisten = [\"udp:0.0.0.0:5070 as 203.0.113.7\"]\n[rtp]\nadvertised = \"203.0.113.8\"\n{TRUNK}"
    );
    let config = judge(&text).expect("valid");
    let listener = &config.sip.listeners[0];
    assert_eq!(listener.advertised, Some("203.0.113.7:5070".parse().expect("address")));
    assert_eq!(listener.advertised_media, Some("203.0.113.8".parse().expect("address")));
}

#[test]
fn bridges_may_be_reached_from_another_address_than_phones() {
    let addresses = |text: &str| {
        let text = format!("[rtp]\nconference = \"{text}\"\n{TRUNK}");
        let found = judge(&text).expect("valid").rtp.conference;
        (found.bind.map(|ip| ip.to_string()), found.advertised.map(|ip| ip.to_string()))
    };
    assert_eq!(addresses(""), (None, None));
    assert_eq!(addresses("10.77.0.1"), (Some("10.77.0.1".into()), None));
    let behind_nat = (Some("0.0.0.0".into()), Some("203.0.113.7".into()));
    assert_eq!(addresses("0.0.0.0 as 203.0.113.7"), behind_nat);
}

#[test]
fn exceptions_of_rooms_inherit_what_they_do_not_say() {
    let text = format!(
        "[room]\nmembers_max = 7\n[[room_policy]]\nname = \"board-*\"\nwait_for_host = true\n{TRUNK}"
    );
    let config = judge(&text).expect("valid");
    let policy = |name: &str| config.rooms.rules(&RoomName::new(name).expect("name")).policy;
    assert_eq!(policy("Board-Of-Tea").before_host, BeforeHost::Hold);
    assert_eq!(policy("board-x").members_max, 7);
    assert_eq!(policy("tea").before_host, BeforeHost::Join);
}

#[test]
fn numbers_have_languages_rooms_and_standing() {
    let text = format!(
        "{TRUNK}[[did]]\nnumber = \"61?\"\nroom = \"Tea\"\nask_pin = false\nlanguage = \"id\"\nrole = \"host\"\n"
    );
    let config = judge(&text).expect("valid");
    let did = &config.dids[0];
    assert_eq!(did.room.as_ref().map(RoomName::as_str), Some("tea"));
    assert_eq!(did.language, Some(Language::Id));
    assert!(did.number.matches("612"));
}

#[test]
fn the_reference_page_is_fresh() {
    let page = include_str!("../../../docs/config.md");
    assert!(
        page == docgen::reference_page(),
        "docs/config.md is stale: run `cargo run -p gateway-daemon -- config --reference > docs/config.md`"
    );
}

#[test]
fn what_guests_do_without_a_host_is_said_by_the_nearest_key() {
    let before = |keys: &str| {
        let text = format!("{keys}\n{TRUNK}");
        let config = judge(&text).expect("legal");
        let rules = config.rooms.rules(&RoomName::new("board").expect("name"));
        (rules.policy.before_host, rules.policy.knocks)
    };
    let named = |room: &str, policy: &str| {
        before(&format!("[room]\n{room}\n[[room_policy]]\nname = \"board\"\n{policy}"))
    };
    use BeforeHost::{Hold, Join, Refuse};
    assert_eq!(before("").0, Join);
    assert_eq!(named("wait_for_host = true", "").0, Hold, "as before there was a newer key");
    assert_eq!(named("before_host = \"refuse\"", "").0, Refuse);
    assert_eq!(named("before_host = \"refuse\"", "wait_for_host = true").0, Hold);
    assert_eq!(named("wait_for_host = true", "before_host = \"join\"").0, Join);
    assert!(named("", "").1);
    assert!(!named("lobby = \"refuse\"", "").1);
}

#[test]
fn a_database_and_who_may_mint() {
    use crate::pin::mint::Issuer;
    let text = format!(
        "[pin]\ndatabase = \"postgresql://weebee@db.test:5433/pins\"\n\
         [[room_policy]]\nname = \"board*\"\nmint = [\"cli\"]\nlabel = \"none\"\nlanguage = \"ru\"\n{TRUNK}"
    );
    let config = judge(&text).expect("legal");
    let database = config.pin.database.as_ref().expect("given");
    assert_eq!(database.place, "db.test/pins");
    let rules = |room: &str| config.rooms.rules(&RoomName::new(room).expect("name"));
    assert_eq!(rules("board 7").mint, [Issuer::Cli]);
    assert_eq!(rules("board 7").language, Some(Language::Ru));
    assert_eq!(rules("tea").mint, Issuer::ALL);
    assert_eq!(rules("tea").language, None);
}
