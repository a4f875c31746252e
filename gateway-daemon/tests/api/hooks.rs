//! Hooks of a running gateway: a program sends calls where it likes, and is told of them in their order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::{Value, json};

use crate::place::{NUMBER, Place, TOKEN};

type Told = Arc<Mutex<Vec<Value>>>;

/// Decides by the number that was dialled; `slow` needs longer than anybody waits.
async fn decide(body: Bytes) -> axum::Json<Value> {
    let question: Value = serde_json::from_slice(&body).expect("JSON");
    axum::Json(match question["dialled"].as_str() {
        Some("tea") => json!({ "action": "join", "room": "coffee", "label": "Front door" }),
        Some("pin") => json!({ "action": "pin", "room": "board" }),
        Some("away") => json!({ "action": "refuse", "reason": "not_found" }),
        Some("words") => json!({ "action": "refuse", "words": ["room-closed"] }),
        _ => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            json!({ "action": "refuse" })
        }
    })
}

async fn program(told: &Told) -> String {
    let told = Arc::clone(told);
    let note = move |body: Bytes| {
        let told = Arc::clone(&told);
        async move {
            let event = serde_json::from_slice(&body).expect("JSON");
            told.lock().expect("not poisoned").push(event);
        }
    };
    let routes = Router::new().route("/route", post(decide)).route("/event", post(note));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!(
        "[hooks]\nroute_url = \"http://{address}/route\"\nroute_timeout_ms = 700\n\
         event_url = \"http://{address}/event\"\nsecret_file = \"secret\"\n"
    )
}

/// What was told of the call to a number.
fn story(told: &Told, dialled: &str) -> Vec<Value> {
    let all = told.lock().expect("not poisoned").clone();
    let call = all.iter().find(|event| event["dialled"] == dialled).map(|it| it["call"].clone());
    all.into_iter().filter(|event| call.as_ref().is_some_and(|it| event["call"] == *it)).collect()
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..240 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("{what}: never");
}

fn names(story: &[Value]) -> Vec<&str> {
    story.iter().filter_map(|event| event["event"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_sends_calls_where_it_likes_and_is_told_of_them_in_their_order() {
    let told = Told::default();
    let place = Place::start_with("hooks", &program(&told).await).await;
    let joins = place.phone("tea").await;
    let others = [place.phone("away").await, place.phone("words").await];
    let slow = place.phone("slow").await;
    let asked = place.phone("pin").await;

    eventually("joined where it said", async || {
        let rooms = place.ask("GET", "/v1/rooms?room=coffee", Some(TOKEN), None).await;
        rooms.body.contains("\"label\":\"Front door\"")
    })
    .await;
    eventually("asked for a PIN: by the program, and because it was slow", async || {
        let calls = place.ask("GET", "/v1/calls", Some(TOKEN), None).await;
        calls.body.matches("\"state\":\"asking\"").count() == 2
    })
    .await;
    for phone in others.into_iter().chain([joins, slow, asked]) {
        phone.end().await;
    }
    for number in ["tea", "away", "words", "slow", "pin"] {
        eventually(number, async || names(&story(&told, number)).contains(&"call_ended")).await;
    }

    let tea = story(&told, "tea");
    assert_eq!(names(&tea), ["call_started", "call_joined", "call_left", "quality", "call_ended"]);
    assert_eq!((&tea[1]["room"], &tea[4]["room"]), (&json!("coffee"), &json!("coffee")));
    assert_eq!((&tea[0]["caller"], &tea[0]["trunk"]), (&json!("+62 *** 47"), &json!("local")));
    assert!(tea[3]["sound"]["packets_received"].is_u64(), "{}", tea[3]);
    let end = |number| {
        let story = story(&told, number);
        let last = story.last().expect("an end").clone();
        (last["reason"].clone(), last["status"].clone())
    };
    assert_eq!(end("away"), (json!("not_found"), json!(404)));
    assert_eq!(end("words"), (json!("forbidden"), json!(200)), "answered, to be spoken to");
    assert_eq!(names(&story(&told, "away")), ["call_started", "call_ended"]);
    for event in told.lock().expect("not poisoned").iter() {
        let text = event.to_string();
        assert!(!text.contains(NUMBER) && !text.contains("12345647"), "{text}");
    }
    let metrics = place.ask("GET", "/metrics", None, None).await.body;
    for line in [
        "weebee_hook_routes_asked_total 5",
        "weebee_hook_routes_failed_total 1",
        "weebee_hook_up{hook=\"event\"} 1",
        "weebee_hook_events_lost_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    place.stop().await;
}
