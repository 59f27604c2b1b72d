//! What an upstream is as configured, and whether that makes sense.
//!
//! Knows: numbers. Must not: know addresses (a target is its id here).

/// Stable identity of a target (made from the upstream's uid and the target's address): state follows it over a
/// reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u64);

/// Targets of one upstream at most, those of the configuration before included while calls are still on them.
pub const TARGETS_MAX: usize = 256;
/// Greatest weight.
pub const WEIGHT_MAX: u16 = 1000;
const SECOND_NS: u64 = 1_000_000_000;

/// One target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetSpec {
    /// Its identity.
    pub id: TargetId,
    /// Its share against the others', 1 to [`WEIGHT_MAX`].
    pub weight: u16,
    /// Used only while no other target is available.
    pub backup: bool,
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// In turn, smoothly by weight.
    #[default]
    RoundRobin,
    /// The one with fewer calls of two drawn by weight (the power of two choices).
    LeastRequest,
    /// The one that is expected to answer sooner of two drawn by weight (peak EWMA of latency times calls).
    Ewma,
    /// By a key, on a ring of points by weight; a target that leaves moves only its own keys.
    Hash,
}

/// Passive ejection: targets that fail calls are left out for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionSpec {
    /// Failures in a row that eject; 0: none do.
    pub consecutive_failures: u32,
    /// Percentage of failed calls within the window that ejects; 0: none does.
    pub errors_percent: u8,
    /// Calls that the window must hold before its percentage counts.
    pub requests_min: u32,
    /// Length of the window, nanoseconds.
    pub window_ns: u64,
    /// Time of a first ejection; the n-th in a row takes n times as long.
    pub base_ns: u64,
    /// Longest ejection.
    pub max_ns: u64,
    /// Greatest share of the targets that is ejected at the same time, percent, rounded down to whole targets.
    pub ejected_percent_max: u8,
}

impl Default for EjectionSpec {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            errors_percent: 50,
            requests_min: 20,
            window_ns: 10 * SECOND_NS,
            base_ns: 30 * SECOND_NS,
            max_ns: 300 * SECOND_NS,
            ejected_percent_max: 50,
        }
    }
}

/// Circuit breaker of the whole upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSpec {
    /// Percentage of failed calls within the window that opens it, 1 to 100.
    pub errors_percent: u8,
    /// Calls that the window must hold before its percentage counts.
    pub requests_min: u32,
    /// Length of the window, nanoseconds.
    pub window_ns: u64,
    /// How long it stays open before calls try the upstream again.
    pub open_ns: u64,
    /// Calls that try at the same time while it is half open; as many successes close it, one failure opens it.
    pub probes: u32,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self {
            errors_percent: 50,
            requests_min: 20,
            window_ns: 10 * SECOND_NS,
            open_ns: 5 * SECOND_NS,
            probes: 3,
        }
    }
}

/// How many retries may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySpec {
    /// Percentage of the live calls.
    pub percent: u8,
    /// And at least this many.
    pub min: u32,
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self { percent: 20, min: 3 }
    }
}

impl RetrySpec {
    /// Retries that may be under way beside so many live calls: the larger of the minimum and the share.
    pub fn allowed(&self, live: u32) -> u32 {
        let share = u64::from(live) * u64::from(self.percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(self.min)
    }
}

/// An upstream as one worker balances over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSpec {
    /// Its targets.
    pub targets: Vec<TargetSpec>,
    /// How one is chosen.
    pub policy: Policy,
    /// Passive ejection; none: never.
    pub ejection: Option<EjectionSpec>,
    /// Circuit breaker; none: never open.
    pub breaker: Option<BreakerSpec>,
    /// Retry budget.
    pub retries: RetrySpec,
    /// Time over which a new or recovered target's share grows from a tenth to the whole; 0: at once.
    pub slow_start_ns: u64,
    /// Calls on one target at the same time, of this worker.
    pub target_calls_max: u32,
    /// Calls of this worker that may wait for room at a target.
    pub waiting_max: u32,
}

