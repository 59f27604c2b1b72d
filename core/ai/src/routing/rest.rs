//! Whether something may be called, or rests; shared by all workers.
//!
//! A rest that a rate limit brought is over when its time is. One that failures brought is half over then: one call tries,
//! and how it ends decides for all.
//!
//! Knows: times and ends as told. Must not: know what it is that rests.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::*};

use super::end::Cause;
use super::spec::Cooldown;

/// What [`Rest::look`] sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It may be called.
    Open,
    /// One call may try it, that which gets [`Rest::try_it`].
    Trial,
    /// It may not be called.
    Resting {
        /// Until when; the time of asking where a trial is under way.
        until_ns: u64,
        /// Why it rests.
        cause: Cause,
    },
}

/// The state of one thing. Members change one by one: a reader may see the end of a rest with the cause of the one before,
/// which tells a call another reason for the same wait and nothing else.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// End of the rest; 0: there is none.
    until_ns: AtomicU64,
    /// Why: a [`Cause`].
    cause: AtomicU8,
    /// Failures in a row.
    failures: AtomicU32,
    /// Who told the first of them.
    witness: AtomicU64,
    /// Another told one since.
    is_confirmed: AtomicBool,
    /// A call tries it.
    trial: AtomicBool,
}

impl Rest {
    #[inline]
    pub(super) fn look(&self, now_ns: u64) -> Look {
        let until_ns = self.until_ns.load(Acquire);
        if until_ns == 0 {
            return Look::Open;
        }
        let cause = Cause::of_number(self.cause.load(Relaxed));
        if now_ns < until_ns {
            Look::Resting { until_ns, cause }
        } else if cause == Cause::RateLimit {
            Look::Open
        } else if self.trial.load(Relaxed) {
            Look::Resting { until_ns: now_ns, cause }
        } else {
            Look::Trial
        }
    }

    /// Takes the place of the one that tries; false if another has it, or it rests again or no more. Who got it gives it
    /// back by [`Rest::succeeded`], [`Rest::failed`], [`Rest::rest`] or [`Rest::leave`].
    pub(super) fn try_it(&self, now_ns: u64) -> bool {
        if self.trial.compare_exchange(false, true, AcqRel, Relaxed).is_err() {
            return false;
        }
        // Another trial may have ended between the look and the taking.
        let until_ns = self.until_ns.load(Acquire);
        if until_ns == 0 || now_ns < until_ns {
            self.trial.store(false, Release);
            return false;
        }
        true
    }

