//! What a call used, as its provider tells it.
//!
//! Providers count in different ways: some count cached tokens among those of the input and some beside them, some count
//! reasoning in the output and some do not. [`Usage`] has one meaning for all: no token stands in two of its members. Which
//! way a provider counts is known from its dialect and, where that leaves it open, from its own sums; never from which
//! member happens to be zero.

use crate::dialect::Dialect;
use crate::json::Value;

/// What a call used: each token in exactly one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the input that were neither read from a cache nor written to one, audio apart.
    pub input: u64,
    /// Tokens of the input that were read from the provider's cache.
    pub cached_read: u64,
    /// Tokens of the input that were written to a cache for the provider's usual time (Anthropic: five minutes).
    pub cache_write: u64,
    /// Tokens of the input that were written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Tokens of the input that are audio.
    pub audio_input: u64,
    /// Tokens of the output that are neither reasoning nor audio.
    pub output: u64,
    /// Tokens of the output that are reasoning, shown or not.
    pub reasoning: u64,
    /// Tokens of the output that are audio.
    pub audio_output: u64,
    /// Searches that the provider made for the call, where it bills them.
    pub searches: u64,
}

impl Usage {
    /// All tokens of the input: what decides the tier of a price, and what a limit on input counts.
    pub fn input_total(&self) -> u64 {
        [self.cached_read, self.cache_write, self.cache_write_1h, self.audio_input]
            .into_iter()
            .fold(self.input, u64::saturating_add)
    }

    /// All tokens of the output.
    pub fn output_total(&self) -> u64 {
        self.output.saturating_add(self.reasoning).saturating_add(self.audio_output)
    }
}

/// What an answer says of itself that a gateway keeps account of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// The model that answered, as the provider names it.
    pub model: Option<String>,
    /// What was used; none as long as the provider has not told.
    pub usage: Option<Usage>,
}

/// Bytes of a model's name that are kept.
pub const MODEL_BYTES_MAX: usize = 256;

impl Account {
    /// Takes in a document of an answer: the whole of a JSON answer, or the data of one event of its stream. What is told
    /// later counts instead of what was told before, member by member where a stream tells only some of them.
    pub fn take(&mut self, dialect: Dialect, document: &Value<'_>) {
        // Responses and Messages wrap the answer in most of their events.
        let inner = match dialect {
            Dialect::OpenAiResponses => document.get("response").unwrap_or(document),
            Dialect::Anthropic => document.get("message").unwrap_or(document),
            Dialect::Cohere => document.get("delta").unwrap_or(document),
            _ => document,
        };
        let model = match dialect {
            Dialect::Gemini => inner.get("modelVersion"),
            _ => inner.get("model"),
        };
        if let Some(model) = model.and_then(Value::as_text)
            && !model.is_empty()
            && model.len() <= MODEL_BYTES_MAX
        {
            self.model = Some(model.into_owned());
        }
        let told = match dialect {
            Dialect::Gemini => inner.get("usageMetadata"),
            // Groq tells it beside the chunk.
            Dialect::OpenAiChat => inner
                .get("usage")
                .filter(|usage| !usage.is_null())
                .or_else(|| inner.get("x_groq").and_then(|groq| groq.get("usage"))),
            Dialect::Cohere => inner.get("usage").or_else(|| inner.get("meta")),
            _ => inner.get("usage"),
        };
        if let Some(told) = told.filter(|told| told.as_object().is_some()) {
            let usage = self.usage.unwrap_or_default();
            self.usage = Some(read(dialect, told, usage));
        }
    }
}

/// A count in `told`, by its way from there.
fn count(told: &Value<'_>, way: &[&str]) -> Option<u64> {
    way.iter().try_fold(told, |value, name| value.get(name)).and_then(Value::as_u64)
}

/// The first of these that is told.
fn first(told: &Value<'_>, names: &[&[&str]]) -> Option<u64> {
    names.iter().find_map(|way| count(told, way))
}

/// What `told` says, over what was said `before`.
fn read(dialect: Dialect, told: &Value<'_>, before: Usage) -> Usage {
    match dialect {
        Dialect::Anthropic => anthropic(told, before),
        Dialect::Gemini => gemini(told),
        Dialect::Bedrock => bedrock(told),
        Dialect::Cohere => cohere(told),
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Mistral => openai(told),
    }
}

