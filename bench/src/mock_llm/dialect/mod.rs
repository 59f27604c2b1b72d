//! The dialects: each writes a reply as JSON and as a stream, in the members' order and with the peculiarities of the
//! provider's own answers.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod mistral;
mod openai_chat;
mod openai_responses;

use super::draft::Draft;
use super::reply::Reply;
use crate::llm::Dialect;

/// Writes a reply as JSON.
pub(super) fn json(reply: &Reply<'_>) -> Draft {
    let mut draft = Draft::default();
    match reply.dialect {
        Dialect::OpenAiChat => openai_chat::json(reply, &mut draft),
        Dialect::OpenAiResponses => openai_responses::json(reply, &mut draft),
        Dialect::Anthropic => anthropic::json(reply, &mut draft),
        Dialect::Gemini => gemini::json(reply, &mut draft),
        Dialect::Bedrock => bedrock::json(reply, &mut draft),
        Dialect::Cohere => cohere::json(reply, &mut draft),
        Dialect::Mistral => mistral::json(reply, &mut draft),
    }
    Draft::whole(draft.content, reply.tokens(), reply.usage.is_some())
}

/// Writes a reply as a stream; `array` is Gemini's form of it that is one JSON document.
pub(super) fn stream(reply: &Reply<'_>, array: bool) -> Draft {
    let mut draft = Draft::default();
    match reply.dialect {
        Dialect::OpenAiChat => openai_chat::stream(reply, &mut draft),
        Dialect::OpenAiResponses => openai_responses::stream(reply, &mut draft),
        Dialect::Anthropic => anthropic::stream(reply, &mut draft),
        Dialect::Gemini => gemini::stream(reply, &mut draft, array),
        Dialect::Bedrock => bedrock::stream(reply, &mut draft),
        Dialect::Cohere => cohere::stream(reply, &mut draft),
        Dialect::Mistral => mistral::stream(reply, &mut draft),
    }
    draft
}

/// Media type of a stream.
pub(super) fn stream_type(dialect: Dialect, array: bool) -> &'static str {
    match dialect {
        Dialect::Gemini if array => "application/json; charset=UTF-8",
        Dialect::Gemini | Dialect::Cohere => "text/event-stream",
        Dialect::Bedrock => "application/vnd.amazon.eventstream",
        _ => "text/event-stream; charset=utf-8",
    }
}

#[cfg(test)]
mod tests;
