//! A provider's usage export: CSV with a head, or JSON lines.
//!
//! Names of columns say how tokens are counted: `input_tokens` and its neighbours count each token once, `prompt_tokens` and
//! `completion_tokens` count cached and reasoning tokens, too, as OpenAI and its kin do.

use std::collections::BTreeMap;

use penstock_ai::catalogue::NanoUsd;
use penstock_ai::usage::Usage;
use penstock_ledger::{AMOUNT_MAX, TEXT_BYTES_MAX};

/// Bytes of an export that is read.
pub const EXPORT_BYTES_MAX: usize = 256 << 20;
/// Rows of an export that is read.
pub const EXPORT_ROWS_MAX: usize = 2_000_000;

/// What a provider says of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportRow {
    /// Its line in the file, from 1.
    pub line: u64,
    /// The gateway's id of the request.
    pub request_id: Option<u128>,
    /// Which attempt of the request.
    pub attempt: Option<u16>,
    /// The provider's id of its answer.
    pub response_id: Option<String>,
    /// The model that is billed.
    pub model: Option<String>,
    /// What was used.
    pub usage: Option<Usage>,
    /// What is billed.
    pub cost: Option<NanoUsd>,
}

/// Why an export is not taken. Nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Too large.
    #[error("the export has more than {EXPORT_BYTES_MAX} bytes or {EXPORT_ROWS_MAX} rows; split it")]
    TooLarge,
    /// A line is wrong.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// Why.
        why: String,
    },
}

/// Names of the columns that are known; others are passed over.
const RESPONSE_IDS: [&str; 3] = ["response_id", "generation_id", "id"];
const COSTS: [&str; 3] = ["cost_usd", "cost", "usd"];

/// Reads an export. What begins with `{` is JSON lines, all else CSV.
///
/// # Errors
/// The first line that cannot be understood; every row names an attempt and says tokens or a cost.
pub fn read_export(bytes: &[u8]) -> Result<Vec<ExportRow>, ExportError> {
    if bytes.len() > EXPORT_BYTES_MAX {
        return Err(ExportError::TooLarge);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let is_json = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let mut rows = Vec::new();
    let mut take = |line: u64, members: BTreeMap<String, String>| {
        if rows.len() == EXPORT_ROWS_MAX {
            return Err(ExportError::TooLarge);
        }
        rows.push(row(line, &members).map_err(|why| ExportError::Line { line, why })?);
        Ok(())
    };
    if is_json {
        json_lines(text, &mut take)?
    } else {
        csv_lines(text, &mut take)?
    }
    Ok(rows)
}

type Take<'a> = &'a mut dyn FnMut(u64, BTreeMap<String, String>) -> Result<(), ExportError>;

fn json_lines(text: &[u8], take: Take<'_>) -> Result<(), ExportError> {
    for (line, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let members: BTreeMap<String, serde_json::Value> = serde_json::from_slice(text)
            .map_err(|error| ExportError::Line { line, why: format!("not a JSON object: {error}") })?;
        let plain = members.into_iter().filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            serde_json::Value::Number(number) => Some((name, number.to_string())),
            _ => None,
        });
        take(line, plain.collect())?;
    }
    Ok(())
}

fn csv_lines(text: &[u8], take: Take<'_>) -> Result<(), ExportError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        ExportError::Line { line, why: error.to_string() }
    };
    let head: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_ascii_lowercase).collect();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = record.position().map_or(1, csv::Position::line);
        let members = head.iter().cloned().zip(record.iter().map(str::to_owned));
        take(line, members.collect())?;
    }
    Ok(())
}

