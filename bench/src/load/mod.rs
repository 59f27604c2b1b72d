//! The load generator: options (`args`) become a checked `plan`; a `run` has rounds; a round has threads (`worker`);
//! a thread has connections (`connection`) that ask the `pace` when to start and tell the `tally` what came of it. `llm` is the profile of language models: its own
//! options, requests and reader of answers in the same run.

pub(crate) mod args;
mod connection;
mod deadline;
mod hdr_log;
pub(crate) mod llm;
mod pace;
mod plan;
pub(crate) mod report;
mod request;
pub(crate) mod run;
mod schedule;
mod tally;
mod worker;
