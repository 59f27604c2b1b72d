//! The paths under which an AI service answers: which dialect is spoken there and what is asked.

use crate::dialect::Dialect;

/// What a path of an AI service is for. The SDKs of four dialects find theirs below one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Google's operations on a model, which the end of the path names: `{model}:generateContent`.
    Generate,
    /// The same under the path of Google's first version, which its SDK writes.
    GenerateV1,
    /// OpenAI's list of models.
    Models,
    /// One of them.
    Model,
    /// Google's list of models.
    GeminiModels,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Endpoint; 8] = [
        Endpoint::Chat,
        Endpoint::Responses,
        Endpoint::Messages,
        Endpoint::Generate,
        Endpoint::GenerateV1,
        Endpoint::Models,
        Endpoint::Model,
        Endpoint::GeminiModels,
    ];

    /// Its name in records and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Endpoint::Chat => "chat",
            Endpoint::Responses => "responses",
            Endpoint::Messages => "messages",
            Endpoint::Generate => "generate",
            Endpoint::GenerateV1 => "generate-v1",
            Endpoint::Models => "models",
            Endpoint::Model => "model",
            Endpoint::GeminiModels => "gemini-models",
        }
    }

    /// Its path below the service's prefix; `*` stands for the rest.
    pub const fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Responses => "/v1/responses",
            Endpoint::Messages => "/v1/messages",
            Endpoint::Generate => "/v1beta/models/*",
            Endpoint::GenerateV1 => "/v1/models/*",
            Endpoint::Models => "/v1/models",
            Endpoint::Model => "/v1/models/*",
            Endpoint::GeminiModels => "/v1beta/models",
        }
    }

    /// The method that it is asked by.
    pub const fn method(self) -> &'static str {
        match self {
            Endpoint::Chat
            | Endpoint::Responses
            | Endpoint::Messages
            | Endpoint::Generate
            | Endpoint::GenerateV1 => "POST",
            Endpoint::Models | Endpoint::Model | Endpoint::GeminiModels => "GET",
        }
    }

    /// The dialect in which it is asked, and in which errors are told.
    pub const fn dialect(self) -> Dialect {
        match self {
            Endpoint::Chat | Endpoint::Models | Endpoint::Model => Dialect::OpenAiChat,
            Endpoint::Responses => Dialect::OpenAiResponses,
            Endpoint::Messages => Dialect::Anthropic,
            Endpoint::Generate | Endpoint::GenerateV1 | Endpoint::GeminiModels => Dialect::Gemini,
        }
    }

    /// Whether it is a conversation: a model is named and paid.
    pub const fn is_conversation(self) -> bool {
        !matches!(self, Endpoint::Models | Endpoint::Model | Endpoint::GeminiModels)
    }
}

/// What the path of Google's dialect asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeminiCall<'a> {
    /// An answer.
    Generate {
        /// The model.
        model: &'a str,
        /// As a stream.
        stream: bool,
    },
    /// How many tokens a conversation has.
    CountTokens {
        /// The model.
        model: &'a str,
    },
}

impl<'a> GeminiCall<'a> {
    /// Reads what stands behind `/models/`: a model, which may hold slashes, a colon and the operation.
    pub fn parse(rest: &'a str) -> Option<Self> {
        let (model, operation) = rest.rsplit_once(':')?;
        if model.is_empty() {
            return None;
        }
        Some(match operation {
            "generateContent" => GeminiCall::Generate { model, stream: false },
            "streamGenerateContent" => GeminiCall::Generate { model, stream: true },
            "countTokens" => GeminiCall::CountTokens { model },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_google_names_model_and_operation() {
        let generate = |model, stream| Some(GeminiCall::Generate { model, stream });
        let cases = [
            ("gemini-2.5-flash:generateContent", generate("gemini-2.5-flash", false)),
            ("gemini-2.5-flash:streamGenerateContent", generate("gemini-2.5-flash", true)),
            ("openai/gpt-4.1:generateContent", generate("openai/gpt-4.1", false)),
            ("local/llama3.2:1b:generateContent", generate("local/llama3.2:1b", false)),
            ("m:countTokens", Some(GeminiCall::CountTokens { model: "m" })),
            (":generateContent", None),
            ("m:generate", None),
            ("m", None),
        ];
        for (rest, expected) in cases {
            assert_eq!(GeminiCall::parse(rest), expected, "{rest}");
        }
    }

    #[test]
    fn names_and_paths_are_one_to_one() {
        for one in Endpoint::ALL {
            let same = |other: &&Endpoint| {
                other.name() == one.name() || (other.path(), other.method()) == (one.path(), one.method())
            };
            assert_eq!(Endpoint::ALL.iter().filter(same).count(), 1, "{one:?}");
        }
    }
}
