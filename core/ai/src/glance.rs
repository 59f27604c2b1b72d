//! What an account of a call needs of a document beside its usage: how much it says, whether the answer ends with it, and
//! why. Of the data of an event of a stream, or of a whole answer.

use crate::dialect::Dialect;
use crate::json::{Str, Value};

/// What a document says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glance {
    /// Bytes of text, thoughts and arguments in it.
    pub said: usize,
    /// Why the answer ended, as a call record has it (see [`crate::translate::finish_code`]); 0 if it did not.
    pub finish: u8,
    /// Nothing of the answer follows.
    pub is_last: bool,
}

/// The data with which streams of Chat Completions end.
const DONE: &[u8] = b"[DONE]";

impl Glance {
    /// At an event of a stream: the parsed data, or none where they are no JSON, and the data themselves.
    pub fn at_event(dialect: Dialect, data: &[u8], document: Option<&Value<'_>>) -> Self {
        let Some(document) = document else {
            return Self { is_last: data == DONE, ..Self::default() };
        };
        match dialect {
            Dialect::OpenAiChat | Dialect::Mistral => choices(document, "delta"),
            Dialect::Anthropic => messages_event(document),
            Dialect::OpenAiResponses => responses_event(document),
            Dialect::Gemini => candidates(document),
            Dialect::Bedrock => converse_event(document),
            Dialect::Cohere => cohere_event(document),
        }
    }

    /// At a whole answer.
    pub fn at_answer(dialect: Dialect, document: &Value<'_>) -> Self {
        let seen = match dialect {
            Dialect::OpenAiChat | Dialect::Mistral => choices(document, "message"),
            Dialect::Anthropic => {
                let said = document.get("content").map_or(0, text_within);
                Self { said, finish: finish(document.get("stop_reason")), is_last: true }
            }
            Dialect::OpenAiResponses => response(document),
            Dialect::Gemini => candidates(document),
            Dialect::Bedrock => {
                let said = document.get("output").map_or(0, text_within);
                Self { said, finish: finish(document.get("stopReason")), is_last: true }
            }
            Dialect::Cohere => {
                let said = document.get("message").map_or(0, text_within);
                Self { said, finish: finish(document.get("finish_reason")), is_last: true }
            }
        };
        Self { is_last: true, ..seen }
    }
}

/// The word of a reason, in any dialect.
fn finish(word: Option<&Value<'_>>) -> u8 {
    let Some(Value::String(word)) = word else { return 0 };
    match word.text().as_ref() {
        "" => 0,
        "length"
        | "max_tokens"
        | "MAX_TOKENS"
        | "max_output_tokens"
        | "model_length"
        | "model_context_window_exceeded" => 2,
        "tool_calls" | "tool_use" | "function_call" | "TOOL_CALL" => 3,
        "content_filter"
        | "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "content_filtered"
        | "guardrail_intervened" => 4,
        "refusal" => 5,
        "error" | "ERROR" => 6,
        _ => 1,
    }
}

fn len(text: &Str<'_>) -> usize {
    match text {
        Str::Plain(plain) => plain.len(),
        other => other.text().len(),
    }
}

/// Bytes of all texts within a value, names and ids left out: enough for an estimate.
fn text_within(value: &Value<'_>) -> usize {
    const SAID: [&str; 8] =
        ["text", "thinking", "input", "content", "arguments", "args", "partial_json", "refusal"];
    match value {
        Value::String(text) => len(text),
        Value::Array(values) => values.iter().map(text_within).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if SAID.iter().any(|said| name.is(said)) => len(text),
                Value::Array(_) | Value::Object(_) => text_within(value),
                _ => 0,
            })
            .sum(),
        _ => 0,
    }
}

fn choices(document: &Value<'_>, said_in: &str) -> Glance {
    let mut seen = Glance::default();
    let Some(choices) = document.get("choices").and_then(Value::as_array) else { return seen };
    for choice in choices {
        if let Some(Value::Object(said)) = choice.get(said_in) {
            for (name, value) in said.iter() {
                if !name.is("role") {
                    seen.said += text_within(value);
                }
            }
        }
        seen.finish = seen.finish.max(finish(choice.get("finish_reason")));
    }
    seen
}

fn messages_event(document: &Value<'_>) -> Glance {
    let Some(Value::String(kind)) = document.get("type") else { return Glance::default() };
    match kind.text().as_ref() {
        "content_block_start" => {
            let said = document.get("content_block").map_or(0, text_within);
            Glance { said, ..Glance::default() }
        }
        "content_block_delta" => {
            Glance { said: document.get("delta").map_or(0, text_within), ..Glance::default() }
        }
        "message_delta" => {
            let stop = document.get("delta").and_then(|delta| delta.get("stop_reason"));
            Glance { finish: finish(stop), ..Glance::default() }
        }
        "message_stop" => Glance { is_last: true, ..Glance::default() },
        _ => Glance::default(),
    }
}

fn responses_event(document: &Value<'_>) -> Glance {
    let Some(Value::String(kind)) = document.get("type") else { return Glance::default() };
    let kind = kind.text();
    match kind.as_ref() {
        "response.completed" | "response.incomplete" | "response.failed" => {
            let finish = document.get("response").map_or(0, |all| response(all).finish);
            Glance { said: 0, finish, is_last: true }
        }
        _ if kind.ends_with(".delta") => {
            Glance { said: document.get("delta").map_or(0, text_within), ..Glance::default() }
        }
        _ => Glance::default(),
    }
}

