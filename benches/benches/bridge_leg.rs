//! What a G.711 phone in a Jitsi room costs: its media through a shard, with a stand-in bridge that has real DTLS-SRTP keys.
//! Nobody, one, three and ten speak; then several phones in one room.
//!
//! Only the shard's own work is timed, not the bridge's and not the speakers'; there are no sockets, so that the kernel's
//! share is not in it. `cargo bench -p gateway-benches --bench bridge_leg` prints rows for docs/performance.md.

use std::time::Instant;

use gateway_benches::sound::{HeardPacket, Match, align, decode_all};
use gateway_core::media::clip::convert::convert_rate;
use gateway_core::media::codec::CodecKind;
use gateway_core::media::frame::SampleRate;
use gateway_core::rtp::wire::header;
use gateway_core::shard::testkit::{BridgedCall, Passed};

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
    println!(
        "\n| phones in one room | voices at the bridge | ms CPU per call-second, each | a further phone |"
    );
    println!("|---|---|---|---|");
    for codec in [CodecKind::Pcmu, CodecKind::Opus] {
        together(codec);
    }
    delays();
    memory();
}

/// Added delay each way: from the packet that comes in to the packet with the same sound that leaves, over the four phases
/// at which a phone's packets may fall. The wait for the tick that reads a packet (0 to 5 ms) comes on top.
fn delays() {
    println!("\n| phone | phone to bridge, ms | correlation | bridge to phone, ms | correlation |");
    println!("|---|---|---|---|---|");
    for codec in [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus] {
        let found: Vec<[Match; 2]> = (0..4).map(|phase| delay_at(codec, phase)).collect();
        let told = |way: usize| {
            let all = found.iter().map(|both| both[way].delay_ms);
            let worst = found.iter().map(|both| both[way].correlation).fold(1.0, f64::min);
            let (low, high) =
                all.fold((f64::MAX, 0.0_f64), |(low, high), one| (low.min(one), high.max(one)));
            format!("{low:.1} to {high:.1} | {worst:.3}")
        };
        println!("| {codec:?} | {} | {} |", told(0), told(1));
    }
}

fn delay_at(codec: CodecKind, phase: u32) -> [Match; 2] {
    // The phone pauses from frame 100 to 150; what comes before settles the jitter buffer.
    let frames = 700;
    let mut call = BridgedCall::new(codec, 1, frames, nanoseconds);
    assert!(call.connect(), "no keys");
    (0..phase).for_each(|_| call.rest());
    (0..SETTLED).for_each(|frame| assert!(call.talk(frame), "the bridge cannot send"));
    call.record();
    (SETTLED..frames).for_each(|frame| assert!(call.talk(frame), "the bridge cannot send"));
    let [up, down] = call.recorded();
    let row = codec.row();
    let said = BridgedCall::phone_says(codec, frames);
    [
        delay(&up, CodecKind::Opus, &said, row.pcm_rate),
        delay(&down, codec, &call.voices()[0], SampleRate::Hz48000),
    ]
}

/// Frames before those that are judged.
const SETTLED: usize = 200;

/// `said` was sent frame by frame; frame [`SETTLED`] left 5 ms after the recording began.
fn delay(packets: &[Passed], codec: CodecKind, said: &[i16], rate: SampleRate) -> Match {
    let said = convert_rate(said, rate.hz(), 8_000);
    let units = i64::from(codec.row().clock_hz) / 50;
    let mut first = None;
    let heard = packets.iter().filter_map(|passed| {
        let (header, payload) = header::parse(&passed.packet).ok()?;
        let from = *first.get_or_insert(header.timestamp);
        let frame = i64::from(header.timestamp.wrapping_sub(from).cast_signed()) / units;
        Some(HeardPacket { at: passed.at.as_secs_f64() - 0.005, frame, payload })
    });
    let (at, heard) = decode_all(heard, codec);
    let offset = SETTLED as i64 * 160 + (at * 8_000.0) as i64;
    align(&said, &heard, offset, 200).expect("enough sound")
}

/// One, two and ten phones in a room, all speaking, as are three at the bridge. One of them listens for all.
fn together(codec: CodecKind) {
    let mut alone = 0.0;
    for count in [1_u16, 2, 10] {
        let mut call = BridgedCall::with_phones(count, codec, 3, FRAMES, nanoseconds);
        assert!(call.connect(), "no keys");
        (0..FRAMES).for_each(|frame| assert!(call.talk(frame), "the bridge cannot send"));
        let nanoseconds = (call.tally.media_cost + call.tally.control_cost) as f64;
        let all = nanoseconds / (FRAMES as f64 / 50.0) / 1e6;
        let further = if count == 1 {
            alone = all;
            "-".to_owned()
        } else {
            format!("{:.2}", (all - alone) / f64::from(count - 1))
        };
        println!("| {count} {codec:?} | 3 | {:.2} | {further} |", all / f64::from(count));
    }
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
