//! Options of `penstock-bench load`, as typed; checks that need more than one option stand in `plan`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::driver::DriverChoice;
use crate::units::{self, Rate};

/// Loads an HTTP/1.1 address and measures its answers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  penstock-bench load http://127.0.0.1:8080/ -c 64 -d 10s
  penstock-bench load http://127.0.0.1:8080/ -c 256 --rate 1000..20000 --ramp 30s -d 60s --json run.json
  penstock-bench load http://127.0.0.1:8080/ -n 100000 --per-connection 1
  penstock-bench load http://127.0.0.1:8080/ --mix requests.jsonl --keys keys.txt --key-header x-api-key

Closed loop (no --rate): each connection sends its next request when the last is answered. Open loop (--rate):
requests start at planned times whatever the answers do, and latency counts from the planned start, so a stalled
server is charged for the requests that it kept waiting. Use at least rate x expected latency connections.

A mix is a file of JSON lines: {\"method\":\"POST\",\"path\":\"/x\",\"headers\":{\"a\":\"b\"},\"body\":\"text\",\"weight\":3}
(also body_size, body_file, chunked: bytes a chunk). The name of the host and the length are added.

Exit: 0 the run was done, 1 it could not be done, 3 with --check if any request failed or got 4xx or 5xx.")]
pub(crate) struct LoadArgs {
    /// Address and path, as http://127.0.0.1:8080/path
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Method
    #[arg(short = 'X', long, default_value = "GET")]
    pub(crate) method: String,
    /// Header field as "name: value", may be repeated
    #[arg(short = 'H', long = "header")]
    pub(crate) headers: Vec<String>,
    /// Body: this text
    #[arg(long, group = "body_source")]
    pub(crate) body: Option<String>,
    /// Body: this many bytes
    #[arg(long, group = "body_source", value_parser = units::size)]
    pub(crate) body_size: Option<usize>,
    /// Body: the content of this file
    #[arg(long, group = "body_source")]
    pub(crate) body_file: Option<PathBuf>,
    /// Send bodies in chunks of this size instead of with a length
    #[arg(long, value_parser = units::size)]
    pub(crate) chunked: Option<usize>,
    /// Draw requests from this file of JSON lines (see below)
    #[arg(long, conflicts_with_all = ["body", "body_size", "body_file", "method"])]
    pub(crate) mix: Option<PathBuf>,
    /// File with one value a line; each request carries one, drawn at random
    #[arg(long)]
    pub(crate) keys: Option<PathBuf>,
    /// Header that carries the value of --keys
    #[arg(long, default_value = "x-api-key")]
    pub(crate) key_header: String,
}

/// What every kind of load can be told.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Connections over all threads
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// Generator threads
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Measured time of a round [default: 10s, or no end with --requests]
    #[arg(short, long, value_parser = units::duration)]
    pub(crate) duration: Option<Duration>,
    /// End a round after this many requests
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Time before the measured part whose answers are left out
    #[arg(short, long, default_value = "0s", value_parser = units::duration)]
    pub(crate) warmup: Duration,
    /// Rounds; `compare` draws its intervals from them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    /// Open loop: requests a second over all threads, constant (5000) or ramped (1000..20000)
    #[arg(short, long, value_parser = units::rate)]
    pub(crate) rate: Option<Rate>,
    /// Time in which a ramped rate goes from its first to its last value [default: the whole round]
    #[arg(long, value_parser = units::duration, requires = "rate")]
    pub(crate) ramp: Option<Duration>,
    /// Open loop: exponential gaps between arrivals instead of equal ones
    #[arg(long, requires = "rate")]
    pub(crate) poisson: bool,
    /// Open loop: time to wait for late answers after the last planned start
    #[arg(long, default_value = "2s", value_parser = units::duration)]
    pub(crate) drain: Duration,
    /// Requests on a connection before it is closed (churn)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) per_connection: Option<u64>,
    /// Deadline for a connect and for an answer
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    pub(crate) timeout: Duration,
    /// Seed of all random draws
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Pin threads to these cores in turn (0,2-3)
    #[arg(long, value_parser = units::cores)]
    pub(crate) cores: Option<std::vec::Vec<usize>>,
    /// I/O driver
    #[arg(long, value_enum, default_value_t = DriverChoice::Auto)]
    pub(crate) driver: DriverChoice,
    /// Write the result as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Write an HDR histogram log, one interval a second
    #[arg(long)]
    pub(crate) hdr: Option<PathBuf>,
    /// Words kept in the result, shown by compare and history
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// Exit with 3 if any request failed or got 4xx or 5xx
    #[arg(long)]
    pub(crate) check: bool,
    /// No report on standard output
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
