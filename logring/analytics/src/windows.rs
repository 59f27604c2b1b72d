//! Live windows: what happened in the last second, ten seconds, minute; and by second for an hour.
//!
//! A call counts in the second in which the drain reads it. Sealed seconds are sparse and bounded
//! twice: by age (one hour) and by bytes ([`DETAIL_BYTES_MAX`], beyond which the keys of the oldest
//! seconds are forgotten first; the totals stay). Time comes in as a parameter.

use std::collections::VecDeque;

use penstock_ring::CallRecord;
use serde::Serialize;

use crate::cells::{CLASSES, Cell, Counts, IdMap, SealedCell, Table};
use crate::histogram::Histogram;

/// Seconds that are kept.
pub const SECONDS_KEPT: usize = 3600;
/// Bytes that the sealed cells of keys may take, all seconds together.
pub const DETAIL_BYTES_MAX: usize = 64 << 20;
/// The windows of a snapshot, in seconds.
pub const WINDOWS_SECONDS: [usize; 3] = [1, 10, 60];

/// The dimensions that have cells by key.
pub const DIMENSIONS: usize = 3;

/// One sealed second.
#[derive(Debug)]
pub struct Second {
    /// Seconds since 1970.
    pub at: u64,
    /// All calls.
    pub total: SealedCell,
    /// By route, service, app.
    pub by: [Vec<SealedCell>; DIMENSIONS],
}

/// The open second and the sealed ones.
#[derive(Debug, Default)]
pub struct Windows {
    open_at: u64,
    total: Cell,
    tables: [Table; DIMENSIONS],
    sealed: VecDeque<Second>,
    /// How many seconds at the back still have their keys.
    detailed: usize,
    detail_bytes: usize,
}

/// Figures of one key over one window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Calls.
    pub calls: u64,
    /// Calls a second.
    pub calls_per_second: f64,
    /// By status class: none or 1xx, 2xx, 3xx, 4xx, 5xx.
    pub classes: [u64; CLASSES],
    /// Answered by the gateway itself.
    pub refused: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Half of the calls took at most this, us.
    pub p50_us: u64,
    /// Nine in ten.
    pub p90_us: u64,
    /// 99 in 100.
    pub p99_us: u64,
    /// 999 in 1,000.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Figures {
    /// Figures of sums and durations over a window.
    pub fn of(counts: &Counts, histogram: &Histogram, seconds: usize) -> Figures {
        let [p50_us, p90_us, p99_us, p999_us] = histogram.quantiles_us([0.5, 0.9, 0.99, 0.999]);
        Figures {
            calls: counts.calls,
            calls_per_second: counts.calls as f64 / seconds as f64,
            classes: counts.classes,
            refused: counts.refused,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            p50_us,
            p90_us,
            p99_us,
            p999_us,
            max_us: histogram.max_us(),
        }
    }
}

impl Windows {
    /// Counts one call in the open second. Costs four cells: total, route, service, app.
    #[inline]
    pub fn count(&mut self, record: &CallRecord) {
        self.total.count(record);
        let [routes, services, apps] = &mut self.tables;
        routes.count(record.route, record);
        services.count(record.service, record);
        apps.count(record.app, record);
    }

    /// Moves the open second to `now`; each second that ends is sealed and shown to `each`.
    /// A jump of more than an hour keeps no empty seconds. A clock that goes back seals nothing.
    pub fn advance(&mut self, now_seconds: u64, mut each: impl FnMut(&Second)) {
        if self.open_at == 0 {
            self.open_at = now_seconds;
        }
        self.open_at = self.open_at.max(now_seconds.saturating_sub(SECONDS_KEPT as u64));
        while self.open_at < now_seconds {
            let second = Second {
                at: self.open_at,
                total: self.total.seal(),
                by: std::array::from_fn(|dimension| self.tables[dimension].seal()),
            };
            each(&second);
            self.hold(second);
            self.open_at += 1;
        }
    }

    fn hold(&mut self, second: Second) {
        if self.sealed.len() == SECONDS_KEPT {
            self.sealed.pop_front();
        }
        self.detail_bytes += detail_bytes(&second);
        self.sealed.push_back(second);
        self.detailed += 1;
        while self.detailed > self.sealed.len() || (self.detail_bytes > DETAIL_BYTES_MAX && self.detailed > 1)
        {
            if self.detailed <= self.sealed.len() {
                let oldest = self.sealed.len() - self.detailed;
                self.detail_bytes -= detail_bytes(&self.sealed[oldest]);
                self.sealed[oldest].by = Default::default();
            }
            self.detailed -= 1;
        }
    }

