//! Installations with something wrong in them.

use std::path::Path;

use gateway_core::base::rng::Rng;

use super::super::draft::SecretsAt;
use super::super::environment::Environment;
use super::super::fixtures::{DOCKER, PACKAGED, SAMPLE, SHARDS, here, of_read};
use super::super::keys::Origin;
use super::super::old::Old;
use super::super::report::Report;
use super::super::translate::translate;
use crate::testing::mutated;

/// `WEEBEE_JIGASI_MUTATIONS=1000000` for the long run.
fn asked() -> Option<usize> {
    std::env::var("WEEBEE_JIGASI_MUTATIONS").ok().and_then(|count| count.parse().ok())
}

/// A mutated environment is refused, or becomes keys each of which comes from a variable that is there.
#[test]
fn broken_environments_never_panic() {
    let runs = asked().unwrap_or(2_000);
    let mut rng = Rng::from_number(8).fork("environment");
    let mut good = 0;
    for run in 0..runs {
        let text = mutated([DOCKER, SHARDS][run % 2], &mut rng);
        let variables = Environment::of_file(&text);
        let Ok(old) = Old::of_environment(".env", &variables, None) else { continue };
        good += 1;
        for entry in old.keys.all() {
            if let Origin::Variable(name) = &entry.origin {
                assert!(variables.get(name).is_some(), "{name} is not in\n{text}");
            }
        }
    }
    assert!(good > runs / 4, "only {good} of {runs} were good: the mutations are too rough");
}

/// What a mutated configuration becomes is a refusal or a configuration, never a panic, and never holds a password. Of a long
/// run a tenth: our own TOML is written and read for each.
#[test]
fn broken_configurations_never_panic() {
    let runs = asked().map_or(400, |count| count / 10);
    let mut rng = Rng::from_number(8).fork("translate");
    let mut good = 0;
    for run in 0..runs {
        let text = mutated([SAMPLE, PACKAGED, DOCKER, SHARDS][run % 4], &mut rng);
        let old = match run % 4 {
            0 | 1 => match super::super::properties::read(text.as_bytes()) {
                Ok(read) => of_read(&read),
                Err(_) => continue,
            },
            _ => match Old::of_environment(".env", &Environment::of_file(&text), None) {
                Ok(old) => old,
                Err(_) => continue,
            },
        };
        let Ok(translation) = translate(&old, &here(), SecretsAt::Memory) else { continue };
        assert!(!translation.text.contains("c2lwLXNlY3JldA"), "{}", translation.text);
        let lines = translation.text.lines().count();
        assert_eq!(lines, translation.origins.len(), "{}", translation.text);
        good += usize::from(super::super::judged(&old, &translation, Path::new("")).is_ok());
        let _ = Report::new(&old).text();
    }
    assert!(good > runs / 4, "only {good} of {runs} were good: the mutations are too rough");
}
