//! `penstock-bench`: load generators, mock upstreams, and tables over their results. Only reads the command line and
//! hands over to the subcommand.
#![allow(clippy::disallowed_methods, reason = "a program of its own, with a clock and an environment")]
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test may fail by a panic

mod bootstrap;
mod chunks;
mod compare;
mod driver;
mod history;
mod llm;
mod load;
mod mock;
mod mock_llm;
mod result;
mod rng;
mod sys;
mod table;
mod units;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load generator and mock upstreams for HTTP/1.1, and for language models over it
#[derive(Debug, Parser)]
#[command(name = "penstock-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Load(Box<load::args::LoadArgs>),
    LoadLlm(Box<load::llm::LoadLlmArgs>),
    Mock(Box<mock::args::MockArgs>),
    MockLlm(Box<mock_llm::args::MockLlmArgs>),
    Compare(compare::CompareArgs),
    History(history::HistoryArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Load(args) => load::run::run(&args),
        Command::LoadLlm(args) => load::llm::run(&args),
        Command::Mock(args) => mock::server::run(&args),
        Command::MockLlm(args) => mock_llm::server::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::History(args) => history::run(&args),
    };
    outcome.map(ExitCode::from).unwrap_or_else(|error| {
        eprintln!("penstock-bench: {error}");
        ExitCode::FAILURE
    })
}
