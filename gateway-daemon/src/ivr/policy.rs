//! What configuration means for one call: which number leads where, in which language, under which name.

use std::time::Duration;

use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use gateway_core::call::Route;
use gateway_core::leg::backend::{Entry, Role, RoomName};
use gateway_core::media::clip::Language;
use gateway_core::sip::endpoint::InviteFacts;
use tracing::info;

use super::door::{self, BadDoor, Site};
use crate::config::Config;
use crate::config::door::Door;
use crate::config::number::masked;
use crate::config::rooms::Label;
use crate::config::typed::{Did, PinSettings, Rooms};
use crate::hooks::route::Decision;
use crate::pin::Grant;
use crate::pin::ticket::{self, TicketAsk};

/// The rules of the dialogue.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Trunks, in the order of their ids.
    pub trunks: Vec<TrunkRules>,
    /// Jitsi deployments, as headers may call them.
    pub sites: Vec<Site>,
    /// One of them at least has visitors.
    pub visitors: bool,
    /// Numbers, first match first.
    pub dids: Vec<Did>,
    /// A number without a `[[did]]`: ask for a PIN (true) or refuse.
    pub ask_unmatched: bool,
    /// Policies of rooms.
    pub rooms: Rooms,
    /// PIN rules.
    pub pin: PinRules,
}

/// What the dialogue knows of a trunk.
#[derive(Clone, Debug)]
pub struct TrunkRules {
    /// Name.
    pub name: String,
    /// Its headers are believed.
    pub trusted: bool,
    /// Language of its callers.
    pub language: Language,
    /// Tickets that its calls show are looked at.
    pub tickets: bool,
    /// What its callers bring.
    pub door: Door,
}

/// Rules of asking for a PIN.
#[derive(Clone, Copy, Debug)]
pub struct PinRules {
    /// An answer is complete at this many digits, after a pause.
    pub digits: u8,
    /// Wrong PINs per call.
    pub tries: u8,
    /// Patience for the first digit.
    pub first_digit: Duration,
    /// Patience between digits.
    pub between_digits: Duration,
}

/// Where a new call goes.
#[derive(Clone, Debug)]
pub enum Way {
    /// Into a room, without a PIN.
    Room(Box<Route>),
    /// Ask for a PIN.
    Ask(Asking),
    /// No such number.
    Nowhere,
}

/// What a PIN dialogue must know.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Language of the words until the PIN says otherwise.
    pub language: Language,
    /// Only PINs of this room are valid.
    pub room: Option<RoomName>,
    /// Longest call, where the number says so.
    pub length_max: Option<Duration>,
    /// Number of the caller; `None`: withheld.
    pub caller: Option<Pii<String>>,
    /// Name that others see in place of the room's label.
    pub name: Option<Pii<String>>,
    /// Where the rooms of this number are; `None`: as the room says.
    pub backend: Option<String>,
    /// What he brings to the door.
    pub entry: Entry,
    /// The ticket that the call shows in place of a PIN.
    pub ticket: Option<TicketAsk>,
}

impl Policy {
    /// The rules that a configuration gives.
    pub fn new(config: &Config) -> Self {
        let trunks = config.trunks.iter().map(|trunk| TrunkRules {
            name: trunk.sip.name.clone(),
            trusted: trunk.sip.trusted,
            language: trunk.language,
            tickets: trunk.tickets,
            door: trunk.door.clone(),
        });
        Self {
            trunks: trunks.collect(),
            sites: door::sites(config),
            visitors: config.jitsi.iter().any(|it| it.settings.visitor_domain.is_some()),
            dids: config.dids.clone(),
            ask_unmatched: config.sip.ask_unmatched,
            rooms: config.rooms.clone(),
            pin: PinRules::new(&config.pin),
        }
    }

