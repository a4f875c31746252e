//! ICE (RFC 8445) of one leg: an agent, and beside it a second one while a restart is under way.
//!
//! A restart comes from a new socket, because the bridge tells its agents apart by our address. The old agent goes on
//! answering for 5 s after the new one has a path, so that neither side loses consent in between (make before break).
//! Credentials come from our dice. `is` prunes pairs when it is disconnected and heals only if the peer still checks,
//! so losing consent on the only path is told upwards at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use is::stun::{StunMessage, StunPacket};
use is::{IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol};

use super::facts::{Candidate, IceCredentials, LocalIce, RemoteIce};
use super::outbox::Outbox;
use crate::base::rng::Rng;

/// The agents of one leg.
pub(super) struct Ice {
    /// Oldest first; the last is the newest generation.
    agents: ArrayVec<Agent, 2>,
    controlling: bool,
    path: Option<Path>,
    /// Addresses whose STUN was authentic: DTLS and SRTP may come from them alone.
    authenticated: ArrayVec<(u8, SocketAddr), AUTHENTICATED_MAX>,
    pub(super) ignored_candidates: u64,
}

/// The way media takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) socket: u8,
    pub(super) to: SocketAddr,
}

/// What the agents say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IceEvent {
    /// A first path, or a better one.
    Nominated(Path),
    /// The only path lost consent.
    Disconnected,
    /// The socket of an old generation is not needed any more.
    SocketUnused(u8),
}

struct Agent {
    agent: IceAgent,
    socket: u8,
    /// Our address as the agent knows it.
    base: SocketAddr,
    /// Where media goes if this generation carries it.
    nominated: Option<SocketAddr>,
    remote_candidates: usize,
    next: Instant,
    retires_at: Option<Instant>,
}

impl Ice {
    pub(super) fn new(
        now: Instant,
        local: &LocalIce,
        remote: Option<&RemoteIce>,
        controlling: bool,
        rng: &mut Rng,
    ) -> Self {
        let mut ice = Self {
            agents: ArrayVec::new(),
            controlling,
            path: None,
            authenticated: ArrayVec::new(),
            ignored_candidates: 0,
        };
        ice.begin(now, local, remote, rng);
        ice
    }

    /// A new generation from another socket. An unfinished one before it is given up.
    pub(super) fn restart(
        &mut self,
        now: Instant,
        local: &LocalIce,
        remote: Option<&RemoteIce>,
        rng: &mut Rng,
    ) -> Option<IceEvent> {
        let surplus = match self.agents.as_slice() {
            [_, newest] if newest.nominated.is_none() => self.agents.pop(),
            [_, _] => self.agents.pop_at(0),
            _ => None,
        };
        self.begin(now, local, remote, rng);
        let unused = surplus.map(|agent| agent.socket);
        let unused = unused.filter(|socket| self.agents.iter().all(|a| a.socket != *socket));
        unused.map(IceEvent::SocketUnused)
    }

    fn begin(&mut self, now: Instant, local: &LocalIce, remote: Option<&RemoteIce>, rng: &mut Rng) {
        let Some(base) = local.candidates.first().map(|candidate| candidate.address) else {
            self.ignored_candidates += 1;
            return;
        };
        let mut agent = IceAgent::new(creds(&local.credentials));
        agent.set_control_tie_breaker(rng.u64());
        agent.set_controlling(self.controlling);
        agent.set_timing_advance(TIMING_ADVANCE);
        agent.set_max_stun_rto(STUN_RTO_MAX);
        agent.set_max_stun_retransmits(STUN_RETRANSMITS_MAX);
        agent.set_max_candidate_pairs(PAIRS_MAX);
        match is::Candidate::host(base, Protocol::Udp) {
            Ok(candidate) => _ = agent.add_local_candidate(candidate),
            Err(_) => self.ignored_candidates += 1,
        }
        let socket = local.socket;
        let agent = Agent {
            agent,
            socket,
            base,
            nominated: None,
            remote_candidates: 0,
            next: now,
            retires_at: None,
        };
        if self.agents.try_push(agent).is_ok()
            && let Some(remote) = remote
        {
            self.set_remote(now, remote);
        }
    }

    /// Their side of the newest generation.
    pub(super) fn set_remote(&mut self, now: Instant, remote: &RemoteIce) {
        if let Some(newest) = self.agents.last_mut() {
            newest.agent.set_remote_credentials(creds(&remote.credentials));
            newest.next = now;
        }
        self.add_remote_candidates(now, &remote.candidates);
    }

    /// More candidates of the newest generation. What is not UDP, component 1 and unicast is ignored, and so is
    /// everything after the first [`REMOTE_CANDIDATES_MAX`].
    pub(super) fn add_remote_candidates(&mut self, now: Instant, candidates: &[Candidate]) {
        let Some(newest) = self.agents.last_mut() else { return };
        for candidate in candidates {
            let usable = candidate.udp && candidate.component == 1 && candidate.address.port() != 0;
            let usable = usable && newest.remote_candidates < REMOTE_CANDIDATES_MAX;
            match is::Candidate::host(candidate.address, Protocol::Udp) {
                Ok(candidate) if usable => {
                    newest.remote_candidates += 1;
                    newest.agent.add_remote_candidate(candidate);
                }
                _ => self.ignored_candidates += 1,
            }
        }
        newest.next = now;
    }

