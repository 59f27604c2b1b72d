//! Services, versions and routes as the gate takes them.

use penstock_gate::spec::{self, ValueTest};

use super::{Compiler, Kind};
use crate::grammar::policy::{AppRule, Auth, Cors, Edits, KeyPlace, SubscriptionRule, Way};
use crate::grammar::service::{Match, OddPath, Route, Service, UnknownVersion, VersionIn, Versioning};
use crate::inherit::{InForce, Standing, routes, tenant_of};
use crate::place::At;
use crate::read::Pairs;
use crate::read::text::{HeaderName, Template};

/// Name of the one version of a service that lists its routes directly.
pub(super) const UNNAMED: &str = "";

impl Compiler<'_> {
    pub(super) fn service(&mut self, service: &At<Service>) -> spec::Service {
        let configuration = self.configuration;
        let (name, team) = (service.name.value.0.as_str(), service.team.value.0.as_str());
        let tenant = tenant_of(&configuration.file, team);
        let (id, uid) = self.name(Kind::Service, &[tenant, name], name, service.name.pos);
        let mut versions = Vec::new();
        for version in &service.versions.value {
            let word = version.version.value.0.as_str();
            let (id, uid) = self.name(Kind::Version, &[tenant, name, word], word, version.version.pos);
            let limits = self.limits(uid, &version.limits);
            versions.push(spec::Version { id, uid, name: word.to_owned(), limits });
        }
        if versions.is_empty() {
            let (id, uid) = self.name(Kind::Version, &[tenant, name, UNNAMED], UNNAMED, service.name.pos);
            // The limits of an AI service are those of its one version, which has nothing else.
            let limits = service.ai.as_ref().map(|ai| self.limits(uid, &ai.limits)).unwrap_or_default();
            versions.push(spec::Version { id, uid, limits, ..spec::Version::default() });
        }
        spec::Service {
            id,
            uid,
            name: name.to_owned(),
            tenant: self.refer(Kind::Tenant, &[tenant], tenant),
            team: self.refer(Kind::Team, &[tenant, team], team),
            versioning: service.versioning.as_ref().map(|versioning| versioned(versioning)),
            versions,
            limits: self.limits(uid, &service.limits),
        }
    }

    pub(super) fn routes(&mut self) -> Vec<spec::Route> {
        let configuration = self.configuration;
        routes(&configuration.file).iter().map(|standing| self.route(standing)).collect()
    }

    fn route(&mut self, standing: &Standing<'_>) -> spec::Route {
        let configuration = self.configuration;
        let (service, route) = (standing.service, standing.route);
        let tenant = tenant_of(&configuration.file, &service.team);
        let service_name = service.name.value.0.as_str();
        let version = standing.version.map_or(UNNAMED, |version| version.version.value.0.as_str());
        let name = route.name.value.0.as_str();
        let in_force = standing.in_force();
        let shown = standing.full_name();
        let (id, uid) =
            self.name(Kind::Route, &[tenant, service_name, version, name], &shown, route.name.pos);
        let upstream = route.upstream.value.0.as_str();
        let edits = in_force.headers.as_ref().map(|headers| &headers.at.value);
        spec::Route {
            id,
            uid,
            name: name.to_owned(),
            service: self.refer(Kind::Service, &[tenant, service_name], service_name),
            version: self.refer(Kind::Version, &[tenant, service_name, version], version),
            matches: matches(&route.r#match.value),
            path_policy: path_policy(route),
            to: spec::To::Upstream(self.refer(Kind::Upstream, &[upstream], upstream)),
            rewrite: route.rewrite.as_ref().map(|rewrite| rewrite.path.value.0.clone()),
            headers: spec::RouteHeaders {
                request: edits.map(|edits| header_edits(&edits.request.value)).unwrap_or_default(),
                response: edits.map(|edits| header_edits(&edits.response.value)).unwrap_or_default(),
            },
            body: body(&in_force),
            auth: self.auth(&in_force),
            authorize: authorize(&in_force),
            ip: ip(&in_force),
            cors: in_force.cors.as_ref().map(|cors| cross_origin(&cors.at.value)),
            limits: self.limits(uid, &route.limits),
            timeouts: in_force
                .timeouts
                .as_ref()
                .map(|timeouts| spec::TimeoutsOverride {
                    connect: timeouts.at.connect.as_ref().map(|span| span.value.0),
                    first_byte: timeouts.at.first_byte.as_ref().map(|span| span.value.0),
                    idle: timeouts.at.idle.as_ref().map(|span| span.value.0),
                    total: timeouts.at.total.as_ref().map(|span| span.value.0),
                })
                .unwrap_or_default(),
            identity_headers: pairs(&route.identity_headers.value)
                .into_iter()
                .map(|(name, value)| spec::IdentityHeader { name, value })
                .collect(),
            ratelimit_headers: route.ratelimit_headers.value,
            expose_revision: route.expose_revision.value,
        }
    }

    /// Checking has made sure that there is a rule; without one nobody would be let in.
    pub(super) fn auth(&mut self, in_force: &InForce<'_>) -> spec::Auth {
        match in_force.auth.as_ref().map(|auth| &auth.at.value) {
            Some(Auth::None) => spec::Auth::None,
            Some(Auth::Any(ways)) => spec::Auth::Any(ways.iter().map(|way| self.way(&way.value)).collect()),
            Some(Auth::All(ways)) => spec::Auth::All(ways.iter().map(|way| self.way(&way.value)).collect()),
            None => spec::Auth::Any(Vec::new()),
        }
    }

    fn way(&mut self, way: &Way) -> spec::AuthMethod {
        let configuration = self.configuration;
        match way {
            Way::ApiKey(places) if places.is_empty() => {
                spec::AuthMethod::ApiKey { places: spec::KeyPlace::defaults() }
            }
            Way::ApiKey(places) => spec::AuthMethod::ApiKey {
                places: places
                    .iter()
                    .map(|place| match place {
                        KeyPlace::Header(name) => spec::KeyPlace::Header(name.clone()),
                        KeyPlace::Query(name) => spec::KeyPlace::Query(name.clone()),
                        KeyPlace::Cookie(name) => spec::KeyPlace::Cookie(name.clone()),
                    })
                    .collect(),
            },
            Way::Jwt { issuers, app } => {
                let names: Vec<&str> = if issuers.is_empty() {
                    configuration.file.issuers.value.iter().map(|item| item.name.value.0.as_str()).collect()
                } else {
                    issuers.iter().map(|name| name.value.0.as_str()).collect()
                };
                spec::AuthMethod::Jwt {
                    issuers: names.iter().map(|name| self.refer(Kind::Issuer, &[name], name)).collect(),
                    app: match app {
                        AppRule::Required => spec::AppRule::Required,
                        AppRule::Optional => spec::AppRule::Optional,
                    },
                }
            }
            Way::Basic => spec::AuthMethod::Basic,
            Way::Hmac => spec::AuthMethod::Hmac,
            Way::Mtls => spec::AuthMethod::Mtls,
        }
    }
}

