//! Dials from their order to the end of their call, for all breweries: caps, trunks one after the other, answers.
//!
//!   ordered -> refused at once
//!          \-> trying -> in the room (answered) -> over
//!                ^  \-> the trunk failed: the next one        \-> nobody waits any more: ended
//!
//! A machine: orders go in, [`Act`]s come out; the task carries them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, TrunkId};
use gateway_core::base::pii::Pii;
use gateway_core::call::{CallDirection, Route};
use gateway_core::gateway::{Command, DialOrder, Event, RoomFirst};
use gateway_core::jitsi::brewery::dials::{DialRefused, Order};
use gateway_core::jitsi::stanza::iq;
use gateway_core::leg::backend::{Entry, Role, RoomName};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::Language;

use super::headers;
use super::number::Wanted;
use super::rules::{self, NoWay, Way};
use crate::config::Config;
use crate::config::dial_out::{DialOut, is_user_sign};
use crate::config::number::masked;
use crate::config::rooms::{Label, Rooms};

/// One dial: a brewery's number and the ticket it gave.
pub type Slip = (u32, u64);

/// To be done.
#[derive(Debug)]
pub enum Act {
    /// Begin this call; answer with [`Desk::dialled`].
    Dial(u64, Box<Command>),
    /// Tell a brewery's machine.
    Answer(Slip, Result<String, DialRefused>),
    /// The call is an occupant under another address.
    Occupant(Slip, String),
    /// The call of a dial is over.
    Over(Slip),
    /// End a call.
    End(CallKey, EndReason),
}

/// What the gateway said of calls and trunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A call is an occupant under this address.
    Occupant(CallKey, String),
    /// A call ended: why, its SIP status, and whether a phone was reached: it rang at least.
    Ended(CallKey, EndReason, Option<u16>, bool),
    /// A trunk can be used, or not.
    Trunk(TrunkId, bool),
}

impl Heard {
    /// `None`: of no concern to calls out.
    pub fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::CallOccupant(call, address) => Self::Occupant(*call, address.clone()),
            Event::CallEnded(record) if record.direction == CallDirection::Outbound => {
                let was_reached = record.rang || record.answered.is_some();
                Self::Ended(record.call, record.reason, record.status, was_reached)
            }
            Event::TrunkUsable(trunk, is_usable) => Self::Trunk(*trunk, *is_usable),
            _ => return None,
        })
    }
}

gateway_core::counters! {
    /// What became of dials.
    pub struct DialCounters {
        /// Dials from a brewery that became an occupant of the conference: their phone is called.
        dials_accepted,
        /// Dials refused: not a number.
        dials_bad_number,
        /// Dials refused: denied, not allowed, or no rule for the number.
        dials_not_allowed,
        /// Dials refused: no trunk could be used.
        dials_no_trunk,
        /// Dials refused: too many calls out at once, or in a minute.
        dials_too_many,
        /// Dials refused: the conference did not let the phone in.
        dials_room_refused,
        /// Dials refused: not in the conference in time.
        dials_too_late,
    }
}

/// A trunk, as far as calls out care.
#[derive(Clone, Debug)]
struct Trunk {
    language: Language,
    /// User name we have there.
    user: Option<String>,
    is_down: bool,
}

/// One dial.
#[derive(Debug)]
struct Dialled {
    slip: Slip,
    order: Order,
    wanted: Wanted,
    conference: String,
    ways: VecDeque<Way>,
    call: Option<CallKey>,
    is_answered: bool,
    /// Nobody wants it any more.
    is_unwanted: bool,
    /// Looks in a row at which its call was not there.
    missing: u8,
}

/// The machine.
#[derive(Debug)]
pub struct Desk {
    settings: DialOut,
    rooms: Rooms,
    trunks: Vec<Trunk>,
    dials: BTreeMap<u64, Dialled>,
    by_slip: BTreeMap<Slip, u64>,
    by_call: BTreeMap<CallKey, u64>,
    begun: VecDeque<Instant>,
    numbers: u64,
    counters: DialCounters,
    acts: VecDeque<Act>,
}

