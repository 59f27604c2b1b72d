//! A warm attempt allocates nothing, also where it moves on to the next segment.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{Folder, intent, settlement};
use penstock_ledger::{Journal, Options};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn attempts_allocate_nothing() {
    let folder = Folder::new("allocation");
    let options = Options { segment_bytes: 16 << 10, ..Options::default() };
    let (mut journal, mut keeper) = Journal::open(folder.path(), 0, options, 7).unwrap();
    let mut one = |call| {
        let entry = journal.intent(&intent(call)).unwrap();
        journal.settle(entry, &settlement(call));
    };
    one(0);
    let mut allocations = 0;
    for call in 1..1000 {
        let before = ALLOCATIONS.get();
        one(call);
        allocations += ALLOCATIONS.get() - before;
        keeper.prepare(8).unwrap();
    }
    assert!(keeper.segments().iter().filter(|segment| segment.is_ended()).count() > 5);
    assert_eq!(allocations, 0);
}
