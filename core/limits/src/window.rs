//! Counters of fixed and calendar windows at the node pool: the window in one word, the count in the other.
//!
//! Knows: one slot and window indices. Must not: know what an index means.
//!
//! First word: index (50 bits), marks of the thresholds that were told (4 bits) and an epoch (10 bits) that goes up
//! with each new window and each new key. Second word: the epoch its count (54 bits) belongs to, and the count. A
//! count of another epoch than the first word's is zero. So a new window is opened by one swap of the first word, and
//! counting is one swap of the second, in which a slow worker's late count still goes to the window it was decided in.
//! The word of what is reserved has the form of the second.
//!
//! Epochs come round, so a count is looked at once more after its swap: if the slot is another key's by then, the key
//! is counted anew in its own place, and what the other key got too much ends with its window.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    limit::Rule,
    spec::ALERTS_MAX,
    store::Slot,
    taking::{Ask, Short, Taken, Taking},
};

/// Bits of a count: 18 million dollars in nano-dollars.
const COUNT_BITS: u32 = 54;
/// Greatest count; beyond it counting stops.
pub(crate) const COUNT_MAX: u64 = (1 << COUNT_BITS) - 2;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_BITS: u32 = 64 - COUNT_BITS;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
const TOLD_SHIFT: u32 = EPOCH_BITS;
const INDEX_SHIFT: u32 = EPOCH_BITS + ALERTS_MAX as u32;

/// Whether a second word is one that no counting reaches: the slot is being taken from its key.
#[inline]
pub(crate) fn is_frozen(b: u64) -> bool {
    b & COUNT_MASK == COUNT_MASK
}

/// A second word as it is while the slot is being taken from its key.
pub(crate) fn frozen(b: u64) -> u64 {
    b | COUNT_MASK
}

/// Index of the window a first word stands for.
#[inline]
pub(crate) fn index_of(a: u64) -> u64 {
    a >> INDEX_SHIFT
}

/// The count a second word holds for a first word.
#[inline]
pub(crate) fn count_of(a: u64, b: u64) -> u64 {
    if b >> COUNT_BITS == a & EPOCH_MASK { b & COUNT_MASK } else { 0 }
}

/// The two words of a slot that begins with this count, told apart from what the slot held before.
pub(crate) fn begin(index: u64, count: u64, before_b: u64) -> (u64, u64) {
    let epoch = (before_b >> COUNT_BITS).wrapping_add(1) & EPOCH_MASK;
    (index << INDEX_SHIFT | epoch, epoch << COUNT_BITS | count)
}

/// Counts in window `index`, or in the latest that anybody opened if that is later. One swap, two when the window
/// is new. `wait_ns` is the time to the end of the window.
pub(crate) fn take(slot: Slot<'_>, rule: &Rule, index: u64, wait_ns: u64, ask: Ask) -> Taking {
    loop {
        let mut a = slot.a().load(Ordering::Acquire);
        let b = slot.b().load(Ordering::Acquire);
        if is_frozen(b) || !slot.is_ours() {
            return Taking::Gone;
        }
        if index > index_of(a) {
            let next = index << INDEX_SHIFT | (a.wrapping_add(1) & EPOCH_MASK);
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
            if !slot.is_ours() {
                return Taking::Gone;
            }
            return Taking::Taken(Taken {
                index: index_of(a),
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
        if is_frozen(b) || index_of(a) != index || count == 0 || !slot.is_ours() {
            return;
        }
        let target = (a & EPOCH_MASK) << COUNT_BITS | count.saturating_sub(amount);
        if slot.b().compare_exchange(b, target, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return;
        }
    }
}

/// Notes in the slot's word of what is reserved that `amount` units more are, of window `index`.
pub(crate) fn reserve(slot: Slot<'_>, reserved: &AtomicU64, index: u64, amount: u64) {
    change_reserved(slot, reserved, index, |before| before.saturating_add(amount).min(COUNT_MAX));
}

/// Notes that `amount` units of window `index` are settled.
pub(crate) fn unreserve(slot: Slot<'_>, reserved: &AtomicU64, index: u64, amount: u64) {
    change_reserved(slot, reserved, index, |before| before.saturating_sub(amount));
}

fn change_reserved(slot: Slot<'_>, reserved: &AtomicU64, index: u64, change: impl Fn(u64) -> u64) {
    let a = slot.a().load(Ordering::Acquire);
    if index_of(a) != index {
        return;
    }
    // For people to read: a window that turns in between makes it a word of an epoch that is past.
    let _ = reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
        Some((a & EPOCH_MASK) << COUNT_BITS | change(count_of(a, word)))
    });
}

/// Marks threshold `place` as told in the current window; true if it was not.
pub(crate) fn tell(slot: Slot<'_>, place: u8) -> bool {
    let mark = 1 << (TOLD_SHIFT + u32::from(place));
    slot.a().fetch_or(mark, Ordering::AcqRel) & mark == 0
}
