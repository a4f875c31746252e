//! A workspace's task: carries line and desk over sockets, registry and Jitsi, each of which may take its time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::RoomName;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::api::ApiFailure;
use super::desk::{Desk, DeskCounters, DeskSettings, MeetingPin, Order, Presence};
use super::heard::{Ask, Heard};
use super::http::Web;
use super::line::{Act, Line};
use super::socket::{self, SocketNews};
use crate::config::rocketchat::RocketChat;
use crate::pin::key::PinKey;
use crate::wall::rfc3339;

/// What somebody else finishes.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The PIN registry, as a workspace needs it. Errors are sentences.
pub trait PinDesk: Send + Sync + std::fmt::Debug {
    /// A PIN of guests for a meeting in this room.
    fn mint(&self, room: RoomName) -> Later<Result<MeetingPin, String>>;
    /// The meeting is over: its PINs end.
    fn meeting_over(&self, room: RoomName) -> Later<Result<(), String>>;
}

/// Calls phones into rooms.
pub trait Dialer: Send + Sync + std::fmt::Debug {
    /// Begins a call to `number` (`+` and digits) that enters `room` when it is answered.
    fn dial(&self, number: Pii<String>, room: RoomName) -> Later<Result<(), String>>;
}

/// To whoever looks at the rooms of a Jitsi.
#[derive(Clone, Debug)]
pub enum WatchOrder {
    /// Say now and then whether anybody is in this room.
    Watch(RoomName, WorkspaceHandle),
    /// No longer.
    Unwatch(RoomName),
}

/// What a workspace works with.
#[derive(Clone, Debug)]
pub struct Helpers {
    /// The registry.
    pub pins: Arc<dyn PinDesk>,
    /// The server's key, for ids of messages.
    pub key: PinKey,
    /// Who looks at the rooms of its Jitsi.
    pub watch: mpsc::Sender<WatchOrder>,
    /// Who calls out; `None`: nobody.
    pub dialer: Option<Arc<dyn Dialer>>,
}

/// What others see of a workspace.
#[derive(Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    seen: Mutex<Seen>,
}

/// The changing part of [`Status`].
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The stream of messages is there (or not wanted).
    pub up: bool,
    /// Meetings that go on.
    pub open: usize,
    /// Counters.
    pub counters: DeskCounters,
    /// What somebody should mend: a sentence.
    pub trouble: Option<String>,
}

impl Status {
    /// Of a workspace that has not begun.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), seen: Mutex::default() }
    }

    /// A copy of it.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What comes to a workspace's task.
#[derive(Debug)]
enum Input {
    Socket(u64, SocketNews),
    Answer(u64, Result<Value, ApiFailure>),
    Minted(u64, Result<MeetingPin, String>),
    Dialled(u64, Result<(), String>),
    Presence(RoomName, Presence),
    Ask(Ask),
}

/// Talks to a workspace's task.
#[derive(Clone, Debug)]
pub struct WorkspaceHandle {
    inputs: mpsc::Sender<Input>,
}

impl WorkspaceHandle {
    /// Of no workspace at all, with what keeps its inputs.
    #[cfg(test)]
    pub(crate) fn unheard() -> (Self, impl Sized) {
        let (inputs, waiting) = mpsc::channel(16);
        (Self { inputs }, waiting)
    }

    /// Somebody asked by webhook. False: too many questions wait.
    pub fn ask(&self, ask: Ask) -> bool {
        self.inputs.try_send(Input::Ask(ask)).is_ok()
    }

    /// What the Jitsi side says of a room.
    pub async fn presence(&self, room: RoomName, presence: Presence) {
        let _ = self.inputs.send(Input::Presence(room, presence)).await;
    }
}

/// A workspace at work. Ends with its task.
struct Workspace {
    desk: Desk,
    line: Option<Line>,
    web: Web,
    helpers: Helpers,
    status: Arc<Status>,
    inputs: mpsc::Sender<Input>,
    socket: Option<mpsc::Sender<String>>,
    generation: u64,
    /// Requests under way at once.
    permits: Arc<Semaphore>,
    line_trouble: Option<String>,
}

/// Starts a workspace's task. The error is a sentence with a remedy.
pub fn start(
    config: &RocketChat,
    helpers: Helpers,
    status: Arc<Status>,
    rng: &Rng,
) -> Result<WorkspaceHandle, String> {
    let web =
        Web::new(config.address.clone(), &config.trust, config.user.clone(), config.token.clone())?;
    let rng = rng.fork(&format!("rocketchat/{}", config.name));
    let now = Instant::now();
    let line = || {
        let (me, token) = (config.user.clone(), config.token.clone());
        Line::new(now, me, token, config.words.clone(), &rng)
    };
    let (inputs, waiting) = mpsc::channel(INPUTS_MAX);
    let settings = DeskSettings {
        name: config.name.clone(),
        origin: config.origin.clone(),
        numbers: config.numbers.clone(),
        language: config.language,
        announce: config.announce && config.stream,
        on_end: config.on_end,
        words: config.words.clone(),
        call_me: config.call_me.as_ref().map(|(rules, _)| rules.clone()),
        hook: config.incoming_webhook.clone(),
        key: helpers.key.clone(),
    };
    status.set(|seen| seen.up = !config.stream);
    let workspace = Workspace {
        desk: Desk::new(settings, &rng),
        line: config.stream.then(line),
        web,
        helpers,
        status,
        inputs: inputs.clone(),
        socket: None,
        generation: 0,
        permits: Arc::new(Semaphore::new(REQUESTS_AT_ONCE)),
        line_trouble: None,
    };
    tokio::spawn(workspace.run(waiting));
    Ok(WorkspaceHandle { inputs })
}

