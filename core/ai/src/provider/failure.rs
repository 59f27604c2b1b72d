//! What an error of a provider is, so that routing can tell a call that is worth another try from one that is not.
//!
//! A body is read by the provider's shape into the same few facts: message, type, code. The table's signs turn these into a
//! class; where none fits, the status decides.

use std::borrow::Cow;
use std::sync::Arc;

use super::named;
use super::rate_limit::{RESET_MS_MAX, duration};
use crate::json::Value;

named! {
    /// What went wrong, as far as routing cares.
    ErrorClass {
        /// Too many requests or tokens for now.
        RateLimit = "rate_limit",
        /// The provider failed.
        ServerError = "server_error",
        /// The provider gave up waiting.
        Timeout = "timeout",
        /// The conversation does not fit the model.
        ContextWindow = "context_window",
        /// The provider does not want to answer this.
        ContentPolicy = "content_policy",
        /// The key is not known, or not allowed to.
        Authentication = "authentication",
        /// There is no such model, file or path.
        NotFound = "not_found",
        /// The request is wrong; it would be wrong again.
        BadRequest = "bad_request",
        /// Nothing is left of what was paid for.
        InsufficientQuota = "insufficient_quota",
        /// The provider has no room for the call.
        Overloaded = "overloaded",
    }
}

named! {
    /// The form of a provider's errors, in the order in which they are tried on a body of unknown form.
    Shape {
        /// `{"error": {"message", "type", "code"}}`
        OpenAi = "openai",
        /// `{"type": "error", "error": {"type", "message"}, "request_id"}`
        Anthropic = "anthropic",
        /// `{"error": {"code", "message", "status", "details"}}`, also as the only element of an array.
        Google = "google",
        /// `{"message", "type", "code"}` without a wrap.
        Flat = "flat",
        /// `{"detail"}`: a text, an object, or a list of what did not validate.
        FastApiDetail = "fastapi_detail",
        /// `{"error": "text"}`
        ErrorText = "error_text",
        /// `{"errors": [{"code", "message"}]}`, or with `key` and `description`.
        ErrorList = "error_list",
        /// `{"base_resp": {"status_code", "status_msg"}}`, also beside an answer.
        BaseResp = "base_resp",
        /// `{"message"}` with the type in the header `x-amzn-errortype` or in `__type`.
        Aws = "aws",
    }
}

/// Bytes of a provider's message that are kept.
pub const MESSAGE_BYTES_MAX: usize = 2048;

/// Bytes of a type, a code or an id that are kept; longer ones are none.
const NAME_BYTES_MAX: usize = 256;

/// What must be told for a class. All that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sign {
    pub(super) status: Option<u16>,
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    /// A part of the message.
    pub(super) message: Option<String>,
}

/// How a provider tells its errors.
#[derive(Debug, Clone)]
pub struct Errors {
    /// The form.
    pub shape: Shape,
    /// The header with the provider's own id of the call, in lower case.
    pub request_id: Option<String>,
    /// The provider's own signs.
    pub(super) signs: Vec<(Sign, ErrorClass)>,
    /// Those that go with a shape, whoever the provider is.
    pub(super) shared: Arc<[(Shape, Sign, ErrorClass)]>,
}

/// An error of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub class: ErrorClass,
    /// The provider's words, at most [`MESSAGE_BYTES_MAX`] bytes of them.
    pub message: Option<String>,
    /// The provider's type of error.
    pub kind: Option<String>,
    /// The provider's code.
    pub code: Option<String>,
    /// The provider's id of the call.
    pub request_id: Option<String>,
    /// Milliseconds after which the body says that another try is welcome.
    pub retry_after_ms: Option<u64>,
}

/// What a body says.
#[derive(Debug, Default)]
struct Told<'a> {
    message: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
    request_id: Option<Cow<'a, str>>,
    retry_after_ms: Option<u64>,
}

