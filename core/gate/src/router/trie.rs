//! The segment trie: literal children in a hash table, one parameter child, one tail.
//!
//! Walked from left to right, literal before parameter before tail, stepping back when what follows does not
//! fit: so the first leaf that holds is the most specific one. A node is visited at most once in a look-up,
//! a look-up therefore costs at most one visit of each node of one host's trie.

use super::bytes_table::BytesTable;
use super::template::{CAPTURES_MAX, Segment};
use std::collections::BTreeMap;

const NONE: u32 = u32::MAX;

/// A range of bytes of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capture {
    /// First byte.
    pub(crate) start: u16,
    /// Byte after the last.
    pub(crate) end: u16,
}

/// What the parameters and the tail of a template matched, from left to right, as ranges of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Captures {
    ranges: [Capture; CAPTURES_MAX],
    count: u8,
}

impl Captures {
    pub(crate) const NONE: Self = Self { ranges: [Capture { start: 0, end: 0 }; CAPTURES_MAX], count: 0 };

    /// What a template `/*` matched: all from a byte on.
    #[inline]
    pub(crate) fn tail(start: usize, end: usize) -> Self {
        let mut captures = Self::NONE;
        captures.push(start, end);
        captures
    }

    /// The ranges.
    pub(crate) fn as_slice(&self) -> &[Capture] {
        &self.ranges[..usize::from(self.count)]
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize) {
        // Templates of more captures are refused when they are read, targets over 16 KiB by the parser.
        self.ranges[usize::from(self.count)] = Capture { start: start as u16, end: end as u16 };
        self.count += 1;
    }

    fn pop(&mut self) {
        self.count -= 1;
    }
}

/// A run of candidates in the router's list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Run {
    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parameter: u32,
    leaf: Run,
    tail: Run,
    has_literals: bool,
}

/// All tries of a router in one arena.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    literals: BytesTable,
}

impl Trie {
    /// The candidates of a root from which every path leads to its tail: of one that has nothing else.
    pub(crate) fn only_tail(&self, root: u32) -> Option<Run> {
        let node = self.nodes.get(root as usize)?;
        let bare = !node.has_literals && node.parameter == NONE && !node.tail.is_empty();
        bare.then_some(node.tail)
    }
}

#[derive(Default)]
struct Sprout {
    literals: BTreeMap<Box<str>, u32>,
    parameter: Option<u32>,
    leaf: Vec<u32>,
    tail: Vec<u32>,
}

/// A trie that still grows.
#[derive(Default)]
pub(crate) struct TrieBuilder {
    nodes: Vec<Sprout>,
}

impl TrieBuilder {
    /// A new root.
    pub(crate) fn root(&mut self) -> u32 {
        self.nodes.push(Sprout::default());
        (self.nodes.len() - 1) as u32
    }

    /// Puts a candidate where these segments lead.
    pub(crate) fn insert(&mut self, root: u32, segments: &[Segment], candidate: u32) {
        let mut at = root as usize;
        for segment in segments {
            let fresh = self.nodes.len() as u32;
            let node = &mut self.nodes[at];
            let next = match segment {
                Segment::Tail => {
                    node.tail.push(candidate);
                    return;
                }
                Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(fresh),
                Segment::Parameter(_) => *node.parameter.get_or_insert(fresh),
            };
            if next == fresh {
                self.nodes.push(Sprout::default());
            }
            at = next as usize;
        }
        self.nodes[at].leaf.push(candidate);
    }

    /// The finished trie. `place` orders the candidates of a leaf and says where they stand.
    pub(crate) fn build(self, mut place: impl FnMut(Vec<u32>) -> Run) -> Trie {
        let literals: Vec<(u32, &[u8], u32)> = self
            .nodes
            .iter()
            .enumerate()
            .flat_map(|(at, node)| {
                node.literals.iter().map(move |(text, next)| (at as u32, text.as_bytes(), *next))
            })
            .collect();
        let literals = BytesTable::new(literals.into_iter());
        let nodes = self
            .nodes
            .into_iter()
            .map(|node| Node {
                parameter: node.parameter.unwrap_or(NONE),
                has_literals: !node.literals.is_empty(),
                leaf: place(node.leaf),
                tail: place(node.tail),
            })
            .collect();
        Trie { nodes, literals }
    }
}

/// A walk over one path. `accept` looks at the candidates of a leaf and picks one.
pub(crate) struct Walk<'w, F> {
    pub(crate) trie: &'w Trie,
    pub(crate) path: &'w [u8],
    pub(crate) captures: Captures,
    pub(crate) accept: F,
}

impl<F: FnMut(Run) -> Option<u32>> Walk<'_, F> {
    /// The first candidate that is accepted, walking from the segment that begins at `from` (one after the
    /// path's length: nothing is left). Recursion goes as deep as the longest template, at most
    /// [`super::template::SEGMENTS_MAX`] + 1.
    pub(crate) fn run(&mut self, node: u32, from: usize) -> Option<u32> {
        let node_at = node;
        let node = self.trie.nodes[node as usize];
        if from > self.path.len() {
            return self.take(node.leaf).or_else(|| self.take_tail(node.tail, self.path.len()));
        }
        if !node.has_literals && node.parameter == NONE {
            return self.take_tail(node.tail, from);
        }
        let rest = &self.path[from..];
        let length = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let next = from + length + 1;
        if node.has_literals
            && let Some(child) = self.trie.literals.get(node_at, &rest[..length])
            && let Some(found) = self.run(child, next)
        {
            return Some(found);
        }
        if node.parameter != NONE && length > 0 {
            self.captures.push(from, from + length);
            if let Some(found) = self.run(node.parameter, next) {
                return Some(found);
            }
            self.captures.pop();
        }
        self.take_tail(node.tail, from)
    }

    #[inline]
    fn take(&mut self, run: Run) -> Option<u32> {
        if run.is_empty() { None } else { (self.accept)(run) }
    }

    fn take_tail(&mut self, run: Run, from: usize) -> Option<u32> {
        let found = self.take(run)?;
        self.captures.push(from, self.path.len());
        Some(found)
    }
}
