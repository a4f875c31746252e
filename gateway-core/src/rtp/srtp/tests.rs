//! Vectors of the RFCs and of libsrtp, the rollover table, reordering over wraps, and forged packets.

mod hostile;
mod vectors;

use super::window::nearest_index;
use super::*;
use crate::base::rng::Rng;

pub(super) const PROFILES: [SrtpProfile; 4] = [
    SrtpProfile::AesCm128Sha1_80,
    SrtpProfile::AesCm128Sha1_32,
    SrtpProfile::AeadAes128Gcm,
    SrtpProfile::AeadAes256Gcm,
];

pub(super) const SSRC: u32 = 0xcafe_babe;

/// Both ends of one direction.
pub(super) fn pair(profile: SrtpProfile) -> (SrtpSender, SrtpReceiver) {
    let (key, salt) = ([7; 32], [9; 14]);
    let (key, salt) = (&key[..profile.key_bytes()], &salt[..profile.salt_bytes()]);
    let sender = SrtpSender::new(profile, key, salt).expect("lengths are the profile's");
    (sender, SrtpReceiver::new(profile, key, salt).expect("lengths are the profile's"))
}

pub(super) fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(sequence.to_be_bytes());
    packet.extend(960_u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

pub(super) fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([5; 20]);
    packet
}

pub(super) fn protect(sender: &mut SrtpSender, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + TRAILER_BYTES_MAX, 0xee);
    let length = sender.protect_rtp(&mut buffer, packet.len())?;
    buffer.truncate(length);
    Ok(buffer)
}

pub(super) fn protect_rtcp(sender: &mut SrtpSender, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + TRAILER_BYTES_MAX, 0xee);
    let length = sender.protect_rtcp(&mut buffer, packet.len())?;
    buffer.truncate(length);
    Ok(buffer)
}

pub(super) fn unprotect(receiver: &mut SrtpReceiver, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    let length = receiver.unprotect_rtp(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

#[test]
fn what_goes_in_comes_out() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for payload in [&b""[..], b"x", &[3; 160], &[4; 1_300]] {
            let plain = rtp(SSRC, payload.len() as u16 + 1, payload);
            let wire = protect(&mut sender, &plain).unwrap();
            assert_eq!(wire[..12], plain[..12], "{profile:?}: the header stays readable");
            assert!(payload.len() < 16 || !wire.windows(16).any(|part| part == &payload[..16]));
            assert_eq!(unprotect(&mut receiver, &wire).as_deref(), Ok(&plain[..]), "{profile:?}");
            assert_eq!(unprotect(&mut receiver, &wire), Err(SrtpError::Replayed));
        }
        let wire = protect_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        let mut buffer = wire.clone();
        let length = receiver.unprotect_rtcp(&mut buffer).unwrap();
        assert_eq!(buffer[..length], rtcp(SSRC), "{profile:?}");
        assert_eq!(receiver.unprotect_rtcp(&mut wire.clone()), Err(SrtpError::Replayed));
    }
}

/// An extension of any shape is a part of the header: its length counts, not its elements.
#[test]
fn a_header_is_as_long_as_the_wire_says() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for (sequence, elements) in
            [[0x10, 0xff, 0, 0], [0xf3, 1, 2, 3], [0x1f, 9, 9, 9]].iter().enumerate()
        {
            let mut plain = rtp(SSRC, sequence as u16, &[]);
            plain[0] = 0x92;
            plain.extend([1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1]);
            plain.extend(elements);
            plain.extend(b"speech speech speech");
            let wire = protect(&mut sender, &plain).unwrap();
            assert_eq!(wire[..28], plain[..28], "{profile:?}");
            assert_ne!(wire[28..48], plain[28..48], "{profile:?}");
            assert_eq!(unprotect(&mut receiver, &wire).as_deref(), Ok(&plain[..]), "{profile:?}");
        }
        let mut overlong = rtp(SSRC, 9, &[0; 8]);
        overlong[0] = 0x90;
        overlong[14..16].copy_from_slice(&2_u16.to_be_bytes());
        assert_eq!(protect(&mut sender, &overlong), Err(SrtpError::Malformed));
        assert_eq!(unprotect(&mut receiver, &overlong), Err(SrtpError::Malformed));
    }
}

/// RFC 3711 §3.3.1, and the edges it leaves open.
#[test]
fn the_nearest_index_over_every_edge() {
    let end = 1 << 48;
    for (highest, sequence, index) in [
        (0, 0, Some(0)),
        (0, 1, Some(1)),
        (0, 65_535, Some(65_535)), // before the first packet there is none
        (10, 65_000, Some(65_000)),
        (65_535, 0, Some(65_536)),
        (65_535, 65_534, Some(65_534)),
        (65_536, 65_535, Some(65_535)),
        (65_536 + 10, 65_530, Some(65_530)),
        (65_536 + 32_767, 65_535, Some(2 * 65_536 - 1)),
        (65_536 + 32_766, 65_535, Some(65_535)),
        (65_536 + 32_768, 0, Some(65_536)),
        (65_536 + 32_769, 0, Some(2 * 65_536)),
        (3 * 65_536, 40_000, Some(2 * 65_536 + 40_000)),
        (end - 1, 65_535, Some(end - 1)),
        (end - 1, 0, None),
        (end - 10, 65_000, Some(end - 536)),
    ] {
        assert_eq!(nearest_index(highest, sequence), index, "after {highest}, {sequence}");
    }
}

