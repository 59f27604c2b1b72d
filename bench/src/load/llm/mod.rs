//! The profile of language models: requests of all dialects (`asks`, with `sizes` of prompts and answers) and a strict
//! reader of what comes back (`answer`, over `events` and `document`), with figures of its own (`tally`). When to ask,
//! on which connection, and what a socket's failure is, stays with the generator.

mod answer;
mod args;
mod asks;
mod document;
mod events;
mod sizes;
mod tally;

pub(super) use answer::{AnswerReader, Expects, Facts, Fault};
pub(crate) use args::LoadLlmArgs;
pub(super) use tally::Tally;

use super::plan::Plan;
use super::run::run_plan;

/// Runs the load and writes what was asked for; returns the process's exit code.
///
/// # Errors
/// A sentence for the user if the run could not be done.
pub(crate) fn run(args: &LoadLlmArgs) -> Result<u8, String> {
    let (host, requests, key_fields) = asks::build(args)?;
    run_plan(Plan::of(&args.run, &args.url, &host, (requests, key_fields), true)?, &args.run)
}
