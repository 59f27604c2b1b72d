//! YAML text to a tree of nodes that know their place. May know YAML and its budgets;
//! must not know which keys exist.
//!
//! Bounds against hostile files: bytes, nodes, nodes copied by aliases, depth. Aliases are copied, so the
//! budget of copies is what stops a document that doubles itself line by line.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use crate::environment::{self, Lookup};
use crate::place::{FileId, Pos, Sources};
use crate::problem::{Problems, quote};

/// Largest file that is read.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Nodes of one file, copies included.
pub const NODES_MAX: usize = 1_000_000;
/// Nodes that aliases may copy in one file.
pub const ALIAS_NODES_MAX: usize = 10_000;
/// Levels of lists and mappings.
pub const DEPTH_MAX: usize = 32;
/// Keys of one mapping: they are compared with each other.
pub const MAPPING_KEYS_MAX: usize = 1_000;

/// A part of the document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) pos: Pos,
    pub(crate) kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    /// Nothing written, `~` or `null`.
    Empty,
    /// Something is wrong with it that is told when it is read: what stands under a key that is not in this
    /// build needs no variables.
    Broken(Box<Broken>),
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// What is wrong with a scalar whatever it is meant for.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) pos: Pos,
    pub(crate) message: String,
    pub(crate) hint: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// After `${NAME}` has been replaced.
    pub(crate) text: String,
    /// As it stands in the file: what messages show, so that no variable's content leaks into them.
    pub(crate) raw: String,
    /// Written without quotes.
    pub(crate) plain: bool,
    /// Holds the content of a variable.
    pub(crate) expanded: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) pos: Pos,
}

/// What reading one text needs to know.
pub(crate) struct Reading<'a> {
    pub(crate) file: FileId,
    pub(crate) sources: &'a Sources,
    pub(crate) lookup: Lookup<'a>,
}

/// Parses the text of `file`. `None` = not YAML, or over a budget; the reason is among the problems.
pub(crate) fn parse(reading: &Reading<'_>, problems: &mut Problems) -> Option<Node> {
    let text = reading.sources.text(reading.file);
    let start = Pos { file: reading.file, line: 1, column: 1, length: 1 };
    if text.len() > FILE_BYTES_MAX {
        problems.add(
            start,
            format!("the file is over {} MiB", FILE_BYTES_MAX >> 20),
            "split it, or keep apps in the store",
        );
        return None;
    }
    let mut tree = Tree::new(reading);
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => tree.event(event, span, problems),
            Err(error) => {
                let (pos, message, hint) = syntax(&error, tree.open_flow(), reading);
                problems.add(pos, message, hint);
                return None;
            }
        };
        if let Err(Stop) = step {
            return None;
        }
    }
    Some(tree.root.unwrap_or(Node { pos: start, kind: NodeKind::Map(Vec::new()) }))
}

/// A budget is spent or the document cannot be followed further; told already.
struct Stop;

/// A list or mapping that is still open.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<Key>,
    nodes: usize,
    height: usize,
}

/// A node that an alias may copy.
struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
}

