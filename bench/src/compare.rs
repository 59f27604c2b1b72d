//! `penstock-bench compare`: two results side by side, with an interval where both have rounds enough.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use crate::bootstrap::{self, median};
use crate::load::report::time;
use crate::result::{self, LlmResult, RoundResult, RunResult};
use crate::table::Table;

/// Shows what changed between two results of `load --json`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each value is the median over rounds. The interval holds 95 % of the differences of medians that resampling the
rounds gives (bootstrap); it needs at least 3 rounds on both sides (load --rounds). `better` and `worse` are said
only when the whole interval lies on one side of zero.")]
pub(crate) struct CompareArgs {
    /// Result before
    a: PathBuf,
    /// Result after
    b: PathBuf,
    /// Exit with 3 if any figure is worse
    #[arg(long)]
    check: bool,
}

/// A figure that is compared.
struct Figure {
    name: &'static str,
    /// `None` where a run has no such figure.
    read: fn(&RoundResult) -> Option<f64>,
    show: fn(f64) -> String,
    /// Whether more is better; `None` if neither is.
    more_is_better: bool,
}

const FIGURES: &[Figure] = &[
    Figure { name: "answers/s", read: |r| Some(r.answers_per_s), show: plain, more_is_better: true },
    Figure {
        name: "latency p50",
        read: |r| Some(r.latency.p50_us as f64),
        show: time,
        more_is_better: false,
    },
    Figure {
        name: "latency p90",
        read: |r| Some(r.latency.p90_us as f64),
        show: time,
        more_is_better: false,
    },
    Figure {
        name: "latency p99",
        read: |r| Some(r.latency.p99_us as f64),
        show: time,
        more_is_better: false,
    },
    Figure {
        name: "latency p99.9",
        read: |r| Some(r.latency.p999_us as f64),
        show: time,
        more_is_better: false,
    },
    Figure {
        name: "latency max",
        read: |r| Some(r.latency.max_us as f64),
        show: time,
        more_is_better: false,
    },
    Figure { name: "errors", read: |r| Some(r.errors_total() as f64), show: plain, more_is_better: false },
    Figure { name: "4xx", read: |r| Some(r.status_class(4) as f64), show: plain, more_is_better: false },
    Figure { name: "5xx", read: |r| Some(r.status_class(5) as f64), show: plain, more_is_better: false },
    Figure {
        name: "first token p50",
        read: |r| llm(r, |l| l.first_token.p50_us),
        show: time,
        more_is_better: false,
    },
    Figure {
        name: "first token p99",
        read: |r| llm(r, |l| l.first_token.p99_us),
        show: time,
        more_is_better: false,
    },
    Figure { name: "gap p99", read: |r| llm(r, |l| l.gap.p99_us), show: time, more_is_better: false },
    Figure { name: "unstarted", read: |r| Some(r.unstarted as f64), show: plain, more_is_better: false },
];

fn llm(round: &RoundResult, read: fn(&LlmResult) -> u64) -> Option<f64> {
    round.llm.as_ref().map(|llm| read(llm) as f64)
}

fn plain(value: f64) -> String {
    format!("{value:.0}")
}

/// Prints the table.
///
/// # Errors
/// A sentence if a file is not a result.
pub(crate) fn run(args: &CompareArgs) -> Result<u8, String> {
    let a = result::read(&args.a).map_err(|error| error.to_string())?;
    let b = result::read(&args.b).map_err(|error| error.to_string())?;
    let (text, worse) = text(&a, &b);
    print!("{text}");
    Ok(if args.check && worse { 3 } else { 0 })
}

fn text(a: &RunResult, b: &RunResult) -> (String, bool) {
    let mut out = String::new();
    for (name, run) in [("A", a), ("B", b)] {
        let _ = writeln!(
            out,
            "{name}: {} {} {} ({} loop, {} connections, {} rounds)",
            run.date,
            run.url,
            run.label,
            run.mode,
            run.connections,
            run.rounds.len()
        );
    }
    if (a.mode.as_str(), a.connections, a.threads) != (b.mode.as_str(), b.connections, b.threads) {
        out.push_str("The runs differ in mode, connections or threads: the table compares unlike things.\n");
    }
    let mut table = Table::new(&["figure", "A", "B", "difference", "95 % interval", ""]);
    let mut any_worse = false;
    for figure in FIGURES {
        let values = |run: &RunResult| run.rounds.iter().filter_map(figure.read).collect::<Vec<_>>();
        let (of_a, of_b) = (values(a), values(b));
        let (Some(median_a), Some(median_b)) = (median(&of_a), median(&of_b)) else { continue };
        let difference = if median_a == 0.0 {
            if median_b == 0.0 { "0".into() } else { format!("{:+.0}", median_b) }
        } else {
            format!("{:+.1} %", (median_b / median_a - 1.0) * 100.0)
        };
        let interval = bootstrap::relative_difference(&of_a, &of_b);
        let shown = interval
            .map_or("-".into(), |(low, high)| format!("{:+.1} % to {:+.1} %", low * 100.0, high * 100.0));
        let verdict = match interval {
            Some((low, _)) if low > 0.0 => verdict(figure.more_is_better),
            Some((_, high)) if high < 0.0 => verdict(!figure.more_is_better),
            _ => "",
        };
        any_worse |= verdict == "worse";
        let show = figure.show;
        table.row([figure.name.into(), show(median_a), show(median_b), difference, shown, verdict.into()]);
    }
    out.push_str(&table.text());
    (out, any_worse)
}

fn verdict(better: bool) -> &'static str {
    if better { "better" } else { "worse" }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::result::{FORMAT, Percentiles};

    pub(crate) fn run_of(per_second: &[f64]) -> RunResult {
        let round = |answers_per_s: &f64| RoundResult {
            answers_per_s: *answers_per_s,
            latency: Percentiles { p50_us: 1_000_000 / *answers_per_s as u64, ..Percentiles::default() },
            ..RoundResult::default()
        };
        RunResult {
            format: FORMAT,
            date: "2026-11-24T08:00:00Z".into(),
            label: "x".into(),
            url: "http://a/".into(),
            mode: "closed".into(),
            connections: 64,
            threads: 1,
            driver: "epoll".into(),
            rounds: per_second.iter().map(round).collect(),
        }
    }

    #[test]
    fn clear_changes_are_told_and_noise_is_not() {
        let base = run_of(&[1000.0, 1010.0, 990.0, 1005.0]);
        let line = |other: &RunResult| {
            let (text, worse) = text(&base, other);
            let line = text.lines().find(|line| line.starts_with("answers/s")).unwrap().trim_end().to_owned();
            (line, worse)
        };
        let (slower, worse) = line(&run_of(&[800.0, 810.0, 790.0, 805.0]));
        assert!(slower.ends_with("worse") && worse, "{slower}");
        let (faster, worse) = line(&run_of(&[1200.0, 1210.0, 1190.0, 1205.0]));
        assert!(faster.ends_with("better") && !worse, "{faster}");
        let (same, worse) = line(&run_of(&[1001.0, 989.0, 1011.0, 1004.0]));
        assert!(same.ends_with('%') && !worse, "{same}");
        let (single, worse) = line(&run_of(&[800.0]));
        assert!(single.ends_with('-') && !worse, "{single}");
    }
}
