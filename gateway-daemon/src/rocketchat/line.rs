//! The line to a workspace: DDP over a WebSocket, without the socket. Opened for ever again, ever slower, never all at once.
//!
//!   Waiting -> Opening -> Greeting -> LoggingIn -> Subscribing -> Up      any failure -> Waiting
//!
//! The owner opens and closes the socket as [`Act`] says and brings what it reads. What is read is judged by
//! [`super::heard`] at once; other texts are dropped here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::Why;
use gateway_core::io::xmpp::backoff::Backoff;
use serde_json::{Value, json};

use super::heard::{self, Heard, Words};
use super::ids::Id;

/// What the owner must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Open the socket.
    Open,
    /// Send a text.
    Send(String),
    /// Close the socket, if it is open.
    Close,
    /// The line is up: since when it had been away (`None`: it is the first time).
    Up(Option<Instant>),
    /// It is down; told once per outage.
    Down(LineFailure),
    /// Something was heard.
    Heard(Heard),
}

/// Why a line is down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFailure {
    /// The socket: who is to blame, and the remedy.
    #[error("{0}")]
    Socket(String),
    /// No answer in time, or silence.
    #[error(
        "Rocket.Chat does not answer on its WebSocket; check that it runs, and proxies on the way"
    )]
    Silent,
    /// It speaks no DDP 1.
    #[error("what answers at /websocket is no Rocket.Chat; check `url`")]
    NotRocketChat,
    /// The token is not good.
    #[error(
        "Rocket.Chat refuses the token ({0}); make a new personal access token for the bot, with \"Ignore Two Factor \
         Authentication\", and write it to token_file"
    )]
    TokenRefused(String),
    /// The messages may not be read.
    #[error(
        "Rocket.Chat refuses the stream of messages ({0}); give the bot the role `user` beside `bot`"
    )]
    StreamRefused(String),
}

impl LineFailure {
    fn needs_somebody(&self) -> bool {
        matches!(self, Self::TokenRefused(_) | Self::StreamRefused(_) | Self::NotRocketChat)
    }
}

/// The line.
#[derive(Debug)]
pub struct Line {
    state: State,
    me: Id,
    token: Pii<String>,
    words: Words,
    backoff: Backoff,
    heard_at: Instant,
    /// When it was last up, and how often it came up.
    up_at: Option<Instant>,
    down_at: Option<Instant>,
    told_down: bool,
    acts: VecDeque<Act>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { until: Instant },
    Opening { until: Instant },
    Greeting { until: Instant },
    LoggingIn { until: Instant },
    Subscribing { until: Instant },
    Up { ping_at: Instant },
}

impl Line {
    /// A line that opens at once. `me` and `token`: the bot's id and its personal access token.
    pub fn new(now: Instant, me: Id, token: Pii<String>, words: Words, rng: &Rng) -> Self {
        Self {
            state: State::Waiting { until: now },
            me,
            token,
            words,
            backoff: Backoff::new(rng.fork("rocketchat/back-off")),
            heard_at: now,
            up_at: None,
            down_at: None,
            told_down: false,
            acts: VecDeque::new(),
        }
    }

    /// The socket is open.
    pub fn opened(&mut self, now: Instant) {
        if let State::Opening { .. } = self.state {
            self.heard_at = now;
            self.say(
                &json!({ "msg": "connect", "version": "1", "support": ["1", "pre2", "pre1"] }),
            );
            self.state = State::Greeting { until: now + ANSWER_WITHIN };
        }
    }

    /// The socket could not be opened, or was lost.
    pub fn closed(&mut self, now: Instant, why: LineFailure) {
        if !matches!(self.state, State::Waiting { .. }) {
            self.fail(now, why);
        }
    }

