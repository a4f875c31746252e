//! The world: virtual time in steps of 5 ms, the gateway and one shard, the PIN dialogue, phones behind links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, ShardId};
use gateway_core::base::limits::RTP_DATAGRAM_BYTES_MAX;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::{Tick, WallClock};
use gateway_core::gateway::{Event, Gateway, GatewayCounters, Input, Output};
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::ClipLibrary;
use gateway_core::shard::{Shard, ShardConfig};
use gateway_core::sip::endpoint::TransportOutput;
use gateway_daemon::ivr::{Action, Ivr};
use gateway_daemon::pin::{Refusal, Verdict};
use sha2::{Digest, Sha256};

use crate::jitsi::bridge::certificate;
use crate::ladder::Ladder;
use crate::link::Link;
use crate::logs::LogCatcher;
use crate::phone::sound::Recording;
use crate::phone::{Phone, Spell};
use crate::plan::WorldPlan;
use crate::watch::{Tally, Watch};

use self::meeting::Meeting;
use self::network::{PHONE_SIP_PORT, Packet, Seat};
pub use self::outcome::{MeetingOutcome, Told, Words};

mod dialling;
mod meeting;
mod network;
mod outcome;
mod settings;

/// What became of a world.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The conversation.
    pub ladder: Ladder,
    /// SHA-256 over everything sent by anybody and every event, with its time.
    pub transcript: [u8; 32],
    /// What the checkers found wrong. Empty is good.
    pub faults: Vec<String>,
    /// What they judged.
    pub tally: Tally,
    /// What the gateway counted.
    pub counters: GatewayCounters,
    /// Virtual time it took.
    pub lasted: Duration,
    /// What phones heard.
    pub recordings: Vec<Recording>,
    /// Keys that reached phones: when, which, how many milliseconds.
    pub keys: Vec<Vec<(Duration, char, u32)>>,
    /// JSON that reached the IVR of each phone by INFO, and when.
    pub json: Vec<Vec<(Duration, String)>>,
    /// When phones talked, muted themselves and the like.
    pub spells: Vec<Vec<(Spell, Duration, Option<Duration>)>>,
    /// What became of the meeting, if it was one.
    pub meeting: Option<MeetingOutcome>,
}

/// Runs a plan to its end, with every log line caught.
pub fn run(plan: WorldPlan) -> Outcome {
    let logs = LogCatcher::default();
    tracing::subscriber::with_default(logs.clone(), || {
        let mut world = World::new(plan);
        world.run();
        world.outcome(&logs)
    })
}

struct World {
    plan: WorldPlan,
    start: Instant,
    elapsed: Duration,
    gateway: Gateway,
    shard: Shard,
    ivr: Ivr,
    phones: Vec<Seat>,
    rng: Rng,
    on_the_way: BTreeMap<(Duration, u64), Packet>,
    serial: u64,
    sockets: BTreeMap<SocketAddr, CallKey>,
    lookups: BTreeMap<(Duration, u64), Verdict>,
    actions: VecDeque<Action>,
    /// Phones that were called.
    dialled: BTreeSet<usize>,
    next_wall_clock: Duration,
    watch: Watch,
    ladder: Ladder,
    transcript: Sha256,
    meeting: Option<Meeting>,
    told: Vec<(Duration, usize, Told)>,
    words: Vec<(Duration, CallKey, Words)>,
}

