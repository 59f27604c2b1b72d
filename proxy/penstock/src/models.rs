//! `penstock models`: what models there are, what they can do and what they cost, by the catalogue.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use penstock_ai::catalogue::{Capability, Catalogue, Dimension, FemtoUsd, Mode, Price, Row, Service, Slot};
use penstock_dataplane::sys::wall_ns;
use serde_json::json;

use crate::args::ModelsArgs;
use crate::commands::{fail, print};

/// 10^-15 USD a token in USD a million tokens.
const FEMTO_PER_MILLION: u64 = 1_000_000_000;

/// `penstock models`.
pub(crate) fn models(args: &ModelsArgs) -> ExitCode {
    match listed(args) {
        Ok(text) => print(&text),
        Err(error) => fail(&error),
    }
}

/// The catalogue of a file, or the one that the program brings along.
///
/// # Errors
/// A file that cannot be read or is no catalogue.
pub(crate) fn catalogue(file: Option<&Path>) -> anyhow::Result<Catalogue> {
    let Some(file) = file else { return Ok(Catalogue::bundled()?) };
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Catalogue::read(&bytes).with_context(|| file.display().to_string())
}

fn listed(args: &ModelsArgs) -> anyhow::Result<String> {
    let catalogue = catalogue(args.file.as_deref())?;
    let now = wall_ns() / 1_000_000_000;
    if args.stats {
        return Ok(stats(&catalogue, now, args.json));
    }
    let query = args.search.join(" ");
    let hits = catalogue.search(&query, usize::MAX);
    let of_provider = |row: &&Row| args.provider.as_deref().is_none_or(|provider| row.provider() == provider);
    let rows: Vec<&Row> = hits.iter().map(|hit| hit.row).filter(of_provider).collect();
    anyhow::ensure!(
        !rows.is_empty(),
        "no model fits; fewer words find more, `penstock models --stats` tells what there is"
    );
    let shown = &rows[..rows.len().min(args.limit)];
    if args.json {
        return Ok(shown.iter().map(|row| format!("{}\n", as_json(row, now))).collect());
    }
    let mut text = table(shown, now);
    if rows.len() > shown.len() {
        let more = rows.len() - shown.len();
        text.push_str(&format!("{more} more; --limit {} shows them\n", rows.len()));
    }
    Ok(text)
}

/// Standard prices of a row: input, output and what is read from a cache, in USD a million tokens.
fn prices(row: &Row, now: u64) -> [Option<String>; 3] {
    let price = row.price_at(now);
    [Dimension::Input, Dimension::Output, Dimension::CachedRead]
        .map(|dimension| price.and_then(|price| rate(price, dimension)))
}

fn rate(price: &Price, dimension: Dimension) -> Option<String> {
    price.rate(Slot { service: Service::Standard, dimension }, 0).ok().map(per_million)
}

