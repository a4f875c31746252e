//! Two shards, a wire between them, and probes at the far ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use slotmap::SlotMap;

use crate::base::ids::{CallKey, RoomKey};
use crate::base::limits::RTP_DATAGRAM_BYTES_MAX;
use crate::base::rng::Rng;
use crate::leg::media::{ConferenceMedia, FromMedia, SocketKind, ToMedia, Transmit, Uplink};
use crate::leg::trunk::media::{AudioPath, TrunkMedia, TrunkMediaConfig};
use crate::media::codec::{self, CodecKind, Decoder};
use crate::media::frame::{Frame, SampleRate};
use crate::media::ingress::{EarKey, Heard, Ingress};
use crate::rtp::session::{Direction, EventFormat, Latching, RtpSession};
use crate::shard::{Shard, ShardConfig};

/// Which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Gateway,
    Phone,
}

/// How one call is set up at both ends.
#[derive(Clone, Debug)]
pub struct Setup {
    pub codec: CodecKind,
    pub packet_time_ms: u8,
    pub events: bool,
    pub direction: Direction,
}

impl Setup {
    pub fn new(codec: CodecKind) -> Self {
        Self { codec, packet_time_ms: 20, events: true, direction: Direction::SendRecv }
    }
}

/// One datagram under way.
struct Flight {
    to_end: End,
    call: CallKey,
    socket: SocketKind,
    from: SocketAddr,
    bytes: Vec<u8>,
}

/// What the wire does to the n-th RTP packet towards an end: its delay, or `None` for lost.
pub type Wire = Box<dyn FnMut(End, u64) -> Option<Duration>>;

pub struct World {
    pub now: Instant,
    pub gateway: Shard,
    pub phones: Shard,
    keys: SlotMap<CallKey, ()>,
    addresses: BTreeMap<SocketAddr, (End, CallKey)>,
    flights: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    rtp: [u64; 2],
    probes: u64,
    pub wire: Wire,
    pub said: Vec<(End, FromMedia)>,
    /// Every datagram a shard sent: by which end, when, where to.
    pub log: Vec<(End, Instant, SocketAddr, Vec<u8>)>,
}

/// One call: its legs at both ends.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub gateway: CallKey,
    pub phone: CallKey,
    pub number: u16,
}

impl Line {
    pub fn gateway_address(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 20_000 + self.number * 2))
    }

    pub fn phone_address(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 1, 1], 30_000 + self.number * 2))
    }
}

impl World {
    pub fn new() -> Self {
        let start = Instant::now();
        let config = ShardConfig { calls_max: 64, rooms_max: 8 };
        Self {
            now: start,
            gateway: Shard::new(config, start),
            phones: Shard::new(config, start),
            keys: SlotMap::with_key(),
            addresses: BTreeMap::new(),
            flights: BTreeMap::new(),
            sent: 0,
            rtp: [0; 2],
            probes: 0,
            wire: Box::new(|_, _| Some(Duration::from_millis(1))),
            said: Vec::new(),
            log: Vec::new(),
        }
    }

    /// A call that is set up at both ends, without anything behind it.
    pub fn line(&mut self, setup: &Setup) -> Line {
        let (gateway, phone) = (self.keys.insert(()), self.keys.insert(()));
        let line = Line { gateway, phone, number: self.keys.len() as u16 };
        self.know(End::Gateway, gateway, line.gateway_address());
        self.know(End::Phone, phone, line.phone_address());
        for (end, call) in [(End::Gateway, gateway), (End::Phone, phone)] {
            let config = TrunkMediaConfig { silence_timeout: Duration::from_secs(30) };
            let seed = u64::from(line.number) * 2 + end as u64;
            let half = TrunkMedia::new(call, config, Rng::from_number(seed));
            self.command(end, ToMedia::AttachTrunk { call, half });
        }
        self.configure(&line, setup);
        line
    }

    /// Offer and answer again, at both ends.
    pub fn configure(&mut self, line: &Line, setup: &Setup) {
        self.configure_end(End::Gateway, line, setup);
        let mirrored = match setup.direction {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            other => other,
        };
        self.configure_end(End::Phone, line, &Setup { direction: mirrored, ..setup.clone() });
    }

