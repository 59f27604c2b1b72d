//! What the admin address and `penstock status` show of the running gateway.

use penstock_admin::{ListenerStatus, Readiness, Source, Status, WorkerStatus};
use penstock_analytics::Live;
use penstock_dataplane::sys;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::gateway::Gateway;
use crate::{notices, ports};

/// The gateway as the admin address sees it.
pub(crate) struct State(pub Arc<Gateway>);

impl Source for State {
    fn readiness(&self) -> Readiness {
        if self.0.is_draining() {
            Readiness::NotReady("the gateway is draining".to_owned())
        } else {
            Readiness::Ready
        }
    }

    fn status(&self) -> Status {
        status(&self.0)
    }

    fn live(&self) -> Option<Live> {
        self.0.fixed.rings.as_ref().ok()?.live()
    }

    fn call_metrics(&self) -> String {
        self.0.fixed.rings.as_ref().map(|rings| rings.metrics()).unwrap_or_default()
    }
}

/// The state now.
pub(crate) fn status(gateway: &Gateway) -> Status {
    let now_ns = sys::monotonic_ns();
    let stats = gateway.dataplane.stats();
    let workers = stats.iter().enumerate().map(|(worker, stats)| WorkerStatus {
        worker,
        cpu: gateway.fixed.cpus.get(worker).copied().flatten(),
        connections: stats.connections.load(Ordering::Relaxed),
        requests: stats.requests.load(Ordering::Relaxed),
        accepted: stats.accepted.load(Ordering::Relaxed),
        accept_failures: stats.accept_failures.load(Ordering::Relaxed),
        panics: stats.panics.load(Ordering::Relaxed),
        heartbeat_age_ms: now_ns.saturating_sub(stats.heartbeat_ns.load(Ordering::Relaxed)) / 1_000_000,
    });
    let listeners = gateway.dataplane.addresses();
    Status {
        state: if gateway.is_draining() { "draining" } else { "ready" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_ns: gateway.fixed.started_ns,
        revision: gateway.revision(),
        refused_changes: gateway.refused(),
        driver: gateway.fixed.driver.to_string(),
        listeners: listeners
            .iter()
            .map(|(name, at)| ListenerStatus { name: name.clone(), address: ports::shown(at) })
            .collect(),
        workers: workers.collect(),
        rings: match &gateway.fixed.rings {
            Ok(rings) => rings.shown(),
            Err(why) => format!("off: {why}"),
        },
        records_dropped: gateway.fixed.rings.as_ref().map(|rings| rings.dropped()).unwrap_or(0),
        events_suppressed: notices::suppressed(),
    }
}
