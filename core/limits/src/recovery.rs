//! What a dead worker, a dead process or a power cut leaves behind, and how it is made good.
//!
//! Knows: seats' records. Must not: decide who is dead (the caller knows).

use std::sync::atomic::Ordering;

use crate::{
    blocks,
    clock::{Now, TICK_SHIFT},
    concurrent, gcra,
    key::{FIRST_KEY_WORD, ordinal_of},
    layout::{LEASES_MAX, LOCKS, PERMITS_WORKER_MAX, entry, header, seat},
    limit::Method,
    pool::NodePool,
    rolling::{self, Block},
    store::{Slot, Store},
    window,
};

/// A worker's place in the region; what [`NodePool::reclaim`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerSeat(pub(crate) u32);

/// How a limit of the directory counts.
pub(crate) fn method_at(store: &Store, ordinal: u32) -> Option<Method> {
    let methods = [Method::Gcra, Method::Fixed, Method::Calendar, Method::Rolling, Method::Concurrent];
    let number = store.entry(ordinal, entry::METHOD).load(Ordering::Acquire);
    methods.into_iter().find(|method| *method as u64 + 1 == number)
}

/// The limit whose key stands in a slot.
fn owner_of(store: &Store, slot: u32) -> Option<u32> {
    let words = store.slot(slot, None).words;
    let ordinal = ordinal_of(words[1].load(Ordering::Acquire));
    let used = words[0].load(Ordering::Acquire) >= FIRST_KEY_WORD;
    (used && (ordinal as usize) < store.layout.limits).then_some(ordinal)
}

/// Whether a slot refers to a rolling block.
pub(crate) fn is_rolling(store: &Store, slot: u32) -> bool {
    owner_of(store, slot).and_then(|ordinal| method_at(store, ordinal)) == Some(Method::Rolling)
}

/// The rolling block of a slot.
#[inline]
pub(crate) fn block_of<'a>(store: &'a Store, slot: Slot<'_>) -> Option<Block<'a>> {
    let number = slot.a().load(Ordering::Acquire).checked_sub(1)?;
    ((number as usize) < store.layout.blocks).then(|| Block(store.block(number as u32)))
}

