//! The balancer by its public face: shares, moves, ejection, breaker, caps, reloads.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use penstock_balance::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

fn target(id: u64, weight: u16) -> TargetSpec {
    TargetSpec { id: TargetId(id), weight, backup: false }
}

fn upstream(weights: &[u16], policy: Policy) -> UpstreamSpec {
    let targets = weights.iter().zip(1..).map(|(weight, id)| target(id, *weight)).collect();
    UpstreamSpec::new(targets, policy)
}

fn picked(balancer: &mut Balancer, now: u64, key: Option<u64>) -> TargetRef {
    match balancer.pick(now, key, &TargetSet::EMPTY) {
        Pick::Target(target) => target,
        other => panic!("{other:?}"),
    }
}

/// One call that ends at once.
fn call(
    balancer: &mut Balancer,
    now: u64,
    outcome: impl Fn(TargetId) -> Outcome,
) -> (TargetId, Option<Ejection>) {
    let target = picked(balancer, now, None);
    let attempt = balancer.started(target);
    (target.id, balancer.finished(now, attempt, outcome(target.id), MS))
}

fn ok(_: TargetId) -> Outcome {
    Outcome::Success
}

fn shares(balancer: &mut Balancer, calls: u64) -> HashMap<u64, u64> {
    let mut shares = HashMap::new();
    for n in 0..calls {
        *shares.entry(call(balancer, n * MS, ok).0.0).or_default() += 1;
    }
    shares
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn round_robin_gives_exact_shares_smoothly(weights in prop::collection::vec(1u16..20, 1..8), seed: u64) {
        let mut balancer = Balancer::new(&upstream(&weights, Policy::RoundRobin), seed).unwrap();
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let shares = shares(&mut balancer, total * 7);
        for (weight, id) in weights.iter().zip(1..) {
            prop_assert_eq!(shares[&id], u64::from(*weight) * 7);
        }
    }

    #[test]
    fn drawn_shares_follow_weights(weights in prop::collection::vec(1u16..6, 2..6), seed: u64) {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        for policy in [Policy::LeastRequest, Policy::Hash] {
            let mut balancer = Balancer::new(&upstream(&weights, policy), seed).unwrap();
            let shares = shares(&mut balancer, 20_000);
            for (weight, id) in weights.iter().zip(1..) {
                let expected = 20_000 * u64::from(*weight) / total;
                prop_assert!(shares[&id].abs_diff(expected) < 600, "{:?} {:?}", policy, shares);
            }
        }
    }

    #[test]
    fn a_target_that_leaves_the_ring_moves_only_its_own_keys(
        weights in prop::collection::vec(1u16..6, 2..12),
        leaver in 0usize..12,
        seed: u64,
    ) {
        let before = upstream(&weights, Policy::Hash);
        let mut after = before.clone();
        let left = after.targets.remove(leaver % weights.len());
        let mut balancer = Balancer::new(&before, seed).unwrap();
        let keys: Vec<u64> = (0..2000).map(|n| seed.wrapping_add(n)).collect();
        let homes: Vec<_> = keys.iter().map(|key| picked(&mut balancer, 0, Some(*key)).id).collect();
        balancer.reconfigure(&after, SECOND).unwrap();
        for (key, home) in keys.iter().zip(&homes) {
            let now = picked(&mut balancer, SECOND, Some(*key)).id;
            prop_assert_ne!(now, left.id);
            prop_assert!(*home == left.id || now == *home, "a key moved without need");
        }
        balancer.reconfigure(&before, 2 * SECOND).unwrap();
        // Unhealthy is as gone as removed, and who comes back gets its own keys back.
        balancer.set_healthy(2 * SECOND, left.id, false);
        for (key, home) in keys.iter().zip(&homes) {
            let now = picked(&mut balancer, 2 * SECOND, Some(*key)).id;
            prop_assert!(now == *home || *home == left.id);
        }
        balancer.set_healthy(3 * SECOND, left.id, true);
        for (key, home) in keys.iter().zip(&homes) {
            prop_assert_eq!(picked(&mut balancer, 3 * SECOND, Some(*key)).id, *home);
        }
    }

    #[test]
    fn never_more_than_the_share_is_ejected(
        count in 1usize..20,
        cap in 0u8..=100,
        failing in prop::collection::vec(any::<bool>(), 20),
        seed: u64,
    ) {
        let ejection = EjectionSpec { ejected_percent_max: cap, ..EjectionSpec::default() };
        let mut spec = upstream(&vec![1; count], Policy::LeastRequest);
        spec.ejection = Some(ejection);
        let mut balancer = Balancer::new(&spec, seed).unwrap();
        let mut reached = 0;
        for n in 0..2000u64 {
            let now = n * 100 * MS;
            if let Pick::Target(target) = balancer.pick(now, None, &TargetSet::EMPTY) {
                let attempt = balancer.started(target);
                let failed = failing[target.id.0 as usize % 20];
                let outcome = if failed { Outcome::Failure } else { Outcome::Success };
                let _ = balancer.finished(now, attempt, outcome, MS);
            }
            let stranger = Ejection { target: TargetId(1 + n % count as u64), until_ns: now + SECOND };
            if n % 50 == 0 {
                balancer.eject(now, stranger);
            }
            let out = balancer.targets(now).filter(|(_, _, available)| !available).count();
            prop_assert!(out * 100 <= count * usize::from(cap), "{} of {} under {}%", out, count, cap);
            reached = reached.max(out);
        }
        let room = count * usize::from(cap) / 100;
        prop_assert!(room == 0 || reached > 0, "nothing was ejected at all");
    }
}

