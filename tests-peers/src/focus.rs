//! The stand-in for Jicofo, a bridge and one browser (`jitsi/standin_focus.py`), over a real Prosody, with aiortc as
//! its media. Runs in whatever network namespace this process is in.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::prosody::FOCUS;
use crate::require::{peers_dir, repository};
use crate::sound::Wav;

/// The running stand-in.
#[derive(Debug)]
pub struct Focus {
    asked: Asked,
}

impl Focus {
    /// Starts it; its browser speaks the file `play` again and again.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(folder: &Path, play: &Path) -> Self {
        let (name, secret, port) = FOCUS;
        let record = folder.join("heard");
        fs::create_dir_all(&record).expect("a folder");
        let mut command = Command::new(peers_dir().join("webrtc/bin/python"));
        command.arg(repository().join("tests-peers/jitsi/standin_focus.py"));
        command.args(["--name", name, "--secret", secret, "--port", &port.to_string()]);
        command.arg("--play").arg(play).arg("--record").arg(record);
        Self { asked: Asked::start("focus", folder, command) }
    }

    /// Asks for something that it knows.
    ///
    /// # Panics
    /// When it has ended.
    pub fn tell(&mut self, value: &Value) {
        self.asked.tell(value);
    }

    /// The next event of this name.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for(&mut self, event: &str, seconds: u64) -> Value {
        self.asked.wait_for(event, seconds)
    }

    /// An event of this name with this fact.
    ///
    /// # Panics
    /// When it does not come within 10 s.
    pub fn wait_for_fact(&mut self, event: &str, name: &str, value: &str) {
        self.asked.wait(event, 10, |said| said["event"] == event && said[name] == value);
    }

    /// The next event of this name, if it was told.
    pub fn said(&mut self, event: &str) -> Option<Value> {
        self.asked.said(|told| told["event"] == event)
    }

    /// What was told before does not count any more.
    pub fn forget(&mut self) {
        self.asked.forget();
    }

    /// What it has heard of a source so far.
    ///
    /// # Panics
    /// When it does not say.
    pub fn heard(&mut self, ssrc: &Value) -> Option<Wav> {
        self.tell(&json!({ "do": "save" }));
        let saved = self.wait_for("saved", 20);
        let file = saved["files"][ssrc.to_string()]["file"].as_str()?;
        Wav::read(Path::new(file)).ok()
    }
}
