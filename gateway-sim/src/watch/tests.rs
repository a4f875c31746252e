//! A checker that cannot turn red proves nothing: each is shown what it must not let pass.

use gateway_core::base::pii::Pii;
use gateway_core::leg::backend::RoomName;
use gateway_core::sip::endpoint::InviteFacts;

use super::*;
use crate::phone::sound::tone;
use crate::plan::WorldPlan;

/// Two phones of some world, both in the room from the first second to the twentieth.
fn two_in_a_room() -> (Watch, Vec<Phone>) {
    let plan = (0..).map(WorldPlan::draw).find(|plan| plan.phones.len() >= 2).expect("soon");
    let address = "198.51.100.1:5060".parse().expect("address");
    let phones = plan.phones.iter().take(2);
    let phones: Vec<Phone> =
        phones.map(|(plan, ..)| Phone::new(plan.clone(), address, address)).collect();
    let mut watch = Watch::new(seconds(3_600));
    for (index, phone) in phones.iter().enumerate() {
        let call = call(index);
        let facts = Box::new(InviteFacts { call_id: phone.call_id(), ..InviteFacts::default() });
        let event = Event::RouteNeeded { call, trunk: Default::default(), facts };
        watch.event(seconds(0), &event, |_| Some(index));
        watch.event(seconds(0), &Event::CallAnswered(call), |_| None);
        watch.event(seconds(1), &Event::CallJoined(call, room()), |_| None);
        watch.calls.get_mut(&call).expect("just announced").ended.push(seconds(20));
    }
    (watch, phones)
}

fn room() -> RoomName {
    RoomName::new("tea").expect("a name")
}

fn call(index: usize) -> CallKey {
    slotmap_key(index as u64 + 1)
}

