//! The rings of this run: one a worker, their way to disk, and the thread that drains them into live windows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use penstock_analytics::{DrainOptions, DrainThread, Live};
use penstock_dataplane::sys;
use penstock_ring::{Ring, RingWriter, Run, RunError, SyncThread};

use crate::notices;

/// How much less the drain matters than traffic (`nice`).
const DRAIN_NICE: i32 = 5;
/// How often it is tried to make a ring for a worker that has none. Trying fills a disk for a moment.
pub(crate) const RETRY: Duration = Duration::from_secs(5);

/// The rings of this run.
pub(crate) struct Rings {
    run: Run,
    capacity_bytes: u64,
    sync_every: Duration,
    /// Number of the next ring; those of the first workers are the workers' own.
    next: AtomicU32,
    made: Mutex<Made>,
    drain: Mutex<Option<DrainThread>>,
}

#[derive(Default)]
struct Made {
    rings: Vec<Ring>,
    sync: Option<SyncThread>,
    /// How many of the rings `sync` knows.
    synced: usize,
    /// Workers that record nothing, as their rings could not be made.
    without: BTreeSet<usize>,
    /// When it was last tried to give them one, monotonic ns.
    tried_ns: u64,
}

impl Rings {
    /// Begins a run in `folder` and the thread that drains it and what ended runs have left.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(crate) fn begin(folder: &Path, capacity_bytes: u64, sync_every: Duration) -> anyhow::Result<Self> {
        let run = Run::begin(folder)?;
        let options = DrainOptions {
            on_start: || sys::lower_priority(DRAIN_NICE),
            on_error: |error: &RunError| notices::warn(format!("call records of an ended run: {error}")),
            ..DrainOptions::default()
        };
        let drain = DrainThread::start(folder, run.number(), Vec::new(), options)?;
        Ok(Self {
            run,
            capacity_bytes,
            sync_every,
            next: AtomicU32::new(0),
            made: Mutex::default(),
            drain: Mutex::new(Some(drain)),
        })
    }

    /// Number of the run.
    pub(crate) fn run_number(&self) -> u64 {
        self.run.number()
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(&self) -> MutexGuard<'_, Option<DrainThread>> {
        self.drain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ring for a worker; `None` (which is told) if there is no room for it. A worker that replaces another gets
    /// a ring with a number of its own: the dead one's may still be written if the worker was only asleep.
    pub(crate) fn writer(&self, worker: usize) -> Option<RingWriter> {
        match self.make() {
            Ok(writer) => {
                self.made().without.remove(&worker);
                Some(writer)
            }
            Err(error) => {
                let mut made = self.made();
                made.without.insert(worker);
                made.tried_ns = sys::monotonic_ns();
                notices::error(format!("worker {worker} serves without recording calls: {error}"));
                None
            }
        }
    }

    /// Rings for the workers that have none, where there is room now. For each second; looks at the disk every
    /// [`RETRY`].
    pub(crate) fn retry(&self) -> Vec<(usize, RingWriter)> {
        let now_ns = sys::monotonic_ns();
        let without: Vec<usize> = {
            let mut made = self.made();
            if made.without.is_empty() || now_ns.saturating_sub(made.tried_ns) < RETRY.as_nanos() as u64 {
                return Vec::new();
            }
            made.tried_ns = now_ns;
            made.without.iter().copied().collect()
        };
        let mut given = Vec::new();
        for worker in without {
            // That it still fails has been told when it first did.
            let Ok(writer) = self.make() else { break };
            self.made().without.remove(&worker);
            notices::info(format!("worker {worker} records calls again"));
            given.push((worker, writer));
        }
        given
    }

    fn make(&self) -> Result<RingWriter, RunError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ring = self.run.create_ring(number, self.capacity_bytes, sys::wall_ns())?;
        if let Some(drain) = &*self.drain() {
            drain.add(ring.clone());
        }
        self.made().rings.push(ring.clone());
        Ok(RingWriter::new(ring))
    }

    /// Has all rings that there are written to disk each period. For each second: a worker that was replaced has
    /// brought a new one. Costs a comparison when nothing is new.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn keep_synced(&self) -> std::io::Result<()> {
        let mut made = self.made();
        if made.synced == made.rings.len() {
            return Ok(());
        }
        made.sync = None;
        let mut failing = false;
        made.sync = Some(SyncThread::start(made.rings.clone(), self.sync_every, move |ring, error| {
            if !failing {
                let worker = ring.identity().worker;
                notices::warn(format!("ring {worker} does not reach the disk: {error}"));
                failing = true;
            }
        })?);
        made.synced = made.rings.len();
        Ok(())
    }

    /// All rings of this run.
    pub(crate) fn rings(&self) -> Vec<Ring> {
        self.made().rings.clone()
    }

    /// `on`, or how many workers record nothing.
    pub(crate) fn shown(&self) -> String {
        match self.made().without.len() {
            0 => "on".to_owned(),
            failed => format!("{failed} workers record nothing: their rings could not be made"),
        }
    }

    /// Records dropped because a ring was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.made().rings.iter().map(Ring::dropped).sum()
    }

    /// The live windows; `None` after [`Rings::end`].
    pub(crate) fn live(&self) -> Option<Live> {
        self.drain().as_ref().map(DrainThread::live)
    }

    /// The text of a scrape.
    pub(crate) fn metrics(&self) -> String {
        self.drain().as_ref().map(DrainThread::metrics).unwrap_or_default()
    }

    /// Drains what is left, writes it to disk and ends both threads.
    pub(crate) fn end(&self) {
        drop(self.drain().take());
        drop(self.made().sync.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_comes_later_is_synced_too_and_none_is_twice() {
        let folder = std::env::temp_dir().join(format!("penstock-rings-{}", std::process::id()));
        let rings = Rings::begin(&folder, 1 << 20, Duration::from_secs(3600)).unwrap();
        for (worker, known) in [(0, 1), (1, 2), (0, 3)] {
            let writer = rings.writer(worker).unwrap();
            rings.keep_synced().unwrap();
            let synced = rings.made().synced;
            assert_eq!((synced, rings.rings().len()), (known, known));
            drop(writer);
        }
        let mut numbers: Vec<u32> = rings.rings().iter().map(|ring| ring.identity().worker).collect();
        numbers.dedup();
        assert_eq!(numbers, [0, 1, 2]);
        assert!(rings.live().is_some());
        rings.end();
        assert!(rings.live().is_none() && rings.shown() == "on");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
