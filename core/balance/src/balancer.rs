//! One worker's balancing over the targets of one upstream.
//!
//! Knows: targets' states, the policy, the breaker, the retry budget. Must not: open connections, read a clock,
//! or allocate per pick.

use crate::{
    breaker::{Breaker, BreakerState, Probe},
    budget::RetryBudget,
    random::Random,
    ring::Ring,
    set::TargetSet,
    spec::{EjectionSpec, Policy, SpecError, TARGETS_MAX, TargetId, TargetSpec, UpstreamSpec},
    target::Target,
};

/// A picked target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetRef {
    /// Who it is.
    pub id: TargetId,
    pub(crate) place: u16,
    generation: u32,
}

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Pick {
    /// Send it there, and say so by [`Balancer::started`] before the next pick.
    Target(TargetRef),
    /// All targets that could serve it have as many calls as they may: wait for one to finish, if
    /// [`Balancer::enqueue`] allows, and pick again.
    Full,
    /// Don't send it.
    Refused(NoTarget),
}

/// Why there is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTarget {
    /// The circuit breaker is open.
    BreakerOpen {
        /// Nanoseconds until a call may try again; 0: as soon as a probe ends.
        retry_after_ns: u64,
    },
    /// No target is healthy.
    Unhealthy,
    /// Every available target was tried by this call.
    AllTried,
}

/// How an attempt ended, as to the target's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, and the answer is not a failure of the target.
    Success,
    /// It could not be reached, broke off, took too long, or answered that it is broken (5xx).
    Failure,
    /// Nothing is known: the caller went away, or we gave up for another reason.
    Unknown,
}

/// An attempt under way. Give it to [`Balancer::finished`] exactly once.
#[derive(Debug)]
#[must_use]
pub struct Attempt {
    target: TargetRef,
    probe: Probe,
}

impl Attempt {
    /// The target it is on.
    pub fn target(&self) -> TargetRef {
        self.target
    }
}

/// A target was ejected by this worker: to be told to the others ([`Balancer::eject`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Which.
    pub target: TargetId,
    /// Until when on the callers' clock.
    pub until_ns: u64,
}

/// The state over one upstream.
#[derive(Debug)]
pub struct Balancer {
    spec: UpstreamSpec,
    targets: Vec<Target>,
    /// Weights of the targets that the pick at hand may choose; 0 for the others.
    weights: Vec<u32>,
    ring: Ring,
    breaker: Option<Breaker>,
    budget: RetryBudget,
    waiting: u32,
    random: Random,
}

impl Balancer {
    /// A balancer that begins at a random place: `seed` should differ from worker to worker, or all would send
    /// their first calls to the same targets.
    pub fn new(spec: &UpstreamSpec, seed: u64) -> Result<Self, SpecError> {
        spec.validate()?;
        let mut balancer = Self {
            spec: spec.clone(),
            targets: Vec::with_capacity(TARGETS_MAX),
            weights: Vec::with_capacity(TARGETS_MAX),
            ring: Ring::default(),
            breaker: spec.breaker.map(Breaker::new),
            budget: RetryBudget::new(spec.retries),
            waiting: 0,
            random: Random::new(seed),
        };
        balancer.place_targets(spec, 0)?;
        let turns =
            balancer.random.bits() % spec.targets.iter().map(|target| u64::from(target.weight)).sum::<u64>();
        if spec.policy == Policy::RoundRobin && balancer.candidates(0, &TargetSet::EMPTY).is_ok() {
            for _ in 0..turns.min(4 * TARGETS_MAX as u64) {
                balancer.next_in_turn();
            }
        }
        Ok(balancer)
    }

    /// Takes another configuration. Targets keep by their id all that was learned about them, and the calls on
    /// those that left go on; new ones start slowly. Nothing changes when it is refused. Allocates; not per call.
    pub fn reconfigure(&mut self, spec: &UpstreamSpec, now_ns: u64) -> Result<(), SpecError> {
        spec.validate()?;
        let known = |id| self.targets.iter().any(|target| target.spec.id == id);
        let new = spec.targets.iter().filter(|target| !known(target.id)).count();
        let stays = |target: &&Target| {
            target.calls > 0 || spec.targets.iter().any(|listed| listed.id == target.spec.id)
        };
        if self.targets.iter().filter(stays).count() + new > TARGETS_MAX {
            return Err(SpecError::NoPlace);
        }
        self.place_targets(spec, now_ns.max(1))?;
        self.budget.spec = spec.retries;
        match (&mut self.breaker, spec.breaker) {
            (Some(breaker), Some(spec)) => breaker.reconfigure(spec),
            (breaker, spec) => *breaker = spec.map(Breaker::new),
        }
        self.spec = spec.clone();
        Ok(())
    }

