//! What the admin address is told by the program that runs it. Plain values; knows no socket.

use penstock_analytics::Live;
use serde::Serialize;

/// Whether traffic is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It is.
    Ready,
    /// Not yet, or no longer; says why.
    NotReady(String),
}

/// The state of the process at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// `ready`, or why not.
    pub state: String,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it started, ns since 1970.
    pub started_ns: u64,
    /// Number of the configuration in force; counts up by one with each change that was taken.
    pub revision: u64,
    /// Configurations that were refused since the start.
    pub refused_changes: u64,
    /// What the workers do I/O with.
    pub driver: String,
    /// Where the workers accept.
    pub listeners: Vec<ListenerStatus>,
    /// The workers.
    pub workers: Vec<WorkerStatus>,
    /// Whether calls are recorded; if not, why.
    pub rings: String,
    /// Records dropped because a ring was full, since the start.
    pub records_dropped: u64,
    /// Events that were not printed because there were too many.
    pub events_suppressed: u64,
}

/// One listener.
#[derive(Debug, Clone, Serialize)]
pub struct ListenerStatus {
    /// Its name; the address where none is written.
    pub name: String,
    /// Its address, `unix:/path` for a Unix socket.
    pub address: String,
}

/// One worker.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerStatus {
    /// Its number.
    pub worker: usize,
    /// The CPU it is meant for; none = not pinned.
    pub cpu: Option<usize>,
    /// Client connections open.
    pub connections: u32,
    /// Requests under way.
    pub requests: u32,
    /// Client connections accepted since it started.
    pub accepted: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failures: u64,
    /// Requests that panicked.
    pub panics: u64,
    /// Milliseconds since its last sign of life.
    pub heartbeat_age_ms: u64,
}

/// Where the admin address gets what it shows. Called on the admin thread; none of these may wait for long.
pub trait Source: Send + Sync + 'static {
    /// Whether traffic is taken.
    fn readiness(&self) -> Readiness;
    /// The state of the process.
    fn status(&self) -> Status;
    /// The live windows; `None` while no calls are recorded.
    fn live(&self) -> Option<Live>;
    /// The text of a scrape from the call records; empty while none are kept.
    fn call_metrics(&self) -> String;
}

/// Metrics of the process itself, in the text format of Prometheus (0.0.4).
pub(crate) fn process_metrics(status: &Status, ready: bool) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(4096);
    let mut one = |name: &str, help: &str, kind: &str, values: &[(String, u64)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP penstock_{name} {help}\n# TYPE penstock_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "penstock_{name}{labels} {value}");
        }
    };
    let single = |value: u64| vec![(String::new(), value)];
    one("ready", "Whether traffic is taken.", "gauge", &single(u64::from(ready)));
    let started_s = status.started_ns / 1_000_000_000;
    one("start_time_seconds", "When the process started, since 1970.", "gauge", &single(started_s));
    one("config_revision", "Configuration in force.", "gauge", &single(status.revision));
    one("config_refused_total", "Configurations refused.", "counter", &single(status.refused_changes));
    let events = single(status.events_suppressed);
    one("events_suppressed_total", "Events not printed because of their rate.", "counter", &events);
    type Of = fn(&WorkerStatus) -> u64;
    let by_worker: [(&str, &str, &str, Of); 6] = [
        ("worker_connections", "Client connections open.", "gauge", |w| u64::from(w.connections)),
        ("worker_requests", "Requests under way.", "gauge", |w| u64::from(w.requests)),
        ("worker_accepted_total", "Client connections accepted.", "counter", |w| w.accepted),
        ("worker_accept_failures_total", "Accepts that failed for want of descriptors.", "counter", |w| {
            w.accept_failures
        }),
        ("worker_panics_total", "Requests that panicked.", "counter", |w| w.panics),
        ("worker_heartbeat_age_ms", "Time since the last sign of life.", "gauge", |w| w.heartbeat_age_ms),
    ];
    for (name, help, kind, value) in by_worker {
        let values: Vec<(String, u64)> =
            status.workers.iter().map(|w| (format!("{{worker=\"{}\"}}", w.worker), value(w))).collect();
        one(name, help, kind, &values);
    }
    text
}
