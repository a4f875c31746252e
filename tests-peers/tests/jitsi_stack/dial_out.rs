//! A moderator calls a telephone from his meeting: Jicofo picks the gateway from the brewery, Asterisk rings, both sides speak,
//! either side hangs up; and what the meeting sees of calls that do not come about.

use std::time::Duration;

use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, PhoneCall};
use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::jitsi::{Participant, Wishes};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::Wav;
use gateway_tests_peers::world::{World, wall_clock};
use serde_json::{Value, json};

use crate::stage::{Stage, all_of, judge};

const TRUNK: &str = "[[trunk]]\nname = \"asterisk16\"\nsources = [\"127.0.0.16\"]\npeer = \"127.0.0.16:5060\"\n\
                     [dial_out]\nenabled = true\nallowed = [\"?*\"]\n\
                     [[dial_out_rule]]\nmatch = \"?*\"\ntrunk = \"asterisk16\"\n";
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_moderator_calls_a_telephone() {
    let test = "a_moderator_calls_a_telephone";
    if !crate::all_there(test) || !require::all_there(test, &[Peer::Asterisk16]) {
        return;
    }
    let world = World::new("jitsi-dial-out");
    let stage = Stage::with(&world, "", |jitsi| format!("{}\n{TRUNK}", jitsi.brewery_settings()));
    let exchange = Exchange::start(&world, Flavour::Sixteen, Gateway::address(), None);
    let (of_phone, of_web) = (stage.speech(0), stage.speech(1));
    exchange.learn_sound("sentence", &of_phone.wav);
    let said = of_web.wav.clone().then(&Wav::silence(16_000, 120.0));
    let mut web =
        Participant::join(&world, "dialout", "webone", &Wishes { says: Some(&said), seconds: 0 });
    web.told(0, LIMIT, "occupant", |told| told["me"] == true && told["role"] == "moderator");
    web.wish(&json!({"do": "speak", "on": false}));
    let picked = wait_until(Duration::from_secs(30), || {
        stage.jitsi.jicofo_log().contains("jigasibrewery").then_some(())
    });
    assert!(picked.is_some(), "Jicofo does not see us: {}", stage.gateway.log());

    talks(&stage.gateway, &exchange, &mut web, (&of_phone.wav, &of_web.wav));
    hangs_up(&exchange, &mut web);
    does_not_come_about(&exchange, &mut web);
    assert_eq!(exchange.complaints(), Vec::<String>::new());
}

/// Both are heard, and the telephone hangs up.
pub fn talks(
    gateway: &Gateway,
    exchange: &Exchange,
    web: &mut Participant,
    (of_phone, of_web): (&Wav, &Wav),
) {
    let start = wall_clock() + 1.0;
    exchange.expect(&PhoneCall {
        id: "called".into(),
        number: "2001".into(),
        codec: "alaw",
        acts: vec![(start + 7.0, Act::Say("sentence".into()))],
        ends_at: start + 22.0,
    });
    let events = web.events().len();
    web.wish(&json!({"do": "dial", "to": "2001", "headers": {"X-Test": "42"}}));
    let answer = web.told(events, LIMIT, "rayo", |_| true);
    println!("  dialled: {answer}");
    assert_eq!(answer["type"], "result", "{}", gateway.log());
    let nick = nick_of(&answer);
    let connected = web.told(events, LIMIT, "occupant", |told| {
        told["nick"] == nick.as_str() && told["status"] == "Connected"
    });
    println!("  the web sees {connected}");
    assert_eq!(connected["initiator"]["JigasiCallDirection"], "out");
    assert_eq!(connected["initiator"]["X-Test"], "42");
    let ringing = |told: &Value| told["nick"] == nick.as_str() && told["status"] == "Ringing";
    let labels: Vec<_> = web.events().into_iter().skip(events).collect();
    let shown: Vec<&str> = labels.iter().filter_map(|told| told["status"].as_str()).collect();
    println!("  labels: {shown:?}, ringing {}", labels.iter().any(ringing));
    web.told(events, LIMIT, "connection", |told| told["state"] == "connected");
    sleep_until(start + 14.0);
    web.wish(&json!({"do": "speak", "on": true}));
    gone(web, &nick, Duration::from_secs(20));
    sleep_until(start + 23.0);
    web.wish(&json!({"do": "speak", "on": false}));

    let events = web.events().len();
    web.wish(&json!({"do": "save"}));
    let saved = web.told(events, LIMIT, "saved", |_| true);
    let files = saved["files"].as_object().expect("files by SSRC");
    let loudest = files.values().max_by_key(|facts| facts["packets"].as_u64());
    let file = loudest.and_then(|facts| facts["file"].as_str()).expect("somebody was heard");
    let heard = Wav::read(file.as_ref()).expect("a recording");
    judge("phone", "web", &heard, all_of(&heard), of_phone);
    let ear = exchange.recording("called").expect("the telephone's recording");
    judge("web", "phone", &ear.heard, all_of(&ear.heard), of_web);
}

