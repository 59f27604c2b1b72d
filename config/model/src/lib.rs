//! Resources of Penstock: the YAML file, its checking with file:line:column, and its compilation to the gate's data.
//!
//! The way of a configuration: files are gathered and parsed to a tree that knows every place ([`Sources`]);
//! the tree is read into typed resources ([`grammar`]) by declarations from which the JSON Schema ([`schema`])
//! and the reference page ([`reference()`]) are made too; rules across resources are checked ([`check`] reports
//! everything at once); what has passed is compiled to plain data ([`Configuration::compile`]).
//!
//! The crate reads no environment and no clock: variables come in as a closure, files through [`Files`].
#![forbid(unsafe_code)]

mod check;
mod compile;
mod configuration;
mod document;
mod environment;
mod explain;
mod files;
pub mod grammar;
mod inherit;
mod load;
mod place;
mod problem;
mod read;
mod reference;
mod schema;
mod starter;
mod suggest;

pub use check::{LIMITS_PER_OWNER_MAX, SIDE_FILE_BYTES_MAX};
pub use compile::{
    Compiled, CountedIds, HashKeys, Ids, Kind, PROVIDER_CONNECT, Process, Ready, hash_secret, show_hash,
};
pub use configuration::{Configuration, check, check_text};
pub use document::{ALIAS_NODES_MAX, DEPTH_MAX, FILE_BYTES_MAX, MAPPING_KEYS_MAX, NODES_MAX};
pub use environment::{EXPANDED_BYTES_MAX, Lookup};
pub use files::{Disk, Files, Memory};
pub use inherit::DEFAULT_OWNER;
pub use load::FILES_MAX;
pub use place::{At, FileId, Pos, Sources};
pub use problem::{PROBLEMS_MAX, Problem, SNIPPET_CHARS_MAX};
pub use read::network::{ListenAddress, TargetUrl};
pub use read::text::{
    CheckPath, FilePath, HeaderName, HostPattern, KeyHash, LimitName, Method, NAME_BYTES_MAX, Name, Origin,
    ParameterName, PathPattern, Rewrite, SECRET_CHARS_MAX, SECRET_CHARS_MIN, Scope, Secret, TEXT_BYTES_MAX,
    Template, Text, Timezone, VersionPattern,
};
pub use read::units::{Int, Moment, Percent, RateBound, Size, SizeBound, Span, Usd, WORKERS_MAX, Workers};
pub use read::{Effective, LIST_ITEMS_MAX, Pairs};
pub use reference::reference;
pub use schema::schema;
pub use starter::{DEFAULTS_NAME, DEMO_KEY, DEMO_UPSTREAM, defaults, demo_calls, init};

/// Entry point for fuzzing: any text must be checked, and if it passes compiled, without a panic.
pub fn fuzz_entry(text: &str) {
    let lookup = |name: &str| (name == "SET").then(|| "0123456789abcdef".to_owned());
    match check_text("fuzz.yaml", text, &Memory::default(), &lookup) {
        Ok(configuration) => {
            let compiled = configuration.compile(1, &mut CountedIds::default(), &HashKeys::CheckOnly);
            drop((compiled, configuration.explain()));
        }
        Err(problems) => {
            for problem in &problems {
                drop((problem.to_string(), problem.excerpt()));
            }
        }
    }
}