/// Chat and Responses, by the names of either, as compatible providers mix them. `prompt_tokens` counts the cached ones and
/// the audio (<https://platform.openai.com/docs/api-reference/chat/object>).
fn openai(told: &Value<'_>) -> Usage {
    let prompt = first(told, &[&["prompt_tokens"], &["input_tokens"]]).unwrap_or(0);
    let completion = first(told, &[&["completion_tokens"], &["output_tokens"]]).unwrap_or(0);
    let of_prompt = |name: &str| {
        first(told, &[&["prompt_tokens_details", name], &["input_tokens_details", name]]).unwrap_or(0)
    };
    let of_completion = |name: &str| {
        first(told, &[&["completion_tokens_details", name], &["output_tokens_details", name]]).unwrap_or(0)
    };
    // DeepSeek and Mistral have their own names for it.
    let cached = first(
        told,
        &[
            &["prompt_tokens_details", "cached_tokens"],
            &["input_tokens_details", "cached_tokens"],
            &["prompt_cache_hit_tokens"],
            &["num_cached_tokens"],
            &["cached_tokens"],
        ],
    );
    let cached_read = cached.unwrap_or(0).min(prompt);
    let audio_input = of_prompt("audio_tokens").min(prompt - cached_read);
    let cache_write = of_prompt("cache_write_tokens").min(prompt - cached_read - audio_input);
    let reasoning = of_completion("reasoning_tokens");
    let audio_output = of_completion("audio_tokens");
    // xAI counts reasoning beside the completion, and says so by its sum.
    let total = count(told, &["total_tokens"]);
    let beside = reasoning > 0
        && total.is_some_and(|total| {
            prompt.checked_add(completion).and_then(|sum| sum.checked_add(reasoning)) == Some(total)
        });
    let (output, reasoning) = if beside {
        (completion, reasoning)
    } else {
        let reasoning = reasoning.min(completion);
        (completion - reasoning, reasoning)
    };
    let audio_output = audio_output.min(output);
    Usage {
        input: prompt - cached_read - audio_input - cache_write,
        cached_read,
        cache_write,
        audio_input,
        output: output - audio_output,
        reasoning,
        audio_output,
        ..Usage::default()
    }
}

/// Cached tokens stand beside `input_tokens`, and thinking is a part of `output_tokens` and not told apart
/// (<https://docs.claude.com/en/api/messages>). A stream tells most with `message_start` and the rest with
/// `message_delta`, whose counts are cumulative.
fn anthropic(told: &Value<'_>, before: Usage) -> Usage {
    let written = count(told, &["cache_creation_input_tokens"]);
    let five_minutes = count(told, &["cache_creation", "ephemeral_5m_input_tokens"]);
    let hour = count(told, &["cache_creation", "ephemeral_1h_input_tokens"]);
    let (cache_write, cache_write_1h) = match (written, five_minutes, hour) {
        (None, None, None) => (before.cache_write, before.cache_write_1h),
        // A sum without its parts: those that were told before, if they still make it up.
        (Some(written), None, None)
            if written == before.cache_write.saturating_add(before.cache_write_1h) =>
        {
            (before.cache_write, before.cache_write_1h)
        }
        (Some(written), None, None) => (written, 0),
        (written, five_minutes, hour) => {
            let hour = hour.unwrap_or(0);
            let rest = written.map(|written| written.saturating_sub(hour));
            (rest.or(five_minutes).unwrap_or(0), hour)
        }
    };
    Usage {
        input: count(told, &["input_tokens"]).unwrap_or(before.input),
        cached_read: count(told, &["cache_read_input_tokens"]).unwrap_or(before.cached_read),
        cache_write,
        cache_write_1h,
        output: count(told, &["output_tokens"]).unwrap_or(before.output),
        searches: count(told, &["server_tool_use", "web_search_requests"]).unwrap_or(before.searches),
        ..Usage::default()
    }
}

