use super::*;

/// 20 ms of three tones at about -19 dBov, from sample `start` on. Above 400 Hz: the voice profile of libopus
/// shifts the phase of lower ones in its high-pass.
fn voice(rate: SampleRate, start: usize) -> Vec<i16> {
    let hz = f64::from(rate.hz());
    (start..start + rate.frame_samples())
        .map(|n| {
            let t = n as f64 / hz * std::f64::consts::TAU;
            ((t * 500.0).sin() * 4_000.0
                + (t * 900.0).sin() * 3_000.0
                + (t * 1_700.0).sin() * 900.0) as i16
        })
        .collect()
}

fn all() -> impl Iterator<Item = (CodecKind, SampleRate)> {
    TABLE.iter().flat_map(|row| {
        SampleRate::ALL
            .into_iter()
            .filter(|rate| row.kind == CodecKind::Opus || *rate == row.pcm_rate)
            .map(|rate| (row.kind, rate))
    })
}

#[test]
fn each_codec_gives_back_what_it_took() {
    for (kind, rate) in all() {
        let mut encoder = new_encoder(kind, rate, EncoderSettings::default());
        let mut decoder = new_decoder(kind, rate);
        assert_eq!((encoder.rate(), decoder.rate()), (rate, rate));
        let mut sent = Vec::new();
        let mut heard = Vec::new();
        for frame in 0..100 {
            let pcm = voice(rate, frame * rate.frame_samples());
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            let length = encoder.encode(&pcm, &mut payload);
            let mut out = [0; PAYLOAD_SAMPLES_MAX];
            assert_eq!(decoder.payload_samples(&payload[..length]), rate.frame_samples());
            let samples = decoder.decode(&payload[..length], &mut out).expect("our own payload");
            assert_eq!(samples, rate.frame_samples(), "{kind:?} {rate:?}");
            sent.extend(pcm);
            heard.extend(&out[..samples]);
        }
        let settle = rate.samples(300);
        let best = (0..rate.samples(20))
            .map(|lag| correlation(&sent[settle..sent.len() - lag], &heard[settle + lag..]))
            .fold(0.0, f64::max);
        assert!(best > 0.95, "{kind:?} {rate:?}: {best}");
    }
}

fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let dot = |x: &[i16], y: &[i16]| -> f64 {
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1.0)
}

#[test]
fn opus_reads_any_duration_and_stereo() {
    for milliseconds in [10_usize, 20, 40, 60] {
        let rate = SampleRate::Hz48000;
        let mut encoder =
            ::opus::Encoder::new(48_000, ::opus::Channels::Stereo, ::opus::Application::Audio)
                .expect("stereo");
        let pcm = vec![1_000_i16; rate.samples(milliseconds) * 2];
        let payload = encoder.encode_vec(&pcm, 1_400).expect("encodes");
        for rate in SampleRate::ALL {
            let mut decoder = new_decoder(CodecKind::Opus, rate);
            let mut out = [0; PAYLOAD_SAMPLES_MAX];
            assert_eq!(decoder.payload_samples(&payload), rate.samples(milliseconds));
            assert_eq!(decoder.decode(&payload, &mut out), Ok(rate.samples(milliseconds)));
        }
    }
}

#[test]
fn opus_redundancy_is_seen_only_when_it_is_there() {
    let rate = SampleRate::Hz16000;
    for (loss, wanted) in [(0, false), (20, true)] {
        let mut encoder = new_encoder(
            CodecKind::Opus,
            rate,
            EncoderSettings { expected_loss_percent: loss, ..EncoderSettings::default() },
        );
        let mut decoder = new_decoder(CodecKind::Opus, rate);
        let mut with = 0;
        for frame in 0..20 {
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            let length = encoder.encode(&voice(rate, frame * 320), &mut payload);
            let mut out = [0; 320];
            let recovered = decoder.recover(&payload[..length], &mut out);
            assert_eq!(recovered, decoder.can_recover(&payload[..length]));
            with += usize::from(recovered);
        }
        assert_eq!(with > 10, wanted, "{with} of 20 at {loss} % loss");
    }
}

#[test]
fn opus_conceals_in_steps_of_five_milliseconds() {
    for rate in SampleRate::ALL {
        let mut decoder = new_decoder(CodecKind::Opus, rate);
        let mut out = [0; FIVE_MS_MAX];
        assert!(decoder.conceal(&mut out[..rate.tick_samples()]));
        assert!(!decoder.conceal(&mut out[..7]));
    }
}

const FIVE_MS_MAX: usize = 240;

#[test]
fn nonsense_never_panics_and_writes_no_more_than_it_says() {
    let mut rng = crate::base::rng::Rng::from_number(11);
    for (kind, rate) in all() {
        let mut decoder = new_decoder(kind, rate);
        for _ in 0..2_000 {
            let mut payload = vec![0; rng.below(200) as usize + 1];
            rng.fill(&mut payload);
            let mut out = [0; PAYLOAD_SAMPLES_MAX];
            let promised = decoder.payload_samples(&payload);
            decoder.can_recover(&payload);
            decoder.is_pause(&payload);
            if let Ok(samples) = decoder.decode(&payload, &mut out) {
                assert_eq!(samples, promised);
            }
        }
    }
}
