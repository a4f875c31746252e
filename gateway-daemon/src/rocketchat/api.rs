//! The requests we send to a workspace and what we take from the answers. Every request here passes the official
//! validators of `@rocket.chat/rest-typings` (test `rocketchat` of `tests-peers`).

use gateway_core::base::pii::Pii;
use serde_json::{Value, json};

use super::ids::Id;

/// A request, without the headers that log in.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `/api/v1/...` with its query, below the workspace's address.
    pub path: String,
    /// Body of a POST; `None`: a GET.
    pub body: Option<Value>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Api {
    /// Who we are.
    Me,
    /// Version of the server.
    Info,
    /// A call's record.
    Call(Id),
    /// Calls of a room, newest first.
    CallsOf(Id),
    /// Rooms in which something happened since then (RFC 3339), as far as we are a member.
    RoomsSince(String),
    /// A room by its name.
    RoomNamed(String),
    /// Writes a message under another; the id is ours, so that a second attempt makes no second message.
    Reply {
        /// Id of the new message.
        message: Id,
        /// Room.
        room: Id,
        /// The message above.
        thread: Id,
        /// Text.
        text: Pii<String>,
    },
    /// Writes to one user alone.
    Tell {
        /// His name.
        username: Pii<String>,
        /// Text.
        text: Pii<String>,
    },
    /// Writes into a room of one user and us.
    TellIn {
        /// Id of the new message.
        message: Id,
        /// Room.
        room: Id,
        /// Text.
        text: Pii<String>,
    },
    /// Changes a message of ours.
    Edit {
        /// The message.
        message: Id,
        /// Room.
        room: Id,
        /// New text.
        text: Pii<String>,
    },
    /// Deletes a message of ours.
    Delete {
        /// The message.
        message: Id,
        /// Room.
        room: Id,
    },
    /// Writes under a message by the workspace's incoming webhook, whose path is a secret. It tells no id of the message.
    HookReply {
        /// `/hooks/ID/TOKEN`.
        hook: Pii<String>,
        /// Room.
        room: Id,
        /// The message above.
        thread: Id,
        /// Text.
        text: Pii<String>,
    },
    /// Writes to one user alone by it.
    HookTell {
        /// `/hooks/ID/TOKEN`.
        hook: Pii<String>,
        /// His name.
        username: Pii<String>,
        /// Text.
        text: Pii<String>,
    },
    /// A user with his roles.
    User(Id),
    /// Makes an outgoing webhook.
    MakeWebhook(Webhook),
    /// Webhooks there are.
    Webhooks,
}

/// An outgoing webhook to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Name in the list of integrations.
    pub name: String,
    /// As whom it would answer: we never let it.
    pub username: String,
    /// Our address.
    pub url: String,
    /// Words that trigger it.
    pub words: Vec<String>,
    /// The secret it shows us.
    pub token: Pii<String>,
}

impl Api {
    /// As it goes over the wire.
    pub fn request(&self) -> Request {
        let get = |path: String| Request { path: format!("/api/v1/{path}"), body: None };
        let post =
            |path: &str, body: Value| Request { path: format!("/api/v1/{path}"), body: Some(body) };
        match self {
            Self::Me => get("me".to_owned()),
            // The only one outside /api/v1.
            Self::Info => Request { path: "/api/info".to_owned(), body: None },
            Self::Call(call) => {
                get(format!("video-conference.info?callId={}", encoded(call.as_str())))
            }
            Self::CallsOf(room) => get(format!(
                "video-conference.list?roomId={}&count={CALLS_LISTED}",
                encoded(room.as_str())
            )),
            Self::RoomsSince(since) => get(format!("rooms.get?updatedSince={}", encoded(since))),
            Self::RoomNamed(name) => get(format!("rooms.info?roomName={}", encoded(name))),
            Self::User(user) => get(format!("users.info?userId={}", encoded(user.as_str()))),
            Self::Webhooks => get("integrations.list?count=100".to_owned()),
            Self::Reply { message, room, thread, text } => post(
                "chat.sendMessage",
                json!({
                    "message": {
                        "_id": message.as_str(), "rid": room.as_str(), "tmid": thread.as_str(), "msg": text.reveal(),
                    },
                    "previewUrls": [],
                }),
            ),
            Self::TellIn { message, room, text } => post(
                "chat.sendMessage",
                json!({
                    "message": { "_id": message.as_str(), "rid": room.as_str(), "msg": text.reveal() },
                    "previewUrls": [],
                }),
            ),
            Self::Tell { username, text } => post(
                "chat.postMessage",
                json!({ "channel": format!("@{}", username.reveal()), "text": text.reveal(), "parseUrls": false }),
            ),
            Self::Edit { message, room, text } => post(
                "chat.update",
                json!({
                    "roomId": room.as_str(), "msgId": message.as_str(), "text": text.reveal(), "previewUrls": [],
                }),
            ),
            Self::HookReply { hook, room, thread, text } => Request {
                path: hook.reveal().clone(),
                body: Some(json!({
                    "roomId": room.as_str(), "tmid": thread.as_str(), "text": text.reveal(), "parseUrls": false,
                })),
            },
            Self::HookTell { hook, username, text } => Request {
                path: hook.reveal().clone(),
                body: Some(json!({
                    "channel": format!("@{}", username.reveal()), "text": text.reveal(), "parseUrls": false,
                })),
            },
            Self::Delete { message, room } => {
                post("chat.delete", json!({ "roomId": room.as_str(), "msgId": message.as_str() }))
            }
            Self::MakeWebhook(webhook) => post("integrations.create", webhook.body()),
        }
    }
}

