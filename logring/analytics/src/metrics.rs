//! Counters for Prometheus: sums since the start, by route, service, app, code and limit.
//!
//! Fed by sealed seconds, so a scrape is at most one second behind. Every label set is bounded by
//! [`SERIES_MAX`]; what is beyond it counts under `other`. No clock, no IO.

use std::collections::BTreeMap;
use std::fmt::Write;

use penstock_ring::{CallRecord, Dictionary, EntryKind, Stage, Verdict};

use crate::cells::{CLASS_NAMES, Counts, IdMap, OTHER, SealedCell};
use crate::histogram::lowest_of;
use crate::view::RingView;
use crate::windows::{DIMENSIONS, Second};

/// Label values of one family that have a series of their own since the start.
pub const SERIES_MAX: usize = 256;

/// Upper ends of the latency buckets: 2^7 us (128 us) to 2^26 us (67 s), which are bucket ends of
/// the inner histogram, so nothing is estimated.
const LE_FIRST: u32 = 7;
const LE_COUNT: usize = 20;

/// What the drain met besides calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DrainCounts {
    /// Calls read.
    pub calls: u64,
    /// Amendments read.
    pub amendments: u64,
    /// Places where bytes were damaged and stepped over.
    pub damages: u64,
    /// Calls that ended over a minute before they were read (of an ended run): in no window.
    pub late: u64,
}

/// One label value's sums.
#[derive(Clone, Debug, Default)]
struct Series {
    counts: Counts,
    /// Not cumulative; the last one is above the highest `le`.
    le: [u64; LE_COUNT + 1],
}

impl Series {
    fn add(&mut self, cell: &SealedCell) {
        self.counts.add(&cell.counts);
        for &(bucket, count) in cell.histogram.buckets() {
            self.le[le_of(lowest_of(usize::from(bucket)))] += u64::from(count);
        }
    }

    fn merge(&mut self, other: &Series) {
        self.counts.add(&other.counts);
        for (sum, more) in self.le.iter_mut().zip(other.le) {
            *sum += more;
        }
    }
}

/// Index of the first `le` above a bucket that starts at `lowest_us`.
fn le_of(lowest_us: u64) -> usize {
    let bits = 64 - lowest_us.leading_zeros();
    (bits.saturating_sub(LE_FIRST) as usize).min(LE_COUNT)
}

/// All counters.
#[derive(Debug, Default)]
pub struct Metrics {
    by: [IdMap<Series>; DIMENSIONS],
    codes: IdMap<u64>,
    limits: IdMap<u64>,
    /// What the drain met.
    pub drain: DrainCounts,
}

/// Counts under `key`, or under `other` when the family is full.
fn place<V: Default>(family: &mut IdMap<V>, key: u32) -> &mut V {
    let key = if family.len() >= SERIES_MAX && !family.contains_key(&key) { OTHER } else { key };
    family.entry(key).or_default()
}

impl Metrics {
    /// Adds a sealed second.
    pub fn add(&mut self, second: &Second) {
        for (family, cells) in self.by.iter_mut().zip(&second.by) {
            for cell in cells {
                place(family, cell.key).add(cell);
            }
        }
    }

    /// Counts what only a refused call has. Costs nothing for others.
    #[inline]
    pub fn count(&mut self, record: &CallRecord) {
        self.drain.calls += 1;
        if record.code != 0 {
            self.count_refused(record);
        }
    }

    #[cold]
    fn count_refused(&mut self, record: &CallRecord) {
        *place(&mut self.codes, u32::from(record.code)) += 1;
        if record.limit != 0 && record.verdict(Stage::Limit) == Some(Verdict::Refused) {
            *place(&mut self.limits, record.limit) += 1;
        }
    }

