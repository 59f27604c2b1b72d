//! `penstock-bench history`: results of many runs as one table, oldest first.

use std::path::PathBuf;

use clap::Args;

use crate::bootstrap::median;
use crate::load::report::time;
use crate::result::{self, RoundResult, RunResult};
use crate::table::Table;

/// Shows results of `load --json` by date.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Result files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Prints the table.
///
/// # Errors
/// A sentence if a file is not a result.
pub(crate) fn run(args: &HistoryArgs) -> Result<u8, String> {
    let runs = args
        .files
        .iter()
        .map(|file| result::read(file))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    print!("{}", text(runs));
    Ok(0)
}

fn text(mut runs: Vec<RunResult>) -> String {
    runs.sort_by(|a, b| a.date.cmp(&b.date));
    let mut table = Table::new(&[
        "date",
        "label",
        "loop",
        "conns",
        "rounds",
        "answers/s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "failed",
    ]);
    for run in &runs {
        let over_rounds = |read: fn(&RoundResult) -> f64| {
            median(&run.rounds.iter().map(read).collect::<Vec<_>>()).unwrap_or_default()
        };
        table.row([
            run.date.clone(),
            run.label.clone(),
            run.mode.clone(),
            run.connections.to_string(),
            run.rounds.len().to_string(),
            format!("{:.0}", over_rounds(|round| round.answers_per_s)),
            time(over_rounds(|round| round.latency.p50_us as f64)),
            time(over_rounds(|round| round.latency.p99_us as f64)),
            time(over_rounds(|round| round.latency.p999_us as f64)),
            time(over_rounds(|round| round.latency.max_us as f64)),
            format!("{:.0}", over_rounds(|round| (round.errors_total() + round.status_class(5)) as f64)),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::run_of;

    #[test]
    fn oldest_first_with_medians() {
        let older = RunResult { date: "2026-01-01T00:00:00Z".into(), ..run_of(&[10.0, 30.0, 20.0]) };
        let table = text(vec![run_of(&[1000.0]), older]);
        let dates: Vec<_> = table.lines().skip(1).map(|line| &line[..10]).collect();
        assert_eq!(dates, ["2026-01-01", "2026-11-24"]);
        assert!(table.lines().nth(1).unwrap().contains(" 20 "), "{table}");
    }
}
