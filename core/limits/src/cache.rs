//! A worker's cache of keys: where each is counted, and the lease held for it.
//!
//! Knows: what this worker learned. Must not: change a node counter.

use crate::{key::KeyWords, layout::LEASES_MAX};

/// Entries that a key can stand in.
const WAYS: usize = 4;
/// A slice is what a worker used in this time.
pub(crate) const SLICE_NS: u64 = 10_000_000;
/// Largest slice.
const SLICE_MAX: u64 = 1 << 20;
/// Slices smaller than this are not worth a lease.
const SLICE_MIN: u32 = 2;
/// The entry for one decision on a shared overflow bucket, whose keys are not remembered.
pub(crate) const SCRATCH: usize = LEASES_MAX;
/// Place in the list of leases of an entry that has none.
pub(crate) const NO_LEASE: u32 = u32::MAX;

/// What a worker knows of one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) keys: KeyWords,
    pub(crate) slot: u32,
    /// The slot never changes hands.
    pub(crate) reserved: bool,
    /// Units of the lease not used yet.
    pub(crate) left: u32,
    /// Units of the lease on record.
    pub(crate) held: u32,
    /// Place in the list of leases.
    pub(crate) listed: u32,
    /// Units used since `slice_from_ns`, and the slice that the time before gave.
    used: u32,
    slice: u32,
    slice_from_ns: u64,
    pub(crate) leased_ns: u64,
    /// Ticks per token of a gcra bucket; 0 for other counters.
    pub(crate) interval_ticks: u64,
    /// Current window: index, and its end on the clock of its kind.
    pub(crate) index: u64,
    pub(crate) window_end_ns: u64,
    /// Units left at the node when it last answered, less own use since.
    pub(crate) remaining: u64,
    pub(crate) reset_ns: u64,
    pub(crate) window_ns: u64,
    last_ns: u64,
}

const EMPTY: Entry = Entry {
    keys: KeyWords { first: 0, second: 0 },
    slot: 0,
    reserved: false,
    left: 0,
    held: 0,
    listed: NO_LEASE,
    used: 0,
    slice: 0,
    slice_from_ns: 0,
    leased_ns: 0,
    interval_ticks: 0,
    index: 0,
    window_end_ns: 0,
    remaining: 0,
    reset_ns: 0,
    window_ns: 0,
    last_ns: 0,
};

impl Entry {
    /// A key just looked up.
    pub(crate) fn new(keys: KeyWords, slot: u32, reserved: bool, pool_ns: u64) -> Self {
        Self { keys, slot, reserved, slice_from_ns: pool_ns, last_ns: pool_ns, ..EMPTY }
    }

    /// The key the slot must hold.
    #[inline]
    pub(crate) fn expect(&self) -> Option<KeyWords> {
        (!self.reserved).then_some(self.keys)
    }

    /// Notes use.
    #[inline]
    pub(crate) fn used(&mut self, units: u64) {
        self.used = self.used.saturating_add(units.min(SLICE_MAX) as u32);
    }

    /// What is worth leasing: 10 ms of recent use and at most `max`, or nothing. Costs a division each 10 ms.
    #[inline]
    pub(crate) fn slice(&mut self, pool_ns: u64, max: u32) -> u32 {
        self.last_ns = pool_ns;
        let elapsed = pool_ns.saturating_sub(self.slice_from_ns);
        if elapsed >= SLICE_NS {
            let slice = (u64::from(self.used) * SLICE_NS / elapsed).min(SLICE_MAX);
            self.slice = slice as u32;
            self.used = 0;
            self.slice_from_ns = pool_ns;
        }
        let slice = self.slice.min(max);
        if slice < SLICE_MIN { 0 } else { slice }
    }
}

/// The entries, and which of them hold leases.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: Box<[Entry]>,
    leases: Vec<u32>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { entries: vec![EMPTY; LEASES_MAX + 1].into(), leases: Vec::with_capacity(LEASES_MAX) }
    }

    fn ways(keys: KeyWords) -> usize {
        (keys.second >> 40) as usize % (LEASES_MAX / WAYS) * WAYS
    }

    #[inline]
    pub(crate) fn find(&self, keys: KeyWords) -> Option<usize> {
        let first = Self::ways(keys);
        (first..first + WAYS).find(|at| self.entries[*at].keys == keys)
    }

    /// The entry to replace for a new key: the one longest untouched, those with leases last.
    pub(crate) fn victim(&self, keys: KeyWords) -> usize {
        let first = Self::ways(keys);
        let untouched = |at: &usize| {
            let entry = &self.entries[*at];
            (entry.held > 0, entry.last_ns)
        };
        (first..first + WAYS).min_by_key(untouched).unwrap_or(first)
    }

    #[inline]
    pub(crate) fn entry(&mut self, at: usize) -> &mut Entry {
        &mut self.entries[at]
    }

    /// Notes that an entry holds a lease of so many units.
    pub(crate) fn hold(&mut self, at: usize, units: u32, pool_ns: u64) {
        let entry = &mut self.entries[at];
        entry.left = units;
        entry.held = units;
        entry.leased_ns = pool_ns;
        if units > 0 && entry.listed == NO_LEASE {
            entry.listed = self.leases.len() as u32;
            self.leases.push(at as u32);
        } else if units == 0 && entry.listed != NO_LEASE {
            let place = entry.listed as usize;
            entry.listed = NO_LEASE;
            self.leases.swap_remove(place);
            if let Some(moved) = self.leases.get(place) {
                self.entries[*moved as usize].listed = place as u32;
            }
        }
    }

    /// Units of all leases.
    pub(crate) fn leased(&self) -> u64 {
        self.leases.iter().map(|at| u64::from(self.entries[*at as usize].held)).sum()
    }

    /// The entries with leases.
    pub(crate) fn leases(&self) -> &[u32] {
        &self.leases
    }
}
