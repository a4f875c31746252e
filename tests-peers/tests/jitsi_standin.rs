//! A telephone in a Jitsi room on a machine without Jitsi: the gateway over Debian's Prosody, invited by a *stand-in* focus
//! whose media side is aiortc (`jitsi/standin_focus.py`). XMPP with StartTLS, Jingle, ICE, DTLS-SRTP, the bridge channel and
//! Opus against code we did not write; speech both ways is judged as sound, and what is lost is measured.
//!
//! The test runs itself again inside a network namespace with an address that is not loopback, which aiortc, as bridges do,
//! ignores.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gateway_core::media::clip::prompt::PromptId;
use gateway_core::media::clip::{ClipLibrary, Language};
use gateway_core::media::frame::SampleRate;
use gateway_tests_peers::focus::Focus;
use gateway_tests_peers::gateway::{self, SIP_PORT};
use gateway_tests_peers::process::{Process, last_lines, wait_until};
use gateway_tests_peers::prosody::{ANONYMOUS, C2S_PORT, FOCUS, Prosody, ROOMS};
use gateway_tests_peers::require::{Peer, all_there};
use gateway_tests_peers::sound::compare::{Heard, Searched, heard};
use gateway_tests_peers::sound::speech::Speech;
use gateway_tests_peers::sound::wav::Wav;
use gateway_tests_peers::world::World;
use serde_json::{Value, json};

const FOLDER: &str = "WEEBEE_STANDIN_FOLDER";
const ADDRESS: &str = "10.99.0.1";
const SENTENCE: f64 = 4.0;
/// The test's call, in seconds; it is kicked out before.
const CALL: u32 = 180;

#[test]
fn a_phone_talks_through_a_real_prosody_with_a_stand_in_focus_on_aiortc() {
    let name = "a_phone_talks_through_a_real_prosody_with_a_stand_in_focus_on_aiortc";
    if !all_there(name, &[Peer::Prosody, Peer::Aiortc, Peer::Speech]) {
        return;
    }
    println!("\nProsody {}, aiortc {}", Peer::Prosody.version(), Peer::Aiortc.version());
    let world = World::new("standin");
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
    let prosody = Prosody::start(&folder);
    let sentences =
        [0, 1].map(|number| Speech::spoken(&folder, &format!("voice{number}"), number, SENTENCE));
    let mut focus = Focus::start(&folder, &folder.join("voice1.wav"));
    focus.wait_for("ready", 10);
    let mut weebee = Weebee::start(&folder, &prosody);
    let mut phone = weebee.call(&folder, &folder.join("voice0.wav"));
    let began = Instant::now();

    let session = the_guest_is_a_phone(&mut focus);
    println!(
        "in the room, keys and speech {:.1} s after the call began",
        began.elapsed().as_secs_f64()
    );
    // Two sentences and more.
    listen(10);
    let pauses = pauses(&mut focus);
    lose(&mut focus, "replace", json!({ "do": "replace" }), 2.0);
    lose(&mut focus, "move", json!({ "do": "move" }), 2.0);
    // Consent lasts 15 s; a real Jicofo notices a dead bridge after 16.
    lose(&mut focus, "bridge dead, noticed after 16 s", json!({ "do": "die", "after": 16 }), 20.0);
    lose(&mut focus, "bridge dead, never noticed", json!({ "do": "die" }), 30.0);
    all_of_it_is_counted();
    mute_and_kick(&mut focus);
    assert!(phone.wait(Duration::from_secs(20)).is_some(), "the call ends with the kick");
    println!("pauses of the sentence itself {pauses:?}; phone: {}", last_lines(&phone.output(), 3));
    let recording = Wav::read(&folder.join("phone.wav")).expect("the phone's recording");
    let saved = end(&mut focus);
    judge(&saved, session, &recording, &sentences, &folder);
    weebee.process.assert_alive();
}

/// Asks for the conference, tells himself as a telephone, accepts, speaks. Gives his SSRC.
fn the_guest_is_a_phone(focus: &mut Focus) -> u64 {
    let occupant = focus.wait_for("occupant", 20);
    let features = occupant["features"].to_string();
    assert!(features.contains("http://jitsi.org/protocol/jigasi"), "{occupant}");
    let told = focus.wait_for("features", 10)["features"].to_string();
    for wanted in ["urn:xmpp:jingle:apps:rtp:audio", "http://jitsi.org/json-encoded-sources"] {
        assert!(told.contains(wanted), "{told}");
    }
    let accepted = focus.wait_for("accepted", 10);
    assert_eq!(accepted["has_level"], true, "{accepted}");
    wait_for_state(focus, "connected");
    let channel = focus.wait_for("channel", 10);
    assert_eq!(channel["protocol"], "http://jitsi.org/protocols/colibri");
    let hello = focus.wait_for("channel-message", 10);
    assert_eq!(hello["message"]["colibriClass"], "ClientHello");
    focus.wait_for("heard", 10);
    accepted["ssrc"].as_u64().expect("a number")
}

