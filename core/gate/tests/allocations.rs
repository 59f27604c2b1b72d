//! A warm decision allocates nothing: counted, not believed.
#![allow(unsafe_code, reason = "a global allocator that counts can be written in no other way")]

mod fixture;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system allocator unchanged; counting touches a thread-local cell only, which
// needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` by the function above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the pointer came from `System` by the functions above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn a_warm_decision_allocates_nothing() {
    for mut worker in [fixture::Worker::new(100), fixture::Worker::plain()] {
        for _ in 0..100 {
            assert!(worker.decide());
        }
        let before = allocations();
        for _ in 0..10_000 {
            assert!(worker.decide());
        }
        assert_eq!(allocations() - before, 0, "{} routes", worker.snapshot().routes().len());
        let boxed = Box::new(allocations());
        assert_eq!(allocations() - before, 1, "the counter counts {boxed}");
    }
}
