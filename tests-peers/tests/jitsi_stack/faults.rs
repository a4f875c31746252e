//! Bridges, Jicofo and Prosody go away under a call: the phone's leg stays, he is told, and the sound comes back.

use std::time::Duration;

use gateway_core::media::clip::prompt::PromptId;
use gateway_tests_peers::jitsi::{Bridge, Participant, Wishes};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::sound::Wav;
use gateway_tests_peers::world::{World, wall_clock};

use crate::stage::{Phone, Plan, Stage, heard_by_web, longest_gap, tone, tone_there};

const TRUNK: &str = "[[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n";
const LIMIT: Duration = Duration::from_secs(20);
/// Tones of the phone and of the web, far from each other and from what the gateway says.
const PHONE_HZ: f64 = 1_350.0;
const WEB_HZ: f64 = 1_000.0;

/// One fault: a room with a web participant and a phone, both with a tone that never ends.
struct Fault {
    web: Participant,
    phone: Phone,
    nick: String,
    room: &'static str,
}

/// What was missing, in seconds.
struct Gaps {
    in_phone: f64,
    in_web: f64,
    ear: Wav,
}

impl Fault {
    fn begin(stage: &Stage, room: &'static str, seconds: u32) -> Fault {
        let said = tone(WEB_HZ, 10.0);
        let web = Participant::join(
            stage.world,
            room,
            "webone",
            &Wishes { says: Some(&said), seconds: 0 },
        );
        web.told(0, LIMIT, "occupant", |told| told["me"] == true);
        let plan = Plan::new("pcma", seconds);
        let plan = plan.say(0.0, &tone(PHONE_HZ, f64::from(seconds)));
        let phone = stage.call(room, room, &plan);
        let seen = wait_until(LIMIT, || web.phones().into_iter().next());
        let nick =
            seen.unwrap_or_else(|| panic!("the phone is not seen:\n{}", stage.gateway.log()));
        web.told(0, LIMIT, "connection", |told| told["state"] == "connected");
        // Long enough that the tones were heard before what happens now.
        std::thread::sleep(Duration::from_secs(6));
        Fault { web, phone, nick, room }
    }