/// The web ends the call by Rayo; the telephone is hung up.
fn hangs_up(exchange: &Exchange, web: &mut Participant) {
    exchange.behave(&[("2003", "Answer()\nWait(60)")]);
    let events = web.events().len();
    web.wish(&json!({"do": "dial", "to": "2003"}));
    let nick = nick_of(&web.told(events, LIMIT, "rayo", |_| true));
    web.told(events, LIMIT, "occupant", |told| {
        told["nick"] == nick.as_str() && told["status"] == "Connected"
    });
    let events = web.events().len();
    web.wish(&json!({"do": "hangup", "nick": nick}));
    let answer = web.told(events, LIMIT, "rayo", |_| true);
    println!("  hung up: {answer}");
    assert_eq!(answer["type"], "result", "Jigasi never answers; we do");
    gone(web, &nick, Duration::from_secs(8));
    no_channel(exchange);
}

/// Busy, a number that is not there, a kick while it rings.
fn does_not_come_about(exchange: &Exchange, web: &mut Participant) {
    exchange.behave(&[("2004", "Busy(1)"), ("2006", "Ringing()\nWait(60)")]);
    for (number, label) in [("2004", "Busy"), ("2999", "Not Found")] {
        let events = web.events().len();
        web.wish(&json!({"do": "dial", "to": number}));
        let nick = nick_of(&web.told(events, LIMIT, "rayo", |_| true));
        let shown = web.told(events, LIMIT, "occupant", |told| {
            told["nick"] == nick.as_str()
                && told["status"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(label))
        });
        println!("  {number}: {}", shown["status"]);
        gone(web, &nick, Duration::from_secs(8));
    }
    let events = web.events().len();
    web.wish(&json!({"do": "dial", "to": "2006"}));
    let nick = nick_of(&web.told(events, LIMIT, "rayo", |_| true));
    web.told(events, LIMIT, "occupant", |told| {
        told["nick"] == nick.as_str()
            && told["status"].as_str().is_some_and(|text| text.eq_ignore_ascii_case("ringing"))
    });
    web.wish(&json!({"do": "kick", "nick": nick}));
    gone(web, &nick, Duration::from_secs(8));
    no_channel(exchange);
}

/// The occupant of a dial.
fn nick_of(answer: &Value) -> String {
    let uri = answer["uri"].as_str().unwrap_or_else(|| panic!("no resource: {answer}"));
    let address = uri.strip_prefix("xmpp:").unwrap_or_else(|| panic!("no address: {uri}"));
    address.rsplit_once('/').expect("an occupant").1.to_owned()
}

/// Waits until an occupant has left.
fn gone(web: &Participant, nick: &str, limit: Duration) {
    let begun = wall_clock();
    let left = wait_until(limit, || {
        web.events()
            .iter()
            .any(|told| told["event"] == "left" && told["nick"] == nick)
            .then_some(())
    });
    assert!(left.is_some(), "{nick} is still there");
    println!("    {nick} left after {:.1} s", wall_clock() - begun);
}

/// Asterisk has no call any more.
fn no_channel(exchange: &Exchange) {
    let none = wait_until(Duration::from_secs(5), || {
        exchange.console("core show channels count").contains("0 active channels").then_some(())
    });
    assert!(none.is_some(), "{}", exchange.console("core show channels"));
}

fn sleep_until(moment: f64) {
    std::thread::sleep(Duration::from_secs_f64((moment - wall_clock()).max(0.0)));
}
