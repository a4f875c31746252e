//! Every key of the configuration, declared once: name, kind, range, default and why it exists.
//!
//! A knob exists because two people need two values; each says what gets better and worse at its ends.

use super::agi::AGI;
use super::api::API;
use super::audit::AUDIT;
use super::brewery::BREWERY;
use super::browser::BROWSER;
use super::compat::JIGASI;
use super::dial_in::{DIAL_IN, DIAL_IN_NUMBER};
use super::dial_out::{DIAL_OUT, DIAL_OUT_RULE};
use super::hooks::HOOKS;
use super::jitsi::JITSI;
use super::pins::PIN;
use super::rocketchat::ROCKETCHAT;
use super::rooms::{ROOM, ROOM_POLICY};
use super::trunk::TRUNK;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Free text.
    Text,
    /// A list of texts.
    Texts,
    /// A whole number within bounds, with its unit.
    Whole {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// Unit, empty for a plain count.
        unit: &'static str,
    },
    /// `true` or `false`.
    Flag,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list of some of these texts, in order of preference.
    SomeOf(&'static [&'static str]),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct KeyDecl {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Default, as TOML; `None`: must be given.
    pub default: Option<&'static str>,
    /// Value in the generated example where the default would show nothing, as TOML.
    pub example: Option<&'static str>,
    /// Meaning, and what gets better and worse.
    pub why: &'static str,
}

/// One section.
#[derive(Clone, Copy, Debug)]
pub struct SectionDecl {
    /// `[name]`, or `[[name]]` if `many`.
    pub name: &'static str,
    /// May appear several times.
    pub many: bool,
    /// Written as a comment in the generated default.
    pub commented: bool,
    /// What it is about.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [KeyDecl],
}

impl SectionDecl {
    /// The declaration of a key.
    pub fn key(&self, name: &str) -> Option<&'static KeyDecl> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The declaration of a section.
pub fn section(name: &str) -> Option<&'static SectionDecl> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// Codes of the languages we speak.
pub const LANGUAGES: &[&str] = &["en", "id", "pt-BR", "ru"];
pub(super) const LANGUAGE_OR_NONE: &[&str] = &["", "en", "id", "pt-BR", "ru"];
/// Names of the codecs we speak.
pub const CODECS: &[&str] = &["opus", "g722", "pcmu", "pcma"];

pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    why: &'static str,
) -> KeyDecl {
    KeyDecl { name, kind, default: Some(default), example: None, why }
}

pub(super) const fn needed(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    why: &'static str,
) -> KeyDecl {
    KeyDecl { name, kind, default: None, example: Some(example), why }
}

pub(super) const fn shown(decl: KeyDecl, example: &'static str) -> KeyDecl {
    KeyDecl { example: Some(example), ..decl }
}

pub(super) const fn whole(min: i64, max: i64, unit: &'static str) -> Kind {
    Kind::Whole { min, max, unit }
}

/// All sections, in the order people read them.
pub const SECTIONS: &[SectionDecl] = &[
    SIP,
    TRUNK,
    RTP,
    DID,
    PIN,
    ROOM,
    ROOM_POLICY,
    JITSI,
    BREWERY,
    DIAL_OUT,
    DIAL_OUT_RULE,
    ROCKETCHAT,
    PROMPTS,
    HTTP,
    API,
    JIGASI,
    BROWSER,
    DIAL_IN,
    DIAL_IN_NUMBER,
    AGI,
    HOOKS,
    CDR,
    AUDIT,
    LOG,
];

