//! What the headers of an answer say of limits: how much is left, and when there is more.

use super::named;

named! {
    /// The form in which a provider tells when a limit begins anew.
    ResetForm {
        /// Seconds from now, with or without a fraction: `12`, `0.25`.
        Seconds = "seconds",
        /// A length of time as Go writes it: `6m0s`, `1.5s`, `12ms`.
        Duration = "duration",
        /// A time (RFC 3339): `2025-08-21T12:40:59Z`.
        Rfc3339 = "rfc3339",
        /// Seconds of Unix time.
        UnixSeconds = "unix_seconds",
        /// Milliseconds of Unix time.
        UnixMillis = "unix_millis",
    }
}

named! {
    /// What a provider counts its limits for, and so what a call that met one says of others.
    LimitScope {
        /// Each model at a key: another model may still be called.
        Model = "model",
        /// The key, whatever the model.
        Key = "key",
    }
}

/// Milliseconds from now beyond which a reset is not believed: 31 days, the longest period of a quota.
pub const RESET_MS_MAX: u64 = 31 * 24 * 3600 * 1000;

/// Bytes of a header's value that are read; none of the forms needs as many.
const VALUE_BYTES_MAX: usize = 64;

/// The names of the headers of one window, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct WindowNames {
    pub(super) limit: Option<String>,
    pub(super) remaining: Option<String>,
    pub(super) reset: Option<String>,
    /// The form of this window's reset, where it is not that of all.
    pub(super) form: Option<ResetForm>,
}

/// How a provider tells its limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RateLimit {
    pub(super) requests: Vec<WindowNames>,
    pub(super) tokens: Vec<WindowNames>,
    pub(super) input_tokens: Vec<WindowNames>,
    pub(super) output_tokens: Vec<WindowNames>,
    pub(super) reset: Option<ResetForm>,
    pub(super) retry_after_ms: bool,
    pub(super) per: Option<LimitScope>,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// How much there is in a period.
    pub limit: Option<u64>,
    /// How much is left of it.
    pub remaining: Option<u64>,
    /// Milliseconds from now until there is more.
    pub reset_ms: Option<u64>,
}

/// What an answer says of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headroom {
    /// Requests.
    pub requests: Window,
    /// Tokens, where input and output are counted together.
    pub tokens: Window,
    /// Tokens of the input.
    pub input_tokens: Window,
    /// Tokens of the output.
    pub output_tokens: Window,
    /// Milliseconds from now before which no call should be made again.
    pub retry_after_ms: Option<u64>,
}

impl RateLimit {
    /// Reads an answer's headers. `headers` gives the value of a header by its name in lower case; `now_unix_ms` is the
    /// time of the answer. What is not in the provider's form is as if it were not there. Where a provider tells several
    /// windows of a kind, the one counts that has the least left.
    pub fn read<'h>(&self, headers: impl Fn(&str) -> Option<&'h str>, now_unix_ms: u64) -> Headroom {
        let value = |name: &str| headers(name).map(str::trim).filter(|value| value.len() <= VALUE_BYTES_MAX);
        let named = |name: &Option<String>| name.as_deref().and_then(value);
        let window = |windows: &[WindowNames]| {
            let told = windows.iter().map(|names| Window {
                limit: named(&names.limit).and_then(count),
                remaining: named(&names.remaining).and_then(count),
                reset_ms: named(&names.reset)
                    .zip(names.form.or(self.reset))
                    .and_then(|(text, form)| until(text, form, now_unix_ms)),
            });
            told.min_by_key(|window| window.remaining.unwrap_or(u64::MAX)).unwrap_or_default()
        };
        let retry_after_ms = self.retry_after_ms.then(|| value("retry-after-ms").and_then(millis)).flatten();
        Headroom {
            requests: window(&self.requests),
            tokens: window(&self.tokens),
            input_tokens: window(&self.input_tokens),
            output_tokens: window(&self.output_tokens),
            retry_after_ms: retry_after_ms
                .or_else(|| value("retry-after").and_then(|text| retry(text, now_unix_ms))),
        }
    }

    /// What the limits are counted for; none where the provider does not document it.
    pub fn per(&self) -> Option<LimitScope> {
        self.per
    }

    /// The names of all headers that it reads, but for `retry-after`.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.windows()
            .flat_map(|names| [&names.limit, &names.remaining, &names.reset])
            .flatten()
            .map(String::as_str)
            .chain(self.retry_after_ms.then_some("retry-after-ms"))
    }

    /// The forms of its resets.
    pub fn forms(&self) -> impl Iterator<Item = ResetForm> {
        self.windows().filter(|names| names.reset.is_some()).filter_map(|names| names.form.or(self.reset))
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = &WindowNames> {
        [&self.requests, &self.tokens, &self.input_tokens, &self.output_tokens].into_iter().flatten()
    }
}

