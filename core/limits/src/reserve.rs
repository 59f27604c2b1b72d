//! Tokens and money at a worker: reserved before an attempt of a call, settled after it.
//!
//! Knows: the decision's steps in `shard`, reservations that a call holds. Must not: read a clock, allocate or lock once
//! warm.

use crate::{
    alerts::{Alert, AlertKind},
    cache::Entry,
    clock::Now,
    key::{Key, KeyWords},
    limit::{Limit, Method, Rule},
    permits::{Permits, RESERVATIONS_HELD_MAX, Reservation, Spend},
    recovery::wide_of,
    shard::{Applied, LOOKUPS_MAX, Shard},
    store::Slot,
    taking::{Ask, Taken, Taking},
    usage::Usage,
    verdict::Verdict,
    wide, window,
};

/// What settling an attempt found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Settled {
    /// It used more than it had reserved at one limit at least. What it used more is counted, beyond the limit too, and
    /// counts against the next calls.
    pub over_reservation: bool,
}

impl Shard {
    /// Reserves what an attempt of a call may use, at all limits of tokens and money that apply to it: all agree and
    /// hold it, or nothing is taken. The sum of what is reserved and what was used never passes a hard limit by one
    /// unit, whatever the number of workers, as long as nobody uses more than it reserved.
    ///
    /// `attempt` is the number of the attempt within the call (retries and fallbacks are attempts of their own, several
    /// may be under way): what to settle it by. `permits` keeps it; more than [`RESERVATIONS_HELD_MAX`] at once are
    /// refused as unavailable. An amount larger than the whole of a hard limit is refused as
    /// [`crate::RefusalKind::ExceedsLimit`]. Warm: no allocation, no lock, one compare-and-swap a limit that decides and
    /// two additions.
    pub fn reserve(
        &mut self,
        now: Now,
        attempt: u8,
        limits: &[Applied<'_>],
        permits: &mut Permits,
    ) -> Verdict {
        self.all_or_nothing(now, limits, Some(attempt), permits)
    }

    /// Settles an attempt: what it reserved and did not use goes back into the window that it was reserved in (and is
    /// gone if that one is over); what it used more is counted in the window of now, beyond the limit too. An attempt
    /// that used nothing gives all back. Without effect for an attempt that is settled already.
    pub fn settle_attempt(&mut self, now: Now, attempt: u8, permits: &mut Permits, used: Spend) -> Settled {
        let mut settled = Settled::default();
        let mut place = 0;
        while let Some(reservation) = permits.reservations.get(place).copied() {
            if reservation.attempt != attempt {
                place += 1;
                continue;
            }
            permits.reservations.swap_remove(place);
            settled.over_reservation |= self.settle_one(now, &reservation, used);
        }
        settled
    }

    /// [`crate::NodePool::usage`], for a worker that has only its shard.
    pub fn usage(&self, now: Now, limit: &Limit, key: Key) -> Usage {
        self.pool.usage(now, limit, key)
    }

    /// Settles one reservation; true if more was used than it.
    fn settle_one(&mut self, now: Now, reservation: &Reservation, used: Spend) -> bool {
        let Some(limit) = self.take_known(reservation) else { return false };
        let rule = &limit.rule;
        let used = used.of(rule.kind);
        let pool_ns = self.pool.clock.pool_ns(now);
        let slot = reservation.slot(self);
        if let Some(unused) = reservation.amount.checked_sub(used).filter(|unused| *unused > 0) {
            self.give_back(slot, rule, pool_ns, reservation.index, unused);
        }
        self.unreserve(reservation.slot, slot, rule, reservation.index, reservation.amount);
        let beyond = used.saturating_sub(reservation.amount);
        if beyond > 0 {
            self.count_beyond(now, &limit, reservation.key, beyond);
        }
        self.reserved_at[reservation.ordinal as usize] = Some(limit);
        beyond > 0
    }

    /// Takes the limit of a reservation out of the table; none if its place is another limit's by now: then nothing of
    /// the reservation is counted any more.
    fn take_known(&mut self, reservation: &Reservation) -> Option<Box<Limit>> {
        let known = self.reserved_at.get_mut(reservation.ordinal as usize)?;
        known.take_if(|limit| limit.id.0 as u64 == reservation.limit)
    }

    /// Counts units that nobody reserved, in the window of now.
    fn count_beyond(&mut self, now: Now, limit: &Limit, key: Key, amount: u64) {
        let pool_ns = self.pool.clock.pool_ns(now);
        let keys = key.words(limit.rule.ordinal);
        for turn in 1..=LOOKUPS_MAX {
            let (at, locked) = match self.cache.find(keys) {
                Some(at) => (at, None),
                None => self.enter(limit, key, keys, pool_ns),
            };
            self.turn_window(at, limit, now, pool_ns);
            let mut entry = *self.cache.entry(at);
            if turn == LOOKUPS_MAX {
                // Somebody who moves the window does not go on: better counted in the one before than not at all.
                entry.index = 0;
            }
            let ask = Ask { force: true, ..Ask::of(amount) };
            let taking = self.take(&entry, &limit.rule, now, pool_ns, ask);
            if let Some(number) = locked {
                self.pool.unlock(number);
            }
            match taking {
                Taking::Taken(taken) => {
                    self.alert_reserved(&entry, limit, key, taken.used_after);
                    return;
                }
                Taking::Gone => self.cache.entry(at).keys = KeyWords { first: 0, second: 0 },
                Taking::Short(_) | Taking::Busy => {}
            }
        }
    }

    /// Keeps what an attempt reserved until it is settled.
    pub(crate) fn hold_for_attempt(
        &mut self,
        entry: &Entry,
        applied: &Applied<'_>,
        attempt: u8,
        taken: &Taken,
        permits: &mut Permits,
    ) {
        let (limit, key) = (applied.limit, applied.key);
        let rule = &limit.rule;
        let known = &mut self.reserved_at[rule.ordinal as usize];
        if known.as_ref().is_none_or(|known| known.registration != limit.registration) {
            // Once per limit, worker and configuration.
            *known = Some(Box::new(limit.clone()));
        }
        if permits.reservations.capacity() == 0 {
            permits.reservations.reserve_exact(RESERVATIONS_HELD_MAX);
        }
        permits.reservations.push(Reservation {
            attempt,
            ordinal: rule.ordinal,
            limit: limit.id.0 as u64,
            key,
            slot: entry.slot,
            fixed_slot: entry.reserved,
            index: taken.index,
            amount: applied.amount,
        });
        let slot = self.pool.store.slot(entry.slot, entry.expect());
        match rule.method {
            Method::Wide => {
                if let Some((_, block)) = wide_of(&self.pool.store, slot) {
                    wide::reserve(block, applied.amount);
                }
            }
            _ => window::reserve(slot, self.pool.store.reserved(entry.slot), taken.index, applied.amount),
        }
        self.alert_reserved(entry, limit, key, taken.used_after);
    }

    /// Notes that what was reserved is no longer.
    pub(crate) fn unreserve(&self, number: u32, slot: Slot<'_>, rule: &Rule, index: u64, amount: u64) {
        if !slot.is_ours() {
            return;
        }
        match rule.method {
            Method::Wide => {
                if let Some((_, block)) = wide_of(&self.pool.store, slot) {
                    wide::unreserve(block, amount);
                }
            }
            _ => window::unreserve(slot, self.pool.store.reserved(number), index, amount),
        }
    }

    /// Reservations of a call that ends without having settled them: they count as spent.
    #[cold]
    pub(crate) fn spend_reservations(&mut self, permits: &mut Permits) {
        for reservation in permits.reservations.drain(..) {
            let Some(limit) = self.take_known(&reservation) else { continue };
            let slot = reservation.slot(self);
            self.unreserve(reservation.slot, slot, &limit.rule, reservation.index, reservation.amount);
            self.reserved_at[reservation.ordinal as usize] = Some(limit);
        }
    }

    /// Raises the alerts of all thresholds up to `reached` (use, reservations and what was asked for together) that were
    /// not told in this window.
    pub(crate) fn alert_reserved(&mut self, entry: &Entry, limit: &Limit, key: Key, reached: u64) {
        for (threshold, place) in limit.rule.alerts.iter().zip(0..limit.rule.alert_count) {
            if reached < *threshold {
                continue;
            }
            let slot = self.pool.store.slot(entry.slot, entry.expect());
            let is_new = match limit.rule.method {
                Method::Wide => {
                    wide_of(&self.pool.store, slot).is_some_and(|(_, block)| wide::tell(block, place))
                }
                _ => window::tell(slot, place),
            };
            if is_new {
                self.alerts.push(Alert { limit: limit.id, key, kind: AlertKind::Crossed(place) });
            }
        }
    }
}

impl Reservation {
    /// The slot it was counted in.
    fn slot<'a>(&self, shard: &'a Shard) -> Slot<'a> {
        let expect = (!self.fixed_slot).then(|| self.key.words(self.ordinal));
        shard.pool.store.slot(self.slot, expect)
    }
}
