//! A limit compiled for decisions: plain numbers, no names on the way.
//!
//! Knows: the arithmetic of one limit. Must not: hold a counter.

use crate::{
    calendar::CalendarWindows,
    clock::{POWER_CUT_WINDOW_NS, TICK_SHIFT},
    key::mix,
    rolling,
    spec::{ALERTS_MAX, Algorithm, Kind, LimitSpec, Mode, SpecError, Window},
};

/// Identity of a limit's counters: owner, name and the shape of the window. A change of the amount, of the burst
/// or of the order in a file keeps it; a change of what a count means (kind, algorithm, window) does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitId(pub u128);

impl LimitId {
    /// The identity of a configured limit.
    pub fn of(spec: &LimitSpec) -> Self {
        let (algorithm, shape) = match &spec.window {
            Window::None => (0u64, 0u64),
            Window::Calendar(windows) => (4, windows.unit() as u64),
            Window::Duration(per) => match spec.algorithm.unwrap_or(spec.kind.default_algorithm()) {
                // A gcra bucket holds time still owed, which means the same under any rate.
                Algorithm::Gcra => (1, 0),
                Algorithm::Fixed => (2, per.as_nanos() as u64),
                Algorithm::Rolling => (3, per.as_nanos() as u64),
            },
        };
        let zone = match &spec.window {
            Window::Calendar(windows) => windows.zone(),
            _ => "",
        };
        let kind = match spec.kind {
            Kind::Requests => 1,
            Kind::Concurrent => 2,
            Kind::Bytes(direction) => 3 + direction as u64,
            Kind::Tokens(tokens) => 6 + tokens as u64,
            Kind::Usd => 9,
        };
        let mut halves = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
        for (lane, half) in halves.iter_mut().enumerate() {
            let mut take = |word: u64| *half = mix(*half ^ word).rotate_left(23 + lane as u32);
            take(spec.owner as u64);
            take((spec.owner >> 64) as u64);
            take(kind);
            take(algorithm);
            take(shape);
            for text in [spec.name.as_str(), zone] {
                take(text.len() as u64);
                for chunk in text.as_bytes().chunks(8) {
                    let mut word = [0; 8];
                    word[..chunk.len()].copy_from_slice(chunk);
                    take(u64::from_le_bytes(word));
                }
            }
        }
        // A high half of zero marks a free entry of the directory.
        LimitId(u128::from(halves[0].max(1)) << 64 | u128::from(halves[1]))
    }
}

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Gcra,
    Fixed,
    Calendar,
    Rolling,
    Concurrent,
    /// Rolling, in blocks whose sub-buckets hold any amount: tokens and money.
    Wide,
}

/// The numbers of a decision. Copied into a held reservation so that a stream needs no snapshot to settle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) ordinal: u32,
    pub(crate) method: Method,
    pub(crate) kind: Kind,
    pub(crate) soft: bool,
    /// Whether workers may lease ahead.
    pub(crate) leasable: bool,
    /// Units that all workers together may lease: one in [`LEASED_SHARE`] of the whole, because a call that finds
    /// them with other workers is refused where one counter would have admitted it.
    pub(crate) leases_max: u32,
    pub(crate) alert_count: u8,
    /// Rolling: counts are kept in units of 2^shift.
    pub(crate) shift: u8,
    pub(crate) keys_max: u32,
    /// Units per window; at once for concurrent.
    pub(crate) amount: u64,
    /// Gcra: depth of the bucket in units; else the amount.
    pub(crate) burst: u64,
    /// Window length; rolling: of a sub-bucket; 0 for concurrent and calendar.
    pub(crate) per_ns: u64,
    /// Gcra: ticks per unit, rounded up.
    pub(crate) interval_ticks: u64,
    /// Gcra: ticks of a full bucket.
    pub(crate) depth_ticks: u64,
    /// Gcra: no bucket is fuller than if it had been empty at this tick less depth (power cut); else the last
    /// window index that stays closed, plus one; 0 if none.
    pub(crate) floor: u64,
    pub(crate) alerts: [u64; ALERTS_MAX],
}

/// Part of a bucket or window that may be leased out at a time: 1 %.
const LEASED_SHARE: u64 = 100;
/// Leases of fixed windows shorter than this could strand more than the 1 % that may be lost.
const LEASE_WINDOW_NS_MIN: u64 = 1_000_000_000;

impl Rule {
    /// Checks and compiles; ordinal and floor come with registration.
    pub(crate) fn compile(spec: &LimitSpec) -> Result<Self, SpecError> {
        spec.validate()?;
        let mut rule = Rule {
            ordinal: 0,
            method: Method::Concurrent,
            kind: spec.kind,
            soft: spec.mode == Mode::Soft,
            leasable: false,
            leases_max: 0,
            alert_count: spec.alert_at.len() as u8,
            shift: 0,
            keys_max: spec.keys_max,
            amount: spec.amount,
            burst: spec.amount,
            per_ns: 0,
            interval_ticks: 0,
            depth_ticks: 0,
            floor: 0,
            alerts: [u64::MAX; ALERTS_MAX],
        };
        match &spec.window {
            Window::None => {}
            Window::Calendar(_) => {
                rule.method = Method::Calendar;
                rule.leasable = spec.kind == Kind::Requests;
            }
            Window::Duration(per) => {
                rule.per_ns = per.as_nanos() as u64;
                rule.compile_duration(spec);
            }
        }
        rule.leases_max = u32::try_from(rule.burst / LEASED_SHARE).unwrap_or(u32::MAX);
        for (threshold, percent) in rule.alerts.iter_mut().zip(&spec.alert_at) {
            let units = u128::from(rule.burst) * u128::from(*percent);
            *threshold = (units.div_ceil(100) as u64).max(1);
        }
        Ok(rule)
    }

