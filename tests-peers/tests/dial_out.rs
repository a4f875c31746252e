//! Somebody in a conference dials: the gateway in a brewery of Debian's Prosody, asked by a *stand-in* focus
//! (`jitsi/standin_focus.py`) the way Jicofo asks, calls a socket of this test. What is judged is what others see: presence in
//! the brewery, the answer to the dial, the INVITE.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gateway_tests_peers::focus::Focus;
use gateway_tests_peers::gateway::{self, SIP_PORT};
use gateway_tests_peers::process::{Process, wait_until};
use gateway_tests_peers::prosody::{
    ANONYMOUS, BREWERIES, C2S_PORT, FOCUS, Prosody, ROOMS, SCRAM, USER,
};
use gateway_tests_peers::require::{Peer, all_there};
use gateway_tests_peers::sound::speech::Speech;
use gateway_tests_peers::world::World;
use serde_json::json;

const FOLDER: &str = "WEEBEE_DIAL_OUT_FOLDER";
const ADDRESS: &str = "10.99.0.2";
/// Where the carrier of this test listens.
const CARRIER: &str = "127.0.0.1:5090";

#[test]
fn a_conference_dials_through_a_brewery() {
    let name = "a_conference_dials_through_a_brewery";
    if !all_there(name, &[Peer::Prosody, Peer::Aiortc, Peer::Speech]) {
        return;
    }
    println!("\nProsody {}, aiortc {}", Peer::Prosody.version(), Peer::Aiortc.version());
    let world = World::new("dialout");
    let address = format!("{ADDRESS}/24");
    let added = world.command("ip").args(["addr", "add", &address, "dev", "lo"]).status();
    assert!(added.expect("ip runs").success());
    world.run_inside(
        "inside_the_namespace",
        FOLDER,
        &[("WEEBEE_BIN", gateway::binary().as_os_str())],
    );
}

#[test]
#[ignore = "runs inside the namespace that the test above makes"]
fn inside_the_namespace() {
    let folder = PathBuf::from(std::env::var(FOLDER).expect("started by the test above"));
    let carrier = UdpSocket::bind(CARRIER).expect("the carrier's port is free");
    carrier.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut prosody = Prosody::start(&folder);
    let mut weebee = Weebee::start(&folder, &prosody);
    weebee.wait_for("brewery joined", 1);
    let voice = Speech::spoken(&folder, "voice", 0, 4.0);
    drop(voice);
    let mut focus = focus_in_brewery(&folder);

    // We made the room and unlocked it: the focus got in, and sees a gateway that can call.
    let told = focus.wait_for("gateway", 15);
    assert_eq!(
        (&told["supports_sip"], &told["graceful_shutdown"]),
        (&json!("true"), &json!("false"))
    );
    assert_eq!((&told["participants"], &told["region"]), (&json!("0"), &json!("here")));

    a_number_that_may_not_be_called(&mut focus);
    the_phone_is_called(&mut focus, &carrier);
    assert!(!weebee.process.output().contains("6221555"), "a number is in the log");
    check_says_how_the_brewery_is(&folder);

    // The server restarts: both come back, in whatever order.
    drop(focus);
    prosody.start_again();
    weebee.wait_for("brewery joined", 2);
    let mut focus = focus_in_brewery(&folder);
    assert_eq!(focus.wait_for("gateway", 30)["supports_sip"], "true");

    // It ends: its seat is free at once, so that nobody dials to it.
    weebee.process.signal("TERM");
    focus.wait_for("gateway-left", 5);
}

/// The focus, with its seat in the brewery.
fn focus_in_brewery(folder: &Path) -> Focus {
    let mut focus = Focus::start(folder, &folder.join("voice.wav"));
    focus.wait_for("ready", 10);
    focus.tell(&json!({ "do": "brewery", "room": format!("brewery@{BREWERIES}") }));
    focus.wait_for("brewery-joined", 10);
    focus
}

fn a_number_that_may_not_be_called(focus: &mut Focus) {
    focus.tell(&json!({ "do": "dial", "room": format!("tea@{ROOMS}"), "to": "+4930" }));
    let answer = focus.wait_for("rayo-answered", 5);
    assert_eq!((&answer["type"], &answer["condition"]), (&json!("error"), &json!(["forbidden"])));
}

