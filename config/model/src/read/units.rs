//! Numbers with units: durations, sizes, rates, percentages, money, moments.

use std::time::Duration;

use super::{Fault, Read, Shape, Word};
use crate::problem::quote;

impl Word for bool {
    const WHAT: &'static str = "true or false";
    const FORM: &'static str = "write true or false, without quotes";
    const QUOTABLE: bool = false;

    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            "yes" | "on" | "True" | "TRUE" => Err(Fault::plain().hint("write true")),
            "no" | "off" | "False" | "FALSE" => Err(Fault::plain().hint("write false")),
            _ => Err(Fault::plain()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn word_shape() -> Shape {
        Shape::Boolean
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Word for Int<MIN, MAX> {
    const WHAT: &'static str = "a whole number";
    const FORM: &'static str = "write digits only";
    const QUOTABLE: bool = false;

    fn parse(text: &str) -> Result<Self, Fault> {
        let digits = text.replace('_', "");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::plain().hint(format!("write a whole number from {MIN} to {MAX}")));
        }
        match digits.parse::<u64>() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Int(number)),
            _ => {
                Err(Fault::message(format!("{} is out of range", quote(text)))
                    .hint(format!("{MIN} to {MAX}")))
            }
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }

    fn word_shape() -> Shape {
        Shape::Integer { min: MIN, max: MAX }
    }
}

const DURATION_FORM: &str = "a number and ms, s, m or h, as in 500ms, 10s or 1h";
const MS_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Digits, perhaps with a decimal part, and the unit after them.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// `1.5` of a unit of 1000 is 1500: exact, or `None`.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(part)) || part.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if part.is_empty() {
        return Some(whole);
    }
    let ten = 10u64.pow(u32::try_from(part.len()).ok()?);
    let scaled = u128::from(part.parse::<u64>().ok()?) * u128::from(unit);
    if scaled % u128::from(ten) != 0 {
        return None;
    }
    whole.checked_add(u64::try_from(scaled / u128::from(ten)).ok()?)
}

fn with_unit(text: &str, units: &[(&str, u64)], what: &str, form: &str) -> Result<u64, Fault> {
    let (number, unit) = split_unit(text);
    if number.is_empty() {
        return Err(Fault::plain().hint(form));
    }
    let Some((_, scale)) = units.iter().find(|(known, _)| *known == unit) else {
        let message = if unit.is_empty() {
            format!("{} has no unit", quote(text))
        } else {
            format!("{} is not a unit of {what}", quote(unit))
        };
        let part = if unit.is_empty() { text } else { unit };
        return Err(Fault::message(message).part(part).hint(form));
    };
    scaled(number, *scale).ok_or_else(|| Fault::plain().hint(form))
}

/// The largest unit that divides the number, as a user would write it.
fn shown(number: u64, units: &[(&str, u64)]) -> String {
    let (unit, scale) = units
        .iter()
        .rev()
        .find(|(_, scale)| number >= *scale && number.is_multiple_of(*scale))
        .unwrap_or(&units[0]);
    format!("{}{unit}", number / scale)
}

/// A duration as the grammar writes it.
pub(crate) fn show_duration(duration: Duration) -> String {
    shown(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), MS_UNITS)
}

/// Reads a duration in milliseconds.
pub(crate) fn parse_ms(text: &str) -> Result<u64, Fault> {
    with_unit(text, MS_UNITS, "time", DURATION_FORM)
}

/// A duration from `MIN` to `MAX` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<const MIN_MS: u64, const MAX_MS: u64>(pub Duration);

impl<const MIN_MS: u64, const MAX_MS: u64> Word for Span<MIN_MS, MAX_MS> {
    const WHAT: &'static str = "a duration";
    const FORM: &'static str = DURATION_FORM;
    const PATTERN: &'static str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h)|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        let ms = parse_ms(text)?;
        if !(MIN_MS..=MAX_MS).contains(&ms) {
            let (low, high) = (shown(MIN_MS, MS_UNITS), shown(MAX_MS, MS_UNITS));
            return Err(
                Fault::message(format!("{} is out of range", quote(text))).hint(format!("{low} to {high}"))
            );
        }
        Ok(Span(Duration::from_millis(ms)))
    }

    fn show(&self) -> String {
        show_duration(self.0)
    }
}

