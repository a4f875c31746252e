//! The Jitsi deployment in the world: streams and stanzas as `io` carries them, bridge, browsers, and what happens.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, LegKey, ShardId, StreamKey};
use gateway_core::base::rng::Rng;
use gateway_core::gateway::Input;
use gateway_core::leg::backend::{StreamAccount, StreamDownReason, StreamIdentity, Visit};
use gateway_core::leg::media::SocketKind;
use jid::FullJid;
use minidom::Element;

use super::World;
use crate::jitsi::bridge::Bridge;
use crate::jitsi::visitors::{NODE, conference_of};
use crate::jitsi::web::{Web, WebOutput};
use crate::jitsi::{BRIDGE_IP, Client, Endpoint, JitsiServer, ServerOutput};
use crate::link::Link;
use crate::plan::meeting::{Happening, MeetingPlan, Who};
use crate::watch::meeting::{Standing, Standings};

mod happening;

/// Everything on the other side of the gateway.
pub(super) struct Meeting {
    pub(super) server: JitsiServer,
    pub(super) bridge: Bridge,
    pub(super) webs: Vec<Web>,
    plan: MeetingPlan,
    /// Stream of each browser, once it came.
    web_clients: Vec<Option<Client>>,
    streams: BTreeMap<StreamKey, Stream>,
    owners: BTreeMap<Client, Owner>,
    clients_born: u64,
    /// Ports towards the bridge.
    ports: BTreeMap<SocketAddr, (CallKey, u8)>,
    on_the_way: BTreeMap<(Duration, u64), Parcel>,
    serial: u64,
    to_happen: VecDeque<(Duration, Happening)>,
    server_down_until: Option<Duration>,
    /// Sound to the bridge, and from it.
    links: (Link, Link),
    pub(super) standings: Standings,
    next_look: Duration,
}

/// A stream of the gateway, as `io` keeps it.
#[derive(Debug)]
struct Stream {
    user: Option<String>,
    is_at_node: bool,
    state: StreamState,
    /// What the server sent while the stream was cut.
    missed: Vec<Element>,
}

#[derive(Debug)]
enum StreamState {
    Connecting(Duration),
    Up(Client, FullJid),
    /// Comes back at that time: as it was, or as another.
    Cut {
        client: Client,
        jid: FullJid,
        until: Duration,
        resumes: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    Stream(StreamKey),
    Web(usize),
}

/// Something on its way.
enum Parcel {
    ToServer(Client, Element),
    ToClient(Client, Element),
    Goodbye(Client),
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
}

impl Meeting {
    pub(super) fn new(start: Instant, plan: &MeetingPlan, rng: &Rng) -> Self {
        let mut to_happen: Vec<_> = plan.happenings.clone();
        to_happen.sort_by_key(|(at, _)| *at);
        let webs = plan.webs.iter().enumerate();
        let mut server = JitsiServer::new(rng.fork("jitsi"));
        server.set_visitors(plan.visitors_above);
        Self {
            server,
            bridge: Bridge::new(start),
            webs: webs.map(|(index, web)| Web::new(start, index, web.hz)).collect(),
            web_clients: vec![None; plan.webs.len()],
            streams: BTreeMap::new(),
            owners: BTreeMap::new(),
            clients_born: 0,
            ports: BTreeMap::new(),
            on_the_way: BTreeMap::new(),
            serial: 0,
            to_happen: to_happen.into(),
            server_down_until: None,
            links: (
                Link::new(plan.links.0, rng.fork("link/bridge/up")),
                Link::new(plan.links.1, rng.fork("link/bridge/down")),
            ),
            standings: Standings::default(),
            next_look: Duration::ZERO,
            plan: plan.clone(),
        }
    }

    /// Nothing of the gateway is left here.
    pub(super) fn is_quiet(&self) -> bool {
        self.streams.is_empty() && self.ports.is_empty()
    }

