//! The immutable Snapshot: one configuration, compiled, that every worker reads.
//!
//! Built on the control side, handed over whole, never changed afterwards. What changes often (callers) and what
//! is counted (limits) lives outside it.

mod compile;
mod compile_route;

#[cfg(test)]
pub(crate) mod tests;

pub use compile::compile;

use crate::cidr::Cidr;
use crate::cors::CorsRule;
use crate::fold_hash::FoldMap;
use crate::identity::{AuthRule, IssuerKeys};
use crate::limits::{BindError, BoundLimits, Register, bind};
use crate::router::{FieldName, FieldSource, Found, Probe, Router};
use crate::spec::{
    Ai, AiRoute, Body, Id, IpRules, Limit, Listener, RequestIdPolicy, Timeouts, Uid, Upstream,
};
use crate::value::ValueTemplate;
use penstock_http::{FieldSet, PathPolicy};
use std::sync::Arc;

/// One configuration, compiled.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number.
    pub revision: u64,
    pub(crate) trusted_proxies: Vec<Cidr>,
    pub(crate) request_id: RequestIdPolicy,
    pub(crate) listeners: Vec<ListenerRule>,
    pub(crate) issuers: Vec<IssuerKeys>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) routes: Vec<RouteRule>,
    pub(crate) router: Router,
    /// What at least one route lets pass in a path.
    pub(crate) path_policy: PathPolicy,
    pub(crate) plans: FoldMap<Id, PlanRule>,
    /// Providers and models of AI services.
    pub ai: Arc<Ai>,
    /// Owners of limits, with what is written there.
    pub(crate) limit_owners: Vec<(Uid, Vec<Limit>)>,
}

/// What [`Snapshot::route_for`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteFound {
    /// Index of the route.
    Route(u32),
    /// Host and path are served, but not with this method.
    MethodNotAllowed,
    /// The service is there, the version is not.
    UnknownVersion,
    /// Nothing.
    Nothing,
}

/// A listener with what the chain needs of it.
#[derive(Debug)]
pub(crate) struct ListenerRule {
    pub(crate) listener: Listener,
    /// The whole line; empty: none.
    pub(crate) hsts: Vec<u8>,
}

/// A plan with its limits.
#[derive(Debug)]
pub(crate) struct PlanRule {
    pub(crate) owner: u32,
    pub(crate) limits: BoundLimits,
}

/// Where a route sends requests, compiled.
#[derive(Debug)]
pub enum Backend {
    /// Index of an upstream in [`Snapshot::upstreams`].
    Upstream(u32),
    /// The models of an AI service.
    Ai(AiRoute),
}

/// What a route does, compiled.
#[derive(Debug)]
pub struct RouteRule {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name.
    pub name: Box<str>,
    /// Dictionary id of its tenant.
    pub tenant: Id,
    /// Dictionary id of the team that owns it.
    pub team: Id,
    /// Dictionary id of its service.
    pub service: Id,
    /// Dictionary id of its version.
    pub version: Id,
    /// Where its requests go.
    pub to: Backend,
    /// Patience, the upstream's with what the route says otherwise.
    pub timeouts: Timeouts,
    /// Bounds of the request body.
    pub body: Body,
    /// Fields of a request that don't go upstream as they came.
    pub request_drops: Drops,
    /// Fields of the upstream's answer that don't go back.
    pub response_drops: Drops,
    pub(crate) tenant_uid: Uid,
    pub(crate) service_uid: Uid,
    pub(crate) path_policy: PathPolicy,
    /// Its policy lets less pass than [`Snapshot::path_policy`].
    pub(crate) narrows_paths: bool,
    pub(crate) rewrite: Option<ValueTemplate>,
    /// Whole names with colon and space, and values.
    pub(crate) request_fields: Vec<(Box<[u8]>, ValueTemplate)>,
    pub(crate) response_fields: Vec<(Box<[u8]>, ValueTemplate)>,
    pub(crate) auth: AuthRule,
    /// `WWW-Authenticate` lines, without and with the reason that a token is invalid.
    pub(crate) challenge: Vec<u8>,
    pub(crate) challenge_invalid: Vec<u8>,
    /// Query keys that hold API keys and don't go upstream.
    pub(crate) query_secrets: Vec<Box<str>>,
    pub(crate) scopes: Vec<Box<str>>,
    /// The line that tells which scopes are needed.
    pub(crate) challenge_scope: Vec<u8>,
    pub(crate) subscription_required: bool,
    pub(crate) ip: IpRules,
    pub(crate) cors: Option<CorsRule>,
    pub(crate) balance_by: Option<BalanceBy>,
    pub(crate) ratelimit_headers: bool,
    pub(crate) expose_revision: bool,
    /// Indices of [`Snapshot::limit_owners`]: tenant, team, service, version, route.
    pub(crate) limit_owners: Vec<u32>,
    pub(crate) limits: BoundLimits,
}

