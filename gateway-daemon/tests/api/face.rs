//! Jigasi's pages, held against what the real one answered (`testdata/jigasi`), and the end of a gateway as scripts of its
//! operators ask for it.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_daemon::app::Ended;
use serde_json::Value;

use crate::json_of;
use crate::openapi::Exchange;
use crate::place::{Phoning, Place};

const STATS: &str = include_str!("../../../testdata/jigasi/rest-about-stats.in-call.json");
const VERSION: &str = include_str!("../../../testdata/jigasi/rest-about-version.json");
const PROMETHEUS: &str = include_str!("../../../testdata/jigasi/rest-metrics.prometheus.http.txt");
const OPENMETRICS: &str =
    include_str!("../../../testdata/jigasi/rest-metrics.openmetrics.http.txt");

async fn get(place: &Place, path: &str) -> Exchange {
    place.ask("GET", path, None, None).await
}

/// The statistics, once they show so many calls in rooms.
async fn stats(place: &Place, participants: u64) -> Value {
    for _ in 0..100 {
        let stats = json_of(&get(place, "/about/stats").await);
        if stats["participants"] == participants {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {participants} in rooms");
}

/// Names with their types: what scripts take a body apart by.
fn shape(value: &Value) -> BTreeSet<String> {
    let kind = |value: &Value| match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "flag".to_owned(),
        Value::Number(number) => if number.is_f64() { "fraction" } else { "whole" }.to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(list) => format!("list of {}", list.len()),
        Value::Object(_) => "object".to_owned(),
    };
    let object = value.as_object().expect("an object");
    object.iter().map(|(name, value)| format!("{name}: {}", kind(value))).collect()
}

/// Names of samples in a page of metrics, and its `# TYPE` lines.
fn names(page: &str) -> BTreeSet<String> {
    let of_jigasi = page.lines().filter(|line| line.contains("jitsi_jigasi_"));
    let told = of_jigasi.filter(|line| !line.starts_with("# HELP"));
    told.map(|line| match line.starts_with('#') {
        true => line.to_owned(),
        false => line.split(' ').next().unwrap_or_default().to_owned(),
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_the_shape_that_jigasi_gave_them() {
    let place = Place::start("face").await;
    assert_eq!((get(&place, "/about/health").await.status, "{}"), (200, "{}"));
    assert_eq!(get(&place, "/about/health").await.body, "{}");
    let phones = [place.phone("tea").await, place.phone("tea").await];
    let seen = stats(&place, 2).await;
    let recorded: Value = serde_json::from_str(STATS).expect("JSON");
    assert_eq!(shape(&seen), shape(&recorded));
    assert_eq!(seen["conferences"], 2);
    assert_eq!(seen["stress_level"], 0.02);
    assert_eq!(seen["conference_sizes"][2], 1);
    let now = seen["current_timestamp"].as_str().expect("text");
    let was = recorded["current_timestamp"].as_str().expect("text");
    let digits = |text: &str| text.replace(|sign: char| sign.is_ascii_digit(), "0");
    assert_eq!(digits(now), digits(was));

    let version = json_of(&get(&place, "/about/version").await);
    assert_eq!(shape(&version), shape(&serde_json::from_str(VERSION).expect("JSON")));
    assert_eq!(names(&get(&place, "/metrics").await.body), names(PROMETHEUS));
    let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let open = place.send("GET", "/metrics", accept, None).await;
    assert_eq!(names(&open.body), names(OPENMETRICS));
    assert!(open.kind.starts_with("application/openmetrics-text"), "{}", open.kind);
    assert!(open.body.ends_with("# EOF\n"));

    let debug = json_of(&get(&place, "/debug").await);
    let sessions = &debug["gateways"]["weebee"]["sessions"];
    assert_eq!(sessions.as_object().map(serde_json::Map::len), Some(2));
    assert!(!debug.to_string().contains(crate::place::NUMBER));
    let list = get(&place, "/configure/call-control-muc/list").await;
    assert_eq!((list.status, list.body.as_str()), (200, "[]"));

    let json = ("application/json", "{}".to_owned());
    let text = ("text/plain", "{}".to_owned());
    for (method, path, body, status) in [
        ("GET", "/about/shutdown", None, 405),
        ("POST", "/about/stats", None, 405),
        ("GET", "/nothing", None, 404),
        ("POST", "/about/shutdown", Some(text), 415),
        ("POST", "/about/shutdown", Some(json), 503),
        ("POST", "/configure/call-control-muc/list", None, 405),
        ("GET", "/configure/call-control-muc/dance", None, 404),
    ] {
        let seen = place.ask(method, path, None, body).await;
        assert_eq!(seen.status, status, "{method} {path}");
    }
    for phone in phones {
        phone.end().await;
    }
    let after = stats(&place, 0).await;
    assert_eq!((&after["total_participants"], &after["conferences"]), (&2.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_by_http_it_ends_with_the_last_call() {
    let place = Place::start_with("face-drain", "[jigasi]\nshutdown = true\n").await;
    let phone = place.phone("tea").await;
    stats(&place, 1).await;
    let body = ("application/json", r#"{ "graceful-shutdown": "true" }"#.to_owned());
    let asked = place.ask("POST", "/about/shutdown", None, Some(body)).await;
    assert_eq!(asked.status, 200);
    let mut seen = stats(&place, 1).await;
    for _ in 0..100 {
        if seen["graceful_shutdown"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen = stats(&place, 1).await;
    }
    assert_eq!(seen["graceful_shutdown"], true);
    // A new call is refused while the old one goes on.
    let late = place.phone("tea").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stats(&place, 1).await["conferences"], 1);
    Phoning::end(late).await;
    phone.end().await;
    assert_eq!(place.end(false).await, Ended::Drained);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_stay_too_long_are_told_goodbye() {
    let place = Place::start("face-over").await;
    let phone = place.phone("tea").await;
    stats(&place, 1).await;
    assert_eq!(place.end(true).await, Ended::TimeOver);
    let record: Value = place
        .records()
        .lines()
        .next()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .expect("a record");
    assert_eq!(record["reason"], "draining");
    Phoning::end(phone).await;
}
