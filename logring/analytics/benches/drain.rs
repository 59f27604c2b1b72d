//! How many records a second the drain handles with live windows, on one core: read, checksum,
//! count into total, route, service and app. Writing is not counted.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use penstock_analytics::Drainage;
use penstock_ring::{CallRecord, CallStrings, Identity, Memory, Ring, RingWriter};

const CAPACITY: u64 = 64 << 20;
const ROUNDS: usize = 20;

fn main() {
    let identity = Identity { capacity: CAPACITY, run: 1, worker: 0, created_ns: 0, boot_id: [0; 16] };
    let ring = match Ring::format(Memory::plain(CAPACITY as usize + 4096), identity) {
        Ok(ring) => ring,
        Err(error) => panic!("no ring: {error}"),
    };
    let mut writer = RingWriter::new(ring.clone());
    let mut drainage = Drainage::new(std::path::Path::new("unused"), 1, vec![ring], 0);
    let strings = CallStrings {
        request_id: b"01JDG3Q2K8Z7V5N4X1M0R9T6WA",
        host: b"api.example.com",
        path: b"/orders/2026/11/24/000017",
        target: b"10.0.0.17:8080",
        ..CallStrings::default()
    };
    let (mut rates, mut now_ns, mut random) = (Vec::new(), 1_000_000_000_000u64, 1u64);
    for _ in 0..ROUNDS {
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = random >> 33;
            let mut record = CallRecord {
                time_ns: now_ns,
                status: if draw % 50 == 0 { 503 } else { 200 },
                route: (draw % 200) as u32 + 1,
                service: (draw % 20) as u32 + 1,
                app: (draw % 400) as u32 + 1,
                duration_us: 50 + (draw >> 8) % 5_000,
                bytes_out: 1000,
                ..CallRecord::EMPTY
            };
            if writer.append(&mut record, &strings).is_err() {
                panic!("a round fits the ring");
            }
        }
        let began = Instant::now();
        let mut read = 0;
        loop {
            now_ns += 10_000_000;
            match drainage.pass(now_ns) {
                0 => break,
                more => read += more,
            }
        }
        rates.push(read as f64 / began.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "drain with live windows: median {:.0}, best {:.0} records/s on one core",
        rates[ROUNDS / 2],
        rates[ROUNDS - 1]
    );
}