impl World {
    fn new(plan: WorldPlan) -> Self {
        let start = Instant::now();
        let root = Rng::from_number(plan.seed);
        let config = settings::gateway(&plan, clips(), start);
        let mut gateway = Gateway::new(config, start, root.fork("gateway"));
        gateway.handle_input(start, Input::Certificate(certificate()));
        let meeting = plan.meeting.as_ref().map(|it| Meeting::new(start, it, &root));
        let seats = plan.phones.iter().map(|(phone, up, down)| {
            let index = phone.index;
            let public = settings::public_address(index);
            let private = Ipv4Addr::new(10, 0, 0, 10 + index as u8);
            let written = if phone.behind_nat { private.into() } else { public };
            let written = SocketAddr::new(written, PHONE_SIP_PORT);
            Seat {
                phone: Phone::new(phone.clone(), written, settings::GATEWAY),
                up: Link::new(*up, root.fork(&format!("link/up/{index}"))),
                down: Link::new(*down, root.fork(&format!("link/down/{index}"))),
                public,
                behind_nat: phone.behind_nat,
            }
        });
        Self {
            start,
            elapsed: Duration::ZERO,
            gateway,
            shard: Shard::new(
                ShardConfig { calls_max: 16 + plan.phones.len(), rooms_max: 4 },
                start,
            ),
            ivr: Ivr::new(Arc::new(settings::policy(&plan)), settings::throttle()),
            phones: seats.collect(),
            rng: root.fork("world"),
            on_the_way: BTreeMap::new(),
            serial: 0,
            sockets: BTreeMap::new(),
            lookups: BTreeMap::new(),
            actions: VecDeque::new(),
            dialled: BTreeSet::new(),
            next_wall_clock: Duration::ZERO,
            watch: Watch::new(plan.knobs.call_length_max),
            ladder: Ladder::default(),
            transcript: Sha256::new(),
            meeting,
            told: Vec::new(),
            words: Vec::new(),
            plan,
        }
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    fn run(&mut self) {
        let patience = PATIENCE + self.plan.longest_talk();
        while !self.is_over() && self.elapsed < patience {
            self.step();
        }
        if !self.is_over() {
            self.watch.fault(format!("still busy after {patience:?}: {:?}", self.leftovers()));
        }
        // Everything must have healed: 64*T1 and a little more, in which nothing new happens.
        let heal = self.elapsed + Duration::from_secs(33);
        while self.elapsed < heal {
            self.step();
        }
        if let Some(left) = self.leftovers() {
            self.watch.fault(format!("not empty after 64*T1: {left}"));
        }
    }

    fn is_over(&self) -> bool {
        self.phones.iter().all(|seat| seat.is_quiet())
            && self.on_the_way.is_empty()
            && self.gateway.is_idle()
            && self.sockets.is_empty()
            && self.meeting.as_ref().is_none_or(Meeting::is_quiet)
    }

    /// What still lives and should not.
    fn leftovers(&self) -> Option<String> {
        let look = self.gateway.snapshot(self.now());
        let left = [
            ("calls", look.calls.len()),
            ("rooms", look.rooms.len()),
            ("dialogs", look.dialogs),
            ("ports in use", look.ports_used),
            ("sockets", self.sockets.len()),
            ("PIN dialogues", self.ivr.dialogues()),
            ("shard ticks", usize::from(self.shard.poll_timeout().is_some())),
            ("busy gateway", usize::from(!self.gateway.is_idle())),
            ("phones", self.phones.iter().filter(|seat| !seat.is_quiet()).count()),
        ];
        let meeting = self.meeting.as_ref().map(Meeting::leftovers);
        let left: Vec<String> = left
            .iter()
            .chain(meeting.iter().flatten())
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        (!left.is_empty()).then(|| left.join(", "))
    }

    /// One step of time: everything that is due, in a fixed order.
    fn step(&mut self) {
        self.elapsed = self.next_moment();
        self.set_wall_clock();
        self.deliver();
        for index in 0..self.phones.len() {
            self.phones[index].phone.tick(self.elapsed);
            self.drain_phone(index);
        }
        self.dial_out();
        self.answer_lookups();
        self.step_meeting();
        self.fire_timeouts();
    }

    /// The next 5 ms, or far ahead when nobody moves.
    fn next_moment(&self) -> Duration {
        let next = self.elapsed + Tick::LENGTH;
        let is_meeting_on = self.meeting.as_ref().is_some_and(|it| !it.is_quiet());
        let is_anybody_up = self.phones.iter().any(|seat| !seat.is_quiet());
        if !self.on_the_way.is_empty() || is_anybody_up || is_meeting_on {
            return next;
        }
        let deadlines =
            [self.gateway.poll_timeout(), self.shard.poll_timeout(), self.ivr.poll_timeout()];
        let due = deadlines.into_iter().flatten().map(|(at, _)| at.duration_since(self.start));
        let due = due.chain(self.lookups.keys().map(|(at, _)| *at)).chain([self.next_wall_clock]);
        let ahead = due.min().unwrap_or(next).saturating_sub(self.elapsed);
        let steps = ahead.as_micros().div_ceil(Tick::LENGTH.as_micros()).max(1);
        self.elapsed + Tick::LENGTH * u32::try_from(steps).unwrap_or(1)
    }

    fn set_wall_clock(&mut self) {
        if self.elapsed < self.next_wall_clock {
            return;
        }
        self.next_wall_clock = self.elapsed + Duration::from_secs(1);
        let stepped = match self.plan.knobs.clock_step {
            Some((at, seconds)) if self.elapsed >= at => seconds,
            _ => 0,
        };
        let unix = BIRTH.saturating_add_signed(stepped) * 1_000_000;
        let unix = Duration::from_micros(unix) + self.elapsed;
        let wall = WallClock { unix };
        self.gateway.handle_input(self.now(), Input::WallClock(wall));
        self.settle();
        self.shard.set_wall_clock(self.now(), wall);
        self.settle();
    }

    fn answer_lookups(&mut self) {
        while let Some(entry) = self.lookups.first_entry() {
            if entry.key().0 > self.elapsed {
                return;
            }
            let ((_, ticket), verdict) = entry.remove_entry();
            let actions = self.ivr.lookup_done(self.now(), ticket, Ok(verdict));
            self.actions.extend(actions);
            self.settle();
        }
    }

    fn fire_timeouts(&mut self) {
        let now = self.now();
        for round in 0.. {
            let gateway = self.gateway.poll_timeout().filter(|(at, _)| *at <= now);
            let shard = self.shard.poll_timeout().filter(|(at, _)| *at <= now);
            let ivr = self.ivr.poll_timeout().filter(|(at, _)| *at <= now);
            if gateway.is_some() {
                self.gateway.handle_timeout(now);
            }
            if shard.is_some() {
                self.shard.handle_timeout(now);
            }
            if ivr.is_some() {
                let actions = self.ivr.handle_timeout(now);
                self.actions.extend(actions);
            }
            if gateway.or(shard).or(ivr).is_none() {
                return;
            }
            self.settle();
            if round > ROUNDS_MAX {
                let why = gateway.or(shard).or(ivr).map(|(_, why)| why);
                return self
                    .watch
                    .fault(format!("{:?}: deadline {why:?} never ends", self.elapsed));
            }
        }
    }

    /// Drains gateway, shard and dialogue until nobody has anything to say.
    fn settle(&mut self) {
        let mut buffer = [0; RTP_DATAGRAM_BYTES_MAX];
        loop {
            let mut quiet = true;
            while let Some(output) = self.gateway.poll_output() {
                quiet = false;
                self.on_gateway(output);
            }
            while let Some((call, transmit)) = self.shard.poll_transmit(&mut buffer) {
                let bytes = buffer[..transmit.length].to_vec();
                self.on_media(call, transmit.socket, transmit.to, bytes);
            }
            while let Some(output) = self.shard.poll_output() {
                quiet = false;
                self.gateway.handle_input(self.now(), Input::FromMedia(ShardId(0), output));
            }
            while let Some(action) = self.actions.pop_front() {
                quiet = false;
                self.act(action);
            }
            if quiet {
                return;
            }
        }
    }

    fn on_gateway(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Sip(TransportOutput::Datagram { to, bytes, .. }) => self.on_sip_out(to, bytes),
            Output::Sip(other) => {
                self.watch.fault(format!("a stream in a world of datagrams: {other:?}"));
            }
            Output::OpenMedia { call, local, .. } => {
                let taken = self.rng.below(1_000) < self.plan.knobs.bind_fails_permille;
                let bound = (!taken && !self.sockets.contains_key(&local)).then_some(local);
                if bound.is_some() {
                    self.sockets.insert(local, call);
                }
                self.gateway.handle_input(now, Input::MediaOpened { call, bound });
            }
            Output::CloseMedia { call, .. } => {
                self.sockets.retain(|_, owner| *owner != call);
                self.close_conference_ports(call, None);
            }
            Output::ToMedia(_, command) => {
                self.note_words(&command);
                self.shard.command(now, command);
            }
            Output::OpenConferencePort { call, shard, socket, local } => {
                self.open_conference_port(call, shard, socket, local);
            }
            Output::CloseConferencePort { call, socket, .. } => {
                self.close_conference_ports(call, Some(socket));
            }
            Output::OpenStream { stream, account } => self.open_stream(stream, account),
            Output::Stanza(stream, stanza) => self.stanza_out(stream, stanza),
            Output::CloseStream(stream) => self.close_stream(stream),
            // The stand-in's bridge has SCTP.
            Output::BridgeSocket(..) => {}
            Output::Event(event) => self.on_event(&event),
        }
    }

