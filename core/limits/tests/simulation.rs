//! The simulation over some hundred seeds; `LIMITS_SEEDS` sets the number, the example `limits-sim` runs many.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and the environment")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

fn seeds() -> u64 {
    match std::env::var("LIMITS_SEEDS") {
        Ok(number) => number.parse().expect("LIMITS_SEEDS is a number"),
        Err(_) => 500,
    }
}

#[test]
fn guarantees_hold_over_seeds() {
    let seeds = seeds();
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

#[test]
fn tokens_and_money_are_decided_as_one_counter_would_over_seeds() {
    let mut sum = world::spend::SpendTotals::default();
    for seed in 0..seeds() {
        sum.add(&world::spend::run(seed));
    }
    assert_eq!(sum.seeds, seeds());
    let reached = [
        sum.over_reservation,
        sum.exceeded_limit,
        sum.turned_windows,
        sum.attempts - sum.reserved,
        sum.deaths,
        sum.crashes,
        sum.upgrades,
        sum.booked,
        sum.wall_steps,
    ];
    assert!(sum.seeds < 100 || reached.into_iter().all(|count| count > 100), "{sum:?}");
}
