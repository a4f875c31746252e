//! A test phone's settings, its recordings and its way in and out of the line.

use std::sync::Arc;
use std::time::Instant;

use gateway_core::base::ids::{CallKey, LegKey};
use gateway_core::base::rng::Rng;
use gateway_core::leg::backend::{Backend, BackendOutput, CallWay, Entry, JoinRequest, LegCommand};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::leg::media::ToMedia;
use gateway_core::media::clip::ClipLibrary;

use super::record::Recorder;
use super::*;
use crate::testing::Folder;

fn phone(uri: &str) -> Phone {
    Phone {
        target: Target::parse(uri).expect("valid"),
        from_user: "tester".to_owned(),
        codecs: vec![CodecKind::Pcma],
        credentials: None,
        play: None,
        record: None,
    }
}

#[test]
fn a_phone_listens_where_its_target_can_answer() {
    let clips = Arc::new(ClipLibrary::embedded().expect("built in"));
    let config = phone("sip:pin@127.0.0.1:5070").gateway(clips).expect("has a route");
    assert_eq!(config.endpoint.listeners[0].bind.ip().to_string(), "127.0.0.1");
    assert_eq!(config.endpoint.trunks[0].peer, Some("127.0.0.1:5070".parse().expect("address")));
    assert!(config.rtp_ports.0 >= PORTS_FROM && config.rtp_ports.0.is_multiple_of(2));
    assert_eq!(config.rtp_ports.1 - config.rtp_ports.0 + 1, PORTS);
}

#[test]
fn a_pin_is_typed_with_its_hash_sign() {
    let Command::Dial { keys, route, .. } = phone("sip:pin@127.0.0.1").dial(Some("918273645"))
    else {
        panic!("a phone dials");
    };
    let (pause, typed) = keys.expect("typed");
    assert_eq!((pause, &typed[..]), (TYPE_AFTER, &b"918273645#"[..]));
    assert_eq!(route.backend, BACKEND);
}

#[test]
fn the_line_is_opened_before_it_is_joined_and_closed_after_it_is_left() {
    let mut backend = PhoneBackend::new(vec![CodecKind::Pcma], None, None);
    let (now, leg) = (Instant::now(), LegKey::conference(CallKey::default()));
    let ask = JoinRequest {
        room: RoomName::new("line").expect("name"),
        role: Role::Guest,
        label: Pii::default(),
        codec: CodecKind::Pcma,
        codecs: vec![CodecKind::Pcma],
        policy: RoomPolicy::default(),
        entry: Entry::default(),
        way: CallWay::Inbound,
    };
    backend.open_leg(now, leg, ask, Rng::from_number(1)).expect("always");
    let said = |backend: &mut PhoneBackend| {
        std::iter::from_fn(|| backend.poll_output())
            .map(|output| match output {
                BackendOutput::Media(_, ToMedia::OpenRoom { .. }) => "open",
                BackendOutput::Media(_, ToMedia::AttachConference { .. }) => "attach",
                BackendOutput::Joined(..) => "joined",
                BackendOutput::Media(_, ToMedia::DetachConference(_)) => "detach",
                BackendOutput::Media(_, ToMedia::CloseRoom(_)) => "close",
                BackendOutput::Left(_, EndReason::CallerHungUp) => "left",
                _ => "something else",
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&mut backend), ["open", "attach", "joined"]);
    backend.command(now, leg, LegCommand::Mute(true));
    assert!(said(&mut backend).is_empty());
    backend.command(now, leg, LegCommand::Leave(EndReason::CallerHungUp));
    assert_eq!(said(&mut backend), ["detach", "close", "left"]);
    backend.command(now, leg, LegCommand::Leave(EndReason::CallerHungUp));
    assert!(said(&mut backend).is_empty(), "once is enough");
}

#[test]
fn a_recording_of_silence_is_an_empty_file_and_a_bad_path_is_known_before_the_call() {
    let folder = Folder::new("record");
    let file = folder.path().join("heard.wav");
    let tap = PcmTap::new(1);
    let recorder = Recorder::new(&file, Arc::clone(&tap)).expect("made");
    assert_eq!(recorder.finish().expect("written"), 0.0);
    assert!(Recorder::new(&folder.path().join("no/such.wav"), tap).is_err());
}
