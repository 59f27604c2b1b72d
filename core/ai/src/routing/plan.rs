//! A configuration of routing as calls walk it: everything found, nothing looked up by name any more.
//!
//! Knows: the whole configuration, the catalogue, the table of providers. Must not: change once it is made, but for models
//! that callers name at a provider, which are filled in when they are first asked for (`direct`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use penstock_balance::{RetrySpec, Ring, TargetId};

use super::chain::{self, Fault};
use super::direct::Direct;
use super::end::Causes;
use super::near::nearest_one;
use super::problem::Problem;
use super::registry::{Calls, CallsOf, Deployment, DeploymentId, Key, Lane, Registry};
use super::resolve::{Bare, NAME_BYTES_MAX};
use super::rest::Look;
use super::spec::*;
use crate::catalogue::{Catalogue, Dimension, Price, Row, Service, Slot};
use crate::provider::{LimitScope, Providers};

/// The greatest weight on a ring: more would cost points and change nothing.
const RING_WEIGHT_MAX: u32 = 100;

/// What a call needs, as far as it is known before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Tokens of the input, estimated.
    pub input_tokens: u64,
    /// Tokens of the output, estimated or bounded.
    pub output_tokens: u64,
    /// Seconds since 1970 (UTC), for prices that change with time.
    pub unix_s: u64,
    /// What [`Strategy::PrefixHash`] goes by: [`super::prefix_hash`] or another hash that a conversation keeps.
    pub prefix: Option<u64>,
    /// Where the call belongs, because of what it refers to.
    pub affinity: Option<Affinity>,
}

/// A call belongs to a deployment and a key: it refers to what only they have (a stored response, a file), or it holds what
/// only they can read (sealed thoughts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affinity {
    /// The deployment: [`super::Attempt::deployment`] of the call that made it.
    pub deployment: DeploymentId,
    /// The key: [`super::Attempt::key`] of that call.
    pub key: KeyUid,
    /// What becomes of the call if they cannot be had.
    pub strictness: Strictness,
}

/// What becomes of a call that cannot go where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// It goes nowhere else: it ends, or waits where it would wait for a retry. For what is stored there.
    Must,
    /// It goes elsewhere, and the attempt says so ([`super::AffinityKept::Lost`]). For thoughts, which can be left out.
    Prefer,
}

/// A key in a pool.
#[derive(Debug)]
pub(super) struct PoolKey {
    pub(super) uid: KeyUid,
    pub(super) name: Box<str>,
    pub(super) weight: u32,
    pub(super) limits: Option<LimitsId>,
    pub(super) state: Arc<Key>,
}

/// A provider.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) uid: ProviderUid,
    pub(super) name: Box<str>,
    /// The kind under which the catalogue has its models.
    pub(super) catalogue: Box<str>,
    pub(super) region: Option<Box<str>>,
    pub(super) scope: LimitScope,
    pub(super) keys: Vec<PoolKey>,
    pub(super) key_ring: Ring,
    pub(super) direct: Direct,
}

/// What a target costs.
#[derive(Debug)]
pub(super) enum Cost {
    /// Not asked for, or not known.
    Unknown,
    /// As the configuration says.
    Given(Price),
    /// As the catalogue says.
    Listed(Box<Row>),
}

/// A model at a provider, as one of a route's targets.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) deployment: Arc<Deployment>,
    pub(super) provider: u16,
    pub(super) model: Box<str>,
    pub(super) weight: u32,
    /// Tokens of input and output together; none where it is not known.
    pub(super) context_tokens: Option<u64>,
    pub(super) input_tokens_max: Option<u64>,
    pub(super) cost: Cost,
    /// One for each key of the provider, in its order.
    pub(super) lanes: Vec<Arc<Lane>>,
}

impl Target {
    /// Whether a call fits; none where the limits are not known. `beyond`: a context of this size was too small.
    pub(super) fn fits(&self, need: &Need, beyond: u64) -> Option<bool> {
        if self.context_tokens.is_none() && self.input_tokens_max.is_none() {
            return None;
        }
        let whole = need.input_tokens.saturating_add(need.output_tokens);
        let context = self.context_tokens.is_none_or(|tokens| tokens >= whole && tokens > beyond);
        Some(context && self.input_tokens_max.is_none_or(|tokens| tokens >= need.input_tokens))
    }

