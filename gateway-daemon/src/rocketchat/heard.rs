//! What is taken from a chat message, and nothing more: a call that started, or our command word.
//!
//! The stream brings the text of every room the bot may see. This module is the hard filter: a message that is no call
//! and does not begin with the command word leaves no trace, neither in memory nor in a log. In a direct room with the
//! bot the text is not even looked at, but for a number to call.

use gateway_core::base::pii::Pii;
use serde_json::Value;

use super::ids::Id;

/// What a message means to us.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A call was started in a room.
    Meeting(Meeting),
    /// Somebody asks us.
    Ask(Ask),
}

/// A call's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The call.
    pub call: Id,
    /// Its room.
    pub room: Id,
    /// The message with the button.
    pub message: Id,
}

/// A question of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The message, to answer it once.
    pub message: Id,
    /// Where it was asked.
    pub room: Id,
    /// A direct room of this user and the bot.
    pub direct: bool,
    /// Who asks.
    pub user: Id,
    /// His name, for the way back.
    pub username: Pii<String>,
    /// What.
    pub wish: Wish,
}

/// What a user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Number and PIN.
    DialIn,
    /// The gateway calls this number, as typed.
    CallMe(Pii<String>),
}

/// Words that we listen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// For number and PIN: `!dialin`.
    pub dial_in: String,
    /// For a call: `!callme`.
    pub call_me: String,
}

impl Words {
    /// The wish of a text that begins with a command word.
    pub fn wish(&self, text: &str) -> Option<Wish> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if word.eq_ignore_ascii_case(&self.call_me) {
            let number: String = rest.trim().chars().take(NUMBER_CHARS_MAX).collect();
            return Some(Wish::CallMe(Pii::new(number)));
        }
        word.eq_ignore_ascii_case(&self.dial_in).then_some(Wish::DialIn)
    }
}

/// Reads a message as it comes by DDP or REST. `me` is the bot.
pub fn read(message: &Value, me: &Id, words: &Words) -> Option<Heard> {
    let id = |value: Option<&Value>| value.and_then(Value::as_str).and_then(Id::new);
    let (message_id, room) = (id(message.get("_id"))?, id(message.get("rid"))?);
    if let Some(kind) = message.get("t").and_then(Value::as_str) {
        let call = (kind == "videoconf").then(|| call(message)).flatten()?;
        return Some(Heard::Meeting(Meeting { call, room, message: message_id }));
    }
    let user = message.get("u")?;
    let (user_id, username) = (id(user.get("_id"))?, user.get("username")?.as_str()?);
    let by_machine =
        message.get("bot").is_some_and(|bot| !matches!(bot, Value::Null | Value::Bool(false)));
    // An edited message was answered when it was new; hidden ones (`_hidden`) are history.
    let is_old = message.get("editedAt").is_some_and(|it| !it.is_null());
    if user_id == *me || by_machine || is_old || username.is_empty() {
        return None;
    }
    let direct = is_direct(&room, &user_id, me);
    let wish = message.get("msg").and_then(Value::as_str).and_then(|text| words.wish(text));
    let wish = wish.or(direct.then_some(Wish::DialIn))?;
    let username = Pii::new(username.to_owned());
    Some(Heard::Ask(Ask { message: message_id, room, direct, user: user_id, username, wish }))
}

/// The call of a message's block. The block of a livechat call has none.
fn call(message: &Value) -> Option<Id> {
    let blocks = message.get("blocks")?.as_array()?;
    blocks.iter().take(BLOCKS_MAX).find_map(|block| {
        let is_call = block.get("type").and_then(Value::as_str) == Some("video_conf");
        is_call.then(|| block.get("callId")?.as_str().and_then(Id::new)).flatten()
    })
}

