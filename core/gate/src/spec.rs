//! The input of the gate: flattened, id-resolved plain data.
//!
//! Whoever reads configuration (files, the store) parses, validates, inherits and merges, and hands over
//! this. Nothing here refers to a file or a row; references between resources are dictionary ids.
//! Everything is *effective*: what a route inherits from version, service and tenant is already in it.
//! This module holds data only: no parsing beyond what its types need, no behaviour.

mod ai;
mod callers;
mod limit;
mod listener;
mod route;
mod upstream;

pub use ai::{
    Ai, AiRoute, AiService, Allowed, Endpoint, Model, ModelSpec, OnLoss, OnUnknownPrice, Provider,
    ProviderKey, ProviderSecret, To,
};
pub use callers::{
    ApiKeyHash, ApiKeyLookup, App, CallerSet, Credential, CredentialKind, HASH_KEYS_MAX, HashKey, MtlsMatch,
    Status, Subscription,
};
pub use limit::{
    Algorithm, CalendarWindow, Direction, KEYS_MAX_DEFAULT, KeyPart, Limit, Measure, Mode, Period, Reserve,
    TokenKind,
};
pub use listener::{
    Address, Certificate, CertificateClientMode, ClientTls, Hsts, Listener, ListenerLimits, ListenerTimeouts,
    ListenerTls, PemSource, Protocol, TlsVersion,
};
pub use route::{
    AppRule, Auth, AuthMethod, Authorize, Body, Cors, HeaderEdits, IdentityHeader, IpRules, KeyPlace, Match,
    Route, RouteHeaders, Service, SubscriptionRule, UnknownVersion, ValueMatch, ValueTest, Version,
    VersionIn, Versioning,
};
pub use upstream::{
    ActiveHealth, Balance, Breaker, HashBy, HostHeader, PassiveHealth, Pool, Retries, RetryOn, Scheme,
    Target, TargetAddress, Timeouts, TimeoutsOverride, Upstream, UpstreamTls, Verify,
};

/// What of a path is refused unless a route allows it.
pub use penstock_http::PathPolicy;

use crate::cidr::Cidr;
use std::sync::Arc;
use std::time::Duration;

/// An id of the ring dictionary: names a resource within one data directory and is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u32);

/// A stable identity that survives renames of other resources, reloads and restarts: what counters and
/// pools are keyed by. For resources of a file it is a hash of the full name (see [`Uid::of`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub u64);

impl Uid {
    /// The uid of a resource that has no other: the first eight bytes (little-endian) of the BLAKE3 hash of
    /// its kind and the parts of its full name (tenant, team, service ...), each preceded by its length.
    #[must_use]
    pub fn of(kind: &str, names: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in std::iter::once(&kind).chain(names) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

/// One whole configuration, ready to be compiled.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Number of this configuration; each answer can be told by it.
    pub revision: u64,
    /// Peers whose `Forwarded` and `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// What is done with a request id that comes in.
    pub request_id: RequestIdPolicy,
    /// Addresses the workers accept on.
    pub listeners: Vec<Listener>,
    /// Who may sign JWTs.
    pub issuers: Vec<Issuer>,
    /// Tenants, at least one.
    pub tenants: Vec<Tenant>,
    /// Teams of the tenants.
    pub teams: Vec<Team>,
    /// What subscriptions allow.
    pub plans: Vec<Plan>,
    /// Where requests are sent.
    pub upstreams: Vec<Upstream>,
    /// Products, with their versions and how a version is read from a request.
    pub services: Vec<Service>,
    /// All routes of all versions of all services; their order means nothing.
    pub routes: Vec<Route>,
    /// Apps, credentials and subscriptions that are known when the process starts. They do not become part
    /// of the snapshot: each worker keeps them in a table that is fed by deltas afterwards.
    pub callers: CallerSet,
    /// Providers and models of AI services.
    pub ai: Arc<Ai>,
}

/// When an `x-request-id` that comes in is kept; otherwise one is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestIdPolicy {
    /// Kept when it comes from a trusted proxy and is well formed.
    #[default]
    KeepFromTrusted,
    /// Kept from anybody when well formed.
    Keep,
    /// Always made anew.
    Make,
}

/// Independent owner of services, apps and limits.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name, unique among tenants.
    pub name: String,
    /// Limits that count every request to the tenant's routes.
    pub limits: Vec<Limit>,
}

/// People of a tenant who own services and apps.
#[derive(Clone, Debug, Default)]
pub struct Team {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// The tenant it belongs to.
    pub tenant: Id,
    /// Name, unique within the tenant.
    pub name: String,
    /// Limits that count every request to the team's routes.
    pub limits: Vec<Limit>,
}

/// What a subscription allows. Its limits are counted for each subscription on its own, whatever their key.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name.
    pub name: String,
    /// The plan's limits.
    pub limits: Vec<Limit>,
}

/// Clock difference to an issuer that is forgiven in `exp`, `nbf` and `iat`, unless written otherwise.
pub const SKEW_DEFAULT: Duration = Duration::from_secs(30);

/// Largest clock difference that may be forgiven; a larger one is a compile error.
pub const SKEW_MAX: Duration = Duration::from_secs(300);

/// Somebody who may sign JWTs (RFC 7519).
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name by which routes and credentials refer to it.
    pub name: String,
    /// Exact value of the claim `iss`. Two issuers may not share one.
    pub issuer: String,
    /// JSON text of the key set (RFC 7517): `{"keys":[...]}`. Keys that are not public signature keys of an
    /// allowed algorithm are left out; none left is an error.
    pub jwks: String,
    /// Values of which `aud` must hold at least one; empty: the claim is not looked at.
    pub audiences: Vec<String>,
    /// Signature algorithms allowed, JOSE names (RFC 7518): `RS256`, `ES256`, `EdDSA` ... Never empty, never
    /// `none`, never `HS*`.
    pub algorithms: Vec<String>,
    /// Clock difference that is forgiven, at most [`SKEW_MAX`].
    pub skew: Duration,
    /// Media type asked of the header `typ` (`at+jwt` for RFC 9068), compared without case and with or
    /// without `application/`. `None`: absent, `JWT` and `at+jwt` are all accepted.
    pub typ: Option<String>,
}
