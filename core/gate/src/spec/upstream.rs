//! Upstreams as data: targets and how they are reached, watched and retried.

use super::{Id, PemSource, Uid};
use std::path::PathBuf;
use std::time::Duration;

/// A named set of equal targets.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity: pools, health and breakers outlive a snapshot under it.
    pub uid: Uid,
    /// Name.
    pub name: String,
    /// Targets, at least one that is no backup.
    pub targets: Vec<Target>,
    /// How one is chosen.
    pub balance: Balance,
    /// Active checks, if any.
    pub health: Option<ActiveHealth>,
    /// Ejection by what real requests met, if wanted.
    pub passive_health: Option<PassiveHealth>,
    /// Patience.
    pub timeouts: Timeouts,
    /// Connections kept.
    pub pool: Pool,
    /// Second tries.
    pub retries: Retries,
    /// Breaker of each target, if wanted.
    pub breaker: Option<Breaker>,
    /// TLS towards targets whose scheme is `https`.
    pub tls: UpstreamTls,
    /// What `Host` they get.
    pub host_header: HostHeader,
}

/// One place requests can be sent to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// URL as written, for people.
    pub name: String,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Where it is.
    pub address: TargetAddress,
    /// Share of requests, at least 1.
    pub weight: u32,
    /// Used only while no ordinary target is fit.
    pub backup: bool,
}

/// How a target is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 without TLS.
    Http,
    /// HTTP/1.1 or 2 (by ALPN) over TLS.
    Https,
    /// HTTP/2 by prior knowledge without TLS.
    H2c,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetAddress {
    /// A literal address and port.
    Ip(std::net::SocketAddr),
    /// A name to be resolved, lower case, and a port.
    Dns(String, u16),
    /// A Unix stream socket at this path.
    Unix(PathBuf),
}

/// How a target is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By turns, by weight.
    RoundRobin,
    /// The less busy of two drawn at random.
    #[default]
    LeastRequest,
    /// The one that answers soonest, by a moving average.
    Ewma,
    /// Always the same for the same key.
    Hash(HashBy),
}

/// What [`Balance::Hash`] goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The caller's app; the client's address where there is none.
    Caller,
    /// The client's address.
    Client,
    /// A request field (lower-case name).
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// Checks made by the gateway itself, once per node.
#[derive(Clone, Debug)]
pub struct ActiveHealth {
    /// Path that is asked for by GET; an answer of 200 to 399 is healthy.
    pub path: String,
    /// Time between two checks of a target.
    pub interval: Duration,
    /// Time after which a check has failed.
    pub timeout: Duration,
    /// Failures in a row that take a target out.
    pub unhealthy_after: u32,
    /// Successes in a row that bring it back.
    pub healthy_after: u32,
}

impl ActiveHealth {
    /// Default of [`Self::interval`].
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// Default of [`Self::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// Default of [`Self::unhealthy_after`].
    pub const UNHEALTHY_AFTER: u32 = 3;
    /// Default of [`Self::healthy_after`].
    pub const HEALTHY_AFTER: u32 = 2;
}

/// Ejection of targets that fail real requests.
#[derive(Clone, Copy, Debug)]
pub struct PassiveHealth {
    /// Failures in a row (connect failures, resets, 5xx) that eject a target.
    pub failures: u32,
    /// How long it stays out the first time; doubled each further time.
    pub ejection: Duration,
    /// Largest share of targets that may be out at once, in percent.
    pub ejected_percent_max: u8,
}

impl Default for PassiveHealth {
    fn default() -> Self {
        Self { failures: 5, ejection: Duration::from_secs(10), ejected_percent_max: 50 }
    }
}

/// Patience towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// Between two bytes of a body, either way.
    pub idle: Duration,
    /// For everything, from the match on; `None`: off.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// Default of [`Self::connect`].
    pub const CONNECT: Duration = Duration::from_secs(1);
    /// Default of [`Self::first_byte`].
    pub const FIRST_BYTE: Duration = Duration::from_secs(30);
    /// Default of [`Self::idle`].
    pub const IDLE: Duration = Duration::from_secs(60);
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Self::CONNECT, first_byte: Self::FIRST_BYTE, idle: Self::IDLE, total: None }
    }
}

/// What a route says about patience; `None` leaves the upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutsOverride {
    /// See [`Timeouts::connect`].
    pub connect: Option<Duration>,
    /// See [`Timeouts::first_byte`].
    pub first_byte: Option<Duration>,
    /// See [`Timeouts::idle`].
    pub idle: Option<Duration>,
    /// See [`Timeouts::total`].
    pub total: Option<Duration>,
}

/// Connections kept to each target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How long an unused one is kept.
    pub idle: Duration,
    /// Connections to one target, over all workers of the node.
    pub per_target_max: u32,
    /// How long a request waits for one when all are taken.
    pub wait: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self { idle: Duration::from_secs(55), per_target_max: 1000, wait: Duration::from_secs(1) }
    }
}

/// Second tries, made only when they are safe (idempotent, or nothing was sent).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first; 0: none.
    pub max: u8,
    /// What is tried again.
    pub retry_on: Vec<RetryOn>,
    /// Share of live requests that may be retries, in percent.
    pub budget_percent: u8,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 1, retry_on: vec![RetryOn::ConnectFailure], budget_percent: 20 }
    }
}

/// A reason to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection came about; nothing was sent.
    ConnectFailure,
    /// The connection broke before the answer's first byte.
    Reset,
    /// The answer had this status.
    Status(u16),
}

/// Breaker of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Share of failed requests in the window that opens it, in percent.
    pub errors_percent: u8,
    /// Length of the window.
    pub window: Duration,
    /// How long it stays open before one request may try.
    pub open: Duration,
    /// Requests in the window below which it never opens.
    pub requests_min: u32,
}

impl Breaker {
    /// Default of [`Self::requests_min`].
    pub const REQUESTS_MIN: u32 = 20;
}

/// TLS towards targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// SNI name and name that the certificate must bear; `None`: the target's host.
    pub sni: Option<String>,
    /// Authorities; `None`: those of the system.
    pub ca: Option<PemSource>,
    /// Our own certificate (chain, key), if the target asks for one.
    pub client_certificate: Option<(PemSource, PemSource)>,
    /// Whether the target's certificate is checked.
    pub verify: Verify,
}

/// Whether a certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Checked in full.
    #[default]
    Full,
    /// Not checked; must be written out and is told at start.
    Off,
}

/// What `Host` a target gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The one that came in.
    #[default]
    Keep,
    /// The target's own.
    Target,
    /// This one.
    Fixed(String),
}
