//! The life of single calls: retries, pauses, fallbacks, rests, budgets, affinity, and what is given back.

use std::collections::HashMap;

use penstock_ai::provider::{Headroom, Window};
use penstock_ai::routing::*;

use crate::world::*;

/// `a` at OpenAI falls back to `b` at Anthropic.
fn falling(on: &[Cause], retries: Retries) -> Plan {
    let fallbacks = vec![FallbackSpec { on: Causes::of(on), to: "b".to_owned() }];
    plan_of(vec![
        ModelSpec { fallbacks, retries, ..model(1, "a", &[("openai/mini", 1)]) },
        model(2, "b", &[("anthropic/sonnet", 1)]),
    ])
}

const NO_RETRY: Retries = Retries { attempts: 1, on: Causes::NONE, honour_retry_after: true };

fn retries(attempts: u8) -> Retries {
    Retries { attempts, on: Causes::of(&Cause::ALL), honour_retry_after: true }
}

/// The ends that a call may go on after, with their causes.
const GOES_ON: [(End, Cause); 11] = [
    (End::RateLimit, Cause::RateLimit),
    (End::NoQuota, Cause::RateLimit),
    (End::ServerError, Cause::ServerError),
    (End::BrokenStream, Cause::ServerError),
    (End::NoModel, Cause::ServerError),
    (End::FirstTokenTimeout, Cause::Timeout),
    (End::IdleTimeout, Cause::Timeout),
    (End::ConnectFailure, Cause::ConnectFailure),
    (End::ContextWindow, Cause::ContextWindow),
    (End::ContentPolicy, Cause::ContentPolicy),
    (End::Unauthenticated, Cause::Authentication),
];

#[test]
fn each_cause_falls_back_where_it_is_named_and_nowhere_else() {
    for (end, cause) in GOES_ON {
        for on in Cause::ALL {
            let plan = falling(&[on], NO_RETRY);
            let story = play(&plan, &arrivals("a", 1, MS), 1, |asked| match asked.route.as_str() {
                "a" => Answer::new(end, MS),
                _ => Answer::ok(MS),
            });
            if on == cause {
                assert_eq!(story.way(0), ["openai/mini", "anthropic/sonnet"], "{end:?} on {on:?}");
                assert_eq!((story.why(0), story.asked[1].0.fallbacks), (Why::Done, 1));
            } else {
                assert_eq!(story.way(0), ["openai/mini"], "{end:?} on {on:?}");
                assert_eq!((story.why(0), story.over[&0].give_up.last), (Why::Failed, Some(end)));
            }
            assert_all_returned(&plan, &["a", "b"]);
        }
    }
}

#[test]
fn over_many_calls_each_fallback_takes_what_failed_and_only_that() {
    for (end, cause) in GOES_ON {
        let plan = falling(&[cause], NO_RETRY);
        // Every third call fails; no three in a row, so nothing cools down.
        let story = play(&plan, &arrivals("a", 900, 2 * SECOND), 1, |asked| match asked.route.as_str() {
            "a" if asked.call % 3 == 0 => Answer::retry_after(end, 1),
            _ => Answer::ok(MS),
        });
        // A key that is refused rests for long, and a call that finds both at rest falls back as well.
        let refused = matches!(end, End::NoQuota | End::Unauthenticated);
        let second = story.targets()["anthropic/sonnet"];
        assert!(second == 300 || refused && second > 300, "{end:?}: {second}");
        assert!(story.over.values().all(|over| over.give_up.last == Some(End::Answered)), "{end:?}");
        assert_all_returned(&plan, &["a", "b"]);
    }
}

#[test]
fn what_is_the_callers_error_or_the_clients_end_is_never_tried_again() {
    for (end, why) in [
        (End::ClientError, Why::Failed),
        (End::ClientGone, Why::Done),
        (End::Answered, Why::Done),
        (End::TotalTimeout, Why::Time),
    ] {
        let plan = falling(&Cause::ALL, retries(10));
        let story = play(&plan, &arrivals("a", 1, MS), 1, |_| Answer::new(end, MS));
        assert_eq!((story.asked.len(), story.why(0)), (1, why), "{end:?}");
    }
    // A model that the caller named at the provider itself is the caller's error; one that is configured is not.
    let plan = plan_of(vec![]);
    let story = play(&plan, &arrivals("openai/nothing", 1, MS), 1, |_| Answer::new(End::NoModel, MS));
    assert_eq!((story.asked.len(), story.why(0)), (1, Why::Failed));
}

