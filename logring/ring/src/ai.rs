//! The AI block of a record: one head and up to eight attempts of 64 bytes each.
//!
//! Stands only in records of AI calls. Money here is a copy for reading; the ledger is the truth.

use rkyv::{Archive, Deserialize, Serialize};

/// Attempts that a record tells one by one; the rest are summed in [`AiCall`].
pub const AI_ATTEMPTS: usize = 8;
/// Bytes of the block's head in the ring.
pub const AI_HEAD_BYTES: usize = 64;
/// Bytes of one attempt in the ring.
pub const AI_ATTEMPT_BYTES: usize = 64;

/// Bits of [`AiCall::flags`].
pub mod ai_flag {
    /// The client asked for a stream.
    pub const STREAM: u8 = 1;
    /// The answer lost something in translation (see the string `degraded`).
    pub const DEGRADED: u8 = 2;
}

/// Tokens by kind.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
#[repr(C)]
pub struct Tokens {
    /// Input that was neither read from nor written to a cache.
    pub input: u32,
    /// Input read from the provider's cache.
    pub cached_read: u32,
    /// Input written to the provider's cache.
    pub cache_write: u32,
    /// Output, reasoning included.
    pub output: u32,
    /// Of the output, what was reasoning.
    pub reasoning: u32,
    /// Audio in and out.
    pub audio: u32,
}

/// One attempt with one provider key.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
#[repr(C)]
pub struct AiAttempt {
    /// Cost in nano-dollars.
    pub cost_nanodollars: i64,
    /// Dictionary id of the provider.
    pub provider: u32,
    /// Dictionary id of the provider key.
    pub key: u32,
    /// Dictionary id of the model asked of the provider.
    pub model: u32,
    /// Id of the price that was applied.
    pub price: u32,
    /// Time to the first token, us.
    pub first_token_us: u32,
    /// The attempt's duration, us.
    pub duration_us: u32,
    /// What it used.
    pub tokens: Tokens,
    /// The provider's status.
    pub status: u16,
    /// Outcome class: 0 answered, 1 rate limited, 2 server error, 3 client error, 4 timed out,
    /// 5 broken stream, 6 client gone, 7 content policy, 8 context window.
    pub outcome: u8,
    /// 1 if the usage was settled from the provider's figures, 0 if estimated.
    pub settled: u8,
    /// Zero; kept for later fields.
    pub spare: [u8; 4],
}

/// The AI block's head, with the attempts that follow it in the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AiCall {
    /// The fixed head.
    pub head: AiHead,
    /// The first attempts in order; only `head.attempts` of them are written.
    pub attempts: [AiAttempt; AI_ATTEMPTS],
}

/// The fixed head of the AI block.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
#[repr(C)]
pub struct AiHead {
    /// Cost of all attempts in nano-dollars.
    pub cost_nanodollars: i64,
    /// Cost of the attempts beyond [`AI_ATTEMPTS`].
    pub rest_cost_nanodollars: i64,
    /// Tokens of the attempts beyond [`AI_ATTEMPTS`].
    pub rest_tokens: Tokens,
    /// Time to the first token that reached the client, us.
    pub first_token_us: u32,
    /// Longest gap between two chunks, us.
    pub chunk_gap_us_max: u32,
    /// Output tokens a second, in thousandths.
    pub tokens_per_second_milli: u32,
    /// Attempts beyond [`AI_ATTEMPTS`].
    pub rest_attempts: u16,
    /// Attempts that follow, at most [`AI_ATTEMPTS`].
    pub attempts: u8,
    /// Dialect of the client (dictionary of dialects in `docs/ring-format.md`).
    pub dialect_in: u8,
    /// Dialect of the provider.
    pub dialect_out: u8,
    /// Bits of [`ai_flag`].
    pub flags: u8,
    /// Finish reason: 0 none, 1 stop, 2 length, 3 tool calls, 4 content filter, 5 refusal, 6 error.
    pub finish: u8,
    /// Verdict code of the guards: input in the low half, output in the high half.
    pub guards: u8,
}

const _: () = assert!(size_of::<ArchivedAiHead>() == AI_HEAD_BYTES);
const _: () = assert!(size_of::<ArchivedAiAttempt>() == AI_ATTEMPT_BYTES);

impl AiCall {
    /// Adds an attempt; beyond the eighth only its sums are kept.
    pub fn attempt(&mut self, attempt: AiAttempt) {
        self.head.cost_nanodollars = self.head.cost_nanodollars.saturating_add(attempt.cost_nanodollars);
        let index = self.head.attempts as usize;
        if index < AI_ATTEMPTS {
            self.attempts[index] = attempt;
            self.head.attempts += 1;
            return;
        }
        let head = &mut self.head;
        head.rest_attempts = head.rest_attempts.saturating_add(1);
        head.rest_cost_nanodollars = head.rest_cost_nanodollars.saturating_add(attempt.cost_nanodollars);
        let (rest, more) = (&mut head.rest_tokens, attempt.tokens);
        rest.input = rest.input.saturating_add(more.input);
        rest.cached_read = rest.cached_read.saturating_add(more.cached_read);
        rest.cache_write = rest.cache_write.saturating_add(more.cache_write);
        rest.output = rest.output.saturating_add(more.output);
        rest.reasoning = rest.reasoning.saturating_add(more.reasoning);
        rest.audio = rest.audio.saturating_add(more.audio);
    }

    /// The attempts that are told one by one.
    pub fn attempts(&self) -> &[AiAttempt] {
        &self.attempts[..usize::from(self.head.attempts).min(AI_ATTEMPTS)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ninth_attempt_is_summed() {
        let mut call = AiCall::default();
        for _ in 0..10 {
            call.attempt(AiAttempt {
                cost_nanodollars: 5,
                tokens: Tokens { input: 3, ..Tokens::default() },
                ..AiAttempt::default()
            });
        }
        assert_eq!(call.attempts().len(), AI_ATTEMPTS);
        assert_eq!((call.head.rest_attempts, call.head.rest_tokens.input), (2, 6));
        assert_eq!((call.head.cost_nanodollars, call.head.rest_cost_nanodollars), (50, 10));
    }
}
