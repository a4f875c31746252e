//! `[[conference.jitsi]]`: a Jitsi deployment, as types. Passwords and tokens come from files or the environment, so that
//! the configuration can be shown to others.

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_core::base::ids::SiteId;
use gateway_core::base::pii::Pii;
use gateway_core::gateway::ROOM_BACKEND;
use gateway_core::io::xmpp::{
    Encryption, Transport, Trust, VisitorWays, WebAddress, XmppSite, tls,
};
use gateway_core::leg::backend::EmptyRoom;
use gateway_core::leg::jitsi::signal::settings::{JitsiSettings, PhoneIdentity};

use super::raw::{Raw, Section};
use super::schema::{Kind, SectionDecl, key, needed, whole};
use super::typed::Judge;
use super::values::{is_name, minutes};

/// Its keys.
pub(super) const JITSI: SectionDecl = SectionDecl {
    name: "conference.jitsi",
    many: true,
    commented: true,
    about: "A Jitsi deployment whose rooms phones may join. `docs/jitsi.md` has the other side: Prosody and Jicofo.",
    keys: &[
        needed(
            "name",
            Kind::Text,
            r#""jitsi""#,
            "Name of the backend, for `backend` of rooms and numbers.",
        ),
        key(
            "xmpp",
            Kind::Text,
            r#""tcp:127.0.0.1:5222""#,
            "The way to Prosody: \"tcp:HOST:5222\" (StartTLS), \"wss://HOST/xmpp-websocket\" for sites with tokens or \
             tenants, \"https://HOST/http-bind\" (BOSH) where nothing else is open.",
        ),
        needed(
            "domain",
            Kind::Text,
            r#""meet.example.org""#,
            "Main XMPP host of the deployment: VirtualHost in Prosody, `hosts.domain` in the web's config.js.",
        ),
        key(
            "account_domain",
            Kind::Text,
            r#""""#,
            "Host on which phones log in. Best one of their own that Jicofo trusts (`jicofo.xmpp.trusted-domains`): \
             otherwise a phone that comes first becomes moderator. Empty: `domain`.",
        ),
        key(
            "rooms",
            Kind::Text,
            r#""""#,
            "Host of the rooms: Component \"...\" \"muc\" in Prosody. Docker says muc.DOMAIN. Empty: conference.DOMAIN.",
        ),
        key(
            "domains",
            Kind::Texts,
            "[]",
            "Other hosts that headers of calls may use for this deployment: of its rooms, or its domain base.",
        ),
        key("focus", Kind::Text, r#""""#, "Address of Jicofo. Empty: focus.DOMAIN."),
        key(
            "account",
            Kind::OneOf(&["anonymous", "shared-secret", "one-account"]),
            r#""anonymous""#,
            "As whom phones come. \"shared-secret\": each call draws a user name, one password for all \
             (mod_auth_jitsi-shared-secret). \"one-account\": all calls share one address, so that who is kicked or \
             admitted is all of them.",
        ),
        key("user", Kind::Text, r#""""#, "User name of \"one-account\", without the host."),
        key(
            "conference_request",
            Kind::Text,
            r#""""#,
            "Where Jicofo is asked for a conference over HTTP: https://HOST/conference-request/v1. Empty: by XMPP.",
        ),
        key("password_file", Kind::Text, r#""""#, "File that holds the password."),
        key("password_env", Kind::Text, r#""""#, "Or: variable of the environment that holds it."),
        key(
            "token_file",
            Kind::Text,
            r#""""#,
            "File that holds a JSON Web Token, for sites that want one.",
        ),
        key("token_env", Kind::Text, r#""""#, "Or: variable of the environment that holds it."),
        key(
            "tls",
            Kind::OneOf(&["starttls", "off"]),
            r#""starttls""#,
            "On tcp: StartTLS, or nothing at all for a Prosody on this very machine.",
        ),
        key(
            "ca_file",
            Kind::Text,
            r#""""#,
            "Certificates (PEM) believed beside those of the system: Prosody's own, as \
             /etc/prosody/certs/meet.example.org.crt.",
        ),
        key(
            "tls_pins",
            Kind::Texts,
            "[]",
            "SHA-256 of Prosody's certificate. Then only this one is believed, whatever its name and age.",
        ),
        key(
            "tls_name",
            Kind::Text,
            r#""""#,
            "Name its certificate must carry. Empty: the account's host on tcp, the URL's host on the web.",
        ),
        key(
            "tls_insecure",
            Kind::Flag,
            "false",
            "Believe any certificate: whoever is on the way can listen and change. Warned about at every start.",
        ),
        key(
            "stats_id",
            Kind::Text,
            r#""weebee""#,
            "Name of this gateway in the web client's statistics.",
        ),
        key(
            "join_s",
            whole(5, 300, "s"),
            "30",
            "From the first knock to the room. Longer helps a slow server, shorter a caller.",
        ),
        key("lobby_wait_min", whole(1, 240, "min"), "10", "In the lobby until a spoken goodbye."),
        key(
            "rejoin_s",
            whole(10, 3_600, "s"),
            "300",
            "A lost conference is joined again for so long; then a spoken goodbye.",
        ),
        key(
            "start_muted",
            Kind::Flag,
            "true",
            "Moderators may mute phones, and meetings may start with them muted; by `*6` they speak again. False: phones \
             are always heard, as with Jigasi without ENABLE_SIP_STARTMUTED.",
        ),
        key(
            "user_as_nick",
            Kind::Flag,
            "false",
            "The caller's number or name is his address in the room (letters and digits of it), instead of a random one. \
             All people in the room can read it.",
        ),
        key(
            "only_phones",
            Kind::Flag,
            "true",
            "Phones may stay in a room that all others have left. False: they leave after `only_phones_s`. Rooms with a \
             lobby are always left: nobody could let anybody in.",
        ),
        key(
            "only_phones_s",
            whole(1, 3_600, "s"),
            "30",
            "How long phones wait for others to come back.",
        ),
        key(
            "empty_room",
            Kind::OneOf(&["join", "ring", "jigasi"]),
            r#""join""#,
            "A caller without a PIN who is alone in his room: \"join\": is answered, hears so and music. \"ring\": hears \
             ringing until somebody is there (`ring_max_s`, then 480). \"jigasi\": rings, is answered after 15 s and hung up \
             after 30 s. Whoever must hear words (a lobby, a password) is answered first.",
        ),
        key(
            "ring_max_s",
            whole(5, 600, "s"),
            "120",
            "With empty_room = \"ring\": the longest ringing. Most networks end it after 180 s at the latest.",
        ),
        key(
            "visitors",
            Kind::Flag,
            "false",
            "Callers may be sent to visitor nodes of very large meetings: there they listen, and ask to speak with `*9`. \
             False: they join like anybody, or not at all.",
        ),
        key(
            "visitor_domain",
            Kind::Text,
            r#""meet.jitsi""#,
            "With visitors: a node's host in its Prosody is its name and this, such as v1.meet.jitsi, whatever `domain` \
             is. Docker: VISITORS_XMPP_DOMAIN.",
        ),
        key(
            "visitor_nodes",
            Kind::Texts,
            "[]",
            "With visitors: the way to nodes, as `xmpp` for the main server: \"v1=tcp:10.0.0.7:52221\". Nodes not named \
             here: on the web `xmpp` with ?vnode=, as the web client; by tcp the node's host and the port of `xmpp`. \
             TLS as for the main server; `tls_pins` names the certificates of all.",
        ),
        key(
            "ping_s",
            whole(5, 300, "s"),
            "30",
            "A quiet stream is pinged this often. Shorter finds a dead Prosody sooner.",
        ),
        key("open_s", whole(2, 60, "s"), "15", "Patience for one attempt to open a stream."),
    ],
};

/// One deployment.
#[derive(Clone, Debug)]
pub struct Jitsi {
    /// Name of the backend.
    pub name: String,
    /// Line of its heading in the file.
    pub line: usize,
    /// The way to its XMPP server.
    pub site: XmppSite,
    /// Other hosts that mean it, lower case.
    pub domains: Vec<String>,
    /// What its machines need to know.
    pub settings: JitsiSettings,
}

impl Judge<'_> {
    /// All deployments; `None` together with a mistake.
    pub(super) fn conferences(&mut self, raw: &Raw) -> Option<Vec<Jitsi>> {
        let sections: Vec<&Section> = raw.many("conference.jitsi").collect();
        let mut conferences = Vec::new();
        for (at, section) in sections.iter().enumerate() {
            let name = section.text("name");
            if section.given("name") && !is_name(name) {
                self.say(section, "name", "use 1 to 64 letters, digits, `.`, `_` and `-`");
            }
            if name == ROOM_BACKEND {
                self.say(
                    section,
                    "name",
                    "\"room\" means the gateway's own rooms; write \"jitsi\"",
                );
            }
            let taken = |other: &&Section| other.text("name") == name && !name.is_empty();
            if sections.iter().take(at).any(taken) {
                self.say(section, "name", "another [[conference.jitsi]] has this name");
            }
            let site = SiteId(u16::try_from(at).unwrap_or(u16::MAX));
            conferences.push(self.jitsi(section, site));
        }
        self.backends(raw, &sections);
        conferences.into_iter().collect()
    }

    /// Every backend that is named exists.
    fn backends(&mut self, raw: &Raw, conferences: &[&Section]) {
        for section in ["room", "room_policy", "did"].into_iter().flat_map(|name| raw.many(name)) {
            let name = section.text("backend");
            let exists = name.is_empty() || name == ROOM_BACKEND;
            if !exists && !conferences.iter().any(|it| it.text("name") == name) {
                let what = format!(
                    "there is no [[conference.jitsi]] named {name:?}; add it, or write \"{ROOM_BACKEND}\" for the \
                     gateway's own rooms"
                );
                self.say(section, "backend", what);
            }
        }
    }

    fn jitsi(&mut self, section: &Section, site: SiteId) -> Option<Jitsi> {
        let before = self.mistakes.entries.len();
        let domain = self.host(section, "domain", "")?;
        let account_domain = self.host(section, "account_domain", &domain)?;
        let rooms = self.host(section, "rooms", &format!("conference.{domain}"))?;
        if rooms == domain {
            let what = format!(
                "is the main host; rooms are on a component of their own: write \"conference.{domain}\" or \
                 \"muc.{domain}\", as Prosody's Component \"...\" \"muc\" says"
            );
            self.say(section, "rooms", what);
        }
        let focus = match section.text("focus") {
            "" => format!("focus.{domain}"),
            text => text.to_lowercase(),
        };
        let domains = self.domains(section);
        let transport = self.way_in(section);
        let visitors = self.visitors(section);
        let trust = self.trust(section);
        let token = self.secret(section, "token_file", "token_env");
        if token.is_some() && matches!(transport, Some(Transport::Tcp { .. })) {
            let what = "a token travels in a URL; write xmpp = \"wss://HOST/xmpp-websocket\"";
            self.say(section, "xmpp", what);
        }
        let account = self.account(section);
        let conference_request = self.conference_request(section);
        let is_open =
            conference_request.as_ref().is_some_and(|it| !it.secure && !is_here(&it.host));
        if is_open && token.is_some() {
            let what = "the token would travel for all to read; write https://";
            self.say(section, "conference_request", what);
        }
        let transport = transport?;
        (self.mistakes.entries.len() == before).then(|| Jitsi {
            name: section.text("name").to_owned(),
            line: section.line,
            domains,
            site: XmppSite {
                name: section.text("name").to_owned(),
                domain: account_domain,
                transport,
                trust,
                ping_every: Duration::from_secs(section.whole("ping_s")),
                open_within: Duration::from_secs(section.whole("open_s")),
                conference_request,
                visitors: visitors.clone(),
            },
            settings: JitsiSettings {
                focus,
                identity: account.unwrap_or(PhoneIdentity::Anonymous),
                token,
                stats_id: self.header_text(section, "stats_id"),
                join_max: Duration::from_secs(section.whole("join_s")),
                lobby_wait_max: minutes(section.whole("lobby_wait_min")),
                rejoin_max: Duration::from_secs(section.whole("rejoin_s")),
                only_phones_max: Duration::from_secs(section.whole("only_phones_s")),
                keeps_only_phones: section.flag("only_phones"),
                can_be_muted: section.flag("start_muted"),
                user_as_nick: section.flag("user_as_nick"),
                empty_room: match section.text("empty_room") {
                    "ring" => EmptyRoom::Ring(Duration::from_secs(section.whole("ring_max_s"))),
                    "jigasi" => EmptyRoom::Jigasi,
                    _ => EmptyRoom::Join,
                },
                visitor_domain: visitors.map(|it| it.domain),
                ..JitsiSettings::usual(site, &domain, &rooms)
            },
        })
    }

    fn domains(&mut self, section: &Section) -> Vec<String> {
        let mut domains = Vec::new();
        for text in section.texts("domains") {
            match is_host(text) && !text.is_empty() {
                true => domains.push(text.to_lowercase()),
                false => self.say(section, "domains", format!("{text:?} is no host")),
            }
        }
        domains
    }

    /// A host of XMPP: a name or an address, nothing around it.
    pub(super) fn host(&mut self, section: &Section, key: &str, usual: &str) -> Option<String> {
        let text = match section.text(key) {
            "" if usual.is_empty() => return None,
            "" => usual,
            text => text,
        };
        if !is_host(text) {
            let what = format!("{text:?} is no host; write it alone, such as \"meet.example.org\"");
            self.say(section, key, what);
            return None;
        }
        Some(text.to_lowercase())
    }

    pub(super) fn way_in(&mut self, section: &Section) -> Option<Transport> {
        let text = section.text("xmpp");
        let transport = way(text, section.text("tls"));
        if transport.is_none() {
            self.say(section, "xmpp", format!("{text:?}: {WAY_HELP}"));
        }
        transport
    }

    /// Visitor nodes, where they are followed.
    fn visitors(&mut self, section: &Section) -> Option<VisitorWays> {
        let mut nodes = BTreeMap::new();
        for text in section.texts("visitor_nodes") {
            let named = text.split_once('=').map(|(name, way)| (name.trim(), way.trim()));
            let Some((name, address)) = named.filter(|(name, _)| is_label(name)) else {
                let what = format!(
                    "{text:?}: write \"v1=tcp:HOST:5222\", with the name that Jicofo gives it"
                );
                self.say(section, "visitor_nodes", what);
                continue;
            };
            match way(address, section.text("tls")) {
                Some(way) => _ = nodes.insert(name.to_lowercase(), way),
                None => self.say(section, "visitor_nodes", format!("{address:?}: {WAY_HELP}")),
            }
        }
        let domain = self.host(section, "visitor_domain", "meet.jitsi")?;
        if !section.flag("visitors") && !section.texts("visitor_nodes").is_empty() {
            self.say(section, "visitor_nodes", "goes with visitors = true; add it, or remove this");
        }
        section.flag("visitors").then_some(VisitorWays { domain, nodes })
    }

    fn conference_request(&mut self, section: &Section) -> Option<WebAddress> {
        let text = section.text("conference_request");
        let address = WebAddress::parse(text).ok().filter(|_| text.starts_with("http"));
        if address.is_none() && !text.is_empty() {
            let what =
                format!("{text:?}: write \"https://HOST/conference-request/v1\", or nothing");
            self.say(section, "conference_request", what);
        }
        address
    }

    pub(super) fn trust(&mut self, section: &Section) -> Trust {
        let ca_file = self.path(section, "ca_file");
        if let Some(file) = &ca_file
            && let Err(problem) = tls::certificates(file)
        {
            self.say(section, "ca_file", problem);
        }
        let mut pins = Vec::new();
        for text in section.texts("tls_pins") {
            pins.extend(self.keep(section, "tls_pins", pin(text)));
        }
        let insecure = section.flag("tls_insecure");
        if insecure && (ca_file.is_some() || !pins.is_empty()) {
            let what =
                "believes everybody, so ca_file and tls_pins mean nothing; remove tls_insecure";
            self.say(section, "tls_insecure", what);
        }
        let name = Some(section.text("tls_name").to_owned()).filter(|name| !name.is_empty());
        Trust { ca_file, pins, name, insecure }
    }

    fn account(&mut self, section: &Section) -> Option<PhoneIdentity> {
        let password = self.secret(section, "password_file", "password_env");
        let user = section.text("user");
        match (section.text("account"), password) {
            ("shared-secret", Some(password)) => Some(PhoneIdentity::SharedSecret(password)),
            ("one-account", Some(password)) if !user.is_empty() => {
                Some(PhoneIdentity::Account { user: Pii::new(user.to_owned()), password })
            }
            ("one-account", Some(_)) => {
                self.say(section, "user", "one-account needs it; write user = \"phones\"");
                None
            }
            ("anonymous", None) => Some(PhoneIdentity::Anonymous),
            ("anonymous", Some(_)) => {
                let what = "\"anonymous\" uses no password; write \"shared-secret\" or \"one-account\", or remove it";
                self.say(section, "account", what);
                None
            }
            (mode, None) => {
                let given = section.given("password_file") || section.given("password_env");
                if !given {
                    let what =
                        format!("{mode:?} needs a password; add password_file or password_env");
                    self.say(section, "account", what);
                }
                None
            }
            _ => None,
        }
    }

    /// The content of a file, or of a variable of the environment.
    pub(super) fn secret(
        &mut self,
        section: &Section,
        file: &str,
        variable: &str,
    ) -> Option<Pii<String>> {
        let (key, read) = match (self.path(section, file), section.text(variable)) {
            (Some(_), name) if !name.is_empty() => {
                self.say(section, variable, format!("{file} is given too; remove one of them"));
                return None;
            }
            (Some(path), _) => {
                let text = std::fs::read_to_string(&path).map(Pii::new);
                (file, text.map_err(|error| format!("{}: {error}", path.display())))
            }
            (None, "") => return None,
            (None, name) => (variable, self.secrets.get(name)),
        };
        let text = self.keep(section, key, read)?;
        let text = text.reveal().trim();
        if text.is_empty() {
            self.say(section, key, "holds nothing; put the secret there");
            return None;
        }
        Some(Pii::new(text.to_owned()))
    }
}

fn is_host(text: &str) -> bool {
    let legal = |sign: char| sign.is_alphanumeric() || matches!(sign, '.' | '-' | ':' | '[' | ']');
    !text.contains("://") && text.chars().all(legal)
}

/// Whether this host is the machine itself.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// A label of a host name.
fn is_label(text: &str) -> bool {
    let is_legal = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(is_legal)
}

/// A way in as it is written, or nothing of the kind.
fn way(text: &str, tls: &str) -> Option<Transport> {
    match text.split_once(':') {
        Some(("tcp", rest)) => rest.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let encryption = match tls {
                "off" => Encryption::Off,
                _ => Encryption::Required,
            };
            (!host.is_empty()).then_some(Transport::Tcp { host, port, encryption })
        }),
        Some(("ws" | "wss", _)) => WebAddress::parse(text).ok().map(Transport::WebSocket),
        Some(("http" | "https", _)) => WebAddress::parse(text).ok().map(Transport::Bosh),
        _ => None,
    }
}

const WAY_HELP: &str =
    "write \"tcp:HOST:5222\", \"wss://HOST/xmpp-websocket\" or \"https://HOST/http-bind\"";

/// 64 hexadecimal digits, with or without colons.
fn pin(text: &str) -> Result<[u8; 32], String> {
    const HELP: &str = "is no SHA-256; see `openssl x509 -in CERT -noout -fingerprint -sha256`";
    let digits: String = text.chars().filter(|sign| *sign != ':').collect();
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(format!("{text:?} {HELP}"));
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        let pair = digits.get(at..at + 2).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).map_err(|_| format!("{text:?} {HELP}"))?;
    }
    Ok(bytes)
}