fn the_phone_is_called(focus: &mut Focus, carrier: &UdpSocket) {
    let headers = json!({ "X-Test": "42", "Route": "<sip:evil.example>" });
    let dial = json!({ "do": "dial", "room": format!("tea@{ROOMS}"), "to": "+62 21 555", "headers": headers });
    focus.tell(&dial);
    let answer = focus.wait_for("rayo-answered", 15);
    println!("the dial was answered after {} s: {}", answer["seconds"], answer["uri"]);
    assert_eq!(answer["type"], "result", "{answer}");
    let uri = answer["uri"].as_str().expect("an occupant");
    assert!(uri.starts_with(&format!("xmpp:tea@{ROOMS}/")), "{uri}");
    let occupant = focus.wait_for("occupant", 10);
    assert!(uri.ends_with(occupant["nick"].as_str().expect("a nick")), "{occupant}");

    let mut datagram = [0; 4_096];
    let (length, from) = carrier.recv_from(&mut datagram).expect("an INVITE");
    let invite = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(invite.starts_with(&format!("INVITE sip:021555@{CARRIER} SIP/2.0\r\n")), "{invite}");
    let header = |name: &str| {
        let line = invite.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::to_owned)
    };
    assert_eq!(header("Jitsi-Conference-Room"), Some(format!("tea@{ROOMS}")));
    assert_eq!(header("JigasiCallDirection").as_deref(), Some("out"));
    assert_eq!(header("X-Test").as_deref(), Some("42"));
    assert!(!invite.contains("evil.example"), "{invite}");

    // Busy: the leg leaves the room by itself.
    let copied = ["Via", "From", "Call-ID", "CSeq"];
    let copied = copied.map(|name| format!("{name}: {}\r\n", header(name).expect("it is there")));
    let to = header("To").expect("it is there");
    let busy = format!(
        "SIP/2.0 486 Busy Here\r\n{}To: {to};tag=busy\r\nContent-Length: 0\r\n\r\n",
        copied.concat()
    );
    carrier.send_to(busy.as_bytes(), from).expect("sent");
    focus.wait_for("left", 15);

    // And a call that rings is ended by who asked for it.
    focus.tell(&dial);
    let uri = focus.wait_for("rayo-answered", 15)["uri"].clone();
    focus.tell(&json!({ "do": "hangup", "uri": uri }));
    assert_eq!(focus.wait_for("rayo-answered", 5)["type"], "result");
    focus.wait_for("left", 15);
}

/// `weebee check --live` beside the gateway: with the brewery's account, and with another password.
fn check_says_how_the_brewery_is(folder: &Path) {
    let check = || {
        let mut command = Command::new(gateway::binary());
        command.args(["check", "--live", "--config", "weebee.toml"]).current_dir(folder);
        let done = command.output().expect("weebee runs");
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    for good in ["ok: brewery \"main\": logged in", "ok: brewery \"main\": the room is there"] {
        assert!(said.contains(good), "wanted {good:?}:\n{said}");
    }
    let file = folder.join("brewery.secret");
    fs::write(&file, "another password").expect("written");
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    let complaint = said.lines().find(|line| line.contains("brewery \"main\""));
    let complaint = complaint.expect("the brewery is named");
    assert!(complaint.contains("check user, password"), "{complaint}");
    assert!(!said.contains("another password"), "{said}");
    fs::write(&file, USER.1).expect("written");
}

/// The gateway, as an operator runs it.
struct Weebee {
    process: Process,
}

impl Weebee {
    fn start(folder: &Path, prosody: &Prosody) -> Self {
        let config = folder.join("weebee.toml");
        fs::write(folder.join("brewery.secret"), USER.1).expect("its password");
        let (focus, ..) = FOCUS;
        let authority = prosody.authority();
        let authority = authority.display();
        let settings = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{SIP_PORT}\"]\n\
             [rtp]\nports = \"40000-43999\"\nconference = \"{ADDRESS}\"\n\
             [pin]\nfile = \"pins.sqlite\"\nkey_file = \"pins.key\"\n\
             [http]\nlisten = \"127.0.0.1:8788\"\n\
             [[trunk]]\nname = \"carrier\"\npeer = \"{CARRIER}\"\n\
             [[conference.jitsi]]\nname = \"jitsi\"\nxmpp = \"tcp:127.0.0.1:{C2S_PORT}\"\ndomain = \"{ANONYMOUS}\"\n\
             rooms = \"{ROOMS}\"\nfocus = \"{focus}\"\naccount = \"anonymous\"\nca_file = \"{authority}\"\n\
             [[brewery]]\nname = \"main\"\nxmpp = \"tcp:127.0.0.1:{C2S_PORT}\"\ndomain = \"{SCRAM}\"\n\
             user = \"{}\"\npassword_file = \"brewery.secret\"\nroom = \"Brewery@{BREWERIES}\"\nregion = \"here\"\n\
             ca_file = \"{authority}\"\n\
             [dial_out]\nenabled = true\n\
             [[dial_out_rule]]\nmatch = \"+62*\"\ntrunk = \"carrier\"\nstrip = 3\nprepend = \"0\"\n",
            USER.0
        );
        fs::write(&config, settings).expect("its configuration");
        let mut command = Command::new(gateway::binary());
        command.args(["run", "--config"]).arg(&config).current_dir(folder);
        command.env("WEEBEE_LOG", "info,gateway_core::leg::jitsi=debug,gateway_core::jitsi=debug");
        Self { process: Process::start("weebee", folder, command) }
    }

    /// Waits until the log says it so many times.
    fn wait_for(&mut self, words: &str, times: usize) {
        let said = wait_until(Duration::from_secs(40), || {
            self.process.assert_alive();
            (self.process.output().matches(words).count() >= times).then_some(())
        });
        assert!(said.is_some(), "{words:?} {times} times:\n{}", self.process.output());
    }
}