#[test]
fn nothing_is_tried_again_once_the_client_has_a_part_of_the_answer() {
    for (end, _) in GOES_ON {
        let plan = falling(&Cause::ALL, retries(10));
        let mut random = Random::new(1);
        let mut call = plan.begin(resolve(&plan, "a"), Need::default(), START);
        let Step::Attempt(attempt) = call.next(START, &mut random) else { panic!() };
        call.is_answering();
        let _ = call.ended(START + 1, attempt, &Report::new(end));
        let Step::GiveUp(give_up) = call.next(START + 2, &mut random) else { panic!("{end:?}") };
        assert_eq!((give_up.why, give_up.last), (Why::Done, Some(end)));
    }
}

#[test]
fn a_retry_goes_to_what_is_untried_at_once_and_to_what_was_tried_after_a_pause() {
    let two = [("openai/mini", 1), ("anthropic/sonnet", 1)];
    let plan = plan_of(vec![ModelSpec { retries: retries(5), ..model(1, "m", &two) }]);
    let mut arrivals = arrivals("m", 1, MS);
    let story = play(&plan, &arrivals, 1, |_| Answer::new(End::ServerError, MS));
    assert_eq!(story.asked.len(), 5);
    let way = story.way(0);
    assert_ne!(way[0], way[1], "the other one first");
    assert_eq!(story.asked[1].0.at_ns - story.asked[0].0.at_ns, MS, "and at once");
    assert_eq!(story.pauses.len(), 3);
    assert_eq!(story.why(0), Why::Attempts);
    // Full jitter: anything up to the doubled base.
    arrivals[0].name = "m";
    let mut longest = [0u64; 3];
    for seed in 0..300 {
        let plan = plan_of(vec![ModelSpec { retries: retries(5), ..model(1, "m", &two) }]);
        let story = play(&plan, &arrivals, seed, |_| Answer::new(End::ServerError, MS));
        for (longest, (now, at)) in longest.iter_mut().zip(&story.pauses) {
            *longest = (*longest).max(at - now);
        }
    }
    for (n, longest) in longest.iter().enumerate() {
        let bound = (BACKOFF_BASE_NS << (n + 1)).min(BACKOFF_NS_MAX);
        assert!(*longest <= bound && *longest > bound * 9 / 10, "pause {n}: {longest} of {bound}");
    }
}

#[test]
fn another_key_is_tried_at_once_where_the_key_is_to_blame() {
    for end in [End::RateLimit, End::NoQuota, End::Unauthenticated, End::Forbidden] {
        let plan = plan_of(vec![ModelSpec { retries: retries(2), ..model(1, "m", &[("openai/big", 1)]) }]);
        let mut first = None;
        let story = play(&plan, &arrivals("m", 20, SECOND), 1, |asked| {
            if asked.key == *first.get_or_insert(asked.key) { Answer::new(end, MS) } else { Answer::ok(MS) }
        });
        assert_eq!(story.asked[1].0.key, KeyUid(201 - first.unwrap().0), "{end:?}");
        assert!(story.over.values().all(|over| over.give_up.why == Why::Done));
        assert!(story.pauses.is_empty());
    }
}

#[test]
fn retry_after_is_waited_for_within_the_calls_time() {
    let one = [("anthropic/sonnet", 1)];
    let with = |total_ns, honour_retry_after| {
        let retries = Retries { honour_retry_after, ..retries(2) };
        let timeouts = Timeouts { total_ns, ..Timeouts::default() };
        plan_of(vec![ModelSpec { retries, timeouts, ..model(1, "m", &one) }])
    };
    let told = |plan: &Plan, end, ms| {
        let mut asked = 0;
        let story = play(plan, &arrivals("m", 1, MS), 1, |_| {
            asked += 1;
            if asked == 1 { Answer::retry_after(end, ms) } else { Answer::ok(MS) }
        });
        let over = story.over[&0].give_up;
        (story.asked.iter().map(|(asked, _)| asked.at_ns - START).collect::<Vec<_>>(), over)
    };
    for end in [End::RateLimit, End::ServerError] {
        let (at, over) = told(&with(60 * SECOND, true), end, 7_000);
        assert_eq!(over.why, Why::Done, "{end:?}");
        assert!((7 * SECOND..8 * SECOND).contains(&at[1]), "{at:?}");
        for plan in [with(5 * SECOND, true), with(60 * SECOND, false)] {
            let (at, over) = told(&plan, end, 7_000);
            assert_eq!((at.len(), over.why, over.last), (1, Why::Failed, Some(end)));
            assert_eq!(over.retry_after_ns, Some(7 * SECOND));
        }
    }
    let (at, over) = told(&with(TIMEOUT_NS_MAX, true), End::RateLimit, RETRY_AFTER_WAIT_NS_MAX / MS + 1);
    assert_eq!((at.len(), over.why), (1, Why::Failed), "no call waits for longer than that");
}

