//! `sim --seed N`: runs one world and prints its ladder; `sim --seeds A..B`: runs many and prints what is wrong.
//! `sim --guess`: the table of `docs/pins.md`, what guessing PINs brings.
//! `sim --meeting N`, `sim --meetings A..B`: the same for meetings in a Jitsi room.

use std::process::ExitCode;

use gateway_sim::{Outcome, WorldPlan, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--seed", seed] => seed.parse().map_or_else(|_| usage(), |it| one(WorldPlan::draw(it))),
        ["--seeds", range] => range_of(range).map_or_else(usage, |it| many(it, WorldPlan::draw)),
        ["--meeting", seed] => {
            seed.parse().map_or_else(|_| usage(), |it| one(WorldPlan::draw_meeting(it)))
        }
        ["--meetings", range] => {
            range_of(range).map_or_else(usage, |it| many(it, WorldPlan::draw_meeting))
        }
        ["--guess"] => {
            print!("{}", gateway_sim::brute_force::table());
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: sim --seed N | --seeds FIRST..END | --meeting N | --meetings FIRST..END | --guess"
    );
    ExitCode::from(2)
}

fn range_of(text: &str) -> Option<std::ops::Range<u64>> {
    let (first, end) = text.split_once("..")?;
    Some(first.parse().ok()?..end.parse().ok()?)
}

fn one(plan: WorldPlan) -> ExitCode {
    println!("seed {}\n{:#?}\n", plan.seed, plan.knobs);
    for (phone, up, down) in &plan.phones {
        println!("{phone:?}\n  up   {up:?}\n  down {down:?}");
    }
    if let Some(meeting) = &plan.meeting {
        println!("{meeting:#?}");
    }
    let outcome = run(plan);
    println!("\n{}\n{:?}", outcome.ladder, outcome.tally);
    println!("transcript {}", hex(&outcome.transcript));
    verdict(&outcome)
}

fn many(range: std::ops::Range<u64>, draw: impl Fn(u64) -> WorldPlan) -> ExitCode {
    let mut worst = ExitCode::SUCCESS;
    for seed in range {
        let outcome = run(draw(seed));
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
