//! Providers, models and prices of one configuration, as workers look them up. Made on the control side, never changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::sigv4::AwsKeys;
use penstock_ai::catalogue::{
    Billed, Catalogue, Dimension, NanoUsd, Price, PriceId, PriceSpec, Row, Unpriced,
};
use penstock_ai::dialect::Dialect;
use penstock_ai::provider::{self, Api, Auth, Media, Providers, UrlError, Values};
use penstock_gate::Snapshot;
use penstock_gate::spec::{self, Id, ModelTimeouts, ProviderSecret};

/// Candidates that are named to a caller whose model is not known.
pub const CANDIDATES_MAX: usize = 8;

/// Why a configuration of providers and models cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{what} `{name}`: {why}")]
pub struct DirectoryError {
    /// What it is.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub why: String,
}

impl DirectoryError {
    fn new(what: &'static str, name: &str, why: impl ToString) -> Self {
        Self { what, name: name.to_owned(), why: why.to_string() }
    }
}

/// Everything that the AI routes of a configuration look up.
#[derive(Debug, Default)]
pub struct Directory {
    providers: Vec<ProviderRule>,
    models: HashMap<Box<str>, ModelRule>,
    catalogue: Option<Arc<Catalogue>>,
}

/// A provider that is configured.
#[derive(Debug)]
pub struct ProviderRule {
    /// As it is configured.
    pub spec: spec::Provider,
    /// What is known of its kind.
    pub kind: &'static provider::Provider,
    /// Index of its upstream in the snapshot.
    pub upstream: usize,
    keys: Vec<KeyRule>,
}

/// A key of a provider with the lines that it adds to a head.
struct KeyRule {
    id: Id,
    /// By API of the kind.
    shown: Vec<Shown>,
}

/// How a key is shown to an API.
#[derive(Default)]
pub struct Shown {
    /// Whole lines of the head: what the API asks for, and the key.
    pub lines: Box<[u8]>,
    /// What is added to the query.
    pub query: Box<str>,
    /// The keys that requests are signed with, for which service, in which region.
    pub signs: Option<(AwsKeys, Box<str>, Box<str>)>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown(..)")
    }
}

impl std::fmt::Debug for KeyRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRule").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A name of a model.
#[derive(Debug)]
struct ModelRule {
    id: Id,
    targets: Vec<(usize, Box<str>)>,
    timeouts: ModelTimeouts,
    price: Option<(PriceId, Price)>,
}

/// Where a call goes.
#[derive(Debug, Clone)]
pub struct Deployment<'d> {
    /// The provider.
    pub provider: &'d ProviderRule,
    /// The model, as the provider names it.
    pub model: &'d str,
    /// Dictionary id of the name in `models:`, 0 where none was used.
    pub model_id: Id,
    /// Patience.
    pub timeouts: ModelTimeouts,
    price: Option<&'d (PriceId, Price)>,
}

/// Why a name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// Nobody has it; these come near.
    Unknown(Vec<String>),
    /// Several have it.
    Ambiguous(Vec<String>),
}

impl Directory {
    /// Of a configuration. The catalogue is the one in force.
    ///
    /// # Errors
    /// Something that checking would have refused.
    pub fn new(snapshot: &Snapshot, catalogue: Option<Arc<Catalogue>>) -> Result<Self, DirectoryError> {
        let ai = &*snapshot.ai;
        let mut providers = Vec::with_capacity(ai.providers.len());
        for spec in &ai.providers {
            let fault = |why: &str| DirectoryError::new("provider", &spec.name, why);
            let kind = Providers::shared().get(&spec.kind).ok_or_else(|| fault("unknown kind"))?;
            let upstream = snapshot.upstreams().iter().position(|upstream| upstream.id == spec.upstream);
            let upstream = upstream.ok_or_else(|| fault("has no upstream"))?;
            let keys = spec.keys.iter().map(|key| KeyRule::new(key, spec, kind)).collect();
            providers.push(ProviderRule { spec: spec.clone(), kind, upstream, keys });
        }
        let mut models = HashMap::with_capacity(ai.models.len());
        for model in &ai.models {
            models.insert(model.name.as_str().into(), ModelRule::new(model, &providers)?);
        }
        Ok(Self { providers, models, catalogue })
    }

