//! Every attempt is booked exactly once, whatever is killed when: against a model, step by step and at random.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use penstock_ai::catalogue::{Billed, NanoUsd, PriceId};
use penstock_ai::usage::Usage;
use penstock_ledger::{
    Entry, HeldJournal, Intent, Journal, Keeper, LEDGER_FOLDER, LedgerError, Options, Outcome, Rule,
    SEGMENT_BYTES_MIN, Segment, Settlement, State, flag, lock, readable_segments,
};
use proptest::prelude::*;

use super::batch::Bookkeeper;
use super::event::{LedgerEvent, Replayed};
use super::fold::{self, Fold};
use super::key::OTHER;
use super::line::next_line;
use super::report::{By, Query, report};
use super::sums::{Totals, state_of};
use crate::error::StoreError;
use crate::store::{STORE_FILE, Store};

/// A Tuesday, 13:00 UTC.
const START_NS: u64 = 1_795_525_200_000_000_000;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A data directory in memory where that is possible, gone at the end.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new() -> Dir {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("penstock-fold-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn ledger(&self) -> PathBuf {
        self.0.join(LEDGER_FOLDER)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 6, ..Options::default() }
}

/// Makes lines long, so that few fill a segment.
const LONG: &str =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

fn intent(call: u64) -> Intent<'static> {
    Intent {
        request_id: call.into(),
        attempt: (call % 3) as u16,
        time_ns: START_NS + call * 60_000_000_000,
        reservation: NanoUsd(1_000_000 + call),
        price: Some(PriceId(7)),
        tenant: ["acme", "globex"][call as usize % 2],
        app: "app",
        team: LONG,
        credential: LONG,
        service: LONG,
        tags: "env=prod,feature=x",
        model: "asked",
        provider: "openai",
        provider_kind: "openai",
        ..Intent::default()
    }
}

fn settlement(call: u64) -> Settlement<'static> {
    let outcome = match call % 5 {
        0 => Outcome::Estimated(Rule::COUNTED),
        _ => Outcome::Settled,
    };
    Settlement {
        time_ns: START_NS + call * 60_000_000_000 + 1,
        outcome,
        billed: Billed::from(Usage { input: call, output: 2, cached_read: 1, ..Usage::default() }),
        cost: NanoUsd(500_000 + call),
        price: Some(PriceId(7)),
        model: ["", "answered"][call as usize % 2],
        response_id: "response",
        flags: if call.is_multiple_of(7) { flag::MODEL_DIFFERS } else { 0 },
    }
}

fn quiet() -> impl FnMut(LedgerEvent) {
    |_| ()
}

/// What the store has of each attempt: state, rule and cost. Each one must be there once, and sums must be those of lines.
fn booked(store: &mut Store) -> BTreeMap<u64, (State, Rule, u64)> {
    let transaction = store.read().unwrap();
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for text in ["SELECT lines FROM ledger_block", "SELECT line FROM ledger_estimated"] {
        let mut statement = transaction.prepare(text).unwrap();
        lines.extend(statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap));
    }
    let (mut found, mut sums) = (BTreeMap::new(), HashMap::new());
    for bytes in &lines {
        let mut rest = &bytes[..];
        while let Some(kept) = next_line(&mut rest).unwrap() {
            let told = &kept.line.settlement;
            let call = kept.line.request_id as u64;
            let booked = (told.outcome.state(), told.outcome.rule(), told.cost.0);
            assert!(found.insert(call, booked).is_none(), "attempt {call} is booked twice");
            let id = (kept.hour(), kept.key_id, told.outcome.state());
            let totals = Totals::of(&told.billed, told.cost.0, told.flags);
            sums.entry(id).or_insert_with(Totals::default).add(&totals).unwrap();
        }
    }
    let columns = super::sums::TOTALS_COLUMNS.join(", ");
    let mut statement =
        transaction.prepare(&format!("SELECT hour, key_id, state, {columns} FROM ledger_sum")).unwrap();
    let rows = statement
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?), Totals::read(row, 3)?)));
    let in_table: HashMap<_, _> = rows
        .unwrap()
        .map(|row| {
            let ((hour, key_id, state), totals) = row.unwrap();
            ((hour, key_id, state_of(state).unwrap()), totals)
        })
        .collect();
    assert_eq!(in_table, sums, "sums are those of the lines");
    found
}

/// One journal with its fold, as a running gateway has them; steps are taken one by one.
struct Running {
    journal: Journal,
    keeper: Keeper,
    fold: Option<Fold>,
}