pub(super) fn body(in_force: &InForce<'_>) -> spec::Body {
    in_force.body.as_ref().map_or_else(spec::Body::default, |body| spec::Body {
        max: body.at.max.value.0,
        rate_min: body.at.min_rate.value.0,
    })
}

pub(super) fn authorize(in_force: &InForce<'_>) -> spec::Authorize {
    let Some(authorize) = &in_force.authorize else { return spec::Authorize::default() };
    spec::Authorize {
        scopes: authorize.at.scopes.value.iter().map(|scope| scope.value.0.clone()).collect(),
        subscription: match authorize.at.subscription.value {
            SubscriptionRule::None => spec::SubscriptionRule::None,
            SubscriptionRule::Required => spec::SubscriptionRule::Required,
        },
    }
}

pub(super) fn ip(in_force: &InForce<'_>) -> spec::IpRules {
    spec::IpRules {
        allow: in_force.ip_allow.iter().map(|cidr| cidr.value).collect(),
        deny: in_force.ip_deny.iter().map(|cidr| cidr.value).collect(),
    }
}

fn versioned(versioning: &Versioning) -> spec::Versioning {
    let name = || versioning.name.as_ref().map(|name| name.value.0.clone());
    let pattern = || versioning.pattern.as_ref().map(|pattern| pattern.value.0.clone());
    let any = || "{version}".to_owned();
    spec::Versioning {
        from: match versioning.r#in.value {
            VersionIn::Path => {
                spec::VersionIn::Path { pattern: pattern().unwrap_or_else(any), keep: versioning.keep.value }
            }
            VersionIn::Header => {
                spec::VersionIn::Header { name: name().unwrap_or_default().to_ascii_lowercase() }
            }
            VersionIn::Query => spec::VersionIn::Query { name: name().unwrap_or_default() },
            VersionIn::MediaType => spec::VersionIn::MediaType { pattern: pattern(), name: name() },
            VersionIn::Host => spec::VersionIn::Host { pattern: pattern().unwrap_or_else(any) },
        },
        default: versioning.default.as_ref().map(|default| default.value.0.clone()),
        unknown: match versioning.unknown.value {
            UnknownVersion::Reject => spec::UnknownVersion::Reject,
            UnknownVersion::Default => spec::UnknownVersion::Default,
        },
    }
}

