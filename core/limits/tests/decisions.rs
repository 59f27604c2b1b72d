//! Decisions one by one: refusals and what they say, several limits, soft mode, alerts, bytes, keys, reloads.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use penstock_limits::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// 18 December 2026, 08:26:40 UTC.
const WALL: u64 = 1_797_582_400 * SECOND;

fn at(ns: u64) -> Now {
    Now { mono_ns: 7 * SECOND + ns, wall_ns: WALL + ns }
}

fn config(run: u64, boot: u128) -> NodeConfig {
    NodeConfig {
        limits_max: 16,
        keys_max: 400,
        rolling_keys_max: 80,
        wide_keys_max: 80,
        workers_max: 4,
        ..NodeConfig::new(run, boot)
    }
}

struct Bench {
    pool: Arc<NodePool>,
    shard: Shard,
    permits: Permits,
}

impl Bench {
    fn new() -> Self {
        let config = config(1, 1);
        let region = Region::memory(config.region_words());
        Self::on(Arc::new(NodePool::open(region, &config, at(0), &[]).unwrap()))
    }

    fn on(pool: Arc<NodePool>) -> Self {
        Self { shard: Shard::new(pool.clone()).unwrap(), pool, permits: Permits::new() }
    }

    fn admit(&mut self, ns: u64, limits: &[(&Limit, u128, u64)]) -> Verdict {
        let applied: Vec<_> = limits
            .iter()
            .map(|(limit, key, amount)| Applied { limit, key: Key(*key), amount: *amount })
            .collect();
        self.shard.admit(at(ns), &applied, &mut self.permits)
    }

    fn refusal(&mut self, ns: u64, limits: &[(&Limit, u128, u64)]) -> Refusal {
        match self.admit(ns, limits) {
            Verdict::Refused(refusal) => refusal,
            admitted => panic!("{admitted:?}"),
        }
    }

    fn passes(&mut self, ns: u64, limits: &[(&Limit, u128, u64)]) -> bool {
        self.admit(ns, limits).is_admitted()
    }

    fn alerts(&mut self) -> Vec<AlertKind> {
        let mut alerts = Vec::new();
        self.shard.take_alerts(|alert| alerts.push(alert.kind));
        alerts
    }
}

fn per(owner: u128, kind: Kind, amount: u64, seconds: u64) -> LimitSpec {
    LimitSpec::new(owner, "limit", kind, amount, Window::Duration(Duration::from_secs(seconds)))
}

fn requests(owner: u128, amount: u64, seconds: u64) -> LimitSpec {
    per(owner, Kind::Requests, amount, seconds)
}

fn concurrent(owner: u128, amount: u64) -> LimitSpec {
    LimitSpec::new(owner, "limit", Kind::Concurrent, amount, Window::None)
}

fn daily(amount: u64) -> LimitSpec {
    let zone = time_zone("UTC").unwrap();
    let windows = CalendarWindows::compute(CalendarUnit::Day, &zone, "UTC", (WALL / SECOND) as i64).unwrap();
    LimitSpec::new(9, "daily", Kind::Requests, amount, Window::Calendar(windows))
}

#[test]
fn a_refusal_says_which_limit_why_and_when() {
    let fixed = LimitSpec { algorithm: Some(Algorithm::Fixed), ..requests(2, 2, 60) };
    let rolling = LimitSpec { algorithm: Some(Algorithm::Rolling), ..requests(3, 2, 60) };
    let to_midnight = 86_400 * SECOND - WALL % (86_400 * SECOND);
    let to_minute = 60 * SECOND - WALL % (60 * SECOND);
    let to_sub = SECOND - WALL % SECOND;
    let table = [
        (requests(1, 2, 60), RefusalKind::RateLimited, 30 * SECOND, 60 * SECOND),
        (fixed, RefusalKind::RateLimited, to_minute, 60 * SECOND),
        (rolling, RefusalKind::RateLimited, to_sub + 59 * SECOND, 60 * SECOND),
        (daily(2), RefusalKind::QuotaExhausted, to_midnight, 86_400 * SECOND),
        (concurrent(4, 2), RefusalKind::TooManyConcurrent, SECOND, 0),
    ];
    for (spec, kind, retry_after_ns, window_ns) in table {
        let mut bench = Bench::new();
        let limit = bench.pool.register(&spec).unwrap();
        assert!(bench.passes(0, &[(&limit, 5, 1)]));
        let Verdict::Admitted(admitted) = bench.admit(0, &[(&limit, 5, 1)]) else { panic!() };
        let standing = admitted.tightest.unwrap();
        assert_eq!((standing.remaining, standing.limit, standing.window_ns), (0, 2, window_ns));
        let expected = Refusal { index: 0, kind, retry_after_ns, remaining: 0, used: 2, limit: 2, window_ns };
        assert_eq!(bench.refusal(0, &[(&limit, 5, 1)]), expected);
        assert!(bench.passes(0, &[(&limit, 6, 1)]), "another key has its own bucket");
        if kind != RefusalKind::TooManyConcurrent {
            assert!(!bench.passes(retry_after_ns - 1, &[(&limit, 5, 1)]), "{kind:?} too early");
            assert!(bench.passes(retry_after_ns, &[(&limit, 5, 1)]), "{kind:?} when it said");
        }
    }
}

