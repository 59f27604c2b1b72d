//! Errors in the words of each provider: as an answer of their own, and within a stream that began well. Sources:
//! <https://platform.openai.com/docs/guides/error-codes>, <https://docs.claude.com/en/api/errors>,
//! <https://ai.google.dev/gemini-api/docs/troubleshooting>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>, <https://docs.cohere.com/reference/errors>,
//! and recorded answers.

use std::time::Duration;

use super::draft::{Draft, put};
use super::orders::Told;
use crate::llm::{Dialect, Quoted, frames};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// A status was ordered.
    Status(u16),
    /// An error was ordered by its kind.
    Told(Told),
    /// The request is wrong, in these words.
    Invalid(String),
    /// A limit of the mock is used up.
    Limited,
}

/// An answer that refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) body: String,
    /// Fields beside those of every answer.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// What the providers' bodies are made of.
struct Words<'a> {
    status: u16,
    /// What went wrong, in the terms of this file.
    kind: Kind,
    message: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Invalid,
    ContextWindow,
    ContentPolicy,
    Authentication,
    Permission,
    NotFound,
    RateLimit,
    Quota,
    Server,
    Overloaded,
    Timeout,
}

/// Refuses in the words of the dialect.
pub(super) fn refusal(dialect: Dialect, why: &Why, retry_after: Option<Duration>, number: u64) -> Refusal {
    let (status, kind) = classify(dialect, why);
    let message = match why {
        Why::Invalid(words) => words,
        _ => message(dialect, kind),
    };
    let words = Words { status, kind, message };
    let mut fields = Vec::new();
    let retry_after = retry_after.or((status == 429).then_some(Duration::from_secs(1)));
    if let Some(after) = retry_after {
        // Seconds are whole in the field; a client that comes too early is refused again.
        fields.push(("retry-after", after.as_secs_f64().ceil().to_string()));
        if matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses) {
            fields.push(("retry-after-ms", after.as_millis().to_string()));
        }
    }
    if dialect == Dialect::Bedrock {
        fields.push(("x-amzn-errortype", aws_type(kind).to_owned()));
    }
    let body = body(dialect, &words, retry_after, number);
    Refusal { status, body, fields }
}

/// The body of a failure of the provider's own.
pub(super) fn server_error(dialect: Dialect, number: u64) -> String {
    body(dialect, &overload(dialect), None, number)
}

/// Ends a stream by the dialect's error instead of its own end.
pub(super) fn push_in_stream(dialect: Dialect, out: &mut Draft, array: bool, number: u64) {
    let body = server_error(dialect, number);
    match dialect {
        Dialect::OpenAiChat | Dialect::Mistral => put!(out, "data: {body}\n\n"),
        Dialect::OpenAiResponses => put!(
            out,
            "event: error\ndata: {{\"type\":\"error\",\"code\":\"server_error\",\"message\":{},\"param\":null,\"sequence_number\":{}}}\n\n",
            Quoted(overload(dialect).message),
            out.pieces.len()
        ),
        Dialect::Anthropic => put!(out, "event: error\ndata: {body}\n\n"),
        Dialect::Gemini if array => put!(out, ",\r\n{body}]"),
        Dialect::Gemini => put!(out, "data: {body}\r\n\r\n"),
        Dialect::Bedrock => {
            frames::push_exception(&mut out.content, "modelStreamErrorException", body.as_bytes());
        }
        Dialect::Cohere => put!(
            out,
            "event: message-end\ndata: {{\"type\":\"message-end\",\"delta\":{{\"error\":{},\"finish_reason\":\"ERROR\"}}}}\n\n",
            Quoted(overload(dialect).message)
        ),
    }
    out.end_piece(0);
}

fn overload(dialect: Dialect) -> Words<'static> {
    Words { status: 503, kind: Kind::Overloaded, message: message(dialect, Kind::Overloaded) }
}

fn classify(dialect: Dialect, why: &Why) -> (u16, Kind) {
    match why {
        Why::Invalid(_) => (400, Kind::Invalid),
        Why::Limited => (429, Kind::RateLimit),
        Why::Told(Told::ContextWindow) => (400, Kind::ContextWindow),
        // Google answers well, and says that there is no answer.
        Why::Told(Told::ContentPolicy) if dialect == Dialect::Gemini => (200, Kind::ContentPolicy),
        Why::Told(Told::ContentPolicy) => (400, Kind::ContentPolicy),
        Why::Told(Told::Quota) => (if dialect == Dialect::Anthropic { 400 } else { 429 }, Kind::Quota),
        Why::Status(status) => {
            let kind = match status {
                401 => Kind::Authentication,
                403 => Kind::Permission,
                404 => Kind::NotFound,
                408 | 504 => Kind::Timeout,
                429 => Kind::RateLimit,
                503 | 529 => Kind::Overloaded,
                500.. => Kind::Server,
                _ => Kind::Invalid,
            };
            (*status, kind)
        }
    }
}

