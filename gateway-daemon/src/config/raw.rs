//! Reads a TOML file against the declarations of [`super::schema`]: unknown sections and keys, wrong kinds and numbers
//! out of range become mistakes with their line; what is missing takes its default.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistakes;
use super::schema::{self, KeyDecl, Kind, SECTIONS, SectionDecl};

/// A value of the right kind and within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Number.
    Whole(i64),
    /// True or false.
    Flag(bool),
}

/// One section of the file, complete: what was not given has its default.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its declaration.
    pub decl: &'static SectionDecl,
    /// Line of its heading; 0: not in the file.
    pub line: usize,
    values: Values,
}

/// Values by their keys, each with its line; 0: a default.
type Values = BTreeMap<&'static str, (usize, Value)>;

/// The sections of a file.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// Single sections appear exactly once, others as often as in the file, in its order.
    pub sections: Vec<Section>,
}

impl Raw {
    /// A section that may appear once.
    pub fn one(&self, name: &str) -> &Section {
        self.sections
            .iter()
            .find(|section| section.decl.name == name)
            .expect("read() gives every single section, present in the file or not")
    }

    /// Sections that may appear several times.
    pub fn many<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Section> + 'a {
        self.sections.iter().filter(move |section| section.decl.name == name)
    }
}

impl Section {
    /// Text of a key.
    pub fn text(&self, key: &str) -> &str {
        match self.value(key) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// Texts of a key.
    pub fn texts(&self, key: &str) -> &[String] {
        match self.value(key) {
            Value::Texts(texts) => texts,
            _ => &[],
        }
    }

    /// Number of a key. Numbers are never negative (tested for all declarations).
    pub fn whole(&self, key: &str) -> u64 {
        match self.value(key) {
            Value::Whole(number) => u64::try_from(*number).unwrap_or(0),
            _ => 0,
        }
    }

    /// Flag of a key.
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.value(key), Value::Flag(true))
    }

    /// Whether the file gives the key.
    pub fn given(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|(line, _)| *line > 0)
    }

    /// Where to point for a key: its line, else the section's.
    pub fn at(&self, key: &str) -> usize {
        match self.values.get(key) {
            Some((line, _)) if *line > 0 => *line,
            _ => self.line,
        }
    }

    /// How messages call this section: `trunk "carrier-a"` or `sip`.
    pub fn title(&self) -> String {
        let label = self.decl.many.then(|| self.decl.keys.first()).flatten();
        match label.and_then(|key| self.values.get(key.name)) {
            Some((line, Value::Text(name))) if *line > 0 => format!("{} {name:?}", self.decl.name),
            _ => self.decl.name.to_owned(),
        }
    }

    fn value(&self, key: &str) -> &Value {
        self.values.get(key).map_or(&MISSING, |(_, value)| value)
    }
}

/// Stands for a needed key that is not there; its absence was reported.
static MISSING: Value = Value::Text(String::new());

/// Reads `text`; what is wrong goes to `mistakes`.
pub fn read(text: &str, mistakes: &mut Mistakes) -> Raw {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(0, |span| lines.at(&span));
        let what = error.message().lines().next().unwrap_or("not TOML").to_owned();
        mistakes.add(line, format!("not TOML: {what}"));
    }
    let mut raw = Raw::default();
    for (name, value) in table.get_ref() {
        let family = format!("{}.", name.get_ref());
        let has_kin = SECTIONS.iter().any(|section| section.name.starts_with(&family));
        match value.get_ref() {
            // `[[conference.jitsi]]`: a table of sections.
            DeValue::Table(members) if has_kin => {
                for (member, value) in members {
                    let at = lines.at(&member.span());
                    let full = format!("{family}{}", member.get_ref());
                    read_section(&full, at, value, &lines, &mut raw, mistakes);
                }
            }
            _ => {
                let at = lines.at(&name.span());
                read_section(name.get_ref(), at, value, &lines, &mut raw, mistakes);
            }
        }
    }
    for decl in SECTIONS.iter().filter(|decl| !decl.many) {
        if !raw.sections.iter().any(|section| section.decl.name == decl.name) {
            let empty = DeTable::new();
            raw.sections.push(read_keys(decl, 0, &empty, &lines, mistakes));
        }
    }
    raw.sections.sort_by_key(|section| section.line);
    raw
}

fn read_section(
    name: &str,
    line: usize,
    value: &Spanned<DeValue<'_>>,
    lines: &Lines,
    raw: &mut Raw,
    mistakes: &mut Mistakes,
) {
    let Some(decl) = schema::section(name) else {
        let known = SECTIONS.iter().map(|section| section.name);
        let hint = nearest(name, known);
        mistakes.add(line, format!("unknown section [{name}]{hint}"));
        return;
    };
    match (decl.many, value.get_ref()) {
        (false, DeValue::Table(table)) => {
            raw.sections.push(read_keys(decl, line, table, lines, mistakes));
        }
        (true, DeValue::Array(entries)) => {
            for entry in entries.iter() {
                let at = lines.at(&entry.span());
                match entry.get_ref() {
                    DeValue::Table(table) => {
                        raw.sections.push(read_keys(decl, at, table, lines, mistakes));
                    }
                    _ => mistakes.add(at, format!("write [[{}]] above its keys", decl.name)),
                }
            }
        }
        (true, _) => {
            mistakes.add(line, format!("[{0}] may appear several times: write [[{0}]]", decl.name))
        }
        (false, _) => {
            mistakes.add(line, format!("{0} is a section: write [{0}] above its keys", decl.name));
        }
    }
}

