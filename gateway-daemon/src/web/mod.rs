//! Rooms by browser: the page, and the few requests it makes. Signalling is one request (after WHIP, RFC 9725): `POST` of
//! an SDP offer, answered by 201 with ours; `DELETE` of the resource leaves.
//!
//! ```text
//! GET    /room/NAME                  the page; says nothing about the room
//! POST   /room/NAME/join?name=&lang= Authorization: Bearer PASS, application/sdp -> 201, Location, application/sdp
//! GET    /room/NAME/member/ID        who is there, who speaks; 410 and why, when it is over
//! POST   /room/NAME/member/ID/mute   {"muted": true}
//! DELETE /room/NAME/member/ID        leaves; as POST to .../leave, too, for pages that are going away
//! ```
//! PASS comes from the link (see [`link`]) and travels behind its `#`, which no browser sends and no proxy logs. ID is as
//! unguessable, and is known to the page alone. Requests that other pages make are refused by their Origin.

mod answer;
pub mod guests;
pub mod link;
mod page;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use gateway_core::base::ids::CallKey;
use gateway_core::base::limits::SDP_BYTES_MAX;
use gateway_core::base::pii::Pii;
use gateway_core::call::Route;
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::gateway::{Command, ROOM_BACKEND};
use gateway_core::io::signalling::GatewayHandle;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::{Entry, Role, RoomName, RoomSnapshot};
use gateway_core::leg::browser::offer::BrowserOffer;
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::Language;
use serde::Deserialize;
use serde_json::{Value, json};

use self::answer::{Refusal, refuse};
use self::guests::Found;
use crate::app::Shared;
use crate::config::Config;
use crate::config::browser::Browser;
use crate::config::values::language;
use crate::ivr::policy::Policy;
use crate::rest::{bearer, names_this_host};

/// What the page and its requests need.
#[derive(Clone)]
pub struct Web {
    handle: GatewayHandle,
    shared: Arc<Shared>,
    rules: Arc<Rules>,
}

/// What does not change.
struct Rules {
    policy: Policy,
    browser: Browser,
    /// Only this host may ask: nobody said how else the page is reached.
    this_host_only: bool,
    /// A PIN that is known in plain words because the demo has just drawn it.
    demo_pin: Option<(RoomName, Pii<String>)>,
}

impl Web {
    /// The page of a gateway whose configuration enables it.
    pub fn new(
        handle: GatewayHandle,
        shared: Arc<Shared>,
        config: &Config,
        demo_pin: Option<(RoomName, Pii<String>)>,
    ) -> Option<Self> {
        let browser = config.browser.clone()?;
        let is_loopback = config.http.listen.is_some_and(|address| address.ip().is_loopback());
        let this_host_only = is_loopback && browser.url.starts_with("http://");
        let rules = Rules { policy: Policy::new(config), browser, this_host_only, demo_pin };
        Some(Self { handle, shared, rules: Arc::new(rules) })
    }

    /// Its routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/room/{name}", get(page::page))
            .route("/room/{name}/join", post(join))
            .route("/room/{name}/member/{id}", get(look).delete(leave))
            .route("/room/{name}/member/{id}/mute", post(mute))
            .route("/room/{name}/member/{id}/leave", post(leave))
            .layer(DefaultBodyLimit::max(SDP_BYTES_MAX))
            .layer(middleware::from_fn_with_state(self.clone(), judge))
            .with_state(self)
    }

    /// The gateway as it was a moment ago, and not before this call.
    async fn look(&self, call: Option<CallKey>) -> Result<Arc<GatewaySnapshot>, Response> {
        let is_too_old = |snapshot: &GatewaySnapshot| {
            call.is_some_and(|call| snapshot.calls.iter().all(|other| other.call != call))
        };
        let seen = self.shared.seen.look_unless(is_too_old).await;
        seen.map_err(|_| refuse(Refusal::Stopped))
    }

    /// What the page shows of a room.
    fn show(&self, snapshot: &GatewaySnapshot, guest: &Found) -> Value {
        let call = |key| snapshot.calls.iter().find(|call| call.call == key);
        let members: Vec<Value> = room_of(snapshot, &guest.room)
            .map(|room| room.members.iter())
            .into_iter()
            .flatten()
            .map(|member| {
                let by = call(member.leg.call).map(|call| call.trunk);
                json!({
                    "name": member.label.reveal(),
                    "kind": if by == Some(guests::TRUNK) { "browser" } else { "phone" },
                    "host": member.role == Role::Host,
                    "waiting": member.waiting,
                    "speaking": member.speaking,
                    "muted": member.muted,
                    "hand": member.hand_raised,
                    "you": member.leg.call == guest.call,
                })
            })
            .collect();
        let own = call(guest.call);
        let pin = self.rules.demo_pin.as_ref().filter(|(room, _)| *room == guest.room);
        json!({
            "room": guest.room.as_str(),
            "state": own.map(|call| call.state),
            "muted": own.is_some_and(|call| call.muted),
            "members": members,
            "dial_in": self.rules.browser.dial_in,
            "pin": pin.map(|(_, pin)| pin.reveal()),
        })
    }

    fn route(&self, room: RoomName, role: Role, asked: &Asked) -> Result<Box<Route>, Refusal> {
        let rules = self.rules.policy.rooms.rules(&room);
        if rules.backend != ROOM_BACKEND {
            return Err(Refusal::Elsewhere);
        }
        Ok(Box::new(Route {
            backend: rules.backend.clone(),
            policy: rules.policy,
            room,
            role,
            label: Pii::new(asked.label()),
            language: asked.language(),
            length_max: None,
            note: Some("browser".to_owned()),
            entry: Entry::default(),
        }))
    }

    /// Who is named by the address, if he is still somebody.
    fn guest(&self, name: &str, id: &str) -> Result<Found, Response> {
        let room = room(name).map_err(refuse)?;
        let found = self.shared.guests.find(id).filter(|found| found.room == room);
        found.ok_or_else(|| refuse(Refusal::NobodyThere))
    }
}

