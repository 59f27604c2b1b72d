//! What one attempt costs the worker: an intent and its settlement, as calls of a chat have them. Nanoseconds an attempt, best
//! and median of rounds; segments are made ready and freed between rounds and not counted.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the environment")]

use std::hint::black_box;
use std::time::Instant;

use penstock_ai::catalogue::{Billed, NanoUsd, PriceId};
use penstock_ai::usage::Usage;
use penstock_ledger::{Books, Cursor, Intent, Item, Journal, Keeper, Options, Outcome, Settlement};

const ROUNDS: usize = 60;
const ATTEMPTS: u64 = 5_000;

fn intent(call: u64) -> Intent<'static> {
    Intent {
        request_id: u128::from(call) << 64 | 0x5eed,
        attempt: 0,
        time_ns: 1_795_000_000_000_000_000 + call,
        reservation: NanoUsd(12_345_678),
        price: Some(PriceId(0x1234_5678_9abc_def0)),
        tenant: "acme",
        team: "search",
        app: "assistant",
        credential: "assistant-prod",
        end_user: "u-4711",
        tags: "env=prod,feature=summary",
        service: "chat",
        prompt: "",
        model: "gpt-4.1-mini",
        provider: "openai",
        provider_kind: "openai",
        region: "",
        provider_key: "main",
        dialect: "openai_chat",
    }
}

fn settlement(call: u64) -> Settlement<'static> {
    let usage = Usage { input: 900, cached_read: 100, output: 50, reasoning: 20, ..Usage::default() };
    Settlement {
        time_ns: 1_795_000_000_100_000_000 + call,
        outcome: Outcome::Settled,
        billed: Billed::from(usage),
        cost: NanoUsd(1_234_567),
        price: Some(PriceId(0x1234_5678_9abc_def0)),
        model: "gpt-4.1-mini-2026-04-14",
        response_id: "chatcmpl-9zGxYvX1mO2fT4kqRrSsTtUuVvWwX",
        flags: 0,
    }
}

/// Frees what is ended and makes spares ready.
fn refill(keeper: &mut Keeper, now_ns: u64) {
    let ended: Vec<u64> = keeper
        .segments()
        .iter()
        .filter(|segment| segment.is_ended())
        .map(|segment| segment.id().sequence)
        .collect();
    for sequence in ended {
        keeper.free(sequence).expect("freed");
    }
    keeper.prepare(now_ns).expect("spares");
}

fn measure(name: &str, journal: &mut Journal, keeper: &mut Keeper, mut one: impl FnMut(&mut Journal, u64)) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            refill(keeper, round as u64);
            let began = Instant::now();
            for call in 0..ATTEMPTS {
                one(journal, call);
            }
            began.elapsed().as_nanos() as f64 / ATTEMPTS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name}: best {:.1} ns, median {:.1} ns an attempt", rounds[0], rounds[ROUNDS / 2]);
}

fn main() {
    let folder = std::env::var("PENSTOCK_BENCH_DIR").map_or_else(|_| std::env::temp_dir(), Into::into);
    let folder = folder.join(format!("penstock-ledger-bench-{}", std::process::id()));
    let (mut journal, mut keeper) = Journal::open(&folder, 0, Options::default(), 1).expect("a journal");
    measure("intent and settlement", &mut journal, &mut keeper, |journal, call| {
        match journal.intent(black_box(&intent(call))) {
            Ok(entry) => journal.settle(entry, black_box(&settlement(call))),
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(keeper.refused(), 0, "the rounds must fit the segments");

    // Reading: what the fold pays for an attempt before it sums.
    let segment = keeper.segments()[0].clone();
    let mut best = f64::MAX;
    for _ in 0..20 {
        let (mut cursor, mut books, mut booked) = (Cursor::at(segment.clone(), 0), Books::default(), 0u64);
        let began = Instant::now();
        while let Item::Line(line) = cursor.read_next() {
            books.take(&line, |attempt| {
                black_box(attempt);
                booked += 1;
            });
        }
        best = best.min(began.elapsed().as_nanos() as f64 / booked.max(1) as f64);
    }
    println!("read: best {best:.1} ns an attempt");
    std::fs::remove_dir_all(&folder).expect("removed");
}