const SIZE_FORM: &str = "a whole number and B, KiB, MiB or GiB, as in 10MiB";
const SIZE_UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

fn parse_size(text: &str) -> Result<u64, Fault> {
    let (_, unit) = split_unit(text);
    let hint = match unit {
        "KB" | "kB" | "K" | "k" | "kb" => "write KiB (1024 bytes)",
        "MB" | "M" | "m" | "mb" => "write MiB (1024 KiB)",
        "GB" | "G" | "g" | "gb" => "write GiB (1024 MiB)",
        _ => SIZE_FORM,
    };
    with_unit(text, SIZE_UNITS, "size", hint)
}

/// A number of bytes from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Word for Size<MIN, MAX> {
    const WHAT: &'static str = "a size";
    const FORM: &'static str = SIZE_FORM;
    const PATTERN: &'static str = r"^([0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        let bytes = parse_size(text)?;
        if !(MIN..=MAX).contains(&bytes) {
            let (low, high) = (shown(MIN, SIZE_UNITS), shown(MAX, SIZE_UNITS));
            return Err(
                Fault::message(format!("{} is out of range", quote(text))).hint(format!("{low} to {high}"))
            );
        }
        Ok(Size(bytes))
    }

    fn show(&self) -> String {
        shown(self.0, SIZE_UNITS)
    }
}

/// A size, or `unlimited`, which must be written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeBound(pub Option<u64>);

impl Word for SizeBound {
    const WHAT: &'static str = "a size or `unlimited`";
    const FORM: &'static str = "a size as in 10MiB, or the word unlimited";
    const PATTERN: &'static str = r"^(unlimited|[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "unlimited" => Ok(SizeBound(None)),
            _ => parse_size(text).map(|bytes| SizeBound(Some(bytes))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "unlimited".to_owned(), |bytes| shown(bytes, SIZE_UNITS))
    }
}

/// Bytes a second, or `unlimited`: no floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateBound(pub Option<u64>);

impl Word for RateBound {
    const WHAT: &'static str = "a rate or `unlimited`";
    const FORM: &'static str = "a size a second as in 1KiB/s, or the word unlimited";
    const PATTERN: &'static str = r"^(unlimited|[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)/s|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text == "unlimited" {
            return Ok(RateBound(None));
        }
        let Some(size) = text.strip_suffix("/s") else {
            return Err(Fault::plain());
        };
        parse_size(size).map(|bytes| RateBound(Some(bytes)))
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{}/s", shown(bytes, SIZE_UNITS)))
    }
}

/// A whole percentage from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

impl Word for Percent {
    const WHAT: &'static str = "a percentage";
    const FORM: &'static str = "a whole number from 1 to 100 and %, as in 20%";
    const PATTERN: &'static str = r"^([0-9]+%|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        let Some(number) = text.strip_suffix('%') else {
            return Err(match text.parse::<u8>() {
                Ok(number @ 1..=100) => {
                    Fault::message(format!("{} has no unit", quote(text))).hint(format!("write {number}%"))
                }
                _ => Fault::plain(),
            });
        };
        match number.parse::<u8>() {
            Ok(number @ 1..=100) => Ok(Percent(number)),
            _ => Err(Fault::plain()),
        }
    }

    fn show(&self) -> String {
        format!("{}%", self.0)
    }
}

/// US dollars, kept in nano-dollars (10^-9 USD).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usd(pub u64);

const NANO: u64 = 1_000_000_000;
/// Most dollars of one limit: what a counter can hold of nano-dollars, rounded down.
const USD_MAX: u64 = 10_000_000;

const USD_NANO_MAX: u64 = USD_MAX * NANO;

fn too_many_dollars(text: &str) -> Fault {
    Fault::message(format!("{} dollars are out of range", quote(text))).hint(format!("at most {USD_MAX}"))
}

