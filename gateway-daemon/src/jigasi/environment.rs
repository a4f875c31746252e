//! docker-jitsi-meet's environment variables, and the lines of `sip-communicator.properties` that its container makes of
//! them. The lines are then read as any file, with all of its escapes: what went wrong there goes wrong here.
//!
//! A variable that is empty counts as not set. Facts: `jigasi/rootfs/defaults` and `jigasi.yml` of docker-jitsi-meet.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::keys::Origin;
use crate::config::Mistake;

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, (usize, String)>);

/// What a container would write, each line with its origin.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The file.
    pub text: String,
    /// Where each of its lines comes from.
    pub origins: Vec<Origin>,
    /// Variables that cannot be used.
    pub mistakes: Vec<Mistake>,
}

impl Environment {
    /// Of this process.
    pub fn of_process() -> Self {
        let known = std::env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            Some((name, (0, value)))
        });
        Self(known.collect())
    }

    /// Of a file of `NAME=value` lines, as Docker Compose reads `.env`.
    pub fn of_file(text: &str) -> Self {
        let mut found = Self::default();
        for (line, number) in text.lines().zip(1_usize..) {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.starts_with('#') {
                continue;
            }
            if let Some((name, value)) = line.split_once('=') {
                let value = found.value(value.trim());
                found.0.insert(name.trim().to_owned(), (number, value));
            }
        }
        found
    }

    /// A value without its quotes, comment and `${NAME}`.
    fn value(&self, text: &str) -> String {
        if let Some(rest) = text.strip_prefix('\'') {
            return rest.split('\'').next().unwrap_or_default().to_owned();
        }
        if let Some(rest) = text.strip_prefix('"') {
            return self.filled(rest.split('"').next().unwrap_or_default());
        }
        let text = text.split_once(" #").map_or(text, |(value, _)| value);
        self.filled(text.trim_end())
    }

    /// `${NAME}` and `${NAME:-usual}` replaced by what stands further up.
    fn filled(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((inner, tail)) = after.split_once('}') else {
                rest = after;
                break;
            };
            let (name, usual) = inner.split_once(":-").unwrap_or((inner, ""));
            filled.push_str(self.get(name).unwrap_or(usual));
            rest = tail;
        }
        filled.push_str(rest);
        filled
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All that are set and not empty, with their lines (0: of the process).
    pub fn all(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        let set = self.0.iter().filter(|(_, (_, value))| !value.is_empty());
        set.map(|(name, (line, value))| (name.as_str(), *line, value.as_str()))
    }

    /// Whether this is the environment of a Jigasi at all.
    pub fn is_jigasi(&self) -> bool {
        self.0.keys().any(|name| name.starts_with("JIGASI_") || name.starts_with("XMPP_"))
    }

    /// The file that the container writes.
    pub fn written(&self) -> Written {
        let mut template = Template { from: self, written: Written::default() };
        template.needs();
        template.common();
        template.control();
        if template.is_transcriber() {
            template.line("org.jitsi.jigasi.ENABLE_SIP", "false", &["JIGASI_MODE"]);
            template.line("org.jitsi.jigasi.ENABLE_TRANSCRIPTION", "true", &["JIGASI_MODE"]);
        } else {
            template.sip();
            template.call_account();
            template.options();
        }
        template.written
    }
}

struct Template<'a> {
    from: &'a Environment,
    written: Written,
}

impl<'a> Template<'a> {
    /// What the container refuses to start without, and what nobody can guess.
    fn needs(&mut self) {
        if self.from.get("JIGASI_XMPP_PASSWORD").is_none() {
            self.mistake(
                "JIGASI_XMPP_PASSWORD",
                "is not set; the container does not start without it, either",
            );
        }
        if !self.is_transcriber() && self.from.get("JIGASI_SIP_URI").is_none() {
            self.mistake(
                "JIGASI_SIP_URI",
                "is not set; write the SIP account, anna@pbx.example.org",
            );
        }
    }

