//! Rolling windows of any amount at the node pool: a block of 60 sub-buckets of 54 bits, their sum, the current index
//! and what is reserved. For LLM tokens and money, whose amounts a [`crate::rolling`] block cannot hold exactly.
//!
//! Knows: one block. Must not: know keys.
//!
//! Counting is one swap of the sum (which decides) and one addition to the current sub-bucket; giving back is one swap
//! of the sub-bucket and one subtraction from the sum. Neither waits for anybody. Moving to a new sub-bucket, once per
//! 1/60 of the window and key, is done by one worker that marks the block as held; only who needs the move waits for it,
//! for at most [`SPINS_MAX`] turns. The sum is never less than the sub-buckets together: a worker that stops between two
//! stores makes it too large, not too small.
//!
//! A sub-bucket is tagged with the number of its turn round the block, so that a late giving back cannot take from a
//! later window.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    layout::WIDE_WORDS,
    limit::Rule,
    spec::ALERTS_MAX,
    store::Store,
    taking::{Ask, Short, Taken, Taking},
    window::COUNT_MAX,
};

/// Sub-buckets of a window.
const SUB_BUCKETS: u64 = crate::rolling::SUB_BUCKETS;
/// Turns to wait for a worker that moves the window.
const SPINS_MAX: u32 = 20_000;
/// Bits of an amount; the rest of a sub-bucket is its tag.
const AMOUNT_BITS: u32 = 54;
const AMOUNT_MASK: u64 = (1 << AMOUNT_BITS) - 1;
/// Set in the sum of a block that is on the free list or being put there.
const NOBODYS: u64 = 1 << 63;
/// Index of a block that begins: all its sub-buckets are of turn 0.
const FIRST_INDEX: u64 = SUB_BUCKETS - 1;

/// The word of marks: who moves the window (low), and above it which thresholds were told.
const HOLDER_MASK: u64 = (1 << TOLD_SHIFT) - 1;
const TOLD_SHIFT: u32 = 60;

/// A wide block of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wide<'a>(pub(crate) &'a [AtomicU64; WIDE_WORDS]);