/// USD a million tokens, without zeros at its end.
fn per_million(rate: FemtoUsd) -> String {
    let (whole, fraction) = (rate.0 / FEMTO_PER_MILLION, rate.0 % FEMTO_PER_MILLION);
    let text = format!("{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn table(rows: &[&Row], now: u64) -> String {
    let head = ["MODEL", "MODE", "CONTEXT", "OUTPUT", "IN $/M", "OUT $/M", "CACHED", "CAN"];
    let mut lines = vec![head.map(str::to_owned)];
    for row in rows {
        let tokens = |count: Option<u64>| count.map_or_else(|| "-".into(), short);
        let [input, output, cached] = prices(row, now).map(|price| price.unwrap_or_else(|| "-".into()));
        let can: Vec<&str> =
            CAN.iter().filter(|(what, _)| row.can(*what) == Some(true)).map(|(_, word)| *word).collect();
        let region = if row.region().is_empty() { String::new() } else { format!(" ({})", row.region()) };
        let deprecated = if row.is_deprecated() { " deprecated" } else { "" };
        lines.push([
            format!("{}/{}{region}{deprecated}", row.provider(), row.model()),
            row.mode().name().to_owned(),
            tokens(row.context_tokens()),
            tokens(row.output_tokens_max()),
            input,
            output,
            cached,
            can.join(" "),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // Numbers stand at the right.
            match column {
                2..=6 => write!(shown, "{gap}{cell:>width$}"),
                _ => write!(shown, "{gap}{cell:<width$}"),
            }
            .expect("a string takes all");
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// What the table tells of a model's abilities.
const CAN: [(Capability, &str); 4] = [
    (Capability::Tools, "tools"),
    (Capability::StructuredOutput, "schema"),
    (Capability::Vision, "vision"),
    (Capability::Reasoning, "reasoning"),
];

/// A count of tokens in thousands or millions, where it is a round one.
fn short(count: u64) -> String {
    match count {
        _ if count >= 1_000_000 && count.is_multiple_of(100_000) => {
            format!("{}.{}M", count / 1_000_000, count % 1_000_000 / 100_000).replace(".0M", "M")
        }
        _ if count >= 1000 && count.is_multiple_of(1000) => format!("{}k", count / 1000),
        _ => count.to_string(),
    }
}

fn as_json(row: &Row, now: u64) -> serde_json::Value {
    let [input, output, cached_read] = prices(row, now);
    let can: Vec<&str> =
        Capability::ALL.iter().filter(|what| row.can(**what) == Some(true)).map(|what| what.name()).collect();
    json!({
        "provider": row.provider(),
        "model": row.model(),
        "region": row.region(),
        "maker": row.maker(),
        "name": row.name(),
        "mode": row.mode().name(),
        "context_tokens": row.context_tokens(),
        "output_tokens_max": row.output_tokens_max(),
        "usd_per_million": { "input": input, "output": output, "cached_read": cached_read },
        "capabilities": can,
        "deprecated": row.is_deprecated(),
        "retires": row.retires(),
    })
}

/// Counts over the catalogue. A model counts if it has a price that is not zero, and once however many providers have it.
fn stats(catalogue: &Catalogue, now: u64, as_json: bool) -> String {
    let rows = catalogue.rows();
    let is_priced = |row: &&Row| row.price_at(now).is_some_and(|price| !price.is_free());
    let chat = rows.iter().filter(|row| row.mode() == Mode::Chat).filter(is_priced);
    let models: BTreeSet<(&str, &str)> = chat.filter_map(|row| Some((row.maker()?, row.name()))).collect();
    let makers: BTreeSet<&str> = models.iter().map(|(maker, _)| *maker).collect();
    let providers: BTreeSet<&str> = rows.iter().map(Row::provider).collect();
    let priced = rows.iter().filter(is_priced).count();
    if as_json {
        let counts = json!({
            "rows": rows.len(), "priced_rows": priced, "providers": providers.len(), "chat_makers": makers.len(),
            "chat_models": models.len(),
        });
        return format!("{counts}\n");
    }
    format!(
        "{} rows, {priced} with a price that is not zero\n{} providers\n{} chat models of {} makers with such a price, each counted once\n",
        rows.len(),
        providers.len(),
        models.len(),
        makers.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(search: &[&str]) -> ModelsArgs {
        let search = search.iter().map(|&word| word.to_owned()).collect();
        ModelsArgs { search, provider: None, limit: 20, stats: false, json: false, file: None }
    }

    #[test]
    fn prices_are_told_as_providers_write_them() {
        for (femto, text) in [
            (3_000_000_000, "3"),
            (150_000_000, "0.15"),
            (1, "0.000000001"),
            (0, "0"),
            (10_000_000_000, "10"),
        ] {
            assert_eq!(per_million(FemtoUsd(femto)), text);
        }
    }

    #[test]
    fn counts_of_tokens_are_short_where_they_are_round() {
        for (count, text) in
            [(128_000, "128k"), (1_000_000, "1M"), (1_500_000, "1.5M"), (1_048_576, "1048576"), (500, "500")]
        {
            assert_eq!(short(count), text);
        }
    }

    #[test]
    fn a_model_is_found_with_its_price_and_its_abilities() {
        let text =
            listed(&ModelsArgs { provider: Some("openai".into()), ..args(&["gpt-4.1-mini"]) }).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.starts_with("openai/gpt-4.1-mini ") && line.contains("0.4") && line.contains("tools"),
            "{text}"
        );
        assert!(text.lines().next().unwrap().contains("OUT $/M"));
    }

    #[test]
    fn what_does_not_fit_is_told_and_so_is_what_is_left_out() {
        assert!(
            listed(&args(&["no-such-model-anywhere"])).unwrap_err().to_string().contains("no model fits")
        );
        let text = listed(&ModelsArgs { limit: 3, ..args(&["claude"]) }).unwrap();
        assert_eq!(text.lines().count(), 5);
        assert!(text.lines().last().unwrap().contains(" more; --limit "));
    }

    #[test]
    fn there_are_more_than_a_thousand_chat_models() {
        let counts: serde_json::Value =
            serde_json::from_str(&listed(&ModelsArgs { stats: true, json: true, ..args(&[]) }).unwrap())
                .unwrap();
        assert!(counts["chat_models"].as_u64() > Some(1000), "{counts}");
    }
}
