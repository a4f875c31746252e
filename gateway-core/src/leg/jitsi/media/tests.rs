//! A leg against a stand-in bridge made of the same transport (controlling, DTLS client): speech both ways, judged as
//! sound; levels, timestamps, mutes, reports and the choice of the loudest.

use std::collections::BTreeMap;

use super::*;
use crate::base::limits::JITSI_SOURCES_MAX;
use crate::leg::jitsi::testkit::{LEG_SSRC, LEVEL, OPUS, StandInBridge, leg_and_bridge};
use crate::media::codec::{self, EncoderSettings, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX};
use crate::media::frame::Frame;
use crate::media::level;
use crate::media::tone;
use crate::rtp::wire::ext::read_level;
use crate::rtp::wire::header;

struct World {
    now: Instant,
    leg: Box<JitsiMedia>,
    ingress: Box<Ingress>,
    bridge: StandInBridge,
    flights: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    sent: u64,
    /// RTP of the leg as the bridge decrypted it.
    heard: Vec<Vec<u8>>,
    reports: usize,
    events: Vec<ConferenceEvent>,
}

impl World {
    fn new(codec: CodecKind) -> Self {
        let now = Instant::now();
        let (mut leg, bridge) = leg_and_bridge(now, codec);
        let mut ingress = Ingress::new(16);
        leg.attach(now, &mut ingress);
        Self {
            now,
            leg,
            ingress,
            bridge,
            flights: BTreeMap::new(),
            sent: 0,
            heard: Vec::new(),
            reports: 0,
            events: Vec::new(),
        }
    }

    fn connected(codec: CodecKind) -> Self {
        let mut world = Self::new(codec);
        for _ in 0..200 {
            world.tick();
        }
        assert!(world.events.contains(&ConferenceEvent::Connected), "{:?}", world.events);
        world
    }

