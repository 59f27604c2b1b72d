//! Counts of tokens: no token stands in two members.

use serde::{Deserialize, Serialize};

use super::Dialect;

/// What a call used, each token in one member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Tokens of the prompt that were neither read from a cache nor written to one.
    pub(crate) input: u64,
    /// Tokens of the prompt that were read from a cache.
    pub(crate) cached_read: u64,
    /// Tokens of the prompt that were written to a cache for five minutes.
    pub(crate) cache_write: u64,
    /// Tokens of the prompt that were written to a cache for an hour.
    pub(crate) cache_write_1h: u64,
    /// Tokens of the answer that are not reasoning.
    pub(crate) output: u64,
    /// Tokens of the answer that are reasoning.
    pub(crate) reasoning: u64,
}

impl Usage {
    /// The same tokens in those members that a dialect has: what it does not tell apart stands with its kin, so that
    /// the bill of a call is what its reader can know.
    pub(crate) fn as_told_by(mut self, dialect: Dialect) -> Self {
        let tells_reasoning =
            matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini);
        if !tells_reasoning {
            self.output += std::mem::take(&mut self.reasoning);
        }
        if dialect != Dialect::Anthropic {
            self.cache_write += std::mem::take(&mut self.cache_write_1h);
        }
        if !matches!(dialect, Dialect::Anthropic | Dialect::Bedrock) {
            self.input += std::mem::take(&mut self.cache_write);
        }
        if dialect == Dialect::Cohere {
            self.input += std::mem::take(&mut self.cached_read);
        }
        self
    }

    /// Every count times a factor, rounded up.
    pub(crate) fn times(self, factor: f64) -> Self {
        // Counts stay far below 2^53, where the product is exact enough to be rounded up.
        let scale = |count: u64| (count as f64 * factor).ceil() as u64;
        Self {
            input: scale(self.input),
            cached_read: scale(self.cached_read),
            cache_write: scale(self.cache_write),
            cache_write_1h: scale(self.cache_write_1h),
            output: scale(self.output),
            reasoning: scale(self.reasoning),
        }
    }

    /// Adds another's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.input += other.input;
        self.cached_read += other.cached_read;
        self.cache_write += other.cache_write;
        self.cache_write_1h += other.cache_write_1h;
        self.output += other.output;
        self.reasoning += other.reasoning;
    }

    /// All tokens of the prompt.
    pub(crate) fn prompt(&self) -> u64 {
        self.input + self.cached_read + self.cache_write + self.cache_write_1h
    }

    /// All tokens of the answer.
    pub(crate) fn completion(&self) -> u64 {
        self.output + self.reasoning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_dialect_loses_a_token() {
        let usage = Usage {
            input: 1,
            cached_read: 20,
            cache_write: 300,
            cache_write_1h: 4000,
            output: 5,
            reasoning: 60,
        };
        for dialect in Dialect::ALL {
            let told = usage.as_told_by(dialect);
            assert_eq!((told.prompt(), told.completion()), (4321, 65), "{dialect:?}");
        }
        let anthropic = usage.as_told_by(Dialect::Anthropic);
        assert_eq!((anthropic.cache_write_1h, anthropic.output, anthropic.reasoning), (4000, 65, 0));
        let cohere = usage.as_told_by(Dialect::Cohere);
        assert_eq!(cohere, Usage { input: 4321, output: 65, ..Usage::default() });
    }

    #[test]
    fn factors_round_up() {
        let usage = Usage { input: 3, output: 10, ..Usage::default() };
        assert_eq!(usage.times(1.5), Usage { input: 5, output: 15, ..Usage::default() });
    }
}
