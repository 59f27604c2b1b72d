//! The ledger of a running gateway: replays at the start, hands journals to workers, folds and syncs beside them.
//!
//! Two threads: one makes segments ready and writes lines to disk each `sync` interval, one folds. So a slow transaction keeps
//! no worker without a segment. The only place of the crate with threads and a clock.
#![allow(clippy::disallowed_methods, reason = "the ledger's threads have a clock of their own")]

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock_ledger::{
    HeldJournal, Journal, Keeper, LEDGER_FOLDER, LedgerError, Options, Segment, Sync, journal_numbers, lock,
    readable_segments,
};

use super::batch::Bookkeeper;
use super::event::{LedgerEvent, Replayed};
use super::fold::{self, Fold};
use crate::error::StoreError;
use crate::store::{Store, int};

/// Journals of one data directory.
pub const JOURNALS_MAX: u32 = 4096;

/// How often spares are made ready.
const PREPARE_EVERY: Duration = Duration::from_millis(20);
/// How often journals of ended processes are looked for, and old lines removed.
const CARE_EVERY: Duration = Duration::from_secs(10);
const DAY_NS: u64 = 86_400_000_000_000;

/// How the ledger is kept.
#[derive(Debug, Clone, Copy)]
pub struct LedgerOptions {
    /// How journals are kept.
    pub journal: Options,
    /// How often lines are folded; until then `penstock cost` reads them from the journals.
    pub fold_every: Duration,
    /// How many days single lines are kept: settled ones for a corrected price, estimated ones for a provider's export. Sums
    /// are kept for good.
    pub lines_keep_days: u32,
    /// Called first on each thread, for instance to lower its priority.
    pub on_start: fn(),
    /// Hears what people should know.
    pub on_event: fn(&LedgerEvent),
}

impl Default for LedgerOptions {
    fn default() -> Self {
        LedgerOptions {
            journal: Options::default(),
            fold_every: Duration::from_secs(1),
            lines_keep_days: 92,
            on_start: || {},
            on_event: |_| {},
        }
    }
}

struct Shared {
    folder: PathBuf,
    options: LedgerOptions,
    store: Mutex<Books>,
    keepers: Mutex<Vec<Keeper>>,
    stop: AtomicBool,
}

/// The store with what the fold remembers of it.
struct Books {
    store: Store,
    bookkeeper: Bookkeeper,
    /// By journal.
    folds: HashMap<u32, Fold>,
}

/// The running ledger. Dropping it syncs and folds once more, and ends its threads.
pub struct LedgerThread {
    shared: Arc<Shared>,
    replayed: Replayed,
    threads: Vec<JoinHandle<()>>,
}

impl LedgerThread {
    /// Opens the store, replays every journal that an ended process has left, then begins to fold and sync. To be called
    /// before a listener opens.
    ///
    /// # Errors
    /// A store or a journal that cannot be read or written: money cannot be booked then.
    pub fn start(data_dir: &Path, options: LedgerOptions) -> Result<LedgerThread, StoreError> {
        let folder = data_dir.join(LEDGER_FOLDER);
        let mut books =
            Books { store: Store::open(data_dir)?, bookkeeper: Bookkeeper::default(), folds: HashMap::new() };
        let replayed = books.replay_ended(&folder, options.on_event)?;
        let shared = Arc::new(Shared {
            folder,
            options,
            store: Mutex::new(books),
            keepers: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for (name, run) in [
            ("penstock-ledger", fold_until_stopped as fn(&Shared)),
            ("penstock-ledgersync", sync_until_stopped),
        ] {
            let theirs = shared.clone();
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
                (theirs.options.on_start)();
                run(&theirs);
            });
            threads.push(thread.map_err(|source| StoreError::Io { path: name.into(), source })?);
        }
        Ok(LedgerThread { shared, replayed, threads })
    }

    /// What was replayed at the start.
    pub fn replayed(&self) -> Replayed {
        self.replayed
    }

