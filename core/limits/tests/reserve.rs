//! Tokens and money one by one: reserved, refused, settled, in windows that turn, over deaths and by a ledger.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use penstock_limits::*;

const SECOND: u64 = 1_000_000_000;
/// 18 December 2026, 08:26:40 UTC.
const WALL: u64 = 1_797_582_400 * SECOND;
const DAY: u64 = 86_400 * SECOND;

fn at(ns: u64) -> Now {
    Now { mono_ns: 7 * SECOND + ns, wall_ns: WALL + ns }
}

fn config(run: u64) -> NodeConfig {
    NodeConfig {
        limits_max: 16,
        keys_max: 400,
        rolling_keys_max: 0,
        wide_keys_max: 80,
        workers_max: 4,
        ..NodeConfig::new(run, 1)
    }
}

struct Bench {
    pool: Arc<NodePool>,
    shard: Shard,
    permits: Permits,
}

impl Bench {
    fn new() -> Self {
        Self::on(Region::memory(config(1).region_words()), 1, 0)
    }

    fn on(region: Region, run: u64, ns: u64) -> Self {
        Self::of(Arc::new(NodePool::open(region, &config(run), at(ns), &[]).unwrap()))
    }

    fn of(pool: Arc<NodePool>) -> Self {
        Self { shard: Shard::new(pool.clone()).unwrap(), pool, permits: Permits::new() }
    }

    fn register(&self, spec: &LimitSpec) -> Arc<Limit> {
        self.pool.register(spec).unwrap()
    }

    /// Attempt 0 at one limit under key 1.
    fn reserve(&mut self, ns: u64, limit: &Limit, amount: u64) -> Verdict {
        self.attempt(ns, 0, &[(limit, 1, amount)])
    }

    fn attempt(&mut self, ns: u64, attempt: u8, limits: &[(&Limit, u128, u64)]) -> Verdict {
        let applied: Vec<_> = limits
            .iter()
            .map(|(limit, key, amount)| Applied { limit, key: Key(*key), amount: *amount })
            .collect();
        self.shard.reserve(at(ns), attempt, &applied, &mut self.permits)
    }

    fn passes(&mut self, ns: u64, limit: &Limit, amount: u64) -> bool {
        self.reserve(ns, limit, amount).is_admitted()
    }

    fn refusal(&mut self, ns: u64, limit: &Limit, amount: u64) -> Refusal {
        match self.reserve(ns, limit, amount) {
            Verdict::Refused(refusal) => refusal,
            admitted => panic!("{admitted:?}"),
        }
    }

    /// Settles attempt 0, which used so much of everything; true if that was more than reserved.
    fn settle(&mut self, ns: u64, used: u64) -> bool {
        self.shard.settle_attempt(at(ns), 0, &mut self.permits, usd(used)).over_reservation
    }

    /// Spend, reserved and left under key 1.
    fn stands(&self, ns: u64, limit: &Limit) -> (u64, u64, u64) {
        let usage = self.pool.usage(at(ns), limit, Key(1));
        (usage.used, usage.reserved, usage.remaining)
    }

    fn alerts(&mut self) -> Vec<AlertKind> {
        let mut alerts = Vec::new();
        self.shard.take_alerts(|alert| alerts.push(alert.kind));
        alerts
    }
}

fn usd(nano: u64) -> Spend {
    Spend { usd_nano: nano, ..Spend::default() }
}

fn money(owner: u128, amount: u64, window: Window) -> LimitSpec {
    LimitSpec::new(owner, "limit", Kind::Usd, amount, window)
}

fn seconds(seconds: u64) -> Window {
    Window::Duration(Duration::from_secs(seconds))
}

fn day() -> Window {
    let zone = time_zone("UTC").unwrap();
    let windows = CalendarWindows::compute(CalendarUnit::Day, &zone, "UTC", (WALL / SECOND) as i64).unwrap();
    Window::Calendar(windows)
}

