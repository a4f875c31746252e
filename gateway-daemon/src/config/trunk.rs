//! `[[trunk]]`: a PBX or carrier, as types.

use std::time::Duration;

use gateway_core::io::signalling::TrunkTls;
use gateway_core::media::clip::Language;
use gateway_core::sip::offer_answer::{CodecOrder, DtmfWay, SdpPolicy, Srtp};
use gateway_core::sip::trunk::{Cidr, DigestUser, SipTransport, TrunkConfig};

use super::account::Keeping;
use super::door::{self, Door};
use super::raw::Section;
use super::schema::{CODECS, Kind, LANGUAGES, SectionDecl, key, needed, shown, whole};
use super::typed::Judge;
use super::values::{codec, count, is_name, language, seconds_or_none, user};

/// Its keys.
pub(super) const TRUNK: SectionDecl = SectionDecl {
    name: "trunk",
    many: true,
    commented: false,
    about: "A PBX or carrier that may call. The first trunk that matches the source of a call takes it.",
    keys: &[
        needed("name", Kind::Text, r#""local""#, "Name in logs, metrics and call records."),
        shown(
            key(
                "sources",
                Kind::Texts,
                "[]",
                "Addresses its requests come from: \"192.0.2.10\", \"192.0.2.0/24\", \"2001:db8::/32\".",
            ),
            r#"["127.0.0.0/8", "::1"]"#,
        ),
        key(
            "users",
            Kind::Texts,
            "[]",
            "Digest users it may call as: \"name:password\". Without `sources`, [sip] unknown = \"challenge\" is \
             needed too.",
        ),
        key(
            "require_both",
            Kind::Flag,
            "false",
            "Both a source address and a digest user are required, instead of either.",
        ),
        key(
            "realm",
            Kind::Text,
            r#""weebee""#,
            "Digest realm that its users' passwords belong to.",
        ),
        key(
            "trusted",
            Kind::Flag,
            "false",
            "Believe its headers: those of `room_header` (enters a room without a PIN) and P-Asserted-Identity. Only \
             for a PBX of yours.",
        ),
        key(
            "peer",
            Kind::Text,
            r#""""#,
            "Where we send calls, OPTIONS and REGISTER: \"192.0.2.10:5060\", \"pbx.example.org\", \"pbx.example.org:5070\". A \
             name is looked up each minute (A and AAAA records, not SRV) and after failures; while it cannot be, its last \
             address stays in use. Its addresses count as sources. Empty: the trunk only calls us.",
        ),
        key(
            "tickets",
            Kind::Flag,
            "true",
            "Let calls in that show a ticket (X-WB-Ticket) for a PIN that the gateway judged for the PBX a moment ago. A \
             ticket proves itself: random, good once, for 30 s. False for a carrier that passes headers of strangers, who \
             could have wrong ones counted against it.",
        ),
        key(
            "transport",
            Kind::OneOf(&["udp", "tcp", "tls"]),
            r#""udp""#,
            "Transport towards `peer`. For tcp and tls no listener is needed, unless the peer opens connections itself.",
        ),
        key(
            "tls_ca_file",
            Kind::Text,
            r#""""#,
            "Certificates (PEM) believed beside the operating system's: the authority of the peer's certificate, or the \
             certificate itself.",
        ),
        key(
            "tls_insecure",
            Kind::Flag,
            "false",
            "Believe any certificate: whoever is on the way hears calls and passwords. For a first try only.",
        ),
        key(
            "credentials",
            Kind::Text,
            r#""""#,
            "\"name:password\" for the digest challenges of `peer`. Empty: none.",
        ),
        key("credentials_file", Kind::Text, r#""""#, "File that holds `credentials`."),
        key(
            "credentials_env",
            Kind::Text,
            r#""""#,
            "Or: variable of the environment that holds them.",
        ),
        key(
            "register",
            Kind::Flag,
            "false",
            "Register an account at `peer` with `credentials`, as a phone does: for a PBX that has an account for us and \
             no trunk. Calls to the account come in on this trunk.",
        ),
        key(
            "register_user",
            Kind::Text,
            r#""""#,
            "Name of the account. Empty: the name in `credentials`.",
        ),
        key(
            "register_server",
            Kind::Text,
            r#""""#,
            "Domain of the account, \"example.org\". Empty: the host of `peer`. Requests go to `peer` all the same.",
        ),
        key(
            "register_expires_s",
            whole(30, 86_400, "s"),
            "600",
            "How long a registration should last; the registrar decides. We register again at 80 to 90 % of it.",
        ),
        key(
            "register_learned",
            Kind::Flag,
            "false",
            "Register the address that the registrar sees us at instead of the listener's: for an address translator \
             whose outer address nobody knows. Otherwise \"udp:10.0.0.5:5060 as 203.0.113.7\" is better.",
        ),
        key(
            "keep_alive",
            Kind::OneOf(&["auto", "options", "crlf", "register", "none"]),
            r#""auto""#,
            "What keeps the way through address translators open: OPTIONS (also shows up or down, as qualify_s), empty \
             lines, or registering again. \"auto\": options where `register` is set, else none.",
        ),
        key(
            "keep_alive_s",
            whole(5, 3_600, "s"),
            "25",
            "How often. Most translators forget a way after 30 s or more.",
        ),
        key(
            "qualify_s",
            whole(0, 3_600, "s"),
            "0",
            "Send OPTIONS to `peer` this often and show it up or down. 0: do not.",
        ),
        key(
            "session_expires_s",
            whole(0, 86_400, "s"),
            "0",
            "Session timer we ask for (RFC 4028), at least 90 s: a peer that died ends the call. 0: only what the \
             peer asks for.",
        ),
        key(
            "reliable_provisional",
            Kind::Flag,
            "true",
            "Send 18x reliably (100rel, RFC 3262) to peers that can.",
        ),
        key(
            "codecs",
            Kind::SomeOf(CODECS),
            r#"["opus", "g722", "pcmu", "pcma"]"#,
            "Codecs, best first. G.711 (pcmu, pcma) costs the gateway least; opus survives loss best.",
        ),
        key(
            "codec_order",
            Kind::OneOf(&["ours", "theirs"]),
            r#""ours""#,
            "Whose order decides among codecs that both speak. \"ours\": the best sound we can get. \"theirs\": what \
             the PBX prefers, which may spare it a transcoding.",
        ),
        key(
            "packet_time_ms",
            Kind::OneOf(&["10", "20", "30", "40", "60"]),
            "20",
            "Audio per packet that we prefer. 10: less delay, twice the packets. 60: the reverse.",
        ),
        key(
            "symmetric_rtp",
            Kind::Flag,
            "true",
            "Learn once where its sound really comes from (NAT). False: believe its SDP alone.",
        ),
        key(
            "srtp",
            Kind::OneOf(&["off", "optional", "required"]),
            r#""off""#,
            "Encrypted sound by keys in SDP (SDES, RFC 4568). \"optional\": where the peer wants it, offered under RTP/AVP (RFC \
             8643). \"required\": no call without it (RTP/SAVP). Keys are as secret as the signalling: use transport = \
             \"tls\".",
        ),
        key(
            "early_media",
            Kind::Flag,
            "true",
            "People in a room hear what its network plays before the answer of a call that the room makes: ringing, or why \
             nobody can be called.",
        ),
        key(
            "dtmf",
            Kind::OneOf(&["auto", "rtp", "info", "inband"]),
            r#""auto""#,
            "How keys reach it that people in a room press, or that follow a dialled number. \"auto\": telephone-events \
             (RFC 4733) where it agreed to them, else tones. \"rtp\": telephone-events only. \"info\": SIP INFO \
             (application/dtmf-relay). \"inband\": tones in the sound.",
        ),
        key(
            "language",
            Kind::OneOf(LANGUAGES),
            r#""en""#,
            "Language of the words its callers hear, unless the dialled number or the PIN says otherwise.",
        ),
        key(
            "calls_max",
            whole(1, 20_000, "calls"),
            "1000",
            "Calls at once on this trunk; above: 503.",
        ),
        door::ROOM_HEADER,
        door::PASSWORD_HEADER,
        door::TOKEN_HEADER,
        door::USER_HEADER,
        door::DOMAIN_HEADER,
        door::TENANT_HEADER,
        door::VISITOR_HEADER,
        door::DEFAULT_ROOM,
        door::REQUEST_USER_ROOMS,
        door::INFO,
        door::HEARTBEAT,
        door::WORDS,
        door::JIGASI_STATUSES,
        door::FULL_ROOM,
        door::SHOW_NAMES,
    ],
};

/// `[[trunk]]`.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// What SIP needs.
    pub sip: TrunkConfig,
    /// What SDP needs.
    pub sdp: SdpPolicy,
    /// Whom we believe to be its peer, where that is reached by TLS.
    pub tls: Option<TrunkTls>,
    /// Language of its callers.
    pub language: Language,
    /// Tickets in place of PINs are looked at.
    pub tickets: bool,
    /// What its callers bring.
    pub door: Door,
}

impl Judge<'_> {
    /// `None` together with a mistake.
    pub(super) fn trunk(&mut self, section: &Section) -> Option<Trunk> {
        let before = self.mistakes.entries.len();
        let name = self.header_text(section, "name");
        if section.given("name") && !is_name(&name) {
            self.say(section, "name", "use 1 to 64 letters, digits, `.`, `_` and `-`");
        }
        let sources = self.sources(section);
        let users = self.users(section);
        let transport = transport_of(section);
        let (peer, peer_name) = self.peer(section, transport);
        let credentials = self.credentials(section);
        let session_expires = seconds_or_none(section.whole("session_expires_s"));
        if session_expires.is_some_and(|interval| interval < Duration::from_secs(90)) {
            self.say(
                section,
                "session_expires_s",
                "RFC 4028 allows no less than 90; write 0 or 90",
            );
        }
        let tls = self.trunk_tls(section, transport);
        let keeping = Keeping::of(section);
        let account = self.trunk_account(section, credentials.as_ref(), keeping.refresh_every);
        let qualify_every = seconds_or_none(section.whole("qualify_s")).or(keeping.options_every);
        if qualify_every.is_some() && section.text("peer").is_empty() {
            self.say(
                section,
                "qualify_s",
                "there is no `peer` to send OPTIONS to; add peer or write 0",
            );
        }
        let door = self.door(section);
        (self.mistakes.entries.len() == before).then(|| Trunk {
            sip: TrunkConfig {
                name,
                sources,
                users,
                require_both: section.flag("require_both"),
                realm: section.text("realm").to_owned(),
                peer,
                peer_name,
                transport,
                credentials,
                account,
                qualify_every,
                keep_alive_every: keeping.lines_every,
                session_expires,
                reliable_provisional: section.flag("reliable_provisional"),
                calls_max: count(section.whole("calls_max")),
                trusted: section.flag("trusted"),
                takes_json: door.manners.info.is_some(),
                headers: door.headers.all(),
            },
            sdp: sdp_policy(section),
            tls,
            language: language(section.text("language")).unwrap_or_default(),
            tickets: section.flag("tickets"),
            door,
        })
    }

    fn sources(&mut self, section: &Section) -> Vec<Cidr> {
        let mut sources = Vec::new();
        for text in section.texts("sources") {
            let source = text.parse::<Cidr>().map_err(|error| format!("{text:?}: {error}"));
            sources.extend(self.keep(section, "sources", source));
        }
        let nobody = section.texts("sources").is_empty() && section.texts("users").is_empty();
        if nobody && section.text("peer").is_empty() {
            self.say(section, "sources", "nobody can use this trunk; add sources, users or peer");
        }
        sources
    }

    fn users(&mut self, section: &Section) -> Vec<DigestUser> {
        let mut users = Vec::new();
        for text in section.texts("users") {
            users.extend(self.keep(section, "users", user(text)));
        }
        let half = section.texts("users").is_empty() || section.texts("sources").is_empty();
        if section.flag("require_both") && half {
            self.say(section, "require_both", "needs sources and users; add the missing one");
        }
        let realm = section.text("realm");
        if realm.is_empty() || realm.contains(['"', '\\']) || realm.chars().any(char::is_control) {
            self.say(section, "realm", "use a text without quotes and backslashes");
        }
        users
    }

    /// What `peer` may challenge us for: here, in a file or in a variable.
    fn credentials(&mut self, section: &Section) -> Option<DigestUser> {
        let given = section.given("credentials_file") || section.given("credentials_env");
        let here = section.text("credentials");
        if given && !here.is_empty() {
            let what = "credentials_file or credentials_env is given too; remove one of them";
            self.say(section, "credentials", what);
            return None;
        }
        let elsewhere = self.secret(section, "credentials_file", "credentials_env");
        match (here, elsewhere) {
            ("", None) => None,
            ("", Some(text)) => {
                let file = !section.text("credentials_file").is_empty();
                let key = if file { "credentials_file" } else { "credentials_env" };
                self.keep(section, key, user(text.reveal()))
            }
            (text, _) => self.keep(section, "credentials", user(text)),
        }
    }
}

fn transport_of(section: &Section) -> SipTransport {
    match section.text("transport") {
        "tcp" => SipTransport::Tcp,
        "tls" => SipTransport::Tls,
        _ => SipTransport::Udp,
    }
}

fn sdp_policy(section: &Section) -> SdpPolicy {
    SdpPolicy {
        codecs: section.texts("codecs").iter().filter_map(|name| codec(name)).collect(),
        packet_time_ms: section.text("packet_time_ms").parse().unwrap_or(20),
        symmetric: section.flag("symmetric_rtp"),
        codec_order: match section.text("codec_order") {
            "theirs" => CodecOrder::Peers,
            _ => CodecOrder::Ours,
        },
        early_media: section.flag("early_media"),
        dtmf: match section.text("dtmf") {
            "rtp" => DtmfWay::Rtp,
            "inband" => DtmfWay::Inband,
            "info" => DtmfWay::Info,
            _ => DtmfWay::Auto,
        },
        srtp: match section.text("srtp") {
            "optional" => Srtp::Optional,
            "required" => Srtp::Required,
            _ => Srtp::Off,
        },
    }
}
