//! `weebee check` beyond the file's grammar: what is legal but will disappoint, and with `--live` what the other side says.
//!
//! [`doubts`] looks at the configuration alone and opens no socket. [`live`] goes the way of a phone through each Jitsi
//! deployment, in a room nobody knows, and stops at the bridge's door; no phone is called and no sound is sent.

pub mod brewery;
pub mod doubts;
mod guest;
pub mod live;
pub mod programs;
pub mod rocketchat;
pub mod trunks;

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it should be.
    Good,
    /// Works, but somebody will be surprised.
    Warning,
    /// Must be mended: phones do not get in, or get rights they must not have.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub weight: Weight,
    /// Line in the file; 0: the file as a whole.
    pub line: usize,
    /// What was found and, unless it is good, the remedy.
    pub text: String,
}

impl Finding {
    /// As it should be.
    pub fn good(line: usize, text: impl Into<String>) -> Self {
        Self { weight: Weight::Good, line, text: text.into() }
    }

    /// Works, but.
    pub fn warning(line: usize, text: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, line, text: text.into() }
    }

    /// Must be mended.
    pub fn wrong(line: usize, text: impl Into<String>) -> Self {
        Self { weight: Weight::Wrong, line, text: text.into() }
    }

    /// The finding as a line that editors can follow.
    pub fn shown<'a>(&'a self, file: &'a str) -> Shown<'a> {
        Shown { file, finding: self }
    }
}

/// See [`Finding::shown`].
pub struct Shown<'a> {
    file: &'a str,
    finding: &'a Finding,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { weight, line, text } = self.finding;
        let file = self.file;
        match line {
            0 => write!(formatter, "{file}: ")?,
            line => write!(formatter, "{file}:{line}: ")?,
        }
        match weight {
            Weight::Good => write!(formatter, "ok: {text}"),
            Weight::Warning => write!(formatter, "warning: {text}"),
            Weight::Wrong => write!(formatter, "wrong: {text}"),
        }
    }
}
