//! Nanoseconds per decision and bytes per key. Run with `cargo bench -p penstock-limits --profile release`; takes some seconds.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::{hint::black_box, sync::Arc, time::Duration, time::Instant};

use penstock_limits::{
    Algorithm, Applied, BytesMoved, CalendarUnit, CalendarWindows, Key, Kind, Limit, LimitSpec, NodeConfig,
    NodePool, Now, Permits, Region, Shard, Spend, Window, time_zone,
};

const WALL_NS: u64 = 1_795_000_000_000_000_000;
const KEYS: u32 = 1_000_000;
const CALLS: u64 = 1_000_000;
const ROUNDS: usize = 5;

fn at(ns: u64) -> Now {
    Now { mono_ns: 1_000_000_000 + ns, wall_ns: WALL_NS + ns }
}

fn requests(amount: u64, algorithm: Option<Algorithm>, per: Duration) -> LimitSpec {
    LimitSpec { algorithm, ..LimitSpec::new(1, "bench", Kind::Requests, amount, Window::Duration(per)) }
}

fn config(keys: u32, rolling: u32, wide: u32) -> NodeConfig {
    NodeConfig {
        keys_max: keys,
        rolling_keys_max: rolling,
        wide_keys_max: wide,
        workers_max: 8,
        ..NodeConfig::new(1, 1)
    }
}

fn pool(keys: u32, rolling: u32, wide: u32) -> Arc<NodePool> {
    let config = config(keys, rolling, wide);
    Arc::new(NodePool::open(Region::memory(config.region_words()), &config, at(0), &[]).expect("opens"))
}

/// Best of some rounds of calls, one each `step_ns`, with a tick each 10 ms.
fn nanoseconds(shard: &mut Shard, limits: &[Arc<Limit>], keys: u64, step_ns: u64) -> f64 {
    let mut permits = Permits::new();
    let mut time_ns = 0;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut admitted = 0u64;
        let start = Instant::now();
        for call in 0..CALLS {
            time_ns += step_ns;
            if time_ns % 10_000_000 < step_ns {
                shard.tick(at(time_ns));
            }
            let key = Key(1 + u128::from(call % keys));
            let verdict = match limits {
                [one] => shard.admit(at(time_ns), &[Applied::one(one, key)], &mut permits),
                _ => {
                    let mut applied = [Applied::one(&limits[0], key); 10];
                    for (applied, limit) in applied.iter_mut().zip(limits) {
                        applied.limit = limit;
                    }
                    shard.admit(at(time_ns), &applied[..limits.len()], &mut permits)
                }
            };
            admitted += u64::from(black_box(verdict).is_admitted());
            if !permits.is_empty() {
                shard.release(at(time_ns), &mut permits, BytesMoved::default());
            }
        }
        best = best.min(start.elapsed().as_nanos() as f64 / CALLS as f64);
        assert_eq!(admitted, CALLS, "the figure is for calls that pass");
    }
    best
}

fn decision(name: &str, spec: LimitSpec, keys: u64, step_ns: u64) {
    let pool = pool(10_000, 100, 0);
    let limit = pool.register(&spec).expect("registers");
    let mut shard = Shard::new(pool).expect("a seat");
    println!("{name:<44} {:>8.1} ns", nanoseconds(&mut shard, &[limit], keys, step_ns));
}

/// Best of some rounds of attempts, one each `step_ns`: reserved at these limits, settled with less, for each limit.
fn reserved(name: &str, specs: &[LimitSpec], keys: u64, step_ns: u64) {
    let pool = pool(10_000, 0, 2_100);
    let limits: Vec<_> = specs.iter().map(|spec| pool.register(spec).expect("registers")).collect();
    let mut shard = Shard::new(pool).expect("a seat");
    let mut permits = Permits::new();
    let used = Spend { input_tokens: 700, output_tokens: 200, usd_nano: 900 };
    let mut time_ns = 0;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut admitted = 0u64;
        let start = Instant::now();
        for call in 0..CALLS {
            time_ns += step_ns;
            let key = Key(1 + u128::from(call % keys));
            let mut applied = [Applied { limit: &limits[0], key, amount: 1000 }; 8];
            for (applied, limit) in applied.iter_mut().zip(&limits) {
                applied.limit = limit;
            }
            let verdict = shard.reserve(at(time_ns), 0, &applied[..limits.len()], &mut permits);
            admitted += u64::from(black_box(verdict).is_admitted());
            let _ = black_box(shard.settle_attempt(at(time_ns), 0, &mut permits, used));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / CALLS as f64);
        assert_eq!(admitted, CALLS, "the figure is for attempts that pass");
    }
    println!("{name:<44} {:>8.1} ns a limit", best / limits.len() as f64);
}

