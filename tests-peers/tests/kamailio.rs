//! Two gateways behind Debian's Kamailio with the shipped files: callers of one room reach one gateway
//! and hear each other; one gateway stops, and the next call goes to the other; what happens within a
//! call finds its way in both directions.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use gateway_tests_peers::gateway::{TestPhone, binary};
use gateway_tests_peers::process::{Process, last_lines, wait_until};
use gateway_tests_peers::require::{self, Peer, repository};
use gateway_tests_peers::sound::{Searched, Speech, Wav, heard};
use gateway_tests_peers::world::World;

/// Calls by hand, each with a forged ticket: prints room, the gateway that answered, Record-Routes, and what BYE got.
const CALLS: &str = include_str!("../kamailio/calls.py");
/// Last numbers of the gateways' addresses.
const NODES: [u8; 2] = [2, 3];
const SENTENCE: f64 = 3.4;
/// The phone speaks this long after the answer.
const SPEAKS_AT: f64 = 6.0;
const PLAYS_MAX: usize = 4;

struct Node {
    number: u8,
    folder: PathBuf,
    process: Process,
}

#[test]
fn rooms_stay_together_and_a_gateway_that_stops_is_left_out() {
    if !require::all_there("kamailio", &[Peer::Kamailio, Peer::Speech]) {
        return;
    }
    let world = World::new("kamailio");
    let mut nodes = NODES.map(|number| Node::start(&world, number));
    let (config, mut kamailio) = start(&world);
    states_become(&world, [(2, "AP"), (3, "AP")]);
    commands_of_the_guide(&world, &config);
    let rooms = rooms(&world);
    assert_eq!(
        rooms.values().filter(|node| **node == 2).count(),
        3,
        "both do their part: {rooms:?}"
    );

    let pin = nodes[0].pin(&world);
    let mut faults = Vec::new();
    for play in 1..=PLAYS_MAX {
        faults = two_talk(&world, &nodes, &pin, play);
        if faults.is_empty() {
            break;
        }
        eprintln!("played again: {faults:?}");
    }
    assert_eq!(faults, Vec::<String>::new());

    // The one that has the room goes. A call that comes at once goes on to the other after 2 s, without being told.
    let busy = nodes.iter().position(|node| node.joined() > 0).expect("one had the room");
    let other = 1 - busy;
    assert_eq!(nodes[other].joined(), 0, "both callers of the number were at one gateway");
    nodes[busy].process.stop();
    let silence = Wav::silence(8_000, 1.0);
    let mut next = TestPhone::call(&world, "next", "pcma", &pin, &silence, 4);
    let taken = wait_until(Duration::from_secs(15), || (nodes[other].joined() == 1).then_some(()));
    assert!(taken.is_some(), "{}\n{}", next.output(), nodes[other].process.output());
    let gone = nodes[busy].number;
    states_become(&world, [(gone, "IP"), (nodes[other].number, "AP")]);
    next.finish(Duration::from_secs(15));
    let left = self::rooms(&world);
    assert!(left.values().all(|node| *node != gone), "nobody waits for it any more: {left:?}");

    nodes[busy] = Node::start(&world, gone);
    states_become(&world, [(gone, "AP"), (nodes[other].number, "AP")]);
    assert_eq!(self::rooms(&world), rooms, "each room is back where it was");
    kamailio.assert_alive();
    let log = kamailio.output();
    let complaints = ["ERROR", "CRITICAL", "BUG"];
    assert!(!complaints.iter().any(|word| log.contains(word)), "{}", last_lines(&log, 40));
}

/// One speaks, the other hears him and leaves by keys, so that the gateway ends that call.
fn two_talk(world: &World, nodes: &[Node; 2], pin: &str, play: usize) -> Vec<String> {
    let speech = Speech::spoken(world.folder(), "speaker0", 0, SENTENCE);
    let said = Wav::silence(16_000, SPEAKS_AT).then(&speech.wav).then(&Wav::silence(16_000, 4.0));
    let silence = Wav::silence(16_000, 20.0);
    let joined = |nodes: &[Node; 2]| nodes.iter().map(Node::joined).sum::<usize>();
    let before = joined(nodes);
    let ear = format!("ear{play}");
    let mut listener = TestPhone::call_typing(world, &ear, "pcma", pin, &silence, 30, &["11:**"]);
    let mut speaker = TestPhone::call(world, &format!("mouth{play}"), "pcma", pin, &said, 10);
    speaker.finish(Duration::from_secs(30));
    listener.finish(Duration::from_secs(30));
    assert_eq!(joined(nodes), before + 2, "{}", listener.output());
    let reasons: Vec<String> = nodes.iter().flat_map(Node::reasons).collect();
    let ended = |reason: &str| reasons.iter().any(|it| it == reason);
    assert!(ended("caller_hung_up") && ended("caller_left"), "{reasons:?}");
    let (wav, _) = listener.recording().expect("recorded");
    let end = wav.seconds();
    match heard(&wav, Searched { from: 4.0, to: end }, &speech.wav) {
        Some(found) if found.correlation >= 0.95 && found.level_db.abs() <= 1.0 => Vec::new(),
        found => vec![format!("{found:?}")],
    }
}

/// Which gateway gets the calls of each room. Both of a room must meet, and their BYE must find the way.
fn rooms(world: &World) -> BTreeMap<String, u8> {
    let done = world.command("python3").args(["-c", CALLS]).output().expect("python3");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let mut rooms = BTreeMap::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [room, node, routes, bye] = words[..] else { panic!("{said}") };
        assert_eq!((routes, bye), ("1", "200"), "{said}");
        let node = node.rsplit('.').next().and_then(|last| last.parse().ok()).expect("an address");
        let met = rooms.insert(room.to_owned(), node);
        assert!(met.is_none_or(|met| met == node), "callers of {room} do not meet: {said}");
    }
    assert_eq!(rooms.len(), 6, "{said}{}", String::from_utf8_lossy(&done.stderr));
    rooms
}

