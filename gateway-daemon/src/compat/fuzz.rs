//! Every request to Jigasi's pages with something wrong in it, on both doors: the listener of `[jigasi] rest` and `[http]
//! listen`. Nothing falls, only health and a shutdown that is off say 5xx, nobody passes a guard who may not, and what is
//! added is a brewery that could be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use futures_util::StreamExt;
use gateway_core::base::rng::Rng;
use gateway_core::io::xmpp::Transport;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tower::ServiceExt;

use super::rest::OPEN;
use super::{Configure, Face, Openness};
use crate::app::App;
use crate::brewery::rest::{self, Ask};
use crate::config::Config;
use crate::config::brewery::Brewery;
use crate::rest::{Guard, Rest};
use crate::testing::{Folder, mutated};

/// Requests in a run. `WEEBEE_JIGASI_MUTATIONS=1000000` makes it the long one.
fn mutations() -> u32 {
    let asked = std::env::var("WEEBEE_JIGASI_MUTATIONS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(6_000)
}

const TOKEN: &str = "sixteen-letters!";
const JSON: &str = "application/json";
/// Breweries of one gateway.
const BREWERIES_MAX: usize = 256;

/// A running gateway with a brewery whose server is away.
struct Place {
    app: App,
    config: Config,
    /// Bound and never listened on: who connects is refused at once, and nobody else gets the port.
    _away: TcpSocket,
    away: SocketAddr,
    _folder: Folder,
}

fn place() -> Place {
    let folder = Folder::new("face-fuzz");
    std::fs::write(folder.path().join("secret"), "a password").expect("written");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let away = socket.local_addr().expect("bound");
    let text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\ncalls_max = 10\n[rtp]\nports = \"36400-36499\"\n\
         [[trunk]]\nname = \"pbx\"\npeer = \"127.0.0.1:9\"\n\
         [[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.test\"\n\
         [[brewery]]\nname = \"main\"\nxmpp = \"tcp:{away}\"\ndomain = \"auth.meet.test\"\nuser = \"jigasi\"\n\
         password_file = \"secret\"\nroom = \"jigasibrewery@internal.auth.meet.test\"\n"
    );
    let config = crate::config::parse("test.toml", &text, folder.path()).expect("good");
    let app = App::start(&config).expect("starts");
    Place { app, config, _away: socket, away, _folder: folder }
}

impl Place {
    /// The listener of `[jigasi] rest`, on which a shutdown may be asked for, and `[http] listen`, on which it may not.
    fn doors(&self, configure: &Configure) -> [Router; 2] {
        let (handle, shared) = (self.app.handle(), self.app.shared());
        let face = |shutdown| {
            let settings = crate::config::compat::Compat { shutdown, ..self.config.compat.clone() };
            let face = Face::new(handle.clone(), Arc::clone(&shared), settings);
            face.with_configure(Arc::clone(configure))
        };
        let rest = Rest::new(handle.clone(), Arc::clone(&shared));
        let openness = Openness { token: Some(TOKEN.to_owned()) };
        let guard = Guard::new(([127, 0, 0, 1], 8_788).into(), None).expect("loopback");
        let own = face(true).pages(openness, rest.clone().metrics());
        [own, rest.with_face(face(false).router(), 100).router(guard)]
    }

    /// What can be added is judged, and is added where its server is the one that is away: nothing is sent elsewhere.
    fn configure(&self, added: &Arc<Mutex<BTreeSet<String>>>) -> Configure {
        let real = self.app.shared().breweries.configure();
        let (config, away, added) = (self.config.clone(), self.away, Arc::clone(added));
        Arc::new(move |what, method, body| {
            if let Ok(Ask::Add(brewery)) = rest::read(&config, &what, method.as_str(), &body) {
                sound(&brewery, &body);
                let host = away.ip().to_string();
                let is_ours = matches!(&brewery.site.transport, Transport::Tcp { host: named, port, .. }
                    if *named == host && *port == away.port());
                if !is_ours {
                    return Box::pin(async { (StatusCode::OK, Value::Null) });
                }
                added.lock().expect("not poisoned").insert(brewery.name);
            }
            real(what, method, body)
        })
    }

    /// An account that can be added.
    fn account(&self, id: &str) -> Value {
        json!({
            "id": id,
            "USER_ID": "jigasi@auth.meet.test",
            "PASSWORD": "of tests",
            "SERVER_ADDRESS": self.away.ip().to_string(),
            "SERVER_PORT": self.away.port(),
            "BREWERY": "JigasiBrewery@internal.auth.meet.test",
            "DOMAIN_BASE": "meet.test",
            "MUC_DOMAIN_PREFIX": "conference",
            "REGION": "eu-west",
            "ALLOW_NON_SECURE": "true",
        })
    }
}

