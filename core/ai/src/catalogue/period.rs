//! When a price holds: from one day until another, and for some providers at some hours only.

use thiserror::Error;

/// Windows of a day.
pub const WINDOWS_MAX: usize = 8;

const DAY_S: u64 = 86_400;
const DAY_MIN: u16 = 1_440;

/// The times at which a price holds. Days and hours are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Period {
    from_s: u64,
    until_s: u64,
    /// Minutes of the day, first inclusive, last exclusive; empty for all day.
    windows: Box<[(u16, u16)]>,
    /// Bit 0 is Monday.
    weekdays: u8,
    /// Where the day of the week is taken, in minutes east of UTC.
    weekdays_offset_min: i16,
}

impl Default for Period {
    fn default() -> Self {
        Period {
            from_s: 0,
            until_s: u64::MAX,
            windows: Box::default(),
            weekdays: 0x7f,
            weekdays_offset_min: 0,
        }
    }
}

/// Why a period cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// Not `YYYY-MM-DD`, or a day that is in no calendar.
    #[error("{0:?} is no date (YYYY-MM-DD, from 1970 on)")]
    Date(String),
    /// Ends before it begins.
    #[error("the price ends before it begins")]
    Order,
    /// Not `HH:MM-HH:MM`.
    #[error("{0:?} is no window of a day (HH:MM-HH:MM, at most 24:00)")]
    Window(String),
    /// More than [`WINDOWS_MAX`].
    #[error("more than {WINDOWS_MAX} windows of a day")]
    Windows,
    /// Not 1 (Monday) to 7.
    #[error("{0} is no day of the week (1 for Monday to 7)")]
    Weekday(u8),
    /// More than a day from UTC.
    #[error("{0} minutes is no offset from UTC")]
    Offset(i32),
}

impl Period {
    /// From the first moment of one day until the first of another, each where given.
    ///
    /// # Errors
    /// A text that is no date, or an end that is not after the start.
    pub fn between(from: Option<&str>, until: Option<&str>) -> Result<Period, PeriodError> {
        let from_s = from.map_or(Ok(0), day_start_s)?;
        let until_s = until.map_or(Ok(u64::MAX), day_start_s)?;
        if from_s >= until_s {
            return Err(PeriodError::Order);
        }
        Ok(Period { from_s, until_s, ..Period::default() })
    }

    /// The same days, at these hours only.
    ///
    /// # Errors
    /// A text that is no window, or too many of them.
    pub fn at_hours<'a>(mut self, hours: impl Iterator<Item = &'a str>) -> Result<Period, PeriodError> {
        let windows: Vec<_> = hours.take(WINDOWS_MAX + 1).map(window).collect::<Result<_, _>>()?;
        if windows.len() > WINDOWS_MAX {
            return Err(PeriodError::Windows);
        }
        self.windows = windows.into();
        Ok(self)
    }

    /// The same, on these days of the week only (1 is Monday), where the day is that of a place `offset_min` east of UTC.
    ///
    /// # Errors
    /// A number that is no day, or an offset of more than a day.
    pub fn on_weekdays(
        mut self,
        weekdays: impl Iterator<Item = u8>,
        offset_min: i32,
    ) -> Result<Period, PeriodError> {
        let mut days = 0;
        for day in weekdays {
            days |= match day {
                1..=7 => 1 << (day - 1),
                _ => return Err(PeriodError::Weekday(day)),
            };
        }
        self.weekdays = if days == 0 { 0x7f } else { days };
        self.weekdays_offset_min = i16::try_from(offset_min)
            .ok()
            .filter(|offset| offset.unsigned_abs() < DAY_MIN)
            .ok_or(PeriodError::Offset(offset_min))?;
        Ok(self)
    }

    /// Whether it holds at a time, in seconds since 1970 (UTC).
    pub fn holds(&self, unix_s: u64) -> bool {
        let minute = (unix_s % DAY_S / 60) as u16;
        (self.from_s..self.until_s).contains(&unix_s)
            && (self.windows.is_empty()
                || self.windows.iter().any(|(first, last)| (*first..*last).contains(&minute)))
            && self.weekdays >> self.weekday(unix_s) & 1 == 1
    }

    /// The day of the week, from 0 for Monday. The first of January 1970 was a Thursday.
    fn weekday(&self, unix_s: u64) -> u8 {
        let there = unix_s.saturating_add_signed(i64::from(self.weekdays_offset_min) * 60);
        ((there / DAY_S + 3) % 7) as u8
    }
}

