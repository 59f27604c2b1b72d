//! Rolling windows at the node pool: a block of 60 sub-buckets of 32 bits, their sum and the current index.
//!
//! Knows: one block. Must not: know keys.
//!
//! Counting is one swap of the sum (which decides) and one addition to the current sub-bucket. Moving to a new
//! sub-bucket, once per 1/60 of the window and key, is done by one worker that marks the sum as held for the few
//! stores it takes; others wait for at most [`SPINS_MAX`] turns and then answer `Busy`. The sum is never less
//! than the sub-buckets together: a worker that stops between swap and addition makes it too large, not too small.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    layout::BLOCK_WORDS,
    limit::Rule,
    store::Slot,
    taking::{Ask, Short, Taken, Taking},
};

/// Sub-buckets of a window.
pub(crate) const SUB_BUCKETS: u64 = 60;
/// Greatest sum of a block, in its units.
pub(crate) const UNITS_MAX: u64 = u32::MAX as u64 - 1;
/// Turns to wait for a worker that moves the window.
const SPINS_MAX: u32 = 20_000;

/// The sum word: sum (32 bits), epoch (22 bits), holder (10 bits: seat + 1, or free, or no key's block).
const SUM_MASK: u64 = u32::MAX as u64;
const HOLDER_SHIFT: u32 = 54;
const EPOCH_ONE: u64 = 1 << 32;
const EPOCH_MASK: u64 = ((1 << 22) - 1) << 32;
/// Holder of a block that is on the free list or being put there.
pub(crate) const HOLDER_NOBODY: u64 = (1 << 10) - 1;

/// A block of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a>(pub(crate) &'a [AtomicU64; BLOCK_WORDS]);

/// Scale of an amount: its sum fits 32 bits in units of 2^shift.
pub(crate) fn shift_for(amount: u64) -> u8 {
    let mut shift = 0;
    while amount >> shift > UNITS_MAX {
        shift += 1;
    }
    shift
}

#[inline]
fn holder_of(sum: u64) -> u64 {
    sum >> HOLDER_SHIFT
}

impl<'a> Block<'a> {
    #[inline]
    pub(crate) fn sum(&self) -> &'a AtomicU64 {
        &self.0[0]
    }

    /// Index of the current sub-bucket; next free block while on the free list.
    #[inline]
    fn index(&self) -> &AtomicU64 {
        &self.0[1]
    }

    fn sub_bucket(index: u64) -> (usize, u32) {
        let at = (index % SUB_BUCKETS) as usize;
        (2 + at / 2, (at % 2) as u32 * 32)
    }

    fn add(&self, index: u64, units: u64) {
        let (word, shift) = Self::sub_bucket(index);
        self.0[word].fetch_add(units << shift, Ordering::AcqRel);
    }

    fn clear(&self, index: u64) -> u64 {
        let (word, shift) = Self::sub_bucket(index);
        (self.0[word].fetch_and(!(SUM_MASK << shift), Ordering::AcqRel) >> shift) & SUM_MASK
    }

    fn units_in(&self, index: u64) -> u64 {
        let (word, shift) = Self::sub_bucket(index);
        (self.0[word].load(Ordering::Acquire) >> shift) & SUM_MASK
    }

    /// Marks the block as held, if it is free and the slot still its key's; gives the sum word before.
    fn hold(&self, slot: Slot<'_>, holder: u64) -> Result<u64, Taking> {
        for _ in 0..SPINS_MAX {
            let sum = self.sum().load(Ordering::Acquire);
            if holder_of(sum) == HOLDER_NOBODY || !slot.is_ours() {
                return Err(Taking::Gone);
            }
            if holder_of(sum) == 0 {
                let held = sum | holder << HOLDER_SHIFT;
                if self.sum().compare_exchange(sum, held, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    return Ok(sum);
                }
            }
            std::hint::spin_loop();
        }
        Err(Taking::Busy)
    }

    /// Ends holding, with a new sum. Nobody else writes the word while it is held.
    fn let_go(&self, before: u64, sum: u64) {
        let epoch = before.wrapping_add(EPOCH_ONE) & EPOCH_MASK;
        self.sum().store(epoch | sum, Ordering::Release);
    }

    /// Moves the window to `index`: sub-buckets that fall out are cleared and taken from the sum.
    fn advance(&self, slot: Slot<'_>, holder: u64, index: u64) -> Result<(), Taking> {
        let before = self.hold(slot, holder)?;
        let current = self.index().load(Ordering::Acquire);
        let mut sum = before & SUM_MASK;
        if index > current {
            for expired in 0..(index - current).min(SUB_BUCKETS) {
                sum = sum.saturating_sub(self.clear(index - expired));
            }
            self.index().store(index, Ordering::Release);
        }
        self.let_go(before, sum);
        Ok(())
    }

    /// Sub-buckets from now until `needed` units have fallen out of the window.
    fn wait_sub_buckets(&self, current: u64, needed: u64) -> u64 {
        let mut freed = 0;
        for step in 1..=SUB_BUCKETS {
            freed += self.units_in(current + step);
            if freed >= needed {
                return step;
            }
        }
        SUB_BUCKETS
    }
}

