//! `/v1/pins`: list, make, look at, end. Digits are in the answer that makes a PIN and nowhere else.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway_core::base::pii::Pii;
use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{NO_PIN, Problem};
use super::read::{self, Asked, Body, Id};
use super::{Api, registry};
use crate::config::schema::LANGUAGES;
use crate::config::values::language;
use crate::pin::mint::{Issuer, Life, Mint};
use crate::pin::{DIGITS_MAX, DIGITS_MIN, PinEntry, PinKind, role_name};
use crate::wall::rfc3339;

/// Which PINs are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    room: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// A wish for a PIN.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    room: String,
    kind: Option<String>,
    role: Option<String>,
    owner: Option<String>,
    caller: Option<String>,
    language: Option<String>,
    ttl_s: Option<u64>,
    #[serde(default)]
    never_ends: bool,
    uses_max: Option<u32>,
    digits: Option<u8>,
    with_meeting: Option<bool>,
    shared: Option<bool>,
}

pub(super) async fn list(State(api): State<Api>, asked: Asked<Which>) -> Result<Response, Problem> {
    let which = read::query(asked)?;
    let limit = which.limit.unwrap_or(LISTED).clamp(1, LISTED_MAX);
    let room = which.room.as_deref().map(|name| read::room("room", name)).transpose()?;
    let wall = wall_clock();
    if let Some(state) = &which.state
        && !STATES.contains(&state.as_str())
    {
        return Err(Problem::field("state", "no such state", format!("one of {STATES:?}")));
    }
    let all = api.inner.shared.pins().list().await.map_err(|error| registry(&error))?;
    let fits = |entry: &&PinEntry| {
        room.as_ref().is_none_or(|room| entry.room == *room)
            && which.state.as_ref().is_none_or(|wanted| state(entry, wall) == wanted)
    };
    // Newest first: `after` is the last one of the page before.
    let begins = which.after.as_ref().and_then(|id| all.iter().position(|it| it.id == *id));
    let mut found = all.iter().skip(begins.map_or(0, |at| at + 1)).filter(fits);
    let pins: Vec<Value> = found.by_ref().take(limit).map(|entry| show(entry, wall)).collect();
    let more = found.next().is_some();
    Ok(axum::Json(json!({ "pins": pins, "more": more })).into_response())
}

pub(super) async fn look(State(api): State<Api>, id: Id) -> Result<Response, Problem> {
    let entry = api.pin(&read::id(id)).await?;
    Ok(axum::Json(show(&entry, wall_clock())).into_response())
}

pub(super) async fn mint(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wish: Wish = read::json(&headers, body)?;
    let mint = wish.mint()?;
    let pins = api.inner.shared.pins();
    let pin = pins.mint(mint).await.map_err(|error| registry(&error))?;
    let entry = api.pin(&pin.id).await?;
    let mut shown = show(&entry, wall_clock());
    if let Value::Object(fields) = &mut shown {
        fields.insert("pin".to_owned(), json!(pin.digits.reveal()));
    }
    let status = if pin.is_recalled { StatusCode::OK } else { StatusCode::CREATED };
    let place = [(header::LOCATION, format!("/v1/pins/{}", pin.id))];
    Ok((status, place, axum::Json(shown)).into_response())
}

pub(super) async fn revoke(State(api): State<Api>, id: Id) -> Result<Response, Problem> {
    let id = read::id(id);
    let pins = api.inner.shared.pins();
    match pins.revoke(&id, Issuer::Rest).await.map_err(|error| registry(&error))? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(no_pin("there is no PIN with this id that still lives")),
    }
}

impl Api {
    async fn pin(&self, id: &str) -> Result<PinEntry, Problem> {
        let found = self.inner.shared.pins().find(id).await.map_err(|error| registry(&error))?;
        found.ok_or_else(|| no_pin("there is no PIN with this id, or it is forgotten"))
    }
}

impl Wish {
    fn mint(self) -> Result<Mint, Problem> {
        let room = read::room("room", &self.room)?;
        let kind = match self.kind.as_deref() {
            None => PinKind::Guest,
            Some(name) => PinKind::of(name).ok_or_else(|| {
                let names = PinKind::ALL.map(PinKind::name);
                Problem::field("kind", "no such kind", format!("send one of {names:?}"))
            })?,
        };
        if kind != PinKind::Personal && (self.owner.is_some() || self.caller.is_some()) {
            let detail = "owner and caller make a PIN somebody's";
            return Err(Problem::field("kind", detail, "send \"kind\": \"personal\" with them"));
        }
        let mut mint = Mint::new(room, kind, Issuer::Rest);
        mint.recalled &= self.is_shared(kind)?;
        mint.role = self.role.as_deref().map(read::role).transpose()?;
        mint.owner = self.owner.as_deref().map(person).transpose()?;
        mint.caller = self.caller.as_deref().map(telephone).transpose()?;
        mint.language = self.language.as_deref().map(spoken).transpose()?;
        mint.life = life(self.ttl_s, self.never_ends)?;
        if self.uses_max == Some(0) {
            return Err(Problem::field("uses_max", "a PIN of no use", "send 1 or more"));
        }
        mint.uses_max = self.uses_max;
        if self.digits.is_some_and(|digits| !(DIGITS_MIN..=DIGITS_MAX).contains(&digits)) {
            let remedy = format!("send {DIGITS_MIN} to {DIGITS_MAX}, or leave it out");
            return Err(Problem::field("digits", "no such length", remedy));
        }
        mint.digits = self.digits;
        mint.dies_with_meeting = self.with_meeting.unwrap_or(mint.dies_with_meeting);
        Ok(mint)
    }