impl Desk {
    /// Nobody has dialled yet.
    pub fn new(config: &Config) -> Self {
        let trunk = |trunk: &crate::config::trunk::Trunk| Trunk {
            language: trunk.language,
            user: trunk.sip.credentials.as_ref().map(|it| it.user.clone()),
            is_down: false,
        };
        Self {
            settings: config.dial_out.clone(),
            rooms: config.rooms.clone(),
            trunks: config.trunks.iter().map(trunk).collect(),
            dials: BTreeMap::new(),
            by_slip: BTreeMap::new(),
            by_call: BTreeMap::new(),
            begun: VecDeque::new(),
            numbers: 0,
            counters: DialCounters::default(),
            acts: VecDeque::new(),
        }
    }

    /// A call could go out now.
    pub fn has_trunk(&self) -> bool {
        self.settings.enabled && self.settings.rules.iter().any(|rule| self.is_usable(rule.trunk))
    }

    /// Dials whose calls go on or are being made.
    pub fn len(&self) -> usize {
        self.dials.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.dials.is_empty()
    }

    /// What became of dials.
    pub fn counters(&self) -> &DialCounters {
        &self.counters
    }

    fn is_usable(&self, trunk: TrunkId) -> bool {
        self.trunks.get(usize::from(trunk.0)).is_some_and(|trunk| !trunk.is_down)
    }

    /// Somebody in a conference of that backend wants a call.
    pub fn order(&mut self, now: Instant, slip: Slip, conference: &str, order: Order) {
        match self.judge(now, &order) {
            Ok((wanted, ways)) => {
                self.begun.push_back(now);
                self.numbers += 1;
                let id = self.numbers;
                self.by_slip.insert(slip, id);
                let dialled = Dialled {
                    slip,
                    order,
                    wanted,
                    conference: conference.to_owned(),
                    ways: ways.into(),
                    call: None,
                    is_answered: false,
                    is_unwanted: false,
                    missing: 0,
                };
                self.dials.insert(id, dialled);
                self.try_next(id);
            }
            Err(refused) => self.acts.push_back(Act::Answer(slip, Err(refused))),
        }
    }

