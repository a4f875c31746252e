//! Nothing on the media path allocates after construction: codecs, jitter buffer, room, keys.
#![expect(clippy::disallowed_methods, reason = "a beginning: only differences of it matter")]

use std::time::{Duration, Instant};

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use gateway_core::media::codec::{
    self, CodecKind, EncoderSettings, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX,
};
use gateway_core::media::dtmf::inband::InbandDetector;
use gateway_core::media::frame::{Frame, SampleRate};
use gateway_core::media::ingress::{EarKey, Ingress, Source, SourceKey, SourcePacket};
use gateway_core::media::jitter::traces::{self, Network};
use gateway_core::media::tone;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const KINDS: [CodecKind; 4] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722, CodecKind::Opus];

#[test]
fn the_counter_counts() {
    let before = violation_count();
    let boxed = assert_no_alloc(|| std::hint::black_box(Box::new(7)));
    assert_eq!((*boxed, violation_count() > before), (7, true));
}

#[test]
fn codecs_do_not_allocate() {
    for kind in KINDS {
        let rate = kind.row().pcm_rate;
        let mut encoder = codec::new_encoder(kind, rate, EncoderSettings::default());
        let mut decoder = codec::new_decoder(kind, rate);
        let mut detector = InbandDetector::new(rate);
        let speech = tone::speech(rate, 1, rate.samples(1_000));
        let before = violation_count();
        assert_no_alloc(|| {
            for pcm in speech.chunks_exact(rate.frame_samples()) {
                let mut payload = [0; PAYLOAD_BYTES_MAX];
                let length = encoder.encode(pcm, &mut payload);
                let mut out = [0; PAYLOAD_SAMPLES_MAX];
                let _ = decoder.decode(&payload[..length], &mut out);
                let _ = decoder.decode(&payload[..length / 2 + 1], &mut out);
                decoder.recover(&payload[..length], &mut out[..rate.frame_samples()]);
                decoder.conceal(&mut out[..rate.tick_samples()]);
                detector.feed(pcm);
            }
            encoder.set_expected_loss(5);
            decoder.reset();
        });
        assert_eq!(violation_count(), before, "{kind:?}");
    }
}

#[test]
fn a_room_does_not_allocate_whatever_the_network_does() {
    for network in [Network::Clean, Network::WiFiBursty, Network::ParetoOvertaking] {
        let streams: Vec<Vec<Vec<u8>>> = KINDS.iter().map(|kind| stream(*kind)).collect();
        let mut arrivals = Vec::new();
        for (n, stream) in streams.iter().enumerate() {
            let delays = traces::delays(network, n as u64, stream.len(), 20);
            for (place, delay) in delays.iter().enumerate() {
                arrivals.extend(delay.map(|us| (place as i64 * 20_000 + us, n, place)));
            }
        }
        arrivals.sort_unstable();
        let start = Instant::now();
        let mut ingress = Ingress::new(8);
        let mut spare = Vec::with_capacity(KINDS.len());
        for (n, kind) in KINDS.iter().enumerate() {
            let ear = EarKey(n as u64);
            assert!(ingress.add_ear(ear, kind.row().pcm_rate));
            let source = Source::new(SourceKey(n as u64), Some(ear), &KINDS);
            assert!(ingress.add_source(start, source).is_ok());
        }
        let mut frames = KINDS.map(|kind| Frame::silence(kind.row().pcm_rate));
        let before = violation_count();
        assert_no_alloc(|| {
            let mut arrivals = arrivals.iter().peekable();
            for tick in 0..800_i64 {
                let now = start + Duration::from_micros(tick.unsigned_abs() * 5_000);
                while let Some((_, n, place)) = arrivals.next_if(|(us, ..)| *us <= tick * 5_000) {
                    let payload = &streams[*n][*place];
                    ingress.put(now, SourceKey(*n as u64), packet(KINDS[*n], *place, payload));
                }
                ingress.tick(now);
                let ear = tick as usize % 4;
                ingress.pull(EarKey(ear as u64), &mut frames[ear]);
                match tick {
                    300 => ingress.set_muted(SourceKey(1), true),
                    340 => ingress.set_muted(SourceKey(1), false),
                    400 => ingress.remove_ear(EarKey(3)),
                    420 => assert!(ingress.add_ear(EarKey(3), SampleRate::Hz48000)),
                    500 => spare.extend(ingress.remove_source(SourceKey(2))),
                    520 => assert!(spare.pop().is_some_and(|s| ingress.add_source(now, s).is_ok())),
                    _ => {}
                }
            }
        });
        assert_eq!(violation_count(), before, "{network:?}");
    }
}

fn stream(kind: CodecKind) -> Vec<Vec<u8>> {
    let rate = kind.row().pcm_rate;
    let settings = EncoderSettings { expected_loss_percent: 5, ..EncoderSettings::default() };
    let mut encoder = codec::new_encoder(kind, rate, settings);
    tone::speech(rate, 2, rate.samples(4_000))
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
        marker: false,
        payload,
    }
}
