//! `hist`: the histogram of a duration, drawn, and as an HdrHistogram log.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use penstock_analytics::Call;
use penstock_ring::CallRecord;
use serde_json::Value;

use crate::filter::{Filter, all_hold};
use crate::output::{Format, duration, rows};
use crate::source::{Event, dictionary, open_all};

const BAR_CHARACTERS_MAX: f64 = 50.0;

fn value_of(of: &str) -> Result<fn(&CallRecord) -> u64> {
    Ok(match of {
        "duration" => |record| record.duration_us,
        "head" => |record| u64::from(record.head_us),
        "policy" => |record| u64::from(record.policy_ns) / 1000,
        "queue" => |record| u64::from(record.queue_us),
        "connect" => |record| u64::from(record.connect_us),
        "first_byte" => |record| u64::from(record.first_byte_us),
        "upstream" => |record| record.upstream_us,
        "write" => |record| record.write_us,
        _ => bail!(
            "no duration {of:?}; there are duration head policy queue connect first_byte upstream write"
        ),
    })
}

/// Draws the histogram of what is readable.
pub(crate) fn hist(
    data_dir: &Path,
    format: Format,
    of: &str,
    hdr_log: Option<&Path>,
    filters: &[Filter],
) -> Result<bool> {
    let value = value_of(of)?;
    let names = dictionary(data_dir)?;
    let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 40, 3)
        .map_err(|error| anyhow!("histogram: {error}"))?;
    let (mut first_ns, mut last_ns) = (u64::MAX, 0);
    for opened in open_all(data_dir)? {
        opened.walk(|event| {
            if let Event::Call(view) = event {
                let call =
                    Call { view, run: opened.file.run, worker: opened.file.worker, dictionary: &names };
                if all_hold(filters, &call) {
                    histogram.saturating_record(value(&call.view.record));
                    first_ns = first_ns.min(call.view.record.time_ns);
                    last_ns = last_ns.max(call.view.record.time_ns);
                }
            }
            Ok(())
        })?;
    }
    draw(&mut std::io::stdout().lock(), format, &histogram)?;
    if let Some(path) = hdr_log {
        let mut file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
        let start = SystemTime::UNIX_EPOCH + Duration::from_nanos(first_ns.min(last_ns));
        let span = Duration::from_nanos(last_ns.saturating_sub(first_ns));
        IntervalLogWriterBuilder::new()
            .with_start_time(start)
            .with_base_time(start)
            .begin_log_with(&mut file, &mut V2DeflateSerializer::new())?
            .write_histogram(&histogram, Duration::ZERO, span, None)
            .map_err(|error| anyhow!("{}: {error:?}", path.display()))?;
    }
    Ok(true)
}

/// One row a power of two.
fn draw(out: &mut impl Write, format: Format, histogram: &hdrhistogram::Histogram<u64>) -> Result<()> {
    let mut counts = [0u64; 41];
    for step in histogram.iter_recorded() {
        counts[(step.value_iterated_to().max(1).ilog2() as usize).min(40)] +=
            step.count_since_last_iteration();
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut passed = 0;
    let mut listed = Vec::new();
    for (power, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
        passed += count;
        let below = 1u64 << (power + 1);
        let share = passed as f64 / histogram.len() as f64;
        listed.push(match format {
            Format::Human => vec![
                format!("<{}", duration(below)).into(),
                count.into(),
                format!("{:.3}%", share * 100.0).into(),
                "#".repeat((count as f64 / most as f64 * BAR_CHARACTERS_MAX).ceil() as usize).into(),
            ],
            _ => vec![below.into(), count.into(), Value::from(share)],
        });
    }
    let names: &[&str] = if format == Format::Human {
        &["below", "calls", "cumulative", ""]
    } else {
        &["below_us", "calls", "cumulative"]
    };
    rows(out, format, names, &listed)?;
    if format == Format::Human {
        let at = |quantile| duration(histogram.value_at_quantile(quantile));
        writeln!(
            out,
            "{} calls  p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
            histogram.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            duration(histogram.max())
        )?;
    }
    Ok(())
}
