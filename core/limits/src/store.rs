//! Typed access to the region's words: slots, directory entries, seats, blocks.
//!
//! Knows: the layout. Must not: decide anything.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    key::KeyWords,
    layout::{BLOCK_WORDS, Layout, SLOT_WORDS, WIDE_WORDS},
    region::Region,
};

/// A region with its layout.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) region: Region,
    pub(crate) layout: Layout,
}

/// One slot of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a> {
    pub(crate) words: &'a [AtomicU64; SLOT_WORDS],
    /// The key that must stand in it; none for a slot that never changes hands.
    pub(crate) expect: Option<KeyWords>,
}

impl<'a> Slot<'a> {
    /// First state word: TAT (gcra), window (fixed, calendar), block + 1 (rolling, wide), count (concurrent).
    #[inline]
    pub(crate) fn a(&self) -> &'a AtomicU64 {
        &self.words[2]
    }

    /// Second state word: tokens leased out (gcra), count (fixed, calendar).
    #[inline]
    pub(crate) fn b(&self) -> &'a AtomicU64 {
        &self.words[3]
    }

    /// Whether the slot still holds the key it was looked up for. Load the state first, then ask this, then
    /// compare-and-swap the state: a slot that changed hands in between fails the swap.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        match self.expect {
            None => true,
            Some(key) => {
                self.words[0].load(Ordering::Acquire) == key.first
                    && self.words[1].load(Ordering::Acquire) == key.second
            }
        }
    }
}

impl Store {
    #[inline]
    pub(crate) fn word(&self, at: usize) -> &AtomicU64 {
        &self.region.words()[at]
    }

    #[inline]
    pub(crate) fn header(&self, field: usize) -> &AtomicU64 {
        self.word(field)
    }

    #[inline]
    pub(crate) fn entry(&self, ordinal: u32, field: usize) -> &AtomicU64 {
        self.word(self.layout.entry(ordinal) + field)
    }

    #[inline]
    pub(crate) fn seat(&self, seat: u32, field: usize) -> &AtomicU64 {
        self.word(self.layout.seat(seat) + field)
    }

    #[inline]
    pub(crate) fn slot(&self, slot: u32, expect: Option<KeyWords>) -> Slot<'_> {
        let at = self.layout.slot(slot);
        Slot { words: self.chunk(at), expect }
    }

    #[inline]
    pub(crate) fn block(&self, block: u32) -> &[AtomicU64; BLOCK_WORDS] {
        self.chunk(self.layout.block(block))
    }

    #[inline]
    pub(crate) fn wide(&self, block: u32) -> &[AtomicU64; WIDE_WORDS] {
        self.chunk(self.layout.wide(block))
    }

    /// How much of a slot's count is reserved and not yet settled.
    #[inline]
    pub(crate) fn reserved(&self, slot: u32) -> &AtomicU64 {
        self.word(self.layout.reserved(slot))
    }

    #[inline]
    fn chunk<const N: usize>(&self, at: usize) -> &[AtomicU64; N] {
        match self.region.words()[at..].first_chunk() {
            Some(chunk) => chunk,
            None => unreachable!("the region is as long as its layout says"),
        }
    }

    /// Subtracts, stopping at zero, and returns the value before.
    pub(crate) fn subtract(word: &AtomicU64, amount: u64) -> u64 {
        match word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |v| Some(v.saturating_sub(amount))) {
            Ok(before) | Err(before) => before,
        }
    }
}