impl UpstreamSpec {
    /// These targets, with the defaults of all else.
    pub fn new(targets: Vec<TargetSpec>, policy: Policy) -> Self {
        Self {
            targets,
            policy,
            ejection: Some(EjectionSpec::default()),
            breaker: None,
            retries: RetrySpec::default(),
            slow_start_ns: 0,
            target_calls_max: 1000,
            waiting_max: 1000,
        }
    }

    /// The first reason to refuse it.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.targets.is_empty() || self.targets.len() > TARGETS_MAX {
            return Err(SpecError::Targets);
        }
        if self.targets.iter().any(|target| !(1..=WEIGHT_MAX).contains(&target.weight)) {
            return Err(SpecError::Weight);
        }
        let mut ids: Vec<TargetId> = self.targets.iter().map(|target| target.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(SpecError::Duplicate);
        }
        if self.targets.iter().all(|target| target.backup) {
            return Err(SpecError::OnlyBackups);
        }
        let percents = [
            self.ejection.map_or(0, |ejection| ejection.errors_percent.max(ejection.ejected_percent_max)),
            self.breaker.map_or(1, |breaker| breaker.errors_percent),
            self.retries.percent,
        ];
        if percents.iter().any(|percent| *percent > 100) || percents[1] == 0 {
            return Err(SpecError::Percent);
        }
        let times = [
            self.ejection.map_or(1, |ejection| ejection.window_ns.min(ejection.base_ns)),
            self.breaker.map_or(1, |breaker| breaker.window_ns.min(breaker.open_ns)),
        ];
        let probes = self.breaker.map_or(1, |breaker| breaker.probes);
        if times.contains(&0) || probes == 0 || self.target_calls_max == 0 {
            return Err(SpecError::Zero);
        }
        Ok(())
    }
}

/// Why an upstream is refused at check time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum SpecError {
    #[error("an upstream needs 1 to {TARGETS_MAX} targets")]
    Targets,
    #[error("a weight must be 1 to {WEIGHT_MAX}")]
    Weight,
    #[error("a target stands twice")]
    Duplicate,
    #[error("at least one target must not be a backup")]
    OnlyBackups,
    #[error("a percentage is out of range")]
    Percent,
    #[error("a window, time, cap or number of probes is zero")]
    Zero,
    #[error("more than {TARGETS_MAX} targets, old ones with calls under way included")]
    NoPlace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told() {
        let target = |id, weight, backup| TargetSpec { id: TargetId(id), weight, backup };
        let with = |targets| UpstreamSpec::new(targets, Policy::RoundRobin);
        let good = with(vec![target(1, 1, false)]);
        let breaker = |breaker| UpstreamSpec { breaker: Some(breaker), ..good.clone() };
        let table = [
            (good.clone(), Ok(())),
            (with(vec![]), Err(SpecError::Targets)),
            (with((0..256).map(|id| target(id, 1, false)).collect()), Ok(())),
            (with((0..257).map(|id| target(id, 1, false)).collect()), Err(SpecError::Targets)),
            (with(vec![target(1, 0, false)]), Err(SpecError::Weight)),
            (with(vec![target(1, 1001, false)]), Err(SpecError::Weight)),
            (with(vec![target(1, 1, false), target(1, 2, true)]), Err(SpecError::Duplicate)),
            (with(vec![target(1, 1, true)]), Err(SpecError::OnlyBackups)),
            (breaker(BreakerSpec::default()), Ok(())),
            (breaker(BreakerSpec { errors_percent: 0, ..Default::default() }), Err(SpecError::Percent)),
            (breaker(BreakerSpec { errors_percent: 101, ..Default::default() }), Err(SpecError::Percent)),
            (breaker(BreakerSpec { probes: 0, ..Default::default() }), Err(SpecError::Zero)),
            (UpstreamSpec { target_calls_max: 0, ..good.clone() }, Err(SpecError::Zero)),
        ];
        for (spec, expected) in table {
            assert_eq!(spec.validate(), expected, "{spec:?}");
        }
    }
}
