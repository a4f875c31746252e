//! A program of ours that is asked by lines of JSON and tells by lines of JSON.

use std::io::Write;
use std::process::{ChildStdin, Command};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, last_lines, wait_until};
use crate::world::World;

/// A running one.
#[derive(Debug)]
pub struct Scripted {
    process: Process,
    wishes: ChildStdin,
    name: String,
}

impl Scripted {
    /// Starts it.
    pub fn start(world: &World, name: &str, command: Command) -> Scripted {
        let (process, wishes) = Process::start_asked(name, world.folder(), command);
        Scripted { process, wishes, name: name.to_owned() }
    }

    /// Asks for something.
    ///
    /// # Panics
    /// When it has ended.
    pub fn wish(&mut self, wish: &Value) {
        writeln!(self.wishes, "{wish}").expect("it reads");
        self.wishes.flush().expect("it reads");
    }

    /// Asks for something, if it is still there.
    pub fn wish_if_there(&mut self, wish: &Value) {
        let _ = writeln!(self.wishes, "{wish}");
    }

    /// Everything it told.
    pub fn events(&self) -> Vec<Value> {
        self.process.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What it tells is `event` and fits, from place `from` in [`Self::events`] on; waits for it.
    ///
    /// # Panics
    /// When it does not come within `limit`.
    pub fn told(
        &self,
        from: usize,
        limit: Duration,
        event: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let is_it = |told: &Value| told["event"] == event && fits(told);
        let found = wait_until(limit, || self.events().into_iter().skip(from).find(is_it));
        found.unwrap_or_else(|| {
            panic!("{} was not told of {event}:\n{}", self.name, self.last_words())
        })
    }

    /// Its last lines.
    pub fn last_words(&self) -> String {
        last_lines(&self.process.output(), 25)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within 20 s.
    pub fn ended(&mut self) {
        let ended = self.process.wait(Duration::from_secs(20));
        assert!(ended.is_some(), "{} does not end", self.name);
    }
}