#[test]
fn a_fallback_is_better_than_a_long_wait() {
    for (ms, pauses) in [(500, 1), (30_000, 0)] {
        let plan = falling(&[Cause::RateLimit], retries(2));
        // Both keys are limited.
        let story = play(&plan, &arrivals("a", 1, MS), 1, |asked| match asked.route.as_str() {
            "a" => Answer::retry_after(End::RateLimit, ms),
            _ => Answer::ok(MS),
        });
        assert_eq!(story.way(0), ["openai/mini", "openai/mini", "anthropic/sonnet"]);
        assert!(story.pauses.len() <= pauses, "{ms} ms");
    }
}

#[test]
fn a_pause_ends_with_the_calls_time() {
    let timeouts = Timeouts { total_ns: 10 * SECOND, ..Timeouts::default() };
    let plan =
        plan_of(vec![ModelSpec { timeouts, retries: retries(10), ..model(1, "m", &[("groq/llama", 1)]) }]);
    let story = play(&plan, &arrivals("m", 1, MS), 1, |_| Answer::new(End::ServerError, 3 * SECOND));
    assert!(story.asked.iter().all(|(asked, _)| asked.at_ns < START + 10 * SECOND));
    assert!(story.over[&0].at_ns <= START + 13 * SECOND);

    let mut random = Random::new(1);
    let mut call = plan.begin(resolve(&plan, "m"), Need::default(), START + 100 * SECOND);
    let Step::Attempt(attempt) = call.next(START + 107 * SECOND, &mut random) else { panic!() };
    assert_eq!((attempt.first_token_ns, attempt.deadline_ns), (3 * SECOND, START + 110 * SECOND));
    drop(attempt);
    drop(call);
    let mut call = plan.begin(resolve(&plan, "m"), Need::default(), START + 100 * SECOND);
    let Step::GiveUp(give_up) = call.next(START + 110 * SECOND, &mut random) else { panic!() };
    assert_eq!(give_up.why, Why::Time);
}

#[test]
fn a_deployment_that_keeps_failing_rests_and_one_call_tries_it() {
    let cooldown = Cooldown { after: 3, for_ns: 30 * SECOND };
    let spec = ModelSpec { cooldown, retries: NO_RETRY, ..model(1, "m", &[("anthropic/sonnet", 1)]) };
    let plan = plan_of(vec![spec]);
    let calls = arrivals("m", 600, 100 * MS);
    let works_again = START + 40 * SECOND;
    let story = play(&plan, &calls, 1, |asked| {
        // A failure takes a second, so that others come meanwhile.
        if asked.at_ns < works_again { Answer::new(End::ServerError, SECOND) } else { Answer::ok(SECOND) }
    });
    let at: Vec<u64> = story.asked.iter().map(|(asked, _)| asked.at_ns - START).collect();
    let rests_from = SECOND + 200 * MS;
    let before = at.iter().filter(|at| **at < rests_from).count();
    assert_eq!(before, 12, "what began before the third failure was told");
    let trials: Vec<_> = at[before..].iter().filter(|at| **at < works_again - START).collect();
    assert_eq!(trials.len(), 1, "one tries, after its rest: {trials:?}");
    assert!(*trials[0] >= rests_from + 30 * SECOND);
    let later: Vec<_> = at.iter().filter(|at| **at >= works_again - START).collect();
    assert!(later.is_empty() || *later[0] >= 60 * SECOND, "the trial failed: it rests again");
    let rested = story.over.values().filter(|over| over.give_up.why == Why::Resting(Cause::ServerError));
    assert_eq!(rested.count(), 600 - at.len());
    assert!(story.alerts.iter().any(|(_, alert)| matches!(alert.what, Resting::Deployment(_))));
    // The next one succeeds, and all are served again.
    let mut calls = arrivals("m", 100, 100 * MS);
    calls.iter_mut().for_each(|call| call.at_ns += 100 * SECOND);
    let story = play(&plan, &calls, 1, |_| Answer::ok(SECOND));
    assert_eq!(story.asked[0].0.at_ns, calls[0].at_ns);
    assert_eq!(story.asked[1].0.at_ns, calls[0].at_ns + SECOND, "the others wait for the one that tries");
    assert_eq!(story.asked.len(), 91);
}

