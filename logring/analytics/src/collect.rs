//! The drain's work without its thread: reads rings in batches, counts, commits, adopts ended runs.
//!
//! Time comes in as a parameter. Touches files only to find ended runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use penstock_ring::{CallRecord, Dictionary, Drain, Item, Ring, Run, RunError, boot_id, recover, runs};

use crate::metrics::Metrics;
use crate::view::{self, Live, RingView, SecondView};
use crate::windows::Windows;

/// Items read from one ring before the next ring has its turn.
pub const BATCH_ITEMS_MAX: usize = 4096;

/// Ended runs whose files are kept for reading, newest first; older ones are removed once drained.
pub const RUNS_KEPT_DEFAULT: usize = 2;

/// A call that ended longer ago than this is in no window.
const LATE_NS: u64 = 60_000_000_000;

/// Windows and metrics.
#[derive(Debug, Default)]
pub struct Collector {
    windows: Windows,
    metrics: Metrics,
}

impl Collector {
    /// Seals the seconds before `now_ns`.
    pub fn advance(&mut self, now_ns: u64) {
        let metrics = &mut self.metrics;
        self.windows.advance(now_ns / 1_000_000_000, |second| metrics.add(second));
    }

    /// Counts one call that was read at `now_ns`.
    #[inline]
    pub fn call(&mut self, record: &CallRecord, now_ns: u64) {
        self.metrics.count(record);
        let ended_ns = record.time_ns.saturating_add(record.duration_us.saturating_mul(1000));
        if now_ns.saturating_sub(ended_ns) > LATE_NS {
            self.metrics.drain.late += 1;
        } else {
            self.windows.count(record);
        }
    }

    /// The live windows.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// One drained ring; rings of an ended run keep its lock alive.
struct Source {
    drain: Drain,
    adopted: bool,
}

/// All rings of this process and of ended runs, and what was counted from them.
pub struct Drainage {
    folder: PathBuf,
    own: u64,
    runs_kept: usize,
    collector: Collector,
    sources: Vec<Source>,
    adopted: Vec<Run>,
    finished: BTreeSet<u64>,
}

impl Drainage {
    /// Drains `rings`, the rings of run `own`, in `folder`.
    pub fn new(folder: &Path, own: u64, rings: Vec<Ring>, runs_kept: usize) -> Drainage {
        let sources =
            rings.into_iter().map(|ring| Source { drain: Drain::new(ring), adopted: false }).collect();
        Drainage {
            folder: folder.to_owned(),
            own,
            runs_kept,
            collector: Collector::default(),
            sources,
            adopted: Vec::new(),
            finished: BTreeSet::new(),
        }
    }

    /// Adds a ring of this process (of a worker that was started again).
    pub fn add(&mut self, ring: Ring) {
        self.sources.push(Source { drain: Drain::new(ring), adopted: false });
    }

    /// Reads at most one batch of each ring, counts it, then makes room in the ring. Returns how
    /// many items were read; zero means that all rings were empty.
    pub fn pass(&mut self, now_ns: u64) -> usize {
        self.collector.advance(now_ns);
        let mut read = 0;
        for source in &mut self.sources {
            read += drain_batch(&mut source.drain, &mut self.collector, now_ns);
        }
        read
    }

    /// Takes over the rings of runs that have ended, and lets go of those that are drained. Costs a
    /// folder listing and a lock attempt a run.
    pub fn adopt(&mut self) -> Result<(), RunError> {
        self.release();
        for number in runs(&self.folder)? {
            let known = number == self.own
                || self.finished.contains(&number)
                || self.adopted.iter().any(|run| run.number() == number);
            if known {
                continue;
            }
            if let Some(run) = Run::adopt(&self.folder, number)? {
                let boot_id = boot_id().unwrap_or_default();
                for file in run.ring_files()? {
                    match run.open_ring(&file) {
                        Ok(ring) => {
                            recover(&ring, boot_id);
                            self.sources.push(Source { drain: Drain::new(ring), adopted: true });
                        }
                        // A half-made or foreign file has nothing to drain.
                        Err(RunError::Header { .. }) => self.collector.metrics.drain.damages += 1,
                        Err(error) => return Err(error),
                    }
                }
                self.adopted.push(run);
            }
        }
        self.prune()
    }

    /// Lets go of adopted runs that have nothing left.
    fn release(&mut self) {
        self.sources
            .retain(|source| !source.adopted || source.drain.position() < source.drain.ring().written());
        let busy: BTreeSet<u64> = self
            .sources
            .iter()
            .filter(|source| source.adopted)
            .map(|source| source.drain.ring().identity().run)
            .collect();
        let (held, done): (Vec<Run>, Vec<Run>) =
            self.adopted.drain(..).partition(|run| busy.contains(&run.number()));
        self.adopted = held;
        self.finished.extend(done.iter().map(Run::number));
    }

    /// Removes the oldest drained runs beyond the number to keep.
    fn prune(&mut self) -> Result<(), RunError> {
        while self.finished.len() > self.runs_kept {
            let Some(oldest) = self.finished.pop_first() else { break };
            if let Some(run) = Run::adopt(&self.folder, oldest)? {
                run.remove()?;
            }
        }
        Ok(())
    }

    /// What was counted.
    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// A snapshot with names.
    pub fn live(&self, dictionary: &Dictionary) -> Live {
        Live {
            windows: view::windows(&self.collector.windows, dictionary),
            rings: self.rings(),
            drain: self.collector.metrics.drain,
            other_calls: self.collector.windows.other_calls(),
        }
    }

    /// The last hour by second.
    pub fn hour(&self) -> Vec<SecondView> {
        view::hour(&self.collector.windows)
    }

    /// The text of a Prometheus scrape.
    pub fn render_metrics(&self, dictionary: &Dictionary) -> String {
        self.collector.metrics.render(dictionary, &self.rings())
    }

    /// The rings that are drained.
    pub fn rings(&self) -> Vec<RingView> {
        self.sources.iter().map(|source| RingView::of(source.drain.ring())).collect()
    }
}

/// One batch of one ring.
fn drain_batch(drain: &mut Drain, collector: &mut Collector, now_ns: u64) -> usize {
    let end = drain.ring().written();
    let mut read = 0;
    while read < BATCH_ITEMS_MAX {
        match drain.next_before(end) {
            Item::Call(call) => collector.call(&call.record, now_ns),
            Item::Amend(_) => collector.metrics.drain.amendments += 1,
            Item::Damage { .. } | Item::Lapped { .. } => collector.metrics.drain.damages += 1,
            Item::End => break,
        }
        read += 1;
    }
    if read > 0 {
        drain.commit();
    }
    read
}
