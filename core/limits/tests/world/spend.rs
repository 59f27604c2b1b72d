//! A deterministic world for tokens and money: attempts that reserve and settle later, workers that die, clocks that
//! step, power that is cut and a ledger that corrects what was lost.
//!
//! There are no leases here, so whatever happens every single decision must be that of one unsharded reference.

use std::{collections::BTreeMap, collections::HashMap, sync::Arc, time::Duration};

use penstock_limits::{
    Algorithm, Applied, Booking, BytesMoved, CalendarUnit, Key, Kind, Limit, LimitSpec, Mode, NodeConfig,
    NodePool, Now, POWER_CUT_WINDOW_NS, Permits, Refusal, RefusalKind, Region, Shard, Spend, TokenKind,
    Verdict, Window,
};

use super::{MS, SECOND, WALL_START, check, limits, random::Random};

/// What a seed does besides calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    WallSteps,
    /// Worker deaths, crashes, upgrades.
    Deaths,
    PowerCuts,
}

/// Sums over seeds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SpendTotals {
    pub(crate) seeds: u64,
    pub(crate) attempts: u64,
    pub(crate) reserved: u64,
    pub(crate) over_reservation: u64,
    pub(crate) exceeded_limit: u64,
    pub(crate) turned_windows: u64,
    pub(crate) deaths: u64,
    pub(crate) crashes: u64,
    pub(crate) upgrades: u64,
    pub(crate) power_cuts: u64,
    pub(crate) booked: u64,
    pub(crate) wall_steps: u64,
}

impl SpendTotals {
    /// Adds another seed's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.attempts += other.attempts;
        self.reserved += other.reserved;
        self.over_reservation += other.over_reservation;
        self.exceeded_limit += other.exceeded_limit;
        self.turned_windows += other.turned_windows;
        self.deaths += other.deaths;
        self.crashes += other.crashes;
        self.upgrades += other.upgrades;
        self.power_cuts += other.power_cuts;
        self.booked += other.booked;
        self.wall_steps += other.wall_steps;
    }
}

/// Amounts of limits; the largest is ten million dollars in nano-dollars. All limits of a seed have one, as all of an
/// attempt's use counts at each.
const AMOUNTS: [u64; 7] = [1, 3, 10, 1000, 50_000, 5_000_000_000, 10_000_000_000_000_000];

/// A limit as the reference counts it.
#[derive(Debug, Clone)]
struct SpendLimit {
    spec: LimitSpec,
    by_caller: bool,
    /// Windows before this one are closed: the power was cut.
    floor: u64,
}

impl SpendLimit {
    fn random(random: &mut Random, owner: u128, amount: u64) -> Self {
        let kinds = [
            Kind::Tokens(TokenKind::Input),
            Kind::Tokens(TokenKind::Output),
            Kind::Tokens(TokenKind::Both),
            Kind::Usd,
            Kind::Usd,
        ];
        let ms = |ms| Window::Duration(Duration::from_millis(ms));
        let (window, algorithm) = match random.below(8) {
            0 => (limits::calendar(CalendarUnit::Hour), None),
            1 => (limits::calendar(CalendarUnit::Day), None),
            2 => (ms(1000), Some(Algorithm::Fixed)),
            3 => (ms(60_000), Some(Algorithm::Fixed)),
            4 => (ms(500), None),
            5 => (ms(7_200_000), None),
            _ => (ms([1000, 7000, 60_000][random.below(3) as usize]), None),
        };
        let kind = kinds[random.below(5) as usize];
        // Soft limits have no end but the greatest count, which the largest amount is half of.
        let mode = if random.below(6) == 0 && amount < AMOUNTS[6] { Mode::Soft } else { Mode::Hard };
        let spec = LimitSpec { algorithm, mode, ..LimitSpec::new(owner, "limit", kind, amount, window) };
        Self { spec, by_caller: random.below(2) == 0, floor: 0 }
    }

