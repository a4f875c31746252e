//! What an attacker sends: mutated copies of everything that was on the wire, noise, replays, from the right address
//! and from others. An established leg lives through all of it; a handshake does if the address is not the bridge's.
//!
//! `WEEBEE_WEBRTC_HOSTILE` is how many datagrams; 10,000 if it is not set.

use super::pair::address;
use super::*;
use crate::base::rng::Rng;

fn count() -> u32 {
    let count = std::env::var("WEEBEE_WEBRTC_HOSTILE").ok();
    count.and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

fn mutate(rng: &mut Rng, wire: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let place = rng.below(wire.len() as u32) as usize;
    let mut bytes = wire[place].1.clone();
    match rng.below(6) {
        0 => bytes.truncate(rng.below(bytes.len() as u32 + 1) as usize),
        1 => {
            let mut noise = [0; 64];
            rng.fill(&mut noise);
            bytes.extend(noise);
        }
        2 => rng.fill(&mut bytes[1..]),
        _ => {
            for _ in 0..=rng.below(4) {
                let place = rng.below(bytes.len() as u32) as usize;
                bytes[place] = rng.u32() as u8;
            }
        }
    }
    bytes
}

#[test]
fn an_established_leg_lives_through_everything() {
    for setup in [Setup::Passive, Setup::Active] {
        let mut pair = Pair::new(Plan { setup, ..Plan::seeded(20) });
        pair.run_for(ms(2_000));
        for sequence in 0..50 {
            pair.send(BRIDGE, Media::Rtp, &rtp(2, sequence));
            pair.text(BRIDGE, "before");
            pair.run_for(ms(20));
        }
        let (wire, heard) = (pair.wire.clone(), pair.media[OURS].len());
        let mut rng = Rng::from_number(21);
        for number in 0..count() {
            let bytes = mutate(&mut rng, &wire);
            let from = if number % 2 == 0 { address(BRIDGE, 0) } else { address(7, 1) };
            pair.inject(OURS, 0, from, &bytes);
            if number % 1_000 == 0 {
                pair.run_for(ms(20));
            }
        }
        assert_eq!(pair.media[OURS].len(), heard, "{setup:?}: nothing forged was accepted");
        pair.run_for(ms(3_000));
        for sequence in 50..60 {
            assert!(pair.send(OURS, Media::Rtp, &rtp(1, sequence)));
            assert!(pair.send(BRIDGE, Media::Rtp, &rtp(2, sequence)));
        }
        pair.text(OURS, "after");
        pair.run_for(ms(1_000));
        assert_eq!(pair.media[OURS].len(), heard + 10, "{setup:?}");
        assert_eq!(pair.media[BRIDGE].len(), 10, "{setup:?}");
        assert_eq!(pair.texts(BRIDGE).last().map(String::as_str), Some("after"), "{setup:?}");
        let counters = pair.counters(OURS);
        assert!(counters.webrtc_datagrams_strange_source > 0 && counters.srtp_unauthentic > 0);
    }
}

/// A stranger who fires at the port while the handshake runs.
#[test]
fn a_stranger_cannot_break_a_handshake() {
    for setup in [Setup::Passive, Setup::Active] {
        let mut model = Pair::new(Plan { setup, ..Plan::seeded(22) });
        model.run_for(ms(2_000));
        let mut rng = Rng::from_number(23);
        for seed in 0..20 {
            let mut pair = Pair::new(Plan { setup, ..Plan::seeded(100 + seed) });
            for _ in 0..100 {
                for _ in 0..5 {
                    let bytes = mutate(&mut rng, &model.wire);
                    pair.inject(OURS, 0, address(7, 1), &bytes);
                }
                pair.run_for(ms(3));
            }
            pair.run_for(ms(3_000));
            assert!(pair.is_secured(OURS), "{setup:?} {seed}: {:?}", pair.events[OURS]);
        }
    }
}

/// Exact copies of everything that was said, from the right address and from another: nothing is taken twice.
#[test]
fn nothing_is_taken_twice() {
    for setup in [Setup::Passive, Setup::Active] {
        let mut pair = Pair::new(Plan { setup, ..Plan::seeded(24) });
        pair.run_for(ms(2_000));
        for sequence in 0..100 {
            pair.send(BRIDGE, Media::Rtp, &rtp(2, sequence));
            pair.text(BRIDGE, "once");
            pair.run_for(ms(20));
        }
        let (wire, heard, texts) = (pair.wire.clone(), pair.media[OURS].len(), pair.texts(OURS));
        assert_eq!((heard, texts.len()), (100, 100));
        for (_, bytes) in wire.iter().filter(|(end, _)| *end == BRIDGE) {
            pair.inject(OURS, 0, address(BRIDGE, 0), bytes);
            pair.inject(OURS, 0, address(7, 1), bytes);
        }
        pair.run_for(ms(1_000));
        assert_eq!(pair.media[OURS].len(), heard, "{setup:?}");
        assert_eq!(pair.texts(OURS), texts, "{setup:?}");
        assert!(pair.counters(OURS).srtp_replayed >= 100, "{:?}", pair.counters(OURS));
    }
}

/// Before there are keys: nothing is taken as media, nothing piles up. From strangers alone, the real handshake
/// succeeds afterwards; whoever can forge the bridge's address can break a handshake of DTLS, but nothing else.
#[test]
fn a_fresh_leg_keeps_nothing_of_what_it_is_sent() {
    for setup in [Setup::Passive, Setup::Active] {
        for forges_address in [false, true] {
            let mut model = Pair::new(Plan { setup, ..Plan::seeded(22) });
            model.run_for(ms(2_000));
            let mut pair = Pair::new(Plan { setup, ..Plan::seeded(25) });
            let mut rng = Rng::from_number(26);
            let from = if forges_address { address(BRIDGE, 0) } else { address(7, 1) };
            for _ in 0..count() {
                pair.inject(OURS, 0, from, &mutate(&mut rng, &model.wire));
            }
            assert!(!pair.is_secured(OURS) && pair.media[OURS].is_empty(), "{setup:?}");
            let leg = &pair.ends[OURS];
            assert!(leg.early.len() <= EARLY_MAX && leg.outbox.is_empty());
            assert!(leg.events.len() <= EVENTS_USUAL && pair.events[OURS].len() <= EVENTS_USUAL);
            pair.run_for(ms(3_000));
            assert!(forges_address || pair.is_secured(OURS), "{setup:?}: {:?}", pair.events[OURS]);
        }
    }
}
