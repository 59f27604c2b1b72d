//! The free list of rolling blocks: a stack of block numbers with a tag against reuse in between.
//!
//! Knows: header word and the blocks' index words. Must not: know whose block it is.

use std::sync::atomic::Ordering;

use crate::{
    layout::header,
    rolling::{Block, HOLDER_NOBODY},
    store::Store,
};

fn next_tag(head: u64) -> u64 {
    (head >> 32).wrapping_add(1) << 32
}

/// Takes a block off the list; its sum word still says that it is nobody's.
pub(crate) fn allocate(store: &Store) -> Option<u32> {
    let head = store.header(header::FREE_BLOCK);
    loop {
        let before = head.load(Ordering::Acquire);
        let number = (before as u32).checked_sub(1)?;
        let next = Block(store.block(number)).index().load(Ordering::Acquire);
        let after = next_tag(before) | (next & u64::from(u32::MAX));
        if head.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Some(number);
        }
    }
}

/// Puts a block that is nobody's on the list.
pub(crate) fn free(store: &Store, number: u32) {
    let head = store.header(header::FREE_BLOCK);
    loop {
        let before = head.load(Ordering::Acquire);
        Block(store.block(number)).index().store(before & u64::from(u32::MAX), Ordering::Release);
        let after = next_tag(before) | (u64::from(number) + 1);
        if head.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return;
        }
    }
}

/// Makes the list anew from all blocks that no slot refers to. Only while nobody else uses the region.
pub(crate) fn rebuild_free_list(store: &Store) {
    let mut used = vec![false; store.layout.blocks];
    for slot in 0..store.layout.slots() as u32 {
        if crate::recovery::is_rolling(store, slot) {
            let number = store.slot(slot, None).a().load(Ordering::Acquire).wrapping_sub(1);
            if let Some(used) = used.get_mut(number as usize) {
                *used = true;
            }
        }
    }
    store.header(header::FREE_BLOCK).store(0, Ordering::Release);
    for number in (0..store.layout.blocks).rev().filter(|number| !used[*number]) {
        let block = Block(store.block(number as u32));
        let epoch = block.sum().load(Ordering::Acquire) & !(HOLDER_NOBODY << 54) & !u64::from(u32::MAX);
        block.sum().store(epoch | HOLDER_NOBODY << 54, Ordering::Release);
        free(store, number as u32);
    }
}
