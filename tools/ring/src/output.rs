//! How things are printed: calls as a line for people, JSON or CSV; rows as a table or CSV.

use std::io::Write;

use anyhow::Result;
use penstock_analytics::{Call, FIELDS, Field};
use penstock_ring::Slot;
use serde_json::Value;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One JSON object a line
    Json,
    /// Comma-separated, RFC 4180, with a head line
    Csv,
}

/// One call as one line, without its line end.
pub(crate) fn call_line(format: Format, call: &Call<'_>) -> Result<String> {
    Ok(match format {
        Format::Human => human(call),
        Format::Json => serde_json::to_string(call)?,
        Format::Csv => {
            FIELDS.iter().map(|name| csv_cell(&plain(&call.field(name)))).collect::<Vec<_>>().join(",")
        }
    })
}

/// What comes before the first call.
pub(crate) fn call_head(format: Format) -> Option<String> {
    (format == Format::Csv).then(|| FIELDS.join(","))
}

/// A field as bare text; nested ones as JSON.
pub(crate) fn plain(field: &Field<'_>) -> String {
    match field {
        Field::Absent => String::new(),
        Field::Number(number) => number.to_string(),
        Field::Fraction(number) => number.to_string(),
        Field::Text(text) => text.to_string(),
        Field::Nested(value) => value.to_string(),
    }
}

fn csv_cell(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn human(call: &Call<'_>) -> String {
    let show = |name| printable(&plain(&call.field(name)));
    let or_dash = |name| Some(show(name)).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into());
    let mut line = format!(
        "{} {:>3} {:<6} {}{} {:>9}",
        show("time"),
        or_dash("status"),
        or_dash("method"),
        show("host"),
        or_dash("path"),
        duration(call.view.record.duration_us),
    );
    for name in ["route", "app", "code", "target", "retries", "request_id"] {
        let value = show(name);
        if !value.is_empty() && (name, value.as_str()) != ("retries", "0") {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    if let Some(ai) = call.view.ai() {
        let of = |slot| printable(&String::from_utf8_lossy(call.view.string(slot)));
        let (mut input, mut output) = (0, 0);
        for tokens in ai.attempts().iter().map(|attempt| attempt.tokens).chain([ai.head.rest_tokens]) {
            input += u64::from(tokens.input) + u64::from(tokens.cached_read) + u64::from(tokens.cache_write);
            output += u64::from(tokens.output);
        }
        line.push_str(&format!(" model={} tokens={input}+{output}", of(Slot::ModelAsked)));
        line.push_str(&format!(" cost=${}", usd(ai.head.cost_nanodollars)));
    }
    line
}

/// USD with nine decimals, less the zeros at its end.
fn usd(nano: i64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano.unsigned_abs() % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text from a caller with control characters made visible, so that it cannot drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped: Vec<char> =
                if character.is_control() { character.escape_default().collect() } else { vec![character] };
            escaped
        })
        .collect()
}

/// A duration with a unit that fits it.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{:.2}ms", us as f64 / 1e3),
        _ => format!("{:.2}s", us as f64 / 1e6),
    }
}

/// Bytes with a unit that fits them.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count}B"),
        1024..1_048_576 => format!("{:.1}KiB", count as f64 / 1024.0),
        _ => format!("{:.1}MiB", count as f64 / 1_048_576.0),
    }
}

/// Prints rows of named values: a table, an object a line, or CSV.
pub(crate) fn rows(out: &mut impl Write, format: Format, names: &[&str], rows: &[Vec<Value>]) -> Result<()> {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match format {
        Format::Json => {
            for row in rows {
                let pairs: Vec<String> = names
                    .iter()
                    .zip(row)
                    .map(|(name, value)| format!("{}:{value}", Value::from(*name)))
                    .collect();
                writeln!(out, "{{{}}}", pairs.join(","))?;
            }
        }
        Format::Csv => {
            writeln!(out, "{}", names.join(","))?;
            for row in rows {
                let cells: Vec<String> = row.iter().map(|value| csv_cell(&cell(value))).collect();
                writeln!(out, "{}", cells.join(","))?;
            }
        }
        Format::Human => {
            let mut lines: Vec<Vec<String>> = vec![names.iter().map(|name| name.to_string()).collect()];
            lines.extend(rows.iter().map(|row| row.iter().map(|value| printable(&cell(value))).collect()));
            let widths: Vec<usize> = (0..names.len())
                .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
                .collect();
            for line in &lines {
                let cells: Vec<String> =
                    line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
                writeln!(out, "{}", cells.join("  ").trim_end())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_csv_needs_it_and_terminals_are_safe() {
        assert_eq!(csv_cell("plain"), "plain");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
    }

    #[test]
    fn units_fit() {
        for (us, text) in [(0, "0us"), (999, "999us"), (1_500, "1.50ms"), (2_000_000, "2.00s")] {
            assert_eq!(duration(us), text);
        }
        for (count, text) in [(1023, "1023B"), (2048, "2.0KiB"), (64 << 20, "64.0MiB")] {
            assert_eq!(bytes(count), text);
        }
    }
}
