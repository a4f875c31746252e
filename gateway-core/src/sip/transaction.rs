//! Transactions (RFC 3261 §17, RFC 6026): repeats absorbed, requests repeated, timers kept.
//!
//! Drives the state machines of the parser crate; the lookup and the timers are ours, so that order never hangs on
//! a hash. A finished server transaction shrinks to its last response, because it must answer repeats for 32 s and
//! a busy trunk leaves 80,000 of them behind. Refuses to know dialogs: what a transaction has to say goes to its
//! [`Owner`] as a [`TransactionEvent`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use sipx_sip::transaction::Output;
use sipx_sip::{ClientTransaction, Reliability, ServerTransaction, Timer, TuEvent};
use slotmap::{KeyData, SlotMap};

use super::outbox::{Outbox, Path};
use super::wire::incoming::client_transaction_name;
use super::wire::{Incoming, Message, Method, Request, Response, Via, build};
use crate::base::ids::{DialogKey, TrunkId};
use crate::base::limits::SIP_TRANSACTIONS_MAX;
use crate::base::time::Why;
use crate::base::timers::Timers;

slotmap::new_key_type! {
    /// One transaction.
    pub struct TransactionId;
}

/// Who hears what happens to a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A dialog.
    Dialog(DialogKey),
    /// The state of a trunk (OPTIONS of ours).
    Qualify(TrunkId),
    /// The registration of a trunk.
    Registration(TrunkId),
    /// Nobody: a farewell whose answer changes nothing.
    Nobody,
}

/// What happened to a client transaction.
#[derive(Debug)]
pub struct TransactionEvent {
    /// Which.
    pub id: TransactionId,
    /// Whose.
    pub owner: Owner,
    /// Method of its request.
    pub method: Method,
    /// What.
    pub outcome: Outcome,
}

/// A response, or that there is none.
#[derive(Debug)]
pub enum Outcome {
    /// A response. A final one comes once; a 2xx to an INVITE may come again.
    Response(Box<Response>),
    /// No final response within 64*T1.
    TimedOut,
    /// The transport could not deliver the request.
    Undeliverable,
}

#[derive(Debug)]
enum Machine {
    Server(Box<ServerTransaction>),
    Client(Box<ClientTransaction>),
    /// A server transaction with its final response sent: repeats get these bytes (empty: nothing) again.
    Answered(Box<[u8]>),
}

#[derive(Debug)]
struct Transaction {
    machine: Machine,
    name: Box<[u8]>,
    path: Path,
    owner: Owner,
    timers: Timers<Timer>,
    /// Its entry in `due`.
    armed: Option<Instant>,
}

/// All transactions of an endpoint.
#[derive(Debug)]
pub struct Transactions {
    all: SlotMap<TransactionId, Transaction>,
    servers: BTreeMap<Box<[u8]>, TransactionId>,
    clients: BTreeMap<Box<[u8]>, TransactionId>,
    /// Client transactions by the way their request went.
    ways: BTreeSet<(Path, TransactionId)>,
    due: BTreeSet<(Instant, TransactionId)>,
    timing: sipx_sip::Timers,
    events: VecDeque<TransactionEvent>,
}

impl Transactions {
    /// No transactions yet. `t1` is 500 ms (RFC 3261 §17.1.1.1) except in tests.
    pub fn new(t1: Duration) -> Self {
        Self {
            all: SlotMap::with_key(),
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            ways: BTreeSet::new(),
            due: BTreeSet::new(),
            timing: sipx_sip::Timers { t1, ..sipx_sip::Timers::default() },
            events: VecDeque::new(),
        }
    }

    /// Whether there is room for another call's transactions.
    pub fn has_room(&self) -> bool {
        self.all.len() < SIP_TRANSACTIONS_MAX
    }

    /// Transactions alive, lingering ones included.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none is alive.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The server transaction of this name.
    pub fn server(&self, name: &[u8]) -> Option<TransactionId> {
        self.servers.get(name).copied()
    }

    /// Whether a request of ours has this name.
    pub fn is_client(&self, name: &[u8]) -> bool {
        self.clients.contains_key(name)
    }

    /// The request of a client transaction that still waits or lingers.
    pub fn sent_request(&self, id: TransactionId) -> Option<(&Request, Path)> {
        match self.all.get(id) {
            Some(Transaction { machine: Machine::Client(client), path, .. }) => {
                Some((client.request(), *path))
            }
            _ => None,
        }
    }

