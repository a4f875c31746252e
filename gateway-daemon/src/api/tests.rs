use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use gateway_core::base::pii::Pii;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::app::App;
use crate::testing::Folder;

pub(super) const TOKEN: &str = "a-token-for-everything";
pub(super) const CHECK_TOKEN: &str = "a-token-for-the-pbx";

/// A gateway without calls, and its interface.
pub(super) struct Place {
    pub(super) api: Api,
    config: Config,
    _app: App,
    folder: Folder,
}

/// Writes a token that nobody else may read.
fn secret(folder: &Folder, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("ours");
}

fn config(folder: &Folder, more: &str) -> Result<Config, crate::config::Mistakes> {
    secret(folder, "token", TOKEN);
    secret(folder, "check", CHECK_TOKEN);
    let text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\ncalls_max = 10\n[rtp]\nports = \"36200-36299\"\n\
         [[trunk]]\nname = \"pbx\"\nsources = [\"127.0.0.1\"]\n\
         [[room_policy]]\nname = \"silent-*\"\nmint = [\"cli\"]\n\
         [api]\ntoken_files = [\"token\"]\npin_check_token_files = [\"check\"]\n{more}"
    );
    crate::config::parse("test.toml", &text, folder.path())
}

pub(super) fn place(more: &str) -> Place {
    let folder = Folder::new("api");
    let config = config(&folder, more).expect("a good configuration");
    let app = App::start(&config).expect("starts");
    let api = Api::new(&config, app.handle(), app.shared()).expect("has tokens");
    Place { api, config, _app: app, folder }
}

/// An answer as a program sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) text: String,
    pub(super) json: Value,
}

impl Place {
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Seen {
        let mut request = request;
        let from: SocketAddr = "192.0.2.9:4000".parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(from));
        let answer = self.api.clone().router().oneshot(request).await;
        seen(answer.expect("a router never fails")).await
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Seen {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.expect("a request")).await
    }
}

async fn seen(answer: Response) -> Seen {
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Seen { status, kind, headers, text, json }
}

fn is_problem(seen: &Seen, status: u16, name: &str) {
    assert_eq!((seen.status, seen.kind.as_str()), (status, "application/problem+json"), "{seen:?}");
    assert_eq!(seen.json["type"], format!("urn:weebee:problem:{name}"), "{seen:?}");
    assert_eq!(seen.json["status"], status);
    for field in ["title", "detail", "remedy"] {
        assert!(seen.json[field].as_str().is_some_and(|it| it.len() > 5), "{field} of {seen:?}");
    }
}

