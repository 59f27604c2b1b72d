//! A world to route in: a small catalogue, providers that behave as a test says, workers with generators of their own, and
//! a queue of events that plays calls at the same time on one clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use penstock_ai::catalogue::Catalogue;
use penstock_ai::provider::{Headroom, Providers};
use penstock_ai::routing::*;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
/// When worlds begin.
pub(crate) const START: u64 = 1_000 * SECOND;
pub(crate) const WORKERS: usize = 4;

const CATALOGUE: &str = r#"
{"provider":"openai","model":"big","maker":"openai","name":"big","own":true,"mode":"chat","prices":[{"input":"2","output":"8"}],"context_tokens":1000000}
{"provider":"openai","model":"mini","maker":"openai","name":"mini","own":true,"mode":"chat","prices":[{"input":"0.4","output":"1.6"}],"context_tokens":128000}
{"provider":"openai","model":"mini-2025-04-14","maker":"openai","name":"mini","own":true,"mode":"chat","prices":[{"input":"0.4","output":"1.6"}],"context_tokens":128000}
{"provider":"openai","model":"old-b","maker":"openai","name":"old","own":true,"mode":"chat","prices":[{"input":"9","output":"9"}],"deprecated":true}
{"provider":"openai","model":"old-c","maker":"openai","name":"old","own":true,"mode":"chat","prices":[{"input":"9","output":"9"}]}
{"provider":"anthropic","model":"sonnet","maker":"anthropic","name":"sonnet","own":true,"mode":"chat","prices":[{"input":"3","output":"4"}],"context_tokens":200000}
{"provider":"openrouter","model":"openai/big","maker":"openai","name":"big","mode":"chat","prices":[{"input":"2.1","output":"8.4"}],"context_tokens":1000000}
{"provider":"openrouter","model":"meta-llama/llama","maker":"meta","name":"llama","mode":"chat","prices":[{"input":"0.1","output":"0.1"}],"context_tokens":32000}
{"provider":"groq","model":"llama","maker":"meta","name":"llama","mode":"chat","prices":[{"input":"0.2","output":"0.2"}],"context_tokens":64000}
{"provider":"fireworks","model":"llama","maker":"meta","name":"llama","mode":"chat"}
"#;

pub(crate) fn catalogue() -> Arc<Catalogue> {
    Arc::new(Catalogue::read(CATALOGUE.as_bytes()).unwrap())
}

/// A provider with keys of these weights; the n-th provider's keys are numbered from n * 100.
pub(crate) fn provider(number: u64, name: &str, kind: &str, weights: &[u16]) -> ProviderSpec {
    let keys = (0..)
        .zip(weights)
        .map(|(n, weight)| KeySpec::new(KeyUid(number * 100 + n), &format!("{name}-{n}"), *weight));
    ProviderSpec { keys: keys.collect(), ..ProviderSpec::new(ProviderUid(number), name, kind) }
}

/// Five accounts, each with one key, but for that at OpenAI, which has two.
pub(crate) fn providers() -> Vec<ProviderSpec> {
    vec![
        provider(1, "openai", "openai", &[3, 1]),
        provider(2, "anthropic", "anthropic", &[1]),
        provider(3, "openrouter", "openrouter", &[1]),
        provider(4, "groq", "groq", &[1]),
        provider(5, "fireworks", "fireworks", &[1, 1]),
    ]
}

/// A model with targets, as `provider/model` and weight.
pub(crate) fn model(uid: u64, name: &str, targets: &[(&str, u16)]) -> ModelSpec {
    let targets = targets.iter().map(|(target, weight)| {
        let (provider, model) = target.split_once('/').unwrap();
        TargetSpec::new(provider, model, *weight)
    });
    ModelSpec { targets: targets.collect(), ..ModelSpec::new(ModelUid(uid), name) }
}

pub(crate) fn compile(spec: &Spec, registry: &Registry) -> Plan {
    Plan::compile(spec, &catalogue(), Providers::shared(), registry).unwrap()
}

pub(crate) fn plan_of(models: Vec<ModelSpec>) -> Plan {
    compile(&Spec { providers: providers(), models }, &Registry::default())
}

pub(crate) fn resolve<'a>(plan: &'a Plan, name: &'a str) -> Resolved<'a> {
    let everything = Allowed::everything();
    plan.resolve(&Caller { tenant: TenantId(1), service: &everything, app: None }, name).unwrap()
}

/// What an attempt is to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) at_ns: u64,
    pub(crate) call: usize,
    pub(crate) route: String,
    /// `provider/model`
    pub(crate) target: String,
    pub(crate) key: KeyUid,
    pub(crate) affinity: AffinityKept,
    pub(crate) fallbacks: u8,
}

/// What a provider does with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) end: End,
    pub(crate) after_ns: u64,
    pub(crate) first_token_ns: Option<u64>,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) headroom: Option<Headroom>,
}

impl Answer {
    pub(crate) fn new(end: End, after_ns: u64) -> Self {
        Self { end, after_ns, first_token_ns: None, retry_after_ms: None, headroom: None }
    }

    pub(crate) fn ok(after_ns: u64) -> Self {
        Self { first_token_ns: Some(after_ns / 2), ..Self::new(End::Answered, after_ns) }
    }

