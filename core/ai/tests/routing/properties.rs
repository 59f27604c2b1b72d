//! Whatever happens in whatever order: nothing panics, every place is given back, and no attempt is made that should not be.

use std::collections::HashMap;
use std::sync::Arc;

use penstock_ai::provider::{Headroom, Window};
use penstock_ai::routing::{Strategy as Choice, *};
use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;

use crate::world::*;

const TARGETS: [&str; 6] = [
    "openai/big",
    "openai/mini",
    "anthropic/sonnet",
    "openrouter/openai/big",
    "groq/llama",
    "fireworks/llama",
];

fn causes() -> impl Strategy<Value = Causes> {
    prop::collection::vec(prop::sample::select(&Cause::ALL[..]), 0..5).prop_map(|causes| Causes::of(&causes))
}

/// A model that may fall back to those after it.
fn a_model(number: usize) -> impl Strategy<Value = ModelSpec> {
    let targets = prop::sample::subsequence(&TARGETS[..], 1..=TARGETS.len());
    let strategy = prop::sample::select(&Choice::ALL[..]);
    let retries = (1u8..5, causes(), any::<bool>());
    let cooldown = (1u32..4, 1u64..40);
    let budget = (0u8..=100, 0u32..4);
    let times = (1u64..30, 1u64..120);
    (targets, strategy, retries, causes(), cooldown, budget, times).prop_map(
        move |(targets, strategy, (attempts, on, honour_retry_after), falls_on, cooldown, budget, times)| {
            let targets: Vec<_> =
                targets.iter().map(|target| (*target, 1 + target.len() as u16 % 3)).collect();
            let fallbacks = (!falls_on.is_empty() && number < 3)
                .then(|| FallbackSpec { on: falls_on, to: format!("m{}", number + 1) });
            ModelSpec {
                strategy,
                fallbacks: fallbacks.into_iter().collect(),
                retries: Retries { attempts, on, honour_retry_after },
                cooldown: Cooldown { after: cooldown.0, for_ns: cooldown.1 * SECOND },
                budget: RetrySpec { percent: budget.0, min: budget.1 },
                timeouts: Timeouts {
                    first_token_ns: times.0 * SECOND,
                    total_ns: times.1 * SECOND,
                    ..Timeouts::default()
                },
                ..model(number as u64, &format!("m{number}"), &targets)
            }
        },
    )
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Begin { model: usize, prefix: Option<u64>, strict: Option<bool>, tokens: u64 },
    Next { call: usize },
    End { call: usize, end: End, retry_after_ms: Option<u64>, left: Option<u64> },
    FirstToken { call: usize },
    Answering { call: usize },
    DropAttempt { call: usize },
    DropCall { call: usize },
    Wait { ms: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    let call = 0usize..12;
    let end = prop::sample::select(&End::ALL[..]);
    let retry = prop::option::of(prop_oneof![0u64..5_000, Just(u64::MAX)]);
    prop_oneof![
        3 => (0usize..4, any::<Option<u64>>(), any::<Option<bool>>(), 0u64..400_000)
            .prop_map(|(model, prefix, strict, tokens)| Event::Begin { model, prefix, strict, tokens }),
        6 => call.clone().prop_map(|call| Event::Next { call }),
        5 => (call.clone(), end, retry, any::<Option<u64>>())
            .prop_map(|(call, end, retry_after_ms, left)| Event::End { call, end, retry_after_ms, left }),
        1 => call.clone().prop_map(|call| Event::FirstToken { call }),
        1 => call.clone().prop_map(|call| Event::Answering { call }),
        1 => call.clone().prop_map(|call| Event::DropAttempt { call }),
        1 => call.prop_map(|call| Event::DropCall { call }),
        4 => prop_oneof![0u64..500, 0u64..40_000].prop_map(|ms| Event::Wait { ms }),
    ]
}

/// A call, and what is known of it from outside.
struct Live<'a> {
    call: Call<'a>,
    attempt: Option<Attempt<'a>>,
    begun_with: usize,
    /// Attempts that were sent, by model.
    sent: HashMap<String, u8>,
    is_answering: bool,
    not_before: u64,
    began: u64,
    over: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_of_events_keeps_the_rules(
        models in (a_model(0), a_model(1), a_model(2), a_model(3)),
        events in prop::collection::vec(event(), 0..250),
        seed: u64,
    ) {
        let models = vec![models.0, models.1, models.2, models.3];
        let plan = plan_of(models.clone());
        let names: Vec<String> = (0..4).map(|n| format!("m{n}")).collect();
        let home = plan.targets(resolve(&plan, "m0"), START).next().unwrap().deployment;
        let mut random = Random::new(seed);
        let mut now = START;
        let mut live: Vec<Live<'_>> = Vec::new();
        // Rests that were told: no attempt may come before they end.
        let mut key_rests: HashMap<KeyUid, u64> = HashMap::new();
        for event in events {
            match event {
                Event::Wait { ms } => now += ms * MS,
                Event::Begin { model, prefix, strict, tokens } => {
                    let strictness = strict.map(|must| if must { Strictness::Must } else { Strictness::Prefer });
                    let affinity = strictness.map(|strictness| Affinity { deployment: home, key: KeyUid(100), strictness });
                    let need = Need { input_tokens: tokens, output_tokens: 10, unix_s: 0, prefix, affinity };
                    live.push(Live {
                        call: plan.begin(resolve(&plan, &names[model]), need, now),
                        attempt: None,
                        begun_with: model,
                        sent: HashMap::new(),
                        is_answering: false,
                        not_before: 0,
                        began: now,
                        over: false,
                    });
                }
                Event::DropCall { call } if !live.is_empty() => {
                    let call = call % live.len();
                    drop(live.swap_remove(call));
                }
                Event::Next { call }
                | Event::FirstToken { call }
                | Event::Answering { call }
                | Event::DropAttempt { call }
                | Event::End { call, .. } if !live.is_empty() => {
                    let number = call % live.len();
                    let one = &mut live[number];
                    match event {
                        Event::Next { .. } if one.attempt.is_none() => match one.call.next(now, &mut random) {
                            Step::WaitUntil(at) => {
                                prop_assert!(!one.over && at > now && !one.is_answering);
                                prop_assert!(at - now <= RETRY_AFTER_WAIT_NS_MAX);
                                one.not_before = at;
                            }
                            Step::GiveUp(_) => one.over = true,
                            Step::Attempt(attempt) => {
                                prop_assert!(!one.over && !one.is_answering && now >= one.not_before);
                                let total_ns = models[one.begun_with].timeouts.total_ns;
                                prop_assert!(now < one.began + total_ns);
                                prop_assert_eq!(attempt.deadline_ns, one.began + total_ns);
                                prop_assert!(attempt.first_token_ns <= attempt.deadline_ns - now);
                                let model = models.iter().find(|model| model.name == attempt.route).unwrap();
                                prop_assert!(model.uid.0 as usize >= one.begun_with, "only along the chain");
                                let target = |target: &TargetSpec| {
                                    target.provider == attempt.provider && target.model == attempt.model
                                };
                                prop_assert!(model.targets.iter().any(target), "not one of the model's targets");
                                let sent = one.sent.entry(attempt.route.to_owned()).or_default();
                                *sent += 1;
                                prop_assert!(*sent <= model.retries.attempts);
                                prop_assert!(one.sent.values().sum::<u8>() <= CALL_ATTEMPTS_MAX);
                                if let Some(until) = key_rests.get(&attempt.key) {
                                    prop_assert!(now >= *until, "key {:?} rests", attempt.key);
                                }
                                one.attempt = Some(attempt);
                            }
                        },
                        Event::FirstToken { .. } => {
                            if let Some(attempt) = &one.attempt {
                                attempt.first_token(now);
                            }
                        }
                        Event::Answering { .. } if one.attempt.is_some() => {
                            one.call.is_answering();
                            one.is_answering = true;
                        }
                        Event::DropAttempt { .. } => one.over |= one.attempt.take().is_some(),
                        Event::End { end, retry_after_ms, left, .. } => {
                            let Some(attempt) = one.attempt.take() else { continue };
                            if end == End::OwnLimit {
                                *one.sent.get_mut(attempt.route).unwrap() -= 1;
                            }
                            let window = Window { limit: left, remaining: left, reset_ms: left };
                            let headroom = left.map(|_| Headroom { tokens: window, ..Headroom::default() });
                            let report = Report { retry_after_ms, headroom, ..Report::new(end) };
                            let done = matches!(end, End::Answered | End::ClientGone | End::ClientError | End::TotalTimeout);
                            one.over |= done;
                            if let Some(alert) = one.call.ended(now, attempt, &report)
                                && let Resting::Key(key) = alert.what
                            {
                                key_rests.insert(key, alert.until_ns);
                            }
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
            let running = live.iter().filter(|one| one.attempt.is_some()).count() as u32;
            let mut busy: HashMap<DeploymentId, u32> = HashMap::new();
            for name in &names {
                busy.extend(plan.targets(resolve(&plan, name), now).map(|target| (target.deployment, target.busy)));
            }
            prop_assert_eq!(busy.values().sum::<u32>(), running);
        }
        drop(live);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_all_returned(&plan, &names);
        // No place of a trial is lost: once every rest is over, all can be called again.
        for name in &names {
            prop_assert!(plan.targets(resolve(&plan, name), u64::MAX).all(|target| target.available));
        }
    }

    #[test]
    fn any_name_is_found_or_refused_with_few_candidates(name in "\\PC{0,40}|[a-z]{1,6}/[a-z/]{0,12}|.{250,300}") {
        let plan = plan_of(vec![model(1, "m", &[("openai/big", 1)])]);
        let everything = Allowed::everything();
        let caller = Caller { tenant: TenantId(1), service: &everything, app: None };
        if let Err(Unresolved::Unknown { candidates, name } | Unresolved::Ambiguous { candidates, name }) = plan.resolve(&caller, &name) {
            prop_assert!(candidates.len() <= CANDIDATES_MAX && name.len() <= NAME_BYTES_MAX);
            for candidate in &candidates {
                prop_assert!(plan.resolve(&caller, candidate).is_ok(), "{}", candidate);
            }
        }
    }
}

#[test]
fn workers_at_the_same_time_lose_no_place_and_only_one_tries() {
    // None that lets a key rest for longer than the test takes.
    const ENDS: [End; 6] = [
        End::Answered,
        End::ServerError,
        End::RateLimit,
        End::ConnectFailure,
        End::ClientGone,
        End::FirstTokenTimeout,
    ];
    let cooldown = Cooldown { after: 2, for_ns: 20 * MS };
    let retries = Retries { attempts: 3, ..Retries::default() };
    let targets = [("openai/big", 1), ("anthropic/sonnet", 2)];
    let plan = Arc::new(plan_of(vec![ModelSpec { cooldown, retries, ..model(1, "m", &targets) }]));
    let sent = Arc::new(std::sync::atomic::AtomicU32::new(0));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS as u64 {
            let (plan, sent) = (Arc::clone(&plan), Arc::clone(&sent));
            scope.spawn(move || {
                use std::sync::atomic::Ordering::SeqCst;
                let mut random = Random::new(worker);
                for n in 0..20_000u64 {
                    let mut now = START + n * 10 * MS;
                    let mut call = plan.begin(resolve(&plan, "m"), Need::default(), now);
                    loop {
                        match call.next(now, &mut random) {
                            Step::GiveUp(_) => break,
                            Step::WaitUntil(at) => now = at,
                            Step::Attempt(attempt) => {
                                let end = ENDS[random.below(ENDS.len() as u64) as usize];
                                if random.below(10) == 0 {
                                    drop(attempt);
                                } else {
                                    let _ = call.ended(
                                        now,
                                        attempt,
                                        &Report { retry_after_ms: Some(5), ..Report::new(end) },
                                    );
                                    sent.fetch_add(1, SeqCst);
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(sent.load(std::sync::atomic::Ordering::SeqCst) > 1_000);
    assert_all_returned(&plan, &["m"]);
    assert!(plan.targets(resolve(&plan, "m"), u64::MAX).all(|target| target.available));

    // A rest that is half over, and all workers at once: each has its call, one of them tries.
    for round in 0..200u64 {
        let plan = plan_of(vec![ModelSpec {
            cooldown: Cooldown { after: 1, for_ns: SECOND },
            retries: Retries { attempts: 1, ..Retries::default() },
            ..model(1, "m", &[("anthropic/sonnet", 1)])
        }]);
        let mut call = plan.begin(resolve(&plan, "m"), Need::default(), START);
        let Step::Attempt(attempt) = call.next(START, &mut Random::new(round)) else { panic!() };
        let _ = call.ended(START, attempt, &Report::new(End::ServerError));
        drop(call);
        let begin = std::sync::Barrier::new(WORKERS);
        let end = std::sync::Barrier::new(WORKERS);
        let tried = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for worker in 0..WORKERS as u64 {
                let (plan, begin, end, tried) = (&plan, &begin, &end, &tried);
                scope.spawn(move || {
                    let now = START + SECOND;
                    let mut call = plan.begin(resolve(plan, "m"), Need::default(), now);
                    begin.wait();
                    let step = call.next(now, &mut Random::new(worker));
                    tried.fetch_add(
                        u32::from(matches!(step, Step::Attempt(_))),
                        std::sync::atomic::Ordering::SeqCst,
                    );
                    end.wait();
                });
            }
        });
        assert_eq!(tried.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}
