//! Chooses a target and a key of it for one attempt.
//!
//! Knows: states, the strategy, what the call tried before. Must not: decide whether there is to be an attempt; nothing
//! here allocates or locks.

use std::sync::atomic::Ordering::Relaxed;

use penstock_balance::{Random, mix};

use super::end::Cause;
use super::plan::{Affinity, Need, Plan, Provider, Route, Target};
use super::rest::{Look, Rest};
use super::room::Share;
use super::spec::{
    CALL_ATTEMPTS_MAX, EXPLORE_ONE_IN, LATENCY_BAND_PERCENT, LOAD_BOUND_MIN, LOAD_BOUND_PERCENT, Strategy,
};

/// How often a choice is made anew when another worker took the place of the one that tries.
const ROUNDS_MAX: usize = 4;

/// Any number: makes another hash of a prefix.
const KEYS: u64 = 0x6b65_7973;

/// What a call tried on the route at hand: targets and keys, by their places.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried {
    targets: u64,
    /// Targets that would say the same again.
    never: u64,
    lanes: [(u8, u8); CALL_ATTEMPTS_MAX as usize],
    len: u8,
}

impl Tried {
    pub(super) fn add(&mut self, target: usize, key: usize) {
        self.targets |= 1 << target;
        if let Some(place) = self.lanes.get_mut(usize::from(self.len)) {
            *place = (target as u8, key as u8);
            self.len += 1;
        }
    }

    pub(super) fn never_again(&mut self, target: usize) {
        self.never |= 1 << target;
    }

    fn has_lane(&self, target: usize, key: usize) -> bool {
        self.lanes[..usize::from(self.len)].contains(&(target as u8, key as u8))
    }
}

/// What of all that was tried is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nothing but what would say the same again.
    Nothing,
    /// Keys at targets.
    TriedLanes,
    /// Whole targets.
    TriedTargets,
}

/// Which states the attempt tries for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Trials {
    pub(super) deployment: bool,
    pub(super) key: bool,
    pub(super) lane: bool,
}

/// A choice, with the places of those that try taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picked {
    pub(super) target: usize,
    pub(super) key: usize,
    pub(super) trials: Trials,
    pub(super) at_home: bool,
}

/// When the next target can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocked {
    pub(super) until_ns: u64,
    pub(super) cause: Cause,
}

/// One choice's circumstances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'c> {
    pub(super) plan: &'c Plan,
    pub(super) route: &'c Route,
    pub(super) need: &'c Need,
    /// A context of so many tokens was too small.
    pub(super) beyond: u64,
    pub(super) tried: &'c Tried,
    pub(super) leave: Leave,
    /// Where the call belongs, if this route has it: the places of target and key.
    pub(super) home: Option<(usize, usize)>,
    /// It may go nowhere else.
    pub(super) only_home: bool,
    pub(super) now_ns: u64,
}

/// The places in a set, ascending.
fn places(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (place < 64).then_some(place as usize)
    })
}

/// A place of a set that is not empty, drawn by weight.
fn draw(set: u64, random: &mut Random, weight: impl Fn(usize) -> u32) -> usize {
    let first = set.trailing_zeros() as usize;
    if set & set.wrapping_sub(1) == 0 {
        return first;
    }
    let total = places(set).map(|place| u64::from(weight(place))).sum();
    let nth = random.weighted(places(set).map(&weight), total).unwrap_or(0);
    places(set).nth(nth).unwrap_or(first)
}

/// The places of the least cost.
fn least<C: Ord>(set: u64, cost: impl Fn(usize) -> C) -> u64 {
    let mut best: Option<C> = None;
    let mut found = 0;
    for place in places(set) {
        let cost = cost(place);
        match best.as_ref().map(|best| cost.cmp(best)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => found |= 1 << place,
            _ => (best, found) = (Some(cost), 1 << place),
        }
    }
    found
}

/// The end of a rest and its cause; none where there is none.
fn rests(rest: &Rest, now_ns: u64) -> Option<Blocked> {
    match rest.look(now_ns) {
        Look::Resting { until_ns, cause } => Some(Blocked { until_ns, cause }),
        Look::Open | Look::Trial => None,
    }
}

/// The places of target and key at which a call is at home on a route.
pub(super) fn home(plan: &Plan, route: &Route, affinity: &Affinity) -> Option<(usize, usize)> {
    let target = route.targets.iter().position(|target| target.deployment.id == affinity.deployment)?;
    let keys = &plan.provider(&route.targets[target]).keys;
    Some((target, keys.iter().position(|key| key.uid == affinity.key)?))
}

