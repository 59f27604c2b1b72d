//! Each strategy over many calls of several workers.

use std::collections::HashMap;

use penstock_ai::provider::{Headroom, Window};
use penstock_ai::routing::*;

use crate::world::*;

const THREE: [(&str, u16); 3] = [("openai/big", 7), ("anthropic/sonnet", 2), ("groq/llama", 1)];

fn with(strategy: Strategy, targets: &[(&str, u16)]) -> Plan {
    plan_of(vec![ModelSpec { strategy, ..model(1, "m", targets) }])
}

#[test]
fn weights_are_shares_of_targets_and_of_keys() {
    let plan = with(Strategy::Weighted, &THREE);
    let story = play(&plan, &arrivals("m", 20_000, MS), 1, |_| Answer::ok(50 * MS));
    for (target, weight) in THREE {
        let (share, expected) = (story.share(target), f64::from(weight) / 10.0);
        assert!((share - expected).abs() < 0.015, "{target}: {share}");
    }
    let of_key = |key| story.asked.iter().filter(|(asked, _)| asked.key == KeyUid(key)).count() as f64;
    let share = of_key(100) / (of_key(100) + of_key(101));
    assert!((share - 0.75).abs() < 0.015, "the first key's share is {share}");
    assert_all_returned(&plan, &["m"]);
}

#[test]
fn the_primary_has_all_calls_but_while_it_rests() {
    let plan = with(Strategy::Primary, &THREE);
    // It fails for a second, ten seconds after the beginning.
    let fails = |at: u64| (10 * SECOND..11 * SECOND).contains(&(at - START));
    let story = play(&plan, &arrivals("m", 6_000, 10 * MS), 1, |asked| match asked.target.as_str() {
        "openai/big" if fails(asked.at_ns) => Answer::new(End::ServerError, MS),
        _ => Answer::ok(5 * MS),
    });
    for (asked, _) in &story.asked {
        let at = asked.at_ns - START;
        if !(10 * SECOND..=42 * SECOND).contains(&at) {
            assert_eq!(asked.target, "openai/big", "after {at} ns");
        }
        assert_ne!(asked.target, "groq/llama", "the second never rests");
    }
    assert!(story.over.values().all(|over| over.give_up.last == Some(End::Answered)));
    let second = story.asked.iter().filter(|(asked, _)| asked.target == "anthropic/sonnet");
    assert!((2_900..3_200).contains(&second.count()), "it rests for half of the minute");
}

#[test]
fn the_least_busy_gets_calls_by_weight_and_a_slow_one_gets_fewer() {
    let plan = with(Strategy::LeastBusy, &[("openai/big", 2), ("anthropic/sonnet", 1)]);
    // Nothing ends before all have begun.
    let story = play(&plan, &arrivals("m", 300, MS), 1, |_| Answer::ok(SECOND));
    assert_eq!((story.busiest["openai/big"], story.busiest["anthropic/sonnet"]), (200, 100));

    let plan = with(Strategy::LeastBusy, &[("openai/big", 1), ("anthropic/sonnet", 1)]);
    let story = play(&plan, &arrivals("m", 10_000, 10 * MS), 1, |asked| {
        Answer::ok(if asked.target == "openai/big" { 900 * MS } else { 100 * MS })
    });
    let share = story.share("openai/big");
    assert!((share - 0.1).abs() < 0.03, "nine times slower, and {share} of the calls");
    assert!(story.busiest["openai/big"].abs_diff(story.busiest["anthropic/sonnet"]) <= 1);
    assert_all_returned(&plan, &["m"]);
}

#[test]
fn the_fastest_gets_the_calls_and_a_slow_one_is_tried_now_and_then() {
    let plan = with(Strategy::LowestLatency, &[("openai/big", 1), ("anthropic/sonnet", 1)]);
    // The first is slow for the first half.
    let half = 10_000 * 10 * MS;
    let story = play(&plan, &arrivals("m", 20_000, 10 * MS), 1, |asked| {
        let slow = asked.target == "openai/big" && asked.at_ns - START < half;
        Answer::ok(if slow { 2 * SECOND } else { 400 * MS })
    });
    let share = |from: u64, until: u64| {
        let within: Vec<_> =
            story.asked.iter().filter(|(asked, _)| (from..until).contains(&(asked.at_ns - START))).collect();
        let first = within.iter().filter(|(asked, _)| asked.target == "openai/big").count();
        first as f64 / within.len() as f64
    };
    let slow = share(5 * SECOND, half);
    assert!((0.008..0.03).contains(&slow), "one call in 32 explores, half of them to the slow one: {slow}");
    let equal = share(half + 60 * SECOND, 2 * half);
    assert!((0.35..0.65).contains(&equal), "as fast as the other, it gets its part: {equal}");
}

