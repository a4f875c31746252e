//! The scenarios that were recorded from a real Jigasi (`testdata/jigasi`), met by the gateway in its place: what a telephone with
//! Jigasi's headers sees, beside what Jigasi showed it. Each test prints its rows of the table in `docs/jigasi.md`.

use std::time::Duration;

use gateway_tests_peers::jitsi::{Participant, SipPhone, Wishes};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::world::World;
use serde_json::{Value, json};

use crate::stage::Stage;

const ROOM: &str = "Jitsi-Conference-Room";
const PASSWORD: &str = "Jitsi-Conference-Room-Pass";
const LIMIT: Duration = Duration::from_secs(20);
/// What a caller may wait for an answer in a room where somebody is; Jigasi took 0.2 to 1.5 s.
const PROMPT: f64 = 0.9;
/// A PBX whose dialplan names the room, as Jigasi's do.
const TRUNK: &str =
    "[[trunk]]\nname = \"ivr\"\nsources = [\"127.0.0.1\"]\ntrusted = true\ninfo = \"jigasi\"\n";

/// A running site, and the rows it made.
struct Site<'a> {
    stage: Stage<'a>,
    world: &'a World,
    rows: Vec<(String, String, String)>,
}

impl<'a> Site<'a> {
    /// Rooms that begin with `kept` treat lonely callers as Jigasi did.
    fn new(world: &'a World) -> Self {
        let stage = Stage::with(world, "unmatched = \"refuse\"", |jitsi| {
            let kept = jitsi.conference("kept");
            let policy = "[[room_policy]]\nname = \"kept*\"\nbackend = \"kept\"\n";
            format!("{kept}empty_room = \"jigasi\"\n{policy}{TRUNK}")
        });
        Self { stage, world, rows: Vec::new() }
    }

    /// A call with a room's name in its header, and `more` headers.
    fn call(&self, name: &str, room: &str, more: &[(&str, &str)]) -> SipPhone {
        let headers: Vec<_> = [(ROOM, room)].into_iter().chain(more.iter().copied()).collect();
        SipPhone::call(self.world, name, &headers, &["--tone"])
    }

    /// Somebody at a browser, in the room.
    fn web(&self, room: &str, nick: &str) -> Participant {
        let web = Participant::join(self.world, room, nick, &Wishes::default());
        web.told(0, LIMIT, "occupant", |told| told["me"] == true);
        web
    }

    fn row(&mut self, scenario: &str, jigasi: &str, ours: String) {
        println!("| {scenario} | {jigasi} | {ours} |");
        self.rows.push((scenario.to_owned(), jigasi.to_owned(), ours));
    }
}

/// The web hears somebody: packets of sound, at once or as soon as Jicofo and the bridge are ready.
fn web_hears(web: &mut Participant) -> bool {
    web_hears_within(web, 15)
}

fn web_hears_within(web: &mut Participant, seconds: u64) -> bool {
    let counted = |web: &mut Participant| {
        let events = web.events().len();
        web.wish(&json!({"do": "counts"}));
        let told = web.told(events, LIMIT, "counts", |_| true);
        let counts = told["counts"].as_object().expect("counts by SSRC");
        counts.values().filter_map(Value::as_u64).sum::<u64>()
    };
    let before = counted(web);
    let heard = || (counted(web) > before + 50).then_some(());
    wait_until(Duration::from_secs(seconds), heard).is_some()
}

fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

