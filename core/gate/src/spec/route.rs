//! Services, versions and routes as data.

use super::{Id, Limit, TimeoutsOverride, To, Uid};
use crate::cidr::Cidr;
use std::time::Duration;

/// A product: one API with its versions.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name, unique within the tenant.
    pub name: String,
    /// The tenant it belongs to.
    pub tenant: Id,
    /// The team that owns it.
    pub team: Id,
    /// How a version is chosen; `None`: the service has one unnamed version and paths stand as written.
    pub versioning: Option<Versioning>,
    /// Versions, at least one.
    pub versions: Vec<Version>,
    /// Limits that count every request to the service.
    pub limits: Vec<Limit>,
}

/// One version of a service.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name (`v1`, `2`, `2026-01`); empty for the one unnamed version.
    pub name: String,
    /// Limits that count every request to the version.
    pub limits: Vec<Limit>,
}

/// How the version of a request is found.
#[derive(Clone, Debug)]
pub struct Versioning {
    /// Where it is read from.
    pub from: VersionIn,
    /// Version (name) of requests that state none; `None`: they are not served.
    pub default: Option<String>,
    /// What happens to a request that states a version which does not exist.
    pub unknown: UnknownVersion,
}

/// Where a version is read from. A pattern holds `{version}` exactly once.
#[derive(Clone, Debug)]
pub enum VersionIn {
    /// The first path segment, which has the form of the pattern (`{version}` unless written). It is removed
    /// before the path goes upstream unless `keep`.
    Path {
        /// Form of the segment, e.g. `v{version}`.
        pattern: String,
        /// Leave the segment in the path that goes upstream.
        keep: bool,
    },
    /// A request field.
    Header {
        /// Lower-case name.
        name: String,
    },
    /// A query parameter. It goes upstream with the rest of the query.
    Query {
        /// Name, decoded.
        name: String,
    },
    /// The media type asked for in `Accept` (the first range that states a version counts).
    MediaType {
        /// Form of the type, e.g. `application/vnd.acme.{version}+json`.
        pattern: Option<String>,
        /// Parameter of any type that holds the version, e.g. `version` in `application/json;version=2`.
        name: Option<String>,
    },
    /// The host, e.g. `{version}.api.example.com`; the hosts of the routes themselves serve the default.
    Host {
        /// Form of the host.
        pattern: String,
    },
}

/// What happens to a request for a version that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownVersion {
    /// It is refused.
    #[default]
    Reject,
    /// It gets the default version.
    Default,
}

/// One route of one version of one service, with everything it inherits already in it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name, unique within the version.
    pub name: String,
    /// Its service (which names tenant and team).
    pub service: Id,
    /// Its version (of that service).
    pub version: Id,
    /// What it matches.
    pub matches: Match,
    /// Which odd path bytes are let through.
    pub path_policy: penstock_http::PathPolicy,
    /// Where it sends requests.
    pub to: To,
    /// Path sent upstream, with captures: `/internal/orders/{id}`, `/files/{*}` for what `*` matched. The
    /// query is kept. `None`: the path as matched (less a version segment).
    pub rewrite: Option<String>,
    /// Edits of fields.
    pub headers: RouteHeaders,
    /// Bounds of the request body.
    pub body: Body,
    /// Who may call.
    pub auth: Auth,
    /// What the caller must be allowed.
    pub authorize: Authorize,
    /// From where.
    pub ip: IpRules,
    /// Cross-origin rules, if any.
    pub cors: Option<Cors>,
    /// The route's own limits. Those of version, service, tenant and team stand there and add up.
    pub limits: Vec<Limit>,
    /// What it says about patience.
    pub timeouts: TimeoutsOverride,
    /// Fields by which the upstream learns who calls; copies that came in are always removed.
    pub identity_headers: Vec<IdentityHeader>,
    /// RateLimit fields on successful answers too.
    pub ratelimit_headers: bool,
    /// Tell the configuration revision in the answer (`x-penstock-revision`).
    pub expose_revision: bool,
}

/// What a route matches. All that is written must hold.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Hosts: `api.example.com`, `*.example.com` (one or more labels), `*`; empty: any. Without port.
    pub hosts: Vec<String>,
    /// Path template: `/orders/{id}`, `/files/*`. A parameter is one whole segment of at least one byte; `*`
    /// is the last segment and stands for the rest, also for nothing: `/a/*` matches `/a`, `/a/` and `/a/b`.
    pub path: String,
    /// Methods, upper case; empty: any.
    pub methods: Vec<String>,
    /// Conditions on request fields.
    pub headers: Vec<ValueMatch>,
    /// Conditions on query parameters.
    pub query: Vec<ValueMatch>,
}

/// A condition on a named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueMatch {
    /// Field name (lower case), or query key (decoded: no spelling of it in a request slips by).
    pub name: String,
    /// What must hold.
    pub test: ValueTest,
}