/// `promptTokenCount` counts the cached ones; thoughts stand beside the candidates, results of tools beside the prompt
/// (<https://ai.google.dev/api/generate-content#UsageMetadata>).
fn gemini(told: &Value<'_>) -> Usage {
    let tokens = |name: &str| count(told, &[name]).unwrap_or(0);
    let audio = |details: &str| {
        let details = told.get(details).and_then(Value::as_array).unwrap_or_default();
        let audio = details.iter().filter(|part| part.get("modality").is_some_and(|kind| kind.is("AUDIO")));
        audio.filter_map(|part| count(part, &["tokenCount"])).fold(0, u64::saturating_add)
    };
    let prompt = tokens("promptTokenCount").saturating_add(tokens("toolUsePromptTokenCount"));
    let cached_read = tokens("cachedContentTokenCount").min(prompt);
    let fresh = prompt - cached_read;
    // Audio that was read from the cache costs what the cache costs.
    let audio_input = audio("promptTokensDetails").saturating_sub(audio("cacheTokensDetails")).min(fresh);
    let candidates = tokens("candidatesTokenCount");
    let audio_output = audio("candidatesTokensDetails").min(candidates);
    Usage {
        input: fresh - audio_input,
        cached_read,
        audio_input,
        output: candidates - audio_output,
        reasoning: tokens("thoughtsTokenCount"),
        audio_output,
        ..Usage::default()
    }
}

/// Cached tokens stand beside `inputTokens`
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html>).
fn bedrock(told: &Value<'_>) -> Usage {
    let tokens = |name: &str| count(told, &[name]).unwrap_or(0);
    Usage {
        input: tokens("inputTokens"),
        cached_read: tokens("cacheReadInputTokens"),
        cache_write: tokens("cacheWriteInputTokens"),
        output: tokens("outputTokens"),
        ..Usage::default()
    }
}

