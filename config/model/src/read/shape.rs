//! What may be written where, as data: one description from which reading, the JSON Schema and the reference
//! are driven. May know words for kinds of values; must not know nodes.

/// What a value may be.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Text {
        what: &'static str,
        pattern: &'static str,
    },
    Integer {
        min: u64,
        max: u64,
    },
    Boolean,
    /// One of these words, each with its meaning.
    Choice(&'static [(&'static str, &'static str)]),
    List(Box<Shape>),
    Pairs {
        key: &'static str,
        value: Box<Shape>,
    },
    Object(Table),
    /// Any of several.
    Either(Vec<Shape>),
}

/// A mapping with known keys.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) doc: String,
    pub(crate) rows: Vec<Row>,
    /// Keys that the grammar knows and this build does not serve, with the reason.
    pub(crate) later: &'static [(&'static str, &'static str)],
}

/// A key of a [`Table`].
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) doc: String,
    pub(crate) need: Need,
    pub(crate) shape: Shape,
}

/// Whether a key must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    /// With what its absence means.
    Optional(&'static str),
    /// With the YAML that is read in its place.
    Default(&'static str),
}

impl Shape {
    /// In a few words, as the reference prints it.
    pub(crate) fn words(&self) -> String {
        match self {
            Shape::Text { what, .. } => without_article(what).to_owned(),
            Shape::Integer { min, max } => format!("integer {min} to {max}"),
            Shape::Boolean => "true or false".to_owned(),
            Shape::Choice(words) => {
                words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Shape::List(item) => format!("list of {}", item.words()),
            Shape::Pairs { key, value } => {
                format!("mapping: {} to {}", without_article(key), value.words())
            }
            Shape::Object(table) => format!("[{0}](#{1})", table.name, table.name.to_lowercase()),
            Shape::Either(shapes) => shapes.iter().map(Shape::words).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Visits every table below, each once, in order of appearance.
    pub(crate) fn tables(&self, out: &mut Vec<Table>) {
        match self {
            Shape::Object(table) => {
                if out.iter().any(|known| known.name == table.name) {
                    return;
                }
                out.push(table.clone());
                for row in &table.rows {
                    row.shape.tables(out);
                }
            }
            Shape::List(item) => item.tables(out),
            Shape::Pairs { value, .. } => value.tables(out),
            Shape::Either(shapes) => shapes.iter().for_each(|shape| shape.tables(out)),
            Shape::Text { .. } | Shape::Integer { .. } | Shape::Boolean | Shape::Choice(_) => {}
        }
    }
}

fn without_article(what: &'static str) -> &'static str {
    what.strip_prefix("a ").or_else(|| what.strip_prefix("an ")).unwrap_or(what)
}
