use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, post};
use gateway_core::base::ids::CallKey;
use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::prompt::PromptId;
use gateway_core::sip::endpoint::InviteFacts;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::route::{Decision, Question, read};
use super::{Hooks, sign};
use crate::config::hooks::Hooks as Settings;
use crate::pin::key::PinKey;
use crate::testing::Folder;

const SECRET: &str = "sixteen-letters-of-a-secret";

/// What a program got, in its order.
#[derive(Clone, Default)]
struct Got(Arc<std::sync::Mutex<Vec<Letter>>>);

/// Headers and body.
type Letter = (HeaderMap, Vec<u8>);

impl Got {
    fn take(&self, headers: HeaderMap, body: Bytes) -> usize {
        let mut all = self.0.lock().expect("not poisoned");
        all.push((headers, body.to_vec()));
        all.len()
    }

    fn bodies(&self) -> Vec<Value> {
        let all = self.0.lock().expect("not poisoned");
        all.iter().map(|(_, body)| serde_json::from_slice(body).expect("JSON")).collect()
    }

    async fn wait_for(&self, count: usize) {
        for _ in 0..1_500 {
            if self.0.lock().expect("not poisoned").len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} never came: {:?}", self.bodies());
    }
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// A program that notes what it gets and answers as told.
async fn program<F, R>(got: &Got, answer: F) -> SocketAddr
where
    F: Fn(usize) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse + 'static,
{
    let got = got.clone();
    let take = move |headers: HeaderMap, body: Bytes| {
        let (got, answer) = (got.clone(), answer.clone());
        async move { answer(got.take(headers, body)) }
    };
    serve(Router::new().route("/hook", post(take))).await
}

fn settings(folder: &Path, text: &str) -> Result<Settings, crate::config::Mistakes> {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("secret");
    std::fs::write(&file, SECRET).expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("ours");
    let text = format!(
        "[[trunk]]\nname = \"pbx\"\nsources = [\"192.0.2.1\"]\n[hooks]\nsecret_file = \"secret\"\n{text}"
    );
    let config = crate::config::parse("test.toml", &text, folder)?;
    Ok(config.hooks.expect("an address is given"))
}

fn hooks(text: &str) -> Hooks {
    let folder = Folder::new("hooks");
    let settings = settings(folder.path(), text).expect("a good configuration");
    Hooks::start(&settings, PinKey::from_bytes([7; 32]), Rng::from_number(3)).expect("starts")
}

fn tell(hooks: &Hooks, call: &str) {
    let events = hooks.events.as_ref().expect("an event hook");
    events.tell("call_joined", &[("call", json!(call)), ("room", Value::Null)]);
}

#[tokio::test]
async fn events_come_once_in_order_signed_and_only_those_that_are_wanted() {
    let got = Got::default();
    let address = program(&got, |_| StatusCode::NO_CONTENT).await;
    let hooks =
        hooks(&format!("event_url = \"http://{address}/hook\"\nevents = [\"call_joined\"]\n"));
    let events = hooks.events.as_ref().expect("an event hook");
    for number in 0..20 {
        tell(&hooks, &format!("c{number}-1"));
        events.tell("quality", &[]);
    }
    got.wait_for(20).await;
    for (number, body) in got.bodies().iter().enumerate() {
        assert_eq!(body["call"], format!("c{number}-1"));
        assert_eq!(body["event"], "call_joined");
        assert!(body.get("room").is_none(), "what is not known is left out: {body}");
    }
    let secret = Pii::new(SECRET.to_owned());
    for (headers, body) in got.0.lock().expect("not poisoned").iter() {
        let signed = headers[sign::HEADER].to_str().expect("text");
        let unix = signed.strip_prefix("t=").and_then(|it| it.split(',').next()).expect("a time");
        let unix: u64 = unix.parse().expect("seconds");
        assert_eq!(signed, sign::sign(&secret, unix, body));
        let id = headers["x-wb-delivery"].to_str().expect("text");
        let body: Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(
            (body["id"].as_str(), &headers["x-wb-event"]),
            (Some(id), &"call_joined".parse().expect("a value"))
        );
    }
    eventually("all are counted", || hooks.seen().counters.hook_events_sent == 20).await;
    let seen = hooks.seen();
    assert_eq!((seen.waiting, seen.up, hooks.troubles().len()), (0, vec![("event", true)], 0));
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: never");
}

#[tokio::test]
async fn what_fails_is_sent_again_as_it_was_before_anything_else() {
    let got = Got::default();
    let answers = |count: usize| if count <= 2 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    let address = program(&got, answers).await;
    let hooks = hooks(&format!("event_url = \"http://{address}/hook\"\n"));
    tell(&hooks, "first");
    tell(&hooks, "second");
    eventually("trouble is said", || hooks.troubles().iter().any(|it| it.contains("502"))).await;
    got.wait_for(4).await;
    let calls: Vec<Value> = got.bodies().iter().map(|body| body["call"].clone()).collect();
    assert_eq!(calls, ["first", "first", "first", "second"]);
    let bodies = got.bodies();
    assert_eq!((&bodies[0], &bodies[1]), (&bodies[1], &bodies[2]), "the same event");
    eventually("it is over", || hooks.troubles().is_empty()).await;
    let counters = hooks.seen().counters;
    assert_eq!((counters.hook_event_attempts_failed, counters.hook_events_lost), (2, 0));
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again_and_a_redirect_is_not_followed() {
    let (got, strayed) = (Got::default(), Arc::new(AtomicU32::new(0)));
    let noted = Arc::clone(&strayed);
    let elsewhere = serve(Router::new().fallback(any(move || async move {
        noted.fetch_add(1, Ordering::Relaxed);
    })))
    .await;
    let away = format!("http://{elsewhere}/");
    let answer = move |count: usize| match count {
        1 => StatusCode::NOT_FOUND.into_response(),
        2 => axum::response::Redirect::temporary(&away).into_response(),
        _ => StatusCode::OK.into_response(),
    };
    let address = program(&got, answer).await;
    let hooks = hooks(&format!("event_url = \"http://{address}/hook\"\n"));
    ["one", "two", "three"].iter().for_each(|call| tell(&hooks, call));
    got.wait_for(3).await;
    eventually("counted", || hooks.seen().counters.hook_events_sent == 1).await;
    assert_eq!(hooks.seen().counters.hook_events_refused, 2);
    assert_eq!(got.bodies().len(), 3);
    assert_eq!(strayed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_silent_program_costs_a_bounded_queue_and_no_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let hooks = hooks(&format!("event_url = \"http://{address}/hook\"\nevent_queue = 10\n"));
    let begun = Instant::now();
    for number in 0..10_000 {
        tell(&hooks, &number.to_string());
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let seen = hooks.seen();
    assert_eq!((seen.waiting, seen.counters.hook_events_lost), (10, 9_990));
    drop(listener);
}

fn facts(caller: &str) -> InviteFacts {
    InviteFacts {
        request_user: Pii::new("6001".to_owned()),
        caller: Pii::new(caller.to_owned()),
        call_id: "id@192.0.2.1".to_owned(),
        headers: vec![
            ("X-Tenant".to_owned(), Pii::new("blue".to_owned())),
            ("X-Secret".to_owned(), Pii::new("hidden".to_owned())),
        ],
        ..InviteFacts::default()
    }
}

async fn asked(hooks: &Hooks, caller: &str) -> Option<Decision> {
    let desk = hooks.route.clone().expect("a route hook");
    let facts = Arc::new(facts(caller));
    desk.ask(&Question { call: CallKey::default(), trunk: "pbx".to_owned(), facts }).await
}

#[tokio::test]
async fn a_program_is_asked_once_for_the_same_and_told_what_was_chosen() {
    let got = Got::default();
    let answer = |_| axum::Json(json!({ "action": "join", "room": "Tea", "label": "Front door" }));
    let address = program(&got, answer).await;
    let hooks = hooks(&format!(
        "route_url = \"http://{address}/hook\"\nroute_cache_s = 60\nroute_headers = [\"x-tenant\"]\n"
    ));
    let first = asked(&hooks, "+622112345647").await;
    let Some(Decision::Join { room, role, label, language }) = &first else { panic!("{first:?}") };
    assert_eq!((room.as_str(), *role, *language), ("tea", Role::Guest, None));
    assert_eq!(label.as_ref().map(|it| it.reveal().as_str()), Some("Front door"));
    assert_eq!(asked(&hooks, "+622112345647").await, first);
    assert_eq!(got.bodies().len(), 1, "the second was known");
    asked(&hooks, "+622112345999").await;
    let bodies = got.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0]["caller"], "+62 *** 47");
    assert_eq!(bodies[0]["headers"], json!({ "x-tenant": ["blue"] }));
    assert_eq!((&bodies[0]["trunk"], &bodies[0]["dialled"]), (&json!("pbx"), &json!("6001")));
    let counters = hooks.seen().counters;
    assert_eq!((counters.hook_routes_asked, counters.hook_routes_cached), (2, 1));
}

#[tokio::test]
async fn nonsense_and_silence_are_no_decision_and_come_in_time() {
    let got = Got::default();
    let answer = |count: usize| match count {
        1 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        2 => axum::response::Redirect::temporary("/hook").into_response(),
        3 => "x".repeat(100_000).into_response(),
        4 => axum::Json(json!({ "action": "join", "room": "tea", "if": "x" })).into_response(),
        5 => axum::Json(json!({ "action": "dance" })).into_response(),
        6 => "".into_response(),
        _ => axum::Json(json!({ "action": "pin" })).into_response(),
    };
    let address = program(&got, answer).await;
    let hooks = hooks(&format!("route_url = \"http://{address}/hook\"\n"));
    for number in 1..=6 {
        assert_eq!(asked(&hooks, "1").await, None, "answer {number}");
        assert_eq!(hooks.seen().up, [("route", false)]);
    }
    assert_eq!(asked(&hooks, "1").await, Some(Decision::Pin { room: None, language: None }));
    assert_eq!((hooks.troubles().len(), hooks.seen().counters.hook_routes_failed), (0, 6));
}

/// A program that says this to whoever comes, and then keeps the line open or cuts it.
async fn raw(said: &'static str, cuts: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 4_096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(said.as_bytes()).await;
            if !cuts {
                open.push(stream);
            }
        }
    });
    address
}