/// What must hold of a named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    /// It is there.
    Present,
    /// It is there exactly once and equals this, byte for byte (a query value: once decoded). (A repeated field equals nothing, so that two
    /// readers of one request cannot disagree.)
    Equals(String),
}

/// Edits of fields, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteHeaders {
    /// On the way up.
    pub request: HeaderEdits,
    /// On the way back.
    pub response: HeaderEdits,
}

/// Edits of fields one way: first `remove`, then `set`, then `add`. Names are lower case. Values are
/// templates: `{app.name}`, `{app.id}`, `{credential.id}`, `{team.name}`, `{tenant.name}`, `{service.name}`,
/// `{version}`, `{route.name}`, `{subject}`, `{scopes}`, `{client.ip}`, `{request.id}`, and captures of the
/// path by name (`{id}`, `{*}`). A brace that is meant is doubled. A field of which a part is not known
/// (no app, no subject) is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that replace those of the same name.
    pub set: Vec<(String, String)>,
    /// Fields that are sent beside those of the same name.
    pub add: Vec<(String, String)>,
    /// Fields that are taken out.
    pub remove: Vec<String>,
}

/// A field by which the upstream learns who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Lower-case name.
    pub name: String,
    /// Value, a template as in [`HeaderEdits`].
    pub value: String,
}

/// Bounds of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Bytes; `None`: unlimited.
    pub max: Option<u64>,
    /// Bytes a second below which a sender is given up (408); `None`: any.
    pub rate_min: Option<u64>,
}

impl Body {
    /// Default of [`Self::max`]: 10 MiB.
    pub const MAX: u64 = 10 << 20;
    /// Default of [`Self::rate_min`]: 1 KiB a second.
    pub const RATE_MIN: u64 = 1 << 10;
}

impl Default for Body {
    fn default() -> Self {
        Self { max: Some(Self::MAX), rate_min: Some(Self::RATE_MIN) }
    }
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody; credentials are not looked at.
    None,
    /// Whoever shows one of these. One that is shown and invalid refuses the request, whatever else is there;
    /// several that are shown must name the same app.
    Any(Vec<AuthMethod>),
    /// Whoever shows all of these, for the same app.
    All(Vec<AuthMethod>),
}

/// A way of being known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// An API key, read from the first of these places that holds one.
    ApiKey {
        /// See [`KeyPlace::defaults`].
        places: Vec<KeyPlace>,
    },
    /// `Authorization: Basic` (RFC 7617).
    Basic,
    /// `Authorization: Bearer` with a signed token.
    Jwt {
        /// Issuers accepted here, at least one.
        issuers: Vec<Id>,
        /// Whether the token must belong to a known app.
        app: AppRule,
    },
    /// A signed request (see `docs/hmac.md`).
    Hmac,
    /// A client certificate.
    Mtls,
}

/// Whether a valid token must belong to a known app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppRule {
    /// Without: 403 `unknown_app`.
    #[default]
    Required,
    /// Without: served, with a subject and no app.
    Optional,
}

/// A place an API key is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A field (lower-case name).
    Header(String),
    /// `Authorization: Bearer`, if it starts with `psk_` (otherwise it is a token, not a key).
    Bearer,
    /// `Authorization: Bearer`, whatever it looks like.
    BearerAnyForm,
    /// A query parameter. It is taken out of the query that goes upstream.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl KeyPlace {
    /// Where keys are read unless written otherwise: `x-api-key`, then `Authorization: Bearer psk_...`.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        vec![Self::Header("x-api-key".to_owned()), Self::Bearer]
    }
}

/// What a caller must be allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorize {
    /// Scopes, all of them.
    pub scopes: Vec<String>,
    /// Whether the app must have subscribed to the service. (An existing subscription's plan counts either
    /// way.)
    pub subscription: SubscriptionRule,
}

/// Whether a subscription is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionRule {
    /// No.
    #[default]
    None,
    /// Yes.
    Required,
}

/// Networks that may call. `deny` goes before `allow`; an empty `allow` is everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpRules {
    /// The nearest list that was written.
    pub allow: Vec<Cidr>,
    /// The lists of all levels together.
    pub deny: Vec<Cidr>,
}

/// Cross-origin rules (the Fetch standard, CORS protocol).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Origins: exact (`https://app.example.com`), with a wildcard label (`https://*.example.com`), or `*`.
    pub origins: Vec<String>,
    /// Methods allowed; empty: the route's (any, if it lists none).
    pub methods: Vec<String>,
    /// Request fields allowed (lower case); empty: those that are asked for.
    pub headers: Vec<String>,
    /// Answer fields that scripts may read.
    pub expose: Vec<String>,
    /// Cookies and credentials; not together with the origin `*`.
    pub credentials: bool,
    /// How long a preflight answer may be kept.
    pub age_max: Duration,
}

impl Cors {
    /// Default of [`Self::age_max`].
    pub const AGE_MAX: Duration = Duration::from_secs(600);
}