#[test]
fn ways_into_a_room() {
    if !crate::all_there("ways_into_a_room") {
        return;
    }
    let world = World::new("jitsi-as-ways");
    let mut site = Site::new(&world);
    let mut web = site.web("ways", "webone");

    let phone = site.call("join", "ways@muc.meet.test", &[]);
    let (code, at) = phone.answer(LIMIT);
    assert_eq!(code, 200);
    assert!(at < PROMPT, "200 after {at} s");
    assert!(web_hears(&mut web), "the web does not hear the telephone");
    phone.end();
    site.row("join", "180, 200 after 0.2 to 0.4 or 1.2 to 1.5 s", format!("200 after {at:.2} s"));

    let one = site.call("two-one", "twophones@muc.meet.test", &[]);
    sleep(5.0);
    let two = site.call("two-two", "twophones@muc.meet.test", &[]);
    let answers = (one.answer(LIMIT), two.answer(LIMIT));
    assert_eq!((answers.0.0, answers.1.0), (200, 200));
    sleep(4.0);
    let ((_, loud_one), (_, loud_two)) = (one.end(), two.end());
    assert!(loud_one > 50 && loud_two > 50, "two phones hear each other: {loud_one}, {loud_two}");
    let ours = format!("200 after {:.2} and {:.2} s, both heard", answers.0.1, answers.1.1);
    site.row("two-phones", "200 for both, 0.3 s after the second came", ours);

    let phone = SipPhone::call(&world, "none", &[], &[]);
    let (code, at) = phone.answer(LIMIT);
    assert_eq!(code, 486);
    site.row("no-room-header", "180, 486 after 1.01 s", format!("{code} after {at:.2} s"));

    let long = "r".repeat(300);
    let upper = "Upper@muc.meet.test";
    let cases = [
        ("x@muc.other.example", 486, "486 after 0.1 s"),
        ("bad room", 486, "486 after 1.0 s"),
        ("a@b@c", 486, "486 after 15.1 s"),
        (upper, 200, "taken in small letters"),
        ("name@meet.test", 486, "486 after 16.1 s"),
        (long.as_str(), 200, "taken"),
    ];
    for (place, (room, wanted, jigasi)) in cases.into_iter().enumerate() {
        let phone = site.call(&format!("bad-{place}"), room, &[]);
        let (code, at) = phone.answer(LIMIT);
        assert_eq!(code, wanted, "{room}: {}", site.stage.gateway.log());
        phone.end();
        let shown = if room.len() > 40 { "300 letters" } else { room };
        site.row(&format!("bad-room, {shown}"), jigasi, format!("{code} after {at:.2} s"));
    }
    for (codecs, wanted, jigasi) in [
        ("96,0,101", 200, "200, opus"),
        ("9,8,101", 200, "200, G722"),
        ("8,0,101", 200, "200, PCMA"),
        ("18", 488, "488 after it joined the room"),
    ] {
        let more = ["--codecs", codecs];
        let phone = SipPhone::call(&world, codecs, &[(ROOM, "ways@muc.meet.test")], &more);
        let (code, at) = phone.answer(LIMIT);
        assert_eq!(code, wanted, "{codecs}");
        let events = phone.events();
        let answered = events.iter().find(|told| told["event"] == "answered");
        let chosen = answered.map(|told| told["codecs"].to_string()).unwrap_or_default();
        phone.end();
        let ours = format!("{code} after {at:.2} s {chosen}");
        site.row(&format!("offers, {codecs}"), jigasi, ours);
    }
    let phone = SipPhone::call(&world, "nosdp", &[(ROOM, "ways@muc.meet.test")], &["--no-sdp"]);
    assert_eq!(phone.answer(LIMIT).0, 200);
    let events = phone.events();
    let offer = events.iter().find(|told| told["event"] == "answered").expect("answered");
    let ours = format!("200, offers {}", offer["codecs"]);
    phone.end();
    site.row("offers, INVITE without SDP", "200, offers opus, G722, PCMU, PCMA, iLBC", ours);
}

#[test]
fn empty_rooms() {
    if !crate::all_there("empty_rooms") {
        return;
    }
    let world = World::new("jitsi-as-empty");
    let mut site = Site::new(&world);
    let kept = site.call("kept", "kept", &[]);
    let late = site.call("late", "keptlate", &[]);
    let open = site.call("open", "open", &[]);
    let (code, at) = open.answer(LIMIT);
    assert_eq!(code, 200);
    sleep(8.0 - at);
    let came = late.events().last().and_then(|told| told["at"].as_f64()).unwrap_or(0.0);
    let web = site.web("keptlate", "weblate");
    let (late_code, late_at) = late.answer(LIMIT);
    println!("    late: {late_code} at {late_at} (last event before {came})");
    assert_eq!(late_code, 200);
    drop(web);
    let (_, loud) = late.end();
    println!("    late heard {loud} loud packets");
    let (kept_code, kept_at) = kept.answer(LIMIT);
    assert_eq!(kept_code, 200);
    assert!((14.5..16.0).contains(&kept_at), "{kept_at}");
    let (bye, reason) = kept.hung_up(Duration::from_secs(25)).expect("it is hung up");
    assert!((29.0..32.0).contains(&bye), "{bye}");
    let reason = reason.unwrap_or_default();
    assert!(reason.contains("cause=408"), "{reason}");
    assert!(open.hung_up(Duration::from_millis(1)).is_none(), "who waits is let wait");
    let (_, loud) = open.end();
    assert!(loud > 100, "who is alone hears words and music: {loud}");
    site.row(
        "empty-room, as set by default",
        "180, 200 after 15.2 s, silence, BYE after 30.1 s with Reason 408",
        format!("200 after {at:.2} s, words and music as long as he likes"),
    );
    site.row(
        "empty-room, empty_room = \"jigasi\"",
        "the same",
        format!("200 after {kept_at:.1} s, BYE after {bye:.1} s with {reason}"),
    );
    let ours = format!("200 {:.1} s after the INVITE", late_at);
    site.row("late-participant (after 8 s)", "200 after 8.1 s", ours);
}