    fn common(&mut self) {
        const ACC: &str = "org.jitsi.jigasi.xmpp.acc";
        let shutdown = if self.flag("SHUTDOWN_REST_ENABLED") { "true" } else { "false" };
        let names = ["SHUTDOWN_REST_ENABLED"];
        self.line("org.jitsi.jigasi.ENABLE_REST_SHUTDOWN", shutdown, &names);
        self.usual("org.jitsi.jigasi.MUC_JOIN_TIMEOUT", "", "10");
        self.maybe("org.jitsi.jigasi.HEALTH_CHECK_SIP_URI", "JIGASI_HEALTH_CHECK_SIP_URI");
        self.usual(
            "org.jitsi.jigasi.HEALTH_CHECK_INTERVAL",
            "JIGASI_HEALTH_CHECK_INTERVAL",
            "300000",
        );
        self.line("org.jitsi.jigasi.HEALTH_CHECK_TIMEOUT", "600000", &[]);
        let servers = self.servers();
        let first = servers.first().cloned().unwrap_or_default();
        self.line(&format!("{ACC}.IS_SERVER_OVERRIDDEN"), "true", &[]);
        self.line(&format!("{ACC}.SERVER_ADDRESS"), &first.host, &["XMPP_SERVER"]);
        self.line(&format!("{ACC}.SERVER_PORT"), &first.port, &["XMPP_SERVER", "XMPP_PORT"]);
        self.line("net.java.sip.communicator.service.gui.ALWAYS_TRUST_MODE_ENABLED", "true", &[]);
        self.maybe("org.jitsi.jigasi.DEFAULT_JVB_ROOM_NAME", "JIGASI_SIP_DEFAULT_ROOM");
        self.usual("org.jitsi.jigasi.MUC_SERVICE_ADDRESS", "XMPP_MUC_DOMAIN", "muc.meet.jitsi");
        let trusted = list(self.from.get("JIGASI_TRUSTED_DOMAINS").unwrap_or_default());
        if !trusted.is_empty() {
            let quoted: Vec<String> = trusted.iter().map(|it| format!("\"{it}\"")).collect();
            let value = format!("[ {} ]", quoted.join(","));
            self.line("org.jitsi.jigasi.TRUSTED_DOMAINS", &value, &["JIGASI_TRUSTED_DOMAINS"]);
        }
        self.usual("org.jitsi.jigasi.JVB_INVITE_TIMEOUT", "JIGASI_JVB_TIMEOUT", "30000");
        self.maybe("org.jitsi.jigasi.LOCAL_REGION", "JIGASI_LOCAL_REGION");
        self.maybe(&format!("{ACC}.BOSH_URL_PATTERN"), "BOSH_URL_PATTERN");
        if self.flag("JIGASI_ENABLE_REST") {
            self.line("org.jitsi.jigasi.rest.jetty.host", "0.0.0.0", &["JIGASI_ENABLE_REST"]);
        }
        match self.from.get("JIGASI_STATS_ID") {
            Some(_) => self.maybe("org.jitsi.jigasi.STATS_ID", "JIGASI_STATS_ID"),
            None => self.maybe("org.jitsi.jigasi.STATS_ID", "JIGASI_INSTANCE_ID"),
        }
        for line in list(self.from.get("JIGASI_CONFIGURATION").unwrap_or_default()) {
            self.raw(&line, &["JIGASI_CONFIGURATION"]);
        }
    }

    /// One account for each XMPP server, for the brewery.
    fn control(&mut self) {
        let user = self.from.get("JIGASI_XMPP_USER").unwrap_or("jigasi");
        let domain = self.from.get("XMPP_AUTH_DOMAIN").unwrap_or("auth.meet.jitsi");
        let password = self.from.get("JIGASI_XMPP_PASSWORD").unwrap_or("replaceme");
        let muc = self.from.get("JIGASI_BREWERY_MUC").unwrap_or("jigasibrewery");
        let internal =
            self.from.get("XMPP_INTERNAL_MUC_DOMAIN").unwrap_or("internal-muc.meet.jitsi");
        let public = self.from.get("PUBLIC_URL").unwrap_or("https://localhost:8443");
        let public = public.strip_prefix("https://").unwrap_or(public);
        let public = public.strip_suffix('/').unwrap_or(public);
        let (account, brewery) = (format!("{user}@{domain}"), format!("{muc}@{internal}"));
        for server in self.servers() {
            let head = format!("net.java.sip.communicator.impl.protocol.jabber.acc-{}", server.id);
            self.line(&head, &format!("acc-{}", server.id), &["XMPP_SERVER"]);
            let mut line = |name: &str, value: &str, names: &[&str]| {
                self.line(&format!("{head}.{name}"), value, names);
            };
            line("USER_ID", &account, &["JIGASI_XMPP_USER", "XMPP_AUTH_DOMAIN"]);
            line("IS_SERVER_OVERRIDDEN", "true", &[]);
            line("SERVER_ADDRESS", &server.host, &["XMPP_SERVER"]);
            line("SERVER_PORT", &server.port, &["XMPP_SERVER", "XMPP_PORT"]);
            line("ALLOW_NON_SECURE", "true", &[]);
            line("PASSWORD", &STANDARD.encode(password), &["JIGASI_XMPP_PASSWORD"]);
            line("BREWERY", &brewery, &["JIGASI_BREWERY_MUC", "XMPP_INTERNAL_MUC_DOMAIN"]);
            line("DOMAIN_BASE", public, &["PUBLIC_URL"]);
        }
        let names = ["JIGASI_BREWERY_MUC", "XMPP_INTERNAL_MUC_DOMAIN"];
        self.line("org.jitsi.jigasi.ALLOWED_JID", &brewery, &names);
    }