    /// The text of a scrape (Prometheus text format 0.0.4).
    pub fn render(&self, dictionary: &Dictionary, rings: &[RingView]) -> String {
        let mut text = String::with_capacity(64 << 10);
        let families = [
            ("", "route", EntryKind::Route),
            ("service_", "service", EntryKind::Service),
            ("app_", "app", EntryKind::App),
        ];
        for ((prefix, label, kind), series) in families.into_iter().zip(&self.by) {
            let named = by_name(series, dictionary, kind, Series::merge);
            render_calls(&mut text, prefix, label, &named);
        }
        let codes = by_name(&self.codes, dictionary, EntryKind::Code, |sum, more| *sum += more);
        render_counter(
            &mut text,
            "refusals_total",
            "Calls the gateway answered itself, by code.",
            "code",
            &codes,
        );
        let limits = by_name(&self.limits, dictionary, EntryKind::Limit, |sum, more| *sum += more);
        render_counter(&mut text, "limit_rejections_total", "Calls refused by a limit.", "limit", &limits);
        self.render_drain(&mut text, rings);
        text
    }

    fn render_drain(&self, text: &mut String, rings: &[RingView]) {
        let drain = &self.drain;
        for (name, help, value) in [
            ("records_total", "Call records read from the rings.", drain.calls),
            ("record_amendments_total", "Amendments read from the rings.", drain.amendments),
            ("records_late_total", "Records of an ended run that are in no window.", drain.late),
            ("ring_damages_total", "Damaged places stepped over in the rings.", drain.damages),
        ] {
            head(text, name, help, "counter");
            let _ = writeln!(text, "penstock_{name} {value}");
        }
        type Of = fn(&RingView) -> u64;
        let by_ring: [(&str, &str, &str, Of); 3] = [
            ("records_dropped_total", "Records dropped because the ring was full.", "counter", |ring| {
                ring.dropped
            }),
            ("ring_lag_bytes", "Published and not yet drained.", "gauge", |ring| ring.lag_bytes),
            ("ring_capacity_bytes", "Size of the ring.", "gauge", |ring| ring.capacity_bytes),
        ];
        for (name, help, kind, value) in by_ring {
            head(text, name, help, kind);
            for ring in rings {
                let _ = writeln!(
                    text,
                    "penstock_{name}{{run=\"{}\",worker=\"{}\"}} {}",
                    ring.run,
                    ring.worker,
                    value(ring)
                );
            }
        }
    }
}

/// Sums by name: two ids of one name (in two tenants) are one label value.
fn by_name<V: Default>(
    family: &IdMap<V>,
    dictionary: &Dictionary,
    kind: EntryKind,
    mut merge: impl FnMut(&mut V, &V),
) -> BTreeMap<String, V> {
    let mut named = BTreeMap::new();
    for (&id, value) in family {
        let name = match dictionary.name(kind, id) {
            _ if id == OTHER => "other".to_owned(),
            Some(name) => name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"),
            None => format!("#{id}"),
        };
        merge(named.entry(name).or_default(), value);
    }
    named
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP penstock_{name} {help}\n# TYPE penstock_{name} {kind}");
}

fn render_counter(text: &mut String, name: &str, help: &str, label: &str, values: &BTreeMap<String, u64>) {
    head(text, name, help, "counter");
    for (value, count) in values {
        let _ = writeln!(text, "penstock_{name}{{{label}=\"{value}\"}} {count}");
    }
}

