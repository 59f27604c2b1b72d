//! Where things stand in the files: sources, positions, and values that know their position.
//! May know file names and texts; must not know what the texts mean.

use std::path::Path;

/// Number of a file in [`Sources`]. [`FileId::DEFAULT`] stands for values that no file wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

impl FileId {
    /// The file of values that were not written: they come from the table of defaults.
    pub const DEFAULT: FileId = FileId(u32::MAX);
}

/// A place in a source: line and column count from 1, column and length count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pos {
    /// Which file.
    pub file: FileId,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length of the token in characters, at least 1.
    pub length: u32,
}

impl Pos {
    /// The place of a value that comes from the table of defaults.
    pub const DEFAULT: Pos = Pos { file: FileId::DEFAULT, line: 1, column: 1, length: 1 };

    /// Whether a file wrote the value (and not the table of defaults).
    pub fn is_written(self) -> bool {
        self.file != FileId::DEFAULT
    }
}

/// A value and the place it was written at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands; [`Pos::DEFAULT`] when nobody wrote it.
    pub pos: Pos,
}

impl<T> At<T> {
    /// A value at a place.
    pub fn new(value: T, pos: Pos) -> Self {
        At { value, pos }
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// One file's name, as it is printed, and its text.
#[derive(Clone)]
struct Source {
    name: String,
    text: String,
    /// Byte at which each line begins.
    lines: Vec<usize>,
}

impl std::fmt::Debug for Source {
    /// Without the text, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every text that was read, in order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// The folder of a file, which relative paths in it start from; empty for defaults.
    pub fn folder(&self, file: FileId) -> &Path {
        self.get(file).and_then(|source| Path::new(&source.name).parent()).unwrap_or(Path::new(""))
    }

    /// Adds a text under the name that messages will show.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX - 1));
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.files.push(Source { name: name.into(), text, lines });
        id
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// The printed name of a file; `(default)` for values nobody wrote.
    pub fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("(default)", |source| &source.name)
    }

    /// The text of a file, empty for an unknown one.
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.text)
    }

    /// The line a position stands in, without its line end.
    pub fn line(&self, pos: Pos) -> &str {
        let line = || {
            let source = self.get(pos.file)?;
            let rest = source.text.get(*source.lines.get(pos.line.checked_sub(1)? as usize)?..)?;
            let line = rest.split('\n').next()?;
            Some(line.strip_suffix('\r').unwrap_or(line))
        };
        line().unwrap_or("")
    }

    /// `file:line:column`, as messages name a place.
    pub fn show(&self, pos: Pos) -> String {
        if pos.is_written() {
            format!("{}:{}:{}", self.name(pos.file), pos.line, pos.column)
        } else {
            "(default)".to_owned()
        }
    }

    /// The place of `part` inside the scalar at `pos`, when it stands in the same line; else `pos`.
    pub fn within(&self, pos: Pos, part: &str) -> Pos {
        if part.is_empty() || !pos.is_written() {
            return pos;
        }
        let skip = (pos.column - 1) as usize;
        let line = self.line(pos);
        let Some((start, _)) = line.char_indices().nth(skip) else { return pos };
        let Some(found) = line[start..].find(part) else { return pos };
        let before = line[start..start + found].chars().count();
        Pos {
            column: pos.column + u32::try_from(before).unwrap_or(0),
            length: u32::try_from(part.chars().count()).unwrap_or(1),
            ..pos
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_in_characters_not_bytes() {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", "ключ: \"дом ${X}\"\n");
        let scalar = Pos { file, line: 1, column: 7, length: 10 };
        let part = sources.within(scalar, "${X}");
        assert_eq!((part.column, part.length), (12, 4));
        assert_eq!(sources.within(scalar, "absent"), scalar);
        assert_eq!(sources.show(part), "a.yaml:1:12");
        assert_eq!(sources.show(Pos::DEFAULT), "(default)");
    }
}
