//! `penstock cost`: what was spent, by the ledger; and its corrections. Money is printed from integers.

use std::fmt::Write;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context;
use penstock_dataplane::sys::wall_ns;
use penstock_store::Store;
use penstock_store::ledger::reconcile::{Reconciled, reconcile};
use penstock_store::ledger::report::{By, Query, Report, Row, report};
use penstock_store::ledger::rerate::{Rerated, rerate};
use penstock_store::ledger::{EXPORT_BYTES_MAX, Totals, read_export};
use serde_json::{Map, Value};

use crate::args::{CostArgs, CostCommand, CostFormat, CostReportArgs, ReconcileArgs, RerateArgs};
use crate::commands::{data_dir, fail, print};
use crate::models::catalogue;

const HOUR_NS: u64 = 3_600_000_000_000;
const NANO: u64 = 1_000_000_000;

/// What is printed and what is told beside it.
#[derive(Debug, Default)]
struct Told {
    text: String,
    notes: Vec<String>,
}

/// `penstock cost`.
pub(crate) fn cost(args: &CostArgs) -> ExitCode {
    let told = match &args.command {
        None => spent(&args.report),
        Some(CostCommand::Reconcile(args)) => reconciled(args),
        Some(CostCommand::Rerate(args)) => rerated(args),
    };
    match told {
        Ok(told) => {
            for note in &told.notes {
                // Nobody can be told that stderr does not work.
                let _ = writeln!(io::stderr(), "{note}");
            }
            print(&told.text)
        }
        Err(error) => fail(&error),
    }
}

fn query(args: &CostReportArgs) -> Query {
    let plain = [
        (By::Tenant, &args.tenant),
        (By::Team, &args.team),
        (By::App, &args.app),
        (By::EndUser, &args.end_user),
        (By::Service, &args.service),
        (By::Prompt, &args.prompt),
        (By::Model, &args.model),
        (By::Provider, &args.provider),
        (By::Key, &args.key),
    ];
    let plain = plain.into_iter().filter_map(|(by, value)| Some((by, value.clone()?)));
    let tags = args.tag.iter().map(|(name, value)| (By::Tag(name.clone()), value.clone()));
    Query {
        by: args.by.clone(),
        only: plain.chain(tags).collect(),
        since_hour: args.since,
        until_hour: args.until,
    }
}

fn spent(args: &CostReportArgs) -> anyhow::Result<Told> {
    let query = query(args);
    let found = report(&data_dir(&args.place)?, &query)?;
    let text = match args.format {
        CostFormat::Table => table(&query.by, &found.rows)?,
        CostFormat::Csv => csv(&query.by, &found.rows)?,
        CostFormat::Json => found.rows.iter().map(|row| format!("{}\n", json(&query.by, row))).collect(),
    };
    Ok(Told { text, notes: notes(&found) })
}

/// What a reader of the rows should know beside them.
fn notes(found: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if found.open_attempts > 0 {
        let reserved = usd(i128::from(found.open_nano_usd));
        notes.push(format!(
            "{} attempts are under way and in no row; they have reserved {reserved} USD",
            found.open_attempts
        ));
    }
    let unknown: i64 = found.rows.iter().map(|row| row.all.price_unknown).sum();
    if unknown > 0 {
        notes.push(format!(
            "{unknown} attempts have no known price; `penstock cost rerate` applies one when it is known"
        ));
    }
    notes
}

/// USD with nine decimals.
fn usd(nano: i128) -> String {
    let (whole, fraction) = (nano.unsigned_abs() / u128::from(NANO), nano.unsigned_abs() % u128::from(NANO));
    let sign = if nano < 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction:09}")
}

fn money(totals: &Totals) -> String {
    usd(totals.nano_usd.into())
}

fn table(by: &[By], rows: &[Row]) -> anyhow::Result<String> {
    const NUMBERS: [&str; 6] = ["ATTEMPTS", "INPUT", "CACHED", "OUTPUT", "ESTIMATED", "USD"];
    let head = by.iter().map(|by| by.name().to_uppercase()).chain(NUMBERS.map(str::to_owned));
    let mut lines: Vec<Vec<String>> = vec![head.collect()];
    let mut sum = Row::default();
    for row in rows {
        lines.push(cells(&row.values, row));
        sum.all.add(&row.all)?;
        sum.estimated.add(&row.estimated)?;
    }
    if !by.is_empty() && rows.len() > 1 {
        let mut values = vec![String::new(); by.len()];
        values[0] = "(all)".to_owned();
        lines.push(cells(&values, &sum));
    }
    let columns = by.len() + NUMBERS.len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // Numbers stand at the right.
            let written = if column < by.len() {
                write!(shown, "{gap}{cell:<width$}")
            } else {
                write!(shown, "{gap}{cell:>width$}")
            };
            written.expect("a string takes all");
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    Ok(text)
}

