//! Values on the command line: durations (`250ms`), sizes (`64KiB`), rates (`1000..20000`), core lists (`0,2-3`).
//! Pure text in, numbers or a clear message out.

use std::time::Duration;

/// Longest duration that is accepted: a week.
const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Parses `10s`, `1.5s`, `250ms`, `20us`, `2m`, `1h`; a bare number is an error, because nobody knows its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err(format!("`{text}` has no unit; write for example `{text}s` or `{text}ms`")),
        other => return Err(format!("unknown unit `{other}` in `{text}`; use ns, us, ms, s, m or h")),
    };
    let value: f64 =
        number.parse().map_err(|_| format!("`{text}` is not a duration such as 10s or 250ms"))?;
    let parsed =
        Duration::try_from_secs_f64(value * scale).map_err(|_| format!("`{text}` is out of range"))?;
    if parsed > DURATION_MAX {
        return Err(format!("`{text}` is longer than a week"));
    }
    Ok(parsed)
}

/// Parses a number of bytes: `128`, `64KiB`, `1MiB`, `2kB`, `1MB`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let scale: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => {
            return Err(format!("unknown unit `{other}` in `{text}`; use B, kB, KiB, MB, MiB, GB or GiB"));
        }
    };
    let value: u64 = number.parse().map_err(|_| format!("`{text}` is not a size such as 128 or 64KiB"))?;
    value
        .checked_mul(scale)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| *bytes <= 1 << 32)
        .ok_or_else(|| format!("`{text}` is more than 4 GiB"))
}

/// Arrivals a second, constant (`from` = `to`) or ramped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Arrivals a second at the start.
    pub(crate) from: f64,
    /// Arrivals a second once the ramp has ended.
    pub(crate) to: f64,
}

/// Parses `5000`, `5k` or `1000..20000`.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let one = |part: &str| -> Result<f64, String> {
        let (number, unit) = split_unit(part);
        let scale = match unit {
            "" | "/s" => 1.0,
            "k" => 1e3,
            other => return Err(format!("unknown unit `{other}` in rate `{text}`; write requests a second")),
        };
        let value: f64 =
            number.parse().map_err(|_| format!("`{part}` is not a number of requests a second"))?;
        let scaled = value * scale;
        if scaled > 0.0 && scaled <= 1e7 {
            Ok(scaled)
        } else {
            Err(format!("rate `{part}` must be above 0 and at most 10,000,000 a second"))
        }
    };
    match text.split_once("..") {
        Some((from, to)) => Ok(Rate { from: one(from)?, to: one(to)? }),
        None => one(text).map(|rate| Rate { from: rate, to: rate }),
    }
}

/// Parses a list of cores: `1`, `0,2`, `4-7`.
pub(crate) fn cores(text: &str) -> Result<Vec<usize>, String> {
    const CORES_MAX: usize = 1024;
    let mut list = Vec::new();
    for part in text.split(',') {
        let number = |digits: &str| {
            digits.trim().parse::<usize>().map_err(|_| format!("`{part}` is not a core number or range"))
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last || last >= CORES_MAX {
            return Err(format!("`{part}` is not a range of cores"));
        }
        list.extend(first..=last);
    }
    Ok(list)
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("10s", Some(Duration::from_secs(10))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("250ms", Some(Duration::from_millis(250))),
            ("20us", Some(Duration::from_micros(20))),
            ("2m", Some(Duration::from_secs(120))),
            ("7", None),
            ("7days", None),
            ("", None),
            ("1.2.3s", None),
            ("200h", None),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("128", Some(128)),
            ("64KiB", Some(65536)),
            ("2kB", Some(2000)),
            ("4GiB", Some(1 << 32)),
            ("5GiB", None),
            ("1.5MiB", None),
            ("x", None),
            ("1XB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn rates() {
        for (text, expected) in [
            ("5000", Some((5000.0, 5000.0))),
            ("5k", Some((5000.0, 5000.0))),
            ("1000..20000", Some((1000.0, 20000.0))),
            ("0", None),
            ("-1", None),
            ("1e3", None),
            ("10..", None),
            ("20000000", None),
        ] {
            assert_eq!(rate(text).ok().map(|r| (r.from, r.to)), expected, "{text}");
        }
    }

    #[test]
    fn core_lists() {
        for (text, expected) in [
            ("1", Some(vec![1])),
            ("0,2", Some(vec![0, 2])),
            ("4-6", Some(vec![4, 5, 6])),
            ("6-4", None),
            ("a", None),
            ("0-99999", None),
        ] {
            assert_eq!(cores(text).ok(), expected, "{text}");
        }
    }
}
