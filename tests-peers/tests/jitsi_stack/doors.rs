//! Lobby and password of a real room, as a caller meets them.

use std::time::Duration;

use gateway_core::media::clip::prompt::PromptId;
use gateway_tests_peers::jitsi::{Participant, Wishes};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::sound::Wav;
use gateway_tests_peers::world::World;
use serde_json::{Value, json};

use crate::stage::{Plan, Stage};

const TRUNK: &str = "[[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n";
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn lobby_and_password_are_met_by_telephone() {
    if !crate::all_there("lobby_and_password_are_met_by_telephone") {
        return;
    }
    let world = World::new("jitsi-doors");
    let stage = Stage::new(&world, TRUNK);
    let mut web = Participant::join(&world, "doors", "webone", &Wishes::default());
    web.told(0, LIMIT, "occupant", |told| told["me"] == true && told["role"] == "moderator");
    let said = |ear: &Wav, words: PromptId| {
        let found = stage.words_at(ear, words);
        found.unwrap_or_else(|| panic!("the caller was not told: {words}"))
    };

    let events = web.events().len();
    web.wish(&json!({"do": "lobby", "on": true}));
    web.told(events, LIMIT, "configured", |told| told["type"] == "result");

    println!("  admitted:");
    let mut phone = stage.call("doors", "admitted", &Plan::new("pcma", 22));
    let who = knocks(&web, events);
    // He has waited long enough to be told that he waits.
    std::thread::sleep(Duration::from_secs(6));
    web.wish(&json!({"do": "admit", "jid": who["jid"]}));
    let inside = wait_until(LIMIT, || (web.phones().len() == 1).then_some(()));
    assert!(inside.is_some(), "admitted, yet not in the room:\n{}", stage.gateway.log());
    let ear = phone.heard(Duration::from_secs(40));
    let (wait, admitted) = (said(&ear, PromptId::LobbyWait), said(&ear, PromptId::LobbyAdmitted));
    assert!(wait < admitted);

    println!("  denied:");
    let events = web.events().len();
    let mut phone = stage.call("doors", "denied", &Plan::new("g722", 40));
    let who = knocks(&web, events);
    std::thread::sleep(Duration::from_secs(6));
    let nick =
        who["sender"].as_str().and_then(|sender| sender.rsplit_once('/')).expect("an address").1;
    web.wish(&json!({"do": "deny", "nick": nick}));
    let ear = phone.heard(Duration::from_secs(20));
    assert!(said(&ear, PromptId::LobbyWait) < said(&ear, PromptId::LobbyDenied));
    assert!(ear.seconds() < 30.0, "a denied caller is let go: {:.1} s", ear.seconds());

    println!("  password:");
    let events = web.events().len();
    web.wish(&json!({"do": "lobby", "on": false}));
    web.told(events, LIMIT, "configured", |told| told["type"] == "result");
    let events = web.events().len();
    web.wish(&json!({"do": "password", "value": "4711"}));
    web.told(events, LIMIT, "configured", |told| told["type"] == "result");
    let plan = Plan::new("pcmu", 40).press(14.0, "1234#").press(24.0, "4711#");
    let mut phone = stage.call("doors", "password", &plan);
    let inside = wait_until(Duration::from_secs(40), || (web.phones().len() == 2).then_some(()));
    assert!(inside.is_some(), "the right password, yet not in the room:\n{}", stage.gateway.log());
    let ear = phone.heard(Duration::from_secs(60));
    assert!(said(&ear, PromptId::PasswordNeeded) < said(&ear, PromptId::PasswordWrong));
    assert!(!stage.gateway.log().contains("4711"), "a password stands in the log");
}

/// Somebody at the lobby's door.
fn knocks(web: &Participant, from: usize) -> Value {
    web.told(from, LIMIT, "lobby-presence", |told| {
        let own = told["sender"].as_str().is_some_and(|sender| sender.ends_with("/webone"));
        !own && told["type"].is_null()
    })
}