fn message(dialect: Dialect, kind: Kind) -> &'static str {
    use Dialect::{Anthropic, Bedrock, Cohere, Gemini, Mistral, OpenAiChat, OpenAiResponses};
    match (kind, dialect) {
        (Kind::ContextWindow, OpenAiChat) => {
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 210000 tokens. Please reduce the length of the messages."
        }
        (Kind::ContextWindow, OpenAiResponses) => {
            "Your input exceeds the context window of this model. Please adjust your input and try again."
        }
        (Kind::ContextWindow, Anthropic) => "prompt is too long: 210000 tokens > 200000 maximum",
        (Kind::ContextWindow, Gemini) => {
            "The input token count (1210000) exceeds the maximum number of tokens allowed (1048576)."
        }
        (Kind::ContextWindow, Bedrock) => "Input is too long for requested model.",
        (Kind::ContextWindow, Cohere) => {
            "too many tokens: total number of tokens in the prompt exceeds the limit of 132096. Please use a shorter prompt."
        }
        (Kind::ContextWindow, Mistral) => {
            "Prompt contains 210000 tokens and 0 draft tokens, too large for model with 131072 maximum context length"
        }
        (Kind::ContentPolicy, OpenAiChat | OpenAiResponses) => {
            "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed by our safety system."
        }
        (Kind::ContentPolicy, Anthropic) => "Output blocked by content filtering policy",
        (Kind::ContentPolicy, Bedrock) => {
            "The model returned the following errors: Output blocked by content filtering policy"
        }
        (Kind::ContentPolicy, _) => "The request was blocked by the content policy.",
        (Kind::Authentication, OpenAiChat | OpenAiResponses) => {
            "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
        }
        (Kind::Authentication, Anthropic) => "invalid x-api-key",
        (Kind::Authentication, Gemini) => {
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."
        }
        (Kind::Authentication, Bedrock) => "The security token included in the request is invalid.",
        (Kind::Authentication, Cohere) => "invalid api token",
        (Kind::Authentication, Mistral) => "Unauthorized",
        (Kind::Permission, _) => "You do not have permission to use this model.",
        (Kind::NotFound, _) => "The model does not exist or you do not have access to it.",
        (Kind::RateLimit, Gemini) => {
            "You exceeded your current quota, please check your plan and billing details."
        }
        (Kind::RateLimit, Bedrock) => "Too many requests, please wait before trying again.",
        (Kind::RateLimit, Mistral) => "Requests rate limit exceeded",
        (Kind::RateLimit, _) => "Rate limit reached for requests. Please try again later.",
        (Kind::Quota, Anthropic) => {
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
        }
        (Kind::Quota, _) => "You exceeded your current quota, please check your plan and billing details.",
        (Kind::Overloaded, Anthropic) => "Overloaded",
        (Kind::Overloaded, Gemini) => "The model is overloaded. Please try again later.",
        (Kind::Overloaded, _) => "The server is currently overloaded with other requests. Sorry about that!",
        (Kind::Server, _) => "The server had an error while processing your request. Sorry about that!",
        (Kind::Timeout, _) => "The request timed out.",
        (Kind::Invalid, _) => "The request is not valid.",
    }
}

