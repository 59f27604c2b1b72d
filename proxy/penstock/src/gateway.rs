//! The running gateway as its control side sees it: what is served, what it is served with, and how it is changed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use penstock_ai::catalogue::{Catalogue, ReadError};
use penstock_ai::routing::Registry;
use penstock_dataplane::ai::directory::{Directory, DirectoryError};
use penstock_dataplane::driver::Driver;
use penstock_dataplane::supervise::{Dataplane, SuperviseError};
use penstock_dataplane::sys;
use penstock_dataplane::tls::{self, TlsSets};
use penstock_dataplane::worker::{Journals, Served};
use penstock_gate::Backend;
use penstock_gate::callers::CallerEntries;
use penstock_gate::limits::BindError;
use penstock_gate::spec::HashKey;
use penstock_limits::LimitId;
use penstock_model::{Configuration, Process};
use penstock_store::StoreError;
use penstock_store::ledger::{LedgerEvent, LedgerOptions, LedgerThread};

use crate::counters::Counters;
use crate::names::{CompileError, Names};
use crate::notices;
use crate::rings::Rings;
use crate::source::Source;

/// Why a configuration is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// It is wrong.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A certificate or key cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] tls::ConfigError),
    /// A limit cannot be counted.
    #[error(transparent)]
    Limit(#[from] BindError),
    /// The catalogue of models cannot be read.
    #[error("the catalogue of models: {0}")]
    Catalogue(#[from] ReadError),
    /// The ledger cannot be kept.
    #[error("the ledger of money: {0}")]
    Ledger(#[from] StoreError),
    /// Providers and models do not hold together.
    #[error(transparent)]
    Ai(#[from] DirectoryError),
    /// The workers.
    #[error(transparent)]
    Workers(#[from] SuperviseError),
}

/// What compiles configurations to what workers take, and keeps what must stay the same between two of them.
pub(crate) struct Compiler {
    /// Ids of records.
    pub names: Names,
    /// Keys of hashes.
    pub keys: Vec<HashKey>,
    /// Counters of limits.
    pub counters: Arc<Counters>,
    /// The catalogue of models in force, once one was needed.
    pub catalogue: Option<Arc<Catalogue>>,
    /// What is learned of providers and their keys; it outlives configurations.
    pub registry: Registry,
    /// The ledger, once calls of models are served.
    pub ledger: Option<Arc<LedgerThread>>,
    /// The data directory.
    pub data_dir: PathBuf,
}

/// A configuration that is ready to be handed to workers.
pub(crate) struct Prepared {
    /// What workers take.
    pub served: Served,
    /// What the process needs.
    pub process: Process,
    /// Its limits.
    pub limits: Vec<LimitId>,
}

impl Compiler {
    /// Compiles a checked configuration, loads its certificates and binds its limits.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing that is served has changed then.
    pub(crate) fn prepare(
        &mut self,
        configuration: &Configuration,
        revision: u64,
        previous: Option<&TlsSets>,
    ) -> Result<Prepared, ChangeError> {
        let ready = self.names.compile(configuration, revision, &self.keys)?;
        let mut snapshot = ready.snapshot;
        let tls = TlsSets::build(&snapshot, previous)?;
        let now_unix_s = i64::try_from(sys::wall_ns() / 1_000_000_000).unwrap_or(i64::MAX);
        let mut limits = Vec::new();
        let counters = self.counters.clone();
        let mut register = |spec: &_| {
            let limit = counters.register(spec)?;
            limits.push(limit.id());
            Ok(limit)
        };
        snapshot.bind_limits(now_unix_s, &mut register)?;
        let callers = CallerEntries::new(ready.callers, now_unix_s, &mut register)?;
        let serves_ai = snapshot.routes().iter().any(|route| matches!(route.to, Backend::Ai(_)));
        let ai = match serves_ai {
            true => Some(Arc::new(Directory::new(&snapshot, self.catalogue()?, &self.registry)?)),
            false => None,
        };
        let journals = if serves_ai { Some(self.journals()?) } else { None };
        let served = Served {
            snapshot: Arc::new(snapshot),
            callers: Arc::new(callers),
            tls: Arc::new(tls),
            ai,
            journals,
        };
        Ok(Prepared { served, process: ready.process, limits })
    }

    /// Opens journals of money. The ledger is started, and replays what a process before has left, when it is first
    /// needed.
    fn journals(&mut self) -> Result<Journals, StoreError> {
        let ledger = match &self.ledger {
            Some(ledger) => ledger.clone(),
            None => {
                let on_event = |event: &LedgerEvent| notices::warn(event.to_string());
                let options = LedgerOptions { on_event, ..LedgerOptions::default() };
                let ledger = Arc::new(LedgerThread::start(&self.data_dir, options)?);
                self.ledger = Some(ledger.clone());
                ledger
            }
        };
        Ok(Arc::new(move || ledger.journal().map_err(|error| error.to_string())))
    }

    /// The catalogue of models, read when it is first needed.
    fn catalogue(&mut self) -> Result<Arc<Catalogue>, ReadError> {
        if let Some(known) = &self.catalogue {
            return Ok(known.clone());
        }
        let read = Arc::new(Catalogue::bundled()?);
        self.catalogue = Some(read.clone());
        Ok(read)
    }
}

/// What does not change while the gateway runs.
pub(crate) struct Fixed {
    /// Where the configuration is from.
    pub source: Source,
    /// What the process was started with.
    pub process: Process,
    /// What the workers do I/O with.
    pub driver: Driver,
    /// The CPU of each worker.
    pub cpus: Vec<Option<usize>>,
    /// When it started, ns since 1970.
    pub started_ns: u64,
    /// The rings, or why there are none.
    pub rings: Result<Arc<Rings>, String>,
}

/// The running gateway.
pub(crate) struct Gateway {
    /// What does not change.
    pub fixed: Fixed,
    /// The workers.
    pub dataplane: Arc<Dataplane>,
    /// Counters of limits.
    pub counters: Arc<Counters>,
    compiler: Mutex<Compiler>,
    revision: AtomicU64,
    refused: AtomicU64,
    draining: AtomicBool,
}

impl Gateway {
    /// The gateway around running workers.
    pub(crate) fn new(
        fixed: Fixed,
        dataplane: Arc<Dataplane>,
        compiler: Compiler,
        revision: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            fixed,
            dataplane,
            counters: compiler.counters.clone(),
            compiler: Mutex::new(compiler),
            revision: AtomicU64::new(revision),
            refused: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        })
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> &PathBuf {
        &self.fixed.process.data_dir
    }

    /// Number of the configuration in force.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Configurations that were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether it is about to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on it is about to end.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Has the rings of all workers written to disk.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn keep_rings_synced(&self) -> std::io::Result<()> {
        self.fixed.rings.as_ref().map_or(Ok(()), |rings| rings.keep_synced())
    }

    /// Gives a ring to the workers that have none, once there is room for it.
    pub(crate) fn give_rings(&self) {
        for (worker, writer) in self.fixed.rings.iter().flat_map(|rings| rings.retry()) {
            self.dataplane.give_ring(worker, writer);
        }
    }

    /// Reads the configuration anew and serves it; returns what to tell when every worker does.
    ///
    /// # Errors
    /// What is wrong with it, a line each. The one before is served on.
    pub(crate) fn reload(&self) -> Result<String, String> {
        // One change at a time, in order.
        let mut compiler = self.compiler.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.change(&mut compiler);
        if taken.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn change(&self, compiler: &mut Compiler) -> Result<String, String> {
        let configuration =
            self.fixed.source.check().map_err(|problems| {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            })?;
        let revision = self.revision() + 1;
        let before = self.dataplane.served();
        let prepared = compiler
            .prepare(&configuration, revision, Some(&before.tls))
            .map_err(|error| error.to_string())?;
        self.addresses_free(&before, &prepared.served)?;
        let mut told = format!("revision {revision} is served");
        match self.dataplane.configure(prepared.served) {
            Ok(()) => {
                self.revision.store(revision, Ordering::Release);
                // Every worker has let go of what was before.
                self.counters.retain(&prepared.limits);
                told += " by all workers";
            }
            Err(SuperviseError::Unacknowledged { workers }) => {
                self.revision.store(revision, Ordering::Release);
                told += &format!("; workers {workers:?} are late and take it as soon as they can");
            }
            Err(error) => return Err(error.to_string()),
        }
        for key in restart_needed(&self.fixed.process, &prepared.process) {
            told += &format!("\n{key} has changed: that takes a restart");
        }
        Ok(told)
    }

    /// Whether the addresses of new listeners can be had.
    fn addresses_free(&self, before: &Served, after: &Served) -> Result<(), String> {
        let known: Vec<_> = before.snapshot.listeners().map(|listener| &listener.address).collect();
        for listener in after.snapshot.listeners() {
            if !known.contains(&&listener.address) {
                crate::ports::free(&listener.address, "listeners[].address")?;
            }
        }
        Ok(())
    }
}

/// Settings that were changed and that only a start takes in.
fn restart_needed(before: &Process, after: &Process) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut compare = |key, changed: bool| {
        if changed {
            keys.push(key);
        }
    };
    compare("admin", before.admin != after.admin);
    compare("data_dir", before.data_dir != after.data_dir);
    compare("workers", before.workers != after.workers);
    compare(
        "rings",
        (before.ring_bytes, before.ring_sync, &before.ring_dir, before.records_calls)
            != (after.ring_bytes, after.ring_sync, &after.ring_dir, after.records_calls),
    );
    compare(
        "log",
        (before.access_log, before.access_log_format, before.access_log_sample_percent)
            != (after.access_log, after.access_log_format, after.access_log_sample_percent),
    );
    keys
}