/// Counts in sub-bucket `index` (or the latest anybody moved to). `sub_end_ns`: nanoseconds to its end.
pub(crate) fn take(
    slot: Slot<'_>,
    block: Block<'_>,
    rule: &Rule,
    holder: u64,
    index: u64,
    sub_end_ns: u64,
    ask: Ask,
) -> Taking {
    let units = ask.amount.div_ceil(1 << rule.shift).min(UNITS_MAX);
    let limit = rule.amount >> rule.shift;
    let mut spins = 0;
    loop {
        let sum_word = block.sum().load(Ordering::Acquire);
        if holder_of(sum_word) == HOLDER_NOBODY || !slot.is_ours() {
            return Taking::Gone;
        }
        if holder_of(sum_word) != 0 {
            spins += 1;
            if spins > SPINS_MAX {
                return Taking::Busy;
            }
            std::hint::spin_loop();
            continue;
        }
        let current = block.index().load(Ordering::Acquire);
        if index > current {
            match block.advance(slot, holder, index) {
                Ok(()) => continue,
                Err(answer) => return answer,
            }
        }
        let sum = sum_word & SUM_MASK;
        let closed = current < rule.floor;
        let room = if closed { 0 } else { limit.saturating_sub(sum) };
        if room < units.max(1) && !ask.force {
            let steps = match closed {
                true => rule.floor - current,
                false => block.wait_sub_buckets(current, (sum + units.max(1)).saturating_sub(limit)),
            };
            return Taking::Short(Short {
                wait_ns: sub_end_ns + (steps - 1) * rule.per_ns,
                remaining: room << rule.shift,
                used: sum << rule.shift,
            });
        }
        let units = units.min(UNITS_MAX - sum);
        let after = sum_word + units;
        if block.sum().compare_exchange(sum_word, after, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            block.add(current, units);
            return Taking::Taken(Taken {
                index: current,
                leased: 0,
                remaining: room.saturating_sub(units) << rule.shift,
                used_before: sum << rule.shift,
                used_after: (sum + units) << rule.shift,
            });
        }
    }
}

/// Gives back what was counted in sub-bucket `index` or, if that one had moved on by then, where it was counted;
/// nothing if it has left the window.
pub(crate) fn give_back(slot: Slot<'_>, block: Block<'_>, rule: &Rule, holder: u64, index: u64, amount: u64) {
    let Ok(before) = block.hold(slot, holder) else { return };
    let current = block.index().load(Ordering::Acquire);
    let mut sum = before & SUM_MASK;
    if current < index + SUB_BUCKETS {
        let units = amount.div_ceil(1 << rule.shift).min(block.units_in(index)).min(sum);
        let (word, shift) = Block::sub_bucket(index);
        block.0[word].fetch_sub(units << shift, Ordering::AcqRel);
        sum -= units;
    }
    block.let_go(before, sum);
}

/// What stands in the window that ends with sub-bucket `index`, in units of the block: the sum, and in how many
/// sub-buckets from that one on the last of it has fallen out.
pub(crate) fn read(block: Block<'_>, index: u64) -> (u64, u64) {
    let current = block.index().load(Ordering::Acquire);
    let index = index.max(current);
    let behind = index - current;
    let expired: u64 = (0..behind.min(SUB_BUCKETS)).map(|step| block.units_in(index - step)).sum();
    let sum = (block.sum().load(Ordering::Acquire) & SUM_MASK).saturating_sub(expired);
    let last = (behind..SUB_BUCKETS).find(|behind| block.units_in(index.wrapping_sub(*behind)) > 0);
    (sum, if sum == 0 { 0 } else { last.map_or(0, |behind| SUB_BUCKETS - behind) })
}

/// Makes a block empty for a new key.
pub(crate) fn begin(block: Block<'_>) {
    for half in &block.0[2..] {
        half.store(0, Ordering::Relaxed);
    }
    block.index().store(0, Ordering::Relaxed);
    let before = block.sum().load(Ordering::Relaxed);
    block.let_go(before, 0);
}

/// Copies the counts of one block into a fresh one.
pub(crate) fn copy(from: Block<'_>, to: Block<'_>) {
    // The copy may come out larger than any moment's state, if others count meanwhile, never smaller.
    to.index().store(from.index().load(Ordering::Acquire), Ordering::Relaxed);
    let mut sum = 0;
    for (word, source) in to.0[2..].iter().zip(&from.0[2..]) {
        let halves = source.load(Ordering::Acquire);
        sum += (halves & SUM_MASK) + (halves >> 32);
        word.store(halves, Ordering::Relaxed);
    }
    let before = to.sum().load(Ordering::Relaxed);
    to.let_go(before, sum.min(UNITS_MAX));
}

