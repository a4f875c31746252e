//! Names that Rocket.Chat gives to rooms, messages, calls and users.

use std::fmt;

/// An id of Rocket.Chat: 1 to 128 visible ASCII characters. Says nothing of anybody, so that it may stand in logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// Checks and keeps an id.
    pub fn new(text: &str) -> Option<Self> {
        let legal = (1..=ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        legal.then(|| Self(text.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Ids are 17 or 24 characters, of direct rooms 34, of federated rooms longer.
const ID_BYTES_MAX: usize = 128;
