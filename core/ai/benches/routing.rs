//! Nanoseconds a call: the decision (begin, choose, give back), and the whole with what is learned of its end. `cargo bench -p penstock-ai --bench routing --profile release`. Best of several
//! rounds.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use penstock_ai::catalogue::Catalogue;
use penstock_ai::dialect::Dialect;
use penstock_ai::provider::{Headroom, Providers, Window};
use penstock_ai::routing::*;

/// Many short rounds: other programs take the processor for longer than one.
const ROUNDS: usize = 200;
const CALLS: u64 = 5_000;

fn best_ns(times: u64, mut operation: impl FnMut(u64)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for n in 0..times {
            operation(n);
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / times as f64);
    }
    best
}

/// A model with targets at as many providers, each with some keys.
fn plan(strategy: Strategy, targets: u64, keys: u64) -> Plan {
    let names = ["gpt-4.1-mini", "gpt-4.1", "gpt-4o", "o3"];
    let providers = (0..targets).map(|n| ProviderSpec {
        keys: (0..keys).map(|key| KeySpec::new(KeyUid(n * 100 + key), "k", 1 + key as u16)).collect(),
        ..ProviderSpec::new(ProviderUid(n), &format!("p{n}"), "openai")
    });
    let model = ModelSpec {
        targets: (0..targets)
            .map(|n| TargetSpec::new(&format!("p{n}"), names[n as usize % names.len()], 1 + n as u16 % 3))
            .collect(),
        strategy,
        ..ModelSpec::new(ModelUid(1), "fast")
    };
    let spec = Spec { providers: providers.collect(), models: vec![model] };
    let catalogue = Arc::new(Catalogue::bundled().unwrap());
    Plan::compile(&spec, &catalogue, Providers::shared(), &Registry::default()).unwrap()
}

fn main() {
    let everything = Allowed::everything();
    let caller = Caller { tenant: TenantId(1), service: &everything, app: None };
    for (targets, keys) in [(1, 1), (4, 3), (16, 8)] {
        for strategy in Strategy::ALL {
            let plan = plan(strategy, targets, keys);
            let resolved = plan.resolve(&caller, "fast").unwrap();
            let mut random = Random::new(1);
            let window =
                Window { limit: Some(100_000_000), remaining: Some(90_000_000), reset_ms: Some(60_000) };
            let headroom = Headroom { requests: window, tokens: window, ..Headroom::default() };
            let one = |n: u64, random: &mut Random, whole: bool| {
                let now_ns = 1 + n * 1_000;
                let need = Need {
                    input_tokens: 1_000,
                    output_tokens: 300,
                    unix_s: 1_800_000_000,
                    prefix: Some(n),
                    affinity: None,
                };
                let mut call = plan.begin(resolved, need, now_ns);
                let Step::Attempt(attempt) = call.next(now_ns, random) else { panic!("nothing to try") };
                if whole {
                    attempt.first_token(now_ns + 500_000_000);
                    attempt.headroom(now_ns, &headroom);
                    black_box(call.ended(now_ns + 900_000_000, attempt, &Report::new(End::Answered)));
                }
            };
            let whole_ns = best_ns(CALLS, |n| one(n, &mut random, true));
            let decision_ns = best_ns(CALLS, |n| one(n, &mut random, false));
            println!(
                "{:<16} {targets:>3} targets {keys:>2} keys   decision {decision_ns:>5.0} ns   whole call {whole_ns:>5.0} ns",
                strategy.name()
            );
        }
    }
    let plan = plan(Strategy::Weighted, 4, 3);
    for name in ["fast", "p1/gpt-4.1", "p1/made-up"] {
        let ns = best_ns(CALLS, |_| {
            black_box(plan.resolve(&caller, black_box(name)).unwrap().name());
        });
        println!("resolve {name:<32} {ns:>8.0} ns");
    }
    let ns = best_ns(50, |_| {
        black_box(plan.resolve(&caller, black_box("gtp-4.1-mini")).is_err());
    });
    println!("resolve what is not there {:<14} {ns:>8.0} ns", "");
    for kib in [1, 100] {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(kib * 1024 / 45);
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":"short"}},{{"role":"assistant","content":"{text}"}}]}}"#
        );
        let ns = best_ns(100, |_| {
            black_box(prefix_hash(Dialect::OpenAiChat, black_box(body.as_bytes())).unwrap());
        });
        println!("prefix of a body of {kib:>3} KiB {:<13} {ns:>8.0} ns", "");
    }
}
