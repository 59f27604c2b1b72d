//! What the policies of one call cost, part by part: the gate with its limits, the balancer, the record.
//!
//! `cargo bench -p penstock-gate --bench call` tells nanoseconds. Instructions, one call by one, under callgrind:
//!
//! ```text
//! cargo bench --profile dist -p penstock-gate --bench call --no-run   # prints the program's path
//! valgrind --tool=callgrind --toggle-collect='*one_call*' PROGRAM --calls 5000
//! ```
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use penstock_balance::{Balancer, Outcome, Pick, Policy, TargetId, TargetSet, TargetSpec, UpstreamSpec};
use penstock_ring::{CallRecord, CallStrings, Drain, Identity, Memory, Ring, RingWriter, Stage, Verdict};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 40;
const CALLS: u32 = 20_000;
const WARM_CALLS: u32 = 5_000;
/// Calls after which the ring is drained; they fit it.
const DRAIN_EVERY: u32 = 50_000;

struct Bench {
    worker: fixture::Worker,
    balancer: Balancer,
    record: CallRecord,
    writer: RingWriter,
    ring: Ring,
    now_ns: u64,
    recorded: u32,
}

impl Bench {
    fn new() -> Self {
        let target = TargetSpec { id: TargetId(41), weight: 1, backup: false };
        let balancer = Balancer::new(&UpstreamSpec::new(vec![target], Policy::LeastRequest), 7);
        let capacity = 64 << 20;
        let identity = Identity { capacity, run: 1, worker: 0, created_ns: 0, boot_id: [0; 16] };
        let ring = Ring::format(Memory::plain(capacity as usize + 4096), identity).expect("a ring");
        Self {
            worker: fixture::Worker::plain(),
            balancer: balancer.expect("valid"),
            record: CallRecord::default(),
            writer: RingWriter::new(ring.clone()),
            ring,
            now_ns: 5_000_000_000,
            recorded: 0,
        }
    }

    /// The gate's decision, limits included.
    #[inline(never)]
    fn decide(&mut self) {
        assert!(self.worker.decide());
    }

    /// A target is picked, and its answer noted.
    #[inline(never)]
    fn balance(&mut self) {
        self.balancer.call_started();
        let Pick::Target(target) = self.balancer.pick(self.now_ns, Some(0), &TargetSet::EMPTY) else {
            panic!("the target is available")
        };
        let attempt = self.balancer.started(target);
        black_box(self.balancer.finished(self.now_ns + 100_000, attempt, Outcome::Success, 90_000));
        self.balancer.call_finished(false);
    }

    /// The record is filled in and published.
    #[inline(never)]
    fn record(&mut self) {
        let record = &mut self.record;
        record.reset();
        record.time_ns = self.now_ns;
        record.tenant = 1;
        record.app = 20;
        record.route = 100;
        record.status = 200;
        record.duration_us = 153;
        for stage in [Stage::Parse, Stage::Route, Stage::Identify, Stage::Shape] {
            record.stage(stage, Verdict::Allowed, 0, 0);
        }
        record.stage(Stage::Limit, Verdict::Allowed, 62, 0);
        let strings = CallStrings {
            request_id: b"0123456789abcdef0123456789abcdef",
            host: b"api.example.com",
            path: b"/",
            target: b"127.0.0.1:9000",
            ..CallStrings::default()
        };
        let _ = black_box(self.writer.append(record, black_box(&strings)));
    }

    #[inline(never)]
    fn one_call(&mut self) {
        self.now_ns += 10_000;
        self.decide();
        self.balance();
        self.record();
    }

    fn drain(&mut self) {
        let mut drain = Drain::new(self.ring.clone());
        let end = self.ring.written();
        while drain.position() < end {
            black_box(drain.next_before(end));
        }
        drain.commit();
    }

    fn run(&mut self, part: fn(&mut Self)) {
        part(self);
        self.recorded += 1;
        if self.recorded.is_multiple_of(DRAIN_EVERY) {
            self.drain();
        }
    }

    fn measure(&mut self, name: &str, part: fn(&mut Self)) {
        let mut spent: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..CALLS {
                    self.run(part);
                }
                start.elapsed().as_nanos() as f64 / f64::from(CALLS)
            })
            .collect();
        spent.sort_by(f64::total_cmp);
        println!("{name:<10} {:>6.0} ns (least {:.0})", spent[ROUNDS / 2], spent[0]);
    }
}

fn main() {
    let mut bench = Bench::new();
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == "--calls") {
        let calls: u32 = words.get(at + 1).and_then(|count| count.parse().ok()).expect("a number of calls");
        // Warm: buffers have grown, keys are known, leases are held.
        for part in [Bench::decide, Bench::balance, Bench::record] {
            for _ in 0..WARM_CALLS {
                bench.run(part);
            }
        }
        for _ in 0..calls {
            bench.run(Bench::one_call);
        }
        return;
    }
    println!("{} route, API key, two limits by app:", bench.worker.snapshot().routes().len());
    bench.measure("gate", Bench::decide);
    bench.measure("balance", Bench::balance);
    bench.measure("record", Bench::record);
    bench.measure("all", Bench::one_call);
    assert_eq!(bench.writer.dropped(), 0, "the figures are for calls that are recorded");
}
