//! A deterministic world for limits: arrivals, workers, faults, and the guarantees checked as they are worded.
//!
//! Everything follows from a seed. The checks know only what was admitted, when and under which limit; they share
//! no arithmetic with the crate.

mod check;
mod limits;
mod random;
pub(crate) mod spend;

use std::{collections::BTreeMap, sync::Arc};

use penstock_limits::{
    Applied, BytesMoved, Key, Kind, Limit, NodeConfig, NodePool, Now, Permits, Region, Shard, Verdict,
};

use check::{Checker, Reference};
use limits::SimLimit;
use random::Random;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1000 * MS;
const WALL_START: u64 = 1_795_000_123 * SECOND + 456 * MS;
const TICK: u64 = 10 * MS;

/// What a seed does besides arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    /// Worker deaths, process crashes, upgrades, late ticks.
    Deaths,
    /// Steps of the wall clock.
    WallSteps,
    /// Power cuts: all since the last sync is lost, the monotonic clock starts anew.
    PowerCuts,
}

/// Sums over seeds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) seeds: u64,
    pub(crate) arrivals: u64,
    pub(crate) admitted: u64,
    pub(crate) reference: u64,
    pub(crate) leased_seeds: u64,
    pub(crate) deaths: u64,
    pub(crate) crashes: u64,
    pub(crate) upgrades: u64,
    pub(crate) power_cuts: u64,
    pub(crate) wall_steps: u64,
    /// Least share of the reference's admissions in a seed without faults, in 1/10,000.
    pub(crate) least_share: u64,
}

/// A call in flight.
struct Flight {
    worker: usize,
    /// Number of the worker's incarnation: permits of a dead one are gone with it.
    incarnation: u64,
    permits: Permits,
    moved: BytesMoved,
    held: Vec<(usize, Key)>,
}

struct Worker {
    shard: Option<Shard>,
    incarnation: u64,
    revive_at: u64,
    seat: penstock_limits::WorkerSeat,
    next_tick: u64,
}

struct World {
    random: Random,
    faults: Faults,
    config: NodeConfig,
    region: Region,
    synced: Option<Region>,
    pool: Arc<NodePool>,
    limits: Vec<SimLimit>,
    registered: Vec<Arc<Limit>>,
    workers: Vec<Worker>,
    flights: BTreeMap<(u64, u64), Flight>,
    next_flight: u64,
    time: u64,
    /// Monotonic time is `time - mono_zero`.
    mono_zero: u64,
    wall_offset: i64,
    next_run: u64,
    next_incarnation: u64,
    checker: Checker,
    reference: Reference,
    lost: u64,
    /// One fast limit, mostly below its rate: the regime in which workers lease.
    busy: bool,
    /// Calls left to come at this same moment.
    rush: u64,
    totals: Totals,
}

