//! `penstock-ring`: looks into the call rings of a live gateway, or of a dead one after a crash.
//!
//! Maps ring files for reading only: a live gateway's workers see no write, no lock and no syscall
//! of ours. Knows the command line and nothing of formats; each command has a file of its own.
#![allow(clippy::disallowed_methods, reason = "a program of its own, with a clock and an environment")]
#![forbid(unsafe_code)]

mod calls;
mod explain;
mod filter;
mod hist;
mod output;
mod rings;
mod source;
mod stats;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::filter::Filter;
use crate::output::Format;

/// Look into the call rings of a live or dead gateway.
#[derive(Parser)]
#[command(name = "penstock-ring", version)]
struct Arguments {
    /// The gateway's data directory
    #[arg(long, global = true, default_value = "penstock-data", value_name = "D")]
    data_dir: PathBuf,
    /// How to print; json is one object a line
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the rings: fill, lag, dropped records
    Ls,
    /// Print the newest calls
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 10)]
        lines: usize,
        /// Go on with calls as they are published
        #[arg(short, long)]
        follow: bool,
        /// As `status>=500 route=orders latency_ms>100 path~/orders`; all must hold
        filters: Vec<Filter>,
    },
    /// A table of rates, errors and latencies by route and app; refreshes on a terminal
    Stats {
        /// Seconds that the table covers
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
        window: u16,
        /// Print once and end, also on a terminal
        #[arg(long)]
        once: bool,
        /// All must hold
        filters: Vec<Filter>,
    },
    /// Draw the histogram of a duration
    Hist {
        /// Which duration: duration, head, policy, queue, connect, first_byte, upstream, write
        #[arg(long, default_value = "duration")]
        of: String,
        /// Also write an HdrHistogram log to this file
        #[arg(long, value_name = "FILE")]
        hdr_log: Option<PathBuf>,
        /// All must hold
        filters: Vec<Filter>,
    },
    /// Tell one call's path stage by stage
    Explain {
        /// A request id, a trace id, or RUN-wWORKER:SEQUENCE
        id: String,
    },
    /// Check every readable frame: checksums, positions, sequences
    Verify,
    /// Print everything that is still readable, drained or not, by time
    Dump {
        /// All must hold
        filters: Vec<Filter>,
    },
    /// Print the dictionary: ids, kinds, uids, names
    Dict {
        /// Only this kind (route, app, ...)
        #[arg(long)]
        kind: Option<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("penstock-ring: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `false` is an answer that a script should notice: damage found, no such call.
fn run(arguments: &Arguments) -> Result<bool> {
    let (data_dir, format) = (&arguments.data_dir, arguments.format);
    match &arguments.command {
        Command::Ls => rings::list(data_dir, format),
        Command::Tail { lines, follow, filters } => calls::tail(data_dir, format, *lines, *follow, filters),
        Command::Stats { window, once, filters } => {
            stats::stats(data_dir, format, usize::from(*window), *once, filters)
        }
        Command::Hist { of, hdr_log, filters } => {
            hist::hist(data_dir, format, of, hdr_log.as_deref(), filters)
        }
        Command::Explain { id } => explain::explain(data_dir, format, id),
        Command::Verify => verify::verify(data_dir, format),
        Command::Dump { filters } => calls::dump(data_dir, format, filters),
        Command::Dict { kind } => rings::dictionary(data_dir, format, kind.as_deref()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