fn cells(values: &[String], row: &Row) -> Vec<String> {
    let name = |value: &String| if value.is_empty() { "-".to_owned() } else { value.clone() };
    let numbers = [
        row.all.attempts.to_string(),
        row.all.input_tokens.to_string(),
        row.all.cached_read_tokens.to_string(),
        row.all.output_tokens.to_string(),
        money(&row.estimated),
        money(&row.all),
    ];
    values.iter().map(name).chain(numbers).collect()
}

/// Numbers of a row with their names, as CSV and JSON have them.
fn members(row: &Row) -> [(&'static str, Value); 18] {
    let all = &row.all;
    [
        ("attempts", all.attempts.into()),
        ("estimated_attempts", row.estimated.attempts.into()),
        ("input_tokens", all.input_tokens.into()),
        ("cached_read_tokens", all.cached_read_tokens.into()),
        ("cache_write_tokens", all.cache_write_tokens.into()),
        ("output_tokens", all.output_tokens.into()),
        ("reasoning_tokens", all.reasoning_tokens.into()),
        ("searches", all.searches.into()),
        ("images", all.images.into()),
        ("characters", all.characters.into()),
        ("duration_ms", all.duration_ms.into()),
        ("pages", all.pages.into()),
        ("over_reservation", all.over_reservation.into()),
        ("model_differs", all.model_differs.into()),
        ("price_unknown", all.price_unknown.into()),
        ("nano_usd", all.nano_usd.into()),
        ("estimated_usd", money(&row.estimated).into()),
        ("usd", money(all).into()),
    ]
}

fn json(by: &[By], row: &Row) -> Value {
    let values = by.iter().map(By::name).zip(row.values.iter().map(|value| Value::from(value.as_str())));
    let numbers = members(row).map(|(name, value)| (name.to_owned(), value));
    Value::Object(values.chain(numbers).collect::<Map<_, _>>())
}

fn csv(by: &[By], rows: &[Row]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = members(&Row::default()).map(|(name, _)| name.to_owned());
    writer.write_record(by.iter().map(By::name).chain(names))?;
    for row in rows {
        let numbers = members(row).map(|(_, value)| match value {
            Value::String(text) => text,
            value => value.to_string(),
        });
        writer.write_record(row.values.iter().cloned().chain(numbers))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn reconciled(args: &ReconcileArgs) -> anyhow::Result<Told> {
    let shown = args.file.display();
    let size = std::fs::metadata(&args.file).with_context(|| format!("cannot read {shown}"))?.len();
    anyhow::ensure!(size <= EXPORT_BYTES_MAX as u64, "{shown}: more than {EXPORT_BYTES_MAX} bytes; split it");
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read {shown}"))?;
    let rows = read_export(&bytes).with_context(|| shown.to_string())?;
    let catalogue = catalogue(args.catalogue.as_deref())?;
    let mut store = Store::open_existing(&data_dir(&args.place)?)?;
    let Reconciled { settled, nano_usd_before, nano_usd_after, left, told } =
        reconcile(&mut store, &rows, &catalogue, wall_ns(), args.dry_run)?;
    let mut notes: Vec<String> =
        told.iter().map(|(line, left)| format!("{shown}:{line}: {}", left.why())).collect();
    let untold = left - told.len() as u64;
    if untold > 0 {
        notes.push(format!("{untold} more rows changed nothing"));
    }
    let would = if args.dry_run { "would be" } else { "are" };
    let text = format!(
        "{settled} estimated attempts {would} settled: booked {} USD, billed {} USD, difference {} USD\n{left} rows changed nothing\n",
        usd(nano_usd_before.into()),
        usd(nano_usd_after.into()),
        usd(i128::from(nano_usd_after) - i128::from(nano_usd_before)),
    );
    Ok(Told { text, notes })
}

fn rerated(args: &RerateArgs) -> anyhow::Result<Told> {
    let catalogue = catalogue(Some(&args.catalogue))?;
    let mut store = Store::open_existing(&data_dir(&args.place)?)?;
    let since_ns = u64::try_from(args.since).unwrap_or(0).saturating_mul(HOUR_NS);
    let Rerated { lines, changed, nano_usd_before, nano_usd_after, unpriced, oldest_ns } =
        rerate(&mut store, &catalogue, since_ns, wall_ns(), args.dry_run)?;
    let mut notes = Vec::new();
    if unpriced > 0 {
        notes.push(format!("{unpriced} attempts have no price in this catalogue and are left as they are"));
    }
    if let Some(oldest) = oldest_ns.filter(|oldest| *oldest > since_ns) {
        let second = i64::try_from(oldest / NANO).unwrap_or(i64::MAX);
        let time =
            jiff::Timestamp::from_second(second).map_or_else(|_| "-".to_owned(), |time| time.to_string());
        notes.push(format!("the oldest attempt that is kept one by one is of {time}; sums before it stay"));
    }
    let would = if args.dry_run { "would cost" } else { "cost" };
    let text = format!(
        "{changed} of {lines} settled attempts {would} something else: before {} USD, now {} USD, difference {} USD\n",
        usd(nano_usd_before.into()),
        usd(nano_usd_after.into()),
        usd(i128::from(nano_usd_after) - i128::from(nano_usd_before)),
    );
    Ok(Told { text, notes })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::Parser;
    use penstock_ai::catalogue::{Billed, NanoUsd};
    use penstock_ai::usage::Usage;
    use penstock_ledger::{Intent, Outcome, Rule, Settlement};
    use penstock_store::ledger::{LedgerOptions, LedgerThread};

    use super::*;
    use crate::args::{Args, Command};

    struct Dir(PathBuf);

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A data directory with a ledger: acme spent 3 USD by one settled attempt and 0.000000001 by an estimated one, globex 0.5.
    fn ledger(name: &str) -> Dir {
        let dir = Dir(std::env::temp_dir().join(format!("penstock-cost-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&dir.0).unwrap();
        let ledger = LedgerThread::start(&dir.0, LedgerOptions::default()).unwrap();
        let mut journal = ledger.journal().unwrap();
        let usage = Usage { input: 1_000_000, cached_read: 10, output: 7, ..Usage::default() };
        for (call, tenant, outcome, nano) in [
            (1u128, "acme", Outcome::Settled, 3_000_000_000),
            (2, "acme", Outcome::Estimated(Rule::COUNTED), 1),
            (3, "globex", Outcome::Settled, 500_000_000),
        ] {
            let intent = Intent {
                request_id: call,
                time_ns: 20_781 * 24 * HOUR_NS,
                tenant,
                tags: "env=prod",
                model: "a",
                provider: "acme",
                provider_kind: "acme",
                reservation: NanoUsd(10_000_000_000),
                ..Intent::default()
            };
            let settlement = Settlement {
                outcome,
                billed: Billed::from(usage),
                response_id: if call == 2 { "r2" } else { "" },
                price: Some(penstock_ai::catalogue::PriceId(1)),
                ..Settlement::estimated(intent.time_ns, Rule::NONE, NanoUsd(nano))
            };
            let entry = journal.intent(&intent).unwrap();
            journal.settle(entry, &settlement);
        }
        drop(journal);
        drop(ledger);
        dir
    }

    fn run(dir: &Path, args: &[&str]) -> anyhow::Result<Told> {
        let place = ["--data-dir", dir.to_str().unwrap()];
        let args = ["penstock", "cost"].iter().chain(args).chain(&place);
        let Some(Command::Cost(args)) = Args::try_parse_from(args)?.command else { panic!("not cost") };
        match &args.command {
            None => spent(&args.report),
            Some(CostCommand::Reconcile(args)) => reconciled(args),
            Some(CostCommand::Rerate(args)) => rerated(args),
        }
    }

    #[test]
    fn money_is_printed_to_the_last_unit() {
        for (nano, text) in [
            (0, "0.000000000"),
            (1, "0.000000001"),
            (1_500_000_000, "1.500000000"),
            (-7, "-0.000000007"),
            (i128::from(i64::MAX), "9223372036.854775807"),
        ] {
            assert_eq!(usd(nano), text);
        }
    }

    #[test]
    fn the_three_forms_tell_the_same() {
        let dir = ledger("forms");
        let text = run(&dir.0, &["--by", "tenant,tag.env"]).unwrap().text;
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[0],
            ["TENANT", "TAG.ENV", "ATTEMPTS", "INPUT", "CACHED", "OUTPUT", "ESTIMATED", "USD"]
        );
        assert_eq!(lines[1], ["acme", "prod", "2", "2000020", "20", "14", "0.000000001", "3.000000001"]);
        assert_eq!(lines[2], ["globex", "prod", "1", "1000010", "10", "7", "0.000000000", "0.500000000"]);
        assert_eq!(lines[3][0], "(all)");
        assert_eq!(lines[3].last(), Some(&"3.500000001"));

        let text = run(&dir.0, &["--by", "tenant", "--format", "csv", "--tenant", "acme"]).unwrap().text;
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("tenant,attempts,estimated_attempts,input_tokens,"));
        let line = lines.next().unwrap();
        assert!(
            line.starts_with("acme,2,1,2000020,20,") && line.ends_with(",3000000001,0.000000001,3.000000001")
        );

        let text = run(&dir.0, &["--by", "day", "--format", "json"]).unwrap().text;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["day"], "2026-11-24");
        assert_eq!((&value["usd"], &value["nano_usd"]), (&"3.500000001".into(), &3_500_000_001u64.into()));

        for (args, attempts) in [
            (&["--since", "2026-11-24", "--until", "2026-11-25"][..], Some(3)),
            (&["--since", "2026-11-24T01"], None),
            (&["--until", "2026-11-24"], None),
            (&["--tag", "env=prod", "--model", "a", "--provider", "acme"], Some(3)),
            (&["--tag", "env=test"], None),
            (&["--end-user", "nobody"], None),
        ] {
            let text = run(&dir.0, &[args, &["--format", "json"]].concat()).unwrap().text;
            let found = text.lines().next().map(|line| serde_json::from_str::<Value>(line).unwrap());
            assert_eq!(found.and_then(|row| row["attempts"].as_u64()), attempts, "{args:?}");
        }
    }

    #[test]
    fn corrections_are_told_tried_and_made() {
        let dir = ledger("corrections");
        let export = dir.0.join("export.csv");
        std::fs::write(&export, "response_id,cost_usd\nr2,0.25\nr9,1\n").unwrap();
        let file = export.to_str().unwrap();
        let told = run(&dir.0, &["reconcile", file, "--dry-run"]).unwrap();
        assert!(told.text.contains("1 estimated attempts would be settled"), "{}", told.text);
        let told = run(&dir.0, &["reconcile", file]).unwrap();
        assert!(
            told.text.contains("booked 0.000000001 USD, billed 0.250000000 USD, difference 0.249999999 USD")
        );
        assert!(told.notes[0].ends_with("export.csv:3: no estimated line has this id"), "{:?}", told.notes);
        let told = run(&dir.0, &["reconcile", file]).unwrap();
        assert!(told.text.starts_with("0 estimated attempts"), "{}", told.text);

        // 2 USD a million: the settled attempts cost 2.000000000 and what ten cached and seven output tokens cost.
        let catalogue = dir.0.join("catalogue.jsonl");
        let line = r#"{"provider":"acme","model":"a","name":"a","mode":"chat","prices":[{"input":"2","output":"3","cached_read":"1"}]}"#;
        std::fs::write(&catalogue, line).unwrap();
        let file = catalogue.to_str().unwrap();
        let args = ["rerate", "--catalogue", file, "--since", "2026-11-24"];
        let told = run(&dir.0, &args).unwrap();
        assert!(
            told.text.starts_with(
                "2 of 3 settled attempts cost something else: before 3.500000000 USD, now 4.000062000 USD"
            ),
            "{}",
            told.text
        );
        assert!(run(&dir.0, &args).unwrap().text.starts_with("0 of 3 "));
        let text = run(&dir.0, &["--format", "json"]).unwrap().text;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["usd"], &value["estimated_usd"]), (&"4.250062000".into(), &"0.000000000".into()));
    }

    #[test]
    fn a_folder_without_a_ledger_is_told() {
        let error = run(&std::env::temp_dir().join("no-such-ledger"), &[]).unwrap_err().to_string();
        assert!(error.contains("no gateway has written a ledger"), "{error}");
    }
}
