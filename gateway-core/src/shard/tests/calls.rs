//! One call between two legs: sound, keys, hold, clips, packet times, sources.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::signal::{amplitude, find, level, speech, tone};
use super::world::{End, Setup, World};
use crate::base::ids::PlayToken;
use crate::leg::media::{FromMedia, KeyWay, Playlist, RoomDuring, SocketKind, ToMedia};
use crate::media::clip::Clip;
use crate::media::codec::CodecKind;
use crate::media::dtmf::{Key, KeySource, Press};
use crate::media::frame::SampleRate;
use crate::rtp::session::Direction;
use crate::rtp::wire::header::{self, RtpHeader};

const CODECS: [CodecKind; 4] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722, CodecKind::Opus];

/// How much a codec may change a voice that is no voice.
fn correlation_min(codec: CodecKind) -> f64 {
    match codec {
        CodecKind::Opus => 0.90,
        _ => 0.97,
    }
}

/// Its own delay, in ms.
fn codec_delay_ms(codec: CodecKind) -> usize {
    match codec {
        CodecKind::Opus => 7,
        CodecKind::G722 => 2,
        _ => 0,
    }
}

#[test]
fn each_codec_carries_sound_at_its_level_without_delay_of_its_own() {
    for codec in CODECS {
        for packet_time_ms in [10, 20, 30, 40, 60] {
            let setup = Setup { packet_time_ms, ..Setup::new(codec) };
            let rate = codec.row().pcm_rate;
            let mut world = World::new();
            let line = world.line(&setup);
            let said = speech(7, 3_000, rate);
            let _ = world.probe(End::Phone, &line, &setup, said.clone());
            let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
            world.run_ms(3_200);
            let found = find(&said, &ear.heard(), rate.samples(150));
            let name = format!("{codec:?} at {packet_time_ms} ms: {found:?}");
            assert!(found.correlation >= correlation_min(codec), "{name}");
            assert!(found.gain_db.abs() <= 1.0, "{name}");
            // Made up to 20 ms after the start, sent when the packet is full, 1 ms on the wire.
            let delay_ms = found.delay / rate.samples(1);
            let packet_ms = usize::from(packet_time_ms).div_ceil(20) * 20;
            assert!(delay_ms <= packet_ms + codec_delay_ms(codec) + 11, "{name}");
        }
    }
}

#[test]
fn packets_leave_on_a_steady_grid_with_timestamps_of_their_length() {
    for (packet_time_ms, codec) in
        [(10, CodecKind::Pcma), (30, CodecKind::G722), (60, CodecKind::Opus)]
    {
        let setup = Setup { packet_time_ms, ..Setup::new(codec) };
        let mut world = World::new();
        let line = world.line(&setup);
        world.run_ms(1_500);
        let sent: Vec<_> = world
            .log
            .iter()
            .filter(|(end, _, to, _)| *end == End::Gateway && *to == line.phone_address())
            .map(|(_, at, _, bytes)| (*at, header::parse(bytes).unwrap().0))
            .collect();
        assert!(sent.len() >= 1_400 / usize::from(packet_time_ms), "{}", sent.len());
        let length = Duration::from_millis(u64::from(packet_time_ms));
        let units = codec.row().clock_hz / 1_000 * u32::from(packet_time_ms);
        for pair in sent[1..].windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, length, "{codec:?}");
            assert_eq!(pair[1].1.timestamp.wrapping_sub(pair[0].1.timestamp), units);
            assert_eq!(pair[1].1.sequence, pair[0].1.sequence.wrapping_add(1));
            assert!(!pair[1].1.marker, "one talkspurt");
        }
        assert!(sent[0].1.marker && sent[0].1.sequence < 1 << 15);
    }
}

#[test]
fn keys_arrive_once_and_are_never_heard() {
    for codec in [CodecKind::Pcmu, CodecKind::Opus] {
        let setup = Setup::new(codec);
        let rate = codec.row().pcm_rate;
        let mut world = World::new();
        let line = world.line(&setup);
        let _ = world.probe(End::Phone, &line, &setup, tone(440.0, 8_000.0, 6_000, rate));
        let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
        world.run_ms(500);
        let keys = "159#".chars().filter_map(Key::from_char).map(Press::from).collect();
        world
            .command(End::Phone, ToMedia::SendKeys { call: line.phone, keys, way: KeyWay::Events });
        world.run_ms(2_000);
        let heard: String = world
            .hear_said(End::Gateway)
            .iter()
            .filter_map(|said| match said {
                FromMedia::Key { key, source: KeySource::Event, .. } => Some(key.to_char()),
                _ => None,
            })
            .collect();
        assert_eq!(heard, "159#", "{codec:?}");
        let sound = ear.heard();
        for hz in [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0] {
            assert!(amplitude(&sound, hz, rate) < 60.0, "{hz} Hz of a key in the room");
        }
        let packets = ear.packets();
        assert!(
            packets.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1),
            "events leave no gap in the numbers: a gap would be concealed"
        );
        let jumps = packets.windows(2).filter(|pair| pair[1].2).count();
        assert_eq!(jumps, 4, "a talkspurt begins after each key");
    }
}

