//! Every scenario of `testdata/sipp/` against one gateway, side by side, and a flood of strangers meanwhile.

use std::time::Duration;

use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sipp::{Outcome, Run};
use gateway_tests_peers::world::World;

const TRUNKS: &str = r#"
[[trunk]]
name = "sipp"
sources = ["127.0.0.1"]
"#;

/// A trunk known by name, from any address.
const BY_NAME: &str = r#"
[[trunk]]
name = "by-name"
users = ["alice:wonderland"]
"#;

/// Long enough for the slowest: a refresh after 45 s.
const LIMIT: Duration = Duration::from_secs(75);

#[test]
fn every_scenario_goes_as_it_is_written() {
    if !require::all_there("every_scenario", &[Peer::Sipp]) {
        return;
    }
    let world = World::new("scenarios");
    let mut gateway =
        Gateway::start(&world, &format!("unknown = \"challenge\"\n{TRUNKS}{BY_NAME}"));
    let pin = gateway.pin(&world, "keys");
    let keys: String =
        pin.chars().map(|digit| format!("{digit};")).chain(["#".to_owned()]).collect();
    let runs = [
        Run::of("plain", 5101),
        Run::of("plain", 5102).with(&["-t", "t1"]),
        Run::of("late_offer", 5103),
        Run::of("hold", 5104),
        Run::of("session_timer_peer_refreshes", 5105),
        Run::of("session_timer_gateway_refreshes", 5106),
        Run::of("session_timer_too_small", 5107),
        Run::of("reliable_provisional", 5108),
        Run::of("cancel", 5109).with(&["-m", "20", "-r", "10"]),
        Run::of("cancel_late", 5110),
        Run::of("lost_ack", 5111),
        Run::of("digest_md5", 5112).from("127.0.0.77").with(&alice("wonderland")),
        Run::of("digest_wrong", 5113).from("127.0.0.77").with(&alice("looking-glass")),
        Run::of("dtmf_rfc4733", 5114).with(&["-key", "pin", &pin]),
        Run::of("dtmf_info", 5115).fields(&keys),
        Run::of("wrong_pin", 5116),
        Run::of("options", 5117),
        Run::of("refer", 5118),
        Run::of("update", 5119),
    ];
    let outcomes = side_by_side(&world, &runs);
    println!("\nSIPp {}", Peer::Sipp.version());
    for outcome in &outcomes {
        println!("  {:34} {}", outcome.scenario, if outcome.passed { "ok" } else { "FAILED" });
    }
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.passed)
        .map(|outcome| format!("{}: {}", outcome.scenario, outcome.complaint))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    gateway.assert_alive();

    let lost_ack = named(&outcomes, "lost_ack");
    // T1 doubling to T2 gives 200s at 0, 0.5, 1.5, 3.5, 7.5, 11.5 ... 31.5 s.
    let repeats = lost_ack.count("SIP/2.0 200");
    assert!((9..=12).contains(&repeats), "{repeats} times 200 without an ACK");
    entered_a_room_twice(&gateway);
}

/// Who the digest scenarios say they are. SIPp would leave the number out of the digest's URI.
fn alice(password: &str) -> [&str; 6] {
    ["-au", "alice", "-ap", password, "-auth_uri", "pin@127.0.0.1:5060"]
}

fn entered_a_room_twice(gateway: &Gateway) {
    let records = gateway.wait_call_records(20, Duration::from_secs(5));
    let entered = records.iter().filter(|record| record.to_string().contains("\"keys\"")).count();
    assert_eq!(entered, 2, "calls that entered the room, by RFC 4733 and by INFO: {records:#?}");
}

#[test]
fn strangers_get_nothing_and_harm_nobody() {
    if !require::all_there("strangers", &[Peer::Sipp]) {
        return;
    }
    let world = World::new("flood");
    let mut gateway = Gateway::start(&world, TRUNKS);
    let before_mb = warm_memory_mb(&world, &gateway);
    let runs = [
        Run::of("flood_options", 5201).from("127.0.0.66").with(&["-m", "30000", "-r", "3000"]),
        Run::of("flood_invite", 5202).from("127.0.0.67").with(&["-m", "30000", "-r", "3000"]),
        Run::of("plain", 5203).with(&["-m", "10", "-r", "2"]),
    ];
    let outcomes = side_by_side(&world, &runs);
    let after_mb = gateway.memory_mb();
    println!("60000 strangers: {before_mb:.1} MB before, {after_mb:.1} MB after");
    gateway.assert_alive();
    let calls = named(&outcomes, "plain");
    assert!(calls.passed, "calls during the flood: {}", calls.complaint);
    for flood in ["flood_options", "flood_invite"] {
        assert_eq!(
            named(&outcomes, flood).count("SIP/2.0 "),
            0,
            "{flood}: strangers were answered"
        );
    }
    assert!(after_mb - before_mb < 20.0, "grew from {before_mb:.1} to {after_mb:.1} MB");
}

#[test]
fn twenty_calls_need_no_further_thread() {
    if !require::all_there("twenty_calls", &[Peer::Sipp]) {
        return;
    }
    let world = World::new("threads");
    let gateway = Gateway::start(&world, TRUNKS);
    warm_memory_mb(&world, &gateway);
    let before = gateway.threads();
    let run = Run::of("plain", 5206).with(&["-m", "20", "-r", "20"]);
    let mut most = 0;
    let outcome = std::thread::scope(|scope| {
        let run = scope.spawn(|| run.finish(&world, Gateway::address(), LIMIT));
        while !run.is_finished() {
            most = most.max(gateway.threads());
            std::thread::sleep(Duration::from_millis(100));
        }
        run.join().expect("a run ends")
    });
    println!("threads: {before} before 20 calls, {most} while they go on");
    assert!(outcome.passed, "{}", outcome.complaint);
    assert_eq!(outcome.count("SIP/2.0 200"), 40, "20 answers, 20 goodbyes");
    assert!(most <= before + 2, "{before} threads before, {most} with 20 calls; Jigasi had 1,150");
}

/// Memory after a few calls, once it stays as it is: prompts are unpacked while the first calls run, and what grows
/// after that is the strangers'.
fn warm_memory_mb(world: &World, gateway: &Gateway) -> f64 {
    let calls = side_by_side(world, &[Run::of("plain", 5204).with(&["-m", "10", "-r", "5"])]);
    assert!(calls[0].passed, "calls before the flood: {}", calls[0].complaint);
    let mut last = gateway.memory_mb();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_secs(1));
        let now = gateway.memory_mb();
        if (now - last).abs() < 0.5 {
            break;
        }
        last = now;
    }
    last
}

fn side_by_side(world: &World, runs: &[Run]) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = runs
            .iter()
            .map(|run| scope.spawn(move || run.finish(world, Gateway::address(), LIMIT)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a run ends")).collect()
    })
}

fn named<'a>(outcomes: &'a [Outcome], scenario: &str) -> &'a Outcome {
    outcomes.iter().find(|outcome| outcome.scenario == scenario).expect("the scenario was run")
}
