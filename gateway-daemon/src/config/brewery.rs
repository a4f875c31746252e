//! `[[brewery]]`: rooms in which Jicofo finds us when somebody in a conference dials, as types.

use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::io::xmpp::XmppSite;

use super::raw::{Raw, Section};
use super::schema::{Kind, SectionDecl, key, needed, shown};
use super::typed::Judge;
use super::values::is_name;

/// Its keys.
pub(super) const BREWERY: SectionDecl = SectionDecl {
    name: "brewery",
    many: true,
    commented: true,
    about: "A room in which Jicofo finds phone gateways (`jicofo.jigasi.brewery-jid`) and asks one to call somebody. As many as \
            there are XMPP servers. See `docs/jigasi.md`, dial-out.",
    keys: &[
        needed("name", Kind::Text, r#""main""#, "Name in logs, metrics and REST."),
        key(
            "xmpp",
            Kind::Text,
            r#""tcp:127.0.0.1:5222""#,
            "The way to Prosody, as in [[conference.jitsi]].",
        ),
        needed(
            "domain",
            Kind::Text,
            r#""auth.meet.example.org""#,
            "Host the account lives on: what Jigasi's USER_ID has after the `@`.",
        ),
        needed("user", Kind::Text, r#""jigasi""#, "User name, without the host."),
        shown(
            key("password_file", Kind::Text, r#""""#, "File that holds the password."),
            r#""jigasi.secret""#,
        ),
        key("password_env", Kind::Text, r#""""#, "Or: variable of the environment that holds it."),
        needed(
            "room",
            Kind::Text,
            r#""jigasibrewery@internal.auth.meet.example.org""#,
            "Address of the room. Case does not matter.",
        ),
        key(
            "conference",
            Kind::Text,
            r#""""#,
            "Name of the [[conference.jitsi]] whose rooms its dials enter. Empty: the first.",
        ),
        key(
            "allowed",
            Kind::Texts,
            "[]",
            "Who may dial: addresses without resource, of people or of rooms (then all in it). Empty: those in the brewery.",
        ),
        key(
            "region",
            Kind::Text,
            r#""""#,
            "Region told to Jicofo, which prefers gateways near its bridges. Empty: none.",
        ),
        key(
            "tls",
            Kind::OneOf(&["starttls", "off"]),
            r#""starttls""#,
            "As in [[conference.jitsi]]: on tcp, StartTLS or nothing.",
        ),
        key(
            "ca_file",
            Kind::Text,
            r#""""#,
            "Certificates (PEM) believed beside those of the system.",
        ),
        key("tls_pins", Kind::Texts, "[]", "SHA-256 of the only certificate that is believed."),
        key(
            "tls_name",
            Kind::Text,
            r#""""#,
            "Name its certificate must carry. Empty: `domain` on tcp, the URL's host on the web.",
        ),
        key(
            "tls_insecure",
            Kind::Flag,
            "false",
            "Believe any certificate. Warned about at every start.",
        ),
    ],
};

/// `[[brewery]]`.
#[derive(Clone, Debug)]
pub struct Brewery {
    /// Its name.
    pub name: String,
    /// Line of its heading in the file; 0: added at run time.
    pub line: usize,
    /// The way to its XMPP server.
    pub site: XmppSite,
    /// User name.
    pub user: Pii<String>,
    /// Password.
    pub password: Pii<String>,
    /// Address of the room, lower case.
    pub room: String,
    /// Name of the backend its dials enter.
    pub conference: String,
    /// Who may dial; never empty.
    pub allowed: Vec<String>,
    /// Region.
    pub region: Option<String>,
}

impl Judge<'_> {
    /// All breweries; `None` together with a mistake.
    pub(super) fn breweries(&mut self, raw: &Raw) -> Option<Vec<Brewery>> {
        let sections: Vec<&Section> = raw.many("brewery").collect();
        let mut breweries = Vec::new();
        for (at, section) in sections.iter().enumerate() {
            let name = section.text("name");
            if section.given("name") && !is_name(name) {
                self.say(section, "name", "use 1 to 64 letters, digits, `.`, `_` and `-`");
            }
            let same = |key: &'static str| {
                let text = section.text(key);
                let taken = |it: &&Section| it.text(key).eq_ignore_ascii_case(text);
                !text.is_empty() && sections.iter().take(at).any(taken)
            };
            if same("name") {
                self.say(section, "name", "another [[brewery]] has this name; choose a new one");
            }
            if same("room") && same("xmpp") {
                self.say(section, "room", "another [[brewery]] sits there already; remove one");
            }
            breweries.push(self.brewery(section, raw));
        }
        breweries.into_iter().collect()
    }

    fn brewery(&mut self, section: &Section, raw: &Raw) -> Option<Brewery> {
        let before = self.mistakes.entries.len();
        let domain = self.host(section, "domain", "");
        let transport = self.way_in(section);
        let trust = self.trust(section);
        let password = self.secret(section, "password_file", "password_env");
        let names_none =
            ["password_file", "password_env"].iter().all(|key| section.text(key).is_empty());
        if password.is_none() && names_none {
            let what = "the account has no password; add password_file or password_env";
            self.say(section, "password_file", what);
        }
        let user = section.text("user");
        if section.given("user") && (user.is_empty() || user.contains(['@', '/', ' '])) {
            let what = format!("{user:?} is no user name; write it without the host: \"jigasi\"");
            self.say(section, "user", what);
        }
        let room = self.room_of(section);
        let conference = self.conference_of(section, raw);
        let mut allowed: Vec<String> = section.texts("allowed").to_vec();
        if let Some(text) = allowed.iter().find(|text| !is_bare(text)) {
            let what = format!(
                "{text:?} is no address without resource; write \"user@host\" or \"room@host\""
            );
            self.say(section, "allowed", what);
        }
        if allowed.is_empty() {
            allowed.extend(room.clone());
        }
        let region = Some(self.header_text(section, "region")).filter(|text| !text.is_empty());
        let parts = (domain, transport, password, room, conference);
        let (Some(domain), Some(transport), Some(password), Some(room), Some(conference)) = parts
        else {
            return None;
        };
        (self.mistakes.entries.len() == before).then(|| Brewery {
            name: section.text("name").to_owned(),
            line: section.line,
            site: site(section.text("name"), domain, transport, trust),
            user: Pii::new(user.to_owned()),
            password,
            room,
            conference,
            allowed,
            region,
        })
    }

    fn room_of(&mut self, section: &Section) -> Option<String> {
        let text = section.text("room").to_lowercase();
        if !section.given("room") {
            return None;
        }
        let good = text.contains('@') && is_bare(&text);
        if !good {
            let what = format!(
                "{text:?} is no address of a room; write \"jigasibrewery@internal.auth.meet.example.org\", as Jicofo's \
                 brewery-jid"
            );
            self.say(section, "room", what);
        }
        good.then_some(text)
    }

    /// Its dials need somewhere to go.
    fn conference_of(&mut self, section: &Section, raw: &Raw) -> Option<String> {
        let mut names = raw.many("conference.jitsi").map(|it| it.text("name"));
        let name = section.text("conference");
        let found = match name {
            "" => names.next(),
            name => names.find(|it| *it == name),
        };
        if found.is_none() {
            let what = match name {
                "" => "there is no [[conference.jitsi]] whose rooms its dials could enter; add one"
                    .to_owned(),
                name => format!(
                    "there is no [[conference.jitsi]] named {name:?}; add it, or write \"\" for the first"
                ),
            };
            self.say(section, "conference", what);
        }
        found.map(str::to_owned)
    }
}

/// The site of a brewery.
pub fn site(
    name: &str,
    domain: String,
    transport: gateway_core::io::xmpp::Transport,
    trust: gateway_core::io::xmpp::Trust,
) -> XmppSite {
    XmppSite {
        name: format!("brewery {name}"),
        domain,
        transport,
        trust,
        ping_every: PING_EVERY,
        open_within: OPEN_WITHIN,
        conference_request: None,
        visitors: None,
    }
}

/// `user@host`, `room@host` or `host`: nothing after it, nothing around it.
pub fn is_bare(text: &str) -> bool {
    let (node, host) = text.split_once('@').unwrap_or(("x", text));
    let legal =
        |sign: char| !sign.is_whitespace() && !sign.is_control() && !"/@\"'<>&".contains(sign);
    let fits = |part: &str| !part.is_empty() && part.len() <= 1_023 && part.chars().all(legal);
    fits(node) && fits(host) && !host.contains(':')
}

/// A quiet stream is pinged this often.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Patience for one attempt to open a stream.
const OPEN_WITHIN: Duration = Duration::from_secs(15);
