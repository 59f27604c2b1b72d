//! From a [`Spec`] to a [`Snapshot`], or to everything that is wrong with it.

use super::compile_route::Context;
use super::{ListenerRule, PlanRule, Snapshot};
use crate::error::{Place, Problem, SpecError};
use crate::fold_hash::FoldMap;
use crate::identity::IssuerKeys;
use crate::limits::{BoundLimits, KEY_PARTS_MAX, pool_spec};
use crate::router::{PathTemplate, ROUTES_MAX, Router, SERVICES_MAX};
use crate::spec::{Id, KeyPart, Limit, Listener, Spec, Uid, Upstream};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Any moment serves to check whether calendar windows can be computed.
const CHECK_TIME_UNIX_S: i64 = 1_790_000_000;

/// Compiles a configuration. Limits are not bound yet: see [`Snapshot::bind_limits`]; callers are not part of it:
/// see [`crate::callers::CallerEntries`].
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn compile(spec: Spec) -> Result<Snapshot, Vec<SpecError>> {
    let mut errors = Vec::new();
    check_sizes(&spec, &mut errors);
    check_ids(&spec, &mut errors);
    check_callers(&spec, &mut errors);
    let issuers = issuers(&spec, &mut errors);
    for upstream in &spec.upstreams {
        check_upstream(upstream, &mut errors);
    }
    let mut owners = Owners::default();
    let plans = plans(&spec, &mut owners, &mut errors);
    let templates = templates(&spec, &mut errors);
    let router = Router::build(&spec.services, &spec.routes, &templates, &mut errors);
    let mut context = Context::new(&spec, &mut owners, &mut errors);
    let mut routes: Vec<_> = spec
        .routes
        .iter()
        .zip(&templates)
        // A route that is left out here was told as an error, so indices agree with the router's below.
        .filter_map(|(route, template)| context.route(route, template.as_ref(), &mut errors))
        .collect();
    if !errors.is_empty() {
        errors.sort_by(|a, b| (a.place, &a.field).cmp(&(b.place, &b.field)));
        return Err(errors);
    }
    let path_policy = routes.iter().fold(Default::default(), |all, route| union(all, route.path_policy));
    for route in &mut routes {
        route.narrows_paths = route.path_policy != path_policy;
    }
    Ok(Snapshot {
        revision: spec.revision,
        trusted_proxies: spec.trusted_proxies,
        request_id: spec.request_id,
        listeners: spec.listeners.into_iter().map(listener).collect(),
        issuers,
        upstreams: spec.upstreams,
        path_policy,
        routes,
        router,
        plans,
        ai: spec.ai,
        limit_owners: owners.list,
    })
}

/// Owners of limits, each once.
#[derive(Default)]
pub(super) struct Owners {
    list: Vec<(Uid, Vec<Limit>)>,
    by_place: HashMap<Place, Option<u32>>,
}

impl Owners {
    /// The index of an owner, if anything is written there. Checks its limits when it is met first.
    pub(super) fn add(
        &mut self,
        place: Place,
        uid: Uid,
        limits: &[Limit],
        errors: &mut Vec<SpecError>,
    ) -> Option<u32> {
        if let Some(known) = self.by_place.get(&place) {
            return *known;
        }
        let mut names = HashSet::new();
        for (index, limit) in limits.iter().enumerate() {
            let field = format!("limits[{index}]");
            if !names.insert(&limit.name) {
                let problem = Problem::Twice { what: "the limit", value: limit.name.clone() };
                errors.push(SpecError::new(place, field.clone(), problem));
            }
            if let Err(reason) = pool_spec(uid, limit, CHECK_TIME_UNIX_S) {
                errors.push(SpecError::new(place, field.clone(), reason));
            }
            check_key(limit, place, &field, errors);
        }
        let at = (!limits.is_empty()).then(|| {
            self.list.push((uid, limits.to_vec()));
            (self.list.len() - 1) as u32
        });
        self.by_place.insert(place, at);
        at
    }

    pub(super) fn count(&self, owner: u32) -> usize {
        self.list[owner as usize].1.len()
    }
}