/// What is billed, which is less than what was read: Cohere adds instructions of its own and does not charge them
/// (<https://docs.cohere.com/reference/chat>).
fn cohere(told: &Value<'_>) -> Usage {
    let tokens = |name: &str| first(told, &[&["billed_units", name], &["tokens", name]]).unwrap_or(0);
    Usage {
        input: tokens("input_tokens"),
        output: tokens("output_tokens"),
        searches: tokens("search_units"),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(dialect: Dialect, documents: &[&str]) -> Account {
        let mut account = Account::default();
        for document in documents {
            account.take(dialect, &Value::parse(document.as_bytes()).unwrap());
        }
        account
    }

    fn usage(dialect: Dialect, told: &str) -> Usage {
        let name = if dialect == Dialect::Gemini { "usageMetadata" } else { "usage" };
        account(dialect, &[&format!("{{\"{name}\":{told}}}")]).usage.unwrap()
    }

    #[test]
    fn each_way_of_counting_gives_each_token_one_place() {
        use Dialect::*;
        let none = Usage::default();
        for (dialect, told, expected) in [
            (
                OpenAiChat,
                r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                    "prompt_tokens_details":{"cached_tokens":60,"audio_tokens":10},
                    "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":5}}"#,
                Usage {
                    input: 30,
                    cached_read: 60,
                    audio_input: 10,
                    output: 25,
                    reasoning: 20,
                    audio_output: 5,
                    ..none
                },
            ),
            // What is written to a cache is a part of the prompt too.
            (
                OpenAiResponses,
                r#"{"input_tokens":100,"output_tokens":1,"input_tokens_details":{"cached_tokens":60,"cache_write_tokens":30}}"#,
                Usage { input: 10, cached_read: 60, cache_write: 30, output: 1, ..none },
            ),
            // xAI: reasoning beside the completion.
            (
                OpenAiChat,
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45,
                    "completion_tokens_details":{"reasoning_tokens":30}}"#,
                Usage { input: 10, output: 5, reasoning: 30, ..none },
            ),
            // DeepSeek's and Mistral's names of cached tokens.
            (
                OpenAiChat,
                r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}"#,
                Usage { input: 36, cached_read: 64, output: 1, ..none },
            ),
            (
                Mistral,
                r#"{"completion_tokens":12,"num_cached_tokens":76,"prompt_tokens":77,"total_tokens":89}"#,
                Usage { input: 1, cached_read: 76, output: 12, ..none },
            ),
            // The names of Responses in a chat answer.
            (
                OpenAiChat,
                r#"{"input_tokens":13,"input_tokens_details":{"cached_tokens":3},"output_tokens":16,
                    "output_tokens_details":{"reasoning_tokens":10},"total_tokens":29}"#,
                Usage { input: 10, cached_read: 3, output: 6, reasoning: 10, ..none },
            ),
            // More cached tokens than there are: no wrap.
            (
                OpenAiChat,
                r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#,
                Usage { cached_read: 5, output: 1, ..none },
            ),
            (
                Anthropic,
                r#"{"input_tokens":3,"cache_creation_input_tokens":30,"cache_read_input_tokens":1111,
                    "cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},
                    "output_tokens":406,"server_tool_use":{"web_search_requests":2}}"#,
                Usage {
                    input: 3,
                    cached_read: 1111,
                    cache_write: 10,
                    cache_write_1h: 20,
                    output: 406,
                    searches: 2,
                    ..none
                },
            ),
            // Nothing read and something written: still beside the input.
            (
                Anthropic,
                r#"{"input_tokens":100,"cache_creation_input_tokens":50,"cache_read_input_tokens":0,"output_tokens":1}"#,
                Usage { input: 100, cache_write: 50, output: 1, ..none },
            ),
            (
                Gemini,
                r#"{"promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":8,"thoughtsTokenCount":275,
                    "toolUsePromptTokenCount":7,"totalTokenCount":390,
                    "promptTokensDetails":[{"modality":"TEXT","tokenCount":80},{"modality":"AUDIO","tokenCount":20}]}"#,
                Usage { input: 47, cached_read: 40, audio_input: 20, output: 8, reasoning: 275, ..none },
            ),
            (
                Bedrock,
                r#"{"cacheReadInputTokens":5,"cacheWriteInputTokens":1322,"inputTokens":2,"outputTokens":5,"totalTokens":1334}"#,
                Usage { input: 2, cached_read: 5, cache_write: 1322, output: 5, ..none },
            ),
            (
                Cohere,
                r#"{"billed_units":{"input_tokens":1,"output_tokens":9},"tokens":{"input_tokens":496,"output_tokens":11}}"#,
                Usage { input: 1, output: 9, ..none },
            ),
        ] {
            assert_eq!(usage(dialect, told), expected, "{dialect} {told}");
        }
    }

    #[test]
    fn a_stream_tells_by_and_by() {
        let told = account(
            Dialect::Anthropic,
            &[
                r#"{"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":43,"cache_creation_input_tokens":9,
                    "cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5},"output_tokens":1}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
                r#"{"type":"message_delta","delta":{},"usage":{"cache_creation_input_tokens":9,"output_tokens":282}}"#,
            ],
        );
        let usage = Usage { input: 43, cache_write: 4, cache_write_1h: 5, output: 282, ..Usage::default() };
        assert_eq!((told.model.as_deref(), told.usage), (Some("claude-x"), Some(usage)));
        // The input may be told only at the end.
        let told = account(
            Dialect::Anthropic,
            &[
                r#"{"message":{"usage":{"input_tokens":0,"output_tokens":0}}}"#,
                r#"{"usage":{"input_tokens":12,"output_tokens":3}}"#,
            ],
        );
        assert_eq!(told.usage.map(|usage| (usage.input, usage.output)), Some((12, 3)));
        let chunks = [
            r#"{"model":"gpt-x","choices":[{"delta":{}}],"usage":null}"#,
            r#"{"model":"gpt-x","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#,
            r#"{"model":"gpt-x","choices":[]}"#,
        ];
        assert_eq!(account(Dialect::OpenAiChat, &chunks[..1]).usage, None);
        let told = account(Dialect::OpenAiChat, &chunks);
        assert_eq!(told.usage.map(|usage| (usage.input, usage.output)), Some((5, 6)));
        let groq = r#"{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":7,"completion_tokens":8}}}"#;
        assert_eq!(account(Dialect::OpenAiChat, &[groq]).usage.map(|usage| usage.input), Some(7));
    }

    #[test]
    fn what_makes_no_sense_is_no_count() {
        let told = r#"{"prompt_tokens":-5,"completion_tokens":"7","total_tokens":1e99}"#;
        assert_eq!(usage(Dialect::OpenAiChat, told), Usage::default());
        for document in [r#"{"usage":7}"#, r#"{"usage":null}"#, "[]", "null"] {
            assert_eq!(account(Dialect::OpenAiChat, &[document]), Account::default());
        }
        let details =
            r#"[{"modality":"AUDIO","tokenCount":18446744073709551615},{"modality":"AUDIO","tokenCount":9}]"#;
        let huge = format!(r#"{{"promptTokenCount":5,"promptTokensDetails":{details}}}"#);
        assert_eq!(usage(Dialect::Gemini, &huge).audio_input, 5);
        let huge = r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,
            "completion_tokens_details":{"reasoning_tokens":18446744073709551615},"total_tokens":1}"#;
        assert_eq!(usage(Dialect::OpenAiChat, huge).output_total(), u64::MAX);
    }
}