/// A phone without telephone-event sends tones. They become keys, and the room hears none of them.
#[test]
fn tones_become_keys_and_never_reach_the_room() {
    for codec in [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722] {
        for packet_time_ms in [10, 20, 30, 60] {
            let setup = Setup { events: false, packet_time_ms, ..Setup::new(codec) };
            let rate = codec.row().pcm_rate;
            let mut world = World::new();
            let line = world.line(&setup);
            let mut voice = speech(3, 1_000, rate);
            voice.extend(vec![0; rate.samples(100)]);
            let mut said = voice.clone();
            // "5" and "9", 80 ms each, off the packets' grid.
            for (row, column) in [(770.0, 1_336.0), (852.0, 1_477.0)] {
                let tones = tone(row, 6_000.0, 80, rate);
                let pair = tones.iter().zip(tone(column, 6_000.0, 80, rate)).map(|(a, b)| a + b);
                said.extend(pair);
                said.extend(vec![0; rate.samples(107)]);
            }
            said.extend(&voice);
            let _ = world.probe(End::Phone, &line, &setup, said);
            let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
            world.run_ms(3_000);
            let keys: String = world
                .hear_said(End::Gateway)
                .iter()
                .filter_map(|said| match said {
                    FromMedia::Key { key, source: KeySource::Inband, .. } => Some(key.to_char()),
                    _ => None,
                })
                .collect();
            let name = format!("{codec:?} at {packet_time_ms} ms");
            assert_eq!(keys, "59", "{name}");
            let heard = ear.heard();
            let found = find(&voice, &heard, rate.samples(200));
            let tones =
                &heard[found.delay + rate.samples(1_005)..found.delay + rate.samples(1_470)];
            assert!(level(tones) < 60.0, "{name}: {} of a key in the room", level(tones));
            assert!(found.correlation > 0.96, "{name}: the voice before: {found:?}");
        }
    }
}

#[test]
fn nothing_is_heard_after_mute_and_keys_still_work() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    let _ = world.probe(End::Phone, &line, &setup, tone(440.0, 8_000.0, 5_000, SampleRate::Hz8000));
    let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
    world.run_ms(500);
    assert!(level(&ear.last(100)) > 5_000.0);
    world.command(End::Gateway, ToMedia::Mute { call: line.gateway, muted: true });
    let packets = ear.packets().len();
    world.run_ms(500);
    assert_eq!(ear.packets().len(), packets);
    let keys = "*6".chars().filter_map(Key::from_char).map(Press::from).collect();
    world.command(End::Phone, ToMedia::SendKeys { call: line.phone, keys, way: KeyWay::Events });
    world.run_ms(500);
    let keys = world.hear_said(End::Gateway);
    assert_eq!(keys.iter().filter(|said| matches!(said, FromMedia::Key { .. })).count(), 2);
    world.command(End::Gateway, ToMedia::Mute { call: line.gateway, muted: false });
    world.run_ms(300);
    assert!(ear.packets().len() > packets + 5);
}

#[test]
fn hold_stops_each_direction_and_keeps_the_path_open() {
    let setup = Setup::new(CodecKind::Pcma);
    let mut world = World::new();
    let line = world.line(&setup);
    let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
    world.run_ms(500);
    for (direction, gateway_sends, gateway_hears) in [
        (Direction::SendOnly, true, false),
        (Direction::RecvOnly, false, true),
        (Direction::Inactive, false, false),
        (Direction::SendRecv, true, true),
    ] {
        world.configure(&line, &Setup { direction, ..setup.clone() });
        world.run_ms(100);
        world.log.clear();
        let heard = ear.packets().len();
        world.run_ms(16_000);
        let audio = |end: End| {
            let sent =
                world.log.iter().filter(|(who, _, _, bytes)| *who == end && bytes.len() == 172);
            sent.count()
        };
        assert_eq!(audio(End::Gateway) > 0, gateway_sends, "{direction:?}");
        assert_eq!(ear.packets().len() > heard, gateway_hears, "{direction:?}");
        let keep_alives = world.log.iter().filter(|(end, _, to, bytes)| {
            *end == End::Gateway && *to == line.phone_address() && bytes.len() == 12
        });
        assert_eq!(keep_alives.count() > 0, !gateway_sends, "{direction:?}");
        let silent = world.hear_said(End::Gateway);
        assert!(!silent.iter().any(|said| matches!(said, FromMedia::Silent(_))), "{direction:?}");
    }
}

