//! What the media path costs: codecs, jitter buffer, mixer, resampler, and a room's tick with N speakers.
//!
//! `cargo bench -p gateway-benches --bench media`. Figures are per 20 ms of one stream unless the name says otherwise.

use std::time::{Duration, Instant};

use divan::Bencher;
use gateway_core::media::codec::set::DecoderSet;
use gateway_core::media::codec::{
    self, CodecKind, EncoderSettings, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX,
};
use gateway_core::media::dtmf::inband::InbandDetector;
use gateway_core::media::frame::{Frame, SampleRate};
use gateway_core::media::ingress::{EarKey, Ingress, Source, SourceKey, SourcePacket};
use gateway_core::media::jitter::{JitterBuffer, JitterLimits};
use gateway_core::media::mixer::{self, Limiter};
use gateway_core::media::resample::Resampler;
use gateway_core::media::tone;
use gateway_core::rtp::srtp::{SrtpProfile, SrtpReceiver, SrtpSender, TRAILER_BYTES_MAX};

fn main() {
    divan::main();
}

const KINDS: [CodecKind; 4] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722, CodecKind::Opus];
const FRAMES: usize = 250;

fn frames(kind: CodecKind) -> Vec<Vec<i16>> {
    let rate = kind.row().pcm_rate;
    let speech = tone::speech(rate, 7, rate.frame_samples() * FRAMES);
    speech.chunks_exact(rate.frame_samples()).map(<[i16]>::to_vec).collect()
}

fn payloads(kind: CodecKind) -> Vec<Vec<u8>> {
    let mut encoder = codec::new_encoder(kind, kind.row().pcm_rate, EncoderSettings::default());
    let encode = |pcm: &Vec<i16>| {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let length = encoder.encode(pcm, &mut payload);
        payload[..length].to_vec()
    };
    frames(kind).iter().map(encode).collect()
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

#[divan::bench(args = KINDS)]
fn encode(bencher: Bencher, kind: CodecKind) {
    let frames = frames(kind);
    let mut encoder = codec::new_encoder(kind, kind.row().pcm_rate, EncoderSettings::default());
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let mut n = 0;
    bencher.bench_local(|| {
        n = (n + 1) % FRAMES;
        encoder.encode(&frames[n], &mut payload)
    });
}

#[divan::bench(args = KINDS)]
fn decode(bencher: Bencher, kind: CodecKind) {
    let payloads = payloads(kind);
    let mut decoder = codec::new_decoder(kind, kind.row().pcm_rate);
    let mut out = [0; PAYLOAD_SAMPLES_MAX];
    let mut n = 0;
    bencher.bench_local(|| {
        n = (n + 1) % FRAMES;
        decoder.decode(&payloads[n], &mut out)
    });
}

/// One put and four pulls, with decoding.
#[divan::bench(args = KINDS)]
fn jitter_put_and_pull(bencher: Bencher, kind: CodecKind) {
    let payloads = payloads(kind);
    let mut decoders = DecoderSet::new(&[kind]);
    let mut buffer = JitterBuffer::new(JitterLimits::default(), decoders.rate_max());
    let start = Instant::now();
    let mut out = [0; 240];
    let mut n = 0;
    bencher.bench_local(|| {
        let now = start + Duration::from_millis(n as u64 * 20);
        buffer.put(now, packet(kind, n, &payloads[n % FRAMES]), &mut decoders);
        for tick in 0..4 {
            buffer.pull(now + Duration::from_millis(tick * 5), &mut decoders, &mut out);
        }
        n += 1;
    });
}

/// A quarter of a period: one tick of a room whose members all speak, and the pull of a quarter of its ears.
#[divan::bench(args = [2, 3, 10, 50, 200])]
fn room_tick_g711(bencher: Bencher, members: usize) {
    room_tick(bencher, CodecKind::Pcma, members);
}

/// The same with Opus phones, without their encoders.
#[divan::bench(args = [2, 3, 10, 50])]
fn room_tick_opus(bencher: Bencher, members: usize) {
    room_tick(bencher, CodecKind::Opus, members);
}

fn room_tick(bencher: Bencher, kind: CodecKind, members: usize) {
    let payloads = payloads(kind);
    let rate = kind.row().pcm_rate;
    let start = Instant::now();
    let mut ingress = Ingress::new(members);
    for member in 0..members as u64 {
        assert!(ingress.add_ear(EarKey(member), rate));
        let source = Source::new(SourceKey(member), Some(EarKey(member)), &[kind]);
        assert!(ingress.add_source(start, source).is_ok());
    }
    let mut frame = Frame::silence(rate);
    let mut tick = 0;
    bencher.bench_local(|| {
        let now = start + Duration::from_millis(tick as u64 * 5);
        for member in (tick % 4..members).step_by(4) {
            let payload = &payloads[(tick / 4 + member * 17) % FRAMES];
            ingress.put(now, SourceKey(member as u64), packet(kind, tick / 4, payload));
        }
        ingress.tick(now);
        for member in (tick % 4..members).step_by(4) {
            ingress.pull(EarKey(member as u64), &mut frame);
        }
        tick += 1;
    });
}

/// Three voices into one ear.
#[divan::bench(args = SampleRate::ALL)]
fn mix_three(bencher: Bencher, rate: SampleRate) {
    let voices: Vec<Vec<i16>> = (0..3).map(|n| tone::speech(rate, n, rate.samples(20))).collect();
    let mut limiter = Limiter::default();
    let mut out = vec![0; rate.frame_samples()];
    let mut sum = vec![0; rate.frame_samples()];
    bencher.bench_local(|| {
        sum.fill(0);
        for voice in &voices {
            mixer::add(&mut sum, voice);
        }
        limiter.apply(rate, &sum, &mut out);
    });
}

#[divan::bench(args = [(8, 48), (48, 8), (16, 48), (48, 16)])]
fn resample(bencher: Bencher, khz: (u32, u32)) {
    let rate = |khz| SampleRate::ALL.into_iter().find(|r| r.hz() == khz * 1_000);
    let (Some(from), Some(to)) = (rate(khz.0), rate(khz.1)) else { return };
    let input = tone::speech(from, 1, from.frame_samples());
    let mut resampler = Resampler::new(from, to);
    let mut out = [0; 960];
    bencher.bench_local(|| resampler.process(&input, &mut out));
}

#[divan::bench]
fn inband_keys_8k(bencher: Bencher) {
    let speech = tone::speech(SampleRate::Hz8000, 1, 160 * FRAMES);
    let mut detector = InbandDetector::new(SampleRate::Hz8000);
    let mut n = 0;
    bencher.bench_local(|| {
        n = (n + 1) % FRAMES;
        detector.feed(&speech[n * 160..][..160])
    });
}

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AesCm128Sha1_80, SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm];

