//! A stand-in for a Jitsi deployment: Prosody and Jicofo as stanzas, the bridge as packets. Virtual time, no sockets.
//!
//! It does what `testdata/jitsi` shows, and its tests hold it against those recordings. Left out: SASL and framing,
//! MUC history, statistics, pictures, Rayo. A web participant ([`web`]) joins it as a browser does.
//!
//!   client -- stanzas --> prosody (streams, rooms, lobby) --> jicofo (offers, sources, mutes) -- orders --> bridge
//!                         components (moderation, metadata, breakout rooms) -- messages --> client

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::jitsi::stanza::sources::Source;
use gateway_core::jitsi::stanza::transport::IceTransport;
use minidom::Element;

pub mod bridge;
mod components;
pub mod ear;
mod jicofo;
mod prosody;
#[cfg(test)]
mod tests;
pub mod visitors;
pub mod web;

pub use jicofo::BRIDGE_IP;

/// One stream of the server, as its owner counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub u64);

/// From the deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerOutput {
    /// To a client.
    Stanza(Client, Element),
    /// To the bridge.
    Bridge(BridgeOrder),
}

/// What Jicofo tells the bridge.
#[derive(Clone, Debug, PartialEq)]
pub enum BridgeOrder {
    /// An endpoint is offered this port of the bridge.
    Allocate {
        /// Room and nick.
        endpoint: Endpoint,
        /// Port.
        port: u16,
    },
    /// The endpoint answered.
    Connect {
        /// Room and nick.
        endpoint: Endpoint,
        /// Its transport.
        transport: IceTransport,
    },
    /// The sources of the endpoint, all of them: others are not forwarded.
    Sources {
        /// Room and nick.
        endpoint: Endpoint,
        /// They.
        sources: Vec<Source>,
    },
    /// What the endpoint sends is not forwarded, or is again.
    ForceMute {
        /// Room and nick.
        endpoint: Endpoint,
        /// True: not.
        muted: bool,
    },
    /// The endpoint is gone.
    Expire(Endpoint),
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address of the room.
    pub room: String,
    /// His nick.
    pub nick: String,
}

/// Prosody and Jicofo.
pub struct JitsiServer {
    clients: BTreeMap<Client, String>,
    rooms: BTreeMap<String, Room>,
    /// What will be done and when.
    later: BTreeMap<(Duration, u64), Work>,
    serial: u64,
    now: Duration,
    focus_up: bool,
    /// Rooms that wait for a host: somebody who is no phone.
    hosted: BTreeSet<String>,
    next_port: u16,
    visitors: visitors::Visitors,
    outputs: VecDeque<ServerOutput>,
    rng: Rng,
}

/// Things that take the real ones a while.
#[derive(Clone, Debug)]
enum Work {
    Send(Client, Element),
    /// Jicofo asks for somebody's features.
    AskFeatures(Endpoint),
    /// Jicofo offers sessions to all in a room that have none.
    Invite(String),
    /// Nobody came to keep somebody company.
    EndIdle(String),
    /// It was noticed that the bridge is dead.
    Reinvite,
}

#[derive(Debug, Default)]
struct Room {
    /// Jicofo is in it: the room exists.
    focus: bool,
    lobby: bool,
    /// It opens when the host comes.
    lobby_of_host: bool,
    /// Bare addresses that a moderator let in.
    admitted: Vec<String>,
    password: Option<String>,
    /// People at most, the focus not counted.
    people_max: Option<usize>,
    starts_muted: bool,
    /// What the focus tells of recordings: mode and whether it runs.
    recording: Option<(RecordingMode, bool)>,
    av_moderation: bool,
    /// Endpoints that may speak under AV moderation.
    approved: Vec<String>,
    occupants: BTreeMap<String, Occupant>,
    /// People in the lobby: nick and stream.
    knocking: BTreeMap<String, Client>,
    bridge_session: String,
}

/// What is made of a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMode {
    /// A file.
    File,
    /// A live stream.
    Stream,
}

#[derive(Debug)]
struct Occupant {
    client: Client,
    moderator: bool,
    /// Children of the presence he sent.
    told: Vec<Element>,
    /// Id of the question for his features; then they.
    features: Features,
    session: Option<Session>,
    last_restart: Option<Duration>,
    /// Sources he has now.
    sources: Vec<Source>,
}

