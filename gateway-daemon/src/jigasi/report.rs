//! What became of each key of one installation: for the terminal, for the log, for `weebee check`.

use std::collections::BTreeMap;

use super::keys::{Entry, Origin, Protocol};
use super::old::Old;
use super::table::{self, Fate, Place, Row};
use super::translate::Translation;
use crate::check::{Finding, Weight};

/// One key with what became of it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name, without what is the same in all of a family.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// Its row; `None`: nobody knows it.
    pub row: Option<&'static Row>,
    /// Place and name, for what is not known.
    asked: (Place, String),
}

/// All keys of an installation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the files.
    pub lines: Vec<Line>,
}

impl Report {
    /// Of an installation.
    pub fn new(old: &Old) -> Self {
        let of_docker = old.docker.iter().map(|(name, origin)| line(Place::Docker, name, origin));
        let of_debian = old.debian.iter().map(|(name, origin)| line(Place::Debian, name, origin));
        // What a container would write is told by its variables.
        let written = |entry: &&Entry| !old.docker.is_empty() && !is_line(&entry.origin);
        let filled = |entry: &&Entry| {
            ["JIGASI_SIPUSER", "JIGASI_SIPPWD", "JIGASI_HOSTNAME"].contains(&entry.key.as_str())
        };
        let keys = old.keys.all().filter(|entry| !written(entry) && !filled(entry));
        let lines = keys.map(of_key).chain(of_docker).chain(of_debian);
        Self { lines: lines.collect() }
    }

    /// How many have this fate; `None`: unknown ones.
    pub fn count(&self, fate: Option<Fate>) -> usize {
        self.lines.iter().filter(|line| line.row.map(|row| row.fate) == fate).count()
    }

    /// The counts in one sentence.
    pub fn counts(&self) -> String {
        format!(
            "{} keys: {} taken, {} not needed, {} not supported, {} unknown",
            self.lines.len(),
            self.count(Some(Fate::Taken)),
            self.count(Some(Fate::NotNeeded)),
            self.count(Some(Fate::NotSupported)),
            self.count(None),
        )
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.counts());
        out.push_str("\ntaken:\n");
        for line in self.with(Some(Fate::Taken)) {
            let says = line.row.map_or("", |row| row.says);
            out.push_str(&format!("  {} {}: {says}\n", line.origin, line.name));
        }
        for fate in [Fate::NotNeeded, Fate::NotSupported] {
            let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for line in self.with(Some(fate)) {
                let says = line.row.map_or("", |row| row.says);
                reasons.entry(says).or_default().push(line.name.clone());
            }
            if !reasons.is_empty() {
                out.push_str(&format!("\n{}:\n", fate.words()));
            }
            for (says, names) in reasons {
                out.push_str(&format!("  {}: {says}\n", names.join(", ")));
            }
        }
        let unknown: Vec<&Line> = self.with(None).collect();
        if !unknown.is_empty() {
            out.push_str("\nunknown:\n");
        }
        for line in unknown {
            out.push_str(&format!("  {} {}\n", line.origin, line.unknown()));
        }
        out
    }

    fn with(&self, fate: Option<Fate>) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.row.map(|row| row.fate) == fate)
    }
}

impl Line {
    fn unknown(&self) -> String {
        let near = table::nearest(self.asked.0, &self.asked.1);
        let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        format!("{}: no key that Jigasi reads{hint}", self.name)
    }
}

fn is_line(origin: &Origin) -> bool {
    matches!(origin, Origin::Line { .. })
}

fn line(place: Place, name: &str, origin: &Origin) -> Line {
    let asked = (place, name.to_owned());
    Line { name: name.to_owned(), origin: origin.clone(), row: table::row(place, name), asked }
}

/// A key of the file. The line that declares an account belongs to it.
fn of_key(entry: &Entry) -> Line {
    let (place, name) = table::placed(&entry.key);
    let mut row = table::row_of(&entry.key);
    for protocol in [Protocol::Sip, Protocol::Jabber] {
        let id = entry.key.strip_prefix(protocol.prefix());
        if id.is_some_and(|id| !id.contains('.') && id == entry.value) {
            row = Some(&DECLARATION);
        }
    }
    let short = entry.key.strip_prefix("net.java.sip.communicator.impl.protocol.");
    let short = short.or_else(|| entry.key.strip_prefix("org.jitsi.jigasi."));
    Line {
        name: short.unwrap_or(&entry.key).to_owned(),
        origin: entry.origin.clone(),
        row,
        asked: (place, name.to_owned()),
    }
}

/// `...ACC=ACC`.
const DECLARATION: Row =
    Row { place: Place::Other, name: "ACC=ACC", fate: Fate::Taken, says: "declares an account" };

/// What the log says at the start, and `weebee check`: counts, then all that an admin should know.
pub fn findings(old: &Old, translation: &Translation) -> Vec<Finding> {
    let report = Report::new(old);
    let mut found = vec![Finding::good(0, format!("Jigasi's configuration, {}", report.counts()))];
    let main = super::old::short_name(std::path::Path::new(&old.name));
    let at = |origin: Option<&Origin>| match origin {
        Some(Origin::Line { file, line }) if *file == main => (*line, String::new()),
        Some(origin) => (0, format!("{origin}: ")),
        None => (0, String::new()),
    };
    let lost: Vec<&str> =
        report.with(Some(Fate::NotSupported)).map(|line| line.name.as_str()).collect();
    if !lost.is_empty() {
        let text =
            format!("not supported: {}; `weebee migrate --explain KEY` says why", lost.join(", "));
        found.push(Finding::warning(0, text));
    }
    for line in report.with(None) {
        let (number, before) = at(Some(&line.origin));
        found.push(Finding::warning(number, format!("{before}{}", line.unknown())));
    }
    for remark in &translation.remarks {
        let (line, before) = at(remark.origin.as_ref());
        let text = format!("{before}{}", remark.text);
        found.push(Finding { weight: remark.weight, line, text });
    }
    found.sort_by_key(|finding| (finding.weight != Weight::Good, finding.line));
    found
}