impl Running {
    fn begin(held: HeldJournal, now_ns: u64) -> Running {
        let (journal, keeper) = held.begin(options(), now_ns).unwrap();
        Running { journal, keeper, fold: None }
    }

    /// Folds up to the end of the transaction, which is completed or not; returns the segments that are done.
    fn fold(&mut self, store: &mut Store, bookkeeper: &mut Bookkeeper, completes: bool) -> Vec<u64> {
        let transaction = store.write().unwrap();
        let segments = self.keeper.segments().to_vec();
        let mut fold = match self.fold.take() {
            Some(fold) => fold,
            None => Fold::load(&transaction, self.keeper.number(), &segments).unwrap(),
        };
        let done = fold.run(&transaction, bookkeeper, &segments, &mut quiet()).unwrap();
        bookkeeper.finish(&transaction).unwrap();
        if completes {
            transaction.commit().unwrap();
            self.fold = Some(fold);
            done
        } else {
            drop(transaction);
            bookkeeper.forget();
            Vec::new()
        }
    }

    fn free(&mut self, store: &mut Store, dir: &Dir, done: &[u64]) {
        for sequence in done {
            self.keeper.free(*sequence).unwrap();
        }
        self.fold.as_mut().unwrap().forget(done);
        let present = readable_segments(&dir.ledger(), self.keeper.number()).unwrap();
        fold::remove_rows(store, self.keeper.number(), &present).unwrap();
    }

    /// Where the last line ends.
    fn end(&self) -> (u64, u32) {
        let begun = self.keeper.segments().iter().rfind(|segment| segment.is_begun());
        begun.map_or((0, 0), |segment| (segment.id().sequence, segment.written()))
    }
}

fn replay(dir: &Dir, number: u32, tell: &mut dyn FnMut(LedgerEvent)) -> (Replayed, HeldJournal) {
    let mut store = Store::open(dir.path()).unwrap();
    let held = lock(&dir.ledger(), number).unwrap().expect("nobody has it");
    let replayed = fold::replay(&mut store, &held, &mut Bookkeeper::default(), tell).unwrap();
    (replayed, held)
}

#[test]
fn a_kill_between_fold_and_free_books_nothing_twice() {
    let dir = Dir::new();
    let mut store = Store::open(dir.path()).unwrap();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    let open = running.journal.intent(&intent(0)).unwrap();
    for call in 1..40 {
        let entry = running.journal.intent(&intent(call)).unwrap();
        running.journal.settle(entry, &settlement(call));
        running.keeper.prepare(2).unwrap();
    }
    let done = running.fold(&mut store, &mut Bookkeeper::default(), true);
    assert!(!done.is_empty());
    // Killed here: done segments are still there. Then killed again, after the replay's transaction, before its removals.
    drop((running, open));
    let before = readable_segments(&dir.ledger(), 0).unwrap().len();
    let copies: Vec<(PathBuf, Vec<u8>)> = readable_segments(&dir.ledger(), 0)
        .unwrap()
        .into_iter()
        .map(|file| (file.path.clone(), std::fs::read(file.path).unwrap()))
        .collect();
    let rows_before = segment_rows(&mut store);
    let (replayed, held) = replay(&dir, 0, &mut quiet());
    assert_eq!(replayed, Replayed { journals: 1, attempts: 1, crashed: 1 });
    assert_eq!((held.segments().unwrap().len(), segment_rows(&mut store).len()), (0, 0));
    assert!(before >= done.len() && !rows_before.is_empty());
    // The files are back, as if the removal had not been reached; their rows are, too.
    for (path, bytes) in copies {
        std::fs::write(path, bytes).unwrap();
    }
    let transaction = store.write().unwrap();
    for file in held.segments().unwrap() {
        let id = Segment::open(&file.path).unwrap().id();
        transaction
            .execute(
                "INSERT INTO ledger_segment VALUES (?1, ?2, ?3, 0, 1)",
                (id.journal, crate::store::int(id.sequence), crate::store::int(id.created_ns)),
            )
            .unwrap();
    }
    transaction.commit().unwrap();
    drop(held);
    let (replayed, held) = replay(&dir, 0, &mut quiet());
    assert_eq!((replayed, held.segments().unwrap().len()), (Replayed::default(), 0));
    let found = booked(&mut store);
    assert_eq!(found.len(), 40);
    assert_eq!(found[&0], (State::Estimated, Rule::CRASH, 1_000_000));
    assert_eq!(found[&1], (State::Settled, Rule::NONE, 500_001));
    assert_eq!(found[&5], (State::Estimated, Rule::COUNTED, 500_005));
}

