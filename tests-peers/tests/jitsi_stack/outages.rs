//! What the gateway needs goes away, one after the other, under a call in and a call out: Jicofo, name servers, the trunk,
//! Prosody. Health says so, both phones stay in the meeting, and it heals alone: calls from the meeting work again.
//!
//! The trunk is gone for [`trunk_outage`]; `WEEBEE_OUTAGE_S=600` makes it ten minutes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, PhoneCall};
use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::jitsi::{Participant, Wishes};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::Wav;
use gateway_tests_peers::world::{World, wall_clock};
use serde_json::{Value, json};

use crate::stage::{Phone, Plan, Stage, heard_by_web, longest_gap, tone, tone_there};

const TRUNKS: &str = "[dial_out]\nenabled = true\nallowed = [\"?*\"]\n\
     [[dial_out_rule]]\nmatch = \"?*\"\ntrunk = \"asterisk16\"\n\
     [[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n\
     [[trunk]]\nname = \"asterisk16\"\nsources = [\"127.0.0.16\"]\npeer = \"pbx16.test\"\n\
     keep_alive = \"options\"\nkeep_alive_s = 5\n";
const HOSTS: &str = "127.0.0.1 localhost\n127.0.0.1 xmpp.test\n127.0.0.16 pbx16.test\n";
const NO_NAMES: &str = "127.0.0.1 localhost\n";
const ROOM: &str = "outages";
const LIMIT: Duration = Duration::from_secs(20);
/// Tones, far from each other and from what the gateway says.
const PHONE_HZ: f64 = 1_350.0;
const CALLED_HZ: f64 = 700.0;
const WEB_HZ: f64 = 1_000.0;

fn trunk_outage() -> Duration {
    let wanted = std::env::var("WEEBEE_OUTAGE_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(wanted.unwrap_or(45))
}

struct Scene<'a> {
    stage: Stage<'a>,
    exchange: Exchange,
    names: PathBuf,
    web: Participant,
    began: f64,
}

#[test]
fn what_goes_away_comes_back_and_the_phones_stay() {
    let test = "what_goes_away_comes_back_and_the_phones_stay";
    if !crate::all_there(test) || !require::all_there(test, &[Peer::Asterisk16]) {
        return;
    }
    let world = World::new("jitsi-outages");
    let mut scene = Scene::begin(&world);
    let seconds = trunk_outage().as_secs() as u32 + 260;
    let mut phone = scene.two_phones(seconds);
    scene.jicofo_restarts();
    scene.names_are_gone();
    scene.trunk_is_gone();
    let gone = scene.prosody_restarts();
    let alone = wait_until(Duration::from_secs(5), || {
        scene.exchange.console("core show channels count").contains("1 active call").then_some(())
    });
    assert!(alone.is_some(), "{}", scene.exchange.console("core show channels"));
    scene.exchange.console("channel request hangup all");
    let called = scene.exchange.recording("called").expect("the recording of the called phone");
    scene.says("the called phone hangs up");

    let ear = phone.heard(Duration::from_secs(u64::from(seconds)));
    judge("the phone that called in", &ear, gone - phone.answered);
    judge("the phone that was called", &called.heard, gone - called.starts_at);
    assert_eq!(scene.health()["state"], "ok", "{}", scene.health());
    scene.stage.gateway.assert_alive();
}

/// Until Prosody is gone, at this second of the recording, the web never stops its tone; after it another web does it.
fn judge(who: &str, ear: &Wav, prosody_gone: f64) {
    let there = tone_there(ear, WEB_HZ);
    let (before, after) = there.split_at(there.len().min(((prosody_gone - 1.0) * 10.0) as usize));
    let (gap, at) = longest_gap(before);
    println!("  {who}: longest gap {gap:.1} s (at {at:.1} s) without Jicofo, names, trunk");
    assert!(before.iter().filter(|there| **there).count() > 300, "{who} heard the web");
    assert!(gap < 5.0, "{who} misses {gap:.1} s");
    let second = after.iter().skip(50).position(|there| *there);
    assert!(second.is_some(), "{who} hears the web after Prosody's restart, too");
}

