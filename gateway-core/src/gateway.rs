//! Floor 5, the heart: inputs in, calls, outputs out. Read this second, after the crate page.
//!
//! The gateway owns the SIP endpoint, the calls, the conference backends and the RTP ports, and decides nothing about
//! a call: it carries what one part says to the part it is for. After every input everything is drained at once, in a
//! fixed order, so that the same inputs give the same outputs.

mod births;
mod browsers;
mod conference_ports;
mod counters;
mod deadlines;
mod ports;
pub mod snapshot;
mod wiring;

pub use browsers::BrowserSettings;
pub use counters::GatewayCounters;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use slotmap::{SecondaryMap, SlotMap};

use self::browsers::Browsers;
use self::deadlines::Deadlines;
use self::ports::PortPool;
use crate::base::ids::{CallKey, DialogKey, ShardId, StreamKey, TrunkId};
use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::base::timers::earliest;
use crate::call::machine::{Call, CallSettings};
use crate::call::story::Dialling;
use crate::call::{Moment, TrunkManners};
use crate::leg::backend::{
    Backend, BackendInput, SocketNews, SocketOrder, StreamAccount, StreamDownReason,
};
use crate::leg::counters::BackendCounters;
use crate::leg::media::{FromMedia, ToMedia};
use crate::leg::room::signal::Rooms;
use crate::leg::trunk::signal::SdpPolicy;
use crate::media::clip::ClipLibrary;
use crate::sip::endpoint::{
    ApiMisuse, Endpoint, EndpointConfig, EndpointCounters, TransportInput, TransportOutput,
};
use crate::sip::trunk::{ListenerConfig, TrunkConfig};
use crate::webrtc::Certificate;

/// Settings of the gateway.
pub struct GatewayConfig {
    /// SIP.
    pub endpoint: EndpointConfig,
    /// SDP, per trunk.
    pub sdp: Vec<SdpPolicy>,
    /// Other manners, per trunk; usual ones where there are none.
    pub manners: Vec<TrunkManners>,
    /// First and last RTP port; even ports carry RTP, the odd one above RTCP.
    pub rtp_ports: (u16, u16),
    /// How long a freed port pair rests before it is used again.
    pub port_rest: Duration,
    /// Media shards. So far every call runs on the first: a call is not yet moved to its room's shard.
    pub shards: u16,
    /// No RTP for this long ends a call.
    pub media_timeout: Duration,
    /// Longest call.
    pub call_length_max: Duration,
    /// Clips.
    pub clips: Arc<ClipLibrary>,
    /// Where ports towards conference bridges are.
    pub conference: ConferenceAddresses,
    /// Browsers in place of phones.
    pub browsers: BrowserSettings,
    /// Conference backends by name. The embedded rooms are `room` and always there.
    pub backends: Vec<(String, Box<dyn Backend>)>,
}

/// Addresses of ports that are not for phones: towards conference bridges, or for browsers. A Jitsi bridge never answers
/// a loopback address, phones often have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConferenceAddresses {
    /// Bound; `None`: where the call's SIP listener is, or the first one.
    pub bind: Option<IpAddr>,
    /// Told to the other side (behind NAT the outer one); `None`: what is bound, or what the listener tells phones if `bind`
    /// is `None`, too.
    pub advertised: Option<IpAddr>,
}