fn segment_rows(store: &mut Store) -> Vec<(i64, i64)> {
    let transaction = store.read().unwrap();
    let mut statement = transaction.prepare("SELECT sequence, done FROM ledger_segment").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_transaction_that_is_not_completed_leaves_nothing_and_is_done_again() {
    let dir = Dir::new();
    let mut store = Store::open(dir.path()).unwrap();
    let mut bookkeeper = Bookkeeper::default();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    for call in 0..10 {
        let entry = running.journal.intent(&intent(call)).unwrap();
        running.journal.settle(entry, &settlement(call));
    }
    running.fold(&mut store, &mut bookkeeper, false);
    assert!(booked(&mut store).is_empty());
    running.fold(&mut store, &mut bookkeeper, true);
    assert_eq!(booked(&mut store).len(), 10);
    running.fold(&mut store, &mut bookkeeper, true);
    assert_eq!(booked(&mut store).len(), 10);
}

#[test]
fn a_call_of_hours_keeps_no_segment_and_is_settled_after_restarts_of_the_fold() {
    let dir = Dir::new();
    let mut store = Store::open(dir.path()).unwrap();
    let mut bookkeeper = Bookkeeper::default();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    let long = running.journal.intent(&intent(0)).unwrap();
    for call in 1..200 {
        let entry = running.journal.intent(&intent(call)).unwrap();
        running.journal.settle(entry, &settlement(call));
        if call % 10 == 0 {
            let done = running.fold(&mut store, &mut bookkeeper, true);
            running.free(&mut store, &dir, &done);
            running.keeper.prepare(2).unwrap();
            // The fold begins anew, as after an error.
            running.fold = None;
        }
    }
    assert!(running.keeper.segments()[0].id().sequence > 3, "its segment is long gone");
    let asked = report(dir.path(), &Query::default()).unwrap();
    assert_eq!((asked.open_attempts, asked.open_nano_usd), (1, 1_000_000));
    running.journal.settle(long, &settlement(1));
    running.fold(&mut store, &mut bookkeeper, true);
    let found = booked(&mut store);
    assert_eq!((found.len(), found[&0]), (200, (State::Settled, Rule::NONE, 500_001)));
    drop(running);
    assert_eq!(replay(&dir, 0, &mut quiet()).0, Replayed::default());
}

#[test]
fn an_open_attempt_outlives_its_journals_files() {
    let dir = Dir::new();
    let mut store = Store::open(dir.path()).unwrap();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    let open = running.journal.intent(&intent(0)).unwrap();
    let mut call = 0;
    while !running.keeper.segments()[0].is_ended() {
        call += 1;
        let entry = running.journal.intent(&intent(call)).unwrap();
        running.journal.settle(entry, &settlement(call));
    }
    let done = running.fold(&mut store, &mut Bookkeeper::default(), true);
    running.free(&mut store, &dir, &done);
    drop((running, open));
    std::fs::remove_dir_all(dir.ledger()).unwrap();
    assert_eq!(fold::journals_with_open(&mut store).unwrap(), [0]);
    let (replayed, _) = replay(&dir, 0, &mut quiet());
    assert_eq!(replayed.crashed, 1);
    assert_eq!(booked(&mut store)[&0], (State::Estimated, Rule::CRASH, 1_000_000));
}

#[test]
fn what_is_damaged_is_told_and_put_aside_and_the_rest_is_booked() {
    let dir = Dir::new();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    for call in 0..60 {
        let entry = running.journal.intent(&intent(call)).unwrap();
        running.journal.settle(entry, &settlement(call));
        running.keeper.prepare(2).unwrap();
    }
    drop(running);
    let files = readable_segments(&dir.ledger(), 0).unwrap();
    // The header of the second, and the first intent of the first.
    let mut bytes = std::fs::read(&files[1].path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&files[1].path, bytes).unwrap();
    let mut bytes = std::fs::read(&files[0].path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&files[0].path, bytes).unwrap();
    let mut told = Vec::new();
    let (_, held) = replay(&dir, 0, &mut |event| told.push(event.to_string()));
    assert_eq!(held.segments().unwrap(), []);
    assert!(files[1].path.with_extension("damaged").exists());
    for text in
        ["put aside", "no whole line", "attempt 0 of 00000000000000000000000000000000 is booked without"]
    {
        assert!(told.iter().any(|event| event.contains(text)), "{text}: {told:?}");
    }
    let found = booked(&mut Store::open(dir.path()).unwrap());
    assert_eq!(found[&0].2, 500_000);
    assert!(found.len() > 20 && found.len() < 50, "{}", found.len());
}

#[test]
fn a_segment_of_a_later_version_stops_the_replay() {
    let dir = Dir::new();
    drop(Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1));
    let files = readable_segments(&dir.ledger(), 0).unwrap();
    // Sealed anew with version 2.
    let mut bytes = std::fs::read(&files[0].path).unwrap();
    bytes[8] = 2;
    let sum = bytes[..56].chunks(8).fold(0u32, crc_of);
    bytes[56..60].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&files[0].path, bytes).unwrap();
    let held = lock(&dir.ledger(), 0).unwrap().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let replayed = fold::replay(&mut store, &held, &mut Bookkeeper::default(), &mut quiet());
    assert!(matches!(replayed, Err(StoreError::Ledger(LedgerError::Segment { .. }))), "{replayed:?}");
    assert!(files[0].path.exists());
}