fn body(dialect: Dialect, words: &Words<'_>, retry_after: Option<Duration>, number: u64) -> String {
    let message = Quoted(words.message);
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => {
            let (kind, code, param) = match words.kind {
                Kind::Invalid => ("invalid_request_error", "null", "null"),
                Kind::ContextWindow if dialect == Dialect::OpenAiChat => {
                    ("invalid_request_error", "\"context_length_exceeded\"", "\"messages\"")
                }
                Kind::ContextWindow => ("invalid_request_error", "\"context_length_exceeded\"", "\"input\""),
                Kind::ContentPolicy => ("invalid_request_error", "\"content_policy_violation\"", "null"),
                Kind::Authentication => ("invalid_request_error", "\"invalid_api_key\"", "null"),
                Kind::Permission => ("invalid_request_error", "\"unsupported_country_region_territory\"", "null"),
                Kind::NotFound => ("invalid_request_error", "\"model_not_found\"", "null"),
                Kind::RateLimit => ("requests", "\"rate_limit_exceeded\"", "null"),
                Kind::Quota => ("insufficient_quota", "\"insufficient_quota\"", "null"),
                Kind::Server | Kind::Overloaded | Kind::Timeout => ("server_error", "null", "null"),
            };
            format!(r#"{{"error":{{"message":{message},"type":"{kind}","param":{param},"code":{code}}}}}"#)
        }
        Dialect::Anthropic => {
            let kind = match words.kind {
                Kind::Invalid | Kind::ContextWindow | Kind::ContentPolicy | Kind::Quota => {
                    "invalid_request_error"
                }
                Kind::Authentication => "authentication_error",
                Kind::Permission => "permission_error",
                Kind::NotFound => "not_found_error",
                Kind::RateLimit => "rate_limit_error",
                Kind::Server => "api_error",
                Kind::Overloaded => "overloaded_error",
                Kind::Timeout => "timeout_error",
            };
            format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}},"request_id":"req_{number:024}"}}"#
            )
        }
        Dialect::Gemini if words.kind == Kind::ContentPolicy => {
            r#"{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},"usageMetadata": {"promptTokenCount": 0,"totalTokenCount": 0}}"#.to_owned()
        }
        Dialect::Gemini => {
            let status = match words.kind {
                Kind::Invalid | Kind::ContextWindow | Kind::ContentPolicy => "INVALID_ARGUMENT",
                Kind::Authentication => "UNAUTHENTICATED",
                Kind::Permission => "PERMISSION_DENIED",
                Kind::NotFound => "NOT_FOUND",
                Kind::RateLimit | Kind::Quota => "RESOURCE_EXHAUSTED",
                Kind::Server => "INTERNAL",
                Kind::Overloaded => "UNAVAILABLE",
                Kind::Timeout => "DEADLINE_EXCEEDED",
            };
            let details = retry_after.map_or_else(String::new, |after| {
                format!(
                    r#","details": [{{"@type": "type.googleapis.com/google.rpc.RetryInfo","retryDelay": "{}s"}}]"#,
                    after.as_secs_f64()
                )
            });
            format!(
                r#"{{"error": {{"code": {},"message": {message},"status": "{status}"{details}}}}}"#,
                words.status
            )
        }
        Dialect::Bedrock | Dialect::Cohere => format!(r#"{{"message":{message}}}"#),
        Dialect::Mistral => {
            let (kind, code) = match words.kind {
                Kind::ContextWindow => ("invalid_request_prompt", "\"3051\""),
                Kind::Invalid | Kind::ContentPolicy => ("invalid_request_error", "null"),
                Kind::NotFound => ("invalid_model", "\"1500\""),
                Kind::RateLimit | Kind::Quota => ("rate_limited", "\"1300\""),
                Kind::Authentication | Kind::Permission => ("invalid_request_error", "\"1000\""),
                Kind::Server | Kind::Overloaded | Kind::Timeout => ("internal_server_error", "\"1000\""),
            };
            format!(
                r#"{{"object":"error","message":{message},"type":"{kind}","param":null,"code":{code}}}"#
            )
        }
    }
}

/// The exception of AWS, as its header names it.
fn aws_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid | Kind::ContextWindow | Kind::ContentPolicy => "ValidationException",
        Kind::Authentication => "UnrecognizedClientException",
        Kind::Permission => "AccessDeniedException",
        Kind::NotFound => "ResourceNotFoundException",
        Kind::RateLimit => "ThrottlingException",
        Kind::Quota => "ServiceQuotaExceededException",
        Kind::Server => "InternalServerException",
        Kind::Overloaded => "ServiceUnavailableException",
        Kind::Timeout => "ModelTimeoutException",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The words by which a caller tells what went wrong, where they stand in each provider's body.
    #[test]
    fn kinds_can_be_told_in_every_dialect() {
        for (why, words) in [
            (
                Why::Told(Told::ContextWindow),
                [
                    "context_length_exceeded",
                    "exceeds the context window",
                    "prompt is too long",
                    "input token count",
                    "Input is too long",
                    "too many tokens",
                    "maximum context length",
                ],
            ),
            (
                Why::Status(429),
                [
                    "rate_limit_exceeded",
                    "rate_limit_exceeded",
                    "rate_limit_error",
                    "RESOURCE_EXHAUSTED",
                    "Too many requests",
                    "Rate limit",
                    "rate limit",
                ],
            ),
            (
                Why::Status(401),
                [
                    "invalid_api_key",
                    "invalid_api_key",
                    "authentication_error",
                    "UNAUTHENTICATED",
                    "security token",
                    "invalid api token",
                    "Unauthorized",
                ],
            ),
        ] {
            for (dialect, words) in Dialect::ALL.into_iter().zip(words) {
                let refusal = refusal(dialect, &why, None, 7);
                assert!(refusal.body.contains(words), "{dialect:?} {why:?}: {}", refusal.body);
                serde_json::from_str::<Value>(&refusal.body).unwrap();
                let retries = refusal.fields.iter().any(|(name, _)| *name == "retry-after");
                assert_eq!(retries, refusal.status == 429, "{dialect:?} {why:?}");
            }
        }
    }

    #[test]
    fn every_status_has_a_body_in_every_dialect() {
        for dialect in Dialect::ALL {
            for status in [400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529] {
                let refusal = refusal(dialect, &Why::Status(status), Some(Duration::from_millis(1500)), 1);
                assert_eq!(refusal.status, status);
                serde_json::from_str::<Value>(&refusal.body).unwrap();
                assert!(refusal.fields.contains(&("retry-after", "2".into())));
            }
            let quoted = refusal(dialect, &Why::Invalid("a \"b\"".into()), None, 1);
            serde_json::from_str::<Value>(&quoted.body).unwrap();
        }
    }
}
