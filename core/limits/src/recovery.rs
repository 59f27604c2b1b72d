//! What a dead worker, a dead process or a power cut leaves behind, and how it is made good.
//!
//! Knows: seats' records. Must not: decide who is dead (the caller knows).

use std::sync::atomic::Ordering;

use crate::{
    blocks::Blocks,
    clock::{Now, TICK_SHIFT},
    concurrent, gcra,
    key::{FIRST_KEY_WORD, ordinal_of},
    layout::{LEASES_MAX, LOCKS, PERMITS_WORKER_MAX, entry, header, seat},
    limit::Method,
    pool::NodePool,
    rolling::{self, Block},
    store::{Slot, Store},
    wide::{self, Wide},
    window,
};

/// A worker's place in the region; what [`NodePool::reclaim`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerSeat(pub(crate) u32);

/// Who holds a lock or a block: a worker's seat + 1, or a process's control threads.
const CONTROL_HOLDER: u64 = 1 << 59;

/// The holder that stands for the control threads of a process's run.
pub(crate) fn control_holder(run: u64) -> u64 {
    CONTROL_HOLDER | (run & (CONTROL_HOLDER - 1))
}

/// How a limit of the directory counts.
pub(crate) fn method_at(store: &Store, ordinal: u32) -> Option<Method> {
    let methods =
        [Method::Gcra, Method::Fixed, Method::Calendar, Method::Rolling, Method::Concurrent, Method::Wide];
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

/// Which blocks a slot refers to one of.
pub(crate) fn blocks_of(store: &Store, slot: u32) -> Option<Blocks> {
    owner_of(store, slot).and_then(|ordinal| method_at(store, ordinal)).and_then(Blocks::of)
}

/// The rolling block of a slot.
#[inline]
pub(crate) fn block_of<'a>(store: &'a Store, slot: Slot<'_>) -> Option<Block<'a>> {
    let number = slot.a().load(Ordering::Acquire).checked_sub(1)?;
    ((number as usize) < store.layout.blocks).then(|| Block(store.block(number as u32)))
}

/// The wide block of a slot, with its number.
#[inline]
pub(crate) fn wide_of<'a>(store: &'a Store, slot: Slot<'_>) -> Option<(u32, Wide<'a>)> {
    let number = slot.a().load(Ordering::Acquire).checked_sub(1)?;
    ((number as usize) < store.layout.wide).then(|| (number as u32, Wide(store.wide(number as u32))))
}

/// Whether a slot (still) refers to a block of that number.
#[inline]
pub(crate) fn is_of(slot: Slot<'_>, number: u32) -> bool {
    slot.a().load(Ordering::Acquire) == u64::from(number) + 1
}

impl NodePool {
    /// Takes back what a dead worker held: its leases and reservations count as spent, its concurrency permits are free. The worker
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
        self.free_locks(|by| by == holder);
        for number in 0..self.store.layout.blocks as u32 {
            rolling::free_holder(Block(self.store.block(number)), holder);
        }
        self.leave_seat(worker);
    }

    /// Frees what those hold of whom `is_dead` says that they are: locks and wide blocks.
    fn free_locks(&self, is_dead: impl Fn(u64) -> bool) {
        let free = |word: &std::sync::atomic::AtomicU64| {
            let by = word.load(Ordering::Acquire);
            if is_dead(by) {
                // Nothing to do if it is somebody else's by now.
                let _ = word.compare_exchange(by, 0, Ordering::AcqRel, Ordering::Acquire);
            }
        };
        (0..LOCKS).for_each(|lock| free(self.store.word(self.store.layout.lock(lock))));
        for number in 0..self.store.layout.wide as u32 {
            wide::free_holder(Wide(self.store.wide(number)), &is_dead);
        }
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
        // Control threads of dead processes.
        self.free_locks(|by| {
            by & CONTROL_HOLDER != 0 && !live_runs.iter().any(|run| by == control_holder(*run))
        });
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
            store.reserved(number).store(0, Ordering::Release);
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
        Blocks::Rolling.rebuild_free_list(store);
        Blocks::Wide.rebuild_free_list(store);
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
        Method::Fixed | Method::Calendar => !window::is_frozen(b),
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
        Method::Wide => {
            let Some((_, block)) = wide_of(store, slot) else { return false };
            if wide::is_nobodys(block) {
                return false;
            }
            wide::repair(block);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        Applied, Key, Kind, LimitSpec, NodeConfig, Permits, Region, Shard, Window, clock::SECOND_NS,
        table::CLAIMED,
    };

    /// What a kill between any two stores can leave is put straight by the next opening.
    #[test]
    fn stores_cut_in_the_middle_are_put_straight() {
        let config = NodeConfig {
            limits_max: 4,
            keys_max: 100,
            rolling_keys_max: 10,
            workers_max: 2,
            ..NodeConfig::new(1, 1)
        };
        let now = Now { mono_ns: SECOND_NS, wall_ns: 0 };
        let region = Region::memory(config.region_words());
        let open = || Arc::new(NodePool::open(region.clone(), &config, now, &[]).unwrap());
        let pool = open();
        let per = Window::Duration(Duration::from_secs(10));
        let limit = pool.register(&LimitSpec::new(1, "rate", Kind::Requests, 10, per)).unwrap();
        let calls = LimitSpec::new(2, "calls", Kind::Concurrent, 3, Window::None);
        let calls = pool.register(&calls).unwrap();
        let mut shard = Shard::new(pool.clone()).unwrap();
        for key in 1..=3 {
            let applied = [Applied::one(&limit, Key(key)), Applied::one(&calls, Key(key))];
            assert!(shard.admit(now, &applied, &mut Permits::new()).is_admitted());
        }
        let find = |limit: &crate::Limit, key: u128| {
            let words = Key(key).words(limit.rule.ordinal);
            pool.find(&limit.rule, Key(key), words, pool.clock.pool_ns(now), 1).slot
        };
        let slots = [1, 2, 3].map(|key| pool.store.slot(find(&limit, key), None));
        // Leased, and killed before it was on record.
        slots[0].b().store(4, Ordering::Relaxed);
        // Killed while a key was evicted, and while one was given a slot.
        slots[1].a().store(gcra::FROZEN, Ordering::Relaxed);
        slots[2].words[0].store(CLAIMED, Ordering::Relaxed);
        // Entered, and killed before it was on record.
        let entered = pool.store.slot(find(&calls, 1), None);
        entered.a().fetch_add(1, Ordering::Relaxed);
        pool.store.word(pool.store.layout.lock(7)).store(2, Ordering::Relaxed);

        let again = open();
        assert_eq!(again.workers(), 0);
        assert_eq!(again.store.word(again.store.layout.lock(7)).load(Ordering::Relaxed), 0);
        assert_eq!((again.keys(&limit), again.keys(&calls)), (1, 3));
        assert_eq!(concurrent::count_of(entered.a().load(Ordering::Relaxed)), 0);
        let mut shard = Shard::new(again).unwrap();
        let mut passes = |key| {
            let applied = [Applied::one(&limit, Key(key))];
            (0..20).filter(|_| shard.admit(now, &applied, &mut Permits::new()).is_admitted()).count()
        };
        assert_eq!(passes(1), 6, "the four count as spent");
        assert_eq!((passes(2), passes(3)), (10, 10), "an evicted key was idle");
    }
}