    fn on_event(&mut self, event: &Event) {
        let phone_of =
            |call_id: &str| self.phones.iter().position(|seat| seat.phone.call_id() == call_id);
        self.watch.event(self.elapsed, event, phone_of);
        self.note_event(event);
        self.call_is_over(event);
        let text = format!("{event:?}");
        self.write_down("event", &[text.as_bytes()]);
        if let Some(line) = headline(event) {
            self.ladder.note(self.elapsed, "gateway", &line);
        }
        let actions = self.ivr.handle_event(self.now(), event);
        self.actions.extend(actions);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Command(command) => {
                if let Err(error) = self.gateway.command(self.now(), command) {
                    self.watch.fault(format!("the dialogue's command was refused: {error}"));
                }
            }
            Action::LookUp { ticket, ask } => {
                let verdict = self.verdict(ask.digits.reveal());
                if let Some(delay) = self.plan.knobs.lookup {
                    self.lookups.insert((self.elapsed + delay, ticket), verdict);
                }
            }
            Action::Refused(_) | Action::Admitted(_) | Action::Redeem { .. } => {}
        }
    }

    fn verdict(&self, digits: &str) -> Verdict {
        let role = match digits {
            pin if pin == self.plan.pin => Role::Guest,
            pin if pin == self.plan.host_pin => Role::Host,
            _ => return Verdict::Refused(Refusal::Unknown),
        };
        let room = RoomName::new("tea").expect("a plain word is a room name");
        settings::valid(room, role)
    }

    fn write_down(&mut self, kind: &str, parts: &[&[u8]]) {
        self.transcript.update(self.elapsed.as_micros().to_le_bytes());
        self.transcript.update(kind);
        for part in parts {
            self.transcript.update((part.len() as u64).to_le_bytes());
            self.transcript.update(part);
        }
    }
}