    fn end(mut self, stage: &Stage, what: &str) -> Gaps {
        let ear = self.phone.heard(Duration::from_secs(120));
        let metrics = stage.jitsi.get("http://127.0.0.1:8788/metrics");
        let recorded = self.web.leave();
        let (in_phone, at) = longest_gap(&tone_there(&ear, WEB_HZ));
        let there = heard_by_web(&recorded, PHONE_HZ);
        let (in_web, web_at) = longest_gap(&there);
        println!(
            "  {what} ({}): the phone misses {in_phone:.1} s (at {at:.1} s), the web {in_web:.1} s (at {web_at:.1} s)",
            self.room
        );
        let in_ear = tone_there(&ear, WEB_HZ);
        let end = in_ear.len().saturating_sub(60);
        let counted = || {
            let lines =
                metrics.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let hears = in_ear[end..].iter().any(|there| *there);
        assert!(hears, "the phone hears the web in the end; the gateway counted:\n{}", counted());
        assert!(there.iter().filter(|there| **there).count() > 50, "the web heard the phone");
        let end = there.len().saturating_sub(60);
        assert!(there[end..].iter().any(|there| *there), "and hears it in the end");
        Gaps { in_phone, in_web, ear }
    }
}

fn told(stage: &Stage, ear: &Wav, words: PromptId) {
    assert!(stage.words_at(ear, words).is_some(), "the caller was not told: {words}");
}

#[test]
fn an_announced_move_to_another_bridge_is_hardly_heard() {
    if !crate::all_there("an_announced_move_to_another_bridge_is_hardly_heard") {
        return;
    }
    let world = World::new("jitsi-move");
    let mut stage = Stage::new(&world, TRUNK);
    let fault = Fault::begin(&stage, "moved", 30);
    stage.jitsi.start_bridge(Bridge::Second);
    stage.jitsi.move_endpoint("moved", &fault.nick, Bridge::Second);
    let gaps = fault.end(&stage, "moved");
    assert!(gaps.in_phone < 1.0 && gaps.in_web < 1.0, "an announced move");
}

#[test]
fn a_killed_bridge_leaves_the_phone_in_its_call() {
    if !crate::all_there("a_killed_bridge_leaves_the_phone_in_its_call") {
        return;
    }
    let world = World::new("jitsi-kill");
    let mut stage = Stage::new(&world, TRUNK);
    let fault = Fault::begin(&stage, "killed", 75);
    stage.jitsi.start_bridge(Bridge::Second);
    stage.jitsi.kill_bridge(Bridge::First);
    let killed = wall_clock();
    let events = fault.web.events().len();
    let limit = Duration::from_secs(45);
    let invited = |told: &serde_json::Value| told["action"] == "session-initiate";
    let again = fault.web.told(events, limit, "jingle", invited)["at"].as_f64();
    let invited_after = again.expect("a time") - killed;
    let gaps = fault.end(&stage, "bridge killed, another there");
    // Jicofo itself takes 15 to 20 s to find out; what counts is that the phone is back as soon as it may.
    println!("  Jicofo invites everybody anew after {invited_after:.1} s");
    assert!(gaps.in_phone < invited_after + 5.0, "{:.1} s", gaps.in_phone);
    told(&stage, &gaps.ear, PromptId::Reconnecting);
    told(&stage, &gaps.ear, PromptId::Reconnected);
}

#[test]
fn a_frozen_bridge_is_waited_for() {
    if !crate::all_there("a_frozen_bridge_is_waited_for") {
        return;
    }
    let world = World::new("jitsi-freeze");
    let stage = Stage::new(&world, TRUNK);
    let fault = Fault::begin(&stage, "frozen", 60);
    stage.jitsi.freeze_bridge(Bridge::First, Duration::from_secs(8));
    let gaps = fault.end(&stage, "bridge frozen for 8 s");
    assert!(
        gaps.in_phone < 8.0 + 5.0 && gaps.in_web < 8.0 + 5.0,
        "{:.1} {:.1}",
        gaps.in_phone,
        gaps.in_web
    );
    // "Reconnecting" was cut short.
    told(&stage, &gaps.ear, PromptId::Reconnected);
}

#[test]
fn jicofo_and_prosody_may_restart_under_a_call() {
    if !crate::all_there("jicofo_and_prosody_may_restart_under_a_call") {
        return;
    }
    let world = World::new("jitsi-restarts");
    let mut stage = Stage::new(&world, TRUNK);
    let fault = Fault::begin(&stage, "jicofo", 60);
    stage.jitsi.restart_jicofo();
    let gaps = fault.end(&stage, "Jicofo killed and started");
    assert!(gaps.in_phone < 5.0, "{:.1} s", gaps.in_phone);

    let mut fault = Fault::begin(&stage, "prosody", 80);
    let restarted = wall_clock();
    stage.jitsi.restart_prosody(Duration::from_secs(1));
    assert!(!fault.web.events().is_empty());
    // The web participant does not come back by itself; another one hears whether the phone is there. Not before
    // Jicofo has found its bridges again (15 s): until then it invites nobody, and blames the bridge for a minute.
    std::thread::sleep(Duration::from_secs(25));
    let says = tone(WEB_HZ, 10.0);
    let wishes = Wishes { says: Some(&says), seconds: 0 };
    fault.web = Participant::join(stage.world, "prosody", "webtwo", &wishes);
    let is_connected = |told: &serde_json::Value| told["state"] == "connected";
    let connected = fault.web.told(0, LIMIT, "connection", is_connected)["at"].as_f64();
    let waited = connected.expect("a time") - restarted;
    let gaps = fault.end(&stage, "Prosody restarted");
    println!("  the other web participant was connected {waited:.1} s after the restart");
    assert!(gaps.in_phone < waited + 5.0, "{:.1} s", gaps.in_phone);
}