    pub(crate) fn retry_after(end: End, ms: u64) -> Self {
        Self { retry_after_ms: Some(ms), ..Self::new(end, MS) }
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) at_ns: u64,
    pub(crate) give_up: GiveUp,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) asked: Vec<(Asked, End)>,
    /// By the call's number.
    pub(crate) over: HashMap<usize, Over>,
    pub(crate) alerts: Vec<(u64, Alert)>,
    /// The most attempts under way at a target, by its name.
    pub(crate) busiest: HashMap<String, u32>,
    /// Pauses: when, until when.
    pub(crate) pauses: Vec<(u64, u64)>,
}

impl Story {
    /// How many attempts went to each target.
    pub(crate) fn targets(&self) -> HashMap<&str, usize> {
        let mut counts = HashMap::new();
        for (asked, _) in &self.asked {
            *counts.entry(asked.target.as_str()).or_default() += 1;
        }
        counts
    }

    /// The share of attempts that went to a target.
    pub(crate) fn share(&self, target: &str) -> f64 {
        self.targets().get(target).copied().unwrap_or(0) as f64 / self.asked.len().max(1) as f64
    }

    /// The targets of a call's attempts, in order.
    pub(crate) fn way(&self, call: usize) -> Vec<&str> {
        self.asked
            .iter()
            .filter(|(asked, _)| asked.call == call)
            .map(|(asked, _)| asked.target.as_str())
            .collect()
    }

    pub(crate) fn why(&self, call: usize) -> Why {
        self.over[&call].give_up.why
    }
}

/// A call that begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) at_ns: u64,
    pub(crate) name: &'a str,
    pub(crate) need: Need,
}

pub(crate) fn arrivals<'a>(name: &'a str, count: u64, every_ns: u64) -> Vec<Arrival<'a>> {
    let need = Need { input_tokens: 1_000, output_tokens: 200, ..Need::default() };
    (0..count).map(|n| Arrival { at_ns: START + n * every_ns, name, need }).collect()
}

/// A call, and its attempt with what will come of it.
type UnderWay<'a> = (Call<'a>, Option<(Attempt<'a>, Answer)>);

/// Plays calls to their ends. Calls go to the workers in turn; each worker has a generator of its own.
pub(crate) fn play<'a>(
    plan: &'a Plan,
    arrivals: &[Arrival<'a>],
    seed: u64,
    mut provider: impl FnMut(&Asked) -> Answer,
) -> Story {
    let mut story = Story::default();
    let mut workers: Vec<Random> = (0..WORKERS as u64).map(|n| Random::new(seed * 100 + n)).collect();
    let mut calls: Vec<Option<UnderWay<'a>>> = Vec::new();
    let mut queue = BinaryHeap::new();
    for (number, arrival) in arrivals.iter().enumerate() {
        calls.push(None);
        queue.push(Reverse((arrival.at_ns, number)));
    }
    let mut busy: HashMap<String, u32> = HashMap::new();
    while let Some(Reverse((now, number))) = queue.pop() {
        let place = &mut calls[number];
        let (call, running) = place.get_or_insert_with(|| {
            let arrival = &arrivals[number];
            (plan.begin(resolve(plan, arrival.name), arrival.need, now), None)
        });
        if let Some((attempt, answer)) = running.take() {
            *busy.get_mut(&format!("{}/{}", attempt.provider, attempt.model)).unwrap() -= 1;
            let report = Report {
                end: answer.end,
                retry_after_ms: answer.retry_after_ms,
                first_token_ns: answer.first_token_ns,
                headroom: answer.headroom,
            };
            if let Some(alert) = call.ended(now, attempt, &report) {
                story.alerts.push((now, alert));
            }
        }
        match call.next(now, &mut workers[number % WORKERS]) {
            Step::WaitUntil(at) => {
                assert!(at > now);
                story.pauses.push((now, at));
                queue.push(Reverse((at, number)));
            }
            Step::GiveUp(give_up) => {
                story.over.insert(number, Over { at_ns: now, give_up });
                *place = None;
            }
            Step::Attempt(attempt) => {
                let asked = Asked {
                    at_ns: now,
                    call: number,
                    route: attempt.route.to_owned(),
                    target: format!("{}/{}", attempt.provider, attempt.model),
                    key: attempt.key,
                    affinity: attempt.affinity,
                    fallbacks: attempt.fallbacks,
                };
                let busy = busy.entry(asked.target.clone()).or_default();
                *busy += 1;
                let most = story.busiest.entry(asked.target.clone()).or_default();
                *most = (*most).max(*busy);
                let answer = provider(&asked);
                story.asked.push((asked, answer.end));
                *running = Some((attempt, answer));
                queue.push(Reverse((now + answer.after_ns.max(1), number)));
            }
        }
    }
    assert!(calls.iter().all(Option::is_none) && story.over.len() == arrivals.len());
    story
}

/// Nothing is left of calls that are over: no place is taken at any target, nor in the retry budget.
pub(crate) fn assert_all_returned<'a>(plan: &'a Plan, names: &[&'a str]) {
    for name in names {
        let resolved = resolve(plan, name);
        assert_eq!(plan.calls(resolved), (0, 0), "{name}");
        assert!(plan.targets(resolved, u64::MAX).all(|target| target.busy == 0), "{name}");
    }
}
