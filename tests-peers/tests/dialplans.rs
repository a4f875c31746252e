//! Asterisk 16 and 22 play the words and collect the PIN by the shipped `weebee_fastagi.conf` and `weebee_curl.conf`, the gateway
//! judges: callers with a right PIN are heard in their room, with wrong ones they are not; those who hang up are let go.
//! Then the contexts for FreePBX and Issabel, through which callers get in though the gateway is restarted while they are asked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, PhoneCall};
use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::require::{self, Peer, repository};
use gateway_tests_peers::sound::{Searched, Speech, heard};
use gateway_tests_peers::world::{World, wall_clock};

const SETTINGS: &str = r#"
[[trunk]]
name = "asterisk16"
sources = ["127.0.0.16"]
[[trunk]]
name = "asterisk22"
sources = ["127.0.0.22"]
[agi]
listen = "127.0.0.1:4573"
[api]
pin_check_token_files = ["pbx.token"]
"#;
const TOKEN: &str = "a-token-for-the-exchange-alone";
/// What the lines under test need beyond the shipped `modules.conf`; FreePBX loads all modules there are.
const MODULES: &str = "load=res_speech.so\nload=res_agi.so\nload=res_curl.so\nload=func_curl.so\nload=func_cut.so\nload=func_uri.so\n\
    load=app_read.so\nload=app_exec.so\nload=codec_gsm.so\nload=format_gsm.so\n";
/// Ways to ask, as contexts.
const WAYS: [&str; 3] = ["weebee-fastagi", "weebee-check", "weebee-curl"];
const FLAVOURS: [Flavour; 2] = [Flavour::Sixteen, Flavour::TwentyTwo];
const WRONG: &str = "121212121#";
const SENTENCE: f64 = 3.4;
/// A room that a busy machine disturbed is played again, this often in all.
const PLAYS_MAX: usize = 4;

/// Seconds after the calls are placed.
mod at {
    pub const PIN: f64 = 2.0;
    /// Into the words about the wrong one before, which come two seconds after its last key.
    pub const WRONG: [f64; 3] = [2.0, 8.0, 14.0];
    pub const SENTENCES: [f64; 2] = [8.5, 13.0];
    pub const END: f64 = 17.5;
    pub const REFUSED: f64 = 21.0;
}

/// Two worlds side by side, to be done sooner.
#[test]
fn exchanges_ask_for_the_pin_and_the_gateway_judges_it() {
    let test = "exchanges_ask_for_the_pin";
    if !require::all_there(test, &[Peer::Asterisk16, Peer::Asterisk22, Peer::Speech]) {
        return;
    }
    std::thread::scope(|scope| {
        let other = scope.spawn(callers_get_in_though_the_gateway_restarts_while_they_are_asked);
        right_pins_are_heard_and_wrong_ones_are_not();
        other.join().expect("see above");
    });
}

fn right_pins_are_heard_and_wrong_ones_are_not() {
    let world = World::new("dialplans");
    let mut gateway = start(&world);
    let exchanges = FLAVOURS.map(|flavour| {
        Exchange::start_changed(&world, flavour, Gateway::address(), None, as_an_admin_would)
    });
    let speeches = [0, 1].map(|number| {
        Speech::spoken(world.folder(), &format!("speaker{number}"), number, SENTENCE)
    });
    for (exchange, speech) in exchanges.iter().zip(&speeches) {
        exchange.learn_sound("sentence", &speech.wav);
    }
    commands_of_the_guide(&exchanges);
    let mut left = WAYS.to_vec();
    let mut faults = Vec::new();
    for play in 1..=PLAYS_MAX {
        faults.clear();
        let start = wall_clock() + 0.5;
        let pins = place(&world, &gateway, &exchanges, &left, play, start);
        let end = start + if play == 1 { at::REFUSED } else { at::END + 1.0 };
        std::thread::sleep(Duration::from_secs_f64(end - wall_clock()));
        assert!(!pins.iter().any(|pin| gateway.log().contains(pin)), "a PIN stands in the log");
        left.retain(|way| {
            let found = judge(&exchanges, &speeches, &id(way, play), start);
            faults.extend(found.iter().map(|fault| format!("{way}: {fault}")));
            !found.is_empty()
        });
        if left.is_empty() {
            break;
        }
        eprintln!("played again: {faults:?}");
    }
    assert_eq!(faults, Vec::<String>::new());
    let log = gateway.log();
    let of = |what: &str| log.matches(what).count();
    assert_eq!(of("note=\"ticket:") % 2, 0, "{log}");
    assert!(
        of("note=\"ticket:") >= WAYS.len() * 2 && of("note=\"pin:") == 0,
        "all came by tickets: {log}"
    );
    // Each way on two exchanges, three wrong PINs each: no room, and no call to the gateway at all.
    assert_eq!(of("PIN refused"), WAYS.len() * 6, "{log}");
    for exchange in &exchanges {
        let log = exchange.log();
        assert_eq!(log.matches("[REFUSED@weebee-judged:1]").count(), 2, "{log}");
        assert!(log.contains("Playing 'vm-goodbye"), "{log}");
        assert!(!log.contains("Goto (weebee-after,CHANUNAVAIL"), "{log}");
    }
    assert_eq!(of("result=\"HANGUP\""), 2, "two hung up while they were asked: {log}");
    gateway.assert_alive();
    for exchange in &exchanges {
        assert_eq!(exchange.complaints(), Vec::<String>::new());
    }
}