fn check_key(limit: &Limit, place: Place, field: &str, errors: &mut Vec<SpecError>) {
    if limit.by.len() > KEY_PARTS_MAX {
        let problem = Problem::TooMany { what: "parts of a key", given: limit.by.len(), max: KEY_PARTS_MAX };
        errors.push(SpecError::new(place, format!("{field}.by"), problem));
    }
    for part in &limit.by {
        let wrong = match part {
            KeyPart::ClientNetwork { v4, v6 } => *v4 > 32 || *v6 > 128,
            KeyPart::Header(name) => penstock_http::FieldName::new(name.as_bytes()).is_err(),
            _ => false,
        };
        if wrong {
            errors.push(SpecError::new(
                place,
                format!("{field}.by"),
                "a prefix is too long or a name no field name",
            ));
        }
    }
}

fn check_sizes(spec: &Spec, errors: &mut Vec<SpecError>) {
    let versions = spec.services.iter().map(|service| service.versions.len()).max().unwrap_or(0);
    for (what, given, max) in [
        ("routes", spec.routes.len(), ROUTES_MAX),
        ("services", spec.services.len(), SERVICES_MAX),
        ("versions of one service", versions, SERVICES_MAX),
    ] {
        if given > max {
            errors.push(SpecError::new(Place::Whole, what, Problem::TooMany { what, given, max }));
        }
    }
}

fn check_ids(spec: &Spec, errors: &mut Vec<SpecError>) {
    let mut check = |what: &'static str, ids: &mut dyn Iterator<Item = (Place, Id)>| {
        let mut seen = HashSet::new();
        for (place, id) in ids.filter(|(_, id)| !seen.insert(*id)) {
            errors.push(SpecError::new(place, "id", Problem::Twice { what, value: id.0.to_string() }));
        }
    };
    check("the listener", &mut spec.listeners.iter().map(|one| (Place::Listener(one.id), one.id)));
    check("the issuer", &mut spec.issuers.iter().map(|one| (Place::Issuer(one.id), one.id)));
    check("the tenant", &mut spec.tenants.iter().map(|one| (Place::Tenant(one.id), one.id)));
    check("the team", &mut spec.teams.iter().map(|one| (Place::Team(one.id), one.id)));
    check("the plan", &mut spec.plans.iter().map(|one| (Place::Plan(one.id), one.id)));
    check("the upstream", &mut spec.upstreams.iter().map(|one| (Place::Upstream(one.id), one.id)));
    check("the service", &mut spec.services.iter().map(|one| (Place::Service(one.id), one.id)));
    let versions = spec.services.iter().flat_map(|service| &service.versions);
    check("the version", &mut versions.map(|one| (Place::Version(one.id), one.id)));
    check("the route", &mut spec.routes.iter().map(|one| (Place::Route(one.id), one.id)));
}

/// What callers refer to must exist, and two of them must not be found by the same thing.
fn check_callers(spec: &Spec, errors: &mut Vec<SpecError>) {
    let callers = &spec.callers;
    let tenants: HashSet<Id> = spec.tenants.iter().map(|one| one.id).collect();
    let apps: HashMap<Id, Id> = callers.apps.iter().map(|one| (one.id, one.tenant)).collect();
    let services: HashMap<Id, Id> = spec.services.iter().map(|one| (one.id, one.tenant)).collect();
    let plans: HashSet<Id> = spec.plans.iter().map(|one| one.id).collect();
    let mut owners = Owners::default();
    for app in &callers.apps {
        let place = Place::App(app.id);
        if !tenants.contains(&app.tenant) {
            errors.push(SpecError::new(place, "tenant", Problem::Missing { what: "tenant", id: app.tenant }));
        }
        owners.add(place, app.uid, &app.limits, errors);
    }
    let mut keys = HashSet::new();
    for credential in &callers.credentials {
        let place = Place::Credential(credential.id);
        owners.add(place, credential.uid, &credential.limits, errors);
        let Some(&tenant) = apps.get(&credential.app) else {
            errors.push(SpecError::new(place, "app", Problem::Missing { what: "app", id: credential.app }));
            continue;
        };
        if !keys.insert(crate::callers::Space::of(&credential.kind, tenant)) {
            errors.push(SpecError::new(
                place,
                "credentials",
                "another credential of the tenant is found by the same key, user, subject or name",
            ));
        }
        if let crate::spec::CredentialKind::Hmac { secret, .. } = &credential.kind
            && secret.len() < crate::identity::hmac::SECRET_BYTES_MIN
        {
            let text = format!("the secret has less than {} bytes", crate::identity::hmac::SECRET_BYTES_MIN);
            errors.push(SpecError::new(place, "hmac.secret", text));
        }
    }
    for subscription in &callers.subscriptions {
        let place = Place::Subscription(subscription.id);
        let (app, service) = (apps.get(&subscription.app), services.get(&subscription.service));
        for (what, missing, id) in [
            ("app", app.is_none(), subscription.app),
            ("service", service.is_none(), subscription.service),
            (
                "plan",
                subscription.plan.is_some_and(|plan| !plans.contains(&plan)),
                subscription.plan.unwrap_or_default(),
            ),
        ] {
            if missing {
                errors.push(SpecError::new(place, what, Problem::Missing { what, id }));
            }
        }
        if app.is_some() && service.is_some() && app != service {
            errors.push(SpecError::new(place, "service", "belongs to another tenant than the app"));
        }
    }
}