    fn compile_duration(&mut self, spec: &LimitSpec) {
        match spec.algorithm.unwrap_or(spec.kind.default_algorithm()) {
            Algorithm::Gcra => {
                self.method = Method::Gcra;
                self.burst = spec.burst.unwrap_or(spec.amount);
                let per_ticks = u128::from(self.per_ns) << TICK_SHIFT;
                self.interval_ticks = per_ticks.div_ceil(u128::from(self.amount)) as u64;
                self.depth_ticks = match self.kind {
                    Kind::Requests => self.burst * self.interval_ticks,
                    _ => (u128::from(self.burst) * per_ticks / u128::from(self.amount)) as u64,
                };
                self.leasable = self.kind == Kind::Requests;
            }
            Algorithm::Fixed => {
                self.method = Method::Fixed;
                self.leasable = self.kind == Kind::Requests && self.per_ns >= LEASE_WINDOW_NS_MIN;
            }
            Algorithm::Rolling if self.kind.reserves() => {
                self.method = Method::Wide;
                self.per_ns = self.per_ns.div_ceil(rolling::SUB_BUCKETS);
            }
            Algorithm::Rolling => {
                self.method = Method::Rolling;
                self.per_ns = self.per_ns.div_ceil(rolling::SUB_BUCKETS);
                self.shift = rolling::shift_for(self.amount);
            }
        }
    }

    /// What is asked for at admission: of bytes no more than the whole, or a body larger than that could never
    /// pass; the rest is booked when it has moved.
    #[inline]
    pub(crate) fn units(&self, amount: u64) -> u64 {
        match self.kind {
            Kind::Bytes(_) => amount.min((self.burst >> self.shift) << self.shift),
            Kind::Requests | Kind::Concurrent | Kind::Tokens(_) | Kind::Usd => amount,
        }
    }

    /// Ticks that `amount` units cost.
    #[inline]
    pub(crate) fn cost_ticks(&self, amount: u64) -> u64 {
        match self.kind {
            Kind::Bytes(_) => {
                let ticks = u128::from(amount) * (u128::from(self.per_ns) << TICK_SHIFT);
                u64::try_from(ticks.div_ceil(u128::from(self.amount)))
                    .unwrap_or(u64::MAX >> 1)
                    .min(u64::MAX >> 1)
            }
            _ => self.interval_ticks.saturating_mul(amount),
        }
    }

    /// Whether the window is one of those that start empty or closed after a power cut.
    pub(crate) fn short(&self) -> bool {
        match self.method {
            Method::Gcra | Method::Fixed => self.per_ns < POWER_CUT_WINDOW_NS,
            Method::Rolling | Method::Wide => self.per_ns * rolling::SUB_BUCKETS < POWER_CUT_WINDOW_NS,
            Method::Calendar | Method::Concurrent => false,
        }
    }

    /// Nominal length of the whole window in nanoseconds; 0 for concurrent.
    pub(crate) fn window_ns(&self, calendar: Option<&CalendarWindows>) -> u64 {
        match self.method {
            Method::Gcra | Method::Fixed => self.per_ns,
            Method::Rolling | Method::Wide => self.per_ns * rolling::SUB_BUCKETS,
            Method::Calendar => {
                calendar.map_or(0, |windows| windows.unit().nominal_s() as u64 * crate::clock::SECOND_NS)
            }
            Method::Concurrent => 0,
        }
    }
}

/// A limit registered at a node pool: what a snapshot holds and a shard decides by. Immutable; share it by `Arc`.
#[derive(Debug, Clone)]
pub struct Limit {
    pub(crate) id: LimitId,
    pub(crate) rule: Rule,
    /// Number of the registration in this process: what a worker knows its own copy to be the same by.
    pub(crate) registration: u64,
    pub(crate) calendar: Option<CalendarWindows>,
    pub(crate) name: Box<str>,
}

impl Limit {
    /// Identity of its counters.
    pub fn id(&self) -> LimitId {
        self.id
    }

    /// Its name within its owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it counts.
    pub fn kind(&self) -> Kind {
        self.rule.kind
    }

    /// Units per window (or at once).
    pub fn amount(&self) -> u64 {
        self.rule.amount
    }

    /// Length of the window in nanoseconds (the longest, for a calendar unit); 0 for concurrent.
    pub fn window_ns(&self) -> u64 {
        self.rule.window_ns(self.calendar.as_ref())
    }

    /// The calendar's windows, if it counts by them.
    pub fn calendar(&self) -> Option<&CalendarWindows> {
        self.calendar.as_ref()
    }

    /// Whether it only flags.
    pub fn is_soft(&self) -> bool {
        self.rule.soft
    }
}
