//! When the requests of an open loop are planned to start: arithmetic on numbers, no clock.
//!
//! With a rate r(t) that goes linearly from `from` to `to` within `ramp` and stays there, N(t) arrivals are due by
//! time t, and arrival n is due at the inverse of N. Thread i of m takes the arrivals i, i+m, i+2m, ...

use std::time::Duration;

use crate::rng::Rng;
use crate::units::Rate;

/// Planned starts of one thread, as times since the start of the run, never decreasing.
#[derive(Debug)]
pub(crate) struct Arrivals {
    rate: Rate,
    ramp_s: f64,
    /// Arrivals of all threads that lie before the next one of this thread.
    next: f64,
    /// Arrivals of all threads between two of this thread, on average.
    stride: f64,
    /// Draws exponential gaps if there is one.
    poisson: Option<Rng>,
    end: Option<Duration>,
}

impl Arrivals {
    /// Plans the arrivals of thread `index` of `threads` up to `end`.
    pub(crate) fn new(
        rate: Rate,
        ramp: Duration,
        (index, threads): (usize, usize),
        poisson: Option<Rng>,
        end: Option<Duration>,
    ) -> Self {
        let mut arrivals = Self {
            rate,
            ramp_s: ramp.as_secs_f64(),
            next: index as f64,
            stride: threads as f64,
            poisson,
            end,
        };
        if let Some(rng) = &mut arrivals.poisson {
            arrivals.next = arrivals.stride * rng.exponential();
        }
        arrivals
    }

    /// The next planned start, `None` past the end.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let due = Duration::try_from_secs_f64(time_of(self.rate, self.ramp_s, self.next)).ok()?;
        if self.end.is_some_and(|end| due >= end) {
            return None;
        }
        self.next += self.stride * self.poisson.as_mut().map_or(1.0, Rng::exponential);
        Some(due)
    }
}

/// The rate that is planned at a time.
pub(crate) fn rate_at(rate: Rate, ramp: Duration, at: Duration) -> f64 {
    if at >= ramp {
        return rate.to;
    }
    rate.from + (rate.to - rate.from) * at.as_secs_f64() / ramp.as_secs_f64()
}

/// Seconds after which `count` arrivals are due. The quadratic is solved in the form that does not cancel.
fn time_of(rate: Rate, ramp_s: f64, count: f64) -> f64 {
    let within_ramp = (rate.from + rate.to) / 2.0 * ramp_s;
    if count >= within_ramp {
        return ramp_s + (count - within_ramp) / rate.to;
    }
    let curvature = (rate.to - rate.from) / (2.0 * ramp_s);
    2.0 * count / (rate.from + (rate.from * rate.from + 4.0 * curvature * count).max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn all(mut arrivals: Arrivals) -> Vec<Duration> {
        std::iter::from_fn(|| arrivals.next()).collect()
    }

    #[test]
    fn a_constant_rate_has_equal_gaps() {
        let rate = Rate { from: 4.0, to: 4.0 };
        let due = all(Arrivals::new(rate, Duration::ZERO, (0, 1), None, Some(SECOND)));
        assert_eq!(due, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn threads_share_the_arrivals() {
        let rate = Rate { from: 100.0, to: 900.0 };
        let plan =
            |index, threads| all(Arrivals::new(rate, SECOND * 2, (index, threads), None, Some(SECOND * 3)));
        let mut shared = [plan(0, 3), plan(1, 3), plan(2, 3)].concat();
        shared.sort();
        assert_eq!(shared, plan(0, 1));
    }

    #[test]
    fn ramps_hold_their_counts_both_ways() {
        for (from, to) in [(1000.0, 20_000.0), (20_000.0, 1000.0), (500.0, 500.0)] {
            let rate = Rate { from, to };
            let due = all(Arrivals::new(rate, SECOND * 10, (0, 1), None, Some(SECOND * 12)));
            assert!(due.is_sorted());
            let expected = (from + to) / 2.0 * 10.0 + to * 2.0;
            assert!(
                (due.len() as f64 - expected).abs() <= 1.0,
                "{from}..{to}: {} against {expected}",
                due.len()
            );
            let half = due.iter().filter(|at| **at < SECOND * 5).count() as f64;
            let expected = (from + (from + to) / 2.0) / 2.0 * 5.0;
            assert!((half - expected).abs() <= 1.0, "{from}..{to}: {half} against {expected}");
        }
    }

    #[test]
    fn poisson_arrivals_have_the_same_mean_and_scatter() {
        let rate = Rate { from: 10_000.0, to: 10_000.0 };
        let due = all(Arrivals::new(rate, Duration::ZERO, (1, 2), Some(Rng::new(5)), Some(SECOND * 4)));
        assert!((19_400..20_600).contains(&due.len()), "{}", due.len());
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05);
    }

    #[test]
    fn planned_rate_at_a_time() {
        let rate = Rate { from: 10.0, to: 20.0 };
        for (at_ms, expected) in [(0, 10.0), (500, 15.0), (1000, 20.0), (5000, 20.0)] {
            assert_eq!(rate_at(rate, SECOND, Duration::from_millis(at_ms)), expected);
        }
        assert_eq!(rate_at(rate, Duration::ZERO, Duration::ZERO), 20.0);
    }
}