    /// What should not be left when all phones are gone.
    pub(super) fn leftovers(&self) -> [(&'static str, usize); 4] {
        let is_ours = |owner: &&Owner| matches!(owner, Owner::Stream(_));
        let ours = self.owners.iter().filter(|(_, owner)| is_ours(owner));
        let inside = ours.map(|(client, _)| self.server.endpoints_of(*client).len()).sum();
        [
            ("streams", self.streams.len()),
            ("conference ports", self.ports.len()),
            ("phones in Jitsi rooms", inside),
            ("streams at the server", self.owners.values().filter(is_ours).count()),
        ]
    }

    fn new_client(&mut self, owner: Owner) -> Client {
        let client = Client(self.clients_born);
        self.clients_born += 1;
        self.owners.insert(client, owner);
        client
    }

    fn send(&mut self, at: Duration, parcel: Parcel) {
        self.serial += 1;
        self.on_the_way.insert((at, self.serial), parcel);
    }

    /// A participant as an endpoint, in the room where he is.
    fn endpoint(&self, client: Client) -> Option<Endpoint> {
        self.server.endpoints_of(client).into_iter().next()
    }
}

impl World {
    /// 5 ms of everything behind the gateway.
    pub(super) fn step_meeting(&mut self) {
        if self.meeting.is_none() {
            return;
        }
        self.let_happen();
        self.move_webs();
        self.bring_streams_up();
        let elapsed = self.elapsed;
        if let Some(meeting) = &mut self.meeting {
            meeting.server.tick(elapsed);
            meeting.bridge.tick(elapsed);
        }
        self.carry_meeting();
        self.deliver_parcels();
        self.carry_meeting();
        self.look_around();
    }

    /// Browsers come, go, and do what they do.
    fn move_webs(&mut self) {
        let elapsed = self.elapsed;
        let Some(meeting) = &mut self.meeting else { return };
        let is_down = meeting.server_down_until.is_some_and(|until| elapsed < until);
        for index in 0..meeting.webs.len() {
            let plan = meeting.plan.webs[index].clone();
            if meeting.web_clients[index].is_none() && elapsed >= plan.starts && !is_down {
                let is_new = meeting.webs[index].is_new();
                let client = meeting.new_client(Owner::Web(index));
                meeting.server.connect(client, None);
                meeting.web_clients[index] = Some(client);
                if is_new {
                    meeting.webs[index].enter(elapsed, ROOM);
                } else {
                    meeting.webs[index].reconnected(elapsed);
                }
            }
            if plan.leaves.is_some_and(|at| elapsed >= at) {
                meeting.webs[index].leave();
            }
            meeting.webs[index].tick(elapsed);
        }
    }

    /// Streams that are due come up.
    fn bring_streams_up(&mut self) {
        let elapsed = self.elapsed;
        let Some(meeting) = &mut self.meeting else { return };
        let is_down = meeting.server_down_until.is_some_and(|until| elapsed < until);
        let due = |stream: &Stream| match stream.state {
            StreamState::Connecting(at) | StreamState::Cut { until: at, .. } => at <= elapsed,
            StreamState::Up(..) => false,
        };
        let ready: Vec<StreamKey> = meeting
            .streams
            .iter()
            .filter(|(_, stream)| !is_down && due(stream))
            .map(|(key, _)| *key)
            .collect();
        for key in ready {
            self.stream_up(key);
        }
    }

    fn stream_up(&mut self, key: StreamKey) {
        let elapsed = self.elapsed;
        let Some(meeting) = &mut self.meeting else { return };
        let Some(stream) = meeting.streams.get_mut(&key) else { return };
        let missed = std::mem::take(&mut stream.missed);
        let (user, is_at_node) = (stream.user.clone(), stream.is_at_node);
        let (client, jid, resumed) = match &stream.state {
            StreamState::Cut { client, jid, resumes: true, .. } => (*client, jid.clone(), true),
            state => {
                if let StreamState::Cut { client, .. } = state {
                    let old = *client;
                    meeting.server.disconnect(old);
                    meeting.owners.remove(&old);
                }
                let client = meeting.new_client(Owner::Stream(key));
                let jid = match is_at_node {
                    true => meeting.server.connect_at_node(client),
                    false => meeting.server.connect(client, user.as_deref()),
                };
                let jid = FullJid::new(&jid).expect("a stand-in gives full addresses");
                (client, jid, false)
            }
        };
        if let Some(stream) = meeting.streams.get_mut(&key) {
            stream.state = StreamState::Up(client, jid.clone());
        }
        for stanza in missed.into_iter().filter(|_| resumed) {
            meeting.send(elapsed + WAY, Parcel::ToClient(client, stanza));
        }
        self.note_stream(key, if resumed { "stream resumed" } else { "stream up" });
        let up = Input::StreamUp { stream: key, jid, resumed };
        self.gateway.handle_input(self.now(), up);
        self.settle();
    }

