//! A scripted telephone: `jitsi/sip_phone.py`, which sees every message of its call.

use std::time::Duration;

use serde_json::{Value, json};

use super::scripted::Scripted;
use crate::gateway::Gateway;
use crate::process::wait_until;
use crate::require::{peers_dir, repository};
use crate::world::World;

/// A call.
#[derive(Debug)]
pub struct SipPhone {
    program: Scripted,
}

impl SipPhone {
    /// Calls the gateway with these headers; `more` are further arguments of the program.
    pub fn call(world: &World, name: &str, headers: &[(&str, &str)], more: &[&str]) -> SipPhone {
        let mut command = world.command(peers_dir().join("webrtc/bin/python"));
        command.arg(repository().join("tests-peers/jitsi/sip_phone.py"));
        command.args(["--gateway", &Gateway::address().to_string()]).args(more);
        for (header, value) in headers {
            command.args(["--header", &format!("{header}: {value}")]);
        }
        SipPhone { program: Scripted::start(world, &format!("sip-{name}"), command) }
    }

    /// Asks for something: a line of the program.
    pub fn wish(&mut self, wish: &Value) {
        self.program.wish_if_there(wish);
    }

    /// Everything it told.
    pub fn events(&self) -> Vec<Value> {
        self.program.events()
    }

    /// Waits for something it tells.
    ///
    /// # Panics
    /// When it does not come within `limit`.
    pub fn told(&self, limit: Duration, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.program.told(0, limit, event, fits)
    }

    /// Waits for the final answer: status, and seconds after the INVITE.
    ///
    /// # Panics
    /// When there is none within `limit`.
    pub fn answer(&self, limit: Duration) -> (u64, f64) {
        let is_final = |told: &Value| told["code"].as_u64().is_some_and(|code| code >= 200);
        let told = self.told(limit, "code", is_final);
        (told["code"].as_u64().unwrap_or(0), told["at"].as_f64().unwrap_or(0.0))
    }

    /// Waits for the gateway's BYE: seconds after the INVITE, and its Reason. None: it goes on.
    pub fn hung_up(&self, limit: Duration) -> Option<(f64, Option<String>)> {
        let told =
            wait_until(limit, || self.events().into_iter().find(|told| told["event"] == "bye"))?;
        let reason = told["reason"].as_str().map(str::to_owned);
        Some((told["at"].as_f64().unwrap_or(0.0), reason))
    }

    /// Bodies of the INFOs so far.
    pub fn infos(&self) -> Vec<String> {
        let events = self.events();
        let infos = events.iter().filter(|told| told["event"] == "info");
        infos.filter_map(|told| told["body"].as_str().map(str::to_owned)).collect()
    }

    /// Hangs up, and gives packets heard and how many of them were loud.
    pub fn end(mut self) -> (u64, u64) {
        self.wish(&json!({"do": "bye"}));
        self.program.ended();
        let over = self.told(Duration::from_secs(1), "over", |_| true);
        (over["packets"].as_u64().unwrap_or(0), over["loud"].as_u64().unwrap_or(0))
    }
}
