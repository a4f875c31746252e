//! Texts made from the declarations: the commented default configuration and `docs/config.md`.

use super::raw::kind_name;
use super::schema::{KeyDecl, Kind, SECTIONS, SectionDecl};

/// The full default configuration with comments: what `weebee config` prints. It is a valid configuration for calls
/// from this host.
pub fn commented_default() -> String {
    let mut out = String::from(
        "# WeeBee gateway. Every key with its default; delete what you do not change.\n\
         # `weebee check --config FILE` judges this file without opening a socket.\n",
    );
    for section in SECTIONS {
        out.push('\n');
        for line in wrapped(section.about, 98) {
            out.push_str(&format!("# {line}\n"));
        }
        let off = if section.commented { "#" } else { "" };
        out.push_str(&format!("{off}{}\n", heading(section)));
        for key in section.keys {
            let kind = fact(key);
            for line in wrapped(&format!("{} ({kind})", key.why), 98) {
                out.push_str(&format!("# {line}\n"));
            }
            out.push_str(&format!("{off}{} = {}\n", key.name, shown_value(key)));
        }
    }
    out
}

/// `docs/config.md`.
pub fn reference_page() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Generated from gateway-daemon/src/config/schema.rs by `weebee config --reference`; a test compares. -->\n\n\
         One TOML file, `weebee run --config weebee.toml`. `weebee config > weebee.toml` writes this reference as a \
         commented\nfile; `weebee check --config weebee.toml` reports every mistake at once, with line and remedy \
         (exit code 64), before\nany socket opens. Relative paths are relative to the file's folder.\n",
    );
    for section in SECTIONS {
        out.push_str(&format!("\n## {}\n\n{}\n\n", heading(section), section.about));
        out.push_str("| key | kind | default | meaning |\n|---|---|---|---|\n");
        for key in section.keys {
            let default =
                key.default.map_or("must be given".to_owned(), |text| format!("`{text}`"));
            let row =
                format!("| `{}` | {} | {default} | {} |\n", key.name, kind_name(key.kind), key.why);
            out.push_str(&row);
        }
    }
    out
}

fn heading(section: &SectionDecl) -> String {
    match section.many {
        true => format!("[[{}]]", section.name),
        false => format!("[{}]", section.name),
    }
}

/// Kind in a few words; texts explain themselves.
fn fact(key: &KeyDecl) -> String {
    let needed = if key.default.is_none() { ", must be given" } else { "" };
    let kind = match key.kind {
        Kind::Text => "text".to_owned(),
        Kind::Texts => "list of texts".to_owned(),
        kind => kind_name(kind),
    };
    format!("{kind}{needed}")
}

fn shown_value(key: &KeyDecl) -> &'static str {
    key.example.or(key.default).unwrap_or("\"\"")
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("starts with one line and only grows");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
