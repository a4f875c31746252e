//! The pages. They are on `[http] listen` with everything else; `[jigasi] rest` opens a listener of their own, on which
//! figures are for everybody and orders for this host or whoever has the token.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::io::signalling::GatewayHandle;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::figures::Figures;
use crate::app::Shared;
use crate::config::compat::Compat;
use crate::rest::{bearer, names_this_host, same};

/// Who changes breweries: path below `/configure/call-control-muc/`, method, body; gives status and body.
pub type Configure = Arc<
    dyn Fn(String, Method, Bytes) -> Pin<Box<dyn Future<Output = (StatusCode, Value)> + Send>>
        + Send
        + Sync,
>;

/// The pages of one gateway.
#[derive(Clone)]
pub struct Face {
    handle: GatewayHandle,
    shared: Arc<Shared>,
    settings: Compat,
    configure: Option<Configure>,
}

/// Who may do what on a listener of their own.
#[derive(Clone, Debug, Default)]
pub struct Openness {
    /// Bearer token for orders from elsewhere; `None`: from this host only.
    pub token: Option<String>,
}

impl Face {
    /// Pages of a running gateway.
    pub fn new(handle: GatewayHandle, shared: Arc<Shared>, settings: Compat) -> Self {
        Self { handle, shared, settings, configure: None }
    }

    /// With somebody who adds and removes breweries.
    pub fn with_configure(self, configure: Configure) -> Self {
        Self { configure: Some(configure), ..self }
    }

    /// All pages, without a guard.
    pub fn router(self) -> Router {
        Router::new()
            .route("/about/health", get(health))
            .route("/about/version", get(version))
            .route("/about/stats", get(stats))
            .route("/about/shutdown", post(shutdown))
            .route("/debug", get(debug))
            .route("/configure/call-control-muc/{what}", any(configure))
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(middleware::map_response(as_jigasi_says))
            .with_state(self)
    }

    /// Answers on a listener of their own for ever. `metrics` is the page of that name.
    pub async fn serve(
        self,
        listener: TcpListener,
        openness: Openness,
        metrics: Router,
    ) -> std::io::Result<()> {
        let pages = self.pages(openness, metrics);
        axum::serve(listener, pages.into_make_service_with_connect_info::<SocketAddr>()).await
    }

    /// All pages of such a listener, guarded.
    pub(super) fn pages(self, openness: Openness, metrics: Router) -> Router {
        let pages = self.router().merge(metrics).fallback(|| async { StatusCode::NOT_FOUND });
        pages.layer(middleware::from_fn_with_state(Arc::new(openness), guard))
    }

    async fn snapshot(&self) -> Result<GatewaySnapshot, Response> {
        let stopped = |_| not_ready("the gateway has stopped");
        self.handle.snapshot().await.map_err(stopped)
    }

    async fn figures(&self) -> Result<Figures, Response> {
        let snapshot = self.snapshot().await?;
        let counters = self.handle.counters().await.unwrap_or_default();
        let state = self.shared.state();
        let full = self.settings.conferences_threshold;
        Ok(Figures::new(&snapshot, &counters, &state.tally, full, self.shared.started))
    }
}

/// Ready: nothing, and what is out of order though calls go on. Otherwise why not, as Jigasi says it.
async fn health(State(face): State<Face>) -> Response {
    let snapshot = face.handle.snapshot().await;
    let draining = snapshot.as_ref().is_ok_and(|snapshot| snapshot.draining);
    let health = face.shared.health(draining, snapshot.is_err());
    if health.stopped {
        return not_ready("the gateway has stopped");
    }
    let broken: Vec<&str> = health.broken().collect();
    if !broken.is_empty() {
        let body = json!({ "reason": broken.join("; ") });
        return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response();
    }
    let minor: Vec<&str> = health.problems.iter().map(|it| it.text.as_str()).collect();
    let body = if minor.is_empty() { json!({}) } else { json!({ "degraded": minor }) };
    axum::Json(body).into_response()
}

async fn version() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    axum::Json(json!({ "name": "WeeBee", "version": version, "os": "Linux" })).into_response()
}

async fn stats(State(face): State<Face>) -> Result<Response, Response> {
    Ok(axum::Json(face.figures().await?.json()).into_response())
}

/// Takes no new calls and ends with the last one. Off, as with Jigasi, unless the configuration says otherwise.
async fn shutdown(State(face): State<Face>, headers: HeaderMap) -> Response {
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    if !face.settings.shutdown {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    tracing::info!("asked by HTTP to end with the last call");
    face.shared.drain_asked.notify_one();
    StatusCode::OK.into_response()
}

async fn debug(State(face): State<Face>) -> Result<Response, Response> {
    let snapshot = face.snapshot().await?;
    let shared = &face.shared;
    let state = shared.state();
    let mut sessions = Map::new();
    for call in &snapshot.calls {
        let address = state.tally.occupant(call.call);
        let nick = address.and_then(|it| it.rsplit_once('/')).map(|(_, nick)| nick);
        let room = call.room.as_ref().map(|room| shared.shower.room(room));
        let name = format!("{} {}", call.call, shared.shower.number(call.caller.reveal()));
        sessions.insert(name, json!({ "jvbConference": { "meetingId": room, "nick": nick } }));
    }
    let body = json!({ "gateways": { "weebee": { "sessions": sessions } } });
    Ok(axum::Json(body).into_response())
}

async fn configure(
    State(face): State<Face>,
    Path(what): Path<String>,
    method: Method,
    body: Bytes,
) -> Response {
    let wanted = match what.as_str() {
        "list" => Method::GET,
        "add" | "remove" => Method::POST,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    if method != wanted {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let Some(configure) = &face.configure else {
        return (StatusCode::OK, axum::Json(json!([]))).into_response();
    };
    let (status, body) = configure(what, method, body).await;
    match body {
        Value::Null => status.into_response(),
        body => (status, axum::Json(body)).into_response(),
    }
}

fn not_ready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({ "reason": why }))).into_response()
}

/// Dashboards that read Jigasi from a page of their own read us, too. What the library says of a request that is none is a
/// sentence and no JSON; Jigasi says nothing.
async fn as_jigasi_says(mut response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain")) {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let kind = HeaderValue::from_static("application/json;charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    response
}

/// Figures for all; orders, and what names callers, for this host or the token.
async fn guard(
    State(openness): State<Arc<Openness>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_open = OPEN.contains(&request.uri().path());
    let is_here = peer.ip().to_canonical().is_loopback()
        && names_this_host(headers)
        && !headers.contains_key(header::ORIGIN);
    let given = bearer(headers).zip(openness.token.as_deref());
    if is_open || is_here || given.is_some_and(|(given, token)| same(given, token)) {
        return next.run(request).await;
    }
    StatusCode::FORBIDDEN.into_response()
}

/// Pages with figures and nobody's name.
pub(super) const OPEN: [&str; 4] = ["/about/health", "/about/version", "/about/stats", "/metrics"];
/// An account has some twenty properties.
const BODY_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
