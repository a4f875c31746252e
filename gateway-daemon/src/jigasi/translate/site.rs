//! The deployment that calls enter, as `[[conference.jitsi]]`: what Jigasi makes of MUC address, domain base, the account of
//! each call and the patterns of BOSH.

use gateway_core::base::pii::Pii;

use super::super::draft::Why;
use super::super::keys::{Account, Entry};
use super::{INVITE_TIMEOUT_MS, Work, whole};

/// Name of the deployment.
pub(super) const NAME: &str = "jitsi";

/// The deployment.
#[derive(Clone, Debug)]
pub(super) struct Site<'a> {
    /// Main host.
    pub domain: String,
    /// Host of rooms.
    pub rooms: String,
    /// The key that says so.
    pub said: &'a Entry,
}

impl<'a> Work<'a> {
    /// The main deployment. Jigasi cuts `conference.` or `muc.` from the address of rooms.
    pub(super) fn site(&mut self) -> Option<Site<'a>> {
        let prefixes = self.prefixes();
        let default_room = self.keys.jigasi("DEFAULT_JVB_ROOM_NAME");
        let base = self.phone.and_then(|phone| phone.get("DOMAIN_BASE"));
        let base = base.or_else(|| self.call("DOMAIN_BASE"));
        let base = base.or_else(|| self.jabber.iter().find_map(|it| it.get("DOMAIN_BASE")));
        let service = self.keys.jigasi("MUC_SERVICE_ADDRESS");
        let of_room =
            default_room.and_then(|entry| entry.value.split_once('@').map(|(_, it)| (entry, it)));
        let rooms = service.map(|entry| (entry, entry.value.as_str())).or(of_room);
        if let Some((said, rooms)) = rooms {
            let rooms = rooms.to_lowercase();
            let cut = prefixes.iter().find_map(|prefix| {
                rooms.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('.'))
            });
            let domain = cut.map(str::to_owned).or_else(|| base.map(|entry| host_of(&entry.value)));
            let Some(domain) = domain else {
                let what = format!(
                    "{rooms:?} begins with none of {}, so that the main host is not known; add DOMAIN_BASE to the SIP account",
                    prefixes.join(", ")
                );
                self.fault(Some(said), what);
                return None;
            };
            return Some(Site { domain, rooms, said });
        }
        let Some(said) = base else {
            let what = "the address of rooms is not known; add org.jitsi.jigasi.MUC_SERVICE_ADDRESS=conference.DOMAIN \
                        (Docker: muc.DOMAIN), as Prosody's Component \"...\" \"muc\" says";
            self.fault(None, what);
            return None;
        };
        let domain = host_of(&said.value);
        // The two families of names: Debian's, and Docker's.
        let docker = self.jabber.iter().any(|it| it.text("BREWERY").contains("@internal-muc."));
        let rooms = format!("{}.{domain}", if docker { "muc" } else { "conference" });
        let what = format!(
            "the address of rooms is not given; {rooms} it is: correct `rooms` if Prosody's Component \"...\" \"muc\" has another"
        );
        self.warn(Some(said), what);
        Some(Site { domain, rooms, said })
    }

    fn prefixes(&self) -> Vec<String> {
        let named = self.phone.and_then(|phone| phone.get("MUC_DOMAIN_PREFIX"));
        let named = named.or_else(|| self.jabber.iter().find_map(|it| it.get("MUC_DOMAIN_PREFIX")));
        match named {
            Some(entry) => entry.value.split(',').map(|part| part.trim().to_lowercase()).collect(),
            None => vec!["conference".to_owned(), "muc".to_owned()],
        }
    }

    pub(super) fn conference(&mut self, site: &Site<'a>) {
        self.draft.section("conference.jitsi", "The deployment whose rooms phones join.");
        self.draft.put("name", NAME, Why::Plain);
        self.draft.put("domain", site.domain.as_str(), Why::From(site.said));
        self.draft.put("rooms", site.rooms.as_str(), Why::From(site.said));
        self.way_to_rooms(site);
        let account_domain = self.account(site);
        self.trust(&account_domain);
        self.other_domains(site);
        if let Some(entry) = self.keys.jigasi("STATS_ID") {
            self.draft.put("stats_id", entry.value.as_str(), Why::From(entry));
        }
        self.empty_rooms();
        if let Some(entry) = self.keys.jigasi("ENABLE_SIP_VISITORS").filter(|it| it.is_true()) {
            self.draft.put("visitors", true, Why::From(entry));
        }
    }

    fn way_to_rooms(&mut self, site: &Site<'a>) {
        let of_phone = self.phone.and_then(|phone| phone.get("BOSH_URL_PATTERN"));
        let bosh =
            of_phone.or_else(|| self.call("BOSH_URL_PATTERN")).or_else(|| self.call("BOSH_URL"));
        let is_fixed = self.call("IS_SERVER_OVERRIDDEN").is_some_and(Entry::is_true);
        let server = self.call("SERVER_ADDRESS").filter(|_| is_fixed);
        let of_brewery = self.jabber.iter().find_map(|it| it.get("BOSH_URL_PATTERN"));
        if let Some(entry) = bosh.or(of_brewery.filter(|_| server.is_none())) {
            let address = self.bosh(entry, site);
            self.draft.put("xmpp", address, Why::From(entry));
            return;
        }
        let port = self.call("SERVER_PORT");
        let port = self.port(port).unwrap_or(5222);
        let host = server.map_or(site.domain.as_str(), |entry| entry.value.as_str());
        let why = server.map_or(Why::Because("no server is named: the domain itself"), Why::From);
        self.draft.put("xmpp", tcp(host, port), why);
    }

    /// An address of BOSH without what is filled in per call.
    pub(super) fn bosh(&mut self, entry: &'a Entry, site: &Site<'a>) -> String {
        let base = self.phone.and_then(|phone| phone.get("DOMAIN_BASE"));
        let base = base.map_or(site.domain.clone(), |entry| entry.value.clone());
        let host = match self.keys.jigasi("BOSH_HOST_OVERRIDE") {
            None => base,
            Some(entry) => {
                let pairs = entry.value.split(',').filter_map(|pair| pair.split_once('='));
                let found = pairs.into_iter().find(|(from, _)| from.trim() == base);
                found.map_or(base.clone(), |(_, to)| to.trim().to_owned())
            }
        };
        let (address, query) = entry.value.split_once('?').unwrap_or((entry.value.as_str(), ""));
        let extra: Vec<&str> = query
            .split('&')
            .filter(|part| !part.is_empty() && !part.starts_with("room="))
            .collect();
        if !extra.is_empty() {
            let what =
                format!("\"{}\" is not sent; only the room and a token are", extra.join("&"));
            self.warn(Some(entry), what);
        }
        if address.contains("{subdomain}") {
            let what = "{subdomain} is not filled in: the tenant stands in the address of the room instead";
            self.warn(Some(entry), what);
        }
        address.replace("{host}", &host).replace("{subdomain}", "")
    }

    /// As whom calls come. Gives the host on which they log in.
    fn account(&mut self, site: &Site<'a>) -> String {
        let prevented = self.phone.and_then(|phone| phone.get("PREVENT_AUTH_LOGIN"));
        if let Some(entry) = prevented.filter(|entry| entry.is_true()) {
            self.draft.put("account", "anonymous", Why::From(entry));
            return site.domain.clone();
        }
        let user = self.call("USER_ID");
        let domain = user.and_then(|entry| entry.value.split_once('@').map(|(_, domain)| domain));
        let domain = domain.unwrap_or(&site.domain).to_lowercase();
        if let Some(entry) = user.filter(|_| domain != site.domain) {
            self.draft.put("account_domain", domain.as_str(), Why::From(entry));
        }
        let anonymous = self.call("ANONYMOUS_AUTH");
        let logs_in = anonymous.is_some_and(|entry| entry.value.eq_ignore_ascii_case("false"));
        let unique = self.call("UNIQUE_USER_ID").filter(|entry| entry.is_true());
        match (logs_in, user, self.call("PASS")) {
            (true, Some(user), Some(pass)) => {
                match unique {
                    Some(entry) => self.draft.put("account", "shared-secret", Why::From(entry)),
                    None => {
                        let (name, _) = user.value.split_once('@').unwrap_or((&user.value, ""));
                        let note = "all calls share it; \"shared-secret\" keeps them apart";
                        self.draft.put("account", "one-account", Why::Because(note));
                        self.draft.put("user", name, Why::From(user));
                    }
                }
                let secret = Pii::new(pass.value.clone());
                self.draft.secret("password", "calls.password", secret, Why::From(pass));
            }
            (true, None, _) => self.fault(anonymous, "is false, but xmpp.acc.USER_ID is missing"),
            (true, _, None) => self.fault(anonymous, "is false, but xmpp.acc.PASS is missing"),
            (false, ..) => {
                let why = anonymous.map_or(Why::Because("as Jigasi without an account"), Why::From);
                self.draft.put("account", "anonymous", why);
            }
        }
        domain
    }

    /// Whether any certificate is believed.
    pub(super) fn trusts_all(&self) -> Option<&'a Entry> {
        let key = "net.java.sip.communicator.service.gui.ALWAYS_TRUST_MODE_ENABLED";
        self.keys.get(key).filter(|entry| entry.is_true())
    }

    /// Certificates of a host: any, where Jigasi was told so; else Prosody's own beside the system's, where it is found.
    pub(super) fn trust(&mut self, domain: &str) {
        let file = self.here.certificates.join(format!("{domain}.crt"));
        let file = std::fs::File::open(&file).is_ok().then(|| file.display().to_string());
        match (self.trusts_all(), file) {
            (Some(entry), file) => {
                self.draft.put("tls_insecure", true, Why::From(entry));
                let remedy = match file {
                    Some(file) => format!("write ca_file = {file:?}"),
                    None => format!(
                        "copy Prosody's certificate ({domain}.crt of /etc/prosody/certs or, in Docker, of prosody's /config/certs) \
                         here and name it as ca_file"
                    ),
                };
                let what = format!(
                    "any certificate is believed for {domain}, so that whoever is on the way reads passwords and hears calls; \
                     {remedy} instead of tls_insecure"
                );
                if !self.notes.remarks.iter().any(|remark| remark.text == what) {
                    self.warn(Some(entry), what);
                }
            }
            (None, Some(file)) => {
                self.draft.put("ca_file", file, Why::Because("Prosody's own, found there"));
            }
            (None, None) => {}
        }
    }

    /// Other hosts that mean this deployment.
    fn other_domains(&mut self, site: &Site<'a>) {
        let phone = self.phone.and_then(|phone| phone.get("DOMAIN_BASE"));
        let brewery = self.jabber.iter().filter(|it| !is_apart(it, site));
        let bases: Vec<&Entry> = phone
            .into_iter()
            .chain(self.call("DOMAIN_BASE"))
            .chain(brewery.filter_map(|it| it.get("DOMAIN_BASE")))
            .collect();
        let mut others: Vec<String> = bases.iter().map(|entry| host_of(&entry.value)).collect();
        others.retain(|host| !host.is_empty() && *host != site.domain && *host != site.rooms);
        others.sort();
        others.dedup();
        if !others.is_empty() {
            self.draft.put("domains", others, Why::Because("DOMAIN_BASE of the accounts"));
        }
    }

    /// Patience in a room where nobody is.
    fn empty_rooms(&mut self) {
        let entry = self.keys.jigasi("JVB_INVITE_TIMEOUT");
        let Some(ms) = self.number(entry).filter(|ms| *ms != INVITE_TIMEOUT_MS) else { return };
        let Some(entry) = entry else { return };
        self.draft.put("empty_room", "ring", Why::From(entry));
        self.draft.put("ring_max_s", whole((ms / 1000).clamp(5, 600)), Why::From(entry));
    }
}

/// Whether the dials of this brewery are for a deployment of their own: its account lives on a host below another domain base.
pub(super) fn is_apart(account: &Account<'_>, site: &Site<'_>) -> bool {
    let base = host_of(account.text("DOMAIN_BASE"));
    let (_, host) = account.text("USER_ID").split_once('@').unwrap_or_default();
    let host = host.to_lowercase();
    !base.is_empty() && base != site.domain && (host == base || host.ends_with(&format!(".{base}")))
}

/// `tcp:HOST:PORT`.
pub(super) fn tcp(host: &str, port: u16) -> String {
    let host = host.trim_matches(['[', ']']);
    match host.contains(':') {
        true => format!("tcp:[{host}]:{port}"),
        false => format!("tcp:{host}:{port}"),
    }
}

/// A host without its port and in small letters.
pub(super) fn host_of(text: &str) -> String {
    let text = text.trim().trim_end_matches('/');
    let host = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    host.map_or(text, |(host, _)| host).to_lowercase()
}