impl<'a> Scene<'a> {
    fn begin(world: &'a World) -> Scene<'a> {
        let names = world.hosts(HOSTS);
        let stage = Stage::written(world, |jitsi| {
            let settings = format!("{}{}", jitsi.gateway_settings(), jitsi.brewery_settings());
            format!("{}{TRUNKS}", settings.replace("tcp:127.0.0.1:", "tcp:xmpp.test:"))
        });
        let exchange = Exchange::start(world, Flavour::Sixteen, Gateway::address(), None);
        let web = meeting(world, "webone");
        web.told(0, LIMIT, "occupant", |told| told["me"] == true && told["role"] == "moderator");
        Scene { stage, exchange, names, web, began: wall_clock() }
    }

    /// A phone that calls in, by a trunk of its own, and one that the meeting calls.
    fn two_phones(&mut self, seconds: u32) -> Phone {
        let now = wall_clock();
        // One tone after the other without a pause, each a little late: steady tones with pauses between them are poison to
        // Opus decoders that fill the pauses.
        let acts = (0..seconds / 8).map(|turn| now + 8.5 * f64::from(turn));
        let call = PhoneCall {
            id: "called".into(),
            number: "2001".into(),
            codec: "alaw",
            acts: acts.map(|at| (at, Act::Say("tone".into()))).collect(),
            ends_at: now + f64::from(seconds),
        };
        self.exchange.learn_sound("tone", &tone(CALLED_HZ, 9.0));
        self.exchange.expect_besides(&call, &[("2003", "Answer()\nWait(60)")]);
        let plan = Plan::new("pcma", seconds).say(0.0, &tone(PHONE_HZ, f64::from(seconds)));
        let phone = self.stage.call(ROOM, "in", &plan);
        self.dial("2001", wall_clock(), LIMIT);
        std::thread::sleep(Duration::from_secs(5));
        self.until_health("is well", |it| it["state"] == "ok");
        self.says("two phones and the web are in the meeting; health is ok");
        phone
    }

    fn jicofo_restarts(&mut self) {
        let gone = wall_clock();
        self.stage.jitsi.restart_jicofo();
        self.says("Jicofo was killed and is started");
        let (nick, after) = self.dial("2003", gone, Duration::from_secs(60));
        self.says(&format!("a call from the meeting works {after:.1} s after Jicofo was killed"));
        self.hang_up(&nick);
    }

    fn names_are_gone(&mut self) {
        let gone = wall_clock();
        fs::write(&self.names, NO_NAMES).expect("the hosts file");
        self.says("no name can be resolved any more");
        let (nick, _) = self.dial("2003", gone, LIMIT);
        self.says("a call from the meeting works all the same");
        self.hang_up(&nick);
        let mut second = self.stage.call(ROOM, "nameless", &Plan::new("pcma", 12));
        let ear = second.heard(Duration::from_secs(40));
        assert!(tone_there(&ear, WEB_HZ).contains(&true), "it hears the meeting");
        self.says("a phone that called meanwhile was in the meeting");
        let said = self.until_health("says that names are gone", |health| {
            health["problems"].to_string().contains("cannot be resolved")
        });
        self.says(&format!("health: {said}"));
        fs::write(&self.names, HOSTS).expect("the hosts file");
        let back = wall_clock();
        self.until_health("is well again", |it| it["state"] == "ok");
        self.says(&format!("health is ok {:.1} s after names are back", wall_clock() - back));
    }

    fn trunk_is_gone(&mut self) {
        let address = Flavour::Sixteen.address();
        self.stage.world.cut_off(address, 5060, true);
        let gone = wall_clock();
        self.says("the trunk is gone");
        let said = self.until_health("says that a trunk is gone", |it| {
            it["problems"].to_string().contains("OPTIONS")
        });
        self.says(&format!("health after {:.1} s: {said}", wall_clock() - gone));
        std::thread::sleep(Duration::from_secs(1));
        let events = self.web.events().len();
        self.web.wish(&json!({"do": "dial", "to": "2003"}));
        let answer = self.web.told(events, LIMIT, "rayo", |_| true);
        self.says(&format!("a call from the meeting: {answer}"));
        assert_eq!(answer["type"], "error", "no gateway with a trunk is left");
        let left = trunk_outage().as_secs_f64() - (wall_clock() - gone);
        std::thread::sleep(Duration::from_secs_f64(left.max(0.0)));
        self.stage.world.cut_off(address, 5060, false);
        let back = wall_clock();
        self.says(&format!("the trunk is back after {:.0} s", back - gone));
        self.until_health("is well again", |it| it["state"] == "ok");
        self.says(&format!("health is ok {:.1} s after the trunk is back", wall_clock() - back));
        let (nick, after) = self.dial("2003", back, Duration::from_secs(60));
        self.says(&format!("a call from the meeting works {after:.1} s after the trunk is back"));
        self.hang_up(&nick);
    }

    /// Gives the moment at which Prosody went.
    fn prosody_restarts(&mut self) -> f64 {
        let heard = self.web.save();
        let gone = wall_clock();
        for (hz, from) in [(PHONE_HZ, "called in"), (CALLED_HZ, "was called")] {
            let there = heard_by_web(&heard, hz);
            let (gap, at) = longest_gap(&there);
            println!("  the web: longest gap {gap:.1} s (at {at:.1} s) of the phone that {from}");
            assert!(gap < 5.0, "the web misses the phone that {from} for {gap:.1} s");
            assert!(there.iter().rev().take(40).any(|there| *there), "and hears it in the end");
        }
        self.stage.jitsi.stop_prosody();
        self.says("Prosody is gone");
        let said = self.until_health("says that XMPP is gone", |it| it["state"] != "ok");
        self.says(&format!("health after {:.1} s: {said}", wall_clock() - gone));
        self.stage.jitsi.start_prosody();
        let back = wall_clock();
        self.says("Prosody is started");
        self.until_health("is well again", |it| it["state"] == "ok");
        self.says(&format!("health is ok {:.1} s after Prosody's start", wall_clock() - back));
        // Jicofo has to find its bridges again (15 s), or it blames them for a minute.
        std::thread::sleep(Duration::from_secs_f64((back + 25.0 - wall_clock()).max(0.0)));
        self.web = meeting(self.stage.world, "webtwo");
        self.web.told(0, LIMIT, "connection", |told| told["state"] == "connected");
        self.says("another web participant is in the meeting");
        let (nick, after) = self.dial("2003", back, Duration::from_secs(60));
        self.says(&format!("a call from the meeting works {after:.1} s after Prosody's start"));
        self.hang_up(&nick);
        gone
    }

    /// The meeting calls a number until it works: the occupant, and the seconds since a moment.
    fn dial(&mut self, number: &str, since: f64, limit: Duration) -> (String, f64) {
        let until = wall_clock() + limit.as_secs_f64();
        loop {
            let events = self.web.events().len();
            self.web.wish(&json!({"do": "dial", "to": number}));
            let answer = self.web.told(events, LIMIT, "rayo", |_| true);
            if let Some((_, nick)) = answer["uri"].as_str().and_then(|uri| uri.rsplit_once('/')) {
                let is_it = |told: &Value| told["nick"] == nick && told["status"] == "Connected";
                self.web.told(events, LIMIT, "occupant", is_it);
                return (nick.to_owned(), wall_clock() - since);
            }
            let log = self.stage.gateway.log();
            assert!(wall_clock() < until, "{number} cannot be called: {answer}\n{log}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn hang_up(&mut self, nick: &str) {
        let events = self.web.events().len();
        self.web.wish(&json!({"do": "hangup", "nick": nick}));
        self.web.told(events, LIMIT, "left", |told| told["nick"] == nick);
    }

    fn health(&self) -> Value {
        self.stage.gateway.health(self.stage.world)
    }

    /// Waits until health is so: a name is looked up once a minute.
    fn until_health(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let seen = wait_until(Duration::from_secs(75), || Some(self.health()).filter(&is_so));
        let last = || format!("{}\n{}", self.health(), self.stage.gateway.log());
        seen.unwrap_or_else(|| panic!("health never {what}: {}", last()))
    }

    fn says(&self, what: &str) {
        println!("  {:6.1} s  {what}", wall_clock() - self.began);
    }
}

/// A web participant with a tone that never ends.
fn meeting(world: &World, nick: &str) -> Participant {
    let said = tone(WEB_HZ, 10.0);
    Participant::join(world, ROOM, nick, &Wishes { says: Some(&said), seconds: 1_800 })
}
