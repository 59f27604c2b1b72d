//! Mappings with known keys: one declaration gives the struct, its reading, its rows in the reference and the
//! schema, and its lines in the effective configuration, so none of them can drift from the others.

use super::{Cx, Effective, Read, wrong_kind};
use crate::document::{self, Key, Node, NodeKind, Reading};
use crate::place::{At, FileId, Pos, Sources};
use crate::problem::{Problems, quote};
use crate::suggest;

/// Declares mappings.
///
/// - `required key: Type,` must be written;
/// - `optional key: Type = "what its absence means",` is an `Option`;
/// - `default key: Type = "yaml",` is read from that YAML when it is not written.
///
/// `later { "key": "reason", }` lists keys that the grammar knows and this build does not serve.
macro_rules! object {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $( $(#[doc = $fdoc:literal])+ $mode:ident $field:ident : $ty:ty $(= $text:literal)? , )*
        }
        $( later { $( $later:literal : $why:literal , )* } )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $( $(#[doc = $fdoc])+ pub $field: $crate::read::object::field_type!($mode $ty), )*
            /// Where the mapping begins.
            pub place: $crate::place::Pos,
        }

        impl $crate::read::Read for $name {
            fn shape() -> $crate::read::Shape {
                $crate::read::Shape::Object($crate::read::Table {
                    name: stringify!($name),
                    doc: [$($doc),+].join("\n"),
                    rows: vec![$(
                        $crate::read::Row {
                            key: $crate::read::object::key(stringify!($field)),
                            doc: [$($fdoc),+].join("\n"),
                            need: $crate::read::object::need!($mode $($text)?),
                            shape: <$ty as $crate::read::Read>::shape(),
                        },
                    )*],
                    later: &[$( $( ($later, $why), )* )?],
                })
            }

            fn read(
                node: &$crate::document::Node,
                cx: &mut $crate::read::Cx<'_>,
            ) -> Option<Self> {
                const KEYS: &[&str] = &[$( $crate::read::object::key(stringify!($field)), )*];
                const LATER: &[(&str, &str)] = &[$( $( ($later, $why), )* )?];
                let fields = $crate::read::object::Fields::open(
                    node,
                    stringify!($name),
                    KEYS,
                    LATER,
                    cx,
                )?;
                $(
                    let $field = $crate::read::object::take!(
                        $mode fields, $crate::read::object::key(stringify!($field)), cx $(, $text)?
                    );
                )*
                Some(Self {
                    $( $field: $crate::read::object::finish!($mode $field), )*
                    place: node.pos,
                })
            }

            fn explain(
                &self,
                path: &str,
                _: $crate::place::Pos,
                out: &mut Vec<$crate::read::Effective>,
            ) {
                let _ = (&path, &out);
                $(
                    $crate::read::object::tell!(
                        $mode self.$field, path, $crate::read::object::key(stringify!($field)), out
                        $(, $text)?
                    );
                )*
            }
        }
    };
}
pub(crate) use object;

macro_rules! field_type {
    (required $ty:ty) => { $crate::place::At<$ty> };
    (optional $ty:ty) => { Option<$crate::place::At<$ty>> };
    (default $ty:ty) => { $crate::place::At<$ty> };
}
pub(crate) use field_type;

macro_rules! need {
    (required) => {
        $crate::read::Need::Required
    };
    (optional $text:literal) => {
        $crate::read::Need::Optional($text)
    };
    (default $text:literal) => {
        $crate::read::Need::Default($text)
    };
}
pub(crate) use need;

macro_rules! take {
    (required $fields:ident, $key:expr, $cx:ident) => {
        $fields.required($key, $cx)
    };
    (optional $fields:ident, $key:expr, $cx:ident, $text:literal) => {
        $fields.optional($key, $cx)
    };
    (default $fields:ident, $key:expr, $cx:ident, $text:literal) => {
        $fields.or_default($key, $text, $cx)
    };
}
pub(crate) use take;

macro_rules! finish {
    (optional $field:ident) => {
        $field
    };
    ($mode:ident $field:ident) => {
        $field?
    };
}
pub(crate) use finish;

macro_rules! tell {
    (required $value:expr, $path:ident, $key:expr, $out:ident) => {
        $crate::read::object::tell_one(&$value, $path, $key, $out)
    };
    (default $value:expr, $path:ident, $key:expr, $out:ident, $text:literal) => {
        $crate::read::object::tell_one(&$value, $path, $key, $out)
    };
    (optional $value:expr, $path:ident, $key:expr, $out:ident, $text:literal) => {
        match &$value {
            Some(value) => $crate::read::object::tell_one(value, $path, $key, $out),
            None => $crate::read::object::tell_absent($path, $key, $text, $out),
        }
    };
}
pub(crate) use tell;

/// The key that a field stands for: raw identifiers lose their mark.
pub(crate) const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

pub(crate) fn tell_one<T: Read>(value: &At<T>, path: &str, key: &str, out: &mut Vec<Effective>) {
    value.value.explain(&join(path, key), value.pos, out);
}

/// Absences that say nothing: one of several kinds that is not this one, or a key that is told per route.
const SILENT: [&str; 3] = ["not ", "see ", "inherited"];

pub(crate) fn tell_absent(path: &str, key: &str, meaning: &str, out: &mut Vec<Effective>) {
    if SILENT.iter().any(|start| meaning.starts_with(start)) {
        return;
    }
    out.push(Effective { path: join(path, key), value: format!("({meaning})"), pos: Pos::DEFAULT });
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A mapping whose keys have been checked.
pub(crate) struct Fields<'n> {
    pos: Pos,
    name: &'static str,
    entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    /// Checks that `node` is a mapping and that all of its keys are known; unknown ones are reported and skipped.
    pub(crate) fn open(
        node: &'n Node,
        name: &'static str,
        keys: &'static [&'static str],
        later: &'static [(&'static str, &'static str)],
        cx: &mut Cx<'_>,
    ) -> Option<Self> {
        let NodeKind::Map(entries) = &node.kind else {
            let hint = format!("keys: {}", keys.join(", "));
            return wrong_kind(node, "a mapping", &hint, cx);
        };
        for (key, value) in entries {
            if keys.contains(&key.text.as_str()) {
                continue;
            }
            cx.wounded.insert(node.pos);
            if let Some((_, why)) = later.iter().find(|(word, _)| *word == key.text) {
                cx.problems.add(key.pos, format!("{} is not in this build", quote(&key.text)), *why);
                continue;
            }
            tell_broken(value, cx);
            if key.text == "<<" {
                cx.problems.add(
                    key.pos,
                    "merge keys `<<` are not known here",
                    "use an alias for the whole value, or an inherited key",
                );
            } else {
                let hint = suggest::hint(&key.text, keys.iter().copied(), "no key is known here");
                cx.problems.add(
                    key.pos,
                    format!("unknown key {} in {}", quote(&key.text), words(name)),
                    hint,
                );
            }
        }
        Some(Fields { pos: node.pos, name, entries })
    }

    fn node(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }

    /// A key that must be there.
    pub(crate) fn required<T: Read>(&self, key: &str, cx: &mut Cx<'_>) -> Option<At<T>> {
        let Some(node) = self.node(key) else {
            cx.problems.add(
                self.pos,
                format!("key `{key}` is missing in {}", words(self.name)),
                format!("add `{key}:`"),
            );
            return None;
        };
        At::<T>::read(node, cx)
    }

    /// A key that may be left out. One that is there and wrong counts as left out and wounds the mapping.
    pub(crate) fn optional<T: Read>(&self, key: &str, cx: &mut Cx<'_>) -> Option<At<T>> {
        let value = At::<T>::read(self.node(key)?, cx);
        if value.is_none() {
            cx.wounded.insert(self.pos);
        }
        value
    }

    /// A key with a default, which is YAML and read like what a user writes. A wrong value is told, and the
    /// default takes its place, so that the rest of the mapping is still checked.
    pub(crate) fn or_default<T: Read>(
        &self,
        key: &str,
        default: &'static str,
        cx: &mut Cx<'_>,
    ) -> Option<At<T>> {
        if let Some(node) = self.node(key) {
            if let Some(value) = At::<T>::read(node, cx) {
                return Some(value);
            }
            cx.wounded.insert(self.pos);
        }
        read_default(default, cx)
    }
}