fn issuers(spec: &Spec, errors: &mut Vec<SpecError>) -> Vec<IssuerKeys> {
    let mut values = BTreeSet::new();
    let mut built = Vec::new();
    for issuer in &spec.issuers {
        let place = Place::Issuer(issuer.id);
        if !values.insert(&issuer.issuer) {
            let problem = Problem::Twice { what: "the value of `iss`", value: issuer.issuer.clone() };
            errors.push(SpecError::new(place, "issuer", problem));
        }
        match IssuerKeys::new(issuer) {
            Ok(keys) => built.push(keys),
            Err(all) => {
                errors.extend(all.into_iter().map(|(field, text)| SpecError::new(place, field, text)))
            }
        }
    }
    built
}

fn check_upstream(upstream: &Upstream, errors: &mut Vec<SpecError>) {
    let place = Place::Upstream(upstream.id);
    if upstream.targets.iter().all(|target| target.backup) {
        errors.push(SpecError::new(place, "targets", "needs a target that is no backup"));
    }
    for (index, target) in upstream.targets.iter().enumerate().filter(|(_, target)| target.weight == 0) {
        let text = format!("the weight of {} is at least 1", target.name);
        errors.push(SpecError::new(place, format!("targets[{index}].weight"), text));
    }
}

fn plans(spec: &Spec, owners: &mut Owners, errors: &mut Vec<SpecError>) -> FoldMap<Id, PlanRule> {
    let mut rules = FoldMap::default();
    for plan in &spec.plans {
        if let Some(owner) = owners.add(Place::Plan(plan.id), plan.uid, &plan.limits, errors) {
            rules.insert(plan.id, PlanRule { owner, limits: BoundLimits::default() });
        }
    }
    rules
}

fn templates(spec: &Spec, errors: &mut Vec<SpecError>) -> Vec<Option<PathTemplate>> {
    spec.routes
        .iter()
        .map(|route| match PathTemplate::parse(&route.matches.path) {
            Ok(template) => Some(template),
            Err(error) => {
                errors.push(SpecError::new(Place::Route(route.id), "match.path", error));
                None
            }
        })
        .collect()
}

fn listener(listener: Listener) -> ListenerRule {
    let hsts = match (&listener.hsts, &listener.tls) {
        (Some(hsts), Some(_)) => {
            let subdomains = if hsts.subdomains { "; includeSubDomains" } else { "" };
            let preload = if hsts.preload { "; preload" } else { "" };
            let age = hsts.age_max.as_secs();
            format!("strict-transport-security: max-age={age}{subdomains}{preload}\r\n").into_bytes()
        }
        _ => Vec::new(),
    };
    ListenerRule { listener, hsts }
}

fn union(one: penstock_http::PathPolicy, other: penstock_http::PathPolicy) -> penstock_http::PathPolicy {
    penstock_http::PathPolicy {
        double_slash: one.double_slash || other.double_slash,
        backslash: one.backslash || other.backslash,
        encoded_slash: one.encoded_slash || other.encoded_slash,
        encoded_backslash: one.encoded_backslash || other.encoded_backslash,
        encoded_controls: one.encoded_controls || other.encoded_controls,
        malformed_escapes: one.malformed_escapes || other.malformed_escapes,
        dot_parameters: one.dot_parameters || other.dot_parameters,
    }
}
