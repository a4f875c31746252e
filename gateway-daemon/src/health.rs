//! Whether the gateway does its work, for load balancers and people.

use serde_json::{Value, json};

/// What may be wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The gateway's thread is gone.
    pub stopped: bool,
    /// No new calls are taken.
    pub draining: bool,
    /// What is out of order though calls go on.
    pub problems: Vec<Problem>,
}

/// Something that is out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub area: Area,
    /// A sentence with its remedy.
    pub text: String,
}

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// PINs cannot be looked up.
    Registry,
    /// A trunk cannot be used.
    Trunk,
    /// Conferences cannot be reached, or do not send us calls.
    Conference,
    /// The media threads fall behind.
    Media,
    /// Calls do not work, says the health call.
    Calls,
    /// Records, chats, programs: calls go on without them.
    Aside,
}

impl Problem {
    /// One.
    pub fn new(area: Area, text: impl Into<String>) -> Self {
        Self { area, text: text.into() }
    }
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

    /// What keeps callers from their conferences: where another gateway is, it should take the calls.
    pub fn broken(&self) -> impl Iterator<Item = &str> {
        let broken = self.problems.iter().filter(|it| it.area != Area::Aside);
        broken.map(|it| it.text.as_str())
    }

    /// The body of `/health`.
    pub fn json(&self) -> Value {
        let problems: Vec<&str> = self.problems.iter().map(|it| it.text.as_str()).collect();
        json!({ "state": self.state(), "problems": problems })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_calls_do_without_breaks_nothing() {
        let problems = vec![
            Problem::new(Area::Aside, "records do not reach the disk"),
            Problem::new(Area::Trunk, "no trunk"),
        ];
        let health = Health { problems, ..Health::default() };
        assert_eq!(health.broken().collect::<Vec<_>>(), ["no trunk"]);
        assert_eq!((health.state(), health.status()), ("degraded", 200));
        assert_eq!(health.json()["problems"][0], "records do not reach the disk");
    }
}
