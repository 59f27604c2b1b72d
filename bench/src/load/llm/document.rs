//! The JSON of answers and events, as far as it matters to a measurement: whether a piece of the answer is in it, what
//! was used, whether it is an error, whether it ends the answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::llm::{Dialect, Usage};

/// What one document brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Brought {
    /// A piece of text, thinking or a tool call.
    pub(super) piece: bool,
    pub(super) usage: Option<Usage>,
    /// The provider failed.
    pub(super) error: bool,
    /// Why the answer ended is told.
    pub(super) reason: bool,
    /// It is the dialect's last event but for `[DONE]` where there is one.
    pub(super) last: bool,
    /// A whole answer has the member that makes it one.
    pub(super) answer: bool,
}

/// Members of all dialects; those whose form differs are kept as they are.
#[derive(Debug, Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<Told>,
    #[serde(rename = "usageMetadata")]
    usage_metadata: Option<Told>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    response: Option<Response>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(rename = "promptFeedback")]
    prompt_feedback: Option<IgnoredAny>,
    output: Option<IgnoredAny>,
    content: Option<IgnoredAny>,
    #[serde(rename = "stopReason")]
    stop_reason: Option<IgnoredAny>,
    object: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<ChatDelta<'a>>,
    finish_reason: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct ChatDelta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    tool_calls: Option<IgnoredAny>,
}

/// The wrap of an event of Responses.
#[derive(Debug, Deserialize)]
struct Response {
    usage: Option<Told>,
}

#[derive(Debug, Deserialize)]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<CandidateContent<'a>>,
    #[serde(rename = "finishReason")]
    finish_reason: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct CandidateContent<'a> {
    #[serde(borrow)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(rename = "functionCall")]
    function_call: Option<IgnoredAny>,
}

/// `message` of Anthropic's first event, and `delta` of Anthropic's and Cohere's.
#[derive(Debug, Default, Deserialize)]
struct Inner<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    usage: Option<Told>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

/// Counts under the names of all dialects.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    num_cached_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<Creation>,
    billed_units: Option<Billed>,
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: u64,
    #[serde(rename = "candidatesTokenCount")]
    candidates_token_count: u64,
    #[serde(rename = "cachedContentTokenCount")]
    cached_content_token_count: u64,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts_token_count: u64,
    #[serde(rename = "inputTokens")]
    input_tokens_aws: u64,
    #[serde(rename = "outputTokens")]
    output_tokens_aws: u64,
    #[serde(rename = "cacheReadInputTokens")]
    cache_read_aws: Option<u64>,
    #[serde(rename = "cacheWriteInputTokens")]
    cache_write_aws: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Creation {
    ephemeral_1h_input_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Billed {
    // Cohere writes counts as 9.0, too.
    input_tokens: f64,
    output_tokens: f64,
}

/// Reads a document of an answer: the whole of a JSON answer, or the data of the event `name`. `before` is the usage that
/// was told earlier in the same stream.
///
/// # Errors
/// If it is not JSON, or not of the dialect.
pub(super) fn read(
    dialect: Dialect,
    name: &str,
    data: &[u8],
    before: Option<Usage>,
) -> Result<Brought, serde_json::Error> {
    let document: Document<'_> = serde_json::from_slice(data)?;
    let mut brought = Brought { error: document.error.is_some(), ..Brought::default() };
    let kind = document.kind.as_deref().unwrap_or_default();
    match dialect {
        Dialect::OpenAiChat | Dialect::Mistral => {
            let choices = document.choices.as_deref().unwrap_or_default();
            brought.error |= document.object.as_deref() == Some("error");
            brought.answer = !choices.is_empty();
            brought.reason = choices.iter().any(|choice| choice.finish_reason.is_some());
            brought.piece = choices.iter().filter_map(|choice| choice.delta.as_ref()).any(|delta| {
                is_text(delta.content) || is_text(delta.reasoning_content) || delta.tool_calls.is_some()
            });
            brought.usage = document.usage.map(|told| told.chat());
        }
        Dialect::OpenAiResponses => {
            brought.error |= matches!(kind, "error" | "response.failed");
            brought.answer = document.output.is_some();
            brought.piece = kind.ends_with(".delta");
            brought.last = matches!(kind, "response.completed" | "response.incomplete");
            brought.reason = brought.last;
            let told = document.usage.or(document.response.and_then(|response| response.usage));
            brought.usage = told.map(|told| told.responses());
        }
        Dialect::Anthropic => {
            brought.error |= kind == "error";
            brought.answer = kind == "message" && document.content.is_some();
            brought.last = kind == "message_stop";
            brought.reason = kind == "message_delta";
            let inner: Inner<'_> =
                inner(if kind == "message_start" { document.message } else { document.delta })?;
            brought.piece = kind == "content_block_delta" && inner.kind.as_deref() != Some("signature_delta");
            brought.usage = document.usage.or(inner.usage).map(|told| told.anthropic(before));
        }
        Dialect::Gemini => {
            let candidates = document.candidates.as_deref().unwrap_or_default();
            brought.answer = !candidates.is_empty() || document.prompt_feedback.is_some();
            brought.last = candidates.iter().any(|candidate| candidate.finish_reason.is_some())
                || document.prompt_feedback.is_some();
            brought.reason = brought.last;
            let parts = candidates
                .iter()
                .filter_map(|candidate| candidate.content.as_ref()?.parts.as_deref())
                .flatten();
            brought.piece = parts.into_iter().any(|part| is_text(part.text) || part.function_call.is_some());
            brought.usage = document.usage_metadata.map(|told| told.gemini());
        }
        Dialect::Bedrock => {
            brought.answer = document.output.is_some() && document.stop_reason.is_some();
            brought.piece = name == "contentBlockDelta";
            brought.reason = name == "messageStop";
            brought.last = name == "metadata";
            brought.usage = document.usage.map(|told| told.bedrock());
        }
        Dialect::Cohere => {
            brought.answer = document.message.is_some();
            brought.piece = matches!(kind, "content-delta" | "tool-call-delta" | "tool-plan-delta");
            brought.last = kind == "message-end";
            brought.reason = brought.last;
            let inner: Inner<'_> = if brought.last { inner(document.delta)? } else { Inner::default() };
            brought.error |= matches!(inner.finish_reason.as_deref(), Some("ERROR" | "TIMEOUT"));
            brought.usage = document.usage.or(inner.usage).map(|told| told.cohere());
        }
    }
    Ok(brought)
}

/// The member that every event of a dialect repeats from its line, if it does.
pub(super) fn repeats_name(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAiResponses | Dialect::Anthropic | Dialect::Cohere)
}

