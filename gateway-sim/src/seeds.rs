//! Many worlds at once, and a seed nobody has tried.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::world::Outcome;

/// Makes and judges the world of each seed, two at a time: `run` makes one, `judge` adds it to what was found so far.
///
/// # Panics
/// When a world does.
pub fn all<F: Default + Send>(
    seeds: &[u64],
    run: impl Fn(u64) -> Outcome + Sync,
    judge: impl Fn(&mut F, u64, &Outcome) + Sync,
) -> F {
    let next = Mutex::new(seeds.iter().copied());
    let found = Mutex::new(F::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().expect("no panic while held").next() else {
                        return;
                    };
                    let outcome = run(seed);
                    judge(&mut found.lock().expect("no panic while held"), seed, &outcome);
                }
            });
        }
    });
    found.into_inner().expect("no panic while held")
}

/// From the clock: another one at each run.
///
/// # Panics
/// Before 1970.
pub fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_nanos() as u64 % 1_000_000_000
}

const THREADS: usize = 2;