    fn judge(&mut self, now: Instant, order: &Order) -> Result<(Wanted, Vec<Way>), DialRefused> {
        let counters = &mut self.counters;
        let Ok(wanted) = Wanted::read(order.to.reveal()) else {
            counters.dials_bad_number += 1;
            return Err(DialRefused::new(iq::BAD_REQUEST, "that is no number"));
        };
        if !self.settings.enabled {
            counters.dials_not_allowed += 1;
            return Err(DialRefused::new(iq::FORBIDDEN, "calls out are switched off"));
        }
        while self.begun.front().is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE) {
            self.begun.pop_front();
        }
        let is_full = self.dials.len() >= self.settings.calls_max;
        if is_full || self.begun.len() >= self.settings.per_minute {
            counters.dials_too_many += 1;
            let what =
                if is_full { "too many calls out" } else { "too many calls out in a minute" };
            return Err(DialRefused::new(iq::RESOURCE_CONSTRAINT, what));
        }
        match rules::ways(&self.settings, &wanted, |trunk| self.is_usable(trunk)) {
            Ok(ways) => Ok((wanted, ways)),
            Err(NoWay::NotAllowed) => {
                self.counters.dials_not_allowed += 1;
                Err(DialRefused::new(iq::FORBIDDEN, "that number may not be called"))
            }
            Err(NoWay::TrunksDown) => {
                self.counters.dials_no_trunk += 1;
                Err(DialRefused::new(iq::SERVICE_UNAVAILABLE, "no trunk can be used"))
            }
        }
    }

    /// By the next trunk. False: there is none left.
    fn try_next(&mut self, id: u64) -> bool {
        let Some(dialled) = self.dials.get_mut(&id) else { return false };
        let Some(way) = dialled.ways.pop_front() else { return false };
        let trunk = self.trunks.get(usize::from(way.trunk.0));
        let linger = self.settings.linger;
        let times = RoomFirst {
            ring_max: self.settings.ring_max,
            linger,
            // Another trunk is tried at once.
            linger_of_trunk: if dialled.ways.is_empty() { linger } else { Duration::ZERO },
            ..RoomFirst::default()
        };
        let command = command(dialled, way, trunk, &self.rooms, times);
        match command {
            Some(command) => self.acts.push_back(Act::Dial(id, Box::new(command))),
            None => {
                let refused = DialRefused::new(iq::BAD_REQUEST, "JvbRoomName names no room");
                self.failed(id, refused);
            }
        }
        true
    }

    /// The gateway took the call, or did not.
    pub fn dialled(&mut self, id: u64, taken: Result<CallKey, String>) {
        let Some(dialled) = self.dials.get_mut(&id) else { return };
        match taken {
            Ok(call) if dialled.is_unwanted => {
                self.acts.push_back(Act::End(call, EndReason::ServiceUnavailable));
                self.over(id);
            }
            Ok(call) => {
                dialled.call = Some(call);
                dialled.missing = 0;
                self.by_call.insert(call, id);
            }
            Err(_) if self.try_next(id) => {}
            Err(why) => {
                tracing::warn!(why, "a call out could not begin");
                self.counters.dials_no_trunk += 1;
                self.failed(id, DialRefused::new(iq::SERVICE_UNAVAILABLE, "no trunk can be used"));
            }
        }
    }

    /// The gateway said something.
    pub fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Trunk(trunk, is_up) => {
                if let Some(trunk) = self.trunks.get_mut(usize::from(trunk.0)) {
                    trunk.is_down = !is_up;
                }
            }
            Heard::Occupant(call, address) => {
                let Some(id) = self.by_call.get(&call) else { return };
                let Some(dialled) = self.dials.get_mut(id) else { return };
                let is_first = !std::mem::replace(&mut dialled.is_answered, true);
                let slip = dialled.slip;
                if is_first {
                    self.counters.dials_accepted += 1;
                    self.acts.push_back(Act::Answer(slip, Ok(address)));
                } else {
                    self.acts.push_back(Act::Occupant(slip, address));
                }
            }
            Heard::Ended(call, reason, status, was_reached) => {
                let Some(id) = self.by_call.remove(&call) else { return };
                self.ended(id, reason, status, was_reached);
            }
        }
    }

    fn ended(&mut self, id: u64, reason: EndReason, status: Option<u16>, was_reached: bool) {
        let Some(dialled) = self.dials.get_mut(&id) else { return };
        dialled.call = None;
        // No phone rings twice.
        let trunk_failed = !was_reached && status.is_some_and(is_of_trunk);
        if trunk_failed && !dialled.is_unwanted && self.try_next(id) {
            return;
        }
        let is_answered = self.dials.get(&id).is_some_and(|it| it.is_answered || it.is_unwanted);
        if is_answered {
            return self.over(id);
        }
        self.counters.dials_room_refused += 1;
        self.failed(id, refused(reason));
    }

    fn failed(&mut self, id: u64, refused: DialRefused) {
        if let Some(dialled) = self.dials.get(&id).filter(|it| !it.is_answered) {
            self.acts.push_back(Act::Answer(dialled.slip, Err(refused)));
        }
        self.over(id);
    }

    fn over(&mut self, id: u64) {
        let Some(dialled) = self.dials.remove(&id) else { return };
        if self.by_slip.get(&dialled.slip) == Some(&id) {
            self.by_slip.remove(&dialled.slip);
        }
        if let Some(call) = dialled.call {
            self.by_call.remove(&call);
        }
        self.acts.push_back(Act::Over(dialled.slip));
    }

    /// Nobody waits for the answer any more.
    pub fn too_late(&mut self, slip: Slip) {
        if let Some(id) = self.by_slip.get(&slip).copied() {
            self.counters.dials_too_late += 1;
            self.unwanted(id, EndReason::ServiceUnavailable);
        }
    }

    /// Somebody wants it ended.
    pub fn hang_up(&mut self, slip: Slip) {
        if let Some(id) = self.by_slip.get(&slip).copied() {
            self.unwanted(id, EndReason::Operator);
        }
    }

    /// A brewery was removed: what it dialled goes on, and nobody asks for it any more.
    pub fn seat_gone(&mut self, number: u32) {
        self.by_slip.retain(|(seat, _), _| *seat != number);
    }

    fn unwanted(&mut self, id: u64, reason: EndReason) {
        let Some(dialled) = self.dials.get_mut(&id) else { return };
        dialled.is_unwanted = true;
        // A call that is not taken yet is ended when it is.
        self.acts.extend(dialled.call.map(|call| Act::End(call, reason)));
    }

    /// Calls that are there. One that is missing twice is over: its end was lost on the way here.
    pub fn alive(&mut self, calls: &BTreeSet<CallKey>) {
        let mut lost = Vec::new();
        for dialled in self.dials.values_mut() {
            let Some(call) = dialled.call else { continue };
            dialled.missing = if calls.contains(&call) { 0 } else { dialled.missing + 1 };
            if dialled.missing >= MISSING_MAX {
                lost.push(call);
            }
        }
        for call in lost {
            self.heard(Heard::Ended(call, EndReason::Bug, None, true));
        }
    }

    /// The next thing to do.
    pub fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }
}

