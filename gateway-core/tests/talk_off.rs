//! Speech must never be taken for keys: in-band detection against spoken sentences of four languages.
//!
//! The sentences are spoken by `espeak-ng` when the test runs; where it is not installed the test says so and
//! leaves the judgement to the synthetic babble of the unit tests.

use std::process::Command;

use gateway_core::media::dtmf::inband::InbandDetector;
use gateway_core::media::frame::SampleRate;
use gateway_core::media::resample::Resampler;

const VOICES: [&str; 8] = ["en", "en+f3", "id", "id+f2", "pt-br", "pt-br+f4", "ru", "ru+f3"];

const TEXT: &str = "Eeee, ooo, uuu, mama mia, banana, lalala, hello and welcome to the meeting. Please enter your \
    number now. One two three four five six seven eight nine zero. Selamat datang, silakan masukkan nomor rapat. \
    Bem-vindo, por favor digite o código da reunião. Whee, zing, ring a ding ding, beep beep, woo, you, me, key.";

#[test]
fn spoken_sentences_hold_no_keys() {
    let mut seconds = 0;
    for voice in VOICES {
        for (speed, pitch) in [("120", "30"), ("175", "50"), ("240", "85")] {
            let Some(pcm) = speak(voice, speed, pitch) else {
                println!("espeak-ng is not installed: talk-off with spoken sentences not judged");
                return;
            };
            let mut detector = InbandDetector::new(SampleRate::Hz8000);
            let heard: String = pcm
                .chunks(160)
                .filter_map(|frame| detector.feed(frame).pressed)
                .map(|key| key.to_char())
                .collect();
            assert_eq!(heard, "", "{voice} at {speed} words a minute, pitch {pitch}");
            seconds += pcm.len() / 8_000;
        }
    }
    println!("{seconds} s of speech, no key");
    assert!(seconds > 120, "{seconds} s are no corpus");
}

/// Speech at 8 kHz; `None` without espeak-ng. It speaks at 22,050 Hz; taken as 24 kHz (a higher voice, as good for
/// this purpose), every third sample after a low-pass gives 8 kHz.
fn speak(voice: &str, speed: &str, pitch: &str) -> Option<Vec<i16>> {
    let output = Command::new("espeak-ng")
        .args(["-v", voice, "-s", speed, "-p", pitch, "--stdout", TEXT])
        .output()
        .ok()?;
    let samples: Vec<i16> = output
        .stdout
        .get(44..)?
        .chunks_exact(2)
        .map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
        .collect();
    // The filter from 48 to 16 kHz divides by three.
    let mut resampler = Resampler::new(SampleRate::Hz48000, SampleRate::Hz16000);
    let mut out = Vec::with_capacity(samples.len() / 3);
    for chunk in samples.chunks_exact(960) {
        let mut low = [0; 960];
        let written = resampler.process(chunk, &mut low);
        out.extend(&low[..written]);
    }
    Some(out)
}