/// A limit of so much by each way to count: a rolling minute, a fixed minute, a day.
fn ways(amount: u64) -> [LimitSpec; 3] {
    let fixed = LimitSpec { algorithm: Some(Algorithm::Fixed), ..money(2, amount, seconds(60)) };
    [money(1, amount, seconds(60)), fixed, money(3, amount, day())]
}

fn to_day_end(ns: u64) -> u64 {
    DAY - (WALL + ns) % DAY
}

#[test]
fn what_is_not_used_goes_back_and_what_is_used_beyond_counts_and_is_flagged() {
    for spec in ways(1000) {
        let mut bench = Bench::new();
        let limit = bench.register(&spec);
        let Verdict::Admitted(admitted) = bench.reserve(0, &limit, 600) else { panic!("{spec:?}") };
        let standing = admitted.tightest.unwrap();
        assert_eq!((standing.remaining, standing.limit), (400, 1000));
        assert_eq!(bench.stands(0, &limit), (0, 600, 400), "{spec:?}");
        let refusal = bench.refusal(0, &limit, 401);
        assert_eq!((refusal.remaining, refusal.used, refusal.limit), (400, 600, 1000));
        assert!(!bench.settle(0, 150));
        assert!(bench.permits.is_empty());
        assert_eq!(bench.stands(0, &limit), (150, 0, 850), "{spec:?}");
        assert!(bench.passes(0, &limit, 850), "{spec:?}: to the last unit");
        assert!(!bench.passes(0, &limit, 1));
        assert!(bench.settle(0, 900), "50 more than reserved");
        assert_eq!(bench.stands(0, &limit), (1050, 0, 0), "{spec:?}");
        assert!(!bench.passes(0, &limit, 1));
        assert!(!bench.passes(0, &limit, 0), "nothing is left, so nothing passes");
    }
}

#[test]
fn a_refusal_says_why_and_when() {
    let to_sub = SECOND - WALL % SECOND;
    let to_minute = 60 * SECOND - WALL % (60 * SECOND);
    let [rolling, fixed, daily] = ways(1000);
    let tokens = |spec: &LimitSpec| LimitSpec { kind: Kind::Tokens(TokenKind::Both), ..spec.clone() };
    for (spec, kind, retry_after_ns) in [
        (tokens(&rolling), RefusalKind::RateLimited, to_sub + 59 * SECOND),
        (tokens(&fixed), RefusalKind::RateLimited, to_minute),
        (tokens(&daily), RefusalKind::QuotaExhausted, to_day_end(0)),
        (rolling, RefusalKind::BudgetExhausted, to_sub + 59 * SECOND),
        (fixed, RefusalKind::BudgetExhausted, to_minute),
        (daily, RefusalKind::BudgetExhausted, to_day_end(0)),
    ] {
        let mut bench = Bench::new();
        let limit = bench.register(&spec);
        assert!(bench.passes(0, &limit, 990));
        let refusal = bench.refusal(0, &limit, 20);
        assert_eq!((refusal.kind, refusal.retry_after_ns), (kind, retry_after_ns), "{spec:?}");
        assert_eq!((refusal.remaining, refusal.used, refusal.limit), (10, 990, 1000));
        assert!(!bench.passes(retry_after_ns - 1, &limit, 20), "{spec:?} too early");
        assert!(bench.passes(retry_after_ns, &limit, 20), "{spec:?} when it said");
    }
}

#[test]
fn what_is_larger_than_the_whole_can_never_pass() {
    for spec in ways(1000) {
        let mut bench = Bench::new();
        let limit = bench.register(&spec);
        let refusal = bench.refusal(0, &limit, 1001);
        let expected = (RefusalKind::ExceedsLimit, 0, 1000);
        assert_eq!((refusal.kind, refusal.retry_after_ns, refusal.limit), expected);
        assert_eq!((refusal.kind.code(), bench.pool.keys(&limit)), ("exceeds_limit", 0));
        assert!(bench.passes(0, &limit, 1000));
        // Told even while the whole is taken: waiting would not help.
        assert_eq!(bench.refusal(0, &limit, 1001).kind, RefusalKind::ExceedsLimit);
    }
}

