//! The task of all breweries: carries their machines over XMPP streams and the desk over the gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_core::base::ids::{SiteId, StreamKey};
use gateway_core::base::rng::Rng;
use gateway_core::gateway::Command;
use gateway_core::io::signalling::GatewayHandle;
use gateway_core::io::xmpp::{Failure, ToldReceiver, XmppEvent, XmppStreams};
use gateway_core::jitsi::brewery::{Brewery, BreweryEvent, BreweryOutput, BrewerySettings};
use gateway_core::jitsi::stanza::load::Load;
use gateway_core::leg::backend::{StreamAccount, StreamIdentity};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::desk::{Act, Desk, Heard};
use super::rest::Ask;
use super::{Seat, Seats};
use crate::config::Config;
use crate::config::brewery::Brewery as BreweryConfig;
use crate::seen::Seen;

/// What comes to the task.
#[derive(Debug)]
pub(super) enum Input {
    /// From the gateway.
    Heard(Heard),
    /// From REST.
    Ask(Ask, oneshot::Sender<(u16, Value)>),
    /// The process ends.
    Leave(oneshot::Sender<()>),
}

/// A seat at work.
struct Room {
    config: BreweryConfig,
    machine: Brewery,
    /// Why its stream is down.
    failure: Option<Failure>,
    is_up: bool,
}

/// The task.
pub(super) struct Task {
    streams: XmppStreams,
    told: ToldReceiver,
    rooms: BTreeMap<u32, Room>,
    /// Hosts of conferences, by the name of their deployment.
    hosts: BTreeMap<String, Vec<String>>,
    desk: Desk,
    handle: GatewayHandle,
    seen: Seen,
    seats: Arc<Mutex<Seats>>,
    load: Load,
    rng: Rng,
}