#[derive(Debug)]
enum Features {
    Unknown,
    Asked(String),
    Known(Vec<String>),
}

#[derive(Debug)]
struct Session {
    sid: String,
    port: u16,
    accepted: bool,
    generation: u32,
}

impl JitsiServer {
    /// Nobody there.
    pub fn new(rng: Rng) -> Self {
        Self {
            clients: BTreeMap::new(),
            rooms: BTreeMap::new(),
            later: BTreeMap::new(),
            serial: 0,
            now: Duration::ZERO,
            focus_up: true,
            hosted: BTreeSet::new(),
            next_port: 10_000,
            visitors: visitors::Visitors::default(),
            outputs: VecDeque::new(),
            rng,
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                return;
            }
            match entry.remove() {
                Work::Send(client, stanza) => self.send(client, stanza),
                Work::AskFeatures(who) => self.ask_features(&who),
                Work::Invite(room) => self.invite(&room),
                Work::EndIdle(room) => self.end_idle(&room),
                Work::Reinvite => self.reinvite(),
            }
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    /// What to deliver.
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        self.outputs.pop_front()
    }

    /// Nicks in a room, the focus not counted.
    pub fn occupants(&self, room: &str) -> Vec<&str> {
        let room = self.rooms.get(room);
        room.into_iter().flat_map(|it| it.occupants.keys()).map(String::as_str).collect()
    }

    /// Whether somebody's session is offered and accepted.
    pub fn is_in_session(&self, who: &Endpoint) -> bool {
        let session = self.occupant(who).and_then(|it| it.session.as_ref());
        session.is_some_and(|session| session.accepted)
    }

    /// Under which nick a client is in a room.
    pub fn nick(&self, client: Client, room: &str) -> Option<String> {
        self.nick_of(client, room)
    }

    /// The rooms a client is in, as endpoints.
    pub fn endpoints_of(&self, client: Client) -> Vec<Endpoint> {
        self.rooms_of(client)
    }

    /// The nick under which a client knocks at a room.
    pub fn knocks_as(&self, client: Client, room: &str) -> Option<String> {
        let knocking = &self.rooms.get(room)?.knocking;
        knocking.iter().find(|(_, it)| **it == client).map(|(nick, _)| nick.clone())
    }

    /// His presence says that his microphone is off.
    pub fn shows_muted(&self, who: &Endpoint) -> bool {
        let told = self.occupant(who).map(|it| &it.told[..]).unwrap_or_default();
        told.iter().any(|it| it.name() == "audiomuted" && it.text() == "true")
    }

    /// Streams that are bound.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    fn occupant(&self, who: &Endpoint) -> Option<&Occupant> {
        self.rooms.get(&who.room)?.occupants.get(&who.nick)
    }

    fn occupant_mut(&mut self, who: &Endpoint) -> Option<&mut Occupant> {
        self.rooms.get_mut(&who.room)?.occupants.get_mut(&who.nick)
    }

    fn send(&mut self, client: Client, stanza: Element) {
        if self.clients.contains_key(&client) {
            self.outputs.push_back(ServerOutput::Stanza(client, stanza));
        }
    }

    fn order(&mut self, order: BridgeOrder) {
        self.outputs.push_back(ServerOutput::Bridge(order));
    }

    fn after(&mut self, delay: Duration, work: Work) {
        self.serial += 1;
        self.later.insert((self.now + delay, self.serial), work);
    }

    /// As Jicofo's: long, with characters that must be copied to the letter.
    fn iq_id(&mut self) -> String {
        format!("{}/+{}==", self.rng.token(40), self.rng.token(6))
    }
}

const MAIN_DOMAIN: &str = "meet.test";
const MUC_DOMAIN: &str = "muc.meet.test";
const BREAKOUT_DOMAIN: &str = "breakout.meet.test";
const LOBBY_DOMAIN: &str = "lobby.meet.test";
/// Where the conference is asked for.
pub(crate) const FOCUS_PROXY: &str = "focus.meet.test";
const FOCUS_JID: &str = "focus@auth.meet.test/focus";

fn is_room(address: &str) -> bool {
    [MUC_DOMAIN, BREAKOUT_DOMAIN, visitors::NODE_MUC]
        .iter()
        .any(|host| address.split('@').nth(1) == Some(host))
}
