//! HTTP: `/health`, `/metrics`, `/calls`, `/debug/calls/ID`, and `POST /calls/ID/hangup`.
//!
//! Bound to loopback as a rule. A browser on the same host must not be turned against us: requests that name another
//! host or come from a page are refused, unless they carry the token.

mod guard;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use gateway_core::call::snapshot::CallSnapshot;
use gateway_core::gateway::Command;
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::io::signalling::GatewayHandle;
use gateway_core::leg::end_reason::EndReason;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::app::Shared;
use crate::cdr::{direction, sound};
use crate::compat::Figures;
use crate::metrics::{self, Sample};
use crate::wall::rfc3339;
use crate::web::Web;
pub use guard::Guard;
pub(crate) use guard::{bearer, names_this_host, same};

/// What the pages are made from.
#[derive(Clone)]
pub struct Rest {
    handle: GatewayHandle,
    shared: Arc<Shared>,
    web: Option<Web>,
    hooks: Router,
    /// Jigasi's pages, behind our guard.
    face: Router,
    /// Calls of a full gateway.
    full: u64,
}

impl Rest {
    /// Pages of a running gateway.
    pub fn new(handle: GatewayHandle, shared: Arc<Shared>) -> Self {
        Self { handle, shared, web: None, hooks: Router::new(), face: Router::new(), full: 100 }
    }

    /// With the page for browsers, which has a guard of its own.
    pub fn with_web(self, web: Option<Web>) -> Self {
        Self { web, ..self }
    }

    /// With doors that others knock at with secrets of their own.
    pub fn with_hooks(self, hooks: Router) -> Self {
        Self { hooks, ..self }
    }

    /// With Jigasi's pages; so many calls are a full gateway.
    pub fn with_face(self, face: Router, full: u64) -> Self {
        Self { face, full, ..self }
    }

    /// The page of metrics alone, without a guard.
    pub fn metrics(self) -> Router {
        Router::new().route("/metrics", get(metrics_page)).with_state(self)
    }

    /// Answers requests on `listener` for ever.
    pub async fn serve(self, listener: TcpListener, guard: Guard) -> std::io::Result<()> {
        let pages = self.router(guard).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, pages).await
    }

    /// All pages.
    pub(crate) fn router(self, guard: Guard) -> Router {
        let (guard, face) = (Arc::new(guard), self.face.clone());
        let web = self.web.clone().map(Web::router).unwrap_or_default().merge(self.hooks.clone());
        Router::new()
            .route("/health", get(health))
            .route("/metrics", get(metrics_page))
            .route("/calls", get(calls))
            .route("/debug/calls/{id}", get(debug_call))
            .route("/calls/{id}/hangup", post(hang_up))
            .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such page; try /calls") })
            .with_state(self)
            .merge(face)
            .layer(middleware::from_fn_with_state(guard, guard::check))
            .merge(web)
    }

    async fn snapshot(&self) -> Result<GatewaySnapshot, Response> {
        let stopped = |_| problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway has stopped");
        self.handle.snapshot().await.map_err(stopped)
    }

    async fn call(&self, id: &str) -> Result<CallSnapshot, Response> {
        let calls = self.snapshot().await?.calls;
        let call = calls.into_iter().find(|call| call.call.to_string() == id);
        call.ok_or_else(|| problem(StatusCode::NOT_FOUND, "no such call; see /calls"))
    }

    fn show(&self, call: &CallSnapshot) -> Value {
        let shared = &self.shared;
        json!({
            "id": call.call.to_string(),
            "state": call.state,
            "direction": direction(call.direction),
            "trunk": shared.trunk(call.trunk),
            "caller": shared.shower.number(call.caller.reveal()),
            "dialled": shared.shower.number(call.dialled.reveal()),
            "room": call.room.as_ref().map(|room| shared.shower.room(room)),
            "since": rfc3339(call.started),
            "seconds_answered": call.answered_for.map(|time| time.as_secs()),
            "codec": call.codec.map(|codec| codec.row().name),
            "muted": call.muted,
            "mos": call.report.mos_centi.map(|mos| f64::from(mos) / 100.0),
        })
    }
}

