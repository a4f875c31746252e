//! Sentences spoken by espeak-ng at test time: speech, because silence and tones flatter a codec.

use std::path::Path;
use std::process::Command;

use super::wav::Wav;

/// The rate every test sound has; peers resample as they need.
pub const RATE: u32 = 16_000;

/// A sentence in a voice of its own, [`RATE`] samples a second, loud as a person who speaks up: peaks at -6 dBFS.
#[derive(Clone, Debug)]
pub struct Speech {
    /// Who says it, also the name of its file.
    pub name: String,
    /// The sound.
    pub wav: Wav,
}

/// Text and voice for each speaker: different words and pitches, so that one is never taken for another.
const SENTENCES: [(&str, &str, u32); 6] = [
    (
        "en+m3",
        "Good morning, the red boat leaves the harbour at a quarter past nine with seven people.",
        40,
    ),
    (
        "en+f2",
        "We should move the second meeting to Thursday because nobody has read the long report.",
        65,
    ),
    (
        "en+m7",
        "Please bring four yellow chairs and the old lamp down from the attic before dinner.",
        25,
    ),
    (
        "en+f4",
        "Her brother sold both of his horses and bought a small house near the railway bridge.",
        55,
    ),
    (
        "en+m1",
        "The weather over the mountains changes quickly, so take warm clothes and enough water.",
        50,
    ),
    (
        "en+f3",
        "I counted eleven white birds on the roof, and then a dog began to bark at all of them.",
        75,
    ),
];

impl Speech {
    /// The sentence of speaker `number`, at most `seconds` long, spoken into `folder/NAME.wav`.
    ///
    /// # Panics
    /// When espeak-ng or sox fails; [`crate::require::all_there`] has said before that they are there.
    pub fn spoken(folder: &Path, name: &str, number: usize, seconds: f64) -> Speech {
        let (voice, text, pitch) = SENTENCES[number % SENTENCES.len()];
        let raw = folder.join(format!("{name}-raw.wav"));
        let path = folder.join(format!("{name}.wav"));
        run(Command::new("espeak-ng")
            .args(["-v", voice, "-p", &pitch.to_string(), "-s", "165", "-w"])
            .arg(&raw)
            .arg(text));
        // The band of a telephone with a little room at both ends; `norm` last, so the peak is what it says.
        run(Command::new("sox")
            .arg(&raw)
            .args(["-r", &RATE.to_string(), "-c", "1", "-b", "16"])
            .arg(&path)
            .args([
                "highpass",
                "200",
                "lowpass",
                "5000",
                "trim",
                "0",
                &seconds.to_string(),
                "fade",
                "0.02",
                "0",
                "0.02",
                "norm",
                "-6",
            ]));
        let wav = Wav::read(&path).expect("sox wrote a WAV file");
        assert!(wav.seconds() > seconds * 0.8, "espeak-ng said too little: {} s", wav.seconds());
        Speech { name: name.to_owned(), wav }
    }
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