impl Told<'_> {
    fn is_something(&self) -> bool {
        self.message.is_some() || self.kind.is_some() || self.code.is_some()
    }
}

impl Errors {
    /// Reads an error: the status of the answer, its headers by their names in lower case, and its body, which is `null`
    /// where it was no JSON. An error that a stream tells has the status of the stream, 200.
    pub fn read<'h>(
        &self,
        status: u16,
        headers: impl Fn(&str) -> Option<&'h str>,
        body: &Value<'_>,
    ) -> Failure {
        let (shape, mut told) = tell(self.shape, body);
        if self.shape == Shape::Aws
            && let Some(kind) = headers("x-amzn-errortype")
        {
            told.kind = short(Cow::Borrowed(aws_name(kind)));
        }
        let id = self.request_id.as_deref().and_then(headers).filter(|id| id.len() <= NAME_BYTES_MAX);
        Failure {
            class: self.class(status, shape, &told),
            request_id: id.map(str::to_owned).or_else(|| told.request_id.map(Cow::into_owned)),
            message: told.message.map(cut),
            kind: told.kind.map(Cow::into_owned),
            code: told.code.map(Cow::into_owned),
            retry_after_ms: told.retry_after_ms,
        }
    }

    /// The class of an error, by its status and its body; see [`Errors::read`].
    pub fn classify(&self, status: u16, body: &Value<'_>) -> ErrorClass {
        let (shape, told) = tell(self.shape, body);
        self.class(status, shape, &told)
    }

    /// Whether a document that came with status 200, as an answer or as an event of a stream, is an error after all.
    pub fn in_answer(&self, document: &Value<'_>) -> bool {
        let wrapped =
            document.get("error").is_some_and(|error| matches!(error, Value::Object(_) | Value::String(_)));
        match self.shape {
            Shape::BaseResp => {
                let status = document.get("base_resp").and_then(|told| told.get("status_code"));
                wrapped || status.is_some_and(|status| status.as_u64() != Some(0))
            }
            Shape::Google => {
                let only = document.as_array().and_then(|all| all.first());
                wrapped || only.is_some_and(|only| only.get("error").is_some())
            }
            _ => wrapped,
        }
    }

    fn class(&self, status: u16, shape: Shape, told: &Told<'_>) -> ErrorClass {
        // An error inside an answer may tell the status that it would have had.
        let own =
            told.code.as_deref().and_then(|code| code.parse().ok()).filter(|code| (400..600).contains(code));
        let status = if status < 400 { own.unwrap_or(status) } else { status };
        let own = self.signs.iter().map(|(sign, class)| (sign, class));
        let shared = self.shared.iter().filter(|(of, ..)| *of == shape).map(|(_, sign, class)| (sign, class));
        let sign = own.chain(shared).find(|(sign, _)| sign.fits(status, told));
        sign.map_or_else(|| by_status(status), |(_, class)| *class)
    }
}

impl Sign {
    fn fits(&self, status: u16, told: &Told<'_>) -> bool {
        let same = |expected: &Option<String>, told: &Option<Cow<'_, str>>| {
            expected.as_deref().is_none_or(|expected| {
                // AWS writes a type in one way in headers and in another in streams.
                told.as_deref().is_some_and(|told| told.eq_ignore_ascii_case(expected))
            })
        };
        self.status.is_none_or(|expected| expected == status)
            && same(&self.kind, &told.kind)
            && same(&self.code, &told.code)
            && self.message.as_deref().is_none_or(|part| {
                told.message.as_deref().is_some_and(|message| contains(message.as_bytes(), part.as_bytes()))
            })
    }
}