/// Right PINs for these ways; at the first play also wrong ones, and callers who hang up.
fn place(
    world: &World,
    gateway: &Gateway,
    exchanges: &[Exchange; 2],
    ways: &[&str],
    play: usize,
    start: f64,
) -> Vec<String> {
    let pins: Vec<String> = ways.iter().map(|way| gateway.pin(world, &id(way, play))).collect();
    for (exchange, sentence) in exchanges.iter().zip(at::SENTENCES) {
        let mut calls = Vec::new();
        for (way, pin) in ways.iter().zip(&pins) {
            let acts = vec![
                (start + at::PIN, Act::Keys(format!("{pin}#"))),
                (start + sentence, Act::Say("sentence".into())),
            ];
            calls.push(call(&id(way, play), way, acts, start + at::END));
        }
        for way in ways.iter().filter(|_| play == 1) {
            let acts = at::WRONG.map(|at| (start + at, Act::Keys(WRONG.into()))).to_vec();
            calls.push(call(&format!("wrong-{way}"), way, acts, start + at::REFUSED));
        }
        if play == 1 {
            calls.push(call("gone", "weebee-fastagi", Vec::new(), start + 1.8));
        }
        exchange.place(&calls);
    }
    pins
}

fn call(id: &str, context: &str, acts: Vec<(f64, Act)>, ends_at: f64) -> PhoneCall {
    PhoneCall { id: id.into(), number: format!("pin@{context}"), codec: "ulaw", acts, ends_at }
}

fn id(way: &str, play: usize) -> String {
    format!("{way}{play}")
}

/// Each hears the other.
fn judge(exchanges: &[Exchange; 2], speeches: &[Speech; 2], id: &str, start: f64) -> Vec<String> {
    let mut faults = Vec::new();
    for speaker in [0, 1] {
        let ear = &exchanges[1 - speaker];
        let Some(recording) = ear.recording(id) else {
            faults.push(format!("no recording at ear {}", 1 - speaker));
            continue;
        };
        let from = start + at::SENTENCES[speaker] - recording.starts_at - 0.4;
        let searched = Searched { from, to: from + SENTENCE + 1.6 };
        match heard(&recording.heard, searched, &speeches[speaker].wav) {
            Some(found) if found.correlation >= 0.95 && found.level_db.abs() <= 1.0 => {}
            found => faults.push(format!("speaker {speaker} was not heard: {found:?}")),
        }
    }
    faults
}

/// A gateway with a token for its exchanges.
fn start(world: &World) -> Gateway {
    let token = world.subfolder("weebee").join("pbx.token");
    fs::write(&token, TOKEN).expect("written");
    private(&token);
    Gateway::start(world, SETTINGS)
}

fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("ours");
}

/// The lines that the headers of the files tell to add and to edit.
fn as_an_admin_would(etc: &Path) {
    append(&etc.join("modules_site.conf"), MODULES);
    let lines = "\n#include weebee_fastagi.conf\n#include weebee_curl.conf\n";
    append(&etc.join("extensions.conf"), lines);
    let file = etc.join("weebee_curl.conf");
    let text = fs::read_to_string(&file).expect("shipped");
    assert!(text.contains("put-the-token-here"), "the file says where");
    fs::write(&file, text.replace("put-the-token-here", TOKEN)).expect("edited");
}

fn append(file: &Path, text: &str) {
    let there = fs::read_to_string(file).unwrap_or_default();
    fs::write(file, there + text).expect("written");
}