    /// 5 ms.
    fn tick(&mut self) {
        self.now += Duration::from_millis(5);
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to_leg, bytes) = entry.remove();
            self.deliver(to_leg, &bytes);
        }
        self.bridge.handle_timeout(self.now);
        if self.leg.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.leg.handle_timeout(self.now, &mut self.ingress);
        }
        self.settle();
        self.ingress.tick(self.now);
    }

    fn deliver(&mut self, to_leg: bool, bytes: &[u8]) {
        if to_leg {
            let socket = SocketKind::Conference(0);
            let from = StandInBridge::address();
            self.leg.handle_packet(self.now, socket, from, bytes, &mut self.ingress);
        } else {
            match self.bridge.receive(self.now, bytes) {
                Some(received) if received.media == Media::Rtp => {
                    self.heard.push(received.bytes.to_vec());
                }
                Some(_) => self.reports += 1,
                None => {}
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        let mut buffer = [0; 2_048];
        let arrival = self.now + Duration::from_millis(10);
        while let Some(transmit) = self.leg.poll_transmit(&mut buffer) {
            self.sent += 1;
            let bytes = buffer[..transmit.length].to_vec();
            self.flights.insert((arrival, self.sent), (false, bytes));
        }
        while let Some(length) = self.bridge.transmit(&mut buffer) {
            self.sent += 1;
            let bytes = buffer[..length].to_vec();
            self.flights.insert((arrival, self.sent), (true, bytes));
        }
        while let Some(event) = self.leg.poll_event() {
            self.events.push(event);
        }
    }

    /// A packet of the phone.
    fn speak(&mut self, codec: CodecKind, number: u64, units: u64, payload: &[u8]) {
        let speech = Uplink {
            codec,
            sequence: 70_000 + number,
            timestamp: 5_000 + number * units,
            marker: number == 0,
            payload,
        };
        self.leg.push_uplink(self.now, speech, &mut self.ingress);
        self.settle();
    }

    fn join(&mut self, ssrc: u32) {
        let source = remote_source(ssrc, None);
        let command = ConferenceCommand::AddSource { ssrc, source };
        self.leg.command(self.now, command, &mut self.ingress);
        self.bridge.add_voice(ssrc);
    }

    /// 20 ms of somebody at the bridge.
    fn say(&mut self, ssrc: u32, pcm: &[i16]) {
        assert!(self.bridge.say(ssrc, pcm), "joined before");
        self.settle();
    }

    /// 20 ms for the phone.
    fn listen(&mut self, out: &mut Vec<i16>) {
        let mut frame = Frame::silence(self.leg.config.rate);
        self.leg.pull(self.now, &mut self.ingress, &mut frame);
        out.extend(frame.samples());
    }
}

/// Plays what the bridge heard as a browser would, by timestamp, at 48 kHz.
fn played(heard: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = codec::new_decoder(CodecKind::Opus, SampleRate::Hz48000);
    let mut pcm = vec![0; PAYLOAD_SAMPLES_MAX];
    let mut out: Vec<i16> = Vec::new();
    let first = header::parse(&heard[0]).unwrap().0.timestamp;
    for packet in heard {
        let (header, payload) = header::parse(packet).unwrap();
        let at = header.timestamp.wrapping_sub(first) as usize;
        out.resize(at.max(out.len()), 0);
        let samples = decoder.decode(payload, &mut pcm).unwrap();
        out.extend(&pcm[..samples]);
    }
    out
}

/// Speech of a phone with `codec`, 20 ms packets: what was said (at the codec's rate) and its payloads.
fn phone_speech(codec: CodecKind, frames: usize) -> (Vec<i16>, Vec<Vec<u8>>) {
    let rate = codec.row().pcm_rate;
    let speech = tone::speech(rate, 3, rate.frame_samples() * frames);
    let mut encoder = codec::new_encoder(codec, rate, EncoderSettings::default());
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let payloads = speech.chunks_exact(rate.frame_samples()).map(|frame| {
        let length = encoder.encode(frame, &mut payload);
        payload[..length].to_vec()
    });
    let payloads = payloads.collect();
    (speech, payloads)
}

/// What a judge needs of it: the telephone band is enough.
fn at_8_khz(rate: SampleRate, pcm: &[i16]) -> Vec<i16> {
    let mut resampler = crate::media::resample::Resampler::new(rate, SampleRate::Hz8000);
    let mut out = Vec::new();
    let mut tick = [0; SampleRate::Hz8000.tick_samples()];
    for chunk in pcm.chunks_exact(rate.tick_samples()) {
        resampler.process(chunk, &mut tick);
        out.extend(tick);
    }
    out
}

#[test]
fn a_phone_is_heard_at_the_bridge_as_it_speaks() {
    for codec in [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus] {
        let mut world = World::connected(codec);
        let (speech, payloads) = phone_speech(codec, 200);
        let units = u64::from(codec.row().clock_hz / 50);
        for (number, payload) in payloads.iter().enumerate() {
            world.speak(codec, number as u64, units, payload);
            (0..4).for_each(|_| world.tick());
        }
        (0..10).for_each(|_| world.tick());
        let first = header::parse(&world.heard[0]).unwrap().0;
        assert!(first.marker && first.payload_type == OPUS && first.ssrc == LEG_SSRC);
        let heard = at_8_khz(SampleRate::Hz48000, &played(&world.heard));
        let said = at_8_khz(codec.row().pcm_rate, &speech);
        let (similar, lag) = tone::correlation(&said, &heard, 8 * 60);
        assert!(similar > 0.85, "{codec:?}: {similar:.3} at {lag} samples");
        let levels = world.heard.iter().map(|packet| read_level(packet, LEVEL));
        let levels: Vec<_> = levels.map(|told| told.expect("each packet tells it").level).collect();
        let loud = levels.iter().filter(|level| **level < 60).count();
        assert!(loud * 2 > levels.len(), "{codec:?}: {levels:?}");
        let sequences: Vec<u16> =
            world.heard.iter().map(|it| header::parse(it).unwrap().0.sequence).collect();
        assert!(sequences.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
    }
}

#[test]
fn levels_are_honest() {
    let mut world = World::connected(CodecKind::Pcmu);
    let rate = SampleRate::Hz8000;
    let mut encoder = codec::new_encoder(CodecKind::Pcmu, rate, EncoderSettings::default());
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let pcm = tone::sine(rate, 440.0, 8_000, rate.frame_samples() * 20);
    for (number, frame) in pcm.chunks_exact(160).enumerate() {
        let length = encoder.encode(frame, &mut payload);
        world.speak(CodecKind::Pcmu, number as u64, 160, &payload[..length]);
        (0..4).for_each(|_| world.tick());
    }
    (0..4).for_each(|_| world.tick());
    // 8,000 of 32,768 is -12.2 dB, a sine 3 dB below its peak.
    for packet in &world.heard[1..] {
        let level = read_level(packet, LEVEL).unwrap();
        assert!(level.voice && (14..=16).contains(&level.level), "{level:?}");
    }
    assert!(world.heard.len() >= 19);
}

#[test]
fn silence_is_not_sent_and_leaves_no_gap_in_the_numbers() {
    let mut world = World::connected(CodecKind::Pcmu);
    let (_, payloads) = phone_speech(CodecKind::Pcmu, 60);
    let silence = vec![0xff; 160];
    let mut number = 0;
    for part in [&payloads[..30], &vec![silence; 100], &payloads[30..]] {
        for payload in part {
            world.speak(CodecKind::Pcmu, number, 160, payload);
            number += 1;
            (0..4).for_each(|_| world.tick());
        }
    }
    (0..10).for_each(|_| world.tick());
    let headers: Vec<_> = world.heard.iter().map(|it| header::parse(it).unwrap().0).collect();
    assert!(headers.len() < 90, "100 silent frames were sent: {}", headers.len());
    assert!(world.leg.counters().jitsi_silence_saved >= 80);
    let gap = headers
        .windows(2)
        .position(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) > 960 * 10);
    let after = headers[gap.expect("a pause") + 1];
    assert!(after.marker, "a talkspurt begins");
    let follows = |pair: &[crate::rtp::wire::header::RtpHeader]| {
        pair[1].sequence == pair[0].sequence.wrapping_add(1)
    };
    assert!(headers.windows(2).all(follows));
}

/// Packets of a phone of which one overtakes another and one is lost: what came to the bridge.
fn overtaken_and_lost(codec: CodecKind, lost: usize) -> Vec<Vec<u8>> {
    let mut world = World::connected(codec);
    let (_, payloads) = phone_speech(codec, 60);
    let units = codec.row().clock_hz / 50;
    let order = (0..20).chain([21, 20]).chain(22..60).filter(|number| *number != lost);
    for number in order {
        world.speak(codec, number as u64, u64::from(units), &payloads[number]);
        // The one that was overtaken comes 5 ms behind.
        let ticks = if number == 21 { 1 } else { 4 };
        (0..ticks).for_each(|_| world.tick());
    }
    (0..10).for_each(|_| world.tick());
    world.heard
}

/// From each packet to the next: numbers and frames.
fn steps(heard: &[Vec<u8>]) -> Vec<(u16, u32)> {
    let headers: Vec<_> = heard.iter().map(|it| header::parse(it).unwrap().0).collect();
    let step = |pair: &[crate::rtp::wire::header::RtpHeader]| {
        let units = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        (pair[1].sequence.wrapping_sub(pair[0].sequence), units / 960)
    };
    headers.windows(2).map(step).collect()
}

#[test]
fn an_overtaken_packet_keeps_its_place_and_a_lost_one_of_opus_leaves_a_gap() {
    let steps = steps(&overtaken_and_lost(CodecKind::Opus, 40));
    let lost: Vec<_> = steps.iter().filter(|step| **step == (2, 2)).collect();
    assert_eq!(lost.len(), 1, "{steps:?}");
    assert!(steps.iter().all(|(numbers, frames)| *numbers == 1 || *numbers as u32 == *frames));
}

#[test]
fn a_lost_packet_of_g711_and_g722_is_made_up_for() {
    for codec in [CodecKind::Pcmu, CodecKind::G722] {
        // Number 99 is none of them: nothing is lost.
        let [whole, heard] = [99, 40].map(|lost| overtaken_and_lost(codec, lost));
        assert_eq!(steps(&heard), steps(&whole), "{codec:?}");
        assert!(steps(&heard).iter().all(|(numbers, _)| *numbers == 1));
        let levels = |heard: &[Vec<u8>]| -> Vec<i32> {
            heard.iter().map(|it| i32::from(read_level(it, LEVEL).unwrap().level)).collect()
        };
        // Where somebody speaks: what dies away is not foreseen.
        let pairs = levels(&whole).into_iter().zip(levels(&heard));
        for (whole, heard) in pairs.filter(|(whole, _)| *whole < 40) {
            assert!((whole - heard).abs() <= 12, "{codec:?}: {heard} instead of {whole} dB");
        }
    }
}

#[test]
fn a_muted_phone_sends_reports_and_nothing_else() {
    let mut world = World::connected(CodecKind::Pcmu);
    let (_, payloads) = phone_speech(CodecKind::Pcmu, 100);
    world.leg.set_muted(true, &mut world.ingress);
    let reports = world.reports;
    for (number, payload) in payloads.iter().enumerate() {
        world.speak(CodecKind::Pcmu, number as u64, 160, payload);
        (0..4).for_each(|_| world.tick());
    }
    for _ in 0..1_600 {
        world.tick();
    }
    assert_eq!(world.heard.len(), 0);
    let reports = world.reports - reports;
    assert!((4..=6).contains(&reports), "{reports} reports in 10 s");
}

#[test]
fn others_are_heard_on_the_phone() {
    for codec in [CodecKind::Pcmu, CodecKind::Opus] {
        let rate = codec.row().pcm_rate;
        let mut world = World::connected(codec);
        world.join(7);
        let speech = tone::speech(SampleRate::Hz48000, 9, 960 * 400);
        let mut heard = Vec::new();
        for frame in speech.chunks_exact(960) {
            world.say(7, frame);
            (0..4).for_each(|_| world.tick());
            world.listen(&mut heard);
        }
        let (said, heard) = (at_8_khz(SampleRate::Hz48000, &speech), at_8_khz(rate, &heard));
        // At first the buffer finds its delay: judged when it has.
        let settled = 8 * 3_000;
        let (similar, lag) = tone::correlation(&said[settled..], &heard[settled..], 8 * 250);
        assert!(similar > 0.85, "{codec:?}: {similar:.3} at {lag} samples");
    }
}

#[test]
fn the_loudest_three_of_five_are_decoded() {
    let mut world = World::connected(CodecKind::Opus);
    let tones = [300.0, 500.0, 700.0, 900.0, 1_100.0];
    for ssrc in 1..=5 {
        world.join(ssrc);
    }
    let mut heard = Vec::new();
    for number in 0..150 {
        for (ssrc, hz) in (1..=5).zip(tones) {
            let amplitude = if ssrc <= 2 { 300 } else { 6_000 };
            let from = number as f64 * 960.0;
            let pcm: Vec<i16> = (0..960)
                .map(|n| {
                    let phase = (from + f64::from(n)) * hz * std::f64::consts::TAU / 48_000.0;
                    (phase.sin() * f64::from(amplitude)) as i16
                })
                .collect();
            world.say(ssrc, &pcm);
        }
        (0..4).for_each(|_| world.tick());
        world.listen(&mut heard);
    }
    let end = &heard[heard.len() - 48_000..];
    for (place, hz) in tones.into_iter().enumerate() {
        let amplitude = tone::amplitude(SampleRate::Hz48000, end, hz);
        if place < 2 {
            assert!(amplitude < 100.0, "{hz} Hz: {amplitude}");
        } else {
            assert!(amplitude > 3_000.0, "{hz} Hz: {amplitude}");
        }
    }
    assert!(world.leg.counters().jitsi_not_loudest > 250, "{:?}", world.leg.counters());
}

#[test]
fn a_source_nobody_announced_is_counted_and_not_heard() {
    let mut world = World::connected(CodecKind::Pcmu);
    world.join(7);
    let command = ConferenceCommand::RemoveSource { ssrc: 7 };
    world.leg.command(world.now, command, &mut world.ingress);
    let mut heard = Vec::new();
    for frame in tone::sine(SampleRate::Hz48000, 440.0, 9_000, 960 * 50).chunks_exact(960) {
        world.say(7, frame);
        (0..4).for_each(|_| world.tick());
        world.listen(&mut heard);
    }
    assert!(world.leg.counters().jitsi_unknown_source >= 48);
    assert!(tone::amplitude(SampleRate::Hz8000, &heard, 440.0) < 50.0);
}

#[test]
fn a_focus_that_announces_and_takes_back_without_end_fills_no_memory() {
    let mut world = World::connected(CodecKind::Pcmu);
    let room = world.leg.downlink.attic.capacity();
    for ssrc in 0..2 * JITSI_SOURCES_MAX as u32 {
        world.join(1_000 + ssrc);
        let command = ConferenceCommand::RemoveSource { ssrc: 1_000 + ssrc };
        world.leg.command(world.now, command, &mut world.ingress);
    }
    assert_eq!(world.leg.downlink.attic.len(), JITSI_SOURCES_MAX);
    assert_eq!(world.leg.downlink.attic.capacity(), room);
}

#[test]
fn a_bridge_that_goes_silent_is_told_upwards() {
    let mut world = World::connected(CodecKind::Pcmu);
    for _ in 0..3_400 {
        world.now += Duration::from_millis(5);
        if world.leg.poll_timeout().is_some_and(|(at, _)| at <= world.now) {
            world.leg.handle_timeout(world.now, &mut world.ingress);
        }
        world.settle();
        world.flights.clear();
    }
    let lost = ConferenceEvent::Transport(TransportEvent::Disconnected);
    assert!(world.events.contains(&lost), "{:?}", world.events);
}

/// The bridge's machine slept: half of what waited for it comes at once, half was lost, and then it goes on.
#[test]
fn after_a_bridge_woke_up_others_are_heard_again() {
    let mut world = World::connected(CodecKind::Pcmu);
    world.join(7);
    let voice = tone::speech(SampleRate::Hz48000, 5, SampleRate::Hz48000.frame_samples() * 1_500);
    let mut frames = voice.chunks_exact(SampleRate::Hz48000.frame_samples());
    let mut heard = Vec::new();
    let live = |world: &mut World,
                frames: &mut std::slice::ChunksExact<'_, i16>,
                count,
                out: &mut Vec<i16>| {
        for _ in 0..count {
            world.say(7, frames.next().expect("long enough"));
            for _ in 0..4 {
                world.tick();
            }
            world.listen(out);
        }
    };
    live(&mut world, &mut frames, 200, &mut heard);
    for _ in 0..400 {
        for _ in 0..4 {
            world.tick();
        }
        world.listen(&mut heard);
    }
    for number in 0..400 {
        let before = world.flights.len();
        world.say(7, frames.next().expect("long enough"));
        if number >= 200 && world.flights.len() > before {
            world.flights.pop_last();
        }
    }
    let mut after = Vec::new();
    live(&mut world, &mut frames, 300, &mut after);
    let level = level::mean_square(&after[after.len() / 2..]);
    assert!(level > level::mean_square(&heard[..heard.len() / 3]) / 4, "{level}");
}
