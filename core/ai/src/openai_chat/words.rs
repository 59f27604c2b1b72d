//! How those who are compatible with Chat Completions differ from OpenAI.

use crate::dialect::Dialect;
use crate::provider::{IncludeUsage, Provider, Quirk};

/// The words of a provider that speaks this dialect, or Mistral's, which is close to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words<'q> {
    dialect: Dialect,
    quirks: &'q [Quirk],
    /// Whether the usage of a stream is asked for by `stream_options`.
    asks_for_usage: bool,
}

impl Words<'static> {
    /// OpenAI's own.
    pub const OPENAI: Self = Words { dialect: Dialect::OpenAiChat, quirks: &[], asks_for_usage: true };

    /// Mistral's.
    pub(crate) const MISTRAL: Self = Words {
        dialect: Dialect::Mistral,
        quirks: &[
            Quirk::MaxTokens,
            Quirk::NoDeveloperRole,
            Quirk::RandomSeed,
            Quirk::ToolIdsNineAlphanumerics,
            Quirk::NoLogitBias,
        ],
        asks_for_usage: false,
    };
}

impl<'q> Words<'q> {
    /// Those of a provider, by what the table of providers knows of it.
    pub fn of(provider: &'q Provider) -> Self {
        let told = provider.api(Dialect::OpenAiChat).and_then(|api| api.stream.include_usage);
        Words {
            dialect: Dialect::OpenAiChat,
            quirks: &provider.quirks,
            asks_for_usage: told != Some(IncludeUsage::Refused),
        }
    }

    pub(super) fn dialect(self) -> Dialect {
        self.dialect
    }

    pub(super) fn is_mistral(self) -> bool {
        self.dialect == Dialect::Mistral
    }

    pub(super) fn has(self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    pub(super) fn asks_for_usage(self) -> bool {
        self.asks_for_usage
    }
}