    /// Where calls of a model go that a caller names, in the order in which they are tried.
    ///
    /// # Errors
    /// Nowhere.
    pub fn resolve<'d>(&'d self, name: &'d str) -> Result<Vec<Deployment<'d>>, Unresolved> {
        if let Some(model) = self.models.get(name) {
            let targets = model.targets.iter().map(|(at, target)| Deployment {
                model_id: model.id,
                timeouts: model.timeouts,
                price: model.price.as_ref(),
                ..Deployment::of(&self.providers[*at], target)
            });
            return Ok(targets.collect());
        }
        if let Some((provider, model)) = name.split_once('/')
            && !model.is_empty()
            && let Some(provider) = self.providers.iter().find(|rule| rule.spec.name == provider)
        {
            return Ok(vec![Deployment::of(provider, model)]);
        }
        let makers = self.catalogue.iter().flat_map(|catalogue| catalogue.candidates(name));
        let makers: Vec<&str> =
            makers.filter(|row| row.is_own() && row.model() == name).map(|row| row.provider()).collect();
        let own: Vec<&ProviderRule> =
            self.providers.iter().filter(|rule| makers.contains(&rule.kind.catalogue.as_str())).collect();
        match own[..] {
            [only] => Ok(vec![Deployment::of(only, name)]),
            [] => Err(Unresolved::Unknown(self.names().take(CANDIDATES_MAX).map(str::to_owned).collect())),
            _ => Err(Unresolved::Ambiguous(
                own.iter().map(|own| format!("{}/{name}", own.spec.name)).collect(),
            )),
        }
    }

    /// The names in `models:`, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.models.keys().map(|name| &**name).collect();
        names.sort_unstable();
        names.into_iter()
    }

    /// The row of the catalogue that holds for a deployment.
    fn row(&self, to: &Deployment<'_>) -> Option<&Row> {
        let catalogue = self.catalogue.as_ref()?;
        let (kind, spec) = (&to.provider.kind.catalogue, &to.provider.spec);
        let region = spec.values.iter().find(|(name, _)| name == "region" || name == "location");
        region
            .and_then(|(_, region)| catalogue.row_in(kind, region, to.model))
            .or_else(|| catalogue.row(kind, to.model))
    }

    /// What an attempt at a deployment costs, and the id of its price.
    ///
    /// # Errors
    /// No price is known, or not of everything that was used.
    pub fn cost(
        &self,
        to: &Deployment<'_>,
        billed: &Billed,
        unix_s: u64,
    ) -> Result<(NanoUsd, PriceId), Unpriced> {
        if let Some((id, price)) = to.price {
            return Ok((price.cost(billed)?, *id));
        }
        let timed = self.row(to).and_then(|row| row.timed_price_at(unix_s));
        let timed = timed.ok_or(Unpriced::Dimension(Dimension::Input))?;
        Ok((timed.price().cost(billed)?, timed.id()))
    }

    /// Whether a price is known.
    pub fn is_priced(&self, to: &Deployment<'_>, unix_s: u64) -> bool {
        to.price.is_some() || self.row(to).is_some_and(|row| row.price_at(unix_s).is_some())
    }

    /// Tokens of output that the model writes at most, if that is known.
    pub fn max_output(&self, to: &Deployment<'_>) -> Option<u64> {
        self.row(to).and_then(Row::output_tokens_max)
    }
}

impl ModelRule {
    fn new(model: &spec::Model, providers: &[ProviderRule]) -> Result<Self, DirectoryError> {
        let fault = |why: String| DirectoryError::new("model", &model.name, why);
        let mut targets = Vec::with_capacity(model.targets.len());
        for target in &model.targets {
            let at = providers.iter().position(|provider| provider.spec.name == target.provider);
            let at = at.ok_or_else(|| fault(format!("unknown provider `{}`", target.provider)))?;
            targets.push((at, target.model.as_str().into()));
        }
        let price = match &model.prices {
            None => None,
            Some(prices) => {
                let mut price = PriceSpec::default();
                for (above, name, rate) in &prices.rates {
                    price.set(*above, name, rate).map_err(|why| fault(why.to_string()))?;
                }
                let price = price.build().map_err(|why| fault(why.to_string()))?;
                Some((price.id(model.name.as_bytes()), price))
            }
        };
        Ok(Self { id: model.id, targets, timeouts: model.timeouts, price })
    }
}

