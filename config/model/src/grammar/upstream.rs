//! Upstreams: targets, and how they are reached, watched and retried.

use crate::document::Node;
use crate::place::At;
use crate::read::network::TargetUrl;
use crate::read::object::{choice, object};
use crate::read::text::{CheckPath, FilePath, HeaderName, HostPattern, Name, ParameterName, Text};
use crate::read::units::{Int, Percent, Span};
use crate::read::{Cx, Effective, Fault, Read, Shape, Word};

object! {
    /// A named set of equal targets.
    Upstream {
        /// Name, of its own in all files.
        required name: Name,
        /// Where requests are sent.
        required targets: Vec<At<Target>>,
        /// How a target is chosen.
        default balance: Balance = "least_request",
        /// What `balance: hash` goes by.
        default hash_by: HashBy = "caller",
        /// Checks that the gateway makes by itself.
        optional health: Health = "no checks",
        /// Ejection of targets that fail real requests.
        optional passive_health: PassiveHealth = "off",
        /// Patience.
        default timeouts: UpstreamTimeouts = "{}",
        /// Connections kept.
        default pool: Pool = "{}",
        /// Second tries, made only when they are safe (idempotent, or nothing was sent).
        default retries: Retries = "{}",
        /// Breaker of each target.
        optional breaker: Breaker = "off",
        /// TLS towards `https` targets.
        default tls: UpstreamTls = "{}",
        /// What `Host` the targets get: `keep` (what came in), `target` (its own), or a name.
        default host_header: HostHeader = "keep",
    }
    later {
        "http2": "HTTP/2 to upstreams comes later",
        "h2": "HTTP/2 to upstreams comes later",
        "protocol": "HTTP/1.1 is spoken to upstreams; others come later",
        "slow_start": "slow start comes later",
        "shadow": "mirrored traffic comes later",
        "hedging": "hedging comes later",
        "dns": "names are resolved anew by themselves; options come later",
    }
}

object! {
    /// One place requests are sent to.
    Target {
        /// `http://host:port`, `https://host:port` or `unix:/path`.
        required url: TargetUrl,
        /// Share of requests.
        default weight: Int<1, 65535> = "1",
        /// Used only while no ordinary target is fit.
        default backup: bool = "false",
    }
}

choice! {
    /// How a target is chosen.
    Balance {
        /// by turns, by weight
        RoundRobin = "round_robin",
        /// the less busy of two drawn at random
        LeastRequest = "least_request",
        /// the one that answers soonest, by a moving average
        Ewma = "ewma",
        /// always the same for the same key, see `hash_by`
        Hash = "hash",
    }
}

/// What `balance: hash` goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    /// The caller's app; the client's address where there is none.
    Caller,
    /// The client's address.
    Client,
    /// A header.
    Header(String),
    /// A cookie.
    Cookie(String),
}

impl Word for HashBy {
    const WHAT: &'static str = "a key to hash by";
    const FORM: &'static str = "caller, client, header.<name> or cookie.<name>";
    const PATTERN: &'static str = r"^(caller|client|header\..+|cookie\..+)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        match (text, text.split_once('.')) {
            ("caller", _) => Ok(HashBy::Caller),
            ("client", _) => Ok(HashBy::Client),
            (_, Some(("header", name))) => HeaderName::parse(name).map(|name| HashBy::Header(name.0)),
            (_, Some(("cookie", name))) => ParameterName::parse(name).map(|name| HashBy::Cookie(name.0)),
            _ => Err(Fault::plain()),
        }
    }

    fn show(&self) -> String {
        match self {
            HashBy::Caller => "caller".to_owned(),
            HashBy::Client => "client".to_owned(),
            HashBy::Header(name) => format!("header.{name}"),
            HashBy::Cookie(name) => format!("cookie.{name}"),
        }
    }
}

object! {
    /// Checks that the gateway makes by itself, once per node.
    Health {
        /// Path asked for by GET; an answer of 200 to 399 is healthy.
        required path: CheckPath,
        /// Time between two checks.
        default interval: Span<100, 3_600_000> = "5s",
        /// Time after which a check has failed.
        default timeout: Span<10, 600_000> = "2s",
        /// Failures in a row that take a target out.
        default unhealthy_after: Int<1, 100> = "3",
        /// Successes in a row that bring it back.
        default healthy_after: Int<1, 100> = "2",
    }
}

object! {
    /// Ejection of targets that fail real requests.
    PassiveHealth {
        /// Failures in a row (connect failures, resets, 5xx) that eject a target.
        default failures: Int<1, 1000> = "5",
        /// How long it stays out the first time; doubled each further time.
        default ejection: Span<100, 3_600_000> = "10s",
        /// Largest share of targets that may be out at once.
        default max_ejected: Percent = "50%",
    }
}