impl Webhook {
    fn body(&self) -> Value {
        json!({
            "type": "webhook-outgoing",
            "name": self.name,
            "enabled": true,
            "event": "sendMessage",
            "channel": "all_public_channels,all_private_groups",
            "username": self.username,
            "urls": [self.url],
            "triggerWords": self.words,
            "token": self.token.reveal(),
            "scriptEnabled": false,
            "retryFailedCalls": true,
            "retryCount": 3,
            "retryDelay": "powers-of-two",
        })
    }
}

/// What we take from a call's record. Unknown fields are of no interest: newer servers add some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The call.
    pub call: Id,
    /// Room of the chat.
    pub room: Id,
    /// The message with the button.
    pub message: Option<Id>,
    /// Address of the meeting. A secret: it opens it.
    pub url: Pii<String>,
    /// `jitsi`, lower case.
    pub provider: String,
    /// Who started it and who took part.
    pub users: Vec<Id>,
    /// It is over for Rocket.Chat. Jitsi calls never say so, but expire after a day.
    pub is_over: bool,
    /// When it began, as the server writes it.
    pub created: String,
}

/// Reads a call's record from the answer of `video-conference.info`, or from an entry of `.list`.
pub fn call_record(value: &Value) -> Option<CallRecord> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let id = |value: &Value| value.as_str().and_then(Id::new);
    let user = |value: &Value| value.get("_id").and_then(id);
    let creator = value.get("createdBy").and_then(user);
    let users = value.get("users").and_then(Value::as_array).into_iter().flatten();
    let status = value.get("status").and_then(Value::as_u64);
    Some(CallRecord {
        call: value.get("_id").and_then(id)?,
        room: value.get("rid").and_then(id)?,
        message: value.get("messages").and_then(|it| it.get("started")).and_then(id),
        url: Pii::new(text("url").unwrap_or_default().to_owned()),
        provider: text("providerName").unwrap_or_default().to_lowercase(),
        users: creator.into_iter().chain(users.filter_map(user).take(USERS_MAX)).collect(),
        is_over: status.is_some_and(|status| status > STARTED)
            || value.get("endedAt").is_some_and(|at| !at.is_null()),
        created: text("createdAt").unwrap_or_default().to_owned(),
    })
}

/// Records of `video-conference.list`, newest first.
pub fn call_records(answer: &Value) -> Vec<CallRecord> {
    let data = answer.get("data").and_then(Value::as_array).into_iter().flatten();
    data.take(100).filter_map(call_record).collect()
}

/// Rooms of `rooms.get`.
pub fn rooms(answer: &Value) -> Vec<Id> {
    let rooms = answer.get("update").and_then(Value::as_array).into_iter().flatten();
    rooms.filter_map(|room| room.get("_id")?.as_str().and_then(Id::new)).take(ROOMS_MAX).collect()
}

/// Roles of `users.info` or `me`.
pub fn roles(answer: &Value) -> Vec<String> {
    let user = answer.get("user").unwrap_or(answer);
    let roles = user.get("roles").and_then(Value::as_array).into_iter().flatten();
    roles.filter_map(|role| role.as_str().map(str::to_owned)).take(200).collect()
}

