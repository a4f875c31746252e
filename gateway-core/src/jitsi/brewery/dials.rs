//! Dials and hang-ups that come to a brewery: who may, what is a conference, each answered once and in time.
//!
//!   asked -> refused at once
//!        \-> waiting -> answered (occupant or refusal)        12 s -> refused, and the call ended
//!
//! The focus waits 15 s and then asks the next gateway: a call that is answered later would be a second one.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jid::BareJid;
use minidom::Element;

use super::{BreweryEvent, BreweryOutput, BrewerySettings};
use crate::base::pii::Pii;
use crate::jitsi::stanza::build::element;
use crate::jitsi::stanza::exchange::{Iq, same_address};
use crate::jitsi::stanza::iq::{self, Refusal};
use crate::jitsi::stanza::load::Load;
use crate::jitsi::stanza::ns;
use crate::jitsi::stanza::rayo::{self, Dial, Hangup, PASSWORD_HEADER, ROOM_HEADER, TRANSCRIBER};

/// An answer later than this may be too late: the focus waits 15 s, network and server take their part.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// Answers kept, for requests that come again.
const KEPT_MAX: usize = 64;
/// And for so long.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Calls of one brewery that go on: the gateway's own limit is below.
const LIVE_MAX: usize = 20_000;
/// Addresses of one call: a call that joins anew has another.
const ADDRESSES_MAX: usize = 8;

/// A call that somebody wants, as far as it could be judged here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Number or SIP URI.
    pub to: Pii<String>,
    /// Number to show.
    pub from: Option<Pii<String>>,
    /// The conference's address: room, `@`, one of the hosts.
    pub conference: String,
    /// Its name: what stands before the `@`, without the tenant.
    pub room: String,
    /// `[tenant]` before the name.
    pub tenant: Option<String>,
    /// Its password.
    pub password: Option<Pii<String>>,
    /// All other headers, in order.
    pub headers: Vec<(String, Pii<String>)>,
}

/// Why a dial is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialRefused {
    /// Condition.
    pub refusal: Refusal,
    /// Words, without numbers and names.
    pub text: String,
}

impl DialRefused {
    /// With these words.
    pub fn new(refusal: Refusal, text: impl Into<String>) -> Self {
        Self { refusal, text: text.into() }
    }
}

/// Who asked what.
#[derive(Debug)]
pub(super) struct Dials {
    allowed: Vec<String>,
    hosts: Vec<String>,
    waiting_max: usize,
    tickets: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Addresses of the calls that go on.
    live: BTreeMap<u64, Vec<String>>,
    kept: VecDeque<(Instant, Request, Element)>,
}

/// Sender and id: what makes two requests the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    from: String,
    id: String,
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    asked: Instant,
}

impl Request {
    /// What is needed of the request to answer it.
    fn stub(&self) -> Element {
        let from = Some(&self.from).filter(|from| !from.is_empty());
        element("iq", ns::CLIENT).attr("id", &self.id).maybe("from", from).build()
    }
}

impl Dials {
    pub(super) fn new(settings: &BrewerySettings) -> Self {
        Self {
            allowed: settings.allowed.clone(),
            hosts: settings.hosts.iter().map(|host| host.to_lowercase()).collect(),
            waiting_max: settings.dials_max,
            tickets: 0,
            waiting: BTreeMap::new(),
            live: BTreeMap::new(),
            kept: VecDeque::new(),
        }
    }

    /// Something of Rayo.
    pub(super) fn request(
        &mut self,
        now: Instant,
        iq: &Iq<'_>,
        payload: &Element,
        load: &Load,
        outputs: &mut VecDeque<BreweryOutput>,
    ) {
        let from = iq.from.unwrap_or_default();
        let request = Request { from: from.to_owned(), id: iq.id.to_owned() };
        if self.waiting.values().any(|it| it.request == request) {
            // It is answered once, soon.
            return;
        }
        self.kept.retain(|(at, ..)| now.saturating_duration_since(*at) < KEPT_FOR);
        if let Some((_, _, answer)) = self.kept.iter().find(|(_, it, _)| *it == request) {
            return outputs.push_back(BreweryOutput::Send(answer.clone()));
        }
        let answer = match payload.name() {
            "dial" => match self.judge(from, payload, load) {
                Ok(order) => {
                    self.tickets += 1;
                    self.waiting.insert(self.tickets, Waiting { request, asked: now });
                    let dial = BreweryEvent::Dial(self.tickets, Box::new(order));
                    return outputs.push_back(BreweryOutput::Event(dial));
                }
                Err(refused) => refuse(&request, &refused),
            },
            "hangup" => match self.hang_up(from, payload) {
                Ok(ticket) => {
                    outputs.push_back(BreweryOutput::Event(BreweryEvent::HangUp(ticket)));
                    iq.result()
                }
                Err(refused) => refuse(&request, &refused),
            },
            _ => iq.refuse(iq::FEATURE_NOT_IMPLEMENTED),
        };
        self.keep(now, request, answer.clone());
        outputs.push_back(BreweryOutput::Send(answer));
    }

    fn allows(&self, from: &str) -> bool {
        let bare = from.split_once('/').map_or(from, |(bare, _)| bare);
        !bare.is_empty() && self.allowed.iter().any(|it| same_address(it, bare))
    }