/// Something is lost, and found again: how long was nothing heard of the phone?
fn lose(focus: &mut Focus, name: &str, wish: Value, limit: f64) {
    pauses(focus);
    focus.forget();
    focus.tell(&wish);
    let accepted = focus.wait_for("accepted", 45);
    let expected = if name == "replace" { "transport-accept" } else { "session-accept" };
    assert_eq!(accepted["action"], expected, "{name}: {accepted}");
    wait_for_state(focus, "connected");
    listen(8);
    let gap = pauses(focus).into_iter().fold(0.0, f64::max);
    println!("{name}: the phone was not heard for {gap:.1} s");
    assert!(gap < limit, "{name}: {gap}");
}

/// The daemon's page of metrics tells what happened to the phone's leg.
fn all_of_it_is_counted() {
    // Counters of the shard are published once a second.
    std::thread::sleep(Duration::from_secs(2));
    let page = metrics();
    let count = |name: &str| -> u64 {
        let line =
            page.lines().find_map(|line| line.strip_prefix(&format!("weebee_{name}_total ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in the metrics"));
        line.parse().expect("a number")
    };
    let counts = [
        "bridge_sessions",
        "bridge_changes",
        "bridge_keys",
        "bridge_keys_ms",
        "bridge_paths_lost",
        "bridge_gaps",
        "bridge_gaps_ms",
        "bridge_gaps_over_5s",
        "conferences_interrupted",
        "conferences_recovered",
        "jitsi_speech_sent",
        "jitsi_speech_received",
        "jitsi_speech_received_bytes",
        "jitsi_speech_missing",
        "jitsi_speech_concealed_ms",
        "srtp_unauthentic",
    ];
    println!("{:?}", counts.map(|name| (name, count(name))));
    // The first session, a replaced transport, a move, and one for each dead bridge.
    assert_eq!((count("bridge_sessions"), count("bridge_keys")), (5, 5));
    assert_eq!(count("bridge_changes"), 2, "replaced and moved while sound flowed");
    assert_eq!(count("bridge_paths_lost"), 2, "both dead bridges");
    assert!(count("bridge_gaps") >= 4 && count("bridge_gaps_over_5s") <= 2);
    assert!(count("bridge_keys_ms") < 5 * 2_000);
    assert_eq!(count("conferences_interrupted"), count("conferences_recovered"));
    assert!(count("jitsi_speech_sent") > 500 && count("jitsi_speech_received") > 500);
    assert!(count("jitsi_speech_received_bytes") > 20 * count("jitsi_speech_received"));
    assert_eq!((count("srtp_unauthentic"), count("webrtc_failed")), (0, 0));
}

fn metrics() -> String {
    let mut stream = std::net::TcpStream::connect("127.0.0.1:8788").expect("it listens");
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("it answers");
    page
}

fn mute_and_kick(focus: &mut Focus) {
    focus.tell(&json!({ "do": "mute" }));
    assert_eq!(focus.wait_for("mute-answered", 5)["type"], "result");
    focus.wait_for_fact("occupant", "audiomuted", "true");
    listen(1);
    let before = counts(focus);
    listen(4);
    assert_eq!(counts(focus), before, "not a packet of a muted phone");
    focus.tell(&json!({ "do": "kick" }));
    focus.wait_for("left", 10);
}

fn judge(saved: &Value, first: u64, phone: &Wav, sentences: &[Speech; 2], folder: &Path) {
    let file = saved["files"][first.to_string()]["file"].as_str();
    let file = file.unwrap_or_else(|| panic!("nothing was heard of the first session: {saved}"));
    let focus_heard = Wav::read(Path::new(file)).expect("a WAV file");
    let all = |wav: &Wav| Searched { from: 0.0, to: wav.seconds() };
    let up = heard(&focus_heard, all(&focus_heard), &sentences[0].wav).expect("long enough");
    // The room begins after greeting and PIN; the first sentences are before anything is lost.
    let talk = Searched { from: 5.0, to: 25.0 };
    let down = heard(phone, talk, &sentences[1].wav).expect("long enough");
    println!("aiortc heard {}, the phone heard {}", show(&up), show(&down));
    assert!(up.correlation > 0.9, "{up:?}");
    assert!(up.level_db.abs() < 1.5, "{up:?}");
    assert!(down.correlation > 0.9, "{down:?}");
    let library = ClipLibrary::embedded().expect("the built-in packs are whole");
    for words in [
        PromptId::Reconnecting,
        PromptId::Reconnected,
        PromptId::MutedByModerator,
        PromptId::Kicked,
    ] {
        let clip = library.prompt(words, Language::default());
        // Their beginning: words of a wait are cut short when it is over.
        let spoken = Wav { rate: 8_000, samples: clip.samples(SampleRate::Hz8000) }.part(0.0, 1.5);
        spoken.write(&folder.join(format!("{words}.wav"))).expect("written");
        let found = heard(phone, all(phone), &spoken).expect("long enough");
        println!("words \"{words}\" in the phone's ear: {}", show(&found));
        // Words lie over the room, which is lowered by 12 dB meanwhile.
        assert!(found.correlation > 0.7, "{words}: {found:?}");
    }
}

fn show(heard: &Heard) -> String {
    let Heard { correlation, level_db, starts_at, .. } = heard;
    format!("{correlation:.3} ({level_db:+.1} dB, at {starts_at:.1} s)")
}

/// Seconds of listening.
fn listen(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn wait_for_state(focus: &mut Focus, state: &str) {
    focus.wait_for_fact("connection", "state", state);
}

fn pauses(focus: &mut Focus) -> Vec<f64> {
    focus.tell(&json!({ "do": "gaps" }));
    let said = focus.wait_for("gaps", 5);
    said["gaps"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn counts(focus: &mut Focus) -> Value {
    focus.tell(&json!({ "do": "counts" }));
    focus.wait_for("counts", 5)["counts"].clone()
}

fn end(focus: &mut Focus) -> Value {
    focus.tell(&json!({ "do": "end" }));
    focus.wait_for("saved", 20)
}

/// The gateway, as an operator runs it.
struct Weebee {
    /// Of the room.
    pin: String,
    process: Process,
}

impl Weebee {
    fn start(folder: &Path, prosody: &Prosody) -> Self {
        let config = folder.join("weebee.toml");
        let (focus, ..) = FOCUS;
        let settings = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{SIP_PORT}\"]\n\
             [rtp]\nports = \"40000-43999\"\nconference = \"{ADDRESS}\"\n\
             [pin]\nfile = \"pins.sqlite\"\nkey_file = \"pins.key\"\n\
             [http]\nlisten = \"127.0.0.1:8788\"\n\
             [cdr]\nfile = \"cdr.jsonl\"\n\
             [room]\nbackend = \"jitsi\"\n\
             [[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n\
             [[conference.jitsi]]\nname = \"jitsi\"\nxmpp = \"tcp:127.0.0.1:{C2S_PORT}\"\ndomain = \"{ANONYMOUS}\"\n\
             rooms = \"{ROOMS}\"\nfocus = \"{focus}\"\naccount = \"anonymous\"\nca_file = \"{}\"\n",
            prosody.authority().display()
        );
        fs::write(&config, settings).expect("its configuration");
        let mut add = Command::new(gateway::binary());
        add.args(["pin", "add", "--room", "tea", "--config"]).arg(&config);
        let done = add.current_dir(folder).output().expect("weebee runs");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let pin = said.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 9);
        let pin = pin.unwrap_or_else(|| panic!("no PIN in {said:?}")).to_owned();
        let mut command = Command::new(gateway::binary());
        command.args(["run", "--config"]).arg(&config).current_dir(folder);
        command.env("WEEBEE_LOG", "info,gateway_core::leg::jitsi=debug,gateway_core::jitsi=debug");
        let process = Process::start("weebee", folder, command);
        let mut weebee = Self { pin, process };
        let ready = wait_until(Duration::from_secs(15), || {
            weebee.process.assert_alive();
            std::net::TcpStream::connect("127.0.0.1:8788").ok()
        });
        assert!(ready.is_some(), "weebee does not start:\n{}", weebee.process.output());
        weebee
    }

    fn call(&self, folder: &Path, play: &Path) -> Process {
        let pin = &self.pin;
        let mut command = Command::new(gateway::binary());
        command.args(["call", &format!("sip:pin@127.0.0.1:{SIP_PORT}"), "--pin", pin]);
        command.args(["--codec", "pcmu", "--duration", &CALL.to_string(), "--play"]).arg(play);
        command.arg("--record").arg(folder.join("phone.wav")).current_dir(folder);
        Process::start("phone", folder, command)
    }
}