#[test]
fn doors_with_info() {
    if !crate::all_there("doors_with_info") {
        return;
    }
    let world = World::new("jitsi-as-doors");
    let mut site = Site::new(&world);
    let mut web = site.web("doors", "webone");
    web.told(0, LIMIT, "occupant", |told| told["me"] == true && told["role"] == "moderator");

    let events = web.events().len();
    web.wish(&json!({"do": "password", "value": "4711"}));
    web.told(events, LIMIT, "configured", |told| told["type"] == "result");
    for (key, wanted, jigasi) in [
        (None, 486, "486 after 0.09 s"),
        (Some("1"), 486, "486 after 0.09 s"),
        (Some("4711"), 200, "200"),
    ] {
        let headers: Vec<_> = key.map(|key| (PASSWORD, key)).into_iter().collect();
        let phone =
            site.call(&format!("password-{wanted}-{key:?}"), "doors@muc.meet.test", &headers);
        let (code, at) = phone.answer(LIMIT);
        assert_eq!(code, wanted, "{key:?}");
        phone.end();
        let which =
            ["no", "wrong", "right"][usize::from(key.is_some()) + usize::from(wanted == 200)];
        site.row(&format!("password, {which}"), jigasi, format!("{code} after {at:.2} s"));
    }
    let events = web.events().len();
    web.wish(&json!({"do": "password", "value": ""}));
    web.told(events, LIMIT, "configured", |told| told["type"] == "result");
    let events = web.events().len();
    web.wish(&json!({"do": "lobby", "on": true}));
    web.told(events, LIMIT, "configured", |told| told["type"] == "result");

    let knocked = |web: &Participant, from: usize| {
        web.told(from, LIMIT, "lobby-presence", |told| {
            told["type"].is_null() && told["jid"].is_string()
        })
    };
    let events = web.events().len();
    let phone = site.call("lobby-in", "doors@muc.meet.test", &[]);
    let (code, _) = phone.answer(LIMIT);
    let who = knocked(&web, events);
    phone.told(LIMIT, "info", |told| {
        told["body"] == "{\"i\":0,\"t\":3}" || told["body"] == "{\"t\":3,\"i\":0}"
    });
    web.wish(&json!({"do": "admit", "jid": who["jid"]}));
    let three = wait_until(LIMIT, || (phone.infos().len() >= 3).then(|| phone.infos()));
    let infos = three.unwrap_or_else(|| panic!("{:?}", phone.infos()));
    assert_eq!(kinds(&infos), [3, 6, 5], "{infos:?}");
    assert!(web_hears(&mut web));
    phone.end();
    let jigasi = "200; INFO t=3, then 6 and 5 when admitted";
    site.row("lobby, admitted", jigasi, format!("{code}; INFO {}", infos.join(" ")));

    let events = web.events().len();
    let phone = site.call("lobby-out", "doors@muc.meet.test", &[]);
    phone.answer(LIMIT);
    let who = knocked(&web, events);
    let nick = who["sender"].as_str().and_then(|sender| sender.rsplit_once('/')).expect("a nick").1;
    web.wish(&json!({"do": "deny", "nick": nick}));
    let bye = phone.hung_up(LIMIT).expect("denied and hung up");
    assert_eq!(kinds(&phone.infos()), [3, 7]);
    let ours = format!("INFO {}, words, BYE at {:.1} s", phone.infos().join(" "), bye.0);
    site.row("lobby, denied", "INFO t=3, 7 and BYE in the same 0.1 s", ours);

    let events = web.events().len();
    let phone = site.call("lobby-open", "doors@muc.meet.test", &[]);
    phone.answer(LIMIT);
    knocked(&web, events);
    web.wish(&json!({"do": "lobby", "on": false}));
    let three = wait_until(LIMIT, || (phone.infos().len() >= 3).then_some(()));
    assert!(three.is_some(), "{:?}", phone.infos());
    assert_eq!(kinds(&phone.infos()), [3, 6, 5]);
    let ours = format!("INFO {}", phone.infos().join(" "));
    phone.end();
    site.row("lobby, closed meanwhile", "INFO t=3, 6, 5", ours);
}

/// Types of numeric messages, in their order.
fn kinds(infos: &[String]) -> Vec<u64> {
    let types = infos.iter().map(|body| serde_json::from_str::<Value>(body).expect("JSON"));
    types.filter_map(|body| body["t"].as_u64()).collect()
}

