//! A pick allocates nothing.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use penstock_balance::*;

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
fn picks_and_outcomes_allocate_nothing() {
    for policy in [Policy::RoundRobin, Policy::LeastRequest, Policy::Ewma, Policy::Hash] {
        let targets =
            (0..40).map(|id| TargetSpec { id: TargetId(id), weight: 1 + id as u16 % 3, backup: false });
        let mut spec = UpstreamSpec::new(targets.collect(), policy);
        spec.breaker = Some(BreakerSpec::default());
        spec.slow_start_ns = 1_000_000;
        let mut balancer = Balancer::new(&spec, 1).unwrap();
        let before = ALLOCATIONS.with(Cell::get);
        let mut ejected = 0;
        for n in 0..20_000u64 {
            if let Pick::Target(target) = balancer.pick(n * 1_000_000, Some(n), &TargetSet::EMPTY) {
                let attempt = balancer.started(target);
                let outcome = if target.id.0 % 7 == 0 { Outcome::Failure } else { Outcome::Success };
                ejected += u32::from(balancer.finished(n * 1_000_000, attempt, outcome, n).is_some());
            }
        }
        assert!(ejected > 0);
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{policy:?}");
    }
}