#[test]
fn round_robin_is_smooth_and_begins_anywhere() {
    let spec = upstream(&[5, 1, 1], Policy::RoundRobin);
    let order = |seed| {
        let mut balancer = Balancer::new(&spec, seed).unwrap();
        (0..7).map(|n| call(&mut balancer, n, ok).0.0).collect::<Vec<_>>()
    };
    let starts: Vec<_> = (0..40).map(order).collect();
    assert!(starts.iter().any(|start| start != &starts[0]), "all workers begin alike");
    for start in starts {
        let twice: Vec<_> = start.iter().chain(&start).collect();
        let longest = twice.split(|id| **id != 1).map(<[_]>::len).max().unwrap();
        assert!(longest <= 4, "{start:?}");
    }
}

#[test]
fn least_request_prefers_fewer_calls_by_weight() {
    let mut balancer = Balancer::new(&upstream(&[1, 3], Policy::LeastRequest), 1).unwrap();
    let mut held = Vec::new();
    for _ in 0..400 {
        let target = picked(&mut balancer, 0, None);
        held.push(balancer.started(target));
    }
    let calls: Vec<u32> = balancer.targets(0).map(|(_, calls, _)| calls).collect();
    assert!(calls[0].abs_diff(100) <= 1 && calls[1].abs_diff(300) <= 1, "{calls:?}");
    for attempt in held {
        let _ = balancer.finished(1, attempt, Outcome::Success, MS);
    }
    assert!(balancer.targets(0).all(|(_, calls, _)| calls == 0));
}

#[test]
fn ewma_leaves_a_slow_target_and_comes_back_when_it_is_fast() {
    let mut balancer = Balancer::new(&upstream(&[1, 1], Policy::Ewma), 1).unwrap();
    let to_first = |balancer: &mut Balancer, from: u64, latency: u64| {
        let mut first = 0;
        for n in 0..1000 {
            let now = from + n * 10 * MS;
            let target = picked(balancer, now, None);
            let attempt = balancer.started(target);
            let own = if target.id == TargetId(1) { latency } else { 10 * MS };
            let _ = balancer.finished(now, attempt, Outcome::Success, own);
            first += u64::from(target.id == TargetId(1));
        }
        first
    };
    let slow = to_first(&mut balancer, SECOND, 500 * MS);
    assert!(slow < 50, "{slow} of 1000 to a target fifty times slower");
    let fast = to_first(&mut balancer, 200 * SECOND, MS);
    assert!(fast > 700, "{fast} of 1000 to a target ten times faster");
}

