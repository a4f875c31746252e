//! The gateway beside a stand-in Rocket.Chat and Debian's Prosody: a meeting starts and gets number and PIN, people ask,
//! somebody comes and goes, the reply closes. Each request of ours passes the official validators, the stand-in's answers
//! the official schemas, and the official client talks to it. No real Rocket.Chat server: none can be had from packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gateway_core::base::ids::SiteId;
use gateway_core::base::rng::Rng;
use gateway_core::io::xmpp::framing::{NS_CLIENT, element};
use gateway_core::io::xmpp::{Encryption, Probe, Transport, Trust, XmppSite, probe};
use gateway_core::leg::backend::{StreamAccount, StreamIdentity};
use gateway_tests_peers::gateway;
use gateway_tests_peers::process::{Process, last_lines, wait_until};
use gateway_tests_peers::prosody::{ANONYMOUS, C2S_PORT, Prosody, ROOMS};
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::rocketchat::{
    BOT, BOT_TOKEN, CHAT_PORT, EVE, Standin, http, links_of, text,
};
use gateway_tests_peers::world::World;
use serde_json::{Value, json};

const FOLDER: &str = "WEEBEE_ROCKETCHAT_FOLDER";
const HTTP_PORT: u16 = 8788;
/// Its secret part, and the whole.
const INCOMING: (&str, &str) =
    ("token-of-the-incoming-hook", "http://127.0.0.1:3000/hooks/hook1/token-of-the-incoming-hook");
const HOOK_TOKEN: &str = "token-of-the-webhook-0123456789";
/// As docs/rocketchat.md promises.
const REPLY_WITHIN: Duration = Duration::from_secs(2);
const CHATTER: &str = "the merger is on friday";

#[test]
fn a_meeting_in_the_chat_gets_a_number_and_a_pin() {
    let peers = [Peer::Prosody, Peer::RocketChatOracles];
    if !require::all_there("a_meeting_in_the_chat_gets_a_number_and_a_pin", &peers) {
        return;
    }
    println!("\nRocket.Chat oracles: {}", Peer::RocketChatOracles.version());
    let world = World::new("rocketchat");
    world.run_inside("inside", FOLDER, &[("WEEBEE_BIN", gateway::binary().as_os_str())]);
}

#[test]
#[ignore = "started by a_meeting_in_the_chat_gets_a_number_and_a_pin inside its network namespace"]
fn inside() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("started by the test above"));
    let prosody = Prosody::start(&folder);
    {
        let standin = Standin::start(&folder, "7");
        let gateway = Weebee::start(&folder, &prosody, "seven");
        a_reply_comes(&standin, &gateway, "7.10 shapes");
        standin.no_faults();
    }
    let mut standin = Standin::start(&folder, "8");
    standin.its_oracles_can_say_no();
    standin.is_understood_by_the_official_client();
    let gateway = Weebee::start(&folder, &prosody, "eight");
    let room = a_reply_comes(&standin, &gateway, "8.x shapes");
    people_are_answered_alone(&standin);
    a_webhook_is_answered(&standin);
    others_stay_plain(&standin);
    the_incoming_webhook_stands_in(&standin);
    the_line_comes_back(&standin);
    the_end_is_told(&standin, &gateway, &prosody, &room);
    setup_says_what_is_there(&standin, &gateway);
    standin.no_faults();
    let log = gateway.process.output();
    let pins = standin.pins();
    assert!(!pins.is_empty());
    for secret in [BOT_TOKEN, HOOK_TOKEN, INCOMING.0, CHATTER]
        .into_iter()
        .chain(pins.iter().map(String::as_str))
    {
        assert!(!log.contains(secret), "in the log: {secret}");
    }
    standin.stop();
}

/// Starts a call and waits for its reply; gives the name of its Jitsi room.
fn a_reply_comes(standin: &Standin, gateway: &Weebee, title: &str) -> String {
    standin.wait_for_streams(1);
    let (mut call, mut reply, mut took) = (Value::Null, String::new(), Duration::MAX);
    // A machine that does other things may be slow once, not each time.
    for _ in 0..5 {
        let began = Instant::now();
        call = standin.post("start", &json!({}));
        let said = wait_until(Duration::from_secs(10), || standin.reply_to(&call));
        reply = said.unwrap_or_else(|| panic!("no reply; weebee says:\n{}", gateway.words()));
        took = began.elapsed();
        println!(
            "  {title}: meeting starts -> reply with number and PIN after {} ms",
            took.as_millis()
        );
        if took < REPLY_WITHIN {
            break;
        }
    }
    assert!(took < REPLY_WITHIN, "the reply took {took:?}");
    let links = links_of(&reply);
    assert_eq!(links.len(), 1, "the official parser finds the link in {reply:?}");
    let pin = links[0].strip_prefix("tel:+622112345678,").and_then(|rest| rest.strip_suffix("%23"));
    let pin = pin.unwrap_or_else(|| panic!("a link that dials number and PIN: {links:?}"));
    assert_eq!(pin.len(), 9);
    let room = format!("rocketchat{}", text(&call, "_id"));
    let pins = gateway.run(&["pin", "list"]);
    assert!(pins.contains(&room), "the registry knows it:\n{pins}");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(standin.replies(&call).len(), 1, "one reply");
    room
}