#[test]
fn one_that_nothing_is_known_of_is_asked_by_one_call_at_a_time() {
    let plan = with(Strategy::LowestLatency, &[("openai/big", 1), ("anthropic/sonnet", 1)]);
    let story = play(&plan, &arrivals("m", 50, 20 * MS), 1, |asked| match asked.target.as_str() {
        "openai/big" => Answer::ok(10 * MS),
        _ => Answer::ok(10 * SECOND),
    });
    assert!(story.targets()["anthropic/sonnet"] <= 5, "{:?}", story.targets());
}

#[test]
fn a_first_token_that_did_not_come_counts_as_slow() {
    let plan = with(Strategy::LowestLatency, &[("openai/big", 1), ("anthropic/sonnet", 1)]);
    let story = play(&plan, &arrivals("m", 2_000, 10 * MS), 1, |asked| match asked.target.as_str() {
        "openai/big" => Answer::new(End::FirstTokenTimeout, SECOND),
        _ => Answer::ok(100 * MS),
    });
    assert!(story.share("openai/big") < 0.06, "{:?}", story.targets());
}

#[test]
fn the_cheapest_for_the_call_is_taken() {
    let targets = [("openai/big", 1), ("anthropic/sonnet", 1), ("fireworks/llama", 1)];
    let plan = with(Strategy::LowestCost, &targets);
    for (input_tokens, output_tokens, cheapest) in [
        (1_000, 10, "openai/big"),          // 2,080 against 3,040
        (1_000, 1_000, "anthropic/sonnet"), // 10,000 against 7,000
        (0, 1, "anthropic/sonnet"),
    ] {
        let mut calls = arrivals("m", 100, MS);
        for call in &mut calls {
            call.need = Need { input_tokens, output_tokens, ..Need::default() };
        }
        let story = play(&plan, &calls, 1, |_| Answer::ok(MS));
        assert_eq!(
            story.targets(),
            HashMap::from([(cheapest, 100)]),
            "{input_tokens} in, {output_tokens} out"
        );
    }
    // What has no price is taken only when all others rest.
    let calls = arrivals("m", 40, MS);
    let story = play(&plan, &calls, 1, |asked| match asked.target.as_str() {
        "fireworks/llama" => Answer::ok(MS),
        _ => Answer::new(End::Unauthenticated, MS),
    });
    assert_eq!(story.asked.last().unwrap().0.target, "fireworks/llama");

    let price = |input: &str| {
        let mut spec = penstock_ai::catalogue::PriceSpec::default();
        spec.set(0, "input", input).unwrap();
        spec.set(0, "output", "0").unwrap();
        Some(spec.build().unwrap())
    };
    let strategy = Strategy::LowestCost;
    let own = plan_of(vec![ModelSpec { strategy, price: price("1"), ..model(1, "m", &targets) }]);
    let story = play(&own, &arrivals("m", 300, MS), 1, |_| Answer::ok(MS));
    assert_eq!(story.targets().len(), 3, "a price of the model's own makes all cost the same");
}

/// What a provider has left in a minute, and what it says of that.
struct Quota {
    limit: u64,
    minute: u64,
    used: u64,
    refused: u64,
}

impl Quota {
    fn new(limit: u64) -> Self {
        Self { limit, minute: 0, used: 0, refused: 0 }
    }