    /// What a call costs, in 10^-15 USD; the largest number where that is not known: it is never assumed to be little.
    pub(super) fn cost(&self, need: &Need) -> u128 {
        let price = match &self.cost {
            Cost::Unknown => None,
            Cost::Given(price) => Some(price),
            Cost::Listed(row) => row.price_at(need.unix_s),
        };
        let rate = |price: &Price, dimension| {
            price.rate(Slot { service: Service::Standard, dimension }, need.input_tokens).ok()
        };
        let cost = price.and_then(|price| {
            let (input, output) = (rate(price, Dimension::Input)?, rate(price, Dimension::Output)?);
            let of = |rate: u64, tokens: u64| u128::from(rate) * u128::from(tokens);
            of(input.0, need.input_tokens).checked_add(of(output.0, need.output_tokens))
        });
        cost.unwrap_or(u128::MAX)
    }
}

/// A model as callers name it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: Box<str>,
    /// The caller named the model at the provider itself.
    pub(super) is_direct: bool,
    pub(super) tenants: Tenants,
    pub(super) targets: Vec<Target>,
    pub(super) ring: Ring,
    pub(super) strategy: Strategy,
    /// By cause, the number of the route.
    pub(super) fallbacks: Vec<(Causes, u32)>,
    pub(super) timeouts: Timeouts,
    pub(super) retries: Retries,
    pub(super) budget: RetrySpec,
    pub(super) cooldown: Cooldown,
    pub(super) calls: Arc<Calls>,
}

/// A name that was resolved: where a call of it begins.
#[derive(Debug, Clone, Copy)]
pub struct Resolved<'a> {
    pub(super) route: &'a Route,
    /// The model that the caller named at a provider whose catalogue does not have it.
    pub(super) unlisted: Option<&'a str>,
}

impl<'a> Resolved<'a> {
    /// The model's name, as configured; `provider/model` for one that was named so or that the catalogue led to; and
    /// `provider/` for one that is in no catalogue.
    pub fn name(&self) -> &'a str {
        &self.route.name
    }

    /// Whether [`Need::prefix`] matters.
    pub fn wants_prefix(&self) -> bool {
        self.route.strategy == Strategy::PrefixHash
    }
}

/// The state of a target, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetView<'a> {
    /// The name of its provider.
    pub provider: &'a str,
    /// The model there.
    pub model: &'a str,
    /// Which it is.
    pub deployment: DeploymentId,
    /// Attempts under way, on the whole node.
    pub busy: u32,
    /// Whether it may be called now: it does not rest, and neither do all of its keys.
    pub available: bool,
    /// The time to the first token of late; none as long as there was none.
    pub first_token_ns: Option<u64>,
}

/// A configuration of routing, made for calls.
#[derive(Debug)]
pub struct Plan {
    pub(super) providers: Vec<Provider>,
    pub(super) provider_names: HashMap<Box<str>, u16>,
    pub(super) routes: Vec<Route>,
    /// By name, the routes of it; no tenant has two.
    pub(super) names: HashMap<Box<str>, Vec<u32>>,
    /// Names of the catalogue whose makers' own providers are configured.
    pub(super) bare: HashMap<Box<str>, Bare>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) registry: Registry,
}

impl Plan {
    /// Makes a plan. What `registry` knows of the same deployments, keys and models stays known.
    ///
    /// # Errors
    /// All that is wrong with the configuration.
    pub fn compile(
        spec: &Spec,
        catalogue: &Arc<Catalogue>,
        kinds: &Providers,
        registry: &Registry,
    ) -> Result<Plan, Vec<Problem>> {
        let problems = problems(spec, kinds);
        if !problems.is_empty() {
            return Err(problems);
        }
        let providers: Vec<Provider> = spec
            .providers
            .iter()
            .map(|provider| compile_provider(provider, catalogue, kinds, registry))
            .collect();
        let provider_names = spec.providers.iter().map(|provider| Box::from(provider.name.as_str()));
        let mut plan = Plan {
            provider_names: provider_names.zip(0u16..).collect(),
            bare: Bare::all(&providers, catalogue),
            providers,
            routes: Vec::with_capacity(spec.models.len()),
            names: HashMap::new(),
            catalogue: Arc::clone(catalogue),
            registry: registry.clone(),
        };
        plan.open_unlisted();
        for model in &spec.models {
            let route = plan.compile_model(model);
            let number = plan.routes.len() as u32;
            plan.names.entry(model.name.as_str().into()).or_default().push(number);
            plan.routes.push(route);
        }
        for (number, model) in spec.models.iter().enumerate() {
            let fallbacks = model
                .fallbacks
                .iter()
                .filter_map(|fallback| Some((fallback.on, plan.fallback(&model.tenants, &fallback.to)?)));
            plan.routes[number].fallbacks = fallbacks.collect::<Vec<_>>();
        }
        Ok(plan)
    }

