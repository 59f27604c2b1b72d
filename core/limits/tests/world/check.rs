//! The guarantees as they are worded, and one unsharded reference.

use std::collections::HashMap;

use penstock_limits::{Algorithm, CalendarUnit, Key, Window};

use super::{SECOND, WALL_START, limits::SimLimit};

/// What a limit promises.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Promise {
    /// Never more than `amount / per x T + burst` in any interval T.
    Rate { amount: u64, per: u64, burst: u64 },
    /// Never more than `amount` in any window that begins at a multiple of `per`.
    Fixed { amount: u64, per: u64 },
    /// Never more than `amount` in any 60 sub-buckets in a row.
    Rolling { amount: u64, sub: u64 },
    /// Never more than `amount` in any hour or day of the zone's calendar.
    Calendar { amount: u64, hour: bool },
    /// Never more than `amount` at once.
    Concurrent { amount: u64 },
}

fn promise(limit: &SimLimit) -> Promise {
    let (spec, per) = (&limit.spec, limit.window_ns());
    let amount = spec.amount;
    match (&spec.window, spec.algorithm) {
        (Window::None, _) => Promise::Concurrent { amount },
        (Window::Calendar(windows), _) => {
            Promise::Calendar { amount, hour: windows.unit() == CalendarUnit::Hour }
        }
        (_, Some(Algorithm::Fixed)) => Promise::Fixed { amount, per },
        (_, Some(Algorithm::Rolling)) => Promise::Rolling { amount, sub: per.div_ceil(60) },
        _ => Promise::Rate { amount, per, burst: spec.burst.unwrap_or(amount) },
    }
}

/// Place of a moment on the line that windows of a duration are aligned to: the wall clock as it first was.
pub(super) fn aligned(time: u64) -> u64 {
    WALL_START + time - 1000 * SECOND
}

/// Window of a wall time. Zurich is at UTC+1 or +2, full hours: a day is told by its local date in jiff's place by
/// the two offsets' dates of change (25 October 2026 and 28 March 2027, 01:00 UTC).
pub(super) fn calendar_index(wall: u64, hour: bool) -> u64 {
    let wall = wall / SECOND;
    if hour {
        return wall / 3600;
    }
    let winter = (1_792_890_000..1_806_195_600).contains(&wall);
    (wall + if winter { 3600 } else { 7200 }) / 86_400
}

#[derive(Debug, Default)]
struct Seen {
    /// (time, wall, amount) of each admission; amount 0: of a refusal.
    admitted: Vec<(u64, u64, u64)>,
    at_once: u64,
    at_once_max: u64,
}

/// Keeps what was admitted and judges it at the end.
#[derive(Debug)]
pub(super) struct Checker {
    promises: Vec<Promise>,
    seen: HashMap<(usize, Key), Seen>,
}

impl Checker {
    pub(super) fn new(limits: &[SimLimit]) -> Self {
        Self { promises: limits.iter().map(promise).collect(), seen: HashMap::new() }
    }

    pub(super) fn admitted(&mut self, time: u64, wall: u64, uses: &[(usize, Key, u64)]) {
        for (place, key, amount) in uses {
            let seen = self.seen.entry((*place, *key)).or_default();
            if matches!(self.promises[*place], Promise::Concurrent { .. }) {
                seen.at_once += 1;
                seen.at_once_max = seen.at_once_max.max(seen.at_once);
            } else {
                seen.admitted.push((time, wall, *amount));
            }
        }
    }

    /// A call that another limit refused may have opened a new calendar window, in which the clock's way back
    /// then counts.
    pub(super) fn refused(&mut self, time: u64, wall: u64, uses: &[(usize, Key, u64)]) {
        for (place, key, _) in uses {
            if matches!(self.promises[*place], Promise::Calendar { .. }) {
                self.seen.entry((*place, *key)).or_default().admitted.push((time, wall, 0));
            }
        }
    }

    pub(super) fn ended(&mut self, held: &[(usize, Key)]) {
        for held in held {
            self.seen.entry(*held).or_default().at_once -= 1;
        }
    }

    /// The first broken promise, in words.
    pub(super) fn verdict(&self, wall_stepped: bool) -> Option<String> {
        self.seen.iter().find_map(|((place, key), seen)| {
            let broken = match self.promises[*place] {
                Promise::Rate { amount, per, burst } => over_rate(seen, amount, per, burst),
                Promise::Fixed { amount, per } => {
                    over_windows(seen, amount, 1, |time, _| aligned(time) / per)
                }
                Promise::Rolling { amount, sub } => {
                    over_windows(seen, amount, 60, |time, _| aligned(time) / sub)
                }
                Promise::Calendar { amount, hour } if wall_stepped => over_opened(seen, amount, hour),
                Promise::Calendar { amount, hour } => {
                    over_windows(seen, amount, 1, |_, wall| calendar_index(wall, hour))
                }
                Promise::Concurrent { amount } => {
                    (seen.at_once_max > amount).then(|| format!("{} at once", seen.at_once_max))
                }
            };
            broken.map(|what| format!("limit {place} {key:?}: {what} against {:?}", self.promises[*place]))
        })
    }
}