#[test]
fn tried_targets_are_left_out_until_none_is_left() {
    for policy in [Policy::RoundRobin, Policy::LeastRequest, Policy::Ewma, Policy::Hash] {
        let mut balancer = Balancer::new(&upstream(&[1, 2, 3], policy), 7).unwrap();
        let mut tried = TargetSet::EMPTY;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let Pick::Target(target) = balancer.pick(0, Some(5), &tried) else { panic!() };
            tried.insert(target);
            ids.push(target.id.0);
        }
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(balancer.pick(0, Some(5), &tried), Pick::Refused(NoTarget::AllTried));
    }
}

#[test]
fn backups_serve_only_while_nobody_else_does() {
    let mut spec = upstream(&[1, 1, 1], Policy::RoundRobin);
    spec.targets[2].backup = true;
    let mut balancer = Balancer::new(&spec, 3).unwrap();
    assert!(!shares(&mut balancer, 100).contains_key(&3));
    balancer.set_healthy(0, TargetId(1), false);
    assert!(!shares(&mut balancer, 100).contains_key(&3));
    balancer.set_healthy(0, TargetId(2), false);
    assert_eq!(shares(&mut balancer, 100), HashMap::from([(3, 100)]));
    balancer.set_healthy(0, TargetId(3), false);
    assert_eq!(balancer.pick(0, None, &TargetSet::EMPTY), Pick::Refused(NoTarget::Unhealthy));
    balancer.set_healthy(0, TargetId(1), true);
    assert_eq!(shares(&mut balancer, 100), HashMap::from([(1, 100)]));
}

#[test]
fn failures_in_a_row_or_by_share_eject_for_longer_each_time() {
    let spec = upstream(&[1, 1], Policy::RoundRobin);
    let mut balancer = Balancer::new(&spec, 0).unwrap();
    let first_fails = |id| if id == TargetId(1) { Outcome::Failure } else { Outcome::Success };
    let eject = |balancer: &mut Balancer, mut now: u64| {
        for failures in 1..20 {
            loop {
                now += MS;
                match call(balancer, now, first_fails) {
                    (TargetId(1), None) => break,
                    (TargetId(1), Some(ejection)) => {
                        assert_eq!(failures, 5);
                        return (ejection.until_ns - now, ejection.until_ns);
                    }
                    (_, ejection) => assert_eq!(ejection, None),
                }
            }
        }
        panic!("not ejected")
    };
    let (first, until) = eject(&mut balancer, SECOND);
    assert_eq!(first, 30 * SECOND);
    for n in 0..50 {
        assert_eq!(call(&mut balancer, until - 1 - n, ok).0, TargetId(2));
    }
    assert_eq!(eject(&mut balancer, until).0, 60 * SECOND);

    // Every other call fails: never five in a row, but half of twenty.
    let mut balancer = Balancer::new(&upstream(&[1, 1], Policy::RoundRobin), 0).unwrap();
    let mut calls = 0;
    let ejection = (0..200).find_map(|n| {
        let target = picked(&mut balancer, n * MS, None);
        let attempt = balancer.started(target);
        calls += u32::from(target.id == TargetId(1));
        let failed = target.id == TargetId(1) && calls % 2 == 0;
        balancer.finished(n * MS, attempt, if failed { Outcome::Failure } else { Outcome::Success }, MS)
    });
    assert_eq!(ejection.map(|ejection| ejection.target), Some(TargetId(1)));
    assert_eq!(calls, 20);
}