/// Tells what is wrong below a key that nobody reads.
fn tell_broken(node: &Node, cx: &mut Cx<'_>) {
    match &node.kind {
        NodeKind::Broken(broken) => cx.problems.add(broken.pos, &broken.message, &broken.hint),
        NodeKind::List(items) => items.iter().for_each(|item| tell_broken(item, cx)),
        NodeKind::Map(entries) => entries.iter().for_each(|(_, value)| tell_broken(value, cx)),
        NodeKind::Empty | NodeKind::Scalar(_) => {}
    }
}

/// Reads the YAML of a default. A default that cannot be read is a fault of the table, which a test walks.
pub(crate) fn read_default<T: Read>(default: &'static str, cx: &mut Cx<'_>) -> Option<At<T>> {
    let node = parse_default(default)?;
    T::read(&node, cx).map(|value| At::new(value, Pos::DEFAULT))
}

/// The tree of a default, every place of which is [`Pos::DEFAULT`].
pub(crate) fn parse_default(default: &str) -> Option<Node> {
    let mut sources = Sources::default();
    let file = sources.add("(default)", default);
    let mut problems = Problems::default();
    let reading = Reading { file, sources: &sources, lookup: &|_| None };
    let mut node = document::parse(&reading, &mut problems)?;
    forget_places(&mut node);
    Some(node)
}