/// The greatest excess over any interval that ends with each admission: what the interval before gave, less what
/// the time between refilled, or a fresh interval.
fn over_rate(seen: &Seen, amount: u64, per: u64, burst: u64) -> Option<String> {
    let (amount, per) = (u128::from(amount), u128::from(per));
    let mut load = 0u128;
    let mut last = 0;
    for (time, _, units) in &seen.admitted {
        load = load.saturating_sub(u128::from(time - last) * amount) + u128::from(*units) * per;
        last = *time;
        if load > u128::from(burst) * per {
            return Some(format!("over rate x T + burst at {time}"));
        }
    }
    None
}

/// Sums over each `width` windows in a row.
fn over_windows(seen: &Seen, amount: u64, width: u64, index: impl Fn(u64, u64) -> u64) -> Option<String> {
    let mut first = 0;
    let mut sum = 0;
    for (time, wall, units) in &seen.admitted {
        let current = index(*time, *wall);
        sum += units;
        while index(seen.admitted[first].0, seen.admitted[first].1) + width <= current {
            sum -= seen.admitted[first].2;
            first += 1;
        }
        if sum > amount {
            return Some(format!("{sum} in window {current}"));
        }
    }
    None
}

/// When the wall clock steps, a window goes on until a later one is opened: no more than the amount for each.
fn over_opened(seen: &Seen, amount: u64, hour: bool) -> Option<String> {
    let (mut opened, mut latest, mut sum) = (0, 0, 0);
    for (_, wall, units) in &seen.admitted {
        let index = calendar_index(*wall, hour);
        if index > latest {
            latest = index;
            opened += 1;
        }
        sum += units;
        if sum > opened * amount {
            return Some(format!("{sum} over {opened} windows"));
        }
    }
    None
}

/// One unsharded counter per limit and key.
#[derive(Debug)]
pub(super) struct Reference {
    promises: Vec<Promise>,
    counters: HashMap<(usize, Key), Counter>,
}

#[derive(Debug, Default, Clone)]
struct Counter {
    /// Rate: load in units x per; else units in the current window.
    load: u128,
    time: u64,
    index: u64,
    /// Rolling: units by sub-bucket.
    subs: Vec<(u64, u64)>,
}

impl Reference {
    pub(super) fn new(limits: &[SimLimit]) -> Self {
        Self { promises: limits.iter().map(promise).collect(), counters: HashMap::new() }
    }

    pub(super) fn decide(&mut self, time: u64, wall: u64, uses: &[(usize, Key, u64)]) -> bool {
        let admit = uses.iter().all(|(place, key, units)| {
            let counter = self.counters.entry((*place, *key)).or_default();
            counter.has_room(self.promises[*place], time, wall, *units)
        });
        if admit {
            for (place, key, units) in uses {
                let counter = self.counters.entry((*place, *key)).or_default();
                counter.take(self.promises[*place], *units);
            }
        }
        admit
    }

    /// The gateway let a call pass that the reference had not: only its being in flight counts here.
    pub(super) fn started(&mut self, uses: &[(usize, Key, u64)]) {
        for (place, key, _) in uses {
            if matches!(self.promises[*place], Promise::Concurrent { .. }) {
                self.counters.entry((*place, *key)).or_default().load += 1;
            }
        }
    }

    pub(super) fn ended(&mut self, held: &[(usize, Key)]) {
        for held in held {
            self.counters.entry(*held).or_default().load -= 1;
        }
    }
}

impl Counter {
    fn has_room(&mut self, promise: Promise, time: u64, wall: u64, units: u64) -> bool {
        let mut turn = |index: u64| {
            if index > self.index {
                self.index = index;
                self.load = 0;
            }
        };
        match promise {
            Promise::Rate { amount, per, burst } => {
                self.load = self.load.saturating_sub(u128::from(time - self.time) * u128::from(amount));
                self.time = time;
                self.load + u128::from(units) * u128::from(per) <= u128::from(burst) * u128::from(per)
            }
            Promise::Fixed { amount, per } => {
                turn(aligned(time) / per);
                self.load + u128::from(units) <= u128::from(amount)
            }
            Promise::Calendar { amount, hour } => {
                turn(calendar_index(wall, hour));
                self.load + u128::from(units) <= u128::from(amount)
            }
            Promise::Rolling { amount, sub } => {
                self.index = aligned(time) / sub;
                self.subs.retain(|(index, _)| index + 60 > self.index);
                let sum: u64 = self.subs.iter().map(|(_, units)| units).sum();
                sum + units <= amount
            }
            Promise::Concurrent { amount } => self.load < u128::from(amount),
        }
    }

    fn take(&mut self, promise: Promise, units: u64) {
        match promise {
            Promise::Rate { per, .. } => self.load += u128::from(units) * u128::from(per),
            Promise::Rolling { .. } => match self.subs.last_mut() {
                Some((index, sum)) if *index == self.index => *sum += units,
                _ => self.subs.push((self.index, units)),
            },
            _ => self.load += u128::from(units),
        }
    }
}
