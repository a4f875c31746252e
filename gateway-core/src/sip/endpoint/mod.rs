//! The SIP endpoint: gate, framing, transactions, trust and dialogs behind five verbs.
//!
//! Read [`Endpoint::handle_input`] first: gate, parse, transaction, then `receive` decides which dialog a message is
//! for, or makes one. Refuses to know sound and rooms: session descriptions pass through as bytes.

mod api;
pub(crate) mod core;
mod counters;
mod facts;
mod receive;
mod streams;
mod trunks;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

pub use self::api::*;
use self::core::Core;
pub use self::counters::EndpointCounters;
use self::trunks::TrunkSide;
use super::auth::Doorkeeper;
use super::dialog::calling::{CallOut, turn_away};
use super::dialog::{Dialog, Peer};
use super::gate::{Gate, Verdict};
use super::outbox::Path;
use super::transaction::{Outcome, Owner, TransactionEvent};
use super::trunk::TrunkConfig;
use super::wire::{HeaderName, Message, Method, Uri, message_limits, parse_datagram};
use crate::base::ids::{DialogKey, TrunkId};
use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::base::timers::earliest;

/// The SIP endpoint.
#[derive(Debug)]
pub struct Endpoint {
    core: Core,
    gate: Gate,
    dialogs: SlotMap<DialogKey, Dialog>,
    /// By our tag.
    tags: BTreeMap<String, DialogKey>,
    /// Dialogs of INVITEs that came in, by Call-ID and From tag: finds merged requests.
    invites: BTreeMap<(Vec<u8>, Vec<u8>), DialogKey>,
    due: BTreeSet<(Instant, DialogKey)>,
    /// Dialogs with an owner, in all and by trunk.
    calls: usize,
    calls_of: Vec<usize>,
    doorkeeper: Doorkeeper,
    /// What is known of the trunks, in the order of their ids.
    sides: Vec<TrunkSide>,
    is_draining: bool,
    /// Our owner cannot serve a new call now.
    is_overloaded: bool,
}

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A source of this trunk.
    Trunk(TrunkId),
    /// Nobody we know.
    Stranger,
}

/// A look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSnapshot {
    /// Calls their owner has.
    pub calls: usize,
    /// Calls of each trunk.
    pub calls_of_trunks: Vec<usize>,
    /// Dialogs that are over and wait for a last answer.
    pub closing: usize,
    /// Transactions, lingering ones included.
    pub transactions: usize,
    /// Connections, open or opening.
    pub flows: usize,
    /// Round trip of the last OPTIONS of each trunk that is asked; `None`: down, or not known yet.
    pub round_trips: Vec<(TrunkId, Option<Duration>)>,
    /// No new calls are taken.
    pub is_draining: bool,
}

impl Endpoint {
    /// An endpoint without calls.
    pub fn new(config: EndpointConfig, now: Instant, rng: Rng) -> Self {
        let gate = Gate::new(&config.trunks, config.unknown, now);
        let trunks = config.trunks.len();
        let doorkeeper = Doorkeeper::new(now, rng.fork("sip/nonces"));
        let mut dice = rng.fork("sip/qualify");
        let sides = (0u16..)
            .map(TrunkId)
            .zip(&config.trunks)
            .map(|(id, trunk)| TrunkSide::new(now, id, trunk, &mut dice, &rng))
            .collect();
        let mut endpoint = Self {
            core: Core::new(config, rng.fork("sip")),
            gate,
            dialogs: SlotMap::with_key(),
            tags: BTreeMap::new(),
            invites: BTreeMap::new(),
            due: BTreeSet::new(),
            calls: 0,
            calls_of: vec![0; trunks],
            doorkeeper,
            sides,
            is_draining: false,
            is_overloaded: false,
        };
        (0u16..).take(trunks).for_each(|id| endpoint.tell_trunk(TrunkId(id)));
        endpoint
    }

    /// Wall time. Nothing here depends on it: nonces count from the start.
    pub fn set_wall_clock(&mut self, wall: WallClock) {
        let _ = wall;
    }

    /// Sends requests of this trunk that are larger than 1,300 bytes over TCP instead of UDP (RFC 3261 §18.1.1), and
    /// by UDP after all when no connection can be had. Off at first: most PBXs in the field listen on UDP alone, and
    /// a firewall that swallows the connection would cost such a call its time.
    pub fn send_large_over_streams(&mut self, trunk: TrunkId, is_wanted: bool) {
        match is_wanted {
            true => self.core.large_over_streams.insert(trunk),
            false => self.core.large_over_streams.remove(&trunk),
        };
    }

    /// Stops taking new calls: 503 with Retry-After. Registrations are taken back, so that none come.
    pub fn drain(&mut self, now: Instant) {
        self.is_draining = true;
        self.unregister(now);
    }

    /// While it lasts new calls get 503 with Retry-After; those that are there go on.
    pub fn set_overloaded(&mut self, is_overloaded: bool) {
        self.is_overloaded = is_overloaded;
    }

