//! The command line. Part of the contract (docs/contract.md): what stands here is scripted against.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use penstock_store::ledger::report::By;

/// How long a drain may take where nothing is said, in seconds.
pub(crate) const DRAIN_SECONDS_DEFAULT: u64 = 30;

/// Models that `penstock models` shows where nothing is said.
pub(crate) const MODELS_SHOWN_DEFAULT: usize = 30;

/// An API gateway for bare metal and VMs. Without a command: serves ./penstock.yaml, or a demo if there is none.
#[derive(Debug, Parser)]
#[command(name = "penstock", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves a configuration until it is drained.
    Run(RunArgs),
    /// Checks a configuration; every error on a line of its own. Exit 1 if there is one.
    Check(CheckArgs),
    /// Writes a commented configuration to begin with.
    Init(InitArgs),
    /// Prints the JSON Schema of the configuration, for editors.
    Schema,
    /// Makes a running gateway read its configuration anew.
    Reload(Place),
    /// Lets a running gateway finish what is under way and end.
    Drain(Place),
    /// Prints how a running gateway does, as JSON.
    Status(Place),
    /// Lists the models that the catalogue knows, with their abilities and prices.
    Models(ModelsArgs),
    /// Tells what was spent, by the ledger; corrects it by what providers bill.
    Cost(Box<CostArgs>),
    /// Things to do with credentials.
    #[command(subcommand)]
    Credential(CredentialCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Prints the keyed hash of a key that is read from standard input, to stand in a configuration.
    Hash(HashArgs),
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct RunArgs {
    /// A file, several, or a folder; without it ./penstock.yaml if it is there, else a demo.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Takes changes of the files by itself, once they are quiet for 500 ms.
    #[arg(long)]
    pub watch: bool,
    /// How the workers do I/O: io_uring where it works, or one of the two.
    #[arg(long, value_enum, default_value_t)]
    pub driver: DriverChoice,
    /// How long calls that are under way may take to end when the gateway is told to.
    #[arg(long, value_name = "SECONDS", default_value_t = DRAIN_SECONDS_DEFAULT)]
    pub drain_seconds: u64,
}

impl Default for RunArgs {
    fn default() -> Self {
        Self {
            config: Vec::new(),
            watch: false,
            driver: DriverChoice::Auto,
            drain_seconds: DRAIN_SECONDS_DEFAULT,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DriverChoice {
    /// io_uring where it works, else epoll.
    #[default]
    Auto,
    /// io_uring, or no start.
    #[value(name = "io_uring")]
    IoUring,
    /// epoll.
    Epoll,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ModelsArgs {
    /// Words that a model's name, maker, provider or abilities must have.
    #[arg(value_name = "SEARCH")]
    pub search: Vec<String>,
    /// Only models of this provider.
    #[arg(long, value_name = "KIND")]
    pub provider: Option<String>,
    /// Models to show at most.
    #[arg(long, value_name = "N", default_value_t = MODELS_SHOWN_DEFAULT)]
    pub limit: usize,
    /// Prints how much the catalogue knows.
    #[arg(long, conflicts_with_all = ["search", "provider", "limit"])]
    pub stats: bool,
    /// Prints JSON, one model a line.
    #[arg(long)]
    pub json: bool,
    /// A catalogue to read instead of the one that the program brings along.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CostArgs {
    #[command(subcommand)]
    pub command: Option<CostCommand>,
    #[command(flatten)]
    pub report: CostReportArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CostCommand {
    /// Settles estimated attempts by a provider's usage export (CSV or JSON lines).
    Reconcile(ReconcileArgs),
    /// Computes settled attempts anew with the prices of a corrected catalogue.
    Rerate(RerateArgs),
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct CostReportArgs {
    /// What a row is for: tenant, team, app, end-user, tag, tag.NAME, service, prompt, model, provider, key, day, state.
    /// Several with commas or several times; without it, one row of all.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub by: Vec<By>,
    /// From this day or hour on (UTC): 2026-11-24 or 2026-11-24T13.
    #[arg(long, value_name = "TIME", value_parser = hour)]
    pub since: Option<i64>,
    /// Before this day or hour.
    #[arg(long, value_name = "TIME", value_parser = hour)]
    pub until: Option<i64>,
    /// Only this tenant.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Only this team.
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,
    /// Only this app.
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
    /// Only this end user.
    #[arg(long, value_name = "NAME")]
    pub end_user: Option<String>,
    /// Only calls with this tag; several: with all of them.
    #[arg(long, value_name = "NAME=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,
    /// Only this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only this prompt.
    #[arg(long, value_name = "NAME")]
    pub prompt: Option<String>,
    /// Only this model.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Only this provider.
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Only this provider key.
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: CostFormat,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CostFormat {
    /// A table for people.
    #[default]
    Table,
    /// CSV with a head.
    Csv,
    /// JSON, one row a line.
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReconcileArgs {
    /// The export: rows with request_id or response_id, and tokens or cost_usd.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A catalogue for rows that say tokens only; without it the one that the program brings along.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// Tells what would change and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RerateArgs {
    /// The corrected catalogue.
    #[arg(long, value_name = "FILE")]
    pub catalogue: PathBuf,
    /// From this day or hour on (UTC): 2026-11-24 or 2026-11-24T13.
    #[arg(long, value_name = "TIME", value_parser = hour)]
    pub since: i64,
    /// Tells what would change and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub place: Place,
}

/// A day, or a day and an hour, in hours since 1970 (UTC).
fn hour(text: &str) -> Result<i64, String> {
    let wrong = || "it is a day (2026-11-24) or an hour (2026-11-24T13), in UTC".to_owned();
    let (day, hour) = text.split_once('T').map_or((text, "00"), |parts| parts);
    let date: jiff::civil::Date = day.parse().map_err(|_| wrong())?;
    let hour: i8 = hour.parse().ok().filter(|_| hour.len() == 2).ok_or_else(wrong)?;
    let time = date.to_datetime(jiff::civil::Time::new(hour, 0, 0, 0).map_err(|_| wrong())?);
    let timestamp = jiff::tz::TimeZone::UTC.to_timestamp(time).map_err(|_| wrong())?;
    Ok(timestamp.as_second().div_euclid(3600))
}

/// A tag's name and value.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is NAME=VALUE".to_owned()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// A file, several, or a folder; without it ./penstock.yaml.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Prints every setting in force and where it stands, defaults included.
    #[arg(long)]
    pub explain: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InitArgs {
    /// The file to write; one that is there is not touched. `-` for standard output.
    #[arg(default_value = "penstock.yaml", value_name = "FILE")]
    pub file: PathBuf,
}

/// Which running gateway.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Place {
    /// Its configuration, which says where its data directory is; without it ./penstock.yaml.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Its data directory.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct HashArgs {
    #[command(flatten)]
    pub place: Place,
    /// Makes a new key instead of reading one, and prints it too.
    #[arg(long)]
    pub generate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_and_hours_of_utc() {
        for (text, hours) in [
            ("1970-01-01", 0),
            ("2026-11-24", 20_781 * 24),
            ("2026-11-24T00", 20_781 * 24),
            ("2026-11-24T23", 20_781 * 24 + 23),
        ] {
            assert_eq!(hour(text), Ok(hours), "{text}");
        }
        for text in
            ["", "2026", "2026-13-01", "2026-11-24T24", "2026-11-24T1", "2026-11-24T", "2026-11-24T13:00"]
        {
            assert!(hour(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_report_takes_several_of_all_and_no_subcommand_beside_them() {
        let args = Args::try_parse_from([
            "penstock",
            "cost",
            "--by",
            "tenant,day",
            "--by",
            "tag.env",
            "--tag",
            "env=prod",
            "--format",
            "csv",
        ]);
        let Ok(Args { command: Some(Command::Cost(args)) }) = args else { panic!("{args:?}") };
        assert_eq!(args.report.by, [By::Tenant, By::Day, By::Tag("env".into())]);
        assert_eq!(args.report.tag, [("env".into(), "prod".into())]);
        assert!(Args::try_parse_from(["penstock", "cost", "--by", "colour"]).is_err());
        assert!(Args::try_parse_from(["penstock", "cost", "--tag", "env"]).is_err());
        assert!(Args::try_parse_from(["penstock", "cost", "--by", "day", "reconcile", "x"]).is_err());
        assert!(Args::try_parse_from(["penstock", "cost", "reconcile", "x", "--dry-run"]).is_ok());
        assert!(Args::try_parse_from(["penstock", "cost", "rerate", "--since", "2026-11-24"]).is_err());
    }
}
