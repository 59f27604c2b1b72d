//! `stats`: rates, errors and latencies by route, service and app; refreshes on a terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use penstock_analytics::Call;
use penstock_analytics::view::name_of;
use penstock_analytics::windows::{Figures, Windows};
use penstock_ring::{Dictionary, EntryKind};
use serde_json::Value;

use crate::filter::{Filter, all_hold};
use crate::output::{Format, duration, rows};
use crate::source::{Event, dictionary, open_all};

const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Keys of each dimension that are shown.
const KEYS_SHOWN_MAX: usize = 15;
const CLEAR: &str = "\x1b[H\x1b[J";

/// Prints the table of the newest `window` seconds, once or again and again.
pub(crate) fn stats(
    data_dir: &Path,
    format: Format,
    window: usize,
    once: bool,
    filters: &[Filter],
) -> Result<bool> {
    let once = once || format != Format::Human || !std::io::stdout().is_terminal();
    loop {
        let names = dictionary(data_dir)?;
        let windows = count(data_dir, window, filters, &names)?;
        let mut out = std::io::stdout().lock();
        if !once {
            write!(out, "{CLEAR}")?;
        }
        print(&mut out, format, window, &windows, &names)?;
        out.flush()?;
        if once {
            return Ok(true);
        }
        std::thread::sleep(REFRESH_EVERY);
    }
}

/// Counts the calls that ended in the `window` seconds before the newest one.
fn count(data_dir: &Path, window: usize, filters: &[Filter], names: &Dictionary) -> Result<Windows> {
    let opened = open_all(data_dir)?;
    let ended =
        |call: &Call<'_>| call.view.record.time_ns + call.view.record.duration_us.saturating_mul(1000);
    let mut newest_ns = 0;
    let mut windows = Windows::default();
    windows.advance(1, |_| {});
    for pass in 0..2 {
        for ring in &opened {
            ring.walk(|event| {
                let Event::Call(view) = event else { return Ok(()) };
                let call = Call { view, run: ring.file.run, worker: ring.file.worker, dictionary: names };
                if pass == 0 {
                    newest_ns = newest_ns.max(ended(&call));
                } else if ended(&call) + window as u64 * 1_000_000_000 > newest_ns && all_hold(filters, &call)
                {
                    windows.count(&call.view.record);
                }
                Ok(())
            })?;
        }
    }
    windows.advance(2, |_| {});
    Ok(windows)
}

fn print(
    out: &mut impl Write,
    format: Format,
    window: usize,
    windows: &Windows,
    names: &Dictionary,
) -> Result<()> {
    // All of them were counted into one second; the rate is over the window.
    let rated =
        |figures: Figures| Figures { calls_per_second: figures.calls as f64 / window as f64, ..figures };
    let mut listed = vec![row(format, "total", "", &rated(windows.total(1)))];
    let kinds =
        [(0, "route", EntryKind::Route), (1, "service", EntryKind::Service), (2, "app", EntryKind::App)];
    for (dimension, label, kind) in kinds {
        for (id, figures) in windows.by_key(dimension, 1).into_iter().take(KEYS_SHOWN_MAX) {
            listed.push(row(format, label, &name_of(names, kind, id), &rated(figures)));
        }
    }
    let names: [&str; 11] = match format {
        Format::Human => ["by", "name", "calls", "req/s", "4xx", "5xx", "p50", "p90", "p99", "p99.9", "max"],
        _ => [
            "by",
            "name",
            "calls",
            "calls_per_second",
            "errors_4xx",
            "errors_5xx",
            "p50_us",
            "p90_us",
            "p99_us",
            "p999_us",
            "max_us",
        ],
    };
    rows(out, format, &names, &listed)
}

fn row(format: Format, by: &str, name: &str, figures: &Figures) -> Vec<Value> {
    let time = |us: u64| if format == Format::Human { Value::from(duration(us)) } else { us.into() };
    let rate = (figures.calls_per_second * 10.0).round() / 10.0;
    vec![
        by.into(),
        name.into(),
        figures.calls.into(),
        rate.into(),
        figures.classes[3].into(),
        figures.classes[4].into(),
        time(figures.p50_us),
        time(figures.p90_us),
        time(figures.p99_us),
        time(figures.p999_us),
        time(figures.max_us),
    ]
}
