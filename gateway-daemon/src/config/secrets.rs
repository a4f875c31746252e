//! Secrets that a configuration names as variables: those of the environment, and those a translation of another
//! program's configuration brings along without writing them anywhere.

use std::collections::BTreeMap;

use gateway_core::base::pii::Pii;

/// Variables by name. Those brought along hide the environment's.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<String, Pii<String>>);

impl Secrets {
    /// The environment alone.
    pub fn environment() -> Self {
        Self::default()
    }

    /// One more that is not in the environment.
    pub fn bring(&mut self, name: &str, value: Pii<String>) {
        self.0.insert(name.to_owned(), value);
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Result<Pii<String>, String> {
        if let Some(value) = self.0.get(name) {
            return Ok(value.clone());
        }
        std::env::var(name)
            .map(Pii::new)
            .map_err(|_| format!("the environment has no variable {name:?}"))
    }
}
