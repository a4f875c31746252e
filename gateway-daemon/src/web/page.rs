//! The page itself: one file of HTML, style and script, the same for every room. Only the script in it may run.

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

use super::Web;

/// `GET /room/NAME`.
pub async fn page(State(web): State<Web>) -> Response {
    let nonce = web.shared.guests.nonce();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         media-src 'self' blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let text = PAGE.replace("NONCE", &nonce);
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(text)).into_response()
}

const PAGE: &str = include_str!("page.html");
