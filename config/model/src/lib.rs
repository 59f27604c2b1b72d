//! Resources.
#![forbid(unsafe_code)]

mod check;
mod compile;
mod configuration;
mod document;
mod environment;
mod files;
pub mod grammar;
mod inherit;
mod load;
mod place;
mod problem;
mod read;
mod suggest;

pub use compile::{Compiled, CountedIds, HashKeys, Ids, Kind, Process, hash_secret, show_hash};
pub use configuration::{Configuration, check, check_text};
pub use environment::Lookup;
pub use files::{Disk, Files, Memory};
pub use place::{At, FileId, Pos, Sources};
pub use problem::{PROBLEMS_MAX, Problem};