fn bytes_per_key(name: &str, spec: LimitSpec, rolling: u32, wide: u32) {
    let config = config(KEYS, rolling, wide);
    let pool = pool(KEYS, rolling, wide);
    let limit = pool.register(&spec).expect("registers");
    let mut shard = Shard::new(pool.clone()).expect("a seat");
    let mut permits = Permits::new();
    let reserves = spec.kind.reserves();
    let live = KEYS - 2;
    let start = Instant::now();
    for key in 0..live {
        let applied = [Applied::one(&limit, Key(u128::from(key) + 1))];
        let now = at(u64::from(key));
        if reserves {
            let _ = shard.reserve(now, 0, &applied, &mut permits);
            let _ = shard.settle_attempt(now, 0, &mut permits, Spend { usd_nano: 1, ..Spend::default() });
        } else {
            let _ = shard.admit(now, &applied, &mut permits);
        }
    }
    let first_ns = start.elapsed().as_nanos() as f64 / f64::from(live);
    let fixed = NodeConfig { keys_max: 1, rolling_keys_max: 2, wide_keys_max: 2.min(wide), ..config.clone() };
    let bytes = (config.region_words() - fixed.region_words()) * 8;
    println!(
        "{name:<44} {:>8.1} bytes a key ({} live keys, {} in the overflow bucket, {first_ns:.0} ns a new key)",
        bytes as f64 / f64::from(live),
        pool.keys(&limit),
        pool.overflowed(&limit)
    );
}

fn main() {
    let second = Duration::from_secs(1);
    let day = CalendarWindows::compute(
        CalendarUnit::Day,
        &time_zone("Europe/Zurich").expect("zone"),
        "Europe/Zurich",
        (WALL_NS / 1_000_000_000) as i64,
    )
    .expect("windows");
    let daily = LimitSpec::new(1, "day", Kind::Requests, 1 << 40, Window::Calendar(day));
    // One call each 10 us: 100,000 a second against a million.
    decision("gcra, leased", requests(1_000_000, None, second), 1, 10_000);
    decision("gcra, leased, 100 keys", requests(1_000_000, None, second), 100, 1_000);
    decision("fixed, leased", requests(100_000_000, Some(Algorithm::Fixed), second * 60), 1, 10_000);
    decision("calendar, leased", daily.clone(), 1, 10_000);
    // One call each 10 ms and key is below a slice: each decision is at the node pool.
    decision("gcra, node pool", requests(1_000, None, second), 1, 10_000_000);
    decision("gcra, node pool, 1000 keys", requests(1_000, None, second), 1_000, 10_000);
    decision("fixed, node pool", requests(1_000, Some(Algorithm::Fixed), second), 1, 10_000_000);
    decision("rolling, node pool", requests(1_000_000, Some(Algorithm::Rolling), second), 1, 10_000);
    decision(
        "concurrent, enter and leave",
        LimitSpec::new(1, "c", Kind::Concurrent, 10, Window::None),
        1,
        10_000,
    );

    let money = |owner, algorithm, window| LimitSpec {
        algorithm,
        ..LimitSpec::new(owner, "usd", Kind::Usd, 10_000_000_000_000_000, window)
    };
    let minute = || Window::Duration(second * 60);
    let monthly = money(1, None, daily.window.clone());
    reserved("calendar, reserve and settle", std::slice::from_ref(&monthly), 1, 10_000);
    reserved("calendar, reserve and settle, 1000 keys", std::slice::from_ref(&monthly), 1000, 10_000);
    reserved("rolling, reserve and settle", &[money(1, None, minute())], 1, 10_000);
    reserved("rolling, reserve and settle, 1000 keys", &[money(1, None, minute())], 1000, 10_000);
    let four = [
        monthly,
        money(2, None, minute()),
        money(3, Some(Algorithm::Fixed), minute()),
        LimitSpec { alert_at: vec![80, 100], ..money(4, None, minute()) },
    ];
    reserved("four of them, reserve and settle", &four, 1, 10_000);

    let pool = pool(10_000, 100, 0);
    let ten: Vec<_> = (0..10)
        .map(|owner| {
            let spec = LimitSpec { owner, ..requests(1_000_000, None, second) };
            pool.register(&spec).expect("registers")
        })
        .collect();
    let mut shard = Shard::new(pool).expect("a seat");
    println!("{:<44} {:>8.1} ns", "ten gcra limits, leased", nanoseconds(&mut shard, &ten, 1, 10_000));
    drop(shard);

    bytes_per_key("gcra (fixed, calendar: the same slots)", requests(10, None, second * 3600), 100, 0);
    bytes_per_key("rolling", requests(10, Some(Algorithm::Rolling), second * 3600), KEYS, 0);
    bytes_per_key("rolling, tokens and money", money(1, None, Window::Duration(second * 3600)), 0, KEYS);
}
