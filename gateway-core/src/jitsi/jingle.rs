//! The Jingle side of one leg in one room: offers of the focus and our answers (XEP-0166, as Jicofo lives it).
//!
//! Only the focus of this room may offer; a new offer replaces the session that is, as Jicofo offers anew after its own
//! restart without ending the old one. Each request is answered at once, so that the focus never waits for media.
//! Never says `ice-state failed`: Jicofo of 2026-08 then loses the leg. Asks for an ICE restart in place or for a new
//! session instead, at most every 5 s and 5 times a minute.
//!
//!   Idle -> Awaiting -> Offered -> Accepting -> Active     an offer: any -> Offered     its end: any -> Awaiting or Idle

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use tracing::debug;

use self::answer::Known;
use self::limiter::RestartLimiter;
use super::stanza::build::element;
use super::stanza::jingle::{Action, BridgeSession, Jingle, JingleFault, Reason};
use super::stanza::{iq, ns};
use crate::base::limits::OUTPUTS_PENDING_MAX;
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::base::timers::{Timers, earliest};

mod answer;
mod event;
mod limiter;
#[cfg(test)]
mod tests;

pub use event::*;

/// Who we are and whom we listen to.
#[derive(Clone, Debug)]
pub struct JingleConfig {
    /// The focus as occupant of our room: `room@muc.example/focus`.
    pub focus: FullJid,
    /// We as occupant of the room.
    pub me: FullJid,
    /// Header extensions we understand, by URI: those of them that are offered are accepted.
    pub extensions: Vec<String>,
}

/// The machine.
#[derive(Debug)]
pub struct JingleSession {
    config: JingleConfig,
    state: State,
    serial: SessionSerial,
    asked: BTreeMap<String, Asked>,
    timers: Timers<Timer>,
    restarts: RestartLimiter,
    ice_restarts: RestartLimiter,
    outputs: VecDeque<JingleOutput>,
    counters: JingleCounters,
    rng: Rng,
}

#[derive(Debug)]
enum State {
    /// No session; none is waited for (an offer is taken all the same).
    Idle,
    /// No session; one shall come.
    Awaiting,
    /// Our owner has to answer.
    Offered(Known),
    /// Our answer is on its way.
    Accepting(Known),
    /// Accepted.
    Active(Known),
}

/// A request of ours that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Asked {
    what: Request,
    session: SessionSerial,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// An offer should have come.
    Offer,
    /// New ICE credentials of the bridge should have come.
    IceRestart,
    /// A restart may be asked for again.
    RestartAllowed,
    /// An ICE restart may be asked for again.
    IceRestartAllowed,
}

impl JingleSession {
    /// No session yet.
    pub fn new(config: JingleConfig, rng: Rng) -> Self {
        Self {
            config,
            state: State::Idle,
            serial: SessionSerial(0),
            asked: BTreeMap::new(),
            timers: Timers::default(),
            restarts: RestartLimiter::default(),
            ice_restarts: RestartLimiter::default(),
            outputs: VecDeque::new(),
            counters: JingleCounters::default(),
            rng,
        }
    }

