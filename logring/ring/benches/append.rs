//! What one `append` costs the worker: plain call, call with amendment, AI call. Nanoseconds a
//! record, best and median of rounds; the drain's commit between rounds is not counted.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use penstock_ring::{
    AiAttempt, AiCall, CallRecord, CallStrings, Drain, Identity, Memory, Method, Protocol, Ring, RingWriter,
    Stage, Verdict,
};

const ROUNDS: usize = 60;
const CALLS: u64 = 50_000;

fn ring() -> Ring {
    let capacity = 64 << 20;
    let identity = Identity { capacity, run: 1, worker: 0, created_ns: 0, boot_id: [0; 16] };
    let memory = Memory::plain(capacity as usize + 4096);
    match Ring::format(memory, identity) {
        Ok(ring) => ring,
        Err(error) => panic!("no ring: {error}"),
    }
}

fn fill(record: &mut CallRecord, call: u64) {
    record.reset();
    record.time_ns = 1_700_000_000_000_000_000 + call;
    record.tenant = 1;
    record.app = 7;
    record.route = (call % 64) as u32;
    record.status = 200;
    record.protocol = Protocol::Http11.code();
    record.method = Method::Get.code();
    record.duration_us = 153;
    record.stage(Stage::Route, Verdict::Allowed, 0, 120);
    record.stage(Stage::Limit, Verdict::Allowed, 9, 300);
}

fn strings() -> CallStrings<'static> {
    CallStrings {
        request_id: b"01JDG3Q2K8Z7V5N4X1M0R9T6WA",
        host: b"api.example.com",
        path: b"/orders/2026/11/24/000017",
        target: b"10.0.0.17:8080",
        ..CallStrings::default()
    }
}

fn measure(name: &str, mut one: impl FnMut(&mut RingWriter, u64)) {
    let ring = ring();
    let mut writer = RingWriter::new(ring.clone());
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for call in 0..CALLS {
                one(&mut writer, call);
            }
            let took = began.elapsed().as_nanos() as f64 / CALLS as f64;
            let mut drain = Drain::new(ring.clone());
            let end = ring.written();
            while drain.position() < end {
                black_box(drain.next_before(end));
            }
            drain.commit();
            took
        })
        .collect();
    assert_eq!(writer.dropped(), 0, "the rounds must fit the ring");
    rounds.sort_by(f64::total_cmp);
    println!("{name}: best {:.1} ns, median {:.1} ns a call", rounds[0], rounds[ROUNDS / 2]);
}

fn main() {
    let mut record = CallRecord::default();
    let strings = strings();
    measure("reset and fill only", |_, call| {
        fill(&mut record, call);
        black_box(&record);
    });
    measure("append", |writer, call| {
        fill(&mut record, call);
        let _ = black_box(writer.append(&mut record, black_box(&strings)));
    });
    let mut ai = AiCall::default();
    ai.attempt(AiAttempt { provider: 3, ..AiAttempt::default() });
    measure("append_ai, one attempt", |writer, call| {
        fill(&mut record, call);
        let _ = black_box(writer.append_ai(&mut record, black_box(&strings), &ai));
    });

    let ring = self::ring();
    let mut writer = RingWriter::new(ring.clone());
    for call in 0..100_000 {
        fill(&mut record, call);
        let _ = writer.append(&mut record, &strings);
    }
    let mut best = f64::MAX;
    for _ in 0..20 {
        let mut drain = Drain::new(ring.clone());
        let end = ring.written();
        let began = Instant::now();
        let mut read = 0u64;
        while drain.position() < end {
            black_box(drain.next_before(end));
            read += 1;
        }
        best = best.min(began.elapsed().as_nanos() as f64 / read as f64);
    }
    println!("read: best {best:.1} ns a call, {} bytes a frame", ring.written() / 100_000);
}