    /// Notes that it works.
    pub(super) fn succeeded(&self, now_ns: u64, trial: bool) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if trial {
            let until_ns = self.until_ns.load(Acquire);
            if until_ns <= now_ns {
                // A rest that began meanwhile stays.
                let _ = self.until_ns.compare_exchange(until_ns, 0, AcqRel, Relaxed);
            }
            self.leave(true);
        }
    }

    /// Counts a failure; the end of the rest that it led to.
    pub(super) fn failed(&self, now_ns: u64, trial: bool, cause: Cause, cooldown: &Cooldown) -> Option<u64> {
        self.failed_before(now_ns, trial, cause, cooldown, None)
    }

    /// The same of something that is seen in several ways: failures lead to a rest only when two of those who saw them
    /// differ, as what all of them have in common is to blame then.
    pub(super) fn failed_before(
        &self,
        now_ns: u64,
        trial: bool,
        cause: Cause,
        cooldown: &Cooldown,
        witness: Option<u64>,
    ) -> Option<u64> {
        let until_ns = now_ns.saturating_add(cooldown.for_ns);
        if trial {
            return self.rest(now_ns, true, until_ns, cause).then_some(until_ns);
        }
        if !matches!(self.look(now_ns), Look::Open) {
            return None; // of a call from before it rested
        }
        let before = self.failures.fetch_add(1, Relaxed);
        if let Some(witness) = witness {
            if before == 0 {
                self.witness.store(witness, Relaxed);
                self.is_confirmed.store(false, Relaxed);
            } else if self.witness.load(Relaxed) != witness {
                self.is_confirmed.store(true, Relaxed);
            }
        }
        let is_enough = before.saturating_add(1) >= cooldown.after
            && (witness.is_none() || self.is_confirmed.load(Relaxed));
        (is_enough && self.rest(now_ns, false, until_ns, cause)).then_some(until_ns)
    }

    /// Lets it rest until a time, or longer where it does already; true if it did not rest before.
    pub(super) fn rest(&self, now_ns: u64, trial: bool, until_ns: u64, cause: Cause) -> bool {
        let before = self.until_ns.fetch_max(until_ns, AcqRel);
        if before < until_ns {
            self.cause.store(cause as u8, Relaxed);
        }
        self.failures.store(0, Relaxed);
        self.leave(trial);
        before <= now_ns
    }

    /// Gives back the place of the one that tries, nothing learned.
    pub(super) fn leave(&self, trial: bool) {
        if trial {
            self.trial.store(false, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Cooldown = Cooldown { after: 3, for_ns: 100 };

    fn resting() -> Rest {
        let rest = Rest::default();
        for n in 0..2 {
            assert_eq!(rest.failed(10 + n, false, Cause::Timeout, &COOLDOWN), None);
        }
        assert_eq!(rest.failed(12, false, Cause::Timeout, &COOLDOWN), Some(112));
        rest
    }

    #[test]
    fn failures_in_a_row_bring_a_rest_and_one_tries() {
        let rest = resting();
        assert_eq!(rest.look(111), Look::Resting { until_ns: 112, cause: Cause::Timeout });
        assert!(!rest.try_it(111));
        assert_eq!(rest.look(112), Look::Trial);
        assert!(rest.try_it(112) && !rest.try_it(112));
        assert_eq!(rest.look(113), Look::Resting { until_ns: 113, cause: Cause::Timeout });
        rest.succeeded(114, true);
        assert_eq!(rest.look(114), Look::Open);
        assert!(!rest.try_it(114), "it rests no more");
        assert_eq!(rest.failed(115, false, Cause::Timeout, &COOLDOWN), None, "it counts anew");
    }

    #[test]
    fn a_success_between_failures_counts_anew() {
        let rest = Rest::default();
        for n in 0..10 {
            assert_eq!(rest.failed(n, false, Cause::ServerError, &COOLDOWN), None);
            assert_eq!(rest.failed(n, false, Cause::ServerError, &COOLDOWN), None);
            rest.succeeded(n, false);
        }
        assert_eq!(rest.look(10), Look::Open);
    }

    #[test]
    fn a_failed_trial_rests_again_and_one_that_was_dropped_leaves_its_place() {
        let rest = resting();
        assert!(rest.try_it(200));
        assert_eq!(rest.failed(210, true, Cause::ServerError, &COOLDOWN), Some(310));
        assert_eq!(rest.look(309), Look::Resting { until_ns: 310, cause: Cause::ServerError });
        assert!(rest.try_it(310));
        rest.leave(true);
        assert_eq!(rest.look(311), Look::Trial);
    }

    #[test]
    fn what_only_one_of_several_saw_is_not_enough() {
        let rest = Rest::default();
        let failed = |n, witness| rest.failed_before(n, false, Cause::ServerError, &COOLDOWN, Some(witness));
        for n in 0..10 {
            assert_eq!(failed(n, 7), None);
        }
        assert_eq!(failed(10, 8), Some(110));
        let rest = Rest::default();
        let failed = |n, witness| rest.failed_before(n, false, Cause::ServerError, &COOLDOWN, Some(witness));
        assert_eq!((failed(1, 7), failed(2, 8), failed(3, 7)), (None, None, Some(103)));
    }

    #[test]
    fn late_ends_say_nothing_about_a_rest() {
        let rest = resting();
        assert_eq!(rest.failed(50, false, Cause::ServerError, &COOLDOWN), None);
        rest.succeeded(60, false);
        assert_eq!(rest.look(60), Look::Resting { until_ns: 112, cause: Cause::Timeout });
        assert_eq!(
            rest.failed(150, false, Cause::ServerError, &COOLDOWN),
            None,
            "half over, but not the one that tries"
        );
        assert_eq!(rest.look(150), Look::Trial);
    }

    #[test]
    fn a_rate_limit_is_over_when_its_time_is() {
        let rest = Rest::default();
        assert!(rest.rest(0, false, 50, Cause::RateLimit));
        assert!(!rest.rest(10, false, 70, Cause::RateLimit), "it rested before");
        assert!(!rest.rest(10, false, 60, Cause::RateLimit), "a shorter one does not shorten it");
        assert_eq!(rest.look(69), Look::Resting { until_ns: 70, cause: Cause::RateLimit });
        assert_eq!(rest.look(70), Look::Open);
    }

    #[test]
    fn a_rest_that_begins_during_a_trial_outlives_its_success() {
        let rest = resting();
        assert!(rest.try_it(112));
        assert!(rest.rest(113, false, 500, Cause::RateLimit));
        rest.succeeded(120, true);
        assert_eq!(rest.look(499), Look::Resting { until_ns: 500, cause: Cause::RateLimit });
        assert_eq!(rest.look(500), Look::Open);
    }
}
