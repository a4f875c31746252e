//! Old configurations become ours: what is taken, what is said, what is refused, and that our reader takes the result.

mod installations;
mod keys;
mod mistakes;
mod mutations;

use std::path::Path;

use super::draft::SecretsAt;
use super::fixtures::{here, of_properties};
use super::old::Old;
use super::report;
use super::translate::translate;
use crate::config::{Config, Mistakes};

/// Straight into our reader, as a gateway that runs from it does.
fn config(old: &Old) -> Config {
    let translation = translate(old, &here(), SecretsAt::Memory).expect("good");
    match super::judged(old, &translation, Path::new("")) {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}\n{}", translation.text),
    }
}

fn refused(text: &str) -> String {
    let old = of_properties(text);
    let translation = match translate(&old, &here(), SecretsAt::Memory) {
        Err(mistakes) => return mistakes.to_string(),
        Ok(translation) => translation,
    };
    let read: Result<Config, Mistakes> = super::judged(&old, &translation, Path::new(""));
    read.expect_err(text).to_string()
}

/// What is said of an installation that works.
fn said(old: &Old) -> String {
    let translation = translate(old, &here(), SecretsAt::Memory).expect("good");
    let found = report::findings(old, &translation);
    found.iter().map(|finding| format!("{}\n", finding.shown(&old.name))).collect()
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    let missing: Vec<&&str> = parts.iter().filter(|part| !text.contains(**part)).collect();
    assert!(missing.is_empty(), "{missing:#?} not in\n{text}");
}
