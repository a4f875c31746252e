//! The `route` hook: a program says where a call goes, before its caller is asked for a PIN.
//!
//!   call comes in -> cached? -> asked -> join, pin, refuse
//!                                 silent, nonsense -> as without it, or refused
//!
//! The caller hears ringing meanwhile. What the program says is read strictly: a field that is not known is nonsense,
//! because it may have been a condition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_core::base::ids::CallKey;
use gateway_core::base::pii::Pii;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::Language;
use gateway_core::media::clip::prompt::PromptId;
use gateway_core::sip::endpoint::InviteFacts;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::post::{Letter, Post, PostFailure};
use super::{Hook, Shared};
use crate::config::hooks::RouteHook;
use crate::config::values::language;
use crate::privacy::Shower;

/// What a program says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Into a room, without a PIN.
    Join {
        /// Which.
        room: RoomName,
        /// Standing.
        role: Role,
        /// What others see; `None`: as the room's policy says.
        label: Option<Pii<String>>,
        /// Language of the words; `None`: as without the hook.
        language: Option<Language>,
    },
    /// Ask for a PIN.
    Pin {
        /// Only PINs of this room are valid.
        room: Option<RoomName>,
        /// Language of the words.
        language: Option<Language>,
    },
    /// Not here.
    Refuse {
        /// Why.
        reason: EndReason,
        /// Words before the end: answers the call. None: a final response.
        words: Vec<PromptId>,
        /// Language of the words.
        language: Option<Language>,
    },
}

/// Asks the program.
#[derive(Clone, Debug)]
pub struct RouteDesk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hook: RouteHook,
    post: Post,
    shower: Shower,
    shared: Arc<Shared>,
    /// Questions at the same time.
    places: Semaphore,
    numbers: AtomicU64,
    cache: Mutex<Cache>,
}

/// Answers and the end of their life, by what was asked.
#[derive(Debug, Default)]
struct Cache(BTreeMap<String, (Instant, Decision)>);

/// What is asked of a call.
#[derive(Clone, Debug)]
pub struct Question {
    /// The call.
    pub call: CallKey,
    /// Name of its trunk.
    pub trunk: String,
    /// Its INVITE.
    pub facts: Arc<InviteFacts>,
}

impl RouteDesk {
    pub(super) fn new(hook: RouteHook, post: Post, shower: Shower, shared: Arc<Shared>) -> Self {
        let places = Semaphore::new(ASKED_AT_ONCE);
        let (numbers, cache) = (AtomicU64::new(0), Mutex::default());
        Self { inner: Arc::new(Inner { hook, post, shower, shared, places, numbers, cache }) }
    }

    /// Whether silence ends calls.
    pub fn refuses(&self) -> bool {
        self.inner.hook.refuses
    }

    /// What the program says; `None`: nothing of use, within `route_timeout_ms`.
    pub async fn ask(&self, question: &Question) -> Option<Decision> {
        let inner = &self.inner;
        let what = inner.asked(question);
        if let Some(known) = inner.cached(&what, Instant::now()) {
            inner.shared.count(|counters| counters.hook_routes_cached += 1);
            return Some(known);
        }
        inner.shared.count(|counters| counters.hook_routes_asked += 1);
        let said = tokio::time::timeout(inner.hook.timeout, inner.exchange(question, &what)).await;
        let said = said.unwrap_or_else(|_| Err("too many calls wait for it".to_owned()));
        match said {
            Ok(decision) => {
                inner.shared.note(Hook::Route, None);
                inner.keep(what, Instant::now(), &decision);
                Some(decision)
            }
            Err(what) => {
                inner.shared.count(|counters| counters.hook_routes_failed += 1);
                inner.shared.note(Hook::Route, Some(what));
                None
            }
        }
    }
}

impl Inner {
    /// What an answer depends on: everything that is told but the call itself.
    fn asked(&self, question: &Question) -> String {
        let facts = &question.facts;
        let wants = |name: &str| self.hook.headers.iter().any(|it| it.eq_ignore_ascii_case(name));
        let headers = facts.headers.iter().filter(|(name, _)| wants(name)).take(HEADERS_MAX);
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            let value = value.reveal().chars().take(HEADER_CHARS_MAX).collect();
            told.entry(name.to_ascii_lowercase()).or_default().push(value);
        }
        let caller = (!facts.anonymous && !facts.caller.reveal().is_empty())
            .then(|| self.shower.number(facts.caller.reveal()));
        json!({
            "trunk": question.trunk,
            "caller": caller,
            "dialled": self.shower.number(facts.request_user.reveal()),
            "headers": told,
        })
        .to_string()
    }

    async fn exchange(&self, question: &Question, what: &str) -> Result<Decision, String> {
        // Never closed: the error cannot be.
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        let id = format!("route-{}", self.numbers.fetch_add(1, Ordering::Relaxed) + 1);
        let mut body: Map<String, Value> = serde_json::from_str(what).unwrap_or_default();
        body.insert("call".to_owned(), json!(question.call.to_string()));
        body.insert("call_id".to_owned(), json!(question.facts.call_id));
        let body = Value::Object(body).to_string();
        let letter = Letter { event: "route", id: &id, body: &body };
        let answer = self.post.send(letter, self.hook.timeout).await.map_err(|failure| {
            let (PostFailure::Later(what) | PostFailure::Refused(what)) = failure;
            what
        })?;
        read(&answer).map_err(|what| format!("its answer: {what}; see docs/hooks.md"))
    }

    fn cached(&self, what: &str, now: Instant) -> Option<Decision> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.0.get(what).filter(|(until, _)| now < *until).map(|(_, decision)| decision.clone())
    }

    fn keep(&self, what: String, now: Instant, decision: &Decision) {
        if self.hook.cache == Duration::ZERO {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.0.len() >= CACHED_MAX {
            cache.0.retain(|_, (until, _)| now < *until);
        }
        // Full of answers that are good: others are asked for each time.
        if cache.0.len() < CACHED_MAX {
            cache.0.insert(what, (now + self.hook.cache, decision.clone()));
        }
    }
}

