//! A worker's side of all limits: the decision for one call, its undoing, its settling. What is particular to tokens and
//! money stands in `reserve`.
//!
//! Knows: the limits that apply, its cache of keys and leases, the node pool. Must not: read a clock, allocate or
//! lock once warm.

use std::{marker::PhantomData, sync::Arc, sync::atomic::Ordering};

use crate::{
    alerts::{Alert, AlertKind, Alerts},
    cache::{Cache, Entry, SCRATCH, SLICE_NS},
    clock::{Now, SECOND_NS},
    concurrent, gcra,
    key::{Key, KeyWords},
    layout::{PERMITS_WORKER_MAX, entry, seat},
    limit::{Limit, Method, Rule},
    permits::{
        BYTES_HELD_MAX, BytesHeld, BytesMoved, CONCURRENT_HELD_MAX, Permit, Permits, RESERVATIONS_HELD_MAX,
    },
    pool::NodePool,
    recovery::{WorkerSeat, block_of, is_of, wide_of},
    rolling,
    spec::{Direction, Kind},
    store::Slot,
    taking::{Ask, Short, Taken, Taking},
    verdict::{APPLIED_MAX, Admitted, Refusal, RefusalKind, Standing, Verdict},
    wide, window,
};

/// A limit that applies to a call.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The limit, as registered at this shard's pool.
    pub limit: &'a Limit,
    /// Whom to count it under; [`Key::OWNER`] for a limit without `by`.
    pub key: Key,
    /// Units: 1 for requests and concurrent; for tokens and money what is reserved (0 passes while anything is left);
    /// for bytes the length known beforehand, else 0. A body larger than the
    /// whole limit is admitted when the whole is free, and the next ones wait until it has passed.
    pub amount: u64,
}

impl<'a> Applied<'a> {
    /// One request, or one concurrent call.
    pub fn one(limit: &'a Limit, key: Key) -> Self {
        Self { limit, key, amount: 1 }
    }
}

/// No seat is free: `workers_max` workers share the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no seat for another worker at the limit pool")]
pub struct NoSeat;

/// Turns to look a key up again that changed hands in between.
pub(crate) const LOOKUPS_MAX: usize = 4;
/// What a refused concurrent call is told to wait: nobody knows when a call ends.
const CONCURRENT_RETRY_NS: u64 = SECOND_NS;

/// How a limit of the call at hand was taken.
#[derive(Debug, Clone, Copy)]
enum How {
    /// From the lease of this entry of the cache.
    Leased(usize),
    /// At the node; in this window.
    Node(u64),
    /// As a permit, which the call's `Permits` hold.
    Permit,
}

/// Who asks at the node.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The limit's place among those of the call.
    place: u8,
    /// The attempt that reserves.
    attempt: Option<u8>,
}

/// One taking of the call at hand, to undo it.
#[derive(Debug, Clone, Copy)]
struct Step {
    place: u8,
    how: How,
    keys: KeyWords,
    slot: u32,
    expect: Option<KeyWords>,
}

/// The limits of one worker. `Send`, so that it can be made elsewhere, but used by one thread.
#[derive(Debug)]
pub struct Shard {
    pub(crate) pool: Arc<NodePool>,
    seat: u32,
    /// The seat's state while it is ours; another one means that we are fenced.
    seat_state: u64,
    workers: u32,
    pub(crate) cache: Cache,
    /// Limits that this worker reserved at, by ordinal: what settling needs of them, whatever became of the configuration
    /// that the call began under.
    pub(crate) reserved_at: Box<[Option<Box<Limit>>]>,
    /// Free places of the permit records.
    records: Vec<u32>,
    steps: Vec<Step>,
    pub(crate) alerts: Alerts,
    /// Not `Sync`: one thread at a time.
    _one_thread: PhantomData<std::cell::Cell<()>>,
}

