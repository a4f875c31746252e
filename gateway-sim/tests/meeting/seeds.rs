//! Meetings drawn from seeds: every checker content, and each replays byte for byte.

use gateway_sim::watch::meeting::MeetingTally;

use super::*;

/// What was found in all of them.
#[derive(Default)]
struct Found {
    faults: Vec<String>,
    tally: MeetingTally,
    joined: u32,
    calls: u32,
}

/// How many are run: `WEEBEE_MEETING_SEEDS`, and without it as many as take some seconds.
fn wanted() -> u64 {
    let said = std::env::var("WEEBEE_MEETING_SEEDS").ok();
    said.map_or(SEEDS, |it| it.parse().expect("WEEBEE_MEETING_SEEDS is a number"))
}

#[test]
fn drawn_meetings_leave_the_checkers_content() {
    let fresh = gateway_sim::seeds::fresh();
    println!("fresh seed: {fresh} (make sim MEETING={fresh})");
    let seeds: Vec<u64> = (1..wanted()).chain([fresh]).collect();
    let draw = |seed| run(WorldPlan::draw_meeting(seed));
    let Found { faults, tally, joined, calls } =
        gateway_sim::seeds::all(&seeds, draw, |found: &mut Found, seed, outcome| {
            found.tally.add(&outcome.meeting().tally);
            found.joined += outcome.tally.joined;
            found.calls += outcome.tally.calls;
            found.faults.extend(outcome.faults.iter().map(|it| format!("meeting {seed}: {it}")));
        });
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
    for seed in [gateway_sim::seeds::fresh(), 7] {
        let [first, second] = [(); 2].map(|()| run(WorldPlan::draw_meeting(seed)));
        assert_eq!(first.ladder.to_string(), second.ladder.to_string(), "seed {seed}");
        assert_eq!(first.transcript, second.transcript, "seed {seed}");
    }
}

/// About ten seconds on two quiet cores.
const SEEDS: u64 = 24;
