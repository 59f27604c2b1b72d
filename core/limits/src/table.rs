//! The table of keys: two-choice sets of eight slots; lookup without a lock, first appearance under a short one.
//!
//! Knows: slots and who may be evicted. Must not: count.

use std::sync::atomic::Ordering;

use crate::{
    blocks::Blocks,
    clock::TICK_SHIFT,
    concurrent, gcra,
    key::{Key, KeyWords, mix, ordinal_of},
    layout::{LOCKS, SET_SLOTS, entry},
    limit::{Method, Rule},
    pool::NodePool,
    recovery,
    rolling::{self, Block},
    store::{Slot, Store},
    wide, window,
};

/// First key word of a slot that is being given to a key.
pub(crate) const CLAIMED: u64 = 1;
/// Turns to wait for another worker that inserts a key of the same lock.
const SPINS_MAX: u32 = 20_000;

/// Where a key is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) slot: u32,
    /// It is the limit's shared overflow bucket.
    pub(crate) overflow: bool,
    /// A lock to give back by [`NodePool::unlock`] once the call is counted.
    pub(crate) locked: Option<usize>,
}

impl Found {
    fn own(slot: u32) -> Self {
        Self { slot, overflow: false, locked: None }
    }
}

impl NodePool {
    /// The slot of a key, given to it by `holder` (a worker's seat + 1) if it has none. Costs two sets of eight words looked at; a first appearance
    /// takes one of [`LOCKS`] locks and no other.
    pub(crate) fn find(&self, rule: &Rule, key: Key, words: KeyWords, pool_ns: u64, holder: u64) -> Found {
        if key == Key::OWNER {
            return Found::own(self.store.layout.owner_slot(rule.ordinal));
        }
        if let Some(slot) = self.lookup(words) {
            return Found::own(slot);
        }
        let number = words.first as usize % LOCKS;
        let lock = self.store.word(self.store.layout.lock(number));
        for _ in 0..SPINS_MAX {
            if lock.compare_exchange(0, holder, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return match self.lookup(words).or_else(|| self.insert(rule, words, pool_ns, holder)) {
                    Some(slot) => {
                        self.unlock(number);
                        Found::own(slot)
                    }
                    // Nobody may give the key a bucket until this call is counted in the shared one.
                    None => self.overflow(rule, Some(number)),
                };
            }
            std::hint::spin_loop();
        }
        self.overflow(rule, None)
    }

    /// Gives a lock of [`NodePool::find`] back.
    pub(crate) fn unlock(&self, number: usize) {
        self.store.word(self.store.layout.lock(number)).store(0, Ordering::Release);
    }

    fn overflow(&self, rule: &Rule, locked: Option<usize>) -> Found {
        self.store.entry(rule.ordinal, entry::OVERFLOWED).fetch_add(1, Ordering::Relaxed);
        Found { slot: self.store.layout.overflow_slot(rule.ordinal), overflow: true, locked }
    }

    /// First slots of the two sets a key may stand in.
    fn sets(&self, words: KeyWords) -> [u32; 2] {
        let sets = self.store.layout.sets as u128;
        [words.first, mix(words.first ^ words.second)]
            .map(|hash| self.store.layout.set(((u128::from(hash) * sets) >> 64) as usize))
    }

    /// The slot of a key that has one.
    pub(crate) fn lookup(&self, words: KeyWords) -> Option<u32> {
        self.sets(words).into_iter().flat_map(|set| set..set + SET_SLOTS as u32).find(|slot| {
            let slot = self.store.slot(*slot, None);
            slot.words[0].load(Ordering::Acquire) == words.first
                && slot.words[1].load(Ordering::Acquire) == words.second
        })
    }