object! {
    /// Patience towards targets.
    UpstreamTimeouts {
        /// For a connection, TLS included.
        default connect: Span<1, 600_000> = "1s",
        /// From the request's last byte to the answer's first.
        default first_byte: Span<1, 86_400_000> = "30s",
        /// Between two bytes of a body, either way.
        default idle: Span<1, 86_400_000> = "60s",
        /// For everything.
        optional total: Span<1, 86_400_000> = "off",
    }
}

object! {
    /// Connections kept to each target.
    Pool {
        /// How long an unused one is kept.
        default idle: Span<0, 86_400_000> = "55s",
        /// Connections to one target, over all workers of the node.
        default max_per_target: Int<1, 1_000_000> = "1000",
        /// How long a request waits for one when all are taken.
        default wait: Span<0, 600_000> = "1s",
    }
}

object! {
    /// Second tries.
    Retries {
        /// Tries after the first; 0: none.
        default max: Int<0, 10> = "1",
        /// What is tried again: `connect_failure`, `reset`, or a status from 500 to 599.
        default retry_on: Vec<At<RetryOn>> = "[ connect_failure ]",
        /// Share of live requests that may be retries (and at least 3).
        default budget: Percent = "20%",
    }
}

/// A reason to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection came about.
    ConnectFailure,
    /// The connection broke before the answer's first byte.
    Reset,
    /// The answer had this status.
    Status(u16),
}

impl Word for RetryOn {
    const WHAT: &'static str = "a reason to try again";
    const FORM: &'static str = "connect_failure, reset, or a status from 500 to 599";
    const PATTERN: &'static str = "^(connect_failure|reset|5[0-9][0-9])$";

    fn parse(text: &str) -> Result<Self, Fault> {
        match (text, text.parse::<u16>()) {
            ("connect_failure", _) => Ok(RetryOn::ConnectFailure),
            ("reset", _) => Ok(RetryOn::Reset),
            (_, Ok(status @ 500..=599)) => Ok(RetryOn::Status(status)),
            _ => Err(Fault::plain()),
        }
    }

    fn show(&self) -> String {
        match self {
            RetryOn::ConnectFailure => "connect_failure".to_owned(),
            RetryOn::Reset => "reset".to_owned(),
            RetryOn::Status(status) => status.to_string(),
        }
    }

    fn word_shape() -> Shape {
        Shape::Either(vec![
            Shape::Choice(&[
                ("connect_failure", "no connection came about; nothing was sent"),
                ("reset", "the connection broke before the answer's first byte"),
            ]),
            Shape::Integer { min: 500, max: 599 },
        ])
    }
}

object! {
    /// Breaker of one target.
    Breaker {
        /// Share of failed requests in the window that opens it.
        default errors: Percent = "50%",
        /// Length of the window.
        default window: Span<100, 3_600_000> = "10s",
        /// How long it stays open before one request may try.
        default open: Span<100, 3_600_000> = "5s",
        /// Requests in the window below which it never opens.
        default min_requests: Int<1, 1_000_000> = "20",
    }
}

object! {
    /// TLS towards targets.
    UpstreamTls {
        /// Name sent as SNI, which the certificate must bear.
        optional sni: Text = "the target's host",
        /// PEM file of the authorities.
        optional ca: FilePath = "those of the system",
        /// PEM file of our own chain, if the target asks for one.
        optional cert: FilePath = "none is shown",
        /// PEM file of its key.
        optional key: FilePath = "none",
        /// `false` turns the check of the target's certificate off.
        default verify: bool = "true",
    }
}

/// What `Host` the targets get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// What came in.
    Keep,
    /// The target's own.
    Target,
    /// This name.
    Fixed(String),
}

impl Read for HostHeader {
    fn shape() -> Shape {
        Shape::Either(vec![
            Shape::Choice(&[("keep", "what came in"), ("target", "the target's own")]),
            HostPattern::word_shape(),
        ])
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        let host = HostPattern::read(node, cx)?;
        match &*host {
            "keep" => Some(HostHeader::Keep),
            "target" => Some(HostHeader::Target),
            name if name.contains('*') => {
                cx.problems.add(node.pos, "a `Host` holds no `*`", "write keep, target or one name");
                None
            }
            name => Some(HostHeader::Fixed(name.to_owned())),
        }
    }

    fn explain(&self, path: &str, pos: crate::place::Pos, out: &mut Vec<Effective>) {
        let value = match self {
            HostHeader::Keep => "keep",
            HostHeader::Target => "target",
            HostHeader::Fixed(name) => name,
        };
        out.push(Effective { path: path.to_owned(), value: value.to_owned(), pos });
    }
}
