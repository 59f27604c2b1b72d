//! Services, their versions and routes.

use super::ai::AiService;
use super::limit::Limit;
use super::policy::{Auth, Authorize, Body, Cors, HeaderEdits, Ip, TimeoutsOverride};
use crate::place::At;
use crate::read::Pairs;
use crate::read::object::{choice, object};
use crate::read::text::{
    HeaderName, HostPattern, Method, Name, ParameterName, PathPattern, Rewrite, Template, Text,
    VersionPattern,
};

object! {
    /// A product: one API, in versions or with its routes listed directly.
    Service {
        /// Name, of its own in all files.
        required name: Name,
        /// The team that owns it.
        default team: Name = "default",
        /// How a version is chosen; goes with `versions`.
        optional versioning: Versioning = "one unnamed version",
        /// Versions; instead of `routes`.
        default versions: Vec<At<Version>> = "[]",
        /// Routes of the one unnamed version; instead of `versions`. Paths go upstream as they come.
        default routes: Vec<At<Route>> = "[]",
        /// Who may call.
        optional auth: Auth = "inherited",
        /// What a caller must be allowed.
        optional authorize: Authorize = "inherited",
        /// From where; denied networks of all levels add up.
        optional ip: Ip = "from anywhere",
        /// Cross-origin rules.
        optional cors: Cors = "inherited",
        /// Patience towards upstreams.
        optional timeouts: TimeoutsOverride = "inherited",
        /// Bounds of request bodies.
        optional body: Body = "inherited",
        /// Edits of headers.
        optional headers: HeaderEdits = "inherited",
        /// The dialects of language models, served under a prefix.
        optional ai: AiService = "no models",
        /// Limits over all requests to the service.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "visibility": "the portal comes later",
        "approval": "subscriptions in the file are approved; others come later",
        "tags": "the portal comes later",
        "docs": "the portal comes later",
        "openapi": "OpenAPI documents come later",
        "mfa": "step-up comes later",
    }
}

object! {
    /// How the version of a request is found.
    Versioning {
        /// Where it is read from.
        required r#in: VersionIn,
        /// Name of the header, query parameter or media type parameter.
        optional name: ParameterName = "none",
        /// Form of the path segment, media type or host, with `{version}` in it.
        optional pattern: VersionPattern = "{version}",
        /// Version of requests that state none.
        optional default: Text = "they are not served",
        /// What happens to a version that does not exist.
        default unknown: UnknownVersion = "reject",
        /// `in: path`: leave the segment in the path that goes upstream.
        default keep: bool = "false",
    }
}

choice! {
    /// Where a version is read from.
    VersionIn {
        /// the first path segment, matched and then removed
        Path = "path",
        /// a header, see `name`
        Header = "header",
        /// a query parameter, see `name`
        Query = "query",
        /// the media type in `Accept`, see `pattern` and `name`
        MediaType = "media_type",
        /// the host, see `pattern`
        Host = "host",
    }
}

choice! {
    /// What happens to a version that does not exist.
    UnknownVersion {
        /// it is refused
        Reject = "reject",
        /// it gets the default version
        Default = "default",
    }
}

object! {
    /// One version of a service.
    Version {
        /// Name of the version, as requests state it.
        required version: Name,
        /// Its routes.
        required routes: Vec<At<Route>>,
        /// Who may call.
        optional auth: Auth = "inherited",
        /// What a caller must be allowed.
        optional authorize: Authorize = "inherited",
        /// From where; denied networks of all levels add up.
        optional ip: Ip = "from anywhere",
        /// Cross-origin rules.
        optional cors: Cors = "inherited",
        /// Patience towards upstreams.
        optional timeouts: TimeoutsOverride = "inherited",
        /// Bounds of request bodies.
        optional body: Body = "inherited",
        /// Edits of headers.
        optional headers: HeaderEdits = "inherited",
        /// Limits over all requests to the version.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "state": "what stands in the file is published; drafts come later",
        "openapi": "OpenAPI documents come later",
        "canary": "canaries come later",
        "sunset": "deprecation comes later",
    }
}