impl Shard {
    /// Takes a seat at the pool. Allocates all that the shard will ever use: about 400 KiB.
    pub fn new(pool: Arc<NodePool>) -> Result<Self, NoSeat> {
        let (seat, seat_state) = pool.take_seat().ok_or(NoSeat)?;
        let workers = pool.workers();
        let limits = pool.store.layout.limits;
        Ok(Self {
            pool,
            seat,
            seat_state,
            workers,
            cache: Cache::new(),
            reserved_at: (0..limits).map(|_| None).collect(),
            records: (0..PERMITS_WORKER_MAX as u32).rev().collect(),
            steps: Vec::with_capacity(APPLIED_MAX),
            alerts: Alerts::new(),
            _one_thread: PhantomData,
        })
    }

    /// Its name in locks and blocks that it holds.
    pub(crate) fn holder(&self) -> u64 {
        u64::from(self.seat) + 1
    }

    /// Its seat: what to [`NodePool::reclaim`] should the worker die.
    pub fn seat(&self) -> WorkerSeat {
        WorkerSeat(self.seat)
    }

    /// Decides about one call under all limits that apply to it: all agree and are taken, or nothing is.
    ///
    /// `permits` gets what the call must give back by [`Shard::release`]. Warm: no allocation, no lock; without
    /// atomics per limit under a lease, else one compare-and-swap at the node.
    pub fn admit(&mut self, now: Now, limits: &[Applied<'_>], permits: &mut Permits) -> Verdict {
        self.all_or_nothing(now, limits, None, permits)
    }

    /// [`Shard::admit`], or [`Shard::reserve`] for an attempt. Either has its own copy: what does not concern it is not
    /// asked.
    #[inline(always)]
    pub(crate) fn all_or_nothing(
        &mut self,
        now: Now,
        limits: &[Applied<'_>],
        attempt: Option<u8>,
        permits: &mut Permits,
    ) -> Verdict {
        let pool_ns = self.pool.clock.pool_ns(now);
        let state = self.pool.store.seat(self.seat, seat::STATE).load(Ordering::Relaxed);
        if limits.len() > APPLIED_MAX || state != self.seat_state {
            return Verdict::Refused(unavailable(0));
        }
        let held = (permits.concurrent_held, permits.bytes_held, permits.reservations.len());
        self.steps.clear();
        let mut admitted = Admitted::default();
        let mut least_share = f32::INFINITY;
        for (place, applied) in limits.iter().enumerate() {
            // Nothing of tokens and money is ever leased.
            let decided = match attempt {
                None => self.decide(now, pool_ns, place as u8, applied, permits),
                Some(_) => self.decide_at_node(now, pool_ns, place as u8, applied, attempt, permits),
            };
            match decided {
                Ok(Decided { standing, exceeded }) => {
                    admitted.soft_exceeded |= u32::from(exceeded) << place;
                    let share = standing.remaining as f32 / standing.limit as f32;
                    if share < least_share {
                        least_share = share;
                        admitted.tightest = Some(standing);
                    }
                }
                Err(refusal) => {
                    self.undo(pool_ns, limits, permits, held);
                    return Verdict::Refused(refusal);
                }
            }
        }
        Verdict::Admitted(admitted)
    }

    #[inline]
    fn decide(
        &mut self,
        now: Now,
        pool_ns: u64,
        place: u8,
        applied: &Applied<'_>,
        permits: &mut Permits,
    ) -> Result<Decided, Refusal> {
        let rule = &applied.limit.rule;
        let keys = applied.key.words(rule.ordinal);
        let Some(at) = self.cache.find(keys) else {
            return self.decide_at_node(now, pool_ns, place, applied, None, permits);
        };
        let clock_ns = if rule.method == Method::Calendar { now.wall_ns } else { pool_ns };
        let entry = self.cache.entry(at);
        let in_window = rule.method == Method::Gcra || clock_ns < entry.window_end_ns;
        if u64::from(entry.left) < applied.amount || !in_window || !rule.leasable {
            return self.decide_at_node(now, pool_ns, place, applied, None, permits);
        }
        entry.left -= applied.amount as u32;
        entry.used(applied.amount);
        entry.remaining = entry.remaining.saturating_sub(applied.amount);
        let standing = entry.standing(place, rule);
        let step = Step { place, how: How::Leased(at), keys, slot: entry.slot, expect: entry.expect() };
        self.steps.push(step);
        Ok(Decided { standing, exceeded: false })
    }

    /// A decision at the node's counter.
    #[inline(never)]
    fn decide_at_node(
        &mut self,
        now: Now,
        pool_ns: u64,
        place: u8,
        applied: &Applied<'_>,
        attempt: Option<u8>,
        permits: &mut Permits,
    ) -> Result<Decided, Refusal> {
        let limit = applied.limit;
        let rule = &limit.rule;
        let keys = applied.key.words(rule.ordinal);
        if rule.kind.reserves() != attempt.is_some() {
            debug_assert!(false, "a limit is either admitted by or reserved at");
            return Err(unavailable(place));
        }
        self.room_for(rule, permits).ok_or(unavailable(place))?;
        if attempt.is_some() && applied.amount > rule.amount && !rule.soft {
            return Err(exceeds(place, limit));
        }
        for _ in 0..LOOKUPS_MAX {
            let (at, locked) = match self.cache.find(keys) {
                Some(at) => (at, None),
                None => self.enter(limit, applied.key, keys, pool_ns),
            };
            self.turn_window(at, limit, now, pool_ns);
            if self.cache.entry(at).left > 0 {
                // Too little for this call: what is left goes back and the whole is asked for.
                self.return_lease(at, pool_ns);
            }
            let entry = *self.cache.entry(at);
            let lease = match rule.leasable && at != SCRATCH {
                true => self.cache.entry(at).slice(pool_ns, rule.leases_max / self.workers.max(1)),
                false => 0,
            };
            let ask = Ask {
                amount: rule.units(applied.amount),
                lease,
                held: entry.held,
                workers: self.workers,
                force: rule.soft && rule.method != Method::Gcra,
            };
            let taking = self.take(&entry, rule, now, pool_ns, ask);
            if let Some(number) = locked {
                self.pool.unlock(number);
            }
            match taking {
                Taking::Taken(taken) => {
                    return Ok(self.taken(at, Asked { place, attempt }, applied, now, taken, permits));
                }
                Taking::Short(short) => {
                    self.return_lease(at, pool_ns);
                    return self.short(at, place, applied, short);
                }
                Taking::Gone => self.cache.entry(at).keys = KeyWords { first: 0, second: 0 },
                Taking::Busy => return Err(unavailable(place)),
            }
        }
        Err(unavailable(place))
    }

    /// None if what the call would hold has no place.
    fn room_for(&self, rule: &Rule, permits: &Permits) -> Option<()> {
        let fits = match rule.kind {
            Kind::Requests => true,
            Kind::Concurrent => {
                !self.records.is_empty() && usize::from(permits.concurrent_held) < CONCURRENT_HELD_MAX
            }
            Kind::Bytes(_) => usize::from(permits.bytes_held) < BYTES_HELD_MAX,
            Kind::Tokens(_) | Kind::Usd => permits.reservations.len() < RESERVATIONS_HELD_MAX,
        };
        fits.then_some(())
    }

    /// Looks a key up at the node and remembers it in place of the entry longest untouched. Gives the entry, and
    /// the lock to give back if it is the shared bucket's.
    pub(crate) fn enter(
        &mut self,
        limit: &Limit,
        key: Key,
        keys: KeyWords,
        pool_ns: u64,
    ) -> (usize, Option<usize>) {
        let rule = &limit.rule;
        let found = self.pool.find(rule, key, keys, pool_ns, self.holder());
        let reserved = found.overflow || key == Key::OWNER;
        let mut entry = Entry::new(keys, found.slot, reserved, pool_ns);
        entry.interval_ticks = if rule.method == Method::Gcra { rule.interval_ticks } else { 0 };
        entry.window_ns = limit.window_ns();
        if found.overflow {
            let alert = Alert { limit: limit.id, key, kind: AlertKind::Overflow };
            self.alerts.push(alert);
            // The key is asked for anew each time, so that all workers move to its own bucket together.
            entry.keys = KeyWords { first: 0, second: 0 };
            *self.cache.entry(SCRATCH) = entry;
            return (SCRATCH, found.locked);
        }
        let at = self.cache.victim(keys);
        self.return_lease(at, pool_ns);
        *self.cache.entry(at) = entry;
        (at, None)
    }

    /// Moves an entry to the window of now. What is left of a lease of the old window is void.
    pub(crate) fn turn_window(&mut self, at: usize, limit: &Limit, now: Now, pool_ns: u64) {
        let rule = &limit.rule;
        let entry = self.cache.entry(at);
        let (index, end_ns) = match rule.method {
            Method::Gcra | Method::Concurrent => return,
            Method::Fixed | Method::Rolling | Method::Wide if pool_ns < entry.window_end_ns => return,
            Method::Fixed | Method::Rolling | Method::Wide => self.pool.clock.window(pool_ns, rule.per_ns),
            Method::Calendar if now.wall_ns < entry.window_end_ns => return,
            Method::Calendar => match &limit.calendar {
                Some(calendar) => {
                    let window = calendar.window_at(now.wall_ns);
                    entry.window_ns = window.length_ns;
                    (window.index, window.end_ns)
                }
                None => return,
            },
        };
        entry.index = index;
        entry.window_end_ns = end_ns;
        self.cache.hold(at, 0, pool_ns);
        let latest = self.pool.store.entry(rule.ordinal, entry::LATEST);
        if latest.load(Ordering::Relaxed) < index {
            latest.fetch_max(index, Ordering::AcqRel);
        }
    }

    /// Asks the node's counter.
    #[inline]
    pub(crate) fn take(&self, entry: &Entry, rule: &Rule, now: Now, pool_ns: u64, ask: Ask) -> Taking {
        let slot = self.pool.store.slot(entry.slot, entry.expect());
        match rule.method {
            Method::Gcra => gcra::take(slot, rule, pool_ns, ask),
            Method::Fixed => {
                let wait_ns = entry.window_end_ns.saturating_sub(pool_ns);
                window::take(slot, rule, entry.index, wait_ns, ask)
            }
            Method::Calendar => {
                let wait_ns = entry.window_end_ns.saturating_sub(now.wall_ns);
                window::take(slot, rule, entry.index, wait_ns, ask)
            }
            Method::Rolling => match block_of(&self.pool.store, slot) {
                Some(block) => {
                    let sub_end_ns = entry.window_end_ns.saturating_sub(pool_ns);
                    rolling::take(slot, block, rule, self.holder(), entry.index, sub_end_ns, ask)
                }
                None => Taking::Gone,
            },
            Method::Wide => match wide_of(&self.pool.store, slot) {
                Some((number, block)) => {
                    let sub_end_ns = entry.window_end_ns.saturating_sub(pool_ns);
                    let is_ours = || slot.is_ours() && is_of(slot, number);
                    wide::take(block, is_ours, rule, self.holder(), entry.index, sub_end_ns, ask)
                }
                None => Taking::Gone,
            },
            Method::Concurrent => concurrent::take(slot, rule, ask),
        }
    }

    /// Notes what the node granted.
    fn taken(
        &mut self,
        at: usize,
        asked: Asked,
        applied: &Applied<'_>,
        now: Now,
        taken: Taken,
        permits: &mut Permits,
    ) -> Decided {
        let Asked { place, attempt } = asked;
        let rule = &applied.limit.rule;
        let pool_ns = self.pool.clock.pool_ns(now);
        let entry = *self.cache.entry(at);
        if entry.held > 0 || taken.leased > 0 {
            if rule.method == Method::Gcra {
                self.record_lease(at, entry.slot, taken.leased);
                let slot = self.pool.store.slot(entry.slot, entry.expect());
                gcra::shrink_lease(slot, entry.held, taken.leased);
            }
            self.cache.hold(at, taken.leased, pool_ns);
        }
        for (threshold, crossed) in rule.alerts.iter().zip(0..rule.alert_count) {
            if attempt.is_none() && taken.used_before < *threshold && *threshold <= taken.used_after {
                let kind = AlertKind::Crossed(crossed);
                self.alerts.push(Alert { limit: applied.limit.id, key: applied.key, kind });
            }
        }
        let how = match attempt {
            None => self.hold_for_call(&entry, applied, taken.index, permits),
            Some(attempt) => {
                self.hold_for_attempt(&entry, applied, attempt, &taken, permits);
                How::Node(taken.index)
            }
        };
        self.steps.push(Step { place, how, keys: entry.keys, slot: entry.slot, expect: entry.expect() });
        let entry = self.cache.entry(at);
        entry.used(applied.amount);
        entry.remaining = taken.remaining + u64::from(taken.leased);
        entry.reset_ns = match rule.method {
            // For people to read: a float's precision is enough and spares a wide division.
            Method::Gcra => {
                let used = rule.burst - entry.remaining.min(rule.burst);
                (used as f64 * rule.per_ns as f64 / rule.amount as f64) as u64
            }
            Method::Fixed => entry.window_end_ns.saturating_sub(pool_ns),
            Method::Calendar => entry.window_end_ns.saturating_sub(now.wall_ns),
            Method::Rolling | Method::Wide => entry.window_ns,
            Method::Concurrent => 0,
        };
        Decided {
            standing: entry.standing(place, rule),
            exceeded: rule.soft && taken.used_after > rule.burst,
        }
    }

    /// What the call must give back when it ends.
    fn hold_for_call(
        &mut self,
        entry: &Entry,
        applied: &Applied<'_>,
        index: u64,
        permits: &mut Permits,
    ) -> How {
        let rule = &applied.limit.rule;
        match rule.kind {
            Kind::Requests | Kind::Tokens(_) | Kind::Usd => How::Node(index),
            Kind::Bytes(_) => {
                let reservation = BytesHeld {
                    rule: *rule,
                    slot: entry.slot,
                    expect: entry.expect(),
                    index,
                    booked: rule.units(applied.amount),
                };
                permits.bytes[usize::from(permits.bytes_held)] = Some(reservation);
                permits.bytes_held += 1;
                How::Node(index)
            }
            Kind::Concurrent => {
                if let Some(record) = self.records.pop() {
                    let word = self.pool.store.seat(self.seat, seat::PERMITS + record as usize);
                    word.store(u64::from(entry.slot) + 1, Ordering::Release);
                    permits.concurrent[usize::from(permits.concurrent_held)] =
                        Some(Permit { slot: entry.slot, record });
                    permits.concurrent_held += 1;
                }
                How::Permit
            }
        }
    }

    /// The node granted nothing: a refusal, or a flag if the limit is soft.
    fn short(
        &mut self,
        at: usize,
        place: u8,
        applied: &Applied<'_>,
        short: Short,
    ) -> Result<Decided, Refusal> {
        let rule = &applied.limit.rule;
        if rule.kind.reserves() {
            let entry = *self.cache.entry(at);
            self.alert_reserved(
                &entry,
                applied.limit,
                applied.key,
                short.used.saturating_add(applied.amount),
            );
        }
        let window_ns = self.cache.entry(at).window_ns;
        let standing =
            Standing { index: place, remaining: 0, limit: rule.burst, reset_ns: short.wait_ns, window_ns };
        if rule.soft {
            return Ok(Decided { standing, exceeded: true });
        }
        let (kind, retry_after_ns) = match rule.method {
            Method::Concurrent => (RefusalKind::TooManyConcurrent, CONCURRENT_RETRY_NS),
            _ if rule.kind == Kind::Usd => (RefusalKind::BudgetExhausted, short.wait_ns),
            Method::Calendar => (RefusalKind::QuotaExhausted, short.wait_ns),
            _ => (RefusalKind::RateLimited, short.wait_ns),
        };
        Err(Refusal {
            index: place,
            kind,
            retry_after_ns,
            remaining: short.remaining,
            used: short.used,
            limit: rule.burst,
            window_ns,
        })
    }

    /// Gives back what earlier limits of a refused call took.
    fn undo(&mut self, pool_ns: u64, limits: &[Applied<'_>], permits: &mut Permits, held: (u8, u8, usize)) {
        while let Some(step) = self.steps.pop() {
            let applied = &limits[usize::from(step.place)];
            let rule = &applied.limit.rule;
            match step.how {
                How::Leased(at)
                    if self.cache.entry(at).keys == step.keys && self.cache.entry(at).held > 0 =>
                {
                    let entry = self.cache.entry(at);
                    entry.left += applied.amount as u32;
                    entry.remaining += applied.amount;
                }
                // The lease went back in between; the token of this call was counted as used.
                How::Leased(_) if rule.method != Method::Gcra => {}
                How::Leased(_) => {
                    gcra::undo(self.pool.store.slot(step.slot, step.expect), rule, pool_ns, applied.amount);
                }
                How::Node(index) => {
                    let slot = self.pool.store.slot(step.slot, step.expect);
                    self.give_back(slot, rule, pool_ns, index, rule.units(applied.amount));
                    if rule.kind.reserves() {
                        self.unreserve(step.slot, slot, rule, index, applied.amount);
                    }
                }
                How::Permit => {}
            }
        }
        while permits.concurrent_held > held.0 {
            permits.concurrent_held -= 1;
            self.release_permit(permits.concurrent[usize::from(permits.concurrent_held)].take());
        }
        permits.bytes_held = held.1;
        permits.reservations.truncate(held.2);
    }

    pub(crate) fn give_back(&self, slot: Slot<'_>, rule: &Rule, pool_ns: u64, index: u64, amount: u64) {
        match rule.method {
            Method::Gcra => gcra::undo(slot, rule, pool_ns, amount),
            Method::Fixed | Method::Calendar => window::give_back(slot, index, amount),
            Method::Rolling => {
                if let Some(block) = block_of(&self.pool.store, slot) {
                    rolling::give_back(slot, block, rule, self.holder(), index, amount);
                }
            }
            Method::Wide => {
                if let Some((_, block)) = wide_of(&self.pool.store, slot).filter(|_| slot.is_ours()) {
                    wide::give_back(block, index, amount);
                }
            }
            Method::Concurrent => {}
        }
    }

    fn release_permit(&mut self, permit: Option<Permit>) {
        let Some(Permit { slot, record }) = permit else { return };
        let word = self.pool.store.seat(self.seat, seat::PERMITS + record as usize);
        // A reclaim may have released it already.
        if word.swap(0, Ordering::AcqRel) == u64::from(slot) + 1 {
            concurrent::release(self.pool.store.slot(slot, None));
        }
        self.records.push(record);
    }

    /// Books the bytes that a running call moved until now, beyond what it reserved too: then the counter is over
    /// its limit and the next calls are refused until that has passed. Costs one swap per byte limit.
    pub fn settle(&mut self, now: Now, permits: &mut Permits, moved: BytesMoved) {
        let pool_ns = self.pool.clock.pool_ns(now);
        for reservation in permits.bytes[..usize::from(permits.bytes_held)].iter_mut().flatten() {
            let bytes = reservation.bytes_of(moved);
            if bytes > reservation.booked {
                self.book(reservation, now, pool_ns, bytes - reservation.booked);
                reservation.booked = bytes;
            }
        }
    }

    fn book(&self, reservation: &BytesHeld, now: Now, pool_ns: u64, bytes: u64) {
        let rule = &reservation.rule;
        let mut entry = Entry::new(KeyWords { first: 0, second: 0 }, reservation.slot, true, pool_ns);
        if let Some(keys) = reservation.expect {
            entry.keys = keys;
            entry.reserved = false;
        }
        entry.index = match rule.method {
            Method::Fixed | Method::Rolling => self.pool.clock.window(pool_ns, rule.per_ns).0,
            _ => reservation.index,
        };
        // A bucket that has changed hands was full: nothing of this call is owed there. A soft bucket is not
        // driven into debt, or it would be flagged for as long as the debt lasts.
        let force = !(rule.soft && rule.method == Method::Gcra);
        let _ = self.take(&entry, rule, now, pool_ns, Ask { force, ..Ask::of(bytes) });
    }

    /// Ends a call: books the bytes it moved in all, gives back those it reserved and did not move, frees its
    /// permits. What attempts reserved and did not settle stays spent. `permits` can be used again.
    pub fn release(&mut self, now: Now, permits: &mut Permits, moved: BytesMoved) {
        self.settle(now, permits, moved);
        let pool_ns = self.pool.clock.pool_ns(now);
        for reservation in permits.bytes[..usize::from(permits.bytes_held)].iter_mut() {
            let Some(reservation) = reservation.take() else { continue };
            let unused = reservation.booked - reservation.bytes_of(moved);
            if unused > 0 {
                let slot = self.pool.store.slot(reservation.slot, reservation.expect);
                self.give_back(slot, &reservation.rule, pool_ns, reservation.index, unused);
            }
        }
        permits.bytes_held = 0;
        if !permits.reservations.is_empty() {
            self.spend_reservations(permits);
        }
        while permits.concurrent_held > 0 {
            permits.concurrent_held -= 1;
            self.release_permit(permits.concurrent[usize::from(permits.concurrent_held)].take());
        }
    }

    /// Every 10 ms or so: gives back leases that were not used up in a slice's time. Costs one or two swaps per
    /// lease given back.
    pub fn tick(&mut self, now: Now) {
        let pool_ns = self.pool.clock.pool_ns(now);
        self.pool.beat(pool_ns);
        self.workers = self.pool.workers().max(1);
        for place in (0..self.cache.leases().len()).rev() {
            let at = self.cache.leases()[place] as usize;
            if pool_ns.saturating_sub(self.cache.entry(at).leased_ns) >= SLICE_NS {
                self.return_lease(at, pool_ns);
            }
        }
    }

    /// Gives an entry's lease back, if it has one.
    fn return_lease(&mut self, at: usize, pool_ns: u64) {
        let entry = *self.cache.entry(at);
        if entry.held == 0 {
            return;
        }
        let slot = self.pool.store.slot(entry.slot, entry.expect());
        if entry.interval_ticks > 0 {
            gcra::return_lease(slot, entry.interval_ticks, pool_ns, entry.left);
            self.record_lease(at, entry.slot, 0);
            gcra::shrink_lease(slot, entry.held, 0);
        } else if entry.left > 0 {
            window::give_back(slot, entry.index, u64::from(entry.left));
        }
        self.cache.hold(at, 0, pool_ns);
    }

    fn record_lease(&self, at: usize, slot: u32, tokens: u32) {
        let record = if tokens == 0 { 0 } else { u64::from(slot) << 32 | u64::from(tokens) };
        self.pool.store.seat(self.seat, seat::LEASES + at).store(record, Ordering::Release);
    }

    /// Units on record as leased to this worker, used or not: what its death would count as spent.
    pub fn leased(&self) -> u64 {
        self.cache.leased()
    }

    /// Collects alerts; gives the number of those that found no place in the list.
    pub fn take_alerts(&mut self, tell: impl FnMut(Alert)) -> u64 {
        self.alerts.take(tell)
    }

    /// Ends the shard in order: all leases go back and the seat is free. Dropping a shard without it is a death:
    /// the pool must [`NodePool::reclaim`] its seat.
    pub fn close(mut self, now: Now) {
        let pool_ns = self.pool.clock.pool_ns(now);
        while let Some(at) = self.cache.leases().last() {
            self.return_lease(*at as usize, pool_ns);
        }
        self.pool.reclaim(WorkerSeat(self.seat), now);
    }
}

/// What one limit says to a call that it lets pass.
#[derive(Debug, Clone, Copy)]
struct Decided {
    standing: Standing,
    exceeded: bool,
}

impl Entry {
    #[inline]
    fn standing(&self, place: u8, rule: &Rule) -> Standing {
        Standing {
            index: place,
            remaining: self.remaining,
            limit: rule.burst,
            reset_ns: self.reset_ns,
            window_ns: self.window_ns,
        }
    }
}

impl BytesHeld {
    fn bytes_of(&self, moved: BytesMoved) -> u64 {
        match self.rule.kind {
            Kind::Bytes(Direction::Up) => moved.up,
            Kind::Bytes(Direction::Down) => moved.down,
            _ => moved.up.saturating_add(moved.down),
        }
    }
}

/// The refusal of a call that alone is larger than a whole limit.
fn exceeds(index: u8, limit: &Limit) -> Refusal {
    let amount = limit.amount();
    let window_ns = limit.window_ns();
    Refusal {
        kind: RefusalKind::ExceedsLimit,
        retry_after_ns: 0,
        limit: amount,
        window_ns,
        ..unavailable(index)
    }
}

fn unavailable(index: u8) -> Refusal {
    Refusal {
        index,
        kind: RefusalKind::Unavailable,
        retry_after_ns: SECOND_NS,
        remaining: 0,
        used: 0,
        limit: 0,
        window_ns: 0,
    }
}
