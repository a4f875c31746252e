//! Old configurations for tests: `testdata/jigasi-config` has their stories.

use std::path::PathBuf;

use super::environment::Environment;
use super::keys::{Keys, Origin};
use super::old::Old;
use super::translate::Here;
use super::{properties, translate};

/// Debian's package.
pub(super) const SAMPLE: &str = include_str!("../../../testdata/jigasi-config/debian.properties");
/// A package of 2019.
pub(super) const PACKAGED: &str =
    include_str!("../../../testdata/jigasi-config/packaged-2019.properties");
/// The least that Docker needs.
pub(super) const DOCKER: &str = include_str!("../../../testdata/jigasi-config/docker.env");
/// Much of what Docker takes.
pub(super) const SHARDS: &str = include_str!("../../../testdata/jigasi-config/shards.env");

/// A machine that has no certificates.
pub(super) fn here() -> Here {
    Here { address: [192, 0, 2, 7].into(), certificates: PathBuf::from("/nowhere") }
}

/// An installation from the text of its properties.
pub(super) fn of_properties(text: &str) -> Old {
    of_read(&properties::read(text.as_bytes()).expect("good"))
}

/// An installation from properties that were read.
pub(super) fn of_read(read: &properties::Properties) -> Old {
    let mut keys = Keys::default();
    keys.take(read, |line| Origin::Line { file: "sip.properties".to_owned(), line });
    Old { name: "sip.properties".to_owned(), keys, ..Old::default() }
}

/// An installation from the text of its variables.
pub(super) fn of_environment(text: &str) -> Old {
    Old::of_environment(".env", &Environment::of_file(text), None).expect("good")
}

/// Our TOML, with secrets in files.
pub(super) fn toml(old: &Old) -> String {
    let at = super::draft::SecretsAt::Folder("weebee.secrets".to_owned());
    translate::translate(old, &here(), at).expect("good").text
}
