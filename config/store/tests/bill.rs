//! The ledger against a bill that is kept apart: a provider that computes what it charges by code of its own, workers that
//! retry, lose answers and die, a ledger that folds and starts anew meanwhile. In the end both are equal to the nano-dollar.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use penstock_ai::catalogue::{Billed, Catalogue, NanoUsd};
use penstock_ai::usage::Usage;
use penstock_ledger::{
    Entry, Intent, Journal, LedgerError, Options, Outcome, Rule, SEGMENT_BYTES_MIN, Settlement, flag,
};
use penstock_store::Store;
use penstock_store::ledger::reconcile::reconcile;
use penstock_store::ledger::report::{By, Query, report};
use penstock_store::ledger::rerate::rerate;
use penstock_store::ledger::{LedgerOptions, LedgerThread, read_export};

const CALLS: u64 = 400;
const WORKERS: u64 = 3;
/// A Tuesday, 00:00 UTC.
const START_NS: u64 = 20_781 * 86_400_000_000_000;
const MODELS: [&str; 3] = ["small", "large", "odd"];

/// USD a million tokens: input, cached, output; and what input costs beyond a size.
type Prices = [[&'static str; 4]; 3];
const PRICES: Prices =
    [["0.15", "0.075", "0.6", ""], ["3", "0.3", "15", "6"], ["0.333333333", "0.1", "1.000000001", ""]];
/// The same, corrected.
const CORRECTED: Prices =
    [["0.15", "0.07", "0.6", ""], ["2.5", "0.3", "15", "5.5"], ["0.333333333", "0.1", "1.000000002", ""]];
const TIER: u64 = 200_000;

fn catalogue(prices: &Prices) -> Catalogue {
    let mut text = String::new();
    for (model, [input, cached, output, above]) in MODELS.iter().zip(prices) {
        let tier = if above.is_empty() {
            String::new()
        } else {
            format!(r#","above":{{"{TIER}":{{"input":"{above}"}}}}"#)
        };
        writeln!(
            text,
            r#"{{"provider":"kind","model":"{model}","name":"{model}","mode":"chat","prices":[{{"input":"{input}","cached_read":"{cached}","output":"{output}"{tier}}}]}}"#
        )
        .unwrap();
    }
    Catalogue::read(text.as_bytes()).unwrap()
}

/// 10^-15 USD a token from USD a million tokens, digit by digit.
fn rate(text: &str) -> u128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

/// What the provider charges, in 10^-9 USD, rounded up.
fn charge(prices: &Prices, model: usize, [input, cached, output]: [u64; 3]) -> u64 {
    let [input_price, cached_price, output_price, above] = prices[model];
    let input_price = if !above.is_empty() && input + cached > TIER { above } else { input_price };
    let sum = u128::from(input) * rate(input_price)
        + u128::from(cached) * rate(cached_price)
        + u128::from(output) * rate(output_price);
    let nano = sum / 1_000_000;
    u64::try_from(if nano * 1_000_000 == sum { nano } else { nano + 1 }).unwrap()
}

/// What the provider did: the truth that the ledger has to meet.
#[derive(Debug, Clone)]
struct Charged {
    tenant: &'static str,
    day: u64,
    model: usize,
    tokens: [u64; 3],
    request_id: u128,
    attempt: u16,
    response_id: String,
    /// Whether the gateway never saw the usage.
    unseen: bool,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// One worker: calls of up to three attempts, some of which are still open while others are made. Returns what is open at its
/// end, which it leaves so.
fn work(ledger: &LedgerThread, worker: u64, seed: u64, catalogue: &Catalogue, bill: &Mutex<Vec<Charged>>) {
    let mut random = Random(seed * 1000 + worker + 1);
    let mut journal = ledger.journal().unwrap();
    let mut open: Vec<(Entry, Charged, u64)> = Vec::new();
    for call in 0..CALLS {
        let attempts = 1 + random.below(3);
        for attempt in 0..attempts {
            let tokens = [
                [random.below(2_000), random.below(300_000)][usize::from(random.below(5) == 0)],
                random.below(500),
                random.below(900),
            ];
            let charged = Charged {
                tenant: ["acme", "globex"][random.below(2) as usize],
                day: random.below(3),
                model: random.below(3) as usize,
                tokens,
                request_id: u128::from(seed) << 96 | u128::from(worker) << 64 | u128::from(call),
                attempt: attempt as u16,
                response_id: format!("r-{seed}-{worker}-{call}-{attempt}"),
                unseen: false,
            };
            let time_ns = START_NS + charged.day * 86_400_000_000_000 + random.below(86_400_000_000_000);
            // Far above, or too low, as an estimate may be.
            let reservation = NanoUsd(random.below(4_000_000_000));
            open.push((begin(&mut journal, &charged, time_ns, reservation), charged, time_ns));
            if open.len() > 6 {
                let at = random.below(open.len() as u64) as usize;
                let (entry, charged, time_ns) = open.swap_remove(at);
                end(&mut journal, entry, charged, time_ns, catalogue, bill, &mut random);
            }
        }
        if random.below(100) == 0 {
            // The worker dies; what it had open was charged by the provider all the same.
            leave(&mut open, bill);
            drop(std::mem::replace(&mut journal, ledger.journal().unwrap()));
        }
    }
    leave(&mut open, bill);
}

fn leave(open: &mut Vec<(Entry, Charged, u64)>, bill: &Mutex<Vec<Charged>>) {
    let mut bill = bill.lock().unwrap();
    bill.extend(open.drain(..).map(|(_, charged, _)| Charged { unseen: true, ..charged }));
}

fn begin(journal: &mut Journal, charged: &Charged, time_ns: u64, reservation: NanoUsd) -> Entry {
    let intent = Intent {
        request_id: charged.request_id,
        attempt: charged.attempt,
        time_ns,
        reservation,
        tenant: charged.tenant,
        model: MODELS[charged.model],
        provider: "provider",
        provider_kind: "kind",
        ..Intent::default()
    };
    loop {
        match journal.intent(&intent) {
            Ok(entry) => return entry,
            // Refused, and asked again as a client would.
            Err(LedgerError::Full) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn end(
    journal: &mut Journal,
    entry: Entry,
    mut charged: Charged,
    time_ns: u64,
    catalogue: &Catalogue,
    bill: &Mutex<Vec<Charged>>,
    random: &mut Random,
) {
    let [input, cached_read, output] = charged.tokens;
    let billed = Billed::from(Usage { input, cached_read, output, ..Usage::default() });
    let timed = catalogue.row("kind", MODELS[charged.model]).unwrap().timed_price_at(time_ns / 1_000_000_000);
    let (price, id) = timed.map(|timed| (timed.price(), timed.id())).unwrap();
    let seen = Settlement {
        time_ns: time_ns + 1,
        outcome: Outcome::Settled,
        billed,
        cost: price.cost(&billed).unwrap(),
        price: Some(id),
        model: MODELS[charged.model],
        response_id: &charged.response_id,
        flags: 0,
    };
    match random.below(10) {
        // The stream was cut: what came through is counted.
        0 | 1 => {
            let guess = Billed::from(Usage { input, output: output / 2, ..Usage::default() });
            let cost = price.cost(&guess).unwrap();
            let outcome = Outcome::Estimated(Rule::COUNTED);
            journal.settle(entry, &Settlement { outcome, billed: guess, cost, ..seen });
            charged.unseen = true;
            bill.lock().unwrap().push(charged);
        }
        // Nothing came, and the provider charges nothing for that.
        2 => journal.settle(entry, &Settlement::estimated(time_ns, Rule::NO_ANSWER, NanoUsd(0))),
        _ => {
            journal.settle(entry, &seen);
            bill.lock().unwrap().push(charged);
        }
    }
}

type Sums = BTreeMap<Vec<String>, i64>;

fn by_bill<'c>(bill: impl Iterator<Item = &'c Charged>, prices: &Prices) -> Sums {
    let mut sums = Sums::new();
    for charged in bill {
        let day = format!("2026-11-{:02}", 24 + charged.day);
        let values = vec![charged.tenant.to_owned(), MODELS[charged.model].to_owned(), day];
        *sums.entry(values).or_default() += charge(prices, charged.model, charged.tokens).cast_signed();
    }
    sums
}

fn by_ledger(dir: &Path, settled_only: bool) -> Sums {
    let by = vec![By::Tenant, By::Model, By::Day];
    let only = if settled_only { vec![(By::State, "settled".to_owned())] } else { Vec::new() };
    let found = report(dir, &Query { by, only, ..Query::default() }).unwrap();
    found.rows.into_iter().map(|row| (row.values, row.all.nano_usd)).filter(|(_, sum)| *sum != 0).collect()
}

#[test]
fn the_ledger_meets_a_bill_that_is_kept_apart_to_the_nano_dollar() {
    for seed in 1..=3 {
        let dir = Dir::new(seed);
        let catalogue = catalogue(&PRICES);
        let bill = Mutex::new(Vec::new());
        for life in 0..2 {
            let options = LedgerOptions {
                journal: Options { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 12, ..Options::default() },
                fold_every: Duration::from_millis(1),
                // The days of the test lie where they lie.
                lines_keep_days: u32::MAX,
                ..LedgerOptions::default()
            };
            let ledger = LedgerThread::start(&dir.0, options).unwrap();
            std::thread::scope(|scope| {
                for worker in 0..WORKERS {
                    let (ledger, catalogue, bill) = (&ledger, &catalogue, &bill);
                    scope.spawn(move || work(ledger, life * WORKERS + worker, seed, catalogue, bill));
                }
                // Readers see no attempt twice: a report is never more than what it becomes.
                for _ in 0..20 {
                    report(&dir.0, &Query { by: vec![By::Tenant], ..Query::default() }).unwrap();
                }
            });
        }
        let bill = bill.into_inner().unwrap();
        let seen = bill.iter().filter(|charged| !charged.unseen);
        assert_eq!(by_ledger(&dir.0, true), by_bill(seen, &PRICES), "what was settled");

        // The provider's export settles what the gateway did not see; half of it by ids of its own.
        let mut export =
            "request_id,attempt,response_id,model,input_tokens,cached_read_tokens,output_tokens\n".to_owned();
        for (at, charged) in bill.iter().filter(|charged| charged.unseen).enumerate() {
            let [input, cached, output] = charged.tokens;
            let response = if at % 2 == 0 { charged.response_id.as_str() } else { "" };
            let (id, attempt, model) = (charged.request_id, charged.attempt, MODELS[charged.model]);
            writeln!(export, "{id:032x},{attempt},{response},{model},{input},{cached},{output}").unwrap();
        }
        let rows = read_export(export.as_bytes()).unwrap();
        let mut store = Store::open_existing(&dir.0).unwrap();
        let tried = reconcile(&mut store, &rows, &catalogue, 1, true).unwrap();
        let done = reconcile(&mut store, &rows, &catalogue, 1, false).unwrap();
        assert_eq!((&tried, done.settled, done.left), (&done, rows.len() as u64, 0));
        assert!(rows.len() > 200, "{}", rows.len());
        let again = reconcile(&mut store, &rows, &catalogue, 1, false).unwrap();
        assert_eq!((again.settled, again.left), (0, rows.len() as u64));
        assert_eq!(by_ledger(&dir.0, false), by_bill(bill.iter(), &PRICES), "with the export");

        // A corrected price, from the second day on; then from the first.
        let corrected = self::catalogue(&CORRECTED);
        let since_ns = START_NS + 86_400_000_000_000;
        let tried = rerate(&mut store, &corrected, since_ns, 1, true).unwrap();
        assert_eq!(rerate(&mut store, &corrected, since_ns, 1, false).unwrap(), tried);
        let mut expected = by_bill(bill.iter().filter(|charged| charged.day == 0), &PRICES);
        expected.append(&mut by_bill(bill.iter().filter(|charged| charged.day > 0), &CORRECTED));
        assert_eq!(by_ledger(&dir.0, false), expected, "corrected from the second day on");
        rerate(&mut store, &corrected, 0, 1, false).unwrap();
        assert_eq!(by_ledger(&dir.0, false), by_bill(bill.iter(), &CORRECTED), "corrected");
        assert_eq!(rerate(&mut store, &corrected, 0, 1, false).unwrap().changed, 0, "twice");
        // And back, over what was adjusted before.
        rerate(&mut store, &catalogue, 0, 1, false).unwrap();
        assert_eq!(by_ledger(&dir.0, false), by_bill(bill.iter(), &PRICES), "and back");
    }
}

#[test]
fn what_is_ambiguous_unpriced_or_told_by_the_provider_is_handled_as_such() {
    let dir = Dir::new(99);
    let catalogue = catalogue(&PRICES);
    let ledger = LedgerThread::start(&dir.0, LedgerOptions::default()).unwrap();
    let mut journal = ledger.journal().unwrap();
    let charged = |attempt, model| Charged {
        tenant: "acme",
        day: 0,
        model,
        tokens: [1_000_000, 0, 0],
        request_id: 5,
        attempt,
        response_id: String::new(),
        unseen: true,
    };
    for attempt in 0..3 {
        let entry = begin(&mut journal, &charged(attempt, 1), START_NS, NanoUsd(10_000_000_000));
        let rule = if attempt == 2 { Rule::NO_PRICE } else { Rule::CRASH };
        let estimate = Settlement::estimated(START_NS, rule, NanoUsd(7));
        journal.settle(entry, &Settlement { flags: flag::PRICE_UNKNOWN, ..estimate });
    }
    // A settled attempt whose price was not known.
    let entry = begin(&mut journal, &charged(3, 0), START_NS, NanoUsd(10_000_000_000));
    let usage = Usage { input: 1_000_000, ..Usage::default() };
    journal.settle(
        entry,
        &Settlement {
            outcome: Outcome::Settled,
            billed: Billed::from(usage),
            flags: flag::PRICE_UNKNOWN,
            ..Settlement::estimated(START_NS, Rule::NONE, NanoUsd(1))
        },
    );
    ledger.fold().unwrap();
    let id = format!("{:032x}", 5);
    let export = format!(
        "request_id,attempt,model,input_tokens,cost_usd\n{id},,,,1\n{id},0,nobody-prices-this,1,\n{id},1,large,1,\n{id},0,large,5,0.5\n"
    );
    let mut store = Store::open_existing(&dir.0).unwrap();
    let done = reconcile(&mut store, &read_export(export.as_bytes()).unwrap(), &catalogue, 1, false).unwrap();
    let told: Vec<(u64, &str)> = done.told.iter().map(|(line, left)| (*line, left.why())).collect();
    assert!(told[0].0 == 2 && told[0].1.contains("several"), "{told:?}");
    assert!(told[1].0 == 3 && told[1].1.contains("no price"), "{told:?}");
    assert_eq!((done.settled, done.nano_usd_before, done.nano_usd_after), (2, 14, 500_003_000));
    let totals = || {
        let found = report(&dir.0, &Query::default()).unwrap();
        let all = found.rows[0].all;
        (all.attempts, all.nano_usd, all.price_unknown, found.rows[0].estimated.attempts)
    };
    assert_eq!(totals(), (4, 500_003_000 + 7 + 1, 2, 1));
    // The provider's own cost stays; what had no price gets one.
    let rerated = rerate(&mut store, &self::catalogue(&CORRECTED), 0, 1, false).unwrap();
    assert_eq!((rerated.lines, rerated.changed), (3, 2));
    assert_eq!(totals(), (4, 500_000_000 + 2_500 + 150_000_000 + 7, 1, 1));
    drop((journal, ledger));
}

struct Dir(PathBuf);

impl Dir {
    fn new(number: u64) -> Dir {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("penstock-store-bill-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
