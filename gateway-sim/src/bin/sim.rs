//! `sim --seed N`: runs one world and prints its ladder; `sim --seeds A..B`: runs many and prints what is wrong.

use std::process::ExitCode;

use gateway_sim::{Outcome, WorldPlan, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--seed", seed] => seed.parse().map_or_else(|_| usage(), one),
        ["--seeds", range] => range_of(range).map_or_else(usage, many),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: sim --seed N | sim --seeds FIRST..END");
    ExitCode::from(2)
}

fn range_of(text: &str) -> Option<std::ops::Range<u64>> {
    let (first, end) = text.split_once("..")?;
    Some(first.parse().ok()?..end.parse().ok()?)
}

fn one(seed: u64) -> ExitCode {
    let plan = WorldPlan::draw(seed);
    println!("seed {seed}\n{:#?}\n", plan.knobs);
    for (phone, up, down) in &plan.phones {
        println!("{phone:?}\n  up   {up:?}\n  down {down:?}");
    }
    let outcome = run(plan);
    println!("\n{}\n{:?}", outcome.ladder, outcome.tally);
    println!("transcript {}", hex(&outcome.transcript));
    verdict(&outcome)
}

fn many(range: std::ops::Range<u64>) -> ExitCode {
    let mut worst = ExitCode::SUCCESS;
    for seed in range {
        let outcome = run(WorldPlan::draw(seed));
        if !outcome.faults.is_empty() {
            worst = verdict(&outcome);
        }
    }
    worst
}

fn verdict(outcome: &Outcome) -> ExitCode {
    for fault in &outcome.faults {
        println!("seed {}: {fault}", outcome.seed);
    }
    if outcome.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
