//! What requests of the page are answered: refusals with a word for machines and a sentence for people, and the headers
//! that say what the page may do.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway_core::leg::browser::offer::BadBrowserOffer;
use gateway_core::leg::end_reason::EndReason;
use serde_json::json;

use super::guests::Welcome;
use super::link::BadPass;

/// Why a request is refused.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// Asked for by another name than this host's.
    WrongHost,
    /// A page of somebody else asks.
    OtherPage,
    /// No such name can be.
    NoRoom,
    /// The room is not ours but a Jitsi's.
    Elsewhere,
    /// The link does not open this room.
    Pass(BadPass),
    /// The body is something else.
    NotSdp,
    /// The offer cannot be answered.
    Offer(BadBrowserOffer),
    /// There is no call, and this is why.
    Ended(EndReason),
    /// Nobody of that name is in the room, or was.
    NobodyThere,
    /// Too many ask at once.
    Busy,
    /// The gateway has stopped.
    Stopped,
}

/// The answer.
pub fn refuse(refusal: Refusal) -> Response {
    let (status, error, words) = words(refusal);
    (status, axum::Json(json!({ "error": error, "words": words }))).into_response()
}

fn words(refusal: Refusal) -> (StatusCode, &'static str, String) {
    let (status, error, words) = match refusal {
        Refusal::WrongHost => (
            StatusCode::FORBIDDEN,
            "wrong_host",
            "open the page by 127.0.0.1 or localhost, or set [browser] url",
        ),
        Refusal::OtherPage => {
            (StatusCode::FORBIDDEN, "other_page", "another web page may not ask this")
        }
        Refusal::NoRoom => (StatusCode::NOT_FOUND, "no_room", "there is no such room"),
        Refusal::Elsewhere => {
            (StatusCode::CONFLICT, "elsewhere", "this room is in a Jitsi; join it there")
        }
        Refusal::Pass(BadPass::Wrong) => (
            StatusCode::UNAUTHORIZED,
            "bad_link",
            "this link does not open the room; ask for a new one and copy it whole",
        ),
        Refusal::Pass(BadPass::Expired) => {
            (StatusCode::UNAUTHORIZED, "link_expired", "this link has expired; ask for a new one")
        }
        Refusal::NotSdp => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_sdp", "send an SDP offer as application/sdp")
        }
        Refusal::Offer(bad) => {
            let status = match bad.is_understood() {
                true => StatusCode::NOT_ACCEPTABLE,
                false => StatusCode::BAD_REQUEST,
            };
            return (status, "bad_offer", bad.to_string());
        }
        Refusal::Ended(reason) => return ended(reason),
        Refusal::NobodyThere => {
            (StatusCode::NOT_FOUND, "nobody_there", "you are not in this room any more")
        }
        Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many join now; try again"),
        Refusal::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped", "the gateway has stopped"),
    };
    (status, error, words.to_owned())
}

fn ended(reason: EndReason) -> (StatusCode, &'static str, String) {
    let words = match reason {
        EndReason::RoomFull => "the room is full",
        EndReason::Overloaded => "too many people are connected; try again in a minute",
        EndReason::Draining => "the gateway is about to stop; try again in a few minutes",
        _ => "the room cannot be joined now; try again",
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason.row().label, words.to_owned())
}

/// The call is over.
pub fn gone(reason: EndReason) -> Response {
    let words = match reason {
        EndReason::CallerHungUp | EndReason::CallerLeft => "you left the room",
        EndReason::RoomFull => "the room is full",
        EndReason::RoomEnded => "the host ended the room",
        EndReason::HostNeverCame => "the host did not come",
        EndReason::Kicked => "you were removed from the room",
        EndReason::Operator => "an operator ended the call",
        EndReason::TooLong => "the longest time for a call is over",
        EndReason::PeerGone | EndReason::MediaTimeout => {
            "no sound came from your browser: its network, or a firewall for UDP, is in the way"
        }
        _ => "the connection was lost",
    };
    let body = json!({ "error": "over", "reason": reason.row().label, "words": words });
    (StatusCode::GONE, axum::Json(body)).into_response()
}

/// 201 with our answer, and where to leave.
pub fn created(name: &str, welcome: &Welcome) -> Response {
    let location = format!("/room/{}/member/{}", escaped(name), welcome.id);
    let headers =
        [(header::LOCATION, location), (header::CONTENT_TYPE, "application/sdp".to_owned())];
    (StatusCode::CREATED, headers, welcome.answer.clone()).into_response()
}

/// A name in a path.
pub fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// For every answer, the page's own included.
pub fn add_headers(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let permissions = "microphone=(self), camera=(), geolocation=()";
    headers.insert("permissions-policy", HeaderValue::from_static(permissions));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}