#[test]
fn outcomes_of_nobodys_fault_eject_nobody() {
    let mut balancer = Balancer::new(&upstream(&[1, 1], Policy::RoundRobin), 0).unwrap();
    for n in 0..100 {
        assert_eq!(call(&mut balancer, n, |_| Outcome::Unknown).1, None);
    }
    assert!(balancer.targets(0).all(|(_, calls, available)| calls == 0 && available));
}

#[test]
fn another_workers_ejection_is_taken_over_but_not_beyond_the_longest() {
    let mut balancer = Balancer::new(&upstream(&[1, 1], Policy::RoundRobin), 0).unwrap();
    balancer.eject(0, Ejection { target: TargetId(1), until_ns: u64::MAX });
    balancer.eject(0, Ejection { target: TargetId(2), until_ns: SECOND });
    balancer.eject(0, Ejection { target: TargetId(9), until_ns: SECOND });
    assert_eq!(shares(&mut balancer, 50), HashMap::from([(2, 50)]));
    assert!(balancer.targets(300 * SECOND).all(|(_, _, available)| available));
}

#[test]
fn caps_let_wait_and_waiting_is_bounded() {
    let mut spec = upstream(&[1, 1], Policy::LeastRequest);
    (spec.target_calls_max, spec.waiting_max) = (2, 3);
    let mut balancer = Balancer::new(&spec, 0).unwrap();
    let mut held: Vec<_> = (0..4)
        .map(|_| {
            let target = picked(&mut balancer, 0, None);
            balancer.started(target)
        })
        .collect();
    assert_eq!(balancer.pick(0, None, &TargetSet::EMPTY), Pick::Full);
    assert_eq!((0..5).map(|_| balancer.enqueue()).collect::<Vec<_>>(), [true, true, true, false, false]);
    assert_eq!(balancer.waiting(), 3);
    balancer.dequeue();
    assert!(balancer.enqueue());
    let freed = held.pop().unwrap();
    let place = freed.target();
    let _ = balancer.finished(1, freed, Outcome::Success, 1);
    assert_eq!(picked(&mut balancer, 1, None), place);
    // A backup is no relief for full targets.
    spec.targets[1].backup = true;
    let mut balancer = Balancer::new(&spec, 0).unwrap();
    for _ in 0..2 {
        let target = picked(&mut balancer, 0, None);
        held.push(balancer.started(target));
    }
    assert_eq!(balancer.pick(0, None, &TargetSet::EMPTY), Pick::Full);
}

#[test]
fn a_new_target_starts_slowly() {
    let mut spec = upstream(&[10], Policy::RoundRobin);
    spec.slow_start_ns = 10 * SECOND;
    let mut balancer = Balancer::new(&spec, 0).unwrap();
    spec.targets.push(target(2, 10));
    balancer.reconfigure(&spec, 100 * SECOND).unwrap();
    let mut share =
        |from: u64| (0..1000).filter(|n| call(&mut balancer, from + n, ok).0 == TargetId(2)).count();
    let shares = [share(100 * SECOND), share(105 * SECOND), share(110 * SECOND)];
    assert!((80..105).contains(&shares[0]) && (330..380).contains(&shares[1]), "{shares:?}");
    assert!((495..=505).contains(&shares[2]), "{shares:?}");
}

