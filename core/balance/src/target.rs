//! One target as a worker sees it: calls, failures, health, latency.
//!
//! Knows: itself. Must not: know other targets (the share that may be ejected is the balancer's).

use crate::{
    decay::fading,
    errors::ErrorWindow,
    spec::{EjectionSpec, TargetSpec},
};

/// Weights are refined by this factor, so that a slow start has steps.
pub(crate) const WEIGHT_SCALE: u32 = 64;
/// A slow start begins at this part of the weight.
const SLOW_START_PART: u64 = 10;
/// Time over which an old latency loses its influence (to 1/e).
const LATENCY_DECAY_NS: f64 = 10e9;
/// Cost of a target that has calls but no answer yet: as one that takes a second.
const UNKNOWN_LATENCY_NS: f64 = 1e9;

#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) spec: TargetSpec,
    /// Counts targets that had this place: an attempt on an earlier one does not touch this one.
    pub(crate) generation: u32,
    /// It stands in the configuration.
    pub(crate) listed: bool,
    pub(crate) calls: u32,
    /// Smooth round robin: what it is owed.
    pub(crate) turn: i64,
    healthy: bool,
    ejected_until_ns: u64,
    ejections: u32,
    failures_in_row: u32,
    errors: ErrorWindow,
    /// Start of its slow start; 0: none.
    warm_from_ns: u64,
    latency_ns: f64,
    latency_at_ns: u64,
}

impl Target {
    pub(crate) fn new(spec: TargetSpec, generation: u32, window_ns: u64, warm_from_ns: u64) -> Self {
        Self {
            spec,
            generation,
            listed: true,
            calls: 0,
            turn: 0,
            healthy: true,
            ejected_until_ns: 0,
            ejections: 0,
            failures_in_row: 0,
            errors: ErrorWindow::new(window_ns),
            warm_from_ns,
            latency_ns: 0.0,
            latency_at_ns: 0,
        }
    }

    #[inline]
    pub(crate) fn is_ejected(&self, now_ns: u64) -> bool {
        now_ns < self.ejected_until_ns
    }

    #[inline]
    pub(crate) fn is_available(&self, now_ns: u64) -> bool {
        self.listed && self.healthy && !self.is_ejected(now_ns)
    }

    /// Its weight now, refined; grows during a slow start.
    #[inline]
    pub(crate) fn weight(&self, now_ns: u64, slow_start_ns: u64) -> u32 {
        let whole = u32::from(self.spec.weight) * WEIGHT_SCALE;
        let from_ns = self.warm_from_ns.max(self.ejected_until_ns);
        if from_ns == 0 {
            return whole;
        }
        let warm = now_ns.saturating_sub(from_ns);
        if warm >= slow_start_ns {
            return whole;
        }
        let part = slow_start_ns / SLOW_START_PART;
        let share =
            part + (u128::from(warm) * u128::from(slow_start_ns - part) / u128::from(slow_start_ns)) as u64;
        ((u128::from(whole) * u128::from(share) / u128::from(slow_start_ns)) as u32).max(1)
    }

    /// An active check's result. A target that recovers starts slowly and with a clean record.
    pub(crate) fn set_healthy(&mut self, now_ns: u64, healthy: bool) {
        if healthy && !self.healthy {
            self.warm_from_ns = now_ns.max(1);
            self.failures_in_row = 0;
            self.errors.clear();
        }
        self.healthy = healthy;
    }

    /// Counts an outcome; true if it calls for an ejection.
    pub(crate) fn count(&mut self, now_ns: u64, failed: bool, spec: &EjectionSpec) -> bool {
        self.errors.count(now_ns, failed);
        if !failed {
            self.failures_in_row = 0;
            return false;
        }
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        let in_row = spec.consecutive_failures > 0 && self.failures_in_row >= spec.consecutive_failures;
        let share =
            spec.errors_percent > 0 && self.errors.is_over(now_ns, spec.errors_percent, spec.requests_min);
        (in_row || share) && !self.is_ejected(now_ns)
    }