/// A count; signs and fractions are none.
fn count(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Milliseconds of a decimal number of `unit_ms`, rounded up, so that nobody comes too early.
fn decimal(text: &str, unit_ms: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole = count(whole).filter(|_| !whole.is_empty())?;
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Nine digits are more than any clock has.
    let digits = &fraction[..fraction.len().min(9)];
    let scale = 10u64.pow(u32::try_from(digits.len()).ok()?);
    let part = count(digits)?.checked_mul(unit_ms)?.div_ceil(scale);
    whole.checked_mul(unit_ms)?.checked_add(part)
}

/// A value of `retry-after-ms`.
fn millis(text: &str) -> Option<u64> {
    decimal(text, 1).filter(|ms| *ms <= RESET_MS_MAX)
}

/// A length of time: numbers with units, from the larger to the smaller.
pub(super) fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0u64;
    let mut before = u64::MAX;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_end =
            rest[unit_at..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| unit_at + at);
        let number = &rest[..unit_at];
        let (ms, rank) = match &rest[unit_at..unit_end] {
            "d" => (decimal(number, 24 * 3600 * 1000)?, 6),
            "h" => (decimal(number, 3600 * 1000)?, 5),
            "m" => (decimal(number, 60 * 1000)?, 4),
            "s" => (decimal(number, 1000)?, 3),
            "ms" => (decimal(number, 1)?, 2),
            // Less than a millisecond is one.
            "us" | "µs" | "μs" => (decimal(number, 1)?.div_ceil(1000), 1),
            "ns" => (decimal(number, 1)?.div_ceil(1_000_000), 0),
            _ => return None,
        };
        if rank >= before {
            return None;
        }
        before = rank;
        total = total.checked_add(ms)?;
        rest = &rest[unit_end..];
    }
    (before != u64::MAX).then_some(total)
}