#[test]
fn a_reload_keeps_what_was_learned_and_late_ends_touch_nobody_else() {
    let spec = upstream(&[1, 1, 1], Policy::LeastRequest);
    let mut balancer = Balancer::new(&spec, 0).unwrap();
    let held: Vec<_> = (0..3)
        .map(|_| {
            let target = picked(&mut balancer, 0, None);
            balancer.started(target)
        })
        .collect();
    balancer.set_healthy(0, TargetId(2), false);
    // Reordered, one gone, one new, one heavier.
    let after = UpstreamSpec::new(vec![target(4, 1), target(2, 7)], Policy::RoundRobin);
    balancer.reconfigure(&after, SECOND).unwrap();
    let states: Vec<_> =
        balancer.targets(SECOND).map(|(spec, calls, up)| (spec.id.0, spec.weight, calls, up)).collect();
    assert_eq!(states.len(), 2);
    let of = |id| *states.iter().find(|state| state.0 == id).unwrap();
    assert!(!of(2).3 && of(2).1 == 7 && of(4) == (4, 1, 0, true), "{states:?}");
    for attempt in held {
        let _ = balancer.finished(2 * SECOND, attempt, Outcome::Success, MS);
    }
    assert!(balancer.targets(2 * SECOND).all(|(_, calls, _)| calls == 0));
    // The places of those gone are used again, without end.
    for round in 0..2000u64 {
        let targets = vec![target(100 + round, 1), target(101 + round, 1)];
        balancer.reconfigure(&UpstreamSpec::new(targets, Policy::Hash), SECOND).unwrap();
    }
    assert_eq!(
        balancer.reconfigure(&UpstreamSpec::new(vec![], Policy::Hash), SECOND),
        Err(SpecError::Targets)
    );
    assert_eq!(balancer.targets(SECOND).count(), 2, "a refused configuration changes nothing");
}

#[test]
fn more_targets_than_places_are_refused_and_change_nothing() {
    let many = |from: u64| {
        let targets = (from..from + 256).map(|id| target(id, 1)).collect();
        UpstreamSpec::new(targets, Policy::RoundRobin)
    };
    let mut balancer = Balancer::new(&many(0), 0).unwrap();
    let last = picked(&mut balancer, 0, None);
    let attempt = balancer.started(last);
    assert_eq!(balancer.reconfigure(&many(1000), SECOND), Err(SpecError::NoPlace));
    assert!(balancer.targets(SECOND).all(|(spec, _, _)| spec.id.0 < 256));
    let _ = balancer.finished(SECOND, attempt, Outcome::Success, MS);
    balancer.reconfigure(&many(1000), SECOND).unwrap();
    assert!(balancer.targets(SECOND).all(|(spec, _, _)| spec.id.0 >= 1000));
}

#[test]
fn the_breaker_refuses_the_upstream_and_tries_again() {
    let mut spec = upstream(&[1, 1], Policy::RoundRobin);
    spec.ejection = None;
    spec.breaker = Some(BreakerSpec::default());
    let mut balancer = Balancer::new(&spec, 0).unwrap();
    for n in 0..20 {
        assert_eq!(balancer.breaker(), Some(BreakerState::Closed));
        let _ = call(&mut balancer, n, |_| Outcome::Failure);
    }
    let refused = |retry_after_ns| Pick::Refused(NoTarget::BreakerOpen { retry_after_ns });
    assert_eq!(balancer.pick(20, None, &TargetSet::EMPTY), refused(5 * SECOND - 1));
    let later = 19 + 5 * SECOND;
    let probes: Vec<_> = (0..3)
        .map(|_| {
            let target = picked(&mut balancer, later, None);
            balancer.started(target)
        })
        .collect();
    assert_eq!(balancer.pick(later, None, &TargetSet::EMPTY), refused(0));
    for probe in probes {
        let _ = balancer.finished(later, probe, Outcome::Success, 1);
    }
    assert_eq!(balancer.breaker(), Some(BreakerState::Closed));
    let _ = call(&mut balancer, later, ok);
}

#[test]
fn retries_stay_within_their_budget() {
    let mut balancer = Balancer::new(&upstream(&[1], Policy::RoundRobin), 0).unwrap();
    (0..50).for_each(|_| balancer.call_started());
    assert_eq!((0..50).filter(|_| balancer.take_retry()).count(), 10);
    balancer.call_finished(true);
    assert!(!balancer.take_retry(), "20 % of 49 are nine, and nine are under way");
    (0..2).for_each(|_| balancer.call_finished(true));
    assert!(balancer.take_retry());
}