    fn judge(&self, from: &str, payload: &Element, load: &Load) -> Result<Order, DialRefused> {
        if !self.allows(from) {
            return Err(DialRefused::new(iq::FORBIDDEN, "not from there"));
        }
        let bad = |what: &str| DialRefused::new(iq::BAD_REQUEST, what);
        let dial = Dial::read(payload).map_err(|fault| bad(&fault.to_string()))?;
        if dial.to.reveal() == TRANSCRIBER {
            let what = "this gateway does not transcribe";
            return Err(DialRefused::new(iq::NOT_ACCEPTABLE, what));
        }
        if load.is_draining {
            let what = "the gateway is about to stop";
            return Err(DialRefused::new(iq::SERVICE_UNAVAILABLE, what));
        }
        if !load.has_trunk {
            let what = "no trunk can be used";
            return Err(DialRefused::new(iq::SERVICE_UNAVAILABLE, what));
        }
        if self.waiting.len() >= self.waiting_max {
            let what = "too many calls are being made";
            return Err(DialRefused::new(iq::RESOURCE_CONSTRAINT, what));
        }
        self.order(dial)
    }

    fn order(&self, dial: Dial) -> Result<Order, DialRefused> {
        let bad = |what: &str| DialRefused::new(iq::BAD_REQUEST, what);
        let said = dial.header(ROOM_HEADER).map(|value| value.reveal().trim());
        let said = said.ok_or_else(|| bad("no JvbRoomName header"))?;
        let address = BareJid::new(said).map_err(|_| bad("JvbRoomName is no address"))?;
        let node = address.node().ok_or_else(|| bad("JvbRoomName names no room"))?;
        let host = address.domain().as_str().to_lowercase();
        if !self.hosts.contains(&host) {
            let what = "JvbRoomName is of a host we do not serve";
            return Err(DialRefused::new(iq::FORBIDDEN, what));
        }
        let node = node.as_str().to_lowercase();
        let (tenant, room) = match node.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((tenant, room)) => (Some(tenant.to_owned()), room),
            None => (None, node.as_str()),
        };
        if room.is_empty() || tenant.as_ref().is_some_and(String::is_empty) {
            return Err(bad("JvbRoomName names no room"));
        }
        let password = dial.header(PASSWORD_HEADER).filter(|value| !value.reveal().is_empty());
        let ours = |name: &str| {
            [ROOM_HEADER, PASSWORD_HEADER].iter().any(|it| it.eq_ignore_ascii_case(name))
        };
        Ok(Order {
            conference: format!("{node}@{host}"),
            room: room.to_owned(),
            tenant,
            password: password.cloned(),
            headers: dial.headers.iter().filter(|(name, _)| !ours(name)).cloned().collect(),
            to: dial.to,
            from: dial.from,
        })
    }

    fn hang_up(&self, from: &str, payload: &Element) -> Result<u64, DialRefused> {
        if !self.allows(from) {
            return Err(DialRefused::new(iq::FORBIDDEN, "not from there"));
        }
        let said = Hangup::read(payload).and_then(|hangup| hangup.occupant);
        let said = said.ok_or_else(|| DialRefused::new(iq::BAD_REQUEST, "it names no call"))?;
        let is_it = |addresses: &Vec<String>| addresses.iter().any(|it| same_address(it, &said));
        let call = self.live.iter().find(|(_, addresses)| is_it(addresses));
        let none = || DialRefused::new(iq::ITEM_NOT_FOUND, "no such call");
        call.map(|(ticket, _)| *ticket).ok_or_else(none)
    }

    /// The answer as a stanza; `None`: nobody waits for it.
    pub(super) fn answer(
        &mut self,
        ticket: u64,
        answer: Result<String, DialRefused>,
    ) -> Option<Element> {
        let Waiting { request, asked } = self.waiting.remove(&ticket)?;
        let stanza = match answer {
            Ok(occupant) => {
                let mut result = iq::result(&request.stub());
                result.append_child(rayo::reference(&occupant));
                if self.live.len() < LIVE_MAX {
                    self.live.insert(ticket, vec![occupant]);
                }
                result
            }
            Err(refused) => refuse(&request, &refused),
        };
        self.keep(asked, request, stanza.clone());
        Some(stanza)
    }

    pub(super) fn occupant(&mut self, ticket: u64, address: &str) {
        let Some(addresses) = self.live.get_mut(&ticket) else { return };
        if !addresses.iter().any(|it| it == address) {
            addresses.truncate(ADDRESSES_MAX - 1);
            addresses.insert(0, address.to_owned());
        }
    }

    pub(super) fn ended(&mut self, ticket: u64) {
        self.live.remove(&ticket);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().map(|it| it.asked + ANSWER_WITHIN).min()
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        is_up: bool,
        outputs: &mut VecDeque<BreweryOutput>,
    ) {
        let is_due = |it: &Waiting| it.asked + ANSWER_WITHIN <= now;
        let due = self.waiting.iter().filter(|(_, it)| is_due(it)).map(|(ticket, _)| *ticket);
        for ticket in due.collect::<Vec<u64>>() {
            let what = "the call did not get into the room in time";
            let refused = DialRefused::new(iq::REMOTE_SERVER_TIMEOUT, what);
            let stanza = self.answer(ticket, Err(refused)).filter(|_| is_up);
            outputs.extend(stanza.map(BreweryOutput::Send));
            outputs.push_back(BreweryOutput::Event(BreweryEvent::TooLate(ticket)));
        }
    }

    /// Nobody can hear the answers any more.
    pub(super) fn drop_all(&mut self, outputs: &mut VecDeque<BreweryOutput>) {
        for ticket in std::mem::take(&mut self.waiting).into_keys() {
            outputs.push_back(BreweryOutput::Event(BreweryEvent::TooLate(ticket)));
        }
    }

    fn keep(&mut self, at: Instant, request: Request, answer: Element) {
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((at, request, answer));
    }
}

fn refuse(request: &Request, refused: &DialRefused) -> Element {
    iq::refusal_in_words(&request.stub(), refused.refusal, &refused.text)
}
