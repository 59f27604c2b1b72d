//! The drain thread: passes over the rings on a tick or when woken, and answers from its state.
//!
//! The only place of the crate with a clock and a lock. The lock is between this thread and whoever
//! asks for a snapshot; workers never see it.
#![allow(clippy::disallowed_methods, reason = "the drain has a clock of its own")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock_ring::{Dictionary, Ring, RunError};

use crate::collect::{Drainage, RUNS_KEPT_DEFAULT};
use crate::view::{Live, SecondView};

/// How the drain thread runs.
#[derive(Clone, Copy, Debug)]
pub struct DrainOptions {
    /// How long it sleeps when all rings were empty.
    pub tick: Duration,
    /// How often it looks for ended runs.
    pub adopt_every: Duration,
    /// Ended runs whose files are kept for reading.
    pub runs_kept: usize,
    /// Called first on the thread, for instance to lower its priority.
    pub on_start: fn(),
    /// Hears what went wrong with files; the drain goes on.
    pub on_error: fn(&RunError),
}

impl Default for DrainOptions {
    fn default() -> Self {
        DrainOptions {
            tick: Duration::from_millis(50),
            adopt_every: Duration::from_secs(1),
            runs_kept: RUNS_KEPT_DEFAULT,
            on_start: || {},
            on_error: |_| {},
        }
    }
}

struct Shared {
    folder: PathBuf,
    drainage: Mutex<Drainage>,
    dictionary: Mutex<Dictionary>,
    stop: AtomicBool,
}

/// A running drain thread. Dropping it drains once more and ends it.
pub struct DrainThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DrainThread {
    /// Starts draining `rings`, the rings of run `run` in `folder`.
    pub fn start(
        folder: &Path,
        run: u64,
        rings: Vec<Ring>,
        options: DrainOptions,
    ) -> io::Result<DrainThread> {
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            drainage: Mutex::new(Drainage::new(folder, run, rings, options.runs_kept)),
            dictionary: Mutex::new(Dictionary::default()),
            stop: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("penstock-drain".into())
            .spawn(move || drain_until_stopped(&theirs, options))?;
        Ok(DrainThread { shared, thread: Some(thread) })
    }

    /// Adds a ring of this process.
    pub fn add(&self, ring: Ring) {
        held(&self.shared.drainage).add(ring);
    }

    /// Makes the thread look at the rings now.
    pub fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// The windows, rings and counters now. Costs some milliseconds with many keys.
    pub fn live(&self) -> Live {
        let dictionary = self.dictionary();
        held(&self.shared.drainage).live(&dictionary)
    }

    /// The last hour by second, oldest first.
    pub fn hour(&self) -> Vec<SecondView> {
        held(&self.shared.drainage).hour()
    }

    /// The text of a Prometheus scrape; content type `text/plain; version=0.0.4`.
    pub fn metrics(&self) -> String {
        let dictionary = self.dictionary();
        held(&self.shared.drainage).render_metrics(&dictionary)
    }

    /// The dictionary as of now. Without it ids are shown for names, so an error is no reason not to
    /// answer.
    fn dictionary(&self) -> MutexGuard<'_, Dictionary> {
        let mut dictionary = held(&self.shared.dictionary);
        let _ = dictionary.refresh(&self.shared.folder);
        dictionary
    }
}

impl Drop for DrainThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread has been printed by its own hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// The state, also after a panic of somebody who held it: counters are whole after each step.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn drain_until_stopped(shared: &Shared, options: DrainOptions) {
    (options.on_start)();
    let adopt_every_ns = options.adopt_every.as_nanos() as u64;
    let mut adopted_ns = 0;
    loop {
        let stopping = shared.stop.load(Ordering::Acquire);
        let now_ns = wall_ns();
        if now_ns.abs_diff(adopted_ns) >= adopt_every_ns {
            adopted_ns = now_ns;
            if let Err(error) = held(&shared.drainage).adopt() {
                (options.on_error)(&error);
            }
        }
        let read = held(&shared.drainage).pass(now_ns);
        match (read, stopping) {
            (0, true) => return,
            (0, false) => std::thread::park_timeout(options.tick),
            // Somebody who waits for the lock has a turn between two batches.
            _ => std::thread::yield_now(),
        }
    }
}

/// The wall clock, ns since 1970.
fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
