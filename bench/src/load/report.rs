//! The report of a load run for a person. Reads a result, writes text.

use std::fmt::Write;

use crate::result::{LlmResult, Percentiles, RoundResult, RunResult};

/// Whether every request was answered and none with 4xx or 5xx.
pub(crate) fn all_good(result: &RunResult) -> bool {
    result.rounds.iter().all(|round| {
        round.answers > 0
            && round.errors_total() == 0
            && round.unstarted == 0
            && round.status_class(4) + round.status_class(5) == 0
    })
}

/// The whole report.
pub(crate) fn text(result: &RunResult) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {} loop, {} connections, {} threads, {}",
        result.url, result.mode, result.connections, result.threads, result.driver
    );
    for (index, round) in result.rounds.iter().enumerate() {
        if result.rounds.len() > 1 {
            let _ = writeln!(out, "round {}", index + 1);
        }
        one_round(&mut out, round);
    }
    out
}

fn one_round(out: &mut String, round: &RoundResult) {
    let _ = write!(
        out,
        "  answers    {} in {:.2} s = {:.0}/s, {:.2} MB/s of content, {} connects",
        round.answers,
        round.duration_s,
        round.answers_per_s,
        round.body_bytes_in as f64 / 1e6 / round.duration_s.max(1e-9),
        round.connects,
    );
    if let Some(planned) = round.planned_per_s {
        let _ = write!(out, " (planned at the end: {planned:.0}/s)");
    }
    out.push('\n');
    percentiles(out, "latency", &round.latency);
    if let Some(service) = &round.service {
        percentiles(out, "service", service);
    }
    let counts = |counts: Vec<String>| if counts.is_empty() { "none".into() } else { counts.join(", ") };
    let status = counts(round.status.iter().map(|(code, count)| format!("{code}: {count}")).collect());
    let errors = counts(round.errors.iter().map(|(name, count)| format!("{name}: {count}")).collect());
    let _ = writeln!(out, "  status     {status}");
    let _ = writeln!(out, "  errors     {errors}");
    if round.interim > 0 {
        let _ = writeln!(out, "  interim    {}", round.interim);
    }
    if round.unstarted > 0 {
        let _ = writeln!(
            out,
            "  unstarted  {} planned requests found no free connection up to the end; the latency above counts the \
             time that they waited. Use more connections, or the rate is more than the server can answer.",
            round.unstarted
        );
    }
    if let Some(llm) = &round.llm {
        of_models(out, llm);
    }
    let _ = writeln!(out, "  generator  {:.2} us CPU an answer", round.generator_cpu_us_per_answer);
}

fn of_models(out: &mut String, llm: &LlmResult) {
    let _ = writeln!(out, "  models     {} streams, {} answers in one piece", llm.streams, llm.whole);
    if llm.streams > 0 {
        percentiles(out, "1st token", &llm.first_token);
        percentiles(out, "gap", &llm.gap);
        let rates = &llm.stream_tokens_per_s;
        let _ = writeln!(
            out,
            "  tokens/s   a stream: p1 {}  p10 {}  p50 {}  p90 {}",
            rates.p1, rates.p10, rates.p50, rates.p90
        );
    }
    let usage = &llm.usage;
    let _ = write!(
        out,
        "  usage      {:.0} output tokens/s; input {}, cached {}, written {}, output {}, reasoning {}",
        llm.output_tokens_per_s,
        usage.input,
        usage.cached_read,
        usage.cache_write + usage.cache_write_1h,
        usage.output,
        usage.reasoning
    );
    match llm.without_usage {
        0 => out.push('\n'),
        count => {
            let _ = writeln!(out, "; {count} answers told none");
        }
    }
    if let Some(nano_usd) = llm.cost_nano_usd {
        let _ = writeln!(out, "  cost       {:.9} USD of {} answers", nano_usd as f64 / 1e9, llm.with_cost);
    }
}

fn percentiles(out: &mut String, name: &str, of: &Percentiles) {
    let _ = writeln!(
        out,
        "  {name:<9}  p50 {}  p90 {}  p99 {}  p99.9 {}  max {}  mean {}",
        time(of.p50_us as f64),
        time(of.p90_us as f64),
        time(of.p99_us as f64),
        time(of.p999_us as f64),
        time(of.max_us as f64),
        time(of.mean_us),
    );
}

/// Microseconds with a fitting unit.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us => format!("{us:.0} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn times() {
        for (us, text) in [(12.0, "12 us"), (1500.0, "1.50 ms"), (2_500_000.0, "2.50 s")] {
            assert_eq!(time(us), text);
        }
    }

    #[test]
    fn a_run_is_good_only_if_all_is_well() {
        let good = RoundResult { answers: 1, status: BTreeMap::from([(200, 1)]), ..RoundResult::default() };
        let check = |round: RoundResult| {
            all_good(&RunResult {
                format: 1,
                date: String::new(),
                label: String::new(),
                url: String::new(),
                mode: String::new(),
                connections: 1,
                threads: 1,
                driver: String::new(),
                rounds: vec![good.clone(), round],
            })
        };
        assert!(check(good.clone()));
        assert!(!check(RoundResult { answers: 0, ..good.clone() }));
        assert!(!check(RoundResult { unstarted: 1, ..good.clone() }));
        assert!(!check(RoundResult { status: BTreeMap::from([(503, 1)]), ..good.clone() }));
        assert!(!check(RoundResult { errors: BTreeMap::from([("reset".into(), 1)]), ..good.clone() }));
    }
}
