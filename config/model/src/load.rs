//! Several files and folders to one tree: lists are joined, everything else may stand in one place only.
//! May know the top-level keys' shapes; must not know what they mean.

use std::path::{Path, PathBuf};

use crate::document::{self, Key, Node, NodeKind, Reading};
use crate::environment::Lookup;
use crate::files::{Files, reason};
use crate::grammar::File;
use crate::place::{Pos, Sources};
use crate::problem::{Problems, quote};
use crate::read::{Read, Shape};

/// Most files of one configuration.
pub const FILES_MAX: usize = 1_000;

/// Reads the texts of all paths into `sources`. A folder stands for its `*.yaml` and `*.yml`, by name, hidden
/// files and folders inside of it left out.
pub(crate) fn gather(
    paths: &[PathBuf],
    files: &dyn Files,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Vec<crate::place::FileId> {
    let mut list: Vec<PathBuf> = Vec::new();
    for path in paths {
        match files.list(path) {
            Ok(None) => list.push(path.clone()),
            Ok(Some(entries)) => {
                let before = list.len();
                list.extend(entries.into_iter().filter(|entry| is_configuration(entry)));
                if list.len() == before {
                    refuse(
                        path,
                        "the folder holds no *.yaml".to_owned(),
                        "name files, or a folder with some",
                        sources,
                        problems,
                    );
                }
            }
            Err(error) => {
                refuse(path, format!("cannot list the folder: {}", reason(&error)), "", sources, problems)
            }
        }
    }
    if list.len() > FILES_MAX {
        refuse(&list[FILES_MAX], format!("more than {FILES_MAX} files"), "join some", sources, problems);
        list.truncate(FILES_MAX);
    }
    let mut ids = Vec::with_capacity(list.len());
    for (index, path) in list.iter().enumerate() {
        if list[..index].contains(path) {
            refuse(path, "the file is named twice".to_owned(), "name it once", sources, problems);
            continue;
        }
        match files.read(path, document::FILE_BYTES_MAX) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => ids.push(sources.add(path.display().to_string(), text)),
                Err(error) => {
                    let good = error.utf8_error().valid_up_to();
                    let text = String::from_utf8_lossy(&error.into_bytes()[..good]).into_owned();
                    let line = text.matches('\n').count() + 1;
                    let column = text.rsplit('\n').next().unwrap_or("").chars().count() + 1;
                    let file = sources.add(path.display().to_string(), text);
                    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                    let pos = Pos { file, line: number(line), column: number(column), length: 1 };
                    problems.add(pos, "the file is not UTF-8", "save it as UTF-8");
                }
            },
            Err(error) => {
                let hint = "see `penstock init` for a file to begin with";
                refuse(path, format!("cannot read the file: {}", reason(&error)), hint, sources, problems);
            }
        }
    }
    ids
}

/// Reports a file that has no text to point into.
fn refuse(path: &Path, message: String, hint: &str, sources: &mut Sources, problems: &mut Problems) {
    let file = sources.add(path.display().to_string(), "");
    problems.add(Pos { file, line: 1, column: 1, length: 1 }, message, hint);
}

fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// Parses every text and joins the trees. The result is a mapping, empty if nothing could be read; `complete`
/// becomes false if a text could not be parsed.
pub(crate) fn join(
    ids: &[crate::place::FileId],
    sources: &Sources,
    lookup: Lookup<'_>,
    problems: &mut Problems,
    complete: &mut bool,
) -> Node {
    let lists = list_keys();
    let mut merged: Vec<(Key, Node)> = Vec::new();
    let mut place = None;
    for file in ids {
        let reading = Reading { file: *file, sources, lookup };
        let Some(root) = document::parse(&reading, problems) else {
            *complete = false;
            continue;
        };
        place.get_or_insert(root.pos);
        let entries = match root.kind {
            NodeKind::Map(entries) => entries,
            NodeKind::Empty => Vec::new(),
            _ => {
                *complete = false;
                problems.add(
                    root.pos,
                    "the file holds no mapping",
                    "it begins with keys such as listeners:, upstreams:, services:",
                );
                continue;
            }
        };
        for (key, node) in entries {
            let Some((first, known)) = merged.iter_mut().find(|(known, _)| known.text == key.text) else {
                merged.push((key, node));
                continue;
            };
            match (&mut known.kind, node.kind) {
                (NodeKind::List(items), NodeKind::List(more)) if lists.contains(&key.text.as_str()) => {
                    items.extend(more);
                }
                (_, kind) if lists.contains(&key.text.as_str()) => {
                    if !matches!(kind, NodeKind::List(_) | NodeKind::Broken(_)) {
                        problems.add(node.pos, format!("{} must be a list", quote(&key.text)), "");
                    }
                }
                _ => problems.add(
                    key.pos,
                    format!("{} stands in two files", quote(&key.text)),
                    format!("the other is at {}; write it once", sources.show(first.pos)),
                ),
            }
        }
    }
    let start = Pos::DEFAULT;
    Node { pos: place.unwrap_or(start), kind: NodeKind::Map(merged) }
}

fn list_keys() -> Vec<&'static str> {
    match File::shape() {
        Shape::Object(table) => {
            table.rows.iter().filter(|row| matches!(row.shape, Shape::List(_))).map(|row| row.key).collect()
        }
        _ => Vec::new(),
    }
}

/// Names that the items of a top-level list declare, also of items that are wrong otherwise.
pub(crate) fn declared(root: &Node, list: &str) -> Vec<String> {
    let NodeKind::Map(entries) = &root.kind else { return Vec::new() };
    let Some((_, Node { kind: NodeKind::List(items), .. })) =
        entries.iter().find(|(key, _)| key.text == list)
    else {
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| match &item.kind {
            NodeKind::Map(entries) => entries.iter().find(|(key, _)| key.text == "name"),
            _ => None,
        })
        .filter_map(|(_, name)| match &name.kind {
            NodeKind::Scalar(scalar) => Some(scalar.text.clone()),
            _ => None,
        })
        .collect()
}
