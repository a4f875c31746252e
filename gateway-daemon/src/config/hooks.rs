//! `[hooks]`: who is asked where a call may go, and who is told what happens.

use std::path::PathBuf;
use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::io::xmpp::{Trust, WebAddress};

use super::api::secret_of;
use super::raw::{Raw, Section};
use super::schema::{Kind, SectionDecl, key, shown, whole};
use super::typed::{Judge, Showing};
use super::values::{count, showing};

/// Events that may be told, by their names.
pub const EVENTS: &[&str] = &[
    "call_started",
    "call_joined",
    "call_left",
    "call_ended",
    "quality",
    "guesser_locked_out",
    "meeting_started",
    "meeting_ended",
];

/// Its keys.
pub(super) const HOOKS: SectionDecl = SectionDecl {
    name: "hooks",
    many: false,
    commented: false,
    about: "HTTP requests to programs of yours: where may this call go, and what has happened. `docs/hooks.md` has their \
            bodies.",
    keys: &[
        shown(
            key(
                "route_url",
                Kind::Text,
                r#""""#,
                "Asked for each call before its PIN is: room, PIN or refusal. Empty: nobody is.",
            ),
            r#""""#,
        ),
        key(
            "route_timeout_ms",
            whole(100, 8_000, "ms"),
            "2000",
            "How long a caller waits for its answer. Then `fallback` decides.",
        ),
        key(
            "route_cache_s",
            whole(0, 3_600, "s"),
            "0",
            "How long an answer is good for the same trunk, caller, number and headers. 0: every call asks.",
        ),
        key(
            "route_headers",
            Kind::Texts,
            "[]",
            "SIP headers of trusted trunks that it is told, without case: [\"X-Tenant\"]. Of `Jitsi-*`, `X-*`, Diversion, \
             History-Info and User-to-User.",
        ),
        key(
            "fallback",
            Kind::OneOf(&["dialplan", "refuse"]),
            r#""dialplan""#,
            "When it is silent or talks nonsense: \"dialplan\" goes on as without it, \"refuse\" ends the call with 503.",
        ),
        key("event_url", Kind::Text, r#""""#, "Told what happens. Empty: nobody is."),
        key(
            "events",
            Kind::SomeOf(EVENTS),
            r#"["call_started", "call_joined", "call_left", "call_ended", "quality", "guesser_locked_out", "meeting_started", "meeting_ended"]"#,
            "Which events it is told.",
        ),
        key(
            "event_queue",
            whole(10, 100_000, "events"),
            "1000",
            "Events that wait while nobody takes them; about 600 bytes each. Full: the oldest is lost, and counted.",
        ),
        key(
            "secret_file",
            Kind::Text,
            r#""""#,
            "File with the secret that signs every request. Needed with either address.",
        ),
        key(
            "ca_file",
            Kind::Text,
            r#""""#,
            "Certificates (PEM) believed beside those of the operating system.",
        ),
        key(
            "numbers",
            Kind::OneOf(&["hash", "masked", "full"]),
            r#""masked""#,
            "Telephone numbers in bodies: \"hash\" a keyed hash, \"masked\" +62 *** 47, \"full\" as they are, which deciding \
             by caller needs.",
        ),
        key(
            "rooms",
            Kind::OneOf(&["hash", "name"]),
            r#""name""#,
            "Rooms in bodies: a keyed hash, or the name.",
        ),
    ],
};

/// `[hooks]`, where an address is given.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// Line of the section.
    pub line: usize,
    /// Signs every request.
    pub secret: Pii<String>,
    /// Whom to believe.
    pub trust: Trust,
    /// Telephone numbers in bodies.
    pub numbers: Showing,
    /// Rooms in bodies.
    pub rooms: Showing,
    /// Who is asked.
    pub route: Option<RouteHook>,
    /// Who is told.
    pub event: Option<EventHook>,
}

/// Who is asked where a call may go.
#[derive(Clone, Debug)]
pub struct RouteHook {
    /// Address.
    pub address: WebAddress,
    /// Patience.
    pub timeout: Duration,
    /// Life of an answer.
    pub cache: Duration,
    /// Headers it is told.
    pub headers: Vec<String>,
    /// Silence ends the call.
    pub refuses: bool,
}

/// Who is told what happens.
#[derive(Clone, Debug)]
pub struct EventHook {
    /// Address.
    pub address: WebAddress,
    /// Which.
    pub events: Vec<String>,
    /// How many wait.
    pub queue: usize,
}

impl Judge<'_> {
    /// `None` inside: nobody is asked or told.
    pub(super) fn hooks(&mut self, raw: &Raw) -> Option<Option<Hooks>> {
        let section = raw.one("hooks");
        let before = self.mistakes.entries.len();
        let route = self.hook_address(section, "route_url");
        let event = self.hook_address(section, "event_url");
        let ca_file = self.ca_file(section);
        let secret = self.path(section, "secret_file").and_then(|file| {
            let secret = secret_of(&file);
            self.keep(section, "secret_file", secret)
        });
        let wants = !section.text("route_url").is_empty() || !section.text("event_url").is_empty();
        if wants && section.text("secret_file").is_empty() {
            let what = "is needed, so that programs know us; make it: (umask 077; openssl rand -hex 24 > hooks.secret)";
            self.say(section, "secret_file", what);
        }
        for name in section.texts("route_headers") {
            let legal = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
            if name.is_empty() || !name.chars().all(legal) {
                self.say(section, "route_headers", format!("{name:?} is no name of a header"));
            }
        }
        if event.is_some() && section.texts("events").is_empty() {
            self.say(section, "events", "the list is empty; remove it, or event_url");
        }
        (self.mistakes.entries.len() == before).then_some(())?;
        let Some(secret) = secret.filter(|_| wants) else { return Some(None) };
        Some(Some(Hooks {
            line: section.line,
            secret,
            trust: Trust { ca_file, ..Trust::default() },
            numbers: showing(section.text("numbers")),
            rooms: showing(section.text("rooms")),
            route: route.map(|address| RouteHook {
                address,
                timeout: Duration::from_millis(section.whole("route_timeout_ms")),
                cache: Duration::from_secs(section.whole("route_cache_s")),
                headers: section.texts("route_headers").to_vec(),
                refuses: section.text("fallback") == "refuse",
            }),
            event: event.map(|address| EventHook {
                address,
                events: section.texts("events").to_vec(),
                queue: count(section.whole("event_queue")),
            }),
        }))
    }

    fn hook_address(&mut self, section: &Section, key: &str) -> Option<WebAddress> {
        let url = section.text(key);
        if url.is_empty() {
            return None;
        }
        let address = WebAddress::parse(url).ok().filter(|_| url.starts_with("http"));
        let what =
            "is no web address; write \"https://hooks.example.org/weebee\", without user, ? and #";
        self.keep(section, key, address.ok_or_else(|| format!("{url:?} {what}")))
    }

    fn ca_file(&mut self, section: &Section) -> Option<PathBuf> {
        let file = self.path(section, "ca_file")?;
        let read = gateway_core::io::xmpp::tls::certificates(&file);
        self.keep(section, "ca_file", read).map(|_| file)
    }
}
