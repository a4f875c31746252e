//! `GET /v1/rooms`: which rooms have callers of this gateway in them, and who they are to the others there.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::leg::backend::RoomSnapshot;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::calls::kind;
use super::problem::Problem;
use super::read::{self, Asked};
use crate::pin::role_name;

/// Which rooms are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    room: Option<String>,
}

pub(super) async fn list(State(api): State<Api>, asked: Asked<Which>) -> Result<Response, Problem> {
    let which = read::query(asked)?;
    let wanted = which.room.as_deref().map(|name| read::room("room", name)).transpose()?;
    let seen = api.snapshot().await?;
    let rooms = seen.rooms.iter();
    let rooms = rooms.filter(|(_, room)| wanted.as_ref().is_none_or(|name| room.name == *name));
    let rooms: Vec<Value> = rooms.map(|(backend, room)| show(&seen, backend, room)).collect();
    Ok(axum::Json(json!({ "rooms": rooms })).into_response())
}

fn show(seen: &GatewaySnapshot, backend: &str, room: &RoomSnapshot) -> Value {
    let callers: Vec<Value> = room
        .members
        .iter()
        .map(|member| {
            let call = seen.calls.iter().find(|call| call.call == member.leg.call);
            json!({
                "call": member.leg.call.to_string(),
                "kind": call.map_or("phone", kind),
                "label": member.label.reveal(),
                "role": role_name(member.role),
                "waiting": member.waiting,
                "muted": member.muted || call.is_some_and(|call| call.muted),
                "speaking": member.speaking,
                "hand_raised": member.hand_raised,
            })
        })
        .collect();
    json!({ "room": room.name.as_str(), "backend": backend, "callers": callers })
}