#[test]
fn kinds_count_their_own() {
    let used = Spend { input_tokens: 30, output_tokens: 5, usd_nano: 700 };
    let tokens = Kind::Tokens;
    for (kind, expected) in [
        (tokens(TokenKind::Input), 30),
        (tokens(TokenKind::Output), 5),
        (tokens(TokenKind::Both), 35),
        (Kind::Usd, 700),
    ] {
        let mut bench = Bench::new();
        let limit = bench.register(&LimitSpec { kind, ..money(1, 1000, day()) });
        assert!(bench.passes(0, &limit, 100));
        let settled = bench.shard.settle_attempt(at(0), 0, &mut bench.permits, used);
        assert_eq!(settled.over_reservation, expected > 100);
        assert_eq!(bench.stands(0, &limit), (expected, 0, 1000 - expected), "{kind:?}");
    }
}

#[test]
fn all_limits_agree_or_nothing_is_reserved() {
    let mut bench = Bench::new();
    let wide: Vec<_> = ways(100).iter().map(|spec| bench.register(spec)).collect();
    let tokens = LimitSpec { kind: Kind::Tokens(TokenKind::Output), ..money(4, 100, day()) };
    let narrow = bench.register(&tokens);
    assert!(bench.passes(0, &narrow, 60));
    let mut all: Vec<(&Limit, u128, u64)> = wide.iter().map(|limit| (&**limit, 1, 30)).collect();
    all.push((&narrow, 1, 41));
    for _ in 0..50 {
        let Verdict::Refused(refusal) = bench.attempt(0, 1, &all) else { panic!("it passed") };
        assert_eq!((refusal.index, refusal.kind), (3, RefusalKind::QuotaExhausted));
        assert_eq!(bench.permits.reservations(), 1);
    }
    all[3].2 = 101;
    let Verdict::Refused(refusal) = bench.attempt(0, 1, &all) else { panic!("it passed") };
    assert_eq!(refusal.kind, RefusalKind::ExceedsLimit);
    for limit in &wide {
        assert_eq!(bench.stands(0, limit), (0, 0, 100), "what was rolled back is there again");
    }
}

#[test]
fn a_reservation_belongs_to_the_window_it_was_made_in() {
    // Until just before the day ends, and just after.
    let (before, after) = (to_day_end(0) - 1, to_day_end(0));
    for spec in &ways(1000)[1..] {
        for (used, next_day) in [(0, 0), (200, 0), (600, 0), (700, 100)] {
            let mut bench = Bench::new();
            let limit = bench.register(spec);
            assert!(bench.passes(before, &limit, 600));
            // Somebody opens the next window, or nobody does.
            if used != 200 {
                assert!(bench.attempt(after, 1, &[(&limit, 1, 10)]).is_admitted());
                let _ = bench.shard.settle_attempt(at(after), 1, &mut bench.permits, Spend::default());
            }
            assert_eq!(bench.settle(after, used), next_day > 0);
            assert_eq!(bench.stands(after, &limit), (next_day, 0, 1000 - next_day), "{used} {spec:?}");
            assert!(bench.passes(after, &limit, 1000 - next_day));
            assert!(!bench.passes(after, &limit, 1));
        }
    }
}

