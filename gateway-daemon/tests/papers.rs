//! The papers do not promise what is not there: links lead somewhere, and the configuration in the README is good.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gateway_daemon::config;

/// Pages at the root and below `docs`, with their paths.
fn pages() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut folders = vec![root.clone(), root.join("docs"), root.join("docs/decisions")];
    folders.push(root.join("dialplans"));
    let mut pages = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(&folder).expect("the repository is readable") {
            let path = entry.expect("the repository is readable").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("pages are UTF-8");
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() > 8, "the reader found only {} pages: it is broken", pages.len());
    pages.sort();
    pages
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("it exists")
}

/// Targets of `[text](target)` that are files of ours, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        let ours = !target.is_empty() && !target.contains("://") && !target.contains(' ');
        ours.then_some(target)
    })
}

#[test]
fn every_link_leads_to_a_file() {
    let mut broken = Vec::new();
    for (page, text) in pages() {
        let folder = page.parent().expect("a file has a folder");
        for target in links(&text).filter(|target| !folder.join(target).exists()) {
            let page = page.strip_prefix(root()).unwrap_or(&page);
            broken.push(format!("{}: {target}", page.display()));
        }
    }
    assert!(broken.is_empty(), "links to nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_configuration_in_the_readme_is_good() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it exists");
    let blocks: Vec<&str> = readme.split("```").skip(1).step_by(2).collect();
    let example = blocks.iter().find(|block| block.trim_start().starts_with("[sip]"));
    let example = example.expect("the README shows a configuration");
    if let Err(mistakes) = config::parse("README.md", example, &root()) {
        panic!("{mistakes}");
    }
}

#[test]
fn every_decision_stands_in_their_index() {
    let index = fs::read_to_string(root().join("docs/decisions/README.md")).expect("it exists");
    for (page, _) in pages() {
        let name = page.file_name().expect("a file has a name").to_string_lossy();
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            assert!(index.contains(&format!("({name})")), "docs/decisions/README.md lacks {name}");
        }
    }
}

/// Names of all functions of the sources.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the repository is readable") {
        let path = entry.expect("the repository is readable").path();
        let is_ours = !path.ends_with("target") && !path.ends_with(".git");
        if path.is_dir() && is_ours {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let found = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            names.extend(found.map(str::to_owned));
        }
    }
}

#[test]
fn every_defect_of_jigasi_has_its_test() {
    let page = fs::read_to_string(root().join("docs/jigasi.md")).expect("it exists");
    let table = page.split("## Defects").nth(1).expect("it has that section");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    let mut names = BTreeSet::new();
    functions(&root(), &mut names);
    let mut missing = Vec::new();
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        missing.extend(tests.into_iter().filter(|name| !names.contains(*name)));
    }
    assert!(missing.is_empty(), "tests that are not there: {missing:?}");
}
