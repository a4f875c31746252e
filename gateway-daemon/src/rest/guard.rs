//! Who may ask: those with the token; without one those on this host, but no web page that a browser here has open.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The rule.
#[derive(Clone)]
pub struct Guard {
    token: Option<String>,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
#[error("HTTP on {0} can be reached from outside and has no token; set [http] token_file")]
pub struct NeedsToken(SocketAddr);

impl Guard {
    /// The rule for pages on `address`. Without a token only loopback is guarded well enough.
    pub fn new(address: SocketAddr, token: Option<String>) -> Result<Self, NeedsToken> {
        match token.is_none() && !address.ip().is_loopback() {
            true => Err(NeedsToken(address)),
            false => Ok(Self { token }),
        }
    }

    fn judge(&self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        match &self.token {
            Some(token) => match bearer(headers).is_some_and(|given| same(given, token)) {
                true => Ok(()),
                false => {
                    Err((StatusCode::UNAUTHORIZED, "send the header Authorization: Bearer TOKEN"))
                }
            },
            None if headers.contains_key(header::ORIGIN) => {
                Err((StatusCode::FORBIDDEN, "web pages may not ask; set [http] token_file"))
            }
            None if !names_this_host(headers) => Err((
                StatusCode::FORBIDDEN,
                "ask for 127.0.0.1 or localhost; set [http] token_file",
            )),
            None => Ok(()),
        }
    }
}

/// Lets good requests through.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.judge(request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, text)) => (status, axum::Json(json!({ "error": text }))).into_response(),
    }
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// Compares in time that depends on the length alone.
pub(crate) fn same(a: &str, b: &str) -> bool {
    let difference = a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

/// A name that a stranger's DNS points to 127.0.0.1 is not this host's (DNS rebinding).
pub(crate) fn names_this_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return true;
    };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:8788";

    fn judge(token: Option<&str>, headers: &[(&'static str, &str)]) -> Option<u16> {
        let address = LOOPBACK.parse().expect("address");
        let guard = Guard::new(address, token.map(str::to_owned)).expect("loopback");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header value"));
        }
        guard.judge(&map).err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn this_host_may_ask_and_pages_may_not() {
        for host in [LOOPBACK, "localhost:8788", "LOCALHOST", "[::1]:8788", "127.0.0.1"] {
            assert_eq!(judge(None, &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "evil.example:8788", "192.0.2.1:8788", "127.0.0.1.evil:80"] {
            assert_eq!(judge(None, &[("host", host)]), Some(403), "{host}");
        }
        let page = [("host", LOOPBACK), ("origin", "http://evil.example")];
        assert_eq!(judge(None, &page), Some(403));
    }

    #[test]
    fn a_token_is_asked_for_where_there_is_one() {
        let token = Some("sixteen-letters!");
        assert_eq!(judge(token, &[("authorization", "Bearer sixteen-letters!")]), None);
        assert_eq!(judge(token, &[("authorization", "Bearer sixteen-letters?")]), Some(401));
        assert_eq!(judge(token, &[("authorization", "Bearer ")]), Some(401));
        assert_eq!(judge(token, &[("host", LOOPBACK)]), Some(401));
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        let outside: SocketAddr = "192.0.2.1:8788".parse().expect("address");
        assert!(Guard::new(outside, None).is_err());
        assert!(Guard::new(outside, Some("sixteen-letters!".to_owned())).is_ok());
    }
}