    pub fn configure_end(&mut self, end: End, line: &Line, setup: &Setup) {
        let (call, remote) = match end {
            End::Gateway => (line.gateway, line.phone_address()),
            End::Phone => (line.phone, line.gateway_address()),
        };
        let session = Box::new(session(setup, remote));
        let path = AudioPath::new(&session);
        self.command(end, ToMedia::Configure { call, path, session });
    }

    /// Puts a probe behind one end of a call.
    pub fn probe(&mut self, end: End, line: &Line, setup: &Setup, play: Vec<i16>) -> Probe {
        let call = if end == End::Gateway { line.gateway } else { line.phone };
        let probe = Probe::new(self.now, setup.codec);
        let half = Box::new(ProbeHalf { probe: probe.clone(), play, position: 0 });
        self.probes += 1;
        let room = RoomKey(1_000_000 + self.probes);
        self.command(end, ToMedia::OpenRoom { room, ingress: Ingress::new(4) });
        self.command(end, ToMedia::AttachConference { call, room, half });
        probe
    }

    pub fn command(&mut self, end: End, command: ToMedia) {
        let now = self.now;
        self.shard(end).command(now, command);
        self.drain(end);
    }

    /// Hands a datagram to the gateway as if it came from `from`.
    pub fn inject(&mut self, line: &Line, socket: SocketKind, from: SocketAddr, bytes: &[u8]) {
        self.gateway.handle_packet(self.now, line.gateway, socket, from, bytes);
        self.drain(End::Gateway);
    }

    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.now += Duration::from_millis(1);
            self.deliver();
            for shard in [End::Gateway, End::Phone] {
                self.tick(shard);
            }
        }
    }

    /// The clock jumps while nothing runs.
    pub fn stand_still_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Takes what one end's shard said so far.
    pub fn hear_said(&mut self, end: End) -> Vec<FromMedia> {
        let (taken, kept) = self.said.drain(..).partition::<Vec<_>, _>(|(who, _)| *who == end);
        self.said = kept;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    fn tick(&mut self, end: End) {
        let now = self.now;
        while self.shard(end).poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.shard(end).handle_timeout(now);
            self.drain(end);
        }
    }

    fn drain(&mut self, end: End) {
        let mut bytes = [0; RTP_DATAGRAM_BYTES_MAX];
        while let Some((call, transmit)) = self.shard(end).poll_transmit(&mut bytes) {
            self.fly(end, call, transmit, &bytes[..transmit.length]);
        }
        while let Some(output) = self.shard(end).poll_output() {
            self.said.push((end, output));
        }
    }

    fn fly(&mut self, end: End, call: CallKey, transmit: Transmit, bytes: &[u8]) {
        self.log.push((end, self.now, transmit.to, bytes.to_vec()));
        let own = self.addresses.iter().find(|(_, known)| **known == (end, call));
        let Some(from) = own.map(|(address, _)| *address) else { return };
        let socket = transmit.socket;
        let rtp_to = match socket {
            SocketKind::TrunkRtcp => SocketAddr::new(transmit.to.ip(), transmit.to.port() - 1),
            _ => transmit.to,
        };
        let Some((to_end, call)) = self.addresses.get(&rtp_to).copied() else { return };
        let from = match socket {
            SocketKind::TrunkRtcp => SocketAddr::new(from.ip(), from.port() + 1),
            _ => from,
        };
        let mut delay = Some(Duration::from_millis(1));
        if socket == SocketKind::TrunkRtp {
            let number = self.rtp[to_end as usize];
            self.rtp[to_end as usize] += 1;
            delay = (self.wire)(to_end, number);
        }
        let Some(delay) = delay else { return };
        self.sent += 1;
        let flight = Flight { to_end, call, socket, from, bytes: bytes.to_vec() };
        self.flights.insert((self.now + delay, self.sent), flight);
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.flights.first_entry().filter(|next| next.key().0 <= self.now) {
            let flight = entry.remove();
            let now = self.now;
            let shard = self.shard(flight.to_end);
            shard.handle_packet(now, flight.call, flight.socket, flight.from, &flight.bytes);
            self.drain(flight.to_end);
        }
    }

    fn shard(&mut self, end: End) -> &mut Shard {
        match end {
            End::Gateway => &mut self.gateway,
            End::Phone => &mut self.phones,
        }
    }

    fn know(&mut self, end: End, call: CallKey, address: SocketAddr) {
        self.addresses.insert(address, (end, call));
    }
}