/// Runs one seed; panics with the seed in the message when a guarantee does not hold.
pub(crate) fn run(seed: u64) -> Totals {
    let mut world = World::new(seed);
    world.live();
    world.judge(seed);
    world.totals
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let faults = match random.below(6) {
            0..3 => Faults::None,
            3 => Faults::Deaths,
            4 => Faults::WallSteps,
            _ => Faults::PowerCuts,
        };
        let config = NodeConfig {
            limits_max: 4,
            keys_max: 64,
            rolling_keys_max: 80,
            wide_keys_max: 80,
            workers_max: 18,
            ..NodeConfig::new(1, 1)
        };
        let region = Region::memory(config.region_words());
        let now = Now { mono_ns: 1000 * SECOND, wall_ns: WALL_START };
        let pool = Arc::new(NodePool::open(region.clone(), &config, now, &[]).unwrap());
        let busy = random.below(4) == 0;
        let limits: Vec<_> = match busy {
            true => vec![limits::fast_limit(&mut random)],
            false => (0..1 + random.below(3))
                .map(|owner| limits::random_limit(&mut random, owner as u128, faults == Faults::PowerCuts))
                .collect(),
        };
        let mut world = Self {
            faults,
            region,
            synced: None,
            registered: limits.iter().map(|limit| pool.register(&limit.spec).unwrap()).collect(),
            pool,
            config,
            workers: Vec::new(),
            flights: BTreeMap::new(),
            next_flight: 0,
            time: 1000 * SECOND,
            mono_zero: 0,
            wall_offset: 0,
            next_run: 2,
            next_incarnation: 0,
            checker: Checker::new(&limits),
            reference: Reference::new(&limits),
            limits,
            lost: 0,
            busy,
            rush: 0,
            totals: Totals { seeds: 1, least_share: 10_000, ..Totals::default() },
            random,
        };
        for _ in 0..1 + world.random.below(8) {
            let worker = world.worker();
            world.workers.push(worker);
        }
        world
    }

    fn wall(&self) -> u64 {
        (WALL_START + self.time - 1000 * SECOND).saturating_add_signed(self.wall_offset)
    }

    fn now(&self) -> Now {
        Now { mono_ns: self.time - self.mono_zero, wall_ns: self.wall() }
    }

    fn worker(&mut self) -> Worker {
        let shard = Shard::new(self.pool.clone()).unwrap();
        self.next_incarnation += 1;
        Worker {
            seat: shard.seat(),
            shard: Some(shard),
            incarnation: self.next_incarnation,
            revive_at: 0,
            next_tick: self.time + self.random.below(TICK),
        }
    }

    /// Phases of arrivals: steady at some multiple of the tightest rate, bursts, pauses.
    fn live(&mut self) {
        let budget = if self.random.below(20) == 0 { 20_000 } else { 2_500 };
        let unit = self.limits.iter().map(|limit| limit.interval_ns()).max().unwrap();
        let skew = self.random.below(3);
        let keys = 1 + self.random.below(if self.busy { 1 } else { 4 });
        let mut arrivals = 0;
        while arrivals < budget {
            let phase = self.random.below(10);
            let calls = 1 + self.random.below(budget / 4);
            // Mean gap between arrivals: from a fifth of the limit to ten times over it.
            let gap = unit * (if self.busy { 11 } else { 1 } + self.random.below(50)) / 10;
            for _ in 0..calls.min(budget - arrivals) {
                match phase {
                    _ if self.rush > 0 => self.rush -= 1,
                    0..6 => self.advance(self.random.peek_below(2 * gap + 1)),
                    6 | 7 => {}
                    _ if self.random.below(100) == 0 => {
                        let pause = self.limits[0].window_ns().min(90 * SECOND);
                        self.advance(pause / 2 + self.random.peek_below(pause + 1));
                    }
                    _ => self.advance(self.random.peek_below(unit + 1)),
                }
                self.random.step();
                self.maybe_fault();
                self.call(skew, keys);
                arrivals += 1;
            }
            let pause = self.random.below(4) * self.limits[0].window_ns().min(100 * SECOND) / 3;
            self.advance(pause);
            if self.faults == Faults::None && pause > SECOND {
                let leased: u64 =
                    self.workers.iter().flat_map(|worker| &worker.shard).map(Shard::leased).sum();
                assert_eq!(leased, 0, "idle leases did not go back");
            }
        }
        self.totals.arrivals = arrivals;
    }

    /// Lets time pass: ticks, ends of calls, revivals, in their order.
    fn advance(&mut self, by: u64) {
        let until = self.time + by;
        loop {
            let tick = self.workers.iter().map(|worker| worker.next_tick.max(worker.revive_at)).min();
            let end = self.flights.keys().next().map(|(time, _)| *time);
            let next = tick.into_iter().chain(end).min().unwrap_or(until);
            if next > until {
                break;
            }
            self.time = self.time.max(next);
            self.end_flights();
            self.tick(until);
        }
        self.time = until;
    }

    fn tick(&mut self, until: u64) {
        for at in 0..self.workers.len() {
            if self.workers[at].next_tick.max(self.workers[at].revive_at) > self.time {
                continue;
            }
            let late = self.faults != Faults::None && self.random.below(10) == 0;
            let now = self.now();
            match &mut self.workers[at].shard {
                Some(shard) => shard.tick(now),
                None => {
                    self.pool.reclaim(self.workers[at].seat, now);
                    self.end_dead_flights(at);
                    self.workers[at] = self.worker();
                }
            }
            // Over a long pause nothing is left to give back after some ticks.
            let idle = until.saturating_sub(self.time) > 100 * MS && !late;
            let step = if idle { (until - self.time) / 4 } else { TICK };
            self.workers[at].next_tick = self.time + if late { 12 * step } else { step };
        }
    }

    fn end_flights(&mut self) {
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > self.time {
                return;
            }
            let mut flight = entry.remove();
            let now = self.now();
            let worker = &mut self.workers[flight.worker];
            // A dead worker's call ends when the seat is reclaimed.
            if let Some(shard) = worker.shard.as_mut().filter(|_| worker.incarnation == flight.incarnation) {
                shard.release(now, &mut flight.permits, flight.moved);
                self.checker.ended(&flight.held);
                self.reference.ended(&flight.held);
            } else {
                let later = (self.time + TICK, self.next_flight);
                self.next_flight += 1;
                self.flights.insert(later, flight);
            }
        }
    }

    fn end_dead_flights(&mut self, worker: usize) {
        let incarnation = self.workers[worker].incarnation;
        let (checker, reference) = (&mut self.checker, &mut self.reference);
        self.flights.retain(|_, flight| {
            let dead = flight.worker == worker && flight.incarnation == incarnation;
            if dead {
                checker.ended(&flight.held);
                reference.ended(&flight.held);
            }
            !dead
        });
    }

    fn call(&mut self, skew: u64, keys: u64) {
        let workers = self.workers.len() as u64;
        let at = match skew {
            0 => self.random.below(workers),
            1 => self.random.below(workers).min(self.random.below(workers)),
            _ if self.random.below(10) > 0 => 0,
            _ => self.random.below(workers),
        } as usize;
        let caller = Key(1 + u128::from(self.random.below(keys).min(self.random.below(keys))));
        let bytes = 1 + self.random.below(2000);
        let length = self.random.below(2 * self.limits[0].interval_ns().min(SECOND) * 20);
        let (time, now) = (self.time, self.now());
        let Worker { shard: Some(shard), incarnation, .. } = &mut self.workers[at] else { return };
        let uses: Vec<(usize, Key, u64)> = self
            .limits
            .iter()
            .enumerate()
            .map(|(place, limit)| {
                let key = if limit.by_caller { caller } else { Key::OWNER };
                let amount = if matches!(limit.spec.kind, Kind::Bytes(_)) { bytes } else { 1 };
                (place, key, amount)
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
        let verdict = shard.admit(now, &applied, &mut permits);
        if shard.leased() > 0 {
            self.totals.leased_seeds = 1;
        }
        let held: Vec<_> = uses
            .iter()
            .filter(|(place, ..)| self.limits[*place].spec.kind == Kind::Concurrent)
            .map(|(place, key, _)| (*place, *key))
            .collect();
        let admitted = verdict.is_admitted();
        let expected = self.reference.decide(time, now.wall_ns, &uses);
        self.totals.reference += u64::from(expected);
        if self.faults == Faults::None && self.limits.iter().all(SimLimit::is_small) {
            assert_eq!(admitted, expected, "a small limit is not exact: {verdict:?} {:?}", self.limits);
        }
        match verdict {
            Verdict::Admitted(_) => {
                self.totals.admitted += 1;
                self.checker.admitted(time, now.wall_ns, &uses);
                let flight = Flight {
                    worker: at,
                    incarnation: *incarnation,
                    permits,
                    moved: BytesMoved { up: bytes, down: 0 },
                    held,
                };
                self.flights.insert((time + 1 + length, self.next_flight), flight);
                self.next_flight += 1;
            }
            Verdict::Refused(refusal) => {
                assert!(permits.is_empty(), "a refused call holds something");
                // Limits after the refusing one were not asked.
                self.checker.refused(time, now.wall_ns, &uses[..=usize::from(refusal.index)]);
                assert_ne!(refusal.kind, penstock_limits::RefusalKind::Unavailable);
                if expected {
                    // The reference's call ends too.
                    self.reference.ended(&held);
                }
            }
        }
        if admitted && !expected {
            self.reference.started(&uses);
        }
    }

    fn maybe_fault(&mut self) {
        // Faults in the middle of a rush find leases half used and the bucket half spent.
        let rarity = if self.rush > 0 { 40 } else { 150 };
        if self.faults == Faults::None || self.random.below(rarity) > 0 {
            return;
        }
        // What was wrongly given back shows when all comes at once right after.
        self.rush = [0, 0, 300, 1300][self.random.below(4) as usize];
        match self.faults {
            Faults::None => {}
            Faults::WallSteps => {
                let size =
                    [SECOND, 70 * SECOND, 4000 * SECOND, 90_000 * SECOND][self.random.below(4) as usize];
                let step = self.random.below(2 * size) as i64 - size as i64;
                self.wall_offset += step;
                self.totals.wall_steps += 1;
            }
            Faults::Deaths => match self.random.below(4) {
                0 => self.crash(),
                1 => self.upgrade(),
                _ => self.kill_worker(),
            },
            Faults::PowerCuts if self.random.below(3) > 0 => self.synced = Some(self.region.snapshot()),
            Faults::PowerCuts => self.power_cut(),
        }
    }

    fn kill_worker(&mut self) {
        let at = self.random.below(self.workers.len() as u64) as usize;
        if let Some(shard) = self.workers[at].shard.take() {
            self.lost += shard.leased();
            self.workers[at].revive_at = self.time + self.random.below(SECOND);
            self.totals.deaths += 1;
        }
    }

    /// All workers are gone at once; the region stays.
    fn crash(&mut self) {
        self.totals.crashes += 1;
        self.reopen(1, &[]);
    }

    fn reopen(&mut self, boot: u128, live: &[u64]) {
        let count = self.workers.len();
        self.lost += self.workers.iter().flat_map(|worker| &worker.shard).map(Shard::leased).sum::<u64>();
        for flight in self.flights.values() {
            self.checker.ended(&flight.held);
            self.reference.ended(&flight.held);
        }
        self.flights.clear();
        self.workers.clear();
        self.open(boot, live);
        for _ in 0..count {
            let worker = self.worker();
            self.workers.push(worker);
        }
    }

    fn open(&mut self, boot: u128, live: &[u64]) {
        self.config = NodeConfig { run: self.next_run, boot_id: boot, ..self.config.clone() };
        self.next_run += 1;
        let pool = NodePool::open(self.region.clone(), &self.config, self.now(), live).unwrap();
        self.pool = Arc::new(pool);
        self.registered = self.limits.iter().map(|limit| self.pool.register(&limit.spec).unwrap()).collect();
    }

    /// A second process opens the region, takes over one worker after the other; the last ones of the old process
    /// may be killed instead of ending in order.
    fn upgrade(&mut self) {
        if self.workers.iter().any(|worker| worker.shard.is_none()) {
            return;
        }
        self.totals.upgrades += 1;
        self.open(1, &[self.config.run]);
        for at in 0..self.workers.len() {
            let new = self.worker();
            let old = std::mem::replace(&mut self.workers[at], new);
            let Some(shard) = old.shard else { continue };
            // Both serve for a while.
            for _ in 0..self.random.below(20) {
                self.call(0, 4);
            }
            // The old one's calls are drained, or die with it.
            let incarnation = old.incarnation;
            let (checker, reference) = (&mut self.checker, &mut self.reference);
            let mut shard = shard;
            let now = Now { mono_ns: self.time - self.mono_zero, wall_ns: 0 };
            let kill = self.random.below(3) == 0;
            self.flights.retain(|_, flight| {
                let ours = flight.incarnation == incarnation;
                if ours {
                    checker.ended(&flight.held);
                    reference.ended(&flight.held);
                    if !kill {
                        shard.release(now, &mut flight.permits, flight.moved);
                    }
                }
                !ours
            });
            if kill {
                self.lost += shard.leased();
                drop(shard);
                self.pool.reclaim(old.seat, now);
            } else {
                shard.close(now);
            }
        }
    }

    fn power_cut(&mut self) {
        self.totals.power_cuts += 1;
        let Some(synced) = self.synced.take() else { return };
        self.region = synced;
        self.time += self.random.below(100 * SECOND);
        self.mono_zero = self.time - 5 * SECOND;
        self.reopen(u128::from(self.next_run), &[]);
    }

    fn judge(&mut self, seed: u64) {
        let failure = self.checker.verdict(self.faults == Faults::WallSteps);
        assert!(failure.is_none(), "seed {seed}: {} {:?} {:#?}", failure.unwrap(), self.faults, self.limits);
        let Totals { admitted, reference, .. } = self.totals;
        let least = reference * 99 / 100;
        match self.faults {
            Faults::None => {
                self.totals.least_share =
                    if reference < 100 { 10_000 } else { admitted * 10_000 / reference };
                assert!(
                    admitted >= least,
                    "seed {seed}: {admitted} admitted, the reference {reference}: {:#?}",
                    self.limits
                );
            }
            // A death loses its leases; the reference is not told of deaths.
            Faults::Deaths => assert!(
                admitted + self.lost >= least,
                "seed {seed}: {admitted} admitted, {} lost, the reference {reference}: {:#?}",
                self.lost,
                self.limits
            ),
            Faults::WallSteps | Faults::PowerCuts => {}
        }
    }
}
