//! Figures of language models' answers of one generator thread, and of all of them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::super::run::percentiles;
use super::super::tally::{histogram, micros};
use super::answer::Facts;
use crate::llm::Usage;
use crate::result::{LlmResult, Rates};

/// Counts and distributions of one round.
pub(crate) struct Tally {
    first_token: Histogram<u64>,
    gap: Histogram<u64>,
    /// Tokens a second of single streams.
    stream_rate: Histogram<u64>,
    streams: u64,
    whole: u64,
    usage: Usage,
    without_usage: u64,
    cost_nano_usd: u64,
    with_cost: u64,
}

impl Tally {
    /// An empty tally.
    pub(crate) fn new() -> Self {
        Self {
            first_token: histogram(),
            gap: histogram(),
            stream_rate: histogram(),
            streams: 0,
            whole: 0,
            usage: Usage::default(),
            without_usage: 0,
            cost_nano_usd: 0,
            with_cost: 0,
        }
    }

    /// Counts an answer; `planned` is the time for which its request was planned.
    pub(crate) fn take(&mut self, planned: Instant, facts: &Facts, gaps: &[Duration]) {
        if facts.stream {
            self.streams += 1;
        } else {
            self.whole += 1;
        }
        if let Some(first) = facts.first {
            self.first_token.saturating_record(micros(first.saturating_duration_since(planned)));
        }
        for gap in gaps {
            self.gap.saturating_record(micros(*gap));
        }
        match facts.usage {
            Some(usage) => self.usage.add(&usage),
            None => self.without_usage += 1,
        }
        if let (Some(first), Some(last), Some(usage)) = (facts.first, facts.last, facts.usage)
            && last > first
        {
            let rate = usage.completion() as f64 / (last - first).as_secs_f64();
            self.stream_rate.saturating_record((rate.round() as u64).max(1));
        }
        if let Some(cost) = facts.cost_nano_usd {
            self.with_cost += 1;
            self.cost_nano_usd += cost;
        }
    }

    /// Adds another thread's figures.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.first_token, &other.first_token),
            (&mut self.gap, &other.gap),
            (&mut self.stream_rate, &other.stream_rate),
        ] {
            // Equal bounds: adding cannot fail.
            let _ = sum.add(part);
        }
        self.streams += other.streams;
        self.whole += other.whole;
        self.usage.add(&other.usage);
        self.without_usage += other.without_usage;
        self.cost_nano_usd += other.cost_nano_usd;
        self.with_cost += other.with_cost;
    }

    /// The figures of a round of this length.
    pub(crate) fn result(&self, duration: Duration) -> LlmResult {
        let rate = |quantile| {
            if self.stream_rate.is_empty() { 0 } else { self.stream_rate.value_at_quantile(quantile) }
        };
        let seconds = duration.as_secs_f64();
        LlmResult {
            streams: self.streams,
            whole: self.whole,
            first_token: percentiles(&self.first_token),
            gap: percentiles(&self.gap),
            stream_tokens_per_s: Rates { p1: rate(0.01), p10: rate(0.1), p50: rate(0.5), p90: rate(0.9) },
            output_tokens_per_s: if seconds > 0.0 { self.usage.completion() as f64 / seconds } else { 0.0 },
            usage: self.usage,
            without_usage: self.without_usage,
            cost_nano_usd: (self.with_cost > 0).then_some(self.cost_nano_usd),
            with_cost: self.with_cost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_threads_add_up() {
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        let usage = Usage { input: 10, output: 100, ..Usage::default() };
        let stream = Facts {
            stream: true,
            first: at(100),
            last: at(1100),
            usage: Some(usage),
            cost_nano_usd: Some(7),
        };
        let whole = Facts { stream: false, first: None, last: None, usage: None, cost_nano_usd: None };
        let (mut one, mut two) = (Tally::new(), Tally::new());
        one.take(start, &stream, &[Duration::from_millis(400), Duration::from_millis(600)]);
        two.take(start, &whole, &[]);
        one.add(&two);
        let result = one.result(Duration::from_secs(2));
        assert_eq!((result.streams, result.whole, result.without_usage), (1, 1, 1));
        assert_eq!((result.cost_nano_usd, result.with_cost), (Some(7), 1));
        assert!((99_000..=101_000).contains(&result.first_token.p50_us), "{result:?}");
        assert!((599_000..=601_000).contains(&result.gap.max_us), "{result:?}");
        assert_eq!((result.stream_tokens_per_s.p50, result.output_tokens_per_s), (100, 50.0));
    }
}