/// Fields to leave out when a head is copied.
#[derive(Debug, Default)]
pub struct Drops {
    /// Those with an id.
    pub known: FieldSet,
    /// Those without.
    pub names: Vec<FieldName>,
}

impl Drops {
    pub(crate) fn add(&mut self, name: &str) {
        let name = FieldName::new(name);
        if name.id() == penstock_http::FieldId::Other {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        } else {
            self.known = self.known.with(name.id());
        }
    }
}

/// What a target is chosen by, of an upstream that chooses by hash.
#[derive(Debug)]
pub(crate) enum BalanceBy {
    Caller,
    Client,
    Field(FieldName),
    Cookie(Box<str>),
}

impl Snapshot {
    /// Binds every limit at the node pool. Until then no limit applies. For the control side, before the snapshot
    /// is handed out: registering takes locks, calendar windows take milliseconds.
    ///
    /// # Errors
    /// [`BindError`] of the first limit that the pool refuses.
    pub fn bind_limits(&mut self, now_unix_s: i64, register: Register<'_>) -> Result<(), BindError> {
        let mut bound = Vec::with_capacity(self.limit_owners.len());
        for (owner, limits) in &self.limit_owners {
            bound.push(bind(*owner, limits, now_unix_s, register)?);
        }
        for route in &mut self.routes {
            let owners = route.limit_owners.iter().map(|&owner| &bound[owner as usize]);
            route.limits = BoundLimits::join(owners);
        }
        for plan in self.plans.values_mut() {
            plan.limits = bound[plan.owner as usize].clone();
        }
        Ok(())
    }

    /// Handles of all limits that are bound: what the node pool must keep.
    pub fn limits(&self) -> impl Iterator<Item = &std::sync::Arc<penstock_limits::Limit>> {
        let routes = self.routes.iter().map(|route| &route.limits);
        let all = routes.chain(self.plans.values().map(|plan| &plan.limits));
        all.flat_map(|limits| limits.admit.iter().chain(&limits.spend)).map(|limit| &limit.handle)
    }

    /// Which route a request for this host (lower case, without port), normalised path, query and method gets,
    /// for explanations and drift reports; the chain does the same on its way.
    #[must_use]
    pub fn route_for<F: FieldSource>(
        &self,
        method: &str,
        host: &str,
        path: &str,
        query: &str,
        fields: &F,
    ) -> RouteFound {
        if !path.starts_with('/') {
            return RouteFound::Nothing;
        }
        let probe = Probe {
            host: host.as_bytes(),
            path: path.as_bytes(),
            query: query.as_bytes(),
            method: method.as_bytes(),
            fields,
            preflight: false,
        };
        match self.router.find(&probe) {
            Found::Route(matched) => RouteFound::Route(matched.route),
            Found::MethodNotAllowed(_) => RouteFound::MethodNotAllowed,
            Found::UnknownVersion => RouteFound::UnknownVersion,
            Found::Nothing => RouteFound::Nothing,
        }
    }

    /// A route by its index.
    #[must_use]
    pub fn route(&self, index: u32) -> Option<&RouteRule> {
        self.routes.get(index as usize)
    }

    /// All routes.
    #[must_use]
    pub fn routes(&self) -> &[RouteRule] {
        &self.routes
    }

    /// All upstreams, in the order of the spec.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// All listeners, in the order of the spec.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().map(|rule| &rule.listener)
    }
}
