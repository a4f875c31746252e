//! What a meeting hears of a telephone whose network loses packets: through a shard with a stand-in bridge, decoded as a listener
//! decodes. Writes WAV files of 8 kHz, which `benches/score.py` scores (ITU-T P.862):
//!
//!     WEEBEE_SPEECH=speech.wav cargo bench -p gateway-benches --bench loss -- FOLDER && python3 benches/score.py FOLDER
//!
//! Jigasi was measured in the same way: 4.26 to 4.30 without loss, 2.30 (at least 2.16) at 5 %.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gateway_core::base::rng::Rng;
use gateway_core::media::clip::convert::convert_rate;
use gateway_core::media::clip::wav::{read_wav, write_wav};
use gateway_core::media::codec::{CodecKind, new_decoder};
use gateway_core::media::frame::SampleRate;
use gateway_core::media::tone;
use gateway_core::rtp::wire::header;
use gateway_core::shard::testkit::{BridgedCall, Passed};

const SEEDS: u64 = 6;
const FRAME: usize = 160;

fn main() {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let Some(folder) = folder.map(PathBuf::from) else {
        return println!("give a folder for the WAV files");
    };
    std::fs::create_dir_all(&folder).expect("a folder");
    let speech = speech();
    write(&folder, "reference", &speech);
    for percent in [0, 1, 5, 10] {
        for seed in 0..SEEDS {
            let heard = listen(&speech, percent, seed);
            write(&folder, &format!("loss-{percent:02}-{seed}"), &heard);
        }
    }
}

/// The speech of `WEEBEE_SPEECH`, else something that is only like it.
fn speech() -> Vec<i16> {
    let Some(file) = std::env::var_os("WEEBEE_SPEECH") else {
        return tone::speech(SampleRate::Hz8000, 3, FRAME * 1_500);
    };
    let bytes = std::fs::read(file).expect("a WAV file");
    let recording = read_wav(&bytes).expect("a WAV file");
    convert_rate(&recording.samples, recording.rate_hz, 8_000)
}

fn write(folder: &Path, name: &str, pcm: &[i16]) {
    std::fs::write(folder.join(format!("{name}.wav")), write_wav(8_000, pcm)).expect("written");
}

fn listen(speech: &[i16], percent: u32, seed: u64) -> Vec<i16> {
    let mut rng = Rng::from_number(seed);
    let mut call = BridgedCall::new(CodecKind::Pcmu, 0, 0, |work| {
        work();
        0
    });
    call.say(CodecKind::Pcmu, speech, |_| rng.below(100) < percent);
    assert!(call.connect(), "no keys");
    call.record();
    let frames = speech.len() / FRAME;
    (0..frames + 10).for_each(|frame| assert!(call.talk(frame), "the bridge cannot send"));
    decode(&call.recorded()[0], frames)
}

/// As a listener: what is missing between two packets of a talkspurt is concealed, pauses are silent.
fn decode(packets: &[Passed], frames: usize) -> Vec<i16> {
    let mut by_place = BTreeMap::new();
    let mut first = None;
    for passed in packets {
        let Ok((header, payload)) = header::parse(&passed.packet) else { continue };
        let from = *first.get_or_insert(header.timestamp);
        let place = header.timestamp.wrapping_sub(from) / 960;
        by_place.insert(place as usize, (header.sequence, payload));
    }
    let mut decoder = new_decoder(CodecKind::Opus, SampleRate::Hz8000);
    let mut pcm = vec![0; frames * FRAME];
    let mut out = [0; 960];
    let mut last: Option<(usize, u16)> = None;
    for (place, (sequence, payload)) in by_place {
        if let Some((before, old)) = last {
            let lost = usize::from(sequence.wrapping_sub(old)).saturating_sub(1);
            for missing in place.saturating_sub(lost).max(before + 1)..place {
                let next = missing + 1 == place;
                let has = (next && decoder.recover(payload, &mut out[..FRAME]))
                    || decoder.conceal(&mut out[..FRAME]);
                if has {
                    put(&mut pcm, missing, &out[..FRAME]);
                }
            }
        }
        let length = decoder.decode(payload, &mut out).unwrap_or(0);
        put(&mut pcm, place, &out[..length]);
        last = Some((place, sequence));
    }
    pcm
}

fn put(pcm: &mut [i16], place: usize, frame: &[i16]) {
    let start = (place * FRAME).min(pcm.len());
    for (to, from) in pcm[start..].iter_mut().zip(frame) {
        *to = *from;
    }
}