#[test]
fn a_rolling_reservation_leaves_with_its_sub_bucket() {
    let mut bench = Bench::new();
    let limit = bench.register(&ways(1000)[0]);
    assert!(bench.passes(0, &limit, 600));
    assert!(bench.attempt(30 * SECOND, 1, &[(&limit, 1, 400)]).is_admitted());
    // Of 600 reserved at 0 s 100 are used: they leave at 60 s; the 400 stay until 90 s.
    assert!(!bench.settle(59 * SECOND, 100));
    assert_eq!(bench.stands(59 * SECOND, &limit), (100, 400, 500));
    assert_eq!(bench.stands(60 * SECOND, &limit), (0, 400, 600), "read without a decision");
    assert!(bench.passes(60 * SECOND, &limit, 600));
    assert!(!bench.passes(60 * SECOND, &limit, 1));
    assert!(bench.passes(90 * SECOND, &limit, 400));
    // Settled when its own sub-bucket is gone: nothing goes back, what is beyond counts now.
    let settled = bench.shard.settle_attempt(at(91 * SECOND), 1, &mut bench.permits, usd(0));
    assert!(!settled.over_reservation);
    assert!(!bench.passes(91 * SECOND, &limit, 1));
    bench.permits = Permits::new();
    let mut later = Bench::of(bench.pool.clone());
    assert!(later.passes(400 * SECOND, &limit, 10));
    assert!(later.settle(500 * SECOND, 1000));
    assert_eq!(later.stands(500 * SECOND, &limit), (990, 0, 10), "ten have left, the rest counts from now");
}

#[test]
fn sub_buckets_of_long_ago_are_told_from_those_of_now() {
    // Turns of the block that share the tag of a sub-bucket, and their neighbours.
    for turns in [1, 2, 1023, 1024, 1025, 2048, 5000] {
        let mut bench = Bench::new();
        let limit = bench.register(&ways(1000)[0]);
        assert!(bench.passes(0, &limit, 700));
        let later = turns * 60 * SECOND;
        assert!(bench.attempt(later, 1, &[(&limit, 1, 900)]).is_admitted(), "{turns}");
        assert!(!bench.settle(later, 0), "what is gone does not come back");
        assert!(!bench.attempt(later, 2, &[(&limit, 1, 101)]).is_admitted(), "{turns}");
        assert!(bench.attempt(later, 2, &[(&limit, 1, 100)]).is_admitted(), "{turns}");
    }
}

#[test]
fn attempts_of_a_call_are_held_and_settled_one_by_one() {
    let mut bench = Bench::new();
    let [rolling, _, daily] = ways(1000).map(|spec| bench.register(&spec));
    for attempt in 0..4 {
        assert!(bench.attempt(0, attempt, &[(&rolling, 1, 100), (&daily, 1, 200)]).is_admitted());
    }
    assert_eq!(bench.permits.reservations(), 8);
    for (attempt, used) in [(2, 50), (0, 0), (2, 50), (9, 50)] {
        let _ = bench.shard.settle_attempt(at(0), attempt, &mut bench.permits, usd(used));
    }
    assert_eq!(bench.permits.reservations(), 4, "a second settling and an unknown attempt change nothing");
    assert_eq!(bench.stands(0, &rolling), (50, 200, 750));
    assert_eq!(bench.stands(0, &daily), (50, 400, 550));
    // The call ends: what was not settled is spent.
    bench.shard.release(at(0), &mut bench.permits, BytesMoved::default());
    assert!(bench.permits.is_empty());
    assert_eq!(bench.stands(0, &rolling), (250, 0, 750));
    assert_eq!(bench.stands(0, &daily), (450, 0, 550));
}

#[test]
fn a_call_holds_so_many_reservations_and_no_more() {
    let mut bench = Bench::new();
    let limit = bench.register(&money(1, 1_000_000, day()));
    for attempt in 0..RESERVATIONS_HELD_MAX {
        assert!(bench.attempt(0, attempt as u8, &[(&limit, 1, 1)]).is_admitted());
    }
    assert_eq!(bench.refusal(0, &limit, 1).kind, RefusalKind::Unavailable);
    assert!(!bench.settle(0, 1));
    assert!(bench.passes(0, &limit, 1));
    let many = vec![(&*limit, 1, 1); APPLIED_MAX + 1];
    let Verdict::Refused(refusal) = bench.attempt(0, 0, &many) else { panic!("it passed") };
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
}