impl Workspace {
    async fn run(mut self, mut waiting: mpsc::Receiver<Input>) {
        loop {
            self.act().await;
            let line = self.line.as_ref().map(|line| line.poll_timeout().0);
            let wake = line.into_iter().chain(self.desk.poll_timeout().map(|(at, _)| at)).min();
            tokio::select! {
                input = waiting.recv() => match input {
                    Some(input) => self.take(Instant::now(), input),
                    None => return,
                },
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if let Some(line) = &mut self.line {
                        line.handle_timeout(now);
                    }
                    self.desk.handle_timeout(now);
                }
            }
        }
    }

    fn take(&mut self, now: Instant, input: Input) {
        match input {
            Input::Socket(generation, _) if generation != self.generation => {}
            Input::Socket(_, news) => {
                let Some(line) = &mut self.line else { return };
                match news {
                    SocketNews::Opened => line.opened(now),
                    SocketNews::Text(text) => line.heard(now, &text),
                    SocketNews::Closed(why) => line.closed(now, why),
                }
            }
            Input::Answer(ticket, answer) => self.desk.answered(now, ticket, answer),
            Input::Minted(ticket, pin) => self.desk.minted(now, ticket, pin),
            Input::Dialled(ticket, done) => self.desk.dialled(now, ticket, done),
            Input::Presence(room, presence) => self.desk.presence(now, &room, presence),
            Input::Ask(ask) => self.desk.heard(now, Heard::Ask(ask)),
        }
    }

    /// Does what line and desk want.
    async fn act(&mut self) {
        while let Some(act) = self.line.as_mut().and_then(Line::poll_act) {
            self.on_line(act);
        }
        while let Some(order) = self.desk.poll_order() {
            self.on_desk(order).await;
        }
        let trouble = self.line_trouble.clone().or(self.desk.trouble().map(str::to_owned));
        let (open, counters) = (self.desk.open(), *self.desk.counters());
        self.status
            .set(|seen| (seen.open, seen.counters, seen.trouble) = (open, counters, trouble));
    }

    fn on_line(&mut self, act: Act) {
        let name = &self.status.name;
        match act {
            Act::Open => {
                self.generation += 1;
                let (generation, inputs) = (self.generation, self.inputs.clone());
                let (texts, queue) = mpsc::channel(TEXTS_MAX);
                self.socket = Some(texts);
                let tell =
                    async move |news| inputs.send(Input::Socket(generation, news)).await.is_ok();
                tokio::spawn(socket::run(self.web.clone(), queue, tell));
            }
            Act::Send(text) => {
                // A full queue: the server does not read, and the line's own patience ends it.
                let _ = self.socket.as_ref().map(|socket| socket.try_send(text));
            }
            Act::Close => {
                self.socket = None;
                self.generation += 1;
            }
            Act::Up(away_since) => {
                tracing::info!(workspace = %name, "Rocket.Chat: the stream of messages is up");
                self.line_trouble = None;
                self.status.set(|seen| seen.up = true);
                let away = away_since.map_or(LOOK_BACK, |since| since.elapsed().min(LOOK_BACK));
                let mut since = wall_clock();
                since.unix = since.unix.saturating_sub(away + CLOCKS_DIFFER);
                self.desk.line_up(rfc3339(since));
            }
            Act::Down(why) => {
                tracing::warn!(workspace = %name, %why, "Rocket.Chat: no stream of messages");
                self.line_trouble = Some(format!("rocketchat {name:?}: {why}"));
                self.status.set(|seen| seen.up = false);
            }
            Act::Heard(heard) => self.desk.heard(Instant::now(), heard),
        }
    }

    async fn on_desk(&mut self, order: Order) {
        let inputs = self.inputs.clone();
        match order {
            Order::Ask { ticket, api } => {
                let (web, permits) = (self.web.clone(), Arc::clone(&self.permits));
                tokio::spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    let answer = web.ask(&api.request()).await;
                    let _ = inputs.send(Input::Answer(ticket, answer)).await;
                });
            }
            Order::Mint { ticket, room } => {
                let pins = Arc::clone(&self.helpers.pins);
                tokio::spawn(async move {
                    let minted = pins.mint(room).await;
                    let _ = inputs.send(Input::Minted(ticket, minted)).await;
                });
            }
            Order::Over(room) => {
                let pins = Arc::clone(&self.helpers.pins);
                tokio::spawn(async move {
                    if let Err(why) = pins.meeting_over(room).await {
                        tracing::warn!(
                            why,
                            "the PINs of a meeting could not be ended; they end with their time"
                        );
                    }
                });
            }
            Order::Watch(room) => {
                let _ = self
                    .helpers
                    .watch
                    .send(WatchOrder::Watch(room, WorkspaceHandle { inputs }))
                    .await;
            }
            Order::Unwatch(room) => {
                let _ = self.helpers.watch.send(WatchOrder::Unwatch(room)).await;
            }
            Order::Dial { ticket, number, room } => {
                let dialer = self.helpers.dialer.clone();
                tokio::spawn(async move {
                    let done = match dialer {
                        Some(dialer) => dialer.dial(number, room).await,
                        None => Err("this gateway has nobody who calls out".to_owned()),
                    };
                    let _ = inputs.send(Input::Dialled(ticket, done)).await;
                });
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Inputs that wait for the task.
const INPUTS_MAX: usize = 1_024;
/// Texts that wait for the socket.
const TEXTS_MAX: usize = 64;
/// Requests under way at once: the server's limits are per address and second.
const REQUESTS_AT_ONCE: usize = 4;
/// After a start, and at most, calls of so long ago are looked for.
const LOOK_BACK: Duration = Duration::from_secs(12 * 3_600);
/// Our clock and the server's may differ by so much.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
