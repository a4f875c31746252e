//! What Jitsi Meet's web client asks for its invitation: the numbers to dial, and a PIN for its room.
//!
//! ```text
//! GET /phoneNumberList                             the numbers
//! GET /conferenceMapper?conference=ROOM@MUC        its PIN, made if need be: {"message", "id": 123456789, "conference"}
//! GET /conferenceMapper?id=PIN (or cid=)           its room, for a PBX with Authorization: Bearer TOKEN
//! POST /conferenceMapper                           either, with the same names in a JSON body or a form
//! ```
//! The first two are public: browsers ask. So a PIN is given only for rooms that are there or that the configuration
//! names, so many a minute, and never the other way round. What the client cannot use it shows as `message`.

pub(crate) mod limit;
mod reply;
mod room_size;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::leg::backend::{RoomName, RoomSnapshot};
use serde::Deserialize;
use serde_json::Value;

use self::limit::Limit;
use self::reply::Reply;
use crate::config::Config;
use crate::config::dial_in::DialIn as Settings;
use crate::config::typed::Rooms;
use crate::pin::PinKind;
use crate::pin::handle::{Checked, PinCheck, Pins};
use crate::pin::mint::{Issuer, Mint, PinError};
use crate::rest::{bearer, same};
use crate::seen::Seen;

/// The two pages.
#[derive(Clone)]
pub struct DialIn {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    rooms: Rooms,
    sites: Vec<Site>,
    pins: Pins,
    /// Knows which rooms have phones in them.
    gateway: Option<Seen>,
    limit: Mutex<Limit>,
}

/// A Jitsi deployment.
struct Site {
    /// Name of its backend.
    backend: String,
    /// Host of its rooms.
    rooms: String,
    /// Its main host.
    domain: String,
}

/// What is asked of `/conferenceMapper`.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    conference: Option<String>,
    id: Option<String>,
    cid: Option<String>,
    /// Instead of `conference`: the room without its host, and the main host.
    room: Option<String>,
    domain: Option<String>,
}

impl Asked {
    /// A body: JSON, in which digits may be a number, or a form. `None`: something else.
    fn posted(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        if !text.trim_start().starts_with('{') {
            let form = format!("/?{}", text.trim()).parse().ok()?;
            return Query::try_from_uri(&form).ok().map(|Query(asked)| asked);
        }
        let body: Value = serde_json::from_str(text).ok()?;
        let field = |name: &str| match &body[name] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Some(Self {
            conference: field("conference"),
            id: field("id"),
            cid: field("cid"),
            room: field("room"),
            domain: field("domain"),
        })
    }
}

impl DialIn {
    /// The pages of a gateway whose configuration enables them.
    pub fn new(config: &Config, pins: Pins, gateway: Option<Seen>) -> Option<Self> {
        let settings = config.dial_in.clone()?;
        let site = |jitsi: &crate::config::jitsi::Jitsi| Site {
            backend: jitsi.name.clone(),
            rooms: jitsi.settings.rooms.clone(),
            domain: jitsi.settings.domain.clone(),
        };
        let sites = config.jitsi.iter().map(site).collect();
        let limit = Mutex::new(Limit::new(settings.per_minute));
        let rooms = config.rooms.clone();
        Some(Self { inner: Arc::new(Inner { settings, rooms, sites, pins, gateway, limit }) })
    }

