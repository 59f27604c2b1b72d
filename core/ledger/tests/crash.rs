//! `kill -9` at any moment: what `intent` and `settle` returned for is in the journal afterwards, each attempt once.
//!
//! The test runs itself as the child. `PENSTOCK_KILLS` sets how many children are killed.
#![allow(clippy::disallowed_methods, reason = "a test may read the environment and end its child")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Folder, cost, intent, reservation, settlement};
use penstock_ledger::{Books, Journal, LedgerError, Options, Segment, lock};

const CHILD_FOLDER: &str = "PENSTOCK_LEDGER_CRASH_CHILD";
const KILLS: &str = "PENSTOCK_KILLS";
const KILLS_DEFAULT: u64 = 20;
/// Attempts that the child has open at once.
const OPEN: usize = 5;
/// Marks the bytes of an acknowledgement among what the test harness prints.
const MARK: [u8; 7] = *b"\xf5ledger";

/// What the child says: the attempt's intent, or its settlement, is written.
fn acknowledge(out: &mut impl Write, kind: u8, call: u64) {
    let mut told = [0; 16];
    told[..7].copy_from_slice(&MARK);
    told[7] = kind;
    told[8..].copy_from_slice(&call.to_le_bytes());
    if out.write_all(&told).is_err() {
        std::process::exit(0);
    }
}

/// The child: writes and then acknowledges on stdout, until it is killed. Its spares are made ready on a thread.
fn write_until_killed(folder: &Path) -> ! {
    let options = Options { segment_bytes: 64 << 10, segments_max: 256, ..Options::default() };
    let (mut journal, mut keeper) = Journal::open(folder, 0, options, 7).unwrap();
    std::thread::spawn(move || {
        loop {
            keeper.prepare(8).unwrap();
            std::thread::yield_now();
        }
    });
    let mut told = std::io::stdout().lock();
    let mut open = VecDeque::new();
    let mut call = 0;
    loop {
        match journal.intent(&intent(call)) {
            Ok(entry) => {
                acknowledge(&mut told, b'I', call);
                open.push_back((call, entry));
                call += 1;
            }
            // The thread is behind, or the journal is full: the parent has enough by then.
            Err(LedgerError::Full) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        if open.len() > OPEN
            && let Some((call, entry)) = open.pop_front()
        {
            journal.settle(entry, &settlement(call));
            acknowledge(&mut told, b'S', call);
        }
    }
}

/// Starts a child, lets it acknowledge `count` lines, kills it, returns all it acknowledged.
fn kill_after(folder: &Path, count: usize) -> Vec<(u8, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attempts_survive_kill_exactly_once", "--nocapture", "--quiet"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    // The test harness prints its own lines first.
    while bytes.len() < count * 16 + 64 {
        let read = pipe.read(&mut chunk).unwrap();
        assert!(read > 0, "the child ended by itself: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..read]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    pipe.read_to_end(&mut bytes).unwrap();
    let first = bytes.windows(7).position(|window| window == MARK).unwrap();
    let told = bytes[first..].as_chunks::<16>().0;
    told.iter().map(|told| (told[7], u64::from_le_bytes(told[8..].try_into().unwrap()))).collect()
}

#[test]
fn attempts_survive_kill_exactly_once() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        write_until_killed(Path::new(&folder));
    }
    let kills = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS_DEFAULT);
    let (mut acknowledged_sum, mut open_sum) = (0, 0);
    for kill in 0..kills {
        let folder = Folder::new("crash");
        // A spread of moments: within the first segment, and after many.
        let count = 1 + (kill.wrapping_mul(2_654_435_761) % 30_000) as usize;
        let acknowledged = kill_after(folder.path(), count);
        acknowledged_sum += acknowledged.len();

        let held = lock(folder.path(), 0).unwrap().expect("the lock of a killed process is free");
        let segments: Vec<Arc<Segment>> = held
            .segments()
            .unwrap()
            .iter()
            .map(|file| {
                let segment = Segment::open(&file.path).unwrap();
                segment.end();
                Arc::new(segment)
            })
            .collect();
        let (mut books, mut booked) = (Books::default(), HashMap::new());
        common::read(&segments, &mut books, |found| {
            assert!(!found.is_orphan);
            let call = found.intent.request_id as u64;
            assert_eq!(found.settlement.cost, cost(call));
            assert!(booked.insert(call, ()).is_none(), "kill {kill}: attempt {call} is there twice");
        });
        let open: HashMap<u64, ()> = books
            .crashed()
            .map(|found| {
                let call = found.intent.request_id as u64;
                assert_eq!(found.settlement.cost, reservation(call));
                (call, ())
            })
            .collect();
        open_sum += open.len();
        assert!(open.len() <= OPEN + 1, "kill {kill}: {} attempts are open", open.len());
        for (kind, call) in acknowledged {
            let there = booked.contains_key(&call) || (kind == b'I' && open.contains_key(&call));
            assert!(there, "kill {kill}: {} of attempt {call} is lost", char::from(kind));
        }
    }
    println!("{kills} kills, {acknowledged_sum} lines acknowledged, {open_sum} attempts open");
}