    /// Gives the key a slot: a free one of the emptier set, else an idle one. None: it must share the overflow
    /// bucket.
    fn insert(&self, rule: &Rule, words: KeyWords, pool_ns: u64, holder: u64) -> Option<u32> {
        let shared = self.store.slot(self.store.layout.overflow_slot(rule.ordinal), None);
        if rule.method == Method::Concurrent && concurrent::count_of(shared.a().load(Ordering::Acquire)) > 0 {
            // Its calls in flight may be counted there; with a bucket of its own it could have as many again.
            return None;
        }
        let sets = self.sets(words);
        let candidates = || sets.into_iter().flat_map(|set| set..set + SET_SLOTS as u32);
        let keys = self.store.entry(rule.ordinal, entry::KEYS);
        if keys.fetch_add(1, Ordering::AcqRel) >= u64::from(rule.keys_max) {
            keys.fetch_sub(1, Ordering::AcqRel);
            let own = candidates().find(|slot| {
                let second = self.store.slot(*slot, None).words[1].load(Ordering::Acquire);
                ordinal_of(second) == rule.ordinal && self.evict(*slot, pool_ns, holder)
            })?;
            keys.fetch_add(1, Ordering::AcqRel);
            return self.settle_in(own, rule, words, pool_ns);
        }
        let free = |slot: &u32| self.store.slot(*slot, None).words[0].load(Ordering::Acquire) == 0;
        let count = |set: u32| (set..set + SET_SLOTS as u32).filter(free).count();
        let order = if count(sets[0]) >= count(sets[1]) { sets } else { [sets[1], sets[0]] };
        let claimed = order.into_iter().flat_map(|set| set..set + SET_SLOTS as u32).find(|slot| {
            let first = &self.store.slot(*slot, None).words[0];
            first.compare_exchange(0, CLAIMED, Ordering::AcqRel, Ordering::Acquire).is_ok()
        });
        match claimed.or_else(|| candidates().find(|slot| self.evict(*slot, pool_ns, holder))) {
            Some(slot) => self.settle_in(slot, rule, words, pool_ns),
            None => {
                keys.fetch_sub(1, Ordering::AcqRel);
                None
            }
        }
    }

    /// Makes a claimed slot the key's. It begins where the overflow bucket stands, because the key may have spent
    /// there what it would otherwise have again.
    fn settle_in(&self, number: u32, rule: &Rule, words: KeyWords, pool_ns: u64) -> Option<u32> {
        let slot = self.store.slot(number, None);
        let shared = self.store.slot(self.store.layout.overflow_slot(rule.ordinal), None);
        let shared_a = shared.a().load(Ordering::Acquire);
        let shared_b = shared.b().load(Ordering::Acquire);
        let (a, b) = match rule.method {
            Method::Gcra => {
                let now = pool_ns << TICK_SHIFT;
                let owed = match shared_a.max(shared_b) {
                    0 => 0,
                    _ => shared_a.max(now.saturating_add(shared_b.saturating_mul(rule.interval_ticks))),
                };
                (now.max(owed), 0)
            }
            Method::Fixed | Method::Calendar => {
                let count = window::count_of(shared_a, shared_b);
                window::begin(window::index_of(shared_a), count, slot.b().load(Ordering::Acquire))
            }
            Method::Concurrent => (concurrent::begin(slot.a().load(Ordering::Acquire)), 0),
            Method::Rolling | Method::Wide => {
                let Some(number) = self.begin_block(rule, shared) else {
                    self.store.entry(rule.ordinal, entry::KEYS).fetch_sub(1, Ordering::AcqRel);
                    slot.words[0].store(0, Ordering::Release);
                    return None;
                };
                (u64::from(number) + 1, 0)
            }
        };
        self.store.reserved(number).store(0, Ordering::Release);
        slot.b().store(b, Ordering::Release);
        slot.a().store(a, Ordering::Release);
        slot.words[1].store(words.second, Ordering::Release);
        slot.words[0].store(words.first, Ordering::Release);
        Some(number)
    }

    /// A block for a new key that begins with what the shared one holds.
    fn begin_block(&self, rule: &Rule, shared: Slot<'_>) -> Option<u32> {
        let blocks = Blocks::of(rule.method)?;
        let number = blocks.allocate(&self.store)?;
        blocks.begin(&self.store, number);
        match blocks {
            Blocks::Rolling => {
                if let Some(shared) = recovery::block_of(&self.store, shared) {
                    rolling::copy(shared, Block(self.store.block(number)));
                }
            }
            Blocks::Wide => {
                if let Some((_, shared)) = recovery::wide_of(&self.store, shared) {
                    wide::copy(shared, wide::Wide(self.store.wide(number)));
                }
            }
        }
        Some(number)
    }

    /// Takes an idle slot from its key; it is then claimed. False if it is not idle (or not a key's).
    fn evict(&self, number: u32, pool_ns: u64, holder: u64) -> bool {
        let slot = self.store.slot(number, None);
        let first = slot.words[0].load(Ordering::Acquire);
        let ordinal = ordinal_of(slot.words[1].load(Ordering::Acquire));
        if first <= CLAIMED || ordinal as usize >= self.store.layout.limits {
            return false;
        }
        let Some(method) = recovery::method_at(&self.store, ordinal) else { return false };
        let latest = self.store.entry(ordinal, entry::LATEST).load(Ordering::Acquire);
        if !freeze_idle(&self.store, slot, method, pool_ns, latest, holder) {
            return false;
        }
        let block = slot.a().load(Ordering::Acquire);
        slot.words[0].store(CLAIMED, Ordering::Release);
        slot.words[1].store(0, Ordering::Release);
        if let Some(blocks) = Blocks::of(method) {
            blocks.free(&self.store, (block - 1) as u32);
        }
        Store::subtract(self.store.entry(ordinal, entry::KEYS), 1);
        true
    }