/// From outside.
pub enum Input<'a> {
    /// SIP.
    Sip(TransportInput<'a>),
    /// A port pair asked for by [`Output::OpenMedia`] is bound (or not): the local RTP address.
    MediaOpened {
        /// Whose.
        call: CallKey,
        /// The local RTP address, or `None` when the port is taken: another one will be tried.
        bound: Option<SocketAddr>,
    },
    /// A port asked for by [`Output::OpenConferencePort`] is bound (or not).
    ConferencePortOpened {
        /// Whose.
        call: CallKey,
        /// Which of its conference sockets.
        socket: u8,
        /// The local address, or `None` when the port is taken: another one will be tried.
        bound: Option<SocketAddr>,
    },
    /// From a shard.
    FromMedia(ShardId, FromMedia),
    /// A top-level stanza of a stream.
    Stanza(StreamKey, Element),
    /// A stream asked for by [`Output::OpenStream`] is up, for the first time or again.
    StreamUp {
        /// Which.
        stream: StreamKey,
        /// Our address on it.
        jid: FullJid,
        /// The same session goes on (XEP-0198).
        resumed: bool,
    },
    /// A stream is down; io opens it again by itself.
    StreamDown {
        /// Which.
        stream: StreamKey,
        /// Why.
        reason: StreamDownReason,
    },
    /// From a WebSocket asked for by [`Output::BridgeSocket`].
    BridgeSocket(StreamKey, SocketNews),
    /// Wall time, about once a second.
    WallClock(WallClock),
    /// The DTLS certificate of new conference legs: told at the start and when a new one is made.
    Certificate(Arc<Certificate>),
    /// The media threads fall behind (or have caught up): new calls get 503 meanwhile. Told when it changes.
    MediaBehind(bool),
}

/// To outside.
pub enum Output {
    /// SIP.
    Sip(TransportOutput),
    /// Bind an RTP/RTCP port pair for a call and hand it to the shard; answered by [`Input::MediaOpened`].
    OpenMedia {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
        /// RTP address wanted; RTCP is the port above.
        local: SocketAddr,
    },
    /// Close the sockets of a call.
    CloseMedia {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
    },
    /// Bind a UDP port towards the conference and hand it to the shard; answered by
    /// [`Input::ConferencePortOpened`].
    OpenConferencePort {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
        /// Which of its conference sockets: 0 or 1.
        socket: u8,
        /// Address wanted.
        local: SocketAddr,
    },
    /// Close it. [`Output::CloseMedia`] closes it, too.
    CloseConferencePort {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
        /// Which.
        socket: u8,
    },
    /// To a shard.
    ToMedia(ShardId, ToMedia),
    /// Open an XMPP stream and keep it up until [`Output::CloseStream`]; answered by [`Input::StreamUp`] and
    /// [`Input::StreamDown`].
    OpenStream {
        /// Which.
        stream: StreamKey,
        /// Where and as whom.
        account: StreamAccount,
    },
    /// Send on a stream that is up.
    Stanza(StreamKey, Element),
    /// Send what is queued, then close.
    CloseStream(StreamKey),
    /// For the WebSocket of the bridge channel beside that stream; ends with it at the latest.
    BridgeSocket(StreamKey, SocketOrder),
    /// To the owner (the daemon).
    Event(Event),
}

pub use crate::call::event::{Command, DialOrder, Event, RoomFirst};

/// The gateway.
pub struct Gateway {
    endpoint: Endpoint,
    listeners: Vec<ListenerConfig>,
    trunks: Vec<TrunkConfig>,
    sdp: Vec<SdpPolicy>,
    manners: Vec<TrunkManners>,
    settings: Arc<CallSettings>,
    calls: SlotMap<CallKey, Place>,
    dialogs: SecondaryMap<DialogKey, CallKey>,
    /// The embedded rooms come first.
    backends: Vec<(String, Box<dyn Backend>)>,
    /// Which backend opened a stream.
    streams: BTreeMap<StreamKey, usize>,
    ports: PortPool,
    conference: ConferenceAddresses,
    browsers: Browsers,
    deadlines: Deadlines,
    /// Calls whose outputs are to be carried.
    to_drain: VecDeque<CallKey>,
    outputs: VecDeque<Output>,
    counters: GatewayCounters,
    wall: (WallClock, Instant),
    rng: Rng,
    is_draining: bool,
}

/// A call, and what the gateway knows of it that the call does not.
struct Place {
    call: Call,
    /// Which backend holds its seat.
    backend: usize,
    /// Its RTP port, and the address of its listener.
    port: u16,
    bind: IpAddr,
    advertised: IpAddr,
    bind_tries: u8,
    /// Ports towards the conference; 0: none.
    conference_ports: [u16; 2],
    conference_tries: u8,
}

/// Ports that are tried for one call before it is refused.
const BIND_TRIES_MAX: u8 = 8;
/// Name of the embedded rooms among the backends.
pub const ROOM_BACKEND: &str = "room";

