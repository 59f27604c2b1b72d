//! Compiles one route.

use super::compile::Owners;
use super::{Backend, BalanceBy, Drops, RouteRule};
use crate::cors::{self, CorsRule};
use crate::error::{Place, Problem, SpecError};
use crate::identity::{AuthRule, KeyPlaceRule, MethodRule, hmac};
use crate::limits::BoundLimits;
use crate::router::{FieldName, PathTemplate, Segment};
use crate::spec::{
    AiRoute, AppRule, Auth, AuthMethod, Balance, HashBy, HeaderEdits, Id, KeyPlace, ModelTimeouts, Route,
    Service, Spec, SubscriptionRule, Team, Tenant, Timeouts, To, Upstream, Version,
};
use crate::value::ValueTemplate;
use penstock_http::{FieldId, FieldSet};
use penstock_limits::APPLIED_MAX;
use std::collections::HashMap;
use std::time::Duration;

/// Limits of tenant, team, service, version and route together; the rest of what the node pool decides on at once
/// is left for app, credential and plan.
const ROUTE_LIMITS_MAX: usize = APPLIED_MAX - 8;

/// Fields that no edit may touch: they say where a message begins, ends and goes.
const UNTOUCHABLE: FieldSet = FieldSet::HOP_BY_HOP.union(FieldSet::FRAMING).with(FieldId::Host);

/// Fields that the gateway writes itself on the way up.
const OWN: FieldSet = FieldSet::FORWARDING.with(FieldId::XRequestId).with(FieldId::Traceparent);

/// Patience of routes of AI services: longer than any model's own, which is the one that counts.
const AI_TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: ModelTimeouts::FIRST_TOKEN,
    idle: ModelTimeouts::IDLE,
    total: None,
};

type Values = Vec<(Box<[u8]>, ValueTemplate)>;

/// Everything routes refer to.
pub(super) struct Context<'s> {
    tenants: HashMap<Id, &'s Tenant>,
    teams: HashMap<Id, &'s Team>,
    services: HashMap<Id, &'s Service>,
    upstreams: HashMap<Id, usize>,
    issuers: HashMap<Id, usize>,
    spec: &'s Spec,
    owners: &'s mut Owners,
}

struct Surroundings<'s> {
    tenant: &'s Tenant,
    team: &'s Team,
    service: &'s Service,
    version: &'s Version,
    to: Destination<'s>,
}

