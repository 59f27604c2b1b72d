//! What all workers share, by stable identity: it outlives plans.
//!
//! Knows: who is who. Must not: be asked for a warm decision; plans hold what they need of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use penstock_balance::{RetrySpec, mix};

use super::latency::Latency;
use super::rest::Rest;
use super::room::Room;
use super::spec::{KeyUid, ModelUid, ProviderUid};

/// Stable identity of a model at a provider, made of both: the same after a restart and on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId(pub u64);

impl DeploymentId {
    pub(super) fn of(provider: ProviderUid, model: &str) -> Self {
        let bytes = model.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3) // FNV-1a
        });
        Self(mix(mix(provider.0).wrapping_add(bytes)))
    }
}

/// A model at a provider.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) id: DeploymentId,
    pub(super) rest: Rest,
    /// Attempts under way, of the whole node.
    pub(super) busy: AtomicU32,
    pub(super) latency: Latency,
}

/// A key at a deployment.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) rest: Rest,
    pub(super) room: Room,
}

/// A key.
#[derive(Debug, Default)]
pub(super) struct Key {
    pub(super) rest: Rest,
}

/// Calls of a model, for its retry budget.
#[derive(Debug, Default)]
pub(super) struct Calls {
    live: AtomicU32,
    retries: AtomicU32,
}

impl Calls {
    pub(super) fn enter(&self) {
        self.live.fetch_add(1, Relaxed);
    }

    /// A call ends; `retried` if it had a place from [`Calls::take_retry`].
    pub(super) fn leave(&self, retried: bool) {
        self.live.fetch_sub(1, Relaxed);
        if retried {
            self.retries.fetch_sub(1, Relaxed);
        }
    }

    /// Takes a place for all retries of a call, if the budget has one.
    pub(super) fn take_retry(&self, budget: &RetrySpec) -> bool {
        let allowed = budget.allowed(self.live.load(Relaxed));
        let take = |retries| (retries < allowed).then_some(retries + 1);
        self.retries.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    pub(super) fn counts(&self) -> (u32, u32) {
        (self.live.load(Relaxed), self.retries.load(Relaxed))
    }
}

/// Whose calls a budget counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CallsOf {
    Model(ModelUid),
    Direct(DeploymentId),
}

#[derive(Debug, Default)]
struct Known {
    deployments: HashMap<DeploymentId, Arc<Deployment>>,
    lanes: HashMap<(DeploymentId, KeyUid), Arc<Lane>>,
    keys: HashMap<KeyUid, Arc<Key>>,
    calls: HashMap<CallsOf, Arc<Calls>>,
}

/// What is known of deployments, keys and models, on the whole node. One for all plans that follow one another.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<Known>>);

impl Registry {
    fn known<T>(&self, of: impl FnOnce(&mut Known) -> T) -> T {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn deployment(&self, id: DeploymentId) -> Arc<Deployment> {
        let fresh =
            || Deployment { id, rest: Rest::default(), busy: AtomicU32::new(0), latency: Latency::default() };
        self.known(|known| known.deployments.entry(id).or_insert_with(|| Arc::new(fresh())).clone())
    }

    pub(super) fn lane(&self, deployment: DeploymentId, key: KeyUid) -> Arc<Lane> {
        self.known(|known| known.lanes.entry((deployment, key)).or_default().clone())
    }

    pub(super) fn key(&self, uid: KeyUid) -> Arc<Key> {
        self.known(|known| known.keys.entry(uid).or_default().clone())
    }

    pub(super) fn calls(&self, of: CallsOf) -> Arc<Calls> {
        self.known(|known| known.calls.entry(of).or_default().clone())
    }

    /// Forgets what no plan has any more. To be called once the plan before is gone; what is kept too long does no harm.
    pub fn forget_unused(&self) {
        fn sweep<K: Eq + Hash, V>(map: &mut HashMap<K, Arc<V>>) {
            map.retain(|_, state| Arc::strong_count(state) > 1);
        }
        self.known(|known| {
            sweep(&mut known.deployments);
            sweep(&mut known.lanes);
            sweep(&mut known.keys);
            sweep(&mut known.calls);
        });
    }

    /// How many deployments, keys at deployments, keys and models are known.
    pub fn counts(&self) -> [usize; 4] {
        self.known(|known| [known.deployments.len(), known.lanes.len(), known.keys.len(), known.calls.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_identity_is_the_same_state_until_nobody_has_it() {
        let registry = Registry::default();
        let id = DeploymentId::of(ProviderUid(1), "m");
        let first = registry.deployment(id);
        assert!(Arc::ptr_eq(&first, &registry.clone().deployment(id)));
        assert_ne!(id, DeploymentId::of(ProviderUid(2), "m"));
        assert_ne!(id, DeploymentId::of(ProviderUid(1), "n"));
        registry.lane(id, KeyUid(1));
        registry.key(KeyUid(1));
        registry.calls(CallsOf::Direct(id));
        assert_eq!(registry.counts(), [1, 1, 1, 1]);
        registry.forget_unused();
        assert_eq!(registry.counts(), [1, 0, 0, 0]);
    }

    #[test]
    fn retries_stay_within_the_share_of_live_calls() {
        let calls = Calls::default();
        let budget = RetrySpec { percent: 20, min: 2 };
        (0..50).for_each(|_| calls.enter());
        assert_eq!((0..50).filter(|_| calls.take_retry(&budget)).count(), 10);
        calls.leave(true);
        assert_eq!(calls.counts(), (49, 9));
        assert!(!calls.take_retry(&budget), "a fifth of 49 is nine, and nine are under way");
        (0..49).for_each(|n| calls.leave(n < 9));
        assert_eq!((0..50).filter(|_| calls.take_retry(&budget)).count(), 2);
    }
}