impl NodePool {
    /// Takes back what a dead worker held: its leases count as spent, its concurrency permits are free. The worker
    /// is fenced: should it still run, it is refused everything. For a control thread.
    pub fn reclaim(&self, worker: WorkerSeat, now: Now) {
        let state = self.store.seat(worker.0, seat::STATE);
        let before = state.load(Ordering::Acquire);
        if before & 1 == 0 {
            return;
        }
        let fenced = ((before >> 32) + 1) << 32 | 1;
        if state.compare_exchange(before, fenced, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        let pool_ns = self.clock.pool_ns(now);
        for at in 0..LEASES_MAX {
            let record = self.store.seat(worker.0, seat::LEASES + at).swap(0, Ordering::AcqRel);
            self.spend_lease((record >> 32) as u32, record as u32, pool_ns);
        }
        for at in 0..PERMITS_WORKER_MAX {
            let record = self.store.seat(worker.0, seat::PERMITS + at).swap(0, Ordering::AcqRel);
            if let Some(slot) = (record as u32).checked_sub(1) {
                concurrent::release(self.store.slot(slot, None));
            }
        }
        let holder = u64::from(worker.0) + 1;
        for lock in 0..LOCKS {
            let lock = self.store.word(self.store.layout.lock(lock));
            // Nothing to do if the lock is another worker's.
            let _ = lock.compare_exchange(holder, 0, Ordering::AcqRel, Ordering::Acquire);
        }
        for number in 0..self.store.layout.blocks as u32 {
            rolling::free_holder(Block(self.store.block(number)), holder);
        }
        self.leave_seat(worker);
    }

    /// Frees a seat whose records are empty.
    pub(crate) fn leave_seat(&self, worker: WorkerSeat) {
        self.store.seat(worker.0, seat::RUN).store(0, Ordering::Release);
        self.store.seat(worker.0, seat::STATE).fetch_and(!1, Ordering::AcqRel);
        Store::subtract(self.store.header(header::WORKERS), 1);
    }

    /// Counts a lease of unknown use as spent now.
    fn spend_lease(&self, slot: u32, tokens: u32, pool_ns: u64) {
        let Some(ordinal) = owner_of(&self.store, slot).filter(|_| tokens > 0) else { return };
        let interval = self.store.entry(ordinal, entry::INTERVAL).load(Ordering::Acquire);
        let slot = self.store.slot(slot, None);
        gcra::return_lease(slot, interval, pool_ns, 0);
        gcra::shrink_lease(slot, tokens, 0);
    }

    /// Makes good what others left, at opening.
    pub(crate) fn recover(&self, now: Now, live_runs: &[u64]) {
        let pool_ns = self.clock.pool_ns(now);
        let seats = 0..self.store.layout.seats as u32;
        for number in seats {
            let run = self.store.seat(number, seat::RUN).load(Ordering::Acquire);
            let taken = self.store.seat(number, seat::STATE).load(Ordering::Acquire) & 1 == 1;
            if taken && !live_runs.contains(&run) {
                self.reclaim(WorkerSeat(number), now);
            }
        }
        if live_runs.is_empty() {
            self.repair_alone(pool_ns);
        }
        self.beat(pool_ns);
    }

    /// With nobody else alive everything that was in the middle of something can be put straight: slots half
    /// given, leases half recorded, calls that died with their process, counts of keys.
    fn repair_alone(&self, pool_ns: u64) {
        let store = &self.store;
        for lock in 0..LOCKS {
            store.word(store.layout.lock(lock)).store(0, Ordering::Release);
        }
        store.header(header::WORKERS).store(0, Ordering::Release);
        for ordinal in 0..store.layout.limits as u32 {
            store.entry(ordinal, entry::KEYS).store(0, Ordering::Release);
        }
        for number in 0..store.layout.slots() as u32 {
            let slot = store.slot(number, None);
            let method =
                owner_of(store, number).and_then(|ordinal| Some((ordinal, method_at(store, ordinal)?)));
            let sound = method.is_some_and(|(ordinal, method)| {
                let interval = store.entry(ordinal, entry::INTERVAL).load(Ordering::Acquire);
                repair_slot(store, slot, method, interval, pool_ns)
            });
            if !sound {
                for word in slot.words {
                    word.store(0, Ordering::Release);
                }
            } else if let Some((ordinal, _)) = method.filter(|_| !store.layout.is_reserved(number)) {
                store.entry(ordinal, entry::KEYS).fetch_add(1, Ordering::AcqRel);
            }
        }
        blocks::rebuild_free_list(store);
    }
}

/// Puts one slot straight; false if it was being taken from its key.
fn repair_slot(store: &Store, slot: Slot<'_>, method: Method, interval: u64, pool_ns: u64) -> bool {
    let a = slot.a().load(Ordering::Acquire);
    let b = slot.b().load(Ordering::Acquire);
    match method {
        Method::Gcra => {
            if a == gcra::FROZEN {
                return false;
            }
            if b > 0 {
                let spent = (pool_ns << TICK_SHIFT).saturating_add(b.saturating_mul(interval));
                slot.a().store(a.max(spent), Ordering::Release);
                slot.b().store(0, Ordering::Release);
            }
            true
        }
        Method::Fixed | Method::Calendar => b != window::FROZEN,
        Method::Concurrent => {
            slot.a().store(concurrent::begin(a), Ordering::Release);
            a != concurrent::FROZEN
        }
        Method::Rolling => {
            let Some(block) = block_of(store, slot) else { return false };
            if rolling::is_nobodys(block) {
                return false;
            }
            rolling::repair(block);
            true
        }
    }
}
