//! What the core and the PIN registry tell, as events of the hook.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::base::ids::CallKey;
use gateway_core::call::CallRecord;
use gateway_core::gateway::Event;
use gateway_core::leg::backend::RoomName;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Hooks;
use super::event::Events;
use crate::cdr::{direction, sound};
use crate::pin::events::PinEvent;
use crate::wall::rfc3339;

/// Tells of calls. Remembers which room each is in.
#[derive(Debug, Default)]
pub struct Story {
    rooms: BTreeMap<CallKey, RoomName>,
}

impl Story {
    /// The core told something; `trunk` is the name of the trunk that it is about.
    pub fn note(&mut self, events: &Events, event: &Event, trunk: &str) {
        let shower = &events.shower;
        match event {
            Event::RouteNeeded { call, facts, .. } => {
                let caller = (!facts.anonymous && !facts.caller.reveal().is_empty())
                    .then(|| shower.number(facts.caller.reveal()));
                events.tell(
                    "call_started",
                    &[
                        ("call", json!(call.to_string())),
                        ("call_id", json!(facts.call_id)),
                        ("trunk", json!(trunk)),
                        ("caller", json!(caller)),
                        ("dialled", json!(shower.number(facts.request_user.reveal()))),
                    ],
                );
            }
            Event::CallJoined(call, room) => {
                self.rooms.insert(*call, room.clone());
                events.tell("call_joined", &in_room(events, *call, room));
            }
            Event::CallLeft(call, room) => {
                self.rooms.remove(call);
                events.tell("call_left", &in_room(events, *call, room));
            }
            Event::CallEnded(record) => self.ended(events, record, trunk),
            _ => {}
        }
    }

    fn ended(&mut self, events: &Events, record: &CallRecord, trunk: &str) {
        let shower = &events.shower;
        if let Some(room) = self.rooms.remove(&record.call) {
            events.tell("call_left", &in_room(events, record.call, &room));
        }
        let call = json!(record.call.to_string());
        if record.answered.is_some() {
            let facts = [("call", call.clone()), ("sound", sound(&record.report))];
            events.tell("quality", &facts);
        }
        let seconds = |from: Option<gateway_core::base::time::WallClock>| {
            from.map(|from| record.ended.unix.saturating_sub(from.unix).as_secs())
        };
        events.tell(
            "call_ended",
            &[
                ("call", call),
                ("call_id", json!(record.call_id)),
                ("direction", json!(direction(record.direction))),
                ("trunk", json!(trunk)),
                ("caller", shown(&shower.number(record.caller.reveal()))),
                ("dialled", shown(&shower.number(record.dialled.reveal()))),
                ("room", json!(record.room.as_ref().map(|room| shower.room(room)))),
                ("started", json!(rfc3339(record.started))),
                ("seconds", json!(seconds(Some(record.started)))),
                ("seconds_answered", json!(seconds(record.answered))),
                ("reason", json!(record.reason.row().label)),
                ("status", json!(record.status)),
            ],
        );
    }
}

fn shown(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn in_room(events: &Events, call: CallKey, room: &RoomName) -> [(&'static str, Value); 2] {
    [("call", json!(call.to_string())), ("room", json!(events.shower.room(room)))]
}

/// Tells of PINs and meetings, as long as there is a registry. `trunks` are names in the order of their ids.
pub async fn pins(hooks: Arc<Hooks>, mut heard: Receiver<PinEvent>, trunks: Vec<String>) {
    loop {
        match heard.recv().await {
            Ok(event) => {
                if let Some(events) = &hooks.events {
                    tell_pin(events, &event, &trunks);
                }
            }
            Err(RecvError::Lagged(missed)) => {
                hooks.shared.count(|counters| counters.hook_events_lost += missed);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn tell_pin(events: &Events, event: &PinEvent, trunks: &[String]) {
    let room = |room: &RoomName| [("room", json!(events.shower.room(room)))];
    match event {
        PinEvent::LockedOut { cap, typist } => {
            let trunk = trunks.get(usize::from(typist.trunk.0));
            let caller = typist.caller.as_ref().map(|it| events.shower.number(it.reveal()));
            events.tell(
                "guesser_locked_out",
                &[
                    ("cap", json!(cap.label())),
                    ("call", json!(typist.call)),
                    ("trunk", json!(trunk)),
                    ("caller", json!(caller)),
                    ("source", json!(typist.source.map(|source| source.to_string()))),
                ],
            );
        }
        PinEvent::MeetingStarted { room: name } => events.tell("meeting_started", &room(name)),
        PinEvent::MeetingEnded { room: name } => events.tell("meeting_ended", &room(name)),
        _ => {}
    }
}
