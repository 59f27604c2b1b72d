//! Calendar windows: the boundaries of hours, days and months in a time zone, computed ahead as plain data.
//!
//! Knows: a time zone (jiff) when the table is made, on the control side. The worker's side only compares.
//! Must not: read a clock or a time zone file (the zone comes in; `time_zone` reads the bundled data).

use std::{fmt, sync::Arc};

use jiff::{Timestamp, ToSpan, Unit, ZonedDateTimeRound, tz::TimeZone};

use crate::clock::SECOND_NS;

/// Unit of a calendar window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CalendarUnit {
    /// From full hour to full hour of local time. In a zone that steps its clock each instant still belongs to
    /// exactly one window.
    Hour,
    /// From local midnight to local midnight (23 to 25 hours).
    Day,
    /// From the first of a month to the first of the next.
    Month,
}

impl CalendarUnit {
    /// How many windows are computed ahead: at least one year of hours, ten of days, twenty of months.
    const fn windows_ahead(self) -> usize {
        match self {
            CalendarUnit::Hour => 9_000,
            CalendarUnit::Day => 3_700,
            CalendarUnit::Month => 240,
        }
    }

    /// Length of a window beyond the table's end, seconds; the longest this unit has.
    pub(crate) const fn nominal_s(self) -> i64 {
        match self {
            CalendarUnit::Hour => 3_600,
            CalendarUnit::Day => 86_400,
            CalendarUnit::Month => 31 * 86_400,
        }
    }
}

/// Why a table of windows cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The name is in no IANA time zone database this build carries.
    #[error("unknown time zone `{0}`")]
    UnknownZone(String),
    /// The start is outside the years that dates are computed for.
    #[error("time out of range")]
    OutOfRange,
}

/// Consecutive calendar windows of one unit in one zone, from the one that holds `from` on. Cloning is cheap.
#[derive(Clone, PartialEq, Eq)]
pub struct CalendarWindows {
    unit: CalendarUnit,
    zone: Arc<str>,
    /// Start of each window in Unix seconds, strictly ascending, at least one.
    starts_s: Arc<[i64]>,
}

/// One window of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CalendarWindow {
    /// Unix seconds of its start: its index. It orders windows and is the same in every process.
    pub(crate) index: u64,
    /// Unix nanoseconds of its end.
    pub(crate) end_ns: u64,
    /// Its length.
    pub(crate) length_ns: u64,
}

/// Looks a zone up by its IANA name in the data bundled with this build.
pub fn time_zone(name: &str) -> Result<TimeZone, CalendarError> {
    TimeZone::get(name).map_err(|_| CalendarError::UnknownZone(name.to_owned()))
}

impl fmt::Debug for CalendarWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} windows in {}", self.starts_s.len(), self.unit, self.zone)
    }
}

