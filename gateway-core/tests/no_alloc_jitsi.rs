//! A phone in a Jitsi room allocates nothing per packet: a call through a shard whose conference half has real DTLS-SRTP
//! keys with a stand-in bridge, three of five voices chosen, speech, silence and mute of the phone, reports.
//!
//! What does allocate is ICE's keeping of consent, one check each way in about 2 s: a wake that sends or takes STUN is
//! counted and not judged.

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use gateway_core::leg::media::ToMedia;
use gateway_core::media::codec::CodecKind;
use gateway_core::shard::testkit::BridgedCall;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const FRAMES: usize = 500;

/// Allocations of the work.
fn allocations(work: &mut dyn FnMut()) -> u64 {
    let before = violation_count();
    assert_no_alloc(work);
    u64::from(violation_count() - before)
}

#[test]
fn a_phone_in_a_jitsi_room_allocates_nothing_per_packet() {
    for codec in [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus] {
        let mut call = BridgedCall::new(codec, 5, FRAMES, allocations);
        assert!(call.connect(), "{codec:?}: no keys in 2 s");
        for frame in 0..FRAMES {
            if frame == 250 || frame == 300 {
                call.command(ToMedia::Mute { call: call.call, muted: frame == 250 });
            }
            assert!(call.talk(frame), "{codec:?}: the bridge has no keys");
        }
        let tally = call.tally;
        assert_eq!(tally.media_cost, 0, "{codec:?}: allocations on the media path");
        // All that really happened: 8 s of speech without its pauses, 10 s of sound, a few checks.
        assert!(tally.to_bridge > 250 && tally.to_phone >= 495, "{codec:?}: {tally:?}");
        assert!((1..40).contains(&tally.control_wakes), "{codec:?}: {tally:?}");
    }
}