#[tokio::test]
async fn who_has_no_token_learns_nothing_and_a_pbx_token_opens_its_own_page_alone() {
    let place = place("");
    let with = |path: &str, token: Option<&str>| {
        let request = Request::builder().uri(path);
        let request = match token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        request.body(Body::empty()).expect("a request")
    };
    for path in
        ["/v1/pins", "/v1/calls", "/v1/calls/c1-1", "/v1/rooms", "/v1/nothing", "/v1/pin/check"]
    {
        for token in [None, Some(""), Some("a-token-for-everythinG"), Some("a-token")] {
            let answer = place.send(with(path, token)).await;
            is_problem(&answer, 401, "no-token");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    is_problem(&place.send(with("/v1/pins", Some(CHECK_TOKEN))).await, 403, "wrong-token");
    is_problem(&place.send(with("/v1/pin/checks", Some(CHECK_TOKEN))).await, 403, "wrong-token");
    let good = place.send(with("/v1/pins", Some(TOKEN))).await;
    assert_eq!((good.status, &good.json), (200, &json!({ "pins": [], "more": false })));
    assert_eq!(good.headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn a_pin_is_made_seen_listed_and_ended_and_its_digits_are_said_once() {
    let place = place("");
    let wish = json!({
        "room": "Board", "kind": "personal", "owner": " Ratna\nDewi ", "caller": "+62 21-1234-5647",
        "uses_max": 1, "ttl_s": 600, "language": "id", "role": "host",
    });
    let made = place.ask("POST", "/v1/pins", Some(wish)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (digits, id) =
        (made.json["pin"].as_str().expect("digits"), made.json["id"].as_str().expect("id"));
    assert!(digits.len() == 9 && digits.bytes().all(|digit| digit.is_ascii_digit()), "{made:?}");
    assert_eq!(made.headers[header::LOCATION], format!("/v1/pins/{id}"));
    for (field, value) in [
        ("room", json!("board")),
        ("kind", json!("personal")),
        ("role", json!("host")),
        ("state", json!("live")),
        ("owner", json!("Ratna Dewi")),
        ("has_caller", json!(true)),
        ("language", json!("id")),
        ("issuer", json!("rest")),
        ("uses_max", json!(1)),
        ("uses", json!(0)),
    ] {
        assert_eq!(made.json[field], value, "{field}");
    }
    let path = format!("/v1/pins/{id}");
    for page in [path.as_str(), "/v1/pins?room=board", "/v1/pins?state=live&limit=1"] {
        let answer = place.ask("GET", page, None).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(id) && !answer.text.contains(digits), "{answer:?}");
        assert!(!answer.text.contains("1234"), "the number is nobody's business: {answer:?}");
    }
    assert_eq!(place.ask("GET", "/v1/pins?room=tea", None).await.json["pins"], json!([]));
    assert_eq!(place.ask("DELETE", &path, None).await.status, 204);
    is_problem(&place.ask("DELETE", &path, None).await, 404, "no-such-pin");
    assert_eq!(place.ask("GET", &path, None).await.json["state"], "revoked");
    is_problem(&place.ask("GET", "/v1/pins/nobody", None).await, 404, "no-such-pin");
}

#[tokio::test]
async fn the_pin_that_all_share_is_told_again_and_one_with_conditions_is_new() {
    let place = place("");
    let first = place.ask("POST", "/v1/pins", Some(json!({ "room": "tea" }))).await;
    let again = place.ask("POST", "/v1/pins", Some(json!({ "room": "TEA", "shared": true }))).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json["pin"], again.json["pin"]);
    assert_eq!(again.json["with_meeting"], true);
    for more in [("shared", json!(false)), ("uses_max", json!(2)), ("digits", json!(10))] {
        let other =
            place.ask("POST", "/v1/pins", Some(json!({ "room": "tea", more.0: more.1 }))).await;
        assert_eq!(other.status, 201, "{other:?}");
        assert_ne!(other.json["pin"], first.json["pin"]);
    }
    let fixed = json!({ "room": "tea", "kind": "static" });
    let fixed = place.ask("POST", "/v1/pins", Some(fixed)).await;
    assert_eq!(fixed.json["pin"].as_str().map(str::len), Some(12));
    assert_eq!(
        (&fixed.json["expires"], &fixed.json["with_meeting"]),
        (&Value::Null, &json!(false))
    );
    let page = place.ask("GET", "/v1/pins?limit=2", None).await;
    assert_eq!(
        (page.json["pins"].as_array().map(Vec::len), &page.json["more"]),
        (Some(2), &json!(true))
    );
    let last = page.json["pins"][1]["id"].as_str().expect("an id");
    let rest = place.ask("GET", &format!("/v1/pins?limit=100&after={last}"), None).await;
    assert_eq!(
        (rest.json["pins"].as_array().map(Vec::len), &rest.json["more"]),
        (Some(3), &json!(false))
    );
}

#[tokio::test]
async fn a_wish_that_cannot_be_is_refused_with_its_field_and_remedy() {
    let place = place("");
    for (wish, field) in [
        (json!({ "room": "" }), "room"),
        (json!({ "room": "a\u{0}b" }), "room"),
        (json!({ "room": "tea", "kind": "fax" }), "kind"),
        (json!({ "room": "tea", "owner": "Ratna" }), "kind"),
        (json!({ "room": "tea", "kind": "personal", "owner": " " }), "owner"),
        (json!({ "room": "tea", "kind": "personal", "owner": "x".repeat(65) }), "owner"),
        (json!({ "room": "tea", "kind": "personal", "caller": "call me" }), "caller"),
        (json!({ "room": "tea", "role": "king" }), "role"),
        (json!({ "room": "tea", "language": "xx" }), "language"),
        (json!({ "room": "tea", "ttl_s": 59 }), "ttl_s"),
        (json!({ "room": "tea", "ttl_s": 600, "never_ends": true }), "never_ends"),
        (json!({ "room": "tea", "uses_max": 0 }), "uses_max"),
        (json!({ "room": "tea", "digits": 5 }), "digits"),
        (json!({ "room": "tea", "shared": true, "digits": 9 }), "shared"),
    ] {
        let answer = place.ask("POST", "/v1/pins", Some(wish.clone())).await;
        is_problem(&answer, 400, "bad-request");
        assert_eq!(answer.json["where"], field, "{wish} {answer:?}");
    }
    for body in [json!({}), json!([]), json!({ "room": 1 }), json!({ "room": "tea", "pin": "1" })] {
        is_problem(&place.ask("POST", "/v1/pins", Some(body)).await, 400, "bad-request");
    }
    let silent = place.ask("POST", "/v1/pins", Some(json!({ "room": "silent-tea" }))).await;
    is_problem(&silent, 403, "not-allowed");
    assert_eq!(place.ask("GET", "/v1/pins", None).await.json["pins"], json!([]), "none was made");
    for path in ["/v1/pins?state=dead", "/v1/pins?limit=x", "/v1/pins?colour=red"] {
        is_problem(&place.ask("GET", path, None).await, 400, "bad-request");
    }
}

#[tokio::test]
async fn bodies_have_a_size_and_a_kind_and_pages_have_methods() {
    let place = place("");
    let post = |kind: &str, body: String| {
        Request::post("/v1/pins")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .expect("a request")
    };
    let good = json!({ "room": "tea" }).to_string();
    is_problem(&place.send(post("text/html", good.clone())).await, 415, "wrong-type");
    let utf8 = place.send(post("application/json; charset=utf-8", good)).await;
    assert_eq!(utf8.status, 201);
    let long = format!("{{\"room\":\"{}\"}}", "x".repeat(read::BODY_BYTES_MAX));
    is_problem(&place.send(post("application/json", long)).await, 413, "too-big");
    let wrong = place.ask("PUT", "/v1/pins", None).await;
    is_problem(&wrong, 405, "wrong-method");
    let allowed = wrong.headers[header::ALLOW].to_str().expect("text");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    is_problem(&place.ask("GET", "/v1/calls/c1-1/mute", None).await, 405, "wrong-method");
    for path in ["/v1/", "/v1/nothing", "/v1/pins/a/b"] {
        is_problem(&place.ask("GET", path, None).await, 404, "no-such-page");
    }
}

#[tokio::test]
async fn calls_that_are_not_there_are_said_to_be_gone() {
    let place = place("");
    let empty = place.ask("GET", "/v1/calls", None).await;
    assert_eq!(empty.json, json!({ "calls": [], "draining": false }));
    assert_eq!(place.ask("GET", "/v1/rooms?room=tea", None).await.json, json!({ "rooms": [] }));
    is_problem(&place.ask("GET", "/v1/calls/c1-1", None).await, 404, "no-such-call");
    is_problem(&place.ask("GET", "/v1/calls/%FF", None).await, 404, "no-such-call");
    for (act, body) in [
        ("mute", Some(json!({ "muted": true }))),
        ("move", Some(json!({ "room": "tea" }))),
        ("admit", None),
        ("hangup", None),
    ] {
        let answer = place.ask("POST", &format!("/v1/calls/c1-1/{act}"), body).await;
        is_problem(&answer, 404, "no-such-call");
    }
    let bad = place.ask("POST", "/v1/calls/c1-1/mute", Some(json!({ "muted": 1 }))).await;
    is_problem(&bad, 400, "bad-request");
}

#[tokio::test]
async fn an_address_that_asks_too_often_waits_with_or_without_a_token() {
    let place = place("per_minute = 10\n");
    for _ in 0..10 {
        assert_eq!(place.ask("GET", "/v1/rooms", None).await.status, 200);
    }
    let answer = place.ask("GET", "/v1/rooms", None).await;
    is_problem(&answer, 429, "too-many");
    assert_eq!(answer.headers[header::RETRY_AFTER], "60");
    let bare = Request::get("/v1/rooms").body(Body::empty()).expect("a request");
    assert_eq!(place.send(bare).await.status, StatusCode::TOO_MANY_REQUESTS.as_u16());
}

/// One question of a PBX, by its kind, what it accepts and its body.
async fn pbx(place: &Place, kind: &str, accept: &str, body: &str) -> Seen {
    let request = Request::post("/v1/pin/check")
        .header(header::AUTHORIZATION, format!("Bearer {CHECK_TOKEN}"))
        .header(header::ACCEPT, accept);
    let request =
        if kind.is_empty() { request } else { request.header(header::CONTENT_TYPE, kind) };
    place.send(request.body(Body::from(body.to_owned())).expect("a request")).await
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[tokio::test]
async fn a_pbx_gets_a_ticket_that_opens_the_room_once() {
    let place = place(
        "[[did]]\nnumber = \"6001\"\nroom = \"tea\"\n[[did]]\nnumber = \"6002\"\nroom = \"board\"\n",
    );
    let pin = place.ask("POST", "/v1/pins", Some(json!({ "room": "tea" }))).await;
    let pin = pin.json["pin"].as_str().expect("digits").to_owned();
    let body = format!("pin={pin}%23&caller=%2B622112345647&did=6001&trunk=pbx&call_id=1.2");
    let line = pbx(&place, FORM, "*/*", &body).await;
    assert_eq!((line.status, line.kind.as_str()), (200, "text/plain; charset=utf-8"));
    let ticket = line.text.strip_prefix("OK|").expect("a ticket").to_owned();
    let ask =
        crate::pin::ticket::TicketAsk { text: Pii::new(ticket), trunk: "pbx".into(), room: None };
    let pins = place.api.inner.shared.pins();
    let grant = match pins.redeem(ask.clone()).await {
        Ok(crate::pin::Verdict::Valid(grant)) => grant,
        other => panic!("{other:?}"),
    };
    assert_eq!(grant.room.as_str(), "tea");
    assert!(!matches!(pins.redeem(ask).await, Ok(crate::pin::Verdict::Valid(_))), "once");

    let json = pbx(&place, JSON, "*/*", &json!({ "pin": pin }).to_string()).await;
    assert_eq!(
        (json.status, &json.json["result"], &json.json["expires_s"]),
        (200, &json!("ok"), &json!(30))
    );
    for (kind, accept, body) in [
        (FORM, JSON, format!("pin={pin}")),
        ("", "*/*", json!({ "pin": pin }).to_string()),
        (JSON, "text/html", json!({ "pin": pin }).to_string()),
    ] {
        assert_eq!(pbx(&place, kind, accept, &body).await.json["result"], "ok", "{kind} {accept}");
    }
    for (kind, accept, body) in
        [(JSON, "text/plain", json!({ "pin": pin }).to_string()), ("", "*/*", format!("pin={pin}"))]
    {
        assert!(pbx(&place, kind, accept, &body).await.text.starts_with("OK|"), "{kind} {accept}");
    }
    let elsewhere = pbx(&place, FORM, "*/*", &format!("pin={pin}&did=6002")).await;
    assert_eq!(elsewhere.text, "NO|wrong", "that number belongs to another room");
}

#[tokio::test]
async fn each_no_is_the_same_and_wrong_pins_lock_out_as_those_of_calls() {
    let place = place("per_minute = 1000\n[pin]\nwrong_per_caller_h = 3\n");
    let dead = place.ask("POST", "/v1/pins", Some(json!({ "room": "tea", "shared": false }))).await;
    let live = place.ask("POST", "/v1/pins", Some(json!({ "room": "tea", "shared": false }))).await;
    let text = |seen: &Seen| seen.json["pin"].as_str().expect("digits").to_owned();
    let (dead_pin, live_pin) = (text(&dead), text(&live));
    let id = dead.json["id"].as_str().expect("an id");
    assert_eq!(place.ask("DELETE", &format!("/v1/pins/{id}"), None).await.status, 204);
    let body =
        |pin: &str| json!({ "pin": pin, "caller": "+622112345647", "trunk": "pbx" }).to_string();
    let mut nos = Vec::new();
    for pin in ["121212121", &dead_pin, "999", &live_pin] {
        let asked = std::time::Instant::now();
        let answer = pbx(&place, JSON, "*/*", &body(pin)).await;
        assert!(asked.elapsed() >= crate::ivr::ANSWER_AFTER, "{pin}");
        nos.push((answer.status, answer.text));
    }
    assert!(nos.iter().all(|no| *no == nos[0]), "the fourth is locked out: {nos:?}");
    assert_eq!(nos[0].1, json!({ "result": "no", "ticket": null, "expires_s": null }).to_string());
    let other = json!({ "pin": live_pin, "caller": "+622112345648", "trunk": "pbx" }).to_string();
    assert_eq!(pbx(&place, JSON, "*/*", &other).await.json["result"], "ok", "others are not");
    let counts = place.api.inner.shared.pins().journal().counts();
    let of_pbx = gateway_core::base::ids::TrunkId(0);
    assert_eq!(counts.locked_out.get(&(of_pbx, "caller")), Some(&1), "{counts:?}");
}

#[tokio::test]
async fn a_question_that_cannot_be_is_said_in_the_form_it_came_in() {
    let place = place("");
    for body in
        ["", "pin=", "pin=12a", "pin=%00", "caller=1", "pin=1&pin=2", "pin=1&more=1", "pin=1 2"]
    {
        let line = pbx(&place, FORM, "*/*", body).await;
        assert_eq!((line.status, line.text.as_str()), (400, "NO|bad"), "{body}");
    }
    for body in ["{}", "[]", "{\"pin\":1}", "{\"pin\":\"\"}", "{"] {
        is_problem(&pbx(&place, JSON, "*/*", body).await, 400, "bad-request");
    }
    is_problem(&pbx(&place, "text/xml", JSON, "<pin/>").await, 415, "wrong-type");
    let long = "1".repeat(33);
    assert_eq!(pbx(&place, FORM, "*/*", &format!("pin={long}")).await.status, 400);
    let file = rusqlite::Connection::open(place.folder.path().join("weebee-pins.sqlite"));
    file.expect("opens").execute_batch("ALTER TABLE pins RENAME TO gone").expect("broken");
    let line = pbx(&place, FORM, "*/*", "pin=482917365").await;
    assert_eq!((line.status, line.text.as_str()), (503, "NO|later"));
    is_problem(&pbx(&place, JSON, "*/*", "{\"pin\":\"482917365\"}").await, 503, "unavailable");
    is_problem(&place.ask("GET", "/v1/pins", None).await, 503, "unavailable");
}

#[test]
fn mistakes_of_the_section_are_named_with_their_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("api-mistakes");
    secret(&folder, "short", "too-short");
    secret(&folder, "spaces", "sixteen letters and more");
    secret(&folder, "open", "sixteen-letters-that-all-may-read");
    let open = folder.path().join("open");
    std::fs::set_permissions(open, PermissionsExt::from_mode(0o644)).expect("ours");
    secret(&folder, "token", TOKEN);
    for (section, wanted) in [
        ("token_files = [\"none\"]", "openssl rand -hex 24"),
        ("token_files = [\"short\"]", "shorter than 16"),
        ("token_files = [\"spaces\"]", "no header may have"),
        ("token_files = [\"open\"]", "chmod 640"),
        ("pin_check_token_files = [\"open\"]", "chmod 640"),
        ("token_files = [\"token\"]\npin_check_token_files = [\"token\"]", "make another one"),
        ("token_files = [\"token\"]\n[http]\nlisten = \"\"", "needs [http] listen"),
        ("token_files = [\"token\"]\nper_minute = 1", "per_minute"),
    ] {
        let text = format!("[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n[api]\n{section}\n");
        let said = crate::config::parse("test.toml", &text, folder.path());
        let said = said.expect_err("a mistake").to_string();
        assert!(said.contains(wanted) && said.contains("api:"), "{section}: {said}");
        assert!(!said.contains(TOKEN) && !said.contains("all-may-read"), "{said}");
    }
    let off =
        crate::config::parse("t", "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n", folder.path());
    assert!(off.expect("good").api.is_none(), "off without a token");
}
