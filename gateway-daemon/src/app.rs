//! The running gateway: the core's events go through the PIN dialogue, its commands go back; records, metrics and HTTP
//! hang beside.
//!
//! One task owns the dialogue and is the only one that answers the core. The registry and the record file have threads
//! of their own; nothing here waits for a disk.

mod drain;
mod settings;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, TrunkId};
use gateway_core::gateway::{Command, Event};
use gateway_core::io::signalling::{self, GatewayHandle, Running};
use gateway_core::io::{os_rng, wall_clock};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::ClipLibrary;
use gateway_core::sip::endpoint::InviteFacts;
use tokio::sync::{Notify, mpsc, watch};

pub use self::drain::Ended;
use self::drain::{Drain, Step};
use self::settings::{core_config, outside};
use crate::agi;
use crate::brewery::{self, Breweries};
use crate::cdr::{self, CdrCounters, CdrWriter};
use crate::compat::Tally;
use crate::compat::health_call::Pulse;
use crate::config::Config;
use crate::health::{Area, Health, Problem};
use crate::hooks::Hooks;
use crate::hooks::route::{self, Decision};
use crate::hooks::story::{self, Story};
use crate::ivr::policy::Policy;
use crate::ivr::{Action, AdmittedPin, Ivr, IvrCounters, Lookup, LookupFailed, RefusedPin};
use crate::log;
use crate::metrics::Stats;
use crate::pin::events::{PinEvent, PinJournal};
use crate::pin::handle::{Pins, Question};
use crate::pin::key::PinKey;
use crate::pin::{self, RegistryError, Verdict};
use crate::privacy::Shower;
use crate::rocketchat::service;
use crate::rocketchat::task::Status;
use crate::seen::Seen;
use crate::trunks;
use crate::web::guests::{self, Guests};

/// Why the gateway does not start: sentences with remedies.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotStart(pub String);

/// What the task shares with HTTP.
#[derive(Debug)]
pub struct Shared {
    /// Names of the trunks, in the order of their ids.
    pub trunks: Vec<String>,
    /// Who joined by browser.
    pub guests: Guests,
    /// The server's key, which seals links to rooms.
    pub key: PinKey,
    /// How screens show numbers and rooms.
    pub shower: Shower,
    /// Wall time of the start.
    pub started: Duration,
    /// Programs of the owner.
    pub hooks: Option<Arc<Hooks>>,
    /// How the workspaces of Rocket.Chat are.
    pub rocketchat: Vec<Arc<Status>>,
    /// Where conferences ask us for calls.
    pub breweries: Breweries,
    /// What the FastAGI server counted.
    pub agi: Arc<agi::Status>,
    /// The gateway as it was a moment ago.
    pub seen: Seen,
    /// Somebody came into a room or left one.
    pub rooms_changed: Notify,
    /// Somebody wants the gateway to end with its last call.
    pub drain_asked: Notify,
    /// Whether new calls are refused because the gateway ends.
    pub draining: watch::Sender<bool>,
    /// How the health calls went.
    pub pulse: Pulse,
    state: Mutex<State>,
    pins: Pins,
    cdr: Option<CdrWriter>,
}

/// What changes.
#[derive(Debug, Default)]
pub struct State {
    /// Fed by events.
    pub stats: Stats,
    /// Likewise, by Jigasi's names.
    pub tally: Tally,
    /// Copy of the dialogue's counters.
    pub ivr: IvrCounters,
}

impl Shared {
    /// The changing part.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The name of a trunk.
    pub fn trunk(&self, trunk: TrunkId) -> &str {
        match trunk {
            guests::TRUNK => guests::TRUNK_NAME,
            _ => self.trunks.get(usize::from(trunk.0)).map_or("?", String::as_str),
        }
    }

    /// The PINs: for parts that mint and check them.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Counters of the call records and lines that wait.
    pub fn cdr_counters(&self) -> (CdrCounters, usize) {
        self.cdr.as_ref().map(CdrWriter::counters).unwrap_or_default()
    }

    /// What is wrong with PINs and records: sentences.
    pub fn troubles(&self) -> (Option<String>, Option<String>) {
        (self.pins.trouble(), self.cdr.as_ref().and_then(CdrWriter::trouble))
    }