/// What the page says about its person.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    name: String,
    #[serde(default)]
    lang: String,
}

impl Asked {
    /// What others see.
    fn label(&self) -> String {
        // Signs that turn the direction of the text around would change the line beside it.
        let turns = |sign: char| matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let words =
            self.name.split(|sign: char| sign.is_whitespace() || sign.is_control() || turns(sign));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let name: String = words.join(" ").chars().take(NAME_CHARS_MAX).collect();
        if name.is_empty() { "Browser guest".to_owned() } else { name }
    }

    /// `pt-PT` is better served in Brazilian than in English.
    fn language(&self) -> Language {
        let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let wanted = primary(&self.lang);
        let near = || Language::ALL.into_iter().find(|it| primary(it.tag()) == wanted);
        language(&self.lang).or_else(near).unwrap_or_default()
    }
}

/// Other pages may not ask, nor a name that a stranger's DNS points here; every answer says what the page may do.
async fn judge(State(web): State<Web>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = if web.rules.this_host_only && !names_this_host(headers) {
        refuse(Refusal::WrongHost)
    } else if !is_own_page(headers, &web.rules.browser.url) {
        refuse(Refusal::OtherPage)
    } else {
        next.run(request).await
    };
    answer::add_headers(response.headers_mut());
    response
}

/// A request of no page, or of ours: its Origin is the configured one, or the host that was asked.
fn is_own_page(headers: &HeaderMap, url: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    origin.eq_ignore_ascii_case(url) || (host.is_some() && host == text(header::HOST))
}

async fn join(
    State(web): State<Web>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let room = room(&name).map_err(refuse)?;
    let (key, now) = (&web.shared.key, wall_clock().unix.as_secs());
    let role = link::check(key, &room, bearer(&headers).unwrap_or_default(), now);
    let role = role.map_err(|why| refuse(Refusal::Pass(why)))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/sdp")) {
        return Err(refuse(Refusal::NotSdp));
    }
    let offer = BrowserOffer::parse(&body).map_err(|bad| refuse(Refusal::Offer(bad)))?;
    let route = web.route(room.clone(), role, &asked).map_err(refuse)?;
    let snapshot = web.look(None).await?;
    // The room itself decides; this is to say so before a connection is made.
    let inside = room_of(&snapshot, &room).map_or(0, |room| room.members.len());
    if inside >= route.policy.members_max {
        return Err(refuse(Refusal::Ended(EndReason::RoomFull)));
    }
    let shown = web.shared.shower.room(&room);
    let (ticket, answer) = web.shared.guests.ask(room).ok_or_else(|| refuse(Refusal::Busy))?;
    let command = Command::JoinFromBrowser { ticket, offer: Box::new(offer), route };
    web.handle.tell(command).await.map_err(|_| refuse(Refusal::Stopped))?;
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    let answer =
        answer.map_err(|_| refuse(Refusal::Busy))?.map_err(|_| refuse(Refusal::Stopped))?;
    let welcome = answer.map_err(|reason| refuse(Refusal::Ended(reason)))?;
    tracing::info!(call = %welcome.call, room = shown, "browser joins");
    Ok(answer::created(&name, &welcome))
}

async fn look(
    State(web): State<Web>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Response> {
    let guest = web.guest(&name, &id)?;
    if let Some(reason) = guest.ended {
        return Err(answer::gone(reason));
    }
    let snapshot = web.look(Some(guest.call)).await?;
    Ok(axum::Json(web.show(&snapshot, &guest)).into_response())
}

async fn leave(
    State(web): State<Web>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Response> {
    let guest = web.guest(&name, &id)?;
    let end = Command::End { call: guest.call, reason: EndReason::CallerHungUp };
    web.handle.tell(end).await.map_err(|_| refuse(Refusal::Stopped))?;
    Ok(StatusCode::OK.into_response())
}

/// `{"muted": true}`.
#[derive(Debug, Deserialize)]
struct Mute {
    muted: bool,
}

async fn mute(
    State(web): State<Web>,
    Path((name, id)): Path<(String, String)>,
    axum::Json(Mute { muted }): axum::Json<Mute>,
) -> Result<Response, Response> {
    let guest = web.guest(&name, &id)?;
    let mute = Command::Mute { call: guest.call, muted };
    web.handle.tell(mute).await.map_err(|_| refuse(Refusal::Stopped))?;
    Ok(axum::Json(json!({ "muted": muted })).into_response())
}

fn room(name: &str) -> Result<RoomName, Refusal> {
    RoomName::new(name).map_err(|_| Refusal::NoRoom)
}

/// A room of our own, if somebody is in it.
fn room_of<'a>(snapshot: &'a GatewaySnapshot, name: &RoomName) -> Option<&'a RoomSnapshot> {
    let own = snapshot.rooms.iter().filter(|(backend, _)| backend == ROOM_BACKEND);
    own.map(|(_, room)| room).find(|room| room.name == *name)
}

/// Ports are opened and the answer is written in a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const NAME_CHARS_MAX: usize = 40;

#[cfg(test)]
mod tests;