impl Wide<'_> {
    fn sum(&self) -> &AtomicU64 {
        &self.0[0]
    }

    /// Index of the current sub-bucket; next free block while on the free list.
    #[inline]
    fn index(&self) -> &AtomicU64 {
        &self.0[1]
    }

    fn reserved(&self) -> &AtomicU64 {
        &self.0[2]
    }

    fn marks(&self) -> &AtomicU64 {
        &self.0[3]
    }

    fn sub_bucket(&self, index: u64) -> &AtomicU64 {
        &self.0[4 + (index % SUB_BUCKETS) as usize]
    }

    /// The word of an empty sub-bucket.
    fn empty(index: u64) -> u64 {
        (index / SUB_BUCKETS) << AMOUNT_BITS
    }

    /// Waits until the block is held by `holder`. False: somebody else does not let go.
    fn hold(&self, holder: u64) -> bool {
        for _ in 0..SPINS_MAX {
            if self.try_hold(holder) {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    fn try_hold(&self, holder: u64) -> bool {
        let marks = self.marks().load(Ordering::Acquire);
        marks & HOLDER_MASK == 0
            && self
                .marks()
                .compare_exchange(marks, marks | holder, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    fn let_go(&self, holder: u64) {
        free_holder(*self, |by| by == holder);
    }

    /// Moves the window to `index`, held: sub-buckets that fall out are emptied and taken from the sum.
    fn turn(&self, index: u64) {
        let current = self.index().load(Ordering::Acquire);
        for behind in 0..index.saturating_sub(current).min(SUB_BUCKETS) {
            let empty = Self::empty(index - behind);
            let expired = self.sub_bucket(index - behind).swap(empty, Ordering::AcqRel) & AMOUNT_MASK;
            Store::subtract(self.sum(), expired);
        }
        if index > current {
            self.index().store(index, Ordering::Release);
        }
    }

    /// Holds the block if it is (still) the key's: it stays so while it is held. Else what a decision is to answer.
    fn hold_ours(&self, holder: u64, is_ours: impl Fn() -> bool) -> Result<(), Taking> {
        if !self.hold(holder) {
            return Err(Taking::Busy);
        }
        if is_nobodys(*self) || !is_ours() {
            self.let_go(holder);
            return Err(Taking::Gone);
        }
        Ok(())
    }

    /// Moves the window to `index` for decisions under `rule`.
    fn advance(
        &self,
        is_ours: impl Fn() -> bool,
        rule: &Rule,
        holder: u64,
        index: u64,
    ) -> Result<(), Taking> {
        self.hold_ours(holder, is_ours)?;
        self.turn(index);
        let sum = self.sum().load(Ordering::Acquire);
        if sum == 0 {
            // Whatever is still reserved has left the window.
            self.reserved().store(0, Ordering::Release);
        }
        for place in 0..rule.alert_count {
            if sum < rule.alerts[usize::from(place)] / 2 {
                self.marks().fetch_and(!told(place), Ordering::AcqRel);
            }
        }
        self.let_go(holder);
        Ok(())
    }

    /// Units that are in the window that ends with sub-bucket `index`, of which the block may not know yet.
    fn sum_at(&self, index: u64) -> u64 {
        let current = self.index().load(Ordering::Acquire);
        let expired: u64 = (0..index.saturating_sub(current).min(SUB_BUCKETS))
            .map(|behind| self.units_in(index - behind))
            .fold(0, u64::saturating_add);
        (self.sum().load(Ordering::Acquire) & AMOUNT_MASK).saturating_sub(expired)
    }

    fn units_in(&self, index: u64) -> u64 {
        self.sub_bucket(index).load(Ordering::Acquire) & AMOUNT_MASK
    }

    /// Sub-buckets from `current` until `needed` units have fallen out of the window.
    fn wait_sub_buckets(&self, current: u64, needed: u64) -> u64 {
        let mut freed = 0u64;
        for step in 1..=SUB_BUCKETS {
            freed = freed.saturating_add(self.units_in(current + step));
            if freed >= needed {
                return step;
            }
        }
        SUB_BUCKETS
    }
}

/// The mark of a threshold that was told.
fn told(place: u8) -> u64 {
    const { assert!(TOLD_SHIFT as usize + ALERTS_MAX <= u64::BITS as usize) };
    1 << (TOLD_SHIFT + u32::from(place))
}

/// Counts in sub-bucket `index` (or the latest anybody moved to). `sub_end_ns`: nanoseconds to its end. `is_ours` tells
/// whether the block is still the key's.
pub(crate) fn take(
    block: Wide<'_>,
    is_ours: impl Fn() -> bool,
    rule: &Rule,
    holder: u64,
    index: u64,
    sub_end_ns: u64,
    ask: Ask,
) -> Taking {
    loop {
        let sum = block.sum().load(Ordering::Acquire);
        if sum & NOBODYS != 0 || !is_ours() {
            return Taking::Gone;
        }
        let current = block.index().load(Ordering::Acquire);
        if index > current {
            match block.advance(&is_ours, rule, holder, index) {
                Ok(()) => continue,
                Err(answer) => return answer,
            }
        }
        let closed = current < rule.floor;
        let room = if closed { 0 } else { rule.amount.saturating_sub(sum) };
        if room < ask.amount.max(1) && !ask.force {
            let steps = match closed {
                true => rule.floor - current,
                false => block.wait_sub_buckets(current, sum.saturating_add(ask.amount.max(1)) - rule.amount),
            };
            return Taking::Short(Short {
                wait_ns: sub_end_ns + (steps - 1) * rule.per_ns,
                remaining: room,
                used: sum,
            });
        }
        let units = ask.amount.min(COUNT_MAX.saturating_sub(sum));
        if block.sum().compare_exchange(sum, sum + units, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // If that sub-bucket has been emptied since, the units expire with a later one.
            block.sub_bucket(current).fetch_add(units, Ordering::AcqRel);
            if !is_ours() {
                return Taking::Gone;
            }
            return Taking::Taken(Taken {
                index: current,
                leased: 0,
                remaining: room.saturating_sub(units),
                used_before: sum,
                used_after: sum + units,
            });
        }
    }
}

/// Gives back what was counted in sub-bucket `index`; nothing if it has left the window.
pub(crate) fn give_back(block: Wide<'_>, index: u64, amount: u64) {
    let turn = Wide::empty(index);
    let taken = block.sub_bucket(index).fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
        let in_window = block.index().load(Ordering::Acquire) < index + SUB_BUCKETS;
        (in_window && word & !AMOUNT_MASK == turn).then(|| turn | (word & AMOUNT_MASK).saturating_sub(amount))
    });
    if let Ok(before) = taken {
        Store::subtract(block.sum(), amount.min(before & AMOUNT_MASK));
    }
}

/// Counts units of a sub-bucket of the past, beyond the limit too; `now` is the current one. False if it has left the
/// window, if the block is another key's by now, or if somebody holds it who does not go on.
pub(crate) fn add(
    block: Wide<'_>,
    is_ours: impl Fn() -> bool,
    rule: &Rule,
    holder: u64,
    index: u64,
    now: u64,
    amount: u64,
) -> bool {
    if now > block.index().load(Ordering::Acquire) && block.advance(&is_ours, rule, holder, now).is_err() {
        return false;
    }
    if block.hold_ours(holder, is_ours).is_err() {
        return false;
    }
    let in_window = block.index().load(Ordering::Acquire) < index + SUB_BUCKETS;
    if in_window {
        let before = block.sum().load(Ordering::Acquire) & AMOUNT_MASK;
        let units = amount.min(COUNT_MAX.saturating_sub(before));
        block.sum().fetch_add(units, Ordering::AcqRel);
        block.sub_bucket(index).fetch_add(units, Ordering::AcqRel);
    }
    block.let_go(holder);
    in_window
}

/// Notes that `amount` of the sum is reserved.
pub(crate) fn reserve(block: Wide<'_>, amount: u64) {
    block.reserved().fetch_add(amount, Ordering::AcqRel);
}

/// Notes that `amount` is settled.
pub(crate) fn unreserve(block: Wide<'_>, amount: u64) {
    Store::subtract(block.reserved(), amount);
}

/// Marks threshold `place` as told; true if it was not. The mark goes when use has fallen below half of it.
pub(crate) fn tell(block: Wide<'_>, place: u8) -> bool {
    block.marks().fetch_or(told(place), Ordering::AcqRel) & told(place) == 0
}

/// What stands in the window that ends with sub-bucket `index`: the sum, what of it is reserved, and in how many
/// sub-buckets from that one on the last of it has fallen out.
pub(crate) fn read(block: Wide<'_>, index: u64) -> (u64, u64, u64) {
    let sum = block.sum_at(index);
    let current = block.index().load(Ordering::Acquire).max(index);
    let last = (0..SUB_BUCKETS).find(|behind| {
        let at = current - behind;
        let word = block.sub_bucket(at).load(Ordering::Acquire);
        word & AMOUNT_MASK > 0 && word & !AMOUNT_MASK == Wide::empty(at)
    });
    let left = if sum == 0 { 0 } else { last.map_or(0, |behind| SUB_BUCKETS - behind) };
    (sum, block.reserved().load(Ordering::Acquire).min(sum), left)
}

/// Makes a block empty for a new key.
pub(crate) fn begin(block: Wide<'_>) {
    block.reserved().store(0, Ordering::Relaxed);
    // Who still looks at it for the key before holds it for that long.
    block.marks().fetch_and(HOLDER_MASK, Ordering::Relaxed);
    for sub_bucket in &block.0[4..] {
        sub_bucket.store(0, Ordering::Relaxed);
    }
    block.index().store(FIRST_INDEX, Ordering::Relaxed);
    block.sum().store(0, Ordering::Release);
}

/// Copies the counts of one block into a fresh one, which nobody else sees yet.
pub(crate) fn copy(from: Wide<'_>, to: Wide<'_>) {
    // The copy may come out larger than any moment's state, if others count meanwhile, never smaller.
    let index = from.index().load(Ordering::Acquire);
    let mut sum = 0u64;
    for behind in 0..SUB_BUCKETS {
        let at = index.wrapping_sub(behind);
        let units = from.units_in(at);
        to.sub_bucket(at).store(Wide::empty(at) | units, Ordering::Relaxed);
        sum = sum.saturating_add(units);
    }
    to.index().store(index, Ordering::Relaxed);
    to.sum().store(sum.min(COUNT_MAX), Ordering::Release);
}

/// Takes an idle block from its key: true if nothing is counted in it at `latest` and it is now nobody's.
pub(crate) fn freeze_idle(block: Wide<'_>, holder: u64, latest: u64) -> bool {
    let sum = block.sum().load(Ordering::Acquire);
    if sum & NOBODYS != 0 {
        return false;
    }
    if sum > 0 && block.index().load(Ordering::Acquire) + SUB_BUCKETS > latest {
        return false;
    }
    // Nobody may be moving the window of a block that is given away.
    if !block.try_hold(holder) {
        return false;
    }
    if sum > 0 {
        // Units on their way into a sub-bucket stay in the sum, so only an emptied block is idle.
        block.turn(latest);
    }
    let frozen = block.sum().compare_exchange(0, NOBODYS, Ordering::AcqRel, Ordering::Acquire).is_ok();
    block.let_go(holder);
    frozen
}

/// Makes a block nobody's, whatever it holds: for a list made anew.
pub(crate) fn free(block: Wide<'_>) {
    block.sum().store(NOBODYS, Ordering::Release);
}

/// After a crash with nobody else alive: frees the holder, makes the sum what the sub-buckets say; nothing is reserved
/// any more, it is spent.
pub(crate) fn repair(block: Wide<'_>) {
    free_holder(block, |_| true);
    let index = block.index().load(Ordering::Acquire);
    let units = (0..SUB_BUCKETS)
        .map(|behind| block.units_in(index.wrapping_sub(behind)))
        .fold(0, u64::saturating_add);
    block.sum().store(units.min(COUNT_MAX), Ordering::Release);
    block.reserved().store(0, Ordering::Release);
}

/// Frees a block that a dead worker holds. What it had emptied and not yet taken from the sum stays in the sum.
pub(crate) fn free_holder(block: Wide<'_>, is_dead: impl Fn(u64) -> bool) {
    // Nothing to do if it is free, or held by somebody who lives.
    let _ = block.marks().fetch_update(Ordering::AcqRel, Ordering::Acquire, |marks| {
        let holder = marks & HOLDER_MASK;
        (holder != 0 && is_dead(holder)).then_some(marks & !HOLDER_MASK)
    });
}

/// Whether the block is on the free list, or on its way there.
pub(crate) fn is_nobodys(block: Wide<'_>) -> bool {
    block.sum().load(Ordering::Acquire) & NOBODYS != 0
}
