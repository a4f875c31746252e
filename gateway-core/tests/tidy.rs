//! The house is tidy: files stay readable in one sitting, every module says what it is for, and a promise has an owner.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines. CONTRIBUTING.md aims at 100 to 400; at 600 look twice.
const LINES_MAX: usize = 900;

/// Longest line, in characters. rustfmt holds code to 100 and we aim at 120 for prose. A line with a text in
/// quotes may be longer.
const COLUMNS_MAX: usize = 132;

/// Files that may be longer, each with its reason. One that is short again fails the test.
const LONG_FILES: &[(&str, &str)] = &[];

/// Folders with Rust sources, from the root of the repository.
const FOLDERS: &[&str] =
    &["gateway-core", "gateway-daemon", "gateway-sim", "benches", "tests-peers", "prompts/render"];

#[test]
fn files_stay_short() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        let excused = LONG_FILES.iter().any(|(name, _)| file == Path::new(name));
        match (lines > LINES_MAX, excused) {
            (true, false) => {
                faults.push(format!("{}: {lines} lines: which part wants a name?", file.display()))
            }
            (false, true) => {
                faults.push(format!("{}: {lines} lines: no longer an exception", file.display()))
            }
            _ => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn lines_stay_narrow() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !line.contains('"') {
                faults.push(format!(
                    "{}:{}: {} columns",
                    file.display(),
                    number + 1,
                    line.chars().count()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_file_begins_with_what_it_is_for() {
    let silent: Vec<String> = sources()
        // Tests of a module in a file of their own are spoken for by the module.
        .filter(|(file, text)| !text.starts_with("//!") && !file.ends_with("tests.rs"))
        .map(|(file, _)| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no module doc at the top of:\n{}", silent.join("\n"));
}

/// A note of work to do names who or what it waits for: `TODO(jitsi): ...`.
#[test]
fn each_promise_has_an_owner() {
    let marks = ["TODO", "FIXME", "XXX"];
    let mut faults = Vec::new();
    for (file, text) in sources().filter(|(file, _)| !file.ends_with("tests/tidy.rs")) {
        for (number, line) in text.lines().enumerate() {
            let Some((_, comment)) = line.split_once("//") else { continue };
            let open = marks.iter().any(|mark| {
                comment.split_once(mark).is_some_and(|(before, after)| {
                    !before.ends_with(|c: char| c.is_alphanumeric())
                        && !after.starts_with(|c: char| c.is_alphanumeric() || c == '(')
                })
            });
            if open {
                faults.push(format!("{}:{}: {}", file.display(), number + 1, comment.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "write TODO(owner): {}", faults.join("\n"));
}

/// Every Rust file of ours, with its path from the root of the repository.
fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the repository is readable") {
            let path = entry.expect("the repository is readable").path();
            let hidden =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                files.push((path.strip_prefix(&root).expect("found below it").to_owned(), text));
            }
        }
    }
    assert!(files.len() > 50, "the reader found only {} files: it is broken", files.len());
    files.sort();
    files.into_iter()
}