impl ProviderRule {
    /// Whether a text holds one of its secrets.
    pub fn is_secret_in(&self, text: &str) -> bool {
        self.spec.keys.iter().any(|key| match &key.secret {
            ProviderSecret::None => false,
            ProviderSecret::Key(key) => text.contains(key.as_str()),
            ProviderSecret::Aws { secret_access_key, session_token, .. } => {
                text.contains(secret_access_key.as_str())
                    || session_token.as_ref().is_some_and(|token| text.contains(token.as_str()))
            }
        })
    }
}

impl KeyRule {
    fn new(key: &spec::ProviderKey, spec: &spec::Provider, kind: &provider::Provider) -> Self {
        Self { id: key.id, shown: kind.apis.iter().map(|api| Shown::new(&key.secret, spec, api)).collect() }
    }
}

impl Shown {
    fn new(secret: &ProviderSecret, spec: &spec::Provider, api: &Api) -> Self {
        let (mut lines, mut query, mut signs) = (Vec::new(), String::new(), None);
        for (name, value) in &api.headers {
            line(&mut lines, name, &["", value]);
        }
        match secret {
            ProviderSecret::None => {}
            ProviderSecret::Key(key) => match api.auth.iter().find(|auth| takes_a_key(auth)) {
                Some(Auth::Header { name, prefix }) => line(&mut lines, name, &[prefix, key]),
                Some(Auth::Query { name }) => query = format!("{name}={}", escaped(key)),
                Some(_) => line(&mut lines, "api-key", &["", key]),
                None => {}
            },
            ProviderSecret::Aws { access_key_id, secret_access_key, session_token } => {
                let region = spec.values.iter().find(|(name, _)| name == "region");
                let service = api.auth.iter().find_map(|auth| match auth {
                    Auth::SigV4 { service } => Some(service.as_str()),
                    _ => None,
                });
                let keys = AwsKeys {
                    access_key_id: access_key_id.clone(),
                    secret_access_key: secret_access_key.clone(),
                    session_token: session_token.clone(),
                };
                signs = region
                    .zip(service)
                    .map(|((_, region), service)| (keys, service.into(), region.as_str().into()));
            }
        }
        Self { lines: lines.into(), query: query.into(), signs }
    }
}

fn takes_a_key(auth: &Auth) -> bool {
    matches!(auth, Auth::Header { .. } | Auth::Query { .. } | Auth::AzureKey)
}

fn line(out: &mut Vec<u8>, name: &str, value: &[&str]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for part in value {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// For a value of a query (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl<'d> Deployment<'d> {
    fn of(provider: &'d ProviderRule, model: &'d str) -> Self {
        Self { provider, model, model_id: Id(0), timeouts: ModelTimeouts::default(), price: None }
    }

    /// The API that a caller of this dialect is served by: one of the same dialect if the provider has it as a thing of
    /// its own. A layer over another API that takes Chat Completions loses more than a translation does, and what comes
    /// as frames within frames is not worth it.
    pub fn api(&self, dialect: Dialect) -> (usize, &'d Api) {
        let apis = &self.provider.kind.apis;
        let own = |(at, api): &(usize, &Api)| {
            api.dialect == dialect
                && (*at == 0 || (dialect != Dialect::OpenAiChat && api.stream.media == Media::Sse))
        };
        let at = apis.iter().enumerate().find(own).map_or(0, |(at, _)| at);
        (at, &apis[at])
    }

    /// Path and query of a conversation.
    ///
    /// # Errors
    /// The provider has none of this dialect, or the model's name cannot stand in a URL.
    pub fn path(&self, api: &Api, stream: bool) -> Result<String, UrlError> {
        let spec = &self.provider.spec;
        let deployment = spec.deployments.iter().find(|(model, _)| model == self.model);
        let mut given: Vec<(&str, &str)> =
            spec.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        given.push(("model", self.model));
        given.push(("deployment", deployment.map_or(self.model, |(_, own)| own)));
        let values = Values { base_url: spec.base_url.as_deref(), given: &given };
        let mut url = self.provider.kind.conversation_url(api.dialect, stream, &values)?;
        let host = url.find("://").map_or(0, |at| at + 3);
        match url[host..].find(['/', '?']) {
            Some(at) => Ok(url.split_off(host + at)),
            None => Ok("/".to_owned()),
        }
    }

    /// A key of the provider: its id, and how it is shown.
    pub fn key(&self, api: usize) -> (Id, &'d Shown) {
        let key = &self.provider.keys[0];
        (key.id, &key.shown[api])
    }
}