#[test]
fn a_key_that_fails_at_a_deployment_rests_alone() {
    let cooldown = Cooldown { after: 3, for_ns: 30 * SECOND };
    let plan = plan_of(vec![ModelSpec { cooldown, ..model(1, "m", &[("openai/big", 1)]) }]);
    let story = play(&plan, &arrivals("m", 400, 50 * MS), 1, |asked| match asked.key {
        KeyUid(101) => Answer::new(End::ServerError, MS),
        _ => Answer::ok(MS),
    });
    let failed = story.asked.iter().filter(|(asked, _)| asked.key == KeyUid(101)).count();
    assert_eq!(failed, 3, "within twenty seconds");
    let others: Vec<_> = story.over.iter().filter(|(_, over)| over.give_up.why != Why::Done).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(matches!(story.alerts[0].1.what, Resting::KeyAt(KeyUid(101), _)));
}

#[test]
fn a_refused_key_rests_for_long_with_an_alert_and_is_not_used_meanwhile() {
    for (end, rests_everywhere) in
        [(End::Unauthenticated, true), (End::NoQuota, true), (End::Forbidden, false)]
    {
        let plan = plan_of(vec![model(1, "m", &[("openai/big", 1)]), model(2, "n", &[("openai/mini", 1)])]);
        let answer = |asked: &Asked| match (asked.key, asked.target.as_str()) {
            (KeyUid(100), "openai/big") => Answer::new(end, MS),
            _ => Answer::ok(MS),
        };
        let mut calls = arrivals("m", 1_000, SECOND);
        calls.extend(arrivals("n", 500, SECOND));
        let story = play(&plan, &calls, 1, answer);
        let uses = |target: &str| -> Vec<u64> {
            let uses =
                story.asked.iter().filter(|(asked, _)| asked.key == KeyUid(100) && asked.target == target);
            uses.map(|(asked, _)| asked.at_ns).collect()
        };
        let refused = uses("openai/big");
        assert_eq!(refused.len(), 2, "{end:?}: at the beginning, and after ten minutes");
        assert!(refused[1] - refused[0] >= REFUSED_REST_NS);
        assert_eq!(story.alerts.len(), 2);
        let (at, alert) = story.alerts[0];
        assert_eq!((alert.end, alert.until_ns), (end, at + REFUSED_REST_NS));
        assert_eq!(alert.what == Resting::Key(KeyUid(100)), rests_everywhere);
        let elsewhere = uses("openai/mini").iter().filter(|used| **used > at).count();
        assert_eq!(elsewhere == 0, rests_everywhere, "{end:?}");
        assert!(story.over.values().all(|over| over.give_up.why == Why::Done));
    }
}

#[test]
fn a_name_that_is_made_up_takes_no_key_from_others() {
    let plan = plan_of(vec![model(1, "m", &[("openai/big", 1)])]);
    let mut random = Random::new(1);
    for _ in 0..10 {
        let mut call = plan.begin(resolve(&plan, "openai/made-up"), Need::default(), START);
        let Step::Attempt(attempt) = call.next(START, &mut random) else { panic!("rests") };
        assert!(call.ended(START, attempt, &Report::new(End::Forbidden)).is_none());
    }
    assert!(plan.targets(resolve(&plan, "m"), START).all(|target| target.available));
}

