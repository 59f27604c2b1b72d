//! The AI half as the gate takes it.

use std::sync::Arc;
use std::time::Duration;

use penstock_ai::catalogue::PriceSpec;
use penstock_ai::endpoint::Endpoint;
use penstock_ai::provider::{Operation, Providers, Values};
use penstock_ai::routing::{
    self, Allowed, Causes, FallbackSpec, ModelSpec, ModelUid, Retries, TargetSpec, Timeouts,
};
use penstock_gate::spec;

use super::services::{UNNAMED, cross_origin};
use super::{Compiler, Kind, small, uid};
use crate::grammar::ai::{Cause, Model, OnLoss, OnUnknownPrice, Provider, ProviderSecret};
use crate::inherit::{AiStanding, ai_services, tenant_of};
use crate::place::At;
use crate::read::Word;
use crate::read::network::TargetUrl;

/// Time for a connection to a provider, TLS included.
pub const PROVIDER_CONNECT: Duration = Duration::from_secs(10);

/// What fills the placeholders of a provider's URLs, as far as it is written.
pub(crate) fn provider_values(provider: &Provider) -> Vec<(&'static str, &str)> {
    [
        ("region", &provider.region),
        ("resource", &provider.resource),
        ("project", &provider.project),
        ("location", &provider.location),
        ("account", &provider.account),
        ("host", &provider.host),
        ("api_version", &provider.api_version),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.as_ref()?.value.0.as_str())))
    .collect()
}

/// Scheme, host and port of a provider; none for one that checking refuses.
fn origin(provider: &Provider) -> Option<TargetUrl> {
    let kind = Providers::shared().get(&provider.kind.value.0)?;
    let mut given = provider_values(provider);
    given.extend([("model", "model"), ("deployment", "model")]);
    let values =
        Values { base_url: provider.base_url.as_ref().map(|url| url.value.0.as_str()), given: &given };
    let url = kind
        .conversation_url(kind.dialect(), false, &values)
        .or_else(|_| kind.url(Operation::Embeddings, &values))
        .ok()?;
    let host = url.find("://")? + 3;
    let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
    TargetUrl::parse(&url[..end]).ok()
}

