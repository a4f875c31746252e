//! REST: a request with the bot's token, and its answer.

use std::time::Duration;

use axum::http::{HeaderMap, Method, Request as HttpRequest, header};
use gateway_core::base::pii::Pii;
use gateway_core::io::wall_clock;
use gateway_core::io::xmpp::{Trust, WebAddress};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::Value;

use super::api::{self, ApiFailure, Request};
use super::ids::Id;
use crate::client::{Client, Wire};

/// The way to a workspace.
#[derive(Clone)]
pub struct Web {
    client: Client,
    user: Id,
    token: Pii<String>,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Web({})", self.client.address())
    }
}

impl Web {
    /// A way to `address` as `user`. The error is a sentence with a remedy.
    pub fn new(
        address: WebAddress,
        trust: &Trust,
        user: Id,
        token: Pii<String>,
    ) -> Result<Self, String> {
        let unreached = "`url`, the network and that Rocket.Chat runs";
        Ok(Self { client: Client::new(address, trust, unreached)?, user, token })
    }

    /// Sends a request of ours and judges the answer.
    pub async fn ask(&self, request: &Request) -> Result<Value, ApiFailure> {
        match tokio::time::timeout(ANSWER_WITHIN, self.exchange(request)).await {
            Ok(Ok((status, reset, body))) => api::judge(status, reset, &body),
            Ok(Err(what)) => Err(ApiFailure::Later(what)),
            Err(_) => {
                Err(ApiFailure::Later(format!("{} does not answer in time", self.client.address())))
            }
        }
    }

    /// A connection to the workspace.
    pub(super) async fn wire(&self) -> Result<Box<dyn Wire>, String> {
        self.client.wire().await
    }

    /// Where the WebSocket is.
    pub(super) fn socket_url(&self) -> String {
        let scheme = if self.client.address().secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}/websocket", self.client.address().authority(), self.base())
    }

    /// The path below which the workspace lives, without a slash at the end.
    fn base(&self) -> &str {
        self.client.address().path.trim_end_matches('/')
    }

    async fn exchange(&self, request: &Request) -> Result<(u16, Option<u64>, Vec<u8>), String> {
        let (status, headers, body) = self.client.ask(self.http(request)?, BODY_BYTES_MAX).await?;
        Ok((status, reset_in(&headers), body))
    }

    fn http(&self, request: &Request) -> Result<HttpRequest<Full<Bytes>>, String> {
        let (method, body) = match &request.body {
            Some(body) => (Method::POST, body.to_string()),
            None => (Method::GET, String::new()),
        };
        let made = HttpRequest::builder()
            .method(method)
            .uri(format!("{}{}", self.base(), request.path))
            .header(header::HOST, self.client.address().authority())
            .header(header::USER_AGENT, concat!("weebee/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header("X-User-Id", self.user.as_str())
            .header("X-Auth-Token", self.token.reveal().as_str())
            .body(Full::new(Bytes::from(body)));
        // The error could repeat the token.
        made.map_err(|_| "token or user id hold characters that no HTTP header may have".to_owned())
    }
}

/// Milliseconds until the limit is lifted, from the header that names the moment.
fn reset_in(headers: &HeaderMap) -> Option<u64> {
    let at: u64 = headers.get("x-ratelimit-reset")?.to_str().ok()?.parse().ok()?;
    let now = u64::try_from(wall_clock().unix.as_millis()).ok()?;
    Some(at.saturating_sub(now).clamp(100, 120_000))
}

/// A server under load answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// A list of rooms of a big workspace fits.
const BODY_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "sixteen-letters-of-a-token";

    /// A way to a server that answers a path.
    async fn web(path: &str, routes: Router) -> Web {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let address = WebAddress::parse(&format!("http://127.0.0.1:{port}{path}"));
        let user = Id::new("bot").expect("an id");
        let token = Pii::new(TOKEN.to_owned());
        Web::new(address.expect("an address"), &Trust::default(), user, token).expect("a way")
    }

    fn asking(path: &str) -> Request {
        Request { path: path.to_owned(), body: None }
    }

    #[tokio::test]
    async fn requests_log_in_and_stay_below_the_address_of_the_workspace() {
        let page = |headers: HeaderMap| async move {
            let text =
                |name: &str| headers.get(name).and_then(|it| it.to_str().ok().map(str::to_owned));
            axum::Json(
                json!({ "success": true, "user": text("x-user-id"), "token": text("x-auth-token") }),
            )
        };
        let web = web("/chat/", Router::new().route("/chat/api/v1/me", get(page))).await;
        let answer = web.ask(&asking("/api/v1/me")).await.expect("an answer");
        assert_eq!((&answer["user"], &answer["token"]), (&json!("bot"), &json!(TOKEN)));
        assert!(web.socket_url().ends_with("/chat/websocket"), "{}", web.socket_url());
        assert!(!format!("{web:?}").contains(TOKEN));
    }

    #[tokio::test]
    async fn the_token_follows_no_redirect() {
        let away = || async { axum::response::Redirect::temporary("/elsewhere") };
        let elsewhere = || async { axum::Json(json!({ "success": true })) };
        let routes =
            Router::new().route("/api/v1/me", get(away)).route("/elsewhere", get(elsewhere));
        let answer = web("", routes).await.ask(&asking("/api/v1/me")).await;
        assert_eq!(answer, Err(ApiFailure::Later("Rocket.Chat answers 307".to_owned())));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let flood = || async { "x".repeat(BODY_BYTES_MAX + 1) };
        let routes = Router::new().route("/api/v1/me", get(flood));
        let answer = web("", routes).await.ask(&asking("/api/v1/me")).await;
        assert!(
            matches!(&answer, Err(ApiFailure::Later(why)) if why.contains("body")),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_limit_says_when_it_is_over() {
        let page = || async {
            let at = wall_clock().unix.as_millis() + 5_000;
            (axum::http::StatusCode::TOO_MANY_REQUESTS, [("X-RateLimit-Reset", at.to_string())], "")
        };
        let routes = Router::new().route("/api/v1/me", get(page));
        let answer = web("", routes).await.ask(&asking("/api/v1/me")).await;
        let Err(ApiFailure::Limited(wait)) = answer else { panic!("{answer:?}") };
        assert!((100..=5_000).contains(&wait), "{wait}");
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_remedy() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let address = WebAddress::parse(&format!("http://127.0.0.1:{port}")).expect("an address");
        let user = Id::new("bot").expect("an id");
        let web =
            Web::new(address, &Trust::default(), user, Pii::new(TOKEN.to_owned())).expect("a way");
        let answer = web.ask(&asking("/api/v1/me")).await;
        assert!(
            matches!(&answer, Err(ApiFailure::Later(why)) if why.contains("check `url`")),
            "{answer:?}"
        );
    }
}