#[test]
fn a_rate_limit_is_the_models_or_the_keys_as_the_provider_counts() {
    for (target, other, key_wide) in [
        ("openai/big", "openai/mini", false),
        ("fireworks/llama", "fireworks/other", true),
        ("groq/llama", "groq/x", false),
    ] {
        let plan = plan_of(vec![model(1, "m", &[(target, 1)]), model(2, "n", &[(other, 1)])]);
        let mut random = Random::new(1);
        let mut limited = 0;
        while plan.targets(resolve(&plan, "m"), START).all(|target| target.available) {
            let mut call = plan.begin(resolve(&plan, "m"), Need::default(), START);
            let Step::Attempt(attempt) = call.next(START, &mut random) else { panic!() };
            let report = Report { retry_after_ms: Some(20_000), ..Report::new(End::RateLimit) };
            assert!(call.ended(START, attempt, &report).is_none(), "it passes, and nobody needs to know");
            limited += 1;
        }
        assert!(limited <= 2, "as many as it has keys");
        let available = |name, at| plan.targets(resolve(&plan, name), at).all(|target| target.available);
        assert_eq!(available("n", START), !key_wide, "{target}");
        assert!(!available("m", START + 20 * SECOND - 1) && available("m", START + 20 * SECOND));
    }
}

#[test]
fn what_headers_say_is_believed_where_no_retry_after_came() {
    let plan = plan_of(vec![model(1, "m", &[("groq/llama", 1)])]);
    let window = |remaining, reset_ms| Window {
        limit: Some(10),
        remaining: Some(remaining),
        reset_ms: Some(reset_ms),
    };
    for (headroom, rest_ns) in [
        (Headroom::default(), RATE_LIMIT_REST_NS),
        (
            Headroom { requests: window(0, 5_000), tokens: window(3, 90_000), ..Headroom::default() },
            5 * SECOND,
        ),
        (Headroom { requests: window(0, u64::MAX), ..Headroom::default() }, TOLD_REST_NS_MAX),
    ] {
        let plan = &plan;
        let now = START + rest_ns * 1_000; // behind the rests before
        let mut call = plan.begin(resolve(plan, "m"), Need::default(), now);
        let Step::Attempt(attempt) = call.next(now, &mut Random::new(1)) else { panic!() };
        let report = Report { headroom: Some(headroom), ..Report::new(End::RateLimit) };
        let _ = call.ended(now, attempt, &report);
        let available = |at| plan.targets(resolve(plan, "m"), at).all(|target| target.available);
        assert!(!available(now + rest_ns - 1) && available(now + rest_ns), "{headroom:?}");
    }
}

#[test]
fn a_keys_own_limit_lets_another_take_the_call_and_costs_no_attempt() {
    let plan = plan_of(vec![ModelSpec { retries: NO_RETRY, ..model(1, "m", &[("openai/big", 1)]) }]);
    let story = play(&plan, &arrivals("m", 50, 100 * MS), 1, |asked| match asked.key {
        KeyUid(100) => Answer::retry_after(End::OwnLimit, 60_000),
        _ => Answer::ok(MS),
    });
    assert!(story.over.values().all(|over| over.give_up.why == Why::Done));
    assert_eq!(story.asked.iter().filter(|(asked, _)| asked.key == KeyUid(100)).count(), 1);
    assert!(story.alerts.is_empty());
    // When all are used up, that is a rate limit.
    let plan = falling(&[Cause::RateLimit], NO_RETRY);
    let story = play(&plan, &arrivals("a", 1, MS), 1, |asked| match asked.route.as_str() {
        "a" => Answer::retry_after(End::OwnLimit, 60_000),
        _ => Answer::ok(MS),
    });
    assert_eq!(story.way(0), ["openai/mini", "openai/mini", "anthropic/sonnet"]);
}