fn matches(rule: &Match) -> spec::Match {
    let test = |value: &str| match value {
        "*" => ValueTest::Present,
        _ => ValueTest::Equals(value.to_owned()),
    };
    spec::Match {
        hosts: rule.hosts.value.iter().map(|host| host.value.0.clone()).collect(),
        path: rule.path.value.0.clone(),
        methods: rule.methods.value.iter().map(|method| method.value.0.clone()).collect(),
        headers: rule
            .headers
            .0
            .iter()
            .map(|(name, value)| spec::ValueMatch { name: name.value.0.clone(), test: test(&value.value.0) })
            .collect(),
        query: rule
            .query
            .0
            .iter()
            .map(|(name, value)| spec::ValueMatch { name: name.value.0.clone(), test: test(&value.value.0) })
            .collect(),
    }
}

fn path_policy(route: &Route) -> spec::PathPolicy {
    let allows = |odd: OddPath| route.path_policy.allow.value.iter().any(|at| at.value == odd);
    spec::PathPolicy {
        double_slash: allows(OddPath::DoubleSlash),
        backslash: allows(OddPath::Backslash),
        encoded_slash: allows(OddPath::EncodedSlash),
        encoded_backslash: allows(OddPath::EncodedBackslash),
        encoded_controls: allows(OddPath::EncodedControls),
        malformed_escapes: allows(OddPath::MalformedEscapes),
        dot_parameters: allows(OddPath::DotParameters),
    }
}

fn pairs(pairs: &Pairs<HeaderName, Template>) -> Vec<(String, String)> {
    pairs.0.iter().map(|(name, value)| (name.value.0.clone(), value.value.0.clone())).collect()
}

fn header_edits(edits: &Edits) -> spec::HeaderEdits {
    spec::HeaderEdits {
        set: pairs(&edits.set.value),
        add: pairs(&edits.add.value),
        remove: edits.remove.value.iter().map(|name| name.value.0.clone()).collect(),
    }
}

pub(super) fn cross_origin(cors: &Cors) -> spec::Cors {
    spec::Cors {
        origins: cors.origins.value.iter().map(|origin| origin.value.0.clone()).collect(),
        methods: cors.methods.value.iter().map(|method| method.value.0.clone()).collect(),
        headers: cors.headers.value.iter().map(|name| name.value.0.clone()).collect(),
        expose: cors.expose.value.iter().map(|name| name.value.0.clone()).collect(),
        credentials: cors.credentials.value,
        age_max: cors.max_age.value.0,
    }
}
