//! Runs the simulation over many seeds: `limits-sim --seeds N [--from S]`. Exits with a panic at the first seed in
//! which a guarantee does not hold; that seed alone reproduces it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../tests/world/mod.rs"]
mod world;

use world::{Totals, spend::SpendTotals};

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    match arguments.nth(1) {
        Some(value) => value.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {value}")),
        None => default,
    }
}

fn main() {
    let (from, seeds) = (argument("--from", 0), argument("--seeds", 1000));
    let mut sum = Totals { least_share: 10_000, ..Totals::default() };
    for seed in from..from + seeds {
        let totals = world::run(seed);
        sum.seeds += totals.seeds;
        sum.arrivals += totals.arrivals;
        sum.admitted += totals.admitted;
        sum.reference += totals.reference;
        sum.leased_seeds += totals.leased_seeds;
        sum.deaths += totals.deaths;
        sum.crashes += totals.crashes;
        sum.upgrades += totals.upgrades;
        sum.power_cuts += totals.power_cuts;
        sum.wall_steps += totals.wall_steps;
        sum.least_share = sum.least_share.min(totals.least_share);
    }
    println!("{sum:#?}");
    let mut spent = SpendTotals::default();
    for seed in from..from + seeds {
        spent.add(&world::spend::run(seed));
    }
    println!("{spent:#?}");
}