impl Compiler<'_> {
    pub(super) fn ai(&mut self) -> spec::Ai {
        let file = &self.configuration.file;
        spec::Ai {
            providers: file.providers.value.iter().map(|provider| self.provider(provider)).collect(),
            models: file.models.value.iter().map(|model| self.model(model)).collect(),
        }
    }

    fn provider(&mut self, provider: &At<Provider>) -> spec::Provider {
        let name = provider.name.value.0.as_str();
        let (id, uid) = self.name(Kind::Provider, &[name], name, provider.name.pos);
        let keys = provider.keys.value.iter().enumerate().map(|(n, key)| {
            let shown = key.name.as_ref().map_or_else(|| (n + 1).to_string(), |own| own.value.0.clone());
            let (id, uid) =
                self.name(Kind::ProviderKey, &[name, &shown], &format!("{name}/{shown}"), key.place);
            let text = |at: &Option<At<ProviderSecret>>| at.as_ref().and_then(|at| at.value.0.clone());
            let secret =
                match (text(&key.value.value), text(&key.access_key_id), text(&key.secret_access_key)) {
                    (Some(secret), ..) => spec::ProviderSecret::Key(secret),
                    (None, Some(access_key_id), Some(secret_access_key)) => spec::ProviderSecret::Aws {
                        access_key_id,
                        secret_access_key,
                        session_token: text(&key.session_token),
                    },
                    _ => spec::ProviderSecret::None,
                };
            spec::ProviderKey { id, uid, name: shown, weight: small(key.weight.value.0), secret }
        });
        let mut keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            let (id, uid) = self.name(Kind::ProviderKey, &[name, ""], name, provider.name.pos);
            keys.push(spec::ProviderKey {
                id,
                uid,
                name: String::new(),
                weight: 1,
                secret: spec::ProviderSecret::None,
            });
        }
        spec::Provider {
            id,
            uid,
            name: name.to_owned(),
            kind: provider.kind.value.0.clone(),
            upstream: self.refer(Kind::Upstream, &upstream_names(name), name),
            base_url: provider.base_url.as_ref().map(|url| url.value.0.clone()),
            values: provider_values(provider)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            deployments: provider
                .deployments
                .value
                .0
                .iter()
                .map(|(model, deployment)| (model.value.0.clone(), deployment.value.0.clone()))
                .collect(),
            keys,
        }
    }

    /// Each provider is an upstream of one target. What it answers is judged by the routing of models, so that neither
    /// breaker nor ejection of the upstream comes in between.
    pub(super) fn provider_upstreams(&mut self) -> Vec<spec::Upstream> {
        let file = &self.configuration.file;
        file.providers.value.iter().filter_map(|provider| self.provider_upstream(provider)).collect()
    }

    fn provider_upstream(&mut self, provider: &At<Provider>) -> Option<spec::Upstream> {
        let name = provider.name.value.0.as_str();
        let url = origin(provider)?;
        let (id, uid) = self.name(Kind::Upstream, &upstream_names(name), name, provider.name.pos);
        let (target_id, target_uid) =
            self.name(Kind::Target, &["provider", name, &url.text], &url.text, provider.name.pos);
        let target = spec::Target {
            id: target_id,
            uid: target_uid,
            name: url.text.clone(),
            scheme: url.scheme,
            address: url.address,
            weight: 1,
            backup: false,
        };
        Some(spec::Upstream {
            id,
            uid,
            name: name.to_owned(),
            targets: vec![target],
            balance: spec::Balance::RoundRobin,
            health: None,
            passive_health: None,
            timeouts: spec::Timeouts { connect: PROVIDER_CONNECT, ..spec::Timeouts::default() },
            pool: spec::Pool {
                per_target_max: small(provider.max_connections.value.0),
                ..spec::Pool::default()
            },
            retries: spec::Retries { max: 1, ..spec::Retries::default() },
            breaker: None,
            tls: self.upstream_tls(&provider.tls.value),
            host_header: spec::HostHeader::Target,
        })
    }

    fn model(&mut self, model: &At<Model>) -> spec::Model {
        let name = model.name.value.0.as_str();
        let (id, uid) = self.name(Kind::Model, &[name], name, model.name.pos);
        spec::Model { id, uid, spec: model_spec(model) }
    }

    pub(super) fn ai_routes(&mut self) -> Vec<spec::Route> {
        let configuration = self.configuration;
        ai_services(&configuration.file).flat_map(|standing| self.routes_of_ai(&standing)).collect()
    }

    fn routes_of_ai(&mut self, standing: &AiStanding<'_>) -> Vec<spec::Route> {
        let file = &self.configuration.file;
        let ai = standing.ai;
        let tenant = tenant_of(file, &standing.service.team);
        let service_name = standing.service.name.value.0.as_str();
        let in_force = standing.in_force();
        let service = Arc::new(spec::AiService {
            prefix: ai.prefix.value.0.clone(),
            // Each pattern has been read.
            models: Allowed::new(
                &ai.models.value.iter().map(|pattern| &*pattern.value.0).collect::<Vec<_>>(),
            )
            .unwrap_or_default(),
            on_loss: match ai.on_loss.value {
                OnLoss::Tell => spec::OnLoss::Tell,
                OnLoss::Refuse => spec::OnLoss::Refuse,
            },
            on_unknown_price: match ai.on_unknown_price.value {
                OnUnknownPrice::Deny => spec::OnUnknownPrice::Deny,
                OnUnknownPrice::Estimate => spec::OnUnknownPrice::Estimate,
                OnUnknownPrice::Flag => spec::OnUnknownPrice::Flag,
            },
        });
        let mut routes = Vec::with_capacity(Endpoint::ALL.len());
        for endpoint in Endpoint::ALL {
            let name = format!("ai-{}", endpoint.name());
            let shown = format!("{service_name}/{name}");
            let (id, uid) = self.name(
                Kind::Route,
                &[tenant, service_name, UNNAMED, &name],
                &shown,
                standing.service.name.pos,
            );
            let mut auth = self.auth(&in_force);
            if let spec::Auth::Any(methods) | spec::Auth::All(methods) = &mut auth {
                methods.iter_mut().for_each(read_keys_where_sdks_put_them);
            }
            routes.push(spec::Route {
                id,
                uid,
                name,
                service: self.refer(Kind::Service, &[tenant, service_name], service_name),
                version: self.refer(Kind::Version, &[tenant, service_name, UNNAMED], UNNAMED),
                matches: spec::Match {
                    hosts: ai.hosts.value.iter().map(|host| host.value.0.clone()).collect(),
                    path: format!("{}{}", service.prefix, endpoint.path()),
                    methods: vec![endpoint.method().to_owned()],
                    ..spec::Match::default()
                },
                path_policy: spec::PathPolicy::default(),
                to: spec::To::Ai(spec::AiRoute { endpoint, service: service.clone() }),
                rewrite: None,
                headers: spec::RouteHeaders::default(),
                body: super::services::body(&in_force),
                auth,
                authorize: super::services::authorize(&in_force),
                ip: super::services::ip(&in_force),
                cors: in_force.cors.as_ref().map(|cors| cross_origin(&cors.at.value)),
                limits: Vec::new(),
                timeouts: spec::TimeoutsOverride::default(),
                identity_headers: Vec::new(),
                ratelimit_headers: true,
                expose_revision: false,
            });
        }
        routes
    }
}

