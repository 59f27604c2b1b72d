//! Calls at the same time, counted at the node pool: one swap to enter, one subtraction to leave.
//!
//! Knows: one slot. Must not: know who holds the permits (the seats' records do).
//!
//! The word holds the count (32 bits) and an epoch (32 bits) that changes when the slot changes hands.

use std::sync::atomic::Ordering;

use crate::{
    limit::Rule,
    store::Slot,
    taking::{Ask, Short, Taken, Taking},
};

/// A word that no count reaches: the slot is being taken from its key.
pub(crate) const FROZEN: u64 = u64::MAX;
const COUNT_MASK: u64 = u32::MAX as u64;

/// Calls that a word counts.
#[inline]
pub(crate) fn count_of(a: u64) -> u64 {
    a & COUNT_MASK
}

/// The word of a slot that begins empty, told apart from what it held before.
pub(crate) fn begin(before_a: u64) -> u64 {
    ((before_a >> 32).wrapping_add(1) & (COUNT_MASK >> 1)) << 32
}

/// One more call.
pub(crate) fn take(slot: Slot<'_>, rule: &Rule, ask: Ask) -> Taking {
    loop {
        let a = slot.a().load(Ordering::Acquire);
        if a == FROZEN || !slot.is_ours() {
            return Taking::Gone;
        }
        let count = count_of(a);
        let full = count >= rule.amount && !ask.force;
        if full || count >= COUNT_MASK - 1 {
            return Taking::Short(Short { wait_ns: 0, remaining: 0, used: count });
        }
        if slot.a().compare_exchange(a, a + 1, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Taking::Taken(Taken {
                index: 0,
                leased: 0,
                remaining: rule.amount.saturating_sub(count + 1),
                used_before: count,
                used_after: count + 1,
            });
        }
    }
}

/// One call less. Only for who entered and is still on record: then the count is not zero and the slot is ours.
pub(crate) fn release(slot: Slot<'_>) {
    let released = slot.a().fetch_update(Ordering::AcqRel, Ordering::Acquire, |a| {
        (a != FROZEN && count_of(a) > 0).then(|| a - 1)
    });
    debug_assert!(released.is_ok(), "a permit on record is counted");
}
