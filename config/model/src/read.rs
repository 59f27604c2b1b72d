//! From a node of the document to a typed value: the trait that every type of the grammar implements, and the
//! shape it declares, from which the JSON Schema and the reference are made. May know nodes and problems;
//! must not know single resources.

pub(crate) mod network;
pub(crate) mod object;
pub(crate) mod shape;
pub(crate) mod text;
pub(crate) mod units;

use std::collections::HashSet;

use crate::document::{Node, NodeKind};
use crate::place::{At, Pos, Sources};
use crate::problem::{Problems, quote};
pub(crate) use shape::{Need, Row, Shape, Table};

/// What reading needs beside the node.
pub(crate) struct Cx<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) problems: Problems,
    /// Mappings with a key that is wrong: what seems missing in them may be what is wrong, so checks of
    /// absence pass them over.
    pub(crate) wounded: HashSet<Pos>,
}

/// One line of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Where in the grammar, as `upstreams.orders.timeouts.connect`.
    pub path: String,
    /// The value in force.
    pub value: String,
    /// Where it was written; [`Pos::DEFAULT`] = a default.
    pub pos: Pos,
}

/// A type of the grammar. Reading reports every problem it meets and answers `None` if there was one.
pub(crate) trait Read: Sized {
    /// What may be written.
    fn shape() -> Shape;
    /// Reads the node; problems go to `cx`.
    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self>;
    /// Adds what is in force to the listing.
    fn explain(&self, path: &str, pos: Pos, out: &mut Vec<Effective>);
}

/// A value that is one scalar. Everything of this kind is read, shown and described in the same way.
pub(crate) trait Word: Sized {
    /// With its article: "a duration".
    const WHAT: &'static str;
    /// The hint: what to write.
    const FORM: &'static str;
    /// Regular expression for editors (JSON Schema); empty = any text.
    const PATTERN: &'static str = "";
    /// Whether the value may stand in quotes (numbers and booleans may not).
    const QUOTABLE: bool = true;

    /// Reads the text.
    fn parse(text: &str) -> Result<Self, Fault>;
    /// The text that would be read as this value.
    fn show(&self) -> String;
    /// What may be written, for editors.
    fn word_shape() -> Shape {
        Shape::Text { what: Self::WHAT, pattern: Self::PATTERN }
    }
}

