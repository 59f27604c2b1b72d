//! The simulation over some hundred seeds; `LIMITS_SEEDS` sets the number, the example `limits-sim` runs many.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and the environment")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

#[test]
fn guarantees_hold_over_seeds() {
    let seeds: u64 = match std::env::var("LIMITS_SEEDS") {
        Ok(number) => number.parse().expect("LIMITS_SEEDS is a number"),
        Err(_) => 500,
    };
    let mut leased = 0;
    let (mut ran, mut reference) = (0, 0);
    for seed in 0..seeds {
        let totals = world::run(seed);
        ran += totals.seeds;
        leased += totals.leased_seeds;
        reference += totals.reference;
    }
    assert_eq!(ran, seeds);
    assert!(reference > 0 && (seeds < 100 || leased > 0), "the seeds do not reach leases");
}
