//! Names of targets: resolved beside the workers, refreshed, and handed to them through the shared state of the
//! target. A name that fails to resolve keeps the addresses it had.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use penstock_dataplane::supervise::Dataplane;
use penstock_gate::spec::TargetAddress;

/// How often names are looked up again.
pub(crate) const REFRESH: Duration = Duration::from_secs(10);
/// How often one that has no address yet is tried.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Looks up every name once and says which failed.
pub(crate) fn resolve(dataplane: &Dataplane) -> Vec<String> {
    let mut failed = Vec::new();
    for upstream in dataplane.served().snapshot.upstreams() {
        for target in &upstream.targets {
            let TargetAddress::Dns(name, port) = &target.address else { continue };
            let node = dataplane.nodes().get(target);
            match (name.as_str(), *port).to_socket_addrs() {
                Ok(found) => {
                    let mut found: Vec<SocketAddr> = found.collect();
                    found.sort_unstable();
                    found.dedup();
                    if node.addresses()[..] != found[..] {
                        node.set_addresses(found);
                    }
                }
                Err(error) => failed.push(format!("{name}: {error}")),
            }
        }
    }
    failed
}

/// Keeps names fresh for as long as the process lives.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn keep_fresh(
    dataplane: Arc<Dataplane>,
    told: impl Fn(String) + Send + 'static,
) -> std::io::Result<()> {
    thread::Builder::new().name("penstock-dns".into()).spawn(move || {
        let mut known: Vec<String> = Vec::new();
        loop {
            let failed = resolve(&dataplane);
            for name in failed.iter().filter(|name| !known.contains(name)) {
                told(format!("a target's name cannot be resolved: {name}"));
            }
            #[allow(clippy::disallowed_methods, reason = "a thread of its own that only waits")]
            thread::sleep(if failed.is_empty() { REFRESH } else { RETRY });
            known = failed;
        }
    })?;
    Ok(())
}
