//! The answers, in the words and shapes that Jitsi Meet's web client reads.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::config::dial_in::Number;

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body }
    }

    fn refusal(status: StatusCode, message: &str) -> Self {
        Self { status, body: json!({ "message": message, "conference": false }) }
    }

    /// The list: an array, or by country as it was before.
    pub(super) fn numbers(numbers: &[Number], by_country: bool) -> Self {
        if by_country {
            let mut countries: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for number in numbers {
                countries.entry(&number.country).or_default().push(&number.number);
            }
            return Self::ok(json!({
                "message": "Dial-In numbers:",
                "numbers": countries,
                "numbersEnabled": !numbers.is_empty(),
            }));
        }
        let shown = |number: &Number| {
            json!({
                "countryCode": number.country,
                "tollFree": number.toll_free,
                "formattedNumber": number.number,
                "default": number.is_default,
            })
        };
        Self::ok(numbers.iter().map(shown).collect())
    }

    /// PIN and room belong together. The client wants the PIN as a number.
    pub(super) fn mapping(digits: &str, conference: &str) -> Self {
        Self::ok(json!({
            "message": "Successfully retrieved conference mapping",
            "id": id(digits),
            "conference": conference,
        }))
    }

    /// No such PIN.
    pub(super) fn no_mapping(digits: &str) -> Self {
        Self::ok(json!({
            "message": "No conference mapping was found",
            "id": id(digits),
            "conference": false,
        }))
    }

    /// No room of ours.
    pub(super) fn unknown_room() -> Self {
        Self::refusal(StatusCode::OK, "No conference mapping was found")
    }

    /// A room in which nobody is.
    pub(super) fn not_there() -> Self {
        Self::refusal(StatusCode::OK, "The meeting has not begun; the PIN is shown when it has")
    }

    /// The rules of the room forbid it.
    pub(super) fn no_dial_in() -> Self {
        Self::refusal(StatusCode::OK, "This meeting cannot be joined by telephone")
    }

    /// Neither room nor PIN.
    pub(super) fn nothing_asked() -> Self {
        Self::refusal(StatusCode::BAD_REQUEST, "ask with ?conference=ROOM@HOST, or ?id=PIN")
    }

    /// A PBX without its token.
    pub(super) fn needs_token() -> Self {
        Self::refusal(StatusCode::UNAUTHORIZED, "send the header Authorization: Bearer TOKEN")
    }

    /// The client shows its own words for 402: the limit is reached.
    pub(super) fn too_many() -> Self {
        Self::refusal(StatusCode::PAYMENT_REQUIRED, "Too many questions; try again in a minute")
    }

    /// The registry does not answer.
    pub(super) fn unavailable() -> Self {
        Self::refusal(StatusCode::SERVICE_UNAVAILABLE, "Try again later")
    }

    pub(super) fn into_response(self) -> axum::response::Response {
        (self.status, axum::Json(self.body)).into_response()
    }
}

/// A number where it stays exact in a browser (15 digits, no zero in front).
fn id(digits: &str) -> Value {
    let is_exact = digits.len() <= 15 && !digits.starts_with('0');
    let number = digits.parse::<u64>().ok().filter(|_| is_exact);
    number.map_or_else(|| digits.into(), Value::from)
}