const SIP: SectionDecl = SectionDecl {
    name: "sip",
    many: false,
    commented: false,
    about: "Where phones and PBXs reach the gateway.",
    keys: &[
        key(
            "listen",
            Kind::Texts,
            r#"["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]"#,
            "Transport, address and port of each listener: \"udp:192.0.2.1:5060\", \"tcp:[2001:db8::1]:5060\", \
             \"tls:192.0.2.1:5061\". Behind NAT add what others must use: \"udp:10.0.0.5:5060 as 203.0.113.7:5060\". An Asterisk on the same host \
             owns 5060: take 5070 then.",
        ),
        key(
            "unknown",
            Kind::OneOf(&["drop", "challenge"]),
            r#""drop""#,
            "What a source that is no trunk gets. \"drop\": nothing at all, so that scanners see no gateway. \
             \"challenge\": a digest challenge, for phones that call from any address.",
        ),
        key(
            "unmatched",
            Kind::OneOf(&["ask", "refuse"]),
            r#""ask""#,
            "A dialled number without a [[did]]: \"ask\" answers and asks for a PIN, \"refuse\" says 404.",
        ),
        key(
            "calls_max",
            whole(1, 20_000, "calls"),
            "1000",
            "Calls at once. Above it a new call gets 503 with Retry-After, so that those in progress keep their sound.",
        ),
        key(
            "retry_after_s",
            whole(1, 3_600, "s"),
            "10",
            "Seconds in Retry-After of that 503. Short: callers come back soon, all at once. Long: they go elsewhere.",
        ),
        key(
            "call_length_max_min",
            whole(1, 10_080, "min"),
            "240",
            "Longest call; then it ends with words. Guards against forgotten lines that cost money all night.",
        ),
        key(
            "drain_s",
            whole(0, 86_400, "s"),
            "30",
            "At shutdown (SIGTERM): how long calls in progress may go on. New ones are refused meanwhile.",
        ),
        key("user_agent", Kind::Text, r#""WeeBee""#, "Text of User-Agent and Server."),
        key(
            "tls_certificate_file",
            Kind::Text,
            r#""""#,
            "Certificate (PEM, with its chain) of \"tls:\" listeners. Read at the start.",
        ),
        key("tls_key_file", Kind::Text, r#""""#, "Its private key (PEM)."),
    ],
};

const RTP: SectionDecl = SectionDecl {
    name: "rtp",
    many: false,
    commented: false,
    about: "Sound.",
    keys: &[
        key(
            "ports",
            Kind::Text,
            r#""20000-21999""#,
            "First and last UDP port; a call takes two. Open them in the firewall; leave 10000 to a Jitsi bridge on \
             the same host.",
        ),
        key(
            "advertised",
            Kind::Text,
            r#""""#,
            "IP address written into SDP when it differs from the listener's (NAT). Empty: the listener's.",
        ),
        key(
            "conference",
            Kind::Text,
            r#""""#,
            "IP address of the ports towards conference bridges, `192.0.2.1` or behind NAT `0.0.0.0 as 203.0.113.7`. \
             Empty: as the SIP listener. Needed when phones reach the gateway over loopback: a Jitsi bridge ignores \
             that.",
        ),
        key(
            "timeout_s",
            whole(5, 3_600, "s"),
            "60",
            "A call from which no sound came for this long ends. Short: dead calls go soon. Long: phones that send \
             nothing while muted stay.",
        ),
    ],
};

const DID: SectionDecl = SectionDecl {
    name: "did",
    many: true,
    commented: true,
    about: "What a dialled number means. The first that matches counts.",
    keys: &[
        needed(
            "number",
            Kind::Text,
            r#""+6221555*""#,
            "Dialled number or name. `?` stands for one character, `*` for any rest.",
        ),
        key("trunk", Kind::Text, r#""""#, "Only for calls of this trunk. Empty: any."),
        key(
            "language",
            Kind::OneOf(LANGUAGE_OR_NONE),
            r#""""#,
            "Language of the words, unless the PIN says otherwise. Empty: the trunk's.",
        ),
        key(
            "room",
            Kind::Text,
            r#""""#,
            "The room this number belongs to. With `ask_pin` only PINs of this room are valid; without, callers enter \
             at once. Empty: the PIN names the room.",
        ),
        key(
            "backend",
            Kind::Text,
            r#""""#,
            "Where the rooms of this number are. Empty: as [room] and [[room_policy]] say for the room.",
        ),
        key(
            "ask_pin",
            Kind::Flag,
            "true",
            "Ask for a PIN. False needs `room`: anyone who dials gets in.",
        ),
        key(
            "role",
            Kind::OneOf(&["guest", "host"]),
            r#""guest""#,
            "Standing of callers who enter without a PIN.",
        ),
        key(
            "call_length_max_min",
            whole(0, 10_080, "min"),
            "0",
            "Longest call to this number. 0: as [sip] says.",
        ),
    ],
};

const PROMPTS: SectionDecl = SectionDecl {
    name: "prompts",
    many: false,
    commented: false,
    about: "Spoken words.",
    keys: &[
        key(
            "languages",
            Kind::SomeOf(LANGUAGES),
            r#"["en", "id", "pt-BR", "ru"]"#,
            "Languages made ready at the start, about 6 MB each. Others are made ready when first spoken.",
        ),
        key(
            "dir",
            Kind::Text,
            r#""""#,
            "Folder with recordings of your own, `en/enter-pin.wav` and so on: 16-bit mono WAV. What is not there \
             comes from the binary.",
        ),
    ],
};

const HTTP: SectionDecl = SectionDecl {
    name: "http",
    many: false,
    commented: false,
    about: "Health, metrics and the list of calls.",
    keys: &[
        key(
            "listen",
            Kind::Text,
            r#""127.0.0.1:8788""#,
            "Address and port; empty: no HTTP. Other than loopback needs `token_file`.",
        ),
        key(
            "token_file",
            Kind::Text,
            r#""""#,
            "File with a bearer token of at least 16 characters that requests must carry. Empty: none.",
        ),
        key(
            "rooms",
            Kind::OneOf(&["hash", "name"]),
            r#""hash""#,
            "How /calls and the logs show rooms: \"hash\" hides the name, \"name\" shows it.",
        ),
    ],
};

const CDR: SectionDecl = SectionDecl {
    name: "cdr",
    many: false,
    commented: false,
    about: "Call records: one JSON line per call.",
    keys: &[
        key("file", Kind::Text, r#""weebee-cdr.jsonl""#, "The file, appended to. Empty: none."),
        key(
            "sync",
            Kind::OneOf(&["each", "none"]),
            r#""none""#,
            "\"each\": on the disk before the next one is written; survives a power cut. \"none\": the system writes \
             when it likes; cheaper.",
        ),
        key(
            "numbers",
            Kind::OneOf(&["hash", "masked", "full"]),
            r#""masked""#,
            "Telephone numbers in records: \"hash\" a keyed hash, \"masked\" +62 *** 47, \"full\" as they are.",
        ),
        key(
            "rooms",
            Kind::OneOf(&["hash", "name"]),
            r#""name""#,
            "Rooms in records: a keyed hash, or the name.",
        ),
    ],
};

const LOG: SectionDecl = SectionDecl {
    name: "log",
    many: false,
    commented: false,
    about: "Log on standard error. No PIN, number or name is ever logged.",
    keys: &[
        key(
            "filter",
            Kind::Text,
            r#""info""#,
            "Levels by module: \"info\", \"info,gateway_core::sip=debug\".",
        ),
        key(
            "format",
            Kind::OneOf(&["text", "json"]),
            r#""text""#,
            "Lines for people or for machines.",
        ),
    ],
};