/// The `type` of an event.
pub(super) fn kind(data: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    serde_json::from_slice::<Kind<'_>>(data).ok().map(|found| found.kind)
}

fn inner(raw: Option<&RawValue>) -> Result<Inner<'_>, serde_json::Error> {
    raw.map_or_else(|| Ok(Inner::default()), |raw| serde_json::from_str(raw.get()))
}

/// Whether a member holds something to read.
fn is_text(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| !matches!(raw.get(), "\"\"" | "null" | "[]"))
}

impl Told {
    fn chat(&self) -> Usage {
        let details = self.prompt_tokens_details.as_ref();
        let cached =
            details.and_then(|details| details.cached_tokens).or(self.num_cached_tokens).unwrap_or(0);
        let details = self.completion_tokens_details.as_ref();
        let reasoning = details.and_then(|details| details.reasoning_tokens).unwrap_or(0);
        parted(self.prompt_tokens, cached, self.completion_tokens, reasoning)
    }

    fn responses(&self) -> Usage {
        let details = self.input_tokens_details.as_ref();
        let cached = details.and_then(|details| details.cached_tokens).unwrap_or(0);
        let details = self.output_tokens_details.as_ref();
        let reasoning = details.and_then(|details| details.reasoning_tokens).unwrap_or(0);
        parted(self.input_tokens.unwrap_or(0), cached, self.output_tokens.unwrap_or(0), reasoning)
    }

    /// What a later event does not tell stays as an earlier one told it.
    fn anthropic(&self, before: Option<Usage>) -> Usage {
        let before = before.unwrap_or_default();
        let hour = self.cache_creation.as_ref().map(|parts| parts.ephemeral_1h_input_tokens);
        let hour = hour.unwrap_or(before.cache_write_1h);
        let written = self.cache_creation_input_tokens.map(|all| all.saturating_sub(hour));
        Usage {
            input: self.input_tokens.unwrap_or(before.input),
            cached_read: self.cache_read_input_tokens.unwrap_or(before.cached_read),
            cache_write: written.unwrap_or(before.cache_write),
            cache_write_1h: hour,
            output: self.output_tokens.unwrap_or(before.output),
            reasoning: 0,
        }
    }

    fn gemini(&self) -> Usage {
        let cached_read = self.cached_content_token_count.min(self.prompt_token_count);
        Usage {
            input: self.prompt_token_count - cached_read,
            cached_read,
            output: self.candidates_token_count,
            reasoning: self.thoughts_token_count,
            ..Usage::default()
        }
    }

    fn bedrock(&self) -> Usage {
        Usage {
            input: self.input_tokens_aws,
            cached_read: self.cache_read_aws.unwrap_or(0),
            cache_write: self.cache_write_aws.unwrap_or(0),
            output: self.output_tokens_aws,
            ..Usage::default()
        }
    }

    fn cohere(&self) -> Usage {
        let billed = self.billed_units.as_ref();
        Usage {
            // Counts are whole, whatever their form.
            input: billed.map_or(0, |billed| billed.input_tokens as u64),
            output: billed.map_or(0, |billed| billed.output_tokens as u64),
            ..Usage::default()
        }
    }
}

/// Counts of which one is a part of the other.
fn parted(prompt: u64, cached: u64, completion: u64, reasoning: u64) -> Usage {
    let (cached_read, reasoning) = (cached.min(prompt), reasoning.min(completion));
    Usage {
        input: prompt - cached_read,
        cached_read,
        output: completion - reasoning,
        reasoning,
        ..Usage::default()
    }
}
