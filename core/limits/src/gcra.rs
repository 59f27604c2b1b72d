//! The gcra bucket at the node pool: theoretical arrival time (TAT) in one word, tokens leased out in the other.
//!
//! Knows: one slot and the numbers of its limit. Must not: know keys, workers' caches or other limits.
//!
//! Follows the virtual scheduling algorithm of ITU-T I.371 annex A. A lease moves TAT at once, as if its tokens
//! were used. If nothing more were done, the bucket would refill while the lease is held and a burst could then
//! spend both; so a leased token keeps its place in the bucket until it is reported or returned: a decision
//! takes `max(TAT, now + leased x interval)` for TAT. Nothing is then ever admitted that one bucket would not
//! have admitted, whoever holds what.
//!
//! The two words need no common lock: `leased` goes up before TAT moves and down after it, and a decision reads
//! TAT first and swaps it last. What is in between is seen as leased too much, never too little.

use std::sync::atomic::Ordering;

use crate::{
    clock::TICK_SHIFT,
    limit::Rule,
    store::{Slot, Store},
    taking::{Ask, Short, Taken, Taking},
};

/// A TAT that no time reaches: the slot is being taken from its key.
pub(crate) const FROZEN: u64 = u64::MAX;

fn base(rule: &Rule, tat: u64, leased: u64, now: u64) -> u64 {
    tat.max(now.saturating_add(leased.saturating_mul(rule.interval_ticks))).max(rule.floor)
}

/// Units that a bucket has left at a moment.
pub(crate) fn room(rule: &Rule, tat: u64, leased: u64, pool_ns: u64) -> u64 {
    let now = pool_ns << TICK_SHIFT;
    match tat {
        FROZEN => rule.burst,
        _ => {
            let ceiling = now.saturating_add(rule.depth_ticks);
            tokens(rule, ceiling.saturating_sub(base(rule, tat, leased, now)))
        }
    }
}

/// Takes tokens, and leases more if there is plenty. One compare-and-swap; two more atomics when the lease grows
/// or shrinks. `now` is pool time in nanoseconds.
pub(crate) fn take(slot: Slot<'_>, rule: &Rule, pool_ns: u64, ask: Ask) -> Taking {
    let now = pool_ns << TICK_SHIFT;
    let cost = rule.cost_ticks(ask.amount);
    let least = cost.max(1);
    let ceiling = now.saturating_add(rule.depth_ticks);
    loop {
        let tat = slot.a().load(Ordering::Acquire);
        let leased = slot.b().load(Ordering::Acquire);
        if tat == FROZEN || !slot.is_ours() {
            return Taking::Gone;
        }
        let base = base(rule, tat, leased, now);
        if base.saturating_add(least) > ceiling && !ask.force {
            let room = tokens(rule, ceiling.saturating_sub(base));
            let wait = base.saturating_add(least) - ceiling;
            return Taking::Short(Short {
                wait_ns: wait.div_ceil(1 << TICK_SHIFT),
                remaining: room,
                used: rule.burst - room.min(rule.burst),
            });
        }
        let after = base.saturating_add(cost);
        let spare = tokens(rule, ceiling.saturating_sub(after));
        let lease = ask.lease_of(spare);
        if lease > ask.held {
            slot.b().fetch_add(u64::from(lease - ask.held), Ordering::AcqRel);
        }
        let target = (after + u64::from(lease) * rule.interval_ticks).min(FROZEN - 1);
        if slot.a().compare_exchange(tat, target, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let remaining = spare - u64::from(lease);
            let used_after = rule.burst - remaining.min(rule.burst);
            return Taking::Taken(Taken {
                index: 0,
                leased: lease,
                remaining,
                used_before: used_after.saturating_sub(ask.amount + u64::from(lease)),
                used_after,
            });
        }
        if lease > ask.held {
            Store::subtract(slot.b(), u64::from(lease - ask.held));
        }
    }
}

/// After [`take`], once the new lease is on record: lets go of what the old one had more.
pub(crate) fn shrink_lease(slot: Slot<'_>, held: u32, lease: u32) {
    if held > lease {
        Store::subtract(slot.b(), u64::from(held - lease));
    }
}

/// First step of giving a lease back: returns its unused tokens to the bucket and counts the used ones as used
/// now. The caller then clears its record and calls [`shrink_lease`].
pub(crate) fn return_lease(slot: Slot<'_>, interval_ticks: u64, pool_ns: u64, unused: u32) {
    let now = pool_ns << TICK_SHIFT;
    loop {
        let tat = slot.a().load(Ordering::Acquire);
        let leased = slot.b().load(Ordering::Acquire);
        if tat == FROZEN || !slot.is_ours() {
            return;
        }
        let base = tat.max(now.saturating_add(leased.saturating_mul(interval_ticks)));
        let target = base.saturating_sub(u64::from(unused) * interval_ticks);
        if slot.a().compare_exchange(tat, target, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return;
        }
    }
}

/// Gives back what a direct [`take`] took: the call was refused by another limit.
pub(crate) fn undo(slot: Slot<'_>, rule: &Rule, pool_ns: u64, amount: u64) {
    let now = pool_ns << TICK_SHIFT;
    let cost = rule.cost_ticks(amount);
    loop {
        let tat = slot.a().load(Ordering::Acquire);
        // A bucket that is full again owes nothing back, and may have changed hands.
        if tat == FROZEN || tat <= now || !slot.is_ours() {
            return;
        }
        let target = tat.saturating_sub(cost);
        if slot.a().compare_exchange(tat, target, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return;
        }
    }
}

/// Whole units in so many ticks.
fn tokens(rule: &Rule, ticks: u64) -> u64 {
    match rule.kind {
        crate::spec::Kind::Bytes(_) => {
            let per_ticks = u128::from(rule.per_ns) << TICK_SHIFT;
            (u128::from(ticks) * u128::from(rule.amount) / per_ticks) as u64
        }
        _ => ticks / rule.interval_ticks,
    }
}