    fn compile_model(&self, model: &ModelSpec) -> Route {
        let targets = model.targets.iter().filter_map(|target| {
            let provider = *self.provider_names.get(target.provider.as_str())?;
            let mut compiled = self.target(provider, &target.model, u32::from(target.weight));
            if model.strategy == Strategy::LowestCost {
                compiled.cost = match (&model.price, self.row(provider, &target.model)) {
                    (Some(price), _) => Cost::Given(price.clone()),
                    (None, Some(row)) => Cost::Listed(Box::new(row.clone())),
                    (None, None) => Cost::Unknown,
                };
            }
            Some(compiled)
        });
        let targets: Vec<Target> = targets.collect();
        let mut tenants = model.tenants.clone();
        if let Tenants::Only(only) = &mut tenants {
            only.sort_unstable();
        }
        Route {
            name: model.name.as_str().into(),
            is_direct: false,
            tenants,
            ring: ring(targets.iter().map(|target| (target.deployment.id.0, target.weight))),
            targets,
            strategy: model.strategy,
            fallbacks: Vec::new(),
            timeouts: model.timeouts,
            retries: model.retries,
            budget: model.budget,
            cooldown: model.cooldown,
            calls: self.registry.calls(CallsOf::Model(model.uid)),
        }
    }

    /// A route to one model at one provider, with the defaults of all else.
    pub(super) fn direct_route(&self, provider: u16, model: &str) -> Route {
        let target = self.target(provider, model, 1);
        Route {
            name: format!("{}/{model}", self.providers[usize::from(provider)].name).into(),
            is_direct: true,
            tenants: Tenants::All,
            ring: Ring::default(),
            calls: self.registry.calls(CallsOf::Direct(target.deployment.id)),
            targets: vec![target],
            strategy: Strategy::Weighted,
            fallbacks: Vec::new(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            budget: RetrySpec::default(),
            cooldown: Cooldown::default(),
        }
    }

    pub(super) fn row(&self, provider: u16, model: &str) -> Option<&Row> {
        let provider = &self.providers[usize::from(provider)];
        self.catalogue.row_in(&provider.catalogue, provider.region.as_deref().unwrap_or(""), model)
    }

    fn target(&self, provider: u16, model: &str, weight: u32) -> Target {
        let at = &self.providers[usize::from(provider)];
        let id = DeploymentId::of(at.uid, model);
        let row = self.row(provider, model);
        Target {
            deployment: self.registry.deployment(id),
            provider,
            model: model.into(),
            weight,
            context_tokens: row.and_then(Row::context_tokens),
            input_tokens_max: row.and_then(Row::input_tokens_max),
            cost: Cost::Unknown,
            lanes: at.keys.iter().map(|key| self.registry.lane(id, key.uid)).collect(),
        }
    }

    /// The number of the route that a fallback leads to; a model at a provider gets a route of its own.
    fn fallback(&mut self, tenants: &Tenants, to: &str) -> Option<u32> {
        let named = self.names.get(to).into_iter().flatten();
        let mut visible = named.filter(|number| self.routes[**number as usize].tenants.covers(tenants));
        if let Some(number) = visible.next() {
            return Some(*number);
        }
        let (provider, model) = to.split_once('/')?;
        let route = self.direct_route(*self.provider_names.get(provider)?, model);
        self.routes.push(route);
        Some(self.routes.len() as u32 - 1)
    }

    pub(super) fn provider(&self, target: &Target) -> &Provider {
        &self.providers[usize::from(target.provider)]
    }

    /// The targets of a name with their states, for people.
    pub fn targets<'a>(
        &'a self,
        resolved: Resolved<'a>,
        now_ns: u64,
    ) -> impl Iterator<Item = TargetView<'a>> {
        resolved.route.targets.iter().map(move |target| {
            let provider = self.provider(target);
            let mut lanes = target.lanes.iter().zip(&provider.keys);
            let open = |rest: &super::rest::Rest| !matches!(rest.look(now_ns), Look::Resting { .. });
            let any = lanes.any(|(lane, key)| open(&lane.rest) && open(&key.state.rest));
            TargetView {
                provider: &provider.name,
                model: &target.model,
                deployment: target.deployment.id,
                busy: target.deployment.busy.load(Relaxed),
                available: open(&target.deployment.rest) && any,
                first_token_ns: target.deployment.latency.expected_ns(),
            }
        })
    }

    /// Calls of a name under way, and how many of them are retried: what its retry budget goes by.
    pub fn calls(&self, resolved: Resolved<'_>) -> (u32, u32) {
        resolved.route.calls.counts()
    }
}

