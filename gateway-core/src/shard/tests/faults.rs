//! What must not harm the others: panics, a clock that stands still, nonsense from the network, commands for nobody.

use std::time::{Duration, Instant};

use super::signal::{amplitude, tone};
use super::world::{End, Setup, World};
use crate::base::ids::{CallKey, PlayToken, RoomKey};
use crate::base::rng::Rng;
use crate::leg::media::{
    ConferenceEvent, ConferenceMedia, FromMedia, Playlist, RoomDuring, SocketKind, ToMedia, Uplink,
};
use crate::media::codec::CodecKind;
use crate::media::frame::{Frame, SampleRate};
use crate::media::ingress::{EarKey, Heard, Ingress};
use crate::rtp::wire::header;

/// A conference half with a bug.
struct Faulty;

impl ConferenceMedia for Faulty {
    fn attach(&mut self, _: Instant, _: &mut Ingress) {}
    fn detach(&mut self, _: &mut Ingress) {}
    fn ear(&self) -> EarKey {
        EarKey(0)
    }
    fn set_rate(&mut self, _: SampleRate, _: &mut Ingress) {}
    fn pull(&mut self, _: Instant, _: &mut Ingress, _: &mut Frame) -> Heard {
        panic!("a bug of ours, on purpose")
    }
    fn push_uplink(&mut self, _: Instant, _: Uplink<'_>, _: &mut Ingress) {}
    fn set_muted(&mut self, _: bool, _: &mut Ingress) {}
}

#[test]
fn a_panic_ends_that_leg_and_no_other() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let (bad, good) = (world.line(&setup), world.line(&setup));
    let _ = world.probe(End::Phone, &good, &setup, tone(440.0, 8_000.0, 9_000, SampleRate::Hz8000));
    let ear = world.probe(End::Gateway, &good, &setup, Vec::new());
    world.run_ms(200);
    let room = RoomKey(1);
    world.command(End::Gateway, ToMedia::OpenRoom { room, ingress: Ingress::new(4) });
    let (call, half) = (bad.gateway, Box::new(Faulty));
    world.command(End::Gateway, ToMedia::AttachConference { call, room, half });
    world.run_ms(1_000);
    let said = world.hear_said(End::Gateway);
    let failed: Vec<CallKey> = said
        .iter()
        .filter_map(|said| match said {
            FromMedia::Failed(call) => Some(*call),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [bad.gateway], "said once");
    let heard = amplitude(&ear.last(500), 440.0, SampleRate::Hz8000);
    assert!((7_500.0..8_500.0).contains(&heard), "the other call: {heard}");
    world.log.clear();
    world.run_ms(200);
    assert!(world.log.iter().all(|(_, _, to, _)| *to != bad.phone_address()), "it is silent");
    world.command(End::Gateway, ToMedia::DetachTrunk(bad.gateway));
    let home = world.hear_said(End::Gateway);
    assert!(home.iter().any(|said| matches!(said, FromMedia::ConferenceDetached { .. })));
    assert!(home.iter().any(|said| matches!(said, FromMedia::TrunkDetached { .. })));
}

#[test]
fn a_short_stall_is_made_up_and_a_long_one_is_silence() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    world.run_ms(1_000);
    let sent = |world: &World| {
        let ours = world
            .log
            .iter()
            .filter(|(end, _, to, _)| *end == End::Gateway && *to == line.phone_address());
        ours.map(|(_, _, _, bytes)| header::parse(bytes).unwrap().0).collect::<Vec<_>>()
    };
    world.log.clear();
    world.stand_still_ms(50);
    world.run_ms(150);
    assert_eq!(sent(&world).len(), 10, "200 ms, whole");
    assert_eq!(world.gateway.counters().media_clock_rebased, 0);
    world.log.clear();
    world.stand_still_ms(500);
    world.run_ms(200);
    assert_eq!(world.gateway.counters().media_clock_rebased, 1);
    let packets = sent(&world);
    assert!((10..=13).contains(&packets.len()), "no burst: {}", packets.len());
    assert!(packets[0].marker, "after the silence");
    let span = packets.last().unwrap().timestamp.wrapping_sub(packets[0].timestamp);
    assert_eq!(span, (packets.len() as u32 - 1) * 160);
}