/// `HH:MM-HH:MM` as minutes of the day.
fn window(text: &str) -> Result<(u16, u16), PeriodError> {
    let minutes = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let minute = number(hours, 2)? * 60 + number(minutes, 2).filter(|minute| *minute < 60)?;
        u16::try_from(minute).ok().filter(|minute| *minute <= DAY_MIN)
    };
    let (first, last) = text.split_once('-').ok_or_else(|| PeriodError::Window(text.into()))?;
    match (minutes(first), minutes(last)) {
        (Some(first), Some(last)) if first < last => Ok((first, last)),
        _ => Err(PeriodError::Window(text.into())),
    }
}

/// The first second of a day, in seconds since 1970.
fn day_start_s(text: &str) -> Result<u64, PeriodError> {
    day(text).map(|day| day * DAY_S).ok_or_else(|| PeriodError::Date(text.into()))
}

/// Days since 1970-01-01 of `YYYY-MM-DD` in the Gregorian calendar.
fn day(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-');
    let year = number(parts.next()?, 4)?;
    let month = number(parts.next()?, 2)?;
    let of_month = number(parts.next()?, 2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = lengths.get(..usize::try_from(month).ok()?.checked_sub(1)?)?;
    let length = lengths.get(before.len())?;
    if year < 1970 || !(1..=*length).contains(&of_month) {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    Some(years + before.iter().sum::<u64>() + of_month - 1)
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("1970-12-31", Some(364)),
            ("1972-03-01", Some(790)),
            ("2000-02-29", Some(11_016)),
            ("2026-11-24", Some(20_781)),
            ("2100-03-01", Some(47_541)),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-00-10", None),
            ("2026-04-31", None),
            ("2026-04-00", None),
            ("1969-12-31", None),
            ("26-04-01", None),
            ("2026-4-1", None),
            ("2026-04-01T00", None),
        ] {
            assert_eq!(day(text), days, "{text}");
        }
    }

    #[test]
    fn a_price_holds_from_its_first_second_until_the_last() {
        let period = Period::between(Some("2026-08-17"), Some("2027-01-01")).unwrap();
        let first = 20_682 * DAY_S;
        let end = 20_819 * DAY_S;
        for (at, holds) in [(first - 1, false), (first, true), (end - 1, true), (end, false)] {
            assert_eq!(period.holds(at), holds, "{at}");
        }
        assert!(Period::default().holds(0) && Period::default().holds(u64::MAX - 1));
        assert_eq!(Period::between(Some("2026-08-17"), Some("2026-08-17")), Err(PeriodError::Order));
        assert_eq!(Period::between(Some("soon"), None), Err(PeriodError::Date("soon".into())));
    }

    #[test]
    fn windows_are_of_the_day_in_utc() {
        let period = Period::default().at_hours(["00:30-01:00", "16:30-24:00"].into_iter()).unwrap();
        for (clock, holds) in [
            ((0, 29), false),
            ((0, 30), true),
            ((0, 59), true),
            ((1, 0), false),
            ((16, 29), false),
            ((16, 30), true),
            ((23, 59), true),
        ] {
            assert_eq!(period.holds(20_781 * DAY_S + clock.0 * 3_600 + clock.1 * 60), holds, "{clock:?}");
        }
        for text in ["", "1:00-02:00", "01:00", "02:00-01:00", "01:00-01:00", "01:60-02:00", "01:00-24:01"] {
            let refused = Period::default().at_hours([text].into_iter());
            assert_eq!(refused, Err(PeriodError::Window(text.into())));
        }
        let many = ["01:00-02:00"; WINDOWS_MAX + 1];
        assert_eq!(Period::default().at_hours(many.into_iter()), Err(PeriodError::Windows));
    }

    #[test]
    fn the_day_of_the_week_is_that_of_its_place() {
        let weekend_in_beijing = Period::default().on_weekdays([6, 7].into_iter(), 480).unwrap();
        let saturday = 20_778 * DAY_S; // 2026-11-21 00:00 UTC
        for (at, holds) in [
            (saturday - 8 * 3_600 - 1, false),
            (saturday - 8 * 3_600, true),
            (saturday + 40 * 3_600 - 1, true),
            (saturday + 40 * 3_600, false),
        ] {
            assert_eq!(weekend_in_beijing.holds(at), holds, "{at}");
        }
        assert_eq!(Period::default().on_weekdays([8].into_iter(), 0), Err(PeriodError::Weekday(8)));
        assert_eq!(Period::default().on_weekdays([].into_iter(), 1_440), Err(PeriodError::Offset(1_440)));
    }
}