    /// A text came.
    pub fn heard(&mut self, now: Instant, text: &str) {
        if matches!(self.state, State::Waiting { .. } | State::Opening { .. }) {
            return;
        }
        self.heard_at = now;
        // What is no JSON object is no DDP; newer servers may say things we do not know.
        let Ok(Value::Object(frame)) = serde_json::from_str::<Value>(text) else { return };
        let text_of = |name: &str| frame.get(name).and_then(Value::as_str);
        match (text_of("msg"), self.state) {
            (Some("ping"), _) => match frame.get("id").filter(|id| id.is_string()) {
                Some(id) => self.say(&json!({ "msg": "pong", "id": id })),
                None => self.say(&json!({ "msg": "pong" })),
            },
            (Some("connected"), State::Greeting { .. }) => {
                let resume = json!([{ "resume": self.token.reveal() }]);
                let login =
                    json!({ "msg": "method", "method": "login", "id": LOGIN, "params": resume });
                self.say(&login);
                self.state = State::LoggingIn { until: now + ANSWER_WITHIN };
            }
            (Some("failed"), State::Greeting { .. }) => self.fail(now, LineFailure::NotRocketChat),
            (Some("result"), State::LoggingIn { .. }) if text_of("id") == Some(LOGIN) => {
                match frame.get("error").filter(|error| !error.is_null()) {
                    Some(error) => self.fail(now, LineFailure::TokenRefused(reason(error))),
                    None => self.subscribe(now),
                }
            }
            (Some("ready"), State::Subscribing { .. }) => {
                let subs = frame.get("subs").and_then(Value::as_array);
                if subs.is_some_and(|subs| subs.iter().any(|sub| sub == MESSAGES)) {
                    self.came_up(now);
                }
            }
            (Some("nosub"), State::Subscribing { .. } | State::Up { .. })
                if text_of("id") == Some(MESSAGES) =>
            {
                let why = frame.get("error").map(reason).unwrap_or_default();
                self.fail(now, LineFailure::StreamRefused(why));
            }
            (Some("changed"), State::Subscribing { .. } | State::Up { .. })
                if text_of("collection") == Some("stream-room-messages") =>
            {
                let args = frame.get("fields").and_then(|fields| fields.get("args"));
                let message = args.and_then(|args| args.get(0));
                let heard = message.and_then(|it| heard::read(it, &self.me, &self.words));
                if let Some(heard) = heard.filter(|_| self.acts.len() < ACTS_MAX) {
                    self.acts.push_back(Act::Heard(heard));
                }
            }
            _ => {}
        }
    }

    /// A deadline may have come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Waiting { until } if until <= now => {
                self.acts.push_back(Act::Open);
                self.state = State::Opening { until: now + ANSWER_WITHIN };
            }
            State::Opening { until }
            | State::Greeting { until }
            | State::LoggingIn { until }
            | State::Subscribing { until }
                if until <= now =>
            {
                self.fail(now, LineFailure::Silent);
            }
            State::Up { ping_at } if ping_at <= now => {
                if now.saturating_duration_since(self.heard_at) >= SILENCE_MAX {
                    return self.fail(now, LineFailure::Silent);
                }
                if now.saturating_duration_since(self.heard_at) >= PING_EVERY {
                    self.say(&json!({ "msg": "ping" }));
                }
                self.state = State::Up { ping_at: now + PING_EVERY };
            }
            _ => {}
        }
    }

    /// What the owner must do next.
    pub fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> (Instant, Why) {
        match self.state {
            State::Waiting { until } => (until, Why("rocketchat.open_again")),
            State::Opening { until }
            | State::Greeting { until }
            | State::LoggingIn { until }
            | State::Subscribing { until } => (until, Why("rocketchat.no_answer")),
            State::Up { ping_at } => (ping_at, Why("rocketchat.ping")),
        }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    fn subscribe(&mut self, now: Instant) {
        let params = json!(["__my_messages__", { "useCollection": false, "args": [] }]);
        let sub = json!({ "msg": "sub", "id": MESSAGES, "name": "stream-room-messages", "params": params });
        self.say(&sub);
        self.state = State::Subscribing { until: now + ANSWER_WITHIN };
    }

    fn came_up(&mut self, now: Instant) {
        self.acts.push_back(Act::Up(self.down_at.take()));
        (self.up_at, self.told_down) = (Some(now), false);
        self.state = State::Up { ping_at: now + PING_EVERY };
    }

    fn fail(&mut self, now: Instant, why: LineFailure) {
        let up = self.up_at.take().map(|since| now.saturating_duration_since(since));
        if let Some(up) = up {
            // It may have been gone since it was last heard.
            self.down_at = Some(now.checked_sub(SILENCE_MAX.min(up)).unwrap_or(now));
        }
        let wait = self.backoff.failed(up.unwrap_or_default(), why.needs_somebody());
        self.state = State::Waiting { until: now + wait };
        self.acts.retain(|act| matches!(act, Act::Heard(_)));
        self.acts.push_back(Act::Close);
        if !std::mem::replace(&mut self.told_down, true) {
            self.acts.push_back(Act::Down(why));
        }
    }

    fn say(&mut self, frame: &Value) {
        self.acts.push_back(Act::Send(frame.to_string()));
    }
}

