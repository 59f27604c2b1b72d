//! Counters of fixed and calendar windows at the node pool: the window in one word, the count in the other.
//!
//! Knows: one slot and window indices. Must not: know what an index means.
//!
//! First word: index (48 bits) and an epoch (16 bits) that goes up with each new window. Second word: the epoch
//! its count (48 bits) belongs to, and the count. A count of another epoch than the first word's is zero. So a
//! new window is opened by one swap of the first word, and counting is one swap of the second, in which a slow
//! worker's late count still goes to the window it was decided in.

use std::sync::atomic::Ordering;

use crate::{
    limit::Rule,
    store::Slot,
    taking::{Ask, Short, Taken, Taking},
};

/// Bits of a count.
const COUNT_BITS: u32 = 48;
/// Greatest count; beyond it counting stops.
pub(crate) const COUNT_MAX: u64 = (1 << COUNT_BITS) - 2;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_BITS: u32 = 16;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
/// A count word that no counting reaches: the slot is being taken from its key.
pub(crate) const FROZEN: u64 = u64::MAX;

/// Index of the window a first word stands for.
#[inline]
pub(crate) fn index_of(a: u64) -> u64 {
    a >> EPOCH_BITS
}

/// The count a second word holds for a first word.
#[inline]
pub(crate) fn count_of(a: u64, b: u64) -> u64 {
    if b >> COUNT_BITS == a & EPOCH_MASK { b & COUNT_MASK } else { 0 }
}

/// The two words of a slot that begins with this count, told apart from what the slot held before.
pub(crate) fn begin(index: u64, count: u64, before_b: u64) -> (u64, u64) {
    let epoch = (before_b >> COUNT_BITS).wrapping_add(1) & EPOCH_MASK;
    (index << EPOCH_BITS | epoch, epoch << COUNT_BITS | count)
}

/// Counts in window `index`, or in the latest that anybody opened if that is later. One swap, two when the window
/// is new. `wait_ns` is the time to the end of the window.
pub(crate) fn take(slot: Slot<'_>, rule: &Rule, index: u64, wait_ns: u64, ask: Ask) -> Taking {
    loop {
        let mut a = slot.a().load(Ordering::Acquire);
        let b = slot.b().load(Ordering::Acquire);
        if b == FROZEN || !slot.is_ours() {
            return Taking::Gone;
        }
        if index > index_of(a) {
            let next = index << EPOCH_BITS | (a.wrapping_add(1) & EPOCH_MASK);
            if slot.a().compare_exchange(a, next, Ordering::AcqRel, Ordering::Acquire).is_err() {
                continue;
            }
            a = next;
        }
        let count = count_of(a, b);
        let closed = index_of(a) < rule.floor;
        let room = if closed { 0 } else { rule.amount.saturating_sub(count) };
        if room < ask.amount.max(1) && !ask.force {
            return Taking::Short(Short { wait_ns, remaining: room, used: count });
        }
        let spare = room.saturating_sub(ask.amount);
        let lease = ask.lease_of(spare);
        let after = count.saturating_add(ask.amount).saturating_add(u64::from(lease)).min(COUNT_MAX);
        let target = (a & EPOCH_MASK) << COUNT_BITS | after;
        if slot.b().compare_exchange(b, target, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Taking::Taken(Taken {
                leased: lease,
                remaining: spare - u64::from(lease),
                used_before: count,
                used_after: after,
            });
        }
    }
}

/// Gives units of window `index` back, if that window is still the current one.
pub(crate) fn give_back(slot: Slot<'_>, index: u64, amount: u64) {
    loop {
        let a = slot.a().load(Ordering::Acquire);
        let b = slot.b().load(Ordering::Acquire);
        let count = count_of(a, b);
        if b == FROZEN || index_of(a) != index || count == 0 || !slot.is_ours() {
            return;
        }
        let target = (a & EPOCH_MASK) << COUNT_BITS | count.saturating_sub(amount);
        if slot.b().compare_exchange(b, target, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return;
        }
    }
}