/// Clips are decoded once for all worlds of a process.
fn clips() -> Arc<ClipLibrary> {
    static CLIPS: OnceLock<Arc<ClipLibrary>> = OnceLock::new();
    CLIPS
        .get_or_init(|| {
            Arc::new(ClipLibrary::embedded().expect("the built-in packs are whole: a test says so"))
        })
        .clone()
}

/// The event as a line, without anything personal.
fn headline(event: &Event) -> Option<String> {
    Some(match event {
        Event::RouteNeeded { call, .. } => format!("{call} wants a route"),
        Event::Answered { call, digits, end, .. } => {
            format!("{call} typed {} digits: {end:?}", digits.reveal().len())
        }
        Event::CallAnswered(call) => format!("{call} is answered"),
        Event::CallOccupant(call, _) => format!("{call} is an occupant"),
        Event::CallJoined(call, _) => format!("{call} is in the room"),
        Event::CallLeft(call, _) => format!("{call} goes to another room"),
        Event::CallMuted(call, muted) => format!("{call} muted: {muted}"),
        Event::HandRaised(call, raised) => format!("{call} hand: {raised}"),
        Event::CallEnded(record) => {
            format!("{} ended: {} {:?}", record.call, record.reason.row().label, record.status)
        }
        // Browsers have no place in this world yet.
        Event::TrunkState(..)
        | Event::TrunkRegistered(..)
        | Event::TrunkName(..)
        | Event::TrunkUsable(..)
        | Event::BrowserAnswered { .. } => return None,
    })
}

/// A run that is not over by then is stuck. Longer than a phone's patience with an unanswered INVITE.
const PATIENCE: Duration = Duration::from_secs(240);
/// Rounds of timeouts at one moment of virtual time.
const ROUNDS_MAX: u32 = 1_000;
/// Wall time at the beginning: 2026-11-21 12:00 UTC, in seconds.
const BIRTH: u64 = 1_795_262_400;
const BIRTH_TIME: Duration = Duration::from_secs(BIRTH);
