//! The SIP account as `[[trunk]]`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_core::base::pii::Pii;

use super::super::draft::Why;
use super::super::keys::{Account, Entry};
use super::{Work, whole};

/// Name of the trunk.
pub(super) const NAME: &str = "sip";

/// Networks whose calls are taken where no exchange is named. Jigasi takes them from the whole world.
const PRIVATE: [&str; 6] =
    ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7"];

/// Jigasi's property, our key.
const HEADERS: [(&str, &str); 7] = [
    ("JITSI_MEET_ROOM_HEADER_NAME", "room_header"),
    ("JITSI_MEET_ROOM_PASS_HEADER_NAME", "password_header"),
    ("JITSI_AUTH_TOKEN_HEADER_NAME", "token_header"),
    ("JITSI_AUTH_USER_ID_HEADER_NAME", "user_header"),
    ("JITSI_MEET_DOMAIN_BASE_HEADER_NAME", "domain_header"),
    ("JITSI_MEET_DOMAIN_TENANT_HEADER_NAME", "tenant_header"),
    ("JITSI_MEET_VISITOR_HEADER_NAME", "visitor_header"),
];

/// Codecs of ours by their names there.
const CODECS: [(&str, &str); 4] =
    [("opus/48000", "opus"), ("G722/8000", "g722"), ("PCMU/8000", "pcmu"), ("PCMA/8000", "pcma")];

/// Where the exchange is.
pub(super) struct Exchange<'a> {
    /// Its host.
    pub host: &'a str,
    /// The domain of the account.
    pub server: &'a str,
    /// The key that names it.
    pub entry: &'a Entry,
    /// Name of the account.
    pub user: &'a str,
}

