//! What is known of each kind of provider: its URLs, how it is told who calls, how it streams, what it says of its limits
//! and of its errors, and where it differs from the dialect it speaks.
//!
//! All of that is data, [`Providers::bundled`], in `data/providers.toml`. This module reads it, once and on the control
//! side, into values that never change; here stands only what the data cannot say.

mod failure;
mod rate_limit;
mod table;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use failure::{ErrorClass, Errors, Failure, MESSAGE_BYTES_MAX, Shape};
pub use rate_limit::{Headroom, LimitScope, RESET_MS_MAX, RateLimit, ResetForm, Window};
pub use table::{Fault, Faults};
pub use url::{UrlError, Values};

use crate::dialect::Dialect;
use url::Template;

/// An enum whose variants have names in the table.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in the order in which they stand here.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// Its name in the table, in configurations and in documents.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
use named;

named! {
    /// What is asked of a provider; each has its path.
    Operation {
        /// A conversation by Chat Completions, or by Cohere's Chat.
        Chat = "chat",
        /// A conversation by Responses.
        Responses = "responses",
        /// A conversation by Messages.
        Messages = "messages",
        /// The same as a stream, where that has a path of its own.
        MessagesStream = "messages_stream",
        /// A conversation by generateContent.
        Generate = "generate",
        /// The same as a stream.
        GenerateStream = "generate_stream",
        /// A conversation by Converse.
        Converse = "converse",
        /// The same as a stream.
        ConverseStream = "converse_stream",
        /// How many tokens a conversation has.
        CountTokens = "count_tokens",
        /// Vectors of texts.
        Embeddings = "embeddings",
        /// The order of texts by a question.
        Rerank = "rerank",
        /// Pictures from a text.
        Images = "images",
        /// A voice from a text.
        Speech = "speech",
        /// A text from a voice.
        Transcription = "transcription",
        /// Whether a text is harmful.
        Moderations = "moderations",
        /// The list of models.
        Models = "models",
        /// Files that are kept.
        Files = "files",
        /// Calls that are answered later, together.
        Batches = "batches",
    }
}

impl Operation {
    /// A conversation in this dialect, as one answer or as a stream. Dialects that ask for a stream by a member of the
    /// document have one path for both; see [`Api::path`].
    pub const fn conversation(dialect: Dialect, stream: bool) -> Self {
        match (dialect, stream) {
            (Dialect::OpenAiChat | Dialect::Mistral | Dialect::Cohere, _) => Operation::Chat,
            (Dialect::OpenAiResponses, _) => Operation::Responses,
            (Dialect::Anthropic, false) => Operation::Messages,
            (Dialect::Anthropic, true) => Operation::MessagesStream,
            (Dialect::Gemini, false) => Operation::Generate,
            (Dialect::Gemini, true) => Operation::GenerateStream,
            (Dialect::Bedrock, false) => Operation::Converse,
            (Dialect::Bedrock, true) => Operation::ConverseStream,
        }
    }
}

/// How a provider is told who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// The key in a header, behind a prefix that may be empty.
    Header {
        /// The header's name, in lower case.
        name: String,
        /// What stands before the key, with its space.
        prefix: String,
    },
    /// The key as a parameter of the query.
    Query {
        /// The parameter's name.
        name: String,
    },
    /// AWS Signature Version 4
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).
    SigV4 {
        /// The name of the service that is signed for.
        service: String,
    },
    /// An access token that a service account of Google gets for a signed JWT (RFC 7523), or that a metadata server gives.
    GoogleServiceAccount {
        /// The scope that the token is asked for.
        scope: String,
    },
    /// A key of an Azure resource, in the header `api-key`.
    AzureKey,
    /// Nobody asks.
    None,
}

named! {
    /// How a stream is asked for.
    Ask {
        /// By `"stream": true` in the document.
        Member = "member",
        /// By another path.
        Path = "path",
    }
}

named! {
    /// The form of a stream.
    Media {
        /// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
        Sse = "sse",
        /// AWS's binary event stream
        /// (<https://smithy.io/2.0/aws/amazon-eventstream.html>).
        AwsEventStream = "aws_event_stream",
    }
}

impl Media {
    /// Its media type, as `content-type` tells it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Media::Sse => "text/event-stream",
            Media::AwsEventStream => "application/vnd.amazon.eventstream",
        }
    }
}

named! {
    /// What becomes of `stream_options.include_usage` in Chat Completions.
    IncludeUsage {
        /// It is understood; usage may come without it.
        Known = "known",
        /// It is understood, and without it no usage comes.
        Needed = "needed",
        /// It must not be sent.
        Refused = "refused",
    }
}

/// How an API streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// How a stream is asked for.
    pub ask: Ask,
    /// Its form.
    pub media: Media,
    /// Whether the last event is `data: [DONE]`.
    pub done: bool,
    /// What becomes of `stream_options.include_usage`; none where the provider does not document it.
    pub include_usage: Option<IncludeUsage>,
}

