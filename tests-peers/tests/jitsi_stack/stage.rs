//! What the tests share: a Jitsi with a gateway before it, phones with a plan, and ears for words and tones.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::time::Duration;

use gateway_core::media::clip::prompt::PromptId;
use gateway_core::media::clip::{ClipLibrary, Language};
use gateway_core::media::frame::SampleRate;
use gateway_tests_peers::gateway::{Gateway, TestPhone};
use gateway_tests_peers::jitsi::{ADDRESS, Jitsi, Recorded, installed};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::sound::{Heard, Searched, Speech, Wav, heard};
use gateway_tests_peers::world::{World, wall_clock};

/// Seconds of each sentence.
pub const SENTENCE: f64 = 3.4;
/// Speech that was encoded two or three times and went through two jitter buffers. Other speech has 0.3.
pub const CORRELATION_MIN: f64 = 0.8;
/// Words laid over lowered speech still must be those words.
pub const WORDS_MIN: f64 = 0.85;
const RATE: u32 = 16_000;

/// A Jitsi and a gateway in one world.
pub struct Stage<'a> {
    pub world: &'a World,
    pub jitsi: Jitsi<'a>,
    pub gateway: Gateway,
    clips: ClipLibrary,
}

impl<'a> Stage<'a> {
    /// Brings both up. `trunks` is TOML of the trunks.
    pub fn new(world: &'a World, trunks: &str) -> Stage<'a> {
        Self::with(world, "", |_| trunks.to_owned())
    }

    /// With further lines of `[sip]`, and TOML that depends on the Jitsi.
    pub fn with(world: &'a World, sip: &str, more: impl FnOnce(&Jitsi<'a>) -> String) -> Stage<'a> {
        Self::written(world, |jitsi| {
            format!("{sip}\n{}\n{}", jitsi.gateway_settings(), more(jitsi))
        })
    }

    /// With a configuration of its own, of which only what every test shares is written before.
    pub fn written(world: &'a World, settings: impl FnOnce(&Jitsi<'a>) -> String) -> Stage<'a> {
        let found = installed().expect("asked before");
        let jitsi = Jitsi::start(world, &found);
        let settings = settings(&jitsi);
        let towards = format!("conference = \"{ADDRESS}\"");
        let gateway = Gateway::start_towards(world, &towards, &settings);
        let clips = ClipLibrary::embedded().expect("built-in prompts");
        Stage { world, jitsi, gateway, clips }
    }

    /// A sentence.
    pub fn speech(&self, number: usize) -> Speech {
        Speech::spoken(self.world.folder(), &format!("speaker{number}"), number, SENTENCE)
    }

    /// Words of the gateway as they were recorded.
    pub fn words(&self, id: PromptId) -> Wav {
        let clip = self.clips.prompt(id, Language::En);
        Wav { rate: RATE, samples: clip.samples(SampleRate::Hz16000) }
    }

    /// Where in a recording these words are, if they are.
    pub fn words_at(&self, recording: &Wav, id: PromptId) -> Option<f64> {
        let searched = Searched { from: 0.0, to: recording.seconds() };
        let found = heard(recording, searched, &self.words(id))?;
        println!("    {id:20} correlation {:.3} at {:.1} s", found.correlation, found.starts_at);
        (found.correlation >= WORDS_MIN).then_some(found.starts_at)
    }

    /// Calls into `room`; keys are typed at their seconds after the answer.
    pub fn call(&self, room: &str, id: &str, plan: &Plan) -> Phone {
        let pin = self.gateway.pin(self.world, room);
        let (codec, seconds) = (plan.codec, plan.seconds);
        let keys: Vec<&str> = plan.keys.iter().map(String::as_str).collect();
        let started = wall_clock();
        let said = &plan.said;
        let phone = TestPhone::call_typing(self.world, id, codec, &pin, said, seconds, &keys);
        let answered = wait_until(Duration::from_secs(30), || {
            phone.output().contains("answered").then(wall_clock)
        });
        let Some(answered) = answered else { panic!("{id} is not answered: {}", phone.output()) };
        Phone { phone, id: id.to_owned(), answered, took: answered - started }
    }
}

/// What a phone does.
pub struct Plan {
    pub codec: &'static str,
    pub seconds: u32,
    pub said: Wav,
    pub keys: Vec<String>,
}

impl Plan {
    /// A silent phone.
    pub fn new(codec: &'static str, seconds: u32) -> Plan {
        // Silence outlasts the call, or the phone would begin anew.
        let said = Wav::silence(RATE, f64::from(seconds) + 10.0);
        Plan { codec, seconds, said, keys: Vec::new() }
    }

