use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gateway_core::base::rng::Rng;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::pin::sqlite::SqliteRegistry;

const TOKEN: &str = "a-token-of-the-PBX";
const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:8788"
[[trunk]]
name = "pbx"
sources = ["192.0.2.1"]
[room]
backend = "jitsi"
[[room_policy]]
name = "silent-*"
mint = ["cli"]
[[room_policy]]
name = "own-*"
backend = "room"
[[conference.jitsi]]
name = "jitsi"
domain = "meet.test"
rooms = "conference.meet.test"
[dial_in]
enabled = true
rooms = ["*-weekly", "stra?e", "silent-*", "own-*"]
origins = ["https://meet.test"]
token_file = "token"
per_minute = 20
[[dial_in_number]]
number = "+62 21-555-0100"
country = "id"
[[dial_in_number]]
number = "+1 202-555-0123"
country = "US"
toll_free = true
default = true
[[dial_in_number]]
number = "pin@gateway.meet.test"
country = "SIP"
"#;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weebee-dial-in-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).expect("written");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).expect("ours");
    folder
}

/// The pages of that configuration; no gateway knows of rooms.
fn pages(folder: &Path, text: &str) -> DialIn {
    let config = crate::config::parse("test.toml", text, folder).expect("a good configuration");
    let registry = SqliteRegistry::open(&folder.join("pins.sqlite"), &folder.join("pins.key"));
    let registry = Box::new(registry.expect("opens"));
    let rng = Rng::from_number(5);
    let pins =
        Pins::start(registry, config.pin.clone(), config.rooms.clone(), rng).expect("starts");
    DialIn::new(&config, pins, None).expect("enabled")
}

/// One question, over a socket: status, the page that may read the answer, the answer.
async fn ask(pages: &DialIn, path: &str, headers: &[(&str, &str)]) -> (u16, Option<String>, Value) {
    send(pages, &format!("GET {path}"), headers, "").await
}