    /// A journal for a worker: one with the lowest number that nobody has, in this process or another. A worker that takes
    /// the place of a hung one gets another number than that.
    ///
    /// # Errors
    /// When it cannot be made, or all numbers are taken.
    pub fn journal(&self) -> Result<Journal, StoreError> {
        let shared = &self.shared;
        for number in 0..JOURNALS_MAX {
            let Some(held) = lock(&shared.folder, number)? else { continue };
            // What an ended process has left in it comes first.
            let replayed = shared.store().replay(&held, shared.options.on_event)?;
            tell_replayed(replayed, shared.options.on_event);
            let (journal, keeper) = held.begin(shared.options.journal, wall_ns())?;
            shared.keepers().push(keeper);
            return Ok(journal);
        }
        Err(LedgerError::Options("all journals are taken").into())
    }

    /// Makes the fold look at the journals now.
    pub fn wake(&self) {
        for thread in &self.threads {
            thread.thread().unpark();
        }
    }

    /// Intents that were refused for want of room, over all journals that are written.
    pub fn refused(&self) -> u64 {
        self.shared.keepers().iter().map(Keeper::refused).sum()
    }

    /// Folds all that was written before.
    ///
    /// # Errors
    /// What the fold met; it is tried again on its thread.
    pub fn fold(&self) -> Result<(), StoreError> {
        self.shared.fold()
    }
}

impl Drop for LedgerThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.threads.iter().map(JoinHandle::thread).for_each(Thread::unpark);
        for thread in self.threads.drain(..) {
            // A panic of the thread has been printed by its own hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The store. After a panic of somebody who held it nothing is remembered: the transaction was not completed.
    fn store(&self) -> MutexGuard<'_, Books> {
        self.store.lock().unwrap_or_else(|poisoned| {
            let mut books = poisoned.into_inner();
            books.forget();
            self.store.clear_poison();
            books
        })
    }

    /// The keepers, also after a panic of somebody who held them: each is whole after each step.
    fn keepers(&self) -> MutexGuard<'_, Vec<Keeper>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// One pass over all journals of this process: books, then frees what is done, then takes back what was abandoned.
    fn fold(&self) -> Result<(), StoreError> {
        let mut books = self.store();
        let journals: Vec<(u32, Vec<Arc<Segment>>)> =
            self.keepers().iter().map(|keeper| (keeper.number(), keeper.segments().to_vec())).collect();
        let done = books.fold(&journals, self.options.on_event)?;
        for (journal, sequences) in done {
            if let Some(keeper) = self.keepers().iter_mut().find(|keeper| keeper.number() == journal) {
                sequences.iter().try_for_each(|sequence| keeper.free(*sequence))?;
            }
            if let Some(fold) = books.folds.get_mut(&journal) {
                fold.forget(&sequences);
            }
            let present = readable_segments(&self.folder, journal)?;
            fold::remove_rows(&mut books.store, journal, &present)?;
        }
        for ended in self.abandoned() {
            books.folds.remove(&ended.number());
            let replayed = books.replay(&ended, self.options.on_event)?;
            if replayed.crashed > 0 {
                tell_replayed(replayed, self.options.on_event);
            }
        }
        Ok(())
    }

    /// What is done now and then: journals that another process has left, and lines that were kept long enough.
    fn care(&self) -> Result<(), StoreError> {
        let mut books = self.store();
        books.replay_ended(&self.folder, self.options.on_event)?;
        books.remove_old(wall_ns(), self.options.lines_keep_days)
    }

    /// Takes back the journals whose workers have gone.
    fn abandoned(&self) -> Vec<HeldJournal> {
        let mut keepers = self.keepers();
        let mut ended = Vec::new();
        for keeper in std::mem::take(&mut *keepers) {
            match keeper.into_held() {
                Ok(held) => ended.push(held),
                Err(keeper) => keepers.push(*keeper),
            }
        }
        ended
    }

    /// Makes the spares ready that are missing.
    fn prepare(&self) -> Result<(), LedgerError> {
        let now_ns = wall_ns();
        let mut keepers = self.keepers();
        let prepared: Vec<_> = keepers.iter_mut().map(|keeper| keeper.prepare(now_ns)).collect();
        prepared.into_iter().collect()
    }

    /// Writes what was written since the last time to disk.
    fn sync(&self) -> io::Result<()> {
        let segments: Vec<Arc<Segment>> =
            self.keepers().iter().flat_map(|keeper| keeper.segments().to_vec()).collect();
        segments.iter().try_for_each(|segment| segment.sync())
    }
}

