//! A stand-in Rocket.Chat (`rocketchat/standin.mjs`), in whatever network namespace this process is in. The official
//! validators judge each request it gets, the official schemas each answer it gives; [`Standin::no_faults`] has their
//! verdict.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Process, last_lines, wait_until};
use crate::require;

/// Where it listens.
pub const CHAT_PORT: u16 = 3000;
/// Its bot user.
pub const BOT: &str = "dialinbotdialinbo";
/// Its bot's token.
pub const BOT_TOKEN: &str = "token-of-the-dial-in-bot-0123456789abcdefgh";
/// A user who is no moderator; `ana`, who speaks where nobody is named, is one.
pub const EVE: &str = "eveeveeveeveeveev";

/// The links that the official parser of messages finds.
///
/// # Panics
/// When it does not run.
pub fn links_of(message: &str) -> Vec<String> {
    let script = scripts().join("parse.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(oracles()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = node.spawn().expect("node runs");
    let list = json!([message]).to_string();
    child.stdin.take().expect("piped").write_all(list.as_bytes()).expect("it reads");
    let said = child.wait_with_output().expect("it ends");
    let links: Value = serde_json::from_slice(&said.stdout).expect("a list");
    links[0]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect()
}

/// The running stand-in.
#[derive(Debug)]
pub struct Standin {
    process: Process,
}

impl Standin {
    /// Starts it with the message shapes of a generation, "7" or "8".
    ///
    /// # Panics
    /// When it does not listen within 15 s.
    pub fn start(folder: &Path, generation: &str) -> Self {
        let mut node = Command::new("node");
        node.arg(scripts().join("standin.mjs")).arg(oracles());
        node.args([&CHAT_PORT.to_string(), generation]);
        let process = Process::start(&format!("standin-{generation}"), folder, node);
        let up = wait_until(Duration::from_secs(15), || {
            TcpStream::connect(("127.0.0.1", CHAT_PORT)).ok().map(drop)
        });
        assert!(
            up.is_some(),
            "the stand-in does not listen:\n{}",
            last_lines(&process.output(), 20)
        );
        Self { process }
    }

    /// A request that is wrong is found: the judge is awake.
    ///
    /// # Panics
    /// When it sleeps.
    pub fn its_oracles_can_say_no(&self) {
        let body = json!({ "channel": "#general", "blocks": [] }).to_string();
        http(CHAT_PORT, "POST", "/api/v1/chat.postMessage", &body);
        let faults = self.get("faults");
        assert!(faults.to_string().contains("isChatPostMessageProps"), "{faults}");
        self.post("forgive", &json!({}));
    }

    /// The official DDP client logs in, hears a call and reads it.
    ///
    /// # Panics
    /// When it cannot.
    pub fn is_understood_by_the_official_client(&self) {
        let mut node = Command::new("node");
        node.arg(scripts().join("client.mjs")).arg(oracles()).arg(CHAT_PORT.to_string());
        let said = node.output().expect("node runs");
        let (out, errors) =
            (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(out.contains("good"), "{out}{errors}");
        println!("  the official DDP client logs in, hears a call and reads it");
    }

    /// Nothing was said or asked that Rocket.Chat would not have.
    ///
    /// # Panics
    /// When something was.
    pub fn no_faults(&self) {
        let faults = self.get("faults");
        assert_eq!(faults, json!([]), "official validators and schemas say no");
        let requests = self.get("requests");
        println!(
            "  {} requests passed the official validators",
            requests.as_array().map_or(0, Vec::len)
        );
    }

    /// Waits until so many bots listen.
    ///
    /// # Panics
    /// When they do not within 20 s.
    pub fn wait_for_streams(&self, bots: u32) {
        let up = || (self.get("sockets") == json!(bots)).then_some(());
        assert!(
            wait_until(Duration::from_secs(20), up).is_some(),
            "the gateway does not subscribe"
        );
    }

    /// What it knows: `requests`, `messages`, `faults`, `sockets`, `integrations`.
    ///
    /// # Panics
    /// When it does not say.
    pub fn get(&self, what: &str) -> Value {
        let (status, body) = http(CHAT_PORT, "GET", &format!("/standin/{what}"), "");
        assert_eq!(status, 200, "{what}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Moves it: `start` a call, `say` something, `drop` the sockets, `refuse` requests.
    ///
    /// # Panics
    /// When it does not.
    pub fn post(&self, what: &str, body: &Value) -> Value {
        let (status, body) =
            http(CHAT_PORT, "POST", &format!("/standin/{what}"), &body.to_string());
        assert_eq!(status, 200, "{what}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Texts of the replies below a call's message, in order.
    pub fn replies(&self, call: &Value) -> Vec<String> {
        let started = &call["messages"]["started"];
        let messages = self.get("messages");
        let messages = messages.as_array().expect("a list").iter();
        messages.filter(|it| it["tmid"] == *started).map(|it| text(it, "msg").to_owned()).collect()
    }

    /// The last of them.
    pub fn reply_to(&self, call: &Value) -> Option<String> {
        self.replies(call).pop()
    }

    /// What the bot said to a user alone, in order.
    pub fn private(&self, user: &str) -> Vec<String> {
        let messages = self.get("messages");
        let messages = messages.as_array().expect("a list").iter();
        let ours = messages.filter(|it| {
            text(it, "rid").contains(&user.repeat(3)) && it["u"]["username"] == "dialin"
        });
        ours.map(|it| text(it, "msg").to_owned()).collect()
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Every PIN that was ever shown.
    pub fn pins(&self) -> Vec<String> {
        let all = self.get("requests").to_string();
        let mut pins: Vec<String> = all
            .split("+622112345678,")
            .skip(1)
            .filter_map(|rest| rest.get(..9).map(str::to_owned))
            .collect();
        pins.dedup();
        pins
    }
}

/// A request of HTTP/1.0, so that the answer ends with the connection. Status and body.
///
/// # Panics
/// When nobody answers.
pub fn http(port: u16, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

/// A text of an object; nothing where there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn scripts() -> PathBuf {
    require::repository().join("tests-peers/rocketchat")
}

fn oracles() -> PathBuf {
    require::peers_dir().join("rocketchat/oracles.cjs")
}
