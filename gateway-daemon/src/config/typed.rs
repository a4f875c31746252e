//! The configuration as types that cannot be wrong. [`build`] judges what spans several keys: sources and users,
//! addresses and tokens, numbers of ports and calls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::gateway::ConferenceAddresses;
use gateway_core::io::xmpp::tls::certificates;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;
use gateway_core::sip::trunk::{ListenerConfig, SipTransport, UnknownSource};

use super::Mistakes;
use super::account::add_ways;
use super::agi::Agi;
use super::api::Api;
use super::audit::Audit;
use super::brewery::Brewery;
use super::browser::Browser;
use super::compat::Compat;
use super::dial_in::DialIn;
use super::dial_out::DialOut;
use super::hooks::Hooks;
use super::jitsi::Jitsi;
use super::number::Pattern;
pub use super::pins::PinSettings;
use super::raw::{Raw, Section};
use super::rocketchat::RocketChat;
pub use super::rooms::{RoomRules, Rooms};
use super::secrets::Secrets;
use super::trunk::Trunk;
use super::values::{
    advertised_ip, conference_addresses, count, language, listener, minutes, ports, room_name,
    showing, socket_address,
};
use crate::check::Finding;
use crate::rocketchat::Origin;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[sip]`.
    pub sip: Sip,
    /// `[[trunk]]`, in the order of their ids.
    pub trunks: Vec<Trunk>,
    /// `[rtp]`.
    pub rtp: Rtp,
    /// `[[did]]`, first match first.
    pub dids: Vec<Did>,
    /// `[pin]`.
    pub pin: PinSettings,
    /// `[room]` and `[[room_policy]]`.
    pub rooms: Rooms,
    /// `[[conference.jitsi]]`, in the order of their sites.
    pub jitsi: Vec<Jitsi>,
    /// `[[brewery]]`.
    pub breweries: Vec<Brewery>,
    /// `[dial_out]` and `[[dial_out_rule]]`.
    pub dial_out: DialOut,
    /// `[[rocketchat]]`.
    pub rocketchat: Vec<RocketChat>,
    /// `[prompts]`.
    pub prompts: Prompts,
    /// `[http]`.
    pub http: Http,
    /// `[api]`, where a token is given.
    pub api: Option<Api>,
    /// `[jigasi]`.
    pub compat: Compat,
    /// `[browser]`, where it is enabled.
    pub browser: Option<Browser>,
    /// `[dial_in]`, where it is enabled.
    pub dial_in: Option<DialIn>,
    /// `[agi]`, where it listens.
    pub agi: Option<Agi>,
    /// `[hooks]`, where an address is given.
    pub hooks: Option<Hooks>,
    /// `[cdr]`.
    pub cdr: Cdr,
    /// `[audit]`.
    pub audit: Audit,
    /// `[log]`.
    pub log: Log,
    /// What became of another program's configuration that this one was made from.
    pub notes: Vec<Finding>,
}

/// `[sip]`.
#[derive(Clone, Debug)]
pub struct Sip {
    /// Listeners, in the order of their ids.
    pub listeners: Vec<ListenerConfig>,
    /// What strangers get.
    pub unknown: UnknownSource,
    /// A number without a `[[did]]`: ask for a PIN (true) or refuse.
    pub ask_unmatched: bool,
    /// Calls at once.
    pub calls_max: usize,
    /// Retry-After of the 503.
    pub retry_after: Duration,
    /// Longest call.
    pub call_length_max: Duration,
    /// Patience at shutdown.
    pub drain: Duration,
    /// User-Agent and Server.
    pub user_agent: String,
    /// Certificate and key of TLS listeners.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// `[rtp]`.
#[derive(Clone, Debug)]
pub struct Rtp {
    /// First and last port.
    pub ports: (u16, u16),
    /// Addresses towards conference bridges.
    pub conference: ConferenceAddresses,
    /// Silence that ends a call.
    pub timeout: Duration,
}

/// `[[did]]`.
#[derive(Clone, Debug)]
pub struct Did {
    /// Dialled number.
    pub number: Pattern,
    /// Only for this trunk.
    pub trunk: Option<String>,
    /// Language.
    pub language: Option<Language>,
    /// Its room.
    pub room: Option<RoomName>,
    /// Ask for a PIN.
    pub ask_pin: bool,
    /// Standing without a PIN.
    pub role: Role,
    /// Longest call.
    pub length_max: Option<Duration>,
    /// Where its rooms are; `None`: as the room says.
    pub backend: Option<String>,
}

/// `[prompts]`.
#[derive(Clone, Debug)]
pub struct Prompts {
    /// Languages in memory.
    pub languages: Vec<Language>,
    /// Recordings of the owner.
    pub dir: Option<PathBuf>,
}

/// How something personal is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// A keyed hash.
    Hash,
    /// Its beginning and end.
    Masked,
    /// As it is.
    Full,
}

/// `[http]`.
#[derive(Clone, Debug)]
pub struct Http {
    /// Address; `None`: no HTTP.
    pub listen: Option<SocketAddr>,
    /// File of the bearer token.
    pub token_file: Option<PathBuf>,
    /// Room names.
    pub rooms: Showing,
}

/// `[cdr]`.
#[derive(Clone, Debug)]
pub struct Cdr {
    /// The file; `None`: no records.
    pub file: Option<PathBuf>,
    /// Each line is on the disk before the next.
    pub sync_each: bool,
    /// Telephone numbers.
    pub numbers: Showing,
    /// Room names.
    pub rooms: Showing,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// Filter.
    pub filter: String,
    /// JSON lines.
    pub json: bool,
}

/// Judges what was read. `None` only together with a mistake.
pub fn build(
    raw: &Raw,
    folder: &Path,
    secrets: &Secrets,
    mistakes: &mut Mistakes,
) -> Option<Config> {
    let mut judge = Judge { mistakes, folder, secrets };
    let trunks: Vec<Option<Trunk>> =
        raw.many("trunk").map(|section| judge.trunk(section)).collect();
    let dids: Vec<Option<Did>> = raw.many("did").map(|section| judge.did(section, raw)).collect();
    let rtp = judge.rtp(raw);
    let sip = judge.sip(raw);
    let pin = judge.pin(raw.one("pin"));
    let rooms = judge.rooms(raw);
    let http = judge.http(raw.one("http"));
    let api = judge.api(raw);
    let compat = judge.compat(raw);
    let browser = judge.browser(raw);
    let dial_in = judge.dial_in(raw);
    let hooks = judge.hooks(raw);
    let agi = judge.agi(raw);
    let jitsi = judge.conferences(raw);
    let breweries = judge.breweries(raw);
    let dial_out = judge.dial_out(raw);
    let rocketchat = judge.workspaces(raw);
    let prompts = judge.prompts(raw.one("prompts"));
    judge.together(raw);
    let rooms = rooms.zip(rocketchat.as_ref());
    let rooms = rooms.map(|(rooms, workspaces)| with_workspaces(rooms, workspaces));
    let (mut sip, mut trunks) = (sip?, trunks.into_iter().collect::<Option<Vec<Trunk>>>()?);
    add_ways(&mut sip.listeners, &mut trunks);
    Some(Config {
        sip,
        trunks,
        rtp: rtp?,
        dids: dids.into_iter().collect::<Option<_>>()?,
        pin: pin?,
        rooms: rooms?,
        jitsi: jitsi?,
        breweries: breweries?,
        dial_out: dial_out?,
        rocketchat: rocketchat?,
        prompts,
        http: http?,
        api: api?,
        compat: compat?,
        browser: browser?,
        dial_in: dial_in?,
        hooks: hooks?,
        agi: agi?,
        cdr: judge.cdr(raw.one("cdr")),
        audit: judge.audit(raw.one("audit")),
        log: log(raw.one("log")),
        notes: Vec::new(),
    })
}

pub(super) struct Judge<'a> {
    pub(super) mistakes: &'a mut Mistakes,
    pub(super) folder: &'a Path,
    pub(super) secrets: &'a Secrets,
}

impl Judge<'_> {
    pub(super) fn say(&mut self, section: &Section, key: &str, what: impl std::fmt::Display) {
        let text = format!("{}: {key}: {what}", section.title());
        self.mistakes.add(section.at(key), text);
    }

    /// Keeps a good value, reports a bad one.
    pub(super) fn keep<T>(
        &mut self,
        section: &Section,
        key: &str,
        value: Result<T, String>,
    ) -> Option<T> {
        value.map_err(|what| self.say(section, key, what)).ok()
    }

    pub(super) fn path(&self, section: &Section, key: &str) -> Option<PathBuf> {
        let text = section.text(key);
        (!text.is_empty()).then(|| self.folder.join(text))
    }

    fn sip(&mut self, raw: &Raw) -> Option<Sip> {
        let section = raw.one("sip");
        let rtp = raw.one("rtp");
        let advertised_media = match rtp.text("advertised") {
            "" => Some(None),
            text => self.keep(rtp, "advertised", advertised_ip(text).map(Some)),
        };
        let mut listeners = Vec::new();
        for text in section.texts("listen") {
            let listener = listener(text, advertised_media.flatten());
            listeners.extend(self.keep(section, "listen", listener));
        }
        if section.texts("listen").is_empty() {
            self.say(section, "listen", "the list is empty; write [\"udp:127.0.0.1:5060\"]");
        }
        for (at, listener) in listeners.iter().enumerate() {
            let same = |other: &ListenerConfig| {
                other.bind == listener.bind && other.transport == listener.transport
            };
            if listener.bind.port() != 0 && listeners.iter().skip(at + 1).any(same) {
                let what = format!("{} appears twice; remove one", listener.bind);
                self.say(section, "listen", what);
            }
        }
        advertised_media?;
        let certificate = self.certificate(section, &listeners);
        Some(Sip {
            certificate,
            listeners,
            unknown: match section.text("unknown") {
                "challenge" => UnknownSource::Challenge,
                _ => UnknownSource::Drop,
            },
            ask_unmatched: section.text("unmatched") == "ask",
            calls_max: count(section.whole("calls_max")),
            retry_after: Duration::from_secs(section.whole("retry_after_s")),
            call_length_max: minutes(section.whole("call_length_max_min")),
            drain: Duration::from_secs(section.whole("drain_s")),
            user_agent: self.header_text(section, "user_agent"),
        })
    }

    /// Certificate and key of TLS listeners.
    fn certificate(
        &mut self,
        section: &Section,
        listeners: &[ListenerConfig],
    ) -> Option<(PathBuf, PathBuf)> {
        let is_tls = listeners.iter().any(|listener| listener.transport == SipTransport::Tls);
        let certificate = self.path(section, "tls_certificate_file");
        let key = self.path(section, "tls_key_file");
        if let Some(Err(problem)) = certificate.as_deref().map(certificates) {
            self.say(section, "tls_certificate_file", problem);
        }
        if let Some(Err(error)) = key.as_deref().map(std::fs::metadata) {
            self.say(section, "tls_key_file", error);
        }
        if is_tls && (certificate.is_none() || key.is_none()) {
            let what = "a \"tls:\" listener needs tls_certificate_file and tls_key_file; add them";
            self.say(section, "listen", what);
        }
        certificate.zip(key)
    }

    /// Text that goes into a header: one line, no control characters.
    pub(super) fn header_text(&mut self, section: &Section, key: &str) -> String {
        let text = section.text(key);
        if text.chars().any(char::is_control) {
            self.say(section, key, "contains a line break or control character; remove it");
        }
        text.to_owned()
    }

    fn rtp(&mut self, raw: &Raw) -> Option<Rtp> {
        let section = raw.one("rtp");
        let ports = self.keep(section, "ports", ports(section.text("ports")))?;
        let pairs = u64::from(ports.1 - ports.0).div_ceil(2);
        let browser = raw.one("browser");
        let browsers = if browser.flag("enabled") { browser.whole("browsers_max") } else { 0 };
        let calls = raw.one("sip").whole("calls_max") + browsers;
        if pairs < calls {
            let last = u64::from(ports.0) + calls * 2 - 1;
            let remedy = match last {
                ..=65_535 => format!("write \"{}-{last}\"", ports.0),
                _ => "start lower".to_owned(),
            };
            let limit = match browsers {
                0 => "[sip] calls_max",
                _ => "[sip] calls_max with [browser] browsers_max",
            };
            let what = format!(
                "{:?} has room for {pairs} calls, {limit} is {calls}; {remedy}, or lower calls_max",
                section.text("ports"),
            );
            self.say(section, "ports", what);
        }
        let conference = conference_addresses(section.text("conference"));
        let conference = self.keep(section, "conference", conference)?;
        Some(Rtp { ports, conference, timeout: Duration::from_secs(section.whole("timeout_s")) })
    }

    fn did(&mut self, section: &Section, raw: &Raw) -> Option<Did> {
        let number = Pattern::new(section.text("number"));
        if number.is_none() && section.given("number") {
            self.say(section, "number", "is empty; write the dialled number, or \"*\" for any");
        }
        let trunk = Some(section.text("trunk")).filter(|name| !name.is_empty());
        if let Some(name) = trunk.filter(|name| !raw.many("trunk").any(|t| t.text("name") == *name))
        {
            self.say(section, "trunk", format!("there is no [[trunk]] named {name:?}"));
        }
        let room = match section.text("room") {
            "" => Some(None),
            text => self.keep(section, "room", room_name(text).map(Some)),
        };
        let ask_pin = section.flag("ask_pin");
        if !ask_pin && section.text("room").is_empty() {
            self.say(section, "ask_pin", "false needs a room; add room = \"tea\" or ask for a PIN");
        }
        Some(Did {
            number: number?,
            trunk: trunk.map(str::to_owned),
            language: language(section.text("language")),
            room: room?,
            ask_pin,
            role: if section.text("role") == "host" { Role::Host } else { Role::Guest },
            length_max: Some(section.whole("call_length_max_min")).filter(|n| *n > 0).map(minutes),
            backend: Some(section.text("backend").to_owned()).filter(|name| !name.is_empty()),
        })
    }

    fn prompts(&mut self, section: &Section) -> Prompts {
        let dir = self.path(section, "dir");
        if let Some(dir) = dir.as_ref().filter(|dir| !dir.is_dir()) {
            let what = format!("{} is no folder; create it, or write \"\"", dir.display());
            self.say(section, "dir", what);
        }
        let languages = section.texts("languages").iter().filter_map(|code| language(code));
        Prompts { languages: languages.collect(), dir }
    }

    fn http(&mut self, section: &Section) -> Option<Http> {
        let listen = match section.text("listen") {
            "" => None,
            text => Some(self.keep(section, "listen", socket_address(text, "127.0.0.1:8788"))?),
        };
        let token_file = self.path(section, "token_file");
        if let Some(address) = listen.filter(|address| !address.ip().is_loopback())
            && token_file.is_none()
        {
            let what = format!(
                "{address} can be reached from outside; add token_file, or write \"127.0.0.1:{}\"",
                address.port(),
            );
            self.say(section, "listen", what);
        }
        if let Some(file) = &token_file {
            let token = std::fs::read_to_string(file);
            match token {
                Ok(token) if token.trim().len() >= 16 => {}
                Ok(_) => self.say(
                    section,
                    "token_file",
                    format!(
                        "{}: the token is shorter than 16 characters; make a longer one",
                        file.display()
                    ),
                ),
                Err(error) => self.say(
                    section,
                    "token_file",
                    format!(
                        "{}: {error}; put a random token of 16 characters or more there",
                        file.display()
                    ),
                ),
            }
        }
        Some(Http { listen, token_file, rooms: showing(section.text("rooms")) })
    }

    fn cdr(&self, section: &Section) -> Cdr {
        Cdr {
            file: self.path(section, "file"),
            sync_each: section.text("sync") == "each",
            numbers: showing(section.text("numbers")),
            rooms: showing(section.text("rooms")),
        }
    }

    /// What spans sections.
    fn together(&mut self, raw: &Raw) {
        let trunks: Vec<&Section> = raw.many("trunk").collect();
        if trunks.is_empty() {
            let text = "no [[trunk]]: nobody may call; add [[trunk]], name = \"local\", \
                        sources = [\"127.0.0.0/8\"]";
            self.mistakes.add(0, text);
        }
        for (at, trunk) in trunks.iter().enumerate() {
            let name = trunk.text("name");
            if trunks.iter().take(at).any(|other| other.text("name") == name && !name.is_empty()) {
                self.say(trunk, "name", "another [[trunk]] has this name; choose a new one");
            }
            let by_users_alone =
                trunk.texts("sources").is_empty() && !trunk.texts("users").is_empty();
            if by_users_alone && raw.one("sip").text("unknown") == "drop" {
                let what = "users without sources need [sip] unknown = \"challenge\"; set it, or add sources";
                self.say(trunk, "users", what);
            }
        }
        let pin = raw.one("pin");
        if pin.text("file") == pin.text("key_file") {
            self.say(pin, "key_file", "is the same file as `file`; write another name");
        }
    }
}

/// Rooms of a workspace's calls are on its Jitsi, where no `[[room_policy]]` says otherwise.
fn with_workspaces(mut rooms: Rooms, workspaces: &[RocketChat]) -> Rooms {
    for workspace in workspaces {
        let Origin { prefix, suffix, .. } = &workspace.origin;
        let backend = workspace.jitsi.clone();
        let rules = RoomRules { backend, ..rooms.usual.clone() };
        rooms.named.extend(Pattern::new(&format!("{prefix}*{suffix}")).map(|name| (name, rules)));
    }
    rooms
}

fn log(section: &Section) -> Log {
    Log { filter: section.text("filter").to_owned(), json: section.text("format") == "json" }
}