fn row(line: u64, members: &BTreeMap<String, String>) -> Result<ExportRow, String> {
    let text = |name: &str| members.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let bounded = |name: &str| match text(name) {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            Err(format!("{name} is longer than {TEXT_BYTES_MAX} bytes"))
        }
        text => Ok(text.map(str::to_owned)),
    };
    let mut response_id = None;
    for name in RESPONSE_IDS {
        response_id = response_id.or(bounded(name)?);
    }
    let request_id = text("request_id").map(request_id).transpose()?;
    if request_id.is_none() && response_id.is_none() {
        return Err("no request_id and no response_id".to_owned());
    }
    let attempt = match text("attempt") {
        Some(text) => Some(text.parse().map_err(|_| format!("attempt {text:?} is no number"))?),
        None => None,
    };
    let cost = COSTS.iter().find_map(|name| text(name)).map(usd).transpose()?;
    let usage = usage(&text)?;
    if cost.is_none() && usage.is_none() {
        return Err("neither tokens nor a cost".to_owned());
    }
    Ok(ExportRow { line, request_id, attempt, response_id, model: bounded("model")?, usage, cost })
}

/// 32 hex digits, also with the dashes of a UUID.
fn request_id(text: &str) -> Result<u128, String> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    let is_id = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = is_id.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
    id.ok_or_else(|| format!("request_id {text:?} is not 32 hex digits"))
}

fn usage<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<Usage>, String> {
    let count = |name: &str| match text(name) {
        Some(text) => text.parse().map(Some).map_err(|_| format!("{name} {text:?} is no count")),
        None => Ok(None),
    };
    let (prompt, completion) = (count("prompt_tokens")?, count("completion_tokens")?);
    let (input, output) = (count("input_tokens")?, count("output_tokens")?);
    let cached_read = match count("cached_read_tokens")? {
        Some(count) => count,
        None => count("cached_tokens")?.unwrap_or(0),
    };
    let reasoning = count("reasoning_tokens")?.unwrap_or(0);
    if [prompt, completion, input, output].iter().all(Option::is_none) {
        return Ok(None);
    }
    if (prompt.is_some() && input.is_some()) || (completion.is_some() && output.is_some()) {
        return Err("tokens are counted in two ways: input_tokens or prompt_tokens, output_tokens or completion_tokens".to_owned());
    }
    let part = |whole: u64, part: u64, name: &str| {
        whole.checked_sub(part).ok_or_else(|| format!("{name} are fewer than those that they count"))
    };
    Ok(Some(Usage {
        input: match prompt {
            Some(prompt) => part(prompt, cached_read, "prompt_tokens")?,
            None => input.unwrap_or(0),
        },
        output: match completion {
            Some(completion) => part(completion, reasoning, "completion_tokens")?,
            None => output.unwrap_or(0),
        },
        cached_read,
        reasoning,
        cache_write: count("cache_write_tokens")?.unwrap_or(0),
        cache_write_1h: count("cache_write_1h_tokens")?.unwrap_or(0),
        audio_input: count("audio_input_tokens")?.unwrap_or(0),
        audio_output: count("audio_output_tokens")?.unwrap_or(0),
        searches: count("searches")?.unwrap_or(0),
    }))
}

/// Most digits of an amount.
const DIGITS_MAX: usize = 30;

/// An amount of USD as plain decimal text, also with an exponent, rounded up to 10^-9.
fn usd(text: &str) -> Result<NanoUsd, String> {
    exact_usd(text)
        .filter(|cost| *cost <= AMOUNT_MAX)
        .ok_or_else(|| format!("cost {text:?} is not an amount of USD from 0 to a million"))
}

