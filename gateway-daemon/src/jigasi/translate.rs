//! From an old installation to our TOML: what each part becomes, what an admin should know, and what cannot be used. All
//! mistakes are found before any is said.

mod brewery;
mod site;
mod trunk;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;

use super::draft::{Draft, Secret, SecretsAt, Why};
use super::keys::{Account, Entry, Keys, Origin, Protocol};
use super::old::{Old, Remark};
use crate::check::Weight;
use crate::config::Mistakes;

/// What the machine says that the old configuration does not.
#[derive(Clone, Debug)]
pub struct Here {
    /// The address at which others reach us.
    pub address: IpAddr,
    /// Folder in which Prosody keeps its certificates.
    pub certificates: PathBuf,
}

impl Here {
    /// This machine: the address by which it would reach the world (nothing is sent), unless one is given.
    pub fn new(address: Option<IpAddr>) -> Self {
        let address = address.unwrap_or_else(outward_address);
        Self { address, certificates: PathBuf::from("/etc/prosody/certs") }
    }
}

fn outward_address() -> IpAddr {
    let any = (Ipv4Addr::UNSPECIFIED, 0);
    // A documentation address (RFC 5737): only the way there is looked up.
    let found = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(("192.0.2.1", 9))?;
        socket.local_addr()
    });
    found.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// What an old installation becomes.
#[derive(Clone, Debug)]
pub struct Translation {
    /// Our configuration.
    pub text: String,
    /// For each of its lines: where a mistake in it is to be looked for.
    pub origins: Vec<Option<Origin>>,
    /// What the text names but does not hold.
    pub secrets: Vec<Secret>,
    /// What an admin should know.
    pub remarks: Vec<Remark>,
}

/// Translates, or says all that cannot be used.
pub fn translate(old: &Old, here: &Here, at: SecretsAt) -> Result<Translation, Mistakes> {
    let accounts = old.keys.accounts(Protocol::Sip);
    let jabber = old.keys.accounts(Protocol::Jabber);
    let mut work = Work {
        keys: &old.keys,
        here,
        phone: accounts.iter().find(|account| account.is_used()),
        jabber: jabber.iter().filter(|account| account.is_used()).collect(),
        draft: Draft::new(at),
        notes: Old { name: old.name.clone(), ..Old::default() },
    };
    work.accounts_that_count(&accounts, &jabber);
    work.whole(old);
    if !work.notes.faults.is_empty() {
        return Err(work.notes.refused());
    }
    let Work { draft, notes, .. } = work;
    let mut remarks = old.remarks.clone();
    remarks.extend(notes.remarks);
    remarks.extend(draft.left_out.iter().map(|what| Remark {
        weight: Weight::Warning,
        origin: None,
        text: format!("{what} is not in this version; it was left out"),
    }));
    let (text, secrets) = (draft.text(), draft.secrets);
    let origins = draft.lines.into_iter().map(|(_, origin)| origin).collect();
    Ok(Translation { text, origins, secrets, remarks })
}

/// A translation in progress.
pub(super) struct Work<'a> {
    pub(super) keys: &'a Keys,
    pub(super) here: &'a Here,
    /// The SIP account: Jigasi uses one.
    pub(super) phone: Option<&'a Account<'a>>,
    /// XMPP accounts.
    pub(super) jabber: Vec<&'a Account<'a>>,
    pub(super) draft: Draft,
    /// Faults and remarks.
    pub(super) notes: Old,
}

/// Ports that Jigasi takes where nothing is said.
const PORTS: (u16, u16) = (10_000, 20_000);
/// The port of a bridge.
const BRIDGE: u16 = 10_000;
/// Jigasi's patience for an invitation from Jicofo, in ms.
const INVITE_TIMEOUT_MS: u64 = 30_000;

impl<'a> Work<'a> {
    fn whole(&mut self, old: &Old) {
        self.refuse_transcribers(old);
        let site = self.site();
        self.draft.comment(&format!(
            "Made from {} by `weebee migrate`. Keys: `weebee config`.",
            old.name
        ));
        self.listeners();
        self.ports();
        self.trunk();
        self.draft.section("room", "Rooms are those of Jitsi.");
        self.draft.put("backend", site::NAME, Why::Plain);
        if let Some(site) = site {
            self.conference(&site);
            self.breweries(&site);
        }
        self.dial_out();
        self.pages();
    }

    pub(super) fn fault(&mut self, entry: Option<&Entry>, what: impl Into<String>) {
        let text = match entry {
            Some(entry) => format!("{}: {}", entry.short(), what.into()),
            None => what.into(),
        };
        self.notes.faults.push((entry.map(|entry| entry.origin.clone()), text));
    }