    fn sip(&mut self) {
        let head = "net.java.sip.communicator.impl.protocol.sip.acc1";
        let uri = self.from.get("JIGASI_SIP_URI").unwrap_or_default();
        let password = self.from.get("JIGASI_SIP_PASSWORD").unwrap_or("replaceme");
        self.line(head, "acc1", &[]);
        let key = |name: &str| format!("{head}.{name}");
        if let Some(server) = self.from.get("JIGASI_SIP_SERVER") {
            self.line(&key("PROXY_ADDRESS"), server, &["JIGASI_SIP_SERVER"]);
            self.line(&key("PROXY_AUTO_CONFIG"), "false", &[]);
            self.usual(&key("PROXY_PORT"), "JIGASI_SIP_PORT", "5060");
            self.usual(&key("PREFERRED_TRANSPORT"), "JIGASI_SIP_TRANSPORT", "UDP");
            self.line(&key("SERVER_ADDRESS"), server, &["JIGASI_SIP_SERVER"]);
        }
        if self.flag("JIGASI_ENABLE_SDES_SRTP") {
            for (name, value) in [
                ("SAVP_OPTION", "1"),
                ("DEFAULT_ENCRYPTION", "true"),
                ("ENCRYPTION_PROTOCOL.SDES", "1"),
                ("ENCRYPTION_PROTOCOL_STATUS.SDES", "true"),
                ("SDES_CIPHER_SUITES", "AES_CM_128_HMAC_SHA1_80,AES_CM_128_HMAC_SHA1_32"),
            ] {
                self.line(&key(name), value, &["JIGASI_ENABLE_SDES_SRTP"]);
            }
        }
        self.line(&key("PASSWORD"), &STANDARD.encode(password), &["JIGASI_SIP_PASSWORD"]);
        self.line(&key("USER_ID"), uri, &["JIGASI_SIP_URI"]);
        self.line(&key("KEEP_ALIVE_INTERVAL"), "25", &[]);
        self.usual(&key("KEEP_ALIVE_METHOD"), "JIGASI_SIP_KEEP_ALIVE_METHOD", "OPTIONS");
        self.line(&key("JITSI_MEET_ROOM_HEADER_NAME"), "X-Room-Name", &[]);
        self.line(&key("JITSI_MEET_DOMAIN_BASE_HEADER_NAME"), "X-Domain-Base", &[]);
        // G.722 is off there because of a fault of Jigasi's that we do not have.
        for (codec, weight) in [
            ("AMR-WB/16000", "750"),
            ("G722/8000", "0"),
            ("PCMA/8000", "600"),
            ("PCMU/8000", "650"),
            ("iLBC/8000", "10"),
            ("opus/48000", "1000"),
        ] {
            self.line(&key(&format!("Encodings.{codec}")), weight, &[]);
        }
        self.line(&key("OVERRIDE_ENCODINGS"), "true", &[]);
        self.usual(&key("DOMAIN_BASE"), "XMPP_DOMAIN", "meet.jitsi");
    }

    /// As whom calls come, where people must log in.
    fn call_account(&mut self) {
        if !self.flag("ENABLE_AUTH") {
            return;
        }
        const ACC: &str = "org.jitsi.jigasi.xmpp.acc";
        let guests = self.flag("ENABLE_GUESTS");
        let (name, usual) = match guests {
            true => ("XMPP_GUEST_DOMAIN", "guest.meet.jitsi"),
            false => ("XMPP_AUTH_DOMAIN", "auth.meet.jitsi"),
        };
        let domain = self.from.get(name).unwrap_or(usual);
        let user = self.from.get("JIGASI_XMPP_USER").unwrap_or("jigasi");
        let account = format!("{user}@{domain}");
        self.line(&format!("{ACC}.USER_ID"), &account, &["JIGASI_XMPP_USER", name]);
        let anonymous = if guests { "true" } else { "false" };
        self.line(&format!("{ACC}.ANONYMOUS_AUTH"), anonymous, &["ENABLE_AUTH", "ENABLE_GUESTS"]);
        self.maybe(&format!("{ACC}.PASS"), "JIGASI_XMPP_PASSWORD");
        self.line(&format!("{ACC}.ALLOW_NON_SECURE"), "true", &[]);
    }