/// What the server says of an error: one short line.
fn reason(error: &Value) -> String {
    let said = ["reason", "message", "error"].iter().find_map(|name| error.get(name)?.as_str());
    said.unwrap_or("no reason given").chars().filter(|sign| !sign.is_control()).take(120).collect()
}

/// Id of our login.
const LOGIN: &str = "login";
/// Id of our subscription.
const MESSAGES: &str = "messages";
/// Patience for each step.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Rocket.Chat pings every 17 to 30 s; proxies close what is silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A server that says nothing for so long, pings of ours unanswered, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Acts that wait for the owner. A flood of calls above this is not a chat any more.
const ACTS_MAX: usize = 1_024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const TOKEN: &str = "token-of-the-bot";

    pub(crate) struct Talk {
        pub line: Line,
        pub now: Instant,
    }

    impl Talk {
        pub fn new(seed: u64) -> Self {
            let now = Instant::now();
            let me = Id::new("bot").expect("an id");
            let words = Words { dial_in: "!dialin".to_owned(), call_me: "!callme".to_owned() };
            let token = Pii::new(TOKEN.to_owned());
            Self { line: Line::new(now, me, token, words, &Rng::from_number(seed)), now }
        }

        fn acts(&mut self) -> Vec<Act> {
            std::iter::from_fn(|| self.line.poll_act()).collect()
        }

        fn wait(&mut self) {
            self.now = self.now.max(self.line.poll_timeout().0);
            self.line.handle_timeout(self.now);
        }

        fn hear(&mut self, frame: &Value) -> Vec<Act> {
            self.line.heard(self.now, &frame.to_string());
            self.acts()
        }

        pub fn up() -> Self {
            let mut talk = Self::new(1);
            talk.wait();
            talk.line.opened(talk.now);
            talk.hear(&json!({ "msg": "connected", "session": "s" }));
            talk.hear(
                &json!({ "msg": "result", "id": LOGIN, "result": { "id": "bot", "token": "t" } }),
            );
            talk.hear(&json!({ "msg": "ready", "subs": [MESSAGES] }));
            assert!(talk.line.is_up());
            talk
        }
    }

    fn call() -> Value {
        let block = json!({ "type": "video_conf", "callId": "c1" });
        let message = json!({ "_id": "m1", "rid": "r1", "t": "videoconf", "blocks": [block] });
        let fields =
            json!({ "eventName": "__my_messages__", "args": [message, { "roomType": "c" }] });
        json!({ "msg": "changed", "collection": "stream-room-messages", "id": "id", "fields": fields })
    }

    #[test]
    fn it_greets_logs_in_and_subscribes() {
        let mut talk = Talk::new(1);
        talk.wait();
        assert_eq!(talk.acts(), [Act::Open]);
        talk.line.opened(talk.now);
        let [Act::Send(connect)] = &talk.acts()[..] else { panic!("no greeting") };
        assert!(connect.contains(r#""msg":"connect""#) && connect.contains(r#""version":"1""#));
        talk.hear(&json!({ "server_id": "0" }));
        let said = talk.hear(&json!({ "msg": "connected", "session": "s" }));
        let [Act::Send(login)] = &said[..] else { panic!("{said:?}") };
        assert!(login.contains(TOKEN) && login.contains(r#""resume""#), "{login}");
        let said = talk.hear(&json!({ "msg": "result", "id": "login", "result": { "id": "bot" } }));
        let [Act::Send(sub)] = &said[..] else { panic!("{said:?}") };
        assert!(sub.contains("stream-room-messages") && sub.contains("__my_messages__"), "{sub}");
        assert_eq!(talk.hear(&json!({ "msg": "ready", "subs": ["messages"] })), [Act::Up(None)]);
        let heard = talk.hear(&call());
        assert!(matches!(&heard[..], [Act::Heard(Heard::Meeting(_))]), "{heard:?}");
    }

    #[test]
    fn pings_are_answered_and_silence_is_noticed() {
        let mut talk = Talk::up();
        let pong = talk.hear(&json!({ "msg": "ping", "id": "7" }));
        assert_eq!(pong, [Act::Send(r#"{"id":"7","msg":"pong"}"#.to_owned())]);
        assert_eq!(
            talk.hear(&json!({ "msg": "ping" })),
            [Act::Send(r#"{"msg":"pong"}"#.to_owned())]
        );
        talk.wait();
        assert_eq!(talk.acts(), [Act::Send(r#"{"msg":"ping"}"#.to_owned())]);
        talk.hear(&json!({ "msg": "pong" }));
        let silent_from = talk.now;
        while talk.line.is_up() {
            talk.wait();
        }
        assert_eq!(talk.now - silent_from, SILENCE_MAX);
        let acts = talk.acts();
        assert!(acts.ends_with(&[Act::Close, Act::Down(LineFailure::Silent)]), "{acts:?}");
    }

    #[test]
    fn it_comes_back_for_ever_and_tells_one_outage_once() {
        let mut talk = Talk::up();
        let before = talk.now;
        talk.now += Duration::from_secs(100);
        let mut told = 0;
        for _ in 0..500 {
            talk.line.closed(talk.now, LineFailure::Socket("refused".to_owned()));
            told += talk.acts().iter().filter(|act| matches!(act, Act::Down(_))).count();
            let wait = talk.line.poll_timeout().0 - talk.now;
            assert!(wait <= Duration::from_secs(60), "{wait:?}");
            talk.wait();
            assert_eq!(talk.acts(), [Act::Open]);
        }
        assert_eq!(told, 1);
        talk.line.opened(talk.now);
        talk.hear(&json!({ "msg": "connected" }));
        talk.hear(&json!({ "msg": "result", "id": LOGIN }));
        let up = talk.hear(&json!({ "msg": "ready", "subs": [MESSAGES] }));
        let [Act::Up(Some(since))] = up[..] else { panic!("{up:?}") };
        assert!(since >= before && since <= before + Duration::from_secs(100), "what was missed");
    }

    #[test]
    fn a_refused_token_is_tried_slowly_and_never_told() {
        let mut talk = Talk::new(1);
        talk.wait();
        talk.line.opened(talk.now);
        talk.hear(&json!({ "msg": "connected" }));
        let error = json!({ "error": 403, "reason": "You've been logged out by the server." });
        let acts = talk.hear(&json!({ "msg": "result", "id": LOGIN, "error": error }));
        let [Act::Close, Act::Down(why)] = &acts[..] else { panic!("{acts:?}") };
        assert!(why.to_string().contains("token_file") && !why.to_string().contains(TOKEN));
        assert!(talk.line.poll_timeout().0 - talk.now >= Duration::from_secs(7));
        assert!(!format!("{:?}", talk.line).contains(TOKEN));
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_at_each_step() {
        for steps in 0..3 {
            let mut talk = Talk::new(1);
            talk.wait();
            if steps > 0 {
                talk.line.opened(talk.now);
            }
            if steps > 1 {
                talk.hear(&json!({ "msg": "connected" }));
            }
            talk.wait();
            assert!(talk.acts().contains(&Act::Down(LineFailure::Silent)), "step {steps}");
        }
    }
}
