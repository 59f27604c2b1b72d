//! The stable list of every answer that the gateway makes by itself, and why.
//!
//! A code is what callers script against, what a call record stores and what `docs/errors.md` explains.
//! It knows nothing of messages or buffers. Names and numbers never change meaning; new ones are added.

macro_rules! codes {
    ($($(#[$attr:meta])* $variant:ident = $id:literal, $name:literal, $status:literal, $title:literal, $doc:literal;)+) => {
        /// Why the gateway answered a call itself, or ended it, instead of relaying an upstream's answer.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $doc] $variant = $id,)+
        }

        impl Code {
            /// Every code, ascending by number.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The name callers see in the `code` member of a problem document: snake_case, stable.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The HTTP status that goes with it (499 is used in records only and never sent).
            pub const fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }

            /// A few words for people, in sentence case, without a full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)+ }
            }

            /// One sentence for the list of errors in the documentation.
            pub const fn doc(self) -> &'static str {
                match self { $(Code::$variant => $doc,)+ }
            }

            /// The code with this record number, if there is one.
            pub const fn from_id(id: u16) -> Option<Code> {
                match id { $($id => Some(Code::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    // 1-99: the message itself
    BadRequestLine = 1, "bad_request_line", 400, "Malformed request line", "The first line is not `METHOD SP target SP HTTP/1.x CRLF`.";
    BadMethod = 2, "bad_method", 400, "Malformed method", "The method is empty, too long or holds bytes that are not token characters.";
    BadTarget = 3, "bad_target", 400, "Malformed request target", "The request target is in no form that HTTP allows here, or holds bytes that a URI must not hold.";
    BadHeader = 4, "bad_header", 400, "Malformed header field", "A field name is empty or not a token, a space stands before the colon, or a value holds control bytes.";
    BadHost = 5, "bad_host", 400, "Malformed Host", "Host is repeated, malformed, or differs from the authority of the request target.";
    MissingHost = 6, "missing_host", 400, "Host is missing", "An HTTP/1.1 request has no Host field.";
    ObsFold = 7, "obs_fold", 400, "Folded header field", "A field line begins with white space (obsolete line folding).";
    BadLineEnd = 8, "bad_line_end", 400, "Bare CR or LF", "A line of the head ends in a lone LF, or holds a lone CR.";
    ContentLengthConflict = 9, "content_length_conflict", 400, "Content-Length is repeated", "Content-Length stands there more than once.";
    BadContentLength = 10, "bad_content_length", 400, "Malformed Content-Length", "Content-Length is not one plain decimal number that fits into 64 bits.";
    BadTransferEncoding = 11, "bad_transfer_encoding", 400, "Unsupported Transfer-Encoding", "Transfer-Encoding is anything but a single `chunked`, or stands in an HTTP/1.0 message.";
    TransferEncodingWithContentLength = 12, "transfer_encoding_with_content_length", 400, "Two kinds of framing", "Transfer-Encoding and Content-Length stand in the same message.";
    BadChunk = 13, "bad_chunk", 400, "Malformed chunk", "A chunk size, its extension or the line end after its data is malformed or too long.";
    BadTrailer = 14, "bad_trailer", 400, "Malformed trailer", "The trailer section is malformed or too long.";
    HeadTooLarge = 15, "head_too_large", 431, "Request head too large", "The request head is larger than the limit (32 KiB by default).";
    TooManyFields = 16, "too_many_fields", 431, "Too many header fields", "The request head holds more fields than the limit (128 by default).";
    TargetTooLong = 17, "target_too_long", 414, "Request target too long", "The request target is longer than the limit (16 KiB by default).";
    BodyTooLarge = 18, "body_too_large", 413, "Request body too large", "The request body is larger than the limit of the route.";
    HeadTimeout = 19, "head_timeout", 408, "Request head came too slowly", "The request head was not complete in time.";
    BodyTimeout = 20, "body_timeout", 408, "Request body stalled", "No byte of the request body came for too long.";
    BodyTooSlow = 21, "body_too_slow", 408, "Request body came too slowly", "The request body came below the floor rate.";
    VersionNotSupported = 22, "version_not_supported", 505, "HTTP version not supported", "The request line names a version of HTTP that is not served in this form.";
    ExpectationFailed = 23, "expectation_failed", 417, "Unknown expectation", "Expect holds anything but `100-continue`.";
    WebsocketNotSupported = 24, "websocket_not_supported", 501, "WebSocket is not served here", "The request asks for a WebSocket on a route that does not serve one.";
    MethodNotSupported = 25, "method_not_supported", 501, "Method not supported", "The gateway does not implement this method anywhere.";
    ConnectNotSupported = 26, "connect_not_supported", 501, "CONNECT is not supported", "The request asks for a tunnel, which this gateway never opens.";
    BadPath = 27, "bad_path", 400, "Ambiguous path", "The path climbs above the root or holds `//`, a backslash, %2f, %5c, %00 or a broken escape, which the route does not allow.";
    UnsupportedMediaType = 28, "unsupported_media_type", 415, "Unsupported media type", "The content type of the request is not accepted by the route.";
    BodyInvalid = 29, "body_invalid", 400, "Request body is not valid", "The request body could not be read as what its content type says, or does not fit the schema of the route.";
    ParameterInvalid = 30, "parameter_invalid", 400, "Parameter is not valid", "A path, query or header parameter does not fit the schema of the route.";
    TooManyOptions = 31, "too_many_connection_options", 400, "Too many connection options", "The Connection field lists more names than any honest client does.";
    Misdirected = 32, "misdirected_request", 421, "Misdirected request", "The host of the request is not served on this connection.";

    // 100-199: routing
    NoRoute = 100, "no_route", 404, "No route", "No route matches the host and the path.";
    MethodNotAllowed = 101, "method_not_allowed", 405, "Method not allowed", "The path is served, but not with this method; Allow lists those that are.";
    UnknownVersion = 102, "unknown_version", 404, "Unknown API version", "The API has no such version.";
    VersionRetired = 103, "version_retired", 410, "API version retired", "The version of the API has been retired; the answer points to its successor.";
    NotFound = 104, "not_found", 404, "Not found", "What the request names does not exist, or belongs to somebody else.";
    NotAcceptable = 105, "not_acceptable", 406, "Not acceptable", "The route can produce nothing that Accept allows.";
    HttpsRequired = 106, "https_required", 403, "HTTPS required", "The route is served over TLS only.";

    // 200-299: who calls, and what they may
    Unauthenticated = 200, "unauthenticated", 401, "Credential required", "The route needs a credential and the request has none.";
    InvalidCredential = 201, "invalid_credential", 401, "Credential not valid", "The credential is unknown, malformed or not valid for this route.";
    ExpiredCredential = 202, "expired_credential", 401, "Credential expired", "The credential is past its end or not yet valid.";
    RevokedCredential = 203, "revoked_credential", 401, "Credential revoked", "The credential was revoked.";
    AmbiguousCredential = 204, "ambiguous_credential", 400, "More than one credential", "The request carries a credential field more than once, or several that disagree.";
    UnknownApp = 205, "unknown_app", 403, "Unknown app", "The credential is valid but belongs to no known app.";
    AppSuspended = 206, "app_suspended", 403, "App suspended", "The app or its team is suspended.";
    ForbiddenScope = 207, "forbidden_scope", 403, "Scope missing", "The credential lacks a scope that the route needs.";
    SubscriptionRequired = 208, "subscription_required", 403, "Subscription required", "The app has no approved subscription to this API.";
    StepUpRequired = 209, "step_up_required", 401, "Stronger sign-in required", "The route needs a fresher or stronger sign-in (RFC 9470).";
    IpDenied = 210, "ip_denied", 403, "Address denied", "The address of the caller is not allowed here.";
    CorsDenied = 211, "cors_denied", 403, "Origin denied", "The Origin of a cross-origin request is not allowed by the route.";
    Forbidden = 212, "forbidden", 403, "Forbidden", "A policy of the route refuses this caller.";
    RequestBlocked = 213, "request_blocked", 403, "Request blocked", "A header, bot or content rule of the route refuses the request.";
    IdentityUnavailable = 214, "identity_unavailable", 503, "Identity provider unavailable", "The credential could not be checked, as keys or introspection could not be reached in time.";

    // 300-399: limits and money
    RateLimited = 300, "rate_limited", 429, "Too many requests", "A rate limit, or the LLM tokens of some duration, are exhausted; Retry-After says when it frees.";
    QuotaExhausted = 301, "quota_exhausted", 429, "Quota exhausted", "A quota of requests or LLM tokens over a window of the calendar is exhausted.";
    TooManyConcurrent = 302, "too_many_concurrent", 429, "Too many calls at once", "Too many calls of this caller are in flight.";
    BudgetExhausted = 303, "budget_exhausted", 429, "Budget exhausted", "The money budget of the window is spent, or reserved by calls under way.";
    TokensExhausted = 304, "tokens_exhausted", 429, "Token limit exhausted", "A limit of LLM tokens is exhausted.";
    ExceedsLimit = 305, "exceeds_limit", 400, "Larger than the limit", "The call alone asks for more tokens or money than the whole limit holds, so it can never pass; waiting does not help.";
    UnboundedCost = 306, "unbounded_cost", 400, "Cost has no bound", "The cost of the call cannot be bounded, which the budget demands.";
    LedgerFull = 307, "ledger_full", 503, "Ledger unavailable", "The journal of money cannot be written, so no call that costs is admitted.";
    LimitsUnavailable = 308, "limits_unavailable", 503, "Limits unavailable", "A limit that must be exact could not be reached in time.";

    // 400-499: upstreams
    UpstreamConnectFailed = 400, "upstream_connect_failed", 502, "Upstream unreachable", "No connection to the upstream could be made.";
    UpstreamReset = 401, "upstream_reset", 502, "Upstream reset", "The upstream reset the connection before its answer was complete.";
    UpstreamBadResponse = 402, "upstream_bad_response", 502, "Malformed upstream answer", "The answer of the upstream is malformed or framed ambiguously.";
    UpstreamClosedEarly = 403, "upstream_closed_early", 502, "Upstream closed early", "The upstream closed the connection before its answer was complete.";
    UpstreamTls = 404, "upstream_tls_failed", 502, "TLS to the upstream failed", "The TLS handshake with the upstream failed or its certificate is not trusted.";
    UpstreamTooLarge = 405, "upstream_head_too_large", 502, "Upstream head too large", "The head of the upstream's answer is larger than the limit.";
    UpstreamTooManyInterim = 406, "upstream_too_many_interim", 502, "Too many interim answers", "The upstream sent more interim (1xx) answers than the limit.";
    UpstreamUnresolved = 407, "upstream_unresolved", 502, "Upstream name not resolved", "The host name of the upstream could not be resolved.";
    UpstreamUnavailable = 420, "upstream_unavailable", 503, "Upstream unavailable", "The upstream cannot take the call now.";
    NoHealthyTarget = 421, "no_healthy_target", 503, "No healthy target", "No target of the upstream is healthy.";
    BreakerOpen = 422, "breaker_open", 503, "Circuit breaker open", "The circuit breaker of the upstream is open.";
    PoolExhausted = 423, "pool_exhausted", 503, "No free upstream connection", "All connections to the upstream are in use and the queue for them is full.";
    UpstreamConnectTimeout = 440, "upstream_connect_timeout", 504, "Upstream connect timeout", "The connection to the upstream was not made in time.";
    UpstreamFirstByteTimeout = 441, "upstream_first_byte_timeout", 504, "Upstream first byte timeout", "The upstream did not begin its answer in time.";
    UpstreamIdleTimeout = 442, "upstream_idle_timeout", 504, "Upstream idle timeout", "The upstream sent nothing for too long in the middle of its answer.";
    TotalTimeout = 443, "total_timeout", 504, "Total timeout", "The call took longer than the route allows in all.";
    RequestTimeoutQueue = 444, "queue_timeout", 503, "Waited too long", "The call waited too long for an upstream connection.";

    // 500-599: TLS and the connection
    TlsRequired = 500, "tls_required", 400, "TLS required", "A plain HTTP request came to a TLS listener.";
    TlsOnPlain = 501, "tls_on_plain_listener", 400, "TLS on a plain listener", "A TLS handshake came to a plain HTTP listener.";
    ClientCertificateRequired = 502, "client_certificate_required", 403, "Client certificate required", "The route needs a client certificate and the connection has none that is trusted.";
    SniMismatch = 503, "sni_mismatch", 421, "Host and TLS name differ", "The host of the request is not the name that the TLS connection was made for.";
    BadProxyProtocol = 504, "bad_proxy_protocol", 400, "Malformed PROXY header", "The PROXY protocol header of a trusted proxy is missing or malformed.";

    // 600-699: AI routes
    UnknownModel = 600, "unknown_model", 404, "Unknown model", "The model is not known here or not allowed for this app.";
    AmbiguousModel = 601, "ambiguous_model", 400, "Ambiguous model", "The bare model name fits several providers; the answer lists them.";
    UnsupportedFeature = 602, "unsupported_feature", 400, "Feature not supported by the model", "The request uses a feature that cannot be translated for the provider without loss.";
    GuardBlocked = 603, "guard_blocked", 400, "Content blocked by a guard", "A guard of the route blocked the prompt or the answer.";
    ProviderError = 604, "provider_error", 502, "Provider failed", "Every provider of the chain failed.";
    ProviderRateLimited = 605, "provider_rate_limited", 429, "Provider rate limit", "The provider refused the call because of its own rate limit.";
    StreamCut = 606, "stream_cut", 502, "Stream cut", "The stream of the provider ended before it was complete.";

    // 900-999: the gateway
    InternalError = 900, "internal_error", 500, "Internal error", "A fault of the gateway; the record of the call has more.";
    Overloaded = 901, "overloaded", 503, "Overloaded", "The gateway lacks a resource of its own, as descriptors or memory, and sheds calls.";
    Draining = 902, "draining", 503, "Shutting down", "The gateway is draining and takes no new call on this connection.";
    ClientGone = 903, "client_gone", 499, "Client gone", "The client closed the connection before the answer was complete (in records only).";
    PolicyFailed = 904, "policy_failed", 500, "Policy failed", "A policy of the route could not be carried out.";
    Maintenance = 905, "maintenance", 503, "Maintenance", "The route is switched off by its owner.";
}

impl Code {
    /// The number that call records store; stable, never reused.
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// Looks a code up by its name.
    ///
    /// Walks the list: for configuration and tools, not for the way of a request.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_lead_back() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].id() < pair[1].id(), "{} before {}", pair[0], pair[1]);
        }
        for &code in Code::ALL {
            assert_eq!(Code::from_id(code.id()), Some(code));
            assert_eq!(Code::from_name(code.as_str()), Some(code));
        }
        assert_eq!(Code::from_id(0), None);
    }

    #[test]
    fn names_are_snake_case_and_statuses_are_errors() {
        for &code in Code::ALL {
            let name = code.as_str();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert!((400..=599).contains(&code.status()), "{name}");
            assert!(code.doc().ends_with('.'), "{name}");
            assert!(!code.title().ends_with('.'), "{name}");
            assert!(!crate::write::reason_phrase(code.status()).is_empty(), "{name}");
        }
    }
}
