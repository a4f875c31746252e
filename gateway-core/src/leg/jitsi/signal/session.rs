//! The media side of a leg as its room side sees it: a session that the focus opens, moves and ends.
//!
//! Behind it are the Jingle machine and the media half; in front, the leg needs to know only whether sound flows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use minidom::Element;

use crate::base::time::Why;
use crate::leg::backend::{SocketNews, SocketOrder};
use crate::leg::counters::BackendCounters;
use crate::leg::media::{ConferenceEvent, ToMedia};
use crate::media::codec::CodecKind;
use crate::media::ingress::EarKey;

/// The session of one leg, in the five verbs.
pub trait Session: Send {
    /// A stanza nobody else took. True if it was of this session; requests are answered.
    fn handle_stanza(&mut self, now: Instant, stanza: &Element) -> bool;
    /// From the media half.
    fn handle_media(&mut self, now: Instant, event: ConferenceEvent);
    /// A port asked for by [`SessionOutput::OpenPort`]: what to advertise, or none could be had.
    fn port_opened(&mut self, now: Instant, socket: u8, address: Option<SocketAddr>);
    /// From the WebSocket of the bridge channel.
    fn handle_socket(&mut self, now: Instant, news: SocketNews);
    /// What the leg wants.
    fn command(&mut self, now: Instant, command: SessionCommand);
    /// Due deadlines.
    fn handle_timeout(&mut self, now: Instant);
    /// The next output.
    fn poll_output(&mut self) -> Option<SessionOutput>;
    /// The next deadline.
    fn poll_timeout(&self) -> Option<(Instant, Why)>;
    /// What it met since it was asked last.
    fn take_counters(&mut self) -> BackendCounters {
        BackendCounters::default()
    }
}

/// What a leg wants of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCommand {
    /// We are in a room, under this nick (which is the endpoint's id): offers of its focus are accepted from now on.
    InRoom {
        /// Address of the room.
        room: String,
        /// Our nick.
        nick: String,
        /// We may send there; otherwise no source of ours is told and nothing is sent.
        speaks: bool,
    },
    /// We are in no room any more. The sound goes on until another session replaces it.
    OutOfRoom,
    /// A member went for good, and his sources with him.
    MemberGone(String),
    /// Find a new path.
    IceRestart,
    /// Ask for a new session.
    Restart,
    /// The phone may send these codecs, and hears the first.
    Codecs(Vec<CodecKind>),
    /// Whom this leg hears for its room.
    Hear(Hearing),
    /// The leg leaves: the session ends politely, the media half is given back.
    Close,
}

/// Whom a leg hears for its room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hearing {
    /// Whose voices it feeds into the room's sound.
    pub whom: Whom,
    /// Ears of our own phones in the room by their nicks: nobody hears himself.
    pub own: BTreeMap<String, EarKey>,
}

/// Whose voices.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// Nobody's: another leg listens for all.
    #[default]
    Nobody,
    /// Of this nick alone: the leg that listens for all.
    Only(String),
    /// Everybody's.
    All,
}

/// From a session.
pub enum SessionOutput {
    /// To the stream.
    Send(Element),
    /// To the shard.
    Media(ToMedia),
    /// A port towards the bridge is wanted for one of the leg's two sockets, in the place of an older one.
    OpenPort(u8),
    /// That port is not needed any more.
    ClosePort(u8),
    /// To the WebSocket of the bridge channel.
    Socket(SocketOrder),
    /// To the leg.
    Event(SessionEvent),
}

/// What a leg needs to know of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The focus invited us: sound will flow soon.
    Invited {
        /// It says that we start muted.
        starts_muted: bool,
    },
    /// Sound flows.
    Up,
    /// The path to the bridge is lost; the session is still there.
    PathLost,
    /// The session is over; the focus may invite us again.
    Ended(Ending),
}

/// How a session ended: what may be expected of the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The focus moves us, or nobody else was there: another invitation is on its way, or comes with the next person.
    Moved,
    /// The focus counts us no more among its participants although we are in the room: it invites only who joins anew.
    Dropped,
    /// The transport broke, and another session was asked for.
    Broken,
}
