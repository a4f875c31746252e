//! An admin's telephone behind Asterisk 16 and a web participant hear each other; what the web sees of the telephone.

use std::time::Duration;

use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, PhoneCall};
use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::jitsi::{Participant, Wishes};
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::{Searched, Wav, leakage_db};
use gateway_tests_peers::world::{World, wall_clock};
use serde_json::json;

use crate::stage::{Stage, all_of, judge};

const TRUNK: &str = "[[trunk]]\nname = \"asterisk16\"\nsources = [\"127.0.0.16\"]\n";

#[test]
fn a_telephone_behind_asterisk_is_a_member_of_a_real_room() {
    let test = "a_telephone_behind_asterisk_is_a_member_of_a_real_room";
    if !crate::all_there(test) || !require::all_there(test, &[Peer::Asterisk16]) {
        return;
    }
    let world = World::new("jitsi-asterisk");
    let stage = Stage::new(&world, TRUNK);
    let exchange = Exchange::start(&world, Flavour::Sixteen, Gateway::address(), None);
    let (of_phone, of_web) = (stage.speech(0), stage.speech(1));
    exchange.learn_sound("sentence", &of_phone.wav);
    // The web speaks when it is told to: the sentence, then silence.
    let said = of_web.wav.clone().then(&Wav::silence(16_000, 60.0));
    let mut web =
        Participant::join(&world, "tea", "webone", &Wishes { says: Some(&said), seconds: 0 });
    web.told(0, Duration::from_secs(20), "occupant", |told| told["me"] == true);
    web.wish(&json!({"do": "speak", "on": false}));

    let pin = stage.gateway.pin(&world, "tea");
    let start = wall_clock() + 0.5;
    exchange.place(&[PhoneCall {
        id: "tea".into(),
        number: "pin".into(),
        codec: "alaw",
        acts: vec![
            (start + 2.0, Act::Keys(format!("{pin}#"))),
            (start + 12.0, Act::Say("sentence".into())),
        ],
        ends_at: start + 26.0,
    }]);
    let is_phone = |told: &serde_json::Value| {
        told["features"].as_array().is_some_and(|all| all.iter().any(|one| one == JIGASI))
    };
    let seen = web.told(0, Duration::from_secs(20), "occupant", is_phone);
    println!("  the web sees {seen}");
    assert_eq!(seen["role"], "participant", "a trusted phone is nobody's owner");
    assert_ne!(seen["affiliation"], "owner");
    assert!(seen["status"].as_str().is_some_and(|status| !status.is_empty()), "a status text");
    web.told(0, Duration::from_secs(30), "connection", |told| told["state"] == "connected");
    sleep_until(start + 18.0);
    web.wish(&json!({"do": "speak", "on": true}));
    sleep_until(start + 28.0);

    let invited: Vec<_> =
        web.events().into_iter().filter(|told| told["action"] == "session-initiate").collect();
    assert!(
        invited
            .iter()
            .all(|told| told["from"].as_str().is_some_and(|from| from.ends_with("/focus"))),
        "nobody but the focus invites: no session between two ends: {invited:?}"
    );
    let recorded = web.leave();
    let ear = exchange.recording("tea").expect("the telephone's recording");
    judge("web", "phone", &ear.heard, all_of(&ear.heard), &of_web.wav);
    let voice =
        recorded.values().find(|recorded| recorded.owner.is_some() && recorded.packets > 100);
    let voice = voice.unwrap_or_else(|| panic!("the web heard nobody: {recorded:?}"));
    judge("phone", "web", &voice.wav, all_of(&voice.wav), &of_phone.wav);
    // While only he speaks: of another's sentence a tenth always fits to his.
    let while_he_speaks = Searched { from: 11.0, to: 17.5 };
    let own = leakage_db(&ear.heard, while_he_speaks, &of_phone.wav);
    println!("    the phone hears itself at {own:.0} dB");
    assert!(own < -40.0);
    assert_eq!(exchange.complaints(), Vec::<String>::new());
}

/// By it the web shows a telephone's icon and plans no session between two ends.
const JIGASI: &str = "http://jitsi.org/protocol/jigasi";

fn sleep_until(moment: f64) {
    std::thread::sleep(Duration::from_secs_f64((moment - wall_clock()).max(0.0)));
}
