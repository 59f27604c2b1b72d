//! What the mock of language-model providers and the load generator share: the dialects' names, text by tokens, counts
//! of usage, and AWS's frames. Written apart from the gateway's own code on purpose, so that one can be held against
//! the other.

pub(crate) mod frames;
mod text;
mod usage;

pub(crate) use text::{TOKENS_MAX, push_tokens, text};
pub(crate) use usage::Usage;

use std::str::FromStr;

/// A form of request, answer and stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// OpenAI's Chat Completions (<https://platform.openai.com/docs/api-reference/chat>).
    OpenAiChat,
    /// OpenAI's Responses (<https://platform.openai.com/docs/api-reference/responses>).
    OpenAiResponses,
    /// Anthropic's Messages (<https://docs.claude.com/en/api/messages>).
    Anthropic,
    /// Google's generateContent (<https://ai.google.dev/api/generate-content>).
    Gemini,
    /// Amazon Bedrock's Converse (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
    Bedrock,
    /// Cohere's Chat, version 2 (<https://docs.cohere.com/reference/chat>).
    Cohere,
    /// Mistral's chat completions (<https://docs.mistral.ai/api>).
    Mistral,
}

impl Dialect {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::Cohere,
        Self::Mistral,
    ];

    /// Name on the command line, in bills and in results; the same as in the gateway's configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
            Self::Mistral => "mistral",
        }
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.name() == text)
            .ok_or_else(|| format!("unknown dialect `{text}`; use {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A text as a JSON string, with its quotes.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = !self.0.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        if plain {
            return write!(out, "\"{}\"", self.0);
        }
        out.write_str(&serde_json::to_string(self.0).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.name().parse::<Dialect>().unwrap(), dialect);
        }
        assert!("openai".parse::<Dialect>().is_err());
    }

    #[test]
    fn quoted_texts_are_json() {
        for text in ["", "plain", "a\"b\\c", "line\nend\u{1}", "größe 🚀"] {
            assert_eq!(serde_json::from_str::<String>(&Quoted(text).to_string()).unwrap(), text);
        }
    }
}