    /// Where a call goes: a header of a trusted trunk, else the dialled number, else the ticket or the PIN.
    pub fn way(&self, trunk: TrunkId, facts: &InviteFacts) -> Way {
        let Some(rules) = self.trunks.get(usize::from(trunk.0)) else { return Way::Nowhere };
        let did = self.did(rules, facts);
        let (asking, named) = match self.brought(rules, did, facts) {
            Ok(brought) => brought,
            Err(why) => {
                info!(trunk = rules.name, call_id = facts.call_id, %why, "a call leads nowhere");
                return Way::Nowhere;
            }
        };
        if let Some(room) = named {
            return self.room(&asking, room, Role::Guest, "header");
        }
        match did {
            Some(Did { ask_pin: false, room: Some(room), role, .. }) => {
                self.room(&asking, room.clone(), *role, "number")
            }
            Some(_) => Way::Ask(asking),
            None => match usual_room(&rules.door, facts) {
                Some(room) => self.room(&asking, room, Role::Guest, "trunk"),
                None if self.ask_unmatched => Way::Ask(asking),
                None => Way::Nowhere,
            },
        }
    }

    /// What this caller brings, and the room that a header names.
    fn brought(
        &self,
        rules: &TrunkRules,
        did: Option<&Did>,
        facts: &InviteFacts,
    ) -> Result<(Asking, Option<RoomName>), BadDoor> {
        let mut asking = self.asking(rules, did, facts);
        if !rules.trusted {
            return Ok((asking, None));
        }
        let asked = door::read(&rules.door, &self.sites, facts)?;
        if asked.entry.visitor && !self.visitors {
            info!(trunk = rules.name, call_id = facts.call_id, "visitors are not served: he joins");
        }
        asking.backend = asked.backend.or(asking.backend);
        asking.entry = Entry { nick: asking.entry.nick, ..asked.entry };
        Ok((asking, asked.room))
    }

    fn did(&self, rules: &TrunkRules, facts: &InviteFacts) -> Option<&Did> {
        self.dids.iter().find(|did| {
            did.number.matches(facts.request_user.reveal())
                && did.trunk.as_ref().is_none_or(|name| *name == rules.name)
        })
    }

    /// What a PIN dialogue with this caller must know.
    fn asking(&self, rules: &TrunkRules, did: Option<&Did>, facts: &InviteFacts) -> Asking {
        let room = did.and_then(|did| did.room.clone());
        let ticket = rules.tickets.then(|| shown_ticket(facts)).flatten();
        Asking {
            language: did.and_then(|did| did.language).unwrap_or(rules.language),
            ticket: ticket.map(|text| TicketAsk {
                text,
                trunk: rules.name.clone(),
                room: room.clone(),
            }),
            room,
            length_max: did.and_then(|did| did.length_max),
            caller: caller(facts),
            name: rules.door.show_names.then(|| shown_name(facts)).flatten(),
            backend: did.and_then(|did| did.backend.clone()),
            entry: Entry { nick: caller(facts), ..Entry::default() },
        }
    }

    /// Where a call goes when a program has said so; `Err`: nowhere, with words in this language.
    pub fn decided(
        &self,
        trunk: TrunkId,
        facts: &InviteFacts,
        decision: &Decision,
    ) -> Result<Way, Language> {
        let Some(rules) = self.trunks.get(usize::from(trunk.0)) else { return Ok(Way::Nowhere) };
        // What a program decides counts, whatever the headers say of the room.
        let did = self.did(rules, facts);
        let brought = self.brought(rules, did, facts).map(|(asking, _)| asking);
        let mut asking = brought.unwrap_or_else(|_| self.asking(rules, did, facts));
        let (Decision::Join { language, .. }
        | Decision::Pin { language, .. }
        | Decision::Refuse { language, .. }) = decision;
        asking.language = language.unwrap_or(asking.language);
        match decision {
            Decision::Join { room, role, label, .. } => {
                let mut route = self.route(&asking, room.clone(), *role, "hook".to_owned());
                route.label = label.clone().unwrap_or(route.label);
                route.language = language.unwrap_or(route.language);
                Ok(Way::Room(route))
            }
            Decision::Pin { room, .. } => {
                asking.room = room.clone().or(asking.room);
                if let Some(ticket) = &mut asking.ticket {
                    ticket.room.clone_from(&asking.room);
                }
                Ok(Way::Ask(asking))
            }
            Decision::Refuse { .. } => Err(asking.language),
        }
    }