async fn send(
    pages: &DialIn,
    what: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Option<String>, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = pages.clone().router().into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut stream = TcpStream::connect(address).await.expect("reached");
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{what} HTTP/1.1\r\nHost: meet.test\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    server.abort();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
    let allowed = head.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: "));
    (status, allowed.map(str::to_owned), serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn mapped(pages: &DialIn, conference: &str) -> Value {
    ask(pages, &format!("/conferenceMapper?conference={conference}&url=https://meet.test/x"), &[])
        .await
        .2
}

/// What the client's `getDialInConferenceID` resolves to: both fields must be truthy, or `message` is an error.
fn pin_of_the_client(answer: &Value) -> Result<String, String> {
    let is_truthy = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    if is_truthy(&answer["conference"]) && is_truthy(&answer["id"]) {
        // JavaScript keeps 15 digits.
        let id = &answer["id"];
        return Ok(id
            .as_u64()
            .map_or_else(|| id.as_str().unwrap_or_default().into(), |it| it.to_string()));
    }
    Err(answer["message"].as_str().unwrap_or_default().to_owned())
}

/// What the client's `_formatNumbers` and default choice make of a list: (country, number, toll free), the default's.
fn numbers_of_the_client(answer: &Value) -> (Vec<(String, String)>, Option<String>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Value::Array(list) = answer {
        let shown = list.iter().map(|it| (text(&it["countryCode"]), text(&it["formattedNumber"])));
        let default = list.iter().find(|it| it["default"] == true).or(list.first());
        return (shown.collect(), default.map(|it| text(&it["formattedNumber"])));
    }
    let by_country = answer["numbers"].as_object().cloned().unwrap_or_default();
    let shown: Vec<(String, String)> = by_country
        .iter()
        .flat_map(|(country, list)| {
            list.as_array().into_iter().flatten().map(|number| (country.clone(), text(number)))
        })
        .collect();
    let first = shown.first().map(|(_, number)| number.clone());
    (shown, first.filter(|_| answer["numbersEnabled"] == true))
}

#[tokio::test]
async fn the_client_finds_the_numbers_in_both_forms() {
    let folder = folder("numbers");
    let expected =
        [("ID", "+62 21-555-0100"), ("US", "+1 202-555-0123"), ("SIP", "pin@gateway.meet.test")];
    let (status, _, list) =
        ask(&pages(&folder, CONFIG), "/phoneNumberList?conference=tea", &[]).await;
    let (mut shown, default) = numbers_of_the_client(&list);
    assert_eq!((status, default.as_deref()), (200, Some("+1 202-555-0123")));
    assert_eq!(shown, expected.map(|(country, number)| (country.to_owned(), number.to_owned())));
    assert_eq!(list[1]["tollFree"], true);

    let old = CONFIG.replace("per_minute = 20", "numbers_by_country = true");
    let (_, _, list) = ask(&pages(&folder, &old), "/phoneNumberList", &[]).await;
    let (mut by_country, default) = numbers_of_the_client(&list);
    shown.sort();
    by_country.sort();
    assert_eq!((by_country, default.is_some()), (shown, true));
}

#[tokio::test]
async fn a_room_has_one_pin_and_the_pbx_learns_the_room_from_it() {
    let pages = pages(&folder("mapper"), CONFIG);
    let answer = mapped(&pages, "Board-Weekly%40conference.meet.test").await;
    let pin = pin_of_the_client(&answer).expect("a PIN");
    assert_eq!(
        (pin.len(), answer["conference"].as_str()),
        (9, Some("Board-Weekly@conference.meet.test"))
    );
    let again = mapped(&pages, "board-weekly@conference.meet.test").await;
    assert_eq!(pin_of_the_client(&again), Ok(pin.clone()), "the same for all who ask");
    let other = mapped(&pages, "other-weekly@conference.meet.test").await;
    assert_ne!(pin_of_the_client(&other), Ok(pin.clone()));

    let bearer = format!("Bearer {TOKEN}");
    for key in ["id", "cid"] {
        let path = format!("/conferenceMapper?{key}={pin}");
        let (status, _, _) = ask(&pages, &path, &[]).await;
        assert_eq!(status, 401, "a page learns no room from a PIN");
        let (status, _, found) = ask(&pages, &path, &[("authorization", &bearer)]).await;
        assert_eq!(
            (status, &found["conference"]),
            (200, &json!("board-weekly@conference.meet.test"))
        );
        assert_eq!(found["id"].to_string(), pin);
    }
    let wrong = if pin == "121212121" { "131313131" } else { "121212121" };
    let (status, _, none) =
        ask(&pages, &format!("/conferenceMapper?id={wrong}"), &[("authorization", &bearer)]).await;
    assert_eq!((status, &none["conference"]), (200, &json!(false)));
    assert!(pin_of_the_client(&none).is_err());
}

#[tokio::test]
async fn programs_may_ask_by_a_body() {
    let pages = pages(&folder("posted"), CONFIG);
    let by_page = mapped(&pages, "board-weekly@conference.meet.test").await;
    let pin = pin_of_the_client(&by_page).expect("a PIN");
    let bearer = format!("Bearer {TOKEN}");
    for (body, conference) in [
        ("{\"conference\":\"Board-Weekly@conference.meet.test\"}", "Board-Weekly"),
        ("{\"room\":\"board-weekly\",\"domain\":\"meet.test\"}", "board-weekly"),
        ("{\"room\":\"board-weekly\",\"domain\":\"conference.meet.test\"}", "board-weekly"),
        ("conference=board-weekly%40conference.meet.test", "board-weekly"),
        ("room=board-weekly&domain=meet.test\n", "board-weekly"),
    ] {
        let (status, _, answer) = send(&pages, "POST /conferenceMapper", &[], body).await;
        assert_eq!((status, pin_of_the_client(&answer)), (200, Ok(pin.clone())), "{body}");
        assert_eq!(answer["conference"], format!("{conference}@conference.meet.test"), "{body}");
    }
    for body in [format!("{{\"id\":{pin}}}"), format!("{{\"cid\":\"{pin}\"}}"), format!("id={pin}")]
    {
        let (status, ..) = send(&pages, "POST /conferenceMapper", &[], &body).await;
        assert_eq!(status, 401, "{body}");
        let token = [("authorization", bearer.as_str())];
        let (status, _, answer) = send(&pages, "POST /conferenceMapper", &token, &body).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(answer["conference"], "board-weekly@conference.meet.test", "{body}");
    }
    for nonsense in ["", "{", "[]", "{}", "{\"conference\":[1]}", "room=board-weekly", "\u{7}"] {
        let (status, ..) = send(&pages, "POST /conferenceMapper", &[], nonsense).await;
        assert_eq!(status, 400, "{nonsense}");
    }
    let big = format!("{{\"conference\":\"{}\"}}", "a".repeat(5_000));
    assert_eq!(send(&pages, "POST /conferenceMapper", &[], &big).await.0, 413);
}

#[test]
fn a_room_of_the_same_name_elsewhere_is_another() {
    use gateway_core::base::ids::{CallKey, LegKey, RoomKey};
    use gateway_core::leg::backend::{MemberSnapshot, Role};
    let room = |name: &str| RoomName::new(name).expect("a name");
    let member = MemberSnapshot {
        leg: LegKey::conference(CallKey::default()),
        role: Role::Guest,
        label: Pii::new("Phone".to_owned()),
        waiting: false,
        muted: false,
        speaking: false,
        hand_raised: false,
    };
    let seen = |name: &str, members| RoomSnapshot { name: room(name), room: RoomKey(1), members };
    let rooms = vec![
        ("room".to_owned(), seen("tea", vec![member.clone()])),
        ("jitsi".to_owned(), seen("milk", vec![member])),
        ("jitsi".to_owned(), seen("empty", Vec::new())),
    ];
    let snapshot = GatewaySnapshot {
        calls: Vec::new(),
        rooms,
        dialogs: 0,
        ports_used: 0,
        ports_resting: 0,
        draining: false,
    };
    let is_there = |backend: &str, name: &str| has_phone(&snapshot, backend, &room(name));
    assert!(is_there("jitsi", "milk") && is_there("room", "tea"));
    assert!(!is_there("jitsi", "tea") && !is_there("room", "milk") && !is_there("jitsi", "empty"));
}

#[tokio::test]
async fn names_beyond_ascii_are_one_room_however_they_are_written() {
    let pages = pages(&folder("names"), CONFIG);
    let as_muc = mapped(&pages, "stra%25c3%259fe@conference.meet.test").await;
    let plain = mapped(&pages, "stra%C3%9Fe@conference.meet.test").await;
    assert!(pin_of_the_client(&as_muc).is_ok(), "{as_muc}");
    assert_eq!(pin_of_the_client(&as_muc), pin_of_the_client(&plain));
    for nonsense in [
        "",
        "@",
        "a@",
        "@conference.meet.test",
        "%25@conference.meet.test",
        "a%00b@conference.meet.test",
    ] {
        assert!(pin_of_the_client(&mapped(&pages, nonsense).await).is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn who_may_not_have_a_pin_is_told_so_in_words() {
    let pages = pages(&folder("refused"), CONFIG);
    let told = |answer: &Value| pin_of_the_client(answer).expect_err("no PIN");
    assert!(told(&mapped(&pages, "nobody-there@conference.meet.test").await).contains("not begun"));
    assert!(
        told(&mapped(&pages, "silent-weekly@conference.meet.test").await).contains("telephone")
    );
    for elsewhere in ["a-weekly@conference.other.test", "own-weekly@conference.meet.test"] {
        assert!(told(&mapped(&pages, elsewhere).await).contains("No conference"), "{elsewhere}");
    }
    assert_eq!(ask(&pages, "/conferenceMapper", &[]).await.0, 400);
}

#[tokio::test]
async fn whoever_asks_too_often_gets_402_and_others_go_on() {
    let pages = pages(&folder("limit"), CONFIG);
    let path = "/conferenceMapper?conference=a-weekly@conference.meet.test";
    for _ in 0..20 {
        assert_eq!(ask(&pages, path, &[("x-forwarded-for", "198.51.100.7")]).await.0, 200);
    }
    let forged = [("x-forwarded-for", "203.0.113.1, 198.51.100.7")];
    assert_eq!(ask(&pages, path, &forged).await.0, 402, "the last name is the proxy's own");
    assert_eq!(ask(&pages, path, &[("x-forwarded-for", "198.51.100.8")]).await.0, 200);
    assert_eq!(ask(&pages, "/phoneNumberList", &forged).await.0, 200);
}

#[tokio::test]
async fn pages_of_other_hosts_may_read_it_if_they_are_named() {
    let pages = pages(&folder("origins"), CONFIG);
    let allowed = |origin: &'static str| {
        let pages = pages.clone();
        async move { ask(&pages, "/phoneNumberList", &[("origin", origin)]).await.1 }
    };
    assert_eq!(allowed("https://meet.test").await.as_deref(), Some("https://meet.test"));
    assert_eq!(allowed("https://evil.test").await, None);
}

#[tokio::test]
async fn a_room_that_prosody_knows_gets_a_pin() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 2_000];
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let answer = match asked.contains("room=tea&domain=meet.test") {
                true => "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"participants\":1}",
                false => "HTTP/1.1 404 Not Found\r\n\r\n",
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let text = format!("{CONFIG}\n").replace(
        "per_minute = 20",
        &format!("per_minute = 20\nroom_size = \"http://{address}/room-size\""),
    );
    let pages = pages(&folder("size"), &text);
    assert!(pin_of_the_client(&mapped(&pages, "tea@conference.meet.test").await).is_ok());
    assert!(pin_of_the_client(&mapped(&pages, "coffee@conference.meet.test").await).is_err());
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    let folder = folder("mistakes");
    let told = |from: &str, to: &str| {
        let text = CONFIG.replace(from, to);
        assert_ne!(text, CONFIG, "{from}");
        crate::config::parse("test.toml", &text, &folder).expect_err("a mistake").to_string()
    };
    for (from, to, wanted) in [
        ("country = \"id\"", "country = \"Indonesia\"", "two letters"),
        ("country = \"id\"", "country = \"id\"\ndefault = true", "default already"),
        ("+62 21-555-0100", "call us", "is no telephone number"),
        ("https://meet.test", "meet.test", "is no origin"),
        ("token_file = \"token\"", "token_file = \"none\"", "openssl rand"),
        ("per_minute = 20", "room_size = \"https://x/y\"", "is no http address"),
        ("listen = \"127.0.0.1:8788\"", "listen = \"\"", "needs [http] listen"),
        ("per_minute = 20", "per_minute = 0", "per_minute"),
    ] {
        let said = told(from, to);
        assert!(said.contains(wanted), "{to}: {said}");
    }
    let without = CONFIG.split("[[dial_in_number]]").next().expect("the beginning");
    let said =
        crate::config::parse("test.toml", without, &folder).expect_err("no number").to_string();
    assert!(said.contains("[[dial_in_number]]"), "{said}");
}