fn read_keys(
    decl: &'static SectionDecl,
    line: usize,
    table: &DeTable<'_>,
    lines: &Lines,
    mistakes: &mut Mistakes,
) -> Section {
    let values = DEFAULTS.get(decl.name).cloned().unwrap_or_default();
    let mut section = Section { decl, line, values };
    // The key that names the section comes first, so that messages about the others can name it.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| decl.keys.first().map(|key| key.name) != Some(name.get_ref()));
    for (name, value) in entries {
        let at = lines.at(&name.span());
        let Some(key) = decl.key(name.get_ref()) else {
            let hint = nearest(name.get_ref(), decl.keys.iter().map(|key| key.name));
            let title = section.title();
            mistakes.add(at, format!("{title}: unknown key {}{hint}", name.get_ref()));
            continue;
        };
        match read_value(key, value.get_ref()) {
            Ok(value) => drop(section.values.insert(key.name, (at, value))),
            Err(what) => {
                let title = section.title();
                mistakes.add(at, format!("{title}: {}: {what}", key.name));
                section.values.entry(key.name).and_modify(|entry| entry.0 = at);
            }
        }
    }
    for key in decl.keys.iter().filter(|key| key.default.is_none()) {
        if !table.keys().any(|name| name.get_ref() == key.name) {
            let title = section.title();
            let example = key.example.unwrap_or("\"\"");
            mistakes.add(line, format!("{title}: {} is missing; write {0} = {example}", key.name));
        }
    }
    section
}

/// The defaults of each section, parsed once: they are the larger part of reading a small file.
static DEFAULTS: LazyLock<BTreeMap<&'static str, Values>> = LazyLock::new(|| {
    let default = |key: &KeyDecl| Some((key.name, (0, default_value(key, key.default?))));
    let of = |decl: &SectionDecl| decl.keys.iter().filter_map(default).collect();
    SECTIONS.iter().map(|decl| (decl.name, of(decl))).collect()
});

/// A default, which is TOML of our own.
fn default_value(key: &KeyDecl, default: &str) -> Value {
    let parsed = DeValue::parse(default).expect("defaults are TOML (tested for all declarations)");
    read_value(key, parsed.get_ref()).expect("defaults are valid (tested for all declarations)")
}

fn read_value(key: &KeyDecl, value: &DeValue<'_>) -> Result<Value, String> {
    match (key.kind, value) {
        (Kind::Text, DeValue::String(text)) => Ok(Value::Text(text.to_string())),
        (Kind::Texts, DeValue::Array(_)) => Ok(Value::Texts(texts(value)?)),
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Whole { min, max, unit }, DeValue::Integer(number)) => {
            let digits = number.as_str().replace('_', "");
            match i64::from_str_radix(&digits, number.radix()) {
                Ok(number) if (min..=max).contains(&number) => Ok(Value::Whole(number)),
                _ => Err(format!("{digits} is out of range; write {}", range(min, max, unit))),
            }
        }
        (Kind::OneOf(choices), DeValue::String(text)) => one_of(choices, text).map(Value::Text),
        (Kind::OneOf(choices), DeValue::Integer(number)) => {
            one_of(choices, number.as_str()).map(Value::Text)
        }
        (Kind::SomeOf(choices), DeValue::Array(_)) => {
            let texts = texts(value)?;
            if texts.is_empty() {
                return Err(format!("the list is empty; choose from {}", choices.join(", ")));
            }
            let chosen: Result<Vec<String>, String> =
                texts.iter().map(|text| one_of(choices, text)).collect();
            Ok(Value::Texts(chosen?))
        }
        (kind, other) => Err(format!("expected {}, found {}", kind_name(kind), other.type_str())),
    }
}

fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let entries = value.as_array().map(|array| array.iter()).into_iter().flatten();
    entries
        .map(|entry| {
            entry.get_ref().as_str().map(str::to_owned).ok_or_else(|| {
                format!("expected texts in quotes, found {}", entry.get_ref().type_str())
            })
        })
        .collect()
}

fn one_of(choices: &[&'static str], text: &str) -> Result<String, String> {
    if choices.contains(&text) {
        return Ok(text.to_owned());
    }
    let shown: Vec<_> = choices.iter().filter(|choice| !choice.is_empty()).copied().collect();
    Err(format!("{text:?} is none of: {}{}", shown.join(", "), nearest(text, shown.into_iter())))
}

/// What a key holds, for messages and docs.
pub fn kind_name(kind: Kind) -> String {
    match kind {
        Kind::Text => "text in quotes".to_owned(),
        Kind::Texts => "a list of texts".to_owned(),
        Kind::Whole { min, max, unit } => format!("a number, {}", range(min, max, unit)),
        Kind::Flag => "true or false".to_owned(),
        Kind::OneOf(choices) => format!("one of {}", quoted(choices)),
        Kind::SomeOf(choices) => format!("a list of {}", quoted(choices)),
    }
}

fn range(min: i64, max: i64, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!("{min} to {max}{space}{unit}")
}

fn quoted(choices: &[&str]) -> String {
    let quoted: Vec<_> = choices
        .iter()
        .filter(|choice| !choice.is_empty())
        .map(|choice| format!("{choice:?}"))
        .collect();
    quoted.join(", ")
}

/// `; did you mean X?`, if one of `known` is near enough.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let word = word.to_lowercase();
    let best = known
        .map(|candidate| (edit_distance(&word, &candidate.to_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance);
    match best {
        Some((distance, candidate)) if distance <= 1 + word.len() / 3 => {
            format!("; did you mean {candidate}?")
        }
        _ => "; see `weebee config` for all keys".to_owned(),
    }
}

/// Levenshtein distance.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Byte offsets to line numbers.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let starts = std::iter::once(0);
        let more = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { starts: starts.chain(more).collect() }
    }

    fn at(&self, span: &Range<usize>) -> usize {
        self.starts.partition_point(|start| *start <= span.start)
    }
}
