//! The circuit breaker of an upstream: closed, open, half open.
//!
//! Knows: outcomes of calls as told. Must not: know targets.

use crate::{errors::ErrorWindow, spec::BreakerSpec};

/// What the breaker does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass and are counted.
    Closed,
    /// No call passes until this time.
    Open {
        /// Nanoseconds on the caller's clock.
        until_ns: u64,
    },
    /// Some calls try the upstream.
    HalfOpen {
        /// Trying now.
        probing: u32,
        /// Succeeded so far.
        succeeded: u32,
    },
}

#[derive(Debug)]
pub(crate) struct Breaker {
    spec: BreakerSpec,
    state: BreakerState,
    errors: ErrorWindow,
    /// Counts half-open phases: an outcome of an earlier one says nothing about this one.
    phase: u32,
}

/// What a call is to the breaker: its phase if it probes.
pub(crate) type Probe = Option<u32>;

impl Breaker {
    pub(crate) fn new(spec: BreakerSpec) -> Self {
        Self { spec, state: BreakerState::Closed, errors: ErrorWindow::new(spec.window_ns), phase: 0 }
    }

    /// Takes other settings; the state stays.
    pub(crate) fn reconfigure(&mut self, spec: BreakerSpec) {
        if spec.window_ns != self.spec.window_ns {
            self.errors = ErrorWindow::new(spec.window_ns);
        }
        self.spec = spec;
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether a call may pass; if not, nanoseconds until one may (0: when a probe ends).
    pub(crate) fn check(&mut self, now_ns: u64) -> Result<(), u64> {
        if let BreakerState::Open { until_ns } = self.state {
            if now_ns < until_ns {
                return Err(until_ns - now_ns);
            }
            self.phase = self.phase.wrapping_add(1);
            self.state = BreakerState::HalfOpen { probing: 0, succeeded: 0 };
        }
        match self.state {
            BreakerState::HalfOpen { probing, succeeded } if probing + succeeded >= self.spec.probes => {
                Err(0)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn started(&mut self) -> Probe {
        let BreakerState::HalfOpen { probing, .. } = &mut self.state else { return None };
        *probing += 1;
        Some(self.phase)
    }

    /// Counts an outcome; none for a call that said nothing about the upstream.
    pub(crate) fn finished(&mut self, now_ns: u64, probe: Probe, failed: Option<bool>) {
        match (&mut self.state, failed) {
            (BreakerState::HalfOpen { probing, succeeded }, _) if probe == Some(self.phase) => {
                *probing = probing.saturating_sub(1);
                match failed {
                    Some(true) => self.open(now_ns),
                    Some(false) => {
                        *succeeded += 1;
                        if *succeeded >= self.spec.probes {
                            self.errors.clear();
                            self.state = BreakerState::Closed;
                        }
                    }
                    None => {}
                }
            }
            (BreakerState::Closed, Some(failed)) => {
                self.errors.count(now_ns, failed);
                if failed && self.errors.is_over(now_ns, self.spec.errors_percent, self.spec.requests_min) {
                    self.open(now_ns);
                }
            }
            // Calls from before it opened.
            _ => {}
        }
    }

    fn open(&mut self, now_ns: u64) {
        self.errors.clear();
        self.state = BreakerState::Open { until_ns: now_ns.saturating_add(self.spec.open_ns) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerSpec {
            errors_percent: 50,
            requests_min: 4,
            window_ns: 1000,
            open_ns: 500,
            probes: 2,
        })
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        for _ in 0..4 {
            breaker.finished(10, None, Some(true));
        }
        assert_eq!(breaker.state(), BreakerState::Open { until_ns: 510 });
        breaker
    }

    #[test]
    fn it_opens_at_its_share_and_lets_probes_through_after_its_time() {
        let mut breaker = opened();
        assert_eq!(breaker.check(509), Err(1));
        assert_eq!(breaker.check(510), Ok(()));
        let first = breaker.started();
        assert_eq!(breaker.check(511), Ok(()));
        let second = breaker.started();
        assert_eq!(breaker.check(511), Err(0), "two probes at most");
        breaker.finished(520, first, Some(false));
        assert_eq!(breaker.check(521), Err(0), "a success is not a place for a third");
        breaker.finished(530, second, Some(false));
        assert_eq!(breaker.state(), BreakerState::Closed);
        for _ in 0..3 {
            breaker.finished(540, None, Some(true));
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "it begins to count anew");
    }

    #[test]
    fn a_failed_probe_opens_again_and_late_outcomes_count_for_nothing() {
        let mut breaker = opened();
        assert_eq!(breaker.check(600), Ok(()));
        let (first, second) = (breaker.started(), breaker.started());
        breaker.finished(610, first, Some(true));
        assert_eq!(breaker.state(), BreakerState::Open { until_ns: 1110 });
        breaker.finished(620, second, Some(false));
        breaker.finished(620, None, Some(false));
        assert_eq!(breaker.state(), BreakerState::Open { until_ns: 1110 });
        assert_eq!(breaker.check(1110), Ok(()));
        let third = breaker.started();
        breaker.finished(1120, second, Some(true));
        assert_eq!(breaker.state(), BreakerState::HalfOpen { probing: 1, succeeded: 0 });
        breaker.finished(1120, third, None);
        assert_eq!(breaker.state(), BreakerState::HalfOpen { probing: 0, succeeded: 0 });
    }
}