fn people_are_answered_alone(standin: &Standin) {
    standin.post("say", &json!({ "msg": CHATTER }));
    standin.post("say", &json!({ "msg": "!dialin" }));
    let told = wait_until(Duration::from_secs(10), || standin.private("ana").pop());
    let told = told.expect("an answer for ana alone");
    assert_eq!(links_of(&told).len(), 1, "{told}");
    standin.post("say", &json!({ "msg": "!callme +62 21 5550100" }));
    let refused = || standin.private("ana").pop().filter(|text| text.contains("cannot call you"));
    assert!(wait_until(Duration::from_secs(10), refused).is_some(), "calls out are off");
    assert_eq!(standin.private("ana").len(), 2, "chatter is not answered");
    // Eve is in none of these meetings.
    let room = "dialinbotdialinboeveeveeveeveeveev";
    standin.post("say", &json!({ "rid": room, "user": EVE, "msg": "pin please" }));
    let told = wait_until(Duration::from_secs(10), || standin.private("eve").pop());
    let told = told.expect("an answer for eve");
    assert!(links_of(&told).is_empty(), "{told}");
    println!("  !dialin, direct message and !callme answered in private");
}

fn a_webhook_is_answered(standin: &Standin) {
    let hook = |token: &str, message: &str| {
        let body = json!({
            "token": token, "bot": false, "trigger_word": "!dialin", "channel_id": "GENERAL", "channel_name": "general",
            "message_id": message, "timestamp": "2026-11-21T00:00:00.000Z", "user_id": "anaanaanaanaanaan",
            "user_name": "ana", "text": "!dialin", "siteUrl": "http://127.0.0.1:3000",
        });
        http(HTTP_PORT, "POST", "/rocketchat/chat", &body.to_string())
    };
    let before = standin.private("ana").len();
    assert_eq!(hook("wrong-wrong-wrong-wrong", "hook1").0, 403);
    assert_eq!(http(HTTP_PORT, "POST", "/rocketchat/other", "{}").0, 403);
    // Rocket.Chat tries again when it thinks that it failed.
    assert_eq!(hook(HOOK_TOKEN, "hook1"), (200, "{}".to_owned()));
    assert_eq!(hook(HOOK_TOKEN, "hook1"), (200, "{}".to_owned()));
    let answered = || (standin.private("ana").len() > before).then_some(());
    assert!(wait_until(Duration::from_secs(10), answered).is_some(), "no answer to the webhook");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(standin.private("ana").len(), before + 1, "answered once");
    println!("  webhook: wrong token 403, good token 200 {{}}, a retry is answered once");
}

fn others_stay_plain(standin: &Standin) {
    let others = [
        json!({ "prefix": "Beta" }),
        json!({ "host": "elsewhere.test" }),
        json!({ "provider": "bigbluebutton" }),
    ];
    let calls: Vec<Value> = others.iter().map(|other| standin.post("start", other)).collect();
    let asked = |call: &Value| {
        let requests = standin.get("requests");
        requests.to_string().matches(text(call, "_id")).count() > 0
    };
    let all = || calls.iter().all(asked).then_some(());
    assert!(wait_until(Duration::from_secs(10), all).is_some(), "they are looked at");
    std::thread::sleep(Duration::from_millis(500));
    assert!(calls.iter().all(|call| standin.replies(call).is_empty()));
    println!("  calls of another prefix, host or provider stay plain");
}

/// The bot may not write, as in a room that is read-only for it.
fn the_incoming_webhook_stands_in(standin: &Standin) {
    for what in ["chat.sendMessage", "chat.update"] {
        standin.post("refuse", &json!({ "what": what, "status": 400 }));
    }
    let call = standin.post("start", &json!({}));
    let reply = wait_until(Duration::from_secs(10), || standin.reply_to(&call));
    assert_eq!(reply.map(|text| links_of(&text).len()), Some(1), "a reply by the webhook");
    for what in ["chat.sendMessage", "chat.update"] {
        standin.post("refuse", &json!({ "what": what, "status": 0 }));
    }
    println!("  bot refused -> reply by the incoming webhook");
}

fn the_line_comes_back(standin: &Standin) {
    let began = Instant::now();
    standin.post("drop", &json!({}));
    let gone = || (standin.get("sockets") == json!(0)).then_some(());
    assert!(wait_until(Duration::from_secs(5), gone).is_some());
    standin.wait_for_streams(1);
    println!("  stream cut -> up again after {} ms", began.elapsed().as_millis());
    let call = standin.post("start", &json!({ "name": "Tea Time" }));
    let reply = wait_until(Duration::from_secs(10), || standin.reply_to(&call));
    assert!(reply.is_some(), "a call after it gets its reply");
}