    /// Something arrived.
    pub fn handle_input(&mut self, now: Instant, input: TransportInput<'_>) {
        match input {
            TransportInput::Datagram { listener, from, bytes } => {
                let path = Path { listener, peer: from, flow: None };
                self.datagram(now, path, bytes);
            }
            TransportInput::DatagramFailed { listener, to } => {
                let path = Path { listener, peer: to, flow: None };
                self.core.transactions.way_failed(now, path, &mut self.core.out);
            }
            TransportInput::StreamOpened { flow, listener, peer } => {
                self.stream_opened(now, flow, listener, peer);
            }
            TransportInput::StreamBytes { flow, bytes } => self.stream_bytes(now, flow, bytes),
            TransportInput::StreamClosed { flow } => self.stream_closed(now, flow),
            TransportInput::PeerResolved { trunk, addresses } => {
                self.peer_resolved(now, trunk, addresses);
            }
        }
        self.settle_transactions(now);
    }

    fn datagram(&mut self, now: Instant, path: Path, bytes: &[u8]) {
        let counters = &mut self.core.out.counters;
        let sender = match self.gate.datagram(now, path.peer.ip(), bytes, counters) {
            Verdict::Drop => return,
            Verdict::KeepAlive(asks) => {
                if asks {
                    self.core.out.send(path, b"\r\n".to_vec());
                }
                return;
            }
            Verdict::Trunk(trunk) => Sender::Trunk(trunk),
            Verdict::Stranger => Sender::Stranger,
        };
        counters.sip_messages_received += 1;
        match parse_datagram(bytes.to_vec().into(), &message_limits()) {
            Ok(message) => self.message(now, sender, path, message),
            Err(_) => self.core.out.counters.sip_malformed += 1,
        }
    }

    fn message(&mut self, now: Instant, sender: Sender, path: Path, message: Message) {
        match message {
            Message::Request(request) => self.request(now, sender, path, request),
            Message::Response(response) => self.response(now, response),
        }
    }

    /// Calls out. The call is told by events of the dialog given back.
    pub fn invite(&mut self, now: Instant, invite: OutgoingInvite) -> Result<DialogKey, ApiMisuse> {
        let trunk =
            self.trunk(invite.trunk).ok_or(ApiMisuse::BadArgument("invite: no such trunk"))?;
        if !trunk.has_peer() {
            return Err(ApiMisuse::BadArgument("invite: the trunk has no peer"));
        }
        let account = trunk.account.clone();
        let target = Uri::parse(invite.target.clone().into())
            .map_err(|_| ApiMisuse::BadArgument("invite: target is no URI"))?;
        let path = self
            .way_to(now, invite.trunk)
            .ok_or(ApiMisuse::BadArgument("invite: no address of the peer, or no listener"))?;
        let tag = self.core.rng.token(TAG_LENGTH);
        let local = facts::local_address(&invite, account.as_ref(), &self.core.host_of(path));
        let remote = format!("<{target}>");
        let call_id = self.core.rng.token(CALL_ID_LENGTH);
        let far = Peer::outgoing(call_id, tag.clone(), local, remote, target, path);
        let headers = invite
            .headers
            .iter()
            .map(|(name, value)| (HeaderName::parse(&name.clone().into()), value.reveal().clone()))
            .collect();
        let call = CallOut { headers, offer: invite.offer, answer_within: invite.answer_within };
        let core = &mut self.core;
        let trunk = invite.trunk;
        let key =
            self.dialogs.insert_with_key(|key| Dialog::calling(key, trunk, now, core, far, call));
        self.core.out.counters.sip_calls_out += 1;
        self.tags.insert(tag, key);
        self.count_call(trunk);
        self.settle(key);
        Ok(key)
    }

