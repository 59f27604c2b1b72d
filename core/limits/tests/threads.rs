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

#[test]
fn what_is_reserved_and_used_never_passes_the_limit_by_one_unit() {
    const AMOUNT: u64 = 10_000_019;
    let hour = Window::Duration(Duration::from_secs(3600));
    let rolling = LimitSpec::new(1, "rolling", Kind::Usd, AMOUNT, hour);
    let fixed = LimitSpec { owner: 2, algorithm: Some(Algorithm::Fixed), ..rolling.clone() };
    for specs in [vec![rolling.clone()], vec![fixed.clone()], vec![rolling, fixed]] {
        let pool = open();
        let limits: Vec<_> = specs.iter().map(|spec| pool.register(spec).unwrap()).collect();
        // Below what the counter holds at any moment: added to after reserving, taken from before settling.
        let held = AtomicU64::new(0);
        let refused: u64 = together(&pool, |mut shard, clock| {
            let mut permits = Permits::new();
            let (mut open, mut refused, mut dice) = (Vec::new(), 0, 1u64);
            let mut random = |below: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(clock().mono_ns | 1);
                (dice >> 33) % below
            };
            for _ in 0..CALLS {
                let amount = 1 + random(700_000);
                let applied: Vec<_> =
                    limits.iter().map(|limit| Applied { limit, key: Key(7), amount }).collect();
                let is_free = |number: &u8| open.iter().all(|(open, _)| open != number);
                let attempt = (0..9).find(is_free).unwrap();
                if shard.reserve(clock(), attempt, &applied, &mut permits).is_admitted() {
                    assert!(held.fetch_add(amount, Ordering::SeqCst) + amount <= AMOUNT, "{specs:?}");
                    open.push((attempt, amount));
                } else {
                    refused += 1;
                }
                if open.len() > 7 {
                    let (attempt, amount) = open.swap_remove(random(8) as usize);
                    // Less and less is used, so that the limit is never used up.
                    let used = random(amount.min(AMOUNT / CALLS / 16)) + 1;
                    held.fetch_sub(amount - used.min(amount), Ordering::SeqCst);
                    let used = Spend { usd_nano: used, ..Spend::default() };
                    let settled = shard.settle_attempt(clock(), attempt, &mut permits, used);
                    assert!(!settled.over_reservation);
                }
            }
            shard.release(clock(), &mut permits, BytesMoved::default());
            shard.close(clock());
            refused
        })
        .into_iter()
        .sum();
        assert!(refused > 100, "the limit is not reached");
        let held = held.load(Ordering::SeqCst);
        for limit in &limits {
            let now = Now { mono_ns: 1_000_000_000, wall_ns: WALL };
            let usage = pool.usage(now, limit, Key(7));
            assert_eq!((usage.used, usage.reserved), (held, 0), "{:?}", limit.name());
        }
    }
}

#[test]
fn rolling_money_holds_in_every_window_while_threads_move_it() {
    // A sub-bucket each 333 us: all threads move the window all the time, and settle into those just gone.
    const AMOUNT: u64 = 40_000;
    let per = Duration::from_millis(20);
    let pool = open();
    let spec = LimitSpec::new(1, "rolling", Kind::Usd, AMOUNT, Window::Duration(per));
    let limit = pool.register(&spec).unwrap();
    let sub = (per.as_nanos() as u64).div_ceil(60);
    let index = |time: u64| (WALL - 1_000_000_000 + time) / sub;
    let uses = together(&pool, |mut shard, clock| {
        let mut permits = Permits::new();
        let (mut uses, mut dice) = (Vec::new(), 1u64);
        for call in 0..CALLS {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(call | 1);
            let amount = 1 + (dice >> 33) % 900;
            let begun = clock();
            let applied = [Applied { limit: &limit, key: Key(7), amount }];
            if shard.reserve(begun, 0, &applied, &mut permits).is_admitted() {
                let used = amount * ((dice >> 20) % 5) / 4;
                // One that was preempted in between was decided later than it says.
                let counted = if index(begun.mono_ns) == index(clock().mono_ns) { used } else { 0 };
                uses.push((begun.mono_ns, counted));
                let settled = shard.settle_attempt(
                    clock(),
                    0,
                    &mut permits,
                    Spend { usd_nano: used, ..Spend::default() },
                );
                assert!(!settled.over_reservation);
            }
        }
        shard.close(clock());
        uses
    });
    let mut uses: Vec<_> = uses.into_iter().flatten().collect();
    uses.sort_unstable();
    let (mut first, mut sum, mut most) = (0, 0, 0);
    for (time, used) in &uses {
        sum += used;
        while index(uses[first].0) + 60 <= index(*time) {
            sum -= uses[first].1;
            first += 1;
        }
        most = most.max(sum);
        assert!(sum <= AMOUNT, "{sum} in a window at {time}");
    }
    assert!(most > AMOUNT / 2, "the limit is not reached: {most}");
    let later = Now { mono_ns: 1 << 50, wall_ns: WALL + (1 << 50) };
    let mut shard = Shard::new(pool.clone()).unwrap();
    let applied = [Applied { limit: &limit, key: Key(7), amount: AMOUNT }];
    assert!(shard.reserve(later, 0, &applied, &mut Permits::new()).is_admitted(), "nothing was left behind");
}

#[test]
fn money_of_keys_whose_places_change_hands_stays_theirs() {
    // Windows of 10 ms and more keys than places: each appearance takes another key's place while threads decide on it.
    let pool = open();
    let per = Window::Duration(Duration::from_millis(10));
    let rolling = pool.register(&LimitSpec::new(1, "rolling", Kind::Usd, 3, per.clone())).unwrap();
    let fixed =
        LimitSpec { algorithm: Some(Algorithm::Fixed), ..LimitSpec::new(2, "fixed", Kind::Usd, 3, per) };
    let fixed = pool.register(&fixed).unwrap();
    let times = together(&pool, |mut shard, clock| {
        let mut times = Vec::new();
        let mut permits = Permits::new();
        for call in 0..CALLS {
            let key = Key(1 + u128::from(call * 7 % 300));
            let (place, limit) = [(0, &rolling), (1, &fixed)][(call % 2) as usize];
            let now = clock();
            let applied = [Applied { limit, key, amount: 1 }];
            if shard.reserve(now, 0, &applied, &mut permits).is_admitted() {
                times.push((place, key.0, now.mono_ns, clock().mono_ns));
                let used = Spend { usd_nano: call % 3 / 2, ..Spend::default() };
                let _ = shard.settle_attempt(clock(), 0, &mut permits, used);
                if used.usd_nano == 0 {
                    times.pop();
                }
            }
        }
        times
    });
    let mut times: Vec<_> = times.into_iter().flatten().collect();
    times.sort_unstable();
    assert!(times.len() > 1000);
    let origin = WALL - 1_000_000_000;
    for four in times.windows(4).filter(|four| (four[0].0, four[0].1) == (four[3].0, four[3].1)) {
        // Each was decided between its two looks at the clock.
        let (place, _, first, _) = four[0];
        let ended = four.iter().map(|(.., ended)| *ended).max().unwrap();
        let (first, last) = (origin + first, origin + ended);
        let together = match place {
            0 => last / 166_667 < first / 166_667 + 60,
            _ => last / 10_000_000 == first / 10_000_000,
        };
        assert!(!together, "four of three in one window: {four:?}");
    }
}