impl<'a> Work<'a> {
    /// The exchange that the account is at; `None`: it is nobody's, calls come and go to addresses.
    pub(super) fn exchange(&self) -> Option<Exchange<'a>> {
        let phone = self.phone?;
        let id = without_scheme(phone.text("USER_ID"));
        let (user, domain) = id.split_once('@').unwrap_or((id, ""));
        let named = phone.get("SERVER_ADDRESS");
        let domain = named.map_or(domain, |entry| entry.value.as_str());
        let entry = phone.get("PROXY_ADDRESS").or(named).or_else(|| phone.get("USER_ID"))?;
        let host = phone.get("PROXY_ADDRESS").map_or(domain, |entry| entry.value.as_str());
        (!domain.is_empty()).then_some(Exchange { host, server: domain, entry, user })
    }

    pub(super) fn trunk(&mut self) {
        let Some(phone) = self.phone else { return };
        self.draft.section("trunk", "The SIP account.");
        self.draft.put("name", NAME, Why::Plain);
        let transport = self.transport(phone);
        match self.exchange() {
            Some(exchange) => self.registered(phone, &exchange, transport),
            None => self.nobodys(phone),
        }
        let note = "its headers name rooms, as for Jigasi";
        self.draft.put("trusted", true, Why::Because(note));
        for (name, key) in HEADERS {
            if let Some(entry) = phone.get(name) {
                self.draft.put(key, vec![entry.value.as_str()], Why::From(entry));
            }
        }
        if let Some(entry) = self.keys.jigasi("DEFAULT_JVB_ROOM_NAME") {
            let room = entry.value.split('@').next().unwrap_or_default();
            self.draft.put("default_room", room, Why::From(entry));
        }
        let notify = self.keys.jigasi("NOTIFY_MAX_OCCUPANTS");
        if let Some(entry) = notify.filter(|it| it.value.eq_ignore_ascii_case("false")) {
            self.draft.put("full_room", "refuse", Why::From(entry));
        }
        self.codecs(phone);
        self.encryption(phone);
        self.keys_and_words(phone);
    }

    fn transport(&mut self, phone: &'a Account<'a>) -> &'static str {
        let Some(entry) = phone.get("PREFERRED_TRANSPORT") else { return "udp" };
        let found =
            ["udp", "tcp", "tls"].into_iter().find(|way| entry.value.eq_ignore_ascii_case(way));
        if found.is_none() {
            self.fault(Some(entry), format!("{:?} is none of UDP, TCP, TLS", entry.value));
        }
        found.unwrap_or("udp")
    }

    /// An account at an exchange.
    fn registered(&mut self, phone: &'a Account<'a>, at: &Exchange<'a>, transport: &str) {
        let port = match phone.get("PROXY_ADDRESS") {
            Some(_) => phone.get("PROXY_PORT"),
            None => phone.get("SERVER_PORT"),
        };
        let usual = if transport == "tls" { 5061 } else { 5060 };
        let port = self.port(port).unwrap_or(usual);
        let host = match at.host.contains(':') {
            true => format!("[{}]", at.host.trim_matches(['[', ']'])),
            false => at.host.to_owned(),
        };
        self.draft.put("peer", format!("{host}:{port}"), Why::From(at.entry));
        if let Some(entry) = phone.get("PREFERRED_TRANSPORT") {
            self.draft.put("transport", transport, Why::From(entry));
        }
        let id = phone.get("USER_ID");
        if at.user.is_empty() {
            self.fault(id, "the SIP account has no USER_ID; write anna@pbx.example.org");
            return;
        }
        self.draft.put("register", true, Why::Because("SERVER_ADDRESS is given"));
        let from = id.map_or(Why::Plain, Why::From);
        self.draft.put("register_user", at.user, from);
        self.draft.put("register_server", at.server, Why::Plain);
        let expires = phone.get("REGISTRATION_EXPIRATION");
        if let (Some(seconds), Some(entry)) = (self.number(expires), expires) {
            self.draft.put(
                "register_expires_s",
                whole(seconds.clamp(30, 86_400)),
                Why::From(entry),
            );
        }
        self.credentials(phone, at.user);
        self.keep_alive(phone);
        if transport == "tls" && self.trusts_all().is_some() {
            let note = "ALWAYS_TRUST_MODE_ENABLED; tls_ca_file is the remedy";
            self.draft.put("tls_insecure", true, Why::Because(note));
        }
    }

    fn credentials(&mut self, phone: &'a Account<'a>, user: &str) {
        let name = phone.get("AUTHORIZATION_NAME").map_or(user, |entry| entry.value.as_str());
        if let Some((entry, password)) = self.password(phone) {
            let both = Pii::new(format!("{name}:{}", password.reveal()));
            self.draft.secret("credentials", "sip.credentials", both, Why::From(entry));
        } else if phone.get("PASSWORD").is_none() {
            let what = format!(
                "account {} has no PASSWORD; an exchange that asks for one is not satisfied",
                phone.id
            );
            self.warn(Some(phone.first), what);
        }
    }

    /// The password of an account: base64 of the text.
    pub(super) fn password(&mut self, account: &Account<'a>) -> Option<(&'a Entry, Pii<String>)> {
        if let Some(entry) = account.get("ENCRYPTED_PASSWORD") {
            let what = "is encrypted with a master password of Jitsi's, which is not here; write PASSWORD, base64 of it";
            self.fault(Some(entry), what);
        }
        let entry = account.get("PASSWORD")?;
        let compact: String = entry.value.chars().filter(|sign| !sign.is_whitespace()).collect();
        let bytes = STANDARD.decode(compact).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(text) = text else {
            let what = "is not base64; write what `printf %s 'the password' | base64` prints";
            self.fault(Some(entry), what);
            return None;
        };
        let password = text.trim_end_matches(['\r', '\n']);
        if password.len() != text.len() {
            let what = "ends with a line break (made with `echo`, not `printf`); it was taken off, Jigasi sends it";
            self.warn(Some(entry), what);
        }
        if password.is_empty() {
            self.fault(Some(entry), "is empty");
            return None;
        }
        Some((entry, Pii::new(password.to_owned())))
    }

    fn keep_alive(&mut self, phone: &'a Account<'a>) {
        if let Some(entry) = phone.get("KEEP_ALIVE_METHOD") {
            let way = entry.value.to_lowercase();
            match ["options", "register", "crlf", "none"].contains(&way.as_str()) {
                true => self.draft.put("keep_alive", way, Why::From(entry)),
                false => {
                    self.warn(Some(entry), "is none of OPTIONS, REGISTER, CRLF; left as usual")
                }
            }
        }
        let interval = phone.get("KEEP_ALIVE_INTERVAL");
        if let (Some(seconds), Some(entry)) = (self.number(interval), interval) {
            self.draft.put("keep_alive_s", whole(seconds.clamp(5, 3_600)), Why::From(entry));
        }
    }

    /// No registrar: Jigasi takes calls from everybody.
    fn nobodys(&mut self, phone: &'a Account<'a>) {
        let note = "Jigasi takes calls from the whole world; these are private networks";
        self.draft.put("sources", PRIVATE.to_vec(), Why::Because(note));
        if let Some(entry) = phone.get("PREFERRED_TRANSPORT") {
            let transport = self.transport(phone);
            self.draft.put("transport", transport, Why::From(entry));
        }
        let what = "no registrar: Jigasi takes calls, and believes their headers, from everybody; here only private networks \
                    may call: add the addresses of your exchange or carrier to [[trunk]] sources, and `peer` for calls out";
        self.warn(Some(phone.first), what);
    }

    /// Codecs with a weight, heaviest first.
    fn codecs(&mut self, phone: &'a Account<'a>) {
        if !phone.flag("OVERRIDE_ENCODINGS", true) {
            return;
        }
        let weights = phone.family("Encodings.");
        let mut found: Vec<(u64, &str, &Entry)> = Vec::new();
        for (codec, entry) in &weights {
            let Some((_, ours)) =
                CODECS.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(codec))
            else {
                continue;
            };
            let weight = entry.value.parse().unwrap_or(0);
            if weight > 0 {
                found.push((weight, ours, entry));
            } else if *ours == "g722" {
                let what = "G.722 is off, for the sake of a fault of Jigasi's that is not here; add \"g722\" to codecs for \
                            wideband";
                self.warn(Some(entry), what);
            }
        }
        found.sort_by_key(|(weight, _, _)| std::cmp::Reverse(*weight));
        match found.first() {
            Some((_, _, entry)) => {
                let names: Vec<&str> = found.iter().map(|(_, name, _)| *name).collect();
                self.draft.put("codecs", names, Why::Of(entry, "heaviest first"));
            }
            None if weights.is_empty() => {}
            None => self.warn(
                weights.first().map(|(_, entry)| *entry),
                "no codec of ours is on (opus, G722, PCMU, PCMA); all are offered",
            ),
        }
    }

    fn encryption(&mut self, phone: &'a Account<'a>) {
        let Some(entry) = phone.get("SAVP_OPTION") else { return };
        let is_on = phone.flag("DEFAULT_ENCRYPTION", true)
            && phone.flag("ENCRYPTION_PROTOCOL_STATUS.SDES", false);
        let srtp = match entry.value.as_str() {
            "1" if is_on => "required",
            "2" if is_on => "optional",
            "0" | "1" | "2" => return,
            _ => {
                let what = "is none of 0 (off), 1 (required), 2 (optional)";
                self.fault(Some(entry), what);
                return;
            }
        };
        self.draft.put("srtp", srtp, Why::From(entry));
    }

    fn keys_and_words(&mut self, phone: &'a Account<'a>) {
        if let Some(entry) = phone.get("DTMF_METHOD") {
            let way = match entry.value.as_str() {
                "AUTO_DTMF" => Some("auto"),
                "RTP_DTMF" => Some("rtp"),
                "SIP_INFO_DTMF" => Some("info"),
                "INBAND_DTMF" => Some("inband"),
                _ => None,
            };
            match way {
                Some(way) => self.draft.put("dtmf", way, Why::From(entry)),
                None => {
                    let what = "is none of AUTO_DTMF, RTP_DTMF, SIP_INFO_DTMF, INBAND_DTMF";
                    self.fault(Some(entry), what);
                }
            }
        }
        let note = "an IVR behind it hears of lobby, mute and moderation; words = false leaves all words to it";
        self.draft.put("info", "jigasi", Why::Because(note));
        let heartbeat = phone.get("HEARTBEAT_SECONDS");
        if let (Some(seconds), Some(entry)) = (self.number(heartbeat), heartbeat)
            && seconds > 0
        {
            self.draft.put("heartbeat_s", whole(seconds.clamp(2, 3_600)), Why::From(entry));
        }
        self.draft.put(
            "show_names",
            true,
            Why::Because("rooms see the caller's name, as with Jigasi"),
        );
    }
}

/// `sip:` is no part of an account's name, though some write it.
fn without_scheme(text: &str) -> &str {
    let head = text.get(..4).unwrap_or_default();
    if head.eq_ignore_ascii_case("sip:") { text.get(4..).unwrap_or_default() } else { text }
}