fn exact_usd(text: &str) -> Option<NanoUsd> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || digits().count() > DIGITS_MAX || !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits().fold(0u128, |value, digit| value * 10 + u128::from(digit - b'0'));
    let shift = 9i32.checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10u128.checked_pow(shift.unsigned_abs());
    let nano = match (shift >= 0, power) {
        (true, Some(power)) => value.checked_mul(power)?,
        (true, None) => return (value == 0).then_some(NanoUsd(0)),
        (false, Some(power)) => value.div_ceil(power),
        (false, None) => u128::from(value > 0),
    };
    u64::try_from(nano).ok().map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_rounded_up() {
        for (text, nano) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("0.000000001", 1),
            ("0.0000000001", 1),
            ("0.0000000010", 1),
            ("0.00000000100000000001", 2),
            ("12.5", 12_500_000_000),
            ("1.2e-5", 12_000),
            ("1E2", 100_000_000_000),
            ("0e99", 0),
            ("1e-99", 1),
            ("1000000", AMOUNT_MAX.0),
        ] {
            assert_eq!(usd(text), Ok(NanoUsd(nano)), "{text}");
        }
        for text in
            ["", "-1", "+1", ".5", "1,5", "$1", "1e", "1e1.5", "NaN", "1000000.1", "1e99", &"9".repeat(31)]
        {
            assert!(usd(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let id = "000102030405060708090a0b0c0d0e0f";
        let csv = format!(
            "\u{feff}Request_ID,attempt,response_id,model,prompt_tokens,completion_tokens,cached_tokens,cost_usd,note\n\
             {id},1,\"r,1\",gpt,100,20,40,0.25,x\n,,r2,,,,,1,\n"
        );
        let json = format!(
            "{{\"request_id\":\"{id}\",\"attempt\":1,\"response_id\":\"r,1\",\"model\":\"gpt\",\"prompt_tokens\":100,\
             \"completion_tokens\":20,\"cached_tokens\":40,\"cost_usd\":0.25,\"more\":[1]}}\n{{\"id\":\"r2\",\"cost\":\"1\"}}\n"
        );
        let rows = read_export(csv.as_bytes()).unwrap();
        assert_eq!(
            rows[0],
            ExportRow {
                line: 2,
                request_id: Some(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
                attempt: Some(1),
                response_id: Some("r,1".into()),
                model: Some("gpt".into()),
                usage: Some(Usage { input: 60, cached_read: 40, output: 20, ..Usage::default() }),
                cost: Some(NanoUsd(250_000_000)),
            }
        );
        let by_json = read_export(json.as_bytes()).unwrap();
        for (from_csv, from_json) in rows.iter().zip(by_json) {
            assert_eq!(ExportRow { line: from_csv.line, ..from_json }, *from_csv);
        }
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn each_token_is_in_one_column_of_its_own() {
        let text = "response_id,input_tokens,cached_read_tokens,cache_write_tokens,cache_write_1h_tokens,output_tokens,reasoning_tokens,audio_input_tokens,audio_output_tokens,searches\na,1,2,3,4,5,6,7,8,9\n";
        let usage = Usage {
            input: 1,
            cached_read: 2,
            cache_write: 3,
            cache_write_1h: 4,
            output: 5,
            reasoning: 6,
            audio_input: 7,
            audio_output: 8,
            searches: 9,
        };
        assert_eq!(read_export(text.as_bytes()).unwrap()[0].usage, Some(usage));
    }

    #[test]
    fn what_cannot_be_understood_is_told_with_its_line() {
        for (text, line, told) in [
            ("model,cost\ngpt,1\n", 2, "no request_id"),
            ("response_id,model\na,gpt\n", 2, "neither tokens nor a cost"),
            ("response_id,cost\na,1\nb,x\n", 3, "cost \"x\""),
            ("request_id,cost\nabc,1\n", 2, "32 hex digits"),
            ("response_id,attempt,cost\na,x,1\n", 2, "attempt"),
            ("response_id,cost\na\n", 2, "fields"),
            ("response_id,prompt_tokens,cached_tokens\na,1,2\n", 2, "prompt_tokens are fewer"),
            ("response_id,prompt_tokens,input_tokens\na,1,2\n", 2, "two ways"),
            ("response_id,input_tokens\na,-1\n", 2, "no count"),
            ("{\"id\":\"a\",\"cost\":1}\n[]\n", 2, "not a JSON object"),
        ] {
            match read_export(text.as_bytes()) {
                Err(ExportError::Line { line: found, why }) => {
                    assert!(found == line && why.contains(told), "{text:?}: line {found}: {why}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
        let long = format!("response_id,cost\n{},1\n", "x".repeat(TEXT_BYTES_MAX + 1));
        assert!(read_export(long.as_bytes()).unwrap_err().to_string().contains("longer than"));
    }
}