#[test]
fn all_limits_agree_or_nothing_is_taken() {
    let mut bench = Bench::new();
    let algorithms = [None, Some(Algorithm::Fixed), Some(Algorithm::Rolling)];
    let mut wide: Vec<_> = (0..3)
        .map(|i| LimitSpec { algorithm: algorithms[i as usize], ..requests(i, 5, 60) })
        .map(|spec| bench.pool.register(&spec).unwrap())
        .collect();
    wide.push(bench.pool.register(&daily(5)).unwrap());
    wide.push(bench.pool.register(&concurrent(7, 5)).unwrap());
    let bytes = bench.pool.register(&per(8, Kind::Bytes(Direction::Up), 5, 60)).unwrap();
    wide.push(bytes);
    let narrow = bench.pool.register(&requests(10, 1, 60)).unwrap();
    assert!(bench.passes(0, &[(&narrow, 1, 1)]));
    let mut all: Vec<(&Limit, u128, u64)> = wide.iter().map(|limit| (&**limit, 1, 1)).collect();
    all.push((&narrow, 1, 1));
    for _ in 0..100 {
        assert_eq!(bench.refusal(0, &all).index, 6);
        assert!(bench.permits.is_empty());
    }
    for limit in &wide {
        for _ in 0..5 {
            assert!(bench.passes(0, &[(limit, 1, 1)]), "{:?} lost what was rolled back", limit.kind());
        }
        assert!(!bench.passes(0, &[(limit, 1, 1)]));
    }
}

#[test]
fn tightest_is_the_least_share() {
    let mut bench = Bench::new();
    let wide = bench.pool.register(&requests(1, 100, 60)).unwrap();
    let narrow = bench.pool.register(&requests(2, 4, 60)).unwrap();
    let Verdict::Admitted(admitted) = bench.admit(0, &[(&wide, 0, 1), (&narrow, 0, 1)]) else { panic!() };
    assert_eq!(admitted.tightest.map(|standing| (standing.index, standing.remaining)), Some((1, 3)));
    assert_eq!(bench.admit(0, &[]), Verdict::Admitted(Admitted::default()));
}

#[test]
fn soft_limits_flag_and_let_pass() {
    let specs = [
        requests(1, 2, 60),
        LimitSpec { algorithm: Some(Algorithm::Fixed), ..requests(2, 2, 60) },
        LimitSpec { algorithm: Some(Algorithm::Rolling), ..requests(3, 2, 60) },
        daily(2),
        concurrent(5, 2),
    ];
    for spec in specs {
        let mut bench = Bench::new();
        let limit = bench.pool.register(&LimitSpec { mode: Mode::Soft, ..spec.clone() }).unwrap();
        let flags: Vec<u32> = (0..4)
            .map(|_| match bench.admit(0, &[(&limit, 1, 1)]) {
                Verdict::Admitted(admitted) => admitted.soft_exceeded,
                refused => panic!("{refused:?}"),
            })
            .collect();
        assert_eq!(flags, [0, 0, 1, 1], "{spec:?}");
    }
}

#[test]
fn alerts_come_once_when_a_threshold_is_crossed() {
    let mut bench = Bench::new();
    let spec = LimitSpec { alert_at: vec![50, 100], ..daily(4) };
    let limit = bench.pool.register(&spec).unwrap();
    let mut told = Vec::new();
    for _ in 0..6 {
        let _ = bench.admit(0, &[(&limit, 1, 1)]);
        told.push(bench.alerts());
    }
    let crossed = |n| vec![AlertKind::Crossed(n)];
    assert_eq!(told, [vec![], crossed(0), vec![], crossed(1), vec![], vec![]]);
}