struct Tree<'a> {
    reading: &'a Reading<'a>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    copied: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'a> Tree<'a> {
    fn new(reading: &'a Reading<'a>) -> Self {
        Tree {
            reading,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            copied: 0,
            documents: 0,
            root: None,
        }
    }

    /// The place of a scalar or key. Blanks that the parser counts in after a quoted scalar are taken off where
    /// a problem is told, for the line is at hand there.
    fn pos(&self, span: Span) -> Pos {
        let start = place(self.reading.file, &span.start);
        if span.start.line() != span.end.line() {
            return start;
        }
        Pos { length: count(span.end.col().saturating_sub(span.start.col()).max(1)), ..start }
    }

    fn event(&mut self, event: Event<'_>, span: Span, problems: &mut Problems) -> Result<(), Stop> {
        let pos = self.pos(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    problems.add(
                        pos,
                        "a second document in one file",
                        "remove the `---`, or put the document into a file of its own",
                    );
                    return Err(Stop);
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some_and(|t| !t.is_yaml_core_schema()), pos, problems);
                self.open(NodeKind::List(Vec::new()), pos, anchor, problems)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some_and(|t| !t.is_yaml_core_schema()), pos, problems);
                self.open(NodeKind::Map(Vec::new()), pos, anchor, problems)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.open.pop() {
                    let (nodes, height) = (done.nodes + 1, done.height + 1);
                    self.place(done.node, done.anchor, nodes, height, problems)?;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some_and(|t| !t.is_yaml_core_schema()), pos, problems);
                let plain = style == ScalarStyle::Plain;
                if self.is_key_next() {
                    let key = Key { text: text.into_owned(), pos };
                    if let Some(top) = self.open.last_mut() {
                        top.key = Some(key);
                    }
                    return self.spend(pos, problems);
                }
                let node = self.scalar(text.into_owned(), plain, pos);
                self.place(node, anchor, 1, 0, problems)?;
            }
            Event::Alias(id) => self.alias(id, pos, problems)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// The innermost list or mapping that was begun with a bracket and is still open.
    fn open_flow(&self) -> Option<Pos> {
        let pos = self.open.last()?.node.pos;
        let line = self.reading.sources.line(pos);
        let first = line.chars().nth((pos.column - 1) as usize)?;
        matches!(first, '[' | '{').then_some(pos)
    }

    fn refuse_tag(&self, custom: bool, pos: Pos, problems: &mut Problems) {
        if custom {
            problems.add(pos, "tags are not known here", "leave the `!tag` out");
        }
    }

    fn is_key_next(&self) -> bool {
        self.open.last().is_some_and(|top| matches!(top.node.kind, NodeKind::Map(_)) && top.key.is_none())
    }

    fn spend(&mut self, pos: Pos, problems: &mut Problems) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            problems.add(pos, format!("more than {NODES_MAX} nodes in one file"), "split the file");
            return Err(Stop);
        }
        Ok(())
    }

    fn open(&mut self, kind: NodeKind, pos: Pos, anchor: usize, problems: &mut Problems) -> Result<(), Stop> {
        let pos = Pos { length: 1, ..pos };
        self.spend(pos, problems)?;
        if self.is_key_next() {
            problems.add(
                pos,
                "a list or mapping stands where a key belongs",
                "put text with `{` or `[` in it into quotes",
            );
            return Err(Stop);
        }
        if self.open.len() >= DEPTH_MAX {
            problems.add(
                pos,
                format!("nested deeper than {DEPTH_MAX} levels"),
                "the grammar needs no more than a third of that",
            );
            return Err(Stop);
        }
        self.open.push(Open { node: Node { pos, kind }, anchor, key: None, nodes: 0, height: 0 });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn place(
        &mut self,
        node: Node,
        anchor: usize,
        nodes: usize,
        height: usize,
        problems: &mut Problems,
    ) -> Result<(), Stop> {
        self.spend(node.pos, problems)?;
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, height });
        }
        let file = self.reading.file;
        let Some(top) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        top.nodes += nodes;
        top.height = top.height.max(height);
        match &mut top.node.kind {
            NodeKind::List(items) => items.push(node),
            NodeKind::Map(entries) => {
                let Some(key) = top.key.take() else { return Ok(()) };
                if entries.len() >= MAPPING_KEYS_MAX {
                    let message = format!("more than {MAPPING_KEYS_MAX} keys in one mapping");
                    problems.add(key.pos, message, "the grammar has no use for so many");
                    return Err(Stop);
                }
                match entries.iter().find(|(known, _)| known.text == key.text) {
                    Some((first, _)) => problems.add(
                        Pos { file, ..key.pos },
                        format!("key {} stands twice in one mapping", quote(&key.text)),
                        format!("the first is at line {}, column {}", first.pos.line, first.pos.column),
                    ),
                    None => entries.push((key, node)),
                }
            }
            NodeKind::Empty | NodeKind::Broken(_) | NodeKind::Scalar(_) => {}
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, pos: Pos, problems: &mut Problems) -> Result<(), Stop> {
        if self.is_key_next() {
            problems.add(pos, "an alias stands where a key belongs", "write the key itself");
            return Err(Stop);
        }
        let Some(anchored) = self.anchors.get(&id) else {
            problems.add(
                pos,
                "the alias stands inside of what it stands for",
                "an alias may only name a node that is complete above it",
            );
            return Err(Stop);
        };
        let (nodes, height) = (anchored.nodes, anchored.height);
        self.copied += nodes;
        if self.copied > ALIAS_NODES_MAX || self.nodes + nodes > NODES_MAX {
            problems.add(
                pos,
                format!("aliases copy more than {ALIAS_NODES_MAX} nodes"),
                "write the parts out, or use plans and inherited keys",
            );
            return Err(Stop);
        }
        if self.open.len() + height > DEPTH_MAX {
            problems.add(
                pos,
                format!("nested deeper than {DEPTH_MAX} levels through an alias"),
                "the grammar needs no more than a third of that",
            );
            return Err(Stop);
        }
        let node = anchored.node.clone();
        self.nodes += nodes;
        self.place(node, 0, nodes, height, problems)
    }

    fn scalar(&self, raw: String, plain: bool, pos: Pos) -> Node {
        if plain && matches!(raw.as_str(), "" | "~" | "null" | "Null" | "NULL") {
            return Node { pos: self.of_key(pos), kind: NodeKind::Empty };
        }
        let (text, expanded) = match environment::expand(&raw, self.reading.lookup) {
            Ok(None) => (raw.clone(), false),
            Ok(Some(text)) => (text, true),
            Err(fault) => {
                let part = self.reading.sources.within(pos, &fault.part);
                let broken = Broken { pos: part, message: fault.message, hint: fault.hint };
                return Node { pos, kind: NodeKind::Broken(Box::new(broken)) };
            }
        };
        if text.starts_with("secret://") {
            let broken = Broken {
                pos,
                message: format!("no secret store in this build: {} cannot be looked up", quote(&raw)),
                hint: "use ${ENV}, or a file that only the gateway can read".to_owned(),
            };
            return Node { pos, kind: NodeKind::Broken(Box::new(broken)) };
        }
        Node { pos, kind: NodeKind::Scalar(Scalar { text, raw, plain, expanded }) }
    }

    /// An absent value has no place of its own; that of its key is the better one.
    fn of_key(&self, pos: Pos) -> Pos {
        self.open.last().and_then(|top| top.key.as_ref()).map_or(pos, |key| key.pos)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn place(file: FileId, mark: &Marker) -> Pos {
    Pos { file, line: count(mark.line().max(1)), column: count(mark.col() + 1), length: 1 }
}

/// The parser's words for a syntax error in ours, with a hint for the usual slips. `flow` is the innermost
/// bracket that is still open: when the parser stumbles over a later line, that bracket is to blame.
fn syntax(error: &ScanError, flow: Option<Pos>, reading: &Reading<'_>) -> (Pos, String, String) {
    let pos = place(reading.file, error.marker());
    let info = error.info();
    for line in [pos.line, pos.line + 1] {
        let here = Pos { line, column: 1, length: 1, ..pos };
        let text = reading.sources.line(here);
        let tab = text.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t');
        if let Some(column) = tab {
            return (
                Pos { column: count(column + 1), ..here },
                "a tab stands in the indentation".to_owned(),
                "YAML is indented by spaces only".to_owned(),
            );
        }
    }
    if let Some(open) = flow {
        let at = if open.line < pos.line { open } else { pos };
        let bracket = reading.sources.line(open).chars().nth(open.column as usize - 1).unwrap_or('[');
        return (
            at,
            format!("not YAML: the `{bracket}` of line {} is not closed as it should be", open.line),
            "close it, put commas between items, and put text with `{`, `[`, `*` or `: ` in it into quotes"
                .to_owned(),
        );
    }
    let hint = if info.contains("quoted") || info.contains("unexpected end of stream") {
        "close the quotes; quotes inside of quotes are doubled"
    } else if info.contains("bracket") {
        "one bracket too many, or text with a bracket that needs quotes"
    } else if info.contains("indent") || info.contains("block") || info.contains("mapping") {
        "keys of one mapping must begin in the same column; text with `: ` in it needs quotes"
    } else if info.contains("anchor") || info.contains("alias") {
        "an alias `*name` needs an anchor `&name` above it; text that begins with * or & needs quotes"
    } else {
        "put text with special characters into quotes"
    };
    (pos, format!("not YAML: {info}"), hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let mut sources = Sources::default();
        let file = sources.add("t", text);
        let mut problems = Problems::default();
        let lookup = |_: &str| None;
        parse(&Reading { file, sources: &sources, lookup: &lookup }, &mut problems);
        problems.into_list(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn depth_at_the_bound() {
        let nest = |n: usize| format!("a: {}{}\n", "[".repeat(n), "]".repeat(n));
        assert_eq!(problems_of(&nest(DEPTH_MAX - 1)), [""; 0]);
        let over = problems_of(&nest(DEPTH_MAX));
        assert!(over[0].contains("nested deeper than 32 levels"), "{over:?}");
    }

    #[test]
    fn copies_at_the_bound() {
        // The anchored list has `n` items and itself: each alias copies n + 1 nodes.
        let text = |copies: usize| {
            let items = vec!["x"; 99].join(",");
            format!("a: &a [{items}]\nb: [{}]\n", vec!["*a"; copies].join(","))
        };
        assert_eq!(problems_of(&text(ALIAS_NODES_MAX / 100)), [""; 0]);
        let over = problems_of(&text(ALIAS_NODES_MAX / 100 + 1));
        assert!(over[0].contains("aliases copy more than 10000 nodes"), "{over:?}");
    }

    #[test]
    fn keys_at_the_bound() {
        let text = |n: usize| (0..n).map(|key| format!("k{key}: 1\n")).collect::<String>();
        assert_eq!(problems_of(&text(MAPPING_KEYS_MAX)), [""; 0]);
        let over = problems_of(&text(MAPPING_KEYS_MAX + 1));
        assert!(over[0].contains("more than 1000 keys"), "{over:?}");
    }

    #[test]
    fn a_bomb_costs_no_more_than_its_budget() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 9].join(",");
            text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(problems_of(&text)[0].contains("aliases copy more than"));
    }

    #[test]
    fn a_file_at_the_bound_of_bytes() {
        let text = |n: usize| format!("#{}", "x".repeat(n - 1));
        assert_eq!(problems_of(&text(FILE_BYTES_MAX)), [""; 0]);
        assert!(problems_of(&text(FILE_BYTES_MAX + 1))[0].contains("over 16 MiB"));
    }
}