    fn ask(&mut self, now: u64, amount: u64) -> (bool, Window) {
        let minute = now / (60 * SECOND);
        if minute != self.minute {
            (self.minute, self.used) = (minute, 0);
        }
        let served = self.used + amount <= self.limit;
        if served {
            self.used += amount;
        } else {
            self.refused += 1;
        }
        let reset_ms = (60 * SECOND - now % (60 * SECOND)) / MS;
        (
            served,
            Window {
                limit: Some(self.limit),
                remaining: Some(self.limit - self.used),
                reset_ms: Some(reset_ms),
            },
        )
    }
}

#[test]
fn calls_follow_what_providers_have_left() {
    // 300, 100 and 200 thousand tokens a minute; each call takes 1,200 of them; 400 calls a minute need 480 thousand.
    let targets = [("openai/big", 1), ("anthropic/sonnet", 1), ("groq/llama", 1)];
    let limits = [300_000, 100_000, 200_000];
    let refused = |strategy| {
        let plan = with(strategy, &targets);
        let mut quotas: Vec<Quota> = limits.iter().map(|limit| Quota::new(*limit)).collect();
        let story = play(&plan, &arrivals("m", 4_000, 150 * MS), 1, |asked| {
            let number = targets.iter().position(|(target, _)| *target == asked.target).unwrap();
            let (served, tokens) = quotas[number].ask(asked.at_ns, 1_200);
            let headroom = Some(Headroom { tokens, ..Headroom::default() });
            let end = if served { End::Answered } else { End::RateLimit };
            Answer { headroom, ..Answer::new(end, 2 * SECOND) }
        });
        let shares: Vec<f64> = targets.iter().map(|(target, _)| story.share(target)).collect();
        (quotas.iter().map(|quota| quota.refused).sum::<u64>(), shares)
    };
    let (refusals, shares) = refused(Strategy::Headroom);
    assert_eq!(refusals, 0, "{shares:?}");
    for (share, limit) in shares.iter().zip(limits) {
        assert!((share - limit as f64 / 600_000.0).abs() < 0.06, "{shares:?}");
    }
    assert!(refused(Strategy::Weighted).0 > 50, "without it, some are asked for more than they have");
}

#[test]
fn headroom_is_a_keys_own() {
    let plan = with(Strategy::Headroom, &[("openai/big", 1)]);
    let mut quotas = HashMap::from([(KeyUid(100), Quota::new(20)), (KeyUid(101), Quota::new(80))]);
    let story = play(&plan, &arrivals("m", 900, 600 * MS + MS), 1, |asked| {
        let (served, requests) = quotas.get_mut(&asked.key).unwrap().ask(asked.at_ns, 1);
        let headroom = Some(Headroom { requests, ..Headroom::default() });
        Answer { headroom, ..Answer::new(if served { End::Answered } else { End::RateLimit }, SECOND) }
    });
    let refused: u64 = quotas.values().map(|quota| quota.refused).sum();
    assert!(refused <= 9, "{refused} refusals at the border of what is there");
    let first = story.asked.iter().filter(|(asked, _)| asked.key == KeyUid(100)).count();
    assert!((150..250).contains(&first), "a fifth of the requests: {first} of 900");
}

fn homes(plan: &Plan, prefixes: u64) -> HashMap<u64, (String, KeyUid)> {
    let mut calls = arrivals("m", prefixes, SECOND);
    for (prefix, call) in (0..).zip(&mut calls) {
        call.need.prefix = Some(prefix);
    }
    let story = play(plan, &calls, 1, |_| Answer::ok(MS));
    story.asked.into_iter().map(|(asked, _)| (asked.call as u64, (asked.target, asked.key))).collect()
}

#[test]
fn a_prefix_keeps_its_target_and_key_while_others_come_and_go() {
    const PREFIXES: u64 = 6_000;
    let strategy = Strategy::PrefixHash;
    let four = [("openai/big", 1), ("anthropic/sonnet", 1), ("groq/llama", 1), ("fireworks/llama", 1)];
    let all = with(strategy, &four);
    let before = homes(&all, PREFIXES);
    assert_eq!(before, homes(&all, PREFIXES), "each keeps its own");
    let three = homes(&with(strategy, &four[..3]), PREFIXES);
    let mut moved = 0;
    for (prefix, home) in &before {
        if home.0 == "fireworks/llama" {
            moved += 1;
        } else {
            assert_eq!(&three[prefix], home, "only what was at the target that is gone moves");
        }
    }
    let share = f64::from(moved) / PREFIXES as f64;
    assert!((0.2..0.3).contains(&share), "a quarter of the prefixes: {share}");
    let keys: Vec<_> = before.values().filter(|home| home.0 == "openai/big").map(|home| home.1).collect();
    let first = keys.iter().filter(|key| **key == KeyUid(100)).count() as f64 / keys.len() as f64;
    assert!((0.65..0.85).contains(&first), "keys have their shares too: {first}");
}