async fn health(State(rest): State<Rest>) -> Response {
    let snapshot = rest.handle.snapshot().await;
    let draining = snapshot.as_ref().is_ok_and(|snapshot| snapshot.draining);
    let health = rest.shared.health(draining, snapshot.is_err());
    let status = StatusCode::from_u16(health.status()).unwrap_or(StatusCode::OK);
    (status, axum::Json(health.json())).into_response()
}

async fn metrics_page(State(rest): State<Rest>, headers: HeaderMap) -> Result<Response, Response> {
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let is_open = accept.contains("application/openmetrics-text");
    let snapshot = rest.snapshot().await?;
    let counters = rest.handle.counters().await.unwrap_or_default();
    let full = rest.full;
    let tally = rest.shared.state().tally.clone();
    let jigasi = Figures::new(&snapshot, &counters, &tally, full, rest.shared.started);
    let counters: Vec<_> =
        counters.iter().map(|counter| (counter.name, counter.help, counter.value)).collect();
    let (pins, cdr) = rest.shared.troubles();
    let state = rest.shared.state();
    let chats = rest.shared.rocketchat.iter().map(|it| (it.name.clone(), it.seen()));
    let chats: Vec<_> = chats.collect();
    let page = metrics::render(
        is_open,
        &Sample {
            snapshot: &snapshot,
            counters: &counters,
            ivr: state.ivr,
            agi: (rest.shared.agi.counters(), rest.shared.agi.open()),
            cdr: rest.shared.cdr_counters(),
            pins: rest.shared.pins().journal().counts(),
            audit: rest.shared.pins().journal().audit_counters(),
            audit_up: rest.shared.pins().journal().trouble().is_none(),
            pins_up: pins.is_none(),
            cdr_up: cdr.is_none(),
            hooks: rest.shared.hooks.as_ref().map(|hooks| hooks.seen()).unwrap_or_default(),
            breweries: &rest.shared.breweries.seats(),
            chats: &chats,
            stats: &state.stats,
            trunks: &rest.shared.trunks,
            started: rest.shared.started.as_secs_f64(),
        },
    );
    let (kind, end) = match is_open {
        true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
        false => ("text/plain; version=0.0.4", ""),
    };
    let page = format!("{page}{}{end}", jigasi.metrics(is_open));
    Ok(([(header::CONTENT_TYPE, kind)], page).into_response())
}

async fn calls(State(rest): State<Rest>) -> Result<Response, Response> {
    let snapshot = rest.snapshot().await?;
    let calls: Vec<Value> = snapshot.calls.iter().map(|call| rest.show(call)).collect();
    Ok(axum::Json(json!({ "calls": calls, "draining": snapshot.draining })).into_response())
}

async fn debug_call(
    State(rest): State<Rest>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let call = rest.call(&id).await?;
    let mut shown = rest.show(&call);
    let more = json!({
        "call_id": call.call_id,
        "shard": call.shard.0,
        "note": call.note,
        "seconds_joined": call.joined_for.map(|time| time.as_secs()),
        "hand_raised": call.hand_raised,
        "held_by_peer": call.held_by_peer,
        "ending": call.ending.map(|reason| reason.row().label),
        "sound": sound(&call.report),
    });
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    Ok(axum::Json(shown).into_response())
}

async fn hang_up(State(rest): State<Rest>, Path(id): Path<String>) -> Result<Response, Response> {
    let call = rest.call(&id).await?;
    let end = Command::End { call: call.call, reason: EndReason::Operator };
    match rest.handle.command(end).await {
        Ok(_) => {
            tracing::info!(call = %call.call, "hung up by operator");
            Ok((StatusCode::ACCEPTED, axum::Json(json!({ "id": id }))).into_response())
        }
        Err(error) => Err(problem(StatusCode::CONFLICT, &error.to_string())),
    }
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({ "error": text }))).into_response()
}

/// Binds the HTTP socket; the error says in words what to change.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "port {}/tcp on {} (HTTP) is taken by another program; end it, or choose another port: [http] listen, or \
             --http-port in the demo",
            address.port(),
            address.ip(),
        ),
        _ => format!("HTTP on {address}: {error}; change [http] listen"),
    })
}
