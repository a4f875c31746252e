//! Trunks from our side: where their peers are, whether they answer, whether we are registered; and from all that,
//! whether a trunk is usable.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::core::Core;
use super::{CALL_ID_LENGTH, Endpoint, TAG_LENGTH, TransportOutput, UaEvent};
use crate::base::ids::{ListenerId, TrunkId};
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::sip::dialog::Peer;
use crate::sip::outbox::Path;
use crate::sip::qualify::{Qualified, TrunkState};
use crate::sip::reach::{NameState, Reach};
use crate::sip::registration::Registration;
use crate::sip::transaction::{Outcome, Owner, TransactionEvent, TransactionId};
use crate::sip::trunk::{SipTransport, TrunkConfig};
use crate::sip::wire::{Method, Uri};

/// What is known of one trunk.
#[derive(Debug)]
pub struct TrunkSide {
    reach: Reach,
    /// Asked by OPTIONS.
    qualified: Option<Qualified>,
    registration: Option<Registration>,
    /// An empty line so often, and when the next is due.
    keep_alive: Option<(Duration, Instant)>,
    /// What the owner was told.
    told_usable: bool,
}

impl TrunkSide {
    /// Nothing is known yet.
    pub fn new(now: Instant, id: TrunkId, trunk: &TrunkConfig, dice: &mut Rng, rng: &Rng) -> Self {
        let mut first = None;
        let every = trunk.qualify_every.filter(|_| trunk.has_peer());
        if every.is_some() {
            // Spread, so that a hundred trunks are not asked at once.
            first = Some(Duration::from_millis(u64::from(dice.below(1_000))));
        }
        let registration = trunk.account.clone().filter(|_| trunk.has_peer()).map(|account| {
            Registration::new(now, id, account, rng.fork(&format!("sip/registration/{}", id.0)))
        });
        Self {
            reach: Reach::new(trunk.peer),
            qualified: every.zip(first).map(|(every, first)| Qualified::new(now, every, first)),
            registration,
            keep_alive: trunk.keep_alive_every.map(|every| (every, now + every)),
            told_usable: true,
        }
    }

    fn next(&self) -> Option<(Instant, Why)> {
        let asking = self.qualified.as_ref().map(Qualified::next);
        let registering = self.registration.as_ref().and_then(Registration::next);
        let keeping = self.keep_alive.map(|(_, at)| (at, Why("sip.keep-alive")));
        [asking, registering, keeping].into_iter().flatten().min()
    }

    fn is_usable(&self) -> bool {
        let is_registered = self.registration.as_ref().is_none_or(Registration::is_registered);
        let is_down = self.qualified.as_ref().is_some_and(|q| q.state() == TrunkState::Down);
        let has_address = self.reach.name() != Some(NameState::Unknown);
        is_registered && !is_down && has_address
    }

    /// Ask again soon: something changed.
    fn hurry(&mut self, at: Instant) {
        if let Some(qualified) = &mut self.qualified {
            qualified.hurry(at);
        }
        if let Some(registration) = &mut self.registration {
            registration.hurry(at);
        }
    }

    /// Round trip of the last OPTIONS. `None`: not asked.
    pub fn round_trip(&self) -> Option<Option<Duration>> {
        self.qualified.as_ref().map(|qualified| match qualified.state() {
            TrunkState::Up(round_trip) => Some(round_trip),
            TrunkState::Unknown | TrunkState::Down => None,
        })
    }
}

impl Endpoint {
    /// Whether calls can be expected to work on this trunk: we are registered if it wants that, its name has an address,
    /// and OPTIONS, where they are sent, are answered (or were not yet).
    pub fn trunk_is_usable(&self, trunk: TrunkId) -> bool {
        self.side(trunk).is_some_and(TrunkSide::is_usable)
    }

    /// Whether registrations are being taken back. It takes three seconds at most.
    pub fn is_unregistering(&self) -> bool {
        let mut registrations = self.sides.iter().filter_map(|side| side.registration.as_ref());
        registrations.any(Registration::is_leaving)
    }

    /// The peer's address in use.
    pub(super) fn peer_of(&self, trunk: TrunkId) -> Option<SocketAddr> {
        self.side(trunk)?.reach.address()
    }

    fn side(&self, trunk: TrunkId) -> Option<&TrunkSide> {
        self.sides.get(usize::from(trunk.0))
    }

