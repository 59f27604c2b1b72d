//! The time to the first token of a deployment, as it was of late; shared by all workers.
//!
//! Knows: times as told. Must not: know whose they are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use penstock_balance::fading;

/// What a new measurement counts at least, against all before it.
const WEIGHT_MIN: f64 = 0.2;
/// Time in which old measurements lose their influence (to 1/e).
const DECAY_NS: f64 = 60e9;

/// A moving average. Two workers that note at the same moment may lose one of two measurements, no more.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// 0: nothing is known.
    average_ns: AtomicU64,
    noted_at_ns: AtomicU64,
}

impl Latency {
    /// Notes a measurement. The older those before are, the more it counts, so that one call says whether a target that was
    /// slow is so still.
    pub(super) fn note(&self, now_ns: u64, latency_ns: u64) {
        let latency_ns = latency_ns.max(1);
        let old_ns = self.average_ns.load(Relaxed);
        let age_ns = now_ns.saturating_sub(self.noted_at_ns.load(Relaxed));
        let new_ns = match old_ns {
            0 => latency_ns,
            _ => {
                let weight = WEIGHT_MIN.max(1.0 - fading(age_ns, DECAY_NS));
                (old_ns as f64 * (1.0 - weight) + latency_ns as f64 * weight) as u64
            }
        };
        self.average_ns.store(new_ns.max(1), Relaxed);
        self.noted_at_ns.store(now_ns, Relaxed);
    }

    /// What is to be expected; none as long as nothing is known.
    #[inline]
    pub(super) fn expected_ns(&self) -> Option<u64> {
        Some(self.average_ns.load(Relaxed)).filter(|ns| *ns > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_follows_what_is_measured_and_forgets_with_time() {
        let latency = Latency::default();
        assert_eq!(latency.expected_ns(), None);
        latency.note(0, 1000);
        assert_eq!(latency.expected_ns(), Some(1000));
        latency.note(0, 2000);
        assert_eq!(latency.expected_ns(), Some(1200));
        for _ in 0..30 {
            latency.note(SECOND, 2000);
        }
        assert!(latency.expected_ns().is_some_and(|ns| ns > 1990));
        latency.note(600 * SECOND, 100);
        assert!(
            latency.expected_ns().is_some_and(|ns| ns < 110),
            "after ten minutes one measurement is enough"
        );
        latency.note(0, 0);
        assert!(latency.expected_ns().is_some(), "a clock that went back and a time of nothing do no harm");
    }
}