/// An answer as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    action: String,
    room: Option<String>,
    role: Option<String>,
    label: Option<String>,
    language: Option<String>,
    reason: Option<String>,
    words: Option<Vec<String>>,
}

/// Reads an answer; the error says what is wrong with it, without its values.
pub fn read(bytes: &[u8]) -> Result<Decision, String> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| {
        format!("not readable at line {} column {}", error.line(), error.column())
    })?;
    let room = answer.room.as_deref().map(RoomName::new).transpose();
    let room = room.map_err(|_| "`room` is no name of a room")?;
    let language = match &answer.language {
        None => None,
        Some(tag) => Some(language(tag).ok_or("`language` is not spoken here")?),
    };
    let only = |fields: &[(&str, bool)]| match fields.iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(format!("`{field}` does not go with this `action`")),
        None => Ok(()),
    };
    let (has_reason, has_words) = (answer.reason.is_some(), answer.words.is_some());
    let (has_role, has_label) = (answer.role.is_some(), answer.label.is_some());
    match answer.action.as_str() {
        "join" => {
            only(&[("reason", has_reason), ("words", has_words)])?;
            let role = match answer.role.as_deref() {
                None | Some("guest") => Role::Guest,
                Some("host") => Role::Host,
                Some(_) => return Err("`role` is neither guest nor host".to_owned()),
            };
            let label = answer.label.as_deref().map(label).transpose()?;
            let room = room.ok_or("`join` needs a `room`")?;
            Ok(Decision::Join { room, role, label, language })
        }
        "pin" => {
            only(&[
                ("reason", has_reason),
                ("words", has_words),
                ("role", has_role),
                ("label", has_label),
            ])?;
            Ok(Decision::Pin { room, language })
        }
        "refuse" => {
            only(&[("role", has_role), ("label", has_label), ("room", room.is_some())])?;
            let reason = reason(answer.reason.as_deref())?;
            let words = answer.words.unwrap_or_default();
            if words.len() > WORDS_MAX {
                return Err(format!("more than {WORDS_MAX} `words`"));
            }
            let words: Option<_> = words.iter().map(|name| PromptId::from_name(name)).collect();
            let words = words.ok_or("`words` has a name that is no prompt")?;
            Ok(Decision::Refuse { reason, words, language })
        }
        _ => Err("`action` is none of join, pin, refuse".to_owned()),
    }
}

fn reason(name: Option<&str>) -> Result<EndReason, String> {
    match name {
        None | Some("forbidden") => Ok(EndReason::Forbidden),
        Some("not_found") => Ok(EndReason::NotFound),
        Some("busy") => Ok(EndReason::Overloaded),
        Some("later") => Ok(EndReason::ServiceUnavailable),
        Some(_) => Err("`reason` is none of forbidden, not_found, busy, later".to_owned()),
    }
}

/// A name that others see: one line, no signs that turn its direction around.
fn label(text: &str) -> Result<Pii<String>, String> {
    let turns = |sign: char| matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_bad = |sign: char| sign.is_control() || turns(sign);
    let text = text.trim();
    match text.is_empty() || text.chars().count() > LABEL_CHARS_MAX || text.chars().any(is_bad) {
        true => Err(format!("`label` is no line of 1 to {LABEL_CHARS_MAX} characters")),
        false => Ok(Pii::new(text.to_owned())),
    }
}

/// Questions at the same time: a program that takes a second is asked for 64 calls a second.
const ASKED_AT_ONCE: usize = 64;
/// Answers that are remembered: at 300 bytes each 3 MB.
const CACHED_MAX: usize = 10_000;
const HEADERS_MAX: usize = 16;
const HEADER_CHARS_MAX: usize = 512;
const LABEL_CHARS_MAX: usize = 64;
const WORDS_MAX: usize = 4;