/// Whether `text` has `part` in it, whatever the case of ASCII letters.
fn contains(text: &[u8], part: &[u8]) -> bool {
    // Signs stand near the front; a message that quotes a whole prompt is not searched to its end.
    let text = &text[..text.len().min(MESSAGE_BYTES_MAX)];
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// The class that a status has by itself (RFC 9110 section 15; 498 is Groq's, 524 Cloudflare's, 529 Anthropic's).
fn by_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Authentication,
        402 => ErrorClass::InsufficientQuota,
        404 | 410 => ErrorClass::NotFound,
        408 | 504 | 524 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimit,
        498 | 503 | 529 => ErrorClass::Overloaded,
        400..=499 => ErrorClass::BadRequest,
        _ => ErrorClass::ServerError,
    }
}

/// Reads a body, and says by which shape: by the one that it bears the mark of, or else by the provider's, or else by any
/// other. A provider has more forms than one where it speaks more dialects than one, and what stands before it has its own.
fn tell<'a>(shape: Shape, body: &'a Value<'_>) -> (Shape, Told<'a>) {
    let with_mark = |expected| move |one: &Shape| mark(*one, body) == expected;
    let all = || Shape::ALL.iter().copied();
    let marked = all().filter(with_mark(Some(true)));
    let own = Some(shape).into_iter().filter(with_mark(None));
    let tried = marked.chain(own).chain(all().filter(with_mark(None)));
    let mut read = tried.map(|one| (one, by_shape(one, body))).filter(|(_, told)| told.is_something());
    read.next().unwrap_or((shape, Told::default()))
}

/// Whether a body bears the mark of a shape; none where the shape has no mark of its own.
fn mark(shape: Shape, body: &Value<'_>) -> Option<bool> {
    match shape {
        Shape::Anthropic => Some(body.get("type").is_some_and(|kind| kind.is("error"))),
        Shape::Google => {
            let body = body.as_array().and_then(<[_]>::first).unwrap_or(body);
            let status = body.get("error").and_then(|error| error.get("status"));
            Some(status.is_some_and(|status| status.as_text().is_some()))
        }
        _ => None,
    }
}

fn by_shape<'a>(shape: Shape, body: &'a Value<'_>) -> Told<'a> {
    let id = || first(body, &["request_id", "requestId", "id"]);
    match shape {
        Shape::OpenAi => {
            let Some(error) = body.get("error").filter(|error| error.as_object().is_some()) else {
                return Told::default();
            };
            Told {
                message: text(error, "message"),
                kind: first(error, &["type", "status"]),
                code: first(error, &["code"]),
                request_id: first(error, &["request_id"]).or_else(id),
                retry_after_ms: None,
            }
        }
        Shape::Anthropic => {
            let Some(error) = body.get("error").filter(|error| error.as_object().is_some()) else {
                return Told::default();
            };
            let (message, kind) = (text(error, "message"), first(error, &["type"]));
            Told { message, kind, request_id: first(body, &["request_id"]), ..Told::default() }
        }
        Shape::Google => google(body),
        Shape::Aws => Told {
            message: text(body, "message").or_else(|| text(body, "Message")),
            kind: first(body, &["__type", "code"]).map(|kind| match kind {
                Cow::Borrowed(kind) => Cow::Borrowed(aws_name(kind)),
                Cow::Owned(kind) => Cow::Owned(aws_name(&kind).to_owned()),
            }),
            ..Told::default()
        },
        Shape::Flat => Told {
            message: ["message", "Message", "error_msg", "msg"].iter().find_map(|name| text(body, name)),
            kind: first(body, &["type", "error_type"]),
            code: first(body, &["code", "error_code"]),
            request_id: id(),
            retry_after_ms: None,
        },
        Shape::FastApiDetail => detail(body),
        Shape::ErrorText => Told {
            message: text(body, "error"),
            kind: first(body, &["error_type", "type"]).filter(|_| text(body, "error").is_some()),
            code: first(body, &["code"]).filter(|_| text(body, "error").is_some()),
            request_id: id(),
            retry_after_ms: None,
        },
        Shape::ErrorList => {
            let Some(error) = body.get("errors").and_then(Value::as_array).and_then(<[_]>::first) else {
                return Told::default();
            };
            let message =
                text(error, "message").or_else(|| text(error, "description")).or_else(|| error.as_text());
            let (code, request_id) = (first(error, &["code", "key"]), first(body, &["trace"]));
            Told { message, code, request_id, ..Told::default() }
        }
        Shape::BaseResp => {
            let Some(told) = body.get("base_resp") else { return Told::default() };
            let (message, code) = (text(told, "status_msg"), first(told, &["status_code"]));
            Told { message, code, request_id: id(), ..Told::default() }
        }
    }
}