#[test]
fn a_call_that_did_not_fit_goes_where_there_is_more_room() {
    let fallbacks = vec![FallbackSpec { on: Causes::of(&[Cause::ContextWindow]), to: "large".to_owned() }];
    // By the estimate it fits everywhere.
    let large =
        [("groq/llama", 9), ("openai/big", 1), ("openrouter/meta-llama/llama", 9), ("fireworks/llama", 9)];
    let plan = plan_of(vec![
        ModelSpec { fallbacks, ..model(1, "small", &[("openai/mini", 1)]) },
        model(2, "large", &large),
        ModelSpec {
            retries: retries(3),
            ..model(3, "mixed", &[("openai/mini", 1), ("openai/big", 1), ("groq/llama", 1)])
        },
    ]);
    let too_small = |asked: &Asked| match asked.target.as_str() {
        "openai/big" => Answer::ok(MS),
        _ => Answer::new(End::ContextWindow, MS),
    };
    let story = play(&plan, &arrivals("small", 50, MS), 1, too_small);
    for call in 0..50 {
        assert_eq!(story.way(call), ["openai/mini", "openai/big"]);
    }
    // The same among the targets of one model, where it may try again on this cause.
    let story = play(&plan, &arrivals("mixed", 50, MS), 1, too_small);
    for call in 0..50 {
        let way = story.way(call);
        assert!(way.last() == Some(&"openai/big") && way.len() <= 3, "{way:?}");
        assert!(way.windows(2).all(|pair| pair[0] != pair[1]), "none says the same twice: {way:?}");
    }
}

#[test]
fn fallbacks_go_on_from_model_to_model() {
    let falls = |uid, name: &str, to: &str, target: (&'static str, u16)| ModelSpec {
        fallbacks: vec![FallbackSpec {
            on: Causes::of(&[Cause::ServerError, Cause::RateLimit]),
            to: to.to_owned(),
        }],
        retries: NO_RETRY,
        ..model(uid, name, &[target])
    };
    let plan = plan_of(vec![
        falls(1, "a", "b", ("openai/big", 1)),
        falls(2, "b", "c", ("anthropic/sonnet", 1)),
        falls(3, "c", "groq/llama", ("openrouter/openai/big", 1)),
    ]);
    let story = play(&plan, &arrivals("a", 1, MS), 1, |_| Answer::new(End::ServerError, MS));
    assert_eq!(
        story.way(0),
        ["openai/big", "anthropic/sonnet", "openrouter/openai/big", "groq/llama", "groq/llama"]
    );
    assert_eq!(story.asked.last().unwrap().0.fallbacks, 3, "a model at a provider ends the chain");
    assert_all_returned(&plan, &["a", "b", "c", "groq/llama"]);
}

#[test]
fn what_rests_is_passed_over_on_the_way() {
    let plan = falling(&[Cause::ServerError], NO_RETRY);
    let story = play(&plan, &arrivals("a", 100, 100 * MS), 1, |asked| match asked.route.as_str() {
        "a" => Answer::new(End::ServerError, MS),
        _ => Answer::ok(MS),
    });
    let failed = story.targets()["openai/mini"];
    assert_eq!(failed, 5, "then it rests, and calls go on at once");
    assert_eq!(story.way(99), ["anthropic/sonnet"]);
}

#[test]
fn retries_cannot_storm() {
    let budget = RetrySpec { percent: 20, min: 3 };
    let cooldown = Cooldown { after: u32::MAX, for_ns: 1 };
    let spec =
        ModelSpec { budget, cooldown, retries: retries(4), ..model(1, "m", &[("anthropic/sonnet", 1)]) };
    let plan = plan_of(vec![spec]);
    const CALLS: usize = 2_000;
    let story = play(&plan, &arrivals("m", CALLS as u64, MS), 1, |_| Answer::new(End::ServerError, 100 * MS));
    let attempts = story.asked.len();
    assert!(attempts > CALLS && attempts < CALLS + CALLS * 3 / 4, "{attempts} attempts of {CALLS} calls");
    let refused = story.over.values().filter(|over| over.give_up.why == Why::Budget).count();
    assert!(refused > CALLS / 2, "{refused} had no retry");
    assert_all_returned(&plan, &["m"]);
    // Without failures nobody asks the budget.
    let story = play(&plan, &arrivals("m", 100, MS), 1, |_| Answer::ok(MS));
    assert_eq!(story.asked.len(), 100);
}

#[test]
fn who_waits_for_a_rate_limit_has_a_place_in_the_budget() {
    let budget = RetrySpec { percent: 0, min: 5 };
    let plan =
        plan_of(vec![ModelSpec { budget, retries: retries(2), ..model(1, "m", &[("anthropic/sonnet", 1)]) }]);
    let limited = START + 20 * SECOND;
    let story = play(&plan, &arrivals("m", 100, MS), 1, |asked| {
        if asked.at_ns < limited { Answer::retry_after(End::RateLimit, 20_000) } else { Answer::ok(MS) }
    });
    let served = story.over.values().filter(|over| over.give_up.why == Why::Done).count();
    assert_eq!(served, 5);
    let turned_away: Vec<_> = story.over.values().filter(|over| over.give_up.why != Why::Done).collect();
    assert!(turned_away.iter().all(|over| over.give_up.retry_after_ns.is_some_and(|ns| ns > 19 * SECOND)));
    assert_all_returned(&plan, &["m"]);
}

