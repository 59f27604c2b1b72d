//! The command line. Part of the contract (docs/contract.md): what stands here is scripted against.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

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
