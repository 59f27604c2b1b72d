//! Counters from outside a decision: how a key stands, and what a ledger knows better.
//!
//! Knows: slots and blocks. Must not: decide about a call, or change a counter by reading it.

use std::sync::atomic::Ordering;

use crate::{
    clock::{Now, SECOND_NS, TICK_SHIFT},
    concurrent, gcra,
    key::Key,
    limit::{Limit, Method},
    pool::NodePool,
    recovery::{block_of, control_holder, is_of, wide_of},
    rolling,
    shard::LOOKUPS_MAX,
    store::Slot,
    taking::{Ask, Taking},
    wide, window,
};

/// How a key stands with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Units used in the window, what is leased to workers included. It may be more than the limit.
    pub used: u64,
    /// Units of tokens or money that calls under way have reserved besides; those of a worker that died until its window
    /// is over or the process starts anew.
    pub reserved: u64,
    /// Units left.
    pub remaining: u64,
    /// Units of the whole: the amount; the bucket's depth for gcra.
    pub limit: u64,
    /// Nanoseconds until nothing is used if nobody uses more; 0 for concurrent, and when nothing is used.
    pub reset_ns: u64,
    /// Length of the window in nanoseconds; 0 for concurrent.
    pub window_ns: u64,
}

/// A correction of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booking {
    /// Units that were used and are not counted.
    Add(u64),
    /// Units that are counted and were not used.
    Subtract(u64),
}

impl NodePool {
    /// How a key stands with a limit. Takes nothing, gives no key a place and moves no window; costs a look-up, for
    /// rolling limits of tokens and money 60 words more.
    pub fn usage(&self, now: Now, limit: &Limit, key: Key) -> Usage {
        let rule = &limit.rule;
        let pool_ns = self.clock.pool_ns(now);
        let number = match key {
            Key::OWNER => self.store.layout.owner_slot(rule.ordinal),
            // A key without a place begins where the shared bucket stands.
            _ => self
                .lookup(key.words(rule.ordinal))
                .unwrap_or_else(|| self.store.layout.overflow_slot(rule.ordinal)),
        };
        let slot = self.store.slot(number, None);
        let (index, end_ns, window_ns) = self.window_of(limit, pool_ns, now.wall_ns);
        let of_clock = if rule.method == Method::Calendar { now.wall_ns } else { pool_ns };
        let left_ns = end_ns.saturating_sub(of_clock);
        // After a power cut; a bucket's floor is a time and is looked at with the bucket.
        let closed = rule.method != Method::Gcra && index < rule.floor;
        let (sum, reserved, reset_ns) = match rule.method {
            Method::Gcra => {
                let (tat, leased) = (slot.a().load(Ordering::Acquire), slot.b().load(Ordering::Acquire));
                let room = gcra::room(rule, tat, leased, pool_ns);
                let full = (tat >> TICK_SHIFT).saturating_sub(pool_ns);
                (rule.burst - room.min(rule.burst), 0, full)
            }
            Method::Fixed | Method::Calendar => {
                let a = slot.a().load(Ordering::Acquire);
                let b = slot.b().load(Ordering::Acquire);
                let current = window::index_of(a) >= index;
                let count = if current && !window::is_frozen(b) { window::count_of(a, b) } else { 0 };
                let reserved = window::count_of(a, self.store.reserved(number).load(Ordering::Acquire));
                (count, reserved.min(count), if count == 0 { 0 } else { left_ns })
            }
            Method::Rolling => {
                let (sum, steps) =
                    block_of(&self.store, slot).map_or((0, 0), |block| rolling::read(block, index));
                (sum << rule.shift, 0, reset_of(steps, left_ns, rule.per_ns))
            }
            Method::Wide => {
                let (sum, reserved, steps) =
                    wide_of(&self.store, slot).map_or((0, 0, 0), |(_, block)| wide::read(block, index));
                (sum, reserved, reset_of(steps, left_ns, rule.per_ns))
            }
            Method::Concurrent => (concurrent::count_of(slot.a().load(Ordering::Acquire)), 0, 0),
        };
        Usage {
            used: sum - reserved,
            reserved,
            remaining: if closed { 0 } else { rule.burst.saturating_sub(sum) },
            limit: rule.burst,
            reset_ns,
            window_ns,
        }
    }