    /// Opens a server transaction for a new request. 100 Trying follows by itself for an INVITE.
    pub fn open(&mut self, now: Instant, incoming: &Incoming, path: Path) -> TransactionId {
        let name = incoming.transaction_name(incoming.method());
        let (machine, outputs) =
            ServerTransaction::new(incoming.request.clone(), reliability(path), self.timing);
        let id = self.all.insert(Transaction {
            machine: Machine::Server(Box::new(machine)),
            name: name.clone(),
            path,
            owner: Owner::Nobody,
            timers: Timers::default(),
            armed: None,
        });
        self.servers.insert(name, id);
        // The machine hands the request up: its caller has it already.
        let timers = outputs.into_iter().filter(|output| matches!(output, Output::SetTimer { .. }));
        self.perform(now, id, timers.collect(), None);
        id
    }

    /// A repeat of a request, or the ACK of a refusal, that belongs to `id`. Gives `true` when it was an ACK that the
    /// dialog must see (the ACK of a 2xx with the branch of its INVITE, which some peers send).
    pub fn repeated(
        &mut self,
        now: Instant,
        id: TransactionId,
        request: &Request,
        out: &mut Outbox,
    ) -> bool {
        let Some(transaction) = self.all.get_mut(id) else { return false };
        let outputs = match &mut transaction.machine {
            Machine::Server(server) => server.on_request(request),
            Machine::Answered(_) if request.method == Method::Ack => return true,
            Machine::Answered(response) => {
                if !response.is_empty() {
                    out.send(transaction.path, response.to_vec());
                }
                return false;
            }
            Machine::Client(_) => return false,
        };
        self.perform(now, id, outputs, Some(out));
        false
    }

    /// Sends a response.
    pub fn respond(
        &mut self,
        now: Instant,
        id: TransactionId,
        response: Response,
        out: &mut Outbox,
    ) {
        let Some(transaction) = self.all.get_mut(id) else { return };
        let Machine::Server(server) = &mut transaction.machine else { return };
        let is_invite = server.request().method == Method::Invite;
        let status = response.status;
        let shrinks = status.is_final() && (!is_invite || status.is_success());
        let lasts = if is_invite { Timer::L } else { Timer::J };
        let bytes = shrinks.then(|| build::encode_response(&response));
        match bytes {
            Some(bytes) => {
                // RFC 6026 §7.1: repeats of an INVITE answered 2xx get nothing; its user repeats the 2xx.
                let kept =
                    if is_invite { Box::default() } else { bytes.clone().into_boxed_slice() };
                out.send(transaction.path, bytes);
                transaction.machine = Machine::Answered(kept);
                transaction.timers.clear_all();
                let reliability = reliability(transaction.path);
                let linger = match lasts {
                    Timer::L => self.timing.timeout(),
                    _ => self.timing.timer_j(reliability),
                };
                transaction.timers.set(lasts, now + linger);
                self.arm(id);
            }
            None => {
                let outputs = server.on_tu_response(response);
                self.perform(now, id, outputs, Some(out));
            }
        }
    }

    /// Sends a request with a client transaction of its own. Its top Via must be ours.
    pub fn send(
        &mut self,
        now: Instant,
        request: Request,
        path: Path,
        owner: Owner,
        out: &mut Outbox,
    ) -> Option<TransactionId> {
        let via = request.headers.typed::<Via>()?.ok()?;
        let name = client_transaction_name(via.branch()?, &request.method);
        let (machine, outputs) = ClientTransaction::new(request, reliability(path), self.timing);
        let id = self.all.insert(Transaction {
            machine: Machine::Client(Box::new(machine)),
            name: name.clone(),
            path,
            owner,
            timers: Timers::default(),
            armed: None,
        });
        self.clients.insert(name, id);
        self.ways.insert((path, id));
        self.perform(now, id, outputs, Some(out));
        Some(id)
    }

    /// A response arrived. `false`: it belongs to no transaction of ours.
    pub fn answered(
        &mut self,
        now: Instant,
        name: &[u8],
        response: Response,
        out: &mut Outbox,
    ) -> bool {
        let Some(id) = self.clients.get(name).copied() else { return false };
        let Some(Transaction { machine: Machine::Client(client), .. }) = self.all.get_mut(id)
        else {
            return false;
        };
        let outputs = client.on_response(response);
        self.perform(now, id, outputs, Some(out));
        true
    }