/// How an answer is judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiFailure {
    /// It may work later: nobody there, overload, a fault of the server.
    #[error("{0}")]
    Later(String),
    /// Too many requests from this address; wait so many milliseconds.
    #[error(
        "Rocket.Chat limits requests from this address (429); give the bot the role `bot`, which is exempt"
    )]
    Limited(u64),
    /// The token is not good.
    #[error(
        "Rocket.Chat refuses the token (401); make a new personal access token for the bot and write it to token_file"
    )]
    TokenRefused,
    /// Two factors are asked for.
    #[error(
        "Rocket.Chat asks the bot for a second factor; make its personal access token with \"Ignore Two Factor \
         Authentication\""
    )]
    SecondFactor,
    /// It refuses, with its own word.
    #[error("Rocket.Chat refuses: {0}")]
    Refused(String),
}

/// Judges status and body of an answer.
pub fn judge(status: u16, reset_ms: Option<u64>, body: &[u8]) -> Result<Value, ApiFailure> {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let word = || {
        let said =
            text("errorType").or(text("error")).or(text("message")).unwrap_or("no reason given");
        said.chars().filter(|sign| !sign.is_control()).take(120).collect::<String>()
    };
    match status {
        200..=299 if body.get("success") != Some(&Value::Bool(false)) && body.is_object() => {
            Ok(body)
        }
        200..=299 => Err(ApiFailure::Refused(word())),
        429 => Err(ApiFailure::Limited(reset_ms.unwrap_or(LIMIT_PAUSE_MS))),
        401 => Err(ApiFailure::TokenRefused),
        _ if text("errorType") == Some("totp-required")
            || text("error") == Some("totp-required") =>
        {
            Err(ApiFailure::SecondFactor)
        }
        400..=499 => Err(ApiFailure::Refused(word())),
        _ => Err(ApiFailure::Later(format!("Rocket.Chat answers {status}"))),
    }
}

/// RFC 3986 §2.3: everything but unreserved characters is encoded.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `VideoConferenceStatus.STARTED`; above it are expired, ended and declined.
const STARTED: u64 = 1;
/// Users of a call that are kept.
const USERS_MAX: usize = 500;
/// Rooms looked at after an outage.
const ROOMS_MAX: usize = 100;
/// Calls of a room that are looked at: older ones are over.
const CALLS_LISTED: usize = 5;
/// Without a word of the server: its usual period.
const LIMIT_PAUSE_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).expect("an id")
    }

    #[test]
    fn answers_are_judged() {
        let judged = |status, body: &str| judge(status, None, body.as_bytes());
        assert!(judged(200, r#"{"success":true}"#).is_ok());
        assert!(
            judged(200, r#"{"version":"8.0"}"#).is_ok(),
            "/api/info has no `success` in old versions"
        );
        let refused = judged(400, r#"{"success":false,"error":"invalid-params"}"#);
        assert_eq!(refused, Err(ApiFailure::Refused("invalid-params".to_owned())));
        assert_eq!(judged(401, "{}"), Err(ApiFailure::TokenRefused));
        assert_eq!(judge(429, Some(5), b""), Err(ApiFailure::Limited(5)));
        let totp = r#"{"success":false,"errorType":"totp-required","details":{"method":"totp"}}"#;
        assert_eq!(judged(400, totp), Err(ApiFailure::SecondFactor));
        assert!(matches!(judged(502, "<html>"), Err(ApiFailure::Later(_))));
        assert!(
            matches!(judged(200, "<html>"), Err(ApiFailure::Refused(_))),
            "a proxy's page is no answer"
        );
    }

    #[test]
    fn a_record_is_read_and_what_is_new_in_it_is_ignored() {
        let record = json!({
            "_id": "c1", "rid": "r1", "type": "videoconference", "status": 1, "providerName": "jitsi",
            "url": "https://meet.test/RocketChatc1", "createdBy": { "_id": "u1", "username": "ana" },
            "users": [{ "_id": "u2", "ts": "2026-11-21T00:00:00Z", "joined": true }], "messages": { "started": "m1" },
            "createdAt": "2026-11-21T00:00:00.000Z", "sipAlias": "12345678", "capabilities": { "mic": true },
        });
        let read = call_record(&record).expect("a record");
        assert_eq!((read.call, read.room, read.message), (id("c1"), id("r1"), Some(id("m1"))));
        assert_eq!(read.users, [id("u1"), id("u2")]);
        assert!(!read.is_over);
        let ended =
            json!({ "_id": "c1", "rid": "r1", "status": 1, "endedAt": "2026-11-21T00:00:00.000Z" });
        assert!(call_record(&ended).expect("a record").is_over);
    }

    #[test]
    fn ids_cannot_leave_their_place_in_a_path() {
        let path = Api::Call(id("a&b=c/../d")).request().path;
        assert_eq!(path, "/api/v1/video-conference.info?callId=a%26b%3Dc%2F..%2Fd");
    }
}