/// A ring over things with identities and weights.
fn ring(of: impl Iterator<Item = (u64, u32)> + Clone) -> Ring {
    let most = of.clone().map(|(_, weight)| weight).max().unwrap_or(1).max(1);
    let scale = |weight: u32| {
        let scaled = if most > RING_WEIGHT_MAX { weight * RING_WEIGHT_MAX / most } else { weight };
        scaled.clamp(1, RING_WEIGHT_MAX) as u16
    };
    let mut ring = Ring::default();
    ring.rebuild((0u16..).zip(of).map(|(place, (id, weight))| {
        let spec = penstock_balance::TargetSpec { id: TargetId(id), weight: scale(weight), backup: false };
        (place, spec)
    }));
    ring
}

fn compile_provider(
    provider: &ProviderSpec,
    catalogue: &Catalogue,
    kinds: &Providers,
    registry: &Registry,
) -> Provider {
    let kind = kinds.get(&provider.kind);
    let listed = kind.map_or(provider.kind.as_str(), |kind| kind.catalogue.as_str());
    let keys = provider.keys.iter().map(|key| PoolKey {
        uid: key.uid,
        name: key.name.as_str().into(),
        weight: u32::from(key.weight),
        limits: key.limits,
        state: registry.key(key.uid),
    });
    let keys: Vec<PoolKey> = keys.collect();
    Provider {
        uid: provider.uid,
        name: provider.name.as_str().into(),
        catalogue: listed.into(),
        region: provider.region.as_deref().map(Box::from),
        // Where it is not documented: what is known for sure, that this model at this key is limited.
        scope: kind.and_then(|kind| kind.rate_limit.per()).unwrap_or(LimitScope::Model),
        key_ring: ring(keys.iter().map(|key| (key.uid.0, key.weight))),
        keys,
        direct: Direct::new(catalogue, listed, provider.region.as_deref().unwrap_or("")),
    }
}

/// Everything that is wrong with a configuration; nothing if a plan can be made of it.
pub fn problems(spec: &Spec, kinds: &Providers) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec.providers.len() > PROVIDERS_MAX {
        problems.push(Problem::Providers(spec.providers.len()));
    }
    if spec.models.len() > MODELS_MAX {
        problems.push(Problem::Models(spec.models.len()));
    }
    if !problems.is_empty() {
        return problems;
    }
    let mut names: HashMap<&str, &ProviderSpec> = HashMap::new();
    for provider in &spec.providers {
        problems_of_provider(provider, kinds, &mut problems);
        if names.insert(&provider.name, provider).is_some() {
            problems.push(Problem::ProviderTwice(provider.name.clone()));
        }
    }
    problems_of_keys(spec, &mut problems);
    let mut models: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, model) in spec.models.iter().enumerate() {
        problems_of_model(model, &names, &mut problems);
        let same = models.entry(&model.name).or_default();
        if same.iter().any(|other| spec.models[*other].tenants.meets(&model.tenants)) {
            problems.push(Problem::ModelTwice(model.name.clone()));
        }
        same.push(number);
    }
    let mut falls = vec![Vec::new(); spec.models.len()];
    for (model, falls) in spec.models.iter().zip(&mut falls) {
        for fallback in &model.fallbacks {
            match fallback_of(spec, model, &fallback.to, &models, &names) {
                Ok(to) => falls.extend(to),
                Err(problem) => problems.push(problem),
            }
        }
    }
    let named = |way: Vec<usize>| way.into_iter().map(|number| spec.models[number].name.clone()).collect();
    problems.extend(chain::faults(&falls).into_iter().map(|fault| match fault {
        Fault::Cycle(way) => Problem::Cycle(named(way)),
        Fault::Depth(way) => Problem::Depth(named(way)),
    }));
    problems
}

fn problems_of_provider(provider: &ProviderSpec, kinds: &Providers, problems: &mut Vec<Problem>) {
    let name = &provider.name;
    if name.is_empty() || name.contains('/') || name.len() > NAME_BYTES_MAX {
        problems.push(Problem::ProviderName(name.clone()));
    }
    if kinds.get(&provider.kind).is_none() {
        problems.push(Problem::UnknownKind { provider: name.clone(), kind: provider.kind.clone() });
    }
    if provider.keys.is_empty() || provider.keys.len() > KEYS_MAX {
        problems.push(Problem::Keys { provider: name.clone(), keys: provider.keys.len() });
    }
    for key in provider.keys.iter().filter(|key| key.weight == 0) {
        problems.push(Problem::Weight { of: format!("key `{}` of provider `{name}`", key.name) });
    }
}

