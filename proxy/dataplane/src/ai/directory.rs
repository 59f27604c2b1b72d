//! Providers, models and prices of one configuration, as workers look them up. Made on the control side, never changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::sigv4::AwsKeys;
use penstock_ai::catalogue::{Billed, Catalogue, Dimension, NanoUsd, Price, PriceId, Row, Unpriced};
use penstock_ai::dialect::Dialect;
use penstock_ai::provider::{self, Api, Auth, Media, Providers, UrlError, Values};
use penstock_ai::routing::{self, KeySpec, KeyUid, Plan, ProviderSpec, ProviderUid, Registry};
use penstock_gate::Snapshot;
use penstock_gate::limits::BoundLimits;
use penstock_gate::spec::{self, Id, ProviderSecret, Uid};

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
#[derive(Debug)]
pub struct Directory {
    /// Which provider, which model there, which key; and where next.
    pub plan: Plan,
    providers: Vec<ProviderRule>,
    by_uid: HashMap<ProviderUid, usize>,
    /// Names in `models:`, with their dictionary ids and own prices.
    models: HashMap<Box<str>, ModelRule>,
    catalogue: Arc<Catalogue>,
    no_limits: BoundLimits,
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
    uid: KeyUid,
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
    uid: Uid,
    price: Option<(PriceId, Price)>,
}

/// Where an attempt goes.
#[derive(Debug, Clone)]
pub struct Deployment<'d> {
    /// The provider.
    pub provider: &'d ProviderRule,
    /// The model, as the provider names it.
    pub model: &'d str,
    /// Dictionary id of the name in `models:`, 0 where none was used.
    pub model_id: Id,
    key: &'d KeyRule,
    price: Option<&'d (PriceId, Price)>,
}

/// What a price says of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// How much.
    pub nano: NanoUsd,
    /// By which price.
    pub price: PriceId,
}

impl Directory {
    /// Of a configuration. The catalogue is the one in force; `registry` knows what the configurations before have learned.
    ///
    /// # Errors
    /// Something that checking would have refused.
    pub fn new(
        snapshot: &Snapshot,
        catalogue: Arc<Catalogue>,
        registry: &Registry,
    ) -> Result<Self, DirectoryError> {
        let ai = &*snapshot.ai;
        let mut routing = routing::Spec::default();
        let mut providers = Vec::with_capacity(ai.providers.len());
        for spec in &ai.providers {
            let fault = |why: &str| DirectoryError::new("provider", &spec.name, why);
            let kind = Providers::shared().get(&spec.kind).ok_or_else(|| fault("unknown kind"))?;
            let upstream = snapshot.upstreams().iter().position(|upstream| upstream.id == spec.upstream);
            let upstream = upstream.ok_or_else(|| fault("has no upstream"))?;
            let keys: Vec<KeyRule> = spec.keys.iter().map(|key| KeyRule::new(key, spec, kind)).collect();
            let weight = |key: &spec::ProviderKey| u16::try_from(key.weight).unwrap_or(u16::MAX);
            routing.providers.push(ProviderSpec {
                region: region_of(spec).map(str::to_owned),
                keys: spec
                    .keys
                    .iter()
                    .map(|key| KeySpec::new(KeyUid(key.uid.0), &key.name, weight(key)))
                    .collect(),
                ..ProviderSpec::new(ProviderUid(spec.uid.0), &spec.name, &spec.kind)
            });
            providers.push(ProviderRule { spec: spec.clone(), kind, upstream, keys });
        }
        let mut models = HashMap::with_capacity(ai.models.len());
        for model in &ai.models {
            let name = model.spec.name.as_str();
            let price = model.spec.price.clone().map(|price| (price.id(name.as_bytes()), price));
            models.insert(name.into(), ModelRule { id: model.id, uid: model.uid, price });
            routing.models.push(model.spec.clone());
        }
        let plan =
            Plan::compile(&routing, &catalogue, Providers::shared(), registry).map_err(|problems| {
                let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
                DirectoryError::new("models", "", why.join("; "))
            })?;
        let by_uid =
            providers.iter().enumerate().map(|(at, rule)| (ProviderUid(rule.spec.uid.0), at)).collect();
        Ok(Self { plan, providers, by_uid, models, catalogue, no_limits: BoundLimits::default() })
    }

    /// Where an attempt goes; none for one of another plan.
    pub fn deployment<'d>(&'d self, attempt: &routing::Attempt<'d>) -> Option<Deployment<'d>> {
        let provider = &self.providers[*self.by_uid.get(&attempt.provider_uid)?];
        let key = provider.keys.iter().find(|key| key.uid == attempt.key)?;
        let rule = self.models.get(attempt.route);
        Some(Deployment {
            provider,
            model: attempt.model,
            model_id: rule.map_or(Id(0), |rule| rule.id),
            key,
            price: rule.and_then(|rule| rule.price.as_ref()),
        })
    }

    /// Limits of an owner that has none.
    pub fn no_limits(&self) -> &BoundLimits {
        &self.no_limits
    }

    /// The identity of a model that limits count by: that of its name in `models:`, or one made of the name as it was
    /// written.
    pub fn model_uid(&self, name: &str) -> Uid {
        self.models.get(name).map_or_else(|| Uid::of("model", &[name]), |rule| rule.uid)
    }

    /// The row of the catalogue that holds for a deployment.
    fn row(&self, to: &Deployment<'_>) -> Option<&Row> {
        let (catalogue, kind) = (&self.catalogue, &to.provider.kind.catalogue);
        region_of(&to.provider.spec)
            .and_then(|region| catalogue.row_in(kind, region, to.model))
            .or_else(|| catalogue.row(kind, to.model))
    }

    /// What an attempt at a deployment costs.
    ///
    /// # Errors
    /// No price is known, or not of everything that was used.
    pub fn cost(&self, to: &Deployment<'_>, billed: &Billed, unix_s: u64) -> Result<Cost, Unpriced> {
        if let Some((price, rates)) = to.price {
            return Ok(Cost { nano: rates.cost(billed)?, price: *price });
        }
        let timed = self.row(to).and_then(|row| row.timed_price_at(unix_s));
        let timed = timed.ok_or(Unpriced::Dimension(Dimension::Input))?;
        Ok(Cost { nano: timed.price().cost(billed)?, price: timed.id() })
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

/// The region or location by which prices may differ.
fn region_of(provider: &spec::Provider) -> Option<&str> {
    let named = provider.values.iter().find(|(name, _)| name == "region" || name == "location");
    named.map(|(_, region)| region.as_str())
}

impl ProviderRule {
    /// The region or location by which prices may differ.
    pub fn region(&self) -> Option<&str> {
        region_of(&self.spec)
    }

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
        Self {
            id: key.id,
            uid: KeyUid(key.uid.0),
            shown: kind.apis.iter().map(|api| Shown::new(&key.secret, spec, api)).collect(),
        }
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

    /// The dictionary id of the key.
    pub fn key_id(&self) -> Id {
        self.key.id
    }

    /// How the key is shown to an API, by the API's number.
    pub fn shown(&self, api: usize) -> &'d Shown {
        &self.key.shown[api]
    }
}
