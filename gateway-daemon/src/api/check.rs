//! `POST /v1/pin/check`: a PBX has asked for the PIN and wants to know. A yes is a ticket for the INVITE that follows, so
//! no room name travels in SIP.
//!
//! JSON in, JSON out; a form in, one line of text out, which Asterisk's `CURL()` reads: `OK|TICKET` or `NO|WHY`. `Accept`
//! says otherwise. Wrong PINs are counted with those of calls, and each no comes as late as every other.

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use gateway_core::leg::backend::RoomName;
use serde::Deserialize;
use serde_json::json;

use super::problem::{BAD_REQUEST, Problem, UNAVAILABLE, WRONG_TYPE};
use super::read::{self, Body};
use super::{Api, registry};
use crate::pin::handle::{Checked, PinCheck};
use crate::pin::ticket;

/// What a PBX asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    pin: String,
    #[serde(default)]
    caller: String,
    #[serde(default)]
    did: String,
    #[serde(default)]
    trunk: String,
    #[serde(default)]
    call_id: String,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Line,
}

/// What is said to a PBX.
enum Answer {
    Yes(Pii<String>),
    No,
    Failed(Problem),
}

pub(super) async fn check(State(api): State<Api>, headers: HeaderMap, body: Body) -> Response {
    let (question, form) = match read::bytes(body) {
        Ok(body) => (question(&headers, &body), form(&headers, &body)),
        Err(problem) => return problem.into_response(),
    };
    let answer = match question {
        Ok(question) => api.judge_pin(question).await,
        Err(problem) => Answer::Failed(problem),
    };
    answer.written(form)
}

impl Api {
    async fn judge_pin(&self, question: Question) -> Answer {
        let digits = question.pin.trim_end_matches('#');
        let is_pin = !digits.is_empty() && digits.len() <= PIN_DIGITS_MAX;
        if !is_pin || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            let remedy = format!("send 1 to {PIN_DIGITS_MAX} ASCII digits");
            return Answer::Failed(Problem::field("pin", "is no PIN", remedy));
        }
        let trunks = &self.inner.shared.trunks;
        let at = trunks.iter().position(|name| *name == question.trunk);
        let trunk = at.and_then(|at| u16::try_from(at).ok()).map_or(TrunkId::PAGES, TrunkId);
        let known = at.map(|_| question.trunk.as_str());
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let check = PinCheck {
            digits: Pii::new(digits.to_owned()),
            room: self.room_of(&question.did, &question.trunk),
            caller: given(&question.caller).map(Pii::new),
            trunk,
            call: given(&question.call_id).map(|id| id.chars().take(CALL_ID_CHARS_MAX).collect()),
            // Whoever reads the log for intruders must not ban the PBX.
            source: None,
        };
        let pins = self.inner.shared.pins();
        let grant = match pins.check(check).await {
            Checked::Valid(grant) => grant,
            Checked::Refused(_) => return Answer::No,
            Checked::Unavailable => {
                let detail = "the PIN registry does not answer";
                return Answer::Failed(UNAVAILABLE.because(detail, "say: try again later"));
            }
        };
        match pins.issue(&grant, known).await {
            Ok(ticket) => Answer::Yes(ticket),
            Err(error) => Answer::Failed(registry(&error)),
        }
    }

    /// The room that a dialled number belongs to.
    fn room_of(&self, did: &str, trunk: &str) -> Option<RoomName> {
        let fits = |it: &&crate::config::typed::Did| {
            it.number.matches(did) && it.trunk.as_ref().is_none_or(|name| name == trunk)
        };
        let did = self.inner.policy.dids.iter().find(fits).filter(|_| !did.is_empty())?;
        did.room.clone()
    }
}

impl Answer {
    fn written(self, form: Form) -> Response {
        let line = |status: u16, text: String| {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (status, kind, text).into_response()
        };
        let json = |result: &str, ticket: Option<&String>| {
            let expires_s = ticket.map(|_| ticket::LIFE.as_secs());
            let body = json!({ "result": result, "ticket": ticket, "expires_s": expires_s });
            axum::Json(body).into_response()
        };
        match (self, form) {
            (Self::Yes(ticket), Form::Json) => json("ok", Some(ticket.reveal())),
            (Self::Yes(ticket), Form::Line) => line(200, format!("OK|{}", ticket.reveal())),
            (Self::No, Form::Json) => json("no", None),
            (Self::No, Form::Line) => line(200, "NO|wrong".to_owned()),
            (Self::Failed(problem), Form::Json) => problem.into_response(),
            (Self::Failed(problem), Form::Line) => {
                let why = if problem.status() == UNAVAILABLE.status() { "later" } else { "bad" };
                line(problem.status(), format!("NO|{why}"))
            }
        }
    }
}

/// JSON, or a form. A body without a kind is what it looks like: `CURLOPT(httpheader)` takes the kind away.
fn question(headers: &HeaderMap, body: &Bytes) -> Result<Question, Problem> {
    if is_json(headers, body) {
        return serde_json::from_slice(body).map_err(|error| {
            BAD_REQUEST.because(format!("the body: {error}"), "send {\"pin\": \"482917365\"}")
        });
    }
    match read::media_type(headers).as_deref() {
        None | Some("application/x-www-form-urlencoded") => {}
        Some(_) => {
            let detail = "the body is neither JSON nor a form";
            let remedy = "send application/json or application/x-www-form-urlencoded";
            return Err(WRONG_TYPE.because(detail, remedy));
        }
    }
    let text = String::from_utf8_lossy(body);
    let form = form_of(text.trim());
    form.ok_or_else(|| BAD_REQUEST.because("the form cannot be read", "send pin=482917365"))
}

fn is_json(headers: &HeaderMap, body: &[u8]) -> bool {
    match read::media_type(headers).as_deref() {
        Some(kind) => kind == "application/json",
        None => body.trim_ascii_start().starts_with(b"{"),
    }
}

/// A form is written as a query is.
fn form_of(text: &str) -> Option<Question> {
    let uri = Uri::builder().path_and_query(format!("/?{text}")).build().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(question)| question)
}

fn form(headers: &HeaderMap, body: &[u8]) -> Form {
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let accept = accept.to_ascii_lowercase();
    match (accept.contains("text/plain"), accept.contains("application/json")) {
        (true, false) => Form::Line,
        (false, true) => Form::Json,
        _ if is_json(headers, body) => Form::Json,
        _ => Form::Line,
    }
}

/// As many as a caller can type into a question.
const PIN_DIGITS_MAX: usize = gateway_core::base::limits::DIGITS_BUFFERED_MAX;
const CALL_ID_CHARS_MAX: usize = 128;