#[tokio::test]
async fn slow_silent_and_broken_programs_cost_the_time_that_was_set() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"action\":";
    for (said, cuts) in
        [("", false), (HALF, false), (HALF, true), ("", true), ("SSH-2.0-x\r\n", true)]
    {
        let address = raw(said, cuts).await;
        let hooks = hooks(&format!(
            "route_url = \"http://{address}/hook\"\nroute_timeout_ms = 300\nfallback = \"refuse\"\n"
        ));
        let begun = Instant::now();
        assert_eq!(asked(&hooks, "1").await, None, "{said:?} {cuts}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(3), "{said:?} {cuts}: {took:?}");
        assert!(cuts || took >= Duration::from_millis(300), "{said:?}: {took:?}");
        assert!(hooks.route.as_ref().is_some_and(super::route::RouteDesk::refuses));
        assert!(hooks.troubles()[0].starts_with("route hook: "), "{:?}", hooks.troubles());
    }
}

#[test]
fn answers_are_read_strictly() {
    let refused = |reason, words| Decision::Refuse { reason, words, language: None };
    let tea = RoomName::new("tea").expect("a name");
    for (answer, wanted) in [
        (json!({ "action": "refuse" }), refused(EndReason::Forbidden, vec![])),
        (
            json!({ "action": "refuse", "reason": "not_found" }),
            refused(EndReason::NotFound, vec![]),
        ),
        (
            json!({ "action": "refuse", "reason": "later", "words": ["room-closed", "goodbye"] }),
            refused(EndReason::ServiceUnavailable, vec![PromptId::RoomClosed, PromptId::Goodbye]),
        ),
        (
            json!({ "action": "pin", "room": "tea" }),
            Decision::Pin { room: Some(tea.clone()), language: None },
        ),
        (
            json!({ "action": "join", "room": "tea", "role": "host" }),
            Decision::Join { room: tea, role: Role::Host, label: None, language: None },
        ),
    ] {
        assert_eq!(read(answer.to_string().as_bytes()), Ok(wanted), "{answer}");
    }
    for (answer, wanted) in [
        (json!([]), "not readable"),
        (json!({ "action": "join" }), "needs a `room`"),
        (json!({ "action": "join", "room": "" }), "`room`"),
        (json!({ "action": "join", "room": "tea", "role": "king" }), "`role`"),
        (json!({ "action": "join", "room": "tea", "label": "a\u{202e}b" }), "`label`"),
        (json!({ "action": "join", "room": "tea", "label": "x".repeat(65) }), "`label`"),
        (json!({ "action": "join", "room": "tea", "language": "xx" }), "`language`"),
        (json!({ "action": "join", "room": "tea", "reason": "busy" }), "`reason`"),
        (json!({ "action": "pin", "label": "x" }), "`label`"),
        (json!({ "action": "refuse", "room": "tea" }), "`room`"),
        (json!({ "action": "refuse", "reason": "mood" }), "`reason`"),
        (json!({ "action": "refuse", "words": ["abracadabra"] }), "`words`"),
        (json!({ "action": "refuse", "words": vec!["goodbye"; 5] }), "`words`"),
        (json!({ "action": "Join", "room": "tea" }), "`action`"),
    ] {
        let said = read(answer.to_string().as_bytes()).expect_err("nonsense");
        assert!(said.contains(wanted), "{answer}: {said}");
        assert!(!said.contains("abracadabra"), "no values in logs: {said}");
    }
}

