//! The outgoing webhook of a workspace: `POST /rocketchat/NAME` with the integration's token in the body.
//!
//! For workspaces whose bot shall not read the stream. Every good request is answered `200 {}`, which Rocket.Chat takes
//! for silence (an empty body is a failure to it, and it would try again); what there is to say goes to the user alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use gateway_core::base::pii::Pii;
use serde_json::{Value, json};

use super::heard::{Ask, Words};
use super::ids::Id;
use super::task::WorkspaceHandle;
use crate::rest::same;

/// A workspace's door.
#[derive(Clone, Debug)]
pub struct Door {
    /// What its integration shows.
    pub token: Pii<String>,
    /// Its words.
    pub words: Words,
    /// The bot.
    pub me: Id,
    /// Its task.
    pub workspace: WorkspaceHandle,
}

/// The doors of all workspaces with a webhook, by name.
pub fn router(doors: BTreeMap<String, Door>) -> Router {
    Router::new()
        .route("/rocketchat/{name}", post(knock))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(doors))
}

async fn knock(
    State(doors): State<Arc<BTreeMap<String, Door>>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    // Who has no token learns neither which workspaces there are nor what is wrong with his body.
    let Some(door) = doors.get(&name) else { return refused() };
    match read(&body, door) {
        Err(NoToken) => refused(),
        // Nothing that concerns us is silence too.
        Ok(ask) => match ask.is_none_or(|ask| door.workspace.ask(ask)) {
            true => axum::Json(json!({})).into_response(),
            false => (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({ "error": "busy" })))
                .into_response(),
        },
    }
}

/// 410 would make Rocket.Chat switch the integration off, and an admin who mends the token would have to find out.
fn refused() -> Response {
    (StatusCode::FORBIDDEN, axum::Json(json!({ "error": "token" }))).into_response()
}

/// The token of the integration is missing or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoToken;

/// What a request asks, if anything.
pub fn read(body: &[u8], door: &Door) -> Result<Option<Ask>, NoToken> {
    let body: Value = serde_json::from_slice(body).map_err(|_| NoToken)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if !text("token").is_some_and(|token| same(token, door.token.reveal())) {
        return Err(NoToken);
    }
    let is_machine =
        body.get("bot").is_some_and(|bot| !matches!(bot, Value::Null | Value::Bool(false)));
    let is_edit = body.get("isEdited") == Some(&Value::Bool(true));
    let id = |name: &str| text(name).and_then(Id::new);
    let ask = || {
        let (message, room, user) = (id("message_id")?, id("channel_id")?, id("user_id")?);
        let username = text("user_name").filter(|name| !name.is_empty())?;
        let wish = door.words.wish(text("text")?)?;
        let username = Pii::new(username.to_owned());
        Some(Ask { message, room, direct: false, user, username, wish })
    };
    Ok(ask().filter(|ask| !is_machine && !is_edit && ask.user != door.me))
}

/// A message and what stands around it.
const BODY_BYTES_MAX: usize = 64 << 10;