    fn side_mut(&mut self, trunk: TrunkId) -> Option<&mut TrunkSide> {
        self.sides.get_mut(usize::from(trunk.0))
    }

    fn trunk_ids(&self) -> impl Iterator<Item = TrunkId> + use<> {
        (0..u16::try_from(self.sides.len()).unwrap_or(u16::MAX)).map(TrunkId)
    }

    /// The next deadline of a trunk.
    pub(super) fn trunk_deadline(&self) -> Option<(Instant, Why)> {
        self.sides.iter().filter_map(TrunkSide::next).min()
    }

    /// io looked up the name of a trunk's peer; empty: in vain.
    pub(super) fn peer_resolved(&mut self, now: Instant, trunk: TrunkId, found: &[SocketAddr]) {
        let Some(transport) = self.trunk(trunk).map(|config| config.transport) else { return };
        let reachable: Vec<SocketAddr> = found
            .iter()
            .copied()
            .filter(|address| self.core.listener_for(transport, *address).is_some())
            .collect();
        let Some(side) = self.sides.get_mut(usize::from(trunk.0)) else { return };
        let before = side.reach.name();
        if side.reach.resolved(&reachable) {
            self.core.out.counters.sip_peer_moved += u64::from(before.is_some());
            side.hurry(now);
        }
        let state = side.reach.name();
        if let (Some(registration), Some(NameState::Unknown)) = (&mut side.registration, state) {
            registration.has_no_address();
        }
        if !reachable.is_empty() {
            self.gate.learn(trunk, side.reach.addresses());
        }
        if let Some(state) = state.filter(|state| Some(*state) != before) {
            self.core.out.event(UaEvent::TrunkName { trunk, state });
        }
        self.tell_trunk(trunk);
    }

    /// Sends what is due: OPTIONS, REGISTER, empty lines.
    pub(super) fn ask_trunks(&mut self, now: Instant) {
        for trunk in self.trunk_ids() {
            let Some(side) = self.side_mut(trunk) else { continue };
            let asks = side.qualified.as_mut().is_some_and(|qualified| qualified.is_due(now));
            let registers = side.registration.as_mut().is_some_and(|it| it.is_due(now));
            let keeps = side.keep_alive.is_some_and(|(_, at)| at <= now);
            if registers {
                let path = self.way_to(now, trunk);
                self.registering(trunk, |it, core| it.ask(now, core, path));
            }
            if asks {
                let sent = self.send_options(now, trunk);
                let side = self.side_mut(trunk);
                if let Some(qualified) = side.and_then(|side| side.qualified.as_mut()) {
                    qualified.asked(now, sent);
                }
            }
            if keeps {
                self.keep_alive(now, trunk);
            }
            self.tell_trunk(trunk);
        }
    }

    /// The way to a trunk's peer. `None`: no address, or no listener.
    pub(super) fn way_to(&mut self, now: Instant, trunk: TrunkId) -> Option<Path> {
        let (peer, transport) = (self.peer_of(trunk)?, self.trunk(trunk)?.transport);
        let listener = self.core.listener_for(transport, peer)?;
        Some(self.core.connect(now, listener, peer))
    }

    fn registering<R>(
        &mut self,
        trunk: TrunkId,
        act: impl FnOnce(&mut Registration, &mut Core) -> R,
    ) -> Option<R> {
        let side = self.sides.get_mut(usize::from(trunk.0))?;
        Some(act(side.registration.as_mut()?, &mut self.core))
    }

    fn keep_alive(&mut self, now: Instant, trunk: TrunkId) {
        let path = self.way_to(now, trunk);
        if let Some(side) = self.side_mut(trunk)
            && let Some((every, at)) = &mut side.keep_alive
        {
            *at = now + *every;
        }
        let bytes = b"\r\n\r\n".to_vec();
        if let Some(path) = path {
            self.core.out.transport(match path.flow {
                Some(flow) => TransportOutput::Write { flow, bytes },
                None => TransportOutput::Datagram { listener: path.listener, to: path.peer, bytes },
            });
        }
    }

    fn send_options(&mut self, now: Instant, trunk: TrunkId) -> Option<TransactionId> {
        let path = self.way_to(now, trunk)?;
        let target = Uri::parse(format!("sip:{}", path.peer).into()).ok()?;
        let host = self.core.host_of(path);
        let account = self.trunk(trunk).and_then(|trunk| trunk.account.as_ref());
        let local = match account {
            Some(account) => account.address(),
            None => format!("<sip:{host}>"),
        };
        let tag = self.core.rng.token(TAG_LENGTH);
        let call_id = self.core.rng.token(CALL_ID_LENGTH);
        let mut far = Peer::outgoing(call_id, tag, local, format!("<{target}>"), target, path);
        let request = far.first_request(&mut self.core, Method::Options, path);
        self.core.send(now, request, path, Owner::Qualify(trunk))
    }