#[test]
fn people_who_come_and_go() {
    if !crate::all_there("people_who_come_and_go") {
        return;
    }
    let world = World::new("jitsi-as-people");
    let mut site = Site::new(&world);
    let mut web = site.web("people", "webone");
    let phone = site.call("kicked", "people@muc.meet.test", &[]);
    phone.answer(LIMIT);
    let nick = wait_until(LIMIT, || web.phones().last().cloned()).expect("it is there");
    assert!(web_hears(&mut web));
    web.wish(&json!({"do": "kick", "nick": nick}));
    let kicked = phone.told(Duration::from_millis(10_000), "bye", |_| true);
    site.row("kick", "BYE within 10 ms", format!("words, then BYE, Reason {}", kicked["reason"]));

    // Everybody else leaves; somebody comes again when Jicofo has ended the session.
    let phone = site.call("alone", "people@muc.meet.test", &[]);
    phone.answer(LIMIT);
    assert!(web_hears(&mut web));
    web.leave();
    sleep(26.0);
    let mut again = site.web("people", "webtwo");
    assert!(web_hears(&mut again), "after the second session nothing is heard");
    site.row(
        "alone-then-rejoin (after 26 s)",
        "call stays up, silent for good",
        "sound both ways".to_owned(),
    );
    again.leave();
    sleep(6.0);
    let mut third = site.web("people", "webthree");
    assert!(web_hears(&mut third));
    site.row("left-then-rejoin-soon (after 6 s)", "works", "sound both ways".to_owned());
    third.wish(&json!({"do": "end"}));
    let bye = phone.hung_up(LIMIT).expect("the meeting is over");
    site.row("end-conference", "BYE within 10 ms", format!("words, then BYE, Reason {:?}", bye.1));
}

#[test]
fn microphones_by_info() {
    if !crate::all_there("microphones_by_info") {
        return;
    }
    let world = World::new("jitsi-as-mute");
    let mut site = Site::new(&world);
    let mut web = site.web("mute", "webone");
    let mut phone = site.call("mute", "mute@muc.meet.test", &[]);
    phone.answer(LIMIT);
    assert!(web_hears(&mut web));
    let nick = wait_until(LIMIT, || web.phones().last().cloned()).expect("it is there");
    let muted = |web: &Participant, is_muted: &str| {
        web.told(0, LIMIT, "occupant", |told| {
            told["nick"] == nick.as_str() && told["audiomuted"] == is_muted
        });
        wait_until(LIMIT, || (web.occupant(&nick)?["audiomuted"] == is_muted).then_some(()))
            .expect("its presence says so")
    };
    let last = |phone: &SipPhone| -> Value {
        phone.infos().last().map_or(Value::Null, |body| serde_json::from_str(body).expect("JSON"))
    };

    web.wish(&json!({"do": "mute", "nick": nick}));
    muted(&web, "true");
    wait_until(LIMIT, || (last(&phone)["type"] == "muteRequest").then_some(())).expect("an INFO");
    assert_eq!(last(&phone)["data"]["audio"], true);
    sleep(1.0);
    assert!(!web_hears_within(&mut web, 4), "a muted telephone is heard");
    let ours = format!("silent, audiomuted, INFO {}", last(&phone));
    site.row("mute by a moderator", "answered, and still heard; no INFO", ours);

    let unmute = json!({"type": "muteRequest", "id": "7c0c1d2e", "data": {"audio": false}});
    phone.wish(&json!({"do": "info", "body": unmute}));
    muted(&web, "false");
    wait_until(LIMIT, || (last(&phone)["id"] == "7c0c1d2e").then_some(())).expect("an answer");
    assert_eq!(
        (&last(&phone)["type"], &last(&phone)["status"]),
        (&json!("muteResponse"), &json!("OK"))
    );
    assert!(web_hears(&mut web));
    let ours = format!("heard again, INFO {}", last(&phone));
    site.row("muteRequest false by the IVR", "200, never a muteResponse", ours);

    let events = web.events().len();
    web.wish(&json!({"do": "mute", "nick": nick}));
    muted(&web, "true");
    web.wish(&json!({"do": "av-moderation", "on": true}));
    wait_until(LIMIT, || kinds(&phone.infos()).contains(&8).then_some(())).expect("t=8");
    let unmute = json!({"type": "muteRequest", "id": "again", "data": {"audio": false}});
    phone.wish(&json!({"do": "info", "body": unmute}));
    wait_until(LIMIT, || (last(&phone)["status"] == "FAILED").then_some(())).expect("refused");
    web.told(events, LIMIT, "occupant", |told| {
        told["nick"] == nick.as_str() && told["hand"].as_str().is_some_and(|hand| !hand.is_empty())
    });
    web.wish(&json!({"do": "approve", "nick": nick}));
    wait_until(LIMIT, || kinds(&phone.infos()).contains(&9).then_some(())).expect("t=9");
    let unmute = json!({"type": "muteRequest", "id": "third", "data": {"audio": false}});
    phone.wish(&json!({"do": "info", "body": unmute}));
    muted(&web, "false");
    assert!(web_hears(&mut web), "approved, and not heard");
    site.row(
        "av moderation",
        "t=8, FAILED and a raised hand, t=9, and unheard for ever",
        "t=8, FAILED and a raised hand, t=9, then heard again".to_owned(),
    );
    phone.end();
}
