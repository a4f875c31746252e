//! The page and its requests over real HTTP, with a browser that offers and then never connects: what is answered, what is
//! refused, how it leaves, and what is written down. Sound is judged in `tests-peers` with a real browser.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::io::signalling::GatewayHandle;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_daemon::app::App;
use gateway_daemon::config;
use gateway_daemon::rest::{Guard, Rest};
use gateway_daemon::web::{Web, link};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const CHROMIUM: &str = include_str!("../../testdata/browser/chromium-156.sdp");

/// A gateway with the page, on ports that were free.
struct Place {
    folder: PathBuf,
    http: SocketAddr,
    handle: GatewayHandle,
    pass: String,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<gateway_daemon::app::Ended>,
}

impl Place {
    async fn new(name: &str, ports: &str, more: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("made");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let http = listener.local_addr().expect("bound");
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\ncalls_max = 10\ndrain_s = 0\n\
             [[trunk]]\nname = \"local\"\nsources = [\"127.0.0.1\"]\n[rtp]\nports = \"{ports}\"\n\
             [http]\nlisten = \"{http}\"\n\
             [browser]\nenabled = true\nbrowsers_max = 3\ndial_in = \"+62 21 555\"\n{more}"
        );
        let config = config::parse("weebee.toml", &text, &folder).expect("a good configuration");
        let app = App::start(&config).expect("starts");
        let shared = app.shared();
        let room = RoomName::new("tea").expect("a name");
        let until = wall_clock().unix.as_secs() + 60;
        let pass = link::pass(&shared.key, &room, Role::Guest, until);
        let handle = app.handle();
        let web = Web::new(app.handle(), app.shared(), &config, None);
        let rest = Rest::new(app.handle(), shared).with_web(web);
        let guard = Guard::new(http, None).expect("loopback");
        tokio::spawn(rest.serve(listener, guard));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async { drop(stopped.await) }));
        Self { folder, http, handle, pass, stop, running }
    }

    /// Status, headers and body of one request; headers as lines.
    async fn ask(&self, what: &str, headers: &[&str], body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.http).await.expect("listens");
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "{what} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            self.http,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), head.to_lowercase(), body.to_owned())
    }

    async fn join(&self, name: &str) -> (u16, String, String) {
        let pass = format!("Authorization: Bearer {}", self.pass);
        let headers = [pass.as_str(), "Content-Type: application/sdp"];
        self.ask(&format!("POST /room/tea/join?name={name}&lang=id"), &headers, CHROMIUM).await
    }

    /// The last word of the log, once there are so many records.
    async fn records(self, count: usize) -> Vec<serde_json::Value> {
        for _ in 0..100 {
            if self.handle.snapshot().await.is_ok_and(|snapshot| snapshot.calls.is_empty()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = self.stop.send(());
        self.running.await.expect("stops");
        let text = std::fs::read_to_string(self.folder.join("weebee-cdr.jsonl")).expect("records");
        let records: Vec<_> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(records.len(), count, "{text}");
        records
    }
}

fn location(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("location: "));
    line.expect("a location").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_joins_looks_mutes_and_leaves() {
    let place = Place::new("browser-joins", "21000-21099", "").await;
    let (status, head, page) = place.ask("GET /room/tea", &[], "").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("script-src 'nonce-") && head.contains("frame-ancestors 'none'"),
        "{head}"
    );
    assert!(head.contains("referrer-policy: no-referrer") && !page.contains("NONCE"));
    let nonce = page.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(head.contains(&format!("'nonce-{}'", nonce.expect("a nonce"))));
    let (status, head, answer) = place.join("Ann").await;
    assert_eq!(status, 201, "{answer}");
    assert!(head.contains("content-type: application/sdp"));
    assert!(answer.starts_with("v=0\r\n") && answer.contains("a=setup:passive"), "{answer}");
    let member = location(&head);
    let (status, _, look) = place.ask(&format!("GET {member}"), &[], "").await;
    let look: serde_json::Value = serde_json::from_str(&look).expect("JSON");
    assert_eq!((status, &look["state"]), (200, &"Joining".into()), "no keys yet: {look}");
    assert_eq!((&look["room"], &look["dial_in"]), (&"tea".into(), &"+62 21 555".into()));
    let json = ["Content-Type: application/json"];
    let mute = place.ask(&format!("POST {member}/mute"), &json, "{\"muted\":true}").await;
    assert_eq!(mute.0, 200);
    for (what, status) in [
        (format!("PATCH {member}"), 405),
        (format!("GET {}x", member), 404),
        (format!("GET {}", member.replace("tea", "board")), 404),
        (format!("DELETE {member}"), 200),
    ] {
        assert_eq!(place.ask(&what, &[], "").await.0, status, "{what}");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (status, _, gone) = place.ask(&format!("GET {member}"), &[], "").await;
    assert!(status == 410 && gone.contains("you left the room"), "{status} {gone}");
    let (_, head, _) = place.join("Bob").await;
    assert_eq!(place.ask(&format!("POST {}/leave", location(&head)), &[], "").await.0, 200);
    for record in place.records(2).await {
        assert_eq!(
            (&record["trunk"], &record["reason"]),
            (&"browser".into(), &"caller_hung_up".into())
        );
        assert!(record["caller"] == "" && record["room"].is_null(), "never inside: {record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_in_words() {
    let place = Place::new("browser-refusals", "21100-21199", "").await;
    let good = format!("Authorization: Bearer {}", place.pass);
    let last = if good.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", &good[..good.len() - 1]);
    let sdp = "Content-Type: application/sdp";
    let no_mux = CHROMIUM.replace("a=rtcp-mux\r\n", "");
    let long = "x".repeat(40_000);
    for (headers, body, status, error) in [
        (vec![sdp], CHROMIUM, 401, "bad_link"),
        (vec![wrong.as_str(), sdp], CHROMIUM, 401, "bad_link"),
        (vec![good.as_str()], CHROMIUM, 415, "not_sdp"),
        (vec![good.as_str(), sdp], "hello", 400, "bad_offer"),
        (vec![good.as_str(), sdp], &no_mux, 406, "bad_offer"),
        (vec![good.as_str(), sdp], &long, 413, ""),
        (vec![good.as_str(), sdp, "Origin: http://evil.example"], CHROMIUM, 403, "other_page"),
    ] {
        let (given, head, text) = place.ask("POST /room/tea/join", &headers, body).await;
        assert_eq!(given, status, "{error}: {text}");
        assert!(text.contains(error), "{error}: {text}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    }
    let own = format!("Origin: http://{}", place.http);
    let joined = place.ask("POST /room/tea/join", &[&good, sdp, &own], CHROMIUM).await;
    assert_eq!(joined.0, 201);
    let elsewhere = place.ask("POST /room/board/join", &[&good, sdp], CHROMIUM).await;
    assert_eq!(elsewhere.0, 401, "a pass is for one room");
    assert_eq!([place.join("b").await.0, place.join("c").await.0], [201, 201]);
    let (status, _, text) = place.join("d").await;
    assert!(status == 503 && text.contains("overloaded"), "the fourth: {status} {text}");
    // Pages for people who run the gateway keep their own guard.
    let calls = place.ask("GET /calls", &["Origin: http://evil.example"], "").await;
    assert_eq!(calls.0, 403);
    let (_, _, metrics) = place.ask("GET /metrics", &[], "").await;
    for line in ["weebee_browsers_asked_total 4", "weebee_browsers_refused_total 1"] {
        assert!(metrics.contains(line), "{line}");
    }
    let (_, _, calls) = place.ask("GET /calls", &[], "").await;
    assert_eq!(calls.matches("\"trunk\":\"browser\"").count(), 3, "{calls}");
}