/// CRC-32C bit by bit.
fn crc_of(sum: u32, bytes: &[u8]) -> u32 {
    let mut sum = !sum;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (if sum & 1 == 1 { 0x82f6_3b78 } else { 0 });
        }
    }
    !sum
}

#[test]
fn an_hour_with_too_many_callers_sums_the_rest_as_other() {
    let dir = Dir::new();
    let mut store = Store::open(dir.path()).unwrap();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    let mut told = Vec::new();
    for round in 0..2 {
        for call in 0..9u64 {
            let user = format!("user {call}");
            let told = Intent {
                end_user: &user,
                time_ns: START_NS,
                request_id: (round * 100 + call).into(),
                ..intent(1)
            };
            let entry = running.journal.intent(&told).unwrap();
            running.journal.settle(entry, &settlement(1));
        }
        // Also by a bookkeeper that does not remember the first round.
        let mut bookkeeper = Bookkeeper::new(5);
        let transaction = store.write().unwrap();
        let segments = running.keeper.segments().to_vec();
        let mut fold = Fold::load(&transaction, 0, &segments).unwrap();
        fold.run(&transaction, &mut bookkeeper, &segments, &mut |event| told.push(event.to_string()))
            .unwrap();
        bookkeeper.finish(&transaction).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(told.len(), 2, "once each time: {told:?}");
    let asked = report(dir.path(), &Query { by: vec![By::EndUser, By::Tags], ..Query::default() }).unwrap();
    let rows: Vec<(&str, i64)> =
        asked.rows.iter().map(|row| (row.values[0].as_str(), row.all.attempts)).collect();
    assert_eq!(rows, [(OTHER, 8), ("user 0", 2), ("user 1", 2), ("user 2", 2), ("user 3", 2), ("user 4", 2)]);
    assert_eq!(asked.rows[0].values[1], OTHER);
    booked(&mut store);
}

#[test]
fn a_report_is_the_same_before_and_after_a_fold_and_beside_it() {
    let dir = Dir::new();
    let mut store = Store::open(dir.path()).unwrap();
    let mut bookkeeper = Bookkeeper::default();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    let query = Query {
        by: vec![By::Tenant, By::Model, By::Day, By::State],
        only: vec![(By::Tag("env".into()), "prod".into())],
        ..Query::default()
    };
    let mut expected: BTreeMap<Vec<String>, (i64, i64)> = BTreeMap::new();
    for call in 0..60 {
        let entry = running.journal.intent(&intent(call)).unwrap();
        running.journal.settle(entry, &settlement(call));
        running.keeper.prepare(2).unwrap();
        let row = vec![
            intent(call).tenant.to_owned(),
            ["asked", "answered"][call as usize % 2].to_owned(),
            "2026-11-24".to_owned(),
            settlement(call).outcome.state().name().to_owned(),
        ];
        let sums = expected.entry(row).or_default();
        sums.0 += 1;
        sums.1 += settlement(call).cost.0.cast_signed();
        let rows = |dir: &Dir| -> BTreeMap<Vec<String>, (i64, i64)> {
            let rows = report(dir.path(), &query).unwrap().rows;
            rows.into_iter().map(|row| (row.values, (row.all.attempts, row.all.nano_usd))).collect()
        };
        assert_eq!(rows(&dir), expected, "not folded");
        if call % 7 == 0 {
            let done = running.fold(&mut store, &mut bookkeeper, true);
            assert_eq!(rows(&dir), expected, "folded, not freed");
            running.free(&mut store, &dir, &done);
            assert_eq!(rows(&dir), expected, "freed");
        }
    }
    let hour = (START_NS / 3_600_000_000_000).cast_signed();
    let within = |since, until| {
        let query = Query { since_hour: Some(since), until_hour: Some(until), ..Query::default() };
        report(dir.path(), &query).unwrap().rows.first().map_or(0, |row| row.all.attempts)
    };
    assert_eq!((within(hour, hour + 1), within(hour + 1, hour + 2), within(hour - 1, hour)), (60, 0, 0));
    let none = Query { only: vec![(By::Tag("env".into()), "test".into())], ..Query::default() };
    assert_eq!(report(dir.path(), &none).unwrap().rows, []);
}

#[test]
fn a_report_of_no_ledger_says_so() {
    let dir = Dir::new();
    assert!(matches!(report(dir.path(), &Query::default()), Err(StoreError::Missing(_))));
    assert!(!dir.path().join(STORE_FILE).exists());
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(report(dir.path(), &Query::default()).unwrap().rows, []);
}

#[test]
fn a_journal_that_is_cut_at_any_byte_of_its_tail_books_what_is_whole() {
    let dir = Dir::new();
    let mut running = Running::begin(lock(&dir.ledger(), 0).unwrap().unwrap(), 1);
    let mut ends = Vec::new();
    for call in 1..4 {
        let entry = running.journal.intent(&intent(call)).unwrap();
        ends.push(running.end().1);
        running.journal.settle(entry, &settlement(call));
        ends.push(running.end().1);
    }
    drop(running);
    let path = readable_segments(&dir.ledger(), 0).unwrap()[0].path.clone();
    let bytes = std::fs::read(&path).unwrap();
    // From within the second attempt's settlement to the end of the third's.
    for cut in ends[2] + 1..=ends[5] {
        let dir = Dir::new();
        let held = lock(&dir.ledger(), 0).unwrap().unwrap();
        let file = dir.ledger().join("w0.journal").join(path.file_name().unwrap());
        std::fs::write(&file, &bytes[..cut as usize]).unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut tears = 0;
        let mut tell = |event| tears += u32::from(matches!(event, LedgerEvent::Tear { .. }));
        fold::replay(&mut store, &held, &mut Bookkeeper::default(), &mut tell).unwrap();
        let settled = |call: u64, end: u32| match (cut >= end, settlement(call)) {
            (true, told) => (told.outcome.state(), told.outcome.rule(), told.cost.0),
            (false, _) => (State::Estimated, Rule::CRASH, intent(call).reservation.0),
        };
        let mut expected = BTreeMap::from([(1, settled(1, 0)), (2, settled(2, ends[3]))]);
        if cut >= ends[4] {
            expected.insert(3, settled(3, ends[5]));
        }
        assert_eq!(booked(&mut store), expected, "cut at {cut}");
        assert_eq!(tears, 1, "cut at {cut}: told");
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Settle(u16),
    Fold {
        completes: bool,
        frees: bool,
    },
    /// The process is killed: bytes stay.
    Kill,
    /// The machine loses power: of what was written after the last fold, a part from some byte on is zeros.
    PowerCut(u16),
    /// Killed, and the replay as well, before its transaction was completed.
    KillTwice,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => Just(Step::Begin),
        36 => any::<u16>().prop_map(Step::Settle),
        10 => (any::<bool>(), any::<bool>()).prop_map(|(completes, frees)| Step::Fold { completes, frees }),
        2 => Just(Step::Kill),
        2 => any::<u16>().prop_map(Step::PowerCut),
        1 => Just(Step::KillTwice),
    ];
    proptest::collection::vec(step, 1..250)
}

/// What is expected of an attempt.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    intent_end: (u64, u32),
    settled_end: Option<(u64, u32)>,
}

