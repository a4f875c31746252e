//! Bodies, queries and paths as requests bring them; what cannot be read is a problem with its remedy.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode, header};
use gateway_core::leg::backend::{Role, RoomName};
use serde::de::DeserializeOwned;

use super::problem::{BAD_REQUEST, Problem, TOO_BIG, WRONG_TYPE};

/// A body as it may come.
pub type Body = Result<Bytes, BytesRejection>;
/// An id in a path.
pub type Id = Result<Path<String>, PathRejection>;
/// A query.
pub type Asked<T> = Result<Query<T>, QueryRejection>;

/// The longest body: a wish for a PIN with the longest names fits ten times.
pub const BODY_BYTES_MAX: usize = 16 << 10;

/// The bytes of a body.
pub fn bytes(body: Body) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => TOO_BIG
            .because(format!("more than {BODY_BYTES_MAX} bytes"), "send only what is documented"),
        _ => BAD_REQUEST.because("the body broke off", "send it again"),
    })
}

/// A JSON body.
pub fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let body = bytes(body)?;
    if media_type(headers).is_some_and(|kind| kind != "application/json") {
        let detail = "the Content-Type is not application/json";
        return Err(WRONG_TYPE.because(detail, "send the header Content-Type: application/json"));
    }
    serde_json::from_slice(&body).map_err(|error| {
        BAD_REQUEST.because(format!("the body: {error}"), "send an object as docs/api.md shows it")
    })
}

/// `application/json` of `application/json; charset=utf-8`.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase()).filter(|kind| !kind.is_empty())
}

/// A query.
pub fn query<T>(asked: Asked<T>) -> Result<T, Problem> {
    asked.map(|Query(asked)| asked).map_err(|error| {
        BAD_REQUEST.because(error.body_text(), "use the parameters that docs/api.md names")
    })
}

/// An id in a path; nonsense is nobody's id.
pub fn id(id: Id) -> String {
    id.map(|Path(id)| id).unwrap_or_default()
}

/// A room.
pub fn room(field: &str, name: &str) -> Result<RoomName, Problem> {
    RoomName::new(name).map_err(|error| {
        Problem::field(field, error.to_string(), "send the name as it stands in the room's address")
    })
}

/// `guest` or `host`.
pub fn role(name: &str) -> Result<Role, Problem> {
    match name {
        "guest" => Ok(Role::Guest),
        "host" => Ok(Role::Host),
        _ => Err(Problem::field("role", "no such standing", "send \"guest\" or \"host\"")),
    }
}
