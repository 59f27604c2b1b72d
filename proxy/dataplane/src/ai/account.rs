//! What a call record tells of an AI call.

use penstock_ai::catalogue::NanoUsd;
use penstock_ai::provider::ErrorClass;
use penstock_ai::usage::Usage;
use penstock_ring::{AiCall, CallStrings, Tokens};

/// How an attempt ended, as records have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It answered.
    Answered = 0,
    /// Its rate limit refused.
    RateLimited = 1,
    /// It failed.
    ServerError = 2,
    /// The request was wrong.
    ClientError = 3,
    /// It took too long.
    TimedOut = 4,
    /// Its stream broke off.
    BrokenStream = 5,
    /// The client left.
    ClientGone = 6,
    /// It would not answer this.
    ContentPolicy = 7,
    /// The conversation does not fit the model.
    ContextWindow = 8,
}

impl From<ErrorClass> for Outcome {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::RateLimit | ErrorClass::InsufficientQuota => Outcome::RateLimited,
            ErrorClass::ServerError | ErrorClass::Overloaded => Outcome::ServerError,
            ErrorClass::Timeout => Outcome::TimedOut,
            ErrorClass::ContextWindow => Outcome::ContextWindow,
            ErrorClass::ContentPolicy => Outcome::ContentPolicy,
            ErrorClass::Authentication | ErrorClass::NotFound | ErrorClass::BadRequest => {
                Outcome::ClientError
            }
        }
    }
}

/// The AI block of a call under way, with the strings that belong to it.
#[derive(Debug, Default)]
pub struct AiTold {
    /// The block.
    pub block: AiCall,
    /// The model that the caller asked for.
    pub model_asked: String,
    /// The model that answered.
    pub model_served: String,
    /// What was lost in translation.
    pub degraded: String,
}

impl AiTold {
    /// Writes the line that tells what was lost, if anything was.
    pub fn write_degraded(&self, out: &mut Vec<u8>) {
        if !self.degraded.is_empty() {
            out.extend_from_slice(b"x-penstock-degraded: ");
            out.extend_from_slice(self.degraded.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The strings of the call with its own among them.
    pub fn strings<'a>(&'a self, strings: &CallStrings<'a>) -> CallStrings<'a> {
        CallStrings {
            model_asked: self.model_asked.as_bytes(),
            model_served: self.model_served.as_bytes(),
            degraded: self.degraded.as_bytes(),
            ..*strings
        }
    }
}

/// Tokens of output that are reserved where the caller bounds none: what answers usually have.
pub const OUTPUT_USUAL: u64 = 1024;
/// Bytes that a token has on average, where nobody has counted: of English prose and code, by the usual tokenizers.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of so many bytes, where nobody has counted.
pub fn estimate(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// What was used, as a record has it: audio and reasoning within the sums they belong to.
pub fn tokens(usage: &Usage) -> Tokens {
    let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Tokens {
        input: short(usage.input),
        cached_read: short(usage.cached_read),
        cache_write: short(usage.cache_write.saturating_add(usage.cache_write_1h)),
        output: short(usage.output_total()),
        reasoning: short(usage.reasoning),
        audio: short(usage.audio_input.saturating_add(usage.audio_output)),
    }
}

/// USD with nine decimals, as `x-penstock-cost-usd` tells it.
pub fn usd(cost: NanoUsd) -> String {
    format!("{}.{:09}", cost.0 / 1_000_000_000, cost.0 % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_nine_decimals() {
        assert_eq!(usd(NanoUsd(0)), "0.000000000");
        assert_eq!(usd(NanoUsd(1_234_567)), "0.001234567");
        assert_eq!(usd(NanoUsd(12_000_000_001)), "12.000000001");
    }

    #[test]
    fn what_nobody_counted_is_never_estimated_as_nothing() {
        assert_eq!([estimate(0), estimate(1), estimate(4), estimate(5)], [0, 1, 1, 2]);
    }
}
