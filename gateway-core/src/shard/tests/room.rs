//! Phones in one embedded room: who hears whom, how loud, how late.

use super::signal::{amplitude, find, level, speech, tone};
use super::world::{End, Line, Probe, Setup, World};
use crate::base::ids::RoomKey;
use crate::leg::media::{KeyWay, ToMedia};
use crate::leg::room::media::RoomMedia;
use crate::media::codec::CodecKind;
use crate::media::dtmf::{Key, Press};
use crate::media::frame::SampleRate;
use crate::media::ingress::Ingress;

const ROOM: RoomKey = RoomKey(1);

/// A room whose phones play what they are given; each probe is a phone's ear.
fn room(phones: &[(CodecKind, Vec<i16>)]) -> (World, Vec<Line>, Vec<Probe>) {
    let mut world = World::new();
    world.command(End::Gateway, ToMedia::OpenRoom { room: ROOM, ingress: Ingress::new(8) });
    let (mut lines, mut ears) = (Vec::new(), Vec::new());
    for (codec, play) in phones {
        let setup = Setup::new(*codec);
        let line = world.line(&setup);
        ears.push(world.probe(End::Phone, &line, &setup, play.clone()));
        sit_down(&mut world, &line, *codec);
        lines.push(line);
    }
    (world, lines, ears)
}

fn sit_down(world: &mut World, line: &Line, codec: CodecKind) {
    let half = RoomMedia::new(u64::from(line.number), &[codec], codec.row().pcm_rate);
    let call = line.gateway;
    world.command(End::Gateway, ToMedia::AttachConference { call, room: ROOM, half });
}

#[test]
fn everyone_hears_everyone_but_himself() {
    let voices = [(CodecKind::Pcmu, 430.0), (CodecKind::Opus, 610.0), (CodecKind::G722, 830.0)];
    let phones: Vec<_> = voices
        .iter()
        .map(|(codec, hz)| (*codec, tone(*hz, 6_000.0, 3_000, codec.row().pcm_rate)))
        .collect();
    let (mut world, _, ears) = room(&phones);
    world.run_ms(2_500);
    for (listener, ear) in ears.iter().enumerate() {
        let heard = ear.last(1_000);
        for (speaker, (codec, hz)) in voices.iter().enumerate() {
            let amplitude = amplitude(&heard, *hz, ear.rate());
            let name = format!("phone {listener} hears {speaker} ({codec:?}) at {amplitude}");
            if listener == speaker {
                assert!(amplitude < 100.0, "{name}: himself");
            } else {
                assert!((5_300.0..6_700.0).contains(&amplitude), "{name}: within 1 dB");
            }
        }
    }
}

#[test]
fn speech_crosses_a_room_whole_and_soon_for_each_pair_of_codecs() {
    let codecs = [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus];
    for from in codecs {
        for to in codecs {
            let rate = to.row().pcm_rate;
            let silence = Vec::new();
            let (mut world, _, ears) =
                room(&[(from, speech(1, 4_500, from.row().pcm_rate)), (to, silence)]);
            world.run_ms(5_000);
            let said = speech(1, 4_500, rate);
            // At first the buffer finds its delay: judged when it has.
            let settled = rate.samples(3_000);
            let words = &said[settled..settled + rate.samples(1_200)];
            let found = find(words, &ears[1].heard()[settled..], rate.samples(250));
            let delay_ms = found.delay / rate.samples(1);
            let name = format!("{from:?} -> {to:?}: {found:?}, {delay_ms} ms");
            // A phone of 8 kHz cannot say what is above 4 kHz, and Opus keeps the sound, not the wave.
            let opus = from == CodecKind::Opus || to == CodecKind::Opus;
            let correlation_min = if opus { 0.85 } else { 0.93 };
            assert!(found.correlation >= correlation_min, "{name}");
            assert!(found.gain_db.abs() <= 1.5, "{name}");
            // A frame at the phone, the wire, the buffer, the room's 20 ms, the wire, two codecs.
            assert!(delay_ms <= 85, "{name}");
            let echo = ears[0].heard();
            assert!(level(&echo[..]) < 60.0, "{name}: he hears himself: {}", level(&echo));
        }
    }
}

#[test]
fn a_muted_phone_is_not_heard_and_still_hears() {
    let rate = SampleRate::Hz8000;
    let phones = [
        (CodecKind::Pcmu, tone(430.0, 6_000.0, 4_000, rate)),
        (CodecKind::Pcma, tone(830.0, 6_000.0, 4_000, rate)),
    ];
    let (mut world, lines, ears) = room(&phones);
    world.run_ms(1_000);
    world.command(End::Gateway, ToMedia::Mute { call: lines[0].gateway, muted: true });
    world.run_ms(100);
    world.run_ms(1_000);
    assert!(level(&ears[1].last(900)) < 60.0, "after mute: {}", level(&ears[1].last(900)));
    assert!(amplitude(&ears[0].last(900), 830.0, rate) > 5_000.0);
    world.command(End::Gateway, ToMedia::Mute { call: lines[0].gateway, muted: false });
    world.run_ms(1_000);
    assert!(amplitude(&ears[1].last(500), 430.0, rate) > 5_000.0);
}

#[test]
fn keys_are_not_heard_in_the_room_and_make_no_noise_there() {
    let (mut world, lines, ears) =
        room(&[(CodecKind::Pcmu, Vec::new()), (CodecKind::Opus, Vec::new())]);
    world.run_ms(500);
    let keys = "0123456789*#".chars().filter_map(Key::from_char).map(Press::from).collect();
    world
        .command(End::Phone, ToMedia::SendKeys { call: lines[0].phone, keys, way: KeyWay::Events });
    world.run_ms(3_500);
    let heard = ears[1].last(3_500);
    assert!(level(&heard) < 60.0, "{}", level(&heard));
}

#[test]
fn who_leaves_is_gone_and_who_stays_goes_on() {
    let rate = SampleRate::Hz8000;
    let phones = [
        (CodecKind::Pcmu, tone(430.0, 6_000.0, 5_000, rate)),
        (CodecKind::Pcma, tone(830.0, 6_000.0, 5_000, rate)),
        (CodecKind::Pcmu, Vec::new()),
    ];
    let (mut world, lines, ears) = room(&phones);
    world.run_ms(1_000);
    world.command(End::Gateway, ToMedia::DetachTrunk(lines[0].gateway));
    world.run_ms(1_500);
    let heard = ears[2].last(1_000);
    assert!(amplitude(&heard, 430.0, rate) < 60.0, "who left");
    assert!((5_300.0..6_700.0).contains(&amplitude(&heard, 830.0, rate)), "who stayed");
}

#[test]
fn a_lossy_wire_is_concealed() {
    let rate = SampleRate::Hz8000;
    let said = speech(2, 6_500, rate);
    let (mut world, _, ears) =
        room(&[(CodecKind::Pcmu, said.clone()), (CodecKind::Pcmu, Vec::new())]);
    let normal = std::time::Duration::from_millis(1);
    world.wire = Box::new(move |end, number| match end {
        End::Gateway if number % 20 == 7 => None,
        _ => Some(normal),
    });
    world.run_ms(7_000);
    // At first the buffer finds its delay: judged when it has.
    let settled = rate.samples(3_000);
    let found = find(&said[settled..], &ears[1].heard()[settled..], rate.samples(250));
    assert!(found.correlation > 0.85, "5 % of one stream lost: {found:?}");
}