/// What a route's requests go to.
enum Destination<'s> {
    Upstream(u32, &'s Upstream),
    Ai(&'s AiRoute),
}

impl<'s> Context<'s> {
    pub(super) fn new(spec: &'s Spec, owners: &'s mut Owners, errors: &mut Vec<SpecError>) -> Self {
        for service in spec.services.iter().filter(|service| service.versions.is_empty()) {
            errors.push(SpecError::new(Place::Service(service.id), "versions", "needs at least one version"));
        }
        Self {
            tenants: spec.tenants.iter().map(|one| (one.id, one)).collect(),
            teams: spec.teams.iter().map(|one| (one.id, one)).collect(),
            services: spec.services.iter().map(|one| (one.id, one)).collect(),
            upstreams: spec.upstreams.iter().enumerate().map(|(at, one)| (one.id, at)).collect(),
            issuers: spec.issuers.iter().enumerate().map(|(at, one)| (one.id, at)).collect(),
            spec,
            owners,
        }
    }

    /// The compiled route; `None` when an error was told without which nothing can be built.
    pub(super) fn route(
        &mut self,
        route: &'s Route,
        template: Option<&PathTemplate>,
        errors: &mut Vec<SpecError>,
    ) -> Option<RouteRule> {
        let place = Place::Route(route.id);
        let at = self.find(route, errors)?;
        let template = template?;
        check_reachable(route, template, errors);
        let captures: Vec<&str> = template.captures().collect();
        let known = |name: &str| match name {
            "tenant.name" => Some(at.tenant.name.as_str()),
            "team.name" => Some(at.team.name.as_str()),
            "service.name" => Some(at.service.name.as_str()),
            "version" => Some(at.version.name.as_str()),
            "route.name" => Some(route.name.as_str()),
            _ => None,
        };
        let mut edits = Edits { place, captures: &captures, known: &known, errors };
        let mut request_drops = Drops { known: OWN, names: Vec::new() };
        let mut request_fields = Values::new();
        for (index, header) in route.identity_headers.iter().enumerate() {
            let field = format!("identity_headers[{index}]");
            request_drops.add(&header.name);
            edits.value(&field, &header.name, &header.value, &mut request_fields);
        }
        edits.apply("headers.request", &route.headers.request, &mut request_drops, &mut request_fields);
        let mut response_drops = Drops::default();
        let mut response_fields = Values::new();
        edits.apply("headers.response", &route.headers.response, &mut response_drops, &mut response_fields);
        let rewrite = route.rewrite.as_deref().and_then(|text| rewrite(text, &captures, place, errors));
        let cors = route.cors.as_ref().and_then(|cors| match CorsRule::new(cors, &route.matches.methods) {
            Ok(rule) => Some(rule),
            Err(all) => {
                errors.extend(all.into_iter().map(|(field, text)| SpecError::new(place, field, text)));
                None
            }
        });
        if cors.is_some() {
            response_drops.known = response_drops.known.union(cors::ANSWER_FIELDS);
        }
        let auth = self.auth(route, errors);
        let asks =
            !route.authorize.scopes.is_empty() || route.authorize.subscription == SubscriptionRule::Required;
        if asks && route.auth == Auth::None {
            let reason = "scopes and subscriptions need a known caller, and `auth` is `none`";
            errors.push(SpecError::new(place, "authorize", Problem::Unreachable(reason.to_owned())));
        }
        let mut query_secrets = Vec::new();
        for rule in auth.methods() {
            let MethodRule::ApiKey { places } = rule else { continue };
            for key_place in places {
                match key_place {
                    KeyPlaceRule::Field(name) => request_drops.add(name.as_str()),
                    KeyPlaceRule::Query(name) => query_secrets.push(name.clone()),
                    _ => {}
                }
            }
        }
        let (challenge, challenge_invalid) = challenges(&auth, &at.service.name);
        let (to, timeouts, balance_by) = match at.to {
            Destination::Upstream(index, upstream) => {
                (Backend::Upstream(index), upstream.timeouts, balance_by(&upstream.balance))
            }
            Destination::Ai(ai) => (Backend::Ai(ai.clone()), AI_TIMEOUTS, None),
        };
        let limit_owners = self.limit_owners(route, &at, errors);
        Some(RouteRule {
            id: route.id,
            uid: route.uid,
            name: route.name.as_str().into(),
            tenant: at.tenant.id,
            team: at.team.id,
            service: at.service.id,
            version: at.version.id,
            to,
            timeouts: Timeouts {
                connect: route.timeouts.connect.unwrap_or(timeouts.connect),
                first_byte: route.timeouts.first_byte.unwrap_or(timeouts.first_byte),
                idle: route.timeouts.idle.unwrap_or(timeouts.idle),
                total: route.timeouts.total.or(timeouts.total),
            },
            body: route.body,
            request_drops,
            response_drops,
            tenant_uid: at.tenant.uid,
            service_uid: at.service.uid,
            path_policy: route.path_policy,
            narrows_paths: false, // known when all routes are
            rewrite,
            request_fields,
            response_fields,
            auth,
            challenge,
            challenge_invalid,
            query_secrets,
            challenge_scope: scope_challenge(route, &at.service.name),
            scopes: route.authorize.scopes.iter().map(|scope| scope.as_str().into()).collect(),
            subscription_required: route.authorize.subscription == SubscriptionRule::Required,
            ip: route.ip.clone(),
            cors,
            balance_by,
            ratelimit_headers: route.ratelimit_headers,
            expose_revision: route.expose_revision,
            limit_owners,
            limits: BoundLimits::default(),
        })
    }

    fn find(&self, route: &'s Route, errors: &mut Vec<SpecError>) -> Option<Surroundings<'s>> {
        let place = Place::Route(route.id);
        let mut missing = |what: &'static str, id: Id| {
            errors.push(SpecError::new(place, what, Problem::Missing { what, id }));
        };
        let to = match &route.to {
            To::Ai(ai) => Some(Destination::Ai(ai)),
            To::Upstream(id) => {
                let found = self
                    .upstreams
                    .get(id)
                    .map(|&at| Destination::Upstream(at as u32, &self.spec.upstreams[at]));
                if found.is_none() {
                    missing("upstream", *id);
                }
                found
            }
        };
        let Some(service) = self.services.get(&route.service).copied() else {
            missing("service", route.service);
            return None;
        };
        let version = service.versions.iter().find(|version| version.id == route.version);
        if version.is_none() {
            missing("version", route.version);
        }
        let tenant = self.tenants.get(&service.tenant).copied();
        if tenant.is_none() {
            missing("tenant", service.tenant);
        }
        let team = self.teams.get(&service.team).copied();
        if team.is_none() {
            missing("team", service.team);
        }
        Some(Surroundings { tenant: tenant?, team: team?, service, version: version?, to: to? })
    }

    fn limit_owners(
        &mut self,
        route: &Route,
        at: &Surroundings<'s>,
        errors: &mut Vec<SpecError>,
    ) -> Vec<u32> {
        let all = [
            (Place::Tenant(at.tenant.id), at.tenant.uid, &at.tenant.limits),
            (Place::Team(at.team.id), at.team.uid, &at.team.limits),
            (Place::Service(at.service.id), at.service.uid, &at.service.limits),
            (Place::Version(at.version.id), at.version.uid, &at.version.limits),
            (Place::Route(route.id), route.uid, &route.limits),
        ];
        let owners: Vec<u32> = all
            .into_iter()
            .filter_map(|(place, uid, limits)| self.owners.add(place, uid, limits, errors))
            .collect();
        let given = owners.iter().map(|&owner| self.owners.count(owner)).sum();
        if given > ROUTE_LIMITS_MAX {
            let what = "limits of tenant, team, service, version and route";
            let problem = Problem::TooMany { what, given, max: ROUTE_LIMITS_MAX };
            errors.push(SpecError::new(Place::Route(route.id), "limits", problem));
        }
        owners
    }

    fn auth(&self, route: &Route, errors: &mut Vec<SpecError>) -> AuthRule {
        let place = Place::Route(route.id);
        let (methods, all) = match &route.auth {
            Auth::None => return AuthRule::None,
            Auth::Any(methods) => (methods, false),
            Auth::All(methods) => (methods, true),
        };
        let name = if all { "all" } else { "any" };
        if methods.is_empty() {
            let text = "needs at least one method; `none` must be written out";
            errors.push(SpecError::new(place, format!("auth.{name}"), text));
        }
        let bearer_keys = methods.iter().any(|method| match method {
            AuthMethod::ApiKey { places } => places.contains(&KeyPlace::Bearer),
            _ => false,
        });
        let rules = methods
            .iter()
            .enumerate()
            .map(|(index, method)| {
                let field = format!("auth.{name}[{index}]");
                self.method(method, bearer_keys, place, &field, errors)
            })
            .collect();
        if all { AuthRule::All(rules) } else { AuthRule::Any(rules) }
    }

    fn method(
        &self,
        method: &AuthMethod,
        bearer_keys: bool,
        place: Place,
        field: &str,
        errors: &mut Vec<SpecError>,
    ) -> MethodRule {
        match method {
            AuthMethod::ApiKey { places } => {
                if places.is_empty() {
                    errors.push(SpecError::new(
                        place,
                        format!("{field}.api_key"),
                        "needs a place to read keys from",
                    ));
                }
                let rule = |place: &KeyPlace| match place {
                    KeyPlace::Header(name) => KeyPlaceRule::Field(FieldName::new(name)),
                    KeyPlace::Bearer => KeyPlaceRule::Bearer,
                    KeyPlace::BearerAnyForm => KeyPlaceRule::BearerAnyForm,
                    KeyPlace::Query(name) => KeyPlaceRule::Query(name.as_str().into()),
                    KeyPlace::Cookie(name) => KeyPlaceRule::Cookie(name.as_str().into()),
                };
                MethodRule::ApiKey { places: places.iter().map(rule).collect() }
            }
            AuthMethod::Basic => MethodRule::Basic,
            AuthMethod::Jwt { issuers, app } => {
                if issuers.is_empty() {
                    errors.push(SpecError::new(
                        place,
                        format!("{field}.jwt.issuers"),
                        "needs at least one issuer",
                    ));
                }
                let mut found = Vec::new();
                for (index, issuer) in issuers.iter().enumerate() {
                    match self.issuers.get(issuer) {
                        Some(&at) => found.push(at as u32),
                        None => {
                            let problem = Problem::Missing { what: "issuer", id: *issuer };
                            errors.push(SpecError::new(
                                place,
                                format!("{field}.jwt.issuers[{index}]"),
                                problem,
                            ));
                        }
                    }
                }
                MethodRule::Jwt {
                    issuers: found.into(),
                    app_optional: *app == AppRule::Optional,
                    leaves_keys: bearer_keys,
                }
            }
            AuthMethod::Hmac => MethodRule::Hmac,
            AuthMethod::Mtls => MethodRule::Mtls,
        }
    }
}

impl AuthRule {
    fn methods(&self) -> &[MethodRule] {
        match self {
            Self::None => &[],
            Self::Any(methods) | Self::All(methods) => methods,
        }
    }
}

struct Edits<'e, K> {
    place: Place,
    captures: &'e [&'e str],
    known: &'e K,
    errors: &'e mut Vec<SpecError>,
}

