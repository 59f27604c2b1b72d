//! What the live state looks like from outside: plain values with names, ready for JSON.
//!
//! Knows names through the dictionary. Reads, never counts.

use penstock_ring::{Dictionary, EntryKind, Ring};
use serde::Serialize;

use crate::cells::{CLASSES, OTHER};
use crate::metrics::DrainCounts;
use crate::windows::{DIMENSIONS, Figures, WINDOWS_SECONDS, Windows};

/// Keys of each dimension that a snapshot lists, most calls first.
pub const KEYS_SHOWN_MAX: usize = 100;

/// The live state at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// The windows of 1, 10 and 60 s.
    pub windows: Vec<Window>,
    /// The rings that are drained.
    pub rings: Vec<RingView>,
    /// What the drain met since the start.
    pub drain: DrainCounts,
    /// Calls without a cell of their own since the start, for route, service, app: above zero, the
    /// bound on keys bites.
    pub other_calls: [u64; DIMENSIONS],
}

/// One window.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// Its length.
    pub seconds: usize,
    /// All calls.
    pub total: Figures,
    /// By route.
    pub routes: Vec<Keyed>,
    /// By service.
    pub services: Vec<Keyed>,
    /// By app.
    pub apps: Vec<Keyed>,
}

/// One key's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Keyed {
    /// Dictionary id; 4,294,967,295 for `other`.
    pub id: u32,
    /// Its name, `#id` if the dictionary has none, `other`.
    pub name: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// One second of the last hour.
#[derive(Clone, Debug, Serialize)]
pub struct SecondView {
    /// Seconds since 1970.
    pub at: u64,
    /// Calls.
    pub calls: u64,
    /// By status class: none or 1xx, 2xx, 3xx, 4xx, 5xx.
    pub classes: [u64; CLASSES],
    /// Median, us.
    pub p50_us: u64,
    /// 99 in 100, us.
    pub p99_us: u64,
}

/// One ring's state.
#[derive(Clone, Debug, Serialize)]
pub struct RingView {
    /// The run.
    pub run: u64,
    /// The worker.
    pub worker: u32,
    /// Its size.
    pub capacity_bytes: u64,
    /// Published and not yet drained.
    pub lag_bytes: u64,
    /// Records dropped because it was full.
    pub dropped: u64,
    /// When the worker last said that it lives, ns since 1970.
    pub heartbeat_ns: u64,
}

impl RingView {
    /// The state of a ring now.
    pub fn of(ring: &Ring) -> RingView {
        let identity = ring.identity();
        RingView {
            run: identity.run,
            worker: identity.worker,
            capacity_bytes: identity.capacity,
            lag_bytes: ring.written().saturating_sub(ring.read()),
            dropped: ring.dropped(),
            heartbeat_ns: ring.heartbeat_ns(),
        }
    }
}

/// The windows with names.
pub(crate) fn windows(windows: &Windows, dictionary: &Dictionary) -> Vec<Window> {
    WINDOWS_SECONDS
        .into_iter()
        .map(|seconds| {
            let keyed = |dimension, kind| {
                let mut keys = windows.by_key(dimension, seconds);
                keys.truncate(KEYS_SHOWN_MAX);
                let named = |(id, figures)| Keyed { id, name: name_of(dictionary, kind, id), figures };
                keys.into_iter().map(named).collect()
            };
            Window {
                seconds,
                total: windows.total(seconds),
                routes: keyed(0, EntryKind::Route),
                services: keyed(1, EntryKind::Service),
                apps: keyed(2, EntryKind::App),
            }
        })
        .collect()
}

/// The last hour by second, oldest first.
pub(crate) fn hour(windows: &Windows) -> Vec<SecondView> {
    windows
        .seconds()
        .map(|second| {
            let mut histogram = crate::histogram::Histogram::default();
            histogram.add(&second.total.histogram);
            let [p50_us, p99_us] = histogram.quantiles_us([0.5, 0.99]);
            let counts = second.total.counts;
            SecondView { at: second.at, calls: counts.calls, classes: counts.classes, p50_us, p99_us }
        })
        .collect()
}

/// The name behind a key.
pub fn name_of(dictionary: &Dictionary, kind: EntryKind, id: u32) -> String {
    match dictionary.name(kind, id) {
        _ if id == OTHER => "other".to_owned(),
        Some(name) => name.to_owned(),
        None => format!("#{id}"),
    }
}