/// Takes an idle block from its key: true if it was idle at `latest` and is now nobody's.
pub(crate) fn freeze_idle(block: Block<'_>, latest: u64) -> bool {
    let sum = block.sum().load(Ordering::Acquire);
    let idle = sum & SUM_MASK == 0 || block.index().load(Ordering::Acquire) + SUB_BUCKETS <= latest;
    let frozen = (sum.wrapping_add(EPOCH_ONE) & EPOCH_MASK) | HOLDER_NOBODY << HOLDER_SHIFT;
    idle && holder_of(sum) == 0
        && block.sum().compare_exchange(sum, frozen, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// After a crash with nobody else alive: frees the holder and makes the sum what the sub-buckets say.
pub(crate) fn repair(block: Block<'_>) {
    let mut sum = 0;
    for word in &block.0[2..] {
        let halves = word.load(Ordering::Acquire);
        sum += (halves & SUM_MASK) + (halves >> 32);
    }
    let before = block.sum().load(Ordering::Acquire);
    block.let_go(before, sum.min(UNITS_MAX));
}

/// Frees a block that a dead worker holds. It may have been stopped while it cleared sub-buckets, so the sum may
/// be too large until they fall out, never too small.
pub(crate) fn free_holder(block: Block<'_>, holder: u64) {
    let before = block.sum().load(Ordering::Acquire);
    if holder_of(before) == holder {
        block.let_go(before, before & SUM_MASK);
    }
}

/// Whether the block is on the free list, or on its way there.
pub(crate) fn is_nobodys(block: Block<'_>) -> bool {
    holder_of(block.sum().load(Ordering::Acquire)) == HOLDER_NOBODY
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        layout::SLOT_WORDS,
        spec::{Algorithm, Kind, LimitSpec, Window},
    };

    struct Fixture {
        words: [AtomicU64; BLOCK_WORDS],
        slot: [AtomicU64; SLOT_WORDS],
        rule: Rule,
    }

    impl Fixture {
        fn new(amount: u64) -> Self {
            let per = Window::Duration(Duration::from_secs(60));
            let spec = LimitSpec::new(1, "rolling", Kind::Requests, amount, per);
            let rule = Rule::compile(&LimitSpec { algorithm: Some(Algorithm::Rolling), ..spec }).unwrap();
            let fixture =
                Self { words: [const { AtomicU64::new(0) }; BLOCK_WORDS], slot: Default::default(), rule };
            begin(fixture.block());
            fixture
        }

        fn block(&self) -> Block<'_> {
            Block(&self.words)
        }

        fn slot(&self) -> Slot<'_> {
            Slot { words: &self.slot, expect: None }
        }

        fn take(&self, index: u64, amount: u64) -> Taking {
            take(self.slot(), self.block(), &self.rule, 1, index, 0, Ask::of(amount))
        }

        fn sum(&self) -> u64 {
            self.words[0].load(Ordering::Relaxed) & SUM_MASK
        }
    }

    #[test]
    fn what_falls_out_of_the_window_leaves_the_sum() {
        let fixture = Fixture::new(1000);
        for index in 100..400 {
            assert!(matches!(fixture.take(index, index % 7), Taking::Taken(_)));
            let expected: u64 = (100.max(index - 59)..=index).map(|index| index % 7).sum();
            assert_eq!(fixture.sum(), expected, "at {index}");
        }
        assert!(matches!(fixture.take(5000, 1000), Taking::Taken(_)));
        assert!(matches!(fixture.take(4000, 1), Taking::Short(_)), "an earlier index is the latest");
    }

    #[test]
    fn a_worker_stopped_in_the_middle_makes_others_answer_busy_until_it_is_reclaimed() {
        let fixture = Fixture::new(10);
        assert!(matches!(fixture.take(5, 3), Taking::Taken(_)));
        assert!(fixture.block().hold(fixture.slot(), 7).is_ok());
        assert_eq!(fixture.take(5, 1), Taking::Busy);
        assert_eq!(fixture.take(9, 1), Taking::Busy);
        free_holder(fixture.block(), 8);
        assert_eq!(fixture.take(5, 1), Taking::Busy, "another worker's seat frees nothing");
        free_holder(fixture.block(), 7);
        assert!(matches!(fixture.take(9, 7), Taking::Taken(_)));
        assert!(matches!(fixture.take(9, 1), Taking::Short(_)));
    }

    #[test]
    fn a_late_addition_expires_later_and_the_sum_is_never_too_small() {
        let fixture = Fixture::new(10);
        // A worker decided in sub-bucket 5 and was stopped before its addition.
        fixture.words[0].fetch_add(4, Ordering::Relaxed);
        assert!(matches!(fixture.take(6, 1), Taking::Taken(_)));
        assert!(matches!(fixture.take(70, 1), Taking::Taken(_)));
        assert_eq!(fixture.sum(), 5, "still counted");
        fixture.block().add(5, 4);
        assert!(matches!(fixture.take(200, 1), Taking::Taken(_)));
        assert_eq!(fixture.sum(), 1);
    }
}