    /// Whether the gateway does its work. `draining` and `stopped` as the core says.
    pub fn health(&self, draining: bool, stopped: bool) -> Health {
        let (pins, cdr) = self.troubles();
        let state = self.state();
        let trunks = state.stats.trunks.troubles(|trunk| self.trunk(trunk));
        let chats = self.rocketchat.iter().filter_map(|status| status.seen().trouble);
        let audit = self.pins.journal().trouble();
        let hooks = self.hooks.iter().flat_map(|hooks| hooks.troubles());
        let calls = self.pulse.trouble(Instant::now());
        let of = |area: Area| move |text: String| Problem::new(area, text);
        let problems = pins.map(of(Area::Registry)).into_iter();
        let problems = problems.chain(trunks).chain(calls.map(of(Area::Calls)));
        let problems = problems.chain(self.breweries.problems());
        let aside = cdr.into_iter().chain(audit).chain(chats).chain(hooks).map(of(Area::Aside));
        Health { stopped, draining, problems: problems.chain(aside).collect() }
    }
}

/// A gateway with its policy.
pub struct App {
    running: Running,
    shared: Arc<Shared>,
    ivr: Ivr,
    records: Shower,
    answers: mpsc::Sender<(u64, Lookup)>,
    lookups: mpsc::Receiver<(u64, Lookup)>,
    story: Story,
    /// Calls whose route a program is asked about, and its answers.
    undecided: BTreeMap<CallKey, (TrunkId, Arc<InviteFacts>)>,
    decide: mpsc::Sender<(CallKey, Option<Decision>)>,
    decisions: mpsc::Receiver<(CallKey, Option<Decision>)>,
    /// How long calls may go on when a signal came, and when HTTP asked.
    drain: (Duration, Option<Duration>),
}

impl App {
    /// Opens registry and sockets and starts the core. Nothing is left behind where it fails.
    pub fn start(config: &Config) -> Result<Self, CannotStart> {
        let rng = os_rng().map_err(|error| CannotStart(error.to_string()))?;
        let guests = Guests::new(rng.fork("guests"));
        let registry = pin::open(&config.pin).map_err(|error| CannotStart(error.to_string()))?;
        let key = registry.key().clone();
        let (answers, lookups) = mpsc::channel(LOOKUPS_PENDING_MAX);
        let thread = |error: std::io::Error| {
            CannotStart(format!("no thread: {error}; raise the limit of processes"))
        };
        let trunks: Vec<String> =
            config.trunks.iter().map(|trunk| trunk.sip.name.clone()).collect();
        let journal = PinJournal::start(&config.audit, key.clone(), trunks.clone());
        let (settings, rooms) = (config.pin.clone(), config.rooms.clone());
        let pins = Pins::start_with_journal(
            registry,
            settings,
            rooms,
            rng.fork("pins"),
            journal.map_err(thread)?,
        );
        let pins = pins.map_err(thread)?;
        let cdr = config.cdr.file.clone().map(|file| CdrWriter::start(file, config.cdr.sync_each));
        let cdr = cdr.transpose().map_err(thread)?;
        let hooks = config.hooks.as_ref();
        let hooks = hooks.map(|it| Hooks::start(it, key.clone(), rng.fork("hooks")));
        let hooks = hooks.transpose().map_err(CannotStart)?.map(Arc::new);
        let clips = clips(config)?;
        let rng_of_breweries = rng.fork("breweries");
        let running = signalling::start_with(core_config(config, clips), outside(config), rng)
            .map_err(|error| CannotStart(error.to_string()))?;
        let (handle, seen) = (running.handle.clone(), Seen::new(running.handle.clone()));
        let breweries = brewery::start(config, handle, seen.clone(), &rng_of_breweries);
        let shared = Shared {
            trunks,
            guests,
            key: key.clone(),
            shower: Shower::new(
                key.clone(),
                crate::config::typed::Showing::Masked,
                config.http.rooms,
            ),
            started: wall_clock().unix,
            hooks,
            rocketchat: service::statuses(config),
            breweries: breweries.map_err(CannotStart)?,
            agi: Arc::default(),
            seen,
            rooms_changed: Notify::new(),
            drain_asked: Notify::new(),
            draining: watch::Sender::new(false),
            pulse: Pulse::default(),
            state: Mutex::new(State::default()),
            pins,
            cdr,
        };
        let throttle = shared.pins.throttle().clone();
        if let Some(hooks) = &shared.hooks {
            let heard = shared.pins.journal().listen();
            tokio::spawn(story::pins(Arc::clone(hooks), heard, shared.trunks.clone()));
        }
        let (decide, decisions) = mpsc::channel(LOOKUPS_PENDING_MAX);
        Ok(Self {
            running,
            shared: Arc::new(shared),
            ivr: Ivr::new(Arc::new(Policy::new(config)), throttle),
            records: Shower::new(key, config.cdr.numbers, config.cdr.rooms),
            answers,
            lookups,
            story: Story::default(),
            undecided: BTreeMap::new(),
            decide,
            decisions,
            drain: (config.sip.drain, config.compat.drain_max),
        })
    }

