//! A site in a folder, and the workspace it talks to.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

/// A site with Jitsi, its dial-in page and a Rocket.Chat.
pub const GOOD: &str = r#"
[http]
listen = "127.0.0.1:0"
[room]
backend = "meet"
[pin]
digits = 9
file = "pins.sqlite"
[dial_in]
enabled = true
room_size = "http://127.0.0.1:5280/room-size"
token_file = "page.token"
[[dial_in_number]]
number = "+62 21-555-0100"
country = "ID"
[[conference.jitsi]]
name = "meet"
domain = "meet.test"
account_domain = "phones.meet.test"
[[trunk]]
name = "pbx"
sources = ["127.0.0.1"]
[rtp]
ports = "20000-22999"
advertised = "192.0.2.20"
conference = "192.0.2.20"
[[rocketchat]]
name = "chat"
url = "https://chat.test"
user_id = "dialinbotdialinbo"
token_file = "chat.token"
webhook_token_file = "page.token"
numbers = ["+62 21 1234 5678"]
"#;

/// A request, status and body of its answer, and what `weebee setup` should say of it.
pub type Wrong = (&'static str, u16, &'static str, &'static str);

/// What Rocket.Chat 8 answers, cut to what is read of it, with one answer replaced. Gives its address.
pub async fn chat(wrong: Option<Wrong>) -> String {
    async fn answer(State(wrong): State<Option<Wrong>>, asked: Uri) -> Response {
        let path = asked.path();
        if let Some((at, status, body, _)) = wrong
            && path.ends_with(&format!("/{at}"))
        {
            return (StatusCode::from_u16(status).expect("a status"), body).into_response();
        }
        let call = "https://meet.test/RocketChat6657aabbcc0011223344556f";
        let body: Value = match path.rsplit('/').next() {
            Some("info") => json!({"success": true, "info": {"version": "8.8.1"}}),
            Some("me") => json!({"success": true, "_id": "dialinbotdialinbo", "username": "dialin",
                "roles": ["user", "bot"]}),
            Some("rooms.info") => json!({"success": true, "room": {"_id": "GENERAL"}}),
            Some("video-conference.list") => json!({"success": true, "data": [
                {"_id": "6657aabbcc0011223344556f", "rid": "GENERAL", "providerName": "jitsi", "url": call}]}),
            Some("integrations.list") => json!({"success": true, "integrations": []}),
            Some("integrations.create") => json!({"success": true}),
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        Json(body).into_response()
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let pages = Router::new().fallback(answer).with_state(wrong);
    tokio::spawn(async move { axum::serve(listener, pages).await });
    format!("http://{address}")
}

const TOKEN: &str = "sixteen-letters-of-a-token";

/// A folder with secrets, in which the program runs.
pub struct Place(PathBuf);

impl Place {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("made");
        for (file, text, mode) in [
            ("page.token", TOKEN, 0o600),
            ("chat.token", TOKEN, 0o600),
            ("short.token", "short", 0o600),
            ("open.token", TOKEN, 0o644),
        ] {
            let file = path.join(file);
            std::fs::write(&file, text).expect("written");
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("ours");
        }
        Self(path)
    }

    /// Exit code and all that was said.
    pub fn run(&self, config: &str, arguments: &[&str]) -> String {
        self.configure(config);
        self.weebee(arguments.iter().chain(&["--config", "weebee.toml"]))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("written");
    }

    /// Writes the configuration.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.0.join("weebee.toml"), config).expect("written");
    }

    /// Exit code and all that was said, after these very arguments.
    pub fn weebee<'a>(&self, arguments: impl IntoIterator<Item = &'a &'a str>) -> String {
        let mut weebee = Command::new(env!("CARGO_BIN_EXE_weebee"));
        weebee.args(arguments).current_dir(&self.0);
        let done = weebee.output().expect("starts");
        let said = [done.stdout, done.stderr].concat();
        format!("{}:\n{}", done.status.code().unwrap_or(-1), String::from_utf8_lossy(&said))
    }
}
