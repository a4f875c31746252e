//! A small world in virtual time: a gateway, its shard, and phones that speak SIP and RTP over a perfect network.
//! Whole calls run from INVITE to record without a socket, a thread or a real second.
#![allow(dead_code, reason = "each test file uses what it needs")]

pub mod browser;
pub mod phone;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, ListenerId, QuestionId, ShardId, TrunkId};
use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::call::{CallRecord, Question, Route};
use gateway_core::gateway::{
    BrowserSettings, Command, DialOrder, Event, Gateway, GatewayConfig, Input, Output,
};
use gateway_core::leg::backend::{Entry, Role, RoomName, RoomPolicy};
use gateway_core::leg::browser::signal::LineKind;
use gateway_core::leg::end_reason::EndReason;
use gateway_core::leg::loopback::signal::Loopback;
use gateway_core::leg::media::SocketKind;
use gateway_core::leg::trunk::signal::SdpPolicy;
use gateway_core::media::clip::prompt::PromptId;
use gateway_core::media::clip::{ClipLibrary, Language};
use gateway_core::media::codec::CodecKind;
use gateway_core::shard::{Shard, ShardConfig};
use gateway_core::sip::endpoint::{EndpointConfig, TransportInput, TransportOutput};
use gateway_core::sip::trunk::{ListenerConfig, SipTransport, TrunkConfig, UnknownSource};

use self::browser::Browser;
use self::phone::Phone;

pub const OURS: &str = "203.0.113.1:5060";
pub const PIN: &str = "482917365";

/// The world.
pub struct World {
    pub gateway: Gateway,
    pub shard: Shard,
    pub now: Instant,
    started: Instant,
    pub phones: Vec<Phone>,
    pub browsers: Vec<Browser>,
    pub events: Vec<Event>,
    pub records: Vec<CallRecord>,
    /// Ports that another program holds: binding them fails.
    pub taken_ports: Vec<u16>,
    /// RTP sockets that are open, by call.
    pub open: Vec<(CallKey, SocketAddr)>,
    /// How the owner answers; `None` leaves questions open.
    pub owner: Option<Owner>,
    /// A hash of every datagram sent by the gateway, with its time: equal for equal runs.
    pub transcript: u64,
}

/// A stand-in for the daemon's PIN dialogue: one PIN, three tries.
#[derive(Clone, Debug)]
pub struct Owner {
    pub policy: RoomPolicy,
    pub role: Role,
    pub backend: String,
    pub tries: u32,
    pub length_max: Option<Duration>,
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            policy: RoomPolicy::default(),
            role: Role::Guest,
            backend: "room".into(),
            tries: 3,
            length_max: None,
        }
    }
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn trunk() -> TrunkConfig {
    TrunkConfig {
        name: "pbx".into(),
        sources: vec!["198.51.100.0/24".parse().expect("a block")],
        peer: Some("198.51.100.7:5060".parse().expect("an address")),
        calls_max: 100,
        trusted: true,
        ..TrunkConfig::default()
    }
}

