//! Rules across resources: names, references, what must and must not stand together, files that must be there.
//! Reports everything; changes nothing. May know the grammar; must not know the gate's snapshot.

mod ai;
mod callers;
mod limits;
mod listeners;
mod names;
mod services;
mod upstreams;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::files::{Files, reason};
use crate::grammar::File;
use crate::place::{At, Pos, Sources};
use crate::problem::{Problems, quote};
use crate::read::text::FilePath;
use crate::suggest;

pub use limits::LIMITS_PER_OWNER_MAX;
pub(crate) use limits::limit_name;

/// Largest certificate, key or key set file.
pub const SIDE_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Names that the files declare, also of resources that are wrong otherwise.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) tenants: Vec<String>,
    pub(crate) teams: Vec<String>,
    pub(crate) plans: Vec<String>,
    pub(crate) issuers: Vec<String>,
    pub(crate) upstreams: Vec<String>,
    pub(crate) providers: Vec<String>,
    pub(crate) services: Vec<String>,
}

/// What checking reads beside the tree.
pub(crate) struct Check<'a> {
    pub(crate) file: &'a File,
    pub(crate) declared: &'a Declared,
    pub(crate) sources: &'a Sources,
    pub(crate) wounded: &'a HashSet<Pos>,
    pub(crate) files: &'a dyn Files,
    pub(crate) problems: &'a mut Problems,
    /// Texts of files that the configuration names and the compiled form holds (key sets).
    pub(crate) texts: HashMap<PathBuf, String>,
}

impl Check<'_> {
    /// Runs every rule.
    pub(crate) fn run(&mut self) {
        self.names();
        self.listeners();
        self.issuers();
        self.callers();
        self.all_limits();
        self.upstreams();
        self.services();
        self.ai();
    }

    fn add(&mut self, pos: Pos, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.add(pos, message, hint);
    }

    fn is_whole(&self, place: Pos) -> bool {
        !self.wounded.contains(&place)
    }

    /// Whether a list is empty because nothing was written into it (and not because its items are wrong).
    fn is_empty_list<T>(&self, list: &At<Vec<At<T>>>) -> bool {
        list.value.is_empty() && self.is_whole(list.pos)
    }

    /// Reports a reference to a name that nobody declares.
    fn refers(&mut self, kind: &str, name: &At<crate::read::text::Name>, known: &[String]) -> bool {
        if known.iter().any(|known| known == &name.value.0) {
            return true;
        }
        if self.problems.is_full() {
            self.add(name.pos, "unknown", "");
            return false;
        }
        let hint = suggest::hint(
            &name.value.0,
            known.iter().map(String::as_str),
            &format!("no {kind} is configured: add one under {kind}s:"),
        );
        self.add(name.pos, format!("unknown {kind} {}", quote(&name.value.0)), hint);
        false
    }

    /// The text of a file that the configuration names.
    fn side_file(&mut self, path: &At<FilePath>) -> Option<String> {
        let full = resolve(self.sources, path);
        match self.files.read(&full, SIDE_FILE_BYTES_MAX) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Some(text),
                Err(_) => {
                    self.add(
                        path.pos,
                        format!("{} is not a text file", quote(&full.display().to_string())),
                        "PEM and JSON are text",
                    );
                    None
                }
            },
            Err(error) => {
                self.add(
                    path.pos,
                    format!("cannot read {}: {}", quote(&full.display().to_string()), reason(&error)),
                    "paths are relative to the folder of this file",
                );
                None
            }
        }
    }
}

/// Where a file named in the configuration is: relative paths start at the folder of the file that names it,
/// paths of defaults at the working directory.
pub(crate) fn resolve(sources: &Sources, path: &At<FilePath>) -> PathBuf {
    if path.pos.is_written() {
        sources.folder(path.pos.file).join(&path.value.0)
    } else {
        Path::new("").join(&path.value.0)
    }
}
