//! Fifty calls out and fifty calls in at once, with one thing in a hundred going wrong: nothing is left behind.

use super::*;

/// How many are run: `WEEBEE_MEETING_SEEDS` of the whole size, and without it a small one.
fn wanted() -> (u64, usize) {
    let said = std::env::var("WEEBEE_MEETING_SEEDS").ok();
    let seeds = said.map(|it| it.parse().expect("WEEBEE_MEETING_SEEDS is a number"));
    seeds.map_or((2, SMALL), |seeds| (seeds, WHOLE))
}

#[test]
fn a_storm_of_calls_out_and_in_leaves_nothing_behind() {
    let (seeds, each) = wanted();
    let fresh = gateway_sim::seeds::fresh();
    println!("fresh seed: {fresh}");
    let seeds: Vec<u64> = (1..seeds).chain([fresh]).collect();
    let draw = |seed| run(WorldPlan::draw_storm(seed, each));
    let phones = 2 * each;
    let faults: Vec<String> =
        gateway_sim::seeds::all(&seeds, draw, |faults: &mut Vec<String>, seed, outcome| {
            // The checkers looked for ghosts in rooms, ports, dialogs, streams and missing records.
            // Who hears whom is judged in small meetings: here are more phones than tones.
            let others = outcome.faults.iter().filter(|it| !it.contains("expected "));
            faults.extend(others.map(|it| format!("storm {seed}: {it}")));
            let counted = outcome.counters;
            let ends = (0..phones).map(|phone| {
                let told = outcome.told(phone);
                told.iter().filter(|(_, told)| matches!(told, Told::Ended(_))).count()
            });
            let ended = ends.sum::<usize>() as u64;
            println!(
                "storm {seed}: {} calls, {} in the room",
                counted.calls_started, outcome.tally.joined
            );
            if (counted.calls_started, counted.calls_ended, ended) != (ended, ended, ended) {
                faults.push(format!("storm {seed}: {ended} records, {counted:?}"));
            }
            let dialled = counted.calls_dialled_answered + counted.calls_dialled_failed;
            if (counted.calls_dialled, dialled) != (each as u64, each as u64) {
                faults.push(format!("storm {seed}: {each} were dialled, {counted:?}"));
            }
            // Most of them talked: one thing in a hundred does not bring down the others.
            if (outcome.tally.joined as usize) < phones * 8 / 10 {
                faults.push(format!("storm {seed}: only {} joined", outcome.tally.joined));
            }
        });
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

const WHOLE: usize = 50;
/// A second or two on a quiet core.
const SMALL: usize = 6;
