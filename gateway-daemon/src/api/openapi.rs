//! `GET /v1/openapi.json`: what this interface takes and gives, for programs that make programs. Written by hand;
//! `tests/api` holds it against the routes and against real answers.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

const DOCUMENT: &str = include_str!("openapi.json");