impl Stream {
    /// How a dialect streams where a provider says nothing else.
    pub const fn of(dialect: Dialect) -> Self {
        let (ask, media, done) = match dialect {
            Dialect::OpenAiChat | Dialect::Mistral => (Ask::Member, Media::Sse, true),
            Dialect::OpenAiResponses | Dialect::Anthropic | Dialect::Cohere => {
                (Ask::Member, Media::Sse, false)
            }
            Dialect::Gemini => (Ask::Path, Media::Sse, false),
            Dialect::Bedrock => (Ask::Path, Media::AwsEventStream, false),
        };
        Self { ask, media, done, include_usage: None }
    }
}

named! {
    /// A way in which a provider differs from the dialect that it speaks. The head of the table explains each.
    Quirk {
        /// The limit of the output is `max_completion_tokens`.
        MaxCompletionTokens = "max_completion_tokens",
        /// The limit of the output is `max_tokens`.
        MaxTokens = "max_tokens",
        /// `developer` is no role.
        NoDeveloperRole = "no_developer_role",
        /// Roles must alternate.
        AlternatingRoles = "alternating_roles",
        /// `content` must be a string.
        ContentMustBeText = "content_must_be_text",
        /// Thinking is told in `reasoning_content`.
        ReasoningContent = "reasoning_content",
        /// `reasoning_content` must come back with calls of tools.
        ReasoningContentBack = "reasoning_content_back",
        /// Thinking is told in `reasoning`.
        Reasoning = "reasoning",
        /// Thinking stands in the text, between `<think>` tags.
        ThinkTags = "think_tags",
        /// Ids of calls have nine letters or digits.
        ToolIdsNineAlphanumerics = "tool_ids_nine_alphanumerics",
        /// No tools.
        NoTools = "no_tools",
        /// No `parallel_tool_calls`.
        NoParallelToolCalls = "no_parallel_tool_calls",
        /// `tool_choice` is only `auto` or `none`.
        ToolChoiceAutoOnly = "tool_choice_auto_only",
        /// No `strict` in the definition of a tool.
        NoStrictTools = "no_strict_tools",
        /// Structured output without a schema.
        JsonObjectOnly = "json_object_only",
        /// No `n`.
        NoN = "no_n",
        /// No `seed`.
        NoSeed = "no_seed",
        /// `seed` is called `random_seed`.
        RandomSeed = "random_seed",
        /// No `logprobs`.
        NoLogprobs = "no_logprobs",
        /// No `logit_bias`.
        NoLogitBias = "no_logit_bias",
        /// No `frequency_penalty` and `presence_penalty`.
        NoPenalties = "no_penalties",
        /// `temperature` ends at 1.
        TemperatureMaxOne = "temperature_max_one",
        /// Usage is told in `x_groq` beside the chunk.
        UsageBesideChunk = "usage_beside_chunk",
        /// Each chunk tells the usage so far.
        UsageEachChunk = "usage_each_chunk",
        /// Usage is told in the last chunk's choice.
        UsageInChoice = "usage_in_choice",
        /// An error may be told in an answer with status 200.
        ErrorInAnswer = "error_in_answer",
        /// The model stands in the path and not in the document.
        ModelInPath = "model_in_path",
        /// Responses keep no state.
        StatelessResponses = "stateless_responses",
    }
}

named! {
    /// What an entry of the table rests on.
    Source {
        /// The provider's own documentation.
        Docs = "docs",
        /// The provider's own client library.
        Sdk = "sdk",
        /// What others document or have in their clients.
        Secondary = "secondary",
    }
}

/// An API of a provider: a dialect at its paths.
#[derive(Debug, Clone)]
pub struct Api {
    /// The form of its documents and streams.
    pub dialect: Dialect,
    /// How it is told who calls; the first is the usual way, any of the others will do.
    pub auth: Vec<Auth>,
    /// Headers that each call has, with their values.
    pub headers: Vec<(String, String)>,
    /// Members that each document has, with their values.
    pub body: Vec<(String, String)>,
    /// How it streams.
    pub stream: Stream,
    paths: BTreeMap<Operation, Template>,
}

impl Api {
    /// The operations that it has a path for.
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        self.paths.keys().copied()
    }

    /// The path of an operation as the table has it, with its placeholders; a stream has the path of the one answer where
    /// the table has none for it.
    pub fn path(&self, operation: Operation) -> Option<&str> {
        self.template(operation).map(Template::as_str)
    }

    fn template(&self, operation: Operation) -> Option<&Template> {
        let as_answer = match operation {
            Operation::MessagesStream => Operation::Messages,
            other => other,
        };
        self.paths.get(&operation).or_else(|| self.paths.get(&as_answer))
    }
}