#[test]
fn an_attempt_or_a_call_that_is_dropped_gives_back_what_it_had() {
    let cooldown = Cooldown { after: 1, for_ns: SECOND };
    let plan =
        plan_of(vec![ModelSpec { cooldown, retries: retries(3), ..model(1, "m", &[("groq/llama", 1)]) }]);
    let mut random = Random::new(1);
    let resolved = resolve(&plan, "m");
    let busy = || plan.targets(resolved, START).map(|target| target.busy).sum::<u32>();

    let mut call = plan.begin(resolved, Need::default(), START);
    let Step::Attempt(attempt) = call.next(START, &mut random) else { panic!() };
    assert_eq!((busy(), plan.calls(resolved)), (1, (1, 0)));
    drop(attempt);
    assert_eq!(busy(), 0);
    let Step::GiveUp(give_up) = call.next(START, &mut random) else { panic!() };
    assert_eq!(
        (give_up.why, give_up.last),
        (Why::Done, Some(End::ClientGone)),
        "nothing is tried for nobody"
    );
    drop(call);
    assert_eq!(plan.calls(resolved), (0, 0));

    // One that fails makes it rest; one that tries it and is dropped leaves the place of the trial to the next.
    let mut call = plan.begin(resolved, Need::default(), START);
    let Step::Attempt(attempt) = call.next(START, &mut random) else { panic!() };
    assert!(call.ended(START, attempt, &Report::new(End::ConnectFailure)).is_some());
    let Step::WaitUntil(at) = call.next(START, &mut random) else { panic!() };
    assert_eq!(plan.calls(resolved), (1, 1));
    let Step::Attempt(trial) = call.next(at, &mut random) else { panic!() };
    let mut other = plan.begin(resolved, Need::default(), at);
    assert!(matches!(other.next(at, &mut random), Step::GiveUp(GiveUp { why: Why::Resting(_), .. })));
    drop(other);
    drop(trial);
    drop(call);
    assert_eq!((busy(), plan.calls(resolved)), (0, (0, 0)));
    let mut next = plan.begin(resolved, Need::default(), at);
    assert!(matches!(next.next(at, &mut random), Step::Attempt(_)));
}

#[test]
fn a_call_goes_where_it_belongs() {
    let two = [("openai/big", 1), ("anthropic/sonnet", 9)];
    for strategy in Strategy::ALL {
        let plan = plan_of(vec![ModelSpec { strategy, ..model(1, "m", &two) }, model(2, "n", &two[1..])]);
        let deployment = plan.targets(resolve(&plan, "m"), START).next().unwrap().deployment;
        let affinity = |strictness| Some(Affinity { deployment, key: KeyUid(101), strictness });
        let run = |name, strictness, answer: &dyn Fn(&Asked) -> Answer| {
            let mut calls = arrivals(name, 20, SECOND);
            calls.iter_mut().for_each(|call| call.need.affinity = affinity(strictness));
            play(&plan, &calls, 1, answer)
        };
        for strictness in [Strictness::Must, Strictness::Prefer] {
            let story = run("m", strictness, &|_| Answer::ok(MS));
            let home = |asked: &Asked| (asked.target.as_str(), asked.key) == ("openai/big", KeyUid(101));
            assert!(story.asked.iter().all(|(asked, _)| home(asked) && asked.affinity == AffinityKept::Kept));
        }
        // Another model does not have it.
        let story = run("n", Strictness::Prefer, &|_| Answer::ok(MS));
        assert!(story.asked.iter().all(|(asked, _)| asked.affinity == AffinityKept::Lost));
        let story = run("n", Strictness::Must, &|_| Answer::ok(MS));
        assert!(story.asked.is_empty() && story.over.values().all(|over| over.give_up.why == Why::HomeLost));
    }
}