/// A certificate for `localhost` that signs itself.
fn certificate(folder: &Path) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out cert -days 2 \
                -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    let made = std::process::Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{made:?}");
    let cert = CertificateDer::from_pem_file(folder.join("cert")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("key")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("they fit");
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_certificate_that_nobody_named_gets_no_body() {
    let folder = Folder::new("hooks-tls");
    let acceptor = certificate(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = vec![0; 4_096];
            let _ = stream.read(&mut buffer).await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"action\":\"pin\"}";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let ask = async |more: &str, host: &str| {
        let text = format!("route_url = \"https://{host}:{port}/hook\"\n{more}");
        let settings = settings(folder.path(), &text).expect("good");
        let hooks = Hooks::start(&settings, PinKey::from_bytes([7; 32]), Rng::from_number(3));
        let hooks = hooks.expect("starts");
        (asked(&hooks, "1").await, hooks.troubles())
    };
    let (decision, troubles) = ask("", "localhost").await;
    assert_eq!(decision, None);
    assert!(troubles[0].contains("TLS") && troubles[0].contains("ca_file"), "{troubles:?}");
    let (decision, troubles) = ask("ca_file = \"cert\"\n", "localhost").await;
    assert_eq!((decision.is_some(), troubles), (true, vec![]));
    let (decision, _) = ask("ca_file = \"cert\"\n", "127.0.0.1").await;
    assert_eq!(decision, None, "it is for another name");
}

const PAGE: &str = include_str!("../../../docs/hooks.md");

fn blocks(kind: &str) -> Vec<&'static str> {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(kind)?.strip_prefix('\n')).collect()
}

#[test]
fn the_page_shows_answers_and_events_that_are_read_and_sent() {
    let shown: Vec<Value> =
        blocks("json").iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let answers = shown.iter().filter(|value| value.get("action").is_some());
    let read: Vec<_> = answers.map(|answer| read(answer.to_string().as_bytes())).collect();
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(Result::is_ok), "{read:?}");
    for name in crate::config::hooks::EVENTS {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
    let mut names = Vec::new();
    super::HookCounters::default().visit(&mut |name, _, _| names.push(name));
    for name in names {
        let end = name.rsplit('_').next().unwrap_or_default();
        assert!(PAGE.contains(&format!("_{end}_total`")), "{name}");
    }
}

#[test]
fn the_line_of_openssl_on_the_page_finds_our_signature() {
    let folder = Folder::new("hooks-openssl");
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).expect("written");
    let line = blocks("sh").first().expect("a command").trim();
    let line = line.replace("/etc/weebee/hooks.secret", &file.display().to_string());
    let body = json!({ "event": "call_joined", "room": "ruang teh \u{2615} 'x' %s" }).to_string();
    let output = std::process::Command::new("sh")
        .args(["-euc", &line])
        .envs([("T", "1795000000"), ("BODY", body.as_str())])
        .output()
        .expect("there is a shell");
    assert!(output.status.success(), "{output:?}");
    let signed = sign::sign(&Pii::new(SECRET.to_owned()), 1_795_000_000, body.as_bytes());
    let found = String::from_utf8(output.stdout).expect("text");
    assert_eq!(signed, format!("t=1795000000,v1={}", found.trim()));
}

