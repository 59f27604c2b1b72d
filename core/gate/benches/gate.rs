//! Nanoseconds of a route look-up and of a whole decision. `cargo bench -p penstock-gate`.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use penstock_gate::{FieldName, FieldSource, Once, RouteFound, Snapshot, compile};
use std::hint::black_box;
use std::time::Instant;

struct NoFields;

impl FieldSource for NoFields {
    fn once(&self, _: &FieldName) -> Once<'_> {
        Once::Absent
    }
}

/// Least and median nanoseconds of one run of `work`, over rounds of so many.
fn measure(rounds: usize, each: u32, mut work: impl FnMut()) -> (f64, f64) {
    let mut spent: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..each {
                work();
            }
            start.elapsed().as_nanos() as f64 / f64::from(each)
        })
        .collect();
    spent.sort_by(f64::total_cmp);
    (spent[0], spent[rounds / 2])
}

fn look_ups(snapshot: &Snapshot) -> Vec<(String, &'static str)> {
    snapshot
        .routes()
        .iter()
        .enumerate()
        .map(|(at, _)| {
            let resource = at / 5;
            let base = format!("/team{}/resource{resource}", resource % 17);
            match at % 5 {
                0 => (base, "GET"),
                1 => (base + "/4711", "GET"),
                2 => (base + "/4711", "PUT"),
                3 => (base + "/4711/events/9", "POST"),
                _ => (base + "/files/a/b.css", "GET"),
            }
        })
        .collect()
}

fn main() {
    for count in [100, 1_000, 10_000] {
        let start = Instant::now();
        let snapshot = compile(fixture::spec(fixture::routes(count))).expect("compiles");
        let compiled = start.elapsed();
        let calls = look_ups(&snapshot);
        // A stride that is prime visits the calls in an order no predictor learns.
        let mut at = 0;
        let mut next = || {
            at = (at + 7919) % calls.len();
            &calls[at]
        };
        let (least, median) = measure(40, 20_000, || {
            let (path, method) = next();
            let found = snapshot.route_for(method, "api.example.com", black_box(path), "", &NoFields);
            assert!(matches!(found, RouteFound::Route(_)));
        });
        println!(
            "route look-up, {count} routes: {median:.0} ns (least {least:.0}); compiled in {compiled:.1?}"
        );
    }
    for count in [100, 10_000] {
        let mut worker = fixture::Worker::new(count);
        assert_eq!(worker.snapshot().routes().len(), count);
        let (least, median) = measure(40, 20_000, || assert!(black_box(&mut worker).decide()));
        println!("decision, {count} routes, API key, two limits: {median:.0} ns (least {least:.0})");
    }
}