/// Why a scalar was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The piece that is to blame, if not the whole.
    pub(crate) part: Option<String>,
    /// Instead of "`text` is not a duration".
    pub(crate) message: Option<String>,
    /// Instead of [`Word::FORM`].
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn plain() -> Self {
        Fault::default()
    }

    pub(crate) fn message(message: impl Into<String>) -> Self {
        Fault { message: Some(message.into()), ..Fault::default() }
    }

    pub(crate) fn part(mut self, part: impl Into<String>) -> Self {
        self.part = Some(part.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<T: Word> Read for T {
    fn shape() -> Shape {
        T::word_shape()
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        let NodeKind::Scalar(scalar) = &node.kind else {
            return wrong_kind(node, T::WHAT, T::FORM, cx);
        };
        if !T::QUOTABLE && !scalar.plain && !scalar.expanded {
            cx.problems.add(
                node.pos,
                format!("expected {}, found text in quotes", T::WHAT),
                "leave the quotes out",
            );
            return None;
        }
        match T::parse(&scalar.text) {
            Ok(value) => Some(value),
            Err(fault) => {
                let pos = match &fault.part {
                    Some(part) => cx.sources.within(node.pos, part),
                    None => node.pos,
                };
                // A variable's content may be a secret: only what stands in the file is repeated.
                let message = match fault.message {
                    Some(message) if !scalar.expanded => message,
                    _ => format!("{} is not {}", quote(&scalar.raw), T::WHAT),
                };
                cx.problems.add(pos, message, fault.hint.unwrap_or_else(|| T::FORM.to_owned()));
                None
            }
        }
    }

    fn explain(&self, path: &str, pos: Pos, out: &mut Vec<Effective>) {
        out.push(Effective { path: path.to_owned(), value: self.show(), pos });
    }
}

/// Reports a node of the wrong kind.
pub(crate) fn wrong_kind<T>(node: &Node, what: &str, hint: &str, cx: &mut Cx<'_>) -> Option<T> {
    let found = match &node.kind {
        NodeKind::Broken(broken) => {
            cx.problems.add(broken.pos, &broken.message, &broken.hint);
            return None;
        }
        NodeKind::Empty => "nothing".to_owned(),
        NodeKind::Scalar(scalar) => quote(&scalar.raw),
        NodeKind::List(_) => "a list".to_owned(),
        NodeKind::Map(_) => "a mapping".to_owned(),
    };
    cx.problems.add(node.pos, format!("expected {what}, found {found}"), hint);
    None
}

impl<T: Read> Read for At<T> {
    fn shape() -> Shape {
        T::shape()
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        T::read(node, cx).map(|value| At::new(value, node.pos))
    }

    fn explain(&self, path: &str, _: Pos, out: &mut Vec<Effective>) {
        self.value.explain(path, self.pos, out);
    }
}

/// Longest list in the grammar.
pub const LIST_ITEMS_MAX: usize = 200_000;

impl<T: Read> Read for Vec<At<T>> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        let NodeKind::List(items) = &node.kind else {
            return wrong_kind(node, "a list", "write [a, b], or one item a line after `- `", cx);
        };
        if items.len() > LIST_ITEMS_MAX {
            cx.problems.add(
                node.pos,
                format!("the list has {} items; at most {LIST_ITEMS_MAX} are read", items.len()),
                "keep large sets in the store",
            );
            return None;
        }
        // Every item is read, so that all their problems are told; one bad item does not void the others,
        // so that what refers to them is still checked. Nothing is served when there is any problem.
        let read: Self = items.iter().filter_map(|item| At::<T>::read(item, cx)).collect();
        if read.len() < items.len() {
            cx.wounded.insert(node.pos);
        }
        Some(read)
    }

    fn explain(&self, path: &str, pos: Pos, out: &mut Vec<Effective>) {
        if self.is_empty() {
            out.push(Effective { path: path.to_owned(), value: "[]".to_owned(), pos });
        }
        for (index, item) in self.iter().enumerate() {
            item.value.explain(&format!("{path}[{index}]"), item.pos, out);
        }
    }
}

/// A mapping whose keys the user chooses (header names, for one), in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Pairs<K, V>(pub Vec<(At<K>, At<V>)>);

impl<K: Word, V: Read> Read for Pairs<K, V> {
    fn shape() -> Shape {
        Shape::Pairs { key: K::WHAT, value: Box::new(V::shape()) }
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        let NodeKind::Map(entries) = &node.kind else {
            return wrong_kind(node, "a mapping", "write { name: value }", cx);
        };
        let mut pairs = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = match K::parse(&key.text) {
                Ok(name) => Some(At::new(name, key.pos)),
                Err(fault) => {
                    let message =
                        fault.message.unwrap_or_else(|| format!("{} is not {}", quote(&key.text), K::WHAT));
                    cx.problems.add(key.pos, message, fault.hint.unwrap_or_else(|| K::FORM.to_owned()));
                    None
                }
            };
            let value = At::<V>::read(value, cx);
            if let (Some(name), Some(value)) = (name, value) {
                pairs.push((name, value));
            }
        }
        Some(Pairs(pairs))
    }

    fn explain(&self, path: &str, pos: Pos, out: &mut Vec<Effective>) {
        if self.0.is_empty() {
            out.push(Effective { path: path.to_owned(), value: "{}".to_owned(), pos });
        }
        for (key, value) in &self.0 {
            value.value.explain(&format!("{path}.{}", key.show()), value.pos, out);
        }
    }
}