/// The trunk's fault, not the number's: another may do.
fn is_of_trunk(status: u16) -> bool {
    status == 408 || (500..600).contains(&status)
}

/// Why the room was not entered, in words for who dialled.
fn refused(reason: EndReason) -> DialRefused {
    let (refusal, text) = match reason {
        EndReason::RoomFull => (iq::RESOURCE_CONSTRAINT, "the room is full"),
        EndReason::LobbyDenied | EndReason::Kicked => (iq::FORBIDDEN, "the room did not let it in"),
        EndReason::PinRefused | EndReason::PinNotGiven => {
            (iq::FORBIDDEN, "the room wants another password")
        }
        EndReason::Forbidden => (iq::FORBIDDEN, "the room did not let it in"),
        EndReason::NotFound | EndReason::RoomEnded | EndReason::HostNeverCame => {
            (iq::ITEM_NOT_FOUND, "there is no such conference")
        }
        EndReason::Overloaded | EndReason::NoResources => {
            (iq::RESOURCE_CONSTRAINT, "the gateway is at its limit")
        }
        EndReason::Draining => (iq::SERVICE_UNAVAILABLE, "the gateway is about to stop"),
        _ => (iq::SERVICE_UNAVAILABLE, "the room could not be joined"),
    };
    DialRefused::new(refusal, text)
}

/// `None`: the room's name cannot be.
fn command(
    dialled: &Dialled,
    way: Way,
    trunk: Option<&Trunk>,
    rooms: &Rooms,
    times: RoomFirst,
) -> Option<Command> {
    let order = &dialled.order;
    let room = RoomName::new(&order.room).ok()?;
    let named = order.from.as_ref().map(|from| from.reveal().as_str());
    let named = named.or_else(|| headers::from(order)).map(str::trim);
    let named = named.filter(|from| !from.is_empty() && from.chars().all(is_user_sign));
    let from = way.from.or_else(|| named.map(str::to_owned));
    let from = from.or_else(|| trunk?.user.clone()).unwrap_or_else(|| NOBODY.to_owned());
    let rules = rooms.rules(&room);
    let language = rules.language.or(trunk.map(|trunk| trunk.language)).unwrap_or_default();
    Some(Command::Dial {
        trunk: way.trunk,
        target: way.target,
        from_user: Pii::new(from),
        from_name: Pii::default(),
        headers: headers::for_phone(order),
        route: Box::new(Route {
            backend: dialled.conference.clone(),
            policy: rules.policy,
            room,
            role: Role::Guest,
            label: label(rules.label, &dialled.wanted.number),
            language,
            length_max: None,
            note: Some("dial".to_owned()),
            entry: Entry {
                password: order.password.clone(),
                tenant: order.tenant.clone(),
                extra: headers::for_room(order),
                ..Entry::default()
            },
        }),
        keys: dialled.wanted.keys.clone(),
        quiet: false,
        order: DialOrder::RoomFirst(times),
    })
}

/// What others in the room see of the number.
fn label(label: Label, number: &str) -> Pii<String> {
    Pii::new(match label {
        Label::None => "Phone".to_owned(),
        Label::Full => number.to_owned(),
        Label::Masked => format!("Phone ({})", masked(number)),
    })
}

const MINUTE: Duration = Duration::from_secs(60);
/// Looks are a second apart.
const MISSING_MAX: u8 = 3;
/// From, where nobody has a number.
const NOBODY: &str = "weebee";

#[cfg(test)]
mod tests;
