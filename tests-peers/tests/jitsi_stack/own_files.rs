//! Jigasi is stopped and the gateway started on what Jigasi was started on: the file of Debian's package, and the variables of
//! docker-jitsi-meet. Names of hosts and passwords are this deployment's; nothing else is written for us.
//!
//! The file is `testdata/jigasi-config/debian.properties`, which a test compares with Jigasi's own sample, key by key.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, PhoneCall};
use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::jitsi::{
    DOMAIN, JIGASI_SECRET, Jitsi, Participant, Recorded, Wishes, installed,
};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::require::{self, Peer, repository};
use gateway_tests_peers::sound::{Speech, Wav};
use gateway_tests_peers::world::{World, wall_clock};
use serde_json::json;

use crate::dial_out::talks;
use crate::stage::{SENTENCE, all_of, judge};

const LIMIT: Duration = Duration::from_secs(20);
/// The account of the gateway at the exchange, as Jigasi had it.
const ACCOUNT: &str = "bridge";
const PASSWORD: &str = "sip-secret";
/// Beside an exchange on the same machine, Jigasi was told another port, and one for its pages.
const PORT: u16 = 5070;
const PAGES: u16 = 8788;

#[test]
fn the_file_of_debians_package_starts_unchanged() {
    let test = "the_file_of_debians_package_starts_unchanged";
    if !crate::all_there(test) || !require::all_there(test, &[Peer::Asterisk16]) {
        return;
    }
    let world = World::new("jitsi-debian");
    let file = repository().join("testdata/jigasi-config/debian.properties");
    let file = std::fs::read_to_string(file).expect("ours");
    let text = file
        .replace("conference.meet.example.org", &format!("muc.{DOMAIN}"))
        .replace("meet.example.org", DOMAIN)
        .replace("192.0.2.50", &Flavour::Sixteen.address().to_string())
        .replace("eG1wcC1zZWNyZXQ=", &STANDARD.encode(JIGASI_SECRET))
        .replace("bridge@pbx.example.org", &format!("{ACCOUNT}@{}", Flavour::Sixteen.address()));
    let text = format!(
        "{text}net.java.sip.communicator.SIP_PREFERRED_CLEAR_PORT={PORT}\norg.jitsi.jigasi.rest.jetty.port={PAGES}\n"
    );
    assert!(text.contains(&STANDARD.encode(PASSWORD)), "the account's password");
    takes_over(&world, "Jitsi-Conference-Room", |jitsi| {
        // Debian's package tells the system whom Prosody's certificate is from.
        let authority = jitsi.authority();
        let variables = [("SSL_CERT_FILE", authority.to_str().expect("plain"))];
        let files = [("sip-communicator.properties", text.as_str())];
        Gateway::start_from(&world, &["--config", files[0].0], &files, &variables)
    });
}

#[test]
fn the_variables_of_docker_start_unchanged() {
    let test = "the_variables_of_docker_start_unchanged";
    if !crate::all_there(test) || !require::all_there(test, &[Peer::Asterisk16]) {
        return;
    }
    let world = World::new("jitsi-docker");
    let exchange = Flavour::Sixteen.address().to_string();
    let account = format!("{ACCOUNT}@{exchange}");
    let (auth, rooms) = (format!("auth.{DOMAIN}"), format!("muc.{DOMAIN}"));
    let brewery_host = format!("internal.{auth}");
    let more = format!(
        "net.java.sip.communicator.SIP_PREFERRED_CLEAR_PORT={PORT},org.jitsi.jigasi.rest.jetty.port={PAGES}"
    );
    let config = world.subfolder("config");
    let variables = [
        ("PUBLIC_URL", "https://meet.test"),
        ("XMPP_SERVER", "127.0.0.1"),
        ("XMPP_DOMAIN", DOMAIN),
        ("XMPP_AUTH_DOMAIN", auth.as_str()),
        ("XMPP_MUC_DOMAIN", rooms.as_str()),
        ("XMPP_INTERNAL_MUC_DOMAIN", brewery_host.as_str()),
        ("JIGASI_BREWERY_MUC", "jigasibrewery"),
        ("JIGASI_XMPP_USER", "jigasi"),
        ("JIGASI_XMPP_PASSWORD", JIGASI_SECRET),
        ("JIGASI_SIP_URI", account.as_str()),
        ("JIGASI_SIP_PASSWORD", PASSWORD),
        ("JIGASI_SIP_SERVER", exchange.as_str()),
        ("JIGASI_SIP_PORT", "5060"),
        ("JIGASI_SIP_TRANSPORT", "UDP"),
        ("JIGASI_CONFIGURATION", more.as_str()),
        ("CONFIG", config.to_str().expect("plain")),
    ];
    // Docker's own template names this header.
    takes_over(&world, "X-Room-Name", |_| {
        Gateway::start_from(&world, &["--jigasi-env"], &[], &variables)
    });
}