    /// Server, bridge and browsers say what they have to say.
    fn carry_meeting(&mut self) {
        let elapsed = self.elapsed;
        loop {
            let Some(meeting) = &mut self.meeting else { return };
            let mut quiet = true;
            while let Some(output) = meeting.server.poll_output() {
                quiet = false;
                match output {
                    ServerOutput::Stanza(client, stanza) => {
                        meeting.send(elapsed + WAY, Parcel::ToClient(client, stanza));
                    }
                    ServerOutput::Bridge(order) => meeting.bridge.handle_order(elapsed, order),
                }
            }
            while let Some(output) = meeting.bridge.poll_output() {
                quiet = false;
                let to_gateway = meeting.ports.contains_key(&output.to);
                let fate = match to_gateway && is_media(&output.bytes) {
                    true => meeting.links.1.carry(),
                    false => vec![WAY],
                };
                for delay in fate {
                    let (from, to, bytes) = (output.from, output.to, output.bytes.clone());
                    meeting.send(elapsed + delay, Parcel::Datagram { from, to, bytes });
                }
            }
            for index in 0..meeting.webs.len() {
                while let Some(output) = meeting.webs[index].poll_output() {
                    quiet = false;
                    match (output, meeting.web_clients[index]) {
                        (WebOutput::Stanza(stanza), Some(client)) => {
                            meeting.send(elapsed + WAY, Parcel::ToServer(client, stanza));
                        }
                        (WebOutput::Datagram { from, to, bytes }, _) => {
                            meeting.send(elapsed + WAY, Parcel::Datagram { from, to, bytes });
                        }
                        (WebOutput::Stanza(_), None) => {}
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn deliver_parcels(&mut self) {
        loop {
            let elapsed = self.elapsed;
            let Some(meeting) = &mut self.meeting else { return };
            let Some(entry) = meeting.on_the_way.first_entry() else { return };
            if entry.key().0 > elapsed {
                return;
            }
            match entry.remove() {
                Parcel::ToServer(client, stanza) => {
                    meeting.server.handle(elapsed, client, &stanza);
                    self.note_stanza(client, &stanza, true);
                }
                Parcel::ToClient(client, stanza) => self.to_client(client, stanza),
                Parcel::Goodbye(client) => {
                    meeting.server.disconnect(client);
                    meeting.owners.remove(&client);
                }
                Parcel::Datagram { from, to, bytes } => self.to_socket(from, to, &bytes),
            }
            self.carry_meeting();
        }
    }

    fn to_client(&mut self, client: Client, stanza: Element) {
        let elapsed = self.elapsed;
        let Some(meeting) = &mut self.meeting else { return };
        match meeting.owners.get(&client).copied() {
            Some(Owner::Web(index)) => meeting.webs[index].on_stanza(elapsed, &stanza),
            Some(Owner::Stream(key)) => {
                let Some(stream) = meeting.streams.get_mut(&key) else { return };
                match &stream.state {
                    StreamState::Up(current, _) if *current == client => {
                        self.note_stanza(client, &stanza, false);
                        self.gateway.handle_input(self.now(), Input::Stanza(key, stanza));
                        self.settle();
                    }
                    StreamState::Cut { client: current, .. } if *current == client => {
                        stream.missed.push(stanza);
                    }
                    _ => {}
                }
            }
            None => {}
        }
    }

    fn to_socket(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let (now, elapsed) = (self.now(), self.elapsed);
        self.write_down("bridge", &[to.to_string().as_bytes(), bytes]);
        let Some(meeting) = &mut self.meeting else { return };
        if to.ip() == BRIDGE_IP {
            meeting.bridge.handle_datagram(elapsed, from, to.port(), bytes);
        } else if let Some((call, socket)) = meeting.ports.get(&to).copied() {
            self.shard.handle_packet(now, call, SocketKind::Conference(socket), from, bytes);
            self.settle();
        } else {
            for web in &mut meeting.webs {
                web.on_datagram(elapsed, from, to, bytes);
            }
        }
    }

    /// How everybody stands, every 100 ms, for the judges.
    fn look_around(&mut self) {
        let elapsed = self.elapsed;
        // Without phones time runs in leaps, and nobody is judged.
        let is_anybody_up = self.phones.iter().any(|seat| !seat.is_quiet());
        let phones: Vec<Who> = (0..self.phones.len()).map(Who::Phone).collect();
        let Some(meeting) = &mut self.meeting else { return };
        if elapsed < meeting.next_look {
            return;
        }
        meeting.next_look = elapsed + LOOK_EVERY;
        let webs = (0..meeting.webs.len()).map(Who::Web);
        let everybody: Vec<Who> = phones.into_iter().chain(webs).collect();
        for who in everybody {
            let standing = if is_anybody_up { self.standing(who) } else { Standing::default() };
            if let Some(meeting) = &mut self.meeting {
                meeting.standings.note(elapsed, who, standing);
            }
        }
    }

    fn standing(&self, who: Who) -> Standing {
        let Some(meeting) = &self.meeting else { return Standing::default() };
        // Whose stream is cut is still there to the others, and heard.
        let (client, is_cut) = match (self.client(who), self.cut_client(who)) {
            (Some(client), _) => (client, false),
            (None, Some(client)) => (client, true),
            (None, None) => return Standing::default(),
        };
        let Some(endpoint) = meeting.endpoint(client) else { return Standing::default() };
        let is_muted =
            meeting.server.shows_muted(&endpoint) || meeting.bridge.is_force_muted(&endpoint);
        let is_up = !is_cut
            && meeting.server.is_in_session(&endpoint)
            && meeting.bridge.has_path(&endpoint);
        let Endpoint { room, nick } = endpoint;
        // Visitors share in the sound of the main room.
        let room = conference_of(&room);
        Standing { room: Some(room), nick, is_up, is_muted }
    }

    /// The stream of a participant, while it is up.
    pub(super) fn client(&self, who: Who) -> Option<Client> {
        let meeting = self.meeting.as_ref()?;
        match who {
            Who::Web(index) => meeting.web_clients.get(index).copied().flatten(),
            Who::Phone(index) => {
                let call = self.watch.call_of(index)?;
                match meeting.streams.get(&StreamKey(LegKey::conference(call)))?.state {
                    StreamState::Up(client, _) => Some(client),
                    _ => None,
                }
            }
        }
    }

    /// The stream of a phone as the server still knows it, while it is cut.
    fn cut_client(&self, who: Who) -> Option<Client> {
        let Who::Phone(index) = who else { return None };
        let key = StreamKey(LegKey::conference(self.watch.call_of(index)?));
        match self.meeting.as_ref()?.streams.get(&key)?.state {
            StreamState::Cut { client, .. } => Some(client),
            _ => None,
        }
    }

    /// The gateway wants a stream.
    pub(super) fn open_stream(&mut self, key: StreamKey, account: StreamAccount) {
        let at = self.elapsed + LOGIN;
        let Some(meeting) = &mut self.meeting else { return };
        let user = match account.identity {
            StreamIdentity::Anonymous => None,
            StreamIdentity::Password { user, .. } => Some(user.reveal().clone()),
        };
        let is_at_node = matches!(account.visit, Some(Visit::Node(name)) if name == NODE);
        let state = StreamState::Connecting(at);
        meeting.streams.insert(key, Stream { user, is_at_node, state, missed: Vec::new() });
    }

    /// It says something on one.
    pub(super) fn stanza_out(&mut self, key: StreamKey, stanza: Element) {
        let at = self.elapsed + WAY;
        let Some(meeting) = &mut self.meeting else { return };
        match meeting.streams.get(&key).map(|stream| &stream.state) {
            Some(StreamState::Up(client, _)) => {
                let client = *client;
                meeting.send(at, Parcel::ToServer(client, stanza));
            }
            // Dropped, as io says.
            Some(_) => {}
            None => self.watch.fault(format!("{key}: a stanza on no stream")),
        }
    }

    /// And does not want it any more: what is queued still goes.
    pub(super) fn close_stream(&mut self, key: StreamKey) {
        let at = self.elapsed + WAY;
        let Some(meeting) = &mut self.meeting else { return };
        let Some(stream) = meeting.streams.remove(&key) else {
            return self.watch.fault(format!("{key}: closed, and was not open"));
        };
        match stream.state {
            StreamState::Connecting(_) => {}
            StreamState::Up(client, _) | StreamState::Cut { client, .. } => {
                meeting.send(at, Parcel::Goodbye(client));
            }
        }
    }

    pub(super) fn open_conference_port(
        &mut self,
        call: CallKey,
        _: ShardId,
        socket: u8,
        local: SocketAddr,
    ) {
        let taken = self.rng.below(1_000) < self.plan.knobs.bind_fails_permille;
        let Some(meeting) = &mut self.meeting else { return };
        let bound = (!taken && !meeting.ports.contains_key(&local)).then_some(local);
        if bound.is_some() {
            meeting.ports.insert(local, (call, socket));
        }
        let opened = Input::ConferencePortOpened { call, socket, bound };
        self.gateway.handle_input(self.now(), opened);
    }

    /// `None`: all of the call.
    pub(super) fn close_conference_ports(&mut self, call: CallKey, socket: Option<u8>) {
        if let Some(meeting) = &mut self.meeting {
            meeting.ports.retain(|_, (owner, it)| {
                *owner != call || socket.is_some_and(|socket| socket != *it)
            });
        }
    }

    pub(super) fn conference_media(
        &mut self,
        call: CallKey,
        socket: u8,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) {
        let elapsed = self.elapsed;
        let Some(meeting) = &mut self.meeting else { return };
        let mut ports = meeting.ports.iter().filter(|(_, owner)| **owner == (call, socket));
        // Goodbyes to a bridge may find their socket closed.
        let Some(from) = ports.next_back().map(|(local, _)| *local) else { return };
        let fate = if is_media(&bytes) { meeting.links.0.carry() } else { vec![WAY] };
        for delay in fate {
            let bytes = bytes.clone();
            meeting.send(elapsed + delay, Parcel::Datagram { from, to, bytes });
        }
    }

    /// A phone's stream is gone for a while.
    fn cut_stream(&mut self, key: StreamKey, lasts: Duration, resumes: bool) {
        let until = self.elapsed + lasts;
        let Some(meeting) = &mut self.meeting else { return };
        let Some(stream) = meeting.streams.get_mut(&key) else { return };
        let reason = match std::mem::replace(&mut stream.state, StreamState::Connecting(until)) {
            StreamState::Up(client, jid) => {
                stream.state = StreamState::Cut { client, jid, until, resumes };
                if resumes { StreamDownReason::Silent } else { StreamDownReason::ClosedByServer }
            }
            other => {
                stream.state = other;
                return;
            }
        };
        if !resumes {
            // The server closed it: whoever was on it left every room.
            let StreamState::Cut { client, .. } = stream.state else { return };
            meeting.server.disconnect(client);
            meeting.owners.remove(&client);
            stream.state = StreamState::Connecting(until);
        }
        self.note_stream(key, "stream down");
        self.gateway.handle_input(self.now(), Input::StreamDown { stream: key, reason });
        self.settle();
    }

    fn note_stream(&mut self, key: StreamKey, what: &str) {
        let name = self.watch.phone_of(key.0.call).map(|index| format!("phone{index}"));
        let name = name.unwrap_or_else(|| "nobody".to_owned());
        self.write_down("stream", &[name.as_bytes(), what.as_bytes()]);
        self.ladder.note(self.elapsed, "xmpp", &format!("{name} {what}"));
    }

    /// Into transcript and ladder; browsers are left out of the ladder.
    fn note_stanza(&mut self, client: Client, stanza: &Element, to_server: bool) {
        let text = String::from(stanza);
        self.write_down("stanza", &[&client.0.to_le_bytes(), text.as_bytes()]);
        let Some(meeting) = &self.meeting else { return };
        let Some(Owner::Stream(key)) = meeting.owners.get(&client) else { return };
        let name = self.watch.phone_of(key.0.call).map(|index| format!("leg{index}"));
        let name = name.unwrap_or_else(|| "leg".to_owned());
        let (from, to) =
            if to_server { (name.as_str(), "jitsi") } else { ("jitsi", name.as_str()) };
        self.ladder.message(self.elapsed, from, to, &headline(stanza), false);
    }
}

/// `iq set jingle session-initiate`, without anybody's name.
fn headline(stanza: &Element) -> String {
    let kind = stanza.attr("type").unwrap_or_default();
    let payload = stanza.children().find(|it| !["error", "x", "c"].contains(&it.name()));
    let what = payload.map_or(String::new(), |it| match it.attr("action") {
        Some(action) => format!("{} {action}", it.name()),
        None => it.name().to_owned(),
    });
    format!("{} {kind} {what}", stanza.name())
}

/// RTP and RTCP: the rest must come through, for a plain transport repeats nothing.
fn is_media(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| (128..=191).contains(first))
}

/// The room that every PIN opens, in the deployment.
pub(super) const ROOM: &str = "tea@muc.meet.test";
/// One way to the server, or between a browser and the bridge.
const WAY: Duration = Duration::from_millis(5);
/// TCP, TLS, SASL, bind.
const LOGIN: Duration = Duration::from_millis(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);