fn response(document: &Value<'_>) -> Glance {
    let output = document.get("output");
    let called = output.and_then(Value::as_array).is_some_and(|items| {
        items.iter().any(|item| {
            item.get("type").is_some_and(|kind| kind.is("function_call") || kind.is("custom_tool_call"))
        })
    });
    let why = document.get("incomplete_details").and_then(|details| details.get("reason"));
    let finish = match document.get("status") {
        Some(status) if status.is("completed") => {
            if called {
                3
            } else {
                1
            }
        }
        Some(status) if status.is("incomplete") => finish(why).max(2),
        Some(status) if status.is("failed") => 6,
        _ => 0,
    };
    Glance { said: output.map_or(0, text_within), finish, is_last: true }
}

fn candidates(document: &Value<'_>) -> Glance {
    let mut seen = Glance::default();
    let Some(candidates) = document.get("candidates").and_then(Value::as_array) else {
        let blocked = document.get("promptFeedback").and_then(|told| told.get("blockReason")).is_some();
        return if blocked { Glance { said: 0, finish: 4, is_last: true } } else { seen };
    };
    for candidate in candidates {
        seen.said += candidate.get("content").map_or(0, text_within);
        seen.finish = seen.finish.max(finish(candidate.get("finishReason")));
    }
    // Usage may come with it or behind it; there is no event that only says that it is over.
    seen.is_last = seen.finish > 0;
    seen
}

fn converse_event(document: &Value<'_>) -> Glance {
    let stop = document.get("stopReason");
    let said = document.get("delta").map_or(0, text_within);
    // The last event is that of the usage.
    Glance { said, finish: finish(stop), is_last: document.get("usage").is_some() }
}

fn cohere_event(document: &Value<'_>) -> Glance {
    let Some(Value::String(kind)) = document.get("type") else { return Glance::default() };
    let delta = document.get("delta");
    if kind.is("message-end") {
        let stop = delta.and_then(|delta| delta.get("finish_reason"));
        return Glance { said: 0, finish: finish(stop).max(1), is_last: true };
    }
    Glance { said: delta.map_or(0, text_within), ..Glance::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(dialect: Dialect, data: &str) -> (usize, u8, bool) {
        let document = Value::parse(data.as_bytes()).ok();
        let seen = Glance::at_event(dialect, data.as_bytes(), document.as_ref());
        (seen.said, seen.finish, seen.is_last)
    }

    #[test]
    fn events_say_how_much_and_how_it_ends() {
        let cases = [
            (
                Dialect::OpenAiChat,
                r#"{"choices":[{"delta":{"role":"assistant","content":"abc"}}]}"#,
                (3, 0, false),
            ),
            (Dialect::OpenAiChat, r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#, (0, 2, false)),
            (
                Dialect::OpenAiChat,
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
                (2, 0, false),
            ),
            (Dialect::OpenAiChat, "[DONE]", (0, 0, true)),
            (
                Dialect::Anthropic,
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"abc"}}"#,
                (3, 0, false),
            ),
            (
                Dialect::Anthropic,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#,
                (0, 3, false),
            ),
            (Dialect::Anthropic, r#"{"type":"message_stop"}"#, (0, 0, true)),
            (
                Dialect::OpenAiResponses,
                r#"{"type":"response.output_text.delta","delta":"ab"}"#,
                (2, 0, false),
            ),
            (
                Dialect::OpenAiResponses,
                r#"{"type":"response.completed","response":{"status":"completed"}}"#,
                (0, 1, true),
            ),
            (
                Dialect::Gemini,
                r#"{"candidates":[{"content":{"parts":[{"text":"ab"}]},"finishReason":"SAFETY"}]}"#,
                (2, 4, true),
            ),
            (Dialect::Gemini, r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, (0, 4, true)),
            (Dialect::Bedrock, r#"{"contentBlockIndex":0,"delta":{"text":"ab"}}"#, (2, 0, false)),
            (Dialect::Bedrock, r#"{"usage":{"inputTokens":1}}"#, (0, 0, true)),
            (Dialect::Cohere, r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#, (0, 1, true)),
        ];
        for (dialect, data, expected) in cases {
            assert_eq!(event(dialect, data), expected, "{dialect} {data}");
        }
    }

    #[test]
    fn whole_answers_say_why_they_ended() {
        let answer = |dialect, text: &str| {
            let document = Value::parse(text.as_bytes()).unwrap();
            let seen = Glance::at_answer(dialect, &document);
            (seen.said, seen.finish)
        };
        let chat = r#"{"choices":[{"message":{"role":"assistant","content":"abc"},"finish_reason":"stop"}]}"#;
        assert_eq!(answer(Dialect::OpenAiChat, chat), (3, 1));
        let messages = r#"{"content":[{"type":"text","text":"ab"}],"stop_reason":"max_tokens"}"#;
        assert_eq!(answer(Dialect::Anthropic, messages), (2, 2));
        let response = r#"{"status":"completed","output":[{"type":"function_call","arguments":"{}"}]}"#;
        assert_eq!(answer(Dialect::OpenAiResponses, response), (2, 3));
    }
}
