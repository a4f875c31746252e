//! Guessing PINs brings what arithmetic says, and with caps next to nothing.

use std::fs;
use std::path::Path;

use gateway_daemon::config;
use gateway_sim::brute_force::{ATTACKS, LIVE, USUAL, run, table};

#[test]
fn without_caps_hits_come_as_often_as_they_must() {
    let (hours, seed) = (20, 7);
    let spoils = run(&ATTACKS[0], hours, LIVE, 6, seed);
    let per_hour = spoils.typed as f64 / f64::from(hours);
    assert!((10_500.0..=10_800.0).contains(&per_hour), "3 tries in 30 s on 30 lines: {per_hour}");
    assert_eq!(spoils.judged, spoils.typed, "nothing stops him");
    let expected = spoils.expected_hits_h(hours, LIVE, 6) * f64::from(hours);
    let difference = (spoils.hits as f64 - expected).abs();
    assert!(difference < 4.0 * expected.sqrt(), "{} hits, expected {expected:.1}", spoils.hits);
    assert!(
        (0.95..1.05).contains(&(expected / f64::from(hours))),
        "the reference says 1.0 an hour"
    );
}

#[test]
fn caps_let_next_to_nothing_be_judged() {
    let hours = 4;
    for attack in &ATTACKS[2..] {
        let spoils = run(attack, hours, LIVE, 9, 3);
        let judged_h = spoils.judged as f64 / f64::from(hours);
        // Guesses that are on their way when a cap is reached are still judged: one per line.
        let most = match attack.name {
            "caps, one number" | "caps, number withheld" => 10.0 + 30.0,
            "caps, another number in each call" => 120.0 + 30.0,
            _ => 600.0 + 30.0,
        };
        assert!(judged_h <= most, "{}: {judged_h} judged an hour", attack.name);
        assert!(spoils.typed > 10 * spoils.judged, "{}: refused unseen: {spoils:?}", attack.name);
        assert_eq!(spoils.hits, 0, "{}", attack.name);
        let years = 1.0 / spoils.expected_hits_h(hours, LIVE, 9) / 8_766.0;
        assert!(years > 1.0, "{}: a hit in {years:.1} years", attack.name);
    }
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pins.md");
    let page = fs::read_to_string(page).expect("it exists");
    let table = table();
    assert!(page.contains(&table), "docs/pins.md is stale: `sim --guess` says\n{table}");
}

#[test]
fn the_caps_are_those_of_the_configuration() {
    let trunk = "[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n";
    let config = config::parse("t", trunk, Path::new("")).expect("good");
    assert_eq!(config.pin.limits, USUAL);
    assert_eq!((config.pin.digits, config.pin.tries_per_call), (9, 3));
}