/// Somebody enters the Jitsi room and leaves; the reply says that the meeting is over.
fn the_end_is_told(standin: &Standin, gateway: &Weebee, prosody: &Prosody, room: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut guest = enter(prosody, room).await;
        // Until the gateway has looked.
        let _ = guest.answer(Duration::from_secs(7), |_| false).await;
        guest.close().await;
    });
    let began = Instant::now();
    let closed = || {
        let texts = standin.get("messages");
        let texts = texts.as_array().expect("a list").iter();
        texts
            .filter_map(|it| it["msg"].as_str())
            .find(|text| text.contains("is over"))
            .map(str::to_owned)
    };
    let told = wait_until(Duration::from_secs(45), closed);
    assert!(told.is_some(), "the reply does not say so; weebee says:\n{}", gateway.words());
    println!("  last one leaves the room -> reply closed after {} s", began.elapsed().as_secs());
    let over = || {
        let list = gateway.run(&["pin", "list"]);
        let line = list.lines().find(|line| line.contains(room)).unwrap_or_default().to_owned();
        (!line.contains(" live ")).then_some(line)
    };
    assert!(
        wait_until(Duration::from_secs(5), over).is_some(),
        "{}",
        gateway.run(&["pin", "list"])
    );
}

async fn enter(prosody: &Prosody, room: &str) -> Probe {
    let site = XmppSite {
        name: "guest".to_owned(),
        domain: ANONYMOUS.to_owned(),
        transport: Transport::Tcp {
            host: "127.0.0.1".to_owned(),
            port: C2S_PORT,
            encryption: Encryption::Required,
        },
        trust: Trust { ca_file: Some(prosody.authority()), ..Trust::default() },
        ping_every: Duration::from_secs(10),
        open_within: Duration::from_secs(10),
        conference_request: None,
        visitors: None,
    };
    let account = StreamAccount {
        tenant: None,
        visit: None,
        site: SiteId(0),
        identity: StreamIdentity::Anonymous,
        room: None,
        token: None,
    };
    let mut guest = probe(&site, &account, Rng::from_number(9)).await.expect("a guest gets in");
    let nick = format!("{room}@{ROOMS}/guest");
    let mut presence = element("presence", NS_CLIENT, &[("to", nick.as_str())]);
    presence.append_child(element("x", "http://jabber.org/protocol/muc", &[]));
    guest.send(presence);
    let is_in = guest.answer(Duration::from_secs(5), |it| it.name() == "presence").await;
    assert!(is_in.is_ok_and(|it| it.is_some()), "the guest is in the room");
    guest
}

fn setup_says_what_is_there(standin: &Standin, gateway: &Weebee) {
    let said = gateway.run(&["setup", "rocketchat"]);
    for wanted in ["the token is good", "@dialin", "8.8.1"] {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
    let said = gateway.run(&[
        "setup",
        "rocketchat",
        "--room",
        "general",
        "--create-webhook",
        "https://gateway.test/rocketchat/chat",
    ]);
    assert!(said.contains("prefix"), "{said}");
    let made = standin.get("integrations");
    assert_eq!(made[0]["urls"][0], "https://gateway.test/rocketchat/chat", "{said}");
    assert_eq!(made[0]["token"], HOOK_TOKEN);
    println!("  weebee setup rocketchat: token, version, room and prefix seen, webhook made");
}

struct Weebee {
    process: Process,
    folder: PathBuf,
}

impl Weebee {
    fn start(folder: &Path, prosody: &Prosody, name: &str) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the gateway");
        for (file, secret) in
            [("chat.token", BOT_TOKEN), ("hook.token", HOOK_TOKEN), ("incoming.url", INCOMING.1)]
        {
            std::fs::write(folder.join(file), secret).expect("a token");
        }
        let authority = prosody.authority();
        let config = format!(
            r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
[[trunk]]
name = "local"
sources = ["127.0.0.0/8"]
[pin]
grace_min = 0
[http]
listen = "127.0.0.1:{HTTP_PORT}"
[[conference.jitsi]]
name = "meet"
domain = "{ANONYMOUS}"
rooms = "{ROOMS}"
xmpp = "tcp:127.0.0.1:{C2S_PORT}"
ca_file = "{}"
[[rocketchat]]
name = "chat"
url = "http://127.0.0.1:{CHAT_PORT}"
user_id = "{BOT}"
token_file = "chat.token"
hosts = ["meet.test"]
numbers = ["+62 21 1234 5678"]
webhook_token_file = "hook.token"
incoming_webhook_file = "incoming.url"
[log]
filter = "debug"
"#,
            authority.display()
        );
        std::fs::write(folder.join("weebee.toml"), config).expect("a configuration");
        let mut command = Command::new(gateway::binary());
        command.args(["run", "--config", "weebee.toml"]).current_dir(&folder);
        let process = Process::start("weebee", &folder, command);
        Self { process, folder }
    }

    fn words(&self) -> String {
        last_lines(&self.process.output(), 40)
    }

    /// A subcommand on its configuration; what it printed.
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(gateway::binary());
        command.args(arguments).args(["--config", "weebee.toml"]).current_dir(&self.folder);
        let done = command.output().expect("weebee runs");
        format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        )
    }
}