impl Word for Usd {
    const WHAT: &'static str = "an amount of US dollars";
    const FORM: &'static str = "a number over 0 with at most nine decimals, as in 20 or 0.50, up to 10000000";
    const PATTERN: &'static str = r"^([0-9]+(\.[0-9]{1,9})?|.*\$\{.*)$";
    const QUOTABLE: bool = false;

    fn parse(text: &str) -> Result<Self, Fault> {
        match scaled(text, NANO) {
            Some(nano @ 1..=USD_NANO_MAX) => Ok(Usd(nano)),
            // Digits that even nano-dollars cannot hold are too many as well.
            None if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() => {
                Err(too_many_dollars(text))
            }
            Some(nano) if nano > 0 => Err(too_many_dollars(text)),
            _ => Err(Fault::plain()),
        }
    }

    fn show(&self) -> String {
        let (whole, part) = (self.0 / NANO, self.0 % NANO);
        if part == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{}", format!("{part:09}").trim_end_matches('0'))
        }
    }
}

/// A moment in UTC, as Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

impl Word for Moment {
    const WHAT: &'static str = "a moment in UTC";
    const FORM: &'static str = "a day as in 2027-01-31, or a moment as in 2027-01-31T12:00:00Z (RFC 3339)";
    const PATTERN: &'static str = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        moment(text).map(Moment).ok_or_else(Fault::plain)
    }

    fn show(&self) -> String {
        format!("@{}", self.0)
    }
}