    /// Talks to the core.
    pub fn handle(&self) -> GatewayHandle {
        self.running.handle.clone()
    }

    /// What HTTP shows.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Addresses really bound, in the order of the configuration.
    pub fn listeners(&self) -> &[std::net::SocketAddr] {
        &self.running.listeners
    }

    /// Carries calls until `stop` is done or HTTP asks for the end, then lets those in progress go on for the configured
    /// time. A second `stop` is the caller's business: it drops this future.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Ended {
        tokio::pin!(stop);
        let (handle, shared) = (self.handle(), self.shared());
        let (mut drain, mut is_stopping) = (Drain::default(), false);
        let drained = async {
            // Never cancelled before it is asked: `drain.is_on` guards it.
            let _ = handle.drained().await;
        };
        tokio::pin!(drained);
        let mut events = Vec::new();
        loop {
            let timer = self.ivr.poll_timeout().map(|(at, _)| at);
            let wake = timer.into_iter().chain(drain.until).min();
            tokio::select! {
                count = self.running.events.recv_many(&mut events, EVENTS_PER_TURN) => {
                    if count == 0 {
                        tracing::error!("the gateway's thread has ended");
                        break;
                    }
                    self.on_events(&mut events).await;
                }
                Some((ticket, lookup)) = self.lookups.recv() => {
                    let actions = self.ivr.lookup_done(Instant::now(), ticket, lookup);
                    self.act(actions).await;
                }
                Some((call, decision)) = self.decisions.recv() => {
                    let actions = self.decided(call, decision);
                    self.act(actions).await;
                }
                () = sleep_until(wake), if wake.is_some() => {
                    let actions = self.ivr.handle_timeout(Instant::now());
                    self.act(actions).await;
                    match drain.due(Instant::now()) {
                        Some(Step::Farewell) => self.say_goodbye().await,
                        Some(Step::GiveUp) => break,
                        None => {}
                    }
                }
                () = &mut stop, if !is_stopping => {
                    is_stopping = true;
                    self.begin_drain(&mut drain, Some(self.drain.0));
                }
                () = shared.drain_asked.notified(), if !drain.is_on => {
                    self.begin_drain(&mut drain, self.drain.1);
                }
                () = &mut drained, if drain.is_on => break,
            }
        }
        let ended = drain.ended();
        self.end().await;
        ended
    }

    /// Stops the core and writes what is left to write.
    async fn end(mut self) {
        self.running.handle.stop().await;
        while let Ok(Some(event)) =
            tokio::time::timeout(Duration::from_secs(1), self.running.events.recv()).await
        {
            self.on_events(&mut vec![event]).await;
        }
        let (running, shared) = (self.running, self.shared);
        let last_work = move || {
            running.join();
            if let Some(cdr) = &shared.cdr {
                cdr.close();
            }
            shared.pins.journal().close();
        };
        let _ = tokio::task::spawn_blocking(last_work).await;
        tracing::info!("stopped");
    }

    /// What came since the last look. Log lines and records leave once for all of it.
    async fn on_events(&mut self, events: &mut Vec<Event>) {
        let commands = {
            let _lines = log::hold();
            let now = Instant::now();
            let (mut commands, mut records) = (Vec::new(), Vec::new());
            for event in events.drain(..) {
                records.extend(self.note(&event));
                let Some(event) = self.ask_program(event) else { continue };
                if matches!(event, Event::CallJoined(..) | Event::CallEnded(_)) {
                    self.shared.rooms_changed.notify_one();
                }
                if let Event::BrowserAnswered { ticket, answer } = &event {
                    let unwanted = self.shared.guests.answered(*ticket, answer);
                    let reason = EndReason::CallerCancelled;
                    commands.extend(unwanted.map(|call| Command::End { call, reason }));
                }
                let actions = self.ivr.handle_event(now, &event);
                self.perform(actions, &mut commands);
            }
            if let Some(cdr) = &self.shared.cdr {
                cdr.write(records);
            }
            commands
        };
        self.tell(commands).await;
    }

    /// A new call waits while a program is asked where it goes; everything else comes back at once.
    fn ask_program(&mut self, event: Event) -> Option<Event> {
        let desk = self.shared.hooks.as_ref().and_then(|hooks| hooks.route.clone());
        let (call, trunk, facts) = match (event, &desk) {
            (Event::RouteNeeded { call, trunk, facts }, Some(_)) => (call, trunk, facts),
            (event, _) => {
                if let Event::CallEnded(record) = &event {
                    self.undecided.remove(&record.call);
                }
                return Some(event);
            }
        };
        let facts = Arc::<InviteFacts>::from(facts);
        self.undecided.insert(call, (trunk, Arc::clone(&facts)));
        let (trunk, decide) = (self.trunk(trunk).to_owned(), self.decide.clone());
        tokio::spawn(async move {
            let question = route::Question { call, trunk, facts };
            let decision = match &desk {
                Some(desk) => desk.ask(&question).await,
                None => None,
            };
            // Nobody listens any more: the gateway ends.
            let _ = decide.send((call, decision)).await;
        });
        None
    }

    /// What a program said; nothing of use: as the configuration says.
    fn decided(&mut self, call: CallKey, decision: Option<Decision>) -> Vec<Action> {
        // He may have hung up meanwhile.
        let Some((trunk, facts)) = self.undecided.remove(&call) else { return Vec::new() };
        let now = Instant::now();
        let desk = self.shared.hooks.as_ref().and_then(|hooks| hooks.route.as_ref());
        match decision {
            Some(decision) => self.ivr.decided(now, (call, trunk), &facts, decision),
            None if desk.is_some_and(route::RouteDesk::refuses) => {
                let reason = EndReason::ServiceUnavailable;
                vec![Action::Command(Command::End { call, reason })]
            }
            None => {
                let facts = Box::new((*facts).clone());
                self.ivr.handle_event(now, &Event::RouteNeeded { call, trunk, facts })
            }
        }
    }

    async fn act(&mut self, actions: Vec<Action>) {
        let mut commands = Vec::new();
        self.perform(actions, &mut commands);
        self.tell(commands).await;
    }

    /// Everything but the commands, which are added to `commands`.
    fn perform(&mut self, actions: Vec<Action>, commands: &mut Vec<Command>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::LookUp { ticket, ask } => {
                    let question = Question { ticket, ask, wall: wall_clock() };
                    let answer = self.answer();
                    let asked = self.shared.pins.look_up(question, answer);
                    actions.extend(self.unless_asked(asked, ticket));
                }
                Action::Redeem { ticket, ask } => {
                    let answer = self.answer();
                    let answer = move |verdict| answer(ticket, verdict);
                    let asked = self.shared.pins.show_ticket(ask, wall_clock(), answer);
                    actions.extend(self.unless_asked(asked, ticket));
                }
                Action::Refused(RefusedPin { typist, why, reached }) => {
                    self.shared.pins.journal().refused(why, reached, typist);
                }
                Action::Admitted(AdmittedPin { grant, typist }) => {
                    self.shared.pins.journal().note(PinEvent::admitted(&grant, typist));
                }
                Action::Command(command) => {
                    if let Command::Route { call, route } = &command {
                        let room = self.shared.shower.room(&route.room);
                        tracing::info!(%call, room, note = route.note, "routed");
                    }
                    commands.push(command);
                }
            }
        }
        self.shared.state().ivr = *self.ivr.counters();
    }

    /// Brings answers of the registry's thread, which noted what went wrong. Full: the dialogue's own patience runs out.
    fn answer(&self) -> impl FnOnce(u64, Result<Verdict, RegistryError>) + Send + 'static {
        let answers = self.answers.clone();
        move |ticket, verdict| {
            let _ = answers.try_send((ticket, verdict.map_err(|_| LookupFailed)));
        }
    }

    fn unless_asked(&mut self, asked: bool, ticket: u64) -> Vec<Action> {
        if asked {
            return Vec::new();
        }
        tracing::warn!("PIN registry: too many questions wait; the disk is too slow");
        self.ivr.lookup_done(Instant::now(), ticket, Err(LookupFailed))
    }

    /// A core that has stopped says so by its events.
    async fn tell(&self, commands: Vec<Command>) {
        for command in commands {
            let _ = self.running.handle.tell(command).await;
        }
    }

    /// Milestones of calls: log, figures; gives the line of the record, if there is one.
    fn note(&mut self, event: &Event) -> Option<String> {
        self.tell_program(event);
        self.shared.state().tally.note(event);
        self.shared.breweries.heard(event);
        match event {
            Event::RouteNeeded { call, trunk, facts } => {
                let (trunk, caller) = (self.trunk(*trunk), &facts.caller);
                tracing::info!(%call, trunk, %caller, call_id = facts.call_id, "call came in");
            }
            Event::CallAnswered(call) => tracing::info!(%call, "answered"),
            Event::CallJoined(call, _) => tracing::info!(%call, "joined"),
            Event::CallLeft(call, _) => tracing::info!(%call, "moves to another room"),
            Event::TrunkState(trunk, _)
            | Event::TrunkRegistered(trunk, _)
            | Event::TrunkName(trunk, _)
            | Event::TrunkUsable(trunk, _) => {
                self.shared.state().stats.trunks.note(event);
                trunks::log(self.trunk(*trunk), event);
            }
            Event::BrowserAnswered { answer: Err(reason), .. } => {
                tracing::info!(reason = reason.row().label, "browser refused");
            }
            Event::CallEnded(record) => {
                self.shared.guests.ended(Instant::now(), record.call, record.reason);
                self.shared.state().stats.call_ended(record);
                let reason = record.reason.row().label;
                tracing::info!(call = %record.call, reason, status = record.status, "ended");
                let line = || cdr::line(record, self.trunk(record.trunk), &self.records);
                return self.shared.cdr.as_ref().map(|_| line());
            }
            _ => {}
        }
        None
    }

    fn tell_program(&mut self, event: &Event) {
        let Some(hooks) = &self.shared.hooks else { return };
        let trunk = match event {
            Event::RouteNeeded { trunk, .. } => *trunk,
            Event::CallEnded(record) => record.trunk,
            _ => TrunkId::PAGES,
        };
        if let Some(events) = &hooks.events {
            self.story.note(events, event, self.shared.trunk(trunk));
        }
    }

    fn trunk(&self, trunk: TrunkId) -> &str {
        self.shared.trunk(trunk)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The spoken words: built in, with the owner's recordings in their place. What cannot be used is said, and the
/// built-in one stands. A thread makes the languages ready, so that no caller waits for his first words.
fn clips(config: &Config) -> Result<Arc<ClipLibrary>, CannotStart> {
    let library = ClipLibrary::embedded().map_err(|error| {
        CannotStart(format!("built-in prompts: {error}; build the program again"))
    })?;
    let library = match &config.prompts.dir {
        None => library,
        Some(dir) => {
            let (library, problems) = library.with_overrides(dir);
            for problem in problems {
                tracing::warn!("prompts: {problem}");
            }
            library
        }
    };
    let (library, languages) = (Arc::new(library), config.prompts.languages.clone());
    let ready = Arc::clone(&library);
    // Without this thread each clip is made ready when first spoken.
    let _ = std::thread::Builder::new()
        .name("prompts".to_owned())
        .spawn(move || ready.warm(&languages));
    Ok(library)
}

/// Events looked at together.
const EVENTS_PER_TURN: usize = 256;
/// Answers of the registry on their way to the dialogue: as many as questions may wait.
const LOOKUPS_PENDING_MAX: usize = 512;
