//! Options of `penstock-bench mock`, as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::delay::Delay;
use super::fault::{Fault, FaultRate};
use super::listener::ListenArgs;
use crate::units;

/// Serves an HTTP/1.1 upstream that answers, dawdles or misbehaves as told.
#[derive(Debug, Args)]
#[command(after_help = help_of_faults(), after_long_help = help_of_faults())]
pub(crate) struct MockArgs {
    #[command(flatten)]
    pub(crate) at: ListenArgs,
    /// Status of answers
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub(crate) status: u16,
    /// Body: this many bytes
    #[arg(long, default_value = "128", value_parser = units::size)]
    pub(crate) body: usize,
    /// Body: this text
    #[arg(long, conflicts_with_all = ["body", "body_file", "echo"])]
    pub(crate) body_text: Option<String>,
    /// Body: the content of this file
    #[arg(long, conflicts_with_all = ["body", "echo"])]
    pub(crate) body_file: Option<PathBuf>,
    /// Header field of answers as "name: value", may be repeated
    #[arg(short = 'H', long = "header")]
    pub(crate) headers: Vec<String>,
    /// Send bodies in chunks of this size
    #[arg(long, value_parser = units::size)]
    pub(crate) chunked: Option<usize>,
    /// Trailer field of chunked answers as "name: value", may be repeated
    #[arg(long = "trailer", requires = "chunked")]
    pub(crate) trailers: Vec<String>,
    /// Interim answer before the final one (100, 102, 103), may be repeated
    #[arg(long = "interim", value_parser = clap::value_parser!(u16).range(100..=199))]
    pub(crate) interim: Vec<u16>,
    /// Delay before an answer: 20ms, uniform:1ms..9ms, exp:5ms (mean), lognormal:5ms,0.8 (median, sigma);
    /// counted in whole milliseconds
    #[arg(long)]
    pub(crate) delay: Option<Delay>,
    /// Misbehave: KIND for every request or KIND=RATE for a share of them (reset-before-head=0.01), may be repeated
    #[arg(long = "fault")]
    pub(crate) faults: Vec<FaultRate>,
    /// Time between two bytes of the fault `drip`
    #[arg(long, default_value = "10ms", value_parser = units::duration)]
    pub(crate) drip: Duration,
    /// Answer with what was received, as JSON: method, target, headers in order, bytes and SHA-256 of the body
    #[arg(long)]
    pub(crate) echo: bool,
    /// Append every request's raw head to this file, one JSON object a line; bytes that were no request too
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// Take no orders from x-mock-* request headers
    #[arg(long)]
    pub(crate) no_control: bool,
    /// Seed of all random draws
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

fn help_of_faults() -> String {
    let mut help = String::from(
        "Orders in request headers go before the options: x-mock-status, x-mock-body (bytes), x-mock-delay, \
         x-mock-chunked (bytes a chunk), x-mock-interim, x-mock-echo, x-mock-fault.\n\
         GET /__count tells the requests, connections and faults so far, POST /__reset begins anew; neither is counted.\n\n\
         Faults:\n",
    );
    for fault in Fault::ALL {
        help.push_str(&format!("  {:<20} {}\n", fault.name(), fault.does()));
    }
    help
}
