//! A world of two transports and a wire.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::super::*;
use crate::base::pii::Pii;
use crate::webrtc::facts::{
    Candidate, Certificate, Fingerprint, IceCredentials, LocalIce, RemoteIce, Setup,
};

pub const OURS: usize = 0;
pub const BRIDGE: usize = 1;

/// How a pair is set up.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Our DTLS role.
    pub setup: Setup,
    pub loss_percent: u32,
    pub delay: Duration,
    pub tell_candidates: bool,
    /// What we are told of the bridge's certificate; the truth if `None`.
    pub fingerprints: Option<Vec<Fingerprint>>,
}

impl Plan {
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            setup: Setup::Passive,
            loss_percent: 0,
            delay: Duration::from_millis(10),
            tell_candidates: true,
            fingerprints: None,
        }
    }
}

struct Flight {
    end: usize,
    socket: u8,
    from: SocketAddr,
    bytes: Vec<u8>,
}

pub struct Pair {
    pub plan: Plan,
    pub began: Instant,
    pub now: Instant,
    pub ends: [Box<DtlsTransport>; 2],
    pub events: [Vec<(Duration, TransportEvent)>; 2],
    pub media: [Vec<Vec<u8>>; 2],
    /// Every datagram that was sent: by whom and what.
    pub wire: Vec<(usize, Vec<u8>)>,
    flights: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    rng: Rng,
}

/// Made once: the handshake does not care when.
pub fn certificates() -> &'static [Arc<Certificate>; 2] {
    static CERTIFICATES: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        [(); 2].map(|()| {
            let made = dimpl::certificate::generate_self_signed_certificate().expect("a key pair");
            let private_key = Pii::new(made.private_key);
            Arc::new(Certificate { der: made.certificate, private_key })
        })
    })
}

pub fn address(end: usize, socket: u8) -> SocketAddr {
    let port = 10_000 + u16::from(socket);
    SocketAddr::from(([192, 0, 2, end as u8 + 1], port))
}

pub fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 960).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x5a; 80]);
    packet
}