    /// Figures of all calls over the last `seconds` sealed seconds.
    pub fn total(&self, seconds: usize) -> Figures {
        let (mut counts, mut histogram) = (Counts::default(), Histogram::default());
        for second in self.sealed.iter().rev().take(seconds) {
            counts.add(&second.total.counts);
            histogram.add(&second.total.histogram);
        }
        Figures::of(&counts, &histogram, seconds)
    }

    /// Figures by key of one dimension (0 route, 1 service, 2 app), most calls first.
    pub fn by_key(&self, dimension: usize, seconds: usize) -> Vec<(u32, Figures)> {
        let mut sums: IdMap<(Counts, Histogram)> = IdMap::default();
        for cell in self.sealed.iter().rev().take(seconds).flat_map(|second| &second.by[dimension]) {
            let (counts, histogram) = sums.entry(cell.key).or_default();
            counts.add(&cell.counts);
            histogram.add(&cell.histogram);
        }
        let mut figures: Vec<_> = sums
            .into_iter()
            .map(|(key, (counts, histogram))| (key, Figures::of(&counts, &histogram, seconds)))
            .collect();
        figures.sort_by(|a, b| b.1.calls.cmp(&a.1.calls).then(a.0.cmp(&b.0)));
        figures
    }

    /// The sealed seconds, oldest first.
    pub fn seconds(&self) -> impl DoubleEndedIterator<Item = &Second> {
        self.sealed.iter()
    }

    /// Calls without a cell of their own, by dimension.
    pub fn other_calls(&self) -> [u64; DIMENSIONS] {
        std::array::from_fn(|dimension| self.tables[dimension].other_calls())
    }
}

fn detail_bytes(second: &Second) -> usize {
    second.by.iter().flatten().map(SealedCell::bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{BUCKETS, lowest_of};

    fn call(route: u32, duration_us: u64) -> CallRecord {
        CallRecord { status: 200, route, service: 1, app: route % 5 + 1, duration_us, ..CallRecord::EMPTY }
    }

    #[test]
    fn windows_hold_what_was_sealed_and_nothing_older() {
        let mut windows = Windows::default();
        windows.advance(100, |_| {});
        for second in 0..20 {
            for _ in 0..second + 1 {
                windows.count(&call(7, 1000 * (second + 1)));
            }
            windows.advance(101 + second, |_| {});
        }
        assert_eq!(windows.total(1).calls, 20);
        assert_eq!(windows.total(10).calls, (11..=20).sum::<u64>());
        assert_eq!(windows.total(60).calls, (1..=20).sum::<u64>());
        assert_eq!(windows.total(1).max_us, 20_000);
        let routes = windows.by_key(0, 10);
        assert_eq!((routes.len(), routes[0].0, routes[0].1.calls), (1, 7, 155));
        assert_eq!(windows.total(60), windows.by_key(1, 60)[0].1);
    }

    #[test]
    fn an_hour_is_kept_and_a_jump_of_the_clock_is_survived() {
        let mut windows = Windows::default();
        windows.advance(1_000, |_| {});
        windows.count(&call(1, 1));
        windows.advance(1_000 + 2 * SECONDS_KEPT as u64, |_| {});
        assert_eq!(windows.seconds().count(), SECONDS_KEPT);
        windows.advance(5, |_| panic!("nothing is sealed when the clock goes back"));
        let mut sealed = 0;
        windows.advance(1_000 + 2 * SECONDS_KEPT as u64 + 2, |_| sealed += 1);
        assert_eq!((sealed, windows.seconds().count()), (2, SECONDS_KEPT));
    }

    #[test]
    fn the_bytes_of_keys_are_bounded_and_the_totals_stay() {
        let mut windows = Windows::default();
        windows.advance(1, |_| {});
        let spread: Vec<u64> = (0..BUCKETS).step_by(3).map(lowest_of).collect();
        for second in 1..260u64 {
            for key in 1..=256 {
                for &duration_us in &spread {
                    windows.count(&call(key, duration_us));
                }
            }
            windows.advance(second + 1, |_| {});
            assert!(windows.detail_bytes <= DETAIL_BYTES_MAX);
        }
        assert!(windows.detailed < windows.sealed.len(), "the bound was met");
        assert_eq!(
            windows.sealed.iter().rev().take(windows.detailed).map(detail_bytes).sum::<usize>(),
            windows.detail_bytes
        );
        assert!(windows.sealed.iter().all(|second| second.total.counts.calls == 256 * spread.len() as u64));
    }
}
