//! The `penstock` program: reads the command line and the environment, and leaves the work to the modules.
//!
//! Everything is wired here and nothing is decided: routing, limits and identity are `core`'s, bytes are the data
//! plane's, files are `config/model`'s. Exit codes: 0 done (or drained), 1 configuration, 2 start-up.
#![forbid(unsafe_code)]

mod access_log;
mod args;
mod banner;
mod commands;
mod control;
mod cost;
mod counters;
mod data_dir;
mod demo;
mod gateway;
mod health;
mod keys;
mod models;
mod names;
mod notices;
mod ports;
mod resolve;
mod rings;
mod run;
mod side;
mod source;
mod state;
mod watch;
mod workers;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: penstock_dataplane::sys::Allocator = penstock_dataplane::sys::Allocator;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match args.command {
        None => run::run(&args::RunArgs::default()),
        Some(args::Command::Run(args)) => run::run(&args),
        Some(args::Command::Check(args)) => commands::check(&args),
        Some(args::Command::Init(args)) => commands::init(&args),
        Some(args::Command::Schema) => commands::schema(),
        Some(args::Command::Reload(place)) => commands::reload(&place),
        Some(args::Command::Drain(place)) => commands::live(&place, &control::Request::Drain),
        Some(args::Command::Status(place)) => commands::live(&place, &control::Request::Status),
        Some(args::Command::Models(args)) => models::models(&args),
        Some(args::Command::Cost(args)) => cost::cost(&args),
        Some(args::Command::Credential(args::CredentialCommand::Hash(args))) => {
            commands::credential_hash(&args)
        }
    }
}