    pub(super) fn warn(&mut self, entry: Option<&Entry>, what: impl Into<String>) {
        self.notes.warn(entry.map(|entry| &entry.origin), what);
    }

    /// A property of the account of each call.
    pub(super) fn call(&self, name: &str) -> Option<&'a Entry> {
        self.keys.jigasi(&format!("xmpp.acc.{name}"))
    }

    /// A whole number of a key.
    pub(super) fn number(&mut self, entry: Option<&'a Entry>) -> Option<u64> {
        let entry = entry?;
        let number = entry.value.parse().ok();
        if number.is_none() {
            self.fault(Some(entry), format!("{:?} is no number", entry.value));
        }
        number
    }

    /// A port of a key.
    pub(super) fn port(&mut self, entry: Option<&'a Entry>) -> Option<u16> {
        let number = self.number(entry)?;
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        if port.is_none() {
            self.fault(entry, format!("{number} is no port; write 1 to 65535"));
        }
        port
    }

    /// A Jigasi that only writes down speech has nothing for phones.
    fn refuse_transcribers(&mut self, old: &Old) {
        let off =
            self.keys.jigasi("ENABLE_SIP").filter(|it| it.value.eq_ignore_ascii_case("false"));
        if let Some(entry) = off {
            let what = "is false: this Jigasi only writes down speech; leave it as it is, and migrate the one for phones";
            self.fault(Some(entry), what);
        } else if self.phone.is_none() {
            let what = format!(
                "no SIP account is declared; write {}acc1=acc1 and its USER_ID, as in Jigasi's sample",
                Protocol::Sip.prefix()
            );
            self.fault(None, what);
        }
        if let Some(entry) = self.keys.jigasi("ENABLE_TRANSCRIPTION").filter(|it| it.is_true()) {
            let what = "speech is not written down here; leave a Jigasi with org.jitsi.jigasi.ENABLE_SIP=false beside for that";
            self.warn(Some(entry), what);
        }
        let disabled = |name: &String| name == "JIGASI_DISABLE_SIP";
        if let Some((_, origin)) = old.docker.iter().find(|(name, _)| disabled(name)) {
            let what = "is set; Jigasi's container takes no notice of it, and nor do we";
            self.notes.warn(Some(origin), what);
        }
    }

    fn accounts_that_count(&mut self, sip: &[Account<'_>], jabber: &[Account<'_>]) {
        for account in sip.iter().chain(jabber).filter(|account| !account.is_declared) {
            let head = account.first.key.rsplit_once(&format!(".{}", account.id));
            let head = head.map_or("", |(head, _)| head);
            let what = format!(
                "no line declares account {0}, so that Jigasi does not see it, and nor do we; write {head}.{0}={0}",
                account.id
            );
            self.notes.warn(Some(&account.first.origin), what);
        }
        for account in sip.iter().filter(|account| account.is_used()).skip(1) {
            let what = format!(
                "Jigasi uses one SIP account, the first; {} is left out: make it a [[trunk]] if you want it",
                account.id
            );
            self.notes.warn(Some(&account.first.origin), what);
        }
    }

    fn listeners(&mut self) {
        let entry = self.keys.get("net.java.sip.communicator.SIP_PREFERRED_CLEAR_PORT");
        let port = self.port(entry).unwrap_or(5060);
        let any = if self.here.address.is_ipv4() { "0.0.0.0" } else { "[::]" };
        let address = self.here.address;
        let listen = ["udp", "tcp"].map(|way| format!("{way}:{any}:{port} as {address}"));
        self.draft.section("sip", "Where telephones and exchanges reach the gateway.");
        let note = "every address, as Jigasi does; after \"as\" what others are told (--address)";
        self.draft.put("listen", listen.to_vec(), Why::Because(note));
        let note = "callers without a room get 486, as from Jigasi; \"ask\" asks them for a PIN";
        self.draft.put("unmatched", "refuse", Why::Because(note));
        if address.is_loopback() {
            let what = "this machine has no way out, so that only itself reaches the gateway; give --address";
            self.warn(None, what);
        }
        let pairs = self.port_range().map_or(1, |(first, last, _)| pairs(first, last));
        let calls = (pairs / 2).clamp(1, 1000);
        self.draft.put(
            "calls_max",
            i64::from(calls),
            Why::Because("each call takes a pair of [rtp] ports, and one towards the bridge"),
        );
    }

    /// First and last port, and the key that says so.
    fn port_range(&mut self) -> Option<(u16, u16, Option<&'a Entry>)> {
        let of = |name: &str, other: &str| {
            let other = format!("net.java.sip.communicator.service.protocol.{other}");
            self.keys.get(name).or_else(|| self.keys.get(&other))
        };
        let first = of(super::PORT_MIN, "MIN_MEDIA_PORT_NUMBER");
        let last = of(super::PORT_MAX, "MAX_MEDIA_PORT_NUMBER");
        let said = first.or(last);
        let first = self.port_or(first, PORTS.0)?;
        let last = self.port_or(last, PORTS.1)?;
        // The bridge on the same machine has this one, and Jigasi tries its luck with it.
        let first = if first == BRIDGE { BRIDGE + 2 } else { first };
        Some((first, last, said))
    }

    fn port_or(&mut self, entry: Option<&'a Entry>, usual: u16) -> Option<u16> {
        match entry {
            Some(_) => self.port(entry),
            None => Some(usual),
        }
    }

    fn ports(&mut self) {
        let Some((first, last, said)) = self.port_range() else { return };
        self.draft.section("rtp", "");
        let text = format!("{first}-{last}");
        let why = said.map_or(Why::Because("what Jigasi takes where nothing is said"), Why::From);
        self.draft.put("ports", text, why);
        if pairs(first, last) == 0 {
            self.fault(
                said,
                format!("{first}-{last} has no room for a call; write 20000 and 20999"),
            );
        }
        let held_bridge = said.is_none() || first == BRIDGE + 2;
        if held_bridge {
            let what = format!(
                "ports began at {BRIDGE}, which is the bridge's: they begin at {first} here; open UDP {first}-{last}"
            );
            self.warn(said, what);
        } else if (first..=last).contains(&BRIDGE) {
            let what = format!(
                "ports {first}-{last} include {BRIDGE}, which is the bridge's; begin above it"
            );
            self.warn(said, what);
        }
    }

    /// Jigasi's pages over HTTP, and what they may do.
    fn pages(&mut self) {
        let host = self.keys.jigasi("rest.jetty.host").or_else(|| self.keys.jigasi("rest.host"));
        let port = self.keys.jigasi("rest.jetty.port").or_else(|| self.keys.jigasi("rest.port"));
        let shown = self.port(port).unwrap_or(8788);
        let shutdown = self.keys.jigasi("ENABLE_REST_SHUTDOWN").filter(|entry| entry.is_true());
        self.draft.section("jigasi", "What operators know from Jigasi.");
        let is_local =
            host.is_none_or(|entry| ["127.0.0.1", "localhost"].contains(&entry.value.as_str()));
        if let Some(entry) = host.filter(|_| !is_local) {
            match entry.value.parse::<IpAddr>() {
                Ok(ip) => {
                    let address = std::net::SocketAddr::new(ip, shown).to_string();
                    self.draft.put("rest", address, Why::From(entry));
                }
                Err(_) => self
                    .fault(Some(entry), format!("{:?} is no address; write 0.0.0.0", entry.value)),
            }
        }
        if let Some(entry) = shutdown {
            self.draft.put("shutdown", true, Why::From(entry));
        }
        let threshold = self.keys.jigasi("CONFERENCES_THRESHOLD");
        if let (Some(count), Some(entry)) = (self.number(threshold), threshold) {
            self.draft.put("conferences_threshold", whole(count.max(1)), Why::From(entry));
        }
        self.health_call();
        // Our own pages: where Jigasi's are, unless those have a door of their own.
        let beside = if shown == 8789 { 8787 } else { 8789 };
        let own = if is_local { shown } else { beside };
        self.draft.section("http", "");
        let note = match is_local {
            true => "Jigasi's pages and ours",
            false => "our pages; Jigasi's are at [jigasi] rest",
        };
        let why = port.filter(|_| is_local).map_or(Why::Because(note), Why::From);
        self.draft.put("listen", format!("127.0.0.1:{own}"), why);
    }

    fn health_call(&mut self) {
        let Some(target) = self.keys.jigasi("HEALTH_CHECK_SIP_URI") else { return };
        if self.exchange().is_none() {
            let what = "no exchange is known that could be called; give the trunk a `peer`, then [jigasi] health_check_uri";
            self.warn(Some(target), what);
            return;
        }
        self.draft.put("health_check_uri", target.value.as_str(), Why::From(target));
        for (name, key, least) in [
            ("HEALTH_CHECK_INTERVAL", "health_check_interval_s", 30),
            ("HEALTH_CHECK_TIMEOUT", "health_check_timeout_s", 60),
        ] {
            let entry = self.keys.jigasi(name);
            if let (Some(ms), Some(entry)) = (self.number(entry), entry) {
                let seconds = (ms / 1000).clamp(least, 86_400);
                self.draft.put(key, whole(seconds), Why::From(entry));
            }
        }
    }
}

/// Even ports from the first to below the last.
fn pairs(first: u16, last: u16) -> u16 {
    let first = first.saturating_add(first % 2);
    last.saturating_sub(first).div_ceil(2)
}

/// A number as TOML has it.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