/// What worked with Jigasi works: it registers, Jicofo sees it, a room calls a telephone, and a telephone with a header comes in.
fn takes_over(world: &World, room_header: &str, start: impl FnOnce(&Jitsi<'_>) -> Gateway) {
    let jitsi = Jitsi::start(world, &installed().expect("asked before"));
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], PORT));
    let exchange = Exchange::start_changed(world, Flavour::Sixteen, at, None, |etc| {
        for (file, text) in [("sip.conf", account()), ("extensions.conf", dialplan(room_header))] {
            let before = std::fs::read_to_string(etc.join(file)).unwrap_or_default();
            std::fs::write(etc.join(file), before + &text).expect("a file of the exchange");
        }
    });
    let mut gateway = start(&jitsi);
    let registered = wait_until(LIMIT, || {
        exchange.console("sip show peers").contains(&format!("{ACCOUNT}/{ACCOUNT}")).then_some(())
    });
    assert!(registered.is_some(), "the account is not registered: {}", gateway.log());
    let picked = wait_until(Duration::from_secs(30), || {
        jitsi.jicofo_log().contains("Added brewery instance: jigasibrewery").then_some(())
    });
    assert!(picked.is_some(), "Jicofo does not see us: {}", gateway.log());
    println!("  registered, and seen by Jicofo");

    let speech = |number: usize| {
        Speech::spoken(world.folder(), &format!("speaker{number}"), number, SENTENCE)
    };
    let (of_phone, of_web) = (speech(0), speech(1));
    exchange.learn_sound("sentence", &of_phone.wav);
    let said = of_web.wav.clone().then(&Wav::silence(16_000, 120.0));
    let wishes = Wishes { says: Some(&said), seconds: 0 };
    let mut web = Participant::join(world, "takenover", "webone", &wishes);
    web.told(0, LIMIT, "occupant", |told| told["me"] == true && told["role"] == "moderator");
    web.wish(&json!({"do": "speak", "on": false}));
    talks(&gateway, &exchange, &mut web, (&of_phone.wav, &of_web.wav));
    comes_in(&exchange, &mut web, &of_phone.wav);
    assert_eq!(exchange.complaints(), Vec::<String>::new());
    let health = gateway.page(world, "/about/health");
    assert_eq!(health.trim(), "{}", "healthy, in Jigasi's words");
    let log = gateway.log();
    assert!(!log.contains(PASSWORD) && !log.contains(JIGASI_SECRET), "a password in the log");
    gateway.assert_alive();
}

/// A telephone calls the account, with the room in Jigasi's header, and is heard there.
fn comes_in(exchange: &Exchange, web: &mut Participant, said: &Wav) {
    let start = wall_clock() + 0.5;
    let events = web.events().len();
    exchange.place(&[PhoneCall {
        id: "comes-in".into(),
        number: format!("{ACCOUNT}@to-account"),
        codec: "alaw",
        acts: vec![(start + 8.0, Act::Say("sentence".into()))],
        ends_at: start + 14.0,
    }]);
    let phone = web.told(events, LIMIT, "occupant", |told| told["status"] == "Connected");
    println!("  came in: {phone}");
    web.told(events, LIMIT, "left", |told| told["nick"] == phone["nick"]);
    let recorded = web.save();
    let is_its = |recorded: &&Recorded| recorded.owner.as_deref() == phone["nick"].as_str();
    let voice = recorded.values().find(is_its);
    let voice = voice.unwrap_or_else(|| panic!("the web heard nobody: {recorded:?}"));
    judge("phone", "web", &voice.wav, all_of(&voice.wav), said);
}

fn account() -> String {
    format!(
        "\n[{ACCOUNT}]\ntype=friend\nhost=dynamic\nsecret={PASSWORD}\ncontext=from-weebee\ndisallow=all\nallow=alaw,ulaw\n"
    )
}

/// The room in the header that Jigasi looks at there.
fn dialplan(room_header: &str) -> String {
    format!(
        "\n[to-account]\nexten => {ACCOUNT},1,SIPAddHeader({room_header}: takenover)\n \
         same => n,Dial(SIP/{ACCOUNT},20)\n same => n,Hangup()\n"
    )
}
