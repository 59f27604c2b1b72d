//! What all workers of the node share about a target: how many connections are open, where it is, whether it is
//! healthy. Touched when a connection is opened or closed and when the control side learns something; a request
//! on a pooled connection only reads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use dashmap::DashMap;
use penstock_gate::spec::{Target, TargetAddress, Uid};

/// A target as the node sees it.
#[derive(Debug)]
pub struct NodeTarget {
    address: TargetAddress,
    open: AtomicU32,
    wanted: AtomicU32,
    healthy: AtomicBool,
    ejected_until_ns: AtomicU64,
    addresses: RwLock<Arc<[SocketAddr]>>,
}

impl NodeTarget {
    fn new(address: &TargetAddress) -> Self {
        let addresses: Arc<[SocketAddr]> = match address {
            TargetAddress::Ip(addr) => Arc::new([*addr]),
            TargetAddress::Dns(..) | TargetAddress::Unix(_) => Arc::new([]),
        };
        Self {
            address: address.clone(),
            open: AtomicU32::new(0),
            wanted: AtomicU32::new(0),
            healthy: AtomicBool::new(true),
            ejected_until_ns: AtomicU64::new(0),
            addresses: RwLock::new(addresses),
        }
    }

    /// Takes the place of one connection if fewer than `open_max` are open on the whole node.
    pub fn reserve(self: &Arc<Self>, open_max: u32) -> Option<OpenPlace> {
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < open_max).then_some(open + 1));
        taken.ok().map(|_| OpenPlace(self.clone()))
    }

    /// Tells all workers, for as long as what it gives is kept, that a request waits for a place under the cap.
    pub fn want(self: &Arc<Self>) -> Wanted {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        Wanted(self.clone())
    }

    /// Requests that wait for a place under the cap, over all workers.
    pub fn wanted(&self) -> u32 {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Connections open or being opened, over all workers.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the active checks hold it for fit.
    pub fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// What an active check found out.
    pub fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    /// A worker ejected it; the others take that over at their next tick.
    pub fn eject(&self, until_ns: u64) {
        self.ejected_until_ns.fetch_max(until_ns, Ordering::Relaxed);
    }

    /// Until when the last ejection lasts, monotonic ns.
    pub fn ejected_until_ns(&self) -> u64 {
        self.ejected_until_ns.load(Ordering::Relaxed)
    }

    /// The addresses it is to be reached at; empty until its name has been resolved.
    pub fn addresses(&self) -> Arc<[SocketAddr]> {
        self.addresses.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// What the resolver found out.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = addresses.into();
    }
}

/// A request that waits for a place under the cap; see [`NodeTarget::want`].
#[derive(Debug)]
pub struct Wanted(Arc<NodeTarget>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of one open connection, given back when dropped.
#[derive(Debug)]
pub struct OpenPlace(Arc<NodeTarget>);

impl Drop for OpenPlace {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All targets of the node, by their stable identity, so that counts and health outlive a reload.
#[derive(Debug, Default)]
pub struct NodeTargets {
    targets: DashMap<Uid, Arc<NodeTarget>>,
}

impl NodeTargets {
    /// The shared state of a target, made when it is asked for first and when its address has changed.
    pub fn get(&self, target: &Target) -> Arc<NodeTarget> {
        let made = || Arc::new(NodeTarget::new(&target.address));
        let mut entry = self.targets.entry(target.uid).or_insert_with(made);
        if entry.address != target.address {
            *entry = made(); // it has moved: nothing that was known of it holds at the new place
        }
        entry.clone()
    }

    /// Connections open or being opened, to all targets.
    pub fn open_in_all(&self) -> u32 {
        self.targets.iter().map(|target| target.open()).sum()
    }

    /// Requests that wait for a place under a cap, of all targets.
    pub fn wanted_in_all(&self) -> u32 {
        self.targets.iter().map(|target| target.wanted()).sum()
    }

    /// Forgets the targets that no configuration names any more; open connections keep theirs alive.
    pub fn retain(&self, keep: impl Fn(Uid) -> bool) {
        self.targets.retain(|uid, _| keep(*uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let target = Arc::new(NodeTarget::new(&TargetAddress::Unix("/x".into())));
        let a = target.reserve(2).unwrap();
        let _b = target.reserve(2).unwrap();
        assert!(target.reserve(2).is_none());
        drop(a);
        assert!(target.reserve(2).is_some());
    }
}
