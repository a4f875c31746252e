//! Meetings drawn from seeds: every checker content, and each replays byte for byte.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use gateway_sim::watch::meeting::MeetingTally;

use super::*;

/// How many are run: `WEEBEE_MEETING_SEEDS`, and without it as many as take some seconds.
fn wanted() -> u64 {
    let said = std::env::var("WEEBEE_MEETING_SEEDS").ok();
    said.map_or(SEEDS, |it| it.parse().expect("WEEBEE_MEETING_SEEDS is a number"))
}

#[test]
fn drawn_meetings_leave_the_checkers_content() {
    let fresh = fresh_seed();
    println!("fresh seed: {fresh} (make sim MEETING={fresh})");
    let seeds: Vec<u64> = (1..wanted()).chain([fresh]).collect();
    let next = Mutex::new(seeds.iter().copied());
    let found = Mutex::new((Vec::new(), MeetingTally::default(), 0, 0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().expect("no panic while held").next() else {
                        return;
                    };
                    let outcome = run(WorldPlan::draw_meeting(seed));
                    let mut found = found.lock().expect("no panic while held");
                    found.1.add(&outcome.meeting().tally);
                    found.2 += outcome.tally.joined;
                    found.3 += outcome.tally.calls;
                    found.0.extend(outcome.faults.iter().map(|it| format!("meeting {seed}: {it}")));
                }
            });
        }
    });
    let (faults, tally, joined, calls) = found.into_inner().expect("no panic while held");
    println!("{calls} calls, {joined} in the room, {tally:?}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let seeds = seeds.len() as u32;
    for (what, count, least) in [
        ("calls in the room", joined, seeds),
        ("blocks with a voice", tally.blocks_heard, 100 * seeds),
        ("blocks of one's own", tally.blocks_self, 300 * seeds),
        ("blocks without a muted voice", tally.blocks_silent, 20 * seeds),
    ] {
        assert!(count >= least, "only {count} {what} were judged: the meetings are too quiet");
    }
}

#[test]
fn a_meeting_replays_byte_for_byte() {
    for seed in [fresh_seed(), 7] {
        let [first, second] = [(); 2].map(|()| run(WorldPlan::draw_meeting(seed)));
        assert_eq!(first.ladder.to_string(), second.ladder.to_string(), "seed {seed}");
        assert_eq!(first.transcript, second.transcript, "seed {seed}");
    }
}

fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_nanos() as u64 % 1_000_000_000
}

/// About ten seconds on two quiet cores.
const SEEDS: u64 = 24;