    /// A STUN message came. False: no agent accepted it.
    pub(super) fn handle_stun(
        &mut self,
        now: Instant,
        socket: u8,
        from: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        let Ok(message) = StunMessage::parse(bytes) else { return false };
        for agent in self.agents.iter_mut().filter(|agent| agent.socket == socket) {
            if agent.agent.accepts_message(&message) {
                let (proto, destination) = (Protocol::Udp, agent.base);
                let packet = StunPacket { proto, source: from, destination, message };
                // Its own clock stands still until it is told the time.
                agent.agent.handle_packet(now, packet);
                agent.agent.handle_timeout(now);
                agent.next = now;
                return true;
            }
        }
        false
    }

    /// Due checks.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for agent in self.agents.iter_mut().filter(|agent| agent.next <= now) {
            agent.agent.handle_timeout(now);
            // The agent may name a deadline that is not in the future: once per wake is enough.
            let next = agent.agent.poll_timeout().unwrap_or(now + IDLE);
            agent.next = next.max(now + STEP_MIN);
        }
    }

    /// Takes what the agents want to send, and gives what they say, one at a time.
    pub(super) fn poll(&mut self, now: Instant, outbox: &mut Outbox) -> Option<IceEvent> {
        for place in 0..self.agents.len() {
            let agent = self.agents.get_mut(place)?;
            while let Some(transmit) = agent.agent.poll_transmit() {
                outbox.push((agent.socket, transmit.destination), &transmit.contents);
            }
            while let Some(event) = self.agents.get_mut(place)?.agent.poll_event() {
                if let Some(event) = self.translate(now, place, event) {
                    return Some(event);
                }
            }
        }
        self.retire(now)
    }

    fn translate(&mut self, now: Instant, place: usize, event: IceAgentEvent) -> Option<IceEvent> {
        let newest = place + 1 == self.agents.len();
        let agent = self.agents.get_mut(place)?;
        match event {
            IceAgentEvent::DiscoveredRecv { source, .. } => {
                let known = (agent.socket, source);
                if !self.authenticated.contains(&known) {
                    // Full: the oldest makes room.
                    if self.authenticated.is_full() {
                        self.authenticated.remove(0);
                    }
                    self.authenticated.push(known);
                }
                None
            }
            IceAgentEvent::NominatedSend { destination, .. } => {
                agent.nominated = Some(destination);
                let path = Path { socket: agent.socket, to: destination };
                // The old generation keeps its path warm, but decides nothing once the new one has one.
                if !newest && self.agents.last().is_some_and(|newest| newest.nominated.is_some()) {
                    return None;
                }
                if newest {
                    for old in self.agents.iter_mut().rev().skip(1) {
                        old.retires_at.get_or_insert(now + OLD_PATH_KEPT);
                    }
                }
                (self.path.replace(path) != Some(path)).then_some(IceEvent::Nominated(path))
            }
            IceAgentEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                let lost = self.path.is_some_and(|path| path.socket == agent.socket);
                if lost {
                    self.path = None;
                }
                lost.then_some(IceEvent::Disconnected)
            }
            IceAgentEvent::IceConnectionStateChange(state)
                if state.is_connected() && newest && self.path.is_none() =>
            {
                // It healed: the same pair is not nominated again.
                let path = agent.nominated.map(|to| Path { socket: agent.socket, to });
                self.path = path;
                path.map(IceEvent::Nominated)
            }
            _ => None,
        }
    }

    fn retire(&mut self, now: Instant) -> Option<IceEvent> {
        let over = |agent: &Agent| agent.retires_at.is_some_and(|at| at <= now);
        let place = self.agents.iter().position(over)?;
        let agent = self.agents.pop_at(place)?;
        self.authenticated.retain(|(socket, _)| *socket != agent.socket);
        Some(IceEvent::SocketUnused(agent.socket))
    }

    /// The next check or end of an old generation.
    pub(super) fn next(&self) -> Option<Instant> {
        self.agents
            .iter()
            .map(|agent| agent.retires_at.map_or(agent.next, |at| at.min(agent.next)))
            .min()
    }

    /// The way media takes; none before the first nomination and without consent.
    pub(super) fn path(&self) -> Option<Path> {
        self.path
    }

    /// Whether STUN from there was authentic.
    pub(super) fn is_authenticated(&self, socket: u8, from: SocketAddr) -> bool {
        self.authenticated.contains(&(socket, from))
    }
}

fn creds(credentials: &IceCredentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.password.reveal().clone() }
}

/// Checks are 5 ms apart: a leg has one or two pairs, and somebody waits on the phone.
const TIMING_ADVANCE: Duration = Duration::from_millis(5);
/// Consent is checked this often, and lost after about 15 s (RFC 7675 asks for 30 s at most).
const STUN_RTO_MAX: Duration = Duration::from_secs(2);
const STUN_RETRANSMITS_MAX: usize = 8;
const PAIRS_MAX: usize = 32;
/// A bridge has one to four; more is nonsense.
const REMOTE_CANDIDATES_MAX: usize = 20;
const AUTHENTICATED_MAX: usize = 16;
const OLD_PATH_KEPT: Duration = Duration::from_secs(5);
const STEP_MIN: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(3);
