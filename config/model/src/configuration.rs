//! The way from files to a checked configuration, in its order: gather, parse, join, read, check.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use crate::check::{Check, Declared};
use crate::compile::{CountedIds, HashKeys};
use crate::environment::Lookup;
use crate::files::Files;
use crate::grammar::File;
use crate::inherit::DEFAULT_OWNER;
use crate::load;
use crate::place::{FileId, Pos, Sources};
use crate::problem::{Problem, Problems};
use crate::read::{Cx, Read};

/// A configuration without a known fault.
#[derive(Debug)]
pub struct Configuration {
    pub(crate) file: File,
    pub(crate) sources: Sources,
    /// Texts of the key sets, by resolved path.
    pub(crate) texts: HashMap<PathBuf, String>,
}

/// Reads files and folders (see [`crate::Disk`]) and checks them as one configuration.
///
/// # Errors
/// Every problem of all files at once, sorted by place. Nothing is served when there is one.
pub fn check(
    paths: &[PathBuf],
    files: &dyn Files,
    lookup: Lookup<'_>,
) -> Result<Configuration, Vec<Problem>> {
    let mut sources = Sources::default();
    let mut problems = Problems::default();
    let ids = load::gather(paths, files, &mut sources, &mut problems);
    finish(&ids, sources, problems, files, lookup)
}

/// Checks one text that stands in no file, under the name that messages show. Relative paths in it start at
/// the folder of that name.
///
/// # Errors
/// As [`check`].
pub fn check_text(
    name: &str,
    text: &str,
    files: &dyn Files,
    lookup: Lookup<'_>,
) -> Result<Configuration, Vec<Problem>> {
    let mut sources = Sources::default();
    let id = sources.add(name, text);
    finish(&[id], sources, Problems::default(), files, lookup)
}

fn finish(
    ids: &[FileId],
    sources: Sources,
    mut problems: Problems,
    files: &dyn Files,
    lookup: Lookup<'_>,
) -> Result<Configuration, Vec<Problem>> {
    let mut complete = problems.is_empty();
    let root = load::join(ids, &sources, lookup, &mut problems, &mut complete);
    let mut cx = Cx { sources: &sources, problems, wounded: HashSet::new() };
    let file = File::read(&root, &mut cx);
    let Cx { mut problems, wounded, .. } = cx;
    let Some(file) = file else { return Err(problems.into_list(&sources)) };
    let mut texts = HashMap::new();
    // A file that could not be read may hold what the others refer to: then references are left alone.
    if complete {
        let with_default = |list: &str| {
            let mut names = load::declared(&root, list);
            if !names.iter().any(|name| name == DEFAULT_OWNER) {
                names.push(DEFAULT_OWNER.to_owned());
            }
            names
        };
        let declared = Declared {
            tenants: with_default("tenants"),
            teams: with_default("teams"),
            plans: load::declared(&root, "plans"),
            issuers: load::declared(&root, "issuers"),
            upstreams: load::declared(&root, "upstreams"),
            providers: load::declared(&root, "providers"),
            services: load::declared(&root, "services"),
        };
        let mut check = Check {
            file: &file,
            declared: &declared,
            sources: &sources,
            wounded: &wounded,
            files,
            problems: &mut problems,
            texts: HashMap::new(),
        };
        check.run();
        texts = check.texts;
    }
    if !problems.is_empty() {
        return Err(problems.into_list(&sources));
    }
    let configuration = Configuration { file, sources, texts };
    // The routing table finds conflicts that no rule of single routes can.
    configuration.snapshot(0, &mut CountedIds::default(), &HashKeys::CheckOnly)?;
    Ok(configuration)
}

impl Configuration {
    /// The resources as written, with what is not written filled in from the defaults.
    pub fn resources(&self) -> &File {
        &self.file
    }

    /// `file:line:column` of a place in this configuration, `(default)` for defaults.
    pub fn show(&self, pos: Pos) -> String {
        self.sources.show(pos)
    }
}