    /// Says `what` at `second` after the answer.
    pub fn say(mut self, second: f64, what: &Wav) -> Plan {
        let first = (second * f64::from(RATE)) as usize;
        for (place, sample) in self.said.samples[first..].iter_mut().zip(&what.samples) {
            *place = *sample;
        }
        self
    }

    /// Types `keys` at `second` after the answer.
    pub fn press(mut self, second: f64, keys: &str) -> Plan {
        self.keys.push(format!("{second}:{keys}"));
        self
    }
}

/// A phone in a call.
pub struct Phone {
    phone: TestPhone,
    id: String,
    /// When it was answered, on the wall clock: its plan and its recording begin then.
    pub answered: f64,
    /// Seconds from the phone's start to the answer.
    pub took: f64,
}

impl Phone {
    /// Waits for the end of the call and gives what was heard.
    pub fn heard(&mut self, limit: Duration) -> Wav {
        let flowed = self.phone.finish(limit);
        let recording = self.phone.recording();
        let Some((wav, _)) = recording else {
            panic!("{} recorded nothing: {}", self.id, self.phone.output());
        };
        assert!(flowed, "{}: no sound flowed: {}", self.id, self.phone.output());
        wav
    }
}

/// Judges one sentence.
pub fn judge(whose: &str, ear: &str, recording: &Wav, searched: Searched, said: &Wav) -> Heard {
    let found = heard(recording, searched, said);
    let Some(found) = found else { panic!("{ear}: the recording ends before {whose} speaks") };
    println!(
        "    {whose:8} heard by {ear:8} correlation {:.3}  level {:+.2} dB  at {:.1} s",
        found.correlation, found.level_db, found.starts_at
    );
    assert!(found.correlation >= CORRELATION_MIN, "{ear} does not hear {whose}: {found:?}");
    assert!(found.level_db.abs() <= 1.5, "{ear} hears {whose} at another level: {found:?}");
    found
}

/// The whole of a recording.
pub fn all_of(recording: &Wav) -> Searched {
    Searched { from: 0.0, to: recording.seconds() }
}

/// A tone, for the measuring of gaps.
pub fn tone(hz: f64, seconds: f64) -> Wav {
    let count = (seconds * f64::from(RATE)) as usize;
    let sample = |n: usize| (6_000.0 * (TAU * hz * n as f64 / f64::from(RATE)).sin()) as i16;
    Wav { rate: RATE, samples: (0..count).map(sample).collect() }
}

/// Length of a piece in which a tone is looked for, in seconds.
const PIECE: f64 = 0.1;

/// For each 100 ms: is the tone there? At least a third of the piece's energy, and louder than -50 dBFS.
pub fn tone_there(recording: &Wav, hz: f64) -> Vec<bool> {
    let rate = f64::from(recording.rate);
    let pieces = recording.samples.chunks_exact((PIECE * rate) as usize);
    pieces
        .map(|piece| {
            let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 0.0);
            for (n, sample) in piece.iter().enumerate() {
                let (value, angle) = (f64::from(*sample), TAU * hz * n as f64 / rate);
                sine += value * angle.sin();
                cosine += value * angle.cos();
                energy += value * value;
            }
            let count = piece.len() as f64;
            let of_tone = 2.0 * (sine * sine + cosine * cosine) / count;
            of_tone > energy / 3.0 && of_tone / count > 32_768.0_f64.powi(2) * 1e-5
        })
        .collect()
}

/// The longest time without the tone between its first and its last moment, in seconds, and when it began.
pub fn longest_gap(there: &[bool]) -> (f64, f64) {
    let first = there.iter().position(|there| *there).unwrap_or(0);
    let last = there.iter().rposition(|there| *there).unwrap_or(0);
    let (mut longest, mut at, mut run) = (0, 0, 0);
    for (place, there) in there.iter().enumerate().take(last).skip(first) {
        run = if *there { 0 } else { run + 1 };
        if run > longest {
            (longest, at) = (run, place + 1 - run);
        }
    }
    (longest as f64 * PIECE, at as f64 * PIECE)
}

/// Every session brings a source of its own: where `hz` was heard in all of them, on one line of time.
pub fn heard_by_web(recorded: &BTreeMap<u64, Recorded>, hz: f64) -> Vec<bool> {
    let mut line: Vec<bool> = Vec::new();
    for source in recorded.values() {
        let begin = (source.began * 10.0) as usize;
        for (place, there) in tone_there(&source.wav, hz).into_iter().enumerate() {
            if line.len() <= begin + place {
                line.resize(begin + place + 1, false);
            }
            line[begin + place] |= there;
        }
    }
    line
}
