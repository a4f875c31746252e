use super::*;
use crate::media::frame::SampleRate;
use crate::media::tone;

#[test]
fn silence_and_steady_noise_are_no_voice() {
    for amplitude in [0, 45, 300] {
        let noise = tone::noise(1, amplitude, 8_000 * 10);
        let mut gate = VoiceGate::default();
        let voiced: Vec<bool> = noise.chunks(160).map(|frame| gate.is_voice(frame, 20)).collect();
        assert!(voiced[250..].iter().all(|voice| !voice), "noise of peak {amplitude}");
    }
}

#[test]
fn speech_over_noise_is_voice_as_another_detector_hears_it() {
    let speech = tone::speech(SampleRate::Hz8000, 5, 8_000 * 20);
    let noise = tone::noise(2, 60, speech.len());
    let mixed: Vec<i16> = speech.iter().zip(&noise).map(|(s, n)| s.saturating_add(*n)).collect();
    let mut gate = VoiceGate::default();
    let mut judge = webrtc_vad::Vad::new_with_rate_and_mode(
        webrtc_vad::SampleRate::Rate8kHz,
        webrtc_vad::VadMode::VeryAggressive,
    );
    let (mut loud, mut missed, mut judged, mut judged_missed) = (0, 0, 0, 0);
    for (frame, clean) in mixed.chunks(160).zip(speech.chunks(160)) {
        let voice = gate.is_voice(frame, 20);
        if level::level_dbov(clean) < 40 {
            loud += 1;
            missed += usize::from(!voice);
        }
        if judge.is_voice_segment(frame) == Ok(true) {
            judged += 1;
            judged_missed += usize::from(!voice);
        }
    }
    assert!(loud > 400 && missed == 0, "{missed} of {loud} loud frames missed");
    assert!(judged > 300 && judged_missed * 50 < judged, "{judged_missed} of {judged}");
}

#[test]
fn the_gate_closes_after_its_hangover() {
    let mut gate = VoiceGate::default();
    let speech = tone::speech(SampleRate::Hz8000, 5, 8_000);
    for frame in speech.chunks(160) {
        gate.is_voice(frame, 20);
    }
    let open = (0..100).take_while(|_| gate.is_voice(&[0; 160], 20)).count();
    assert!(open <= 12, "{open} frames");
}