impl Books {
    /// Books what the journals of this process have; returns which segments are done.
    fn fold(
        &mut self,
        journals: &[(u32, Vec<Arc<Segment>>)],
        tell: fn(&LedgerEvent),
    ) -> Result<Vec<(u32, Vec<u64>)>, StoreError> {
        let folds = &self.folds;
        let behind = |(number, segments): &&(u32, Vec<Arc<Segment>>)| {
            folds.get(number).is_none_or(|fold| fold.is_behind(segments))
        };
        let behind: Vec<_> = journals.iter().filter(behind).collect();
        if behind.is_empty() {
            return Ok(Vec::new());
        }
        let done = self.try_fold(&behind, tell);
        if done.is_err() {
            self.forget();
        }
        done
    }

    /// Forgets what is remembered of the tables: it is ahead of them.
    fn forget(&mut self) {
        self.bookkeeper.forget();
        self.folds.clear();
    }

    fn try_fold(
        &mut self,
        journals: &[&(u32, Vec<Arc<Segment>>)],
        tell: fn(&LedgerEvent),
    ) -> Result<Vec<(u32, Vec<u64>)>, StoreError> {
        let Books { store, bookkeeper, folds } = self;
        let transaction = store.write()?;
        let mut done = Vec::new();
        for (number, segments) in journals {
            let fold = match folds.entry(*number) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(Fold::load(&transaction, *number, segments)?)
                }
            };
            let sequences = fold.run(&transaction, bookkeeper, segments, &mut |event| tell(&event))?;
            if !sequences.is_empty() {
                done.push((*number, sequences));
            }
        }
        bookkeeper.finish(&transaction)?;
        // The store must not know of a line that a power cut takes from the journal.
        journals
            .iter()
            .flat_map(|(_, segments)| segments)
            .try_for_each(|segment| segment.sync())
            .map_err(|source| StoreError::Io { path: LEDGER_FOLDER.into(), source })?;
        transaction.commit()?;
        Ok(done)
    }

    fn replay(&mut self, held: &HeldJournal, tell: fn(&LedgerEvent)) -> Result<Replayed, StoreError> {
        fold::replay(&mut self.store, held, &mut self.bookkeeper, &mut |event| tell(&event))
    }

    /// Replays every journal whose process has ended.
    fn replay_ended(&mut self, folder: &Path, tell: fn(&LedgerEvent)) -> Result<Replayed, StoreError> {
        let mut numbers = journal_numbers(folder)?;
        numbers.extend(fold::journals_with_open(&mut self.store)?);
        numbers.sort_unstable();
        numbers.dedup();
        let mut sum = Replayed::default();
        for number in numbers {
            if let Some(held) = lock(folder, number)? {
                let replayed = self.replay(&held, tell)?;
                sum.journals += replayed.journals;
                sum.attempts += replayed.attempts;
                sum.crashed += replayed.crashed;
            }
        }
        tell_replayed(sum, tell);
        Ok(sum)
    }

    /// Removes single lines that are older than they are kept.
    fn remove_old(&mut self, now_ns: u64, keep_days: u32) -> Result<(), StoreError> {
        let before_ns = int(now_ns.saturating_sub(u64::from(keep_days).saturating_mul(DAY_NS)));
        let transaction = self.store.write()?;
        for text in [
            "DELETE FROM ledger_block WHERE last_ns < ?1",
            "DELETE FROM ledger_estimated WHERE time_ns < ?1",
            "DELETE FROM ledger_adjustment WHERE time_ns < ?1",
        ] {
            transaction.prepare_cached(text)?.execute([before_ns])?;
        }
        Ok(transaction.commit()?)
    }
}

fn tell_replayed(replayed: Replayed, tell: fn(&LedgerEvent)) {
    if replayed.attempts > 0 {
        tell(&LedgerEvent::Replayed(replayed));
    }
}

/// Tells a failure once, until it succeeds again.
#[derive(Default)]
struct Told(bool);

