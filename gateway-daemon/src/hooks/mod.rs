//! Programs of the owner: [`route`] asks one where a call may go, [`event`] tells one what has happened. `docs/hooks.md`
//! has the bodies.
//!
//! No call ever waits for them beyond `route_timeout_ms`: events stand in a bounded queue with a task of its own. Every
//! request is signed ([`sign`]); nothing of a body is logged.

pub mod event;
pub mod post;
pub mod route;
pub mod sign;
pub mod story;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_core::base::rng::Rng;

use self::event::{Events, Queue};
use self::post::Post;
use self::route::RouteDesk;
use crate::config::hooks::Hooks as Settings;
use crate::pin::key::PinKey;
use crate::privacy::Shower;

gateway_core::counters! {
    /// What became of hooks.
    pub struct HookCounters {
        /// Events that a program took.
        hook_events_sent,
        /// Events lost because too many waited.
        hook_events_lost,
        /// Events that a program refused (4xx, a redirect): they are not sent again.
        hook_events_refused,
        /// Attempts to tell an event that failed; it is sent again.
        hook_event_attempts_failed,
        /// Calls for which the route hook was asked.
        hook_routes_asked,
        /// Calls whose route was known from an answer before.
        hook_routes_cached,
        /// Calls whose route hook was silent or talked nonsense.
        hook_routes_failed,
    }
}

/// The hooks of a gateway.
#[derive(Debug)]
pub struct Hooks {
    /// Who is asked.
    pub route: Option<RouteDesk>,
    /// Who is told.
    pub events: Option<Events>,
    shared: Arc<Shared>,
}

/// What both keep.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
}

/// Counters and troubles.
#[derive(Debug, Default)]
struct State {
    counters: HookCounters,
    route_trouble: Option<String>,
    event_trouble: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut HookCounters)) {
        count(&mut self.lock().counters);
    }

    /// Says once when trouble begins or changes, and once when it is over.
    fn note(&self, hook: Hook, trouble: Option<String>) {
        let mut state = self.lock();
        let seen = match hook {
            Hook::Route => &mut state.route_trouble,
            Hook::Event => &mut state.event_trouble,
        };
        let name = hook.name();
        match (&*seen, &trouble) {
            (before, Some(text)) if before.as_ref() != Some(text) => {
                tracing::warn!(hook = name, error = %text, "hook does not work");
            }
            (Some(_), None) => tracing::info!(hook = name, "hook works again"),
            _ => {}
        }
        *seen = trouble;
    }
}

/// Which hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Route,
    Event,
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Event => "event",
        }
    }
}

/// How the hooks are, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What was counted.
    pub counters: HookCounters,
    /// Events that wait.
    pub waiting: usize,
    /// Name of each hook there is, and whether it works.
    pub up: Vec<(&'static str, bool)>,
}

impl Hooks {
    /// The hooks of a configuration; the task of events is spawned, so within a runtime. The error is a sentence.
    pub fn start(settings: &Settings, key: PinKey, mut rng: Rng) -> Result<Self, String> {
        let shared = Arc::new(Shared::default());
        let shower = Shower::new(key, settings.numbers, settings.rooms);
        let post = |address| Post::new(address, &settings.trust, settings.secret.clone());
        let route = match &settings.route {
            None => None,
            Some(hook) => {
                let post = post(hook.address.clone())?;
                Some(RouteDesk::new(hook.clone(), post, shower.clone(), Arc::clone(&shared)))
            }
        };
        let events = match &settings.event {
            None => None,
            Some(hook) => {
                let post = post(hook.address.clone())?;
                let queue = Queue::new(hook.queue, rng.token(8));
                let (queue, dice) = (Arc::new(queue), rng.fork("hooks/event"));
                tokio::spawn(event::run(Arc::clone(&queue), post, Arc::clone(&shared), dice));
                Some(Events::new(hook.events.clone(), queue, shower, Arc::clone(&shared)))
            }
        };
        Ok(Self { route, events, shared })
    }

    /// How they are.
    pub fn seen(&self) -> Seen {
        let state = self.shared.lock();
        let route = self.route.as_ref().map(|_| ("route", state.route_trouble.is_none()));
        let event = self.events.as_ref().map(|_| ("event", state.event_trouble.is_none()));
        let waiting = self.events.as_ref().map_or(0, Events::waiting);
        Seen { counters: state.counters, waiting, up: route.into_iter().chain(event).collect() }
    }

    /// What is wrong now: sentences with their remedies.
    pub fn troubles(&self) -> Vec<String> {
        let state = self.shared.lock();
        let of = |hook: Hook, trouble: &Option<String>| {
            trouble.as_ref().map(|text| format!("{} hook: {text}", hook.name()))
        };
        let route = of(Hook::Route, &state.route_trouble);
        let event = of(Hook::Event, &state.event_trouble);
        route.into_iter().chain(event).collect()
    }
}

#[cfg(test)]
mod tests;