    /// Any answer means that the trunk is there; none, that it is not.
    pub(super) fn options_answered(
        &mut self,
        now: Instant,
        trunk: TrunkId,
        event: &TransactionEvent,
    ) {
        let is_up = match &event.outcome {
            Outcome::Response(response) if response.status.is_provisional() => return,
            Outcome::Response(_) => true,
            Outcome::TimedOut | Outcome::Undeliverable => false,
        };
        let Some(side) = self.side_mut(trunk) else { return };
        let Some(qualified) = &mut side.qualified else { return };
        let was_down = qualified.state() == TrunkState::Down;
        let news = qualified.outcome(now, event.id, is_up);
        match is_up {
            true => side.reach.answered(),
            false => self.peer_failed(now, trunk),
        }
        if let Some(up) = news {
            // It may have forgotten us while it was away.
            if was_down && is_up {
                self.registering(trunk, |it, _| it.hurry(now));
            }
            self.core.out.event(UaEvent::TrunkState { trunk, up });
        }
        self.tell_trunk(trunk);
    }

    /// A REGISTER was answered, or not.
    pub(super) fn register_answered(
        &mut self,
        now: Instant,
        trunk: TrunkId,
        event: &TransactionEvent,
    ) {
        let (id, outcome) = (event.id, &event.outcome);
        let nobody = self.registering(trunk, |it, core| it.outcome(now, core, id, outcome));
        match nobody {
            Some(true) => self.peer_failed(now, trunk),
            Some(false) => self.side_mut(trunk).into_iter().for_each(|it| it.reach.answered()),
            None => {}
        }
        self.tell_trunk(trunk);
    }

    /// Nobody answers at the address in use: the next one, and the name again.
    pub(super) fn peer_failed(&mut self, now: Instant, trunk: TrunkId) {
        let Some(side) = self.side_mut(trunk) else { return };
        let is_named = side.reach.name().is_some();
        if let Some(address) = side.reach.address()
            && side.reach.failed(address)
        {
            side.hurry(now);
            self.core.out.counters.sip_peer_moved += 1;
        }
        if is_named {
            self.core.out.transport(TransportOutput::Resolve { trunk });
        }
    }

    /// A call of ours got no answer at the trunk's address.
    pub(super) fn call_unanswered(&mut self, now: Instant, trunk: TrunkId, peer: SocketAddr) {
        if self.peer_of(trunk) == Some(peer) {
            self.peer_failed(now, trunk);
        }
    }

    /// A connection is gone: a registration that came by it may point nowhere now.
    pub(super) fn connection_lost(&mut self, now: Instant, listener: ListenerId, peer: SocketAddr) {
        for trunk in self.trunk_ids() {
            let transport = self.trunk(trunk).map(|config| config.transport);
            let is_stream = transport.is_some_and(|it| it != SipTransport::Udp);
            let is_its = is_stream
                && self.peer_of(trunk) == Some(peer)
                && transport.and_then(|it| self.core.listener_for(it, peer)) == Some(listener);
            if is_its {
                self.registering(trunk, |it, _| it.connection_lost(now));
            }
        }
    }

    /// Takes all registrations back.
    pub(super) fn unregister(&mut self, now: Instant) {
        for trunk in self.trunk_ids() {
            if self.side(trunk).is_some_and(|side| side.registration.is_some()) {
                let path = self.way_to(now, trunk);
                self.registering(trunk, |it, core| it.leave(now, core, path));
                self.tell_trunk(trunk);
            }
        }
    }

    /// Tells what changed.
    pub(super) fn tell_trunk(&mut self, trunk: TrunkId) {
        let Some(side) = self.sides.get_mut(usize::from(trunk.0)) else { return };
        if let Some(state) = side.registration.as_mut().and_then(Registration::news) {
            self.core.out.event(UaEvent::Registration { trunk, state });
        }
        let is_usable = side.is_usable();
        if std::mem::replace(&mut side.told_usable, is_usable) != is_usable {
            self.core.out.event(UaEvent::TrunkUsable { trunk, usable: is_usable });
        }
    }
}