/// A key's state follows its identity, so two keys must not share one.
fn problems_of_keys(spec: &Spec, problems: &mut Vec<Problem>) {
    let mut seen = std::collections::HashSet::new();
    for provider in &spec.providers {
        for key in provider.keys.iter().filter(|key| !seen.insert(key.uid)) {
            problems.push(Problem::KeyTwice { provider: provider.name.clone(), key: key.name.clone() });
        }
    }
}

fn problems_of_model(
    model: &ModelSpec,
    providers: &HashMap<&str, &ProviderSpec>,
    problems: &mut Vec<Problem>,
) {
    let name = || model.name.clone();
    if model.name.is_empty() || model.name.len() > NAME_BYTES_MAX {
        problems.push(Problem::ModelName(name()));
    }
    if let Some((before, _)) = model.name.split_once('/')
        && providers.contains_key(before)
    {
        problems.push(Problem::ModelNameOfProvider { model: name(), provider: before.to_owned() });
    }
    if model.targets.is_empty() || model.targets.len() > TARGETS_MAX {
        problems.push(Problem::Targets { model: name(), targets: model.targets.len() });
    }
    for (number, target) in model.targets.iter().enumerate() {
        let shown = format!("{}/{}", target.provider, target.model);
        if !providers.contains_key(target.provider.as_str()) {
            let near = nearest_one(&target.provider, providers.keys().copied());
            problems.push(Problem::UnknownProvider {
                model: name(),
                provider: target.provider.clone(),
                near,
            });
        }
        if target.model.is_empty() {
            let provider = target.provider.clone();
            problems.push(Problem::TargetWithoutModel { model: name(), provider });
        }
        if target.weight == 0 {
            problems.push(Problem::Weight { of: format!("target `{shown}` of model `{}`", model.name) });
        }
        let same = |other: &TargetSpec| other.provider == target.provider && other.model == target.model;
        if model.targets[..number].iter().any(same) {
            problems.push(Problem::TargetTwice { model: name(), target: shown });
        }
    }
    let mut taken = Causes::NONE;
    for fallback in &model.fallbacks {
        if fallback.on.is_empty() {
            problems.push(Problem::FallbackOnNothing { model: name(), to: fallback.to.clone() });
        }
        if let Some(cause) = taken.both(fallback.on).iter().next() {
            problems.push(Problem::FallbackTwice { model: name(), cause: cause.name() });
        }
        taken = taken.either(fallback.on);
    }
    if !(1..=ATTEMPTS_MAX).contains(&model.retries.attempts) {
        problems.push(Problem::Attempts(name()));
    }
    let Timeouts { first_token_ns, idle_ns, total_ns } = model.timeouts;
    for (what, ns) in [("first_token", first_token_ns), ("idle", idle_ns), ("total", total_ns)] {
        if !(1..=TIMEOUT_NS_MAX).contains(&ns) {
            problems.push(Problem::Timeout { model: name(), what });
        }
    }
    if model.cooldown.after == 0 || !(1..=COOLDOWN_NS_MAX).contains(&model.cooldown.for_ns) {
        problems.push(Problem::Cooldown(name()));
    }
    if model.budget.percent > 100 {
        problems.push(Problem::Budget(name()));
    }
}

/// The model that a fallback leads to; none for a model at a provider.
fn fallback_of(
    spec: &Spec,
    model: &ModelSpec,
    to: &str,
    models: &HashMap<&str, Vec<usize>>,
    providers: &HashMap<&str, &ProviderSpec>,
) -> Result<Option<usize>, Problem> {
    let named = models.get(to).map(Vec::as_slice).unwrap_or_default();
    if let Some(number) = named.iter().find(|number| spec.models[**number].tenants.covers(&model.tenants)) {
        return Ok(Some(*number));
    }
    if !named.is_empty() {
        let may = |tenant: &TenantId| named.iter().any(|number| spec.models[*number].tenants.has(*tenant));
        let tenant = match &model.tenants {
            Tenants::All => None,
            Tenants::Only(only) => only.iter().copied().find(|tenant| !may(tenant)),
        };
        return Err(Problem::Hidden { model: model.name.clone(), to: to.to_owned(), tenant });
    }
    match to.split_once('/') {
        Some((provider, at)) if providers.contains_key(provider) && !at.is_empty() => Ok(None),
        _ => {
            let near = nearest_one(to, models.keys().copied());
            Err(Problem::UnknownModel { model: model.name.clone(), to: to.to_owned(), near })
        }
    }
}