impl Gateway {
    /// A gateway without calls.
    pub fn new(config: GatewayConfig, now: Instant, rng: Rng) -> Self {
        let mut backends: Vec<(String, Box<dyn Backend>)> =
            vec![(ROOM_BACKEND.to_owned(), Box::new(Rooms::new()))];
        backends.extend(config.backends);
        let settings = CallSettings {
            media_timeout: config.media_timeout,
            call_length_max: config.call_length_max,
            clips: config.clips,
        };
        Self {
            listeners: config.endpoint.listeners.clone(),
            trunks: config.endpoint.trunks.clone(),
            endpoint: Endpoint::new(config.endpoint, now, rng.fork("endpoint")),
            sdp: config.sdp,
            manners: config.manners,
            settings: Arc::new(settings),
            calls: SlotMap::with_key(),
            dialogs: SecondaryMap::new(),
            backends,
            streams: BTreeMap::new(),
            ports: PortPool::new(config.rtp_ports, config.port_rest, &mut rng.fork("ports")),
            conference: config.conference,
            browsers: Browsers::new(config.browsers),
            deadlines: Deadlines::default(),
            to_drain: VecDeque::new(),
            outputs: VecDeque::new(),
            counters: GatewayCounters::default(),
            wall: (WallClock::default(), now),
            rng,
            is_draining: false,
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Sip(input) => self.endpoint.handle_input(now, input),
            Input::MediaOpened { call, bound } => self.media_opened(now, call, bound),
            Input::ConferencePortOpened { call, socket, bound } => {
                self.conference_port_opened(now, call, socket, bound);
            }
            Input::FromMedia(_, event) => self.media_said(now, event),
            Input::Stanza(stream, stanza) => {
                self.stream_said(now, stream, BackendInput::Stanza(stream, stanza));
            }
            Input::StreamUp { stream, jid, resumed } => {
                self.stream_said(now, stream, BackendInput::StreamUp { stream, jid, resumed });
            }
            Input::StreamDown { stream, reason } => {
                self.stream_said(now, stream, BackendInput::StreamDown { stream, reason });
            }
            Input::BridgeSocket(stream, news) => {
                self.stream_said(now, stream, BackendInput::BridgeSocket(stream, news));
            }
            Input::Certificate(certificate) => {
                self.browsers.certificate = Some(Arc::clone(&certificate));
                for (_, backend) in &mut self.backends {
                    let certificate = Arc::clone(&certificate);
                    backend.handle_input(now, BackendInput::Certificate(certificate));
                }
            }
            Input::MediaBehind(is_behind) => {
                self.browsers.media_is_behind = is_behind;
                self.endpoint.set_overloaded(is_behind);
            }
            Input::WallClock(wall) => {
                self.wall = (wall, now);
                self.endpoint.set_wall_clock(wall);
            }
        }
        self.drain(now);
    }

