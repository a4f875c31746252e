//! XMPP accounts with a BREWERY as `[[brewery]]`, the deployments of those that serve others, and what dials become.

use super::super::draft::Why;
use super::super::keys::{Account, Entry};
use super::site::{self, Site, host_of, is_apart, tcp};
use super::{Work, trunk};

impl<'a> Work<'a> {
    pub(super) fn breweries(&mut self, site: &Site<'a>) {
        let accounts = self.jabber.clone();
        let mut apart: Vec<String> = Vec::new();
        for account in &accounts {
            let Some(room) = account.get("BREWERY") else {
                let what = format!(
                    "account {} has no BREWERY, so that it does nothing; it is left out",
                    account.id
                );
                self.warn(Some(account.first), what);
                continue;
            };
            let conference = match is_apart(account, site) {
                false => site::NAME.to_owned(),
                true => {
                    let domain = host_of(account.text("DOMAIN_BASE"));
                    let name = as_name(&domain);
                    if !apart.contains(&domain) {
                        self.conference_apart(account, site, &domain, &name);
                        apart.push(domain);
                    }
                    name
                }
            };
            self.brewery(account, room, &conference);
        }
        if accounts.iter().all(|account| account.get("BREWERY").is_none()) {
            let what = "no account has a BREWERY: nobody can be called from a room";
            self.warn(None, what);
        }
    }

    fn brewery(&mut self, account: &'a Account<'a>, room: &'a Entry, conference: &str) {
        let id = account.get("USER_ID");
        let Some((user, domain)) = id.and_then(|entry| entry.value.split_once('@')) else {
            let what = format!("account {} needs USER_ID=NAME@HOST", account.id);
            self.fault(id.or(Some(account.first)), what);
            return;
        };
        if !room.value.contains('@') {
            let what =
                format!("{:?} is no room; write jigasibrewery@internal.auth.DOMAIN", room.value);
            self.fault(Some(room), what);
        }
        let from = id.map_or(Why::Plain, Why::From);
        self.draft.section("brewery", "Where Jicofo finds us when somebody in a room dials.");
        self.draft.put("name", as_name(&account.id), Why::Plain);
        self.way_to_brewery(account, domain);
        self.draft.put("domain", domain.to_lowercase(), from);
        self.draft.put("user", user, from);
        if let Some((entry, password)) = self.password(account) {
            let name = format!("{}.password", as_name(&account.id));
            self.draft.secret("password", &name, password, Why::From(entry));
        } else if account.get("PASSWORD").is_none() {
            let what = format!("account {} has no PASSWORD; add it, in base64", account.id);
            self.fault(Some(account.first), what);
        }
        self.draft.put("room", room.value.to_lowercase(), Why::From(room));
        self.draft.put("conference", conference, Why::Plain);
        if let Some(entry) = self.keys.jigasi("ALLOWED_JID") {
            let allowed = entry.value.to_lowercase();
            if allowed != room.value.to_lowercase() {
                self.draft.put("allowed", vec![allowed], Why::From(entry));
            }
        }
        if let Some(entry) = self.keys.jigasi("LOCAL_REGION") {
            self.draft.put("region", entry.value.as_str(), Why::From(entry));
        }
        self.trust(&domain.to_lowercase());
    }

    fn way_to_brewery(&mut self, account: &'a Account<'a>, domain: &str) {
        if let Some(entry) = account.get("BOSH_URL") {
            let address = entry.value.split('?').next().unwrap_or_default();
            self.draft.put("xmpp", address, Why::From(entry));
            return;
        }
        let server = account.get("SERVER_ADDRESS");
        let server = server.filter(|_| account.flag("IS_SERVER_OVERRIDDEN", false));
        let port = self.port(account.get("SERVER_PORT")).unwrap_or(5222);
        let host = server.map_or(domain, |entry| entry.value.as_str());
        let why = server.map_or(Why::Because("no server is named: the account's host"), Why::From);
        self.draft.put("xmpp", tcp(host, port), why);
    }

    /// A deployment of its own: same account of calls, other domain.
    fn conference_apart(
        &mut self,
        account: &'a Account<'a>,
        site: &Site<'a>,
        domain: &str,
        name: &str,
    ) {
        let Some(base) = account.get("DOMAIN_BASE") else { return };
        let prefix = site.rooms.strip_suffix(&site.domain).unwrap_or("conference.");
        let own =
            Site { domain: domain.to_owned(), rooms: format!("{prefix}{domain}"), said: base };
        self.draft.section("conference.jitsi", "The deployment that this brewery's dials enter.");
        self.draft.put("name", name, Why::Plain);
        self.draft.put("domain", domain, Why::From(base));
        self.draft.put("rooms", own.rooms.as_str(), Why::From(base));
        match account.get("BOSH_URL_PATTERN") {
            Some(entry) => {
                let address = entry.value.replace("{host}", domain);
                let address = address.replace("{subdomain}", "");
                let address = address.split('?').next().unwrap_or_default().to_owned();
                self.draft.put("xmpp", address, Why::From(entry));
            }
            None => self.way_to_brewery(account, domain),
        }
        self.trust(domain);
        let what = format!(
            "{domain} has a [[conference.jitsi]] of its own, in which phones are anonymous; give it an account if Prosody wants one"
        );
        self.warn(Some(base), what);
    }

    /// Who may be called, and how.
    pub(super) fn dial_out(&mut self) {
        if self.jabber.iter().all(|account| account.get("BREWERY").is_none()) {
            return;
        }
        let Some(exchange) = self.exchange() else {
            let what = "calls out need an exchange: give the trunk a `peer`, then [dial_out] enabled = true with a \
                        [[dial_out_rule]]";
            self.warn(self.phone.map(|phone| phone.first), what);
            return;
        };
        let phone = self.phone;
        self.draft.section("dial_out", "Calls that people in a room ask for.");
        let note =
            "to every number, as with Jigasi; `allowed` and `denied` limit what thieves can do";
        self.draft.put("enabled", true, Why::Because(note));
        for pattern in ["?*", "sip:*"] {
            self.draft.section("dial_out_rule", "");
            self.draft.put("match", pattern, Why::Plain);
            self.draft.put("trunk", trunk::NAME, Why::Plain);
            let prefix = phone.and_then(|phone| phone.get("OUTBOUND_PREFIX"));
            if let Some(entry) = prefix.filter(|_| pattern == "?*") {
                self.draft.put("prepend", entry.value.as_str(), Why::From(entry));
            }
            if exchange.server != exchange.host && pattern == "?*" {
                let target = format!("sip:{{number}}@{}", exchange.server);
                self.draft.put("target", target, Why::Because("the account's domain"));
            }
        }
        let what = "people in rooms may call every number in the world, as with Jigasi; name the countries you call in [dial_out] \
                    allowed, e.g. [\"+62*\"]";
        self.warn(None, what);
    }
}

/// A text as a name of ours: letters, digits, `.`, `_` and `-`.
fn as_name(text: &str) -> String {
    let legal = |sign: char| sign.is_alphanumeric() || ['.', '_', '-'].contains(&sign);
    let name: String =
        text.chars().map(|sign| if legal(sign) { sign } else { '-' }).take(64).collect();
    if name.is_empty() { "brewery".to_owned() } else { name }
}