    fn window_ns(&self) -> u64 {
        match &self.spec.window {
            Window::Duration(per) => per.as_nanos() as u64,
            Window::Calendar(windows) if windows.unit() == CalendarUnit::Hour => 3600 * SECOND,
            _ => 86_400 * SECOND,
        }
    }

    /// Windows in a row that are counted together.
    fn width(&self) -> u64 {
        match (&self.spec.window, self.spec.algorithm) {
            (Window::Duration(_), None) => 60,
            _ => 1,
        }
    }

    fn index(&self, time: u64, wall: u64) -> u64 {
        match &self.spec.window {
            Window::Calendar(windows) => check::calendar_index(wall, windows.unit() == CalendarUnit::Hour),
            _ => check::aligned(time) / self.window_ns().div_ceil(self.width()),
        }
    }
}

/// One amount that counts.
#[derive(Debug, Clone, Copy)]
struct Line {
    index: u64,
    amount: u64,
    open: bool,
}

/// One counter: every amount on a line of its own.
#[derive(Debug, Default)]
struct Account {
    latest: u64,
    lines: Vec<Line>,
}

impl Account {
    fn sum(&self, latest: u64, width: u64, of_open: bool) -> u64 {
        let counts = |line: &&Line| line.index + width > latest && (!of_open || line.open);
        self.lines.iter().filter(counts).map(|line| line.amount).sum()
    }
}

/// Limit, key, wall time and what is booked.
type LedgerLine = (usize, Key, u64, Booking);

/// An attempt under way.
struct Attempt {
    worker: usize,
    incarnation: u64,
    number: u8,
    permits: Permits,
    used: Spend,
    /// Limit, key, place of the line, amount, wall time.
    lines: Vec<(usize, Key, usize, u64, u64)>,
}

struct Worker {
    shard: Shard,
    incarnation: u64,
}

struct World {
    random: Random,
    faults: Faults,
    config: NodeConfig,
    region: Region,
    pool: Arc<NodePool>,
    limits: Vec<SpendLimit>,
    registered: Vec<Arc<Limit>>,
    accounts: HashMap<(usize, Key), Account>,
    workers: Vec<Worker>,
    attempts: BTreeMap<(u64, u64), Attempt>,
    next: u64,
    time: u64,
    mono_zero: u64,
    wall_offset: i64,
    /// What a disk holds, and the ledger's lines since.
    synced: Option<(Region, Vec<LedgerLine>)>,
    totals: SpendTotals,
}

