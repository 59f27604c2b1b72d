//! Errors in the words of each dialect, so that its SDK raises the exception that its user expects.

use crate::dialect::Dialect;
use crate::json::{Object, Value};

/// An error to be told.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for programs: a name of `docs/errors.md`, or the provider's own.
    pub code: &'a str,
    /// What went wrong, for people.
    pub message: &'a str,
    /// The member of the request that is at fault.
    pub param: Option<&'a str>,
    /// The id of the request.
    pub request_id: &'a str,
}

impl Refusal<'_> {
    /// Writes the document of the error; the sources are the dialects' own descriptions of errors:
    /// <https://platform.openai.com/docs/guides/error-codes>, <https://docs.anthropic.com/en/api/errors>,
    /// <https://cloud.google.com/apis/design/errors>.
    pub fn write(&self, dialect: Dialect, out: &mut Vec<u8>) {
        let document = match dialect {
            Dialect::Anthropic => {
                let mut document = Object::default();
                document.push("type", "error");
                document.push("error", self.anthropic());
                document.push("request_id", self.request_id);
                document
            }
            Dialect::Gemini => wrapped(self.google()),
            Dialect::Bedrock | Dialect::Cohere => {
                [("message", Value::from(self.message))].into_iter().collect()
            }
            Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Mistral => wrapped(self.openai()),
        };
        document.write(out);
    }

    /// The event by which a stream tells that it ends here: its type, where the dialect gives it one, and its data.
    pub fn write_event(&self, dialect: Dialect, out: &mut Vec<u8>) -> Option<&'static str> {
        if dialect == Dialect::OpenAiResponses {
            let mut event = Object::default();
            event.push("type", "error");
            event.push("code", self.code);
            event.push("message", self.message);
            event.push("param", self.param.map_or(Value::Null, Value::from));
            event.write(out);
            return Some("error");
        }
        self.write(dialect, out);
        (dialect == Dialect::Anthropic).then_some("error")
    }

    fn openai(&self) -> Object<'_> {
        let mut error = Object::default();
        error.push("message", self.message);
        error.push("type", self.openai_type());
        error.push("param", self.param.map_or(Value::Null, Value::from));
        error.push("code", self.code);
        error
    }

    fn openai_type(&self) -> &'static str {
        match self.status {
            429 if self.code == "budget_exhausted" || self.code == "quota_exhausted" => "insufficient_quota",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    fn anthropic(&self) -> Object<'_> {
        let kind = match self.status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            504 => "timeout_error",
            503 | 529 => "overloaded_error",
            _ => "api_error",
        };
        let mut error = Object::default();
        error.push("type", kind);
        error.push("message", self.message);
        error
    }

    fn google(&self) -> Object<'_> {
        let status = match self.status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            499 => "CANCELLED",
            400..=499 => "INVALID_ARGUMENT",
            501 => "UNIMPLEMENTED",
            503 | 529 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        };
        let mut error = Object::default();
        error.push("code", u64::from(self.status));
        error.push("message", self.message);
        error.push("status", status);
        error
    }
}

fn wrapped(error: Object<'_>) -> Object<'_> {
    [("error", Value::from(error))].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dialect: Dialect, status: u16, code: &str) -> String {
        let mut out = Vec::new();
        let refusal = Refusal { status, code, message: "no \"such\" model", param: None, request_id: "r1" };
        refusal.write(dialect, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_dialect_has_its_own_document() {
        assert_eq!(
            written(Dialect::OpenAiChat, 404, "model_not_found"),
            r#"{"error":{"message":"no \"such\" model","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#
        );
        assert_eq!(
            written(Dialect::Anthropic, 429, "rate_limited"),
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"no \"such\" model"},"request_id":"r1"}"#
        );
        assert_eq!(
            written(Dialect::Gemini, 400, "bad"),
            r#"{"error":{"code":400,"message":"no \"such\" model","status":"INVALID_ARGUMENT"}}"#
        );
        assert_eq!(written(Dialect::Cohere, 500, "x"), r#"{"message":"no \"such\" model"}"#);
    }

    #[test]
    fn streams_end_with_the_event_of_their_family() {
        let refusal =
            Refusal { status: 502, code: "upstream_reset", message: "m", param: None, request_id: "r" };
        let event = |dialect| {
            let mut out = Vec::new();
            let name = refusal.write_event(dialect, &mut out);
            (name, String::from_utf8(out).unwrap())
        };
        let (name, data) = event(Dialect::OpenAiResponses);
        assert_eq!(
            (name, &*data),
            (Some("error"), r#"{"type":"error","code":"upstream_reset","message":"m","param":null}"#)
        );
        assert_eq!(event(Dialect::Anthropic).0, Some("error"));
        assert_eq!(event(Dialect::OpenAiChat).0, None);
        assert!(event(Dialect::Gemini).1.contains("INTERNAL"));
    }
}
