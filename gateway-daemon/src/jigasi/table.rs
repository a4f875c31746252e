//! What becomes of each key of a Jigasi, of docker-jitsi-meet's variables and of Debian's options: one row per key. The
//! report of a migration, `weebee migrate --explain` and `docs/jigasi-keys.md` are made from these rows.

mod accounts;
mod docker;
mod own;

use super::keys::{JIGASI, Protocol};
use crate::config::raw::edit_distance;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `org.jitsi.jigasi.KEY`.
    Jigasi,
    /// `org.jitsi.jigasi.xmpp.acc.KEY`: the account of each call.
    CallAccount,
    /// `net.java.sip.communicator.impl.protocol.sip.ACC.KEY`.
    SipAccount,
    /// `net.java.sip.communicator.impl.protocol.jabber.ACC.KEY`.
    JabberAccount,
    /// `org.jitsi.jigasi.transcription.KEY`.
    Transcription,
    /// A key with its whole name.
    Other,
    /// A variable of docker-jitsi-meet.
    Docker,
    /// A variable of `/etc/jitsi/jigasi/config`, or an option of Jigasi's command line.
    Debian,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is taken as a key of ours.
    Taken,
    /// Nothing is lost without it.
    NotNeeded,
    /// What it is for is not there.
    NotSupported,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it stands.
    pub place: Place,
    /// Its name; a `*` at the end stands for any rest.
    pub name: &'static str,
    /// What becomes of it.
    pub fate: Fate,
    /// As what, or why.
    pub says: &'static str,
}

impl Place {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 8] = [
        Self::Jigasi,
        Self::CallAccount,
        Self::SipAccount,
        Self::JabberAccount,
        Self::Other,
        Self::Docker,
        Self::Debian,
        Self::Transcription,
    ];

    /// What its keys begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Jigasi => JIGASI,
            Self::CallAccount => "org.jitsi.jigasi.xmpp.acc.",
            Self::SipAccount => Protocol::Sip.prefix(),
            Self::JabberAccount => Protocol::Jabber.prefix(),
            Self::Transcription => "org.jitsi.jigasi.transcription.",
            Self::Other | Self::Docker | Self::Debian => "",
        }
    }

    /// Heading in the reference.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Jigasi => "Jigasi's own: `org.jitsi.jigasi.KEY`",
            Self::CallAccount => "The account of each call: `org.jitsi.jigasi.xmpp.acc.KEY`",
            Self::SipAccount => {
                "SIP account: `net.java.sip.communicator.impl.protocol.sip.ACC.KEY`"
            }
            Self::JabberAccount => {
                "XMPP account: `net.java.sip.communicator.impl.protocol.jabber.ACC.KEY`"
            }
            Self::Transcription => "Transcription: `org.jitsi.jigasi.transcription.KEY`",
            Self::Other => "Others, with their whole names",
            Self::Docker => "Variables of docker-jitsi-meet",
            Self::Debian => "`/etc/jitsi/jigasi/config` and options of the command line",
        }
    }
}

impl Fate {
    /// In the words of reports.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::NotNeeded => "not needed",
            Self::NotSupported => "not supported",
        }
    }
}

impl Row {
    /// Whether this row is about that name.
    fn is_for(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(head) => name.starts_with(head),
            None => self.name == name,
        }
    }
}

/// All rows.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [own::OWN, own::OTHERS, own::TRANSCRIPTION, accounts::CALL, accounts::SIP, accounts::JABBER]
        .into_iter()
        .chain([docker::VARIABLES, docker::DEBIAN])
        .flatten()
}

/// The row of a name at a place.
pub fn row(place: Place, name: &str) -> Option<&'static Row> {
    let here = |row: &&Row| row.place == place;
    // A name in full comes before a family.
    let exact = rows().filter(here).find(|row| row.name == name);
    exact.or_else(|| rows().filter(here).find(|row| row.is_for(name)))
}

