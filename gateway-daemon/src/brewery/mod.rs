//! Calls that people in a conference ask for: our seats in breweries, where Jicofo finds us, and what becomes of its dials.
//!
//! `gateway_core::jitsi::brewery` is the machine of one seat; [`desk`] decides by [`rules`], [`number`] and [`headers`] and
//! follows each call; `task` carries both over XMPP and the gateway; [`rest`] adds and removes seats while it runs.

pub mod desk;
pub mod headers;
pub mod number;
pub mod rest;
pub mod rules;
mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use gateway_core::base::rng::Rng;
use gateway_core::gateway::Event;
use gateway_core::io::signalling::GatewayHandle;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use self::desk::{DialCounters, Heard};
use self::rest::Ask;
use self::task::{Input, Task};
use crate::compat::Configure;
use crate::config::Config;
use crate::health::{Area, Problem};
use crate::seen::Seen;

/// How all breweries are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// Each by its name.
    pub seats: BTreeMap<String, Seat>,
    /// Dials that wait for their answer.
    pub waiting: usize,
    /// Calls out that go on.
    pub calls: usize,
    /// What became of dials.
    pub counters: DialCounters,
}

/// How one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// We are in the room.
    pub is_in: bool,
    /// A Jicofo is there.
    pub has_focus: bool,
    /// Why we are not: a sentence.
    pub trouble: Option<String>,
}

/// Talks to the task.
#[derive(Clone, Debug)]
pub struct Breweries {
    inputs: mpsc::Sender<Input>,
    seats: Arc<Mutex<Seats>>,
    config: Arc<Config>,
}

/// Starts all breweries of a configuration. The error is a sentence with a remedy.
pub fn start(
    config: &Config,
    handle: GatewayHandle,
    seen: Seen,
    rng: &Rng,
) -> Result<Breweries, String> {
    let (inputs, waiting) = mpsc::channel(INPUTS_MAX);
    let seats = Arc::new(Mutex::new(Seats::default()));
    let task = Task::new(config, handle, seen, Arc::clone(&seats), rng.fork("breweries"))?;
    tokio::spawn(task.run(waiting));
    Ok(Breweries { inputs, seats, config: Arc::new(config.clone()) })
}

impl Breweries {
    /// How they are.
    pub fn seats(&self) -> Seats {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What somebody should mend. Where one brewery sends us calls, another that does not is no illness.
    pub fn problems(&self) -> Vec<Problem> {
        let seats = self.seats().seats;
        let area = match seats.values().any(|seat| seat.is_in) {
            true => Area::Aside,
            false => Area::Conference,
        };
        let problem = |(name, seat): (String, Seat)| {
            let trouble = seat.trouble?;
            Some(Problem::new(area, format!("brewery {name:?} is not joined: {trouble}")))
        };
        seats.into_iter().filter_map(problem).collect()
    }

    /// What the gateway says, as far as calls out care. Never waits.
    pub fn heard(&self, event: &Event) {
        let Some(heard) = Heard::of(event) else { return };
        // Full: the task looks at the calls that are there every second, too.
        let _ = self.inputs.try_send(Input::Heard(heard));
    }

    /// `/configure/call-control-muc/...`, as Jigasi answers.
    pub fn configure(&self) -> Configure {
        let breweries = self.clone();
        Arc::new(move |what, method, body| {
            let breweries = breweries.clone();
            Box::pin(async move {
                let answer = match rest::read(&breweries.config, &what, method.as_str(), &body) {
                    Ok(ask) => breweries.ask(ask).await.unwrap_or((503, Value::Null)),
                    Err(answer) => answer,
                };
                (StatusCode::from_u16(answer.0).unwrap_or(StatusCode::BAD_REQUEST), answer.1)
            })
        })
    }

    async fn ask(&self, ask: Ask) -> Option<(u16, Value)> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Input::Ask(ask, reply)).await.ok()?;
        answer.await.ok()
    }

    /// Leaves all rooms, so that no Jicofo dials to somebody who is gone.
    pub async fn leave(&self) {
        let (reply, left) = oneshot::channel();
        if self.inputs.send(Input::Leave(reply)).await.is_ok() {
            let _ = tokio::time::timeout(LEAVE_WITHIN, left).await;
        }
    }
}

/// Inputs that wait for the task.
const INPUTS_MAX: usize = 8_192;
/// The process ends; a server that does not read is not waited for.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