    fn options(&mut self) {
        if self.flag("USE_TRANSLATOR_IN_CONFERENCE") {
            let key = "org.jitsi.jigasi.xmpp.acc.USE_TRANSLATOR_IN_CONFERENCE";
            self.line(key, "true", &["USE_TRANSLATOR_IN_CONFERENCE"]);
        }
        if self.flag("ENABLE_VISITORS") {
            self.line("org.jitsi.jigasi.ENABLE_SIP_VISITORS", "true", &["ENABLE_VISITORS"]);
            for (name, variable) in [
                ("VISITOR_QUEUE_SERVICE", "JIGASI_VISITORS_QUEUE_SERVICE_URL"),
                (
                    "VISITOR_QUEUE_SERVICE_PRIVATE_KEY_PATH",
                    "JIGASI_VISITORS_QUEUE_SERVICE_PRIVATE_KEY_PATH",
                ),
                (
                    "VISITOR_QUEUE_SERVICE_PRIVATE_KEY_ID",
                    "JIGASI_VISITORS_QUEUE_SERVICE_PRIVATE_KEY_ID",
                ),
            ] {
                self.maybe(&format!("org.jitsi.jigasi.{name}"), variable);
            }
        }
        // These two are options of the program there, not keys of its file.
        self.usual(super::PORT_MIN, "JIGASI_PORT_MIN", "20000");
        self.usual(super::PORT_MAX, "JIGASI_PORT_MAX", "20050");
    }

    fn is_transcriber(&self) -> bool {
        self.from.get("JIGASI_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("transcriber"))
    }

    /// `host[:port[:id]]`, separated by commas.
    fn servers(&self) -> Vec<Server> {
        let port = self.from.get("XMPP_PORT").unwrap_or("5222");
        let all = list(self.from.get("XMPP_SERVER").unwrap_or("xmpp.meet.jitsi"));
        let of = |(at, text): (usize, &String)| {
            let mut parts = text.splitn(3, ':');
            let mut next = || parts.next().filter(|part| !part.is_empty());
            Server {
                host: next().unwrap_or_default().to_owned(),
                port: next().unwrap_or(port).to_owned(),
                id: next().map_or_else(|| at.to_string(), str::to_owned),
            }
        };
        all.iter().enumerate().map(of).collect()
    }

    /// `1`, `t`, `true` and the like. Anything else stops the container.
    fn flag(&mut self, name: &str) -> bool {
        let Some(text) = self.from.get(name) else { return false };
        match text.replace(['"', '\''], "").as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
            "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
            _ => {
                let what = format!("is {text:?}; write 1 or 0 (the container stops here, too)");
                self.mistake(name, &what);
                false
            }
        }
    }

    /// A variable's value, if it is set.
    fn maybe(&mut self, key: &str, name: &str) {
        if let Some(value) = self.from.get(name) {
            self.line(key, value, &[name]);
        }
    }

    /// A variable's value, or what the template says.
    fn usual(&mut self, key: &str, name: &str, usual: &str) {
        self.line(key, self.from.get(name).unwrap_or(usual), &[name]);
    }

    /// One line, because of the first of these variables that is set.
    fn line(&mut self, key: &str, value: &str, names: &[&str]) {
        self.raw(&format!("{key}={value}"), names);
    }

    fn raw(&mut self, text: &str, names: &[&str]) {
        let name = names.iter().find(|name| self.from.get(name).is_some());
        let origin = name.map_or(Origin::Docker, |name| Origin::Variable((*name).to_owned()));
        // A value with a line break becomes several lines, as it does there.
        for line in text.split('\n') {
            self.written.text.push_str(line);
            self.written.text.push('\n');
            self.written.origins.push(origin.clone());
        }
    }

    fn mistake(&mut self, name: &str, what: &str) {
        let line = self.from.0.get(name).map_or(0, |(line, _)| *line);
        self.written.mistakes.push(Mistake { line, text: format!("{name} {what}") });
    }
}

#[derive(Clone, Debug, Default)]
struct Server {
    host: String,
    port: String,
    id: String,
}

/// Parts between commas, without empty ones.
fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
