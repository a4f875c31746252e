//! The gateway under test, `weebee`, known here only by its command line, its files and its sound.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::process::{Process, last_lines, wait_until};
use crate::require::repository;
use crate::sound::Wav;
use crate::world::World;

/// Where the gateway listens in every test: UDP and TCP.
pub const SIP_PORT: u16 = 5060;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    folder: PathBuf,
    config: PathBuf,
    process: Process,
}

impl Gateway {
    /// Starts `weebee run` and waits until it listens. `settings` is TOML: more lines of `[sip]` first, then trunks and the rest.
    ///
    /// # Panics
    /// When it does not listen within 15 s; its last words are in the message.
    pub fn start(world: &World, settings: &str) -> Gateway {
        Gateway::start_towards(world, "", settings)
    }

    /// Like [`Self::start`], with more lines of `[rtp]`, such as the address of media towards a bridge.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_towards(world: &World, rtp: &str, settings: &str) -> Gateway {
        Gateway::start_with(world, rtp, "file = \"pins.sqlite\"", settings)
    }

    /// Like [`Self::start`], with other lines of `[pin]` than those of a registry in a file.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with_pins(world: &World, pin: &str, settings: &str) -> Gateway {
        Gateway::start_with(world, "", pin, settings)
    }

    /// Like [`Self::start`], with more lines of `[rtp]` and other ones of `[pin]`.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(world: &World, rtp: &str, pin: &str, settings: &str) -> Gateway {
        let folder = world.subfolder("weebee");
        let config = folder.join("weebee.toml");
        fs::write(&config, configuration(rtp, pin, settings)).expect("its configuration");
        let mut command = world.command(binary());
        command.args(["run", "--config"]).arg(&config).current_dir(&folder);
        let process = Process::start("weebee", world.folder(), command);
        let mut gateway = Gateway { folder, config, process };
        let listens = wait_until(Duration::from_secs(15), || {
            gateway.process.assert_alive();
            gateway.listens().then_some(())
        });
        assert!(listens.is_some(), "weebee does not listen:\n{}", last_lines(&gateway.log(), 40));
        gateway
    }

    /// Starts `weebee run` on files and variables of another program's, which are written or set before: no `weebee.toml`. Waits
    /// until it listens.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_from(
        world: &World,
        arguments: &[&str],
        files: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> Gateway {
        let folder = world.subfolder("weebee");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("a file of another program");
        }
        let mut command = world.command(binary());
        command.arg("run").args(arguments).current_dir(&folder);
        command.envs(variables.iter().copied());
        let process = Process::start("weebee", world.folder(), command);
        let mut gateway =
            Gateway { config: folder.join(arguments.get(1).unwrap_or(&"")), folder, process };
        let listens = wait_until(Duration::from_secs(15), || {
            gateway.process.assert_alive();
            gateway.log().contains("SIP listens").then_some(())
        });
        assert!(listens.is_some(), "weebee does not listen:\n{}", last_lines(&gateway.log(), 40));
        gateway
    }

    /// Where SIP goes.
    pub fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], SIP_PORT))
    }

    /// Draws a PIN for `room`.
    ///
    /// # Panics
    /// When `weebee pin add` fails.
    pub fn pin(&self, world: &World, room: &str) -> String {
        let mut command = world.command(binary());
        command.args(["pin", "add", "--room", room, "--config"]).arg(&self.config);
        let done = command.current_dir(&self.folder).output().expect("weebee runs");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let digits = said.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 9);
        digits.map(str::to_owned).unwrap_or_else(|| {
            panic!("weebee pin add: no PIN in {said:?}; {}", String::from_utf8_lossy(&done.stderr))
        })
    }

    /// A subcommand on its configuration; what it printed.
    ///
    /// # Panics
    /// When `weebee` does not run.
    pub fn run(&self, world: &World, arguments: &[&str]) -> String {
        let mut command = world.command(binary());
        command.args(arguments).arg("--config").arg(&self.config).current_dir(&self.folder);
        let done = command.output().expect("weebee runs");
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    }

    /// Everything the gateway and its commands keep.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The body of `/health`.
    pub fn health(&self, world: &World) -> Value {
        serde_json::from_str(&self.page(world, "/health")).unwrap_or_default()
    }

    /// A page of its HTTP listener, also of one that says it is ill; empty if it does not answer.
    ///
    /// # Panics
    /// When `python3` does not run.
    pub fn page(&self, world: &World, path: &str) -> String {
        let page = format!(
            "import urllib.request as r, urllib.error as e\n\
             try: print(r.urlopen('http://127.0.0.1:8788{path}').read().decode())\n\
             except e.HTTPError as ill: print(ill.read().decode())"
        );
        let done = world.command("python3").args(["-c", &page]).output().expect("python3 runs");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// A link by which browsers join `room`.
    ///
    /// # Panics
    /// When `weebee link` fails.
    pub fn link(&self, world: &World, room: &str) -> String {
        let mut command = world.command(binary());
        command.args(["link", "--quiet", "--room", room, "--config"]).arg(&self.config);
        let done = command.current_dir(&self.folder).output().expect("weebee runs");
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "weebee link: {words}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// The call records so far.
    pub fn call_records(&self) -> Vec<Value> {
        fs::read_to_string(self.folder.join("cdr.jsonl"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits until there are `count` call records; the records there are.
    pub fn wait_call_records(&self, count: usize, limit: Duration) -> Vec<Value> {
        wait_until(limit, || (self.call_records().len() >= count).then_some(()));
        self.call_records()
    }

    /// Memory of its own in MB (`Pss`).
    pub fn memory_mb(&self) -> f64 {
        let path = format!("/proc/{}/smaps_rollup", self.process.pid());
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
        let kilobytes = line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok());
        kilobytes.unwrap_or_default() / 1024.0
    }

    /// Its threads.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.process.pid())).map_or(0, Iterator::count)
    }

    /// Panics when it is gone.
    pub fn assert_alive(&mut self) {
        self.process.assert_alive();
    }

    fn listens(&self) -> bool {
        let wanted = format!("0100007F:{SIP_PORT:04X}");
        fs::read_to_string(format!("/proc/{}/net/udp", self.process.pid()))
            .is_ok_and(|table| table.contains(&wanted))
    }
}

/// A call by `weebee call`, the test phone made of the gateway's own core.
#[derive(Debug)]
pub struct TestPhone {
    process: Process,
    recording: PathBuf,
}

impl TestPhone {
    /// Calls the gateway, types `pin`, plays `said` from the answer on and hangs up after `seconds`.
    pub fn call(
        world: &World,
        id: &str,
        codec: &str,
        pin: &str,
        said: &Wav,
        seconds: u32,
    ) -> TestPhone {
        TestPhone::call_typing(world, id, codec, pin, said, seconds, &[])
    }

    /// Like [`Self::call`], typing keys later: each with its second after the answer, `12:*6`.
    pub fn call_typing(
        world: &World,
        id: &str,
        codec: &str,
        pin: &str,
        said: &Wav,
        seconds: u32,
        keys: &[&str],
    ) -> TestPhone {
        let folder = world.subfolder("phones");
        let play = folder.join(format!("{id}-say.wav"));
        let recording = folder.join(format!("{id}-heard.wav"));
        said.write(&play).expect("what the phone says");
        let mut command = world.command(binary());
        command.args(["call", "sip:pin@127.0.0.1:5060", "--pin", pin, "--codec", codec]);
        command.arg("--play").arg(&play).arg("--record").arg(&recording);
        command.args(["--duration", &seconds.to_string()]);
        command.args(keys.iter().flat_map(|keys| ["--keys", keys]));
        TestPhone {
            process: Process::start(&format!("phone-{id}"), world.folder(), command),
            recording,
        }
    }

    /// Waits for the end of the call. True when the phone itself found that sound flowed (exit code 0).
    pub fn finish(&mut self, limit: Duration) -> bool {
        self.process.wait(limit).is_some_and(|status| status.success())
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// What it heard, and when that began on the wall clock: it plays and records from the answer on, and the file is
    /// written last when the call ends.
    pub fn recording(&self) -> Option<(Wav, f64)> {
        let wav = Wav::read(&self.recording).ok()?;
        let written = fs::metadata(&self.recording).ok()?.modified().ok()?;
        let ended_at = written.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let starts_at = ended_at - wav.seconds();
        Some((wav, starts_at))
    }
}

/// The `weebee` of this build, built now if need be: a stale one would be judged in its place.
///
/// # Panics
/// When it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("WEEBEE_BIN") {
            return PathBuf::from(given);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // What `cargo test` tells this test about its package would make build scripts run anew, and all that needs them.
        for (name, _) in std::env::vars_os() {
            let of_package = name.to_str().is_some_and(|name| {
                ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"]
                    .iter()
                    .any(|it| name.starts_with(it))
            });
            if of_package {
                build.env_remove(name);
            }
        }
        let built = build
            // As `make test-peers` builds it: with another choice of packages all of it would be compiled once more.
            .args(["test", "--workspace", "--test", "cli", "--no-run", "--quiet"])
            .current_dir(repository())
            .status();
        assert!(built.is_ok_and(|status| status.success()), "weebee does not build");
        let test = std::env::current_exe().expect("the path of this test");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
        profile.join("weebee")
    })
}

fn configuration(rtp: &str, pin: &str, settings: &str) -> String {
    format!(
        "[rtp]\nports = \"40000-43999\"\n{rtp}\n\
         [pin]\nkey_file = \"pins.key\"\n{pin}\n\
         [http]\nlisten = \"127.0.0.1:8788\"\n\
         [cdr]\nfile = \"cdr.jsonl\"\nrooms = \"name\"\n\
         [sip]\nlisten = [\"udp:127.0.0.1:{SIP_PORT}\", \"tcp:127.0.0.1:{SIP_PORT}\"]\n\
         {settings}"
    )
}
