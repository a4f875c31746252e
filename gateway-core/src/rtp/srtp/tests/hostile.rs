//! Forged, mutated and cut packets: none is accepted, none is remembered, none panics, and the stream goes on.
//!
//! `WEEBEE_SRTP_FORGED` is how many per profile; 20,000 if it is not set.

use super::*;

fn count() -> u32 {
    std::env::var("WEEBEE_SRTP_FORGED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

#[test]
fn nothing_forged_is_accepted_or_remembered() {
    for profile in PROFILES {
        let mut rng = Rng::from_number(11);
        let (mut sender, mut receiver) = pair(profile);
        let mut sequence = 65_000_u16;
        let first = protect(&mut sender, &rtp(SSRC, sequence, b"hello")).unwrap();
        unprotect(&mut receiver, &first).unwrap();
        let report = protect_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        receiver.unprotect_rtcp(&mut report.clone()).unwrap();
        for number in 0..count() {
            if number % 100 == 0 {
                sequence = sequence.wrapping_add(1);
                let wire = protect(&mut sender, &rtp(SSRC, sequence, b"still here")).unwrap();
                unprotect(&mut receiver, &wire).expect("the stream goes on");
            }
            let next = sequence.wrapping_add(1 + rng.below(50) as u16);
            let (mut forged, is_rtcp) = forge(&mut rng, next, &report);
            let result = if is_rtcp {
                receiver.unprotect_rtcp(&mut forged)
            } else {
                receiver.unprotect_rtp(&mut forged)
            };
            // A tag of 32 bits is guessed once in 4 billion.
            assert!(result.is_err(), "{profile:?}: packet {number}");
        }
        assert_eq!(receiver.sources(), 1, "{profile:?}");
    }
}

/// A packet that could be the next one, but for its tag; or a mutated report; or anything.
fn forge(rng: &mut Rng, sequence: u16, report: &[u8]) -> (Vec<u8>, bool) {
    let mut noise = [0; 80];
    rng.fill(&mut noise);
    match rng.below(5) {
        0 => (rtp(SSRC, sequence, &noise), false),
        1 => (rtp(rng.u32(), sequence, &noise), false),
        2 => (noise[..rng.below(81) as usize].to_vec(), rng.below(2) == 0),
        3 => {
            let mut packet = rtp(SSRC, sequence, &noise);
            packet[0] = 0x80 | rng.u32() as u8;
            packet.truncate(rng.below(93) as usize);
            (packet, false)
        }
        _ => {
            let mut packet = report.to_vec();
            let place = rng.below(packet.len() as u32) as usize;
            packet[place] ^= 1 << rng.below(8);
            (packet, true)
        }
    }
}