object! {
    /// From a match to an upstream, with the policies between.
    Route {
        /// Name, of its own in the version.
        required name: Name,
        /// What it matches. The most specific route wins, whatever the order.
        required r#match: Match,
        /// Name of the upstream.
        required upstream: Name,
        /// Change of the path before it goes upstream.
        optional rewrite: PathRewrite = "the path as matched, less a version segment",
        /// Who may call. Nowhere written is an error.
        optional auth: Auth = "inherited from version, service, tenant",
        /// What a caller must be allowed.
        optional authorize: Authorize = "inherited",
        /// From where; denied networks of all levels add up.
        optional ip: Ip = "from anywhere",
        /// Cross-origin rules.
        optional cors: Cors = "inherited",
        /// Patience towards the upstream.
        optional timeouts: TimeoutsOverride = "inherited",
        /// Bounds of the request body.
        optional body: Body = "inherited; 10MiB and 1KiB/s where nowhere written",
        /// Edits of headers.
        optional headers: HeaderEdits = "inherited",
        /// Odd path bytes that are let through.
        default path_policy: PathPolicy = "{}",
        /// Headers by which the upstream learns who calls; copies that come in are always removed.
        default identity_headers: Pairs<HeaderName, Template> = "{}",
        /// RateLimit headers on successful answers too.
        default ratelimit_headers: bool = "false",
        /// Tell the revision of the configuration in `x-penstock-revision`.
        default expose_revision: bool = "false",
        /// Limits over its requests.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "ai": "`ai` stands on a service",
        "mfa": "step-up comes later",
        "cache": "the response cache comes later",
        "validate": "validation against OpenAPI comes later",
        "websocket": "WebSocket comes later: upgrades are answered with 501",
        "grpc": "HTTP/2 comes later",
        "canary": "canaries come later",
        "guards": "the AI half comes later: remove it, or use a build that has it",
    }
}

object! {
    /// What a route matches. All that is written must hold.
    Match {
        /// Hosts, as `api.example.com` or `"*.example.com"`; empty: any.
        default hosts: Vec<At<HostPattern>> = "[]",
        /// Path: `/orders/{id}`, `/files/*`.
        required path: PathPattern,
        /// Methods; empty: any.
        default methods: Vec<At<Method>> = "[]",
        /// Headers that must be there once with this value; `"*"`: with any.
        default headers: Pairs<HeaderName, Text> = "{}",
        /// Query parameters that must be there once with this value; `"*"`: with any.
        default query: Pairs<Text, Text> = "{}",
    }
}

object! {
    /// Change of the path.
    PathRewrite {
        /// Path sent upstream, with captures: `/internal/orders/{id}`, `/files/{*}`.
        required path: Rewrite,
    }
    later {
        "host": "write `host_header` on the upstream",
        "query": "the query is kept as it came",
    }
}

object! {
    /// Odd path bytes, refused unless they stand here.
    PathPolicy {
        /// What is let through.
        default allow: Vec<At<OddPath>> = "[]",
    }
}

choice! {
    /// Odd path bytes.
    OddPath {
        /// empty segments, `//`
        DoubleSlash = "double_slash",
        /// a raw `\`
        Backslash = "backslash",
        /// `%2f`, kept escaped
        EncodedSlash = "encoded_slash",
        /// `%5c`, kept escaped
        EncodedBackslash = "encoded_backslash",
        /// `%00` and the other control bytes, kept escaped
        EncodedControls = "encoded_controls",
        /// a `%` without two hexadecimal digits after it, forwarded as `%25`
        MalformedEscapes = "malformed_escapes",
        /// `/.;x` and `/..;x`, which some servers take for dot segments
        DotParameters = "dot_parameters",
    }
}