/// A provider's upstream is apart from an upstream of the same name.
fn upstream_names(name: &str) -> [&str; 2] {
    ["provider", name]
}

/// A model as routing takes it. Prices that do not go together have been refused.
pub(crate) fn model_spec(model: &Model) -> ModelSpec {
    let name = model.name.value.0.as_str();
    let causes = |list: &At<Vec<At<Cause>>>| {
        list.value.iter().fold(Causes::NONE, |all, cause| all.either(Causes::of(&[why(cause.value)])))
    };
    let ns = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let price = model.prices.as_ref().and_then(|prices| {
        let mut spec = PriceSpec::default();
        for (above, name, rate) in prices.rates() {
            spec.set(above, name, &rate.value.0).ok()?;
        }
        spec.build().ok()
    });
    ModelSpec {
        targets: model
            .targets
            .value
            .iter()
            .map(|target| TargetSpec {
                provider: target.provider.value.0.clone(),
                model: target.model.value.0.clone(),
                weight: u16::try_from(target.weight.value.0).unwrap_or(u16::MAX),
            })
            .collect(),
        strategy: routing::Strategy::from_name(&model.strategy.value.show()).unwrap_or_default(),
        fallbacks: model
            .fallbacks
            .value
            .iter()
            .map(|fallback| FallbackSpec { on: causes(&fallback.on), to: fallback.to.value.0.clone() })
            .collect(),
        timeouts: Timeouts {
            first_token_ns: ns(model.timeouts.first_token.value.0),
            idle_ns: ns(model.timeouts.idle.value.0),
            total_ns: ns(model.timeouts.total.value.0),
        },
        retries: Retries {
            attempts: u8::try_from(model.retries.attempts.value.0).unwrap_or(u8::MAX),
            on: causes(&model.retries.on),
            honour_retry_after: model.retries.honour_retry_after.value,
        },
        cooldown: routing::Cooldown {
            after: small(model.cooldown.after.value.0),
            for_ns: ns(model.cooldown.r#for.value.0),
        },
        price,
        ..ModelSpec::new(ModelUid(uid(Kind::Model, &[name]).0), name)
    }
}

fn why(cause: Cause) -> routing::Cause {
    match cause {
        Cause::ConnectFailure => routing::Cause::ConnectFailure,
        Cause::RateLimit => routing::Cause::RateLimit,
        Cause::ServerError => routing::Cause::ServerError,
        Cause::Timeout => routing::Cause::Timeout,
        Cause::ContextWindow => routing::Cause::ContextWindow,
        Cause::ContentPolicy => routing::Cause::ContentPolicy,
        Cause::Authentication => routing::Cause::Authentication,
    }
}

/// Where no places are written, an API key is read where one of the SDKs puts it: `Authorization: Bearer`, `x-api-key`
/// (Anthropic), `x-goog-api-key` and `?key=` (Google), `api-key` (Azure).
fn read_keys_where_sdks_put_them(method: &mut spec::AuthMethod) {
    if let spec::AuthMethod::ApiKey { places } = method
        && *places == spec::KeyPlace::defaults()
    {
        *places = ["x-api-key", "x-goog-api-key", "api-key"]
            .map(|name| spec::KeyPlace::Header(name.to_owned()))
            .into_iter()
            .chain([spec::KeyPlace::BearerAnyForm, spec::KeyPlace::Query("key".to_owned())])
            .collect();
    }
}