/// Runs one seed; panics with the seed in the message when a decision is not the reference's.
pub(crate) fn run(seed: u64) -> SpendTotals {
    let mut world = World::new(seed);
    for _ in 0..400 {
        world.step(seed);
    }
    world.totals
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5bd1_e995);
        let faults = match random.below(6) {
            0 | 1 => Faults::None,
            2 => Faults::WallSteps,
            3 => Faults::Deaths,
            _ => Faults::PowerCuts,
        };
        let config = NodeConfig {
            limits_max: 4,
            keys_max: 64,
            rolling_keys_max: 0,
            wide_keys_max: 40,
            workers_max: 18,
            ..NodeConfig::new(1, 1)
        };
        let region = Region::memory(config.region_words());
        let now = Now { mono_ns: 1000 * SECOND, wall_ns: WALL_START };
        let pool = Arc::new(NodePool::open(region.clone(), &config, now, &[]).unwrap());
        let amount = AMOUNTS[random.below(7) as usize];
        let limits: Vec<_> = (0..1 + random.below(3))
            .map(|owner| SpendLimit::random(&mut random, owner.into(), amount))
            .collect();
        let mut world = Self {
            faults,
            region,
            registered: limits.iter().map(|limit| pool.register(&limit.spec).unwrap()).collect(),
            pool,
            config,
            limits,
            accounts: HashMap::new(),
            workers: Vec::new(),
            attempts: BTreeMap::new(),
            next: 0,
            time: 1000 * SECOND,
            mono_zero: 0,
            wall_offset: 0,
            synced: None,
            totals: SpendTotals { seeds: 1, ..SpendTotals::default() },
            random,
        };
        for _ in 0..1 + world.random.below(6) {
            world.hire();
        }
        world
    }

    fn hire(&mut self) {
        self.next += 1;
        let shard = Shard::new(self.pool.clone()).unwrap();
        self.workers.push(Worker { shard, incarnation: self.next });
    }

    fn now(&self) -> Now {
        let wall_ns = (WALL_START + self.time - 1000 * SECOND).saturating_add_signed(self.wall_offset);
        Now { mono_ns: self.time - self.mono_zero, wall_ns }
    }

    fn step(&mut self, seed: u64) {
        let window = self.limits[0].window_ns();
        let gap = match self.random.below(12) {
            0..4 => 0,
            4..8 => self.random.below(window / 60 + 1),
            8..10 => self.random.below(window / 3 + 1),
            10 => self.random.below(window * 2),
            // Just before or at the end of a window or sub-bucket.
            _ => {
                let sub = window.div_ceil(self.limits[0].width());
                (sub - check::aligned(self.time) % sub).saturating_sub(self.random.below(2))
            }
        };
        let until = self.time + gap;
        while let Some(first) = self.attempts.first_entry().filter(|first| first.key().0 <= until) {
            let (time, _) = *first.key();
            let attempt = first.remove();
            self.time = self.time.max(time);
            self.settle(attempt);
        }
        self.time = until;
        let now = self.now();
        self.workers.iter_mut().for_each(|worker| worker.shard.tick(now));
        match self.random.below(25) {
            0 => self.fault(),
            1..5 => self.read(seed),
            _ => self.attempt(seed),
        }
    }

    fn attempt(&mut self, seed: u64) {
        let at = self.random.below(self.workers.len() as u64) as usize;
        let caller = Key(1 + u128::from(self.random.below(3)));
        let now = self.now();
        let uses: Vec<(usize, Key, u64)> = (0..self.limits.len())
            .map(|place| {
                let limit = &self.limits[place];
                let whole = limit.spec.amount;
                let amount = match self.random.below(20) {
                    0 => whole + 1,
                    1 => whole,
                    2 => 0,
                    3 => 1,
                    _ => self.random.below(whole / (1 + self.random.peek_below(12)) + 1),
                };
                (place, if limit.by_caller { caller } else { Key::OWNER }, amount)
            })
            .collect();
        let applied: Vec<_> = uses
            .iter()
            .map(|(place, key, amount)| Applied {
                limit: &self.registered[*place],
                key: *key,
                amount: *amount,
            })
            .collect();
        let mut permits = Permits::new();
        let number = self.random.below(4) as u8;
        let verdict = self.workers[at].shard.reserve(now, number, &applied, &mut permits);
        let expected = self.decide(now, &uses);
        self.totals.attempts += 1;
        match (verdict, expected) {
            (Verdict::Admitted(admitted), Ok(exceeded)) => {
                assert_eq!(admitted.soft_exceeded, exceeded, "seed {seed}: {:#?}", self.limits);
                self.totals.reserved += 1;
                self.hold(at, number, permits, now, &uses);
            }
            (Verdict::Refused(refusal), Err((index, kind, remaining))) => {
                let got = (usize::from(refusal.index), refusal.kind, refusal.remaining);
                assert_eq!(got, (index, kind, remaining), "seed {seed}: {refusal:?} {:#?}", self.limits);
                assert!(permits.is_empty(), "seed {seed}: a refused attempt holds something");
                self.totals.exceeded_limit += u64::from(kind == RefusalKind::ExceedsLimit);
                self.waits(at, number, now, &uses, refusal, seed);
            }
            (verdict, expected) => {
                panic!("seed {seed}: {verdict:?}, the reference {expected:?} at {uses:?} {:#?}", self.limits)
            }
        }
    }

    /// A refusal of one limit alone tells the very moment from which on the attempt passes, if nothing else happens.
    fn waits(
        &mut self,
        at: usize,
        number: u8,
        now: Now,
        uses: &[(usize, Key, u64)],
        refusal: Refusal,
        seed: u64,
    ) {
        let settles = self.attempts.first_key_value().map_or(u64::MAX, |((time, _), _)| *time);
        let then = self.time + refusal.retry_after_ns;
        if uses.len() > 1
            || refusal.kind == RefusalKind::ExceedsLimit
            || settles <= then
            || self.faults == Faults::WallSteps
            || self.random.below(4) > 0
        {
            return;
        }
        let (place, key, amount) = uses[0];
        let limit = self.registered[place].clone();
        let applied = [Applied { limit: &limit, key, amount }];
        let mut try_at = |ns: u64| {
            let now = Now { mono_ns: now.mono_ns + ns, wall_ns: now.wall_ns + ns };
            self.workers[at].shard.reserve(now, number, &applied, &mut Permits::new()).is_admitted()
        };
        assert!(!try_at(refusal.retry_after_ns - 1), "seed {seed}: {refusal:?} passes earlier");
        self.time = then - 1;
        assert!(self.decide(self.now(), uses).is_err());
        let mut permits = Permits::new();
        self.time = then;
        let now = self.now();
        let verdict = self.workers[at].shard.reserve(now, number, &applied, &mut permits);
        let expected = self.decide(now, uses);
        assert_eq!(verdict.is_admitted(), expected.is_ok(), "seed {seed}: {verdict:?} {expected:?}");
        assert!(verdict.is_admitted(), "seed {seed}: not when it said: {refusal:?} {verdict:?}");
        self.hold(at, number, permits, now, uses);
    }

    /// What one unsharded counter of each limit says, in order: soft limits exceeded, or the refusing one.
    fn decide(&mut self, now: Now, uses: &[(usize, Key, u64)]) -> Result<u32, (usize, RefusalKind, u64)> {
        let mut exceeded = 0;
        for (place, key, amount) in uses {
            let limit = &self.limits[*place];
            let soft = limit.spec.mode == Mode::Soft;
            if *amount > limit.spec.amount && !soft {
                return Err((*place, RefusalKind::ExceedsLimit, 0));
            }
            let account = self.accounts.entry((*place, *key)).or_default();
            account.latest = account.latest.max(limit.index(self.time, now.wall_ns));
            let sum = account.sum(account.latest, limit.width(), false);
            let closed = account.latest < limit.floor;
            let room = if closed { 0 } else { limit.spec.amount.saturating_sub(sum) };
            if room < (*amount).max(1) && !soft {
                let kind = match (limit.spec.kind, &limit.spec.window) {
                    (Kind::Usd, _) => RefusalKind::BudgetExhausted,
                    (_, Window::Calendar(_)) => RefusalKind::QuotaExhausted,
                    _ => RefusalKind::RateLimited,
                };
                return Err((*place, kind, room));
            }
            exceeded |= u32::from(soft && sum + amount > limit.spec.amount) << place;
        }
        Ok(exceeded)
    }

    fn hold(&mut self, at: usize, number: u8, permits: Permits, now: Now, uses: &[(usize, Key, u64)]) {
        let mut lines = Vec::new();
        for (place, key, amount) in uses {
            let account = self.accounts.entry((*place, *key)).or_default();
            lines.push((*place, *key, account.lines.len(), *amount, now.wall_ns));
            account.lines.push(Line { index: account.latest, amount: *amount, open: true });
            self.note(*place, *key, now.wall_ns, Booking::Add(*amount));
        }
        // Far over the largest amount is the greatest count.
        let amounts = uses.iter().map(|(.., amount)| *amount);
        let (most, beyond) = match self.limits[0].spec.amount == AMOUNTS[6] {
            true => (amounts.min().unwrap_or(0), 3),
            false => amounts.max().map_or((0, 3), |most| (most, most / 4 + 3)),
        };
        let mut use_of = || match self.random.below(8) {
            0 => 0,
            1 => most,
            2 => most + self.random.below(beyond),
            _ => self.random.below(most + 1),
        };
        let (tokens, usd_nano) = (use_of(), use_of());
        let input_tokens = self.random.below(tokens + 1);
        let used = Spend { input_tokens, output_tokens: tokens - input_tokens, usd_nano };
        let length = match self.random.below(4) {
            0 => 0,
            1 => self.random.below(self.limits[0].window_ns() * 3),
            _ => self.random.below(self.limits[0].window_ns() / 10 + 10 * MS),
        };
        let incarnation = self.workers[at].incarnation;
        let attempt = Attempt { worker: at, incarnation, number, permits, used, lines };
        self.next += 1;
        self.attempts.insert((self.time + length, self.next), attempt);
    }

    /// A line of the ledger.
    fn note(&mut self, place: usize, key: Key, wall: u64, booking: Booking) {
        if let Some((_, lines)) = &mut self.synced {
            lines.push((place, key, wall, booking));
        }
    }

    fn settle(&mut self, mut attempt: Attempt) {
        let now = self.now();
        let worker = &mut self.workers[attempt.worker];
        if worker.incarnation != attempt.incarnation {
            // Nobody is left to settle it: it is spent.
            return;
        }
        let settled = worker.shard.settle_attempt(now, attempt.number, &mut attempt.permits, attempt.used);
        assert!(attempt.permits.is_empty());
        worker.shard.release(now, &mut attempt.permits, BytesMoved::default());
        let mut over = false;
        for (place, key, line, amount, wall) in attempt.lines {
            let limit = &self.limits[place];
            let used = attempt.used.of(limit.spec.kind);
            let index = limit.index(self.time, now.wall_ns);
            let Some(account) = self.accounts.get_mut(&(place, key)) else { continue };
            account.lines[line].amount = amount.min(used);
            account.lines[line].open = false;
            self.totals.turned_windows += u64::from(account.lines[line].index + limit.width() <= index);
            if used < amount {
                self.note(place, key, wall, Booking::Subtract(amount - used));
            } else if used > amount {
                over = true;
                account.latest = account.latest.max(index);
                account.lines.push(Line { index: account.latest, amount: used - amount, open: false });
                self.note(place, key, now.wall_ns, Booking::Add(used - amount));
            }
        }
        assert_eq!(settled.over_reservation, over);
        self.totals.over_reservation += u64::from(over);
    }

    /// How keys stand is what the reference says, and reading changes nothing.
    fn read(&mut self, seed: u64) {
        let now = self.now();
        for ((place, key), account) in &self.accounts {
            let limit = &self.limits[*place];
            let latest = account.latest.max(limit.index(self.time, now.wall_ns));
            let sum = account.sum(latest, limit.width(), false);
            let usage = self.pool.usage(now, &self.registered[*place], *key);
            assert_eq!(usage.used + usage.reserved, sum, "seed {seed}: {usage:?} {limit:#?}");
            let left = if latest < limit.floor { 0 } else { limit.spec.amount.saturating_sub(sum) };
            assert_eq!(usage.remaining, left, "seed {seed}: {usage:?} {limit:#?}");
            if self.faults == Faults::None && limit.width() == 1 {
                let open = account.sum(latest, limit.width(), true);
                assert_eq!(usage.reserved, open, "seed {seed}: {usage:?} {limit:#?}");
            }
        }
    }

    fn fault(&mut self) {
        match self.faults {
            Faults::None => {}
            Faults::WallSteps => {
                let size = [SECOND, 70 * SECOND, 4000 * SECOND, 90_000 * SECOND];
                let size = size[self.random.below(4) as usize];
                self.wall_offset += self.random.below(2 * size) as i64 - size as i64;
                self.totals.wall_steps += 1;
            }
            Faults::Deaths => match self.random.below(3) {
                0 => {
                    let at = self.random.below(self.workers.len() as u64) as usize;
                    let now = self.now();
                    let dead = self.workers.swap_remove(at);
                    self.orphan(|attempt| attempt.worker == at);
                    for attempt in self.attempts.values_mut() {
                        if attempt.worker == self.workers.len() {
                            attempt.worker = at;
                        }
                    }
                    self.pool.reclaim(dead.shard.seat(), now);
                    self.hire();
                    self.totals.deaths += 1;
                }
                1 => {
                    self.reopen(1, &[]);
                    self.totals.crashes += 1;
                }
                _ => self.upgrade(),
            },
            Faults::PowerCuts => match self.synced.take() {
                Some(synced) if self.random.below(3) == 0 => self.cut_power(synced),
                _ => self.synced = Some((self.region.snapshot(), Vec::new())),
            },
        }
    }

    /// Attempts that nobody will settle are spent.
    fn orphan(&mut self, is_lost: impl Fn(&Attempt) -> bool) {
        let accounts = &mut self.accounts;
        self.attempts.retain(|_, attempt| {
            if is_lost(attempt) {
                for (place, key, line, ..) in &attempt.lines {
                    if let Some(account) = accounts.get_mut(&(*place, *key)) {
                        account.lines[*line].open = false;
                    }
                }
            }
            !is_lost(attempt)
        });
    }

    fn open(&mut self, boot_id: u128, live: &[u64]) {
        self.config = NodeConfig { run: self.config.run + 1, boot_id, ..self.config.clone() };
        let pool = NodePool::open(self.region.clone(), &self.config, self.now(), live).unwrap();
        self.pool = Arc::new(pool);
        self.registered = self.limits.iter().map(|limit| self.pool.register(&limit.spec).unwrap()).collect();
    }

    fn reopen(&mut self, boot_id: u128, live: &[u64]) {
        let count = self.workers.len();
        self.workers.clear();
        self.orphan(|_| true);
        self.open(boot_id, live);
        (0..count).for_each(|_| self.hire());
    }

    /// A second process takes over; the first one's attempts are settled where they began, or die with it.
    fn upgrade(&mut self) {
        self.open(1, &[self.config.run]);
        let old = std::mem::take(&mut self.workers);
        let count = old.len();
        (0..count).for_each(|_| self.hire());
        let kill = self.random.below(3) == 0;
        let now = self.now();
        let new = std::mem::replace(&mut self.workers, old);
        if kill {
            self.orphan(|_| true);
        }
        while let Some((_, attempt)) = self.attempts.pop_first() {
            self.settle(attempt);
        }
        for worker in std::mem::replace(&mut self.workers, new) {
            match kill {
                true => self.pool.reclaim(worker.shard.seat(), now),
                false => worker.shard.close(now),
            }
        }
        self.totals.upgrades += 1;
    }

    /// All since the last sync is lost but for the ledger, which is replayed.
    fn cut_power(&mut self, (region, lines): (Region, Vec<LedgerLine>)) {
        self.region = region;
        self.time += self.random.below(100 * SECOND);
        self.mono_zero = self.time - 5 * SECOND;
        self.reopen(u128::from(self.config.run) + 7, &[]);
        let now = self.now();
        for limit in &mut self.limits {
            if matches!(limit.spec.window, Window::Duration(_)) && limit.window_ns() < POWER_CUT_WINDOW_NS {
                limit.floor = limit.index(self.time, now.wall_ns) + limit.width();
            }
        }
        for (place, key, wall, booking) in lines {
            let booked = self.pool.book(now, &self.registered[place], key, wall, booking);
            self.totals.booked += u64::from(booked);
        }
        self.totals.power_cuts += 1;
    }
}