impl<'c> Choice<'c> {
    fn target(&self, place: usize) -> &'c Target {
        &self.route.targets[place]
    }

    fn provider(&self, place: usize) -> &'c Provider {
        self.plan.provider(self.target(place))
    }

    fn lane_rests(&self, target: usize, key: usize) -> Option<Blocked> {
        let of_key = rests(&self.provider(target).keys[key].state.rest, self.now_ns);
        let of_lane = rests(&self.target(target).lanes[key].rest, self.now_ns);
        [of_key, of_lane].into_iter().flatten().max_by_key(|blocked| blocked.until_ns)
    }

    fn is_left_out(&self, target: usize, key: usize) -> bool {
        let only = self.only_home && self.home != Some((target, key));
        only || match self.leave {
            Leave::Nothing => false,
            Leave::TriedLanes => self.tried.has_lane(target, key),
            Leave::TriedTargets => self.tried.targets >> target & 1 == 1,
        }
    }

    fn key_may(&self, target: usize, key: usize) -> bool {
        !self.is_left_out(target, key) && self.lane_rests(target, key).is_none()
    }

    /// The keys of a target that may be used.
    fn keys(&self, target: usize) -> u64 {
        let all = 0..self.target(target).lanes.len();
        all.fold(0, |set, key| set | u64::from(self.key_may(target, key)) << key)
    }

    /// The targets that may be used.
    fn targets(&self) -> u64 {
        let mut set = 0;
        for (place, target) in self.route.targets.iter().enumerate() {
            let may = self.tried.never >> place & 1 == 0
                && rests(&target.deployment.rest, self.now_ns).is_none()
                && (0..target.lanes.len()).any(|key| self.key_may(place, key));
            set |= u64::from(may) << place;
        }
        set
    }

    /// Of these targets, those that the call fits, where any are known to be too small or one was.
    fn fitting(&self, set: u64) -> u64 {
        let (mut fits, mut unknown) = (0u64, 0u64);
        for place in places(set) {
            match self.target(place).fits(self.need, self.beyond) {
                Some(true) => fits |= 1 << place,
                None => unknown |= 1 << place,
                Some(false) => {}
            }
        }
        // Where a context was too small, a larger one is better than one that may be.
        let wanted = if self.beyond > 0 && fits != 0 { fits } else { fits | unknown };
        if wanted == 0 { set } else { wanted }
    }

    /// A target and a key; none where all rest or are left out.
    pub(super) fn pick(&self, random: &mut Random) -> Option<Picked> {
        for _ in 0..ROUNDS_MAX {
            let set = self.targets();
            if set == 0 {
                return None;
            }
            let (target, key, at_home) = match self.home {
                Some((target, key)) if set >> target & 1 == 1 && self.key_may(target, key) => {
                    (target, key, true)
                }
                _ => {
                    let target = self.by_strategy(self.fitting(set), random);
                    (target, self.key_of(target, random)?, false)
                }
            };
            if let Some(trials) = self.try_all(target, key) {
                return Some(Picked { target, key, trials, at_home });
            }
        }
        None
    }

    /// Takes the places of those that try, where there are any to take: all, or none of them.
    fn try_all(&self, target: usize, key: usize) -> Option<Trials> {
        let rests = [
            &self.target(target).deployment.rest,
            &self.provider(target).keys[key].state.rest,
            &self.target(target).lanes[key].rest,
        ];
        let mut taken = [false; 3];
        for (number, rest) in rests.iter().enumerate() {
            let got = match rest.look(self.now_ns) {
                Look::Open => continue,
                Look::Trial => rest.try_it(self.now_ns),
                Look::Resting { .. } => false,
            };
            if !got {
                rests.iter().zip(taken).for_each(|(rest, taken)| rest.leave(taken));
                return None;
            }
            taken[number] = true;
        }
        let [deployment, key, lane] = taken;
        Some(Trials { deployment, key, lane })
    }

    fn draw_target(&self, set: u64, random: &mut Random) -> usize {
        draw(set, random, |place| self.target(place).weight)
    }

    fn busy(&self, place: usize) -> u64 {
        u64::from(self.target(place).deployment.busy.load(Relaxed))
    }

    fn by_strategy(&self, set: u64, random: &mut Random) -> usize {
        let among = match self.route.strategy {
            Strategy::Weighted => set,
            Strategy::Primary => set & set.wrapping_neg(),
            Strategy::LeastBusy => least(set, |place| {
                // Fractions are compared in an integer: more than enough of its bits are behind the point.
                self.busy(place) * (1 << 30) / u64::from(self.target(place).weight)
            }),
            Strategy::LowestLatency => self.fastest(set, random),
            Strategy::LowestCost => least(set, |place| self.target(place).cost(self.need)),
            Strategy::Headroom => least(set, |place| std::cmp::Reverse(self.best_score(place))),
            Strategy::PrefixHash => match self.need.prefix.and_then(|prefix| self.on_the_ring(set, prefix)) {
                Some(place) => return place,
                None => set,
            },
        };
        self.draw_target(among, random)
    }

    /// Those that are as fast as the fastest. One that nothing is known of is asked first, by one call at a time; now and
    /// then any of them is.
    fn fastest(&self, set: u64, random: &mut Random) -> u64 {
        let expected = |place: usize| self.target(place).deployment.latency.expected_ns();
        let of = |may: &dyn Fn(usize) -> bool| {
            places(set).filter(|place| may(*place)).fold(0, |set, place| set | 1 << place)
        };
        let known = of(&|place| expected(place).is_some());
        let unasked = of(&|place| expected(place).is_none() && self.busy(place) == 0);
        if unasked != 0 {
            return unasked;
        }
        if known == 0 || random.below(EXPLORE_ONE_IN) == 0 {
            return set;
        }
        let best = places(known).filter_map(expected).min().unwrap_or(0);
        let band = best.saturating_add(best / 100 * LATENCY_BAND_PERCENT);
        of(&|place| expected(place).is_some_and(|ns| ns <= band))
    }

    fn share(&self) -> Share {
        Share { input_tokens: self.need.input_tokens, output_tokens: self.need.output_tokens }
    }

    fn score(&self, target: usize, key: usize) -> u32 {
        self.target(target).lanes[key].room.score(self.now_ns, self.share())
    }

    fn best_score(&self, target: usize) -> u32 {
        places(self.keys(target)).map(|key| self.score(target, key)).max().unwrap_or(0)
    }

    /// The next target on the ring that is not too busy for its share.
    fn on_the_ring(&self, set: u64, prefix: u64) -> Option<usize> {
        let busy: u64 = places(set).map(|place| self.busy(place)).sum();
        let weights: u64 = places(set).map(|place| u64::from(self.target(place).weight)).sum();
        let has_room = |place: usize| {
            let share = (busy + 1) * u64::from(self.target(place).weight) * LOAD_BOUND_PERCENT;
            self.busy(place) < share.div_ceil(weights.max(1) * 100).max(LOAD_BOUND_MIN)
        };
        let may = |place: u16| set >> place & 1 == 1 && has_room(usize::from(place));
        self.route.ring.find(prefix, may).map(usize::from)
    }

    fn key_of(&self, target: usize, random: &mut Random) -> Option<usize> {
        let set = self.keys(target);
        let provider = self.provider(target);
        let among = match (self.route.strategy, self.need.prefix) {
            _ if set == 0 => return None, // another worker's attempt ended meanwhile
            (Strategy::Headroom, _) => least(set, |key| std::cmp::Reverse(self.score(target, key))),
            (Strategy::PrefixHash, Some(prefix)) => {
                // Another place on this ring than on that of the targets: the two choices are to be independent.
                let found = provider.key_ring.find(mix(prefix ^ KEYS), |key| set >> key & 1 == 1);
                found.map_or(set, |key| 1 << key)
            }
            _ => set,
        };
        Some(draw(among, random, |key| provider.keys[key].weight))
    }

    /// When the first of all that are not left out can be called, and why not before; none if all would say the same
    /// again, or were left out.
    pub(super) fn blocked(&self) -> Option<Blocked> {
        let mut first: Option<Blocked> = None;
        for (place, target) in self.route.targets.iter().enumerate() {
            if self.tried.never >> place & 1 == 1 {
                continue;
            }
            let whole = rests(&target.deployment.rest, self.now_ns);
            for key in (0..target.lanes.len()).filter(|key| !self.is_left_out(place, *key)) {
                let last = [whole, self.lane_rests(place, key)].into_iter().flatten();
                let open = Blocked { until_ns: self.now_ns, cause: Cause::ServerError };
                let here = last.max_by_key(|blocked| blocked.until_ns).unwrap_or(open);
                if first.is_none_or(|first| here.until_ns < first.until_ns) {
                    first = Some(here);
                }
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_walked_drawn_from_and_compared() {
        let set = 1 << 63 | 1 << 5 | 1;
        assert_eq!(places(set).collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!(places(0).count(), 0);
        let mut random = Random::new(1);
        let mut drawn = [0; 64];
        for _ in 0..3000 {
            drawn[draw(set, &mut random, |place| if place == 63 { 1 } else { 2 })] += 1;
        }
        assert_eq!(drawn.iter().sum::<i32>(), drawn[0] + drawn[5] + drawn[63]);
        assert!((500..700).contains(&drawn[63]), "{drawn:?}");
        assert_eq!(draw(1 << 7, &mut random, |_| 0), 7);
        assert_eq!(least(set, |place| place / 60), 1 << 5 | 1);
        assert_eq!(least(set, |place| 63 - place), 1 << 63);
    }
}