struct World {
    dir: Dir,
    store: Option<Store>,
    bookkeeper: Bookkeeper,
    running: Option<Running>,
    /// The open attempts with their entries, and those that were settled since the last restart.
    entries: Vec<(u64, Entry)>,
    attempts: BTreeMap<u64, Attempt>,
    /// Up to where a fold was completed since the last restart.
    folded: (u64, u32),
    expected: BTreeMap<u64, (State, Rule, u64)>,
    next_call: u64,
    lives: u64,
}

impl World {
    fn new() -> World {
        let dir = Dir::new();
        let mut world = World {
            store: None,
            dir,
            bookkeeper: Bookkeeper::default(),
            running: None,
            entries: Vec::new(),
            attempts: BTreeMap::new(),
            folded: (0, 0),
            expected: BTreeMap::new(),
            next_call: 0,
            lives: 0,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let held = replay(&self.dir, 0, &mut quiet()).1;
        self.lives += 1;
        self.store = Some(Store::open(self.dir.path()).unwrap());
        self.bookkeeper = Bookkeeper::default();
        self.running = Some(Running::begin(held, self.lives));
        self.folded = (0, 0);
        let found = booked(self.store.as_mut().unwrap());
        assert_eq!(found, self.expected);
    }

    fn step(&mut self, step: Step) {
        let running = self.running.as_mut().unwrap();
        match step {
            Step::Begin => {
                let call = self.next_call;
                match running.journal.intent(&intent(call)) {
                    Ok(entry) => {
                        self.next_call += 1;
                        self.entries.push((call, entry));
                        let attempt = Attempt { intent_end: running.end(), settled_end: None };
                        self.attempts.insert(call, attempt);
                    }
                    Err(error) => assert!(matches!(error, LedgerError::Full), "{error}"),
                }
            }
            Step::Settle(choice) if !self.entries.is_empty() => {
                let (call, entry) = self.entries.swap_remove(usize::from(choice) % self.entries.len());
                running.journal.settle(entry, &settlement(call));
                self.attempts.get_mut(&call).unwrap().settled_end = Some(running.end());
            }
            Step::Settle(_) => {}
            Step::Fold { completes, frees } => {
                let store = self.store.as_mut().unwrap();
                let done = running.fold(store, &mut self.bookkeeper, completes);
                if completes {
                    self.folded = running.end();
                    if frees {
                        running.free(store, &self.dir, &done);
                        running.keeper.prepare(self.lives).unwrap();
                    }
                }
            }
            Step::Kill => self.restart(None, false),
            Step::KillTwice => self.restart(None, true),
            Step::PowerCut(choice) => {
                let end = running.end();
                let from = if self.folded.0 == end.0 { self.folded.1.max(64) } else { 64 };
                let cut = from + u32::from(choice) % (end.1.max(from) - from + 1);
                self.restart(Some((end.0, cut)), false);
            }
        }
    }

    /// Makes what stands behind `cut` zeros, and returns up to where nothing is lost: zeros lose nothing by it.
    fn lose(&self, (sequence, at): (u64, u32)) -> (u64, u32) {
        let files = readable_segments(&self.dir.ledger(), 0).unwrap();
        let file = files.into_iter().find(|file| file.sequence == sequence).unwrap();
        let mut bytes = std::fs::read(&file.path).unwrap();
        let zeros = bytes[at as usize..].iter().take_while(|byte| **byte == 0).count();
        bytes[at as usize..].fill(0);
        std::fs::write(&file.path, bytes).unwrap();
        (sequence, at + zeros as u32)
    }

    /// Ends the process; what stands behind `cut` is lost. Then a start, which may be killed in its transaction first.
    fn restart(&mut self, cut: Option<(u64, u32)>, twice: bool) {
        drop(self.running.take());
        self.entries.clear();
        let cut = cut.filter(|(sequence, _)| *sequence > 0).map(|cut| self.lose(cut));
        for (call, attempt) in std::mem::take(&mut self.attempts) {
            let kept = |end: (u64, u32)| cut.is_none_or(|cut| end <= cut);
            let settled = attempt.settled_end.filter(|end| kept(*end));
            let told = settlement(call);
            let outcome = match settled {
                Some(_) => (told.outcome.state(), told.outcome.rule(), told.cost.0),
                None => (State::Estimated, Rule::CRASH, intent(call).reservation.0),
            };
            if kept(attempt.intent_end) {
                self.expected.insert(call, outcome);
            }
        }
        self.store = None;
        if twice {
            let mut store = Store::open(self.dir.path()).unwrap();
            let held = lock(&self.dir.ledger(), 0).unwrap().unwrap();
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
            let transaction = store.write().unwrap();
            let mut fold = Fold::load(&transaction, 0, &segments).unwrap();
            let mut bookkeeper = Bookkeeper::default();
            fold.run(&transaction, &mut bookkeeper, &segments, &mut quiet()).unwrap();
            bookkeeper.finish(&transaction).unwrap();
        }
        self.start();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_attempt_is_booked_once_whatever_happens(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.restart(None, false);
    }
}