    /// The PIN that all of a room share is told again to whoever asks, so it must be like everybody's.
    fn is_shared(&self, kind: PinKind) -> Result<bool, Problem> {
        let is_plain = kind == PinKind::Guest
            && self.role.as_deref().is_none_or(|role| role == "guest")
            && self.language.is_none()
            && self.ttl_s.is_none()
            && !self.never_ends
            && self.uses_max.is_none()
            && self.digits.is_none()
            && self.with_meeting.is_none();
        match self.shared {
            Some(true) if !is_plain => {
                let detail = "the PIN that all share has no conditions of its own";
                Err(Problem::field("shared", detail, "leave out `shared`, or all but `room`"))
            }
            shared => Ok(shared.unwrap_or(true) && is_plain),
        }
    }
}

fn person(name: &str) -> Result<Pii<String>, Problem> {
    let words = name.split(|sign: char| sign.is_whitespace() || sign.is_control());
    let name = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match name.chars().count() {
        1..=OWNER_CHARS_MAX => Ok(Pii::new(name)),
        _ => Err(Problem::field(
            "owner",
            format!("a name has 1 to {OWNER_CHARS_MAX} characters"),
            "send the name that others in the room may see",
        )),
    }
}

fn telephone(number: &str) -> Result<Pii<String>, Problem> {
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let filler = |sign: char| sign.is_ascii_digit() || "+ -().".contains(sign);
    match (3..=20).contains(&digits) && number.chars().all(filler) {
        true => Ok(Pii::new(number.to_owned())),
        false => Err(Problem::field("caller", "no telephone number", "send \"+622155501234\"")),
    }
}

fn spoken(tag: &str) -> Result<gateway_core::media::clip::Language, Problem> {
    language(tag).ok_or_else(|| {
        Problem::field("language", "not spoken here", format!("send one of {LANGUAGES:?}"))
    })
}

fn life(ttl_s: Option<u64>, never_ends: bool) -> Result<Life, Problem> {
    match (ttl_s, never_ends) {
        (None, false) => Ok(Life::Usual),
        (None, true) => Ok(Life::Ever),
        (Some(seconds @ LIFE_S_MIN..=LIFE_S_MAX), false) => {
            Ok(Life::For(Duration::from_secs(seconds)))
        }
        (Some(_), false) => {
            let remedy = format!("send {LIFE_S_MIN} to {LIFE_S_MAX} seconds, or never_ends");
            Err(Problem::field("ttl_s", "no such life", remedy))
        }
        (Some(_), true) => {
            Err(Problem::field("never_ends", "there is ttl_s too", "send one of the two"))
        }
    }
}

fn no_pin(detail: &str) -> Problem {
    NO_PIN.because(detail, "GET /v1/pins lists those that are kept")
}

/// The states of [`PinEntry::state`] as programs read them.
const STATES: [&str; 5] = ["live", "revoked", "expired", "over", "used_up"];

fn state(entry: &PinEntry, wall: WallClock) -> &'static str {
    match entry.state(wall) {
        "used up" => "used_up",
        other => other,
    }
}

fn show(entry: &PinEntry, wall: WallClock) -> Value {
    json!({
        "id": entry.id,
        "room": entry.room.as_str(),
        "kind": entry.kind.name(),
        "role": role_name(entry.role),
        "state": state(entry, wall),
        "owner": entry.owner.as_ref().map(|owner| owner.reveal()),
        "has_caller": entry.caller.is_some(),
        "language": entry.language.map(|language| language.tag()),
        "created": rfc3339(entry.created),
        "expires": entry.expires.map(rfc3339),
        "revoked": entry.revoked.map(rfc3339),
        "closes": entry.closes.map(rfc3339),
        "with_meeting": entry.dies_with_meeting,
        "issuer": entry.issuer,
        "uses_max": entry.uses_max,
        "uses": entry.uses,
    })
}

/// PINs of a page, where nobody says how many.
const LISTED: usize = 100;
const LISTED_MAX: usize = 1_000;
/// A name that a label in a room can show.
const OWNER_CHARS_MAX: usize = 64;
const LIFE_S_MIN: u64 = 60;
/// Ten years; longer is for ever.
const LIFE_S_MAX: u64 = 315_360_000;