impl Node {
    fn start(world: &World, number: u8) -> Node {
        let folder = world.subfolder(&format!("node{number}"));
        let (shared, address) = (world.folder().display(), format!("127.0.0.{number}"));
        let text = format!(
            "[rtp]\nports = \"40000-43999\"\n[pin]\nkey_file = \"{shared}/pins.key\"\n\
             file = \"{shared}/pins.sqlite\"\n[http]\nlisten = \"{address}:8788\"\n\
             [cdr]\nfile = \"cdr.jsonl\"\n\
             [sip]\nlisten = [\"udp:{address}:5060\", \"tcp:{address}:5060\"]\n\
             [[trunk]]\nname = \"proxy\"\nsources = [\"127.0.0.1\"]\n"
        );
        fs::write(folder.join("weebee.toml"), text).expect("its configuration");
        let mut command = world.command(binary());
        command.args(["run", "--config", "weebee.toml"]).current_dir(&folder);
        let mut process = Process::start(&format!("node{number}"), world.folder(), command);
        let listens = wait_until(Duration::from_secs(15), || {
            process.assert_alive();
            process.output().contains("SIP listens").then_some(())
        });
        assert!(listens.is_some(), "{}", process.output());
        Node { number, folder, process }
    }

    fn pin(&self, world: &World) -> String {
        let mut command = world.command(binary());
        command.args(["pin", "add", "--room", "tea", "--config", "weebee.toml"]);
        let done = command.current_dir(&self.folder).output().expect("weebee runs");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let digits = said.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 9);
        digits.unwrap_or_else(|| panic!("no PIN in {said:?}")).to_owned()
    }

    fn joined(&self) -> usize {
        self.process.output().matches(": joined").count()
    }

    /// Why its calls ended.
    fn reasons(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("cdr.jsonl")).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        records
            .map(|record: serde_json::Value| record["reason"].as_str().unwrap_or("?").to_owned())
            .collect()
    }
}

/// The shipped files, with this test's addresses in the two that are to be edited.
fn start(world: &World) -> (PathBuf, Process) {
    let folder = world.subfolder("proxy");
    let shipped = repository().join("dialplans/kamailio");
    let read = |name: &str| fs::read_to_string(shipped.join(name)).expect("shipped");
    let here = folder.display().to_string();
    let site = read("kamailio_site.cfg")
        .replace("192.0.2.5", "127.0.0.1")
        .replace("192.0.2.10,192.0.2.64/26", "127.0.0.1,192.0.2.64/26")
        .replace("/etc/kamailio", &here)
        .replace("/run/kamailio", &here)
        .replace("PROBE_SECONDS 10", "PROBE_SECONDS 1");
    let list = read("dispatcher.list")
        .replace("192.0.2.21", "127.0.0.2")
        .replace("192.0.2.22", "127.0.0.3");
    let files = [
        ("kamailio.cfg", read("kamailio.cfg")),
        ("kamailio_site.cfg", site),
        ("dispatcher.list", list),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("written");
    }
    let config = folder.join("kamailio.cfg");
    let mut command = world.command("/usr/sbin/kamailio");
    command.current_dir(&folder);
    command.args(["-DD", "-E", "-Y", &here, "-f"]).arg(&config);
    let process = Process::start("kamailio", world.folder(), command);
    (config, process)
}

/// Waits until Kamailio has found out how the gateways are: `AP` answers, `IP` does not.
fn states_become(world: &World, wanted: [(u8, &str); 2]) {
    let socket = format!("unix:{}/proxy/kamailio_ctl", world.folder().display());
    let mut said = String::new();
    let known = wait_until(Duration::from_secs(20), || {
        let mut command = world.command("kamcmd");
        let done = command.args(["-s", &socket, "dispatcher.list"]).output().expect("kamcmd");
        said = String::from_utf8_lossy(&done.stdout).into_owned();
        let state = |number: u8| {
            let (_, after) = said.split_once(&format!("sip:127.0.0.{number}:5060"))?;
            after.split_once("FLAGS: ")?.1.split_whitespace().next().map(str::to_owned)
        };
        let is_so = |(number, flags): &(u8, &str)| state(*number).as_deref() == Some(flags);
        wanted.iter().all(is_so).then_some(())
    });
    assert!(known.is_some(), "not {wanted:?}: {said}");
}

/// The commands of `docs/dialplans.md`, with this test's folder in the place of those of a machine of its own.
fn commands_of_the_guide(world: &World, config: &std::path::Path) {
    let guide = fs::read_to_string(repository().join("docs/dialplans.md")).expect("the guide");
    let block = guide.split("```kamailio\n").nth(1).and_then(|rest| rest.split("```").next());
    let commands: Vec<&str> = block.expect("it has commands").lines().collect();
    assert!(commands.len() >= 3, "{commands:?}");
    let folder = config.parent().expect("it lies in a folder").display().to_string();
    for line in commands {
        let line = line.replace("/etc/kamailio", &folder).replace("/run/kamailio", &folder);
        let mut words = line.split(' ');
        let mut command: Command = world.command(words.next().expect("a program"));
        let done = command.args(words).output().expect("it runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && !said.contains("ERROR"), "{line}: {said}");
    }
}