fn forget_places(node: &mut Node) {
    node.pos = Pos { file: FileId::DEFAULT, ..Pos::DEFAULT };
    match &mut node.kind {
        NodeKind::List(items) => items.iter_mut().for_each(forget_places),
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                key.pos = Pos::DEFAULT;
                forget_places(value);
            }
        }
        NodeKind::Empty | NodeKind::Broken(_) | NodeKind::Scalar(_) => {}
    }
}

/// `ListenerTimeouts` as `listener timeouts`.
fn words(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Declares a value that is one of a few words.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $( $(#[doc = $vdoc:literal])+ $variant:ident = $word:literal , )+ }
        $( later { $( $later:literal : $why:literal , )* } )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[doc = $vdoc])+ $variant, )+ }

        impl $crate::read::Word for $name {
            const WHAT: &'static str = concat!("one of ", $crate::read::object::listed!($($word),+));
            const FORM: &'static str = concat!("write one of ", $crate::read::object::listed!($($word),+));

            fn parse(text: &str) -> Result<Self, $crate::read::Fault> {
                const LATER: &[(&str, &str)] = &[$( $( ($later, $why), )* )?];
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err($crate::read::object::unknown_word(text, &[$( $word, )+], LATER)),
                }
            }

            fn show(&self) -> String {
                match self { $( Self::$variant => $word, )+ }.to_owned()
            }

            fn word_shape() -> $crate::read::Shape {
                $crate::read::Shape::Choice(&[$( ($word, concat!($($vdoc),+)), )+])
            }
        }
    };
}
pub(crate) use choice;

macro_rules! listed {
    ($first:literal $(, $word:literal)*) => { concat!($first $(, ", ", $word)*) };
}
pub(crate) use listed;

/// The fault of a word that is not among the known ones.
pub(crate) fn unknown_word(text: &str, known: &[&str], later: &[(&str, &str)]) -> super::Fault {
    match later.iter().find(|(word, _)| *word == text) {
        Some((_, why)) => super::Fault::message(format!("{} is not in this build", quote(text))).hint(*why),
        None => super::Fault::message(format!("{} is not known here", quote(text))).hint(suggest::hint(
            text,
            known.iter().copied(),
            "nothing is known here",
        )),
    }
}
