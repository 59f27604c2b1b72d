//! The node's counters of limits: a mapped file in the data directory that outlives the process, a seat at it for
//! each worker, and its way to disk.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use penstock_dataplane::sys;
use penstock_gate::limits::KeySecret;
use penstock_limits::{
    Limit, LimitId, LimitSpec, NodeConfig, NodePool, Now, OpenError, Region, Shard, WorkerSeat,
};

use crate::notices;

/// The counters' file.
pub(crate) const REGION_FILE: &str = "limits.region";
/// How often counters go to disk: what a power cut may lose.
pub(crate) const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Slots that are looked through for idle keys each second.
const SWEEP_SLOTS: u32 = 32_768;

/// The node's counters.
pub(crate) struct Counters {
    pool: Arc<NodePool>,
    secret: KeySecret,
    seats: Mutex<HashMap<usize, WorkerSeat>>,
}

/// Both clocks now.
pub(crate) fn now() -> Now {
    Now { mono_ns: sys::monotonic_ns(), wall_ns: sys::wall_ns() }
}

impl Counters {
    /// Maps the file, makes it if it is not there. Without room on disk the counters live in memory and are lost
    /// with the process, which is told.
    ///
    /// # Errors
    /// When the region cannot be opened at all.
    pub(crate) fn open(dir: &Path, run: u64, limit_key: [u8; 16]) -> anyhow::Result<Arc<Self>> {
        let boot_id = penstock_ring::boot_id().map(u128::from_be_bytes).unwrap_or_default();
        let config = NodeConfig::new(run, boot_id);
        let path = dir.join(REGION_FILE);
        let pool = match open_file(&path, &config) {
            Ok(pool) => pool,
            Err(error) => {
                notices::error(format!(
                    "limits are counted in memory only and begin anew with each start: {error:#}"
                ));
                NodePool::open(Region::memory(config.region_words()), &config, now(), &[])?
            }
        };
        Ok(Arc::new(Self {
            pool: Arc::new(pool),
            secret: KeySecret::new(limit_key),
            seats: Mutex::new(HashMap::new()),
        }))
    }

    /// The secret under which keys are hashed.
    pub(crate) fn secret(&self) -> KeySecret {
        self.secret.clone()
    }

    /// The shard of a worker. If the worker had one before, it is dead: what it had leased counts as spent, its
    /// permits are free.
    ///
    /// # Panics
    /// When there is no seat, which [`crate::workers::WORKERS_MAX`] rules out.
    pub(crate) fn shard(&self, worker: usize) -> Shard {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = seats.remove(&worker) {
            self.pool.reclaim(seat, now());
        }
        let shard = match Shard::new(self.pool.clone()) {
            Ok(shard) => shard,
            Err(error) => panic!("no seat for worker {worker}: {error}"),
        };
        seats.insert(worker, shard.seat());
        shard
    }

    /// Registers a limit.
    ///
    /// # Errors
    /// Why the pool refuses it.
    pub(crate) fn register(&self, spec: &LimitSpec) -> Result<Arc<Limit>, String> {
        self.pool.register(spec).map_err(|error| error.to_string())
    }

    /// Lets go of all limits but these.
    pub(crate) fn retain(&self, live: &[LimitId]) {
        self.pool.retain(live);
    }

    /// Frees idle keys; for each second.
    pub(crate) fn sweep(&self) {
        self.pool.sweep(now(), SWEEP_SLOTS);
    }

    /// Writes the counters to disk each second, on a thread of its own, as that may wait for the disk.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn keep_synced(self: &Arc<Self>) -> std::io::Result<()> {
        let counters = self.clone();
        thread::Builder::new().name("penstock-count".into()).spawn(move || {
            sys::lower_priority(10);
            let mut failing = false;
            loop {
                #[allow(clippy::disallowed_methods, reason = "a thread of its own that only waits")]
                thread::sleep(SYNC_EVERY);
                match counters.sync() {
                    Err(error) if !failing => {
                        notices::warn(format!("the counters of limits do not reach the disk: {error}"));
                        failing = true;
                    }
                    Err(_) => {}
                    Ok(()) => failing = false,
                }
            }
        })?;
        Ok(())
    }

    /// Writes the counters to disk.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.pool.sync()
    }
}

fn open_file(path: &Path, config: &NodeConfig) -> anyhow::Result<NodePool> {
    let region = map(path, config)?;
    match NodePool::open(region, config, now(), &[]) {
        Ok(pool) => Ok(pool),
        Err(OpenError::OtherShape) => {
            let aside = path.with_extension("region.old");
            std::fs::rename(path, &aside).with_context(|| format!("cannot move {} away", path.display()))?;
            notices::warn(format!(
                "{} was made by another version; limits begin anew and the file is kept as {}",
                path.display(),
                aside.display()
            ));
            Ok(NodePool::open(map(path, config)?, config, now(), &[])?)
        }
        Err(error) => Err(error.into()),
    }
}

fn map(path: &Path, config: &NodeConfig) -> anyhow::Result<Region> {
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    Region::file(&file, config.region_words())
        .with_context(|| format!("cannot fill or map {}", path.display()))
}
