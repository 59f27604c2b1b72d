//! The dialects that providers speak, by the form of their documents.

use std::fmt;

/// A form of request, answer and stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's Chat Completions, and what is compatible with it.
    OpenAiChat,
    /// OpenAI's Responses.
    OpenAiResponses,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's generateContent.
    Gemini,
    /// Amazon Bedrock's Converse.
    Bedrock,
    /// Cohere's Chat, version 2.
    Cohere,
    /// Mistral's chat completions: OpenAI's, with content in parts and thinking of its own.
    Mistral,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 7] = [
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        Dialect::Anthropic,
        Dialect::Gemini,
        Dialect::Bedrock,
        Dialect::Cohere,
        Dialect::Mistral,
    ];

    /// Its number in call records; stable, never reused.
    pub const fn id(self) -> u8 {
        match self {
            Dialect::OpenAiChat => 1,
            Dialect::OpenAiResponses => 2,
            Dialect::Anthropic => 3,
            Dialect::Gemini => 4,
            Dialect::Bedrock => 5,
            Dialect::Cohere => 6,
            Dialect::Mistral => 7,
        }
    }

    /// Its name in configurations, records and documents.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::OpenAiChat => "openai_chat",
            Dialect::OpenAiResponses => "openai_responses",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
            Dialect::Bedrock => "bedrock",
            Dialect::Cohere => "cohere",
            Dialect::Mistral => "mistral",
        }
    }

    /// Whether a provider of this dialect can read what proves or seals a thought that came in the other: Claude's come by
    /// Messages and by Converse alike.
    pub fn reads_thoughts_of(self, other: Dialect) -> bool {
        let claude = [Dialect::Anthropic, Dialect::Bedrock];
        self == other || (claude.contains(&self) && claude.contains(&other))
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