#[test]
fn mistakes_of_the_section_are_named_with_their_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("hooks-mistakes");
    let open = folder.path().join("open");
    std::fs::write(&open, SECRET).expect("written");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).expect("ours");
    for (text, wanted) in [
        ("route_url = \"https:///hook\"", "no web address"),
        ("route_url = \"hooks.example.org\"", "no web address"),
        ("route_url = \"wss://hooks.example.org/\"", "no web address"),
        ("event_url = \"https://user:pass@hooks.example.org/\"", "no web address"),
        ("event_url = \"https://h.test/?x=1\"", "no web address"),
        ("event_url = \"https://h.test/\"\nevents = []", "the list is empty"),
        ("event_url = \"https://h.test/\"\nevents = [\"dance\"]", "events"),
        ("route_url = \"https://h.test/\"\nroute_headers = [\"X Y\"]", "no name of a header"),
        ("route_url = \"https://h.test/\"\nroute_timeout_ms = 9000", "route_timeout_ms"),
        ("route_url = \"https://h.test/\"\nca_file = \"none\"", "ca_file"),
    ] {
        let said = settings(folder.path(), text).expect_err("a mistake").to_string();
        assert!(said.contains("hooks:") && said.contains(wanted), "{text}: {said}");
    }
    for (file, wanted) in [("", "is needed"), ("none", "openssl rand"), ("open", "chmod 640")] {
        let text = format!(
            "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n[hooks]\nevent_url = \"https://h.test/\"\nsecret_file = {file:?}\n"
        );
        let said = crate::config::parse("test.toml", &text, folder.path());
        let said = said.expect_err("a mistake").to_string();
        assert!(said.contains("secret_file") && said.contains(wanted), "{file}: {said}");
    }
}
