//! `/v1`: PINs, calls and rooms for programs. Off without a token in `[api]`; `docs/api.md` and `/v1/openapi.json` say
//! what each request takes and gives, and tests hold both to the code.
//!
//! ```text
//! GET  /v1/pins            POST /v1/pins           GET  /v1/pins/ID       DELETE /v1/pins/ID
//! GET  /v1/calls           GET  /v1/calls/ID       POST /v1/calls/ID/mute, move, admit, hangup
//! GET  /v1/rooms           POST /v1/pin/check      GET  /v1/openapi.json
//! ```
//! Every refusal is a [`problem`]. No answer and no log line holds a PIN but the one that made it.

mod calls;
mod check;
mod door;
mod openapi;
mod pins;
pub mod problem;
pub mod read;
mod rooms;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{any, get, post};
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::io::signalling::GatewayHandle;

use self::problem::{NO_PAGE, Problem, UNAVAILABLE, WRONG_METHOD};
use crate::app::Shared;
use crate::config::Config;
use crate::config::api::Api as Settings;
use crate::dial_in::limit::Limit;
use crate::ivr::policy::Policy;
use crate::pin::mint::PinError;
use crate::privacy::Shower;

/// The interface.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    policy: Policy,
    shower: Shower,
    handle: GatewayHandle,
    shared: Arc<Shared>,
    limit: Mutex<Limit>,
}

impl Api {
    /// The interface of a gateway whose configuration has a token for it.
    pub fn new(config: &Config, handle: GatewayHandle, shared: Arc<Shared>) -> Option<Self> {
        let settings = config.api.clone()?;
        let limit = Mutex::new(Limit::new(settings.per_minute));
        let rooms = crate::config::typed::Showing::Full;
        let shower = Shower::new(shared.key.clone(), settings.numbers, rooms);
        let policy = Policy::new(config);
        Some(Self { inner: Arc::new(Inner { settings, policy, shower, handle, shared, limit }) })
    }

    /// Its routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/pins", get(pins::list).post(pins::mint))
            .route("/v1/pins/{id}", get(pins::look).delete(pins::revoke))
            .route("/v1/calls", get(calls::list))
            .route("/v1/calls/{id}", get(calls::look))
            .route("/v1/calls/{id}/mute", post(calls::mute))
            .route("/v1/calls/{id}/move", post(calls::move_to))
            .route("/v1/calls/{id}/admit", post(calls::admit))
            .route("/v1/calls/{id}/hangup", post(calls::hang_up))
            .route("/v1/rooms", get(rooms::list))
            .route("/v1/pin/check", post(check::check))
            .route("/v1/openapi.json", get(openapi::document))
            .route("/v1/", any(no_page))
            .route("/v1/{*rest}", any(no_page))
            .method_not_allowed_fallback(wrong_method)
            .layer(DefaultBodyLimit::max(read::BODY_BYTES_MAX))
            .layer(middleware::from_fn_with_state(self.clone(), door::guard))
            .with_state(self)
    }

    async fn snapshot(&self) -> Result<GatewaySnapshot, Problem> {
        self.inner.handle.snapshot().await.map_err(|_| stopped())
    }
}

async fn no_page() -> Problem {
    NO_PAGE.because("there is nothing below this path", "see /v1/openapi.json")
}

async fn wrong_method() -> Problem {
    WRONG_METHOD.because("this page does not take that method", "see the header Allow")
}

fn stopped() -> Problem {
    UNAVAILABLE.because("the gateway stops", "ask another gateway, or this one when it is back")
}

/// What the registry said, without anything of its place.
fn registry(error: &PinError) -> Problem {
    match error {
        PinError::NotAllowed(_) => problem::NOT_ALLOWED.because(
            "PINs of this room are not given out by REST",
            "add \"rest\" to `mint` of its [[room_policy]], or of [room]",
        ),
        PinError::Stopped => stopped(),
        error => {
            tracing::warn!(%error, "the PIN registry could not answer a program");
            let detail = "the PIN registry does not answer";
            UNAVAILABLE.because(detail, "see /health, and try again in some seconds")
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
