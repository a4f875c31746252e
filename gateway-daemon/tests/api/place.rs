//! A gateway with phones, and its `/v1` over real sockets.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_core::base::ids::CallKey;
use gateway_core::gateway::Command;
use gateway_core::io::os_rng;
use gateway_core::io::signalling::{self, Running};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::ClipLibrary;
use gateway_core::media::codec::CodecKind;
use gateway_daemon::api::Api;
use gateway_daemon::app::{App, Ended};
use gateway_daemon::compat::Face;
use gateway_daemon::config;
use gateway_daemon::phone::Phone;
use gateway_daemon::phone::target::Target;
use gateway_daemon::rest::{self, Guard, Rest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};

use crate::openapi::Exchange;

pub const TOKEN: &str = "a-token-for-everything";
pub const PBX_TOKEN: &str = "a-token-for-the-pbx";
pub const NUMBER: &str = "+622112345647";
/// Who asks until it may not any more.
const NOISY: &str = "198.51.100.200";
const PER_MINUTE: usize = 1_000;

const CONFIG: &str = r#"
[sip]
listen = ["udp:127.0.0.1:0"]
calls_max = 20
drain_s = 1
[rtp]
ports = "36300-36399"
[[trunk]]
name = "local"
sources = ["127.0.0.1"]
[[did]]
number = "tea"
room = "tea"
ask_pin = false
[[did]]
number = "board"
room = "board"
ask_pin = false
[[room_policy]]
name = "board"
before_host = "hold"
[[room_policy]]
name = "silent"
mint = ["cli"]
[api]
token_files = ["token"]
pin_check_token_files = ["pbx"]
per_minute = 1000
"#;

pub struct Place {
    folder: PathBuf,
    sip: SocketAddr,
    http: SocketAddr,
    ends: Mutex<Option<(oneshot::Sender<()>, tokio::task::JoinHandle<Ended>)>>,
}

/// A phone in a call.
pub struct Phoning {
    running: Running,
    call: CallKey,
}

impl Phoning {
    pub async fn end(self) {
        let end = Command::End { call: self.call, reason: EndReason::CallerHungUp };
        // It may have been hung up already.
        let _ = self.running.handle.command(end).await;
    }
}

impl Place {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, "").await
    }

    /// With more in its configuration.
    pub async fn start_with(name: &str, more: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("made");
        for (name, text) in [("token", TOKEN), ("pbx", PBX_TOKEN), ("secret", TOKEN)] {
            std::fs::write(folder.join(name), text).expect("written");
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(folder.join(name), mode).expect("ours");
        }
        // What curl says of each answer, after its body.
        let said = "silent\nshow-error\nmax-time = 60\nwrite-out = \"\\n%{http_code} %{method} %{content_type}\\n%{url_effective}\"\n";
        std::fs::write(folder.join(".curlrc"), said).expect("written");
        let config = config::parse("test", &format!("{CONFIG}{more}"), &folder).expect("valid");
        let app = App::start(&config).expect("starts");
        let listener = rest::bind(([127, 0, 0, 1], 0).into()).await.expect("bound");
        let http = listener.local_addr().expect("bound");
        let guard = Guard::new(http, None).expect("loopback");
        let api = Api::new(&config, app.handle(), app.shared()).expect("has tokens");
        let face = Face::new(app.handle(), app.shared(), config.compat.clone());
        let rest = Rest::new(app.handle(), app.shared()).with_hooks(api.router());
        let rest = rest.with_face(face.router(), config.compat.conferences_threshold);
        tokio::spawn(rest.serve(listener, guard));
        let (stop, stopped) = oneshot::channel();
        let sip = app.listeners()[0];
        let run = tokio::spawn(app.run(async { drop(stopped.await) }));
        Self { folder, sip, http, ends: Mutex::new(Some((stop, run))) }
    }

    /// A phone that calls a number.
    pub async fn phone(&self, number: &str) -> Phoning {
        let phone = Phone {
            target: Target::parse(&format!("sip:{number}@{}", self.sip)).expect("a SIP URI"),
            from_user: NUMBER.to_owned(),
            codecs: vec![CodecKind::Pcma],
            credentials: None,
            play: None,
            record: None,
        };
        let clips = Arc::new(ClipLibrary::embedded().expect("built in"));
        let config = phone.gateway(clips).expect("a route to loopback");
        let running = signalling::start(config, os_rng().expect("entropy")).expect("starts");
        let call = running.handle.command(phone.dial(None)).await.expect("taken");
        Phoning { running, call: call.expect("a call") }
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<(&str, String)>,
    ) -> Exchange {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        self.send(method, path, &token.unwrap_or_default(), body).await
    }

    pub async fn ask_from_the_noisy_one(&self, method: &str, path: &str) -> Exchange {
        let from = format!("X-Forwarded-For: {NOISY}\r\n");
        for _ in 0..=PER_MINUTE {
            let seen = self.send(method, path, &from, None).await;
            if seen.status == 429 {
                return seen;
            }
        }
        panic!("{NOISY} may ask for ever");
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<(&str, String)>,
    ) -> Exchange {
        let (kind, body) = body.unwrap_or_default();
        let kind =
            if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            self.http,
            body.len()
        );
        let mut stream = TcpStream::connect(self.http).await.expect("connects");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
        Exchange {
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            kind: kind.unwrap_or_default().to_owned(),
            body: body.to_owned(),
        }
    }

    /// Runs a block of the page with its variables set.
    pub async fn shell(&self, block: &str, names: &[(&str, &str)]) -> Exchange {
        let mut command = std::process::Command::new("sh");
        command
            .args(["-euc", block])
            .env("CURL_HOME", &self.folder)
            .env("WB", format!("http://{}", self.http))
            .envs([("TOKEN", TOKEN), ("PBX_TOKEN", PBX_TOKEN), ("no_proxy", "*")])
            .envs(names.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("there is a shell");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{complaint}");
        let text = String::from_utf8(output.stdout).expect("text");
        let (rest, url) = text.rsplit_once('\n').expect("the address");
        let (body, line) = rest.rsplit_once('\n').expect("a line of curl");
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let (status, method, kind) = (word(), word(), word());
        let path = url.strip_prefix(&format!("http://{}", self.http)).expect("our address");
        let status = status.parse().expect("a status");
        Exchange { method, path: path.to_owned(), status, kind, body: body.to_owned() }
    }

    /// Records of calls that ended.
    pub fn records(&self) -> String {
        std::fs::read_to_string(self.folder.join("weebee-cdr.jsonl")).unwrap_or_default()
    }

    /// The gateway is told to stop, or has been by HTTP.
    pub async fn end(&self, is_told: bool) -> Ended {
        let (stop, run) = self.ends.lock().await.take().expect("runs");
        let held = match is_told {
            true => stop.send(()).map_or(None, |()| None),
            false => Some(stop),
        };
        let run = tokio::time::timeout(Duration::from_secs(60), run).await;
        drop(held);
        run.expect("stops in time").expect("no panic")
    }

    /// The gateway stops and its registry is lost; HTTP goes on.
    pub async fn stop(&self) {
        let file = rusqlite::Connection::open(self.folder.join("weebee-pins.sqlite"));
        file.expect("opens").execute_batch("ALTER TABLE pins RENAME TO gone").expect("broken");
        self.end(true).await;
    }
}

/// The commands of the page, in their order.
pub fn blocks() -> Vec<String> {
    let page = include_str!("../../../docs/api.md");
    page.split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap_or_default().to_owned())
        .collect()
}