    fn place_targets(&mut self, spec: &UpstreamSpec, warm_from_ns: u64) -> Result<(), SpecError> {
        let window = |spec: &UpstreamSpec| spec.ejection.unwrap_or_default().window_ns;
        let window_ns = window(spec);
        let other_window = (window_ns != window(&self.spec)).then_some(window_ns);
        for target in &mut self.targets {
            target.listed = false;
        }
        // All who stay are found before any place is given away.
        let mut new = Vec::new();
        for listed in &spec.targets {
            match self.targets.iter_mut().find(|target| target.spec.id == listed.id) {
                Some(known) => known.reconfigure(*listed, other_window),
                None => new.push(*listed),
            }
        }
        for listed in new {
            let free = self.targets.iter().position(|target| !target.listed && target.calls == 0);
            match free {
                Some(place) => {
                    let generation = self.targets[place].generation.wrapping_add(1);
                    self.targets[place] = Target::new(listed, generation, window_ns, warm_from_ns);
                }
                None if self.targets.len() < TARGETS_MAX => {
                    self.targets.push(Target::new(listed, 0, window_ns, warm_from_ns));
                }
                None => return Err(SpecError::NoPlace),
            }
        }
        self.weights.resize(self.targets.len(), 0);
        let listed = self.targets.iter().enumerate().filter(|(_, target)| target.listed);
        self.ring.rebuild(listed.map(|(place, target)| (place as u16, target.spec)));
        Ok(())
    }

    /// Picks a target for one attempt. `key` is what [`Policy::Hash`] goes by (without one it draws by weight);
    /// `tried` are the targets that this call tried before. Costs a pass over the targets; no allocation.
    pub fn pick(&mut self, now_ns: u64, key: Option<u64>, tried: &TargetSet) -> Pick {
        if let Some(Err(retry_after_ns)) = self.breaker.as_mut().map(|breaker| breaker.check(now_ns)) {
            return Pick::Refused(NoTarget::BreakerOpen { retry_after_ns });
        }
        let total = match self.candidates(now_ns, tried) {
            Ok(total) => total,
            Err(answer) => return answer,
        };
        let place = match (self.spec.policy, key) {
            (Policy::RoundRobin, _) => self.next_in_turn(),
            (Policy::LeastRequest, _) => {
                self.better_of_two(total, |target, weight| f64::from(target.calls) / f64::from(weight))
            }
            (Policy::Ewma, _) => self.better_of_two(total, |target, weight| target.cost(now_ns, weight)),
            (Policy::Hash, Some(key)) => self.on_the_ring(key),
            (Policy::Hash, None) => self.draw(total),
        };
        let target = &self.targets[place];
        Pick::Target(TargetRef { id: target.spec.id, place: place as u16, generation: target.generation })
    }

    /// Sets `weights` to those of the targets that may be picked and gives their sum. Backups count only when no
    /// other target is available.
    fn candidates(&mut self, now_ns: u64, tried: &TargetSet) -> Result<u64, Pick> {
        let (mut healthy, mut available) = (false, false);
        for backups in [false, true] {
            let mut total = 0;
            for (place, target) in self.targets.iter().enumerate() {
                let usable = target.spec.backup == backups && target.is_available(now_ns);
                healthy |= usable;
                let untried = usable && !tried.has(place);
                available |= untried;
                let may = untried && target.calls < self.spec.target_calls_max;
                let weight = if may { target.weight(now_ns, self.spec.slow_start_ns) } else { 0 };
                self.weights[place] = weight;
                total += u64::from(weight);
            }
            if total > 0 {
                return Ok(total);
            }
            if available {
                return Err(Pick::Full);
            }
        }
        Err(Pick::Refused(if healthy { NoTarget::AllTried } else { NoTarget::Unhealthy }))
    }

    /// Smooth weighted round robin: all are owed their weight, who is owed most has its turn and pays for all.
    fn next_in_turn(&mut self) -> usize {
        let mut total = 0;
        let mut best = None;
        for (place, (target, weight)) in self.targets.iter_mut().zip(&self.weights).enumerate() {
            if *weight > 0 {
                target.turn += i64::from(*weight);
                total += i64::from(*weight);
                if best.is_none_or(|(_, turn)| target.turn > turn) {
                    best = Some((place, target.turn));
                }
            }
        }
        let place = best.map_or(0, |(place, _)| place);
        self.targets[place].turn -= total;
        place
    }

    /// A candidate drawn by weight.
    fn draw(&mut self, total: u64) -> usize {
        let drawn = self.random.weighted(self.weights.iter().copied(), total);
        drawn.unwrap_or_else(|| unreachable!("the weights add up to the total"))
    }

    /// The one of less cost of two drawn by weight; of equal ones the first drawn.
    fn better_of_two(&mut self, total: u64, cost: impl Fn(&Target, u32) -> f64) -> usize {
        let first = self.draw(total);
        let weight = self.weights[first];
        let rest = total - u64::from(weight);
        if rest == 0 {
            return first;
        }
        self.weights[first] = 0;
        let second = self.draw(rest);
        let first_cost = cost(&self.targets[first], weight);
        let second_cost = cost(&self.targets[second], self.weights[second]);
        if second_cost < first_cost { second } else { first }
    }

