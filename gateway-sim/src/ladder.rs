//! The run as a conversation: who said what to whom, when, and what was lost on the way.

use std::fmt;
use std::time::Duration;

/// Lines in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Ladder(Vec<String>);

impl Ladder {
    /// A SIP message: its request line's method or its status, with CSeq.
    pub fn message(&mut self, at: Duration, from: &str, to: &str, what: &str, lost: bool) {
        let lost = if lost { "   (lost)" } else { "" };
        self.line(at, &format!("{from:>8} -> {to:<8} {what}{lost}"));
    }

    /// Something that is no message.
    pub fn note(&mut self, at: Duration, who: &str, what: &str) {
        self.line(at, &format!("{who:>8}  * {what}"));
    }

    fn line(&mut self, at: Duration, text: &str) {
        self.0.push(format!("{:>9.3} {text}", at.as_secs_f64()));
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}
