//! The free lists of rolling and wide blocks: stacks of block numbers with a tag against reuse in between.
//!
//! Knows: header words and the blocks' index words. Must not: know whose block it is.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    layout::header,
    limit::Method,
    recovery,
    rolling::{self, Block, HOLDER_NOBODY},
    store::Store,
    wide::{self, Wide},
};

/// Which blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocks {
    Rolling,
    Wide,
}

impl Blocks {
    /// The blocks that a method counts in; none if it counts in the slot.
    pub(crate) fn of(method: Method) -> Option<Self> {
        match method {
            Method::Rolling => Some(Blocks::Rolling),
            Method::Wide => Some(Blocks::Wide),
            Method::Gcra | Method::Fixed | Method::Calendar | Method::Concurrent => None,
        }
    }

    /// How many there are.
    pub(crate) fn count(self, store: &Store) -> usize {
        match self {
            Blocks::Rolling => store.layout.blocks,
            Blocks::Wide => store.layout.wide,
        }
    }

    fn head(self, store: &Store) -> &AtomicU64 {
        store.header(match self {
            Blocks::Rolling => header::FREE_BLOCK,
            Blocks::Wide => header::FREE_WIDE,
        })
    }

    /// The word of a free block that names the next one.
    fn next(self, store: &Store, number: u32) -> &AtomicU64 {
        match self {
            Blocks::Rolling => &store.block(number)[1],
            Blocks::Wide => &store.wide(number)[1],
        }
    }

    /// Makes a block empty for a new key.
    pub(crate) fn begin(self, store: &Store, number: u32) {
        match self {
            Blocks::Rolling => rolling::begin(Block(store.block(number))),
            Blocks::Wide => wide::begin(Wide(store.wide(number))),
        }
    }

    /// Takes a block off the list; its sum word still says that it is nobody's.
    pub(crate) fn allocate(self, store: &Store) -> Option<u32> {
        let head = self.head(store);
        loop {
            let before = head.load(Ordering::Acquire);
            let number = (before as u32).checked_sub(1)?;
            let next = self.next(store, number).load(Ordering::Acquire);
            let after = next_tag(before) | (next & u64::from(u32::MAX));
            if head.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Some(number);
            }
        }
    }

    /// Puts a block that is nobody's on the list.
    pub(crate) fn free(self, store: &Store, number: u32) {
        let head = self.head(store);
        loop {
            let before = head.load(Ordering::Acquire);
            self.next(store, number).store(before & u64::from(u32::MAX), Ordering::Release);
            let after = next_tag(before) | (u64::from(number) + 1);
            if head.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    /// Makes the list anew from all blocks that no slot refers to. Only while nobody else uses the region.
    pub(crate) fn rebuild_free_list(self, store: &Store) {
        let mut used = vec![false; self.count(store)];
        for slot in 0..store.layout.slots() as u32 {
            if recovery::blocks_of(store, slot) == Some(self) {
                let number = store.slot(slot, None).a().load(Ordering::Acquire).wrapping_sub(1);
                if let Some(used) = used.get_mut(number as usize) {
                    *used = true;
                }
            }
        }
        self.head(store).store(0, Ordering::Release);
        for number in (0..used.len()).rev().filter(|number| !used[*number]) {
            let number = number as u32;
            match self {
                Blocks::Rolling => {
                    let sum = Block(store.block(number)).sum();
                    let epoch = sum.load(Ordering::Acquire) & !(HOLDER_NOBODY << 54) & !u64::from(u32::MAX);
                    sum.store(epoch | HOLDER_NOBODY << 54, Ordering::Release);
                }
                Blocks::Wide => wide::free(Wide(store.wide(number))),
            }
            self.free(store, number);
        }
    }
}

fn next_tag(head: u64) -> u64 {
    (head >> 32).wrapping_add(1) << 32
}
