//! `kill -9` of a process that writes, folds, frees and replays, again and again over one data directory: every attempt that
//! was acknowledged is booked once, at its cost or at its reservation.
//!
//! The test runs itself as the child. `PENSTOCK_KILLS` sets how many children are killed.
#![allow(clippy::disallowed_methods, reason = "a test may read the environment and end its child")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use penstock_ai::catalogue::{Billed, NanoUsd, PriceId};
use penstock_ai::usage::Usage;
use penstock_ledger::{Intent, Journal, LedgerError, Options, Outcome, SEGMENT_BYTES_MIN, Settlement};
use penstock_store::ledger::report::{By, Query, report};
use penstock_store::ledger::{LedgerOptions, LedgerThread};

const CHILD_FOLDER: &str = "PENSTOCK_STORE_CRASH_CHILD";
const FIRST_CALL: &str = "PENSTOCK_STORE_CRASH_FIRST";
const KILLS: &str = "PENSTOCK_KILLS";
const KILLS_DEFAULT: u64 = 20;
/// Calls of one child have numbers of their own.
const CALLS_MAX: u64 = 1_000_000;
const WORKERS: u64 = 2;
const OPEN: usize = 4;
const MARK: [u8; 7] = *b"\xf5ledger";

fn options() -> LedgerOptions {
    LedgerOptions {
        journal: Options { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 200, ..Options::default() },
        fold_every: Duration::from_millis(2),
        on_event: |event| eprintln!("{event}"),
        // The calls of the test are of all times.
        lines_keep_days: u32::MAX,
        ..LedgerOptions::default()
    }
}

fn reservation(call: u64) -> u64 {
    2_000_000 + call
}

fn cost(call: u64) -> u64 {
    1_000 + call
}

fn acknowledge(kind: u8, call: u64) {
    let mut told = [0; 16];
    told[..7].copy_from_slice(&MARK);
    told[7] = kind;
    told[8..].copy_from_slice(&call.to_le_bytes());
    let mut out = std::io::stdout().lock();
    if out.write_all(&told).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn attempt(journal: &mut Journal, call: u64) -> Option<penstock_ledger::Entry> {
    let user = call.to_string();
    let intent = Intent {
        request_id: call.into(),
        // An hour each, so that none is crowded.
        time_ns: call % 2_000_000 * 3_600_000_000_000,
        reservation: NanoUsd(reservation(call)),
        price: Some(PriceId(7)),
        tenant: "acme",
        end_user: &user,
        model: "model",
        ..Intent::default()
    };
    match journal.intent(&intent) {
        Ok(entry) => Some(entry),
        Err(LedgerError::Full) => None,
        Err(error) => panic!("{error}"),
    }
}

fn settle(journal: &mut Journal, entry: penstock_ledger::Entry, call: u64) {
    let settlement = Settlement {
        time_ns: 1,
        outcome: Outcome::Settled,
        billed: Billed::from(Usage { input: call, ..Usage::default() }),
        cost: NanoUsd(cost(call)),
        price: Some(PriceId(7)),
        model: "",
        response_id: "response",
        flags: 0,
    };
    journal.settle(entry, &settlement);
}

/// The child: replays, then workers write and acknowledge while the ledger folds, until it is killed.
fn serve_until_killed(dir: &Path, first: u64) {
    acknowledge(b'B', 0);
    let ledger = LedgerThread::start(dir, options()).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let mut journal = ledger.journal().unwrap();
            scope.spawn(move || {
                let mut open = VecDeque::new();
                let mut call = first + worker;
                loop {
                    match attempt(&mut journal, call) {
                        Some(entry) => {
                            acknowledge(b'I', call);
                            open.push_back((call, entry));
                            call += WORKERS;
                        }
                        None => std::thread::yield_now(),
                    }
                    if open.len() > OPEN
                        && let Some((call, entry)) = open.pop_front()
                    {
                        settle(&mut journal, entry, call);
                        acknowledge(b'S', call);
                    }
                }
            });
        }
    });
}

