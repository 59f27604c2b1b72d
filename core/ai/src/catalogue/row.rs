//! One model at one provider.

use super::period::Period;
use super::price::{Price, PriceId};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $type { $($(#[$variant_doc])* $variant,)* }

        impl $type {
            /// All of them.
            pub const ALL: &'static [$type] = &[$($type::$variant,)*];

            /// As a catalogue line writes it.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }

            /// The one of that name.
            pub fn named(name: &str) -> Option<$type> {
                $type::ALL.iter().copied().find(|known| known.name() == name)
            }
        }
    };
}

names! {
    /// What a model is asked for.
    Mode {
        /// Answers a conversation.
        Chat "chat",
        /// Continues a text.
        Completion "completion",
        /// Makes vectors.
        Embedding "embedding",
        /// Makes or changes images.
        Image "image",
        /// Speaks a text.
        Speech "speech",
        /// Writes down what is spoken.
        Transcription "transcription",
        /// Orders documents by a question.
        Rerank "rerank",
        /// Judges a text.
        Moderation "moderation",
        /// Talks over one connection.
        Realtime "realtime",
        /// Makes videos.
        Video "video",
        /// Reads documents.
        Ocr "ocr",
    }
}

names! {
    /// A kind of content.
    Modality {
        /// Text.
        Text "text",
        /// Images.
        Image "image",
        /// Audio.
        Audio "audio",
        /// Video.
        Video "video",
        /// PDF documents.
        Pdf "pdf",
    }
}

names! {
    /// What a model may be able to do.
    Capability {
        /// Calls tools.
        Tools "tools",
        /// Calls several tools in one turn.
        ParallelTools "parallel_tools",
        /// Can be told which tool to call.
        ToolChoice "tool_choice",
        /// Keeps to a JSON Schema.
        StructuredOutput "structured_output",
        /// Sees images.
        Vision "vision",
        /// Reads PDF documents.
        Pdf "pdf",
        /// Reasons before it answers.
        Reasoning "reasoning",
        /// Its provider caches the start of a prompt.
        PromptCaching "prompt_caching",
        /// Answers as a stream.
        Streaming "streaming",
        /// Takes system messages.
        SystemMessages "system_messages",
        /// Continues an answer that was begun for it.
        Prefill "prefill",
        /// Searches the web.
        WebSearch "web_search",
        /// Works a computer.
        ComputerUse "computer_use",
        /// Is served by OpenAI's Responses API only.
        ResponsesOnly "responses_only",
    }
}

/// A price and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedPrice {
    pub(super) id: PriceId,
    pub(super) period: Period,
    pub(super) price: Price,
}

impl TimedPrice {
    /// Names the price.
    pub fn id(&self) -> PriceId {
        self.id
    }

    /// When it holds.
    pub fn period(&self) -> &Period {
        &self.period
    }

    /// How much it is.
    pub fn price(&self) -> &Price {
        &self.price
    }
}

/// One model at one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub(super) provider: Box<str>,
    pub(super) region: Box<str>,
    pub(super) model: Box<str>,
    pub(super) maker: Option<Box<str>>,
    pub(super) name: Box<str>,
    pub(super) own: bool,
    pub(super) mode: Mode,
    pub(super) prices: Box<[TimedPrice]>,
    pub(super) context_tokens: Option<u64>,
    pub(super) input_tokens_max: Option<u64>,
    pub(super) output_tokens_max: Option<u64>,
    /// A bit each.
    pub(super) modalities_in: u8,
    pub(super) modalities_out: u8,
    pub(super) capabilities: u16,
    pub(super) lacks: u16,
    pub(super) deprecated: bool,
    pub(super) retires: Option<Box<str>>,
}

impl Row {
    /// The provider's kind.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The region or data zone that the prices are for; empty for all that have no row of their own.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The model as the provider names it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Who made the model, where known.
    pub fn maker(&self) -> Option<&str> {
        self.maker.as_deref()
    }

    /// The maker's canonical name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the provider is the maker's own.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// What it is asked for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Every price that is known, in the order of time; of those that hold at a time the last counts.
    pub fn prices(&self) -> &[TimedPrice] {
        &self.prices
    }

    /// The price at a time, in seconds since 1970 (UTC), with its id.
    pub fn timed_price_at(&self, unix_s: u64) -> Option<&TimedPrice> {
        self.prices.iter().rev().find(|timed| timed.period.holds(unix_s))
    }

    /// The price at a time, in seconds since 1970 (UTC).
    pub fn price_at(&self, unix_s: u64) -> Option<&Price> {
        self.timed_price_at(unix_s).map(TimedPrice::price)
    }

    /// Tokens of input and output together, where the provider says so.
    pub fn context_tokens(&self) -> Option<u64> {
        self.context_tokens
    }

    /// Tokens of input, where less than the context.
    pub fn input_tokens_max(&self) -> Option<u64> {
        self.input_tokens_max
    }

    /// Tokens of output.
    pub fn output_tokens_max(&self) -> Option<u64> {
        self.output_tokens_max
    }

    /// Whether it takes that kind of content; false also where no source says.
    pub fn takes(&self, modality: Modality) -> bool {
        self.modalities_in >> modality as u8 & 1 == 1
    }

    /// Whether it makes that kind of content; false also where no source says.
    pub fn makes(&self, modality: Modality) -> bool {
        self.modalities_out >> modality as u8 & 1 == 1
    }

    /// Whether it can do that; none where no source says.
    pub fn can(&self, capability: Capability) -> Option<bool> {
        let bit = |set: u16| set >> capability as u8 & 1 == 1;
        if bit(self.capabilities) {
            Some(true)
        } else if bit(self.lacks) {
            Some(false)
        } else {
            None
        }
    }

    /// Whether its provider advises against it.
    pub fn is_deprecated(&self) -> bool {
        self.deprecated
    }

    /// The day on which its provider ends it (`YYYY-MM-DD`), past or to come.
    pub fn retires(&self) -> Option<&str> {
        self.retires.as_deref()
    }

    pub(super) fn key(&self) -> (&str, &str, &str) {
        (&self.provider, &self.region, &self.model)
    }
}
