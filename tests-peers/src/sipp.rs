//! SIPp with a scenario of `testdata/sipp/`: one run, its verdict, and what went over the wire.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use crate::process::{Process, last_lines};
use crate::require::repository;
use crate::world::World;

/// Where Debian keeps the sounds of the keys for `play_dtmf`.
const KEY_SOUNDS: &str = "/usr/share/sip-tester";

/// One run of one scenario.
#[derive(Clone, Debug)]
pub struct Run {
    /// File name without ending.
    pub scenario: &'static str,
    /// The loopback address it calls from.
    pub from: &'static str,
    /// The port it calls from, 5100 to 6000. RTP goes from `port * 10 - 40000` on: SIPp binds a handful from there.
    pub port: u16,
    /// More of SIPp's options, for example `-key pin 123456789`.
    pub options: Vec<String>,
    /// Lines for `-inf`, if the scenario reads fields.
    pub fields: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario.
    pub scenario: &'static str,
    /// SIPp's own verdict: every call went as the scenario says.
    pub passed: bool,
    /// Why not, in SIPp's words.
    pub complaint: String,
    /// All messages as SIPp traced them.
    pub messages: String,
}

impl Run {
    /// A run from 127.0.0.1 with nothing special.
    pub fn of(scenario: &'static str, port: u16) -> Run {
        Run { scenario, from: "127.0.0.1", port, options: Vec::new(), fields: None }
    }

    /// With more options.
    #[must_use]
    pub fn with(mut self, options: &[&str]) -> Run {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// With lines for the scenario's fields.
    #[must_use]
    pub fn fields(mut self, lines: &str) -> Run {
        self.fields = Some(format!("SEQUENTIAL\n{lines}\n"));
        self
    }

    /// From another loopback address.
    #[must_use]
    pub fn from(mut self, address: &'static str) -> Run {
        self.from = address;
        self
    }

    /// Runs it to its end, at most for `limit`.
    pub fn finish(&self, world: &World, gateway: SocketAddr, limit: Duration) -> Outcome {
        let folder = self.folder(world);
        let mut command = world.command("sipp");
        command.current_dir(&folder);
        command.arg("-sf").arg(repository().join(format!("testdata/sipp/{}.xml", self.scenario)));
        command.arg(gateway.to_string());
        let port = self.port.to_string();
        let media_port = (u32::from(self.port) * 10 - 40_000).to_string();
        command.args([
            "-s",
            "pin",
            "-i",
            self.from,
            "-mi",
            self.from,
            "-p",
            &port,
            "-mp",
            &media_port,
        ]);
        command.args([
            "-nostdin",
            "-trace_err",
            "-error_file",
            "errors",
            "-trace_msg",
            "-message_file",
            "messages",
        ]);
        command.args(["-timeout", &limit.as_secs().to_string(), "-timeout_error"]);
        if let Some(lines) = &self.fields {
            fs::write(folder.join("fields.csv"), lines).expect("the fields of the scenario");
            command.args(["-inf", "fields.csv"]);
        }
        if !self.options.iter().any(|option| option == "-m") {
            command.args(["-m", "1"]);
        }
        command.args(&self.options);
        let name = format!("sipp-{}-{}", self.scenario, self.port);
        let mut process = Process::start(&name, world.folder(), command);
        let status = process.wait(limit + Duration::from_secs(5));
        let read = |file: &str| {
            String::from_utf8_lossy(&fs::read(folder.join(file)).unwrap_or_default()).into_owned()
        };
        let errors = read("errors");
        Outcome {
            scenario: self.scenario,
            passed: status.is_some_and(|status| status.success()),
            complaint: last_lines(if errors.is_empty() { "" } else { &errors }, 16),
            messages: read("messages"),
        }
    }

    fn folder(&self, world: &World) -> PathBuf {
        let folder = world.subfolder(&format!("sipp/{}-{}", self.scenario, self.port));
        let _ = symlink(KEY_SOUNDS, folder.join("pcap"));
        folder
    }
}

impl Outcome {
    /// How many messages begin with this line start, for example `SIP/2.0 200`.
    pub fn count(&self, start: &str) -> usize {
        self.messages.lines().filter(|line| line.starts_with(start)).count()
    }
}