impl<'k, K: Fn(&str) -> Option<&'k str>> Edits<'_, K> {
    fn apply(&mut self, field: &str, edits: &HeaderEdits, drops: &mut Drops, values: &mut Values) {
        for (index, name) in edits.remove.iter().enumerate() {
            if self.check_name(&format!("{field}.remove[{index}]"), name) {
                drops.add(name);
            }
        }
        for (name, value) in &edits.set {
            drops.add(name);
            // A field that is set twice, here and as an identity field, is sent once: as written here.
            let line = line_start(name);
            values.retain(|(known, _)| *known != line);
            self.value(&format!("{field}.set.{name}"), name, value, values);
        }
        for (name, value) in &edits.add {
            self.value(&format!("{field}.add.{name}"), name, value, values);
        }
    }

    fn value(&mut self, field: &str, name: &str, value: &str, values: &mut Values) {
        if !self.check_name(field, name) {
            return;
        }
        match ValueTemplate::parse(value, self.captures, self.known) {
            Ok(template) => values.push((line_start(name), template)),
            Err(error) => self.errors.push(SpecError::new(self.place, field, error)),
        }
    }

    fn check_name(&mut self, field: &str, name: &str) -> bool {
        let problem = if penstock_http::FieldName::new(name.as_bytes()).is_err() {
            format!("`{name}` is no field name")
        } else if UNTOUCHABLE.contains(FieldId::lookup(name.as_bytes())) {
            format!("`{name}` is the gateway's own business")
        } else {
            return true;
        };
        self.errors.push(SpecError::new(self.place, field, problem));
        false
    }
}