fn slotmap_key(index: u64) -> CallKey {
    CallKey::from(slotmap::KeyData::from_ffi(1 << 32 | index))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Everybody talks from second 1 to 20; each ear hears the tones given for it.
fn judged(heard: [&[usize]; 2], change: impl FnOnce(&mut Watch, &mut [Phone])) -> Vec<String> {
    let (mut watch, mut phones) = two_in_a_room();
    let tones: Vec<f64> = phones.iter().map(|phone| phone.plan.tone_hz).collect();
    for (phone, heard) in phones.iter_mut().zip(heard) {
        phone.spells.push((Spell::Talking, seconds(1), Some(seconds(20))));
        let mut pcm = vec![0_i16; 8_000 * 19];
        for index in heard {
            let length = pcm.len();
            pcm.iter_mut().zip(tone(tones[*index], 0, length)).for_each(|(sum, it)| *sum += it);
        }
        phone.recording.put(seconds(1), 7, pcm.into_iter());
    }
    change(&mut watch, &mut phones);
    watch.at_end(&phones.iter().collect::<Vec<_>>());
    let (faults, tally) = watch.into_verdict();
    assert!(tally.blocks_self > 0, "nothing was judged");
    faults
}

#[test]
fn each_hearing_the_other_is_right() {
    assert_eq!(judged([&[1], &[0]], |_, _| {}), Vec::<String>::new());
}

#[test]
fn hearing_oneself_is_a_fault() {
    let faults = judged([&[1, 0], &[0]], |_, _| {});
    assert!(faults.len() == 1 && faults[0].contains("of phone0"), "{faults:?}");
}

#[test]
fn not_hearing_the_other_is_a_fault() {
    let faults = judged([&[], &[0]], |_, _| {});
    assert!(faults.len() == 1 && faults[0].contains("expected Tone"), "{faults:?}");
}

#[test]
fn hearing_somebody_muted_or_holding_is_a_fault() {
    let muted = judged([&[1], &[0]], |watch, _| {
        watch.event(seconds(5), &Event::CallMuted(call(1), true), |_| None);
    });
    assert!(muted.len() == 1 && muted[0].contains("expected Silence"), "{muted:?}");
    let held = judged([&[1], &[0]], |_, phones| {
        phones[1].spells.push((Spell::HoldAgreed, seconds(5), Some(seconds(15))));
    });
    assert!(held.len() == 1 && held[0].contains("expected Silence"), "{held:?}");
}

#[test]
fn no_record_or_two_are_faults() {
    let none = judged([&[1], &[0]], |watch, _| {
        watch.calls.values_mut().for_each(|seen| seen.ended.clear());
    });
    assert_eq!(none.iter().filter(|fault| fault.contains("0 records")).count(), 2);
    let two = judged([&[1], &[0]], |watch, _| {
        watch.calls.values_mut().for_each(|seen| seen.ended.push(seconds(20)));
    });
    assert_eq!(two.iter().filter(|fault| fault.contains("2 records")).count(), 2);
}

#[test]
fn two_final_responses_or_none_are_faults() {
    let invite = "INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=b\r\nCSeq: 1 INVITE\r\n\r\n";
    let response =
        |status: u16| invite.replace("INVITE sip:a SIP/2.0", &format!("SIP/2.0 {status} x"));
    let faults = |responses: &[u16]| {
        let mut watch = Watch::default();
        watch.sip_in(&Message::read(invite.as_bytes()).expect("SIP"));
        for status in responses {
            watch.sip_out(&Message::read(response(*status).as_bytes()).expect("SIP"));
        }
        watch.at_end(&[]);
        watch.into_verdict().0.len()
    };
    assert_eq!(faults(&[100, 200, 200]), 0);
    assert_eq!(faults(&[100]), 1);
    assert_eq!(faults(&[200, 487]), 1);
    assert_eq!(faults(&[503, 200]), 0);
}

#[test]
fn a_break_in_rtp_is_a_fault() {
    let packet = |sequence: u16, timestamp: u32, ssrc: u8| {
        let mut bytes = vec![0x80, 0];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend([0, 0, 0, ssrc]);
        bytes
    };
    let faults = |second: Vec<u8>| {
        let mut watch = Watch::default();
        watch.rtp_out(seconds(1), call(0), &packet(u16::MAX, u32::MAX - 79, 1), &[]);
        watch.rtp_out(seconds(1), call(0), &second, &[]);
        watch.into_verdict().0.len()
    };
    assert_eq!(faults(packet(0, 80, 1)), 0);
    assert_eq!(faults(packet(1, 80, 1)), 1);
    assert_eq!(faults(packet(0, u32::MAX - 79, 1)), 1);
    assert_eq!(faults(packet(0, 80, 2)), 1);
    assert_eq!(faults(vec![1, 2, 3]), 1);
}

#[test]
fn rtp_to_a_phone_on_hold_is_a_fault() {
    let (mut watch, mut phones) = two_in_a_room();
    phones[0].spells.push((Spell::HoldAgreed, seconds(5), Some(seconds(9))));
    let phones: Vec<&Phone> = phones.iter().collect();
    let packet = [0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 1];
    watch.rtp_out(seconds(4), call(0), &packet, &phones);
    assert!(watch.faults.is_empty());
    watch.rtp_out(seconds(6), call(0), &packet, &phones);
    assert!(!watch.faults.iter().any(|fault| fault.contains("on hold")), "a keep-alive may pass");
    watch.rtp_out(seconds(7), call(0), &packet, &phones);
    assert!(watch.faults.iter().any(|fault| fault.contains("on hold")));
}

#[test]
fn a_secret_in_a_log_line_is_a_fault_and_is_not_repeated() {
    let mut watch = Watch::default();
    let secrets = ["509845024".to_owned()];
    let fine = format!("DEBUG caller={:?}", Pii::new("509845024".to_owned()));
    watch.logs(&[fine], &secrets);
    assert!(watch.faults.is_empty());
    watch.logs(&["DEBUG typed=509845024".to_owned()], &secrets);
    let (faults, _) = watch.into_verdict();
    assert!(faults.len() == 1 && !faults[0].contains("509845024"), "{faults:?}");
}
