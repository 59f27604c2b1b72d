//! Real threads on one node pool: what they are granted together stays within each limit.
#![allow(clippy::disallowed_methods, reason = "a test of threads needs a clock")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use penstock_limits::*;

const THREADS: u32 = 4;
const CALLS: u64 = 60_000;
const WALL: u64 = 1_797_582_400_000_000_000;

fn config() -> NodeConfig {
    NodeConfig {
        limits_max: 8,
        keys_max: 64,
        rolling_keys_max: 80,
        wide_keys_max: 80,
        workers_max: THREADS,
        ..NodeConfig::new(1, 1)
    }
}

fn spec(amount: u64, algorithm: Option<Algorithm>) -> LimitSpec {
    let per = Window::Duration(Duration::from_secs(1));
    LimitSpec { algorithm, ..LimitSpec::new(1, "limit", Kind::Requests, amount, per) }
}

/// All threads run the same body with their shard and the common clock.
fn together<T: Send>(pool: &Arc<NodePool>, body: impl Fn(Shard, &dyn Fn() -> Now) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS as usize);
    let start = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let shard = Shard::new(pool.clone()).unwrap();
                let (barrier, body) = (&barrier, &body);
                scope.spawn(move || {
                    barrier.wait();
                    body(shard, &|| {
                        let ns = start.elapsed().as_nanos() as u64;
                        Now { mono_ns: 1_000_000_000 + ns, wall_ns: WALL + ns }
                    })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn open() -> Arc<NodePool> {
    let config = config();
    let now = Now { mono_ns: 1_000_000_000, wall_ns: WALL };
    Arc::new(NodePool::open(Region::memory(config.region_words()), &config, now, &[]).unwrap())
}

#[test]
fn rates_and_windows_hold_under_contention() {
    for (amount, algorithm) in [
        (400_000, None),
        (20_000, None),
        (7, None),
        (50_000, Some(Algorithm::Fixed)),
        (2_000_000, Some(Algorithm::Fixed)),
        (30_000, Some(Algorithm::Rolling)),
        (2_000_000, Some(Algorithm::Rolling)),
    ] {
        let pool = open();
        let limit = pool.register(&spec(amount, algorithm)).unwrap();
        let admitted = together(&pool, |mut shard, clock| {
            let mut permits = Permits::new();
            let mut times = Vec::new();
            for call in 0..CALLS {
                let now = clock();
                if call % 1000 == 0 {
                    shard.tick(now);
                }
                let applied = [Applied::one(&limit, Key(3))];
                if shard.admit(now, &applied, &mut permits).is_admitted() {
                    times.push(now.mono_ns);
                }
            }
            shard.close(clock());
            times
        });
        let mut times: Vec<u64> = admitted.into_iter().flatten().collect();
        times.sort_unstable();
        assert!(!times.is_empty());
        let (amount, second) = (u128::from(amount), 1_000_000_000u128);
        match algorithm {
            None => {
                let (mut load, mut last) = (0u128, 0);
                for time in &times {
                    load = load.saturating_sub(u128::from(time - last) * amount) + second;
                    last = *time;
                    assert!(load <= amount * second, "over rate x T + burst of {amount}");
                }
            }
            Some(_) => {
                // The clock begins at a full second: window and sub-buckets are those of the elapsed time.
                let width = if algorithm == Some(Algorithm::Fixed) { second } else { second.div_ceil(60) };
                let windows = if algorithm == Some(Algorithm::Fixed) { 1 } else { 60 };
                let origin = u128::from(WALL) - second;
                let index = |time: &u64| (u128::from(*time) + origin) / width;
                let mut first = 0;
                for (at, time) in times.iter().enumerate() {
                    while index(&times[first]) + windows <= index(time) {
                        first += 1;
                    }
                    assert!((at - first + 1) as u128 <= amount, "over {amount} in a window");
                }
            }
        }
    }
}

#[test]
fn concurrency_never_passes_its_limit_and_ends_at_zero() {
    let pool = open();
    let narrow = pool.register(&LimitSpec::new(1, "narrow", Kind::Concurrent, 2, Window::None)).unwrap();
    let rate = pool.register(&LimitSpec { owner: 2, ..spec(1_000_000, None) }).unwrap();
    let inside = AtomicU64::new(0);
    let admitted: u64 = together(&pool, |mut shard, clock| {
        let mut permits = Permits::new();
        let mut admitted = 0;
        for _ in 0..CALLS {
            let applied = [Applied::one(&rate, Key(1)), Applied::one(&narrow, Key(1))];
            if shard.admit(clock(), &applied, &mut permits).is_admitted() {
                admitted += 1;
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                shard.release(clock(), &mut permits, BytesMoved::default());
            }
        }
        shard.close(clock());
        admitted
    })
    .into_iter()
    .sum();
    assert!(admitted > 0);
    let mut shard = Shard::new(pool).unwrap();
    let mut permits = Permits::new();
    let now = Now { mono_ns: 1 << 50, wall_ns: WALL };
    for expected in [true, true, false] {
        assert_eq!(shard.admit(now, &[Applied::one(&narrow, Key(1))], &mut permits).is_admitted(), expected);
    }
}

#[test]
fn keys_that_all_threads_bring_at_once_get_one_bucket_each() {
    let pool = open();
    let per = Window::Duration(Duration::from_secs(3600));
    let limit = pool.register(&LimitSpec::new(1, "few", Kind::Requests, 3, per)).unwrap();
    let counts = together(&pool, |mut shard, clock| {
        let mut counts = [0u64; 40];
        for _ in 0..50 {
            for (key, count) in counts.iter_mut().enumerate() {
                let applied = [Applied::one(&limit, Key(1 + key as u128))];
                *count += u64::from(shard.admit(clock(), &applied, &mut Permits::new()).is_admitted());
            }
        }
        counts
    });
    assert_eq!(pool.overflowed(&limit), 0);
    assert_eq!(pool.keys(&limit), 40);
    for key in 0..40 {
        assert_eq!(counts.iter().map(|counts| counts[key]).sum::<u64>(), 3, "key {key}");
    }
}

#[test]
fn slots_that_change_hands_under_use_keep_each_key_within_its_limit() {
    // Far more keys than slots, all idle soon: each appearance evicts another key while threads decide on it.
    let pool = open();
    let limit = pool.register(&LimitSpec { burst: Some(1), ..spec(100_000, None) }).unwrap();
    let times = together(&pool, |mut shard, clock| {
        let mut times = Vec::new();
        for call in 0..CALLS {
            let key = Key(1 + u128::from(call * 7 % 300));
            let now = clock();
            if shard.admit(now, &[Applied::one(&limit, key)], &mut Permits::new()).is_admitted() {
                times.push((key.0, now.mono_ns, clock().mono_ns));
            }
        }
        times
    });
    let mut times: Vec<_> = times.into_iter().flatten().collect();
    times.sort_unstable();
    assert!(times.len() > 1000);
    for pair in times.windows(2) {
        let [(key, begun, ended), (next_key, next_begun, next_ended)] = [pair[0], pair[1]];
        // A thread that was preempted between its look at the clock and its decision decides later than it says:
        // the moment lies somewhere between its two looks, so either of the two may have been decided first.
        let apart = next_ended.saturating_sub(begun).max(ended.saturating_sub(next_begun));
        assert!(key != next_key || apart >= 10_000, "two of key {key} within 10 us: {pair:?}");
    }
}