impl Told {
    fn hear<E>(&mut self, result: Result<(), E>, tell: fn(&LedgerEvent), event: fn(E) -> LedgerEvent) {
        let failed_before = std::mem::replace(&mut self.0, result.is_err());
        if let Err(error) = result
            && !failed_before
        {
            tell(&event(error));
        }
    }
}

fn fold_until_stopped(shared: &Shared) {
    let mut cared_ns = wall_ns();
    let mut told = Told::default();
    loop {
        let stopping = shared.stopping();
        let mut result = shared.fold();
        let now_ns = wall_ns();
        if !stopping && u128::from(now_ns.abs_diff(cared_ns)) >= CARE_EVERY.as_nanos() {
            cared_ns = now_ns;
            result = result.and_then(|()| shared.care());
        }
        told.hear(result, shared.options.on_event, LedgerEvent::FoldFailed);
        if stopping {
            return;
        }
        std::thread::park_timeout(shared.options.fold_every);
    }
}

fn sync_until_stopped(shared: &Shared) {
    let every = match shared.options.journal.sync {
        Sync::Interval(every) => Some(every),
        Sync::Always => None,
    };
    let mut synced_ns = wall_ns();
    let (mut told, mut told_sync) = (Told::default(), Told::default());
    loop {
        let stopping = shared.stopping();
        told.hear(shared.prepare(), shared.options.on_event, |error| {
            LedgerEvent::PrepareFailed(error.into())
        });
        let now_ns = wall_ns();
        if let Some(every) = every
            && (stopping || u128::from(now_ns.abs_diff(synced_ns)) >= every.as_nanos())
        {
            synced_ns = now_ns;
            told_sync.hear(shared.sync(), shared.options.on_event, LedgerEvent::SyncFailed);
        }
        if stopping {
            return;
        }
        std::thread::park_timeout(every.map_or(PREPARE_EVERY, |every| every.min(PREPARE_EVERY)));
    }
}

