//! The IVR in front of a phone: it keeps the JSON that it is told by INFO for the judges, and answers heartbeats. What it
//! says itself stands in the plan.

use std::time::Duration;

use super::{Phone, Wanted};

/// What it knows.
#[derive(Debug, Default)]
pub(super) struct Ivr {
    /// When it was told what.
    heard: Vec<(Duration, String)>,
    pub(super) ignores_heartbeats: bool,
}

impl Phone {
    /// JSON that reached its IVR by INFO, and when.
    pub fn json_heard(&self) -> &[(Duration, String)] {
        &self.ivr.heard
    }

    pub(super) fn hear_json(&mut self, now: Duration, body: &str) {
        if !body.starts_with('{') {
            return;
        }
        self.note(format!("is told {body}"));
        self.ivr.heard.push((now, body.to_owned()));
        if body == HEARTBEAT && !self.ivr.ignores_heartbeats {
            self.waiting.push_back(Wanted::Tell(HEARTBEAT));
        }
    }
}

/// Heartbeat of Jigasi's protocol, and its answer.
const HEARTBEAT: &str = r#"{"t":11}"#;
