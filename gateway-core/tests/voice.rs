//! Sound is asserted as sound: what a codec, a jitter buffer and a room do to speech.
#![expect(clippy::disallowed_methods, reason = "a beginning: only differences of it matter")]

use std::time::{Duration, Instant};

use gateway_core::media::clip::convert::convert_rate;
use gateway_core::media::codec::set::DecoderSet;
use gateway_core::media::codec::{
    self, CodecKind, EncoderSettings, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX,
};
use gateway_core::media::frame::{Frame, SampleRate};
use gateway_core::media::ingress::{EarKey, Heard, Ingress, Source, SourceKey, SourcePacket};
use gateway_core::media::jitter::traces::{self, Network};
use gateway_core::media::jitter::{JitterBuffer, JitterLimits};
use gateway_core::media::tone;

const KINDS: [CodecKind; 4] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722, CodecKind::Opus];

fn encoded(kind: CodecKind, speech: &[i16], settings: EncoderSettings) -> Vec<Vec<u8>> {
    let rate = kind.row().pcm_rate;
    let mut encoder = codec::new_encoder(kind, rate, settings);
    speech
        .chunks_exact(rate.frame_samples())
        .map(|pcm| {
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            let length = encoder.encode(pcm, &mut payload);
            payload[..length].to_vec()
        })
        .collect()
}

fn packet(kind: CodecKind, n: usize, payload: &[u8]) -> SourcePacket<'_> {
    SourcePacket {
        codec: kind,
        sequence: n as u64,
        timestamp: n as u64 * u64::from(kind.row().clock_hz) / 50,
        marker: n == 0,
        payload,
    }
}

/// Correlation of speech bands below 4 kHz: hiss is coded as hiss by some codecs, not sample by sample.
fn best_correlation(rate: SampleRate, sent: &[i16], heard: &[i16], lag_ms: usize) -> f64 {
    let low = |pcm: &[i16]| -> Vec<i16> {
        let width = rate.samples(1) / 4;
        let sums = pcm.windows(width).map(|w| w.iter().map(|s| i32::from(*s)).sum::<i32>());
        sums.map(|sum| (sum / width as i32) as i16).collect()
    };
    let (sent, heard) = (low(sent), low(heard));
    let settle = rate.samples(500);
    let length = sent.len() - settle - rate.samples(lag_ms);
    tone::correlation(&sent[settle..settle + length], &heard[settle..], rate.samples(lag_ms)).0
}

#[test]
fn speech_survives_each_codec() {
    for kind in KINDS {
        let rate = kind.row().pcm_rate;
        let speech = tone::speech(rate, 21, rate.samples(6_000));
        let mut decoder = codec::new_decoder(kind, rate);
        let mut heard = Vec::new();
        for payload in encoded(kind, &speech, EncoderSettings::default()) {
            let mut out = [0; PAYLOAD_SAMPLES_MAX];
            let samples = decoder.decode(&payload, &mut out).expect("our own payload");
            heard.extend(&out[..samples]);
        }
        let correlation = best_correlation(rate, &speech, &heard, 10);
        assert!(correlation >= 0.95, "{kind:?}: {correlation}");
        let level = tone::dbov(&heard) - tone::dbov(&speech[..heard.len()]);
        assert!(level.abs() < 1.0, "{kind:?}: {level} dB");
    }
}

/// What an Opus phone hears of a G.711 phone, at each rate its encoder may run at (docs/decisions/004).
#[test]
fn speech_of_8_khz_survives_the_opus_encoder_at_each_rate() {
    let low = SampleRate::Hz8000;
    let speech = tone::speech(low, 21, low.samples(6_000));
    for rate in SampleRate::ALL {
        let raised = convert_rate(&speech, low.hz(), rate.hz());
        let mut encoder = codec::new_encoder(CodecKind::Opus, rate, EncoderSettings::default());
        let mut decoder = codec::new_decoder(CodecKind::Opus, low);
        let (mut heard, mut bytes) = (Vec::new(), 0);
        for pcm in raised.chunks_exact(rate.frame_samples()) {
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            let length = encoder.encode(pcm, &mut payload);
            bytes += length;
            let mut out = [0; PAYLOAD_SAMPLES_MAX];
            let samples = decoder.decode(&payload[..length], &mut out).expect("our own payload");
            heard.extend(&out[..samples]);
        }
        let correlation = best_correlation(low, &speech, &heard, 10);
        println!("{rate:?}: {correlation:.3}, {} kb/s", bytes * 8 / 6_000);
        assert!(correlation >= 0.95, "{rate:?}: {correlation}");
    }
}