/// Milliseconds from now until what `text` says.
fn until(text: &str, form: ResetForm, now_unix_ms: u64) -> Option<u64> {
    let left = |at: u64| at.saturating_sub(now_unix_ms);
    let ms = match form {
        ResetForm::Seconds => decimal(text, 1000)?,
        ResetForm::Duration => duration(text)?,
        ResetForm::Rfc3339 => left(rfc3339(text)?),
        ResetForm::UnixSeconds => left(decimal(text, 1000)?),
        ResetForm::UnixMillis => left(decimal(text, 1)?),
    };
    (ms <= RESET_MS_MAX).then_some(ms)
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, which some write with a fraction, or a date.
fn retry(text: &str, now_unix_ms: u64) -> Option<u64> {
    let ms = decimal(text, 1000).or_else(|| http_date(text).map(|at| at.saturating_sub(now_unix_ms)))?;
    (ms <= RESET_MS_MAX).then_some(ms)
}

/// Digits at a place of a text.
fn digits(text: &[u8], from: usize, len: usize) -> Option<u64> {
    let digits = text.get(from..from + len)?;
    digits
        .iter()
        .try_fold(0u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

/// Milliseconds of Unix time of a date and time of the day, in UTC; none if there is no such.
fn unix_ms(year: u64, month: u64, day: u64, hour: u64, minute: u64, second: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    // 60 is a leap second.
    let exists = (1..=length).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !(1970..=9999).contains(&year) || !exists {
        return None;
    }
    // Years begin with March here, so that the day that comes and goes is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?; // 1970-01-01
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

/// Milliseconds of Unix time of a time as RFC 3339 section 5.6 has it.
fn rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let sign = |at: usize, sign: u8| (bytes.get(at)?.eq_ignore_ascii_case(&sign)).then_some(());
    for (at, expected) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        sign(at, expected)?;
    }
    let whole = unix_ms(
        digits(bytes, 0, 4)?,
        digits(bytes, 5, 2)?,
        digits(bytes, 8, 2)?,
        digits(bytes, 11, 2)?,
        digits(bytes, 14, 2)?,
        digits(bytes, 17, 2)?,
    )?;
    let mut rest = &bytes[19..];
    let mut fraction_ms = 0;
    if let [b'.', after @ ..] = rest {
        let len = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let fraction = std::str::from_utf8(after.get(..len)?).ok()?;
        fraction_ms = decimal(&format!("0.{fraction}"), 1000)?;
        rest = &after[len..];
    }
    let at = whole + fraction_ms;
    match rest {
        [b'Z' | b'z'] => Some(at),
        [sign @ (b'+' | b'-'), zone @ ..] if zone.len() == 5 && zone[2] == b':' => {
            let (hours, minutes) = (digits(zone, 0, 2)?, digits(zone, 3, 2)?);
            let offset = (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60_000)?;
            if *sign == b'+' { at.checked_sub(offset) } else { at.checked_add(offset) }
        }
        _ => None,
    }
}

/// Milliseconds of Unix time of an IMF-fixdate (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. The obsolete
/// forms are not read.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let bytes = text.as_bytes();
    if bytes.len() != 29 || &bytes[3..5] != b", " || &bytes[25..] != b" GMT" {
        return None;
    }
    if bytes[7] != b' ' || bytes[11] != b' ' || bytes[16] != b' ' || bytes[19] != b':' || bytes[22] != b':' {
        return None;
    }
    let month = MONTHS.iter().position(|name| bytes[8..11] == name[..])? + 1;
    unix_ms(
        digits(bytes, 12, 4)?,
        u64::try_from(month).ok()?,
        digits(bytes, 5, 2)?,
        digits(bytes, 17, 2)?,
        digits(bytes, 20, 2)?,
        digits(bytes, 23, 2)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2025-08-21T12:40:00Z
    const NOW: u64 = 1_755_780_000_000;

    #[test]
    fn each_form_of_a_reset_is_read_and_nothing_else() {
        use ResetForm::*;
        for (form, text, expected) in [
            (Seconds, "0", Some(0)),
            (Seconds, "12", Some(12_000)),
            (Seconds, "0.25", Some(250)),
            (Seconds, "33011.382867097855", Some(33_011_383)),
            (Seconds, "2678400", Some(RESET_MS_MAX)),
            (Seconds, "2678400.001", None),
            (Seconds, "99999999999999999999", None),
            (Seconds, "-1", None),
            (Seconds, "+1", None),
            (Seconds, "1e3", None),
            (Seconds, ".5", None),
            (Seconds, "5.", None),
            (Seconds, "", None),
            (Seconds, "6m0s", None),
            (Seconds, "soon", None),
            (Duration, "6m0s", Some(360_000)),
            (Duration, "1s", Some(1000)),
            (Duration, "12ms", Some(12)),
            (Duration, "7.66s", Some(7660)),
            (Duration, "2m59.56s", Some(179_560)),
            (Duration, "1h2m3s", Some(3_723_000)),
            (Duration, "1d1h", Some(90_000_000)),
            (Duration, "1m26.4s", Some(86_400)),
            (Duration, "1s500ms", Some(1500)),
            (Duration, "250µs", Some(1)),
            (Duration, "1ns", Some(1)),
            (Duration, "0s", Some(0)),
            (Duration, "0", Some(0)),
            (Duration, "31d", Some(RESET_MS_MAX)),
            (Duration, "32d", None),
            (Duration, "5", None),
            (Duration, "s", None),
            (Duration, "", None),
            (Duration, "1s1m", None),
            (Duration, "1m1m", None),
            (Duration, "1 s", None),
            (Duration, "-1s", None),
            (Duration, "1w", None),
            (Duration, "1.2.3s", None),
            (Duration, "18446744073709551615h", None),
            (Rfc3339, "2025-08-21T12:40:59Z", Some(59_000)),
            (Rfc3339, "2025-08-21t12:40:59.25z", Some(59_250)),
            (Rfc3339, "2025-08-21T14:40:01+02:00", Some(1000)),
            (Rfc3339, "2025-08-21T12:39:59Z", Some(0)),
            (Rfc3339, "2025-09-21T12:40:00Z", Some(RESET_MS_MAX)),
            (Rfc3339, "2025-09-21T12:40:01Z", None),
            (Rfc3339, "2024-02-29T00:00:00-00:30", Some(0)),
            (Rfc3339, "2025-02-29T00:00:00Z", None),
            (Rfc3339, "2025-13-01T00:00:00Z", None),
            (Rfc3339, "2025-08-21T24:00:00Z", None),
            (Rfc3339, "2025-08-21T12:40:59", None),
            (Rfc3339, "2025-08-21T12:40:59.Z", None),
            (Rfc3339, "2025-08-21 12:40:59Z", None),
            (Rfc3339, "2025-08-21T12:40:59+2:00", None),
            (Rfc3339, "2025-08-21T12:40:59Zx", None),
            (Rfc3339, "1969-12-31T23:59:59Z", None),
            (UnixSeconds, "1755780010", Some(10_000)),
            (UnixSeconds, "1755779990", Some(0)),
            (UnixSeconds, "1755780010000", None),
            (UnixMillis, "1755780010000", Some(10_000)),
            (UnixMillis, "now", None),
        ] {
            assert_eq!(until(text, form, NOW), expected, "{form} {text:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |name: &'static str, text: &'static str, ms: bool| {
            let limits = RateLimit { retry_after_ms: ms, ..RateLimit::default() };
            limits.read(|asked| (asked == name).then_some(text), NOW).retry_after_ms
        };
        for (name, text, expected) in [
            ("retry-after", "7", Some(7000)),
            ("retry-after", " 7 ", Some(7000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after", "Thu, 21 Aug 2025 12:41:00 GMT", Some(60_000)),
            ("retry-after", "Thu, 21 Aug 2025 12:39:00 GMT", Some(0)),
            ("retry-after", "Thu, 21 Aug 2025 12:41:00 CET", None),
            ("retry-after", "Thu, 31 Feb 2026 12:41:00 GMT", None),
            ("retry-after", "Thu, 21 Aug 9999 12:41:00 GMT", None),
            ("retry-after", "Thursday, 21-Aug-25 12:41:00 GMT", None),
            ("retry-after", "-7", None),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after-ms", "250.5", Some(251)),
            ("retry-after-ms", "x", None),
        ] {
            assert_eq!(read(name, text, true), expected, "{name}: {text}");
        }
        assert_eq!(read("retry-after-ms", "250", false), None);
        let both = RateLimit { retry_after_ms: true, ..RateLimit::default() };
        let told = both.read(|name| Some(if name == "retry-after" { "1" } else { "250" }), NOW);
        assert_eq!(told.retry_after_ms, Some(250));
    }

    #[test]
    fn the_window_with_the_least_left_counts() {
        let names = |window: &str| WindowNames {
            limit: Some(format!("limit-{window}")),
            remaining: Some(format!("remaining-{window}")),
            reset: Some(format!("reset-{window}")),
            form: None,
        };
        let limits = RateLimit {
            requests: vec![names("minute"), names("day")],
            reset: Some(ResetForm::Seconds),
            ..RateLimit::default()
        };
        let headers = |name: &str| match name {
            "limit-minute" => Some("60"),
            "remaining-minute" => Some("59"),
            "reset-minute" => Some("1"),
            "limit-day" => Some("1000"),
            "remaining-day" => Some("3"),
            "reset-day" => Some("3600"),
            _ => None,
        };
        let told = limits.read(headers, NOW);
        let day = Window { limit: Some(1000), remaining: Some(3), reset_ms: Some(3_600_000) };
        assert_eq!(told, Headroom { requests: day, ..Headroom::default() });
        // Azure's way to say that it does not know.
        let told = limits.read(|name| if name.starts_with("reset") { Some("0") } else { Some("-1") }, NOW);
        assert_eq!(told.requests, Window { reset_ms: Some(0), ..Window::default() });
        let long = "1".repeat(VALUE_BYTES_MAX + 1);
        assert_eq!(limits.read(|_| Some(&long), NOW), Headroom::default());
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "\\PC{0,40}", now in any::<u64>()) {
            for form in ResetForm::ALL {
                prop_assert!(until(&text, *form, now).is_none_or(|ms| ms <= RESET_MS_MAX));
            }
            prop_assert!(retry(&text, now).is_none_or(|ms| ms <= RESET_MS_MAX));
        }

        #[test]
        fn near_misses_do_no_harm(text in "[0-9.dhmsunµZT:+, GMTAug-]{0,30}", now in any::<u64>()) {
            for form in ResetForm::ALL {
                prop_assert!(until(&text, *form, now).is_none_or(|ms| ms <= RESET_MS_MAX));
            }
            prop_assert!(retry(&text, now).is_none_or(|ms| ms <= RESET_MS_MAX));
        }

        #[test]
        fn a_time_is_where_the_calendar_has_it(day in 0u64..47_482, second in 0u64..86_400) {
            // Days counted one by one from 1970-01-01, up to the end of 2099.
            let (mut year, mut month, mut left) = (1970u64, 1u64, day);
            loop {
                let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
                let february = if leap { 29 } else { 28 };
                let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
                let length = lengths[usize::try_from(month - 1).unwrap()];
                if left < length {
                    break;
                }
                left -= length;
                (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            }
            let (hour, minute, of_minute) = (second / 3600, second / 60 % 60, second % 60);
            let expected = (day * 86_400 + second) * 1000;
            prop_assert_eq!(unix_ms(year, month, left + 1, hour, minute, of_minute), Some(expected));
        }
    }
}