fn line_start(name: &str) -> Box<[u8]> {
    format!("{}: ", name.to_ascii_lowercase()).into_bytes().into()
}

/// A template that normalisation changes is never met by a normalised path.
fn check_reachable(route: &Route, template: &PathTemplate, errors: &mut Vec<SpecError>) {
    let written = template.segments().iter().fold(String::new(), |text, segment| match segment {
        Segment::Literal(literal) => text + "/" + literal,
        Segment::Parameter(_) | Segment::Tail => text + "/x",
    });
    let mut room = Vec::new();
    let reason = match penstock_http::path::normalise(written.as_bytes(), &route.path_policy, &mut room) {
        Ok(normal) if normal == written.as_bytes() => return,
        Ok(normal) => {
            format!(
                "paths are normalised before they are matched; write `{}`",
                String::from_utf8_lossy(normal)
            )
        }
        Err(refusal) => format!("the path is refused before routing ({})", refusal.detail),
    };
    errors.push(SpecError::new(Place::Route(route.id), "match.path", Problem::Unreachable(reason)));
}

fn rewrite(
    text: &str,
    captures: &[&str],
    place: Place,
    errors: &mut Vec<SpecError>,
) -> Option<ValueTemplate> {
    if !text.starts_with('/') {
        errors.push(SpecError::new(place, "rewrite.path", crate::router::TemplateError::NoSlash));
        return None;
    }
    match ValueTemplate::parse_path(text, captures) {
        Ok(template) => Some(template),
        Err(error) => {
            errors.push(SpecError::new(place, "rewrite.path", error));
            None
        }
    }
}

fn balance_by(balance: &Balance) -> Option<BalanceBy> {
    let Balance::Hash(by) = balance else { return None };
    Some(match by {
        HashBy::Caller => BalanceBy::Caller,
        HashBy::Client => BalanceBy::Client,
        HashBy::Header(name) => BalanceBy::Field(FieldName::new(name)),
        HashBy::Cookie(name) => BalanceBy::Cookie(name.as_str().into()),
    })
}

/// `WWW-Authenticate` lines (RFC 9110 section 11.6.1), without and with a token's fault (RFC 6750 section 3).
fn challenges(auth: &AuthRule, realm: &str) -> (Vec<u8>, Vec<u8>) {
    let realm = quoted(realm);
    let line = |value: String| format!("www-authenticate: {value}\r\n");
    let (mut plain, mut invalid) = (String::new(), String::new());
    for rule in auth.methods() {
        let challenge = match rule {
            MethodRule::Jwt { .. } => {
                plain += &line(format!("Bearer realm=\"{realm}\""));
                invalid += &line(format!("Bearer realm=\"{realm}\", error=\"invalid_token\""));
                continue;
            }
            MethodRule::ApiKey { .. } => format!("ApiKey realm=\"{realm}\""),
            MethodRule::Basic => format!("Basic realm=\"{realm}\", charset=\"UTF-8\""),
            MethodRule::Hmac => format!("{} realm=\"{realm}\"", hmac::SCHEME),
            MethodRule::Mtls => continue,
        };
        plain += &line(challenge.clone());
        invalid += &line(challenge);
    }
    (plain.into_bytes(), invalid.into_bytes())
}

fn scope_challenge(route: &Route, realm: &str) -> Vec<u8> {
    let scopes = quoted(&route.authorize.scopes.join(" "));
    let realm = quoted(realm);
    format!(
        "www-authenticate: Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{scopes}\"\r\n"
    )
    .into_bytes()
}

/// Text that can stand between quotes in a field.
fn quoted(text: &str) -> String {
    text.chars().filter(|&c| c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ').collect()
}
