//! What is wrong with a configuration: collected without stopping, sorted, printed one a line.
//! May know positions and wording; must not know the grammar.

use std::fmt;

use crate::place::{Pos, Sources};

/// Problems kept; the rest are counted in one last line, so that a hostile file cannot fill memory.
pub const PROBLEMS_MAX: usize = 1_000;

/// One thing that is wrong, with everything a person or an editor needs to mend it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Name of the file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length of the offending token in characters.
    pub length: u32,
    /// What is wrong, with the offending text.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The source line, cut to [`SNIPPET_CHARS_MAX`]. It may hold a secret that the file writes in plain text, so
    /// it is for the one who wrote the file; the one-line form does not hold it.
    pub snippet: String,
}

impl fmt::Display for Problem {
    /// `file:line:column: message (hint)`, always one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Problem {
    /// The source line and a marker under the offending token, for terminals.
    pub fn excerpt(&self) -> String {
        let indent: String = self
            .snippet
            .chars()
            .take(self.column.saturating_sub(1) as usize)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let width = self.snippet.chars().count().saturating_sub(indent.chars().count());
        let marked = (self.length as usize).clamp(1, width.max(1));
        format!("{}\n{indent}{}", self.snippet, "^".repeat(marked))
    }
}

#[derive(Debug, Clone)]
struct Note {
    pos: Pos,
    message: String,
    hint: Option<String>,
}

/// The problems found so far. Bounded by [`PROBLEMS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Problems {
    notes: Vec<Note>,
    dropped: usize,
}

impl Problems {
    pub(crate) fn add(&mut self, pos: Pos, message: impl Into<String>, hint: impl Into<String>) {
        let hint = hint.into();
        self.push(pos, message.into(), (!hint.is_empty()).then_some(hint));
    }

    fn push(&mut self, pos: Pos, message: String, hint: Option<String>) {
        if self.is_full() {
            self.dropped += 1;
            return;
        }
        self.notes.push(Note { pos, message, hint });
    }

    /// Whether more problems are only counted: then there is no need to look for hints.
    pub(crate) fn is_full(&self) -> bool {
        self.notes.len() >= PROBLEMS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Sorted by file (in the order they were given), line and column, without repetitions.
    pub(crate) fn into_list(self, sources: &Sources) -> Vec<Problem> {
        let mut notes = self.notes;
        notes.sort_by(|a, b| (a.pos, &a.message).cmp(&(b.pos, &b.message)));
        let mut list: Vec<Problem> = notes
            .into_iter()
            .map(|note| {
                let line = sources.line(note.pos);
                Problem {
                    file: sources.name(note.pos.file).to_owned(),
                    line: note.pos.line,
                    column: note.pos.column,
                    length: token_length(line, note.pos),
                    message: one_line(&note.message),
                    hint: note.hint.as_deref().map(one_line),
                    snippet: line.chars().take(SNIPPET_CHARS_MAX).collect(),
                }
            })
            .collect();
        list.dedup();
        if let (true, Some(last)) = (self.dropped > 0, list.last().cloned()) {
            list.push(Problem {
                message: format!("{} more problems are not shown", self.dropped),
                hint: Some("mend the ones above first".to_owned()),
                ..last
            });
        }
        list
    }
}

/// Longest part of a source line that is kept beside a problem.
pub const SNIPPET_CHARS_MAX: usize = 1_000;

/// The token's length without blanks at its end.
fn token_length(line: &str, pos: Pos) -> u32 {
    let token: String =
        line.chars().skip(pos.column.saturating_sub(1) as usize).take(pos.length as usize).collect();
    u32::try_from(token.trim_end().chars().count()).unwrap_or(pos.length).max(1)
}

/// Control characters (line ends above all) would break the one-line form.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Longest piece of a file's text that a message repeats.
const QUOTED_CHARS_MAX: usize = 60;

/// The offending text between backticks, cut to a bearable length.
pub(crate) fn quote(text: &str) -> String {
    if text.chars().count() <= QUOTED_CHARS_MAX {
        format!("`{text}`")
    } else {
        let head: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        format!("`{head}…`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_one_a_line_and_bounded() {
        let mut sources = Sources::default();
        let file = sources.add("p.yaml", "a: 1\nb: 2\n");
        let mut problems = Problems::default();
        let pos = |line| Pos { file, line, column: 1, length: 1 };
        problems.add(pos(2), "second\nline", "");
        problems.add(pos(1), "first", "do it");
        problems.add(pos(1), "first", "do it");
        let list = problems.into_list(&sources);
        let lines: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["p.yaml:1:1: first (do it)", "p.yaml:2:1: second line"]);
        assert_eq!(list[0].excerpt(), "a: 1\n^");

        let mut many = Problems::default();
        for n in 0..PROBLEMS_MAX + 5 {
            many.add(pos(1), format!("p{n}"), "");
        }
        let list = many.into_list(&sources);
        assert_eq!(list.len(), PROBLEMS_MAX + 1);
        assert!(list[PROBLEMS_MAX].message.starts_with("5 more"));
    }
}
