//! `rocketchat-app/` against its oracles: the TypeScript compiler with the Apps-Engine's types, and the engine's own
//! accessors with the permissions of app.json. Then beside a running gateway: what `/dialin` shows opens the meeting,
//! and its buttons move calls.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gateway_tests_peers::asked::Asked;
use gateway_tests_peers::gateway::{Gateway, TestPhone};
use gateway_tests_peers::process::{last_lines, wait_until};
use gateway_tests_peers::require::{Peer, all_there, peers_dir, repository};
use gateway_tests_peers::sound::{Speech, Wav};
use gateway_tests_peers::world::World;
use serde_json::{Value, json};

const CALL: &str = "6657aabbcc0011223344556f";
const TOKEN: &str = "token-of-the-app-0123456789abcdef";

#[test]
fn the_app_passes_the_compiler_and_the_engine() {
    if !all_there("the_app_passes_the_compiler_and_the_engine", &[Peer::RocketChatApp]) {
        return;
    }
    println!("\n{}", Peer::RocketChatApp.version());
    let world = World::new("chat-app");
    let folder = built(&world);
    let recorded = repository().join("testdata/rocketchat/jitsi-app-urls.json");
    let recorded = format!("WEEBEE_JITSI_URLS={}", recorded.display());
    let said = run(&world, &folder, "env", &[&recorded, "node", "--test", "test/app.test.mjs"]);
    println!("{}", last_lines(&said, 8));
}

#[test]
fn the_app_and_a_gateway_understand_each_other() {
    let peers = [Peer::RocketChatApp, Peer::Speech];
    if !all_there("the_app_and_a_gateway_understand_each_other", &peers) {
        return;
    }
    let world = World::new("chat-app-live");
    let token = world.subfolder("weebee").join("api.token");
    std::fs::write(&token, TOKEN).expect("a token");
    let ours_alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, ours_alone).expect("nobody else reads it");
    let mut gateway = Gateway::start_with(
        &world,
        "",
        "file = \"pins.sqlite\"\ngrace_min = 0",
        "[api]\ntoken_files = [\"api.token\"]\n\
         [room]\nbefore_host = \"hold\"\n\
         [[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n",
    );
    let mut app = App::start(&world, &built(&world));
    let told = app.slash("ana", &[]);
    let pin = pin_of(told["text"].as_str().unwrap_or_default());
    println!("\n/dialin: {}", told["text"]);
    assert_eq!(app.slash("ana", &["phones"])["text"], "No phone is in this meeting.");

    let speech = Speech::spoken(world.folder(), "voice", 0, 3.0);
    let said = Wav::silence(16_000, 1.0).then(&speech.wav).then(&Wav::silence(16_000, 40.0));
    let mut phone = TestPhone::call(&world, "phone", "pcma", &pin, &said, 60);
    // Guests wait for a host here.
    let waiting = app.phones_with("admit", 20).unwrap_or_else(|| {
        panic!("nobody waits:\n{}", gateway.log());
    });
    assert_eq!(waiting["text"], "Phones in this meeting: 1");
    let admit = &waiting["buttons"]["admit"];
    let refused = app.press("eve", admit);
    assert!(refused["text"].to_string().contains("Only who started"), "{refused}");
    println!("admit: {}", app.press("moe", admit)["text"]);
    let inside = app.phones_with("mute", 5).expect("he is let in");
    // The gateway's own words come through.
    let refused = app.press("ana", admit);
    println!("admit once more: {}", refused["text"]);
    assert!(refused["text"].to_string().contains("does not wait"), "{refused}");
    println!("mute: {}", app.press("moe", &inside["buttons"]["mute"])["text"]);
    let muted = app.phones_with("unmute", 5).expect("the gateway says that he is muted");
    println!("unmute: {}", app.press("ana", &muted["buttons"]["unmute"])["text"]);
    app.phones_with("mute", 5).expect("he is heard again");
    println!("hang up: {}", app.press("ana", &muted["buttons"]["hangup"])["text"]);
    phone.finish(Duration::from_secs(15));
    let records = gateway.wait_call_records(1, Duration::from_secs(5));
    assert_eq!(records[0]["reason"], "operator", "{records:?}");
    // The room is empty now: its PIN ends with the meeting, as it would with one in a Jitsi room.
    let ended = || {
        let list = gateway.run(&world, &["pin", "list"]);
        (!list.lines().any(|line| line.contains(CALL) && line.contains(" live "))).then_some(list)
    };
    assert!(wait_until(Duration::from_secs(5), ended).is_some(), "the PIN outlives its meeting");
    let log = gateway.log();
    assert!(!log.contains(TOKEN) && !log.contains(&pin), "a secret in the log");
    gateway.assert_alive();
}

/// A copy of the app beside the packages that check it, compiled: its folder.
fn built(world: &World) -> PathBuf {
    let folder = world.folder().join("rocketchat-app");
    let source = repository().join("rocketchat-app");
    let copied = Command::new("cp").arg("-r").arg(&source).arg(&folder).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} is copied", source.display());
    // Where somebody works on the app, packages of his own are there; these are the ones that were asked for.
    let _ = std::fs::remove_dir_all(folder.join("node_modules"));
    let packages = peers_dir().join("rocketchat-app/node_modules");
    std::os::unix::fs::symlink(packages, folder.join("node_modules")).expect("a link");
    for script in ["check", "bundle"] {
        run(world, &folder, "npm", &["run", "--silent", script]);
    }
    folder
}

fn run(world: &World, folder: &Path, program: &str, arguments: &[&str]) -> String {
    let done = world.command(program).args(arguments).current_dir(folder).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{program} {arguments:?}:\n{said}");
    said
}

/// The app in the engine, moved by wishes.
struct App {
    asked: Asked,
}

impl App {
    /// With a call going on in the room where people ask.
    fn start(world: &World, folder: &Path) -> Self {
        let settings = json!({
            "gateway_url": "http://127.0.0.1:8788",
            "gateway_token": TOKEN,
            "numbers": "+62 21 1234 5678",
            "jitsi_url": "https://meet.example.org",
        });
        let mut node = world.command("node");
        node.arg("test/live.mjs").arg(settings.to_string()).current_dir(folder);
        let mut asked = Asked::start("app", world.folder(), node);
        asked.wait_for("ready", 15);
        let mut app = Self { asked };
        let url = format!("https://meet.example.org/RocketChat{CALL}");
        app.ask(&json!({ "do": "call", "id": CALL, "url": url }));
        app
    }

    fn slash(&mut self, user: &str, words: &[&str]) -> Value {
        self.ask(&json!({ "do": "slash", "user": user, "words": words }))
    }

    /// The list of phones, once it has such a button.
    fn phones_with(&mut self, button: &str, seconds: u64) -> Option<Value> {
        wait_until(Duration::from_secs(seconds), || {
            Some(self.slash("ana", &["phones"])).filter(|told| !told["buttons"][button].is_null())
        })
    }

    fn press(&mut self, user: &str, button: &Value) -> Value {
        self.ask(&json!({ "do": "press", "user": user, "button": button }))
    }

    fn ask(&mut self, wish: &Value) -> Value {
        self.asked.tell(wish);
        self.asked.wait_for("told", 10)
    }
}

fn pin_of(text: &str) -> String {
    let digits = text.rsplit("PIN: *").next().unwrap_or_default();
    let pin: String = digits.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(pin.len(), 9, "{text}");
    pin
}