#[test]
fn a_phone_that_falls_silent_is_reported_once_unless_it_is_held() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    world.run_ms(1_000);
    world.command(End::Phone, ToMedia::DetachTrunk(line.phone));
    world.run_ms(29_000);
    let count = |world: &mut World| {
        let said = world.hear_said(End::Gateway);
        said.iter().filter(|said| matches!(said, FromMedia::Silent(_))).count()
    };
    assert_eq!(count(&mut world), 0);
    world.run_ms(10_000);
    assert_eq!(count(&mut world), 1);
    world.run_ms(60_000);
    assert_eq!(count(&mut world), 0, "said once");
    let held = Setup { direction: Direction::SendOnly, ..setup };
    world.configure_end(End::Gateway, &line, &held);
    world.run_ms(120_000);
    assert_eq!(count(&mut world), 0, "held phones may be silent");
}

fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [0; 400];
    let header = RtpHeader { payload_type, marker: false, sequence, timestamp, ssrc };
    let length = header::write(header, payload, &mut bytes).unwrap();
    bytes[..length].to_vec()
}

/// A stranger sprays our port from elsewhere during the call: the phone stays heard, the stranger never is, and our
/// packets keep going to the phone.
#[test]
fn a_stranger_cannot_take_a_call_over() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    let _ = world.probe(End::Phone, &line, &setup, tone(440.0, 8_000.0, 9_000, SampleRate::Hz8000));
    let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
    world.run_ms(500);
    let stranger: SocketAddr = "203.0.113.66:4444".parse().unwrap();
    world.log.clear();
    for number in 0..200_u16 {
        let noise = packet(0, number, u32::from(number) * 160, 0xbad, &[0x80; 160]);
        world.inject(&line, SocketKind::TrunkRtp, stranger, &noise);
        world.inject(&line, SocketKind::TrunkRtcp, stranger, &[0x80, 201, 0, 1, 0, 0, 0, 1]);
        world.run_ms(20);
    }
    let heard = ear.last(3_000);
    let clean = amplitude(&heard, 440.0, SampleRate::Hz8000);
    assert!((7_500.0..8_500.0).contains(&clean), "the phone: {clean}");
    assert!(level(&heard) < 6_000.0, "nothing beside the phone: {}", level(&heard));
    assert!(world.log.iter().all(|(_, _, to, _)| *to != stranger));
    assert_eq!(world.gateway.media_counters().rtp_strange_source, 400);
}

#[test]
fn a_new_ssrc_and_a_wrap_go_on_as_one_stream() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    world.command(End::Phone, ToMedia::DetachTrunk(line.phone));
    let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
    let from = line.phone_address();
    for number in 0..50_u16 {
        let sequence = 65_520_u16.wrapping_add(number);
        let timestamp = (u32::MAX - 1_600).wrapping_add(u32::from(number) * 160);
        let bytes = packet(0, sequence, timestamp, 1, &[0xd5; 160]);
        world.inject(&line, SocketKind::TrunkRtp, from, &bytes);
        world.run_ms(20);
    }
    for number in 0..50_u16 {
        let bytes = packet(0, 7 + number, 99 + u32::from(number) * 160, 2, &[0xd5; 160]);
        world.inject(&line, SocketKind::TrunkRtp, from, &bytes);
        world.run_ms(20);
    }
    let packets = ear.packets();
    assert_eq!(packets.len(), 100);
    for (index, pair) in packets.windows(2).enumerate() {
        assert_eq!(
            (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1),
            (1, 160),
            "after packet {index}"
        );
    }
    assert!(packets[50].2, "the new stream is marked");
}

fn clip(ms: usize, hz: f64) -> Arc<Clip> {
    let rate = SampleRate::Hz48000;
    Arc::new(Clip::new("test".into(), rate, tone(hz, 8_000.0, ms, rate)))
}