    fn on_the_ring(&self, key: u64) -> usize {
        let found = self.ring.find(key, |place| self.weights[usize::from(place)] > 0);
        found.map_or(0, usize::from)
    }

    /// Notes that an attempt goes to a picked target.
    pub fn started(&mut self, target: TargetRef) -> Attempt {
        let probe = self.breaker.as_mut().and_then(Breaker::started);
        if let Some(target) = self.target(target) {
            target.calls += 1;
        }
        Attempt { target, probe }
    }

    /// Notes how an attempt ended; `latency_ns` is the time to the first byte of the answer (with
    /// [`Outcome::Failure`] until it failed). Gives the ejection that this led to.
    pub fn finished(
        &mut self,
        now_ns: u64,
        attempt: Attempt,
        outcome: Outcome,
        latency_ns: u64,
    ) -> Option<Ejection> {
        let failed = match outcome {
            Outcome::Success => Some(false),
            Outcome::Failure => Some(true),
            Outcome::Unknown => None,
        };
        if let Some(breaker) = &mut self.breaker {
            breaker.finished(now_ns, attempt.probe, failed);
        }
        let ejection = self.spec.ejection;
        let target = self.target(attempt.target)?;
        target.calls = target.calls.saturating_sub(1);
        let failed = failed?;
        target.note_latency(now_ns, latency_ns);
        let spec = ejection?;
        if !target.count(now_ns, failed, &spec) || !self.may_eject(now_ns, &spec) {
            return None;
        }
        let until_ns = self.target(attempt.target)?.eject(now_ns, &spec);
        Some(Ejection { target: attempt.target.id, until_ns })
    }

    /// Whether one more target may be ejected.
    fn may_eject(&self, now_ns: u64, spec: &EjectionSpec) -> bool {
        let listed = || self.targets.iter().filter(|target| target.listed);
        let ejected = listed().filter(|target| target.is_ejected(now_ns)).count();
        (ejected + 1) * 100 <= listed().count() * usize::from(spec.ejected_percent_max)
    }

    /// Takes over another worker's ejection, within the same share.
    pub fn eject(&mut self, now_ns: u64, ejection: Ejection) {
        let Some(spec) = self.spec.ejection else { return };
        let may = self.may_eject(now_ns, &spec);
        let longest = now_ns.saturating_add(spec.max_ns.max(spec.base_ns));
        let target = self.targets.iter_mut().find(|target| target.spec.id == ejection.target);
        if let Some(target) = target.filter(|target| may || target.is_ejected(now_ns)) {
            target.eject_until(ejection.until_ns.min(longest));
        }
    }

    /// Takes an active check's result.
    pub fn set_healthy(&mut self, now_ns: u64, target: TargetId, healthy: bool) {
        if let Some(target) = self.targets.iter_mut().find(|known| known.spec.id == target) {
            target.set_healthy(now_ns, healthy);
        }
    }

    fn target(&mut self, target: TargetRef) -> Option<&mut Target> {
        self.targets.get_mut(usize::from(target.place)).filter(|known| known.generation == target.generation)
    }

    /// After [`Pick::Full`]: takes a place among those who wait; false if there is none left. Who got one leaves it
    /// by [`Balancer::dequeue`], whatever came of it.
    #[must_use]
    pub fn enqueue(&mut self) -> bool {
        let place = self.waiting < self.spec.waiting_max;
        self.waiting += u32::from(place);
        place
    }

    /// Leaves the place taken by [`Balancer::enqueue`].
    pub fn dequeue(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Calls that wait.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// A call of this upstream begins, whatever its attempts: what the retry budget is measured by.
    pub fn call_started(&mut self) {
        self.budget.call_started();
    }

    /// Takes a place for a call's retry, if the budget has one; a call takes one for all its retries and returns it
    /// when it ends.
    #[must_use]
    pub fn take_retry(&mut self) -> bool {
        self.budget.take()
    }

    /// A call ends; `retried` if [`Balancer::take_retry`] gave it a place.
    pub fn call_finished(&mut self, retried: bool) {
        self.budget.call_finished(retried);
    }

    /// What the circuit breaker does; none without one.
    pub fn breaker(&self) -> Option<BreakerState> {
        self.breaker.as_ref().map(Breaker::state)
    }

    /// Each configured target with its calls under way and whether it is available: for the console and metrics.
    pub fn targets(&self, now_ns: u64) -> impl Iterator<Item = (TargetSpec, u32, bool)> + '_ {
        let listed = self.targets.iter().filter(|target| target.listed);
        listed.map(move |target| (target.spec, target.calls, target.is_available(now_ns)))
    }
}
