//! `/v1/calls`: who is there, and what an operator may do with a call.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway_core::base::pii::Pii;
use gateway_core::call::Route;
use gateway_core::call::snapshot::CallSnapshot;
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::gateway::{Command, ROOM_BACKEND};
use gateway_core::leg::backend::{Entry, MemberSnapshot};
use gateway_core::leg::end_reason::EndReason;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{NO_CALL, Problem, WRONG_STATE};
use super::read::{self, Asked, Body, Id};
use super::{Api, stopped};
use crate::cdr::{direction, sound};
use crate::wall::rfc3339;
use crate::web::guests;

/// Which calls are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    room: Option<String>,
}

/// `{"muted": true}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mute {
    muted: bool,
}

/// `{"room": "tea"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    room: String,
    role: Option<String>,
}

pub(super) async fn list(State(api): State<Api>, asked: Asked<Which>) -> Result<Response, Problem> {
    let which = read::query(asked)?;
    let room = which.room.as_deref().map(|name| read::room("room", name)).transpose()?;
    let seen = api.snapshot().await?;
    let wanted = |call: &&CallSnapshot| room.is_none() || call.room == room;
    let calls: Vec<Value> =
        seen.calls.iter().filter(wanted).map(|call| api.show(&seen, call)).collect();
    Ok(axum::Json(json!({ "calls": calls, "draining": seen.draining })).into_response())
}

pub(super) async fn look(State(api): State<Api>, id: Id) -> Result<Response, Problem> {
    let (seen, call) = api.call(&read::id(id)).await?;
    let mut shown = api.show(&seen, &call);
    if let Value::Object(fields) = &mut shown {
        fields.insert("call_id".to_owned(), json!(call.call_id));
        fields.insert("sound".to_owned(), sound(&call.report));
    }
    Ok(axum::Json(shown).into_response())
}

pub(super) async fn mute(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Mute { muted } = read::json(&headers, body)?;
    let (_, call) = api.call(&read::id(id)).await?;
    if call.state != "Joined" {
        return Err(not_in_a_room());
    }
    api.order(Command::Mute { call: call.call, muted }).await?;
    tracing::info!(call = %call.call, muted, "muted or unmuted by operator");
    Ok(axum::Json(json!({ "id": call.call.to_string(), "muted": muted })).into_response())
}

pub(super) async fn move_to(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Move { room, role } = read::json(&headers, body)?;
    let (room, role) = (read::room("room", &room)?, role.as_deref().map(read::role).transpose()?);
    let (seen, call) = api.call(&read::id(id)).await?;
    let Some((_, seat)) = seat(&seen, &call) else { return Err(not_in_a_room()) };
    if call.trunk == guests::TRUNK {
        let detail = "a browser stands on the page of its room";
        return Err(WRONG_STATE.because(detail, "send its person a link to the other room"));
    }
    let rules = api.inner.policy.rooms.rules(&room);
    let route = Box::new(Route {
        backend: rules.backend.clone(),
        policy: rules.policy,
        room: room.clone(),
        role: role.unwrap_or(seat.role),
        label: Pii::new(seat.label.reveal().clone()),
        language: rules.language.unwrap_or(call.language),
        length_max: None,
        note: None,
        entry: Entry::default(),
    });
    api.order(Command::Move { call: call.call, route }).await?;
    let shown = api.inner.shared.shower.room(&room);
    tracing::info!(call = %call.call, room = shown, "moved by operator");
    let body = json!({ "id": call.call.to_string(), "room": room.as_str() });
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}

pub(super) async fn admit(State(api): State<Api>, id: Id) -> Result<Response, Problem> {
    let (seen, call) = api.call(&read::id(id)).await?;
    match seat(&seen, &call) {
        Some((_, seat)) if !seat.waiting => {
            let detail = "the caller does not wait for anybody";
            return Err(WRONG_STATE.because(detail, "see `waiting` of the call"));
        }
        Some((backend, _)) if backend != ROOM_BACKEND => {
            let detail = "the lobby of a Jitsi room is opened from inside";
            return Err(WRONG_STATE.because(detail, "let a moderator of the meeting admit him"));
        }
        Some(_) => {}
        None => return Err(not_in_a_room()),
    }
    api.order(Command::Admit(call.call)).await?;
    tracing::info!(call = %call.call, "let in by operator");
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "id": call.call.to_string() }))).into_response())
}

