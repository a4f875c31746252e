//! A peer of ours around a foreign library: a program that is asked for things and tells what happens, a JSON object a line.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, last_lines, wait_until};

/// The running program.
#[derive(Debug)]
pub struct Asked {
    name: String,
    process: Process,
    input: ChildStdin,
    /// Bytes of its words that were read.
    read: u64,
    /// Told, and not asked for yet.
    kept: Vec<Value>,
}

impl Asked {
    /// Starts `command`; its words, and those of its libraries, are in `folder/NAME.log`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(name: &str, folder: &Path, command: Command) -> Asked {
        let (process, input) = Process::start_asked(name, folder, command);
        Asked { name: name.to_owned(), process, input, read: 0, kept: Vec::new() }
    }

    /// Asks for something.
    ///
    /// # Panics
    /// When the program has ended.
    pub fn tell(&mut self, wish: &Value) {
        if let Err(error) = writeln!(self.input, "{wish}") {
            panic!("{} does not listen ({error}): {}", self.name, self.last_words());
        }
    }

    /// What it told that is so, if it has; what was told before stays for later.
    ///
    /// # Panics
    /// When it told of a fault of its own (`error`): that is one of the test's.
    pub fn said(&mut self, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        let (words, read) = self.process.lines_since(self.read);
        self.read = read;
        for line in words.lines() {
            let Ok(told) = serde_json::from_str::<Value>(line) else { continue };
            assert_ne!(told["event"], "error", "{}: {told}", self.name);
            self.kept.push(told);
        }
        let place = self.kept.iter().position(is_it)?;
        Some(self.kept.remove(place))
    }

    /// As [`Self::said`], waiting for it.
    ///
    /// # Panics
    /// When it is not told within `seconds`.
    pub fn wait(&mut self, what: &str, seconds: u64, is_it: impl Fn(&Value) -> bool) -> Value {
        let told = wait_until(Duration::from_secs(seconds), || self.said(&is_it));
        told.unwrap_or_else(|| {
            panic!("{} never told {what}; its last words:\n{}", self.name, self.last_words())
        })
    }

    /// Waits for an event by name.
    ///
    /// # Panics
    /// As [`Self::wait`].
    pub fn wait_for(&mut self, event: &str, seconds: u64) -> Value {
        self.wait(event, seconds, |told| told["event"] == event)
    }

    /// What was told before does not count any more.
    pub fn forget(&mut self) {
        self.said(|_| false);
        self.kept.clear();
    }

    fn last_words(&self) -> String {
        last_lines(&self.process.output(), 25)
    }
}
