//! Nanoseconds per call (pick, started, finished). Run with `cargo bench -p penstock-balance --bench pick --profile release`; takes some seconds.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::{hint::black_box, time::Instant};

use penstock_balance::{
    Balancer, BreakerSpec, Outcome, Pick, Policy, TargetId, TargetSet, TargetSpec, UpstreamSpec,
};

const CALLS: u64 = 1_000_000;
const ROUNDS: usize = 3;

fn main() {
    for count in [2u64, 10, 100] {
        for policy in [Policy::RoundRobin, Policy::LeastRequest, Policy::Ewma, Policy::Hash] {
            let targets = (0..count).map(|id| TargetSpec { id: TargetId(id), weight: 1, backup: false });
            let mut spec = UpstreamSpec::new(targets.collect(), policy);
            spec.breaker = Some(BreakerSpec::default());
            let mut balancer = Balancer::new(&spec, 1).expect("a sound upstream");
            let mut time_ns = 0;
            let mut best = f64::INFINITY;
            for _ in 0..ROUNDS {
                let start = Instant::now();
                for call in 0..CALLS {
                    time_ns += 10_000;
                    let Pick::Target(target) = balancer.pick(time_ns, Some(call), &TargetSet::EMPTY) else {
                        panic!("no target")
                    };
                    let attempt = balancer.started(target);
                    black_box(balancer.finished(time_ns, attempt, Outcome::Success, 1_000_000));
                }
                best = best.min(start.elapsed().as_nanos() as f64 / CALLS as f64);
            }
            println!("{:<14} {count:>4} targets {best:>8.1} ns", format!("{policy:?}"));
        }
    }
}