    /// Frees idle keys, and limits that are no longer configured, among the next `slots` slots of the table; gives
    /// the number of keys freed. For a control thread: about 10 ns a slot.
    pub fn sweep(&self, now: crate::Now, slots: u32) -> u32 {
        let pool_ns = self.clock.pool_ns(now);
        let holder = recovery::control_holder(self.run);
        let first = self.store.layout.set(0);
        let all = self.store.layout.slots() as u32 - first;
        let from = self.sweep_at.fetch_add(slots, Ordering::Relaxed);
        let mut freed = 0;
        for step in 0..slots.min(all) {
            let number = first + from.wrapping_add(step) % all;
            if self.evict(number, pool_ns, holder) {
                self.store.slot(number, None).words[0].store(0, Ordering::Release);
                freed += 1;
            }
        }
        self.free_limits(pool_ns, holder);
        freed
    }

    /// Frees directory entries of limits that no configuration holds and that have nothing left to remember.
    fn free_limits(&self, pool_ns: u64, holder: u64) {
        for ordinal in 0..self.store.layout.limits as u32 {
            let field = |field| self.store.entry(ordinal, field);
            let unused = self.id_at(ordinal).0 != 0
                && field(entry::IN_USE).load(Ordering::Acquire) == 0
                && field(entry::KEYS).load(Ordering::Acquire) == 0;
            let Some(method) = recovery::method_at(&self.store, ordinal).filter(|_| unused) else { continue };
            let latest = field(entry::LATEST).load(Ordering::Acquire);
            let layout = &self.store.layout;
            let reserved = [layout.overflow_slot(ordinal), layout.owner_slot(ordinal)];
            for number in reserved {
                let slot = self.store.slot(number, None);
                let held = slot.words[0].load(Ordering::Acquire) != 0;
                if held && freeze_idle(&self.store, slot, method, pool_ns, latest, holder) {
                    let block = slot.a().load(Ordering::Acquire);
                    slot.words[0].store(0, Ordering::Release);
                    if let Some(blocks) = Blocks::of(method) {
                        blocks.free(&self.store, (block - 1) as u32);
                    }
                    slot.a().store(0, Ordering::Release);
                    slot.b().store(0, Ordering::Release);
                    self.store.reserved(number).store(0, Ordering::Release);
                }
            }
            let empty = |number: u32| self.store.slot(number, None).words[0].load(Ordering::Acquire) == 0;
            if reserved.into_iter().all(empty) {
                field(entry::METHOD).store(0, Ordering::Release);
                field(entry::OVERFLOWED).store(0, Ordering::Release);
                field(entry::LATEST).store(0, Ordering::Release);
                field(entry::ID_LOW).store(0, Ordering::Release);
                field(entry::ID_HIGH).store(0, Ordering::Release);
            }
        }
    }
}

/// Takes the state of an idle slot out of reach of decisions; false if it is not idle.
fn freeze_idle(
    store: &Store,
    slot: Slot<'_>,
    method: Method,
    pool_ns: u64,
    latest: u64,
    holder: u64,
) -> bool {
    let swap = |word: &std::sync::atomic::AtomicU64, before, frozen| {
        word.compare_exchange(before, frozen, Ordering::AcqRel, Ordering::Acquire).is_ok()
    };
    let a = slot.a().load(Ordering::Acquire);
    let b = slot.b().load(Ordering::Acquire);
    match method {
        Method::Gcra => b == 0 && a < pool_ns << TICK_SHIFT && swap(slot.a(), a, gcra::FROZEN),
        Method::Fixed | Method::Calendar => {
            let idle = window::index_of(a) < latest || window::count_of(a, b) == 0;
            idle && !window::is_frozen(b) && swap(slot.b(), b, window::frozen(b))
        }
        Method::Concurrent => {
            a != concurrent::FROZEN && concurrent::count_of(a) == 0 && swap(slot.a(), a, concurrent::FROZEN)
        }
        Method::Rolling => {
            recovery::block_of(store, slot).is_some_and(|block| rolling::freeze_idle(block, latest))
        }
        Method::Wide => {
            recovery::wide_of(store, slot).is_some_and(|(_, block)| wide::freeze_idle(block, holder, latest))
        }
    }
}
