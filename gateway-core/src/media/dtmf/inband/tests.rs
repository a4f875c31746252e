use super::*;
use crate::base::rng::Rng;
use crate::media::tone;

const RATE: SampleRate = SampleRate::Hz8000;
const ALL: &str = "0123456789*#ABCD";

fn heard(detector: &mut InbandDetector, pcm: &[i16]) -> String {
    let frame = 160;
    pcm.chunks(frame).filter_map(|c| detector.feed(c).pressed).map(Key::to_char).collect()
}

/// Keys of `on_ms` with pauses of `off_ms`; row and column at their own amplitudes, `shift` times their frequency.
fn keys(text: &str, on_ms: usize, off_ms: usize, row: i16, column: i16, shift: f64) -> Vec<i16> {
    let mut out = vec![0; 137];
    for key in text.chars().filter_map(Key::from_char) {
        let (row_hz, column_hz) = tone::key_frequencies(key);
        let samples = RATE.samples(on_ms);
        let a = tone::sine(RATE, row_hz * shift, row, samples);
        let b = tone::sine(RATE, column_hz * shift, column, samples);
        out.extend(a.iter().zip(&b).map(|(a, b)| a.saturating_add(*b)));
        out.resize(out.len() + RATE.samples(off_ms), 0);
    }
    out
}

fn with_noise(mut pcm: Vec<i16>, amplitude: i16) -> Vec<i16> {
    let noise = tone::noise(9, amplitude, pcm.len());
    pcm.iter_mut().zip(noise).for_each(|(s, n)| *s = s.saturating_add(n));
    pcm
}

#[test]
fn keys_of_40_ms_are_heard_at_any_level_and_alignment() {
    for amplitude in [700, 1_500, 6_000, 14_000] {
        for lead in 0..51 {
            let mut pcm = vec![0; lead * 2];
            pcm.extend(keys(ALL, 40, 40, amplitude, amplitude, 1.0));
            let text = heard(&mut InbandDetector::new(RATE), &pcm);
            assert_eq!(text, ALL, "peak {amplitude}, lead {lead}");
        }
    }
}

#[test]
fn bursts_of_20_ms_are_no_keys() {
    for lead in 0..51 {
        let mut pcm = vec![0; lead * 2];
        pcm.extend(keys(ALL, 20, 50, 6_000, 6_000, 1.0));
        assert_eq!(heard(&mut InbandDetector::new(RATE), &pcm), "", "lead {lead}");
    }
}

#[test]
fn twist_tolerance_and_noise_are_allowed_for() {
    let mut detector = InbandDetector::new(RATE);
    assert_eq!(heard(&mut detector, &keys(ALL, 50, 50, 6_000, 2_700, 1.0)), ALL, "-7 dB");
    assert_eq!(heard(&mut detector, &keys(ALL, 50, 50, 4_000, 6_000, 1.0)), ALL, "+3.5 dB");
    assert_eq!(heard(&mut detector, &keys(ALL, 50, 50, 6_000, 6_000, 1.015)), ALL, "+1.5 %");
    assert_eq!(heard(&mut detector, &keys(ALL, 50, 50, 6_000, 6_000, 0.985)), ALL, "-1.5 %");
    // 15 dB below the pair's effective value of 6000.
    let noisy = with_noise(keys(ALL, 50, 50, 6_000, 6_000, 1.0), 1_850);
    assert_eq!(heard(&mut detector, &noisy), ALL, "15 dB of noise");
    assert_eq!(heard(&mut detector, &keys("55 5", 60, 60, 6_000, 6_000, 1.0)), "555");
}

#[test]
fn a_single_tone_is_no_key() {
    for hz in [697.0, 941.0, 1_209.0, 1_477.0, 440.0, 1_000.0, 2_100.0] {
        let pcm = tone::sine(RATE, hz, 9_000, 8_000);
        assert_eq!(heard(&mut InbandDetector::new(RATE), &pcm), "", "{hz} Hz");
    }
}

#[test]
fn keys_are_heard_at_the_wide_rates_too() {
    for rate in [SampleRate::Hz16000, SampleRate::Hz48000] {
        let mut detector = InbandDetector::new(rate);
        let mut text = String::new();
        for key in ALL.chars().filter_map(Key::from_char) {
            let mut pcm = tone::key(rate, key, 5_000, rate.samples(60));
            pcm.resize(rate.samples(120), 0);
            for frame in pcm.chunks(rate.frame_samples()) {
                text.extend(detector.feed(frame).pressed.map(Key::to_char));
            }
        }
        assert_eq!(text, ALL, "{rate:?}");
    }
}

#[test]
fn suspicion_comes_within_the_second_block_and_goes() {
    let mut detector = InbandDetector::new(RATE);
    let pcm = tone::key(RATE, Key::Digit(7), 6_000, 480);
    let first = pcm.chunks(40).position(|tick| detector.feed(tick).suspected);
    assert!(first <= Some(3), "suspected after {first:?} ticks of 5 ms");
    let gone = (0..20).position(|_| !detector.feed(&[0; 40]).suspected);
    assert!(gone.is_some_and(|ticks| ticks <= 7), "clear after {gone:?} ticks of silence");
}

#[test]
fn ten_minutes_of_babble_hold_no_key() {
    for seed in 0..5 {
        let pcm = tone::speech(RATE, seed, 8_000 * 120);
        assert_eq!(heard(&mut InbandDetector::new(RATE), &pcm), "", "seed {seed}");
    }
    let mut rng = Rng::from_number(3);
    let mut detector = InbandDetector::new(RATE);
    for _ in 0..200 {
        // Two tones of any frequency, as in music.
        let a = tone::sine(RATE, f64::from(200 + rng.below(500)), 6_000, 1_600);
        let b = tone::sine(RATE, f64::from(1_700 + rng.below(1_000)), 6_000, 1_600);
        let pcm: Vec<i16> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let keys = heard(&mut detector, &pcm);
        assert!(keys.chars().all(|key| "ABCD".contains(key)), "{keys}");
    }
}