/// An RTP packet of 80 bytes of Opus, with room for the tag.
fn rtp_packet(sequence: u16) -> ([u8; 92 + TRAILER_BYTES_MAX], usize) {
    let mut packet = [0x5a; 92 + TRAILER_BYTES_MAX];
    packet[0] = 0x80;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    (packet, 92)
}

fn srtp_secret(profile: SrtpProfile) -> (Vec<u8>, Vec<u8>) {
    (vec![1; profile.key_bytes()], vec![2; profile.salt_bytes()])
}

#[divan::bench(args = PROFILES)]
fn srtp_protect(bencher: Bencher, profile: SrtpProfile) {
    let (key, salt) = srtp_secret(profile);
    let mut sender = SrtpSender::new(profile, &key, &salt).expect("lengths are the profile's");
    let mut sequence = 0_u16;
    bencher.bench_local(|| {
        sequence = sequence.wrapping_add(1);
        let (mut packet, length) = rtp_packet(sequence);
        sender.protect_rtp(&mut packet, length)
    });
}

#[divan::bench(args = PROFILES)]
fn srtp_protect_and_unprotect(bencher: Bencher, profile: SrtpProfile) {
    let (key, salt) = srtp_secret(profile);
    let mut sender = SrtpSender::new(profile, &key, &salt).expect("lengths are the profile's");
    let mut receiver = SrtpReceiver::new(profile, &key, &salt).expect("lengths are the profile's");
    let mut sequence = 0_u16;
    bencher.bench_local(|| {
        sequence = sequence.wrapping_add(1);
        let (mut packet, length) = rtp_packet(sequence);
        let length = sender.protect_rtp(&mut packet, length).expect("a fresh number");
        receiver.unprotect_rtp(&mut packet[..length]).expect("authentic")
    });
}