impl CalendarWindows {
    /// Computes the windows of `unit` in `zone` from the one that holds `from_unix_s` on.
    ///
    /// Costs up to some milliseconds and 72 KiB: once per zone and unit on the control side, then cloned.
    pub fn compute(
        unit: CalendarUnit,
        zone: &TimeZone,
        zone_name: &str,
        from_unix_s: i64,
    ) -> Result<Self, CalendarError> {
        let out_of_range = |_| CalendarError::OutOfRange;
        let at = Timestamp::from_second(from_unix_s).map_err(out_of_range)?.to_zoned_datetime(zone.clone());
        let mut starts_s = Vec::with_capacity(unit.windows_ahead());
        match unit {
            CalendarUnit::Hour => {
                let rounding = ZonedDateTimeRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc);
                let mut start = at.round(rounding).map_err(out_of_range)?;
                // A clock that steps by part of an hour makes a window shorter or longer, never doubled.
                for _ in 0..unit.windows_ahead() {
                    starts_s.push(start.timestamp().as_second());
                    start = (&start + 1.hour()).round(rounding).map_err(out_of_range)?;
                }
            }
            CalendarUnit::Day | CalendarUnit::Month => {
                let mut date = match unit {
                    CalendarUnit::Month => at.date().first_of_month(),
                    _ => at.date(),
                };
                let span = if unit == CalendarUnit::Month { 1.month() } else { 1.day() };
                for _ in 0..unit.windows_ahead() {
                    let start = date.to_zoned_datetime(zone.clone()).map_err(out_of_range)?;
                    starts_s.push(start.timestamp().as_second());
                    date = date.checked_add(span).map_err(out_of_range)?;
                }
            }
        }
        starts_s.sort_unstable();
        starts_s.dedup();
        Self::from_starts(unit, zone_name, starts_s).ok_or(CalendarError::OutOfRange)
    }

    /// Takes window starts (Unix seconds) made elsewhere. None unless there is one, none is before 1970 and they
    /// ascend strictly.
    pub fn from_starts(unit: CalendarUnit, zone_name: &str, starts_s: Vec<i64>) -> Option<Self> {
        let ascending = starts_s.windows(2).all(|pair| pair[0] < pair[1]);
        let first = *starts_s.first()?;
        (ascending && first >= 0).then(|| Self { unit, zone: zone_name.into(), starts_s: starts_s.into() })
    }

    /// The unit of these windows.
    pub fn unit(&self) -> CalendarUnit {
        self.unit
    }

    /// The zone's name as given.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The window that holds a wall time. Before the table: its first window (a window never goes back). After
    /// it: windows of the unit's greatest length, so that a table that was never renewed is strict, not open.
    /// Costs a binary search; a shard asks only when its cached window has ended.
    pub(crate) fn window_at(&self, wall_ns: u64) -> CalendarWindow {
        let wall_s = (wall_ns / SECOND_NS) as i64;
        let after = self.starts_s.partition_point(|start| *start <= wall_s).max(1);
        let start = self.starts_s[after - 1];
        let (start, end) = match self.starts_s.get(after) {
            Some(end) => (start, *end),
            None => {
                let nominal = self.unit.nominal_s();
                let start = start + (wall_s - start).max(0) / nominal * nominal;
                (start, start + nominal)
            }
        };
        CalendarWindow {
            index: start as u64,
            end_ns: end as u64 * SECOND_NS,
            length_ns: (end - start) as u64 * SECOND_NS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(unit: CalendarUnit, zone: &str, from: &str) -> CalendarWindows {
        let from: Timestamp = from.parse().unwrap();
        CalendarWindows::compute(unit, &time_zone(zone).unwrap(), zone, from.as_second()).unwrap()
    }

    fn start_of(windows: &CalendarWindows, at: &str) -> (String, u64) {
        let at: Timestamp = at.parse().unwrap();
        let window = windows.window_at(at.as_second() as u64 * SECOND_NS);
        let start = Timestamp::from_second(window.index as i64).unwrap().to_string();
        (start, window.length_ns / SECOND_NS / 60)
    }

    #[test]
    fn days_and_months_follow_the_zone() {
        let table = [
            (CalendarUnit::Day, "UTC", "2026-11-24T10:00:00Z", "2026-11-24T00:00:00Z", 1440),
            (CalendarUnit::Day, "Europe/Zurich", "2027-03-28T10:00:00Z", "2027-03-27T23:00:00Z", 23 * 60),
            (CalendarUnit::Day, "Europe/Zurich", "2027-10-31T10:00:00Z", "2027-10-30T22:00:00Z", 25 * 60),
            (CalendarUnit::Month, "UTC", "2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", 29 * 1440),
            (CalendarUnit::Month, "Asia/Tokyo", "2026-12-31T15:00:00Z", "2026-12-31T15:00:00Z", 31 * 1440),
            (CalendarUnit::Hour, "Asia/Kathmandu", "2026-12-01T00:20:00Z", "2026-12-01T00:15:00Z", 60),
            (CalendarUnit::Hour, "UTC", "2026-12-01T00:20:00Z", "2026-12-01T00:00:00Z", 60),
        ];
        for (unit, zone, at, start, minutes) in table {
            let windows = windows(unit, zone, "2026-11-24T08:00:00Z");
            assert_eq!(start_of(&windows, at), (start.to_owned(), minutes), "{unit:?} {zone} {at}");
        }
    }

    #[test]
    fn hours_over_a_clock_change_are_each_counted_once() {
        let windows = windows(CalendarUnit::Hour, "Europe/Zurich", "2026-10-24T00:00:00Z");
        for pair in windows.starts_s.windows(2) {
            assert_eq!(pair[1] - pair[0], 3600);
        }
    }

    #[test]
    fn beyond_the_table_windows_go_on_and_before_it_they_stay() {
        let windows = CalendarWindows::from_starts(CalendarUnit::Day, "UTC", vec![86_400, 172_800]).unwrap();
        assert_eq!(windows.window_at(5).index, 86_400);
        assert_eq!(windows.window_at(172_800 * SECOND_NS).index, 172_800);
        assert_eq!(windows.window_at((172_800 + 3 * 86_400 + 7) * SECOND_NS).index, 172_800 + 3 * 86_400);
        assert!(CalendarWindows::from_starts(CalendarUnit::Day, "UTC", vec![]).is_none());
        assert!(CalendarWindows::from_starts(CalendarUnit::Day, "UTC", vec![5, 5]).is_none());
        assert_eq!(time_zone("Mars/Olympus"), Err(CalendarError::UnknownZone("Mars/Olympus".into())));
    }
}
