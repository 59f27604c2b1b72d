//! A warm decision allocates nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
    time::Duration,
};

use penstock_limits::*;

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
fn reserving_settling_and_reading_allocate_nothing_once_a_worker_knows_the_limits() {
    let config = NodeConfig { keys_max: 1000, wide_keys_max: 100, ..NodeConfig::new(1, 1) };
    let at = |ns: u64| Now { mono_ns: ns, wall_ns: 1_797_582_400_000_000_000 + ns };
    let pool = Arc::new(NodePool::open(Region::memory(config.region_words()), &config, at(0), &[]).unwrap());
    let zone = time_zone("UTC").unwrap();
    let hours = CalendarWindows::compute(CalendarUnit::Hour, &zone, "UTC", 1_797_582_400).unwrap();
    let per = Window::Duration(Duration::from_secs(1));
    let spec = |owner, kind, window| LimitSpec {
        alert_at: vec![50, 100],
        ..LimitSpec::new(owner, "limit", kind, 100_000, window)
    };
    let limits = [
        spec(1, Kind::Usd, per.clone()),
        spec(2, Kind::Tokens(TokenKind::Both), Window::Calendar(hours)),
        LimitSpec { algorithm: Some(Algorithm::Fixed), ..spec(3, Kind::Tokens(TokenKind::Input), per) },
    ]
    .map(|spec| pool.register(&spec).unwrap());
    let mut shard = Shard::new(pool).unwrap();
    let mut permits = Permits::new();
    let (mut admitted, mut refused, mut over) = (0, 0, 0);
    let mut attempt = |call: u64| {
        let now = at(call * 300_000);
        let key = Key(1 + u128::from(call % 50));
        let applied = [0, 1, 2].map(|place: usize| Applied { limit: &limits[place], key, amount: 900 });
        for number in 0..3 {
            match shard.reserve(now, number, &applied, &mut permits) {
                Verdict::Admitted(_) => admitted += 1,
                Verdict::Refused(_) => refused += 1,
            }
        }
        assert_eq!(shard.usage(now, &limits[0], key).limit, 100_000);
        for number in 0..3 {
            let used = Spend { input_tokens: 10 * (call % 100), output_tokens: 20, usd_nano: 890 };
            let settled = shard.settle_attempt(now, number, &mut permits, used);
            over += u64::from(settled.over_reservation);
        }
        shard.tick(now);
        shard.take_alerts(|_| ());
    };
    (0..50).for_each(&mut attempt);
    let before = ALLOCATIONS.with(Cell::get);
    (50..20_000).for_each(&mut attempt);
    let after = ALLOCATIONS.with(Cell::get);
    assert!(admitted > 1000 && refused > 1000 && over > 100, "{admitted} {refused} {over}");
    assert_eq!(after - before, 0);
}

#[test]
fn decisions_settling_and_header_values_allocate_nothing() {
    let config = NodeConfig { keys_max: 1000, rolling_keys_max: 100, ..NodeConfig::new(1, 1) };
    let at = |ns: u64| Now { mono_ns: ns, wall_ns: 1_797_582_400_000_000_000 + ns };
    let pool = Arc::new(NodePool::open(Region::memory(config.region_words()), &config, at(0), &[]).unwrap());
    let per = Window::Duration(Duration::from_secs(1));
    let spec = |owner, kind, amount, window| LimitSpec::new(owner, "limit", kind, amount, window);
    let mut specs = vec![
        spec(1, Kind::Requests, 100_000, per.clone()),
        spec(2, Kind::Requests, 5_000, per.clone()),
        spec(3, Kind::Bytes(Direction::Both), 1_000_000, per.clone()),
        spec(4, Kind::Concurrent, 10, Window::None),
    ];
    specs[1].alert_at = vec![1, 50];
    specs.push(LimitSpec {
        algorithm: Some(Algorithm::Rolling),
        ..spec(5, Kind::Requests, 4_000, per.clone())
    });
    specs.push(LimitSpec { algorithm: Some(Algorithm::Fixed), ..spec(6, Kind::Requests, 3_000, per) });
    let limits: Vec<_> = specs.iter().map(|spec| pool.register(spec).unwrap()).collect();
    let mut shard = Shard::new(pool).unwrap();
    let mut permits = Permits::new();
    let mut buffer = [0; 512];
    let (mut admitted, mut refused) = (0, 0);
    let before = ALLOCATIONS.with(Cell::get);
    for call in 0..50_000u64 {
        let now = at(call * 100_000);
        let key = Key(1 + u128::from(call % 50));
        let key = if call % 3 == 0 { key } else { Key(1) };
        let mut applied = [Applied::one(&limits[0], key); 6];
        for (applied, limit) in applied.iter_mut().zip(&limits) {
            applied.limit = limit;
        }
        match shard.admit(now, &applied, &mut permits) {
            Verdict::Admitted(said) => {
                admitted += 1;
                let standing = said.tightest.unwrap();
                let limit = &limits[usize::from(standing.index)];
                assert!(write_rate_limit(limit, &standing, &mut buffer) > 0);
                assert!(write_policy(limits.iter().map(|limit| &**limit), &mut buffer) > 0);
                shard.settle(now, &mut permits, BytesMoved { up: 10, down: 10 });
                shard.release(now, &mut permits, BytesMoved { up: 10, down: 90 });
            }
            Verdict::Refused(refusal) => {
                refused += 1;
                assert!(write_retry_after(refusal.retry_after_ns, &mut buffer) > 0);
            }
        }
        if call % 100 == 0 {
            shard.tick(now);
            shard.take_alerts(|_| ());
        }
    }
    let after = ALLOCATIONS.with(Cell::get);
    assert!(admitted > 1000 && refused > 1000, "{admitted} {refused}");
    assert_eq!(after - before, 0);
}