fn render_calls(text: &mut String, prefix: &str, label: &str, named: &BTreeMap<String, Series>) {
    head(text, &format!("{prefix}requests_total"), &format!("Calls by {label} and status class."), "counter");
    for (value, series) in named {
        for (class, count) in CLASS_NAMES.iter().zip(series.counts.classes).filter(|&(_, count)| count > 0) {
            let _ = writeln!(
                text,
                "penstock_{prefix}requests_total{{{label}=\"{value}\",class=\"{class}\"}} {count}"
            );
        }
    }
    type Of = fn(&Counts) -> u64;
    let bytes: [(&str, &str, Of); 2] = [
        ("request_bytes_total", "Bytes from clients", |counts| counts.bytes_in),
        ("response_bytes_total", "Bytes to clients", |counts| counts.bytes_out),
    ];
    for (name, help, of) in bytes {
        head(text, &format!("{prefix}{name}"), &format!("{help} by {label}."), "counter");
        for (value, series) in named {
            let _ = writeln!(text, "penstock_{prefix}{name}{{{label}=\"{value}\"}} {}", of(&series.counts));
        }
    }
    let name = format!("{prefix}request_duration_seconds");
    head(text, &name, &format!("Duration of calls by {label}."), "histogram");
    for (value, series) in named {
        let mut passed = 0;
        for (index, count) in series.le.iter().enumerate() {
            passed += count;
            let le = match index {
                LE_COUNT => "+Inf".to_owned(),
                _ => ((1u64 << (LE_FIRST as usize + index)) as f64 / 1e6).to_string(),
            };
            let _ = writeln!(text, "penstock_{name}_bucket{{{label}=\"{value}\",le=\"{le}\"}} {passed}");
        }
        let sum = series.counts.duration_us as f64 / 1e6;
        let _ = writeln!(text, "penstock_{name}_sum{{{label}=\"{value}\"}} {sum}");
        let _ = writeln!(text, "penstock_{name}_count{{{label}=\"{value}\"}} {}", series.counts.calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::Windows;

    fn metrics_of(records: &[CallRecord]) -> Metrics {
        let (mut metrics, mut windows) = (Metrics::default(), Windows::default());
        windows.advance(1, |_| {});
        for record in records {
            windows.count(record);
            metrics.count(record);
        }
        windows.advance(2, |second| metrics.add(second));
        metrics
    }

    #[test]
    fn a_scrape_has_every_family_with_bounded_labels() {
        let mut refused =
            CallRecord { status: 429, code: 5, limit: 3, route: 1, app: 2, ..CallRecord::EMPTY };
        refused.stage(Stage::Limit, Verdict::Refused, 0, 0);
        let served = CallRecord {
            status: 200,
            route: 1,
            service: 4,
            duration_us: 127,
            bytes_out: 9,
            ..CallRecord::EMPTY
        };
        let slow = CallRecord { duration_us: 128, ..served.clone() };
        let text = metrics_of(&[refused, served, slow]).render(&Dictionary::default(), &[]);
        for line in [
            "penstock_requests_total{route=\"#1\",class=\"2xx\"} 2",
            "penstock_requests_total{route=\"#1\",class=\"4xx\"} 1",
            "penstock_app_requests_total{app=\"#2\",class=\"4xx\"} 1",
            "penstock_service_response_bytes_total{service=\"#4\"} 18",
            "penstock_service_request_duration_seconds_bucket{service=\"#4\",le=\"0.000128\"} 1",
            "penstock_service_request_duration_seconds_bucket{service=\"#4\",le=\"0.000256\"} 2",
            "penstock_service_request_duration_seconds_bucket{service=\"#4\",le=\"+Inf\"} 2",
            "penstock_service_request_duration_seconds_sum{service=\"#4\"} 0.000255",
            "penstock_refusals_total{code=\"#5\"} 1",
            "penstock_limit_rejections_total{limit=\"#3\"} 1",
            "penstock_records_total 3",
        ] {
            assert!(text.lines().any(|held| held == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_257th_label_value_counts_under_other() {
        let refused = |code| CallRecord { code, status: 400, ..CallRecord::EMPTY };
        let records: Vec<_> = (1..=300).map(refused).collect();
        let metrics = metrics_of(&records);
        assert_eq!(metrics.codes.len(), SERIES_MAX + 1);
        let text = metrics.render(&Dictionary::default(), &[]);
        assert!(text.contains("penstock_refusals_total{code=\"other\"} 44\n"));
    }
}