#[test]
fn a_call_whose_home_rests_goes_elsewhere_or_nowhere() {
    let fallbacks = vec![FallbackSpec { on: Causes::of(&Cause::ALL), to: "b".to_owned() }];
    let two = [("openai/big", 1), ("anthropic/sonnet", 1)];
    let plan = plan_of(vec![
        ModelSpec { fallbacks, retries: retries(3), ..model(1, "m", &two) },
        model(2, "b", &[("groq/llama", 1)]),
    ]);
    let deployment = plan.targets(resolve(&plan, "m"), START).next().unwrap().deployment;
    let mut calls = arrivals("m", 2, SECOND);
    for (call, strictness) in calls.iter_mut().zip([Strictness::Must, Strictness::Prefer]) {
        call.need.affinity = Some(Affinity { deployment, key: KeyUid(101), strictness });
    }
    let story = play(&plan, &calls, 1, |asked| match asked.key {
        KeyUid(101) => Answer::retry_after(End::RateLimit, 600_000),
        _ => Answer::ok(MS),
    });
    assert_eq!(story.way(0), ["openai/big"]);
    assert_eq!(story.over[&0].give_up.retry_after_ns, Some(600 * SECOND));
    let second: Vec<_> = story.asked.iter().filter(|(asked, _)| asked.call == 1).collect();
    assert!(
        second.len() == 1 && second[0].0.affinity == AffinityKept::Lost && second[0].0.key != KeyUid(101)
    );
    // A short rest is waited for.
    calls[0].at_ns = START + 1_000 * SECOND;
    let mut asked_before = 0;
    let story = play(&plan, &calls[..1], 1, |_| {
        asked_before += 1;
        if asked_before == 1 { Answer::retry_after(End::RateLimit, 2_000) } else { Answer::ok(MS) }
    });
    assert_eq!(story.way(0), ["openai/big", "openai/big"]);
    assert!(story.asked.iter().all(|(asked, _)| asked.key == KeyUid(101)));
}

#[test]
fn what_is_known_outlives_a_configuration() {
    let registry = Registry::default();
    let spec = |models| Spec { providers: providers(), models };
    let old = compile(&spec(vec![model(1, "m", &[("openai/big", 1), ("anthropic/sonnet", 1)])]), &registry);
    let mut random = Random::new(1);
    // A key is refused, a deployment is slow, a call is under way.
    let story = play(&old, &arrivals("m", 40, MS), 1, |asked| match asked.key {
        KeyUid(100) => Answer::new(End::Unauthenticated, MS),
        _ => Answer::ok(SECOND),
    });
    assert_eq!(story.alerts.len(), 1);
    let now = START + 10 * SECOND;
    let mut call = old.begin(resolve(&old, "m"), Need::default(), now);
    let Step::Attempt(attempt) = call.next(now, &mut random) else { panic!() };

    // Reordered, renamed, with more keys and another target.
    let mut after =
        spec(vec![model(1, "renamed", &[("groq/llama", 1), ("anthropic/sonnet", 5), ("openai/big", 1)])]);
    after.providers.reverse();
    after.providers[4].keys.insert(0, KeySpec::new(KeyUid(150), "new", 1));
    let new = compile(&after, &registry);
    let states: HashMap<_, _> =
        new.targets(resolve(&new, "renamed"), now).map(|target| (target.provider, target)).collect();
    assert!(states["anthropic"].first_token_ns.is_some() && states["groq"].first_token_ns.is_none());
    assert_eq!(states.values().map(|target| target.busy).sum::<u32>(), 1);
    assert_eq!(new.calls(resolve(&new, "renamed")).0, 1);
    let _ = call.ended(now + SECOND, attempt, &Report::new(End::Answered));
    drop(call);
    assert_all_returned(&new, &["renamed"]);
    let mut calls = arrivals("renamed", 400, 10 * MS);
    calls.iter_mut().for_each(|call| call.at_ns += 20 * SECOND);
    let story = play(&new, &calls, 1, |_| Answer::ok(MS));
    assert!(story.asked.iter().all(|(asked, _)| asked.key != KeyUid(100)), "it rests still");
    assert!(story.asked.iter().any(|(asked, _)| asked.key == KeyUid(150)));
    drop(old);
    registry.forget_unused();
    let known = registry.counts();
    drop(new);
    registry.forget_unused();
    assert!(known.iter().all(|count| *count > 0) && registry.counts() == [0; 4]);
}