    /// Their routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/phoneNumberList", get(numbers))
            .route("/conferenceMapper", get(mapper).post(mapper_posted))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn_with_state(self.clone(), allow))
            .with_state(self)
    }

    async fn pin_of(&self, conference: &str) -> Reply {
        let Some(room) = self.room(conference) else { return Reply::unknown_room() };
        if !self.is_there(&room, conference).await {
            return Reply::not_there();
        }
        match self.inner.pins.mint(Mint::new(room, PinKind::Guest, Issuer::Page)).await {
            Ok(pin) => Reply::mapping(pin.digits.reveal(), conference),
            Err(PinError::NotAllowed(_)) => Reply::no_dial_in(),
            Err(error) => {
                tracing::warn!(%error, "no PIN for the dial-in page");
                Reply::unavailable()
            }
        }
    }

    /// The room of `room@host`, if it is one of a Jitsi of ours.
    fn room(&self, conference: &str) -> Option<RoomName> {
        let conference = conference.to_lowercase();
        let (room, host) = conference.split_once('@')?;
        let host = host.split('/').next()?;
        let room = RoomName::new(&decoded(room)).ok()?;
        let backend = &self.inner.rooms.rules(&room).backend;
        let is_its = |site: &Site| site.backend == *backend && site.rooms == host;
        self.inner.sites.iter().any(is_its).then_some(room)
    }

    async fn is_there(&self, room: &RoomName, conference: &str) -> bool {
        let inner = &self.inner;
        if inner.settings.rooms.iter().any(|pattern| pattern.matches(room.as_str())) {
            return true;
        }
        if let Some(gateway) = &inner.gateway
            && let Ok(snapshot) = gateway.look().await
            && has_phone(&snapshot, &inner.rooms.rules(room).backend, room)
        {
            return true;
        }
        let Some(room_size) = &inner.settings.room_size else { return false };
        room_size::is_there(room_size, conference).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "[dial_in] room_size does not answer");
            false
        })
    }

    async fn room_of(&self, digits: &str) -> Reply {
        if digits.len() > 20 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Reply::no_mapping(digits);
        }
        let check = PinCheck {
            digits: Pii::new(digits.to_owned()),
            room: None,
            caller: None,
            trunk: TrunkId::PAGES,
            call: None,
            source: None,
        };
        match self.inner.pins.check(check).await {
            Checked::Valid(grant) => Reply::mapping(digits, &self.address(&grant.room)),
            Checked::Refused(_) => Reply::no_mapping(digits),
            Checked::Unavailable => Reply::unavailable(),
        }
    }

    /// The address of a room as the client would write it.
    fn address(&self, room: &RoomName) -> String {
        let backend = &self.inner.rooms.rules(room).backend;
        let site = self.inner.sites.iter().find(|site| site.backend == *backend);
        site.map_or_else(
            || room.as_str().to_owned(),
            |site| format!("{}@{}", room.as_str(), site.rooms),
        )
    }

    /// What `room` and `domain` stand for.
    fn conference(&self, room: &str, domain: &str) -> String {
        let is_its = |site: &&Site| site.domain.eq_ignore_ascii_case(domain);
        let host = self.inner.sites.iter().find(is_its).map_or(domain, |site| &site.rooms);
        format!("{room}@{host}")
    }

    async fn answer(&self, from: IpAddr, headers: &HeaderMap, asked: Asked) -> Reply {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let digits = given(asked.id).or(given(asked.cid));
        let in_parts = given(asked.room).zip(given(asked.domain));
        let in_parts = in_parts.map(|(room, domain)| self.conference(&room, &domain));
        match (given(asked.conference).or(in_parts), digits) {
            (None, None) => Reply::nothing_asked(),
            (_, Some(digits)) => {
                let token = self.inner.settings.token.as_ref();
                let is_known = token.is_some_and(|token| {
                    bearer(headers).is_some_and(|given| same(given, token.reveal()))
                });
                if is_known { self.room_of(&digits).await } else { Reply::needs_token() }
            }
            (Some(_), None) if self.is_too_much(from) => Reply::too_many(),
            (Some(conference), None) => self.pin_of(&conference).await,
        }
    }

    fn is_too_much(&self, from: IpAddr) -> bool {
        let mut limit = self.inner.limit.lock().unwrap_or_else(PoisonError::into_inner);
        !limit.take(Instant::now(), from)
    }
}

async fn numbers(State(pages): State<DialIn>) -> Response {
    let settings = &pages.inner.settings;
    Reply::numbers(&settings.numbers, settings.by_country).into_response()
}

async fn mapper(
    State(pages): State<DialIn>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    pages.answer(client(peer, &headers), &headers, asked).await.into_response()
}

/// The same by a body, as programs ask.
async fn mapper_posted(
    State(pages): State<DialIn>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked::posted(&body).unwrap_or_default();
    pages.answer(client(peer, &headers), &headers, asked).await.into_response()
}

/// Whether one of our phones is in this very room: a room of the same name elsewhere is another.
fn has_phone(snapshot: &GatewaySnapshot, backend: &str, room: &RoomName) -> bool {
    let is_it = |(name, seen): &(String, RoomSnapshot)| {
        name == backend && seen.name == *room && !seen.members.is_empty()
    };
    snapshot.rooms.iter().any(is_it)
}

/// Pages of other hosts that may ask are told so (CORS).
async fn allow(State(pages): State<DialIn>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let is_allowed = |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|text| pages.inner.settings.origins.iter().any(|it| it == text))
    };
    if let Some(origin) = origin.filter(is_allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Whose question it is, here and at other doors. A proxy on this host names him last in `X-Forwarded-For`; nobody else is
/// believed.
pub(crate) fn client(peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.ip().to_canonical();
    let named = headers.get_all("x-forwarded-for").iter().next_back();
    let named = named.and_then(|text| text.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    if peer.is_loopback() { named.unwrap_or(peer) } else { peer }
}

/// Room names come as the MUC has them: percent-encoded. What is no UTF-8 stays as it is.
fn decoded(room: &str) -> String {
    let mut bytes = Vec::with_capacity(room.len());
    let mut rest = room.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| room.to_owned())
}

/// Of a question by POST.
const BODY_BYTES_MAX: usize = 4 * 1024;
