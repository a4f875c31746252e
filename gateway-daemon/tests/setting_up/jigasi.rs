//! Taking over from a Jigasi, as `docs/jigasi.md` says: each of its commands is typed where such an installation is.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::guide::{commands, page_of, split};
use crate::place::Place;

/// A Debian host and a site of Docker, with ports that are free here and an exchange that is this machine.
fn installation(name: &str) -> Place {
    let place = Place::new(name);
    let (sip, http) = (free_port(), free_port());
    let extra = format!(
        "net.java.sip.communicator.SIP_PREFERRED_CLEAR_PORT={sip}\norg.jitsi.jigasi.rest.jetty.port={http}\n"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/jigasi-config");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("ours");
    let nearby = |text: String| text.replace("192.0.2.50", "127.0.0.1");
    place.write(
        "sip-communicator.properties",
        &nearby(format!("{}{extra}", read("debian.properties"))),
    );
    place.write("config", "JIGASI_OPTS=\"--min-port=40000 --max-port=40999\"\n");
    let lines = extra.trim().replace('\n', ",");
    let docker = format!("{}JIGASI_CONFIGURATION={lines}\n", nearby(read("docker.env")));
    place.write(".env", &docker.replace("/srv/jitsi-cfg", "."));
    place
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}

#[test]
fn commands_of_the_guide_to_jigasi_work_as_written() {
    let place = installation("jigasi-guide");
    let mut wrong = Vec::new();
    let mut typed = Vec::new();
    for command in commands("docs/jigasi.md") {
        let command = command.replace("/etc/jitsi/jigasi/", "");
        let words = split(&command);
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        // Others are mentioned in passing, or go out to a deployment.
        let is_whole = arguments.iter().any(|word| word.starts_with("--"));
        if !is_whole || arguments.contains(&"--live") || typed.contains(&command) {
            continue;
        }
        let said = match arguments.first() {
            Some(&"run") => started(&place, &arguments),
            _ => place.weebee(&arguments),
        };
        if !said.starts_with("0:") {
            wrong.push(format!("weebee {command}\n{said}"));
        }
        typed.push(command);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(typed.len() >= 8, "the reader found only {typed:?}: it is broken");
    assert!(page_of("docs/jigasi.md").contains("systemctl start jigasi"), "the way back");
}

/// Runs a gateway until it listens, then asks it to stop. `0:` if both worked.
fn started(place: &Place, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weebee"));
    command.args(arguments).current_dir(place.path()).stderr(Stdio::piped()).stdout(Stdio::null());
    if arguments.contains(&"--jigasi-env") {
        let text = std::fs::read_to_string(place.path().join(".env")).expect("ours");
        let variables = text.lines().filter_map(|line| line.split_once('='));
        let plain =
            |value: &str| value.split(" #").next().unwrap_or_default().trim().replace('\'', "");
        command.envs(variables.map(|(name, value)| (name.to_owned(), plain(value))));
    }
    let mut child = command.spawn().expect("starts");
    let stderr = child.stderr.take().expect("piped");
    let mut said = String::new();
    let mut listens = false;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        if line.contains("SIP listens") && !listens {
            listens = true;
            interrupt(&child);
        }
    }
    let ended = ended_within(&mut child, Duration::from_secs(60));
    let secret = said.contains("sip-secret") || said.contains("xmpp-secret");
    let code = if listens && ended == Some(0) && !secret { 0 } else { 1 };
    format!("{code}: listens {listens}, exit {ended:?}, shows secrets {secret}\n{said}")
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill is there");
}

fn ended_within(child: &mut Child, patience: Duration) -> Option<i32> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    None
}

#[test]
fn a_migration_keeps_secrets_apart_and_overwrites_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let place = installation("jigasi-migrate");
    let migrate = ["migrate", "--from", "sip-communicator.properties", "--to", "weebee.toml"];
    let said = place.weebee(&migrate);
    assert!(said.starts_with("0:") && said.contains("wrote weebee.toml"), "{said}");
    let text = std::fs::read_to_string(place.path().join("weebee.toml")).expect("written");
    for place_of_text in [&text, &said] {
        assert!(!place_of_text.contains("sip-secret") && !place_of_text.contains("xmpp-secret"));
    }
    assert!(text.contains("ports = \"40000-40999\"    # config:1"), "{text}");
    let secrets = place.path().join("weebee.secrets");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&secrets), 0o700);
    let files: Vec<_> = std::fs::read_dir(&secrets).expect("there").flatten().collect();
    assert!(!files.is_empty() && files.iter().all(|file| mode(&file.path()) == 0o600), "{files:?}");
    let again = place.weebee(&migrate);
    assert!(again.starts_with("1:") && again.contains("exists; --force writes over it"), "{again}");
    let forced = place.weebee(migrate.iter().chain(&["--force"]));
    assert!(forced.starts_with("0:"), "{forced}");
    place.write("bad.properties", "net.java.sip.communicator.impl.protocol.sip.a=a\na=\\u12\n");
    let refused = place.weebee(&["migrate", "--from", "bad.properties", "--to", "b.toml"]);
    assert!(refused.starts_with("64:") && refused.contains("bad.properties:2: "), "{refused}");
    assert!(!place.path().join("b.toml").exists());
}