#[test]
fn commands_for_nobody_give_their_boxes_back() {
    let mut world = World::new();
    let (nobody, token) = (CallKey::default(), PlayToken(1));
    let playlist =
        Box::new(Playlist { clips: Vec::new(), repeat: false, room: RoomDuring::Silent });
    let half = Box::new(Faulty);
    let room = RoomKey(9);
    world.command(End::Gateway, ToMedia::Play { call: nobody, token, playlist });
    world.command(End::Gateway, ToMedia::AttachConference { call: nobody, room, half });
    world.command(End::Gateway, ToMedia::DetachTrunk(nobody));
    world.command(End::Gateway, ToMedia::DetachConference(nobody));
    world.command(End::Gateway, ToMedia::Mute { call: nobody, muted: true });
    world.command(End::Gateway, ToMedia::CloseRoom(room));
    let said = world.hear_said(End::Gateway);
    assert!(matches!(
        said.as_slice(),
        [
            FromMedia::PlayDone { finished: false, .. },
            FromMedia::ConferenceDetached { .. },
            FromMedia::Failed(_),
        ]
    ));
    assert_eq!(world.gateway.poll_timeout(), None, "an empty shard sleeps");
}

#[test]
fn nonsense_on_the_ports_changes_nothing() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    let _ = world.probe(End::Phone, &line, &setup, tone(440.0, 8_000.0, 9_000, SampleRate::Hz8000));
    let ear = world.probe(End::Gateway, &line, &setup, Vec::new());
    world.run_ms(200);
    let mut rng = Rng::from_number(5);
    for _ in 0..20_000 {
        let mut bytes = [0; 64];
        rng.fill(&mut bytes);
        if rng.below(2) == 0 {
            bytes[0] = 0x80;
        }
        let length = rng.below(65) as usize;
        let socket = if rng.below(2) == 0 { SocketKind::TrunkRtp } else { SocketKind::TrunkRtcp };
        let from = if rng.below(4) == 0 { line.phone_address() } else { line.gateway_address() };
        // Never a payload type the call uses: those are judged by their source.
        if bytes[1] & 0x7f == 0 || bytes[1] & 0x7f == 101 || bytes[1] & 0x7f == 13 {
            continue;
        }
        world.inject(&line, socket, from, &bytes[..length]);
    }
    world.run_ms(1_000);
    let heard = amplitude(&ear.last(500), 440.0, SampleRate::Hz8000);
    assert!((7_500.0..8_500.0).contains(&heard), "{heard}");
    let said = world.hear_said(End::Gateway);
    assert!(!said.iter().any(|said| matches!(said, FromMedia::Failed(_) | FromMedia::Key { .. })));
}

#[test]
fn a_closed_room_gives_every_seat_back() {
    let setup = Setup::new(CodecKind::Pcmu);
    let mut world = World::new();
    let line = world.line(&setup);
    let room = RoomKey(3);
    world.command(End::Gateway, ToMedia::OpenRoom { room, ingress: Ingress::new(4) });
    let seat = crate::leg::room::media::RoomMedia::new(1, &[setup.codec], SampleRate::Hz8000);
    let call = line.gateway;
    world.command(End::Gateway, ToMedia::AttachConference { call, room, half: seat });
    world.run_ms(Duration::from_millis(100).as_millis() as u64);
    world.command(End::Gateway, ToMedia::CloseRoom(room));
    let said = world.hear_said(End::Gateway);
    assert!(said.iter().any(|said| matches!(
        said,
        FromMedia::Conference { event: ConferenceEvent::Connected, .. }
    )));
    assert!(said.iter().any(|said| matches!(said, FromMedia::ConferenceDetached { .. })));
    assert!(said.iter().any(|said| matches!(said, FromMedia::RoomClosed { .. })));
}