/// Google's errors (<https://google.aip.dev/193>): the reason of an `ErrorInfo` is the code, and a `RetryInfo` says when to
/// come back.
fn google<'a>(body: &'a Value<'_>) -> Told<'a> {
    let body = body.as_array().and_then(<[_]>::first).unwrap_or(body);
    let Some(error) = body.get("error").filter(|error| error.as_object().is_some()) else {
        return Told::default();
    };
    let details = error.get("details").and_then(Value::as_array).unwrap_or_default();
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_text());
    Told {
        message: text(error, "message"),
        kind: first(error, &["status"]),
        code: details.iter().find_map(|detail| first(detail, &["reason"])),
        request_id: None,
        retry_after_ms: delay.and_then(|delay| duration(&delay)).filter(|ms| *ms <= RESET_MS_MAX),
    }
}

/// FastAPI's errors (<https://fastapi.tiangolo.com/tutorial/handling-errors/>).
fn detail<'a>(body: &'a Value<'_>) -> Told<'a> {
    match body.get("detail") {
        Some(Value::Array(errors)) => {
            let Some(error) = errors.first() else { return Told::default() };
            let place = error.get("loc").and_then(Value::as_array).unwrap_or_default();
            let place: Vec<_> = place.iter().filter_map(name).collect();
            let message = text(error, "msg").or_else(|| text(error, "message"));
            let message = message.map(|message| match place.is_empty() {
                true => message,
                false => Cow::Owned(format!("{}: {message}", place.join("."))),
            });
            Told { message, kind: first(error, &["type"]), ..Told::default() }
        }
        Some(detail @ Value::Object(_)) => Told {
            message: text(detail, "message").or_else(|| text(detail, "msg")),
            kind: first(detail, &["type", "status"]),
            code: first(detail, &["code"]),
            request_id: first(detail, &["request_id"]),
            retry_after_ms: None,
        },
        Some(detail) => Told { message: detail.as_text(), ..Told::default() },
        None => Told::default(),
    }
}

/// The text of a member.
fn text<'a>(value: &'a Value<'_>, member: &str) -> Option<Cow<'a, str>> {
    value.get(member).and_then(Value::as_text).filter(|text| !text.is_empty())
}

/// The first of these members that names something: a short text or a number.
fn first<'a>(value: &'a Value<'_>, members: &[&str]) -> Option<Cow<'a, str>> {
    members.iter().find_map(|member| value.get(member).and_then(name))
}

/// A short text, or a number as it is written.
fn name<'a>(value: &'a Value<'_>) -> Option<Cow<'a, str>> {
    let text = value.as_text().or_else(|| value.as_number().map(|number| Cow::Borrowed(number.as_str())));
    text.and_then(short)
}

fn short(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    Some(text).filter(|text| !text.is_empty() && text.len() <= NAME_BYTES_MAX)
}

/// The name in a type of AWS: `com.amazon.coral#ThrottlingException`, `ThrottlingException:http://...`
/// (<https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>).
fn aws_name(kind: &str) -> &str {
    let kind = kind.split(':').next().unwrap_or(kind);
    kind.rsplit('#').next().unwrap_or(kind)
}

/// A message that is not too long, cut between characters.
fn cut(message: Cow<'_, str>) -> String {
    let mut message = message.into_owned();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    message
}