fn config() -> GatewayConfig {
    GatewayConfig {
        endpoint: EndpointConfig {
            listeners: vec![ListenerConfig {
                bind: OURS.parse().expect("an address"),
                transport: SipTransport::Udp,
                accepts: true,
                advertised: None,
                advertised_media: None,
            }],
            trunks: vec![trunk()],
            unknown: UnknownSource::Drop,
            user_agent: "WeeBee".into(),
            calls_max: 100,
            retry_after: secs(7),
            t1: millis(500),
        },
        sdp: vec![SdpPolicy {
            codecs: vec![CodecKind::Pcma, CodecKind::Pcmu],
            ..SdpPolicy::default()
        }],
        manners: Vec::new(),
        rtp_ports: (20_000, 20_199),
        port_rest: secs(30),
        shards: 1,
        media_timeout: secs(30),
        call_length_max: secs(3_600),
        clips: Arc::new(ClipLibrary::default()),
        conference: Default::default(),
        browsers: BrowserSettings {
            browsers_max: 2,
            line: LineKind::Plain,
            ..BrowserSettings::default()
        },
        backends: vec![("echo".into(), Box::new(Loopback::new()))],
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    #[expect(clippy::disallowed_methods, reason = "a beginning: only differences of it matter")]
    pub fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        let now = Instant::now();
        let mut gateway = Gateway::new(config, now, Rng::from_number(7));
        gateway.handle_input(now, Input::WallClock(WallClock { unix: secs(1_795_000_000) }));
        gateway.handle_input(now, Input::Certificate(Arc::new(browser::certificate())));
        Self {
            gateway,
            shard: Shard::new(ShardConfig { calls_max: 32, rooms_max: 32 }, now),
            now,
            started: now,
            phones: Vec::new(),
            browsers: Vec::new(),
            events: Vec::new(),
            records: Vec::new(),
            taken_ports: Vec::new(),
            open: Vec::new(),
            owner: Some(Owner::default()),
            transcript: 0xcbf2_9ce4_8422_2325,
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        let time = (self.elapsed().as_micros() as u64).to_le_bytes();
        for byte in time.iter().chain(bytes) {
            self.transcript = (self.transcript ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// A phone that plays a tone of `hz` while it is in a call. Gives its number.
    pub fn phone(&mut self, hz: f64) -> usize {
        self.phones.push(Phone::new(self.phones.len(), hz));
        self.phones.len() - 1
    }

    /// A phone calls in; after that the world has run 200 ms.
    pub fn call_in(&mut self, phone: usize) {
        let now = self.now;
        self.phones[phone].call(now, OURS);
        self.run_for(millis(200));
    }

    /// A phone calls in, types the PIN and is in the room.
    pub fn join(&mut self, phone: usize) {
        self.call_in(phone);
        self.run_for(millis(500));
        self.type_keys(phone, &format!("{PIN}#"));
    }

    /// Presses keys one after the other, each 100 ms long with 100 ms between.
    pub fn type_keys(&mut self, phone: usize, keys: &str) {
        for key in keys.chars() {
            let now = self.now;
            self.phones[phone].press(now, key);
            self.run_for(millis(200));
        }
    }

    pub fn hang_up(&mut self, phone: usize) {
        let now = self.now;
        self.phones[phone].bye(now);
        self.run_for(millis(100));
    }

    pub fn command(&mut self, command: Command) -> Option<CallKey> {
        let key = self.gateway.command(self.now, command).expect("a good command");
        self.settle();
        key
    }

    /// Virtual time goes on.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        loop {
            let gateway = self.gateway.poll_timeout().map(|(at, _)| at);
            let shard = self.shard.poll_timeout().map(|(at, _)| at);
            let phones = self.phones.iter().filter_map(Phone::poll_timeout).min();
            let browsers = self.browsers.iter().filter_map(Browser::poll_timeout).min();
            let next = [gateway, shard, phones, browsers].into_iter().flatten().min();
            let next = next.filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            let now = self.now;
            if gateway.is_some_and(|at| at <= now) {
                self.gateway.handle_timeout(now);
            }
            if phones.is_some_and(|at| at <= now) {
                self.phones.iter_mut().for_each(|phone| phone.handle_timeout(now));
            }
            if browsers.is_some_and(|at| at <= now) {
                self.browsers.iter_mut().for_each(|browser| browser.handle_timeout(now));
            }
            self.settle();
            if self.shard.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.shard.handle_timeout(now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Carries everything that was said, until nobody says anything more.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.gateway.poll_output() {
                quiet = false;
                self.gateway_said(output);
            }
            let mut buffer = [0; 1_500];
            while let Some((call, transmit)) = self.shard.poll_transmit(&mut buffer) {
                quiet = false;
                let from = self.open.iter().find(|(key, _)| *key == call).map(|(_, at)| *at);
                let from = from.expect("a datagram of a call whose sockets are open");
                self.note(&buffer[..transmit.length]);
                if transmit.socket == SocketKind::TrunkRtp {
                    let bytes = &buffer[..transmit.length];
                    self.phones.iter_mut().for_each(|it| it.rtp_arrived(from, transmit.to, bytes));
                    let now = self.now;
                    self.browsers
                        .iter_mut()
                        .for_each(|it| it.arrived(now, from, transmit.to, bytes));
                }
            }
            while let Some(event) = self.shard.poll_output() {
                quiet = false;
                self.gateway.handle_input(self.now, Input::FromMedia(ShardId(0), event));
            }
            for browser in 0..self.browsers.len() {
                while let Some((from, to, bytes)) = self.browsers[browser].poll_output() {
                    quiet = false;
                    self.phone_said(from, to, &bytes);
                }
            }
            for phone in 0..self.phones.len() {
                while let Some((from, to, bytes)) = self.phones[phone].poll_output() {
                    quiet = false;
                    self.phone_said(from, to, &bytes);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn phone_said(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to.port() == 5_060 {
            let input = TransportInput::Datagram { listener: ListenerId(0), from, bytes };
            self.gateway.handle_input(self.now, Input::Sip(input));
        } else if let Some((call, _)) = self.open.iter().find(|(_, at)| *at == to) {
            self.shard.handle_packet(self.now, *call, SocketKind::TrunkRtp, from, bytes);
        }
    }

    fn gateway_said(&mut self, output: Output) {
        match output {
            Output::Sip(TransportOutput::Datagram { to, bytes, .. }) => {
                self.note(&bytes);
                let text = String::from_utf8(bytes).expect("text");
                let now = self.now;
                let phone = self.phones.iter_mut().find(|phone| phone.sip == to);
                phone.expect("a phone at that address").sip_arrived(now, &text);
            }
            Output::Sip(other) => panic!("only datagrams here: {other:?}"),
            Output::OpenMedia { call, local, .. } => {
                let is_free = !self.taken_ports.contains(&local.port());
                if is_free {
                    assert!(self.open.iter().all(|(_, at)| *at != local), "{local} is in use");
                    self.open.push((call, local));
                }
                let bound = is_free.then_some(local);
                self.gateway.handle_input(self.now, Input::MediaOpened { call, bound });
            }
            Output::CloseMedia { call, .. } => {
                assert!(self.open.iter().any(|(key, _)| *key == call), "{call}: closed twice");
                self.open.retain(|(key, _)| *key != call);
            }
            Output::ToMedia(_, command) => self.shard.command(self.now, command),
            Output::OpenConferencePort { .. } | Output::CloseConferencePort { .. } => {
                unreachable!("no conference here has a transport")
            }
            Output::OpenStream { .. }
            | Output::Stanza(..)
            | Output::CloseStream(_)
            | Output::BridgeSocket(..) => {
                unreachable!("no conference here speaks XMPP")
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: Event) {
        match (&event, self.owner.clone()) {
            (Event::RouteNeeded { call, .. }, Some(_)) => {
                self.ask(*call, 1, &[PromptId::Greeting, PromptId::EnterPin]);
            }
            (Event::Answered { call, question, digits, .. }, Some(owner)) => {
                if digits.reveal().as_slice() == PIN.as_bytes() {
                    self.route(*call, &owner);
                } else if question.0 >= owner.tries {
                    self.tell(Command::End { call: *call, reason: EndReason::PinRefused });
                } else {
                    self.ask(*call, question.0 + 1, &[PromptId::PinWrong, PromptId::EnterPin]);
                }
            }
            (Event::BrowserAnswered { ticket, answer }, _) => {
                let now = self.now;
                self.browsers[*ticket as usize].answered(now, answer);
            }
            (Event::CallEnded(record), _) => self.records.push((**record).clone()),
            _ => {}
        }
        self.events.push(event);
    }

    fn tell(&mut self, command: Command) {
        self.gateway.command(self.now, command).expect("a good command");
    }

    pub fn ask(&mut self, call: CallKey, question: u32, words: &[PromptId]) {
        let question = Box::new(Question {
            id: QuestionId(question),
            words: words.to_vec(),
            language: Language::En,
            digits_max: 9,
            first_digit: secs(10),
            between_digits: secs(5),
        });
        self.tell(Command::Ask { call, question });
    }

    pub fn route(&mut self, call: CallKey, owner: &Owner) {
        let route = self.route_of(owner);
        self.tell(Command::Route { call, route });
    }

    pub fn route_of(&self, owner: &Owner) -> Box<Route> {
        Box::new(Route {
            backend: owner.backend.clone(),
            room: RoomName::new("tea").expect("a name"),
            role: owner.role,
            label: Pii::new("someone".into()),
            language: Language::En,
            policy: owner.policy,
            length_max: owner.length_max,
            note: Some("pin-1".into()),
            entry: Entry::default(),
        })
    }

    /// A browser asks to join, and plays a tone of `hz` once it is connected. Gives its number.
    pub fn browser(&mut self, hz: f64) -> usize {
        self.browser_with(hz, |_| {})
    }

    /// One that is changed first.
    pub fn browser_with(&mut self, hz: f64, change: impl FnOnce(&mut Browser)) -> usize {
        let number = self.browsers.len();
        let mut browser = Browser::new(number, hz);
        change(&mut browser);
        self.browsers.push(browser);
        let offer = Box::new(self.browsers[number].offer());
        let owner = self.owner.clone().unwrap_or_default();
        let route = self.route_of(&owner);
        self.command(Command::JoinFromBrowser { ticket: number as u64, offer, route });
        number
    }

    /// The gateway calls a phone, which answers, and joins it to the room.
    pub fn call_out(&mut self, phone: usize, keys: Option<(Duration, &str)>, quiet: bool) {
        let dial = self.dialling(phone, keys, quiet);
        self.command(dial);
    }

    /// The command for that.
    pub fn dialling(&self, phone: usize, keys: Option<(Duration, &str)>, quiet: bool) -> Command {
        let target = format!("sip:bob@{}", self.phones[phone].sip);
        let owner = self.owner.clone().unwrap_or_default();
        let route = self.route_of(&owner);
        let keys = keys.map(|(pause, keys)| (pause, keys.bytes().collect()));
        let from_user = Pii::new("weebee".into());
        let trunk = TrunkId(0);
        Command::Dial {
            trunk,
            target,
            from_user,
            from_name: Pii::default(),
            headers: Vec::new(),
            route,
            keys,
            quiet,
            order: DialOrder::PhoneFirst,
        }
    }

    /// The call of the only one who is there.
    pub fn only_call(&self) -> CallKey {
        let snapshot = self.gateway.snapshot(self.now);
        assert_eq!(snapshot.calls.len(), 1);
        snapshot.calls[0].call
    }

    /// All calls, in the order they came.
    pub fn calls(&self) -> Vec<CallKey> {
        self.gateway.snapshot(self.now).calls.iter().map(|call| call.call).collect()
    }

    pub fn states(&self) -> Vec<&'static str> {
        self.gateway.snapshot(self.now).calls.iter().map(|call| call.state).collect()
    }

    /// Nothing lives, every socket is closed, every call has one record.
    #[track_caller]
    pub fn expect_empty(&mut self) {
        assert!(self.gateway.is_idle(), "{:?}", self.gateway.snapshot(self.now));
        assert!(self.gateway.snapshot(self.now).rooms.is_empty());
        assert!(self.open.is_empty(), "open sockets: {:?}", self.open);
        let counters = self.gateway.counters();
        assert_eq!(counters.calls_started, counters.calls_ended);
        assert_eq!(counters.calls_ended as usize, self.records.len());
        self.run_for(secs(33));
        assert_eq!(self.gateway.poll_timeout().map(|(_, why)| why), None, "a deadline is left");
    }

    #[track_caller]
    pub fn expect_end(&self, record: usize, reason: EndReason) {
        assert_eq!(self.records.get(record).map(|record| record.reason), Some(reason));
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.started
    }
}