#[test]
fn budgets_of_ten_million_dollars_are_exact_to_the_nano_dollar() {
    const BUDGET: u64 = 10_000_000 * SECOND;
    let most = WINDOW_AMOUNT_MAX;
    for amount in [BUDGET, most] {
        for spec in ways(amount) {
            let mut bench = Bench::new();
            let limit = bench.register(&spec);
            assert!(bench.passes(0, &limit, amount - 3));
            assert!(bench.attempt(0, 1, &[(&limit, 1, 2)]).is_admitted());
            assert!(!bench.passes(0, &limit, 2), "{spec:?}");
            assert!(bench.attempt(0, 1, &[(&limit, 1, 1)]).is_admitted());
            assert!(!bench.settle(0, amount - 4));
            assert_eq!(bench.stands(0, &limit), (amount - 4, 3, 1), "{spec:?}");
        }
    }
    let over = ways(most + 1).map(|spec| spec.validate().unwrap_err());
    assert!(over.iter().all(|error| *error == SpecError::AmountTooLarge { amount: most + 1, max: most }));
}

#[test]
fn soft_limits_count_flag_and_let_pass() {
    for spec in ways(100) {
        let mut bench = Bench::new();
        let limit = bench.register(&LimitSpec { mode: Mode::Soft, ..spec.clone() });
        let flags: Vec<u32> = [60, 40, 1, 500]
            .map(|amount| match bench.reserve(0, &limit, amount) {
                Verdict::Admitted(admitted) => admitted.soft_exceeded,
                refused => panic!("{refused:?}"),
            })
            .to_vec();
        assert_eq!(flags, [0, 0, 1, 1], "{spec:?}");
        assert_eq!(bench.stands(0, &limit), (0, 601, 0));
        assert!(!bench.settle(0, 0));
        assert_eq!(bench.stands(0, &limit), (0, 0, 100));
    }
}

#[test]
fn alerts_come_once_a_window() {
    let crossed = |places: &[u8]| places.iter().map(|n| AlertKind::Crossed(*n)).collect::<Vec<_>>();
    for spec in ways(1000) {
        let mut bench = Bench::new();
        let limit = bench.register(&LimitSpec { alert_at: vec![50, 80, 100], ..spec.clone() });
        assert!(bench.passes(0, &limit, 499));
        assert!(bench.alerts().is_empty());
        assert!(bench.passes(0, &limit, 1));
        assert_eq!(bench.alerts(), crossed(&[0]), "{spec:?}");
        // Given back and reserved again: not told again.
        assert!(!bench.settle(0, 0) && bench.passes(0, &limit, 600));
        assert!(bench.alerts().is_empty(), "{spec:?}");
        assert!(bench.settle(0, 850));
        assert_eq!(bench.alerts(), crossed(&[1]), "use beyond the reservation counts");
        // Nothing fits exactly, but a call was refused.
        assert!(!bench.passes(0, &limit, 200));
        assert_eq!(bench.alerts(), crossed(&[2]), "{spec:?}");
        assert!(!bench.passes(0, &limit, 200));
        assert!(bench.alerts().is_empty());
        let next = 2 * DAY;
        assert!(bench.passes(next, &limit, 900));
        assert_eq!(bench.alerts(), crossed(&[0, 1]), "{spec:?}: a new window");
    }
}

#[test]
fn a_worker_that_dies_leaves_its_reservation_spent() {
    for spec in ways(1000) {
        let mut bench = Bench::new();
        let limit = bench.register(&spec);
        assert!(bench.passes(0, &limit, 700));
        let mut other = Bench::of(bench.pool.clone());
        bench.pool.reclaim(bench.shard.seat(), at(0));
        assert!(!other.passes(0, &limit, 301), "{spec:?}");
        assert!(other.passes(0, &limit, 300));
        assert_eq!(bench.refusal(0, &limit, 1).kind, RefusalKind::Unavailable, "the dead one is fenced");
    }
}