    /// The route of a caller with a valid PIN, or with a ticket that stands for it; `what` it was.
    pub fn granted(&self, asking: &Asking, grant: Grant, what: &str) -> Box<Route> {
        let note = format!("{what}:{}", grant.id);
        let mut route = self.route(asking, grant.room, grant.role, note);
        if let Some(owner) = grant.owner {
            route.label = owner;
        }
        if let Some(language) = grant.language {
            route.language = language;
        }
        route
    }

    /// The route of a caller who may enter `room`.
    fn route(&self, asking: &Asking, room: RoomName, role: Role, note: String) -> Box<Route> {
        let rules = self.rooms.rules(&room);
        Box::new(Route {
            backend: asking.backend.clone().unwrap_or_else(|| rules.backend.clone()),
            policy: rules.policy,
            room,
            role,
            label: asking
                .name
                .clone()
                .unwrap_or_else(|| label(rules.label, asking.caller.as_ref())),
            language: rules.language.unwrap_or(asking.language),
            length_max: asking.length_max,
            note: Some(note),
            entry: asking.entry.clone(),
        })
    }

    fn room(&self, asking: &Asking, room: RoomName, role: Role, note: &str) -> Way {
        Way::Room(self.route(asking, room, role, note.to_owned()))
    }
}

impl PinRules {
    fn new(pin: &PinSettings) -> Self {
        Self {
            digits: pin.digits,
            tries: pin.tries_per_call,
            first_digit: pin.first_digit,
            between_digits: pin.between_digits,
        }
    }
}

/// Where a call goes that nothing else names a room for.
fn usual_room(door: &Door, facts: &InviteFacts) -> Option<RoomName> {
    let dialled = RoomName::new(facts.request_user.reveal()).ok();
    dialled.filter(|_| door.request_user_rooms).or_else(|| door.default_room.clone())
}

/// The display name of a caller who shows one.
fn shown_name(facts: &InviteFacts) -> Option<Pii<String>> {
    let name = facts.caller_name.reveal().trim();
    let name: String = name.chars().filter(|sign| !sign.is_control()).take(NAME_MAX).collect();
    (!name.is_empty()).then(|| Pii::new(name))
}

/// The ticket of a call. An empty header is none: a dialplan wrote down a variable that was never set.
fn shown_ticket(facts: &InviteFacts) -> Option<Pii<String>> {
    let is_ticket = |name: &str| name.eq_ignore_ascii_case(ticket::HEADER);
    let (_, value) = facts.headers.iter().find(|(name, _)| is_ticket(name))?;
    let text = value.reveal().trim();
    (!text.is_empty()).then(|| Pii::new(text.to_owned()))
}

/// The number of a caller who shows it.
fn caller(facts: &InviteFacts) -> Option<Pii<String>> {
    let withheld = facts.anonymous || facts.caller.reveal().is_empty();
    (!withheld).then(|| facts.caller.clone())
}

/// What others in the room see of a caller.
fn label(label: Label, caller: Option<&Pii<String>>) -> Pii<String> {
    let number = match (label, caller) {
        (Label::None, _) | (_, None) => return Pii::new("Phone caller".to_owned()),
        (Label::Full, Some(caller)) => caller.reveal().clone(),
        (Label::Masked, Some(caller)) => masked(caller.reveal()),
    };
    Pii::new(format!("Phone caller ({number})"))
}

/// Longest display name that is shown, in characters.
const NAME_MAX: usize = 64;