impl Task {
    /// With the breweries of the configuration. The error is a sentence with a remedy.
    pub(super) fn new(
        config: &Config,
        handle: GatewayHandle,
        seen: Seen,
        seats: Arc<Mutex<Seats>>,
        rng: Rng,
    ) -> Result<Self, String> {
        let (streams, told) = XmppStreams::new(Vec::new(), rng.fork("streams"))
            .map_err(|problems| problems.join("\n"))?;
        let desk = Desk::new(config);
        let load = Load {
            calls: 0,
            participants: 0,
            is_draining: false,
            threshold: u32::try_from(config.compat.conferences_threshold).unwrap_or(u32::MAX),
            region: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            has_trunk: desk.has_trunk(),
        };
        let hosts = config.jitsi.iter().map(|it| {
            let own = [it.settings.rooms.clone()];
            (it.name.clone(), own.into_iter().chain(it.domains.iter().cloned()).collect())
        });
        let mut task = Self {
            streams,
            told,
            rooms: BTreeMap::new(),
            hosts: hosts.collect(),
            desk,
            handle,
            seen,
            seats,
            load,
            rng,
        };
        for brewery in &config.breweries {
            task.add(brewery.clone())?;
        }
        Ok(task)
    }

    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut second = tokio::time::interval(LOOK_EVERY);
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.act().await;
            self.show();
            let wake = self.rooms.values().filter_map(|room| room.machine.poll_timeout());
            let wake = wake.map(|(at, _)| at).min();
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.take(input).await,
                    None => return,
                },
                Some(told) = self.told.recv() => {
                    if let Some((stream, event)) = self.streams.told(told) {
                        self.stream(stream, event);
                    }
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    for room in self.rooms.values_mut() {
                        room.machine.handle_timeout(now);
                    }
                }
                _ = second.tick(), if !self.rooms.is_empty() || !self.desk.is_empty() => {
                    self.look().await;
                }
            }
        }
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Heard(heard) => {
                let is_trunk = matches!(heard, Heard::Trunk(..));
                self.desk.heard(heard);
                if is_trunk {
                    self.tell_load();
                }
            }
            Input::Ask(ask, reply) => {
                let _ = reply.send(self.answer(ask));
            }
            Input::Leave(reply) => {
                for (number, room) in &mut self.rooms {
                    room.machine.leave();
                    while let Some(output) = room.machine.poll_output() {
                        if let BreweryOutput::Send(stanza) = output {
                            self.streams.send(StreamKey::alone(*number), stanza);
                        }
                    }
                    self.streams.close(StreamKey::alone(*number));
                }
                self.rooms.clear();
                tokio::time::sleep(FLUSH).await;
                let _ = reply.send(());
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> (u16, Value) {
        match ask {
            Ask::List => {
                let names = self.rooms.values().map(|room| room.config.name.as_str());
                (200, json!(names.collect::<Vec<&str>>()))
            }
            Ask::Add(brewery) => {
                let same = self.rooms.values().find(|room| room.config.name == brewery.name);
                if same.is_some_and(|room| is_same(&room.config, &brewery)) {
                    return (200, Value::Null);
                }
                // As Jigasi: another account of that id takes its place.
                self.remove(&brewery.name);
                match self.add(*brewery) {
                    Ok(()) => (200, Value::Null),
                    Err(error) => (400, json!({ "error": error })),
                }
            }
            Ask::Remove(name) => match self.remove(&name) {
                true => (200, Value::Null),
                false => (400, json!({ "error": "there is no brewery of this id" })),
            },
        }
    }

    fn add(&mut self, config: BreweryConfig) -> Result<(), String> {
        let number = (0..BREWERIES_MAX).find(|number| !self.rooms.contains_key(number));
        let number = number.ok_or("there are too many breweries".to_owned())?;
        let site = SiteId(u16::try_from(number).map_err(|error| error.to_string())?);
        self.streams.put_site(site, config.site.clone())?;
        let settings = BrewerySettings {
            room: config.room.clone(),
            allowed: config.allowed.clone(),
            hosts: self.hosts.get(&config.conference).cloned().unwrap_or_default(),
            dials_max: DIALS_MAX,
        };
        let rng = self.rng.fork(&format!("brewery/{}", config.name));
        let load = Load { region: config.region.clone(), ..self.load.clone() };
        let machine = Brewery::new(settings, load, rng);
        self.rooms.insert(number, Room { config, machine, failure: None, is_up: false });
        self.open(number);
        Ok(())
    }

    fn open(&mut self, number: u32) {
        let Some(room) = self.rooms.get(&number) else { return };
        let account = StreamAccount {
            tenant: None,
            visit: None,
            site: SiteId(u16::try_from(number).unwrap_or(u16::MAX)),
            identity: StreamIdentity::Password {
                user: room.config.user.clone(),
                password: room.config.password.clone(),
            },
            room: None,
            token: None,
        };
        self.streams.open(StreamKey::alone(number), account);
    }

    fn remove(&mut self, name: &str) -> bool {
        let found = self.rooms.iter().find(|(_, room)| room.config.name == name);
        let Some(number) = found.map(|(number, _)| *number) else { return false };
        let Some(mut room) = self.rooms.remove(&number) else { return false };
        room.machine.leave();
        while let Some(output) = room.machine.poll_output() {
            match output {
                BreweryOutput::Send(stanza) => self.streams.send(StreamKey::alone(number), stanza),
                BreweryOutput::Event(BreweryEvent::TooLate(ticket)) => {
                    self.desk.too_late((number, ticket));
                }
                BreweryOutput::Event(_) => {}
            }
        }
        self.streams.close(StreamKey::alone(number));
        self.desk.seat_gone(number);
        tracing::info!(brewery = name, "brewery removed");
        true
    }

    fn stream(&mut self, stream: StreamKey, event: XmppEvent) {
        let number = stream.number();
        let Some(room) = self.rooms.get_mut(&number) else { return };
        let name = &room.config.name;
        match event {
            XmppEvent::Up { jid, resumed } => {
                room.failure = None;
                room.is_up = true;
                room.machine.stream_up(Instant::now(), jid, resumed);
            }
            XmppEvent::Stanza(stanza) => room.machine.handle_stanza(Instant::now(), &stanza),
            XmppEvent::Down(failure) => {
                tracing::warn!(brewery = %name, %failure, "no way to the brewery; tried again");
                room.failure = Some(failure);
                room.is_up = false;
                room.machine.stream_down();
            }
            XmppEvent::BridgeSocket(_) => {}
        }
    }

    /// Does what machines and desk want.
    async fn act(&mut self) {
        loop {
            let numbers: Vec<u32> = self.rooms.keys().copied().collect();
            for number in numbers {
                while let Some(output) = self.output(number) {
                    match output {
                        BreweryOutput::Send(stanza) => {
                            self.streams.send(StreamKey::alone(number), stanza);
                        }
                        BreweryOutput::Event(event) => self.event(number, event),
                    }
                }
            }
            let Some(act) = self.desk.poll_act() else { return };
            self.on_desk(act).await;
        }
    }

    fn output(&mut self, number: u32) -> Option<BreweryOutput> {
        self.rooms.get_mut(&number)?.machine.poll_output()
    }

    fn event(&mut self, number: u32, event: BreweryEvent) {
        let Some(room) = self.rooms.get(&number) else { return };
        let brewery = &room.config.name;
        match event {
            BreweryEvent::Joined => tracing::info!(%brewery, "brewery joined"),
            BreweryEvent::Out(trouble) => {
                tracing::warn!(%brewery, %trouble, "not in the brewery; tried again");
            }
            BreweryEvent::NewStream => {
                self.streams.close(StreamKey::alone(number));
                if let Some(room) = self.rooms.get_mut(&number) {
                    room.machine.stream_down();
                    room.is_up = false;
                }
                self.open(number);
            }
            BreweryEvent::Dial(ticket, order) => {
                tracing::info!(%brewery, to = %order.to, "a conference dials");
                let conference = room.config.conference.clone();
                self.desk.order(Instant::now(), (number, ticket), &conference, *order);
            }
            BreweryEvent::TooLate(ticket) => self.desk.too_late((number, ticket)),
            BreweryEvent::HangUp(ticket) => self.desk.hang_up((number, ticket)),
        }
    }

    async fn on_desk(&mut self, act: Act) {
        match act {
            // The gateway's thread takes it within milliseconds; until then no event of the new call is looked at.
            Act::Dial(id, command) => {
                let taken = match self.handle.command(*command).await {
                    Ok(Some(call)) => Ok(call),
                    Ok(None) => Err("the gateway made no call".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                if let Ok(call) = &taken {
                    tracing::info!(%call, "calling out");
                }
                self.desk.dialled(id, taken);
            }
            Act::Answer((number, ticket), answer) => {
                if let Err(refused) = &answer {
                    tracing::info!(why = refused.text, "a dial is refused");
                }
                let Some(room) = self.rooms.get_mut(&number) else { return };
                let is_good = answer.is_ok();
                let is_told = room.machine.answer(ticket, answer);
                if is_good && !is_told {
                    self.desk.too_late((number, ticket));
                }
            }
            Act::Occupant((number, ticket), address) => {
                if let Some(room) = self.rooms.get_mut(&number) {
                    room.machine.occupant(ticket, &address);
                }
            }
            Act::Over((number, ticket)) => {
                if let Some(room) = self.rooms.get_mut(&number) {
                    room.machine.ended(ticket);
                }
            }
            Act::End(call, reason) => {
                let _ = self.handle.tell(Command::End { call, reason }).await;
            }
        }
    }

    /// How busy the gateway is, and which calls are there.
    async fn look(&mut self) {
        let Ok(snapshot) = self.seen.look().await else { return };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.load.calls = count(snapshot.calls.len());
        let joined = snapshot.calls.iter().filter(|call| call.joined_for.is_some());
        self.load.participants = count(joined.count());
        self.load.is_draining = snapshot.draining;
        self.desk.alive(&snapshot.calls.iter().map(|call| call.call).collect());
        self.tell_load();
    }

    fn tell_load(&mut self) {
        self.load.has_trunk = self.desk.has_trunk();
        for room in self.rooms.values_mut() {
            let load = Load { region: room.config.region.clone(), ..self.load.clone() };
            room.machine.load(Instant::now(), load);
        }
    }

    fn show(&self) {
        let seats = self.rooms.values().map(|room| (room.config.name.clone(), seat(room)));
        let seats = Seats {
            seats: seats.collect(),
            waiting: self.rooms.values().map(|room| room.machine.dials_waiting()).sum(),
            calls: self.desk.len(),
            counters: *self.desk.counters(),
        };
        *self.seats.lock().unwrap_or_else(PoisonError::into_inner) = seats;
    }
}

fn seat(room: &Room) -> Seat {
    let machine = &room.machine;
    let failure = room.failure.as_ref().map(ToString::to_string);
    let trouble = failure.or_else(|| machine.trouble().map(ToString::to_string));
    let trouble = trouble.or_else(|| (!room.is_up).then(|| "not connected yet".to_owned()));
    Seat {
        is_in: machine.is_in(),
        has_focus: machine.has_focus(),
        trouble: trouble.filter(|_| !machine.is_in()),
    }
}

/// Nothing that a new stream would change.
fn is_same(one: &BreweryConfig, other: &BreweryConfig) -> bool {
    let place =
        |it: &BreweryConfig| (it.room.clone(), it.conference.clone(), it.site.domain.clone());
    place(one) == place(other)
        && one.site.transport == other.site.transport
        && (&one.user, &one.password) == (&other.user, &other.password)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What the breweries are told is at most this old.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What was sent before streams are closed reaches the socket within this.
const FLUSH: Duration = Duration::from_millis(300);
/// Dials of one brewery that wait for their answer at once.
const DIALS_MAX: usize = 100;
/// Breweries of one gateway; a large site has a dozen.
const BREWERIES_MAX: u32 = 256;
