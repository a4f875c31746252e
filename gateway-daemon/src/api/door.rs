//! Who may ask: so many requests a minute by address, then a token. Both before a body is read.

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gateway_core::base::pii::Pii;

use super::Api;
use super::problem::{NO_TOKEN, Problem, TOO_MANY, UNAVAILABLE, WRONG_TOKEN};
use crate::dial_in::client;
use crate::rest::{bearer, same};

/// Lets good requests through; every answer says that it is nobody else's.
pub(super) async fn guard(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let judged = api.judge(peer, request.headers(), request.uri().path());
    let mut response = match judged {
        Err(problem) => problem.into_response(),
        Ok(()) => match tokio::time::timeout(REQUEST_WITHIN, next.run(request)).await {
            Ok(response) => response,
            Err(_) => UNAVAILABLE
                .because("the request took too long", "send its body at once, and try again")
                .into_response(),
        },
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl Api {
    fn judge(&self, peer: SocketAddr, headers: &HeaderMap, path: &str) -> Result<(), Problem> {
        let mut limit = self.inner.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let may = limit.take(Instant::now(), client(peer, headers));
        drop(limit);
        if !may {
            let detail = "this address asks too often";
            return Err(TOO_MANY.because(detail, "wait a minute, or raise [api] per_minute"));
        }
        let given = bearer(headers).unwrap_or_default();
        let settings = &self.inner.settings;
        // Both lists to their ends: time must not say which token is near.
        let opens_all = is_one_of(given, &settings.tokens);
        let opens_check = is_one_of(given, &settings.check_tokens);
        match (opens_all, opens_check) {
            (true, _) => Ok(()),
            (false, true) if path == CHECK_PATH => Ok(()),
            (false, true) => Err(WRONG_TOKEN.because(
                "this token opens POST /v1/pin/check alone",
                "use a token of [api] token_files",
            )),
            (false, false) => Err(NO_TOKEN.because(
                "there is no token that we know",
                "send the header Authorization: Bearer TOKEN, as in a file of [api] token_files",
            )
            .at("Authorization")),
        }
    }
}

fn is_one_of(given: &str, tokens: &[Pii<String>]) -> bool {
    tokens.iter().fold(false, |found, token| same(given, token.reveal()) | found)
}

/// Where PBXs ask about PINs.
pub(super) const CHECK_PATH: &str = "/v1/pin/check";
/// A no of the registry takes two seconds, a slow registry six.
const REQUEST_WITHIN: Duration = Duration::from_secs(20);