    /// Ejects it; gives the end. Each base time without an ejection since the last one ended forgives one.
    pub(crate) fn eject(&mut self, now_ns: u64, spec: &EjectionSpec) -> u64 {
        let quiet = now_ns.saturating_sub(self.ejected_until_ns) / spec.base_ns.max(1);
        let before = u64::from(self.ejections).saturating_sub(quiet);
        self.ejections = u32::try_from(before + 1).unwrap_or(u32::MAX);
        let time = spec.base_ns.saturating_mul(before + 1).min(spec.max_ns.max(spec.base_ns));
        self.eject_until(now_ns.saturating_add(time));
        self.ejected_until_ns
    }

    pub(crate) fn eject_until(&mut self, until_ns: u64) {
        self.ejected_until_ns = self.ejected_until_ns.max(until_ns);
        self.failures_in_row = 0;
        self.errors.clear();
    }

    /// Notes a latency: a higher one counts at once, a lower one as the old fades (peak EWMA).
    pub(crate) fn note_latency(&mut self, now_ns: u64, latency_ns: u64) {
        let latency = latency_ns as f64;
        let faded = self.fading(now_ns);
        self.latency_ns = match latency > self.latency_ns * faded {
            true => latency,
            false => self.latency_ns * faded + latency * (1.0 - faded),
        };
        self.latency_at_ns = now_ns;
    }

    fn fading(&self, now_ns: u64) -> f64 {
        fading(now_ns.saturating_sub(self.latency_at_ns), LATENCY_DECAY_NS)
    }

    /// Expected cost of one more call.
    pub(crate) fn cost(&self, now_ns: u64, weight: u32) -> f64 {
        let latency = match self.latency_ns == 0.0 {
            true if self.calls > 0 => UNKNOWN_LATENCY_NS,
            true => 0.0,
            false => self.latency_ns * self.fading(now_ns),
        };
        latency * f64::from(self.calls + 1) / f64::from(weight)
    }

    /// Takes the configuration's word; what was learned stays.
    pub(crate) fn reconfigure(&mut self, spec: TargetSpec, window_ns: Option<u64>) {
        self.spec = spec;
        self.listed = true;
        if let Some(window_ns) = window_ns {
            self.errors = ErrorWindow::new(window_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::TargetId;

    fn target(weight: u16, warm_from_ns: u64) -> Target {
        Target::new(TargetSpec { id: TargetId(1), weight, backup: false }, 0, 1000, warm_from_ns)
    }

    #[test]
    fn a_slow_start_grows_from_a_tenth_to_the_whole() {
        let table = [(1000, 64), (1500, 352), (1999, 639), (2000, 640), (9000, 640)];
        for (now, expected) in table {
            assert_eq!(target(10, 1000).weight(now, 1000), expected, "at {now}");
        }
        assert_eq!(target(10, 0).weight(0, 1000), 640, "one that was there from the beginning");
        assert_eq!(target(10, 1000).weight(1000, 0), 640);
    }

    #[test]
    fn ejections_grow_and_are_forgiven() {
        let spec = EjectionSpec { base_ns: 100, max_ns: 250, ..EjectionSpec::default() };
        let mut target = target(1, 0);
        let mut now = 1000;
        for expected in [100, 200, 250, 250] {
            assert_eq!(target.eject(now, &spec) - now, expected);
            now += expected;
        }
        assert_eq!(target.eject(now + 1000, &spec) - now - 1000, 100);
    }

    #[test]
    fn fading_is_exponential_at_every_age() {
        let target = target(1, 0);
        for age_ns in [0, 1, 1_000, 50_000_000, 99_999_999, 100_000_000, 1_000_000_000, 60_000_000_000] {
            let expected = (-(age_ns as f64) / LATENCY_DECAY_NS).exp();
            assert!((target.fading(age_ns) - expected).abs() < 1e-9, "after {age_ns} ns");
        }
    }

    #[test]
    fn latency_peaks_at_once_and_fades() {
        let mut target = target(1, 0);
        assert_eq!(target.cost(0, 1), 0.0);
        target.calls = 1;
        assert_eq!(target.cost(0, 1), 2.0 * UNKNOWN_LATENCY_NS);
        target.note_latency(1_000_000, 1000);
        target.note_latency(1_000_000, 5000);
        assert_eq!(target.cost(1_000_000, 1), 10_000.0);
        assert_eq!(target.cost(1_000_000, 2), 5_000.0);
        target.note_latency(10_001_000_000, 1000);
        let cost = target.cost(10_001_000_000, 1) / 2.0;
        assert!((2000.0..3000.0).contains(&cost), "{cost}");
    }
}
