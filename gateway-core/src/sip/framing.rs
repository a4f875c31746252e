//! Connections: bytes of TCP (later TLS) streams become messages (RFC 3261 §18.3, RFC 5626 §4.4.1).
//!
//! Refuses to guess: when framing is lost (two lengths, none, rubbish) the connection closes. A message must be whole
//! within [`MESSAGE_WITHIN`] of its first byte; a source may hold [`FLOWS_OF_SOURCE_MAX`] connections.
//! Outbound connections get odd ids, are shared by all dialogs towards the same peer and kept alive.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sipx_sip::StreamParser;

use super::wire::{Message, message_limits};
use crate::base::ids::{FlowId, ListenerId};
use crate::base::time::Why;

/// All connections.
#[derive(Debug, Default)]
pub struct Flows {
    all: BTreeMap<FlowId, Flow>,
    /// Connections of ours by where they lead.
    ours: BTreeMap<(ListenerId, SocketAddr), FlowId>,
    /// Connections of others by source.
    theirs: BTreeSet<(IpAddr, FlowId)>,
    due: BTreeSet<(Instant, FlowId)>,
    opened: u64,
}

#[derive(Debug)]
struct Flow {
    listener: ListenerId,
    peer: SocketAddr,
    parser: StreamParser,
    /// A message has begun and is not whole.
    begun: Option<Instant>,
    heard: Instant,
    /// A message was sent or received.
    used: Instant,
    ping_at: Option<Instant>,
    armed: Option<Instant>,
}

/// What bytes of a connection amount to.
#[derive(Debug)]
pub enum Received {
    /// Messages, in order, and whether a keep-alive asks for its answer.
    Messages(Vec<Message>, bool),
    /// Framing is lost: close.
    Broken,
    /// Not a connection of ours.
    Unknown,
}

/// A deadline of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowDue {
    /// Send CRLFCRLF.
    Ping(FlowId),
    /// Its message did not become whole in time: close.
    TooSlow(FlowId),
    /// One of ours that nobody uses: close.
    Unused(FlowId),
}

impl Flows {
    /// A connection came in. Gives connections to close for it: the one that was silent longest, of the same source.
    pub fn opened(
        &mut self,
        now: Instant,
        flow: FlowId,
        listener: ListenerId,
        peer: SocketAddr,
    ) -> Option<FlowId> {
        if let Some(known) = self.all.get_mut(&flow) {
            known.heard = now; // ours, now up
            return None;
        }
        self.all.insert(flow, Flow::new(now, listener, peer, None));
        self.theirs.insert((peer.ip(), flow));
        let of_source = self.theirs.range((peer.ip(), FlowId(0))..=(peer.ip(), FlowId(u64::MAX)));
        let flows: Vec<FlowId> = of_source.map(|(_, flow)| *flow).collect();
        if flows.len() <= FLOWS_OF_SOURCE_MAX {
            return None;
        }
        flows
            .into_iter()
            .filter(|other| *other != flow)
            .min_by_key(|other| self.all.get(other).map(|flow| flow.heard))
    }

    /// The connection of ours to this peer: an open one, or a new id (`true`) to be connected.
    pub fn towards(
        &mut self,
        now: Instant,
        listener: ListenerId,
        peer: SocketAddr,
    ) -> (FlowId, bool) {
        if let Some(id) = self.ours.get(&(listener, peer)) {
            if let Some(flow) = self.all.get_mut(id) {
                flow.used = now;
            }
            return (*id, false);
        }
        let flow = FlowId(self.opened * 2 + 1);
        self.opened += 1;
        let ping_at = now + PING_EVERY;
        self.all.insert(flow, Flow::new(now, listener, peer, Some(ping_at)));
        self.ours.insert((listener, peer), flow);
        self.arm(flow);
        (flow, true)
    }

    /// Where a connection leads.
    pub fn ends(&self, flow: FlowId) -> Option<(ListenerId, SocketAddr)> {
        self.all.get(&flow).map(|flow| (flow.listener, flow.peer))
    }

    /// Connections that are open or opening.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes came in.
    pub fn received(&mut self, now: Instant, id: FlowId, bytes: &[u8]) -> Received {
        let Some(flow) = self.all.get_mut(&id) else { return Received::Unknown };
        flow.heard = now;
        let Ok(messages) = flow.parser.push(bytes) else { return Received::Broken };
        // The parser keeps a head without a body to itself: bytes without a message mean that one has begun.
        let is_quiet = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        let has_rest = flow.parser.pending() > 0;
        flow.begun = match (messages.is_empty(), flow.begun) {
            (true, Some(begun)) => Some(begun),
            (true, None) if is_quiet && !has_rest => None,
            (true, None) => Some(now),
            (false, _) => has_rest.then_some(now),
        };
        if !messages.is_empty() {
            flow.used = now;
        }
        let is_ping = flow.parser.take_keepalives() >= 2;
        self.arm(id);
        Received::Messages(messages, is_ping)
    }

    /// A connection is closed, by either side. Gives where it led.
    pub fn closed(&mut self, id: FlowId) -> Option<(ListenerId, SocketAddr)> {
        let flow = self.all.remove(&id)?;
        if let Some(at) = flow.armed {
            self.due.remove(&(at, id));
        }
        self.theirs.remove(&(flow.peer.ip(), id));
        if self.ours.get(&(flow.listener, flow.peer)) == Some(&id) {
            self.ours.remove(&(flow.listener, flow.peer));
        }
        Some((flow.listener, flow.peer))
    }

    /// The next due deadline.
    pub fn pop_due(&mut self, now: Instant) -> Option<FlowDue> {
        let (at, id) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, id));
        let flow = self.all.get_mut(&id)?;
        flow.armed = None;
        if flow.begun.is_some_and(|begun| begun + MESSAGE_WITHIN <= now) {
            return Some(FlowDue::TooSlow(id));
        }
        if flow.used + UNUSED_MAX <= now {
            return Some(FlowDue::Unused(id));
        }
        flow.ping_at = flow.ping_at.map(|_| now + PING_EVERY);
        self.arm(id);
        Some(FlowDue::Ping(id))
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        self.due.first().map(|(at, _)| (*at, Why("sip.flow")))
    }

    fn arm(&mut self, id: FlowId) {
        let Some(flow) = self.all.get_mut(&id) else { return };
        let slow = flow.begun.map(|begun| begun + MESSAGE_WITHIN);
        let next = slow.into_iter().chain(flow.ping_at).min();
        if next == flow.armed {
            return;
        }
        if let Some(old) = flow.armed.take() {
            self.due.remove(&(old, id));
        }
        flow.armed = next;
        self.due.extend(next.map(|at| (at, id)));
    }
}

impl Flow {
    fn new(now: Instant, listener: ListenerId, peer: SocketAddr, ping_at: Option<Instant>) -> Self {
        let parser = StreamParser::new(message_limits());
        Self { listener, peer, parser, begun: None, heard: now, used: now, ping_at, armed: None }
    }
}

/// A message must be whole within this time of its first byte (slow-loris).
pub const MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// Connections of one source. Full: its longest silent one is closed.
pub const FLOWS_OF_SOURCE_MAX: usize = 64;
/// A connection of ours without a message for so long is closed; the next message opens it again.
const UNUSED_MAX: Duration = Duration::from_secs(600);
/// Keep-alives on connections of ours: NAT bindings of TCP last two minutes or more.
const PING_EVERY: Duration = Duration::from_secs(60);