    /// The transport refused what went this way: its waiting requests have failed.
    pub fn way_failed(&mut self, now: Instant, path: Path, out: &mut Outbox) {
        let first = (path, TransactionId::from(KeyData::from_ffi(0)));
        let failed: Vec<TransactionId> = self
            .ways
            .range(first..)
            .take_while(|(way, _)| *way == path)
            .map(|(_, id)| *id)
            .collect();
        for id in failed {
            let Some(Transaction { machine: Machine::Client(client), .. }) = self.all.get_mut(id)
            else {
                continue;
            };
            let outputs = client.on_transport_error();
            self.perform(now, id, outputs, Some(out));
        }
    }

    /// Nobody listens to this dialog's transactions any more.
    pub fn disown(&mut self, id: TransactionId) {
        if let Some(transaction) = self.all.get_mut(id) {
            transaction.owner = Owner::Nobody;
        }
    }

    /// Due timers.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            let Some(transaction) = self.all.get_mut(id) else { continue };
            transaction.armed = None;
            while let Some(timer) =
                self.all.get_mut(id).and_then(|transaction| transaction.timers.pop_due(now))
            {
                self.fire(now, id, timer, out);
            }
            self.arm(id);
        }
    }

    fn fire(&mut self, now: Instant, id: TransactionId, timer: Timer, out: &mut Outbox) {
        let Some(transaction) = self.all.get_mut(id) else { return };
        let outputs = match &mut transaction.machine {
            Machine::Answered(_) => return self.forget(id),
            Machine::Server(server) => server.on_timer(timer),
            Machine::Client(client) => client.on_timer(timer),
        };
        self.perform(now, id, outputs, Some(out));
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        self.due.first().map(|(at, _)| (*at, WHY))
    }

    /// What happened to client transactions, in order.
    pub fn poll_event(&mut self) -> Option<TransactionEvent> {
        self.events.pop_front()
    }

    fn perform(
        &mut self,
        now: Instant,
        id: TransactionId,
        outputs: Vec<Output>,
        mut out: Option<&mut Outbox>,
    ) {
        for output in outputs {
            let Some(transaction) = self.all.get_mut(id) else { return };
            match output {
                Output::Send(message) => {
                    if let Some(out) = out.as_deref_mut() {
                        if matches!(*message, Message::Response(_)) {
                            out.counters.sip_responses_sent += 1;
                        }
                        out.send(transaction.path, build::encode(&message));
                    }
                }
                Output::SetTimer { timer, after } => transaction.timers.set(timer, now + after),
                Output::ClearTimer(timer) => transaction.timers.clear(timer),
                Output::ToTu(event) => self.tell(id, *event),
                Output::Terminated(_) => return self.forget(id),
                _ => {}
            }
        }
        self.arm(id);
    }

    fn tell(&mut self, id: TransactionId, event: TuEvent) {
        let Some(transaction) = self.all.get(id) else { return };
        let Machine::Client(client) = &transaction.machine else { return };
        let outcome = match event {
            TuEvent::Response(response) => Outcome::Response(response),
            TuEvent::Timeout => Outcome::TimedOut,
            TuEvent::TransportError => Outcome::Undeliverable,
            _ => return,
        };
        let method = client.request().method.clone();
        self.events.push_back(TransactionEvent { id, owner: transaction.owner, method, outcome });
    }

    /// Keeps the one entry of a transaction in `due` at its earliest timer.
    fn arm(&mut self, id: TransactionId) {
        let Some(transaction) = self.all.get_mut(id) else { return };
        let next = transaction.timers.next(|_| WHY).map(|(at, _)| at);
        if next == transaction.armed {
            return;
        }
        if let Some(old) = transaction.armed.take() {
            self.due.remove(&(old, id));
        }
        if let Some(next) = next {
            self.due.insert((next, id));
        }
        transaction.armed = next;
    }

    fn forget(&mut self, id: TransactionId) {
        let Some(transaction) = self.all.remove(id) else { return };
        if let Some(at) = transaction.armed {
            self.due.remove(&(at, id));
        }
        let names = match transaction.machine {
            Machine::Client(_) => {
                self.ways.remove(&(transaction.path, id));
                &mut self.clients
            }
            _ => &mut self.servers,
        };
        if names.get(&transaction.name) == Some(&id) {
            names.remove(&transaction.name);
        }
    }
}

fn reliability(path: Path) -> Reliability {
    if path.flow.is_some() { Reliability::Reliable } else { Reliability::Unreliable }
}

const WHY: Why = Why("sip.transaction");
