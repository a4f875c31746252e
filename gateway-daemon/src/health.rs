//! Whether the gateway does its work, for load balancers and people.

use serde_json::{Value, json};

/// What may be wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The gateway's thread is gone.
    pub stopped: bool,
    /// No new calls are taken.
    pub draining: bool,
    /// What is out of order though calls go on: each a sentence with its remedy.
    pub problems: Vec<String>,
}

impl Health {
    /// One word.
    pub fn state(&self) -> &'static str {
        match self {
            Self { stopped: true, .. } => "stopped",
            Self { draining: true, .. } => "draining",
            Self { problems, .. } if !problems.is_empty() => "degraded",
            _ => "ok",
        }
    }

    /// HTTP status: new calls should go elsewhere at 503.
    pub fn status(&self) -> u16 {
        if self.stopped || self.draining { 503 } else { 200 }
    }

    /// The body of `/health`.
    pub fn json(&self) -> Value {
        json!({ "state": self.state(), "problems": self.problems })
    }
}