pub(super) async fn hang_up(State(api): State<Api>, id: Id) -> Result<Response, Problem> {
    let (_, call) = api.call(&read::id(id)).await?;
    api.order(Command::End { call: call.call, reason: EndReason::Operator }).await?;
    tracing::info!(call = %call.call, "hung up by operator");
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "id": call.call.to_string() }))).into_response())
}

impl Api {
    async fn call(&self, id: &str) -> Result<(GatewaySnapshot, CallSnapshot), Problem> {
        let seen = self.snapshot().await?;
        let call = seen.calls.iter().find(|call| call.call.to_string() == id).cloned();
        let call = call.ok_or_else(|| {
            NO_CALL.because("there is no call with this id now", "GET /v1/calls lists them")
        })?;
        Ok((seen, call))
    }

    /// The core's refusals are about states that changed since we looked.
    async fn order(&self, command: Command) -> Result<(), Problem> {
        use gateway_core::io::signalling::CommandError;
        match self.inner.handle.command(command).await {
            Ok(_) => Ok(()),
            Err(CommandError::Misuse(_)) => Err(not_in_a_room()),
            Err(CommandError::Stopped(_)) => Err(stopped()),
        }
    }

    pub(super) fn show(&self, seen: &GatewaySnapshot, call: &CallSnapshot) -> Value {
        let (shared, shower) = (&self.inner.shared, &self.inner.shower);
        let seat = seat(seen, call);
        let note = call.note.as_deref();
        json!({
            "id": call.call.to_string(),
            "state": call.state.to_lowercase(),
            "kind": kind(call),
            "direction": direction(call.direction),
            "trunk": shared.trunk(call.trunk),
            "caller": shower.number(call.caller.reveal()),
            "dialled": shower.number(call.dialled.reveal()),
            "room": call.room.as_ref().map(|room| room.as_str()),
            "backend": seat.map(|(backend, _)| backend),
            "waiting": seat.is_some_and(|(_, seat)| seat.waiting),
            "muted": call.muted,
            "hand_raised": call.hand_raised,
            "held_by_peer": call.held_by_peer,
            "language": call.language.tag(),
            "pin": note.and_then(pin_of),
            "codec": call.codec.map(|codec| codec.row().name),
            "mos": call.report.mos_centi.map(|mos| f64::from(mos) / 100.0),
            "started": rfc3339(call.started),
            "seconds_answered": call.answered_for.map(|time| time.as_secs()),
            "seconds_joined": call.joined_for.map(|time| time.as_secs()),
            "ending": call.ending.map(|reason| reason.row().label),
        })
    }
}

/// The id of the PIN, or of the one that a ticket stands for.
fn pin_of(note: &str) -> Option<&str> {
    note.strip_prefix("pin:").or_else(|| note.strip_prefix("ticket:"))
}

/// `phone` or `browser`.
pub(super) fn kind(call: &CallSnapshot) -> &'static str {
    if call.trunk == guests::TRUNK { guests::TRUNK_NAME } else { "phone" }
}

/// The backend where a call has its seat, and the seat.
fn seat<'a>(
    seen: &'a GatewaySnapshot,
    call: &CallSnapshot,
) -> Option<(&'a str, &'a MemberSnapshot)> {
    seen.rooms.iter().find_map(|(backend, room)| {
        let member = room.members.iter().find(|member| member.leg.call == call.call)?;
        Some((backend.as_str(), member))
    })
}

fn not_in_a_room() -> Problem {
    let detail = "the caller is in no room";
    WRONG_STATE.because(detail, "see `state` of the call; it works when he is joined")
}