/// Whether this is a brewery that could be, and what the body asks for.
#[track_caller]
fn sound(brewery: &Brewery, body: &[u8]) {
    let asked: Value = serde_json::from_slice(body).expect("JSON was asked for");
    assert_eq!(asked["id"], brewery.name.as_str());
    let is_short = (1..=64).contains(&brewery.name.len());
    assert!(is_short && !brewery.name.contains(['.', '\0', '\n']), "{:?}", brewery.name);
    let legal =
        |sign: char| !sign.is_whitespace() && !sign.is_control() && !"/@\"'<>&".contains(sign);
    let is_part = |text: &str| !text.is_empty() && text.len() <= 1_023 && text.chars().all(legal);
    let (node, host) = brewery.room.split_once('@').expect("a room has a host");
    let user = brewery.user.reveal();
    for part in [node, host, user, &brewery.site.domain] {
        assert!(is_part(part), "{part:?}");
    }
    assert_eq!(brewery.room, brewery.room.to_lowercase());
    assert!(!brewery.password.reveal().is_empty());
    assert!(!brewery.password.reveal().contains(char::is_control));
    assert!(!brewery.region.as_ref().is_some_and(|it| it.contains(char::is_control)));
    assert_eq!(brewery.conference, "jitsi");
    if let Transport::Tcp { host, port, .. } = &brewery.site.transport {
        assert!(is_part(host) && *port != 0, "{host:?}:{port}");
    }
}

/// A request before anything is wrong with it: method, path, type and body.
struct Seed(&'static str, &'static str, &'static str, Value);

fn seeds(place: &Place) -> Vec<Seed> {
    const MUC: [&str; 3] = [
        "/configure/call-control-muc/list",
        "/configure/call-control-muc/add",
        "/configure/call-control-muc/remove",
    ];
    let mut by_web = place.account("web");
    by_web["USE_BOSH"] = "true".into();
    by_web["BOSH_URL_PATTERN"] = "https://{host}/http-bind?room={roomName}".into();
    vec![
        Seed("GET", "/about/health", "", Value::Null),
        Seed("GET", "/about/version", "", Value::Null),
        Seed("GET", "/about/stats", "", Value::Null),
        Seed("POST", "/about/shutdown", JSON, json!({ "graceful-shutdown": "true" })),
        Seed("GET", "/debug", "", Value::Null),
        Seed("GET", "/metrics", "", Value::Null),
        Seed("GET", MUC[0], "", Value::Null),
        Seed("POST", MUC[1], JSON, place.account("acc")),
        Seed("POST", MUC[1], JSON, place.account("acc")),
        Seed("POST", MUC[1], JSON, by_web),
        Seed("POST", MUC[2], JSON, json!({ "id": "acc" })),
    ]
}

/// One to three things of another kind in a JSON object.
fn misshapen(body: &mut Value, rng: &mut Rng) {
    for _ in 0..=rng.below(2) {
        let Some(object) = body.as_object_mut() else { return };
        let names: Vec<String> = object.keys().cloned().collect();
        let Some(name) = names.get(rng.below(names.len().max(1) as u32) as usize) else { return };
        match rng.below(8) {
            0 => drop(object.remove(name)),
            1 => {
                let value = object.remove(name).unwrap_or_default();
                object.insert(mutated(name, rng), value);
            }
            2 => drop(object.insert(mutated(name, rng), odd(rng))),
            3 => *body = [json!([body]), json!({ "id": body })][rng.below(2) as usize].clone(),
            4 => {
                let text = object.get(name).and_then(Value::as_str).unwrap_or("x");
                let text = mutated(text, rng);
                object.insert(name.clone(), text.into());
            }
            _ => drop(object.insert(name.clone(), odd(rng))),
        }
    }
}

/// What an account's property is not.
fn odd(rng: &mut Rng) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(65_536),
        json!(1e300),
        json!([]),
        json!({}),
        json!(["x"]),
        json!(""),
        json!(" "),
        json!("@"),
        json!("a@"),
        json!("@b"),
        json!("a@b/c"),
        json!("a@b@c"),
        json!("ä b@ö"),
        json!("a\u{0}@meet.test"),
        json!("x@meet.test"),
        json!("\n"),
        json!("a.b"),
        json!("'\"<>&\\"),
        json!("127.0.0.1"),
        json!("[::1]"),
        json!("http://"),
        json!("https://{host}{host}/"),
        json!("true"),
        json!("meet.test"),
        json!("x".repeat(2_000)),
        json!("\u{202e}\u{fffe}"),
        json!("conference"),
        json!("muc"),
    ];
    all[rng.below(all.len() as u32) as usize].clone()
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Somebody on this host.
    Here,
    /// Somebody elsewhere who has the token.
    Token,
    /// Somebody elsewhere.
    There,
    /// A page in a browser on this host.
    Page,
    /// A name of somebody else's that leads here.
    Rebound,
    /// With headers that are broken somehow.
    Broken,
}