#[test]
fn turns_of_a_conversation_find_their_cache_warm() {
    // 400 conversations of ten turns each, turns of all in turn; a provider's cache holds what a key has seen.
    let warm = |strategy| {
        let plan = with(strategy, &[("openai/big", 1), ("anthropic/sonnet", 1), ("groq/llama", 1)]);
        let mut calls = arrivals("m", 4_000, 20 * MS);
        for (number, call) in (0..).zip(&mut calls) {
            call.need.prefix = Some(number % 400);
        }
        let mut seen = std::collections::HashSet::new();
        let story = play(&plan, &calls, 1, |asked| {
            let hit = !seen.insert((asked.call % 400, asked.target.clone(), asked.key));
            Answer::ok(if hit { 200 * MS } else { 400 * MS })
        });
        let cold = seen.len() as f64;
        1.0 - cold / story.asked.len() as f64
    };
    let by_prefix = warm(Strategy::PrefixHash);
    assert!(by_prefix > 0.88, "nine of ten turns: {by_prefix}");
    assert!(warm(Strategy::Weighted) < 0.7);
}

#[test]
fn a_hot_prefix_does_not_overload_its_target() {
    let plan = with(Strategy::PrefixHash, &[("openai/big", 1), ("anthropic/sonnet", 1), ("groq/llama", 2)]);
    let mut calls = arrivals("m", 2_000, 10 * MS);
    for call in &mut calls {
        call.need.prefix = Some(7);
    }
    // One hundred at the same time.
    let story = play(&plan, &calls, 1, |_| Answer::ok(SECOND));
    for (target, weight) in [("openai/big", 1), ("anthropic/sonnet", 1), ("groq/llama", 2)] {
        let bound = (101 * weight * LOAD_BOUND_PERCENT).div_ceil(4 * 100);
        let busiest = u64::from(story.busiest[target]);
        assert!(busiest <= bound, "{target}: {busiest} of {bound}");
    }
    // With few calls the bound does not tear a conversation apart.
    for call in &mut calls {
        call.at_ns = START + (call.at_ns - START) * 20;
    }
    let story = play(&plan, &calls, 1, |_| Answer::ok(SECOND));
    assert_eq!(story.targets().len(), 1, "{:?}", story.targets());
}

#[test]
fn a_call_without_a_prefix_is_drawn_by_weight() {
    let plan = with(Strategy::PrefixHash, &[("openai/big", 1), ("anthropic/sonnet", 3)]);
    let story = play(&plan, &arrivals("m", 4_000, MS), 1, |_| Answer::ok(MS));
    assert!((story.share("anthropic/sonnet") - 0.75).abs() < 0.03);
}

#[test]
fn a_target_that_is_known_to_be_too_small_is_left_out() {
    for strategy in Strategy::ALL {
        let plan =
            with(strategy, &[("groq/llama", 9), ("openrouter/meta-llama/llama", 9), ("openai/big", 1)]);
        let mut calls = arrivals("m", 50, MS);
        for (number, call) in (0..).zip(&mut calls) {
            call.need = Need { input_tokens: 90_000, prefix: Some(number), ..Need::default() };
        }
        let story = play(&plan, &calls, 1, |_| Answer::ok(MS));
        assert_eq!(story.targets(), HashMap::from([("openai/big", 50)]), "{}", strategy.name());
    }
    // If all are too small, one is asked all the same: an estimate may be wrong.
    let plan = with(Strategy::Weighted, &[("groq/llama", 1)]);
    let mut calls = arrivals("m", 1, MS);
    calls[0].need.input_tokens = 90_000;
    assert_eq!(play(&plan, &calls, 1, |_| Answer::ok(MS)).asked.len(), 1);
}
