//! The retry budget: retries under way against calls under way.
//!
//! Knows: counts. Must not: know whether a call is safe to retry.

use crate::spec::RetrySpec;

#[derive(Debug)]
pub(crate) struct RetryBudget {
    pub(crate) spec: RetrySpec,
    live: u32,
    retries: u32,
}

impl RetryBudget {
    pub(crate) fn new(spec: RetrySpec) -> Self {
        Self { spec, live: 0, retries: 0 }
    }

    pub(crate) fn call_started(&mut self) {
        self.live += 1;
    }

    pub(crate) fn call_finished(&mut self, retried: bool) {
        self.live = self.live.saturating_sub(1);
        self.retries = self.retries.saturating_sub(u32::from(retried));
    }

    /// Takes a place for a retry, if one is left: the larger of the minimum and the share of live calls.
    pub(crate) fn take(&mut self) -> bool {
        let granted = self.retries < self.spec.allowed(self.live);
        self.retries += u32::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_minimum_and_share() {
        for (live, expected) in [(0, 3), (15, 3), (20, 4), (100, 20)] {
            let mut budget = RetryBudget::new(RetrySpec::default());
            (0..live).for_each(|_| budget.call_started());
            assert_eq!((0..200).filter(|_| budget.take()).count(), expected, "{live} live calls");
            budget.call_finished(true);
            assert!(budget.take() || live == 20 || live == 100);
        }
    }
}