/// The console commands of `docs/dialplans.md`, typed into both exchanges.
fn commands_of_the_guide(exchanges: &[Exchange; 2]) {
    let guide = fs::read_to_string(repository().join("docs/dialplans.md")).expect("the guide");
    let mut typed = 0;
    for block in guide.split("```").skip(1).step_by(2) {
        let Some((kind, commands)) = block.split_once('\n') else { continue };
        let chosen = match kind {
            "asterisk" => &exchanges[..],
            "asterisk-chan_sip" => &exchanges[..1],
            "asterisk-pjsip" => &exchanges[1..],
            _ => continue,
        };
        for command in commands.lines().filter(|line| !line.is_empty()) {
            let command = command.split('#').next().unwrap_or_default().trim();
            for exchange in chosen {
                let said = exchange.console(command);
                let bad = ["No such command", "no existence", "No objects found", "Unable"];
                assert!(
                    !said.trim().is_empty() && !bad.iter().any(|bad| said.contains(bad)),
                    "{command}: {said}"
                );
                typed += 1;
            }
        }
    }
    assert!(typed >= 6, "the guide has commands: {typed}");
}

/// By the contexts for FreePBX and Issabel.
fn callers_get_in_though_the_gateway_restarts_while_they_are_asked() {
    let world = World::new("freepbx");
    let gateway = start(&world);
    let exchanges = FLAVOURS.map(|flavour| {
        let folder = match flavour {
            Flavour::Sixteen => "issabel",
            Flavour::TwentyTwo => "freepbx",
        };
        let like_freepbx = |etc: &Path| like_freepbx(etc, folder);
        Exchange::start_changed(&world, flavour, Gateway::address(), None, like_freepbx)
    });
    for exchange in &exchanges {
        assert_eq!(exchange.complaints(), Vec::<String>::new());
        let shown = exchange.console("dialplan show weebee-in");
        assert!(shown.contains("Dial("), "{shown}");
    }
    let speech = Speech::spoken(world.folder(), "speaker0", 0, SENTENCE);
    exchanges[0].learn_sound("sentence", &speech.wav);
    let pin = gateway.pin(&world, "tea");
    let keys = |at: f64| (at, Act::Keys(format!("{pin}#")));
    let start_at = wall_clock() + 0.5;
    let dialled = |id: &str, acts: Vec<(f64, Act)>, ends_at: f64| PhoneCall {
        number: "02112345678@from-pstn".into(),
        ..call(id, "", acts, ends_at)
    };
    let says = (start_at + 15.0, Act::Say("sentence".into()));
    let end = start_at + 19.0;
    // One is asked by his exchange when the gateway goes; the gateway asks him itself when it is back.
    exchanges[0].place(&[dialled("cut", vec![keys(start_at + 10.5), says], end)]);
    let asked = wait_until(Duration::from_secs(5), || {
        exchanges[0].log().contains("Playing 'conf-getpin").then_some(())
    });
    assert!(asked.is_some(), "{}", exchanges[0].log());
    drop(gateway);
    let gateway = start(&world);
    // The other calls when all is well again.
    let again = wall_clock();
    exchanges[1].place(&[dialled("later", vec![keys(again + 2.0)], end)]);
    std::thread::sleep(Duration::from_secs_f64(end + 1.0 - wall_clock()));
    let log = gateway.log();
    assert_eq!(log.matches(": joined").count(), 2, "{log}");
    assert_eq!(log.matches("note=\"pin:").count(), 1, "the one whose conversation was cut: {log}");
    assert_eq!(log.matches("note=\"ticket:").count(), 1, "{log}");
    let ear = exchanges[1].recording("later").expect("recorded");
    let from = start_at + 15.0 - ear.starts_at - 0.4;
    let found = heard(&ear.heard, Searched { from, to: from + 6.0 }, &speech.wav);
    assert!(found.as_ref().is_some_and(|found| found.correlation > 0.8), "heard: {found:?}");
}

/// What FreePBX writes, as far as a call to a number with a Custom Destination goes through it.
fn like_freepbx(etc: &Path, folder: &str) {
    append(&etc.join("modules_site.conf"), MODULES);
    let extensions = "[general]\nstatic=yes\n[globals]\n#include extensions_additional.conf\n\
        #include extensions_custom.conf\n#tryinclude extensions_site.conf\n";
    fs::write(etc.join("extensions.conf"), extensions).expect("written");
    let additional = "[from-pstn]\ninclude => ext-did\n\
        [ext-did]\nexten => 02112345678,1,Set(__FROM_DID=${EXTEN})\n\
        same => n,Goto(customdests,dest-1,1)\n\
        [customdests]\nexten => dest-1,1,NoOp(Entering Custom Destination Conference)\n\
        exten => dest-1,n,Goto(weebee-fastagi,s,1)\n[from-weebee]\n[nobody]\n";
    fs::write(etc.join("extensions_additional.conf"), additional).expect("written");
    let ours = repository().join("dialplans").join(folder).join("extensions_custom.conf");
    fs::copy(ours, etc.join("extensions_custom.conf")).expect("shipped");
}