    /// The owner wants something. A command for a call that is gone is not an error: calls end at any time.
    pub fn command(
        &mut self,
        now: Instant,
        command: Command,
    ) -> Result<Option<CallKey>, ApiMisuse> {
        let at = self.moment(now);
        let result = match command {
            Command::Route { call, route } => {
                let named = self.backends.iter().find(|(name, _)| *name == route.backend);
                let empty_room = named.map(|(_, it)| it.empty_room()).unwrap_or_default();
                self.tell(call, |machine| machine.route(at, route, empty_room)).map(|()| None)
            }
            Command::Ask { call, question } => {
                self.tell(call, |machine| machine.ask(at, *question)).map(|()| None)
            }
            Command::SayAndEnd { call, words, language, reason } => {
                let say = |machine: &mut Call| {
                    machine.say_and_end(at, words, language, reason);
                    Ok(())
                };
                self.tell(call, say).map(|()| None)
            }
            Command::End { call, reason } => {
                let end = |machine: &mut Call| {
                    machine.end_by_owner(at, reason);
                    Ok(())
                };
                self.tell(call, end).map(|()| None)
            }
            Command::Dial {
                trunk,
                target,
                from_user,
                from_name,
                headers,
                route,
                keys,
                quiet,
                order,
            } => {
                let dialling =
                    Dialling { target, from_user, from_name, headers, route, keys, quiet, order };
                self.dial(now, trunk, dialling).map(Some)
            }
            Command::JoinFromBrowser { ticket, offer, route } => {
                Ok(self.browser_joins(now, ticket, offer, route))
            }
            Command::Mute { call, muted } => {
                let mute = |machine: &mut Call| {
                    machine.mute_by_owner(at, muted);
                    Ok(())
                };
                self.tell(call, mute).map(|()| None)
            }
            Command::Move { call, route } => {
                self.tell(call, |machine| machine.move_to(at, route)).map(|()| None)
            }
            Command::Admit(call) => self.tell(call, |machine| machine.admit(at)).map(|()| None),
            Command::SendKeys { call, keys } => {
                let type_them = |machine: &mut Call| {
                    machine.type_keys(at, &keys);
                    Ok(())
                };
                self.tell(call, type_them).map(|()| None)
            }
            Command::Drain => {
                self.is_draining = true;
                self.endpoint.drain(now);
                Ok(None)
            }
        };
        self.drain(now);
        result
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.endpoint.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.endpoint.handle_timeout(now);
        }
        for (_, backend) in &mut self.backends {
            if backend.poll_timeout().is_some_and(|(due, _)| due <= now) {
                backend.handle_timeout(now);
            }
        }
        let at = self.moment(now);
        while let Some(key) = self.deadlines.pop_due(now) {
            if let Some(place) = self.calls.get_mut(key) {
                place.call.handle_timeout(at);
                self.to_drain.push_back(key);
            }
        }
        self.drain(now);
    }

    /// Whether calls can be expected to work on this trunk.
    pub fn trunk_is_usable(&self, trunk: TrunkId) -> bool {
        self.endpoint.trunk_is_usable(trunk)
    }

    /// Whether registrations are being taken back: for three seconds at most after [`Command::Drain`].
    pub fn is_unregistering(&self) -> bool {
        self.endpoint.is_unregistering()
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let backends = self.backends.iter().map(|(_, backend)| backend.poll_timeout());
        let others = backends.fold(self.endpoint.poll_timeout(), earliest);
        earliest(others, self.deadlines.next())
    }

    /// Everything that lives, for people who look from outside.
    pub fn snapshot(&self, now: Instant) -> snapshot::GatewaySnapshot {
        let rooms = self.backends.iter().flat_map(|(name, backend)| {
            backend.snapshot().into_iter().map(|room| (name.clone(), room))
        });
        snapshot::GatewaySnapshot {
            calls: self.calls.values().map(|place| place.call.snapshot(now)).collect(),
            rooms: rooms.collect(),
            dialogs: self.endpoint.len(),
            ports_used: self.ports.used(),
            ports_resting: self.ports.resting(now),
            draining: self.is_draining,
        }
    }

    /// Nothing lives: no call, no dialog, no SIP transaction, no port in use. Quarantined ports do not count.
    pub fn is_idle(&self) -> bool {
        let dialogs = self.endpoint.len();
        self.calls.is_empty() && dialogs == 0 && self.ports.used() == 0
    }

    /// Calls there are.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// What the gateway counted.
    pub fn counters(&self) -> &GatewayCounters {
        &self.counters
    }

    /// What the legs of all backends met.
    pub fn backend_counters(&self) -> BackendCounters {
        let mut sum = BackendCounters::default();
        for (_, backend) in &self.backends {
            sum.add(&backend.counters());
        }
        sum
    }

    /// What the endpoint counted.
    pub fn endpoint_counters(&self) -> &EndpointCounters {
        self.endpoint.counters()
    }

    fn tell(
        &mut self,
        call: CallKey,
        act: impl FnOnce(&mut Call) -> Result<(), ApiMisuse>,
    ) -> Result<(), ApiMisuse> {
        let Some(place) = self.calls.get_mut(call) else { return Ok(()) };
        self.to_drain.push_back(call);
        match act(&mut place.call) {
            Err(ApiMisuse::NoSuchDialog) => Ok(()),
            result => result,
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        let (wall, then) = self.wall;
        Moment { now, wall: WallClock { unix: wall.unix + now.saturating_duration_since(then) } }
    }
}