/// 10 % loss, 10 % twice, up to 3 packets out of order, three wraps: each that arrives is accepted once.
#[test]
fn reordering_over_wraps_loses_nothing_and_repeats_nothing() {
    let mut rng = Rng::from_number(5);
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    let mut flying = Vec::new();
    let (mut fresh, mut again) = (0, 0);
    let mut deliver = |receiver: &mut SrtpReceiver,
                       (number, wire, came): &mut (u64, Vec<u8>, u32)| {
        let result = unprotect(receiver, wire);
        if *came == 0 {
            let plain = rtp(SSRC, *number as u16, &number.to_be_bytes());
            assert_eq!(result.as_deref(), Ok(&plain[..]), "packet {number}");
            fresh += 1;
        } else {
            assert_eq!(result, Err(SrtpError::Replayed), "packet {number}");
            again += 1;
        }
        *came += 1;
    };
    for number in 65_000..200_000_u64 {
        let wire = protect(&mut sender, &rtp(SSRC, number as u16, &number.to_be_bytes())).unwrap();
        if rng.below(10) == 0 {
            continue;
        }
        flying.push((number, wire, 0));
        while flying.len() > 3 {
            let place = rng.below(flying.len() as u32) as usize;
            deliver(&mut receiver, &mut flying[place]);
            if rng.below(10) != 0 {
                flying.swap_remove(place);
            }
        }
    }
    assert!(fresh > 120_000 && again > 10_000, "{fresh} {again}");
}

#[test]
fn an_index_is_never_used_twice() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        protect(&mut sender, &rtp(SSRC, 100, b"a")).unwrap();
        for sequence in [100, 99, 0] {
            let again = protect(&mut sender, &rtp(SSRC, sequence, b"b"));
            assert_eq!(again, Err(SrtpError::IndexUsed), "{profile:?} {sequence}");
        }
        // A change of SSRC and back does not forget.
        protect(&mut sender, &rtp(SSRC + 1, 100, b"c")).unwrap();
        assert_eq!(protect(&mut sender, &rtp(SSRC, 100, b"d")), Err(SrtpError::IndexUsed));
        protect(&mut sender, &rtp(SSRC, 101, b"e")).unwrap();
    }
}

#[test]
fn a_sender_stops_where_the_indices_end() {
    let (mut sender, _) = pair(SrtpProfile::AeadAes128Gcm);
    sender.begin_at(SSRC, Some((1 << 48) - 2), (1 << 31) - 1);
    protect(&mut sender, &rtp(SSRC, 65_535, b"last")).unwrap();
    assert_eq!(protect(&mut sender, &rtp(SSRC, 0, b"over")), Err(SrtpError::IndexUsed));
    protect_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
    assert_eq!(protect_rtcp(&mut sender, &rtcp(SSRC)), Err(SrtpError::IndexUsed));
}

#[test]
fn the_window_is_128_wide() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AesCm128Sha1_80);
    let wires: Vec<_> = (0..300_u16)
        .map(|sequence| protect(&mut sender, &rtp(SSRC, sequence, b"x")).unwrap())
        .collect();
    unprotect(&mut receiver, &wires[0]).unwrap();
    unprotect(&mut receiver, &wires[200]).unwrap();
    assert_eq!(unprotect(&mut receiver, &wires[72]), Err(SrtpError::Replayed), "129 back");
    unprotect(&mut receiver, &wires[73]).unwrap();
    assert_eq!(unprotect(&mut receiver, &wires[73]), Err(SrtpError::Replayed));
}

#[test]
fn unencrypted_srtcp_is_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let wire = protect_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        let at = receiver_index_at(profile, wire.len());
        let mut clear = wire.clone();
        clear[at] &= 0x7f;
        let result = receiver.unprotect_rtcp(&mut clear);
        assert_eq!(result, Err(SrtpError::Unauthentic), "{profile:?}");
        receiver.unprotect_rtcp(&mut wire.clone()).unwrap();
    }
}

fn receiver_index_at(profile: SrtpProfile, bytes: usize) -> usize {
    match profile {
        SrtpProfile::AesCm128Sha1_80 | SrtpProfile::AesCm128Sha1_32 => bytes - 14,
        _ => bytes - 4,
    }
}

#[test]
fn a_full_table_refuses_the_next_source_and_keeps_the_others() {
    let (key, salt) = ([7; 16], [9; 12]);
    let mut receiver = SrtpReceiver::new(SrtpProfile::AeadAes128Gcm, &key, &salt).unwrap();
    let from = |ssrc: u32, sequence| {
        let mut sender = SrtpSender::new(SrtpProfile::AeadAes128Gcm, &key, &salt).unwrap();
        protect(&mut sender, &rtp(ssrc, sequence, b"x")).unwrap()
    };
    for ssrc in 0..SOURCES_MAX as u32 {
        unprotect(&mut receiver, &from(ssrc, 1)).unwrap();
    }
    assert_eq!(unprotect(&mut receiver, &from(5_000, 1)), Err(SrtpError::TooManySources));
    assert_eq!(unprotect(&mut receiver, &from(17, 1)), Err(SrtpError::Replayed));
    receiver.forget(17);
    unprotect(&mut receiver, &from(5_000, 1)).unwrap();
    assert_eq!(receiver.sources(), SOURCES_MAX);
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    for profile in PROFILES {
        let (key, salt) = (vec![0; profile.key_bytes()], vec![0; profile.salt_bytes()]);
        assert!(SrtpSender::new(profile, &key, &salt).is_ok());
        assert!(SrtpSender::new(profile, &key[1..], &salt).is_err());
        assert!(SrtpReceiver::new(profile, &key, &salt[1..]).is_err());
    }
}