#[test]
fn bytes_are_reserved_booked_beyond_and_given_back() {
    for algorithm in [None, Some(Algorithm::Fixed), Some(Algorithm::Rolling)] {
        let mut bench = Bench::new();
        let spec = LimitSpec { algorithm, ..per(1, Kind::Bytes(Direction::Both), 1000, 60) };
        let limit = bench.pool.register(&spec).unwrap();
        let remaining = |verdict| match verdict {
            Verdict::Admitted(Admitted { tightest: Some(standing), .. }) => standing.remaining,
            refused => panic!("{algorithm:?} {refused:?}"),
        };
        assert_eq!(remaining(bench.admit(0, &[(&limit, 1, 600)])), 400);
        assert_eq!(bench.refusal(0, &[(&limit, 1, 401)]).remaining, 400);
        bench.shard.release(at(0), &mut bench.permits, BytesMoved { up: 100, down: 100 });
        assert_eq!(remaining(bench.admit(0, &[(&limit, 1, 0)])), 800, "{algorithm:?}: the unused went back");
        bench.shard.settle(at(0), &mut bench.permits, BytesMoved { up: 100, down: 0 });
        bench.shard.settle(at(0), &mut bench.permits, BytesMoved { up: 100, down: 500 });
        bench.shard.release(at(0), &mut bench.permits, BytesMoved { up: 100, down: 900 });
        assert!(bench.permits.is_empty());
        let refusal = bench.refusal(0, &[(&limit, 1, 0)]);
        assert_eq!(refusal.remaining, 0, "{algorithm:?}: in debt by 200 bytes");
        assert!(bench.passes(refusal.retry_after_ns, &[(&limit, 1, 0)]), "{algorithm:?}");
    }
}

#[test]
fn a_body_larger_than_the_whole_passes_when_the_whole_is_free() {
    for algorithm in [None, Some(Algorithm::Fixed), Some(Algorithm::Rolling)] {
        let mut bench = Bench::new();
        let amount = (1 << 33) + 1;
        let spec = LimitSpec { algorithm, ..per(1, Kind::Bytes(Direction::Up), amount, 60) };
        let limit = bench.pool.register(&spec).unwrap();
        assert!(bench.passes(0, &[(&limit, 1, 3 * amount)]), "{algorithm:?}");
        bench.shard.release(at(0), &mut bench.permits, BytesMoved { up: 3 * amount, down: 0 });
        let refusal = bench.refusal(0, &[(&limit, 1, 1)]);
        if algorithm.is_none() {
            assert!(refusal.retry_after_ns.abs_diff(120 * SECOND) < 100, "{refusal:?}");
        }
    }
}