#[test]
fn a_clip_is_heard_over_the_room_which_is_lowered_meanwhile() {
    for codec in CODECS {
        let setup = Setup::new(codec);
        let rate = codec.row().pcm_rate;
        let mut world = World::new();
        let line = world.line(&setup);
        let _ = world.probe(End::Gateway, &line, &setup, tone(440.0, 8_000.0, 3_000, rate));
        let ear = world.probe(End::Phone, &line, &setup, Vec::new());
        world.run_ms(500);
        let playlist = Playlist {
            clips: vec![clip(500, 1_000.0), clip(500, 1_000.0)],
            repeat: false,
            room: RoomDuring::Ducked,
        };
        let (call, token) = (line.gateway, PlayToken(5));
        world.command(End::Gateway, ToMedia::Play { call, token, playlist: Box::new(playlist) });
        world.run_ms(900);
        let during = ear.last(500);
        let (room, clip) = (amplitude(&during, 440.0, rate), amplitude(&during, 1_000.0, rate));
        assert!((1_600.0..2_400.0).contains(&room), "{codec:?}: the room at -12 dB: {room}");
        assert!((7_000.0..9_000.0).contains(&clip), "{codec:?}: the clip: {clip}");
        world.run_ms(1_000);
        let after = amplitude(&ear.last(300), 440.0, rate);
        assert!((7_000.0..9_000.0).contains(&after), "{codec:?}: the room after: {after}");
        let done = world.hear_said(End::Gateway);
        assert!(done.iter().any(|said| matches!(
            said,
            FromMedia::PlayDone { token: PlayToken(5), finished: true, .. }
        )));
    }
}

#[test]
fn a_silent_line_hisses_softly() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    let ear = world.probe(End::Phone, &line, &setup, Vec::new());
    world.run_ms(1_000);
    let dbov = 20.0 * (level(&ear.last(500)) / 32_768.0).log10();
    assert!((-65.0..-59.0).contains(&dbov), "{dbov} dBov");
}

#[test]
fn a_codec_change_in_the_call_changes_the_sound_path() {
    let narrow = Setup::new(CodecKind::Pcmu);
    let wide = Setup::new(CodecKind::Opus);
    let mut world = World::new();
    let line = world.line(&narrow);
    let _ = world.probe(End::Phone, &line, &narrow, Vec::new());
    world.run_ms(300);
    world.configure(&line, &wide);
    let ear = world.probe(End::Gateway, &line, &wide, Vec::new());
    let _ = world.probe(End::Phone, &line, &wide, tone(700.0, 8_000.0, 2_000, SampleRate::Hz48000));
    world.run_ms(1_000);
    let heard = amplitude(&ear.last(500), 700.0, SampleRate::Hz48000);
    assert!((7_000.0..9_000.0).contains(&heard), "{heard}");
    let replaced = world.hear_said(End::Gateway);
    assert!(replaced.iter().any(|said| matches!(said, FromMedia::Replaced { .. })));
}

#[test]
fn reports_say_what_the_wire_did() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    world.wire = Box::new(|end, number| match end {
        End::Gateway if number % 10 == 3 => None,
        _ => Some(Duration::from_millis(25)),
    });
    let line = world.line(&setup);
    world.run_ms(40_000);
    let reports = world.hear_said(End::Gateway);
    let last = reports.iter().rev().find_map(|said| match said {
        FromMedia::Report { report, .. } => Some(*report),
        _ => None,
    });
    let report = last.expect("a report every 5 s");
    let share = report.packets_lost as f64 / (report.packets_lost + report.packets_received) as f64;
    assert!((0.09..0.11).contains(&share), "lost {share}");
    assert!(report.jitter < Duration::from_millis(1), "{:?}", report.jitter);
    let round_trip = report.round_trip.expect("both report").as_millis();
    assert!((1..=8).contains(&round_trip), "RTCP flies 1 ms each way: {round_trip} ms");
    assert_eq!(report.far_loss_percent, Some(0));
    world.command(End::Gateway, ToMedia::DetachTrunk(line.gateway));
    let goodbye = world.log.iter().rev().find(|(end, ..)| *end == End::Gateway).unwrap();
    let mut left = false;
    crate::rtp::wire::rtcp::parse(&goodbye.3, &mut |packet| {
        left |= matches!(packet, crate::rtp::wire::rtcp::RtcpPacket::Bye(_));
    })
    .unwrap();
    assert!(left, "RTCP BYE is the last word");
}
