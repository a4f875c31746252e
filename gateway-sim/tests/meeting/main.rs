//! Whole calls in virtual time: telephone, gateway, and a stand-in Jitsi with its bridge and browsers.
//!
//! A phone calls at 0 s (the next a second later), types its PIN and is in the room at about 3.7 s.

mod dial_out;
mod empty_room;
mod info;
mod losses;
mod moderation;
mod seeds;
mod storm;
mod together;
mod visitors;
mod ways_in;

use std::time::Duration;

use gateway_sim::plan::meeting::{Happening, Who};
use gateway_sim::{Outcome, Told, WorldPlan, run};

const SECOND: Duration = Duration::from_secs(1);
/// Tones of phones and browsers.
const PHONE: [f64; 3] = [960.0, 1_141.5, 1_357.0];
const WEB: [f64; 2] = [1_920.0, 2_283.0];
const P0: Who = Who::Phone(0);
const P1: Who = Who::Phone(1);
const W0: Who = Who::Web(0);

/// Runs a plan; the checkers must be content.
fn judged(plan: WorldPlan) -> Outcome {
    let outcome = run(plan);
    assert!(outcome.faults.is_empty(), "{:#?}\n{}", outcome.faults, outcome.ladder);
    outcome
}

/// One phone and one browser who is there from the beginning.
fn two(talk: u64, happenings: &[(u64, Happening)]) -> WorldPlan {
    WorldPlan::calm_meeting(1, SECOND * talk as u32, &[0]).with(happenings)
}

/// Both heard each other between these seconds.
fn assert_talked(outcome: &Outcome, from: f64, to: f64) {
    for (ear, hz) in [(P0, WEB[0]), (W0, PHONE[0])] {
        let share = outcome.share_heard(ear, hz, from, to);
        assert!(share > 0.9, "{ear:?} {from} to {to}: {share}\n{}", outcome.ladder);
    }
}

/// Words reached a phone's ear, and only after that second.
fn assert_words(outcome: &Outcome, phone: usize, name: &str, after: f64) -> f64 {
    let words = outcome.words(phone);
    let said = words.iter().find(|(at, it)| *it == name && at.as_secs_f64() >= after);
    let (at, _) = said.unwrap_or_else(|| panic!("no {name} in {words:?}\n{}", outcome.ladder));
    let clarity = outcome.clarity(phone, name);
    assert!(clarity > 0.5, "{name}: {clarity}\n{}", outcome.ladder);
    at.as_secs_f64()
}

/// How the only call ended, and when.
fn ended(outcome: &Outcome, phone: usize) -> (f64, &'static str) {
    let told = outcome.told(phone);
    let ends = told.iter().filter_map(|(at, told)| match told {
        Told::Ended(label) => Some((at.as_secs_f64(), *label)),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends.len(), 1, "{told:?}");
    ends[0]
}

/// When a phone was told to be in the room.
fn joined(outcome: &Outcome, phone: usize) -> f64 {
    let told = outcome.told(phone);
    let at = told.iter().find(|(_, told)| **told == Told::Joined).map(|(at, _)| at.as_secs_f64());
    at.unwrap_or_else(|| panic!("never in the room: {told:?}\n{}", outcome.ladder))
}
