//! The result file of a load run: what `load --json` writes and `compare` and `history` read. Names are a contract
//! (snake_case, units last); a reader refuses a file of another format number.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::llm::Usage;

/// Format number of the file.
pub(crate) const FORMAT: u32 = 1;

/// One run: its settings, one entry a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunResult {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// When the run began, RFC 3339, UTC.
    pub(crate) date: String,
    /// Free words of the user.
    #[serde(default)]
    pub(crate) label: String,
    /// Address and path.
    pub(crate) url: String,
    /// `closed` or `open`.
    pub(crate) mode: String,
    /// Connections over all threads.
    pub(crate) connections: usize,
    /// Generator threads.
    pub(crate) threads: usize,
    /// Driver of the generator.
    pub(crate) driver: String,
    /// Rounds in order.
    pub(crate) rounds: Vec<RoundResult>,
}

/// Figures of one round, warm-up left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RoundResult {
    /// Measured time.
    pub(crate) duration_s: f64,
    /// Complete answers.
    pub(crate) answers: u64,
    /// Complete answers a second.
    pub(crate) answers_per_s: f64,
    /// Arrivals a second that were planned at the end of the round; absent in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) planned_per_s: Option<f64>,
    /// Planned arrivals that never started, because every connection was busy up to the end.
    #[serde(default)]
    pub(crate) unstarted: u64,
    /// Content bytes of answers.
    pub(crate) body_bytes_in: u64,
    /// Bytes of requests, heads included.
    pub(crate) bytes_out: u64,
    /// Connections opened.
    pub(crate) connects: u64,
    /// Answers by status code.
    pub(crate) status: BTreeMap<u16, u64>,
    /// Interim (1xx) answers.
    #[serde(default)]
    pub(crate) interim: u64,
    /// Requests that got no complete answer, by reason.
    pub(crate) errors: BTreeMap<String, u64>,
    /// To the last byte, from the planned start (open loop) or from when the connection was free to ask again (closed
    /// loop); a connect that was needed is part of it.
    pub(crate) latency: Percentiles,
    /// From the send to the last byte; absent in a closed loop, where it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<Percentiles>,
    /// CPU time of the generator's threads for one answer.
    pub(crate) generator_cpu_us_per_answer: f64,
    /// What the answers of language models brought; absent in any other load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) llm: Option<LlmResult>,
}

/// Figures of answers of language models, of those with status 2xx.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LlmResult {
    /// Streams that came to their end.
    pub(crate) streams: u64,
    /// Answers in one piece.
    pub(crate) whole: u64,
    /// From the planned start to the first piece of text, thinking or a tool call; streams only.
    pub(crate) first_token: Percentiles,
    /// Between two such pieces of one stream.
    pub(crate) gap: Percentiles,
    /// Tokens a second from the first piece to the last, by the usage that was told; streams of two or more pieces.
    pub(crate) stream_tokens_per_s: Rates,
    /// Tokens of all answers a second of the measured time, by the usage that was told.
    pub(crate) output_tokens_per_s: f64,
    /// Sum of what was told.
    pub(crate) usage: Usage,
    /// Answers that told none.
    pub(crate) without_usage: u64,
    /// Sum of the header `x-penstock-cost-usd` in nano-dollars; absent if no answer carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cost_nano_usd: Option<u64>,
    /// Answers that carried it.
    #[serde(default)]
    pub(crate) with_cost: u64,
}

/// A distribution of rates.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Rates {
    pub(crate) p1: u64,
    pub(crate) p10: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
}

/// A distribution, in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) min_us: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl RoundResult {
    /// Requests without a complete answer.
    pub(crate) fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Answers of a class: 2 for 2xx.
    pub(crate) fn status_class(&self, class: u16) -> u64 {
        self.status.iter().filter(|(code, _)| **code / 100 == class).map(|(_, count)| count).sum()
    }
}

/// Why a result file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResultError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a result.
    #[error("{path} is not a result of `penstock-bench load --json`: {source}")]
    Parse {
        /// The file.
        path: String,
        /// What was expected.
        source: serde_json::Error,
    },
    /// The file is of another version.
    #[error("{path} has result format {found}, this program reads {FORMAT}")]
    Format {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
    },
    /// The file holds no round.
    #[error("{0} holds no round")]
    Empty(String),
}

/// Reads a result file.
///
/// # Errors
/// If it cannot be read, is not a result, is of another format, or holds no round.
pub(crate) fn read(path: &Path) -> Result<RunResult, ResultError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| ResultError::Read { path: name.clone(), source })?;
    let result: RunResult =
        serde_json::from_str(&text).map_err(|source| ResultError::Parse { path: name.clone(), source })?;
    if result.format != FORMAT {
        return Err(ResultError::Format { path: name, found: result.format });
    }
    if result.rounds.is_empty() {
        return Err(ResultError::Empty(name));
    }
    Ok(result)
}

/// Writes a date as RFC 3339 in UTC with seconds.
pub(crate) fn rfc3339(since_epoch: std::time::Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01, by walking whole years and months.
fn civil_from_days(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_507_200, "2026-11-24T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn classes_and_totals() {
        let round = RoundResult {
            status: BTreeMap::from([(200, 5), (204, 1), (503, 2)]),
            errors: BTreeMap::from([("reset".into(), 3), ("timeout".into(), 1)]),
            ..RoundResult::default()
        };
        assert_eq!((round.status_class(2), round.status_class(5), round.status_class(4)), (6, 2, 0));
        assert_eq!(round.errors_total(), 4);
    }
}
