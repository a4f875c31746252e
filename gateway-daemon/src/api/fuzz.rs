//! Every HTTP input of the daemon with something wrong in it: `/v1`, the old pages, the dial-in page, the page for browsers,
//! and what a route hook answers. Nothing falls, nothing says 500, and below `/v1` every refusal is a problem.
//! (The webhook of Rocket.Chat and what its servers say are in `rocketchat/tests.rs`.)

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, header};
use futures_util::StreamExt;
use gateway_core::base::rng::Rng;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use super::tests::{CHECK_TOKEN, TOKEN, place};
use crate::dial_in::DialIn;
use crate::hooks::route;
use crate::rest::{Guard, Rest};
use crate::testing::mutated;
use crate::web::Web;

/// Requests and answers in a run. `WEEBEE_HTTP_MUTATIONS=1000000` makes it the long one.
fn mutations() -> u32 {
    let asked = std::env::var("WEEBEE_HTTP_MUTATIONS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(4_000)
}

/// A request before anything is wrong with it.
struct Seed(&'static str, &'static str, &'static str, String);

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn seeds() -> Vec<Seed> {
    let wish = json!({
        "room": "tea", "kind": "personal", "owner": "Ratna", "caller": "+622112345647", "uses_max": 1, "ttl_s": 3600,
        "language": "id", "digits": 9, "with_meeting": true, "role": "host",
    });
    let check = json!({ "pin": "482917365", "caller": "+622112345647", "did": "6001", "trunk": "pbx", "call_id": "1.2" });
    let none = String::new;
    vec![
        Seed("GET", "/v1/pins?room=tea&state=live&limit=10&after=abc", "", none()),
        Seed("POST", "/v1/pins", JSON, wish.to_string()),
        Seed("POST", "/v1/pins", JSON, json!({ "room": "tea", "never_ends": true }).to_string()),
        Seed("GET", "/v1/pins/abcdefgh", "", none()),
        Seed("DELETE", "/v1/pins/abcdefgh", "", none()),
        Seed("GET", "/v1/calls?room=tea", "", none()),
        Seed("GET", "/v1/calls/c1-1", "", none()),
        Seed("POST", "/v1/calls/c1-1/mute", JSON, json!({ "muted": true }).to_string()),
        Seed(
            "POST",
            "/v1/calls/c1-1/move",
            JSON,
            json!({ "room": "tea", "role": "guest" }).to_string(),
        ),
        Seed("POST", "/v1/calls/c1-1/admit", "", none()),
        Seed("POST", "/v1/calls/c1-1/hangup", "", none()),
        Seed("GET", "/v1/rooms?room=r%C3%A4ume", "", none()),
        Seed("POST", "/v1/pin/check", JSON, check.to_string()),
        Seed(
            "POST",
            "/v1/pin/check",
            FORM,
            "pin=482917365%23&caller=%2B62&did=6001&trunk=pbx".to_owned(),
        ),
        Seed("GET", "/health", "", none()),
        Seed("GET", "/calls", "", none()),
        Seed("GET", "/debug/calls/c1-1", "", none()),
        Seed("POST", "/calls/c1-1/hangup", "", none()),
        Seed("GET", "/phoneNumberList?conference=tea@conference.meet.test", "", none()),
        Seed("GET", "/conferenceMapper?conference=tea%40conference.meet.test&url=x", "", none()),
        Seed("GET", "/conferenceMapper?id=482917365", "", none()),
        Seed(
            "POST",
            "/conferenceMapper",
            JSON,
            json!({ "conference": "tea@conference.meet.test" }).to_string(),
        ),
        Seed("GET", "/room/tea", "", none()),
        Seed(
            "POST",
            "/room/tea/join?name=Ana&lang=pt",
            "application/sdp",
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".to_owned(),
        ),
        Seed("GET", "/room/tea/member/abc", "", none()),
        Seed("POST", "/room/tea/member/abc/mute", JSON, json!({ "muted": true }).to_string()),
    ]
}

const MORE: &str = "per_minute = 100000\n[room]\nmint = [\"cli\"]\n[browser]\nenabled = true\nbrowsers_max = 10\n\
    url = \"http://127.0.0.1:8788\"\n[dial_in]\nenabled = true\nrooms = [\"*\"]\nper_minute = 10000\ntoken_file = \"token\"\n\
    [[dial_in_number]]\nnumber = \"+62 21-555-0100\"\ncountry = \"ID\"\n\
    [[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.test\"\nrooms = \"conference.meet.test\"\n";

/// One request with one to three things wrong.
fn wrong(seeds: &[Seed], case: u32) -> Option<Request<Body>> {
    let mut rng = Rng::from_number(u64::from(case));
    let below = |rng: &mut Rng, length: usize| rng.below(length as u32) as usize;
    let Seed(method, path, kind, body) = &seeds[below(&mut rng, seeds.len())];
    let (mut path, mut body, mut kind) = ((*path).to_owned(), body.clone(), (*kind).to_owned());
    let mut token = if rng.below(8) == 0 { CHECK_TOKEN } else { TOKEN }.to_owned();
    let mut method = (*method).to_owned();
    match rng.below(12) {
        0 => token = mutated(&token, &mut rng),
        1 => kind = mutated(&kind, &mut rng),
        2 => {
            method =
                ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"][below(&mut rng, 6)].to_owned()
        }
        3..=6 => path = mutated(&path, &mut rng),
        _ => body = mutated(&body, &mut rng),
    }
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
    let mut request =
        Request::builder().method(method.as_str()).uri(path).body(Body::from(body)).ok()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8788"));
    headers.insert(header::AUTHORIZATION, value(&format!("Bearer {token}"))?);
    if !kind.is_empty() {
        headers.insert(header::CONTENT_TYPE, value(&kind)?);
    }
    if rng.below(6) == 0 {
        headers.insert(header::ACCEPT, value(&mutated("text/plain, application/json", &mut rng))?);
    }
    let from = SocketAddr::from(([10, (case >> 16) as u8, (case >> 8) as u8, case as u8], 4_000));
    request.extensions_mut().insert(ConnectInfo(from));
    Some(request)
}

/// The status of an answer that is as it should be.
async fn judged(pages: axum::Router, request: Request<Body>, case: u32) -> u16 {
    let path = request.uri().path().to_owned();
    let answer = pages.oneshot(request).await.expect("a router never fails");
    let (head, body) = answer.into_parts();
    let status = head.status.as_u16();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind.unwrap_or_default();
    let body = body.collect().await.expect("a body").to_bytes();
    assert_ne!(status, 500, "case {case}: {path}");
    assert!(body.len() < 1 << 20, "case {case}: {path}");
    if path.starts_with("/v1/") && status >= 400 {
        let is_line = path == "/v1/pin/check" && kind.starts_with("text/plain");
        let is_good = is_line || kind == "application/problem+json";
        assert!(is_good, "case {case}: {path} {status} {kind}");
    }
    status
}

#[tokio::test]
async fn no_request_makes_a_page_fall_and_every_refusal_of_v1_is_a_problem() {
    let place = place(MORE);
    let config = place.config();
    let (handle, shared) = (place.api.inner.handle.clone(), place.api.inner.shared.clone());
    let web = Web::new(handle.clone(), shared.clone(), config, None);
    let dial_in = DialIn::new(config, shared.pins().clone(), Some(shared.seen.clone()));
    let doors = place.api.clone().router().merge(dial_in.expect("enabled").router());
    let rest = Rest::new(handle, shared).with_web(web).with_hooks(doors);
    let guard = Guard::new(([127, 0, 0, 1], 8_788).into(), None).expect("loopback");
    let pages = rest.router(guard);
    let seeds = seeds();
    let statuses: Mutex<BTreeMap<u16, u32>> = Mutex::default();
    let (all, noted) = (&seeds, &statuses);
    let one = |case: u32| {
        let pages = pages.clone();
        async move {
            if let Some(request) = wrong(all, case) {
                let status = judged(pages, request, case).await;
                *noted.lock().expect("not poisoned").entry(status).or_default() += 1;
            }
        }
    };
    futures_util::stream::iter(0..mutations()).for_each_concurrent(4_096, one).await;
    let statuses = statuses.into_inner().expect("not poisoned");
    println!("answers by status: {statuses:?}");
    for status in [200, 400, 401, 403, 404, 405] {
        assert!(statuses.contains_key(&status), "{status} in {statuses:?}");
    }
}

#[test]
fn no_answer_of_a_route_hook_is_more_than_nonsense() {
    let answers = [
        json!({ "action": "join", "room": "tea", "role": "host", "label": "Front door", "language": "id" }),
        json!({ "action": "pin", "room": "tea", "language": "pt-BR" }),
        json!({ "action": "refuse", "reason": "busy", "words": ["goodbye", "room-closed"] }),
    ];
    let answers = answers.map(|answer| answer.to_string());
    let (mut rng, mut good, mut bad) = (Rng::from_number(41), 0_u32, 0_u32);
    for case in 0..mutations() {
        let answer = mutated(&answers[case as usize % answers.len()], &mut rng);
        match route::read(answer.as_bytes()) {
            Ok(_) => good += 1,
            Err(what) => {
                assert!(what.len() < 100, "{what}");
                bad += 1;
            }
        }
    }
    assert!(good > 0 && bad > good, "{good} good, {bad} bad");
}
