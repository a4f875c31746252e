//! The `event` hook: what happened, in its order, one request each.
//!
//! Events stand in a bounded queue; one task takes the oldest, sends it until a program takes or refuses it, and goes on.
//! Whoever puts an event in never waits: full, the oldest is lost and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::io::wall_clock;
use gateway_core::io::xmpp::backoff::Backoff;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::post::{Letter, Post, PostFailure};
use super::{Hook, Shared};
use crate::privacy::Shower;
use crate::wall::rfc3339;

/// An event on its way.
#[derive(Clone, Debug)]
struct Waiting {
    number: u64,
    id: String,
    name: &'static str,
    body: String,
}

/// Events that wait.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<VecDeque<Waiting>>,
    most: usize,
    wake: Notify,
    numbers: AtomicU64,
    /// Drawn at each start, so that ids of two runs differ.
    run: String,
}

/// What the rest of the gateway holds.
#[derive(Debug)]
pub struct Events {
    wanted: Vec<String>,
    queue: Arc<Queue>,
    /// How numbers and rooms are written.
    pub shower: Shower,
    shared: Arc<Shared>,
}

impl Events {
    pub(super) fn new(
        wanted: Vec<String>,
        queue: Arc<Queue>,
        shower: Shower,
        shared: Arc<Shared>,
    ) -> Self {
        Self { wanted, queue, shower, shared }
    }

    /// Something happened. Returns at once. `facts` without a value are left out.
    pub fn tell(&self, name: &'static str, facts: &[(&str, Value)]) {
        if !self.wanted.iter().any(|wanted| wanted == name) {
            return;
        }
        let mut body = Map::new();
        let facts = facts.iter().filter(|(_, value)| !value.is_null());
        body.extend(facts.map(|(key, value)| ((*key).to_owned(), value.clone())));
        if !self.queue.push(name, body) {
            self.shared.count(|counters| counters.hook_events_lost += 1);
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.lock().len()
    }
}

impl Queue {
    /// An empty queue of `most` places.
    pub fn new(most: usize, run: String) -> Self {
        Self {
            waiting: Mutex::default(),
            most: most.max(1),
            wake: Notify::new(),
            numbers: AtomicU64::new(0),
            run,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: the oldest had to go for it.
    fn push(&self, name: &'static str, facts: Map<String, Value>) -> bool {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}-{number}", self.run);
        let mut body = Map::new();
        body.insert("event".to_owned(), json!(name));
        body.insert("id".to_owned(), json!(id));
        body.insert("time".to_owned(), json!(rfc3339(wall_clock())));
        body.extend(facts);
        let body = Value::Object(body).to_string();
        let mut waiting = self.lock();
        let is_full = waiting.len() >= self.most;
        if is_full {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { number, id, name, body });
        drop(waiting);
        self.wake.notify_one();
        !is_full
    }

    async fn first(&self) -> Waiting {
        loop {
            if let Some(first) = self.lock().front().cloned() {
                return first;
            }
            self.wake.notified().await;
        }
    }

    /// It is done with; it may have been lost meanwhile.
    fn done(&self, number: u64) {
        let mut waiting = self.lock();
        if waiting.front().is_some_and(|first| first.number == number) {
            waiting.pop_front();
        }
    }

    fn is_first(&self, number: u64) -> bool {
        self.lock().front().is_some_and(|first| first.number == number)
    }
}

/// Sends events for ever.
pub(super) async fn run(queue: Arc<Queue>, post: Post, shared: Arc<Shared>, rng: Rng) {
    let mut backoff = Backoff::new(rng.fork("first"));
    loop {
        let first = queue.first().await;
        let letter = Letter { event: first.name, id: &first.id, body: &first.body };
        match post.send(letter, TAKEN_WITHIN).await {
            Ok(_) => {
                shared.count(|counters| counters.hook_events_sent += 1);
                shared.note(Hook::Event, None);
                backoff = Backoff::new(rng.fork(&first.id));
                queue.done(first.number);
            }
            Err(PostFailure::Refused(what)) => {
                shared.count(|counters| counters.hook_events_refused += 1);
                shared.note(Hook::Event, Some(what));
                queue.done(first.number);
            }
            Err(PostFailure::Later(what)) => {
                shared.count(|counters| counters.hook_event_attempts_failed += 1);
                shared.note(Hook::Event, Some(what));
                let wait = backoff.failed(Duration::ZERO, false);
                // One that was lost meanwhile is not waited for; the next one waits as long all the same.
                tokio::time::sleep(wait).await;
                if !queue.is_first(first.number) {
                    continue;
                }
            }
        }
    }
}

/// A program that needs longer should put events into a queue of its own.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
