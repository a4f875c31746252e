//! Refusals as RFC 9457 has them: `application/problem+json` with what is wrong, where, and what to do about it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A kind of refusal: the last part of its `type`, its status and its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    name: &'static str,
    status: u16,
    title: &'static str,
}

const fn kind(name: &'static str, status: u16, title: &'static str) -> Kind {
    Kind { name, status, title }
}

/// The body or the query is not what was wanted.
pub const BAD_REQUEST: Kind = kind("bad-request", 400, "The request cannot be read");
/// No token, or an unknown one.
pub const NO_TOKEN: Kind = kind("no-token", 401, "A bearer token is needed");
/// A token that opens something else.
pub const WRONG_TOKEN: Kind = kind("wrong-token", 403, "This token does not open that");
/// The policy of the room forbids it.
pub const NOT_ALLOWED: Kind = kind("not-allowed", 403, "The policy of the room forbids it");
/// No such page.
pub const NO_PAGE: Kind = kind("no-such-page", 404, "No such page");
/// No such call.
pub const NO_CALL: Kind = kind("no-such-call", 404, "No such call");
/// No such PIN.
pub const NO_PIN: Kind = kind("no-such-pin", 404, "No such PIN");
/// Another method.
pub const WRONG_METHOD: Kind = kind("wrong-method", 405, "Not that way");
/// The call or PIN is in another state.
pub const WRONG_STATE: Kind = kind("wrong-state", 409, "Not possible now");
/// The body is too big.
pub const TOO_BIG: Kind = kind("too-big", 413, "The body is too big");
/// The body is something else.
pub const WRONG_TYPE: Kind = kind("wrong-type", 415, "The body is something else");
/// Too many requests.
pub const TOO_MANY: Kind = kind("too-many", 429, "Too many requests");
/// What it needs is away.
pub const UNAVAILABLE: Kind = kind("unavailable", 503, "Try again later");

/// All of them: `docs/api.md` and the OpenAPI document name each.
pub const ALL: [Kind; 13] = [
    BAD_REQUEST,
    NO_TOKEN,
    WRONG_TOKEN,
    NOT_ALLOWED,
    NO_PAGE,
    NO_CALL,
    NO_PIN,
    WRONG_METHOD,
    WRONG_STATE,
    TOO_BIG,
    WRONG_TYPE,
    TOO_MANY,
    UNAVAILABLE,
];

impl Kind {
    /// Its `type`.
    pub fn uri(self) -> String {
        format!("urn:weebee:problem:{}", self.name)
    }

    /// Its HTTP status.
    pub fn status(self) -> u16 {
        self.status
    }

    /// With what happened this time, and what to do.
    pub fn because(self, detail: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { kind: self, detail: detail.into(), at: None, remedy: remedy.into() }
    }
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    at: Option<String>,
    remedy: String,
}

impl Problem {
    /// Names the field or header.
    pub fn at(self, place: impl Into<String>) -> Self {
        Self { at: Some(place.into()), ..self }
    }

    /// A field of the body with a value that cannot be.
    pub fn field(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        BAD_REQUEST.because(detail, remedy).at(name)
    }

    /// Its HTTP status.
    pub fn status(&self) -> u16 {
        self.kind.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { kind, detail, at, remedy } = self;
        let mut body = Map::new();
        body.insert("type".to_owned(), json!(kind.uri()));
        body.insert("title".to_owned(), json!(kind.title));
        body.insert("status".to_owned(), json!(kind.status));
        body.insert("detail".to_owned(), json!(detail));
        if let Some(at) = at {
            body.insert("where".to_owned(), json!(at));
        }
        body.insert("remedy".to_owned(), json!(remedy));
        let status = StatusCode::from_u16(kind.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if kind == NO_TOKEN {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if kind == TOO_MANY {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}