    /// A stanza came. True: it was for us and is dealt with.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Element) -> bool {
        let (Some(kind), Some(id)) = (iq::kind(stanza), stanza.attr("id")) else { return false };
        let from = stanza.attr("from").unwrap_or_default();
        if kind.is_answer() {
            // Only whom we asked may answer.
            if from != self.config.focus.as_str() {
                return false;
            }
            let Some(asked) = self.asked.remove(id) else { return false };
            self.on_answer(now, asked, iq::error(stanza));
            return true;
        }
        let Some(jingle) = stanza.get_child("jingle", ns::JINGLE) else { return false };
        let room = self.config.focus.as_str().split('/').next().unwrap_or_default();
        if from.split('/').next() != Some(room) || kind != iq::Kind::Set {
            return false;
        }
        if from != self.config.focus.as_str() {
            // Browsers offer each other a session of their own; we have none to give.
            self.counters.jingle_from_strangers += 1;
            self.send(iq::refusal(stanza, iq::SERVICE_UNAVAILABLE));
            return true;
        }
        match Jingle::read(jingle) {
            Ok(jingle) => self.on_request(now, stanza, jingle),
            Err(fault) => {
                self.counters.jingle_malformed += 1;
                self.send(iq::refusal(
                    stanza,
                    match fault {
                        JingleFault::NoSession => iq::BAD_REQUEST,
                        JingleFault::UnknownAction => iq::FEATURE_NOT_IMPLEMENTED,
                    },
                ));
            }
        }
        true
    }

    /// What our owner wants. What is about a session that is no more does nothing.
    pub fn command(&mut self, now: Instant, command: JingleCommand) {
        match command {
            JingleCommand::ExpectOffer => {
                if matches!(self.state, State::Idle | State::Awaiting) {
                    self.await_offer(now, "we are in the room");
                }
            }
            JingleCommand::Accept(answer) => self.accept(now, &answer),
            JingleCommand::AnswerIceRestart { session, transport } => {
                if let Some(known) = self.active(session) {
                    let jingle = known.transport_info(transport);
                    self.ask(now, Request::IceAnswer, &jingle);
                }
            }
            JingleCommand::ChangeSource { session, remove, add } => {
                let Some(known) = self.active(session) else { return };
                let (remove, add) = known.change_source(&remove, &add);
                self.ask(now, Request::Sources, &remove);
                self.ask(now, Request::Sources, &add);
            }
            JingleCommand::RequestIceRestart(session) => self.request_ice_restart(now, session),
            JingleCommand::RequestRestart => self.request_restart(now),
            JingleCommand::Terminate(reason) => {
                if let Some(known) = self.known() {
                    let mut jingle = Jingle::new(Action::SessionTerminate, &known.sid);
                    let id = known.bridge_session.clone();
                    jingle.bridge_session =
                        id.map(|id| BridgeSession { id: Some(id), ..Default::default() });
                    jingle.reason = Some(Reason { condition: reason.to_owned(), text: None });
                    self.ask(now, Request::Terminate, &jingle);
                }
                self.enter(State::Idle, "we end it");
            }
        }
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Offer => {
                    self.enter(State::Idle, "no offer came");
                    self.tell(JingleEvent::NoOffer);
                }
                Timer::IceRestart => self.tell(JingleEvent::IceRestartFailed(Failure::NoAnswer)),
                Timer::RestartAllowed => self.request_restart(now),
                Timer::IceRestartAllowed => self.request_ice_restart(now, self.serial),
            }
        }
        let late: Vec<String> = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            if let Some(asked) = self.asked.remove(&id) {
                self.failed(now, asked, Failure::NoAnswer);
            }
        }
    }

    /// What to send and what happened, in order.
    pub fn poll_output(&mut self) -> Option<JingleOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let reply = self.asked.values().map(|asked| asked.until).min();
        let timers = self.timers.next(|timer| match timer {
            Timer::Offer => Why("jitsi.offer_wait"),
            Timer::IceRestart => Why("jitsi.ice_restart_wait"),
            Timer::RestartAllowed => Why("jitsi.restart_allowed"),
            Timer::IceRestartAllowed => Why("jitsi.ice_restart_allowed"),
        });
        earliest(timers, reply.map(|at| (at, Why("jitsi.jingle_reply"))))
    }

    /// What it met.
    pub fn counters(&self) -> JingleCounters {
        self.counters
    }

    /// Where it stands, for people: name of the state and number of the session.
    pub fn snapshot(&self) -> (&'static str, SessionSerial) {
        (self.state.name(), self.serial)
    }

    fn on_request(&mut self, now: Instant, stanza: &Element, jingle: Jingle) {
        if jingle.action == Action::SessionInitiate {
            self.send(iq::result(stanza));
            return self.on_offer(now, &jingle);
        }
        let Some(known) = self.known().filter(|known| known.sid == jingle.sid) else {
            self.counters.jingle_unknown_session += 1;
            let unknown = element("unknown-session", ns::JINGLE_ERRORS);
            return self.send(iq::refusal_with(stanza, iq::ITEM_NOT_FOUND, unknown.build()));
        };
        let session = known.serial;
        match jingle.action {
            Action::SessionTerminate => {
                self.send(iq::result(stanza));
                self.on_terminate(now, session, jingle.reason);
            }
            Action::TransportInfo => {
                self.send(iq::result(stanza));
                self.on_transport_info(session, &jingle);
            }
            Action::TransportReplace => {
                self.send(iq::result(stanza));
                self.on_transport_replace(session, &jingle);
            }
            Action::SourceAdd => {
                self.send(iq::result(stanza));
                self.tell(JingleEvent::SourcesAdded { session, sources: jingle.sources() });
            }
            Action::SourceRemove => {
                self.send(iq::result(stanza));
                self.tell(JingleEvent::SourcesRemoved { session, sources: jingle.sources() });
            }
            Action::SessionInfo => self.send(iq::result(stanza)),
            // Answers to what only the other side may offer.
            Action::SessionInitiate
            | Action::SessionAccept
            | Action::TransportAccept
            | Action::TransportReject => {
                self.counters.jingle_malformed += 1;
                self.send(iq::refusal(stanza, iq::BAD_REQUEST));
            }
        }
    }

    fn on_offer(&mut self, now: Instant, jingle: &Jingle) {
        self.counters.jingle_offers += 1;
        self.serial = SessionSerial(self.serial.0 + 1);
        self.timers.clear_all();
        match Offer::read(self.serial, jingle) {
            Ok(offer) => {
                self.enter(State::Offered(Known::new(self.serial, jingle)), "session-initiate");
                self.tell(JingleEvent::Offered(Box::new(offer)));
            }
            Err(fault) => {
                // A session that cannot carry sound: the focus must not believe that we are in it.
                let mut end = Jingle::new(Action::SessionTerminate, &jingle.sid);
                let condition = "unsupported-applications".to_owned();
                end.reason = Some(Reason { condition, text: Some(fault.to_string()) });
                self.ask(now, Request::Terminate, &end);
                self.enter(State::Idle, "an offer without use");
                self.tell(JingleEvent::UselessOffer(fault));
            }
        }
    }

    fn on_terminate(&mut self, now: Instant, session: SessionSerial, reason: Option<Reason>) {
        let reason = reason.unwrap_or(Reason { condition: "success".to_owned(), text: None });
        // Alone in the room: the next offer comes with the next participant.
        if reason.condition == "expired" {
            self.enter(State::Idle, "expired");
        } else {
            self.await_offer(now, "session-terminate");
        }
        self.tell(JingleEvent::Terminated { session, reason });
    }

    fn on_transport_info(&mut self, session: SessionSerial, jingle: &Jingle) {
        let Some(transport) = jingle.transport() else { return };
        match (transport.generation, transport.credentials.is_some()) {
            (Some(_), true) => {
                self.timers.clear(Timer::IceRestart);
                self.tell(JingleEvent::IceRestarted { session, transport });
            }
            _ => {
                let candidates = transport.candidates;
                self.tell(JingleEvent::Candidates { session, candidates });
            }
        }
    }

    fn on_transport_replace(&mut self, session: SessionSerial, jingle: &Jingle) {
        match Offer::read(session, jingle) {
            Ok(offer) => {
                let known = Known::new(session, jingle);
                self.enter(State::Offered(known.replacing()), "transport-replace");
                self.tell(JingleEvent::TransportReplaced(Box::new(offer)));
            }
            Err(_) => self.counters.jingle_malformed += 1,
        }
    }

    fn on_answer(&mut self, now: Instant, asked: Asked, error: Option<iq::Error>) {
        if let Some(error) = error {
            return self.failed(now, asked, Failure::Refused(error));
        }
        if asked.session != self.serial {
            return;
        }
        match asked.what {
            Request::Accept => {
                let State::Accepting(known) = std::mem::replace(&mut self.state, State::Idle)
                else {
                    return;
                };
                let session = known.serial;
                self.enter(State::Active(known), "accept acknowledged");
                self.tell(JingleEvent::Accepted(session));
            }
            Request::IceRestart => self.timers.set(Timer::IceRestart, now + ICE_RESTART_WAIT),
            Request::IceAnswer | Request::Restart | Request::Terminate | Request::Sources => {}
        }
    }

    /// A request of ours was refused or not answered.
    fn failed(&mut self, now: Instant, asked: Asked, failure: Failure) {
        self.counters.jingle_requests_failed += 1;
        let _ = now;
        if asked.session != self.serial {
            return;
        }
        match asked.what {
            // Jicofo lets an accept without answer stand; a refused one never will be a session.
            Request::Accept => {
                if matches!(failure, Failure::Refused(_)) {
                    self.enter(State::Idle, "accept refused");
                }
                self.tell(JingleEvent::AcceptFailed { session: asked.session, failure });
            }
            Request::IceRestart => self.tell(JingleEvent::IceRestartFailed(failure)),
            Request::Restart => {
                // The session is gone nevertheless, and no offer comes.
                if matches!(self.state, State::Awaiting) {
                    self.enter(State::Idle, "restart refused");
                }
                self.tell(JingleEvent::RestartFailed(failure));
            }
            Request::Sources => {
                self.tell(JingleEvent::SourceRefused { session: asked.session, failure });
            }
            Request::IceAnswer | Request::Terminate => {}
        }
    }

    fn accept(&mut self, now: Instant, answer: &Answer) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Offered(known) if known.serial == answer.session => {
                let jingle = known.accept(&self.config, answer);
                self.state = State::Accepting(known);
                self.ask(now, Request::Accept, &jingle);
            }
            other => {
                self.counters.jingle_commands_stale += 1;
                self.state = other;
            }
        }
    }

    fn request_ice_restart(&mut self, now: Instant, session: SessionSerial) {
        let Some(known) = self.active(session) else { return };
        let mut jingle = Jingle::new(Action::SessionInfo, &known.sid);
        let id = known.bridge_session.clone();
        jingle.bridge_session = Some(BridgeSession { id, ice_restart: true, ..Default::default() });
        match self.ice_restarts.allowed_at(now) {
            at if at > now => self.timers.set(Timer::IceRestartAllowed, at),
            _ => {
                self.ice_restarts.note(now);
                self.ask(now, Request::IceRestart, &jingle);
            }
        }
    }

    fn request_restart(&mut self, now: Instant) {
        let Some(known) = self.known() else {
            return self.tell(JingleEvent::RestartFailed(Failure::NoSession));
        };
        let at = self.restarts.allowed_at(now);
        if at > now {
            return self.timers.set(Timer::RestartAllowed, at);
        }
        let mut jingle = Jingle::new(Action::SessionTerminate, &known.sid);
        let id = known.bridge_session.clone();
        jingle.bridge_session = Some(BridgeSession { id, restart: true, ..Default::default() });
        jingle.reason = Some(Reason {
            condition: "connectivity-error".to_owned(),
            // What browsers say.
            text: Some("ICE FAILED".to_owned()),
        });
        self.restarts.note(now);
        self.ask(now, Request::Restart, &jingle);
        self.await_offer(now, "restart asked for");
    }

    fn await_offer(&mut self, now: Instant, cause: &'static str) {
        self.enter(State::Awaiting, cause);
        self.timers.set(Timer::Offer, now + OFFER_WAIT);
    }

    fn ask(&mut self, now: Instant, what: Request, jingle: &Jingle) {
        if self.asked.len() >= ASKED_MAX {
            self.asked.pop_first();
        }
        let id = self.rng.token(16);
        let stanza = iq::set(&id, self.config.focus.as_str(), jingle.write());
        let asked = Asked { what, session: self.serial, until: now + REPLY_WAIT };
        self.asked.insert(id, asked);
        self.send(stanza);
    }

    fn enter(&mut self, state: State, cause: &'static str) {
        debug!(session = self.serial.0, from = self.state.name(), to = state.name(), cause);
        if matches!(state, State::Idle | State::Awaiting) {
            self.timers.clear_all();
        }
        self.state = state;
    }

    fn known(&self) -> Option<&Known> {
        match &self.state {
            State::Idle | State::Awaiting => None,
            State::Offered(known) | State::Accepting(known) | State::Active(known) => Some(known),
        }
    }

    /// The session, if it is that one and answered.
    fn active(&mut self, session: SessionSerial) -> Option<&Known> {
        let found = match &self.state {
            State::Accepting(known) | State::Active(known) => Some(known),
            _ => None,
        };
        let found = found.filter(|known| known.serial == session);
        if found.is_none() {
            self.counters.jingle_commands_stale += 1;
        }
        found
    }

    fn send(&mut self, stanza: Element) {
        self.put(JingleOutput::Send(stanza));
    }

    fn tell(&mut self, event: JingleEvent) {
        self.put(JingleOutput::Event(event));
    }

    fn put(&mut self, output: JingleOutput) {
        debug_assert!(
            self.outputs.len() < OUTPUTS_PENDING_MAX,
            "the owner drains after each input"
        );
        self.outputs.push_back(output);
    }
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Awaiting => "Awaiting",
            Self::Offered(_) => "Offered",
            Self::Accepting(_) => "Accepting",
            Self::Active(_) => "Active",
        }
    }
}

/// An offer should come so soon. The focus needs 16 s to see that a bridge is dead; then we ask ourselves.
pub const OFFER_WAIT: Duration = Duration::from_secs(30);
/// The focus answers our requests so soon, or never: its own patience.
pub const REPLY_WAIT: Duration = Duration::from_secs(15);
/// The bridge gives an unanswered ICE restart up after so long.
pub const ICE_RESTART_WAIT: Duration = Duration::from_secs(20);
/// Requests of ours without answer. More: the one with the smallest name is no longer waited for.
const ASKED_MAX: usize = 16;
