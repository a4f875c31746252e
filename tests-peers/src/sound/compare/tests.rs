use super::*;

/// Something speech-like without a speaker: a buzz with a moving pitch, in syllables.
fn voice(seed: u32, seconds: f64) -> Wav {
    let rate = 16_000;
    let mut phase = 0.0_f64;
    let samples = (0..(seconds * f64::from(rate)) as usize)
        .map(|index| {
            let t = index as f64 / f64::from(rate);
            let pitch =
                110.0 + 40.0 * f64::from(seed % 5) + 30.0 * (t * (2.0 + f64::from(seed))).sin();
            phase += pitch / f64::from(rate);
            let buzz: f64 = (1..18)
                .map(|k| (phase * std::f64::consts::TAU * f64::from(k)).sin() / f64::from(k))
                .sum();
            let syllable = (t * 12.0 + f64::from(seed)).sin().max(0.05);
            (buzz * syllable * 5_000.0) as i16
        })
        .collect();
    Wav { rate, samples }
}

fn whole(wav: &Wav) -> Searched {
    Searched { from: 0.0, to: wav.seconds() }
}

fn scaled(wav: &Wav, gain: f64) -> Wav {
    Wav {
        rate: wav.rate,
        samples: wav.samples.iter().map(|&s| (f64::from(s) * gain) as i16).collect(),
    }
}

#[test]
fn the_same_speech_later_and_softer_is_recognised() {
    let spoken = voice(1, 2.0);
    let recording =
        Wav::silence(16_000, 0.7313).then(&scaled(&spoken, 0.5)).then(&Wav::silence(16_000, 1.0));
    let found = heard(&recording, whole(&recording), &spoken).expect("found");
    assert!(found.correlation > 0.99, "{found:?}");
    assert!((found.level_db + 6.02).abs() < 0.1, "{found:?}");
    assert!((found.starts_at - 0.7313).abs() < 0.0005, "{found:?}");
    assert!(found.drift_ms < 1.0, "{found:?}");
}

#[test]
fn other_speech_is_not_taken_for_it() {
    let recording = Wav::silence(16_000, 0.5).then(&voice(2, 2.0)).then(&Wav::silence(16_000, 0.5));
    let found = heard(&recording, whole(&recording), &voice(1, 2.0)).expect("long enough");
    assert!(found.correlation < 0.6, "{found:?}");
}

#[test]
fn a_lost_syllable_shows() {
    let spoken = voice(1, 2.0);
    let mut holed = spoken.clone();
    holed.samples[12_000..18_000].fill(0);
    let recording = Wav::silence(16_000, 0.5).then(&holed).then(&Wav::silence(16_000, 0.5));
    let found = heard(&recording, whole(&recording), &spoken).expect("found");
    assert!(found.correlation < 0.95, "{found:?}");
}

#[test]
fn a_shift_of_a_pitch_period_in_the_middle_is_drift_not_damage() {
    let spoken = voice(1, 2.4);
    let (head, tail) = spoken.samples.split_at(19_200);
    let mut samples = vec![0; 8_000];
    samples.extend_from_slice(head);
    samples.extend(vec![0; 96]);
    samples.extend_from_slice(tail);
    samples.extend(vec![0; 8_000]);
    let recording = Wav { rate: 16_000, samples };
    let found = heard(&recording, whole(&recording), &spoken).expect("found");
    assert!(found.correlation > 0.97, "{found:?}");
    assert!((found.drift_ms - 6.0).abs() < 0.5, "{found:?}");
}

#[test]
fn an_echo_is_found_below_other_sound_and_silence_has_none() {
    let own = voice(1, 2.0);
    let other = voice(3, 3.0);
    let mut mixed = other.clone();
    for (at, sample) in own.samples.iter().enumerate() {
        mixed.samples[at + 4_000] = mixed.samples[at + 4_000].saturating_add(sample / 4);
    }
    let with_echo = leakage_db(&mixed, whole(&mixed), &own);
    assert!((with_echo + 12.0).abs() < 3.0, "{with_echo}");
    let silence = Wav::silence(16_000, 3.0);
    assert!(leakage_db(&silence, whole(&silence), &own) < -60.0);
    assert!(level_dbfs(&silence, whole(&silence)) < -100.0);
}

#[test]
fn a_48_khz_recording_is_judged_like_any_other() {
    let spoken = voice(1, 2.0);
    let tripled: Vec<i16> = spoken.samples.iter().flat_map(|&s| [s, s, s]).collect();
    let recording = Wav { rate: 48_000, samples: tripled };
    let recording = Wav::silence(48_000, 0.3).then(&recording).then(&Wav::silence(48_000, 0.3));
    let found = heard(&recording, whole(&recording), &spoken).expect("found");
    assert!(found.correlation > 0.97, "{found:?}");
}