#[test]
fn reservations_outlive_the_process_as_spent_and_a_ledger_corrects_them() {
    let path = std::env::temp_dir().join(format!("penstock-limits-reserve-{}", std::process::id()));
    for spec in ways(1000) {
        let file =
            std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let map = || Region::file(&file, config(1).region_words()).unwrap();
        {
            let mut bench = Bench::on(map(), 1, 0);
            let limit = bench.register(&spec);
            assert!(bench.attempt(0, 1, &[(&limit, 1, 200)]).is_admitted());
            let _ = bench.shard.settle_attempt(at(0), 1, &mut bench.permits, usd(50));
            assert!(bench.passes(0, &limit, 700));
        }
        let mut bench = Bench::on(map(), 2, SECOND);
        let limit = bench.register(&spec);
        assert_eq!(bench.stands(SECOND, &limit), (750, 0, 250), "{spec:?}");
        // The ledger knows that the open attempt used 90.
        assert!(bench.pool.book(at(SECOND), &limit, Key(1), WALL, Booking::Subtract(610)));
        assert_eq!(bench.stands(SECOND, &limit), (140, 0, 860), "{spec:?}");
        assert!(bench.passes(SECOND, &limit, 860));
        assert!(!bench.passes(SECOND, &limit, 1));
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_ledger_books_into_the_window_of_the_use_and_into_no_other() {
    let hour = 3600 * SECOND;
    for (place, spec) in ways(1000).into_iter().enumerate() {
        let bench = Bench::new();
        let limit = bench.register(&spec);
        let now = at(hour);
        let book = |ago: u64, booking| bench.pool.book(now, &limit, Key(1), now.wall_ns - ago, booking);
        assert!(book(0, Booking::Add(100)));
        assert!(book(20 * SECOND, Booking::Add(2000)), "beyond the limit too");
        assert_eq!(bench.stands(hour, &limit), (2100, 0, 0), "{spec:?}");
        assert!(book(20 * SECOND, Booking::Subtract(1900)));
        assert_eq!(bench.stands(hour, &limit), (200, 0, 800), "{spec:?}");
        let long_ago = [61 * SECOND, 60 * SECOND, DAY][place];
        assert!(!book(long_ago, Booking::Add(1)), "{spec:?}: a window that is over");
        assert!(!book(long_ago, Booking::Subtract(1)));
        assert!(book(0, Booking::Subtract(u64::MAX)), "below nothing it stops");
        assert_eq!(bench.stands(hour, &limit).0, [100, 0, 0][place], "{spec:?}");
        if place == 0 {
            // Spend 20 s ago: leaves the minute 40 s from now.
            assert_eq!(bench.stands(hour + 39 * SECOND, &limit).0, 100);
            assert_eq!(bench.stands(hour + 40 * SECOND, &limit).0, 0);
        }
        // Told of a time to come: it is now.
        assert!(bench.pool.book(now, &limit, Key(1), now.wall_ns + DAY, Booking::Add(7)));
        assert_eq!(
            bench.pool.usage(now, &limit, Key(2)),
            Usage { used: 0, ..untouched(&bench, hour, &limit) }
        );
    }
    let bench = Bench::new();
    let requests = LimitSpec { kind: Kind::Requests, ..money(9, 10, day()) };
    let limit = bench.register(&requests);
    assert!(!bench.pool.book(at(0), &limit, Key(1), WALL, Booking::Add(1)), "requests are in no ledger");
}

/// How a key stands that was never seen.
fn untouched(bench: &Bench, ns: u64, limit: &Limit) -> Usage {
    bench.pool.usage(at(ns), limit, Key(0xdead))
}

#[test]
fn usage_is_read_without_a_trace() {
    let tokens = LimitSpec { kind: Kind::Tokens(TokenKind::Both), ..money(1, 1000, seconds(60)) };
    let plain =
        |kind, amount, window| LimitSpec { owner: 7, ..LimitSpec::new(7, "plain", kind, amount, window) };
    let fixed = Some(Algorithm::Fixed);
    let bench = Bench::new();
    let minute = 60 * SECOND - WALL % (60 * SECOND);
    for (spec, used, reset_ns) in [
        (tokens, 0, 0),
        (plain(Kind::Requests, 10, seconds(10)), 3, 3 * SECOND),
        (LimitSpec { algorithm: fixed, ..plain(Kind::Requests, 10, seconds(60)) }, 3, minute),
        (plain(Kind::Requests, 10, day()), 3, to_day_end(0)),
        (plain(Kind::Concurrent, 10, Window::None), 3, 0),
        (plain(Kind::Bytes(Direction::Up), 10, seconds(10)), 3, 3 * SECOND),
    ] {
        let limit = bench.register(&spec);
        let mut shard = Shard::new(bench.pool.clone()).unwrap();
        let mut permits = Permits::new();
        for _ in 0..used {
            assert!(shard.admit(at(0), &[Applied::one(&limit, Key(1))], &mut permits).is_admitted());
        }
        let keys = bench.pool.keys(&limit);
        let expected = Usage {
            used,
            reserved: 0,
            remaining: limit.amount() - used,
            limit: limit.amount(),
            reset_ns,
            window_ns: limit.window_ns(),
        };
        for _ in 0..3 {
            assert_eq!(bench.pool.usage(at(0), &limit, Key(1)), expected, "{spec:?}");
        }
        let other = bench.pool.usage(at(0), &limit, Key(2));
        assert_eq!((other.used, other.remaining, other.reset_ns), (0, limit.amount(), 0), "{spec:?}");
        assert_eq!((bench.pool.keys(&limit), bench.pool.overflowed(&limit)), (keys, 0));
        shard.close(at(0));
    }
}

#[test]
fn usage_says_when_a_rolling_window_is_empty_and_how_a_shared_bucket_stands() {
    let mut bench = Bench::new();
    let limit = bench.register(&LimitSpec { keys_max: 1, ..money(1, 1000, seconds(60)) });
    assert!(bench.passes(0, &limit, 10));
    let reset = |ns: u64| bench.pool.usage(at(ns), &limit, Key(1)).reset_ns;
    assert_eq!((reset(0), reset(20 * SECOND), reset(60 * SECOND)), (60 * SECOND, 40 * SECOND, 0));
    assert!(bench.attempt(0, 1, &[(&limit, 2, 300)]).is_admitted());
    for key in [2, 3] {
        let usage = bench.pool.usage(at(0), &limit, Key(key));
        assert_eq!((usage.reserved, usage.remaining), (300, 700), "both share what is left");
    }
}

#[test]
fn use_beyond_a_reservation_finds_its_key_wherever_it_is_counted_by_then() {
    // The key's place was given away in between: its window is long over.
    for spec in ways(1000) {
        let mut bench = Bench::new();
        let limit = bench.register(&spec);
        assert!(bench.passes(0, &limit, 100));
        let later = 3 * DAY;
        assert!(bench.attempt(later, 1, &[(&limit, 2, 1)]).is_admitted());
        assert_eq!(bench.pool.sweep(at(later), 10_000), 1, "{spec:?}");
        assert!(bench.settle(later, 350));
        assert_eq!(bench.stands(later, &limit), (250, 0, 750), "{spec:?}");
    }
}

#[test]
fn a_reload_moves_no_counter_and_settles_by_the_limit_as_it_is_now() {
    let mut bench = Bench::new();
    let before = money(1, 1000, day());
    let limit = bench.register(&before);
    assert!(bench.passes(0, &limit, 600));
    let again = bench.register(&LimitSpec { amount: 500, ..before.clone() });
    assert_eq!(again.id(), limit.id());
    assert_eq!(bench.stands(0, &again), (0, 600, 0));
    assert!(!bench.settle(0, 450));
    assert!(bench.passes(0, &again, 50) && !bench.passes(0, &again, 1));

    // Removed and its place another's while an attempt is under way: nothing of it is counted there.
    let (mut bench, later) = (Bench::new(), 2 * DAY);
    let limit = bench.register(&before);
    assert!(bench.attempt(0, 0, &[(&limit, 0, 600)]).is_admitted());
    let seen = bench.register(&LimitSpec { owner: 2, ..before.clone() });
    bench.pool.retain(&[seen.id()]);
    // Only a key of that very limit tells it which window is the latest.
    assert!(bench.attempt(later, 1, &[(&limit, 5, 1)]).is_admitted());
    let _ = bench.shard.settle_attempt(at(later), 1, &mut bench.permits, Spend::default());
    bench.pool.sweep(at(later), 10_000);
    let other = bench.register(&LimitSpec { owner: 3, ..before });
    let mut foreign = Bench::of(bench.pool.clone());
    assert!(foreign.attempt(later, 0, &[(&other, 0, 100)]).is_admitted());
    // The worker has met the other limit, and it has not.
    assert!(bench.attempt(later, 2, &[(&other, 0, 100)]).is_admitted());
    assert!(!bench.settle(later, 5000));
    let usage = bench.pool.usage(at(later), &other, Key::OWNER);
    assert_eq!((usage.used, usage.reserved, usage.remaining), (0, 200, 800));
}

#[test]
fn beyond_the_blocks_rolling_keys_share_one() {
    let mut bench = Bench::new();
    let limit = bench.register(&money(1, 1000, seconds(60)));
    // Two of the 80 blocks are the limit's own.
    for key in 1..=78 {
        assert!(bench.attempt(0, 0, &[(&limit, key, 1000)]).is_admitted());
        assert!(!bench.settle(0, 1000));
    }
    assert_eq!(bench.pool.overflowed(&limit), 0);
    assert!(bench.attempt(0, 0, &[(&limit, 100, 600)]).is_admitted());
    assert!(!bench.attempt(0, 0, &[(&limit, 101, 600)]).is_admitted(), "it shares");
    assert!(bench.alerts().contains(&AlertKind::Overflow));
    assert!(!bench.settle(0, 100));
    assert!(bench.attempt(0, 0, &[(&limit, 101, 600)]).is_admitted());
    // Idle blocks are taken from their keys, and only those.
    let later = 61 * SECOND;
    assert!(bench.attempt(later, 1, &[(&limit, 1, 1)]).is_admitted());
    assert_eq!(bench.pool.sweep(at(later), 10_000), 77);
    assert_eq!(bench.pool.keys(&limit), 1);
    assert!(bench.attempt(later, 1, &[(&limit, 102, 1000)]).is_admitted());
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let base = money(1, 1000, seconds(60));
    let tokens = LimitSpec { kind: Kind::Tokens(TokenKind::Input), ..base.clone() };
    for (spec, expected) in [
        (base.clone(), Ok(())),
        (tokens.clone(), Ok(())),
        (LimitSpec { algorithm: Some(Algorithm::Gcra), ..base.clone() }, Err(SpecError::GcraReserves)),
        (LimitSpec { algorithm: Some(Algorithm::Gcra), ..tokens.clone() }, Err(SpecError::GcraReserves)),
        (LimitSpec { burst: Some(5), ..tokens.clone() }, Err(SpecError::BurstWithoutGcra)),
        (LimitSpec { window: Window::None, ..tokens.clone() }, Err(SpecError::WindowMissing)),
        (LimitSpec { amount: 0, ..base }, Err(SpecError::ZeroAmount)),
    ] {
        assert_eq!(spec.validate(), expected, "{spec:?}");
    }
    assert_eq!(default_name(tokens.kind, "app", "1m"), "input_tokens/app/1m");
}

#[test]
fn an_older_file_is_not_taken_over() {
    let path = std::env::temp_dir().join(format!("penstock-limits-older-{}", std::process::id()));
    std::fs::write(&path, b"penslim1".iter().rev().copied().collect::<Vec<u8>>()).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let region = Region::file(&file, config(1).region_words()).unwrap();
    assert_eq!(NodePool::open(region, &config(1), at(0), &[]).err(), Some(OpenError::OtherShape));
    std::fs::remove_file(path).unwrap();
}
