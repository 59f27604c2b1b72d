//! The fields in which providers tell what is left of their limits, and the counting behind them. Numbers in, fields
//! out; time is given.

use std::time::Duration;

use crate::llm::Dialect;
use crate::result::rfc3339;

/// Seconds of a window.
pub(super) const WINDOW_S: u64 = 60;

/// What a key may use in a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

/// What a key has used in its window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Number of the window since the epoch.
    number: u64,
    requests: u64,
    tokens: u64,
}

/// What is left for a key, and the seconds until there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) requests: u64,
    pub(super) tokens: u64,
    pub(super) reset_s: u64,
    /// The request that asks is over the limit.
    pub(super) exceeded: bool,
}

impl Window {
    /// Counts a request; one that is over the limit is not counted.
    pub(super) fn take(&mut self, allowed: Allowance, now_s: u64) -> Left {
        let number = now_s / WINDOW_S;
        if self.number != number {
            *self = Self { number, ..Self::default() };
        }
        let exceeded = self.requests >= allowed.requests || self.tokens >= allowed.tokens;
        if !exceeded {
            self.requests += 1;
        }
        Left {
            requests: allowed.requests.saturating_sub(self.requests),
            tokens: allowed.tokens.saturating_sub(self.tokens),
            reset_s: WINDOW_S - now_s % WINDOW_S,
            exceeded,
        }
    }

    /// Counts the tokens of an answer.
    pub(super) fn use_tokens(&mut self, tokens: u64) {
        self.tokens += tokens;
    }
}

/// Appends the fields of the dialect.
pub(super) fn push_fields(out: &mut Vec<u8>, dialect: Dialect, allowed: Allowance, left: Left, now_s: u64) {
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    };
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => {
            let reset = format!("{}s", left.reset_s);
            field("x-ratelimit-limit-requests", &allowed.requests);
            field("x-ratelimit-limit-tokens", &allowed.tokens);
            field("x-ratelimit-remaining-requests", &left.requests);
            field("x-ratelimit-remaining-tokens", &left.tokens);
            field("x-ratelimit-reset-requests", &reset);
            field("x-ratelimit-reset-tokens", &reset);
        }
        Dialect::Anthropic => {
            let reset = rfc3339(Duration::from_secs(now_s + left.reset_s));
            for (kind, limit, remaining) in [
                ("requests", allowed.requests, left.requests),
                ("tokens", allowed.tokens, left.tokens),
                ("input-tokens", allowed.tokens, left.tokens),
                ("output-tokens", allowed.tokens, left.tokens),
            ] {
                field(&format!("anthropic-ratelimit-{kind}-limit"), &limit);
                field(&format!("anthropic-ratelimit-{kind}-remaining"), &remaining);
                field(&format!("anthropic-ratelimit-{kind}-reset"), &reset);
            }
        }
        Dialect::Mistral => {
            field("x-ratelimit-limit-req-minute", &allowed.requests);
            field("x-ratelimit-remaining-req-minute", &left.requests);
            field("x-ratelimit-limit-tokens-minute", &allowed.tokens);
            field("x-ratelimit-remaining-tokens-minute", &left.tokens);
        }
        // Cohere tells the calls that a trial key has left and nothing of tokens.
        Dialect::Cohere => {
            field("x-trial-endpoint-call-limit", &allowed.requests);
            field("x-trial-endpoint-call-remaining", &left.requests);
        }
        // Neither Google nor AWS tells.
        Dialect::Gemini | Dialect::Bedrock => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_refuse_and_begin_anew() {
        let (allowed, mut window) = (Allowance { requests: 2, tokens: 100 }, Window::default());
        let take = |window: &mut Window, now_s| {
            let left = window.take(allowed, now_s);
            (left.requests, left.reset_s, left.exceeded)
        };
        assert_eq!(take(&mut window, 610), (1, 50, false));
        assert_eq!(take(&mut window, 611), (0, 49, false));
        assert_eq!(take(&mut window, 612), (0, 48, true));
        assert_eq!(take(&mut window, 660), (1, 60, false));
        window.use_tokens(100);
        assert_eq!(take(&mut window, 661), (1, 59, true));
    }

    #[test]
    fn fields_of_the_dialects() {
        let (allowed, left) = (
            Allowance { requests: 9, tokens: 99 },
            Left { requests: 5, tokens: 55, reset_s: 7, exceeded: false },
        );
        for (dialect, line) in [
            (Dialect::OpenAiChat, "x-ratelimit-reset-tokens: 7s\r\n"),
            (Dialect::Anthropic, "anthropic-ratelimit-requests-reset: 1970-01-01T00:00:10Z\r\n"),
            (Dialect::Mistral, "x-ratelimit-remaining-req-minute: 5\r\n"),
            (Dialect::Cohere, "x-trial-endpoint-call-remaining: 5\r\n"),
        ] {
            let mut out = Vec::new();
            push_fields(&mut out, dialect, allowed, left, 3);
            assert!(String::from_utf8(out).unwrap().contains(line), "{dialect:?}");
        }
    }
}