fn moment(text: &str) -> Option<u64> {
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let numbers = |text: &str, by: char, widths: [usize; 3]| -> Option<[u64; 3]> {
        let mut out = [0; 3];
        let mut parts = text.split(by);
        for (slot, width) in out.iter_mut().zip(widths) {
            let part = parts.next()?;
            if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            *slot = part.parse().ok()?;
        }
        parts.next().is_none().then_some(out)
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let leap = |y: u64| (y.is_multiple_of(4) && !y.is_multiple_of(100)) || y.is_multiple_of(400);
    let days_in = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *days_in.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if year < 1970 || day == 0 || day > length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years: u64 = (1970..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
    let months: u64 = days_in.iter().take(usize::try_from(month).ok()? - 1).sum();
    Some((years + months + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// `auto`, a number, or a list of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workers {
    /// The allowed CPUs within the quota.
    Auto,
    /// So many.
    Count(u64),
    /// One on each of these cores.
    Cores(Vec<u64>),
}

/// Most workers of one process.
pub const WORKERS_MAX: u64 = 1024;

impl Read for Workers {
    fn shape() -> Shape {
        Shape::Either(vec![
            Shape::Choice(&[("auto", "the allowed CPUs within the quota")]),
            Shape::Integer { min: 1, max: WORKERS_MAX },
            Shape::List(Box::new(Shape::Integer { min: 0, max: WORKERS_MAX - 1 })),
        ])
    }

    fn read(node: &crate::document::Node, cx: &mut super::Cx<'_>) -> Option<Self> {
        use crate::document::NodeKind;
        match &node.kind {
            NodeKind::Scalar(scalar) if scalar.text == "auto" => Some(Workers::Auto),
            NodeKind::List(items) if items.is_empty() => {
                cx.problems.add(node.pos, "an empty list of cores", "write auto, or cores as in [0, 1]");
                None
            }
            NodeKind::List(_) => {
                let cores = Vec::<crate::place::At<Int<0, { WORKERS_MAX - 1 }>>>::read(node, cx)?;
                let mut seen: Vec<u64> = Vec::new();
                for core in &cores {
                    if seen.contains(&core.value.0) {
                        cx.problems.add(core.pos, format!("core {} stands twice", core.value.0), "");
                        return None;
                    }
                    seen.push(core.value.0);
                }
                Some(Workers::Cores(seen))
            }
            NodeKind::Scalar(scalar) if !scalar.text.starts_with(|c: char| c.is_ascii_digit()) => {
                super::wrong_kind(node, "auto, a number or a list of cores", "write auto, 4 or [0, 1]", cx)
            }
            _ => Int::<1, WORKERS_MAX>::read(node, cx).map(|count| Workers::Count(count.0)),
        }
    }

    fn explain(&self, path: &str, pos: crate::place::Pos, out: &mut Vec<super::Effective>) {
        let value = match self {
            Workers::Auto => "auto".to_owned(),
            Workers::Count(count) => count.to_string(),
            Workers::Cores(cores) => format!("{cores:?}"),
        };
        out.push(super::Effective { path: path.to_owned(), value, pos });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("1.5s", Some(1_500)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("0.0001s", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1 s", None),
            ("1d", None),
            ("1.s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse_ms(text).ok(), want, "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_secs(120)), "2m");
    }

    #[test]
    fn bounds() {
        assert!(Span::<10, 1000>::parse("10ms").is_ok());
        assert!(Span::<10, 1000>::parse("9ms").is_err());
        assert!(Span::<10, 1000>::parse("1s").is_ok());
        assert!(Span::<10, 1000>::parse("1001ms").is_err());
        assert!(Int::<1, 5>::parse("5").is_ok());
        assert!(Int::<1, 5>::parse("6").is_err());
        assert!(Int::<1, 5>::parse("0").is_err());
        assert_eq!(Int::<1, 5_000>::parse("1_000").ok(), Some(Int(1000)));
    }

    #[test]
    fn sizes_and_rates() {
        assert_eq!(SizeBound::parse("10MiB"), Ok(SizeBound(Some(10 << 20))));
        assert_eq!(SizeBound::parse("unlimited"), Ok(SizeBound(None)));
        assert_eq!(RateBound::parse("1KiB/s"), Ok(RateBound(Some(1024))));
        let fault = SizeBound::parse("10MB").expect_err("MB");
        assert_eq!(
            (fault.part.as_deref(), fault.hint.as_deref()),
            (Some("MB"), Some("write MiB (1024 KiB)"))
        );
        assert!(RateBound::parse("1KiB").is_err());
        assert_eq!(SizeBound(Some(10 << 20)).show(), "10MiB");
    }

    #[test]
    fn money_and_moments() {
        assert_eq!(Usd::parse("20"), Ok(Usd(20 * NANO)));
        assert_eq!(Usd::parse("0.5").map(|usd| usd.show()), Ok("0.5".to_owned()));
        for (text, nano) in [
            ("50", 50 * NANO),
            ("0.25", NANO / 4),
            ("0.000000001", 1),
            ("1234.567890123", 1_234_567_890_123),
            ("10000000", 10_000_000 * NANO),
            ("9999999.999999999", 10_000_000 * NANO - 1),
        ] {
            assert_eq!(Usd::parse(text), Ok(Usd(nano)), "{text}");
        }
        for text in ["10000000.000000001", "10000001", "18446744073", "99999999999999999999999999"] {
            let fault = Usd::parse(text).expect_err(text);
            assert_eq!(fault.hint.as_deref(), Some("at most 10000000"), "{text}");
        }
        for bad in ["1e3", "-1", "1,5", ".5", "5.", "", "$5", "0.0", "NaN", "1_000"] {
            let fault = Usd::parse(bad).expect_err(bad);
            assert_eq!(fault, Fault::plain(), "{bad}");
        }
        assert!(Usd::parse("0").is_err());
        assert!(Usd::parse("0.0000000001").is_err());
        assert_eq!(Moment::parse("1970-01-02"), Ok(Moment(86_400)));
        assert_eq!(Moment::parse("2026-11-24T08:00:00Z"), Ok(Moment(1_795_507_200)));
        for bad in ["2026-02-29", "2026-13-01", "2026-1-1", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z"] {
            assert!(Moment::parse(bad).is_err(), "{bad}");
        }
        assert!(Moment::parse("2028-02-29").is_ok());
    }

    #[test]
    fn percentages() {
        assert_eq!(Percent::parse("100%"), Ok(Percent(100)));
        for bad in ["0%", "101%", "20", "%", "1.5%"] {
            assert!(Percent::parse(bad).is_err(), "{bad}");
        }
    }
}
