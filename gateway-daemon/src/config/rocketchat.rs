//! `[[rocketchat]]`: a workspace whose calls get a number and a PIN. Tokens come from files or the environment.

use gateway_core::base::pii::Pii;
use gateway_core::io::xmpp::{Trust, WebAddress};
use gateway_core::media::clip::Language;

use super::raw::{Raw, Section};
use super::schema::{Kind, LANGUAGES, SectionDecl, key, needed, shown, whole};
use super::typed::Judge;
use super::values::{is_name, language};
use crate::rocketchat::{CallMe, Id, OnEnd, Origin, Words, dialled};

/// Its keys.
pub(super) const ROCKETCHAT: SectionDecl = SectionDecl {
    name: "rocketchat",
    many: true,
    commented: true,
    about: "A Rocket.Chat workspace: its Jitsi calls get a reply with number and PIN. `docs/rocketchat.md` says how, \
            `weebee setup rocketchat` what is missing.",
    keys: &[
        needed("name", Kind::Text, r#""chat""#, "Its name in logs and in the path of its webhook."),
        needed(
            "url",
            Kind::Text,
            r#""https://chat.example.org""#,
            "Address of the workspace, as in its Site URL; from the same machine also \"http://127.0.0.1:3000\".",
        ),
        needed(
            "user_id",
            Kind::Text,
            r#""aBcD1234efGH5678i""#,
            "Id of the bot user, shown with its personal access token.",
        ),
        shown(
            key("token_file", Kind::Text, r#""""#, "File with the bot's personal access token."),
            r#""rocketchat.token""#,
        ),
        key(
            "token_env",
            Kind::Text,
            r#""""#,
            "Variable of the environment with the token, instead of a file.",
        ),
        key(
            "listen",
            Kind::OneOf(&["stream", "webhook"]),
            r#""stream""#,
            "\"stream\": the bot sees calls at once; it receives the text of all rooms it may see, drops all but calls \
             and the command word unread, and logs none. \"webhook\": no stream; people ask with the command word by an \
             outgoing webhook, and nothing is posted by itself.",
        ),
        key(
            "jitsi",
            Kind::Text,
            r#""""#,
            "Name of the [[conference.jitsi]] of its calls. Empty: the only one there is.",
        ),
        key(
            "hosts",
            Kind::Texts,
            "[]",
            "Hosts that its calls' links name. Empty: `domain` of that Jitsi. Calls elsewhere get no PIN.",
        ),
        key(
            "prefix",
            Kind::Text,
            r#""RocketChat""#,
            "\"URL prefix\" of the Jitsi app in this workspace. Two workspaces on one Jitsi need different ones.",
        ),
        key("suffix", Kind::Text, r#""""#, "\"URL suffix\" of the Jitsi app."),
        needed(
            "numbers",
            Kind::Texts,
            r#"["+62 21 1234 5678"]"#,
            "Telephone numbers that lead here, as people should read them; the usual one first.",
        ),
        key(
            "language",
            Kind::OneOf(LANGUAGES),
            r#""en""#,
            "Language of what is written into the chat.",
        ),
        key(
            "announce",
            Kind::OneOf(&["thread", "off"]),
            r#""thread""#,
            "\"thread\": each call gets one reply. \"off\": only who asks is told, alone.",
        ),
        key(
            "on_end",
            Kind::OneOf(&["edit", "delete"]),
            r#""edit""#,
            "The reply when the meeting is over: says so, or goes.",
        ),
        key(
            "command",
            Kind::Text,
            r#""!dialin""#,
            "Word that people write to be told number and PIN alone.",
        ),
        key(
            "webhook_token_file",
            Kind::Text,
            r#""""#,
            "File with the token of an outgoing webhook of the workspace to POST /rocketchat/NAME. Empty: none.",
        ),
        key(
            "incoming_webhook_file",
            Kind::Text,
            r#""""#,
            "File with the URL of an incoming webhook of the workspace, with \"override destination channel\": writes \
             where the bot may not. Such a reply cannot be changed; a second one says the end.",
        ),
        key(
            "ca_file",
            Kind::Text,
            r#""""#,
            "PEM file of an authority to believe beside those of the system.",
        ),
        key(
            "tls_pins",
            Kind::Texts,
            "[]",
            "SHA-256 of the server's certificate: only this one is believed.",
        ),
        key(
            "callme",
            Kind::Flag,
            "false",
            "People may write `!callme +62...` and the gateway calls them into the meeting. Calls out cost money: set \
             roles, prefixes and caps tightly.",
        ),
        key("callme_command", Kind::Text, r#""!callme""#, "The word for that."),
        key(
            "callme_roles",
            Kind::Texts,
            r#"["admin"]"#,
            "Roles of Rocket.Chat that may; the bot needs the permission view-full-other-user-info to see them.",
        ),
        key(
            "callme_prefixes",
            Kind::Texts,
            "[]",
            "Beginnings of numbers that may be called: \"+62\".",
        ),
        key("callme_trunk", Kind::Text, r#""""#, "The [[trunk]] that carries these calls."),
        key("callme_per_meeting", whole(1, 100, "calls"), "5", "Calls out into one meeting."),
        key("callme_per_user_h", whole(1, 100, "calls"), "3", "Calls out of one user in an hour."),
    ],
};

/// A workspace.
#[derive(Clone, Debug)]
pub struct RocketChat {
    /// Its name.
    pub name: String,
    /// Line of its heading in the file.
    pub line: usize,
    /// Where it is.
    pub address: WebAddress,
    /// Whom to believe.
    pub trust: Trust,
    /// The bot.
    pub user: Id,
    /// Its token.
    pub token: Pii<String>,
    /// Read the stream of messages.
    pub stream: bool,
    /// Name of its Jitsi.
    pub jitsi: String,
    /// Which rooms are its.
    pub origin: Origin,
    /// Numbers to show.
    pub numbers: Vec<String>,
    /// Language of what is written.
    pub language: Language,
    /// Reply to each call.
    pub announce: bool,
    /// What becomes of the reply.
    pub on_end: OnEnd,
    /// Command words.
    pub words: Words,
    /// Token of its outgoing webhook.
    pub webhook_token: Option<Pii<String>>,
    /// Path of its incoming webhook.
    pub incoming_webhook: Option<Pii<String>>,
    /// Rules of calls out, and the trunk that carries them.
    pub call_me: Option<(CallMe, String)>,
}

impl Judge<'_> {
    /// All workspaces; `None` together with a mistake.
    pub(super) fn workspaces(&mut self, raw: &Raw) -> Option<Vec<RocketChat>> {
        let sections: Vec<&Section> = raw.many("rocketchat").collect();
        let mut workspaces = Vec::new();
        for (at, section) in sections.iter().enumerate() {
            let name = section.text("name");
            let taken = |other: &&Section| other.text("name") == name && !name.is_empty();
            if sections.iter().take(at).any(taken) {
                self.say(section, "name", "another [[rocketchat]] has this name");
            }
            workspaces.push(self.workspace(section, raw));
        }
        let workspaces: Vec<RocketChat> = workspaces.into_iter().collect::<Option<_>>()?;
        for (at, workspace) in workspaces.iter().enumerate() {
            let earlier =
                workspaces.iter().take(at).find(|it| it.origin.overlaps(&workspace.origin));
            if let (Some(other), Some(section)) = (earlier, sections.get(at)) {
                let what = format!(
                    "a room could belong to {:?} too; set another \"URL prefix\" in one workspace's Jitsi app, and here",
                    other.name
                );
                self.say(section, "prefix", what);
            }
        }
        Some(workspaces)
    }

    fn workspace(&mut self, section: &Section, raw: &Raw) -> Option<RocketChat> {
        let before = self.mistakes.entries.len();
        let name = section.text("name");
        if section.given("name") && !is_name(name) {
            self.say(section, "name", "use 1 to 64 letters, digits, `.`, `_` and `-`");
        }
        let url = section.text("url");
        let address = WebAddress::parse(url).ok().filter(|_| url.starts_with("http"));
        if address.is_none() && section.given("url") {
            self.say(
                section,
                "url",
                format!("{url:?} is no web address; write \"https://chat.example.org\""),
            );
        }
        let user = Id::new(section.text("user_id"));
        if user.is_none() && section.given("user_id") {
            self.say(
                section,
                "user_id",
                "is no id; Rocket.Chat shows it with the personal access token",
            );
        }
        let token = self.secret(section, "token_file", "token_env");
        let given = |key: &str| !section.text(key).is_empty();
        if token.is_none() && !given("token_file") && !given("token_env") {
            self.say(section, "token_file", "the bot needs its token; add token_file or token_env");
        }
        let jitsi = self.jitsi_of(section, raw);
        let origin = self.origin(section, raw, jitsi.as_deref());
        let numbers = self.numbers(section);
        let words = self.words(section);
        let trust = self.trust(section);
        let webhook_token = self.webhook(section, raw);
        let incoming_webhook = self.incoming_webhook(section);
        let call_me = self.call_me(section, raw);
        (self.mistakes.entries.len() == before).then_some(())?;
        Some(RocketChat {
            name: name.to_owned(),
            line: section.line,
            address: address?,
            trust,
            user: user?,
            token: token?,
            stream: section.text("listen") == "stream",
            jitsi: jitsi?,
            origin,
            numbers,
            language: language(section.text("language")).unwrap_or_default(),
            announce: section.text("announce") == "thread",
            on_end: if section.text("on_end") == "delete" { OnEnd::Delete } else { OnEnd::Edit },
            words,
            webhook_token,
            incoming_webhook,
            call_me,
        })
    }

    /// The deployment of its calls.
    fn jitsi_of(&mut self, section: &Section, raw: &Raw) -> Option<String> {
        let known: Vec<&str> = raw.many("conference.jitsi").map(|it| it.text("name")).collect();
        match (section.text("jitsi"), known.as_slice()) {
            ("", []) => {
                self.say(
                    section,
                    "jitsi",
                    "there is no [[conference.jitsi]] for its calls; add one",
                );
                None
            }
            ("", [only]) => Some((*only).to_owned()),
            ("", _) => {
                self.say(section, "jitsi", format!("which one? Write one of {known:?}"));
                None
            }
            (name, known) if known.contains(&name) => Some(name.to_owned()),
            (name, _) => {
                self.say(
                    section,
                    "jitsi",
                    format!("there is no [[conference.jitsi]] named {name:?}"),
                );
                None
            }
        }
    }

    fn origin(&mut self, section: &Section, raw: &Raw, jitsi: Option<&str>) -> Origin {
        let domain = raw.many("conference.jitsi").find(|it| Some(it.text("name")) == jitsi);
        let mut hosts: Vec<String> =
            section.texts("hosts").iter().map(|it| it.to_lowercase()).collect();
        let is_host = |host: &String| !host.is_empty() && !host.contains(['/', ':', '@', ' ']);
        if let Some(bad) = hosts.iter().find(|host| !is_host(host)) {
            let what = format!("{bad:?} is no host; write it alone, such as \"meet.example.org\"");
            self.say(section, "hosts", what);
        }
        if hosts.is_empty() {
            hosts.extend(domain.map(|it| it.text("domain").to_lowercase()));
        }
        for key in ["prefix", "suffix"] {
            if section.text(key).contains(['/', '?', '#', '%', '*']) {
                self.say(section, key, "holds a sign that no room's name can begin or end with");
            }
        }
        if section.text("prefix").is_empty() && section.text("suffix").is_empty() {
            let what = "without prefix and suffix every room of that Jitsi would be of this workspace; write \
                        \"RocketChat\", as in its Jitsi app";
            self.say(section, "prefix", what);
        }
        let lower = |key: &str| section.text(key).to_lowercase();
        Origin { hosts, prefix: lower("prefix"), suffix: lower("suffix") }
    }

    fn numbers(&mut self, section: &Section) -> Vec<String> {
        let numbers = section.texts("numbers");
        if numbers.is_empty() && section.given("numbers") {
            self.say(section, "numbers", "the list is empty; write [\"+62 21 1234 5678\"]");
        }
        for number in numbers {
            let filler = |sign: char| sign.is_ascii_digit() || " +-()./".contains(sign);
            if dialled(number).len() < 3 || !number.chars().all(filler) {
                self.say(section, "numbers", format!("{number:?} is no telephone number"));
            }
        }
        numbers.to_vec()
    }

    fn words(&mut self, section: &Section) -> Words {
        let (dial_in, call_me) = (section.text("command"), section.text("callme_command"));
        for (key, word) in [("command", dial_in), ("callme_command", call_me)] {
            let plain = word.chars().next().is_none_or(char::is_alphanumeric);
            if plain
                || word.len() < 3
                || word.chars().any(|sign| sign.is_whitespace() || sign.is_control())
            {
                let what = "write one word that nobody writes by chance, such as \"!dialin\"";
                self.say(section, key, what);
            }
        }
        if dial_in.eq_ignore_ascii_case(call_me) {
            self.say(section, "callme_command", "is the same word as `command`");
        }
        Words { dial_in: dial_in.to_owned(), call_me: call_me.to_owned() }
    }

    fn webhook(&mut self, section: &Section, raw: &Raw) -> Option<Pii<String>> {
        let token = self.secret(section, "webhook_token_file", "");
        if token.is_some() && raw.one("http").text("listen").is_empty() {
            self.say(section, "webhook_token_file", "a webhook needs [http] listen");
        }
        if token.as_ref().is_some_and(|token| token.reveal().len() < SECRET_CHARS_MIN) {
            self.say(section, "webhook_token_file", "the token is shorter than 16 characters");
        }
        if token.is_none()
            && section.text("listen") == "webhook"
            && section.text("webhook_token_file").is_empty()
        {
            let what =
                "\"webhook\" needs the token of the outgoing webhook; add webhook_token_file";
            self.say(section, "listen", what);
        }
        token
    }

    /// The path of its URL: it is on the workspace, and a secret.
    fn incoming_webhook(&mut self, section: &Section) -> Option<Pii<String>> {
        let url = self.secret(section, "incoming_webhook_file", "")?;
        let path = url.reveal().find("/hooks/").and_then(|at| url.reveal().get(at..));
        let legal = |path: &&str| {
            path.split('/').filter(|part| !part.is_empty()).count() == 3
                && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte))
        };
        let path = path.filter(legal).map(|path| Pii::new(path.to_owned()));
        if path.is_none() {
            let what =
                "holds no address of an incoming webhook: https://chat.example.org/hooks/ID/TOKEN";
            self.say(section, "incoming_webhook_file", what);
        }
        path
    }

    fn call_me(&mut self, section: &Section, raw: &Raw) -> Option<(CallMe, String)> {
        if !section.flag("callme") {
            return None;
        }
        let (prefixes, roles) = (section.texts("callme_prefixes"), section.texts("callme_roles"));
        if prefixes.is_empty() {
            self.say(section, "callme_prefixes", "say which numbers may be called: [\"+62\"]");
        }
        for prefix in prefixes {
            let digits = prefix.strip_prefix('+').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                self.say(
                    section,
                    "callme_prefixes",
                    format!("{prefix:?}: write + and digits: \"+62\""),
                );
            }
        }
        if roles.is_empty() {
            self.say(section, "callme_roles", "say who may: [\"admin\"]");
        }
        let trunk = section.text("callme_trunk");
        match raw.many("trunk").find(|it| it.text("name") == trunk) {
            Some(found) if found.text("peer").is_empty() => {
                self.say(
                    section,
                    "callme_trunk",
                    format!("trunk {trunk:?} has no `peer` to send calls to"),
                );
            }
            Some(_) => {}
            None => {
                self.say(section, "callme_trunk", format!("there is no [[trunk]] named {trunk:?}"))
            }
        }
        let cap = |key: &str| u32::try_from(section.whole(key)).unwrap_or(1);
        let (in_meeting, in_hour) = (cap("callme_per_meeting"), cap("callme_per_user_h"));
        let rules = CallMe::new(roles.to_vec(), prefixes.to_vec(), in_meeting, in_hour);
        Some((rules, trunk.to_owned()))
    }
}

/// As `[http]` wants of its token.
const SECRET_CHARS_MIN: usize = 16;