    /// The owner of a dialog wants something.
    pub fn command(&mut self, now: Instant, command: UaCommand) -> Result<(), ApiMisuse> {
        let key = facts::dialog_of(&command);
        let core = &mut self.core;
        let dialog = self
            .dialogs
            .get_mut(key)
            .filter(|dialog| dialog.is_owned())
            .ok_or(ApiMisuse::NoSuchDialog)?;
        let done = match command {
            UaCommand::Ring { status, sdp, .. } => dialog.ring(now, core, status, sdp),
            UaCommand::Accept { sdp, .. } => dialog.accept(now, core, &sdp),
            UaCommand::Reject { .. } => dialog.reject(now, core, command),
            UaCommand::EndSaying { reason, .. } => {
                dialog.say_at_end(reason);
                dialog.hang_up(now, core, DialogEnd::ByUs, None);
                Ok(())
            }
            UaCommand::End { cause, .. } => {
                dialog.hang_up(now, core, DialogEnd::ByUs, cause);
                Ok(())
            }
            UaCommand::Answer { sdp, .. } => dialog.answer(now, core, &sdp),
            UaCommand::RefuseOffer { status, .. } => dialog.refuse_offer(now, core, status),
            UaCommand::Offer { sdp, .. } => dialog.offer(now, core, sdp),
            UaCommand::Info { content_type, body, .. } => {
                dialog.inform(now, core, content_type, body)
            }
        };
        self.settle(key);
        self.settle_transactions(now);
        done
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.transactions.handle_timeout(now, &mut self.core.out);
        self.settle_transactions(now);
        self.stream_timeouts(now);
        self.ask_trunks(now);
        while let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, key));
            let Some(dialog) = self.dialogs.get_mut(key) else { continue };
            dialog.armed = None;
            dialog.handle_timeout(now, &mut self.core);
            self.settle(key);
        }
        self.settle_transactions(now);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<EndpointOutput> {
        self.core.out.pop()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let dialogs = self.due.first().map(|(at, key)| {
            let why = self.dialogs.get(*key).and_then(|dialog| dialog.next_deadline());
            (*at, why.map_or(Why("sip.dialog"), |(_, why)| why))
        });
        [dialogs, self.core.flows.poll_timeout(), self.trunk_deadline()]
            .into_iter()
            .fold(self.core.transactions.poll_timeout(), earliest)
    }

    /// Calls that their owner has.
    pub fn len(&self) -> usize {
        self.calls
    }

    /// Whether nothing is left: no dialog, not even one that waits for a last answer, and no transaction.
    pub fn is_empty(&self) -> bool {
        self.dialogs.is_empty() && self.core.transactions.is_empty()
    }

    /// What was seen and done since the start.
    pub fn counters(&self) -> &EndpointCounters {
        &self.core.out.counters
    }

    /// A look inside.
    pub fn snapshot(&self) -> EndpointSnapshot {
        EndpointSnapshot {
            calls: self.calls,
            calls_of_trunks: self.calls_of.clone(),
            closing: self.dialogs.len().saturating_sub(self.calls),
            transactions: self.core.transactions.len(),
            flows: self.core.flows.len(),
            round_trips: (0u16..)
                .map(TrunkId)
                .zip(&self.sides)
                .filter_map(|(trunk, side)| Some((trunk, side.round_trip()?)))
                .collect(),
            is_draining: self.is_draining,
        }
    }

    fn trunk(&self, id: TrunkId) -> Option<&TrunkConfig> {
        self.core.trunk(id)
    }

    /// Hands what transactions have to say to their owners.
    fn settle_transactions(&mut self, now: Instant) {
        while let Some(event) = self.core.transactions.poll_event() {
            match event.owner {
                Owner::Dialog(key) => self.dialog_event(now, key, event),
                Owner::Qualify(trunk) => self.options_answered(now, trunk, &event),
                Owner::Registration(trunk) => self.register_answered(now, trunk, &event),
                Owner::Nobody => {}
            }
        }
    }

    fn dialog_event(&mut self, now: Instant, key: DialogKey, event: TransactionEvent) {
        match self.dialogs.get_mut(key) {
            Some(dialog) => {
                let is_lost = matches!(event.outcome, Outcome::TimedOut | Outcome::Undeliverable);
                let lost = (is_lost && event.method == Method::Invite)
                    .then_some((dialog.trunk, dialog.peer.source.peer));
                dialog.handle_transaction(now, &mut self.core, event);
                self.settle(key);
                if let Some((trunk, peer)) = lost {
                    self.call_unanswered(now, trunk, peer);
                }
            }
            None => self.late_event(now, event),
        }
    }

    /// A 2xx to an INVITE whose dialog is gone: acknowledged and hung up.
    fn late_event(&mut self, now: Instant, event: TransactionEvent) {
        let Outcome::Response(response) = event.outcome else { return };
        if event.method != Method::Invite || !response.status.is_success() {
            return;
        }
        let known = self.core.transactions.sent_request(event.id);
        if let Some(peer) = known.and_then(|(request, path)| Peer::of_request(request, path)) {
            turn_away(now, &mut self.core, &peer, &response);
        }
    }

    /// After a dialog moved: its deadline, its count, its grave.
    fn settle(&mut self, key: DialogKey) {
        let Some(dialog) = self.dialogs.get_mut(key) else { return };
        let next = dialog.next_deadline().map(|(at, _)| at).filter(|_| !dialog.is_gone());
        if next != dialog.armed {
            if let Some(old) = dialog.armed.take() {
                self.due.remove(&(old, key));
            }
            dialog.armed = next;
            self.due.extend(next.map(|at| (at, key)));
        }
        if dialog.is_counted && !dialog.is_owned() {
            dialog.is_counted = false;
            self.calls = self.calls.saturating_sub(1);
            if let Some(calls) = self.calls_of.get_mut(usize::from(dialog.trunk.0)) {
                *calls = calls.saturating_sub(1);
            }
        }
        if dialog.is_gone() {
            self.bury(key);
        }
    }

    fn bury(&mut self, key: DialogKey) {
        let Some(dialog) = self.dialogs.remove(key) else { return };
        self.tags.remove(&dialog.peer.local_tag);
        if let Some(name) = dialog.invite_name {
            self.invites.remove(&name);
        }
    }

    fn count_call(&mut self, trunk: TrunkId) {
        self.calls += 1;
        if let Some(calls) = self.calls_of.get_mut(usize::from(trunk.0)) {
            *calls += 1;
        }
    }
}

/// 36^12 tags: not to be guessed within the life of a call.
const TAG_LENGTH: usize = 12;
const CALL_ID_LENGTH: usize = 24;

#[cfg(test)]
mod tests;