/// Place and name of a key of `sip-communicator.properties`.
pub fn placed(key: &str) -> (Place, &str) {
    for place in [Place::CallAccount, Place::Transcription, Place::Jigasi] {
        if let Some(name) = key.strip_prefix(place.prefix()) {
            return (place, name);
        }
    }
    for place in [Place::SipAccount, Place::JabberAccount] {
        let account = key.strip_prefix(place.prefix()).and_then(|rest| rest.split_once('.'));
        if let Some((_, name)) = account {
            return (place, name);
        }
    }
    match key.starts_with("--") {
        true => (Place::Debian, key),
        false => (Place::Other, key),
    }
}

/// The row of a key of `sip-communicator.properties`. Any property of an account may stand at the account of each call.
pub fn row_of(key: &str) -> Option<&'static Row> {
    let (place, name) = placed(key);
    let beside = || match place {
        Place::CallAccount => row(Place::JabberAccount, name).filter(|row| row.fate != Fate::Taken),
        _ => None,
    };
    row(place, name).or_else(beside)
}

/// The known name at that place that is nearest to one that nobody knows.
pub fn nearest(place: Place, name: &str) -> Option<&'static str> {
    let (name, most) = (name.to_lowercase(), 1 + name.len() / 4);
    // No distance is smaller than the difference of lengths.
    let is_like = |row: &Row| row.name.len().abs_diff(name.chars().count()) <= most;
    let near = rows().filter(|row| row.place == place && is_like(row));
    let near = near.map(|row| (edit_distance(&name, &row.name.to_lowercase()), row.name));
    let (distance, best) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= most).then_some(best)
}

/// Of meetings that are not live yet.
const NO_QUEUE: &str = "no queue is asked: the caller waits with words and music, and Jicofo is asked again every few seconds";

const fn taken(place: Place, name: &'static str, says: &'static str) -> Row {
    Row { place, name, fate: Fate::Taken, says }
}

const fn not_needed(place: Place, name: &'static str, says: &'static str) -> Row {
    Row { place, name, fate: Fate::NotNeeded, says }
}

const fn not_supported(place: Place, name: &'static str, says: &'static str) -> Row {
    Row { place, name, fate: Fate::NotSupported, says }
}

/// `docs/jigasi-keys.md`.
pub fn reference_page() -> String {
    let mut out = String::from(
        "# What becomes of Jigasi's keys\n\n\
         <!-- Generated from gateway-daemon/src/jigasi/table by `weebee migrate --keys`; a test compares. -->\n\n\
         `weebee migrate --from sip-communicator.properties --to weebee.toml` says the same of the keys you have, with \
         their\nlines; `weebee migrate --explain KEY` of one. How to switch over: [jigasi](jigasi.md). Our keys: \
         [config](config.md).\n",
    );
    for place in Place::ALL {
        out.push_str(&format!("\n## {}\n\n", place.title()));
        out.push_str("| key | | as what, or why |\n|---|---|---|\n");
        for row in rows().filter(|row| row.place == place) {
            let words = row.fate.words();
            out.push_str(&format!("| `{}` | {words} | {} |\n", row.name, row.says));
        }
    }
    out
}

/// What the table says of a key, however it is written: whole, by its last part, or as a variable.
pub fn explain(asked: &str) -> String {
    let asked = asked.trim();
    let same =
        |name: &str| name.eq_ignore_ascii_case(asked) || placed(asked).1.eq_ignore_ascii_case(name);
    let mut found: Vec<&Row> = rows().filter(|row| same(row.name)).collect();
    if found.is_empty() {
        found.extend(row_of(asked));
    }
    if found.is_empty() {
        found.extend(rows().filter(|row| row.name.ends_with('*') && row.is_for(asked)));
    }
    let shown = |row: &&Row| {
        format!("{}{}: {}: {}\n", row.place.prefix(), row.name, row.fate.words(), row.says)
    };
    if !found.is_empty() {
        return found.iter().map(shown).collect();
    }
    let (place, name) = placed(asked);
    let near = Place::ALL.iter().find_map(|other| nearest(*other, name));
    let hint = nearest(place, name).or(near);
    let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("{asked}: no key that Jigasi or docker-jitsi-meet reads{hint}\n")
}