const WHO: [Who; 8] =
    [Who::Here, Who::Here, Who::Here, Who::Token, Who::There, Who::Page, Who::Rebound, Who::Broken];

impl Who {
    fn peer(self) -> SocketAddr {
        let is_here = !matches!(self, Self::Token | Self::There);
        SocketAddr::from((if is_here { [127, 0, 0, 1] } else { [192, 0, 2, 7] }, 4_000))
    }

    fn headers(self, rng: &mut Rng) -> Vec<(HeaderName, String)> {
        let host = |name: &str| (header::HOST, name.to_owned());
        let (here, bearer) = (host("127.0.0.1:8788"), format!("Bearer {TOKEN}"));
        match self {
            Self::Here => vec![here],
            Self::Token => vec![host("gateway.example"), (header::AUTHORIZATION, bearer)],
            Self::There => vec![
                host("gateway.example"),
                (header::AUTHORIZATION, "Bearer sixteen-letters?".to_owned()),
            ],
            Self::Page => vec![here, (header::ORIGIN, "http://evil.example".to_owned())],
            Self::Rebound => vec![host("rebound.example:8788")],
            Self::Broken => vec![
                host(&mutated("127.0.0.1:8788", rng)),
                (header::AUTHORIZATION, mutated(&bearer, rng)),
                (header::ACCEPT, mutated("application/openmetrics-text; version=1.0.0", rng)),
            ],
        }
    }

    /// Whether nobody like this may have that page on that door; `None`: who knows.
    fn is_refused(self, door: usize, path: &str) -> Option<bool> {
        let is_open = door == 0 && OPEN.contains(&path);
        match self {
            Self::Here => Some(false),
            Self::Token => Some(door == 1),
            Self::There | Self::Page | Self::Rebound => Some(!is_open),
            Self::Broken => None,
        }
    }
}