    /// Corrects what is counted of tokens or money: use that a ledger knows and the counter does not, or the other way
    /// round. `at_wall_ns` says when it was used (nanoseconds since 1970); the wall clock is taken to have gone evenly
    /// since. Counts beyond the limit too; below zero it stops. False: that window is over and nothing is counted there
    /// any more, or the limit counts something else. For control threads.
    pub fn book(&self, now: Now, limit: &Limit, key: Key, at_wall_ns: u64, booking: Booking) -> bool {
        let rule = &limit.rule;
        if !rule.kind.reserves() {
            return false;
        }
        let pool_ns = self.clock.pool_ns(now);
        let at_wall_ns = at_wall_ns.min(now.wall_ns);
        let (current, ..) = self.window_of(limit, pool_ns, now.wall_ns);
        let index = match rule.method {
            Method::Calendar => self.window_of(limit, pool_ns, at_wall_ns).0,
            _ => self.clock.window_before(pool_ns, now.wall_ns - at_wall_ns, rule.per_ns),
        };
        if rule.method == Method::Calendar && at_wall_ns / SECOND_NS < index {
            // Before the first window that the limit knows, which stands for all that came before.
            return false;
        }
        let holder = control_holder(self.run);
        let keys = key.words(rule.ordinal);
        for _ in 0..LOOKUPS_MAX {
            let found = self.find(rule, key, keys, pool_ns, holder);
            let expect = (!found.overflow && key != Key::OWNER).then_some(keys);
            let slot = self.store.slot(found.slot, expect);
            let booked = match rule.method {
                Method::Wide => self.book_rolling(slot, limit, holder, index, current, booking),
                _ => self.book_window(slot, limit, index, current, booking),
            };
            if let Some(number) = found.locked {
                self.unlock(number);
            }
            if slot.is_ours() {
                return booked;
            }
        }
        false
    }

    fn book_window(&self, slot: Slot<'_>, limit: &Limit, index: u64, current: u64, booking: Booking) -> bool {
        if index < current.max(window::index_of(slot.a().load(Ordering::Acquire))) {
            return false;
        }
        match booking {
            Booking::Add(amount) => {
                let ask = Ask { force: true, ..Ask::of(amount) };
                matches!(window::take(slot, &limit.rule, index, 0, ask), Taking::Taken(_))
            }
            Booking::Subtract(amount) => {
                window::give_back(slot, index, amount);
                true
            }
        }
    }

    fn book_rolling(
        &self,
        slot: Slot<'_>,
        limit: &Limit,
        holder: u64,
        index: u64,
        current: u64,
        booking: Booking,
    ) -> bool {
        let Some((number, block)) = wide_of(&self.store, slot) else { return false };
        match booking {
            Booking::Add(amount) => {
                let is_ours = || slot.is_ours() && is_of(slot, number);
                wide::add(block, is_ours, &limit.rule, holder, index, current, amount)
            }
            Booking::Subtract(amount) => {
                let in_window = current < index + rolling::SUB_BUCKETS;
                if in_window {
                    wide::give_back(block, index, amount);
                }
                in_window
            }
        }
    }

    /// Index of the window (rolling: sub-bucket) at a moment, its end on the clock of its kind, and the length of the
    /// whole window.
    fn window_of(&self, limit: &Limit, pool_ns: u64, wall_ns: u64) -> (u64, u64, u64) {
        let rule = &limit.rule;
        match (rule.method, &limit.calendar) {
            (Method::Calendar, Some(calendar)) => {
                let window = calendar.window_at(wall_ns);
                (window.index, window.end_ns, window.length_ns)
            }
            (Method::Fixed | Method::Rolling | Method::Wide, _) => {
                let (index, end_ns) = self.clock.window(pool_ns, rule.per_ns);
                (index, end_ns, limit.window_ns())
            }
            _ => (0, 0, limit.window_ns()),
        }
    }
}

/// When a rolling window is empty whose last use leaves it in so many sub-buckets.
fn reset_of(steps: u64, sub_left_ns: u64, sub_ns: u64) -> u64 {
    if steps == 0 { 0 } else { sub_left_ns + (steps - 1) * sub_ns }
}