/// A kind of provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name in configurations.
    pub kind: String,
    /// Its name for people.
    pub title: String,
    /// The kind under which the model catalogue has its models; mostly its own.
    pub catalogue: String,
    /// Its APIs; the first is the one that has everything, further ones have conversations in other dialects.
    pub apis: Vec<Api>,
    /// Placeholders of its URLs that a configuration must give.
    pub needs: Vec<String>,
    /// What its answers say of limits.
    pub rate_limit: RateLimit,
    /// What its answers say of errors.
    pub errors: Errors,
    /// Where it differs from its dialects.
    pub quirks: Vec<Quirk>,
    /// Where its API is documented.
    pub docs: String,
    /// What the entry rests on.
    pub source: Source,
    /// When that was looked at, `YYYY-MM-DD`.
    pub checked: String,
    base_url: Option<Template>,
    bases: BTreeMap<String, Template>,
}

impl Provider {
    /// Its API in a dialect.
    pub fn api(&self, dialect: Dialect) -> Option<&Api> {
        self.apis.iter().find(|api| api.dialect == dialect)
    }

    /// Its usual dialect.
    pub fn dialect(&self) -> Dialect {
        self.apis[0].dialect // never empty: the reader of the table puts the first
    }

    /// Whether it has a quirk.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Its base URL as the table has it, with its placeholders.
    pub fn base_url(&self) -> Option<&str> {
        self.base_url.as_ref().map(Template::as_str)
    }

    /// Base URLs of named regions, as the table has them.
    pub fn bases(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.bases.iter().map(|(region, base)| (region.as_str(), base.as_str()))
    }

    /// The URL of an operation, in the first API that has it.
    ///
    /// # Errors
    /// The provider does not have the operation, or the values do not fill its placeholders.
    pub fn url(&self, operation: Operation, values: &Values<'_>) -> Result<String, UrlError> {
        let path = self.apis.iter().find_map(|api| api.template(operation));
        self.fill(path, operation, values)
    }

    /// The URL of a conversation in a dialect.
    ///
    /// # Errors
    /// As [`Provider::url`].
    pub fn conversation_url(
        &self,
        dialect: Dialect,
        stream: bool,
        values: &Values<'_>,
    ) -> Result<String, UrlError> {
        let operation = Operation::conversation(dialect, stream);
        let path = self.api(dialect).and_then(|api| api.template(operation));
        self.fill(path, operation, values)
    }

    fn fill(
        &self,
        path: Option<&Template>,
        operation: Operation,
        values: &Values<'_>,
    ) -> Result<String, UrlError> {
        let path = path.ok_or(UrlError::NoOperation { operation })?;
        url::join(self.base(values)?, path, values)
    }

    /// The base URL that counts: the one given, the one of the region given, or the usual one.
    fn base<'a>(&'a self, values: &Values<'a>) -> Result<url::Base<'a>, UrlError> {
        if let Some(given) = values.base_url {
            return Ok(url::Base::Given(given));
        }
        let mut named = ["region", "location"].into_iter().filter_map(|name| Some((name, values.get(name)?)));
        if !self.bases.is_empty()
            && let Some((name, region)) = named.next()
        {
            if let Some(base) = self.bases.get(region) {
                return Ok(url::Base::Template(base));
            }
            // Where the usual URL has no place for a region, a name that is not in the table is a mistake.
            if !self.needs.iter().any(|need| need == name) {
                return Err(UrlError::UnknownRegion { region: region.to_owned() });
            }
        }
        self.base_url.as_ref().map(url::Base::Template).ok_or(UrlError::NoBaseUrl)
    }
}

/// The text of the bundled table.
pub const BUNDLED: &str = include_str!("../data/providers.toml");

/// The table of all kinds of providers.
#[derive(Debug, Clone)]
pub struct Providers {
    kinds: BTreeMap<String, Provider>,
    quirks: BTreeMap<Quirk, String>,
}

impl Providers {
    /// Reads a table.
    ///
    /// # Errors
    /// The text is not TOML, or has members, names, placeholders or values that have no meaning: all such places.
    pub fn read(text: &str) -> Result<Self, Faults> {
        table::read(text)
    }

    /// Reads the table that is shipped with the program; a test reads it too.
    ///
    /// # Errors
    /// As [`Providers::read`].
    pub fn bundled() -> Result<Self, Faults> {
        Self::read(BUNDLED)
    }

    /// The table that is shipped with the program, read once.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Providers> = LazyLock::new(|| {
            Providers::bundled().unwrap_or_else(|faults| panic!("the bundled table of providers: {faults}"))
        });
        &SHARED
    }

    /// A kind by its name.
    pub fn get(&self, kind: &str) -> Option<&Provider> {
        self.kinds.get(kind)
    }

    /// All kinds, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Provider> {
        self.kinds.values()
    }

    /// What a quirk means, for people.
    pub fn explain(&self, quirk: Quirk) -> &str {
        self.quirks.get(&quirk).map_or("", String::as_str) // all are there: the reader of the table sees to it
    }
}