/// Starts a child, lets it acknowledge `count` lines, kills it, returns all it acknowledged.
fn kill_after(dir: &Path, first: u64, count: usize) -> Vec<(u8, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attempts_are_booked_once_over_many_kills", "--nocapture", "--quiet"])
        .env(CHILD_FOLDER, dir)
        .env(FIRST_CALL, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    let begun = |bytes: &[u8]| bytes.windows(7).position(|window| window == MARK);
    while begun(&bytes).is_none_or(|at| bytes.len() - at < count * 16) {
        let read = pipe.read(&mut chunk).unwrap();
        assert!(read > 0, "the child ended by itself: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..read]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    pipe.read_to_end(&mut bytes).unwrap();
    let told = bytes[begun(&bytes).unwrap()..].as_chunks::<16>().0;
    told.iter().map(|told| (told[7], u64::from_le_bytes(told[8..].try_into().unwrap()))).collect()
}

#[test]
fn attempts_are_booked_once_over_many_kills() {
    if let Some(dir) = std::env::var_os(CHILD_FOLDER) {
        let first = std::env::var(FIRST_CALL).unwrap().parse().unwrap();
        serve_until_killed(Path::new(&dir), first);
        return;
    }
    let kills = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS_DEFAULT);
    let dir = Dir::new();
    let mut acknowledged: BTreeMap<u64, u8> = BTreeMap::new();
    let mut replays_killed = 0;
    for kill in 0..kills {
        // One line is the child's first: it is killed while it replays, often twice in a row.
        let count = if kill % 4 >= 2 { 1 } else { 1 + (kill.wrapping_mul(2_654_435_761) % 1500) as usize };
        replays_killed += u64::from(count == 1);
        for (kind, call) in kill_after(&dir.0, kill * CALLS_MAX, count) {
            match kind {
                b'S' => acknowledged.insert(call, kind),
                b'I' => Some(*acknowledged.entry(call).or_insert(kind)),
                _ => None,
            };
        }
    }
    let ledger = LedgerThread::start(&dir.0, options()).unwrap();
    drop(ledger);

    let by_call = report(&dir.0, &Query { by: vec![By::EndUser, By::State], ..Query::default() }).unwrap();
    assert_eq!((by_call.open_attempts, by_call.unfolded_attempts), (0, 0), "all is folded");
    let mut found = BTreeMap::new();
    let mut sum = 0;
    for row in &by_call.rows {
        let call: u64 = row.values[0].parse().unwrap();
        assert_eq!(row.all.attempts, 1, "attempt {call} is booked twice");
        let expected = if row.values[1] == "settled" { cost(call) } else { reservation(call) };
        assert_eq!(row.all.nano_usd, expected.cast_signed(), "attempt {call}");
        assert!(
            found.insert(call, row.values[1].clone()).is_none(),
            "attempt {call} is booked in both states"
        );
        sum += row.all.nano_usd;
    }
    for (call, kind) in &acknowledged {
        let state = found.get(call).unwrap_or_else(|| panic!("attempt {call} is lost"));
        assert!(*kind == b'I' || state == "settled", "the settlement of attempt {call} is lost");
    }
    // What was written and not acknowledged is one attempt of each worker and kill at most.
    assert!(found.len() as u64 <= acknowledged.len() as u64 + kills * WORKERS);
    let all = report(&dir.0, &Query::default()).unwrap();
    assert_eq!((all.rows[0].all.nano_usd, all.rows[0].all.attempts as usize), (sum, found.len()));
    let crashed = found.values().filter(|state| *state == "estimated").count();
    println!(
        "{kills} kills, {replays_killed} of them in a replay; {} attempts, {crashed} open at a kill, {sum} nano-dollars",
        found.len()
    );
}

struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("penstock-store-crash-{}", std::process::id()));
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
