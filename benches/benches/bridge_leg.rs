//! What a G.711 phone in a Jitsi room costs: its media through a shard, with a stand-in bridge that has real DTLS-SRTP keys.
//! Nobody, one, three and ten speak.
//!
//! Only the shard's own work is timed, not the bridge's and not the speakers'; there are no sockets, so that the kernel's
//! share is not in it. `cargo bench -p gateway-benches --bench bridge_leg` prints rows for docs/performance.md.

use std::time::Instant;

use gateway_core::media::codec::CodecKind;
use gateway_core::shard::testkit::BridgedCall;

const FRAMES: usize = 3_000;
const LEGS: u64 = 200;

fn nanoseconds(work: &mut dyn FnMut()) -> u64 {
    let began = Instant::now();
    work();
    began.elapsed().as_nanos() as u64
}

fn main() {
    println!(
        "| phone | voices at the bridge | ms CPU per call-second | of it ICE | packets up, down per s |"
    );
    println!("|---|---|---|---|---|");
    for codec in [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus] {
        for voices in [0, 1, 3, 10] {
            row(codec, voices);
        }
    }
    memory();
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A call with its room, both halves of both legs, and its bridge's transport.
fn memory() {
    let before = resident_kib();
    let calls: Vec<BridgedCall> = (0..LEGS)
        .map(|_| {
            let mut call = BridgedCall::new(CodecKind::Pcmu, 0, 0, nanoseconds);
            assert!(call.connect(), "no keys");
            call
        })
        .collect();
    let grown = resident_kib().saturating_sub(before);
    println!("\n{} KiB for a connected call, its room and its bridge's transport", grown / LEGS);
    drop(calls);
}

fn row(codec: CodecKind, voices: u32) {
    let mut call = BridgedCall::new(codec, voices, FRAMES, nanoseconds);
    assert!(call.connect(), "no keys");
    for frame in 0..FRAMES {
        call.talk(frame);
    }
    let (seconds, tally) = (FRAMES as f64 / 50.0, call.tally);
    println!(
        "| {codec:?} | {voices} | {:.2} | {:.3} | {:.0}, {:.0} |",
        (tally.media_cost + tally.control_cost) as f64 / seconds / 1e6,
        tally.control_cost as f64 / seconds / 1e6,
        f64::from(tally.to_bridge) / seconds,
        f64::from(tally.to_phone) / seconds,
    );
}
