//! What folding costs the control side: microseconds an attempt, from the journal into the store, and bytes an attempt there.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the environment")]

use std::time::{Duration, Instant};

use penstock_ai::catalogue::{Billed, NanoUsd, PriceId};
use penstock_ai::usage::Usage;
use penstock_ledger::{Intent, Journal, LedgerError, Outcome, Settlement};
use penstock_store::STORE_FILE;
use penstock_store::ledger::report::{Query, report};
use penstock_store::ledger::{LedgerOptions, LedgerThread};

const ROUNDS: u64 = 20;
const ATTEMPTS: u64 = 20_000;

fn write(journal: &mut Journal, call: u64) {
    let user = format!("user-{}", call % 200);
    let intent = Intent {
        request_id: u128::from(call) << 64 | 0x5eed,
        time_ns: 1_795_525_200_000_000_000 + call * 1_000_000,
        reservation: NanoUsd(12_345_678),
        price: Some(PriceId(7)),
        tenant: "acme",
        team: "search",
        app: "assistant",
        credential: "assistant-prod",
        end_user: &user,
        tags: "env=prod,feature=summary",
        service: "chat",
        model: "gpt-4.1-mini",
        provider: "openai",
        provider_kind: "openai",
        provider_key: "main",
        dialect: "openai_chat",
        ..Intent::default()
    };
    let entry = loop {
        match journal.intent(&intent) {
            Ok(entry) => break entry,
            Err(LedgerError::Full) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    let usage = Usage { input: 900, cached_read: 100, output: 50, reasoning: 20, ..Usage::default() };
    journal.settle(
        entry,
        &Settlement {
            time_ns: intent.time_ns + 1,
            outcome: Outcome::Settled,
            billed: Billed::from(usage),
            cost: NanoUsd(1_234_567),
            price: Some(PriceId(7)),
            model: "gpt-4.1-mini-2026-04-14",
            response_id: "chatcmpl-9zGxYvX1mO2fT4kqRrSsTtUuVvWwX",
            flags: 0,
        },
    );
}

fn main() {
    let dir = std::env::var("PENSTOCK_BENCH_DIR").map_or_else(|_| std::env::temp_dir(), Into::into);
    let dir = dir.join(format!("penstock-fold-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let options = LedgerOptions { fold_every: Duration::from_secs(3600), ..LedgerOptions::default() };
    let ledger = LedgerThread::start(&dir, options).expect("a ledger");
    let mut journal = ledger.journal().expect("a journal");
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            for call in 0..ATTEMPTS {
                write(&mut journal, round * ATTEMPTS + call);
            }
            let began = Instant::now();
            ledger.fold().expect("folded");
            began.elapsed().as_secs_f64() * 1e6 / ATTEMPTS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("fold: best {:.2} us, median {:.2} us an attempt", rounds[0], rounds[rounds.len() / 2]);
    let began = Instant::now();
    let found = report(&dir, &Query::default()).expect("a report");
    let took = began.elapsed().as_secs_f64() * 1e3;
    println!("report: {took:.1} ms over {} attempts", found.rows[0].all.attempts);
    drop((journal, ledger));
    let bytes = std::fs::metadata(dir.join(STORE_FILE)).expect("a store").len();
    println!("store: {} bytes an attempt", bytes / (ROUNDS * ATTEMPTS));
    std::fs::remove_dir_all(&dir).expect("removed");
}
