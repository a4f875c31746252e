//! A web participant: `jitsi/participant.py`, whose media is aiortc's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::scripted::Scripted;
use crate::require::{peers_dir, repository};
use crate::sound::Wav;
use crate::world::World;

/// What a participant shall do besides being there.
#[derive(Clone, Debug, Default)]
pub struct Wishes<'a> {
    /// Said over and over.
    pub says: Option<&'a Wav>,
    /// Seconds after which it leaves by itself; 0 is five minutes.
    pub seconds: u32,
}

/// A running participant. It joins by WebSocket, as browsers do: only so may a moderator speak to all components.
#[derive(Debug)]
pub struct Participant {
    program: Scripted,
}

/// What it heard of one source.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The sound, silence where nothing came.
    pub wav: Wav,
    /// Who: the endpoint's name, if the focus told.
    pub owner: Option<String>,
    /// Packets.
    pub packets: u64,
    /// When its first packet came, in seconds after the participant's start.
    pub began: f64,
}

impl Participant {
    /// Starts one that joins `room` as `nick`.
    pub fn join(world: &World, room: &str, nick: &str, wishes: &Wishes) -> Participant {
        let folder = world.subfolder(&format!("web-{nick}"));
        let mut command = world.command(peers_dir().join("webrtc/bin/python"));
        command.arg(repository().join("tests-peers/jitsi/participant.py"));
        command.args(["--room", room, "--nick", nick]).arg("--record").arg(&folder);
        let seconds = if wishes.seconds == 0 { 300 } else { wishes.seconds };
        command.args(["--seconds", &seconds.to_string()]);
        command.args(["--websocket", &format!("ws://127.0.0.1:5280/xmpp-websocket?room={room}")]);
        if let Some(wav) = wishes.says {
            let file = folder.join("say.wav");
            wav.write(&file).expect("what it says");
            command.arg("--play").arg(file);
        }
        Participant { program: Scripted::start(world, &format!("web-{nick}"), command) }
    }

    /// Asks for something: a line of `jitsi/participant.py`, say `{"do": "mute", "nick": "..."}`.
    pub fn wish(&mut self, wish: &Value) {
        self.program.wish(wish);
    }

    /// Everything it told.
    pub fn events(&self) -> Vec<Value> {
        self.program.events()
    }

    /// What it tells is `event` and fits, from place `from` in [`Self::events`] on; waits for it.
    ///
    /// # Panics
    /// When it does not come within `limit`.
    pub fn told(
        &self,
        from: usize,
        limit: Duration,
        event: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        self.program.told(from, limit, event, fits)
    }

    /// The nicks of telephones in the room, in the order they came.
    pub fn phones(&self) -> Vec<String> {
        let mut nicks: Vec<String> = Vec::new();
        for told in self.events() {
            let is_phone = told["features"]
                .as_array()
                .is_some_and(|features| features.iter().any(|feature| feature == JIGASI));
            let Some(nick) = told["nick"].as_str() else { continue };
            if is_phone && !nicks.iter().any(|known| known == nick) {
                nicks.push(nick.to_owned());
            }
        }
        nicks
    }

    /// The last presence of an occupant.
    pub fn occupant(&self, nick: &str) -> Option<Value> {
        let events = self.events();
        events.into_iter().rev().find(|told| told["event"] == "occupant" && told["nick"] == nick)
    }

    /// Leaves, and gives what was heard, by SSRC.
    ///
    /// # Panics
    /// When it does not end within 20 s.
    pub fn leave(&mut self) -> BTreeMap<u64, Recorded> {
        // One whose meeting is over has left already.
        self.program.wish_if_there(&serde_json::json!({"do": "leave"}));
        self.program.ended();
        self.saved(0)
    }

    /// Writes what was heard so far, and gives it, by SSRC.
    ///
    /// # Panics
    /// When it does not within 20 s.
    pub fn save(&mut self) -> BTreeMap<u64, Recorded> {
        let events = self.events().len();
        self.wish(&serde_json::json!({"do": "save"}));
        self.told(events, Duration::from_secs(20), "saved", |_| true);
        self.saved(events)
    }

    /// The last recordings it told of, from place `from` of its events on.
    fn saved(&self, from: usize) -> BTreeMap<u64, Recorded> {
        let events = self.events();
        let saved = events.iter().skip(from).rev().find(|told| told["event"] == "saved");
        let Some(saved) = saved else { panic!("nothing saved:\n{}", self.program.last_words()) };
        let files = saved["files"].as_object().expect("files by SSRC");
        let recorded = files.iter().filter_map(|(ssrc, facts)| {
            let path = PathBuf::from(facts["file"].as_str()?);
            let recorded = Recorded {
                wav: Wav::read(&path).ok()?,
                owner: saved["sources"][ssrc]["owner"].as_str().map(str::to_owned),
                packets: facts["packets"].as_u64()?,
                began: facts["began_s"].as_f64()?,
            };
            Some((ssrc.parse().ok()?, recorded))
        });
        recorded.collect()
    }
}

/// The feature by which the web shows a telephone's icon.
const JIGASI: &str = "http://jitsi.org/protocol/jigasi";