pub fn session(setup: &Setup, remote: SocketAddr) -> RtpSession {
    let payload_type = setup.codec.row().payload_type;
    let event = EventFormat { payload_type: 101, clock_hz: setup.codec.row().clock_hz };
    RtpSession {
        remote_rtp: remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
        rtcp_mux: false,
        send_codec: setup.codec,
        send_payload_type: payload_type,
        receive: [(payload_type, setup.codec)].into_iter().collect(),
        send_events: setup.events.then_some(event),
        receive_events: setup.events.then_some(event).into_iter().collect::<ArrayVec<_, 2>>(),
        receive_comfort_noise: Some(13),
        packet_time_ms: setup.packet_time_ms,
        direction: setup.direction,
        latching: Latching::LearnOnce,
        srtp: None,
    }
}

/// What a probe heard: decoded on arrival, without a jitter buffer, each packet at the time it came.
#[derive(Clone)]
pub struct Probe(Arc<Mutex<Heard_>>);

struct Heard_ {
    start: Instant,
    decoder: Box<dyn Decoder>,
    samples: Vec<i16>,
    packets: Vec<(u64, u64, bool)>,
}

impl Probe {
    fn new(start: Instant, codec: CodecKind) -> Self {
        let decoder = codec::new_decoder(codec, codec.row().pcm_rate);
        let (samples, packets) = (Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(Heard_ { start, decoder, samples, packets })))
    }

    /// All that came, from the probe's start to the last packet. Silence where nothing came.
    pub fn heard(&self) -> Vec<i16> {
        self.0.lock().unwrap().samples.clone()
    }

    /// The last `ms` of it.
    pub fn last(&self, ms: usize) -> Vec<i16> {
        let heard = self.heard();
        let samples = self.rate().samples(ms);
        heard[heard.len().saturating_sub(samples)..].to_vec()
    }

    /// Sequence, timestamp and marker of each packet.
    pub fn packets(&self) -> Vec<(u64, u64, bool)> {
        self.0.lock().unwrap().packets.clone()
    }

    pub fn rate(&self) -> SampleRate {
        self.0.lock().unwrap().decoder.rate()
    }

    fn take(&self, now: Instant, speech: Uplink<'_>) {
        let mut inner = self.0.lock().unwrap();
        let inner = &mut *inner;
        inner.packets.push((speech.sequence, speech.timestamp, speech.marker));
        let mut pcm = [0; codec::PAYLOAD_SAMPLES_MAX];
        let count = inner.decoder.decode(speech.payload, &mut pcm).unwrap();
        let passed = (now - inner.start).as_millis() as usize;
        let place = inner.decoder.rate().samples(passed);
        if inner.samples.len() < place {
            inner.samples.resize(place, 0);
        }
        inner.samples.extend(&pcm[..count]);
    }
}

/// Plays given samples once, and hears what comes.
struct ProbeHalf {
    probe: Probe,
    play: Vec<i16>,
    position: usize,
}

impl ConferenceMedia for ProbeHalf {
    fn attach(&mut self, _: Instant, _: &mut Ingress) {}
    fn detach(&mut self, _: &mut Ingress) {}
    fn ear(&self) -> EarKey {
        EarKey(0)
    }
    fn set_rate(&mut self, _: SampleRate, _: &mut Ingress) {}
    fn pull(&mut self, _: Instant, _: &mut Ingress, out: &mut Frame) -> Heard {
        let samples = out.samples_mut();
        samples.fill(0);
        let rest = &self.play[self.position.min(self.play.len())..];
        let count = rest.len().min(samples.len());
        samples[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        Heard::Voices
    }
    fn push_uplink(&mut self, now: Instant, speech: Uplink<'_>, _: &mut Ingress) {
        self.probe.take(now, speech);
    }
    fn set_muted(&mut self, _: bool, _: &mut Ingress) {}
}
