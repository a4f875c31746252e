//! Our TOML as it is written line by line, with the place each value comes from. What our reader has no key for is left
//! out and said.

use gateway_core::base::pii::Pii;

use super::keys::{Entry, Origin};
use crate::config::schema::{self, SectionDecl};

/// Where secrets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsAt {
    /// Files in this folder beside the TOML.
    Folder(String),
    /// Nowhere but memory: the gateway runs straight from the old configuration.
    Memory,
}

/// A secret by the name of its file, or of its variable.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Name.
    pub name: String,
    /// The secret.
    pub value: Pii<String>,
}

/// Why a value is what it is.
#[derive(Clone, Copy, Debug)]
pub enum Why<'a> {
    /// It is that of a key.
    From(&'a Entry),
    /// It follows from a key, so:
    Of(&'a Entry, &'a str),
    /// For this reason.
    Because(&'a str),
    /// No need to say.
    Plain,
}

/// The text that grows.
#[derive(Debug)]
pub struct Draft {
    /// Lines, with the place that a mistake in them is to be looked for at.
    pub lines: Vec<(String, Option<Origin>)>,
    /// Secrets.
    pub secrets: Vec<Secret>,
    /// Sections and keys that our reader does not know.
    pub left_out: Vec<String>,
    at: SecretsAt,
    section: Option<&'static SectionDecl>,
}

impl Draft {
    /// Empty.
    pub fn new(at: SecretsAt) -> Self {
        let (lines, secrets, left_out) = (Vec::new(), Vec::new(), Vec::new());
        Self { lines, secrets, left_out, at, section: None }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.lines.iter().map(|(line, _)| format!("{line}\n")).collect()
    }

    /// A line of comment.
    pub fn comment(&mut self, text: &str) {
        self.lines.push((format!("# {text}"), None));
    }

    /// Begins a section.
    pub fn section(&mut self, name: &str, about: &str) {
        self.section = schema::section(name);
        let Some(decl) = self.section else {
            self.leave_out(format!("[{name}]"));
            return;
        };
        self.lines.push((String::new(), None));
        if !about.is_empty() {
            self.comment(about);
        }
        let heading = if decl.many { format!("[[{name}]]") } else { format!("[{name}]") };
        self.lines.push((heading, None));
    }

    /// Whether the section that was begun has this key.
    pub fn has(&self, key: &str) -> bool {
        self.section.is_some_and(|decl| decl.key(key).is_some())
    }

    /// One key.
    pub fn put(&mut self, key: &str, value: impl Into<toml::Value>, why: Why<'_>) {
        let Some(decl) = self.section else { return };
        if decl.key(key).is_none() {
            self.leave_out(format!("[{}] {key}", decl.name));
            return;
        }
        let value: toml::Value = value.into();
        let (comment, origin) = match why {
            Why::From(entry) => (said(entry), Some(entry.origin.clone())),
            Why::Of(entry, note) => {
                (format!("{}: {note}", said(entry)), Some(entry.origin.clone()))
            }
            Why::Because(note) => (note.to_owned(), None),
            Why::Plain => (String::new(), None),
        };
        let comment = match comment.is_empty() {
            true => comment,
            false => format!("    # {}", comment.replace(char::is_control, " ")),
        };
        // A text with line breaks must stay on its line, for the sake of the places; JSON writes it as TOML may.
        let value = match &value {
            toml::Value::String(text) if text.contains('\n') => serde_json::json!(text).to_string(),
            value => value.to_string(),
        };
        self.lines.push((format!("{key} = {value}{comment}"), origin));
    }

    fn leave_out(&mut self, what: String) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }

    /// A secret: `STEM_file` or `STEM_env`.
    pub fn secret(&mut self, stem: &str, name: &str, value: Pii<String>, why: Why<'_>) {
        let (key, place) = match &self.at {
            SecretsAt::Folder(folder) => (format!("{stem}_file"), format!("{folder}/{name}")),
            SecretsAt::Memory => (format!("{stem}_env"), format!("{MEMORY}{name}")),
        };
        if self.has(&key) {
            self.secrets.push(Secret { name: name.to_owned(), value });
        }
        self.put(&key, place, why);
    }
}

/// What names of variables begin with that are in memory alone. No environment has such names.
pub const MEMORY: &str = "jigasi:";

fn said(entry: &Entry) -> String {
    match &entry.origin {
        Origin::Variable(name) => name.clone(),
        origin => format!("{origin} {}", entry.short()),
    }
}