#[test]
fn counters_in_a_file_outlive_the_process_and_leases_count_as_spent() {
    let path = std::env::temp_dir().join(format!("penstock-limits-decisions-{}", std::process::id()));
    let file =
        std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    let map = || Region::file(&file, config(1, 1).region_words()).unwrap();
    let spec = requests(1, 10_000, 1);
    let leased = {
        let mut bench = Bench::on(Arc::new(NodePool::open(map(), &config(1, 1), at(0), &[]).unwrap()));
        let limit = bench.pool.register(&spec).unwrap();
        for call in 0..200 {
            assert!(bench.passes(call * 100_000, &[(&limit, 0, 1)]));
        }
        bench.shard.leased()
    };
    assert!(leased > 0);
    // 200 calls in 20 ms against ten a millisecond: without the lease the bucket would be full.
    let mut bench = Bench::on(Arc::new(NodePool::open(map(), &config(2, 1), at(20 * MS), &[]).unwrap()));
    let limit = bench.pool.register(&spec).unwrap();
    let passed = (0..20_000).filter(|_| bench.passes(20 * MS, &[(&limit, 0, 1)])).count() as u64;
    assert_eq!(passed, 10_000 - leased);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn shards_move_between_threads_and_pools_are_shared() {
    fn send<T: Send>() {}
    fn send_and_sync<T: Send + Sync>() {}
    send::<Shard>();
    send_and_sync::<NodePool>();
    send_and_sync::<Limit>();
}

#[test]
fn a_million_keys_stay_within_their_bytes() {
    let words = |keys: u32, rolling: u32| {
        NodeConfig { keys_max: keys, rolling_keys_max: rolling, ..NodeConfig::new(1, 1) }.region_words()
    };
    let base = words(1, 0);
    assert!((words(1_000_000, 0) - base) * 8 <= 100 * 1_000_000);
    assert!((words(1_000_000, 1_000_000) - base) * 8 <= 320 * 1_000_000);
}

#[test]
fn directions_count_their_own() {
    for (direction, expected) in [(Direction::Up, 90), (Direction::Down, 80), (Direction::Both, 70)] {
        let mut bench = Bench::new();
        let fixed = Some(Algorithm::Fixed);
        let spec = LimitSpec { algorithm: fixed, ..per(1, Kind::Bytes(direction), 100, 60) };
        let limit = bench.pool.register(&spec).unwrap();
        assert!(bench.passes(0, &[(&limit, 1, 0)]));
        bench.shard.release(at(0), &mut bench.permits, BytesMoved { up: 10, down: 20 });
        assert_eq!(bench.refusal(0, &[(&limit, 1, 101)]).remaining, expected, "{direction:?}");
    }
}

#[test]
fn concurrency_is_held_until_release() {
    let mut bench = Bench::new();
    let limit = bench.pool.register(&concurrent(1, 3)).unwrap();
    let mut held: Vec<Permits> = Vec::new();
    for _ in 0..3 {
        assert!(bench.passes(0, &[(&limit, 1, 1)]));
        held.push(std::mem::take(&mut bench.permits));
    }
    assert!(!bench.passes(0, &[(&limit, 1, 1)]));
    bench.shard.release(at(0), &mut held[1], BytesMoved::default());
    bench.shard.release(at(0), &mut held[1], BytesMoved::default());
    assert!(bench.passes(0, &[(&limit, 1, 1)]));
    assert!(!bench.passes(0, &[(&limit, 1, 1)]), "a second release frees nothing");
}

#[test]
fn beyond_keys_max_keys_share_one_bucket_and_idle_ones_give_way() {
    let methods = [
        requests(1, 2, 60),
        LimitSpec { algorithm: Some(Algorithm::Fixed), ..requests(2, 2, 60) },
        LimitSpec { algorithm: Some(Algorithm::Rolling), ..requests(3, 2, 60) },
    ];
    for spec in methods {
        let mut bench = Bench::new();
        let limit = bench.pool.register(&LimitSpec { keys_max: 3, ..spec.clone() }).unwrap();
        for key in 1..=3 {
            assert!(bench.passes(0, &[(&limit, key, 1)]));
        }
        assert!(bench.alerts().is_empty());
        assert_eq!(bench.pool.keys(&limit), 3);
        assert!(bench.passes(0, &[(&limit, 4, 1)]) && bench.passes(0, &[(&limit, 5, 1)]));
        assert!(!bench.passes(0, &[(&limit, 6, 1)]), "4, 5 and 6 share two a minute");
        assert!(bench.alerts().contains(&AlertKind::Overflow));
        assert!(bench.pool.overflowed(&limit) >= 3);
        assert!(bench.passes(0, &[(&limit, 1, 1)]), "a key with a bucket is not disturbed");
        // Nothing idle, nothing freed.
        assert_eq!(bench.pool.sweep(at(0), 10_000), 0);
        let later = 130 * SECOND;
        assert!(bench.passes(later, &[(&limit, 1, 1)]));
        assert_eq!(bench.pool.sweep(at(later), 10_000), 2, "{spec:?}");
        assert!(bench.passes(later, &[(&limit, 7, 1)]) && bench.passes(later, &[(&limit, 7, 1)]));
        assert!(!bench.passes(later, &[(&limit, 7, 1)]));
        assert_eq!(bench.pool.keys(&limit), 2);
    }
}

#[test]
fn a_key_leaving_the_overflow_bucket_takes_its_use_along() {
    let mut bench = Bench::new();
    let limit = bench.pool.register(&LimitSpec { keys_max: 1, ..requests(1, 2, 60) }).unwrap();
    assert!(bench.passes(0, &[(&limit, 1, 1)]));
    assert!(bench.passes(SECOND, &[(&limit, 2, 1)]) && bench.passes(29 * SECOND, &[(&limit, 2, 1)]));
    // Key 1 is idle by now; key 2 gets a bucket of its own, which is not fuller than the shared one.
    bench.pool.sweep(at(31 * SECOND), 10_000);
    assert!(bench.passes(31 * SECOND, &[(&limit, 2, 1)]), "the third in 31 seconds");
    assert_eq!(bench.pool.keys(&limit), 1);
    assert!(!bench.passes(31 * SECOND, &[(&limit, 2, 1)]));
}

#[test]
fn a_full_table_falls_to_the_overflow_bucket() {
    let mut bench = Bench::new();
    let limit = bench.pool.register(&requests(1, 5, 3600)).unwrap();
    for key in 1..2000 {
        let _ = bench.admit(0, &[(&limit, key, 1)]);
    }
    assert!(bench.pool.keys(&limit) >= 400, "{}", bench.pool.keys(&limit));
    assert!(bench.pool.keys(&limit) < 600);
    assert!(bench.pool.overflowed(&limit) > 0);
    // A day later all are idle, and new keys take their places without a sweep.
    let day = 86_400 * SECOND;
    let before = bench.pool.overflowed(&limit);
    for key in 5000..5300 {
        assert!(bench.passes(day, &[(&limit, key, 1)]));
    }
    assert_eq!(bench.pool.overflowed(&limit), before);
}

#[test]
fn a_reload_moves_no_counter_and_a_removed_limit_is_freed() {
    let mut bench = Bench::new();
    let before = requests(1, 2, 60);
    let limit = bench.pool.register(&before).unwrap();
    assert!(bench.passes(0, &[(&limit, 1, 1)]) && bench.passes(0, &[(&limit, 1, 1)]));
    let again = bench.pool.register(&LimitSpec { burst: Some(3), ..before.clone() }).unwrap();
    assert_eq!(again.id(), limit.id());
    assert!(bench.passes(0, &[(&again, 1, 1)]));
    assert!(!bench.passes(0, &[(&again, 1, 1)]), "two of three were used before the reload");
    let other = bench.pool.register(&LimitSpec { name: "other".into(), ..before.clone() }).unwrap();
    assert_ne!(other.id(), limit.id());
    assert!(bench.passes(0, &[(&other, 1, 1)]));

    bench.pool.retain(&[other.id()]);
    let mut registered = 0;
    let later = 1000 * SECOND;
    bench.pool.sweep(at(later), 10_000);
    while bench.pool.register(&requests(100 + registered, 1, 60)).is_ok() {
        registered += 1;
    }
    assert_eq!(registered, 15, "16 limits at most, one of them in use");
    assert_eq!(bench.pool.register(&requests(99, 1, 60)).unwrap_err(), RegisterError::Full);
}

#[test]
fn leases_decide_without_the_node_and_go_back_when_idle() {
    let mut bench = Bench::new();
    let limit = bench.pool.register(&requests(1, 10_000, 1)).unwrap();
    let mut other = Shard::new(bench.pool.clone()).unwrap();
    for call in 0..500 {
        assert!(bench.passes(call * 100_000, &[(&limit, 1, 1)]));
    }
    assert!(bench.shard.leased() > 0);
    other.tick(at(50 * MS));
    bench.shard.tick(at(50 * MS));
    bench.shard.tick(at(65 * MS));
    assert_eq!(bench.shard.leased(), 0);
    let mut passed = 0;
    let mut permits = Permits::new();
    while other.admit(at(2 * SECOND), &[Applied::one(&limit, Key(1))], &mut permits).is_admitted() {
        passed += 1;
    }
    assert_eq!(passed, 10_000, "the bucket is whole again");
}

#[test]
fn a_reclaimed_worker_is_fenced_and_its_permits_are_free() {
    let mut bench = Bench::new();
    let limit = bench.pool.register(&concurrent(1, 1)).unwrap();
    let mut other = Bench::on(bench.pool.clone());
    assert!(bench.passes(0, &[(&limit, 1, 1)]));
    assert!(!other.passes(0, &[(&limit, 1, 1)]));
    bench.pool.reclaim(bench.shard.seat(), at(0));
    bench.pool.reclaim(bench.shard.seat(), at(0));
    assert!(other.passes(0, &[(&limit, 1, 1)]));
    assert_eq!(bench.refusal(0, &[(&limit, 2, 1)]).kind, RefusalKind::Unavailable);
    bench.shard.release(at(0), &mut bench.permits, BytesMoved::default());
    assert!(!Bench::on(bench.pool.clone()).passes(0, &[(&limit, 1, 1)]), "a late release frees nothing");
}

#[test]
fn bounds_refuse_instead_of_growing() {
    let mut bench = Bench::new();
    let limit = bench.pool.register(&requests(1, 100, 1)).unwrap();
    let at_most: Vec<(&Limit, u128, u64)> = (0..APPLIED_MAX).map(|_| (&*limit, 0, 1)).collect();
    assert!(bench.passes(0, &at_most));
    let more: Vec<(&Limit, u128, u64)> = (0..APPLIED_MAX + 1).map(|_| (&*limit, 0, 1)).collect();
    assert_eq!(bench.refusal(0, &more).kind, RefusalKind::Unavailable);

    let many = bench.pool.register(&concurrent(2, 1_000_000)).unwrap();
    let held = vec![(&*many, 0, 1); CONCURRENT_HELD_MAX];
    assert!(bench.passes(0, &held));
    assert_eq!(bench.refusal(0, &[(&many, 0, 1)]).kind, RefusalKind::Unavailable);
    bench.shard.release(at(0), &mut bench.permits, BytesMoved::default());
    for _ in 0..PERMITS_WORKER_MAX {
        bench.permits = Permits::new();
        assert!(bench.passes(0, &[(&many, 0, 1)]));
    }
    bench.permits = Permits::new();
    assert_eq!(bench.refusal(0, &[(&many, 0, 1)]).kind, RefusalKind::Unavailable);

    let _others: Vec<_> = (0..3).map(|_| Shard::new(bench.pool.clone()).unwrap()).collect();
    assert_eq!(Shard::new(bench.pool.clone()).unwrap_err(), NoSeat);
}

#[test]
fn openings_are_checked() {
    let config = config(1, 1);
    let words = config.region_words();
    let open = |region: &Region, config: &NodeConfig| {
        NodePool::open(region.clone(), config, at(0), &[]).map(|_| ()).err()
    };
    let region = Region::memory(words);
    assert_eq!(open(&region, &config), None);
    assert_eq!(open(&region, &config), None);
    assert_eq!(open(&region, &NodeConfig { limits_max: 15, ..config.clone() }), Some(OpenError::OtherShape));
    assert_eq!(open(&Region::memory(words - 1), &config), Some(OpenError::TooShort));
    assert_eq!(open(&region, &NodeConfig { run: 0, ..config.clone() }), Some(OpenError::Sizes));
    assert_eq!(open(&region, &NodeConfig { workers_max: 1000, ..config }), Some(OpenError::Sizes));
}

#[test]
fn after_a_power_cut_short_windows_begin_empty_and_long_ones_keep_what_was_synced() {
    let first = config(1, 1);
    let region = Region::memory(first.region_words());
    let rolling = LimitSpec { algorithm: Some(Algorithm::Rolling), ..requests(3, 4, 60) };
    let fixed = LimitSpec { algorithm: Some(Algorithm::Fixed), ..requests(2, 4, 60) };
    let hourly = LimitSpec { algorithm: Some(Algorithm::Fixed), ..requests(4, 4, 7200) };
    let specs = [requests(1, 4, 60), fixed, rolling, hourly, daily(4)];
    {
        let pool = Arc::new(NodePool::open(region.clone(), &first, at(0), &[]).unwrap());
        let mut bench = Bench::on(pool.clone());
        for spec in &specs {
            let limit = pool.register(spec).unwrap();
            assert!(bench.passes(0, &[(&limit, 1, 1)]));
        }
        bench.shard.tick(at(SECOND));
    }
    let cut = |ns| Now { mono_ns: ns, wall_ns: WALL + 10 * SECOND + ns };
    let pool = Arc::new(NodePool::open(region.snapshot(), &config(2, 2), cut(0), &[]).unwrap());
    let mut shard = Shard::new(pool.clone()).unwrap();
    let mut passes = |spec: &LimitSpec, key, ns| {
        let limit = pool.register(spec).unwrap();
        shard.admit(cut(ns), &[Applied::one(&limit, Key(key))], &mut Permits::new()).is_admitted()
    };
    for key in [1, 2] {
        assert!(!passes(&specs[0], key, 14 * SECOND), "a bucket of 15 s a token is empty, new keys too");
        assert!(passes(&specs[0], key, 15 * SECOND));
        assert!(!passes(&specs[1], key, 9 * SECOND), "the minute goes on until 50 s after");
        assert!(passes(&specs[1], key, 11 * SECOND), "the next minute is open");
        assert!(!passes(&specs[2], key, 58 * SECOND), "a rolling minute must pass");
        assert!(passes(&specs[2], key, 61 * SECOND));
    }
    for spec in &specs[3..] {
        let passed = (0..10).filter(|_| passes(spec, 1, 62 * SECOND)).count();
        assert_eq!(passed, 3, "one of four was used before");
    }
}
