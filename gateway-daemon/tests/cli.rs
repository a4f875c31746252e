//! The program from outside: exit codes, words for people, and that PINs are shown once and kept as hashes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fresh folder with a valid configuration.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("made");
        let place = Self(path);
        place.write("weebee.toml", "[[trunk]]\nname = \"local\"\nsources = [\"127.0.0.1\"]\n");
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("written");
    }

    fn weebee(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weebee"))
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .expect("starts")
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn check_says_every_mistake_and_exits_with_64() {
    let place = Place::new("check");
    assert!(place.weebee(&["check", "--config", "weebee.toml"]).status.success());
    place.write("bad.toml", "[sip]\ncalls_max = 0\n[rtp]\nports = \"20000-19000\"\n");
    for command in ["check", "run"] {
        let bad = place.weebee(&[command, "--config", "bad.toml"]);
        assert_eq!(bad.status.code(), Some(64));
        let text = complaint(&bad);
        for part in
            ["bad.toml:2: sip: calls_max", "bad.toml:4: rtp: ports", "write \"20000-20999\""]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    let gone = place.weebee(&["check", "--config", "gone.toml"]);
    assert_eq!(gone.status.code(), Some(64));
    assert!(complaint(&gone).contains("weebee config > gone.toml"));
    assert_eq!(place.weebee(&["dance"]).status.code(), Some(64));
    assert_eq!(place.weebee(&["run"]).status.code(), Some(64));
}

#[test]
fn the_printed_default_is_a_valid_configuration() {
    let place = Place::new("default");
    let default = place.weebee(&["config"]);
    place.write("default.toml", &out(&default));
    let checked = place.weebee(&["check", "--config", "default.toml"]);
    assert!(checked.status.success(), "{}", complaint(&checked));
}

#[test]
fn pins_are_added_listed_and_revoked() {
    let place = Place::new("pins");
    let added =
        place.weebee(&["pin", "add", "-c", "weebee.toml", "--room", "Tea", "--uses", "3", "-q"]);
    let pin = out(&added).trim().to_owned();
    assert_eq!(pin.len(), 9, "{}", complaint(&added));
    let host = place.weebee(&[
        "pin",
        "add",
        "-c",
        "weebee.toml",
        "--room",
        "tea",
        "--host",
        "--expires",
        "never",
    ]);
    assert!(out(&host).contains("host") && out(&host).contains("never ends"), "{}", out(&host));

    let listed = out(&place.weebee(&["pin", "list", "-c", "weebee.toml"]));
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("0/3") && listed.contains("tea") && !listed.contains(&pin), "{listed}");
    let id =
        listed.lines().find(|line| line.contains("0/3")).and_then(|line| line.split(' ').next());
    let id = id.expect("has an id");
    assert!(place.weebee(&["pin", "revoke", "-c", "weebee.toml", id]).status.success());
    let again = place.weebee(&["pin", "revoke", "-c", "weebee.toml", id]);
    assert!(!again.status.success() && complaint(&again).contains("weebee pin list"));
    let listed = out(&place.weebee(&["pin", "list", "-c", "weebee.toml"]));
    assert!(listed.contains("revoked"), "{listed}");
}

#[test]
fn pins_have_kinds_owners_and_an_audit_log() {
    let place = Place::new("kinds");
    let add = |more: &[&str]| {
        place.weebee(&[&["pin", "add", "-c", "weebee.toml", "--room", "board"], more].concat())
    };
    let fixed = out(&add(&["--kind", "static", "--host", "-q"]));
    assert_eq!(fixed.trim().len(), 12, "{fixed}");
    let personal = ["--owner", "Ratna", "--caller", "+622112345647", "--uses", "1"];
    let refused = add(&personal);
    assert!(!refused.status.success() && complaint(&refused).contains("add --kind personal"));
    let made = add(&[&["--kind", "personal"], &personal[..]].concat());
    assert!(out(&made).contains("personal"), "{}", complaint(&made));
    assert_eq!(add(&["--kind", "fax"]).status.code(), Some(64));
    let listed = out(&place.weebee(&["pin", "list", "-c", "weebee.toml"]));
    for part in ["static host", "personal", "never", "0/1", " cli "] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    place.write(
        "weebee.toml",
        "[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n[room]\nmint = [\"chat\"]\n",
    );
    let refused = add(&[]);
    assert!(!refused.status.success() && complaint(&refused).contains("`mint`"), "{refused:?}");

    let files = std::fs::read_dir(&place.0).expect("readable").map(|it| it.expect("entry").path());
    let audit = files.filter(|file| file.display().to_string().contains("weebee-audit-"));
    let audit: String =
        audit.map(|file| std::fs::read_to_string(file).expect("readable")).collect();
    assert_eq!(audit.matches("\"pin_minted\"").count(), 2, "{audit}");
    for secret in [fixed.trim(), "Ratna", "12345647", "board"] {
        assert!(!audit.contains(secret), "{secret} in {audit}");
    }
}

#[test]
fn a_registry_that_cannot_be_opened_is_said_with_its_remedy() {
    let place = Place::new("broken");
    place.write("weebee-pins.sqlite", &"nonsense ".repeat(1_000));
    for arguments in [&["pin", "list", "-c", "weebee.toml"][..], &["run", "--config", "quiet.toml"]]
    {
        place.write(
            "quiet.toml",
            "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[http]\nlisten = \"\"\n[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n",
        );
        let output = place.weebee(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
        let text = complaint(&output);
        assert!(text.contains("weebee-pins.sqlite") && text.contains("backup"), "{text}");
    }
}

#[test]
fn calls_says_when_no_gateway_answers() {
    let place = Place::new("calls");
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound");
    let output = place.weebee(&["calls", "--at", &free.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("is it running?"), "{}", complaint(&output));
}

#[test]
fn a_call_to_nonsense_says_how_to_write_it() {
    let place = Place::new("call");
    let output = place.weebee(&["call", "tel:123"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(complaint(&output).contains("write sip:pin@127.0.0.1:5060"));
    assert_eq!(place.weebee(&["call", "sip:a@127.0.0.1", "--pin", "12x"]).status.code(), Some(64));
}

#[test]
fn a_link_opens_a_room_where_browsers_may_come() {
    let place = Place::new("link");
    let link = ["link", "--config", "weebee.toml", "--room", "Ruang Teh", "--quiet"];
    let refused = place.weebee(&link);
    assert!(!refused.status.success() && complaint(&refused).contains("enabled = true"));
    place.write(
        "weebee.toml",
        "[[trunk]]\nname = \"local\"\nsources = [\"127.0.0.1\"]\n\
         [rtp]\nports = \"20000-23999\"\n\
         [browser]\nenabled = true\nurl = \"https://rooms.example.org/\"\n",
    );
    let text = out(&place.weebee(&link));
    assert!(text.starts_with("https://rooms.example.org/room/ruang%20teh#g-"), "{text}");
    let host = out(&place.weebee(&[&link[..], &["--host", "--expires", "never"]].concat()));
    assert!(host.contains("#h-ffffffffffffffff-"), "{host}");
}

/// The first start of a folder: the daemon and the first PIN make key and registry at the same moment.
#[test]
fn the_first_pin_may_be_added_while_the_daemon_starts() {
    for round in 0..5 {
        let place = Place::new(&format!("at-once-{round}"));
        place.write(
            "weebee.toml",
            "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[http]\nlisten = \"\"\n[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n",
        );
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_weebee"))
            .args(["run", "--config", "weebee.toml"])
            .current_dir(&place.0)
            .stderr(std::fs::File::create(place.0.join("daemon.log")).expect("made"))
            .spawn()
            .expect("starts");
        let adds: Vec<Output> = std::thread::scope(|scope| {
            let add = || place.weebee(&["pin", "add", "-c", "weebee.toml", "--room", "tea", "-q"]);
            let all = [(); 2].map(|()| scope.spawn(add));
            all.into_iter().map(|it| it.join().expect("no panic")).collect()
        });
        let words = || std::fs::read_to_string(place.0.join("daemon.log")).unwrap_or_default();
        let listed = place.weebee(&["pin", "list", "-c", "weebee.toml"]);
        let ended = daemon.try_wait().expect("our child");
        let _ = daemon.kill();
        let _ = daemon.wait();
        for add in &adds {
            assert!(add.status.success(), "{}\ndaemon: {}", complaint(add), words());
        }
        let listed = out(&listed);
        assert_eq!(listed.lines().count(), 3, "one registry, and both in it: {listed}");
        assert!(ended.is_none(), "the daemon goes on: {ended:?}\n{}", words());
    }
}