/// One request with one to three things wrong; `None`: it is no request any more.
fn wrong(seeds: &[Seed], case: u32) -> Option<(Who, Request<Body>)> {
    let mut rng = Rng::from_number(u64::from(case)).fork("face");
    let below = |rng: &mut Rng, length: usize| rng.below(length as u32) as usize;
    let Seed(method, path, kind, body) = &seeds[below(&mut rng, seeds.len())];
    let (mut method, mut path, mut kind) = ((*method).to_owned(), (*path).to_owned(), *kind);
    let mut body = body.clone();
    if body["id"] == "acc" {
        body["id"] = format!("acc-{}", rng.below(400)).into();
    }
    let who = WHO[below(&mut rng, WHO.len())];
    let mut text = String::new();
    match rng.below(12) {
        0 => {
            const METHODS: [&str; 7] =
                ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PROPFIND"];
            method = METHODS[below(&mut rng, 7)].to_owned();
        }
        1 => method = mutated(&method, &mut rng),
        2 => {
            kind = ["", "text/plain", "APPLICATION/JSON; charset=utf-8", "application/jsonp"]
                [below(&mut rng, 4)]
        }
        3..=5 => {
            const MORE: [&str; 10] =
                ["?id=x", "%ff", "%2e%2e/add", "//", ";x", "?%", "#x", "/%00", "/../../debug", ""];
            path = mutated(&format!("{path}{}", MORE[below(&mut rng, 10)]), &mut rng);
        }
        6..=8 => misshapen(&mut body, &mut rng),
        9 if rng.below(50) == 0 => text = "[".repeat(100_000),
        9..=10 => text = mutated(&body.to_string(), &mut rng),
        _ => {}
    }
    if text.is_empty() && !body.is_null() {
        text = body.to_string();
    }
    let request = Request::builder().method(method.as_str()).uri(path).body(Body::from(text));
    let mut request = request.ok()?;
    for (name, value) in who.headers(&mut rng) {
        request.headers_mut().insert(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    if !kind.is_empty() {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    request.extensions_mut().insert(ConnectInfo(who.peer()));
    Some((who, request))
}

/// The status of an answer that is as it should be.
async fn judged(case: u32, doors: &[Router; 2], who: Who, request: Request<Body>) -> u16 {
    let door = case as usize % 2;
    let path = request.uri().path().to_owned();
    let answer = doors[door].clone().oneshot(request).await.expect("a router never fails");
    let (head, body) = answer.into_parts();
    let status = head.status.as_u16();
    let told = format!("case {case}: {who:?} {path} {status}");
    let is_said = match status {
        500 => path == "/about/health",
        503 => door == 1 && ["/about/shutdown", "/health"].contains(&path.as_str()),
        _ => status < 500,
    };
    assert!(is_said, "{told}");
    if let Some(is_refused) = who.is_refused(door, &path) {
        assert_eq!(status == 403, is_refused, "{told}");
    }
    let body = body.collect().await.expect("a body").to_bytes();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with(JSON)) && !body.is_empty() {
        let is_json = serde_json::from_slice::<Value>(&body).is_ok();
        assert!(is_json, "{told}: {}", String::from_utf8_lossy(&body));
    }
    if path == "/metrics" && status == 200 {
        let text = String::from_utf8_lossy(&body);
        let broken = text.lines().find(|line| !line.starts_with('#') && !is_sample(line));
        assert!(broken.is_none(), "{told}: {broken:?}");
    }
    status
}

/// `name{label="value"} number`.
fn is_sample(line: &str) -> bool {
    let Some((name, value)) = line.rsplit_once(' ') else { return false };
    let begins = name.split('{').next().unwrap_or_default();
    let is_name = begins.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
    is_name && (begins == name || name.ends_with("\"}")) && value.parse::<f64>().is_ok()
}

#[tokio::test]
async fn no_request_makes_jigasis_pages_fall_or_adds_what_cannot_be() {
    let place = place();
    let added: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let doors = place.doors(&place.configure(&added));
    let seeds = seeds(&place);
    let statuses: Mutex<BTreeMap<u16, u32>> = Mutex::default();
    let (all, noted, pages) = (&seeds, &statuses, &doors);
    let one = |case: u32| async move {
        if let Some((who, request)) = wrong(all, case) {
            let status = judged(case, pages, who, request).await;
            *noted.lock().expect("not poisoned").entry(status).or_default() += 1;
        }
    };
    futures_util::stream::iter(0..mutations()).for_each_concurrent(256, one).await;
    let statuses = statuses.into_inner().expect("not poisoned");
    println!("answers by status: {statuses:?}");
    for status in [200, 400, 403, 404, 405, 413, 415, 500, 503] {
        assert!(statuses.contains_key(&status), "{status} in {statuses:?}");
    }
    let list = list(&place).await;
    let added = added.lock().expect("not poisoned");
    assert!(list.iter().all(|name| name == "main" || added.contains(name)), "{list:?}");
    assert!(added.len() > 10 && list.len() <= BREWERIES_MAX, "{}", list.len());
}

async fn order(place: &Place, what: &str, body: &Value) -> (u16, Value) {
    let configure = place.app.shared().breweries.configure();
    let method = if what == "list" { Method::GET } else { Method::POST };
    let (status, body) = configure(what.to_owned(), method, Bytes::from(body.to_string())).await;
    (status.as_u16(), body)
}

async fn list(place: &Place) -> Vec<String> {
    let (status, list) = order(place, "list", &Value::Null).await;
    assert_eq!(status, 200);
    serde_json::from_value(list).expect("names")
}

#[tokio::test]
async fn there_are_only_so_many_breweries() {
    let place = place();
    for number in 1..BREWERIES_MAX {
        let account = place.account(&format!("acc-{number}"));
        assert_eq!(order(&place, "add", &account).await.0, 200, "{number}");
    }
    let (status, why) = order(&place, "add", &place.account("more")).await;
    assert_eq!((status, why["error"].as_str()), (400, Some("there are too many breweries")));
    // Who is there already may have another account.
    let mut other = place.account("acc-7");
    other["PASSWORD"] = "another".into();
    assert_eq!(order(&place, "add", &other).await.0, 200);
    assert_eq!(list(&place).await.len(), BREWERIES_MAX);
    assert_eq!(order(&place, "remove", &json!({ "id": "acc-7" })).await.0, 200);
    assert_eq!(order(&place, "add", &place.account("more")).await.0, 200);
    assert_eq!(list(&place).await.len(), BREWERIES_MAX);
}
