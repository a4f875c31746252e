//! 200 worlds and a fresh one: every checker content, and the checkers had something to check.

use gateway_sim::watch::Tally;
use gateway_sim::{WorldPlan, run, seeds};

/// Seeds that once found something, with their stories.
const STORIES: &str = include_str!("../../testdata/seeds.txt");

#[test]
fn two_hundred_worlds_leave_the_checkers_content() {
    let mut all: Vec<u64> = known_seeds();
    let fresh = seeds::fresh();
    println!("fresh seed: {fresh} (make sim SEED={fresh})");
    all.push(fresh);
    all.extend(1..=200_u64.saturating_sub(all.len() as u64));
    let (faults, tally) = judge(&all);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    println!("{tally:?}");
    let judged = [
        ("INVITEs", tally.invites, 400),
        ("calls", tally.calls, 300),
        ("joins", tally.joined, 150),
        ("RTP packets", tally.rtp_packets, 20_000),
        ("blocks with a voice", tally.blocks_heard, 300),
        ("blocks without a voice", tally.blocks_silent, 20),
        ("blocks of one's own", tally.blocks_self, 1_000),
        ("log lines", tally.log_lines, 1_000),
    ];
    for (what, count, least) in judged {
        assert!(
            count >= least,
            "only {count} {what} were judged; the worlds have become too quiet"
        );
    }
}

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in [seeds::fresh(), 7, 42] {
        let (first, second) = (run(WorldPlan::draw(seed)), run(WorldPlan::draw(seed)));
        assert_eq!(first.transcript, second.transcript, "seed {seed}");
        assert_eq!(first.ladder.to_string(), second.ladder.to_string(), "seed {seed}");
    }
}

fn judge(worlds: &[u64]) -> (Vec<String>, Tally) {
    let run = |seed| run(WorldPlan::draw(seed));
    seeds::all(worlds, run, |(faults, tally): &mut (Vec<String>, Tally), seed, outcome| {
        tally.add(&outcome.tally);
        faults.extend(outcome.faults.iter().map(|it| format!("seed {seed}: {it}")));
    })
}

/// The first word of each line that is no comment.
fn known_seeds() -> Vec<u64> {
    let lines = STORIES.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let word = line.split_whitespace().next().unwrap_or_default();
            word.parse().unwrap_or_else(|_| panic!("testdata/seeds.txt: no seed in {line:?}"))
        })
        .collect()
}