/// The wall clock, ns since 1970.
fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use penstock_ai::catalogue::{Billed, NanoUsd};
    use penstock_ledger::{Intent, Outcome, Rule, Settlement};

    use super::super::report::{Query, report};
    use super::super::tests::Dir;
    use super::*;

    fn write(journal: &mut Journal, call: u64, outcome: Outcome) {
        let time_ns = call * DAY_NS;
        let intent =
            Intent { request_id: call.into(), time_ns, reservation: NanoUsd(9), ..Intent::default() };
        let entry = journal.intent(&intent).unwrap();
        let settlement = Settlement::estimated(time_ns, Rule::COUNTED, NanoUsd(5));
        journal.settle(entry, &Settlement { outcome, billed: Billed::default(), ..settlement });
    }

    fn count(books: &mut Books, table: &str) -> i64 {
        let transaction = books.store.read().unwrap();
        transaction.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_journal_is_anothers_and_an_abandoned_one_is_booked_and_given_again() {
        let dir = Dir::new();
        let ledger = LedgerThread::start(dir.path(), LedgerOptions::default()).unwrap();
        let journals: Vec<Journal> = (0..3).map(|_| ledger.journal().unwrap()).collect();
        assert_eq!(journals.iter().map(Journal::number).collect::<Vec<_>>(), [0, 1, 2]);
        // A second gateway over the same folder takes other numbers, and leaves these alone.
        let other = LedgerThread::start(dir.path(), LedgerOptions::default()).unwrap();
        assert_eq!(other.replayed(), Replayed::default());
        let theirs = other.journal().unwrap();
        assert_eq!(theirs.number(), 3);

        let [first, mut second, third] = <[Journal; 3]>::try_from(journals).unwrap();
        let entry = second.intent(&Intent { reservation: NanoUsd(9), ..Intent::default() }).unwrap();
        drop((entry, second));
        ledger.fold().unwrap();
        let found = report(dir.path(), &Query::default()).unwrap();
        assert_eq!((found.rows[0].estimated.nano_usd, found.open_attempts), (9, 0));
        assert_eq!(ledger.journal().unwrap().number(), 1);
        drop((first, third, theirs));
    }

    #[test]
    fn the_end_of_the_ledger_folds_what_is_written_and_a_start_finds_nothing_to_replay() {
        let dir = Dir::new();
        let options = LedgerOptions { fold_every: Duration::from_secs(3600), ..LedgerOptions::default() };
        let ledger = LedgerThread::start(dir.path(), options).unwrap();
        let mut journal = ledger.journal().unwrap();
        write(&mut journal, 1, Outcome::Settled);
        drop(journal);
        drop(ledger);
        let found = report(dir.path(), &Query::default()).unwrap();
        assert_eq!((found.rows[0].all.attempts, found.unfolded_attempts), (1, 0));
        let ledger = LedgerThread::start(dir.path(), options).unwrap();
        assert_eq!(ledger.replayed(), Replayed::default());
    }

    #[test]
    fn single_lines_are_kept_for_so_many_days_and_sums_for_good() {
        let dir = Dir::new();
        let ledger = LedgerThread::start(dir.path(), LedgerOptions::default()).unwrap();
        let mut journal = ledger.journal().unwrap();
        for (call, outcome) in [(100, Outcome::Settled), (100, Outcome::Estimated(Rule::COUNTED))] {
            write(&mut journal, call, outcome);
        }
        ledger.fold().unwrap();
        let mut books = ledger.shared.store();
        for (days, kept) in [(10, 1), (9, 0)] {
            books.remove_old(110 * DAY_NS, days).unwrap();
            assert_eq!(count(&mut books, "ledger_block"), kept);
            assert_eq!(count(&mut books, "ledger_estimated"), kept);
        }
        drop(books);
        assert_eq!(report(dir.path(), &Query::default()).unwrap().rows[0].all.attempts, 2);
    }

    #[test]
    fn a_store_that_refuses_is_told_once_and_nothing_is_lost_by_it() {
        let dir = Dir::new();
        let options = LedgerOptions { fold_every: Duration::from_secs(3600), ..LedgerOptions::default() };
        let ledger = LedgerThread::start(dir.path(), options).unwrap();
        let mut journal = ledger.journal().unwrap();
        write(&mut journal, 1, Outcome::Settled);
        ledger.fold().unwrap();
        {
            let mut books = ledger.shared.store();
            let transaction = books.store.write().unwrap();
            transaction.execute("ALTER TABLE ledger_block RENAME TO elsewhere", []).unwrap();
            transaction.commit().unwrap();
        }
        write(&mut journal, 2, Outcome::Settled);
        assert!(ledger.fold().is_err());
        assert!(ledger.fold().is_err());
        {
            let mut books = ledger.shared.store();
            let transaction = books.store.write().unwrap();
            transaction.execute("ALTER TABLE elsewhere RENAME TO ledger_block", []).unwrap();
            transaction.commit().unwrap();
        }
        ledger.fold().unwrap();
        let found = report(dir.path(), &Query::default()).unwrap();
        assert_eq!((found.rows[0].all.attempts, found.unfolded_attempts), (2, 0));

        // So is a panic in the middle of a transaction.
        write(&mut journal, 3, Outcome::Settled);
        std::thread::scope(|scope| {
            let panicked = scope.spawn(|| {
                let mut books = ledger.shared.store();
                let segments: Vec<_> = ledger.shared.keepers()[0].segments().to_vec();
                let Books { store, bookkeeper, folds } = &mut *books;
                let transaction = store.write().unwrap();
                let fold = folds.get_mut(&0).unwrap();
                fold.run(&transaction, bookkeeper, &segments, &mut |_| ()).unwrap();
                panic!("in the middle");
            });
            assert!(panicked.join().is_err());
        });
        ledger.fold().unwrap();
        let found = report(dir.path(), &Query::default()).unwrap();
        assert_eq!((found.rows[0].all.attempts, found.unfolded_attempts), (3, 0));

        let mut told = Told::default();
        let mut heard = 0;
        for failed in [true, true, false, true] {
            let before = told.0;
            let result = if failed { Err(StoreError::Busy) } else { Ok(()) };
            told.hear(result, |_| (), LedgerEvent::FoldFailed);
            heard += u32::from(!before && told.0);
        }
        assert_eq!(heard, 2);
    }
}