impl Pair {
    pub fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let mut rng = Rng::from_number(plan.seed);
        let ices = [OURS, BRIDGE].map(|end| local_ice(&mut rng, end, 0));
        let other = if plan.setup == Setup::Active { Setup::Passive } else { Setup::Active };
        let setups = [plan.setup, other];
        let ends = [OURS, BRIDGE].map(|end| {
            let certificate = Arc::clone(&certificates()[end]);
            let local = LocalTransport { ice: ices[end].clone(), certificate, setup: setups[end] };
            let truth = vec![certificates()[1 - end].fingerprint()];
            let told = plan.fingerprints.clone().filter(|_| end == OURS);
            let mut ice = remote_of(&ices[1 - end]);
            if end == OURS && !plan.tell_candidates {
                ice.candidates.clear();
            }
            let remote = RemoteTransport {
                ice,
                fingerprints: told.unwrap_or(truth),
                setup: Setup::ActPass,
                sctp_port: Some(5_000),
            };
            let settings =
                TransportSettings { controlling: end == BRIDGE, opens_channel: end == OURS };
            let dice = rng.fork(if end == OURS { "ours" } else { "bridge" });
            DtlsTransport::new(now, &local, &remote, settings, dice)
        });
        Self {
            plan,
            began: now,
            now,
            ends,
            events: [Vec::new(), Vec::new()],
            media: [Vec::new(), Vec::new()],
            wire: Vec::new(),
            flights: BTreeMap::new(),
            sent: 0,
            rng,
        }
    }

    /// Lets time pass, deadline by deadline, datagram by datagram.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        self.settle();
        loop {
            let flight = self.flights.keys().next().map(|(at, _)| *at);
            let timers = self.ends.iter().filter_map(|end| end.poll_timeout());
            let next = timers.map(|(at, _)| at).chain(flight).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = next.max(self.now);
            while let Some(entry) = self.flights.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let Flight { end, socket, from, bytes } = entry.remove();
                self.inject(end, socket, from, &bytes);
            }
            for end in [OURS, BRIDGE] {
                if self.ends[end].poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                    self.ends[end].handle_timeout(self.now);
                    let (now, next) = (self.now, self.ends[end].poll_timeout());
                    assert!(next.is_none_or(|(at, _)| at > now), "a busy loop: {next:?}");
                }
            }
            self.settle();
        }
        self.now = until;
    }

    /// A datagram reaches an end.
    pub fn inject(&mut self, end: usize, socket: u8, from: SocketAddr, bytes: &[u8]) {
        let datagram = Datagram { socket, from, bytes };
        if let Some(received) = self.ends[end].handle_datagram(self.now, datagram) {
            self.media[end].push(received.bytes.to_vec());
        }
        self.settle();
    }

    fn settle(&mut self) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        for end in [OURS, BRIDGE] {
            while let Some(departure) = self.ends[end].poll_transmit(&mut buffer) {
                let bytes = buffer[..departure.length].to_vec();
                self.wire.push((end, bytes.clone()));
                self.sent += 1;
                let lost = self.rng.below(100) < self.plan.loss_percent;
                let socket = (0..2).find(|socket| address(1 - end, *socket) == departure.to);
                if let (false, Some(socket)) = (lost, socket) {
                    let from = address(end, departure.socket);
                    let key = (self.now + self.plan.delay, self.sent);
                    self.flights.insert(key, Flight { end: 1 - end, socket, from, bytes });
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push((self.now - self.began, event));
            }
        }
    }

    pub fn send(&mut self, end: usize, media: Media, bytes: &[u8]) -> bool {
        let sent = self.ends[end].send(media, bytes);
        self.settle();
        sent
    }

    pub fn text(&mut self, end: usize, text: &str) {
        let command = TransportCommand::SendChannel(text.as_bytes().to_vec());
        self.ends[end].command(self.now, command);
        self.settle();
    }

    /// Both sides learn of new credentials and go on from their other socket.
    pub fn restart(&mut self) {
        let ices = [OURS, BRIDGE].map(|end| local_ice(&mut self.rng, end, 1));
        for end in [OURS, BRIDGE] {
            let (local, remote) = (ices[end].clone(), Some(remote_of(&ices[1 - end])));
            self.ends[end].command(self.now, TransportCommand::Restart { local, remote });
        }
    }

    pub fn restart_of_ours_alone(&mut self) {
        let local = local_ice(&mut self.rng, OURS, 1);
        let remote = Some(remote_of(&local_ice(&mut self.rng, BRIDGE, 1)));
        self.ends[OURS].command(self.now, TransportCommand::Restart { local, remote });
    }

    pub fn plan_candidate(&self, end: usize) -> Candidate {
        Candidate::host(address(end, 0), 0)
    }

    pub fn counters(&self, end: usize) -> TransportCounters {
        self.ends[end].counters()
    }

    pub fn happened(&self, end: usize, event: &TransportEvent) -> bool {
        self.events[end].iter().any(|(_, happened)| happened == event)
    }

    pub fn is_secured(&self, end: usize) -> bool {
        self.secured_after(end) < Duration::MAX
    }

    pub fn secured_after(&self, end: usize) -> Duration {
        let secured = |event: &TransportEvent| matches!(event, TransportEvent::Secured { .. });
        let mut events = self.events[end].iter();
        events.find(|(_, event)| secured(event)).map_or(Duration::MAX, |(after, _)| *after)
    }

    pub fn nominated(&self, end: usize) -> Vec<(u8, SocketAddr)> {
        let nominated = |event: &TransportEvent| match event {
            TransportEvent::Nominated { socket, to } => Some((*socket, *to)),
            _ => None,
        };
        self.events[end].iter().filter_map(|(_, event)| nominated(event)).collect()
    }

    pub fn texts(&self, end: usize) -> Vec<String> {
        let text = |event: &TransportEvent| match event {
            TransportEvent::ChannelMessage(text) => Some(text.clone()),
            _ => None,
        };
        self.events[end].iter().filter_map(|(_, event)| text(event)).collect()
    }
}

fn local_ice(rng: &mut Rng, end: usize, socket: u8) -> LocalIce {
    let candidates = vec![Candidate::host(address(end, socket), 0)];
    LocalIce { credentials: IceCredentials::random(rng), candidates, socket }
}

fn remote_of(ice: &LocalIce) -> RemoteIce {
    RemoteIce { credentials: ice.credentials.clone(), candidates: ice.candidates.clone() }
}