/// A room of two has both their ids as its own. Rooms of three and more do not.
fn is_direct(room: &Id, user: &Id, me: &Id) -> bool {
    let (room, user, me) = (room.as_str(), user.as_str(), me.as_str());
    room.len() == user.len() + me.len()
        && (room.strip_prefix(user) == Some(me) || room.strip_prefix(me) == Some(user))
}

/// A number with blanks and brackets is shorter.
const NUMBER_CHARS_MAX: usize = 40;
/// Blocks of a message that are looked at.
const BLOCKS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words() -> Words {
        Words { dial_in: "!dialin".to_owned(), call_me: "!callme".to_owned() }
    }

    fn heard(message: &Value) -> Option<Heard> {
        read(message, &Id::new("dialinbotdialinbo").expect("an id"), &words())
    }

    fn said(text: &str) -> Value {
        json!({ "_id": "m1", "rid": "GENERAL", "msg": text, "u": { "_id": "u1", "username": "ana" } })
    }

    #[test]
    fn a_call_is_heard_in_both_generations_of_messages() {
        let old = json!({
            "_id": "m1", "rid": "r1", "t": "videoconf", "msg": "", "groupable": false, "ts": { "$date": 1 },
            "u": { "_id": "u1", "username": "ana", "name": "Ana" },
            "blocks": [{ "type": "video_conf", "callId": "c1", "blockId": "c1", "appId": "videoconf-core" }],
        });
        let new = json!({
            "_id": "m1", "rid": "r1", "t": "videoconf", "msg": "", "mentions": [], "urls": [], "newfield": { "a": [] },
            "u": { "_id": "u1" },
            "blocks": [{ "type": "context" }, { "type": "video_conf", "callId": "c1", "more": 1 }],
        });
        for message in [old, new] {
            let Some(Heard::Meeting(meeting)) = heard(&message) else { panic!("{message}") };
            let found = (meeting.call.as_str(), meeting.room.as_str(), meeting.message.as_str());
            assert_eq!(found, ("c1", "r1", "m1"));
        }
    }

    #[test]
    fn other_words_are_not_heard() {
        for text in ["hello", "say !dialin", "!dialinx", "", " ", "!", "!callmee +1"] {
            assert_eq!(heard(&said(text)), None, "{text:?}");
        }
        let ours = json!({ "_id": "m", "rid": "r", "msg": "!dialin", "u": { "_id": "dialinbotdialinbo", "username": "b" } });
        assert_eq!(heard(&ours), None, "our own words");
        for (key, value) in
            [("bot", json!({ "i": "x" })), ("editedAt", json!({ "$date": 1 })), ("t", json!("uj"))]
        {
            let mut message = said("!dialin");
            message[key] = value;
            assert_eq!(heard(&message), None, "{key}");
        }
    }

    #[test]
    fn the_command_words_are_heard() {
        for text in ["!dialin", "  !DialIn ", "!dialin please"] {
            let Some(Heard::Ask(ask)) = heard(&said(text)) else { panic!("{text}") };
            assert_eq!((ask.wish, ask.direct), (Wish::DialIn, false));
        }
        let Some(Heard::Ask(ask)) = heard(&said("!callme  +62 21 555")) else {
            panic!("not heard")
        };
        assert_eq!(ask.wish, Wish::CallMe(Pii::new("+62 21 555".to_owned())));
        assert!(!format!("{ask:?}").contains("555"), "numbers stay out of logs");
    }

    #[test]
    fn anything_said_to_the_bot_alone_is_a_question() {
        for rid in ["dialinbotdialinbou1", "u1dialinbotdialinbo"] {
            let mut message = said("hello there");
            message["rid"] = json!(rid);
            let Some(Heard::Ask(ask)) = heard(&message) else { panic!("{rid}") };
            assert_eq!((ask.wish, ask.direct), (Wish::DialIn, true));
        }
        let mut three = said("hello there");
        three["rid"] = json!("dialinbotdialinbou1u2");
        assert_eq!(heard(&three), None, "a direct room of three");
    }
}