#[test]
fn concealed_speech_has_no_holes_and_no_bangs() {
    for kind in KINDS {
        let rate = kind.row().pcm_rate;
        let tone_hz = 180.0;
        let vowel = tone::sine(rate, tone_hz, 6_000, rate.samples(10_000));
        let payloads = encoded(kind, &vowel, EncoderSettings::default());
        let mut decoders = DecoderSet::new(&[kind]);
        let mut buffer = JitterBuffer::new(JitterLimits::default(), rate);
        let start = Instant::now();
        let lost = traces::delays(Network::Loss(4.0), 5, payloads.len(), 20);
        let mut heard = Vec::new();
        for tick in 0..payloads.len() * 4 {
            let now = start + Duration::from_millis(tick as u64 * 5);
            // Single losses only: a second one in a row may fade.
            let comes = |n: usize| n < 100 || lost[n].is_some() || lost[n - 1].is_none();
            if tick % 4 == 0 && comes(tick / 4) {
                buffer.put(now, packet(kind, tick / 4, &payloads[tick / 4]), &mut decoders);
            }
            let mut out = [0; 240];
            buffer.pull(now, &mut decoders, &mut out);
            heard.extend(&out[..rate.tick_samples()]);
        }
        assert!(buffer.statistics().units_concealed > 0);
        let whole = tone::rms(&vowel);
        // No piece of 10 ms, about two periods, falls or rises far.
        for (n, piece) in heard[rate.samples(2_000)..].chunks_exact(rate.samples(10)).enumerate() {
            let share = tone::rms(piece) / whole;
            // libopus lets a sound fade from the start; we only from 10 ms on (docs/media.md, still to do).
            let least = if kind == CodecKind::Opus { 0.14 } else { 0.3 };
            assert!((least..1.7).contains(&share), "{kind:?}: {share} at {} ms", 2_000 + n * 10);
        }
        let natural = vowel.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
        let steepest = heard[rate.samples(2_000)..]
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max();
        let bound = natural.unwrap_or(0) * 4 + 600;
        assert!(steepest <= Some(bound), "{kind:?}: {steepest:?}, bound {bound}");
    }
}

/// Each codec pair: the speech of one phone at the other's ear.
#[test]
fn speech_crosses_a_room_between_any_two_codecs() {
    for from in KINDS {
        for to in KINDS {
            let rate = from.row().pcm_rate;
            let speech = tone::speech(rate, 33, rate.samples(5_000));
            let payloads = encoded(from, &speech, EncoderSettings::default());
            let mut ingress = Ingress::new(2);
            let start = Instant::now();
            let ear_rate = to.row().pcm_rate;
            assert!(ingress.add_ear(EarKey(1), rate) && ingress.add_ear(EarKey(2), ear_rate));
            let source = Source::new(SourceKey(1), Some(EarKey(1)), &[from]);
            assert!(ingress.add_source(start, source).is_ok());
            let (mut heard, mut own) = (Vec::new(), Vec::new());
            for tick in 0..payloads.len() * 4 {
                let now = start + Duration::from_millis(tick as u64 * 5);
                if tick % 4 == 0 {
                    let packet = packet(from, tick / 4, &payloads[tick / 4]);
                    ingress.put(now, SourceKey(1), packet);
                }
                ingress.tick(now);
                if tick % 4 == 3 {
                    let mut frame = Frame::silence(ear_rate);
                    ingress.pull(EarKey(2), &mut frame);
                    heard.extend_from_slice(frame.samples());
                    let mut frame = Frame::silence(rate);
                    assert_eq!(ingress.pull(EarKey(1), &mut frame), Heard::Nobody);
                    own.extend_from_slice(frame.samples());
                }
            }
            // Compare at 8 kHz: what both ends can carry.
            let (sent, heard) = (at_8k(rate, &speech), at_8k(ear_rate, &heard));
            // After the start-up delay has been played back to 10 ms.
            let (sent, heard) = (&sent[16_000..], &heard[16_000..]);
            let correlation = best_correlation(SampleRate::Hz8000, sent, heard, 60);
            assert!(correlation >= 0.95, "{from:?} to {to:?}: {correlation}");
            let level = tone::dbov(heard) - tone::dbov(sent);
            assert!(level.abs() < 1.0, "{from:?} to {to:?}: {level} dB");
            assert!(tone::dbov(&own) < -60.0, "{from:?} hears himself");
        }
    }
}

fn at_8k(rate: SampleRate, pcm: &[i16]) -> Vec<i16> {
    let mut resampler = gateway_core::media::resample::Resampler::new(rate, SampleRate::Hz8000);
    let mut out = Vec::new();
    for frame in pcm.chunks_exact(rate.frame_samples()) {
        let mut low = [0; 960];
        let written = resampler.process(frame, &mut low);
        out.extend(&low[..written]);
    }
    out
}
